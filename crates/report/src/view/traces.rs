//! Traces: since when, who passed through, and how far back do the logs speak, as a reader sees it?

use directive::record::{Account, Moment, Severity};
use directive::text::escape;
use jiff::Timestamp;

use crate::chart::{self, Chart};
use crate::model::{InstanceReport, Report};
use crate::{traces, words};

/// Accounts that the page writes out; the CSV form has all.
const ACCOUNTS: usize = 100;

/// Moments that the page writes out, those that weigh most.
const MOMENTS: usize = 40;

/// Since when something is wrong, and who passed through.
pub struct TracesView {
    /// Since when something is wrong, in one sentence; empty if nothing is known to be.
    pub since: String,
    /// A picture of time, where there is anything to draw.
    pub chart: Option<Chart>,
    /// Moments that weigh most, in order.
    pub moments: Vec<MomentView>,
    /// How many more weigh.
    pub more_moments: usize,
    /// Accounts to reset.
    pub accounts: Vec<AccountView>,
    /// How many more there are.
    pub more_accounts: usize,
    /// How far back each kind of log speaks.
    pub reach: Vec<String>,
}

/// A moment of the timeline.
pub struct MomentView {
    /// When, in UTC.
    pub time: String,
    /// What kind of thing happened.
    pub what: String,
    /// How much it weighs.
    pub class: &'static str,
    /// The file, and the line where it is a log.
    pub place: String,
    /// What happened.
    pub why: String,
    /// How far its clock can be trusted.
    pub clock: String,
}

/// An account to reset.
pub struct AccountView {
    /// Its name, with its realm.
    pub name: String,
    /// What kind of account it is.
    pub kinds: String,
    /// How often it logged in, and when.
    pub logins: String,
    /// From where.
    pub addresses: String,
    /// Why it must be reset.
    pub why: String,
}

pub(super) fn view(report: &Report, of: &InstanceReport) -> TracesView {
    let mut weighty: Vec<&Moment> = of.timeline.iter().filter(|one| one.severity >= Some(Severity::Medium)).collect();
    let more_moments = weighty.len().saturating_sub(MOMENTS);
    weighty.truncate(MOMENTS);
    TracesView {
        since: words::since(of.conclusion.as_ref(), of.checked_at, &report.zone).unwrap_or_default(),
        chart: chart::draw(of),
        moments: weighty.into_iter().map(moment).collect(),
        more_moments,
        accounts: of.accounts.iter().take(ACCOUNTS).map(account).collect(),
        more_accounts: of.accounts.len().saturating_sub(ACCOUNTS),
        reach: of.coverage.as_ref().map(words::reach).unwrap_or_default(),
    }
}

fn moment(moment: &Moment) -> MomentView {
    let line = moment.line.map(|line| format!(", line {line}")).unwrap_or_default();
    MomentView {
        time: utc(moment.time),
        what: moment.what.clone(),
        class: moment.severity.map(words::severity).unwrap_or_default(),
        place: moment.path.as_ref().map(|path| path.escaped() + &line).unwrap_or_default(),
        why: escape(&moment.why),
        clock: words::clock(&moment.clock),
    }
}

fn account(account: &Account) -> AccountView {
    let times = [account.first, account.last].map(|at| at.map(utc).unwrap_or_default());
    let logins = match (account.logins, &times) {
        (0, _) => "no login seen".to_owned(),
        (1, [first, _]) => format!("1 login, {first}"),
        (count, [first, last]) => format!("{count} logins, {first} to {last}"),
    };
    AccountView {
        name: escape(account.name()),
        kinds: traces::kinds(account),
        logins,
        addresses: escape(account.addresses.join(", ")),
        why: escape(&account.why),
    }
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
