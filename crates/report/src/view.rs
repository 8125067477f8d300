//! View: what does a reader see of a report, in which order and words?
//!
//! The same for the page and for paper: texts that are ready to be set, in the order in which a reader asks. What comes
//! from an instance has its control characters made visible; escaping for a form of markup is that form's own work.

mod filing;
mod traces;

use std::collections::BTreeMap;

use directive::record::{Finding, Gap, Ledger};
use directive::text::escape;

use crate::filing::Filing;
use crate::fill::Filled;
use crate::model::{InstanceReport, Report, ReportDuty};
use crate::words;

pub use crate::chart::{Chart, Lane, Mark};
pub use filing::{FilingView, ReceiptView};
pub use traces::{AccountView, MomentView, TracesView};

/// How many findings are written out for an instance; the JSON form has all.
const MOST_SHOWN: usize = 200;

/// A report as a reader sees it.
pub struct View<'a> {
    /// The report itself, for what needs no words.
    pub report: &'a Report,
    /// Who reports.
    pub organisation: String,
    /// When, in the directive's zone.
    pub at: String,
    /// The numbers that say how it stands.
    pub tiles: Vec<Tile>,
    /// Duties that are open now, most urgent first.
    pub open: Vec<DutyView<'a>>,
    /// Duties that come after others.
    pub later: Vec<DutyView<'a>>,
    /// Duties that are done.
    pub done: Vec<DutyView<'a>>,
    /// Instances, by name.
    pub instances: Vec<InstanceView<'a>>,
    /// What became of each address: what it is called, and how many.
    pub ledger: Vec<(&'static str, u64)>,
    /// What the ledger says beside the numbers of addresses.
    pub sentences: Vec<String>,
    /// Addresses that are in none of these.
    pub unaccounted: u64,
    /// What the count could not see.
    pub gaps: Vec<GapView>,
    /// The authority's form.
    pub form: FormView<'a>,
    /// Who answers for the report, and who took it.
    pub filing: FilingView,
}

/// A number that says how it stands.
pub struct Tile {
    /// The number.
    pub number: u64,
    /// What is counted.
    pub label: &'static str,
    /// How it weighs: `plain`, or the class of a verdict.
    pub class: &'static str,
}

/// A duty.
pub struct DutyView<'a> {
    /// The action's number in its directive.
    pub id: &'a str,
    /// What has to be done.
    pub title: &'a str,
    /// The instance; empty: the organisation.
    pub instance: String,
    /// When it is due; empty: no time is set.
    pub due: String,
    /// How far off that is.
    pub distance: String,
    /// Who can do it.
    pub waits_for: &'static str,
    /// Why it is owed.
    pub why: String,
    /// Whether it is past its time.
    pub late: bool,
    /// The actions that must be done before, separated by commas.
    pub after: String,
}

/// An instance.
pub struct InstanceView<'a> {
    /// Its name.
    pub name: String,
    /// Its latest verdict in words.
    pub verdict: &'static str,
    /// The same as a class: `compromised`, `not-checked`.
    pub class: &'static str,
    /// Its version.
    pub version: String,
    /// What that means: `affected`, `fixed`, `unknown`.
    pub status: &'static str,
    /// Facts: what, and its value.
    pub facts: Vec<(&'static str, String)>,
    /// What showed its version.
    pub witnesses: Vec<WitnessView<'a>>,
    /// Why the verdict is what it is.
    pub reasons: Vec<String>,
    /// Findings, worst first, no more than the page has room for.
    pub findings: Vec<FindingView>,
    /// How many more there are.
    pub more: usize,
    /// What could not be seen.
    pub gaps: Vec<GapView>,
    /// Since when, and who passed through.
    pub traces: TracesView,
}

/// What showed a version.
pub struct WitnessView<'a> {
    /// Where it was seen.
    pub source: &'a str,
    /// What was seen.
    pub value: &'a str,
    /// What that means.
    pub status: &'static str,
    /// Why.
    pub why: &'a str,
    /// Whether whoever controls the instance can fake it.
    pub fakeable: bool,
    /// Whether other versions may show the same.
    pub hint: bool,
}

/// A finding.
pub struct FindingView {
    /// Its code.
    pub code: String,
    /// How much it weighs.
    pub severity: &'static str,
    /// The file, or where else.
    pub place: String,
    /// Why it is one.
    pub why: String,
    /// SHA-256 of the bytes in hex; empty: none.
    pub sha256: String,
    /// When the inode changed; empty: not known.
    pub changed: String,
}

/// Gaps of one code.
pub struct GapView {
    /// The code.
    pub code: String,
    /// Whether they make a verdict inconclusive.
    pub required: bool,
    /// The first place.
    pub place: String,
    /// How many more places there are.
    pub more: usize,
    /// Why it could not be seen.
    pub why: String,
}

/// Label, question and answer of the form; no answer is an empty string.
pub type Shown<'a> = (&'a str, &'a str, String);

/// The authority's form.
pub struct FormView<'a> {
    /// As it was filled.
    pub filled: &'a Filled,
    /// What is asked once.
    pub fields: Vec<Shown<'a>>,
    /// What is asked of each instance, with its name.
    pub rows: Vec<(String, Vec<Shown<'a>>)>,
    /// Required answers that nobody knows.
    pub missing: Vec<String>,
    /// Rules that do not hold.
    pub broken: Vec<String>,
}

/// Puts a filing alone in the words of a reader, in the zone of its report.
pub(crate) fn filing_view(report: &Report, filing: &Filing) -> FilingView {
    filing::view(filing, &report.zone)
}

/// Puts a report in the words of a reader.
pub fn view<'r>(report: &'r Report, filing: &Filing) -> View<'r> {
    let (done, open) = report.duties.iter().partition::<Vec<_>, _>(|duty| duty.done);
    let (open, later) = open.into_iter().partition::<Vec<_>, _>(|duty| duty.after.is_empty());
    let ledger = report.ledger.as_ref();
    View {
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
        filing: filing_view(report, filing),
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
    fn shown(answer: &crate::fill::Answer) -> Shown<'_> {
        (&answer.label, &answer.question, answer.value.as_deref().map(escape).unwrap_or_default())
    }
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
