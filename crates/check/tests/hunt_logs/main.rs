//! Hunt in logs: since when, who passed through, and who covered his tracks?

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make what they check")]

mod apart;
mod scanner;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use check::hunt::geo::Geo;
use check::hunt::{Context, Hunt, Origin};
use check::{Baseline, Manifest, Outcome, Request};
use directive::hunting::Hunting;
use directive::progress::Unwatched;
use directive::record::{AccountKind, Severity, hex};
use directive::scope::Scanner;
use directive::verdict::Verdict;
use evidence::Folder;
use sha2::{Digest as _, Sha256};

const LOGS: &str = "[[log]]\nid = 'events'\npath = '/logs/events*'\nneeded = true\n\
                    [[log]]\nid = 'web'\npath = '/logs/web*'\n";

/// The tables of a pack.
#[derive(Default)]
struct Given<'a> {
    tamper: &'a str,
    accounts: &'a str,
    indicators: &'a str,
    verdict: &'a str,
    meaning: Option<&'a str>,
    sigma: &'a str,
    scanners: Vec<Scanner>,
    geo: Option<&'a [u8]>,
}

/// Checks a folder against a list of the files below `/bin`.
fn check(root: &Path, given: &Given<'_>) -> Outcome {
    let pack = Hunting {
        tamper: toml::from_str(given.tamper).unwrap(),
        logs: toml::from_str(LOGS).unwrap(),
        accounts: toml::from_str(given.accounts).unwrap(),
        verdict: toml::from_str(given.verdict).unwrap(),
        meaning: given.meaning.map(str::to_owned),
        sigma: if given.sigma.is_empty() {
            Default::default()
        } else {
            [("rules.yml".to_owned(), given.sigma.as_bytes().to_vec())].into()
        },
        indicators: [("list".to_owned(), given.indicators.as_bytes().to_vec())].into(),
        ..Hunting::default()
    };
    let geo = given.geo.map(|bytes| Arc::new(Geo::read(bytes.to_vec()).unwrap()));
    let context = Context { scanners: given.scanners.clone(), geo, ..Context::default() };
    let hunt = Hunt::within(context, [(&pack, Origin::Pack)], Default::default()).unwrap();
    let list = format!("{}  ./bin/web\n", hex(&Sha256::digest("as shipped")));
    let product = toml::from_str("name = 'X'\nvendor = 'X'\nscheme = 'segments'\n[integrity]\ncomplete = ['/bin']\n");
    check::integrity::check(&Request {
        source: &Folder::open(root).unwrap(),
        manifests: &[Manifest::from_operator("list", list.as_bytes()).unwrap()],
        baseline: Baseline::None,
        product: Some(&product.unwrap()),
        clause: None,
        previous: &[],
        previous_coverage: None,
        live: None,
        hunt: Some(&hunt),
        threads: NonZeroUsize::new(2).unwrap(),
        progress: &Unwatched,
    })
    .unwrap()
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (path, bytes) in [("bin/web", b"as shipped" as &[u8])].iter().chain(files) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

/// A line as a Pulse appliance sends it over syslog, of the day in April 2021.
fn line(time: &str, who: &str, message: &str) -> String {
    format!("2021-04-{time}Z 192.0.2.1 PulseSecure: 2021-04-{} - ive - {who} - {message}\n", time.replace('T', " "))
}

/// A login as the appliance writes it.
fn login(time: &str, user: &str, realm: &str, roles: &str, address: &str) -> String {
    let words = format!("Login succeeded for {user}/{realm} (session:1) from {address} with Agent.");
    line(time, &format!("[{address}] Root::{user}({realm})[{roles}][s]"), &words)
}

/// Findings as `code rule`.
fn found(outcome: &Outcome) -> Vec<String> {
    let findings = outcome.findings.iter().filter(|finding| finding.code != "program-unlisted");
    findings.map(|one| format!("{} {}", one.code, one.rule.as_deref().unwrap_or("-"))).collect()
}

/// Gaps as `code required`, but for the web log that most of these instances do not have.
fn gaps(outcome: &Outcome) -> Vec<String> {
    let gaps = outcome.gaps.iter().filter(|gap| gap.place.as_deref() != Some("/logs/web*"));
    gaps.map(|gap| format!("{} {}", gap.code, gap.required)).collect()
}

#[test]
fn accounts_that_logged_in_after_the_first_sign_are_to_be_reset_and_those_that_they_changed() {
    let refused = "Login failed using auth server System Local (Local Authentication).  Reason: Failed";
    let added = "User Accounts modified. Added User Test 002 with username usertest2 to authentication server \
                 System Local.";
    let text = [
        login("08T10:00:00", "early", "Users", "Staff", "198.51.100.8"),
        line("08T12:00:00", "[127.0.0.1] Root::System()[]", "Core dumped"),
        line("08T12:00:01", "[198.51.100.9] Root::mallory(Users)[]", refused),
        login("08T13:00:00", "alice", "Users", "Staff", "198.51.100.7"),
        login("09T13:00:00", "alice", "Users", "Staff", "198.51.100.70"),
        login("09T14:00:00", "root2", "Admin Users", ".Administrators", "203.0.113.9"),
        line("09T14:10:00", "[203.0.113.9] Root::root2(Admin Users)[.Administrators][s]", added),
    ]
    .concat();
    let dir = folder(&[("logs/events", text.as_bytes())]);
    let given = Given {
        tamper: "[[event]]\nid = 'core'\nmatches = '^Core dumped'\nseverity = 'high'\nwhy = 'the web server crashed'\n",
        ..Given::default()
    };
    let outcome = check(dir.path(), &given);
    assert_eq!(found(&outcome), ["telltale-event core"]);
    assert_eq!(outcome.conclusion.first_sign.unwrap().to_string(), "2021-04-08T12:00:00Z");
    assert_eq!(outcome.conclusion.accounts, ["Users\\alice", "Admin Users\\root2", "usertest2"]);
    let [alice, root2, test] = &outcome.accounts[..] else { panic!("{:?}", outcome.accounts) };
    assert_eq!((alice.logins, &alice.addresses[..]), (2, &["198.51.100.7".to_owned(), "198.51.100.70".to_owned()][..]));
    assert_eq!(alice.first.unwrap().to_string(), "2021-04-08T13:00:00Z");
    assert_eq!((&root2.kinds[..], &alice.kinds[..]), (&[AccountKind::Admin][..], &[AccountKind::User][..]));
    assert!(test.why.contains("root2"), "{}", test.why);
    let reach = &outcome.coverage.logs[0];
    assert_eq!((reach.log.as_str(), reach.lines, reach.strange), ("events", 7, 0));
    assert!(outcome.conclusion.reasons.iter().any(|why| why.contains("events from 2021-04-08T10:00:00Z")));
    let moments: Vec<_> = outcome.timeline.iter().map(|moment| moment.what.as_str()).collect();
    assert_eq!(moments, ["login", "telltale-event", "login", "login", "login", "account-changed"]);
}

#[test]
fn commands_stand_in_the_timeline_each_once_with_how_often_it_was_given() {
    let exec = |second: u32, serial: u32, words: &str| {
        let begin = format!("msg=audit(16178{second:05}.1:{serial})");
        format!(
            "type=SYSCALL {begin}: arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=2 auid=33 uid=0 comm=\"x\" \
             exe=\"/usr/bin/x\"\ntype=EXECVE {begin}: argc=1 a0=\"{words}\"\n"
        )
    };
    let audit = [exec(70, 1, "/usr/bin/uptime"), exec(80, 2, "/tmp/.x"), exec(90, 3, "/usr/bin/uptime")].concat();
    let events = line("08T10:00:00", "[127.0.0.1] Root::System()[]", "x");
    let dir = folder(&[("logs/events", events.as_bytes()), ("var/log/audit/audit.log", audit.as_bytes())]);
    let outcome = check(dir.path(), &Given::default());
    let told = outcome.timeline.iter().filter(|moment| moment.what == "process");
    let told: Vec<_> = told.map(|moment| (moment.why.as_str(), moment.account.as_deref().unwrap())).collect();
    let often = "/usr/bin/uptime (2 times in this log, the last at 2021-04-07T12:54:50Z)";
    assert_eq!(told, [(often, "33"), ("/tmp/.x", "33")]);
}

#[test]
fn nobody_is_to_be_reset_where_nothing_was_found() {
    let text = login("08T10:00:00", "alice", "Users", "", "198.51.100.8");
    let outcome = check(folder(&[("logs/events", text.as_bytes())]).path(), &Given::default());
    assert_eq!((outcome.conclusion.verdict, outcome.conclusion.first_sign), (Verdict::NoEvidenceFound, None));
    assert!(outcome.accounts.is_empty());
}

#[test]
fn a_log_that_the_verdict_needs_and_that_is_not_there_leaves_it_open() {
    let outcome = check(folder(&[]).path(), &Given::default());
    assert_eq!(gaps(&outcome), ["log-missing true"]);
    assert_eq!(outcome.conclusion.verdict, Verdict::Inconclusive);
}

#[test]
fn records_cut_out_of_a_binary_log_are_a_finding_where_they_were() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../logs/tests/fixtures/thinblood-sed.vc0");
    let outcome = check(folder(&[("logs/events.vc0", &std::fs::read(fixture).unwrap())]).path(), &Given::default());
    assert!(found(&outcome).contains(&"log-chain-broken -".to_owned()), "{:?}", found(&outcome));
    let broken = outcome.findings.iter().find(|finding| finding.code == "log-chain-broken").unwrap();
    assert_eq!(broken.severity, Severity::High);
    assert!(broken.times.contains_key("event") && broken.place.as_ref().unwrap().starts_with("byte "));
    assert_eq!(outcome.conclusion.verdict, Verdict::Mismatch);
}

#[test]
fn events_that_should_be_there_and_are_not_are_a_gap_with_what_was_therefore_not_seen() {
    let who = "[198.51.100.8] Root::alice(Users)[][s]";
    let text: String = (0..50).map(|n| line(&format!("08T10:{n:02}:00"), who, "Logout from 198.51.100.8")).collect();
    let row = "[[expected]]\nid = 'unauthenticated'\nlog = 'events'\ncodes = ['AUT31556']\namong = 40\n\
               why = 'requests before the login were not logged'\n";
    let mut given = Given { tamper: row, ..Given::default() };
    let dir = folder(&[("logs/events", text.as_bytes())]);
    let outcome = check(dir.path(), &given);
    assert_eq!(gaps(&outcome), ["log-event-absent false"]);
    let weighty = format!("{row}severity = 'medium'\n");
    given.tamper = &weighty;
    assert_eq!(found(&check(dir.path(), &given)), ["log-event-absent unauthenticated"]);
    let said = text
        + &line(
            "08T11:00:00",
            "[127.0.0.1] Root::System()[]",
            "Connection from IP 192.0.2.5 not authenticated yet (URL=/dana-na/)",
        );
    let outcome = check(folder(&[("logs/events", said.as_bytes())]).path(), &given);
    assert_eq!(found(&outcome), Vec::<String>::new());
}

#[test]
fn a_busy_log_that_fell_silent_is_a_finding_and_quiet_nights_are_none() {
    let who = "[198.51.100.8] Root::alice(Users)[][s]";
    let day =
        |day: u32| (8..20).map(move |hour| line(&format!("{day:02}T{hour:02}:30:00"), who, "Logout from 198.51.100.8"));
    let row = "[[silence]]\nid = 'silent'\nlog = 'events'\nhours = 24\ntimes = 2\nseverity = 'medium'\n\
               why = 'somebody took hours out, or turned logging off'\n";
    let given = Given { tamper: row, ..Given::default() };
    let nights: String = (1..12).flat_map(day).collect();
    assert_eq!(found(&check(folder(&[("logs/events", nights.as_bytes())]).path(), &given)), Vec::<String>::new());
    // Rotated files are one log.
    let (before, after): (String, String) = ((1..5).flat_map(day).collect(), (8..12).flat_map(day).collect());
    let dir = folder(&[("logs/events.1", before.as_bytes()), ("logs/events", after.as_bytes())]);
    let outcome = check(dir.path(), &given);
    assert_eq!(found(&outcome), ["log-silent silent"]);
    assert_eq!(outcome.conclusion.first_sign.unwrap().to_string(), "2021-04-04T20:00:00Z");
}

#[test]
fn a_count_of_matched_files_that_fell_is_a_finding_unless_an_upgrade_lies_between() {
    let scan = |time: &str, count: u32| {
        let words = format!(
            "Integrity Scan Completed: Integrity Scan Results : Matched Files {count}, Newly Detected Files 0, \
             Mismatched Files 0"
        );
        line(time, "[127.0.0.1] Root::System()[]", &words)
    };
    let row = "[[count]]\nid = 'matched'\nmatches = 'Matched Files (?<count>\\d+),'\nreset-by = ['ADM20714']\n\
               severity = 'high'\nwhy = 'the check of the instance itself looks at fewer files'\n";
    let given = Given { tamper: row, ..Given::default() };
    let text = scan("08T10:00:00", 18_773) + &scan("08T12:00:00", 18_770);
    assert_eq!(found(&check(folder(&[("logs/events", text.as_bytes())]).path(), &given)), ["log-count-fell matched"]);
    let welf = "2021-04-08T11:00:00Z 192.0.2.1 PulseSecure: id=firewall time=\"2021-04-08 11:00:00\" pri=6 fw=10.0.0.9 \
                vpn=ive ivs=Root user=System realm=\"\" roles=\"\" type=mgmt msg=\"ADM20714: Upgraded\"\n";
    let text = scan("08T10:00:00", 18_773) + welf + &scan("08T12:00:00", 18_770);
    assert_eq!(found(&check(folder(&[("logs/events", text.as_bytes())]).path(), &given)), Vec::<String>::new());
}

#[test]
fn a_folder_of_core_dumps_that_is_empty_after_crashes_was_emptied() {
    let welf = "2021-04-08T11:00:00Z 192.0.2.1 PulseSecure: id=firewall time=\"2021-04-08 11:00:00\" pri=6 fw=10.0.0.9 \
                vpn=ive ivs=Root user=System realm=\"\" roles=\"\" type=mgmt msg=\"ERR31093: web failed.\"\n";
    let row = "[[emptied]]\nid = 'cores'\nfolder = '/cores'\ncodes = ['ERR31093']\nseverity = 'medium'\n\
               why = 'dumps of crashes were removed'\n";
    let given = Given { tamper: row, ..Given::default() };
    let dir = folder(&[("logs/events", welf.as_bytes())]);
    std::fs::create_dir(dir.path().join("cores")).unwrap();
    assert_eq!(found(&check(dir.path(), &given)), ["folder-emptied cores"]);
    std::fs::write(dir.path().join("cores/core.web"), "x").unwrap();
    assert_eq!(found(&check(dir.path(), &given)), Vec::<String>::new());
}

#[test]
fn a_request_that_was_refused_is_an_attempt_and_one_that_was_answered_is_not() {
    let request = |status: u16| {
        format!(
            "203.0.113.66 - - [08/Apr/2021:10:00:00 +0000] \"GET /dana-na/x HTTP/1.1\" {status} 17 \"-\" \"Evil/1.0\"\n"
        )
    };
    let given = Given { indicators: "203.0.113.66, exit of an intruder\n", ..Given::default() };
    let events = line("08T10:00:00", "[127.0.0.1] Root::System()[]", "x");
    let refused = folder(&[("logs/events", events.as_bytes()), ("logs/web.log", request(404).repeat(30).as_bytes())]);
    let outcome = check(refused.path(), &given);
    let hits: Vec<_> = outcome.findings.iter().filter(|finding| finding.code == "indicator-match").collect();
    assert!(hits.len() == 30 && hits.iter().all(|hit| hit.severity == Severity::Low && hit.why.contains("attempt")));
    assert_eq!(outcome.conclusion.verdict, Verdict::NoEvidenceFound);
    let answered = folder(&[("logs/events", events.as_bytes()), ("logs/web.log", request(200).as_bytes())]);
    assert!(check(answered.path(), &given).conclusion.verdict < Verdict::Inconclusive);
}

#[test]
fn thousands_of_matches_are_told_by_the_first_and_counted() {
    let request = "203.0.113.66 - - [08/Apr/2021:10:00:00 +0000] \"GET / HTTP/1.1\" 200 17 \"-\" \"-\"\n";
    let events = line("08T10:00:00", "[127.0.0.1] Root::System()[]", "x");
    let dir = folder(&[("logs/events", events.as_bytes()), ("logs/web.log", request.repeat(5_000).as_bytes())]);
    let outcome = check(dir.path(), &Given { indicators: "203.0.113.66\n", ..Given::default() });
    assert_eq!(outcome.findings.iter().filter(|finding| finding.code == "indicator-match").count(), 100);
    assert!(outcome.gaps.iter().any(|gap| gap.code == "too-many" && gap.why.starts_with("4900 more matches")));
}

#[test]
fn what_two_findings_mean_together_is_said_by_the_pack() {
    let text = line("08T12:00:00", "[127.0.0.1] Root::System()[]", "Core dumped");
    let dir = folder(&[("logs/events", text.as_bytes()), ("bin/added", b"x")]);
    let given = Given {
        tamper: "[[event]]\nid = 'core'\nmatches = '^Core dumped'\nseverity = 'low'\nwhy = 'a crash'\n",
        verdict: "[[rule]]\nid = 'broken-into'\nverdict = 'compromised'\nsays = 'a program came with a crash'\n\
                  when = [{ rule = '^core$' }, { code = ['file-added'] }]\n",
        ..Given::default()
    };
    let outcome = check(dir.path(), &given);
    assert_eq!(outcome.conclusion.verdict, Verdict::Compromised);
    let held: Vec<_> = outcome.explained.iter().filter(|rule| rule.holds).map(|rule| rule.id.as_str()).collect();
    assert_eq!(held, ["not-as-shipped", "broken-into"]);
}

#[test]
fn a_table_of_meanings_that_is_broken_is_a_gap_and_hunting_goes_on() {
    let text = line("08T12:00:00", "[127.0.0.1] Root::System()[]", "Core dumped");
    let dir = folder(&[("logs/events", text.as_bytes())]);
    let given =
        Given { meaning: Some("[[line]]\nprogram = 'x'\npattern = '('\naction = 'login'\n"), ..Given::default() };
    let outcome = check(dir.path(), &given);
    assert_eq!(gaps(&outcome), ["rule-unusable true"]);
    assert_eq!(outcome.coverage.logs.len(), 1);
}

#[test]
fn a_long_log_is_read_to_its_end() {
    let who = "[198.51.100.8] Root::alice(Users)[][s]";
    let mut text: String = (0..300_000)
        .map(|n| line(&format!("08T{:02}:{:02}:00", n / 18_000 % 24, n / 300 % 60), who, "Logout from 198.51.100.8"))
        .collect();
    text += &line("09T10:00:00", "[127.0.0.1] Root::System()[]", "Core dumped");
    assert!(text.len() > 24 << 20);
    let packed = {
        use std::io::Write as _;
        let mut packer = std::process::Command::new("gzip")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = packer.stdin.take().unwrap();
        let bytes = text.clone().into_bytes();
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let output = packer.wait_with_output().unwrap().stdout;
        writer.join().unwrap().unwrap();
        output
    };
    let given = Given {
        tamper: "[[event]]\nid = 'core'\nmatches = '^Core dumped'\nseverity = 'high'\nwhy = 'a crash'\n",
        ..Given::default()
    };
    for (name, bytes) in [("logs/events", text.as_bytes()), ("logs/events.1.gz", &packed)] {
        let outcome = check(folder(&[(name, bytes)]).path(), &given);
        assert_eq!(found(&outcome), ["telltale-event core"], "{name}");
        assert_eq!(outcome.coverage.logs[0].lines, 300_001);
    }
}

const SIGMA: &str = "title: A page of the licence server is asked for\nid: 6d5b5a9f-1a0f-4f50-9d5a-0d9a3f2f0a11\n\
    logsource: { category: webserver }\nlevel: high\ntags: [attack.t1190]\n\
    detection:\n  asked:\n    cs-uri-stem|contains: /dana-ws/namedusers\n  condition: asked\n";

#[test]
fn a_rule_is_found_in_a_log_of_which_every_other_line_stays_unread() {
    let request = |path: &str, status: u16| {
        format!("203.0.113.66 - - [08/Apr/2021:10:00:00 +0000] \"GET {path} HTTP/1.1\" {status} 17 \"-\" \"-\"\n")
    };
    let mut log = request("/dana-na/auth/welcome.cgi", 200).repeat(2_000);
    log += &request("/dana-ws/namedusers?x", 200);
    log += &request("/dana-na/auth/welcome.cgi", 200).repeat(2_000);
    log += &request("/DANA-WS/namedusers?y", 404);
    let events = line("08T10:00:00", "[127.0.0.1] Root::System()[]", "x");
    let dir = folder(&[("logs/events", events.as_bytes()), ("logs/web.log", log.as_bytes())]);
    let outcome = check(dir.path(), &Given { sigma: SIGMA, ..Given::default() });
    let hits: Vec<_> = outcome.findings.iter().filter(|finding| finding.code == "sigma-match").collect();
    let [came, tried] = &hits[..] else { panic!("{hits:?}") };
    assert_eq!((came.severity, came.place.as_deref()), (Severity::High, Some("line 2001")));
    assert_eq!((tried.severity, tried.place.as_deref()), (Severity::Low, Some("line 4002")));
    assert!(came.why.contains("licence server") && came.why.ends_with("from 203.0.113.66"), "{}", came.why);
    assert_eq!(came.attack, ["T1190"]);
    assert_eq!(outcome.coverage.logs.iter().map(|log| log.lines).collect::<Vec<_>>(), [1, 4_002]);
}

#[test]
fn a_sigma_rule_that_cannot_be_used_is_a_required_gap_and_the_others_run() {
    let broken =
        format!("{SIGMA}---\ntitle: No condition\nlogsource: {{ category: webserver }}\ndetection:\n  a: [x]\n");
    let request =
        "203.0.113.66 - - [08/Apr/2021:10:00:00 +0000] \"GET /dana-ws/namedusers HTTP/1.1\" 200 1 \"-\" \"-\"\n";
    let events = line("08T10:00:00", "[127.0.0.1] Root::System()[]", "x");
    let dir = folder(&[("logs/events", events.as_bytes()), ("logs/web.log", request.as_bytes())]);
    let outcome = check(dir.path(), &Given { sigma: &broken, ..Given::default() });
    assert_eq!(gaps(&outcome), ["rule-unusable true"]);
    assert!(found(&outcome).iter().any(|found| found.starts_with("sigma-match ")), "{:?}", found(&outcome));
}
