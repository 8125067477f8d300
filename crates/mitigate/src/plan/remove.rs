//! Remove: which files of an instance go into quarantine, and what will stand in their place?
//!
//! Only reads. A file is taken into the change if what stands there is what the check saw: that digest, in a regular
//! file of that very path. Everything else is told and left alone. What comes in its place is the vendor's, by a
//! manifest from outside; who that is, whoever calls has found out. A file that nobody knows to be bad is offered only
//! by name, and the plan says so.
//! Serves ED 21-03 action 2.b ("suspected compromise"): evidence first. Source: docs/mitigate.md, "remove".

use directive::change::{Change, Command, FileChange, Kind, Origin, Quarantine, Target};
use directive::record::PackRef;
use directive::text::escape;
use jiff::Timestamp;

use super::Error;
use crate::hands::Hands;
use crate::quarantine::{END, LARGEST};

/// What a person wants to be removed.
#[derive(Debug, Clone)]
pub struct Removal<'a> {
    /// The pack that the instance is checked under.
    pub pack: PackRef,
    /// The instance.
    pub instance: &'a str,
    /// Where it is done, `local` or `ssh://user@host`.
    pub host: &'a str,
    /// Where the root of the instance lies on that host.
    pub root: &'a str,
    /// The files.
    pub wanted: &'a [Wanted],
    /// Whether processes that run from them are ended.
    pub end_processes: bool,
    /// The time.
    pub now: Timestamp,
}

/// One file.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Absolute from the root of the instance.
    pub path: String,
    /// SHA-256 of what the check saw, in hex; `None` if it said nothing of the file.
    pub seen: Option<String>,
    /// What it is, a line each; nothing if nobody knows it to be bad.
    pub known: Vec<String>,
    /// What will stand there.
    pub vendor: Option<Vendor>,
}

/// What the vendor shipped for a path.
#[derive(Debug, Clone, Default)]
pub struct Vendor {
    /// Its SHA-256, in hex, which a manifest from outside lists.
    pub sha256: String,
    /// Where bytes and digest come from, for people.
    pub from: String,
    /// Its mode, where manifest or package say it.
    pub mode: Option<u32>,
    /// Owner and group, where they say it.
    pub owner: Option<(u32, u32)>,
}

/// What was planned.
#[derive(Debug, Clone)]
pub struct Removed {
    /// The change; `None` if no file is left to be removed.
    pub change: Option<Change>,
    /// What was left out, a line each, with the reason.
    pub left_out: Vec<String>,
}

/// The most files of one change. It has to be read by a person.
const MOST: usize = 500;

/// Looks at one path, a word and its value a line.
const LOOK: &str = "p=$1; \
    [ ! -L \"$p\" ] || { echo 'is link'; exit 0; }; [ -e \"$p\" ] || { echo 'is nothing'; exit 0; }; \
    [ -f \"$p\" ] || { echo 'is other'; exit 0; }; echo 'is file'; echo \"real $(readlink -f -- \"$p\")\"; \
    echo \"stat $(stat -c '%a %u:%g %h %s' -- \"$p\")\"; echo \"sha256 $(sha256sum < \"$p\" | cut -c1-64)\"; \
    echo \"attributes $(lsattr -d -- \"$p\" 2>/dev/null | cut -d' ' -f1)\"; [ -w \"${p%/*}/\" ] && echo 'folder open'; \
    for e in /proc/[0-9]*/exe; do l=$(readlink -- \"$e\" 2>/dev/null) || continue; n=${e#/proc/}; \
    [ \"$l\" != \"$p\" ] || echo \"process ${n%/exe}\"; done; \
    tar --version 2>/dev/null | grep -q GNU && echo 'tar gnu'; exit 0";

/// What a machine says of a path.
#[derive(Debug, Default)]
struct Found {
    is: String,
    real: String,
    mode: u32,
    owner: String,
    names: u64,
    size: u64,
    sha256: String,
    attributes: String,
    is_folder_open: bool,
    is_tar_gnu: bool,
    processes: Vec<String>,
}

/// Plans to remove files.
///
/// # Errors
///
/// [`Error`] if the machine cannot be looked at, or its root is none.
pub fn removal(request: &Removal<'_>, hands: &dyn Hands) -> Result<Removed, Error> {
    let root = hands.must(&["readlink", "-f", "--", request.root])?;
    let root = String::from_utf8_lossy(&root).trim_end_matches('\n').trim_end_matches('/').to_owned();
    let (mut files, mut notes, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_whole = true;
    for wanted in request.wanted {
        if files.len() == MOST {
            left_out.push(format!(
                "{}: a change has at most {MOST} files; plan again after this one",
                escape(&wanted.path)
            ));
            continue;
        }
        let path = format!("{root}{}", wanted.path);
        let found = look(hands, &path)?;
        match file(&root, wanted, &found) {
            Ok(file) => {
                is_whole &= found.is_tar_gnu;
                tell(&mut notes, &file, wanted, &found, request.end_processes);
                files.push(file);
            }
            Err(why) => left_out.push(format!("{}: {why}", escape(&wanted.path))),
        }
    }
    if !is_whole {
        notes.push("The host's tar keeps no extended attributes: these are not put back by an undo.".to_owned());
    }
    if files.is_empty() {
        return Ok(Removed { change: None, left_out });
    }
    let change = change(request, &root, files, notes, &left_out, hands)?;
    Ok(Removed { change: Some(change), left_out })
}

fn change(
    request: &Removal<'_>,
    root: &str,
    files: Vec<FileChange>,
    told: Vec<String>,
    left_out: &[String],
    hands: &dyn Hands,
) -> Result<Change, Error> {
    let mut notes = vec![
        "Each file is first sealed in the case, encrypted, with owner, mode, times and attributes; `mitigate undo` \
         puts it back with them. Only the time of the last change of its entry (ctime) cannot be put back."
            .to_owned(),
        "This takes known files away, not the intruder: check the instance again afterwards, from outside.".to_owned(),
    ];
    notes.extend(told);
    notes.extend(left_out.iter().map(|line| format!("Left out: {line}.")));
    let paths = files.iter().map(|file| file.path.clone());
    let end = ["sh", "-c", END, "sh"].into_iter().map(str::to_owned).chain(paths);
    let runs = if request.end_processes { vec![Command::new(end)] } else { Vec::new() };
    let run = format!("{root}/run");
    let folder = if hands.run(&["test", "-d", &run], &[])?.code == 0 { run } else { root.to_owned() };
    let title = format!("Remove {} files from {} (at {})", files.len(), escape(request.instance), escape(request.host));
    let from =
        Origin { pack: request.pack.clone(), action: None, workaround: None, instance: request.instance.to_owned() };
    let target = Target {
        host: request.host.to_owned(),
        kind: Kind::Remove,
        lock: Some(format!("{folder}/portcullis-remove.lock")),
    };
    Ok(Change { notes, every: Some("24h".to_owned()), files, runs, ..Change::new(title, request.now, from, target) })
}

fn look(hands: &dyn Hands, path: &str) -> Result<Found, Error> {
    let out = hands.must(&["sh", "-c", LOOK, "sh", path])?;
    let mut found = Found::default();
    for line in String::from_utf8_lossy(&out).lines() {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "is" => found.is = value.to_owned(),
            "real" => found.real = value.to_owned(),
            "sha256" => found.sha256 = value.to_owned(),
            "attributes" => found.attributes = value.chars().filter(|letter| matches!(letter, 'i' | 'a')).collect(),
            "folder" => found.is_folder_open = true,
            "tar" => found.is_tar_gnu = true,
            "process" => found.processes.push(value.to_owned()),
            "stat" => {
                let words: Vec<&str> = value.split(' ').collect();
                if let [mode, owner, names, size] = words[..] {
                    found.mode = u32::from_str_radix(mode, 8).unwrap_or_default();
                    found.owner = owner.to_owned();
                    found.names = names.parse().unwrap_or_default();
                    found.size = size.parse().unwrap_or(u64::MAX);
                }
            }
            _ => {}
        }
    }
    // `lsattr` lists `a` after `i`; the change has them in that order too.
    Ok(found)
}

/// The entry of a file in the change, or why there is none.
fn file(root: &str, wanted: &Wanted, found: &Found) -> Result<FileChange, String> {
    match found.is.as_str() {
        "file" => {}
        "nothing" => return Err("nothing stands there any more".into()),
        "link" => return Err("a link stands there now, and links are not followed: look where it leads".into()),
        _ => return Err("no regular file stands there".into()),
    }
    if !found.real.starts_with(&format!("{root}/")) {
        return Err(format!("a folder on the way is a link that leads out of {root}/: {}", escape(&found.real)));
    }
    if wanted.seen.as_ref().is_some_and(|seen| *seen != found.sha256) {
        return Err("what stands there is not what the check saw: check the instance again".into());
    }
    if found.size > LARGEST {
        return Err(format!("it has {} bytes, and at most {LARGEST} go into quarantine", found.size));
    }
    if !found.is_folder_open {
        return Err("its folder cannot be written: a file system that is read-only, or a folder made immutable".into());
    }
    let mut lines: Vec<String> = wanted.known.iter().map(|line| format!("  {line}")).collect();
    lines
        .push(format!("- {} bytes, mode {:o}, owner {}, sha256 {}", found.size, found.mode, found.owner, found.sha256));
    let mut quarantine = Quarantine { attributes: found.attributes.clone(), ..Quarantine::default() };
    if let Some(vendor) = &wanted.vendor {
        if vendor.sha256 == found.sha256 {
            return Err(format!(
                "it is the vendor's own file by {}: known bad or not, decide by hand",
                escape(&vendor.from)
            ));
        }
        // Where nobody says what the vendor gave it, the new file gets the mode of the old one without its special
        // rights.
        let mode = vendor.mode.unwrap_or(found.mode & 0o777) & 0o7777;
        let owner = vendor.owner.map_or_else(|| found.owner.clone(), |(user, group)| format!("{user}:{group}"));
        lines.push(format!("+ the vendor's, sha256 {}, mode {mode:o}, owner {owner}", vendor.sha256));
        lines.push(format!("  from {}", vendor.from));
        (quarantine.mode, quarantine.owner) = (Some(format!("{mode:03o}")), Some(owner));
    }
    Ok(FileChange {
        path: found.real.clone(),
        before: Some(found.sha256.clone()),
        difference: lines.join("\n"),
        content: None,
        content_sha256: wanted.vendor.as_ref().map(|vendor| vendor.sha256.clone()),
        quarantine: Some(quarantine),
        undo_needs: false,
    })
}

/// What a person should know of a file before he approves.
fn tell(notes: &mut Vec<String>, file: &FileChange, wanted: &Wanted, found: &Found, is_ending: bool) {
    let path = escape(&file.path);
    if wanted.known.is_empty() {
        notes.push(format!("{path} is removed because a person named it: NOBODY KNOWS IT TO BE BAD."));
    }
    if wanted.seen.is_none() {
        notes.push(format!("{path}: the check said nothing of its bytes, so that they could not be compared."));
    }
    if found.mode & 0o6000 != 0 {
        notes.push(format!("{path} runs with the rights of its owner (mode {:o}).", found.mode));
    }
    if found.names > 1 {
        let others = found.names - 1;
        notes
            .push(format!("{path} has {others} more names (hard links) that stay: `find -xdev -samefile` finds them."));
    }
    if !found.attributes.is_empty() {
        notes.push(format!("{path} is kept from removal by the attributes {}: they are taken off.", found.attributes));
    }
    if !found.processes.is_empty() {
        let numbers = found.processes.join(", ");
        notes.push(match is_ending {
            true => format!("{path} runs now (process {numbers}): it is ended, and what is in its memory is lost."),
            false => format!("{path} runs now (process {numbers}) and GOES ON RUNNING; --end-processes would end it."),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let [is, real, owner] = ["file", "/mnt/x/bin/web", "0:0"].map(str::to_owned);
        let sha256 = "aa".repeat(32);
        Found { is, real, owner, sha256, mode: 0o6755, names: 1, size: 3, is_folder_open: true, ..Found::default() }
    }

    #[track_caller]
    fn check(wanted: &Wanted, found: &Found, expected: &str) {
        let said = match file("/mnt/x", wanted, found) {
            Ok(file) => format!("{} {:?}", file.path, file.quarantine.map(|how| (how.mode, how.owner))),
            Err(why) => why,
        };
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn a_file_is_taken_only_if_it_stands_there_as_it_was_seen_and_the_new_one_inherits_no_special_rights() {
        let seen = Wanted { path: "/bin/web".into(), seen: Some("aa".repeat(32)), ..Wanted::default() };
        check(&seen, &found(), "/mnt/x/bin/web Some((None, None))");
        check(&Wanted { seen: Some("bb".repeat(32)), ..seen.clone() }, &found(), "not what the check saw");
        check(&seen, &Found { real: "/usr/bin/web".into(), ..found() }, "leads out of /mnt/x/");
        check(&seen, &Found { real: "/mnt/xy/web".into(), ..found() }, "leads out of /mnt/x/");
        check(&seen, &Found { is: "link".into(), ..found() }, "links are not followed");
        check(&seen, &Found { is_folder_open: false, ..found() }, "read-only");
        check(&seen, &Found { size: LARGEST + 1, ..found() }, "at most");
        let vendor = Vendor { sha256: "cc".repeat(32), from: "a list".into(), ..Vendor::default() };
        check(&Wanted { vendor: Some(vendor.clone()), ..seen.clone() }, &found(), r#"(Some("755"), Some("0:0"))"#);
        let known = Vendor { mode: Some(0o4711), owner: Some((0, 7)), ..vendor.clone() };
        check(&Wanted { vendor: Some(known), ..seen.clone() }, &found(), r#"(Some("4711"), Some("0:7"))"#);
        let same = Vendor { sha256: "aa".repeat(32), ..vendor };
        check(&Wanted { vendor: Some(same), ..seen }, &found(), "the vendor's own file");
    }
}
