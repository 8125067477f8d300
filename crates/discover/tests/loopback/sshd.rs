//! A real sshd, as Debian ships it: product, version and the comment with the package revision.
//!
//! Without `openssh-server` the test says so and passes; under `CI` it fails.

use std::process::{Child, Command, Stdio};

use super::*;

/// An sshd on a free loopback port, with a key and a configuration of its own.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) at: SocketAddr,
    dir: tempfile::TempDir,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::at(&[at])
    }

    /// On a fixed port of these addresses.
    fn listening(net: &str, last: &[u8]) -> Self {
        Self::at(&last.iter().map(|n| format!("{net}{n}:2222").parse().unwrap()).collect::<Vec<_>>())
    }

    fn at(all: &[SocketAddr]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        let config = dir.path().join("config");
        let listens: String = all.iter().map(|at| format!("ListenAddress {at}\n")).collect();
        let text =
            format!("{listens}HostKey {}\nPidFile none\nUsePAM no\nAuthenticationMethods publickey\n", key.display());
        std::fs::write(&config, text).unwrap();
        // Debian makes it when the service starts; a machine without services lacks it.
        let _ = std::fs::create_dir_all("/run/sshd");
        let child =
            Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let at = all[0];
        let sshd = Self { child, at, dir };
        for _ in 0..100 {
            if TcpStream::connect(at).is_ok() {
                return sshd;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not listen at {at}");
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether these programs are there; under `CI` they must be.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn are_there(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !Path::new(program).exists());
    assert!(std::env::var_os("CI").is_none() || missing.is_none(), "{missing:?} is not installed");
    missing.iter().for_each(|program| eprintln!("skipped: {program} is not installed"));
    missing.is_none()
}

#[test]
fn debians_sshd_is_openssh_with_its_package_revision() {
    if !are_there(&["/usr/sbin/sshd"]) {
        return;
    }
    let sshd = Sshd::start();
    for packs in [&["openssh-cve-2024-6387"][..], &["ed-21-03", "openssh-cve-2024-6387"]] {
        let outcome = find(packs, &scope_of(sshd.at), &Unwatched);
        assert_eq!(shown(&outcome), "host=Identified");
        let instance = &outcome.instances[0];
        assert_eq!(instance.product.as_deref(), Some("OpenSSH"));
        let [witness] = &instance.version.witnesses[..] else { panic!("{instance:?}") };
        assert_eq!(witness.source, format!("ssh-banner {}", sshd.at));
        assert!(witness.upstream.starts_with(|c: char| c.is_ascii_digit()), "{witness:?}");
        if Path::new("/etc/debian_version").exists() {
            assert!(witness.value.contains(" Debian-") || witness.value.contains(" Ubuntu-"), "{witness:?}");
        }
        // One for the banner, one for the host key.
        assert_eq!(outcome.ledger.connections, 2);
    }
}

#[test]
fn an_sshd_with_two_addresses_is_one_instance_by_its_host_key() {
    if !are_there(&["/usr/sbin/sshd"]) {
        return;
    }
    let sshd = Sshd::listening("127.77.7.", &[1, 2]);
    let other = Sshd::listening("127.77.7.", &[3]);
    let port = sshd.at.port();
    assert_eq!(port, 2222, "both listen on one port, each at addresses of its own");
    let networks = "networks = [\"127.77.7.0/29\"]\nports = [2222]\n";
    let outcome = find(&["openssh-cve-2024-6387"], &scope(networks), &Unwatched);
    assert_eq!(shown(&outcome), "127.77.7.1:2222=Identified 127.77.7.3:2222=Identified");
    assert_eq!(outcome.instances[0].addresses, ["127.77.7.1:2222", "127.77.7.2:2222"]);
    let [(name, merge)] = &outcome.merges[..] else { panic!("{:?}", outcome.merges) };
    let key = Command::new("ssh-keygen").args(["-lf"]).arg(sshd.dir.path().join("key.pub")).output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    let fingerprint = key.split(' ').nth(1).unwrap();
    assert!(name == "127.77.7.1:2222" && merge.reasons[0].contains(fingerprint), "{merge:?} {fingerprint}");
    // A person knows better.
    let apart = format!(
        "{networks}[[apart]]\naddresses = [\"127.77.7.1:2222\", \"127.77.7.2:2222\"]\nwhy = \"copies of one image\""
    );
    let outcome = find(&["openssh-cve-2024-6387"], &scope(&apart), &Unwatched);
    assert_eq!((outcome.instances.len(), outcome.merges.len()), (3, 0));
    assert!(outcome.gaps.iter().any(|(_, gap)| gap.code == "key-shared"), "{:?}", outcome.gaps);
    drop(other);
}

#[test]
fn what_nmap_says_of_debians_sshd_counts_as_what_we_heard_ourselves() {
    if !are_there(&["/usr/sbin/sshd", "/usr/bin/nmap"]) {
        return;
    }
    let sshd = Sshd::start();
    let mut nmap = Command::new("/usr/bin/nmap");
    nmap.args(["-sT", "-sV", "-Pn", "-n", "-oX", "-", "-p", &sshd.at.port().to_string(), "127.0.0.1"]);
    let scan = nmap.output().unwrap();
    assert!(scan.status.success(), "{scan:?}");
    let import = Import::read("scan.xml", &scan.stdout, &import::Columns::new(), &import::Limits::default()).unwrap();
    let packs = ["openssh-cve-2024-6387"];
    let heard = find(&packs, &scope_of(sshd.at), &Unwatched).instances.remove(0);
    let alone = Scope::unasked([sshd.at.ip()]);
    let told = find_beside(std::slice::from_ref(&import), Limits::default(), &packs, &alone, &Unwatched);
    assert_eq!(shown(&told), format!("{}=Imported", sshd.at));
    let of = |instance: &directive::record::Instance| {
        let value = &instance.version.witnesses[0];
        (instance.product.clone(), instance.version.status, value.value.clone(), value.package.clone())
    };
    assert_eq!(of(&told.instances[0]), of(&heard));
    assert_eq!((told.ledger.connections, told.ledger.imported), (0, 1), "nothing is asked");
    // Beside our own answer it tells nothing new.
    let both = find_beside(&[import], Limits::default(), &packs, &scope_of(sshd.at), &Unwatched);
    assert_eq!((shown(&both), both.ledger.imported), ("host=Identified".to_owned(), 0));
}
