//! Event: what does one line of a log say?
//!
//! Serves ED 21-03 Appendix A (e): which accounts passed through, from where, since when. A field that the
//! log does not tell is absent and never guessed.

use std::net::{IpAddr, Ipv4Addr};

use directive::text::Text;
use jiff::Timestamp;
use serde::Deserialize;

/// Fields that hold what a client calls itself.
pub const USER_AGENTS: [&str; 5] = ["cs-user-agent", "cs(User-Agent)", "c-useragent", "user_agent", "agent"];

/// One event of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Which kind of log it is from, in the words of Sigma.
    pub source: Source,
    /// When it happened, as the log says; absent where it says nothing that can be read.
    pub at: Option<Timestamp>,
    /// How far `at` can be trusted.
    pub clock: Clock,
    /// Which line or record of its file it is, counted from 1.
    pub number: u64,
    /// The host that wrote it.
    pub host: Option<String>,
    /// The program that wrote it: `sshd`, `PulseSecure`.
    pub program: Option<String>,
    /// The vendor's code of the event: `AUT31504`, `USER_LOGIN`, an HTTP status never.
    pub code: Option<String>,
    /// Who did it.
    pub actor: Option<Actor>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What kind of thing happened.
    pub action: Action,
    /// What the log says in words.
    pub message: Text,
    /// Everything that the log tells, by the names that Sigma rules use (`cs-uri-stem`, `c-ip`, `exe`).
    pub fields: Vec<(String, String)>,
}

/// Where an event comes from, in the words of a Sigma rule's `logsource`.
///
/// One line can belong to several services: what sshd says is in `sshd`, in `auth` and in `syslog`.
///
/// Source: Sigma Specification 2.1, appendix "Taxonomy".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// `linux`, `windows`.
    pub product: Option<&'static str>,
    /// `webserver`, `process_creation`.
    pub category: Option<&'static str>,
    /// `auditd`, `sshd`.
    pub services: &'static [&'static str],
}

impl Event {
    /// An event of which nothing is known but its place.
    pub fn at(number: u64, source: Source) -> Self {
        Self { number, source, clock: Clock::None, ..Self::default() }
    }

    /// Adds a field; an empty value is no value.
    pub fn tell(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push((name.to_owned(), value));
        }
    }

    /// Sets the time, if there is one.
    pub(crate) fn when(&mut self, told: Option<(Timestamp, Clock)>) {
        if let Some((at, clock)) = told {
            (self.at, self.clock) = (Some(at), clock);
        }
    }

    /// Sets the account, unless the name is none.
    pub(crate) fn by(&mut self, user: &str, realm: Option<&str>) {
        if !matches!(user, "" | "-" | "(null)" | "?") {
            let realm = realm.filter(|realm| !realm.is_empty()).map(str::to_owned);
            self.actor = Some(Actor { user: user.to_owned(), realm, roles: Vec::new() });
        }
    }

    /// Sets the address, if `text` is one: `192.0.2.1`, `[2001:db8::1]`, `192.0.2.1:443`.
    pub(crate) fn from(&mut self, text: &str) {
        if let Some(address) = address(text) {
            self.address = Some(address);
        }
    }

    /// What the client calls itself: anybody can call himself anything.
    pub fn user_agent(&self) -> Option<&str> {
        USER_AGENTS.iter().find_map(|name| self.field(name))
    }

    /// The value of a field, the first if there are several.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads an address with or without brackets, port and zone.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[');
    let bare = bare.split([']', '%']).next().unwrap_or_default();
    // A server that listens for both versions writes addresses of IPv4 as such of IPv6.
    let whole = bare.parse().ok().map(|address: IpAddr| address.to_canonical());
    whole.or_else(|| bare.rsplit_once(':')?.0.parse::<Ipv4Addr>().ok().map(IpAddr::V4))
}

/// How far the time of an event can be trusted, beside the fact that whoever owns the host can set its clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// The log itself names a zone or counts seconds since 1970.
    #[default]
    Zoned,
    /// The log names no zone; the one that the operator or the pack states was taken, or else UTC.
    ZoneAssumed,
    /// The log names neither year nor zone (RFC 3164); the year was taken from its neighbours.
    YearAssumed,
    /// There is no time, or none that can be read.
    None,
}

impl Clock {
    /// The word as it is printed and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zoned => "zoned",
            Self::ZoneAssumed => "zone-assumed",
            Self::YearAssumed => "year-assumed",
            Self::None => "none",
        }
    }
}

/// Who acts in an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// The name of the account, as written.
    pub user: String,
    /// The realm, domain or authentication server.
    pub realm: Option<String>,
    /// Roles or groups that the log names.
    pub roles: Vec<String>,
}

/// What kind of thing happened. Which code or line means which kind is a table of data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Somebody was let in.
    Login,
    /// Somebody was not let in.
    LoginFailed,
    /// A session ended.
    Logout,
    /// A request was made, for a page or a file.
    Request,
    /// A program was started, a command given.
    Process,
    /// Accounts, groups or passwords were changed.
    AccountChanged,
    /// Settings were changed, imported or exported.
    ConfigurationChanged,
    /// A log was emptied, or its keeping turned off.
    LogCleared,
    /// The system or a service started.
    Start,
    /// The system or a service was stopped.
    Stop,
    /// A program failed.
    Crash,
    /// Software was installed, upgraded or rolled back.
    SoftwareChanged,
    /// The host's own check of its files began, ended or said something.
    IntegrityScan,
    /// Anything else.
    #[default]
    Other,
}

impl Action {
    /// The word as it is printed and stored, and as tables write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginFailed => "login-failed",
            Self::Logout => "logout",
            Self::Request => "request",
            Self::Process => "process",
            Self::AccountChanged => "account-changed",
            Self::ConfigurationChanged => "configuration-changed",
            Self::LogCleared => "log-cleared",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Crash => "crash",
            Self::SoftwareChanged => "software-changed",
            Self::IntegrityScan => "integrity-scan",
            Self::Other => "other",
        }
    }
}
