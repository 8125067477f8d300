//! Attacks on whoever reads a folder, each as a test that is named after it.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, reason = "tests build folders")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Mutex;

use directive::text::Text;
use evidence::{Entry, Folder, Limits, Meta, Obstacle, Source, Visitor, Wants};

/// What a walk met: path and what it is (`file <first hex digits>`, `folder`, `link -> target`).
#[derive(Default)]
struct Met {
    entries: Mutex<BTreeMap<Text, String>>,
    obstacles: Mutex<BTreeMap<Text, Obstacle>>,
    metas: Mutex<BTreeMap<Text, Meta>>,
    bytes: Mutex<u64>,
    /// Called while a file is about to be read.
    meddle: Option<fn(&Meta)>,
}

impl Visitor for Met {
    fn wants(&self, meta: &Meta) -> Wants {
        if let Some(meddle) = self.meddle {
            meddle(meta);
        }
        Wants::MD5
    }

    fn entry(&self, entry: Entry) {
        let what = match (&entry.digests, &entry.meta.target) {
            (Some(digests), _) => format!("file {}", &directive::record::hex(&digests.sha256)[..8]),
            (None, Some(target)) => format!("link -> {target}"),
            (None, None) => entry.meta.kind.as_str().to_owned(),
        };
        *self.bytes.lock().unwrap() += entry.bytes_read;
        let before = self.entries.lock().unwrap().insert(entry.meta.path.clone(), what);
        assert_eq!(before, None, "{} came twice", entry.meta.path);
        self.metas.lock().unwrap().insert(entry.meta.path.clone(), entry.meta);
    }

    fn obstacle(&self, obstacle: Obstacle) {
        self.obstacles.lock().unwrap().insert(obstacle.path.clone(), obstacle);
    }
}

impl Met {
    fn shown(&self) -> String {
        let entries = self.entries.lock().unwrap();
        let obstacles = self.obstacles.lock().unwrap();
        let entries = entries.iter().map(|(path, what)| format!("{path} {what}"));
        let obstacles = obstacles.iter().map(|(path, obstacle)| format!("{path} {:?}", obstacle.kind));
        entries.chain(obstacles).collect::<Vec<_>>().join(", ")
    }
}

fn walk_with(root: &Path, met: Met, limits: Limits) -> Met {
    let folder = Folder::open(root).unwrap().with_limits(limits);
    folder.walk(NonZeroUsize::new(3).unwrap(), &met).unwrap();
    met
}

/// Builds a folder, walks it with three threads, and compares what was met.
#[track_caller]
fn check(build: impl Fn(&Path), expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    assert_eq!(walk_with(dir.path(), Met::default(), Limits::default()).shown(), expected);
}

fn mkfifo(path: &Path) {
    let path = path.to_owned();
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
}

#[test]
fn every_entry_is_met_once_with_its_digest() {
    check(
        |root| {
            std::fs::create_dir_all(root.join("home/bin")).unwrap();
            std::fs::write(root.join("home/bin/web"), "web").unwrap();
            std::fs::write(root.join("empty"), "").unwrap();
        },
        "/empty file e3b0c442, /home folder, /home/bin folder, /home/bin/web file 4b5e57f6",
    );
}

#[test]
fn a_pipe_in_a_folder_does_not_hang_the_reader() {
    check(|root| mkfifo(&root.join("pipe")), "/pipe Special(Fifo)");
}

#[test]
fn a_socket_is_never_opened() {
    check(|root| drop(std::os::unix::net::UnixListener::bind(root.join("s")).unwrap()), "/s Special(Socket)");
}

#[test]
fn a_link_out_of_the_root_is_reported_and_not_followed() {
    check(
        |root| {
            symlink("/etc", root.join("etc")).unwrap();
            symlink("../../../../etc/passwd", root.join("passwd")).unwrap();
        },
        "/etc link -> /etc, /passwd link -> ../../../../etc/passwd",
    );
}

#[test]
fn links_in_a_circle_end() {
    check(
        |root| {
            symlink("b", root.join("a")).unwrap();
            symlink("a", root.join("b")).unwrap();
            symlink(".", root.join("here")).unwrap();
        },
        "/a link -> b, /b link -> a, /here link -> .",
    );
    let dir = tempfile::tempdir().unwrap();
    symlink("b", dir.path().join("a")).unwrap();
    symlink("a", dir.path().join("b")).unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    assert_eq!(folder.canonical_folder(b"/a/b/c"), None);
    assert_eq!(folder.canonical_file(b"/a"), None);
}

#[test]
fn paths_resolve_inside_the_root_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
    std::fs::create_dir_all(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/passwd"), "evidence").unwrap();
    symlink("usr/bin", dir.path().join("bin")).unwrap();
    symlink("/bin", dir.path().join("usr/abs")).unwrap();
    symlink("../../../../../../etc/passwd", dir.path().join("usr/climb")).unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    assert_eq!(folder.canonical_folder(b"/bin").as_deref(), Some(&b"/usr/bin"[..]));
    assert_eq!(folder.canonical_folder(b"/usr/abs").as_deref(), Some(&b"/usr/bin"[..]));
    assert_eq!(folder.canonical_folder(b"/").as_deref(), Some(&b""[..]));
    assert_eq!(folder.canonical_folder(b"/no/such"), None);
    assert_eq!(folder.read_small(b"/usr/climb", 100).unwrap().as_deref(), Some(&b"evidence"[..]));
    assert_eq!(folder.read_small(b"/nothing", 100).unwrap(), None);
    assert!(folder.read_small(b"/etc/passwd", 3).unwrap_err().to_string().contains("larger than 3"));
    assert!(folder.read_small(b"/etc", 100).unwrap_err().to_string().contains("is a folder"));
}

#[test]
fn a_name_with_newline_escape_codes_and_bytes_that_are_no_text_survives_json() {
    let name = OsStr::from_bytes(b"a\n\x1b[2J\xff");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), "x").unwrap();
    let met = walk_with(dir.path(), Met::default(), Limits::default());
    assert_eq!(met.shown(), "/a\\n\\x1b[2J\\xff file 2d711642");
    let path = met.entries.lock().unwrap().keys().next().unwrap().clone();
    let json = serde_json::to_string(&path).unwrap();
    assert_eq!(serde_json::from_str::<Text>(&json).unwrap().as_bytes(), b"/a\n\x1b[2J\xff");
}

#[test]
fn a_file_that_changes_while_it_is_read_has_no_digest() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log"), "before").unwrap();
    // The visitor is asked between opening and reading: the file grows under the reader's hands.
    static ROOT: Mutex<Option<std::path::PathBuf>> = Mutex::new(None);
    *ROOT.lock().unwrap() = Some(dir.path().to_owned());
    let meddle = |_: &Meta| {
        let root = ROOT.lock().unwrap().clone().unwrap();
        std::fs::write(root.join("log"), "before and after").unwrap();
    };
    let met = walk_with(dir.path(), Met { meddle: Some(meddle), ..Met::default() }, Limits::default());
    assert_eq!(met.shown(), "/log Changed");
}

#[test]
fn an_unreadable_file_is_an_obstacle() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root reads every file");
        return;
    }
    check(
        |root| {
            std::fs::write(root.join("secret"), "x").unwrap();
            std::fs::set_permissions(root.join("secret"), std::fs::Permissions::from_mode(0o000)).unwrap();
        },
        "/secret Unreadable",
    );
}

/// A chain of folders, made level by level: the whole path is longer than the kernel takes at once.
fn chain(root: &Path, levels: usize) {
    let mut fd = rustix::fs::open(root, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..levels {
        rustix::fs::mkdirat(&fd, "deep", rustix::fs::Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&fd, "side", rustix::fs::Mode::RWXU).unwrap();
        fd = rustix::fs::openat(&fd, "deep", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    drop(rustix::fs::openat(&fd, "end", rustix::fs::OFlags::CREATE, rustix::fs::Mode::RUSR).unwrap());
}

#[test]
fn a_tree_of_two_thousand_levels_is_walked_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    chain(dir.path(), 2000);
    let limits = Limits { open_directories: 20, ..Limits::default() };
    let met = walk_with(dir.path(), Met::default(), limits);
    assert_eq!(met.entries.lock().unwrap().len(), 4001);
    assert!(met.entries.lock().unwrap().keys().any(|path| path.as_bytes().ends_with(b"/deep/end")));
    assert!(met.obstacles.lock().unwrap().is_empty(), "{}", met.obstacles.lock().unwrap().len());
}

#[test]
fn a_tree_deeper_than_the_limit_is_an_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    chain(dir.path(), 3);
    let deep = walk_with(dir.path(), Met::default(), Limits { depth: 2, ..Limits::default() }).shown();
    assert!(deep.ends_with("/deep/deep/deep TooDeep, /deep/deep/side TooDeep"), "{deep}");
    let long = walk_with(dir.path(), Met::default(), Limits { path_bytes: 6, ..Limits::default() }).shown();
    assert!(long.ends_with("/deep/deep PathTooLong, /deep/side PathTooLong"), "{long}");
}

#[test]
fn a_sparse_file_of_a_terabyte_does_not_keep_us() {
    check(|root| std::fs::File::create(root.join("sparse")).unwrap().set_len(1 << 40).unwrap(), "/sparse TooLarge");
}

#[test]
fn a_file_with_two_names_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), vec![0; 5000]).unwrap();
    std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    let met = Met::default();
    Folder::open(dir.path()).unwrap().walk(NonZeroUsize::MIN, &met).unwrap();
    assert_eq!(met.entries.lock().unwrap().len(), 2);
    assert_eq!(*met.bytes.lock().unwrap(), 5000);
}

#[test]
fn a_folder_with_more_files_than_may_wait_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..500 {
        std::fs::write(dir.path().join(n.to_string()), n.to_string()).unwrap();
    }
    let met = walk_with(dir.path(), Met::default(), Limits { waiting_files: 7, ..Limits::default() });
    assert_eq!(met.entries.lock().unwrap().len(), 500);
}

#[test]
fn owner_mode_and_times_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("su");
    std::fs::write(&path, "x").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let met = walk_with(dir.path(), Met::default(), Limits::default());
    let metas = met.metas.lock().unwrap();
    let meta = &metas[&Text::from("/su")];
    assert_eq!((meta.mode, meta.size, meta.is_executable()), (0o4755, 1, true));
    assert!(meta.mtime.timestamp().is_some() && meta.ctime >= Some(meta.mtime));
}

#[test]
fn the_same_evidence_walked_twice_shows_the_same() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "x").unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    for _ in 0..3 {
        let met = Met::default();
        folder.walk(NonZeroUsize::MIN, &met).unwrap();
        assert_eq!(met.shown(), "/a file 2d711642");
        assert_eq!(folder.list(b"/").unwrap().unwrap(), [b"a"]);
    }
}

#[test]
fn a_root_that_is_no_folder_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Folder::open(file.path()).err().unwrap().to_string();
    assert!(error.contains("is not a folder"), "{error}");
    assert!(Folder::open(Path::new("/no/such/folder")).is_err());
}

#[test]
fn the_live_root_shows_its_pseudo_file_systems_as_obstacles() {
    // One level, no content: the mounts are of interest, not the rest of the machine.
    let limits = Limits { depth: 1, file_bytes: 0, ..Limits::default() };
    let met = Met::default();
    Folder::live().unwrap().with_limits(limits).walk(NonZeroUsize::MIN, &met).unwrap();
    let obstacles = met.obstacles.lock().unwrap();
    assert_eq!(obstacles[&Text::from("/proc")].message, "a file system of kind proc is mounted here");
    assert!(!met.entries.lock().unwrap().keys().any(|path| path.as_bytes().starts_with(b"/proc")));
}
