//! Own: which workbook does a team get where the authority publishes none, or has not sent it yet?
//!
//! The same answers as the form, with what a workbook is good at: a table that filters, lists of the
//! allowed answers, headings that stay in sight. Every cell is a text. Its one time is the report's.

use std::collections::BTreeMap;

use directive::form::{Field, Form};
use rust_xlsxwriter::{
    Color, DataValidation, DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Formula,
    Workbook as Writer, Worksheet, XlsxError,
};

use super::{Error, Made, value_of};
use crate::fill::Answer;
use crate::model::Report;
use crate::{value, words};

/// The last row of a sheet, from 0.
const LAST_ROW: u32 = 1_048_575;

/// The height of a line of text, and the most that a row may have, in points.
const LINE: f64 = 15.0;
const HIGHEST: f64 = 409.0;

/// Puts a report in a workbook of our own.
///
/// # Errors
///
/// More instances than a sheet has rows.
pub fn own(report: &Report, form: &Form) -> Result<Made, Error> {
    let mut book = Book {
        writer: Writer::new(),
        styles: Styles::new(),
        lists: lists(form),
        made: Made { bytes: Vec::new(), empty: Vec::new(), cut: Vec::new() },
    };
    match book.write(report, form) {
        Ok(bytes) => Ok(Made { bytes, ..book.made }),
        Err(source) => Err(Error::Own { source }),
    }
}

struct Book {
    writer: Writer,
    styles: Styles,
    /// The lists of allowed answers, by question: each a column of the sheet of lists.
    lists: BTreeMap<String, (u16, Vec<String>)>,
    made: Made,
}

struct Styles {
    title: Format,
    heading: Format,
    cell: Format,
    wanted: Format,
}

impl Styles {
    fn new() -> Self {
        let cell = Format::new()
            .set_text_wrap()
            .set_align(FormatAlign::Top)
            .set_border(FormatBorder::Thin)
            .set_border_color(Color::RGB(0x00BF_BFBF))
            // A number format of text: a value that a person edits stays a text.
            .set_num_format("@");
        Self {
            title: Format::new().set_bold().set_font_size(14),
            heading: cell.clone().set_bold().set_background_color(Color::RGB(0x00DD_E6F0)),
            wanted: cell.clone().set_background_color(Color::RGB(0x00FF_F4CC)),
            cell,
        }
    }
}

fn lists(form: &Form) -> BTreeMap<String, (u16, Vec<String>)> {
    let questions = form.fields.iter().chain(&form.columns).filter(|field| !field.choices.is_empty());
    let numbered = (0_u16..).zip(questions);
    numbered.map(|(column, field)| (field.id.get_ref().clone(), (column, field.choices.clone()))).collect()
}

impl Book {
    fn write(&mut self, report: &Report, form: &Form) -> Result<Vec<u8>, XlsxError> {
        let made = ExcelDateTime::from_timestamp(report.at.as_second())?;
        let properties = DocProperties::new()
            .set_title(value::cell(&report.form.title).text)
            .set_author(value::cell(&report.organisation).text)
            .set_comment(&report.tool)
            .set_creation_datetime(&made);
        self.writer.set_properties(&properties);
        self.status(report, form)?;
        self.inventory(report, form)?;
        self.missing(report)?;
        self.duties(report)?;
        self.choices()?;
        self.writer.save_to_buffer()
    }

    /// A sheet with columns of these widths, a heading row, and the rows above it kept in sight.
    fn sheet(&mut self, name: &str, heading_row: u32, headings: &[(String, f64)]) -> Result<Worksheet, XlsxError> {
        let mut sheet = Worksheet::new();
        sheet.set_name(name)?;
        for (column, (heading, width)) in (0_u16..).zip(headings) {
            sheet.set_column_width(column, *width)?;
            sheet.write_string_with_format(heading_row, column, value::cell(heading).text, &self.styles.heading)?;
        }
        high_enough(&mut sheet, heading_row, headings.iter().map(|(heading, width)| (heading.as_str(), *width)))?;
        sheet.set_freeze_panes(heading_row + 1, 0)?;
        sheet.set_landscape();
        sheet.set_print_fit_to_pages(1, 0);
        sheet.set_repeat_rows(heading_row, heading_row)?;
        Ok(sheet)
    }

    fn status(&mut self, report: &Report, form: &Form) -> Result<(), XlsxError> {
        let headings = [("Question", 16.0), ("", 60.0), ("Answer", 60.0), ("Proved by records", 40.0)];
        let about = [
            ("Organisation", report.organisation.clone()),
            ("Directive", format!("{}  {}", report.pack.id, report.title)),
            ("As of", words::moment(report.at, &report.zone)),
            ("Exercise", if report.exercise { "every time is exercise time".to_owned() } else { String::new() }),
            ("Submit to", report.form.submit_to.clone()),
            ("Handling", report.form.caveat.clone()),
            ("Case", format!("{} records, the last with hash {}", report.records, report.head)),
            ("Pack", format!("{} with SHA-256 {}", report.pack.id, report.pack.sha256)),
            ("Made by", report.tool.clone()),
        ];
        let about: Vec<_> = about.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let heading_row = about.len() as u32 + 2;
        let widths = headings.map(|(_, width)| width);
        let headings = headings.map(|(heading, width)| (heading.to_owned(), width));
        let mut sheet = self.sheet("Status", heading_row, &headings)?;
        let title = format!("{}, version {}", report.form.title, report.form.version);
        sheet.write_string_with_format(0, 0, value::cell(&title).text, &self.styles.title)?;
        for (row, (name, text)) in (1..).zip(&about) {
            sheet.write_string_with_format(row, 0, *name, &self.styles.heading)?;
            let text = value::cell(text).text;
            sheet.merge_range(row, 1, row, 3, &text, &self.styles.cell)?;
            high_enough(&mut sheet, row, [(text.as_str(), widths[1..].iter().sum())])?;
        }
        for (row, answer) in (heading_row + 1..).zip(&report.form.fields) {
            sheet.write_string_with_format(row, 0, value::cell(&answer.label).text, &self.styles.cell)?;
            sheet.write_string_with_format(row, 1, value::cell(&answer.question).text, &self.styles.cell)?;
            self.answer(&mut sheet, row, 2, answer, None)?;
            sheet.write_string_with_format(row, 3, answer.records.join("\n"), &self.styles.cell)?;
            self.list(&mut sheet, &answer.id, 2, row, row)?;
            let value = answer.value.as_deref().unwrap_or_default();
            let texts = [answer.label.as_str(), &answer.question, value, &answer.records.join("\n")];
            high_enough(&mut sheet, row, texts.into_iter().zip(widths))?;
        }
        debug_assert_eq!(form.fields.len(), report.form.fields.len());
        self.writer.push_worksheet(sheet);
        Ok(())
    }

    fn inventory(&mut self, report: &Report, form: &Form) -> Result<(), XlsxError> {
        let mut headings = vec![("Instance".to_owned(), 18.0)];
        headings.extend(form.columns.iter().map(heading));
        let mut sheet = self.sheet("Inventory", 0, &headings)?;
        // The names of instances stay in sight too, and the print is not too small to be read.
        sheet.set_freeze_panes(1, 1)?;
        sheet.set_repeat_columns(0, 0)?;
        sheet.set_print_fit_to_pages(3, 0);
        for (row, of) in (1..).zip(&report.form.rows) {
            sheet.write_string_with_format(row, 0, value::cell(&of.instance).text, &self.styles.cell)?;
            for (column, answer) in (1..).zip(&of.answers) {
                self.answer(&mut sheet, row, column, answer, Some(&of.instance))?;
            }
            let values = of.answers.iter().map(|answer| answer.value.as_deref().unwrap_or_default());
            let texts = std::iter::once(of.instance.as_str()).chain(values);
            high_enough(&mut sheet, row, texts.zip(headings.iter().map(|(_, width)| *width)))?;
        }
        let last = u32::try_from(report.form.rows.len()).unwrap_or(LAST_ROW).clamp(1, LAST_ROW);
        for (column, field) in (1..).zip(&form.columns) {
            self.list(&mut sheet, field.id.get_ref(), column, 1, last)?;
        }
        sheet.autofilter(0, 0, last, form.columns.len() as u16)?;
        self.writer.push_worksheet(sheet);
        Ok(())
    }

    fn missing(&mut self, report: &Report) -> Result<(), XlsxError> {
        let headings = [("Kind", 16.0), ("Instance", 24.0), ("What", 110.0)];
        let widths = headings.map(|(_, width)| width);
        let mut sheet = self.sheet("Missing and rules", 0, &headings.map(|(name, width)| (name.to_owned(), width)))?;
        let missing = report.form.missing.iter().map(|missing| ("missing", "", missing.clone()));
        let broken = report.form.broken.iter().map(|broken| {
            ("rule", broken.instance.as_deref().unwrap_or_default(), format!("{}: {}", broken.rule, broken.text))
        });
        for (row, (kind, instance, what)) in (1..).zip(missing.chain(broken)) {
            self.texts(&mut sheet, row, &widths, &[kind, instance, &what])?;
        }
        self.writer.push_worksheet(sheet);
        Ok(())
    }

    fn duties(&mut self, report: &Report) -> Result<(), XlsxError> {
        let headings = [
            ("Action", 26.0),
            ("Instance", 18.0),
            ("What", 50.0),
            ("Due", 36.0),
            ("State", 12.0),
            ("Waits for", 14.0),
            ("Why", 60.0),
        ];
        let widths = headings.map(|(_, width)| width);
        let mut sheet = self.sheet("Duties", 0, &headings.map(|(name, width)| (name.to_owned(), width)))?;
        for (row, duty) in (1..).zip(&report.duties) {
            let due = duty.due.map(|due| words::moment(due, &report.zone)).unwrap_or_default();
            let state = match (duty.done, duty.late) {
                (true, _) => "done",
                (false, true) => "LATE",
                (false, false) => "open",
            };
            let instance = duty.instance.as_deref().unwrap_or_default();
            let waits = words::waits_for(duty.waits_for);
            let texts = [&duty.action, instance, &duty.title, &due, state, waits, &duty.why];
            self.texts(&mut sheet, row, &widths, &texts)?;
        }
        self.writer.push_worksheet(sheet);
        Ok(())
    }

    /// The sheet of allowed answers, hidden: a list of more than 255 characters stands nowhere else.
    fn choices(&mut self) -> Result<(), XlsxError> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let mut sheet = Worksheet::new();
        sheet.set_name("Choices")?;
        for (column, choices) in self.lists.values() {
            for (row, choice) in (0..).zip(choices) {
                sheet.write_string(row, *column, value::cell(choice).text)?;
            }
        }
        sheet.set_hidden(true);
        self.writer.push_worksheet(sheet);
        Ok(())
    }

    fn texts(&self, sheet: &mut Worksheet, row: u32, widths: &[f64], texts: &[&str]) -> Result<(), XlsxError> {
        for (column, text) in (0_u16..).zip(texts) {
            sheet.write_string_with_format(row, column, value::cell(text).text, &self.styles.cell)?;
        }
        high_enough(sheet, row, texts.iter().copied().zip(widths.iter().copied()))
    }

    fn answer(
        &mut self,
        sheet: &mut Worksheet,
        row: u32,
        column: u16,
        answer: &Answer,
        instance: Option<&str>,
    ) -> Result<(), XlsxError> {
        let style = if answer.required && answer.value.is_none() { &self.styles.wanted } else { &self.styles.cell };
        match value_of(answer, instance, &mut self.made) {
            Some(text) => sheet.write_string_with_format(row, column, text, style)?,
            None => sheet.write_blank(row, column, style)?,
        };
        Ok(())
    }

    /// Offers the allowed answers of a question in a part of a column.
    fn list(&self, sheet: &mut Worksheet, id: &str, column: u16, first: u32, last: u32) -> Result<(), XlsxError> {
        let Some((list, choices)) = self.lists.get(id) else {
            return Ok(());
        };
        let letter = directive::workbook::Column::new(u32::from(*list) + 1);
        let Some(letter) = letter else {
            return Ok(());
        };
        let source = Formula::new(format!("=Choices!${letter}$1:${letter}${}", choices.len()));
        sheet.add_data_validation(first, column, last, column, &DataValidation::new().allow_list_formula(source))?;
        Ok(())
    }
}

/// Makes a row high enough for its texts: not every program does so when it opens a workbook.
fn high_enough<'a>(
    sheet: &mut Worksheet,
    row: u32,
    texts: impl IntoIterator<Item = (&'a str, f64)>,
) -> Result<(), XlsxError> {
    let lines_of = |text: &str, width: f64| -> f64 {
        // Words leave a line before it is full.
        let room = (width * 0.85).max(1.0);
        text.split('\n').map(|line| (textwrap::core::display_width(line) as f64 / room).ceil().max(1.0)).sum()
    };
    let lines = texts.into_iter().map(|(text, width)| lines_of(text, width)).fold(1.0, f64::max);
    if lines > 1.0 {
        sheet.set_row_height(row, (lines * LINE).min(HIGHEST))?;
    }
    Ok(())
}

fn heading(field: &Field) -> (String, f64) {
    let text = format!("{} {}", field.label, field.question).trim_end().to_owned();
    let width = if field.choices.is_empty() { 22.0 } else { 30.0 };
    (text, width)
}
