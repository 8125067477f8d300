//! What does the report look like on paper?
//!
//! [`render`] sets a report on pages: the same words in the same order as the page in HTML, with tables that repeat
//! their head on each sheet, the timeline as a picture, and tags for screen readers (PDF/UA-1, and PDF/A-2a for the
//! archive). The same report and fonts give the same bytes. A crate of its own, since nothing else needs fonts and a
//! writer of PDF. Laid out by hand from library parts: a whole typesetter takes seventeen minutes of CPU to build
//! where these take four, and a second and a half for a thousand rows.
//! Source: ISO 14289-1 (PDF/UA-1), ISO 19005-2 (PDF/A-2).

mod document;
mod fonts;
mod paper;
mod picture;
mod style;
mod table;
mod tree;

use report::Report;
use report::filing::Filing;

/// Settings of a rendering.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Further fonts (TrueType or OpenType), for scripts that the built-in ones lack. The built-in ones know Latin,
    /// Greek, Cyrillic, Armenian, Georgian, Hebrew and Arabic.
    pub fonts: Vec<Vec<u8>>,
}

/// A report on pages.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The file.
    pub bytes: Vec<u8>,
    /// How many pages it has.
    pub pages: usize,
    /// Characters that no font has; they are written as `\u{4e2d}`.
    pub missing: Vec<char>,
    /// Whether the writer holds it to be PDF/A-2a and PDF/UA-1. If not, it is an ordinary PDF with the same tags.
    pub archival: bool,
}

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A font that the caller gave is none.
    #[error("font {0} is neither TrueType nor OpenType")]
    Font(usize),
    /// The writer gave up.
    #[error("the PDF cannot be written: {0}")]
    Write(String),
}

/// Sets a report on pages of A4, with who answers for it and who took it.
///
/// # Errors
///
/// [`Error::Font`] for a font that cannot be read, counted from one; [`Error::Write`] if the writer gives up.
pub fn render(report: &Report, filing: &Filing, options: &Options) -> Result<Rendered, Error> {
    // What an instance calls itself may hold what an archive forbids. The report is written all the same.
    match document::set(report, filing, options, true) {
        Err(Error::Write(_)) => document::set(report, filing, options, false),
        done => done,
    }
}
