//! Incident: what does the authority have to know of an instance that is not what the vendor shipped?
//!
//! What a directive calls an incident: every instance with a mismatch, now or ever, with what its check found, since
//! when, which accounts passed through, what was done, and what nobody saw. The check's summary goes with it whole.
//! Serves ED 21-03, required action 2.b ("report the findings as an incident"). Schema: docs/incident.schema.json.
//! Never says more than the case holds: what is not known is null, and a gap is told beside a finding.

use directive::record::{Account, Coverage, Finding, Gap, Owner, PackRef};
use directive::verdict::Verdict;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::fill::Answer;
use crate::model::{InstanceReport, Report, ReportDuty};

mod text;

/// Why there is nothing to submit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No check of the case found a mismatch.
    #[error("no instance has a mismatch, now or ever: there is no incident to report")]
    NoIncident,
    /// It cannot be written.
    #[error("the submission cannot be written")]
    Json(#[from] serde_json::Error),
}

/// An incident submission.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Incident {
    /// The version of this form: 1.
    pub v: u8,
    /// Whether all times are exercise times.
    pub exercise: bool,
    /// Who reports.
    pub organisation: String,
    /// The pack, exactly.
    pub pack: PackRef,
    /// The directive's title.
    pub directive: String,
    /// Who issued it.
    pub issuer: String,
    /// When it was put together (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The program and version.
    pub tool: String,
    /// How many records the case held.
    pub records: i64,
    /// The hash of the last of them.
    pub head: String,
    /// How it must be handled, as the authority's form says.
    pub caveat: String,
    /// What the organisation answered on the authority's form, the point of contact among it.
    pub answers: Vec<Said>,
    /// The instances.
    pub instances: Vec<Affected>,
}

/// A question of the form and its answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Said {
    /// The question's id in the pack.
    pub id: String,
    /// The form's own number or name for it.
    pub label: String,
    /// What is asked.
    pub question: String,
    /// The answer.
    pub value: String,
}

/// An instance with a mismatch.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Affected {
    /// Its name.
    pub name: String,
    /// Its addresses with port.
    pub addresses: Vec<String>,
    /// The product, where it is identified.
    pub product: Option<String>,
    /// The version, where it is known.
    pub version: Option<String>,
    /// Who answers for it.
    pub owner: Owner,
    /// When the latest check ended.
    #[schemars(with = "Option<String>")]
    pub checked_at: Option<Timestamp>,
    /// What the latest check concludes.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reasons: Vec<String>,
    /// Earlier verdicts, oldest first: an instance that was restored was not what it should be.
    pub earlier: Vec<Earlier>,
    /// The earliest time at which something was wrong.
    #[schemars(with = "Option<String>")]
    pub first_sign: Option<Timestamp>,
    /// What shows it.
    pub first_sign_by: Option<String>,
    /// Whole hours from the first sign to the latest check.
    pub dwell_hours: Option<i64>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Accounts that passed through and must be reset.
    pub accounts: Vec<Account>,
    /// What the check saw.
    pub coverage: Option<Coverage>,
    /// What it could not see.
    pub gaps: Vec<Gap>,
    /// What the directive orders for this instance, and whether it is done.
    pub actions: Vec<Ordered>,
    /// What the form says of this instance, a ticket number among it.
    pub answers: Vec<Said>,
}

/// A verdict of before.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Earlier {
    /// When the check ended.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What it concluded.
    pub verdict: Verdict,
}

/// An action that is or was owed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Ordered {
    /// The directive and action.
    pub action: String,
    /// What has to be done.
    pub title: String,
    /// When it is due.
    #[schemars(with = "Option<String>")]
    pub due: Option<Timestamp>,
    /// Whether it is done.
    pub done: bool,
    /// Whether it is open and past its time.
    pub late: bool,
}

impl Incident {
    /// What of a report is an incident.
    ///
    /// # Errors
    ///
    /// [`Error::NoIncident`] if nothing of it is.
    pub fn of(report: &Report) -> Result<Self, Error> {
        let instances: Vec<_> =
            report.instances.iter().filter(|of| is_incident(of)).map(|of| affected(report, of)).collect();
        if instances.is_empty() {
            return Err(Error::NoIncident);
        }
        Ok(Self {
            v: 1,
            exercise: report.exercise,
            organisation: report.organisation.clone(),
            pack: report.pack.clone(),
            directive: report.title.clone(),
            issuer: report.issuer.clone(),
            at: report.at,
            tool: report.tool.clone(),
            records: report.records,
            head: report.head.clone(),
            caveat: report.form.caveat.clone(),
            answers: said(&report.form.fields),
            instances,
        })
    }

    /// The submission as JSON. Ends with a newline.
    ///
    /// # Errors
    ///
    /// None in practice: every part can be serialised.
    pub fn json(&self) -> Result<String, Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The submission for a person: a form on the web, a telephone, an e-mail.
    pub fn text(&self, width: usize) -> String {
        text::render(self, width)
    }
}

fn is_incident(of: &InstanceReport) -> bool {
    let is_bad = |verdict: Verdict| matches!(verdict, Verdict::Compromised | Verdict::Mismatch);
    let now = of.conclusion.as_ref().is_some_and(|conclusion| is_bad(conclusion.verdict));
    now || of.earlier.iter().any(|(_, verdict)| is_bad(*verdict))
}

fn affected(report: &Report, of: &InstanceReport) -> Affected {
    let instance = &of.instance;
    let conclusion = of.conclusion.as_ref();
    let first_sign = conclusion.and_then(|conclusion| conclusion.first_sign);
    let hours = |from: Timestamp, to: Timestamp| (to.as_second() - from.as_second()).max(0) / 3600;
    let mine = |duty: &&ReportDuty| duty.instance.as_deref() == Some(&instance.name);
    let row = report.form.rows.iter().find(|row| row.instance == instance.name);
    Affected {
        name: instance.name.clone(),
        addresses: instance.addresses.clone(),
        product: instance.product.clone(),
        version: instance.version.value.clone(),
        owner: instance.owner.clone(),
        checked_at: of.checked_at,
        verdict: conclusion.map(|conclusion| conclusion.verdict),
        reasons: conclusion.map(|conclusion| conclusion.reasons.clone()).unwrap_or_default(),
        earlier: of.earlier.iter().map(|(at, verdict)| Earlier { at: *at, verdict: *verdict }).collect(),
        first_sign,
        first_sign_by: conclusion.and_then(|conclusion| conclusion.first_sign_by.clone()),
        dwell_hours: first_sign.zip(of.checked_at).map(|(from, to)| hours(from, to)),
        findings: of.findings.clone(),
        accounts: of.accounts.clone(),
        coverage: of.coverage.clone(),
        gaps: of.gaps.clone(),
        actions: report.duties.iter().filter(mine).map(ordered).collect(),
        answers: row.map(|row| said(&row.answers)).unwrap_or_default(),
    }
}

fn ordered(duty: &ReportDuty) -> Ordered {
    let (action, title) = (duty.action.clone(), duty.title.clone());
    Ordered { action, title, due: duty.due, done: duty.done, late: duty.late }
}

fn said(answers: &[Answer]) -> Vec<Said> {
    let given = answers.iter().filter_map(|answer| Some((answer, answer.value.clone()?)));
    given
        .map(|(answer, value)| {
            let (id, label, question) = (answer.id.clone(), answer.label.clone(), answer.question.clone());
            Said { id, label, question, value }
        })
        .collect()
}
