//! Install: what exactly is done on the machine, so that only verified bytes get there and the old ones can come back?
//!
//! Makes a [`Change`], which a person approves and `mitigate` carries out; nothing is touched here. The packages come
//! from us, byte for byte as they were verified: the machine downloads nothing, so that nobody between it and a mirror
//! has a say. What will be replaced is copied into the case first. That it went through proves nothing: `prove` does.
//! Source: ED 21-03 action 3; apt-get(8), apt.conf(5), dnf(8), dpkg(1), dpkg-query(1), rpm(8).

use directive::change::{Change, Command, FileChange, Keep, Kind, Origin, Target};
use directive::pack::Pack;
use directive::text::escape;
use jiff::Timestamp;

use crate::verify::Verified;

/// Who installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian's.
    Apt,
    /// That of Fedora, Red Hat and others.
    Dnf,
}

/// What a person wants.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The pack that orders it.
    pub pack: &'a Pack,
    /// The instance.
    pub instance: &'a str,
    /// Where it is done, `local` or `ssh://user@host`.
    pub host: &'a str,
    /// What is installed.
    pub packages: &'a [Verified],
    /// What brings the old state back; empty: nothing does.
    pub back: &'a [Verified],
    /// Names of packages whose files are copied, where no list names them.
    pub names: &'a [String],
    /// Services that run the old programs until they are started anew.
    pub restart: &'a [String],
    /// Why there is no check of before, if there is none.
    pub unchecked: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// Why there is no change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is no package of this manager.
    #[error("{0} is no package of this kind")]
    Kind(String),
    /// Its name would become part of a path or a command in another sense.
    #[error("{0:?} is no plain name")]
    Name(String),
    /// Nobody says which packages are replaced.
    #[error("nobody says which package {0} is: its name is not signed")]
    Unnamed(String),
    /// The pack knows no steps.
    #[error("the pack has no steps for a person: its update.toml names none")]
    NoSteps,
}

/// Plans an installation by a package manager.
///
/// # Errors
///
/// [`Error`] by what is wrong with the request.
pub fn packages(manager: Manager, request: &Request<'_>) -> Result<Change, Error> {
    let names = names(request)?;
    let files: Vec<(String, &Verified)> = paths(manager, request.packages, "update")?;
    let back: Vec<(String, &Verified)> = paths(manager, request.back, "back")?;
    let mut change = begin(request, Kind::Command);
    change.target.lock = Some(format!("{FOLDER}-update.lock"));
    change.keeps = vec![Keep { what: format!("the files of {}", names.join(", ")), command: copy(manager, &names) }];
    for (path, verified) in files.iter().chain(&back) {
        change.files.push(FileChange {
            path: path.clone(),
            content_sha256: Some(verified.sha256().to_owned()),
            undo_needs: true,
            ..FileChange::default()
        });
    }
    let of = |files: &[(String, &Verified)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    change.checks = vec![install(manager, Way::Try, &of(&files))];
    change.runs = vec![install(manager, Way::Up, &of(&files))];
    for unit in request.restart {
        change.runs.push(Command::new(["systemctl", "restart", plain(unit)?]));
    }
    change.undo = match back.is_empty() {
        true => vec![Command::new(["true"])],
        false => vec![install(manager, Way::Down, &of(&back))],
    };
    notes(&mut change, request);
    Ok(change)
}

/// Plans what a person does by hand.
///
/// # Errors
///
/// [`Error::NoSteps`].
pub fn by_hand(request: &Request<'_>) -> Result<Change, Error> {
    if request.pack.updating.steps.is_empty() {
        return Err(Error::NoSteps);
    }
    let mut change = begin(request, Kind::ByHand);
    change.hands = request.pack.updating.steps.clone();
    change.notes.push("Do the steps in this order; then `mitigate apply` records who did them. Nothing is run.".into());
    notes(&mut change, request);
    Ok(change)
}

/// Where packages lie on the machine, a folder that only its administrator can write to.
const FOLDER: &str = "/var/cache/portcullis";

fn begin(request: &Request<'_>, kind: Kind) -> Change {
    let what: Vec<String> = request.packages.iter().map(named).collect();
    let what = if what.is_empty() { "an update".to_owned() } else { what.join(", ") };
    let title = format!("Install {what} on {} ({} at {})", request.instance, kind.as_str(), request.host);
    let from = Origin {
        pack: request.pack.reference(),
        // It is done when it is proved, and not when it went through.
        action: None,
        workaround: None,
        instance: request.instance.to_owned(),
    };
    let target = Target { host: request.host.to_owned(), kind, lock: None };
    Change::new(title, request.now, from, target)
}

fn named(verified: &Verified) -> String {
    let file = escape(verified.file());
    verified.package().map_or(file, |package| escape(format!("{} {}", package.name, package.version)))
}

fn notes(change: &mut Change, request: &Request<'_>) {
    for verified in request.packages.iter().chain(request.back) {
        let (name, sha256, trust) = (named(verified), verified.sha256(), verified.trust());
        change.notes.push(format!("{name}: {sha256}, {trust}."));
    }
    if let Some(why) = request.unchecked {
        change
            .notes
            .push(format!("NO check was taken before: {}. What an intruder left may be overwritten.", escape(why)));
    }
    if request.back.is_empty() && change.target.kind == Kind::Command {
        change.notes.push("It CANNOT be undone by a program: no packages of the old version were given.".into());
    }
    if request.restart.is_empty() && change.target.kind == Kind::Command {
        let note = "Programs that run go on running from the old files unless the package starts them anew.";
        change.notes.push(note.into());
    }
    change.notes.push("That it went through proves nothing: look again, then ask `portcullis update prove`.".into());
}

/// The packages' own names, of the lists and of the operator.
fn names(request: &Request<'_>) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = Vec::new();
    for verified in request.packages {
        match verified.package() {
            Some(package) => names.push(plain(&package.name)?.to_owned()),
            None if request.names.is_empty() => return Err(Error::Unnamed(escape(verified.file()))),
            None => {}
        }
    }
    for name in request.names {
        names.push(plain(name)?.to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// A word that is no option, no path and no pattern.
fn plain(word: &str) -> Result<&str, Error> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-._:~^@%".contains(c);
    match !word.is_empty() && word.len() < 200 && word.chars().all(is_plain) && !word.starts_with(['-', '.']) {
        true => Ok(word),
        false => Err(Error::Name(escape(word))),
    }
}

fn paths<'a>(manager: Manager, files: &'a [Verified], word: &str) -> Result<Vec<(String, &'a Verified)>, Error> {
    let end = match manager {
        Manager::Apt => ".deb",
        Manager::Dnf => ".rpm",
    };
    let path = |verified: &'a Verified| match verified.file().ends_with(end) {
        true => Ok((format!("{FOLDER}-{word}-{}", plain(verified.file())?), verified)),
        false => Err(Error::Kind(escape(verified.file()))),
    };
    files.iter().map(path).collect()
}

/// What a package manager is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Try,
    Up,
    Down,
}

/// Nothing is downloaded, nothing removed and no configuration of the operator's overwritten.
fn install(manager: Manager, way: Way, paths: &[String]) -> Command {
    let apt = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-y",
        "-q",
        "--no-install-recommends",
        "--no-remove",
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
        // Without a source nothing can be downloaded: what is not given is missing, and said to be.
        "-o",
        "Dir::Etc::sourcelist=/dev/null",
        "-o",
        "Dir::Etc::sourceparts=-",
        // Somebody else may be at it, or the very installation whose connection was lost.
        "-o",
        "DPkg::Lock::Timeout=600",
        "install",
    ];
    let dnf = ["dnf", "-y", "-q", "-C", "--disablerepo=*", "--setopt=install_weak_deps=False"];
    let words: Vec<&str> = match (manager, way) {
        (Manager::Apt, Way::Try) => [&apt[..], &["--simulate"]].concat(),
        (Manager::Apt, Way::Up) => apt.to_vec(),
        // Dpkg that was cut off wants to be told to go on before it does anything else.
        (Manager::Apt, Way::Down) => {
            let again = ["sh", "-c", "\"$@\" || { dpkg --configure -a; \"$@\"; }", "sh"];
            [&again[..], &apt[..], &["--allow-downgrades", "--reinstall"]].concat()
        }
        (Manager::Dnf, Way::Try) => vec!["rpm", "-U", "--test", "--replacepkgs"],
        (Manager::Dnf, Way::Up) => [&dnf[..], &["install"]].concat(),
        (Manager::Dnf, Way::Down) => [&dnf[..], &["downgrade"]].concat(),
    };
    Command::new(words.into_iter().map(str::to_owned).chain(paths.iter().cloned()))
}

/// Writes the files of these packages as a tar. What is not installed has none.
fn copy(manager: Manager, names: &[String]) -> Vec<String> {
    let list = match manager {
        Manager::Apt => "dpkg-query -L -- \"$@\" 2>/dev/null",
        Manager::Dnf => "rpm -ql -- \"$@\" 2>/dev/null",
    };
    let script = format!(
        "{list} | sort -u | while IFS= read -r file; do if [ -f \"$file\" ]; then printf '%s\\n' \"$file\"; fi; done | \
         tar -cf - --no-recursion --verbatim-files-from -T - 2>/dev/null"
    );
    ["sh", "-c", &script, "sh"].map(str::to_owned).into_iter().chain(names.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_an_option_a_path_or_a_command_is_refused() {
        for word in ["-oDebug", "../x.deb", "a b", "a;reboot", "$(id)", "", ".x", "a\nb", "a/b"] {
            assert!(plain(word).is_err(), "{word:?}");
        }
        for word in ["openssh-server_9.2p1-2+deb12u3_amd64.deb", "gateway-3:1.0-2.noarch.rpm", "libc6:amd64", "ssh@x"] {
            assert!(plain(word).is_ok(), "{word}");
        }
    }
}
