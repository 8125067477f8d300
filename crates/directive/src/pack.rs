//! Pack: is this folder of data a directive that can be worked from?
//!
//! Reads the files of a pack, which somebody else has loaded, into types that cannot be wrong:
//! every reference between actions, marks and form fields is checked here, with file, line and
//! caret, and nowhere below. Signatures are `feed`'s question.
//! Layout: design section 3.

mod questions;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use crate::action::{Action, Directive, Does, Each};
use crate::deadline::{Calendar, Holidays, Moments};
use crate::example::Examples;
use crate::form::Form;
use crate::hunting::Hunting;
use crate::probe::{self, Neighbours, Probes};
use crate::problem::{Problem, Problems};
use crate::product::Product;
use crate::record::{PackRef, hex};

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

/// Checks what the files of a pack say about each other.
struct References<'a> {
    place: &'a str,
    files: &'a Files,
    problems: &'a mut Vec<Problem>,
}

impl References<'_> {
    fn check(&mut self, directive: &Directive, form: &Form, expected: &Examples) -> Option<(TimeZone, Holidays)> {
        let id = directive.id.get_ref();
        if id.is_empty() || !id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
            self.at(
                "directive.toml",
                directive.id.span(),
                format!("{id:?} is no id"),
                "lower-case letters, digits, `-` and `.`",
            );
        }
        if directive.documents.is_empty() {
            self.at(
                "directive.toml",
                directive.id.span(),
                "the directive has no document".into(),
                "add [[document]] with id and issued",
            );
        }
        self.actions(directive);
        self.form(directive, form);
        let ids: BTreeSet<&str> = directive.actions.iter().map(|action| action.id.get_ref().as_str()).collect();
        expected.deadlines.iter().for_each(|example| self.known_in("examples.toml", &example.action, &ids, "action"));
        let holidays = self.holidays(directive);
        match TimeZone::get(directive.zone.get_ref()) {
            Ok(zone) => holidays.map(|holidays| (zone, holidays)),
            Err(_) => {
                let message = format!("{:?} is no zone of the IANA database", directive.zone.get_ref());
                self.at(
                    "directive.toml",
                    directive.zone.span(),
                    message,
                    "write a name such as \"America/New_York\"; EST and EDT are not zones",
                );
                None
            }
        }
    }

    fn holidays(&mut self, directive: &Directive) -> Option<Holidays> {
        let calendar = directive.calendar.as_ref();
        match Holidays::new(calendar.map(|name| name.get_ref().as_str()), &directive.holidays) {
            Ok(holidays) => Some(holidays),
            Err(message) => {
                let span = calendar.map_or(0..0, Spanned::span);
                self.at("directive.toml", span, message, "leave it out where only weekends are free");
                None
            }
        }
    }

    fn actions(&mut self, directive: &Directive) {
        let documents: BTreeSet<&str> = directive.documents.iter().map(|document| document.id.as_str()).collect();
        let ids: BTreeSet<&str> = directive.actions.iter().map(|action| action.id.get_ref().as_str()).collect();
        let marks: BTreeSet<&str> = directive.marks.iter().map(|mark| mark.id.as_str()).collect();
        let mut seen = BTreeSet::new();
        for action in &directive.actions {
            if !seen.insert(action.id.get_ref()) {
                self.at(
                    "directive.toml",
                    action.id.span(),
                    format!("two actions are called {:?}", action.id.get_ref()),
                    "an action's id is the directive's own number for it",
                );
            }
            for reference in action.after.iter().chain(&action.instead).chain(&action.supersedes) {
                self.known(reference, &ids, "action");
                if reference.get_ref() == action.id.get_ref() {
                    self.at(
                        "directive.toml",
                        reference.span(),
                        "an action refers to itself".into(),
                        "name another action",
                    );
                }
            }
            let wanted = match action.does {
                Does::Discover => Some((Each::Organisation, "a discovery is one for all: leave out `each`")),
                Does::Check => Some((Each::Instance, "a check is of one instance: add `each = \"instance\"`")),
                Does::Person | Does::Vendor => None,
            };
            if let Some((_, hint)) = wanted.filter(|(each, _)| *each != action.each) {
                let message = "no room can do the action for what `each` says".to_owned();
                self.at("directive.toml", action.id.span(), message, hint);
            }
            if let Some(document) = &action.document {
                self.known(document, &documents, "document");
            }
            let conditions = std::iter::once(&action.when).chain(&action.until);
            for mark in conditions.flat_map(|when| when.mark.keys()) {
                if !marks.contains(mark.as_str()) {
                    self.at(
                        "directive.toml",
                        action.id.span(),
                        format!("the condition asks for the mark {mark:?}, which nobody is asked for"),
                        "add it as [[mark]]",
                    );
                }
            }
        }
        self.circles(directive);
    }

    /// Refuses actions that wait for each other, and so for ever.
    fn circles(&mut self, directive: &Directive) {
        for start in &directive.actions {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut next: Vec<&str> = start.after.iter().map(|id| id.get_ref().as_str()).collect();
            while let Some(id) = next.pop() {
                if reached.insert(id) {
                    let actions = directive.actions.iter().filter(|action| action.id.get_ref() == id);
                    next.extend(actions.flat_map(|action| &action.after).map(|id| id.get_ref().as_str()));
                }
            }
            if reached.contains(start.id.get_ref().as_str())
                && !start.after.iter().any(|id| id.get_ref() == start.id.get_ref())
            {
                self.at(
                    "directive.toml",
                    start.id.span(),
                    format!("action {} waits for itself through `after`", start.id.get_ref()),
                    "break the circle",
                );
            }
        }
    }

    fn known(&mut self, reference: &Spanned<String>, known: &BTreeSet<&str>, kind: &str) {
        self.known_in("directive.toml", reference, known, kind);
    }

    fn known_in(&mut self, file: &str, reference: &Spanned<String>, known: &BTreeSet<&str>, kind: &str) {
        if !known.contains(reference.get_ref().as_str()) {
            let list = known.iter().copied().collect::<Vec<_>>().join(", ");
            self.at(
                file,
                reference.span(),
                format!("there is no {kind} {:?}", reference.get_ref()),
                &format!("known: {list}"),
            );
        }
    }

    fn at(&mut self, name: &str, span: std::ops::Range<usize>, message: String, hint: &str) {
        let text = self.files.get(name).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
        self.problems.push(Problem::at(&format!("{}/{name}", self.place), &text, span, message).hint(hint));
    }
}
