//! Metadata: what was signed, and by which signatures?
//!
//! Signatures are over the canonical form of exactly the values that were received, with fields that nobody here knows:
//! whoever signs may have added some.
//! Source: specification 4.2.

use std::collections::BTreeMap;

use olpc_cjson::CanonicalFormatter;
use serde::{Deserialize, Serialize as _};
use serde_json::{Serializer, Value};

use crate::error::Refused;
use crate::key::Keys;
use crate::role::Role;

/// Metadata of a role as received.
pub(crate) struct Metadata<R> {
    pub(crate) role: R,
    /// What the signatures are over.
    signed: Vec<u8>,
    /// Signatures by the identifier of their key.
    signatures: BTreeMap<String, Vec<u8>>,
}

#[derive(Deserialize)]
struct Envelope {
    signed: Value,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

impl<R: Role> Metadata<R> {
    /// Reads metadata. `name` is what the role is called: that of a delegated one is no type.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<Self, Refused> {
        let form = |why: &dyn ToString| Refused::form(name, why.to_string());
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|err| form(&err))?;
        let mut signatures = BTreeMap::new();
        for Signature { keyid, sig } in envelope.signatures {
            // A signature that was not made yet is empty.
            let bytes = hex::decode(sig).map_err(|_| form(&"a signature is not hexadecimal"))?;
            if signatures.insert(keyid, bytes).is_some() {
                return Err(form(&"two signatures bear the same key identifier"));
            }
        }
        let signed = canonical(&envelope.signed).map_err(|why| form(&why))?;
        let role = R::parse(envelope.signed).map_err(|why| form(&why))?;
        Ok(Self { role, signed, signatures })
    }

    /// Whether enough of the keys that count signed it.
    ///
    /// A key counts once, whatever number of identifiers it goes by.
    pub(crate) fn verify(&self, name: &str, keys: Keys<'_>) -> Result<(), Refused> {
        let valid = keys.valid(&self.signed, &self.signatures);
        if valid >= keys.threshold() {
            return Ok(());
        }
        Err(Refused::Unsigned { role: name.to_owned(), threshold: keys.threshold(), valid })
    }
}

/// The bytes that are signed: JSON with sorted keys, without spaces, numbers whole.
pub(crate) fn canonical(value: &Value) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, CanonicalFormatter::new());
    value.serialize(&mut serializer).map_err(|err| err.to_string())?;
    Ok(bytes)
}
