//! Remove: does known malware leave its place, provably and undoably, here and over a real sshd?
//!
//! The malware is a harmless marker. What the file system says of it is made as awkward as intruders make it: setuid,
//! old times, extended attributes, the immutable flag, a program that runs.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::{Child, Command};

use directive::record::PackRef;
use mitigate::plan::{Removal, Removed, Vendor, Wanted, removal};
use mitigate::quarantine;

use super::ssh::{Sshd, Watched};
use super::*;

const BAD: &[u8] = b"#!/bin/sh\n# inert exercise material\n";
const GOOD: &[u8] = b"#!/bin/sh\n# as the vendor shipped it\n";

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A small instance in a folder.
struct Instance {
    dir: tempfile::TempDir,
}

impl Instance {
    /// With two files of malware: one in the place of the vendor's, one beside.
    fn new() -> Self {
        let instance = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(instance.path("/bin")).unwrap();
        for name in ["/bin/web", "/bin/-kit $(id)"] {
            std::fs::write(instance.path(name), BAD).unwrap();
            instance.sh(name, "chown 1234:4321 -- \"$1\" && chmod 6755 -- \"$1\"");
            instance
                .sh(name, "setfattr -n user.note -v kept -- \"$1\" && touch -d '2019-03-02 01:02:03.45 UTC' -- \"$1\"");
        }
        instance
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name.trim_start_matches('/'))
    }

    fn sh(&self, name: &str, script: &str) -> String {
        let output = Command::new("sh").args(["-c", script, "sh"]).arg(self.path(name)).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything that undo has to bring back.
    fn looks(&self, name: &str) -> String {
        let told =
            "stat -c '%a %u:%g %Y %y %s' -- \"$1\"; getfattr -d --absolute-names -m - -- \"$1\"; sha256sum < \"$1\"";
        self.sh(name, told)
    }

    fn wanted(&self, name: &str) -> Wanted {
        let known = vec!["yara-match test.yar:inert: a rule matches it".to_owned()];
        Wanted { path: name.to_owned(), seen: Some(digest(BAD)), known, vendor: None }
    }

    fn restored(&self, name: &str) -> Wanted {
        let (mode, owner) = (Some(0o755), Some((0, 0)));
        let vendor = Vendor { sha256: digest(GOOD), from: "vendor.deb".into(), mode, owner };
        Wanted { vendor: Some(vendor), ..self.wanted(name) }
    }

    fn plan_with(&self, wanted: &[Wanted], hands: &dyn Hands, end_processes: bool) -> Removed {
        let request = Removal {
            pack: PackRef { id: "ed-21-03".into(), sha256: "00".repeat(32) },
            instance: "vpn1",
            host: "local",
            root: self.dir.path().to_str().unwrap(),
            wanted,
            end_processes,
            now: now(),
        };
        removal(&request, hands).unwrap()
    }

    fn plan(&self, wanted: &[Wanted]) -> Change {
        let planned = self.plan_with(wanted, &Here, false);
        assert_eq!(planned.left_out, Vec::<String>::new());
        planned.change.unwrap()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-R", "-f", "-ia"]).arg(self.dir.path()).status();
    }
}

fn anywhere() -> Scope {
    Scope::parse(
        "scope.toml",
        "organisation = \"Example Agency\"\n[[instance]]\nname = \"vpn1\"\naddress = \"192.0.2.7:443\"\n",
    )
    .unwrap()
}

fn notes() -> Notes {
    let mut notes = Notes::default();
    notes.keep(GOOD).unwrap();
    notes
}

fn carry_out(change: &Change, hands: &dyn Hands, notes: &mut Notes) -> Result<Proof, Error> {
    Worker { hands, journal: notes, scope: &anywhere(), break_lock: false }.apply(&approved(change))
}

fn take_back(change: &Change, hands: &dyn Hands, notes: &mut Notes) -> Result<(), Error> {
    let (written, kept) = (Written::write(change).unwrap(), notes.kept_files());
    Worker { hands, journal: notes, scope: &anywhere(), break_lock: false }.undo(&written, "J. Doe", &kept)
}

/// The whole way, with these hands: removed, restored, proved, and undone as it was to the last attribute.
fn goes_and_comes_back(hands: &dyn Hands) {
    let instance = Instance::new();
    let names = ["/bin/web", "/bin/-kit $(id)"];
    let before = names.map(|name| instance.looks(name));
    assert!(
        before[0].starts_with("6755 1234:4321 1551488523") && before[0].contains("user.note=\"kept\""),
        "{before:?}"
    );
    let wanted = [instance.restored(names[0]), instance.wanted(names[1])];
    let change = instance.plan_with(&wanted, hands, false).change.unwrap();
    assert_eq!(names.map(|name| instance.looks(name)), before, "a plan touches nothing");
    let mut notes = notes();
    let proof = carry_out(&change, hands, &mut notes).unwrap();
    assert!(proof.holds && proof.asked == 2 && proof.refused == 2, "{proof:?}");
    assert_eq!(std::fs::read(instance.path(names[0])).unwrap(), GOOD);
    let stat = std::fs::metadata(instance.path(names[0])).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o755, 0, 0), "nothing of the malware's rights stays");
    assert!(!instance.path(names[1]).exists());
    // Nothing of the malware lies in the case as it is.
    assert!(notes.bytes.values().filter(|bytes| !bytes.starts_with(SEAL)).all(|bytes| bytes != BAD));
    assert!(quarantine::prove(hands, &change, "00", now()).unwrap().holds);
    take_back(&change, hands, &mut notes).unwrap();
    assert_eq!(names.map(|name| instance.looks(name)), before);
    assert_eq!(std::fs::read_dir(instance.path("/bin")).unwrap().count(), 2, "nothing is left beside");
    assert_eq!(std::fs::read_dir(instance.dir.path()).unwrap().count(), 1);
}

#[test]
fn known_malware_goes_into_quarantine_and_an_undo_brings_it_back_to_the_last_attribute() {
    goes_and_comes_back(&Here);
}

#[test]
fn on_another_host_it_does_so_over_ssh() {
    let Some(sshd) = Sshd::start() else { return };
    goes_and_comes_back(&sshd.hands());
}

#[test]
fn a_connection_that_is_lost_in_the_middle_leaves_everything_as_it_was() {
    let Some(sshd) = Sshd::start() else { return };
    let instance = Instance::new();
    let before = [instance.looks("/bin/web"), instance.looks("/bin/-kit $(id)")];
    let change = instance.plan(&[instance.wanted("/bin/-kit $(id)"), instance.restored("/bin/web")]);
    let there = sshd.hands();
    let sshd = std::cell::RefCell::new(sshd);
    let seen = std::cell::Cell::new(0);
    // The first file is gone when the server dies; it is back when it is asked again.
    let hands = Watched {
        there,
        before: |words: &[&str]| match (seen.get(), words.contains(&"0:0")) {
            (0, true) => {
                sshd.borrow_mut().stop();
                seen.set(1);
            }
            (1, _) => {
                sshd.borrow_mut().again();
                seen.set(2);
            }
            _ => {}
        },
    };
    let mut notes = notes();
    let err = carry_out(&change, &hands, &mut notes).unwrap_err();
    assert!(err.to_string().starts_with("no connection to ssh://"), "{err}");
    assert_eq!([instance.looks("/bin/web"), instance.looks("/bin/-kit $(id)")], before);
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
    assert!(!known(&notes).is_cut_off());
}

#[test]
fn a_file_that_is_immutable_goes_too_and_is_immutable_again_after_an_undo() {
    let instance = Instance::new();
    instance.sh("/bin/web", "chattr +i -- \"$1\"");
    let change = instance.plan(&[instance.restored("/bin/web")]);
    assert!(
        change.notes.iter().any(|note| note.contains("kept from removal by the attributes i")),
        "{:?}",
        change.notes
    );
    let mut notes = notes();
    assert!(carry_out(&change, &Here, &mut notes).unwrap().holds);
    assert_eq!(std::fs::read(instance.path("/bin/web")).unwrap(), GOOD);
    take_back(&change, &Here, &mut notes).unwrap();
    assert!(instance.sh("/bin/web", "lsattr -d -- \"$1\" | cut -d' ' -f1").contains('i'));
    assert_eq!(std::fs::read(instance.path("/bin/web")).unwrap(), BAD);
}

#[test]
fn a_plan_leaves_out_what_is_not_what_the_check_saw_and_says_why() {
    let instance = Instance::new();
    std::fs::write(instance.path("/bin/other"), b"edited since").unwrap();
    symlink("/etc/passwd", instance.path("/bin/link")).unwrap();
    symlink("/usr/bin", instance.path("/sbin")).unwrap();
    let names = ["/bin/other", "/bin/link", "/bin/missing", "/sbin/env", "/bin"];
    let planned = instance.plan_with(&names.map(|name| instance.wanted(name)), &Here, false);
    assert!(planned.change.is_none());
    let told =
        ["not what the check saw", "links are not followed", "nothing stands there", "leads out of", "no regular"];
    for ((line, name), why) in planned.left_out.iter().zip(names).zip(told) {
        assert!(line.starts_with(name) && line.contains(why), "{line}");
    }
    assert_eq!(planned.left_out.len(), names.len());
}

#[test]
fn a_link_that_takes_the_place_of_the_file_after_the_plan_is_not_followed() {
    let instance = Instance::new();
    let change = instance.plan(&[instance.wanted("/bin/web")]);
    let victim = instance.path("/victim");
    std::fs::write(&victim, BAD).unwrap();
    std::fs::remove_file(instance.path("/bin/web")).unwrap();
    symlink(&victim, instance.path("/bin/web")).unwrap();
    let err = carry_out(&change, &Here, &mut notes()).unwrap_err();
    assert!(matches!(err, Error::Moved { .. }), "{err}");
    // The folder as a link is the same.
    std::fs::rename(instance.path("/bin"), instance.path("/real")).unwrap();
    std::fs::remove_file(instance.path("/real/web")).unwrap();
    std::fs::write(instance.path("/real/web"), BAD).unwrap();
    symlink(instance.path("/real"), instance.path("/bin")).unwrap();
    let err = carry_out(&change, &Here, &mut notes()).unwrap_err();
    assert!(matches!(err, Error::Moved { .. }), "{err}");
    assert_eq!(std::fs::read(&victim).unwrap(), BAD);
    assert_eq!(std::fs::read(instance.path("/real/web")).unwrap(), BAD);
}

#[test]
fn more_names_of_a_file_and_one_that_nobody_knows_to_be_bad_are_told() {
    let instance = Instance::new();
    std::fs::hard_link(instance.path("/bin/web"), instance.path("/bin/again")).unwrap();
    let mut wanted = instance.wanted("/bin/web");
    wanted.known.clear();
    let notes = instance.plan(&[wanted]).notes.join("\n");
    assert!(notes.contains("has 1 more names (hard links)"), "{notes}");
    assert!(notes.contains("NOBODY KNOWS IT TO BE BAD"), "{notes}");
    assert!(notes.contains("runs with the rights of its owner (mode 6755)"), "{notes}");
}

/// Starts a copy of `sleep` from the instance: a program that runs.
fn running(instance: &Instance) -> (Child, Wanted) {
    let program = std::fs::read("/bin/sleep").unwrap();
    std::fs::write(instance.path("/bin/implant"), &program).unwrap();
    std::fs::set_permissions(instance.path("/bin/implant"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let child = Command::new(instance.path("/bin/implant")).arg("600").spawn().unwrap();
    (child, Wanted { seen: Some(digest(&program)), ..instance.wanted("/bin/implant") })
}

#[test]
fn a_process_that_runs_what_is_removed_is_told_and_ended_only_if_that_was_approved() {
    let instance = Instance::new();
    let (mut child, wanted) = running(&instance);
    let change = instance.plan(std::slice::from_ref(&wanted));
    let number = format!("(process {})", child.id());
    assert!(change.notes.iter().any(|note| note.contains(&number) && note.contains("GOES ON")), "{:?}", change.notes);
    let mut notes = notes();
    let proof = carry_out(&change, &Here, &mut notes).unwrap();
    assert!(proof.unasked.iter().any(|note| note.contains("still runs what was removed")), "{proof:?}");
    assert!(child.try_wait().unwrap().is_none());
    take_back(&change, &Here, &mut notes).unwrap();
    let change = instance.plan_with(&[wanted], &Here, true).change.unwrap();
    // What was put back is another file: the old process runs one that is gone.
    let mut second = Command::new(instance.path("/bin/implant")).arg("600").spawn().unwrap();
    let proof = carry_out(&change, &Here, &mut self::notes()).unwrap();
    assert!(proof.holds && proof.lost.is_empty(), "{proof:?}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&second.wait().unwrap()), Some(9));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
}

#[test]
fn malware_that_comes_back_is_seen_by_the_next_proof() {
    let instance = Instance::new();
    let change = instance.plan(&[instance.wanted("/bin/web")]);
    let mut notes = notes();
    carry_out(&change, &Here, &mut notes).unwrap();
    std::fs::write(instance.path("/bin/web"), BAD).unwrap();
    let proof = quarantine::prove(&Here, &change, "00", now()).unwrap();
    assert!(!proof.holds && proof.leaks[0].ends_with("the malware is there again, byte for byte"), "{proof:?}");
    std::fs::write(instance.path("/bin/web"), b"another").unwrap();
    let proof = quarantine::prove(&Here, &change, "00", now()).unwrap();
    assert!(!proof.holds && proof.leaks[0].contains("something else stands there now"), "{proof:?}");
    // An undo does not overwrite what it does not know.
    assert!(matches!(take_back(&change, &Here, &mut notes), Err(Error::Overwritten { .. })));
}

#[test]
fn malware_that_is_there_again_at_once_ends_the_removal_by_its_name() {
    let instance = Instance::new();
    let before = instance.looks("/bin/web");
    let change = instance.plan(&[instance.wanted("/bin/web")]);
    let path = instance.path("/bin/web");
    // A watchdog of the malware: what reads back finds it there.
    let hands = Watched {
        there: Here,
        before: |words: &[&str]| {
            let is_reading_back = words.contains(&path.to_str().unwrap())
                && words.iter().any(|word| word.contains("head -c \"$2\" -- \"$1\""));
            if is_reading_back && !path.exists() {
                std::fs::write(&path, BAD).unwrap();
            }
        },
    };
    let mut notes = notes();
    let err = carry_out(&change, &hands, &mut notes).unwrap_err();
    assert!(matches!(err, Error::Returned { .. }), "{err}");
    assert_eq!(instance.looks("/bin/web"), before);
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
}

#[test]
fn a_full_disk_of_the_host_takes_everything_back() {
    let instance = Instance::new();
    std::fs::create_dir(instance.path("/small")).unwrap();
    let small = instance.path("/small");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&small).status().unwrap();
    assert!(mount.success(), "a small file system needs root");
    std::fs::write(small.join("web"), BAD).unwrap();
    let whole = vec![7; 100 << 10];
    let vendor = Vendor { sha256: digest(&whole), from: "x".into(), mode: Some(0o755), owner: Some((0, 0)) };
    let wanted = [instance.wanted("/bin/web"), Wanted { vendor: Some(vendor), ..instance.wanted("/small/web") }];
    let change = instance.plan(&wanted);
    let before = [instance.looks("/bin/web"), instance.looks("/small/web")];
    let mut notes = notes();
    notes.keep(&whole).unwrap();
    let err = carry_out(&change, &Here, &mut notes).unwrap_err();
    let after = [instance.looks("/bin/web"), instance.looks("/small/web")];
    let left = std::fs::read_dir(&small).unwrap().count();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    assert!(err.to_string().contains("No space left"), "{err}");
    assert_eq!((after, left), (before, 1));
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
}

#[test]
fn a_file_system_that_is_read_only_is_told_when_it_is_planned() {
    let instance = Instance::new();
    std::fs::create_dir(instance.path("/small")).unwrap();
    let small = instance.path("/small");
    let sh = |script: &str| instance.sh("/small", script);
    sh("mount -t tmpfs -o size=64k none \"$1\"");
    std::fs::write(small.join("web"), BAD).unwrap();
    sh("mount -o remount,ro \"$1\"");
    let planned = instance.plan_with(&[instance.wanted("/small/web")], &Here, false);
    sh("umount \"$1\"");
    assert!(planned.change.is_none() && planned.left_out[0].contains("read-only"), "{:?}", planned.left_out);
}

#[test]
fn the_second_of_two_operators_removes_nothing() {
    let instance = Instance::new();
    let change = instance.plan(&[instance.wanted("/bin/web")]);
    let lock = change.target.lock.clone().unwrap();
    std::fs::create_dir(&lock).unwrap();
    std::fs::write(format!("{lock}/by"), "A. Other since then\n").unwrap();
    let err = carry_out(&change, &Here, &mut notes()).unwrap_err();
    assert!(err.to_string().contains("A. Other"), "{err}");
    assert_eq!(std::fs::read(instance.path("/bin/web")).unwrap(), BAD);
}

#[test]
fn bytes_of_the_vendor_that_the_case_does_not_hold_stop_it_before_anything_is_touched() {
    let instance = Instance::new();
    let change = instance.plan(&[instance.wanted("/bin/-kit $(id)"), instance.restored("/bin/web")]);
    let err = carry_out(&change, &Here, &mut Notes::default()).unwrap_err();
    assert!(matches!(err, Error::Journal(_)), "{err}");
    assert_eq!(std::fs::read(instance.path("/bin/-kit $(id)")).unwrap(), BAD);
}
