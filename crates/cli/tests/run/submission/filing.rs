//! Filing: does whoever reads a report see who answers for it and who took it, and does the report stay the same?

use std::fs;
use std::path::Path;

use directive::record::{Body, Record};

use super::Desk;
use crate::{arg, stderr};

const AT: &str = "2021-04-23T12:00[America/New_York]";

impl Desk {
    /// The report as a person reads it, as of a time that stays.
    #[track_caller]
    fn read(&self, to: &str) -> String {
        self.ok(&["report", "render", "--to", to, "--at", AT])
    }

    /// What a reader of PDF finds on the pages, with line breaks as blanks.
    #[track_caller]
    fn pages(&self) -> String {
        let file = self.at("report.pdf");
        let output = self.run(&["report", "render", "--to", "pdf", "--at", AT, "-o", arg(&file)]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!stderr(&output).contains("ordinary PDF"), "{}", stderr(&output));
        let text = crate::pages::read("pdftotext", &["-layout", arg(&file), "-"]);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What stands below the heading of the section.
#[track_caller]
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, below) = text.rsplit_once(heading).unwrap_or_else(|| panic!("no {heading:?} in {text}"));
    below
}

#[track_caller]
fn has(text: &str, all: &[&str]) {
    for one in all {
        assert!(text.contains(one), "{one:?} is not in {text}");
    }
}

/// Text in one line, since a terminal breaks it where it likes.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The report in JSON without what says how long the case is.
fn said(desk: &Desk) -> serde_json::Value {
    let mut report: serde_json::Value = serde_json::from_str(&desk.read("json")).unwrap();
    for key in ["records", "head"] {
        report.as_object_mut().unwrap().remove(key).unwrap();
    }
    report
}

#[test]
fn a_report_says_that_nobody_answers_for_it_until_somebody_does_and_in_json_says_nothing_of_it() {
    let desk = Desk::new();
    desk.complete();
    let officer = desk.key("officer");
    has(&desk.read("html"), &["<span class=\"status medium\">not attested yet</span>", "holds no receipt"]);
    has(&desk.read("text"), &["\nnot attested yet: Nobody answers for this report yet.\n"]);
    has(&desk.read("text"), &["\nATTESTATION AND RECEIPTS\n  not attested yet: Nobody answers for this report yet.\n"]);
    let before = said(&desk);
    let statement = desk.attest(&officer);
    assert_eq!(said(&desk), before, "the report in JSON changed by being attested");
    desk.ok(&["report", "lint"]);

    let digest = statement.lines().find_map(|line| line.strip_prefix("report-sha256: ")).unwrap();
    let public = attest::PublicKey::parse(&fs::read_to_string(officer.with_extension("pub")).unwrap()).unwrap();
    let key = public.fingerprint();
    let (html, text) = (desk.read("html"), in_one_line(&desk.read("text")));
    let below = section(&html, "<h2>Attestation and receipts</h2>");
    has(below, &["<span class=\"status fixed\">current</span>", "<dd>J. Doe</dd>", "<dd>CIO</dd>", digest, &key]);
    has(below, &["complete, and its rules held", "holds no receipt"]);
    has(&html, &["</span> Attested by J. Doe (CIO); no receipt of an authority yet.</p>"]);
    has(section(&text, "ATTESTATION AND RECEIPTS"), &["current: ", "Officer: J. Doe Role: CIO Signed: ", digest, &key]);
    assert!(html == desk.read("html"), "the same case, pack and time give other bytes");
    if crate::pages::can_read() {
        let pages = desk.pages();
        has(section(&pages, "Attestation and receipts"), &["Current.", "Officer: J. Doe", digest, &key]);
        let first = fs::read(desk.at("report.pdf")).unwrap();
        desk.pages();
        assert!(first == fs::read(desk.at("report.pdf")).unwrap(), "the same case, pack and time give other bytes");
        let tags = crate::pages::read("pdfinfo", &["-struct-text", arg(&desk.at("report.pdf"))]);
        has(&tags, &["Attestation and receipts"]);
    }
}

#[test]
fn receipts_stand_below_the_attestation_and_a_change_of_the_case_makes_it_stale_for_the_reader_too() {
    let desk = Desk::new();
    desk.complete();
    let officer = desk.key("officer");
    let authority = desk.authority("2021-04-23T17:30[America/New_York]", &officer);
    desk.attest(&officer);
    let folder = desk.at("before");
    desk.ok(&["report", "submit", "--to", arg(&folder)]);
    let page = |folder: &Path| fs::read_to_string(folder.join("report.html")).unwrap();
    has(&page(&folder), &["status fixed\">current</span>", "J. Doe", "The case holds no receipt"]);
    let before = said(&desk);
    desk.run(&authority.submit(&["submit", "--to", &authority.address]));
    assert_eq!(said(&desk)["form"], before["form"], "the form changed by being handed in");
    let after = desk.at("after");
    desk.ok(&["report", "submit", "--to", arg(&after)]);
    assert!(page(&folder) == page(&after), "what is handed over is the same after the receipt");

    let key = fs::read_to_string(&authority.key).unwrap();
    let key = attest::PublicKey::parse(&key).unwrap().fingerprint();
    let html = desk.read("html");
    let below = section(&html, "<h3>Receipts</h3>");
    has(below, &["<b>1</b>", "Fri 23 Apr 2021 17:3", "status high\">late</span>", "the report attested last", &key]);
    has(below, &["due Fri 23 Apr 2021 17:00 EDT (21:00 UTC)"]);

    desk.mark("poc-phone", "+1 202 555 0199", None);
    let html = desk.read("html");
    has(&html, &["status high\">stale</span>", "<li>the answer to POC phone</li>"]);
    has(&html, &["Attested by J. Doe (CIO), but the case has changed since; received by "]);
    let text = in_one_line(&desk.read("text"));
    has(&text, &["stale: The case has changed since it was attested.", "changed: the answer to POC phone"]);
    if crate::pages::can_read() {
        has(section(&desk.pages(), "Attestation and receipts"), &["Stale.", "the answer to POC phone", "late due Fri"]);
    }

    desk.attest(&officer);
    let html = desk.read("html");
    has(
        section(&html, "<h3>Receipts</h3>"),
        &["No receipt is for the report that was attested last.", "an earlier report"],
    );
    desk.run(&authority.submit(&["submit", "--to", &authority.address]));
    let html = desk.read("html");
    let below = section(&html, "<h3>Receipts</h3>");
    let place = |what: &str| below.find(what).unwrap_or_else(|| panic!("{what:?} is not in {below}"));
    assert!(place("<b>2</b>") < place("<b>1</b>"), "the latest comes first: {below}");
    assert!(place("the report attested last") < place("an earlier report"), "{below}");
    assert!(!below.contains("No receipt is for"), "{below}");
}

#[test]
fn an_officer_whose_name_is_an_attack_is_shown_and_does_nothing() {
    let desk = Desk::new();
    desk.complete();
    let officer = "<script>alert(1)</script>\u{202e}eoD\u{1b}[2J\nkey: SHA256:none";
    let key = desk.key("officer");
    desk.ok(&["report", "attest", "--officer", officer, "--role", "\"><b>CIO", "--key", arg(&key)]);
    let (html, text) = (desk.read("html"), desk.read("text"));
    assert!(!html.contains("<script") && !html.contains("<b>CIO"), "{html}");
    let shown = "alert(1)&#60;/script&#62;\\u{202e}eoD\\x1b[2J\\nkey: SHA256:none";
    has(section(&html, "<h2>Attestation and receipts</h2>"), &[shown, "&#34;&#62;&#60;b&#62;CIO"]);
    let is_treacherous = |c: char| c == '\u{202e}' || (c.is_control() && c != '\n');
    assert!(!html.contains(is_treacherous) && !text.contains(is_treacherous), "{text}");
    assert!(!text.lines().any(|line| line.trim() == "key: SHA256:none"), "a name wrote a line of its own: {text}");
    if crate::pages::can_read() {
        let pages = desk.pages();
        has(&pages, &["<script>alert(1)</script>\\u{202e}eoD\\x1b[2J\\nkey: SHA256:none"]);
        assert!(!pages.contains(is_treacherous));
    }
}

#[test]
fn an_attestation_whose_report_is_gone_or_that_nobody_signed_is_told_as_what_it_is() {
    let desk = Desk::new();
    desk.complete();
    let statement = desk.attest(&desk.key("officer"));
    let digest = statement.lines().find_map(|line| line.strip_prefix("report-sha256: ")).unwrap();
    let (case, records) = (case::Case::open(&desk.at("case")).unwrap(), desk.records());
    let found = records.iter().rev().find_map(|record| match &record.body {
        Body::Attestation(attestation) => Some((record.at, attestation.clone())),
        _ => None,
    });
    let (at, mut forged) = found.unwrap();
    let bytes = case.evidence(digest).unwrap().unwrap();
    let gone =
        walk(&desk.at("case").join("evidence")).into_iter().find(|path| fs::read(path).unwrap() == bytes).unwrap();
    fs::remove_file(gone).unwrap();
    has(&desk.read("html"), &["status high\">not comparable</span>", "is not in the case any more"]);
    has(&desk.read("text"), &["not comparable: "]);
    drop(case);

    let mut case = case::Case::open(&desk.at("case")).unwrap();
    forged.officer = "A. N. Other".to_owned();
    case.append(&[Record::stamp("forged", 0, at, None, Body::Attestation(forged))]).unwrap();
    drop(case);
    has(&desk.read("html"), &["status high\">signature does not hold</span>", "It counts for nothing."]);
    has(
        &in_one_line(&desk.read("text")),
        &["The attestation in the name of A. N. Other (CIO) is not signed with its key."],
    );
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
