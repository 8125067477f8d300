//! Source: how is a repository asked, over HTTP or in a folder?
//!
//! Nothing that comes back is trusted, so that a stick from the post is as good as a server. What is asked for is named
//! by pieces of a path that lead nowhere else, and never more bytes are taken than were promised.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, http::StatusCode};
use x509_parser::pem::Pem;

use crate::error::{Error, Refused};

/// A repository, or one of its two halves: metadata, targets.
pub trait Source: Sync {
    /// The bytes of a file; `None` if it is not there. `path` has pieces that are encoded already, with slashes
    /// between.
    ///
    /// # Errors
    ///
    /// [`Error::Source`] if it cannot be asked, [`Refused::TooLong`] if the file has more than `limit` bytes.
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error>;
}

/// A folder: a stick, a share, a copy.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// A repository that lies in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }
}

impl Source for Folder {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let fail = |source| Error::Source { what: path.to_owned(), source };
        // No pipe that hangs, no link that leads away: whoever sends the stick made the folder.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::open(self.0.join(path), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(err) if err == rustix::io::Errno::NOENT => return Ok(None),
            Err(err) => return Err(fail(err.into())),
        };
        if !file.metadata().map_err(fail)?.is_file() {
            return Err(fail(io::Error::other("it is no regular file")));
        }
        read(path, file, limit).map(Some)
    }
}

/// A server of HTTP or HTTPS.
#[derive(Debug, Clone)]
pub struct Http {
    agent: Agent,
    base: String,
}

/// How long one file may take. The longest has some megabytes, and a line of the nineties brings two in this time.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a server may take to be reached and to begin its answer.
const ANSWER: Duration = Duration::from_secs(30);

impl Http {
    /// A repository below an address.
    pub fn new(base: &str) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = RootCerts::new_with_certs(&system_roots());
        let tls = TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(roots);
        let tls = tls.unversioned_rustls_crypto_provider(provider).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .https_only(base.starts_with("https:"))
            .max_redirects(3)
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(ANSWER))
            .timeout_recv_response(Some(ANSWER))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into(), base: base.trim_end_matches('/').to_owned() }
    }
}

/// Where distributions keep the certificates of the authorities that this host trusts.
/// Source: the list of Go's `crypto/x509/root_linux.go`.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The authorities that this host trusts, those of `SSL_CERT_FILE` if it is set. Without any, no server is believed.
fn system_roots() -> Vec<Certificate<'static>> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let places = named.map_or_else(|| SYSTEM_ROOTS.map(PathBuf::from).to_vec(), |named| vec![named]);
    let bytes = places.iter().find_map(|place| std::fs::read(place).ok()).unwrap_or_default();
    let pems = Pem::iter_from_buffer(&bytes).filter_map(Result::ok).filter(|pem| pem.label == "CERTIFICATE");
    pems.map(|pem| Certificate::from_der(&pem.contents).to_owned()).collect()
}

impl Source for Http {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let fail = |source| Error::Source { what: path.to_owned(), source };
        let answer = self.agent.get(format!("{}/{path}", self.base)).call();
        let answer = answer.map_err(|err| fail(io::Error::other(err)))?;
        match answer.status() {
            StatusCode::OK => read(path, answer.into_body().into_reader(), limit).map(Some),
            // Stores of files say the one or the other of what is not there.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            status => Err(fail(io::Error::other(format!("the server answers {status}")))),
        }
    }
}

/// Reads to the end, which must come in time.
fn read(path: &str, from: impl io::Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = from.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| Error::Source { what: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(Refused::TooLong { what: path.to_owned(), limit }.into());
    }
    Ok(bytes)
}
