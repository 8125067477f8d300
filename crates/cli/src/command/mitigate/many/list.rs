//! `mitigate`, many, list: which changes did a person approve together?
//!
//! `changes.sha256`, in the form of `sha256sum`, beside the changes that it lists: `sha256sum -c` reads it too. Its
//! digest is approved. Every change is read once and held against it; a file more in the folder counts for nothing.

use std::collections::BTreeSet;
use std::path::Path;

use ::directive::change::Written;
use ::directive::record::hex;
use ::directive::text::escape;
use sha2::{Digest as _, Sha256};

use crate::error::CommandError;
use crate::open;

/// The name of the list in its folder.
pub(super) const LIST: &str = "changes.sha256";

/// The most changes of one list.
pub(super) const MOST: usize = 10_000;

/// Digits of a digest that a person has to give, as of a single change.
const SHORTEST: usize = 12;

/// Whether a name is that of a folder with a list in it.
pub(in super::super) fn is_list(name: &str) -> bool {
    Path::new(name).join(LIST).is_file()
}

/// Changes that are approved together.
pub(super) struct List {
    sha256: String,
    pub(super) entries: Vec<Entry>,
}

/// One of them.
pub(super) struct Entry {
    /// The file without its ending.
    pub(super) name: String,
    pub(super) written: Written,
}

impl List {
    /// Reads a list and all that it names.
    pub(super) fn read(dir: &Path) -> Result<Self, CommandError> {
        let path = dir.join(LIST);
        let cannot = |path: &Path, err| CommandError::because(format!("cannot read {}", path.display()), err);
        let bytes = open::read(&path).map_err(|err| cannot(&path, err))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let wrong = |what: String| {
            CommandError::new(format!("{}: {what}", path.display())).hint("`mitigate plan` writes it; plan again")
        };
        if text.lines().count() > MOST {
            return Err(wrong(format!("more than {MOST} changes")));
        }
        let (mut entries, mut seen) = (Vec::new(), BTreeSet::new());
        for (number, line) in text.lines().enumerate() {
            let (digest, name) = line.split_once("  ").unwrap_or((line, ""));
            let stem = name.strip_suffix(".toml").unwrap_or_default();
            if stem.is_empty() || !is_plain(stem) || !seen.insert(name.to_owned()) {
                return Err(wrong(format!("line {} names no change of this folder: {:?}", number + 1, escape(name))));
            }
            let file = dir.join(name);
            let bytes = open::read(&file).map_err(|err| cannot(&file, err))?;
            if hex(&Sha256::digest(&bytes)) != digest {
                return Err(wrong(format!("{name} is not what the list says: somebody has changed it")));
            }
            let written = Written::parse(name, &bytes)
                .map_err(|err| CommandError::because(format!("the change {name} cannot be used"), err))?;
            entries.push(Entry { name: stem.to_owned(), written });
        }
        if entries.is_empty() {
            return Err(wrong("it lists nothing".into()));
        }
        Ok(Self { sha256: hex(&Sha256::digest(&bytes)), entries })
    }

    /// SHA-256 of the list, in hex: what a person approves.
    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether a person has approved this very list.
    pub(super) fn approve(&self, digest: &str) -> Result<(), CommandError> {
        let given = digest.trim().to_ascii_lowercase();
        if given.len() >= SHORTEST && self.sha256.starts_with(&given) {
            return Ok(());
        }
        Err(CommandError::new(format!(
            "nothing was touched: the list has the digest {}, and {} was approved",
            self.sha256,
            escape(&given)
        ))
        .hint(format!("`sha256sum {LIST}` gives it; read the changes again before you approve them")))
    }
}

/// The text of a list.
pub(super) fn text(changes: &[(String, &Written)]) -> String {
    changes.iter().map(|(name, written)| format!("{}  {name}.toml\n", super::sha256(written))).collect()
}

/// A name that leads nowhere else.
pub(super) fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_leads_out_of_its_folder_or_was_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let digest = "00".repeat(32);
        let check = |text: &str, expected: &str| {
            std::fs::write(dir.path().join(LIST), text).unwrap();
            let err = List::read(dir.path()).err().unwrap();
            assert!(err.to_string().contains(expected), "{err}");
        };
        check("", "lists nothing");
        check(&format!("{digest}  ../x.toml\n"), "line 1 names no change");
        check(&format!("{digest}  /etc/x.toml\n"), "line 1 names no change");
        check(&format!("{digest}  .toml\n"), "line 1 names no change");
        check("nonsense\n", "line 1 names no change");
        std::fs::write(dir.path().join("x.toml"), "v = 1\n").unwrap();
        check(&format!("{digest}  x.toml\n"), "somebody has changed it");
        let true_one = hex(&Sha256::digest(b"v = 1\n"));
        check(&format!("{true_one}  x.toml\n"), "x.toml cannot be used");
        check(&format!("{true_one}  x.toml\n").repeat(MOST + 1), "more than");
    }
}
