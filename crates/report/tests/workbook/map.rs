//! Cells: where a text goes, and how it stands there.

use report::workbook::Error;

use crate::{filled, one_answer, one_cell, package, parts, read, sheet, unzip};

/// The rows of a sheet before and after `text` goes to a cell.
#[track_caller]
fn check(rows: &str, cell: &str, expected: &str) {
    let form = package(&parts(&sheet(rows)));
    let made = filled(&form, &one_answer("text"), &one_cell("S", cell)).unwrap();
    let (_, _, xml) = unzip(&made.bytes).pop().unwrap();
    let text = "t=\"inlineStr\"><is><t xml:space=\"preserve\">text</t></is></c>";
    assert_eq!(String::from_utf8(xml).unwrap(), sheet(&expected.replace("TEXT", text)));
    let cell = if rows.contains("mergeCell") { "B2" } else { cell };
    assert_eq!(read(&made.bytes, "S", cell).as_deref(), Some("text"));
}

#[test]
fn a_cell_keeps_its_style_and_its_neighbours() {
    check(
        r#"<sheetData><row r="2" x="y"><c r="A2"/><c r="B2" s="7"/> <c r="C2" t="b"><v>1</v></c></row></sheetData>"#,
        "B2",
        r#"<sheetData><row r="2" x="y"><c r="A2"/><c r="B2" s="7" TEXT <c r="C2" t="b"><v>1</v></c></row></sheetData>"#,
    );
    check(
        r#"<sheetData><row r="2"><c s="3" r="B2" t="str"><v></v></c></row></sheetData>"#,
        "B2",
        r#"<sheetData><row r="2"><c r="B2" s="3" TEXT</row></sheetData>"#,
    );
}

#[test]
fn a_cell_or_row_that_is_not_there_is_made_in_its_place() {
    for (rows, expected) in [
        (r#"<row r="2"><c r="A2"/><c r="C2"/></row>"#, r#"<row r="2"><c r="A2"/><c r="B2" TEXT<c r="C2"/></row>"#),
        (r#"<row r="2"><c r="A2"/></row>"#, r#"<row r="2"><c r="A2"/><c r="B2" TEXT</row>"#),
        (r#"<row r="2" ht="9" />"#, r#"<row r="2" ht="9"><c r="B2" TEXT</row>"#),
        (r#"<row r="1"/><row r="3"/>"#, r#"<row r="1"/><row r="2"><c r="B2" TEXT</row><row r="3"/>"#),
        (r#"<row r="1"/>"#, r#"<row r="1"/><row r="2"><c r="B2" TEXT</row>"#),
        (r#"<row><c/></row><row><c/><c/></row>"#, r#"<row><c/></row><row><c/><c r="B2" TEXT</row>"#),
    ] {
        let data = |rows: &str| format!("<sheetData>{rows}</sheetData><pageMargins left=\"1\"/>");
        check(&data(rows), "B2", &data(expected));
    }
    check("<sheetData/>", "B2", r#"<sheetData><row r="2"><c r="B2" TEXT</row></sheetData>"#);
}

#[test]
fn a_value_for_merged_cells_goes_to_the_first_of_them() {
    let merged = |cells: &str| {
        format!(
            "<sheetData><row r=\"2\">{cells}<c r=\"C2\" s=\"1\"/></row></sheetData>\
             <mergeCells count=\"1\"><mergeCell ref=\"B2:C3\"/></mergeCells>"
        )
    };
    check(&merged(r#"<c r="B2" s="1"/>"#), "C3", &merged(r#"<c r="B2" s="1" TEXT"#));
}

#[test]
fn a_sheet_with_a_prefix_keeps_it() {
    let sheet = |rows: &str| {
        let namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        format!("<x:worksheet xmlns:x='{namespace}'><x:sheetData>{rows}</x:sheetData></x:worksheet>")
    };
    let before = sheet("<x:row r='2'/>");
    let form = package(&parts(&before));
    let made = filled(&form, &one_answer("text"), &one_cell("S", "B2")).unwrap();
    let (_, _, xml) = unzip(&made.bytes).pop().unwrap();
    let cell = "<x:c r=\"B2\" t=\"inlineStr\"><x:is><x:t xml:space=\"preserve\">text</x:t></x:is></x:c>";
    assert_eq!(String::from_utf8(xml).unwrap(), sheet(&format!("<x:row r='2'>{cell}</x:row>")));
}

#[test]
fn what_looks_like_a_formula_is_a_text() {
    let form = package(&parts(&sheet("<sheetData/>")));
    for value in ["=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(A1)", "=HYPERLINK(\"http://x\")", "1", "</t></is><f>1</f>"]
    {
        let made = filled(&form, &one_answer(value), &one_cell("S", "B2")).unwrap();
        assert_eq!(read(&made.bytes, "S", "B2").as_deref(), Some(value));
    }
}

#[test]
fn names_in_any_script_arrive_and_control_characters_are_shown() {
    let form = package(&parts(&sheet("<sheetData/>")));
    for (value, shown) in [
        ("東京 مرحبا עברית ไทย हिन्दी Ελληνικά 🛡", "東京 مرحبا עברית ไทย हिन्दी Ελληνικά 🛡"),
        ("  two\n lines ", "  two\n lines "),
        ("a\u{0}\u{1b}[2J\u{8}", "a\\x00\\x1b[2J\\x08"),
        ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
        ("\u{ffff}", "\\u{ffff}"),
    ] {
        let made = filled(&form, &one_answer(value), &one_cell("S", "B2")).unwrap();
        assert_eq!(read(&made.bytes, "S", "B2").as_deref(), Some(shown));
    }
}

#[test]
fn a_value_that_no_cell_can_hold_is_cut_and_listed() {
    let form = package(&parts(&sheet("<sheetData/>")));
    let made = filled(&form, &one_answer(&"x".repeat(40_000)), &one_cell("S", "B2")).unwrap();
    assert_eq!(made.cut, ["X"]);
    let text = read(&made.bytes, "S", "B2").unwrap();
    assert_eq!(text.len(), 32_767);
    assert!(text.ends_with("[cut: 40000 characters do not fit]"), "{}", &text[32_700..]);
}

#[test]
fn a_cell_that_computes_or_holds_something_is_not_overwritten() {
    for (cell, found) in [
        (r#"<c r="B2"><f>A1</f><v>1</v></c>"#, "a formula with the value \"1\""),
        (r#"<c r="B2"><v>7</v></c>"#, "7"),
        (r#"<c r="B2" t="inlineStr"><is><r><t>a&amp;</t></r><r><t>b</t></r><rPh><t>no</t></rPh></is></c>"#, "a&b"),
        (r#"<c r="B2" t="s"><v>5</v></c>"#, "string 5, which is not there"),
    ] {
        let form = package(&parts(&sheet(&format!("<sheetData><row r=\"2\">{cell}</row></sheetData>"))));
        match filled(&form, &one_answer("text"), &one_cell("S", "B2")) {
            Err(Error::Occupied { found: said, .. }) => assert_eq!(said, found),
            other => panic!("{cell}: {other:?}"),
        }
    }
}
