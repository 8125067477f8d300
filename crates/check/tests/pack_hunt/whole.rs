//! Whole: is what a pack looks for found by a check of an instance, with its tables and from its own logs?

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use check::hunt::{Hunt, Limits, Origin};
use check::{Baseline, Manifest, Outcome, Request};
use directive::progress::Unwatched;
use directive::record::hex;
use evidence::Folder;
use logs::{Event, Format, Reader, Settings};
use sha2::{Digest as _, Sha256};

use super::{names, pack, sigma_rules};

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Checks a folder with what a pack looks for; `listed` is in a manifest from outside.
fn check(name: &str, files: &[(&str, &[u8])], listed: &[&str]) -> Outcome {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    files.iter().for_each(|(path, content)| write(dir.path(), path, content));
    let digest = |path: &&str| {
        let (_, content) = files.iter().find(|(file, _)| file == path).unwrap();
        format!("{}  .{path}\n", hex(&Sha256::digest(content)))
    };
    let list: String = listed.iter().map(digest).collect();
    let manifests = match list.as_str() {
        "" => Vec::new(),
        list => vec![Manifest::from_operator("list", list.as_bytes()).unwrap()],
    };
    let pack = pack(name);
    let hunt = Hunt::prepare([(&pack.hunting, Origin::Pack)], Limits::default());
    check::integrity::check(&Request {
        source: &Folder::open(dir.path()).unwrap(),
        manifests: &manifests,
        baseline: Baseline::None,
        product: None,
        clause: None,
        previous: &[],
        previous_coverage: None,
        live: None,
        hunt: hunt.as_ref(),
        threads: NonZeroUsize::new(1).unwrap(),
        progress: &Unwatched,
    })
    .unwrap()
}

/// Rules and rows that fired on files of which no manifest was asked.
fn fired(outcome: &Outcome) -> BTreeSet<String> {
    outcome.findings.iter().filter_map(|finding| finding.rule.clone()).collect()
}

#[track_caller]
fn check_rows(name: &str, files: &[(&str, &[u8])], sound: &[(&str, &[u8])]) {
    let rows = fired(&check(name, files, &[]));
    let tamper = pack(name).hunting.tamper;
    let ids = tamper.files.iter().map(|row| &row.id).chain(tamper.misplaced.iter().map(|row| &row.id));
    let expected: BTreeSet<String> = ids.cloned().collect();
    assert_eq!(rows, expected, "{name}: a row without a proof, or a proof that is more");
    assert_eq!(fired(&check(name, sound, &[])), BTreeSet::new(), "{name}");
}

const ZIP: &[u8] = b"PK\x03\x04fixture";
const PROGRAM: &[u8] = b"\x7fELF fixture";

#[test]
fn every_row_of_tampering_with_the_appliance_fires() {
    check_rows(
        "ed-21-03",
        &[
            ("/etc/ld.so.preload", b"/lib/libsafe.so\n/lib/nobody.so\n"),
            ("/home/webserver/htdocs/dana-na/css/x.css", ZIP),
            ("/home/webserver/htdocs/dana-na/css/y.css", PROGRAM),
            ("/home/perl/x.pm", PROGRAM),
            ("/tmp/.t", b"fixture"),
        ],
        &[
            ("/etc/ld.so.preload", b"/lib/libsafe.so\n/home/lib/libdspreload.so\n"),
            ("/home/webserver/htdocs/dana-na/css/ds.css", b"body { }"),
            ("/home/webserver/htdocs/dana-na/jars/x.jar", ZIP),
            ("/home/perl/DSAuth.pm", b"1;\n"),
            ("/tmp/x", b"fixture"),
        ],
    );
}

#[test]
fn every_row_of_tampering_with_exchange_fires() {
    const FRONT: &str = "/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy";
    let path = |end: &str| format!("{FRONT}{end}");
    let (in_auth, in_themes) = (path("/ecp/auth/x.aspx"), path("/owa/auth/Current/themes/x.aspx"));
    let (own, style) = (path("/ecp/auth/TimeoutLogoff.aspx"), path("/owa/auth/Current/themes/logon.css"));
    check_rows(
        "ed-21-02",
        &[("/inetpub/wwwroot/aspnet_client/system_web/x.aspx", b"x"), (&in_auth, b"x"), (&in_themes, b"x")],
        &[("/inetpub/wwwroot/aspnet_client/x.js", b"x"), (&own, b"x"), (&style, b"x")],
    );
}

#[test]
fn a_library_that_the_vendor_signed_is_hunted_in_though_a_manifest_vouches_for_it() {
    const LIBRARY: &str = "/Program Files (x86)/SolarWinds/Orion/SolarWinds.Orion.Core.BusinessLayer.dll";
    const OTHER: &str = "/Program Files (x86)/SolarWinds/Orion/Other.dll";
    let poisoned: &[u8] = b"MZ fixture OrionImprovementBusinessLayer\0";
    let outcome = check("ed-21-01", &[(LIBRARY, poisoned), (OTHER, poisoned)], &[LIBRARY, OTHER]);
    let matched = outcome.findings.iter().filter(|finding| finding.code == "yara-match");
    let paths: Vec<String> = matched.map(|finding| finding.path.as_ref().unwrap().escaped()).collect();
    assert_eq!(paths, [LIBRARY], "a file for which the manifest counts is not hunted in");
}

/// A binary log of the appliance: a header of 8 KiB, then records with their length before them.
fn vc0(records: &[&str]) -> Vec<u8> {
    let mut log = vec![5, 0, 0, 0, 1, 0, 0, 0];
    log.resize(0x2000, 0);
    for record in records {
        log.extend_from_slice(&u16::try_from(record.len()).unwrap().to_le_bytes());
        log.extend_from_slice(record.as_bytes());
    }
    log
}

#[test]
fn a_binary_log_of_the_appliance_is_held_against_the_rules() {
    let log = vc0(&[
        "606eec78.000001\tgate\tAUT31504\tvc0\tRoot\t1\talice\tUsers\t192.0.2.7\t",
        "606eec79.000001\tgate\tAUT31556\tvc0\tRoot\t1\t192.0.2.7\t/dana-ws/namedusers\t",
        "606eec7a.000001\tgate\tAUT31556\tvc0\tRoot\t1\t192.0.2.7\t/dana-na/auth/welcome.cgi\t",
        "606eec7b.000001\tgate\tSYS32040\tvc0\tRoot\t1\t2\t",
        "606eec7c.000001\tgate\tADM20599\tvc0\tRoot\t1\tadmin\tEvents\t",
    ]);
    let hunting = pack("ed-21-03").hunting;
    let (rules, names) = (sigma_rules(&hunting), names(&hunting));
    let mut fired = Vec::new();
    let mut take = |event: Event| {
        fired.extend(rules.look(&event).into_iter().map(|found| (event.number, names[&found.rule].clone())));
    };
    let mut reader = Reader::new(Settings::new(jiff::Timestamp::from_second(1_800_000_000).unwrap()));
    reader.push(&log, &mut take);
    assert_eq!(reader.finish(&mut take).format, Some(Format::Vc0));
    let fired: Vec<(u64, &str)> = fired.iter().map(|(line, name)| (*line, name.as_str())).collect();
    assert_eq!(fired, [(2, "exploit-path-without-login"), (4, "own-check-found-files"), (5, "log-cleared")]);
}
