//! Assemble: which file system of a disk stands where?
//!
//! The root is the file system whose own `fstab` calls it that; without one, the first that looks
//! like a root, or the only one. The `fstab` is the instance's own word: it only decides under which
//! name a file system is shown, and what it does not name is shown as `/@<volume>`.
//! Source: `fstab(5)`, `udev` names under `/dev/disk`, LVM names under `/dev/mapper`.

use std::sync::Arc;

use directive::text::Text;
use image::ReadAt;
use image::filesystem::{FileSystem, Id};
use image::volume::{Keys, Volume};

use super::{Mount, say};
use crate::meta::Kind;
use crate::source::{Hides, Obstacle, ObstacleKind};

/// Bytes of an `fstab`.
const FSTAB_BYTES: u64 = 256 << 10;

/// Bytes at the beginning of a volume that decide whether it is unused.
const LOOKED_AT: usize = 1 << 20;

/// File systems in place, and what could not be put anywhere.
pub(super) struct Assembled {
    pub(super) mounts: Vec<Mount>,
    pub(super) obstacles: Vec<Obstacle>,
}

/// A volume with a file system.
struct Found {
    volume: Volume,
    fs: Arc<dyn FileSystem>,
}

/// A line of an `fstab`: what is mounted, and where.
struct Line {
    what: String,
    at: Vec<u8>,
}

pub(super) fn assemble(disk: Arc<dyn ReadAt>, keys: &Keys) -> Assembled {
    let (volumes, blind) = image::volume::list(disk, keys);
    let mut obstacles: Vec<Obstacle> = blind
        .into_iter()
        .map(|blind| {
            let (kind, hides) = match (blind.hides, blind.is_encrypted) {
                (false, _) => (ObstacleKind::Remark, Hides::Entry),
                (true, true) => (ObstacleKind::Encrypted, Hides::Tree),
                (true, false) => (ObstacleKind::NotRead, Hides::Tree),
            };
            obstacle(place(&blind.place), kind, hides, blind.why)
        })
        .collect();
    let mut found = Vec::new();
    for volume in volumes {
        match image::filesystem::open(Arc::clone(&volume.bytes)) {
            Ok(Some(fs)) => found.push(Found { volume, fs }),
            Ok(None) => obstacles.push(unknown(&volume)),
            Err(error) => {
                let kind = super::kind_of(&error);
                obstacles.push(obstacle(place(&volume.name), kind, Hides::Tree, say(&error)));
            }
        }
    }
    let root = root(&found);
    let lines = root.map(|root| fstab(&found[root])).unwrap_or_default();
    let mut mounts: Vec<Mount> = Vec::new();
    for (n, Found { volume, fs }) in found.iter().enumerate() {
        let mounted = || lines.iter().find(|line| is_named(&line.what, volume, fs.as_ref())).map(|line| &line.at);
        let at = match root {
            Some(root) if n == root => Vec::new(),
            _ => mounted().filter(|at| !at.is_empty()).cloned().unwrap_or_else(|| labelled(volume, fs.as_ref())),
        };
        // Two file systems at one place: the second must not hide behind the first.
        let taken = mounts.iter().any(|mount| mount.at == at);
        let at = if taken { labelled(volume, fs.as_ref()) } else { at };
        for remark in fs.remarks() {
            let remark = format!("{} on {}: {remark}", fs.kind(), volume.name);
            obstacles.push(obstacle(at.clone(), ObstacleKind::Remark, Hides::Entry, remark));
        }
        mounts.push(Mount { at, fs: Arc::clone(fs) });
    }
    Assembled { mounts, obstacles }
}

fn obstacle(path: Vec<u8>, kind: ObstacleKind, hides: Hides, message: String) -> Obstacle {
    let path = Text::new(if path.is_empty() { b"/".to_vec() } else { path });
    Obstacle { path, kind, hides, message }
}

/// Where a volume is shown that nothing mounts.
fn place(volume: &str) -> Vec<u8> {
    let name: String = volume.chars().map(|c| if c == '/' || c.is_control() { '-' } else { c }).collect();
    format!("/@{name}").into_bytes()
}

/// The same with its label, which says more to people: `/@p2-rollback`. A label is written by whoever
/// owns the disk: only letters, digits and a few signs of it are shown.
fn labelled(volume: &Volume, fs: &dyn FileSystem) -> Vec<u8> {
    let label = volume.label.clone().filter(|label| !label.is_empty());
    let label = label.or_else(|| fs.label().map(|label| String::from_utf8_lossy(&label).into_owned()));
    let plain = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let label: String = label.unwrap_or_default().chars().filter(plain).take(40).collect();
    match label.is_empty() || volume.name.ends_with(&label) {
        true => place(&volume.name),
        false => place(&format!("{}-{label}", volume.name)),
    }
}

/// A volume without a file system that is known.
fn unknown(volume: &Volume) -> Obstacle {
    let size = usize::try_from(volume.bytes.len()).unwrap_or(LOOKED_AT).min(LOOKED_AT);
    let mut beginning = vec![0; size];
    let (kind, what) = match volume.bytes.read_at(0, &mut beginning) {
        Err(error) => (ObstacleKind::Unreadable, error.to_string()),
        Ok(()) if is_swap(&beginning) => {
            (ObstacleKind::NoFiles, "swap space: pieces of memory may be in it, and no files".to_owned())
        }
        Ok(()) if beginning.iter().all(|byte| *byte == 0) => {
            (ObstacleKind::NoFiles, format!("its first {size} bytes are zero: it seems unused"))
        }
        Ok(()) => (ObstacleKind::NotRead, "it holds something that is no file system that is known".to_owned()),
    };
    obstacle(place(&volume.name), kind, Hides::Tree, format!("{what} ({} bytes)", volume.bytes.len()))
}

/// Source: `mkswap(8)`, `linux/swap.h`: the mark stands at the end of the first page.
fn is_swap(beginning: &[u8]) -> bool {
    [4096_usize, 8192, 16384, 65536]
        .iter()
        .any(|page| matches!(beginning.get(page - 10..*page), Some(b"SWAPSPACE2" | b"SWAP-SPACE")))
}

fn root(found: &[Found]) -> Option<usize> {
    let is_own_root = |found: &Found| {
        let lines = fstab(found);
        lines.iter().any(|line| line.at.is_empty() && is_named(&line.what, &found.volume, found.fs.as_ref()))
    };
    let looks_like_one = |found: &Found| {
        let has = |name: &[u8]| child(found.fs.as_ref(), found.fs.root(), name).is_some();
        has(b"etc") && [&b"bin"[..], b"sbin", b"usr", b"home"].into_iter().any(has)
    };
    let only = || (found.len() == 1).then_some(0);
    let position = |is: &dyn Fn(&Found) -> bool| found.iter().position(is);
    position(&is_own_root).or_else(|| position(&looks_like_one)).or_else(only)
}

fn child(fs: &dyn FileSystem, folder: Id, name: &[u8]) -> Option<Id> {
    let mut found = None;
    let _ = fs.list(folder, &mut |listed| {
        if listed.name == name {
            found = Some(listed.id);
        }
        found.is_none()
    });
    found
}

fn fstab(found: &Found) -> Vec<Line> {
    let fs = found.fs.as_ref();
    let id = child(fs, fs.root(), b"etc").and_then(|etc| child(fs, etc, b"fstab"));
    let text = id.and_then(|id| read(fs, id)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (what, at, kind) = (words.next()?, words.next()?, words.next()?);
        (at.starts_with('/') && kind != "swap").then_some(())?;
        let at = if at == "/" { Vec::new() } else { crate::normalise(unescape(at).as_bytes()).ok()? };
        Some(Line { what: unescape(what), at })
    };
    lines.filter_map(line).collect()
}

/// `\040` is a space. Source: `fstab(5)`.
fn unescape(word: &str) -> String {
    word.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

fn read(fs: &dyn FileSystem, id: Id) -> Option<String> {
    let node = fs.node(id).ok()?;
    (Kind::from_mode(node.mode) == Kind::File && node.size <= FSTAB_BYTES).then_some(())?;
    let mut content = fs.open(id).ok()?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = content.read(&mut buffer) {
        if count == 0 || bytes.len() as u64 > FSTAB_BYTES {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a device of an `fstab` is this volume.
fn is_named(what: &str, volume: &Volume, fs: &dyn FileSystem) -> bool {
    let same =
        |have: Option<&str>, want: &str| have.is_some_and(|have| have.eq_ignore_ascii_case(want.trim_matches('"')));
    let label = fs.label().map(|label| String::from_utf8_lossy(&label).into_owned());
    let keyed = [
        ("UUID=", "/dev/disk/by-uuid/", fs.uuid()),
        ("LABEL=", "/dev/disk/by-label/", label),
        ("PARTUUID=", "/dev/disk/by-partuuid/", volume.partition_uuid.clone()),
        ("PARTLABEL=", "/dev/disk/by-partlabel/", volume.label.clone()),
    ];
    for (key, folder, have) in keyed {
        if let Some(want) = what.strip_prefix(key).or_else(|| what.strip_prefix(folder)) {
            return same(have.as_deref(), want);
        }
    }
    let Some(device) = what.strip_prefix("/dev/") else { return false };
    if let Some(mapped) = device.strip_prefix("mapper/") {
        // The mapper writes a hyphen of a name twice, and one between group and volume.
        return volume.name.split_once('/').is_some_and(|(group, name)| {
            mapped == format!("{}-{}", group.replace('-', "--"), name.replace('-', "--"))
        });
    }
    if device == volume.name {
        return true;
    }
    let digits = device.trim_start_matches(|c: char| !c.is_ascii_digit());
    let is_disk = ["sd", "hd", "vd", "xvd"].iter().any(|kind| device.starts_with(kind)) && !digits.is_empty();
    let number = match device.rsplit_once('p') {
        Some((disk, number)) if disk.ends_with(|c: char| c.is_ascii_digit()) => Some(number),
        _ => is_disk.then_some(digits),
    };
    number.is_some_and(|number| volume.name == format!("p{number}"))
}
