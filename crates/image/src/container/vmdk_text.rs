//! Vmdk-text: which extents does a vmdk disk consist of?
//!
//! The description is text that anybody can write: it names files, and none of them is opened here.
//! Source: VMware, Virtual Disk Format 5.0.

use super::Error;
use super::vmdk::refused;

/// How a description begins, in lower case: VMware writes capitals inside.
pub(super) const MAGIC: &[u8] = b"# disk descriptorfile";

/// Bytes of a description: 2 GiB extents of the largest disk fill some hundred KiB.
pub(super) const MAX_TEXT: u64 = 1 << 20;
/// Extents of one disk: 8 TiB in pieces of 2 GiB.
const MAX_EXTENTS: usize = 4096;

/// What one line `RW 4192256 SPARSE "disk-s001.vmdk"` says.
pub(super) struct Extent {
    /// Length in sectors of 512 bytes.
    pub(super) sectors: u64,
    pub(super) kind: Kind,
}

/// What an extent is, and the file that holds it.
pub(super) enum Kind {
    /// Bytes as they are, from a sector on.
    Flat(String, u64),
    /// A file with grains.
    Sparse(String),
    Zero,
}

/// A description that can be read alone.
pub(super) struct Description {
    pub(super) extents: Vec<Extent>,
}

/// Reads a description; an empty one has no extents.
pub(super) fn parse(text: &[u8]) -> Result<Description, Error> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = String::from_utf8_lossy(&text[..end]);
    let value = |line: &str, key: &str| {
        let (name, value) = line.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim().trim_matches('"').to_owned())
    };
    let find = |key: &str| text.lines().find_map(|line| value(line, key));
    if find("parentCID").is_some_and(|parent| !parent.eq_ignore_ascii_case("ffffffff")) {
        let parent = find("parentFileNameHint").unwrap_or_default();
        let why = format!("it holds only what differs from {parent:?}; such a disk is not read, merge its snapshots");
        return Err(refused(why));
    }
    let mut extents = Vec::new();
    for line in text.lines().map(str::trim) {
        let Some((access, rest)) = line.split_once(' ') else { continue };
        if !["RW", "RDONLY", "NOACCESS"].contains(&access) {
            continue;
        }
        if extents.len() == MAX_EXTENTS {
            return Err(refused(format!("it has more than {MAX_EXTENTS} extents")));
        }
        let extent = extent(rest).ok_or_else(|| refused(format!("extent {line:?} is not understood")))?;
        extents.push(extent.map_err(refused)?);
    }
    Ok(Description { extents })
}

fn extent(rest: &str) -> Option<Result<Extent, String>> {
    let (sectors, rest) = rest.trim_start().split_once(' ')?;
    let sectors = sectors.parse().ok()?;
    let (kind, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
    let mut quoted = rest.split('"');
    let (name, after) = match (quoted.next(), quoted.next(), quoted.next()) {
        (Some(_), Some(name), Some(after)) => (name.to_owned(), after.trim()),
        _ => (String::new(), ""),
    };
    let start = if after.is_empty() { 0 } else { after.split(' ').next()?.parse().ok()? };
    let kind = match kind {
        "ZERO" => Kind::Zero,
        "FLAT" | "VMFS" if !name.is_empty() => Kind::Flat(name, start),
        "SPARSE" if !name.is_empty() => Kind::Sparse(name),
        other => return Some(Err(format!("extents of kind {other:?} are not read"))),
    };
    Some(Ok(Extent { sectors, kind }))
}
