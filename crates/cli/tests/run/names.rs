//! File names that attack whoever reads them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use directive::record::Body;
use directive::text::Text;

use crate::{arg, records, run, stdout};

/// A newline that forges a line, an escape code that clears the screen, bytes that are not UTF-8,
/// and a direction override that turns an ending around.
const NAMES: [&[u8]; 4] =
    [b"a\nverdict no-evidence-found", b"b\x1b[2J\x1b[1;1H", b"c\xff\xfe", "d\u{202e}gpj.cgi".as_bytes()];

#[test]
fn a_name_with_control_characters_is_shown_escaped_and_survives_json() {
    let dir = tempfile::tempdir().unwrap();
    let evidence = dir.path().join("evidence");
    fs::create_dir(&evidence).unwrap();
    for name in NAMES {
        fs::write(evidence.join(OsStr::from_bytes(name)), "x").unwrap();
    }
    // A list of something else: every file is an added one.
    let list = dir.path().join("list");
    fs::write(&list, format!("{}  other\n", "0".repeat(64))).unwrap();

    let shown = run(&["check", arg(&evidence), "--manifest", arg(&list)]);
    assert_eq!(shown.status.code(), Some(1));
    let text = stdout(&shown);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.contains('\u{202e}'), "{text:?}");
    assert!(!text.lines().any(|line| line == "verdict no-evidence-found"), "a name forged a verdict: {text}");
    assert!(text.contains("/a\\nverdict no-evidence-found"), "{text}");
    assert!(text.contains("/c\\xff\\xfe"), "{text}");

    let records = records(&run(&["check", "--json", arg(&evidence), "--manifest", arg(&list)]));
    let paths: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Finding(finding) if finding.code == "file-added" => finding.path.clone(),
            _ => None,
        })
        .collect();
    for name in NAMES {
        let expected = Text::new([b"/", name].concat());
        assert!(paths.contains(&expected), "{expected:?} is not in {paths:?}");
    }
}
