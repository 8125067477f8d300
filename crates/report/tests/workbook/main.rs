//! The workbooks of a report: the authority's own, with nothing else in it touched, and ours.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "integration tests that read files")]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

mod formulas;
mod hostile;
mod map;
mod official;
mod own;

use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use calamine::{Data, Reader as _, Xlsx};
use directive::form::Field;
use directive::pack::{Files, Pack};
use directive::plan::{Again, plan};
use directive::state::State;
use directive::workbook::Workbook;
use jiff::Timestamp;
use report::workbook::{Error, Limits, Made, fill};
use report::{Answer, Built, Report, Row};
use zip::{ZipArchive, ZipWriter};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A published form. They are beside the repository; without them its tests end, except in CI.
fn template(name: &str) -> Option<Vec<u8>> {
    let path = root().join("../shared/data/templates").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(err) if std::env::var_os("CI").is_some() => panic!("{}: {err}", path.display()),
        Err(_) => {
            eprintln!("left out: the form {name} is not here");
            None
        }
    }
}

/// The pack of ED 21-03.
fn pack() -> Pack {
    let folder = root().join("packs/ed-21-03");
    let mut files = Files::new();
    for name in ["directive.toml", "product.toml", "report.toml", "SOURCES.md"] {
        files.insert(name.to_owned(), std::fs::read(folder.join(name)).unwrap());
    }
    Pack::parse("ed-21-03", &files).unwrap()
}

fn map() -> Workbook {
    pack().form.workbook.unwrap()
}

/// A report on an empty case under ED 21-03.
fn empty_report() -> Report {
    let at: Timestamp = "2021-04-22T00:00:00Z".parse().unwrap();
    let (pack, state) = (pack(), State::from_records(&[]));
    let plan = plan(&pack, &state, at, Again::WhenDue);
    Report::build(&pack, &state, &plan, Built { at, records: 0, head: "0".repeat(64), tool: "portcullis test".into() })
}

fn answer(field: &Field, value: Option<String>) -> Answer {
    Answer {
        id: field.id.get_ref().clone(),
        label: field.label.clone(),
        question: field.question.clone(),
        value,
        records: Vec::new(),
        problem: None,
        required: field.required,
    }
}

/// A report in which every question of every instance is answered with its own place: `9 of vpn2`.
fn full_report(instances: usize) -> Report {
    let (form, mut report) = (pack().form, empty_report());
    let fields = form.fields.iter();
    report.form.fields = fields.map(|field| answer(field, Some(format!("{} once", field.id.get_ref())))).collect();
    let row = |name: String| {
        let columns = form.columns.iter();
        let answers =
            columns.map(|column| answer(column, Some(format!("{} of {name}", column.id.get_ref())))).collect();
        Row { instance: name, answers }
    };
    report.form.rows = (1..=instances).map(|number| row(format!("vpn{number}"))).collect();
    report
}

/// A report with one question, `x`, answered so.
fn one_answer(value: &str) -> Report {
    let mut report = empty_report();
    let answer = Answer {
        id: "x".into(),
        label: "X".into(),
        question: String::new(),
        value: Some(value.to_owned()),
        records: Vec::new(),
        problem: None,
        required: true,
    };
    (report.form.fields, report.form.rows) = (vec![answer], Vec::new());
    report
}

/// The map of the question `x` to a cell.
fn one_cell(sheet: &str, cell: &str) -> Workbook {
    let text = format!("file = \"f\"\nlabel = []\n[fields]\nx = {{ sheet = {sheet:?}, cell = {cell:?} }}\n");
    toml::from_str(&text).unwrap()
}

/// A package of these parts, in this order.
fn package(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const TYPES: &str = "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>";
const TOP: &str = "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>\
    <Relationship Id='r1' Target='xl/workbook.xml' \
    Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument'/></Relationships>";
const BOOK: &str = "<workbook xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main' \
    xmlns:r='http://schemas.openxmlformats.org/officeDocument/2006/relationships'>\
    <sheets><sheet name='S' sheetId='1' r:id='r1'/></sheets></workbook>";
const RELATED: &str = "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>\
    <Relationship Id='r1' Target='worksheets/sheet1.xml' \
    Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet'/></Relationships>";

/// The parts of a workbook with one sheet, `S`.
fn parts(sheet: &str) -> Vec<(&str, &str)> {
    vec![
        ("[Content_Types].xml", TYPES),
        ("_rels/.rels", TOP),
        ("xl/workbook.xml", BOOK),
        ("xl/_rels/workbook.xml.rels", RELATED),
        ("xl/worksheets/sheet1.xml", sheet),
    ]
}

/// A sheet with these rows.
fn sheet(rows: &str) -> String {
    let namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<worksheet xmlns=\"{namespace}\">{rows}</worksheet>")
}

fn filled(form: &[u8], report: &Report, map: &Workbook) -> Result<Made, Error> {
    fill(form, report, map, &Limits::default())
}

/// The parts of a package: name, packed bytes, unpacked bytes.
fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|index| {
            let (mut packed, mut plain) = (Vec::new(), Vec::new());
            archive.by_index_raw(index).unwrap().read_to_end(&mut packed).unwrap();
            let mut file = archive.by_index(index).unwrap();
            file.read_to_end(&mut plain).unwrap();
            (file.name().unwrap().into_owned(), packed, plain)
        })
        .collect()
}

/// What another reader finds in a cell; no sheet may have a formula.
fn read(bytes: &[u8], sheet: &str, cell: &str) -> Option<String> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
    assert!(book.worksheet_formula(sheet).unwrap().used_cells().next().is_none(), "a formula");
    let cell: directive::workbook::Cell = cell.parse().unwrap();
    let range = book.worksheet_range(sheet).unwrap();
    match range.get_value((cell.row - 1, cell.column.number() - 1)) {
        None | Some(Data::Empty) => None,
        Some(Data::String(text)) => Some(text.clone()),
        Some(other) => panic!("{cell} is no text: {other:?}"),
    }
}
