//! `mitigate remove` as a responder meets it: a check finds malware, a person approves, it goes into quarantine and
//! comes back. The malware is a harmless marker that a rule of the test knows.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

const BAD: &str = "#!/bin/sh\n# inert exercise material of a test\n";
const GOOD: &str = "#!/bin/sh\n# as the vendor shipped it\n";

/// An instance in a folder that was checked into a case, and what the vendor shipped.
struct Checked {
    dir: tempfile::TempDir,
}

impl Checked {
    fn new() -> Self {
        let checked = Self { dir: tempfile::tempdir().unwrap() };
        checked.write("instance/home/bin/web", BAD);
        checked.write("instance/home/bin/other", "edited, and known to nobody\n");
        checked.write("instance/tmp/kit", BAD);
        checked.write("vendor/home/bin/web", GOOD);
        std::fs::set_permissions(checked.path("instance/home/bin/web"), Permissions::from_mode(0o4755)).unwrap();
        let script = "cp -r \"$1\" pack && (cd vendor && sha256sum home/bin/web) > shipped.sha256";
        checked.sh(script, &[arg(&root().join("packs/ed-21-03"))]);
        let rule = "rule marker { meta: severity = \"critical\" \
                    strings: $a = \"inert exercise material of a test\" condition: $a }";
        checked.write("pack/hunt/yara/test.yar", rule);
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        checked.write(
            "scope.toml",
            &format!(
                "organisation = \"Example Agency\"\n[[instance]]\nname = \"vpn1\"\naddress = \"{at}\"\nevidence = \
                 \"instance\"\n"
            ),
        );
        let output = run(&[
            "respond",
            "--pack",
            arg(&checked.path("pack")),
            "--scope",
            arg(&checked.path("scope.toml")),
            "--case",
            arg(&checked.path("case")),
            "--exercise",
            "2021-04-21T09:00[America/New_York]",
        ]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        checked
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    fn sh(&self, script: &str, words: &[&str]) -> String {
        let mut command = Command::new("sh");
        let output = command.args(["-c", script, "sh"]).args(words).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{script}: {}", stderr(&output));
        stdout(&output)
    }

    fn plan(&self, more: &[&str]) -> Output {
        let (instance, case, change) = (self.path("instance"), self.path("case"), self.path("change.toml"));
        let words = ["mitigate", "remove", "--instance", "vpn1", "--root", arg(&instance), "--case", arg(&case), "-o"];
        run(&[&words[..], &[arg(&change)], more].concat())
    }

    fn restored(&self, more: &[&str]) -> Output {
        let (manifest, vendor) = (self.path("shipped.sha256"), self.path("vendor"));
        self.plan(&[&["--manifest", arg(&manifest), "--restore", arg(&vendor)], more].concat())
    }

    fn on_change(&self, verb: &str, more: &[&str]) -> Output {
        let (scope, case, change) = (self.path("scope.toml"), self.path("case"), self.path("change.toml"));
        let mut words = vec!["mitigate", verb];
        if verb != "watch" {
            words.push(arg(&change));
        }
        words.extend(["--scope", arg(&scope), "--case", arg(&case)]);
        words.extend(more);
        run(&words)
    }

    fn apply(&self) -> Output {
        let digest = self.sh("sha256sum change.toml | cut -c1-64", &[]);
        self.on_change("apply", &["--by", "J. Doe", "--approve", digest.trim()])
    }
}

#[test]
fn known_malware_is_removed_the_vendors_file_restored_and_both_undone() {
    let checked = Checked::new();
    let planned = checked.restored(&[]);
    assert!(planned.status.success(), "{}", stderr(&planned));
    let said = stdout(&planned);
    assert!(said.contains("replace  ") && said.contains("remove  ") && said.contains("test.yar:marker"), "{said}");
    assert!(said.contains("runs with the rights of its owner (mode\n  4755)"), "{said}");
    // What is only unknown is not offered, and nothing was touched.
    assert!(!said.contains("home/bin/other"), "{said}");
    assert_eq!(checked.read("instance/tmp/kit").as_deref(), Some(BAD));
    let applied = checked.apply();
    assert!(applied.status.success(), "{}", stderr(&applied));
    assert!(stdout(&applied).contains("It holds: 2 of 2 files are gone, or are the vendor's."), "{}", stdout(&applied));
    assert_eq!(checked.read("instance/home/bin/web").as_deref(), Some(GOOD));
    assert_eq!(std::fs::metadata(checked.path("instance/home/bin/web")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(checked.read("instance/tmp/kit"), None);
    // In the case it is sealed, under a key that only its owner reads.
    assert_eq!(checked.sh("grep -rl 'inert exercise material of a test' case/evidence || true", &[]), "");
    assert_eq!(std::fs::metadata(checked.path("case/quarantine.key")).unwrap().mode() & 0o777, 0o600);
    assert!(checked.on_change("prove", &[]).status.success());
    // It comes back: that is found by name.
    checked.write("instance/tmp/kit", BAD);
    for verb in ["prove", "watch"] {
        let more: &[&str] = if verb == "watch" { &["--once", "--json"] } else { &["--json"] };
        let output = checked.on_change(verb, more);
        assert_eq!(output.status.code(), Some(1), "{verb}: {}", stderr(&output));
        let found = records(&output).into_iter().any(|record| match record.body {
            Body::Finding(finding) => finding.code == "malware-returned" && finding.why.contains("byte for byte"),
            _ => false,
        });
        assert!(found, "{verb}: {}", stdout(&output));
    }
    let undone = checked.on_change("undo", &["--by", "J. Doe"]);
    assert!(undone.status.success(), "{}", stderr(&undone));
    assert_eq!(checked.read("instance/home/bin/web").as_deref(), Some(BAD));
    assert_eq!(std::fs::metadata(checked.path("instance/home/bin/web")).unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(checked.read("instance/tmp/kit").as_deref(), Some(BAD));
    assert!(run(&["case", "--case", arg(&checked.path("case")), "verify"]).status.success());
}

#[test]
fn a_file_to_restore_that_is_one_byte_off_stops_the_plan_by_its_name() {
    let checked = Checked::new();
    checked.write("vendor/home/bin/web", &GOOD.replace("shipped", "Shipped"));
    let planned = checked.restored(&[]);
    assert_eq!(planned.status.code(), Some(2));
    let said = stderr(&planned);
    assert!(said.contains("nothing was planned: /home/bin/web in") && said.contains("the manifests list"), "{said}");
    assert!(!checked.path("change.toml").exists());
    assert_eq!(checked.read("instance/home/bin/web").as_deref(), Some(BAD));
}

#[test]
fn the_vendors_file_comes_from_a_package_with_the_mode_that_it_has_there() {
    let checked = Checked::new();
    checked.write(
        "deb/DEBIAN/control",
        "Package: web\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example>\nDescription: x\n",
    );
    checked.write("deb/home/bin/web", GOOD);
    checked.sh("chmod 711 deb/home/bin/web && dpkg-deb --root-owner-group -b deb web.deb >/dev/null", &[]);
    let package = checked.path("web.deb");
    let words = ["--file", "/home/bin/web", "--manifest", arg(&package), "--restore", arg(&package)];
    let planned = checked.plan(&words);
    assert!(planned.status.success(), "{}", stderr(&planned));
    assert!(stdout(&planned).contains("mode 711, owner 0:0"), "{}", stdout(&planned));
    let applied = checked.apply();
    assert!(applied.status.success(), "{}", stderr(&applied));
    assert_eq!(checked.read("instance/home/bin/web").as_deref(), Some(GOOD));
    assert_eq!(std::fs::metadata(checked.path("instance/home/bin/web")).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(checked.read("instance/tmp/kit").as_deref(), Some(BAD), "only what was named");
}

#[test]
fn a_file_that_nobody_knows_to_be_bad_is_removed_only_by_name_and_the_plan_says_so() {
    let checked = Checked::new();
    let planned = checked.plan(&["--file", "/home/bin/other"]);
    assert!(planned.status.success(), "{}", stderr(&planned));
    assert!(stdout(&planned).contains("NOBODY KNOWS IT"), "{}", stdout(&planned));
    // What was changed between check and plan is left out, and then nothing is left.
    checked.write("instance/tmp/kit", "something else\n");
    let planned = checked.plan(&["--file", "/tmp/kit"]);
    assert_eq!(planned.status.code(), Some(2));
    assert!(stderr(&planned).contains("not what the check saw"), "{}", stderr(&planned));
}
