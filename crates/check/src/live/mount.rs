//! Mount: which files lie under another file system, where neither a check nor anybody else sees them?
//!
//! An intruder of 2024 mounted clean copies over what a check reads. What lies below cannot be read without
//! a change to the machine, so that it is said where to look: in an image of the disk.
//! Source: CISA AA24-060B; `proc_pid_mountinfo(5)`.

use std::collections::BTreeMap;

use directive::record::Severity;
use directive::text::Text;
use evidence::live::{Mount, Running, mounts};

use super::group::{At, Groups, Shared};

/// Folders whose files a host is made of.
const OWN: [&[u8]; 12] = [
    b"/bin", b"/boot", b"/data", b"/etc", b"/home", b"/lib", b"/lib32", b"/lib64", b"/opt", b"/root", b"/sbin", b"/usr",
];

/// Folders in which mounts come and go on every host.
const USUAL: [&[u8]; 4] = [b"/dev", b"/proc", b"/run", b"/sys"];

/// Files that every container runtime mounts into a container.
const OF_CONTAINERS: [&[u8]; 3] = [b"/etc/hostname", b"/etc/hosts", b"/etc/resolv.conf"];

/// File systems that hold no files of their own or lie in memory.
const IN_MEMORY: [&[u8]; 4] = [b"tmpfs", b"ramfs", b"overlay", b"aufs"];

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

pub(super) fn look(running: &Running, groups: &mut Groups) {
    let place = "/proc/self/mountinfo";
    let text = match running.process(running.own()).and_then(|process| process.mounts()) {
        Ok(text) => text,
        Err(failure) => return groups.gap("kernel-unread", place, super::said(&failure)),
    };
    let (all, strange) = mounts(&text);
    if strange > 0 {
        groups.gap("kernel-unread", place, format!("{strange} lines are not understood"));
    }
    let mut by_place: BTreeMap<&[u8], &Mount> = BTreeMap::new();
    for mount in &all {
        let below = by_place.insert(&mount.at, mount);
        if mount.at == b"/" {
            continue;
        }
        if let Some((severity, why)) = judge(running, mount, below) {
            // T1564: hide artifacts.
            groups.host(Shared::new("mount-hides", severity, At::path(&mount.at), why).attack("T1564"));
        }
    }
}

fn judge(running: &Running, mount: &Mount, below: Option<&Mount>) -> Option<(Severity, String)> {
    let kind = Text::new(&mount.kind[..]).escaped();
    if hides_process(&mount.at) {
        let why = format!("a {kind} is mounted over a process of /proc, so that nobody sees it");
        return Some((Severity::High, why));
    }
    if USUAL.iter().any(|folder| is_below(&mount.at, folder)) {
        return None;
    }
    // A volume of btrfs is mounted by its name, which looks like a folder that was bound.
    let is_bound = mount.root != b"/" && mount.kind != b"btrfs";
    let bound = Text::new(&mount.root[..]).escaped();
    let advice = "what lies below is seen in an image of the disk only";
    if OF_CONTAINERS.contains(&&mount.at[..]) {
        return Some((Severity::Low, format!("a file is mounted over it, as in every container; {advice}")));
    }
    if let Some(below) = below.filter(|below| below.kind != b"autofs") {
        let first = Text::new(&below.kind[..]).escaped();
        return Some((Severity::Medium, format!("a {kind} is mounted over another mount, a {first}; {advice}")));
    }
    if !running.is_folder(&mount.at) && running.file_at(&mount.at).is_some() {
        return Some((Severity::Medium, format!("a single file is mounted over ({bound} of a {kind}); {advice}")));
    }
    if !OWN.iter().any(|folder| is_below(&mount.at, folder)) {
        return None;
    }
    if is_bound {
        return Some((Severity::Medium, format!("the folder {bound} of a {kind} is mounted over it; {advice}")));
    }
    let is_in_memory = IN_MEMORY.contains(&&mount.kind[..]);
    is_in_memory.then(|| (Severity::Medium, format!("a {kind} is mounted over it; {advice}")))
}

/// Whether a mount lies on `/proc/PID` or below.
fn hides_process(at: &[u8]) -> bool {
    let number = at.strip_prefix(b"/proc/").and_then(|rest| rest.split(|byte| *byte == b'/').next());
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}
