//! Fill: which answers of the authority's form can the case prove, and which rules do they break?
//!
//! Every answer carries the ids of the records behind it. What the case does not hold stays empty
//! and is listed as missing; a rule of the form that does not hold is listed in the form's own sense.
//! Never guesses: an inconclusive check answers neither yes nor no.

use std::net::{IpAddr, SocketAddr};

use directive::form::{Answer as Wanted, Demand, Field, Form, Origin, Rule};
use directive::pack::Pack;
use directive::state::{Known, Log, State};
use serde::Serialize;

use crate::words;

/// A form with the answers that the case can prove.
#[derive(Debug, Clone, Serialize)]
pub struct Filled {
    /// The form's title.
    pub title: String,
    /// The form's version.
    pub version: String,
    /// How it must be handled.
    pub caveat: String,
    /// Where it goes.
    pub submit_to: String,
    /// Questions that are asked once.
    pub fields: Vec<Answer>,
    /// Questions for each instance.
    pub rows: Vec<Row>,
    /// Required answers that nobody knows yet.
    pub missing: Vec<String>,
    /// Rules that do not hold.
    pub broken: Vec<Broken>,
}

/// The answers about one instance.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The instance.
    pub instance: String,
    /// In the order of the form's columns.
    pub answers: Vec<Answer>,
}

/// One answer.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The question's id.
    pub id: String,
    /// The form's own number or name for it.
    pub label: String,
    /// What is asked.
    pub question: String,
    /// The answer; absent if nobody knows it.
    pub value: Option<String>,
    /// Records that prove it.
    pub records: Vec<String>,
    /// Why the answer is absent or not allowed.
    pub problem: Option<String>,
    /// Whether the form demands it.
    pub required: bool,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The rule's id.
    pub rule: String,
    /// The instance, where the rule is about one.
    pub instance: Option<String>,
    /// What the rule demands.
    pub text: String,
}

/// A value of the case with the records that prove it.
struct Proved {
    value: String,
    records: Vec<String>,
}

impl Proved {
    fn new(value: impl Into<String>, record: &str) -> Option<Self> {
        let value = value.into();
        let records = if record.is_empty() { Vec::new() } else { vec![record.to_owned()] };
        (!value.is_empty()).then_some(Self { value, records })
    }
}

/// Fills a pack's form from a case.
pub(crate) fn fill(pack: &Pack, state: &State) -> Filled {
    let form = &pack.form;
    let source = |known| Source { pack, state, known };
    let fields: Vec<_> = form.fields.iter().map(|field| answer(field, &source(None))).collect();
    let rows: Vec<_> = state
        .instances_of(&pack.product.name)
        .filter(|known| state.ledger.is_none() || is_counted(known))
        .map(|known| Row {
            instance: known.instance.name.clone(),
            answers: form.columns.iter().map(|field| answer(field, &source(Some(known)))).collect(),
        })
        .collect();
    let broken = broken(form, &fields, &rows);
    let mut missing = missing(None, &fields);
    missing.extend(rows.iter().flat_map(missing_of));
    Filled {
        title: form.title.clone(),
        version: form.version.clone(),
        caveat: form.caveat.clone(),
        submit_to: form.submit_to.clone(),
        fields,
        rows,
        missing,
        broken,
    }
}

/// Whether an instance belongs on the form: a declared one does unless it answered as something
/// else, and so does whatever was identified.
fn is_counted(known: &Known) -> bool {
    known.instance.product.is_some() || known.instance.has_evidence || !known.instance.addresses.is_empty()
}

fn missing_of(row: &Row) -> Vec<String> {
    missing(Some(&row.instance), &row.answers)
}

fn missing(instance: Option<&str>, answers: &[Answer]) -> Vec<String> {
    let wanted = answers.iter().filter(|answer| answer.required && answer.value.is_none());
    wanted
        .map(|answer| {
            let whose = instance.map(|name| format!("{name}, ")).unwrap_or_default();
            let why = answer.problem.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{whose}{}{why}", question(answer))
        })
        .collect()
}

fn question(answer: &Answer) -> String {
    let colon = if answer.label.ends_with(')') { "" } else { ":" };
    if answer.question.is_empty() {
        answer.label.clone()
    } else {
        format!("{}{colon} {}", answer.label, answer.question)
    }
}

fn answer(field: &Field, source: &Source<'_>) -> Answer {
    let proved = field.from.iter().find_map(|origin| source.value(origin));
    let mut answer = Answer {
        id: field.id.get_ref().clone(),
        label: field.label.clone(),
        question: field.question.clone(),
        value: None,
        records: Vec::new(),
        problem: None,
        required: field.required,
    };
    let Some(proved) = proved else {
        return answer;
    };
    answer.records = proved.records;
    let value = match (field.map.get(&proved.value), field.map.is_empty()) {
        (Some(mapped), _) => mapped.clone(),
        (None, true) => proved.value,
        (None, false) => {
            answer.problem = Some(format!("the case says {:?}, for which the form has no answer", proved.value));
            return answer;
        }
    };
    if !field.choices.is_empty() && !field.choices.contains(&value) {
        answer.problem = Some(format!("{value:?} is not one of the form's choices"));
    }
    answer.value = Some(value);
    answer
}

/// Where values come from.
struct Source<'a> {
    pack: &'a Pack,
    state: &'a State,
    known: Option<&'a Known>,
}

impl Source<'_> {
    fn value(&self, origin: &Origin) -> Option<Proved> {
        match origin {
            Origin::Organisation => {
                let (_, opening) = self.state.opening.as_ref()?;
                Proved::new(opening.organisation.clone(), "")
            }
            Origin::AnyInstance => self.any_instance(),
            Origin::Mark(mark) => {
                let (_, record, mark) = self.log().marks.get(mark)?;
                Proved::new(mark.value.clone(), record)
            }
            Origin::Action(id) => self.action(id),
            Origin::Why(id) => {
                let (_, record, step) = self.log_of(id)?.skipped(&self.name(id))?;
                Proved::new(step.why.clone(), record)
            }
            _ => self.of_instance(origin, self.known?),
        }
    }

    fn of_instance(&self, origin: &Origin, known: &Known) -> Option<Proved> {
        let instance = &known.instance;
        let check = known.checks.last();
        let mine = |value: String| Proved::new(value, &known.record);
        match origin {
            Origin::Name => mine(instance.name.clone()),
            Origin::Addresses => mine(instance.addresses.join(", ")),
            Origin::AddressesPrivate => mine(ips(&instance.addresses, true)),
            Origin::AddressesPublic => mine(ips(&instance.addresses, false)),
            Origin::Version => mine(instance.version.value.clone()?),
            Origin::Status => mine(words::status(instance.version.status).to_owned()),
            Origin::Fact(fact) => mine(instance.facts.get(fact)?.clone()),
            Origin::CheckedAt => {
                let check = check?;
                Proved::new(check.at.strftime("%Y-%m-%d %H:%M UTC").to_string(), &check.record)
            }
            Origin::Coverage => Proved::new(words::coverage(known.checked.coverage.as_ref()?), &check?.record),
            Origin::Verdict => match check {
                Some(check) => Proved::new(check.conclusion.verdict.as_str(), &check.record),
                None => self.not_run(known),
            },
            _ => None,
        }
    }

    /// `not-run`, if somebody decided against a check of this instance.
    fn not_run(&self, known: &Known) -> Option<Proved> {
        let checks = self.pack.directive.actions.iter().filter(|action| action.does == directive::action::Does::Check);
        let skipped = checks.into_iter().find_map(|action| known.log.skipped(&self.name(action.id.get_ref())));
        skipped.and_then(|(_, record, _)| Proved::new("not-run", record))
    }

    fn any_instance(&self) -> Option<Proved> {
        let (_, record, _) = self.state.ledger.as_ref()?;
        let any = self.state.instances_of(&self.pack.product.name).any(is_counted);
        Proved::new(if any { "yes" } else { "no" }, record)
    }

    fn action(&self, id: &str) -> Option<Proved> {
        let (name, log) = (self.name(id), self.log_of(id)?);
        let latest = log.steps.iter().rfind(|(_, _, step)| step.action == name);
        let (_, record, step) = latest?;
        let word = words::outcome(step.outcome);
        Proved::new(word, record)
    }

    fn name(&self, action: &str) -> String {
        format!("{}/{action}", self.pack.id())
    }

    fn log(&self) -> &Log {
        self.known.map_or(&self.state.log, |known| &known.log)
    }

    fn log_of(&self, action: &str) -> Option<&Log> {
        let action = self.pack.action(action)?;
        match action.each {
            directive::action::Each::Organisation => Some(&self.state.log),
            directive::action::Each::Instance => self.known.map(|known| &known.log),
        }
    }
}

/// The addresses without their ports that are private, or that are not.
fn ips(addresses: &[String], private: bool) -> String {
    let parsed = addresses.iter().filter_map(|address| address.parse::<SocketAddr>().ok());
    let mut ips: Vec<String> =
        parsed.map(|address| address.ip()).filter(|ip| is_private(*ip) == private).map(|ip| ip.to_string()).collect();
    ips.dedup();
    ips.join(", ")
}

/// RFC 1918, RFC 4193, and what RFC 6890 calls not globally reachable on every host.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

fn broken(form: &Form, fields: &[Answer], rows: &[Row]) -> Vec<Broken> {
    let mut broken = Vec::new();
    if form.most_rows.is_some_and(|most| rows.len() > most) {
        let text = format!("The form has room for {} instances.", form.most_rows.unwrap_or_default());
        broken.push(Broken { rule: "most-rows".into(), instance: None, text });
    }
    for rule in &form.rules {
        let about_rows = names(rule).any(|name| form.columns.iter().any(|column| column.id.get_ref() == name));
        if about_rows {
            for row in rows.iter().filter(|row| !holds(rule, fields, Some(row), rows.len())) {
                let instance = Some(row.instance.clone());
                broken.push(Broken { rule: rule.id.clone(), instance, text: rule.text.clone() });
            }
        } else if !holds(rule, fields, None, rows.len()) {
            broken.push(Broken { rule: rule.id.clone(), instance: None, text: rule.text.clone() });
        }
    }
    let answers = fields.iter().map(|answer| (None, answer));
    let in_rows = rows.iter().flat_map(|row| row.answers.iter().map(move |answer| (Some(&row.instance), answer)));
    for (instance, answer) in answers.chain(in_rows).filter(|(_, answer)| answer.value.is_some()) {
        if let Some(problem) = &answer.problem {
            let text = format!("{}: {problem}.", answer.label);
            broken.push(Broken { rule: format!("choices-{}", answer.id), instance: instance.cloned(), text });
        }
    }
    broken
}

/// The questions that a rule names.
fn names(rule: &Rule) -> impl Iterator<Item = &String> {
    let demanded = match &rule.demands {
        Demand::Filled(field) => Some(field.get_ref()),
        Demand::Answered(answer) => Some(answer.field.get_ref()),
        Demand::Rows | Demand::NoRows => None,
    };
    rule.when.iter().map(|answer| answer.field.get_ref()).chain(demanded)
}

fn holds(rule: &Rule, fields: &[Answer], row: Option<&Row>, rows: usize) -> bool {
    let of = |id: &str| {
        let in_row = row.into_iter().flat_map(|row| &row.answers);
        fields.iter().chain(in_row).find(|answer| answer.id == id).and_then(|answer| answer.value.as_deref())
    };
    let is = |answer: &Wanted| of(answer.field.get_ref()) == Some(answer.is.as_str());
    if rule.when.as_ref().is_some_and(|when| !is(when)) {
        return true;
    }
    match &rule.demands {
        Demand::Filled(field) => of(field.get_ref()).is_some(),
        Demand::Answered(answer) => is(answer),
        Demand::Rows => rows > 0,
        Demand::NoRows => rows == 0,
    }
}
