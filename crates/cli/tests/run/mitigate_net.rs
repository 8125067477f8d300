//! `mitigate` in namespaces of the network: a real VPN login goes on through a proxy that refuses, and an instance is
//! cut off while its management stays. Needs root; where programs are missing the tests say so, under `CI` they fail.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::*;

/// Some namespaces; all that runs in them ends with them.
struct Net {
    name: String,
    dir: tempfile::TempDir,
    children: Vec<Child>,
    _one: MutexGuard<'static, ()>,
}

const VISITOR: &str = "visitor";
const GATE: &str = "gate";
const INSTANCE: &str = "instance";

impl Net {
    /// A visitor, a gateway and an instance in a row: 198.18.1.2, 198.18.1.1 and 198.18.2.1, 198.18.2.2.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    fn up(programs: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let one = netns::ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let net = Self { name, dir: tempfile::tempdir().unwrap(), children: Vec::new(), _one: one };
        let missing = programs.iter().chain(&["ip"]).find(|program| !net.has(program));
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| stdout(&output).trim() == "0");
        let why = match missing {
            Some(program) => Some(format!("{program} is not installed")),
            None if !is_root => Some("namespaces need root".to_owned()),
            None => None,
        };
        if let Some(why) = why {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let n = &net.name;
        net.shell(&format!(
            "for one in {VISITOR} {GATE} {INSTANCE}; do ip netns add {n}-$one; ip -n {n}-$one link set lo up; done
             ip link add va netns {n}-{VISITOR} type veth peer name ga netns {n}-{GATE}
             ip link add gb netns {n}-{GATE} type veth peer name ib netns {n}-{INSTANCE}
             ip -n {n}-{VISITOR} address add 198.18.1.2/24 dev va; ip -n {n}-{GATE} address add 198.18.1.1/24 dev ga
             ip -n {n}-{GATE} address add 198.18.2.1/24 dev gb; ip -n {n}-{INSTANCE} address add 198.18.2.2/24 dev ib
             for pair in {VISITOR}:va {GATE}:ga {GATE}:gb {INSTANCE}:ib; do
                 ip -n {n}-${{pair%:*}} link set ${{pair#*:}} up; done
             ip -n {n}-{VISITOR} route add default via 198.18.1.1
             ip -n {n}-{INSTANCE} route add default via 198.18.2.1
             ip netns exec {n}-{GATE} sysctl -qw net.ipv4.ip_forward=1"
        ));
        Some(net)
    }

    fn has(&self, program: &str) -> bool {
        Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output().unwrap().status.success()
    }

    fn shell(&self, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{script}: {}", stderr(&output));
        stdout(&output)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program that goes on, in one of the namespaces, with a /run of its own.
    fn daemon(&mut self, place: &str, words: &[&str]) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{place}", self.name)]);
        command.args(["sh", "-c", "mount -t tmpfs none /run && exec \"$@\"", "sh"]).args(words);
        command.current_dir(self.dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.children.push(command.spawn().unwrap());
    }

    /// A program in one of the namespaces that ends.
    fn at(&self, place: &str, words: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{place}", self.name)]).args(words);
        command.current_dir(root()).env("NO_COLOR", "1").output().unwrap()
    }

    fn portcullis(&self, place: &str, words: &[&str]) -> Output {
        self.at(place, &[&[env!("CARGO_BIN_EXE_portcullis")], words].concat())
    }

    /// Waits until an address takes connections, seen from a place.
    #[track_caller]
    fn wait(&self, place: &str, host: &str, port: u16) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.is_open(place, host, port) {
            assert!(Instant::now() < until, "{host}:{port} is not reached from the {place}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_open(&self, place: &str, host: &str, port: u16) -> bool {
        let script = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{host}/{port}'");
        self.at(place, &["sh", "-c", &script]).status.success()
    }

    fn digest(&self, name: &str) -> String {
        self.shell(&format!("sha256sum {name}")).split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let n = &self.name;
        let script = format!(
            "for one in {VISITOR} {GATE} {INSTANCE}; do for process in $(ip netns pids {n}-$one 2>/dev/null); do \
             kill -9 $process 2>/dev/null; done; ip netns delete {n}-$one 2>/dev/null; done; true"
        );
        let _ = Command::new("sh").args(["-c", &script]).status();
        self.children.iter_mut().for_each(|child| drop(child.wait()));
    }
}

/// A folder of the pack whose login page is the one of the VPN that really runs.
fn pack(net: &Net) -> PathBuf {
    let folder = net.path("ed-21-03");
    net.shell(&format!("cp -r {} {}", root().join("packs/ed-21-03").display(), folder.display()));
    let file = folder.join("workaround/2104.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replace("/dana-na/auth/url_default/welcome.cgi", "/")).unwrap();
    folder
}

/// Applies what was planned into `change.toml`.
fn apply(net: &Net, place: &str) -> Output {
    let (change, scope, case) = (net.path("change.toml"), net.path("scope.toml"), net.path("case"));
    let digest = net.digest("change.toml");
    let words = ["mitigate", "apply", arg(&change), "--scope", arg(&scope), "--case", arg(&case)];
    net.portcullis(place, &[&words[..], &["--by", "J. Doe", "--approve", &digest]].concat())
}

#[test]
fn a_real_vpn_login_goes_on_through_a_proxy_that_refuses_every_disguise() {
    let Some(mut net) = Net::up(&["ocserv", "ocpasswd", "openconnect", "haproxy", "openssl", "bash"]) else { return };
    let pin = net.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=vpn.agency.example -keyout key -out crt \
         2>/dev/null
         cat crt key > pem; chmod 755 .; printf 'secret\\nsecret\\n' | ocpasswd -c passwd jdoe 2>/dev/null >&2
         openssl x509 -in crt -pubkey -noout | openssl pkey -pubin -outform der | \
         openssl dgst -sha256 -binary | base64",
    );
    let dir = net.dir.path().display().to_string();
    let ocserv = format!(
        "auth = \"plain[passwd={dir}/passwd]\"\nlisten-host = 198.18.2.2\ntcp-port = 443\nrun-as-user = nobody\n\
         run-as-group = nogroup\nsocket-file = {dir}/socket\nserver-cert = {dir}/crt\nserver-key = {dir}/key\n\
         isolate-workers = false\ndevice = vpns\nipv4-network = 192.168.99.0/24\nmax-clients = 8\n"
    );
    std::fs::write(net.path("ocserv.conf"), ocserv).unwrap();
    let front = format!(
        "defaults\n    mode http\n    timeout client 20s\n    timeout server 20s\n    timeout connect 5s\n\
         frontend front\n    \
         bind 198.18.1.1:443 ssl crt {dir}/pem alpn h2,http/1.1\n    default_backend vpn\nbackend vpn\n    \
         http-reuse never\n    \
         server vpn 198.18.2.2:443 ssl verify none\n"
    );
    std::fs::create_dir(net.path("etc")).unwrap();
    std::fs::write(net.path("etc/haproxy.cfg"), &front).unwrap();
    let scope =
        "organisation = \"Example Agency\"\nrate = 2000\n[[instance]]\nname = \"vpn1\"\naddress = \"198.18.1.1:443\"\n";
    std::fs::write(net.path("scope.toml"), scope).unwrap();
    net.daemon(INSTANCE, &["ocserv", "-f", "-c", "ocserv.conf"]);
    net.wait(GATE, "198.18.2.2", 443);
    net.daemon(GATE, &["haproxy", "-W", "-p", &format!("{dir}/pid"), "-f", "etc/haproxy.cfg"]);
    net.wait(VISITOR, "198.18.1.1", 443);
    let login = format!(
        "echo secret | timeout 30 openconnect --authenticate --user=jdoe --passwd-on-stdin \
         --servercert pin-sha256:{} https://198.18.1.1/",
        pin.trim()
    );
    assert!(run(&["case", "--case", arg(&net.path("case")), "init"]).status.success());
    let pack = pack(&net);
    let (scope, config, change) = (net.path("scope.toml"), net.path("etc/haproxy.cfg"), net.path("change.toml"));
    let (works, pid) = (format!("sh -c \"{login}\""), net.path("pid"));
    let mut words = vec!["mitigate", "plan", "--pack", arg(&pack), "--kind", "haproxy", "--instance", "vpn1"];
    words.extend(["--scope", arg(&scope), "--config", arg(&config), "--pid-file", arg(&pid), "-o", arg(&change)]);
    words.extend(["--works", &works]);
    let planned = net.portcullis(GATE, &words);
    assert!(planned.status.success(), "{}", stderr(&planned));
    let applied = apply(&net, GATE);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    assert!(stdout(&applied).starts_with("It holds: "), "{}", stdout(&applied));
    // A visitor logs in, and what he must not ask for is refused.
    let session = net.at(VISITOR, &["sh", "-c", &login]);
    assert!(session.status.success() && stdout(&session).contains("COOKIE="), "{}", stderr(&session));
    let ask =
        |path: &str| stdout(&net.at(VISITOR, &["curl", "-sk", "--path-as-is", &format!("https://198.18.1.1{path}")]));
    assert!(ask("//dana//meeting;v=1").starts_with("refused by workaround ed-21-03/2104"));
    let (case, before) = (net.path("case"), front);
    let words = ["mitigate", "undo", arg(&change), "--scope", arg(&scope), "--case", arg(&case), "--by", "J. Doe"];
    let undone = net.portcullis(GATE, &words);
    assert_eq!(undone.status.code(), Some(0), "{}", stderr(&undone));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), before);
    assert!(net.at(VISITOR, &["sh", "-c", &login]).status.success());
}

#[test]
fn an_isolated_instance_loses_its_visitors_at_once_and_keeps_its_management() {
    let Some(mut net) = Net::up(&["nft", "python3", "bash", "systemd-analyze"]) else { return };
    for port in ["443", "22"] {
        net.daemon(INSTANCE, &["python3", "-m", "http.server", port, "--bind", "198.18.2.2"]);
    }
    let scope = "organisation = \"Example Agency\"\nrate = 2000\n[[instance]]\nname = \"vpn1\"\n\
                 addresses = [\"198.18.2.2:443\", \"198.18.2.2:22\"]\n";
    std::fs::write(net.path("scope.toml"), scope).unwrap();
    net.wait(VISITOR, "198.18.2.2", 443);
    net.wait(GATE, "198.18.2.2", 22);
    // A visitor's session, which stands when the instance is isolated.
    let session = "import socket, time\ns = socket.create_connection(('198.18.2.2', 443))\nopen('up', 'w')\n\
                   while True:\n    time.sleep(0.1)\n    try:\n        s.send(b'x')\n    except OSError:\n        \
                   open('cut', 'w')\n        break\n";
    std::fs::write(net.path("session.py"), session).unwrap();
    net.daemon(VISITOR, &["python3", "session.py"]);
    let until = |name: &str| {
        let until = Instant::now() + Duration::from_secs(20);
        while !net.path(name).exists() {
            assert!(Instant::now() < until, "the session is not {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("up");
    assert!(run(&["case", "--case", arg(&net.path("case")), "init"]).status.success());
    let (scope, change, case) = (net.path("scope.toml"), net.path("change.toml"), net.path("case"));
    let mut words = vec!["mitigate", "plan", "--pack", "ed-21-03", "--kind", "nftables", "--instance", "vpn1"];
    let table = net.path("isolate.nft");
    words.extend(["--config", arg(&table), "--action", "2.b.i.isolate", "--scope", arg(&scope), "-o", arg(&change)]);
    words.extend(["--at", "198.18.2.2:443", "--keep", "198.18.2.1:22", "--open", "198.18.2.2:22"]);
    let units = net.path("units");
    std::fs::create_dir(&units).unwrap();
    words.extend(["--units", arg(&units)]);
    let planned = net.portcullis(GATE, &words);
    assert!(planned.status.success(), "{}", stderr(&planned));
    let applied = apply(&net, GATE);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    until("cut");
    assert!(!net.is_open(VISITOR, "198.18.2.2", 443) && !net.is_open(VISITOR, "198.18.2.2", 22));
    assert!(!net.is_open(GATE, "198.18.2.2", 443) && net.is_open(GATE, "198.18.2.2", 22));
    // Nor does the instance get out.
    assert!(!net.is_open(INSTANCE, "198.18.2.1", 22));
    // A restart takes the table away; what systemd starts then brings it back. Its own check finds nothing wrong with
    // it.
    let unit = units.join("portcullis-isolates-vpn1.service");
    net.shell(&format!("systemd-analyze verify {0} 2>&1 | tee said; [ ! -s said ]", unit.display()));
    let link = units.join("sysinit.target.wants/portcullis-isolates-vpn1.service");
    assert_eq!(std::fs::read_link(&link).unwrap(), unit);
    assert!(net.at(GATE, &["nft", "flush", "ruleset"]).status.success());
    assert!(net.is_open(VISITOR, "198.18.2.2", 443));
    let text = std::fs::read_to_string(&unit).unwrap();
    let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert!(net.at(GATE, &["sh", "-c", start]).status.success());
    assert!(!net.is_open(VISITOR, "198.18.2.2", 443) && net.is_open(GATE, "198.18.2.2", 22));
    let words = ["mitigate", "undo", arg(&change), "--scope", arg(&scope), "--case", arg(&case), "--by", "J. Doe"];
    let undone = net.portcullis(GATE, &words);
    assert_eq!(undone.status.code(), Some(0), "{}", stderr(&undone));
    assert!(net.is_open(VISITOR, "198.18.2.2", 443));
    assert!(!table.exists() && std::fs::read_dir(&units).unwrap().count() == 0);
    assert!(stdout(&net.at(GATE, &["nft", "list", "ruleset"])).is_empty());
    let done = run(&["case", "--case", arg(&case), "show", "--type", "step"]);
    assert!(stdout(&done).contains("ed-21-03/2.b.i.isolate"), "{}", stdout(&done));
}

/// The operator sits at the visitor and isolates the gateway, over SSH, without a way for himself.
#[test]
fn an_operator_who_cuts_himself_off_over_ssh_is_let_in_again_and_everything_is_put_back() {
    let Some(mut net) = Net::up(&["nft", "sshd", "ssh-keygen", "bash"]) else { return };
    let dir = net.dir.path().display().to_string();
    net.shell(
        "ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user && \
         echo \"198.18.1.1 $(cut -d' ' -f1,2 host.pub)\" > known",
    );
    let config = format!(
        "ListenAddress 198.18.1.1:22\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\nStrictModes no\n\
         PidFile none\nUsePAM no\nPermitRootLogin yes\nMaxStartups 100\n"
    );
    std::fs::write(net.path("sshd"), config).unwrap();
    net.daemon(GATE, &["sh", "-c", &format!("mkdir -p /run/sshd && exec /usr/sbin/sshd -D -f {dir}/sshd")]);
    net.wait(VISITOR, "198.18.1.1", 22);
    let scope = "organisation = \"Example Agency\"\nrate = 2000\n[[instance]]\nname = \"vpn1\"\n\
                 address = \"198.18.1.1:22\"\n";
    std::fs::write(net.path("scope.toml"), scope).unwrap();
    assert!(run(&["case", "--case", arg(&net.path("case")), "init"]).status.success());
    let (scope, change, case) = (net.path("scope.toml"), net.path("change.toml"), net.path("case"));
    let (table, known, user) = (net.path("isolate.nft"), net.path("known"), net.path("user"));
    let login = ["--known-hosts", arg(&known), "--identity", arg(&user)];
    let mut words = vec!["mitigate", "plan", "--pack", "ed-21-03", "--kind", "nftables", "--instance", "vpn1"];
    words.extend(["--config", arg(&table), "--action", "2.b.i.isolate", "--scope", arg(&scope), "-o", arg(&change)]);
    words.extend(["--host", "ssh://root@198.18.1.1", "--keep", "198.18.1.99:22"]);
    let planned = net.portcullis(VISITOR, &[&words[..], &login].concat());
    assert!(planned.status.success(), "{}", stderr(&planned));
    // Nobody waits two minutes here: what a person approves are the bytes that stand there.
    let text = std::fs::read_to_string(&change).unwrap();
    assert!(text.contains("sleep 120"), "{text}");
    std::fs::write(&change, text.replace("sleep 120", "sleep 6")).unwrap();
    let digest = net.digest("change.toml");
    let words = ["mitigate", "apply", arg(&change), "--scope", arg(&scope), "--case", arg(&case)];
    let approved = ["--by", "J. Doe", "--approve", &digest];
    let applied = net.portcullis(VISITOR, &[&words[..], &approved, &login].concat());
    assert_eq!(applied.status.code(), Some(2), "{}", stderr(&applied));
    assert!(stderr(&applied).contains("no connection to ssh://root@198.18.1.1"), "{}", stderr(&applied));
    assert!(stderr(&applied).contains("Undone: every file is byte for byte what it was"), "{}", stderr(&applied));
    assert!(net.is_open(VISITOR, "198.18.1.1", 22) && !table.exists());
    assert!(stdout(&net.at(GATE, &["nft", "list", "ruleset"])).is_empty());
    assert!(!net.path("isolate.nft.lock").exists());
}
