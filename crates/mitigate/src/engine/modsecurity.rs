//! ModSecurity: how does the rule read for ModSecurity 3 and Coraza?
//!
//! An export: where such an engine stands, its own people put the file in. Only expressions that RE2 knows, since
//! Coraza has nothing else. The raw target is matched without transformations; a second look takes the engine's own.
//! Source: ModSecurity reference manual v3 (`REQUEST_URI_RAW`, `REQUEST_HEADERS_NAMES`, `chain`); Coraza's list of
//! supported variables.

use std::fmt::Write as _;

use super::Rule;
use crate::rule::{Dialect, Expressions};

/// The rule as a file. Ids begin at `first`; they must be free in the engine.
pub fn rules(rule: &Rule<'_>, first: u32) -> String {
    let of = Expressions::new(&rule.blocked(), Dialect::Plain);
    let marker = rule.marker();
    let mut out = format!("# {marker}. For ModSecurity 3 and Coraza; needs `SecRuleEngine On`.\n");
    let mut id = first;
    let mut refuse = |variable: &str, text: &str, transformations: &str| {
        let actions = format!("id:{id},phase:1,deny,status:403,log,{transformations},msg:'{marker}'");
        let _ = writeln!(out, "SecRule {variable} \"@rx (?i){text}\" \"{actions}\"");
        id += 1;
    };
    for text in of.spelt.iter().chain([&of.garbled]) {
        refuse("REQUEST_URI_RAW", text, "t:none");
    }
    for text in &of.normal {
        refuse("REQUEST_FILENAME", text, "t:none,t:urlDecodeUni,t:urlDecodeUni,t:normalizePathWin,multiMatch");
    }
    for header in rule.headers() {
        let header = header.to_ascii_lowercase().replace('-', "[-_]");
        refuse("REQUEST_HEADERS_NAMES", &format!("^{header}$"), "t:none");
    }
    for text in &of.last {
        let actions = format!("id:{id},phase:1,deny,status:403,log,t:none,msg:'{marker}',chain");
        let _ = writeln!(out, "SecRule REQUEST_URI_RAW \"@rx (?i){}\" \"{actions}\"", of.climbs);
        let _ = writeln!(out, "    SecRule REQUEST_URI_RAW \"@rx (?i){text}\" \"t:none\"");
        id += 1;
    }
    out
}
