//! Witness: what does each source say of a version that somebody says was installed?
//!
//! Files are judged by what a manifest from outside vouches for, the network by what answers there, programs by what
//! runs. The instance's own records (its version file, its package database) are heard and never counted: whoever
//! controls it writes them.

use std::cmp::Ordering;

use directive::pack::Pack;
use directive::product::Current;
use directive::record::{Finding, InstalledGeneration, Status, Witness};
use directive::state::{Checked, Known};
use directive::version::Scheme;

use crate::prove::{Claim, Said, Word};

/// Findings of a check that say that a file is not the one that the vendor shipped.
const OTHER_FILES: [&str; 3] = ["file-modified", "file-missing", "manifest-disagrees"];

/// What is asked about an instance.
pub(crate) struct Asked<'a> {
    pub(crate) pack: &'a Pack,
    /// The product as advisories have it today.
    pub(crate) current: Current,
    /// What was seen of it after the update, if anything was. What was seen before says nothing: an address that
    /// answered then and is silent now would accuse an honest instance for ever.
    pub(crate) after: Option<&'a Known>,
    pub(crate) claim: Claim<'a>,
    /// Whether addresses were asked after the update.
    pub(crate) is_counted: bool,
}

impl<'a> Asked<'a> {
    /// What the latest check saw, if one came after the update.
    fn checked(&self) -> Option<&'a Checked> {
        self.after.filter(|known| !known.checks.is_empty()).map(|known| &known.checked)
    }

    /// Everything that told a version after the update.
    fn heard(&self) -> impl Iterator<Item = &'a Witness> {
        self.after.into_iter().flat_map(|known| &known.instance.version.witnesses)
    }

    /// The installation that runs, and the others.
    pub(crate) fn generations(&self) -> (Option<&'a InstalledGeneration>, &'a [InstalledGeneration]) {
        let coverage = self.checked().and_then(|checked| checked.coverage.as_ref());
        let all = coverage.map(|seen| seen.generations.as_slice()).unwrap_or_default();
        all.split_first().map_or((None, &[]), |(first, others)| (Some(first), others))
    }

    /// Whether a version is the one that is claimed.
    pub(crate) fn is_claimed(&self, version: &str) -> bool {
        let (scheme, claimed) = (self.pack.product.scheme, self.claim.version);
        version == claimed || scheme.compare(version, claimed) == Some(Ordering::Equal)
    }

    /// Whether what a witness says can be the version that is claimed.
    fn says_claimed(&self, witness: &Witness) -> bool {
        let claimed = self.claim.version;
        let package = witness.package.as_deref().is_some_and(|package| {
            package == claimed
                || [Scheme::Debian, Scheme::Rpm].iter().any(|s| s.compare(package, claimed) == Some(Ordering::Equal))
        });
        // What names only the beginning of a version is no witness for one of its ends.
        package || (witness.exact && self.is_claimed(&witness.upstream))
    }

    /// Findings of the latest check about the installation that runs.
    fn findings_of_current(&self) -> impl Iterator<Item = &'a Finding> {
        let (_, others) = self.generations();
        self.checked().into_iter().flat_map(|checked| &checked.findings).filter(move |finding| {
            let path = finding.path.as_ref().map(|path| path.as_bytes()).unwrap_or_default();
            !others.iter().any(|other| is_below(path, other.folder.as_bytes()))
        })
    }

    /// Files on disk, against the manifest of the new version.
    pub(crate) fn files(&self) -> Said {
        let said = |word, why: String| Said { witness: "files", word, counts: true, why };
        let Some(checked) = self.checked() else {
            return said(
                Word::Silent,
                "no check came after the update: `respond --again` with a new copy of its files".into(),
            );
        };
        let vouched = checked.coverage.as_ref().map_or(0, |seen| seen.vouched);
        let other =
            |codes: &[&str]| self.findings_of_current().filter(|one| codes.contains(&one.code.as_str())).count();
        let contradicted = self.findings_of_current().any(|one| one.code == "version-disagrees" && one.path.is_some());
        let (current, _) = self.generations();
        let told = current.and_then(|one| one.version.as_deref());
        if contradicted {
            return said(
                Word::Against,
                "the version file tells one version, and the files are those of another".into(),
            );
        }
        match (other(&OTHER_FILES), told) {
            (0, _) if vouched == 0 => said(
                Word::Silent,
                "no manifest from outside vouches for a file: give the one of the new version".into(),
            ),
            (0, Some(told)) if !self.is_claimed(told) => said(
                Word::Against,
                format!("the files are those of {told}, and {} is said to be installed", self.claim.version),
            ),
            (0, Some(_)) => said(
                Word::For,
                format!("{vouched} files are those that the vendor shipped with {}", self.claim.version),
            ),
            (0, None) => {
                said(Word::Silent, format!("{vouched} files are vouched for, and nothing tells of which version"))
            }
            (count, _) => said(Word::Against, format!("{count} files are not those of {}", self.claim.version)),
        }
    }

    /// What answers at its addresses.
    pub(crate) fn network(&self) -> Said {
        let said = |word, why: String| Said { witness: "network", word, counts: true, why };
        if !self.is_counted {
            return said(Word::Silent, "its addresses were not asked after the update: `respond --again`".into());
        }
        let heard: Vec<&Witness> = self.heard().filter(|one| !is_own(one)).collect();
        if let Some(old) =
            heard.iter().find(|one| one.status == Status::Affected || (one.exact && !self.says_claimed(one)))
        {
            return said(Word::Against, format!("{} answers as {}", old.source, old.value));
        }
        match heard.iter().find(|one| self.says_claimed(one)) {
            Some(new) => said(Word::For, format!("{} answers as {}", new.source, new.value)),
            None => said(Word::Silent, "nothing that answers tells the whole version".into()),
        }
    }

    /// What runs, where a running host was looked at.
    pub(crate) fn running(&self) -> Said {
        let said = |word, why: String| Said { witness: "running programs", word, counts: true, why };
        if self.checked().is_none() {
            return said(
                Word::Silent,
                "nobody looked at what runs after the update: `check / --live` on the host".into(),
            );
        }
        let stale = ["process-program-replaced", "process-code-changed", "process-program-deleted"];
        let old = self.findings_of_current().find(|one| stale.contains(&one.code.as_str()));
        match old {
            Some(old) => {
                let place =
                    old.place.clone().or_else(|| old.path.as_ref().map(|path| path.escaped())).unwrap_or_default();
                said(Word::Against, format!("{place} runs from a file that was replaced: restart it"))
            }
            None => said(Word::Silent, "no running program was seen that is older than its file".into()),
        }
    }

    /// What the instance itself says: heard, and never counted for it.
    pub(crate) fn own_word(&self) -> Said {
        let said = |word, why: String| Said { witness: "its own word", word, counts: false, why };
        let own: Vec<&Witness> = self.heard().filter(|one| is_own(one)).collect();
        match (own.iter().find(|one| one.exact && !self.says_claimed(one)), own.first()) {
            (Some(other), _) => said(Word::Against, format!("{} says {}", other.source, other.value)),
            (None, Some(one)) => {
                said(Word::For, format!("{} says {}: whoever controls it writes that", one.source, one.value))
            }
            (None, None) => said(Word::Silent, "nothing was read of it after the update".into()),
        }
    }
}

/// Whether a witness is the instance's own record.
fn is_own(witness: &Witness) -> bool {
    witness.source.starts_with("file ") || witness.source == "package-database"
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    folder != b"/" && path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
