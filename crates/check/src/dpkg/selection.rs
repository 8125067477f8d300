//! Selection: which of the packages that the operator brings are installed on this instance?
//!
//! A folder of packages may hold a whole archive, of many versions. The instance's database decides which
//! of them are asked, and nothing else: an intruder who writes another version or takes a package out
//! of it leaves files behind that nothing lists, which are told.
//! Source: `dpkg(1)`; design, idea 3 "Never ask the suspect".

use std::collections::{BTreeMap, BTreeSet};

use directive::record::Gap;
use directive::text::escape;

use super::{Installed, STATUS};
use crate::database::gap;
use crate::manifest::{Manifest, Operator};

/// Names that one gap tells.
const NAMED: usize = 20;

/// Which manifests count.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    used: Vec<bool>,
    /// Packages that are used.
    pub(crate) packages: usize,
    /// Every installed package is among those given, so that a file of none of them was added.
    pub(crate) is_whole: bool,
}

impl Selection {
    /// Chooses by name, version and architecture. Other manifests all count.
    pub(crate) fn new(manifests: &[Manifest<Operator>], installed: Option<&[Installed]>, gaps: &mut Vec<Gap>) -> Self {
        let mut out = Self { used: vec![true; manifests.len()], packages: 0, is_whole: false };
        // Which versions were given, by name and architecture.
        let mut given: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for package in manifests.iter().filter_map(|manifest| manifest.package.as_ref()) {
            given.entry((&package.name, &package.architecture)).or_default().insert(&package.version);
        }
        if given.is_empty() {
            return out;
        }
        let is_used: Box<dyn Fn(&str, &str, &str) -> bool> = match installed {
            Some(installed) => {
                out.is_whole = missing(installed, &given, gaps);
                let there: BTreeSet<(&str, &str, &str)> = installed.iter().map(identity).collect();
                Box::new(move |name, architecture, version| there.contains(&(name, architecture, version)))
            }
            None => {
                let several = without_database(&given, gaps);
                Box::new(move |name, architecture, _| !several.contains(&(name.to_owned(), architecture.to_owned())))
            }
        };
        for (used, manifest) in out.used.iter_mut().zip(manifests) {
            if let Some(package) = &manifest.package {
                *used = is_used(&package.name, &package.architecture, &package.version);
                out.packages += usize::from(*used);
            }
        }
        out.is_whole &= out.packages > 0;
        out
    }

    /// Whether the manifest of that number counts.
    pub(crate) fn uses(&self, number: usize) -> bool {
        self.used.get(number).copied().unwrap_or(true)
    }
}

fn identity(package: &Installed) -> (&str, &str, &str) {
    (&package.name, &package.architecture, &package.version)
}

/// Says which installed packages were not given; whether all were.
fn missing(installed: &[Installed], given: &BTreeMap<(&str, &str), BTreeSet<&str>>, gaps: &mut Vec<Gap>) -> bool {
    let (mut absent, mut others) = (Vec::new(), Vec::new());
    for package in installed {
        match given.get(&(package.name.as_str(), package.architecture.as_str())) {
            None => absent.push(format!("{} {}", package.name, package.version)),
            Some(versions) if versions.contains(package.version.as_str()) => {}
            Some(versions) => {
                let versions: Vec<&str> = versions.iter().copied().collect();
                others.push(format!("{} {} (given: {})", package.name, package.version, versions.join(", ")));
            }
        }
    }
    if !absent.is_empty() {
        let why = format!(
            "{} packages are installed and their `.deb` was not given, so that their files and any that were added \
             are not told apart: {}",
            absent.len(),
            named(&absent)
        );
        gaps.push(gap("manifest-missing", Some(STATUS), None, why));
    }
    if !others.is_empty() {
        let why = format!(
            "of {} packages another version is installed than the `.deb` that was given: {}",
            others.len(),
            named(&others)
        );
        gaps.push(gap("manifest-missing", Some(STATUS), None, why));
    }
    absent.is_empty() && others.is_empty()
}

/// Packages that were given in several versions, where nothing says which of them is installed.
fn without_database(given: &BTreeMap<(&str, &str), BTreeSet<&str>>, gaps: &mut Vec<Gap>) -> BTreeSet<(String, String)> {
    let several = given.iter().filter(|(_, versions)| versions.len() > 1).map(|(key, _)| key);
    let several: BTreeSet<(String, String)> =
        several.map(|(name, architecture)| ((*name).to_owned(), (*architecture).to_owned())).collect();
    let mut why = "the instance has no database of packages that says which are installed; those that were given in \
                   one version are taken to be"
        .to_owned();
    if !several.is_empty() {
        let names: Vec<String> = several.iter().map(|(name, _)| name.clone()).collect();
        why = format!("{why}, and these were given in several and are left out: {}", named(&names));
    }
    gaps.push(gap("manifest-missing", Some(STATUS), None, why));
    several
}

fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown = escape(names[..names.len() - more].join(", "));
    if more > 0 { format!("{shown}, and {more} more") } else { shown }
}
