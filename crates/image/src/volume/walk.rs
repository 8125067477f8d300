//! Walk: how does one get from a disk to the bottom of everything that is nested in it?
//!
//! Ranges are looked at one after another; members of arrays and physical volumes are gathered, and
//! put together when all ranges were seen that could hold more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::luks::Budget;
use super::lvm::{self, Physical};
use super::md::Member;
use super::{Blind, Keys, Volume, luks, md, partition, signature};
use crate::{ReadAt, Slice};

/// How deep volumes may be nested; partition, RAID, LVM, LUKS, LVM make five.
const MAX_DEPTH: usize = 8;
/// Ranges of one disk that are looked at, volumes or not: tables within tables could name billions.
const MAX_RANGES: usize = 1024;
/// Remarks that are kept.
const MAX_BLIND: usize = 4096;
/// Bytes of LVM2 text on one disk: the areas of 64 ordinary physical volumes.
const MAX_TEXT: u64 = 64 << 20;

struct Range {
    name: String,
    label: Option<String>,
    uuid: Option<String>,
    bytes: Arc<dyn ReadAt>,
    depth: usize,
}

#[derive(Default)]
struct Walk {
    volumes: Vec<Volume>,
    blind: Vec<Blind>,
    members: Vec<(String, usize, Member)>,
    physical: Vec<Physical>,
    /// Where each of them is.
    physical_places: Vec<String>,
    /// Depth of the deepest physical volume.
    physical_depth: usize,
    /// Groups that were listed, by identifier.
    groups: BTreeSet<String>,
    ranges: usize,
    budget: Budget,
    text_left: u64,
}

pub(super) fn list(disk: Arc<dyn ReadAt>, keys: &Keys) -> (Vec<Volume>, Vec<Blind>) {
    let mut walk = Walk { text_left: MAX_TEXT, ..Walk::default() };
    let disk = Range { name: "disk".into(), label: None, uuid: None, bytes: disk, depth: 0 };
    walk.look(disk, keys);
    // What is inside an array or a group may hold further arrays and groups.
    loop {
        if !walk.members.is_empty() {
            walk.arrays(keys);
        } else if !walk.groups(keys) {
            break;
        }
    }
    walk.say_what_is_idle();
    (walk.volumes, walk.blind)
}

impl Walk {
    fn say(&mut self, place: &str, why: impl Into<String>) {
        self.say_closed(place, false, why.into());
    }

    /// Something about what was read all the same.
    fn note(&mut self, place: &str, why: impl Into<String>) {
        if self.blind.len() < MAX_BLIND {
            self.blind.push(Blind { place: place.to_owned(), hides: false, is_encrypted: false, why: why.into() });
        }
    }

    fn say_closed(&mut self, place: &str, is_encrypted: bool, why: String) {
        if self.blind.len() < MAX_BLIND {
            self.blind.push(Blind { place: place.to_owned(), hides: true, is_encrypted, why });
        }
    }

    fn keep(&mut self, range: Range) {
        let Range { name, label, uuid, bytes, .. } = range;
        self.volumes.push(Volume { name, label, partition_uuid: uuid, bytes });
    }

    /// Looks at one range and at everything inside that needs no other range.
    fn look(&mut self, range: Range, keys: &Keys) {
        if self.ranges >= MAX_RANGES || range.depth > MAX_DEPTH {
            let why = format!("more than {MAX_RANGES} ranges or {MAX_DEPTH} layers; what is inside is not listed");
            return self.say(&range.name, why);
        }
        self.ranges += 1;
        let inner = signature::file_system(&*range.bytes);
        let mut is_layer = false;
        match md::member(&range.bytes) {
            Some(Ok(member)) => {
                let is_in_front = member.is_in_front;
                self.members.push((range.name.clone(), range.depth, member));
                if !is_in_front {
                    // The data begin where the range begins: what is there is the array's.
                    return;
                }
                is_layer = true;
            }
            Some(Err(why)) => self.say(&range.name, why),
            None => {}
        }
        if !is_layer && let Some(opened) = luks::open(&range.bytes, keys, &mut self.budget) {
            is_layer = true;
            match opened {
                Ok(plain) => {
                    if let Some(remark) = plain.remark {
                        self.note(&range.name, remark);
                    }
                    let (name, label, bytes) = (plain.name, plain.label, plain.bytes);
                    self.look(Range { name, label, uuid: None, bytes, depth: range.depth + 1 }, keys);
                }
                Err(closed) => self.say_closed(&range.name, closed.is_encrypted, closed.why),
            }
        }
        if !is_layer && signature::is_physical_volume(&*range.bytes) {
            is_layer = true;
            match lvm::physical(&range.bytes, &mut self.text_left) {
                Ok(physical) if self.physical.iter().any(|other| other.id == physical.id) => {
                    self.say(&range.name, "a second physical volume with the same identifier; the first was used");
                }
                Ok(physical) => {
                    self.physical_depth = self.physical_depth.max(range.depth);
                    if let Some(remark) = &physical.remark {
                        self.note(&range.name, remark.clone());
                    }
                    self.physical_places.push(range.name.clone());
                    self.physical.push(physical);
                }
                Err(why) => self.say(&range.name, why),
            }
        }
        if is_layer {
            if let Some(kind) = inner {
                self.note(&range.name, format!("it holds {kind} beside another layer; both are listed"));
                self.keep(range);
            }
            return;
        }
        self.partitions(range, inner, keys);
    }

    /// A range without layers: its partitions, or itself.
    fn partitions(&mut self, range: Range, inner: Option<&'static str>, keys: &Keys) {
        let table = partition::table(&range.bytes);
        // The boot sector of a file system ends like one with a table, and code is no table.
        let table = table.filter(|table| inner.is_none() || !table.parts.is_empty());
        let Some(table) = table else { return self.keep(range) };
        if let Some(kind) = inner {
            // A CD that boots from a stick has both, and its partitions lie inside it.
            if kind != "iso9660" && table.parts.iter().any(|part| part.start != 0) {
                self.note(&range.name, format!("it holds {kind} and a partition table; both are listed"));
            }
        }
        let name = |number: u32| match range.depth {
            0 => format!("p{number}"),
            _ => format!("{}:p{number}", range.name),
        };
        for note in table.notes {
            self.note(&range.name, note);
        }
        for (number, why) in table.remarks {
            self.say(&number.map_or_else(|| range.name.clone(), name), why);
        }
        let (bytes, depth) = (Arc::clone(&range.bytes), range.depth + 1);
        let mut children = Vec::new();
        for part in table.parts {
            let name = name(part.number);
            // One that begins where the disk begins is the file system that was found there.
            if part.start == 0 && inner.is_some() {
                continue;
            }
            match Slice::new(Arc::clone(&bytes), part.start, part.len) {
                Some(slice) if part.start != 0 => {
                    let bytes = Arc::new(slice);
                    children.push(Range { name, label: part.label, uuid: part.uuid, bytes, depth });
                }
                _ => self.say(&name, "it begins where the table itself lies"),
            }
        }
        if inner.is_some() {
            self.keep(range);
        }
        for child in children {
            self.look(child, keys);
        }
    }

    /// Puts the gathered members together: of each mirror the one that was written last.
    fn arrays(&mut self, keys: &Keys) {
        let mut arrays: BTreeMap<String, Vec<(String, usize, Member)>> = BTreeMap::new();
        for member in std::mem::take(&mut self.members) {
            arrays.entry(member.2.uuid.clone()).or_default().push(member);
        }
        for (uuid, mut members) in arrays {
            let name = format!("md-{uuid}");
            members.sort_by_key(|(_, _, member)| (member.data.is_err(), std::cmp::Reverse(member.events)));
            let newest = members.iter().map(|(_, _, member)| member.events).max().unwrap_or_default();
            for (place, _, member) in &members {
                if let Some(remark) = &member.remark {
                    self.note(place, remark.clone());
                }
                if let (Err(why), false) = (&member.data, members[0].2.data.is_err()) {
                    self.say(place, why.clone());
                } else if member.events < newest {
                    let events = member.events;
                    let why = format!("an older state of {name}: {events} events, the newest member has {newest}");
                    self.say(place, why);
                }
            }
            let (_, depth, member) = members.swap_remove(0);
            match member.data {
                Ok(bytes) => {
                    let range = Range { name, label: member.label, uuid: None, bytes, depth: depth + 1 };
                    self.look(range, keys);
                }
                Err(why) => self.say(&name, why),
            }
        }
    }

    /// Lists the groups that were not listed yet; whether there was one.
    fn groups(&mut self, keys: &Keys) -> bool {
        let mut newest: BTreeMap<&str, &lvm::Group> = BTreeMap::new();
        for group in self.physical.iter().filter_map(|physical| physical.group.as_ref()) {
            if self.groups.contains(&group.id) {
                continue;
            }
            let best = newest.entry(&group.id).or_insert(group);
            if group.number > best.number {
                *best = group;
            }
        }
        let listed = |group: &&lvm::Group| (group.id.clone(), group.name.clone(), lvm::logical(group, &self.physical));
        let found: Vec<_> = newest.values().map(listed).collect();
        let mut older = Vec::new();
        for (physical, place) in self.physical.iter().zip(&self.physical_places) {
            let Some(group) = &physical.group else { continue };
            let Some(best) = newest.get(group.id.as_str()).filter(|best| best.number > group.number) else { continue };
            let (own, number) = (group.number, best.number);
            older
                .push((place.clone(), format!("an older description of {}: {own}, the newest is {number}", best.name)));
        }
        older.into_iter().for_each(|(place, why)| self.say(&place, why));
        let depth = self.physical_depth + 1;
        for (id, name, volumes) in &found {
            self.groups.insert(id.clone());
            if volumes.is_empty() {
                self.say(name, "an LVM2 volume group without logical volumes; what its disks hold is not listed");
            }
            for volume in volumes {
                match &volume.bytes {
                    Ok(bytes) => {
                        let (name, bytes) = (volume.name.clone(), Arc::clone(bytes));
                        self.look(Range { name, label: None, uuid: None, bytes, depth }, keys);
                    }
                    Err(why) => self.say(&volume.name, why.clone()),
                }
            }
        }
        !found.is_empty()
    }

    /// Names physical volumes that no group on this disk claims.
    fn say_what_is_idle(&mut self) {
        let groups = self.physical.iter().filter_map(|physical| physical.group.as_ref());
        let used: BTreeSet<String> = groups.flat_map(lvm::disks).collect();
        let places = self.physical.iter().zip(&self.physical_places);
        let idle: Vec<String> =
            places.filter(|(physical, _)| !used.contains(&physical.id)).map(|(_, place)| place.clone()).collect();
        for place in idle {
            self.say(&place, "an LVM2 physical volume that no volume group on this disk claims");
        }
    }
}
