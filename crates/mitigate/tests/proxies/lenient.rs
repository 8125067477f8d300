//! Lenient: a product that reads paths as leniently as any, and says what reached its feature.
//!
//! It decodes until nothing changes, folds overlong and full-width characters, knows backslashes, path parameters,
//! dot segments, schemes, and takes a path from a header where one is named. It is an emulation, since no real product
//! may be shipped; it is more lenient than the real one is known to be.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A product on loopback.
pub(crate) struct Product {
    pub(crate) at: SocketAddr,
    reached: Arc<Mutex<Vec<String>>>,
}

const FEATURES: [&str; 5] =
    ["/dana/meeting", "/dana/fb/smb", "/dana-cached/fb/smb", "/dana-ws/namedusers", "/dana-ws/metric"];

const OVERRIDES: [&str; 4] = ["x-original-url", "x-rewrite-url", "x-original-uri", "x-override-url"];

impl Product {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let reached = Arc::default();
        let product = Self { at, reached: Arc::clone(&reached) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let reached = Arc::clone(&reached);
                std::thread::spawn(move || serve(&stream, &reached));
            }
        });
        product
    }

    /// What reached the feature, as it was sent.
    pub(crate) fn reached(&self) -> Vec<String> {
        self.reached.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, reached: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let before = head.len();
            if reader.read_until(b'\n', &mut head).is_err() || head.len() == before {
                return;
            }
        }
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = text
            .lines()
            .skip(1)
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase().replace('_', "-"), value.trim().to_owned()))
            })
            .collect();
        let length =
            headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let named = headers.iter().filter(|(name, _)| OVERRIDES.contains(&name.as_str())).map(|(_, value)| value);
        let is_reached = std::iter::once(&target).chain(named).any(|target| is_feature(target.as_bytes()));
        let page = if is_reached { "<title>the feature</title>" } else { "<title>page</title>" };
        if is_reached {
            reached.lock().unwrap().push(text.clone());
        }
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/html\r\n\r\n{page}", page.len());
        let is_head = text.starts_with("HEAD ");
        let shown = if is_head { answer.trim_end_matches(page) } else { &answer };
        let mut stream = stream;
        if stream.write_all(shown.as_bytes()).is_err() || text.to_ascii_lowercase().contains("connection: close") {
            return;
        }
    }
}

/// Whether a target means the feature after any number of decodings.
pub(crate) fn is_feature(target: &[u8]) -> bool {
    let mut bytes = target.to_vec();
    for _ in 0..6 {
        if [&bytes[..], without_host(&bytes)].iter().any(|bytes| is_path_of_feature(bytes)) {
            return true;
        }
        bytes = decode(&bytes);
    }
    false
}

fn without_host(bytes: &[u8]) -> &[u8] {
    let rest = match bytes.windows(3).position(|window| window == b"://") {
        Some(at) if at < 8 => &bytes[at + 3..],
        _ if bytes.starts_with(b"//") => &bytes[2..],
        _ => return bytes,
    };
    rest.iter().position(|byte| *byte == b'/').map_or(&[][..], |at| &rest[at..])
}

fn is_path_of_feature(bytes: &[u8]) -> bool {
    let path = bytes.split(|byte| matches!(byte, b'?' | b'#' | 0)).next().unwrap_or_default();
    let text = fold(path).to_ascii_lowercase().replace('\\', "/").replace(['\t', '\r', '\n'], "");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            plain => segments.push(plain),
        }
    }
    let path = format!("/{}", segments.join("/"));
    FEATURES.iter().any(|feature| {
        let rest = path.strip_prefix(feature);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_'))
    })
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let hex = |at: usize, count: usize| {
        let digits = bytes.get(at..at + count)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let wide =
            (bytes[at] == b'%' && matches!(bytes.get(at + 1), Some(b'u' | b'U'))).then(|| hex(at + 2, 4)).flatten();
        let plain = (bytes[at] == b'%').then(|| hex(at + 1, 2)).flatten();
        if let Some(wide) = wide {
            out.extend(char::from_u32(wide).unwrap_or('?').to_string().bytes());
            at += 6;
        } else if let Some(plain) = plain {
            out.push(u8::try_from(plain).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// Overlong forms, full-width characters and other slashes become ASCII.
fn fold(bytes: &[u8]) -> String {
    let (mut out, mut at) = (String::new(), 0);
    while at < bytes.len() {
        let next = |n: usize| bytes.get(at + n).copied().unwrap_or_default();
        let (folded, length) = match (bytes[at], next(1), next(2)) {
            (0xc0..=0xc1, low @ 0x80..=0xbf, _) => ((bytes[at] & 1) << 6 | (low & 0x3f), 2),
            (0xe0, high @ 0x80..=0x81, low @ 0x80..=0xbf) => ((high & 1) << 6 | (low & 0x3f), 3),
            (0xef, high @ 0xbc..=0xbd, low @ 0x80..=0xbf) => {
                (((high & 1) << 6 | (low & 0x3f)).wrapping_add(0x20) & 0x7f, 3)
            }
            (0xe2, 0x88, 0x95) | (0xe2, 0x81, 0x84) => (b'/', 3),
            (byte, _, _) => (byte, 1),
        };
        out.push(char::from(folded));
        at += length;
    }
    out
}
