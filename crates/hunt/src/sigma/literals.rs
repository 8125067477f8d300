//! Literals: which words must a line hold before any rule can match it?
//!
//! Most lines of a log match no rule. A line without any of these words need not even be cut into fields. What is
//! told here must hold of every line that a rule matches: where that is not certain, nothing is told.
//! Taken from the rules as they were compiled, so that what runs and what is searched for cannot differ.

use aho_corasick::{AhoCorasick, MatchKind};
use logs::Format;
use rsigma_eval::matcher::{CompiledMatcher, GroupMode};
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledRule};
use rsigma_parser::{ConditionExpr, LogSource, Quantifier};

use super::view;

/// Characters outside of ASCII that are letters of ASCII in small: rules are held against small letters, so that a
/// line with one of them may match without any of the words. There are three (Unicode 16, `CaseFolding.txt`).
const FOLDING: [&str; 3] = ["\u{212a}", "\u{130}", "\u{17f}"];

/// Words of which a line holds at least one if any rule matches it.
#[derive(Debug, Clone)]
pub struct Literals {
    finder: AhoCorasick,
}

impl Literals {
    /// `None` if some rule can match without any word, or if the words are too many to search for.
    pub(super) fn of<'r>(rules: impl Iterator<Item = &'r CompiledRule>) -> Option<Self> {
        let mut words = Vec::new();
        for rule in rules {
            words.extend(any(rule.conditions.iter().map(|condition| of_condition(condition, rule)))?);
        }
        words.sort();
        words.dedup();
        let words = words.iter().map(String::as_str).chain(FOLDING);
        let builder = &mut AhoCorasick::builder();
        let finder = builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(words).ok()?;
        Some(Self { finder })
    }

    /// Where the next of the words lies: any byte of the first line that holds one. `None`: no line of the block.
    pub fn next(&self, block: &[u8]) -> Option<usize> {
        // Of all words the one that ends first: no earlier line holds any.
        self.finder.find(block).map(|found| found.start())
    }
}

/// Whether lines of a format may be of a rule's log source.
///
/// Source: the sources that the readers of `logs` give, held against them by a test.
pub(super) fn can_be_from(wanted: &LogSource, format: Format) -> bool {
    let (products, categories): (&[&str], &[&str]) = match format {
        Format::Access => (&[], &["webserver"]),
        Format::Error => (&["nginx", "apache"], &["application"]),
        Format::Syslog => (&["linux", "pulse-connect-secure"], &[]),
        // These are never passed over by line; whoever asks gets the words of all rules.
        _ => return true,
    };
    let is = |wanted: &Option<String>, told: &[&str]| {
        wanted.as_deref().is_none_or(|wanted| told.iter().any(|told| told.eq_ignore_ascii_case(wanted)))
    };
    is(&wanted.product, products) && is(&wanted.category, categories)
}

/// Words of which one must be there; `None` if that cannot be said.
type Words = Option<Vec<String>>;

/// One of several must hold, so that any of all their words may be there.
fn any(parts: impl Iterator<Item = Words>) -> Words {
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    Some(all)
}

/// All must hold, so that the words of one are enough: of the one whose shortest word is longest.
fn all(parts: impl Iterator<Item = Words>) -> Words {
    let shortest = |words: &Vec<String>| words.iter().map(String::len).min().unwrap_or(usize::MAX);
    parts.flatten().max_by_key(|words| (shortest(words), usize::MAX - words.len()))
}

fn of_condition(condition: &ConditionExpr, rule: &CompiledRule) -> Words {
    match condition {
        ConditionExpr::And(parts) => all(parts.iter().map(|part| of_condition(part, rule))),
        ConditionExpr::Or(parts) => any(parts.iter().map(|part| of_condition(part, rule))),
        ConditionExpr::Not(_) => None,
        // A name without a detection never holds.
        ConditionExpr::Identifier(name) => rule.detections.get(name).map_or(Some(Vec::new()), of_detection),
        ConditionExpr::Selector { quantifier, pattern } => {
            let named = rule.detections.iter().filter(|(name, _)| pattern.matches_detection_name(name));
            let words = named.map(|(_, detection)| of_detection(detection));
            match quantifier {
                Quantifier::All => all(words),
                Quantifier::Count(0) => None,
                Quantifier::Any | Quantifier::Count(_) => any(words),
            }
        }
    }
}

fn of_detection(detection: &CompiledDetection) -> Words {
    match detection {
        CompiledDetection::AllOf(items) => all(items.iter().map(of_item)),
        CompiledDetection::AnyOf(parts) => any(parts.iter().map(of_detection)),
        CompiledDetection::And(parts) => all(parts.iter().map(of_detection)),
        CompiledDetection::Keywords(matcher) => of_matcher(matcher),
        CompiledDetection::ArrayMatch { .. } | CompiledDetection::Conditional { .. } => None,
    }
}

fn of_item(item: &CompiledDetectionItem) -> Words {
    // The code of an event may be told from its words, and then stands nowhere in the line.
    if item.exists.is_some() || item.field.as_deref() == Some(view::CODE) {
        return None;
    }
    of_matcher(&item.matcher)
}

fn of_matcher(matcher: &CompiledMatcher) -> Words {
    match matcher {
        CompiledMatcher::Exact { value, .. }
        | CompiledMatcher::Contains { value, .. }
        | CompiledMatcher::StartsWith { value, .. }
        | CompiledMatcher::EndsWith { value, .. } => word(value),
        CompiledMatcher::AhoCorasickSet { needles, .. } => any(needles.iter().map(|needle| word(needle))),
        CompiledMatcher::AnyOf(parts) => any(parts.iter().map(of_matcher)),
        CompiledMatcher::AllOf(parts) => all(parts.iter().map(of_matcher)),
        CompiledMatcher::CaseInsensitiveGroup { children, mode } => match mode {
            GroupMode::Any => any(children.iter().map(of_matcher)),
            GroupMode::All => all(children.iter().map(of_matcher)),
        },
        // Expressions, numbers, networks, and all that says what is not there.
        _ => None,
    }
}

/// The longest part of a value that stands in the line byte for byte, apart from capitals. A character outside of
/// ASCII may have replaced bytes that were none.
fn word(value: &str) -> Words {
    let parts = value.split(|character: char| !matches!(character, ' '..='~'));
    let longest = parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty())?;
    Some(vec![longest.to_owned()])
}
