//! STIX: what did we see, in the form in which sightings are exchanged?
//!
//! A bundle of STIX 2.1: who saw it (`identity`), on which instance (`infrastructure`), which files and addresses
//! (`observed-data`), and which published indicators and rules they match (`sighting`). A finding without such a rule
//! is seen data with a note, and never an indicator: what is new on one appliance is not bad everywhere.
//! Ids are UUIDs of version 5, so that the same case gives the same bundle. Accounts and timelines stay at home.
//! No library serves: the crates for STIX in Rust are given up or have one release.
//! Source: STIX 2.1 (OASIS), 2.9, 4, 5, 6, 7.2; judged by OASIS's `stix2-validator` in the tests.

use std::collections::{BTreeMap, BTreeSet};

use directive::pack::Pack;
use directive::record::{Finding, Status};
use directive::text::escape;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::model::{InstanceReport, Report};
use crate::tlp::Tlp;
use crate::words;
use object::{Body, External, Object, moment, own_id};
use observable::Observables;
use pattern::Patterns;

mod object;
mod observable;
mod pattern;

/// Puts a report in a STIX bundle. Ends with a newline.
///
/// # Errors
///
/// None in practice: every part of a report can be serialised.
pub fn render(report: &Report, pack: &Pack) -> Result<String, serde_json::Error> {
    let mut bundle = Bundle::new(report, pack);
    for instance in &report.instances {
        bundle.instance(instance);
    }
    bundle.finish()
}

#[derive(Serialize)]
struct Whole {
    r#type: &'static str,
    id: String,
    objects: Vec<Entry>,
}

/// An object of ours, or an indicator as its author published it.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Ours(Box<Object>),
    Published(Value),
}

struct Bundle<'a> {
    report: &'a Report,
    pack: &'a Pack,
    patterns: Patterns<'a>,
    /// The organisation's identity.
    identity: String,
    /// Of the form's caveat.
    markings: Vec<String>,
    objects: Vec<Entry>,
    /// What is in `objects` already.
    known: BTreeSet<String>,
}

impl<'a> Bundle<'a> {
    fn new(report: &'a Report, pack: &'a Pack) -> Self {
        let identity = own_id("identity", &[&report.organisation]);
        let patterns = Patterns::new(pack);
        let (objects, known) = (Vec::new(), BTreeSet::new());
        let mut bundle = Self { report, pack, patterns, identity, markings: Vec::new(), objects, known };
        bundle.mark();
        let body = Body::Identity { name: shown(&report.organisation), identity_class: "organization" };
        let identity = bundle.identity.clone();
        bundle.add(Object::new("identity", identity, bundle.opened(), bundle.opened(), body));
        bundle
    }

    /// When the case was opened: what is the same object in a later report was made then.
    fn opened(&self) -> Timestamp {
        self.report.opened.unwrap_or(self.report.at).min(self.report.at)
    }

    /// The markings of the form's caveat: its label, and its words where there is more than a label.
    fn mark(&mut self) {
        let caveat = &self.report.form.caveat;
        if let Some(tlp) = Tlp::of(caveat) {
            let (id, label) = tlp.in_stix();
            self.put(Object::tlp(id, label));
            self.markings.push(id.to_owned());
        }
        if !caveat.is_empty() {
            let id = own_id("marking-definition", &[caveat]);
            let body = Body::Statement(object::Statement::new(shown(caveat)));
            // A marking says how the others may be handled, and has no version of its own.
            let mut object = Object::new("marking-definition", id.clone(), self.opened(), self.opened(), body);
            object.modified = None;
            self.put(object);
            self.markings.push(id);
        }
    }

    /// Adds an object of ours, with who made it and how it may be handled.
    fn add(&mut self, mut object: Object) -> String {
        let id = object.id.clone();
        object.created_by_ref = (object.id != self.identity && object.created.is_some()).then(|| self.identity.clone());
        object.object_marking_refs.clone_from(&self.markings);
        if self.report.exercise && object.created.is_some() {
            object.labels = vec!["exercise"];
        }
        self.put(object);
        id
    }

    fn put(&mut self, object: Object) {
        if self.known.insert(object.id.clone()) {
            self.objects.push(Entry::Ours(Box::new(object)));
        }
    }

    fn instance(&mut self, of: &InstanceReport) {
        let instance = &of.instance;
        let id = own_id("infrastructure", &[&self.report.organisation, &self.report.pack.id, &instance.name]);
        let mut description = format!("An instance of {}.", self.pack.product.name);
        if let Some(version) = &instance.version.value {
            description += &format!(" Version {}, {}.", shown(version), words::status(instance.version.status));
        }
        let verdict = of.conclusion.as_ref().map(|conclusion| conclusion.verdict);
        description += &format!(" Latest check: {}.", words::verdict(verdict));
        let body = Body::Infrastructure { name: self.said(&instance.name), description };
        let id = self.add(Object::new("infrastructure", id, self.opened(), self.report.at, body));
        let mut seen = Observables::of(instance, self.pack);
        for object in seen.take() {
            let part = self.add(object);
            self.relate(&id, "consists-of", &part, self.opened());
        }
        if instance.version.status == Status::Affected {
            self.vulnerabilities(&id, of);
        }
        if let Some(conclusion) = &of.conclusion {
            let reasons: Vec<_> = conclusion.reasons.iter().map(|reason| shown(reason)).collect();
            let content = format!("{}. {}", words::verdict(verdict), reasons.join(" "));
            self.note(content, vec![id.clone()], of.checked_at.unwrap_or(self.report.at));
        }
        for finding in &of.findings {
            self.finding(&id, of, finding, &seen);
        }
    }

    fn vulnerabilities(&mut self, infrastructure: &str, of: &InstanceReport) {
        let product = self.report.product(self.pack);
        for cve in product.vulnerabilities(of.instance.version.value.as_deref()) {
            let reference =
                External { source_name: "cve".into(), external_id: Some(cve.to_owned()), description: None };
            let body = Body::Vulnerability { name: cve.to_owned(), external_references: vec![reference] };
            let id = own_id("vulnerability", &[&self.report.organisation, cve]);
            let id = self.add(Object::new("vulnerability", id, self.opened(), self.opened(), body));
            self.relate(infrastructure, "has", &id, self.opened());
        }
    }

    /// What was seen, on which instance, and what it is a sighting of.
    fn finding(&mut self, infrastructure: &str, of: &InstanceReport, finding: &Finding, instance: &Observables) {
        let at = of.checked_at.unwrap_or(self.report.at);
        let path = finding.path.as_ref().map(ToString::to_string).unwrap_or_default();
        let place = finding.place.clone().unwrap_or_default();
        let rule = finding.rule.clone().unwrap_or_default();
        let digest = finding.evidence.as_ref().and_then(|seen| seen.sha256.clone()).unwrap_or_default();
        let named = [infrastructure, &moment(at), &finding.code, &path, &place, &rule, &digest];
        let mut refs = Vec::new();
        for object in Observables::of_finding(finding, instance) {
            refs.push(self.add(object));
        }
        if refs.is_empty() {
            refs = instance.ids();
        }
        let body = Body::ObservedData {
            first_observed: moment(at),
            last_observed: moment(at),
            number_observed: 1,
            object_refs: refs,
        };
        let seen = self.add(Object::new("observed-data", own_id("observed-data", &named), at, at, body));
        self.relate(infrastructure, "consists-of", &seen, at);
        let indicator = match self.patterns.of(&rule, self.opened()) {
            Some(pattern::Found::Published(value)) => {
                let id = value["id"].as_str().unwrap_or_default().to_owned();
                if self.known.insert(id.clone()) {
                    self.objects.push(Entry::Published(value));
                }
                Some(id)
            }
            Some(pattern::Found::Ours(object)) => Some(self.add(*object)),
            None => None,
        };
        if let Some(indicator) = indicator {
            let body = Body::Sighting {
                first_seen: moment(at),
                last_seen: moment(at),
                count: 1,
                sighting_of_ref: indicator,
                observed_data_refs: vec![seen.clone()],
                where_sighted_refs: vec![self.identity.clone()],
            };
            self.add(Object::new("sighting", own_id("sighting", &named), at, at, body));
        }
        let techniques =
            if finding.attack.is_empty() { String::new() } else { format!(" ATT&CK: {}.", finding.attack.join(", ")) };
        let content =
            format!("{} ({}): {}.{techniques}", finding.code, words::severity(finding.severity), shown(&finding.why));
        self.note(content, vec![seen], at);
    }

    fn relate(&mut self, from: &str, how: &'static str, to: &str, at: Timestamp) {
        let body = Body::Relationship { relationship_type: how, source_ref: from.into(), target_ref: to.into() };
        self.add(Object::new("relationship", own_id("relationship", &[from, how, to]), at, at, body));
    }

    fn note(&mut self, content: String, about: Vec<String>, at: Timestamp) {
        let id = own_id("note", &[&about[0], &content, &moment(at)]);
        self.add(Object::new("note", id, at, at, Body::Note { content, object_refs: about }));
    }

    /// A name, with the word that nobody may overlook.
    fn said(&self, name: &str) -> String {
        if self.report.exercise { format!("EXERCISE: {}", shown(name)) } else { shown(name) }
    }

    /// Closes the bundle with the report that holds it together.
    fn finish(mut self) -> Result<String, serde_json::Error> {
        let report = self.report;
        let is_marking = |id: &&String| id.starts_with("marking-definition--");
        let object_refs: Vec<String> = self.known.iter().filter(|id| !is_marking(id)).cloned().collect();
        let description = format!(
            "{}{} Made by {} from a case of {} records, the last with hash {}.",
            if report.exercise { "EXERCISE: every time in it is exercise time. " } else { "" },
            shown(&report.title),
            report.tool,
            report.records,
            report.head
        );
        let reference = External {
            source_name: shown(&report.issuer),
            external_id: Some(report.pack.id.clone()),
            description: Some(format!("pack with SHA-256 {}", report.pack.sha256)),
        };
        let body = Body::Report {
            name: self.said(&format!("{}: {}", report.organisation, report.form.title)),
            description,
            report_types: ["observed-data"],
            published: moment(report.at),
            object_refs,
            external_references: vec![reference],
        };
        let named = [&report.organisation, &report.pack.id, &report.head, &moment(report.at)];
        let id = own_id("report", &named.map(String::as_str));
        self.add(Object::new("report", id, report.at, report.at, body));
        let id = own_id("bundle", &named.map(String::as_str));
        let whole = Whole { r#type: "bundle", id, objects: self.objects };
        serde_json::to_string_pretty(&whole).map(|text| text + "\n")
    }
}

/// A text from a case as it may stand before a person.
fn shown(text: &str) -> String {
    escape(text)
}

/// Values of an observable by the names of their properties, in order of name.
type Properties = BTreeMap<&'static str, Value>;
