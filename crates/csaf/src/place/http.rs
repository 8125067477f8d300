//! Http: how is a provider's server asked?
//!
//! The only network of this crate. Redirections are followed by our own hand, so that none leads over the fence.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, http::StatusCode, http::header::LOCATION};
use x509_parser::pem::Pem;

use super::{Error, Place, read};
use crate::address::{Address, Fence};

/// A provider's server.
#[derive(Debug)]
pub struct Http {
    agent: Agent,
    metadata: Address,
    fence: Fence,
}

/// How long one file may take. The longest has some megabytes, and a line of the nineties brings two in this time.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a server may take to be reached and to begin its answer.
const ANSWER: Duration = Duration::from_secs(30);

/// How often one file may be somewhere else.
const TURNS: usize = 3;

impl Http {
    /// The provider whose metadata has this address, asked inside a fence.
    pub fn new(metadata: Address, fence: Fence) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = RootCerts::new_with_certs(&system_roots());
        let tls = TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(roots);
        let tls = tls.unversioned_rustls_crypto_provider(provider).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(ANSWER))
            .timeout_recv_response(Some(ANSWER))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into(), metadata, fence }
    }
}

impl Place for Http {
    fn metadata(&self) -> &Address {
        &self.metadata
    }

    fn fetch(&self, at: &Address, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let what = at.to_string();
        let fail = |source| Error::Unread { what: what.clone(), source };
        let mut next = at.clone();
        for _ in 0..=TURNS {
            if !self.fence.allows(&next) {
                return Err(Error::Elsewhere { what: next.to_string() });
            }
            let answer = self.agent.get(next.to_string()).call();
            let answer = answer.map_err(|err| fail(io::Error::other(err)))?;
            match answer.status() {
                StatusCode::OK => return read(&what, answer.into_body().into_reader(), limit).map(Some),
                StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
                status if status.is_redirection() => {
                    let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
                    let location = location.unwrap_or_default();
                    // A path alone stays with its host.
                    let whole = match location.strip_prefix('/') {
                        Some(path) if !path.starts_with('/') => format!("{}/{path}", next.origin()),
                        _ => location.to_owned(),
                    };
                    next = Address::parse(&whole).map_err(|_| Error::Elsewhere { what: what.clone() })?;
                }
                status => return Err(fail(io::Error::other(format!("the server answers {status}")))),
            }
        }
        Err(fail(io::Error::other("it is always somewhere else")))
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
