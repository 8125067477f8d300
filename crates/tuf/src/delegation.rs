//! Delegation: which roles may sign for a path?
//!
//! Source: specification 4.5 and 5.6.7, TAP 15.

use directive::record::hex;
use glob::{MatchOptions, Pattern};
use sha2::{Digest as _, Sha256};

use crate::role::{Delegated, Delegations, Succinct};

/// A role to ask for a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) name: String,
    /// Whether nobody after it is asked.
    pub(crate) is_last: bool,
}

impl Delegations {
    /// The roles that may sign for a path, in their order.
    pub(crate) fn for_path(&self, path: &str) -> Vec<Next> {
        if let Some(succinct) = &self.succinct_roles {
            return vec![Next { name: succinct.for_path(path), is_last: true }];
        }
        let roles = self.roles.iter().flatten().filter(|role| role.is_for(path));
        roles.map(|role| Next { name: role.name.clone(), is_last: role.terminating }).collect()
    }
}

impl Delegated {
    fn is_for(&self, path: &str) -> bool {
        let by_digest = |prefixes: &Vec<String>| {
            let digest = hex(&Sha256::digest(path.as_bytes()));
            prefixes.iter().any(|prefix| digest.starts_with(prefix.as_str()))
        };
        let by_pattern = |patterns: &Vec<String>| patterns.iter().any(|pattern| matches(pattern, path));
        self.paths.as_ref().is_some_and(by_pattern) || self.path_hash_prefixes.as_ref().is_some_and(by_digest)
    }
}

/// Whether a pattern of the shell matches a path, folder by folder: a star crosses no slash.
/// A pattern that is none matches nothing.
fn matches(pattern: &str, path: &str) -> bool {
    let (patterns, names) = (pattern.split('/'), path.split('/'));
    let one = |(pattern, name): (&str, &str)| {
        let options = MatchOptions { case_sensitive: true, ..MatchOptions::default() };
        Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_with(name, options))
    };
    patterns.clone().count() == names.clone().count() && patterns.zip(names).all(one)
}

impl Succinct {
    /// Hexadecimal digits of the number of a role.
    fn digits(&self) -> usize {
        usize::try_from(self.bit_length.div_ceil(4)).unwrap_or(8)
    }

    /// The role for a path: by the first bits of its digest.
    fn for_path(&self, path: &str) -> String {
        let digest = Sha256::digest(path.as_bytes());
        let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let number = u64::from(first) >> (32 - self.bit_length);
        format!("{}-{number:0width$x}", self.name_prefix, width = self.digits())
    }

    /// Whether a role is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        let digits = name.strip_prefix(&self.name_prefix).and_then(|rest| rest.strip_prefix('-'));
        let digits = digits.filter(|digits| digits.len() == self.digits());
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let number = digits.filter(|digits| digits.bytes().all(is_digit));
        number
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .is_some_and(|number| number >> self.bit_length == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delegations(json: serde_json::Value) -> Delegations {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_star_crosses_no_slash_and_every_folder_must_match() {
        for (pattern, path, fits) in [
            ("*", "a.txt", true),
            ("*", "a/b", false),
            ("releases/*/*", "releases/x/x_v1", true),
            ("releases/y/*.zip", "releases/z/z.zip", false),
            ("foo-version-?.tgz", "foo-version-a.tgz", true),
            ("[ab].txt", "b.txt", true),
            ("*.TXT", "a.txt", false),
            ("[", "[", false),
        ] {
            assert_eq!(matches(pattern, path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn roles_by_digest_share_all_paths_and_are_told_by_their_name() {
        for bits in [1, 4, 5, 8, 13, 32] {
            let succinct = serde_json::json!({ "keys": {}, "succinct_roles":
                { "keyids": [], "threshold": 1, "bit_length": bits, "name_prefix": "bin" } });
            let delegations = delegations(succinct);
            let roles = delegations.succinct_roles.as_ref().unwrap();
            let next = delegations.for_path(&format!("path {bits}"));
            assert!(next.len() == 1 && roles.has(&next[0].name), "{next:?}");
            assert!(!roles.has("bin-") && !roles.has("bin-zz") && !roles.has("bi-0"));
        }
        // Four bits have sixteen roles of one digit.
        let four = serde_json::json!({ "keyids": [], "threshold": 1, "bit_length": 3, "name_prefix": "b" });
        let roles: Succinct = serde_json::from_value(four).unwrap();
        assert!(roles.has("b-7") && !roles.has("b-8"));
    }

    #[test]
    fn digests_of_paths_pick_by_how_they_begin() {
        let role = |prefix: &str| {
            delegations(serde_json::json!({ "keys": {}, "roles": [{ "name": "r", "keyids": [], "threshold": 1,
                "terminating": false, "path_hash_prefixes": [prefix] }] }))
        };
        let digest = hex(&Sha256::digest(b"a.txt"));
        assert_eq!(role(&digest[..3]).for_path("a.txt").len(), 1);
        assert_eq!(role("zz").for_path("a.txt").len(), 0);
    }
}
