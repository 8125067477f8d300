//! Licences: may we ship what we depend on?
//!
//! Enforces the lists of deny.toml on every crate that is built for this platform: licences, bans
//! and sources. What a crate says about itself is taken as it is.

use std::collections::BTreeSet;

use house::{cargo, files, none};
use toml::{Table, Value};

fn deny() -> Table {
    files::required("deny.toml").text.parse().unwrap_or_else(|err| panic!("deny.toml: {err}"))
}

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn every_crate_below_us_has_a_licence_that_we_allow() {
    let allowed = strings(&deny()["licenses"]["allow"]);
    let all = cargo::everything();
    let wrong = all.packages.iter().filter_map(|package| {
        let licence = package.license.as_deref().unwrap_or_default();
        let place = format!("{} {}", package.name, package.version);
        match holds(licence, &|one| allowed.contains(one)) {
            Some(true) => None,
            Some(false) => Some(format!("{place}: {licence}")),
            None => Some(format!("{place}: cannot make sense of its licence {licence:?}")),
        }
    });
    none(wrong, "Take another crate; or add the licence to deny.toml with a word on who needs it, after reading it.");
}

#[test]
fn every_licence_that_we_allow_is_needed() {
    let all = cargo::everything();
    let expressions: Vec<&str> = all.packages.iter().filter_map(|package| package.license.as_deref()).collect();
    let allowed = strings(&deny()["licenses"]["allow"]);
    let is_needed = |without: &String| {
        let holds_without = |text| holds(text, &|one| one != without && allowed.contains(one)) == Some(true);
        // Needed by a crate that offers nothing else that we allow.
        expressions.iter().any(|text| !holds_without(text))
    };
    let idle = allowed.iter().filter(|one| !is_needed(one));
    none(idle.map(|one| format!("deny.toml: no crate needs {one}")), "Take it out of `allow`.");
}

#[test]
fn every_crate_comes_from_one_registry() {
    let all = cargo::everything();
    let from: BTreeSet<&str> = all.packages.iter().filter_map(|package| package.source.as_deref()).collect();
    let registries = from.iter().filter(|source| source.starts_with("registry+")).count();
    assert!(registries == 1 && from.len() == 1, "Cargo.lock: crates come from {from:?}; deny.toml allows one registry");
}

#[test]
fn nothing_stands_on_a_banned_crate_but_its_wrappers() {
    let all = cargo::everything();
    let mut wrong = Vec::new();
    for ban in deny()["bans"]["deny"].as_array().into_iter().flatten() {
        let banned = ban["crate"].as_str().expect("a ban names a crate");
        let wrappers = ban.get("wrappers").map(strings).unwrap_or_default();
        for ours in all.ours().filter(|ours| !wrappers.contains(&ours.name)) {
            if ours.dependencies.iter().any(|used| used.name == banned && used.kind.is_none()) {
                wrong.push(format!("crates/{}/Cargo.toml: uses `{banned}`, which deny.toml bans there", ours.name));
            }
        }
    }
    none(wrong, "Leave the network to the crates that deny.toml names as wrappers.");
}

#[test]
fn both_licence_texts_lie_beside_the_manifest() {
    for (path, phrase) in [("LICENSE-APACHE", "Apache License"), ("LICENSE-MIT", "Permission is hereby granted")] {
        let text = files::required(path).text;
        assert!(text.contains(phrase), "{path}: does not hold the licence's text");
    }
}

/// Evaluates an SPDX expression: `OR`, `AND`, parentheses, `WITH`, and `/` as older crates write
/// `OR`. `None` if it is no expression. A licence `WITH` an exception counts as one licence.
fn holds(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let value = any(&mut words, allowed)?;
    words.next().is_none().then_some(value)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = every(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        value |= every(words, allowed)?;
    }
    Some(value)
}

fn every(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        value &= one(words, allowed)?;
    }
    Some(value)
}

fn one(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let value = any(words, allowed)?;
        return (words.next()? == ")").then_some(value);
    }
    let is_name =
        word.chars().all(|c| c.is_ascii_alphanumeric() || "-.+".contains(c)) && !["OR", "AND"].contains(&word);
    if words.next_if_eq(&"WITH").is_some() {
        let exception = words.next()?;
        return Some(allowed(&format!("{word} WITH {exception}")));
    }
    is_name.then(|| allowed(word))
}

#[test]
fn a_licence_expression_is_read_as_spdx_says() {
    let mit = |one: &str| one == "MIT";
    for (expression, expected) in [
        ("MIT", Some(true)),
        ("GPL-3.0", Some(false)),
        ("MIT/Apache-2.0", Some(true)),
        ("MIT AND GPL-3.0", Some(false)),
        ("GPL-3.0 OR MIT AND ISC", Some(false)),
        ("(GPL-3.0 OR MIT) AND MIT", Some(true)),
        ("GPL-2.0 WITH Classpath-exception-2.0 OR MIT", Some(true)),
        ("", None),
        ("MIT OR", None),
        ("(MIT", None),
        ("MIT MIT", None),
    ] {
        assert_eq!(holds(expression, &mit), expected, "{expression}");
    }
}
