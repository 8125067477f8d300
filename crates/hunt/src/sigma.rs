//! Sigma: which Sigma rules does an event of a log match?
//!
//! Serves ED 21-03 action 2.b and Appendix A (e): what intruders did stands in logs that no manifest vouches for.
//! Rules come as bytes with names, never as paths. A rule that cannot be used is reported with file, line and
//! caret, and all others still run. A rule is held against events of its own log source only: without that, a rule
//! that says what is *not* there matches every line of every other log.
//! Not run, and reported: correlation rules with the rules that they count, since the engine counts events as they
//! arrive and ours arrive out of the order of their times; and filters, since a filter of one set would silence the
//! rules of another.
//! Source: Sigma Specification 2.1; rsigma 0.23.

mod literals;
mod read;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use directive::record::Severity;
use logs::{Event, Format, Source};
use rsigma_eval::{Engine, EvaluationResult};
use rsigma_parser::{Level, LogSource};

use crate::literals::Words;
use view::View;

/// Bounds of rules.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files that a rule set may hold.
    pub files: usize,
    /// Bytes of rules in all. The largest public collection has 10 MB.
    pub bytes: u64,
    /// Rules in all. The largest public collection has 4,000.
    pub rules: usize,
    /// Bytes of one rule. The longest public rule, a list of digests, has 150 KB.
    pub rule: usize,
    /// Bytes of one rule that says a part of itself again by an alias (`*name`): ten lines of YAML unpack to gigabytes.
    pub aliased: usize,
    /// Mistakes that are shown.
    pub errors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 20_000, bytes: 64 << 20, rules: 20_000, rule: 512 << 10, aliased: 16 << 10, errors: 200 }
    }
}

/// What is wrong with a rule or a file of rules. The others run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub file: String,
    /// What is wrong, with line and caret, without colour.
    pub report: String,
}

/// A rule that an event matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The id of the rule, or its title if it has none.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// Its level; `medium` if it has none.
    pub severity: Severity,
    /// What the rule says of itself.
    pub description: Option<String>,
    /// ATT&CK techniques among its tags.
    pub attack: Vec<String>,
}

/// Rules, compiled. Shared by all threads.
pub struct Rules {
    engine: Engine,
    /// By id and title, what a match does not carry itself.
    descriptions: HashMap<(Option<String>, String), String>,
    /// By the source of an event: which of its services some rule is for.
    sources: RwLock<HashMap<Source, Arc<[LogSource]>>>,
    stumbled: AtomicU64,
}

impl Rules {
    /// Compiles rules from files by name, each with one rule or several.
    pub fn compile(files: &BTreeMap<String, Vec<u8>>, limits: Limits) -> (Self, Vec<Broken>) {
        let read::Read { rules, mut broken, mut beyond } = read::rules(files, &limits);
        let mut engine = Engine::new();
        // One after the other would be quadratic: indices are made anew with each.
        let add = AssertUnwindSafe(|| engine.add_rules(rules.iter().map(|found| &found.rule)));
        match catch_unwind(add) {
            Ok(errors) => {
                let shown = errors.len().min(limits.errors.saturating_sub(broken.len()));
                broken.extend(errors[..shown].iter().map(|(n, error)| rules[*n].broken(files, &error.to_string())));
                beyond += errors.len() - shown;
            }
            Err(_) => {
                let report = "the engine of the rules stumbled over them: none of them runs".to_owned();
                (engine, broken) = (Engine::new(), vec![Broken { file: String::new(), report }]);
            }
        }
        if beyond > 0 {
            broken.push(Broken { file: String::new(), report: format!("{beyond} more rules cannot be used") });
        }
        let described = engine
            .rules()
            .iter()
            .filter_map(|rule| Some(((rule.id.clone(), rule.title.clone()), rule.description.clone()?)));
        let descriptions = described.collect();
        (Self { engine, descriptions, sources: RwLock::default(), stumbled: AtomicU64::new(0) }, broken)
    }

    /// How many rules run.
    pub fn len(&self) -> usize {
        self.engine.rule_count()
    }

    /// Whether no rule runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rules that an event matches, each once, whatever services the event belongs to.
    ///
    /// Fields are looked up by their names, words without a field in the message and in all values. `code` is the
    /// vendor's code of the event where the log shows none in a field.
    pub fn look(&self, event: &Event) -> Vec<Match> {
        let view = View(event);
        let mut found: Vec<EvaluationResult> = Vec::new();
        for source in self.sources(event.source).iter() {
            let look = AssertUnwindSafe(|| self.engine.evaluate_with_logsource(&view, source));
            // The engine runs rules of others over bytes of an intruder: if it stumbles, one event was not judged.
            let Ok(results) = catch_unwind(look) else {
                self.stumbled.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            for result in results {
                let is_same = |other: &EvaluationResult| {
                    (&other.header.rule_id, &other.header.rule_title)
                        == (&result.header.rule_id, &result.header.rule_title)
                };
                if !found.iter().any(is_same) {
                    found.push(result);
                }
            }
        }
        found.into_iter().map(|result| self.matched(result)).collect()
    }

    /// How often the engine stumbled over an event, which was then not judged to its end: a gap of whoever asks.
    pub fn stumbled(&self) -> u64 {
        self.stumbled.load(Ordering::Relaxed)
    }

    /// What a line must hold to match any rule; `None` if some rule can match without such words, so that every
    /// line is wanted. Sound for logs whose values stand in the line as they are ([`logs::Sink::next`]).
    pub fn words(&self) -> Words {
        literals::of_rules(self.engine.rules().iter())
    }

    /// The same for the lines of one format: rules for other log sources are left out.
    pub fn words_for(&self, format: Format) -> Words {
        literals::of_rules(self.engine.rules().iter().filter(|rule| literals::can_be_from(&rule.logsource, format)))
    }

    /// As which log sources an event is held against rules. Empty: no rule is for it.
    fn sources(&self, source: Source) -> Arc<[LogSource]> {
        let known = self.sources.read().unwrap_or_else(PoisonError::into_inner).get(&source).cloned();
        known.unwrap_or_else(|| {
            let made: Arc<[LogSource]> = self.made(source).into();
            let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
            sources.insert(source, Arc::clone(&made));
            made
        })
    }

    fn made(&self, source: Source) -> Vec<LogSource> {
        let is = |wanted: &Option<String>, told: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| told.is_some_and(|told| told.eq_ignore_ascii_case(wanted)))
        };
        let wanted = self.engine.rules().iter().map(|rule| &rule.logsource);
        let wanted: Vec<_> = wanted
            .filter(|wanted| is(&wanted.product, source.product) && is(&wanted.category, source.category))
            .collect();
        let named =
            |service: &&str| wanted.iter().any(|wanted| wanted.service.is_some() && is(&wanted.service, Some(service)));
        let services = source.services.iter().copied().filter(|service| named(service));
        let mut services: Vec<Option<&str>> = services.map(Some).collect();
        // Rules without a service run with each service; they need one only if there is no other.
        if services.is_empty() && wanted.iter().any(|wanted| wanted.service.is_none()) {
            services.push(None);
        }
        let made = |service: Option<&str>| LogSource {
            product: source.product.map(str::to_owned),
            category: source.category.map(str::to_owned),
            service: service.map(str::to_owned),
            ..LogSource::default()
        };
        services.into_iter().map(made).collect()
    }

    fn matched(&self, result: EvaluationResult) -> Match {
        let header = result.header;
        let key = (header.rule_id, header.rule_title);
        let description = self.descriptions.get(&key).map(|text| text.trim().to_owned());
        let (id, title) = key;
        Match {
            rule: id.unwrap_or_else(|| title.clone()),
            title,
            severity: severity(header.level),
            description,
            attack: header.tags.iter().filter_map(|tag| technique(tag)).collect(),
        }
    }
}

fn severity(level: Option<Level>) -> Severity {
    match level {
        Some(Level::Critical) => Severity::Critical,
        Some(Level::High) => Severity::High,
        Some(Level::Medium) | None => Severity::Medium,
        Some(Level::Low) => Severity::Low,
        Some(Level::Informational) => Severity::Info,
    }
}

/// `attack.t1505.003` is T1505.003; names of tactics and groups are none.
fn technique(tag: &str) -> Option<String> {
    let id = tag.strip_prefix("attack.")?.to_ascii_uppercase();
    crate::yara::is_technique(&id).then_some(id)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
