//! Attacks on documents and lists, each by its name.

use std::collections::BTreeMap;
use std::fs;

use csaf::{Folder, Known, Limits};
use serde_json::json;

use super::maker::{FIRST, HOME, Provider, Said};
use super::{Asked, at, provider, seen};

/// What a look at one changed file of the only document says.
#[track_caller]
fn changed(ending: &str, change: impl Fn(&mut Vec<u8>), expected: &str) {
    let provider = provider();
    let path = provider.path(&format!("white/2021/sa44858.json{ending}"));
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    check(&provider, &Asked::default(), expected);
}

#[track_caller]
fn check(provider: &Provider, asked: &Asked, expected: &str) {
    let found = seen(provider, asked);
    let is_right = if expected.is_empty() { found.is_empty() } else { found.starts_with(expected) };
    assert!(is_right && found.lines().count() <= 1, "{expected:?} is not: {found}");
}

#[test]
fn one_byte_of_a_document_is_changed() {
    let change = |bytes: &mut Vec<u8>| bytes[20] ^= 1;
    changed("", change, "advisory-hash-wrong sa44858.json: sa44858.json.sha256 is not its digest");
}

#[test]
fn a_document_and_its_digests_are_changed_together() {
    let provider = provider();
    let path = provider.path("white/2021/sa44858.json");
    let text = fs::read_to_string(&path).unwrap().replace("<9.1R12", "<9.1R11");
    fs::write(&path, text).unwrap();
    provider.seal(&path);
    check(&provider, &Asked::default(), "advisory-signature-refused sa44858.json: the bytes are not those that");
}

#[test]
fn one_digit_of_a_digest_is_changed() {
    let change = |bytes: &mut Vec<u8>| bytes[0] = if bytes[0] == b'0' { b'1' } else { b'0' };
    changed(".sha256", change, "advisory-hash-wrong sa44858.json: sa44858.json.sha256 is not its digest");
    // The other digest still holds, and one that does not is enough.
    changed(".sha512", change, "advisory-hash-wrong sa44858.json: sa44858.json.sha512 is not its digest");
}

#[test]
fn a_file_with_a_digest_is_about_another_file() {
    let change = |bytes: &mut Vec<u8>| *bytes = String::from_utf8_lossy(bytes).replace("sa44858", "other").into_bytes();
    changed(".sha256", change, "advisory-hash-wrong sa44858.json: sa44858.json.sha256 is about another file");
}

#[test]
fn no_digest_lies_beside_a_document() {
    let provider = provider();
    fs::remove_file(provider.path("white/2021/sa44858.json.sha256")).unwrap();
    check(&provider, &Asked::default(), "taken SA44858 1");
    fs::remove_file(provider.path("white/2021/sa44858.json.sha512")).unwrap();
    check(&provider, &Asked::default(), "advisory-hash-missing sa44858.json: there is no digest beside it");
}

#[test]
fn one_byte_of_a_signature_is_changed() {
    let change = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    };
    changed(".asc", change, "advisory-signature-refused sa44858.json: ");
}

#[test]
fn no_signature_lies_beside_a_document() {
    let provider = provider();
    fs::remove_file(provider.path("white/2021/sa44858.json.asc")).unwrap();
    check(&provider, &Asked::default(), "advisory-unsigned sa44858.json: there is no sa44858.json.asc");
}

#[test]
fn a_document_is_handed_out_under_the_name_of_another() {
    let mut provider = Provider::new(HOME);
    let other = Said { id: "SA44784", ..FIRST };
    provider.publish_bytes("sa44858.json", other.document(HOME).to_string().as_bytes(), FIRST.updated);
    check(&provider, &Asked::default(), "advisory-misnamed sa44858.json: the document in it is sa44784.json");
}

#[test]
fn a_signed_text_that_is_no_advisory_is_told() {
    let mut provider = Provider::new(HOME);
    provider.publish_bytes("sa44858.json", b"{\"document\": []}", FIRST.updated);
    check(&provider, &Asked::default(), "advisory-invalid sa44858.json: ");
}

#[test]
fn a_feed_puts_back_an_older_date() {
    let mut provider = provider();
    let url = format!("{HOME}/white/2021/sa44858.json");
    let known = BTreeMap::from([(url, Known { listed: Some(at("2021-08-20T00:00:00Z")) })]);
    let asked = Asked { known, ..Asked::default() };
    check(&provider, &asked, "advisory-rolled-back sa44858.json: the list dates it 2021-08-02T16:00:00Z");
    provider.relist("sa44858.json", None);
    check(&provider, &asked, "advisory-unlisted sa44858.json: no list names it any more");
}

#[test]
fn a_feed_points_to_another_host() {
    let provider = provider();
    let feed = fs::read_to_string(provider.path("white/feed.json")).unwrap();
    let document = "/csaf/white/2021/sa44858.json";
    let away = feed.replace(&format!("psirt.example{document}\""), &format!("169.254.169.254{document}\""));
    fs::write(provider.path("white/feed.json"), &away).unwrap();
    check(&provider, &Asked::default(), "advisory-elsewhere sa44858.json: it leads to https://169.254.169.254/csaf/");
    // The document is where it should be, and its signature is fetched elsewhere.
    let away = feed.replace("psirt.example/csaf/white/2021/sa44858.json.asc", "collector.example/sa44858.json.asc");
    fs::write(provider.path("white/feed.json"), &away).unwrap();
    check(&provider, &Asked::default(), "advisory-elsewhere sa44858.json: it leads to https://collector.example/");
    provider.metadata(&["https://collector.example/feed.json"], &[]);
    check(&provider, &Asked::default(), "advisory-elsewhere feed.json: it leads to https://collector.example/");
}

#[test]
fn a_feed_never_ends() {
    let provider = provider();
    let feed = fs::read_to_string(provider.path("white/feed.json")).unwrap();
    let mut feed: serde_json::Value = serde_json::from_str(&feed).unwrap();
    let next = json!({"rel": "next", "href": format!("{HOME}/white/feed.json")});
    feed["feed"]["link"].as_array_mut().unwrap().push(next);
    fs::write(provider.path("white/feed.json"), feed.to_string()).unwrap();
    let found = seen(&provider, &Asked::default());
    assert!(found.contains("advisory-list-endless feed.json: it does not end after 1 pages"), "{found}");
    assert!(found.contains("taken SA44858 1"), "what it names is looked at all the same: {found}");
}

#[test]
fn a_feed_names_more_documents_than_anybody_publishes() {
    let mut provider = Provider::new(HOME);
    for n in 0..8 {
        provider.relist(&format!("sa{n}.json"), Some(FIRST.updated));
    }
    let mut limits = Limits::default();
    (limits.entries, limits.documents, limits.gaps) = (6, 4, 3);
    let found = seen(&provider, &Asked { limits, ..Asked::default() });
    assert!(found.contains("advisory-list-endless feed.json: the lists name more than 6 documents"), "{found}");
    assert!(found.contains("more gaps of this look are not told"), "{found}");
    assert_eq!(found.lines().count(), 4, "{found}");
}

#[test]
fn a_stick_with_a_link_that_leads_away_is_not_followed() {
    let provider = provider();
    let path = provider.path("white/2021/sa44858.json");
    let away = provider.dir.path().join("away.json");
    fs::rename(&path, &away).unwrap();
    std::os::unix::fs::symlink(&away, &path).unwrap();
    check(&provider, &Asked::default(), "advisory-unread sa44858.json: ");
    fs::rename(provider.path("white"), provider.path("moved")).unwrap();
    std::os::unix::fs::symlink(provider.path("moved"), provider.path("white")).unwrap();
    check(&provider, &Asked::default(), "advisory-list-unread feed.json: ");
}

#[test]
fn lists_for_fewer_readers_are_told_and_not_asked_for() {
    let provider = provider();
    let path = provider.path("provider-metadata.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"WHITE\"", "\"AMBER\"");
    fs::write(&path, text).unwrap();
    check(&provider, &Asked::default(), "advisory-restricted provider-metadata.json (AMBER): ");
}

#[test]
fn metadata_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Folder::open(dir.path()).unwrap_err().to_string().starts_with("there is no provider-metadata.json"));
    fs::write(dir.path().join("provider-metadata.json"), "{}").unwrap();
    assert!(Folder::open(dir.path()).unwrap_err().to_string().contains("is no metadata of a provider"));
}

#[test]
fn a_document_that_never_answers_does_not_stand_before_the_others() {
    let mut provider = provider();
    let urls: Vec<String> = (0..7).map(|n| format!("{HOME}/white/2021/sa{n}.json")).collect();
    for n in 0..7 {
        // A folder in place of a file can be listed and not read.
        fs::create_dir(provider.path(&format!("white/2021/sa{n}.json"))).unwrap();
        provider.relist(&format!("sa{n}.json"), Some("2021-06-01T00:00:00.000Z"));
    }
    let found = seen(&provider, &Asked::default());
    assert!(found.contains("3 documents that may be new were not asked for"), "{found}");
    assert_eq!(found.matches("advisory-unread").count(), 5, "{found}");
    let since = at("2021-06-02T00:00:00Z");
    let found = seen(&provider, &Asked { again: urls, since, ..Asked::default() });
    assert!(found.starts_with("taken SA44858 1\nadvisory-unread"), "{found}");
}
