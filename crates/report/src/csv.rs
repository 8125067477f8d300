//! CSV: which instances are there, as a table for other programs?
//!
//! One line an instance, in the form's columns, UTF-8 without a byte order mark, lines end with CR LF
//! (RFC 4180). A cell that a spreadsheet would take for a formula begins with an apostrophe.

use crate::model::Report;
use crate::value;

/// Writes the instances of a report. The first line names the form's columns.
///
/// # Errors
///
/// None in practice: it writes to memory.
pub fn render(report: &Report, form: &directive::form::Form) -> Result<String, csv::Error> {
    let questions = form.columns.iter().map(|column| format!("{} {}", column.label, column.question));
    let header = std::iter::once("Instance".to_owned()).chain(questions);
    let rows = report.form.rows.iter().map(|row| {
        let answers = row.answers.iter().map(|answer| answer.value.clone().unwrap_or_default());
        std::iter::once(row.instance.clone()).chain(answers).collect()
    });
    table(header.map(|title| title.trim_end().to_owned()).collect(), rows)
}

/// A table whose first line is `header`.
///
/// # Errors
///
/// None in practice: it writes to memory.
pub(crate) fn table(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in std::iter::once(header).chain(rows) {
        writer.write_record(row.iter().map(|cell| value::csv(cell)))?;
    }
    let bytes = writer.into_inner().map_err(|err| csv::Error::from(std::io::Error::from(err.error().kind())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
