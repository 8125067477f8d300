//! Yara: which YARA rules match the bytes of a file?
//!
//! Serves ED 21-03 action 2: the families of 2021 are told apart by published rules. Rules come as bytes with
//! names, never as paths: `include` reaches only other files of the same set, since a rule must not be able
//! to read the analyst's disk. A rule that does not compile is reported with file, line and caret, and all
//! others still run. Rules that were compiled elsewhere are never loaded: whoever wrote those bytes could run
//! code here; what this user compiled here before is (`kept.rs`).
//! Source: YARA-X, "Differences from YARA"; externals as public rule sets expect them (Loki, THOR).
//! Speed: `bench/hunt.sh`. One scanner a thread, kept from file to file, as its authors advise.

mod include;
mod kept;

use std::collections::BTreeMap;
use std::time::Duration;

use directive::record::Severity;
use directive::text::Text;
use serde::{Deserialize, Serialize};
use yara_x::{Compiler, MetaValue, SourceCode};

pub use kept::Cache;

/// Variables that public rule sets expect, with what a scan of bytes without a name sets.
const EXTERNALS: [&str; 6] = ["filename", "filepath", "extension", "filetype", "owner", "md5"];

/// Bounds of compiling and scanning.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for one file: stops a rule whose loops grow with the file. Ten seconds are a hundred times what
    /// five thousand rules need for a megabyte.
    pub file_time: Duration,
    /// Matches that are kept of one pattern: stops a file made of one pattern.
    pub matches: usize,
    /// Rule errors that are shown. A set made for other modules has thousands.
    pub errors: usize,
    /// Files that a rule set may hold.
    pub files: usize,
    /// Bytes of rules in all. The largest public collection has 40 MB.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_time: Duration::from_secs(10), matches: 1_000, errors: 200, files: 20_000, bytes: 128 << 20 }
    }
}

/// Rules, compiled. Shared by all threads.
pub struct Rules {
    rules: yara_x::Rules,
    limits: Limits,
    /// How many rules there are.
    count: usize,
}

/// What is wrong with a rule or a file of rules. The others run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// What is wrong, with line and caret, without colour.
    pub report: String,
}

impl Rules {
    /// Compiles rules from files by name. Each file has a namespace of its own, so that two files may use the
    /// same name, unless one includes the other.
    ///
    /// Time grows with the rules: about one second of one core for 1,500.
    pub fn compile(files: &BTreeMap<String, Vec<u8>>, limits: Limits) -> (Self, Vec<RuleError>) {
        Self::compile_with(files, limits, None)
    }

    /// The same, unless the very rules were compiled before and are kept.
    pub fn compile_with(
        files: &BTreeMap<String, Vec<u8>>,
        limits: Limits,
        cache: Option<&dyn Cache>,
    ) -> (Self, Vec<RuleError>) {
        let name = kept::name(files, &limits);
        let known = cache.and_then(|cache| cache.get(&name)).and_then(|bytes| kept::read(&bytes));
        let (rules, errors) = known.unwrap_or_else(|| {
            let (rules, errors) = Self::compile_fresh(files, limits);
            cache.into_iter().for_each(|cache| kept::write(cache, &name, &rules, &errors));
            (rules, errors)
        });
        let count = rules.iter().len();
        (Self { rules, limits, count }, errors)
    }

    fn compile_fresh(files: &BTreeMap<String, Vec<u8>>, limits: Limits) -> (yara_x::Rules, Vec<RuleError>) {
        let mut compiler = Compiler::new();
        // Rule sets of fifteen years have expressions that newer syntax is stricter about.
        compiler.relaxed_re_syntax(true).enable_includes(false).max_warnings(0).colorize_errors(false);
        for name in EXTERNALS {
            // Names are fixed and valid, and the first of each.
            let _ = compiler.define_global(name, "");
        }
        let (groups, mut errors) = include::arrange(files, &limits);
        for group in &groups {
            compiler.new_namespace(&group.name);
            for (name, text) in &group.files {
                let seen = compiler.errors().len();
                let added = compiler.add_source(SourceCode::from(text.as_slice()).with_origin(name.clone())).is_ok();
                let new = &compiler.errors()[if added { compiler.errors().len() } else { seen }..];
                errors.extend(new.iter().map(|error| RuleError { file: name.clone(), report: error.to_string() }));
            }
        }
        let all = errors.len();
        errors.truncate(limits.errors);
        if all > errors.len() {
            let report = format!("{} more rules do not compile", all - errors.len());
            errors.push(RuleError { file: String::new(), report });
        }
        (compiler.build(), errors)
    }

    /// How many rules run.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no rule runs.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What one thread scans with, file after file.
    pub fn scanner(&self) -> Scanner<'_> {
        let mut inner = yara_x::Scanner::new(&self.rules);
        inner.set_timeout(self.limits.file_time).max_matches_per_pattern(self.limits.matches).use_mmap(false);
        Scanner { inner, file_time: self.limits.file_time }
    }
}

/// What rules may ask about a file beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Absolute from the evidence root.
    pub path: Vec<u8>,
    /// Who owns it, as the evidence says: a name or a number.
    pub owner: String,
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The file of the rule and its name: `webshell.yar:pulse_check`.
    pub rule: String,
    /// What the rule says of itself.
    pub description: Option<String>,
    /// How much it weighs: what the rule itself says with `severity = ".."`; otherwise by the `score` of public sets
    /// (Loki alerts from 75 and warns from 60); otherwise `high`, since most sets have neither.
    pub severity: Severity,
    /// ATT&CK techniques that the rule names.
    pub attack: Vec<String>,
    /// Where the first of its patterns that matched lies.
    pub offset: Option<u64>,
    /// What is there, at most 64 bytes.
    pub excerpt: Option<Text>,
}

/// Why a file was not scanned to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unscanned {
    /// The rules took longer than the limit.
    #[error("the rules took longer than {} seconds over it", .0.as_secs())]
    Timeout(Duration),
    /// The engine refused.
    #[error("the engine of the rules could not go through it")]
    Engine,
}

/// Scans bytes, one file after the other.
pub struct Scanner<'r> {
    inner: yara_x::Scanner<'r>,
    file_time: Duration,
}

impl Scanner<'_> {
    /// The rules that match, in the order of the set.
    ///
    /// # Errors
    ///
    /// [`Unscanned`] if it did not come to an end; the next file is scanned all the same.
    pub fn scan(&mut self, bytes: &[u8], about: &About) -> Result<Vec<Match>, Unscanned> {
        self.set_externals(bytes, about);
        match self.inner.scan(bytes) {
            Ok(results) => Ok(results.matching_rules().map(|rule| matched(&rule)).collect()),
            Err(yara_x::errors::ScanError::Timeout) => Err(Unscanned::Timeout(self.file_time)),
            Err(_) => Err(Unscanned::Engine),
        }
    }

    fn set_externals(&mut self, bytes: &[u8], about: &About) {
        let path = String::from_utf8_lossy(&about.path);
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
        let values = [
            ("filename", name),
            ("filepath", &path),
            ("extension", extension),
            ("filetype", file_type(bytes)),
            ("owner", &about.owner),
        ];
        for (external, value) in values {
            // Every external was defined when the rules were compiled.
            let _ = self.inner.set_global(external, value);
        }
    }
}

/// What public rule sets call a file by its first bytes.
fn file_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'M', b'Z', ..] => "EXE",
        [0x7f, b'E', b'L', b'F', ..] => "ELF",
        [b'P', b'K', 3, 4, ..] => "ZIP",
        [0x1f, 0x8b, ..] => "GZIP",
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [0xff, 0xd8, 0xff, ..] => "JPG",
        [0x89, b'P', b'N', b'G', ..] => "PNG",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        [b'#', b'!', ..] => "SCRIPT",
        _ => "UNKNOWN",
    }
}

fn matched(rule: &yara_x::Rule<'_, '_>) -> Match {
    let text = |wanted: &str| {
        rule.metadata().find_map(|(name, value)| match value {
            MetaValue::String(text) if name.eq_ignore_ascii_case(wanted) => Some(text.to_owned()),
            _ => None,
        })
    };
    let score = rule.metadata().find_map(|(name, value)| match value {
        MetaValue::Integer(score) if name == "score" => Some(score),
        _ => None,
    });
    let named = text("attack").unwrap_or_default();
    let tags = rule.tags().map(|tag| tag.identifier().replace('_', ".")).collect::<Vec<_>>();
    let attack = named.split([',', ' ']).map(str::to_owned).chain(tags).filter(|id| is_technique(id)).collect();
    let first = rule.patterns().flat_map(|pattern| pattern.matches().next()).min_by_key(|found| found.range().start);
    Match {
        rule: format!("{}:{}", rule.namespace(), rule.identifier()),
        description: text("description"),
        severity: severity(text("severity").as_deref(), score),
        attack,
        offset: first.as_ref().map(|found| found.range().start as u64),
        excerpt: first.map(|found| Text::excerpt(found.data(), 64)),
    }
}

/// `T1505` or `T1505.003`.
pub(crate) fn is_technique(id: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    id.strip_prefix('T').is_some_and(|rest| match rest.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(rest, 4),
    })
}

/// See [`Match::severity`].
fn severity(said: Option<&str>, score: Option<i64>) -> Severity {
    match (said.map(str::to_ascii_lowercase).as_deref(), score) {
        (Some("critical"), _) => Severity::Critical,
        (Some("high"), _) => Severity::High,
        (Some("medium"), _) => Severity::Medium,
        (Some("low"), _) => Severity::Low,
        (Some("info" | "informational"), _) => Severity::Info,
        (_, Some(75..)) => Severity::High,
        (_, Some(60..)) => Severity::Medium,
        (_, Some(40..)) => Severity::Low,
        (_, Some(_)) => Severity::Info,
        _ => Severity::High,
    }
}

#[cfg(test)]
mod tests;
