//! Syslog: who wrote this line, and when?
//!
//! Headers by RFC 3164 and RFC 5424, and what rsyslog and systemd write with times of RFC 3339. What stands
//! behind the header is read by the program that wrote it: a Pulse appliance, the audit daemon, or one that the
//! table of meanings knows.
//! Source: RFC 3164 section 4.1, RFC 5424 section 6, rsyslog `RSYSLOG_FileFormat`.

use std::sync::Arc;

use directive::text::Text;
use jiff::{SignedDuration, Timestamp};

use super::{Lines, Told, pulse, text};
use crate::clock;
use crate::event::{Clock, Event, Source};
use crate::meaning::Context;

/// Reads syslog.
pub(super) struct Syslog {
    context: Arc<Context>,
}

/// A line, cut at its header.
#[derive(Debug, Default, PartialEq)]
struct Cut<'a> {
    told: clock::Told,
    host: &'a str,
    program: &'a str,
    process: &'a str,
    /// RFC 5424: type of the message and structured data.
    kind: &'a str,
    data: &'a str,
    message: &'a str,
}

impl Syslog {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    fn cut<'a>(&self, line: &'a str) -> Option<Cut<'a>> {
        let rest = match line.strip_prefix('<') {
            // The priority, which files leave out and which relays keep.
            Some(after) => after.split_once('>').filter(|(number, _)| number.len() <= 3)?.1,
            None => line,
        };
        if let Some(rest) = rest.strip_prefix("1 ") {
            return fields(rest);
        }
        let (told, rest) = match rest.split_once(' ') {
            Some((first, after)) if first.len() >= 20 && first.as_bytes()[4] == b'-' => (clock::zoned(first)?, after),
            _ => self.short(rest)?,
        };
        let (host, rest) = rest.split_once(' ')?;
        let (program, process, message) = tag(rest)?;
        Some(Cut { told: Some(told), host, program, process, message, ..Cut::default() })
    }

    /// `Apr  8 11:46:32 rest`, or with the year that some devices add.
    fn short<'a>(&self, text: &'a str) -> Option<((Timestamp, Clock), &'a str)> {
        for length in [20, 15] {
            let (time, rest) = (text.get(..length)?, text.get(length..)?);
            if let (Some(told), Some(rest)) = (self.context.zone.short(time), rest.strip_prefix(' ')) {
                return Some((told, rest));
            }
        }
        None
    }
}

impl Lines for Syslog {
    fn line(&mut self, line: &[u8], number: u64, out: &mut dyn FnMut(Event)) -> Told {
        let line = text(line);
        let line = line.trim_start_matches('\u{feff}');
        // An appliance's own file, or a relay that keeps no header.
        if let Some(event) = line.starts_with("id=").then(|| pulse::read(line, number, &self.context)).flatten() {
            out(event);
            return Told::Understood;
        }
        let Some(cut) = self.cut(line) else { return Told::Strange };
        let mut event = match pulse::is(cut.program) {
            true => pulse::read(cut.message, number, &self.context).unwrap_or_else(|| pulse::strange(number)),
            false => service(&cut, number, &self.context),
        };
        event.when(cut.told.filter(|_| event.at.is_none()).or_else(|| settled(&event, cut.told)));
        event.host.get_or_insert_with(|| cut.host.to_owned());
        event.program.get_or_insert_with(|| cut.program.to_owned());
        if event.message.as_bytes().is_empty() {
            event.message = Text::from(cut.message);
        }
        out(event);
        Told::Understood
    }

    fn is_literal(&self) -> bool {
        true
    }
}

/// The zone of a device whose line names none, where the one that passed it on at once wrote its own time with a
/// zone: both are the same moment if they differ by a zone and no more.
fn settled(event: &Event, header: clock::Told) -> clock::Told {
    let (Some(at), Some((relayed, Clock::Zoned))) = (event.at.filter(|_| event.clock == Clock::ZoneAssumed), header)
    else {
        return None;
    };
    const QUARTER: i64 = 15 * 60;
    let seconds = relayed.duration_since(at).as_secs();
    let zone = (seconds + QUARTER / 2).div_euclid(QUARTER) * QUARTER;
    let is_zone = zone.abs() <= 14 * 3600 && (seconds - zone).abs() <= 5;
    is_zone.then(|| at.checked_add(SignedDuration::from_secs(zone)).ok()).flatten().map(|at| (at, Clock::Zoned))
}

/// A line of a program that the table of meanings may know.
fn service(cut: &Cut<'_>, number: u64, context: &Context) -> Event {
    let mut event = Event::at(number, source(cut.program));
    context.meaning.line(cut.program, cut.message, &mut event);
    event.tell("pid", cut.process);
    event.tell("msgid", cut.kind);
    event.tell("structured-data", cut.data);
    event
}

/// Which services of Sigma a program belongs to.
pub(super) fn source(program: &str) -> Source {
    let services: &[&str] = match program {
        "sshd" | "sshd-session" => &["sshd", "auth", "syslog"],
        "sudo" => &["sudo", "auth", "syslog"],
        "su" | "login" | "systemd-logind" | "useradd" | "userdel" | "usermod" | "groupadd" | "passwd" | "chage"
        | "gpasswd" | "polkitd" => &["auth", "syslog"],
        "cron" | "CRON" | "crond" | "crontab" => &["cron", "syslog"],
        "clamd" | "freshclam" => &["clamav", "syslog"],
        "vsftpd" => &["vsftpd", "syslog"],
        "guacd" => &["guacamole", "syslog"],
        _ => &["syslog"],
    };
    Source { product: Some("linux"), category: None, services }
}

/// `sshd[7]: message`, `sshd: message`, `kernel: message`.
fn tag(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find([':', '[', ' '])?;
    let (program, rest) = text.split_at(end);
    if program.is_empty() {
        return None;
    }
    if let Some(rest) = rest.strip_prefix('[') {
        let (process, rest) = rest.split_once(']')?;
        return Some((program, process, rest.strip_prefix(':').unwrap_or(rest).trim_start()));
    }
    // Without a colon it is a line of words, of which the first is no program.
    Some((program, "", rest.strip_prefix(':')?.trim_start()))
}

/// The header of RFC 5424 behind its version: `time host app process id [data] message`.
fn fields(rest: &str) -> Option<Cut<'_>> {
    let mut words = rest.splitn(6, ' ');
    let (time, host, program) = (words.next()?, words.next()?, words.next()?);
    let (process, kind, rest) = (words.next()?, words.next()?, words.next()?);
    let told = match time {
        "-" => None,
        time => Some(clock::zoned(time)?),
    };
    let (data, message) = match rest.strip_prefix('-') {
        Some(message) => ("", message),
        None => rest.split_at(structured(rest)?),
    };
    let message = message.trim_start().trim_start_matches('\u{feff}');
    let (host, program, process, kind) = (value(host), value(program), value(process), value(kind));
    Some(Cut { told, host, program, process, kind, data, message })
}

/// Where structured data ends: behind the last `]` of a run of elements, quotes and escapes respected.
fn structured(text: &str) -> Option<usize> {
    let (mut is_inside, mut is_quoted, mut is_escaped) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' if is_inside => is_quoted = !is_quoted,
            b'[' if !is_inside => is_inside = true,
            b']' if !is_quoted => is_inside = false,
            _ if !is_inside => return Some(at),
            _ => {}
        }
    }
    (!is_inside && !text.is_empty()).then_some(text.len())
}

/// `-` is the nil value.
fn value(text: &str) -> &str {
    if text == "-" { "" } else { text }
}
