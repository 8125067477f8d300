//! Pulse: what does a Pulse or Ivanti appliance say over syslog?
//!
//! Its standard form, old and new, and WELF (`key=value`). The standard form names no code: it is told from the
//! words where they are those of one code only.
//! Source: lines of Pulse Connect Secure 9.1 as integrations of log collectors show them (docs/logs.md).

use directive::text::Text;

use crate::event::{Event, Source};
use crate::meaning::Context;

const SOURCE: Source =
    Source { product: Some("pulse-connect-secure"), category: None, services: &["pulse-connect-secure", "syslog"] };

/// Keys of WELF in the order in which appliances write them. A value without quotes goes up to the next of
/// them, since some hold spaces (`ivs=Default Network`).
const KEYS: [&str; 22] = [
    "id", "time", "pri", "fw", "vpn", "ivs", "user", "realm", "roles", "proto", "src", "dst", "dstname", "type", "op",
    "arg", "result", "sent", "rcvd", "agent", "duration", "msg",
];

/// Whether a program is an appliance.
pub(super) fn is(program: &str) -> bool {
    matches!(program, "PulseSecure" | "Juniper" | "Ivanti" | "IvantiSecure" | "PulseSecureICS")
}

/// A line of an appliance that has none of its forms.
pub(super) fn strange(number: u64) -> Event {
    Event::at(number, SOURCE)
}

/// Reads what stands behind the header.
pub(super) fn read(text: &str, number: u64, context: &Context) -> Option<Event> {
    // Newer versions put the nil values of RFC 5424 in front.
    let text = text.trim_start_matches(['-', ' ']);
    if text.starts_with("id=") { welf(text, number, context) } else { standard(text, number, context) }
}

/// `2021-04-08 11:46:32 - ive - [192.0.2.1] Root::alice(Users)[Employees][session] - message`.
fn standard(text: &str, number: u64, context: &Context) -> Option<Event> {
    let (time, rest) = text.split_once(" - ")?;
    let (host, rest) = rest.split_once(" - ")?;
    let (address, rest) = rest.strip_prefix('[')?.split_once("] ")?;
    let (who, message) = rest.split_once(" - ").unwrap_or((rest, ""));
    let mut event = Event::at(number, SOURCE);
    event.when(Some(context.zone.civil(time)?));
    event.host = Some(host.to_owned());
    event.from(address);
    event.tell("src_ip", address);
    account(who, &mut event);
    said(message.trim_end(), &mut event, context);
    Some(event)
}

/// `Root::alice(Users)[Employees, Staff][session]`, `System()[]`. A name may hold brackets of any kind: the realm
/// is the last pair that stands before the roles.
fn account(who: &str, event: &mut Event) {
    let (ivs, rest) = who.split_once("::").unwrap_or(("", who));
    let (front, brackets) = rest.find(")[").map_or((rest, ""), |at| rest.split_at(at + 1));
    let (user, realm) = pair(front).unwrap_or((front, ""));
    let mut parts = brackets.trim_matches(['[', ']']).split("][");
    let roles = parts.next().unwrap_or_default();
    event.tell("ivs", ivs);
    event.tell("session", parts.next().unwrap_or_default());
    people(user, realm, roles, event);
}

/// Cuts `alice(Users (old))` before the bracket that belongs to the last one.
fn pair(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_suffix(')')?;
    let mut depth = 1;
    let open = inside.bytes().rposition(|byte| {
        depth += i32::from(byte == b')') - i32::from(byte == b'(');
        depth == 0
    })?;
    Some((&inside[..open], &inside[open + 1..]))
}

fn people(user: &str, realm: &str, roles: &str, event: &mut Event) {
    event.by(user, Some(realm));
    event.tell("user", user);
    event.tell("realm", realm);
    event.tell("roles", roles);
    if let Some(actor) = &mut event.actor {
        let roles = roles.split(',').map(str::trim).filter(|role| !role.is_empty());
        actor.roles = roles.map(str::to_owned).collect();
    }
}

/// WELF: `id=firewall time="2021-04-08 11:46:32" .. ivs=Default Network user=alice .. msg="AUT31504: .."`.
fn welf(text: &str, number: u64, context: &Context) -> Option<Event> {
    let mut event = Event::at(number, SOURCE);
    let (mut user, mut realm, mut roles, mut message) = ("", "", "", "");
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            // The message is the last one, and holds quotes of its own.
            Some(quoted) if key == "msg" => (quoted.trim_end().strip_suffix('"').unwrap_or(quoted), ""),
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(next_key(after)),
        };
        match key {
            "time" => event.when(context.zone.civil(value)),
            "vpn" => event.host = Some(value.to_owned()),
            "src" => event.from(value),
            "user" => user = value,
            "realm" => realm = value,
            "roles" => roles = value,
            "msg" => message = value,
            _ => {}
        }
        match key {
            "user" | "realm" | "roles" | "msg" | "time" => {}
            "src" => event.tell("src_ip", value),
            key => event.tell(key, value.trim_end()),
        }
        rest = after.trim_start();
    }
    event.at?;
    people(user, realm, roles, &mut event);
    let coded = message
        .split_once(": ")
        .filter(|(code, _)| code.len() == 8 && code.bytes().take(3).all(|byte| byte.is_ascii_uppercase()));
    if let Some((code, _)) = coded {
        event.code = Some(code.to_owned());
        event.tell("code", code);
    }
    said(coded.map_or(message, |(_, words)| words), &mut event, context);
    Some(event)
}

/// Where the next ` key=` begins.
fn next_key(text: &str) -> usize {
    let begins = |(at, _): &(usize, &str)| {
        let word = text[at + 1..].split('=').next().unwrap_or_default();
        text[at + 1 + word.len()..].starts_with('=') && KEYS.contains(&word)
    };
    text.match_indices(' ').find(begins).map_or(text.len(), |(at, _)| at)
}

fn said(message: &str, event: &mut Event, context: &Context) {
    event.program = Some("PulseSecure".to_owned());
    event.message = Text::from(message);
    context.meaning.code(message, event);
}
