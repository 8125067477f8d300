//! Two: how does one request look as HTTP/2, with a path that no library would send?
//!
//! One connection, one stream: the preface, our settings, one HEADERS frame with literals that are neither indexed nor
//! compressed. Of what comes back, the status and the body of our stream are read; every other frame is passed over.
//! Source: RFC 9113 sections 3.4, 4.1, 6; RFC 7541 section 6.2.2 and appendices A and B.

use std::io::{Read as _, Write as _};

use super::{Answer, Line, MOST};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Asks for a path. `None`: HTTP/2 is not spoken here.
pub(super) fn ask(line: &mut Line, host: &str, agent: &str, path: &[u8]) -> Option<Answer> {
    let Line::Tls(stream) = &*line else { return None };
    if stream.conn.alpn_protocol() != Some(b"h2") {
        return None;
    }
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut out, SETTINGS, 0, 0, &[]);
    let mut block = Vec::new();
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", host.as_bytes()),
        (b":path", path),
        (b"user-agent", agent.as_bytes()),
    ];
    for (name, value) in fields {
        // A literal that is never indexed, with a name of its own.
        block.push(0x10);
        string(&mut block, name);
        string(&mut block, value);
    }
    frame(&mut out, HEADERS, END_STREAM | END_HEADERS, 1, &block);
    // Whoever closes while we still write has answered too.
    let _ = line.write_all(&out).and_then(|()| line.flush());
    Some(read(line))
}

fn read(line: &mut Line) -> Answer {
    let mut answer = Answer::default();
    let mut total = 0;
    while total < MOST {
        let mut head = [0; 9];
        if let Err(err) = line.read_exact(&mut head) {
            answer.silent =
                total == 0 && matches!(err.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            break;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        // We have announced no more than 16 KiB a frame.
        if length > MOST {
            break;
        }
        let mut payload = vec![0; length];
        if line.read_exact(&mut payload).is_err() {
            break;
        }
        total += 9 + length;
        let (kind, flags, is_ours) = (head[3], head[4], head[5..9] == [0, 0, 0, 1]);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                let mut out = Vec::new();
                frame(&mut out, SETTINGS, ACK, 0, &[]);
                let _ = line.write_all(&out).and_then(|()| line.flush());
            }
            HEADERS if is_ours => answer.status = answer.status.or_else(|| status(&payload)),
            DATA if is_ours => answer.body.extend_from_slice(&payload),
            RESET if is_ours => break,
            GOAWAY => break,
            _ => {}
        }
        if is_ours && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            break;
        }
    }
    answer
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    let length = payload.len();
    // Our frames are far below 16 KiB.
    out.extend_from_slice(&[0, (length >> 8 & 0xff) as u8, (length & 0xff) as u8, kind, flags, 0, 0, 0, stream]);
    out.extend_from_slice(payload);
}

/// A string without compression; its length is a prefixed integer of seven bits.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        out.push(text.len() as u8);
    } else {
        out.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text);
}

/// The status at the beginning of a block of headers, where it must stand.
fn status(block: &[u8]) -> Option<u16> {
    // Updates of the size of the table may come first.
    let block = &block[block.iter().position(|byte| byte & 0xe0 != 0x20)?..];
    let first = *block.first()?;
    let known = |index: u8| match index {
        8 => Some(200),
        9 => Some(204),
        10 => Some(206),
        11 => Some(304),
        12 => Some(400),
        13 => Some(404),
        14 => Some(500),
        _ => None,
    };
    if first & 0x80 != 0 {
        return known(first & 0x7f);
    }
    // A literal whose name is `:status`, index 8 to 14 of the static table.
    let index = if first & 0xc0 == 0x40 { first & 0x3f } else { first & 0x0f };
    if !(8..=14).contains(&index) {
        return None;
    }
    let (length, value) = (*block.get(1)?, block.get(2..)?);
    let size = usize::from(length & 0x7f);
    let value = value.get(..size)?;
    let text = if length & 0x80 == 0 { String::from_utf8_lossy(value).into_owned() } else { digits(value) };
    text.parse().ok()
}

/// Digits in the Huffman code of HPACK: 0, 1 and 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> String {
    let bit = |n: usize| bytes.get(n / 8).map_or(1, |byte| u16::from(byte >> (7 - n % 8) & 1));
    let take = |at: usize, count: usize| (0..count).fold(0, |value, n| value << 1 | bit(at + n));
    let (mut out, mut at) = (String::new(), 0);
    while at + 5 <= bytes.len() * 8 && out.len() < 3 {
        let (short, long) = (take(at, 5), take(at, 6));
        // Below 3 stand signs, above 9 letters: they are no status.
        let (digit, length) = match (short, long) {
            (0..=2, _) => (short, 5),
            (_, 0x19..=0x1f) => (long - 0x19 + 3, 6),
            _ => break,
        };
        out.extend(char::from_digit(u32::from(digit), 10));
        at += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn reading_a_status_never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            status(&bytes);
        }
    }

    #[test]
    fn a_status_is_read_in_each_of_its_forms() {
        assert_eq!(status(&[0x88, 0x76]), Some(200));
        assert_eq!(status(&[0x48, 3, b'4', b'0', b'3']), Some(403));
        assert_eq!(status(&[0x20, 0x08, 3, b'5', b'0', b'2']), Some(502));
        // RFC 7541 C.6.1: "302" is 6402.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
        assert_eq!(status(&[0x40]), None);
        // A sign whose code stands right below that of 3.
        assert_eq!(status(&[0x48, 0x81, 0x60]), None);
    }
}
