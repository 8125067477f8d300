//! Plan: what has to be changed on this machine, so that the rule holds?
//!
//! Only reads: what the proxy itself says its configuration is, and the files of it. Gives a change that a person can
//! read. Versions on which the workaround must not be used, scopes that do not allow the proof, and configurations
//! that we do not understand are refused here, before there is a change at all.
//! Source: nginx(8) (`-T`, `-V`), haproxy(1) (`-c`); docs/mitigate.md.

mod isolate;
mod remove;
mod vendor;

use std::net::SocketAddr;

use directive::change::{Change, Command, Drain, FileChange, Kind, Origin, Prove, Target};
use directive::pack::Pack;
use directive::record::hex;
use directive::scope::Scope;
use directive::text::escape;
use directive::workaround::{Allowed, Workaround};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

pub use self::isolate::{Isolation, Way, isolation};
pub use self::remove::{Removal, Removed, Vendor, Wanted, removal};
pub use self::vendor::vendor_file;
use crate::engine::{Rule, haproxy, insert, nginx};
use crate::hands::{self, Hands};

/// What a person wants.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The pack.
    pub pack: &'a Pack,
    /// The rule.
    pub workaround: &'a Workaround,
    /// How it is done.
    pub kind: Kind,
    /// The instance that it protects.
    pub instance: &'a str,
    /// Its version, as far as anybody knows.
    pub version: Option<&'a str>,
    /// Where it is done, `local` or `ssh://user@host`.
    pub host: &'a str,
    /// The configuration; the usual place where none is named.
    pub config: Option<&'a str>,
    /// The file with the number of the first process; the usual place where none is named.
    pub pid_file: Option<&'a str>,
    /// What makes it take effect, where that is not the usual.
    pub reload: Option<Vec<String>>,
    /// Where visitors reach it.
    pub at: &'a [SocketAddr],
    /// The name that they use.
    pub name: Option<&'a str>,
    /// Programs that must succeed.
    pub works: &'a [Vec<String>],
    /// How long old connections may last, in seconds.
    pub drain: u32,
    /// The time.
    pub now: Timestamp,
}

/// Why there is no change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The workaround must not be used here.
    #[error("the workaround must not be used: {0}")]
    MustNot(String),
    /// The version decides, and nobody knows it.
    #[error("nobody knows the version of {instance}, and it decides: {why}")]
    Version {
        /// The instance.
        instance: String,
        /// On which versions it must not be used.
        why: String,
    },
    /// The proof would leave the scope.
    #[error("{0} is outside the declared scope")]
    Outside(SocketAddr),
    /// There is nothing to ask.
    #[error("{0} has no address to prove it at")]
    NoAddress(String),
    /// The workaround blocks no paths.
    #[error("this workaround blocks no paths: only the vendor's own file does it")]
    NoPaths,
    /// The machine could not be read.
    #[error(transparent)]
    Hands(#[from] hands::Error),
    /// The configuration cannot be read.
    #[error("the configuration {path} is not understood: {why}")]
    Config {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The pack knows no file of the vendor's.
    #[error("this workaround has no file of the vendor")]
    NoVendorFile,
    /// The file is another one.
    #[error("this is not {name}: its digest is {digest}, and the pack pins another")]
    OtherFile {
        /// The name of the file that was meant.
        name: String,
        /// The digest of what was given.
        digest: String,
    },
    /// It is there already.
    #[error("{path} holds this workaround already")]
    There {
        /// The file.
        path: String,
    },
    /// It cannot be written down.
    #[error("the change cannot be written down")]
    Span(#[from] jiff::Error),
    /// This is not planned here.
    #[error("{0} is not planned like this")]
    Kind(&'static str),
}

/// Plans a change for a proxy.
///
/// # Errors
///
/// [`Error`]; nothing was touched.
pub fn proxy(request: &Request<'_>, scope: &Scope, hands: &dyn Hands) -> Result<Change, Error> {
    may(request, scope)?;
    if request.workaround.blocked.is_empty() {
        return Err(Error::NoPaths);
    }
    let mut change = begin(request)?;
    change.prove = Some(proof(request));
    match request.kind {
        Kind::Nginx => nginx(request, hands, &mut change)?,
        Kind::Haproxy => haproxy(request, hands, &mut change)?,
        other => return Err(Error::Kind(other.as_str())),
    }
    Ok(change)
}

/// Whether the workaround may be used, and proved, at all.
pub(crate) fn may(request: &Request<'_>, scope: &Scope) -> Result<(), Error> {
    let scheme = request.pack.product.scheme;
    match request.workaround.allows(request.kind, request.version, scheme) {
        Allowed::Yes => {}
        Allowed::No(why) => return Err(Error::MustNot(why)),
        Allowed::Unknown(why) => return Err(Error::Version { instance: escape(request.instance), why }),
    }
    if request.at.is_empty() {
        return Err(Error::NoAddress(escape(request.instance)));
    }
    match request.at.iter().find(|at| !scope.allows(**at)) {
        Some(outside) => Err(Error::Outside(*outside)),
        None => Ok(()),
    }
}

/// What every change of a workaround says.
pub(crate) fn begin(request: &Request<'_>) -> Result<Change, Error> {
    let workaround = request.workaround;
    let expires = request.now.to_zoned_datetime(request.pack.zone.clone()).checked_add(workaround.expires_after.0)?;
    let title = format!("{} ({} at {})", workaround.title, request.kind.as_str(), request.host);
    let from = Origin {
        pack: request.pack.reference(),
        action: workaround.action.as_ref().map(|action| action.get_ref().clone()),
        workaround: Some(workaround.id.get_ref().clone()),
        instance: request.instance.to_owned(),
    };
    let target = Target { host: request.host.to_owned(), kind: request.kind, lock: None };
    Ok(Change {
        notes: workaround.notes.clone(),
        expires: Some(expires.timestamp()),
        every: Some(format!("{:#}", workaround.every.0)),
        ..Change::new(title, request.now, from, target)
    })
}

/// What is asked to prove it.
pub(crate) fn proof(request: &Request<'_>) -> Prove {
    let rule = Rule { pack: request.pack.id(), workaround: request.workaround };
    Prove {
        at: request.at.iter().map(ToString::to_string).collect(),
        name: request.name.map(str::to_owned),
        marker: Some(rule.marker()),
        headers: rule.headers().map(str::to_owned).collect(),
        blocked: rule.blocked(),
        required: request.workaround.required.iter().map(|required| required.get_ref().clone()).collect(),
        works: request.works.iter().map(|words| Command::new(words.clone())).collect(),
        ..Prove::default()
    }
}

fn nginx(request: &Request<'_>, hands: &dyn Hands, change: &mut Change) -> Result<(), Error> {
    let config = request.config.unwrap_or("/etc/nginx/nginx.conf");
    let config = resolve(hands, config)?;
    let shown = hands.must(&["nginx", "-T", "-q", "-c", &config])?;
    let names = shown_files(&String::from_utf8_lossy(&shown));
    let rule = Rule { pack: request.pack.id(), workaround: request.workaround };
    let folder = config.rsplit_once('/').map_or("", |(folder, _)| folder);
    let snippet = format!("{folder}/portcullis-{}-{}.conf", rule.pack, rule.workaround.id.get_ref());
    let headers: Vec<&str> = rule.headers().collect();
    let mut read = Vec::new();
    for name in names {
        let path = resolve(hands, &name)?;
        let text = text(hands, &path)?;
        let blocks = nginx::blocks(&text).map_err(|err| Error::Config { path: path.clone(), why: err.to_string() })?;
        read.push((name, path, text, blocks));
    }
    let elsewhere = patterns_of_streams(&read.iter().map(|(_, _, _, blocks)| blocks.as_slice()).collect::<Vec<_>>());
    let before = hands.read(&snippet)?;
    if before.is_some() {
        return Err(Error::There { path: snippet });
    }
    let content = Some(nginx::snippet(&rule));
    change.files.push(FileChange { path: snippet.clone(), content, ..FileChange::default() });
    // A file that is included may set headers for whatever includes it: then a server must not begin to set some of its
    // own, since it would lose those of above.
    let is_set_above = read.iter().any(|(_, _, _, blocks)| nginx::sets_headers(&blocks[0]));
    let mut servers = 0;
    for (name, path, text, blocks) in &read {
        let is_http = !elsewhere.iter().any(|pattern| fits(pattern, name, folder));
        let insertions = nginx::insertions(blocks, &snippet, &headers, nginx::Around { is_http, is_set_above });
        servers += insertions.iter().filter(|one| one.text.contains("include ")).count();
        if !insertions.is_empty() && !change.files.iter().any(|file| file.path == *path) {
            change.files.push(changed(path, text, insertions));
        }
    }
    if servers == 0 {
        return Err(Error::Config { path: config, why: "it has no server of HTTP".into() });
    }
    change.notes.push(format!("The rule goes into {servers} servers of nginx; each is asked before any location."));
    if !headers.is_empty() {
        let list = headers.join(", ");
        change
            .notes
            .push(format!("Requests with {list} are refused whole: a proxy before this one must not add them."));
    }
    let pid = read.first().and_then(|(_, _, _, blocks)| directive(blocks, "pid"));
    let pid = match (request.pid_file, pid) {
        (Some(pid), _) => pid.to_owned(),
        (None, Some(pid)) if pid.starts_with('/') => pid,
        (None, Some(pid)) => format!("{folder}/{pid}"),
        (None, None) => built_in(hands, "--pid-path=")?.unwrap_or_else(|| "/run/nginx.pid".to_owned()),
    };
    change.checks = vec![Command::new(["nginx", "-t", "-q", "-c", &config])];
    change.runs = vec![
        request.reload.clone().map_or_else(|| Command::new(["nginx", "-s", "reload", "-c", &config]), Command::new),
    ];
    finish(change, request, &config, pid);
    Ok(())
}

fn haproxy(request: &Request<'_>, hands: &dyn Hands, change: &mut Change) -> Result<(), Error> {
    let config = resolve(hands, request.config.unwrap_or("/etc/haproxy/haproxy.cfg"))?;
    let text = text(hands, &config)?;
    let rule = Rule { pack: request.pack.id(), workaround: request.workaround };
    if text.contains(&rule.marker()) {
        return Err(Error::There { path: config });
    }
    hands.must(&["haproxy", "-c", "-f", &config])?;
    let sections = haproxy::sections(&text);
    if sections.http.is_empty() {
        return Err(Error::Config {
            path: config,
            why: "it has no frontend of mode http: requests are not seen".into(),
        });
    }
    let insertions = haproxy::insertions(&sections, &rule);
    change.files.push(changed(&config, &text, insertions));
    let names: Vec<&str> = sections.http.iter().map(|(_, name)| name.as_str()).collect();
    change.notes.push(format!("The rule goes before all others into: {}.", escape(names.join(", "))));
    if !sections.tcp.is_empty() {
        let names = escape(sections.tcp.join(", "));
        change.notes.push(format!("NOT protected, since they see no requests (mode tcp): {names}."));
    }
    let pid = request.pid_file.unwrap_or("/run/haproxy.pid").to_owned();
    change.checks = vec![Command::new(["haproxy", "-c", "-f", &config])];
    let usual = Command::new(["sh", "-c", "kill -USR2 \"$(cat \"$1\")\"", "sh", &pid]);
    change.runs = vec![request.reload.clone().map_or(usual, Command::new)];
    finish(change, request, &config, pid);
    Ok(())
}

fn finish(change: &mut Change, request: &Request<'_>, config: &str, pid: String) {
    let seconds = request.drain;
    change.notes.push(format!(
        "Connections that are open then have {seconds} s to finish and are ended: one could still reach the hole."
    ));
    change.drain = Some(Drain { pid_file: pid, seconds });
    change.target.lock = Some(format!("{config}.portcullis-lock"));
}

/// A file with lines inserted.
fn changed(path: &str, text: &str, insertions: Vec<crate::engine::Insertion>) -> FileChange {
    let (content, difference) = insert(text, insertions);
    let before = Some(hex(&Sha256::digest(text)));
    FileChange { path: path.to_owned(), before, difference, content: Some(content), ..FileChange::default() }
}

/// The true path of a file, so that no link is replaced by a file.
fn resolve(hands: &dyn Hands, path: &str) -> Result<String, Error> {
    let out = hands.must(&["readlink", "-f", "--", path])?;
    Ok(String::from_utf8_lossy(&out).trim_end_matches('\n').to_owned())
}

fn text(hands: &dyn Hands, path: &str) -> Result<String, Error> {
    let wrong = |why: &str| Error::Config { path: path.to_owned(), why: why.to_owned() };
    let bytes = hands.read(path)?.ok_or_else(|| wrong("there is no such file"))?;
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))
}

/// The files that `nginx -T` shows, each once.
fn shown_files(shown: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in shown.lines() {
        let name = line.strip_prefix("# configuration file ").and_then(|rest| rest.strip_suffix(':'));
        if let Some(name) = name.filter(|name| name.starts_with('/') && !names.iter().any(|known| known == name)) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Patterns of files that are included where no HTTP is spoken.
fn patterns_of_streams(files: &[&[nginx::Block]]) -> Vec<String> {
    let blocks = files.iter().copied().flatten();
    let other = blocks.filter(|block| block.words.first().is_some_and(|word| word == "stream" || word == "mail"));
    let includes =
        other.flat_map(|block| &block.directives).filter(|words| words.first().is_some_and(|w| w == "include"));
    includes.filter_map(|words| words.get(1).cloned()).collect()
}

/// Whether a path is one that a pattern of `include` means: `*` stands for anything but a slash.
fn fits(pattern: &str, path: &str, folder: &str) -> bool {
    let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{folder}/{pattern}") };
    let (head, tail) = pattern.split_once('*').unwrap_or((&pattern, ""));
    let is_whole = !pattern.contains('*') && pattern == path;
    let middle = path.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
    is_whole || (pattern.contains('*') && middle.is_some_and(|middle| !middle.contains('/')))
}

/// The first value of a directive at the top of a file.
fn directive(blocks: &[nginx::Block], name: &str) -> Option<String> {
    let top = blocks.first()?;
    top.directives.iter().find(|words| words.first().is_some_and(|word| word == name))?.get(1).cloned()
}

/// What was built into nginx.
fn built_in(hands: &dyn Hands, option: &str) -> Result<Option<String>, Error> {
    let done = hands.run(&["sh", "-c", "nginx -V 2>&1"], &[])?;
    let text = String::from_utf8_lossy(&done.out).into_owned();
    let found = text.split_whitespace().find_map(|word| word.strip_prefix(option));
    Ok(found.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_from_what_nginx_shows_and_streams_are_left_alone() {
        let shown = "# configuration file /etc/nginx/nginx.conf:\nstream {\n# configuration file /a/b.conf:\n\
                     # configuration file /etc/nginx/nginx.conf:\n# configuration file relative:\n";
        assert_eq!(shown_files(shown), ["/etc/nginx/nginx.conf", "/a/b.conf"]);
        let blocks = nginx::blocks("stream { include streams/*.conf; }\nhttp { include sites/*; }").unwrap();
        let patterns = patterns_of_streams(&[&blocks]);
        assert_eq!(patterns, ["streams/*.conf"]);
        assert!(fits(&patterns[0], "/etc/nginx/streams/x.conf", "/etc/nginx"));
        assert!(!fits(&patterns[0], "/etc/nginx/streams/x/y.conf", "/etc/nginx"));
        assert!(!fits(&patterns[0], "/etc/nginx/sites/x.conf", "/etc/nginx"));
    }
}
