//! View: a whole file system as lines of text, once as the reader sees it and once as the kernel does.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use image::ReadAt;
use image::filesystem::{self, FileSystem, Node};
use sha2::{Digest, Sha256};

/// A file as a volume. The product gets its bytes from elsewhere; tests open files.
pub(crate) struct Raw(pub(crate) File);

impl ReadAt for Raw {
    fn len(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

pub(crate) fn open(image: &Path) -> Arc<dyn FileSystem> {
    filesystem::open(Arc::new(Raw(File::open(image).unwrap()))).unwrap().expect("a file system is recognised")
}

/// Path to what is known about it.
pub(crate) type View = BTreeMap<String, String>;

/// What two views are compared by; formats that record less leave out the rest.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Depth {
    /// Everything, inode numbers and times of birth included.
    Everything,
    /// Without numbers and the times that the format does not record.
    Recorded,
    /// Mode, owner, whole seconds and content of all but folders.
    Owners,
    /// Type, size and content.
    Content,
}

/// The reader's view.
pub(crate) fn ours(fs: &dyn FileSystem, depth: Depth) -> View {
    let mut view = View::new();
    let mut folders = vec![(Vec::new(), fs.root(), HashSet::new())];
    while let Some((path, folder, mut above)) = folders.pop() {
        assert!(above.insert(folder), "{} holds itself", path.escape_ascii());
        view.insert(path.escape_ascii().to_string(), line_of(fs, folder, depth));
        let mut listed = Vec::new();
        fs.list(folder, &mut |entry| {
            listed.push(entry);
            true
        })
        .unwrap_or_else(|error| panic!("{}: {error}", path.escape_ascii()));
        for entry in listed {
            let path = [&path[..], b"/", &entry.name].concat();
            let node = fs.node(entry.id).unwrap_or_else(|error| panic!("{}: {error}", path.escape_ascii()));
            if node.mode & 0o170_000 == 0o040_000 {
                folders.push((path, entry.id, above.clone()));
            } else {
                let before = view.insert(path.escape_ascii().to_string(), line_of(fs, entry.id, depth));
                assert_eq!(before, None, "{} is listed twice", path.escape_ascii());
            }
        }
    }
    view
}

fn line_of(fs: &dyn FileSystem, id: u64, depth: Depth) -> String {
    let node = fs.node(id).unwrap();
    let content = match node.mode & 0o170_000 {
        0o100_000 => sha256_of(fs, id, &node),
        0o120_000 => format!("-> {}", fs.link_target(id).unwrap().escape_ascii()),
        _ => String::new(),
    };
    line(id, &node, &content, depth)
}

/// Reads through a buffer whose size fits nothing, so that every boundary is crossed.
fn sha256_of(fs: &dyn FileSystem, id: u64, node: &Node) -> String {
    let mut hasher = Sha256::new();
    let mut content = fs.open(id).unwrap();
    let mut buffer = vec![0xee; 77_777];
    let mut total = 0;
    loop {
        match content.read(&mut buffer).unwrap() {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
        }
    }
    assert_eq!(total, node.size, "content is as long as the node says");
    hex(&hasher.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn line(number: u64, node: &Node, content: &str, depth: Depth) -> String {
    let is_folder = node.mode & 0o170_000 == 0o040_000;
    if depth == Depth::Content {
        let size = if is_folder { 0 } else { node.size };
        return format!("{:o} {size} {content}", node.mode & 0o170_000);
    }
    if depth == Depth::Owners {
        let (size, time) = if is_folder { (0, 0) } else { (node.size, node.mtime.0) };
        return format!("{:o} {}:{} {size} mtime {time} {content}", node.mode, node.uid, node.gid);
    }
    let mut xattrs: Vec<String> = node
        .xattrs
        .iter()
        .map(|(name, value)| format!("{}={}", name.escape_ascii(), hex(&Sha256::digest(value)[..8])))
        .collect();
    xattrs.sort();
    let all = format!(
        "{:o} {}:{} {} links {} mtime {:?} {content} {}",
        node.mode,
        node.uid,
        node.gid,
        node.size,
        node.links,
        node.mtime,
        xattrs.join(" ")
    );
    match depth {
        Depth::Everything => format!("{all} #{number} ctime {:?} birth {:?}", node.ctime, node.birth),
        _ => all,
    }
}

/// The kernel's view of a folder: a mounted image or the tree that an image was made from.
pub(crate) fn kernels(root: &Path, depth: Depth) -> View {
    let mut view = View::new();
    let mut folders = vec![(PathBuf::new(), root.to_owned())];
    while let Some((path, folder)) = folders.pop() {
        view.insert(name(&path), kernels_line(&folder, depth));
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = path.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push((path, entry.path()));
            } else {
                view.insert(name(&path), kernels_line(&entry.path(), depth));
            }
        }
    }
    view
}

fn name(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() { String::new() } else { format!("/{}", bytes.escape_ascii()) }
}

fn kernels_line(path: &Path, depth: Depth) -> String {
    let meta = std::fs::symlink_metadata(path).unwrap();
    let birth = meta.created().ok().map(|time| {
        let since = time.duration_since(UNIX_EPOCH).unwrap();
        (since.as_secs() as i64, since.subsec_nanos())
    });
    let content = if meta.is_file() {
        let mut hasher = Sha256::new();
        let mut file = File::open(path).unwrap();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).unwrap() {
                0 => break hex(&hasher.finalize()),
                count => hasher.update(&buffer[..count]),
            }
        }
    } else if meta.is_symlink() {
        format!("-> {}", std::fs::read_link(path).unwrap().into_os_string().into_vec().escape_ascii())
    } else {
        String::new()
    };
    let node = Node {
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        size: meta.size(),
        links: meta.nlink(),
        mtime: (meta.mtime(), meta.mtime_nsec() as u32),
        ctime: Some((meta.ctime(), meta.ctime_nsec() as u32)),
        birth,
        xattrs: xattrs(path),
    };
    line(meta.ino(), &node, &content, depth)
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let count = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let count = rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..]).unwrap();
        value.truncate(count);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// Fails with the lines that differ, and not with ten thousand that do not.
#[track_caller]
pub(crate) fn same(ours: &View, theirs: &View) {
    let mut differences = Vec::new();
    for (path, line) in theirs {
        match ours.get(path) {
            None => differences.push(format!("not seen: {path} ({line})")),
            Some(ours) if ours != line => differences.push(format!("{path}\n  ours   {ours}\n  theirs {line}")),
            Some(_) => {}
        }
    }
    differences.extend(ours.keys().filter(|path| !theirs.contains_key(*path)).map(|path| format!("made up: {path}")));
    let (count, total) = (differences.len(), theirs.len());
    differences.truncate(8);
    assert!(count == 0, "{count} of {total} differ:\n{}", differences.join("\n"));
}

/// Runs a program and fails with what it said.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .envs([("MTOOLS_SKIP_CHECK", "1"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")])
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; see NEEDED in .ci/run"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    said
}

/// Whether images can be mounted here. Says so loudly where not.
pub(crate) fn may_mount() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "these tests mount images: CI runs them as root");
        eprintln!("\n*** NOT TESTED: this test mounts an image and needs root. ***\n");
    }
    is_root
}

/// A mounted image; unmounted when dropped.
pub(crate) struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    pub(crate) fn new(image: &Path, options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run("mount", &["-o", options, image.to_str().unwrap(), folder.path().to_str().unwrap()]);
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmount = || Command::new("umount").arg(self.folder.path()).status().is_ok_and(|status| status.success());
        let mut done = unmount();
        // A program that another test is just starting holds our open files until it runs: the mount is busy so long.
        for _ in 0..100 {
            if done {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
            done = unmount();
        }
        assert!(done || std::thread::panicking(), "cannot unmount");
    }
}

/// Compares the reader's view of an image with the kernel's.
#[track_caller]
pub(crate) fn agrees_with_kernel(image: &Path, options: &str, depth: Depth) -> Arc<dyn FileSystem> {
    let fs = open(image);
    let ours = ours(&*fs, depth);
    let mounted = Mounted::new(image, options);
    same(&ours, &kernels(mounted.path(), depth));
    assert!(ours.len() > 3, "an empty file system proves nothing");
    fs
}
