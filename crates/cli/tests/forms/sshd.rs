//! Sshd: a real server on loopback with keys of its own.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{has, shell};

pub(crate) struct Sshd {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Starts an sshd that lets the key `user` in as root.
    pub(crate) fn start(more: &str) -> Option<Self> {
        if !has("sshd") || !rustix::process::geteuid().is_root() {
            return None;
        }
        std::fs::create_dir_all("/run/sshd").unwrap();
        (0..5).find_map(|_| Self::try_start(more)).or_else(|| panic!("sshd does not start"))
    }

    fn try_start(more: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        shell(
            &format!(
                "ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user && \
                 echo \"[127.0.0.1]:{port} $(cut -d' ' -f1,2 host.pub)\" > known"
            ),
            path,
        );
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/user.pub\nStrictModes no\n\
             PidFile none\nUsePAM no\nPermitRootLogin yes\nAuthenticationMethods publickey\n{more}\n",
            path.display()
        );
        std::fs::write(path.join("config"), config).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(Path::new(&path.join("config"))).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        for _ in 0..60 {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { dir, port, child });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }
}
