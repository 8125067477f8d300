//! Client: how is a report handed in at an authority's server?
//!
//! Over HTTPS alone, to a server whose certificate an authority of certificates vouches for that the operator named, or
//! that the host trusts. The token goes to no other server: redirections are not followed.
//! Whether the receipt counts is for the caller to judge, with a key that came by another way.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::protocol::{ATTESTATION_HEADER, Listed, Problem, REPORTS, Signed, Taken};

/// The longest answer, in bytes: a thousand broken rules in words.
const LONGEST: u64 = 4 << 20;

/// How long a server may take to be reached.
const REACH: Duration = Duration::from_secs(30);

/// How long the whole may take: a large report over a slow line, and its judgement.
const WHOLE: Duration = Duration::from_secs(600);

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none of HTTPS.
    #[error("{0:?} is no address that begins with https://")]
    Address(String),
    /// No certificate is trusted.
    #[error("no certificate is there to trust the server by")]
    Roots,
    /// Nobody who is trusted vouches for the server. Nothing was sent.
    #[error("nobody who is trusted vouches for the server")]
    Trust(#[source] Box<ureq::Error>),
    /// The server cannot be reached, or the connection broke.
    #[error("the server cannot be reached")]
    Reach(#[source] Box<ureq::Error>),
    /// The server refused, and said why.
    #[error("the server refused the report: {}", .0.title)]
    Refused(Box<Problem>),
    /// The server answers in a way that is none of the protocol's.
    #[error("the server answers {status}, and not as an authority's server does")]
    Answer {
        /// The status.
        status: u16,
    },
    /// The report cannot be packed.
    #[error("the report cannot be packed")]
    Pack(#[source] std::io::Error),
}

/// One authority's server.
pub struct Client {
    agent: Agent,
    base: String,
    token: String,
}

impl Client {
    /// `roots` are certificates in PEM by which the server is trusted; without, those that the host trusts.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] or [`Error::Roots`].
    pub fn new(base: &str, token: &str, roots: Option<&[u8]>) -> Result<Self, Error> {
        if !base.starts_with("https://") {
            return Err(Error::Address(base.to_owned()));
        }
        let roots = roots.map_or_else(system_roots, <[u8]>::to_vec);
        let roots: Vec<_> = CertificateDer::pem_slice_iter(&roots).filter_map(Result::ok).collect();
        if roots.is_empty() {
            return Err(Error::Roots);
        }
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(RootCerts::new_with_certs(&roots));
        let config = Agent::config_builder()
            .tls_config(tls.unversioned_rustls_crypto_provider(provider).build())
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(WHOLE))
            .timeout_connect(Some(REACH))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), base: base.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// Hands a report in, with what the officer signed.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's own words; [`Error::Reach`] if it is not known whether it was taken.
    pub fn submit(&self, report: &[u8], attestation: &Signed) -> Result<Taken, Error> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packer.write_all(report).and_then(|()| packer.finish()).map_err(Error::Pack)?;
        // Two texts can be put in JSON.
        let header = BASE64_STANDARD.encode(serde_json::to_vec(attestation).unwrap_or_default());
        let answer = self
            .agent
            .post(format!("{}{REPORTS}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header(ATTESTATION_HEADER, header)
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .send(&packed[..]);
        read(answer, &[StatusCode::CREATED, StatusCode::OK])
    }

    /// The reports that the server took from this organisation.
    ///
    /// # Errors
    ///
    /// As for [`Client::submit`].
    pub fn list(&self) -> Result<Listed, Error> {
        let answer = self
            .agent
            .get(format!("{}{REPORTS}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .call();
        read(answer, &[StatusCode::OK])
    }
}

/// Where distributions keep the certificates of the authorities that a host trusts.
/// Source: the list of Go's `crypto/x509/root_linux.go`.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Those of this host, those of `SSL_CERT_FILE` if it is set. Without any, no server is believed.
fn system_roots() -> Vec<u8> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let places = named.map_or_else(|| SYSTEM_ROOTS.map(PathBuf::from).to_vec(), |named| vec![named]);
    places.iter().find_map(|place| std::fs::read(place).ok()).unwrap_or_default()
}

/// Reads an answer, which may come from anybody who stands where the server should.
fn read<T: serde::de::DeserializeOwned>(
    answer: Result<Response<ureq::Body>, ureq::Error>,
    good: &[StatusCode],
) -> Result<T, Error> {
    let answer = answer.map_err(|err| {
        let is_trust =
            matches!(&err, ureq::Error::Io(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()));
        if is_trust { Error::Trust(Box::new(err)) } else { Error::Reach(Box::new(err)) }
    })?;
    let status = answer.status();
    let other = || Error::Answer { status: status.as_u16() };
    let mut bytes = Vec::new();
    answer.into_body().into_reader().take(LONGEST).read_to_end(&mut bytes).map_err(|_| other())?;
    if good.contains(&status) {
        return serde_json::from_slice(&bytes).map_err(|_| other());
    }
    let problem: Problem = serde_json::from_slice(&bytes).map_err(|_| other())?;
    Err(Error::Refused(Box::new(problem)))
}
