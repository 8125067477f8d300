//! Tests: is every published sign seen where it is, and nowhere else?

use std::collections::BTreeMap;

use directive::text::Text;

use super::*;
use crate::literals::Literals;

const SHELL: &str = "a1dcdf62aafc36dd8cf64774dea80d79fb4e24ba2a82adf4d944d9186acd1cc1";

fn read(name: &str, text: &str) -> (Indicators, Vec<Problem>) {
    Indicators::read(&BTreeMap::from([(name.to_owned(), text.as_bytes().to_vec())]), Limits::default())
}

fn sha256(text: &str) -> [u8; 32] {
    match digest(text) {
        Some(Sign::Sha256(digest)) => digest,
        _ => panic!("{text}"),
    }
}

/// A bundle of one indicator with that pattern.
fn bundle(pattern: &str) -> String {
    let indicator = serde_json::json!({
        "type": "indicator", "spec_version": "2.1", "id": "indicator--1", "pattern_type": "stix",
        "name": "a sign", "pattern": pattern
    });
    serde_json::json!({ "type": "bundle", "id": "bundle--1", "objects": [indicator] }).to_string()
}

/// Names of the indicators that a file at `path` with that digest bears.
fn of_file(indicators: &Indicators, path: &str, digest: [u8; 32], content: &[u8]) -> Vec<String> {
    let file = File { path: path.as_bytes(), sha256: digest, md5: Some([7; 16]), sha1: None };
    let hits = indicators.file(&file, Some(content));
    hits.iter().map(|hit| format!("{}: {}", hit.indicator.name, hit.seen)).collect()
}

fn event(address: &str, fields: &[(&str, &str)]) -> Event {
    Event {
        address: address.parse().ok(),
        message: Text::new("GET"),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Event::at(1, logs::Source::default())
    }
}

#[test]
fn a_list_as_it_comes_by_mail_is_read() {
    let text = format!(
        "# families of 2021\n{SHELL}  PULSECHECK\n33c4947efe66ce8c175464b4e262fe16;also PULSECHECK\n10.1.2[.]3\n\
         192.0.2.0/24, a network\nhxxp://evil[.]example/x\nevil[.]example\n/tmp/dsactiveuser.statementcounters\n\
         string: Results of '\nagent: Evil/1.0\nname:memread\n"
    );
    let (indicators, problems) = read("list.txt", &text);
    assert_eq!(problems, []);
    assert_eq!(indicators.len(), 10);
    assert!(indicators.wants_md5() && !indicators.wants_sha1());
    assert_eq!(of_file(&indicators, "/a", sha256(SHELL), b""), ["PULSECHECK: its SHA-256"]);
    assert_eq!(of_file(&indicators, "/x/memread", [0; 32], b""), ["list.txt:11: its name"]);
    assert_eq!(of_file(&indicators, "/x", [0; 32], b"a Results of ' b"), ["list.txt:9: the text Results of '"]);
    assert_eq!(of_file(&indicators, "/x", [0; 32], b"nothing"), Vec::<String>::new());
    let names = |event: &Event| indicators.event(event).iter().map(|hit| hit.seen.clone()).collect::<Vec<_>>();
    assert_eq!(names(&event("10.1.2.3", &[])), ["the address 10.1.2.3/32"]);
    assert_eq!(names(&event("192.0.2.77", &[("cs-user-agent", "Evil/1.0")])).len(), 2);
    assert_eq!(names(&event("198.51.100.1", &[("cs-host", "EVIL.example")])), ["the host evil.example"]);
}

#[test]
fn a_line_that_is_no_indicator_is_shown_with_its_place() {
    let (indicators, problems) = read("list.txt", "10.0.0.1\nwhat is this\n");
    assert_eq!(indicators.len(), 1);
    assert_eq!(problems[0].position(), Some((2, 1)));
}

#[test]
fn a_pattern_of_digests_holds_for_each_of_them() {
    let md5 = "07".repeat(16);
    let (indicators, problems) =
        read("b.json", &bundle(&format!("[file:hashes.'SHA-256' = '{SHELL}' OR file:hashes.MD5 = '{md5}']")));
    assert_eq!(problems, []);
    assert_eq!(of_file(&indicators, "/a", sha256(SHELL), b"").len(), 1);
    assert_eq!(of_file(&indicators, "/a", [0; 32], b""), ["a sign: its MD5"]);
}

#[test]
fn signs_that_belong_together_must_be_seen_together() {
    let (indicators, _) =
        read("b.json", &bundle("[file:name = 'login.cgi' AND file:hashes.MD5 = '07070707070707070707070707070707']"));
    assert_eq!(of_file(&indicators, "/a/login.cgi", [0; 32], b"").len(), 1);
    assert_eq!(of_file(&indicators, "/a/other.cgi", [0; 32], b"").len(), 0);
}

#[test]
fn observations_and_lists_of_values_are_alternatives() {
    let (indicators, problems) =
        read("b.json", &bundle("[ipv4-addr:value IN ('10.0.0.1', '10.0.0.2')] OR ([domain-name:value = 'a.example'])"));
    assert_eq!(problems, []);
    assert_eq!(indicators.event(&event("10.0.0.2", &[])).len(), 1);
    assert_eq!(indicators.event(&event("10.0.0.3", &[("cs-host", "a.example")])).len(), 1);
    assert_eq!(indicators.event(&event("10.0.0.3", &[])).len(), 0);
}

#[track_caller]
fn refused(pattern: &str, why: &str) {
    let (indicators, problems) = read("b.json", &bundle(pattern));
    assert!(indicators.is_empty());
    assert!(problems[0].message.contains(why), "{}", problems[0].message);
}

#[test]
fn what_cannot_be_held_against_evidence_is_reported_and_never_dropped() {
    refused("[file:size > 10]", "only = and IN");
    refused("[file:name MATCHES '^a+$']", "only = and IN");
    refused("[file:name = 'a'] FOLLOWEDBY [file:name = 'b']", "FOLLOWEDBY");
    refused("[process:pid = '1']", "process:pid is not held");
    refused("[file:hashes.MD5 = 'zz']", "no digest");
    refused("[file:name = 'a", "no end");
    refused("", "missing");
}

#[test]
fn a_pattern_that_multiplies_out_is_refused() {
    let list = (0..200).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(",");
    refused(&format!("[file:name IN ({list}) AND file:name IN ({list})]"), "too many alternatives");
    refused(&"(".repeat(100_000), "too deep");
}

#[test]
fn a_revoked_indicator_is_not_used() {
    let text = bundle("[file:name = 'a']").replace("\"name\":", "\"revoked\":true,\"name\":");
    assert!(read("b.json", &text).0.is_empty());
}

#[test]
fn a_line_that_bears_an_indicator_holds_a_word_of_it() {
    let list = "203.0.113.9\n192.0.2.0/24\n2001:db8::7\nexample.org\nhttp://example.net/kit.js\n";
    let (mut indicators, problems) = read("list.txt", list);
    assert_eq!(problems, []);
    let literals = Literals::new(indicators.words().unwrap()).unwrap();
    let line = |host: &str, from: &str, page: &str| {
        format!("{host} {from} - - [08/Apr/2021:11:46:32 +0000] \"GET {page} HTTP/1.1\" 200 5 \"-\" \"x\"\n")
    };
    for (line, is_hit) in [
        (line("a.example", "203.0.113.9", "/"), true),
        (line("a.example", "::ffff:203.0.113.9", "/"), true),
        (line("a.example", "::FFFF:CB00:7109", "/"), true),
        (line("a.example", "192.0.2.77", "/"), true),
        (line("a.example", "2001:0DB8:0:0:0:0:0:7", "/"), true),
        (line("EXAMPLE.ORG", "10.0.0.1", "/"), true),
        (line("a.example", "10.0.0.1", "http://example.net/kit.js"), true),
        (line("a.example", "10.0.0.1", "/"), false),
    ] {
        let mut events = Vec::new();
        let settings = logs::Settings::new(jiff::Timestamp::from_second(1_800_000_000).unwrap());
        logs::read(line.as_bytes(), settings, &mut |event| events.push(event));
        assert_eq!(events.len(), 1, "{line}");
        assert_eq!(!indicators.event(&events[0]).is_empty(), is_hit, "{line}");
        assert_eq!(literals.next(line.as_bytes()).is_some(), is_hit, "{line}");
    }
    indicators.all[0].any_of[0] = vec![Sign::Network("0.0.0.0/0".parse().unwrap())];
    assert_eq!(indicators.words(), None, "every line is wanted");
}
