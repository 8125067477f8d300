//! A real sshd, as Debian ships it: product, version and the comment with the package revision.
//!
//! Without `openssh-server` the test says so and passes; under `CI` it fails.

use std::process::{Child, Command, Stdio};

use super::*;

/// An sshd on a free loopback port, with a key and a configuration of its own.
struct Sshd {
    child: Child,
    at: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Sshd {
    fn start() -> Self {
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

#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn debians_sshd_is_openssh_with_its_package_revision() {
    if !Path::new("/usr/sbin/sshd").exists() {
        assert!(std::env::var_os("CI").is_none(), "openssh-server is not installed");
        eprintln!("skipped: openssh-server is not installed");
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
