//! Pack: is this folder of data a directive that can be worked from?
//!
//! Reads the files of a pack, which somebody else has loaded, into types that cannot be wrong:
//! every reference between actions, marks and form fields is checked (`references.rs`), with file,
//! line and caret, and nowhere below. Signatures are `feed`'s question.
//! Layout: design section 3.

mod questions;
mod references;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use crate::action::{Action, Directive};
use crate::deadline::{Calendar, Holidays, Moments};
use crate::example::Examples;
use crate::form::Form;
use crate::hunting::Hunting;
use crate::probe::{self, Neighbours, Probes};
use crate::problem::{Problem, Problems};
use crate::product::Product;
use crate::record::{PackRef, hex};
use crate::updating::{self, Updating};
use crate::workaround::{self, Workaround};
use references::References;

/// The files of a pack by their path in it, `/` between folders.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A directive that can be worked from.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Identity, lifecycle, actions.
    pub directive: Directive,
    /// What it is about.
    pub product: Product,
    /// How the product is recognised.
    pub probes: Probes,
    /// Recog fingerprints: file name and XML.
    pub recog: Vec<(String, String)>,
    /// Examples of fingerprints that lie in files of their own.
    pub examples: Files,
    /// What it looks for beyond manifests.
    pub hunting: Hunting,
    /// What shuts the hole until there is a patch, in the order of their files.
    pub workarounds: Vec<Workaround>,
    /// Who signs updates, and what a person does to install one.
    pub updating: Updating,
    /// What the authority wants to be told.
    pub form: Form,
    /// What it must say of versions, times and instances whose answer is known.
    pub expected: Examples,
    /// The zone in which its days are counted.
    pub zone: TimeZone,
    /// Days on which nobody works.
    holidays: Holidays,
    /// SHA-256 over all files.
    digest: [u8; 32],
}

impl Pack {
    /// Reads a pack from its files. `place` names the pack in messages.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its place.
    pub fn parse(place: &str, files: &Files) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let directive = required::<Directive>(place, files, "directive.toml", &mut problems);
        let product = required::<Product>(place, files, "product.toml", &mut problems);
        let form = required::<Form>(place, files, "report.toml", &mut problems);
        let probes = optional::<Probes>(place, files, "fingerprints/probes.toml", &mut problems);
        let recog = recog(place, files, &mut problems);
        let hunting = hunting(place, files, &mut problems);
        let expected = optional::<Examples>(place, files, "examples.toml", &mut problems).unwrap_or_default();
        if !files.contains_key("SOURCES.md") {
            problems.push(
                Problem::whole(&format!("{place}/SOURCES.md"), "the pack names no sources")
                    .hint("for every entry: source, date retrieved, licence"),
            );
        }
        let (Some(directive), Some(product), Some(form), Some(probes)) = (directive, product, form, probes) else {
            return Err(Problems(problems));
        };
        let neighbours_file = "fingerprints/neighbours.toml";
        let neighbours = optional::<Neighbours>(place, files, neighbours_file, &mut problems).unwrap_or_default();
        let probes = Probes { neighbours: neighbours.neighbours, ..probes };
        problems.extend(probe::check(&format!("{place}/fingerprints/probes.toml"), &probes.probes));
        let of_neighbours = probes.neighbours.iter().flat_map(|neighbour| &neighbour.probes);
        problems.extend(probe::check(&format!("{place}/{neighbours_file}"), of_neighbours));
        let counted = References { place, files, problems: &mut problems }.check(&directive, &form, &expected);
        let workarounds = workarounds(place, files, &directive, &product, &mut problems);
        let updating = updating(place, files, &mut problems);
        match counted {
            Some((zone, holidays)) if problems.is_empty() => {
                let (examples, digest) = (examples(files), digest(files));
                Ok(Self {
                    directive,
                    product,
                    probes,
                    recog,
                    examples,
                    hunting,
                    workarounds,
                    updating,
                    form,
                    expected,
                    zone,
                    holidays,
                    digest,
                })
            }
            _ => Err(Problems(problems)),
        }
    }

    /// The pack, exactly.
    pub fn reference(&self) -> PackRef {
        PackRef { id: self.id().to_owned(), sha256: hex(&self.digest) }
    }

    /// The directive's id.
    pub fn id(&self) -> &str {
        self.directive.id.get_ref()
    }

    /// When the directive was issued.
    pub fn issued(&self) -> Timestamp {
        // `References::check` refuses a directive without a document.
        self.directive.documents.iter().map(|document| document.issued).min().unwrap_or(Timestamp::MIN)
    }

    /// Whether the directive was closed at `now`.
    pub fn is_closed(&self, now: Timestamp) -> bool {
        self.directive.closed.as_ref().is_some_and(|closed| closed.at <= now)
    }

    /// The actions in force at `now`: their document is issued, no other action in force
    /// supersedes them, and the directive is not closed.
    pub fn in_force(&self, now: Timestamp) -> Vec<&Action> {
        if self.is_closed(now) {
            return Vec::new();
        }
        let issued: Vec<&Action> =
            self.directive.actions.iter().filter(|action| self.issued_with(action) <= now).collect();
        let superseded: BTreeSet<&str> =
            issued.iter().flat_map(|action| &action.supersedes).map(|id| id.get_ref().as_str()).collect();
        issued.into_iter().filter(|action| !superseded.contains(action.id.get_ref().as_str())).collect()
    }

    /// When the document that orders an action was issued.
    pub fn issued_with(&self, action: &Action) -> Timestamp {
        let named = action.document.as_ref().map(|id| id.get_ref());
        let mut documents = self.directive.documents.iter();
        let found = match named {
            Some(id) => documents.find(|document| document.id == *id),
            None => documents.next(),
        };
        found.map_or(Timestamp::MIN, |document| document.issued)
    }

    /// How its days are counted.
    pub fn calendar(&self) -> Calendar<'_> {
        Calendar { zone: &self.zone, holidays: &self.holidays }
    }

    /// The workaround of that id.
    pub fn workaround(&self, id: &str) -> Option<&Workaround> {
        self.workarounds.iter().find(|workaround| workaround.id.get_ref() == id)
    }

    /// The actions that handing in the form does, each with the time at which it is due, as far as one is set that does
    /// not depend on a case.
    pub fn filing(&self, now: Timestamp) -> Vec<(&Action, Option<Timestamp>)> {
        let release = self.product.fixing_release(now).map(|release| release.released);
        let due = |action: &Action| {
            let moments = Moments { issued: Some(self.issued_with(action)), release, ..Moments::default() };
            action.due.next(&moments, self.calendar(), &[])
        };
        let actions = self.form.actions.iter().filter_map(|id| self.action(id.get_ref()));
        actions.map(|action| (action, due(action))).collect()
    }

    /// The action of that id.
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.directive.actions.iter().find(|action| action.id.get_ref() == id)
    }
}

/// SHA-256 over the names and bytes of all files, each preceded by its length, in order of name.
fn digest(files: &Files) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().into()
}

fn text<'a>(file: &str, bytes: &'a [u8], problems: &mut Vec<Problem>) -> Option<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(err) => {
            problems.push(Problem::whole(file, format!("not UTF-8 from byte {}", err.valid_up_to())));
            None
        }
    }
}

fn required<T: serde::de::DeserializeOwned>(
    place: &str,
    files: &Files,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let file = format!("{place}/{name}");
    let Some(bytes) = files.get(name) else {
        problems
            .push(Problem::whole(&file, "the pack has no such file").hint("see docs/packs.md for what a pack holds"));
        return None;
    };
    let text = text(&file, bytes, problems)?;
    match toml::from_str(text) {
        Ok(value) => Some(value),
        Err(err) => {
            problems.push(Problem::from_toml(&file, text, &err));
            None
        }
    }
}

fn optional<T: serde::de::DeserializeOwned + Default>(
    place: &str,
    files: &Files,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    if files.contains_key(name) { required(place, files, name, problems) } else { Some(T::default()) }
}

fn recog(place: &str, files: &Files, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let xml = files.iter().filter(|(name, _)| name.starts_with("fingerprints/") && name.ends_with(".xml"));
    xml.filter_map(|(name, bytes)| Some((name.clone(), text(&format!("{place}/{name}"), bytes, problems)?.to_owned())))
        .collect()
}

/// What lies in folders below `fingerprints/`: they are called like the database that names their files.
fn examples(files: &Files) -> Files {
    let is_example = |name: &str| name.strip_prefix("fingerprints/").is_some_and(|name| name.contains('/'));
    let own = files.iter().filter(|(name, _)| is_example(name) && !name.ends_with(".xml"));
    own.map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
}

/// Rules and tables of `hunt/`. What would not be run is refused: a pack must not count on it.
fn hunting(place: &str, files: &Files, problems: &mut Vec<Problem>) -> Hunting {
    let tables = ["hunt", "tamper", "logs", "accounts", "verdict", "meaning"].map(|name| format!("hunt/{name}.toml"));
    let [settings, tamper, logs, accounts, verdict, meaning] = &tables;
    let meaning_file = format!("{place}/{meaning}");
    let meaning = files.get(meaning).and_then(|bytes| text(&meaning_file, bytes, problems)).map(str::to_owned);
    let mut hunting = Hunting {
        settings: optional(place, files, settings, problems).unwrap_or_default(),
        tamper: optional(place, files, tamper, problems).unwrap_or_default(),
        logs: optional(place, files, logs, problems).unwrap_or_default(),
        accounts: optional(place, files, accounts, problems).unwrap_or_default(),
        verdict: optional(place, files, verdict, problems).unwrap_or_default(),
        meaning,
        ..Hunting::default()
    };
    check_logs(place, &hunting, problems);
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("hunt/")) {
        if name.ends_with(".yar") || name.ends_with(".yara") {
            hunting.yara.insert(name.clone(), bytes.clone());
        } else if name.ends_with(".yml") || name.ends_with(".yaml") {
            hunting.sigma.insert(name.clone(), bytes.clone());
        } else if name.starts_with("hunt/indicators/") {
            hunting.indicators.insert(name.clone(), bytes.clone());
        } else if !tables.contains(name) && !name.ends_with(".md") {
            problems.push(Problem::whole(&format!("{place}/{name}"), "nothing runs it").hint(
                "YARA rules end in .yar, Sigma rules in .yml, indicators lie in hunt/indicators/; see docs/packs.md",
            ));
        }
    }
    hunting
}

/// Who signs updates.
fn updating(place: &str, files: &Files, problems: &mut Vec<Problem>) -> Updating {
    let (name, file) = ("update.toml", format!("{place}/update.toml"));
    let updating = optional::<Updating>(place, files, name, problems).unwrap_or_default();
    let text = files.get(name).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
    problems.extend(updating::check(&file, &text, &updating));
    updating
}

/// The rules of `workaround/`, each with its own id.
fn workarounds(
    place: &str,
    files: &Files,
    directive: &Directive,
    product: &Product,
    problems: &mut Vec<Problem>,
) -> Vec<Workaround> {
    let actions: BTreeSet<&str> = directive.actions.iter().map(|action| action.id.get_ref().as_str()).collect();
    let mut read: Vec<Workaround> = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("workaround/") && name.ends_with(".toml")) {
        let Some(workaround) = required::<Workaround>(place, files, name, problems) else { continue };
        let (file, text) = (format!("{place}/{name}"), String::from_utf8_lossy(bytes));
        problems.extend(workaround::check(&file, &text, &workaround, &actions, product.scheme));
        if read.iter().any(|other| other.id.get_ref() == workaround.id.get_ref()) {
            let message = format!("two workarounds are called {:?}", workaround.id.get_ref());
            problems.push(
                Problem::at(&file, &text, workaround.id.span(), message).hint("an id must be unique in the pack"),
            );
        }
        read.push(workaround);
    }
    read
}

/// Refuses rows of `tamper.toml` about logs that `logs.toml` does not name: they would tell nothing for ever.
fn check_logs(place: &str, hunting: &Hunting, problems: &mut Vec<Problem>) {
    let tamper = &hunting.tamper;
    let expected = tamper.expected.iter().map(|row| (&row.id, &row.log));
    for (row, log) in expected.chain(tamper.silences.iter().map(|row| (&row.id, &row.log))) {
        if !hunting.logs.places.iter().any(|place| place.id == *log) {
            let problem =
                Problem::whole(&format!("{place}/hunt/tamper.toml"), format!("{row:?} is about the log {log:?}"));
            problems.push(problem.hint("hunt/logs.toml has no log of that id"));
        }
    }
}
