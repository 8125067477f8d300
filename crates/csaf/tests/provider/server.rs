//! A real nginx before the files: what a server can do beside handing them out.

use csaf::{Address, Error, Fence, Http};

use super::maker::{FIRST, Provider, Server, free};
use super::{Asked, keys, look_at, shown};

/// A provider behind a server with more in its site, and what a look at it says.
fn served(more: &str) -> String {
    let port = free();
    let mut provider = Provider::new(&format!("http://127.0.0.1:{port}"));
    provider.publish(&FIRST);
    let server = Server::start(provider.dir.path(), port, more);
    let (http, fence) = http(server.port);
    let (taken, seen) = look_at(&http, &fence, &keys(&provider), &Asked::default());
    shown(&taken, &seen)
}

fn http(port: u16) -> (Http, Fence) {
    let at = Address::parse(&format!("http://127.0.0.1:{port}/provider-metadata.json")).unwrap();
    let fence = Fence::new(&at, &[]);
    (Http::new(at, fence.clone()), fence)
}

#[test]
fn a_document_from_a_server_is_taken() {
    assert_eq!(served(""), "taken SA44858 1");
}

#[test]
fn a_server_that_sends_to_another_host_is_not_followed() {
    let away = "location = /white/2021/sa44858.json { return 302 http://127.0.0.1:1/sa44858.json; }";
    let found = served(away);
    assert!(
        found.starts_with("advisory-elsewhere sa44858.json: http://127.0.0.1:1/sa44858.json is not of a host"),
        "{found}"
    );
    let stays = "location = /white/2021/sa44858.json { return 302 /moved/sa44858.json; }\n\
                 location /moved/ { alias /nowhere/; }";
    let found = served(stays);
    assert!(found.starts_with("advisory-missing sa44858.json: it is listed, and it is not there"), "{found}");
}

#[test]
fn a_server_that_sends_round_in_circles_is_left() {
    let circle = "location = /white/2021/sa44858.json { return 302 /white/2021/sa44858.json; }";
    let found = served(circle);
    assert!(found.starts_with("advisory-unread sa44858.json: "), "{found}");
    assert!(found.contains("always somewhere else"), "{found}");
}

#[test]
fn a_server_that_is_not_there_is_an_error_and_no_gap() {
    let (http, fence) = http(free());
    let provider = Provider::new("http://127.0.0.1:9");
    let ask = csaf::Ask {
        place: &http,
        fence: &fence,
        keys: &keys(&provider),
        now: super::at(super::NOW),
        since: Asked::default().since,
        again: &[],
        known: &Default::default(),
        limits: Default::default(),
    };
    assert!(matches!(csaf::look(&ask, |_| Ok(())), Err(Error::Unread { .. })));
}
