//! Bad input: is everything as it was, and the case whole, when something goes wrong in the middle?

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use directive::change::{FileChange, Kind};

use super::proxy::Front;
use super::*;

/// A configuration that the proxy itself refuses is found by its own check, before any reload.
#[test]
fn a_configuration_that_the_proxy_refuses_is_taken_back_before_it_takes_effect() {
    for kind in [Kind::Nginx, Kind::Haproxy] {
        let Some(front) = Front::start(kind, false) else { continue };
        let before = files(&front.settings());
        let mut change = planned(&front).unwrap();
        let last = change.files.last_mut().unwrap();
        let content = last.content.take().unwrap();
        last.content = Some(format!("{content}\nno such word\n"));
        let mut notes = Notes::default();
        let err = apply(&front, &change, &mut notes).unwrap_err();
        assert!(err.to_string().contains(kind.as_str()) && err.to_string().contains("failed"), "{err}");
        assert_eq!(files(&front.settings()), before);
        assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
        assert!(!known(&notes).is_applied() && !known(&notes).is_cut_off());
        assert!(front.ask("/dana-na/auth/url_default/welcome.cgi").starts_with("HTTP/1.1 200"));
    }
}

/// The rule is made too weak on purpose: the proof sees what the truth is, and takes it back.
#[test]
fn a_rule_that_a_doubled_slash_passes_is_caught_by_name_and_undone() {
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let before = files(&front.settings());
    let mut change = planned(&front).unwrap();
    let marker = change.prove.as_ref().unwrap().marker.clone().unwrap();
    change.files[0].content = Some(format!("if ($request_uri ~ ^/dana) {{ return 403 \"{marker}\\n\"; }}\n"));
    let mut notes = Notes::default();
    let err = apply(&front, &change, &mut notes).unwrap_err();
    assert!(matches!(err, Error::NotProved(_)), "{err}");
    let proof = notes.proofs.last().unwrap();
    assert!(proof.leaks.iter().any(|leak| leak.contains("//dana//meeting (repeated slash)")), "{:?}", proof.leaks);
    // And it refuses the login page, which must work.
    assert!(proof.lost.iter().any(|lost| lost.contains("welcome.cgi") && lost.contains("refused by the rule")));
    assert_eq!(files(&front.settings()), before);
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
}

#[test]
fn an_old_process_that_serves_kept_and_half_sent_connections_is_caught_where_nothing_drains_it() {
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let mut change = planned(&front).unwrap();
    change.drain = None;
    let mut notes = Notes::default();
    let err = apply(&front, &change, &mut notes).unwrap_err();
    let leaks = &notes.proofs.last().unwrap().leaks;
    assert!(matches!(err, Error::NotProved(_)), "{err}");
    assert!(leaks.iter().any(|leak| leak.contains("half sent before")), "{leaks:?}");
}

#[test]
fn a_full_disk_leaves_the_old_configuration_and_nothing_beside_it() {
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    let small = tempfile::tempdir().unwrap();
    let path = small.path().to_str().unwrap();
    let words = ["-t", "tmpfs", "-o", "size=64k", "none", path];
    if !Command::new("mount").args(words).status().unwrap().success() {
        assert!(std::env::var_os("CI").is_none(), "mounting needs root");
        return;
    }
    let config = small.path().join("haproxy.cfg");
    std::fs::copy(&front.config, &config).unwrap();
    let mut change = planned(&front).unwrap();
    let file = &mut change.files[0];
    let content = file.content.take().unwrap();
    *file = FileChange {
        path: config.to_str().unwrap().into(),
        content: Some(format!("{content}# {}\n", "x".repeat(100 << 10))),
        ..file.clone()
    };
    let before = files(small.path());
    let mut notes = Notes::default();
    let err = apply(&front, &change, &mut notes).unwrap_err();
    let after = files(small.path());
    assert!(Command::new("umount").arg(path).status().unwrap().success());
    assert!(err.to_string().contains("cannot write") && err.to_string().contains("No space left"), "{err}");
    assert_eq!(after, before);
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
}

#[test]
fn the_second_of_two_operators_is_told_who_is_at_it_and_touches_nothing() {
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let change = planned(&front).unwrap();
    let lock = change.target.lock.clone().unwrap();
    std::fs::create_dir(&lock).unwrap();
    std::fs::write(format!("{lock}/by"), "A. Other since 2021-04-21T12:59:00Z\n").unwrap();
    let before = files(&front.settings());
    let mut notes = Notes::default();
    let err = apply(&front, &change, &mut notes).unwrap_err();
    assert!(matches!(&err, Error::Locked { by, .. } if by.starts_with("A. Other since")), "{err}");
    assert_eq!(files(&front.settings()), before);
    let scope = scope(&front);
    let mut worker = Worker { hands: &Here, journal: &mut notes, scope: &scope, break_lock: true };
    assert!(worker.apply(&approved(&change)).unwrap().holds);
    assert!(!Path::new(&lock).exists());
}

#[test]
fn two_operators_who_apply_one_plan_at_once_do_it_once() {
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let change = planned(&front).unwrap();
    let outcomes: Vec<Result<Proof, Error>> = std::thread::scope(|threads| {
        let one = || apply(&front, &change, &mut Notes::default());
        let both = [threads.spawn(one), threads.spawn(one)];
        both.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refused = |outcome: &&Result<Proof, Error>| matches!(outcome, Err(Error::Locked { .. } | Error::Moved { .. }));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(refused).count(), 1, "{outcomes:?}");
    assert!(front.ask("/dana/meeting").contains("refused by workaround"));
}

#[test]
fn a_connection_that_is_lost_in_the_middle_undoes_what_was_done_when_it_is_back() {
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let before = files(&front.settings());
    let change = planned(&front).unwrap();
    // Lost at the reload, and for one try more.
    let lost = std::cell::Cell::new(0);
    let hands = Clumsy(|words: &[&str]| {
        let is_reload = words.contains(&"reload") && lost.get() == 0;
        let is_next = lost.get() == 1;
        lost.set(lost.get() + usize::from(is_reload || is_next));
        is_reload || is_next
    });
    let (scope, mut notes) = (scope(&front), Notes::default());
    let mut worker = Worker { hands: &hands, journal: &mut notes, scope: &scope, break_lock: false };
    let err = worker.apply(&approved(&change)).unwrap_err();
    assert!(err.to_string().contains("no connection to front1"), "{err}");
    assert_eq!(files(&front.settings()), before);
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Undone]);
}

#[test]
fn a_run_that_dies_in_the_middle_is_put_back_by_an_undo() {
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let before = files(&front.settings());
    let change = planned(&front).unwrap();
    let mut notes = Notes::default();
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let hands = Clumsy(|words: &[&str]| {
            assert!(!words.contains(&"-t"), "it dies before the check");
            false
        });
        let scope = scope(&front);
        Worker { hands: &hands, journal: &mut notes, scope: &scope, break_lock: false }
            .apply(&approved(&change))
            .is_ok()
    }));
    assert!(died.is_err() && files(&front.settings()) != before);
    assert!(known(&notes).is_cut_off() && !known(&notes).is_applied());
    let err = undo(&front, &change, &mut notes).unwrap_err();
    assert!(matches!(err, Error::Locked { .. }), "{err}");
    let (scope, kept) = (scope(&front), notes.kept_files());
    let mut worker = Worker { hands: &Here, journal: &mut notes, scope: &scope, break_lock: true };
    worker.undo(&Written::write(&change).unwrap(), "J. Doe", &kept).unwrap();
    assert_eq!(files(&front.settings()), before);
    assert!(!known(&notes).is_cut_off());
}

#[test]
fn programs_of_a_change_that_nobody_approved_are_not_run() {
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    let mut change = planned(&front).unwrap();
    let ran = front.settings().join("ran");
    let prove = change.prove.as_mut().unwrap();
    prove.works = vec![directive::change::Command::new(["touch", ran.to_str().unwrap()])];
    let scope = scope(&front);
    let ask =
        |is_approved| mitigate::prove::Prover::new(&change, "00", &scope, is_approved).unwrap().prove(None, now());
    let proof = ask(false);
    assert!(!ran.exists());
    assert!(proof.unasked.iter().any(|one| one.contains("nobody has approved this change")), "{proof:?}");
    ask(true);
    assert!(ran.exists());
}

#[test]
fn a_file_that_somebody_else_changed_since_is_not_overwritten_by_an_undo() {
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    let change = planned(&front).unwrap();
    let mut notes = Notes::default();
    apply(&front, &change, &mut notes).unwrap();
    let pushed = std::fs::read_to_string(&front.config).unwrap() + "# pushed\n";
    std::fs::write(&front.config, &pushed).unwrap();
    let err = undo(&front, &change, &mut notes).unwrap_err();
    assert!(matches!(err, Error::Overwritten { .. }), "{err}");
    assert_eq!(std::fs::read_to_string(&front.config).unwrap(), pushed);
}

#[test]
fn a_plan_that_is_older_than_the_configuration_touches_nothing() {
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    let change = planned(&front).unwrap();
    let edited = std::fs::read_to_string(&front.config).unwrap() + "# edited\n";
    std::fs::write(&front.config, &edited).unwrap();
    let err = apply(&front, &change, &mut Notes::default()).unwrap_err();
    assert!(matches!(err, Error::Moved { .. }), "{err}");
    assert_eq!(std::fs::read_to_string(&front.config).unwrap(), edited);
}

#[test]
fn a_function_that_did_not_work_before_stops_the_change_before_it_begins() {
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    let mut change = planned(&front).unwrap();
    change.prove.as_mut().unwrap().works = vec![directive::change::Command::new(["false"])];
    let before = files(&front.settings());
    let err = apply(&front, &change, &mut Notes::default()).unwrap_err();
    assert!(matches!(err, Error::Broken(_)), "{err}");
    assert_eq!(files(&front.settings()), before);
}

#[test]
fn a_proxy_whose_processes_are_not_found_is_not_touched() {
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    let mut change = planned(&front).unwrap();
    change.drain.as_mut().unwrap().pid_file = "/nonexistent/pid".into();
    let before = files(&front.settings());
    let err = apply(&front, &change, &mut Notes::default()).unwrap_err();
    assert!(matches!(err, Error::NoProcess { .. }), "{err}");
    assert_eq!(files(&front.settings()), before);
}

#[test]
fn owner_and_mode_of_a_configuration_stay() {
    let Some(front) = Front::start(Kind::Haproxy, false) else { return };
    std::fs::set_permissions(&front.config, std::fs::Permissions::from_mode(0o640)).unwrap();
    let change = planned(&front).unwrap();
    let mut notes = Notes::default();
    apply(&front, &change, &mut notes).unwrap();
    let mode = || std::fs::metadata(&front.config).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o640);
    undo(&front, &change, &mut notes).unwrap();
    assert_eq!(mode(), 0o640);
}
