//! Workbook: how do the answers get into the authority's own file, and nothing else into it?
//!
//! [`fill`] changes the cells that the pack names and leaves the rest of the file as it is, byte for
//! byte: drop-down lists, protection, pictures, printer settings. Libraries that load and save a
//! workbook lose some of these (openpyxl one of the eight lists of the form of ED 21-03, namely that
//! of the agencies). [`own`] makes a workbook with the same answers where there is no such file.
//! Never writes a formula, never guesses: an answer that nobody knows leaves its cell empty.
//! Source: ECMA-376 parts 1 and 2. Speed: 10,000 instances in `tests/workbook.rs`.

use std::collections::{BTreeMap, BTreeSet};

use directive::record::hex;
use directive::workbook::{Cell, Workbook};
use sha2::{Digest as _, Sha256};

use crate::fill::Answer;
use crate::model::Report;
use crate::value;

mod own;
mod package;
mod parts;
mod sheet;
mod xml;

pub use own::own;

/// A workbook that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The file.
    pub bytes: Vec<u8>,
    /// The answers whose cells stay empty, required or not.
    pub empty: Vec<String>,
    /// The answers that were cut because no cell holds more than 32,767 characters.
    pub cut: Vec<String>,
}

/// How much a form may ask of us. The real forms have 0.4 MB, 43 parts and parts of 0.5 MB.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the file: it is held in memory.
    pub file: u64,
    /// Parts in it: each costs memory before anything of it is read.
    pub parts: usize,
    /// Bytes of one part that is read, unpacked: stops a sheet of a gigabyte.
    pub part: u64,
    /// Bytes of all parts, unpacked: a file that bursts at the authority's is not passed on.
    pub all: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 32 << 20, parts: 2_000, part: 32 << 20, all: 256 << 20 }
    }
}

/// Why a form cannot be filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no zip package.
    #[error("the form is no XLSX workbook")]
    NoPackage {
        /// What the reader of zip files said.
        source: zip::result::ZipError,
    },
    /// The file is encrypted, or of an older kind.
    #[error("the form is protected with a password to open it, or is an .xls file")]
    Compound,
    /// The file asks for more than a form may.
    #[error("the form has {what}: at most {most} are taken")]
    TooMuch {
        /// What there is too much of.
        what: String,
        /// The limit.
        most: u64,
    },
    /// The file contradicts itself, as only made-up files do.
    #[error("the form is not a sound package: {what}")]
    Unsound {
        /// In which way.
        what: String,
    },
    /// A part cannot be unpacked or written.
    #[error("the part {part:?} of the form cannot be unpacked")]
    Part {
        /// The part.
        part: String,
        /// Why.
        source: zip::result::ZipError,
    },
    /// A part is not what its place says.
    #[error("the part {part:?} of the form, byte {at}: {what}")]
    Shape {
        /// The part.
        part: String,
        /// How far it was understood.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// A sheet that the pack names is not there.
    #[error("this is another form: it has no sheet {sheet:?}, but {}", known.join(", "))]
    NoSheet {
        /// The sheet.
        sheet: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A label that the pack names is not there.
    #[error("this is another version of the form: cell {cell} of sheet {sheet:?} says {found:?}, not {expected:?}")]
    OtherVersion {
        /// The sheet.
        sheet: String,
        /// The cell.
        cell: Cell,
        /// What the pack expects.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A cell that would be filled holds something.
    #[error("the form is not empty: cell {cell} of sheet {sheet:?} holds {found:?}")]
    Occupied {
        /// The sheet.
        sheet: String,
        /// The cell.
        cell: Cell,
        /// What is there.
        found: String,
    },
    /// Two answers would go to one cell.
    #[error("two answers would go to cell {cell} of sheet {sheet:?}, which is merged")]
    Merged {
        /// The sheet.
        sheet: String,
        /// The first of the merged cells.
        cell: Cell,
    },
    /// There are more instances than rows.
    #[error("the form has room for {room} instances, and the report has {instances}")]
    NoRoom {
        /// Rows.
        room: usize,
        /// Instances.
        instances: usize,
    },
    /// A workbook of our own cannot be made.
    #[error("the workbook cannot be made")]
    Own {
        /// Why.
        source: rust_xlsxwriter::XlsxError,
    },
}

/// Whether a form is, byte for byte, one that the authority published and the pack knows.
pub fn is_published(form: &[u8], map: &Workbook) -> bool {
    let digest = hex(&Sha256::digest(form));
    map.sha256.iter().any(|known| *known.get_ref() == digest)
}

/// Puts the answers of a report into the authority's own workbook.
///
/// Only the cells change that the map names and that have an answer; they keep their style. Every
/// value is a text, whatever it looks like. The same input gives the same bytes.
///
/// # Errors
///
/// Another version of the form, a form that is filled in already, more instances than rows, and
/// every package that breaks a limit or contradicts itself.
pub fn fill(form: &[u8], report: &Report, map: &Workbook, limits: &Limits) -> Result<Made, Error> {
    let mut made = Made { bytes: Vec::new(), empty: Vec::new(), cut: Vec::new() };
    let targets = targets(report, map, &mut made)?;
    let mut package = package::Package::open(form, limits)?;
    let book = parts::Book::read(&mut package)?;
    let labelled = map.labels.iter().map(|label| label.sheet.get_ref().as_str());
    let names: BTreeSet<&str> = targets.iter().map(|target| target.sheet).chain(labelled).collect();
    // Another form is told from another version before a single label is read.
    let sheets = names.into_iter().map(|name| Ok((name, book.sheet(name)?))).collect::<Result<Vec<_>, Error>>()?;
    let mut changed = BTreeMap::new();
    for (name, part) in sheets {
        let xml = package.text(part)?;
        let patched = patch(&mut package, &book, Sheet { name, part, xml: &xml }, &targets, map)?;
        if patched != xml {
            changed.insert(part.to_owned(), patched);
        }
    }
    made.bytes = package.with(&changed)?;
    Ok(made)
}

/// A cell that the map gives to an answer.
struct Target<'a> {
    sheet: &'a str,
    cell: Cell,
    /// What goes there; nothing if nobody knows it, or if the row stays free.
    text: Option<String>,
}

fn targets<'a>(report: &Report, map: &'a Workbook, made: &mut Made) -> Result<Vec<Target<'a>>, Error> {
    let form = &report.form;
    let mut targets = Vec::new();
    let mut add = |sheet: &'a str, cell, answer: Option<&Answer>, instance: Option<&str>| {
        let text = answer.and_then(|answer| value_of(answer, instance, made));
        targets.push(Target { sheet, cell, text });
    };
    for (id, place) in &map.fields {
        let answer = form.fields.iter().find(|answer| answer.id == *id.get_ref());
        add(place.sheet.get_ref(), place.cell, answer, None);
    }
    if let Some(area) = &map.rows {
        if form.rows.len() > area.room() {
            return Err(Error::NoRoom { room: area.room(), instances: form.rows.len() });
        }
        let mut rows = form.rows.iter();
        for number in *area.first.get_ref()..=area.last {
            let row = rows.next();
            for (id, column) in &area.columns {
                let answer = row.and_then(|row| row.answers.iter().find(|answer| answer.id == *id.get_ref()));
                let cell = Cell { row: number, column: *column };
                add(area.sheet.get_ref(), cell, answer, row.map(|row| row.instance.as_str()));
            }
        }
    }
    Ok(targets)
}

/// The text of an answer; what stays empty or is cut is listed.
fn value_of(answer: &Answer, instance: Option<&str>, made: &mut Made) -> Option<String> {
    let named = || {
        let whose = instance.map(|name| format!("{name}, ")).unwrap_or_default();
        format!("{whose}{} {}", answer.label, answer.question).trim_end().to_owned()
    };
    let Some(value) = &answer.value else {
        made.empty.push(named());
        return None;
    };
    let shown = value::cell(value);
    if shown.cut {
        made.cut.push(named());
    }
    Some(shown.text)
}

/// A sheet of the form.
struct Sheet<'a> {
    name: &'a str,
    part: &'a str,
    xml: &'a str,
}

/// The sheet with its answers, after its labels were recognised and its cells found empty.
fn patch(
    package: &mut package::Package<'_>,
    book: &parts::Book,
    sheet: Sheet<'_>,
    targets: &[Target<'_>],
    map: &Workbook,
) -> Result<String, Error> {
    let merges = sheet::merges(sheet.part, sheet.xml)?;
    let first = |cell| merges.first_of(cell);
    let mine: Vec<_> = targets.iter().filter(|target| target.sheet == sheet.name).collect();
    let labels: Vec<_> = map.labels.iter().filter(|label| label.sheet.get_ref() == sheet.name).collect();
    let mut wanted: BTreeSet<Cell> = BTreeSet::new();
    for target in &mine {
        let cell = first(target.cell);
        if !wanted.insert(cell) {
            return Err(Error::Merged { sheet: sheet.name.to_owned(), cell });
        }
    }
    wanted.extend(labels.iter().map(|label| first(label.cell)));
    let located = sheet::locate(sheet.part, sheet.xml, &wanted)?;
    let shared = book.shared(package, &located)?;
    for label in labels {
        let found = one_line(&located.text(first(label.cell), &shared));
        let expected = one_line(&label.text);
        if found != expected {
            let (sheet, cell) = (sheet.name.to_owned(), label.cell);
            return Err(Error::OtherVersion { sheet, cell, expected, found: excerpt(&found) });
        }
    }
    let mut texts = BTreeMap::new();
    for target in mine {
        let cell = first(target.cell);
        let found = located.text(cell, &shared);
        if !found.trim().is_empty() {
            return Err(Error::Occupied { sheet: sheet.name.to_owned(), cell, found: excerpt(&found) });
        }
        if let Some(text) = &target.text {
            texts.insert(cell, text.as_str());
        }
    }
    Ok(sheet::splice(sheet.xml, &located, &texts))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn excerpt(text: &str) -> String {
    text.chars().take(120).collect()
}
