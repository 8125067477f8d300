//! Hostile: can somebody who asks wrongly, hugely or slowly keep the server from the others?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serve::Limits;

use crate::{Authority, word};

const JSON: &str = "content-type: application/json";

/// Whether the server still takes a report.
#[track_caller]
fn still_serves(authority: &Authority) {
    authority.submit(&authority.report(1, ""), None).unwrap();
}

#[test]
fn a_report_that_is_too_large_is_refused_before_it_is_read_whole() {
    let authority = Authority::with(Limits { body: 100_000, unpacked: 1_000_000, ..Limits::default() });
    let bytes = authority.report(1, "").to_string().into_bytes();
    let signed = authority.signed(&authority.statement(&bytes, None));
    // It says how large it is.
    let head = authority.post(&authority.token, &signed, &[JSON, "content-length: 100000000000"], b"");
    assert_eq!(authority.ask(&head).0, 413);
    // It does not say so.
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let head = authority.post(&authority.token, &signed, &[JSON, "transfer-encoding: chunked"], &chunk.repeat(4));
    assert_eq!(authority.ask(&head).0, 413);
    // It is small and unpacks to much.
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&vec![b' '; 2_000_000]).unwrap();
    let bomb = packer.finish().unwrap();
    let length = format!("content-length: {}", bomb.len());
    let request = authority.post(&authority.token, &signed, &[JSON, "content-encoding: gzip", &length], &bomb);
    let (status, _, body) = authority.ask(&request);
    assert_eq!(status, 413, "{}", String::from_utf8_lossy(&body));
    still_serves(&authority);
}

#[test]
fn what_is_no_report_is_refused_with_a_reason() {
    let authority = Authority::new();
    let bytes = authority.report(1, "").to_string().into_bytes();
    let signed = authority.signed(&authority.statement(&bytes, None));
    let ask = |lines: &[&str], body: &[u8]| {
        let length = format!("content-length: {}", body.len());
        let lines = [lines, &[&length]].concat();
        let (status, head, body) = authority.ask(&authority.post(&authority.token, &signed, &lines, body));
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        let problem: serve::protocol::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.status, status);
        (status, word(&problem).to_owned())
    };
    assert_eq!(ask(&["content-type: text/html"], &bytes), (415, "form-of-body".into()));
    assert_eq!(ask(&[JSON, "content-encoding: br"], &bytes), (415, "form-of-body".into()));
    assert_eq!(ask(&[JSON, "content-encoding: gzip"], &bytes), (400, "report".into()));
    for wrong in ["", "null", "[]", "{}", "{\"organisation\":1}", &"[".repeat(100_000), "\u{0}"] {
        let mut statement = authority.statement(&bytes, None);
        statement.report_sha256 = attest::sha256(wrong.as_bytes());
        let refused = authority.hand_in(&authority.token, wrong.as_bytes(), &authority.signed(&statement)).unwrap_err();
        assert_eq!((refused.status, word(&refused)), (400, "report"));
    }
    for header in ["", "portcullis-attestation: !", "portcullis-attestation: e30="] {
        let request = format!(
            "POST /v1/reports HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             {JSON}\r\n{header}\r\ncontent-length: 0\r\n\r\n",
            authority.token
        );
        let request = request.replace("\r\n\r\ncontent", "\r\ncontent");
        assert_eq!(authority.ask(request.as_bytes()).0, 400, "{header}");
    }
    still_serves(&authority);
}

#[test]
fn a_report_with_a_question_twice_is_no_report_that_two_readers_see_alike() {
    let authority = Authority::new();
    let text = authority.report(1, "").to_string();
    let twice = text.replacen("\"form\":", "\"form\":{\"fields\":[],\"rows\":[]},\"form\":", 1);
    let signed = authority.signed(&authority.statement(twice.as_bytes(), None));
    let refused = authority.hand_in(&authority.token, twice.as_bytes(), &signed).unwrap_err();
    assert_eq!(word(&refused), "report");
}

#[test]
fn half_a_request_half_a_handshake_and_half_a_body_end_by_themselves() {
    let short = Duration::from_millis(300);
    let limits = Limits { handshake: short, head: short, body_time: short, ..Limits::default() };
    let authority = Authority::with(limits);
    let bytes = authority.report(1, "").to_string().into_bytes();
    let signed = authority.signed(&authority.statement(&bytes, None));

    let mut plain = TcpStream::connect(authority.address).unwrap();
    plain.write_all(&[22, 3, 1]).unwrap();
    let mut head = authority.connect();
    head.write_all(b"POST /v1/reports HTTP/1.1\r\nhost: local").unwrap();
    let mut idle = authority.connect();
    idle.flush().unwrap();
    let request = authority.post(&authority.token, &signed, &[JSON, "content-length: 1000"], b"half");
    let mut body = authority.connect();
    body.write_all(&request).unwrap();
    // Others are served meanwhile.
    still_serves(&authority);

    // Each of these would read for ever if the server did not end it.
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    let _ = head.read_to_end(&mut rest);
    let _ = idle.read_to_end(&mut rest);
    let mut answer = Vec::new();
    let _ = body.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn one_address_cannot_take_all_connections_and_ended_ones_make_room() {
    let authority = Authority::with(Limits { from_one: 4, ..Limits::default() });
    let mut held: Vec<_> = (0..4).map(|_| authority.connect()).collect();
    for stream in &mut held {
        stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n").unwrap();
        stream.flush().unwrap();
    }
    let mut fifth = TcpStream::connect(authority.address).unwrap();
    assert_eq!(fifth.read(&mut [0; 1]).unwrap_or_default(), 0, "it is closed at once");
    drop(held);
    // The server notices on its own time that they have gone.
    while authority.ask(b"GET /v1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").0 != 200 {}
    still_serves(&authority);
}

#[test]
fn whoever_tries_tokens_has_to_wait_and_so_does_whoever_asks_too_often() {
    let authority = Authority::with(Limits { failures: 3, ..Limits::default() });
    let ask = |token: &str| {
        let request = format!(
            "GET /v1/reports HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        authority.ask(request.as_bytes())
    };
    assert_eq!([ask("a").0, ask("b").0, ask("c").0, ask("d").0], [401, 401, 401, 429]);
    let (status, head, _) = ask(&authority.token);
    assert_eq!(status, 429, "the right one does not help from there");
    assert!(head.contains("retry-after: "), "{head}");

    let authority = Authority::with(Limits { requests: 2, ..Limits::default() });
    let client = authority.client(&authority.token);
    assert!(client.list().is_ok() && client.list().is_ok() && client.list().is_err());
    assert!(authority.client(&authority.other_token).list().is_ok(), "another organisation does not wait for it");
}

#[test]
fn no_report_goes_over_a_connection_that_nobody_vouches_for() {
    let authority = Authority::new();
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let stranger = crate::pem("CERTIFICATE", stranger.cert.der());
    let base = format!("https://localhost:{}", authority.address.port());
    let client = serve::client::Client::new(&base, &authority.token, Some(stranger.as_bytes())).unwrap();
    assert!(matches!(client.list(), Err(serve::client::Error::Trust(_))));
    let plain = format!("http://localhost:{}", authority.address.port());
    let refused = serve::client::Client::new(&plain, &authority.token, Some(stranger.as_bytes())).err().unwrap();
    assert!(matches!(refused, serve::client::Error::Address(_)));
    let mut stream = TcpStream::connect(authority.address).unwrap();
    stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "the server speaks without TLS");
}
