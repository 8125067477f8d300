//! Problem: what is wrong with a file that a person wrote, and where exactly?
//!
//! Packs and scope files are written by hand under pressure. Every mistake is shown with file,
//! line and caret, all mistakes of a file at once, and with what to try.
//! Never reads the file itself.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it is named in the pack or on the command line.
    pub file: String,
    /// The bytes that are wrong; absent if something is missing altogether.
    pub span: Option<Range<usize>>,
    /// What is wrong: lower case, no period.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
    text: String,
}

impl Problem {
    /// A mistake at `span` of `text`.
    pub fn at(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            span: Some(span.start.min(text.len())..span.end.min(text.len())),
            message: message.into(),
            hint: None,
            text: text.to_owned(),
        }
    }

    /// A mistake that has no place: a missing file, for example.
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), span: None, message: message.into(), hint: None, text: String::new() }
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the TOML parser had to say.
    pub fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message().trim_end().replace('\n', ": ");
        match error.span() {
            Some(span) => Self::at(file, text, span, message),
            None => Self::whole(file, message),
        }
    }

    /// Line and column, both from 1, of the place.
    pub fn position(&self) -> Option<(usize, usize)> {
        let start = self.span.as_ref()?.start;
        let before = self.text.get(..start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Some((line, column))
    }
}

impl fmt::Display for Problem {
    /// The mistake with its line and a caret, without colour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = crate::text::escape(&self.message);
        let mut group = Group::with_title(Level::ERROR.primary_title(&message));
        if let Some(span) = &self.span {
            group = group.element(
                Snippet::source(&self.text).path(&self.file).annotation(AnnotationKind::Primary.span(span.clone())),
            );
        }
        let hint = self.hint.as_deref().map(crate::text::escape);
        if let Some(hint) = &hint {
            group = group.element(Level::HELP.message(hint));
        }
        let shown = Renderer::plain().render(&[group]).to_string();
        match &self.span {
            Some(_) => f.write_str(&shown),
            None => write!(f, "{shown}\n  --> {}", self.file),
        }
    }
}

/// Every mistake found in a pack or a scope file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
