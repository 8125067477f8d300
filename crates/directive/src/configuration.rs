//! Configuration: what is not as it was saved, line by line, and who can say why?
//!
//! Before an instance goes back into service its configuration is held against the one that was saved. Each line that
//! differs is explained by a person, with its number, or it is listed: an intruder's account looks like any other line.
//! The comparison itself is a library's, which stays fast on texts that were made to be slow.
//! Source: ED 21-03, Appendix A f.

use imara_diff::{Algorithm, Diff, InternedInput};

use crate::text::escape;

/// The largest configuration, in bytes.
pub const LARGEST: usize = 64 << 20;

/// A line that is not as it was saved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Its number, from one: in the saved text if it is gone, in the present one if it is new.
    pub number: usize,
    /// Whether it is new.
    pub is_new: bool,
    /// What it says, escaped.
    pub text: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}: {}", if self.is_new { '+' } else { '-' }, self.number, self.text)
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Lines that somebody explains, and how.
    pub explained: Vec<(Line, String)>,
    /// Lines that nobody explains.
    pub unexplained: Vec<Line>,
    /// Explanations of lines that are no changes: they belong to another comparison.
    pub unused: Vec<String>,
}

/// Compares two texts. `explained` has the lines as this module writes them, below lines `@ reason`; an empty reason is
/// none.
///
/// # Errors
///
/// If one is no text, or is larger than [`LARGEST`]: a packed or encrypted export has to be exported as text.
pub fn compare(saved: &[u8], now: &[u8], explained: &str) -> Result<Compared, String> {
    let mut explanations = explanations(explained)?;
    let (saved, now) = (text(saved, "saved")?, text(now, "present")?);
    let mut compared = Compared::default();
    for line in changes(saved, now) {
        let written = line.to_string();
        match explanations.iter().position(|(known, _)| *known == written) {
            Some(at) => {
                let (_, reason) = explanations.swap_remove(at);
                compared.explained.push((line, reason));
            }
            None => compared.unexplained.push(line),
        }
    }
    compared.unused = explanations.into_iter().map(|(line, _)| line).collect();
    Ok(compared)
}

fn text<'a>(bytes: &'a [u8], which: &str) -> Result<&'a str, String> {
    if bytes.len() > LARGEST {
        return Err(format!("the {which} configuration has more than {} MiB", LARGEST >> 20));
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| format!("the {which} configuration is no text: export it in a form that a person can read"))
}

fn changes(saved: &str, now: &str) -> Vec<Line> {
    let input = InternedInput::new(saved, now);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let mut lines = Vec::new();
    for hunk in diff.hunks() {
        for (is_new, range, tokens) in [(false, hunk.before, &input.before), (true, hunk.after, &input.after)] {
            for at in range {
                let at = at as usize;
                let said = tokens.get(at).map(|token| input.interner[*token]).unwrap_or_default();
                lines.push(Line { number: at + 1, is_new, text: escape(said.trim_end_matches(['\n', '\r'])) });
            }
        }
    }
    lines
}

/// Lines and their reasons.
fn explanations(text: &str) -> Result<Vec<(String, String)>, String> {
    if text.len() > LARGEST {
        return Err(format!("the explanations have more than {} MiB", LARGEST >> 20));
    }
    let (mut reason, mut found) = (String::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        match line.chars().next() {
            Some('@') => reason = line[1..].trim().to_owned(),
            Some('+' | '-') if !reason.is_empty() => found.push((line.to_owned(), reason.clone())),
            Some('+' | '-') => {
                return Err(format!("line {number} of the explanations has no reason above it: `@ why`"));
            }
            Some(_) if !line.trim().is_empty() => {
                return Err(format!("line {number} of the explanations is neither `@ why` nor a changed line"));
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "<user>alice</user>\n<admin>false</admin>\n<user>bob</user>\n<admin>false</admin>\n";

    #[test]
    fn a_line_that_an_intruder_added_is_listed_with_its_number() {
        let now = SAVED.replace("<user>bob", "<user>eve</user>\n<user>bob");
        let compared = compare(SAVED.as_bytes(), now.as_bytes(), "").unwrap();
        let lines: Vec<String> = compared.unexplained.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["+3: <user>eve</user>"]);
        assert_eq!(compare(SAVED.as_bytes(), SAVED.as_bytes(), "").unwrap(), Compared::default());
    }

    #[test]
    fn an_explanation_counts_for_that_line_at_that_place_and_no_other() {
        let now = "<user>alice</user>\n<admin>true</admin>\n<user>bob</user>\n<admin>true</admin>\n";
        let reasons = "@ alice leads the team now\n-2: <admin>false</admin>\n+2: <admin>true</admin>\n";
        let compared = compare(SAVED.as_bytes(), now.as_bytes(), reasons).unwrap();
        assert_eq!(compared.explained.len(), 2);
        let left: Vec<String> = compared.unexplained.iter().map(ToString::to_string).collect();
        assert_eq!(left, ["-4: <admin>false</admin>", "+4: <admin>true</admin>"]);
        let stale = compare(SAVED.as_bytes(), SAVED.as_bytes(), reasons).unwrap();
        assert_eq!(stale.unused.len(), 2);
    }

    #[test]
    fn an_explanation_without_a_reason_and_a_packed_export_are_refused() {
        let wrong = |explained: &str| compare(SAVED.as_bytes(), b"", explained).unwrap_err();
        assert!(wrong("-1: <user>alice</user>\n").contains("no reason"));
        assert!(wrong("@\n-1: <user>alice</user>\n").contains("no reason"));
        assert!(wrong("why not\n").contains("neither"));
        assert!(compare(b"\x1f\x8b\0", b"", "").unwrap_err().contains("no text"));
    }

    #[test]
    fn a_control_character_cannot_hide_a_line() {
        let compared = compare(b"", b"<user>eve</user>\x1b[2K\r\n", "").unwrap();
        assert!(!compared.unexplained[0].to_string().chars().any(char::is_control));
    }
}
