//! Tidy: can a stranger read the file that he has just opened?
//!
//! What rustfmt leaves alone: headers, long lines and files, names that say nothing, unfinished
//! work, and paths of somebody's own machine.

use house::files::{self, File};
use house::none;

/// Text that people write. Fingerprints and other data keep the form of their source.
const WRITTEN: &[&str] = &[".rs", ".toml", ".md", ".html", ".css", ".sh", "run"];

const WIDEST: usize = 120;
const LONGEST: usize = 500;

/// Every line of these files that breaks a rule, as `file:line: why`.
fn wrong(files: &[File], rule: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
    let lines = files.iter().flat_map(|file| file.lines().map(move |(n, line)| (file, n, line)));
    lines.filter_map(|(file, n, line)| Some(format!("{}:{n}: {}", file.path, rule(line)?))).collect()
}

#[test]
fn every_source_file_says_first_which_question_it_answers() {
    let wrong = files::ending(&[".rs"]).into_iter().filter_map(|file| {
        let first = file.text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("//! ").map_or(0, |text| text.split_whitespace().count());
        (words < 3).then(|| format!("{}:1: begins with {first:?}", file.path))
    });
    none(
        wrong,
        "Begin with `//! Word: the question that this file answers?`, then what it never does and where its facts come \
         from.",
    );
}

#[test]
fn no_line_ends_in_a_space_or_holds_a_tab() {
    let wrong = wrong(&files::ending(WRITTEN), |line| {
        if line.contains('\t') {
            return Some("a tab");
        }
        // Two spaces at the end are a line break in Markdown, and nobody sees them.
        line.ends_with([' ', '\r']).then_some("a space at its end")
    });
    none(wrong, "Take it out; in a string write `\\t`.");
}

#[test]
fn no_line_of_code_is_wider_than_the_page() {
    let wrong = wrong(&files::ending(&[".rs"]), |line| {
        (line.chars().count() > WIDEST).then_some("wider than 120 columns; rustfmt does not break strings")
    });
    none(wrong, "Break the string with `\\` at the line's end, or the comment.");
}

#[test]
fn a_long_file_says_why_it_is_long() {
    let long = files::ending(&[".rs"]).into_iter().filter(|file| file.lines().count() > LONGEST);
    let long = long.filter(|file| !file.lines().any(|(_, line)| line.starts_with("// Long because: ")));
    none(
        long.map(|file| format!("{}: {} lines", file.path, file.lines().count())),
        "Does it answer two questions? Then split it. If it is one thing, say so: `// Long because: ..`.",
    );
}

#[test]
fn nothing_unfinished_is_left_in_the_code() {
    // Put together here, so that this file does not find itself.
    let unfinished =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ig", "nore"), concat!("FIX", "ME")];
    let wrong = wrong(&files::ending(&[".rs"]), |line| {
        unfinished.iter().any(|word| line.contains(word)).then_some("unfinished, or a test that nobody runs")
    });
    none(wrong, "Finish it, or take it out and write it down where work is planned.");
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let here = files::root().to_string_lossy().into_owned();
    let homes =
        [concat!("/Us", "ers/"), concat!("/home/", "runner"), concat!("/root/", ".cargo"), concat!("/wo", "rk/")];
    let begins = |line: &str, path: &str| {
        // `/home/bin` is a folder of an appliance: a machine's path begins the word.
        line.match_indices(path)
            .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-*}/".contains(c)))
    };
    let wrong = wrong(&files::ending(WRITTEN), |line| {
        let found = begins(line, &here) || homes.iter().any(|home| begins(line, home));
        found.then_some("a path of somebody's machine")
    });
    none(wrong, "Make it relative to the workspace, or a folder that the test makes.");
}

#[test]
fn no_module_is_a_drawer() {
    let drawers = ["utils", "util", "common", "helpers", "helper", "manager", "misc", "shared", "types"];
    let mut wrong = Vec::new();
    for file in files::ending(&[".rs"]) {
        let named = file.path.split(['/', '.']).find(|part| drawers.contains(part));
        wrong.extend(named.map(|part| format!("{}: `{part}`", file.path)));
        let inline = file.lines().filter_map(|(n, line)| {
            let (_, name) =
                line.trim_start().split_once("mod ").filter(|(before, _)| matches!(*before, "" | "pub "))?;
            let name = name.trim_end_matches([' ', '{', ';']);
            drawers.contains(&name).then(|| format!("{}:{n}: `{name}`", file.path))
        });
        wrong.extend(inline);
    }
    none(wrong, "Name it by the question it answers. Code without a home is a question we have not understood yet.");
}

#[test]
fn every_test_is_named_by_a_sentence() {
    let mut wrong = Vec::new();
    for file in files::ending(&[".rs"]) {
        let mut is_test = false;
        for (n, line) in file.lines().map(|(n, line)| (n, line.trim_start())) {
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
            match name {
                Some(name) if is_test && name.split('_').filter(|word| !word.is_empty()).count() < 3 => {
                    wrong.push(format!("{}:{n}: `{name}`", file.path));
                }
                _ => {}
            }
            // Attributes and comments may stand between the mark and the function.
            is_test = line == "#[test]" || (is_test && (line.starts_with("#[") || line.starts_with("//")));
        }
    }
    none(wrong, "Say what is so: `a_patched_login_page_is_a_finding`.");
}
