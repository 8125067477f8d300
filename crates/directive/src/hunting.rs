//! Hunting: what does a pack look for beyond manifests?
//!
//! `hunt/` of a pack: rules and indicators as they are published (`yara/`, `sigma/`, `indicators/`), how far hunting
//! goes (`hunt.toml`) and what tampering looks like (`tamper.toml`). Only tables are read here; rules are compiled by
//! whoever runs them.
//! Source: ED 21-03 action 2.b and Appendix A; design section 3.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::pattern::Pattern;
use crate::record::Severity;

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
}

impl Hunting {
    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.yara.is_empty() && self.sigma.is_empty() && self.indicators.is_empty() && self.tamper.is_empty()
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
}

impl Tamper {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.misplaced.is_empty() && self.times_below.is_empty()
    }

    /// Adds the rows of another pack.
    pub fn extend(&mut self, more: &Self) {
        self.files.extend(more.files.iter().cloned());
        self.misplaced.extend(more.misplaced.iter().cloned());
        self.times_below.extend(more.times_below.iter().cloned());
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
