//! Lines: how are words put into lines of a width?

use std::fmt::Write as _;

use textwrap::Options;

/// A text that is written line by line.
pub(crate) struct Lines {
    text: String,
    width: usize,
}

impl Lines {
    /// No narrower than forty columns: below that, every other word would break.
    pub(crate) fn new(width: usize) -> Self {
        Self { text: String::new(), width: width.max(40) }
    }

    /// A paragraph, every line of it indented.
    pub(crate) fn line(&mut self, indent: usize, text: &str) {
        let first = " ".repeat(indent);
        let options = Options::new(self.width).initial_indent(&first).subsequent_indent(&first);
        for line in textwrap::wrap(text, options) {
            // Writing into a `String` cannot fail.
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}
