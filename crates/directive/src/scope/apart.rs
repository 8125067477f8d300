//! Apart: which addresses are instances of their own, whatever they have in common?
//!
//! Part of [`crate::scope`]: `[[apart]]` is a person's word that undoes a merge of a count. It says why, for the next
//! reader.

use std::net::SocketAddr;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{Scope, TARGET_HINT, parse_all, parse_target};

/// A person's word that some addresses are instances of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The addresses, each of them another instance.
    pub addresses: Vec<SocketAddr>,
    /// Why.
    pub why: String,
}

impl Scope {
    /// Whether a person has said that these two are not one instance.
    pub fn are_apart(&self, one: SocketAddr, other: SocketAddr) -> bool {
        self.apart.iter().any(|apart| apart.addresses.contains(&one) && apart.addresses.contains(&other))
    }
}

/// `[[apart]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    addresses: Spanned<Vec<Spanned<String>>>,
    why: Spanned<String>,
}

/// Reads all of them; `at` takes what is wrong, with its place.
pub(super) fn read(raws: Vec<Raw>, at: &mut impl FnMut(Range<usize>, String, &str)) -> Vec<Apart> {
    let mut read = Vec::new();
    for raw in raws {
        let addresses = parse_all(raw.addresses.get_ref(), parse_target, TARGET_HINT, at);
        if raw.addresses.get_ref().len() < 2 {
            let why = "one address cannot be apart from itself".to_owned();
            at(raw.addresses.span(), why, "name at least two addresses, each with its port");
        }
        if raw.why.get_ref().trim().is_empty() {
            let why = "why they are apart is not said".to_owned();
            at(raw.why.span(), why, "the next reader has to know: `why = \"two boxes, one certificate\"`");
        }
        read.push(Apart { addresses, why: raw.why.into_inner() });
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "organisation = \"Example Agency\"\n";

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        let shown = Scope::parse("scope.toml", &format!("{HEAD}{text}")).unwrap_err().to_string();
        assert!(shown.contains(expected) && shown.contains("scope.toml:") && shown.contains('^'), "{shown}");
    }

    #[test]
    fn a_person_can_say_that_addresses_are_not_one_instance() {
        let text = "[[apart]]\naddresses = [\"10.0.0.1:443\", \"10.0.0.2:443\"]\nwhy = \"two boxes\"";
        let scope = Scope::parse("scope.toml", &format!("{HEAD}{text}")).unwrap();
        let at = |text: &str| text.parse().unwrap();
        assert!(scope.are_apart(at("10.0.0.1:443"), at("10.0.0.2:443")));
        assert!(!scope.are_apart(at("10.0.0.1:443"), at("10.0.0.3:443")));
    }

    #[test]
    fn a_word_without_a_reason_or_a_second_address_is_refused() {
        refuses("[[apart]]\naddresses = [\"10.0.0.1:443\"]\nwhy = \"x\"", "cannot be apart from itself");
        refuses("[[apart]]\naddresses = [\"10.0.0.1:443\", \"10.0.0.2:443\"]\nwhy = \" \"", "is not said");
    }
}
