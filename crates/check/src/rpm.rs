//! Rpm: what does the database of rpm on the instance say was installed?
//!
//! Read from the evidence, never by running rpm: digests, owners, modes and links of every file that a
//! package installed. What `rpm --verify` passes over is passed over here: files that the package only
//! claims (ghosts), that were not installed or that another package replaced. Like every database of the
//! instance it vouches for nothing. Forms: SQLite (rpm 4.16 and later), Berkeley DB (before it), ndb (SUSE).
//! Source: rpm 4.18 `rpm(8)` on `--verify`, `include/rpm/rpmfiles.h`, `lib/verify.c`.

mod berkeley;
pub(crate) mod header;
mod ndb;
mod sqlite;

use std::collections::HashMap;

use evidence::Source;

use crate::database::{Database, gap, ids, read, unread};
use crate::manifest::lines::Line;
use crate::manifest::package::{Package as Installed, System};
use crate::manifest::{Digest, Owner};
use header::{File, Package};

/// What is wrong with a database.
type Broken = &'static str;

/// How the database is kept.
#[derive(Clone, Copy)]
enum Form {
    Sqlite,
    Berkeley,
    Ndb,
}

/// Where distributions keep the database. Where a host was updated from one form to another, rpm removes the older one.
const FILES: [(&str, Form); 8] = [
    ("/usr/lib/sysimage/rpm/rpmdb.sqlite", Form::Sqlite),
    ("/var/lib/rpm/rpmdb.sqlite", Form::Sqlite),
    ("/usr/share/rpm/rpmdb.sqlite", Form::Sqlite),
    ("/usr/lib/sysimage/rpm/Packages.db", Form::Ndb),
    ("/var/lib/rpm/Packages.db", Form::Ndb),
    ("/usr/lib/sysimage/rpm/Packages", Form::Berkeley),
    ("/var/lib/rpm/Packages", Form::Berkeley),
    ("/usr/share/rpm/Packages", Form::Berkeley),
];

/// Bytes of a database, which is held in memory. One of 3,000 packages has 200 MB.
const DATABASE_BYTES: u64 = 256 << 20;

// Source: `include/rpm/rpmfiles.h`, `rpmfileAttrs_e` and `rpmVerifyFlags_e`.
const CONFIG: u32 = 1;
const MISSING_OK: u32 = 1 << 3;
const GHOST: u32 = 1 << 6;
const VERIFY_DIGEST: u32 = 1;
const VERIFY_LINK: u32 = 1 << 2;
const VERIFY_USER: u32 = 1 << 3;
const VERIFY_GROUP: u32 = 1 << 4;
const VERIFY_MODE: u32 = 1 << 6;

/// Whether the evidence has a database of rpm, of whatever form.
pub(crate) fn is_there(source: &dyn Source) -> bool {
    FILES.iter().any(|(path, _)| source.canonical_file(path.as_bytes()).is_some())
}

/// Reads which packages are installed and, if that is wanted, what they claim.
pub(crate) fn read_database(source: &dyn Source, with_claims: bool, out: &mut Database) {
    let found = FILES.iter().find(|(path, _)| source.canonical_file(path.as_bytes()).is_some());
    let Some((path, form)) = found else {
        let why = "there is no database of rpm; give a list made elsewhere with `--manifest`";
        return out.gaps.push(gap("manifest-missing", Some(FILES[0].0.as_bytes()), None, why.to_owned()));
    };
    let before = out.gaps.len();
    let mut bytes_of = |path: &str| match source.read_small(path.as_bytes(), DATABASE_BYTES) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => {
            out.gaps.push(unread(path.as_bytes(), &error));
            Vec::new()
        }
    };
    let bytes = bytes_of(path);
    let log = if let Form::Sqlite = form { bytes_of(&format!("{path}-wal")) } else { Vec::new() };
    // What cannot be read was told; an empty file is told below, since rpm leaves none.
    if bytes.is_empty() && out.gaps.len() > before {
        return;
    }
    let names = Names {
        users: ids(&read(source, b"/etc/passwd", &mut out.gaps).unwrap_or_default()),
        groups: ids(&read(source, b"/etc/group", &mut out.gaps).unwrap_or_default()),
    };
    let mut damaged = 0_u64;
    let mut installed = Vec::new();
    let mut each = |bytes: &[u8]| {
        let Some(package) = header::parse(bytes) else {
            damaged += 1;
            return;
        };
        if with_claims {
            claims_of(&package, &names, path, out);
        }
        let left_out = package.files.iter().filter(|file| !file.is_there);
        out.left_out.extend(left_out.filter_map(|file| evidence::normalise(&file.path).ok()));
        let Package { name, version, architecture, .. } = package;
        installed.push(Installed { system: System::Rpm, name, version, architecture });
    };
    let read = match form {
        Form::Sqlite => sqlite::Database::open(&bytes, &log).and_then(|database| database.each("Packages", &mut each)),
        Form::Berkeley => berkeley::Database::open(&bytes).and_then(|database| database.each(&mut each)),
        Form::Ndb => ndb::each(&bytes, &mut each),
    };
    if let Err(why) = read {
        let why = format!("the database of rpm cannot be read to its end: {why}");
        out.gaps.push(gap("manifest-damaged", Some(path.as_bytes()), None, why));
    }
    if damaged > 0 {
        let why = format!("{damaged} packages of the database cannot be read; their files are not checked");
        out.gaps.push(gap("manifest-damaged", Some(path.as_bytes()), None, why));
    }
    out.rpms = Some(installed);
}

/// What an entry of a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Link,
    Other,
}

/// Told by its mode. Source: `sys/stat.h`.
pub(crate) fn kind_of(file: &File) -> Kind {
    match file.mode & 0o170_000 {
        0o100_000 => Kind::File,
        0o120_000 => Kind::Link,
        _ => Kind::Other,
    }
}

impl File {
    /// Whether the package claims the path without installing a file there.
    pub(crate) fn is_ghost(&self) -> bool {
        self.flags & GHOST != 0
    }
}

/// A configuration file, or one that the packager does not want to be verified: it changes in normal use.
pub(crate) fn may_change(file: &File) -> bool {
    file.flags & (CONFIG | MISSING_OK) != 0 || file.verify & VERIFY_DIGEST == 0
}

/// The numbers of users and groups on the instance.
struct Names {
    users: HashMap<Vec<u8>, u32>,
    groups: HashMap<Vec<u8>, u32>,
}

fn claims_of(package: &Package, names: &Names, path: &str, out: &mut Database) {
    let by = out.package(&package.name);
    if !out.fits(package.files.len(), &package.name, path.as_bytes()) {
        return;
    }
    let mut strange = 0_u64;
    for file in package.files.iter().filter(|file| file.is_there && !file.is_ghost()) {
        let Ok(place) = evidence::normalise(&file.path) else {
            strange += 1;
            continue;
        };
        match kind_of(file) {
            Kind::File => match claim(file, names, by) {
                Some(claim) => out.claims.push(Line { path: &place, ..claim }),
                None => strange += 1,
            },
            Kind::Link if file.verify & VERIFY_LINK != 0 => out.links.push((place, file.target.clone(), by)),
            _ => {}
        }
    }
    if strange > 0 {
        let why = format!(
            "{strange} files of {} have a digest of a kind that is not computed, or a path that leads nowhere; they \
             are not checked",
            package.name
        );
        let place = Some(format!("package {} {}", package.name, package.version));
        out.gaps.push(gap("manifest-missing", None, place, why));
    }
}

fn claim(file: &File, names: &Names, by: u32) -> Option<Line<'static, (Digest, u32)>> {
    let digest = match file.digest? {
        header::Digest::Sha256(digest) => Digest::Sha256(digest),
        header::Digest::Sha1(digest) => Digest::Sha1(digest),
        header::Digest::Md5(digest) => Digest::Md5(digest),
        header::Digest::Other => return None,
    };
    let id = |known: &HashMap<Vec<u8>, u32>, name: &[u8]| match name {
        // There is no other root, whatever `passwd` says.
        b"root" => Some(0),
        name => known.get(name).copied(),
    };
    let asked = |bit: u32| file.verify & bit != 0;
    let owner = Owner {
        mode: asked(VERIFY_MODE).then_some(file.mode & 0o7777),
        uid: id(&names.users, &file.user).filter(|_| asked(VERIFY_USER)),
        gid: id(&names.groups, &file.group).filter(|_| asked(VERIFY_GROUP)),
        exact: true,
    };
    Some(Line { path: &[], digest: (digest, by), conffile: may_change(file), owner: Some(owner) })
}
