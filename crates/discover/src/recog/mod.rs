//! Recog: what does a database of fingerprints say about a string that a server sent?
//!
//! Reads Rapid7's Recog XML as it is published, so that existing and own databases work unchanged.
//! The first fingerprint that matches counts, as in Recog itself; a pattern that would take too
//! long on a crafted string counts as no match, and that is told.
//! Never decides which product a directive means; `identify` does.
//! Source: github.com/rapid7/recog, `lib/recog/fingerprint.rb`, `lib/recog/db.rb` and `xml/fingerprints.xsd`
//! (BSD-2-Clause). Speed: `benches/recog.rs`.

mod dialect;
mod example;
mod expression;
mod literals;
mod load;

use std::collections::BTreeMap;
use std::sync::Arc;

use directive::pattern;

pub use self::example::{Beside, Failure};
pub use self::expression::ExpressionError;
use self::expression::{Expression, Found};
use self::literals::Index;
pub use self::load::Error;

/// Patterns that may use up their steps on one string; the rest is not tried. Each costs some 10 ms.
const MOST_EXHAUSTED: usize = 8;

/// The databases of a pack: `fingerprints/*.xml`, one value a file.
#[derive(Debug, Clone)]
pub struct Database {
    /// The file, as it is named in the pack.
    pub file: String,
    /// What kind of string it is about: `ssh.banner`, `html_title`, `http_header.server`, ...
    pub matches: String,
    /// Which database is asked first, from 0 to 1; higher first.
    pub preference: f32,
    /// The protocol of all its strings, in small letters.
    protocol: Option<String>,
    // Shared, since several packs may be held against one large database.
    fingerprints: Arc<Vec<Fingerprint>>,
    index: Arc<Index>,
}

/// One fingerprint of a database.
#[derive(Debug, Clone)]
struct Fingerprint {
    line: usize,
    description: String,
    expression: Expression,
    params: Vec<Param>,
    examples: Vec<example::Example>,
}

/// One fact that a match establishes.
#[derive(Debug, Clone)]
struct Param {
    name: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// The capture group of that number.
    Group(usize),
    /// The same for every match.
    Constant(String),
    /// A constant with `{name}` for other facts of the same match.
    Template(String),
}

/// What a fingerprint says about a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The fingerprint's description.
    pub description: String,
    /// Facts by name: `service.vendor`, `service.product`, `service.version`, `service.cpe23`, ...
    pub facts: BTreeMap<String, String>,
}

/// What a database says about a string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recognition {
    /// What the first fingerprint that matches says.
    pub found: Option<Match>,
    /// Lines of the fingerprints before it that used up their steps: whether they match is not known.
    pub exhausted: Vec<usize>,
}

/// A pattern used up its steps.
struct Exhausted;

/// Reads the fingerprint files of a pack: names and XML.
///
/// # Errors
///
/// [`Error`] of the first file that cannot be used.
pub fn load_all(files: &[(String, String)]) -> Result<Vec<Database>, Error> {
    files.iter().map(|(file, xml)| Database::parse(file, xml)).collect()
}

/// Bytes as fingerprints see them: UTF-8 or, where they are not, one character for each byte, since that is what
/// patterns over binary answers count.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

impl Database {
    /// Reads a database. `file` is its name for messages.
    ///
    /// # Errors
    ///
    /// The XML is broken, an expression does not compile, or something is missing; always with
    /// the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        load::parse(file, text)
    }

    /// What the first matching fingerprint says about `text`.
    ///
    /// Takes one passage over the text for all fingerprints together, and one more for each that can match at all.
    pub fn recognise(&self, text: &str) -> Recognition {
        self.first_of(self.index.candidates(text).into_iter(), text)
    }

    /// The same by trying one fingerprint after another: what [`Database::recognise`] must agree with.
    pub fn recognise_one_by_one(&self, text: &str) -> Recognition {
        self.first_of(0..self.fingerprints.len(), text)
    }

    fn first_of(&self, order: impl Iterator<Item = usize>, text: &str) -> Recognition {
        let mut exhausted = Vec::new();
        for fingerprint in order.filter_map(|n| self.fingerprints.get(n)) {
            match fingerprint.recognise(text, self.protocol.as_deref()) {
                Ok(None) => {}
                Ok(found) => return Recognition { found, exhausted },
                Err(Exhausted) => exhausted.push(fingerprint.line),
            }
            if exhausted.len() == MOST_EXHAUSTED {
                break;
            }
        }
        Recognition { found: None, exhausted }
    }

    /// Runs each fingerprint on its own examples: how many there are, and those that fail. Examples in files of their
    /// own come from `beside`, by their path from where the database lies.
    pub fn check_examples(&self, beside: Beside<'_>) -> (usize, Vec<Failure>) {
        let all = self.fingerprints.iter().flat_map(|fp| fp.examples.iter().map(move |example| (fp, example)));
        let check =
            |(fp, example): (_, &example::Example)| example.check(fp, self.protocol.as_deref(), &self.file, beside);
        (all.clone().count(), all.filter_map(check).collect())
    }

    /// The strings of the examples that stand in the database itself.
    pub fn examples(&self) -> impl Iterator<Item = &str> {
        self.fingerprints.iter().flat_map(|fingerprint| &fingerprint.examples).filter_map(example::Example::here)
    }

    /// How many fingerprints it holds.
    pub fn len(&self) -> usize {
        self.fingerprints.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }
}

impl Fingerprint {
    fn recognise(&self, text: &str, protocol: Option<&str>) -> Result<Option<Match>, Exhausted> {
        let found = match self.expression.find(text) {
            Found::No => return Ok(None),
            Found::Exhausted => return Err(Exhausted),
            Found::Yes(found) => found,
        };
        let mut facts = BTreeMap::new();
        for param in &self.params {
            let value = match &param.source {
                Source::Group(number) => found.get(*number).map(|group| group.as_str().to_owned()),
                Source::Constant(value) => Some(value.clone()),
                Source::Template(_) => None,
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                facts.insert(param.name.clone(), value);
            }
        }
        if let Some(protocol) = protocol {
            facts.entry("service.protocol".to_owned()).or_insert_with(|| protocol.to_owned());
        }
        // Templates come last and are filled in order: what a server sent is never one itself.
        for param in &self.params {
            if let Source::Template(template) = &param.source
                && let Some(value) = fill(&param.name, template, &facts)
            {
                facts.insert(param.name.clone(), value);
            }
        }
        // Recog uses such facts only to build others.
        facts.retain(|name, _| !name.starts_with("_tmp."));
        Ok(Some(Match { description: self.description.clone(), facts }))
    }
}

/// Fills `{service.version}` from the facts of the same match.
///
/// A CPE name whose version is not known says `-` there, as Recog does; anything else that lacks
/// a part is left out.
fn fill(name: &str, template: &str, facts: &BTreeMap<String, String>) -> Option<String> {
    let cpe = name.ends_with(".cpe23");
    pattern::fill(template, |fact| match facts.get(fact) {
        Some(found) => Some(found.clone()),
        None => (cpe && fact.ends_with(".version")).then(|| "-".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"<?xml version="1.0"?><fingerprints matches="ssh.banner" preference="0.9">"#;

    fn database(fingerprints: &str) -> Database {
        Database::parse("ssh.xml", &format!("{HEAD}{fingerprints}</fingerprints>")).unwrap()
    }

    #[track_caller]
    fn says(fingerprints: &str, text: &str, expected: &str) {
        let found = database(fingerprints).recognise(text).found;
        let shown = found.map(|found| found.facts.iter().map(|(name, value)| format!("{name}={value}")).collect());
        assert_eq!(shown.unwrap_or_else(|| vec!["nothing".to_owned()]).join(" "), expected);
    }

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        let error = Database::parse("ssh.xml", text).unwrap_err();
        let shown =
            format!("{error} {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(shown.contains(expected), "{shown}");
    }

    const GATE: &str = r#"<fingerprint pattern="^Gate_(\d+)(?:-(\S+))?$"><description>Gate</description>
        <example service.version="9" service.cpe23="cpe:/a:x:gate:9">Gate_9</example>
        <param pos="0" name="service.product" value="Gate"/>
        <param pos="1" name="service.version"/><param pos="2" name="os.product"/>
        <param pos="0" name="service.cpe23" value="cpe:/a:x:gate:{service.version}"/>
        <param pos="0" name="note" value="on {os.product}"/></fingerprint>"#;

    #[test]
    fn a_version_fills_the_cpe_name() {
        says(GATE, "Gate_9", "service.cpe23=cpe:/a:x:gate:9 service.product=Gate service.version=9");
        assert_eq!(database(GATE).check_examples(&|_| None), (1, vec![]));
    }

    #[test]
    fn another_string_says_nothing() {
        says(GATE, "Window_9", "nothing");
    }

    #[test]
    fn a_server_that_sends_a_template_gets_it_back_unfilled() {
        says(
            GATE,
            "Gate_9-{service.version}",
            "note=on {service.version} os.product={service.version} service.cpe23=cpe:/a:x:gate:9 \
             service.product=Gate service.version=9",
        );
    }

    #[test]
    fn a_line_anchor_holds_at_every_line_and_the_m_flag_means_what_ruby_means() {
        let lines = r#"<fingerprint pattern="^b$"><description>d</description>
            <param pos="0" name="a" value="1"/></fingerprint>"#;
        says(lines, "a\nb\nc", "a=1");
        let dot = r#"<fingerprint pattern="(?im)A.B"><description>d</description>
            <param pos="0" name="a" value="1"/></fingerprint>"#;
        says(dot, "a\nb", "a=1");
    }

    #[test]
    fn a_pattern_that_never_ends_is_no_match() {
        let slow = r#"<fingerprint pattern="^(?:a|a(?=a))+$"><description>d</description>
            <param pos="0" name="a" value="1"/></fingerprint>"#;
        let text = "a".repeat(100) + "b";
        says(slow, &text, "nothing");
        let many = format!("{slow}\n").repeat(MOST_EXHAUSTED + 3);
        let recognition = database(&many).recognise(&text);
        // Each has two lines.
        let exhausted = (0..MOST_EXHAUSTED).map(|n| 2 * n + 1).collect();
        assert_eq!(recognition, Recognition { found: None, exhausted });
    }

    #[test]
    fn of_two_facts_with_one_name_the_last_counts_and_the_protocol_is_the_databases() {
        let text = r#"<fingerprints matches="a" protocol="SSH"><fingerprint pattern="^(a)?(b)">
            <description>d</description>
            <param pos="1" name="x"/><param pos="0" name="x" value="{y}"/><param pos="2" name="y"/></fingerprint>
            <fingerprint pattern="^c"><description>d</description>
            <param pos="0" name="service.protocol" value="other"/></fingerprint></fingerprints>"#;
        let database = Database::parse("a.xml", text).unwrap();
        let facts = |text: &str| database.recognise(text).found.unwrap().facts.into_iter().collect::<Vec<_>>();
        let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(facts("ab"), [fact("service.protocol", "ssh"), fact("x", "b"), fact("y", "b")]);
        assert_eq!(facts("c"), [fact("service.protocol", "other")]);
    }

    #[test]
    fn examples_may_be_packed_or_lie_in_files() {
        let text = r#"<fingerprints matches="a"><fingerprint pattern="^\xff(.)$"><description>d</description>
            <example _encoding="base64" x="b"> /2I= </example><example _filename="one.bin" x="c"/>
            <example _filename="../one.bin"/><example _filename="two.bin"/><example _encoding="rot13">b</example>
            <param pos="1" name="x"/></fingerprint></fingerprints>"#;
        let database = Database::parse("xml/gate.xml", text).unwrap();
        let beside = |path: &str| (path == "xml/gate/one.bin").then(|| vec![0xff, b'c']);
        let (examples, failures) = database.check_examples(&beside);
        let why: Vec<_> = failures.iter().map(|failure| failure.why.as_str()).collect();
        assert_eq!(examples, 5);
        assert_eq!(
            why,
            [
                "the example is outside of its folder, \"../one.bin\"",
                "there is no file \"xml/gate/two.bin\"",
                "the encoding \"rot13\" is not known",
            ]
        );
    }

    #[test]
    fn an_example_that_fails_is_told() {
        let wrong = GATE.replace("\"9\" service.cpe23", "\"8\" service.cpe23");
        let (examples, failures) = database(&wrong).check_examples(&|_| None);
        assert_eq!((examples, failures.len()), (1, 1));
        assert_eq!(failures[0].why, "service.version is \"9\", not \"8\"");
    }

    #[test]
    fn broken_databases_are_refused_with_their_line() {
        refuses("<fingerprints matches=\"a\">\n<fingerprint pattern=\"(\"/></fingerprints>", "ssh.xml:2");
        refuses("<fingerprints matches=\"a\">\n<fingerprint", "ssh.xml:2");
        refuses("<fingerprints matches=\"a\"><fingerprint/></fingerprints>", "has no `pattern`");
        refuses("", "holds no fingerprints");
    }

    #[test]
    fn entities_do_not_multiply() {
        refuses(
            "<!DOCTYPE x [<!ENTITY a \"aaaaaaaa\">]>\
             <fingerprints matches=\"a\"><fingerprint pattern=\"&a;\"/></fingerprints>",
            "ssh.xml:1",
        );
    }

    /// Something between tags, text and entities.
    const ALMOST_XML: &str = "(<[a-z/]{0,12}( [a-z]{1,8}=\"[^\"]{0,12}\")?>|[ -~]{0,8}|&[a-z]{0,4};){0,12}";

    proptest::proptest! {
        #[test]
        fn reading_a_database_never_panics(text in ALMOST_XML) {
            let _ = Database::parse("x.xml", &text);
            let _ = Database::parse("x.xml", &format!("{HEAD}{text}</fingerprints>"));
        }
    }
}
