//! Literals: which fingerprints can match a text at all?
//!
//! A database has hundreds of patterns, and a text holds the words of few of them. Most patterns cannot match
//! without some string; all those strings are looked for in one passage, and only whose string is there is tried.
//! Never leaves out a pattern that would match: where nothing is sure, a pattern is always tried.
//! Speed: `benches/recog.rs`.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use fancy_regex::{AstNode, Expr};

/// Strings in small letters of which one is in every text that matches; `None` if nothing is sure.
pub(super) type Needed = Option<Vec<String>>;

/// Strings for one pattern at most: a passage that looks for everything is no passage that finds little.
const MOST: usize = 64;

/// Shorter strings are in most texts.
const SHORTEST: usize = 3;

/// What every text that matches must hold.
pub(super) fn needed(expression: &Expr) -> Needed {
    let strings = required(expression)?;
    (strings.len() <= MOST && strings.iter().all(|string| string.len() >= SHORTEST)).then_some(strings)
}

/// Nested expressions are as deep as the parser allows.
fn required(expression: &Expr) -> Needed {
    match expression {
        Expr::Literal { val, .. } => runs([val.as_str()]),
        Expr::Concat(parts) => required_in_order(parts),
        Expr::Alt(ways) => {
            let mut all = Vec::new();
            for way in ways {
                all.extend(required(way)?);
                if all.len() > MOST {
                    return None;
                }
            }
            Some(all)
        }
        Expr::Group(inner) => required(inner),
        Expr::AtomicGroup(inner) => required(inner),
        Expr::AstNode(AstNode::AstGroup { inner, .. }, _) => required(inner),
        Expr::Repeat { child, lo, .. } if *lo > 0 => required(child),
        _ => None,
    }
}

/// Characters that stand one after another are one string; the best of the parts decides.
fn required_in_order(parts: &[Expr]) -> Needed {
    let mut best: Needed = None;
    let mut letters: Vec<&str> = Vec::new();
    for part in parts {
        if let Expr::Literal { val, .. } = part {
            letters.push(val);
            continue;
        }
        best = better(best, runs(letters.drain(..)));
        best = better(best, required(part));
    }
    better(best, runs(letters))
}

/// The longest string of ASCII in letters that follow each other: others have a large and a small form that this
/// file does not know.
fn runs<'e>(letters: impl IntoIterator<Item = &'e str>) -> Needed {
    let whole: String = letters.into_iter().collect();
    let longest = whole.split(|c: char| !c.is_ascii()).max_by_key(|run| run.len())?;
    (!longest.is_empty()).then(|| vec![longest.to_ascii_lowercase()])
}

/// The one whose shortest string is longer.
fn better(a: Needed, b: Needed) -> Needed {
    let worth = |needed: &Needed| needed.as_ref().map_or(0, |all| all.iter().map(String::len).min().unwrap_or(0));
    if worth(&b) > worth(&a) { b } else { a }
}

/// Finds the patterns of a database that can match.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    strings: Option<AhoCorasick>,
    /// The patterns that need each string.
    owners: Vec<Vec<usize>>,
    /// The patterns that need none.
    always: Vec<usize>,
    patterns: usize,
}

impl Index {
    /// Of what each pattern needs, in order.
    pub(super) fn new<'n>(all: impl IntoIterator<Item = &'n Needed>) -> Self {
        let mut index = Self::default();
        let mut by_string = std::collections::BTreeMap::<&str, Vec<usize>>::new();
        for (n, needed) in all.into_iter().enumerate() {
            index.patterns = n + 1;
            match needed {
                Some(strings) => strings.iter().for_each(|string| by_string.entry(string).or_default().push(n)),
                None => index.always.push(n),
            }
        }
        let built = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(by_string.keys());
        match built {
            Ok(strings) => {
                index.strings = Some(strings);
                index.owners = by_string.into_values().collect();
            }
            // Too many strings for the engine: every pattern is tried.
            Err(_) => index.always = (0..index.patterns).collect(),
        }
        index
    }

    /// The patterns that can match a text, in order.
    pub(super) fn candidates(&self, text: &str) -> Vec<usize> {
        // Two letters beyond ASCII have small forms in ASCII: the long s, and the sign of Kelvin.
        if text.contains(['\u{17f}', '\u{212a}']) {
            return (0..self.patterns).collect();
        }
        // A text that repeats one string a thousand times takes no more memory than any other.
        let mut may_match = vec![false; self.patterns];
        let hits = self.strings.iter().flat_map(|strings| strings.find_overlapping_iter(text));
        let owners = hits.filter_map(|hit| self.owners.get(hit.pattern().as_usize())).flatten();
        for pattern in self.always.iter().chain(owners) {
            may_match[*pattern] = true;
        }
        (0..self.patterns).filter(|pattern| may_match[*pattern]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::expression::Expression;

    #[track_caller]
    fn check(pattern: &str, expected: &str) {
        let needed = Expression::new(pattern, "").unwrap().needed;
        assert_eq!(needed.map_or("nothing".to_owned(), |all| all.join(" ")), expected, "{pattern}");
    }

    #[test]
    fn the_longest_string_of_a_pattern_is_needed() {
        check(r"^Apache/(\d+)", "apache/");
        check(r"^(?i)nginx(?:/([\d.]+))?$", "nginx");
        check(r"^ab\d+ Server$", " server");
        check(r"^(?:one|other) way", " way");
        check(r"^(?:first|other)\d", "first other");
        check(r"^(?:Gate)+$", "gate");
    }

    #[test]
    fn a_pattern_that_needs_nothing_is_always_tried() {
        check(r"^(?:Gate)*$", "nothing");
        check(r"^\d+$", "nothing");
        check(r"^(?:gate|\d+)$", "nothing");
        check(r"^(?=gate)\d$", "nothing");
        check(r"^ab$", "nothing");
    }
}
