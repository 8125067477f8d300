//! Tests: do Sigma rules run over logs as their authors expect?

use std::sync::Mutex;

use super::*;
use crate::literals::Literals;
use jiff::Timestamp;
use logs::{Reader, Settings, Sink};

/// Rules of the shapes that public collections have.
pub(super) const WEB: &str = "\
title: Path of the example exploit asked for
id: 11111111-0000-4000-8000-000000000001
status: experimental
description: Asks for a page that only the example exploit asks for
logsource:
  category: webserver
detection:
  selection:
    cs-method: POST
    cs-uri-query|contains:
      - '/example/../admin'
      - '/example/fb/smb'
  filter:
    sc-status: 404
  condition: selection and not filter
level: critical
tags:
  - attack.initial-access
  - attack.t1190
  - attack.g1023
";

const SSHD: &str = "\
title: Login of root over SSH
logsource:
  product: linux
  service: sshd
detection:
  keywords:
    - 'Accepted password for root'
    - 'Accepted publickey for root'
  condition: keywords
level: low
---
title: Anything of the authentication log about a new user
logsource:
  product: linux
  service: auth
detection:
  selection:
    message|contains: 'new user'
  condition: 1 of selection*
---
title: Not from the office
logsource:
  product: linux
detection:
  login:
    message|startswith: 'Accepted '
  office:
    message|contains: 'from 192.0.2.'
  condition: login and not office
level: high
";

const AUDIT: &str = "\
title: Shell started by the web server
logsource:
  product: linux
  category: process_creation
detection:
  selection:
    Image|endswith: '/sh'
    CommandLine|contains|all: ['/tmp/', 'curl']
  condition: selection
level: high
";

const PULSE: &str = "\
title: A log was emptied
logsource:
  product: pulse-connect-secure
detection:
  selection:
    code: ADM20599
  condition: selection
level: high
tags: [attack.t1070.001]
";

pub(super) fn compile(files: &[(&str, &str)]) -> (Rules, Vec<Broken>) {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    Rules::compile(&files, Limits::default())
}

fn good(text: &str) -> Rules {
    let (rules, broken) = compile(&[("rules.yml", text)]);
    assert_eq!(broken, [], "{text}");
    rules
}

/// The titles of the rules that each line matches, by its number.
pub(super) fn matched(rules: &Rules, log: &str) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut take = |event: Event| {
        found.extend(rules.look(&event).into_iter().map(|found| (event.number, found.title)));
    };
    let mut reader = Reader::new(Settings::new(Timestamp::from_second(1_800_000_000).unwrap()));
    reader.push(log.as_bytes(), &mut take);
    reader.finish(&mut take);
    found
}

#[track_caller]
fn check(rules: &str, log: &str, expected: &[(u64, &str)]) {
    let found = matched(&good(rules), log);
    let found: Vec<(u64, &str)> = found.iter().map(|(line, title)| (*line, title.as_str())).collect();
    assert_eq!(found, expected, "{log}");
}

/// Passes over the lines in which no literal stands, as `check` does.
struct Passing<'r> {
    rules: &'r Rules,
    literals: &'r Literals,
    found: Vec<(u64, String)>,
    taken: u64,
}

impl Sink for Passing<'_> {
    fn next(&mut self, block: &[u8]) -> Option<usize> {
        self.literals.next(block)
    }

    fn event(&mut self, event: Event) {
        self.taken += 1;
        self.found.extend(self.rules.look(&event).into_iter().map(|found| (event.number, found.title)));
    }
}

/// Matches, and how many lines were read for them.
pub(super) fn passing(rules: &Rules, literals: &Literals, log: &str) -> (Vec<(u64, String)>, u64) {
    let mut sink = Passing { rules, literals, found: Vec::new(), taken: 0 };
    let mut reader = Reader::new(Settings::new(Timestamp::from_second(1_800_000_000).unwrap()));
    reader.push(log.as_bytes(), &mut sink);
    reader.finish(&mut sink);
    (sink.found, sink.taken)
}

pub(super) fn request(method: &str, target: &str, status: u16) -> String {
    format!("192.0.2.7 - - [08/Apr/2021:11:46:32 +0000] \"{method} {target} HTTP/1.1\" {status} 17 \"-\" \"curl/8\"\n")
}

#[test]
fn a_request_of_an_exploit_matches_and_one_that_was_refused_does_not() {
    let log = request("POST", "/Example/../Admin?x=1", 200)
        + &request("POST", "/example/../admin", 404)
        + &request("GET", "/example/../admin", 200)
        + &request("POST", "/example/FB/smb", 302);
    check(WEB, &log, &[(1, "Path of the example exploit asked for"), (4, "Path of the example exploit asked for")]);
}

#[test]
fn a_match_says_what_the_rule_says_of_itself() {
    let rules = good(WEB);
    let found = Mutex::new(Vec::new());
    let mut reader = Reader::new(Settings::new(Timestamp::from_second(1_800_000_000).unwrap()));
    let mut take = |event: Event| found.lock().unwrap().extend(rules.look(&event));
    reader.push(request("POST", "/example/fb/smb", 200).as_bytes(), &mut take);
    reader.finish(&mut take);
    let expected = Match {
        rule: "11111111-0000-4000-8000-000000000001".into(),
        title: "Path of the example exploit asked for".into(),
        severity: Severity::Critical,
        description: Some("Asks for a page that only the example exploit asks for".into()),
        attack: vec!["T1190".into()],
    };
    assert_eq!(*found.lock().unwrap(), [expected]);
}

#[test]
fn a_line_of_sshd_is_held_against_rules_for_each_of_its_services_and_told_once() {
    let log = "2021-04-08T11:46:32Z gate sshd[7]: Accepted password for root from 192.0.2.7 port 1 ssh2\n\
               2021-04-08T11:46:33Z gate sshd[7]: Accepted publickey for alice from 198.51.100.7 port 1 ssh2\n\
               2021-04-08T11:46:34Z gate useradd[7]: new user: name=eve, UID=0\n\
               2021-04-08T11:46:35Z gate cron[7]: Accepted password for root, new user\n";
    let expected = [
        (1, "Login of root over SSH"),
        (2, "Not from the office"),
        (3, "Anything of the authentication log about a new user"),
        (4, "Not from the office"),
    ];
    check(SSHD, log, &expected);
}

#[test]
fn a_rule_for_one_log_is_not_held_against_another() {
    let nothing_of_a_web_server = "title: t\nlogsource: {category: webserver}\n\
                                   detection: {a: {cs-method: POST}, condition: not a}\n";
    let log = "2021-04-08T11:46:32Z gate sshd[7]: Connection closed by 192.0.2.7 port 1\n";
    check(nothing_of_a_web_server, log, &[]);
    check(nothing_of_a_web_server, &request("GET", "/", 200), &[(1, "t")]);
}

#[test]
fn a_program_that_auditd_saw_start_is_told_by_its_arguments() {
    let log = "type=SYSCALL msg=audit(1617882392.123:77): arch=c000003e syscall=59 success=yes exit=0 pid=9 uid=33 \
               comm=\"sh\" exe=\"/bin/sh\"\n\
               type=EXECVE msg=audit(1617882392.123:77): argc=3 a0=\"sh\" a1=\"-c\" a2=\"curl -o /tmp/x example.org\"\n\
               type=EOE msg=audit(1617882392.123:77):\n";
    check(AUDIT, log, &[(1, "Shell started by the web server")]);
}

#[test]
fn a_code_is_found_where_the_line_shows_none() {
    let log = "2021-04-08T11:46:33Z gate PulseSecure: 2021-04-08 11:46:32 - ive - [127.0.0.1] System()[] - \
               Changed log event LicenseServer to On\n";
    check(&PULSE.replace("ADM20599", "ADM20603"), log, &[(1, "A log was emptied")]);
    let rules = good(PULSE);
    assert!(rules.words_for(Format::Syslog).is_none(), "no word of the line tells the code");
    assert_eq!(rules.words_for(Format::Access), Some(Vec::new()));
}

#[test]
fn words_without_a_field_are_looked_for_in_the_message_and_in_every_value() {
    let rule = "title: t\nlogsource: {category: webserver}\ndetection: {keywords: [curl/8], condition: keywords}\n";
    check(rule, &request("GET", "/", 200), &[(1, "t")]);
}

#[test]
fn a_mistake_is_shown_at_its_line_and_the_other_rules_of_the_file_run() {
    let text = format!("{WEB}---\n{}---\n{AUDIT}", AUDIT.replace("endswith", "endwith"));
    let (rules, broken) = compile(&[("hunt/sigma/all.yml", &text)]);
    assert_eq!((rules.len(), broken.len()), (2, 1), "{broken:?}");
    let line = text.lines().position(|line| line.contains("|endwith")).unwrap() + 1;
    assert_eq!(broken[0].file, "hunt/sigma/all.yml");
    assert!(broken[0].report.contains(&format!("hunt/sigma/all.yml:{line}:")), "{}", broken[0].report);
}

#[track_caller]
fn refused(text: &str, why: &str, line: usize) {
    let (rules, broken) = compile(&[("bad.yml", text)]);
    assert_eq!((rules.len(), broken.len()), (0, 1), "{broken:?}");
    let report = &broken[0].report;
    assert!(report.contains(why) && report.contains(&format!("bad.yml:{line}:")), "{report}");
}

#[test]
fn what_would_never_match_or_always_is_refused() {
    refused("title: t\nlogsource: {product: linux}\ndetection:\n  a: {b: c}\n  condition: d\n", "'d'", 5);
    refused("title: t\nlogsource: {product: linux}\ndetection:\n  a: {b: c}\n  condition: 1 of e*\n", "'e*'", 5);
    refused("title: t\ndetection:\n  a: {b: c}\n  condition: a\n", "logsource", 1);
    refused("title: t\nlogsource: {product: linux}\n", "detection", 1);
    refused("# a comment\n---\ntitle: t\nlogsource: {product: linux\ndetection: [\n", "YAML", 5);
    refused("title: t\nlogsource: {product: linux}\ndetection:\n  a: {b|re: '('}\n  condition: a\n", "regex", 1);
}

#[test]
fn what_is_not_run_is_said_to_be_not_run() {
    let counted = "title: failed\nname: failed\nlogsource: {product: linux}\ndetection: {a: [x], condition: a}\n";
    let counting = "---\ntitle: many\ncorrelation:\n  type: event_count\n  rules: [failed]\n  timespan: 5m\n  \
                    condition: {gte: 10}\n";
    refused(&format!("{counted}{counting}"), "correlation rules are not run, nor the 1 rules", 6);
    let filter = "---\ntitle: quiet\nlogsource: {product: linux}\nfilter:\n  rules: [failed]\n  a: {b: c}\n  \
                  condition: not a\n";
    let (rules, broken) = compile(&[("a.yml", &format!("{counted}{filter}"))]);
    assert_eq!((rules.len(), broken.len()), (1, 1), "{broken:?}");
    assert!(broken[0].report.contains("filters are not run"), "{}", broken[0].report);
}

#[test]
fn a_rule_that_says_itself_again_a_billion_times_is_refused() {
    let mut text = String::from("title: t\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
    for n in 1..12 {
        let names = vec![format!("*x{}", n - 1); 10].join(", ");
        text += &format!("x{n}: &x{n} [{names}]\n");
    }
    let (rules, broken) = compile(&[("bomb.yml", &text)]);
    assert_eq!((rules.len(), broken.len()), (0, 1), "{broken:?}");
    assert!(broken[0].report.contains("repetition limit"), "{}", broken[0].report);
    text += &"# long\n".repeat(4_000);
    let (_, broken) = compile(&[("bomb.yml", &text)]);
    assert!(broken[0].report.contains("aliases"), "{}", broken[0].report);
}

#[test]
fn rules_nested_without_end_are_refused() {
    let (rules, broken) = compile(&[
        ("brackets.yml", &format!("title: t\nx: {}", "[".repeat(100_000))),
        ("condition.yml", &WEB.replace("selection and", &format!("{} selection and", "(".repeat(30_000)))),
        ("not.yml", &WEB.replace("selection and", &format!("{} selection and", "not ".repeat(15_000)))),
    ]);
    assert_eq!((rules.len(), broken.len()), (0, 3), "{broken:?}");
    let written = |text: &str| WEB.replace("selection and not filter", text);
    let hidden = [
        written(&format!("\"{} selection\"", r"\x28".repeat(20_000))),
        written(&format!("\"{} selection\"", r"not\t".repeat(12_000))),
        written(&format!("[selection, \"{} selection\"]", r"not(".repeat(12_000))),
    ];
    for text in hidden {
        let (rules, broken) = compile(&[("hidden.yml", &text)]);
        assert_eq!((rules.len(), broken.len()), (0, 1), "{broken:?}");
        assert!(broken[0].report.contains("inside each other"), "{}", broken[0].report);
    }
    // As deep as it may be, it is the engine's to judge, and does not end the program.
    for text in [format!("{}selection{}", "(".repeat(100), ")".repeat(100)), "not ".repeat(100) + "selection"] {
        let (rules, broken) = compile(&[("deep.yml", &written(&text))]);
        assert_eq!(rules.len() + broken.len(), 1, "{broken:?}");
    }
}

#[test]
fn a_set_beyond_its_bounds_is_used_up_to_them() {
    let files = [("a.yml", WEB), ("b.yml", SSHD), ("c.yml", AUDIT)];
    let files: BTreeMap<_, _> =
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    let (rules, broken) = Rules::compile(&files, Limits { rules: 2, ..Limits::default() });
    assert_eq!((rules.len(), broken.len()), (2, 1));
    let (rules, broken) = Rules::compile(&files, Limits { files: 1, errors: 1, ..Limits::default() });
    assert_eq!((rules.len(), broken.len()), (1, 2));
    let (rules, broken) = Rules::compile(&files, Limits { bytes: WEB.len() as u64, ..Limits::default() });
    assert_eq!((rules.len(), broken.len()), (1, 2), "{broken:?}");
}

#[test]
fn lines_without_a_word_of_any_rule_stay_unread() {
    let rules = good(WEB);
    let literals = rules.words_for(Format::Access).and_then(Literals::new).unwrap();
    let log = request("GET", "/", 200).repeat(500) + &request("POST", "/example/FB/smb", 200);
    let (found, taken) = passing(&rules, &literals, &log);
    assert_eq!((found.len(), taken), (1, 1));
}

#[test]
fn a_letter_that_is_none_of_ascii_until_it_is_small_does_not_hide_a_line() {
    let rules = good(&WEB.replace("/example/fb/smb", "/kit"));
    let literals = rules.words_for(Format::Access).and_then(Literals::new).unwrap();
    let log = request("GET", "/", 200) + &request("POST", "/\u{212a}it", 200);
    let all = matched(&rules, &log);
    assert_eq!(all.len(), 1, "the engine holds the sign of kelvin for a k");
    assert_eq!(passing(&rules, &literals, &log).0, all);
}

#[test]
fn every_source_that_a_reader_gives_is_one_that_its_format_may_have() {
    let pulse = "PulseSecure: - - - 2021-04-08 11:46:32 - ive - [127.0.0.1] System()[] - Started";
    let welf = "PulseSecure: id=firewall time=\"2021-04-08 11:46:32\" pri=6 msg=\"ADM20599: x\"";
    let programs = ["sshd[7]: x", "sudo: x", "su: x", "CRON[1]: x", "clamd: x", "vsftpd: x", "guacd: x", "audit: x"];
    let syslog = programs.iter().chain([&pulse, &welf, &"PulseSecure: strange", &"kernel: x"]);
    let syslog: String = syslog.map(|said| format!("2021-04-08T11:46:32Z gate {said}\n")).collect();
    let error = "2021/04/08 11:46:32 [error] 7#7: *1 open() failed, client: 192.0.2.7, server: gate\n";
    let apache = "[Thu Apr 08 11:46:32.123456 2021] [core:error] [pid 7] [client 192.0.2.1:443] AH1: x\n";
    let logs = [
        (Format::Access, request("GET", "/", 200), 1),
        (Format::Error, error.to_owned() + error, 2),
        (Format::Error, apache.to_owned() + apache, 2),
        (Format::Syslog, syslog, 12),
    ];
    for (format, log, lines) in logs {
        let mut sources = Vec::new();
        let mut take = |event: Event| sources.push(event.source);
        let mut reader = Reader::new(Settings::new(Timestamp::from_second(1_800_000_000).unwrap()));
        reader.push(log.as_bytes(), &mut take);
        assert_eq!(reader.finish(&mut take).format, Some(format), "{log}");
        assert_eq!(sources.len(), lines, "{log}");
        for source in sources {
            let (product, category) = (source.product.map(str::to_owned), source.category.map(str::to_owned));
            let told = LogSource { product, category, ..LogSource::default() };
            assert!(literals::can_be_from(&told, format), "{format:?} gives {source:?}");
        }
    }
}
