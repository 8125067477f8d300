//! Updating: whose signature must stand on an update, and what does a person do where no program can?
//!
//! The file `update.toml` of a pack, which may be left out. A key counts by its whole fingerprint; a short id, which
//! anybody can make a key for, is refused. `update verify` holds packages against it, `update install` shows its steps,
//! `update watch` asks its providers.
//! Source: docs/packs.md, "update.toml".

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::problem::Problem;

/// What a pack says of updates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Updating {
    /// Keys that may sign what is installed.
    #[serde(default, rename = "key")]
    pub keys: Vec<Spanned<Key>>,
    /// Packages whose digest is published.
    #[serde(default, rename = "digest")]
    pub digests: Vec<Spanned<Digest>>,
    /// Who publishes advisories on the product.
    #[serde(default, rename = "provider")]
    pub providers: Vec<Spanned<Provider>>,
    /// What a person does, in this order, where no package manager does it.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

/// A key, a person or a workflow that may sign.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Key {
    /// An OpenPGP certificate.
    Openpgp {
        /// 40 or 64 hexadecimal digits.
        fingerprint: String,
        /// Whose it is.
        name: String,
    },
    /// A key of minisign.
    Minisign {
        /// The line of base64 that is the key.
        key: String,
        /// Whose it is.
        name: String,
    },
    /// A name in the certificates of sigstore, and who vouches for it.
    Sigstore {
        /// An address of mail, or of a workflow.
        identity: String,
        /// Who vouches for it.
        issuer: String,
    },
}

/// A package whose digest is published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Digest {
    /// The name of the file.
    pub file: String,
    /// The version that it installs.
    pub version: String,
    /// SHA-256, in hex.
    pub sha256: String,
}

/// Who publishes advisories as CSAF documents. `update watch` asks him, and believes what these keys signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Provider {
    /// The `https` address of his `provider-metadata.json` (CSAF 2.0, section 7.1.7).
    pub metadata: String,
    /// Fingerprints of the keys that may sign, 40 or 64 hexadecimal digits each.
    pub fingerprints: Vec<String>,
    /// The keys themselves, as armoured OpenPGP.
    pub keys: String,
    /// Other hosts on which he keeps files, `host` or `host:port`.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// A step that a person does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// What to do.
    pub text: String,
    /// How he sees that it is done; never what the instance shows of itself alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
}

impl Updating {
    /// The fingerprints of OpenPGP that are pinned.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| match key.get_ref() {
            Key::Openpgp { fingerprint, .. } => Some(fingerprint.as_str()),
            _ => None,
        })
    }
}

/// Everything that is wrong with the file.
pub(crate) fn check(file: &str, text: &str, updating: &Updating) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_whole = |fingerprint: &str| {
        let digits: String = fingerprint.split_whitespace().collect();
        matches!(digits.len(), 40 | 64) && is_hex(&digits)
    };
    for key in &updating.keys {
        let mut at = |message: &str, hint: &str| {
            problems.push(Problem::at(file, text, key.span(), message.to_owned()).hint(hint));
        };
        match key.get_ref() {
            Key::Openpgp { fingerprint, .. } if !is_whole(fingerprint) => {
                at("no whole fingerprint", "40 or 64 hexadecimal digits: anybody can make a key with a short id");
            }
            Key::Minisign { key, .. } if key.len() != 56 => {
                at("no key of minisign", "the second line of the file with the public key, 56 characters");
            }
            Key::Sigstore { identity, issuer } if identity.is_empty() || !issuer.starts_with("https://") => {
                at("a name without who vouches for it", "issuer = \"https://..\": anybody can bear a name elsewhere");
            }
            _ => {}
        }
    }
    for digest in &updating.digests {
        let one = digest.get_ref();
        if one.sha256.len() != 64 || !is_hex(&one.sha256) || one.file.contains('/') || one.file.is_empty() {
            let problem = Problem::at(file, text, digest.span(), "no digest of a file".to_owned());
            problems.push(problem.hint("file = the name without a folder, sha256 = 64 hexadecimal digits"));
        }
    }
    for provider in &updating.providers {
        let one = provider.get_ref();
        let mut at = |message: &str, hint: &str| {
            problems.push(Problem::at(file, text, provider.span(), message.to_owned()).hint(hint));
        };
        if !one.metadata.starts_with("https://") {
            at("no address of a provider", "metadata = \"https://..\", of his provider-metadata.json");
        }
        if one.fingerprints.is_empty() || !one.fingerprints.iter().all(|print| is_whole(print)) {
            at("no whole fingerprint", "fingerprints = [..], 40 or 64 hexadecimal digits each");
        }
        if !one.keys.trim_start().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            at(
                "no keys of the provider",
                "keys = the armoured text that begins with -----BEGIN PGP PUBLIC KEY BLOCK-----",
            );
        }
    }
    if updating.steps.iter().any(|step| step.text.trim().is_empty()) {
        problems.push(Problem::whole(file, "a step without words".to_owned()).hint("text = what the person does"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let updating: Updating = toml::from_str(text).unwrap();
        check("update.toml", text, &updating).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_short_id_and_a_name_without_a_voucher_are_refused() {
        let whole = "F8D2585B8783D481".repeat(4);
        let good = format!("[[key]]\nkind = \"openpgp\"\nname = \"x\"\nfingerprint = \"{whole}\"\n");
        assert_eq!(mistakes(&good), Vec::<String>::new());
        const ARMOUR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
        let provider = |metadata: &str, print: &str, keys: &str| {
            format!("[[provider]]\nmetadata = \"{metadata}\"\nfingerprints = [\"{print}\"]\nkeys = \"{keys}\"\n")
        };
        assert_eq!(mistakes(&provider("https://a.example/x", &whole, ARMOUR)), Vec::<String>::new());
        for (text, why) in [
            ("[[key]]\nkind = \"openpgp\"\nname = \"x\"\nfingerprint = \"8783D481\"\n", "no whole fingerprint"),
            ("[[key]]\nkind = \"sigstore\"\nidentity = \"a@example.com\"\nissuer = \"\"\n", "who vouches"),
            ("[[key]]\nkind = \"minisign\"\nname = \"x\"\nkey = \"RW\"\n", "no key of minisign"),
            ("[[digest]]\nfile = \"../x\"\nversion = \"1\"\nsha256 = \"00\"\n", "no digest of a file"),
            ("[[step]]\ntext = \" \"\n", "a step without words"),
            (&provider("http://a.example/x", &whole, ARMOUR), "no address of a provider"),
            (&provider("https://a.example/x", "8783D481", ARMOUR), "no whole fingerprint"),
            (&provider("https://a.example/x", &whole, "x"), "no keys of the provider"),
        ] {
            let said = mistakes(text);
            assert!(said.len() == 1 && said[0].contains(why), "{said:?}");
        }
    }
}
