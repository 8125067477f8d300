//! Submission: from a case in the lab to a receipt of an authority, and what is told where the way is blocked.
//!
//! The server is the program itself, in a process of its own, over TLS on loopback; keys are of OpenSSH, certificates
//! of OpenSSL.

mod filing;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use directive::record::{Body, Record};
use serde_json::Value;

use crate::{arg, portcullis, root, stderr, stdout};

/// A case of the lab whose form is complete.
struct Desk {
    dir: tempfile::TempDir,
}

/// Ends the server when a test does, however it does.
struct Authority {
    child: Child,
    address: String,
    key: PathBuf,
    ca: PathBuf,
    token: PathBuf,
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        let mut lab = portcullis();
        lab.env("TMPDIR", desk.dir.path()).args(["respond", "--lab", "-q", "--case"]).arg(desk.at("case"));
        assert_eq!(lab.output().unwrap().status.code(), Some(1));
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        portcullis().args(arguments).arg("--case").arg(self.at("case")).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], why: &str) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        assert!(stderr(&output).contains(why), "{why:?} is not in {}", stderr(&output));
        assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    }

    fn mark(&self, mark: &str, value: &str, instance: Option<&str>) {
        let mut arguments = vec!["case", "mark", mark, value, "--by", "J. Doe"];
        arguments.extend(instance.iter().flat_map(|name| ["--instance", name]));
        self.ok(&arguments);
    }

    fn skip(&self, action: &str, instance: &str, note: &str) {
        self.ok(&["case", "done", action, "--instance", instance, "--skip", "--note", note, "--by", "J. Doe"]);
    }

    /// Answers whatever the form of ED 21-03 asks of people.
    fn complete(&self) {
        for (mark, value) in [
            ("agency", "Department of Energy (DOE)"),
            ("poc-name", "J. Doe"),
            ("poc-email", "j.doe@agency.example"),
            ("poc-phone", "+1 202 555 0100"),
            ("department-level", "Yes"),
            ("signature", "J. Doe"),
        ] {
            self.mark(mark, value, None);
        }
        self.mark("us-cert-ticket", "INC0001", Some("vpn2"));
        self.skip("ed-21-03/2", "vpn3", "the provider gives no evidence");
        ["vpn1", "vpn2", "vpn3"].iter().for_each(|name| self.skip("ed-21-03/2.a.ii", name, "the appliance is off"));
    }

    /// Makes a key of OpenSSH.
    fn key(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).output().unwrap();
        assert!(made.status.success());
        path
    }

    fn attest(&self, key: &Path) -> String {
        self.ok(&["report", "attest", "--officer", "J. Doe", "--role", "CIO", "--key", arg(key)])
    }

    fn records(&self) -> Vec<Record> {
        let shown = self.ok(&["case", "show"]);
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An authority whose clock shows `time`, and which knows the officer's key.
    fn authority(&self, time: &str, officer: &Path) -> Authority {
        let at = |name: &str| self.at(name);
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=authority", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .args([&at("tls.key"), Path::new("-out"), &at("tls.pem")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", stderr(&made));
        let serve = || {
            let mut command = portcullis();
            command.args(["serve", "--authority", "--dir"]).arg(at("authority"));
            command
        };
        let public = officer.with_extension("pub");
        // The name in the case of the lab.
        let added =
            serve().args(["--add-organisation", "Example Agency (exercise)", "--officer-key"]).arg(public).output();
        let added = added.unwrap();
        assert!(added.status.success(), "{}", stderr(&added));
        fs::write(at("token"), &added.stdout).unwrap();
        let mut child = serve()
            .args(["--pack", "ed-21-03", "--listen", "127.0.0.1:0", "--exercise", time, "--tls-cert"])
            .args([&at("tls.pem"), Path::new("--tls-key"), &at("tls.key")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let key = told.find_map(|line| line.ok().filter(|line| line.starts_with("ssh-ed25519 "))).unwrap();
        // It goes on telling, and nobody may keep it from that.
        std::thread::spawn(move || told.for_each(drop));
        fs::write(at("authority.pub"), key).unwrap();
        let address = address.trim().to_owned();
        Authority { child, address, key: at("authority.pub"), ca: at("tls.pem"), token: at("token") }
    }
}

impl Authority {
    fn submit<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [
            &["report"],
            more,
            &["--authority-key", arg(&self.key), "--ca", arg(&self.ca), "--token-file", arg(&self.token)],
        ]
        .concat()
    }
}

#[test]
fn a_case_of_the_lab_is_attested_handed_in_and_receipted() {
    let desk = Desk::new();
    desk.complete();
    let officer = desk.key("officer");
    let authority = desk.authority("2021-04-23T12:00[America/New_York]", &officer);
    desk.ok(&["report", "lint"]);
    let statement = desk.attest(&officer);
    assert!(statement.contains("officer: J. Doe\nrole: CIO\n"), "{statement}");
    assert!(statement.contains("exercise: yes\nanswers-missing: 0\nrules-broken: 0\nreplaces: none\n"), "{statement}");

    let receipt = desk.ok(&authority.submit(&["submit", "--to", &authority.address]));
    assert!(receipt.contains("ed-21-03, version 1: received 2021-04-23T16:0"), "{receipt}");
    assert!(receipt.contains("in time, it was due at 2021-04-23T21:00:00Z"), "{receipt}");
    assert_eq!(desk.ok(&["report", "receipt"]), receipt);
    let lint = desk.run(&["report", "lint"]);
    assert_eq!(lint.status.code(), Some(0), "handing it in makes nothing stale: {}", stdout(&lint));
    let records = desk.records();
    let done = records.iter().filter_map(|record| match &record.body {
        Body::Step(step) if step.action == "ed-21-03/4" => Some(step.why.clone()),
        _ => None,
    });
    assert_eq!(done.count(), 1, "the report is handed in: its action is done");
    let kinds = |kind: fn(&Body) -> bool| records.iter().filter(|record| kind(&record.body)).count();
    assert_eq!(kinds(|body| matches!(body, Body::Attestation(_))), 1);
    assert_eq!(kinds(|body| matches!(body, Body::Submission(_))), 1);
    assert_eq!(kinds(|body| matches!(body, Body::Receipt(_))), 1);
    assert!(
        !desk.ok(&["case", "show"]).contains(arg(desk.dir.path())),
        "a record holds a path of the analyst's machine"
    );
    desk.ok(&["case", "verify"]);
}

#[test]
fn whatever_changes_afterwards_makes_the_attestation_stale_and_the_next_report_is_a_new_version() {
    let desk = Desk::new();
    desk.complete();
    let officer = desk.key("officer");
    let authority = desk.authority("2021-04-23T17:30[America/New_York]", &officer);
    desk.attest(&officer);
    let late = desk.run(&authority.submit(&["submit", "--to", &authority.address]));
    assert_eq!(late.status.code(), Some(1), "{}", stderr(&late));
    assert!(stdout(&late).contains("LATE, it was due at 2021-04-23T21:00:00Z"), "{}", stdout(&late));

    desk.mark("poc-phone", "+1 202 555 0199", None);
    let lint = desk.run(&["report", "lint"]);
    assert_eq!(lint.status.code(), Some(1));
    assert_eq!(stdout(&lint), "stale: the answer to POC phone changed since J. Doe (CIO) attested it\n");
    desk.refused(
        &authority.submit(&["submit", "--to", &authority.address]),
        "the case has changed since it was attested",
    );

    let statement = desk.attest(&officer);
    assert!(!statement.contains("replaces: none"), "{statement}");
    let again = desk.run(&authority.submit(&["submit", "--to", &authority.address]));
    assert!(stdout(&again).contains("ed-21-03, version 2: "), "{}{}", stdout(&again), stderr(&again));
}

#[test]
fn a_report_is_refused_at_the_door_for_what_lint_says_too() {
    let desk = Desk::new();
    desk.complete();
    let officer = desk.key("officer");
    let authority = desk.authority("2021-04-23T12:00[America/New_York]", &officer);
    desk.mark("agency", "Ministry of Silly Walks", None);
    let lint = desk.run(&["report", "lint"]);
    let named = "rule choices-agency: Agency name: \"Ministry of Silly Walks\" is not one of the form's choices.\n";
    assert_eq!(stdout(&lint), named);
    let attest = ["report", "attest", "--officer", "J. Doe", "--role", "CIO", "--key", arg(&officer)];
    desk.refused(&attest, "0 answers are missing and 1 rules of the form do not hold");
    let statement = desk.ok(&[&attest[..], &["--incomplete"]].concat());
    assert!(statement.contains("rules-broken: 1\n"), "{statement}");
    let output = desk.run(&authority.submit(&["submit", "--to", &authority.address]));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), named));
    assert!(desk.run(&["report", "receipt"]).stdout.is_empty(), "nothing was taken");
}

#[test]
fn a_key_on_a_token_signs_with_openssh() {
    let desk = Desk::new();
    desk.complete();
    let (officer, statement) = (desk.key("officer"), desk.at("statement.txt"));
    let as_of = ["--at", "2021-04-22T00:00:00Z"];
    let draft = ["report", "attest", "--officer", "J. Doe", "--role", "CIO", "--statement", arg(&statement)];
    desk.ok(&[&draft[..], &as_of].concat());
    let mut signs = Command::new("ssh-keygen");
    signs.args(["-q", "-Y", "sign", "-n", "portcullis-attestation", "-f"]).arg(&officer).arg(&statement);
    assert!(signs.output().unwrap().status.success());
    desk.ok(&["report", "attest", "--signed", arg(&statement)]);
    desk.ok(&["report", "lint"]);
    let forged = fs::read_to_string(&statement).unwrap().replace("J. Doe", "J. Roe");
    fs::write(&statement, forged).unwrap();
    desk.refused(&["report", "attest", "--signed", arg(&statement)], "the statement is not signed");
}

#[test]
fn whoever_has_no_server_to_ask_gets_a_folder_or_an_e_mail_that_openssh_verifies() {
    let desk = Desk::new();
    desk.complete();
    desk.attest(&desk.key("officer"));
    let (folder, mail) = (desk.at("handover"), desk.at("report.eml"));
    desk.ok(&["report", "submit", "--to", arg(&folder)]);
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    let mut verifies = Command::new("ssh-keygen");
    verifies.current_dir(&folder).stdin(fs::File::open(folder.join("statement.txt")).unwrap());
    verifies.args(["-Y", "verify", "-f", "officer.pub", "-I", "officer", "-n", "portcullis-attestation"]);
    let verified = verifies.args(["-s", "statement.txt.sig"]).output().unwrap();
    assert!(verified.status.success(), "{}", stderr(&verified));
    let digest = attest::sha256(&read("report.json"));
    assert!(text("statement.txt").contains(&format!("report-sha256: {digest}\n")));
    assert!(text("README.txt").starts_with("EXERCISE"), "{}", text("README.txt"));
    assert!(text("report.html").contains("Exercise"));
    desk.refused(&["report", "submit", "--to", arg(&folder)], "cannot write");

    desk.ok(&["report", "submit", "--to", arg(&mail)]);
    let script = "import email, email.policy, hashlib, sys\n\
        mail = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)\n\
        print(mail['from'], mail['to'], mail['subject'], sep='|')\n\
        for part in mail.iter_attachments():\n    \
            print(part.get_filename(), hashlib.sha256(part.get_content()).hexdigest())\n";
    let output = Command::new("python3").args(["-c", script, arg(&mail)]).output().unwrap();
    let said = stdout(&output);
    let head =
        "j.doe@agency.example|CyberDirectives@cisa.dhs.gov|EXERCISE: ED 21-03 status report: Example Agency (exercise)";
    assert_eq!(said.lines().next(), Some(head), "{}", stderr(&output));
    for name in ["report.json", "report.html", "statement.txt", "statement.txt.sig", "officer.pub"] {
        let wanted = format!("{name} {}", attest::sha256(&read(name)));
        assert!(said.lines().any(|line| line == wanted), "{wanted} is not in {said}");
    }
    let first = fs::read(&mail).unwrap();
    desk.ok(&["report", "submit", "--to", arg(&mail)]);
    assert!(fs::read(&mail).unwrap() == first, "the same report gives the same e-mail");
}

#[test]
fn a_receipt_counts_under_the_authoritys_key_alone() {
    let desk = Desk::new();
    desk.complete();
    let officer = desk.key("officer");
    let authority = desk.authority("2021-04-23T12:00[America/New_York]", &officer);
    desk.attest(&officer);
    let stranger = officer.with_extension("pub");
    let mut wrong = authority.submit(&["submit", "--to", &authority.address]);
    let place = wrong.iter().position(|argument| *argument == arg(&authority.key)).unwrap();
    wrong[place] = arg(&stranger);
    desk.refused(&wrong, "the receipt does not count");
    assert_eq!(desk.run(&["report", "receipt"]).status.code(), Some(1), "the case has none");
    // The server took it all the same: its own list says so, and the case learns it there.
    let taken = desk.ok(&authority.submit(&["receipt", "--from", &authority.address]));
    assert!(taken.contains("ed-21-03, version 1: "), "{taken}");
    assert_eq!(desk.ok(&authority.submit(&["receipt", "--from", &authority.address])), "", "it is there already");

    let receipt = desk.records().into_iter().find_map(|record| match record.body {
        Body::Receipt(receipt) => Some(receipt),
        _ => None,
    });
    let receipt = receipt.unwrap();
    let file = desk.at("receipt.json");
    let mut signed = serde_json::json!({ "statement": receipt.statement, "signature": receipt.signature });
    fs::write(&file, signed.to_string()).unwrap();
    desk.ok(&["report", "receipt", "--add", arg(&file), "--authority-key", arg(&authority.key)]);
    signed["statement"] = Value::from(receipt.statement.replace("version: 1", "version: 9"));
    fs::write(&file, signed.to_string()).unwrap();
    let forged = ["report", "receipt", "--add", arg(&file), "--authority-key", arg(&authority.key)];
    desk.refused(&forged, "the receipt does not count");
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    let desk = Desk::new();
    desk.complete();
    let officer = desk.key("officer");
    desk.refused(&["report", "submit", "--to", "https://127.0.0.1:9"], "nobody has attested the report");
    desk.attest(&officer);
    desk.refused(&["report", "submit", "--to", "http://127.0.0.1:9"], "plain HTTP");
    desk.refused(&["report", "submit", "--to", "https://127.0.0.1:9"], "by which key a receipt counts");
    let public = officer.with_extension("pub");
    desk.refused(&["report", "submit", "--to", "https://127.0.0.1:9", "--authority-key", arg(&public)], "no token");
    let mail = desk.at("report.eml");
    desk.refused(&["report", "submit", "--to", arg(&mail), "--from", "a@b.example\r\nBcc: c@d.example"], "no address");
    assert!(!mail.exists());
    assert!(root().join("packs/ed-21-03").is_dir());
}

#[test]
fn every_rule_of_the_form_is_named_by_lint_on_the_case_of_the_lab() {
    let desk = Desk::new();
    desk.complete();
    desk.ok(&["report", "lint"]);
    let form: toml::Table = fs::read_to_string(root().join("packs/ed-21-03/report.toml")).unwrap().parse().unwrap();
    let rules = form["rule"].as_array().unwrap();
    for rule in rules {
        let (id, text) = (rule["id"].as_str().unwrap(), rule["text"].as_str().unwrap());
        let desk = Desk::new();
        desk.complete();
        let whose = match id {
            // Rules that a person breaks by an answer.
            "department" => {
                desk.mark("department-level", "perhaps", None);
                ""
            }
            "8-10" => {
                desk.mark("us-cert-ticket", " ", Some("vpn2"));
                "vpn2: "
            }
            "8-9" => {
                desk.skip("ed-21-03/2", "vpn3", " ");
                "vpn3: "
            }
            // Rules between a count and a list that come from the same records: they hold in every case.
            "1-rows" | "1-no-rows" => continue,
            other => panic!("rule {other:?} has no case here: break it on the lab"),
        };
        let lint = desk.run(&["report", "lint"]);
        let wanted = format!("rule {id}: {whose}{text}\n");
        assert!(stdout(&lint).contains(&wanted), "{wanted} is not in {}", stdout(&lint));
        assert_eq!(lint.status.code(), Some(1));
    }
}
