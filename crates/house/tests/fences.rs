//! Fences: what can a room not do, even by mistake?
//!
//! Three fences stand around a room: clippy refuses the calls (`clippy.toml` in its folder), the
//! manifest brings the workspace's lints and forbids `unsafe`, and the crates that could open a
//! socket are not below it at all. The last one holds even against a hurried `#[expect]`.

use std::collections::BTreeSet;

use house::{cargo, files, none};
use toml::Table;

/// What a crate must refuse, by what it must be unable to do. The paths are clippy's.
const RUN: &str = "std::process::Command::new";
const CLOCK: &str = "std::time::SystemTime::now";
const WRITE: &str = "std::fs::write";
const SOCKET: &str = "std::net::TcpStream";

/// Design, the table "may touch / must never". A fence may refuse more than this.
const FENCES: [(&str, &[&str]); 23] = [
    ("directive", &[RUN, CLOCK, WRITE, SOCKET]),
    ("image", &[RUN, CLOCK, WRITE, SOCKET]),
    ("evidence", &[RUN, CLOCK, WRITE, SOCKET]),
    ("logs", &[RUN, CLOCK, WRITE, SOCKET]),
    ("hunt", &[RUN, CLOCK, WRITE, SOCKET]),
    ("feed", &[RUN, CLOCK, WRITE]),
    // Its one client of HTTP is in `source.rs`.
    ("tuf", &[RUN, CLOCK, SOCKET]),
    // Its one socket is opened in `fence.rs`; how long an answer takes is measured, not dated.
    ("discover", &[RUN, WRITE]),
    ("check", &[RUN, CLOCK, WRITE, SOCKET]),
    // Programs are started in `hands.rs`, sockets opened in `fence.rs`.
    ("mitigate", &[RUN, CLOCK, WRITE, SOCKET]),
    ("report", &[RUN, CLOCK, WRITE, SOCKET]),
    ("update", &[RUN, CLOCK, WRITE, SOCKET]),
    ("signer", &[RUN, CLOCK, WRITE, SOCKET]),
    // Its one client of HTTP is in `place/http.rs`.
    ("csaf", &[RUN, CLOCK, WRITE, SOCKET]),
    ("attest", &[RUN, CLOCK, WRITE, SOCKET]),
    // It listens in `listen.rs` and asks in `client.rs`; its clock is the authority's, or that of an exercise.
    ("serve", &[RUN, CLOCK, WRITE]),
    ("pdf", &[RUN, CLOCK, WRITE, SOCKET]),
    ("case", &[RUN, CLOCK, SOCKET]),
    ("respond", &[RUN, CLOCK, WRITE, SOCKET]),
    // It makes an exercise: files and servers.
    ("remote", &[RUN, CLOCK, WRITE, SOCKET]),
    ("lab", &[RUN, CLOCK]),
    ("cli", &[RUN, CLOCK]),
    // It runs cargo.
    ("house", &[CLOCK, WRITE, SOCKET]),
];

/// Crates that must be unable to reach the network, whatever their code says.
const WITHOUT_NETWORK: [&str; 13] = [
    "directive",
    "image",
    "evidence",
    "logs",
    "hunt",
    "feed",
    "check",
    "report",
    "update",
    "signer",
    "pdf",
    "attest",
    "case",
];

/// What opens sockets, or exists to do so.
const NETWORK: [&str; 22] = [
    "async-nats",
    "async-std",
    "axum",
    "curl",
    "h2",
    "hickory-resolver",
    "hyper",
    "hyper-util",
    "isahc",
    "mio",
    "native-tls",
    "openssl",
    "quinn",
    "reqwest",
    "russh",
    "rustls",
    "smol",
    "socket2",
    "ssh2",
    "tokio",
    "tungstenite",
    "ureq",
];

#[test]
fn every_crate_refuses_the_calls_that_the_design_forbids_it() {
    let mut wrong = Vec::new();
    for krate in cargo::workspace().ours() {
        let path = format!("crates/{}/clippy.toml", krate.name);
        let Some((_, must_refuse)) = FENCES.iter().find(|(name, _)| *name == krate.name) else {
            wrong.push(format!("{path}: nobody has said yet what `{}` must be unable to do", krate.name));
            continue;
        };
        let Some(fence) = files::file(&path) else {
            wrong.push(format!("{path}: there is no fence"));
            continue;
        };
        let fence: Table = fence.text.parse().unwrap_or_else(|err| panic!("{path}: {err}"));
        let refused: BTreeSet<&str> = refusals(&fence).filter_map(|entry| entry.get("path")?.as_str()).collect();
        // A whole type may be refused, or each way to make one.
        let is_refused = |call: &str| refused.iter().any(|path| path.starts_with(call));
        let missing = must_refuse.iter().filter(|call| !is_refused(call));
        wrong.extend(missing.map(|call| format!("{path}: does not refuse `{call}`")));
    }
    none(
        wrong,
        "Add the call to the crate's clippy.toml with a reason. For a new crate, add its row to FENCES in \
         crates/house/tests/fences.rs: a crate stands only if it must be unable to do something.",
    );
}

#[test]
fn every_refusal_has_a_reason() {
    let mut wrong = Vec::new();
    for file in files::ending(&["clippy.toml"]) {
        let fence: Table = file.text.parse().unwrap_or_else(|err| panic!("{}: {err}", file.path));
        let methods = fence.get("disallowed-methods").and_then(toml::Value::as_array);
        if methods.is_none_or(Vec::is_empty) {
            wrong.push(format!("{}: `disallowed-methods` is empty", file.path));
        }
        for entry in refusals(&fence) {
            let text = |key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or_default().trim();
            if text("reason").is_empty() {
                wrong.push(format!("{}: {} has no reason", file.path, entry));
            }
        }
    }
    none(wrong, "Write `{ path = \"..\", reason = \"..\" }`: who meets the fence should learn why it is there.");
}

fn refusals(fence: &Table) -> impl Iterator<Item = &toml::Value> {
    let lists = ["disallowed-methods", "disallowed-types"].into_iter().filter_map(|key| fence.get(key)?.as_array());
    lists.flatten()
}

#[test]
fn every_gate_in_a_fence_has_a_reason() {
    let gate = |line: &str| {
        let attribute = line.trim_start();
        let opens = ["#[allow", "#![allow", "#[expect", "#![expect"].iter().any(|start| attribute.starts_with(start));
        opens && !attribute.contains("reason = \"")
    };
    let mut wrong = Vec::new();
    for file in files::ending(&[".rs"]) {
        let lines = file.lines().filter(|(_, line)| gate(line) && line.trim_end().ends_with(']'));
        wrong.extend(lines.map(|(n, line)| format!("{}:{n}: {}", file.path, line.trim())));
    }
    none(wrong, "Write `#[expect(the::lint, reason = \"why it is right here\")]`.");
}

#[test]
fn a_crate_that_never_asks_the_network_has_no_network_below_it() {
    let all = cargo::everything();
    let standing: BTreeSet<&str> = all.ours().map(|krate| krate.name.as_str()).collect();
    let mut wrong = Vec::new();
    for krate in WITHOUT_NETWORK.into_iter().filter(|krate| standing.contains(krate)) {
        let below = all.below(krate);
        let found = NETWORK.into_iter().filter_map(|network| below.get(network));
        wrong.extend(found.map(|way| format!("crates/{krate}/Cargo.toml: {way}")));
    }
    none(wrong, "Take the feature or the crate out, or do that work in `discover`, the crate with the fenced socket.");
}

#[test]
fn unsafe_code_is_forbidden_in_the_whole_workspace() {
    let manifest: Table = files::required("Cargo.toml").text.parse().unwrap();
    let lint = &manifest["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(lint.as_str(), Some("forbid"), "Cargo.toml: write `unsafe_code = \"forbid\"` in [workspace.lints.rust]");
}

#[test]
fn every_manifest_inherits_from_the_workspace() {
    let mut wrong = Vec::new();
    for file in files::ending(&["Cargo.toml"]).into_iter().filter(|file| file.krate().is_some()) {
        let manifest: Table = file.text.parse().unwrap_or_else(|err| panic!("{}: {err}", file.path));
        let inherits = |value: Option<&toml::Value>| {
            value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
        };
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !inherits(manifest["package"].get(key)) {
                wrong.push(format!("{}: `{key}.workspace = true` is missing", file.path));
            }
        }
        if !inherits(manifest.get("lints")) {
            wrong.push(format!("{}: `[lints] workspace = true` is missing", file.path));
        }
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let named = manifest.get(kind).and_then(toml::Value::as_table).into_iter().flatten();
            let strays = named.filter(|(_, value)| !inherits(Some(value)));
            wrong.extend(strays.map(|(name, _)| format!("{}: `{name}` has a version of its own", file.path)));
        }
    }
    none(wrong, "Name it in the Cargo.toml of the workspace, once, and write `.workspace = true` here.");
}
