//! The way back into service is an order with something to show at each step, and a word alone is not enough.

use std::fs;
use std::path::PathBuf;

use super::*;

/// An exercise in which vpn2 is compromised, with accounts that passed through it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let case = place.path("case");
        let respond = ["respond", "-q", "--lab", "--case", arg(&case)];
        let output = portcullis().env("TMPDIR", place.0.path()).args(respond).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        for action in ["2.b.i.isolate", "2.b.ii.ticket", "2.b.ii.images", "2.b.iii", "2.b.iv.analysis"] {
            place.does(action, &[]);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn case(&self, words: &[&str]) -> Output {
        let case = self.path("case");
        portcullis().arg("case").args(words).args(["--case", arg(&case)]).output().unwrap()
    }

    fn done(&self, action: &str, more: &[&str]) -> Output {
        let action = format!("ed-21-03/{action}");
        let words = ["done", &action, "--instance", "vpn2", "--by", "J. Doe", "--note", "done by hand"];
        self.case(&[&words[..], more].concat())
    }

    #[track_caller]
    fn does(&self, action: &str, more: &[&str]) {
        let output = self.done(action, more);
        assert_eq!(output.status.code(), Some(0), "{action}: {}{}", stdout(&output), stderr(&output));
    }

    #[track_caller]
    fn misses(&self, action: &str, more: &[&str], what: &str) {
        let output = self.done(action, more);
        assert_eq!(output.status.code(), Some(1), "{action}: {}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).contains(what), "{action}: {}", stdout(&output));
        assert!(stderr(&output).contains("nothing was recorded"), "{}", stderr(&output));
    }
}

#[test]
fn each_step_back_into_service_is_asked_for_what_it_must_show() {
    let place = Place::new();
    place.misses("A.b", &[], "A.a comes before it and is not done");
    place.misses("A.a", &[], "no file was given");
    let saved = place.write("saved.xml", "<user>alice</user>\n<admin>false</admin>\n");
    place.does("A.a", &["--file", &saved]);
    place.does("A.b", &[]);
    place.misses("A.c", &[], "the update is not proved: --version V");
    place.misses("A.c", &["--version", "9.1R11.4"], "the update is not proved: files: no check came after the update");
    place.misses("A.d", &[], "A.c comes before it and is not done");
    // That it was decided against something is recorded, and whoever reads the report sees it.
    place.does("A.c", &["--skip"]);
    place.does("A.d", &[]);

    place.misses("A.e", &[], "is not reset");
    let open = place.case(&["reset", "--instance", "vpn2"]);
    assert_eq!(open.status.code(), Some(1));
    let listed = stdout(&open);
    let names: Vec<&str> = listed
        .lines()
        .map(|line| line.strip_prefix("the account ").unwrap().strip_suffix(" is not reset").unwrap())
        .collect();
    assert!(names.len() > 1, "{listed}");
    let stranger = place.case(&["reset", "nobody", "--instance", "vpn2", "--by", "J. Doe"]);
    assert_eq!(stranger.status.code(), Some(2));
    assert!(stderr(&stranger).contains("is not on the reset list"), "{}", stderr(&stranger));
    let first = place.case(&["reset", names[0], "--instance", "vpn2", "--by", "J. Doe"]);
    assert_eq!((first.status.code(), stdout(&first).lines().count()), (Some(1), names.len() - 1));
    place.misses("A.e", &[], names[1]);
    let rest = place.write("accounts.txt", &names[1..].join("\n"));
    let all = place.case(&["reset", "--from", &rest, "--instance", "vpn2", "--by", "J. Doe"]);
    assert_eq!(all.status.code(), Some(0), "{}", stdout(&all));
    place.does("A.e", &[]);

    let now = place.write("now.xml", "<user>alice</user>\n<admin>true</admin>\n<user>eve</user>\n");
    place.misses("A.f", &[], "is compared with none");
    place.misses("A.f", &["--compare", &saved, &now], "nobody explains +3: <user>eve</user>");
    place.misses("A.f", &["--compare", &now, &now], "is not a configuration that was saved");
    let half = place.write("half", "@ alice leads the team\n-2: <admin>false</admin>\n+2: <admin>true</admin>\n");
    place.misses("A.f", &["--compare", &saved, &now, "--explained", &half], "nobody explains +3: <user>eve</user>");
    let good = place.write("good", "<user>alice</user>\n<admin>true</admin>\n");
    place.does("A.f", &["--compare", &saved, &good, "--explained", &half]);
    place.misses("2.b.iv.return", &[], "is older than what was done since");
}
