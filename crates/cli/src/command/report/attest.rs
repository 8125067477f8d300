//! `report attest`: who answers for the report?

use std::path::{Path, PathBuf};

use ::attest::{ATTESTATION, Attestation, KeyError, PublicKey, SecretKey, sha256};
use ::case::Case;
use ::directive::record::{self, Body, short_digest};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::report::Report;

use super::filing::is_signed;
use super::work::Work;
use crate::command::manifest::text;
use crate::error::CommandError;
use crate::ui::Ui;

/// Sign the report as its officer: the digest of its JSON, with name and role
///
/// With a key file it is signed here. A key on a token is used in three steps: `--statement FILE` writes the few lines
/// to sign, `ssh-keygen -Y sign -n portcullis-attestation -f KEY FILE` signs them, `--signed FILE` takes the signature
/// (FILE.sig) into the case.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The name of the officer who answers for the report
    #[arg(long, value_name = "PERSON", required_unless_present = "signed")]
    officer: Option<String>,

    /// His or her role: "Chief Information Officer"
    #[arg(long, value_name = "TEXT", required_unless_present = "signed")]
    role: Option<String>,

    /// The officer's key: of OpenSSH, or Ed25519 in PEM
    #[arg(long, value_name = "FILE", required_unless_present_any = ["statement", "signed"])]
    key: Option<PathBuf>,

    /// The file that holds the password of the key, in its first line
    #[arg(long, value_name = "FILE", requires = "key")]
    password_file: Option<PathBuf>,

    /// Write the statement to sign into this file, and sign nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "signed"])]
    statement: Option<PathBuf>,

    /// Take the statement in this file, with the signature in FILE.sig
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "officer", "role"])]
    signed: Option<PathBuf>,

    /// Attest although answers are missing or rules do not hold; the statement says so, and an authority's server
    /// refuses it
    #[arg(long)]
    incomplete: bool,
}

pub(super) fn run(ui: &mut Ui, all: &super::Args, args: &Args) -> Result<Exit, CommandError> {
    if let Some(path) = &args.statement {
        let work = Work::open(Case::open_read_only(&all.case)?, all)?;
        let (attestation, _) = draft(&work, args)?;
        super::super::write_file(path, attestation.text().as_bytes())?;
        ui.status(format_args!(
            "Sign it: ssh-keygen -Y sign -n {ATTESTATION} -f KEY {0}\nThen: portcullis report attest --signed {0}",
            path.display()
        ));
        return Ok(Exit::Done);
    }
    let mut work = Work::open(Case::open(&all.case)?, all)?;
    let (attestation, report, signature, key) = match &args.signed {
        Some(path) => take(&work, path)?,
        None => sign(&work, args)?,
    };
    let statement = attestation.text();
    let digest = work.case.put_evidence(&report)?;
    debug_assert_eq!(digest, attestation.report_sha256);
    let kept = record::Attestation {
        directive: attestation.pack.id.clone(),
        pack_sha256: attestation.pack.sha256.clone(),
        report_sha256: digest.clone(),
        as_of: attestation.as_of,
        officer: attestation.officer.clone(),
        role: attestation.role.clone(),
        complete: attestation.missing == 0 && attestation.broken == 0,
        replaces: attestation.replaces.clone(),
        fingerprint: key.fingerprint(),
        statement: statement.clone(),
        signature: signature.clone(),
    };
    let step = short_digest(&[b"attest", statement.as_bytes(), signature.as_bytes()]);
    work.append(&step, vec![Body::Attestation(kept)])?;
    ui.text(&statement);
    ui.status(format_args!("Attested with the key {}.", key.fingerprint()));
    ui.status(format_args!("\nhint: `portcullis report submit --to ...` hands it in"));
    Ok(Exit::Done)
}

type Attested = (Attestation, Vec<u8>, String, PublicKey);

/// The statement of a report as of now, with the report's bytes.
fn draft(work: &Work, args: &Args) -> Result<(Attestation, Vec<u8>), CommandError> {
    let report = work.report(work.at);
    let (missing, broken) = (report.form.missing.len() as u64, report.form.broken.len() as u64);
    if missing + broken > 0 && !args.incomplete {
        let what = format!("{missing} answers are missing and {broken} rules of the form do not hold");
        return Err(CommandError::new(what).hint(
            "`portcullis report lint` names them; with `--incomplete` it is attested all the same, and says so",
        ));
    }
    let (officer, role) = (args.officer.clone().unwrap_or_default(), args.role.clone().unwrap_or_default());
    if officer.trim().is_empty() || role.trim().is_empty() {
        return Err(
            CommandError::new("an attestation has a name and a role").hint("--officer \"J. Doe\" --role \"CIO\"")
        );
    }
    if report.organisation.trim().is_empty() {
        return Err(CommandError::new("the case names no organisation").hint("`organisation` of the scope names it"));
    }
    let bytes = json(&report)?;
    let digest = sha256(&bytes);
    let replaces = work.state.filings.received(work.pack.id()).map(|(_, _, receipt)| receipt.report_sha256.clone());
    if replaces.as_ref() == Some(&digest) {
        return Err(CommandError::new("the authority has this very report already").hint("`report receipt` shows it"));
    }
    let attestation = Attestation {
        organisation: report.organisation.clone(),
        pack: report.pack.clone(),
        report_sha256: digest,
        as_of: report.at,
        exercise: report.exercise,
        missing,
        broken,
        replaces,
        officer,
        role,
        signed: work.clock.now(),
    };
    // What is signed is what is read back from its text: names are in it as a person sees them.
    let attestation = Attestation::parse(&attestation.text())
        .map_err(|err| CommandError::because("the statement cannot be written", err))?;
    Ok((attestation, bytes))
}

fn json(report: &Report) -> Result<Vec<u8>, CommandError> {
    let text = ::report::json(report).map_err(|err| CommandError::because("the JSON cannot be made", err))?;
    Ok(text.into_bytes())
}

fn sign(work: &Work, args: &Args) -> Result<Attested, CommandError> {
    let (attestation, report) = draft(work, args)?;
    let path = args.key.as_deref().unwrap_or(Path::new(""));
    let key = secret_key(path, args.password_file.as_deref())?;
    let signature = key
        .sign(ATTESTATION, &attestation.text())
        .map_err(|err| CommandError::because("the report cannot be signed", err))?;
    Ok((attestation, report, signature, key.public()))
}

/// Opens a key. Nobody is asked for a password: the run may have no terminal.
fn secret_key(path: &Path, password: Option<&Path>) -> Result<SecretKey, CommandError> {
    let password = password.map(|path| text(path, "the password")).transpose()?;
    let password = password.as_deref().map(|text| text.lines().next().unwrap_or_default());
    SecretKey::parse(&text(path, "the key")?, password).map_err(|err| {
        let hint = match &err {
            KeyError::Password => Some("give the file that holds the password: `--password-file`"),
            KeyError::Token => Some("`--statement FILE` writes what to sign; `report attest --help` says how"),
            _ => None,
        };
        let err = CommandError::because(format!("cannot use the key {}", path.display()), err);
        match hint {
            Some(hint) => err.hint(hint),
            None => err,
        }
    })
}

/// Takes what was signed elsewhere, if the case still says it.
fn take(work: &Work, path: &Path) -> Result<Attested, CommandError> {
    let statement = text(path, "the statement")?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sig");
    let signature = text(Path::new(&beside), "the signature")?;
    let attestation = Attestation::parse(&statement)
        .map_err(|err| CommandError::because(format!("{} is no statement", path.display()), err))?;
    let key = Attestation::signer(&statement, &signature).map_err(|err| {
        CommandError::because("the statement is not signed", err)
            .hint(format!("sign the file as it was written: ssh-keygen -Y sign -n {ATTESTATION} -f KEY FILE"))
    })?;
    let report = json(&work.report(attestation.as_of))?;
    if sha256(&report) != attestation.report_sha256 {
        return Err(CommandError::new("the case says something else than what was signed, or is another one")
            .hint("write the statement anew: `report attest --statement FILE`"));
    }
    Ok((attestation, report, signature, key))
}

/// Says who attested the report, and whether that still holds. True if nothing speaks against it.
pub(super) fn lint(ui: &mut Ui, work: &Work) -> Result<bool, CommandError> {
    let Some((attestation, bytes)) = work.attested()? else {
        ui.status(format_args!("Nobody has attested the report yet."));
        return Ok(true);
    };
    let who = format!("{} ({})", escape(&attestation.officer), escape(&attestation.role));
    if is_signed(attestation) {
        return still_holds(ui, work, attestation, &bytes, &who);
    }
    ui.text(&format!("attestation: what {who} signed is not what the case holds\n"));
    Ok(false)
}

fn still_holds(
    ui: &mut Ui,
    work: &Work,
    attestation: &record::Attestation,
    bytes: &[u8],
    who: &str,
) -> Result<bool, CommandError> {
    let changed = work.changed(attestation, bytes)?;
    for what in &changed {
        ui.text(&format!("stale: {} changed since {who} attested it\n", escape(what)));
    }
    if changed.is_empty() {
        ui.status(format_args!("Attested by {who} as of {}, key {}.", attestation.as_of, attestation.fingerprint));
    }
    Ok(changed.is_empty())
}
