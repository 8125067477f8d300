//! Found: is the manifest that lies on the instance signed by a key that is pinned elsewhere?
//!
//! An appliance brings its manifest, the signature and the key for it. Whoever owns the appliance can
//! write all three anew, so the key there is only looked up among those that the pack pins. A manifest
//! under a pinned key vouches like one from outside; one under another key is a finding.
//! Never uses a manifest without a pinned key, whatever its signature says.
//! Source: facts on the appliance's manifest; evasion E13, "re-signs manifest".

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use directive::product::{Fingerprint, Product, SignatureScheme, SignedManifest};
use directive::record::{Finding, Gap, Severity, hex};
use directive::text::Text;
use evidence::Source;

use super::{Manifest, Operator};
use crate::database::unread;

/// Bytes of a manifest on an appliance. Real ones have 4 MB.
const LIST_BYTES: u64 = 64 << 20;

/// Bytes of a signature or a key. Those of RSA with 8192 bits have less than 2 KB.
const KEY_BYTES: u64 = 64 << 10;

/// What the instance brought.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) manifest: Option<Manifest<Operator>>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) gaps: Vec<Gap>,
}

/// The bytes of a list whose signature verified under a pinned key. Only [`verify`] makes one.
pub(crate) struct Pinned<'a>(&'a [u8]);

impl<'a> Pinned<'a> {
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Reads what the pack names. A product without a signed manifest has none.
pub(crate) fn read(source: &dyn Source, product: Option<&Product>, clause: Option<&str>) -> Found {
    let mut found = Found::default();
    let Some(signed) = product.and_then(|product| product.integrity.signed_manifest.as_ref()) else {
        return found;
    };
    let mut small = |path: &str, limit| match source.read_small(path.as_bytes(), limit) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            found.gaps.push(unread(path.as_bytes(), &error));
            None
        }
    };
    let parts = (small(&signed.path, LIST_BYTES), small(&signed.signature, KEY_BYTES), small(&signed.key, KEY_BYTES));
    // What is there and cannot be read is a required gap by now.
    let (Some(list), Some(signature), Some(key)) = parts else { return found };
    let Some(list) = list else {
        let why = "the instance has no manifest of its own where its vendor puts one";
        found.gaps.push(gap(signed, "manifest-missing", why.into(), false));
        return found;
    };
    let key = key.as_deref().and_then(spki);
    if signed.key_sha256.is_empty() {
        let key = key.map(|key| format!("; the key beside it has fingerprint {}", hex(&fingerprint(&key).0)));
        let why = format!(
            "the instance brings a signed manifest, and the pack pins no key of the vendor: it is not used{}",
            key.unwrap_or_default()
        );
        found.gaps.push(gap(signed, "manifest-untrusted", why, false));
        return found;
    }
    match verify(signed, &list, signature.as_deref(), key.as_deref()) {
        Ok(pinned) => match Manifest::from_pinned(&signed.path, pinned) {
            Ok(manifest) => found.manifest = Some(manifest),
            Err(problems) => {
                let first = problems.0.first().map(|problem| problem.message.clone()).unwrap_or_default();
                let why = format!("it is signed by the vendor's key and is no list that can be read: {first}");
                found.gaps.push(gap(signed, "manifest-damaged", why, true));
            }
        },
        Err(why) => found.findings.push(finding(signed, why, clause)),
    }
    found
}

/// The proof that a key that is pinned signed this list, or why there is none.
fn verify<'a>(
    signed: &SignedManifest,
    list: &'a [u8],
    signature: Option<&[u8]>,
    key: Option<&[u8]>,
) -> Result<Pinned<'a>, String> {
    let key = key.ok_or("its key is missing, or is no public key in PEM")?;
    let signature = signature.ok_or("its signature is missing")?;
    let is = fingerprint(key);
    if !signed.key_sha256.contains(&is) {
        return Err(format!(
            "it is signed with a key that is none of the vendor's, fingerprint {}: intruders have written such a \
             manifest anew and signed it with a key of their own",
            hex(&is.0)
        ));
    }
    match signed.scheme {
        SignatureScheme::RsaSha512 => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, key)
            .verify(list, signature)
            .map(|()| Pinned(list))
            .map_err(|_| "its signature does not verify under the vendor's key: it was changed".to_owned()),
    }
}

fn fingerprint(key: &[u8]) -> Fingerprint {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, key).as_ref());
    Fingerprint(out)
}

/// The bytes of a public key in PEM. Source: RFC 7468 section 13.
fn spki(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(body).ok()
}

fn gap(signed: &SignedManifest, code: &str, why: String, required: bool) -> Gap {
    Gap { code: code.into(), path: Some(Text::from(signed.path.as_str())), place: None, why, required }
}

fn finding(signed: &SignedManifest, why: String, clause: Option<&str>) -> Finding {
    Finding {
        code: "manifest-untrusted".into(),
        severity: Severity::High,
        path: Some(Text::from(signed.path.as_str())),
        place: None,
        why,
        evidence: None,
        rule: Some("signed-manifest of the pack".into()),
        // T1553: Subvert Trust Controls.
        attack: vec!["T1553".into()],
        clause: clause.map(str::to_owned),
        times: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_key_makes_us_panic(bytes: Vec<u8>, body in "[A-Za-z0-9+/=\n]{0,80}") {
            let _ = spki(&bytes);
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
            if let Some(key) = spki(pem.as_bytes()) {
                let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, key);
                proptest::prop_assert!(key.verify(b"list", &bytes).is_err());
            }
        }
    }
}
