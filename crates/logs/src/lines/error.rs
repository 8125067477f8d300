//! Error: what did this web server complain about?
//!
//! Error logs of nginx (`2021/04/08 11:46:32 [error] 7#7: *1 ..`) and Apache
//! (`[Thu Apr 08 11:46:32.123456 2021] [core:error] [pid 7] [client 192.0.2.1:443] ..`).
//! Source: nginx `ngx_log.c`; Apache `ErrorLogFormat`.

use std::sync::Arc;

use directive::text::Text;

use super::{Lines, Told, single, text};
use crate::event::{Event, Source};
use crate::meaning::Context;

/// Reads error logs.
pub(super) struct Error {
    context: Arc<Context>,
}

const NGINX: Source = Source { product: Some("nginx"), category: Some("application"), services: &["nginx"] };
const APACHE: Source = Source { product: Some("apache"), category: Some("application"), services: &["apache"] };

impl Error {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    fn nginx(&self, line: &str, number: u64) -> Option<Event> {
        let (level, rest) = line.get(20..)?.strip_prefix('[')?.split_once("] ")?;
        let mut event = Event::at(number, NGINX);
        event.when(Some(self.context.zone.civil(line).filter(|_| line.as_bytes()[4] == b'/')?));
        event.program = Some("nginx".to_owned());
        event.tell("level", level);
        let words = rest.split_once(": ").map_or(rest, |(_, words)| words);
        for part in words.rsplit(", ") {
            let Some((name, value)) = part.split_once(": ") else { break };
            match name {
                "client" => {
                    event.from(value);
                    event.tell("c-ip", value);
                }
                "server" | "upstream" | "host" | "referrer" => event.tell(name, value.trim_matches('"')),
                "request" => event.tell("request", value.trim_matches('"')),
                _ => break,
            }
        }
        event.message = Text::from(words);
        Some(event)
    }

    fn apache(&self, line: &str, number: u64) -> Option<Event> {
        let (time, mut rest) = line.strip_prefix('[')?.split_once(']')?;
        // `Thu Apr 08 11:46:32.123456 2021`: put into the order that the reader of short times knows.
        let mut words = time.split_ascii_whitespace().skip(1);
        let (month, day, clock, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let mut event = Event::at(number, APACHE);
        event.when(Some(self.context.zone.short(&format!("{month} {day} {year} {clock}"))?));
        event.program = Some("apache2".to_owned());
        while let Some((part, after)) = rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            match part.split_once(' ') {
                Some(("client", client)) => {
                    event.from(client);
                    event.tell("c-ip", client.rsplit_once(':').map_or(client, |(address, _)| address));
                }
                Some(("pid", _)) => {}
                _ => event.tell("level", part),
            }
            rest = after;
        }
        event.message = Text::from(rest.trim_start());
        Some(event)
    }
}

impl Lines for Error {
    fn line(&mut self, line: &[u8], number: u64, out: &mut dyn FnMut(Event)) -> Told {
        let line = text(line);
        single(self.nginx(&line, number).or_else(|| self.apache(&line, number)), out)
    }

    fn is_literal(&self) -> bool {
        true
    }
}
