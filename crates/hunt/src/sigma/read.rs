//! Read: which rules are in these files, and what is wrong with the others?
//!
//! A file holds one rule or several, divided by `---`. Each is read by itself, so that a mistake in one costs no
//! other and is shown at its own line. Rules that are not run are told here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::catch_unwind;

use directive::problem::Problem;
use rsigma_parser::{ConditionExpr, CorrelationRule, SelectorPattern, SigmaCollection, SigmaRule, parse_sigma_yaml};
use serde::Deserialize as _;
use yaml_serde::Value;

use super::{Broken, Limits};

/// A rule, and where it stands.
pub(super) struct Found {
    pub(super) rule: SigmaRule,
    file: String,
    /// The document in its file.
    place: Range<usize>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Read {
    pub(super) rules: Vec<Found>,
    pub(super) broken: Vec<Broken>,
    /// Mistakes beyond the limit.
    pub(super) beyond: usize,
}

impl Read {
    /// Shows a mistake, with its place; only counts it when enough are shown, since showing one copies its file.
    fn wrong(&mut self, at: (&str, &str, &Range<usize>), why: &str, limits: &Limits) {
        if self.broken.len() < limits.errors {
            self.broken.push(broken(at.0, at.1, at.2, why));
        } else {
            self.beyond += 1;
        }
    }
}

impl Found {
    /// What the compiler has to say against it.
    pub(super) fn broken(&self, files: &BTreeMap<String, Vec<u8>>, why: &str) -> Broken {
        let text = files.get(&self.file).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
        broken(&self.file, &text, &self.place, why)
    }
}

/// A correlation rule, and where it stands.
struct Counting {
    rule: CorrelationRule,
    file: String,
    place: Range<usize>,
}

/// Reads all rules of all files.
pub(super) fn rules(files: &BTreeMap<String, Vec<u8>>, limits: &Limits) -> Read {
    let mut read = Read::default();
    let mut counting = Vec::new();
    let mut left = limits.bytes;
    for (n, (file, bytes)) in files.iter().enumerate() {
        let whole = |report: String| Broken { file: file.clone(), report: Problem::whole(file, report).to_string() };
        let size = bytes.len() as u64;
        if n >= limits.files || size > left {
            read.broken.push(whole("the rules are too many or too long: this file is not used".to_owned()));
            continue;
        }
        left -= size;
        match std::str::from_utf8(bytes) {
            Ok(text) => file_of_rules(file, text, limits, &mut read, &mut counting),
            Err(err) => read.broken.push(whole(format!("not UTF-8 from byte {}", err.valid_up_to()))),
        }
    }
    leave_out(files, &mut read, &counting, limits);
    if read.rules.len() > limits.rules {
        let report = format!("{} rules, and the first {} are used", read.rules.len(), limits.rules);
        read.broken.push(Broken { file: String::new(), report });
        read.rules.truncate(limits.rules);
    }
    read
}

fn file_of_rules(file: &str, text: &str, limits: &Limits, read: &mut Read, counting: &mut Vec<Counting>) {
    let mut documents = documents(text);
    // `action: global` speaks to the documents behind it, so that they are read together.
    if text.lines().any(|line| line.starts_with("action:")) {
        documents = std::iter::once(0..text.len()).collect();
    }
    for place in documents {
        let document = &text[place.clone()];
        if document.lines().all(|line| line.trim().is_empty() || line.starts_with(['#', '-', '%'])) {
            continue;
        }
        let mut wrong = |why: &str| read.wrong((file, text, &place), why, limits);
        if document.len() > limits.rule {
            wrong(&format!("the rule is longer than {} bytes", limits.rule));
            continue;
        }
        if document.len() > limits.aliased && has_alias(document) {
            wrong(&format!("the rule has aliases and is longer than {} bytes", limits.aliased));
            continue;
        }
        if open_brackets(document) > OPEN {
            wrong(&format!("the rule has more than {OPEN} brackets of YAML inside each other"));
            continue;
        }
        if is_deep(document) {
            wrong(&format!("the condition has more than {DEEPEST} brackets or negations inside each other"));
            continue;
        }
        let Ok(Ok(parsed)) = catch_unwind(|| parse_sigma_yaml(document)) else {
            wrong("the reader of rules could not go through it");
            continue;
        };
        let SigmaCollection { rules, correlations, filters, errors } = parsed;
        let has_rule = !rules.is_empty() || !correlations.is_empty();
        // Where a rule comes out all the same, what it says of its status or its relatives is not needed.
        let idle = |why: &String| has_rule && (why.starts_with("related") || why.starts_with("invalid status"));
        errors.iter().filter(|why| !idle(why)).for_each(|why| wrong(why));
        filters.iter().for_each(|filter| {
            wrong(&format!("filters are not run: {:?} would silence rules of other files", filter.title));
        });
        for rule in rules {
            match mistake(&rule) {
                Some(why) => read.wrong((file, text, &place), &why, limits),
                None => read.rules.push(Found { rule, file: file.to_owned(), place: place.clone() }),
            }
        }
        let found = correlations.into_iter();
        counting.extend(found.map(|rule| Counting { rule, file: file.to_owned(), place: place.clone() }));
    }
}

/// What a rule says that can never hold, or that would hold of everything.
fn mistake(rule: &SigmaRule) -> Option<String> {
    let source = &rule.logsource;
    if source.product.is_none() && source.category.is_none() && source.service.is_none() {
        return Some("the rule names no `logsource`: it would be held against lines of every log".to_owned());
    }
    if !source.custom.is_empty() {
        let names: BTreeSet<&str> = source.custom.keys().map(String::as_str).collect();
        return Some(format!("the `logsource` asks for {names:?}, which no event tells"));
    }
    let missing = |condition: &ConditionExpr| missing(condition, rule);
    let name = rule.detection.conditions.iter().find_map(missing)?;
    Some(format!("the condition speaks of '{name}', and there is no such detection"))
}

fn missing(condition: &ConditionExpr, rule: &SigmaRule) -> Option<String> {
    let named = &rule.detection.named;
    match condition {
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => parts.iter().find_map(|part| missing(part, rule)),
        ConditionExpr::Not(part) => missing(part, rule),
        ConditionExpr::Identifier(name) => (!named.contains_key(name)).then(|| name.clone()),
        ConditionExpr::Selector { pattern, .. } => {
            let is_there = named.keys().any(|name| pattern.matches_detection_name(name));
            (!is_there).then(|| match pattern {
                SelectorPattern::Them => "them".to_owned(),
                SelectorPattern::Pattern(pattern) => pattern.clone(),
            })
        }
    }
}

/// Leaves out the rules that correlation rules count: by themselves they say nothing, such as one failed login.
fn leave_out(files: &BTreeMap<String, Vec<u8>>, read: &mut Read, counting: &[Counting], limits: &Limits) {
    for Counting { rule, file, place } in counting {
        let before = read.rules.len();
        if !rule.generate {
            let is = |found: &Found, wanted: &String| {
                let names = [found.rule.id.as_ref(), found.rule.name.as_ref(), Some(&found.rule.title)];
                names.contains(&Some(wanted))
            };
            read.rules.retain(|found| !rule.rules.iter().any(|wanted| is(found, wanted)));
        }
        let why = match before - read.rules.len() {
            0 => "correlation rules are not run".to_owned(),
            rules => format!("correlation rules are not run, nor the {rules} rules that this one counts"),
        };
        let text = files.get(file).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
        read.wrong((file, &text, place), &why, limits);
    }
}

/// The documents of a file.
fn documents(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if at > 0 && (line.trim_end() == "---" || line.starts_with("--- ")) {
            starts.push(at);
        }
        at += line.len();
    }
    starts.push(text.len());
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// Whether something is said again by its name (`*name`). A value that begins so is an alias wherever it stands; one
/// inside of quotes is taken for one too, which costs nothing but a rule of unusual length.
fn has_alias(document: &str) -> bool {
    let bytes = document.as_bytes();
    let is_at = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied().unwrap_or(b' ');
        let after = bytes.get(at + 1).copied().unwrap_or(b' ');
        matches!(before, b' ' | b'\t' | b'\n' | b'[' | b',' | b'{' | b':') && after.is_ascii_graphic()
    };
    memchr::memchr(b'&', bytes).is_some() && memchr::memchr_iter(b'*', bytes).any(is_at)
}

/// Brackets of YAML that may be open at once. The reader of YAML takes as long as the square of it: minutes for a
/// hundred thousand. Those inside of texts are counted too, so that it is far more than a rule needs.
const OPEN: usize = 2_000;

fn open_brackets(document: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in document.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Brackets and negations inside each other that a condition may have. The parser of conditions goes as deep as they
/// do, and the end of the stack ends the program, whatever is caught. A public rule has five.
const DEEPEST: usize = 100;

/// Whether some condition goes too deep. YAML is read for it as the parser reads it: brackets can be written in many
/// ways. What is no YAML is the parser's to refuse.
fn is_deep(document: &str) -> bool {
    let mut parts = yaml_serde::Deserializer::from_str(document).map_while(|part| Value::deserialize(part).ok());
    parts.any(|part| conditions(&part).any(|condition| depth(condition) > DEEPEST))
}

/// Every text below a key `condition`.
fn conditions(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::Mapping(all) => Box::new(all.iter().flat_map(|(key, value)| match key.as_str() {
            Some("condition") => texts(value),
            _ => conditions(value),
        })),
        Value::Sequence(all) => Box::new(all.iter().flat_map(conditions)),
        Value::Tagged(tagged) => conditions(&tagged.value),
        _ => Box::new(std::iter::empty()),
    }
}

fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Sequence(all) => Box::new(all.iter().flat_map(texts)),
        Value::Mapping(all) => Box::new(all.values().flat_map(texts)),
        Value::Tagged(tagged) => texts(&tagged.value),
        _ => Box::new(std::iter::empty()),
    }
}

/// At most as deep as this: brackets that are open, and negations since the last word that is none.
fn depth(condition: &str) -> usize {
    let (mut open, mut negations, mut deepest) = (0_usize, 0, 0);
    for part in condition.split_inclusive(|character: char| !character.is_alphanumeric() && character != '_') {
        match part.trim_end_matches(|character: char| !character.is_alphanumeric() && character != '_') {
            "" => {}
            word if word.eq_ignore_ascii_case("not") => negations += 1,
            _ => negations = 0,
        }
        open += usize::from(part.ends_with('('));
        open = open.saturating_sub(usize::from(part.ends_with(')')));
        deepest = deepest.max(open + negations);
    }
    deepest
}

fn broken(file: &str, text: &str, document: &Range<usize>, why: &str) -> Broken {
    let place = place(text, document, why);
    Broken { file: file.to_owned(), report: Problem::at(file, text, place, why).to_string() }
}

/// Where in the file the mistake is: at the line that the reader names, at the word that it quotes, or else where
/// the rule begins.
fn place(text: &str, document: &Range<usize>, why: &str) -> Range<usize> {
    let inside = &text[document.clone()];
    let named = why.split_once("at line ").and_then(|(_, rest)| {
        let mut numbers = rest.split(|character: char| !character.is_ascii_digit()).filter(|number| !number.is_empty());
        let (line, column): (usize, usize) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        let before: usize = inside.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let at = before + column.saturating_sub(1);
        inside.is_char_boundary(at).then_some(at..at)
    });
    let condition = why.contains("ondition").then(|| inside.rfind("condition:")).flatten();
    let quoted = || {
        let word = why.split(['\'', '`', '"']).nth(1).filter(|word| !word.is_empty())?;
        let from = condition.map_or(0, |at| at + "condition:".len());
        let at = inside[from..].find(word)? + from;
        Some(at..at + word.len())
    };
    let condition = || condition.map(|at| at..at + "condition".len());
    let start = || {
        let lines = inside.split_inclusive('\n').scan(0, |at, line| {
            *at += line.len();
            Some((*at - line.len(), line))
        });
        let mut lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with(['#', '-']));
        lines.next().map_or(0..0, |(at, line)| at..at + line.trim_end().len())
    };
    let found = named.or_else(quoted).or_else(condition).unwrap_or_else(start);
    document.start + found.start..document.start + found.end
}
