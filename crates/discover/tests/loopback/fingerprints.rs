//! How a server speaks TLS, and which icon it shows: does every run see the same, and the same as others see?

use std::process::{Child, Command, Stdio};

use super::sshd::are_there;
use super::*;

/// A server of OpenSSL's, with a certificate of its own.
struct OpenSsl {
    child: Child,
    at: SocketAddr,
    _dir: tempfile::TempDir,
}

impl OpenSsl {
    fn start(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_certificate(dir.path(), "/O=Fortinet/CN=FGT60F");
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("openssl");
        let accept = at.to_string();
        command.args(["s_server", "-quiet", "-www", "-accept", &accept, "-cert", "cert.pem", "-key", "key.pem"]);
        command.current_dir(dir.path());
        let child = command.args(options).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, at, _dir: dir };
        for _ in 0..200 {
            if TcpStream::connect(at).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("openssl does not listen at {at}");
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks at one address with probes and databases of the test.
fn look(at: SocketAddr, probes: &str, databases: &[(String, String)]) -> Outcome {
    look_within(Limits::default(), at, probes, databases)
}

fn look_within(limits: Limits, at: SocketAddr, probes: &str, databases: &[(String, String)]) -> Outcome {
    let product: Product = toml::from_str("name = \"Gate\"\nvendor = \"Example\"").unwrap();
    let probes: Probes = toml::from_str(probes).unwrap();
    let recog = recog::load_all(databases).unwrap();
    let known = [Known { pack: "test", product: &product, probes: &probes, recog: &recog }];
    let scope = scope_of(at);
    let begin = Begin::default();
    let request = Request { scope: &scope, known: &known, imports: &[], begin, limits, progress: &Unwatched };
    discover(&request).unwrap()
}

/// Settings of OpenSSL 3.0, and the digits that the reference implementation gives for a server with them.
const KNOWN: [(&[&str], &str); 3] = [
    (&[], "07d14d16d21d21d00042d43d000000aa99ce74e2c6d013c745aa52b5cc042d"),
    (
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA"],
        "29d08d00029d29d00029d08d29d29de904d55e8ce780f79e868c0a413f1c7f",
    ),
    (&["-tls1_3", "-alpn", "http/1.1"], "00000000000000000042d43d0000009535d5979f591ae8e547c5e5743e5b64"),
];

#[test]
fn the_digits_of_a_real_openssl_are_those_that_others_count_in_every_run() {
    if !are_there(&["/usr/bin/openssl"]) {
        return;
    }
    for (options, digits) in KNOWN {
        let server = OpenSsl::start(options);
        for _ in 0..3 {
            let probe = format!("[[probe]]\nid = \"a\"\nover = \"tls\"\nidentifies = [{{ jarm = \"^{digits}$\" }}]");
            let outcome = look(server.at, &probe, &[]);
            assert!(shown(&outcome).starts_with("host=Identified"), "{options:?}: {}", shown(&outcome));
            assert_eq!(outcome.ledger.connections, 11, "one for the certificate, ten for the digits");
        }
    }
}

#[test]
fn a_server_that_answers_one_handshake_and_then_no_more_costs_little_and_is_told() {
    if !are_there(&["/usr/bin/openssl"]) {
        return;
    }
    let openssl = OpenSsl::start(&[]);
    let (to, visits) = (openssl.at, AtomicUsize::new(0));
    let server = Server::start(move |mut stream| {
        if visits.fetch_add(1, Ordering::SeqCst) > 0 {
            return std::thread::sleep(Duration::from_secs(20));
        }
        let mut inner = TcpStream::connect(to).unwrap();
        let (mut from, mut back) = (inner.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut back));
        let _ = std::io::copy(&mut stream, &mut inner);
    });
    let probe = "[[probe]]\nid = \"a\"\nover = \"tls\"\nidentifies = [{ jarm = \"^07d\" }]";
    let start = std::time::Instant::now();
    let outcome = look_within(impatient(), server.at, probe, &[]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(shown(&outcome), "host=AnsweredUnknown answer-missing");
    assert!(outcome.gaps[0].1.why.contains("the fingerprint of its TLS"), "{:?}", outcome.gaps);
}

/// Whoever takes the same library shows the same: the published list calls every OpenSSL 3.0 by another name.
#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn the_published_list_of_digits_is_read_and_never_counts_as_the_product() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recog/tls_jarm.xml");
    let Ok(list) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no Recog databases at ../shared/data/recog beside the repository");
        return;
    };
    if !are_there(&["/usr/bin/openssl"]) {
        return;
    }
    let server = OpenSsl::start(&[]);
    let outcome = look(server.at, "", &[("tls_jarm.xml".to_owned(), list)]);
    assert_eq!(shown(&outcome), "host=AnsweredUnknown");
    let [(_, finding)] = &outcome.findings[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!(finding.rule.as_deref(), Some("recog tls.jarm"));
    assert!(finding.why.contains("Metasploit"), "{finding:?}");
}

#[test]
fn a_certificate_alone_tells_a_neighbour() {
    if !are_there(&["/usr/bin/openssl"]) {
        return;
    }
    let server = OpenSsl::start(&[]);
    let outcome = find(&["ed-21-03"], &scope_of(server.at), &Unwatched);
    let [(_, finding)] = &outcome.findings[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!(finding.rule.as_deref(), Some("neighbour fortigate-certificate"));
}

#[test]
fn an_icon_is_known_by_both_digests_wherever_the_page_says_that_it_lies() {
    let serve = |mut stream: TcpStream, request: &str| {
        let (kind, body) = match request.split(' ').nth(1) {
            Some("/img/gate.ico") => ("image/x-icon", "abc"),
            _ => ("text/html", "<link rel=\"shortcut icon\" href=\"img/gate.ico\">"),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
        let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
    };
    let server = Server::clear(serve);
    let probe = "[[probe]]\nid = \"a\"\nover = \"http\"\npath = \"/\"\n\
                 identifies = [{ icon = \"^900150983cd24fb0d6963f7d28e17f72$\" }]";
    assert_eq!(shown(&look(server.at, probe, &[])), "host=Identified version-unread");
    let database = "<fingerprints matches=\"favicon.mmh3\"><fingerprint pattern=\"^-868969266$\">\
                    <description>d</description><param pos=\"0\" name=\"service.product\" value=\"Gate\"/>\
                    <param pos=\"0\" name=\"service.version\" value=\"7\"/>\
                    <param pos=\"0\" name=\"service.certainty\" value=\"0.3\"/></fingerprint></fingerprints>";
    let path = "[[probe]]\nid = \"a\"\nover = \"http\"\npath = \"/\"";
    let outcome = look(server.at, path, &[("icons.xml".to_owned(), database.to_owned())]);
    let witness = &outcome.instances[0].version.witnesses[0];
    assert_eq!((witness.value.as_str(), witness.confidence), ("7", directive::record::Confidence::Low));
}

#[test]
fn a_version_is_asked_for_where_only_a_fingerprint_names_the_product() {
    let serve = |mut stream: TcpStream, request: &str| {
        let body = if request.starts_with("GET /version ") { "v7.1" } else { "<title>Gate</title>" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    };
    let server = Server::clear(serve);
    let database = "<fingerprints matches=\"html_title\"><fingerprint pattern=\"^Gate$\"><description>d</description>\
                    <param pos=\"0\" name=\"service.product\" value=\"Gate\"/></fingerprint></fingerprints>";
    let probes = "[[probe]]\nid = \"a\"\nover = \"http\"\npath = \"/\"\n\
                  [[probe]]\nid = \"b\"\nover = \"http\"\npath = \"/version\"\n\
                  version = [{ in = \"body\", pattern = 'v(?<version>[0-9.]+)' }]";
    let outcome = look(server.at, probes, &[("titles.xml".to_owned(), database.to_owned())]);
    assert_eq!(outcome.instances[0].version.value.as_deref(), Some("7.1"), "{}", shown(&outcome));
}

#[test]
fn a_server_that_makes_fingerprints_search_without_end_is_told() {
    let serve = |mut stream: TcpStream, _: &str| {
        let title = "a".repeat(1000) + "b";
        let body = format!("<title>{title}</title>");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    };
    let server = Server::clear(serve);
    let slow = "<fingerprint pattern=\"^(?:a|a(?=a))+$\"><description>d</description></fingerprint>";
    let database = format!("<fingerprints matches=\"html_title\">{}</fingerprints>", slow.repeat(50));
    let path = "[[probe]]\nid = \"a\"\nover = \"http\"\npath = \"/\"";
    let start = std::time::Instant::now();
    let outcome = look(server.at, path, &[("titles.xml".to_owned(), database)]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(shown(&outcome).starts_with("host=AnsweredUnknown fingerprint-exhausted"), "{}", shown(&outcome));
}
