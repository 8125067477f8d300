//! Ask: what comes back for one request, exactly as we wrote it?
//!
//! No library of HTTP sends a target with a backslash in it, an overlong slash or two headers that contradict each
//! other: they put it in order first, and the order is what is asked about. So requests are bytes of ours, and of an
//! answer only its status, its length and the beginning of its body are read. Any certificate is accepted; nothing
//! secret is sent, and nothing that comes back is believed for it.
//! Source: RFC 9112; RFC 9113 (in `two`).

mod two;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::disguise::{Disguise, Form};
use crate::fence::{ConnectError, Fence};

/// How much of an answer is read, in bytes.
const MOST: usize = 64 << 10;

/// Whom to ask, and how he is called.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Where.
    pub(crate) at: SocketAddr,
    /// The name that visitors use; the address where there is none.
    pub(crate) host: String,
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
    /// Who asks, for `User-Agent`.
    pub(crate) agent: String,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status; nothing if the connection was closed without an answer.
    pub(crate) status: Option<u16>,
    /// The length that the head announces.
    pub(crate) length: Option<usize>,
    /// The beginning of the body.
    pub(crate) body: Vec<u8>,
    /// Nothing came in time.
    pub(crate) silent: bool,
    /// Whether the body came in chunks and its last one is there.
    ended: bool,
}

impl Answer {
    /// Whether it is such an answer as the other: the same status, and as long.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.status.is_some() && self.status == other.status && self.body.len() == other.body.len()
    }

    /// Whether the body holds this text.
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.body.windows(text.len().max(1)).any(|window| window == text.as_bytes())
    }
}

/// A connection, in the clear or inside TLS.
pub(crate) enum Line {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Door {
    /// Finds out whether the port speaks TLS.
    pub(crate) fn find(
        fence: &Fence<'_>,
        at: SocketAddr,
        name: Option<&str>,
        agent: &str,
    ) -> Result<Self, ConnectError> {
        let host = name.map_or_else(|| at.to_string(), str::to_owned);
        let mut door = Self { at, host, tls: true, agent: agent.to_owned() };
        match door.open(fence, false) {
            Err(ConnectError::Io(err)) if err.kind() != io::ErrorKind::ConnectionRefused => {
                door.tls = false;
                drop(door.open(fence, false)?);
                Ok(door)
            }
            Err(err) => Err(err),
            Ok(_) => Ok(door),
        }
    }

    /// Opens a connection; `two` offers HTTP/2.
    pub(crate) fn open(&self, fence: &Fence<'_>, two: bool) -> Result<Line, ConnectError> {
        let stream = fence.connect(self.at)?;
        if !self.tls {
            return Ok(Line::Clear(stream));
        }
        let bare = self.host.rsplit_once(':').filter(|_| self.host.parse::<SocketAddr>().is_ok()).map(|(host, _)| host);
        let name = ServerName::try_from(bare.unwrap_or(&self.host).trim_matches(['[', ']']).to_owned());
        let name = name.unwrap_or_else(|_| ServerName::IpAddress(self.at.ip().into()));
        let connection = ClientConnection::new(config(two)?, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Line::Tls(Box::new(stream)))
    }

    /// Asks in one disguise on a connection of its own. `None`: the form is not spoken there.
    pub(crate) fn ask(&self, fence: &Fence<'_>, disguise: &Disguise) -> Result<Option<Answer>, ConnectError> {
        let is_two = disguise.form == Form::Two;
        if is_two && !self.tls {
            return Ok(None);
        }
        let mut line = self.open(fence, is_two)?;
        if is_two {
            return Ok(two::ask(&mut line, &self.host, &self.agent, &disguise.target));
        }
        let wants_body = !matches!(disguise.form, Form::Method("HEAD"));
        // Whoever closes while we still write has answered too.
        let _ = line.write_all(&self.request(disguise, true)).and_then(|()| line.flush());
        Ok(Some(read(&mut line, wants_body)))
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, disguise: &Disguise, closes: bool) -> Vec<u8> {
        let method = match disguise.form {
            Form::Method(method) => method,
            Form::Chunked | Form::Expect => "POST",
            Form::Old | Form::Header(_) | Form::Two => "GET",
        };
        let version = if disguise.form == Form::Old { "1.0" } else { "1.1" };
        let mut out = format!("{method} ").into_bytes();
        out.extend_from_slice(&disguise.target);
        let connection = if closes { "close" } else { "keep-alive" };
        out.extend_from_slice(format!(" HTTP/{version}\r\nHost: {}\r\n", self.host).as_bytes());
        out.extend_from_slice(format!("User-Agent: {}\r\nAccept: */*\r\n", self.agent).as_bytes());
        let rest = match &disguise.form {
            Form::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Form::Expect => "Content-Length: 1\r\nExpect: 100-continue\r\n".to_owned(),
            Form::Method("POST" | "PUT" | "PROPFIND" | "PORTCULLIS") => "Content-Length: 0\r\n".to_owned(),
            Form::Header(lines) => lines.clone(),
            _ => String::new(),
        };
        out.extend_from_slice(format!("{rest}Connection: {connection}\r\n\r\n").as_bytes());
        if disguise.form == Form::Chunked {
            out.extend_from_slice(b"1\r\nx\r\n0\r\n\r\n");
        }
        out
    }
}

/// Reads one answer: the final one, if others announce it.
pub(crate) fn read(line: &mut Line, wants_body: bool) -> Answer {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let mut silent = false;
    loop {
        let parsed = parse(&bytes);
        let full = parsed.as_ref().is_some_and(|answer| {
            !wants_body || answer.ended || answer.length.is_some_and(|length| answer.body.len() >= length)
        });
        if full || bytes.len() > MOST {
            break;
        }
        match line.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(err) => {
                silent = matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) && bytes.is_empty();
                break;
            }
        }
    }
    Answer { silent, ..parse(&bytes).unwrap_or_default() }
}

/// The answer in these bytes, once its head is there. `100 Continue` is none.
fn parse(mut bytes: &[u8]) -> Option<Answer> {
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status: u16 = head.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
        bytes = &bytes[end + 4..];
        if status >= 200 || status == 101 {
            return Some(answer(status, &head, bytes));
        }
    }
}

fn answer(status: u16, head: &str, body: &[u8]) -> Answer {
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
    });
    let length = if matches!(status, 101 | 204 | 304) { Some(0) } else { length };
    let is_chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    let ended = is_chunked && body.ends_with(b"0\r\n\r\n");
    Answer { status: Some(status), length, body: body.to_vec(), silent: false, ended }
}

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

fn config(two: bool) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AcceptAny(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = if two { vec![b"h2".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Arc::new(config))
}

/// Accepts every certificate and trusts none: an appliance with an expired one is protected too.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        schemes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reading_an_answer_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
            parse(&[b"HTTP/1.1 200 OK\r\n\r\n", &bytes[..]].concat());
        }
    }

    #[test]
    fn an_answer_is_the_last_of_those_that_announce_it() {
        let announced = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20_000);
        assert_eq!(parse(announced.as_bytes()), None);
        let all = format!("{announced}HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n");
        let answer = parse(all.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.length, answer.holds("no")), (Some(403), Some(3), true));
    }
}
