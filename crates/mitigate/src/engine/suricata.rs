//! Suricata: how does the rule read for an inspecting sensor in the way?
//!
//! An export, for Suricata 6 and later in IPS mode; it sees what is not encrypted. `drop` becomes `alert` where the
//! sensor only listens. Each rule has a short literal of its own for the prefilter only where every spelling holds it,
//! which is nowhere: the rules are meant for days, not for ever.
//! Source: Suricata user guide, "HTTP Keywords" (`http.uri.raw`, `http.header_names`), "pcre" (`;`, `"` and `/` are
//! escaped).

use std::fmt::Write as _;

use super::Rule;
use crate::rule::{Dialect, Expressions};

/// The rule as a file. Ids begin at `first`; they must be free in the sensor.
pub fn rules(rule: &Rule<'_>, first: u32) -> String {
    let of = Expressions::new(&rule.blocked(), Dialect::Pcre);
    let marker = rule.marker();
    let mut out = format!("# {marker}. For Suricata in IPS mode.\n");
    let mut sid = first;
    let mut drop = |buffers: String| {
        let head = "drop http any any -> any any (flow:established,to_server; ";
        let _ = writeln!(out, "{head}msg:\"{marker}\"; {buffers}sid:{sid}; rev:1;)");
        sid += 1;
    };
    let uri = |text: &str| format!("http.uri.raw; pcre:\"/{}/i\"; ", escape(text));
    for text in of.spelt.iter().chain([&of.garbled]) {
        drop(uri(text));
    }
    for text in &of.last {
        drop(format!("{}pcre:\"/{}/i\"; ", uri(&of.climbs), escape(text)));
    }
    for header in rule.headers() {
        let header = header.to_ascii_lowercase().replace('-', "[-_]");
        drop(format!("http.header_names; pcre:\"/\\r\\n{header}\\r\\n/i\"; "));
    }
    out
}

/// A slash ends an expression here.
fn escape(text: &str) -> String {
    text.replace('/', "\\x2f")
}
