//! Gate: what must be shown before an action counts as done, beside somebody's word?
//!
//! Whatever returns an instance into service is done in an order, and each step leaves something that can be looked at:
//! the saved configuration, a proved update, each password of the reset list, each changed line explained, a check that
//! saw enough. A directive says which (`proof` of an action); this module says what is missing. Pure. Source: ED 21-03,
//! Appendix A and required action 2.b.iv.

use serde::Deserialize;

use crate::action::{Action, Each};
use crate::configuration::Compared;
use crate::pack::Pack;
use crate::state::{Known, Log, State};
use crate::text::escape;
use crate::verdict::Verdict;

/// What must be shown. With any of them, what comes before the action must be done too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// What comes before it is done.
    Order,
    /// Files that go into the case: the saved configuration.
    Files,
    /// The update is proved.
    Update,
    /// Every account of the reset list was reset, by the word of a named person.
    Accounts,
    /// Every line that differs from the saved configuration is explained.
    Configuration,
    /// The latest check came after all that is before, and found nothing with eyes open.
    Checked,
}

/// What a person shows.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Digests of files that he gives into the case.
    pub files: Vec<String>,
    /// Whether the update is proved, and otherwise what is missing; nothing if he did not ask.
    pub update: Option<Result<(), String>>,
    /// Comparisons with saved configurations, with the digest of each saved one.
    pub compared: Vec<(String, Compared)>,
}

/// How the mark of an account that was reset begins; its name follows.
pub const RESET: &str = "reset:";

/// What is missing before the action counts as done for this instance; empty: nothing.
pub fn missing(pack: &Pack, state: &State, action: &Action, instance: Option<&str>, shown: &Shown) -> Vec<String> {
    let gate = Gate { pack, state, action, known: instance.and_then(|name| state.instances.get(name)) };
    let mut missing = Vec::new();
    if !action.proof.is_empty() {
        missing.extend(gate.order());
    }
    for proof in &action.proof {
        missing.extend(match proof {
            Proof::Order => Vec::new(),
            Proof::Files if shown.files.is_empty() => vec!["no file was given: --file PATH".to_owned()],
            Proof::Files => Vec::new(),
            Proof::Update => update(shown).into_iter().collect(),
            Proof::Accounts => gate.known.map(accounts).unwrap_or_default(),
            Proof::Configuration => gate.configuration(shown),
            Proof::Checked => gate.checked().into_iter().collect(),
        });
    }
    missing
}

/// Accounts of the reset list that nobody has marked as reset.
pub fn accounts(known: &Known) -> Vec<String> {
    if known.resets.is_empty() {
        let why = "the case holds no reset list: check evidence with its logs, which name the accounts";
        return vec![why.to_owned()];
    }
    // A mark of before the account was listed is of another reset.
    let is_reset =
        |name: &str, listed| known.log.marks.get(&format!("{RESET}{name}")).is_some_and(|(at, _, _)| *at >= listed);
    let open = known.resets.iter().filter(|(name, listed)| !is_reset(name, **listed));
    open.map(|(name, _)| format!("the account {} is not reset", escape(name))).collect()
}

fn update(shown: &Shown) -> Option<String> {
    match &shown.update {
        None => Some("the update is not proved: --version V".to_owned()),
        Some(Err(why)) => Some(format!("the update is not proved: {why}")),
        Some(Ok(())) => None,
    }
}

struct Gate<'a> {
    pack: &'a Pack,
    state: &'a State,
    action: &'a Action,
    known: Option<&'a Known>,
}

impl<'a> Gate<'a> {
    fn log(&self, action: &Action) -> Option<&'a Log> {
        match action.each {
            Each::Organisation => Some(&self.state.log),
            Each::Instance => self.known.map(|known| &known.log),
        }
    }

    fn name(&self, action: &Action) -> String {
        format!("{}/{}", self.pack.id(), action.id.get_ref())
    }

    fn before(&self) -> impl Iterator<Item = &'a Action> {
        let pack = self.pack;
        self.action.after.iter().filter_map(move |id| pack.action(id.get_ref()))
    }

    /// What comes before it and is not done. A person may have decided against a step, and the case says so.
    fn order(&self) -> Vec<String> {
        let is_open = |action: &&Action| {
            let name = self.name(action);
            self.log(action).is_none_or(|log| log.done(&name).is_empty() && log.skipped(&name).is_none())
        };
        let open = self.before().filter(is_open);
        open.map(|action| format!("{} comes before it and is not done: {}", action.id.get_ref(), action.title))
            .collect()
    }

    /// Every saved configuration is compared, and every change explained.
    fn configuration(&self, shown: &Shown) -> Vec<String> {
        let saving = self.pack.directive.actions.iter().filter(|action| action.proof.contains(&Proof::Files));
        let saved: Vec<String> = saving
            .filter_map(|action| {
                let name = self.name(action);
                let steps = self.log(action)?.steps.iter().filter(|(_, _, step)| step.action == name);
                steps.map(|(_, _, step)| step.inputs.clone()).next_back()
            })
            .flatten()
            .collect();
        let mut missing = Vec::new();
        if saved.is_empty() {
            missing.push("no configuration was saved that this one could be compared with".to_owned());
        }
        let compared = |digest: &String| shown.compared.iter().any(|(saved, _)| saved == digest);
        for digest in saved.iter().filter(|digest| !compared(digest)) {
            missing.push(format!(
                "the saved configuration {} is compared with none: --compare SAVED NOW",
                &digest[..12.min(digest.len())]
            ));
        }
        for (digest, _) in shown.compared.iter().filter(|(digest, _)| !saved.contains(digest)) {
            missing.push(format!("{} is not a configuration that was saved", &digest[..12.min(digest.len())]));
        }
        for (_, compared) in &shown.compared {
            missing.extend(compared.unexplained.iter().map(|line| format!("nobody explains {line}")));
            missing
                .extend(compared.unused.iter().map(|line| format!("an explanation fits no change: {}", escape(line))));
        }
        missing
    }

    fn checked(&self) -> Option<String> {
        let done = self.before().flat_map(|action| {
            let name = self.name(action);
            self.log(action).map(|log| log.done(&name)).unwrap_or_default()
        });
        let since = done.max();
        let latest = self.known.and_then(|known| known.checks.last());
        match latest {
            None => Some("it was never checked".to_owned()),
            // Times of a case are whole seconds: what is of the same one may be older.
            Some(check) if since.is_some_and(|since| check.at <= since) => {
                Some(format!("its latest check, of {:.0}, is older than what was done since", check.at))
            }
            Some(check) if check.conclusion.verdict != Verdict::NoEvidenceFound => {
                Some(format!("the latest check concludes {}", check.conclusion.verdict))
            }
            Some(_) => None,
        }
    }
}
