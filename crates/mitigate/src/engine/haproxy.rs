//! HAProxy: where does the rule stand in its configuration, and in which words?
//!
//! In each `frontend` and `listen` of mode HTTP as the first `http-request` rule. The target is looked at as it was
//! sent (`url`), and once more decoded. Sections of mode TCP do not see requests: they are told, not passed over.
//! Source: HAProxy 2.6 configuration manual, sections 2.2 (quoting), 4.2 (`http-request return`), 7.1.3, 7.3.6.

use std::fmt::Write as _;

use super::{Insertion, Rule};
use crate::rule::{Dialect, Expressions};

/// What was found in a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sections {
    /// Offsets just behind the heads of sections that see requests, with their names.
    pub http: Vec<(usize, String)>,
    /// Names of sections that do not.
    pub tcp: Vec<String>,
}

/// A section while it is read.
struct Section {
    head: Vec<String>,
    behind: usize,
    mode: Option<String>,
}

/// Finds the sections of a file that visitors reach.
pub fn sections(text: &str) -> Sections {
    let (mut all, mut at) = (Vec::<Section>::new(), 0);
    for line in text.split_inclusive('\n') {
        at += line.len();
        let words: Vec<String> =
            line.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let Some(first) = words.first() else { continue };
        // Heads stand at the left edge by custom only; the words themselves are what counts.
        if HEADS.contains(&first.as_str()) {
            all.push(Section { head: words, behind: at, mode: None });
        } else if let (Some(section), "mode") = (all.last_mut(), first.as_str()) {
            section.mode = words.get(1).cloned();
        }
    }
    let mut found = Sections::default();
    for (n, section) in all.iter().enumerate() {
        let [kind, name @ ..] = section.head.as_slice() else { continue };
        if kind != "frontend" && kind != "listen" {
            continue;
        }
        let name = format!("{kind} {}", name.first().map_or("", String::as_str));
        match mode(&all[..n], section) {
            Some("http") => found.http.push((section.behind, name)),
            _ => found.tcp.push(name),
        }
    }
    found
}

const HEADS: [&str; 15] = [
    "global",
    "defaults",
    "frontend",
    "listen",
    "backend",
    "userlist",
    "peers",
    "mailers",
    "resolvers",
    "program",
    "cache",
    "fcgi-app",
    "http-errors",
    "ring",
    "log-forward",
];

/// The mode of a section: its own, of the defaults that it names, or of the last before it.
fn mode<'a>(before: &'a [Section], section: &'a Section) -> Option<&'a str> {
    if section.mode.is_some() {
        return section.mode.as_deref();
    }
    let from = section.head.iter().position(|word| word == "from").and_then(|at| section.head.get(at + 1));
    let mut defaults = before.iter().rev().filter(|one| one.head[0] == "defaults");
    let above = match from {
        Some(from) => defaults.find(|one| one.head.get(1) == Some(from)),
        None => defaults.next(),
    };
    above.and_then(|defaults| defaults.mode.as_deref())
}

/// What is inserted: the rule into each section that sees requests.
pub fn insertions(sections: &Sections, rule: &Rule<'_>) -> Vec<Insertion> {
    let text = lines(rule);
    sections.http.iter().map(|(at, _)| Insertion { at: *at, text: text.clone() }).collect()
}

/// The rule, as lines of a section.
pub fn lines(rule: &Rule<'_>) -> String {
    let of = Expressions::new(&rule.blocked(), Dialect::Named);
    let (word, marker) = (rule.word(), rule.marker());
    let mut out = format!("    # {marker}; `portcullis mitigate undo` takes it away\n");
    let name = format!("portcullis_{word}");
    for text in of.spelt.iter().chain([&of.garbled]) {
        let _ = writeln!(out, "    acl {name} url -m reg -i '{text}'");
    }
    for text in &of.normal {
        let _ = writeln!(out, "    acl {name} path,url_dec,url_dec -m reg -i '{text}'");
    }
    for header in rule.headers() {
        // A product that hands headers to programs knows `X_Original_URL` by the same name.
        let header = header.to_ascii_lowercase().replace('-', "[-_]");
        let _ = writeln!(out, "    acl {name} req.hdr_names -m reg -i '(^|,){header}(,|$)'");
    }
    let _ = writeln!(out, "    acl {name}_climbs url -m reg -i '{}'", of.climbs);
    for text in &of.last {
        let _ = writeln!(out, "    acl {name}_last url -m reg -i '{text}'");
    }
    let answer = format!("return status 403 content-type text/plain string \"{marker}\\n\"");
    let _ = writeln!(out, "    http-request {answer} if {name} || {name}_climbs {name}_last");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_crafted_configuration_is_read_and_its_sections_begin_at_lines(
            text in "((frontend|listen|defaults|mode|from|http|tcp|#|é)[ \t\n]){0,30}"
        ) {
            for (at, _) in sections(&text).http {
                proptest::prop_assert!(at == text.len() || text[..at].ends_with('\n'));
            }
        }
    }

    #[test]
    fn the_mode_of_a_section_is_its_own_or_that_of_its_defaults() {
        let text = "global\ndefaults web\n  mode http\nfrontend a\n  bind :1\nlisten b # mode http\n  mode tcp\n\
                    defaults\n\
                    frontend c\nfrontend d from web\nbackend e\n  mode http\n";
        let found = sections(text);
        let names: Vec<&str> = found.http.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(
            (names, found.tcp),
            (vec!["frontend a", "frontend d"], vec!["listen b".into(), "frontend c".into()])
        );
        assert!(text[found.http[0].0..].starts_with("  bind :1"));
    }
}
