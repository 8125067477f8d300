//! Dpkg: what does the instance's own package database say was installed?
//!
//! Read from the evidence, never by running dpkg: packages, their checksums, configuration files,
//! diversions, mode overrides, excluded paths. All of it can be changed by whoever can change a
//! program, so it makes claims of origin [`Instance`] only, and its MD5 sums vouch for nothing.
//! A damaged database is a gap, since it is the instance's and not the operator's.
//! Source: `dpkg(1)`, `deb-md5sums(5)`, `dpkg-divert(1)`, `dpkg-statoverride(1)`; debsums 3.0.2.

mod settings;
mod status;

use std::collections::{HashMap, HashSet};

use directive::record::Gap;
use directive::text::Text;
use evidence::{ReadError, Source};

use crate::manifest::{Claim, Instance};
pub(crate) use settings::{Filters, Override};
pub(crate) use status::{Package, parse as parse_status};

const STATUS: &[u8] = b"/var/lib/dpkg/status";
const INFO: &[u8] = b"/var/lib/dpkg/info";

/// Bytes of one file of the database. A status file of 10,000 packages has 12 MB, the longest list
/// of checksums known (kernel sources) 8 MB.
const FILE_BYTES: u64 = 128 << 20;

/// Checksums in one database. A host with everything installed has under two million.
const CHECKSUMS: usize = 8_000_000;

/// The package database of an instance.
#[derive(Default)]
pub(crate) struct Database {
    /// Package names, by the number that a claim carries.
    pub(crate) packages: Vec<String>,
    /// What packages claim, with paths as written: links are not resolved yet.
    pub(crate) claims: Vec<(Vec<u8>, Claim<Instance>)>,
    /// Modes and owners that the administrator set for package files.
    pub(crate) overrides: HashMap<Vec<u8>, Override>,
    /// Paths that dpkg was told not to unpack.
    pub(crate) filters: Filters,
    /// What of the database could not be read.
    pub(crate) gaps: Vec<Gap>,
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

fn gap(code: &str, path: Option<&[u8]>, place: Option<String>, why: String) -> Gap {
    Gap { code: code.into(), path: path.map(Text::new), place, why, required: true }
}

/// The installed packages; `None` if the evidence has no package database.
pub(crate) fn packages(source: &dyn Source, gaps: &mut Vec<Gap>) -> Option<Vec<Package>> {
    let (packages, broken) = parse_status(&read(source, STATUS, gaps)?);
    if let Some(line) = broken {
        let why = format!("line {line} is no line of a package database: packages may be missing from it");
        gaps.push(gap("manifest-damaged", Some(STATUS), None, why));
    }
    Some(packages)
}

impl Database {
    /// Reads the database of the evidence. Without one, the database is empty and a gap says so.
    pub(crate) fn read(source: &dyn Source) -> Self {
        let mut out = Self::default();
        let Some(packages) = packages(source, &mut out.gaps) else {
            if out.gaps.is_empty() {
                let why = "there is no package database; give a list made elsewhere with `--manifest`".into();
                out.gaps.push(gap("manifest-missing", Some(STATUS), None, why));
            }
            return out;
        };
        let diversions =
            settings::diversions(&read(source, b"/var/lib/dpkg/diversions", &mut out.gaps).unwrap_or_default());
        let info: HashSet<Vec<u8>> = match source.list(INFO) {
            Ok(names) => names.unwrap_or_default().into_iter().collect(),
            Err(error) => {
                out.gaps.push(unread(INFO, &error));
                return out;
            }
        };
        for package in &packages {
            out.package(source, package, &info, &diversions);
        }
        out.overrides = settings::overrides(source, &mut out.gaps);
        out.filters = Filters::read(source, &mut out.gaps);
        out
    }

    fn package(
        &mut self,
        source: &dyn Source,
        package: &Package,
        info: &HashSet<Vec<u8>>,
        diversions: &HashMap<Vec<u8>, settings::Diversion>,
    ) {
        let by = u32::try_from(self.packages.len()).unwrap_or(u32::MAX);
        self.packages.push(package.name.clone());
        let place = |path: Vec<u8>| match diversions.get(&path) {
            Some(diversion) if diversion.by.as_deref() != Some(&package.name) => diversion.to.clone(),
            _ => path,
        };
        let sums = match package.file(info, "md5sums") {
            Some(name) => {
                let path = [INFO, b"/", name.as_slice()].concat();
                let bytes = read(source, &path, &mut self.gaps).unwrap_or_default();
                let (sums, broken) = md5sums(&bytes);
                if let Some(line) = broken {
                    let why = format!("line {line} is no checksum and path: files of {} may be missing", package.name);
                    self.gaps.push(gap("manifest-damaged", Some(&path), None, why));
                }
                sums
            }
            None => {
                self.without_sums(source, package, info);
                Vec::new()
            }
        };
        if self.claims.len() + sums.len() > CHECKSUMS {
            let why = format!("the package database has more than {CHECKSUMS} checksums; the rest is not checked");
            self.gaps.push(gap("manifest-damaged", Some(INFO), Some(package.name.clone()), why));
            return;
        }
        // dpkg itself replaces the sum in the list by the one of the configuration file.
        let conffiles: HashSet<&[u8]> = package.conffiles.iter().map(|(path, _)| path.as_slice()).collect();
        for (path, md5) in sums.into_iter().filter(|(path, _)| !conffiles.contains(path.as_slice())) {
            self.claims.push((place(path), Claim::of_package(md5, by, false)));
        }
        for (path, md5) in &package.conffiles {
            self.claims.push((place(path.clone()), Claim::of_package(*md5, by, true)));
        }
    }

    /// A package whose list of checksums is gone, while its list of files names some.
    fn without_sums(&mut self, source: &dyn Source, package: &Package, info: &HashSet<Vec<u8>>) {
        let Some(name) = package.file(info, "list") else {
            let why =
                format!("{} has neither a list of files nor checksums; none of its files is checked", package.name);
            return self.gaps.push(gap("manifest-missing", None, Some(format!("package {}", package.name)), why));
        };
        let list = read(source, &[INFO, b"/", name.as_slice()].concat(), &mut self.gaps).unwrap_or_default();
        let conffiles: HashSet<&[u8]> = package.conffiles.iter().map(|(path, _)| path.as_slice()).collect();
        let lines: Vec<&[u8]> = list.split(|byte| *byte == b'\n').filter(|line| line.len() > 2).collect();
        // A folder is followed by what is in it; what has nothing in it is a file, a link or empty.
        let is_folder = |n: usize| {
            lines.get(n + 1).is_some_and(|next| next.strip_prefix(lines[n]).is_some_and(|rest| rest.starts_with(b"/")))
        };
        let files = (0..lines.len()).filter(|n| !is_folder(*n) && !conffiles.contains(lines[*n])).count();
        if files > 0 {
            let why = format!("{} installed {files} files without checksums; they are not checked", package.name);
            self.gaps.push(gap("manifest-missing", None, Some(format!("package {}", package.name)), why));
        }
    }
}

/// Paths, absolute, with their MD5.
type Sums = Vec<(Vec<u8>, [u8; 16])>;

/// The lines of an `md5sums` file, and the number of the first that is none.
fn md5sums(bytes: &[u8]) -> (Sums, Option<usize>) {
    let mut sums = Vec::new();
    let mut broken = None;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let parsed = line.split_at_checked(32).and_then(|(digest, rest)| {
            let name = rest.trim_ascii_start();
            let name = name.strip_prefix(b"*").unwrap_or(name);
            let path = evidence::normalise(name).ok().filter(|_| name.len() < rest.len())?;
            Some((path, crate::manifest::hex(digest)?))
        });
        match parsed {
            Some(sum) => sums.push(sum),
            None => {
                broken.get_or_insert(number + 1);
            }
        }
    }
    (sums, broken)
}

impl Package {
    /// The package's own file in the `info` folder: `libc6:amd64.md5sums` or `bash.md5sums`.
    fn file(&self, info: &HashSet<Vec<u8>>, ending: &str) -> Option<Vec<u8>> {
        let candidates = [format!("{}:{}.{ending}", self.name, self.architecture), format!("{}.{ending}", self.name)];
        candidates.into_iter().map(String::into_bytes).find(|name| info.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_checksum_is_counted_and_the_rest_is_read() {
        let text = b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/a b\nnonsense\nd41d8cd98f00b204e9800998ecf8427e  ../x\n";
        let (sums, broken) = md5sums(text);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[0].0, b"/usr/bin/a b");
        assert_eq!(broken, Some(2));
    }

    proptest::proptest! {
        #[test]
        fn no_list_of_checksums_makes_us_panic(bytes: Vec<u8>) {
            let _ = md5sums(&bytes);
        }
    }
}
