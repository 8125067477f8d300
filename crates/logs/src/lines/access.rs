//! Access: what was asked of this web server?
//!
//! The common and the combined log format, with or without the virtual host in front. Values stay as they are
//! logged, escapes included: that is what rules for such logs expect, and what a search in the raw line finds.
//! Source: Apache `mod_log_config` (`common`, `combined`, `vhost_combined`), nginx `log_format combined`.

use directive::text::Text;

use super::{Lines, Told, single, text};
use crate::clock;
use crate::event::{Action, Event, Source};

/// Reads access logs.
pub(super) struct Access;

const SOURCE: Source = Source { product: None, category: Some("webserver"), services: &[] };

impl Lines for Access {
    fn line(&mut self, line: &[u8], number: u64, out: &mut dyn FnMut(Event)) -> Told {
        let line = text(line);
        single(read(&line, number), out)
    }

    fn is_literal(&self) -> bool {
        true
    }
}

fn read(line: &str, number: u64) -> Option<Event> {
    let (head, rest) = line.split_once(" [")?;
    let (time, rest) = rest.split_once("] ")?;
    let told = clock::common(time)?;
    let mut event = Event::at(number, SOURCE);
    event.when(Some(told));
    event.action = Action::Request;
    event.message = Text::from(line);
    who(head, &mut event)?;
    let (request, rest) = quoted(rest)?;
    self::request(request, &mut event);
    let mut rest = rest.trim_start().splitn(3, ' ');
    event.tell("sc-status", value(rest.next()?));
    event.tell("sc-bytes", value(rest.next().unwrap_or_default()));
    if let Some((referer, rest)) = rest.next().and_then(quoted) {
        event.tell("cs-referer", value(referer));
        event.tell("cs(Referer)", value(referer));
        if let Some((agent, rest)) = quoted(rest.trim_start()) {
            event.tell("cs-user-agent", value(agent));
            event.tell("cs(User-Agent)", value(agent));
            event.tell("c-useragent", value(agent));
            event.tell("rest", rest.trim());
        }
    }
    Some(event)
}

/// `192.0.2.1 - alice`, or with the virtual host in front.
fn who(head: &str, event: &mut Event) -> Option<()> {
    let mut words = head.splitn(4, ' ');
    let (first, second, third) = (words.next()?, words.next()?, words.next()?);
    let (host, client, user) = match words.next() {
        // A user name may hold spaces: it is a virtual host only if an address stands behind it.
        Some(user) if crate::event::address(second).is_some() => (Some(first), second, user),
        Some(more) => (None, first, head.get(head.len() - more.len() - 1 - third.len()..)?),
        None => (None, first, third),
    };
    event.tell("cs-host", host.unwrap_or_default());
    event.tell("c-ip", client);
    event.from(client);
    event.by(user, None);
    event.tell("cs-username", value(user));
    Some(())
}

/// `GET /path?query HTTP/1.1`; whatever else a scanner sends stays whole.
fn request(request: &str, event: &mut Event) {
    let mut words = request.splitn(2, ' ');
    let method = words.next().unwrap_or_default();
    let Some(rest) = words.next() else {
        event.tell("cs-uri", request);
        event.tell("cs-uri-query", request);
        return event.tell("c-uri", request);
    };
    let (target, version) = match rest.rsplit_once(' ') {
        Some((target, version)) if version.starts_with("HTTP/") => (target, version),
        _ => (rest, ""),
    };
    event.tell("cs-method", method);
    event.tell("cs-version", version);
    target_of(target, event);
}

/// Path and query of a request. Rules for web servers search whole targets in `cs-uri-query`: it has both.
pub(super) fn target_of(target: &str, event: &mut Event) {
    let (stem, query) = target.split_once('?').unwrap_or((target, ""));
    event.tell("cs-uri-stem", stem);
    event.tell("cs-uri-query", query);
    event.tell("cs-uri-query", target);
    event.tell("cs-uri", target);
    event.tell("c-uri", target);
}

/// What stands in quotes at the start, and what comes behind. `\"` is part of it, as both servers write it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'\\' => is_escaped = !is_escaped,
            b'"' if !is_escaped => return Some((&inside[..at], &inside[at + 1..])),
            _ => is_escaped = false,
        }
    }
    None
}

/// `-` stands for nothing.
fn value(text: &str) -> &str {
    if text == "-" { "" } else { text }
}
