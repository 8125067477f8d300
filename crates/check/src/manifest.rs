//! Manifest: which digest was shipped for which path, and who says so?
//!
//! A list that the operator brings from outside can vouch for a file. A list found on the instance
//! cannot, because whoever can change a file there can change its line too: the manifest that an
//! intruder re-signed with a key of his own verified perfectly. The two are different types, and
//! only [`Operator`] claims make a [`Vouched`].
//! Source: design, idea 3 "Never ask the suspect".

mod aide;
pub mod compose;
pub mod deb;
pub mod difference;
pub(crate) mod found;
pub(crate) mod lines;
mod list;
mod mtree;
pub mod package;
pub mod rpm;
pub mod signature;

use std::marker::PhantomData;

use directive::problem::Problems;
use directive::record::Gap;
use evidence::Digests;
use lines::{Line, Lines};
pub(crate) use list::hex;

/// Marks what comes from outside the instance.
#[derive(Debug, Clone, Copy)]
pub struct Operator(());

/// Marks what was found on the instance itself.
#[derive(Debug, Clone, Copy)]
pub struct Instance(());

/// What was shipped, according to one list of one origin.
#[derive(Debug, Clone)]
pub struct Manifest<Origin> {
    /// What the list is called in findings.
    pub name: String,
    /// The version of the product whose files are listed, where the list says so.
    pub version: Option<String>,
    pub(crate) lines: Lines,
    /// Symbolic links that are listed, and where they point.
    pub(crate) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Files that are listed without a digest that vouches.
    pub(crate) bare: Vec<Vec<u8>>,
    /// Of those, how many have a digest of another kind.
    weak: u64,
    /// The package whose files are listed, where it is one.
    pub(crate) package: Option<package::Package>,
    origin: PhantomData<Origin>,
}

/// Owner and mode that somebody lists for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    /// `None` if it may change.
    pub(crate) mode: Option<u32>,
    /// `None` if the evidence does not know the name.
    pub(crate) uid: Option<u32>,
    /// `None` if the evidence does not know the name.
    pub(crate) gid: Option<u32>,
    /// Whether any difference tells something, or only one that gives more rights: scripts of Debian's
    /// packages change modes after unpacking, those of others must say so in the package.
    pub(crate) exact: bool,
}

impl Manifest<Operator> {
    /// Reads a list that was made elsewhere: the output of `sha256sum`, a BSD `mtree` specification, a database
    /// of AIDE, or the appliance's own format (`<path> <sha256> b`). The caller answers for its origin.
    ///
    /// Relative paths are taken from the evidence root. The format is told from the first line. A comment
    /// `# version: 9.1R11.4` before it says whose files are listed.
    ///
    /// # Errors
    ///
    /// [`Problems`] with file, line and caret if a line is not of that format, a path climbs with
    /// `..`, a path is listed twice with different digests, or a limit is met.
    pub fn from_operator(name: &str, bytes: &[u8]) -> Result<Self, Problems> {
        let unpacked = aide::unpacked(name, bytes)?;
        let bytes = unpacked.as_deref().unwrap_or(bytes);
        if aide::is(bytes) {
            let aide::Listed { lines, links, bare, weak } = aide::parse(name, bytes)?;
            return Ok(Self { links, bare, weak, ..Self::of_lines(name, lines) });
        }
        let lines = if mtree::is(bytes) { mtree::parse(name, bytes)? } else { list::parse(name, bytes)? };
        Ok(Self { version: list::version(bytes), ..Self::of_lines(name, lines) })
    }

    fn of_lines(name: &str, mut lines: Lines) -> Self {
        lines.shrink();
        let (links, bare) = (Vec::new(), Vec::new());
        let name = name.to_owned();
        Self { name, version: None, lines, links, bare, weak: 0, package: None, origin: PhantomData }
    }

    /// What a package ships, read from the package itself.
    fn of_package(name: &str, package: package::Package, lines: Lines, links: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self { links, package: Some(package), ..Self::of_lines(name, lines) }
    }
}

impl Manifest<Operator> {
    /// Reads a list only if `signature` over its very bytes verifies under `key`.
    ///
    /// # Errors
    ///
    /// [`signature::Refused`] if it does not verify, or verifies and is no list.
    pub fn from_signed(
        name: &str,
        bytes: &[u8],
        signature: &str,
        key: &signature::PublicKey,
    ) -> Result<Self, signature::Refused> {
        key.verify(bytes, signature)?;
        Ok(Self::from_operator(name, bytes)?)
    }
}

impl Manifest<Operator> {
    /// Reads a list that was found on the instance and is signed by a key that is pinned elsewhere.
    pub(crate) fn from_pinned(name: &str, list: found::Pinned<'_>) -> Result<Self, Problems> {
        Self::from_operator(name, list.bytes())
    }
}

impl<Origin> Manifest<Origin> {
    /// How many files are listed.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// What the list cannot vouch for although it names it.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = Gap> {
        let others = self.bare.len() as u64 - self.weak;
        let gap = |count: u64, what: &str, required| {
            let why = format!("{} lists {count} files with {what}: what is in them is not known", self.name);
            Gap { code: "manifest-weak".into(), path: None, place: None, why, required }
        };
        let weak = (self.weak > 0).then(|| gap(self.weak, "a digest of another kind than SHA-256", true));
        let none = (others > 0).then(|| gap(others, "no digest", false));
        weak.into_iter().chain(none)
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// The digest that somebody claims for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256([u8; 32]),
    Sha1([u8; 20]),
    Md5([u8; 16]),
}

impl Digest {
    fn holds(&self, digests: &Digests) -> bool {
        match self {
            Self::Sha256(expected) => digests.sha256 == *expected,
            Self::Sha1(expected) => digests.sha1 == Some(*expected),
            Self::Md5(expected) => digests.md5 == Some(*expected),
        }
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Sha1(_) => "SHA-1",
            Self::Md5(_) => "MD5",
        }
    }
}

/// That somebody of one origin lists a digest for a path.
#[derive(Debug, Clone)]
pub(crate) struct Claim<Origin> {
    pub(crate) digest: Digest,
    /// The manifest or package, by its number in the index.
    pub(crate) by: u32,
    /// A configuration file, which the administrator is expected to change.
    pub(crate) conffile: bool,
    pub(crate) owner: Option<Owner>,
    origin: PhantomData<Origin>,
}

impl<Origin> Claim<Origin> {
    pub(crate) fn holds(&self, digests: &Digests) -> bool {
        self.digest.holds(digests)
    }
}

impl Claim<Operator> {
    pub(crate) fn of_line(line: Line<'_>, by: u32) -> Self {
        let (conffile, owner) = (line.conffile, line.owner);
        Self { digest: Digest::Sha256(line.digest), by, conffile, owner, origin: PhantomData }
    }

    /// The proof that a trusted list has this very digest for this very path.
    pub(crate) fn vouch(&self, digests: &Digests) -> Option<Vouched> {
        self.holds(digests).then_some(Vouched(()))
    }
}

impl Claim<Instance> {
    /// What a package of the instance says, and which.
    pub(crate) fn of_package(line: Line<'_, (Digest, u32)>) -> Self {
        let Line { digest: (digest, by), conffile, owner, .. } = line;
        Self { digest, by, conffile, owner, origin: PhantomData }
    }
}

/// That a manifest from outside the instance lists a file with its digest.
///
/// Only [`Claim::vouch`] makes one, and only for the origin [`Operator`]:
///
/// ```compile_fail
/// let forged = check::manifest::Vouched(());
/// ```
///
/// ```compile_fail
/// let own = check::Manifest::<check::Instance>::from_operator("manifest", b"");
/// ```
#[derive(Debug)]
pub struct Vouched(());

/// What a list says of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// SHA-256 of what was shipped.
    pub sha256: [u8; 32],
    /// Its mode, where the list says it.
    pub mode: Option<u32>,
    /// Its owner and group by number, where the list says both.
    pub owner: Option<(u32, u32)>,
}

impl Manifest<Operator> {
    /// What is listed for a path, as written in the list. For a few files: the whole list is looked through.
    pub fn shipped(&self, path: &[u8]) -> Option<Shipped> {
        let line = self.lines.iter().find(|line| line.path == path)?;
        let owner = line.owner.and_then(|owner| Some((owner.uid?, owner.gid?)));
        Some(Shipped { sha256: line.digest, mode: line.owner.and_then(|owner| owner.mode), owner })
    }
}
