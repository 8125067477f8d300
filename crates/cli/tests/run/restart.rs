//! New software on disk and the old one running: is that told from an update, over SSH and without an agent?
//!
//! The machine is this one behind an overlay, with a real sshd. The appliance's program is a copy of sshd, which waits
//! at a port of its own; its new version is the same with one byte more. Needs root, as the tests of installations do.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use directive::record::{Body, Coverage, Finding};

use super::install::Machine;
use super::*;

/// The old version of an appliance, and what its vendor shipped with the new one. `$1` is the port.
const APPLIANCE: &str = r#"
set -e
mkdir -p /opt/appliance/home/bin; cd /opt/appliance/home
cat > VERSION <<'END'
export DSREL_MAJOR=9
export DSREL_MINOR=1
export DSREL_COMMENT="R11.4"
END
cp /usr/sbin/sshd bin/web; cp bin/web new; printf x >> new; chmod 755 new
echo '# version: 9.1R11.4'
echo "$(sha256sum < VERSION | cut -c1-64)  ./home/VERSION"
echo "$(sha256sum < new | cut -c1-64)  ./home/bin/web"
"#;

const START: &str = "setsid /opt/appliance/home/bin/web -f /dev/null -p PORT -o ListenAddress=127.0.0.1 \
     -o HostKey=/etc/ssh/ours -o PidFile=/run/web.pid > /dev/null 2>&1 < /dev/null";

struct Place {
    machine: Machine,
    port: u16,
}

impl Place {
    fn new() -> Option<Self> {
        Machine::up().map(Self::on)
    }

    fn on(machine: Machine) -> Self {
        let place = Self { machine, port: TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
        fs::write(place.machine.path("list"), place.machine.says(APPLIANCE)).unwrap();
        let scope = format!(
            "organisation = \"Example Agency\"\nnetworks = [\"127.0.0.1/32\"]\nports = [{0}]\n\n[[instance]]\n\
             name = \"vpn1\"\naddress = \"127.0.0.1:{0}\"\nevidence = \"{1}\"\nlive = true\n\
             known-hosts = \"known\"\nidentity = \"user\"\nmanifest = \"list\"\n",
            place.port,
            place.source()
        );
        fs::write(place.machine.path("scope.toml"), scope).unwrap();
        place.start();
        place
    }

    fn source(&self) -> String {
        format!("ssh://root@127.0.0.1:{}/opt/appliance", self.machine.port)
    }

    fn start(&self) {
        self.machine.says(&START.replace("PORT", &self.port.to_string()));
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks and checks.
    fn respond(&self, more: &[&str]) {
        let (scope, case) = (self.machine.path("scope.toml"), self.machine.path("case"));
        let common = ["respond", "-q", "--pack", "ed-21-03", "--scope", arg(&scope), "--case", arg(&case)];
        let responded = portcullis().args(common).args(more).output().unwrap();
        assert!(responded.status.code() != Some(2), "{}", stderr(&responded));
    }

    /// Now, by the clock of the exercise. Records tell whole seconds: what follows is in a later one.
    fn now(&self) -> String {
        let case = self.machine.path("case");
        let shown = records(&run(&["case", "show", "--case", arg(&case), "--json"]));
        let offset = shown.iter().find_map(|record| match &record.body {
            Body::Case(opened) => Some(opened.clock_offset),
            _ => None,
        });
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset.unwrap());
        std::thread::sleep(Duration::from_millis(1_100));
        now.to_string()
    }

    /// Asks and checks again, then judges what happened since that moment.
    fn prove(&self, since: &str) -> Output {
        self.respond(&["--again"]);
        let case = self.machine.path("case");
        portcullis().args(["update", "prove", "vpn1", "--since", since, "--case", arg(&case)]).output().unwrap()
    }
}

#[test]
fn the_old_program_that_runs_on_refutes_an_update_and_its_restart_proves_it() {
    let Some(place) = Place::new() else { return };
    place.respond(&["--exercise", "2021-05-04T12:00:00Z"]);
    // Ages are whole seconds.
    std::thread::sleep(Duration::from_secs(2));
    let since = place.now();
    place.machine.says("mv /opt/appliance/home/new /opt/appliance/home/bin/web");
    let refuted = place.prove(&since);
    let text = stdout(&refuted);
    assert_eq!(refuted.status.code(), Some(1), "{text}{}", stderr(&refuted));
    assert!(text.contains("update-not-running vpn1: the new files are there, and the old program runs"), "{text}");
    assert!(text.contains("yes  files: 2 files are those that the vendor shipped with 9.1R11.4"), "{text}");
    let old = format!("NO   running programs: /opt/appliance/home/bin/web at tcp 127.0.0.1:{}", place.port);
    assert!(text.contains(&old), "{text}");

    std::thread::sleep(Duration::from_secs(2));
    place.machine.says("kill $(cat /run/web.pid)");
    while TcpStream::connect(("127.0.0.1", place.port)).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    place.start();
    let proved = place.prove(&since);
    let text = stdout(&proved);
    assert_eq!(proved.status.code(), Some(0), "{text}{}", stderr(&proved));
    let new = format!("yes  running programs: /opt/appliance/home/bin/web at tcp 127.0.0.1:{} was started", place.port);
    assert!(text.contains(&new), "{text}");
    // What began before the program was started says nothing of an update that came later.
    let later = place.now();
    let unproved = place.prove(&later);
    assert_eq!(unproved.status.code(), Some(3), "{}{}", stdout(&unproved), stderr(&unproved));
    assert!(stdout(&unproved).contains(" runs since "), "{}", stdout(&unproved));
}

#[test]
fn programs_that_run_on_a_host_over_ssh_are_seen_by_name_age_and_port() {
    let Some(place) = Place::new() else { return };
    place
        .machine
        .says("cp /bin/sleep /opt/gone; setsid /opt/gone 600 > /dev/null 2>&1 < /dev/null & sleep 0.2; rm /opt/gone");
    let (known, user) = (place.machine.path("known"), place.machine.path("user"));
    let login = ["--known-hosts", arg(&known), "--identity", arg(&user)];
    let check = |more: &[&str]| portcullis().args(["check", &place.source(), "--json"]).args(login).args(more).output();
    let output = check(&["--live"]).unwrap();
    let records = records(&output);
    let findings: Vec<&Finding> = records.iter().filter_map(|record| as_finding(&record.body)).collect();
    let of = |code: &str| findings.iter().find(|one| one.code == code).unwrap_or_else(|| panic!("{findings:?}"));
    assert_eq!(of("process-program-deleted").path.as_ref().unwrap().as_str(), Some("/opt/gone"));
    let waits = |one: &&&Finding| one.place.as_ref().is_some_and(|at| *at == format!("tcp 127.0.0.1:{}", place.port));
    assert!(findings.iter().any(|one| one.code == "socket-listening" && waits(&one)), "{findings:?}");
    let coverage: Vec<&Coverage> = records.iter().filter_map(|record| as_coverage(&record.body)).collect();
    let running = coverage[0].running.as_ref().unwrap();
    let service = running.services.iter().find(|service| service.port() == Some((place.port, false))).unwrap();
    assert_eq!(service.program.as_str(), Some("/opt/appliance/home/bin/web"));
    assert!(!service.replaced && service.age <= running.up);
    // Without the word only files are looked at.
    assert!(!stdout(&check(&[]).unwrap()).contains("process-"));
}

#[test]
fn a_host_without_sftp_shows_its_files_and_a_gap_says_that_nobody_saw_what_runs() {
    let Some(machine) = Machine::with("other /bin/false") else { return };
    let place = Place::on(machine);
    let (known, user) = (place.machine.path("known"), place.machine.path("user"));
    let login = ["--known-hosts", arg(&known), "--identity", arg(&user)];
    let output = portcullis().args(["check", &place.source(), "--live"]).args(login).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("process-unread"), "{}", stdout(&output));
    assert!(stdout(&output).contains("has no SFTP"), "{}", stdout(&output));
}

fn as_finding(body: &Body) -> Option<&Finding> {
    if let Body::Finding(finding) = body { Some(finding) } else { None }
}

fn as_coverage(body: &Body) -> Option<&Coverage> {
    if let Body::Coverage(coverage) = body { Some(coverage) } else { None }
}
