//! Traces: since when, who passed through, and how far back do the logs speak, on the page?

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

pub(super) struct View {
    /// Since when something is wrong, in one sentence; empty if nothing is known to be.
    pub(super) since: String,
    pub(super) chart: Option<Chart>,
    pub(super) moments: Vec<MomentView>,
    pub(super) more_moments: usize,
    pub(super) accounts: Vec<AccountView>,
    pub(super) more_accounts: usize,
    pub(super) reach: Vec<String>,
}

pub(super) struct MomentView {
    pub(super) time: String,
    pub(super) what: String,
    pub(super) class: &'static str,
    pub(super) place: String,
    pub(super) why: String,
    pub(super) clock: String,
}

pub(super) struct AccountView {
    pub(super) name: String,
    pub(super) kinds: String,
    pub(super) logins: String,
    pub(super) addresses: String,
    pub(super) why: String,
}

pub(super) fn view(report: &Report, of: &InstanceReport) -> View {
    let mut weighty: Vec<&Moment> = of.timeline.iter().filter(|one| one.severity >= Some(Severity::Medium)).collect();
    let more_moments = weighty.len().saturating_sub(MOMENTS);
    weighty.truncate(MOMENTS);
    View {
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
