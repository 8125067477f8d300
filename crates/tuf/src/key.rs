//! Key: did the holder of a key sign these bytes?
//!
//! Key types and schemes of specification 4.2: Ed25519, ECDSA over P-256 and P-384, RSA with PSS or PKCS #1. A key of
//! another kind signs nothing here, and the threshold must be met by the others.

use std::collections::{BTreeMap, HashSet};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::Value;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A public key as metadata list it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Key {
    keytype: String,
    scheme: String,
    keyval: BTreeMap<String, Value>,
}

/// Whose signatures count for a role, and how many are needed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Signers {
    pub(crate) keyids: Vec<String>,
    pub(crate) threshold: u64,
}

impl Signers {
    /// What the specification asks of them: 4.3.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.threshold == 0 {
            return Err("a threshold is zero, so that nobody would have to sign".into());
        }
        let mut seen = HashSet::new();
        match self.keyids.iter().find(|keyid| !seen.insert(*keyid)) {
            Some(keyid) => Err(format!("the key {keyid} is listed twice for one role")),
            None => Ok(()),
        }
    }
}

/// The keys of a role.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) all: &'a BTreeMap<String, Key>,
    pub(crate) signers: &'a Signers,
}

impl Keys<'_> {
    pub(crate) fn threshold(&self) -> u64 {
        self.signers.threshold
    }

    /// How many different keys of the role signed the bytes.
    pub(crate) fn valid(&self, signed: &[u8], signatures: &BTreeMap<String, Vec<u8>>) -> u64 {
        let mut valid = HashSet::new();
        for keyid in &self.signers.keyids {
            let (Some(key), Some(signature)) = (self.all.get(keyid), signatures.get(keyid)) else { continue };
            if let Some(public) = key.public()
                && !valid.contains(&public)
                && key.verifies(&public, signed, signature)
            {
                valid.insert(public);
            }
        }
        valid.len() as u64
    }
}

impl Key {
    fn algorithm(&self) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self.keytype.as_str(), self.scheme.as_str()) {
            ("ed25519", "ed25519") => &ED25519,
            // Older repositories write the scheme in the place of the type.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => &ECDSA_P256_SHA256_ASN1,
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => &ECDSA_P384_SHA384_ASN1,
            ("rsa", "rsassa-pss-sha256") => &RSA_PSS_2048_8192_SHA256,
            ("rsa", "rsa-pkcs1v15-sha256") => &RSA_PKCS1_2048_8192_SHA256,
            _ => return None,
        })
    }

    /// The bits of the key: 32 bytes of Ed25519, a point, or an `RSAPublicKey`.
    fn public(&self) -> Option<Vec<u8>> {
        let text = self.keyval.get("public")?.as_str()?;
        if self.keytype == "ed25519" {
            return hex::decode(text).ok().filter(|bytes| bytes.len() == 32);
        }
        let (_, pem) = parse_x509_pem(text.as_bytes()).ok()?;
        let (_, info) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
        Some(info.subject_public_key.data.to_vec())
    }

    fn verifies(&self, public: &[u8], signed: &[u8], signature: &[u8]) -> bool {
        let key = self.algorithm().map(|algorithm| UnparsedPublicKey::new(algorithm, public));
        key.is_some_and(|key| key.verify(signed, signature).is_ok())
    }
}
