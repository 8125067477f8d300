//! Prove: is an update proved, refuted, or only said?
//!
//! Two witnesses that count, and none that contradicts, prove it. An installation for a rollback that is still
//! vulnerable is a finding beside it: whoever can start it has the hole back. Pure: the same records give the same
//! answer. Source: Appendix A.c and action 3 of ED 21-03; design section 4, idea 4.

use std::collections::BTreeMap;

use directive::pack::Pack;
use directive::product::Told;
use directive::record::{Body, Finding, Gap, Record, Severity, Status};
use directive::state::{Known, State};
use directive::text::Text;
use jiff::Timestamp;

use crate::witness::Asked;

/// What somebody says was installed.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The version: the vendor's, or the whole version of a package.
    pub version: &'a str,
    /// When the installation began. What was seen before says nothing of it.
    pub since: Timestamp,
}

/// What a witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is installed.
    For,
    /// It is not.
    Against,
    /// Nothing.
    Silent,
}

/// A witness and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who: `files`, `network`, `running programs`, `its own word`.
    pub witness: &'static str,
    /// What.
    pub word: Word,
    /// Whether it counts as a proof; the instance's own word does not.
    pub counts: bool,
    /// By what, in one sentence.
    pub why: String,
}

/// What the witnesses add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Two that count say so, and none contradicts.
    Proved,
    /// Nobody contradicts, and too few say so.
    Unproved,
    /// One contradicts.
    Refuted,
}

/// The judgement about one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What it comes to.
    pub outcome: Outcome,
    /// Everybody who was heard, those that count first.
    pub witnesses: Vec<Said>,
    /// What is wrong, by name.
    pub findings: Vec<Finding>,
    /// What nobody could see.
    pub gaps: Vec<Gap>,
}

/// How many witnesses that count prove an update.
const ENOUGH: usize = 2;

/// Judges the records of a case about an instance; `None` if they know none of that name.
pub fn prove(pack: &Pack, records: &[Record], instance: &str, claim: Claim<'_>) -> Option<Judged> {
    let whole = State::from_records(records);
    let known = whole.instances.get(instance)?;
    // What advisories say holds for whatever is seen, whenever they came.
    let counts = |record: &&Record| record.at > claim.since || matches!(record.body, Body::Advisory(_));
    let after = State::from_records(records.iter().filter(counts));
    let (current, is_counted) = (whole.current(&pack.product), after.ledger.is_some());
    let addresses = known.instance.addresses.as_slice();
    let asked = Asked { pack, current, after: after.instances.get(instance), addresses, claim, is_counted };
    let files = asked.files();
    let running = asked.running(&files);
    let witnesses = vec![files, asked.network(), running, asked.own_word()];
    let mut findings: Vec<Finding> = contradictions(&asked, &witnesses).into_iter().collect();
    let (rollbacks, mut gaps) = rollbacks(&asked);
    findings.extend(rollbacks);
    findings.extend(peers(pack, &whole, &after, known));
    for finding in findings.iter_mut().filter(|finding| finding.path.is_none()) {
        finding.place = Some(instance.to_owned());
    }
    let against = witnesses.iter().any(|said| said.word == Word::Against);
    let proofs = witnesses.iter().filter(|said| said.counts && said.word == Word::For).count();
    let outcome = match (against, proofs >= ENOUGH) {
        (true, _) => Outcome::Refuted,
        (false, true) => Outcome::Proved,
        (false, false) => Outcome::Unproved,
    };
    if outcome == Outcome::Unproved {
        let silent = witnesses.iter().filter(|said| said.counts && said.word == Word::Silent);
        let why = silent.map(|said| format!("{}: {}", said.witness, said.why)).collect::<Vec<_>>().join("; ");
        gaps.push(gap("update-unproved", true, why));
    }
    Some(Judged { outcome, witnesses, findings, gaps })
}

/// The contradiction by its name: the one that says most about what was done.
fn contradictions(asked: &Asked<'_>, said: &[Said]) -> Option<Finding> {
    let word = |witness: &str| said.iter().find(|one| one.witness == witness).map(|one| (one.word, one.why.clone()));
    let [files, network, running, own] = ["files", "network", "running programs", "its own word"].map(word);
    let against = |of: &Option<(Word, String)>| {
        of.as_ref().filter(|(word, _)| *word == Word::Against).map(|(_, why)| why.clone())
    };
    let is_for = |of: &Option<(Word, String)>| of.as_ref().is_some_and(|(word, _)| *word == Word::For);
    let version = asked.claim.version;
    if let (Some(why), false) = (against(&own), is_for(&files)) {
        return Some(finding(
            "update-not-done",
            Severity::High,
            format!("{version} is said to be installed, and {why}"),
        ));
    }
    if let Some(why) = against(&files) {
        let how = if is_for(&own) {
            "its version says that it is updated, and its files say that it is not"
        } else {
            "its files are not the new ones"
        };
        return Some(finding("update-faked", Severity::High, format!("{how}: {why}")));
    }
    let old = against(&running).or_else(|| against(&network))?;
    let how = if is_for(&files) {
        "the new files are there, and the old program runs"
    } else {
        "what answers is not the new version"
    };
    Some(finding("update-not-running", Severity::High, format!("{how}: {old}")))
}

/// Installations beside the one that runs.
fn rollbacks(asked: &Asked<'_>) -> (Vec<Finding>, Vec<Gap>) {
    let (_, others) = asked.generations();
    let (mut findings, mut gaps) = (Vec::new(), Vec::new());
    if others.is_empty() && !asked.pack.product.generations.is_empty() {
        let names: Vec<_> = asked.pack.product.generations.iter().map(|one| one.name.as_str()).collect();
        let why = format!(
            "the product keeps installations called {}, and none was seen: give an image of the whole disk",
            names.join(", ")
        );
        gaps.push(gap("rollback-unknown", false, why));
    }
    for other in others {
        let status = other.version.as_ref().map(|version| {
            let told = Told { source: other.name.clone(), version: version.clone(), exact: true, ..Told::default() };
            asked.current.witness(&told).status
        });
        let (name, version) = (&other.name, other.version.as_deref().unwrap_or("an unknown version"));
        match status {
            Some(Status::Affected) => findings.push(Finding {
                path: Some(other.folder.clone()),
                ..finding(
                    "rollback-vulnerable",
                    Severity::High,
                    format!("the installation {name} is {version}: whoever starts it has the hole back"),
                )
            }),
            Some(Status::Fixed) => {}
            Some(Status::Unknown) | None => gaps.push(Gap {
                path: Some(Text::new(other.folder.as_bytes())),
                ..gap(
                    "rollback-unknown",
                    false,
                    format!("nobody knows whether the installation {name}, {version}, is vulnerable"),
                )
            }),
        }
    }
    (findings, gaps)
}

/// Members of one cluster that run different versions: one of them was passed over, or lies.
///
/// Who belongs to it is what the scope states at any time; what they run is what was seen after the update.
fn peers(pack: &Pack, whole: &State, after: &State, known: &Known) -> Option<Finding> {
    let cluster = known.instance.facts.get("cluster")?;
    let is_member = |one: &&Known| one.instance.facts.get("cluster") == Some(cluster);
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for member in whole.instances_of(&pack.product.name).filter(is_member) {
        let name = member.instance.name.as_str();
        let seen = after.instances.get(name).and_then(|seen| seen.instance.version.value.as_deref());
        if let Some(version) = seen {
            versions.entry(version).or_default().push(name);
        }
    }
    (versions.len() > 1).then(|| {
        let each: Vec<_> =
            versions.iter().map(|(version, names)| format!("{} on {}", version, names.join(", "))).collect();
        finding(
            "peers-differ",
            Severity::Medium,
            format!("members of the cluster {cluster} are not alike: {}", each.join("; ")),
        )
    })
}

fn finding(code: &str, severity: Severity, why: String) -> Finding {
    Finding {
        code: code.to_owned(),
        severity,
        path: None,
        place: None,
        why,
        evidence: None,
        rule: None,
        // T1562: intruders showed upgrades that never happened.
        attack: if code == "update-faked" { vec!["T1562".to_owned()] } else { Vec::new() },
        clause: None,
        times: Default::default(),
    }
}

fn gap(code: &str, required: bool, why: String) -> Gap {
    Gap { code: code.to_owned(), path: None, place: None, why, required }
}
