//! Questions: does the form of a pack ask for what its directive can tell, and do its rules name what it asks?

use std::collections::BTreeSet;

use super::references::References;
use crate::action::{Directive, Each};
use crate::form::{Field, Form, Origin};
use crate::workbook;

impl References<'_> {
    pub(super) fn form(&mut self, directive: &Directive, form: &Form) {
        let mut ids = BTreeSet::new();
        for (field, each) in fields(form) {
            if !ids.insert(field.id.get_ref().as_str()) {
                self.at(
                    "report.toml",
                    field.id.span(),
                    format!("two questions are called {:?}", field.id.get_ref()),
                    "an id must be unique in the form",
                );
            }
            self.field(directive, field, each);
        }
        for action in &form.actions {
            if !directive.actions.iter().any(|known| known.id.get_ref() == action.get_ref()) {
                let message = format!("the directive has no action {:?}", action.get_ref());
                self.at("report.toml", action.span(), message, "name the action that handing in the form does");
            }
        }
        for rule in &form.rules {
            let named = rule.when.iter().map(|answer| &answer.field).chain(rule.demands.names());
            for field in named {
                if !ids.contains(field.get_ref().as_str()) {
                    self.at(
                        "report.toml",
                        field.span(),
                        format!(
                            "rule {:?} names the question {:?}, which the form does not have",
                            rule.id,
                            field.get_ref()
                        ),
                        "use the id of a field or column",
                    );
                }
            }
        }
        for (span, message, hint) in workbook::mistakes(form) {
            self.at("report.toml", span, message, hint);
        }
    }

    fn field(&mut self, directive: &Directive, field: &Field, each: Each) {
        let answers = field.map.values().filter(|_| !field.choices.is_empty());
        for answer in answers.filter(|answer| !field.choices.contains(answer)) {
            self.at(
                "report.toml",
                field.id.span(),
                format!("{answer:?} is not one of the choices"),
                "map to a choice, letter by letter",
            );
        }
        for origin in &field.from {
            let (known, what) = match origin {
                Origin::Mark(mark) => (
                    directive.marks.iter().any(|known| known.id == *mark && known.each == each),
                    format!("mark {mark:?}"),
                ),
                Origin::Action(id) | Origin::Why(id) => {
                    (directive.actions.iter().any(|action| action.id.get_ref() == id), format!("action {id:?}"))
                }
                Origin::Count(_) => (each == Each::Organisation, "count of instances".to_owned()),
                _ => continue,
            };
            if !known {
                let message = format!("the answer comes from the {what}, which directive.toml does not have for it");
                self.at("report.toml", field.id.span(), message, "add it there, or ask a person");
            }
        }
    }
}

/// All questions of a form with whom they are about.
fn fields(form: &Form) -> impl Iterator<Item = (&Field, Each)> {
    let once = form.fields.iter().map(|field| (field, Each::Organisation));
    once.chain(form.columns.iter().map(|field| (field, Each::Instance)))
}
