//! What do we tell the authority?
//!
//! [`Report::build`] adds up a case under one pack: what was counted, checked and found, what is
//! owed, and the authority's form with every value that the case can prove. A value that nobody
//! knows stays empty and is listed. [`text`], [`html`], [`json`], [`csv`] and [`workbook`] put the same
//! report in different forms; [`stix`], [`csaf`] and [`incident`] hand it to other programs and to whoever answers for
//! incidents; [`traces`] writes its timeline and its list of accounts. What people read says too who answers for the
//! report and who took it ([`filing`]). The same case and time give the same bytes.
//! Never invents a value, never reads a clock, never touches a file.

mod changed;
mod chart;
mod cpe;
pub mod csaf;
pub mod csv;
pub mod filing;
mod fill;
pub mod handover;
pub mod html;
pub mod incident;
mod lines;
mod model;
pub mod stix;
pub mod text;
mod tlp;
pub mod traces;
mod value;
pub mod view;
mod words;
pub mod workbook;

pub use changed::changed;
pub use directive::answers::Broken;
pub use fill::{Answer, Filled, Row};
pub use model::{Built, InstanceReport, Report, ReportDuty};
pub use words::dwell;

/// Puts a report in JSON, as the value behind the other forms. Ends with a newline.
///
/// # Errors
///
/// None in practice: every part of a report can be serialised.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}
