//! Words: does every code, dependency and crate have its place in the documents?
//!
//! A code in a record is a promise that `docs/findings.md` explains it; a heading there is a promise
//! that somebody can meet it. The same holds for dependencies and for the words that name crates.

use std::collections::{BTreeMap, BTreeSet};

use house::files::{self, File};
use house::{cargo, none};
use toml::{Table, Value};

/// The crates that look at instances. In them, a string in kebab-case is a code until it is said
/// here that it is not.
const LOOKING: [&str; 8] = ["evidence", "feed", "discover", "check", "mitigate", "update", "respond", "csaf"];

/// Strings in kebab-case that are no codes, and what they are.
const NO_CODES: [(&str, &str); 31] = [
    ("apt-get", "a program"),
    ("backslash", "the name of a disguise"),
    ("birth", "a time of a file"),
    ("capitals", "the name of a disguise"),
    ("content-length", "an HTTP header"),
    ("ctime", "a time of a file"),
    ("dpkg-statoverride", "the name of a rule"),
    ("event", "the time of an event of a log"),
    ("fcgi-app", "a section of HAProxy"),
    ("group", "who owns a file"),
    ("hard-reset", "a packet of OpenVPN"),
    ("http-errors", "a section of HAProxy"),
    ("http-server-header", "a script of nmap"),
    ("http-title", "a script of nmap"),
    ("keep-alive", "how a connection ends"),
    ("log-forward", "a section of HAProxy"),
    ("mtime", "a time of a file"),
    ("open-checksum", "an element of a list of packages"),
    ("owner", "who owns a file"),
    ("package-database", "the name of a witness"),
    ("remove", "what is done to a file"),
    ("replace", "what is done to a file"),
    ("sc-status", "a field of a log"),
    ("set-cookie", "an HTTP header"),
    ("ssl-cert", "a script of nmap"),
    ("valid-until", "a field of a list of packages"),
    ("www-authenticate", "an HTTP header"),
    ("x-backend-server", "an HTTP header"),
    ("x-feserver", "an HTTP header"),
    ("x-node", "an HTTP header"),
    ("x-served-by", "an HTTP header"),
];

/// What stands before a string that is a code in any crate.
const CODES_FOLLOW: [&str; 6] = ["code: ", "gap(", "finding(", "about(", "bare(", "code == "];

/// Codes in the product's code, each with the first place that uses it.
fn codes() -> BTreeMap<String, String> {
    let mut codes = BTreeMap::new();
    for file in files::ending(&[".rs"]) {
        let Some(krate) = file.krate().filter(|krate| *krate != "house" && !file.is_beside_the_product()) else {
            continue;
        };
        let looks = LOOKING.contains(&krate);
        for string in strings(file.product()) {
            let is_named = CODES_FOLLOW.iter().any(|mark| string.before.ends_with(mark));
            let is_likely = looks && (string.text.contains('-') || string.heads_a_tuple());
            let is_exempt = NO_CODES.iter().any(|(text, _)| *text == string.text);
            if is_kebab(&string.text) && (is_named || is_likely) && !is_exempt {
                codes.entry(string.text).or_insert_with(|| format!("{}:{}", file.path, string.line));
            }
        }
    }
    codes
}

fn is_kebab(text: &str) -> bool {
    let mut words = text.split('-');
    words.all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
        && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Headings of the second rank, with their lines.
fn headings(page: &File) -> Vec<(usize, String)> {
    page.lines().filter_map(|(n, line)| Some((n, line.strip_prefix("## ")?.trim().to_owned()))).collect()
}

#[test]
fn every_code_in_a_record_is_explained() {
    let explained: BTreeSet<String> =
        headings(&files::required("docs/findings.md")).into_iter().map(|(_, code)| code).collect();
    let wrong = codes().into_iter().filter(|(code, _)| !explained.contains(code));
    none(
        wrong.map(|(code, place)| format!("{place}: `{code}` has no heading in docs/findings.md")),
        "Write `## the-code`: what it means, what causes it, what to do. If the string is no code, say what it is in \
         NO_CODES of crates/house/tests/words.rs.",
    );
}

#[test]
fn every_code_that_is_explained_can_be_met() {
    let codes = codes();
    let packs = files::ending(&[".toml"]).into_iter().filter(|file| file.path.starts_with("packs/"));
    let packs: String = packs.map(|file| file.text).collect();
    let met = |code: &str| codes.contains_key(code) || packs.contains(&format!("\"{code}\""));
    let page = files::required("docs/findings.md");
    let idle = headings(&page).into_iter().filter(|(_, code)| !met(code));
    none(
        idle.map(|(n, code)| format!("{}:{n}: nothing makes a `{code}`", page.path)),
        "Take the heading out, or name the code in the product as a string of its own.",
    );
}

#[test]
fn the_codes_are_explained_in_order_and_once() {
    let page = files::required("docs/findings.md");
    let headings = headings(&page);
    let pairs = headings.windows(2).filter(|pair| pair[0].1 >= pair[1].1);
    none(
        pairs.map(|pair| format!("{}:{}: `{}` stands after `{}`", page.path, pair[1].0, pair[1].1, pair[0].1)),
        "Sort the headings by name; explain a code in one place.",
    );
}

#[test]
fn a_string_that_is_said_to_be_no_code_is_used() {
    let sources = files::ending(&[".rs"]).into_iter().filter(|file| file.krate() != Some("house"));
    let sources: String = sources.map(|file| file.text).collect();
    let idle = NO_CODES.iter().filter(|(text, _)| !sources.contains(&format!("\"{text}\"")));
    none(
        idle.map(|(text, what)| format!("crates/house/tests/words.rs: `{text}`, {what}, is gone from the code")),
        "Take it out of NO_CODES.",
    );
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest: Table = files::required("Cargo.toml").text.parse().unwrap();
    let named = manifest["workspace"]["dependencies"].as_table().unwrap();
    let named: BTreeSet<&str> =
        named.iter().filter(|(_, value)| value.get("path").is_none()).map(|(name, _)| name.as_str()).collect();
    let page = files::required("docs/dependencies.md");
    let rows = first_cells(&page);
    let mut wrong: Vec<String> = named
        .iter()
        .filter(|name| !rows.iter().any(|(_, row)| row == *name))
        .map(|name| format!("docs/dependencies.md: no row for `{name}`"))
        .collect();
    let gone = rows.iter().filter(|(_, row)| !named.contains(row.as_str()));
    wrong.extend(gone.map(|(n, row)| format!("docs/dependencies.md:{n}: Cargo.toml names no `{row}`")));
    let unsorted = rows.windows(2).filter(|pair| pair[0].1 >= pair[1].1);
    wrong.extend(unsorted.map(|pair| format!("docs/dependencies.md:{}: `{}` is out of order", pair[1].0, pair[1].1)));
    none(wrong, "One row a crate, sorted: who uses it, what for and why this one, its licence.");
}

#[test]
fn every_dependency_of_the_workspace_is_used() {
    let metadata = cargo::workspace();
    let used: BTreeSet<&str> =
        metadata.ours().flat_map(|krate| &krate.dependencies).map(|used| used.name.as_str()).collect();
    let manifest: Table = files::required("Cargo.toml").text.parse().unwrap();
    let named = manifest["workspace"]["dependencies"].as_table().unwrap();
    let package = |name: &str, value: &Value| value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned();
    let idle = named.iter().filter(|(name, value)| !used.contains(package(name, value).as_str()));
    none(
        idle.map(|(name, _)| format!("Cargo.toml: no crate uses `{name}`")),
        "Take it out of [workspace.dependencies], and its row out of docs/dependencies.md.",
    );
}

#[test]
fn every_word_that_names_a_crate_is_in_the_glossary() {
    let page = files::required("docs/glossary.md");
    let mut words = first_cells(&page);
    words.extend(headings(&page).into_iter().map(|(n, word)| (n, word.trim_matches('`').to_lowercase())));
    let mut wrong: Vec<String> = cargo::workspace()
        .ours()
        // Everybody calls the command line so, and it means nothing else here.
        .filter(|krate| krate.name != "cli")
        .filter(|krate| !words.iter().any(|(_, word)| *word == krate.name))
        .map(|krate| format!("docs/glossary.md: does not say what `{}` means", krate.name))
        .collect();
    let mut seen = BTreeSet::new();
    let twice = words.iter().filter(|(_, word)| !seen.insert(word.as_str()));
    wrong.extend(twice.map(|(n, word)| format!("docs/glossary.md:{n}: `{word}` is explained twice")));
    none(wrong, "One row `| word | meaning |` a word: the same word names the crate, the command and the page.");
}

/// The first cells of a page's tables, without heads, in lower case and without marks.
fn first_cells(page: &File) -> Vec<(usize, String)> {
    let is_rule = |line: &str| line.starts_with('|') && line.chars().all(|c| "|-: ".contains(c));
    let lines: Vec<&str> = page.text.lines().collect();
    let is_head = |n: usize| lines.get(n).is_some_and(|next| is_rule(next));
    let rows = page.lines().filter(|(n, line)| line.starts_with('|') && !is_rule(line) && !is_head(*n));
    let cell = |line: &str| line.split('|').nth(1).map(|cell| cell.trim().trim_matches(['`', '*']).to_lowercase());
    rows.filter_map(|(n, line)| Some((n, cell(line)?))).collect()
}

/// A string in the code, and what stands around it on its line.
struct Literal {
    text: String,
    line: usize,
    before: String,
    after: String,
}

impl Literal {
    /// Whether it is the first of several values: `("unreadable", "read it with more rights", ..)`.
    fn heads_a_tuple(&self) -> bool {
        let opens =
            self.before.strip_suffix('(').is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric()));
        opens && self.after.starts_with(',')
    }
}

/// The strings of a source file, without comments, attributes, byte strings and raw strings: a code
/// is a plain string on one line.
fn strings(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut is_raw = false;
    for (n, line) in source.lines().enumerate() {
        let start = line.trim_start();
        if is_raw || start.starts_with("//") || start.starts_with("#[") || start.starts_with("#![") {
            is_raw &= !line.contains("\"#");
            continue;
        }
        is_raw = line.split_once("r#\"").is_some_and(|(_, rest)| !rest.contains("\"#"));
        // A quote as a character, or escaped, opens nothing.
        let line = line.replace("'\"'", "'_'").replace("\\\"", "__");
        let mut parts = line.split('"');
        let mut before = parts.next().unwrap_or_default().to_owned();
        while let Some(text) = parts.next() {
            let after = parts.next().unwrap_or_default();
            if !before.ends_with('b') {
                let (text, after) = (text.to_owned(), after.to_owned());
                found.push(Literal { text, line: n + 1, before: before.clone(), after });
            }
            before = after.to_owned();
        }
    }
    found
}

#[test]
fn codes_are_found_in_the_forms_that_the_code_uses() {
    let source = r##"
        // gap("comment-one", ..)
        #[serde(rename_all = "kebab-case")]
        let a = gap("answer-late", target);
        let b = Gap { code: "interrupted".into() };
        Self::Late => ("vanished", "it was there", true),
        line.replace("one", "two");
        matches!(state, b"half-configured");
        if c == '"' { "after-a-quote" }
    "##;
    let found = strings(source);
    let texts: Vec<&str> = found.iter().map(|string| string.text.as_str()).filter(|text| is_kebab(text)).collect();
    assert_eq!(texts, ["answer-late", "interrupted", "vanished", "one", "two", "after-a-quote"]);
    let heads: Vec<&str> = found.iter().filter(|one| one.heads_a_tuple()).map(|one| one.text.as_str()).collect();
    assert_eq!(heads, ["vanished"]);
}
