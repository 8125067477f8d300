//! Attacks on whoever reads a tar, each as a test that is named after it.

use std::path::Path;

use crate::met::{open, shown, walk};

/// One member: a header of 512 bytes and its padded content.
fn member(name: &str, kind: u8, target: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(content.len() as u64);
    header.set_entry_type(tar::EntryType::new(kind));
    // Set by hand: the library refuses what an attacker writes.
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn file(name: &str, content: &str) -> Vec<u8> {
    member(name, b'0', "", content.as_bytes())
}

const END: [u8; 1024] = [0; 1024];

fn tape(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// What an archive shows, without what is always the same.
fn short(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    std::fs::write(&path, bytes).unwrap();
    let source = match open(&path) {
        Ok(source) => source,
        Err(error) => return format!("refused: {}", error.to_string().split_once("read: ").unwrap().1),
    };
    let met = walk(source.as_ref(), false);
    let entries = met.entries.lock().unwrap().keys().map(|path| path.escaped()).collect::<Vec<_>>().join(" ");
    let obstacles = met.obstacles.lock().unwrap();
    let obstacles = obstacles.iter().map(|o| format!("{:?} {}: {}", o.kind, o.path.escaped(), o.message));
    [entries].into_iter().chain(obstacles).collect::<Vec<_>>().join(" | ")
}

#[track_caller]
fn check(parts: &[&[u8]], expected: &str) {
    let shown = short(&tape(parts));
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn a_member_that_climbs_out_is_a_hostile_name() {
    check(&[&file("ok", "x"), &file("../../etc/passwd", "root"), &END], "BadName /../../etc/passwd");
    check(&[&file("a/../../x", "x"), &END], "climbs");
}

#[test]
fn an_absolute_member_stays_inside_the_root() {
    check(&[&file("/etc/passwd", "x"), &END], "/etc/passwd");
}

#[test]
fn a_link_out_of_the_root_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    std::fs::write(&path, tape(&[&member("etc", b'2', "/../../../etc", b""), &END])).unwrap();
    let source = open(&path).unwrap();
    assert_eq!(source.read_small(b"/etc/passwd", 1 << 20).unwrap(), None);
    assert_eq!(source.canonical_file(b"/etc/passwd"), None);
}

#[test]
fn links_in_a_circle_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    std::fs::write(&path, tape(&[&member("a", b'2', "b", b""), &member("b", b'2', "a", b""), &END])).unwrap();
    assert_eq!(open(&path).unwrap().canonical_file(b"/a"), None);
}

#[test]
fn a_name_of_four_gigabytes_is_not_read_into_memory() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(b'L'));
    header.set_size(4 << 30);
    header.set_cksum();
    check(&[&file("ok", "x"), header.as_bytes()], "a name of 4294967296 bytes");
}

#[test]
fn a_size_that_lies_is_an_archive_that_ends_too_early() {
    let mut lying = file("lying", "x");
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&lying[..512]);
    header.set_size(1 << 40);
    header.set_cksum();
    lying[..512].copy_from_slice(header.as_bytes());
    check(&[&file("ok", "x"), &lying, &END], "Damaged /: the archive ends or breaks inside a member");
}

#[test]
fn a_cut_archive_is_no_whole_archive() {
    let whole = tape(&[&file("a", "x"), &file("b", "y"), &END]);
    for cut in [512, 700, 1024, 1500, 2048] {
        let shown = short(&whole[..cut]);
        assert!(shown.contains("nothing behind it is seen"), "{cut}: {shown}");
    }
    assert_eq!(short(&whole), "/a /b");
}

#[test]
fn a_damaged_header_hides_the_rest_and_says_so() {
    let mut bytes = tape(&[&file("a", "x"), &file("b", "y"), &END]);
    bytes[1024] ^= 1;
    assert!(short(&bytes).contains("does not add up"), "{}", short(&bytes));
}

#[test]
fn members_behind_the_end_mark_are_seen_and_told() {
    check(&[&file("a", "x"), &END, &file("hidden", "shell"), &END], "/a /hidden | Remark");
}

#[test]
fn a_member_that_comes_twice_is_examined_twice_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    std::fs::write(&path, tape(&[&file("a", "vendor"), &file("./a", "shell"), &END])).unwrap();
    let source = open(&path).unwrap();
    // Whoever unpacks it gets the second one.
    assert_eq!(source.read_small(b"/a", 10).unwrap().as_deref(), Some(&b"shell"[..]));
    let shown = walk(source.as_ref(), false).shown();
    assert!(shown.starts_with("/a ") && shown.contains("\n/a ") && shown.contains("! /a Twice"), "{shown}");
}

#[test]
fn a_hard_link_to_nothing_is_damage() {
    check(&[&member("a", b'1', "none", b""), &file("b", "y"), &END], "Damaged /a: a hard link to none");
}

#[test]
fn devices_and_pipes_in_an_archive_are_special_files() {
    check(&[&member("pipe", b'6', "", b""), &file("b", "y"), &END], "Special(Fifo) /pipe");
}

#[test]
fn pax_records_that_smuggle_a_size_are_taken_as_the_format_says() {
    // A pax size stands above the header's: a reader that ignores it sees other members.
    let inner = file("smuggled", "shell");
    let size = inner.len();
    let record = |text: String| {
        let mut length = text.len() + 3;
        while format!("{length} {text}\n").len() != length {
            length += 1;
        }
        format!("{length} {text}\n")
    };
    let pax = member("pax", b'x', "", record(format!("size={size}")).as_bytes());
    let outer = member("outer", b'0', "", b"");
    check(&[&pax, &outer, &inner, &END], "/outer");
    let shown = short(&tape(&[&pax, &outer, &inner, &END]));
    assert!(!shown.contains("smuggled"), "{shown}");
}

#[test]
fn a_sparse_map_that_overlaps_is_damage() {
    let text = b"26 GNU.sparse.map=0,9,4,9\n26 GNU.sparse.realsize=20\n";
    let pax = member("pax", b'x', "", text);
    let shown = short(&tape(&[&file("ok", "x"), &pax, &member("s", b'0', "", &[7; 18]), &END]));
    assert!(shown.contains("Damaged /s: the map of a sparse member contradicts itself"), "{shown}");
}

#[test]
fn a_bomb_in_a_packed_archive_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.tar.zst");
    crate::met::run(
        &format!("head -c 200M /dev/zero > z && tar -cf - z | zstd -q > {} && rm z", path.display()),
        dir.path(),
    );
    let limits = evidence::Limits { archive_bytes: 1 << 20, file_bytes: 1 << 26, ..evidence::Limits::default() };
    let options = evidence::Options { limits, ..evidence::Options::default() };
    let spec: evidence::SourceSpec = path.to_str().unwrap().parse().unwrap();
    let error = spec.open(&options).err().unwrap().to_string();
    assert!(error.contains("more than 67108864"), "{error}");
}

#[test]
fn packed_bytes_that_are_damaged_hide_the_rest_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    crate::met::run("seq 300000 > a; seq 300001 600000 > b; tar -czf x.tar.gz a b", dir.path());
    let path = dir.path().join("x.tar.gz");
    let mut bytes = std::fs::read(&path).unwrap();
    let cut = bytes.len() * 3 / 4;
    bytes.truncate(cut);
    std::fs::write(&path, bytes).unwrap();
    let text = shown(&path);
    assert!(text.starts_with("/a ") && text.contains("! / Damaged") && !text.contains("/b "), "{text}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn no_bytes_make_us_panic(flips in proptest::collection::vec((0_usize..4096, proptest::num::u8::ANY), 1..40)) {
        let pax = member("pax", b'x', "", b"30 mtime=1618920000.123456789\n");
        let sparse = member("pax", b'x', "", b"26 GNU.sparse.map=0,9,9,9\n26 GNU.sparse.realsize=20\n");
        let mut bytes = tape(&[&pax, &file("a", "x"), &sparse, &file("b", "y"), &member("c", b'2', "a", b""), &END]);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
            // A header whose checksum holds goes further.
            for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
                let mut header = tar::Header::new_ustar();
                header.as_mut_bytes().copy_from_slice(block);
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let _ = short(&bytes);
    }
}

#[test]
fn an_empty_file_is_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.tar"), b"").unwrap();
    assert!(open(Path::new(&dir.path().join("x.tar"))).is_err());
}

/// What an archive shows under other limits.
fn within(limits: evidence::Limits, parts: &[Vec<u8>]) -> (usize, Vec<String>) {
    let source = evidence::tar_in_memory("x.tar", parts.concat(), limits, &directive::progress::Unwatched).unwrap();
    let met = walk(source.as_ref(), false);
    let obstacles = met.obstacles.lock().unwrap();
    let obstacles = obstacles.iter().map(|o| format!("{:?} {}: {}", o.kind, o.path.escaped(), o.message)).collect();
    let entries = met.entries.lock().unwrap().len();
    (entries, obstacles)
}

#[test]
fn members_with_endless_names_are_bounded_and_the_rest_is_told() {
    let name = |n: usize| file(&format!("{n:02}{}", "x".repeat(90)), "");
    let parts: Vec<Vec<u8>> = (0..50).map(name).chain([END.to_vec()]).collect();
    let limits = evidence::Limits { archive_names: 1000, ..Default::default() };
    let (entries, obstacles) = within(limits, &parts);
    assert_eq!(entries, 11);
    assert_eq!(obstacles, ["TooMany /: names of more than 1000 bytes in all; the rest is not seen"]);
}

#[test]
fn members_of_bad_names_beyond_those_that_are_told_are_counted() {
    let bad = (0..50).map(|n| file(&format!("../{n}"), ""));
    let parts: Vec<Vec<u8>> = [file("good", "x")].into_iter().chain(bad).chain([END.to_vec()]).collect();
    let (entries, obstacles) = within(evidence::Limits { archive_entries: 64, ..Default::default() }, &parts);
    assert_eq!((entries, obstacles.len()), (1, 5), "{obstacles:?}");
    assert!(obstacles[3].starts_with("BadName /../3:"), "{obstacles:?}");
    assert_eq!(obstacles[4], "TooMany /: 46 more members that are not seen");
}
