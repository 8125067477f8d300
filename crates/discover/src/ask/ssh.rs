//! SSH: how does the server identify itself?
//!
//! Reads the identification line and hangs up; no key is exchanged.
//! Source: RFC 4253 section 4.2: `SSH-protoversion-softwareversion SP comments CR LF`, at most 255
//! bytes; other lines may come before it and must not begin with `SSH-`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Trouble;
use crate::limits::Limits;

/// The longest identification line, with its CR LF.
const LINE: usize = 255;

/// Our own identification, for a server that waits for it.
const OURS: &[u8] = b"SSH-2.0-Portcullis\r\n";

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// `softwareversion SP comments`.
    Banner(String),
    /// The server waits for us to speak.
    Nothing,
    /// It spoke, and not SSH.
    Other,
    /// It did not finish, or talked too much.
    Trouble(Trouble),
}

/// The identification in what a server said to a hello of another protocol, if it is whole.
pub(super) fn identified(heard: &[u8]) -> Option<String> {
    let (line, whole) = last_line(heard);
    match identification(line) {
        Heard::Banner(banner) if whole && line.starts_with(b"SSH-") => Some(banner),
        _ => None,
    }
}

/// Says who we are, and listens again.
pub(super) async fn introduce(stream: &mut TcpStream, limits: &Limits) -> Heard {
    match stream.write_all(OURS).await {
        Ok(()) => listen(stream, limits).await,
        Err(_) => Heard::Other,
    }
}

/// Waits a moment for a server that speaks first.
pub(super) async fn listen(stream: &mut TcpStream, limits: &Limits) -> Heard {
    let mut heard = Vec::new();
    match timeout(limits.banner, stream.read_buf(&mut heard)).await {
        Err(_) => return Heard::Nothing,
        Ok(Ok(0) | Err(_)) => return Heard::Trouble(missing("the server closed the connection")),
        Ok(Ok(_)) => {}
    }
    match timeout(limits.answer, complete(stream, heard, limits)).await {
        Ok(heard) => heard,
        Err(_) => Heard::Trouble(Trouble::Timeout { what: "the SSH identification".into(), within: limits.answer }),
    }
}

/// Reads on until the identification line is there.
async fn complete(stream: &mut TcpStream, mut heard: Vec<u8>, limits: &Limits) -> Heard {
    loop {
        let (line, whole) = last_line(&heard);
        if line.starts_with(b"SSH-") {
            if whole {
                return identification(line);
            }
            if line.len() > LINE {
                return Heard::Trouble(too_large("the SSH identification", LINE));
            }
        } else if heard.len() > limits.banner_bytes {
            return Heard::Trouble(too_large("what came before an SSH identification", limits.banner_bytes));
        }
        // A mail server is silent after its greeting: that is its answer, not a trouble.
        let done = !line.is_empty() && !line.starts_with(b"SSH-") && heard.ends_with(b"\n");
        let more = stream.read_buf(&mut heard);
        match if done { timeout(limits.banner, more).await } else { Ok(more.await) } {
            Err(_) => return Heard::Other,
            Ok(Ok(0) | Err(_)) if last_line(&heard).0.starts_with(b"SSH-") => {
                return Heard::Trouble(missing("the server closed the connection within its identification"));
            }
            Ok(Ok(0) | Err(_)) => return Heard::Other,
            Ok(Ok(_)) => {}
        }
    }
}

/// The identification line or, while there is none, the last line; and whether it is whole.
fn last_line(heard: &[u8]) -> (&[u8], bool) {
    let mut last: (&[u8], bool) = (b"", false);
    for line in heard.split_inclusive(|byte| *byte == b'\n') {
        last = (line, line.ends_with(b"\n"));
        if line.starts_with(b"SSH-") {
            break;
        }
    }
    last
}

fn identification(line: &[u8]) -> Heard {
    if line.len() > LINE {
        return Heard::Trouble(too_large("the SSH identification", LINE));
    }
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    // "SSH-", the protocol version, "-", and the rest, which may hold more dashes.
    match text.splitn(3, '-').nth(2) {
        Some(banner) if !banner.is_empty() => Heard::Banner(banner.to_owned()),
        _ => Heard::Trouble(Trouble::Garbled {
            what: "the SSH identification".into(),
            problem: "no software version in it".into(),
        }),
    }
}

fn too_large(what: &str, limit: usize) -> Trouble {
    Trouble::TooLarge { what: what.into(), limit }
}

fn missing(problem: &str) -> Trouble {
    Trouble::Missing { what: "an answer".into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let shown = match identification(line.as_bytes()) {
            Heard::Banner(banner) => banner,
            other => format!("{other:?}"),
        };
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn software_and_comment_are_the_banner() {
        check("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "OpenSSH_9.2p1 Debian-2+deb12u3");
        check("SSH-1.99-Cisco-1.25\n", "Cisco-1.25");
    }

    #[test]
    fn a_line_without_software_is_garbled() {
        check("SSH-2.0\r\n", "Garbled");
        check("SSH-2.0-\r\n", "Garbled");
    }

    #[test]
    fn a_line_of_256_bytes_is_too_large() {
        check(&format!("SSH-2.0-{}\n", "a".repeat(LINE - 8)), "TooLarge");
    }

    #[test]
    fn the_identification_is_found_behind_other_lines() {
        assert_eq!(last_line(b"hello\r\nSSH-2.0-x\r\nbinary\n"), (&b"SSH-2.0-x\r\n"[..], true));
        assert_eq!(last_line(b"hello\r\nSSH-2.0"), (&b"SSH-2.0"[..], false));
        assert_eq!(last_line(b""), (&b""[..], false));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_last_line(bytes: Vec<u8>) {
            let _ = identification(last_line(&bytes).0);
        }
    }
}
