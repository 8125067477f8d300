//! Glob: does a path match a shell pattern, the way dpkg understands it?
//!
//! `*` and `?` match slashes too, `[..]` is a set, a backslash takes the next character literally:
//! `fnmatch(3)` without flags, as dpkg's `path-exclude` uses it.
//! Time is bounded by pattern length times path length; a crafted pattern cannot stall us.
//! Source: `dpkg(1)`, `--path-exclude`; POSIX.1-2017, "Pattern Matching Notation".

/// Whether `path` as a whole matches `pattern`.
pub(crate) fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut s) = (0, 0);
    // Where to go on if what follows the last star does not fit: only the last one matters.
    let mut star: Option<(usize, usize)> = None;
    while s < path.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, s));
            p += 1;
        } else if let Some(next) = one(pattern, p, path[s]) {
            p = next;
            s += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (p, s) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Where the pattern goes on if its element at `p` matches `byte`.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match set(pattern, p, byte) {
            Some((matched, end)) => matched.then_some(end),
            None => (byte == b'[').then_some(p + 1),
        },
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        literal => (*literal == byte).then_some(p + 1),
    }
}

/// Whether `byte` is in the set that begins at `p`, and where the set ends; `None` if it does not.
fn set(pattern: &[u8], p: usize, byte: u8) -> Option<(bool, usize)> {
    let mut at = p + 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    let mut found = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((found != negated, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(high)) if *high != b']' => {
                found |= (low..=*high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: bool) {
        assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
    }

    #[test]
    fn a_star_matches_whole_trees_as_in_dpkg() {
        check("/usr/share/doc/*", "/usr/share/doc/bash/README", true);
        check("/usr/share/doc/*/copyright", "/usr/share/doc/a/b/copyright", true);
        check("/usr/share/doc/*", "/usr/share/docs", false);
    }

    #[test]
    fn sets_and_escapes_are_understood() {
        check("/usr/share/locale/[!e]*/x", "/usr/share/locale/de/x", true);
        check("/usr/share/locale/[!e]*/x", "/usr/share/locale/en/x", false);
        check("/a/[b-d]?", "/a/cx", true);
        check("/a/[", "/a/[", true);
        check("/a/\\*", "/a/*", true);
        check("/a/\\*", "/a/b", false);
    }

    #[test]
    fn a_pattern_of_stars_does_not_stall_us() {
        check(&"*a".repeat(200), &"a".repeat(4000), true);
        check(&format!("{}b", "*a".repeat(200)), &"a".repeat(4000), false);
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_makes_us_panic(pattern: Vec<u8>, path: Vec<u8>) {
            let _ = matches(&pattern, &path);
        }
    }
}
