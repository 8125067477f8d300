//! `report receipt`: what did the authority take, and when?

use std::path::{Path, PathBuf};

use ::attest::{PublicKey, RECEIPT, Receipt as Statement, verify};
use ::case::Case;
use ::directive::record::{Body, Receipt, short_digest};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use serve::client::Client;
use serve::protocol::{Signed, Taken};

use super::submit;
use super::work::Work;
use crate::command::manifest::text;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Show the receipts of the case, or take one into it
///
/// A receipt counts if it is signed with the authority's key, which must have come to you by another way than the
/// receipt. Exits 1 if the latest report was taken late.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Take the receipt in this file, as the authority sent it
    #[arg(long, value_name = "FILE")]
    add: Option<PathBuf>,

    /// Ask the authority's server for all that it took, and take what the case does not have
    #[arg(long, value_name = "https://...", conflicts_with = "add")]
    from: Option<String>,

    #[command(flatten)]
    desk: Desk,
}

/// How the authority's server is asked, and by which key its receipts count.
#[derive(clap::Args, Debug)]
pub(super) struct Desk {
    /// The key of the authority's receipts: a file with a line of OpenSSH
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,

    /// The file that holds the organisation's token, in its first line; default: the variable PORTCULLIS_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Certificates in PEM by which the server is trusted; default: those that this host trusts
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Desk {
    /// The key by which receipts count.
    pub(super) fn key(&self) -> Result<PublicKey, CommandError> {
        let Some(path) = &self.authority_key else {
            return Err(CommandError::new("nobody says by which key a receipt counts")
                .hint("`--authority-key FILE`: the line that the authority gave you, `ssh-ed25519 AAAA...`"));
        };
        PublicKey::parse(&text(path, "the key of the authority")?)
            .map_err(|err| CommandError::because(format!("cannot use the key {}", path.display()), err))
    }

    /// The authority's server.
    pub(super) fn ask(&self, to: &str) -> Result<Client, CommandError> {
        let token = match &self.token_file {
            Some(path) => text(path, "the token")?.lines().next().unwrap_or_default().trim().to_owned(),
            None => std::env::var("PORTCULLIS_TOKEN").unwrap_or_default(),
        };
        if token.is_empty() {
            return Err(CommandError::new("there is no token for the server")
                .hint("`--token-file FILE`, or the variable PORTCULLIS_TOKEN; never on the command line"));
        }
        let read = |path: &PathBuf| {
            open::read(path).map_err(|err| CommandError::because(format!("cannot read {}", path.display()), err))
        };
        let roots = self.ca.as_ref().map(read).transpose()?;
        Client::new(to, &token, roots.as_deref()).map_err(|err| {
            CommandError::because("the server cannot be asked", err).hint("`--ca FILE` names the certificates to trust")
        })
    }
}

pub(super) fn run(ui: &mut Ui, all: &super::Args, args: &Args) -> Result<Exit, CommandError> {
    if args.add.is_none() && args.from.is_none() {
        let work = Work::open(Case::open_read_only(&all.case)?, all)?;
        return Ok(list(ui, &work));
    }
    let key = args.desk.key()?;
    let found = match (&args.add, &args.from) {
        (Some(path), _) => vec![read(path)?],
        (None, Some(from)) => {
            let failed = |err| CommandError::because("the server does not say what it took", err);
            args.desk.ask(from)?.list().map_err(failed)?.reports.into_iter().map(|report| report.receipt).collect()
        }
        (None, None) => Vec::new(),
    };
    let mut work = Work::open(Case::open(&all.case)?, all)?;
    let mut taken = 0;
    for signed in found {
        let receipt = verified(&signed, &key)?;
        let mine = receipt.directive == work.pack.id();
        let known = work.state.filings.receipts.iter().any(|(_, _, known)| known.statement == receipt.statement);
        if !mine || known {
            continue;
        }
        expect(&work, &signed)?;
        let step = short_digest(&[b"receipt", receipt.statement.as_bytes()]);
        let mut bodies: Vec<_> = submit::done(&work, &receipt).into_iter().collect();
        show(ui, &receipt);
        bodies.push(Body::Receipt(receipt));
        work.append(&step, bodies)?;
        taken += 1;
        work = Work::open(work.case, all)?;
    }
    ui.status(format_args!("{taken} taken into the case."));
    let late = work.state.filings.received(work.pack.id()).is_some_and(|(_, _, receipt)| receipt.late);
    Ok(if late { Exit::Act } else { Exit::Done })
}

/// A receipt as the server answers it, or as `Signed` alone.
fn read(path: &Path) -> Result<Signed, CommandError> {
    let json = text(path, "the receipt")?;
    let taken = serde_json::from_str::<Taken>(&json).map(|taken| taken.receipt);
    taken.or_else(|_| serde_json::from_str::<Signed>(&json)).map_err(|err| {
        CommandError::because(format!("{} is no receipt", path.display()), err)
            .hint("it is the JSON that the authority's server answers, with `statement` and `signature`")
    })
}

/// Reads a receipt whose signature counts.
pub(super) fn verified(signed: &Signed, key: &PublicKey) -> Result<Receipt, CommandError> {
    let key = verify(&signed.statement, &signed.signature, RECEIPT, std::slice::from_ref(key)).map_err(|err| {
        CommandError::because("the receipt does not count", err)
            .hint("ask the authority for the key of its receipts, by another way")
    })?;
    let said = Statement::parse(&signed.statement)
        .map_err(|err| CommandError::because("what is signed is no receipt", err))?;
    Ok(Receipt {
        late: said.late(),
        directive: said.directive,
        report_sha256: said.report_sha256,
        authority: said.authority,
        version: said.version,
        received: said.received,
        due: said.due,
        fingerprint: key.fingerprint(),
        statement: signed.statement.clone(),
        signature: signed.signature.clone(),
    })
}

/// Refuses a receipt of another organisation: it would say that something was handed in that was not.
fn expect(work: &Work, signed: &Signed) -> Result<(), CommandError> {
    let organisation = work.state.opening.as_ref().map(|(_, opening)| escape(&opening.organisation));
    let said = Statement::parse(&signed.statement).map(|said| said.organisation).unwrap_or_default();
    if organisation.as_ref() == Some(&said) {
        return Ok(());
    }
    Err(CommandError::new(format!("the receipt is of {said:?}, and the case is of another organisation")))
}

fn list(ui: &mut Ui, work: &Work) -> Exit {
    let receipts: Vec<_> =
        work.state.filings.receipts.iter().filter(|(_, _, one)| one.directive == work.pack.id()).collect();
    for (_, _, receipt) in &receipts {
        show(ui, receipt);
    }
    match receipts.iter().max_by_key(|(_, _, receipt)| receipt.version) {
        None => {
            ui.status(format_args!("The case has no receipt under {}.", work.pack.id()));
            Exit::Act
        }
        Some((_, _, latest)) if latest.late => Exit::Act,
        Some(_) => Exit::Done,
    }
}

/// One receipt, read aloud.
pub(super) fn show(ui: &mut Ui, receipt: &Receipt) {
    let late = match (receipt.late, receipt.due) {
        (true, Some(due)) => format!("LATE, it was due at {due}"),
        (false, Some(due)) => format!("in time, it was due at {due}"),
        (_, None) => "no time is set for it".to_owned(),
    };
    ui.text(&format!(
        "{}, version {}: received {} by {}; {late}\n  report SHA-256 {}\n  key {}\n",
        receipt.directive,
        receipt.version,
        receipt.received,
        escape(&receipt.authority),
        receipt.report_sha256,
        receipt.fingerprint
    ));
}
