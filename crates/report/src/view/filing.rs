//! Filing: who answers for the report and who took it, as a reader sees it?

use directive::text::escape;
use jiff::tz::TimeZone;

use crate::filing::{Attested, Filing, Received, Standing};
use crate::words;

/// Receipts that are written out, the latest; `report receipt` has all.
const MOST_SHOWN: usize = 20;

/// Who answers for the report, and who took it.
pub struct FilingView {
    /// How it stands, in a word or two: `attested`, `stale`.
    pub label: &'static str,
    /// How that weighs, as a class: `fixed`, `medium`, `high`.
    pub class: &'static str,
    /// The same in one sentence, with whether an authority took it; for the head.
    pub short: String,
    /// What it means, in one sentence.
    pub standing: String,
    /// What has changed since, where something has.
    pub changed: Vec<String>,
    /// Facts: what, and its value.
    pub facts: Vec<(&'static str, String)>,
    /// Receipts, the latest first.
    pub receipts: Vec<ReceiptView>,
    /// How many more there are.
    pub more: usize,
    /// What there is to say where no receipt is for this report; empty where one is.
    pub untaken: String,
}

/// A receipt.
pub struct ReceiptView {
    /// Which report of the organisation it is.
    pub version: String,
    /// Who took it.
    pub authority: String,
    /// When.
    pub received: String,
    /// `in time`, `late`, or what else there is to say.
    pub label: &'static str,
    /// How that weighs, as a class.
    pub class: &'static str,
    /// When it was due; empty: no time is set.
    pub due: String,
    /// Whether it is for the report that was attested last.
    pub whose: &'static str,
    /// SHA-256 of the report, in hex.
    pub report_sha256: String,
    /// The key that signed it.
    pub fingerprint: String,
}

pub(super) fn view(filing: &Filing, zone: &TimeZone) -> FilingView {
    let attested = filing.attested.as_ref();
    let mut receipts: Vec<&Received> = filing.receipts.iter().collect();
    receipts.sort_by_key(|receipt| std::cmp::Reverse((receipt.version, receipt.received)));
    let mine = |receipt: &&Received| attested.is_some_and(|of| of.report_sha256 == receipt.report_sha256);
    let taken = receipts.iter().copied().find(|receipt| mine(receipt) && receipt.holds);
    let (label, class, standing) = standing(attested.map(|of| &of.standing));
    FilingView {
        label,
        class,
        short: short(attested, taken),
        standing,
        changed: match attested.map(|of| &of.standing) {
            Some(Standing::Stale(changed)) => changed.iter().map(escape).collect(),
            _ => Vec::new(),
        },
        facts: attested.map(|of| facts(of, zone)).unwrap_or_default(),
        untaken: match (attested, taken, receipts.is_empty()) {
            (_, None, true) => "The case holds no receipt of an authority.".to_owned(),
            (Some(_), None, false) => "No receipt is for the report that was attested last.".to_owned(),
            _ => String::new(),
        },
        more: receipts.len().saturating_sub(MOST_SHOWN),
        receipts: receipts.iter().take(MOST_SHOWN).map(|one| receipt(one, attested.map(|_| mine(one)), zone)).collect(),
    }
}

/// How an attestation stands: in a word, as a class, and what that means.
fn standing(of: Option<&Standing>) -> (&'static str, &'static str, String) {
    let (label, class, means) = match of {
        None => ("not attested yet", "medium", "Nobody answers for this report yet."),
        Some(Standing::Current) => ("current", "fixed", "The case still says what was attested."),
        Some(Standing::Stale(_)) => {
            ("stale", "high", "The case has changed since it was attested. Nobody answers for what has changed.")
        }
        Some(Standing::Lost) => (
            "not comparable",
            "high",
            "The report that was attested is not in the case any more, or not as it was: whether the case still says \
             the same cannot be told.",
        ),
        Some(Standing::Forged) => (
            "signature does not hold",
            "high",
            "What the case holds is not what this key signed. It counts for nothing.",
        ),
    };
    (label, class, means.to_owned())
}

fn short(attested: Option<&Attested>, taken: Option<&Received>) -> String {
    let Some(of) = attested else {
        return "Nobody answers for this report yet.".to_owned();
    };
    let (officer, role) = (escape(&of.officer), escape(&of.role));
    let who = format!("Attested by {officer} ({role})");
    let taken = match taken {
        None => "no receipt of an authority yet".to_owned(),
        Some(receipt) => {
            let late = if receipt.late { ", late" } else { "" };
            format!("received by {} as version {}{late}", escape(&receipt.authority), receipt.version)
        }
    };
    match &of.standing {
        Standing::Current => format!("{who}; {taken}."),
        Standing::Stale(_) => format!("{who}, but the case has changed since; {taken}."),
        Standing::Lost => format!("{who}; the report that was attested is not in the case any more."),
        Standing::Forged => format!("The attestation in the name of {officer} ({role}) is not signed with its key."),
    }
}

fn facts(of: &Attested, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let form = match of.lacking {
        (0, 0) => "complete, and its rules held".to_owned(),
        (missing, broken) => {
            let answers = if missing == 1 { "1 answer was".to_owned() } else { format!("{missing} answers were") };
            let rules = if broken == 1 { "1 rule".to_owned() } else { format!("{broken} rules") };
            format!("incomplete: {answers} missing, {rules} did not hold")
        }
    };
    vec![
        ("Officer", escape(&of.officer)),
        ("Role", escape(&of.role)),
        ("Signed", words::moment(of.signed, zone)),
        ("Report as of", words::moment(of.as_of, zone)),
        ("Its form", form),
        ("SHA-256 of the report in JSON", escape(&of.report_sha256)),
        ("Key", escape(&of.fingerprint)),
    ]
}

/// A receipt; `mine` says whether it is for the report that was attested last, where one was.
fn receipt(of: &Received, mine: Option<bool>, zone: &TimeZone) -> ReceiptView {
    let (label, class) = match (of.holds, of.late, of.due) {
        (false, ..) => ("signature does not hold", "high"),
        (true, true, _) => ("late", "high"),
        (true, false, Some(_)) => ("in time", "fixed"),
        (true, false, None) => ("no time was set", "plain"),
    };
    ReceiptView {
        version: of.version.to_string(),
        authority: escape(&of.authority),
        received: words::moment(of.received, zone),
        label,
        class,
        due: of.due.map(|due| words::moment(due, zone)).unwrap_or_default(),
        whose: match mine {
            Some(true) => "the report attested last",
            Some(false) => "an earlier report",
            None => "a report",
        },
        report_sha256: escape(&of.report_sha256),
        fingerprint: escape(&of.fingerprint),
    }
}
