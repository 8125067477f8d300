//! The workbook of our own, and the table for other programs.

use std::time::{Duration, Instant};

use report::workbook::own;

use crate::{empty_report, full_report, pack, read, unzip};

#[test]
fn our_own_workbook_has_every_answer() {
    let made = own(&full_report(3), &pack().form).unwrap();
    assert!(made.empty.is_empty());
    let heading = read(&made.bytes, "Inventory", "I1").unwrap();
    assert!(heading.starts_with("8) Was the integrity"), "{heading}");
    assert_eq!(read(&made.bytes, "Inventory", "A4").as_deref(), Some("vpn3"));
    assert_eq!(read(&made.bytes, "Inventory", "I4").as_deref(), Some("8 of vpn3"));
    let status: Vec<_> = (1..40).filter_map(|row| read(&made.bytes, "Status", &format!("C{row}"))).collect();
    assert!(status.contains(&"signature once".to_owned()), "{status:?}");
    let parts = unzip(&made.bytes);
    let all: String = parts.iter().map(|(_, _, plain)| String::from_utf8_lossy(plain)).collect();
    assert!(all.contains("<dataValidation ") && all.contains("Choices!$A$1:$A$103"), "lists of allowed answers");
}

#[test]
fn our_own_workbook_lists_what_is_missing_and_holds_no_formula() {
    let mut report = empty_report();
    report.organisation = "=1+1".into();
    report.form.fields[1].value = Some("=cmd|' /C calc'!A0".into());
    report.form.fields[2].value = Some("a\u{1b}b\u{202e}".into());
    let made = own(&report, &pack().form).unwrap();
    assert_eq!(made.empty.len(), report.form.fields.len() - 2);
    let status: Vec<_> = (1..40).filter_map(|row| read(&made.bytes, "Status", &format!("C{row}"))).collect();
    assert!(status.contains(&"=cmd|' /C calc'!A0".to_owned()), "{status:?}");
    assert!(status.contains(&"a\\x1bb\\u{202e}".to_owned()), "{status:?}");
    assert_eq!(read(&made.bytes, "Missing and rules", "A2").as_deref(), Some("missing"));
}

#[test]
fn our_own_workbook_is_the_same_for_the_same_report() {
    let make = || own(&full_report(20), &pack().form).unwrap().bytes;
    assert!(make() == make());
}

/// The goal is 10 s; a third of it leaves room for a slow machine and shows a quadratic loop.
#[test]
fn ten_thousand_instances_take_seconds() {
    let (report, form) = (full_report(10_000), pack().form);
    let start = Instant::now();
    let made = own(&report, &form).unwrap();
    let (workbook, start) = (start.elapsed(), Instant::now());
    let table = report::csv::render(&report, &form).unwrap();
    eprintln!("workbook: {workbook:?}, {} bytes; table: {:?}", made.bytes.len(), start.elapsed());
    assert!(workbook < Duration::from_secs(10), "{workbook:?}");
    assert_eq!(table.lines().count(), 10_001);
}

#[test]
fn a_table_has_one_line_an_instance_and_no_formula() {
    let mut report = full_report(2);
    let values = [Some("=1+1".to_owned()), Some("a,\"b\"\nc".to_owned()), None];
    for (answer, value) in report.form.rows[0].answers.iter_mut().zip(values) {
        answer.value = value;
    }
    report.form.rows[1].instance = "@vpn2".into();
    let table = report::csv::render(&report, &pack().form).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().take(2).collect::<Vec<_>>(), ["Instance", "1) Internal IP addresses"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows[0].iter().take(4).collect::<Vec<_>>(), ["vpn1", "'=1+1", "a,\"b\"\nc", ""]);
    assert_eq!(&rows[1][0], "'@vpn2");
}
