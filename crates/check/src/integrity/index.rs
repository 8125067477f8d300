//! Index: who claims what about one path?
//!
//! Manifests and package databases write paths through links (`/bin/sh` where `/bin` is a link);
//! the index names every file as the walk will meet it. Lists from outside win over what the
//! instance says of itself, and two lists from outside that contradict each other are a finding.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use directive::record::{Finding, Severity};
use evidence::{Digests, Source, Wants};

use super::generation::Generations;
use super::sight::{KEPT, bare};
use crate::database::Database;
use crate::manifest::lines::{Lines, Numbers};
use crate::manifest::{Claim, Digest, Instance, Manifest, Operator, Owner, Vouched};

/// No claim of the instance itself.
const NONE: u32 = u32::MAX;

/// A line of a list from outside: the list and the line, by number.
#[derive(Clone, Copy)]
struct Place {
    by: u32,
    line: u32,
}

/// Everything that is claimed about one path. Most paths have one claim, which is kept as the place where it stands.
struct Entry<'m> {
    path: Cow<'m, [u8]>,
    /// The first line of a list from outside; none if its number is [`NONE`].
    operator: Place,
    /// The first claim of the instance itself; [`NONE`] if there is none.
    own: u32,
    more: Option<Box<More>>,
    /// Two lists from outside contradict each other.
    disputed: bool,
    seen: AtomicBool,
}

/// What few paths have.
#[derive(Default)]
struct More {
    operator: Vec<Place>,
    own: Vec<u32>,
    /// What manifests of other versions list here: they vouch for nothing, and explain a difference.
    elsewhere: Vec<Place>,
}

impl Entry<'_> {
    fn operator(&self) -> impl Iterator<Item = Place> {
        let more = self.more.iter().flat_map(|more| more.operator.iter().copied());
        Some(self.operator).filter(|place| place.line != NONE).into_iter().chain(more)
    }

    fn own(&self) -> impl Iterator<Item = u32> {
        let more = self.more.iter().flat_map(|more| more.own.iter().copied());
        Some(self.own).filter(|number| *number != NONE).into_iter().chain(more)
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn add_operator(&mut self, place: Place) {
        if self.operator.line == NONE {
            self.operator = place;
        } else {
            self.more().operator.push(place);
        }
    }

    fn add_own(&mut self, number: u32) {
        if self.own == NONE {
            self.own = number;
        } else {
            self.more().own.push(number);
        }
    }
}

/// What is claimed about one path, as [`Index`] has it.
#[derive(Clone, Copy)]
pub(super) struct Slot<'i> {
    index: &'i Index<'i>,
    entry: &'i Entry<'i>,
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

impl<'i> Slot<'i> {
    fn operator(self) -> impl Iterator<Item = Claim<Operator>> {
        self.entry.operator().filter_map(move |place| self.index.line(place))
    }

    fn own(self) -> impl Iterator<Item = Claim<Instance>> {
        self.entry.own().filter_map(move |number| self.index.own.get(number as usize).map(Claim::of_package))
    }

    /// Whether a list from outside names it for the version that is installed here.
    pub(super) fn is_listed(self) -> bool {
        self.entry.operator.line != NONE
    }

    pub(super) fn judge(self, digests: &Digests) -> Standing {
        if !self.is_listed() {
            return if self.own().any(|claim| claim.holds(digests)) { Standing::Consistent } else { Standing::Differs };
        }
        match self.operator().find_map(|claim| claim.vouch(digests)) {
            Some(_) if self.entry.disputed => Standing::Disputed,
            Some(vouched) => Standing::Vouched(vouched),
            None => Standing::Differs,
        }
    }

    /// Whether somebody claims something about this path for the version that is installed here.
    pub(super) fn is_claimed(self) -> bool {
        self.is_listed() || self.entry.own != NONE
    }

    /// The manifest of another version that lists this very file.
    pub(super) fn other_version(self, digests: &Digests) -> Option<u32> {
        let elsewhere = self.entry.more.as_ref()?.elsewhere.iter();
        elsewhere.filter_map(|place| self.index.line(*place)).find(|claim| claim.holds(digests)).map(|claim| claim.by)
    }

    /// The digests that are claimed.
    pub(super) fn wants(self) -> Wants {
        let own = self.own().filter(|_| !self.is_listed()).map(|claim| claim.digest);
        own.fold(Wants::SHA256, |wants, digest| match digest {
            Digest::Sha256(_) => wants,
            Digest::Sha1(_) => wants.with_sha1(true),
            Digest::Md5(_) => wants.with_md5(true),
        })
    }

    /// The name of the digest that is claimed.
    pub(super) fn digest_name(self) -> &'static str {
        match self.own().last() {
            Some(claim) if !self.is_listed() => claim.digest.name(),
            _ => "SHA-256",
        }
    }

    /// A configuration file by the word of everybody who counts.
    pub(super) fn is_conffile(self) -> bool {
        match self.is_listed() {
            false => self.own().any(|claim| claim.conffile),
            true => self.operator().all(|claim| claim.conffile),
        }
    }

    /// Owners and modes that those who count list for it; any of them will do.
    pub(super) fn owners(self) -> impl Iterator<Item = Owner> {
        let own = self.own().filter(move |_| !self.is_listed()).filter_map(|claim| claim.owner);
        self.operator().filter_map(|claim| claim.owner).chain(own)
    }

    /// Whether the instance's own word is that this very link was installed: apk lists the digest of where a
    /// link points like that of a file.
    pub(super) fn is_link_to(self, target: &[u8]) -> bool {
        let is_it = |claim: Claim<Instance>| match claim.digest {
            Digest::Sha1(expected) => sha1(target) == expected,
            _ => false,
        };
        !self.is_listed() && self.own().any(is_it)
    }

    pub(super) fn mark_seen(self) {
        self.entry.seen.store(true, Ordering::Relaxed);
    }

    pub(super) fn path(self) -> &'i [u8] {
        &self.entry.path
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
pub(super) struct Index<'m> {
    entries: Vec<Entry<'m>>,
    numbers: Numbers,
    lists: &'m [Manifest<Operator>],
    own: &'m Lines<(Digest, u32)>,
    links: HashMap<Vec<u8>, Link>,
    /// Files that a list names without a digest that vouches.
    bare: HashSet<Vec<u8>>,
    packages: &'m [String],
    /// What is wrong with the lists themselves, such as contradictions between them.
    pub(super) complaints: Vec<Finding>,
    /// Complaints beyond those that are kept.
    pub(super) beyond: u64,
}

impl<'m> Index<'m> {
    pub(super) fn new(
        source: &dyn Source,
        lists: &'m [Manifest<Operator>],
        database: &'m Database,
        generations: &Generations,
        clause: Option<&str>,
    ) -> Self {
        let lines: usize = lists.iter().map(Manifest::len).sum();
        let mut index = Self {
            entries: Vec::with_capacity(lines + database.claims.len()),
            numbers: Numbers::with_capacity(lines + database.claims.len()),
            lists,
            own: &database.claims,
            links: HashMap::new(),
            bare: HashSet::new(),
            packages: &database.packages,
            complaints: Vec::new(),
            beyond: 0,
        };
        let mut places = Places { source, folders: HashMap::new() };
        for generation in &generations.0 {
            for (by, manifest) in (0_u32..).zip(lists) {
                let mut place = |path: &'m [u8]| {
                    let moved = manifest.package.as_ref().and_then(|package| database.place(path, &package.name));
                    places.place(generation.path(moved.unwrap_or(path)))
                };
                if generation.manifests.contains(&(by as usize)) {
                    index.theirs(manifest, by, &mut place, clause);
                } else if manifest.version.is_some() && !generation.manifests.is_empty() {
                    // A manifest of no version is nobody else's.
                    for (line, path) in (0..).zip(manifest.lines.paths()) {
                        index.entry(place(path)).more().elsewhere.push(Place { by, line });
                    }
                }
            }
        }
        for (number, path) in (0..).zip(database.claims.paths()) {
            index.entry(places.place(Cow::Borrowed(path))).add_own(number);
        }
        for (path, target, by) in &database.links {
            let package = database.packages.get(*by as usize).map_or("", String::as_str);
            let path = places.place(Cow::Borrowed(path)).into_owned();
            index.link_to(path, target, format!("package {package}"), false);
        }
        index
    }

    /// What is claimed about a path, for whoever adds to it.
    fn entry(&mut self, path: Cow<'m, [u8]>) -> &mut Entry<'m> {
        let entries = &self.entries;
        let path_of = |number: u32| entries.get(number as usize).map_or(&[][..], |entry| &entry.path);
        if let Some(number) = self.numbers.find(&path, path_of) {
            return &mut self.entries[number as usize];
        }
        let at = entries.len();
        // Four billion lines do not fit into what is read of lists.
        self.numbers.insert(&path, u32::try_from(at).unwrap_or(NONE), path_of);
        let (operator, seen) = (Place { by: NONE, line: NONE }, AtomicBool::new(false));
        self.entries.push(Entry { path, operator, own: NONE, more: None, disputed: false, seen });
        &mut self.entries[at]
    }

    /// What a line of a list from outside claims.
    fn line(&self, place: Place) -> Option<Claim<Operator>> {
        let line = self.lists.get(place.by as usize)?.lines.get(place.line as usize)?;
        Some(Claim::of_line(line, place.by))
    }

    fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.entries.iter().map(|entry| Slot { index: self, entry })
    }

    /// Takes what a manifest of an installation lists; `place` says where its paths lie.
    fn theirs(
        &mut self,
        manifest: &'m Manifest<Operator>,
        by: u32,
        place: &mut dyn FnMut(&'m [u8]) -> Cow<'m, [u8]>,
        clause: Option<&str>,
    ) {
        for (path, target) in &manifest.links {
            self.link_to(place(path).into_owned(), target, format!("manifest {}", manifest.name), true);
        }
        self.bare.extend(manifest.bare.iter().map(|path| place(path).into_owned()));
        for (line, path) in (0..).zip(manifest.lines.paths()) {
            self.operator(place(path), Place { by, line }, clause);
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

    fn operator(&mut self, path: Cow<'m, [u8]>, place: Place, clause: Option<&str>) {
        let package = |by: u32| Some(self.lists.get(by as usize)?.package.as_ref()?.name.as_str());
        // A package may take over the file of another; which of the two was unpacked last is not known.
        let may_differ = |first: u32| match (package(first), package(place.by)) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        let digest = self.line(place).map(|claim| claim.digest);
        let first = self.get(&path).and_then(|slot| {
            let mut others = slot.operator();
            others.find(|first| Some(first.digest) != digest && !may_differ(first.by)).map(|first| first.by)
        });
        if let Some(first) = first {
            self.complain(&path, first, place.by, clause);
        }
        let entry = self.entry(path);
        entry.disputed |= first.is_some();
        entry.add_operator(place);
    }

    /// Says that two lists contradict each other.
    fn complain(&mut self, path: &[u8], one: u32, other: u32, clause: Option<&str>) {
        if self.complaints.len() >= KEPT {
            self.beyond += 1;
            return;
        }
        let name = |by: u32| self.lists.get(by as usize).map_or("", |list| list.name.as_str());
        let (one, other) = (name(one), name(other));
        let why = format!("{one} and {other} list different digests for this path; neither vouches for it");
        let rule = Some(format!("manifests {one}, {other}"));
        self.complaints.push(Finding { rule, ..bare("manifest-disagrees", Severity::Medium, path, why, clause) });
    }

    pub(super) fn len(&self) -> usize {
        self.slots().filter(|slot| slot.is_claimed()).count()
    }

    /// The version of the manifest of that number.
    pub(super) fn version_of(&self, by: u32) -> Option<&str> {
        self.lists.get(by as usize)?.version.as_deref()
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<Slot<'_>> {
        let path_of = |number: u32| self.entries.get(number as usize).map_or(&[][..], |entry| &entry.path);
        let number = self.numbers.find(path, path_of)?;
        self.entries.get(number as usize).map(|entry| Slot { index: self, entry })
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
    pub(super) fn is_packaged(&self, slot: Slot<'_>) -> bool {
        let is_package = |place: Place| self.lists.get(place.by as usize).is_some_and(|list| list.package.is_some());
        slot.entry.own != NONE || slot.entry.operator().any(is_package)
    }

    /// Whether some path is known only from the instance's own word.
    pub(super) fn trusts_instance(&self) -> bool {
        self.slots().any(|slot| !slot.is_listed() && slot.entry.own != NONE)
    }

    /// What the walk did not meet, sorted by path.
    pub(super) fn unseen(&self) -> Vec<Slot<'_>> {
        let is_unseen = |slot: &Slot<'_>| slot.is_claimed() && !slot.entry.seen.load(Ordering::Relaxed);
        let mut unseen: Vec<_> = self.slots().filter(is_unseen).collect();
        unseen.sort_unstable_by_key(|slot| slot.path());
        unseen
    }

    /// The deepest folder that holds everything that lists from outside name; empty for the root.
    pub(super) fn common_folder(&self) -> Option<Vec<u8>> {
        let mut listed = self.slots().filter(|slot| slot.is_listed()).map(Slot::path);
        let mut common = folder_of(listed.next()?).to_vec();
        for path in listed {
            while !common.is_empty() && !super::sight::is_below(path, &common) {
                common.truncate(folder_of(&common).len());
            }
        }
        Some(common)
    }

    /// What a slot was held against, for people: `manifest vendor.sha256`, `package coreutils`.
    pub(super) fn authority(&self, slot: Slot<'_>) -> String {
        match (slot.operator().next(), slot.own().last()) {
            (Some(claim), _) => {
                format!("manifest {}", self.lists.get(claim.by as usize).map_or("", |list| list.name.as_str()))
            }
            (None, Some(claim)) => {
                format!("package {}", self.packages.get(claim.by as usize).map_or("", String::as_str))
            }
            (None, None) => String::new(),
        }
    }
}

pub(super) fn folder_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// Folders that are remembered. A list names the files of a folder one after the other.
const REMEMBERED: usize = 1 << 14;

/// Finds where folders lead, each asked for once as long as it is remembered.
struct Places<'a> {
    source: &'a dyn Source,
    folders: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Places<'_> {
    /// The path as the walk will meet it. A folder that is not there keeps its name.
    fn place<'p>(&mut self, path: Cow<'p, [u8]>) -> Cow<'p, [u8]> {
        let folder = folder_of(&path);
        if !self.folders.contains_key(folder) {
            if self.folders.len() >= REMEMBERED {
                self.folders.clear();
            }
            let found = self.source.canonical_folder(folder).filter(|found| found != folder);
            self.folders.insert(folder.to_vec(), found);
        }
        match self.folders.get(folder) {
            Some(Some(found)) => Cow::Owned([found.as_slice(), &path[folder.len()..]].concat()),
            _ => path,
        }
    }
}
