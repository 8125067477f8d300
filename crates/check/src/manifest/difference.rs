//! Difference: what does one list have that another has not?
//!
//! Two releases of a vendor, or yesterday's list of a machine and today's. It compares what lists say
//! and vouches for nothing.

use std::collections::BTreeMap;

use directive::text::Text;

use super::Manifest;

/// How one path stands in two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it, with different digests.
    Changed,
}

impl Change {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// Compares two lists. Sorted by path.
pub fn between<A, B>(first: &Manifest<A>, second: &Manifest<B>) -> Vec<(Text, Change)> {
    let by_path: BTreeMap<&[u8], [u8; 32]> = first.lines.iter().map(|line| (line.path, line.digest)).collect();
    let mut left = by_path.clone();
    let mut changes = Vec::new();
    for line in second.lines.iter() {
        left.remove(line.path);
        match by_path.get(line.path) {
            None => changes.push((Text::new(line.path), Change::Added)),
            Some(digest) if *digest != line.digest => {
                changes.push((Text::new(line.path), Change::Changed));
            }
            Some(_) => {}
        }
    }
    changes.extend(left.into_keys().map(|path| (Text::new(path), Change::Removed)));
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists of `path digit`: the digest is that digit 64 times.
    #[track_caller]
    fn check(first: &str, second: &str, expected: &str) {
        let read = |text: &str| {
            let line = |item: &str| {
                let (path, digit) = item.trim().split_once(' ').unwrap();
                format!("{}  {path}\n", digit.repeat(64))
            };
            Manifest::from_operator("list", text.split(',').map(line).collect::<String>().as_bytes()).unwrap()
        };
        let found = between(&read(first), &read(second));
        let found: Vec<String> = found.iter().map(|(path, change)| format!("{} {path}", change.as_str())).collect();
        assert_eq!(found.join(", "), expected);
    }

    #[test]
    fn two_lists_of_the_same_files_differ_in_nothing() {
        check("a 1, b 2", "./b 2, /a 1", "");
    }

    #[test]
    fn what_is_added_removed_and_changed_is_told_by_path() {
        check("a 1, b 2, c 3", "b 4, c 3, d 5", "removed /a, changed /b, added /d");
    }
}
