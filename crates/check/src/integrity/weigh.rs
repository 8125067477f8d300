//! Weigh: once everything was met, what is missing, what was hidden, and what does it add up to?
//!
//! Turns obstacles into gaps, what was listed and not met into missing files, what was wrong
//! before into restored files, and all of it into a verdict with its reasons.

use std::collections::{BTreeMap, HashSet};

use directive::judge;
use directive::record::{Account, Conclusion, Coverage, Evidence, Finding, Gap, Severity, hex};
use directive::text::Text;
use evidence::{Hides, Meta, Obstacle, ObstacleKind};

use super::generation::Generations;
use super::history;
use super::index::{Index, Slot, Standing, folder_of};
use super::previous::Previous;
use super::sight::{Complete, about, bare, difference, is_below};
use super::tally::{PROGRAMS, Tally};
use super::{Outcome, Request};
use crate::database::Database;
use crate::hunt::logs::{self, Told};
use crate::hunt::people::People;
use crate::live;
use crate::timeline::{self, Sign};

/// What is needed to judge a walk that ended.
pub(super) struct Seen<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) index: &'a Index<'a>,
    pub(super) generations: &'a Generations,
    pub(super) complete: &'a Complete<'a>,
    pub(super) previous: &'a Previous<'a>,
    pub(super) database: &'a Database,
    pub(super) live: live::Seen,
}

impl Seen<'_> {
    pub(super) fn weigh(&self, mut tally: Tally, told: Told, mut gaps: Vec<Gap>, interrupted: bool) -> Outcome {
        for meta in std::mem::take(&mut tally.links) {
            self.link(&meta, &mut tally);
        }
        if !interrupted {
            self.missing(&mut tally, &mut gaps);
        }
        tally.beyond += self.index.beyond;
        self.index.complaints.iter().cloned().for_each(|finding| tally.finding(finding));
        if !interrupted {
            self.restored(&mut tally);
        }
        self.obstacles(&tally.obstacles, &mut gaps);
        self.own_gaps(&tally, &mut gaps, interrupted);
        self.programs(&mut tally, &mut gaps);
        tally.coverage.generations = self
            .generations
            .0
            .iter()
            .zip(&tally.vouched)
            .map(|(generation, vouched)| generation.record(self.request.manifests, *vouched))
            .collect();
        tally.coverage.by_folder = std::mem::take(&mut tally.by_folder).into_values().collect();
        let versions = self.versions(&tally);
        versions.into_iter().for_each(|finding| tally.finding(finding));
        if let (Some(before), false) = (self.request.previous_coverage, interrupted) {
            let changes = history::compare(before, &tally.coverage, self.request.clause);
            changes.into_iter().for_each(|finding| tally.finding(finding));
        }

        let mut findings = tally.findings;
        // After the files: a program that was replaced says nothing about whether its file is as shipped.
        findings.extend(self.live.findings.iter().cloned());
        gaps.extend(self.live.gaps.iter().cloned());
        if !self.request.source.has_own_ctime() {
            // They say when the copy was made, and would put the whole instance on that day.
            for finding in &mut findings {
                finding.times.remove("ctime");
                finding.times.remove("birth");
            }
        }
        findings.sort_by(|a, b| (&a.path, &a.code, &a.why).cmp(&(&b.path, &b.code, &b.why)));
        let coverage = Coverage { logs: told.reach, running: self.live.running.clone(), ..tally.coverage };
        let sign = timeline::first_sign(&findings, self.request.source.has_own_ctime(), &tally.shipped);
        let accounts = self.accounts(told.people, sign.as_ref(), &mut gaps);
        let (timeline, beyond) = timeline::assemble(told.moments, &findings, &coverage.logs);
        if beyond > 0 {
            let why = format!("{beyond} more moments of the timeline than are kept");
            gaps.push(Gap { code: "too-many".into(), path: None, place: None, why, required: false });
        }
        gaps.sort_by(|a, b| (&a.path, &a.code, &a.place, &a.why).cmp(&(&b.path, &b.code, &b.place, &b.why)));
        let pack = self.request.hunt.map(|hunt| &hunt.verdict);
        let (verdict, explained) = pack.unwrap_or(&judge::Rules::default()).judge(&findings, &gaps);
        let conclusion = Conclusion {
            verdict,
            reasons: self.reasons(&findings, &gaps, &coverage),
            first_sign: sign.as_ref().map(|sign| sign.at),
            first_sign_by: sign.map(|sign| sign.why),
            accounts: accounts.iter().map(Account::name).collect(),
        };
        Outcome { findings, gaps, coverage, conclusion, accounts, timeline, explained, witnesses: Vec::new() }
    }

    /// Whose passwords must be reset: nobody's without a sign of a compromise.
    fn accounts(&self, people: People, sign: Option<&Sign>, gaps: &mut Vec<Gap>) -> Vec<Account> {
        let (Some(hunt), Some(sign)) = (self.request.hunt, sign) else { return Vec::new() };
        if people.beyond > 0 {
            let why = format!("{} more accounts than are remembered: the list of accounts is not whole", people.beyond);
            gaps.push(Gap { code: "too-many".into(), path: None, place: None, why, required: true });
        }
        people.since(sign.at, &hunt.accounts, hunt.geo.as_deref())
    }

    /// A link where a file is listed: its target decides, inside the evidence.
    fn link(&self, meta: &Meta, tally: &mut Tally) {
        let path = meta.path.as_bytes();
        let Some(slot) = self.index.get(path) else { return };
        let source = self.request.source;
        let wants = slot.wants();
        let target = meta.target.clone().unwrap_or_default();
        let (severity, differs) = difference(self.index, self.complete, path, slot);
        let rule = Some(self.index.authority(slot));
        let clause = self.request.clause;
        let Some(found) = source.canonical_file(path) else {
            let why = format!("it is a link to {target}, which is not there; a regular file is listed");
            return tally.finding(Finding { rule, ..about("file-modified", severity, meta, why, clause) });
        };
        match source.digest(&found, wants) {
            Ok((_, digests)) => match slot.judge(&digests) {
                Standing::Differs => {
                    let why = format!("it is a link to {target}, and {differs}");
                    let evidence = Some(Evidence { sha256: Some(hex(&digests.sha256)), excerpt: None });
                    let finding = about("file-modified", severity, meta, why, clause);
                    tally.finding(Finding { rule, evidence, ..finding });
                }
                standing => {
                    tally.matched(path, &standing);
                    self.previous.meet(meta, true);
                }
            },
            Err(Obstacle { kind: ObstacleKind::Special(kind), .. }) => {
                let why = format!("it is a link to {target}, a {}; a regular file is listed", kind.as_str());
                tally.finding(Finding { rule, ..about("file-modified", severity, meta, why, clause) });
            }
            Err(mut obstacle) => {
                obstacle.path = meta.path.clone();
                tally.coverage.unseen += 1;
                tally.obstacle(obstacle);
            }
        }
    }

    /// What is listed and was not met, unless something hides it.
    fn missing(&self, tally: &mut Tally, gaps: &mut Vec<Gap>) {
        let trees: Vec<Text> = trees(&tally.obstacles).map(|obstacle| obstacle.path.clone()).collect();
        let trees: Vec<&[u8]> = trees.iter().map(Text::as_bytes).collect();
        let is_hidden = |path: &[u8]| trees.iter().any(|tree| is_below(path, tree));
        let mut left_out = 0_u64;
        let mut is_left_out = |path: &[u8], is_told: bool| {
            let excluded = self.database.filters.exclude(path) || self.database.left_out.contains(path);
            left_out += u64::from(excluded && is_told);
            excluded
        };
        for slot in self.index.unseen().into_iter().filter(|slot| !is_hidden(slot.path())) {
            let may_be = self.index.is_packaged(slot);
            if !(may_be && is_left_out(slot.path(), slot.is_listed())) {
                tally.finding(self.missing_file(slot.path(), slot));
            }
        }
        for (path, link) in self.index.unseen_links().into_iter().filter(|(path, _)| !is_hidden(path)) {
            if !is_left_out(path, link.is_operators) {
                let shipper = link.shipper.clone();
                let why = format!("{shipper} lists a link here, and it is not there");
                let finding = bare("file-missing", Severity::Medium, path, why, self.request.clause);
                tally.finding(Finding { rule: Some(shipper), ..finding });
            }
        }
        if left_out > 0 {
            let why = format!(
                "{left_out} files and links of packages were not to be unpacked, as the instance's own records say; \
                 they are not there, and nobody else says why"
            );
            gaps.push(Gap { code: "files-left-out".into(), path: None, place: None, why, required: false });
        }
    }

    fn missing_file(&self, path: &[u8], slot: Slot<'_>) -> Finding {
        let authority = self.index.authority(slot);
        let (severity, why) = if slot.is_conffile() {
            (Severity::Info, format!("a configuration file of {authority} that is not there"))
        } else if self.complete.is_volatile(path) {
            (
                Severity::Info,
                format!("{authority} lists it in a folder that changes in normal use, and it is not there"),
            )
        } else {
            (Severity::Medium, format!("{authority} lists it, and it is not there"))
        };
        Finding { rule: Some(authority), ..bare("file-missing", severity, path, why, self.request.clause) }
    }

    /// Lists the programs that no manifest lists: the first of them one by one, the rest by number.
    fn programs(&self, tally: &mut Tally, gaps: &mut Vec<Gap>) {
        let programs = std::mem::take(&mut tally.programs);
        let total = tally.coverage.unlisted_programs;
        if tally.programs_met > PROGRAMS as u64 {
            let why = format!(
                "{total} programs and scripts are in no manifest; the first {PROGRAMS} are named one by one, the \
                 others are counted by folder"
            );
            gaps.push(Gap { code: "too-many".into(), path: None, place: None, why, required: false });
        }
        programs.into_values().for_each(|finding| tally.finding(finding));
    }

    /// Installations whose files are those of another version than their version file says.
    fn versions(&self, tally: &Tally) -> Vec<Finding> {
        let mut findings = Vec::new();
        for ((n, version), count) in &tally.strangers {
            let Some(generation) = self.generations.0.get(*n) else { continue };
            let says = generation.version.as_deref().unwrap_or("none");
            let why = format!(
                "the version file says {says}, and {count} files are those of version {version}: an update that only \
                 looks like one, or one that was undone in part"
            );
            let place = Some(format!("generation {}", generation.name));
            findings.push(disagreeing(&generation.folder, place, why, self.request.clause));
        }
        // A manifest of one version vouches for what calls itself another.
        for (generation, vouched) in self.generations.0.iter().zip(&tally.vouched) {
            let listed = generation.manifests.iter().filter_map(|n| self.request.manifests.get(*n)?.version.as_deref());
            let mut others = listed.filter(|listed| Some(*listed) != generation.version.as_deref());
            if let (Some(listed), Some(says), true) = (others.next(), &generation.version, *vouched > 0) {
                let why = format!(
                    "the version file says {says}, and {vouched} files are those that version {listed} shipped"
                );
                let place = Some(format!("generation {}", generation.name));
                findings.push(disagreeing(&generation.folder, place, why, self.request.clause));
            }
        }
        findings
    }

    fn restored(&self, tally: &mut Tally) {
        let wrong: HashSet<&[u8]> =
            tally.findings.iter().filter_map(|finding| finding.path.as_ref()).map(Text::as_bytes).collect();
        let hidden = |path: &[u8]| {
            tally.obstacles.iter().any(|obstacle| match obstacle.hides {
                Hides::Entry => obstacle.path.as_bytes() == path,
                Hides::Tree => is_below(path, obstacle.path.as_bytes()),
            })
        };
        let restored = self.previous.restored(
            |path| self.index.get(path).is_some_and(Slot::is_claimed),
            |path| wrong.contains(path) || hidden(path),
            self.request.clause,
        );
        restored.into_iter().for_each(|finding| tally.finding(finding));
    }

    /// One gap for each obstacle; special files of one folder together.
    fn obstacles(&self, obstacles: &[Obstacle], gaps: &mut Vec<Gap>) {
        let unseen = self.index.unseen();
        let lists_below = |tree: &[u8]| {
            let from = unseen.partition_point(|slot| slot.path() < tree);
            let paths = unseen[from..].iter().map(|slot| slot.path());
            paths.take_while(|path| path.starts_with(tree)).any(|path| is_below(path, tree))
        };
        let mut special: BTreeMap<&[u8], BTreeMap<&str, u64>> = BTreeMap::new();
        for obstacle in obstacles {
            let path = obstacle.path.as_bytes();
            if let ObstacleKind::Special(kind) = obstacle.kind {
                *special.entry(folder_of(path)).or_default().entry(kind.as_str()).or_default() += 1;
                continue;
            }
            let (code, advice, expected) = describe(obstacle.kind);
            let required = match obstacle.hides {
                Hides::Entry => {
                    self.index.get(path).is_some_and(Slot::is_claimed) || (!expected && self.complete.covers(path))
                }
                Hides::Tree => lists_below(path) || (!expected && self.complete.is_hidden_by(path)),
            };
            let why = format!("{}; {advice}", obstacle.message);
            gaps.push(Gap { code: code.into(), path: Some(obstacle.path.clone()), place: None, why, required });
        }
        for (folder, kinds) in special {
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
            let why =
                format!("special files are never opened, since reading one can hang or act ({})", kinds.join(", "));
            let folder = if folder.is_empty() { b"/" } else { folder };
            gaps.push(Gap {
                code: "special-file".into(),
                path: Some(Text::new(folder)),
                place: None,
                why,
                required: false,
            });
        }
    }

    /// Gaps that lie in what we were given, not in the evidence.
    fn own_gaps(&self, tally: &Tally, gaps: &mut Vec<Gap>, interrupted: bool) {
        let mut gap = |code: &str, why: String| {
            gaps.push(Gap { code: code.into(), path: None, place: None, why, required: true });
        };
        if self.index.len() == 0 {
            let why = "there is nothing to hold the files against; give a list made elsewhere with `--manifest`, \
                       or a baseline";
            gap("manifest-missing", why.into());
        } else if self.index.trusts_instance() {
            let why = "part of what the files were held against was found on the instance itself: an intruder who \
                       can change a file can change its checksum; give a list made elsewhere with `--manifest`";
            gap("manifest-untrusted", why.into());
        }
        if interrupted {
            gap("interrupted", "the check was stopped before everything was seen; run it again".into());
        }
        if tally.beyond > 0 {
            let why = format!("{} more findings or obstacles than are kept one by one", tally.beyond);
            gap("too-many", why);
        }
    }

    fn reasons(&self, findings: &[Finding], gaps: &[Gap], coverage: &Coverage) -> Vec<String> {
        let mut reasons = Vec::new();
        let weighty = || findings.iter().filter(|finding| finding.severity >= Severity::Medium);
        for (code, text) in [
            ("file-modified", "differ from what was shipped"),
            ("file-added", "are listed nowhere, in folders where every file must be listed"),
            ("file-missing", "were shipped and are not there"),
            ("file-metadata", "have an owner, mode or capability that they must not have"),
            ("manifest-disagrees", "are listed with different digests by the manifests given"),
            ("yara-match", "match a rule"),
            ("file-misplaced", "do not belong where they lie"),
            ("times-contradict", "bear times that contradict each other"),
        ] {
            match weighty().filter(|finding| finding.code == code).count() {
                0 => {}
                count => reasons.push(format!("Files that {text}: {count}.")),
            }
        }
        for (code, text) in [
            ("indicator-match", "Published indicators that were seen"),
            ("sigma-match", "Events that match a rule"),
            ("telltale-event", "Events that tell of tampering"),
            ("telltale-file", "Lines of files that tell of tampering"),
            ("log-chain-broken", "Places where the chain of a log is broken"),
        ] {
            match weighty().filter(|finding| finding.code == code).count() {
                0 => {}
                count => reasons.push(format!("{text}: {count}.")),
            }
        }
        let others = [
            "manifest-untrusted",
            "version-disagrees",
            "matched-count-fell",
            "folder-vanished",
            "generation-changed",
            "folder-emptied",
            "log-silent",
            "log-event-absent",
            "log-count-fell",
        ];
        for finding in weighty().filter(|finding| others.contains(&finding.code.as_str())) {
            reasons.push(format!("{}: {}.", finding.code, finding.why));
        }
        let about_host = self.live.findings.iter().filter(|finding| finding.severity >= Severity::Medium).count();
        if about_host > 0 {
            reasons.push(format!("Findings about what runs on the host, beside its files: {about_host}."));
        }
        let mut required: BTreeMap<&str, u64> = BTreeMap::new();
        gaps.iter().filter(|gap| gap.required).for_each(|gap| *required.entry(&gap.code).or_default() += 1);
        reasons.extend(required.iter().map(|(code, count)| format!("Gaps in what had to be seen, {code}: {count}.")));
        if reasons.is_empty() {
            reasons.push(format!(
                "All {} files that are listed were seen and match; {} more are listed nowhere{}.",
                coverage.vouched + coverage.consistent,
                coverage.unlisted,
                explained(coverage)
            ));
        }
        let speaks = |(log, (first, last))| format!("{log} from {first:.0} to {last:.0}");
        let logs: Vec<String> = logs::since(&coverage.logs).into_iter().map(speaks).collect();
        if !logs.is_empty() {
            reasons.push(format!("Logs speak, of other times they say nothing: {}.", logs.join("; ")));
        }
        reasons
    }
}

/// How many of the files in no manifest are such as Debian makes itself.
fn explained(coverage: &Coverage) -> String {
    match coverage.explained {
        0 => String::new(),
        explained => format!(", of which {explained} are such as Debian makes itself"),
    }
}

fn disagreeing(folder: &[u8], place: Option<String>, why: String, clause: Option<&str>) -> Finding {
    let folder = if folder.is_empty() { b"/" } else { folder };
    Finding {
        place,
        // T1562: an intruder showed an upgrade that never happened.
        attack: vec!["T1562".into()],
        ..bare("version-disagrees", Severity::High, folder, why, clause)
    }
}

fn trees(obstacles: &[Obstacle]) -> impl Iterator<Item = &Obstacle> {
    obstacles.iter().filter(|obstacle| obstacle.hides == Hides::Tree)
}

/// The code of a gap, what would close it, and whether healthy instances have it.
pub(crate) fn describe(kind: ObstacleKind) -> (&'static str, &'static str, bool) {
    match kind {
        ObstacleKind::Unreadable => ("unreadable", "read it with more rights, or from a copy of the disk", false),
        ObstacleKind::Vanished => {
            ("vanished", "it was there when its folder was listed; check again, or from a copy", false)
        }
        ObstacleKind::Changed => ("changed-while-read", "check again, or from a copy of the disk", false),
        ObstacleKind::Special(_) => ("special-file", "special files are never opened", true),
        ObstacleKind::PseudoFilesystem => ("pseudo-filesystem", "the kernel makes it up; no vendor ships it", true),
        ObstacleKind::NetworkFilesystem => ("network-filesystem", "check it on the machine that holds it", true),
        ObstacleKind::TooDeep => ("too-deep", "check the folder by itself", false),
        ObstacleKind::PathTooLong => ("path-too-long", "check the folder by itself", false),
        ObstacleKind::TooLarge => ("too-large", "take its digest by other means", false),
        ObstacleKind::Loop => ("folder-loop", "its content is seen under its other name", true),
        ObstacleKind::Damaged => ("damaged", "get a whole copy of the evidence, or read it by other means", false),
        ObstacleKind::Encrypted => {
            ("encrypted", "give the key file with `--key-file`, or a copy of the open disk", false)
        }
        ObstacleKind::NotRead => ("not-read", "read it by other means, and give a folder", false),
        ObstacleKind::BadName => ("hostile-name", "look at how the evidence was made: no system writes this", false),
        ObstacleKind::Twice => ("archive-ambiguous", "make the archive again, of each file once", false),
        ObstacleKind::TooMany => ("too-many-entries", "check it in parts", false),
        ObstacleKind::NoFiles => ("no-files", "search it for deleted files by other means", true),
        ObstacleKind::Covered => ("mount-covers", "look at the file system below by itself", false),
        ObstacleKind::Remark => ("evidence-remark", "it is said so that the reader knows", true),
        _ => ("unreadable", "it could not be read", false),
    }
}
