//! Witness: what does each source say of a version that somebody says was installed?
//!
//! Files are judged by what a manifest from outside vouches for, the network by what answers there, programs by what
//! runs. The instance's own records (its version file, its package database) are heard and never counted: whoever
//! controls it writes them.

use std::cmp::Ordering;
use std::net::SocketAddr;

use directive::pack::Pack;
use directive::product::Current;
use directive::record::{Finding, InstalledGeneration, Running, Service, Status, Witness};
use directive::state::{Checked, Known};
use directive::text::Text;
use directive::version::Scheme;
use jiff::{SignedDuration, Timestamp};

use crate::prove::{Claim, Said, Word};

/// Findings of a check that say that a file is not the one that the vendor shipped.
const OTHER_FILES: [&str; 3] = ["file-modified", "file-missing", "manifest-disagrees"];

/// Findings that say that a process is not what its file is.
const STALE: [&str; 3] = ["process-program-replaced", "process-code-changed", "process-program-deleted"];

/// How what runs is seen.
const LOOK: &str =
    "say `live = true` for it in the scope, where its evidence is the running machine, and `respond --again`";

/// What is asked about an instance.
pub(crate) struct Asked<'a> {
    pub(crate) pack: &'a Pack,
    /// The product as advisories have it today.
    pub(crate) current: Current,
    /// What was seen of it after the update, if anything was. What was seen before says nothing: an address that
    /// answered then and is silent now would accuse an honest instance for ever.
    pub(crate) after: Option<&'a Known>,
    /// Every address at which it was ever seen.
    pub(crate) addresses: &'a [String],
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

    /// What runs, where a running machine was looked at. That it was started after the installation counts where its
    /// files are the new ones: else nobody knows what was started.
    pub(crate) fn running(&self, files: &Said) -> Said {
        let said = |word, why: String| Said { witness: "running programs", word, counts: true, why };
        let latest = self.after.and_then(|known| known.checks.last());
        let Some((checked, at)) = self.checked().zip(latest.map(|check| check.at)) else {
            return said(Word::Silent, format!("no check came after the update: {LOOK}"));
        };
        let running = checked.coverage.as_ref().and_then(|seen| seen.running.as_ref());
        let ours: Vec<&Service> =
            running.into_iter().flat_map(|ran| &ran.services).filter(|service| self.answers(service)).collect();
        if let Some(old) = self.stale(&ours) {
            return said(Word::Against, format!("{old} runs from a file that was replaced: restart it"));
        }
        let Some(running) = running else {
            return said(Word::Silent, format!("nobody looked at what runs: {LOOK}"));
        };
        let (word, why) = match self.started(running, &ours, at) {
            Ok(why) if files.word == Word::For => (Word::For, why),
            Ok(why) => (Word::Silent, format!("{why}, and nobody vouches for the files that it runs from")),
            Err(why) => (Word::Silent, why),
        };
        said(word, why)
    }

    /// A program of the product that is not its file any more. Where it is known who answers for the instance, only
    /// that one counts: a session that began before the update runs on in the old program, and nobody new gets there.
    /// Where it is not, one in a folder of the vendor's counts; any other may be somebody else's on the same machine.
    fn stale(&self, ours: &[&Service]) -> Option<String> {
        let found = |codes: &'static [&str]| {
            let is_one = move |one: &&Finding| codes.contains(&one.code.as_str());
            self.findings_of_current().filter(is_one).filter_map(|one| one.path.as_ref())
        };
        if ours.is_empty() {
            let folders = &self.pack.product.integrity.complete;
            let is_vendors = |path: &&Text| folders.iter().any(|folder| is_below(path.as_bytes(), folder.as_bytes()));
            return found(&STALE).find(is_vendors).map(Text::escaped);
        }
        let is_changed = |service: &Service| found(&["process-code-changed"]).any(|path| *path == service.program);
        let old = ours.iter().find(|service| service.replaced || is_changed(service))?;
        Some(format!("{} at {}", old.program.escaped(), old.at))
    }

    /// What was started after the installation began, or why that is not known. Ages are as of the check.
    fn started(&self, running: &Running, ours: &[&Service], at: Timestamp) -> Result<String, String> {
        let start = |age: u64| at - SignedDuration::from_secs(i64::try_from(age).unwrap_or(i64::MAX >> 10));
        let since = self.claim.since;
        if start(running.up) > since {
            return Ok(format!("the machine was started at {:.0}, after the installation began", start(running.up)));
        }
        let Some(oldest) = ours.iter().max_by_key(|service| service.age) else {
            return Err("the machine ran on, and no program was seen that waits at the instance's addresses".into());
        };
        let (program, started) = (oldest.program.escaped(), start(oldest.age));
        if started > since {
            Ok(format!("{program} at {} was started at {started:.0}, after the installation began", oldest.at))
        } else {
            Err(format!("{program} at {} runs since {started:.0}, before the installation began", oldest.at))
        }
    }

    /// Whether a program waits at one of the instance's addresses, as far as ports tell.
    fn answers(&self, service: &Service) -> bool {
        service.port().is_some_and(|(port, is_udp)| {
            self.addresses.iter().any(|address| {
                let (socket, over_udp) = address.strip_suffix("/udp").map_or((&**address, false), |rest| (rest, true));
                over_udp == is_udp && socket.parse::<SocketAddr>().is_ok_and(|own| own.port() == port)
            })
        })
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
