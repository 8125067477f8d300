//! Workaround: which requests shut the hole until there is a patch, and what must keep working?
//!
//! The files `workaround/*.toml` of a pack: one abstract rule each. `mitigate` puts it into the words of a proxy and
//! proves it; this module only reads it. Refuses rules that would block everything, or the way in.
//! Source: docs/packs.md, "workaround/".

use std::collections::BTreeSet;

use jiff::Span;
use serde::{Deserialize, Deserializer, Serialize, de};
use toml::Spanned;

use crate::change::Kind;
use crate::problem::Problem;
use crate::version::Scheme;

/// The most paths that one workaround may block: each is tried in every spelling.
const MOST_BLOCKED: usize = 32;

/// One abstract rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workaround {
    /// Its id, unique in the pack: `2104`.
    pub id: Spanned<String>,
    /// What it is, in a few words.
    pub title: String,
    /// What a person should know before he applies it, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The action of the directive that it does.
    pub action: Option<Spanned<String>>,
    /// For how long a proof counts.
    pub every: Cadence,
    /// How long after it was planned it is no answer any more.
    pub expires_after: Cadence,
    /// Headers by which the product may be told another path than the one that is asked for. Whoever sends one is
    /// refused.
    #[serde(default)]
    pub headers: Vec<Spanned<String>>,
    /// What is refused.
    #[serde(default)]
    pub blocked: Vec<Spanned<Blocked>>,
    /// What must be answered as before.
    #[serde(default)]
    pub required: Vec<Spanned<Required>>,
    /// Versions on which it must not be used.
    #[serde(default, rename = "must-not")]
    pub must_not: Vec<Spanned<MustNot>>,
    /// The vendor's own file.
    pub vendor_file: Option<VendorFile>,
}

/// A span that a pack states, `24h`; positive.
#[derive(Debug, Clone, Copy)]
pub struct Cadence(pub Span);

impl<'de> Deserialize<'de> for Cadence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span: Span = text
            .parse()
            .map_err(|err| de::Error::custom(format!("{text:?} is no span, like \"24h\" or \"30 days\": {err}")))?;
        if span.is_positive() { Ok(Self(span)) } else { Err(de::Error::custom(format!("{text:?} is no time at all"))) }
    }
}

/// A path of the product that is refused with everything below it, by every method and in every spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Blocked {
    /// The path as the product has it: `/dana/fb/smb`.
    pub path: String,
    /// What may follow its last segment.
    #[serde(default)]
    pub trailing: Trailing,
    /// What is lost by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What may follow the last segment of a blocked path, so that it is still that path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trailing {
    /// Nothing, or anything but a letter, a digit, `-` or `_`: `/meeting`, `/meeting/x`, `/meeting.cgi`,
    /// `/meeting;v=1`, and not `/meetings` or `/meeting-rooms`.
    #[default]
    Word,
    /// Anything: `/meetings` too.
    Any,
}

impl Blocked {
    /// What is wrong with the path, if anything is.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let segments = || self.path.split('/').skip(1);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !self.path.starts_with('/') || self.path.len() < 3 {
            return Some("blocks everything, or nothing");
        }
        if segments().any(str::is_empty) {
            return Some("has an empty segment");
        }
        if segments().count() > 8 || self.path.len() > 64 {
            return Some("has more than 8 segments or 64 characters");
        }
        // A dot in the middle is fine for files; dot segments and escapes are spellings, which are ours to think of.
        let is_segment = |part: &str| part.bytes().all(|byte| is_plain(byte) || byte == b'.') && !part.starts_with('.');
        if !segments().all(is_segment) || !self.path.bytes().last().is_some_and(is_plain) {
            return Some("is no plain path of letters, digits, `-`, `_` and `.`");
        }
        None
    }
}

/// A request that must be answered as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Required {
    /// The path, with a query if there must be one.
    pub path: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// A function that users need, or only a neighbour that looks like a blocked path and must not be refused. The
    /// first must answer; of the second it is enough that nobody refuses it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub look_alike: bool,
    /// The status of a good answer; empty: any below 400.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Versions on which a workaround must not be used; both ends belong to them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MustNot {
    /// The first.
    pub from: String,
    /// The last.
    pub through: String,
    /// Only where it is done so; empty: however it is done.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Why.
    pub why: String,
}

/// The vendor's own file, which the operator brings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VendorFile {
    /// Its name.
    pub name: String,
    /// SHA-256 of the files that are known to be it; empty: nobody has published one, and the operator states it.
    #[serde(default)]
    pub sha256: Vec<String>,
    /// How a person imports it.
    pub import: String,
    /// How a person takes it back.
    pub undo: String,
    /// What the instance logs when it is imported, as the codes of its events.
    #[serde(default)]
    pub events: Vec<String>,
}

/// Whether a workaround may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// It may.
    Yes,
    /// It must not, and why.
    No(String),
    /// Nobody knows the version, and on some it must not.
    Unknown(String),
}

impl Workaround {
    /// Whether it may be used in this way on a product of this version.
    pub fn allows(&self, kind: Kind, version: Option<&str>, scheme: Scheme) -> Allowed {
        let rows = self.must_not.iter().map(Spanned::get_ref);
        let rows: Vec<_> = rows.filter(|row| row.kinds.is_empty() || row.kinds.contains(&kind)).collect();
        let Some(first) = rows.first() else { return Allowed::Yes };
        let Some(version) = version.filter(|version| scheme.accepts(version)) else {
            return Allowed::Unknown(format!(
                "it must not be used on {} to {}: {}",
                first.from, first.through, first.why
            ));
        };
        let at_least = |low: &str, high: &str| scheme.compare(low, high).is_some_and(std::cmp::Ordering::is_le);
        match rows.iter().find(|row| at_least(&row.from, version) && at_least(version, &row.through)) {
            Some(row) => Allowed::No(format!("{version} lies in {} to {}: {}", row.from, row.through, row.why)),
            None => Allowed::Yes,
        }
    }
}

/// Every mistake in a workaround, each with its place in `text`. `actions` are the ids of the directive's actions.
pub(crate) fn check(
    file: &str,
    text: &str,
    workaround: &Workaround,
    actions: &BTreeSet<&str>,
    scheme: Scheme,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut at = |span, message: String, hint: &str| problems.push(Problem::at(file, text, span, message).hint(hint));
    let id = workaround.id.get_ref();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        at(
            workaround.id.span(),
            format!("{id:?} is no id"),
            "lower-case letters, digits and `-`: it becomes a file name",
        );
    }
    if let Some(action) = workaround.action.as_ref().filter(|action| !actions.contains(action.get_ref().as_str())) {
        at(
            action.span(),
            format!("the directive has no action {:?}", action.get_ref()),
            "use the id of one, or leave it out",
        );
    }
    if workaround.blocked.len() > MOST_BLOCKED {
        let span = workaround.id.span();
        at(span, format!("it blocks more than {MOST_BLOCKED} paths"), "each is tried in every spelling; split it");
    }
    if workaround.blocked.is_empty() && workaround.vendor_file.is_none() {
        at(workaround.id.span(), "it blocks nothing".into(), "name [[blocked]] paths, or the vendor's file");
    }
    if !workaround.blocked.is_empty() && workaround.required.is_empty() {
        let hint = "name [[required]] requests, the way in first: a block that shuts users out must be seen";
        at(workaround.id.span(), "nothing is required to keep working".into(), hint);
    }
    for blocked in &workaround.blocked {
        if let Some(why) = blocked.get_ref().mistake() {
            let message = format!("the path {:?} {why}", blocked.get_ref().path);
            at(blocked.span(), message, "write the path as the product has it, /like/this; spellings are our business");
        }
    }
    for required in &workaround.required {
        let path = &required.get_ref().path;
        let is_target = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_target {
            at(
                required.span(),
                format!("{path:?} cannot be asked for"),
                "a path begins with a slash and holds no space",
            );
        }
        let blocks = |blocked: &&Spanned<Blocked>| is_below(path, blocked.get_ref());
        if let Some(blocked) = workaround.blocked.iter().find(blocks) {
            let message = format!("{path:?} is required, and blocked as {:?}", blocked.get_ref().path);
            at(required.span(), message, "take one of the two out");
        }
    }
    for header in &workaround.headers {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if header.get_ref().is_empty() || !header.get_ref().bytes().all(is_name) {
            at(header.span(), format!("{:?} is no name of a header", header.get_ref()), "X-Original-URL, for example");
        }
    }
    for row in &workaround.must_not {
        let MustNot { from, through, .. } = row.get_ref();
        if scheme.compare(from, through).is_none_or(std::cmp::Ordering::is_gt) {
            at(row.span(), format!("{from:?} to {through:?} is no range of versions"), "the first comes first");
        }
    }
    problems
}

/// Whether a plain path is a blocked one, without any disguise.
fn is_below(path: &str, blocked: &Blocked) -> bool {
    let path = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let rest = path.strip_prefix(&blocked.path.to_ascii_lowercase());
    rest.is_some_and(|rest| {
        blocked.trailing == Trailing::Any
            || !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "id = \"w1\"\ntitle = \"t\"\nevery = \"24h\"\nexpires-after = \"30 days\"\n";

    #[track_caller]
    fn refuses(more: &str, expected: &str) {
        let text = format!("{GOOD}{more}");
        let problems = match toml::from_str::<Workaround>(&text) {
            Ok(read) => check("w1.toml", &text, &read, &BTreeSet::from(["2"]), Scheme::Segments),
            Err(err) => vec![Problem::from_toml("w1.toml", &text, &err)],
        };
        let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(if expected.is_empty() { said.is_empty() } else { said.contains(expected) }, "{said}");
    }

    #[test]
    fn a_rule_that_would_block_the_way_in_is_refused_with_its_line() {
        let login = "[[required]]\npath = \"/login\"\n";
        refuses(&format!("[[blocked]]\npath = \"/dana/meeting\"\n{login}"), "");
        refuses(&format!("[[blocked]]\npath = \"/login\"\n{login}"), "w1.toml:7:1");
        refuses(&format!("[[blocked]]\npath = \"/LOG\"\ntrailing = \"any\"\n{login}"), "is required, and blocked as");
        refuses(&format!("[[blocked]]\npath = \"/\"\n{login}"), "blocks everything");
        refuses(&format!("[[blocked]]\npath = \"/a//b\"\n{login}"), "has an empty segment");
        refuses(&format!("[[blocked]]\npath = \"/a/%62\"\n{login}"), "is no plain path");
        refuses(&format!("[[blocked]]\npath = \"/a/..\"\n{login}"), "is no plain path");
        refuses("[[blocked]]\npath = \"/dana/meeting\"\n", "nothing is required to keep working");
        refuses("", "it blocks nothing");
    }

    #[test]
    fn references_and_spans_of_a_rule_are_checked() {
        let rest = "[[blocked]]\npath = \"/x1\"\n[[required]]\npath = \"/login\"\n";
        refuses(&format!("action = \"9\"\n{rest}"), "the directive has no action");
        refuses(&format!("headers = [\"X Y\"]\n{rest}"), "is no name of a header");
        refuses(&format!("{rest}[[must-not]]\nfrom = \"9.1R2\"\nthrough = \"9.1R1\"\nwhy = \"w\"\n"), "no range");
        let text = GOOD.replace("24h", "0h");
        assert!(toml::from_str::<Workaround>(&text).unwrap_err().to_string().contains("no time at all"));
    }

    #[test]
    fn versions_on_which_it_must_not_be_used_are_told() {
        let rows = "[[must-not]]\nfrom = \"9.0R1\"\nthrough = \"9.0R4.1\"\nkinds = [\"vendor-file\"]\nwhy = \"w\"\n";
        let read: Workaround = toml::from_str(&format!("{GOOD}{rows}")).unwrap();
        let ask = |kind, version| read.allows(kind, version, Scheme::Segments);
        assert!(matches!(ask(Kind::VendorFile, Some("9.0R4.1")), Allowed::No(_)));
        assert!(matches!(ask(Kind::VendorFile, Some("9.0R1")), Allowed::No(_)));
        assert_eq!(ask(Kind::VendorFile, Some("9.0R5")), Allowed::Yes);
        assert!(matches!(ask(Kind::VendorFile, None), Allowed::Unknown(_)));
        assert_eq!(ask(Kind::Nginx, Some("9.0R2")), Allowed::Yes);
    }
}
