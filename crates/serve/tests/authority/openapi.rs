//! Openapi: does the document say what the running server does?
//!
//! Every answer that the document names is asked of a server and held against the document's own schema; an answer that
//! is added to it without a case here fails, and so does a case that it does not name.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use serve::Limits;

use crate::Authority;

const JSON: &str = "content-type: application/json";

fn document() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authority.openapi.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Operation and status of everything that the document names.
fn named(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let answers = operations.flat_map(|operation| {
        let id = operation["operationId"].as_str().unwrap();
        operation["responses"].as_object().unwrap().keys().map(move |status| format!("{id} {status}"))
    });
    answers.collect()
}

/// Holds an answer against the document.
struct Held {
    document: Value,
    met: BTreeSet<String>,
}

impl Held {
    #[track_caller]
    fn hold(&mut self, operation: &str, (status, head, body): (u16, String, Vec<u8>)) {
        let said = String::from_utf8_lossy(&body).into_owned();
        let operations =
            self.document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
        let found = operations.into_iter().find(|one| one["operationId"] == operation).unwrap();
        let response = &found["responses"][status.to_string()];
        assert!(!response.is_null(), "the document names no {status} of {operation}: {said}");
        let (kind, media) = response["content"].as_object().unwrap().iter().next().unwrap();
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        let mut schema = media["schema"].clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let errors: Vec<_> = validator.iter_errors(&body).map(|err| err.to_string()).collect();
        assert!(errors.is_empty(), "{operation} {status}: {errors:?}: {said}");
        self.met.insert(format!("{operation} {status}"));
    }
}

fn get(authority: &Authority, path: &str, token: &str) -> (u16, String, Vec<u8>) {
    let lines = format!("host: localhost\r\nconnection: close\r\nauthorization: Bearer {token}");
    authority.ask(format!("GET {path} HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes())
}

/// Hands in a report, with a statement that replaces `replaces`.
fn post(authority: &Authority, token: &str, report: &Value, replaces: Option<&str>) -> (u16, String, Vec<u8>) {
    let bytes = report.to_string().into_bytes();
    let signed = authority.signed(&authority.statement(&bytes, replaces));
    let length = format!("content-length: {}", bytes.len());
    authority.ask(&authority.post(token, &signed, &[JSON, &length], &bytes))
}

#[test]
fn every_answer_that_the_document_names_is_given_and_no_other() {
    let mut held = Held { document: document(), met: BTreeSet::new() };
    let authority = Authority::new();
    let (token, report) = (&authority.token, authority.report(1, ""));
    held.hold("about", get(&authority, "/v1", ""));
    held.hold("list", get(&authority, "/v1/reports", "wrong"));
    held.hold("submit", post(&authority, token, &report, None));
    held.hold("submit", post(&authority, token, &report, None));
    held.hold("list", get(&authority, "/v1/reports", token));
    held.hold("submit", post(&authority, "wrong", &report, None));
    held.hold("submit", post(&authority, &authority.other_token, &report, None));
    held.hold("submit", post(&authority, token, &authority.report(2, ""), None));
    held.hold("submit", post(&authority, token, &json!({}), None));
    let mut empty = authority.report(0, "");
    empty["form"]["fields"] = json!([]);
    held.hold("submit", post(&authority, token, &empty, None));
    let signed = authority.signed(&authority.statement(b"x", None));
    held.hold(
        "submit",
        authority.ask(&authority.post(token, &signed, &["content-type: text/html", "content-length: 1"], b"x")),
    );

    let often = Authority::with(Limits { requests: 1, ..Limits::default() });
    held.hold("list", get(&often, "/v1/reports", &often.token));
    held.hold("list", get(&often, "/v1/reports", &often.token));
    held.hold("submit", post(&often, &often.token, &often.report(1, ""), None));
    let large = Authority::with(Limits { body: 10, ..Limits::default() });
    held.hold("submit", post(&large, &large.token, &large.report(1, ""), None));
    let busy = Authority::with(Limits { at_once: 0, ..Limits::default() });
    held.hold("submit", post(&busy, &busy.token, &busy.report(1, ""), None));
    let slow = Authority::with(Limits { body_time: Duration::from_millis(100), ..Limits::default() });
    let signed = slow.signed(&slow.statement(b"x", None));
    held.hold("submit", slow.ask(&slow.post(&slow.token, &signed, &[JSON, "content-length: 9"], b"x")));

    assert_eq!(held.met, named(&held.document), "an answer is named that no case gives");
}

#[test]
fn what_is_nowhere_is_told_as_a_problem_too() {
    let authority = Authority::new();
    for (request, status) in [("GET /v2/reports", 404), ("DELETE /v1/reports", 405), ("GET /../../etc/passwd", 404)] {
        let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let (found, head, _) = authority.ask(request.as_bytes());
        assert_eq!(found, status, "{request}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
}
