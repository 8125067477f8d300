//! Dnf: does an rpm package count by its own signature or by its repository's, and not by half of either?

use std::fs;

use update::dnf::{Repomd, signed};
use update::verify::{NotVerified, Subject, Trust};

use crate::key::{Key, run};
use crate::now;

/// A folder with one package, signed, and its repository.
struct Repository {
    dir: tempfile::TempDir,
    key: Key,
}

const FILE: &str = "gateway-1.0-2.noarch.rpm";

impl Repository {
    fn new() -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap(), key: Key::new() };
        let dir = repository.dir.path();
        let spec = "Name: gateway\nVersion: 1.0\nRelease: 2\nEpoch: 3\nSummary: x\nLicense: MIT\nBuildArch: noarch\n\
                    %description\nx\n%install\nmkdir -p %{buildroot}/opt\necho new > %{buildroot}/opt/program\n\
                    %files\n/opt/program\n";
        fs::write(dir.join("gateway.spec"), spec).unwrap();
        let top = format!("_topdir {}/build", dir.display());
        run(dir, &["rpmbuild", "-bb", "--define", &top, "gateway.spec"]);
        fs::copy(dir.join("build/RPMS/noarch").join(FILE), dir.join(FILE)).unwrap();
        repository
    }

    fn sign(&self) {
        let name = format!("_gpg_name {}", self.key.print());
        let home = format!("_gpg_path {}", self.key.home().display());
        let gpg = "__gpg /usr/bin/gpg";
        run(self.dir.path(), &["rpmsign", "--define", &name, "--define", &home, "--define", gpg, "--addsign", FILE]);
    }

    fn index(&self) {
        run(self.dir.path(), &["createrepo_c", "--quiet", "."]);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    fn primary(&self) -> Vec<u8> {
        let mut files = fs::read_dir(self.dir.path().join("repodata")).unwrap();
        let found = files.find(|file| file.as_ref().unwrap().path().to_string_lossy().contains("primary.xml"));
        fs::read(found.unwrap().unwrap().path()).unwrap()
    }

    fn signed(&self, bytes: &[u8]) -> Result<update::verify::Verified, NotVerified> {
        signed(&self.key.pinned(), Subject { file: FILE, bytes }, now())
    }
}

#[test]
fn a_package_that_its_vendor_signed_tells_its_name_and_whole_version() {
    let repository = Repository::new();
    let unsigned = repository.signed(&repository.read(FILE)).unwrap_err();
    assert!(unsigned.to_string().contains("its header is not signed"), "{unsigned}");
    repository.sign();
    let verified = repository.signed(&repository.read(FILE)).unwrap();
    let package = verified.package().unwrap();
    assert_eq!((package.name.as_str(), package.version.as_str()), ("gateway", "3:1.0-2"));
    assert!(matches!(verified.trust(), Trust::Signed { key, .. } if key == repository.key.print()));
}

#[test]
fn a_payload_a_header_or_a_key_that_was_changed_is_told() {
    let repository = Repository::new();
    repository.sign();
    let good = repository.read(FILE);
    let mut payload = good.clone();
    let last = payload.len() - 1;
    payload[last] ^= 1;
    let refused = repository.signed(&payload).unwrap_err();
    assert!(refused.to_string().contains("what is packed in it has the digest"), "{refused}");
    let longer = [good.clone(), b"more".to_vec()].concat();
    assert!(matches!(repository.signed(&longer), Err(NotVerified::Differs(_))));
    // The signed header begins behind the first one: its name is changed there.
    let at = good.windows(8).rposition(|window| window == b"gateway\0").unwrap();
    let mut header = good.clone();
    header[at] = b'G';
    let refused = repository.signed(&header).unwrap_err();
    assert!(matches!(refused, NotVerified::Refused(signer::Refused::Changed { .. })), "{refused}");
    let stranger = Key::new();
    let subject = Subject { file: FILE, bytes: &good };
    let refused = signed(&stranger.pinned(), subject, now()).unwrap_err();
    assert!(matches!(refused, NotVerified::Refused(signer::Refused::OtherKey { .. })), "{refused}");
}

#[test]
fn whatever_is_cut_off_or_claims_too_much_is_refused() {
    let repository = Repository::new();
    repository.sign();
    let good = repository.read(FILE);
    for end in (0..good.len()).step_by(37) {
        repository.signed(&good[..end]).unwrap_err();
    }
    for at in [96 + 8, 96 + 12] {
        let mut claims = good.clone();
        claims[at..at + 4].copy_from_slice(&[0xff; 4]);
        repository.signed(&claims).unwrap_err();
    }
}

#[test]
fn a_package_of_a_signed_repository_counts_by_its_entry() {
    let repository = Repository::new();
    repository.index();
    let (list, package) = (repository.read("repodata/repomd.xml"), repository.read(FILE));
    let signature = repository.key.detached(&list);
    let keys = repository.key.pinned();
    let repomd = Repomd::detached(&keys, &list, &signature, now()).unwrap();
    let subject = Subject { file: FILE, bytes: &package };
    let verified = repomd.package(&repository.primary(), subject).unwrap();
    assert_eq!(verified.package().unwrap().version, "3:1.0-2");
    let mut other = package.clone();
    other[200] ^= 1;
    let refused = repomd.package(&repository.primary(), Subject { bytes: &other, ..subject }).unwrap_err();
    assert!(matches!(refused, NotVerified::NotListed { .. }), "{refused}");
    let forged = String::from_utf8(list.clone()).unwrap().replacen("primary", "primarz", 1);
    assert!(Repomd::detached(&keys, forged.as_bytes(), &signature, now()).is_err());
    let refused = repomd.package(b"<metadata/>", subject).unwrap_err();
    assert!(matches!(refused, NotVerified::OtherIndex { .. }), "{refused}");
}

#[test]
fn a_list_that_nests_without_end_or_brings_entities_is_refused() {
    let key = Key::new();
    let deep = "<a>".repeat(100_000);
    let entities = "<!DOCTYPE x [<!ENTITY a \"b\">]><repomd><data type=\"primary\"/></repomd>".to_owned();
    let cut = "<repomd><data type=\"primary\">".to_owned();
    for (text, why) in [(deep, "too deep"), (entities, "a type of its own"), (cut, "ends in the middle")] {
        let signature = key.detached(text.as_bytes());
        let refused = Repomd::detached(&key.pinned(), text.as_bytes(), &signature, now()).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
}
