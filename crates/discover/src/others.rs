//! Others: what answers in scope that nobody looks for?
//!
//! An address that is recognised as another product is told as that: a declared instance that is something else has to
//! be looked at, and a device that stands before the product answers in its place.
//! Never makes an instance of a neighbour. Serves ED 21-03 action 1.

use std::net::SocketAddr;

use directive::record::{Finding, Severity, Times};
use directive::scope::Scope;
use directive::text::escape;

use crate::identify::{Other, Reading};
use crate::sweep::State;

/// One finding for each address that answers as something else, with the instance's name where it has one.
pub(crate) fn findings(
    scope: &Scope,
    targets: &[SocketAddr],
    states: &[State<Reading>],
) -> Vec<(Option<String>, Finding)> {
    let answered = targets.iter().zip(states).filter_map(|(target, state)| match state {
        State::Answered(reading) if !reading.others.is_empty() => Some((*target, reading)),
        _ => None,
    });
    let told = answered.map(|(target, reading)| {
        let declared = scope.declared_at(target).map(|declared| declared.name.clone());
        let is_product = !reading.identities.is_empty();
        let name = declared.clone().or_else(|| is_product.then(|| target.to_string()));
        (name, finding(target, declared.is_some(), is_product, &reading.others))
    });
    told.collect()
}

fn finding(target: SocketAddr, is_declared: bool, is_product: bool, others: &[Other]) -> Finding {
    let list = |of: fn(&Other) -> &str| others.iter().map(of).collect::<Vec<_>>().join(", ");
    let names = list(|other| &other.name);
    let cpe: Vec<&str> = others.iter().filter_map(|other| other.cpe.as_deref()).collect();
    let cpe = if cpe.is_empty() { String::new() } else { format!(" ({})", cpe.join(", ")) };
    let (severity, why) = match (is_product, is_declared) {
        (true, _) => (
            Severity::Info,
            format!("it also answers as {names}{cpe}: a device before the product, or a second one at its address"),
        ),
        (false, true) => (
            Severity::Low,
            format!("it is declared as an instance and answers as {names}{cpe}, not as a product that is looked for"),
        ),
        (false, false) => (Severity::Info, format!("it answers as {names}{cpe}, not as a product that is looked for")),
    };
    Finding {
        code: "other-product".to_owned(),
        severity,
        path: None,
        place: Some(target.to_string()),
        why: escape(why),
        evidence: None,
        rule: Some(escape(list(|other| &other.sign))),
        attack: Vec::new(),
        clause: None,
        times: Times::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::Identity;

    /// What is told of 192.0.2.1, which is declared, and of its neighbour .2, which is not.
    #[track_caller]
    fn check(is_product: bool, others: &[&str], expected: [&str; 2]) {
        let text = "organisation = \"A\"\nnetworks = [\"192.0.2.0/29\"]\nports = [443]\n\
                    [[instance]]\nname = \"one\"\naddress = \"192.0.2.1:443\"";
        let scope = Scope::parse("scope.toml", text).unwrap();
        let targets: Vec<SocketAddr> = ["192.0.2.1:443", "192.0.2.2:443"].map(|at| at.parse().unwrap()).to_vec();
        let other = |name: &&str| Other { name: (*name).to_owned(), sign: "neighbour x".into(), cpe: None };
        let state = || {
            let identities = if is_product { vec![Identity::default()] } else { Vec::new() };
            State::Answered(Reading { identities, others: others.iter().map(other).collect(), ..Reading::default() })
        };
        let told = findings(&scope, &targets, &[state(), state()]);
        let shown: Vec<_> = told
            .iter()
            .map(|(name, found)| format!("{} {:?} {}", name.as_deref().unwrap_or("-"), found.severity, found.why))
            .collect();
        assert_eq!(shown, expected.iter().filter(|line| !line.is_empty()).copied().collect::<Vec<_>>());
    }

    #[test]
    fn a_declared_instance_that_is_something_else_weighs_more_than_a_stranger() {
        check(
            false,
            &["F5 BIG-IP", "Wall\u{1b}[2J"],
            [
                "one Low it is declared as an instance and answers as F5 BIG-IP, Wall\\x1b[2J, not as a product that \
                 is looked for",
                "- Info it answers as F5 BIG-IP, Wall\\x1b[2J, not as a product that is looked for",
            ],
        );
    }

    #[test]
    fn a_device_before_the_product_is_told_beside_it() {
        let why = "it also answers as F5 BIG-IP: a device before the product, or a second one at its address";
        check(true, &["F5 BIG-IP"], [&format!("one Info {why}"), &format!("192.0.2.2:443 Info {why}")]);
        check(true, &[], ["", ""]);
    }
}
