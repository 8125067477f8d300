//! Hunt: is something here that is known to be bad, or that intruders do?
//!
//! Serves ED 21-03 action 2.b and Appendix A: a mismatch says that something changed, this says what it is.
//! Rules and indicators run over every file that no manifest from outside vouches for, in the same passage that
//! hashes it. Known bad beats known good: digests and paths are held against vouched files too. Logs are read in the
//! same passage: they tell since when, and who passed through.
//! Never takes its own rules for an intruder: a file that holds exactly the rules of this run is passed over, and
//! said to be.

mod apart;
pub(crate) mod files;
pub mod geo;
mod later;
pub(crate) mod logs;
pub(crate) mod people;
mod tamper;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::logs::Meaning;
use directive::hunting::{Accounts, Hunting, Settings, Tamper};
use directive::judge;
use directive::record::Gap;
use directive::scope::Scanner;
use geo::Geo;
use hunt::indicator::{self, Indicators};
use hunt::literals::{Literals, Words};
use hunt::sigma;
pub use hunt::yara::Cache;
use hunt::yara::{self, Rules};
use sha2::{Digest as _, Sha256};

/// Bounds of hunting.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a file that are held in memory at once, for each thread. Longer files are hunted in pieces.
    pub content: u64,
    /// Bytes by which pieces of a long file overlap. What is longer and lies across a border is missed; that the
    /// file was hunted in pieces is a gap.
    pub overlap: usize,
    /// Names of files that are kept to be hunted in when all others were met: files longer than `content`, and files
    /// with several names. A name costs its author nothing once the file is there; what is beyond is a gap.
    pub later: usize,
    /// Bounds of the rules.
    pub yara: yara::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { content: 24 << 20, overlap: 64 << 10, later: 100_000, yara: yara::Limits::default() }
    }
}

/// Rules, indicators and tables, ready to run. Made once for all instances of a run.
pub struct Hunt {
    pub(crate) settings: Settings,
    pub(crate) tamper: Tamper,
    pub(crate) rules: Rules,
    pub(crate) sigma: sigma::Rules,
    /// What a line of an access log must hold to be looked at; `None` if every line must be.
    pub(crate) access: Option<Literals>,
    pub(crate) indicators: Indicators,
    /// Digests of the files that hold the rules themselves.
    pub(crate) own: HashSet<[u8; 32]>,
    pub(crate) limits: Limits,
    pub(crate) places: logs::Places,
    pub(crate) accounts: Accounts,
    pub(crate) verdict: judge::Rules,
    /// Who may look: what they try is no finding.
    pub(crate) scanners: Vec<Scanner>,
    /// Where addresses are.
    pub(crate) geo: Option<Arc<Geo>>,
    /// Event codes that a table asks for.
    pub(crate) wanted_codes: HashSet<String>,
    unusable: Vec<Gap>,
}

/// What the operator knows beside rules.
#[derive(Default)]
pub struct Context {
    /// Who may look at the instances: what they try is no finding.
    pub scanners: Vec<Scanner>,
    /// Where addresses are. With it logs are read, whatever else there is to hunt with.
    pub geo: Option<Arc<Geo>>,
    /// Where compiled rules are kept from run to run.
    pub cache: Option<Arc<dyn Cache + Send>>,
}

/// Where rules and indicators come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The directive's pack: the verdict needs them.
    Pack,
    /// The operator's own, beside it.
    Operator,
}

impl Hunt {
    /// Compiles what packs and the operator bring; `None` if that is nothing. What cannot be used is a gap, and
    /// the rest is used.
    pub fn prepare<'a>(sets: impl IntoIterator<Item = (&'a Hunting, Origin)>, limits: Limits) -> Option<Self> {
        Self::within(Context::default(), sets, limits)
    }

    /// The same, with what the operator knows beside rules.
    pub fn within<'a>(
        context: Context,
        sets: impl IntoIterator<Item = (&'a Hunting, Origin)>,
        limits: Limits,
    ) -> Option<Self> {
        let (mut rules, mut lists, mut events) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut needed = HashSet::new();
        let mut own = HashSet::new();
        let (mut settings, mut tamper) = (Settings::default(), Tamper::default());
        let (mut places, mut accounts) = (logs::Places::default(), common_accounts());
        let (mut verdict, mut meanings) = (judge::Rules::default(), Vec::new());
        let mut is_empty = context.geo.is_none();
        for (set, origin) in sets {
            is_empty &= set.is_empty();
            let files = set.yara.values().chain(set.sigma.values()).chain(set.indicators.values());
            let digests = files.map(Sha256::digest);
            own.extend(digests.map(<[u8; 32]>::from));
            let sets = [(&mut rules, &set.yara), (&mut lists, &set.indicators), (&mut events, &set.sigma)];
            for (into, from) in sets {
                for (name, bytes) in from {
                    let name = add(into, name, bytes);
                    if origin == Origin::Pack {
                        needed.insert(name);
                    }
                }
            }
            settings.everything |= set.settings.everything;
            settings.no_vouch.extend(set.settings.no_vouch.iter().cloned());
            tamper.extend(&set.tamper);
            places.add(&set.logs, origin);
            accounts.extend(&set.accounts);
            verdict.extend(&set.verdict);
            meanings.extend(&set.meaning);
        }
        if is_empty {
            return None;
        }
        places.add_common();
        let cache = context.cache.as_deref().map(|cache| cache as &dyn Cache);
        let (rules, broken) = Rules::compile_with(&rules, limits.yara, cache);
        let (indicators, problems) = Indicators::read(&lists, indicator::Limits::default());
        let (sigma, unread) = sigma::Rules::compile(&events, sigma::Limits::default());
        let broken = broken.into_iter().map(|error| (error.file, error.report));
        let broken = broken.chain(unread.into_iter().map(|broken| (broken.file, broken.report)));
        let problems = problems.into_iter().map(|problem| (problem.file.clone(), problem.to_string()));
        let gap = |(file, why): (String, String)| Gap {
            code: "rule-unusable".into(),
            path: None,
            // What is only counted may be the pack's.
            required: needed.contains(&file) || (file.is_empty() && !needed.is_empty()),
            place: Some(file).filter(|file| !file.is_empty()),
            why,
        };
        let mut unusable: Vec<Gap> = broken.chain(problems).map(gap).collect();
        places.meaning = meaning(&meanings, &mut unusable);
        let wanted_codes = tamper.wanted_codes();
        // Lines of a web server tell nothing else; no table asks for their codes, since they have none.
        let is_literal = tamper.events.iter().all(|row| !row.codes.is_empty());
        let words = is_literal.then(|| access_words(&sigma, &indicators)).flatten();
        let access = words.and_then(Literals::new);
        Some(Self {
            settings,
            tamper,
            rules,
            sigma,
            access,
            indicators,
            own,
            limits,
            places,
            accounts,
            verdict,
            scanners: context.scanners,
            geo: context.geo,
            wanted_codes,
            unusable,
        })
    }

    /// How many YARA rules, Sigma rules and indicators there are.
    pub fn counts(&self) -> [usize; 3] {
        [self.rules.len(), self.sigma.len(), self.indicators.len()]
    }

    /// Rules and indicators that cannot be used, with line and caret where they have a place.
    pub fn unusable(&self) -> &[Gap] {
        &self.unusable
    }
}

/// What a line of an access log must hold before a rule can match it or an indicator be seen in it.
fn access_words(sigma: &sigma::Rules, indicators: &Indicators) -> Words {
    let mut words = sigma.words_for(::logs::Format::Access)?;
    words.extend(indicators.words()?);
    Some(words)
}

/// The table of meanings with the rows of packs in front. A table that cannot be read is a gap, and the others count.
fn meaning(texts: &[&String], unusable: &mut Vec<Gap>) -> Arc<Meaning> {
    let mut meaning = Meaning::built_in();
    for text in texts {
        match Meaning::clone(&meaning).with("hunt/meaning.toml", text) {
            Ok(more) => meaning = Arc::new(more),
            Err(problems) => unusable.push(Gap {
                code: "rule-unusable".into(),
                path: None,
                place: Some("hunt/meaning.toml".into()),
                why: problems.to_string(),
                required: true,
            }),
        }
    }
    meaning
}

/// What kind of account is which on every host. A test reads the table that comes with the product.
fn common_accounts() -> Accounts {
    toml::from_str(include_str!("../data/accounts.toml")).unwrap_or_default()
}

/// What a mutex holds, also where another thread panicked: what it had told stands.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a file under its name, or under another if two sets have different files of one name: neither may take
/// the place of the other.
fn add(files: &mut BTreeMap<String, Vec<u8>>, name: &str, bytes: &[u8]) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    while files.get(&free).is_some_and(|other| other != bytes) {
        number += 1;
        free = format!("{name} ({number})");
    }
    files.insert(free.clone(), bytes.to_vec());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_common_accounts_has_no_mistakes() {
        let accounts: Accounts = toml::from_str(include_str!("../data/accounts.toml")).unwrap();
        assert!(!accounts.admin_roles.is_empty());
    }
}
