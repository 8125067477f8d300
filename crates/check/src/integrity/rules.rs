//! Rules: is the owner right, and may this program do more than it should?
//!
//! Three kinds: the product's own (from the pack), Debian's for files of packages
//! (`data/debian.toml`), and what the administrator told dpkg (`statoverride`), which stands above
//! Debian's.
//! Source: Debian Policy 10.9; ATT&CK T1548.001 (setuid and setgid).

use std::collections::HashMap;

use directive::product::MetadataRule;
use directive::record::Severity;
use directive::text::escape;
use evidence::{Kind, Meta, Source};

use super::sight::is_below;
use crate::dpkg::Override;
use crate::glob;
use crate::manifest::Owner;

const DEBIAN: &str = include_str!("../../data/debian.toml");

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Debian {
    metadata: Vec<MetadataRule>,
    capability: Capability,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Capability {
    known: Vec<String>,
}

/// What is wrong with owner, mode or capabilities of one entry.
pub(super) struct Complaint {
    pub(super) severity: Severity,
    pub(super) why: String,
    pub(super) rule: &'static str,
    /// Whether it lets somebody run with another user's rights.
    pub(super) escalates: bool,
}

pub(super) struct Rules {
    product: Vec<MetadataRule>,
    /// `None` where the instance is not held against packages of Debian.
    debian: Option<Debian>,
    overrides: HashMap<Vec<u8>, Override>,
}

const SETID: u32 = 0o6000;

impl Rules {
    /// `of_debian`: whether Debian's own rules hold for files of packages.
    pub(super) fn new(
        source: &dyn Source,
        product: &[MetadataRule],
        overrides: HashMap<Vec<u8>, Override>,
        of_debian: bool,
    ) -> Self {
        let place = |path: &str| match source.canonical_file(path.as_bytes()).map(String::from_utf8) {
            Some(Ok(found)) if !found.is_empty() => found,
            _ => path.to_owned(),
        };
        let product = product.iter().map(|rule| MetadataRule { under: place(&rule.under), ..rule.clone() }).collect();
        let placed = |path: Vec<u8>| match source.canonical_file(&path) {
            Some(found) if !found.is_empty() => found,
            _ => path,
        };
        let overrides = overrides.into_iter().map(|(path, over)| (placed(path), over)).collect();
        // A test parses this very table; it cannot fail here.
        let debian = of_debian.then(|| toml::from_str(DEBIAN).expect("data/debian.toml is part of the program"));
        Self { product, debian, overrides }
    }

    /// What the pack and the administrator's overrides say about a file or folder. `path` is the one
    /// inside its installation.
    pub(super) fn product(&self, meta: &Meta, path: &[u8]) -> Option<Complaint> {
        if let Some(over) = self.overrides.get(meta.path.as_bytes()) {
            return overridden(over, meta);
        }
        broken(&self.product, meta, path, "product rule")
    }

    /// What Debian ships, for a file of a package.
    pub(super) fn package(&self, meta: &Meta) -> Option<Complaint> {
        let debian = self.debian.as_ref().filter(|_| !self.overrides.contains_key(meta.path.as_bytes()))?;
        broken(&debian.metadata, meta, meta.path.as_bytes(), "debian.toml").or_else(|| {
            let capability = meta.capability()?;
            let known = debian.capability.known.iter().any(|known| covers(known, meta.path.as_bytes()));
            let why = format!("it has {capability}, which Debian does not give to this program");
            (!known).then_some(Complaint { severity: Severity::High, why, rule: "debian.toml", escalates: true })
        })
    }

    /// How owner and mode differ from those that were shipped; any of several will do.
    pub(super) fn shipped(&self, meta: &Meta, owners: impl Iterator<Item = Owner>) -> Option<Complaint> {
        if self.overrides.contains_key(meta.path.as_bytes()) {
            return None;
        }
        let mut complaint = None;
        for owner in owners {
            complaint = Some(differing(&owner, meta)?);
        }
        complaint
    }

    /// What is worth a word about a file that nobody lists.
    pub(super) fn unlisted(&self, meta: &Meta) -> Option<Complaint> {
        let why = match meta.capability() {
            Some(capability) => format!("no manifest lists it, and it has {capability}"),
            None if meta.mode & SETID != 0 && meta.is_executable() => {
                format!(
                    "no manifest lists it, and mode {:04o} gives whoever runs it the rights of {}:{}",
                    meta.mode, meta.uid, meta.gid
                )
            }
            None => return None,
        };
        Some(Complaint { severity: Severity::Low, why, rule: "setuid", escalates: true })
    }
}

/// What differs from an owner and a mode that were shipped.
fn differing(owner: &Owner, meta: &Meta) -> Option<Complaint> {
    let shipped = owner.mode.unwrap_or(meta.mode);
    let more = meta.mode & !shipped & (SETID | 0o022);
    let mut wrong = Vec::new();
    let stranger = owner.uid.filter(|uid| *uid != meta.uid);
    if let Some(uid) = stranger {
        wrong.push(format!("owner is {}, the package has {uid}", meta.uid));
    }
    // Scripts of Debian's packages give files to groups that have no fixed number.
    if let Some(gid) = owner.gid.filter(|gid| owner.exact && *gid != meta.gid) {
        wrong.push(format!("group is {}, the package has {gid}", meta.gid));
    }
    if more != 0 || (owner.exact && meta.mode != shipped) {
        wrong.push(format!("mode is {:04o}, the package has {:04o}", meta.mode, shipped));
    }
    let is_anothers = stranger.is_some() && meta.uid != 0;
    let severity = if more != 0 || is_anothers { Severity::High } else { Severity::Low };
    (!wrong.is_empty()).then(|| Complaint {
        severity,
        why: wrong.join("; "),
        rule: "package",
        escalates: more & SETID != 0,
    })
}

fn overridden(over: &Override, meta: &Meta) -> Option<Complaint> {
    let mut wrong = Vec::new();
    for (what, expected, found) in [("owner", over.uid, meta.uid), ("group", over.gid, meta.gid)] {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            wrong.push(format!("{what} is {found}, the administrator set {expected}"));
        }
    }
    if over.mode != meta.mode {
        wrong.push(format!("mode is {:04o}, the administrator set {:04o}", meta.mode, over.mode));
    }
    let escalates = meta.mode & !over.mode & SETID != 0;
    (!wrong.is_empty()).then(|| Complaint {
        severity: Severity::Medium,
        why: wrong.join("; "),
        rule: "dpkg-statoverride",
        escalates,
    })
}

/// What is wrong by the rules that cover a path.
fn broken(rules: &[MetadataRule], meta: &Meta, path: &[u8], name: &'static str) -> Option<Complaint> {
    let mut wrong = Vec::new();
    let mut bits = 0;
    for rule in rules {
        let uid = rule.uid.filter(|uid| *uid != meta.uid);
        let gid = rule.gid.filter(|gid| *gid != meta.gid);
        // In a folder the bits mean inheritance (setgid) and a shared folder (sticky).
        let kind = if meta.kind == Kind::Folder { !SETID } else { !0 };
        let forbidden = meta.mode & rule.forbid.0 & kind;
        if (uid, gid, forbidden) == (None, None, 0) || !is_below(path, rule.under.trim_end_matches('/').as_bytes()) {
            continue;
        }
        if rule.except.iter().any(|except| covers(except, path)) {
            continue;
        }
        wrong.extend(uid.map(|uid| format!("owner is {}, not {uid}", meta.uid)));
        wrong.extend(gid.map(|gid| format!("group is {}, not {gid}", meta.gid)));
        bits |= forbidden;
    }
    if bits != 0 {
        wrong.push(format!("mode {:04o} has {} set", meta.mode, describe(bits)));
    }
    let escalates = bits & SETID != 0;
    (!wrong.is_empty()).then(|| Complaint {
        severity: Severity::High,
        why: escape(wrong.join("; ")),
        rule: name,
        escalates,
    })
}

fn describe(bits: u32) -> String {
    let names = [
        (0o4000, "setuid"),
        (0o2000, "setgid"),
        (0o1000, "sticky"),
        (0o0020, "writing by the group"),
        (0o0002, "writing by everybody"),
    ];
    let known: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if known.is_empty() { format!("{bits:04o}") } else { known.join(", ") }
}

/// Whether an exception names a path: the path itself, a folder above it, or a pattern with `*`.
fn covers(except: &str, path: &[u8]) -> bool {
    if except.contains('*') { glob::matches(except.as_bytes(), path) } else { is_below(path, except.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_debian_is_well_formed() {
        let debian: Debian = toml::from_str(DEBIAN).unwrap();
        assert!(debian.metadata.iter().any(|rule| rule.forbid.0 == SETID && rule.except.len() > 50));
        for rule in &debian.metadata {
            assert!(rule.except.iter().all(|path| path.starts_with('/')), "{rule:?}");
        }
        assert!(covers("/usr/lib/*/utempter/utempter", b"/usr/lib/x86_64-linux-gnu/utempter/utempter"));
        assert!(!covers("/usr/bin/su", b"/usr/bin/sudo"));
    }
}
