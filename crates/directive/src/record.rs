//! Record: what does a step leave behind?
//!
//! One serialised form for the terminal (`--json`), the case and the queue: one JSON object a line.
//! Rooms make [`Body`] values; whoever runs the room stamps them into a [`Record`].
//! Never holds a path of the analyst's machine. Schema: `docs/record.schema.json`.
//! Source: contract, "Records".

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use crate::filing::{Attestation, Filings, Receipt, Submission, SubmissionWay};
pub use crate::instance::{Confidence, Instance, InstanceState, Owner, Status, Version, Witness};
pub use crate::ledger::{Difference, Ledger, Merge, ThirdParty, UdpCount, Way};
pub use crate::mitigation::{ChangeStep, Proof, Stage};
pub use crate::notice::{Affected, Exploited, Fixed, Look, Notice};
pub use crate::running::{Running, Service};
use crate::text::Text;
pub use crate::times::Times;
pub use crate::traces::{Account, AccountKind, LogReach, Moment};
use crate::verdict::Verdict;

/// The version of the record format, in the field `v`.
pub const VERSION: u8 = 1;

/// One fact, in the form in which it is printed, stored and queued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Format version, [`VERSION`].
    pub v: u8,
    /// Names this record for ever; a second delivery of the same id changes nothing.
    pub id: String,
    /// When the fact was established (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The instance that the fact is about, by its name in the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The fact itself; its kind is in the field `type`.
    #[serde(flatten)]
    pub body: Body,
}

impl Record {
    /// Stamps the `ordinal`th fact of a step. The same step and ordinal give the same id.
    pub fn stamp(step: &str, ordinal: usize, at: Timestamp, instance: Option<&str>, body: Body) -> Self {
        Self {
            v: VERSION,
            id: short_digest(&[step.as_bytes(), &ordinal.to_le_bytes()]),
            at,
            instance: instance.map(str::to_owned),
            body,
        }
    }
}

/// The first 16 hex digits of the SHA-256 over `parts`, each preceded by its length.
///
/// 64 bits name records and steps inside one case; they authenticate nothing.
pub fn short_digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..8])
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing into a `String` cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The kinds of fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Body {
    /// A case was opened: for whom, under which packs, by which clock.
    Case(Opening),
    /// What is known of one instance. A later record about the same instance adds to it.
    Instance(Instance),
    /// A fact about the instance.
    Finding(Finding),
    /// A fact about our sight.
    Gap(Gap),
    /// What a check saw and did not see.
    Coverage(Coverage),
    /// An account that must be reset.
    Account(Account),
    /// One moment of the timeline.
    Moment(Moment),
    /// What a discovery asked and what came back; every address is counted once.
    Ledger(Ledger),
    /// Several addresses were counted as one instance, and why.
    Merge(Merge),
    /// What a check concludes.
    Verdict(Conclusion),
    /// An action that is owed.
    Duty(Duty),
    /// A unit of work that ended.
    Step(Step),
    /// A fact that a person states, because no evidence can show it.
    Mark(Mark),
    /// One step of a change, before and after.
    Change(ChangeStep),
    /// What requests from outside met.
    Proof(Proof),
    /// Whether a package is the one that its publisher made.
    Package(Package),
    /// An officer answers for a report.
    Attestation(Attestation),
    /// A report was handed over.
    Submission(Submission),
    /// The authority took a report.
    Receipt(Receipt),
    /// A verified advisory, as it concerns a product.
    Advisory(Notice),
    /// A vulnerability that is exploited, by the catalogue.
    Exploited(Exploited),
    /// A look at what a provider of advisories publishes.
    Look(Look),
    /// The last line of a stream. A stream without one is incomplete.
    Summary(Summary),
}

/// How a case was opened. A second one in the same case says that scope or packs have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Opening {
    /// The organisation that responds, as its scope file names it.
    pub organisation: String,
    /// The packs in force, with the digest of their files.
    pub packs: Vec<PackRef>,
    /// SHA-256 of the scope file, in hex.
    pub scope_sha256: String,
    /// Seconds added to the machine's clock. Not zero means: this is an exercise, and every time in
    /// the case is exercise time.
    pub clock_offset: i64,
    /// The program and version that opened the case.
    pub tool: String,
}

/// A package that may be installed, and whether its publisher made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Package {
    /// The name of its file.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Whether it is believed.
    pub verified: bool,
    /// By what, or why not.
    pub why: String,
    /// What it calls itself, where that is signed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its whole version, where that is signed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A pack, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackRef {
    /// The directive's id.
    pub id: String,
    /// SHA-256 over the pack's files, in hex.
    pub sha256: String,
}

/// How much a finding weighs. `medium` and above make a verdict a mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; expected on many healthy instances.
    Info,
    /// Unusual; explained more often than not.
    Low,
    /// Somebody has to look.
    Medium,
    /// The instance is not what the vendor shipped.
    High,
    /// Known bad.
    Critical,
}

/// A fact about an instance. Each code has a heading in `docs/findings.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What kind of fact, in kebab-case.
    pub code: String,
    /// How much it weighs.
    pub severity: Severity,
    /// The file, absolute from the evidence root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Text>,
    /// Where, if it is not a file: an address, a package, a setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why this is a finding, in one sentence.
    pub why: String,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What it was held against: a manifest, a rule, a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// ATT&CK technique ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<String>,
    /// The clause of the directive that asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clause: Option<String>,
    /// File times by name: `mtime`, `ctime`, `birth`. `mtime` can be set by anybody.
    #[serde(default, skip_serializing_if = "Times::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub times: Times,
}

impl Finding {
    /// About how many bytes of memory it takes: whoever keeps many bounds them by that.
    pub fn bytes(&self) -> usize {
        let evidence = self.evidence.as_ref();
        let optional = |text: Option<&String>| text.map_or(0, String::capacity);
        let path = |text: Option<&Text>| text.map_or(0, |text| text.as_bytes().len());
        // Each piece has a header of the allocator.
        size_of::<Self>()
            + 6 * 16
            + self.code.capacity()
            + self.why.capacity()
            + path(self.path.as_ref())
            + [self.place.as_ref(), self.rule.as_ref(), self.clause.as_ref()].into_iter().map(optional).sum::<usize>()
            + evidence.map_or(0, |seen| optional(seen.sha256.as_ref()) + path(seen.excerpt.as_ref()))
            + self.attack.iter().map(|id| size_of::<String>() + id.capacity()).sum::<usize>()
            + self.times.bytes()
    }
}

/// The bytes behind a finding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// SHA-256 of the bytes seen, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// A short piece of them, at most 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Text>,
}

/// Something that we could not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// What kind of gap, in kebab-case.
    pub code: String,
    /// The file or folder, absolute from the evidence root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Text>,
    /// Where, if it is not a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it could not be seen, and what would close the gap.
    pub why: String,
    /// Whether it makes the verdict inconclusive.
    pub required: bool,
}

/// What a check saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Regular files met.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Files that a manifest from outside the instance lists with that digest for that path.
    pub vouched: u64,
    /// Files that agree with a manifest found on the instance itself: consistent, not vouched for.
    pub consistent: u64,
    /// Files over which hunting rules ran.
    pub hunted: u64,
    /// Files that no manifest lists.
    pub unlisted: u64,
    /// Of those, how many are such as the distribution makes itself after unpacking; nobody vouches for them.
    #[serde(default)]
    pub explained: u64,
    /// Of the unlisted ones, how many can be executed.
    pub unlisted_executables: u64,
    /// Things that could not be read.
    pub unseen: u64,
    /// Programs and scripts that no manifest lists, by their first bytes or their mode, wherever they lie.
    #[serde(default)]
    pub unlisted_programs: u64,
    /// The same by top-level folder, sorted by name.
    pub by_folder: Vec<FolderCoverage>,
    /// Installations of the product that the evidence holds, the one that runs first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<InstalledGeneration>,
    /// Logs that were read, and how far back each speaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogReach>,
    /// What ran, where a machine that runs was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// One installation of the product on the evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstalledGeneration {
    /// What people call it: `current`, `rollback`, `factory`, or the name of its volume.
    pub name: String,
    /// Its root, absolute from the evidence root; `/` for the one that runs.
    pub folder: Text,
    /// The version that its own files tell, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The manifests that it was held against.
    pub manifests: Vec<String>,
    /// Files that a manifest from outside vouches for.
    pub vouched: u64,
}

/// Coverage of one top-level folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FolderCoverage {
    /// The folder, `/usr`.
    pub folder: Text,
    /// Regular files met.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Files that a manifest lists with that digest, wherever the manifest comes from.
    pub matched: u64,
    /// Programs and scripts that no manifest lists.
    #[serde(default)]
    pub unlisted_programs: u64,
    /// Things that could not be read.
    pub unseen: u64,
}

/// What a check concludes about an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conclusion {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// The earliest time at which something was wrong, where evidence shows one.
    #[schemars(with = "Option<String>")]
    pub first_sign: Option<Timestamp>,
    /// What shows the first sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_sign_by: Option<String>,
    /// Accounts that must be reset, where logs show them; an [`Account`] record says more of each.
    pub accounts: Vec<String>,
}

/// An action that is owed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Duty {
    /// The directive and action, `ed-21-03/2.b.i`.
    pub action: String,
    /// What has to be done.
    pub title: String,
    /// When it is due; absent if the directive sets no time.
    #[schemars(with = "Option<String>")]
    pub due: Option<Timestamp>,
    /// Why it is owed.
    pub why: String,
    /// Who can do it.
    pub waits_for: WaitsFor,
    /// Whether it is done.
    pub done: bool,
    /// Whether it is open and past its time.
    pub late: bool,
    /// Actions of the directive that must be done before, and are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// Who can do what is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// Portcullis does it.
    Nobody,
    /// A person has to act or decide.
    Person,
    /// The vendor has to deliver first.
    Vendor,
}

/// A unit of work that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The step's own id: action, instance and occurrence.
    pub step: String,
    /// The directive and action, `ed-21-03/2`.
    pub action: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so.
    pub why: String,
    /// The person who did it, where it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// SHA-256 of what the step was given beside the evidence, manifests for example, in hex. The
    /// bytes are in the case's `evidence/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Done,
    /// It could not do its work.
    Failed,
    /// Somebody decided not to do it, and said why.
    Skipped,
}

/// A fact that a person states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// The mark's name in the pack.
    pub mark: String,
    /// What the person says: `yes`, `no`, a ticket number, a name.
    pub value: String,
    /// Who says so.
    pub by: String,
}

/// The last line of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Findings in this run.
    pub findings: u64,
    /// Gaps in this run.
    pub gaps: u64,
    /// Instances by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Duties in this run.
    pub duties: DutyCount,
    /// The exit code of this run.
    pub exit: u8,
}

/// Open duties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DutyCount {
    /// Not done.
    pub open: u64,
    /// Not done and past their time.
    pub late: u64,
}
