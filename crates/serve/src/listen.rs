//! Listen: how long may a connection take, and how many may there be?
//!
//! TLS alone, HTTP/1.1 alone: fewer ways in. Each connection has a time for its handshake, for the head of a request
//! and in all, so that one who sends a byte a minute keeps nothing from the others.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use directive::pack::Pack;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Peer, router};
use crate::door::Door;
use crate::limits::{Counter, Limits};
use crate::store::{self, Store};

/// The head of a request, in bytes: the attestation in it has two KB.
const HEAD: usize = 64 << 10;

/// What a server is made of.
pub struct Config {
    /// Where it keeps its store.
    pub folder: PathBuf,
    /// Whose it is.
    pub authority: String,
    /// Under which directives it takes reports.
    pub packs: Vec<Pack>,
    /// Whether it takes exercises, and nothing else.
    pub exercise: bool,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate with those above it, in PEM.
    pub certificate: Vec<u8>,
    /// The key of the certificate, in PEM.
    pub key: Vec<u8>,
    /// What it allows.
    pub limits: Limits,
    /// The time now.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where it tells what happens.
    pub log: Box<dyn Fn(&str) + Send + Sync>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be used.
    #[error("the folder of the server cannot be used")]
    Store(#[from] store::Error),
    /// The certificate or its key cannot be read.
    #[error("the certificate and its key cannot be read as PEM")]
    Pem,
    /// They do not fit.
    #[error("the certificate or its key cannot be used")]
    Tls(#[from] rustls::Error),
    /// The address cannot be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The system gives no threads.
    #[error("the server cannot start")]
    Start(#[source] io::Error),
}

/// A server that listens and does not answer yet.
pub struct Server {
    app: Arc<App>,
    tls: TlsAcceptor,
    runtime: tokio::runtime::Runtime,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Opens the store and listens.
    ///
    /// # Errors
    ///
    /// [`Error`], by what is missing.
    pub fn open(config: Config) -> Result<Self, Error> {
        let tls = acceptor(&config.certificate, &config.key)?;
        let store = Store::open(&config.folder)?;
        let key = store.receipt_key()?;
        let limits = config.limits;
        let packs: BTreeMap<_, _> = config.packs.into_iter().map(|pack| (pack.id().to_owned(), pack)).collect();
        let app = App {
            authority: config.authority,
            door: Door { exercise: config.exercise, packs },
            store: Mutex::new(store),
            key,
            clock: config.clock,
            log: config.log,
            limits,
            room: Arc::new(Semaphore::new(limits.at_once)),
            by_organisation: Mutex::new(Counter::new(limits.requests)),
            failures: Mutex::new(Counter::new(limits.failures)),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Start)?;
        let listen = |source| Error::Listen { address: config.listen, source };
        let listener = runtime.block_on(TcpListener::bind(config.listen)).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { app: Arc::new(app), tls, runtime, listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key of its receipts, as a line of OpenSSH: what operators pin.
    pub fn receipt_key(&self) -> String {
        self.app.key.public().to_string()
    }

    /// Answers until the process ends.
    pub fn run(self) -> Infallible {
        let Self { app, tls, runtime, listener, .. } = self;
        runtime.block_on(accept(app, tls, listener))
    }
}

async fn accept(app: Arc<App>, tls: TlsAcceptor, listener: TcpListener) -> Infallible {
    let places = Arc::new(Semaphore::new(app.limits.connections));
    let by_address = Arc::new(ByAddress::default());
    loop {
        // Whoever finds no place waits in the queue of the kernel.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { continue };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(err) => {
                (app.log)(&format!("error: a connection could not be taken: {err}"));
                // Out of files, most likely: others have to end first.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(turn) = by_address.enter(peer.ip(), app.limits.from_one) else { continue };
        let (app, tls) = (Arc::clone(&app), tls.clone());
        tokio::spawn(async move {
            let whole = app.limits.connection_time;
            // Whatever it did not finish by then, it does not finish.
            let _ = tokio::time::timeout(whole, connection(app, tls, stream, peer.ip(), (place, turn))).await;
        });
    }
}

async fn connection(
    app: Arc<App>,
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: IpAddr,
    _held: (OwnedSemaphorePermit, Turn),
) {
    let Ok(Ok(stream)) = tokio::time::timeout(app.limits.handshake, tls.accept(stream)).await else { return };
    let head = app.limits.head;
    let service = TowerToHyperService::new(router(app).layer(Extension(Peer(peer))));
    // What a client breaks off is its own affair.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Connections by address.
#[derive(Default)]
struct ByAddress(Mutex<HashMap<IpAddr, usize>>);

/// The place of one connection among those of its address.
struct Turn {
    of: Arc<ByAddress>,
    address: IpAddr,
}

impl ByAddress {
    fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Turn> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Turn { of: Arc::clone(self), address })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn acceptor(certificate: &[u8], key: &[u8]) -> Result<TlsAcceptor, Error> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().map_err(|_| Error::Pem)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Error::Pem)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
