//! Generation: which installations of the product does the evidence hold, and which manifest is whose?
//!
//! An appliance keeps the version before the last update and the one from the factory on the same
//! disk; intruders have waited in both. Each is found, named, and held against the manifest of its own
//! version. What its version file says decides only which manifest is asked first: files of another
//! version that is known are told as such.
//! Source: facts on the disk layout ("three installed generations on disk"); evasions E1, E9, E12.

use std::borrow::Cow;

use directive::product::{EvidenceWitness, Product};
use directive::record::{Gap, InstalledGeneration};
use directive::text::Text;
use evidence::Source;

use super::sight::is_below;
use crate::manifest::{Manifest, Operator};
use crate::selection::Selection;
use crate::version;

/// Volumes of a disk image that may hold a generation. A disk has some; a crafted one has thousands.
const VOLUMES: usize = 256;

/// One installation.
pub(super) struct Generation {
    pub(super) name: String,
    /// Its root; empty for the one that runs.
    pub(super) folder: Vec<u8>,
    pub(super) version: Option<String>,
    /// Which of the manifests given are of its version, by number.
    pub(super) manifests: Vec<usize>,
}

impl Generation {
    /// The path of something in it, absolute from the evidence root.
    pub(super) fn path<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        if self.folder.is_empty() { Cow::Borrowed(path) } else { Cow::Owned([self.folder.as_slice(), path].concat()) }
    }

    pub(super) fn record(&self, manifests: &[Manifest<Operator>], vouched: u64) -> InstalledGeneration {
        let folder = if self.folder.is_empty() { b"/".to_vec() } else { self.folder.clone() };
        InstalledGeneration {
            name: self.name.clone(),
            folder: Text::new(folder),
            version: self.version.clone(),
            manifests: names(self.manifests.iter().filter_map(|n| manifests.get(*n))),
            vouched,
        }
    }
}

/// The names of lists; packages are only counted, since a host has thousands.
fn names<'m>(manifests: impl Iterator<Item = &'m Manifest<Operator>>) -> Vec<String> {
    let (packages, lists): (Vec<_>, Vec<_>) = manifests.partition(|manifest| manifest.package.is_some());
    let mut names: Vec<String> = lists.into_iter().map(|manifest| manifest.name.clone()).collect();
    if !packages.is_empty() {
        names.push(format!("packages: {}", packages.len()));
    }
    names
}

/// All installations, the one that runs first.
pub(super) struct Generations(pub(super) Vec<Generation>);

impl Generations {
    /// Looks where the pack says, and on every volume of a disk image.
    pub(super) fn find(
        source: &dyn Source,
        product: Option<&Product>,
        manifests: &[Manifest<Operator>],
        selection: &Selection,
        gaps: &mut Vec<Gap>,
    ) -> Self {
        let running = Generation {
            name: "current".into(),
            folder: Vec::new(),
            version: product.and_then(|product| version_in(source, product, b"")),
            manifests: Vec::new(),
        };
        let mut all = vec![running];
        if let Some(product) = product {
            all.extend(others(source, product));
        }
        let several = all.len() > 1;
        for generation in &mut all {
            generation.manifests = theirs(generation, manifests, selection);
            if several && generation.manifests.is_empty() && !generation.folder.is_empty() {
                gaps.push(without_manifest(generation));
            }
        }
        Self(all)
    }

    /// The installation that a path belongs to, and the path in it.
    pub(super) fn of<'p>(&self, path: &'p [u8]) -> (usize, &'p [u8]) {
        let inside = |(n, generation): (usize, &Generation)| {
            is_below(path, &generation.folder).then(|| (n, &path[generation.folder.len()..]))
        };
        // The running one is everything that belongs to no other.
        self.0.iter().enumerate().skip(1).find_map(inside).unwrap_or((0, path))
    }
}

fn others(source: &dyn Source, product: &Product) -> Vec<Generation> {
    let mut found: Vec<Generation> = Vec::new();
    let mut add = |name: &str, folder: Vec<u8>| {
        let known = found.iter().any(|other: &Generation| other.folder == folder);
        if !known && !folder.is_empty() && source.canonical_folder(&folder).as_deref() == Some(&folder) {
            let version = version_in(source, product, &folder);
            found.push(Generation { name: name.to_owned(), folder, version, manifests: Vec::new() });
        }
    };
    for generation in &product.generations {
        if let Some(folder) = &generation.folder {
            add(&generation.name, folder.trim_end_matches('/').as_bytes().to_vec());
        }
    }
    let names = source.list(b"").ok().flatten().unwrap_or_default();
    for name in names.into_iter().filter(|name| name.first() == Some(&b'@')).take(VOLUMES) {
        let volume = String::from_utf8_lossy(&name[1..]).into_owned();
        let folder = [b"/", name.as_slice()].concat();
        let named = product
            .generations
            .iter()
            .find(|generation| generation.volume.as_ref().is_some_and(|pattern| pattern.is_match(&volume)));
        // Nobody has to name it: where a version file is, there is an installation.
        if named.is_some() || version_in(source, product, &folder).is_some() {
            add(named.map_or(&volume, |generation| &generation.name), folder);
        }
    }
    found
}

/// The manifests of a generation: those of its version, and, for the one that runs, those that name none.
fn theirs(generation: &Generation, manifests: &[Manifest<Operator>], selection: &Selection) -> Vec<usize> {
    let is_theirs = |manifest: &Manifest<Operator>| match (&manifest.version, &generation.version) {
        (Some(listed), Some(installed)) => listed == installed,
        (Some(_), None) => false,
        (None, _) => generation.folder.is_empty(),
    };
    let mut theirs: Vec<usize> =
        manifests.iter().enumerate().filter(|(_, manifest)| is_theirs(manifest)).map(|(n, _)| n).collect();
    theirs.retain(|n| selection.uses(*n));
    // A version file that was changed or removed must not take the manifests away with it.
    if theirs.is_empty() && generation.folder.is_empty() {
        theirs = (0..manifests.len()).filter(|n| selection.uses(*n)).collect();
    }
    theirs
}

fn without_manifest(generation: &Generation) -> Gap {
    let version = generation.version.as_deref().unwrap_or("unknown");
    Gap {
        code: "manifest-missing".into(),
        path: Some(Text::new(generation.folder.clone())),
        place: Some(format!("generation {}", generation.name)),
        why: format!(
            "an installation of version {version} lies here, and no manifest of that version was given; give one \
             whose first line is `# version: {version}`"
        ),
        required: true,
    }
}

/// The version that an installation's own file tells.
fn version_in(source: &dyn Source, product: &Product, folder: &[u8]) -> Option<String> {
    product.witnesses.iter().find_map(|witness| match witness {
        EvidenceWitness::File { path, patterns, template } => {
            version::told_by_file(source, folder, path, patterns, template).ok()
        }
        EvidenceWitness::Dpkg { .. } | EvidenceWitness::Rpm { .. } => None,
    })
}
