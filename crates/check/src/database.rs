//! Database: what does the instance's own package database say was installed?
//!
//! One shape for the databases of dpkg, rpm and apk, each read from the evidence by a module of its own
//! and never by running the package manager. Whoever can change a program can change its line too, so a
//! database makes claims of origin [`Instance`] only and vouches for nothing.
//! A damaged database is a gap, since it is the instance's and not the operator's.

use std::collections::{HashMap, HashSet};

use directive::record::Gap;
use directive::text::Text;
use evidence::{ReadError, Source};

use crate::apk;
use crate::dpkg::{self, Diversion, Filters, Installed, Override};
use crate::integrity::Baseline;
use crate::manifest::Digest;
use crate::manifest::lines::Lines;
use crate::manifest::package::{Package, System};
use crate::rpm;

/// Bytes of one file of a database. A status file of 10,000 packages has 12 MB, the longest list
/// of checksums known (kernel sources) 8 MB.
const FILE_BYTES: u64 = 128 << 20;

/// Checksums in one database. A workstation with 3,000 packages has 300,000; each takes about 110 bytes of memory
/// beside its path.
const CHECKSUMS: usize = 1 << 20;

/// Bytes of the paths of all of them. A folder that is named once can stand before a million files.
const PATH_BYTES: usize = 96 << 20;

/// The package database of an instance.
#[derive(Default)]
pub(crate) struct Database {
    /// Package names, by the number that a claim carries.
    pub(crate) packages: Vec<String>,
    /// What packages claim, with paths as written: links are not resolved yet.
    pub(crate) claims: Lines<(Digest, u32)>,
    /// Symbolic links that packages claim, where they point, and the package.
    pub(crate) links: Vec<(Vec<u8>, Vec<u8>, u32)>,
    /// Debian's packages, as far as they are installed; `None` if there is no database of dpkg, or nobody
    /// asked for it.
    pub(crate) installed: Option<Vec<Installed>>,
    /// The same, as packages from outside are named.
    pub(crate) debs: Option<Vec<Package>>,
    /// The packages of rpm that are installed; `None` if there is no database of rpm, or nobody asked for it.
    pub(crate) rpms: Option<Vec<Package>>,
    /// Files that rpm was told not to install.
    pub(crate) left_out: HashSet<Vec<u8>>,
    /// Paths that dpkg moved, for the sake of another package or of the administrator.
    pub(crate) diversions: HashMap<Vec<u8>, Diversion>,
    /// Modes and owners that the administrator set for package files.
    pub(crate) overrides: HashMap<Vec<u8>, Override>,
    /// Paths that dpkg was told not to unpack.
    pub(crate) filters: Filters,
    /// What of the database could not be read.
    pub(crate) gaps: Vec<Gap>,
}

impl Database {
    /// Reads the database of the evidence. Without one, it is empty and a gap says so. Of the systems whose
    /// packages were brought from outside, what is installed is read whatever the baseline.
    pub(crate) fn read(source: &dyn Source, baseline: Baseline, brought: &[System]) -> Self {
        let mut out = Self::default();
        if brought.contains(&System::Dpkg) || baseline == Baseline::Dpkg {
            dpkg::settings(source, &mut out);
        }
        let is_baseline = baseline == Baseline::Rpm;
        if is_baseline || (brought.contains(&System::Rpm) && rpm::is_there(source)) {
            rpm::read_database(source, is_baseline, &mut out);
        }
        match baseline {
            Baseline::None | Baseline::Rpm => {}
            Baseline::Dpkg => dpkg::claims(source, &mut out),
            Baseline::Apk => apk::claims(source, &mut out),
        }
        out
    }

    /// Where a file of a package lies if it was diverted.
    pub(crate) fn place(&self, path: &[u8], package: &str) -> Option<&[u8]> {
        let diversion = self.diversions.get(path)?;
        (diversion.by.as_deref() != Some(package)).then_some(&diversion.to)
    }

    /// The number of a further package.
    pub(crate) fn package(&mut self, name: &str) -> u32 {
        let by = u32::try_from(self.packages.len()).unwrap_or(u32::MAX);
        self.packages.push(name.to_owned());
        by
    }

    /// Whether so many more claims fit; a gap says if they do not.
    pub(crate) fn fits(&mut self, more: usize, package: &str, place: &[u8]) -> bool {
        let fits = self.claims.len() + more <= CHECKSUMS && self.claims.path_bytes() <= PATH_BYTES;
        if !fits {
            let why = format!(
                "the package database has more than {CHECKSUMS} checksums, or more than {PATH_BYTES} bytes of paths; \
                 the rest is not checked"
            );
            self.gaps.push(gap("manifest-damaged", Some(place), Some(package.to_owned()), why));
        }
        fits
    }
}

impl Baseline {
    /// Whose packages it describes, as far as they can come from outside.
    pub(crate) fn system(self) -> Option<System> {
        match self {
            Self::Dpkg => Some(System::Dpkg),
            Self::Rpm => Some(System::Rpm),
            Self::Apk | Self::None => None,
        }
    }

    /// The database that the evidence has; that of dpkg where it has several.
    pub fn of(source: &dyn Source) -> Self {
        // Dpkg first: Debian has a program `rpm` too, and an empty database where somebody called it.
        if source.canonical_file(dpkg::STATUS).is_some() {
            Self::Dpkg
        } else if rpm::is_there(source) {
            Self::Rpm
        } else if apk::is_there(source) {
            Self::Apk
        } else {
            Self::None
        }
    }
}

/// Reads a file of the evidence; what cannot be read becomes a gap.
pub(crate) fn read(source: &dyn Source, path: &[u8], gaps: &mut Vec<Gap>) -> Option<Vec<u8>> {
    match source.read_small(path, FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            gaps.push(unread(path, &error));
            None
        }
    }
}

pub(crate) fn unread(path: &[u8], error: &ReadError) -> Gap {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    gap("manifest-damaged", Some(path), None, format!("{error}{cause}"))
}

/// A required gap.
pub(crate) fn gap(code: &str, path: Option<&[u8]>, place: Option<String>, why: String) -> Gap {
    Gap { code: code.into(), path: path.map(Text::new), place, why, required: true }
}

/// Names and numbers of `passwd` or `group`: the first and the third field of each line.
pub(crate) fn ids(bytes: &[u8]) -> HashMap<Vec<u8>, u32> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        Some((name.to_vec(), std::str::from_utf8(number).ok()?.parse().ok()?))
    };
    bytes.split(|byte| *byte == b'\n').filter_map(line).collect()
}
