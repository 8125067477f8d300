//! What the package database shows about an instance: conffiles, diversions, merged /usr, filters.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests build their own instances")]

use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use check::Manifest;
use check::integrity::{Baseline, Outcome, Request, check as integrity};
use directive::product::Product;
use directive::progress::Unwatched;
use directive::record::hex;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path.trim_start_matches('/'));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn md5(text: &str) -> String {
    hex(&<md5::Md5 as md5::Digest>::digest(text.as_bytes()))
}

/// A package: name, architecture for the file name if it is multi-arch, files `path content`.
fn package(root: &Path, name: &str, arch: &str, conffiles: &str, files: &str) {
    let status = root.join("var/lib/dpkg/status");
    let mut text = std::fs::read_to_string(&status).unwrap_or_default();
    let plain = name.split(':').next().unwrap();
    text += &format!("Package: {plain}\nStatus: install ok installed\nArchitecture: {arch}\nVersion: 1:1.0-1\n");
    if !conffiles.is_empty() {
        let lines = conffiles.lines().map(|line| line.trim().split_once(' ').unwrap());
        let lines = lines.map(|(path, content)| format!(" {path} {}\n", md5(content)));
        text += &format!("Conffiles:\n{}", lines.collect::<String>());
    }
    write(root, "var/lib/dpkg/status", &(text + "\n"));
    let lines = files.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.split_once(' ').unwrap());
    let sums: String = lines.map(|(path, content)| format!("{}  {path}\n", md5(content))).collect();
    write(root, &format!("var/lib/dpkg/info/{name}.md5sums"), &sums);
}

fn run(root: &Path, manifests: &[Manifest<check::Operator>], product: Option<&Product>) -> Outcome {
    let source = evidence::Folder::open(root).unwrap();
    integrity(&Request {
        source: &source,
        manifests,
        baseline: Baseline::Dpkg,
        product,
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

fn shown(outcome: &Outcome) -> String {
    let path = |path: &Option<directive::text::Text>| path.as_ref().map(|path| format!(" {path}")).unwrap_or_default();
    let findings = outcome.findings.iter().map(|f| format!("{:?} {}{}", f.severity, f.code, path(&f.path)));
    let gaps = outcome.gaps.iter().filter(|gap| gap.required).map(|gap| format!("gap {}{}", gap.code, path(&gap.path)));
    findings.chain(gaps).collect::<Vec<_>>().join(", ")
}

/// Builds an instance and compares findings and required gaps. Files belong to whoever runs the
/// test, so complaints about owners are left out where that is not root.
#[track_caller]
fn check(build: impl Fn(&Path), expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let mut outcome = run(dir.path(), &[], None);
    if std::fs::metadata(dir.path()).unwrap().uid() != 0 {
        outcome.findings.retain(|finding| !finding.why.starts_with("owner is"));
    }
    assert_eq!(shown(&outcome), expected);
}

#[test]
fn files_that_agree_with_the_instances_own_database_are_consistent_and_not_vouched_for() {
    let dir = tempfile::tempdir().unwrap();
    package(dir.path(), "a", "amd64", "", "usr/share/a one");
    write(dir.path(), "usr/share/a", "one");
    let outcome = run(dir.path(), &[], None);
    assert_eq!((outcome.coverage.vouched, outcome.coverage.consistent), (0, 1));
    assert!(shown(&outcome).ends_with("gap manifest-untrusted"), "{}", shown(&outcome));
    assert_eq!(outcome.conclusion.verdict, directive::verdict::Verdict::Inconclusive);
}

#[test]
fn a_changed_program_weighs_and_a_changed_configuration_file_does_not() {
    check(
        |root| {
            package(
                root,
                "a",
                "amd64",
                "/etc/a one\n/etc/gone one",
                "usr/share/a one\nusr/share/b one\nusr/share/c one",
            );
            write(root, "usr/share/a", "one");
            write(root, "usr/share/b", "two");
            write(root, "etc/a", "two");
        },
        "Info file-modified /etc/a, Info file-missing /etc/gone, High file-modified /usr/share/b, \
         Medium file-missing /usr/share/c, gap manifest-untrusted",
    );
}

#[test]
fn a_diverted_file_is_looked_for_where_it_went() {
    check(
        |root| {
            package(root, "dash", "amd64", "", "bin/sh dash");
            package(root, "other", "amd64", "", "bin/sh other");
            write(root, "var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\ndash\n");
            write(root, "bin/sh", "dash");
            write(root, "bin/sh.distrib", "other");
        },
        "gap manifest-untrusted",
    );
}

#[test]
fn a_multi_arch_package_has_its_architecture_in_the_file_name() {
    check(
        |root| {
            package(root, "libc6:amd64", "amd64", "", "usr/share/libc 64\nusr/share/doc same");
            package(root, "libc6:i386", "i386", "", "usr/share/libc32 32\nusr/share/doc same");
            write(root, "usr/share/libc", "64");
            write(root, "usr/share/libc32", "changed");
            write(root, "usr/share/doc", "same");
        },
        "High file-modified /usr/share/libc32, gap manifest-untrusted",
    );
}

#[test]
fn a_file_that_two_packages_list_may_be_as_either_has_it() {
    check(
        |root| {
            package(root, "old", "amd64", "", "usr/share/a old");
            package(root, "new", "amd64", "", "usr/share/a new");
            write(root, "usr/share/a", "old");
        },
        "gap manifest-untrusted",
    );
}

#[test]
fn a_merged_usr_is_one_place_with_two_names() {
    check(
        |root| {
            package(root, "a", "amd64", "", "bin/a one\nusr/bin/b one");
            write(root, "usr/bin/a", "one");
            write(root, "usr/bin/b", "two");
            symlink("usr/bin", root.join("bin")).unwrap();
        },
        "High file-modified /usr/bin/b, gap manifest-untrusted",
    );
}

#[test]
fn what_dpkg_was_told_not_to_unpack_is_not_missing_but_compared_where_it_is() {
    check(
        |root| {
            package(
                root,
                "a",
                "amd64",
                "",
                "usr/share/doc/a/x one\nusr/share/doc/a/y one\nusr/share/doc/a/copyright one",
            );
            write(
                root,
                "etc/dpkg/dpkg.cfg.d/docker",
                "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n",
            );
            write(root, "usr/share/doc/a/y", "two");
        },
        "Medium file-missing /usr/share/doc/a/copyright, High file-modified /usr/share/doc/a/y, gap manifest-untrusted",
    );
}

#[test]
fn an_override_that_is_not_honoured_is_a_finding() {
    check(
        |root| {
            package(root, "a", "amd64", "", "usr/lib/helper one\nusr/lib/kept one");
            for (name, mode) in [("helper", 0o777), ("kept", 0o4754)] {
                write(root, &format!("usr/lib/{name}"), "one");
                let path = root.join("usr/lib").join(name);
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            write(
                root,
                "var/lib/dpkg/statoverride",
                "nobody-here nobody-here 4754 /usr/lib/helper\nx x 4754 /usr/lib/kept\n",
            );
        },
        "Medium file-metadata /usr/lib/helper, gap manifest-untrusted",
    );
}

#[test]
fn a_setuid_program_that_debian_does_not_ship_so_is_a_finding() {
    check(
        |root| {
            package(root, "a", "amd64", "", "usr/bin/su one\nusr/bin/vi one\nusr/lib/x/utempter/utempter one");
            for path in ["usr/bin/su", "usr/bin/vi", "usr/lib/x/utempter/utempter"] {
                write(root, path, "one");
                std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(0o4755)).unwrap();
            }
        },
        "High file-metadata /usr/bin/vi, gap manifest-untrusted",
    );
}

#[test]
fn a_shell_left_setuid_outside_every_package_is_worth_a_word() {
    check(
        |root| {
            package(root, "a", "amd64", "", "usr/share/a one");
            write(root, "usr/share/a", "one");
            write(root, "tmp/.x", "shell");
            std::fs::set_permissions(root.join("tmp/.x"), std::fs::Permissions::from_mode(0o4755)).unwrap();
        },
        "Low file-metadata /tmp/.x, Info program-unlisted /tmp/.x, gap manifest-untrusted",
    );
}

#[test]
fn an_operators_list_wins_over_the_instances_own() {
    let dir = tempfile::tempdir().unwrap();
    package(dir.path(), "a", "amd64", "", "usr/share/a shell");
    write(dir.path(), "usr/share/a", "shell");
    let list = format!("{}  /usr/share/a\n", hex(&<sha2::Sha256 as sha2::Digest>::digest(b"vendor")));
    let outcome = run(dir.path(), &[Manifest::from_operator("vendor", list.as_bytes()).unwrap()], None);
    assert!(shown(&outcome).starts_with("High file-modified /usr/share/a"), "{}", shown(&outcome));
    assert_eq!(outcome.findings[0].rule.as_deref(), Some("manifest vendor"));
}

#[test]
fn a_database_without_checksums_or_with_damaged_ones_leaves_gaps() {
    check(
        |root| {
            package(root, "a", "amd64", "", "usr/share/a one");
            package(root, "b", "amd64", "", "usr/share/b one");
            write(root, "usr/share/a", "one");
            write(root, "var/lib/dpkg/info/a.md5sums", &format!("{}  usr/share/a\nnot a checksum\n", md5("one")));
            std::fs::remove_file(root.join("var/lib/dpkg/info/b.md5sums")).unwrap();
            write(root, "var/lib/dpkg/info/b.list", "/.\n/usr\n/usr/share\n/usr/share/b\n");
        },
        "gap manifest-missing, gap manifest-untrusted, gap manifest-damaged /var/lib/dpkg/info/a.md5sums",
    );
}

#[test]
fn an_instance_without_a_database_cannot_be_held_against_it() {
    check(|root| write(root, "usr/share/a", "one"), "gap manifest-missing, gap manifest-missing /var/lib/dpkg/status");
}

#[test]
fn a_database_that_is_a_pipe_does_not_hang_the_check() {
    check(
        |root| {
            std::fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
            let path = root.join("var/lib/dpkg/status");
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        },
        "gap manifest-missing, gap manifest-damaged /var/lib/dpkg/status",
    );
}

#[test]
fn the_package_version_is_a_witness_with_the_distribution_of_the_evidence() {
    let product: Product = toml::from_str(
        r#"
        name = "OpenSSH"
        vendor = "OpenBSD"
        [[affected]]
        before = "9.8p1"
        [[backport]]
        distribution = "debian"
        release = "12"
        upstream = "1.0"
        package = "openssh-server"
        fixed = "1:1.0-1"
        [[witness]]
        source = "dpkg"
        package = "openssh-server"
        "#,
    )
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    package(dir.path(), "openssh-server", "amd64", "", "");
    write(dir.path(), "usr/lib/os-release", "ID=debian\n");
    std::fs::create_dir_all(dir.path().join("etc")).unwrap();
    symlink("../usr/lib/os-release", dir.path().join("etc/os-release")).unwrap();
    let outcome = run(dir.path(), &[], Some(&product));
    assert_eq!(outcome.witnesses[0].value, "1:1.0-1");
    assert_eq!(outcome.witnesses[0].status, directive::record::Status::Fixed, "{}", outcome.witnesses[0].why);
}
