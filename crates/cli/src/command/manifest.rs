//! `manifest`: which files were shipped, and who signed that?

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ::check::manifest::compose::{Head, compose};
use ::check::manifest::difference::{Change, between};
use ::check::manifest::signature::PublicKey;
use ::directive::record::{Body, DutyCount, Finding, Record, Severity};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use minisign::{ErrorKind, PError, SecretKey, SecretKeyBox};

use super::check::AccessArgs;
use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::progress::{Bar, Stop};
use crate::ui::Ui;

/// Make, sign, verify and compare lists of what was shipped
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List the files of a machine or an image that is known to be good
    ///
    /// Exits 0 if everything was read, 3 if something that had to be seen was not; then the list says so too.
    Create(Create),
    /// Sign a list with a key of minisign
    Sign {
        /// The list
        file: PathBuf,

        /// The secret key, as `minisign -G` makes it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,

        /// File whose first line is the password of the key; not needed for a key without one
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,

        /// Where the signature goes; default: beside the list, with `.minisig` at its end
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Say whether a list is what the holder of a key signed
    ///
    /// Exits 0 if it is, 2 if it is not.
    Verify {
        /// The list
        file: PathBuf,

        /// The signature; default: beside the list, with `.minisig` at its end
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,

        /// The public key, from outside the instance
        #[arg(long, value_name = "PUB")]
        key: PathBuf,
    },
    /// Say which paths one list has and another has not, or has with another digest
    ///
    /// Exits 0 if they list the same, 1 if they do not.
    Diff {
        /// The first list
        a: PathBuf,

        /// The second list
        b: PathBuf,
    },
}

#[derive(clap::Args, Debug)]
struct Create {
    /// Where the files are: whatever `check` takes
    source: String,

    /// Where the list goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The version whose files these are; a check holds each installation against the list of its own
    #[arg(long, value_name = "V")]
    version: Option<String>,

    /// The product, for the head of the list
    #[arg(long, value_name = "NAME")]
    product: Option<String>,

    #[command(flatten)]
    access: AccessArgs,
}

pub(crate) fn run(ui: &mut Ui, args: &Args, threads: NonZeroUsize) -> Result<Exit, CommandError> {
    match &args.what {
        What::Create(args) => create(ui, args, threads),
        What::Sign { file, key, password_file, output } => {
            sign(ui, file, &secret_key(key, password_file.as_deref())?, output.as_deref())
        }
        What::Verify { file, signature, key } => verify(ui, file, signature.as_deref(), key),
        What::Diff { a, b } => diff(ui, a, b),
    }
}

fn create(ui: &mut Ui, args: &Create, threads: NonZeroUsize) -> Result<Exit, CommandError> {
    let bar = Bar::new(&Stop::listen(), ui.is_watched());
    bar.begin("Listing: files");
    let composed = respond::open(&args.source, Path::new(""), &args.access.access(), &bar)
        .map_err(|err| CommandError::because(format!("cannot open the evidence {}", args.source), err))
        .and_then(|source| {
            compose(source.as_ref(), threads, &bar)
                .map_err(|err| CommandError::because(format!("cannot list {}", args.source), err))
        });
    bar.end();
    let composed = composed?;
    let required = composed.gaps.iter().filter(|gap| gap.required).count();
    let exit = if required > 0 { Exit::Inconclusive } else { Exit::Done };
    let at = Clock::machine().now();
    let gaps = composed.gaps.iter().cloned().enumerate();
    let records: Vec<Record> =
        gaps.map(|(n, gap)| Record::stamp("manifest", n, at, Some(&args.source), Body::Gap(gap))).collect();
    records.iter().for_each(|record| ui.record(record));
    if composed.gaps.iter().any(|gap| gap.code == "interrupted") {
        ui.status(format_args!("Stopped; no list was written."));
    } else if composed.is_empty() {
        return Err(CommandError::new(format!("there is no file in {}", args.source))
            .hint("a list of nothing would vouch for nothing; is this the right folder?"));
    } else {
        let head = Head { source: &args.source, product: args.product.as_deref(), version: args.version.as_deref() };
        super::write_with(&args.output, |out| composed.write(&head, out))?;
        ui.status(format_args!("Listed {} files in {}.", composed.len(), args.output.display()));
    }
    if required > 0 {
        ui.status(format_args!("{required} things were not seen: the list is not whole, and says so."));
    }
    if ui.is_json() {
        ui.record(&super::summary(&records, DutyCount::default(), exit, at));
    }
    Ok(exit)
}

/// Opens a key. Nobody is asked for a password: the run may have no terminal.
fn secret_key(path: &Path, password: Option<&Path>) -> Result<SecretKey, CommandError> {
    let text = text(path, "the secret key")?;
    let boxed = || SecretKeyBox::from_string(&text);
    let failed = |err| CommandError::because(format!("cannot use the secret key {}", path.display()), err);
    match password {
        None => without_password(&text).map_err(|err| {
            failed(err).hint("if the key has a password, give the file that holds it: `--password-file`")
        }),
        Some(file) => {
            let password = self::text(file, "the password")?;
            let password = password.lines().next().unwrap_or_default().to_owned();
            boxed().and_then(|boxed| boxed.into_secret_key(Some(password))).map_err(failed)
        }
    }
}

/// A key without a password. `minisign -G -W` writes it without the checksum that the crate asks for, so
/// what is signed with it is verified instead.
fn without_password(text: &str) -> Result<SecretKey, PError> {
    let bytes = BASE64_STANDARD
        .decode(text.lines().nth(1).unwrap_or_default().trim())
        .map_err(|err| PError::new(ErrorKind::Encoding, err))?;
    // Source: minisign manual, "Secret key format": two bytes of signature, two of key derivation.
    if bytes.get(2..4) != Some(&[0, 0]) {
        return Err(PError::new(ErrorKind::EncryptedKey, "the key has a password"));
    }
    SecretKey::from_bytes(&bytes)
}

fn sign(ui: &mut Ui, file: &Path, key: &SecretKey, output: Option<&Path>) -> Result<Exit, CommandError> {
    let bytes = read(file, "the list")?;
    // What cannot be used is not signed.
    list(file, &bytes)?;
    let name = file.file_name().map(|name| escape(name.as_encoded_bytes())).unwrap_or_default();
    let said = format!("timestamp:{}\tfile:{name}\thashed", Clock::machine().now().as_second());
    let signature = minisign::PublicKey::from_secret_key(key)
        .and_then(|public| {
            minisign::sign(Some(&public), key, Cursor::new(&bytes), Some(&said), Some("signature of a manifest"))
        })
        .map_err(|err| CommandError::because(format!("cannot sign {}", file.display()), err))?;
    let output = output.map_or_else(|| beside(file), Path::to_owned);
    super::write_file(&output, &signature.to_bytes())?;
    ui.status(format_args!("Signed; the signature is {}.", output.display()));
    Ok(Exit::Done)
}

fn verify(ui: &mut Ui, file: &Path, signature: Option<&Path>, key: &Path) -> Result<Exit, CommandError> {
    let signature = signature.map_or_else(|| beside(file), Path::to_owned);
    let bytes = read(file, "the list")?;
    let comment = public_key(key)?
        .verify(&bytes, &text(&signature, "the signature")?)
        .map_err(|err| CommandError::because(format!("{} is not signed by that key", file.display()), err))?;
    ui.text(&format!("{} is what was signed: {}\n", escape(file.as_os_str().as_encoded_bytes()), escape(comment)));
    Ok(Exit::Done)
}

fn diff(ui: &mut Ui, a: &Path, b: &Path) -> Result<Exit, CommandError> {
    let (first, second) = (list(a, &read(a, "the list")?)?, list(b, &read(b, "the list")?)?);
    let changes = between(&first, &second);
    let exit = if changes.is_empty() { Exit::Done } else { Exit::Act };
    if ui.is_json() {
        let at = Clock::machine().now();
        let about = format!("{} and {}", a.display(), b.display());
        let findings = changes.into_iter().enumerate();
        let records: Vec<Record> = findings
            .map(|(n, (path, change))| {
                let finding = Finding {
                    code: code(change).to_owned(),
                    severity: Severity::Info,
                    path: Some(path),
                    place: None,
                    why: format!("it is {} from the first list to the second", change.as_str()),
                    evidence: None,
                    rule: Some(about.clone()),
                    attack: Vec::new(),
                    clause: None,
                    times: Default::default(),
                };
                Record::stamp("manifest", n, at, None, Body::Finding(finding))
            })
            .collect();
        records.iter().for_each(|record| ui.record(record));
        ui.record(&super::summary(&records, DutyCount::default(), exit, at));
        return Ok(exit);
    }
    for (path, change) in &changes {
        ui.text(&format!("{:<8}{}\n", change.as_str(), path.escaped()));
    }
    let count = |wanted| changes.iter().filter(|(_, change)| *change == wanted).count();
    let (added, removed, changed) = (count(Change::Added), count(Change::Removed), count(Change::Changed));
    ui.status(format_args!("{added} added, {removed} removed, {changed} changed."));
    Ok(exit)
}

fn code(change: Change) -> &'static str {
    match change {
        Change::Added => "file-added",
        Change::Removed => "file-missing",
        Change::Changed => "file-modified",
    }
}

/// Where the signature of a list lies.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

pub(super) fn public_key(path: &Path) -> Result<PublicKey, CommandError> {
    PublicKey::parse(&text(path, "the public key")?)
        .map_err(|err| CommandError::because(format!("cannot use the public key {}", path.display()), err))
}

fn list(path: &Path, bytes: &[u8]) -> Result<::check::Manifest<::check::Operator>, CommandError> {
    ::check::Manifest::from_operator(&path.display().to_string(), bytes)
        .map_err(|err| CommandError::because("the list cannot be used", err))
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, CommandError> {
    open::read(path).map_err(|err| CommandError::because(format!("cannot read {what} {}", path.display()), err))
}

/// A small file that is text: a key, a signature.
pub(super) fn text(path: &Path, what: &str) -> Result<String, CommandError> {
    String::from_utf8(read(path, what)?)
        .map_err(|err| CommandError::because(format!("{what} {} is not text", path.display()), err))
}
