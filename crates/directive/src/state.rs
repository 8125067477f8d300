//! State: what do the records of a case add up to?
//!
//! A pure fold over the records in their order: the same records give the same state, on any
//! machine, at any time. Nothing is known that is not a record.

mod following;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::mitigation::Mitigation;
use crate::record::{
    Account, Body, Conclusion, Coverage, Filings, Finding, Gap, Instance, InstanceState, Ledger, Mark, Merge, Moment,
    Opening, Outcome, Record, Status, Step, Witness,
};
use crate::verdict::Verdict;
pub use following::{Followed, Following, doubts};

/// What is known of a case.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// When the case was opened, and its latest opening: scope and packs may change later.
    pub opening: Option<(Timestamp, Opening)>,
    /// Every instance by name.
    pub instances: BTreeMap<String, Known>,
    /// The latest count of addresses, with the record's id.
    pub ledger: Option<(Timestamp, String, Ledger)>,
    /// What was done for the organisation as a whole.
    pub log: Log,
    /// Gaps of the latest discovery that belong to no instance.
    pub gaps: Vec<Gap>,
    /// What became of its reports.
    pub filings: Filings,
    /// Advisories and the catalogue of exploited vulnerabilities.
    pub following: Following,
}

/// What is known of one instance.
#[derive(Debug, Clone)]
pub struct Known {
    /// Everything that discoveries and checks said of it, merged; the version as advisories judge it since.
    pub instance: Instance,
    /// When it became known.
    pub since: Timestamp,
    /// Checks, oldest first. Of all but the latest only the conclusion is kept.
    pub checks: Vec<Check>,
    /// What was found about it outside checks: versions that disagree, for example.
    pub findings: Vec<Finding>,
    /// What was not seen of it outside checks.
    pub gaps: Vec<Gap>,
    /// Why several addresses were counted as this one.
    pub merge: Option<Merge>,
    /// Findings of the latest check.
    pub checked: Checked,
    /// What was done for it.
    pub log: Log,
    /// Every account that a check has put on the reset list, and since when: a later check, which may see nothing any
    /// more, takes none away.
    pub resets: BTreeMap<String, Timestamp>,
    /// What was changed for it, by the digest of the change.
    pub changes: BTreeMap<String, Mitigation>,
    /// The id of the latest record that speaks about its identity or version.
    pub record: String,
    /// Witnesses of the version, as they were recorded.
    told: Vec<Witness>,
    pending: Checked,
}

/// One check, ended.
#[derive(Debug, Clone)]
pub struct Check {
    /// When.
    pub at: Timestamp,
    /// The id of the verdict's record.
    pub record: String,
    /// What it concludes.
    pub conclusion: Conclusion,
}

/// What the latest check left.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Findings in the order in which they were recorded.
    pub findings: Vec<Finding>,
    /// Gaps in the order in which they were recorded.
    pub gaps: Vec<Gap>,
    /// What was seen.
    pub coverage: Option<Coverage>,
    /// Accounts that must be reset.
    pub accounts: Vec<Account>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
}

/// What was done and stated, for the organisation or for one instance.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Steps in order, with the id of their record.
    pub steps: Vec<(Timestamp, String, Step)>,
    /// The latest word on each mark, with the id of its record.
    pub marks: BTreeMap<String, (Timestamp, String, Mark)>,
}

impl Log {
    /// When an action of a directive was done.
    pub fn done(&self, action: &str) -> Vec<Timestamp> {
        self.ended(action, Outcome::Done).map(|(at, _, _)| *at).collect()
    }

    /// The latest time that somebody decided not to do an action, and why.
    pub fn skipped(&self, action: &str) -> Option<&(Timestamp, String, Step)> {
        self.ended(action, Outcome::Skipped).last()
    }

    /// How often an action was tried, with whatever outcome.
    pub fn tries(&self, action: &str) -> usize {
        self.steps.iter().filter(|(_, _, step)| step.action == action).count()
    }

    fn ended(&self, action: &str, outcome: Outcome) -> impl Iterator<Item = &(Timestamp, String, Step)> {
        self.steps.iter().filter(move |(_, _, step)| step.action == action && step.outcome == outcome)
    }
}

impl Known {
    fn new(name: &str, since: Timestamp) -> Self {
        Self {
            instance: Instance { name: name.to_owned(), ..Instance::default() },
            since,
            checks: Vec::new(),
            findings: Vec::new(),
            gaps: Vec::new(),
            merge: None,
            checked: Checked::default(),
            log: Log::default(),
            resets: BTreeMap::new(),
            changes: BTreeMap::new(),
            record: String::new(),
            told: Vec::new(),
            pending: Checked::default(),
        }
    }

    /// The latest verdict.
    pub fn verdict(&self) -> Option<Verdict> {
        self.checks.last().map(|check| check.conclusion.verdict)
    }

    /// When one of these verdicts was reached for the first time.
    pub fn first_verdict(&self, among: &[Verdict]) -> Option<Timestamp> {
        self.checks.iter().find(|check| among.contains(&check.conclusion.verdict)).map(|check| check.at)
    }

    /// Adds what another record says of the instance.
    fn merge(&mut self, other: &Instance, record: &str) {
        let mine = &mut self.instance;
        for address in &other.addresses {
            if !mine.addresses.contains(address) {
                mine.addresses.push(address.clone());
            }
        }
        // A check knows no addresses, and a decoy by none of its files.
        if !other.addresses.is_empty() {
            mine.decoy.clone_from(&other.decoy);
        }
        if other.product.is_some() {
            mine.product.clone_from(&other.product);
        }
        if other.state != InstanceState::Declared {
            mine.state = other.state;
        }
        mine.owner = other.owner.clone();
        mine.has_evidence |= other.has_evidence;
        for cpe in &other.cpe {
            if !mine.cpe.contains(cpe) {
                mine.cpe.push(cpe.clone());
            }
        }
        mine.facts.extend(other.facts.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.told.retain(|old| !other.version.witnesses.iter().any(|new| new.source == old.source));
        self.told.extend(other.version.witnesses.iter().cloned());
        self.record = record.to_owned();
    }
}

impl State {
    /// Adds up records in their order.
    pub fn from_records<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut state = Self::default();
        for record in records {
            state.add(record);
        }
        state
    }

    /// Adds one record.
    pub fn add(&mut self, record: &Record) {
        let at = record.at;
        match (&record.body, record.instance.as_deref()) {
            (Body::Case(opening), _) => {
                let since = self.opening.as_ref().map_or(at, |(since, _)| *since);
                self.opening = Some((since, opening.clone()));
            }
            (Body::Ledger(ledger), _) => {
                self.ledger = Some((at, record.id.clone(), ledger.clone()));
                self.gaps.clear();
                // A count says again what is one; what it does not say is several.
                self.instances.values_mut().for_each(|known| known.merge = None);
            }
            (Body::Merge(merge), Some(name)) => self.known(name, at).merge = Some(merge.clone()),
            (Body::Instance(instance), _) => {
                let following = std::mem::take(&mut self.following);
                let known = self.known(&instance.name, at);
                known.merge(instance, &record.id);
                known.judge(&following);
                self.following = following;
            }
            (Body::Advisory(notice), _) => self.follow(at, notice),
            (Body::Exploited(entry), _) => self.following.exploited(entry),
            (Body::Look(look), _) => self.following.look(look),
            (Body::Finding(finding), Some(name)) => self.known(name, at).pending.findings.push(finding.clone()),
            (Body::Gap(gap), Some(name)) => self.known(name, at).pending.gaps.push(gap.clone()),
            (Body::Gap(gap), None) => self.gaps.push(gap.clone()),
            (Body::Account(account), Some(name)) => self.known(name, at).pending.accounts.push(account.clone()),
            (Body::Moment(moment), Some(name)) => self.known(name, at).pending.timeline.push(moment.clone()),
            (Body::Coverage(coverage), Some(name)) => self.known(name, at).pending.coverage = Some(coverage.clone()),
            (Body::Verdict(conclusion), Some(name)) => self.known(name, at).conclude(at, &record.id, conclusion),
            (Body::Step(step), name) => self.step(at, record, step, name),
            (Body::Change(step), Some(name)) => {
                self.known(name, at).changes.entry(step.change.clone()).or_default().step(at, step);
            }
            (Body::Proof(proof), Some(name)) => {
                let change = self.known(name, at).changes.entry(proof.change.clone()).or_default();
                change.proof = Some((at, proof.clone()));
            }
            (Body::Mark(mark), name) => {
                let log = match name {
                    Some(name) => &mut self.known(name, at).log,
                    None => &mut self.log,
                };
                log.marks.insert(mark.mark.clone(), (at, record.id.clone(), mark.clone()));
            }
            (Body::Attestation(one), _) => self.filings.attestations.push((at, record.id.clone(), one.clone())),
            (Body::Submission(one), _) => self.filings.submissions.push((at, one.clone())),
            (Body::Receipt(one), _) => self.filings.receipts.push((at, record.id.clone(), one.clone())),
            // What belongs to an instance and names none, and what is only told.
            (
                Body::Finding(_)
                | Body::Coverage(_)
                | Body::Verdict(_)
                | Body::Account(_)
                | Body::Moment(_)
                | Body::Change(_)
                | Body::Proof(_)
                | Body::Merge(_),
                None,
            ) => {}
            (Body::Duty(_) | Body::Summary(_) | Body::Package(_), _) => {}
        }
    }

    /// A step ended. What it left without a verdict belongs to the instance itself, in place of
    /// what the last such step left; a person's step leaves nothing.
    fn step(&mut self, at: Timestamp, record: &Record, step: &Step, name: Option<&str>) {
        let log = match name {
            Some(name) => {
                let known = self.known(name, at);
                if step.by.is_none() {
                    let pending = std::mem::take(&mut known.pending);
                    known.findings = pending.findings;
                    known.gaps.extend(pending.gaps);
                }
                &mut known.log
            }
            None => {
                if step.by.is_none() {
                    self.instances.values_mut().for_each(Known::settle);
                }
                &mut self.log
            }
        };
        log.steps.push((at, record.id.clone(), step.clone()));
    }

    fn known(&mut self, name: &str, at: Timestamp) -> &mut Known {
        self.instances.entry(name.to_owned()).or_insert_with(|| Known::new(name, at))
    }

    /// Instances of this product: those identified as such, and those nobody identified otherwise.
    pub fn instances_of<'a>(&'a self, product: &'a str) -> impl Iterator<Item = &'a Known> {
        self.instances.values().filter(move |known| match &known.instance.product {
            Some(name) => name == product,
            None => known.instance.state != InstanceState::AnsweredUnknown || known.instance.has_evidence,
        })
    }

    /// How many instances have which version status.
    pub fn by_status(&self) -> BTreeMap<Status, u64> {
        let mut count = BTreeMap::new();
        for known in self.instances.values() {
            *count.entry(known.instance.version.status).or_default() += 1;
        }
        count
    }

    /// How many instances have which latest verdict.
    pub fn by_verdict(&self) -> BTreeMap<Verdict, u64> {
        let mut count = BTreeMap::new();
        for verdict in self.instances.values().filter_map(Known::verdict) {
            *count.entry(verdict).or_default() += 1;
        }
        count
    }
}

impl Known {
    /// A check ended: what came before its verdict belongs to it.
    fn conclude(&mut self, at: Timestamp, record: &str, conclusion: &Conclusion) {
        self.checked = std::mem::take(&mut self.pending);
        for account in &self.checked.accounts {
            self.resets.entry(account.name()).or_insert(at);
        }
        self.checks.push(Check { at, record: record.to_owned(), conclusion: conclusion.clone() });
    }

    /// A discovery ended: what it left about the instance replaces what the last one left.
    fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.findings = pending.findings;
        self.gaps = pending.gaps;
    }
}
