//! Apt: does a package count as the signed repository lists it, and is each attack on the chain told by name?

use std::fs;
use std::path::Path;
use std::process::Command;

use update::apt::Release;
use update::verify::{NotVerified, Subject, Trust};

use crate::key::{Key, run};
use crate::now;

/// A repository with two versions of one package.
struct Repository {
    dir: tempfile::TempDir,
    key: Key,
}

impl Repository {
    fn new(more: &str) -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap(), key: Key::new() };
        let dir = repository.dir.path();
        for version in ["1.0-1", "1.0-2"] {
            let root = dir.join("root");
            fs::create_dir_all(root.join("DEBIAN")).unwrap();
            fs::write(root.join("program"), version).unwrap();
            let control = format!(
                "Package: gateway\nVersion: {version}\nArchitecture: all\nMaintainer: V <v@e.org>\nDescription: x\n"
            );
            fs::write(root.join("DEBIAN/control"), control).unwrap();
            run(dir, &["dpkg-deb", "--build", "root", &format!("gateway_{version}_all.deb")]);
        }
        repository.index(more);
        repository
    }

    /// Writes the indexes and the list anew, and signs the list.
    fn index(&self, more: &str) {
        let dir = self.dir.path();
        fs::write(dir.join("Packages"), run(dir, &["apt-ftparchive", "packages", "."])).unwrap();
        run(
            dir,
            &["sh", "-c", "rm -f Packages.* Release InRelease; xz -k Packages; gzip -k Packages; zstd -q -k Packages"],
        );
        let options = ["Origin=Example", "Codename=stable"].map(|one| format!("APT::FTPArchive::Release::{one}"));
        let release = run(dir, &["apt-ftparchive", "-o", &options[0], "-o", &options[1], "release", "."]);
        fs::write(dir.join("Release"), [more.as_bytes(), &release].concat()).unwrap();
        fs::write(dir.join("InRelease"), self.key.clear(&self.read("Release"))).unwrap();
        fs::write(dir.join("Release.gpg"), self.key.detached(&self.read("Release"))).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    fn release(&self) -> Result<Release, NotVerified> {
        Release::clear(&self.key.pinned(), &self.read("InRelease"), now())
    }

    /// Whether apt itself, with this key alone, takes the repository and the package.
    fn peer(&self, version: &str) -> bool {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name).display().to_string();
        for dir in ["lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "out"] {
            fs::create_dir_all(home.path().join(dir)).unwrap();
        }
        fs::write(path("status"), "").unwrap();
        fs::write(path("key.gpg"), self.key.gpg(&["--export"])).unwrap();
        let here = self.dir.path().display();
        fs::write(path("sources"), format!("deb [signed-by={}] file:{here} ./\n", path("key.gpg"))).unwrap();
        let apt = |arguments: &[&str]| {
            let mut apt = Command::new("apt-get");
            for (name, value) in [
                ("Dir::State::lists", path("lists")),
                ("Dir::State::status", path("status")),
                ("Dir::Cache", path("cache")),
                ("Dir::Etc", path("etc")),
                ("Dir::Etc::sourcelist", path("sources")),
                ("Dir::Etc::sourceparts", "-".to_owned()),
                ("Dir::Etc::trustedparts", "-".to_owned()),
                ("APT::Sandbox::User", "root".to_owned()),
            ] {
                apt.arg("-o").arg(format!("{name}={value}"));
            }
            let done = apt.args(arguments).current_dir(home.path().join("out")).output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            done.status.success() && !said.contains("E:") && !said.contains("W: GPG error")
        };
        apt(&["update", "--error-on=any"]) && apt(&["download", &format!("gateway={version}")])
    }
}

fn package(file: &'static str, bytes: &'static [u8]) -> Subject<'static> {
    Subject { file, bytes }
}

fn leak(bytes: Vec<u8>) -> &'static [u8] {
    Box::leak(bytes.into_boxed_slice())
}

#[test]
fn a_package_counts_as_the_signed_list_names_it_however_the_index_is_packed() {
    let repository = Repository::new("");
    let deb = leak(repository.read("gateway_1.0-2_all.deb"));
    let subject = package("gateway_1.0-2_all.deb", deb);
    let release = repository.release().unwrap();
    for index in ["Packages", "Packages.xz", "Packages.gz", "Packages.zst"] {
        let bytes = repository.read(index);
        let verified = release.index(&bytes).unwrap().package(subject).unwrap();
        let package = verified.package().unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("gateway", "1.0-2"), "{index}");
        let Trust::Listed { key, list, .. } = verified.trust() else { panic!("{verified:?}") };
        assert_eq!(key, repository.key.print());
        assert!(list.starts_with("Example stable of "), "{list}");
    }
    let (release, signature) = (repository.read("Release"), repository.read("Release.gpg"));
    let detached = Release::detached(&repository.key.pinned(), &release, &signature, now()).unwrap();
    assert!(detached.index(&repository.read("Packages")).unwrap().package(subject).is_ok());
    assert!(repository.peer("1.0-2"));
}

#[test]
fn a_package_one_byte_off_is_in_no_list() {
    let repository = Repository::new("");
    let mut deb = repository.read("gateway_1.0-2_all.deb");
    let middle = deb.len() / 2;
    deb[middle] ^= 1;
    fs::write(repository.dir.path().join("gateway_1.0-2_all.deb"), &deb).unwrap();
    let (release, index) = (repository.release().unwrap(), repository.read("Packages"));
    let refused = release.index(&index).unwrap().package(package("x.deb", leak(deb))).unwrap_err();
    assert!(matches!(refused, NotVerified::NotListed { .. }), "{refused}");
    assert!(!repository.peer("1.0-2"));
}

#[test]
fn an_index_that_was_changed_added_to_or_is_of_yesterday_is_not_the_one_of_the_list() {
    let repository = Repository::new("");
    let yesterday = repository.read("Packages");
    fs::remove_file(repository.dir.path().join("gateway_1.0-1_all.deb")).unwrap();
    repository.index("");
    let release = repository.release().unwrap();
    let added = [repository.read("Packages"), b"\nPackage: evil\nSHA256: 00\n".to_vec()].concat();
    for index in [yesterday, added, Vec::new(), b"\x1f\x8b".to_vec()] {
        release.index(&index).unwrap_err();
    }
    assert!(release.index(&repository.read("Packages.xz")).is_ok());
    fs::write(repository.dir.path().join("Packages"), "Package: evil\n").unwrap();
    fs::write(repository.dir.path().join("Packages.xz"), "x").unwrap();
    fs::write(repository.dir.path().join("Packages.gz"), "x").unwrap();
    fs::write(repository.dir.path().join("Packages.zst"), "x").unwrap();
    assert!(!repository.peer("1.0-2"));
}

#[test]
fn a_list_of_another_key_or_past_its_end_is_no_list() {
    let repository = Repository::new("");
    let stranger = Key::new();
    let forged = stranger.clear(&repository.read("Release"));
    let refused = Release::clear(&repository.key.pinned(), &forged, now()).unwrap_err();
    assert!(matches!(refused, NotVerified::Refused(signer::Refused::OtherKey { .. })), "{refused}");
    let frozen = Repository::new("Valid-Until: Thu, 01 Jan 2026 00:00:00 UTC\n");
    let refused = frozen.release().unwrap_err();
    assert!(matches!(refused, NotVerified::Expired { .. }), "{refused}");
    let fresh = Repository::new("Valid-Until: Fri, 01 Jan 2100 00:00:00 UTC\n");
    assert!(fresh.release().is_ok());
    assert!(fresh.peer("1.0-2"));
}

#[test]
fn a_list_without_strong_digests_and_a_packed_bomb_are_refused() {
    let repository = Repository::new("");
    let weak: Vec<u8> = String::from_utf8(repository.read("Release")).unwrap().replace("SHA256:", "MD5Sum:").into();
    let refused = Release::clear(&repository.key.pinned(), &repository.key.clear(&weak), now()).unwrap_err();
    assert!(refused.to_string().contains("it lists no SHA-256"), "{refused}");
    let bomb = run(Path::new("/"), &["sh", "-c", "head -c 600M /dev/zero | gzip -1"]);
    let refused = repository.release().unwrap().index(&bomb).unwrap_err();
    assert!(refused.to_string().contains("more than 512 MiB"), "{refused}");
}
