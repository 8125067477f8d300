//! Folders: which rules lie in the folders of a pack that hold any number of files?
//!
//! `hunt/` and `workaround/`. What would not be used is refused: a pack must not count on it.

use std::collections::BTreeSet;

use super::{Files, optional, required, text};
use crate::action::Directive;
use crate::hunting::Hunting;
use crate::problem::Problem;
use crate::product::Product;
use crate::workaround::{self, Workaround};

/// Rules and tables of `hunt/`. What would not be run is refused: a pack must not count on it.
pub(super) fn hunting(place: &str, files: &Files, problems: &mut Vec<Problem>) -> Hunting {
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

/// The rules of `workaround/`, each with its own id.
pub(super) fn workarounds(
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
