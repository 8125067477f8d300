//! Sensor: which disguises do the rules for Suricata match, as its parser and its expressions see the request?
//!
//! The package sources of these tests have no Suricata, so that no engine of it has run here. What it is made of has:
//! libhtp reads the request, PCRE2 matches with Suricata's limits, both as a program and as compiled code (`sensor.c`).
//! A match that takes too many steps is none there, which is why long paths are a matter of their own.

// What a proof asks is known to the crate alone.
#[path = "../../src/disguise.rs"]
mod disguise;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mitigate::engine::{Rule, suricata};

use disguise::{Disguise, Form};

use super::pack;
use super::proxy::is_there;
use super::rules::{NEIGHBOURS, PATTERNS, spellings};

/// The program with the rules that are exported for ED 21-03.
struct Sensor {
    dir: tempfile::TempDir,
}

impl Sensor {
    /// `None`: what it is built from is not installed, and that was said.
    fn build() -> Option<Self> {
        if !["cc", "/usr/include/htp/htp.h", "/usr/include/pcre2.h"].into_iter().all(is_there) {
            return None;
        }
        let sensor = Self { dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxies/sensor.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(sensor.path("sensor"));
        assert!(compiler.args([source, "-lhtp", "-lpcre2-8"]).status().unwrap().success());
        let pack = pack();
        let rule = Rule { pack: pack.id(), workaround: pack.workaround("2104").unwrap() };
        std::fs::write(sensor.path("rules"), suricata::rules(&rule, 1_210_400)).unwrap();
        Some(sensor)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The requests that no rule matches, by number; the same with compiled expressions.
    #[track_caller]
    fn passed(&self, requests: &[String]) -> Vec<usize> {
        let [slow, compiled] = ["0", "1"].map(|jit| {
            let mut program = Command::new(self.path("sensor"));
            program.arg(self.path("rules")).arg(jit).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = program.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            let bytes: String = requests.iter().map(|request| format!("{}\n{request}", request.len())).collect();
            let writer = std::thread::spawn(move || input.write_all(bytes.as_bytes()).unwrap());
            let output = child.wait_with_output().unwrap();
            writer.join().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        });
        assert_eq!(slow.lines().count(), requests.len());
        assert_eq!(slow, compiled);
        slow.lines().enumerate().filter(|(_, matched)| *matched == "0").map(|(n, _)| n).collect()
    }
}

/// A disguise as the bytes of a request; `None` for HTTP/2, which this parser does not read.
fn bytes(one: &Disguise) -> Option<String> {
    let target = String::from_utf8(one.target.clone()).unwrap();
    let (method, version, rest) = match &one.form {
        Form::Method(method) => (*method, "1.1", "\r\n".to_owned()),
        Form::Old => ("GET", "1.0", "\r\n".to_owned()),
        Form::Chunked => ("POST", "1.1", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".to_owned()),
        Form::Expect => ("POST", "1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n".to_owned()),
        Form::Header(lines) => ("GET", "1.1", format!("{lines}\r\n")),
        Form::Two => return None,
    };
    Some(format!("{method} {target} HTTP/{version}\r\nHost: vpn.agency.example\r\n{rest}"))
}

#[test]
fn every_request_of_a_proof_over_http_1_is_seen() {
    let Some(sensor) = Sensor::build() else { return };
    let pack = pack();
    let rule = Rule { pack: pack.id(), workaround: pack.workaround("2104").unwrap() };
    let headers: Vec<String> = rule.headers().map(str::to_owned).collect();
    let of = |path: &str| disguise::of(path, "vpn.agency.example", &headers);
    let disguises: Vec<Disguise> = rule.blocked().iter().flat_map(|blocked| of(&blocked.path)).collect();
    let (names, requests): (Vec<&str>, Vec<String>) =
        disguises.iter().filter_map(|one| Some((one.name, bytes(one)?))).unzip();
    assert!(requests.len() > 400, "{}", requests.len());
    let passed: Vec<&str> = sensor.passed(&requests).into_iter().map(|n| names[n]).collect();
    assert!(passed.is_empty(), "{} of {}: {passed:?}", passed.len(), names.len());
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: vpn.agency.example\r\nConnection: close\r\n\r\n")
}

#[test]
fn suricatas_parser_and_expressions_see_a_hundred_of_a_hundred_and_no_neighbour() {
    let Some(sensor) = Sensor::build() else { return };
    let whole =
        |(head, rest): (String, String)| format!("{head}Host: vpn.agency.example\r\nConnection: close\r\n{rest}");
    let disguises: Vec<String> = PATTERNS.iter().flat_map(|path| spellings(path)).map(whole).collect();
    assert_eq!((disguises.len(), sensor.passed(&disguises)), (100, vec![]));
    let mut neighbours: Vec<String> = NEIGHBOURS.into_iter().map(get).collect();
    // A long path that is no disguise, one with a query, and a long query that holds all that one could be made of.
    let long = format!("/dana/home{}/index.cgi", "/folder-of-that-name".repeat(40));
    neighbours.push(get(&long));
    neighbours.push(get(&format!("{long}?next=%2fhome%2f;v=1\\r\u{e9}sum\u{e9}")));
    neighbours.push(get(&format!("/dana/home/index.cgi?next={}", "//../%252f;v=1\\".repeat(60))));
    assert_eq!(sensor.passed(&neighbours), (0..neighbours.len()).collect::<Vec<_>>());
}

/// Without the rules for long paths and those of few steps, 310 slashes are enough, or two rows of 20 encoded ones.
#[test]
fn no_padding_makes_a_disguise_so_long_that_the_engine_gives_up() {
    let Some(sensor) = Sensor::build() else { return };
    let mut targets = Vec::new();
    for path in PATTERNS {
        let (head, last) = path.rsplit_once('/').unwrap();
        let (cut, end) = path.split_at(path.len() - 1);
        for count in [10, 20, 40, 60, 80, 120, 250, 350, 1000] {
            let of = |text: &str| text.repeat(count);
            for row in ["/", "/.", "/%2e", "/;", "/;a", "/;%41", "%2f", "%5c", "%252f", "%c0%af", "\\", "/a/..", "/%3b"]
            {
                targets.push(format!("/{}{path}", of(row)));
                targets.push(format!("{head}{}/{last}", of(row)));
                targets.push(format!("/{0}{head}{0}/{last}", of(row)));
                targets.push(format!("http:/{}{path}", of(row)));
                targets.push(format!("//a{}{path}", of(row)));
            }
            targets.push(format!("{head};{}/{last}", of("a")));
            targets.push(format!("/{}/..{path}", of("a")));
            targets.push(format!("{cut}%00{end}/{}", of("a")));
            targets.push(format!("{cut}%00{end}/{}", of("%41")));
            targets.push(format!("{cut}\u{e9}{end}/{}", of("a;")));
            targets.push(format!("{cut}%{}{:02x}", of("25"), end.as_bytes()[0]));
            targets.push(format!("/a{}%3b%2f{path}", of(";")));
        }
    }
    let requests: Vec<String> = targets.iter().map(|target| get(target)).collect();
    let passed = sensor.passed(&requests);
    let shown: Vec<&str> = passed.iter().map(|n| &targets[*n][..targets[*n].len().min(120)]).collect();
    assert!(shown.is_empty(), "{} of {}: {:?}", shown.len(), targets.len(), &shown[..shown.len().min(20)]);
}
