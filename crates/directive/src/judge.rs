//! Judge: which rule makes this verdict, and which did not hold?
//!
//! Rules are data: those of `data/verdict.toml` always, and those that a pack adds in `hunt/verdict.toml`. A rule is a
//! list of conditions, all of which must hold; each says how many findings, or gaps, of a kind there have to be. The
//! worst verdict of the rules that hold counts, and every rule is explained, held or not.
//! Never makes a verdict better: a rule can add a reason to act, and none can take one away.
//! Source: ED 21-03 action 2 (any mismatch), 2.b and Appendix A.

use serde::Deserialize;

use crate::pattern::Pattern;
use crate::record::{Finding, Gap, Severity};
use crate::verdict::Verdict;

/// Rules of a verdict.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rules {
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Rule {
    id: String,
    verdict: Verdict,
    /// All must hold.
    when: Conditions,
    says: String,
}

/// At least one condition: a rule without any would always hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<Condition>")]
struct Conditions(Vec<Condition>);

impl TryFrom<Vec<Condition>> for Conditions {
    type Error = String;

    fn try_from(all: Vec<Condition>) -> Result<Self, String> {
        if all.is_empty() {
            return Err("a rule needs a condition".to_owned());
        }
        for one in &all {
            if one.gap.is_some() && (one.severity.is_some() || one.rule.is_some() || one.path.is_some()) {
                return Err("a condition is about gaps or about findings".to_owned());
            }
        }
        Ok(Self(all))
    }
}

/// How many findings or gaps of a kind there have to be. All parts that are there must fit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Condition {
    /// Codes, one of which it has.
    #[serde(default)]
    code: Vec<String>,
    /// Findings that weigh at least this much.
    severity: Option<Severity>,
    /// What the finding was held against looks like.
    rule: Option<Pattern>,
    /// What the finding's path looks like.
    path: Option<Pattern>,
    /// Gaps, not findings.
    gap: Option<Needed>,
    /// How many, at least.
    #[serde(default = "one")]
    at_least: u64,
}

fn one() -> u64 {
    1
}

/// Which gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Needed {
    /// Those in what had to be seen.
    Required,
    /// All.
    Any,
}

/// How one rule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The rule.
    pub id: String,
    /// The verdict that it asks for.
    pub verdict: Verdict,
    /// What it says.
    pub says: String,
    /// Whether it holds.
    pub holds: bool,
    /// For each condition, how many findings or gaps fit and how many have to.
    pub counts: Vec<(u64, u64)>,
    /// Where the first of what fits is, at most three places.
    pub examples: Vec<String>,
}

/// How many places an explanation names.
const EXAMPLES: usize = 3;

impl Rules {
    /// The rules that always hold.
    ///
    /// # Errors
    ///
    /// What is wrong with the table that comes with the product; a test reads it too.
    pub fn built_in() -> Result<Self, toml::de::Error> {
        toml::from_str(include_str!("../data/verdict.toml"))
    }

    /// Adds the rules of a pack.
    pub fn extend(&mut self, more: &Self) {
        self.rules.extend(more.rules.iter().cloned());
    }

    /// Weighs findings and gaps under these rules and the built-in ones.
    pub fn judge(&self, findings: &[Finding], gaps: &[Gap]) -> (Verdict, Vec<Explained>) {
        let own = Self::built_in().unwrap_or_default();
        let rules = own.rules.iter().chain(&self.rules);
        let explained: Vec<Explained> = rules.map(|rule| rule.explain(findings, gaps)).collect();
        let held = explained.iter().filter(|rule| rule.holds).map(|rule| rule.verdict).min();
        // The table is data, and data can be lost; the order of words is not.
        let least = Verdict::weigh(findings, gaps);
        (held.unwrap_or(Verdict::NoEvidenceFound).min(least), explained)
    }
}

impl Rule {
    fn explain(&self, findings: &[Finding], gaps: &[Gap]) -> Explained {
        let mut examples = Vec::new();
        let counts: Vec<(u64, u64)> = self.when.0.iter().map(|one| one.count(findings, gaps, &mut examples)).collect();
        Explained {
            id: self.id.clone(),
            verdict: self.verdict,
            says: self.says.clone(),
            holds: counts.iter().all(|(have, need)| have >= need),
            counts,
            examples,
        }
    }
}

impl Condition {
    fn count(&self, findings: &[Finding], gaps: &[Gap], examples: &mut Vec<String>) -> (u64, u64) {
        let mut have = 0;
        let mut fits = |code: &str, place: Option<String>| {
            have += 1;
            if examples.len() < EXAMPLES {
                let place = place.map(|place| format!(" {place}")).unwrap_or_default();
                examples.push(format!("{code}{place}"));
            }
        };
        let is_named = |code: &str| self.code.is_empty() || self.code.iter().any(|name| name == code);
        match self.gap {
            Some(needed) => {
                for gap in gaps.iter().filter(|gap| is_named(&gap.code)) {
                    if gap.required || needed == Needed::Any {
                        fits(&gap.code, gap.path.as_ref().map(|path| path.escaped()).or_else(|| gap.place.clone()));
                    }
                }
            }
            None => {
                for finding in findings.iter().filter(|finding| is_named(&finding.code) && self.is_about(finding)) {
                    let path = finding.path.as_ref().map(|path| path.escaped());
                    fits(&finding.code, path.or_else(|| finding.place.clone()));
                }
            }
        }
        (have, self.at_least)
    }

    fn is_about(&self, finding: &Finding) -> bool {
        let path = finding.path.as_ref().map(|path| path.escaped());
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.is_match(text)))
        };
        self.severity.is_none_or(|least| finding.severity >= least)
            && fits(&self.rule, finding.rule.as_deref())
            && fits(&self.path, path.as_deref())
    }
}

impl std::fmt::Display for Explained {
    /// One line: `compromised  known-bad: something here is known to be bad (1 of 1 needed: yara-match /x)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts: Vec<String> = self.counts.iter().map(|(have, need)| format!("{have} of at least {need}")).collect();
        let word = if self.holds { "holds" } else { "does not hold" };
        write!(f, "{} -> {}: {word}, {}; {}", self.id, self.verdict, self.says, counts.join(" and "))?;
        if !self.examples.is_empty() {
            write!(f, ": {}", self.examples.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: &str, severity: Severity, rule: Option<&str>, path: &str) -> Finding {
        Finding {
            code: code.into(),
            severity,
            path: Some(crate::text::Text::new(path.as_bytes())),
            place: None,
            why: String::new(),
            evidence: None,
            rule: rule.map(str::to_owned),
            attack: Vec::new(),
            clause: None,
            times: Default::default(),
        }
    }

    fn gap(required: bool) -> Gap {
        Gap { code: "log-missing".into(), path: None, place: None, why: String::new(), required }
    }

    fn rules(text: &str) -> Rules {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_built_in_table_says_what_the_words_mean() {
        Rules::built_in().unwrap();
        for severity in [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
            for required in [false, true] {
                let (findings, gaps) = ([finding("x", severity, None, "/x")], [gap(required)]);
                let (verdict, explained) = Rules::default().judge(&findings, &gaps);
                assert_eq!(verdict, Verdict::weigh(&findings, &gaps), "{explained:?}");
            }
        }
    }

    #[test]
    fn two_findings_that_are_harmless_alone_are_a_compromise_together_if_a_pack_says_so() {
        let text = "[[rule]]\nid = 'covered'\nverdict = 'compromised'\nsays = 'tracks were covered'\n\
                    when = [{ code = ['file-modified'], path = '^/home/bin/' }, { rule = '^log-cleared$' }]\n";
        let changed = finding("file-modified", Severity::High, None, "/home/bin/web");
        let cleared = finding("telltale-event", Severity::Low, Some("log-cleared"), "/log");
        let rules = rules(text);
        assert_eq!(rules.judge(std::slice::from_ref(&changed), &[]).0, Verdict::Mismatch);
        let (verdict, explained) = rules.judge(&[changed, cleared], &[]);
        assert_eq!(verdict, Verdict::Compromised);
        let line = explained.last().unwrap().to_string();
        assert!(line.contains("covered -> compromised: holds") && line.contains("/home/bin/web"), "{line}");
    }

    #[test]
    fn no_rule_makes_a_verdict_better() {
        let text = "[[rule]]\nid = 'all-good'\nverdict = 'no-evidence-found'\nsays = 'fine'\n\
                    when = [{ code = ['file-modified'] }]\n";
        let changed = finding("file-modified", Severity::High, None, "/x");
        assert_eq!(rules(text).judge(&[changed], &[]).0, Verdict::Mismatch);
    }

    #[test]
    fn a_rule_that_always_holds_is_refused() {
        let text = "[[rule]]\nid = 'x'\nverdict = 'compromised'\nsays = 'x'\nwhen = []\n";
        assert!(toml::from_str::<Rules>(text).unwrap_err().to_string().contains("needs a condition"));
    }
}
