//! Traces: when did what happen, who passed through, and how far back do the logs speak?
//!
//! Serves ED 21-03 Appendix A (e): "all accounts passing through the appliance". Part of [`crate::record`].

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Severity;
use crate::text::Text;

/// One moment of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// When, as the source says. The record's own `at` is the time of the check.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// What kind of thing, in kebab-case: the action of an event, the code of a finding.
    pub what: String,
    /// What happened, in words; control characters are made visible.
    pub why: String,
    /// The log or file that says so, absent where nothing of the evidence does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Text>,
    /// The line or record of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// How far the time can be trusted: `zoned`, `zone-assumed`, `year-assumed` for logs; `mtime`, `ctime`, `birth` for
    /// files. Whoever owns the host can set its clock, and anybody an `mtime`.
    pub clock: String,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The vendor's code of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Present if a finding is behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// An account that must be reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// The name, as the logs write it.
    pub user: String,
    /// The realm, domain or authentication server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// What kind of account it is, as far as the pack can tell.
    pub kinds: Vec<AccountKind>,
    /// Roles that the logs name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Source addresses of its logins, in the order in which they came, the first hundred.
    pub addresses: Vec<String>,
    /// Countries in which a database of places says that they are, each once; none without a database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// Its first login from the first sign on.
    #[schemars(with = "Option<String>")]
    pub first: Option<Timestamp>,
    /// Its last login.
    #[schemars(with = "Option<String>")]
    pub last: Option<Timestamp>,
    /// Logins from the first sign on.
    pub logins: u64,
    /// Why it must be reset.
    pub why: String,
}

/// A kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// It administers the instance.
    Admin,
    /// It belongs to a program.
    Service,
    /// It is kept on the instance itself.
    Local,
    /// None of these, as far as the pack can tell.
    User,
}

impl AccountKind {
    /// The word as it is printed and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Service => "service",
            Self::Local => "local",
            Self::User => "user",
        }
    }
}

impl Account {
    /// `Users\alice`, or the bare name.
    pub fn name(&self) -> String {
        self.realm.as_ref().map_or_else(|| self.user.clone(), |realm| format!("{realm}\\{}", self.user))
    }
}

/// How far back one file of a log speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogReach {
    /// The log, by its id in the pack or in the table of common logs.
    pub log: String,
    /// The file.
    pub path: Text,
    /// The earliest time in it; absent if it is empty or was not understood.
    #[schemars(with = "Option<String>")]
    pub first: Option<Timestamp>,
    /// The latest time in it.
    #[schemars(with = "Option<String>")]
    pub last: Option<Timestamp>,
    /// Lines or records.
    pub lines: u64,
    /// Lines that were not understood, in whole or in part.
    pub strange: u64,
    /// How far its times can be trusted, at worst.
    pub clock: String,
}
