//! Difference: what did a directive change from one state to the next, and which duties does that reopen?
//!
//! Compares what is written, table by table and entry by entry, so that whatever a pack may say later is compared too.
//! Entries of a list are told apart by what names them, never by their place: a supplement puts its actions in between.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::pack::Files;

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file of the pack.
    pub file: String,
    /// What in it: `action 2.b due text`; empty for a file that is compared whole.
    pub place: String,
    /// What was there, as written; none if it is new.
    pub before: Option<String>,
    /// What is there now; none if it is gone.
    pub after: Option<String>,
}

/// What a change means for whoever worked from the older state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Duty {
    /// An action that was not there.
    New(String),
    /// An action that is owed no more.
    Gone(String),
    /// An action that takes the place of another, which may be done already.
    Replaces(String, String),
    /// An action with another time.
    OtherTime(String),
    /// An action whose text, condition or order is another: what was done for it may not be enough.
    Other(String),
    /// Versions are judged by other rules.
    Versions,
    /// What is looked for on an instance is another: checks have to be done again.
    Checks,
    /// The authority asks for other answers.
    Form,
    /// Nothing is owed any more, or something is again.
    Closed,
}

/// What names an entry of a list, the first that it has.
const NAMES: [&str; 6] = ["id", "name", "version", "path", "log", "question"];

/// Bytes of a value that are shown.
const SHOWN: usize = 200;

/// What changed, by file and place.
pub fn between(before: &Files, after: &Files) -> Vec<Change> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().flat_map(|name| of_file(name, before.get(name), after.get(name))).collect()
}

fn of_file(name: &str, before: Option<&Vec<u8>>, after: Option<&Vec<u8>>) -> Vec<Change> {
    if before == after {
        return Vec::new();
    }
    let table = |bytes: &Vec<u8>| std::str::from_utf8(bytes).ok()?.parse::<Table>().ok();
    let whole = || {
        let said = |bytes: &Vec<u8>| format!("{} bytes", bytes.len());
        vec![Change { file: name.into(), place: String::new(), before: before.map(said), after: after.map(said) }]
    };
    let (Some(old), Some(new)) = (before, after) else { return whole() };
    let (true, Some(old), Some(new)) = (name.ends_with(".toml"), table(old), table(new)) else { return whole() };
    let (old, new) = (entries(&old), entries(&new));
    let mut places: Vec<&String> = old.keys().chain(new.keys()).collect();
    places.sort();
    places.dedup();
    let changed = places.into_iter().filter(|place| old.get(*place) != new.get(*place)).map(|place| Change {
        file: name.to_owned(),
        place: place.clone(),
        before: old.get(place).cloned(),
        after: new.get(place).cloned(),
    });
    changed.collect()
}

/// Every value of a table by its place.
fn entries(table: &Table) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    table.iter().for_each(|(key, value)| flatten(key, value, &mut out));
    out
}

fn flatten(place: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| flatten(&format!("{place} {key}"), value, out)),
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (n, entry) in list.iter().enumerate() {
                flatten(&free(&format!("{place} {}", name_of(n, entry)), out), entry, out);
            }
        }
        value => {
            let mut text = value.to_string();
            if let Some((end, _)) = text.char_indices().nth(SHOWN) {
                text.truncate(end);
                text.push('…');
            }
            out.insert(place.to_owned(), text);
        }
    }
}

/// What an entry of a list is called.
fn name_of(n: usize, entry: &Value) -> String {
    let named = NAMES.iter().find_map(|name| entry.get(*name)?.as_str());
    named.map_or_else(|| format!("#{}", n + 1), str::to_owned)
}

/// A place that no entry has yet: two may have the same name.
fn free(place: &str, out: &BTreeMap<String, String>) -> String {
    let is_taken = |place: &str| out.range(place.to_owned()..).next().is_some_and(|(key, _)| is_below(key, place));
    let more = (2..).map(|n| format!("{place} ({n})"));
    std::iter::once(place.to_owned()).chain(more).find(|place| !is_taken(place)).unwrap_or_default()
}

fn is_below(key: &str, place: &str) -> bool {
    key.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// What the changes mean, each once, in the order of their kinds.
pub fn duties(changes: &[Change]) -> Vec<Duty> {
    let all: Vec<Duty> = changes.iter().flat_map(of_change).collect();
    // Of an action that is new, or gone, every part is; that is told once.
    let is_whole = |duty: &&Duty| match duty {
        Duty::Other(id) | Duty::OtherTime(id) => {
            !all.contains(&Duty::New(id.clone())) && !all.contains(&Duty::Gone(id.clone()))
        }
        _ => true,
    };
    let mut duties: Vec<Duty> = all.iter().filter(is_whole).cloned().collect();
    duties.sort();
    duties.dedup();
    duties
}

fn of_change(change: &Change) -> Vec<Duty> {
    match change.file.as_str() {
        "directive.toml" => of_directive(change),
        "product.toml" => {
            let is_version =
                ["affected", "release", "backport", "scheme"].iter().any(|key| is_below(&change.place, key));
            vec![if is_version { Duty::Versions } else { Duty::Checks }]
        }
        "report.toml" => vec![Duty::Form],
        file if file.starts_with("hunt/") || file.starts_with("manifests/") => vec![Duty::Checks],
        _ => Vec::new(),
    }
}

fn of_directive(change: &Change) -> Vec<Duty> {
    if is_below(&change.place, "closed") {
        return vec![Duty::Closed];
    }
    let Some(rest) = change.place.strip_prefix("action ") else { return Vec::new() };
    let (id, field) = rest.split_once(' ').unwrap_or((rest, ""));
    let id = id.to_owned();
    let field = field.split(' ').next().unwrap_or_default();
    match (field, &change.before, &change.after) {
        ("id", None, _) => vec![Duty::New(id)],
        ("id", _, None) => vec![Duty::Gone(id)],
        ("supersedes", _, Some(others)) => {
            let others = others.split(['"', '\'']).skip(1).step_by(2);
            others.map(|other| Duty::Replaces(id.clone(), other.to_owned())).collect()
        }
        ("due", ..) => vec![Duty::OtherTime(id)],
        // What it is called and where it stands obliges to nothing.
        ("title" | "clause", ..) => Vec::new(),
        _ => vec![Duty::Other(id)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
        id = "ed-1"
        [[document]]
        id = "ed-1"
        issued = "2029-04-20T00:00:00Z"
        [[action]]
        id = "1"
        title = "Count"
        due = { by = "2029-04-23T17:00[America/New_York]", text = "by Monday" }
        [[action]]
        id = "2"
        title = "Check"
        text = "each instance"
    "#;

    fn files(directive: &str) -> Files {
        [("directive.toml", directive), ("SOURCES.md", "x"), ("hunt/yara/a.yar", "rule a {}")]
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .into_iter()
            .collect()
    }

    /// Duties that follow from another text of the directive.
    fn reopened(after: &str) -> Vec<Duty> {
        duties(&between(&files(BEFORE), &files(after)))
    }

    #[test]
    fn a_pack_that_says_the_same_in_another_order_has_no_change() {
        let (head, actions) = BEFORE.split_at(BEFORE.find("[[action]]").unwrap());
        let (first, second) = actions.split_at(actions.rfind("[[action]]").unwrap());
        assert_eq!(between(&files(BEFORE), &files(&format!("{head}{second}\n{first}"))), []);
    }

    #[test]
    fn a_supplement_that_replaces_an_action_reopens_what_was_done() {
        let supplement = "[[action]]\nid = \"3\"\ntitle = \"Update\"\ndue = { by = \"x\" }\nsupersedes = [\"2\"]\n";
        let expected = [Duty::New("3".into()), Duty::Replaces("3".into(), "2".into())];
        assert_eq!(reopened(&format!("{BEFORE}\n{supplement}")), expected);
    }

    #[test]
    fn another_time_another_text_and_another_name_are_told_apart() {
        assert_eq!(reopened(&BEFORE.replace("23T17", "22T12")), [Duty::OtherTime("1".into())]);
        assert_eq!(reopened(&BEFORE.replace("each instance", "each instance, twice")), [Duty::Other("2".into())]);
        assert_eq!(reopened(&BEFORE.replace("\"Count\"", "\"Count all\"")), []);
        let gone = &BEFORE[..BEFORE.rfind("[[action]]").unwrap()];
        assert_eq!(reopened(gone), [Duty::Gone("2".into())]);
        assert_eq!(reopened(&format!("closed = {{ why = \"done\" }}\n{BEFORE}")), [Duty::Closed]);
    }

    #[test]
    fn other_rules_are_another_check() {
        let mut after = files(BEFORE);
        after.insert("hunt/yara/a.yar".into(), b"rule b {}".to_vec());
        let changes = between(&files(BEFORE), &after);
        assert_eq!((changes.len(), changes[0].place.as_str(), duties(&changes)), (1, "", vec![Duty::Checks]));
        after.remove("hunt/yara/a.yar");
        assert_eq!(between(&files(BEFORE), &after)[0].after, None);
    }

    #[test]
    fn two_entries_of_one_name_are_two() {
        let twice = "[[release]]\nversion = \"1\"\nat = 1\n[[release]]\nversion = \"1\"\nat = 2\n";
        let table: Table = twice.parse().unwrap();
        let keys: Vec<String> = entries(&table).into_keys().collect();
        assert_eq!(keys, ["release 1 (2) at", "release 1 (2) version", "release 1 at", "release 1 version"]);
    }
}
