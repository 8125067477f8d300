//! Authoring: does a draft hold, and does a directive come back from a playbook as it went in?
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test that reads packs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use directive::advisory;
use directive::draft::{Draft, Known, draft};
use directive::example::judge;
use directive::kev;
use directive::pack::{Files, Pack};
use directive::playbook::{Error, export, import};
use proptest::prelude::*;
use serde_json::{Value, json};

const ADVISORY: &str = include_str!("advisory/example-gateway.csaf.json");

const CATALOGUE: &str = r#"{"vulnerabilities": [{"cveID": "CVE-2029-0001", "vendorProject": "Example Networks",
    "product": "Example Gateway", "vulnerabilityName": "Example Gateway Code Execution", "dateAdded": "2029-04-25",
    "requiredAction": "Apply updates per vendor instructions.", "dueDate": "2029-04-23"}]}"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn known(id: &str) -> Known<'_> {
    let now = "2029-05-04T00:00:00Z".parse().unwrap();
    Known { id, zone: "America/New_York", now, advisory: None, entries: &[], order: None }
}

#[track_caller]
fn pack(draft: &Draft) -> Pack {
    let files: Files = draft.files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect();
    Pack::parse("draft", &files).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_draft_from_an_advisory_computes_with_its_versions_and_invents_no_time() {
    let advisory = advisory::parse(ADVISORY.as_bytes()).unwrap();
    let draft = draft(&Known { advisory: Some((&advisory, "advisory.json")), ..known("ed-29-07") });
    let pack = pack(&draft);
    assert_eq!(judge(&pack), []);
    assert_eq!((pack.product.affected.len(), pack.product.releases.len(), pack.expected.versions.len()), (1, 1, 2));
    assert!(!pack.directive.issuer.binding, "an advisory binds nobody");
    let timed: Vec<_> = pack
        .directive
        .actions
        .iter()
        .filter(|action| action.due.next(&Default::default(), pack.calendar(), &[]).is_some())
        .collect();
    assert!(timed.is_empty(), "{timed:?}");
    let workaround = pack.action("5.1").unwrap();
    assert!(workaround.optional && workaround.text.contains("/meeting"), "{workaround:?}");
    assert!(draft.open.iter().any(|open| open.contains("action 3: by when")), "{:?}", draft.open);
    assert!(draft.files["SOURCES.md"].contains("EXN-2029-0007, version 2.0.0 (advisory.json)"));
}

#[test]
fn a_draft_from_the_catalogue_takes_its_due_date_and_tells_one_that_lies_before_its_addition() {
    let catalogue = kev::parse(CATALOGUE.as_bytes()).unwrap();
    let entries = [(catalogue.find("CVE-2029-0001").unwrap(), "kev.json")];
    let draft = draft(&Known { entries: &entries, ..known("ed-29-07") });
    let pack = pack(&draft);
    let due = pack.action("3").unwrap().due.next(&Default::default(), pack.calendar(), &[]);
    assert_eq!(due.unwrap().to_string(), "2029-04-24T03:59:59Z");
    assert!(draft.open.iter().any(|open| open.contains("before it was added")), "{:?}", draft.open);
}

#[test]
fn a_draft_from_nothing_holds_and_names_what_is_missing() {
    let draft = draft(&known("ed-29-07"));
    assert_eq!(pack(&draft).directive.actions.len(), 5);
    assert!(draft.open.iter().any(|open| open.contains("who orders it")), "{:?}", draft.open);
}

#[test]
fn words_of_an_advisory_that_look_like_a_table_stay_words() {
    let hostile = ADVISORY.replace("Update to 9.1.4 or later.", "x\\\"\\n[[action]]\\nid = \\\"evil\\\"\\n");
    let hostile =
        hostile.replace("\"name\": \"Example Gateway\"", "\"name\": \"a\\\"]\\n[integrity]\\ncomplete=[\\\"/\\\"]\"");
    let advisory = advisory::parse(hostile.as_bytes()).unwrap();
    let pack = pack(&draft(&Known { advisory: Some((&advisory, "x")), ..known("ed-29-07") }));
    assert!(pack.action("evil").is_none());
    assert!(pack.product.integrity.complete.is_empty());
    assert!(pack.action("3").unwrap().text.contains("[[action]]"));
}

/// The packs that are shipped, with the text of their directive.
fn shipped() -> Vec<(Pack, String)> {
    let mut found = Vec::new();
    for entry in root().join("packs").read_dir().unwrap() {
        let folder = entry.unwrap().path();
        let mut files = Files::new();
        read(&folder, "", &mut files);
        let text = String::from_utf8(files["directive.toml"].clone()).unwrap();
        found.push((Pack::parse("shipped", &files).unwrap_or_else(|problems| panic!("{problems}")), text));
    }
    assert!(found.len() >= 4);
    found
}

fn read(folder: &Path, below: &str, files: &mut Files) {
    for entry in folder.read_dir().unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name().into_string().unwrap());
        let name = if below.is_empty() { name } else { format!("{below}/{name}") };
        if path.is_dir() {
            read(&path, &name, files);
        } else {
            files.insert(name, std::fs::read(path).unwrap());
        }
    }
}

/// Whether an identifier has the form of section 10.10: a kind and a UUID of RFC 4122.
fn is_identifier(id: &str, kind: &str) -> bool {
    let Some(uuid) = id.strip_prefix(kind).and_then(|rest| rest.strip_prefix("--")) else { return false };
    let parts: Vec<_> = uuid.split('-').collect();
    let hex = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    hex && lengths == [8, 4, 4, 4, 12] && "12345".contains(&parts[2][..1]) && "89ab".contains(&parts[3][..1])
}

#[test]
fn every_shipped_directive_becomes_a_playbook_as_the_specification_wants_it() {
    for (pack, text) in shipped() {
        let playbook: Value = serde_json::from_str(&export(&pack, &text).unwrap()).unwrap();
        assert_eq!(
            (playbook["type"].as_str(), playbook["spec_version"].as_str()),
            (Some("playbook"), Some("cacao-2.0"))
        );
        assert!(is_identifier(playbook["id"].as_str().unwrap(), "playbook"));
        assert!(is_identifier(playbook["created_by"].as_str().unwrap(), "identity"));
        let workflow = playbook["workflow"].as_object().unwrap();
        assert_eq!(workflow.len(), pack.directive.actions.len() + 2);
        // From the start along `on_completion`, every step is met once, and the last one is the end.
        let (mut at, mut met) = (playbook["workflow_start"].as_str().unwrap(), BTreeSet::new());
        loop {
            let step = workflow.get(at).unwrap_or_else(|| panic!("no step {at}"));
            let kind = step["type"].as_str().unwrap();
            assert!(is_identifier(at, kind) && met.insert(at), "{at}");
            if kind == "action" {
                assert!(playbook["agent_definitions"].get(step["agent"].as_str().unwrap()).is_some(), "{step}");
                assert!(step["commands"].as_array().is_some_and(|commands| !commands.is_empty()), "{step}");
            }
            let Some(next) = step["on_completion"].as_str() else { break };
            at = next;
        }
        assert_eq!((workflow[at]["type"].as_str(), met.len()), (Some("end"), workflow.len()));
        let extensions = playbook["extension_definitions"].as_object().unwrap();
        for (id, definition) in extensions {
            assert!(is_identifier(id, "extension-definition"));
            for field in ["type", "name", "created_by", "schema", "version"] {
                assert!(definition[field].is_string(), "{definition}");
            }
        }
    }
}

#[test]
fn a_directive_comes_back_from_its_playbook_word_for_word() {
    for (pack, text) in shipped() {
        let order = import(export(&pack, &text).unwrap().as_bytes(), pack.id(), "UTC").unwrap();
        let sorted = |text: &str| -> (BTreeMap<String, toml::Value>, toml::Table) {
            let mut table: toml::Table = text.parse().unwrap();
            let actions = table.remove("action").unwrap();
            let by_id = |action: &toml::Value| (action["id"].as_str().unwrap().to_owned(), action.clone());
            (actions.as_array().unwrap().iter().map(by_id).collect(), table)
        };
        assert_eq!(sorted(&order.directive), sorted(&text), "{}", pack.id());
        assert!(order.open.is_empty());
    }
}

#[test]
fn a_playbook_of_others_gives_its_steps_in_their_order() {
    let id = |kind: &str, n: u32| format!("{kind}--00000000-0000-4000-8000-{n:012}");
    let action = |name: &str, next: &str| {
        json!({"type": "action", "name": name, "on_completion": next,
        "commands": [{"type": "manual", "command": format!("do {name}")}], "agent": id("organization", 9)})
    };
    let playbook = json!({
        "type": "playbook", "spec_version": "cacao-2.0", "id": id("playbook", 1), "name": "Of others",
        "created_by": id("identity", 1), "created": "2029-01-01T00:00:00.000Z", "modified": "2029-01-01T00:00:00.000Z",
        "workflow_start": id("start", 1),
        "workflow": {
            id("start", 1): {"type": "start", "on_completion": id("parallel", 1)},
            id("parallel", 1): {"type": "parallel", "next_steps": [id("action", 1), id("action", 2)],
                "on_completion": id("if-condition", 1)},
            id("action", 1): action("left", &id("end", 1)),
            id("action", 2): action("right", &id("end", 1)),
            id("if-condition", 1): {"type": "if-condition", "condition": "x", "on_true": id("action", 3),
                "on_completion": id("action", 1)},
            id("action", 3): action("last", &id("start", 1)),
            id("end", 1): {"type": "end"},
        },
    });
    let order = import(playbook.to_string().as_bytes(), "ed-29-08", "Europe/Berlin").unwrap();
    let draft = draft(&Known { order: Some((&order, "pb.json")), ..known("ed-29-08") });
    let pack = pack(&draft);
    let titles: Vec<_> = pack.directive.actions.iter().map(|action| action.title.as_str()).collect();
    // The last step leads back to the start: it is met once all the same.
    assert_eq!(titles, ["left", "right", "last"]);
    assert_eq!(pack.action("3").unwrap().after[0].get_ref(), "2");
    assert!(draft.open.iter().any(|open| open.contains("by when")), "{:?}", draft.open);

    let mut old = playbook.clone();
    old["spec_version"] = "cacao-1.1".into();
    assert!(matches!(import(old.to_string().as_bytes(), "a", "UTC"), Err(Error::Version(_))));
    let mut empty = playbook;
    empty["workflow"] = json!({});
    assert!(matches!(import(empty.to_string().as_bytes(), "a", "UTC"), Err(Error::Empty)));
}

#[test]
fn a_playbook_with_steps_without_end_is_refused() {
    let step =
        |n: usize| (format!("action--{n}"), json!({"type": "action", "on_completion": format!("action--{}", n + 1)}));
    let workflow: serde_json::Map<String, Value> = (0..3_000).map(step).collect();
    let playbook = json!({"type": "playbook", "spec_version": "cacao-2.0", "id": "p", "name": "n", "created": "t",
        "workflow_start": "action--0", "workflow": workflow});
    assert!(matches!(import(playbook.to_string().as_bytes(), "a", "UTC"), Err(Error::TooMany)));
    let mut own = playbook;
    own["workflow"] = json!({"action--0": {"type": "action"}});
    let (pack, text) = shipped().remove(0);
    let exported: Value = serde_json::from_str(&export(&pack, &text).unwrap()).unwrap();
    own["playbook_extensions"] = exported["playbook_extensions"].clone();
    let refused = import(own.to_string().as_bytes(), "a", "UTC").unwrap_err();
    assert!(refused.to_string().contains("no `directive_action`"), "{refused}");
}

proptest! {
    #[test]
    fn damaged_documents_are_read_or_refused_without_a_panic(at in 0usize..ADVISORY.len(), byte in any::<u8>()) {
        let mut bytes = ADVISORY.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(advisory) = advisory::parse(&bytes) {
            draft(&Known { advisory: Some((&advisory, "x")), ..known("ed-29-07") });
        }
        let _ = import(&bytes, "a", "UTC");
        let _ = kev::parse(&bytes);
    }
}
