//! Traces: in which order did it happen, and whose passwords must be reset?
//!
//! The timeline as JSON lines and CSV that Timesketch imports (`message`, `datetime`, `timestamp`, `timestamp_desc`),
//! and the list of accounts of ED 21-03 Appendix A (e) as CSV. In CSV a cell that a spreadsheet would take for a
//! formula begins with an apostrophe; lines end with CR LF (RFC 4180).
//! Source: Timesketch, "Import data: CSV and JSONL".

use directive::record::{Account, AccountKind, Moment};
use serde::Serialize;

use crate::csv::table;

/// One line for Timesketch.
#[derive(Serialize)]
struct Line<'a> {
    message: String,
    datetime: String,
    /// Microseconds since 1970.
    timestamp: i64,
    timestamp_desc: String,
    instance: &'a str,
    #[serde(flatten)]
    moment: &'a Moment,
}

impl<'a> Line<'a> {
    fn new(instance: &'a str, moment: &'a Moment) -> Self {
        Self {
            message: format!("{}: {}", moment.what, moment.why),
            datetime: moment.time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
            timestamp: moment.time.as_microsecond(),
            timestamp_desc: description(moment),
            instance,
            moment,
        }
    }
}

/// What a time means, as Timesketch shows it.
fn description(moment: &Moment) -> String {
    match moment.clock.as_str() {
        "mtime" => "Content Modification Time".to_owned(),
        "ctime" => "Metadata Modification Time".to_owned(),
        "birth" => "Creation Time".to_owned(),
        _ => "Event Logged".to_owned(),
    }
}

/// The timelines of instances, by their names, one JSON object a line.
///
/// # Errors
///
/// None in practice: it writes to memory.
pub fn jsonl<'a>(of: impl IntoIterator<Item = (&'a str, &'a [Moment])>) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    for (instance, moment) in each(of) {
        out += &serde_json::to_string(&Line::new(instance, moment))?;
        out.push('\n');
    }
    Ok(out)
}

/// The timelines of instances as a table.
///
/// # Errors
///
/// None in practice: it writes to memory.
pub fn csv<'a>(of: impl IntoIterator<Item = (&'a str, &'a [Moment])>) -> Result<String, csv::Error> {
    let names = [
        "message",
        "timestamp",
        "datetime",
        "timestamp_desc",
        "instance",
        "what",
        "clock",
        "path",
        "line",
        "account",
        "address",
        "code",
        "severity",
    ];
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let rows = each(of).map(|(instance, moment)| {
        let line = Line::new(instance, moment);
        vec![
            line.message,
            line.timestamp.to_string(),
            line.datetime,
            line.timestamp_desc,
            instance.to_owned(),
            moment.what.clone(),
            moment.clock.clone(),
            moment.path.as_ref().map(|path| path.escaped()).unwrap_or_default(),
            moment.line.map(|line| line.to_string()).unwrap_or_default(),
            text(&moment.account),
            text(&moment.address),
            text(&moment.code),
            moment.severity.map(crate::words::severity).unwrap_or_default().to_owned(),
        ]
    });
    table(names.map(str::to_owned).to_vec(), rows)
}

/// Accounts to reset as a table.
///
/// # Errors
///
/// None in practice: it writes to memory.
pub fn accounts<'a>(of: impl IntoIterator<Item = (&'a str, &'a [Account])>) -> Result<String, csv::Error> {
    let names = [
        "instance",
        "account",
        "realm",
        "kinds",
        "roles",
        "logins",
        "first_login",
        "last_login",
        "addresses",
        "countries",
        "why",
    ];
    let rows = each(of).map(|(instance, account)| {
        let time = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        vec![
            instance.to_owned(),
            account.user.clone(),
            account.realm.clone().unwrap_or_default(),
            kinds(account),
            account.roles.join(" "),
            account.logins.to_string(),
            time(account.first),
            time(account.last),
            account.addresses.join(" "),
            account.countries.join(" "),
            account.why.clone(),
        ]
    });
    table(names.map(str::to_owned).to_vec(), rows)
}

fn each<'a, T: 'a>(of: impl IntoIterator<Item = (&'a str, &'a [T])>) -> impl Iterator<Item = (&'a str, &'a T)> {
    of.into_iter().flat_map(|(instance, all)| all.iter().map(move |one| (instance, one)))
}

/// What kind of account it is, as words.
pub(crate) fn kinds(account: &Account) -> String {
    account.kinds.iter().map(|kind: &AccountKind| kind.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Moment {
        Moment {
            time: "2021-04-08T10:00:00Z".parse().unwrap(),
            what: "login".into(),
            why: "=cmd|' /C calc'!A0".into(),
            path: Some("/logs/\u{1b}[2J".into()),
            line: Some(3),
            clock: "zoned".into(),
            account: Some("=1+1".into()),
            address: None,
            code: None,
            severity: None,
        }
    }

    #[test]
    fn each_line_has_what_timesketch_asks_for() {
        let line = jsonl([("vpn1", &[moment()][..])]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["datetime"], "2021-04-08T10:00:00.000000+00:00");
        assert_eq!(json["timestamp"], 1_617_876_000_000_000_i64);
        assert_eq!(json["timestamp_desc"], "Event Logged");
        assert!(json["message"].as_str().unwrap().starts_with("login: "));
    }

    #[test]
    fn an_account_named_like_a_formula_stays_a_text() {
        let table = csv([("vpn1", &[moment()][..])]).unwrap();
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!(&row[9], "'=1+1");
        assert!(!table.contains('\u{1b}'));
    }
}
