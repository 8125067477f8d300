//! Jarm: which ciphers, versions and extensions does a server choose, whatever it is offered?
//!
//! Ten hellos that differ in version, order of ciphers and extensions are sent, each over a connection of its own, and
//! nothing but the server's hello is read: no handshake is finished. What it chose becomes 62 hexadecimal digits, as
//! published, so that lists of others can be held against it. It tells builds of a TLS library and its settings apart,
//! not products: whoever takes the same library shows the same, and a device in front of the product shows its own.
//! Source: JARM 1.0 (Salesforce, November 2020), its reference implementation (BSD-3-Clause): order and content of the
//! hellos, and where it departs from what one would expect; RFC 8446 sections 4.1.2 and 4.1.3; RFC 8701 for GREASE.

use std::net::SocketAddr;

use rustls::crypto::aws_lc_rs;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fence::Fence;
use crate::limits::Limits;

/// Bytes of an answer that count: what the reference implementation reads at once.
const ANSWER: usize = 1484;

/// What all hellos offer, in the order of the first. Those of TLS 1.3 begin with 0x13.
const CIPHERS: [u16; 69] = [
    0x0016, 0x0033, 0x0067, 0xc09e, 0xc0a2, 0x009e, 0x0039, 0x006b, 0xc09f, 0xc0a3, 0x009f, 0x0045, 0x00be, 0x0088,
    0x00c4, 0x009a, 0xc008, 0xc009, 0xc023, 0xc0ac, 0xc0ae, 0xc02b, 0xc00a, 0xc024, 0xc0ad, 0xc0af, 0xc02c, 0xc072,
    0xc073, 0xcca9, 0x1302, 0x1301, 0xcc14, 0xc007, 0xc012, 0xc013, 0xc027, 0xc02f, 0xc014, 0xc028, 0xc030, 0xc060,
    0xc061, 0xc076, 0xc077, 0xcca8, 0x1305, 0x1304, 0x1303, 0xcc13, 0xc011, 0x000a, 0x002f, 0x003c, 0xc09c, 0xc0a0,
    0x009c, 0x0035, 0x003d, 0xc09d, 0xc0a1, 0x009d, 0x0041, 0x00ba, 0x0084, 0x00c0, 0x0007, 0x0004, 0x0005,
];

/// Ciphers in the order in which the digits of an answer count them, from 1: by number, those of TLS 1.3 last.
fn position(cipher: u16) -> usize {
    let key = |cipher: u16| (cipher >> 8 == 0x13, cipher);
    let before = CIPHERS.iter().filter(|other| key(**other) < key(cipher)).count();
    if CIPHERS.contains(&cipher) { before + 1 } else { CIPHERS.len() + 1 }
}

/// From the weakest to the strongest. Two that were published as one stay one, as the digests depend on it.
const PROTOCOLS: [&[u8]; 8] = [
    b"\x08http/0.9",
    b"\x08http/1.0",
    b"\x08http/1.1",
    b"\x06spdy/1",
    b"\x06spdy/2",
    b"\x06spdy/3\x02h2",
    b"\x03h2c",
    b"\x02hq",
];

/// Those without what everybody speaks.
const RARE_PROTOCOLS: [&[u8]; 7] =
    [b"\x08http/0.9", b"\x08http/1.0", b"\x06spdy/1", b"\x06spdy/2", b"\x06spdy/3", b"\x03h2c", b"\x02hq"];

/// Extensions that are the same in every hello, before and after the list of protocols.
const BEFORE_PROTOCOLS: &[u8] = b"\x00\x17\x00\x00\x00\x01\x00\x01\x01\xff\x01\x00\x01\x00\
    \x00\x0a\x00\x0a\x00\x08\x00\x1d\x00\x17\x00\x18\x00\x19\x00\x0b\x00\x02\x01\x00\x00\x23\x00\x00";
const SIGNATURES: &[u8] =
    b"\x00\x0d\x00\x14\x00\x12\x04\x03\x08\x04\x04\x01\x05\x03\x08\x05\x05\x01\x08\x06\x06\x01\x02\x01";
const PSK_MODES: &[u8] = b"\x00\x2d\x00\x02\x01\x01";

/// In which order a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Forward,
    Reverse,
    TopHalf,
    BottomHalf,
    MiddleOut,
}

/// One of the ten.
struct Kind {
    /// Versions of the record and of the hello.
    versions: (u16, u16),
    tls13_ciphers: bool,
    ciphers: Order,
    grease: bool,
    rare: bool,
    /// The newest version in the list of versions, if there is a list.
    newest: Option<u16>,
    /// Of protocols and versions.
    extensions: Order,
}

#[rustfmt::skip]
const KINDS: [Kind; 10] = {
    use Order::{BottomHalf, Forward, MiddleOut, Reverse, TopHalf};
    const T12: (u16, u16) = (0x0303, 0x0303);
    const T11: (u16, u16) = (0x0302, 0x0302);
    const T13: (u16, u16) = (0x0301, 0x0303);
    const NEW12: Option<u16> = Some(0x0303);
    const NEW13: Option<u16> = Some(0x0304);
    const fn kind(
        versions: (u16, u16), tls13_ciphers: bool, ciphers: Order, grease: bool, rare: bool, newest: Option<u16>,
        extensions: Order,
    ) -> Kind {
        Kind { versions, tls13_ciphers, ciphers, grease, rare, newest, extensions }
    }
    [
        kind(T12, true,  Forward,    false, false, NEW12, Reverse),
        kind(T12, true,  Reverse,    false, false, NEW12, Forward),
        kind(T12, true,  TopHalf,    false, false, None,  Forward),
        kind(T12, true,  BottomHalf, false, true,  None,  Forward),
        kind(T12, true,  MiddleOut,  true,  true,  None,  Reverse),
        kind(T11, true,  Forward,    false, false, None,  Forward),
        kind(T13, true,  Forward,    false, false, NEW13, Reverse),
        kind(T13, true,  Reverse,    false, false, NEW13, Forward),
        kind(T13, false, Forward,    false, false, NEW13, Forward),
        kind(T13, true,  MiddleOut,  true,  false, NEW13, Reverse),
    ]
};

/// What a server chose.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    cipher: u16,
    version: u16,
    protocol: String,
    /// Numbers of its extensions, `0017-ff01`.
    extensions: String,
}

/// The fingerprint of a server that speaks TLS; `None` if it does not answer in time.
pub(super) async fn ask(fence: &Fence, limits: &Limits, target: SocketAddr) -> Option<String> {
    let host = target.ip().to_string();
    let mut chosen = Vec::with_capacity(KINDS.len());
    for kind in &KINDS {
        let mut stream = fence.connect(target).await.ok()?;
        let answer =
            timeout(limits.handshake, exchange(&mut stream, &hello(kind, &host, &mut random()?))).await.ok()?;
        chosen.push(read(&answer));
    }
    Some(digits(&chosen))
}

/// Sends a hello and reads up to the end of the server's. A server that hangs up has chosen nothing.
async fn exchange(stream: &mut TcpStream, hello: &[u8]) -> Vec<u8> {
    let mut heard = Vec::with_capacity(ANSWER);
    if stream.write_all(hello).await.is_err() {
        return heard;
    }
    while heard.len() < ANSWER && !is_whole(&heard) {
        let mut piece = [0; ANSWER];
        match stream.read(&mut piece[..ANSWER - heard.len()]).await {
            Ok(0) | Err(_) => break,
            Ok(length) => heard.extend_from_slice(&piece[..length]),
        }
    }
    heard
}

/// Whether a record with a hello is there to its end, or something that is none.
fn is_whole(heard: &[u8]) -> bool {
    let Some(head) = heard.get(..6) else { return false };
    let length = usize::from(head[3]) << 8 | usize::from(head[4]);
    head[0] != 0x16 || head[5] != 2 || heard.len() >= 5 + length
}

/// Random bytes for one hello: the numbers in it, its session, a key that nobody has, and GREASE.
fn random() -> Option<Random> {
    let mut bytes = vec![0; 100];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(Random(bytes))
}

struct Random(Vec<u8>);

impl Random {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let rest = self.0.split_off(N.min(self.0.len()));
        let taken = std::mem::replace(&mut self.0, rest);
        taken.try_into().unwrap_or([0; N])
    }

    /// A value that no server knows, by which it must not be disturbed: 0x0a0a, 0x1a1a, ...
    fn grease(&mut self) -> u16 {
        let [nibble] = self.take::<1>();
        u16::from(nibble & 0xf0 | 0x0a) * 0x0101
    }
}

fn reordered<T: Clone>(list: &[T], order: Order) -> Vec<T> {
    let middle = list.len() / 2;
    let is_odd = list.len() % 2 == 1;
    match order {
        Order::Forward => list.to_vec(),
        Order::Reverse => list.iter().rev().cloned().collect(),
        Order::BottomHalf => list[middle + usize::from(is_odd)..].to_vec(),
        // From the middle to the top.
        Order::TopHalf => list[..middle + usize::from(is_odd)].iter().rev().cloned().collect(),
        Order::MiddleOut => {
            let mut out: Vec<T> = list.get(middle).filter(|_| is_odd).cloned().into_iter().collect();
            for step in 1..=middle {
                out.push(list[middle + step - usize::from(!is_odd)].clone());
                out.push(list[middle - step].clone());
            }
            out
        }
    }
}

/// A length of two bytes, and the bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &sized(body)].concat()
}

/// Writes one of the ten hellos.
fn hello(kind: &Kind, host: &str, random: &mut Random) -> Vec<u8> {
    let mut body = kind.versions.1.to_be_bytes().to_vec();
    body.extend(random.take::<32>());
    body.push(32);
    body.extend(random.take::<32>());
    let offered: Vec<u16> =
        CIPHERS.iter().copied().filter(|cipher| kind.tls13_ciphers || cipher >> 8 != 0x13).collect();
    let mut ciphers = reordered(&offered, kind.ciphers);
    if kind.grease {
        ciphers.insert(0, random.grease());
    }
    body.extend(sized(&ciphers.into_iter().flat_map(u16::to_be_bytes).collect::<Vec<_>>()));
    // No compression.
    body.extend([1, 0]);
    body.extend(sized(&extensions(kind, host, random)));
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[0x16][..], &kind.versions.0.to_be_bytes(), &sized(&message)].concat()
}

fn extensions(kind: &Kind, host: &str, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    if kind.grease {
        out.extend(extension(random.grease(), &[]));
    }
    out.extend(extension(0, &sized(&[&[0][..], &sized(host.as_bytes())].concat())));
    out.extend(BEFORE_PROTOCOLS);
    let protocols = if kind.rare { &RARE_PROTOCOLS[..] } else { &PROTOCOLS[..] };
    out.extend(extension(0x10, &sized(&reordered(protocols, kind.extensions).concat())));
    out.extend(SIGNATURES);
    let mut keys = Vec::new();
    if kind.grease {
        keys.extend(random.grease().to_be_bytes());
        keys.extend([0, 1, 0]);
    }
    // X25519, and 32 bytes for a key.
    keys.extend([0x00, 0x1d, 0x00, 0x20]);
    keys.extend(random.take::<32>());
    out.extend(extension(0x33, &sized(&keys)));
    out.extend(PSK_MODES);
    if let Some(newest) = kind.newest {
        let mut versions = Vec::new();
        if kind.grease {
            versions.extend(random.grease().to_be_bytes());
        }
        let known: Vec<u16> = (0x0301..=newest).collect();
        versions.extend(reordered(&known, kind.extensions).into_iter().flat_map(u16::to_be_bytes));
        out.extend(extension(0x2b, &[&[versions.len() as u8][..], &versions].concat()));
    }
    out
}

/// What a server chose; `None` if it refused, or said something else.
fn read(heard: &[u8]) -> Option<Chosen> {
    let heard = &heard[..heard.len().min(ANSWER)];
    let is_hello = heard.first() == Some(&0x16) && heard.get(5) == Some(&2);
    let number = |at: usize| Some(u16::from_be_bytes(heard.get(at..at + 2)?.try_into().ok()?));
    let session = usize::from(*heard.get(43).filter(|_| is_hello)?);
    let (cipher, version) = (number(session + 44)?, number(9)?);
    let none = || Some(Chosen { cipher, version, protocol: String::new(), extensions: String::new() });
    // Behind the compression stands the length of the extensions, or already the certificate.
    let Some(next) = heard.get(session + 47) else { return none() };
    let is_odd =
        heard.get(session + 50..session + 53) == Some(b"\x0e\xac\x0b") || heard.get(82..85) == Some(b"\x0f\xf0\x0b");
    if *next == 11 || is_odd {
        return none();
    }
    // Off-spec: without extensions the length of whatever follows is taken for theirs, and most such answers count as
    // refused; lists of others hold digits that were made so.
    let end = usize::from(number(session + 47)?) + session + 48;
    let mut at = session + 49;
    let (mut protocol, mut numbers) = (String::new(), Vec::new());
    while at < end {
        let (kind, length) = (number(at)?, usize::from(number(at + 2)?));
        let value = heard.get(at + 4..at + 4 + length)?;
        if kind == 0x10 && protocol.is_empty() {
            protocol = std::str::from_utf8(value.get(3..)?).ok()?.to_owned();
        }
        numbers.push(format!("{kind:04x}"));
        at += 4 + length;
    }
    Some(Chosen { cipher, version, protocol, extensions: numbers.join("-") })
}

/// Three digits for each answer, for cipher and version, and 32 of the SHA-256 over protocols and extensions.
fn digits(chosen: &[Option<Chosen>]) -> String {
    if chosen.iter().all(Option::is_none) {
        return "0".repeat(62);
    }
    let mut out = String::new();
    let mut rest = String::new();
    for chosen in chosen {
        let Some(chosen) = chosen else {
            out.push_str("000");
            continue;
        };
        let version = b"abcdef".get(usize::from(chosen.version & 0xf)).map_or('0', |letter| char::from(*letter));
        out.push_str(&format!("{:02x}{version}", position(chosen.cipher)));
        rest.push_str(&chosen.protocol);
        rest.push_str(&chosen.extensions);
    }
    out + &directive::record::hex(&Sha256::digest(rest.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_that_were_published() {
        let check = |order, odd: &str, even: &str| {
            let shown = |list: &[u8]| reordered(list, order).iter().map(ToString::to_string).collect::<String>();
            assert_eq!((shown(&[1, 2, 3, 4, 5]).as_str(), shown(&[1, 2, 3, 4]).as_str()), (odd, even), "{order:?}");
        };
        check(Order::Forward, "12345", "1234");
        check(Order::Reverse, "54321", "4321");
        check(Order::TopHalf, "321", "21");
        check(Order::BottomHalf, "45", "34");
        check(Order::MiddleOut, "34251", "3241");
        assert!(reordered::<u8>(&[], Order::MiddleOut).is_empty());
    }

    #[test]
    fn a_hello_is_one_record_with_lengths_that_add_up() {
        for kind in &KINDS {
            let hello = hello(kind, "192.0.2.1", &mut Random((0..100).collect()));
            assert_eq!(hello[0], 0x16);
            assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
            assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
            let ciphers = usize::from(u16::from_be_bytes([hello[76], hello[77]]));
            let mut at = 78 + ciphers + 4;
            while at < hello.len() {
                at += 4 + usize::from(u16::from_be_bytes([hello[at + 2], hello[at + 3]]));
            }
            assert_eq!(at, hello.len());
        }
    }

    #[test]
    fn ciphers_are_counted_by_their_numbers() {
        assert_eq!([0x0004, 0x002f, 0xc02f, 0xcca9, 0x1301, 0x1305].map(position), [1, 6, 41, 64, 65, 69]);
        assert_eq!(position(0xffff), 70);
    }

    /// A hello with these extensions behind an empty session.
    fn server(version: [u8; 2], cipher: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend(cipher);
        body.push(0);
        if !extensions.is_empty() {
            body.extend(sized(extensions));
        }
        let message = [&[2, 0][..], &sized(&body)].concat();
        [&[0x16, 3, 3][..], &sized(&message)].concat()
    }

    #[test]
    fn what_a_server_chose_is_read() {
        let extensions = [extension(0x10, b"\x00\x09\x08http/1.1"), extension(0xff01, &[0])].concat();
        let chosen = read(&server([3, 3], [0xc0, 0x2f], &extensions)).unwrap();
        let expected =
            Chosen { cipher: 0xc02f, version: 0x0303, protocol: "http/1.1".into(), extensions: "0010-ff01".into() };
        assert_eq!(chosen, expected);
        assert!(digits(&[Some(chosen), None]).starts_with("29d000"));
        assert_eq!(read(&server([3, 3], [0, 4], &[])).unwrap().extensions, "");
    }

    #[test]
    fn a_refusal_counts_as_nothing() {
        assert_eq!(read(b"\x15\x03\x03\x00\x02\x02\x28"), None);
        assert_eq!(read(b""), None);
        assert_eq!(digits(&[None, None]), "0".repeat(62));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read(&[&[0x16, 3, 3, 0, 80, 2, 0, 0, 76, 3, 3][..], &bytes].concat());
            let _ = is_whole(&bytes);
        }
    }
}
