//! Scanner: whose requests and commands are no intruder's, although they look alike?
//!
//! Part of [`crate::scope`]: `[[scanner]]` names those who may look, `vantage` the addresses that our own requests come
//! from. The address decides. A user agent can only narrow it down: anybody can send any.

use std::net::IpAddr;
use std::ops::Range;
use std::str::FromStr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use super::{canonical, parse_net};

/// What a user agent of ours begins with, whatever the version and the organisation.
pub const OWN_AGENT: &str = "Portcullis/";

/// The name under which our own requests and commands are told.
const OWN: &str = "portcullis";

/// What each command that we run on a host over SSH holds, as its kernel sees it: the shell's line, the `tar` that
/// comes of it, and the server of files.
const OWN_COMMANDS: [&str; 3] = ["exec tar -cf - \"$@\"", "tar -cf - ./", "sftp-server"];

/// The shortest prefixes of a scanner's network, 2^20 addresses of the fourth version and a provider's block of the
/// sixth: a scanner that is half of the Internet would cover whoever is in it.
const WIDEST: [u8; 2] = [12, 32];

const ADDRESS_HINT: &str = "write a network as \"10.0.0.0/24\" or one address as \"10.0.0.7\"; names are not resolved";

/// Somebody who may look at our instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanner {
    /// Its name; unique in the scope.
    pub name: String,
    /// Where its requests come from.
    pub addresses: Vec<IpNet>,
    /// A text that its user agent holds. Without it every request from these addresses is its own.
    pub user_agent: Option<String>,
    /// When it may begin.
    pub from: Option<Timestamp>,
    /// When it must have ended; that moment itself is within.
    pub until: Option<Timestamp>,
}

impl Scanner {
    /// Ourselves, at the addresses that our requests come from.
    pub fn own(addresses: Vec<IpNet>) -> Self {
        let user_agent = Some(OWN_AGENT.to_owned());
        Self { name: OWN.to_owned(), addresses, user_agent, from: None, until: None }
    }

    /// Whether it may look from this address at that time. Where no time is known, a window is not kept.
    pub fn covers(&self, address: IpAddr, at: Option<Timestamp>) -> bool {
        let address = canonical(address);
        let is_after = self.from.is_none_or(|from| at.is_some_and(|at| at >= from));
        let is_before = self.until.is_none_or(|until| at.is_some_and(|at| at <= until));
        is_after && is_before && self.addresses.iter().any(|net| net.contains(&address))
    }

    /// Whether what calls itself so is this scanner; of the address nothing is asked here.
    pub fn is_called(&self, agent: Option<&str>) -> bool {
        let holds = |text: &String| {
            // Logs of IIS write a space as `+`.
            agent.is_some_and(|agent| agent.contains(text) || agent.contains(&text.replace(' ', "+")))
        };
        self.user_agent.as_ref().is_none_or(holds)
    }

    /// Whether a command in a session of its is its own. One that is known by a user agent runs none but ours.
    pub fn runs(&self, command: &str) -> bool {
        match self.name.as_str() {
            OWN => OWN_COMMANDS.iter().any(|own| command.contains(own)),
            _ => self.user_agent.is_none(),
        }
    }
}

impl FromStr for Scanner {
    type Err = String;

    /// Reads `NAME=ADDRESS[,ADDRESS...]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("write NAME=ADDRESS, and more addresses behind commas")?;
        is_name(name)?;
        let addresses = rest.split(',').map(|address| network(address.trim())).collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), addresses, user_agent: None, from: None, until: None })
    }
}

/// Reads an address or network, unless it is too wide for a scanner.
fn network(text: &str) -> Result<IpNet, String> {
    let net = parse_net(text).map_err(|err| format!("{text:?} is no address: {}", err.to_lowercase()))?;
    let least = if net.max_prefix_len() == 32 { WIDEST[0] } else { WIDEST[1] };
    if net.prefix_len() < least {
        return Err(format!("{net} is too wide for a scanner: whoever is in it would not be seen"));
    }
    Ok(net)
}

fn is_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err("a scanner needs a printable name".to_owned());
    }
    if name == OWN {
        return Err(format!("{OWN:?} is what our own requests are called; their addresses are the scope's `vantage`"));
    }
    Ok(())
}

/// `[[scanner]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    name: Spanned<String>,
    addresses: Spanned<Vec<Spanned<String>>>,
    user_agent: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    until: Option<Spanned<String>>,
}

/// Reads all scanners, ourselves among them; `at` takes what is wrong, with its place.
pub(super) fn read(
    raws: Vec<Raw>,
    vantage: &[Spanned<String>],
    at: &mut impl FnMut(Range<usize>, String, &str),
) -> Vec<Scanner> {
    let own = networks(vantage, at);
    let mut scanners: Vec<Scanner> = if own.is_empty() { Vec::new() } else { vec![Scanner::own(own)] };
    for raw in raws {
        let name = raw.name.get_ref().clone();
        if let Err(why) = is_name(&name) {
            at(raw.name.span(), why, "use the name your team knows it by");
        } else if scanners.iter().any(|other| other.name == name) {
            at(raw.name.span(), format!("two scanners are called {name:?}"), "a name must be unique in the scope");
        }
        if raw.addresses.get_ref().is_empty() {
            let why = "a scanner needs an address: anybody can send its user agent".to_owned();
            at(raw.addresses.span(), why, ADDRESS_HINT);
        }
        if let Some(agent) = raw.user_agent.as_ref().filter(|agent| agent.get_ref().trim().is_empty()) {
            at(agent.span(), "an empty user agent holds for everybody".into(), "leave it out");
        }
        let (from, until) = (moment(raw.from.as_ref(), at), moment(raw.until.as_ref(), at));
        if let (Some(from), Some(until), Some(written)) = (from, until, &raw.until)
            && from >= until
        {
            at(written.span(), format!("it ends at {until}, before it begins"), "put `from` before `until`");
        }
        let addresses = networks(raw.addresses.get_ref(), at);
        let user_agent = raw.user_agent.map(Spanned::into_inner);
        scanners.push(Scanner { name, addresses, user_agent, from, until });
    }
    scanners
}

fn networks(written: &[Spanned<String>], at: &mut impl FnMut(Range<usize>, String, &str)) -> Vec<IpNet> {
    super::parse_all(written, network, ADDRESS_HINT, at)
}

fn moment(written: Option<&Spanned<String>>, at: &mut impl FnMut(Range<usize>, String, &str)) -> Option<Timestamp> {
    let written = written?;
    let parsed = written.get_ref().parse();
    if let Err(err) = &parsed {
        let hint = "write a time with its zone: \"2021-04-20T22:00:00Z\" or \"2021-04-20T18:00:00-04:00\"";
        at(written.span(), format!("{:?} is no time: {err}", written.get_ref()), hint);
    }
    parsed.ok()
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    const HEAD: &str = "organisation = \"Example Agency\"\n";

    #[track_caller]
    fn one(text: &str) -> Scanner {
        let scope = Scope::parse("scope.toml", &format!("{HEAD}{text}")).unwrap_or_else(|err| panic!("{err}"));
        scope.scanners[0].clone()
    }

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        let shown = Scope::parse("scope.toml", &format!("{HEAD}{text}")).unwrap_err().to_string();
        assert!(shown.contains(expected) && shown.contains("scope.toml:") && shown.contains('^'), "{shown}");
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn time(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_scanner_may_look_from_its_addresses_within_its_window() {
        let scanner = one("[[scanner]]\nname = \"nightly\"\naddresses = [\"192.0.2.0/28\", \"2001:db8::7\"]\n\
                           from = \"2021-04-20T22:00:00-04:00\"\nuntil = \"2021-04-21T06:00:00Z\"");
        for (address, at, expected) in [
            ("192.0.2.9", "2021-04-21T02:00:00Z", true),
            ("::ffff:192.0.2.9", "2021-04-21T06:00:00Z", true),
            ("2001:db8::7", "2021-04-21T05:00:00Z", true),
            ("192.0.2.16", "2021-04-21T05:00:00Z", false),
            ("192.0.2.9", "2021-04-21T01:59:59Z", false),
            ("192.0.2.9", "2021-04-21T06:00:01Z", false),
        ] {
            assert_eq!(scanner.covers(ip(address), time(at)), expected, "{address} at {at}");
        }
        assert!(!scanner.covers(ip("192.0.2.9"), None));
    }

    #[test]
    fn a_user_agent_narrows_a_scanner_down_and_its_commands_are_then_not_known() {
        let scanner = one("[[scanner]]\nname = \"a\"\naddresses = [\"192.0.2.9\"]\nuser-agent = \"Ex Scan\"");
        assert!(scanner.is_called(Some("Mozilla/5.0 (Ex Scan 2)")) && scanner.is_called(Some("Mozilla+(Ex+Scan+2)")));
        assert!(!scanner.is_called(Some("curl/8")) && !scanner.is_called(None));
        assert!(!scanner.runs("cat /etc/shadow"));
        let plain = one("[[scanner]]\nname = \"a\"\naddresses = [\"192.0.2.9\"]");
        assert!(plain.is_called(None) && plain.runs("cat /etc/shadow"));
    }

    #[test]
    fn our_own_requests_are_known_by_address_and_user_agent() {
        let own = one("vantage = [\"192.0.2.9\"]");
        assert_eq!(own.name, "portcullis");
        assert!(own.is_called(Some("Portcullis/0.1.0 (Example Agency)")) && !own.is_called(Some("curl/8")));
        assert!(own.runs("tar -cf - ./bin ./etc") && !own.runs("tar -czf /tmp/x.tgz /data"));
    }

    #[test]
    fn slips_in_a_scanner_are_shown_with_a_caret() {
        for (text, expected) in [
            ("[[scanner]]\nname = \"\"\naddresses = [\"192.0.2.9\"]", "printable name"),
            ("[[scanner]]\nname = \"portcullis\"\naddresses = [\"192.0.2.9\"]", "the scope's `vantage`"),
            ("[[scanner]]\nname = \"a\"\naddresses = []", "anybody can send its user agent"),
            ("[[scanner]]\nname = \"a\"\nuser-agent = \"x\"", "missing field `addresses`"),
            ("[[scanner]]\nname = \"a\"\naddresses = [\"scan.example\"]", "names are not resolved"),
            ("[[scanner]]\nname = \"a\"\naddresses = [\"0.0.0.0/1\"]", "too wide"),
            ("[[scanner]]\nname = \"a\"\naddresses = [\"192.0.2.9\"]\nuser-agent = \" \"", "holds for everybody"),
            ("[[scanner]]\nname = \"a\"\naddresses = [\"192.0.2.9\"]\nfrom = \"yesterday\"", "is no time"),
            (
                "[[scanner]]\nname = \"a\"\naddresses = [\"192.0.2.9\"]\nfrom = \"2021-04-20T22:00:00Z\"\n\
              until = \"2021-04-20T21:00:00Z\"",
                "before it begins",
            ),
            (
                "[[scanner]]\nname = \"a\"\naddresses = [\"192.0.2.9\"]\n[[scanner]]\nname = \"a\"\n\
              addresses = [\"192.0.2.8\"]",
                "two scanners are called",
            ),
            ("vantage = [\"10.0.0.0/33\"]", "10.0.0.0/33"),
        ] {
            refuses(text, expected);
        }
    }

    #[test]
    fn a_scanner_on_the_command_line_is_a_name_with_addresses() {
        let scanner: Scanner = "nightly=192.0.2.9, 2001:db8::/64".parse().unwrap();
        assert_eq!((scanner.name.as_str(), scanner.addresses.len()), ("nightly", 2));
        for wrong in ["nightly", "nightly=", "=192.0.2.9", "portcullis=192.0.2.9", "a=::/0", "a=scan.example"] {
            assert!(wrong.parse::<Scanner>().is_err(), "{wrong}");
        }
    }
}
