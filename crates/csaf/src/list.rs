//! List: which documents does a provider list, and when did each change?
//!
//! ROLIE feeds, and the two files of a folder: `changes.csv` with times, `index.txt` without. Source: CSAF 2.0,
//! sections 7.1.11 (index.txt), 7.1.13 (changes.csv), 7.1.15 (ROLIE feed); RFC 8322; RFC 5005, section 3 (pages).

use jiff::Timestamp;
use serde::Deserialize;

use crate::address::Address;

/// The largest list that is read, in bytes: 100,000 entries of a feed have about 60 MB.
pub const LARGEST: u64 = 128 << 20;

/// One document of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub at: Address,
    /// When it changed, by the list.
    pub updated: Option<Timestamp>,
    /// Files with its digest, where the list names them.
    pub hashes: Vec<Address>,
    /// Its signature, where the list names it.
    pub signature: Option<Address>,
}

/// What a list says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Its documents.
    pub entries: Vec<Entry>,
    /// The page behind this one.
    pub next: Option<String>,
    /// Entries that name no file that is asked for, and why.
    pub refused: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct RawFeed {
    feed: RawList,
}

#[derive(Deserialize)]
struct RawList {
    #[serde(default)]
    link: Vec<Link>,
    #[serde(default)]
    entry: Vec<RawEntry>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(default)]
    id: String,
    #[serde(default)]
    link: Vec<Link>,
    updated: Timestamp,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    rel: String,
    href: String,
}

#[derive(Deserialize)]
struct Content {
    src: String,
}

/// Reads a feed.
///
/// # Errors
///
/// What is wrong with it, with line and column.
pub fn rolie(bytes: &[u8]) -> Result<List, String> {
    let feed = serde_json::from_slice::<RawFeed>(bytes).map_err(|err| err.to_string())?.feed;
    let mut list =
        List { next: feed.link.into_iter().find(|link| link.rel == "next").map(|link| link.href), ..List::default() };
    for raw in feed.entry {
        match entry(&raw) {
            Ok(entry) => list.entries.push(entry),
            Err(why) => list.refused.push((raw.id, why)),
        }
    }
    Ok(list)
}

fn entry(raw: &RawEntry) -> Result<Entry, String> {
    let links = |rel: &'static str| raw.link.iter().filter(move |link| link.rel == rel).map(|link| link.href.as_str());
    let at = raw.content.as_ref().map(|content| content.src.as_str()).or_else(|| links("self").next());
    let parse = |text: &str| Address::parse(text).map_err(|err| format!("{text}: {err}"));
    Ok(Entry {
        at: parse(at.ok_or("it names no document")?)?,
        updated: Some(raw.updated),
        hashes: links("hash").map(parse).collect::<Result<_, _>>()?,
        signature: links("signature").next().map(parse).transpose()?,
    })
}

/// Reads `changes.csv` of a folder: a path and a time a row.
pub fn changes(folder: &str, bytes: &[u8]) -> List {
    let mut list = List::default();
    let rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes).into_byte_records();
    for row in rows {
        let Ok(row) = row else {
            list.refused.push(("a row".to_owned(), "it is no row of values".to_owned()));
            // Where one row cannot be read, nobody knows where the next one begins.
            break;
        };
        let field = |n: usize| String::from_utf8_lossy(row.get(n).unwrap_or_default()).trim().to_owned();
        let (path, time) = (field(0), field(1));
        match (Address::below(folder, &path), time.parse::<Timestamp>()) {
            (Ok(at), Ok(updated)) => list.entries.push(listed(at, Some(updated))),
            (Err(err), _) => list.refused.push((path, err.to_string())),
            (Ok(_), Err(_)) => list.refused.push((path, "its time is none".to_owned())),
        }
    }
    list
}

/// Reads `index.txt` of a folder: a path a line.
pub fn index(folder: &str, bytes: &[u8]) -> List {
    let mut list = List::default();
    for line in String::from_utf8_lossy(bytes).lines().map(str::trim).filter(|line| !line.is_empty()) {
        match Address::below(folder, line) {
            Ok(at) => list.entries.push(listed(at, None)),
            Err(err) => list.refused.push((line.to_owned(), err.to_string())),
        }
    }
    list
}

fn listed(at: Address, updated: Option<Timestamp>) -> Entry {
    Entry { at, updated, hashes: Vec::new(), signature: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "https://e.example/white/";

    #[track_caller]
    fn check(list: &List, expected: &str) {
        let entry = |entry: &Entry| {
            let updated = entry.updated.map(|at| format!("@{at}")).unwrap_or_default();
            format!("{}{updated}", entry.at)
        };
        let mut found: Vec<String> = list.entries.iter().map(entry).collect();
        found.extend(list.refused.iter().map(|(what, why)| format!("{what}: {why}")));
        assert_eq!(found.join("\n"), expected);
    }

    #[test]
    fn a_folder_lists_paths_below_itself_and_no_others() {
        let rows =
            b"\"2021/a.json\",\"2021-05-03T18:00:00Z\"\n\"../../b.json\",\"2021-05-03T18:00:00Z\"\nc.json,soon\n";
        check(
            &changes(FOLDER, rows),
            "https://e.example/white/2021/a.json@2021-05-03T18:00:00Z\n\
             ../../b.json: it does not name a file in its folder\nc.json: its time is none",
        );
        check(&index(FOLDER, b"2021/a.json\r\n\r\n"), "https://e.example/white/2021/a.json");
    }

    #[test]
    fn a_feed_names_documents_digests_and_signatures() {
        let feed = br#"{"feed": {"id": "f", "link": [{"rel": "self", "href": "https://e.example/f.json"}], "entry": [
            {"id": "A", "updated": "2021-05-03T18:00:00Z", "content": {"src": "https://e.example/a.json"},
             "link": [{"rel": "hash", "href": "https://e.example/a.json.sha256"},
                      {"rel": "signature", "href": "https://e.example/a.json.asc"}]},
            {"id": "B", "updated": "2021-05-03T18:00:00Z", "content": {"src": "http://e.example/b.json"}}]}}"#;
        let list = rolie(feed).unwrap();
        check(
            &list,
            "https://e.example/a.json@2021-05-03T18:00:00Z\nB: http://e.example/b.json: without TLS anybody on the way \
             can change what comes",
        );
        assert_eq!(list.entries[0].signature.as_ref().unwrap().name(), "a.json.asc");
    }
}
