//! Logs: which logs does a pack read, and what in them tells?
//!
//! `hunt/logs.toml`, `hunt/accounts.toml` and the rows of `hunt/tamper.toml` that are about logs. Only tables are read
//! here; who reads the logs is the crate `check`.
//! Source: ED 21-03 Appendix A (e) for accounts; ATT&CK T1070.001, T1070.002 and T1562 for what intruders do to logs.

use serde::Deserialize;

use crate::pattern::Pattern;
use crate::record::Severity;

/// `hunt/logs.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Logs {
    /// Logs of the instance.
    #[serde(default, rename = "log")]
    pub places: Vec<LogPlace>,
}

/// Where a log lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogPlace {
    /// Names the log: `events`, `access`.
    pub id: String,
    /// Its files, rotated ones too, by shell pattern.
    pub path: String,
    /// IANA name of the zone in which it writes times that name none; absent: UTC.
    pub zone: Option<Zone>,
    /// Whether a verdict needs it. Where no file of a log is met, something may have happened that nobody saw: that is
    /// a gap, and a required one where the directive asks what the log tells.
    #[serde(default)]
    pub needed: bool,
}

/// A zone that exists.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(pub jiff::tz::TimeZone);

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let zone = jiff::tz::TimeZone::get(&name);
        zone.map(Self).map_err(|_| format!("{name:?} is no IANA zone; UTC or America/New_York are"))
    }
}

/// `hunt/accounts.toml`: what kind of account is which.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Accounts {
    /// Roles whose holders administer the instance.
    #[serde(default)]
    pub admin_roles: Vec<Pattern>,
    /// Realms in which administrators log in.
    #[serde(default)]
    pub admin_realms: Vec<Pattern>,
    /// Names of accounts that belong to programs.
    #[serde(default)]
    pub service_names: Vec<Pattern>,
    /// Realms and servers whose accounts are kept on the instance itself.
    #[serde(default)]
    pub local_realms: Vec<Pattern>,
    /// Names under which the instance itself writes: they are nobody.
    #[serde(default)]
    pub nobody: Vec<Pattern>,
}

impl Accounts {
    /// Adds the rows of another pack.
    pub fn extend(&mut self, more: &Self) {
        self.admin_roles.extend(more.admin_roles.iter().cloned());
        self.admin_realms.extend(more.admin_realms.iter().cloned());
        self.service_names.extend(more.service_names.iter().cloned());
        self.local_realms.extend(more.local_realms.iter().cloned());
        self.nobody.extend(more.nobody.iter().cloned());
    }
}

/// An event that tells: `[[event]]` of `hunt/tamper.toml`. All parts that are there must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TellingEvent {
    /// Names the row.
    pub id: String,
    /// Event codes, one of which it has.
    #[serde(default)]
    pub codes: Vec<String>,
    /// What its words look like.
    pub matches: Option<Pattern>,
    /// How much it weighs.
    pub severity: Severity,
    /// Why it tells.
    pub why: String,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
}

/// Events that should be in a log and are not: `[[expected]]` of `hunt/tamper.toml`. That is a gap about what was
/// therefore not seen, and a finding where a severity is given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expected {
    /// Names the row.
    pub id: String,
    /// The log, by its id in `hunt/logs.toml`.
    pub log: String,
    /// Event codes, one of which should be there.
    pub codes: Vec<String>,
    /// In how many events one should be among.
    pub among: u64,
    /// Absent: it is only a gap.
    pub severity: Option<Severity>,
    /// What was therefore not seen.
    pub why: String,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
}

/// A busy log that fell silent: `[[silence]]` of `hunt/tamper.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Silence {
    /// Names the row.
    pub id: String,
    /// The log, by its id in `hunt/logs.toml`.
    pub log: String,
    /// Hours without any event that tell, at least.
    pub hours: u32,
    /// How many times longer than the longest other silence it has to be: nights and weekends are silent too.
    pub times: u32,
    /// How much it weighs.
    pub severity: Severity,
    /// Why it tells.
    pub why: String,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
}

/// A folder that should hold something after certain events: `[[emptied]]` of `hunt/tamper.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Emptied {
    /// Names the row.
    pub id: String,
    /// The folder.
    pub folder: String,
    /// Event codes after which something lies there.
    pub codes: Vec<String>,
    /// How much it weighs.
    pub severity: Severity,
    /// Why it tells.
    pub why: String,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
}

/// A number in a log that must not fall: `[[count]]` of `hunt/tamper.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Count {
    /// Names the row.
    pub id: String,
    /// The words around it; the group `count` is the number.
    pub matches: Pattern,
    /// Event codes after which it may fall: an upgrade.
    #[serde(default)]
    pub reset_by: Vec<String>,
    /// How much it weighs.
    pub severity: Severity,
    /// Why it tells.
    pub why: String,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
}
