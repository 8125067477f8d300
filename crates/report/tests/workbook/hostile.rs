//! Workbooks that attack whoever reads them.

use directive::workbook::Workbook;
use proptest::prelude::*;
use report::workbook::{Error, Limits, fill};

use crate::{BOOK, filled, one_answer, one_cell, package, parts, sheet};

/// The form must be refused, and the error must say these words.
#[track_caller]
fn refused(form: &[u8], words: &str) {
    refused_with(form, &one_cell("S", "B2"), &Limits::default(), words);
}

#[track_caller]
fn refused_with(form: &[u8], map: &Workbook, limits: &Limits, words: &str) {
    let err = fill(form, &one_answer("text"), map, limits).map(|made| made.bytes.len()).unwrap_err();
    assert!(!matches!(err, Error::Occupied { .. }), "{err}");
    let mut said = err.to_string();
    let mut cause = std::error::Error::source(&err);
    while let Some(err) = cause {
        said.push_str(&format!(": {err}"));
        cause = err.source();
    }
    assert!(said.contains(words), "{words:?} is not in {said:?}");
}

fn good() -> Vec<u8> {
    package(&parts(&sheet("<sheetData/>")))
}

/// Replaces bytes with as many others, up to `times` times.
fn replaced(bytes: &[u8], old: &str, new: &str, times: usize) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let (mut bytes, mut done, mut at) = (bytes.to_vec(), 0, 0);
    while at + old.len() <= bytes.len() && done < times {
        if &bytes[at..at + old.len()] == old.as_bytes() {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
            done += 1;
        }
        at += 1;
    }
    assert!(done > 0);
    bytes
}

#[test]
fn what_is_no_workbook_is_refused() {
    refused(b"", "no XLSX workbook");
    refused(b"PK\x03\x04 and then nothing", "no XLSX workbook");
    refused(&good()[..good().len() / 2], "no XLSX workbook");
    refused(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, 0, 0], "protected with a password");
    refused(&package(&[("mimetype", "text")]), "\"_rels/.rels\"");
}

#[test]
fn a_name_that_leads_out_of_the_package_is_refused() {
    let mut parts = parts("");
    parts.push(("aa/evil.xml", ""));
    let form = package(&parts);
    for name in ["../evil.xml", "/a/evil.xml", "a/../il.xml", "aa\\evil.xml", "C:/evil.xml"] {
        refused(&replaced(&form, "aa/evil.xml", name, 2), "leads out of it");
    }
}

#[test]
fn a_part_that_is_there_twice_is_refused() {
    let mut parts = parts("");
    parts.push(("xl/worksheets/sheet9.xml", ""));
    let form = package(&parts);
    for twin in ["xl/worksheets/sheet1.xml", "xl/Worksheets/SHEET1.xml"] {
        refused(&replaced(&form, "xl/worksheets/sheet9.xml", twin, 2), "there twice");
    }
}

#[test]
fn a_part_with_another_name_in_front_of_it_is_refused() {
    refused(&replaced(&good(), "xl/worksheets/sheet1.xml", "xl/worksheets/sheet9.xml", 1), "not a sound package");
}

#[test]
fn a_broken_part_is_refused_even_if_nobody_reads_it() {
    let mut parts = parts("<x/>");
    parts.push(("xl/theme/theme1.xml", "kept as it is, and not looked into by the one who fills the form"));
    let form = package(&parts);
    let at = form.windows(19).position(|bytes| bytes == b"xl/theme/theme1.xml").unwrap() + 25;
    let mut broken = form.clone();
    broken[at] ^= 0x55;
    refused(&broken, "\"xl/theme/theme1.xml\" of the form cannot be unpacked");
}

#[test]
fn too_many_parts_are_refused() {
    let names: Vec<String> = (0..=2_000).map(|number| format!("xl/{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    refused(&package(&many), "too many parts: at most 2000");
}

#[test]
fn a_part_that_bursts_is_refused() {
    let long = " ".repeat(64 << 20);
    let mut bomb = parts("");
    bomb.extend([("xl/a", long.as_str()), ("xl/b", &long), ("xl/c", &long), ("xl/d", &long)]);
    let form = package(&bomb);
    assert!(form.len() < 1 << 20, "{}", form.len());
    refused(&form, "too many bytes unpacked: at most 268435456");
}

#[test]
fn a_sheet_that_bursts_is_refused() {
    let long = sheet(&format!("<sheetData>{}</sheetData>", " ".repeat(33 << 20)));
    refused(&package(&parts(&long)), "too many bytes in the part \"xl/worksheets/sheet1.xml\"");
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let limits = Limits { file: 100, ..Limits::default() };
    refused_with(&good(), &one_cell("S", "B2"), &limits, "too many bytes: at most 100");
}

#[test]
fn entities_and_document_types_are_refused() {
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]>";
    let xml = sheet("<sheetData/>").replacen("<worksheet", &format!("{laughs}<worksheet"), 1);
    refused(&package(&parts(&xml)), "a document type");
    let cell = sheet(r#"<sheetData><row r="2"><c r="B2" t="str"><v>&b;</v></c></row></sheetData>"#);
    refused(&package(&parts(&cell)), "the entity \"b\" is not known");
}

#[test]
fn a_sheet_that_readers_disagree_about_is_refused() {
    for (rows, words) in [
        (r#"<sheetData><row r="2"/><row r="1"/></sheetData>"#, "row 1 comes after row 2"),
        (r#"<sheetData><row r="2"/><row r="2"/></sheetData>"#, "row 2 comes after row 2"),
        (r#"<sheetData><row r="2"><c r="C2"/><c r="B2"/></row></sheetData>"#, "out of order"),
        (r#"<sheetData><row r="2"><c r="B3"/></row></sheetData>"#, "out of order"),
        (r#"<sheetData><row r="x"/></sheetData>"#, "\"x\" is no row"),
        (r#"<sheetData><row r="9999999"/></sheetData>"#, "comes after"),
        (r#"<sheetData/><sheetData/>"#, "its rows twice"),
        (r#"<sheetViews/>"#, "no rows"),
        (r#"<sheetData><row r="2">"#, "sheet1.xml"),
        (r#"<sheetData/><mergeCells><mergeCell ref="A1:ZZZZ"/></mergeCells>"#, "no range of cells"),
    ] {
        refused(&package(&parts(&sheet(rows))), words);
    }
    let half = sheet("<sheetData/>").replace("</worksheet>", "");
    refused(&package(&parts(&half)), "ends inside of an element");
    let other = sheet("<sheetData/>").replace("UTF-8", "UTF-16");
    refused(&package(&parts(&other)), "an encoding other than UTF-8");
}

#[test]
fn a_sheet_that_leads_to_no_part_is_refused() {
    let mut lost = parts("<x/>");
    lost.pop();
    refused(&package(&lost), "\"xl/worksheets/sheet1.xml\"");
    refused_with(&good(), &one_cell("T", "B2"), &Limits::default(), "it has no sheet \"T\", but \"S\"");
    let unknown = BOOK.replace("r:id='r1'", "r:id='r7'");
    let mut lost = parts("<x/>");
    lost[2].1 = &unknown;
    refused(&package(&lost), "the sheet \"S\" has no part");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is done to a sheet, filling ends, and what comes out can be filled no second time.
    #[test]
    fn a_mangled_sheet_is_filled_or_refused(at in 0_usize..400, cut in 0_usize..40, new in "[<>/&;a-z\"= ]{0,12}") {
        let rows = "<sheetData><row r='1' s='2'><c r='A1' t='s'><v>1</v></c></row>\
            <row r='2'><c r='A2'/><c r='C2' s='4'><v>&lt;</v></c></row></sheetData>\
            <mergeCells><mergeCell ref='D1:E2'/></mergeCells>";
        let mut xml = sheet(rows);
        let start = at.min(xml.len());
        let end = (start + cut).min(xml.len());
        xml.replace_range(start..end, &new);
        if let Ok(made) = filled(&package(&parts(&xml)), &one_answer("text"), &one_cell("S", "B2")) {
            let again = filled(&made.bytes, &one_answer("text"), &one_cell("S", "B2"));
            prop_assert!(matches!(again, Err(Error::Occupied { .. })), "{again:?}");
        }
    }
}
