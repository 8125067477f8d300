//! `mitigate remove`: write down which known malware goes into quarantine, and touch nothing.
//!
//! Joins what the rooms know, since they do not import one another: the case says what the latest check found, a
//! manifest from outside which digest the vendor shipped, a folder or package which bytes. Bytes that no manifest
//! lists for that path are never put anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use ::case::Case;
use ::check::manifest::{Manifest, Operator, Shipped, deb};
use ::directive::change::Written;
use ::directive::record::{DutyCount, Finding, PackRef, Severity, hex};
use ::directive::scope::Access;
use ::directive::state::{Known, State};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::evidence::Source;
use ::mitigate::plan::{self, Removal, Vendor, Wanted};
use sha2::{Digest as _, Sha256};

use super::{LoginArgs, clock, plan::planned, show};
use crate::error::CommandError;
use crate::open;
use crate::progress::{Bar, Stop};
use crate::ui::Ui;

/// Write down which known malware goes into quarantine, and touch nothing
///
/// Takes what the latest check of the case found to be bad, by a YARA rule or a published indicator, and writes a
/// change that a person can read. `apply` carries it out: evidence first, sealed in the case; `undo` brings it back.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The instance, as the case names it
    #[arg(long, value_name = "NAME")]
    instance: String,

    /// Where it is done: local, or ssh://user@host:port
    #[arg(long, value_name = "HOST", default_value = "local")]
    host: String,

    /// Where the root of the instance lies on that host: a disk that is mounted there, for example
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: String,

    /// Only these files, as the check names them; one that nobody knows to be bad is removed only by this. May be given
    /// again
    #[arg(long, value_name = "PATH")]
    file: Vec<String>,

    /// Where the vendor's own files are: a folder, a tar, a `.deb`, any SOURCE. May be given again
    #[arg(long, value_name = "SOURCE", requires = "manifest")]
    restore: Vec<String>,

    /// What the vendor shipped, from outside the instance: without a digest in it nothing is restored. May be given
    /// again
    #[arg(long, value_name = "M")]
    manifest: Vec<PathBuf>,

    /// Public key of minisign: each list must be signed by it, in a file beside it that ends in `.minisig`
    #[arg(long, value_name = "PUB", requires = "manifest")]
    manifest_key: Option<PathBuf>,

    /// End processes that run what is removed; what is in their memory is lost
    #[arg(long)]
    end_processes: bool,

    /// The directive of the case under which it is done; default: its first
    #[arg(long, value_name = "ID")]
    pack: Option<String>,

    /// Folder of the case, which has the check and keeps the vendor's files
    #[arg(long, value_name = "DIR", default_value = open::DEFAULT_CASE)]
    case: PathBuf,

    #[command(flatten)]
    login: LoginArgs,

    /// Where the change is written
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Findings by which a file is known to be bad, and not only other than shipped.
const KNOWN_BAD: [&str; 2] = ["indicator-match", "yara-match"];

/// The largest file that is restored, in bytes.
const LARGEST: u64 = ::mitigate::quarantine::LARGEST;

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let mut case = Case::open(&args.case)?;
    let clock = clock(&case)?;
    let state = State::from_records(&case.records()?);
    let known = checked(args, &state)?;
    let (mut wanted, mut left_out) = wanted(args, known)?;
    restore(ui, args, &mut wanted, &mut left_out, &case)?;
    let hands = args.login.hands(&args.host)?;
    let request = Removal {
        pack: pack(args, &state)?,
        instance: &args.instance,
        host: &args.host,
        root: &args.root,
        wanted: &wanted,
        end_processes: args.end_processes,
        now: clock.now(),
    };
    let removed = plan::removal(&request, hands.as_ref())
        .map_err(|err| CommandError::because("nothing was planned, and nothing was touched", err))?;
    left_out.extend(removed.left_out);
    for line in &left_out {
        ui.status(format_args!("Left out: {}.", escape(line)));
    }
    let Some(change) = removed.change else {
        return Err(CommandError::new("nothing is left to be removed; nothing was touched")
            .hint("name a file with --file, or check the instance again"));
    };
    let written = Written::write(&change).map_err(|err| CommandError::because("the change cannot be written", err))?;
    crate::command::write_file(&args.output, written.bytes())?;
    planned(ui, &mut case, clock, &written)?;
    if ui.is_json() {
        ui.record(&crate::command::summary(&[], DutyCount::default(), Exit::Done, change.made));
        return Ok(Exit::Done);
    }
    let width = ui.width();
    ui.text(&show::change(&written, width));
    ui.status(format_args!(
        "\nNothing was touched. The whole of it stands in {0}. To carry it out:\n  \
         portcullis mitigate apply {0} --scope SCOPE --case {1} --by YOUR-NAME --approve {2}",
        args.output.display(),
        args.case.display(),
        &written.sha256()[..12]
    ));
    Ok(Exit::Done)
}

/// What the case knows of the instance, if it was checked.
fn checked<'a>(args: &Args, state: &'a State) -> Result<&'a Known, CommandError> {
    let known = state.instances.get(&args.instance).ok_or_else(|| {
        let names = state.instances.keys().map(escape).collect::<Vec<_>>().join(", ");
        CommandError::new(format!("the case knows no instance {:?}", escape(&args.instance)))
            .hint(format!("known: {names}"))
    })?;
    if known.checks.is_empty() {
        return Err(CommandError::new(format!("nobody has checked {}", escape(&args.instance)))
            .hint("`portcullis respond` checks it into the case"));
    }
    Ok(known)
}

fn pack(args: &Args, state: &State) -> Result<PackRef, CommandError> {
    let packs = state.opening.iter().flat_map(|(_, opening)| &opening.packs);
    let mut fits = packs.filter(|pack| args.pack.as_ref().is_none_or(|id| *id == pack.id));
    fits.next().cloned().ok_or_else(|| CommandError::new("the case follows no such directive"))
}

/// The files that a person may want to be removed, and what cannot be named.
fn wanted(args: &Args, known: &Known) -> Result<(Vec<Wanted>, Vec<String>), CommandError> {
    let (mut bad, mut left_out): (BTreeMap<String, Wanted>, _) = (BTreeMap::new(), Vec::new());
    for finding in known.checked.findings.iter().filter(|finding| is_known_bad(finding)) {
        let (Some(path), Some(seen)) = (&finding.path, digest(finding)) else { continue };
        let Ok(path) = std::str::from_utf8(path.as_bytes()) else {
            left_out.push(format!("{}: its name is not UTF-8: remove it by hand", path.escaped()));
            continue;
        };
        let entry = bad.entry(path.to_owned());
        let entry = entry.or_insert_with(|| Wanted { path: path.to_owned(), ..Wanted::default() });
        entry.seen = Some(seen);
        let rule = finding.rule.as_deref().unwrap_or_default();
        entry.known.push(escape(format!("{} {rule}: {}", finding.code, finding.why)));
    }
    if args.file.is_empty() {
        if bad.is_empty() {
            return Err(CommandError::new(format!(
                "the latest check of {} found no file that is known to be bad",
                escape(&args.instance)
            ))
            .hint("files that are only other than shipped are removed if they are named with --file"));
        }
        return Ok((bad.into_values().collect(), left_out));
    }
    let named = args.file.iter().map(|path| {
        if !path.starts_with('/') || path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(CommandError::new(format!("{:?} is no path as a check names it", escape(path))));
        }
        Ok(bad.remove(path).unwrap_or_else(|| {
            let about = |finding: &&Finding| finding.path.as_ref().is_some_and(|at| at.as_bytes() == path.as_bytes());
            let seen = known.checked.findings.iter().filter(about).find_map(digest);
            Wanted { path: path.clone(), seen, ..Wanted::default() }
        }))
    });
    Ok((named.collect::<Result<_, _>>()?, left_out))
}

/// Whether a finding says that a file is malware. A log that tells of an indicator is evidence and no malware: only of
/// files that were hunted in the digest is known.
fn is_known_bad(finding: &Finding) -> bool {
    KNOWN_BAD.contains(&finding.code.as_str()) && finding.severity >= Severity::High && digest(finding).is_some()
}

fn digest(finding: &Finding) -> Option<String> {
    finding.evidence.as_ref()?.sha256.clone()
}

/// Finds what the vendor shipped for each file, and puts its bytes into the case.
fn restore(
    ui: &mut Ui,
    args: &Args,
    wanted: &mut [Wanted],
    told: &mut Vec<String>,
    case: &Case,
) -> Result<(), CommandError> {
    let (stop, key) = (Stop::listen(), args.manifest_key.as_deref());
    let key = key.map(crate::command::manifest::public_key).transpose()?;
    let bar = Bar::new(&stop, ui.is_watched());
    let manifests = crate::command::check::manifests(ui, &bar, &args.manifest, key.as_ref())?;
    let mut sources = Vec::new();
    for text in &args.restore {
        bar.begin("Opening: files");
        let source = opened(text, &args.login, &bar);
        bar.end();
        sources.push((text, source?));
    }
    for one in wanted {
        for (text, source) in &sources {
            let Some((bytes, meta)) = bytes(source.as_ref(), &one.path, text)? else { continue };
            let (found, listed) = vouched(&manifests, &one.path, &bytes);
            let Some((name, shipped)) = found else {
                let digest = hex(&Sha256::digest(&bytes));
                let why = match listed.is_empty() {
                    true => "no manifest lists a file of that path".to_owned(),
                    false => format!("the manifests list {}", listed.join(", ")),
                };
                return Err(CommandError::new(format!(
                    "nothing was planned: {} in {} has the digest {digest}, and {why}",
                    escape(&one.path),
                    escape(text)
                ))
                .hint("only what a manifest from outside vouches for is put in the place of malware; fetch it again"));
            };
            case.put_evidence(&bytes)?;
            // Files of a folder belong to whoever unpacked them: their owner and mode say nothing.
            let meta = meta.filter(|_| !Path::new(text.as_str()).is_dir());
            one.vendor = Some(Vendor {
                sha256: hex(&shipped.sha256),
                from: escape(format!("{text}, listed by {name}")),
                mode: shipped.mode.or(meta.map(|(mode, _)| mode)),
                owner: shipped.owner.or(meta.map(|(_, owner)| owner)),
            });
            break;
        }
        let is_shipped = manifests.iter().any(|manifest| manifest.shipped(one.path.as_bytes()).is_some());
        if one.vendor.is_none() && is_shipped {
            told.push(format!("{}: the vendor's file is not restored, since no --restore has it", escape(&one.path)));
        }
    }
    Ok(())
}

/// Which manifest lists these bytes for that path, and what the others list.
fn vouched<'m>(
    manifests: &'m [Manifest<Operator>],
    path: &str,
    bytes: &[u8],
) -> (Option<(&'m str, Shipped)>, Vec<String>) {
    let digest = <[u8; 32]>::from(Sha256::digest(bytes));
    let mut others = Vec::new();
    for manifest in manifests {
        match manifest.shipped(path.as_bytes()) {
            Some(shipped) if shipped.sha256 == digest => return (Some((&manifest.name, shipped)), others),
            Some(shipped) => others.push(hex(&shipped.sha256)),
            None => {}
        }
    }
    (None, others)
}

fn opened(text: &str, login: &LoginArgs, bar: &Bar) -> Result<Box<dyn Source>, CommandError> {
    if text.ends_with(".deb") {
        let cannot = |err: deb::Error| CommandError::because(format!("cannot read the package {text}"), err);
        let file = File::open(text).map_err(|err| cannot(err.into()))?;
        return deb::files(text, Box::new(file), &deb::Limits::default(), bar).map_err(cannot);
    }
    let known = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let (known_hosts, identity) = (known(&login.known_hosts), known(&login.identity));
    let access = Access { known_hosts, identity, ..Access::default() };
    respond::open(text, Path::new(""), &access, bar)
        .map_err(|err| CommandError::because(format!("cannot open {text}"), err))
}

/// Mode, and owner with group.
type Rights = (u32, (u32, u32));

/// The bytes of a file, and what the source says of its rights.
type Read = (Vec<u8>, Option<Rights>);

/// The bytes of one file, and what the source says of its rights.
fn bytes(source: &dyn Source, path: &str, name: &str) -> Result<Option<Read>, CommandError> {
    let mut bytes = Vec::new();
    let read = source.stream(path.as_bytes(), &mut |piece| {
        bytes.extend_from_slice(piece);
        bytes.len() as u64 <= LARGEST
    });
    let cannot = |err| CommandError::because(format!("cannot read {} in {}", escape(path), escape(name)), err);
    let Some(meta) = read.map_err(cannot)? else { return Ok(None) };
    if bytes.len() as u64 > LARGEST {
        return Err(CommandError::new(format!("{} in {} has more than {LARGEST} bytes", escape(path), escape(name))));
    }
    Ok(Some((bytes, Some((meta.mode & 0o7777, (meta.uid, meta.gid))))))
}
