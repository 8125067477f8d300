//! Verify: does a package count only if its publisher made it, as real repositories are signed?
//!
//! Packages are built by dpkg-deb and rpmbuild, repositories by apt-ftparchive and createrepo_c, signatures by gpg and
//! rpmsign. Where apt itself can be asked, it is the peer.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test with real programs")]

mod apt;
mod dnf;
mod key;

use update::verify::{NotVerified, Subject, Trust, by_digest, by_signature};

use crate::key::Key;

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[test]
fn a_pinned_digest_lets_in_these_bytes_and_no_others() {
    let subject = Subject { file: "update.pkg", bytes: b"the update" };
    let digest = "1f2ec8ddd2c6f0a0c0a5f1a8a4d33fd0d9f3b1a0";
    assert!(matches!(by_digest(subject, digest, "the pack"), Err(NotVerified::OtherDigest { .. })));
    let Err(NotVerified::OtherDigest { found, .. }) = by_digest(subject, digest, "the pack") else { unreachable!() };
    let verified = by_digest(subject, &found.to_uppercase(), "the pack").unwrap();
    assert_eq!(verified.trust(), &Trust::Digest("the pack".into()));
    assert_eq!((verified.file(), verified.size()), ("update.pkg", 10));
    let other = Subject { bytes: b"the updatf", ..subject };
    assert!(matches!(by_digest(other, &found, "the pack"), Err(NotVerified::OtherDigest { .. })));
}

#[test]
fn a_signature_over_other_bytes_cannot_be_held_beside_a_package() {
    let key = Key::new();
    let signature = key.detached(b"the update");
    let signed = key.pinned().detached(b"the update", &signature, now()).unwrap();
    let subject = Subject { file: "update.pkg", bytes: b"the update" };
    let verified = by_signature(subject, &signed).unwrap();
    assert!(verified.trust().to_string().starts_with(&format!("signed by {}", key.print())));
    let one_byte_off = Subject { bytes: b"the updatf", ..subject };
    assert!(matches!(by_signature(one_byte_off, &signed), Err(NotVerified::OtherDigest { .. })));
}
