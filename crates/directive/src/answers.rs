//! Answers: which questions of a form are open, and which of its rules do these answers break?
//!
//! One judgement for both sides: the operator's `report lint` and the authority's door ask the same function, so that
//! nothing is refused there that was not told here. Judges answers alone, wherever they come from.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::form::{Answer, Demand, Field, Form, Rule};

/// An answer, or a question that nobody answered.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The question's id.
    pub id: &'a str,
    /// The answer.
    pub value: Option<&'a str>,
}

/// The answers about one instance.
#[derive(Debug, Clone)]
pub struct GivenRow<'a> {
    /// The instance.
    pub instance: &'a str,
    /// Its answers.
    pub answers: Vec<Given<'a>>,
}

/// What is wrong with the answers to a form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Required questions that nobody answered.
    pub missing: Vec<Missing>,
    /// Rules that do not hold.
    pub broken: Vec<Broken>,
}

impl Judgement {
    /// Whether the form can be handed in.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.broken.is_empty()
    }
}

/// A required question that nobody answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The question's id.
    pub question: String,
    /// The instance, where the question is about one.
    pub instance: Option<String>,
    /// The question in the form's own words.
    pub text: String,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Broken {
    /// The rule's id.
    pub rule: String,
    /// The instance, where the rule is about one.
    pub instance: Option<String>,
    /// What the rule demands, in the form's own words.
    pub text: String,
}

type Values<'a> = BTreeMap<&'a str, &'a str>;

/// Judges the answers to a form.
pub fn judge(form: &Form, fields: &[Given<'_>], rows: &[GivenRow<'_>]) -> Judgement {
    let mut judgement = Judgement::default();
    let once = values(fields);
    judgement.questions(None, &form.fields, fields, &once);
    if form.most_rows.is_some_and(|most| rows.len() > most) {
        let text = format!("The form has room for {} instances.", form.most_rows.unwrap_or_default());
        judgement.broken.push(Broken { rule: "most-rows".into(), instance: None, text });
    }
    let columns: BTreeSet<&str> = form.columns.iter().map(|column| column.id.get_ref().as_str()).collect();
    let of_rows = |rule: &&Rule| names(rule).any(|name| columns.contains(name));
    for rule in form.rules.iter().filter(|rule| !of_rows(rule) && !holds(rule, &once, &Values::new(), rows.len())) {
        judgement.broken.push(Broken { rule: rule.id.clone(), instance: None, text: rule.text.clone() });
    }
    let mut seen = BTreeSet::new();
    for row in rows {
        let instance = Some(row.instance);
        let mine = values(&row.answers);
        judgement.questions(instance, &form.columns, &row.answers, &mine);
        for rule in form.rules.iter().filter(|rule| of_rows(rule) && !holds(rule, &once, &mine, rows.len())) {
            judgement.break_rule(&rule.id, instance, rule.text.clone());
        }
        if !seen.insert(row.instance) {
            judgement.break_rule("rows-once", instance, "An instance must be listed once.".into());
        }
    }
    judgement
}

impl Judgement {
    fn break_rule(&mut self, rule: &str, instance: Option<&str>, text: String) {
        self.broken.push(Broken { rule: rule.to_owned(), instance: instance.map(str::to_owned), text });
    }

    /// Looks at each question by itself: is it answered where it must be, and with one of its choices?
    fn questions(&mut self, instance: Option<&str>, asked: &[Field], given: &[Given<'_>], values: &Values<'_>) {
        for field in asked {
            let id = field.id.get_ref();
            match values.get(id.as_str()) {
                None if field.required => self.missing.push(Missing {
                    question: id.clone(),
                    instance: instance.map(str::to_owned),
                    text: question(field),
                }),
                Some(value) if !field.choices.is_empty() && !field.choices.iter().any(|choice| choice == value) => {
                    let text = format!("{}: {value:?} is not one of the form's choices.", field.label);
                    self.break_rule(&format!("choices-{id}"), instance, text);
                }
                _ => {}
            }
        }
        let known: BTreeSet<&str> = asked.iter().map(|field| field.id.get_ref().as_str()).collect();
        let mut seen = BTreeSet::new();
        for given in given {
            if !known.contains(given.id) {
                let text = format!("The form does not ask {:?}.", given.id);
                self.break_rule("questions-known", instance, text);
            } else if !seen.insert(given.id) {
                let text = format!("The question {:?} is answered more than once.", given.id);
                self.break_rule("questions-once", instance, text);
            }
        }
    }
}

/// A question in the form's own words.
pub fn question(field: &Field) -> String {
    let colon = if field.label.ends_with(')') { "" } else { ":" };
    if field.question.is_empty() { field.label.clone() } else { format!("{}{colon} {}", field.label, field.question) }
}

fn values<'a>(given: &[Given<'a>]) -> Values<'a> {
    given.iter().filter_map(|given| Some((given.id, given.value.filter(|value| !value.trim().is_empty())?))).collect()
}

/// The questions that a rule names.
fn names(rule: &Rule) -> impl Iterator<Item = &str> {
    let demanded = rule.demands.names().into_iter().map(|field| field.get_ref().as_str());
    rule.when.iter().map(|answer| answer.field.get_ref().as_str()).chain(demanded)
}

fn holds(rule: &Rule, once: &Values<'_>, row: &Values<'_>, rows: usize) -> bool {
    let of = |id: &str| once.get(id).or_else(|| row.get(id)).copied();
    let is = |answer: &Answer| of(answer.field.get_ref()) == Some(answer.is.as_str());
    if rule.when.as_ref().is_some_and(|when| !is(when)) {
        return true;
    }
    match &rule.demands {
        Demand::Filled(field) => of(field.get_ref()).is_some(),
        Demand::Answered(answer) => is(answer),
        Demand::Sum(sum) => {
            let parts: Option<Vec<_>> = sum.of.iter().map(|part| of(part.get_ref())).collect();
            adds_up(of(sum.total.get_ref()), parts.as_deref(), |total, parts| total == parts)
        }
        Demand::AtMost(most) => {
            let part = of(most.field.get_ref()).map(|part| vec![part]);
            adds_up(of(most.of.get_ref()), part.as_deref(), |whole, part| part <= whole)
        }
        Demand::Rows => rows > 0,
        Demand::NoRows => rows == 0,
    }
}

/// Whether numbers hold together. What nobody answered is not judged here: whether it must be answered is the
/// question's own business. An answer that is no number cannot hold.
fn adds_up(whole: Option<&str>, parts: Option<&[&str]>, holds: impl Fn(u64, u64) -> bool) -> bool {
    let (Some(whole), Some(parts)) = (whole, parts) else { return true };
    let number = |text: &&str| text.trim().parse::<u64>().ok();
    let sum = parts.iter().map(number).try_fold(0_u64, |sum, part| sum.checked_add(part?));
    number(&whole).zip(sum).is_some_and(|(whole, sum)| holds(whole, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        toml::from_str(
            r#"
            title = "Form"
            version = "1"
            most-rows = 2
            [[field]]
            id = "any"
            label = "1)"
            question = "Any instance?"
            required = true
            choices = ["Yes", "No"]
            [[field]]
            id = "all"
            label = "3)"
            [[field]]
            id = "old"
            label = "3a)"
            [[field]]
            id = "new"
            label = "3b)"
            [[rule]]
            id = "all-sum"
            text = "3 must be the sum of 3a and 3b."
            demands = { sum = { total = "all", of = ["old", "new"] } }
            [[rule]]
            id = "old-most"
            text = "3a cannot be more than 3."
            demands = { at-most = { field = "old", of = "all" } }
            [[column]]
            id = "why"
            label = "Why"
            [[column]]
            id = "run"
            label = "2)"
            required = true
            [[rule]]
            id = "any-rows"
            text = "If 1 is Yes, instances must be listed."
            when = { field = "any", is = "Yes" }
            demands = "rows"
            [[rule]]
            id = "run-why"
            text = "If 2 is No, say why."
            when = { field = "run", is = "No" }
            demands = { filled = "why" }
            "#,
        )
        .unwrap()
    }

    #[track_caller]
    fn check(fields: &[(&str, &str)], rows: &[(&str, &[(&str, &str)])], expected: &[&str]) {
        let given = |answers: &[(&'static str, &'static str)]| -> Vec<Given<'static>> {
            answers.iter().map(|(id, value)| Given { id, value: Some(value) }).collect()
        };
        // The tests write literals only.
        let leak = |answers: &[(&str, &str)]| -> Vec<(&'static str, &'static str)> {
            let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
            answers.iter().map(|(id, value)| (leak(id), leak(value))).collect()
        };
        let rows: Vec<_> =
            rows.iter().map(|(instance, answers)| GivenRow { instance, answers: given(&leak(answers)) }).collect();
        let judgement = judge(&form(), &given(&leak(fields)), &rows);
        let missing = judgement.missing.iter().map(|missing| (&missing.question, &missing.instance));
        let broken = judgement.broken.iter().map(|broken| (&broken.rule, &broken.instance));
        let found: Vec<_> = missing
            .chain(broken)
            .map(|(id, instance)| format!("{id} {}", instance.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_form_that_is_whole_breaks_nothing() {
        check(&[("any", "Yes")], &[("vpn1", &[("run", "No"), ("why", "it is off")])], &[]);
        check(&[("any", "No")], &[], &[]);
    }

    #[test]
    fn numbers_that_do_not_add_up_are_named() {
        check(&[("any", "No"), ("all", "5"), ("old", "2"), ("new", " 3 ")], &[], &[]);
        check(&[("any", "No"), ("all", "5"), ("old", "2"), ("new", "2")], &[], &["all-sum -"]);
        check(&[("any", "No"), ("all", "1"), ("old", "2")], &[], &["old-most -"]);
        check(&[("any", "No"), ("all", "some"), ("old", "2"), ("new", "2")], &[], &["all-sum -", "old-most -"]);
        check(&[("any", "No"), ("all", "-1"), ("old", "0")], &[], &["old-most -"]);
        let most = u64::MAX.to_string();
        check(&[("any", "No"), ("all", "0"), ("old", &most), ("new", "1")], &[], &["all-sum -", "old-most -"]);
        // What nobody answered breaks nothing by itself.
        check(&[("any", "No"), ("all", "5"), ("new", "2")], &[], &[]);
    }

    #[test]
    fn every_kind_of_mistake_is_named() {
        check(&[], &[], &["any -"]);
        check(&[("any", "  ")], &[], &["any -"]);
        check(&[("any", "Perhaps")], &[], &["choices-any -"]);
        check(&[("any", "Yes")], &[], &["any-rows -"]);
        check(&[("any", "Yes")], &[("vpn1", &[])], &["run vpn1"]);
        check(&[("any", "Yes")], &[("vpn1", &[("run", "No")])], &["run-why vpn1"]);
        check(&[("any", "No"), ("other", "x")], &[], &["questions-known -"]);
        check(&[("any", "No"), ("any", "No")], &[], &["questions-once -"]);
        let row: &[(&str, &str)] = &[("run", "Yes")];
        check(&[("any", "Yes")], &[("vpn1", row), ("vpn1", row)], &["rows-once vpn1"]);
        check(&[("any", "Yes")], &[("vpn1", row), ("vpn2", row), ("vpn3", row)], &["most-rows -"]);
    }
}
