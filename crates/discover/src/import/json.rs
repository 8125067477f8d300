//! Json: what do masscan, Shodan, Censys and the transparency logs say?
//!
//! One object after the other, as a list or one a line, and never all at once. masscan before 1.3 ends its list with
//! a comma and a word that is no JSON; such ends are no damage.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::{Claim, Collector, Kind, Port, Wrong};

/// Reads a list, or objects one a line.
pub(super) fn read(bytes: &[u8], out: &mut Collector<'_>) -> Result<Kind, Wrong> {
    let mut kind = None;
    let mut take = |value: Value| {
        kind = kind.or_else(|| kind_of(&value));
        match kind {
            Some(kind) => object(kind, &value, out),
            None => out.strange += 1,
        }
    };
    let problem = if bytes.first() == Some(&b'[') {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        Each(&mut take).deserialize(&mut deserializer).err()
    } else {
        lines(bytes, &mut take)
    };
    match (kind, problem) {
        (None, Some(problem)) => Err(Wrong::other(format!("it begins like JSON and is none: {problem}"))),
        (None, None) => Err(Wrong::other(
            "it is JSON of none of these: masscan (`ip`, `ports`), Shodan (`ip_str`), Censys (`ip`, `services`), \
             crt.sh (`name_value`)",
        )),
        (Some(kind), Some(problem)) if !is_old_end(bytes, problem.line()) => {
            Err(Wrong::at(kind, format!("line {}", problem.line()), problem.to_string()))
        }
        (Some(kind), _) => Ok(kind),
    }
}

/// One object a line; a file that is one object over many lines is read whole.
fn lines(bytes: &[u8], take: &mut dyn FnMut(Value)) -> Option<serde_json::Error> {
    let mut all = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    all.by_ref().find_map(|value| match value {
        Ok(value) => {
            take(value);
            None
        }
        Err(problem) => Some(problem),
    })
}

/// Whether nothing but an old end stands from the line of a problem on: `]` behind a comma, or `{finished: 1}`.
/// Anything else is damage, and what stands behind it was not read.
fn is_old_end(bytes: &[u8], line: usize) -> bool {
    let mut rest = bytes.split(|byte| *byte == b'\n').skip(line.saturating_sub(1)).flatten();
    let mut end = Vec::new();
    while let Some(byte) = rest.next().filter(|_| end.len() < 32) {
        if !byte.is_ascii_whitespace() {
            end.push(*byte);
        }
    }
    matches!(end.as_slice(), b"]" | b"{finished:1}" | b"{finished:1}]")
}

/// Hands over the parts of a list one by one.
struct Each<'f>(&'f mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Each<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            (self.0)(value);
        }
        Ok(())
    }
}

fn kind_of(value: &Value) -> Option<Kind> {
    let has = |key: &str| value.get(key).is_some();
    match () {
        () if has("ip_str") => Some(Kind::Shodan),
        () if has("services") || value.pointer("/host/services").is_some() => Some(Kind::Censys),
        () if has("ip") && has("ports") => Some(Kind::Masscan),
        () if has("name_value") || has("common_name") => Some(Kind::Certificates),
        () => None,
    }
}

fn object(kind: Kind, value: &Value, out: &mut Collector<'_>) {
    let is_read = match kind {
        Kind::Masscan => masscan(value, out),
        Kind::Shodan => shodan(value, out),
        Kind::Censys => censys(value.get("host").unwrap_or(value), out),
        _ => certificates(value, out),
    };
    out.strange += u64::from(is_read.is_none());
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str().filter(|text| !text.is_empty())
}

fn address(value: &Value, key: &str) -> Option<IpAddr> {
    text(value, key)?.parse().ok()
}

fn port(value: &Value) -> Option<u16> {
    value.get("port")?.as_u64().and_then(|port| port.try_into().ok())
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn texts(value: &Value, key: &str) -> impl Iterator<Item = String> {
    list(value, key).filter_map(Value::as_str).map(str::to_owned)
}

/// RFC 3339, or without a zone, which Shodan means as UTC, or seconds since 1970.
fn time(value: &Value, key: &str) -> Option<Timestamp> {
    let text = text(value, key)?;
    let seconds = || Timestamp::from_second(text.parse().ok()?).ok();
    let civil = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    text.parse().ok().or_else(civil).or_else(seconds)
}

fn masscan(value: &Value, out: &mut Collector<'_>) -> Option<()> {
    let base = Claim { at: time(value, "timestamp"), ..Claim::of(address(value, "ip")?) };
    for one in list(value, "ports").filter(|one| text(one, "proto").is_none_or(|proto| proto == "tcp")) {
        let state = match text(one, "status") {
            Some("closed") => Port::Closed,
            _ => Port::Open,
        };
        let mut claim = Claim { port: Some(port(one)?), state, ..base.clone() };
        if let Some(banner) = one.get("service").and_then(|service| text(service, "banner")) {
            claim.texts.extend(said(one.pointer("/service/name").and_then(Value::as_str), banner));
        }
        out.claim(claim);
    }
    Some(())
}

/// What masscan kept of an answer, by the protocol that it took it for.
fn said(protocol: Option<&str>, banner: &str) -> Option<(&'static str, String)> {
    match protocol? {
        "ssh" => banner.strip_prefix("SSH-2.0-").map(|rest| ("ssh.banner", rest.to_owned())),
        "title" => Some(("html_title", banner.to_owned())),
        "http.server" => Some(("http_header.server", banner.to_owned())),
        _ => None,
    }
}

fn shodan(value: &Value, out: &mut Collector<'_>) -> Option<()> {
    let mut claim = Claim::of(address(value, "ip_str")?);
    if text(value, "transport").is_some_and(|transport| transport != "tcp") {
        return Some(());
    }
    claim.port = Some(port(value)?);
    claim.at = time(value, "timestamp");
    claim.names = texts(value, "hostnames").collect();
    claim.product = text(value, "product").map(str::to_owned);
    claim.version = text(value, "version").map(str::to_owned);
    claim.cpe = texts(value, "cpe23").chain(texts(value, "cpe")).collect();
    if let Some(http) = value.get("http") {
        claim.texts.extend(text(http, "title").map(|title| ("html_title", title.to_owned())));
        claim.texts.extend(text(http, "server").map(|server| ("http_header.server", server.to_owned())));
    }
    let banner = text(value, "data").and_then(|data| data.lines().next()?.strip_prefix("SSH-2.0-"));
    claim.texts.extend(banner.map(|banner| ("ssh.banner", banner.to_owned())));
    let subject = value.pointer("/ssl/cert/subject/CN").and_then(Value::as_str);
    claim.names.extend(subject.map(str::to_owned));
    out.claim(claim);
    Some(())
}

fn censys(value: &Value, out: &mut Collector<'_>) -> Option<()> {
    let mut base = Claim { at: time(value, "last_updated_at"), ..Claim::of(address(value, "ip")?) };
    base.names = value.get("dns").map(|dns| texts(dns, "names").collect()).unwrap_or_default();
    let is_tcp = |one: &&Value| {
        let transport = text(one, "transport_protocol").or_else(|| text(one, "transport_fingerprint"));
        transport.is_none_or(|transport| transport.eq_ignore_ascii_case("tcp"))
    };
    for one in list(value, "services").filter(is_tcp) {
        let mut claim = Claim { port: Some(port(one)?), ..base.clone() };
        claim.at = time(one, "observed_at").or(base.at);
        let software = list(one, "software").find(|software| software.get("product").is_some());
        claim.product = software.and_then(|software| text(software, "product")).map(str::to_owned);
        claim.version = software.and_then(|software| text(software, "version")).map(str::to_owned);
        let names = list(one, "software").filter_map(|software| text(software, "uniform_resource_identifier"));
        claim.cpe = names.map(str::to_owned).collect();
        let title = one.pointer("/http/response/html_title").and_then(Value::as_str);
        claim.texts.extend(title.map(|title| ("html_title", title.to_owned())));
        let banner = text(one, "banner").and_then(|banner| banner.lines().next()?.strip_prefix("SSH-2.0-"));
        claim.texts.extend(banner.map(|banner| ("ssh.banner", banner.to_owned())));
        out.claim(claim);
    }
    Some(())
}

fn certificates(value: &Value, out: &mut Collector<'_>) -> Option<()> {
    let names = text(value, "name_value").into_iter().flat_map(str::lines).chain(text(value, "common_name"));
    let mut any = None;
    for name in names {
        any = Some(());
        out.name(name.strip_prefix("*.").unwrap_or(name));
    }
    any
}
