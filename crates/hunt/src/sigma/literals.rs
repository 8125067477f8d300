//! Literals: which words must a line hold before any rule can match it?
//!
//! What is told here must hold of every line that a rule matches: where that is not certain, nothing is told.
//! Taken from the rules as they were compiled, so that what runs and what is searched for cannot differ.

use logs::Format;
use rsigma_eval::matcher::{CompiledMatcher, GroupMode};
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledRule};
use rsigma_parser::{ConditionExpr, LogSource, Quantifier};

use super::view;
use crate::literals::{Words, all, any, word};

/// Words of which a line holds at least one if any of the rules matches it; `None` if that cannot be said.
pub(super) fn of_rules<'r>(rules: impl Iterator<Item = &'r CompiledRule>) -> Words {
    any(rules.flat_map(|rule| rule.conditions.iter().map(|condition| of_condition(condition, rule))))
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
