//! Plan: what is owed now, by when, why, and what of it can be done without a person?
//!
//! A pure function of pack, state and time. Kill a run anywhere and start again: the same plan
//! comes back, minus what is recorded.
//! Source: design section 2, "Flow of one step".

mod clock;
mod mitigation;

use std::collections::BTreeMap;

use jiff::{Span, Timestamp};

use crate::action::{Action, Does, Each, OwnerKind, When};
use crate::deadline::{Due, Moments};
use crate::gate::{self, Proof};
use crate::pack::Pack;
use crate::plan::clock::Source;
use crate::product::Current;
use crate::record::{Duty, Owner, Status, WaitsFor, short_digest};
use crate::state::{Known, Log, State};
use crate::verdict::Verdict;

/// What is owed, most urgent first, and what can be done at once.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Duties: open ones by due time, then those without a time, then done ones.
    pub duties: Vec<Owed>,
    /// Steps that wait for nobody, in the order in which they should run.
    pub steps: Vec<PlannedStep>,
    /// Why nothing is owed, if the directive is closed or not issued yet.
    pub rest: Option<String>,
}

/// A duty and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The instance; absent: the organisation.
    pub instance: Option<String>,
    /// The duty.
    pub duty: Duty,
}

/// The smallest unit of work that can be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// Action, instance and occurrence in one name; the same plan gives the same name.
    pub id: String,
    /// The directive and action, `ed-21-03/2`.
    pub action: String,
    /// Where the directive orders it.
    pub clause: String,
    /// Which room does it.
    pub does: Does,
    /// The instance; absent: the organisation.
    pub instance: Option<String>,
}

/// Whether steps that were done already are planned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Only when they are due again.
    WhenDue,
    /// At once.
    Now,
}

/// Says what a pack obliges to, given what a case holds, at `now`.
pub fn plan(pack: &Pack, state: &State, now: Timestamp, again: Again) -> Plan {
    let mut plan = Plan { rest: rest(pack, now), ..Plan::default() };
    let current = state.current(&pack.product);
    let sources: BTreeMap<&str, Vec<Source<'_>>> = state
        .instances_of(&pack.product.name)
        .map(|known| (known.instance.name.as_str(), clock::sources(pack, &current, state, known, now)))
        .collect();
    for action in pack.in_force(now) {
        for subject in subjects(pack, state, action) {
            let of = subject.and_then(|known| sources.get(known.instance.name.as_str()));
            let sources = of.map(Vec::as_slice).unwrap_or_default();
            let case = Case { pack, current: &current, state, action, subject, sources, now };
            if let Some(owed) = case.duty() {
                plan.steps.extend(case.step(&owed, again));
                plan.duties.push(owed);
            }
        }
    }
    plan.duties.sort_by_key(|owed| {
        let duty = &owed.duty;
        (duty.done, duty.due.is_none(), duty.due, !duty.after.is_empty(), owed.instance.clone())
    });
    plan.steps.sort_by_key(|step| (step.does != Does::Discover, step.instance.clone()));
    plan
}

fn rest(pack: &Pack, now: Timestamp) -> Option<String> {
    let closed = pack.directive.closed.as_ref().filter(|closed| closed.at <= now);
    if let Some(closed) = closed {
        return Some(format!("closed on {}: {}", closed.at.strftime("%Y-%m-%d"), closed.why));
    }
    (pack.issued() > now).then(|| format!("not issued before {}", pack.issued()))
}

/// Whom an action is about.
fn subjects<'a>(pack: &'a Pack, state: &'a State, action: &Action) -> Vec<Option<&'a Known>> {
    match action.each {
        Each::Organisation => vec![None],
        Each::Instance => state.instances_of(&pack.product.name).map(Some).collect(),
    }
}

/// For which of the sources of a duty a release has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Released {
    /// Something can be installed.
    ForOne,
    /// Nothing is left that only waiting helps against.
    ForAll,
}

/// One action for one subject.
struct Case<'a> {
    pack: &'a Pack,
    /// The product as advisories have it today.
    current: &'a Current,
    state: &'a State,
    action: &'a Action,
    subject: Option<&'a Known>,
    /// Why the subject is affected.
    sources: &'a [Source<'a>],
    now: Timestamp,
}

impl Case<'_> {
    fn name(&self) -> String {
        self.name_of(self.action)
    }

    fn name_of(&self, action: &Action) -> String {
        format!("{}/{}", self.pack.id(), action.id.get_ref())
    }

    fn log(&self) -> &Log {
        self.log_of(self.action)
    }

    /// An action of the organisation is looked up there, even when asked about for an instance.
    fn log_of(&self, action: &Action) -> &Log {
        match (action.each, self.subject) {
            (Each::Instance, Some(known)) => &known.log,
            _ => &self.state.log,
        }
    }

    /// The duty, or `None` if the action is not owed by this subject.
    fn duty(&self) -> Option<Owed> {
        let action = self.action;
        let over = action.until.as_ref().is_some_and(|until| self.holds(until, Released::ForAll));
        if over || !self.holds(&action.when, Released::ForOne) {
            return None;
        }
        let done = self.done(action);
        let stands = self.subject.filter(|_| action.does == Does::Mitigate);
        let stands = stands.filter(|known| mitigation::is_begun(known, &self.name()));
        if action.optional && done.is_empty() && stands.is_none() {
            return None;
        }
        if stands.is_some_and(|known| mitigation::outlives(known, &self.name())) {
            return Some(self.owed(false, None, self.why(&done)));
        }
        // What was done or decided before an advisory called the version affected was no answer to it.
        let reopened = self.reopened();
        let counts = |at: Timestamp| reopened.is_none_or(|since| at > since);
        let instead = action.instead.iter().filter_map(|id| self.pack.action(id.get_ref()));
        let answers = |other: &&Action| match other.does {
            // A workaround shuts the holes that it was written for.
            Does::Mitigate => reopened.is_none() && self.is_done(other),
            _ => self.done(other).into_iter().any(counts),
        };
        if let Some(other) = instead.into_iter().find(answers) {
            return Some(self.owed(true, None, format!("{} was done instead", other.id.get_ref())));
        }
        if let Some((_, _, step)) = self.log().skipped(&self.name()).filter(|(at, _, _)| counts(*at)) {
            return Some(self.owed(true, None, format!("not done: {}", step.why)));
        }
        let open = self.open(&done);
        if let Some(first) = open.first() {
            let sources: Vec<&str> = open.iter().filter_map(|one| one.why.as_deref()).collect();
            let why = match sources.is_empty() {
                true => self.why(&done),
                false => format!("{}; {}", self.why(&done), sources.join("; ")),
            };
            return Some(self.owed(false, first.due, why));
        }
        let discharged = action.due.is_discharged(&done) && self.is_decided();
        let due = if discharged { None } else { action.due.next(&self.moments(), self.pack.calendar(), &done) };
        Some(self.owed(discharged, due, self.why(&done)))
    }

    fn owed(&self, done: bool, due: Option<Timestamp>, why: String) -> Owed {
        let waits_for = self.waits_for();
        Owed {
            instance: self.subject.map(|known| known.instance.name.clone()),
            duty: Duty {
                action: self.name(),
                title: self.action.title.clone(),
                due,
                why,
                waits_for,
                done,
                late: !done && due.is_some_and(|due| due < self.now),
                after: if done { Vec::new() } else { self.blocking().into_iter().map(str::to_owned).collect() },
            },
        }
    }

    /// Whether every part of a condition holds.
    fn holds(&self, when: &When, released: Released) -> bool {
        let known = self.subject;
        let verdict =
            when.verdict.is_empty() || known.and_then(Known::verdict).is_some_and(|v| when.verdict.contains(&v));
        let ever = when.ever.is_empty() || known.is_some_and(|known| known.first_verdict(&when.ever).is_some());
        let status = known.map_or(Status::Unknown, |known| known.instance.version.status);
        let version = when.version.is_empty() || when.version.contains(&status);
        let owner =
            when.owner.is_empty() || known.is_some_and(|known| when.owner.contains(&kind(&known.instance.owner)));
        let release = when.release.is_none_or(|wanted| wanted == self.is_released(released == Released::ForAll));
        let mark = when.mark.iter().all(|(mark, value)| self.mark(mark).is_some_and(|stated| stated == value));
        verdict && ever && version && owner && release && mark
    }

    fn mark(&self, mark: &str) -> Option<&str> {
        let of_instance = self.subject.and_then(|known| known.log.marks.get(mark));
        of_instance.or_else(|| self.state.log.marks.get(mark)).map(|(_, _, mark)| mark.value.as_str())
    }

    /// When an action was done. What a change does is done while the latest proof of it holds.
    fn done(&self, action: &Action) -> Vec<Timestamp> {
        let name = self.name_of(action);
        match (action.does, self.subject) {
            (Does::Mitigate, Some(known)) => mitigation::proved(known, &name, self.now).into_iter().collect(),
            _ => self.log_of(action).done(&name),
        }
    }

    fn is_done(&self, action: &Action) -> bool {
        !self.done(action).is_empty()
    }

    /// A check that could not see everything leaves its action open.
    fn is_decided(&self) -> bool {
        self.action.does != Does::Check
            || self.subject.and_then(Known::verdict).is_some_and(|verdict| verdict != Verdict::Inconclusive)
    }

    fn is_without_evidence(&self) -> bool {
        self.action.does == Does::Check && self.subject.is_some_and(|known| !known.instance.has_evidence)
    }

    fn is_inconclusive(&self) -> bool {
        self.action.does == Does::Check && self.subject.and_then(Known::verdict) == Some(Verdict::Inconclusive)
    }

    /// Actions that must be done before and are not.
    fn blocking(&self) -> Vec<&str> {
        let before = self.action.after.iter().filter_map(|id| self.pack.action(id.get_ref()));
        before.filter(|action| !self.is_done(action)).map(|action| action.id.get_ref().as_str()).collect()
    }

    fn waits_for(&self) -> WaitsFor {
        if self.is_without_evidence() || self.is_inconclusive() {
            WaitsFor::Person
        } else {
            self.action.does.waits_for()
        }
    }

    fn moments(&self) -> Moments {
        let when = &self.action.when;
        let among: Vec<Verdict> = when.verdict.iter().chain(&when.ever).copied().collect();
        Moments {
            issued: Some(self.pack.issued_with(self.action)),
            opened: self.state.opening.as_ref().map(|(at, _)| *at),
            known: self.subject.map(|known| known.since),
            verdict: self.subject.and_then(|known| known.first_verdict(&among)),
            release: self.pack.product.fixing_release(self.now).map(|release| release.released),
        }
    }

    /// Why it is owed, in one sentence.
    fn why(&self, done: &[Timestamp]) -> String {
        if self.is_without_evidence() {
            return "no evidence of this instance is named in the scope: add `evidence = ...` and run again".to_owned();
        }
        if self.is_inconclusive() {
            return "the latest check is inconclusive: close its gaps and check again".to_owned();
        }
        let changed = self.subject.filter(|_| self.action.does == Does::Mitigate);
        if let Some(why) = changed.and_then(|known| mitigation::why(known, &self.name(), self.now)) {
            return why;
        }
        if let (Due::Every { .. }, Some(last)) = (&self.action.due, done.last()) {
            return format!("{}; last done {}", self.action.clause, last.strftime("%Y-%m-%d %H:%M UTC"));
        }
        if done.is_empty() && self.action.proof.contains(&Proof::Accounts) {
            let open = self.subject.map(|known| gate::accounts(known).len()).unwrap_or_default();
            return format!("{}; {open} accounts are not reset yet: `case reset`", self.action.clause);
        }
        self.action.clause.clone()
    }

    /// The step that does the duty, if it can be done now without a person.
    fn step(&self, owed: &Owed, again: Again) -> Option<PlannedStep> {
        let room = matches!(self.action.does, Does::Discover | Does::Check);
        let name = self.name();
        let done = self.log().done(&name);
        // Whoever runs it daily runs it at about the same hour, not at the same second.
        let soon = self.now.checked_add(Span::new().minutes(30)).unwrap_or(self.now);
        let is_due = match &self.action.due {
            Due::Every { .. } => owed.duty.due.is_none_or(|due| due <= soon),
            _ => done.is_empty(),
        };
        let is_due = is_due || (again == Again::Now && !done.is_empty());
        let finished = owed.duty.done && again == Again::WhenDue;
        if !room || !is_due || finished || self.is_without_evidence() || !self.blocking().is_empty() {
            return None;
        }
        let occurrence = self.log().tries(&name);
        let instance = owed.instance.clone();
        let whose = instance.as_deref().unwrap_or_default();
        Some(PlannedStep {
            id: short_digest(&[name.as_bytes(), whose.as_bytes(), &occurrence.to_le_bytes()]),
            action: name,
            clause: self.action.clause.clone(),
            does: self.action.does,
            instance,
        })
    }
}

fn kind(owner: &Owner) -> OwnerKind {
    match owner {
        Owner::Agency => OwnerKind::Agency,
        Owner::ThirdParty { commercial: true, .. } => OwnerKind::Commercial,
        Owner::ThirdParty { commercial: false, .. } => OwnerKind::Federal,
    }
}
