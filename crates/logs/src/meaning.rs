//! Meaning: what does a line or a code say happened, and who did it?
//!
//! A table of data, `data/meaning.toml`, and more rows of the same shape from packs. Nothing about a product
//! stands in code. Mistakes in a table are shown with file, line and caret.
//! Source: of each row, beside it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use directive::pattern::Pattern;
use directive::problem::{Problem, Problems};
use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use crate::clock::Zone;
use crate::codes::{self, Code};
use crate::event::{Action, Event};

/// What lines and codes mean.
#[derive(Debug, Clone, Default)]
pub struct Meaning {
    /// By program, in the order of the table: the first row that matches counts.
    lines: HashMap<String, Vec<LineRow>>,
    codes: HashMap<String, CodeRow>,
}

/// What every parser needs to know.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) zone: Zone,
    pub(crate) meaning: Arc<Meaning>,
}

impl Default for Context {
    fn default() -> Self {
        Self { zone: Zone::new(None, Timestamp::UNIX_EPOCH), meaning: Meaning::built_in() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    #[serde(default, rename = "line")]
    lines: Vec<LineRow>,
    #[serde(default, rename = "code")]
    codes: Vec<CodeRow>,
}

/// A line of a program: `pattern` says what it looks like; its groups `user`, `realm` and `address` say who did
/// it from where, and every other named group becomes a field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LineRow {
    program: Programs,
    pattern: Pattern,
    action: Action,
    /// Where the row comes from.
    #[serde(rename = "source")]
    _source: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Programs {
    One(String),
    Many(Vec<String>),
}

/// An event code of a vendor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CodeRow {
    code: Spanned<String>,
    action: Action,
    /// What its message looks like, with the same groups.
    pattern: Option<Pattern>,
    #[serde(rename = "source")]
    _source: Option<String>,
}

static BUILT_IN: LazyLock<Arc<Meaning>> = LazyLock::new(|| {
    let table = Meaning::default().with("meaning.toml", include_str!("../data/meaning.toml"));
    // A test reads the same table and says what is wrong with it.
    Arc::new(table.unwrap_or_default())
});

impl Meaning {
    /// The table that comes with the product.
    pub fn built_in() -> Arc<Self> {
        Arc::clone(&BUILT_IN)
    }

    /// Adds the rows of a pack, which go before those that are there.
    ///
    /// # Errors
    ///
    /// Every mistake of the text, with its place. `file` is the name to show.
    pub fn with(mut self, file: &str, text: &str) -> Result<Self, Problems> {
        let table: Table = toml::from_str(text).map_err(|err| Problem::from_toml(file, text, &err))?;
        let mut problems = Vec::new();
        let mut lines: HashMap<String, Vec<LineRow>> = HashMap::new();
        for row in table.lines {
            let programs = match &row.program {
                Programs::One(program) => vec![program.clone()],
                Programs::Many(programs) => programs.clone(),
            };
            for program in programs {
                lines.entry(program).or_default().push(row.clone());
            }
        }
        for (program, mut rows) in lines {
            let entry = self.lines.entry(program).or_default();
            rows.append(entry);
            *entry = rows;
        }
        let mut told = HashMap::new();
        for row in table.codes {
            let (code, span) = (row.code.get_ref().clone(), row.code.span());
            if told.insert(code.clone(), row).is_some() {
                let problem = Problem::at(file, text, span, format!("code {code} has two rows"));
                problems.push(problem.hint("keep the one that says more"));
            }
        }
        self.codes.extend(told);
        if problems.is_empty() { Ok(self) } else { Err(Problems(problems)) }
    }

    /// Says what a line of a program means. `false` if no row knows it.
    pub(crate) fn line(&self, program: &str, message: &str, event: &mut Event) -> bool {
        let Some(rows) = self.lines.get(program) else { return false };
        rows.iter().any(|row| apply(&row.pattern, row.action, message, event))
    }

    /// Says what the event's code means; the code of a message that names none is told from its words.
    pub(crate) fn code(&self, message: &str, event: &mut Event) {
        if let Some(code) = event.code.clone() {
            if let Some(row) = self.codes.get(&code) {
                event.action = row.action;
                if let Some(pattern) = &row.pattern {
                    apply(pattern, row.action, message, event);
                }
            }
            return self.fill(&codes::find(&code), message, event);
        }
        let by_row = |(code, row): (&String, &CodeRow)| {
            row.pattern.as_ref().is_some_and(|pattern| pattern.is_match(message)).then(|| code.clone())
        };
        let mut rows: Vec<String> = self.codes.iter().filter_map(by_row).collect();
        let templates: Vec<&Code> = if rows.is_empty() { codes::derive(message) } else { Vec::new() };
        rows.extend(templates.iter().map(|code| code.code.to_owned()));
        match rows.as_slice() {
            [] => {}
            [code] => {
                event.code = Some(code.clone());
                self.code(message, event);
            }
            // Several codes have these very words. What is known of them is what it means, if they agree.
            codes => {
                let action = |code: &String| self.codes.get(code).map(|row| row.action);
                let mut actions: Vec<Action> = codes.iter().filter_map(action).collect();
                actions.dedup();
                if let [all] = actions.as_slice() {
                    event.action = *all;
                }
                self.fill(&templates.first().copied(), message, event);
            }
        }
    }

    /// Who and from where, by the template of the code, where nothing better is known.
    fn fill(&self, code: &Option<&Code>, message: &str, event: &mut Event) {
        let Some(code) = code else { return };
        let (user, realm, address) = code.people(message);
        if let (None, Some(user)) = (&event.actor, &user) {
            event.by(user, realm.as_deref());
        }
        if let (None, Some(address)) = (event.address, &address) {
            event.from(address);
        }
    }
}

/// Matches one row and takes what its groups say.
fn apply(pattern: &Pattern, action: Action, message: &str, event: &mut Event) -> bool {
    let Some(found) = pattern.captures(message) else { return false };
    event.action = action;
    let realm = found.name("realm").map(|realm| realm.as_str());
    if let Some(user) = found.name("user").filter(|_| event.actor.is_none()) {
        event.by(user.as_str(), realm);
    }
    if let Some(address) = found.name("address") {
        event.from(address.as_str());
    }
    for name in pattern.capture_names().flatten() {
        if let Some(value) = found.name(name) {
            event.tell(name, value.as_str());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_comes_with_the_product_has_no_mistakes() {
        let text = include_str!("../data/meaning.toml");
        if let Err(problems) = Meaning::default().with("meaning.toml", text) {
            panic!("{problems}");
        }
    }

    #[test]
    fn a_mistake_in_a_pack_is_shown_with_its_line() {
        let text = "[[line]]\nprogram = 'sshd'\npattern = '('\naction = 'login'\n";
        let problems = Meaning::default().with("meaning.toml", text).unwrap_err();
        assert_eq!(problems.0[0].position().map(|(line, _)| line), Some(3), "{problems}");
        let text = "[[code]]\ncode = 'X1'\naction = 'login'\n[[code]]\ncode = 'X1'\naction = 'logout'\n";
        let problems = Meaning::default().with("meaning.toml", text).unwrap_err();
        assert!(problems.to_string().contains("two rows"), "{problems}");
    }

    #[test]
    fn a_row_of_a_pack_goes_before_the_one_that_is_there() {
        let text = "[[line]]\nprogram = 'sshd'\npattern = '^Accepted (?<method>\\S+)'\naction = 'crash'\n";
        let meaning = Meaning::clone(&Meaning::built_in()).with("meaning.toml", text).unwrap();
        let mut event = Event::default();
        assert!(meaning.line("sshd", "Accepted password for root from 192.0.2.1 port 1 ssh2", &mut event));
        assert_eq!((event.action, event.field("method")), (Action::Crash, Some("password")));
    }
}
