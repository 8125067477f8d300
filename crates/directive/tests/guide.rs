//! The guides: does what they show really work?
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test that reads the guides")]

use std::path::Path;

use directive::pack::{Files, Pack};
use directive::scope::Scope;

fn guide(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

/// The first TOML example below a heading.
#[track_caller]
fn example(guide: &str, heading: &str) -> String {
    let below = guide.split(heading).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    below.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_example_pack_of_the_guide_can_be_worked_from() {
    let guide = guide("docs/packs.md");
    let mut files = Files::new();
    let of_fingerprints = ["fingerprints/probes.toml", "fingerprints/neighbours.toml"];
    for name in ["directive.toml", "product.toml", "report.toml", "examples.toml"].into_iter().chain(of_fingerprints) {
        files.insert(name.to_owned(), example(&guide, &format!("\n## {name}\n")).into_bytes());
    }
    let of_hunting = self::guide("docs/hunting.md");
    for name in ["hunt", "tamper", "logs", "accounts", "verdict"].map(|name| format!("hunt/{name}.toml")) {
        let example = example(&of_hunting, &format!("\n### {name}\n"));
        files.insert(name, example.into_bytes());
    }
    for name in ["hunt/yara/a.yar", "hunt/sigma/a.yml", "hunt/indicators/a.txt"] {
        files.insert(name.to_owned(), b"# read by whoever runs it".to_vec());
    }
    // The guide shows one column of two that its rule names.
    let report = files.get_mut("report.toml").unwrap();
    report.extend_from_slice(b"\n[[column]]\nid = \"9\"\nlabel = \"9)\"\nfrom = [\"why.2\"]\n");
    files.insert("SOURCES.md".to_owned(), Vec::new());
    let pack = Pack::parse("guide", &files).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((pack.directive.actions.len(), pack.probes.neighbours.len()), (3, 1));
    assert_eq!(directive::example::judge(&pack), [], "the examples of the guide do not hold");
    let hunting = &pack.hunting;
    assert_eq!((hunting.yara.len(), hunting.sigma.len(), hunting.indicators.len()), (1, 1, 1));
    assert_eq!((hunting.tamper.files.len(), hunting.tamper.misplaced.len()), (1, 1));
    assert_eq!((hunting.tamper.events.len(), hunting.tamper.counts.len()), (1, 1));

    files.insert("hunt/sigma/a.txt".to_owned(), b"nothing runs this".to_vec());
    let problems = Pack::parse("guide", &files).unwrap_err();
    assert!(problems.to_string().contains("nothing runs it"), "{problems}");
}

#[test]
fn the_example_scopes_can_be_used() {
    for (name, heading) in [("docs/scope.md", "# The scope file"), ("README.md", "## On a real host")] {
        let scope = Scope::parse(name, &example(&guide(name), heading)).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(scope.instances.len(), 1, "{name}");
    }
}
