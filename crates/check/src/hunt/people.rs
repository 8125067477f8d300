//! People: which accounts passed through, and whose passwords must be reset?
//!
//! Serves ED 21-03 Appendix A (e): "user, service, admin, and any account modifiable by those". Every account that
//! logged in from the first sign of a compromise on is on the list, and every account that one of them changed.
//! Only what logs tell: an account of whose login no log speaks is not here, which the reach of the logs says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use directive::hunting::Accounts;
use directive::pattern::Pattern;
use directive::record::{Account, AccountKind};
use jiff::Timestamp;
use logs::{Action, Event};

use super::geo::Geo;

/// Accounts that are remembered. A guesser of passwords tries a million names, and is let in under none.
const PEOPLE: usize = 200_000;

/// Logins of one account that are remembered, the latest ones.
const LOGINS: usize = 20_000;

/// Addresses of one account that are told.
const ADDRESSES: usize = 100;

/// Roles of one account that are told.
const ROLES: usize = 32;

type Name = (String, Option<String>);

/// When somebody was let in, and from where.
pub(super) type Login = (Timestamp, Option<IpAddr>);

/// The accounts of which logs tell.
#[derive(Default)]
pub(crate) struct People {
    by_name: BTreeMap<Name, Person>,
    /// Accounts that were not remembered.
    pub(crate) beyond: u64,
}

#[derive(Default)]
struct Person {
    roles: BTreeSet<String>,
    /// When and from where, in no order.
    logins: Vec<Login>,
    /// Logins that are not remembered one by one, all earlier than those that are.
    forgotten: u64,
    /// Logins without a time.
    timeless: u64,
    /// Accounts that it changed, and when.
    changed: Vec<(Option<Timestamp>, String)>,
}

impl Person {
    /// The same login stands in several logs, and as several lines of one.
    fn sort(&mut self) {
        self.logins.sort_unstable();
        self.logins.dedup();
    }

    fn forget(&mut self) {
        if self.logins.len() > 2 * LOGINS {
            self.logins.sort_unstable();
            let old = self.logins.len() - LOGINS;
            self.logins.drain(..old);
            self.forgotten += old as u64;
        }
    }
}

impl People {
    /// Takes what an event tells of its actor.
    pub(super) fn saw(&mut self, event: &Event, accounts: &Accounts) {
        let Some(actor) = &event.actor else { return };
        if !matches!(event.action, Action::Login | Action::AccountChanged) || any(&accounts.nobody, &actor.user) {
            return;
        }
        let name = (actor.user.clone(), actor.realm.clone());
        if !self.by_name.contains_key(&name) && self.by_name.len() >= PEOPLE {
            self.beyond += 1;
            return;
        }
        let person = self.by_name.entry(name).or_default();
        person.roles.extend(actor.roles.iter().take(ROLES.saturating_sub(person.roles.len())).cloned());
        if event.action == Action::Login {
            match event.at {
                Some(at) => person.logins.push((at, event.address)),
                None => person.timeless += 1,
            }
            person.forget();
        } else if let Some(target) = event.field("target")
            && person.changed.len() < LOGINS
        {
            person.changed.push((event.at, target.to_owned()));
        }
    }

    /// Adds what another log told.
    pub(super) fn merge(&mut self, other: Self) {
        self.beyond += other.beyond;
        for (name, more) in other.by_name {
            if !self.by_name.contains_key(&name) && self.by_name.len() >= PEOPLE {
                self.beyond += 1;
                continue;
            }
            let person = self.by_name.entry(name).or_default();
            person.roles.extend(more.roles);
            person.logins.extend(more.logins);
            person.forgotten += more.forgotten;
            person.timeless += more.timeless;
            person.changed.extend(more.changed);
            person.forget();
        }
    }

    /// Each account by name and kinds, with its logins in the order in which they came.
    pub(super) fn logins(&mut self, accounts: &Accounts) -> impl Iterator<Item = (String, Vec<AccountKind>, &[Login])> {
        self.by_name.iter_mut().map(|((user, realm), person)| {
            person.sort();
            let name = realm.as_ref().map_or_else(|| user.clone(), |realm| format!("{realm}\\{user}"));
            (name, kinds(user, realm.as_deref(), &person.roles, accounts), person.logins.as_slice())
        })
    }

    /// The accounts to reset: those that logged in from `first` on, and those that they changed.
    pub(crate) fn since(mut self, first: Timestamp, accounts: &Accounts, geo: Option<&Geo>) -> Vec<Account> {
        let mut list = Vec::new();
        let mut changed: BTreeMap<String, String> = BTreeMap::new();
        for (name, person) in &mut self.by_name {
            person.sort();
            let from = person.logins.partition_point(|(at, _)| *at < first);
            let logins = &person.logins[from..];
            if logins.is_empty() && person.timeless == 0 {
                continue;
            }
            let mut account = account(name, person, logins, accounts);
            account.countries = countries(logins, geo);
            for (at, target) in &person.changed {
                if at.is_none_or(|at| at >= first) {
                    changed.entry(target.clone()).or_insert_with(|| account.name());
                }
            }
            list.push(account);
        }
        let is_listed = |target: &String| list.iter().any(|account| account.user == *target);
        let new: Vec<(String, String)> = changed.into_iter().filter(|(target, _)| !is_listed(target)).collect();
        list.extend(new.into_iter().map(|(user, by)| Account {
            kinds: kinds(&user, None, &BTreeSet::new(), accounts),
            user,
            realm: None,
            roles: Vec::new(),
            addresses: Vec::new(),
            countries: Vec::new(),
            first: None,
            last: None,
            logins: 0,
            why: format!("{by} changed it after the first sign"),
        }));
        list.sort_by(|a, b| (&a.user, &a.realm).cmp(&(&b.user, &b.realm)));
        list
    }
}

fn account(name: &Name, person: &Person, logins: &[Login], accounts: &Accounts) -> Account {
    let mut addresses: Vec<String> = Vec::new();
    for address in logins.iter().filter_map(|(_, address)| *address).map(|address| address.to_string()) {
        if addresses.len() < ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let timeless = match person.timeless {
        0 => String::new(),
        count => format!("; {count} logins of which no time is known"),
    };
    Account {
        user: name.0.clone(),
        realm: name.1.clone(),
        kinds: kinds(&name.0, name.1.as_deref(), &person.roles, accounts),
        roles: person.roles.iter().cloned().collect(),
        addresses,
        countries: Vec::new(),
        first: logins.first().map(|(at, _)| *at),
        last: logins.last().map(|(at, _)| *at),
        logins: logins.len() as u64 + person.timeless,
        why: format!("it logged in after the first sign{timeless}"),
    }
}

/// In which countries the addresses are, as far as a database of places says so.
fn countries(logins: &[Login], geo: Option<&Geo>) -> Vec<String> {
    let Some(geo) = geo else { return Vec::new() };
    let addresses: BTreeSet<IpAddr> = logins.iter().filter_map(|(_, address)| *address).collect();
    let countries = addresses.into_iter().filter_map(|address| geo.country(address.to_canonical()));
    countries.collect::<BTreeSet<_>>().into_iter().collect()
}

fn kinds(user: &str, realm: Option<&str>, roles: &BTreeSet<String>, accounts: &Accounts) -> Vec<AccountKind> {
    let in_realm = |patterns: &[Pattern]| realm.is_some_and(|realm| any(patterns, realm));
    let is_admin = roles.iter().any(|role| any(&accounts.admin_roles, role)) || in_realm(&accounts.admin_realms);
    let told = [
        (AccountKind::Admin, is_admin || user == "root"),
        (AccountKind::Service, any(&accounts.service_names, user)),
        (AccountKind::Local, in_realm(&accounts.local_realms)),
    ];
    let kinds: Vec<AccountKind> = told.into_iter().filter(|(_, holds)| *holds).map(|(kind, _)| kind).collect();
    if kinds.is_empty() { vec![AccountKind::User] } else { kinds }
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(text))
}
