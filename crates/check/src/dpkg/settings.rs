//! Settings: what did the administrator tell dpkg to do differently?
//!
//! Diversions move a package's file, overrides change its owner and mode, filters leave it out.
//! Source: `dpkg-divert(1)`, `dpkg-statoverride(1)`, `dpkg(1)` on `--path-exclude`; formats as in
//! dpkg 1.21 `lib/dpkg/db-fsys-divert.c` and `db-fsys-override.c`.

use std::collections::HashMap;

use directive::record::Gap;
use evidence::Source;

use crate::database::{ids, read};
use crate::glob;

/// Where a file went instead, and for whose sake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diversion {
    pub(crate) to: Vec<u8>,
    /// The package that keeps the original path; `None` if the administrator diverted it.
    pub(crate) by: Option<String>,
}

/// The diversions: three lines each, from, to, package.
pub(crate) fn diversions(bytes: &[u8]) -> HashMap<Vec<u8>, Diversion> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let (groups, _) = lines.as_chunks::<3>();
    groups
        .iter()
        .filter_map(|[from, to, by]| {
            let (from, to) = (evidence::normalise(from).ok()?, evidence::normalise(to).ok()?);
            let by = (*by != b":").then(|| String::from_utf8_lossy(by).into_owned());
            Some((from, Diversion { to, by }))
        })
        .collect()
}

/// Owner and mode that the administrator chose for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Override {
    /// `None` if the evidence does not know the name.
    pub(crate) uid: Option<u32>,
    /// `None` if the evidence does not know the name.
    pub(crate) gid: Option<u32>,
    pub(crate) mode: u32,
}

/// Reads `statoverride`, with names looked up in the evidence's own `passwd` and `group`.
pub(crate) fn overrides(source: &dyn Source, gaps: &mut Vec<Gap>) -> HashMap<Vec<u8>, Override> {
    let bytes = read(source, b"/var/lib/dpkg/statoverride", gaps).unwrap_or_default();
    if bytes.is_empty() {
        return HashMap::new();
    }
    let users = ids(&read(source, b"/etc/passwd", gaps).unwrap_or_default());
    let groups = ids(&read(source, b"/etc/group", gaps).unwrap_or_default());
    bytes.split(|byte| *byte == b'\n').filter_map(|line| override_of(line, &users, &groups)).collect()
}

/// `root messagebus 4754 /usr/lib/dbus-1.0/dbus-daemon-launch-helper`; `#0` is a number.
fn override_of(
    line: &[u8],
    users: &HashMap<Vec<u8>, u32>,
    groups: &HashMap<Vec<u8>, u32>,
) -> Option<(Vec<u8>, Override)> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (user, group, mode, path) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let id = |name: &[u8], known: &HashMap<Vec<u8>, u32>| match name.strip_prefix(b"#") {
        Some(number) => std::str::from_utf8(number).ok()?.parse().ok(),
        None => known.get(name).copied(),
    };
    let mode = u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?;
    let path = evidence::normalise(path).ok()?;
    Some((path, Override { uid: id(user, users), gid: id(group, groups), mode: mode & 0o7777 }))
}

/// Paths that dpkg was told to leave out, in the order in which it was told.
#[derive(Debug, Default)]
pub(crate) struct Filters(Vec<(bool, Vec<u8>)>);

impl Filters {
    /// Reads `dpkg.cfg.d` and then `dpkg.cfg`, as dpkg does.
    pub(crate) fn read(source: &dyn Source, gaps: &mut Vec<Gap>) -> Self {
        const FOLDER: &[u8] = b"/etc/dpkg/dpkg.cfg.d";
        let mut out = Self::default();
        for name in source.list(FOLDER).ok().flatten().unwrap_or_default() {
            if name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)) {
                out.add(&read(source, &[FOLDER, b"/", name.as_slice()].concat(), gaps).unwrap_or_default());
            }
        }
        out.add(&read(source, b"/etc/dpkg/dpkg.cfg", gaps).unwrap_or_default());
        out
    }

    fn add(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            for (exclude, option) in [(true, &b"path-exclude"[..]), (false, b"path-include")] {
                let Some(rest) = line.strip_prefix(option) else { continue };
                let Some(b'=' | b' ' | b'\t') = rest.first() else { continue };
                let pattern = rest.trim_ascii_start();
                let pattern = pattern.strip_prefix(b"=").unwrap_or(pattern).trim_ascii();
                let quoted = pattern.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                self.0.push((exclude, quoted.unwrap_or(pattern).to_vec()));
            }
        }
    }

    /// Whether dpkg did not unpack this path: the last pattern that matches decides.
    pub(crate) fn exclude(&self, path: &[u8]) -> bool {
        let last = self.0.iter().rev().find(|(_, pattern)| glob::matches(pattern, path));
        last.is_some_and(|(exclude, _)| *exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_filter_that_matches_decides() {
        let mut filters = Filters::default();
        filters.add(b"path-exclude=/usr/share/doc/*\npath-include /usr/share/doc/*/copyright\n# path-exclude=/bin/*\n");
        assert!(filters.exclude(b"/usr/share/doc/bash/README"));
        assert!(!filters.exclude(b"/usr/share/doc/bash/copyright"));
        assert!(!filters.exclude(b"/bin/sh"));
    }

    #[test]
    fn an_override_names_owner_group_and_mode() {
        let users = ids(b"root:x:0:0:root:/root:/bin/bash\n");
        let (path, found) = override_of(b"root #104 4754 /usr/lib/x y", &users, &users).unwrap();
        assert_eq!(path, b"/usr/lib/x y");
        assert_eq!(found, Override { uid: Some(0), gid: Some(104), mode: 0o4754 });
    }

    #[test]
    fn a_local_diversion_is_for_nobodys_sake() {
        let found = diversions(b"/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n");
        assert_eq!(found[&b"/bin/sh"[..]].by.as_deref(), Some("dash"));
        assert_eq!(found[&b"/a"[..]].by, None);
    }

    proptest::proptest! {
        #[test]
        fn no_setting_makes_us_panic(bytes: Vec<u8>) {
            let _ = diversions(&bytes);
            let users = ids(&bytes);
            let _ = override_of(&bytes, &users, &users);
            let mut filters = Filters::default();
            filters.add(&bytes);
            let _ = filters.exclude(&bytes);
        }
    }
}
