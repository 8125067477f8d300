//! Change: what exactly will be done to which machine, what must keep working, and how is it undone?
//!
//! A change is a file that a person can read, made before anything is touched. It is approved by its digest: whoever
//! holds an [`Approved`] holds the very bytes that a named person has seen. `mitigate` is the only crate that acts on
//! one; other crates may make one.
//! Never touches anything itself. Source: ED 21-03 actions 2.a.ii, 2.b.i and 3; design, section 2 ("mitigate").

mod check;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::problem::{Problem, Problems};
use crate::record::{PackRef, hex};
use crate::updating::Step;
use crate::workaround::{Blocked, Required};

/// The version of the form of a change.
pub const VERSION: u8 = 1;

/// The largest file of a change, in bytes. A configuration has some kilobytes; a change must stay readable.
pub const LARGEST: usize = 4 << 20;

/// What will be done to one machine, in the order of the fields: files, checks, commands, drain, proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// The form, [`VERSION`].
    pub v: u8,
    /// What it does, in one line.
    pub title: String,
    /// What a person should know before he approves it, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// When it was planned.
    pub made: Timestamp,
    /// From when on it is no answer any more; a workaround is never for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// For how long a proof counts, `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Where it comes from.
    pub from: Origin,
    /// What is changed.
    pub target: Target,
    /// What is copied into the case before anything is changed.
    #[serde(default, rename = "keep", skip_serializing_if = "Vec::is_empty")]
    pub keeps: Vec<Keep>,
    /// Files that are written, whole.
    #[serde(default, rename = "file", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// Programs that must agree after the files are written and before anything runs with them.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Command>,
    /// What makes the files take effect.
    #[serde(default, rename = "run", skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Command>,
    /// What undoes the commands, after the files are as they were. Empty: the same commands again.
    #[serde(default, rename = "undo", skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Command>,
    /// What a person does, in this order, where no program does it; it is done before the change is applied.
    #[serde(default, rename = "hand", skip_serializing_if = "Vec::is_empty")]
    pub hands: Vec<Step>,
    /// Processes that must end, because they still work by the old files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// How it is proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prove: Option<Prove>,
}

impl Change {
    /// A change that does nothing yet.
    pub fn new(title: String, made: Timestamp, from: Origin, target: Target) -> Self {
        Self {
            v: VERSION,
            title,
            notes: Vec::new(),
            made,
            expires: None,
            every: None,
            from,
            target,
            keeps: Vec::new(),
            files: Vec::new(),
            checks: Vec::new(),
            runs: Vec::new(),
            undo: Vec::new(),
            hands: Vec::new(),
            drain: None,
            prove: None,
        }
    }
}

/// Where a change comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Origin {
    /// The pack, exactly.
    pub pack: PackRef,
    /// The action that it does, as the directive numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The workaround of the pack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workaround: Option<String>,
    /// The instance that it protects, by its name in the scope.
    pub instance: String,
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// `local`, or `ssh://user@host:port`.
    pub host: String,
    /// What stands there.
    pub kind: Kind,
    /// A folder that is made while somebody works on it, so that two cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
}

/// What can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An nginx before the product.
    Nginx,
    /// A HAProxy before the product.
    Haproxy,
    /// A packet filter that isolates the instance.
    Nftables,
    /// The vendor's own file, which a person imports.
    VendorFile,
    /// Programs: an installation, for example.
    Command,
    /// Files of an instance that are known to be malware.
    Remove,
    /// Nothing by a program: a person does the steps, and answers for them.
    ByHand,
}

impl Kind {
    /// The word for it, as it stands in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Nftables => "nftables",
            Self::VendorFile => "vendor-file",
            Self::Command => "command",
            Self::Remove => "remove",
            Self::ByHand => "by-hand",
        }
    }
}

/// One file that is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileChange {
    /// Absolute, with links resolved.
    pub path: String,
    /// SHA-256 of what stands there when the change was planned; absent: no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What changes in it, for a person: lines with `+` and `-`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub difference: String,
    /// What will stand there, where a person can read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// SHA-256 of what will stand there, where a person cannot: a package, a program. The bytes are in the case's
    /// `evidence/`, put there by whoever planned the change. With neither, the file is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
    /// Whether the commands that undo need it: then it is put back after them, and otherwise before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo_needs: bool,
    /// What stands there is known malware: it is sealed in the case with everything that the file system says of it,
    /// and is put back from there with all of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
}

/// How a file goes into quarantine, and what the one in its place may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quarantine {
    /// Mode of what will stand there, in octal. Never that of malware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Its owner and group, by number: `0:0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Attributes that keep anybody from removing what stands there, in the letters of `chattr`: `i`, `a`, `ia`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub attributes: String,
}

impl FileChange {
    /// SHA-256 of what will stand there; `None`: nothing will.
    pub fn after(&self) -> Option<String> {
        let written = self.content.as_ref().map(|content| hex(&Sha256::digest(content)));
        written.or_else(|| self.content_sha256.clone())
    }
}

/// What is copied into the case before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keep {
    /// What it is, in a few words.
    pub what: String,
    /// The program that writes it, and its arguments. It only reads.
    pub command: Vec<String>,
}

/// A program that is run on the target, without a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Command {
    /// A program with its arguments.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self { command: words.into_iter().map(Into::into).collect() }
    }
}

/// Processes that must end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drain {
    /// The file in which the first process writes its number.
    pub pid_file: String,
    /// How long its old children may finish what they have begun, in seconds. Then they are ended.
    pub seconds: u32,
}

/// How a change is proved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prove {
    /// Where to ask, `192.0.2.7:443`. Each must lie in the scope.
    #[serde(default)]
    pub at: Vec<String>,
    /// The name that visitors use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What a refusal says, so that it cannot be taken for an answer of the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// Headers by which a product may be told another path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// What must be refused, in every spelling.
    #[serde(default, rename = "blocked", skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<Blocked>,
    /// What must be answered as before.
    #[serde(default, rename = "required", skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<Required>,
    /// Programs of this machine that must succeed: a login with a real client, for example.
    #[serde(default, rename = "works", skip_serializing_if = "Vec::is_empty")]
    pub works: Vec<Command>,
    /// Where nobody may be heard any more: ports of an instance that is isolated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
    /// Where somebody must still be heard: management, evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
}

/// A change as it lies in a file: the bytes, and what they say.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    change: Change,
    bytes: Vec<u8>,
    sha256: String,
}

/// Why a change was not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotApproved {
    /// The digest is that of another file.
    #[error("the file has the digest {found}, and {given} was approved")]
    Other {
        /// The digest of the file.
        found: String,
        /// The digest that the person gave.
        given: String,
    },
    /// Nobody answers for it.
    #[error("an approval names the person who gives it")]
    Nobody,
    /// It is too old.
    #[error("the change expired on {0}")]
    Expired(Timestamp),
}

/// A change that a named person has approved, byte for byte. Only [`Written::approve`] makes one.
#[derive(Debug, Clone)]
pub struct Approved {
    written: Written,
    who: String,
    when: Timestamp,
}

impl Written {
    /// Puts a change into the form of a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it; nothing is, where a crate of ours made it.
    pub fn write(change: &Change) -> Result<Self, Problems> {
        let text = toml::to_string_pretty(change)
            .map_err(|err| Problem::whole("the change", format!("it cannot be written: {err}")))?;
        Self::parse("the change", format!("{HEAD}{text}").as_bytes())
    }

    /// Reads a file. `file` is its name for messages.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its place.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Problems> {
        if bytes.len() > LARGEST {
            return Err(Problem::whole(file, format!("a change of more than {LARGEST} bytes")).into());
        }
        let text = std::str::from_utf8(bytes).map_err(|err| {
            Problems::from(Problem::whole(file, format!("not UTF-8 from byte {}", err.valid_up_to())))
        })?;
        let change: Change = toml::from_str(text).map_err(|err| Problem::from_toml(file, text, &err))?;
        let problems = check::problems(file, &change);
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self { change, bytes: bytes.to_vec(), sha256: hex(&Sha256::digest(bytes)) })
    }

    /// What is said.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes, in hex: what is approved.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Approves it: `who` has seen the file of that digest, at `when`. At least twelve digits are enough.
    ///
    /// # Errors
    ///
    /// [`NotApproved`] if the digest is another one, nobody is named, or it has expired.
    pub fn approve(self, who: &str, when: Timestamp, digest: &str) -> Result<Approved, NotApproved> {
        let given = digest.trim().to_ascii_lowercase();
        if given.len() < SHORTEST || !self.sha256.starts_with(&given) {
            return Err(NotApproved::Other { found: self.sha256, given });
        }
        if who.trim().is_empty() {
            return Err(NotApproved::Nobody);
        }
        match self.change.expires {
            Some(expires) if expires <= when => Err(NotApproved::Expired(expires)),
            _ => Ok(Approved { written: self, who: who.trim().to_owned(), when }),
        }
    }
}

/// Digits of a digest that a person has to give: 48 bits, which nobody forges between two looks at a file.
const SHORTEST: usize = 12;

/// What stands above every change.
const HEAD: &str = "\
# What Portcullis will do. Nothing was touched yet. Read it; then approve it by its digest (`sha256sum` of this file).
# Whoever changes a byte of it changes the digest.

";

impl Approved {
    /// What was approved.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// The change.
    pub fn change(&self) -> &Change {
        &self.written.change
    }

    /// Who approved it.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// When.
    pub fn when(&self) -> Timestamp {
        self.when
    }
}

#[cfg(test)]
mod tests;
