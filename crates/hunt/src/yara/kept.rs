//! Kept: which rules were compiled here before, and need not be again?
//!
//! Compiling five thousand rules takes longer than to hunt with them in a gigabyte. What was compiled is machine
//! code, so that it is taken only from whoever keeps it for this very user ([`Cache`]), and only under the digest
//! of the rules, of the engine and of what is kept itself.

use std::collections::BTreeMap;

use directive::record::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Limits, RuleError};

/// The engine whose code is kept; the manifest of the workspace pins it. The engine looks for itself too.
const ENGINE: &str = "yara-x 1.22.1";

/// From so many rules on they are kept: fewer compile in the time that a file takes to be read.
const WORTH: usize = 500;

/// Where compiled rules are kept from run to run.
///
/// Whoever can write there can run code in this process: it must be the user alone.
pub trait Cache: Sync {
    /// What is kept under a name, if anything is.
    fn get(&self, name: &str) -> Option<Vec<u8>>;

    /// Keeps bytes under a name. Nothing depends on it.
    fn put(&self, name: &str, bytes: &[u8]);
}

/// What stands before the code.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Over the code.
    sha256: String,
    errors: Vec<RuleError>,
}

/// Rules that were compiled, with what was wrong in their files.
pub(super) type Compiled = (yara_x::Rules, Vec<RuleError>);

/// The name under which rules are kept.
pub(super) fn name(files: &BTreeMap<String, Vec<u8>>, limits: &Limits) -> String {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    add(concat!("portcullis ", env!("CARGO_PKG_VERSION")).as_bytes());
    add(ENGINE.as_bytes());
    add(format!("{limits:?}").as_bytes());
    for (name, text) in files {
        add(name.as_bytes());
        add(text);
    }
    hex(&digest.finalize())
}

/// What is kept under a name; `None` if it is not whole, or of another engine.
pub(super) fn read(bytes: &[u8]) -> Option<Compiled> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (head, code) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let Head { sha256, errors } = serde_json::from_slice(head).ok()?;
    if sha256 != hex(&Sha256::digest(code)) {
        return None;
    }
    Some((yara_x::Rules::deserialize(code).ok()?, errors))
}

/// Keeps rules if that is worth it.
pub(super) fn write(cache: &dyn Cache, name: &str, rules: &yara_x::Rules, errors: &[RuleError]) {
    if rules.iter().len() < WORTH {
        return;
    }
    let Ok(code) = rules.serialize() else { return };
    let head = Head { sha256: hex(&Sha256::digest(&code)), errors: errors.to_vec() };
    let Ok(head) = serde_json::to_vec(&head) else { return };
    cache.put(name, &[&(head.len() as u64).to_le_bytes()[..], &head, &code].concat());
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Mutex;

    use super::super::{About, Rules};
    use super::*;

    /// Keeps in memory, and counts how often somebody asked in vain.
    #[derive(Default)]
    struct Memory(Mutex<BTreeMap<String, Vec<u8>>>, Mutex<u32>);

    impl Cache for Memory {
        fn get(&self, name: &str) -> Option<Vec<u8>> {
            let found = self.0.lock().unwrap().get(name).cloned();
            *self.1.lock().unwrap() += u32::from(found.is_none());
            found
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            self.0.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        }
    }

    /// So many rules, of which the first has a mistake.
    fn files(count: usize) -> BTreeMap<String, Vec<u8>> {
        let rule = |n: usize| format!("rule r{n} {{ strings: $a = \"needle {n};\" condition: $a }}\n");
        let text = format!("rule broken {{ condition: nothing }}\n{}", (0..count).map(rule).collect::<String>());
        [("a.yar".to_owned(), text.into_bytes())].into_iter().collect()
    }

    fn found(rules: &Rules) -> Vec<String> {
        let matches = rules.scanner().scan(b"needle 7; needle 499;", &About::default()).unwrap();
        matches.into_iter().map(|found| found.rule).collect()
    }

    #[test]
    fn rules_that_were_kept_find_the_same_and_tell_the_same_mistakes() {
        let (cache, limits) = (Memory::default(), Limits::default());
        let (fresh, errors) = Rules::compile_with(&files(500), limits, Some(&cache));
        let (kept, same) = Rules::compile_with(&files(500), limits, Some(&cache));
        assert_eq!((*cache.1.lock().unwrap(), cache.0.lock().unwrap().len()), (1, 1));
        assert_eq!((found(&fresh), kept.len(), same.len()), (found(&kept), fresh.len(), 1));
        assert_eq!((found(&kept).len(), &errors), (2, &same));
    }

    #[test]
    fn other_rules_other_limits_and_damaged_bytes_are_compiled_anew() {
        let cache = Memory::default();
        Rules::compile_with(&files(500), Limits::default(), Some(&cache));
        Rules::compile_with(&files(501), Limits::default(), Some(&cache));
        Rules::compile_with(&files(500), Limits { matches: 3, ..Limits::default() }, Some(&cache));
        assert_eq!((*cache.1.lock().unwrap(), cache.0.lock().unwrap().len()), (3, 3));
        for (n, bytes) in cache.0.lock().unwrap().values_mut().enumerate() {
            let at = [8, bytes.len() / 2, bytes.len() - 1][n];
            bytes[at] ^= 1;
        }
        let (rules, _) = Rules::compile_with(&files(500), Limits::default(), Some(&cache));
        assert_eq!(found(&rules).len(), 2);
        let few = RefCell::new(Memory::default());
        Rules::compile_with(&files(10), Limits::default(), Some(&*few.borrow()));
        assert!(few.borrow().0.lock().unwrap().is_empty(), "so few are not worth it");
    }
}
