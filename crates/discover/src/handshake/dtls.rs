//! DTLS: does a server answer a ClientHello over UDP?
//!
//! One ClientHello without a cookie, and the first record of the server: it asks for the cookie, goes on, or says why
//! it does not. AnyConnect and its kin tunnel inside DTLS, on the port of their web page.
//! Source: RFC 6347 sections 4.1 (record), 4.2.1 (HelloVerifyRequest), 4.2.2 (handshake); RFC 5246 section 7.2 (alert).

use super::Own;

/// Content types.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// DTLS 1.0 and 1.2, as the ones' complement of the version.
const VERSION_1_0: [u8; 2] = [0xfe, 0xff];
const VERSION_1_2: [u8; 2] = [0xfe, 0xfd];
const RECORD_HEADER: usize = 13;

/// ECDHE with AES-GCM and AES-CBC for both kinds of keys, plain RSA for old ones.
const SUITES: [u16; 7] = [0xc02b, 0xc02f, 0xc009, 0xc013, 0x009c, 0x002f, 0x0035];

/// Named groups (x25519, P-256, P-384), point format, signature algorithms: RFC 8422 section 5.1, RFC 5246 section
/// 7.4.1.4.1.
const EXTENSIONS: [u8; 40] = [
    0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24, // groups
    0, 11, 0, 2, 1, 0, // uncompressed points
    0, 13, 0, 18, 0, 16, 4, 3, 5, 3, 6, 3, 8, 4, 4, 1, 5, 1, 6, 1, 2, 1, // signatures
];

/// A whole ClientHello.
pub(super) fn question(own: &Own) -> Vec<u8> {
    let mut hello = VERSION_1_2.to_vec();
    hello.extend(own.random);
    // No session, no cookie.
    hello.extend([0, 0]);
    hello.extend(((SUITES.len() * 2) as u16).to_be_bytes());
    hello.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
    hello.extend([1, 0]);
    hello.extend((EXTENSIONS.len() as u16).to_be_bytes());
    hello.extend(EXTENSIONS);

    let [_, high, middle, low] = (hello.len() as u32).to_be_bytes();
    // Message type 1, its length, number 0, the fragment from 0 on, as long as the message.
    let mut message = vec![1, high, middle, low, 0, 0, 0, 0, 0, high, middle, low];
    message.extend(hello);

    let mut packet = vec![HANDSHAKE];
    packet.extend(VERSION_1_0);
    packet.extend([0; 8]);
    packet.extend((message.len() as u16).to_be_bytes());
    packet.extend(message);
    packet
}

/// `DTLS hello-verify`, `DTLS server-hello`, `DTLS alert 40`.
pub(super) fn read(answer: &[u8]) -> Option<String> {
    let (header, content) = answer.split_at_checked(RECORD_HEADER)?;
    let version = header.get(1..3)?;
    if version != VERSION_1_0 && version != VERSION_1_2 {
        return None;
    }
    match (header[0], content) {
        // Behind the header of twelve bytes the version of the server stands in both.
        (HANDSHAKE, [3, rest @ ..]) if rest.get(11) == Some(&0xfe) => Some("DTLS hello-verify".to_owned()),
        (HANDSHAKE, [2, rest @ ..]) if rest.get(11) == Some(&0xfe) => Some("DTLS server-hello".to_owned()),
        (ALERT, [1 | 2, why, ..]) => Some(format!("DTLS alert {why}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_asks_for_a_cookie_goes_on_or_says_why_not() {
        let record = |kind: u8, content: &[u8]| {
            let mut packet = vec![kind, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, content.len() as u8];
            packet.extend(content);
            packet
        };
        let message = |kind: u8| [kind, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xfe, 0xff, 0];
        assert_eq!(read(&record(22, &message(3))).as_deref(), Some("DTLS hello-verify"));
        assert_eq!(read(&record(22, &message(2))).as_deref(), Some("DTLS server-hello"));
        assert_eq!(read(&record(21, &[2, 40])).as_deref(), Some("DTLS alert 40"));
        assert_eq!(read(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
    }
}
