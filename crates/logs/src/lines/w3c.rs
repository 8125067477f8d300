//! W3c: what do IIS and Exchange say in their own tables?
//!
//! `#Fields:` names the columns, and may change in the middle of a file. Exchange's HttpProxy writes the same
//! header and separates by commas. Times are UTC, as the format demands.
//! Source: W3C Extended Log File Format (WD-logfile-960323); IIS `W3CExtLogFile`.

use directive::text::Text;

use super::{Lines, Told, access, single, text};
use crate::clock;
use crate::event::{Action, Event, Source};

/// Reads W3C extended logs.
#[derive(Default)]
pub(super) struct W3c {
    columns: Vec<String>,
    is_comma: bool,
}

const IIS: Source = Source { product: Some("windows"), category: Some("webserver"), services: &["iis"] };

/// Columns that are read; a header can name more than a line holds.
const MOST: usize = 512;

impl W3c {
    fn header(&mut self, line: &str) -> bool {
        if let Some(names) = line.strip_prefix("#Fields:") {
            self.is_comma = names.contains(',');
            let separator = if self.is_comma { ',' } else { ' ' };
            let names = names.split(separator).map(str::trim).filter(|name| !name.is_empty());
            self.columns = names.take(MOST).map(str::to_owned).collect();
            return true;
        }
        // HttpProxy writes its header without a mark.
        if line.starts_with("DateTime,RequestId,") {
            self.is_comma = true;
            self.columns = line.split(',').take(MOST).map(str::to_owned).collect();
            return true;
        }
        line.starts_with('#')
    }

    fn row(&self, line: &str, number: u64) -> Option<Event> {
        let values = if self.is_comma { commas(line) } else { line.split(' ').map(str::to_owned).collect() };
        if self.columns.is_empty() || values.len() != self.columns.len() {
            return None;
        }
        let mut event = Event::at(number, IIS);
        event.action = Action::Request;
        let pairs = || self.columns.iter().map(String::as_str).zip(values.iter().map(String::as_str));
        let value = |name: &str| pairs().find(|(key, _)| *key == name).map(|(_, value)| value).filter(|v| *v != "-");
        let time = match (value("date"), value("time")) {
            (Some(date), Some(time)) => Some(format!("{date}T{time}Z")),
            _ => value("DateTime").or(value("date-time")).map(str::to_owned),
        };
        event.when(time.as_deref().and_then(clock::zoned));
        event.from(value("c-ip").or(value("ClientIpAddress")).unwrap_or_default());
        if let Some(user) = value("cs-username").or(value("AuthenticatedUser")) {
            // `DOMAIN\user`.
            let (realm, user) = user.split_once('\\').map_or((None, user), |(realm, user)| (Some(realm), user));
            event.by(user, realm);
        }
        event.host = value("s-computername").or(value("ServerHostName")).map(str::to_owned);
        for (name, value) in pairs().filter(|(_, value)| *value != "-") {
            event.tell(name, value);
            match name {
                "cs(User-Agent)" | "UserAgent" => event.tell("cs-user-agent", value),
                "cs(Referer)" => event.tell("cs-referer", value),
                "ClientIpAddress" => event.tell("c-ip", value),
                "Method" => event.tell("cs-method", value),
                "HttpStatus" => event.tell("sc-status", value),
                "UrlStem" => access::target_of(value, &mut event),
                "UrlQuery" => event.tell("cs-uri-query", value),
                _ => {}
            }
        }
        if let Some(stem) = value("cs-uri-stem") {
            let whole = value("cs-uri-query").map_or(stem.to_owned(), |query| format!("{stem}?{query}"));
            event.tell("cs-uri-query", whole.clone());
            event.tell("c-uri", whole.clone());
            event.tell("cs-uri", whole);
        }
        event.message = Text::from(line);
        Some(event)
    }
}

impl Lines for W3c {
    fn line(&mut self, line: &[u8], number: u64, out: &mut dyn FnMut(Event)) -> Told {
        let line = text(line);
        let line = line.trim_start_matches('\u{feff}');
        if self.header(line) {
            // A file that holds nothing but its header is still of this format.
            return if line.starts_with("#Fields:") { Told::Understood } else { Told::Silent };
        }
        single(self.row(line, number), out)
    }
}

/// A row of CSV.
fn commas(line: &str) -> Vec<String> {
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes()).into_records();
    let row = rows.next().and_then(Result::ok).unwrap_or_default();
    row.iter().map(str::to_owned).collect()
}
