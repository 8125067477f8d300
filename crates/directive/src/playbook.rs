//! Playbook: how do a directive's actions go out as a CACAO playbook, and come in from one?
//!
//! A playbook says which steps come after which, and what a person does in each. What it cannot say, such as due times,
//! conditions on verdicts and who reports, goes into an extension, word for word as it stands in `directive.toml`;
//! coming back, the extension alone counts. A playbook of others, without it, gives the order of its steps and their
//! words. Bounds: size of the playbook, number of steps. Source: CACAO Security Playbooks Version 2.0, OASIS Committee
//! Specification 01, sections 3 (playbooks), 4 (workflow steps), 5.13 (manual commands), 8 (extensions), 10.10
//! (identifiers).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::action::Does;
use crate::pack::Pack;

/// The largest playbook that is read, in bytes.
pub const LARGEST: usize = 16 << 20;

/// The most steps that are read: no order has thousands of actions, and a playbook can name any number.
const MOST: usize = 2_000;

/// The namespace of playbook ids (section 10.10).
const PLAYBOOKS: Uuid = Uuid::from_u128(0xaa7c_af3a_d55a_4e9a_b34e_0562_15fb_a56a);

/// The namespace of our own names: version 5 of the DNS namespace and `portcullis`.
const OURS: Uuid = Uuid::from_u128(0xff6b_150f_bc84_597a_a40f_2242_59aa_bfb4);

/// What kinds of playbook this is, and so part of its name.
const TYPES: [&str; 3] = ["investigation", "remediation", "notification"];

/// What a playbook tells of an order.
#[derive(Debug, Clone)]
pub struct Order {
    /// The playbook's id.
    pub playbook: String,
    /// `directive.toml`.
    pub directive: String,
    /// What waits for a person.
    pub open: Vec<String>,
}

/// Why a playbook is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is too large.
    #[error("it has more than {} MiB", LARGEST >> 20)]
    TooLarge,
    /// It is no JSON, or no playbook.
    #[error("it is no CACAO playbook: {0}")]
    Shape(String),
    /// It is one of another version.
    #[error("it is written for {0:?}, and only cacao-2.0 is read")]
    Version(String),
    /// It holds no action.
    #[error("none of its steps is an action")]
    Empty,
    /// It names more steps than an order has.
    #[error("it has more than {MOST} steps")]
    TooMany,
    /// The extension does not hold what it should.
    #[error("the extension with the directive's own words cannot be used: {0}")]
    Extension(String),
}

/// The id of our extension.
fn extension() -> String {
    format!("extension-definition--{}", Uuid::new_v5(&OURS, b"directive"))
}

/// Puts the actions of a pack into a playbook. `directive` is the text of its `directive.toml`.
///
/// # Errors
///
/// [`Error::Extension`] if that text is not the pack's.
pub fn export(pack: &Pack, directive: &str) -> Result<String, Error> {
    let broken = |err: &dyn std::fmt::Display| Error::Extension(err.to_string());
    let table: toml::Table = directive.parse().map_err(|err: toml::de::Error| broken(&err))?;
    let mut order = serde_json::to_value(table).map_err(|err| broken(&err))?;
    let actions = order.as_object_mut().and_then(|order| order.remove("action"));
    let Some(Value::Array(actions)) = actions else { return Err(Error::Empty) };
    if actions.len() != pack.directive.actions.len() {
        return Err(Error::Extension("it is not the directive of this pack".to_owned()));
    }
    let steps = Steps { pack, actions: &actions };
    let (start, workflow) = steps.workflow();
    let extension = extension();
    let issued = pack.issued().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    let last = pack.directive.documents.iter().map(|document| document.issued).max().unwrap_or(pack.issued());
    let mut playbook = json!({
        "type": "playbook",
        "spec_version": "cacao-2.0",
        "id": playbook_id(&pack.directive.title),
        "name": pack.directive.title,
        "description": format!("The actions of {} of {}.", pack.id(), pack.directive.issuer.name),
        "playbook_types": TYPES,
        "playbook_activities": ["scan-vulnerabilities", "analyze-collected-data", "eliminate-risk"],
        "playbook_processing_summary": { "manual_playbook": true, "extensions": true },
        "created_by": format!("identity--{}", Uuid::new_v5(&OURS, pack.directive.issuer.name.as_bytes())),
        "created": issued,
        "modified": last.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
        "valid_from": issued,
        "labels": [pack.id()],
        "workflow_start": start,
        "workflow": workflow,
        "agent_definitions": {
            agent(pack): {
                "type": "organization",
                "name": "The organisation that responds",
                "description": "Whoever the directive obliges.",
            }
        },
        "playbook_extensions": { extension.as_str(): { "directive": order } },
        "extension_definitions": {
            extension.as_str(): {
                "type": "extension-definition",
                "name": "directive",
                "description": "Due times, conditions and documents of an order, which a playbook cannot say.",
                "created_by": format!("identity--{}", Uuid::new_v5(&OURS, b"portcullis")),
                "schema": "`directive`: directive.toml of a pack without its actions. `directive_action`: one of them, \
                           both as JSON.",
                "version": "1.0.0",
            }
        },
    });
    if let (Some(closed), Some(fields)) = (&pack.directive.closed, playbook.as_object_mut()) {
        let at = closed.at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        fields.insert("valid_until".to_owned(), at.into());
    }
    Ok(serde_json::to_string_pretty(&playbook).map_err(|err| broken(&err))? + "\n")
}

/// Version 5 in the specification's namespace, over name and types in canonical JSON (section 10.10).
fn playbook_id(name: &str) -> String {
    let named: BTreeMap<&str, Value> =
        BTreeMap::from([("name", name.into()), ("playbook_types", TYPES.as_slice().into())]);
    // Keys in order, no white space: for texts that is the canonical form (RFC 8785).
    let canonical = serde_json::to_vec(&named).unwrap_or_default();
    format!("playbook--{}", Uuid::new_v5(&PLAYBOOKS, &canonical))
}

/// Steps have identifiers of version 4 (section 10.10). Ours are made from a digest in place of chance, so that the
/// same pack gives the same playbook.
fn step_id(kind: &str, pack: &Pack, what: &str) -> String {
    let digest = Sha256::digest([kind, pack.id(), what].join("\0"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    format!("{kind}--{}", Builder::from_random_bytes(bytes).into_uuid())
}

fn agent(pack: &Pack) -> String {
    step_id("organization", pack, "responds")
}

/// The actions of a pack as steps.
struct Steps<'a> {
    pack: &'a Pack,
    actions: &'a [Value],
}

impl Steps<'_> {
    /// One after the other: first those that others wait for, then in the order of the directive.
    fn workflow(&self) -> (String, Map<String, Value>) {
        let (start, end) = (step_id("start", self.pack, ""), step_id("end", self.pack, ""));
        let order = self.order();
        let ids: Vec<String> = order.iter().map(|&at| self.id(at)).chain([end.clone()]).collect();
        let mut workflow = Map::new();
        workflow.insert(start.clone(), json!({ "type": "start", "on_completion": ids[0] }));
        for (place, &at) in order.iter().enumerate() {
            workflow.insert(ids[place].clone(), self.step(at, &ids[place + 1]));
        }
        workflow.insert(end, json!({ "type": "end" }));
        (start, workflow)
    }

    fn id(&self, at: usize) -> String {
        step_id("action", self.pack, self.pack.directive.actions[at].id.get_ref())
    }

    /// A pack whose actions wait for each other in a circle is refused when it is read, so that this ends.
    fn order(&self) -> Vec<usize> {
        let actions = &self.pack.directive.actions;
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut order = Vec::new();
        while order.len() < actions.len() {
            let next = actions.iter().enumerate().find(|(at, action)| {
                !order.contains(at) && action.after.iter().all(|id| done.contains(id.get_ref().as_str()))
            });
            let Some((at, action)) = next else { break };
            done.insert(action.id.get_ref());
            order.push(at);
        }
        order
    }

    fn step(&self, at: usize, next: &str) -> Value {
        let action = &self.pack.directive.actions[at];
        let activity = match action.does {
            Does::Discover => "scan-vulnerabilities",
            Does::Check => "analyze-collected-data",
            _ => "eliminate-risk",
        };
        let words = if action.text.is_empty() { &action.title } else { &action.text };
        json!({
            "type": "action",
            "name": format!("{} {}", action.id.get_ref(), action.title),
            "description": words,
            "external_references": [{ "name": self.pack.directive.issuer.name, "description": action.clause }],
            "on_completion": next,
            "commands": [{ "type": "manual", "command": words, "playbook_activity": activity }],
            "agent": agent(self.pack),
            "step_extensions": { extension(): { "directive_action": self.actions[at] } },
        })
    }
}

/// A playbook, as far as we read it.
#[derive(Deserialize)]
struct Playbook {
    #[serde(rename = "type")]
    kind: String,
    spec_version: String,
    id: String,
    name: String,
    created: String,
    workflow_start: String,
    workflow: BTreeMap<String, Step>,
    #[serde(default)]
    playbook_extensions: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    commands: Vec<Value>,
    #[serde(default)]
    next_steps: Vec<String>,
    #[serde(default)]
    cases: BTreeMap<String, Value>,
    #[serde(default)]
    step_extensions: BTreeMap<String, Value>,
    on_completion: Option<String>,
    on_success: Option<String>,
    on_failure: Option<String>,
    on_true: Option<String>,
    on_false: Option<String>,
}

impl Step {
    /// Steps that may come after this one.
    fn next(&self) -> Vec<&str> {
        let cases = self.cases.values().flat_map(|case| match case {
            Value::String(id) => vec![id.as_str()],
            Value::Array(ids) => ids.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        });
        let branches = self.next_steps.iter().map(String::as_str).chain(cases);
        let ends = [&self.on_true, &self.on_false, &self.on_completion, &self.on_success, &self.on_failure];
        branches.chain(ends.into_iter().flatten().map(String::as_str)).collect()
    }
}

/// Reads a playbook. `id` and `zone` are those of the pack that is made, where the playbook tells none.
///
/// # Errors
///
/// See [`Error`].
pub fn import(bytes: &[u8], id: &str, zone: &str) -> Result<Order, Error> {
    if bytes.len() > LARGEST {
        return Err(Error::TooLarge);
    }
    let playbook: Playbook = serde_json::from_slice(bytes).map_err(|err| Error::Shape(err.to_string()))?;
    if playbook.kind != "playbook" {
        return Err(Error::Shape(format!("its type is {:?}", playbook.kind)));
    }
    if playbook.spec_version != "cacao-2.0" {
        return Err(Error::Version(playbook.spec_version));
    }
    let steps = playbook.steps()?;
    match playbook.playbook_extensions.get(&extension()) {
        Some(ours) => playbook.own(ours, &steps, id),
        None => playbook.foreign(&steps, id, zone),
    }
}

impl Playbook {
    /// Actions in the order in which a reader of the playbook meets them; each once, whatever goes round in circles.
    fn steps(&self) -> Result<Vec<&Step>, Error> {
        if self.workflow.len() > MOST {
            return Err(Error::TooMany);
        }
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut waiting = vec![self.workflow_start.as_str()];
        while let Some(id) = waiting.pop() {
            let Some(step) = self.workflow.get(id).filter(|_| seen.insert(id)) else { continue };
            if matches!(step.kind.as_str(), "action" | "playbook-action") {
                found.push(step);
            }
            // The first branch is read to its end before the next one.
            waiting.extend(step.next().into_iter().rev());
        }
        if found.is_empty() { Err(Error::Empty) } else { Ok(found) }
    }

    /// The directive's own words, from the extension.
    fn own(&self, ours: &Value, steps: &[&Step], id: &str) -> Result<Order, Error> {
        let lacking = |what: &str| Error::Extension(format!("it has no `{what}`"));
        let mut order =
            ours.get("directive").and_then(Value::as_object).cloned().ok_or_else(|| lacking("directive"))?;
        let extension = extension();
        let actions: Option<Vec<Value>> =
            steps.iter().map(|step| step.step_extensions.get(&extension)?.get("directive_action").cloned()).collect();
        order.insert("action".to_owned(), actions.ok_or_else(|| lacking("directive_action"))?.into());
        order.insert("id".to_owned(), id.into());
        let table = toml::Table::try_from(order).map_err(|err| Error::Extension(err.to_string()))?;
        let directive = toml::to_string_pretty(&table).map_err(|err| Error::Extension(err.to_string()))?;
        Ok(Order { playbook: self.id.clone(), directive, open: Vec::new() })
    }

    /// What a playbook of others tells: the order of steps, and their words.
    fn foreign(&self, steps: &[&Step], id: &str, zone: &str) -> Result<Order, Error> {
        let mut table = toml::Table::new();
        let mut set = |key: &str, value: toml::Value| table.insert(key.to_owned(), value);
        set("id", id.into());
        set("title", self.name.clone().into());
        set("zone", zone.into());
        let issuer =
            toml::Table::from_iter([("name".to_owned(), "nobody yet".into()), ("binding".to_owned(), false.into())]);
        set("issuer", issuer.into());
        let document =
            toml::Table::from_iter([("id".to_owned(), id.into()), ("issued".to_owned(), self.created.clone().into())]);
        set("document", vec![toml::Value::from(document)].into());
        let actions = steps.iter().enumerate().map(|(at, step)| toml::Value::from(foreign(at, step)));
        set("action", actions.collect::<Vec<_>>().into());
        let directive = toml::to_string_pretty(&table).map_err(|err| Error::Extension(err.to_string()))?;
        let open = [
            "directive.toml: who orders it, in which clauses, for which instances, by when: a playbook does not say",
            "directive.toml: which action counts instances, and which checks each of them (`does`)",
        ];
        Ok(Order { playbook: self.id.clone(), directive, open: open.map(str::to_owned).to_vec() })
    }
}

fn foreign(at: usize, step: &Step) -> toml::Table {
    let mut action = toml::Table::new();
    let title = if step.name.is_empty() { "A step without a name" } else { &step.name };
    let commands = step.commands.iter().filter_map(|command| command.get("command").and_then(Value::as_str));
    let mut words: Vec<&str> =
        Some(step.description.as_str()).into_iter().chain(commands).filter(|w| !w.is_empty()).collect();
    words.dedup();
    action.insert("id".to_owned(), (at + 1).to_string().into());
    action.insert("title".to_owned(), title.into());
    action.insert("text".to_owned(), words.join("\n").into());
    action.insert("clause".to_owned(), format!("playbook, step {}", at + 1).into());
    if at > 0 {
        action.insert("after".to_owned(), vec![toml::Value::from(at.to_string())].into());
    }
    action
}
