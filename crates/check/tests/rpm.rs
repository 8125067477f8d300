//! The peer to agree with: `rpm --verify` on packages that `rpmbuild` made, path by path.
//!
//! Runs where `rpm` and `rpmbuild` are installed; elsewhere it is skipped with a word, and fails under `CI`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "runs the peer beside the check"
)]

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use check::Manifest;
use check::integrity::{Baseline, Outcome, Request, check as integrity};
use check::manifest::package;
use directive::progress::Unwatched;
use directive::verdict::Verdict;

/// Two packages: one with a file of every kind, one with enough files to overflow pages of the database.
const SPEC: &str = r"
Name: NAME
Version: 1.0
Release: 1
Summary: NAME
License: MIT
BuildArch: noarch
KIND
%description
NAME
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/var/log %{buildroot}/usr/share/NAME
for n in same changed other gone setid; do echo $n > %{buildroot}/usr/bin/NAME-$n; done
for n in $(seq 400); do echo $n > %{buildroot}/usr/share/NAME/with-a-long-name-so-that-a-row-is-long-$n; done
ln -s NAME-same %{buildroot}/usr/bin/NAME-link
ln -s NAME-same %{buildroot}/usr/bin/NAME-turned
echo conf > %{buildroot}/etc/NAME.conf
echo free > %{buildroot}/etc/NAME.free
touch %{buildroot}/var/log/NAME.log
%files
%defattr(0644,root,root)
%attr(0755,root,root) /usr/bin/NAME-*
/usr/share/NAME
%config(noreplace) /etc/NAME.conf
%verify(not md5 size mtime) /etc/NAME.free
%ghost /var/log/NAME.log
";

/// A program of rpm, with a database of one form.
fn of_rpm(program: &str, form: &str, root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").env("HOME", root).arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm"]);
    command.args(["--define", &format!("_db_backend {form}")]).args(arguments).output().unwrap()
}

fn rpm(root: &Path, arguments: &[&str]) -> Output {
    of_rpm("rpm", "sqlite", root, arguments)
}

/// A root with packages installed; `None` where there is no `rpmbuild`.
fn installed(dir: &Path) -> Option<std::path::PathBuf> {
    let here = Command::new("rpmbuild").arg("--version").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "rpm is not installed, and CI must compare with it");
    if !here {
        eprintln!("SKIPPED: rpm is not installed; `apt-get install rpm` to compare with it");
        return None;
    }
    let root = dir.join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nwww:x:33:\n").unwrap();
    assert!(rpm(&root, &["--initdb"]).status.success());
    // SHA-256 as today's packages have, and the MD5 of older ones.
    for (name, kind) in [("tiny", "8"), ("older", "1")] {
        let spec = dir.join(format!("{name}.spec"));
        fs::write(&spec, SPEC.replace("NAME", name).replace("KIND\n", "")).unwrap();
        let top = format!("_topdir {}", dir.join("build").display());
        let algorithm = format!("_binary_filedigest_algorithm {kind}");
        let mut build = Command::new("rpmbuild");
        build.env("HOME", dir).args(["--quiet", "--define", &top, "--define", &algorithm, "-bb"]).arg(&spec);
        let built = build.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let package = dir.join(format!("build/RPMS/noarch/{name}-1.0-1.noarch.rpm"));
        let done = rpm(&root, &["-i", "--nodeps", "--noscripts", package.to_str().unwrap()]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    Some(root)
}

fn check(root: &Path) -> Outcome {
    assert_eq!(Baseline::of(&evidence::Folder::open(root).unwrap()), Baseline::Rpm);
    run(root, &[], Baseline::Rpm)
}

fn run(root: &Path, manifests: &[Manifest<check::Operator>], baseline: Baseline) -> Outcome {
    run_of(None, root, manifests, baseline)
}

fn run_of(
    product: Option<&directive::product::Product>,
    root: &Path,
    manifests: &[Manifest<check::Operator>],
    baseline: Baseline,
) -> Outcome {
    integrity(&Request {
        source: &evidence::Folder::open(root).unwrap(),
        manifests,
        baseline,
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

/// What `rpm --verify` says: `what path`. Times are left out: a check does not compare them.
fn peer(root: &Path) -> BTreeSet<String> {
    peer_of("sqlite", root)
}

fn peer_of(form: &str, root: &Path) -> BTreeSet<String> {
    let output = of_rpm("rpm", form, root, &["-Va", "--nodeps", "--noscripts", "--nomtime"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut said = BTreeSet::new();
    for line in text.lines() {
        let path = &line[line.find('/').unwrap()..];
        if line.starts_with("missing") {
            said.insert(format!("file-missing {path}"));
            continue;
        }
        let flags = &line[..9];
        if flags.contains('5') || flags.contains('L') {
            said.insert(format!("file-modified {path}"));
        }
        if flags.contains(['M', 'U', 'G']) {
            said.insert(format!("file-metadata {path}"));
        }
    }
    said
}

fn ours(outcome: &Outcome) -> BTreeSet<String> {
    let path = |finding: &directive::record::Finding| finding.path.clone().unwrap_or_default().escaped();
    let ours = outcome.findings.iter().filter(|finding| finding.code != "program-unlisted");
    ours.map(|finding| format!("{} {}", finding.code, path(finding))).collect()
}

#[test]
fn an_instance_of_rpm_is_judged_as_rpm_judges_it_and_nothing_is_vouched_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = installed(dir.path()) else { return };
    if !rustix::process::getuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI must run as root");
        return eprintln!("SKIPPED: only root installs packages into a root of their own");
    }
    let clean = check(&root);
    assert_eq!((ours(&clean), peer(&root)), (BTreeSet::new(), BTreeSet::new()));
    // Five programs, 400 files, two of configuration, for each package.
    assert_eq!((clean.coverage.vouched, clean.coverage.consistent), (0, 2 * 407));
    assert_eq!(clean.conclusion.verdict, Verdict::Inconclusive);
    assert!(clean.gaps.iter().any(|gap| gap.code == "manifest-untrusted" && gap.required));

    for name in ["tiny", "older"] {
        let bin = root.join("usr/bin");
        fs::write(bin.join(format!("{name}-changed")), "changed by somebody").unwrap();
        fs::remove_file(bin.join(format!("{name}-gone"))).unwrap();
        let mode = fs::Permissions::from_mode(0o4755);
        fs::set_permissions(bin.join(format!("{name}-setid")), mode).unwrap();
        std::os::unix::fs::chown(bin.join(format!("{name}-other")), Some(33), Some(33)).unwrap();
        fs::remove_file(bin.join(format!("{name}-turned"))).unwrap();
        symlink(format!("{name}-other"), bin.join(format!("{name}-turned"))).unwrap();
        fs::write(root.join(format!("etc/{name}.conf")), "other").unwrap();
        fs::write(root.join(format!("usr/share/{name}/with-a-long-name-so-that-a-row-is-long-399")), "x").unwrap();
    }
    let changed = check(&root);
    assert_eq!(ours(&changed), peer(&root));
    assert_eq!(ours(&changed).len(), 14, "{:?}", ours(&changed));
    let conf = changed.findings.iter().find(|finding| finding.path.as_ref().unwrap().escaped() == "/etc/tiny.conf");
    assert_eq!(conf.unwrap().severity, directive::record::Severity::Info);
    eprintln!("agreed with rpm --verify: {} differences", peer(&root).len());
}

/// The headers of all packages, as `rpmdb --exportdb` writes them: magic, two lengths, entries of sixteen bytes, and
/// content.
/// Source: rpm 4.18, `lib/header.c`, `headerWrite`.
fn headers(root: &Path) -> Vec<Vec<u8>> {
    let exported = of_rpm("rpmdb", "sqlite", root, &["--exportdb"]).stdout;
    let mut rest = exported.as_slice();
    let mut headers = Vec::new();
    while let Some(body) = rest.strip_prefix(b"\x8e\xad\xe8\x01\0\0\0\0") {
        let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
        let (header, next) = body.split_at(8 + 16 * number(0) + number(4));
        headers.push(header.to_vec());
        rest = next;
    }
    assert!(rest.is_empty());
    headers
}

/// Puts the same packages into a hash file of Berkeley DB, as rpm before 4.16 kept them.
fn to_berkeley(root: &Path, order: &str) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let number = |n: u32| hex(&if order == "4321" { n.to_be_bytes() } else { n.to_le_bytes() });
    let headers = headers(root);
    assert_eq!(headers.len(), 2);
    // Under zero stands the number that was given last.
    let mut text = format!("VERSION=3\nformat=bytevalue\ntype=hash\ndb_lorder={order}\nHEADER=END\n");
    text += &format!(" {}\n {}\n", number(0), number(2));
    for (n, header) in (1..).zip(&headers) {
        text += &format!(" {}\n {}\n", number(n), hex(header));
    }
    fs::write(root.join("dump"), text + "DATA=END\n").unwrap();
    let file = root.join("var/lib/rpm/Packages");
    let mut load = Command::new("db5.3_load");
    let loaded = load.arg("-f").arg(root.join("dump")).arg(&file).output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    fs::remove_file(root.join("dump")).unwrap();
    fs::remove_file(root.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
}

/// Whether a program of the peer is here; CI must have it.
fn has(program: &str) -> bool {
    let here =
        Command::new(program).arg("--version").output().is_ok() || Command::new(program).arg("-V").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "{program} is not installed, and CI must compare with it");
    if !here {
        eprintln!("SKIPPED: {program} is not installed");
    }
    here
}

/// Changes some files and compares with what rpm says of a database of that form.
fn agrees(root: &Path, form: &str) {
    assert_eq!((ours(&check(root)), peer_of(form, root)), (BTreeSet::new(), BTreeSet::new()));
    fs::write(root.join("usr/bin/older-changed"), "changed by somebody").unwrap();
    fs::write(root.join("usr/share/tiny/with-a-long-name-so-that-a-row-is-long-399"), "x").unwrap();
    fs::remove_file(root.join("usr/bin/tiny-gone")).unwrap();
    let changed = check(root);
    assert_eq!((ours(&changed), ours(&changed).len()), (peer_of(form, root), 3));
}

/// Puts the same packages into a file of ndb. Debian's rpm cannot write one, so that this follows its source: 4.18,
/// `lib/backend/ndb/rpmpkg.c`, `rpmpkgWriteBlob`.
fn to_ndb(root: &Path) {
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut file = [b"RpmP".as_slice(), &[0; 4], &word(9), &word(1), &word(3), &[0; 12]].concat();
    let (mut blobs, mut at) = (Vec::new(), 4096 / 16);
    for (n, header) in (1..).zip(headers(root)) {
        let length = word(header.len());
        let padding = (16 - (header.len() + 12) % 16) % 16;
        let blob = [b"BlbS".as_slice(), &word(n), &word(1), &length, &header, &vec![0; padding]].concat();
        let sum = blob
            .iter()
            .fold((1, 0), |(a, b), byte| ((a + u32::from(*byte)) % 65_521, (a + u32::from(*byte) + b) % 65_521));
        let blob = [blob, (sum.1 << 16 | sum.0).to_le_bytes().to_vec(), length.to_vec(), b"BlbE".to_vec()].concat();
        file.extend([b"Slot".as_slice(), &word(n), &word(at), &word(blob.len() / 16)].concat());
        at += blob.len() / 16;
        blobs.push(blob);
    }
    while file.len() < 4096 {
        file.extend([b"Slot".as_slice(), &[0; 12]].concat());
    }
    fs::write(root.join("var/lib/rpm/Packages.db"), [file, blobs.concat()].concat()).unwrap();
}

#[test]
fn a_database_in_the_form_of_suse_is_judged_as_the_same_packages_in_another_form_are() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = installed(dir.path()).filter(|_| rustix::process::getuid().is_root()) else { return };
    to_ndb(&root);
    let other = dir.path().join("rpmdb.sqlite");
    let hide = || fs::rename(root.join("var/lib/rpm/rpmdb.sqlite"), &other).unwrap();
    let show = || fs::rename(&other, root.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    hide();
    assert_eq!((ours(&check(&root)), check(&root).coverage.consistent), (BTreeSet::new(), 2 * 407));
    fs::write(root.join("usr/bin/older-changed"), "changed by somebody").unwrap();
    fs::remove_file(root.join("usr/bin/tiny-gone")).unwrap();
    let said = ours(&check(&root));
    show();
    assert_eq!((&said, said.len()), (&peer(&root), 2));
}

#[test]
fn a_database_in_the_form_of_red_hat_8_is_judged_as_rpm_judges_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = installed(dir.path()).filter(|_| rustix::process::getuid().is_root() && has("db5.3_load")) else {
        return;
    };
    to_berkeley(&root, "1234");
    agrees(&root, "bdb_ro");
}

#[test]
fn a_database_of_a_machine_with_the_other_order_of_bytes_is_read_too() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = installed(dir.path()).filter(|_| rustix::process::getuid().is_root() && has("db5.3_load")) else {
        return;
    };
    to_berkeley(&root, "4321");
    assert_eq!((ours(&check(&root)), check(&root).coverage.consistent), (BTreeSet::new(), 2 * 407));
}

/// A package that was built before.
fn given(dir: &Path, name: &str) -> Result<Manifest<check::Operator>, package::Error> {
    let file = fs::File::open(dir.join(format!("build/RPMS/noarch/{name}-1.0-1.noarch.rpm"))).unwrap();
    package::read(&format!("{name}.rpm"), Box::new(file), &Unwatched)
}

#[test]
fn packages_of_rpm_from_outside_vouch_where_the_database_on_the_instance_was_made_to_agree() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = installed(dir.path()) else { return };
    if !rustix::process::getuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI must run as root");
        return eprintln!("SKIPPED: only root installs packages into a root of their own");
    }
    // MD5 is all that the older one has.
    assert!(given(dir.path(), "older").unwrap_err().to_string().contains("do not vouch"));
    let tiny = given(dir.path(), "tiny").unwrap();
    let outcome = run(&root, std::slice::from_ref(&tiny), Baseline::None);
    assert_eq!((ours(&outcome), outcome.coverage.vouched), (BTreeSet::new(), 407));
    // The other package is named, and the verdict stays open.
    assert!(outcome.gaps.iter().any(|gap| gap.required && gap.why.contains("older 1.0-1")), "{:?}", outcome.gaps);
    assert_eq!(outcome.conclusion.verdict, Verdict::Inconclusive);

    assert!(rpm(&root, &["-e", "--noscripts", "older"]).status.success());
    let outcome = run(&root, std::slice::from_ref(&tiny), Baseline::None);
    assert_eq!(outcome.gaps.iter().filter(|gap| gap.required).count(), 0, "{:?}", outcome.gaps);
    assert_eq!(outcome.conclusion.verdict, Verdict::NoEvidenceFound);

    // A changed package of the same name takes the place of the true one, in the database too.
    fs::write(root.join("usr/bin/tiny-changed"), "changed by somebody").unwrap();
    fs::set_permissions(root.join("usr/bin/tiny-setid"), fs::Permissions::from_mode(0o4755)).unwrap();
    let spec = dir.path().join("tiny.spec");
    let text = fs::read_to_string(&spec)
        .unwrap()
        .replace("echo $n > %{buildroot}/usr/bin/", "echo x$n > %{buildroot}/usr/bin/");
    fs::write(&spec, text).unwrap();
    let top = format!("_topdir {}", dir.path().join("forged").display());
    let mut build = Command::new("rpmbuild");
    build.env("HOME", dir.path()).args(["--quiet", "--define", &top, "-bb"]).arg(&spec);
    assert!(build.output().unwrap().status.success());
    let forged = dir.path().join("forged/RPMS/noarch/tiny-1.0-1.noarch.rpm");
    let done = rpm(&root, &["-U", "--force", "--nodeps", "--noscripts", forged.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(peer(&root), BTreeSet::new());
    let outcome = run(&root, &[tiny], Baseline::None);
    let names = ["changed", "gone", "other", "same", "setid"];
    let expected = names.map(|name| format!("file-modified /usr/bin/tiny-{name}"));
    assert_eq!(ours(&outcome), BTreeSet::from(expected));
}

#[test]
fn a_database_of_rpm_that_is_damaged_is_a_gap_in_every_form() {
    let gap = |file: &str, content: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("var/lib/rpm")).unwrap();
        fs::write(dir.path().join("var/lib/rpm").join(file), content).unwrap();
        let outcome = check(dir.path());
        let mut gaps = outcome.gaps.iter().filter(|gap| gap.required && gap.path.is_some());
        gaps.next().map(|gap| format!("{} {}", gap.code, gap.why)).unwrap_or_default()
    };
    for (file, content, why) in [
        ("Packages", "berkeley and nothing else", "no hash file of Berkeley DB"),
        ("Packages.db", "RpmP", "no database of rpm's own form"),
        ("rpmdb.sqlite", "SQLite format 3\0 and nothing more", "no SQLite database"),
    ] {
        let said = gap(file, content);
        assert!(said.starts_with("manifest-damaged") && said.contains(why), "{said}");
    }
}

#[test]
fn the_package_decides_whether_a_backported_fix_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = installed(dir.path()) else { return };
    fs::write(root.join("etc/os-release"), "ID=\"rhel\"\nVERSION_ID=\"9\"\n").unwrap();
    // The pack names the package of either kind of distribution; this one has rpm.
    let witness = |fixed: &str| {
        let product = format!(
            "name = \"Tiny\"\nvendor = \"Example\"\n[[affected]]\nbefore = \"2.0\"\n[[backport]]\n\
             distribution = \"rhel\"\nrelease = \"9\"\nupstream = \"1.0\"\npackage = \"tiny\"\nscheme = \"rpm\"\n\
             fixed = \"{fixed}\"\n[[witness]]\nsource = \"dpkg\"\npackage = \"tiny\"\n[[witness]]\nsource = \"rpm\"\n\
             package = \"tiny\"\n"
        );
        let outcome = run_of(Some(&toml::from_str(&product).unwrap()), &root, &[], Baseline::None);
        assert!(outcome.gaps.iter().all(|gap| gap.code != "version-unread"), "{:?}", outcome.gaps);
        let [witness] = &outcome.witnesses[..] else { panic!("{:?}", outcome.witnesses) };
        assert_eq!((witness.value.as_str(), witness.source.as_str()), ("1.0-1", "package-database"));
        assert_eq!(witness.confidence, directive::record::Confidence::High);
        witness.status
    };
    assert_eq!(witness("1.0-1"), directive::record::Status::Fixed);
    assert_eq!(witness("1.0-1.el9_4.1"), directive::record::Status::Affected);
}
