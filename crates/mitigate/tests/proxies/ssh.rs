//! Ssh: is a proxy on another host changed and restored as one here, also when the connection is lost in the middle?

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use directive::change::Kind;
use mitigate::hands::{Login, There};

use super::proxy::{Front, free, is_there};
use super::*;

/// A real sshd on loopback that lets its own key in.
pub(super) struct Sshd {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Sshd {
    pub(super) fn start() -> Option<Self> {
        if !is_there("sshd") || !is_there("ssh-keygen") {
            return None;
        }
        std::fs::create_dir_all("/run/sshd").ok()?;
        let dir = tempfile::tempdir().unwrap();
        let port = free().port();
        let path = dir.path().display();
        let script = format!(
            "cd {path} && ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user && \
             echo \"[127.0.0.1]:{port} $(cut -d' ' -f1,2 host.pub)\" > known"
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {path}/host\nAuthorizedKeysFile {path}/user.pub\nStrictModes no\n\
             PidFile none\nUsePAM no\nPermitRootLogin yes\nMaxStartups 100\n"
        );
        std::fs::write(dir.path().join("config"), config).unwrap();
        let child = Self::spawn(dir.path());
        let sshd = Self { dir, port, child };
        sshd.wait();
        Some(sshd)
    }

    fn spawn(dir: &Path) -> Child {
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(dir.join("config")).stderr(Stdio::null()).spawn().unwrap()
    }

    fn wait(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not listen");
    }

    pub(super) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again.
    pub(super) fn again(&mut self) {
        self.child = Self::spawn(self.dir.path());
        self.wait();
    }

    pub(super) fn hands(&self) -> There {
        let file = |name: &str| Some(self.dir.path().join(name));
        let login = Login { known_hosts: file("known"), identity: file("user") };
        There::new(&format!("ssh://root@127.0.0.1:{}", self.port), &login).unwrap()
    }
}

#[test]
fn a_proxy_on_another_host_is_changed_over_ssh_and_put_back() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    let before = files(&front.settings());
    let (hands, scope, change) = (sshd.hands(), scope(&front), planned(&front).unwrap());
    let mut notes = Notes::default();
    let begin = std::time::Instant::now();
    let mut worker = Worker { hands: &hands, journal: &mut notes, scope: &scope, break_lock: false };
    let proof = worker.apply(&approved(&change)).unwrap();
    front.note(&format!("applied over ssh and proved in {:?}: {} requests", begin.elapsed(), proof.asked));
    assert!(proof.holds);
    assert_eq!(front.product.reached(), Vec::<String>::new());
    let (written, kept) = (Written::write(&change).unwrap(), notes.kept_files());
    let mut worker = Worker { hands: &hands, journal: &mut notes, scope: &scope, break_lock: false };
    worker.undo(&written, "J. Doe", &kept).unwrap();
    assert_eq!(files(&front.settings()), before);
}

#[test]
fn an_ssh_server_that_dies_in_the_middle_and_comes_back_finds_everything_put_back() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let before = files(&front.settings());
    let (there, scope, change) = (sshd.hands(), scope(&front), planned(&front).unwrap());
    let sshd = std::cell::RefCell::new(sshd);
    let seen = std::cell::Cell::new(0);
    // It dies before the configuration is checked, and is back when two tries have failed.
    let hands = Watched {
        there,
        before: |words: &[&str]| match (seen.get(), words.contains(&"-t")) {
            (0, true) => {
                sshd.borrow_mut().stop();
                seen.set(1);
            }
            (1, _) => seen.set(2),
            (2, _) => {
                sshd.borrow_mut().again();
                seen.set(3);
            }
            _ => {}
        },
    };
    let mut notes = Notes::default();
    let mut worker = Worker { hands: &hands, journal: &mut notes, scope: &scope, break_lock: false };
    let err = worker.apply(&approved(&change)).unwrap_err();
    assert!(err.to_string().starts_with("no connection to ssh://root@127.0.0.1"), "{err}");
    assert_eq!(files(&front.settings()), before);
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
    assert!(front.ask("/dana-na/auth/url_default/welcome.cgi").starts_with("HTTP/1.1 200"));
}

/// Hands that are told of before each touch.
pub(super) struct Watched<H: Hands, F: Fn(&[&str])> {
    pub(super) there: H,
    pub(super) before: F,
}

impl<H: Hands, F: Fn(&[&str])> Hands for Watched<H, F> {
    fn run(&self, words: &[&str], input: &[u8]) -> Result<mitigate::hands::Done, mitigate::hands::Error> {
        (self.before)(words);
        self.there.run(words, input)
    }
}
