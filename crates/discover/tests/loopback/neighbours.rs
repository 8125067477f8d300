//! What stands beside the product: is each told as what it is, and never counted as the product?
//!
//! Synthetic fronts behind a real nginx, and real servers as Debian ships them: ocserv, sshd, SoftEther. Programs that
//! are not installed are said; under `CI` they must be there.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::sshd::{Sshd, are_there};
use super::*;

/// A program that ends with the test, in a folder of its own.
struct Running {
    child: Child,
    dir: tempfile::TempDir,
}

impl Running {
    /// Writes a certificate and a configuration, in which `DIR` is the folder, and starts a program with it.
    fn start(program: &str, config: &str, args: impl Fn(&Path) -> Vec<String>, ready: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_certificate(dir.path(), "/CN=gate.agency.example");
        std::fs::write(dir.path().join("passwd"), "").unwrap();
        let text = config.replace("DIR", &dir.path().display().to_string());
        std::fs::write(dir.path().join("config"), text).unwrap();
        let args = args(&dir.path().join("config"));
        let child = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self { child, dir };
        wait_for(ready, &format!("{program} in {}", running.dir.path().display()));
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(at: SocketAddr, what: &str) {
    for _ in 0..200 {
        if TcpStream::connect(at).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not listen at {at}");
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Products that were counted, and what was told as something else.
fn told(outcome: &Outcome) -> String {
    let counted = outcome.instances.iter().filter_map(|instance| instance.product.clone());
    let others = outcome.findings.iter().map(|(_, finding)| {
        assert_eq!(finding.code, "other-product");
        format!("{} by {}", finding.why, finding.rule.as_deref().unwrap_or_default())
    });
    counted.chain(others).collect::<Vec<_>>().join("; ")
}

/// Looks for the product at an address that nobody declared.
#[track_caller]
fn check(at: SocketAddr, expected: &str) {
    let text = format!("networks = [\"{}\"]\nports = [{}]", at.ip(), at.port());
    let outcome = find(&["ed-21-03"], &scope(&text), &Unwatched);
    let shown = told(&outcome);
    assert!(shown.contains(expected) && shown.is_empty() == expected.is_empty(), "{shown}\nnot {expected}");
    assert!(outcome.instances.iter().all(|instance| instance.product.is_none()), "{:?}", outcome.instances);
}

/// Front pages of neighbours, as nginx directives for `location = /`, and what is told of them.
const FRONTS: [(&str, &str); 12] = [
    ("return 302 /vpn/index.html;", "Citrix NetScaler"),
    ("add_header Set-Cookie 'NSC_TASS=abc; Path=/'; return 200 x;", "Citrix NetScaler"),
    (r#"return 200 '<html><script>top.location="/remote/login";</script></html>';"#, "Fortinet FortiGate"),
    ("return 302 /global-protect/login.esp;", "Palo Alto Networks GlobalProtect"),
    ("return 302 /+CSCOE+/logon.html;", "Cisco Adaptive Security Appliance"),
    ("return 200 '<html><title>SonicWall - Virtual Office</title></html>';", "SonicWall"),
    ("return 302 /my.policy;", "F5 BIG-IP"),
    ("add_header Set-Cookie 'BIGipServerpool=1.2.3; path=/'; return 200 x;", "F5 BIG-IP"),
    ("return 302 /owa/;", "Microsoft Exchange Server"),
    ("return 302 /Orion/Login.aspx?ReturnUrl=%2f;", "SolarWinds Orion Platform"),
    ("return 302 /__session_start__/;", "OpenVPN Access Server"),
    ("return 200 '<html><title>Intranet</title></html>';", ""),
];

#[test]
fn every_neighbour_behind_a_real_nginx_is_told_as_what_it_is() {
    if !are_there(&["/usr/sbin/nginx", "/usr/bin/openssl"]) {
        return;
    }
    let addresses: Vec<SocketAddr> = FRONTS.iter().map(|_| free_address()).collect();
    let servers = addresses.iter().zip(FRONTS).map(|(at, (front, _))| {
        format!(
            "server {{ listen {at} ssl; ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/key.pem; \
             default_type text/html; location = / {{ {front} }} location / {{ return 404; }} }}\n"
        )
    });
    let _nginx = nginx(&servers.collect::<String>(), addresses[0]);
    for (at, (_, expected)) in addresses.iter().zip(FRONTS) {
        let expected = match expected {
            "" => String::new(),
            name => format!("it answers as {name} (cpe:2.3:"),
        };
        check(*at, &expected);
    }
}

/// An nginx with these servers, which runs in the front and keeps everything in its folder.
fn nginx(servers: &str, ready: SocketAddr) -> Running {
    let folders =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path DIR/{kind}; "));
    let config = format!(
        "daemon off; master_process off; pid DIR/pid; error_log DIR/error;\nevents {{}}\n\
         http {{ access_log off; {}\n{servers} }}",
        folders.concat()
    );
    let args = |config: &Path| vec!["-c".to_owned(), config.display().to_string()];
    Running::start("/usr/sbin/nginx", &config, args, ready)
}

#[test]
fn a_server_that_sends_every_visitor_to_another_port_is_not_the_product() {
    if !are_there(&["/usr/sbin/nginx", "/usr/bin/openssl"]) {
        return;
    }
    let at = free_address();
    let _nginx = nginx(&format!("server {{ listen {at}; return 301 https://$host$request_uri; }}"), at);
    check(at, "");
}

#[test]
fn debians_ocserv_is_ocserv_and_neither_the_product_nor_an_asa() {
    if !are_there(&["/usr/sbin/ocserv", "/usr/bin/openssl"]) {
        return;
    }
    let at = free_address();
    let config = format!(
        "auth = \"plain[passwd=DIR/passwd]\"\ntcp-port = {}\nlisten-host = 127.0.0.1\nrun-as-user = nobody\n\
         run-as-group = nogroup\nsocket-file = DIR/socket\nserver-cert = DIR/cert.pem\nserver-key = DIR/key.pem\n\
         device = vpns\nipv4-network = 192.0.2.0/24\nmax-clients = 2\n",
        at.port()
    );
    let args = |config: &Path| vec!["-f".to_owned(), "-c".to_owned(), config.display().to_string()];
    let _ocserv = Running::start("/usr/sbin/ocserv", &config, args, at);
    check(at, "it answers as OpenConnect ocserv (cpe:2.3:a:infradead:ocserv:*");
}

#[test]
fn debians_sshd_is_told_where_a_web_server_was_looked_for() {
    if !are_there(&["/usr/sbin/sshd"]) {
        return;
    }
    let sshd = Sshd::start();
    let start = std::time::Instant::now();
    check(sshd.at, "it answers as OpenBSD OpenSSH (cpe:2.3:a:openbsd:openssh:*");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}: it speaks first, and nobody waits", start.elapsed());
}

#[test]
fn a_declared_instance_that_is_something_else_is_told_with_its_name() {
    let serve = |mut stream: TcpStream, _: &str| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nServer: BigIP\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let server = Server::clear(serve);
    let outcome = find(&["ed-21-03"], &scope_of(server.at), &Unwatched);
    let (name, finding) = &outcome.findings[0];
    assert_eq!((name.as_deref(), finding.severity), (Some("host"), directive::record::Severity::Low));
    assert!(finding.why.starts_with("it is declared as an instance and answers as F5 BIG-IP"), "{finding:?}");
    assert_eq!(shown(&outcome), "host=AnsweredUnknown");
}

#[test]
fn a_neighbour_of_one_pack_that_another_pack_looks_for_is_no_other_product() {
    if !are_there(&["/usr/sbin/sshd"]) {
        return;
    }
    let sshd = Sshd::start();
    let outcome = find(&["ed-21-03", "openssh-cve-2024-6387"], &scope_of(sshd.at), &Unwatched);
    assert_eq!((shown(&outcome).as_str(), outcome.findings.len()), ("host=Identified", 0));
    let cpe = &outcome.instances[0].cpe[0];
    assert!(cpe.starts_with("cpe:2.3:a:openbsd:openssh:9."), "{cpe}");
}

/// Set where a test runs once more inside of a network of its own.
const INSIDE: &str = "PORTCULLIS_TEST_INSIDE";

/// SoftEther talks to its makers as soon as it runs, so that it gets a network that leads nowhere.
#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn debians_softether_is_told_as_what_it_is() {
    if std::env::var_os(INSIDE).is_some() {
        return check(
            "127.0.0.1:443".parse().unwrap(),
            "it answers as SoftEther VPN Server (cpe:2.3:a:softether:vpn:*",
        );
    }
    if !are_there(&["/usr/bin/vpnserver", "/usr/bin/unshare", "/sbin/ip"]) {
        return;
    }
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        assert!(std::env::var_os("CI").is_none(), "a network of its own needs root");
        eprintln!("skipped: a network of its own needs root");
        return;
    }
    // Its folders are hidden behind empty ones, and all that it starts ends with the shell.
    let script = "set -e; ip link set lo up; mkdir -p /run/softether
        for folder in /var/lib/softether /var/log/softether /run/softether; do
            if [ -d $folder ]; then mount -t tmpfs none $folder; fi
        done
        /usr/bin/vpnserver execsvc >/dev/null 2>&1 &
        for try in $(seq 100); do
            if (: < /dev/tcp/127.0.0.1/443) 2>/dev/null; then break; fi
            sleep 0.2
        done
        \"$0\" --exact neighbours::debians_softether_is_told_as_what_it_is --nocapture";
    let exe: PathBuf = std::env::current_exe().unwrap();
    let mut shell = Command::new("/usr/bin/unshare");
    shell.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", script]).arg(exe).env(INSIDE, "1");
    let run = shell.output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
}
