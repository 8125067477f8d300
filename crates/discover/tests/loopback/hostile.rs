//! Servers that mean harm: each costs bounded time and memory, and becomes a gap or an escaped string.

use std::time::Instant;

use super::*;

/// What discovery of a pack's product makes of a server, which must not take long.
#[track_caller]
fn check(pack: &str, server: &Server, expected: &str) -> Outcome {
    let start = Instant::now();
    let outcome = find_within(impatient(), &[pack], &scope_of(server.at), &Unwatched);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(shown(&outcome), expected, "{:?}", outcome.gaps);
    assert_eq!((outcome.ledger.addresses, outcome.ledger.answered), (1, 1));
    for (name, gap) in &outcome.gaps {
        assert_eq!(name.as_deref(), Some("host"));
        assert!(!gap.why.chars().any(char::is_control), "{gap:?}");
    }
    outcome
}

#[track_caller]
fn web(serve: impl Fn(TcpStream, &str) + Send + Sync + 'static, expected: &str) -> Outcome {
    check("ed-21-03", &Server::clear(serve), expected)
}

#[track_caller]
fn ssh(serve: impl Fn(TcpStream) + Send + Sync + 'static, expected: &str) -> Outcome {
    check("openssh-cve-2024-6387", &Server::start(serve), expected)
}

fn sleep_on(stream: TcpStream) {
    std::thread::sleep(Duration::from_secs(20));
    drop(stream);
}

#[test]
fn headers_that_never_end() {
    let serve = |stream, _: &str| pour(stream, b"HTTP/1.1 200 OK\r\n", b"X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    web(serve, "host=AnsweredUnknown answer-too-large");
}

#[test]
fn one_endless_header() {
    let serve = |stream, _: &str| pour(stream, b"HTTP/1.1 200 OK\r\nX-More: ", &[b'a'; 4096]);
    web(serve, "host=AnsweredUnknown answer-too-large");
}

#[test]
fn an_endless_body() {
    let serve = |stream, _: &str| pour(stream, b"HTTP/1.1 200 OK\r\n\r\n", &[b'a'; 4096]);
    web(serve, "host=AnsweredUnknown answer-too-large answer-too-large");
}

#[test]
fn a_title_of_100_megabytes() {
    let serve = |stream, _: &str| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n<title>Pulse Connect Secure ";
        pour(stream, head, &[b'x'; 4096]);
    };
    // The same page for every path is what a decoy gives.
    let outcome = web(serve, "host=Identified answer-too-large answer-too-large version-unread decoy-suspected");
    assert!(outcome.gaps.iter().all(|(_, gap)| !gap.required));
}

#[test]
fn a_slow_drip() {
    let serve = |mut stream: TcpStream, _: &str| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    web(serve, "host=AnsweredUnknown answer-timeout");
}

#[test]
fn a_slow_drip_of_ssh() {
    let serve = |mut stream: TcpStream| {
        while stream.write_all(b"S").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    ssh(serve, "host=AnsweredUnknown answer-timeout");
}

#[test]
fn garbage_for_tls_and_for_http() {
    let server = Server::start(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&[0x16, 0x03, 0x03, 0xff, 0xff, 0x01, 0x02, 0x80, 0x00, 0x1b, 0x5b]);
    });
    check("ed-21-03", &server, "host=AnsweredUnknown answer-garbled");
}

#[test]
fn tls_that_nobody_speaks_any_more() {
    let server = Server::start(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        // A fatal alert: protocol version.
        let _ = stream.write_all(&[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]);
    });
    check("ed-21-03", &server, "host=AnsweredUnknown tls-not-shared");
}

#[test]
fn a_silent_listener() {
    check("ed-21-03", &Server::start(sleep_on), "host=AnsweredUnknown answer-timeout");
}

#[test]
fn a_silent_listener_that_was_asked_for_ssh_is_simply_no_ssh() {
    ssh(sleep_on, "host=AnsweredUnknown");
}

#[test]
fn a_listener_that_hangs_up() {
    check("ed-21-03", &Server::start(drop), "host=AnsweredUnknown answer-missing");
    ssh(drop, "host=AnsweredUnknown answer-missing");
}

#[test]
fn a_compressed_bomb_is_not_unpacked() {
    let serve = |mut stream: TcpStream, _: &str| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00";
        let _ = stream.write_all(head);
    };
    web(serve, "host=AnsweredUnknown");
}

#[test]
fn a_banner_of_10_megabytes() {
    let serve = |mut stream: TcpStream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_").and_then(|()| stream.write_all(&vec![b'9'; 10 << 20]));
    };
    ssh(serve, "host=AnsweredUnknown answer-too-large");
}

#[test]
fn endless_lines_before_the_banner() {
    ssh(|stream| pour(stream, b"", b"hello\r\n"), "host=AnsweredUnknown answer-too-large");
}

#[test]
fn control_characters_in_a_banner() {
    let serve = |mut stream: TcpStream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\x1b[2J Debian\x07\xff\r\n");
        sleep_on(stream);
    };
    let outcome = ssh(serve, "host=Identified");
    assert_eq!(outcome.instances[0].version.witnesses[0].value, "9.2p1\\x1b[2J Debian\\x07\u{fffd}");
}

#[test]
fn a_mail_server_is_no_ssh_and_no_gap() {
    let serve = |mut stream: TcpStream| {
        let _ = stream.write_all(b"220 mail.example.gov ESMTP\r\n");
        sleep_on(stream);
    };
    ssh(serve, "host=AnsweredUnknown");
}

#[test]
fn a_server_that_waits_for_our_identification_gets_it() {
    let serve = |mut stream: TcpStream| {
        let mut heard = [0; 64];
        let length = stream.read(&mut heard).unwrap_or(0);
        if heard[..length] == *b"SSH-2.0-Portcullis\r\n" {
            let _ = stream.write_all(b"welcome\r\nSSH-2.0-OpenSSH_9.2p1\r\n");
        }
        sleep_on(stream);
    };
    ssh(serve, "host=Identified");
}
