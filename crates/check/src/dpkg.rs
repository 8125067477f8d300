//! Dpkg: what does Debian's package database on the instance say was installed?
//!
//! Read from the evidence, never by running dpkg: packages, their checksums, configuration files,
//! diversions, mode overrides, excluded paths. All of it can be changed by whoever can change a
//! program, and its MD5 sums vouch for nothing. Of packages that the operator brings it says which are
//! installed.
//! Source: `dpkg(1)`, `deb-md5sums(5)`, `dpkg-divert(1)`, `dpkg-statoverride(1)`; debsums 3.0.2.

mod settings;
mod status;

use std::collections::HashSet;

use directive::record::Gap;
use evidence::Source;

use crate::database::{Database, gap, read, unread};
use crate::manifest::Digest;
use crate::manifest::lines::Line;
use crate::manifest::package::{Package, System};
pub(crate) use settings::{Diversion, Filters, Override};
pub(crate) use status::{Package as Installed, parse as parse_status};

pub(crate) const STATUS: &[u8] = b"/var/lib/dpkg/status";
const INFO: &[u8] = b"/var/lib/dpkg/info";

/// The installed packages; `None` if the evidence has no package database.
pub(crate) fn packages(source: &dyn Source, gaps: &mut Vec<Gap>) -> Option<Vec<Installed>> {
    let (packages, broken) = parse_status(&read(source, STATUS, gaps)?);
    if let Some(line) = broken {
        let why = format!("line {line} is no line of a package database: packages may be missing from it");
        gaps.push(gap("manifest-damaged", Some(STATUS), None, why));
    }
    Some(packages)
}

/// Reads which packages there are, and what dpkg was told to do differently.
pub(crate) fn settings(source: &dyn Source, out: &mut Database) {
    out.installed = packages(source, &mut out.gaps);
    let identity = |package: &Installed| {
        let Installed { name, version, architecture, .. } = package.clone();
        Package { system: System::Dpkg, name, version, architecture }
    };
    out.debs = out.installed.as_ref().map(|installed| installed.iter().map(identity).collect());
    let diversions = read(source, b"/var/lib/dpkg/diversions", &mut out.gaps).unwrap_or_default();
    out.diversions = settings::diversions(&diversions);
    out.overrides = settings::overrides(source, &mut out.gaps);
    out.filters = Filters::read(source, &mut out.gaps);
}

/// Reads what the installed packages claim. The settings were read before.
pub(crate) fn claims(source: &dyn Source, out: &mut Database) {
    let Some(packages) = out.installed.clone() else {
        if out.gaps.is_empty() {
            let why = "there is no package database; give a list made elsewhere with `--manifest`".into();
            out.gaps.push(gap("manifest-missing", Some(STATUS), None, why));
        }
        return;
    };
    let info: HashSet<Vec<u8>> = match source.list(INFO) {
        Ok(names) => names.unwrap_or_default().into_iter().collect(),
        Err(error) => return out.gaps.push(unread(INFO, &error)),
    };
    for package in &packages {
        claims_of(source, package, &info, out);
    }
}

fn claims_of(source: &dyn Source, package: &Installed, info: &HashSet<Vec<u8>>, out: &mut Database) {
    let by = out.package(&package.name);
    let sums = match package.file(info, "md5sums") {
        Some(name) => {
            let path = [INFO, b"/", name.as_slice()].concat();
            let bytes = read(source, &path, &mut out.gaps).unwrap_or_default();
            let (sums, broken) = md5sums(&bytes);
            if let Some(line) = broken {
                let why = format!("line {line} is no checksum and path: files of {} may be missing", package.name);
                out.gaps.push(gap("manifest-damaged", Some(&path), None, why));
            }
            sums
        }
        None => {
            without_sums(source, package, info, out);
            Vec::new()
        }
    };
    if !out.fits(sums.len(), &package.name, INFO) {
        return;
    }
    // dpkg itself replaces the sum in the list by the one of the configuration file.
    let conffiles: HashSet<&[u8]> = package.conffiles.iter().map(|(path, _)| path.as_slice()).collect();
    let sums = sums.into_iter().filter(|(path, _)| !conffiles.contains(path.as_slice()));
    let files = sums.map(|(path, md5)| (path, md5, false));
    let all = files.chain(package.conffiles.iter().map(|(path, md5)| (path.clone(), *md5, true)));
    for (path, md5, conffile) in all {
        let path = out.place(&path, &package.name).map(<[u8]>::to_vec).unwrap_or(path);
        out.claims.push(Line { conffile, ..Line::new(&path, (Digest::Md5(md5), by)) });
    }
}

/// A package whose list of checksums is gone, while its list of files names some.
fn without_sums(source: &dyn Source, package: &Installed, info: &HashSet<Vec<u8>>, out: &mut Database) {
    let Some(name) = package.file(info, "list") else {
        let why = format!("{} has neither a list of files nor checksums; none of its files is checked", package.name);
        return out.gaps.push(gap("manifest-missing", None, Some(format!("package {}", package.name)), why));
    };
    let list = read(source, &[INFO, b"/", name.as_slice()].concat(), &mut out.gaps).unwrap_or_default();
    let conffiles: HashSet<&[u8]> = package.conffiles.iter().map(|(path, _)| path.as_slice()).collect();
    let lines: Vec<&[u8]> = list.split(|byte| *byte == b'\n').filter(|line| line.len() > 2).collect();
    // A folder is followed by what is in it; what has nothing in it is a file, a link or empty.
    let is_folder = |n: usize| {
        lines.get(n + 1).is_some_and(|next| next.strip_prefix(lines[n]).is_some_and(|rest| rest.starts_with(b"/")))
    };
    let files = (0..lines.len()).filter(|n| !is_folder(*n) && !conffiles.contains(lines[*n])).count();
    if files > 0 {
        let why = format!("{} installed {files} files without checksums; they are not checked", package.name);
        out.gaps.push(gap("manifest-missing", None, Some(format!("package {}", package.name)), why));
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

impl Installed {
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
