//! Workbook: where in the authority's own workbook does each answer go?
//!
//! The `[workbook]` table of a pack's `report.toml`: which file the authority publishes, which words
//! must stand in it so that another version of it is recognised as such, and the cell of every
//! question. Cell references become types here; `report` puts the answers there.
//! Source: ECMA-376 part 1, section 18.3.1.4 (cells) and 18.18.62 (references).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::form::{Field, Form};

/// The map from a form to the cells of the workbook that the authority publishes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workbook {
    /// The name under which the authority publishes the file.
    pub file: Spanned<String>,
    /// SHA-256 of the published files that were seen, in hex. Another file is not refused for that.
    #[serde(default)]
    pub sha256: Vec<Spanned<String>>,
    /// What must stand in the file: another version of the form is recognised by this.
    #[serde(rename = "label")]
    pub labels: Vec<Label>,
    /// Where the answers go that are given once, by the question's id.
    #[serde(default)]
    pub fields: BTreeMap<Spanned<String>, Place>,
    /// Where the instances go.
    pub rows: Option<Rows>,
}

/// Words that the form has in one cell. White space counts as one space.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Label {
    /// The sheet.
    pub sheet: Spanned<String>,
    /// The cell.
    pub cell: Cell,
    /// What it says.
    pub text: String,
}

/// A cell of a sheet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Place {
    /// The sheet.
    pub sheet: Spanned<String>,
    /// The cell; inside merged cells, the value goes to the first of them.
    pub cell: Cell,
}

/// The part of a sheet that holds one instance a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rows {
    /// The sheet.
    pub sheet: Spanned<String>,
    /// The first row, counted from 1 as spreadsheets do.
    pub first: Spanned<u32>,
    /// The last row.
    pub last: u32,
    /// Which column each question has, by the question's id.
    pub columns: BTreeMap<Spanned<String>, Column>,
}

impl Rows {
    /// How many instances there is room for.
    pub fn room(&self) -> usize {
        (u64::from(self.last) + 1).saturating_sub(u64::from(*self.first.get_ref())) as usize
    }
}

/// A cell by row and column, such as `D7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The row, from 1. First, so that cells order as a sheet holds them.
    pub row: u32,
    /// The column.
    pub column: Column,
}

/// A column, from 1 for `A` to 16384 for `XFD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(u16);

impl Column {
    /// The last one.
    pub const LAST: Self = Self(16_384);

    /// The column of that number, from 1.
    pub fn new(number: u32) -> Option<Self> {
        u16::try_from(number).ok().map(Self).filter(|column| (Self(1)..=Self::LAST).contains(column))
    }

    /// Its number, from 1.
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }
}

impl Cell {
    /// The last row of a sheet.
    pub const LAST_ROW: u32 = 1_048_576;
}

/// A text that names no cell or column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no {1}")]
pub struct NotACell(String, &'static str);

impl FromStr for Column {
    type Err = NotACell;

    fn from_str(text: &str) -> Result<Self, NotACell> {
        let wrong = || NotACell(text.to_owned(), "column: expected letters such as B or AA, at most XFD");
        if text.is_empty() || text.len() > 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let number = text.bytes().fold(0, |number, byte| number * 26 + u32::from(byte - b'A') + 1);
        Self::new(number).ok_or_else(wrong)
    }
}

impl FromStr for Cell {
    type Err = NotACell;

    fn from_str(text: &str) -> Result<Self, NotACell> {
        let wrong = || NotACell(text.to_owned(), "cell: expected a column and a row, such as D7");
        let digits = text.find(|c: char| c.is_ascii_digit()).ok_or_else(wrong)?;
        let (column, row) = text.split_at(digits);
        if row.starts_with('0') || !row.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let row = row.parse().ok().filter(|row| *row <= Self::LAST_ROW).ok_or_else(wrong)?;
        Ok(Self { row, column: column.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = Vec::new();
        let mut rest = self.0;
        while rest > 0 {
            letters.push(char::from(b'A' + ((rest - 1) % 26) as u8));
            rest = (rest - 1) / 26;
        }
        letters.iter().rev().try_for_each(|letter| write!(f, "{letter}"))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.column, self.row)
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A mistake in the map: place in `report.toml`, what is wrong, what to try.
pub(crate) type Mistake = (Range<usize>, String, &'static str);

/// What the map of a form says wrongly.
pub(crate) fn mistakes(form: &Form) -> Vec<Mistake> {
    let Some(workbook) = &form.workbook else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let file = &workbook.file;
    if workbook.labels.is_empty() {
        let message = "nothing says by which words the workbook is recognised".to_owned();
        found.push((file.span(), message, "add [[workbook.label]] with sheet, cell and text"));
    }
    for digest in &workbook.sha256 {
        let text = digest.get_ref();
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            found.push((digest.span(), format!("{text:?} is no SHA-256"), "64 lower-case hexadecimal digits"));
        }
    }
    let labels = workbook.labels.iter().map(|label| &label.sheet);
    let places = workbook.fields.values().map(|place| &place.sheet);
    for sheet in labels.chain(places).chain(workbook.rows.iter().map(|rows| &rows.sheet)) {
        if sheet.get_ref().trim().is_empty() {
            found.push((sheet.span(), "a sheet has no name".to_owned(), "write the name on the sheet's tab"));
        }
    }
    unknown(&form.fields, workbook.fields.keys(), "field", &mut found);
    let mut taken = BTreeSet::new();
    for (id, place) in &workbook.fields {
        if !taken.insert((place.sheet.get_ref(), place.cell)) {
            let message = format!("two answers would go to cell {}", place.cell);
            found.push((id.span(), message, "each question has a cell of its own"));
        }
    }
    if let Some(rows) = &workbook.rows {
        of_rows(form, rows, &mut found);
    }
    found
}

fn of_rows(form: &Form, rows: &Rows, found: &mut Vec<Mistake>) {
    unknown(&form.columns, rows.columns.keys(), "column", found);
    let mut taken = BTreeSet::new();
    for (id, column) in &rows.columns {
        if !taken.insert(column) {
            found.push((id.span(), format!("two answers would go to column {column}"), "each question has its own"));
        }
    }
    let first = *rows.first.get_ref();
    if first == 0 || rows.last < first || rows.last > Cell::LAST_ROW {
        let message = format!("rows {first} to {} are no part of a sheet", rows.last);
        found.push((rows.first.span(), message, "rows count from 1; the last is not before the first"));
    } else if form.most_rows.is_some_and(|most| most != rows.room()) {
        let message = format!(
            "rows {first} to {} are {} instances, and most-rows says {}",
            rows.last,
            rows.room(),
            form.most_rows.unwrap_or_default()
        );
        found.push((rows.first.span(), message, "make the two agree"));
    }
}

fn unknown<'a>(
    questions: &[Field],
    named: impl Iterator<Item = &'a Spanned<String>>,
    kind: &str,
    found: &mut Vec<Mistake>,
) {
    for id in named {
        if !questions.iter().any(|field| field.id.get_ref() == id.get_ref()) {
            let message = format!("the form has no {kind} {:?}", id.get_ref());
            found.push((id.span(), message, "use the id of a question of this form"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_reads_back_as_it_is_written() {
        for text in ["A1", "D7", "Z9", "AA10", "AZ52", "BA53", "XFD1048576"] {
            assert_eq!(text.parse::<Cell>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_cell_is_refused() {
        for text in ["", "7", "D", "D0", "D07", "d7", "XFE1", "A1048577", "AAAA1", "A1B", "$A$1", "Ä1", "A-1", "A١"] {
            assert!(text.parse::<Cell>().is_err(), "{text:?}");
        }
    }
}
