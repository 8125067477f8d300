//! Keys that must not be believed, each by its name.

use csaf::{Folder, Place as _};
use signer::openpgp::Keys;

use super::maker::{FIRST, HOME, Provider, Signer};
use super::{Asked, look_at, seen, shown};

#[test]
fn a_document_is_signed_by_another_key() {
    let (mut provider, other) = (Provider::new(HOME), Signer::new("never"));
    provider.publish(&FIRST);
    let folder = Folder::open(provider.dir.path()).unwrap();
    let fence = csaf::Fence::new(folder.metadata(), &[]);
    let keys = Keys::parse(&other.public()).unwrap().pinned(&[other.print.parse().unwrap()]).unwrap();
    let (taken, seen) = look_at(&folder, &fence, &keys, &Asked::default());
    let found = shown(&taken, &seen);
    let expected = format!("advisory-signature-refused sa44858.json: it is signed by {}", provider.signer.print);
    assert!(found.starts_with(&expected), "{found}");
    assert!(found.contains(&format!("pinned are {}", other.print)), "{found}");
}

#[test]
fn a_key_that_had_expired_when_it_signed_is_not_believed() {
    let mut provider = Provider::signed_by(HOME, Signer::new("20210701T000000"));
    let keys = super::keys(&provider);
    // Its owner prolongs it and signs; whoever pinned it has the older copy, in which it had ended.
    provider.signer.gpg("20210601T000000", &["--quick-set-expire", &provider.signer.print, "20270101T000000"]);
    provider.publish(&FIRST);
    let folder = Folder::open(provider.dir.path()).unwrap();
    let fence = csaf::Fence::new(folder.metadata(), &[]);
    let (taken, ended) = look_at(&folder, &fence, &keys, &Asked::default());
    let found = shown(&taken, &ended);
    assert!(found.contains("must not be believed: the key had expired on 2021-07-01"), "{found}");
    assert_eq!(seen(&provider, &Asked::default()), "taken SA44858 1", "the prolonged one is believed");
}

#[test]
fn a_key_that_its_owner_took_back_is_not_believed() {
    let mut provider = Provider::new(HOME);
    provider.publish(&FIRST);
    provider.signer.revoke("20210820T000000");
    let found = seen(&provider, &Asked::default());
    assert!(found.starts_with("advisory-signature-refused sa44858.json: "), "{found}");
    assert!(found.contains("must not be believed"), "{found}");
}
