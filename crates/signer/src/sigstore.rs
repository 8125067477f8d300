//! Sigstore: did this person, or this workflow, sign these bytes, and does the public log hold it?
//!
//! A bundle brings its certificate and the log's proof with it, so that nobody is asked. The pin is the identity
//! together with who vouched for it, or a key; the roots of the certificates and logs come from the operator, or are
//! those of the public instance as the library brings them. Always demanded: the chain, the timestamp of the
//! certificate log, the proof of the signature log. Source: Sigstore client specification; the library is of its
//! project.

use directive::text::escape;
use jiff::Timestamp;
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::{Bundle, DerPublicKey};
use sigstore_verify::{Policy, PublicKeyVerificationPolicy, VerificationPolicy};

use crate::key::Fingerprint;
use crate::{Refused, Signed};

/// The largest bundle, or file of roots, in bytes. Real ones have some dozen KB.
const LARGEST: usize = 4 << 20;

/// Who must have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By<'a> {
    /// Somebody, by the name in his certificate, and who vouched for that name: both, letter by letter.
    Identity {
        /// `psirt@example.com`, or the address of a workflow.
        name: &'a str,
        /// `https://accounts.google.com`.
        issuer: &'a str,
    },
    /// A key, as PEM.
    Key(&'a str),
}

/// Verifies a bundle over these bytes. `roots` is a `trusted_root.json`; the public instance's where none is given.
///
/// # Errors
///
/// [`Refused`] by what is wrong.
pub fn bundle(roots: Option<&str>, by: By<'_>, data: &[u8], bundle: &str) -> Result<Signed, Refused> {
    for (what, text) in [("bundle of sigstore", bundle), ("file of roots of sigstore", roots.unwrap_or_default())] {
        if text.len() > LARGEST {
            return Err(Refused::TooLarge { what, limit: LARGEST });
        }
    }
    let unreadable = |what, why: String| Refused::Unreadable { what, why: escape(why) };
    let roots = TrustedRoot::from_json(roots.unwrap_or(SIGSTORE_PRODUCTION_TRUSTED_ROOT))
        .map_err(|err| unreadable("file of roots of sigstore", err.to_string()))?;
    let parsed = Bundle::from_json(bundle).map_err(|err| unreadable("bundle of sigstore", err.to_string()))?;
    let (name, policy): (String, Box<dyn Policy>) = match by {
        By::Identity { name, issuer } => {
            (format!("{name} (by {issuer})"), Box::new(VerificationPolicy::new(name, issuer)))
        }
        By::Key(pem) => {
            let key = DerPublicKey::from_pem(pem).map_err(|err| unreadable("key of sigstore", err.to_string()))?;
            ("the key that was given".to_owned(), Box::new(PublicKeyVerificationPolicy::new(key)))
        }
    };
    let verified = sigstore_verify::verify(data, &parsed, policy.as_ref(), &roots)
        .map_err(|err| Refused::Weak { key: escape(&name), why: escape(err.to_string()) })?;
    let logged = verified.integrated_time().map(|at| at.as_second());
    let stamped = verified.verified_timestamps().first().map(|at| at.as_second());
    let made = logged.or(stamped).and_then(|seconds| Timestamp::from_second(seconds).ok());
    let made = made.ok_or_else(|| Refused::Weak { key: escape(&name), why: "nobody says when".to_owned() })?;
    Ok(Signed::new(Fingerprint::named(format!("sigstore:{}", escape(name))), made, data))
}
