//! Index: who claims what about one path?
//!
//! Manifests and package databases write paths through links (`/bin/sh` where `/bin` is a link);
//! the index names every file as the walk will meet it. Lists from outside win over what the
//! instance says of itself, and two lists from outside that contradict each other are a finding.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use directive::record::{Finding, Severity};
use directive::text::Text;
use evidence::{Digests, Source, Wants};

use super::generation::Generations;
use crate::database::Database;
use crate::manifest::{Claim, Digest, Instance, Manifest, Operator, Owner, Vouched};

/// Everything that is claimed about one path.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) operator: Vec<Claim<Operator>>,
    pub(super) own: Vec<Claim<Instance>>,
    /// What manifests of other versions list here: they vouch for nothing, and explain a difference.
    elsewhere: Vec<Claim<Operator>>,
    /// Two lists from outside contradict each other.
    disputed: bool,
    seen: AtomicBool,
}

/// How a file stands to what is claimed.
pub(super) enum Standing {
    /// A list from outside has this digest.
    Vouched(Vouched),
    /// Only the instance's own word agrees with it.
    Consistent,
    /// Lists from outside contradict each other, and one of them agrees.
    Disputed,
    /// Nobody lists what is there.
    Differs,
}

impl Slot {
    pub(super) fn judge(&self, digests: &Digests) -> Standing {
        if self.operator.is_empty() {
            return if self.own.iter().any(|claim| claim.holds(digests)) {
                Standing::Consistent
            } else {
                Standing::Differs
            };
        }
        match self.operator.iter().find_map(|claim| claim.vouch(digests)) {
            Some(_) if self.disputed => Standing::Disputed,
            Some(vouched) => Standing::Vouched(vouched),
            None => Standing::Differs,
        }
    }

    /// Whether somebody claims something about this path for the version that is installed here.
    pub(super) fn is_claimed(&self) -> bool {
        !self.operator.is_empty() || !self.own.is_empty()
    }

    /// The manifest of another version that lists this very file.
    pub(super) fn other_version(&self, digests: &Digests) -> Option<u32> {
        self.elsewhere.iter().find(|claim| claim.holds(digests)).map(|claim| claim.by)
    }

    /// The digests that are claimed.
    pub(super) fn wants(&self) -> Wants {
        let own = self.own.iter().filter(|_| self.operator.is_empty()).map(|claim| claim.digest);
        own.fold(Wants::SHA256, |wants, digest| match digest {
            Digest::Sha256(_) => wants,
            Digest::Sha1(_) => wants.with_sha1(true),
            Digest::Md5(_) => wants.with_md5(true),
        })
    }

    /// The name of the digest that is claimed.
    pub(super) fn digest_name(&self) -> &'static str {
        match (self.operator.first(), self.own.last()) {
            (None, Some(claim)) => claim.digest.name(),
            _ => "SHA-256",
        }
    }

    /// A configuration file by the word of everybody who counts.
    pub(super) fn is_conffile(&self) -> bool {
        match self.operator.as_slice() {
            [] => self.own.iter().any(|claim| claim.conffile),
            claims => claims.iter().all(|claim| claim.conffile),
        }
    }

    /// Owners and modes that those who count list for it; any of them will do.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        let own = self.own.iter().filter(|_| self.operator.is_empty()).filter_map(|claim| claim.owner.as_ref());
        self.operator.iter().filter_map(|claim| claim.owner.as_ref()).chain(own)
    }

    /// Whether the instance's own word is that this very link was installed: apk lists the digest of where a
    /// link points like that of a file.
    pub(super) fn is_link_to(&self, target: &[u8]) -> bool {
        let is_it = |claim: &Claim<Instance>| match claim.digest {
            Digest::Sha1(expected) => sha1(target) == expected,
            _ => false,
        };
        self.operator.is_empty() && self.own.iter().any(is_it)
    }

    pub(super) fn mark_seen(&self) {
        self.seen.store(true, Ordering::Relaxed);
    }
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    out
}

/// A symbolic link that a package ships.
pub(super) struct Link {
    /// Where it points, as written in it; one of several where packages differ.
    pub(super) targets: Vec<Vec<u8>>,
    /// Who says so, for people.
    pub(super) shipper: String,
    /// Whether it comes from outside the instance.
    pub(super) is_operators: bool,
    seen: AtomicBool,
}

impl Link {
    pub(super) fn mark_seen(&self) {
        self.seen.store(true, Ordering::Relaxed);
    }
}

/// The claims of all manifests, by path.
pub(super) struct Index {
    slots: HashMap<Vec<u8>, Slot>,
    links: HashMap<Vec<u8>, Link>,
    /// Files that a list names without a digest that vouches.
    bare: HashSet<Vec<u8>>,
    manifests: Vec<String>,
    versions: Vec<Option<String>>,
    /// The package that the manifest of that number is of.
    shipped: Vec<Option<String>>,
    packages: Vec<String>,
    /// What is wrong with the lists themselves, such as contradictions between them.
    pub(super) complaints: Vec<Finding>,
}

impl Index {
    pub(super) fn new(
        source: &dyn Source,
        manifests: &[Manifest<Operator>],
        database: &Database,
        generations: &Generations,
        clause: Option<&str>,
    ) -> Self {
        let lines: usize = manifests.iter().map(Manifest::len).sum();
        let mut index = Self {
            slots: HashMap::with_capacity(lines + database.claims.len()),
            links: HashMap::new(),
            bare: HashSet::new(),
            manifests: manifests.iter().map(|manifest| manifest.name.clone()).collect(),
            versions: manifests.iter().map(|manifest| manifest.version.clone()).collect(),
            shipped: manifests.iter().map(|one| Some(one.package.as_ref()?.name.clone())).collect(),
            packages: database.packages.clone(),
            complaints: Vec::new(),
        };
        let mut places = Places { source, folders: HashMap::new() };
        for generation in &generations.0 {
            for (by, manifest) in (0_u32..).zip(manifests) {
                let mut place = |path: &[u8]| {
                    let moved = manifest.package.as_ref().map(|package| database.place(path, &package.name));
                    places.place(&generation.path(moved.as_deref().unwrap_or(path)))
                };
                if generation.manifests.contains(&(by as usize)) {
                    index.theirs(manifest, by, &mut place, clause);
                } else if manifest.version.is_some() && !generation.manifests.is_empty() {
                    // A manifest of no version is nobody else's.
                    for line in &manifest.lines {
                        index.slots.entry(place(&line.path)).or_default().elsewhere.push(Claim::of_line(line, by));
                    }
                }
            }
        }
        for (path, claim) in &database.claims {
            index.slots.entry(places.place(path)).or_default().own.push(claim.clone());
        }
        for (path, target, by) in &database.links {
            let package = database.packages.get(*by as usize).map_or("", String::as_str);
            index.link_to(places.place(path), target, format!("package {package}"), false);
        }
        index
    }

    /// Takes what a manifest of an installation lists; `place` says where its paths lie.
    fn theirs(
        &mut self,
        manifest: &Manifest<Operator>,
        by: u32,
        place: &mut dyn FnMut(&[u8]) -> Vec<u8>,
        clause: Option<&str>,
    ) {
        for (path, target) in &manifest.links {
            self.link_to(place(path), target, format!("manifest {}", manifest.name), true);
        }
        self.bare.extend(manifest.bare.iter().map(|path| place(path)));
        for line in &manifest.lines {
            self.operator(place(&line.path), Claim::of_line(line, by), clause);
        }
    }

    fn link_to(&mut self, path: Vec<u8>, target: &[u8], shipper: String, is_operators: bool) {
        let fresh = || Link { targets: Vec::new(), shipper, is_operators, seen: AtomicBool::new(false) };
        let link = self.links.entry(path).or_insert_with(fresh);
        // What comes from outside stands above what the instance says.
        if link.is_operators == is_operators {
            link.targets.push(target.to_vec());
        }
    }

    fn operator(&mut self, path: Vec<u8>, claim: Claim<Operator>, clause: Option<&str>) {
        let slot = self.slots.entry(path.clone()).or_default();
        let package = |by: u32| self.shipped.get(by as usize).and_then(Option::as_deref);
        // A package may take over the file of another; which of the two was unpacked last is not known.
        let may_differ = |first: &Claim<Operator>| match (package(first.by), package(claim.by)) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        let other = slot.operator.iter().find(|first| first.digest != claim.digest && !may_differ(first));
        if let Some(first) = other {
            let name = |by: u32| self.manifests.get(by as usize).map_or("", String::as_str);
            let (one, other) = (name(first.by), name(claim.by));
            self.complaints.push(Finding {
                code: "manifest-disagrees".into(),
                severity: Severity::Medium,
                path: Some(Text::new(path)),
                place: None,
                why: format!("{one} and {other} list different digests for this path; neither vouches for it"),
                evidence: None,
                rule: Some(format!("manifests {one}, {other}")),
                attack: Vec::new(),
                clause: clause.map(str::to_owned),
                times: Default::default(),
            });
            slot.disputed = true;
        }
        slot.operator.push(claim);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.values().filter(|slot| slot.is_claimed()).count()
    }

    /// The version of the manifest of that number.
    pub(super) fn version_of(&self, by: u32) -> Option<&str> {
        self.versions.get(by as usize)?.as_deref()
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Slot> {
        self.slots.get(path)
    }

    /// Whether a list names a file here, and not what is in it.
    pub(super) fn is_bare(&self, path: &[u8]) -> bool {
        self.bare.contains(path)
    }

    /// The link that a package ships at this path.
    pub(super) fn link(&self, path: &[u8]) -> Option<&Link> {
        self.links.get(path)
    }

    /// Links that the walk did not meet, sorted by path.
    pub(super) fn unseen_links(&self) -> Vec<(&[u8], &Link)> {
        let unseen = self.links.iter().filter(|(_, link)| !link.seen.load(Ordering::Relaxed));
        let mut unseen: Vec<_> = unseen.map(|(path, link)| (path.as_slice(), link)).collect();
        unseen.sort_unstable_by_key(|(path, _)| *path);
        unseen
    }

    /// Whether a package of Debian lists the file, in its database or by itself.
    pub(super) fn is_packaged(&self, slot: &Slot) -> bool {
        let is_package = |claim: &Claim<Operator>| self.shipped.get(claim.by as usize).is_some_and(Option::is_some);
        !slot.own.is_empty() || slot.operator.iter().any(is_package)
    }

    /// Whether some path is known only from the instance's own word.
    pub(super) fn trusts_instance(&self) -> bool {
        self.slots.values().any(|slot| slot.operator.is_empty() && !slot.own.is_empty())
    }

    /// What the walk did not meet, sorted by path.
    pub(super) fn unseen(&self) -> Vec<(&[u8], &Slot)> {
        let unseen = self.slots.iter().filter(|(_, slot)| slot.is_claimed() && !slot.seen.load(Ordering::Relaxed));
        let mut unseen: Vec<_> = unseen.map(|(path, slot)| (path.as_slice(), slot)).collect();
        unseen.sort_unstable_by_key(|(path, _)| *path);
        unseen
    }

    /// The deepest folder that holds everything that lists from outside name; empty for the root.
    pub(super) fn common_folder(&self) -> Option<Vec<u8>> {
        let mut listed = self.slots.iter().filter(|(_, slot)| !slot.operator.is_empty()).map(|(path, _)| path);
        let mut common = folder_of(listed.next()?).to_vec();
        for path in listed {
            while !common.is_empty() && !super::sight::is_below(path, &common) {
                common.truncate(folder_of(&common).len());
            }
        }
        Some(common)
    }

    /// What a slot was held against, for people: `manifest vendor.sha256`, `package coreutils`.
    pub(super) fn authority(&self, slot: &Slot) -> String {
        let name = |names: &[String], by: u32| names.get(by as usize).cloned().unwrap_or_default();
        match (slot.operator.first(), slot.own.last()) {
            (Some(claim), _) => format!("manifest {}", name(&self.manifests, claim.by)),
            (None, Some(claim)) => format!("package {}", name(&self.packages, claim.by)),
            (None, None) => String::new(),
        }
    }
}

pub(super) fn folder_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// Finds where folders lead, each asked for once.
struct Places<'a> {
    source: &'a dyn Source,
    folders: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Places<'_> {
    /// The path as the walk will meet it. A folder that is not there keeps its name.
    fn place(&mut self, path: &[u8]) -> Vec<u8> {
        let folder = folder_of(path);
        if !self.folders.contains_key(folder) {
            let found = self.source.canonical_folder(folder).filter(|found| found != folder);
            self.folders.insert(folder.to_vec(), found);
        }
        match self.folders.get(folder) {
            Some(Some(found)) => [found.as_slice(), &path[folder.len()..]].concat(),
            _ => path.to_vec(),
        }
    }
}
