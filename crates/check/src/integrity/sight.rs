//! Sight: what does the walk meet, and how does each file stand to what is claimed?
//!
//! Called from all reading threads; does its thinking outside the lock and takes it once an entry.

use std::sync::{Mutex, PoisonError};

use directive::record::{Evidence, Finding, Severity, Times, hex};
use directive::text::Text;
use evidence::{Digests, Entry, Hides, Kind, Meta, Nature, Obstacle, ObstacleKind, Visitor, Wants};

use super::Request;
use super::generation::{Generation, Generations};
use super::index::{Index, Slot, Standing};
use super::made::Made;
use super::previous::Previous;
use super::rules::{Complaint, Rules};
use super::tally::Tally;
use crate::hunt::files::{Files, Met};

/// What is kept one by one where it is small. An intruder who adds ten million files must not fill our memory with
/// them; what is beyond is counted, and is a required gap.
pub(crate) const KEPT: usize = 100_000;

/// Whether `path` is `folder` or lies below it. The root is empty.
pub(crate) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Of what the manifests claim to list everything.
#[derive(Clone, Copy)]
pub(super) enum Extent<'a> {
    /// Lists from outside alone: of the whole evidence.
    Lists,
    /// Lists beside a database of the instance, or some packages: of the folder that holds all they name.
    Part,
    /// Every installed package: of the whole evidence, but for what Debian makes itself.
    Packages(&'a Made),
}

/// The folders in which every file must be listed.
pub(super) struct Complete<'a> {
    folders: Vec<Vec<u8>>,
    /// Those that the pack names: nothing is explained there.
    strict: Vec<Vec<u8>>,
    made: Option<&'a Made>,
    volatile: Vec<Vec<u8>>,
    may_be_unlisted: Vec<Vec<u8>>,
}

impl<'a> Complete<'a> {
    /// From the pack where it names such folders. Otherwise a list from outside claims the whole
    /// evidence; beside a package database, only the deepest folder that holds all it names.
    pub(super) fn new(request: &Request<'_>, index: &Index<'_>, generations: &Generations, extent: Extent<'a>) -> Self {
        let (source, product) = (request.source, request.product);
        // An installation that nothing lists has no folder in which everything must be listed.
        let listed = generations.0.iter().filter(|one| one.folder.is_empty() || !one.manifests.is_empty());
        let place = |path: &String, generation: &Generation| {
            let path = generation.path(path.trim_end_matches('/').as_bytes()).into_owned();
            source.canonical_file(&path).unwrap_or(path)
        };
        let places = |paths: &[String]| -> Vec<Vec<u8>> {
            listed.clone().flat_map(|one| paths.iter().map(|path| place(path, one))).collect()
        };
        let pack = product.map(|product| &product.integrity);
        // Where there is no list at all, a gap says so, and no file is news.
        let is_listed = index.len() > 0;
        let mut folders = pack.filter(|_| is_listed).map_or_else(Vec::new, |pack| places(&pack.complete));
        let strict = folders.clone();
        let mut may_be_unlisted = pack.map_or_else(Vec::new, |pack| places(&pack.may_be_unlisted));
        match extent {
            // All packages are known, so that everything is Debian's but what it leaves to others.
            Extent::Packages(made) => {
                folders = vec![Vec::new()];
                let local = made.local().map(|folder| source.canonical_folder(folder).unwrap_or_else(|| folder.into()));
                may_be_unlisted.extend(local);
            }
            _ if !folders.is_empty() => {}
            Extent::Lists => folders.extend(index.common_folder().map(|_| Vec::new())),
            Extent::Part => folders.extend(index.common_folder().filter(|common| !common.is_empty())),
        }
        let made = if let Extent::Packages(made) = extent { Some(made) } else { None };
        let volatile = pack.map_or_else(Vec::new, |pack| places(&pack.volatile));
        Self { folders, strict, volatile, may_be_unlisted, made }
    }

    pub(super) fn is_volatile(&self, path: &[u8]) -> bool {
        self.volatile.iter().any(|folder| is_below(path, folder))
    }

    /// Whether every file here must be listed.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        let is_in = |folders: &[Vec<u8>]| folders.iter().any(|folder| is_below(path, folder));
        is_in(&self.folders) && !self.is_volatile(path) && !is_in(&self.may_be_unlisted)
    }

    /// Whether a file that no package lists is one that Debian makes.
    fn explains(&self, meta: &Meta, digests: &Digests, index: &Index<'_>) -> bool {
        let is_strict = self.strict.iter().any(|folder| is_below(meta.path.as_bytes(), folder));
        let ships = |path: &[u8]| index.get(path).is_some_and(Slot::is_claimed);
        !is_strict && self.made.is_some_and(|made| made.explains(meta, digests, &ships))
    }

    /// Whether a folder that could not be seen hides part of what must be complete.
    pub(super) fn is_hidden_by(&self, path: &[u8]) -> bool {
        self.covers(path) || self.folders.iter().any(|folder| is_below(folder, path))
    }
}

/// The times of an entry, as far as a calendar holds them.
pub(super) fn times(meta: &Meta) -> Times {
    let all = [("mtime", Some(meta.mtime)), ("ctime", meta.ctime), ("birth", meta.birth)];
    all.into_iter().filter_map(|(name, time)| Some((name, time?.timestamp()?))).collect()
}

/// What every entry is held against.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) index: &'a Index<'a>,
    pub(super) generations: &'a Generations,
    pub(super) rules: &'a Rules,
    pub(super) complete: &'a Complete<'a>,
    pub(super) previous: &'a Previous<'a>,
}

/// Receives the walk.
pub(super) struct Sight<'a> {
    known: Known<'a>,
    hunt: Option<&'a Files<'a>>,
    request: &'a Request<'a>,
    tally: Mutex<Tally>,
}

impl<'a> Sight<'a> {
    pub(super) fn new(known: Known<'a>, hunt: Option<&'a Files<'a>>, request: &'a Request<'a>) -> Self {
        let mut tally = Tally::default();
        tally.vouched = vec![0; known.generations.0.len()];
        Self { known, hunt, request, tally: Mutex::new(tally) }
    }

    pub(super) fn finish(self) -> Tally {
        self.tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finding(&self, code: &str, severity: Severity, meta: &Meta, why: String) -> Finding {
        about(code, severity, meta, why, self.request.clause)
    }

    fn file(&self, meta: &Meta, digests: &Digests, content: Option<Vec<u8>>, bytes: u64) {
        let path = meta.path.as_bytes();
        let (generation, inside) = self.known.generations.of(path);
        let known = self.known.index.get(path);
        // Another version of the product lists this very file here.
        let stranger =
            known.and_then(|slot| slot.other_version(digests)).and_then(|by| self.known.index.version_of(by));
        let slot = known.filter(|slot| slot.is_claimed());
        let standing = slot.map(|slot| {
            slot.mark_seen();
            slot.judge(digests)
        });
        let mut findings = Vec::new();
        let mut program = None;
        let mut explained = false;
        match (&standing, slot) {
            (Some(Standing::Differs), Some(slot)) => findings.push(self.modified(meta, slot)),
            (None, _) if self.known.index.link(path).is_some() => findings.extend(self.link(meta)),
            (None, _) if self.known.complete.covers(path) && !self.known.index.is_bare(path) => {
                explained = self.known.complete.explains(meta, digests, self.known.index);
                findings.extend((!explained).then(|| self.added(meta)));
            }
            (None, _) => program = self.program(meta, digests, generation),
            _ => {}
        }
        if let (Some(version), Some(finding)) = (stranger, findings.first_mut()) {
            finding.why = format!("{}; it is the file that version {version} shipped here", finding.why);
        }
        let complaint = self.known.rules.product(meta, inside).or_else(|| match slot {
            Some(slot) => self.known.rules.shipped(meta, slot.owners()).or_else(|| {
                let is_packaged = self.known.index.is_packaged(slot);
                if is_packaged { self.known.rules.package(meta) } else { None }
            }),
            None => self.known.rules.unlisted(meta),
        });
        findings.extend(complaint.map(|complaint| self.metadata(meta, complaint)));
        for finding in &mut findings {
            finding.evidence = Some(Evidence { sha256: Some(hex(&digests.sha256)), excerpt: None });
        }
        let matched = matches!(standing, Some(Standing::Vouched(_) | Standing::Consistent));
        self.known.previous.meet(meta, matched);
        if let Some(hunt) = self.hunt {
            let is_vouched = matches!(standing, Some(Standing::Vouched(_)));
            hunt.meet(&Met { meta, digests, is_vouched, is_further: bytes == 0 }, content);
        }

        let mut tally = self.tally();
        tally.coverage.files += 1;
        tally.coverage.bytes += bytes;
        let folder = tally.folder(path);
        folder.files += 1;
        folder.bytes += bytes;
        match &standing {
            Some(standing) => {
                tally.matched(path, standing);
                if matched && tally.shipped.len() < KEPT {
                    tally.shipped.insert(meta.mtime.seconds);
                }
                tally.vouched[generation] += u64::from(matches!(standing, Standing::Vouched(_)));
            }
            None => {
                tally.coverage.unlisted += 1;
                tally.coverage.explained += u64::from(explained);
                tally.coverage.unlisted_executables += u64::from(meta.is_executable());
            }
        }
        if let (Some(version), false) = (stranger, matched) {
            *tally.strangers.entry((generation, version.to_owned())).or_default() += 1;
        }
        if is_program(meta, digests) && standing.is_none() {
            tally.coverage.unlisted_programs += 1;
            tally.folder(path).unlisted_programs += 1;
        }
        program.into_iter().for_each(|finding| tally.program(finding));
        findings.into_iter().for_each(|finding| tally.finding(finding));
        drop(tally);
        self.request.progress.advance(1, bytes);
    }

    fn modified(&self, meta: &Meta, slot: Slot<'_>) -> Finding {
        let (severity, why) = difference(self.known.index, self.known.complete, meta.path.as_bytes(), slot);
        let mut finding = self.finding("file-modified", severity, meta, why);
        finding.rule = Some(self.known.index.authority(slot));
        if severity > Severity::Info && meta.is_executable() {
            // T1554: Compromise Host Software Binary.
            finding.attack.push("T1554".into());
        }
        finding
    }

    fn added(&self, meta: &Meta) -> Finding {
        let why = "no manifest lists it, in a folder where every file must be listed".to_owned();
        self.finding("file-added", Severity::High, meta, why)
    }

    /// A program where no manifest says what must be: it is only listed. Tools are staged in such
    /// folders because the vendor's own check passes them over.
    fn program(&self, meta: &Meta, digests: &Digests, generation: usize) -> Option<Finding> {
        is_program(meta, digests).then_some(())?;
        // Of a whole installation without a manifest a gap tells; its programs are no news.
        let has_manifest = |one: &Generation| one.folder.is_empty() || !one.manifests.is_empty();
        self.known.generations.0.get(generation).is_none_or(has_manifest).then_some(())?;
        let what = match digests.nature {
            Nature::Program => "a program",
            Nature::Script => "a script",
            Nature::Archive => "an archive of code",
            _ => "an executable file",
        };
        let why = format!("{what} in a folder of which no manifest says what must be there");
        let evidence = Some(Evidence { sha256: Some(hex(&digests.sha256)), excerpt: None });
        Some(Finding { evidence, ..self.finding("program-unlisted", Severity::Info, meta, why) })
    }

    fn metadata(&self, meta: &Meta, complaint: Complaint) -> Finding {
        let mut finding = self.finding("file-metadata", complaint.severity, meta, complaint.why);
        finding.rule = Some(complaint.rule.into());
        if complaint.escalates {
            // T1548.001: Setuid and Setgid.
            finding.attack.push("T1548.001".into());
        }
        finding
    }

    /// Where a package ships a link: what stands there instead of it.
    fn link(&self, meta: &Meta) -> Option<Finding> {
        let link = self.known.index.link(meta.path.as_bytes())?;
        link.mark_seen();
        let what = match (meta.kind, &meta.target) {
            (Kind::Link, Some(target)) if link.targets.iter().any(|shipped| shipped == target.as_bytes()) => {
                return None;
            }
            (Kind::Link, target) => format!("link to {}", target.clone().unwrap_or_default()),
            // dpkg keeps a folder where a newer version has a link to one.
            (Kind::Folder, _) => return None,
            (kind, _) => kind.as_str().to_owned(),
        };
        let shipper = link.shipper.clone();
        let shipped = link.targets.first().cloned().unwrap_or_default();
        let why = format!("it is a {what}; {shipper} lists a link to {}", Text::new(shipped));
        Some(Finding { rule: Some(shipper), ..self.finding("file-modified", Severity::High, meta, why) })
    }

    /// Where a regular file is listed and something else stands.
    fn not_a_file(&self, meta: &Meta, slot: Slot<'_>) {
        slot.mark_seen();
        if meta.target.as_ref().is_some_and(|target| slot.is_link_to(target.as_bytes())) {
            self.tally().matched(meta.path.as_bytes(), &Standing::Consistent);
            return self.known.previous.meet(meta, true);
        }
        if meta.kind == Kind::Link {
            return self.tally().link(meta);
        }
        let mut finding = self.modified(meta, slot);
        finding.why =
            format!("it is a {}; {} lists a regular file", meta.kind.as_str(), self.known.index.authority(slot));
        self.tally().finding(finding);
    }
}

impl Visitor for Sight<'_> {
    fn wants(&self, meta: &Meta) -> Wants {
        let slot = self.known.index.get(meta.path.as_bytes());
        let wants = slot.map_or(Wants::SHA256, Slot::wants);
        let Some(hunt) = self.hunt else { return wants };
        let is_listed = slot.is_some_and(Slot::is_listed);
        hunt.wants(meta, wants, is_listed)
    }

    fn entry(&self, entry: Entry) {
        let meta = &entry.meta;
        if let Some(digests) = &entry.digests {
            return self.file(meta, digests, entry.content, entry.bytes_read);
        }
        if let Some(slot) = self.known.index.get(meta.path.as_bytes()).filter(|slot| slot.is_claimed()) {
            return self.not_a_file(meta, slot);
        }
        self.known.previous.meet(meta, false);
        if let Some(finding) = self.link(meta) {
            self.tally().finding(finding);
        }
        if meta.kind == Kind::Folder
            && let Some(complaint) = self.known.rules.product(meta, self.known.generations.of(meta.path.as_bytes()).1)
        {
            let finding = self.metadata(meta, complaint);
            self.tally().finding(finding);
        }
    }

    fn obstacle(&self, obstacle: Obstacle) {
        let path = obstacle.path.as_bytes();
        let slot = self.known.index.get(path).filter(|slot| slot.is_claimed());
        let mut finding = None;
        if let (Hides::Entry, Some(slot)) = (obstacle.hides, slot) {
            slot.mark_seen();
            if let ObstacleKind::Special(kind) = obstacle.kind {
                let why =
                    format!("it is a {}; {} lists a regular file", kind.as_str(), self.known.index.authority(slot));
                finding = Some(bare("file-modified", Severity::High, path, why, self.request.clause));
            }
        } else if obstacle.hides == Hides::Entry && self.known.complete.covers(path) && is_there(obstacle.kind) {
            let why = "no manifest lists it, in a folder where every file must be listed; its content was not seen";
            finding = Some(bare("file-added", Severity::High, path, why.to_owned(), self.request.clause));
        }
        let mut tally = self.tally();
        tally.coverage.unseen += 1;
        tally.folder(path).unseen += 1;
        finding.into_iter().for_each(|finding| tally.finding(finding));
        tally.obstacle(obstacle);
    }

    fn stop(&self) -> bool {
        self.request.progress.stop_requested()
    }
}

/// Whether something runs: by its first bytes, or because its mode says so.
fn is_program(meta: &Meta, digests: &Digests) -> bool {
    let is_packed_code = || PACKED_CODE.iter().any(|ending| meta.path.as_bytes().ends_with(ending));
    matches!(digests.nature, Nature::Program | Nature::Script)
        || meta.is_executable()
        || (digests.nature == Nature::Archive && is_packed_code())
}

/// Endings of archives that are programs: plug-ins were brought into a web server as such.
const PACKED_CODE: [&[u8]; 6] = [b".jar", b".war", b".ear", b".egg", b".whl", b".pyz"];

/// Whether an obstacle means a regular file that exists.
fn is_there(kind: ObstacleKind) -> bool {
    matches!(kind, ObstacleKind::Unreadable | ObstacleKind::Changed | ObstacleKind::TooLarge)
}

/// How much a difference weighs, and in what it consists.
pub(super) fn difference(
    index: &Index<'_>,
    complete: &Complete<'_>,
    path: &[u8],
    slot: Slot<'_>,
) -> (Severity, String) {
    let authority = index.authority(slot);
    if slot.is_conffile() {
        return (Severity::Info, format!("a configuration file that differs from the one of {authority}"));
    }
    let severity = if complete.is_volatile(path) { Severity::Info } else { Severity::High };
    let digest = slot.digest_name();
    (severity, format!("its {digest} differs from the one that {authority} lists"))
}

/// A finding about a path of which nothing more is known.
pub(crate) fn bare(code: &str, severity: Severity, path: &[u8], why: String, clause: Option<&str>) -> Finding {
    Finding {
        code: code.into(),
        severity,
        path: Some(Text::new(path)),
        place: None,
        why,
        evidence: None,
        rule: None,
        attack: Vec::new(),
        clause: clause.map(str::to_owned),
        times: Times::default(),
    }
}

/// A finding about an entry that was met.
pub(crate) fn about(code: &str, severity: Severity, meta: &Meta, why: String, clause: Option<&str>) -> Finding {
    Finding { times: times(meta), ..bare(code, severity, meta.path.as_bytes(), why, clause) }
}
