//! Audit: what did the Linux audit daemon see?
//!
//! One system call is several records with one serial number; they become one event. Values that the kernel
//! wrote as hexadecimal, because somebody else chose them, are decoded.
//! Source: `audit.log` of auditd 3, "Audit record types" and "Audit event fields" of linux-audit.

use std::collections::VecDeque;
use std::sync::Arc;

use directive::text::Text;

use super::{Lines, Told, text};
use crate::clock;
use crate::event::{Action, Event, Source};
use crate::meaning::Context;

/// Reads audit logs.
pub(super) struct Audit {
    context: Arc<Context>,
    open: VecDeque<Open>,
}

/// An event whose records are still coming.
struct Open {
    serial: String,
    event: Event,
    arguments: Vec<String>,
    title: String,
    bytes: usize,
}

const CALL: Source = Source { product: Some("linux"), category: None, services: &["auditd"] };
const PROCESS: Source = Source { product: Some("linux"), category: Some("process_creation"), services: &["auditd"] };

/// Events whose records may be mixed with those of others: as many as processors write at once.
const OPEN: usize = 16;

/// Bytes of one event that are kept. A command line has at most 2 MiB (`ARG_MAX`).
const LARGEST: usize = 4 << 20;

/// A login number that was never set.
const UNSET: &str = "4294967295";

/// Fields that are text which the kernel writes as hexadecimal where it holds spaces, quotes or worse.
const TEXTS: [&str; 12] =
    ["acct", "cmd", "comm", "cwd", "data", "dir", "exe", "key", "name", "path", "proctitle", "vm"];

impl Audit {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, open: VecDeque::new() }
    }

    fn record(&mut self, line: &str, number: u64, out: &mut dyn FnMut(Event)) -> Option<()> {
        let (before, rest) = line.split_once("msg=audit(")?;
        let (stamp, body) = rest.split_once(')')?;
        let (time, serial) = stamp.rsplit_once(':')?;
        let kind = before.split_once("type=")?.1.trim();
        let node = before.split_once("node=").and_then(|(_, rest)| rest.split(' ').next());
        let body = body.trim_start_matches(':').trim_start();
        let at = match self.open.iter().position(|open| open.serial == stamp) {
            Some(at) => at,
            None => {
                serial.parse::<u64>().ok()?;
                let mut event = Event::at(number, CALL);
                event.when(Some(clock::epoch(time)?));
                event.host = node.map(str::to_owned);
                event.program = Some("audit".to_owned());
                event.code = Some(kind.to_owned());
                event.message = Text::from(format!("{kind} {body}"));
                self.open.push_back(Open::new(stamp, event));
                self.open.len() - 1
            }
        };
        if kind != "EOE" {
            self.open[at].add(kind, body, &self.context);
        }
        while self.open.len() > OPEN {
            out(self.open.pop_front()?.close());
        }
        Some(())
    }
}

impl Lines for Audit {
    fn line(&mut self, line: &[u8], number: u64, out: &mut dyn FnMut(Event)) -> Told {
        match self.record(&text(line), number, out) {
            Some(()) => Told::Understood,
            None => Told::Strange,
        }
    }

    fn finish(&mut self, out: &mut dyn FnMut(Event)) {
        self.open.drain(..).for_each(|open| out(open.close()));
    }
}

impl Open {
    fn new(serial: &str, event: Event) -> Self {
        Self { serial: serial.to_owned(), event, arguments: Vec::new(), title: String::new(), bytes: 0 }
    }

    /// Adds what one record tells.
    fn add(&mut self, kind: &str, body: &str, context: &Context) {
        self.bytes += body.len();
        if self.bytes > LARGEST {
            return;
        }
        self.event.tell("type", kind);
        // What auditd itself made of numbers stands behind a group separator, in capitals.
        for (key, value) in pairs(body) {
            let value = match kind {
                "EXECVE" => argument(&value),
                _ if TEXTS.contains(&key) => argument(&value),
                _ => value.text.to_owned(),
            };
            match (kind, key) {
                ("EXECVE", "argc") => {}
                ("EXECVE", key) if key.contains('[') => self.continued(&value),
                ("EXECVE", key) if key.ends_with("_len") => {}
                ("EXECVE", _) => self.arguments.push(value.clone()),
                ("PROCTITLE", "proctitle") => self.title = value.replace('\0', " "),
                ("SOCKADDR", "saddr") => self.socket(&value),
                (_, "addr") => self.event.from(&value),
                _ => {}
            }
            if !matches!(value.as_str(), "?" | "(null)") {
                self.event.tell(key, value);
            }
        }
        context.meaning.line("audit", &format!("{kind} {body}"), &mut self.event);
        if let (None, "USER_LOGIN" | "USER_AUTH" | "USER_ACCT" | "USER_START" | "USER_END" | "USER_CHAUTHTOK") =
            (&self.event.actor, kind)
        {
            let user = self.event.field("acct").or(self.event.field("ID")).unwrap_or_default().to_owned();
            self.event.by(&user, None);
        }
    }

    /// A part of an argument that is too long for one record.
    fn continued(&mut self, part: &str) {
        match self.arguments.last_mut() {
            Some(last) => last.push_str(part),
            None => self.arguments.push(part.to_owned()),
        }
    }

    /// An address of the kernel: family, port, address, as hexadecimal.
    fn socket(&mut self, value: &str) {
        let Some(bytes) = hex(value) else { return };
        let (port, address) = match (bytes.as_slice(), bytes.len()) {
            ([2, 0, a, b, w, x, y, z, ..], _) => ([*a, *b], format!("{w}.{x}.{y}.{z}")),
            ([10, 0, a, b, _, _, _, _, rest @ ..], 24..) => {
                let octets: [u8; 16] = rest[..16].try_into().unwrap_or_default();
                ([*a, *b], std::net::Ipv6Addr::from(octets).to_string())
            }
            _ => return,
        };
        self.event.tell("laddr", address);
        self.event.tell("lport", u16::from_be_bytes(port).to_string());
    }

    /// What all records say together.
    fn close(mut self) -> Event {
        let event = &mut self.event;
        let is_process = !self.arguments.is_empty();
        let command = if is_process { self.arguments.join(" ") } else { self.title };
        if is_process {
            event.source = PROCESS;
            event.action = Action::Process;
            let image = event.field("exe").map(str::to_owned);
            event.tell("Image", image.unwrap_or_default());
            for (name, key) in [("ProcessId", "pid"), ("ParentProcessId", "ppid"), ("LogonId", "ses")] {
                let value = event.field(key).map(str::to_owned);
                event.tell(name, value.unwrap_or_default());
            }
        }
        if event.field("cwd").is_some() && is_process {
            let folder = event.field("cwd").unwrap_or_default().to_owned();
            event.tell("CurrentDirectory", folder);
        }
        event.tell("CommandLine", command);
        // Who logged in, whatever he became since.
        let known = |name: &str| event.field(name).filter(|value| !matches!(*value, UNSET | "-1" | "unset"));
        let who = known("AUID").or(known("auid")).or(known("UID")).or(known("uid")).map(str::to_owned);
        let user = known("UID").or(known("uid")).map(str::to_owned);
        if is_process {
            event.tell("User", user.unwrap_or_default());
        }
        if event.actor.is_none() {
            event.by(&who.unwrap_or_default(), None);
        }
        self.event
    }
}

/// A value, and whether it stood in quotes.
struct Value<'a> {
    text: &'a str,
    is_quoted: bool,
}

/// `key=value` pairs, also those inside of `msg='..'`.
fn pairs(body: &str) -> impl Iterator<Item = (&str, Value<'_>)> {
    let mut rest = body;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches([' ', ',', '\'', '\u{1d}', '{', '}']);
            let (key, after) = rest.split_once('=')?;
            // Words without a value stand between the pairs of old records.
            let key = key.rsplit([' ', '\'']).next().unwrap_or(key);
            if key == "msg" && after.starts_with('\'') {
                rest = &after[1..];
                continue;
            }
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (text, next) = quoted.split_once('"').unwrap_or((quoted, ""));
                    (Value { text, is_quoted: true }, next)
                }
                None => {
                    let end = after.find([' ', '\'', '\u{1d}']).unwrap_or(after.len());
                    (Value { text: &after[..end], is_quoted: false }, &after[end..])
                }
            };
            rest = next;
            return Some((key, value));
        }
    })
}

/// A text of somebody else: quoted, or hexadecimal.
fn argument(value: &Value<'_>) -> String {
    match hex(value.text).filter(|_| !value.is_quoted) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => value.text.to_owned(),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
