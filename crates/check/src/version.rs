//! Version: what do files of the instance say about its version?
//!
//! A version file can be copied from a newer release and a package database edited, so every
//! witness made here is fakeable; they are weighed against others elsewhere.
//! Source: facts on evasions, "copies new VERSION file so UI shows new version".

use std::cmp::Ordering;
use std::collections::HashMap;

use directive::pattern::{Pattern, fill};
use directive::product::{EvidenceWitness, Product, Told};
use directive::record::{Confidence, Gap, Witness};
use directive::text::Text;
use directive::version::Scheme;
use evidence::Source;

use crate::database::Database;
use crate::{dpkg, rpm};

/// Bytes of a version file. Real ones have a few lines.
const VERSION_BYTES: u64 = 1 << 20;

/// Asks everything in the evidence that the pack names. What cannot be read is a gap.
pub(crate) fn witnesses(source: &dyn Source, product: &Product, gaps: &mut Vec<Gap>) -> Vec<Witness> {
    let mut out = Vec::new();
    for witness in product.witnesses.iter().filter(|witness| may_be_there(source, product, witness)) {
        let told = match witness {
            EvidenceWitness::Dpkg { package } => package_version(source, package),
            EvidenceWitness::Rpm { package } => rpm_version(source, package),
            EvidenceWitness::File { path, patterns, template } => told_by_file(source, b"", path, patterns, template)
                .map(|version| Told {
                    source: format!("file {path}"),
                    version,
                    exact: true,
                    fakeable: true,
                    ..Told::default()
                }),
        };
        match told {
            Ok(told) => out.push(product.witness(&told)),
            Err(gap) => gaps.push(*gap),
        }
    }
    out
}

/// Whether a witness can be there at all: where a pack names the package of both kinds of distribution, the evidence
/// has one of them.
fn may_be_there(source: &dyn Source, product: &Product, witness: &EvidenceWitness) -> bool {
    let names_both = product.witnesses.iter().any(|other| matches!(other, EvidenceWitness::Dpkg { .. }))
        && product.witnesses.iter().any(|other| matches!(other, EvidenceWitness::Rpm { .. }));
    let is_debian = || source.canonical_file(DPKG_STATUS.as_bytes()).is_some();
    match witness {
        EvidenceWitness::Rpm { .. } if names_both => rpm::is_there(source),
        EvidenceWitness::Dpkg { .. } if names_both => is_debian() || !rpm::is_there(source),
        _ => true,
    }
}

/// A gap that does not decide about integrity: the version may be known from elsewhere.
fn unread(path: &str, why: String) -> Box<Gap> {
    Box::new(Gap { code: "version-unread".into(), path: Some(Text::from(path)), place: None, why, required: false })
}

/// Where dpkg says what is installed.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";

fn package_version(source: &dyn Source, name: &str) -> Result<Told, Box<Gap>> {
    let packages = dpkg::packages(source, &mut Vec::new())
        .ok_or_else(|| unread(DPKG_STATUS, "there is no package database that could be read".into()))?;
    let package = packages
        .into_iter()
        .find(|package| package.name == name)
        .ok_or_else(|| unread(DPKG_STATUS, format!("package {name} is not installed by the package database")))?;
    Ok(told_by_package(source, package.version))
}

fn rpm_version(source: &dyn Source, name: &str) -> Result<Told, Box<Gap>> {
    let mut database = Database::default();
    rpm::read_database(source, false, &mut database);
    let place = "/var/lib/rpm";
    let packages =
        database.rpms.ok_or_else(|| unread(place, "there is no database of rpm that could be read".into()))?;
    // Several kernels may be installed at once; of anything else the newest is the one that counts.
    let package = packages
        .into_iter()
        .filter(|package| package.name == name)
        .max_by(|a, b| Scheme::Rpm.compare(&a.version, &b.version).unwrap_or(Ordering::Equal))
        .ok_or_else(|| unread(place, format!("package {name} is not installed by the database of rpm")))?;
    Ok(told_by_package(source, package.version))
}

/// What the package database says, of the distribution that the instance says it is.
fn told_by_package(source: &dyn Source, version: String) -> Told {
    let release = source.read_small(b"/etc/os-release", VERSION_BYTES).ok().flatten().unwrap_or_default();
    let distribution = os_id(&String::from_utf8_lossy(&release)).unwrap_or_default();
    Told {
        source: "package-database".into(),
        version: upstream(&version).to_owned(),
        package: Some((distribution, version)),
        exact: true,
        fakeable: true,
        confidence: Confidence::High,
        ..Told::default()
    }
}

/// The upstream part of a package version: without epoch and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
}

/// `ID` of an os-release file. Source: `os-release(5)`.
fn os_id(text: &str) -> Option<String> {
    let id = text.lines().find_map(|line| line.trim().strip_prefix("ID="))?;
    Some(id.trim_matches(['"', '\'']).to_owned())
}

/// What a version file says, below `folder`: empty for the installation that runs.
pub(crate) fn told_by_file(
    source: &dyn Source,
    folder: &[u8],
    path: &str,
    patterns: &[Pattern],
    template: &str,
) -> Result<String, Box<Gap>> {
    let full = [folder, path.as_bytes()].concat();
    // A link out of another installation would tell the version of the one that runs.
    let stays = source.canonical_file(&full).is_none_or(|found| found.starts_with(folder));
    let bytes = match source.read_small(&full, VERSION_BYTES) {
        Ok(Some(bytes)) if stays => bytes,
        Ok(_) => return Err(unread(path, "the file that tells the version is not there".into())),
        Err(error) => return Err(unread(path, error.to_string())),
    };
    let text = String::from_utf8_lossy(&bytes);
    groups(&text, patterns)
        .and_then(|groups| fill(template, |name| groups.get(name).cloned()))
        .ok_or_else(|| unread(path, "the file does not tell a version in the way that the pack describes".into()))
}

/// The named groups of patterns that all match.
fn groups(text: &str, patterns: &[Pattern]) -> Option<HashMap<String, String>> {
    let mut groups = HashMap::new();
    for pattern in patterns {
        let found = pattern.captures(text)?;
        let named = pattern.capture_names().flatten();
        groups.extend(named.filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().to_owned()))));
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_version_has_neither_epoch_nor_revision() {
        assert_eq!(upstream("1:9.2p1-2+deb12u3"), "9.2p1");
        assert_eq!(upstream("2.0-rc1-1"), "2.0-rc1");
        assert_eq!(upstream("5"), "5");
    }

    #[test]
    fn the_distribution_is_read_with_and_without_quotes() {
        assert_eq!(os_id("NAME=\"x\"\nVERSION_ID=\"12\"\nID=debian\n").as_deref(), Some("debian"));
        assert_eq!(os_id("ID=\"rhel\"\n").as_deref(), Some("rhel"));
    }
}
