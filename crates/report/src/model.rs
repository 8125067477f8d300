//! Model: what does a report hold, before it has a shape?
//!
//! Everything here comes from the records of the case and from the pack. The parts are in the order
//! in which a reader asks: what must I do, what did you find, what did you not see, what goes on
//! the form. In JSON these types are closed: what is not named here is not in a report.
//! Schema: docs/report.schema.json.

use std::collections::BTreeMap;

use directive::pack::Pack;
use directive::plan::Plan;
use directive::product::Current;
use directive::record::{
    Account, Conclusion, Coverage, DutyCount, Finding, Gap, Instance, Ledger, Merge, Moment, Notice, PackRef, WaitsFor,
};
use directive::state::{Known, State};
use directive::verdict::Verdict;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

use crate::fill::{Filled, fill};

/// A report on one case under one pack.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Report {
    /// Who reports.
    pub organisation: String,
    /// The pack, exactly.
    pub pack: PackRef,
    /// The directive's title.
    pub title: String,
    /// Who issued it.
    pub issuer: String,
    /// Why nothing is owed, if the directive is closed or not issued yet.
    pub rest: Option<String>,
    /// When the report was built (RFC 3339, UTC).
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// When the case was opened.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub opened: Option<Timestamp>,
    /// Whether all times are exercise times.
    pub exercise: bool,
    /// The program and version.
    pub tool: String,
    /// How many records the case held, and the hash of the last: `case verify --head` finds it.
    #[schemars(range(min = 0))]
    pub records: i64,
    /// See `records`.
    pub head: String,
    /// Instances by latest verdict.
    #[schemars(extend("propertyNames" = { "$ref": "#/$defs/Verdict" }))]
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Duties that are open, and late.
    pub open: DutyCount,
    /// Duties, most urgent first.
    pub duties: Vec<ReportDuty>,
    /// Instances of the product, by name.
    pub instances: Vec<InstanceReport>,
    /// The latest count of addresses.
    pub ledger: Option<Ledger>,
    /// What the count could not see, and what the latest looks at advisories did not.
    pub gaps: Vec<Gap>,
    /// Advisories about the product that the case follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<Notice>,
    /// The authority's form.
    pub form: Filled,
    /// The zone in which the directive's days are counted.
    #[serde(skip)]
    pub(crate) zone: TimeZone,
}

/// A duty and whose it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReportDuty {
    /// The directive and action.
    pub action: String,
    /// The instance; absent: the organisation.
    pub instance: Option<String>,
    /// What has to be done.
    pub title: String,
    /// When it is due.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub due: Option<Timestamp>,
    /// Why it is owed.
    pub why: String,
    /// Who can do it.
    pub waits_for: WaitsFor,
    /// Whether it is done.
    pub done: bool,
    /// Whether it is open and past its time.
    pub late: bool,
    /// Actions that must be done before, and are not.
    pub after: Vec<String>,
}

/// What is known of one instance.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct InstanceReport {
    /// Identity, addresses, version with its witnesses.
    #[serde(flatten)]
    pub instance: Instance,
    /// When the latest check ended.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub checked_at: Option<Timestamp>,
    /// What it concludes.
    pub conclusion: Option<Conclusion>,
    /// What it saw.
    pub coverage: Option<Coverage>,
    /// Findings of the latest check and of the discovery.
    pub findings: Vec<Finding>,
    /// Gaps of the latest check and of the discovery.
    pub gaps: Vec<Gap>,
    /// Accounts that must be reset.
    pub accounts: Vec<Account>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// Why several addresses are counted as this one, where nobody declared it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
    /// Earlier verdicts, oldest first: a restored instance is not one where nothing was found.
    #[schemars(with = "Vec<(String, Verdict)>")]
    pub earlier: Vec<(Timestamp, Verdict)>,
}

/// Under which circumstances a report is built.
#[derive(Debug, Clone)]
pub struct Built {
    /// When.
    pub at: Timestamp,
    /// How many records the case holds.
    pub records: i64,
    /// The hash of the last one, in hex.
    pub head: String,
    /// The program and version.
    pub tool: String,
}

impl Report {
    /// Adds up a case under one pack.
    pub fn build(pack: &Pack, state: &State, plan: &Plan, built: Built) -> Self {
        let instances: Vec<_> = state.instances_of(&pack.product.name).map(instance).collect();
        let mut verdicts = BTreeMap::new();
        for conclusion in instances.iter().filter_map(|instance| instance.conclusion.as_ref()) {
            *verdicts.entry(conclusion.verdict).or_default() += 1;
        }
        let duties: Vec<_> = plan.duties.iter().map(duty).collect();
        let count = |of: fn(&ReportDuty) -> bool| duties.iter().filter(|duty| of(duty)).count() as u64;
        let opening = state.opening.as_ref().map(|(_, opening)| opening);
        Self {
            organisation: opening.map(|opening| opening.organisation.clone()).unwrap_or_default(),
            pack: pack.reference(),
            title: pack.directive.title.clone(),
            issuer: pack.directive.issuer.name.clone(),
            rest: plan.rest.clone(),
            at: built.at,
            opened: state.opening.as_ref().map(|(since, _)| *since),
            exercise: opening.is_some_and(|opening| opening.clock_offset != 0),
            tool: built.tool,
            records: built.records,
            head: built.head,
            verdicts,
            open: DutyCount { open: count(|duty| !duty.done), late: count(|duty| duty.late) },
            duties,
            instances,
            ledger: state.ledger.as_ref().map(|(_, _, ledger)| ledger.clone()),
            gaps: state.gaps.iter().cloned().chain(state.following.gaps()).collect(),
            advisories: state.following.notices(&pack.product.name).map(|one| one.notice.clone()).collect(),
            form: fill(pack, state),
            zone: pack.zone.clone(),
        }
    }
}

impl Report {
    /// The product of its pack, with what the advisories of the case say of it.
    pub(crate) fn product(&self, pack: &Pack) -> Current {
        Current::of(&pack.product, &self.advisories)
    }
}

fn duty(owed: &directive::plan::Owed) -> ReportDuty {
    let duty = owed.duty.clone();
    ReportDuty {
        action: duty.action,
        instance: owed.instance.clone(),
        title: duty.title,
        due: duty.due,
        why: duty.why,
        waits_for: duty.waits_for,
        done: duty.done,
        late: duty.late,
        after: duty.after,
    }
}

fn instance(known: &Known) -> InstanceReport {
    let (latest, earlier) = match known.checks.split_last() {
        Some((latest, earlier)) => (Some(latest), earlier),
        None => (None, &[][..]),
    };
    InstanceReport {
        instance: known.instance.clone(),
        checked_at: latest.map(|check| check.at),
        conclusion: latest.map(|check| check.conclusion.clone()),
        coverage: known.checked.coverage.clone(),
        findings: known.findings.iter().chain(&known.checked.findings).cloned().collect(),
        gaps: known.gaps.iter().chain(&known.checked.gaps).cloned().collect(),
        accounts: known.checked.accounts.clone(),
        timeline: known.checked.timeline.clone(),
        merge: known.merge.clone(),
        earlier: earlier.iter().map(|check| (check.at, check.conclusion.verdict)).collect(),
    }
}
