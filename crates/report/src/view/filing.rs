//! Filing: who answers for the report and who took it, as a reader sees it?

use directive::text::escape;
use jiff::tz::TimeZone;

use crate::filing::{Attested, Filing, Received, Standing};
use crate::words;

/// Receipts that are written out, the latest; `report receipt` has all.
const MOST_SHOWN: usize = 10;

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
    /// Facts: what, its value, and whether that is compared letter by letter: a digest, a key.
    pub facts: Vec<(&'static str, String, bool)>,
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
        short: short(attested, taken, receipts.iter().copied().find(|receipt| receipt.holds)),
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

/// The whole in one sentence; `taken` is the receipt for what was attested last, `latest` the latest that holds.
fn short(attested: Option<&Attested>, taken: Option<&Received>, latest: Option<&Received>) -> String {
    let Some(of) = attested else {
        return "Nobody answers for this report yet.".to_owned();
    };
    let (officer, role) = (escape(&of.officer), escape(&of.role));
    let who = format!("Attested by {officer} ({role})");
    let taken = match (taken, latest) {
        (None, None) => "no receipt of an authority yet".to_owned(),
        (None, Some(earlier)) => format!("no receipt yet, the latest is for version {}", earlier.version),
        (Some(receipt), _) => {
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

fn facts(of: &Attested, zone: &TimeZone) -> Vec<(&'static str, String, bool)> {
    let form = match of.lacking {
        (0, 0) => "complete, and its rules held".to_owned(),
        (missing, broken) => {
            let answers = if missing == 1 { "1 answer was".to_owned() } else { format!("{missing} answers were") };
            let rules = if broken == 1 { "1 rule".to_owned() } else { format!("{broken} rules") };
            format!("incomplete: {answers} missing, {rules} did not hold")
        }
    };
    vec![
        ("Officer", escape(&of.officer), false),
        ("Role", escape(&of.role), false),
        ("Signed", words::second(of.signed, zone), false),
        ("Report as of", words::second(of.as_of, zone), false),
        ("Its form", form, false),
        ("SHA-256 of the report in JSON", escape(&of.report_sha256), true),
        ("Key", escape(&of.fingerprint), true),
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
        received: words::second(of.received, zone),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A receipt of each version up to `count`, of reports with the digest `1`, `2`, ...; the last one came late.
    fn receipts(count: u32) -> Vec<Received> {
        let due: jiff::Timestamp = "2021-04-23T21:00:00Z".parse().unwrap();
        let one = |version: u32| Received {
            authority: "Authority".to_owned(),
            version,
            received: due + jiff::SignedDuration::from_secs(i64::from(version) - i64::from(count - 1)),
            due: Some(due),
            late: version == count,
            report_sha256: version.to_string(),
            fingerprint: "SHA256:x".to_owned(),
            holds: true,
        };
        (1..=count).map(one).collect()
    }

    fn attested(report_sha256: &str, standing: Standing) -> Option<Attested> {
        Some(Attested {
            officer: "J. Doe".to_owned(),
            role: "CIO".to_owned(),
            signed: jiff::Timestamp::UNIX_EPOCH,
            as_of: jiff::Timestamp::UNIX_EPOCH,
            report_sha256: report_sha256.to_owned(),
            fingerprint: "SHA256:y".to_owned(),
            lacking: (1, 2),
            standing,
        })
    }

    #[test]
    fn the_latest_of_many_receipts_are_shown_and_the_others_counted() {
        let filing = Filing { attested: attested("12", Standing::Current), receipts: receipts(12) };
        let view = view(&filing, &TimeZone::UTC);
        let shown: Vec<_> = view.receipts.iter().map(|one| (one.version.as_str(), one.label, one.whose)).collect();
        assert_eq!(shown[0], ("12", "late", "the report attested last"));
        assert_eq!(shown[9], ("3", "in time", "an earlier report"));
        assert_eq!((shown.len(), view.more, view.untaken.as_str()), (10, 2, ""));
        assert_eq!(view.short, "Attested by J. Doe (CIO); received by Authority as version 12, late.");
        let newer = Filing { attested: attested("13", Standing::Current), receipts: receipts(12) };
        let short = super::view(&newer, &TimeZone::UTC).short;
        assert_eq!(short, "Attested by J. Doe (CIO); no receipt yet, the latest is for version 12.");
    }

    #[test]
    fn a_second_after_the_deadline_is_seen_as_one() {
        let view = view(&Filing { attested: None, receipts: receipts(1) }, &TimeZone::UTC);
        assert_eq!(view.receipts[0].received, "Fri 23 Apr 2021 21:00:01 UTC");
        assert_eq!(view.receipts[0].due, "Fri 23 Apr 2021 21:00 UTC");
    }

    #[test]
    fn a_receipt_that_is_not_signed_takes_nothing_and_an_incomplete_form_stays_said() {
        let mut forged = receipts(1);
        forged[0].holds = false;
        let view = view(&Filing { attested: attested("1", Standing::Lost), receipts: forged }, &TimeZone::UTC);
        assert_eq!(view.receipts[0].label, "signature does not hold");
        assert_eq!(view.untaken, "No receipt is for the report that was attested last.");
        assert!(view.facts.iter().any(|(_, said, _)| said == "incomplete: 1 answer was missing, 2 rules did not hold"));
    }
}
