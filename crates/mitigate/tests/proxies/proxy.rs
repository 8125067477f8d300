//! Proxy: a real nginx or HAProxy on loopback before the lenient product, with its files in a folder of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use directive::change::Kind;

use super::lenient::Product;

/// A proxy that runs; it ends when it is dropped.
pub(crate) struct Front {
    pub(crate) kind: Kind,
    pub(crate) at: SocketAddr,
    pub(crate) config: PathBuf,
    pub(crate) pid_file: PathBuf,
    pub(crate) product: Product,
    dir: tempfile::TempDir,
}

impl Front {
    /// Starts one. `None`: the program is not installed, and that was said.
    pub(crate) fn start(kind: Kind, tls: bool) -> Option<Self> {
        let program = kind.as_str();
        if !is_there(program) || (tls && !is_there("openssl")) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (product, at) = (Product::start(), free());
        let settings = dir.path().join("settings");
        std::fs::create_dir(&settings).unwrap();
        if tls {
            certificate(&dir.path().join("front.pem"));
        }
        let config = settings.join(if kind == Kind::Nginx { "nginx.conf" } else { "haproxy.cfg" });
        let pid_file = dir.path().join("front.pid");
        let front = Self { kind, at, config, pid_file, product, dir };
        front.configure(tls);
        let (config, pid_file) = (front.config.to_str().unwrap(), front.pid_file.to_str().unwrap());
        let status = match kind {
            Kind::Nginx => Command::new("nginx").args(["-c", config]).status(),
            _ => Command::new("haproxy").args(["-W", "-D", "-q", "-p", pid_file, "-f", config]).status(),
        };
        assert!(status.unwrap().success());
        front.wait();
        Some(front)
    }

    /// The folder of its configuration.
    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.path().join("settings")
    }

    fn configure(&self, tls: bool) {
        let (at, product, dir) = (self.at, self.product.at, self.dir.path().display());
        if self.kind != Kind::Nginx {
            let bind = if tls { format!("{at} ssl crt {dir}/front.pem alpn h2,http/1.1") } else { at.to_string() };
            let text = format!(
                "global\n    maxconn 2000\ndefaults\n    mode http\n    timeout client 20s\n    \
                 timeout server 20s\n    \
                 timeout connect 5s\n\nfrontend front # visitors\n    bind {bind}\n    default_backend product\n\n\
                 backend product\n    server product {product}\n"
            );
            std::fs::write(&self.config, text).unwrap();
            return;
        }
        let (listen, keys) = if tls {
            (
                format!("{at} ssl http2"),
                format!("ssl_certificate {dir}/front.pem; ssl_certificate_key {dir}/front.pem;"),
            )
        } else {
            (at.to_string(), String::new())
        };
        let text = format!(
            "worker_processes 2;\npid {dir}/front.pid;\nerror_log {dir}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n    access_log off;\n    client_body_temp_path {dir}/body;\n    \
             proxy_temp_path {dir}/proxy;\n    \
             fastcgi_temp_path {dir}/fastcgi;\n    uwsgi_temp_path {dir}/uwsgi;\n    scgi_temp_path {dir}/scgi;\n    \
             include sites/*.conf;\n}}\n"
        );
        std::fs::write(&self.config, text).unwrap();
        let sites = self.settings().join("sites");
        std::fs::create_dir(&sites).unwrap();
        // As sites are enabled on Debian: by a link.
        let site = format!(
            "server {{\n    listen {listen};\n    {keys}\n    # the appliance\n    \
             location / {{\n        \
             proxy_http_version 1.1;\n        proxy_set_header Host $host;\n        \
             proxy_pass http://{product};\n    }}\n\
             }}\n"
        );
        std::fs::write(self.settings().join("site"), site).unwrap();
        std::os::unix::fs::symlink("../site", sites.join("site.conf")).unwrap();
    }

    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.at).is_err() || !self.pid_file.exists() {
            assert!(Instant::now() < until, "{} does not listen", self.kind.as_str());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks for a target as it is, in the clear, and gives all that comes.
    pub(crate) fn ask(&self, target: &str) -> String {
        if std::fs::read_to_string(&self.config).unwrap().contains("front.pem")
            || std::fs::read_to_string(self.settings().join("site")).is_ok_and(|text| text.contains("front.pem"))
        {
            let url = format!("https://{}{target}", self.at);
            let output = Command::new("curl").args(["-sk", "--path-as-is", &url]).output().unwrap();
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
        let request = format!("GET {target} HTTP/1.1\r\nHost: vpn.agency.example\r\nConnection: close\r\n\r\n");
        self.send(request.as_bytes())
    }

    /// Sends bytes and gives all that comes.
    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Runs the proxy's own reload, as whoever pushes a configuration does.
    pub(crate) fn reload(&self) {
        let pid = std::fs::read_to_string(&self.pid_file).unwrap();
        let signal = if self.kind == Kind::Nginx { "-HUP" } else { "-USR2" };
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    #[expect(clippy::print_stderr, reason = "a figure for whoever measures")]
    pub(crate) fn note(&self, text: &str) {
        eprintln!("{}: {text}", self.kind.as_str());
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let Ok(pid) = std::fs::read_to_string(&self.pid_file) else { return };
        // Both end at once with it, their children too.
        let _ = Command::new("kill").args(["-TERM", pid.trim()]).status();
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.at).is_ok() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A port of loopback that is free now.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn certificate(path: &std::path::Path) {
    let path = path.to_str().unwrap();
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=vpn.agency.example"];
    let key = format!("{path}.key");
    let output = Command::new("openssl").args(words).args(["-keyout", &key, "-out", path]).output().unwrap();
    assert!(output.status.success());
    let both = std::fs::read_to_string(path).unwrap() + &std::fs::read_to_string(&key).unwrap();
    std::fs::write(path, both).unwrap();
}

/// Whether a program is installed; under `CI` it must be.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output().unwrap().status.success();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}
