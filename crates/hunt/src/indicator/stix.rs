//! Stix: which indicators does a STIX 2.1 bundle hold?
//!
//! Reads `indicator` objects whose pattern is one of STIX. Equality and `IN`, joined by `AND` and `OR` inside
//! one observation and by `OR` between observations, are held against files and events; `LIKE`, `MATCHES`, `NOT`,
//! sequences and qualifiers are reported as not used. Written by hand since no crate on the registry reads
//! patterns into anything but text.
//! Source: STIX 2.1, sections 4.7 (indicator) and 9 (patterning).

use directive::problem::Problem;
use serde_json::Value;

use super::{Indicator, Limits, Sign, digest, refanged};

pub(super) fn read(file: &str, bytes: &[u8], limits: &Limits) -> (Vec<Indicator>, Vec<Problem>) {
    let bundle: Value = match serde_json::from_slice(bytes) {
        Ok(bundle) => bundle,
        Err(error) => return (Vec::new(), vec![Problem::whole(file, format!("no JSON: {error}"))]),
    };
    let Some(objects) = bundle.get("objects").and_then(Value::as_array) else {
        return (Vec::new(), vec![Problem::whole(file, "no STIX bundle: it has no `objects`")]);
    };
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for object in objects {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let is_revoked = object.get("revoked").and_then(Value::as_bool) == Some(true);
        if text("type") != Some("indicator") || is_revoked {
            continue;
        }
        let id = text("id").unwrap_or("an indicator without id").to_owned();
        if text("pattern_type").is_some_and(|kind| kind != "stix") {
            let kind = text("pattern_type").unwrap_or_default();
            problems.push(Problem::whole(file, format!("{id} has a pattern of {kind}, which is not used here")));
            continue;
        }
        match pattern(text("pattern").unwrap_or_default(), limits) {
            Ok(any_of) => found.push(Indicator {
                name: text("name").unwrap_or(&id).to_owned(),
                attack: techniques(object),
                id,
                any_of,
            }),
            Err(why) => problems.push(Problem::whole(file, format!("{id} is not used: {why}"))),
        }
    }
    (found, problems)
}

/// ATT&CK techniques among the external references.
fn techniques(object: &Value) -> Vec<String> {
    let references = object.get("external_references").and_then(Value::as_array).into_iter().flatten();
    let attack = references
        .filter(|one| one.get("source_name").and_then(Value::as_str).is_some_and(|name| name.starts_with("mitre-")));
    attack.filter_map(|one| one.get("external_id")?.as_str()).map(str::to_owned).collect()
}

/// Alternatives, each a set of signs that must be seen together.
type AnyOf = Vec<Vec<Sign>>;

fn pattern(text: &str, limits: &Limits) -> Result<AnyOf, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, limits };
    let found = parser.observations(0)?;
    match parser.peek() {
        None => Ok(found),
        Some(token) => Err(format!("{} is not understood here", token.shown())),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `[`, `]`, `(`, `)`, `=`, `,`, `!=`
    Mark(String),
    /// A word or an object path.
    Word(String),
    /// `'...'`
    Text(String),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Mark(text) | Self::Word(text) => format!("{text:?}"),
            Self::Text(_) => "a text".into(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
        } else if first == '\'' {
            let (value, after) = quoted(rest)?;
            out.push(Token::Text(value));
            rest = after;
        } else if "[](),=<>!".contains(first) {
            let end = if rest.starts_with("!=") || rest.starts_with("<=") || rest.starts_with(">=") { 2 } else { 1 };
            out.push(Token::Mark(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            // An object path quotes keys with hyphens: file:hashes.'SHA-256'
            let mut end = 0;
            let mut is_quoted = false;
            for (at, one) in rest.char_indices() {
                match one {
                    '\'' if is_quoted || rest[..at].ends_with('.') => is_quoted = !is_quoted,
                    _ if !is_quoted && (one.is_whitespace() || "[](),=<>!'".contains(one)) => break,
                    _ => {}
                }
                end = at + one.len_utf8();
            }
            if end == 0 {
                return Err(format!("{first:?} is not understood"));
            }
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    Ok(out)
}

/// A text in single quotes, with `\'` and `\\` in it, and what comes after.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, one)) = characters.next() {
        match one {
            '\'' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, next)| next)),
            _ => value.push(one),
        }
    }
    Err("a text has no end".into())
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    limits: &'a Limits,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, mark: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Mark(text)) if text == mark);
        self.at += usize::from(is_it);
        is_it
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word));
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        if self.eat(mark) { Ok(()) } else { Err(format!("{mark:?} is missing")) }
    }

    fn observations(&mut self, depth: usize) -> Result<AnyOf, String> {
        let mut found = Vec::new();
        loop {
            if depth > self.limits.depth {
                return Err("brackets too deep".into());
            }
            found.extend(if self.eat("(") {
                let inner = self.observations(depth + 1)?;
                self.expect(")")?;
                inner
            } else {
                self.expect("[")?;
                let inner = self.alternatives(depth + 1)?;
                self.expect("]")?;
                inner
            });
            if !self.eat_word("OR") {
                break;
            }
        }
        match self.peek() {
            Some(Token::Word(word)) => Err(format!("{word} between observations is not held against files or events")),
            _ => Ok(found),
        }
    }

    /// Comparisons joined by `OR`, the weaker of the two words.
    fn alternatives(&mut self, depth: usize) -> Result<AnyOf, String> {
        let mut found = self.together(depth)?;
        while self.eat_word("OR") {
            found.extend(self.together(depth)?);
            self.bound(found.len())?;
        }
        Ok(found)
    }

    fn together(&mut self, depth: usize) -> Result<AnyOf, String> {
        let mut found = self.comparison(depth)?;
        while self.eat_word("AND") {
            let more = self.comparison(depth)?;
            self.bound(found.len().saturating_mul(more.len()))?;
            let joined = found.iter().flat_map(|left| more.iter().map(move |right| [&left[..], right].concat()));
            found = joined.collect();
        }
        Ok(found)
    }

    fn bound(&self, alternatives: usize) -> Result<(), String> {
        if alternatives > self.limits.alternatives { Err("too many alternatives".into()) } else { Ok(()) }
    }

    fn comparison(&mut self, depth: usize) -> Result<AnyOf, String> {
        if depth > self.limits.depth {
            return Err("brackets too deep".into());
        }
        if self.eat("(") {
            let inner = self.alternatives(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let Some(Token::Word(path)) = self.peek().cloned() else { return Err("a comparison is missing".into()) };
        self.at += 1;
        let mut values = Vec::new();
        if self.eat("=") {
            values.push(self.value()?);
        } else if self.eat_word("IN") {
            self.expect("(")?;
            loop {
                values.push(self.value()?);
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(")")?;
        } else {
            let operator = self.peek().map_or_else(|| "nothing".into(), Token::shown);
            return Err(format!("{path} is compared by {operator}, and only = and IN are held against evidence"));
        }
        self.bound(values.len())?;
        values.iter().map(|value| Ok(vec![sign(&path, value)?])).collect()
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek().cloned() {
            Some(Token::Text(text) | Token::Word(text)) => {
                self.at += 1;
                Ok(text)
            }
            _ => Err("a value is missing".into()),
        }
    }
}

/// What an object path and its value mean for a file or an event.
fn sign(path: &str, value: &str) -> Result<Sign, String> {
    let not_a = |what: &str| format!("{value:?} is no {what}");
    let plain: String = path.chars().filter(|one| *one != '\'').collect();
    match plain.as_str() {
        "file:hashes.SHA-256" | "file:hashes.SHA256" | "file:hashes.MD5" | "file:hashes.SHA-1" | "file:hashes.SHA1" => {
            digest(&value.to_ascii_lowercase()).ok_or_else(|| not_a("digest"))
        }
        "file:name" if value.contains('/') => Ok(Sign::Path(value.as_bytes().to_vec())),
        "file:name" => Ok(Sign::Name(value.as_bytes().to_vec())),
        "ipv4-addr:value" | "ipv6-addr:value" | "network-traffic:src_ref.value" | "network-traffic:dst_ref.value" => {
            let address = value.parse().map(|address: std::net::IpAddr| address.into());
            let network = address.or_else(|_| value.parse::<ipnet::IpNet>().map(|network| network.trunc()));
            network.map(Sign::Network).map_err(|_| not_a("address"))
        }
        "domain-name:value" => Ok(Sign::Domain(refanged(value).to_ascii_lowercase())),
        "url:value" => Ok(Sign::Url(refanged(value))),
        path if path.starts_with("network-traffic:extensions.http-request-ext.request_header.User-Agent") => {
            Ok(Sign::UserAgent(value.to_owned()))
        }
        _ => Err(format!("{path} is not held against files or events")),
    }
}
