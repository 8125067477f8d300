//! Host: what does a kernel say that hides something?
//!
//! Trees that stand for `/proc`, `/sys` and `/lib/modules` of a host.

use std::fmt::Write as _;
use std::path::Path;

use directive::progress::Unwatched;
use evidence::live::Running;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A host that shows `files`, beside what every kernel has. Findings and required gaps, one a line.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &str) {
    let root = tempfile::tempdir().unwrap();
    let own = std::process::id();
    write(root.path(), "proc/sys/kernel/pid_max", "64\n");
    write(root.path(), "proc/sys/kernel/tainted", "0\n");
    write(root.path(), "proc/sys/kernel/osrelease", "6.1.0-1\n");
    write(root.path(), "proc/modules", "ext4 1 0 - Live 0x0\n");
    write(root.path(), "sys/module/ext4/initstate", "live\n");
    write(root.path(), "sys/module/kernel/parameters/panic", "0\n");
    write(root.path(), "lib/modules/6.1.0-1/modules.dep", "kernel/fs/ext4/ext4.ko.xz: kernel/a.ko\n");
    write(root.path(), "lib/modules/6.1.0-1/kernel/fs/ext4/ext4.ko.xz", "");
    write(root.path(), &format!("proc/{own}/mountinfo"), "");
    for (path, text) in files {
        match text {
            &"-" => std::fs::remove_dir_all(root.path().join(path))
                .or_else(|_| std::fs::remove_file(root.path().join(path)))
                .unwrap(),
            text => write(root.path(), &path.replace("self", &own.to_string()), text),
        }
    }
    let seen = check::live::look(&Running::at(root.path()).unwrap(), None, &Unwatched);
    let mut said = String::new();
    for finding in &seen.findings {
        let place = finding.path.as_ref().map(ToString::to_string).or(finding.place.clone()).unwrap();
        writeln!(said, "{:?} {} {place}", finding.severity, finding.code).unwrap();
    }
    for gap in seen.gaps.iter().filter(|gap| gap.required) {
        writeln!(said, "gap {} {}", gap.code, gap.place.clone().unwrap_or_default()).unwrap();
    }
    assert_eq!(said.trim_end(), expected);
}

#[test]
fn a_kernel_whose_lists_agree_is_no_finding() {
    check(&[], "");
}

#[test]
fn a_module_without_a_file_is_a_grave_finding() {
    let modules = "ext4 1 0 - Live 0x0\nknark 1 0 - Live 0x0 (OE)\n";
    check(
        &[("proc/modules", modules), ("sys/module/knark/initstate", "live\n")],
        "High module-without-file module knark",
    );
}

#[test]
fn a_module_whose_file_was_deleted_is_a_grave_finding() {
    check(&[("lib/modules/6.1.0-1/kernel/fs/ext4/ext4.ko.xz", "-")], "High module-without-file module ext4");
}

#[test]
fn a_module_that_one_of_the_kernels_lists_leaves_out_is_a_grave_finding() {
    check(&[("sys/module/hider/initstate", "live\n")], "High module-hidden module hider");
    check(&[("sys/module/ext4/initstate", "-")], "High module-hidden module ext4");
    check(&[("proc/modules", "-")], "High module-hidden module");
}

#[test]
fn modules_that_cannot_be_held_against_files_are_a_gap() {
    check(&[("lib/modules", "-")], "gap kernel-unread /lib/modules/6.1.0-1");
    check(&[("sys/module", "-")], "gap kernel-unread /sys/module");
}

#[test]
fn a_release_that_leads_out_of_its_folder_is_not_followed() {
    check(&[("proc/sys/kernel/osrelease", "../../etc\n")], "gap kernel-unread /proc/sys/kernel/osrelease");
}

#[test]
fn a_kernel_with_foreign_modules_says_so() {
    check(&[("proc/sys/kernel/tainted", "12288\n")], "Info kernel-tainted /proc/sys/kernel/tainted");
    check(&[("proc/sys/kernel/tainted", "yes\n")], "gap kernel-unread /proc/sys/kernel/tainted");
}

#[test]
fn a_library_for_every_program_is_a_finding() {
    check(&[("etc/ld.so.preload", "# ours\n/lib/libdsupgrade.so\n")], "Medium process-preload /etc/ld.so.preload");
}

#[test]
fn a_mount_over_the_files_of_a_host_is_a_finding() {
    let line = |at: &str, root: &str, kind: &str| format!("30 27 8:1 {root} {at} rw - {kind} none rw\n");
    let all = [
        line("/", "/", "ext4"),
        line("/home", "/", "ext4"),
        line("/dev/shm", "/", "tmpfs"),
        line("/dev/shm", "/", "tmpfs"),
        line("/var", "/@var", "btrfs"),
        line("/usr/bin", "/srv/clean", "ext4"),
        line("/home/runtime", "/", "tmpfs"),
        line("/srv/data", "/", "xfs"),
        line("/srv/data", "/", "tmpfs"),
        line("/etc/shadow", "/shadow", "tmpfs"),
        line("/etc/hosts", "/hosts", "ext4"),
        line("/proc/4711", "/", "tmpfs"),
    ];
    check(
        &[("proc/self/mountinfo", &all.concat()), ("etc/shadow", ""), ("etc/hosts", "")],
        "Low mount-hides /etc/hosts\nMedium mount-hides /etc/shadow\nMedium mount-hides /home/runtime\n\
         Medium mount-hides /srv/data\nMedium mount-hides /usr/bin\nHigh mount-hides /proc/4711",
    );
}

#[test]
fn a_listener_without_an_owner_is_a_finding_unless_the_kernel_serves() {
    let text = "  sl  local_address rem_address   st\n   0: 0100007F:0016 00000000:0000 0A 0:0 00:0 0 0 0 77 1\n";
    check(&[("proc/self/net/tcp", text)], "Medium socket-unowned tcp 127.0.0.1:22");
    check(&[("proc/self/net/tcp", text), ("sys/module/nfsd/refcnt", "1\n")], "Low socket-unowned tcp 127.0.0.1:22");
}

#[test]
fn a_process_made_of_nonsense_is_a_gap_and_no_crash() {
    let files = [("proc/17/stat", "17 (a) b) S 1 1 1 0 -1 0"), ("proc/17/comm", "a) b\u{1b}[2J\n")];
    check(&files, "");
    let files = [("proc/17/stat", "\n"), ("proc/17/exe", "no link"), ("proc/17/maps", "zz\n")];
    check(&files, "gap process-unread processes");
}

#[test]
fn a_table_that_is_not_understood_is_a_gap() {
    check(&[("proc/self/net/udp", "head\nnonsense\n")], "gap kernel-unread /proc/net/udp");
    check(&[("proc/self/mountinfo", "nonsense\n")], "gap kernel-unread /proc/self/mountinfo");
    check(&[("proc/sys/kernel/pid_max", "many\n")], "gap kernel-unread /proc/sys/kernel/pid_max");
}
