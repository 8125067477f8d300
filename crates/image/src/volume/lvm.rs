//! Lvm: which logical volumes does a volume group hold, and on which ranges of its disks?
//!
//! Linear and striped volumes of any number of segments over the physical volumes that are on this
//! disk. Thin, cached, mirrored volumes and snapshots are seen and not read; the origin of a snapshot
//! is. Source: LVM2, lib/format_text/{layout.h,import_vsn1.c}.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lvm_text::{Section, Value, parse};
use crate::field::{IEEE, crc32, is_sum, le32, le64, read, text};
use crate::joined::{Joined, Striped};
use crate::{ReadAt, Slice};

const SECTOR: u64 = 512;
/// Where LVM2's own CRC begins.
const CRC_BEGIN: u32 = 0xF597_A6CF;
/// Bytes of one group's text; the usual metadata area has 1 MiB.
const MAX_TEXT: u64 = 4 << 20;
/// Areas that a physical volume's header may list; LVM2 makes two.
const MAX_AREAS: usize = 8;

/// A physical volume.
pub(super) struct Physical {
    pub(super) id: String,
    pub(super) bytes: Arc<dyn ReadAt>,
    /// The text of its group, if this volume holds a copy that can be read.
    pub(super) group: Option<Group>,
    /// A copy that cannot be read beside one that can.
    pub(super) remark: Option<String>,
}

/// What the text says.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) number: u64,
    section: Section,
}

/// A logical volume: its name and bytes, or why there are none.
pub(super) struct Logical {
    pub(super) name: String,
    pub(super) bytes: Result<Arc<dyn ReadAt>, String>,
}

/// Reads the label and the text of a physical volume. `text_left`: bytes of text that may still be
/// read on this disk.
pub(super) fn physical(bytes: &Arc<dyn ReadAt>, text_left: &mut u64) -> Result<Physical, String> {
    let damaged = |what: &str| format!("its LVM2 {what} is damaged");
    let labels = (0..4).filter_map(|sector| read(&**bytes, sector * SECTOR, 512).ok().map(|label| (sector, label)));
    let mut labels = labels.filter(|(sector, label)| {
        label.starts_with(b"LABELONE") && &label[24..32] == b"LVM2 001" && le64(label, 8) == *sector
    });
    let (_, label) = labels.next().ok_or_else(|| damaged("label"))?;
    let at = le32(&label, 20) as usize;
    if !is_sum(&crc32(IEEE, CRC_BEGIN, &label[20..]), &le32(&label, 16)) || at > 512 - 56 {
        return Err(damaged("label"));
    }
    let id = text(&label[at..at + 32]);
    let mut list = label[at + 40..].chunks_exact(16).map(|area| (le64(area, 0), le64(area, 8)));
    // Data areas, then metadata areas; a pair of zeros ends each list.
    let _data = list.by_ref().take(MAX_AREAS).take_while(|(at, _)| *at != 0).count();
    let areas: Vec<_> = list.take(MAX_AREAS).take_while(|(at, _)| *at != 0).collect();
    let mut group = None;
    let mut wrong = None;
    for (at, len) in areas {
        match group_text(&**bytes, at, len, text_left) {
            // A write that was cut off leaves an older copy.
            Ok(found) => group = group.into_iter().chain(found).max_by_key(|group: &Group| group.number),
            Err(why) => wrong = Some(why),
        }
    }
    match (group, wrong) {
        (None, Some(why)) => Err(why),
        (group, wrong) => {
            let remark = wrong.map(|why| format!("in one of its copies {why}; another one was used"));
            Ok(Physical { id, bytes: Arc::clone(bytes), group, remark })
        }
    }
}

/// The text in a metadata area, a ring behind a header of 512 bytes.
fn group_text(bytes: &dyn ReadAt, at: u64, len: u64, text_left: &mut u64) -> Result<Option<Group>, String> {
    let damaged = || "its LVM2 metadata are damaged".to_owned();
    let head = read(bytes, at, 512).map_err(|_| damaged())?;
    let is_sound = is_sum(&crc32(IEEE, CRC_BEGIN, &head[4..]), &le32(&head, 0));
    if !is_sound || &head[4..20] != b" LVM2 x[5A%r0N*>" || le64(&head, 24) != at {
        return Err(damaged());
    }
    let (offset, size, sum, flags) = (le64(&head, 40), le64(&head, 48), le32(&head, 56), le32(&head, 60));
    // Empty: a volume of no group. Flag 1: this copy is out of use.
    if offset == 0 || size == 0 || flags & 1 != 0 {
        return Ok(None);
    }
    if size > MAX_TEXT.min(*text_left) {
        return Err("its LVM2 metadata are larger than what is read".into());
    }
    *text_left -= size;
    if offset < 512 || offset >= len || size > len - 512 || at.checked_add(len).is_none_or(|end| end > bytes.len()) {
        return Err(damaged());
    }
    let first = size.min(len - offset);
    let part = |offset: u64, count: u64| {
        read(bytes, at + offset, usize::try_from(count).unwrap_or(usize::MAX)).map_err(|_| damaged())
    };
    let mut text = part(offset, first)?;
    text.extend(part(512, size - first)?);
    if !is_sum(&crc32(IEEE, CRC_BEGIN, &text), &sum) {
        return Err("the checksum of its LVM2 metadata is wrong".into());
    }
    let mut top = parse(&String::from_utf8_lossy(&text)).ok_or_else(damaged)?;
    let place = top.0.iter().position(
        |(_, value)| matches!(value, Value::Section(section) if section.section("physical_volumes").is_some()),
    );
    let Some((name, Value::Section(section))) = place.map(|place| top.0.swap_remove(place)) else {
        return Err(damaged());
    };
    let id = section.text("id").unwrap_or_default().to_owned();
    Ok(Some(Group { name, id, number: section.number("seqno").unwrap_or_default(), section }))
}

/// The volumes of a group over the physical volumes that are there.
pub(super) fn logical(group: &Group, physical: &[Physical]) -> Vec<Logical> {
    let Some(volumes) = group.section.section("logical_volumes") else { return Vec::new() };
    let mut found = Vec::new();
    let stores: BTreeSet<&str> = segments(volumes).filter_map(|segment| segment.text("cow_store")).collect();
    let parts = parts(volumes);
    for (name, volume) in volumes.sections() {
        let segments: Vec<&Section> = segments_of(volume).collect();
        let is_visible = volume.list("status").iter().any(|flag| *flag == Value::Text("VISIBLE".into()));
        // A snapshot is a hidden volume that names its origin and its store; people know the store.
        let is_snapshot = segments.iter().any(|segment| segment.text("type") == Some("snapshot"));
        // A hidden volume is a part of another one, or the spare of thin pools. One that is neither
        // was hidden by hand.
        let is_part = !is_visible && (parts.contains(name) || name.ends_with("_pmspare"));
        let is_store = stores.contains(name);
        if is_snapshot || is_part && !is_store {
            continue;
        }
        let bytes = if is_store {
            Err("a snapshot: what it keeps of its origin is not read; the origin is".into())
        } else {
            assemble(group, &segments, physical)
        };
        found.push(Logical { name: format!("{}/{name}", group.name), bytes });
    }
    found
}

fn segments(volumes: &Section) -> impl Iterator<Item = &Section> {
    volumes.sections().flat_map(|(_, volume)| segments_of(volume))
}

fn segments_of(volume: &Section) -> impl Iterator<Item = &Section> {
    volume.sections().filter(|(name, _)| name.starts_with("segment")).map(|(_, segment)| segment)
}

/// Names that segments mention: pools, mirrors' legs, metadata of either.
fn parts(volumes: &Section) -> BTreeSet<&str> {
    let values = segments(volumes).flat_map(|segment| &segment.0).flat_map(|(_, value)| match value {
        Value::List(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    });
    let texts = values.filter_map(|value| match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Identifiers of the physical volumes that a group consists of, as their labels write them.
pub(super) fn disks(group: &Group) -> impl Iterator<Item = String> {
    let disks = group.section.section("physical_volumes").into_iter().flat_map(Section::sections);
    disks.map(|(_, disk)| disk.text("id").unwrap_or_default().replace('-', ""))
}

fn assemble(group: &Group, segments: &[&Section], physical: &[Physical]) -> Result<Arc<dyn ReadAt>, String> {
    let damaged = || "its description is damaged".to_owned();
    let extent = group.section.number("extent_size").and_then(|sectors| sectors.checked_mul(SECTOR));
    let extent = extent.filter(|extent| *extent != 0).ok_or_else(damaged)?;
    let mut segments: Vec<_> = segments.iter().map(|segment| (segment.number("start_extent"), *segment)).collect();
    segments.sort_by_key(|(start, _)| *start);
    let mut whole = Joined::default();
    let mut next = 0_u64;
    for (start, segment) in segments {
        let count = segment.number("extent_count").filter(|count| *count != 0).ok_or_else(damaged)?;
        if start != Some(next) {
            return Err(damaged());
        }
        next = next.checked_add(count).ok_or_else(damaged)?;
        match segment.text("type") {
            Some("striped" | "linear") => {}
            Some(other) => return Err(format!("segments of type {other:?} are not read")),
            None => return Err(damaged()),
        }
        whole.push(striped(group, segment, count, extent, physical)?).ok_or_else(damaged)?;
    }
    if next == 0 { Err(damaged()) } else { Ok(Arc::new(whole)) }
}

/// One segment of `count` extents.
fn striped(
    group: &Group,
    segment: &Section,
    count: u64,
    extent: u64,
    physical: &[Physical],
) -> Result<Arc<dyn ReadAt>, String> {
    let damaged = || "its description is damaged".to_owned();
    let stripes = segment.list("stripes");
    let width = stripes.len() as u64 / 2;
    if width == 0 || segment.number("stripe_count") != Some(width) || !count.is_multiple_of(width) {
        return Err(damaged());
    }
    let len = (count / width).checked_mul(extent).ok_or_else(damaged)?;
    let mut parts = Vec::new();
    for pair in stripes.chunks_exact(2) {
        let [Value::Text(name), Value::Number(first)] = pair else { return Err(damaged()) };
        let described = group.section.section("physical_volumes").and_then(|all| all.section(name));
        let described = described.ok_or_else(damaged)?;
        // Written with hyphens in the text, without them in the label.
        let id = described.text("id").unwrap_or_default().replace('-', "");
        let Some(disk) = physical.iter().find(|disk| disk.id == id) else {
            return Err(format!("it lies in part on physical volume {name} ({id}), which is not on this disk"));
        };
        let start = described.number("pe_start").and_then(|sectors| sectors.checked_mul(SECTOR));
        let start = start.and_then(|start| first.checked_mul(extent)?.checked_add(start)).ok_or_else(damaged)?;
        let part = Slice::new(Arc::clone(&disk.bytes), start, len);
        let outside =
            || format!("it leaves physical volume {name}: the description is damaged or the image is cut off");
        parts.push(Arc::new(part.ok_or_else(outside)?) as Arc<dyn ReadAt>);
    }
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let chunk = segment.number("stripe_size").and_then(|sectors| sectors.checked_mul(SECTOR));
    let striped = chunk.and_then(|chunk| Striped::new(parts, chunk)).ok_or_else(damaged)?;
    Ok(Arc::new(striped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    /// What becomes of each volume of a text: its length, or why it has no bytes.
    fn check(volumes: &str, expected: &[&str]) {
        let text = format!(
            "vg {{ id = \"g\" seqno = 1 extent_size = 8 physical_volumes {{ pv0 {{ id = \"a-b\" pe_start = 8 }} }}\n\
             logical_volumes {{ {volumes} }} }}"
        );
        let Some((_, Value::Section(section))) = parse(&text).unwrap().0.pop() else { panic!("{text}") };
        let group = Group { name: "vg".into(), id: "g".into(), number: 1, section };
        let bytes: Arc<dyn ReadAt> = Arc::new(Memory(vec![0; 10 * 4096]));
        let disk = Physical { id: "ab".into(), bytes, group: None, remark: None };
        let found = logical(&group, &[disk]).into_iter().map(|volume| match volume.bytes {
            Ok(bytes) => format!("{} {}", volume.name, bytes.len()),
            Err(why) => format!("{}: {why}", volume.name),
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    fn segment(n: usize, start: u64, count: u64, rest: &str) -> String {
        format!("segment{n} {{ start_extent = {start} extent_count = {count} {rest} }}")
    }

    const PLAIN: &str = "type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 0]";
    const SHOWN: &str = "status = [\"READ\", \"VISIBLE\"]";

    #[test]
    fn thin_cached_and_mirrored_volumes_are_seen_and_not_read() {
        for kind in ["thin", "thin-pool", "cache", "mirror", "raid1", "vdo"] {
            let segment = segment(1, 0, 4, &format!("type = \"{kind}\""));
            let why = format!("vg/a: segments of type \"{kind}\" are not read");
            check(&format!("a {{ {SHOWN} {segment} }}"), &[&why]);
        }
    }

    #[test]
    fn a_snapshot_is_seen_and_its_origin_is_read() {
        let plain = segment(1, 0, 4, PLAIN);
        let snapshot = segment(1, 0, 4, "type = \"snapshot\" origin = \"root\" cow_store = \"snap\"");
        let volumes =
            format!("root {{ {SHOWN} {plain} }} snap {{ {SHOWN} {plain} }} snapshot0 {{ status = [] {snapshot} }}");
        check(&volumes, &["vg/root 16384", "vg/snap: a snapshot"]);
    }

    #[test]
    fn a_volume_that_was_hidden_by_hand_is_read_and_parts_of_others_are_not_listed() {
        let plain = segment(1, 0, 4, PLAIN);
        let thin = segment(1, 0, 4, "type = \"thin-pool\" metadata = \"tmeta\" pool = \"tdata\"");
        let hidden = |name: &str| format!("{name} {{ status = [\"READ\"] {plain} }}");
        let volumes =
            ["root", "tmeta", "tdata", "lvol0_pmspare"].map(hidden).concat() + &format!("pool {{ {SHOWN} {thin} }}");
        check(&volumes, &["vg/root 16384", "vg/pool: segments of type"]);
    }

    #[test]
    fn extents_that_leave_the_disk_overlap_or_overflow_are_refused() {
        let one = |start, count, rest: &str| format!("a {{ {SHOWN} {} }}", segment(1, start, count, rest));
        check(&one(0, 9, PLAIN), &["vg/a 36864"]);
        check(&one(0, 10, PLAIN), &["vg/a: it leaves physical volume"]);
        check(&one(0, u64::MAX, PLAIN), &["vg/a: its description is damaged"]);
        check(&one(0, u64::MAX / 4096, PLAIN), &["vg/a: it leaves physical volume"]);
        check(&one(1, 2, PLAIN), &["vg/a: its description is damaged"]);
        check(&one(0, 0, PLAIN), &["vg/a: its description is damaged"]);
        let far = "type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 18446744073709551615]";
        check(&one(0, 1, far), &["vg/a: its description is damaged"]);
        let none = "type = \"striped\" stripe_count = 0 stripes = []";
        check(&one(0, 1, none), &["vg/a: its description is damaged"]);
        let both = [segment(1, 0, 4, PLAIN), segment(2, 2, 4, PLAIN)].concat();
        check(&format!("a {{ {SHOWN} {both} }}"), &["vg/a: its description is damaged"]);
        check(&format!("a {{ {SHOWN} }}"), &["vg/a: its description is damaged"]);
    }
}
