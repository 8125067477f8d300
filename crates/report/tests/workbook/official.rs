//! The forms that the authority published.

use directive::workbook::Cell;
use report::workbook::{Error, is_published};

use crate::{empty_report, filled, full_report, map, one_answer, one_cell, read, template, unzip};

const STATUS: &str = "Status Report - April 23";
const FORMS: [&str; 4] =
    ["ed21-01status_v2.xlsx", "ed21-02status_SuppDir_V2.xlsx", "ed21-02status_v3.xlsx", "ed21-03status.xlsx"];

/// Names and parts of the sheets, in the workbook's order, from the numbers that these forms have.
fn sheets(form: &[u8]) -> Vec<(String, String)> {
    use calamine::Reader as _;
    let book: calamine::Xlsx<_> = calamine::Xlsx::new(std::io::Cursor::new(form)).unwrap();
    let names = book.sheet_names().into_iter();
    names.zip(1..).map(|(name, number)| (name, format!("xl/worksheets/sheet{number}.xml"))).collect()
}

/// The first cell of a sheet that is there, empty and not merged: its element and its reference.
fn empty_cell(xml: &str) -> Option<(&str, &str)> {
    let cell = |text: &str| text.parse::<Cell>().unwrap();
    let merges = xml.split("<mergeCell ref=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let merges: Vec<_> = merges.filter_map(|range| range.split_once(':')).map(|(a, z)| (cell(a), cell(z))).collect();
    let merged = |at: Cell| {
        let around =
            |(a, z): &(Cell, Cell)| (a.row..=z.row).contains(&at.row) && (a.column..=z.column).contains(&at.column);
        merges.iter().any(around)
    };
    let cells = xml.match_indices("<c r=\"").map(|(at, _)| &xml[at..=at + xml[at..].find('>').unwrap()]);
    let empty = cells.filter(|element| element.ends_with("/>"));
    let mut named = empty.map(|element| (element, element[6..].split('"').next().unwrap()));
    named.find(|(_, name)| !merged(cell(name)))
}

#[test]
fn every_published_form_keeps_all_but_the_cell_that_is_filled() {
    let mut sheets_tried = 0;
    for name in FORMS {
        let Some(form) = template(name) else { return };
        let before = unzip(&form);
        let all: String = before.iter().map(|(_, _, plain)| String::from_utf8_lossy(plain)).collect();
        assert!(all.contains("<x14:dataValidation ") && all.contains("<sheetProtection "), "{name}");
        for (sheet, part) in sheets(&form) {
            let xml = before.iter().find(|(name, ..)| *name == part).map(|(_, _, plain)| plain).unwrap();
            let xml = std::str::from_utf8(xml).unwrap();
            let Some((element, cell)) = empty_cell(xml) else { continue };
            let made = filled(&form, &one_answer("A & B"), &one_cell(&sheet, cell)).unwrap();
            let after = unzip(&made.bytes);
            assert_eq!(before.len(), after.len());
            for (old, new) in before.iter().zip(&after) {
                assert_eq!(old.0, new.0, "{name}: order of parts");
                if old.0 != part {
                    assert!(old == new, "{name}: {} changed", old.0);
                }
            }
            let start = element.strip_suffix("/>").unwrap();
            let text = r#" t="inlineStr"><is><t xml:space="preserve">A &amp; B</t></is></c>"#;
            let expected = xml.replacen(element, &format!("{start}{text}"), 1);
            let (_, _, patched) = after.iter().find(|(name, ..)| *name == part).unwrap();
            assert!(std::str::from_utf8(patched).unwrap() == expected, "{name}: {sheet} differs elsewhere");
            sheets_tried += 1;
        }
    }
    assert!(sheets_tried >= 12, "{sheets_tried}");
}

#[test]
fn every_answer_stands_in_its_cell_of_the_form_of_ed_21_03() {
    let Some(form) = template("ed21-03status.xlsx") else { return };
    assert!(is_published(&form, &map()));
    let made = filled(&form, &full_report(288), &map()).unwrap();
    assert!(made.empty.is_empty() && made.cut.is_empty());
    for (cell, question) in [
        ("D7", "agency"),
        ("D8", "poc-name"),
        ("D9", "poc-email"),
        ("D10", "poc-phone"),
        ("E15", "q1"),
        ("E18", "q2"),
        ("B20", "department-level"),
        ("C24", "signature"),
    ] {
        assert_eq!(read(&made.bytes, STATUS, cell), Some(format!("{question} once")));
    }
    for (cell, answer) in [("B7", "1 of vpn1"), ("I7", "8 of vpn1"), ("J101", "9 of vpn95"), ("M294", "12 of vpn288")] {
        assert_eq!(read(&made.bytes, "Inventory", cell).as_deref(), Some(answer));
    }
    assert_eq!(read(&made.bytes, "Inventory", "B6").as_deref(), Some("1) Appliance Internal IP Addresses"));
}

#[test]
fn an_instance_more_than_rows_is_refused() {
    let Some(form) = template("ed21-03status.xlsx") else { return };
    let refused = filled(&form, &full_report(289), &map());
    assert!(matches!(refused, Err(Error::NoRoom { room: 288, instances: 289 })), "{refused:?}");
}

#[test]
fn what_nobody_knows_stays_empty_and_the_form_stays_as_it_was() {
    let Some(form) = template("ed21-03status.xlsx") else { return };
    let report = empty_report();
    let made = filled(&form, &report, &map()).unwrap();
    assert_eq!(made.empty.len(), report.form.fields.len());
    assert!(unzip(&made.bytes) == unzip(&form));
}

#[test]
fn another_form_and_another_version_are_refused_by_their_words() {
    let (Some(form), Some(exchange)) = (template("ed21-03status.xlsx"), template("ed21-02status_v3.xlsx")) else {
        return;
    };
    let refused = filled(&exchange, &full_report(1), &map());
    assert!(matches!(refused, Err(Error::NoSheet { .. })), "{refused:?}");

    let mut map = map();
    map.labels[0].text = "Status Report Template (Version 2.0)".into();
    let said = filled(&form, &full_report(1), &map).unwrap_err().to_string();
    assert_eq!(
        said,
        "this is another version of the form: cell B3 of sheet \"Status Report - April 23\" says \"Status Report \
         Template (Version 1.0)\", not \"Status Report Template (Version 2.0)\""
    );
}

#[test]
fn a_form_that_is_filled_already_is_refused_so_that_no_old_row_stays() {
    let Some(form) = template("ed21-03status.xlsx") else { return };
    let five = filled(&form, &full_report(5), &map()).unwrap();
    assert!(!is_published(&five.bytes, &map()));
    let refused = filled(&five.bytes, &full_report(3), &map());
    assert!(matches!(refused, Err(Error::Occupied { .. })), "{refused:?}");
}

#[test]
fn the_same_form_and_report_give_the_same_bytes() {
    let Some(form) = template("ed21-03status.xlsx") else { return };
    let make = || filled(&form, &full_report(20), &map()).unwrap().bytes;
    assert!(make() == make());
}
