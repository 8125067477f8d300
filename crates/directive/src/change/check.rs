//! Check: is this change one that can be carried out and undone?
//!
//! A change may come from a stranger's hand. What cannot be undone, or would write beside its target, is refused here
//! and nowhere below.

use super::{Change, FileChange, Kind, VERSION};
use crate::problem::Problem;

/// Everything that is wrong with a change.
pub(super) fn problems(file: &str, change: &Change) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |what: String, hint: &str| problems.push(Problem::whole(file, what).hint(hint));
    if change.v != VERSION {
        wrong(format!("a change of form {}, and this program knows {VERSION}", change.v), "plan it again");
    }
    let is_host = change.target.host == "local" || change.target.host.starts_with("ssh://");
    if !is_host {
        wrong(format!("{:?} is no host", change.target.host), "write local, or ssh://user@host");
    }
    for path in change.files.iter().map(|one| &one.path).chain(&change.target.lock) {
        if !is_plain(path) {
            wrong(format!("{path:?} is no plain absolute path"), "links and `..` are resolved when it is planned");
        }
    }
    for file in &change.files {
        if file.before.as_ref().is_some_and(|digest| !is_digest(digest)) {
            wrong(format!("{:?} had no SHA-256 before", file.path), "64 hexadecimal digits, or leave it out");
        }
        if file.content_sha256.as_ref().is_some_and(|digest| !is_digest(digest)) {
            wrong(format!("{:?} gets no SHA-256 of what will stand there", file.path), "64 hexadecimal digits");
        }
        if file.content.is_some() && file.content_sha256.is_some() {
            wrong(format!("{:?} gets two contents", file.path), "write content, or content-sha256");
        }
        if file.before.is_none() && file.after().is_none() {
            wrong(format!("{:?} neither was nor will be", file.path), "take it out");
        }
    }
    let mut paths: Vec<&str> = change.files.iter().map(|file: &FileChange| file.path.as_str()).collect();
    paths.sort_unstable();
    if paths.windows(2).any(|pair| pair[0] == pair[1]) {
        wrong("a file is changed twice".into(), "one entry a file: it says what will stand there at the end");
    }
    let commands = change.checks.iter().chain(&change.runs).chain(&change.undo);
    let works = change.prove.iter().flat_map(|prove| &prove.works);
    let words = commands.chain(works).map(|command| &command.command);
    if words
        .chain(change.keeps.iter().map(|keep| &keep.command))
        .any(|words| words.first().is_none_or(String::is_empty))
    {
        wrong("a command names no program".into(), "write command = [\"nginx\", \"-t\"]");
    }
    let is_by_hand = matches!(change.target.kind, Kind::VendorFile | Kind::ByHand);
    if change.target.kind == Kind::ByHand && (change.hands.is_empty() || !change.files.is_empty()) {
        wrong(
            "a person does it, and it does not say what".into(),
            "name [[hand]] steps, and nothing that a program does",
        );
    }
    if change.files.is_empty() && change.runs.is_empty() && !is_by_hand {
        wrong("it changes nothing".into(), "a change has files or commands");
    }
    if change.files.is_empty() && !change.runs.is_empty() && change.undo.is_empty() {
        wrong("it cannot be undone".into(), "name the commands that undo its commands");
    }
    for at in change.prove.iter().flat_map(|prove| prove.at.iter().chain(&prove.closed).chain(&prove.open)) {
        if at.parse::<std::net::SocketAddr>().is_err() {
            wrong(format!("{at:?} is no address with a port"), "write 192.0.2.7:443; names are not resolved");
        }
    }
    for blocked in change.prove.iter().flat_map(|prove| &prove.blocked) {
        if let Some(why) = blocked.mistake() {
            wrong(format!("the path {:?} {why}", blocked.path), "write it as the product has it, /like/this");
        }
    }
    problems
}

fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.chars().any(char::is_control)
        && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."))
}

fn is_digest(digest: &str) -> bool {
    digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
