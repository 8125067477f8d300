//! Suricata: how does the rule read for an inspecting sensor in the way?
//!
//! An export, for Suricata 6 and later in IPS mode; it sees what is not encrypted. `drop` becomes `alert` where the
//! sensor only listens. Each rule has a short literal of its own for the prefilter only where every spelling holds it,
//! which is nowhere: the rules are meant for days, not for ever.
//! Not run in Suricata itself, which our package sources have not: its parser and its expressions are
//! (`tests/proxies/sensor.rs`).
//! Source: Suricata user guide, "HTTP Keywords" (`http.uri.raw`, `http.header_names`), "pcre" (`;`, `"` and `/` are
//! escaped), "suricata.yaml" (`pcre.match-limit`); Suricata's detect-pcre.c (an error of a match is no match).

use std::fmt::Write as _;

use super::Rule;
use crate::rule::{Dialect, Expressions, Swift};

/// The longest path that is left to the expressions alone, in characters. Suricata counts an expression that takes more
/// than 3,500 steps as one that does not match, and some three hundred slashes make ours take as many.
const LONGEST: usize = 256;

/// What a longer path needs to be a disguise, and the path of a page seldom has. Bytes that are written otherwise, a
/// parameter, a backslash: in a class, which takes one step however long the path is.
const ODD: &str = "%\\x3b\\x5c\\x00-\\x20\\x7f-\\xff";

/// Segments and slashes that count for nothing: as literals, which take no steps and are found in a query too.
const IDLE: [&str; 2] = ["//", "/."];

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
    let swift = Swift::new(&rule.blocked());
    for text in of.spelt.iter().chain([&of.garbled]).chain(&swift.spelt).chain([&swift.host, &swift.parameter]) {
        drop(uri(text));
    }
    for text in &of.last {
        drop(format!("{}pcre:\"/{}/i\"; ", uri(&of.climbs), escape(text)));
    }
    // A path that is too long to be judged is refused where it could be a disguise.
    let long = uri(&format!("^[^?]{{{}}}", LONGEST + 1));
    drop(format!("{long}pcre:\"/^[^?{ODD}]*+[{ODD}]/i\"; "));
    for idle in IDLE {
        drop(format!("{long}content:\"{idle}\"; "));
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
