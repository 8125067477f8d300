//! Signature: did the holder of this key sign these very bytes?
//!
//! The format is that of `minisign`, so that lists can be signed and verified with tools that people
//! have. A key is brought from outside; a key that lies beside what it verifies proves nothing, which
//! is how a re-signed manifest passed.
//! Source: minisign manual, "Signature format"; evasion E13.

use directive::problem::Problems;

/// Why a signed list is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The file of the key holds none.
    #[error("the public key is none of minisign's")]
    Key(#[source] minisign_verify::Error),
    /// The file of the signature holds none.
    #[error("the signature is none of minisign's")]
    Signature(#[source] minisign_verify::Error),
    /// Another key signed it.
    #[error("it was signed with another key than the one given")]
    OtherKey,
    /// The bytes are not those that were signed.
    #[error("the signature does not verify: the list is not what was signed")]
    Invalid,
    /// It verifies and is no list.
    #[error(transparent)]
    List(#[from] Problems),
}

/// A key that the operator trusts.
#[derive(Debug, Clone)]
pub struct PublicKey(minisign_verify::PublicKey);

impl PublicKey {
    /// Reads the text of a public key file, or the one line of it that `minisign` prints.
    ///
    /// # Errors
    ///
    /// [`Refused::Key`] if it is none.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let alone = text.trim();
        let key = match alone.contains('\n') {
            true => minisign_verify::PublicKey::decode(text),
            false => minisign_verify::PublicKey::from_base64(alone),
        };
        key.map(Self).map_err(Refused::Key)
    }

    /// Returns the comment that was signed along, if `signature` is by this key over these bytes.
    ///
    /// # Errors
    ///
    /// [`Refused`] if it is not.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<String, Refused> {
        let signature = minisign_verify::Signature::decode(signature).map_err(Refused::Signature)?;
        // Signatures over the bytes themselves are what minisign made before 0.10; both are Ed25519.
        match self.0.verify(bytes, &signature, true) {
            Ok(()) => Ok(signature.trusted_comment().to_owned()),
            Err(minisign_verify::Error::UnexpectedKeyId) => Err(Refused::OtherKey),
            Err(_) => Err(Refused::Invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_key_and_no_signature_makes_us_panic(text: String) {
            let _ = PublicKey::parse(&text);
            let comment = format!("untrusted comment: x\n{text}\ntrusted comment: y\n{text}");
            let _ = minisign_verify::Signature::decode(&comment);
            let _ = minisign_verify::Signature::decode(&text);
        }
    }
}
