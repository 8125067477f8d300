//! Span: which versions does a product of an advisory stand for, as intervals that can be computed with?
//!
//! Single versions, `<`, `<=`, `>=` and several intervals behind each other, as `vers` writes them. What excludes its
//! own beginning, or a version in the middle, has no such form: whoever needs it is told, and nothing is guessed.
//! Source: CSAF 2.0, section 3.1.2.3.2 (`vls`, `vers`).

use super::Versions;

/// One interval of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// The first; absent: every older one too.
    pub from: Option<String>,
    /// The first that does not belong to it.
    pub before: Option<String>,
    /// The last that does.
    pub through: Option<String>,
}

/// How many intervals one range may have.
const MANY: usize = 256;

impl Versions {
    /// The intervals, or `None` if they have no form that can be computed with.
    pub fn spans(&self) -> Option<Vec<Span>> {
        let text = match self {
            Self::One(version) => return Some(vec![single(version.trim())?]),
            Self::Range(text) => text.trim(),
        };
        let constraints = match text.strip_prefix("vers:") {
            Some(vers) => vers.split_once('/')?.1,
            None => text,
        };
        if constraints == "*" {
            return Some(vec![Span::default()]);
        }
        let mut spans = Vec::new();
        let mut open: Option<String> = None;
        for constraint in constraints.split(['|', ',']).map(str::trim).filter(|one| !one.is_empty()) {
            let ends = |of: &str| constraint.strip_prefix(of).map(|version| version.trim().to_owned());
            if let Some(version) = ends(">=") {
                // Two beginnings behind each other: the first interval never ends.
                if open.replace(version).is_some() {
                    return None;
                }
            } else if let Some(version) = ends("<=") {
                spans.push(Span { from: open.take(), before: None, through: Some(version) });
            } else if let Some(version) = ends("<") {
                spans.push(Span { from: open.take(), before: Some(version), through: None });
            } else {
                let version = constraint.strip_prefix('=').unwrap_or(constraint).trim();
                // A single version inside an interval that has begun.
                if open.is_some() {
                    return None;
                }
                spans.push(single(version)?);
            }
        }
        spans.extend(open.map(|from| Span { from: Some(from), ..Span::default() }));
        let is_one = |version: &Option<String>| version.as_deref().is_none_or(is_version);
        let whole = spans.iter().all(|span| is_one(&span.from) && is_one(&span.before) && is_one(&span.through));
        // Of several, only the first may reach back without a beginning.
        let endless = spans.iter().skip(1).any(|span| span.from.is_none());
        (whole && !endless && !spans.is_empty() && spans.len() <= MANY).then_some(spans)
    }
}

fn single(version: &str) -> Option<Span> {
    let version = is_version(version).then(|| version.to_owned())?;
    Some(Span { from: Some(version.clone()), before: None, through: Some(version) })
}

/// Whether it may be a version: words of prose are none, and no sign of a comparison stands in one.
fn is_version(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || ".-_+:~()".contains(c);
    !text.is_empty() && text.len() <= 128 && text.chars().all(inside) && text.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: &str, expected: Option<&str>) {
        let shown = |span: Span| {
            let [from, before, through] = [span.from, span.before, span.through].map(Option::unwrap_or_default);
            format!("{from}..{before}={through}")
        };
        let found = Versions::Range(range.to_owned()).spans();
        let found = found.map(|spans| spans.into_iter().map(shown).collect::<Vec<_>>().join(" "));
        assert_eq!(found.as_deref(), expected, "{range}");
    }

    #[test]
    fn intervals_of_versions_can_be_computed_with() {
        check("vers:generic/>=9.0R3|<9.1R11.4", Some("9.0R3..9.1R11.4="));
        check("<9.1R11.4", Some("..9.1R11.4="));
        check("vers:generic/<=9.1R11.3", Some("..=9.1R11.3"));
        check("vers:generic/>=1|<2|>=3|<=3.5", Some("1..2= 3..=3.5"));
        check("vers:generic/1.0|=1.1", Some("1.0..=1.0 1.1..=1.1"));
        check(">=2.0", Some("2.0..="));
        check("vers:generic/*", Some("..="));
        assert_eq!(Versions::One("9.1".to_owned()).spans().unwrap().len(), 1);
    }

    #[test]
    fn what_has_no_such_form_is_not_guessed() {
        check("vers:generic/>9.0", None);
        check("vers:generic/<1|<2", None);
        check("vers:generic/>=1|>=2|<3", None);
        check("vers:generic/!=9.1", None);
        check("versions prior to 9.1R11.4", None);
        check("", None);
        assert_eq!(Versions::One("all versions".to_owned()).spans(), None);
    }
}
