//! Fill: which answers of the authority's form can the case prove, and which rules do they break?
//!
//! Every answer carries the ids of the records behind it. What the case does not hold stays empty
//! and is listed as missing; a rule of the form that does not hold is listed in the form's own sense.
//! Never guesses: an inconclusive check answers neither yes nor no.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use directive::answers::{self, Broken, Given, GivenRow, Judgement, Missing};
use directive::form::{Counted, Field, Form, Origin};
use directive::pack::Pack;
use directive::state::{Known, Log, State};
use schemars::JsonSchema;
use serde::Serialize;

use crate::words;

/// A form with the answers that the case can prove.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
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
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Row {
    /// The instance.
    pub instance: String,
    /// In the order of the form's columns.
    pub answers: Vec<Answer>,
}

/// One answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
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
    let judgement = judge(form, &fields, &rows);
    let by_name: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.instance.as_str(), row)).collect();
    let missing = judgement.missing.iter().map(|missing| told(missing, &fields, &by_name)).collect();
    Filled {
        title: form.title.clone(),
        version: form.version.clone(),
        caveat: form.caveat.clone(),
        submit_to: form.submit_to.clone(),
        fields,
        rows,
        missing,
        broken: judgement.broken,
    }
}

/// Whether an instance belongs on the form: a declared one does unless it answered as something
/// else, and so does whatever was identified.
fn is_counted(known: &Known) -> bool {
    known.instance.product.is_some() || known.instance.has_evidence || !known.instance.addresses.is_empty()
}

/// Holds the answers against the form, as the authority does.
fn judge(form: &Form, fields: &[Answer], rows: &[Row]) -> Judgement {
    fn given(answers: &[Answer]) -> Vec<Given<'_>> {
        answers.iter().map(|answer| Given { id: &answer.id, value: answer.value.as_deref() }).collect()
    }
    let rows: Vec<_> =
        rows.iter().map(|row| GivenRow { instance: &row.instance, answers: given(&row.answers) }).collect();
    answers::judge(form, &given(fields), &rows)
}

/// A question that nobody answered, and what the case says instead.
fn told(missing: &Missing, fields: &[Answer], rows: &BTreeMap<&str, &Row>) -> String {
    let row = missing.instance.as_ref().and_then(|name| rows.get(name.as_str()));
    let answers = row.map_or(fields, |row| &row.answers);
    let problem =
        answers.iter().find(|answer| answer.id == missing.question).and_then(|answer| answer.problem.as_deref());
    let whose = missing.instance.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
    let why = problem.map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{whose}{}{why}", missing.text)
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
            Origin::Count(counted) => self.count(*counted),
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

    /// How many instances there are, once a discovery has ended.
    fn count(&self, counted: Counted) -> Option<Proved> {
        let (_, record, _) = self.state.ledger.as_ref()?;
        let all = self.state.instances_of(&self.pack.product.name).filter(|known| is_counted(known));
        let is_of = |known: &&Known| match counted {
            Counted::All => true,
            Counted::Status(status) => known.instance.version.status == status,
            Counted::Verdict(verdict) => known.verdict() == Some(verdict),
            Counted::NotChecked => known.verdict().is_none(),
        };
        Proved::new(all.filter(is_of).count().to_string(), record)
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
