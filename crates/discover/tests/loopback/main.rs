//! Discover over loopback, with real servers: the lab, hostile ones, and Debian's sshd.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![expect(clippy::disallowed_methods, reason = "the tests are the other side: they listen, and start an sshd")]

mod fenced;
mod fingerprints;
mod hostile;
mod imports;
mod labs;
mod neighbours;
mod sshd;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use directive::probe::{Neighbours, Probes};
use directive::product::Product;
use directive::progress::{Progress, Unwatched};
use directive::scope::Scope;
use discover::import::{self, Import};
use discover::{Begin, Known, Limits, Outcome, Request, discover, recog};

/// Little patience, for servers that would use up any amount of it.
fn impatient() -> Limits {
    Limits {
        banner: Duration::from_millis(300),
        handshake: Duration::from_secs(1),
        answer: Duration::from_secs(1),
        conversation: Duration::from_secs(4),
        ..Limits::default()
    }
}

/// Looks for the products of these packs in a scope.
fn find(packs: &[&str], scope: &Scope, progress: &dyn Progress) -> Outcome {
    find_within(Limits::default(), packs, scope, progress)
}

fn find_within(limits: Limits, packs: &[&str], scope: &Scope, progress: &dyn Progress) -> Outcome {
    find_beside(&[], limits, packs, scope, progress)
}

/// Looks for the products of these packs beside what other tools know.
fn find_beside(imports: &[Import], limits: Limits, packs: &[&str], scope: &Scope, progress: &dyn Progress) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let loaded: Vec<(Product, Probes, Vec<recog::Database>)> = packs
        .iter()
        .map(|pack| {
            let fingerprints = folder.join(pack).join("fingerprints");
            let product = std::fs::read_to_string(folder.join(pack).join("product.toml")).unwrap();
            let probes = std::fs::read_to_string(fingerprints.join("probes.toml")).unwrap();
            let xml = std::fs::read_to_string(fingerprints.join("pulse.xml"));
            let recog = xml.iter().map(|text| recog::Database::parse("pulse.xml", text).unwrap()).collect();
            let mut probes: Probes = toml::from_str(&probes).unwrap();
            if let Ok(neighbours) = std::fs::read_to_string(fingerprints.join("neighbours.toml")) {
                probes.neighbours = toml::from_str::<Neighbours>(&neighbours).unwrap().neighbours;
            }
            (toml::from_str(&product).unwrap(), probes, recog)
        })
        .collect();
    let known: Vec<_> = packs
        .iter()
        .zip(&loaded)
        .map(|(pack, (product, probes, recog))| Known { pack, product, probes, recog })
        .collect();
    discover(&Request { scope, known: &known, imports, begin: Begin::default(), limits, progress }).unwrap()
}

fn scope(text: &str) -> Scope {
    Scope::parse("scope.toml", &format!("organisation = \"Example Agency\"\ncontact = \"soc@example.gov\"\n{text}"))
        .unwrap()
}

/// One instance, `host`, at this address.
fn scope_of(target: SocketAddr) -> Scope {
    scope(&format!("[[instance]]\nname = \"host\"\naddress = \"{target}\""))
}

/// Writes `cert.pem` and `key.pem` into a folder. The ciphers that a server chooses depend on the kind of its key.
fn make_certificate(folder: &Path, subject: &str) {
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-keyout", "key.pem", "-out"]);
    let made = openssl.args(["cert.pem", "-subj", subject]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// State of every instance, then the gaps, then what the ledger counts.
fn shown(outcome: &Outcome) -> String {
    let mut parts: Vec<String> = outcome.instances.iter().map(|i| format!("{}={:?}", i.name, i.state)).collect();
    parts.extend(outcome.gaps.iter().map(|(_, gap)| gap.code.clone()));
    parts.join(" ")
}

/// A server on loopback that treats every visitor in its own way.
struct Server {
    at: SocketAddr,
    visits: Arc<AtomicUsize>,
}

impl Server {
    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", serve)
    }

    fn at(address: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let at = listener.local_addr().unwrap();
        let visits = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&visits), Arc::new(serve));
        // Ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { at, visits }
    }

    /// A web server in the clear: refuses TLS as such servers do, and answers the rest by `serve`.
    fn clear(serve: impl Fn(TcpStream, &str) + Send + Sync + 'static) -> Self {
        Self::start(move |mut stream| {
            let mut heard = [0; 4096];
            let length = stream.read(&mut heard).unwrap_or(0);
            if heard[0] == 0x16 {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            } else {
                serve(stream, &String::from_utf8_lossy(&heard[..length]));
            }
        })
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

/// Writes until the other side hangs up.
fn pour(mut stream: TcpStream, first: &[u8], again: &[u8]) {
    if stream.write_all(first).is_ok() {
        while stream.write_all(again).is_ok() {}
    }
}
