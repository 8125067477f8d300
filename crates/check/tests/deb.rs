//! Packages from outside: which of them count, and what do Debian's own rules make of a difference?
//!
//! Packages are built by `dpkg-deb`, which is on every Debian; elsewhere the tests are skipped with a word,
//! and fail under `CI`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "builds packages beside the check"
)]

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use check::Manifest;
use check::integrity::{Baseline, Outcome, Request, check as integrity};
use check::manifest::deb;
use directive::progress::Unwatched;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What a package ships.
#[derive(Clone, Copy)]
struct Shipped<'a> {
    name: &'a str,
    version: &'a str,
    conffiles: &'a str,
    /// `path content`, a line each; `path -> target` is a link.
    files: &'a str,
}

/// An instance and the packages that the operator has.
struct Bench {
    dir: tempfile::TempDir,
    manifests: Vec<Manifest<check::Operator>>,
}

impl Bench {
    /// `None` where there is no `dpkg-deb`.
    fn new() -> Option<Self> {
        let here = Command::new("dpkg-deb").arg("--version").output().is_ok();
        assert!(here || std::env::var_os("CI").is_none(), "dpkg-deb is not installed, and CI must build packages");
        if !here {
            eprintln!("SKIPPED: dpkg-deb is not installed");
        }
        here.then(|| Self { dir: tempfile::tempdir().unwrap(), manifests: Vec::new() })
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("root")
    }

    /// Builds a package, and reads it as the operator's.
    fn give(&mut self, shipped: Shipped<'_>) {
        let staged = self.dir.path().join("staged");
        let _ = fs::remove_dir_all(&staged);
        let Shipped { name, version, conffiles, files } = shipped;
        let control =
            format!("Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: a\n");
        write(&staged, "DEBIAN/control", &control);
        if !conffiles.is_empty() {
            write(&staged, "DEBIAN/conffiles", &format!("{conffiles}\n"));
        }
        unpack(&staged, files);
        let file = self.dir.path().join(format!("{name}_{version}.deb"));
        let mut build = Command::new("dpkg-deb");
        let built = build.args(["--root-owner-group", "--build"]).arg(&staged).arg(&file).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let stream = Box::new(fs::File::open(&file).unwrap());
        let name = file.file_name().unwrap().to_str().unwrap();
        self.manifests.push(deb::read(name, stream, &deb::Limits::default(), &Unwatched).unwrap());
    }

    /// Puts it on the instance, as dpkg would.
    fn install(&self, shipped: Shipped<'_>) {
        let root = self.root();
        let Shipped { name, version, conffiles, files } = shipped;
        let status = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap_or_default();
        let paragraph =
            format!("Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n\n");
        write(&root, "var/lib/dpkg/status", &(status + &paragraph));
        if !conffiles.is_empty() {
            write(&root, &format!("var/lib/dpkg/info/{name}.conffiles"), &format!("{conffiles}\n"));
        }
        unpack(&root, files);
        let _ = Command::new("chown").args(["-hR", "0:0"]).arg(&root).status();
    }

    fn check(&self) -> Outcome {
        self.beside(Baseline::None)
    }

    fn beside(&self, baseline: Baseline) -> Outcome {
        integrity(&Request {
            source: &evidence::Folder::open(&self.root()).unwrap(),
            manifests: &self.manifests,
            baseline,
            product: None,
            clause: None,
            previous: &[],
            previous_coverage: None,
            live: None,
            hunt: None,
            threads: NonZeroUsize::new(2).unwrap(),
            progress: &Unwatched,
        })
        .unwrap()
    }

    #[track_caller]
    fn finds(&self, expected: &str) -> Outcome {
        let mut outcome = self.check();
        if !rustix::process::getuid().is_root() {
            outcome.findings.retain(|finding| !finding.why.starts_with("owner is"));
        }
        let path = |path: &Option<directive::text::Text>| path.clone().unwrap_or_default().escaped();
        let findings = outcome.findings.iter();
        let findings = findings.map(|f| format!("{:?} {} {}", f.severity, f.code, path(&f.path)));
        let gaps = outcome.gaps.iter().filter(|gap| gap.required).map(|gap| format!("gap {}", gap.code));
        assert_eq!(findings.chain(gaps).collect::<Vec<_>>().join(", "), expected);
        outcome
    }
}

fn unpack(root: &Path, files: &str) {
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(" -> ") {
            Some((path, target)) => {
                fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
                symlink(target, root.join(path)).unwrap();
            }
            None => {
                let (path, content) = line.split_once(' ').unwrap();
                write(root, path, content);
            }
        }
    }
}

const WEB: Shipped<'_> = Shipped {
    name: "web",
    version: "1.0-1",
    conffiles: "/etc/web.conf",
    files: "usr/sbin/webd vendor\nusr/share/web/page one\netc/web.conf port=1\nusr/sbin/web -> webd",
};

#[test]
fn files_of_an_installed_package_are_vouched_for_by_the_package_itself() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.install(WEB);
    let outcome = bench.finds("");
    // Three files, and the list of configuration files that dpkg keeps.
    assert_eq!((outcome.coverage.vouched, outcome.coverage.consistent), (4, 0));
    assert_eq!(outcome.coverage.generations[0].manifests, ["packages: 1"]);
}

#[test]
fn a_changed_configuration_file_is_no_mismatch_and_a_changed_program_is() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.install(WEB);
    write(&bench.root(), "etc/web.conf", "port=2");
    write(&bench.root(), "usr/sbin/webd", "other");
    bench.finds("Info file-modified /etc/web.conf, High file-modified /usr/sbin/webd");
}

#[test]
fn a_link_that_points_elsewhere_than_shipped_is_found_and_so_is_a_file_in_its_place() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.install(WEB);
    let link = bench.root().join("usr/sbin/web");
    fs::remove_file(&link).unwrap();
    bench.finds("Medium file-missing /usr/sbin/web");
    symlink("/tmp/webd", &link).unwrap();
    bench.finds("High file-modified /usr/sbin/web");
    fs::remove_file(&link).unwrap();
    fs::write(&link, "program").unwrap();
    let outcome = bench.finds("High file-modified /usr/sbin/web");
    assert!(outcome.findings[0].why.contains("lists a link to webd"), "{}", outcome.findings[0].why);
}

#[test]
fn a_package_of_another_version_than_is_installed_does_not_vouch_and_leaves_a_gap() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(Shipped { version: "0.9-1", ..WEB });
    bench.install(WEB);
    let outcome = bench.finds("gap manifest-missing, gap manifest-missing");
    assert_eq!(outcome.coverage.vouched, 0);
    assert!(outcome.gaps.iter().any(|gap| gap.why.contains("web 1.0-1 (given: 0.9-1)")), "{:?}", outcome.gaps);
}

#[test]
fn with_a_package_missing_nothing_is_said_to_be_added_and_the_gap_names_it() {
    let Some(mut bench) = Bench::new() else { return };
    let other = Shipped { name: "other", files: "usr/bin/other x", conffiles: "", ..WEB };
    bench.give(WEB);
    bench.install(WEB);
    bench.install(other);
    let outcome = bench.finds("gap manifest-missing");
    assert!(outcome.gaps.iter().any(|gap| gap.why.contains("other 1.0-1")), "{:?}", outcome.gaps);
    bench.give(other);
    bench.finds("");
}

#[test]
fn a_package_taken_out_of_the_instances_own_database_leaves_files_that_nothing_lists() {
    let Some(mut bench) = Bench::new() else { return };
    let implant = Shipped { name: "implant", files: "usr/bin/implant x", conffiles: "", ..WEB };
    bench.give(WEB);
    bench.give(implant);
    bench.install(WEB);
    unpack(&bench.root(), implant.files);
    bench.finds("High file-added /usr/bin/implant");
}

#[test]
fn with_every_package_given_the_instances_own_database_has_nothing_to_add() {
    let Some(mut bench) = Bench::new() else { return };
    let other = Shipped { name: "other", files: "usr/bin/other x", conffiles: "", ..WEB };
    bench.give(WEB);
    bench.install(WEB);
    // A file that only the instance says was there.
    write(&bench.root(), "var/lib/dpkg/info/web.md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/bin/gone\n");
    let untrusted = |outcome: &Outcome| outcome.gaps.iter().any(|gap| gap.code == "manifest-untrusted");
    assert!(!untrusted(&bench.beside(Baseline::Dpkg)));
    // With one that was not given, the database speaks for it.
    bench.install(other);
    assert!(untrusted(&bench.beside(Baseline::Dpkg)));
}

#[test]
fn a_setuid_bit_that_the_package_does_not_ship_is_found() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.install(WEB);
    let page = bench.root().join("usr/share/web/page");
    fs::set_permissions(page, fs::Permissions::from_mode(0o4755)).unwrap();
    bench.finds("High file-metadata /usr/share/web/page");
}

#[test]
fn a_diverted_file_is_looked_for_where_it_went_and_what_stands_in_its_place_is_told() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.install(WEB);
    let root = bench.root();
    write(&root, "var/lib/dpkg/diversions", "/usr/sbin/webd\n/usr/sbin/webd.distrib\n:\n");
    fs::rename(root.join("usr/sbin/webd"), root.join("usr/sbin/webd.distrib")).unwrap();
    fs::write(root.join("usr/sbin/webd"), "wrapper").unwrap();
    bench.finds("High file-added /usr/sbin/webd");
}

#[test]
fn files_that_dpkg_was_told_to_leave_out_are_a_gap_and_not_missing() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.install(WEB);
    write(&bench.root(), "etc/dpkg/dpkg.cfg", "path-exclude=/usr/share/web/*\n");
    fs::remove_file(bench.root().join("usr/share/web/page")).unwrap();
    let mut outcome = bench.check();
    outcome.findings.retain(|finding| finding.code == "file-missing");
    assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    assert!(outcome.gaps.iter().any(|gap| gap.code == "files-left-out" && !gap.required), "{:?}", outcome.gaps);
}

#[test]
fn without_a_database_every_package_given_counts_and_a_gap_says_so() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.install(WEB);
    fs::remove_file(bench.root().join("var/lib/dpkg/status")).unwrap();
    let outcome = bench.finds("gap manifest-missing");
    assert_eq!(outcome.coverage.vouched, 4);
}

#[test]
fn two_packages_of_one_name_and_version_that_differ_vouch_for_nothing_there() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    bench.give(Shipped { files: "usr/sbin/webd forged\netc/web.conf port=1", ..WEB });
    bench.install(WEB);
    let outcome = bench.finds("Medium manifest-disagrees /usr/sbin/webd");
    assert_eq!(outcome.coverage.vouched, 3);
}

#[test]
fn a_package_that_ends_too_early_is_refused_whole() {
    let Some(mut bench) = Bench::new() else { return };
    bench.give(WEB);
    let bytes = fs::read(bench.dir.path().join("web_1.0-1.deb")).unwrap();
    for cut in [70, 200, bytes.len() - 40] {
        let stream = Box::new(std::io::Cursor::new(bytes[..cut].to_vec()));
        assert!(deb::read("cut.deb", stream, &deb::Limits::default(), &Unwatched).is_err(), "{cut}");
    }
}

#[test]
fn a_package_that_unpacks_to_more_than_is_allowed_is_refused() {
    let Some(mut bench) = Bench::new() else { return };
    let zeros = format!("usr/share/zeros {}", "0".repeat(4 << 20));
    bench.give(Shipped { files: &zeros, conffiles: "", ..WEB });
    let file = Box::new(fs::File::open(bench.dir.path().join("web_1.0-1.deb")).unwrap());
    let limits = deb::Limits { data_bytes: 1 << 20, ..Default::default() };
    let error = deb::read("bomb.deb", file, &limits, &Unwatched).unwrap_err();
    assert!(error.to_string().contains("cannot be read whole"), "{error}");
}
