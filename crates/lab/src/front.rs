//! Front: what does a visitor see of a synthetic instance?
//!
//! Three HTTPS servers on loopback that answer like the product's sign-in page, in our own words.
//! They keep nothing, accept no password and stop when the lab is dropped.
//! Source: published fingerprints of the product: page title, cookie `DSSignInURL`,
//! `/dana-na/nc/nc_gina_ver.txt` with `ProductVersion`, and `/dana-cached/hc/HostCheckerInstaller.osx` with a property
//! list before the installer.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Error;

/// What the three instances say of their version.
const BUILDS: [&str; 3] = ["9.1.10.12345", "9.1.10.12345", "9.1.9.10001"];

/// The servers of a lab.
#[derive(Debug)]
pub(crate) struct Fronts {
    addresses: [SocketAddr; 3],
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fronts {
    /// Listens on 127.77.N.1 to .3 and serves from a thread of its own.
    pub(crate) fn start() -> Result<Self, Error> {
        let listeners = bind().map_err(|source| Error::Bind { source })?;
        let mut served = Vec::new();
        for (listener, (name, build)) in listeners.into_iter().zip(["vpn1", "vpn2", "vpn3"].into_iter().zip(BUILDS)) {
            served.push((listener, acceptor(&format!("{name}.agency.example"))?, build));
        }
        let at = |n: usize| served[n].0.local_addr().map_err(|source| Error::Start { source });
        let addresses = [at(0)?, at(1)?, at(2)?];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Start { source })?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lab".into())
            .spawn(move || runtime.block_on(serve(served, stopped)))
            .map_err(|source| Error::Start { source })?;
        Ok(Self { addresses, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn addresses(&self) -> [SocketAddr; 3] {
        self.addresses
    }
}

impl Drop for Fronts {
    fn drop(&mut self) {
        // The thread may have ended already; then nobody hears this.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Finds a loopback network and a port that is free on three of its addresses.
fn bind() -> io::Result<[TcpListener; 3]> {
    // Labs of different processes begin at different networks; on the same one their ports differ.
    let first = std::process::id() % 256;
    let mut last = io::ErrorKind::AddrInUse.into();
    for step in 0..256 {
        // At most 255, so it fits.
        let network = ((first + step) % 256) as u8;
        let ip = |host| Ipv4Addr::new(127, 77, network, host);
        let three = || -> io::Result<[TcpListener; 3]> {
            let one = TcpListener::bind((ip(1), 0))?;
            let port = one.local_addr()?.port();
            Ok([one, TcpListener::bind((ip(2), port))?, TcpListener::bind((ip(3), port))?])
        };
        match three() {
            Ok(listeners) => return Ok(listeners),
            Err(err) => last = err,
        }
    }
    Err(last)
}

fn acceptor(name: &str) -> Result<TlsAcceptor, Error> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).map_err(|source| Error::Certificate { source })?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(|source| Error::Tls { source })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until told to stop. A server that cannot run leaves its port closed, which is seen.
async fn serve(served: Vec<(TcpListener, TlsAcceptor, &'static str)>, stopped: oneshot::Receiver<()>) {
    let mut servers = JoinSet::new();
    for (listener, acceptor, build) in served {
        let ready = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
        if let Ok(listener) = ready {
            servers.spawn(welcome(listener, acceptor, build));
        }
    }
    let _ = stopped.await;
}

async fn welcome(listener: tokio::net::TcpListener, acceptor: TlsAcceptor, build: &'static str) {
    let mut visitors = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let acceptor = acceptor.clone();
                visitors.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let reply = move |request| async move { Ok::<_, Infallible>(answer(&request, build)) };
                    let service = service_fn(reply);
                    // A visitor who hangs up is no concern of ours.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            },
            Some(_) = visitors.join_next() => {}
        }
    }
}

fn answer(request: &Request<Incoming>, build: &str) -> Response<Full<Bytes>> {
    let (status, kind, body) = match request.uri().path() {
        "/dana-na/auth/url_default/welcome.cgi" => (StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned()),
        "/dana-na/nc/nc_gina_ver.txt" => (StatusCode::OK, "text/plain", gina(build)),
        "/dana-cached/hc/HostCheckerInstaller.osx" => (StatusCode::OK, "application/octet-stream", installer(build)),
        _ => (StatusCode::NOT_FOUND, "text/html; charset=utf-8", "<title>Not found</title>\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::OK {
        headers.insert(SET_COOKIE, HeaderValue::from_static("DSSignInURL=/; path=/; secure"));
    }
    response
}

/// The version file that installers read.
pub(crate) fn gina(build: &str) -> String {
    format!("<PARAM NAME=\"ProductVersion\" VALUE=\"{build}\">\n")
}

/// The beginning of the installer of the macOS client.
fn installer(build: &str) -> String {
    format!("<plist version=\"1.0\"><dict><key>version</key><string>{build}</string></dict></plist>\n")
}

const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n\
    <head><title>Pulse Connect Secure - SSL VPN exercise</title></head>\n\
    <body><h1>Exercise sign-in page</h1><p>This page is part of an exercise. It accepts no password.</p></body>\n\
    </html>\n";
