//! Files: which rules and indicators does each file match?
//!
//! Whoever reads hands what must be scanned to threads that hunt, each with a scanner of its own: scanners
//! cannot change threads, and one that is kept from file to file costs a quarter of a new one for each.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use directive::record::{Evidence, Finding, Gap, Severity, hex};
use directive::text::Text;
use evidence::{Digests, Meta, Source, Wants};
use hunt::indicator::{File, Hit};
use hunt::yara::{About, Match, Scanner, Unscanned};

use super::later::{Later, Queue, Waiting};
use super::logs::{Reading, Told};
use super::{Hunt, lock, tamper};
use crate::glob;
use crate::integrity::{KEPT, about};

/// Findings of one rule that are kept one by one: those whose paths come first, whichever thread met them.
const KEPT_OF_ONE_RULE: usize = 1_000;

/// What hunting in files left behind.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) findings: Vec<Finding>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) hunted: u64,
    pub(crate) told: Told,
}

/// Of findings: code and rule.
type Rule = (String, Option<String>);

/// Of findings of one rule: path, place, and why. The smallest are kept, whichever thread met them.
type Where = (Option<Text>, Option<String>, String);

/// What is found while files are met.
#[derive(Default)]
struct Finds {
    by_rule: HashMap<Rule, BTreeMap<Where, Finding>>,
    beyond: u64,
    gaps: Vec<Gap>,
    hunted: u64,
}

impl Finds {
    fn keep(&mut self, finding: Finding) {
        let rule = (finding.code.clone(), finding.rule.clone());
        let all = self.by_rule.entry(rule).or_default();
        all.insert((finding.path.clone(), finding.place.clone(), finding.why.clone()), finding);
        if all.len() > KEPT_OF_ONE_RULE {
            all.pop_last();
            self.beyond += 1;
        }
    }
}

/// A file whose content must be looked at.
pub(crate) struct Job {
    meta: Meta,
    sha256: [u8; 32],
    content: Vec<u8>,
    /// Whether rules run over it.
    is_scanned: bool,
    /// Which log it is.
    log: Option<usize>,
}

/// Batches that wait. Each may hold a whole file, so that few may.
const WAITING: usize = 2;

/// Bytes of a batch from which on it is handed over. To wake a thread costs as much as to scan some kilobytes, and
/// most files have no more.
const BATCH: usize = 512 << 10;

/// Files of a batch from which on it is handed over, however small they are.
const BATCH_FILES: usize = 256;

/// Jobs that go to one thread together.
#[derive(Default)]
struct Batch {
    jobs: Vec<Job>,
    bytes: usize,
}

impl Batch {
    /// Adds a job; the whole batch comes back where it is full.
    fn add(&mut self, job: Job) -> Option<Batch> {
        self.bytes += job.content.len();
        // The understanding of a log may take long: others need not wait for it.
        let is_full = self.bytes >= BATCH || job.log.is_some() || self.jobs.len() + 1 >= BATCH_FILES;
        self.jobs.push(job);
        is_full.then(|| std::mem::take(self))
    }
}

/// What the hunting threads take their jobs from.
pub(crate) struct Jobs(Mutex<Receiver<Batch>>);

impl Jobs {
    fn next(&self) -> Option<Batch> {
        lock(&self.0).recv().ok()
    }
}

/// A file, as it was met.
#[derive(Clone, Copy)]
pub(crate) struct Met<'m> {
    pub(crate) meta: &'m Meta,
    pub(crate) digests: &'m Digests,
    /// Whether a manifest from outside vouches for it.
    pub(crate) is_vouched: bool,
    /// Whether its bytes were met under another name already.
    pub(crate) is_further: bool,
}

/// Ends the hunting threads when reading ended, however it did.
pub(crate) struct Closing<'f, 'a>(pub(crate) &'f Files<'a>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut *lock(&self.0.batch));
        self.0.send(rest);
        lock(&self.0.jobs).take();
    }
}

/// Hunts in files as they are met.
pub(crate) struct Files<'a> {
    hunt: &'a Hunt,
    clause: Option<&'a str>,
    jobs: Mutex<Option<SyncSender<Batch>>>,
    /// Small files that wait for more of their kind.
    batch: Mutex<Batch>,
    finds: Mutex<Finds>,
    /// Files that were not held in memory when they came by.
    later: Mutex<Waiting>,
    places: tamper::Places,
    logs: Reading<'a>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(hunt: &'a Hunt, source: &dyn Source, clause: Option<&'a str>) -> (Self, Jobs) {
        let (sender, receiver) = sync_channel(WAITING);
        let places = tamper::Places::new(&hunt.tamper, source);
        let files = Self {
            hunt,
            clause,
            jobs: Mutex::new(Some(sender)),
            batch: Mutex::default(),
            finds: Mutex::default(),
            later: Mutex::default(),
            places,
            logs: Reading::new(hunt, clause),
        };
        (files, Jobs(Mutex::new(receiver)))
    }

    /// Hunts until [`Closing`] is dropped. For a thread of its own.
    pub(crate) fn work(&self, jobs: &Jobs) {
        let mut scanner = None;
        while let Some(batch) = jobs.next() {
            let mut hunted = 0;
            for job in batch.jobs {
                hunted += u64::from(self.look(&mut scanner, &job));
            }
            self.finds().hunted += hunted;
        }
    }

    /// Reads a log, runs the rules over a file. Whether rules went through it to its end.
    fn look(&self, scanner: &mut Option<Scanner<'a>>, job: &Job) -> bool {
        if let Some(place) = job.log {
            self.logs.read(place, &job.meta, &job.content);
        }
        if !job.is_scanned {
            return false;
        }
        // A scanner is made when there is something to scan: it takes megabytes.
        let scanner = scanner.get_or_insert_with(|| self.hunt.rules.scanner());
        match self.scan(scanner, &job.content, &job.meta) {
            Ok(matches) => {
                let found = matches.iter().map(|found| self.matched(&job.meta, found, 0));
                self.keep(found.map(|finding| sealed(finding, job.sha256)));
                true
            }
            Err(unscanned) => {
                self.gap(&job.meta, &unscanned.to_string());
                false
            }
        }
    }

    /// What is wanted of a file, given what is wanted anyway and whether somebody from outside lists it.
    ///
    /// Of a file with several names nothing is held: which name comes first depends on the threads, and each
    /// must be named.
    pub(crate) fn wants(&self, meta: &Meta, wants: Wants, is_listed: bool) -> Wants {
        let indicators = &self.hunt.indicators;
        let path = meta.path.as_bytes();
        let is_hunted = self.wants_content() && (!is_listed || self.looks_into_vouched(path));
        let is_wanted = is_hunted || self.logs.place(path).is_some();
        let content = if is_wanted && meta.nlink < 2 { self.hunt.limits.content } else { 0 };
        let wants = if indicators.wants_md5() { Wants::MD5 } else { wants };
        wants.with_sha1(indicators.wants_sha1()).with_content(content)
    }

    fn wants_content(&self) -> bool {
        !self.hunt.rules.is_empty() || self.hunt.indicators.wants_content()
    }

    fn looks_into_vouched(&self, path: &[u8]) -> bool {
        let settings = &self.hunt.settings;
        settings.everything || settings.no_vouch.iter().any(|pattern| glob::matches(pattern.as_bytes(), path))
    }

    /// A file that was met, with its content if that was wanted; `is_further` if its bytes were met under another
    /// name already.
    pub(crate) fn meet(&self, file: &Met<'_>, content: Option<Vec<u8>>) {
        let Met { meta, digests, is_vouched, .. } = *file;
        self.keep(self.places.meet(meta, digests, self.clause));
        if self.hunt.own.contains(&digests.sha256) {
            let why = "it holds exactly the rules that this run hunts with; it was not hunted in".to_owned();
            return self.keep([about("own-rules", Severity::Info, meta, why, self.clause)]);
        }
        let path = meta.path.as_bytes();
        let hits = self.hunt.indicators.file(&known(meta, digests), content.as_deref());
        self.keep(hits.iter().map(|hit| sealed(self.indicated(meta, hit), digests.sha256)));
        let log = self.logs.place(path).filter(|_| self.logs.is_new(digests.sha256));
        if let (Some(place), None) = (log, &content) {
            self.logs.later(place, meta);
        }
        let is_hunted = meta.size > 0 && self.wants_content() && (!is_vouched || self.looks_into_vouched(path));
        match content {
            Some(content) if log.is_some() || (is_hunted && !self.hunt.rules.is_empty()) => {
                let is_scanned = is_hunted && !self.hunt.rules.is_empty();
                self.hand_over(Job { meta: meta.clone(), sha256: digests.sha256, content, is_scanned, log });
            }
            _ if !is_hunted => {}
            Some(_) => self.finds().hunted += 1,
            None => lock(&self.later).add(file, self.hunt.limits.later),
        }
    }

    fn hand_over(&self, job: Job) {
        let full = lock(&self.batch).add(job);
        full.into_iter().for_each(|batch| self.send(batch));
    }

    fn send(&self, batch: Batch) {
        let sender = lock(&self.jobs).clone();
        if let Some(Err(refused)) = sender.map(|sender| sender.send(batch)) {
            // Every hunting thread is gone, which only a panic does; it will be told where threads are joined.
            refused.0.jobs.iter().for_each(|job| self.gap(&job.meta, "hunting ended early"));
        }
    }

    /// Hunts in what was not held in memory: long files in pieces, files with several names, and files that a
    /// manifest lists and that turned out to be others.
    pub(crate) fn finish(self, source: &dyn Source, threads: NonZeroUsize, stop: &(dyn Fn() -> bool + Sync)) -> Found {
        let waiting = std::mem::take(&mut *lock(&self.later));
        let unhunted = waiting.gap();
        let helpers = threads.get().min(waiting.len());
        let later = waiting.queue();
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|| self.work_later(&later, source, stop));
            }
        });
        self.keep(self.places.finish(source, self.clause));
        let mut told = self.logs.finish(source, threads, stop);
        std::mem::take(&mut told.findings).into_iter().for_each(|finding| lock(&self.finds).keep(finding));
        let finds = self.finds.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut gaps = finds.gaps;
        gaps.extend(unhunted);
        if finds.beyond > 0 {
            let why = format!("{} more matches of rules that matched {KEPT_OF_ONE_RULE} files already", finds.beyond);
            gaps.push(Gap { code: "too-many".into(), path: None, place: None, why, required: false });
        }
        let findings = finds.by_rule.into_values().flat_map(BTreeMap::into_values).collect();
        gaps.append(&mut told.gaps);
        Found { findings, gaps, hunted: finds.hunted, told }
    }

    /// Hunts in files of the queue until it is empty. For a thread of its own.
    fn work_later(&self, queue: &Queue, source: &dyn Source, stop: &dyn Fn() -> bool) {
        let mut scanner = self.hunt.rules.scanner();
        while !stop() {
            // A guard that lives as long as the file would keep the others waiting.
            let next = lock(queue).next();
            let Some(mut file) = next else { return };
            file.names.sort_by(|a, b| a.path.cmp(&b.path));
            self.in_pieces(&mut scanner, source, &file);
        }
    }

    /// Hunts in one file, and names it by all of `names`. Rules that ask for the name see the first.
    fn in_pieces(&self, scanner: &mut Scanner<'a>, source: &dyn Source, file: &Later) {
        let Some(meta) = file.names.first() else { return };
        let known = known(meta, &file.digests);
        let piece = usize::try_from(self.hunt.limits.content).unwrap_or(usize::MAX);
        let mut buffer: Vec<u8> = Vec::new();
        let mut start = 0_u64;
        // By rule: what matches in two pieces is one finding, about the first place.
        let mut findings: BTreeMap<(String, Option<String>), Finding> = BTreeMap::new();
        let mut failure = None;
        let indicators = &self.hunt.indicators;
        // What holds of digest or name alone was told of each name when that was met.
        let told = indicators.file(&known, None);
        let is_new = |hit: &Hit<'_>| told.iter().all(|told| told.indicator.id != hit.indicator.id);
        let mut go = |buffer: &[u8], start: u64| {
            let hits = indicators.file(&known, Some(buffer)).into_iter().filter(is_new);
            let mut found: Vec<Finding> = hits.map(|hit| self.indicated(meta, &hit)).collect();
            match self.scan(scanner, buffer, meta) {
                Ok(matches) => found.extend(matches.iter().map(|found| self.matched(meta, found, start))),
                Err(unscanned) => failure = Some(unscanned.to_string()),
            }
            for finding in found {
                findings.entry((finding.code.clone(), finding.rule.clone())).or_insert(finding);
            }
        };
        let read = source.stream(meta.path.as_bytes(), &mut |bytes| {
            buffer.extend_from_slice(bytes);
            if buffer.len() >= piece {
                go(&buffer, start);
                let keep = buffer.len().min(self.hunt.limits.overlap);
                start += (buffer.len() - keep) as u64;
                buffer.drain(..buffer.len() - keep);
            }
            true
        });
        go(&buffer, start);
        match (read, failure) {
            (Err(error), _) => self.gap(meta, &error.to_string()),
            (Ok(None), _) => self.gap(meta, "it was not there any more"),
            (Ok(_), Some(failure)) => self.gap(meta, &failure),
            (Ok(_), None) => {
                if start > 0 {
                    let why = "it is too long to be held at once and was hunted in pieces: a rule that asks for its \
                               size or its end, or for what lies far apart, may have missed it";
                    self.push_gap(meta, why, false);
                }
                self.finds().hunted += file.names.len() as u64;
            }
        }
        for name in &file.names {
            let named = findings.values().map(|finding| {
                let same = about(&finding.code, finding.severity, name, finding.why.clone(), self.clause);
                let (rule, attack, evidence) = (finding.rule.clone(), finding.attack.clone(), finding.evidence.clone());
                sealed(Finding { rule, attack, evidence, ..same }, file.digests.sha256)
            });
            self.keep(named);
        }
    }

    fn scan(&self, scanner: &mut Scanner<'a>, content: &[u8], meta: &Meta) -> Result<Vec<Match>, Unscanned> {
        let about = About { path: meta.path.as_bytes().to_vec(), owner: meta.uid.to_string() };
        // The engine compiles rules of others to machine code. If it stumbles, one file was not seen, and the
        // threads that read must not wait for ever for the one that hunts.
        let scan = AssertUnwindSafe(|| scanner.scan(content, &about));
        let result = catch_unwind(scan);
        result.unwrap_or_else(|_| {
            *scanner = self.hunt.rules.scanner();
            Err(Unscanned::Engine)
        })
    }

    fn matched(&self, meta: &Meta, found: &Match, start: u64) -> Finding {
        let what = found.description.as_deref().map(directive::text::escape);
        let mut why = what.map_or_else(|| "a rule matches it".to_owned(), |what| format!("a rule matches it: {what}"));
        if let Some(offset) = found.offset {
            why += &format!("; first at byte {}", start + offset);
        }
        let mut finding = about("yara-match", found.severity, meta, why, self.clause);
        finding.rule = Some(found.rule.clone());
        finding.attack.clone_from(&found.attack);
        finding.evidence = Some(Evidence { sha256: None, excerpt: found.excerpt.clone() });
        finding
    }

    fn indicated(&self, meta: &Meta, hit: &Hit<'_>) -> Finding {
        let name = directive::text::escape(&hit.indicator.name);
        let why = format!("a published indicator names it by {}: {name}", hit.seen);
        let mut finding = about("indicator-match", hit.severity, meta, why, self.clause);
        finding.rule = Some(hit.indicator.id.clone());
        finding.attack.clone_from(&hit.indicator.attack);
        finding
    }

    fn keep(&self, findings: impl IntoIterator<Item = Finding>) {
        let mut findings = findings.into_iter().peekable();
        if findings.peek().is_some() {
            let mut finds = self.finds();
            findings.for_each(|finding| finds.keep(finding));
        }
    }

    fn gap(&self, meta: &Meta, why: &str) {
        self.push_gap(meta, &format!("it was not hunted in to its end: {why}"), meta.is_executable());
    }

    fn push_gap(&self, meta: &Meta, why: &str, required: bool) {
        let path = Some(Text::new(meta.path.as_bytes()));
        let mut finds = self.finds();
        if finds.gaps.len() < KEPT {
            finds.gaps.push(Gap { code: "not-hunted".into(), path, place: None, why: why.into(), required });
        }
    }

    fn finds(&self) -> std::sync::MutexGuard<'_, Finds> {
        lock(&self.finds)
    }
}

fn known<'f>(meta: &'f Meta, digests: &Digests) -> File<'f> {
    File { path: meta.path.as_bytes(), sha256: digests.sha256, md5: digests.md5, sha1: digests.sha1 }
}

/// A finding that says which bytes it is about.
fn sealed(mut finding: Finding, sha256: [u8; 32]) -> Finding {
    finding.evidence.get_or_insert_default().sha256 = Some(hex(&sha256));
    finding
}
