//! Lvm: are logical volumes read from the extents that lvm says they have?
//!
//! The groups are made with lvm itself on loop devices, without device-mapper, over a disk of random
//! bytes; what a volume must hold is computed from what `lvm lvs` reports, not from our parser.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make images with files and programs")]

mod disk;

use std::path::Path;
use std::sync::Arc;

use disk::{Dice, all, can, memory, run, same};
use image::volume::{Keys, list};

const MIB: usize = 1 << 20;
/// Where the physical volumes of the test disk begin, in MiB; each has 40.
const STARTS: [usize; 3] = [1, 41, 81];

/// Loop devices over ranges of a file, gone when dropped.
struct Loops(Vec<String>);

impl Loops {
    fn over(dir: &Path, starts: &[usize]) -> Self {
        let attach = |start: &usize| {
            let line = format!("losetup -f --show -o {} --sizelimit {} disk", start * MIB, 40 * MIB);
            // Another test may take the same free device.
            let out = (0..20).find_map(|_| {
                let mut words = line.split(' ');
                let out = std::process::Command::new(format!("/usr/sbin/{}", words.next().unwrap()));
                let mut out = out;
                let out = out.args(words).current_dir(dir).output().unwrap();
                out.status.success().then_some(out.stdout)
            });
            String::from_utf8(out.unwrap()).unwrap().trim().to_owned()
        };
        Self(starts.iter().map(attach).collect())
    }

    /// Runs lvm with eyes for these devices only.
    fn lvm(&self, line: &str) -> String {
        let filter: Vec<String> = self.0.iter().map(|device| format!("\"a|^{device}$|\"")).collect();
        let config = format!("devices{{filter=[{},\"r|.*|\"]use_devicesfile=0}}", filter.join(","));
        let (verb, rest) = line.split_once(' ').unwrap();
        run(Path::new("/"), &format!("lvm {verb} --driverloaded n --config {config} {rest}"))
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        for device in &self.0 {
            run(Path::new("/"), &format!("losetup -d {device}"));
        }
    }
}

/// A random disk with a GPT of three partitions, and `work` done on it with lvm; the disk and what
/// `lvs` says of each segment: `vg/lv type stripe-size ranges`.
fn disk(group: &str, work: &[&str]) -> (Vec<u8>, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; MIB];
    bytes.extend(Dice(11).bytes(120 * MIB));
    bytes.extend(vec![0; MIB]);
    std::fs::write(dir.path().join("disk"), &bytes).unwrap();
    run(dir.path(), "sgdisk -Z disk");
    run(dir.path(), "sgdisk -n 1:1M:+40M -n 2:41M:+40M -n 3:81M:+40M disk");
    let loops = Loops::over(dir.path(), &STARTS);
    let [one, two, three] = &loops.0[..] else { panic!("three devices") };
    for line in work {
        let line = line.replace("PV1", one).replace("PV2", two).replace("PV3", three);
        loops.lvm(&line);
    }
    let options = "-o vg_name,lv_name,segtype,stripe_size,vg_extent_size,seg_pe_ranges --units b --nosuffix";
    let said = loops.lvm(&format!("lvs --noheadings --separator ; {options} {group}"));
    let mut said = said;
    for (n, device) in loops.0.iter().enumerate() {
        // Longer names first cannot matter: there are three, and none begins like another plus a digit.
        said = said.replace(&format!("{device}:"), &format!("PV{}:", n + 1));
    }
    drop(loops);
    (std::fs::read(dir.path().join("disk")).unwrap(), said)
}

/// What `name` must hold, from the report of lvm.
fn expected(disk: &[u8], said: &str, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(';').collect();
        if format!("{}/{}", fields[0], fields[1]) != name {
            continue;
        }
        let (chunk, extent): (usize, usize) = (fields[3].parse().unwrap(), fields[4].parse().unwrap());
        let stripes: Vec<&[u8]> = fields[5]
            .split_whitespace()
            .map(|range| {
                let (pv, range) = range.split_once(':').unwrap();
                let (from, to) = range.split_once('-').unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                let start = STARTS[pv.strip_prefix("PV").unwrap().parse::<usize>().unwrap() - 1] * MIB + MIB;
                &disk[start + from * extent..start + (to + 1) * extent]
            })
            .collect();
        if stripes.len() == 1 {
            bytes.extend(stripes[0]);
            continue;
        }
        for n in 0..stripes[0].len() / chunk {
            stripes.iter().for_each(|stripe| bytes.extend(&stripe[n * chunk..(n + 1) * chunk]));
        }
    }
    bytes
}

fn can_lvm() -> bool {
    can(&["root", "lvm", "losetup", "sgdisk"])
}

#[test]
fn volumes_of_several_segments_on_several_disks_are_read() {
    if !can_lvm() {
        return;
    }
    let (disk, said) = disk(
        "vgseg",
        &[
            "vgcreate -s 1M vgseg PV1 PV2 PV3",
            "lvcreate -an -Zn -Wn -L 5M -n a vgseg",
            "lvcreate -an -Zn -Wn -L 3M -n b vgseg PV1",
            "lvextend -L 12M vgseg/a PV1",
            "lvextend -L 50M vgseg/a",
            "lvcreate -an -Zn -Wn -i 2 -I 64k -L 8M -n striped vgseg PV2 PV3",
            "lvcreate -an -Zn -Wn -l 1 -n with-hyphen vgseg",
        ],
    );
    let (volumes, blind) = list(memory(&disk), &Keys::default());
    assert!(blind.is_empty(), "{blind:?}");
    let mut names: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["vgseg/a", "vgseg/b", "vgseg/striped", "vgseg/with-hyphen"]);
    for volume in &volumes {
        same(&volume.bytes, &expected(&disk, &said, &volume.name));
    }
}

#[test]
fn a_volume_on_a_disk_that_is_not_there_is_said_and_the_others_are_read() {
    if !can_lvm() {
        return;
    }
    let (mut disk, said) = disk(
        "vgmiss",
        &[
            "vgcreate -s 1M vgmiss PV1 PV2",
            "lvcreate -an -Zn -Wn -L 5M -n here vgmiss PV1",
            "lvcreate -an -Zn -Wn -L 5M -n there vgmiss PV2",
        ],
    );
    disk[41 * MIB..42 * MIB].fill(0);
    let (volumes, blind) = list(memory(&disk), &Keys::default());
    let here = volumes.iter().find(|volume| volume.name == "vgmiss/here").unwrap();
    same(&here.bytes, &expected(&disk, &said, "vgmiss/here"));
    let said = blind.iter().find(|blind| blind.place == "vgmiss/there").unwrap();
    assert!(said.why.contains("which is not on this disk"), "{}", said.why);
}

#[test]
fn a_disk_without_a_copy_of_the_description_is_found_through_another() {
    if !can_lvm() {
        return;
    }
    let (disk, said) = disk(
        "vgcopy",
        &[
            "pvcreate --metadatacopies 0 PV2",
            "vgcreate -s 1M vgcopy PV1 PV2",
            "lvcreate -an -Zn -Wn -L 5M -n b vgcopy PV2",
        ],
    );
    let (volumes, blind) = list(memory(&disk), &Keys::default());
    assert!(blind.is_empty(), "{blind:?}");
    let b = volumes.iter().find(|volume| volume.name == "vgcopy/b").unwrap();
    same(&b.bytes, &expected(&disk, &said, "vgcopy/b"));
}

#[test]
fn a_disk_that_is_a_physical_volume_as_a_whole_is_read_and_its_damage_is_said() {
    if !can_lvm() {
        return;
    }
    let (disk, said) = disk("vgwhole", &["vgcreate -s 1M vgwhole PV1", "lvcreate -an -Zn -Wn -L 5M -n a vgwhole"]);
    let whole = &disk[MIB..41 * MIB];
    let (volumes, blind) = list(memory(whole), &Keys::default());
    assert!(blind.is_empty() && volumes.len() == 1, "{blind:?}");
    assert!(all(&*volumes[0].bytes) == expected(&disk, &said, "vgwhole/a"));
    let text = whole.windows(8).rposition(|bytes| bytes == b"\nvgwhole" || bytes == b"vgwhole ").unwrap();
    let mut damaged = whole.to_vec();
    damaged[text + 30] ^= 1;
    let (volumes, blind) = list(memory(&damaged), &Keys::default());
    assert!(volumes.is_empty() && blind[0].why.contains("LVM2 metadata"), "{blind:?}");
    let (volumes, blind) = list(memory(&whole[..3 * MIB]), &Keys::default());
    assert!(volumes.is_empty() && blind[0].why.contains("cut off"), "{blind:?}");
}

#[test]
fn of_two_descriptions_the_newest_is_read_and_the_older_is_said() {
    if !can_lvm() {
        return;
    }
    let (mut disk, said) = disk(
        "vgold",
        &[
            "vgcreate -s 1M vgold PV1 PV2",
            "lvcreate -an -Zn -Wn -L 5M -n a vgold PV1",
            "lvcreate -an -Zn -Wn -L 2M -n b vgold PV2",
        ],
    );
    // The second disk still says what it said before the last change: its header names that text.
    let area = 41 * MIB + 4096;
    let place = usize::try_from(u64::from_le_bytes(disk[area + 40..area + 48].try_into().unwrap())).unwrap();
    let begins = |at: &usize| disk[area + at..].starts_with(b"vgold {");
    let older = (512..place).step_by(512).rfind(begins).unwrap();
    let len = disk[area + older..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let sum = crc32(&disk[area + older..area + older + len]);
    disk[area + 40..area + 48].copy_from_slice(&(older as u64).to_le_bytes());
    disk[area + 48..area + 56].copy_from_slice(&(len as u64).to_le_bytes());
    disk[area + 56..area + 60].copy_from_slice(&sum.to_le_bytes());
    let sum = crc32(&disk[area + 4..area + 512]);
    disk[area..area + 4].copy_from_slice(&sum.to_le_bytes());
    let (volumes, blind) = list(memory(&disk), &Keys::default());
    for name in ["vgold/a", "vgold/b"] {
        let volume = volumes.iter().find(|volume| volume.name == name).unwrap();
        same(&volume.bytes, &expected(&disk, &said, name));
    }
    assert!(blind.len() == 1 && blind[0].place == "p2", "{blind:?}");
    assert!(blind[0].why.starts_with("an older description of vgold"), "{blind:?}");
}

/// The checksum of LVM2.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    bytes.iter().fold(0xF597_A6CF, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn layers_find_each_other_in_any_order() {
    if !can_lvm() {
        return;
    }
    // A logical volume that is itself a physical volume of another group.
    let (outer, said) = disk("vgouter", &["vgcreate -s 1M vgouter PV1", "lvcreate -an -Zn -Wn -L 38M -n pv vgouter"]);
    let (inner, inner_said) =
        disk("vginner", &["vgcreate -s 1M vginner PV2", "lvcreate -an -Zn -Wn -L 5M -n deep vginner"]);
    let mut whole = outer.clone();
    assert!(said.contains("0-37"), "{said}");
    whole[2 * MIB..40 * MIB].copy_from_slice(&inner[41 * MIB..79 * MIB]);
    let (volumes, blind) = list(memory(&whole), &Keys::default());
    let deep = volumes.iter().find(|volume| volume.name == "vginner/deep");
    let deep = Arc::clone(&deep.unwrap_or_else(|| panic!("{blind:?}")).bytes);
    same(&deep, &expected(&inner, &inner_said, "vginner/deep"));
}
