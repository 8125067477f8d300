//! TLS: how do we talk inside TLS with somebody whom we do not trust?
//!
//! Any certificate is accepted, because an appliance with a self-signed or expired one has to be
//! counted too. Nothing secret is sent, nothing that comes back is believed for it.
//! TLS 1.2 and 1.3 only; older ones become a gap.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::listening::Listening;
use super::{Trouble, ssh};
use crate::limits::Limits;

/// How a handshake ended.
pub(super) enum Handshake {
    /// Inside TLS. Boxed, as it is large.
    Done(Box<TlsStream<Listening>>),
    /// The other side does not speak TLS, as far as one can see.
    NotTls,
    /// It identified itself as SSH does.
    Ssh(String),
    /// It does, and we have no version or cipher in common.
    Trouble(Trouble),
}

/// Tries to speak TLS on a fresh connection.
pub(super) async fn shake(limits: &Limits, target: SocketAddr, stream: TcpStream) -> Handshake {
    let Some(config) = config() else {
        return Handshake::NotTls;
    };
    let name = ServerName::IpAddress(target.ip().into());
    let connecting = TlsConnector::from(config).connect(name, Listening::new(stream)).into_fallible();
    match timeout(limits.handshake, connecting).await {
        Ok(Ok(stream)) => Handshake::Done(Box::new(stream)),
        Ok(Err((err, stream))) => match ssh::identified(stream.first()) {
            Some(banner) => Handshake::Ssh(banner),
            None => refused(&err),
        },
        // A web server in the clear may wait for the end of a line in our handshake.
        Err(_) => Handshake::NotTls,
    }
}

fn refused(err: &io::Error) -> Handshake {
    use rustls::Error as Tls;
    let inner = err.get_ref().and_then(|inner| inner.downcast_ref::<Tls>());
    match inner {
        Some(Tls::AlertReceived(_) | Tls::PeerIncompatible(_)) => {
            Handshake::Trouble(Trouble::NoCommonTls { problem: err.to_string() })
        }
        _ => Handshake::NotTls,
    }
}

/// `None` cannot happen: the provider supports both versions. It would mean that nobody speaks TLS.
fn config() -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AcceptAny(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Some(Arc::new(config))
}

/// Accepts every certificate and trusts none; `certificate.rs` reads what it says.
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
        // Old appliances sign with SHA-1. Nothing is verified, so nothing is lost by hearing them.
        schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        schemes
    }
}
