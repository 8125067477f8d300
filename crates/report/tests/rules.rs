//! Rules: is every rule of every form in the packs refused by its own name, in its own words?
//!
//! The cases are made from the packs: a form that is whole is broken in the one way that the rule names. A rule that is
//! added to a pack is tested by that; one that cannot be broken fails here.
#![expect(clippy::unwrap_used, reason = "integration tests that read packs")]

use std::collections::BTreeMap;
use std::path::Path;

use directive::answers::{Given, GivenRow, Judgement, judge};
use directive::form::{Demand, Field, Form, Rule};

const PACKS: [&str; 4] = ["ed-21-01", "ed-21-02", "ed-21-03", "openssh-cve-2024-6387"];

fn form(pack: &str) -> Form {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs").join(pack).join("report.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Answers to a form: of the organisation, and of instances.
#[derive(Clone)]
struct Answers {
    fields: BTreeMap<String, String>,
    rows: Vec<BTreeMap<String, String>>,
}

impl Answers {
    /// Every question answered, with a choice that calls for as little as can be.
    fn whole(form: &Form) -> Self {
        let all = |fields: &[Field]| -> BTreeMap<String, String> {
            fields.iter().map(|field| (field.id.get_ref().clone(), harmless(form, field))).collect()
        };
        Self { fields: all(&form.fields), rows: vec![all(&form.columns)] }
    }

    fn judge(&self, form: &Form) -> Judgement {
        fn given(answers: &BTreeMap<String, String>) -> Vec<Given<'_>> {
            answers.iter().map(|(id, value)| Given { id, value: Some(value) }).collect()
        }
        let names: Vec<String> = (1..=self.rows.len()).map(|n| format!("vpn{n}")).collect();
        let rows = names.iter().zip(&self.rows);
        let rows: Vec<_> = rows.map(|(name, row)| GivenRow { instance: name, answers: given(row) }).collect();
        judge(form, &given(&self.fields), &rows)
    }

    fn set(&mut self, form: &Form, id: &str, value: &str) {
        let answers = match form.fields.iter().any(|field| field.id.get_ref() == id) {
            true => &mut self.fields,
            false => &mut self.rows[0],
        };
        answers.insert(id.to_owned(), value.to_owned());
    }

    fn clear(&mut self, id: &str) {
        self.fields.remove(id);
        self.rows.iter_mut().for_each(|row| drop(row.remove(id)));
    }
}

/// The answer that no rule takes for a reason, and that rules demand where they demand one.
fn harmless(form: &Form, field: &Field) -> String {
    let id = field.id.get_ref();
    let demanded = form.rules.iter().find_map(|rule| match &rule.demands {
        Demand::Answered(answer) if answer.field.get_ref() == id => Some(answer.is.clone()),
        _ => None,
    });
    let number = form.rules.iter().find_map(|rule| number(&rule.demands, id));
    let calls = |choice: &String| {
        let rules = form.rules.iter().filter(|rule| !matches!(rule.demands, Demand::Rows));
        rules.filter_map(|rule| rule.when.as_ref()).any(|when| when.field.get_ref() == id && when.is == *choice)
    };
    let choice = || field.choices.iter().find(|choice| !calls(choice)).or(field.choices.first()).cloned();
    demanded.or(number).or_else(choice).unwrap_or_else(|| "an answer".to_owned())
}

/// A number with which numbers hold together: parts are one each.
fn number(demand: &Demand, id: &str) -> Option<String> {
    match demand {
        Demand::Sum(sum) if sum.total.get_ref() == id => Some(sum.of.len().to_string()),
        Demand::AtMost(most) if most.of.get_ref() == id => Some("5".to_owned()),
        Demand::Sum(_) | Demand::AtMost(_) if demand.names().iter().any(|name| name.get_ref() == id) => {
            Some("1".to_owned())
        }
        _ => None,
    }
}

/// Breaks one rule and as little else as can be.
fn breaking(form: &Form, rule: &Rule) -> Answers {
    let mut answers = Answers::whole(form);
    if let Some(when) = &rule.when {
        answers.set(form, when.field.get_ref(), &when.is);
    }
    match &rule.demands {
        Demand::Filled(field) => answers.clear(field.get_ref()),
        Demand::Answered(answer) => answers.clear(answer.field.get_ref()),
        Demand::Sum(sum) => answers.set(form, sum.total.get_ref(), "999"),
        Demand::AtMost(most) => answers.set(form, most.field.get_ref(), "999"),
        Demand::Rows => answers.rows.clear(),
        Demand::NoRows => {}
    }
    answers
}

#[test]
fn a_form_that_is_whole_breaks_no_rule_of_its_pack() {
    for pack in PACKS {
        let form = form(pack);
        assert_eq!(Answers::whole(&form).judge(&form), Judgement::default(), "{pack}");
    }
}

#[test]
fn every_rule_of_every_form_is_refused_by_its_own_name_and_in_its_own_words() {
    let mut seen = 0;
    for pack in PACKS {
        let form = form(pack);
        for rule in &form.rules {
            let broken = breaking(&form, rule).judge(&form).broken;
            let named: Vec<_> = broken.iter().filter(|broken| broken.rule == rule.id).collect();
            assert_eq!(named.len(), 1, "{pack}: breaking {} breaks {broken:?}", rule.id);
            assert_eq!(named[0].text, rule.text, "{pack}: {}", rule.id);
            seen += 1;
        }
    }
    assert!(seen >= 25, "the packs have lost their rules: {seen}");
}

#[test]
fn a_rule_that_nothing_calls_for_is_not_named() {
    for pack in PACKS {
        let form = form(pack);
        for rule in form.rules.iter().filter(|rule| matches!(rule.demands, Demand::Filled(_))) {
            let mut answers = breaking(&form, rule);
            let Demand::Filled(field) = &rule.demands else { continue };
            answers.set(&form, field.get_ref(), "because");
            let broken = answers.judge(&form).broken;
            assert!(broken.iter().all(|broken| broken.rule != rule.id), "{pack}: {} holds, and is named", rule.id);
        }
    }
}

#[test]
fn an_answer_that_is_none_of_the_choices_is_refused_for_every_question_that_has_some() {
    for pack in PACKS {
        let form = form(pack);
        for field in form.fields.iter().chain(&form.columns).filter(|field| !field.choices.is_empty()) {
            let mut answers = Answers::whole(&form);
            answers.set(&form, field.id.get_ref(), "=HYPERLINK(\"x\")");
            let wanted = format!("choices-{}", field.id.get_ref());
            let broken = answers.judge(&form).broken;
            assert!(broken.iter().any(|broken| broken.rule == wanted), "{pack}: {wanted} is not in {broken:?}");
        }
    }
}

#[test]
fn a_required_question_without_an_answer_is_named_in_the_forms_own_words() {
    for pack in PACKS {
        let form = form(pack);
        for field in form.fields.iter().chain(&form.columns).filter(|field| field.required) {
            let mut answers = Answers::whole(&form);
            answers.clear(field.id.get_ref());
            let missing = answers.judge(&form).missing;
            let named = missing.iter().any(|missing| missing.question == *field.id.get_ref());
            assert!(named && missing.iter().all(|missing| missing.text.contains(&field.label)), "{pack}: {missing:?}");
        }
    }
}
