//! Integrity: what does a pack say about the files of its product?
//!
//! Which folders the vendor accounts for, what owner and mode must be, and whose signature counts. Never
//! names a key by its place alone: a key beside what it verifies was exchanged together with it.
//! Source: ED 21-03 action 2; evasion E13.

use serde::Deserialize;

/// What the vendor accounts for on disk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Integrity {
    /// Folders in which every file must be listed by the manifest: another file there is an added one.
    #[serde(default)]
    pub complete: Vec<String>,
    /// Folders or files below those that change in normal use.
    #[serde(default)]
    pub volatile: Vec<String>,
    /// Files below those that a manifest need not list, such as itself. Where one does, they must
    /// match like any other.
    #[serde(default)]
    pub may_be_unlisted: Vec<String>,
    /// What owner and mode must be.
    #[serde(default)]
    pub metadata: Vec<MetadataRule>,
    /// The vendor's own manifest on the instance, if it is signed.
    pub signed_manifest: Option<SignedManifest>,
}

/// A manifest on the instance that the vendor signed. Only a key that is pinned here, off the instance,
/// makes it vouch for anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SignedManifest {
    /// The list.
    pub path: String,
    /// The signature over its bytes.
    pub signature: String,
    /// The public key that lies beside it, in PEM.
    pub key: String,
    /// How it is signed.
    pub scheme: SignatureScheme,
    /// SHA-256 of the public keys of the vendor (SubjectPublicKeyInfo, DER): `openssl pkey -pubin -outform
    /// DER | sha256sum`. With none, the manifest is not used.
    #[serde(default)]
    pub key_sha256: Vec<Fingerprint>,
}

/// How a manifest on the instance is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureScheme {
    /// RSA PKCS#1 v1.5 with SHA-512: `openssl dgst -sha512 -sign`.
    RsaSha512,
}

/// SHA-256 of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{text:?} is no SHA-256: 64 hexadecimal digits"));
        let mut out = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        for (byte, at) in out.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(out))
    }
}

/// What owner and mode must be below a folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetadataRule {
    /// The folder, or one file.
    pub under: String,
    /// The numeric owner.
    pub uid: Option<u32>,
    /// The numeric group.
    pub gid: Option<u32>,
    /// Mode bits that must not be set, in octal: `6022` forbids setuid, setgid and writing by
    /// group or others.
    #[serde(default)]
    pub forbid: Octal,
    /// Paths to which the rule does not apply.
    #[serde(default)]
    pub except: Vec<String>,
}

/// Mode bits, written in octal in a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Octal(pub u32);

impl<'de> Deserialize<'de> for Octal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8)
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is no octal number")))
    }
}
