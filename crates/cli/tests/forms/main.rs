//! Forms: does the same instance give the same findings, whatever form its evidence has?
//!
//! One synthetic appliance that somebody broke into, packed by Debian's own programs in every form that
//! is read, and served by a real sshd. Findings must agree byte for byte, apart from the name of the
//! source and from the times that only an image of a disk holds.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, reason = "tests run programs")]

mod generations;
mod sshd;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A broken-into appliance as a folder, and what its vendor shipped.
pub(crate) struct Appliance {
    _lab: lab::Lab,
    dir: tempfile::TempDir,
}

impl Appliance {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lab = lab::Lab::build(&dir.path().join("lab")).unwrap();
        Self { _lab: lab, dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("lab/evidence/vpn2")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.path().join(format!("lab/manifests/{}.manifest", lab::VERSION))
    }

    /// Runs a shell command in which `ROOT` is the folder, and gives the path of what it makes.
    fn make(&self, name: &str, command: &str) -> PathBuf {
        let out = self.path().join(name);
        let command = command.replace("ROOT", self.root().to_str().unwrap()).replace("OUT", out.to_str().unwrap());
        shell(&command, self.path());
        out
    }
}

#[track_caller]
pub(crate) fn shell(command: &str, dir: &Path) {
    let output = Command::new("sh").arg("-ec").arg(command).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether a program is there; in CI it must be.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("sh").arg("-c").arg(format!("command -v {program}")).output().unwrap().status.success();
    let found = found || Path::new("/usr/sbin").join(program).exists() || Path::new("/sbin").join(program).exists();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

pub(crate) fn check(source: &str, manifest: &Path, more: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .current_dir(root)
        .args(["check", "--json", "--pack", "packs/ed-21-03", "--manifest"])
        .arg(manifest)
        .args(more)
        .arg(source)
        .output()
        .unwrap()
}

/// Records of one kind, without what differs between any two runs.
pub(crate) fn records(output: &Output, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut records: Vec<Value> = records.filter(|record| record["type"] == kind).collect();
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for record in &mut records {
        let record = record.as_object_mut().unwrap();
        for key in ["id", "at", "instance"] {
            record.remove(key);
        }
        if let Some(times) = record.get_mut("times").and_then(Value::as_object_mut) {
            times.remove("ctime");
            times.remove("birth");
        }
    }
    records
}

fn findings(source: &Path, appliance: &Appliance) -> String {
    let output = check(source.to_str().unwrap(), &appliance.manifest(), &[]);
    assert_eq!(output.status.code(), Some(1), "{source:?}: {}", String::from_utf8_lossy(&output.stderr));
    lines(&records(&output, "finding"))
}

pub(crate) fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// Makes the evidence in another form; its findings must be those of the folder.
#[track_caller]
fn same(appliance: &Appliance, name: &str, needs: &[&str], command: &str) {
    if needs.iter().all(|program| has(program)) {
        let made = appliance.make(name, command);
        assert_eq!(findings(&made, appliance), findings(&appliance.root(), appliance), "{name}: {command}");
    }
}

#[test]
fn the_folder_shows_what_the_intruder_did() {
    let appliance = Appliance::new();
    let found = findings(&appliance.root(), &appliance);
    for expected in ["compcheckresult.cgi", "login.cgi", "/home/etc/manifest/manifest"] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn archives_show_what_the_folder_shows() {
    let appliance = Appliance::new();
    same(&appliance, "x.tar", &["tar"], "tar --numeric-owner -cf OUT -C ROOT .");
    same(&appliance, "x.tar.gz", &["tar"], "tar --numeric-owner -czf OUT -C ROOT .");
    same(&appliance, "x.tar.xz", &["tar", "xz"], "tar --numeric-owner -cJf OUT -C ROOT .");
    same(&appliance, "x.tar.zst", &["tar", "zstd"], "tar --numeric-owner --zstd -cf OUT -C ROOT .");
    same(&appliance, "x.zip", &["zip"], "cd ROOT && zip -q -r OUT .");
}

#[test]
fn file_systems_show_what_the_folder_shows() {
    let appliance = Appliance::new();
    let ext = |kind: &str| format!("mke2fs -q -t {kind} -d ROOT OUT 64M");
    same(&appliance, "ext4.img", &["mke2fs"], &ext("ext4"));
    same(&appliance, "ext2.raw", &["mke2fs"], &ext("ext2"));
    same(&appliance, "root.squashfs", &["mksquashfs"], "mksquashfs ROOT OUT -quiet -no-progress -comp zstd");
    same(&appliance, "root.iso", &["genisoimage"], "genisoimage -quiet -R -o OUT ROOT");
    if rustix::process::geteuid().is_root() {
        let xfs = "truncate -s 400M OUT && mkfs.xfs -q OUT && mkdir -p m && mount -o loop OUT m && \
                   cp -a ROOT/. m/ && umount m";
        same(&appliance, "xfs.img", &["mkfs.xfs"], xfs);
    }
}

#[test]
fn disks_of_virtual_machines_show_what_the_folder_shows() {
    let appliance = Appliance::new();
    let disk = "mke2fs -q -t ext4 -d ROOT fs 64M && truncate -s 80M disk && \
                printf 'label: gpt\\nstart=2048, size=131072\\n' | sfdisk -q disk && \
                dd if=fs of=disk bs=1M seek=1 conv=notrunc status=none";
    let needs = ["mke2fs", "sfdisk", "qemu-img"];
    same(&appliance, "disk.raw", &needs, &format!("{disk} && mv disk OUT"));
    for (name, options) in [
        ("disk.qcow2", "-O qcow2"),
        ("packed.qcow2", "-c -O qcow2"),
        ("zstd.qcow2", "-c -O qcow2 -o compression_type=zstd"),
        ("disk.vmdk", "-O vmdk"),
        ("stream.vmdk", "-O vmdk -o subformat=streamOptimized"),
        ("disk.vhdx", "-O vhdx"),
    ] {
        same(&appliance, name, &needs, &format!("{disk} && qemu-img convert -f raw {options} disk OUT"));
    }
}

#[test]
fn evidence_inside_an_archive_shows_what_the_folder_shows() {
    let appliance = Appliance::new();
    let expected = findings(&appliance.root(), &appliance);
    let image = "mke2fs -q -t ext4 -d ROOT disk.img 32M";
    let bundle = "tar --numeric-owner -czf bundle.tgz -C ROOT .";
    for (name, inner, command) in [
        ("a.tar", "disk.img", format!("{image} && tar -cf OUT disk.img")),
        ("stored.zip", "disk.img", format!("{image} && zip -q -0 OUT disk.img")),
        ("packed.zip", "disk.img", format!("{image} && zip -q OUT disk.img")),
        ("b.zip", "bundle.tgz", format!("{bundle} && zip -q OUT bundle.tgz")),
        ("b.tar.gz", "in/bundle.tgz", format!("{bundle} && mkdir -p in && mv bundle.tgz in && tar -czf OUT in")),
    ] {
        if !has("mke2fs") || !has("zip") {
            return;
        }
        let made = appliance.make(name, &command);
        let nested = PathBuf::from(format!("{}!/{inner}", made.display()));
        assert_eq!(findings(&nested, &appliance), expected, "{name}");
    }
    let missing = format!("{}!/none", appliance.path().join("b.zip").display());
    let output = check(&missing, &appliance.manifest(), &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_host_over_ssh_shows_what_the_folder_shows() {
    let appliance = Appliance::new();
    for subsystem in ["Subsystem sftp internal-sftp", ""] {
        let Some(sshd) = sshd::Sshd::start(subsystem) else { return };
        let source = format!("ssh://root@127.0.0.1:{}{}", sshd.port, appliance.root().display());
        let (known, user) = (sshd.file("known"), sshd.file("user"));
        let output = check(&source, &appliance.manifest(), &["--known-hosts", &known, "--identity", &user]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(lines(&records(&output, "finding")), findings(&appliance.root(), &appliance), "{subsystem}");
    }
}
