//! Scanners: is what a scanner of the scope tried passed over, and nothing else?

use check::Outcome;
use directive::record::Gap;
use directive::scope::{Scanner, Scope};
use directive::verdict::Verdict;

use super::{Given, SIGMA, check, folder, found, line, login};

/// The scanners of a scope file.
fn scanners(text: &str) -> Vec<Scanner> {
    Scope::parse("scope.toml", &format!("organisation = \"Example Agency\"\n{text}")).unwrap().scanners
}

const NIGHTLY: &str = "[[scanner]]\nname = \"nightly\"\naddresses = [\"192.0.2.0/28\"]\n";

/// A line of an access log: who asked for a page that a rule and an indicator are about, at which hour, and the answer.
fn asked(address: &str, hour: u32, status: u16, agent: &str) -> String {
    format!(
        "{address} - - [08/Apr/2021:{hour:02}:00:00 +0000] \"GET /dana-ws/namedusers HTTP/1.1\" {status} 17 \"-\" \
         \"{agent}\"\n"
    )
}

/// Checks an instance with a web log, under the rule of the other tests and an indicator.
fn check_web(web: &str, scanners: Vec<Scanner>) -> Outcome {
    let events = line("08T10:00:00", "[127.0.0.1] Root::System()[]", "x");
    let dir = folder(&[("logs/events", events.as_bytes()), ("logs/web.log", web.as_bytes())]);
    check(dir.path(), &Given { sigma: SIGMA, indicators: "192.0.2.9\n", scanners, ..Given::default() })
}

/// Findings as `line code`.
fn hits(outcome: &Outcome) -> Vec<String> {
    let findings = outcome.findings.iter().filter(|finding| finding.code.ends_with("-match"));
    let mut hits: Vec<_> =
        findings.map(|one| format!("{} {}", one.place.as_deref().unwrap_or("-"), one.code)).collect();
    hits.sort();
    hits
}

fn passed(outcome: &Outcome) -> Vec<&Gap> {
    outcome.gaps.iter().filter(|gap| gap.code == "scanner-passed-over").collect()
}

#[test]
fn a_scanner_does_not_find_itself_and_the_intruder_that_asked_for_the_same_is_found() {
    let web = [
        asked("192.0.2.9", 10, 404, "Example Scan/4.1"),
        asked("192.0.2.9", 11, 200, "Example Scan/4.1"),
        asked("203.0.113.66", 12, 200, "Example Scan/4.1"),
        asked("192.0.2.10", 13, 404, "curl/8.0"),
    ]
    .concat();
    let outcome = check_web(&web, scanners(NIGHTLY));
    assert_eq!(hits(&outcome), ["line 3 sigma-match"]);
    let [gap] = passed(&outcome)[..] else { panic!("{:?}", outcome.gaps) };
    assert_eq!((gap.place.as_deref(), gap.required), (Some("nightly"), false));
    let told = [
        "3 events that rules match",
        "from 2021-04-08T10:00:00Z to 2021-04-08T13:00:00Z",
        "1 of them are requests that were answered with success, the first in line 2",
        "6d5b5a9f-1a0f-4f50-9d5a-0d9a3f2f0a11",
        "list:1",
    ];
    assert!(told.iter().all(|word| gap.why.contains(word)), "{}", gap.why);
    assert_eq!(outcome.conclusion.first_sign.unwrap().to_string(), "2021-04-08T12:00:00Z");
}

#[test]
fn an_instance_that_nobody_but_scanners_touched_is_no_mismatch() {
    let web = asked("192.0.2.9", 10, 200, "Example Scan/4.1").repeat(5_000);
    let outcome = check_web(&web, scanners(NIGHTLY));
    assert_eq!((hits(&outcome).len(), outcome.conclusion.verdict), (0, Verdict::NoEvidenceFound));
    assert!(passed(&outcome)[0].why.starts_with("5000 events"), "{:?}", outcome.gaps);
    assert_eq!(check_web(&web, Vec::new()).conclusion.verdict, Verdict::Mismatch);
}

#[test]
fn an_intruder_with_the_user_agent_of_a_scanner_is_found() {
    let narrow = scanners(&format!("{NIGHTLY}user-agent = \"Example Scan\"\n"));
    let web = [
        asked("203.0.113.66", 10, 200, "Example Scan/4.1"),
        asked("192.0.2.10", 11, 200, "Example Scan/4.1"),
        asked("192.0.2.10", 12, 200, "curl/8.0"),
    ]
    .concat();
    assert_eq!(hits(&check_web(&web, narrow)), ["line 1 sigma-match", "line 3 sigma-match"]);
}

#[test]
fn a_scanner_outside_its_window_is_found() {
    let window = "from = \"2021-04-08T09:00:00Z\"\nuntil = \"2021-04-08T11:00:00Z\"\n";
    let web = [8, 10, 12].map(|hour| asked("192.0.2.10", hour, 200, "Example Scan/4.1")).concat();
    let outcome = check_web(&web, scanners(&format!("{NIGHTLY}{window}")));
    assert_eq!(hits(&outcome), ["line 1 sigma-match", "line 3 sigma-match"]);
    assert!(passed(&outcome)[0].why.starts_with("1 events"), "{:?}", outcome.gaps);
}

#[test]
fn our_own_requests_are_passed_over_and_those_of_others_at_our_address_are_not() {
    let web = [
        asked("192.0.2.10", 10, 404, "Portcullis/0.1.0 (Example Agency; soc@agency.example)"),
        asked("192.0.2.10", 11, 404, "curl/8.0"),
        asked("203.0.113.66", 12, 404, "Portcullis/0.1.0 (Example Agency; soc@agency.example)"),
    ]
    .concat();
    let outcome = check_web(&web, scanners("vantage = [\"192.0.2.10\"]"));
    assert_eq!(hits(&outcome), ["line 2 sigma-match", "line 3 sigma-match"]);
    assert_eq!(passed(&outcome)[0].place.as_deref(), Some("portcullis"));
}

#[test]
fn what_came_of_a_scanner_is_found_and_its_account_is_to_be_reset() {
    let cleared = line("08T10:01:00", "[192.0.2.9] Root::root2(Admin Users)[][s]", "The log has been cleared");
    let text = login("08T10:02:00", "root2", "Admin Users", ".Administrators", "192.0.2.9") + &cleared;
    let given = Given {
        tamper: "[[event]]\nid = 'cleared'\nmatches = 'has been cleared'\nseverity = 'medium'\nwhy = 'tracks'\n",
        scanners: scanners(NIGHTLY),
        ..Given::default()
    };
    let outcome = check(folder(&[("logs/events", text.as_bytes())]).path(), &given);
    assert!(found(&outcome).contains(&"telltale-event cleared".to_owned()), "{:?}", found(&outcome));
    assert_eq!(outcome.conclusion.accounts, ["Admin Users\\root2"]);
}

/// A session of the audit daemon from an address, and a command in it.
fn session(serial: u32, session: u32, address: &str, command: &[&str]) -> String {
    let arguments: String = command.iter().enumerate().map(|(n, word)| format!(" a{n}=\"{word}\"")).collect();
    let begin = format!("msg=audit(16178{serial:05}.1");
    format!(
        "type=LOGIN {begin}:{serial}0): pid=9 uid=0 old-auid=4294967295 auid=0 old-ses=4294967295 ses={session} res=1\n\
         type=USER_LOGIN {begin}:{serial}1): pid=9 uid=0 auid=0 ses={session} msg='op=login id=0 \
         exe=\"/usr/sbin/sshd\" hostname={address} addr={address} terminal=ssh res=success'\n\
         type=SYSCALL {begin}:{serial}2): arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=2 auid=0 uid=0 \
         ses={session} comm=\"x\" exe=\"/usr/bin/x\"\n\
         type=EXECVE {begin}:{serial}2): argc={}{arguments}\n",
        command.len()
    )
}

#[test]
fn commands_in_a_session_of_a_scanner_are_passed_over_and_the_same_ones_of_an_intruder_are_not() {
    let rule = "title: Everything is packed\nid: 6d5b5a9f-1a0f-4f50-9d5a-0d9a3f2f0a12\nlevel: high\n\
                logsource: { product: linux, category: process_creation }\n\
                detection:\n  packed:\n    CommandLine|startswith: 'tar -c'\n  condition: packed\n";
    let (ours, theirs) = (["tar", "-cf", "-", "./bin"], ["tar", "-czf", "/tmp/.x", "/data"]);
    let audit = [
        session(10_000, 5, "192.0.2.10", &ours),
        session(20_000, 6, "192.0.2.10", &theirs),
        session(30_000, 5, "203.0.113.66", &ours),
    ]
    .concat();
    let events = line("08T10:00:00", "[127.0.0.1] Root::System()[]", "x");
    let dir = folder(&[("logs/events", events.as_bytes()), ("var/log/audit/audit.log", audit.as_bytes())]);
    let hits_of = |text: &str| {
        let outcome = check(dir.path(), &Given { sigma: rule, scanners: scanners(text), ..Given::default() });
        assert!(passed(&outcome).iter().all(|gap| gap.why.contains("commands in its sessions")));
        hits(&outcome)
    };
    assert_eq!(hits_of("").len(), 3);
    assert_eq!(hits_of("vantage = [\"192.0.2.10\"]"), ["line 11 sigma-match", "line 7 sigma-match"]);
    assert_eq!(hits_of(NIGHTLY), ["line 11 sigma-match"]);
}
