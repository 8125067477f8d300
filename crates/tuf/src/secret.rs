//! Secret: with which key does somebody sign?
//!
//! Ed25519, kept as PKCS #8 in PEM (RFC 8410), as `openssl genpkey -algorithm ed25519` writes it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use directive::record::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::pem::parse_x509_pem;

use crate::metadata::canonical;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no key of that kind.
    #[error("it is no Ed25519 key in PEM: make one with `directive key`, or `openssl genpkey -algorithm ed25519`")]
    Form,
    /// The system has no randomness.
    #[error("the system gave no randomness for a key")]
    Random,
}

/// A key that signs.
pub struct SecretKey(Ed25519KeyPair);

impl SecretKey {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] if the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| Error::Random)
    }

    /// Reads a key from PEM.
    ///
    /// # Errors
    ///
    /// [`Error::Form`] if it is none.
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        let (_, pem) = parse_x509_pem(pem).map_err(|_| Error::Form)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pem.contents).map(Self).map_err(|_| Error::Form)
    }

    /// The key in PEM.
    ///
    /// # Errors
    ///
    /// [`Error::Form`] if it cannot be written, which a key that was read or made always can.
    pub fn to_pem(&self) -> Result<String, Error> {
        let der = self.0.to_pkcs8v1().map_err(|_| Error::Form)?;
        let text = BASE64_STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(hex(self.0.public_key().as_ref()))
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        hex(self.0.sign(bytes).as_ref())
    }
}

/// The public half of a key: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(String);

impl PublicKey {
    /// Reads it as it is printed.
    ///
    /// # Errors
    ///
    /// [`Error::Form`] if it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim().to_ascii_lowercase();
        let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_key { Ok(Self(text)) } else { Err(Error::Form) }
    }

    /// As metadata list it. Source: specification 4.2.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": self.0 } })
    }

    /// What the key is called: the digest of its canonical form. Source: specification 4.2.
    pub fn id(&self) -> String {
        // A value of strings alone has a canonical form.
        hex(&Sha256::digest(canonical(&self.to_json()).unwrap_or_default()))
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_signs_as_before() {
        let key = SecretKey::generate().unwrap();
        let back = SecretKey::parse(key.to_pem().unwrap().as_bytes()).unwrap();
        assert_eq!((back.public(), back.sign(b"x")), (key.public(), key.sign(b"x")));
        assert_eq!(PublicKey::parse(&key.public().to_string()), Ok(key.public()));
        assert_eq!(SecretKey::parse(b"no key").err(), Some(Error::Form));
    }
}
