//! Attest: who answers for a report, and who took it?
//!
//! Two statements of a few lines that a person can read before signing: an officer's [`Attestation`] of a report by
//! its digest, and an authority's [`Receipt`] for it. Both are signed in one form, that of OpenSSH (SSHSIG), so that
//! keys on tokens work and anybody can verify them without this program: `ssh-keygen -Y verify`.
//! A statement that does not read back as it was written is refused: nothing can be hidden in it.
//! Never reads a file, a socket or a clock. Source: OpenSSH, PROTOCOL.sshsig.

mod attestation;
mod key;
mod receipt;
mod statement;

pub use attestation::Attestation;
pub use key::{Error as KeyError, PublicKey, Refused, SecretKey, verify};
pub use receipt::{Receipt, late};
pub use statement::Error as StatementError;

use aws_lc_rs::digest::{SHA256, digest};

/// What an officer's signature is for: it counts for nothing else.
pub const ATTESTATION: &str = "portcullis-attestation";

/// What an authority's signature is for.
pub const RECEIPT: &str = "portcullis-receipt";

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    directive::record::hex(digest(&SHA256, bytes).as_ref())
}
