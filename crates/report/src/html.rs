//! HTML: the report as one page that needs nothing but itself.
//!
//! No script, no font, no picture from elsewhere: it is opened on machines without a network, and a
//! policy in the page forbids loading anything. Every value is escaped by the template engine, and
//! what comes from an instance has its control characters made visible first.

mod traces;

use std::collections::BTreeMap;

use askama::Template;
use directive::record::{Finding, Gap, Ledger};
use directive::text::escape;

use crate::fill::Filled;
use crate::model::{InstanceReport, Report, ReportDuty};
use crate::words;

/// How many findings are written out for an instance; the JSON form has all.
const MOST_SHOWN: usize = 200;

/// Writes a report as a page.
///
/// # Errors
///
/// None in practice: the template is compiled in.
pub fn render(report: &Report) -> Result<String, askama::Error> {
    page(report).render()
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    organisation: String,
    at: String,
    tiles: Vec<Tile>,
    open: Vec<DutyView<'a>>,
    later: Vec<DutyView<'a>>,
    done: Vec<DutyView<'a>>,
    instances: Vec<InstanceView<'a>>,
    ledger: Vec<(&'static str, u64)>,
    /// What the ledger says beside the numbers of addresses.
    sentences: Vec<String>,
    unaccounted: u64,
    gaps: Vec<GapView>,
    form: FormView<'a>,
}

struct Tile {
    number: u64,
    label: &'static str,
    class: &'static str,
}

struct DutyView<'a> {
    id: &'a str,
    title: &'a str,
    instance: String,
    due: String,
    distance: String,
    waits_for: &'static str,
    why: String,
    late: bool,
    after: String,
}

struct InstanceView<'a> {
    name: String,
    verdict: &'static str,
    class: &'static str,
    version: String,
    status: &'static str,
    facts: Vec<(&'static str, String)>,
    witnesses: Vec<WitnessView<'a>>,
    reasons: Vec<String>,
    findings: Vec<FindingView>,
    more: usize,
    gaps: Vec<GapView>,
    traces: traces::View,
}

struct WitnessView<'a> {
    source: &'a str,
    value: &'a str,
    status: &'static str,
    why: &'a str,
    fakeable: bool,
    hint: bool,
}

struct FindingView {
    code: String,
    severity: &'static str,
    place: String,
    why: String,
    sha256: String,
    changed: String,
}

struct GapView {
    code: String,
    required: bool,
    place: String,
    more: usize,
    why: String,
}

/// Label, question and answer of the form; no answer is an empty string.
type Shown = (String, String, String);

struct FormView<'a> {
    filled: &'a Filled,
    fields: Vec<Shown>,
    rows: Vec<(String, Vec<Shown>)>,
    missing: Vec<String>,
    broken: Vec<String>,
}

fn page(report: &Report) -> Page<'_> {
    let (done, open) = report.duties.iter().partition::<Vec<_>, _>(|duty| duty.done);
    let (open, later) = open.into_iter().partition::<Vec<_>, _>(|duty| duty.after.is_empty());
    let ledger = report.ledger.as_ref();
    Page {
        report,
        organisation: escape(&report.organisation),
        at: words::moment(report.at, &report.zone),
        tiles: tiles(report),
        open: open.into_iter().map(|duty| duty_view(report, duty)).collect(),
        later: later.into_iter().map(|duty| duty_view(report, duty)).collect(),
        done: done.into_iter().map(|duty| duty_view(report, duty)).collect(),
        instances: report.instances.iter().map(|instance| instance_view(report, instance)).collect(),
        ledger: ledger.map_or_else(Vec::new, |ledger| {
            vec![
                ("in scope", ledger.addresses),
                ("answered", ledger.answered),
                ("of them identified", ledger.identified),
                ("refused", ledger.refused),
                ("filtered", ledger.filtered),
                ("silent", ledger.silent),
                ("not asked", ledger.not_asked),
            ]
        }),
        sentences: ledger.map_or_else(Vec::new, |ledger| ledger.to_string().lines().skip(1).map(escape).collect()),
        unaccounted: ledger.map_or(0, Ledger::unaccounted),
        gaps: gaps(&report.gaps),
        form: form(&report.form),
    }
}

fn tiles(report: &Report) -> Vec<Tile> {
    let mut tiles = vec![Tile { number: report.instances.len() as u64, label: "instances", class: "plain" }];
    for (verdict, count) in &report.verdicts {
        let (label, class) = (words::verdict(Some(*verdict)), words::verdict_class(Some(*verdict)));
        tiles.push(Tile { number: *count, label, class });
    }
    let unchecked = report.instances.iter().filter(|instance| instance.conclusion.is_none()).count() as u64;
    if unchecked > 0 {
        tiles.push(Tile { number: unchecked, label: "not checked", class: "not-checked" });
    }
    tiles.push(Tile { number: report.open.open, label: "duties open", class: "plain" });
    let class = if report.open.late > 0 { "mismatch" } else { "plain" };
    tiles.push(Tile { number: report.open.late, label: "late", class });
    tiles
}

fn duty_view<'a>(report: &'a Report, duty: &'a ReportDuty) -> DutyView<'a> {
    DutyView {
        id: duty.action.split_once('/').map_or(duty.action.as_str(), |(_, id)| id),
        title: &duty.title,
        instance: duty.instance.as_deref().map(escape).unwrap_or_default(),
        due: duty.due.map(|due| words::moment(due, &report.zone)).unwrap_or_default(),
        distance: duty.due.map(|due| words::distance(due, report.at)).unwrap_or_default(),
        waits_for: words::waits_for(duty.waits_for),
        why: escape(&duty.why),
        late: duty.late,
        after: duty.after.join(", "),
    }
}

fn instance_view<'a>(report: &Report, of: &'a InstanceReport) -> InstanceView<'a> {
    let instance = &of.instance;
    let verdict = of.conclusion.as_ref().map(|conclusion| conclusion.verdict);
    let mut facts = vec![
        ("Reached", words::state(instance.state).to_owned()),
        ("Operated by", escape(words::owner(&instance.owner))),
    ];
    if !instance.addresses.is_empty() {
        facts.push(("Addresses", escape(instance.addresses.join(", "))));
    }
    let one = of.merge.iter().flat_map(|merge| &merge.reasons);
    facts.extend(one.map(|reason| ("Counted as one", escape(reason))));
    facts.extend(instance.decoy.iter().map(|reason| ("Likely a decoy", escape(reason))));
    if let Some(at) = of.checked_at {
        facts.push(("Checked", words::moment(at, &report.zone)));
    }
    if let Some(coverage) = &of.coverage {
        facts.push(("Coverage", words::coverage(coverage)));
        facts.extend(words::installations(coverage).into_iter().map(|one| ("Installation", one)));
    }
    for (at, verdict) in &of.earlier {
        facts.push(("Earlier", format!("{}, {}", words::verdict(Some(*verdict)), words::moment(*at, &report.zone))));
    }
    InstanceView {
        name: escape(&instance.name),
        verdict: words::verdict(verdict),
        class: words::verdict_class(verdict),
        version: escape(instance.version.value.as_deref().unwrap_or("version unknown")),
        status: words::status(instance.version.status),
        facts,
        witnesses: instance.version.witnesses.iter().map(witness).collect(),
        reasons: of.conclusion.iter().flat_map(|conclusion| &conclusion.reasons).map(escape).collect(),
        findings: findings(&of.findings),
        more: of.findings.len().saturating_sub(MOST_SHOWN),
        gaps: gaps(&of.gaps),
        traces: traces::view(report, of),
    }
}

fn witness(witness: &directive::record::Witness) -> WitnessView<'_> {
    WitnessView {
        source: &witness.source,
        value: &witness.value,
        status: words::status(witness.status),
        why: &witness.why,
        fakeable: witness.fakeable,
        hint: witness.confidence == directive::record::Confidence::Low,
    }
}

fn findings(findings: &[Finding]) -> Vec<FindingView> {
    let mut worst_first: Vec<&Finding> = findings.iter().collect();
    worst_first.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let shown = worst_first.into_iter().take(MOST_SHOWN);
    shown
        .map(|finding| FindingView {
            code: finding.code.clone(),
            severity: words::severity(finding.severity),
            place: match (&finding.path, &finding.place) {
                (Some(path), _) => path.escaped(),
                (None, place) => escape(place.as_deref().unwrap_or_default()),
            },
            why: escape(&finding.why),
            sha256: finding.evidence.as_ref().and_then(|evidence| evidence.sha256.clone()).unwrap_or_default(),
            changed: finding
                .times
                .get("ctime")
                .map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
                .unwrap_or_default(),
        })
        .collect()
}

/// Gaps by code, required ones first: a live host has hundreds of sockets and devices.
fn gaps(gaps: &[Gap]) -> Vec<GapView> {
    let mut by_code: BTreeMap<_, Vec<&Gap>> = BTreeMap::new();
    for gap in gaps {
        by_code.entry((!gap.required, &gap.code)).or_default().push(gap);
    }
    let view = |((optional, code), gaps): ((bool, &String), Vec<&Gap>)| GapView {
        code: code.clone(),
        required: !optional,
        place: match &gaps[0].path {
            Some(path) => path.escaped(),
            None => escape(gaps[0].place.as_deref().unwrap_or_default()),
        },
        more: gaps.len() - 1,
        why: escape(&gaps[0].why),
    };
    by_code.into_iter().map(view).collect()
}

fn form(filled: &Filled) -> FormView<'_> {
    let shown = |answer: &crate::fill::Answer| {
        (answer.label.clone(), answer.question.clone(), answer.value.as_deref().map(escape).unwrap_or_default())
    };
    FormView {
        filled,
        fields: filled.fields.iter().map(shown).collect(),
        rows: filled.rows.iter().map(|row| (escape(&row.instance), row.answers.iter().map(shown).collect())).collect(),
        missing: filled.missing.iter().map(escape).collect(),
        broken: filled
            .broken
            .iter()
            .map(|broken| {
                let whose = broken.instance.as_deref().map(|name| format!("{}: ", escape(name))).unwrap_or_default();
                format!("{whose}{} (rule {})", escape(&broken.text), broken.rule)
            })
            .collect(),
    }
}
