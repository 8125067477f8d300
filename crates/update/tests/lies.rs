//! Lies: is every instance that lies about its update caught by name, and no honest one accused?
#![expect(clippy::unwrap_used, reason = "an integration test")]

use std::path::Path;

use directive::pack::Pack;
use directive::product::Told;
use directive::record::{
    Body, Conclusion, Coverage, Finding, InstalledGeneration, Instance, Ledger, Record, Running, Service, Severity,
    Version,
};
use directive::text::Text;
use directive::verdict::Verdict;
use feed::folder::load;
use jiff::{SignedDuration, Timestamp};
use update::prove::{Claim, Judged, Outcome, prove};

const OLD: &str = "9.1R11.3";
const NEW: &str = "9.1R11.4";

fn pack() -> Pack {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ed-21-03")).unwrap()
}

fn since() -> Timestamp {
    "2021-05-03T18:00:00Z".parse().unwrap()
}

/// An instance after an update, as a case holds it. Each field is what one source says.
#[derive(Clone)]
struct After {
    /// What its version file says.
    file: Option<&'static str>,
    /// What answers over the network.
    answers: Option<&'static str>,
    /// Which version its files are said to be by the check, and how many a manifest vouches for.
    files: (Option<&'static str>, u64),
    /// Findings of the check: code and path.
    findings: Vec<(&'static str, &'static str)>,
    /// The installation for a rollback.
    rollback: Option<&'static str>,
    /// Hours after the update at which it was checked, and at which addresses were asked; before it, if negative.
    checked: i64,
    asked: i64,
    /// What other members of its cluster run.
    peers: Vec<&'static str>,
    /// Minutes for which the program at its address ran when it was checked, and whether its file was replaced since;
    /// what runs was not looked at otherwise.
    runs: Option<(u64, bool)>,
}

/// Honestly updated, and seen by everybody.
fn honest() -> After {
    After {
        file: Some(NEW),
        answers: Some(NEW),
        files: (Some(NEW), 295),
        findings: Vec::new(),
        rollback: Some("9.1R12"),
        checked: 2,
        asked: 2,
        peers: Vec::new(),
        runs: None,
    }
}

fn told(pack: &Pack, source: &str, version: &str) -> directive::record::Witness {
    let (source, version) = (source.to_owned(), version.to_owned());
    pack.product.witness(&Told { source, version, exact: true, fakeable: true, ..Told::default() })
}

impl After {
    fn records(&self, pack: &Pack) -> Vec<Record> {
        let at = |hours: i64| since() + SignedDuration::from_hours(hours);
        let mut records = Vec::new();
        let mut add = |at, name: Option<&str>, body| records.push(Record::stamp("step", records.len(), at, name, body));
        let network = self.answers.iter().map(|version| told(pack, "http 192.0.2.7:443 /nc_gina_ver.txt", version));
        let file = self.file.iter().map(|version| told(pack, "file /home/VERSION", version));
        let instance = |name: &str, version: Version| {
            Body::Instance(Instance {
                name: name.to_owned(),
                addresses: vec!["192.0.2.7:443".to_owned()],
                product: Some(pack.product.name.clone()),
                version,
                facts: [("cluster".to_owned(), "east".to_owned())].into(),
                ..Instance::default()
            })
        };
        // Days before: the old version, also at an address that answers no more. It accuses nobody.
        let gone = told(pack, "http 192.0.2.7:8443 /", OLD);
        let before = vec![gone, told(pack, "file /home/VERSION", OLD)];
        add(at(-72), None, Body::Ledger(Ledger::default()));
        add(at(-72), Some("vpn1"), instance("vpn1", Version::from_witnesses(before)));
        add(at(self.asked), None, Body::Ledger(Ledger::default()));
        let version = Version::from_witnesses(network.chain(file).collect());
        add(at(self.asked), Some("vpn1"), instance("vpn1", version));
        for (at_, peer) in self.peers.iter().enumerate() {
            let version = Version::from_witnesses(vec![told(pack, "http 192.0.2.8:443 /", peer)]);
            add(at(self.asked), None, instance(&format!("vpn{}", at_ + 2), version));
        }
        for (code, path) in &self.findings {
            let finding = Finding {
                code: (*code).to_owned(),
                severity: Severity::High,
                path: Some(Text::new(path.as_bytes())),
                place: None,
                why: "seen".to_owned(),
                evidence: None,
                rule: None,
                attack: Vec::new(),
                clause: None,
                times: Default::default(),
            };
            add(at(self.checked), Some("vpn1"), Body::Finding(finding));
        }
        let generation = |name: &str, folder: &str, version: Option<&str>, vouched| InstalledGeneration {
            name: name.to_owned(),
            folder: Text::new(folder.as_bytes()),
            version: version.map(str::to_owned),
            manifests: vec!["new.manifest".to_owned()],
            vouched,
        };
        let mut generations = vec![generation("current", "/", self.files.0, self.files.1)];
        generations.extend(self.rollback.map(|version| generation("rollback", "/@rollback", Some(version), 200)));
        let running = self.runs.map(|(minutes, replaced)| {
            let program = Text::from("/home/bin/web");
            let service = Service { at: "tcp 0.0.0.0:443".into(), program, age: minutes * 60, replaced };
            Running { up: 90 * 86_400, services: vec![service] }
        });
        let coverage = Coverage { vouched: self.files.1, generations, running, ..Coverage::default() };
        add(at(self.checked), Some("vpn1"), Body::Coverage(coverage));
        let (reasons, accounts) = (Vec::new(), Vec::new());
        let verdict = Verdict::NoEvidenceFound;
        let conclusion = Conclusion { verdict, reasons, first_sign: None, first_sign_by: None, accounts };
        add(at(self.checked), Some("vpn1"), Body::Verdict(conclusion));
        records
    }

    fn judge(&self, pack: &Pack) -> Judged {
        prove(pack, &self.records(pack), "vpn1", Claim { version: NEW, since: since() }).unwrap()
    }
}

/// What is told of a judgement: the codes of findings and gaps.
fn codes(judged: &Judged) -> Vec<&str> {
    let findings = judged.findings.iter().map(|finding| finding.code.as_str());
    findings.chain(judged.gaps.iter().map(|gap| gap.code.as_str())).collect()
}

#[test]
fn a_program_that_started_after_the_installation_is_a_witness_where_its_files_are_the_new_ones() {
    let pack = pack();
    // Nothing that answers tells a version; two hours after the installation.
    let judged = |runs, change: fn(&mut After)| {
        let mut after = After { answers: None, runs, ..honest() };
        change(&mut after);
        after.judge(&pack)
    };
    let proved = judged(Some((60, false)), |_| {});
    assert_eq!(proved.outcome, Outcome::Proved, "{proved:?}");
    let long = judged(Some((180, false)), |_| {});
    assert_eq!(long.outcome, Outcome::Unproved);
    assert!(long.gaps[0].why.contains("/home/bin/web at tcp 0.0.0.0:443 runs since 2021-05-03T17:00:00Z"), "{long:?}");
    // It started afterwards, from a file that was put away then.
    let put_away = judged(Some((60, true)), |_| {});
    assert_eq!((put_away.outcome, codes(&put_away)), (Outcome::Refuted, vec!["update-not-running"]));
    let patched = judged(Some((60, false)), |it| it.findings = vec![("process-code-changed", "/home/bin/web")]);
    assert_eq!(patched.outcome, Outcome::Refuted);
    // A session of before runs on in the old program, and whoever comes meets the new one.
    let session = judged(Some((60, false)), |it| it.findings = vec![("process-program-replaced", "/home/bin/web")]);
    assert_eq!(session.outcome, Outcome::Proved);
    // Another program of the machine that waits for its own restart accuses nobody.
    let other = judged(None, |it| it.findings = vec![("process-program-replaced", "/usr/sbin/cron")]);
    assert_eq!((other.outcome, codes(&other)), (Outcome::Unproved, vec!["update-unproved"]));
    // Nobody knows what was started.
    let nobody = judged(Some((60, false)), |it| it.files = (Some(NEW), 0));
    assert_eq!(nobody.outcome, Outcome::Unproved);
    assert_eq!(judged(None, |_| {}).outcome, Outcome::Unproved);
}

#[test]
fn every_lie_about_an_update_is_caught_by_its_name() {
    let with = |change: fn(&mut After)| {
        let mut after = honest();
        change(&mut after);
        after
    };
    let lies: [(&str, After, &str); 20] = [
        ("new version file, old programs", with(|it| it.findings = vec![("version-disagrees", "/")]), "update-faked"),
        ("one program is another", with(|it| it.findings = vec![("file-modified", "/home/bin/web")]), "update-faked"),
        ("a program is missing", with(|it| it.findings = vec![("file-missing", "/home/bin/web")]), "update-faked"),
        ("files of the old version under a new name", with(|it| it.files = (Some(OLD), 295)), "update-faked"),
        (
            "it says itself that it is old",
            with(|it| (it.file, it.files) = (Some(OLD), (Some(OLD), 295))),
            "update-not-done",
        ),
        (
            "nothing was done at all",
            with(|it| (it.file, it.answers, it.files) = (Some(OLD), Some(OLD), (Some(OLD), 295))),
            "update-not-done",
        ),
        ("new software on disk, the old still answers", with(|it| it.answers = Some(OLD)), "update-not-running"),
        (
            "the old program runs from a replaced file",
            with(|it| it.findings = vec![("process-program-replaced", "/home/bin/web")]),
            "update-not-running",
        ),
        (
            "the old program runs from a deleted file",
            with(|it| it.findings = vec![("process-program-deleted", "/home/bin/web")]),
            "update-not-running",
        ),
        (
            "changed code runs in memory",
            with(|it| it.findings = vec![("process-code-changed", "/home/bin/web")]),
            "update-not-running",
        ),
        ("the installation for a rollback is the old one", with(|it| it.rollback = Some(OLD)), "rollback-vulnerable"),
        ("an older one waits for a rollback", with(|it| it.rollback = Some("9.0R3")), "rollback-vulnerable"),
        ("its peer was passed over", with(|it| it.peers = vec![OLD]), "peers-differ"),
        ("of three peers one is another", with(|it| it.peers = vec![NEW, "9.1R10"]), "peers-differ"),
        (
            "only the version file was seen",
            with(|it| (it.answers, it.files) = (None, (Some(NEW), 0))),
            "update-unproved",
        ),
        (
            "a check of the time before is shown again",
            with(|it| (it.checked, it.answers) = (-2, None)),
            "update-unproved",
        ),
        ("nobody asked after the update", with(|it| (it.asked, it.files) = (-2, (Some(NEW), 0))), "update-unproved"),
        (
            "its clock was set back, and the check with it",
            with(|it| (it.checked, it.asked) = (-48, -48)),
            "update-unproved",
        ),
        (
            "its own tool counts nothing and nothing vouches",
            with(|it| (it.answers, it.files) = (None, (None, 0))),
            "update-unproved",
        ),
        ("no installation for a rollback is shown", with(|it| it.rollback = None), "rollback-unknown"),
    ];
    let pack = pack();
    for (lie, after, expected) in lies {
        let judged = after.judge(&pack);
        assert!(codes(&judged).contains(&expected), "{lie}: {expected} is not in {judged:?}");
    }
}

#[test]
fn of_two_hundred_honest_instances_none_is_accused() {
    let pack = pack();
    for n in 0..200_i64 {
        let mut after = honest();
        after.files.1 = 200 + n.unsigned_abs() * 37;
        (after.checked, after.asked) = (1 + n % 47, 1 + n % 31);
        after.rollback = Some(if n % 2 == 0 { NEW } else { "9.1R12" });
        after.peers = vec![NEW; usize::try_from(n % 4).unwrap()];
        // What is found on healthy instances too, and what is found in the installation for a rollback alone.
        after.findings = match n % 3 {
            0 => Vec::new(),
            1 => vec![("program-unlisted", "/data/local/tool")],
            _ => vec![("file-modified", "/@rollback/home/bin/web")],
        };
        let judged = after.judge(&pack);
        assert_eq!((judged.outcome, codes(&judged)), (Outcome::Proved, Vec::new()), "{n}: {judged:?}");
    }
}

#[test]
fn the_word_of_the_instance_alone_never_counts() {
    let mut after = honest();
    after.answers = None;
    let judged = after.judge(&pack());
    assert_eq!(judged.outcome, Outcome::Unproved, "{judged:?}");
    assert!(judged.witnesses.iter().any(|said| !said.counts && said.why.contains("whoever controls it writes that")));
}
