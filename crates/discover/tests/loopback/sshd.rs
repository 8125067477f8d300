//! A real sshd, as Debian ships it: product, version and the comment with the package revision.
//!
//! Without `openssh-server` the test says so and passes; under `CI` it fails.

use std::process::{Child, Command, Stdio};

use super::*;

/// An sshd on a free loopback port, with a key and a configuration of its own.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) at: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = dir.path().join("config");
        let text = format!(
            "ListenAddress 127.0.0.1:{}\nHostKey {}\nPidFile none\nUsePAM no\nAuthenticationMethods publickey\n",
            at.port(),
            key.display()
        );
        std::fs::write(&config, text).unwrap();
        // Debian makes it when the service starts; a machine without services lacks it.
        let _ = std::fs::create_dir_all("/run/sshd");
        let child =
            Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let sshd = Self { child, at, _dir: dir };
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
        assert_eq!(outcome.ledger.connections, 1);
    }
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
