//! The report on pages, read back by programs of others.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{arg, portcullis, run, stderr};

/// What a program of poppler or qpdf prints about a file.
#[track_caller]
pub(crate) fn read(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|err| panic!("{program}: {err}"));
    assert!(output.status.success(), "{program}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the readers are installed. CI installs them.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn can_read() -> bool {
    let there = Path::new("/usr/bin/pdfinfo").exists() && Path::new("/usr/bin/qpdf").exists();
    assert!(there || std::env::var_os("CI").is_none(), "CI has to install poppler-utils and qpdf");
    if !there {
        eprintln!("SKIPPED: pages are not read back: install poppler-utils and qpdf");
    }
    there
}

#[test]
fn the_lab_case_becomes_pages_that_can_be_searched_and_read_aloud() {
    let dir = tempfile::tempdir().unwrap();
    let (case, file) = (dir.path().join("case"), dir.path().join("report.pdf"));
    run(&["respond", "--lab", "-q", "--case", arg(&case)]);
    let render = |file: &Path| {
        let common = ["report", "render", "--case", arg(&case), "--at", "2021-04-22T00:00:00Z", "--to", "pdf", "-o"];
        portcullis().args(common).arg(file).output().unwrap()
    };
    let output = render(&file);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains(" pages."), "{}", stderr(&output));
    assert!(!stderr(&output).contains("ordinary PDF"), "{}", stderr(&output));
    let again = dir.path().join("again.pdf");
    render(&again);
    assert!(fs::read(&file).unwrap() == fs::read(&again).unwrap(), "the same case and time give other bytes");
    if !can_read() {
        return;
    }
    read("qpdf", &["--check", arg(&file)]);
    let info = read("pdfinfo", &[arg(&file)]);
    for expected in ["Tagged:          yes", "Title:           Mitigate Pulse Connect Secure", "2021"] {
        assert!(info.contains(expected), "{expected:?} is not in {info}");
    }
    let text = read("pdftotext", &["-layout", arg(&file), "-"]);
    for expected in [
        "EXERCISE",
        "compcheckresult.cgi",
        "not checked",
        "Every address accounted for",
        "Signature",
        "2.b.i.isolate",
        "PSA7000c",
        "vpn2.internal.agency.example",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    let tags = read("pdfinfo", &["-struct", arg(&file)]);
    for expected in ["Table", "THead", "TH", "H1", "H2", "LBody", "Figure"] {
        assert!(tags.lines().any(|line| line.trim_start().starts_with(expected)), "no tag {expected} in {tags}");
    }
    let plain = dir.path().join("plain.pdf");
    read("qpdf", &["--qdf", "--object-streams=disable", arg(&file), arg(&plain)]);
    let plain = fs::read(&plain).unwrap();
    let marks =
        ["<pdfaid:part>2<", "<pdfaid:conformance>A<", "<pdfuaid:part>1<", "/Alt (Timeline from", "/Title (vpn2)"];
    for mark in marks {
        assert!(plain.windows(mark.len()).any(|piece| piece == mark.as_bytes()), "{mark} is not in the file");
    }
}

#[test]
fn a_name_in_letters_of_no_font_is_written_as_numbers_until_a_font_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let (case, scope, file) = (dir.path().join("case"), dir.path().join("scope.toml"), dir.path().join("report.pdf"));
    let organisation = "Υπουργείο Министерство وزارة משרד 機構";
    let words = format!(
        "organisation = \"{organisation}\"\nnetworks = [\"127.0.0.1/32\"]\nports = [1]\n\
         [[instance]]\nname = \"網關 ‹1›\"\naddress = \"127.0.0.1:1\"\n"
    );
    fs::write(&scope, words).unwrap();
    run(&["respond", "--pack", "ed-21-03", "-q", "--scope", arg(&scope), "--case", arg(&case)]);
    let render = |rest: &[&str]| {
        let common = ["report", "render", "--case", arg(&case), "--to", "pdf", "-o", arg(&file)];
        let output = portcullis().args(common).args(rest).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let said = render(&[]);
    assert!(said.contains("4 letters are in no font"), "{said}");
    assert!(said.contains("hint: `--font FILE`"), "{said}");
    if !can_read() {
        return;
    }
    let text = read("pdftotext", &["-raw", arg(&file), "-"]);
    for expected in ["\\u{7db2}\\u{95dc} ‹1›", "Υπουργείο Министерство"] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    let font = "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf";
    assert!(Path::new(font).exists() || std::env::var_os("CI").is_none(), "CI has to install fonts-droid-fallback");
    if Path::new(font).exists() {
        let said = render(&["--font", font]);
        assert!(!said.contains("in no font"), "{said}");
        assert!(read("pdftotext", &["-raw", arg(&file), "-"]).contains("網關 ‹1›"));
    }
}

#[test]
fn a_font_or_a_terminal_that_cannot_be_used_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let (case, file) = (dir.path().join("case"), dir.path().join("report.pdf"));
    run(&["respond", "--lab", "-q", "--case", arg(&case)]);
    for (rest, words) in [
        (vec!["--to", "pdf"], "does not go to a terminal"),
        (vec!["--to", "csv", "--font", "x.ttf"], "only a PDF has fonts"),
        (vec!["--to", "pdf", "-o", arg(&file), "--font", "nonesuch.ttf"], "cannot read the font"),
        (vec!["--to", "pdf", "-o", arg(&file), "--font", "Cargo.toml"], "neither TrueType nor OpenType"),
    ] {
        let output = portcullis().args(["report", "render", "--case", arg(&case)]).args(&rest).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{rest:?}");
        assert!(stderr(&output).contains(words), "{words:?} is not in: {}", stderr(&output));
        assert!(!file.exists());
    }
}
