//! Hunting from the command line: what is found, since when, and whose passwords.

use std::fs;
use std::path::Path;

use directive::record::{Body, Record};
use lab::Lab;

use crate::{arg, records, root, run, stderr, stdout};

/// The lab's instance that was broken into, as evidence.
fn instance(dir: &Path) -> String {
    let lab = Lab::build(dir).unwrap();
    arg(&lab.dir().join("evidence/vpn2")).to_owned()
}

fn findings<'a>(records: &'a [Record], code: &str) -> Vec<&'a str> {
    let found = records.iter().filter_map(|record| match &record.body {
        Body::Finding(finding) if finding.code == code => finding.rule.as_deref(),
        _ => None,
    });
    found.collect()
}

#[test]
fn rules_and_indicators_of_the_operator_are_found_in_files_and_logs() {
    let dir = tempfile::tempdir().unwrap();
    let source = instance(&dir.path().join("lab"));
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        arg(&path).to_owned()
    };
    let yara = file("own.yar", "rule inert { strings: $a = \"inert exercise material\" condition: $a }");
    let sigma = file(
        "own.yml",
        "title: Asked for named users\nid: 0e9b2c1a-53d5-4a0c-8f0e-6d0d3b0f7a01\nlevel: high\n\
         logsource: { product: pulse-connect-secure }\n\
         detection:\n  asked: ['/dana-ws/namedusers']\n  condition: asked\n",
    );
    let indicators = file("own.txt", "203.0.113.66, an address of the exercise\n");
    let output = run(&[
        "check",
        &source,
        "--pack",
        "ed-21-03",
        "--json",
        "--yara",
        &yara,
        "--sigma",
        &sigma,
        "--indicators",
        &indicators,
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let records = records(&output);
    assert!(findings(&records, "yara-match").iter().any(|rule| rule.ends_with("own.yar:inert")));
    assert!(findings(&records, "sigma-match").contains(&"0e9b2c1a-53d5-4a0c-8f0e-6d0d3b0f7a01"));
    assert!(findings(&records, "indicator-match").iter().any(|rule| rule.ends_with("own.txt:1")));
}

#[test]
fn the_timeline_and_the_accounts_are_written_to_files() {
    let dir = tempfile::tempdir().unwrap();
    let source = instance(&dir.path().join("lab"));
    let manifest = dir.path().join("lab/manifests/9.1R10.manifest");
    let (timeline, table) = (dir.path().join("timeline.jsonl"), dir.path().join("timeline.csv"));
    let accounts = dir.path().join("accounts.csv");
    for timeline in [&timeline, &table] {
        let output = run(&[
            "check",
            &source,
            "--pack",
            "ed-21-03",
            "--manifest",
            arg(&manifest),
            "--timeline",
            arg(timeline),
            "--accounts",
            arg(&accounts),
            "--explain",
        ]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let (said, told) = (stdout(&output), stderr(&output));
        assert!(said.contains("First sign 2021-03-10T02:16:40Z"), "{said}");
        assert!(said.contains("reset System Local\\h.lindqvist (local)"), "{said}");
        assert!(told.contains("not-as-shipped -> mismatch: holds"), "{told}");
        assert!(told.contains("not-seen -> inconclusive:"), "{told}");
    }
    let lines = fs::read_to_string(&timeline).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["datetime"].is_string() && first["timestamp"].is_i64() && first["message"].is_string());
    assert_eq!(fs::read_to_string(&table).unwrap().lines().count(), lines.lines().count() + 1);
    let accounts = fs::read_to_string(&accounts).unwrap();
    let rows = accounts.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>());
    let names: Vec<String> = rows.map(|row| format!("{}\\{}", row[2], row[1])).collect();
    assert_eq!(names, lab::passed_through());
}

#[test]
fn a_scanner_that_the_command_line_names_is_passed_over_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("source/var/log/nginx");
    fs::create_dir_all(&logs).unwrap();
    let asked = |address: &str| {
        format!("{address} - - [08/Apr/2021:10:00:00 +0000] \"GET /shell.cgi HTTP/1.1\" 200 17 \"-\" \"Scan/1\"\n")
    };
    fs::write(logs.join("access.log"), asked("192.0.2.9") + &asked("203.0.113.66") + &asked("2001:db8::7")).unwrap();
    let rule = dir.path().join("own.yml");
    fs::write(
        &rule,
        "title: Asked for a shell\nid: 0e9b2c1a-53d5-4a0c-8f0e-6d0d3b0f7a02\nlevel: high\n\
         logsource: { category: webserver }\ndetection:\n  asked: ['/shell.cgi']\n  condition: asked\n",
    )
    .unwrap();
    let source = dir.path().join("source");
    let check = ["check", arg(&source), "--json", "--sigma", arg(&rule), "--scanner"];
    let output = run(&[&check[..], &["nightly=192.0.2.0/28,2001:db8::7"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let records = records(&output);
    let found: Vec<&str> = records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Finding(finding) if finding.code == "sigma-match" => finding.place.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!(found, ["line 2"]);
    let told = records.iter().any(|record| match &record.body {
        Body::Gap(gap) => gap.code == "scanner-passed-over" && gap.why.starts_with("2 events"),
        _ => false,
    });
    assert!(told, "{}", stdout(&output));
    assert!(stderr(&output).contains("What scanners tried is no finding; 1 gaps"), "{}", stderr(&output));
    for wrong in ["nightly", "nightly=scan.example", "everybody=0.0.0.0/0"] {
        let output = run(&[&check[..], &[wrong]].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(stderr(&output).contains("--scanner"), "{}", stderr(&output));
    }
}

#[test]
fn logins_from_two_places_are_told_with_a_database_of_places_and_a_broken_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("source/var/log");
    fs::create_dir_all(&logs).unwrap();
    let login = |time: &str, address: &str| {
        format!("2021-04-08T{time}Z gate sshd[7]: Accepted password for alice from {address} port 4711 ssh2\n")
    };
    let text = login("10:00:00", "198.51.100.7") + &login("10:30:00", "203.0.113.7");
    fs::write(logs.join("auth.log"), text).unwrap();
    let source = dir.path().join("source");
    let places = root().join("crates/check/tests/hunt_logs/fixtures/places.mmdb");
    let output = run(&["check", arg(&source), "--geo", arg(&places)]);
    let told = stdout(&output);
    assert!(
        told.contains("low") && told.contains("sessions-apart alice: it logged in from 198.51.100.7 (DE)"),
        "{told}"
    );

    let broken = dir.path().join("broken.mmdb");
    let bytes = fs::read(&places).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let output = run(&["check", arg(&source), "--geo", arg(&broken)]);
    assert_eq!(output.status.code(), Some(2));
    for word in ["broken.mmdb is not used", "no database of addresses", "hint:"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[test]
fn a_response_knows_the_scanners_of_the_scope_its_own_requests_and_where_addresses_are() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("evidence/var/log");
    fs::create_dir_all(logs.join("nginx")).unwrap();
    let asked = |address: &str, agent: &str| {
        format!(
            "{address} - - [08/Apr/2021:10:00:00 +0000] \"GET /dana-na/../dana/html5acc/x HTTP/1.1\" 200 17 \"-\" \
             \"{agent}\"\n"
        )
    };
    let own = "Portcullis/0.1.0 (Agency)";
    let web = [asked("192.0.2.9", "Scan/1"), asked("192.0.2.77", own), asked("203.0.113.66", own)].concat();
    fs::write(logs.join("nginx/access.log"), web).unwrap();
    let login = |time: &str, address: &str| {
        format!("2021-04-08T{time}Z gate sshd[7]: Accepted password for alice from {address} port 4711 ssh2\n")
    };
    fs::write(logs.join("auth.log"), login("10:00:00", "198.51.100.7") + &login("10:30:00", "203.0.113.7")).unwrap();
    fs::copy(root().join("crates/check/tests/hunt_logs/fixtures/places.mmdb"), dir.path().join("places.mmdb")).unwrap();
    let scope = "organisation = \"Agency\"\nvantage = [\"192.0.2.77\"]\ngeo = \"places.mmdb\"\n\
                 [[scanner]]\nname = \"nightly\"\naddresses = [\"192.0.2.0/28\"]\n\
                 [[instance]]\nname = \"vpn1\"\nevidence = \"evidence\"\n";
    fs::write(dir.path().join("scope.toml"), scope).unwrap();
    let (scope, case) = (dir.path().join("scope.toml"), dir.path().join("case"));
    let respond = ["respond", "--json", "--pack", "packs/ed-21-03", "--exercise", "2021-04-21T13:00:00Z"];
    let output = run(&[&respond[..], &["--scope", arg(&scope), "--case", arg(&case)]].concat());
    let (mut found, mut passed) = (Vec::new(), Vec::new());
    for record in records(&output) {
        match record.body {
            Body::Finding(one) if one.code == "sigma-match" => found.push(one.place.unwrap()),
            Body::Finding(one) if one.code == "sessions-apart" => found.push(one.place.unwrap()),
            Body::Gap(one) if one.code == "scanner-passed-over" => passed.push(one.place.unwrap()),
            _ => {}
        }
    }
    assert_eq!((found, passed), (vec!["alice".into(), "line 3".into()], vec!["nightly".into(), "portcullis".into()]));
}

#[test]
fn to_hunt_in_everything_with_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["check", arg(dir.path()), "--no-vouch"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nothing to hunt with"), "{}", stderr(&output));
}
