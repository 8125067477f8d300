//! Sshd: does a host over SSH hand over the same files as its folder, and is a stranger refused?
//!
//! A real sshd of Debian on a loopback port, with keys of its own.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests start a real sshd"
)]

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use directive::progress::Unwatched;
use directive::text::Text;
use evidence::{Entry, Limits, Meta, Obstacle, ObstacleKind, Source, Visitor, Wants};
use remote::{Error, Options};

const SSHD: &str = "/usr/sbin/sshd";

struct Sshd {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(command: &str, dir: &Path) {
    let output = Command::new("sh").arg("-c").arg(command).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Sshd {
    /// Starts an sshd that lets the key `user` in; `None` where there is none, outside CI.
    fn start(more: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() || !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "in CI nothing is skipped");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        std::fs::create_dir_all("/run/sshd").unwrap();
        run(
            "ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f other && \
             ssh-keygen -q -t ed25519 -N '' -f user && cp user.pub authorized && chmod 600 authorized",
            path,
        );
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let known = |key: &str, file: &str| {
                run(&format!("echo \"[127.0.0.1]:{port} $(cut -d' ' -f1,2 {key}.pub)\" > {file}"), path);
            };
            known("host", "known");
            known("other", "wrong");
            std::fs::write(path.join("empty"), "").unwrap();
            let config = format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\n\
                 PidFile none\nUsePAM no\nPermitRootLogin yes\nAuthenticationMethods publickey\n{more}\n",
                path.display()
            );
            std::fs::write(path.join("config"), config).unwrap();
            let mut child = Command::new(SSHD)
                .args(["-D", "-e", "-f"])
                .arg(path.join("config"))
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            for _ in 0..50 {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(Self { dir, port, child });
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("sshd does not start");
    }

    fn open(&self, folder: &Path, known: &str) -> Result<Box<dyn Source>, Error> {
        let (known, user) = (self.dir.path().join(known), self.dir.path().join("user"));
        let options = Options {
            known_hosts: Some(&known),
            identity: Some(&user),
            limits: Limits::default(),
            progress: &Unwatched,
        };
        remote::open(&format!("ssh://root@127.0.0.1:{}{}", self.port, folder.display()), &options)
    }
}

#[derive(Default)]
struct Met {
    entries: Mutex<BTreeMap<Text, String>>,
    obstacles: Mutex<Vec<Obstacle>>,
}

impl Visitor for Met {
    fn wants(&self, _meta: &Meta) -> Wants {
        Wants::MD5
    }

    fn entry(&self, entry: Entry) {
        let meta = &entry.meta;
        let digest = entry.digests.map(|digests| format!("{digests:?}")).unwrap_or_default();
        let target = meta.target.as_ref().map(Text::escaped).unwrap_or_default();
        let line = format!("{:?} {:o} {} {} {target} {digest}", meta.kind, meta.mode, meta.uid, meta.mtime.seconds);
        let size = if meta.target.is_some() { 0 } else { meta.size };
        let size = if meta.kind == evidence::Kind::File { size } else { 0 };
        self.entries.lock().unwrap().insert(meta.path.clone(), format!("{size} {line}"));
    }

    fn obstacle(&self, obstacle: Obstacle) {
        self.obstacles.lock().unwrap().push(obstacle);
    }
}

fn walk(source: &dyn Source) -> Met {
    let met = Met::default();
    source.walk(NonZeroUsize::new(2).unwrap(), &met).unwrap();
    met
}

fn tree(root: &Path) {
    run(
        "mkdir -p home/bin many etc && echo vendor > home/bin/web && chmod 4755 home/bin/web && \
         ln -s /home/bin/web etc/web && seq 1 300000 > etc/large && : > etc/nothing && \
         printf name > \"$(printf 'etc/\\377\\n')\" && for i in $(seq 300); do echo $i > many/$i; done && \
         mkfifo etc/pipe && touch -d '2021-04-20 12:00 UTC' home/bin/web",
        root,
    );
}

/// Walks the same tree as a folder and over SSH.
#[track_caller]
fn same(sshd: &Sshd, is_tar: bool) {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let source = sshd.open(dir.path(), "known").unwrap();
    let (there, here) = (walk(source.as_ref()), walk(&evidence::Folder::open(dir.path()).unwrap()));
    assert_eq!(*there.entries.lock().unwrap(), *here.entries.lock().unwrap());
    let kinds: Vec<_> = there.obstacles.lock().unwrap().iter().map(|obstacle| obstacle.kind).collect();
    assert!(kinds.contains(&ObstacleKind::Special(evidence::Kind::Fifo)), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == ObstacleKind::Remark).count(), if is_tar { 0 } else { 2 });
    assert_eq!(source.canonical_file(b"/etc/web").as_deref(), Some(&b"/home/bin/web"[..]));
    assert_eq!(source.read_small(b"/etc/web", 100).unwrap().as_deref(), Some(&b"vendor\n"[..]));
    assert_eq!(source.list(b"/home").unwrap().unwrap(), [b"bin".to_vec()]);
}

#[test]
fn a_host_over_sftp_hands_over_what_its_folder_holds() {
    let Some(sshd) = Sshd::start("Subsystem sftp internal-sftp") else { return };
    same(&sshd, false);
}

#[test]
fn a_host_without_sftp_hands_over_the_same_with_its_tar() {
    let Some(sshd) = Sshd::start("") else { return };
    same(&sshd, true);
}

#[test]
fn a_host_whose_key_is_another_one_is_refused() {
    let Some(sshd) = Sshd::start("Subsystem sftp internal-sftp") else { return };
    for known in ["wrong", "empty"] {
        let error = sshd.open(Path::new("/etc"), known).err().unwrap();
        assert!(matches!(&error, Error::Connect { why, .. } if why.contains("verification failed")), "{error:?}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_a_clear_error() {
    let Some(sshd) = Sshd::start("Subsystem sftp internal-sftp") else { return };
    let error = sshd.open(Path::new("/none/such"), "known").err().unwrap();
    assert!(matches!(&error, Error::Root { why, .. } if why.contains("No such file")), "{error:?}");
}

#[test]
fn a_file_that_may_not_be_read_and_one_that_changes_are_obstacles() {
    let Some(sshd) = Sshd::start("Subsystem sftp internal-sftp") else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log"), "line\n").unwrap();
    let source = sshd.open(dir.path(), "known").unwrap();
    struct Meddle(Met, std::path::PathBuf);
    impl Visitor for Meddle {
        fn wants(&self, meta: &Meta) -> Wants {
            std::fs::write(&self.1, "another line\n").unwrap();
            self.0.wants(meta)
        }
        fn entry(&self, entry: Entry) {
            self.0.entry(entry);
        }
        fn obstacle(&self, obstacle: Obstacle) {
            self.0.obstacle(obstacle);
        }
    }
    let meddle = Meddle(Met::default(), dir.path().join("log"));
    source.walk(NonZeroUsize::MIN, &meddle).unwrap();
    let obstacles = meddle.0.obstacles.lock().unwrap();
    assert!(obstacles.iter().any(|obstacle| obstacle.kind == ObstacleKind::Changed), "{obstacles:?}");
    assert!(meddle.0.entries.lock().unwrap().is_empty());
}

#[test]
fn nobody_at_the_other_end_is_a_clear_error() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = Options { known_hosts: None, identity: None, limits: Limits::default(), progress: &Unwatched };
    let error = remote::open(&format!("ssh://127.0.0.1:{port}"), &options).err().unwrap();
    assert!(matches!(&error, Error::Connect { why, .. } if why.contains("refused")), "{error:?}");
}
