//! Updates get onto a machine as they were verified, what they replace is kept, and the old ones come back.
//!
//! The machine is this one behind an overlay, with a real sshd, apt and dnf; nothing is written to the real disk. The
//! packages are a real one, rebuilt under new version numbers, in a repository that a real gpg signed. Needs root;
//! where something is missing the tests say so, under `CI` they fail.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use directive::record::{Body, Stage};

use super::*;

/// A machine to install on.
pub(super) struct Machine {
    dir: tempfile::TempDir,
    pub(super) port: u16,
    child: Child,
}

/// Everything in namespaces of its own: it ends with the shell, mounts included.
const UP: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/over"; mkdir "$1/over/u" "$1/over/w" "$1/over/m"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/over/u,workdir=$1/over/w" "$1/over/m"
cd "$1/over/m"; mount -t proc proc proc; mount --rbind /dev dev; mount -t tmpfs tmpfs run
mkdir -p run/sshd root/.ssh; chmod 700 root/.ssh; cp "$1/user.pub" root/.ssh/authorized_keys
cp "$1/host" etc/ssh/ours; chmod 600 etc/ssh/ours
exec chroot . /usr/sbin/sshd -D -f /dev/null -p "$2" -o ListenAddress=127.0.0.1 -o HostKey=/etc/ssh/ours \
    -o PidFile=none -o PermitRootLogin=yes -o StrictModes=no -o "Subsystem=$3"
"#;

impl Machine {
    pub(super) fn up() -> Option<Self> {
        Self::with("sftp internal-sftp")
    }

    /// Whose SSH server has this beside a shell.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(super) fn with(subsystem: &str) -> Option<Self> {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| stdout(&output).trim() == "0");
        let needed = ["unshare", "/usr/sbin/sshd", "apt-ftparchive", "gpg", "dnf", "rpmbuild", "minisign"];
        let has = |program: &&str| Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output();
        let missing = needed.iter().find(|program| !has(program).is_ok_and(|output| output.status.success()));
        let why = match missing {
            Some(program) => Some(format!("{program} is not installed")),
            None if !is_root => Some("an overlay needs root".to_owned()),
            None => None,
        };
        if let Some(why) = why {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        shell(
            dir.path(),
            &format!(
                "mkdir over; ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f user
                 echo \"[127.0.0.1]:{port} $(cut -d' ' -f1,2 host.pub)\" > known"
            ),
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", UP, "sh"]);
        let child = unshare.arg(dir.path()).arg(port.to_string()).arg(subsystem).stdin(Stdio::null()).spawn().unwrap();
        let machine = Self { dir, port, child };
        for _ in 0..3000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(machine);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the machine did not come up");
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a command says on the machine.
    #[track_caller]
    pub(super) fn says(&self, script: &str) -> String {
        let mut ssh = Command::new("ssh");
        ssh.args(["-p", &self.port.to_string(), "-o", "BatchMode=yes", "-i", arg(&self.path("user")), "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", self.path("known").display()));
        let output = ssh.args(["root@127.0.0.1", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", stderr(&output));
        stdout(&output)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With `unshare` everything in its namespaces ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn shell(dir: &Path, script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", stderr(&output));
    stdout(&output)
}

/// Two versions of a real package, as a signed repository has them, and one that fails when it is installed.
const REPOSITORY: &str = r#"
export GNUPGHOME="$PWD/gpg"; mkdir -m 700 gpg repository
gpg="gpg --batch --quiet --pinentry-mode loopback --passphrase ''"
eval "$gpg --quick-generate-key 'Vendor <psirt@example.com>' ed25519 sign never"
gpg --export > key.gpg; gpg --list-keys --with-colons | sed -n 's/^fpr:::::::::\([^:]*\):.*/\1/p' > print
for version in one two slow broken; do
    rm -rf root; mkdir -p root/DEBIAN
    dpkg-query -L minisign | while read -r file; do if [ -f "$file" ]; then install -D "$file" "root$file"; fi; done
    case $version in one) number=1 ;; two) number=2 ;; slow) number=3 ;; broken) number=4 ;; esac
    dpkg-query -s minisign | grep -v -e '^Status:' -e '^Conffiles:' |
        sed "s/^Version: .*/&+portcullis$number/" > root/DEBIAN/control
    mkdir -p root/usr/share/minisign; echo "$version" > root/usr/share/minisign/release
    if [ $version = slow ]; then
        # Long enough to be cut off in the middle.
        printf '#!/bin/sh\ntouch /var/tmp/began\nsleep 5\n' > root/DEBIAN/preinst; chmod 755 root/DEBIAN/preinst
    fi
    if [ $version = broken ]; then
        printf '#!/bin/sh\nexit 1\n' > root/DEBIAN/postinst; chmod 755 root/DEBIAN/postinst
    fi
    dpkg-deb --root-owner-group --build root repository/minisign_$version.deb > build.log
done
cd repository; apt-ftparchive packages . > Packages; xz -k Packages
name=APT::FTPArchive::Release
apt-ftparchive -o $name::Origin=Example -o $name::Codename=stable release . > ../Release
cd ..; eval "$gpg --output InRelease --clear-sign Release"; gpgconf --kill all
"#;

/// A case with one instance that was checked, a repository, and a machine.
struct Place {
    machine: Machine,
}

impl Place {
    fn new() -> Option<Self> {
        let place = Self { machine: Machine::up()? };
        shell(place.machine.dir.path(), REPOSITORY);
        fs::create_dir_all(place.path("evidence/home")).unwrap();
        fs::write(place.path("evidence/home/VERSION"), "old").unwrap();
        let scope = "organisation = \"Example Agency\"\nnetworks = [\"127.0.0.1/32\"]\nports = [1]\n\n[[instance]]\n\
                     name = \"vpn1\"\naddress = \"127.0.0.1:1\"\nevidence = \"evidence\"\n";
        fs::write(place.path("scope.toml"), scope).unwrap();
        place.respond();
        Some(place)
    }

    fn respond(&self) {
        let respond = ["respond", "-q", "--pack", "ed-21-03", "--exercise", "2021-05-04T12:00:00Z"];
        let (scope, case) = (self.path("scope.toml"), self.path("case"));
        let output = portcullis().args(respond).args(["--scope", arg(&scope), "--case", arg(&case)]).output().unwrap();
        assert!(output.status.code() != Some(2), "{}", stderr(&output));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.path(name)
    }

    fn deb(&self, version: &str) -> PathBuf {
        self.path(&format!("repository/minisign_{version}.deb"))
    }

    fn print(&self) -> String {
        fs::read_to_string(self.path("print")).unwrap().trim().to_owned()
    }

    /// `update verify` or `install`, with the repository's list and key.
    fn update(&self, rest: &[&str]) -> Output {
        let print = self.print();
        let (key, release, index) = (self.path("key.gpg"), self.path("InRelease"), self.path("repository/Packages.xz"));
        let pins = ["--key", arg(&key), "--fingerprint", &print, "--release", arg(&release), "--index", arg(&index)];
        portcullis().arg("update").args(rest).args(pins).output().unwrap()
    }

    fn plan(&self, files: &[&Path], more: &[&str]) -> Output {
        let (case, host) = (self.path("case"), format!("ssh://root@127.0.0.1:{}", self.machine.port));
        let change = self.path("change.toml");
        let mut words = vec!["install", "vpn1"];
        words.extend(files.iter().map(|path| arg(path)));
        words.extend(["--case", arg(&case), "--host", &host, "-o", arg(&change)]);
        words.extend(more);
        self.update(&words)
    }

    fn mitigate(&self, what: &str, more: &[&str]) -> Output {
        let paths = ["change.toml", "scope.toml", "case", "known", "user"].map(|name| self.path(name));
        let [change, scope, case, known, user] = paths.each_ref().map(|path| arg(path));
        let words = ["mitigate", what, change, "--scope", scope, "--case", case, "--by", "J. Doe"];
        let login = ["--known-hosts", known, "--identity", user];
        portcullis().args(words).args(login).args(more).output().unwrap()
    }

    /// Approves and applies.
    fn apply(&self) -> Output {
        let digest = shell(self.machine.dir.path(), "sha256sum change.toml | cut -c1-64");
        self.mitigate("apply", &["--approve", digest.trim()])
    }

    /// What is installed: the version's end, and the file that says which release it is.
    fn installed(&self) -> String {
        self.machine.says("dpkg-query -W -f '${Version} ' minisign | sed 's/.*[+]//'; cat /usr/share/minisign/release")
    }
}

#[test]
fn verified_packages_replace_the_old_ones_which_are_kept_and_come_back() {
    let Some(place) = Place::new() else { return };
    let (one, two) = (place.deb("one"), place.deb("two"));
    let verified = place.update(&["verify", arg(&one), arg(&two)]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
    assert!(stdout(&verified).contains("in the list of Example stable of "), "{}", stdout(&verified));
    let planned = place.plan(&[&one], &["--kind", "apt"]);
    assert_eq!(planned.status.code(), Some(0), "{}", stderr(&planned));
    assert!(stdout(&planned).contains("It CANNOT be undone by a program"), "{}", stdout(&planned));
    let applied = place.apply();
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    assert_eq!(place.installed(), "portcullis1 one\n");
    let before = place.machine.says("sha256sum /usr/bin/minisign /usr/share/minisign/release");

    let planned = place.plan(&[&two], &["--kind", "apt", "--back", arg(&one)]);
    assert_eq!(planned.status.code(), Some(0), "{}", stderr(&planned));
    let applied = place.apply();
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    assert!(stderr(&applied).contains("it proves nothing yet"), "{}", stderr(&applied));
    assert_eq!(place.installed(), "portcullis2 two\n");
    // What was replaced lies in the case, as it was.
    let case = place.path("case");
    let shown = run(&["case", "show", "--case", arg(&case), "--json"]);
    let kept = records(&shown).into_iter().rev().find_map(|record| match record.body {
        Body::Change(step) if step.what.starts_with("copy ") && step.stage == Stage::Ended => step.kept,
        _ => None,
    });
    let tar = shell(&case, &format!("find evidence -name '*{}*'", &kept.unwrap()[2..]));
    let old = shell(&case, &format!("tar -xOf '{}' usr/share/minisign/release", tar.trim()));
    assert_eq!(old, "one\n");

    let undone = place.mitigate("undo", &[]);
    assert_eq!(undone.status.code(), Some(0), "{}", stderr(&undone));
    assert_eq!(place.installed(), "portcullis1 one\n");
    assert_eq!(place.machine.says("sha256sum /usr/bin/minisign /usr/share/minisign/release"), before);
    assert_eq!(place.machine.says("ls /var/cache | grep -c portcullis-update-minisign_two || true"), "0\n");
    assert_eq!(run(&["case", "verify", "--case", arg(&case)]).status.code(), Some(0));
}

#[test]
fn an_installation_that_fails_half_way_ends_with_the_old_version() {
    let Some(place) = Place::new() else { return };
    let (one, broken) = (place.deb("one"), place.deb("broken"));
    assert_eq!(place.plan(&[&one], &["--kind", "apt"]).status.code(), Some(0));
    assert_eq!(place.apply().status.code(), Some(0));
    assert_eq!(place.plan(&[&broken], &["--kind", "apt", "--back", arg(&one)]).status.code(), Some(0));
    let failed = place.apply();
    assert_eq!(failed.status.code(), Some(2), "{}", stderr(&failed));
    assert_eq!(place.installed(), "portcullis1 one\n");
    assert_eq!(place.machine.says("dpkg --audit; ls -d /var/cache/portcullis* 2>/dev/null | wc -l"), "1\n");
}

#[test]
fn a_connection_that_is_lost_in_the_middle_of_an_installation_ends_with_the_old_version() {
    let Some(place) = Place::new() else { return };
    let (one, slow) = (place.deb("one"), place.deb("slow"));
    assert_eq!(place.plan(&[&one], &["--kind", "apt"]).status.code(), Some(0));
    assert_eq!(place.apply().status.code(), Some(0));
    assert_eq!(place.plan(&[&slow], &["--kind", "apt", "--back", arg(&one)]).status.code(), Some(0));
    let failed = std::thread::scope(|scope| {
        let applying = scope.spawn(|| place.apply());
        while place.machine.says("ls /var/tmp/began 2>/dev/null || true").is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        // The program that carries the connection, here and not there.
        let ours = format!("^ssh .*ssh://root@127.0.0.1:{} .*apt-get", place.machine.port);
        shell(place.machine.dir.path(), &format!("pkill -KILL -f '{ours}'"));
        applying.join().unwrap()
    });
    let said = stderr(&failed);
    assert_eq!(failed.status.code(), Some(2), "{said}");
    assert!(said.contains("no connection to ssh://root@127.0.0.1"), "{said}");
    assert_eq!(place.installed(), "portcullis1 one\n", "{said}");
    assert_eq!(place.machine.says("dpkg --audit; ls -d /var/cache/portcullis* 2>/dev/null | wc -l"), "1\n");
    let case = place.path("case");
    assert_eq!(run(&["case", "verify", "--case", arg(&case)]).status.code(), Some(0));
}

#[test]
fn a_package_one_byte_off_is_refused_before_anything_is_touched() {
    let Some(place) = Place::new() else { return };
    let one = place.deb("one");
    let mut bytes = fs::read(&one).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&one, bytes).unwrap();
    let refused = place.plan(&[&one], &["--kind", "apt"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("does not name this package"), "{}", stderr(&refused));
    assert!(!place.path("change.toml").exists());
    let verified = place.update(&["verify", arg(&one), "--json"]);
    assert_eq!(verified.status.code(), Some(1), "{}", stderr(&verified));
    assert!(matches!(&records(&verified)[0].body, Body::Package(package) if !package.verified));
    // A change that was approved, and whose package was swapped in the case behind its back.
    let two = place.deb("two");
    assert_eq!(place.plan(&[&two], &["--kind", "apt"]).status.code(), Some(0));
    let digest = shell(place.machine.dir.path(), "sha256sum repository/minisign_two.deb | cut -c1-64");
    let kept = shell(&place.path("case"), &format!("find evidence -name '*{}*'", &digest.trim()[2..]));
    let kept = place.path("case").join(kept.trim());
    shell(Path::new("/"), &format!("chmod u+w '{0}'; printf x >> '{0}'", kept.display()));
    let swapped = place.apply();
    assert_eq!(swapped.status.code(), Some(2));
    assert!(stderr(&swapped).contains("was changed"), "{}", stderr(&swapped));
    assert_eq!(place.machine.says("ls /var/cache | grep -c portcullis || true"), "0\n");
}

#[test]
fn nothing_is_installed_over_evidence_that_nobody_took() {
    let Some(place) = Place::new() else { return };
    fs::remove_dir_all(place.path("case")).unwrap();
    let scope = fs::read_to_string(place.path("scope.toml")).unwrap();
    fs::write(place.path("scope.toml"), scope.replace("evidence = \"evidence\"\n", "")).unwrap();
    place.respond();
    let one = place.deb("one");
    let refused = place.plan(&[&one], &["--kind", "apt"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = stderr(&refused);
    assert!(said.contains("evidence comes first, and it was never checked"), "{said}");
    let planned = place.plan(&[&one], &["--kind", "apt", "--unchecked", "the disk was imaged"]);
    assert_eq!(planned.status.code(), Some(0), "{}", stderr(&planned));
    assert!(stdout(&planned).contains("NO check was taken before: the disk was imaged"), "{}", stdout(&planned));
}

#[test]
fn rpm_packages_go_up_and_down_again() {
    let Some(place) = Place::new() else { return };
    shell(
        place.machine.dir.path(),
        "for n in 1 2; do
            sed \"s/NUMBER/$n/\" > $n.spec <<'END'
Name: gateway
Version: NUMBER.0
Release: 1
Summary: x
License: MIT
BuildArch: noarch
%description
x
%install
mkdir -p %{buildroot}/opt
echo NUMBER > %{buildroot}/opt/release
%files
/opt/release
END
            rpmbuild --quiet -bb --define \"_topdir $PWD/build\" $n.spec
         done
         export GNUPGHOME=$PWD/gpg
         for n in 1 2; do f=build/RPMS/noarch/gateway-$n.0-1.noarch.rpm
            gpg --batch --quiet --pinentry-mode loopback --passphrase '' --output $f.asc --detach-sign $f; done
         gpgconf --kill all",
    );
    let rpm = |n: u8| place.path(&format!("build/RPMS/noarch/gateway-{n}.0-1.noarch.rpm"));
    let (one, two) = (rpm(1), rpm(2));
    let named = ["--kind", "dnf", "--package", "gateway"];
    let planned = place.plan(&[&one], &named);
    assert_eq!(planned.status.code(), Some(0), "{}", stderr(&planned));
    let applied = place.apply();
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    assert_eq!(place.machine.says("rpm -q gateway; cat /opt/release"), "gateway-1.0-1.noarch\n1\n");
    let back = [&named[..], &["--back", arg(&one)]].concat();
    assert_eq!(place.plan(&[&two], &back).status.code(), Some(0));
    let applied = place.apply();
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    assert_eq!(place.machine.says("rpm -q gateway; cat /opt/release"), "gateway-2.0-1.noarch\n2\n");
    let undone = place.mitigate("undo", &[]);
    assert_eq!(undone.status.code(), Some(0), "{}", stderr(&undone));
    assert_eq!(place.machine.says("rpm -q gateway; cat /opt/release"), "gateway-1.0-1.noarch\n1\n");
}

#[test]
fn what_a_person_does_is_a_list_and_the_case_says_who_did_it() {
    let Some(place) = Place::new() else { return };
    let planned = place.plan(&[], &["--kind", "by-hand"]);
    assert_eq!(planned.status.code(), Some(0), "{}", stderr(&planned));
    assert!(stdout(&planned).contains("Seen by:"), "{}", stdout(&planned));
    let applied = place.apply();
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    let case = place.path("case");
    let shown = records(&run(&["case", "show", "--case", arg(&case), "--json"]));
    let done = shown.iter().filter(|record| match &record.body {
        Body::Change(step) => step.what.starts_with("by hand: ") && step.why == "by the word of J. Doe",
        _ => false,
    });
    assert_eq!(done.count(), 5);
}
