//! HTML: the report as one page that needs nothing but itself.
//!
//! No script, no font, no picture from elsewhere: it is opened on machines without a network, and a
//! policy in the page forbids loading anything. Every value is escaped by the template engine.

use askama::Template;

use crate::filing::Filing;
use crate::model::Report;
use crate::view::{View, view};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    v: View<'a>,
}

/// Writes a report as a page, with who answers for it and who took it.
///
/// # Errors
///
/// None in practice: the template is compiled in.
pub fn render(report: &Report, filing: &Filing) -> Result<String, askama::Error> {
    Page { v: view(report, filing) }.render()
}
