//! Authority: what does the server take, what does it refuse, and who can keep it from the others?
//!
//! A real server over real TLS on loopback, asked by the client of the product and, where that would never do such a
//! thing, byte by byte.
#![expect(clippy::unwrap_used, reason = "integration tests that run a server")]

mod door;
mod hostile;
mod openapi;
mod versions;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use attest::{ATTESTATION, Attestation, PublicKey, RECEIPT, Receipt, SecretKey, sha256, verify};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use directive::pack::Pack;
use directive::record::PackRef;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use serve::client::{Client, Error};
use serve::protocol::{Problem, Signed};
use serve::{Config, Limits, Renew, Server, Store};

/// An organisation on the list of the form of ED 21-03.
const ORGANISATION: &str = "Department of Energy (DOE)";
const OTHER: &str = "Peace Corps (PC)";

/// A server, and all that an organisation needs to hand in a report.
struct Authority {
    address: SocketAddr,
    certificate: String,
    token: String,
    other_token: String,
    officer: SecretKey,
    receipt_key: PublicKey,
    pack: PackRef,
    clock: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

/// The pack of ED 21-03, with room for any number of instances.
fn pack() -> Pack {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ed-21-03");
    let mut files = feed::folder::read(&folder, Default::default()).unwrap();
    let form = String::from_utf8(files["report.toml"].clone()).unwrap();
    files.insert("report.toml".into(), form.replace("most-rows = 288\n", "").into_bytes());
    Pack::parse("ed-21-03", &files).unwrap()
}

/// Bytes in PEM. Source: RFC 7468.
fn pem(label: &str, bytes: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(bytes);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Authority {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = pem("CERTIFICATE", made.cert.der());
        let officer = SecretKey::generate().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let mut add = |name: &str| {
            let officers = [officer.public()];
            store.add(name, &officers, Renew::No, Timestamp::UNIX_EPOCH).unwrap().token.unwrap()
        };
        let (token, other_token) = (add(ORGANISATION), add(OTHER));
        drop(store);
        let clock = Arc::new(AtomicI64::new(at("2021-04-23T20:00:00Z").as_second()));
        let shown = Arc::clone(&clock);
        let pack = pack();
        let reference = pack.reference();
        let server = Server::open(Config {
            folder: folder.path().to_owned(),
            authority: "Example Authority".into(),
            packs: vec![pack],
            exercise: false,
            listen: "127.0.0.1:0".parse().unwrap(),
            certificate: certificate.clone().into_bytes(),
            key: pem("PRIVATE KEY", &made.signing_key.serialize_der()).into_bytes(),
            limits,
            clock: Box::new(move || Timestamp::from_second(shown.load(Ordering::SeqCst)).unwrap()),
            log: Box::new(|_| {}),
        })
        .unwrap();
        let address = server.address();
        let receipt_key = PublicKey::parse(&server.receipt_key()).unwrap();
        std::thread::spawn(move || server.run());
        let _folder = folder;
        Self { address, certificate, token, other_token, officer, receipt_key, pack: reference, clock, _folder }
    }

    fn set_clock(&self, time: &str) {
        self.clock.store(at(time).as_second(), Ordering::SeqCst);
    }

    fn client(&self, token: &str) -> Client {
        let base = format!("https://localhost:{}", self.address.port());
        Client::new(&base, token, Some(self.certificate.as_bytes())).unwrap()
    }

    /// A report that holds, of `rows` instances; `comment` makes it another one.
    fn report(&self, rows: usize, comment: &str) -> Value {
        let answer = |id: &str, value: &str| json!({ "id": id, "label": "x", "value": value, "records": [] });
        let row = |n: usize| {
            let answers = [
                answer("7", "9.1R10"),
                answer("8", "Yes - no hash mismatches or newly detected files found"),
                answer("11", "No"),
            ];
            json!({ "instance": format!("vpn{n}"), "answers": answers })
        };
        json!({
            "organisation": ORGANISATION,
            "pack": { "id": self.pack.id, "sha256": self.pack.sha256 },
            "at": "2021-04-22T00:00:00Z",
            "exercise": false,
            "form": {
                "fields": [
                    answer("agency", ORGANISATION),
                    answer("poc-name", "J. Doe"),
                    answer("poc-email", "j.doe@example.org"),
                    answer("poc-phone", "1"),
                    answer("q1", if rows > 0 { "Yes" } else { "No" }),
                    answer("q2", comment),
                    answer("department-level", "Yes"),
                    answer("signature", "J. Doe"),
                ],
                "rows": (1..=rows).map(row).collect::<Vec<_>>(),
                "broken": ["believe me, nothing is"],
            },
        })
    }

    /// What the officer says of a report.
    fn statement(&self, report: &[u8], replaces: Option<&str>) -> Attestation {
        Attestation {
            organisation: ORGANISATION.into(),
            pack: self.pack.clone(),
            report_sha256: sha256(report),
            as_of: at("2021-04-22T00:00:00Z"),
            exercise: false,
            missing: 0,
            broken: 0,
            replaces: replaces.map(str::to_owned),
            officer: "J. Doe".into(),
            role: "Chief Information Officer".into(),
            signed: at("2021-04-22T00:00:00Z"),
        }
    }

    fn signed(&self, attestation: &Attestation) -> Signed {
        let statement = attestation.text();
        let signature = self.officer.sign(ATTESTATION, &statement).unwrap();
        Signed { statement, signature }
    }

    /// Hands a report in as it should be; the receipt counts.
    fn submit(&self, report: &Value, replaces: Option<&str>) -> Result<Receipt, Box<Problem>> {
        let bytes = report.to_string().into_bytes();
        let signed = self.signed(&self.statement(&bytes, replaces));
        self.hand_in(&self.token, &bytes, &signed)
    }

    fn hand_in(&self, token: &str, report: &[u8], signed: &Signed) -> Result<Receipt, Box<Problem>> {
        match self.client(token).submit(report, signed) {
            Ok(taken) => {
                let receipt = taken.receipt;
                verify(&receipt.statement, &receipt.signature, RECEIPT, std::slice::from_ref(&self.receipt_key))
                    .unwrap();
                Ok(Receipt::parse(&receipt.statement).unwrap())
            }
            Err(Error::Refused(problem)) => Err(problem),
            Err(err) => panic!("{err}: {:?}", std::error::Error::source(&err)),
        }
    }

    /// A connection over TLS, for what the client never does.
    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(connection, TcpStream::connect(self.address).unwrap())
    }

    /// Sends a request as it is written; the whole answer: status, head, body.
    fn ask(&self, request: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = self.connect();
        // Who refuses a body early does not read it to its end.
        let _ = stream.write_all(request);
        let _ = stream.flush();
        let mut answer = Vec::new();
        let mut piece = [0; 16 << 10];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            answer.extend_from_slice(&piece[..read]);
        }
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, head, answer.get(end + 4..).unwrap_or_default().to_vec())
    }

    /// A request to hand in, byte by byte: `lines` are further lines of its head.
    fn post(&self, token: &str, signed: &Signed, lines: &[&str], body: &[u8]) -> Vec<u8> {
        let header = BASE64_STANDARD.encode(serde_json::to_vec(signed).unwrap());
        let mut request = format!(
            "POST /v1/reports HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             portcullis-attestation: {header}\r\n"
        );
        lines.iter().for_each(|line| request += &format!("{line}\r\n"));
        let mut request = (request + "\r\n").into_bytes();
        request.extend_from_slice(body);
        request
    }
}

/// The word of a refusal.
fn word(problem: &Problem) -> &str {
    problem.r#type.strip_prefix("urn:portcullis:problem:").unwrap()
}
