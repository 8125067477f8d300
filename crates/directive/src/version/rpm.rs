//! Rpm: which of two package versions is the newer one to rpm?
//!
//! Source: `rpm-version(7)`: pieces of digits and of letters are compared one after another, digits are newer than
//! letters, `~` sorts before everything and `^` behind the end only.

use std::cmp::Ordering;

/// A package version in its parts.
pub(super) struct Evr<'v> {
    epoch: &'v str,
    version: &'v str,
    release: Option<&'v str>,
}

/// Takes `1:8.7p1-38.el9` apart; `None` if it is no version.
pub(super) fn split(text: &str) -> Option<Evr<'_>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._+~^-:".contains(c);
    if text.len() > 128 || !text.contains(|c: char| c.is_ascii_digit()) || !text.chars().all(is_part) {
        return None;
    }
    let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
    let (version, release) = rest.rsplit_once('-').map_or((rest, None), |(version, release)| (version, Some(release)));
    (!version.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit())).then_some(Evr { epoch, version, release })
}

/// Compares epoch, version and release.
pub(super) fn compare(a: &Evr<'_>, b: &Evr<'_>) -> Ordering {
    let release = || match (a.release, b.release) {
        (Some(a), Some(b)) => pieces(a, b),
        _ => Ordering::Equal,
    };
    pieces(a.epoch, b.epoch).then_with(|| pieces(a.version, b.version)).then_with(release)
}

fn pieces(mut a: &str, mut b: &str) -> Ordering {
    loop {
        a = a.trim_start_matches(is_separator);
        b = b.trim_start_matches(is_separator);
        for (mark, with_mark, at_end) in
            [('~', Ordering::Less, Ordering::Less), ('^', Ordering::Less, Ordering::Greater)]
        {
            match (a.strip_prefix(mark), b.strip_prefix(mark)) {
                (Some(rest_a), Some(rest_b)) => return pieces(rest_a, rest_b),
                // A caret is newer than nothing, and older than whatever else goes on.
                (Some(_), None) => return if b.is_empty() { at_end } else { with_mark },
                (None, Some(_)) => return if a.is_empty() { at_end.reverse() } else { with_mark.reverse() },
                (None, None) => {}
            }
        }
        if a.is_empty() || b.is_empty() {
            // What goes on is newer.
            return a.len().min(1).cmp(&b.len().min(1));
        }
        let (piece_a, rest_a) = piece(a);
        let (piece_b, rest_b) = piece(b);
        let is_number = |piece: &str| piece.starts_with(|c: char| c.is_ascii_digit());
        let order = match (is_number(piece_a), is_number(piece_b)) {
            (true, true) => {
                let (a, b) = (piece_a.trim_start_matches('0'), piece_b.trim_start_matches('0'));
                a.len().cmp(&b.len()).then_with(|| a.cmp(b))
            }
            (false, false) => piece_a.cmp(piece_b),
            (a, b) => a.cmp(&b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

fn is_separator(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '~' && c != '^'
}

/// The digits or the letters that a version begins with, and the rest.
fn piece(text: &str) -> (&str, &str) {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    let goes_on = |c: char| c.is_ascii_alphanumeric() && c.is_ascii_digit() == is_number;
    text.split_at(text.find(|c| !goes_on(c)).unwrap_or(text.len()))
}
