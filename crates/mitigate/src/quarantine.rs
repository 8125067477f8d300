//! Quarantine: how does known malware leave its place, so that it can be proved what it was, and put back?
//!
//! What stands there is taken as an archive of that one file, made on its own machine: content, owner, mode, times and
//! extended attributes. The archive must hold the very bytes that the change names; then the caller seals it in the
//! case, and only then anything is touched. What comes in its place never inherits anything of it: a copy of its mode
//! would keep an intruder's setuid bit. Links are never followed, neither at the file nor on the way to it.
//! What a suspect machine says of its own files is believed here; the proof that counts is the next check from outside.
//! Source: tar(1) ("--xattrs"), chattr(1); POSIX `rename`.

use std::io::Read as _;

use directive::change::{Change, FileChange};
use directive::record::{Proof, hex};
use directive::text::escape;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::hands::{Error, Hands};
use crate::prove;

/// The largest file that goes into quarantine, in bytes. Implants known so far have some megabytes; it is held in
/// memory.
pub const LARGEST: u64 = 128 << 20;

/// What an archive of one file may have beside the file itself: headers, attributes, and the end mark.
const AROUND: u64 = 1 << 20;

/// The exit code for what is no file any more, or is reached through a link.
const OTHER: i32 = 46;

/// The archive of one file. A link on the way is refused: the path must be its own resolved form.
const TAKE: &str = "[ \"$(readlink -f -- \"$1\")\" = \"$1\" ] && [ -f \"$1\" ] || exit 46; o=; \
    if tar --version 2>/dev/null | grep -q GNU; then \
    o='--format=posix --numeric-owner --acls --xattrs --xattrs-include=*'; fi; set -f; \
    cd -- \"${1%/*}/\" && { tar $o -cf - -- \"./${1##*/}\" || exit 1; } | head -c \"$2\"";

/// Puts the archive's file in its place again, whole and beside it first. Its attributes come last: they bind us too.
const BACK: &str = "set -e; back=\"$1.portcullis-back\"; trap 'rm -rf -- \"$back\"' EXIT; rm -rf -- \"$back\"; \
    mkdir -m 700 -- \"$back\"; cat > \"$back/t\"; \
    [ \"$(wc -c < \"$back/t\")\" -eq \"$2\" ] || { echo 'the input ended early' >&2; exit 1; }; \
    mkdir -m 700 -- \"$back/f\"; o=; if tar --version 2>/dev/null | grep -q GNU; then \
    o='--numeric-owner --acls --xattrs --xattrs-include=*'; fi; set -f; tar $o -xpf \"$back/t\" -C \"$back/f\"; \
    sync; [ ! -d \"$1\" ] || { echo 'a folder stands there' >&2; exit 1; }; \
    [ -z \"$3\" ] || [ ! -e \"$1\" ] || chattr -ia -- \"$1\"; \
    mv -f -- \"$back/f/${1##*/}\" \"$1\"; [ -z \"$3\" ] || chattr \"+$3\" -- \"$1\"";

/// Takes a file away. Attributes that forbid it are in the approved change, and go first.
const GONE: &str = "set -e; [ -z \"$2\" ] || chattr -ia -- \"$1\"; rm -f -- \"$1\"";

/// Puts a file in the place of another, with nothing of it.
const REPLACE: &str = "set -e; new=\"$1.portcullis-new\"; trap 'rm -f -- \"$new\"' EXIT; rm -f -- \"$new\"; \
    (umask 077; : > \"$new\"); cat > \"$new\"; \
    [ \"$(wc -c < \"$new\")\" -eq \"$2\" ] || { echo 'the input ended early' >&2; exit 1; }; \
    chown \"$4\" \"$new\"; chmod \"$3\" \"$new\"; sync -- \"$new\" 2>/dev/null || sync; \
    [ -z \"$5\" ] || chattr -ia -- \"$1\"; mv -f -- \"$new\" \"$1\"";

/// Of each path, one line: the SHA-256 of what stands there, or a word.
const STANDS: &str = "for p; do if [ -L \"$p\" ]; then echo link; elif [ ! -e \"$p\" ]; then echo nothing; \
    elif [ ! -f \"$p\" ]; then echo other; else sha256sum < \"$p\" | cut -c1-64; fi; done";

/// Processes whose program was one of these paths and is not there any more, one line each.
const RUNS: &str = "for e in /proc/[0-9]*/exe; do l=$(readlink -- \"$e\" 2>/dev/null) || continue; \
    for p; do if [ \"$l\" = \"$p (deleted)\" ]; then n=${e#/proc/}; echo \"${n%/exe} $p\"; fi; done; done";

/// Ends processes whose program was one of these paths. One that has ended by itself is no failure.
pub(crate) const END: &str = "for e in /proc/[0-9]*/exe; do l=$(readlink -- \"$e\" 2>/dev/null) || continue; \
    for p; do if [ \"$l\" = \"$p (deleted)\" ]; then n=${e#/proc/}; kill -KILL \"${n%/exe}\" || true; fi; done; done";

/// Takes the archive of a file that goes into quarantine; `None` if it is not what the change names.
///
/// # Errors
///
/// [`Error`] if the machine cannot be touched, or the file cannot be read.
pub(crate) fn take(hands: &dyn Hands, file: &FileChange) -> Result<Option<Vec<u8>>, Error> {
    let most = (LARGEST + AROUND).to_string();
    let done = hands.run(&["sh", "-c", TAKE, "sh", &file.path, &most], &[])?;
    match done.code {
        0 => Ok(matches(&done.out, file).then_some(done.out)),
        OTHER => Ok(None),
        _ => Err(Error::File { what: "take", path: escape(&file.path), said: done.said }),
    }
}

/// Whether an archive holds one regular file, and that with the digest that the change names. It was made on a suspect
/// machine.
fn matches(archive: &[u8], file: &FileChange) -> bool {
    let mut archive = tar::Archive::new(archive);
    let Ok(mut entries) = archive.entries() else { return false };
    let Some(Ok(mut entry)) = entries.next() else { return false };
    let mut content = Vec::new();
    let is_file = entry.header().entry_type().is_file() && entry.size() <= LARGEST;
    if !is_file || entry.by_ref().take(LARGEST + 1).read_to_end(&mut content).is_err() {
        return false;
    }
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let is_named = entry.path_bytes().strip_prefix(b"./").is_some_and(|found| found == name.as_bytes());
    drop(entry);
    is_named && entries.next().is_none() && file.before.as_deref() == Some(hex(&Sha256::digest(&content)).as_str())
}

/// Takes the malware away, and puts there what the change names.
///
/// # Errors
///
/// [`Error::File`] if it is still there, or the new one is not.
pub(crate) fn put(hands: &dyn Hands, file: &FileChange, after: Option<&[u8]>) -> Result<(), Error> {
    let none = String::new();
    let how = file.quarantine.as_ref();
    let attributes = how.map_or(&none, |how| &how.attributes);
    let part = |part: Option<&Option<String>>| part.cloned().flatten().unwrap_or_default();
    let (mode, owner) = (part(how.map(|how| &how.mode)), part(how.map(|how| &how.owner)));
    let (what, done) = match after {
        None => ("remove", hands.run(&["sh", "-c", GONE, "sh", &file.path, attributes], &[])?),
        Some(bytes) => {
            let size = bytes.len().to_string();
            let words = ["sh", "-c", REPLACE, "sh", &file.path, &size, &mode, &owner, attributes];
            ("replace", hands.run(&words, bytes)?)
        }
    };
    finish(done, what, file)
}

/// Puts back what was taken, with everything that the file system said of it.
///
/// # Errors
///
/// [`Error::File`]; then what stood there stands there still.
pub(crate) fn back(hands: &dyn Hands, file: &FileChange, archive: &[u8]) -> Result<(), Error> {
    let attributes = file.quarantine.as_ref().map_or("", |how| &how.attributes);
    let size = archive.len().to_string();
    finish(hands.run(&["sh", "-c", BACK, "sh", &file.path, &size, attributes], archive)?, "put back", file)
}

fn finish(done: crate::hands::Done, what: &'static str, file: &FileChange) -> Result<(), Error> {
    if done.code == 0 {
        return Ok(());
    }
    Err(Error::File { what, path: escape(&file.path), said: done.said })
}

/// What stands at each path of a change: its SHA-256, `nothing`, `link` or `other`.
///
/// # Errors
///
/// [`Error`] if the machine cannot be touched.
pub(crate) fn stands(hands: &dyn Hands, files: &[FileChange]) -> Result<Vec<String>, Error> {
    let words = ["sh", "-c", STANDS, "sh"].into_iter().chain(files.iter().map(|file| file.path.as_str()));
    let out = hands.must(&words.collect::<Vec<_>>())?;
    let lines: Vec<String> = String::from_utf8_lossy(&out).lines().map(str::to_owned).collect();
    if lines.len() == files.len() {
        return Ok(lines);
    }
    let said = format!("the machine spoke of {} files, and {} were asked", lines.len(), files.len());
    Err(Error::Failed { command: "look at the files".to_owned(), said })
}

/// Looks again whether each file is gone, or is the vendor's, and whether what was removed still runs.
///
/// # Errors
///
/// [`Error`] if the machine cannot be looked at: nothing is said of it then.
pub fn prove(hands: &dyn Hands, change: &Change, sha256: &str, now: Timestamp) -> Result<Proof, Error> {
    let found = stands(hands, &change.files)?;
    let mut leaks = Vec::new();
    for (file, found) in change.files.iter().zip(&found) {
        let path = escape(&file.path);
        let is_back = file.before.as_ref() == Some(found);
        match file.after() {
            Some(after) if after == *found => {}
            None if found == "nothing" => {}
            _ if is_back => leaks.push(format!("{path}: the malware is there again, byte for byte")),
            Some(_) if found == "nothing" => leaks.push(format!("{path}: the vendor's file is gone")),
            _ => leaks.push(format!("{path}: something else stands there now ({})", escape(found))),
        }
    }
    let refused = change.files.len() - leaks.len();
    let words = ["sh", "-c", RUNS, "sh"].into_iter().chain(change.files.iter().map(|file| file.path.as_str()));
    let out = hands.must(&words.collect::<Vec<_>>())?;
    let out = String::from_utf8_lossy(&out).into_owned();
    let running = out.lines().filter_map(|line| line.split_once(' '));
    let running = running
        .map(|(number, path)| format!("process {} still runs what was removed from {}", escape(number), escape(path)));
    // What the change was to end must not run; of the rest it is told.
    let (mut lost, mut unasked) = (Vec::new(), Vec::new());
    if change.runs.is_empty() {
        unasked.extend(running)
    } else {
        lost.extend(running)
    }
    unasked.push("the machine itself was asked: check it again from outside, from its disk".to_owned());
    Ok(Proof {
        change: sha256.to_owned(),
        action: prove::action(change),
        holds: leaks.is_empty() && lost.is_empty(),
        places: vec![change.target.host.clone()],
        asked: change.files.len() as u64,
        refused: refused as u64,
        leaks,
        required: u64::from(!change.runs.is_empty()),
        lost,
        unasked,
        until: prove::until(change, now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> FileChange {
        FileChange { path: "/srv/x".into(), before: Some(hex(&Sha256::digest(content))), ..FileChange::default() }
    }

    fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn an_archive_that_a_suspect_machine_made_is_taken_only_if_it_holds_that_one_file() {
        let regular = tar::EntryType::Regular;
        assert!(matches(&archive(&[("./x", regular, b"bad")]), &file(b"bad")));
        assert!(!matches(&archive(&[("./x", regular, b"bae")]), &file(b"bad")));
        assert!(!matches(&archive(&[("../x", regular, b"bad")]), &file(b"bad")));
        assert!(!matches(&archive(&[("./y", regular, b"bad")]), &file(b"bad")));
        assert!(!matches(&archive(&[("./x", tar::EntryType::Symlink, b"")]), &file(b"")));
        let two = archive(&[("./x", regular, b"bad"), ("./../../etc/shadow", regular, b"more")]);
        assert!(!matches(&two, &file(b"bad")));
        let whole = archive(&[("./x", regular, &[7; 4000])]);
        assert!(!matches(&whole[..2000], &file(&[7; 4000])));
        assert!(!matches(b"", &file(b"")));
    }
}
