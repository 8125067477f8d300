//! Hunting: what does a pack look for beyond manifests?
//!
//! `hunt/` of a pack: rules and indicators of others as they are published (`yara/`, `sigma/`, `indicators/`), how
//! far hunting goes (`hunt.toml`), what tampering looks like (`tamper.toml`), which logs there are (`logs.toml`,
//! `accounts.toml`, `meaning.toml`) and what it all adds up to (`verdict.toml`). Only tables are read here; rules are
//! compiled by whoever runs them.
//! Source: ED 21-03 action 2.b and Appendix A; design section 3.

mod logs;

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::judge;
use crate::pattern::Pattern;
use crate::record::Severity;
pub use logs::{Accounts, Count, Emptied, Expected, LogPlace, Logs, Silence, TellingEvent, Zone};

/// What a pack looks for.
#[derive(Debug, Clone, Default)]
pub struct Hunting {
    /// `hunt/hunt.toml`.
    pub settings: Settings,
    /// `hunt/tamper.toml`.
    pub tamper: Tamper,
    /// `hunt/yara/`: rules by file.
    pub yara: BTreeMap<String, Vec<u8>>,
    /// `hunt/sigma/`: rules by file.
    pub sigma: BTreeMap<String, Vec<u8>>,
    /// `hunt/indicators/`: bundles and lists by file.
    pub indicators: BTreeMap<String, Vec<u8>>,
    /// `hunt/logs.toml`.
    pub logs: Logs,
    /// `hunt/accounts.toml`.
    pub accounts: Accounts,
    /// `hunt/meaning.toml`, as written: its rows are read by whoever reads logs.
    pub meaning: Option<String>,
    /// `hunt/verdict.toml`.
    pub verdict: judge::Rules,
}

impl Hunting {
    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        let has_rules = !self.yara.is_empty() || !self.sigma.is_empty();
        let has_tables = !self.indicators.is_empty() || !self.tamper.is_empty();
        !has_rules && !has_tables && self.logs.places.is_empty()
    }
}

/// How far hunting goes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Hunt in vouched files too.
    #[serde(default)]
    pub everything: bool,
    /// Files to hunt in although a manifest vouches for them, by shell pattern: what the vendor itself shipped
    /// poisoned.
    #[serde(default)]
    pub no_vouch: Vec<String>,
}

/// What tampering looks like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tamper {
    /// Files whose content tells.
    #[serde(default, rename = "file")]
    pub files: Vec<TellingFile>,
    /// Files that do not belong where they are.
    #[serde(default, rename = "misplaced")]
    pub misplaced: Vec<Misplaced>,
    /// Folders in which times that contradict each other tell; absent: nowhere.
    #[serde(default)]
    pub times_below: Vec<String>,
    /// Events that tell.
    #[serde(default, rename = "event")]
    pub events: Vec<TellingEvent>,
    /// Events that should be there.
    #[serde(default, rename = "expected")]
    pub expected: Vec<Expected>,
    /// Busy logs that fell silent.
    #[serde(default, rename = "silence")]
    pub silences: Vec<Silence>,
    /// Folders that should not be empty.
    #[serde(default, rename = "emptied")]
    pub emptied: Vec<Emptied>,
    /// Numbers that must not fall.
    #[serde(default, rename = "count")]
    pub counts: Vec<Count>,
}

impl Tamper {
    fn is_empty(&self) -> bool {
        let of_files = self.files.is_empty() && self.misplaced.is_empty() && self.times_below.is_empty();
        let of_logs = self.events.is_empty() && self.expected.is_empty() && self.silences.is_empty();
        of_files && of_logs && self.emptied.is_empty() && self.counts.is_empty()
    }

    /// Event codes of which some row asks whether they were there.
    pub fn wanted_codes(&self) -> HashSet<String> {
        let expected = self.expected.iter().flat_map(|row| &row.codes);
        expected.chain(self.emptied.iter().flat_map(|row| &row.codes)).cloned().collect()
    }

    /// Adds the rows of another pack.
    pub fn extend(&mut self, more: &Self) {
        self.files.extend(more.files.iter().cloned());
        self.misplaced.extend(more.misplaced.iter().cloned());
        self.times_below.extend(more.times_below.iter().cloned());
        self.events.extend(more.events.iter().cloned());
        self.expected.extend(more.expected.iter().cloned());
        self.silences.extend(more.silences.iter().cloned());
        self.emptied.extend(more.emptied.iter().cloned());
        self.counts.extend(more.counts.iter().cloned());
    }
}

/// What a file is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A packed archive.
    Archive,
    /// A program or library for a processor.
    Program,
    /// Begins with `#!`.
    Script,
}

/// A small file whose lines tell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TellingFile {
    /// Names the row.
    pub id: String,
    /// The file.
    pub path: String,
    /// Lines that belong there. With it, every other line is a finding.
    pub allowed: Option<Vec<String>>,
    /// What no line may say.
    pub forbidden: Option<Pattern>,
    /// How much it weighs.
    pub severity: Severity,
    /// Why it tells.
    pub why: String,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
}

/// What a file may not be, below a folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Misplaced {
    /// Names the row.
    pub id: String,
    /// The folder.
    pub below: String,
    /// What the file is by its first bytes. Absent: anything.
    pub nature: Option<Kind>,
    /// Shell pattern of its path.
    pub path: Option<String>,
    /// Files that belong there, by shell pattern of their path.
    #[serde(default)]
    pub but: Vec<String>,
    /// How much it weighs.
    pub severity: Severity,
    /// Why it tells.
    pub why: String,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
}
