//! Text: the report for a terminal, a pipe and a screen reader.
//!
//! One thing a line, headings in capitals, no boxes, no colour: it is read aloud, grepped and
//! pasted into tickets. Whatever comes from an instance is escaped.

use std::collections::BTreeMap;

use directive::record::{Confidence, Finding, Gap};
use directive::text::escape;

use crate::filing::Filing;
use crate::lines::Lines;
use crate::model::{InstanceReport, Report, ReportDuty};
use crate::view::{FilingView, filing_view};
use crate::{traces, words};

/// How many findings of one code are written out for an instance; the JSON form has all.
const MOST_SHOWN: usize = 20;

/// Writes a report as text, with who answers for it and who took it, at most `width` columns where its words allow.
pub fn render(report: &Report, filing: &Filing, width: usize) -> String {
    let mut page = Page(Lines::new(width));
    let filing = filing_view(report, filing);
    page.head(report, &filing);
    page.duties(report);
    page.instances(report);
    page.ledger(report);
    page.form(report);
    page.filing(&filing);
    page.foot(report);
    page.0.into_text()
}

struct Page(Lines);

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        self.0.line(indent, text);
    }

    fn heading(&mut self, text: &str) {
        self.0.blank();
        self.line(0, &text.to_uppercase());
    }

    fn head(&mut self, report: &Report, filing: &FilingView) {
        if report.exercise {
            self.line(0, "EXERCISE: every time in this report is exercise time.");
            self.0.blank();
        }
        self.line(0, &format!("{}  {}", report.pack.id, report.title));
        self.line(0, &escape(&report.organisation));
        self.line(0, &words::moment(report.at, &report.zone));
        self.line(0, &format!("{}: {}", filing.label, filing.short));
        if let Some(rest) = &report.rest {
            self.line(0, &format!("Nothing is owed: the directive is {rest}."));
        }
        self.heading("Verdicts");
        if report.verdicts.is_empty() {
            self.line(2, "no instance has been checked yet");
        }
        for (verdict, count) in &report.verdicts {
            self.line(2, &format!("{count:>4}  {}", words::verdict(Some(*verdict))));
        }
        let unchecked = report.instances.iter().filter(|instance| instance.conclusion.is_none()).count();
        if unchecked > 0 {
            self.line(2, &format!("{unchecked:>4}  not checked"));
        }
    }

    fn duties(&mut self, report: &Report) {
        self.heading(&format!("Owed: {} open, {} late", report.open.open, report.open.late));
        let (now, later): (Vec<_>, Vec<_>) =
            report.duties.iter().filter(|duty| !duty.done).partition(|duty| duty.after.is_empty());
        for duty in now {
            self.duty(report, duty);
        }
        if !later.is_empty() {
            self.line(2, "Then, each after what it names:");
        }
        for duty in later {
            let whose = duty.instance.as_deref().map(|name| format!(" for {}", escape(name))).unwrap_or_default();
            self.line(4, &format!("{}{whose}: {} (after {})", action(report, duty), duty.title, duty.after.join(", ")));
        }
        let done: Vec<_> = report.duties.iter().filter(|duty| duty.done).collect();
        if !done.is_empty() {
            self.line(2, "Done:");
        }
        for duty in done {
            let whose = duty.instance.as_deref().map(|name| format!(" for {}", escape(name))).unwrap_or_default();
            self.line(4, &format!("{}{whose}: {}", action(report, duty), duty.title));
        }
    }

    fn duty(&mut self, report: &Report, duty: &ReportDuty) {
        let whose = duty.instance.as_deref().map(|name| format!(" for {}", escape(name))).unwrap_or_default();
        let late = if duty.late { "LATE  " } else { "" };
        self.line(2, &format!("{late}{}{whose}: {}", action(report, duty), duty.title));
        if let Some(due) = duty.due {
            let moment = words::moment(due, &report.zone);
            self.line(4, &format!("due {moment}, {}", words::distance(due, report.at)));
        }
        self.line(4, &format!("waits for {}: {}", words::waits_for(duty.waits_for), escape(&duty.why)));
    }

    fn instances(&mut self, report: &Report) {
        self.heading(&format!("Instances: {}", report.instances.len()));
        for instance in &report.instances {
            self.instance(report, instance);
        }
    }

    fn instance(&mut self, report: &Report, of: &InstanceReport) {
        let instance = &of.instance;
        let verdict = of.conclusion.as_ref().map(|conclusion| conclusion.verdict);
        self.line(2, &format!("{}: {}", escape(&instance.name), words::verdict(verdict)));
        let version = instance.version.value.as_deref().unwrap_or("version unknown");
        let state = format!(
            "{version} ({}); {}; {}",
            words::status(instance.version.status),
            words::state(instance.state),
            words::owner(&instance.owner)
        );
        self.line(4, &escape(&state));
        if !instance.addresses.is_empty() {
            self.line(4, &escape(instance.addresses.join(", ")));
        }
        for reason in of.merge.iter().flat_map(|merge| &merge.reasons) {
            self.line(4, &format!("counted as one: {}", escape(reason)));
        }
        for reason in &instance.decoy {
            self.line(4, &format!("likely a decoy: {}", escape(reason)));
        }
        for witness in &instance.version.witnesses {
            let hint = if witness.confidence == Confidence::Low { " (a hint)" } else { "" };
            self.line(4, &format!("witness {}{hint} says {}: {}", witness.source, witness.value, witness.why));
        }
        if let Some(at) = of.checked_at {
            self.line(4, &format!("checked {}", words::moment(at, &report.zone)));
        }
        if let Some(since) = words::since(of.conclusion.as_ref(), of.checked_at, &report.zone) {
            self.line(4, &since);
        }
        for reason in of.conclusion.iter().flat_map(|conclusion| &conclusion.reasons) {
            self.line(4, &escape(reason));
        }
        for (at, verdict) in &of.earlier {
            self.line(
                4,
                &format!("earlier: {} on {}", words::verdict(Some(*verdict)), words::moment(*at, &report.zone)),
            );
        }
        if let Some(coverage) = &of.coverage {
            self.line(4, &words::coverage(coverage));
            for one in words::installations(coverage) {
                self.line(4, &format!("installation {one}"));
            }
        }
        self.traces(of);
        self.findings(&of.findings);
        self.gaps(&of.gaps);
    }

    /// Whose passwords must be reset, and how far back the logs speak.
    fn traces(&mut self, of: &InstanceReport) {
        for one in of.coverage.iter().flat_map(words::reach) {
            self.line(4, &format!("log {one}"));
        }
        if !of.accounts.is_empty() {
            self.line(4, &format!("accounts to reset: {}", words::thousands(of.accounts.len() as u64)));
        }
        for account in of.accounts.iter().take(MOST_SHOWN) {
            let last = account.last.map(|last| format!(", last {last:.0}")).unwrap_or_default();
            let from = account.addresses.join(", ");
            let from = if from.is_empty() { from } else { format!(", from {from}") };
            let (name, kinds) = (escape(account.name()), traces::kinds(account));
            self.line(
                6,
                &format!("{name} ({kinds}): {} logins{last}{}; {}", account.logins, escape(from), escape(&account.why)),
            );
        }
        if of.accounts.len() > MOST_SHOWN {
            let more = words::thousands((of.accounts.len() - MOST_SHOWN) as u64);
            self.line(6, &format!("and {more} more, all of them in the list of accounts"));
        }
    }

    fn findings(&mut self, findings: &[Finding]) {
        let mut by_code: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            by_code.entry((std::cmp::Reverse(finding.severity), &finding.code)).or_default().push(finding);
        }
        for ((severity, code), findings) in by_code {
            let (severity, count) = (words::severity(severity.0), words::thousands(findings.len() as u64));
            self.line(4, &format!("finding {code}, {severity}: {count}"));
            for finding in findings.iter().take(MOST_SHOWN) {
                self.line(6, &format!("{}: {}", place(finding), escape(&finding.why)));
            }
            if findings.len() > MOST_SHOWN {
                let more = words::thousands((findings.len() - MOST_SHOWN) as u64);
                self.line(6, &format!("and {more} more, all of them in the JSON form"));
            }
        }
    }

    fn gaps(&mut self, gaps: &[Gap]) {
        let mut by_code: BTreeMap<_, Vec<&Gap>> = BTreeMap::new();
        for gap in gaps {
            by_code.entry((!gap.required, &gap.code)).or_default().push(gap);
        }
        for ((optional, code), gaps) in by_code {
            let needed = if optional { "" } else { " (required)" };
            let first = gaps[0];
            let place = first.path.as_ref().map(ToString::to_string).or(first.place.clone());
            let place = place.map(|place| format!(" {}", escape(place))).unwrap_or_default();
            let more = if gaps.len() > 1 { format!(", and {} more", gaps.len() - 1) } else { String::new() };
            self.line(4, &format!("gap {code}{needed}{place}{more}: {}", escape(&first.why)));
        }
    }

    fn ledger(&mut self, report: &Report) {
        let Some(ledger) = &report.ledger else {
            return;
        };
        self.heading("Addresses");
        ledger.to_string().lines().for_each(|line| self.line(2, &escape(line)));
        self.gaps(&report.gaps);
    }

    fn form(&mut self, report: &Report) {
        let form = &report.form;
        self.heading(&format!("Form: {}, version {}", form.title, form.version));
        for answer in &form.fields {
            self.line(2, &format!("{} {}", answer.label, escape(answer.value.as_deref().unwrap_or("-"))));
        }
        for row in &form.rows {
            self.line(2, &format!("{}:", escape(&row.instance)));
            for answer in &row.answers {
                self.line(4, &format!("{} {}", answer.label, escape(answer.value.as_deref().unwrap_or("-"))));
            }
        }
        if !form.missing.is_empty() {
            self.line(2, "Required, and nobody knows it yet:");
        }
        for missing in &form.missing {
            self.line(4, &escape(missing));
        }
        if !form.broken.is_empty() {
            self.line(2, "Rules of the form that do not hold:");
        }
        for broken in &form.broken {
            let whose = broken.instance.as_deref().map(|name| format!("{}, ", escape(name))).unwrap_or_default();
            self.line(4, &format!("{whose}{}: {}", broken.rule, escape(&broken.text)));
        }
    }

    fn filing(&mut self, filing: &FilingView) {
        self.heading("Attestation and receipts");
        self.line(2, &format!("{}: {}", filing.label, filing.standing));
        filing.changed.iter().for_each(|what| self.line(4, &format!("changed: {what}")));
        for (name, value, _) in &filing.facts {
            self.line(4, &format!("{name}: {value}"));
        }
        for receipt in &filing.receipts {
            self.line(2, &format!("receipt, version {}: {}", receipt.version, receipt.label));
            let due = if receipt.due.is_empty() { String::new() } else { format!("; it was due {}", receipt.due) };
            self.line(4, &format!("received {} by {}{due}", receipt.received, receipt.authority));
            self.line(4, &format!("for {}, SHA-256 {}", receipt.whose, receipt.report_sha256));
            self.line(4, &format!("key {}", receipt.fingerprint));
        }
        if filing.more > 0 {
            self.line(2, &format!("and {} earlier receipts, all of them with `report receipt`", filing.more));
        }
        if !filing.untaken.is_empty() {
            self.line(2, &filing.untaken);
        }
    }

    fn foot(&mut self, report: &Report) {
        self.heading("Proof");
        self.line(2, &format!("{} records, the last with hash", report.records));
        self.line(2, &report.head);
        self.line(2, &format!("pack {} with SHA-256", report.pack.id));
        self.line(2, &report.pack.sha256);
        self.line(2, &report.tool);
    }
}

/// The action without the directive's id, which heads the report.
fn action<'a>(report: &Report, duty: &'a ReportDuty) -> &'a str {
    duty.action.strip_prefix(&report.pack.id).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&duty.action)
}

fn place(finding: &Finding) -> String {
    match (&finding.path, &finding.place) {
        (Some(path), _) => path.to_string(),
        (None, Some(place)) => escape(place),
        (None, None) => "the instance".to_owned(),
    }
}
