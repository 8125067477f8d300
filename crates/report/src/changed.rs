//! Changed: does the case still say what an officer answered for?
//!
//! A report that was attested is held against the one that the case gives now for the same time. What changes by itself
//! (how many records there are, which program made it) is left out, and so is that the report was handed in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::model::Report;

/// What is different by itself.
const ITSELF: [&str; 4] = ["records", "head", "tool", "open"];

/// Questions and instances that are named at most.
const MOST_NAMED: usize = 12;

/// The parts of a report that are different now, in words. `filed` are the actions that handing it in does.
///
/// # Errors
///
/// If `attested` is no report in JSON.
pub fn changed(attested: &[u8], now: &Report, filed: &[String]) -> Result<Vec<String>, serde_json::Error> {
    let mut then: Map<String, Value> = serde_json::from_slice(attested)?;
    let Value::Object(mut now) = serde_json::to_value(now)? else { return Ok(Vec::new()) };
    for report in [&mut then, &mut now] {
        ITSELF.iter().for_each(|key| drop(report.remove(*key)));
        if let Some(Value::Array(duties)) = report.get_mut("duties") {
            duties.retain(|duty| !filed.iter().any(|action| duty["action"] == **action));
        }
    }
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let different = keys.into_iter().filter(|key| then.get(*key) != now.get(*key));
    let mut changed = Vec::new();
    for key in different {
        match key.as_str() {
            "form" => changed.extend(questions(&then["form"], &now["form"])),
            "instances" => changed.extend(instances(&then["instances"], &now["instances"])),
            "duties" => changed.push("what is owed, or done".to_owned()),
            "pack" => changed.push("the pack".to_owned()),
            "ledger" | "gaps" => changed.push("the count of addresses".to_owned()),
            "verdicts" => {}
            other => changed.push(other.to_owned()),
        }
    }
    if changed.len() > MOST_NAMED {
        let more = changed.len() - MOST_NAMED;
        changed.truncate(MOST_NAMED);
        changed.push(format!("{more} more"));
    }
    Ok(changed)
}

/// The questions whose answers are different.
fn questions(then: &Value, now: &Value) -> Vec<String> {
    let different = |then: &Value, now: &Value| -> Vec<String> {
        let before = |id: &Value| then.as_array().and_then(|all| all.iter().find(|answer| answer["id"] == *id));
        let answers = now.as_array().into_iter().flatten();
        let changed = answers.filter(|answer| before(&answer["id"]) != Some(answer));
        changed.filter_map(|answer| answer["label"].as_str().map(str::to_owned)).collect()
    };
    let mut changed: Vec<String> =
        different(&then["fields"], &now["fields"]).into_iter().map(|label| format!("the answer to {label}")).collect();
    let empty = Vec::new();
    let (before, rows) = (then["rows"].as_array().unwrap_or(&empty), now["rows"].as_array().unwrap_or(&empty));
    if before.len() != rows.len() {
        changed.push(format!("{} instances on the form, and not {}", rows.len(), before.len()));
    }
    for (before, row) in before.iter().zip(rows).filter(|(before, row)| before != row) {
        let name = row["instance"].as_str().unwrap_or_default();
        let labels = different(&before["answers"], &row["answers"]);
        changed.extend(labels.into_iter().map(|label| format!("the answer to {label} for {name}")));
    }
    if changed.is_empty() { vec!["the form".to_owned()] } else { changed }
}

/// The instances of which something else is known.
fn instances(then: &Value, now: &Value) -> Vec<String> {
    let empty = Vec::new();
    let (then, now) = (then.as_array().unwrap_or(&empty), now.as_array().unwrap_or(&empty));
    let names = |all: &[Value]| -> BTreeSet<String> {
        all.iter().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
    };
    let is_same = |one: &&Value| then.contains(*one);
    let mut changed: BTreeSet<String> = names(then).symmetric_difference(&names(now)).cloned().collect();
    if then.len() == now.len() {
        let pairs = then.iter().zip(now).filter(|(then, now)| then != now).map(|(_, now)| now);
        changed.extend(pairs.filter_map(|one| one["name"].as_str().map(str::to_owned)));
    } else if now.len() < 1_000 {
        let others = now.iter().filter(|one| !is_same(one));
        changed.extend(others.filter_map(|one| one["name"].as_str().map(str::to_owned)));
    }
    changed.into_iter().map(|name| format!("what is known of {name}")).collect()
}
