//! Key: with which key does somebody sign, and did the holder of a known key sign this?
//!
//! Keys of OpenSSH (Ed25519, ECDSA, with or without a password) and Ed25519 in PEM (PKCS #8, as `directive publish key`
//! and `openssl genpkey` make it). Signatures of keys on tokens (`sk-`) are verified; they are made by `ssh-keygen`.
//! RSA is left out: the library behind it leaks by its timing (RUSTSEC-2023-0071).

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::Ed25519KeyPair;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, SshSig};
use x509_parser::pem::parse_x509_pem;

/// The longest signature and the longest key that are read, in bytes: real ones have less than 2 KB.
const LONGEST: usize = 16 << 10;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no key that is known here.
    #[error("it is no key of OpenSSH, and no Ed25519 key in PEM")]
    Form,
    /// It has a password, and none or the wrong one was given.
    #[error("it has a password, and that is not the one that was given")]
    Password,
    /// It is of a kind that signs nothing here.
    #[error("a key of the kind {0} does not sign here: use Ed25519, ECDSA, or a key on a token")]
    Kind(String),
    /// The private half is on a token.
    #[error("the key is on a token: sign the statement with `ssh-keygen -Y sign`")]
    Token,
    /// The system has no randomness.
    #[error("the system gave no randomness for a key")]
    Random,
    /// The library could not sign.
    #[error("nothing could be signed with it")]
    Sign(#[source] ssh_key::Error),
}

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is no signature.
    #[error("it is no signature of OpenSSH (SSHSIG)")]
    Form,
    /// It was made for something else.
    #[error("the signature was made for {found:?}, not for {wanted:?}")]
    Purpose {
        /// What it was made for.
        found: String,
        /// What it must be made for.
        wanted: &'static str,
    },
    /// It is of a key that nobody vouches for.
    #[error("the signature is of the key {0}, which is none of those that count")]
    OtherKey(String),
    /// It is not one over these bytes.
    #[error("the signature is not one over this text: one of the two was changed")]
    Text,
}

/// A key that signs.
pub struct SecretKey(PrivateKey);

impl SecretKey {
    /// Makes an Ed25519 key.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] if the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        Self::from_pair(&Ed25519KeyPair::generate().map_err(|_| Error::Random)?)
    }

    /// Reads a key from its file's text.
    ///
    /// # Errors
    ///
    /// [`Error::Form`], [`Error::Password`], [`Error::Kind`] or [`Error::Token`].
    pub fn parse(text: &str, password: Option<&str>) -> Result<Self, Error> {
        if text.len() > LONGEST {
            return Err(Error::Form);
        }
        if text.contains("-----BEGIN PRIVATE KEY-----") {
            let (_, pem) = parse_x509_pem(text.as_bytes()).map_err(|_| Error::Form)?;
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pem.contents).map_err(|_| Error::Form)?;
            return Self::from_pair(&pair);
        }
        let key = PrivateKey::from_openssh(text).map_err(|_| Error::Form)?;
        let key = match (key.is_encrypted(), password) {
            (false, _) => key,
            (true, Some(password)) => key.decrypt(password).map_err(|_| Error::Password)?,
            (true, None) => return Err(Error::Password),
        };
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(Self(key)),
            Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Err(Error::Token),
            other => Err(Error::Kind(other.to_string())),
        }
    }

    fn from_pair(pair: &Ed25519KeyPair) -> Result<Self, Error> {
        let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| Error::Form)?;
        let seed = seed.as_ref().try_into().map_err(|_| Error::Form)?;
        Ok(Self(Ed25519Keypair::from_seed(seed).into()))
    }

    /// The key as OpenSSH keeps it, without a password.
    ///
    /// # Errors
    ///
    /// [`Error::Form`] if it cannot be written, which a key that was read or made always can.
    pub fn to_text(&self) -> Result<String, Error> {
        self.0.to_openssh(LineEnding::LF).map(|text| text.to_string()).map_err(|_| Error::Form)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(ssh_key::PublicKey::new(self.0.public_key().key_data().clone(), ""))
    }

    /// Signs a text for a purpose; the same text gives the same signature.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`] if the library refuses.
    pub fn sign(&self, purpose: &'static str, text: &str) -> Result<String, Error> {
        let signature = self.0.sign(purpose, HashAlg::Sha512, text.as_bytes()).map_err(Error::Sign)?;
        signature.to_pem(LineEnding::LF).map_err(Error::Sign)
    }
}

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(ssh_key::PublicKey);

impl PublicKey {
    /// Reads a line of OpenSSH, `ssh-ed25519 AAAA...`; what follows the key is a comment and is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Form`] if it is none, [`Error::Kind`] if it cannot sign here.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let line = line.trim();
        if line.len() > LONGEST || line.contains('\n') {
            return Err(Error::Form);
        }
        let key = ssh_key::PublicKey::from_openssh(line).map_err(|_| Error::Form)?;
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => {
                Ok(Self(ssh_key::PublicKey::new(key.key_data().clone(), "")))
            }
            other => Err(Error::Kind(other.to_string())),
        }
    }

    /// Its digest as OpenSSH prints it, `SHA256:...`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }
}

impl std::fmt::Display for PublicKey {
    /// As a line of OpenSSH without a comment.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key that was read or made can be written.
        out.write_str(self.0.to_openssh().unwrap_or_default().trim_end())
    }
}

/// Which of the keys that count signed a text, if one did.
///
/// # Errors
///
/// [`Refused`], by what is wrong.
pub fn verify(
    text: &str,
    signature: &str,
    purpose: &'static str,
    counting: &[PublicKey],
) -> Result<PublicKey, Refused> {
    if signature.len() > LONGEST {
        return Err(Refused::Form);
    }
    let signature = SshSig::from_pem(signature.trim()).map_err(|_| Refused::Form)?;
    if signature.namespace() != purpose {
        return Err(Refused::Purpose { found: signature.namespace().to_owned(), wanted: purpose });
    }
    let key = PublicKey(ssh_key::PublicKey::new(signature.public_key().clone(), ""));
    if !counting.contains(&key) {
        return Err(Refused::OtherKey(key.fingerprint()));
    }
    key.0.verify(purpose, text.as_bytes(), &signature).map_err(|_| Refused::Text)?;
    Ok(key)
}

/// The key that a signature says it is of. It proves nothing: use it only to show or to compare.
pub(crate) fn claimed(signature: &str) -> Result<PublicKey, Refused> {
    let signature = SshSig::from_pem(signature.trim()).map_err(|_| Refused::Form)?;
    Ok(PublicKey(ssh_key::PublicKey::new(signature.public_key().clone(), "")))
}
