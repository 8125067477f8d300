//! `mitigate` as an operator meets it: plan, approve, apply, prove, watch and undo, with a case and real proxies.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use directive::mitigation::Stage;
use directive::record::{Body, Proof};

use super::*;

/// An nginx with the product behind it, both in one process, and everything else that a response needs.
struct Site {
    dir: tempfile::TempDir,
    at: SocketAddr,
}

impl Site {
    fn start() -> Option<Self> {
        if !is_there("nginx") {
            return None;
        }
        let site = Self { dir: tempfile::tempdir().unwrap(), at: free() };
        let (dir, at, behind) = (site.dir.path().display(), site.at, free());
        let conf = format!(
            "worker_processes 1;\npid {dir}/nginx.pid;\nerror_log {dir}/error.log;\nevents {{ }}\nhttp {{\n    \
             access_log off;\n    client_body_temp_path {dir}/b;\n    proxy_temp_path {dir}/p;\n    \
             fastcgi_temp_path {dir}/f;\n    uwsgi_temp_path {dir}/u;\n    scgi_temp_path {dir}/s;\n    \
             server {{\n        listen {at};\n        location / {{ proxy_pass http://{behind}; }}\n    }}\n    \
             server {{\n        listen {behind};\n        return 200 page;\n    }}\n}}\n"
        );
        std::fs::create_dir(site.path("etc")).unwrap();
        std::fs::write(site.path("etc/nginx.conf"), conf).unwrap();
        let scope = format!(
            "organisation = \"Example Agency\"\nrate = 5000\n[[instance]]\nname = \"vpn1\"\naddress = \"{at}\"\n"
        );
        std::fs::write(site.path("scope.toml"), scope).unwrap();
        assert!(run(&["case", "--case", arg(&site.path("case")), "init"]).status.success());
        assert!(Command::new("nginx").args(["-c", arg(&site.path("etc/nginx.conf"))]).status().unwrap().success());
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(at).is_err() || !site.path("nginx.pid").exists() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plan(&self, more: &[&str]) -> Output {
        let (scope, config, change) = (self.path("scope.toml"), self.path("etc/nginx.conf"), self.path("change.toml"));
        let mut words = vec!["mitigate", "plan", "--pack", "ed-21-03", "--kind", "nginx", "--instance", "vpn1"];
        words.extend(["--scope", arg(&scope), "--config", arg(&config), "-o", arg(&change), "--drain", "1"]);
        words.extend(more);
        run(&words)
    }

    /// A command on the change, with the case.
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

    fn digest(&self) -> String {
        let output = Command::new("sha256sum").arg(self.path("change.toml")).output().unwrap();
        stdout(&output).split(' ').next().unwrap().to_owned()
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(self.path("etc")).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
    }

    fn stages(&self) -> Vec<Stage> {
        let output = run(&["case", "--case", arg(&self.path("case")), "show", "--type", "change"]);
        let records =
            stdout(&output).lines().map(|line| serde_json::from_str::<Record>(line).unwrap()).collect::<Vec<_>>();
        let steps = records.into_iter().filter_map(|record| match record.body {
            Body::Change(step) => Some(step.stage),
            _ => None,
        });
        steps.filter(|stage| !matches!(stage, Stage::Begins | Stage::Ended)).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.path("nginx.pid")) {
            let _ = Command::new("kill").args(["-TERM", pid.trim()]).status();
        }
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Whether a program is installed; under `CI` it must be.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output().unwrap().status.success();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

fn proof(output: &Output) -> Proof {
    let mut proofs = records(output).into_iter().filter_map(|record| match record.body {
        Body::Proof(proof) => Some(proof),
        _ => None,
    });
    proofs.next_back().unwrap_or_else(|| panic!("{}", stderr(output)))
}

#[test]
fn an_operator_plans_approves_applies_proves_and_takes_back_a_workaround() {
    let Some(site) = Site::start() else { return };
    let before = site.files();
    let planned = site.plan(&["--case", arg(&site.path("case"))]);
    assert!(planned.status.success(), "{}", stderr(&planned));
    assert!(stdout(&planned).contains("refused  /dana/fb/smb  (Windows File Share Browser)"), "{}", stdout(&planned));
    assert!(stderr(&planned).contains("Nothing was touched."), "{}", stderr(&planned));
    assert_eq!(site.files(), before);
    let digest = site.digest();
    assert!(stdout(&planned).contains(&digest));
    // Neither a digest of something else nor the change with one more byte is approved.
    let other = site.on_change("apply", &["--by", "J. Doe", "--approve", &"0".repeat(64)]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("nothing was touched: the change is not approved"), "{}", stderr(&other));
    assert_eq!(site.files(), before);
    let applied = site.on_change("apply", &["--by", "J. Doe", "--approve", &digest[..12], "--json"]);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    assert!(proof(&applied).holds);
    let again = site.on_change("apply", &["--by", "J. Doe", "--approve", &digest]);
    assert!(stderr(&again).contains("the change is applied already"), "{}", stderr(&again));
    let proved = site.on_change("prove", &[]);
    assert_eq!(proved.status.code(), Some(0), "{}", stderr(&proved));
    assert!(stdout(&proved).starts_with("It holds: "), "{}", stdout(&proved));
    let undone = site.on_change("undo", &["--by", "J. Doe"]);
    assert_eq!(undone.status.code(), Some(0), "{}", stderr(&undone));
    assert_eq!(site.files(), before);
    assert_eq!(site.stages(), [Stage::Planned, Stage::Approved, Stage::Applied, Stage::Undone]);
    assert!(run(&["case", "--case", arg(&site.path("case")), "verify"]).status.success());
    let open = site.on_change("prove", &["--json"]);
    assert_eq!(open.status.code(), Some(1), "{}", stderr(&open));
    assert!(proof(&open).leaks.iter().any(|leak| leak.contains("(repeated slash)")), "{:?}", proof(&open).leaks);
    let codes = records(&open).into_iter().filter_map(|record| match record.body {
        Body::Finding(finding) => Some(finding.code),
        _ => None,
    });
    assert_eq!(codes.collect::<Vec<_>>(), ["workaround-bypassed"]);
}

#[test]
fn a_watch_notices_a_push_that_voids_the_workaround() {
    let Some(site) = Site::start() else { return };
    let pushed = std::fs::read(site.path("etc/nginx.conf")).unwrap();
    assert!(site.plan(&[]).status.success());
    let digest = site.digest();
    let applied = site.on_change("apply", &["--by", "J. Doe", "--approve", &digest]);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    let quiet = site.on_change("watch", &["--once"]);
    assert_eq!((quiet.status.code(), stdout(&quiet)), (Some(0), String::new()), "{}", stderr(&quiet));
    std::fs::write(site.path("etc/nginx.conf"), pushed).unwrap();
    let pid = std::fs::read_to_string(site.path("nginx.pid")).unwrap();
    assert!(Command::new("kill").args(["-HUP", pid.trim()]).status().unwrap().success());
    let until = Instant::now() + Duration::from_secs(20);
    while !stdout(&site.on_change("prove", &[])).starts_with("IT DOES NOT HOLD") {
        assert!(Instant::now() < until);
    }
    let noticed = site.on_change("watch", &["--once", "--json"]);
    assert_eq!(noticed.status.code(), Some(1), "{}", stderr(&noticed));
    let codes = records(&noticed).into_iter().filter_map(|record| match record.body {
        Body::Finding(finding) => Some(finding.code),
        _ => None,
    });
    assert_eq!(codes.collect::<Vec<_>>(), ["workaround-overwritten", "workaround-bypassed"]);
    assert!(!proof(&noticed).holds);
}

#[test]
fn a_watch_that_goes_on_proves_again_when_the_proxy_was_reloaded() {
    let Some(site) = Site::start() else { return };
    assert!(site.plan(&[]).status.success());
    let digest = site.digest();
    let applied = site.on_change("apply", &["--by", "J. Doe", "--approve", &digest]);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    let proofs = || {
        let output = run(&["case", "--case", arg(&site.path("case")), "show", "--type", "proof"]);
        stdout(&output).lines().count()
    };
    assert_eq!(proofs(), 1);
    let (scope, case) = (site.path("scope.toml"), site.path("case"));
    let words = ["mitigate", "watch", "--pause", "1", "--scope", arg(&scope), "--case", arg(&case)];
    let mut watch = portcullis().args(words).stdout(std::process::Stdio::null()).spawn().unwrap();
    let pid = std::fs::read_to_string(site.path("nginx.pid")).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    // The first look only learns which processes serve.
    while proofs() < 2 {
        assert!(Instant::now() < until, "nothing was proved after a reload");
        assert!(Command::new("kill").args(["-HUP", pid.trim()]).status().unwrap().success());
        std::thread::sleep(Duration::from_secs(2));
    }
    assert!(Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap().success());
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn what_must_not_be_done_is_refused_before_anything_is_touched() {
    let Some(site) = Site::start() else { return };
    let before = site.files();
    let says = |more: &[&str], expected: &str| {
        let output = site.plan(more);
        assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!site.path("change.toml").exists());
    };
    says(&["--at", "192.0.2.1:443"], "192.0.2.1:443 is outside the declared scope");
    says(&["--workaround", "none"], "the pack has no workaround \"none\"");
    says(&["--works", "sh -c 'x"], "quotes come in pairs");
    says(&["--host", "ssh://-oProxyCommand=x"], "the target cannot be reached");
    let vendor = |version: &'static str| {
        let (scope, file) = (site.path("scope.toml"), site.path("Workaround-2104.xml"));
        std::fs::write(&file, "<configuration/>").unwrap();
        let mut words = vec!["mitigate", "plan", "--pack", "ed-21-03", "--kind", "vendor-file", "--instance", "vpn1"];
        let change = site.path("vendor.toml");
        words.extend(["--scope", arg(&scope), "--file", arg(&file), "-o", arg(&change)]);
        if !version.is_empty() {
            words.extend(["--version", version]);
        }
        let output = run(&words);
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    assert!(vendor("9.1R1").1.contains("9.1R1 lies in 9.1R1 to 9.1R2: the vendor's file is not usable there"));
    assert!(vendor("").1.contains("nobody knows the version of vpn1, and it decides"));
    let (code, said) = vendor("9.1R10");
    assert!(code == Some(0) && said.contains("Maintenance > Import/Export > Import XML"), "{said}");
    assert_eq!(site.files(), before);
}

#[test]
fn rules_for_other_engines_are_written_and_said_to_prove_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (scope, file) = (dir.path().join("scope.toml"), dir.path().join("rules"));
    std::fs::write(&scope, "organisation = \"Example Agency\"\n").unwrap();
    for (kind, begins) in [("modsecurity", "SecRule "), ("suricata", "drop http ")] {
        let words = ["mitigate", "plan", "--pack", "ed-21-03", "--kind", kind, "--instance", "vpn1"];
        let output = run(&[&words[..], &["--scope", arg(&scope), "-o", arg(&file)]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("nothing is proved by that"));
        assert!(std::fs::read_to_string(&file).unwrap().lines().filter(|line| line.starts_with(begins)).count() >= 10);
    }
}

/// Several proxies before one product, each an nginx of its own.
struct Sites {
    dir: tempfile::TempDir,
    at: Vec<SocketAddr>,
}

impl Sites {
    fn start(count: usize) -> Option<Self> {
        if !is_there("nginx") {
            return None;
        }
        let sites = Self { dir: tempfile::tempdir().unwrap(), at: (0..count).map(|_| free()).collect() };
        let (mut hosts, mut scope) =
            (String::from("# the fronts\n\n"), "organisation = \"Agency\"\nrate = 5000\n".to_owned());
        for (n, at) in sites.at.iter().enumerate() {
            let (dir, behind) = (sites.path(&format!("{n}")), free());
            std::fs::create_dir_all(dir.join("etc")).unwrap();
            let root = dir.display();
            let conf = format!(
                "worker_processes 1;\npid {root}/pid;\nerror_log {root}/error.log;\nevents {{ }}\nhttp {{\n access_log \
                 off;\n client_body_temp_path {root}/b;\n proxy_temp_path {root}/p;\n fastcgi_temp_path {root}/f;\n \
                 uwsgi_temp_path {root}/u;\n scgi_temp_path {root}/s;\n server {{\n listen {at};\n location / {{ \
                 proxy_pass http://{behind}; }}\n }}\n server {{\n listen {behind};\n return 200 page;\n }}\n}}\n"
            );
            std::fs::write(dir.join("etc/nginx.conf"), conf).unwrap();
            assert!(Command::new("nginx").args(["-c", arg(&dir.join("etc/nginx.conf"))]).status().unwrap().success());
            hosts += &format!("local at={at} config={root}/etc/nginx.conf pid-file={root}/pid # front {n}\n");
            scope += &format!("[[instance]]\nname = \"vpn{n}\"\naddress = \"{at}\"\n");
        }
        std::fs::write(sites.path("hosts"), hosts).unwrap();
        std::fs::write(sites.path("scope.toml"), scope).unwrap();
        assert!(run(&["case", "--case", arg(&sites.path("case")), "init"]).status.success());
        let until = Instant::now() + Duration::from_secs(20);
        while !(0..count).all(|n| TcpStream::connect(sites.at[n]).is_ok() && sites.path(&format!("{n}/pid")).exists()) {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(sites)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plan(&self) -> Output {
        let (hosts, scope, case, changes) =
            (self.path("hosts"), self.path("scope.toml"), self.path("case"), self.path("changes"));
        let words = ["mitigate", "plan", "--pack", "ed-21-03", "--kind", "nginx", "--instance", "vpn0", "--drain", "1"];
        let more = ["--hosts", arg(&hosts), "--scope", arg(&scope), "--case", arg(&case), "-o", arg(&changes)];
        run(&[&words[..], &more].concat())
    }

    fn on_all(&self, verb: &str, more: &[&str]) -> Output {
        let (scope, case, changes) = (self.path("scope.toml"), self.path("case"), self.path("changes"));
        let words = ["mitigate", verb, arg(&changes), "--scope", arg(&scope), "--case", arg(&case)];
        run(&[&words[..], more].concat())
    }

    /// The digest of the list, as `sha256sum` says it, which also finds every change as it is listed.
    fn digest(&self) -> String {
        let script = "cd \"$1\" && sha256sum --quiet -c changes.sha256 && sha256sum changes.sha256";
        let output = Command::new("sh").args(["-c", script, "sh", arg(&self.path("changes"))]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).split(' ').next().unwrap().to_owned()
    }

    fn conf(&self, n: usize) -> String {
        std::fs::read_to_string(self.path(&format!("{n}/etc/nginx.conf"))).unwrap()
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        for n in 0..self.at.len() {
            if let Ok(pid) = std::fs::read_to_string(self.path(&format!("{n}/pid"))) {
                let _ = Command::new("kill").args(["-TERM", pid.trim()]).status();
            }
        }
    }
}

#[test]
fn five_proxies_are_approved_once_and_one_that_fails_stops_no_other() {
    let Some(sites) = Sites::start(5) else { return };
    let before: Vec<String> = (0..5).map(|n| sites.conf(n)).collect();
    let planned = sites.plan();
    assert!(planned.status.success(), "{}", stderr(&planned));
    assert!(stdout(&planned).contains("005-local  2 files"), "{}", stdout(&planned));
    let digest = sites.digest();
    let other = sites.on_all("apply", &["--by", "J. Doe", "--approve", &"0".repeat(64)]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("nothing was touched: the list has the digest"), "{}", stderr(&other));
    // One was edited since the plan, and of one the last file cannot be written.
    let edited = sites.conf(1) + "# edited since\n";
    std::fs::write(sites.path("1/etc/nginx.conf"), &edited).unwrap();
    let guarded = sites.path("3/etc/nginx.conf");
    let attribute = |how: &str| assert!(Command::new("chattr").arg(how).arg(&guarded).status().unwrap().success());
    attribute("+i");
    let applied = sites.on_all("apply", &["--by", "J. Doe", "--approve", &digest, "--at-once", "3"]);
    attribute("-i");
    let said = stdout(&applied);
    assert_eq!(applied.status.code(), Some(2), "{said}{}", stderr(&applied));
    assert!(said.ends_with("Of 5: holds 3, left 1, undone 1.\n"), "{said}");
    assert!(said.lines().all(|line| line.len() <= 80 || !line.contains(' ')), "{said}");
    assert!(said.contains("is not as it was when the change was"), "{said}");
    assert_eq!(sites.conf(1), edited);
    assert_eq!(sites.conf(3), before[3]);
    assert_ne!(sites.conf(0), before[0]);
    // All five were approved together, and the case knows which, also of the one that was never touched.
    let shown = records(&run(&["case", "show", "--json", "--case", arg(&sites.path("case"))]));
    let listed = shown.iter().filter(|record| match &record.body {
        Body::Change(step) => step.stage == Stage::Approved && step.list.as_ref() == Some(&digest),
        _ => false,
    });
    assert_eq!(listed.count(), 5);
    // What failed is asked too: two of five do not hold.
    let proved = sites.on_all("prove", &[]);
    assert_eq!(proved.status.code(), Some(1), "{}", stdout(&proved));
    assert!(stdout(&proved).ends_with("Of 5: holds 3, DOES NOT HOLD 2.\n"), "{}", stdout(&proved));
    let undone = sites.on_all("undo", &["--by", "J. Doe"]);
    assert!(undone.status.success(), "{}", stdout(&undone));
    assert!(stdout(&undone).ends_with("Of 5: undone 3, left 2.\n"), "{}", stdout(&undone));
    for n in [0, 2, 3, 4] {
        assert_eq!(sites.conf(n), before[n]);
    }
    assert!(run(&["case", "--case", arg(&sites.path("case")), "verify"]).status.success());
}

#[test]
fn of_several_proxies_one_that_cannot_be_looked_at_stops_no_watch() {
    let Some(sites) = Sites::start(3) else { return };
    let pushed = sites.conf(2);
    assert!(sites.plan().status.success());
    let applied = sites.on_all("apply", &["--by", "J. Doe", "--approve", &sites.digest()]);
    assert_eq!(applied.status.code(), Some(0), "{}{}", stdout(&applied), stderr(&applied));
    let (scope, case) = (sites.path("scope.toml"), sites.path("case"));
    let watch = |more: &[&str]| {
        let words = ["mitigate", "watch", "--scope", arg(&scope), "--case", arg(&case)];
        run(&[&words[..], more].concat())
    };
    let quiet = watch(&["--once"]);
    assert_eq!((quiet.status.code(), stdout(&quiet)), (Some(0), String::new()), "{}", stderr(&quiet));
    // Of the second the configuration cannot be read, and somebody pushes one to the third.
    let conf = sites.path("1/etc/nginx.conf");
    std::fs::rename(&conf, sites.path("1/etc/kept")).unwrap();
    std::fs::create_dir(&conf).unwrap();
    std::fs::write(sites.path("2/etc/nginx.conf"), pushed).unwrap();
    let noticed = watch(&["--once", "--json"]);
    assert_ne!(noticed.status.code(), Some(0));
    let told = records(&noticed).into_iter().filter_map(|record| match record.body {
        Body::Finding(finding) => Some(finding.code),
        Body::Gap(gap) => Some(gap.code),
        _ => None,
    });
    let mut told: Vec<String> = told.collect();
    told.sort_unstable();
    assert_eq!(told, ["workaround-overwritten", "workaround-unseen"]);
}

#[test]
fn of_several_proxies_one_that_cannot_be_planned_stops_all() {
    let Some(sites) = Sites::start(2) else { return };
    std::fs::write(sites.path("1/etc/nginx.conf"), "no such word\n").unwrap();
    let planned = sites.plan();
    assert_eq!(planned.status.code(), Some(2));
    assert!(stderr(&planned).contains("1 of 2 cannot be planned; nothing was written"), "{}", stderr(&planned));
    assert!(!sites.path("changes").exists());
}
