//! CSAF: which of our instances is open to what, in the form in which vendors and authorities exchange that?
//!
//! A document of CSAF 2.0 in the profile VEX about the organisation's own instances: each is a product of the tree, by
//! vendor, product, version and name. What a version means for each vulnerability says the pack; what a check found
//! stands beside it as a threat, and never changes it: a fixed version may be in an intruder's hand all the same.
//! Source: CSAF 2.0 (OASIS), 3 and 4.5; judged by the BSI's validator in the tests.

use std::collections::{BTreeMap, BTreeSet};

use directive::action::Does;
use directive::pack::Pack;
use directive::product::Exposure;
use directive::record::Status;
use directive::text::escape;
use directive::verdict::Verdict;
use jiff::Timestamp;
use uuid::Uuid;

use crate::cpe::is_cpe;
use crate::model::{InstanceReport, Report};
use crate::tlp::Tlp;
use crate::words;
use shape::{
    Branch, Distribution, Document, Engine, Flag, Generator, Helper, Id, Note, Product, ProductStatus, ProductTree,
    Publisher, Remediation, Revision, Threat, TlpLabel, Tracking, Vulnerability, Whole,
};

mod shape;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The case knows no instance of the product: the profile has no document about nothing.
    #[error("the case knows no instance, and a VEX document is about instances")]
    NoInstance,
    /// It cannot be written.
    #[error("the document cannot be written")]
    Json(#[from] serde_json::Error),
}

/// Puts a report in a VEX document. `namespace` is the address under which the organisation publishes; without one,
/// a name that is made of the organisation's own. Ends with a newline.
///
/// # Errors
///
/// [`Error::NoInstance`] if there is nothing to speak of.
pub fn render(report: &Report, pack: &Pack, namespace: Option<&str>) -> Result<String, Error> {
    if report.instances.is_empty() {
        return Err(Error::NoInstance);
    }
    let vulnerabilities = vulnerabilities(report, pack);
    let whole = Whole { document: document(report, namespace), product_tree: tree(report, pack), vulnerabilities };
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}

fn document(report: &Report, namespace: Option<&str>) -> Document {
    let name = Uuid::new_v5(&Uuid::NAMESPACE_DNS, report.organisation.as_bytes());
    let mut notes = vec![Note {
        category: "general",
        title: "Origin".into(),
        text: format!(
            "Made by {} from a case of {} records, the last with hash {}, under the pack {} with SHA-256 {}.",
            report.tool, report.records, report.head, report.pack.id, report.pack.sha256
        ),
    }];
    if report.exercise {
        notes.insert(
            0,
            Note {
                category: "general",
                title: "EXERCISE".into(),
                text: "This is an exercise: every time in it is exercise time, and no instance in it need exist."
                    .into(),
            },
        );
    }
    let exercise = if report.exercise { "EXERCISE: " } else { "" };
    let caveat = &report.form.caveat;
    let tlp = Tlp::of(caveat).map(|tlp| TlpLabel { label: tlp.in_csaf() });
    Document {
        category: "csaf_vex",
        csaf_version: "2.0",
        distribution: (!caveat.is_empty()).then(|| Distribution { text: escape(caveat), tlp }),
        lang: "en",
        notes,
        publisher: Publisher {
            category: "user",
            name: escape(&report.organisation),
            namespace: namespace.map_or_else(|| format!("urn:uuid:{name}"), str::to_owned),
        },
        title: format!("{exercise}{}: {}, status of {}", report.pack.id, report.title, escape(&report.organisation)),
        tracking: tracking(report, name),
    }
}

/// The version is the case's own: as many records, and the hash of the last.
fn tracking(report: &Report, name: Uuid) -> Tracking {
    let opened = report.opened.unwrap_or(report.at).min(report.at);
    let number = format!("1.{}.0", report.records);
    let mut revision_history = Vec::new();
    if report.records > 0 {
        revision_history.push(Revision {
            date: moment(opened),
            number: "1.0.0".into(),
            summary: "The case was opened.".into(),
        });
    }
    let summary = format!("The state of the case with {} records.", report.records);
    revision_history.push(Revision { date: moment(report.at), number: number.clone(), summary });
    Tracking {
        current_release_date: moment(report.at),
        generator: Generator { engine: engine(&report.tool) },
        id: format!("{}-{name}", report.pack.id),
        initial_release_date: revision_history[0].date.clone(),
        revision_history,
        status: match (report.exercise, report.open.open) {
            (true, _) => "draft",
            (false, 0) => "final",
            (false, _) => "interim",
        },
        version: format!("{number}+{}", report.head.get(..16).unwrap_or(&report.head)),
    }
}

fn engine(tool: &str) -> Engine {
    let (name, version) = tool.split_once(' ').unwrap_or((tool, "0"));
    Engine { name: name.into(), version: version.into() }
}

/// A time as CSAF writes it, in whole seconds.
fn moment(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// What an instance is called in the document.
fn product_id(of: &InstanceReport) -> String {
    format!("instance/{}", escape(&of.instance.name))
}

/// Vendor, product, version, instance; an instance whose version nobody knows hangs below its product.
fn tree(report: &Report, pack: &Pack) -> ProductTree {
    let mut by_version: BTreeMap<Option<&str>, Vec<Branch>> = BTreeMap::new();
    for of in &report.instances {
        let name = escape(&of.instance.name);
        let version = of.instance.version.value.as_deref();
        let cpe = of.instance.cpe.iter().chain(&pack.product.cpe).find(|cpe| is_cpe(cpe)).cloned();
        let said = version.map(|version| format!(" {}", escape(version))).unwrap_or_default();
        let product = Product {
            name: format!("{}{said} on {name}", pack.product.name),
            product_id: product_id(of),
            product_identification_helper: cpe.map(|cpe| Helper { cpe }),
        };
        by_version.entry(version).or_default().push(Branch::leaf("host_name", name, product));
    }
    let mut below = Vec::new();
    for (version, branches) in by_version {
        match version {
            Some(version) => below.push(Branch::inner("product_version", escape(version), branches)),
            None => below.extend(branches),
        }
    }
    let product = Branch::inner("product_name", pack.product.name.clone(), below);
    ProductTree { branches: vec![Branch::inner("vendor", pack.product.vendor.clone(), vec![product])] }
}

fn vulnerabilities(report: &Report, pack: &Pack) -> Vec<Vulnerability> {
    let product = report.product(pack);
    let cves = product.cves();
    if cves.is_empty() {
        return vec![vulnerability(report, pack, None)];
    }
    cves.into_iter().map(|cve| vulnerability(report, pack, Some(cve))).collect()
}

/// One vulnerability, or what the directive is about where its pack names none by number.
fn vulnerability(report: &Report, pack: &Pack, cve: Option<&str>) -> Vulnerability {
    let product = report.product(pack);
    let mut by_exposure: BTreeMap<Exposure, Vec<String>> = BTreeMap::new();
    for of in &report.instances {
        let version = &of.instance.version;
        let exposure = match (cve, version.status) {
            (Some(cve), status) => product.exposure(cve, version.value.as_deref(), status),
            (None, Status::Affected) => Exposure::Affected,
            (None, Status::Fixed) => Exposure::Fixed,
            (None, Status::Unknown) => Exposure::Unknown,
        };
        by_exposure.entry(exposure).or_default().push(product_id(of));
    }
    let mut of = |exposure| by_exposure.remove(&exposure).unwrap_or_default();
    let product_status = ProductStatus {
        fixed: of(Exposure::Fixed),
        known_affected: of(Exposure::Affected),
        known_not_affected: of(Exposure::NotAffected),
        under_investigation: of(Exposure::Unknown),
    };
    let never = &product_status.known_not_affected;
    let flags = (!never.is_empty()).then(|| Flag { label: "vulnerable_code_not_present", product_ids: never.clone() });
    let ids = match cve {
        Some(_) => Vec::new(),
        None => vec![Id { system_name: report.issuer.clone(), text: report.pack.id.clone() }],
    };
    Vulnerability {
        cve: cve.map(str::to_owned),
        ids,
        flags: flags.into_iter().collect(),
        notes: vec![Note { category: "description", title: "Named by".into(), text: description(report, pack, cve) }],
        remediations: remediations(report, pack, &product_status.known_affected),
        threats: threats(report),
        product_status,
    }
}

fn description(report: &Report, pack: &Pack, cve: Option<&str>) -> String {
    let named = |range: &&directive::product::Range| cve.is_none_or(|cve| range.cve.iter().any(|named| named == cve));
    let product = report.product(pack);
    let ranges = product.affected().iter().filter(named).map(|range| {
        let from = range.from.as_deref().map(|from| format!("from {from} ")).unwrap_or_default();
        let before = range.before.as_deref().map(|end| format!("before {end}"));
        let through = range.through.as_deref().map(|end| format!("through {end}"));
        format!("{from}{}", before.or(through).unwrap_or_default()).trim_end().to_owned()
    });
    let ranges: Vec<_> = ranges.filter(|range| !range.is_empty()).collect();
    let affected = if ranges.is_empty() { String::new() } else { format!(" Affected: {}.", ranges.join(", and ")) };
    format!("{} of {}: {}.{affected}", report.pack.id, report.issuer, report.title)
}

/// What is to be done where an instance is affected: the vendor's release, and what the directive orders of people.
fn remediations(report: &Report, pack: &Pack, affected: &[String]) -> Vec<Remediation> {
    if affected.is_empty() {
        return Vec::new();
    }
    let of = |category, date, details| Remediation { category, date, details, product_ids: affected.to_vec() };
    let mut remediations = vec![match report.product(pack).fixing_release(report.at) {
        Some(release) => {
            let note = if release.note.is_empty() { String::new() } else { format!(": {}", release.note) };
            of("vendor_fix", Some(moment(release.released)), format!("Update to {}{note}.", release.version))
        }
        None => of("none_available", None, format!("No release that fixes it is known on {}.", moment(report.at))),
    }];
    let is_affected: BTreeSet<&String> = affected.iter().collect();
    let mut ordered: BTreeMap<(&str, &str, bool), Vec<String>> = BTreeMap::new();
    for duty in &report.duties {
        let id = duty.action.split_once('/').map_or(duty.action.as_str(), |(_, id)| id);
        let is_of_person = pack.action(id).is_some_and(|action| action.does == Does::Person);
        let product = duty.instance.as_ref().map(|name| format!("instance/{}", escape(name)));
        if let Some(product) = product.filter(|product| is_of_person && is_affected.contains(product)) {
            ordered.entry((&duty.action, &duty.title, duty.done)).or_default().push(product);
        }
    }
    remediations.extend(ordered.into_iter().map(|((action, title, done), product_ids)| {
        let details = format!("{action}: {title} ({}).", if done { "done" } else { "open" });
        Remediation { category: "mitigation", date: None, details, product_ids }
    }));
    remediations
}

/// What checks found, beside what versions say.
fn threats(report: &Report) -> Vec<Threat> {
    let mut by_verdict: BTreeMap<Verdict, BTreeSet<String>> = BTreeMap::new();
    for of in &report.instances {
        let verdict = of.conclusion.as_ref().map(|conclusion| conclusion.verdict);
        if let Some(verdict @ (Verdict::Compromised | Verdict::Mismatch)) = verdict {
            by_verdict.entry(verdict).or_default().insert(product_id(of));
        }
    }
    let threat = |(verdict, ids): (Verdict, BTreeSet<String>)| Threat {
        category: "exploit_status",
        details: format!(
            "The check of the instance ends as {}. By which way an intruder came is not said by it.",
            words::verdict(Some(verdict))
        ),
        product_ids: ids.into_iter().collect(),
    };
    by_verdict.into_iter().map(threat).collect()
}
