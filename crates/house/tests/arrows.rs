//! Arrows: which crate may use which?
//!
//! The table below is the house. Rooms never import one another, and nothing but the command line
//! knows that a lab exists. ARCHITECTURE.md shows the same table to people; the two must agree.

use std::collections::{BTreeMap, BTreeSet};

use house::{cargo, files, none};

/// The words and the sources: what a room may always use.
const GROUND: &[&str] = &["directive", "evidence", "feed"];

/// One per required action. A room that needs another one is a step of the plan, not a call.
const ROOMS: &[&str] = &["discover", "check", "mitigate", "update", "report"];

/// Who may use whom.
fn arrows() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let everything =
        [GROUND, ROOMS, &["case", "remote", "respond", "lab", "tuf", "pdf", "attest", "serve", "signer", "csaf"]]
            .concat();
    let table: [(&str, Vec<&str>); 23] = [
        ("directive", vec![]),
        // Parsers of hostile disks: they know bytes at offsets and nothing of the product.
        ("image", vec![]),
        ("evidence", vec!["directive", "image"]),
        // Evidence over SSH: the only source with a connection, kept out from under the rooms.
        ("remote", vec!["directive", "image", "evidence"]),
        ("feed", vec!["directive"]),
        // Signed repositories: it asks servers, so that no room stands on it.
        ("tuf", vec!["directive"]),
        ("discover", GROUND.to_vec()),
        // Parsers of hostile logs, and engines for rules of others: bytes and events, nothing of files.
        ("logs", vec!["directive"]),
        ("hunt", vec!["directive", "logs"]),
        ("check", [GROUND, &["logs", "hunt"]].concat()),
        ("mitigate", GROUND.to_vec()),
        // It judges records, and packages by their signatures.
        ("update", vec!["directive", "signer"]),
        // Signatures of vendors: heavy, and it meets what a network brings.
        ("signer", vec!["directive"]),
        // Lists of advisories: it asks servers, so that no room stands on it.
        ("csaf", vec!["directive", "signer"]),
        // It turns a state into words, so that it needs no bytes of an instance.
        ("report", vec!["directive"]),
        // Statements and signatures on both sides of the authority's door: texts and keys, nothing of an instance.
        ("attest", vec!["directive"]),
        // The authority's door: it takes in what others send, and so knows no room and no evidence.
        ("serve", vec!["directive", "attest"]),
        // Fonts and a writer of PDF: nobody else should build them.
        ("pdf", vec!["directive", "report"]),
        ("case", vec!["directive"]),
        ("respond", [GROUND, ROOMS, &["case", "remote"]].concat()),
        ("lab", vec![]),
        ("cli", everything),
        ("house", vec![]),
    ];
    table.into_iter().map(|(krate, may_use)| (krate, may_use.into_iter().collect())).collect()
}

#[test]
fn every_crate_uses_only_what_the_house_allows_it() {
    let arrows = arrows();
    let metadata = cargo::workspace();
    let mut wrong = Vec::new();
    for krate in metadata.ours() {
        let place = format!("crates/{0}/Cargo.toml: `{0}`", krate.name);
        let Some(may_use) = arrows.get(krate.name.as_str()) else {
            wrong.push(format!("{place} is not in the arrow table"));
            continue;
        };
        for used in krate.dependencies.iter().filter(|used| used.path.is_some() && used.kind.is_none()) {
            if !may_use.contains(used.name.as_str()) {
                wrong.push(format!("{place} must not use `{}`", used.name));
            }
        }
    }
    none(
        wrong,
        "Move the code to the crate whose question it answers, or let `respond` carry a record from one room to the \
         other. A new crate or a new arrow is a decision of its own: put it into crates/house/tests/arrows.rs and \
         ARCHITECTURE.md in one commit, with the reason.",
    );
}

#[test]
fn a_room_is_not_tested_with_another_room() {
    let metadata = cargo::workspace();
    let is_room = |name: &str| ROOMS.contains(&name);
    let wrong = metadata.ours().filter(|krate| is_room(&krate.name)).flat_map(|krate| {
        let others = krate.dependencies.iter().filter(|used| used.path.is_some() && is_room(&used.name));
        let others = others.filter(|used| used.kind.is_some());
        others.map(|used| format!("crates/{0}/Cargo.toml: the tests of `{0}` use `{1}`", krate.name, used.name))
    });
    none(wrong, "Test what two rooms do together in `respond` or `cli`, where it happens.");
}

#[test]
fn the_table_has_no_circle() {
    let arrows = arrows();
    let mut left: BTreeSet<_> = arrows.keys().copied().collect();
    while let Some(leaf) = left.iter().copied().find(|krate| arrows[krate].is_disjoint(&left)) {
        left.remove(leaf);
    }
    none(left.into_iter().map(|krate| format!("`{krate}` is part of a circle")), "Turn one arrow round.");
}

#[test]
fn architecture_md_shows_the_same_table() {
    let shown = shown(&files::required("ARCHITECTURE.md"));
    let arrows = arrows();
    let standing: BTreeSet<String> = cargo::workspace().ours().map(|krate| krate.name.clone()).collect();
    let mut wrong = Vec::new();
    for krate in &standing {
        let Some(may_use) = arrows.get(krate.as_str()) else { continue };
        let may_use: BTreeSet<String> =
            may_use.iter().map(|name| (*name).to_owned()).filter(|name| standing.contains(name)).collect();
        match shown.get(krate) {
            None => wrong.push(format!("ARCHITECTURE.md: `{krate}` has no row; it may use {may_use:?}")),
            Some((line, row)) => {
                // Crates that do not stand yet may be shown or left out.
                let row: BTreeSet<String> = row.iter().filter(|name| standing.contains(*name)).cloned().collect();
                if row != may_use {
                    wrong.push(format!("ARCHITECTURE.md:{line}: `{krate}` may use {may_use:?}, the row says {row:?}"));
                }
            }
        }
    }
    let planned = |krate: &&String| !arrows.contains_key(krate.as_str());
    wrong.extend(shown.keys().filter(planned).map(|krate| format!("ARCHITECTURE.md: there is no crate `{krate}`")));
    none(wrong, "Make the rows between the `<!-- arrows -->` markers agree with crates/house/tests/arrows.rs.");
}

/// Reads the rows `| crate | may use |` between the markers: the line and the names, with or without backticks.
fn shown(page: &files::File) -> BTreeMap<String, (usize, BTreeSet<String>)> {
    let markers: Vec<usize> =
        page.lines().filter(|(_, line)| line.trim_end().ends_with("arrows -->")).map(|(n, _)| n).collect();
    let [from, to] = markers[..] else {
        panic!(
            "{}: the arrow table must stand between two lines `<!-- arrows -->`; found {} such lines",
            page.path,
            markers.len()
        );
    };
    let named = |cell: &str| -> BTreeSet<String> {
        let names = cell.split(',').map(|name| name.trim().trim_matches('`').to_owned());
        names.filter(|name| !name.is_empty() && !["nothing", "-", "crate"].contains(&name.as_str())).collect()
    };
    let all: BTreeSet<String> = arrows()["cli"].iter().map(|name| (*name).to_owned()).collect();
    let mut rows = BTreeMap::new();
    for (n, line) in page.lines().filter(|(n, line)| (from + 1..to).contains(n) && line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, krate, may_use, ..] = cells[..] else { continue };
        let Some(krate) = named(krate).into_iter().next() else { continue };
        let may_use = if may_use == "everything" { all.clone() } else { named(may_use) };
        rows.insert(krate, (n, may_use));
    }
    rows
}
