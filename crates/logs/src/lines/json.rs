//! Json: what does a line of JSON say?
//!
//! One object a line, of whatever program: names that most programs use for time, user, address and message are
//! known, objects inside are flattened (`user.name`), and everything stays as a field. Entries of the systemd
//! journal are read here too, from JSON and from its export format.
//! Source: Elastic Common Schema, nginx and Caddy JSON logs, `systemd.journal-fields(7)`.

use std::sync::Arc;

use directive::text::Text;
use serde_json::Value;

use super::{Lines, Told, access, single, syslog};
use crate::clock;
use crate::event::{Action, Event, Source};
use crate::meaning::Context;

/// Reads lines of JSON.
pub(super) struct Json {
    context: Arc<Context>,
}

const TIMES: [&str; 11] =
    ["@timestamp", "timestamp", "time", "ts", "datetime", "date", "eventTime", "time_iso8601", "time_local", "t", "at"];
const USERS: [&str; 9] =
    ["user.name", "user", "username", "user_name", "userName", "remote_user", "acct", "userIdentity.userName", "actor"];
const ADDRESSES: [&str; 12] = [
    "source.ip",
    "client.ip",
    "client_ip",
    "clientip",
    "remote_addr",
    "remote_ip",
    "request.remote_ip",
    "src_ip",
    "sourceIPAddress",
    "c-ip",
    "ip",
    "src",
];
const MESSAGES: [&str; 4] = ["message", "msg", "log", "event.original"];
const HOSTS: [&str; 4] = ["host.name", "hostname", "host", "server"];
const PROGRAMS: [&str; 5] = ["process.name", "program", "app", "service", "logger"];
const METHODS: [&str; 4] = ["request.method", "request_method", "http.request.method", "method"];
const TARGETS: [&str; 5] = ["request.uri", "request_uri", "url.original", "uri", "url"];
const STATES: [&str; 4] = ["status", "http.response.status_code", "status_code", "sc-status"];
const AGENTS: [&str; 5] =
    ["http_user_agent", "user_agent.original", "request.headers.User-Agent", "user_agent", "userAgent"];

/// Objects inside of objects that are followed, and fields that are kept of one line.
const DEEPEST: usize = 8;
const MOST: usize = 1024;

const WEB: Source = Source { product: None, category: Some("webserver"), services: &[] };

impl Json {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    fn object(&self, line: &[u8], number: u64) -> Option<Event> {
        let Value::Object(object) = serde_json::from_slice(line).ok()? else { return None };
        if object.contains_key("__REALTIME_TIMESTAMP") {
            let fields = object.into_iter().map(|(name, value)| (name, bytes(value)));
            return Some(journal_entry(fields.collect(), number, &self.context));
        }
        let mut event = Event::at(number, Source::default());
        for (name, value) in object {
            flatten(name, value, DEEPEST, &mut event);
        }
        let find = |names: &[&str]| names.iter().find_map(|name| event.field(name)).map(str::to_owned);
        let told = TIMES.iter().find_map(|name| self.time(event.field(name)?));
        let (user, address, target) = (find(&USERS), find(&ADDRESSES), find(&TARGETS));
        let (message, host, program) = (find(&MESSAGES), find(&HOSTS), find(&PROGRAMS));
        let (method, status, agent) = (find(&METHODS), find(&STATES), find(&AGENTS));
        event.when(told);
        event.by(&user.unwrap_or_default(), None);
        event.from(&address.clone().unwrap_or_default());
        event.message = message.map_or_else(|| Text::new(line), Text::from);
        (event.host, event.program) = (host, program);
        if let (Some(target), Some(status)) = (target, status) {
            event.source = WEB;
            event.action = Action::Request;
            access::target_of(&target, &mut event);
            event.tell("sc-status", status);
            event.tell("cs-method", method.unwrap_or_default());
            event.tell("cs-user-agent", agent.unwrap_or_default());
            event.tell("c-ip", address.unwrap_or_default());
        } else if let Some(program) = event.program.clone() {
            event.source = syslog::source(&program);
            let words = event.message.as_str().unwrap_or_default().to_owned();
            self.context.meaning.line(&program, &words, &mut event);
        }
        Some(event)
    }

    /// A time in any of the ways in which programs write it; large numbers are milli- and microseconds.
    fn time(&self, text: &str) -> clock::Told {
        let count = |digits: usize| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        if count(13) {
            return clock::microseconds(&format!("{text}000"));
        }
        if count(16) {
            return clock::microseconds(text);
        }
        let number = || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| clock::epoch(text));
        clock::zoned(text)
            .or_else(|| number()?)
            .or_else(|| clock::common(text))
            .or_else(|| self.context.zone.civil(text))
    }
}

impl Lines for Json {
    fn line(&mut self, line: &[u8], number: u64, out: &mut dyn FnMut(Event)) -> Told {
        if !line.trim_ascii_start().starts_with(b"{") {
            return Told::Strange;
        }
        single(self.object(line, number), out)
    }
}

/// Puts a value into the fields, and those inside of it under dotted names.
fn flatten(name: String, value: Value, deepest: usize, event: &mut Event) {
    if event.fields.len() >= MOST {
        return;
    }
    match value {
        Value::Object(inside) if deepest > 0 => {
            for (key, value) in inside {
                flatten(format!("{name}.{key}"), value, deepest - 1, event);
            }
        }
        Value::Array(values) if deepest > 0 => {
            values.into_iter().for_each(|value| flatten(name.clone(), value, deepest - 1, event));
        }
        Value::Null => {}
        Value::String(text) => event.tell(&name, text),
        other => event.tell(&name, other.to_string()),
    }
}

/// The bytes of a journal field: a string, or a list of numbers where it is not UTF-8.
fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.into_bytes(),
        Value::Array(values) if values.iter().all(Value::is_number) => {
            values.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()).unwrap_or(b'?')).collect()
        }
        Value::Array(mut values) => values.drain(..).next().map(bytes).unwrap_or_default(),
        Value::Null => Vec::new(),
        other => other.to_string().into_bytes(),
    }
}

/// An entry of the systemd journal.
pub(crate) fn journal_entry(fields: Vec<(String, Vec<u8>)>, number: u64, context: &Context) -> Event {
    let find = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice());
    let string = |name: &str| find(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let program = string("SYSLOG_IDENTIFIER").or_else(|| string("_COMM"));
    let mut event = Event::at(number, syslog::source(program.as_deref().unwrap_or_default()));
    let time = string("_SOURCE_REALTIME_TIMESTAMP").or_else(|| string("__REALTIME_TIMESTAMP"));
    event.when(time.as_deref().and_then(clock::microseconds));
    event.host = string("_HOSTNAME");
    event.message = Text::new(find("MESSAGE").unwrap_or_default());
    let words = String::from_utf8_lossy(event.message.as_bytes()).into_owned();
    if let Some(program) = &program {
        context.meaning.line(program, &words, &mut event);
    }
    event.program = program;
    let names = [("_EXE", "exe"), ("_COMM", "comm"), ("_CMDLINE", "CommandLine"), ("_PID", "pid"), ("_UID", "uid")];
    for (name, value) in fields.iter().take(MOST).filter(|(name, _)| name != "MESSAGE") {
        let value = String::from_utf8_lossy(value).into_owned();
        if let Some((_, known)) = names.iter().find(|(key, _)| key == name) {
            event.tell(known, value.clone());
        }
        event.tell(name, value);
    }
    event
}
