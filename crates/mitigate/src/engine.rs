//! Engine: how does one abstract rule become the strongest thing that a proxy can say?
//!
//! One file an engine. Each takes [`Rule`] and gives text; none touches anything. What an engine cannot say is a note
//! for the person who approves, never a silent loss.

pub mod haproxy;
pub mod modsecurity;
pub mod nginx;
pub mod suricata;

use directive::workaround::Workaround;

/// What is refused, for every engine.
#[derive(Debug, Clone)]
pub struct Rule<'a> {
    /// The directive's id.
    pub pack: &'a str,
    /// The rule of its pack.
    pub workaround: &'a Workaround,
}

impl Rule<'_> {
    /// What a refusal says, so that it cannot be taken for an answer of the product.
    pub fn marker(&self) -> String {
        format!("refused by workaround {}/{}", self.pack, self.workaround.id.get_ref())
    }

    /// A word for files and variables: `ed_21_03_2104`.
    pub fn word(&self) -> String {
        let name = format!("{}-{}", self.pack, self.workaround.id.get_ref());
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    }

    /// What is refused, as the pack lists it.
    pub fn blocked(&self) -> Vec<directive::workaround::Blocked> {
        self.workaround.blocked.iter().map(|blocked| blocked.get_ref().clone()).collect()
    }

    /// Headers that nobody may send.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.workaround.headers.iter().map(|header| header.get_ref().as_str())
    }
}

/// Text to insert at a place of a file, as an offset in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertion {
    /// Where.
    pub at: usize,
    /// Whole lines.
    pub text: String,
}

/// Puts insertions into a text, and says which lines are new: `+12: include ..`.
pub fn insert(text: &str, mut insertions: Vec<Insertion>) -> (String, String) {
    insertions.sort_by_key(|insertion| insertion.at);
    let mut out = String::with_capacity(text.len());
    let mut difference = String::new();
    let mut done = 0;
    for Insertion { at, text: new } in insertions {
        out.push_str(&text[done..at]);
        let first = out.matches('\n').count() + 1;
        for (n, line) in new.lines().enumerate() {
            if !line.trim().is_empty() {
                let short: String = line.trim().chars().take(100).collect();
                difference.push_str(&format!("+{}: {short}\n", first + n));
            }
        }
        out.push_str(&new);
        done = at;
    }
    out.push_str(&text[done..]);
    (out, difference)
}
