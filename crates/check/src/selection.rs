//! Selection: which of the packages that the operator brings are installed on this instance?
//!
//! A folder of packages may hold a whole archive, of many versions. The instance's database decides which
//! of them are asked, and nothing else: an intruder who writes another version or takes a package out
//! of it leaves files behind that nothing lists, which are told.
//! Source: `dpkg(1)`, `rpm(8)`; design, idea 3 "Never ask the suspect".

use std::collections::{BTreeMap, BTreeSet};

use directive::record::Gap;
use directive::text::escape;

use crate::database::{Database, gap};
use crate::dpkg::STATUS;
use crate::manifest::package::{Package, System};
use crate::manifest::{Manifest, Operator};

/// Names that one gap tells.
const NAMED: usize = 20;

/// Which manifests count.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    used: Vec<bool>,
    /// Systems of which every installed package is among those given.
    whole: Vec<System>,
}

/// The versions that were given, by name and architecture.
type Given<'a> = BTreeMap<(&'a str, &'a str), BTreeSet<&'a str>>;

impl Selection {
    /// Chooses by name, version and architecture. Other manifests all count.
    pub(crate) fn new(manifests: &[Manifest<Operator>], database: &Database, gaps: &mut Vec<Gap>) -> Self {
        let mut out = Self { used: vec![true; manifests.len()], whole: Vec::new() };
        for (system, installed) in [(System::Dpkg, &database.debs), (System::Rpm, &database.rpms)] {
            let mut given = Given::new();
            let is_of = |package: &&Package| package.system == system;
            for package in manifests.iter().filter_map(|manifest| manifest.package.as_ref()).filter(is_of) {
                given.entry((&package.name, &package.architecture)).or_default().insert(&package.version);
            }
            if given.is_empty() {
                continue;
            }
            let (counts, is_whole) = chosen(system, installed.as_deref(), &given, gaps);
            let mut any = false;
            for (used, manifest) in out.used.iter_mut().zip(manifests) {
                if let Some(package) = manifest.package.as_ref().filter(is_of) {
                    *used = counts.contains(&identity(package));
                    any |= *used;
                }
            }
            if is_whole && any {
                out.whole.push(system);
            }
        }
        out
    }

    /// Whether every installed package of that system was given: then a file of none of them was added, and
    /// the system's own database has nothing to say that counts.
    pub(crate) fn is_whole(&self, system: System) -> bool {
        self.whole.contains(&system)
    }

    /// Whether the manifest of that number counts.
    pub(crate) fn uses(&self, number: usize) -> bool {
        self.used.get(number).copied().unwrap_or(true)
    }
}

/// Name, architecture and version.
type Identity<'a> = (&'a str, &'a str, &'a str);

fn identity(package: &Package) -> Identity<'_> {
    (&package.name, &package.architecture, &package.version)
}

/// Which packages count, and whether they are all that are installed.
fn chosen<'a>(
    system: System,
    installed: Option<&'a [Package]>,
    given: &Given<'a>,
    gaps: &mut Vec<Gap>,
) -> (BTreeSet<Identity<'a>>, bool) {
    let place = match system {
        System::Dpkg => STATUS,
        System::Rpm => b"/var/lib/rpm",
    };
    let mut told = |why: String| gaps.push(gap("manifest-missing", Some(place), None, why));
    let Some(installed) = installed else {
        let (single, several): (Vec<_>, Vec<_>) = given.iter().partition(|(_, versions)| versions.len() == 1);
        let mut why = "the instance has no database of packages that says which are installed; those that were given \
                       in one version are taken to be"
            .to_owned();
        if !several.is_empty() {
            let names: Vec<String> = several.iter().map(|((name, _), _)| (*name).to_owned()).collect();
            why = format!("{why}, and these were given in several and are left out: {}", named(&names));
        }
        told(why);
        let all = single.into_iter();
        let all = all.flat_map(|((name, arch), versions)| versions.iter().map(move |version| (*name, *arch, *version)));
        return (all.collect(), false);
    };
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
        told(format!(
            "{} packages are installed and were not given, so that their files and any that were added are not told \
             apart: {}",
            absent.len(),
            named(&absent)
        ));
    }
    if !others.is_empty() {
        told(format!(
            "of {} packages another version is installed than the one that was given: {}",
            others.len(),
            named(&others)
        ));
    }
    (installed.iter().map(identity).collect(), absent.is_empty() && others.is_empty())
}

fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown = escape(names[..names.len() - more].join(", "));
    if more > 0 { format!("{shown}, and {more} more") } else { shown }
}
