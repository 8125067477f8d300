//! References: does what one file of a pack names exist in the others?
//!
//! Actions, documents, marks and columns are named across files. Each name that leads nowhere is a mistake with its
//! place.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use toml::Spanned;

use super::Files;
use crate::action::{Directive, Does, Each};
use crate::deadline::Holidays;
use crate::example::Examples;
use crate::form::Form;
use crate::problem::Problem;

/// Checks what the files of a pack say about each other.
pub(super) struct References<'a> {
    pub(super) place: &'a str,
    pub(super) files: &'a Files,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl References<'_> {
    /// The zone of its days and its holidays, if both are known.
    pub(super) fn check(
        &mut self,
        directive: &Directive,
        form: &Form,
        expected: &Examples,
    ) -> Option<(TimeZone, Holidays)> {
        let id = directive.id.get_ref();
        if id.is_empty() || !id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
            self.at(
                "directive.toml",
                directive.id.span(),
                format!("{id:?} is no id"),
                "lower-case letters, digits, `-` and `.`",
            );
        }
        if directive.documents.is_empty() {
            self.at(
                "directive.toml",
                directive.id.span(),
                "the directive has no document".into(),
                "add [[document]] with id and issued",
            );
        }
        self.actions(directive);
        self.form(directive, form);
        let ids: BTreeSet<&str> = directive.actions.iter().map(|action| action.id.get_ref().as_str()).collect();
        expected.deadlines.iter().for_each(|example| self.known_in("examples.toml", &example.action, &ids, "action"));
        let holidays = self.holidays(directive);
        match TimeZone::get(directive.zone.get_ref()) {
            Ok(zone) => holidays.map(|holidays| (zone, holidays)),
            Err(_) => {
                let message = format!("{:?} is no zone of the IANA database", directive.zone.get_ref());
                self.at(
                    "directive.toml",
                    directive.zone.span(),
                    message,
                    "write a name such as \"America/New_York\"; EST and EDT are not zones",
                );
                None
            }
        }
    }

    fn holidays(&mut self, directive: &Directive) -> Option<Holidays> {
        let calendar = directive.calendar.as_ref();
        match Holidays::new(calendar.map(|name| name.get_ref().as_str()), &directive.holidays) {
            Ok(holidays) => Some(holidays),
            Err(message) => {
                let span = calendar.map_or(0..0, Spanned::span);
                self.at("directive.toml", span, message, "leave it out where only weekends are free");
                None
            }
        }
    }

    fn actions(&mut self, directive: &Directive) {
        let documents: BTreeSet<&str> = directive.documents.iter().map(|document| document.id.as_str()).collect();
        let ids: BTreeSet<&str> = directive.actions.iter().map(|action| action.id.get_ref().as_str()).collect();
        let marks: BTreeSet<&str> = directive.marks.iter().map(|mark| mark.id.as_str()).collect();
        let mut seen = BTreeSet::new();
        for action in &directive.actions {
            if !seen.insert(action.id.get_ref()) {
                self.at(
                    "directive.toml",
                    action.id.span(),
                    format!("two actions are called {:?}", action.id.get_ref()),
                    "an action's id is the directive's own number for it",
                );
            }
            for reference in action.after.iter().chain(&action.instead).chain(&action.supersedes) {
                self.known(reference, &ids, "action");
                if reference.get_ref() == action.id.get_ref() {
                    self.at(
                        "directive.toml",
                        reference.span(),
                        "an action refers to itself".into(),
                        "name another action",
                    );
                }
            }
            let wanted = match action.does {
                Does::Discover => Some((Each::Organisation, "a discovery is one for all: leave out `each`")),
                Does::Check => Some((Each::Instance, "a check is of one instance: add `each = \"instance\"`")),
                Does::Mitigate => Some((Each::Instance, "a change is for one instance: add `each = \"instance\"`")),
                Does::Person | Does::Vendor => None,
            };
            if let Some((_, hint)) = wanted.filter(|(each, _)| *each != action.each) {
                let message = "no room can do the action for what `each` says".to_owned();
                self.at("directive.toml", action.id.span(), message, hint);
            }
            if let Some(document) = &action.document {
                self.known(document, &documents, "document");
            }
            let conditions = std::iter::once(&action.when).chain(&action.until);
            for mark in conditions.flat_map(|when| when.mark.keys()) {
                if !marks.contains(mark.as_str()) {
                    self.at(
                        "directive.toml",
                        action.id.span(),
                        format!("the condition asks for the mark {mark:?}, which nobody is asked for"),
                        "add it as [[mark]]",
                    );
                }
            }
        }
        self.circles(directive);
    }

    /// Refuses actions that wait for each other, and so for ever.
    fn circles(&mut self, directive: &Directive) {
        for start in &directive.actions {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut next: Vec<&str> = start.after.iter().map(|id| id.get_ref().as_str()).collect();
            while let Some(id) = next.pop() {
                if reached.insert(id) {
                    let actions = directive.actions.iter().filter(|action| action.id.get_ref() == id);
                    next.extend(actions.flat_map(|action| &action.after).map(|id| id.get_ref().as_str()));
                }
            }
            if reached.contains(start.id.get_ref().as_str())
                && !start.after.iter().any(|id| id.get_ref() == start.id.get_ref())
            {
                self.at(
                    "directive.toml",
                    start.id.span(),
                    format!("action {} waits for itself through `after`", start.id.get_ref()),
                    "break the circle",
                );
            }
        }
    }

    fn known(&mut self, reference: &Spanned<String>, known: &BTreeSet<&str>, kind: &str) {
        self.known_in("directive.toml", reference, known, kind);
    }

    fn known_in(&mut self, file: &str, reference: &Spanned<String>, known: &BTreeSet<&str>, kind: &str) {
        if !known.contains(reference.get_ref().as_str()) {
            let list = known.iter().copied().collect::<Vec<_>>().join(", ");
            self.at(
                file,
                reference.span(),
                format!("there is no {kind} {:?}", reference.get_ref()),
                &format!("known: {list}"),
            );
        }
    }

    pub(super) fn at(&mut self, name: &str, span: std::ops::Range<usize>, message: String, hint: &str) {
        let text = self.files.get(name).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
        self.problems.push(Problem::at(&format!("{}/{name}", self.place), &text, span, message).hint(hint));
    }
}
