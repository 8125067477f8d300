//! `report submit`: how does the report reach the authority?

use std::fs;
use std::path::Path;

use ::attest::Attestation;
use ::case::Case;
use ::directive::record::{self, Body, Outcome, Receipt, Record, Step, Submission, SubmissionWay, short_digest};
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::report::Built;
use ::report::handover::Handover;
use serve::client::Error as ClientError;
use serve::protocol::{Problem, Signed};

use super::receipt::{Desk, show, verified};
use super::work::{Work, report_of};
use crate::error::CommandError;
use crate::ui::Ui;

/// Hand in the report that was attested last
///
/// To a server of the authority, which answers with a signed receipt; or, for those who have none, as a signed folder
/// or as an e-mail file. Handing in a changed report again makes a new version that names the one before.
///
/// Exits 1 if the authority took it late.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The authority's server, a folder that is made, or a file that ends in .eml
    #[arg(long, value_name = "https://...|FOLDER|FILE.eml")]
    to: String,

    #[command(flatten)]
    desk: Desk,

    /// Who sends the e-mail; default: the answer poc-email of the form
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,

    /// To whom the e-mail goes; default: where the form says that it goes
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
}

pub(super) fn run(ui: &mut Ui, all: &super::Args, args: &Args) -> Result<Exit, CommandError> {
    if args.to.starts_with("http://") {
        return Err(CommandError::new("a report does not go over plain HTTP").hint("write https://"));
    }
    let mut work = Work::open(Case::open(&all.case)?, all)?;
    let Some((attestation, report)) = work.attested()? else {
        return Err(CommandError::new("nobody has attested the report").hint("`report attest` comes first"));
    };
    let attestation = attestation.clone();
    let changed = work.changed(&attestation, &report)?;
    if !changed.is_empty() {
        let what: Vec<_> = changed.iter().map(escape).collect();
        return Err(CommandError::new(format!("the case has changed since it was attested: {}", what.join("; ")))
            .hint("attest the report as it is now: `report attest`"));
    }
    if args.to.starts_with("https://") {
        return server(ui, &mut work, args, &attestation, &report);
    }
    let key = Attestation::signer(&attestation.statement, &attestation.signature)
        .map_err(|err| CommandError::because("what was attested is not signed", err))?;
    let page = page(&work, &attestation, &report)?;
    let handover = Handover { attestation: &attestation, key: &key.to_string(), report: &report, page: &page };
    let (way, to) = match args.to.ends_with(".eml") {
        true => (SubmissionWay::Mail, mail(&work, args, &handover)?),
        false => (SubmissionWay::Folder, folder(Path::new(&args.to), &handover)?),
    };
    let submission = submission(&attestation, way, &to);
    record(&mut work, submission, None)?;
    let what = if way == SubmissionWay::Mail { format!("Send it to {}", escape(&to)) } else { "Hand it over".into() };
    ui.status(format_args!("Wrote {}. {what}; nobody has taken it yet.", args.to));
    ui.status(format_args!("\nhint: `portcullis report receipt --add FILE` takes the receipt into the case"));
    Ok(Exit::Done)
}

/// The page of the attested report, of the case as it was when it was attested: what was recorded since, about handing
/// it in, is not on it, so that whatever is handed over once is the same ever after.
fn page(work: &Work, attestation: &record::Attestation, report: &[u8]) -> Result<String, CommandError> {
    let failed = |err| CommandError::because("the attested report cannot be read", err);
    let attested: serde_json::Value = serde_json::from_slice(report).map_err(failed)?;
    let mut records = work.case.records()?;
    let is_this = |record: &Record| matches!(&record.body, Body::Attestation(one) if one == attestation);
    let end = records.iter().rposition(is_this).map_or(records.len(), |place| place + 1);
    records.truncate(end);
    let then = State::from_records(&records);
    let text = |key: &str| attested[key].as_str().unwrap_or_default().to_owned();
    let (records, head) = (attested["records"].as_i64().unwrap_or_default(), text("head"));
    let shown = report_of(&work.pack, &then, Built { at: attestation.as_of, records, head, tool: text("tool") });
    let filing = super::filing(&work.case, &work.pack, &then)?;
    ::report::html::render(&shown, &filing).map_err(|err| CommandError::because("the page cannot be made", err))
}

fn submission(attestation: &record::Attestation, way: SubmissionWay, to: &str) -> Submission {
    let (directive, report_sha256) = (attestation.directive.clone(), attestation.report_sha256.clone());
    Submission { directive, report_sha256, way, to: to.to_owned() }
}

fn mail(work: &Work, args: &Args, handover: &Handover<'_>) -> Result<String, CommandError> {
    let report = work.report(handover.attestation.as_of);
    let poc = report.form.fields.iter().find(|answer| answer.id == "poc-email").and_then(|answer| answer.value.clone());
    let from = args.from.clone().or(poc).ok_or_else(|| {
        CommandError::new("nobody says from whom the e-mail comes").hint("--from ADDRESS, or the answer poc-email")
    })?;
    let to = args.recipient.clone().unwrap_or(report.form.submit_to);
    let bytes = handover.mail(&from, &to).map_err(|err| {
        CommandError::because("there is no e-mail", err).hint("--from and --recipient name addresses")
    })?;
    super::super::write_file(Path::new(&args.to), &bytes)?;
    Ok(to)
}

fn folder(path: &Path, handover: &Handover<'_>) -> Result<String, CommandError> {
    let failed = |err| CommandError::because(format!("cannot write {}", path.display()), err);
    let files = handover.files().map_err(|err| CommandError::because("there is no folder", err))?;
    // A folder that is there may hold another report: nothing of two is mixed.
    fs::create_dir(path).map_err(|err| failed(err).hint("name a folder that is not there yet"))?;
    for (name, bytes) in files {
        super::super::write_file(&path.join(name), &bytes)?;
    }
    Ok(String::new())
}

fn server(
    ui: &mut Ui,
    work: &mut Work,
    args: &Args,
    attestation: &record::Attestation,
    report: &[u8],
) -> Result<Exit, CommandError> {
    let key = args.desk.key()?;
    let client = args.desk.ask(&args.to)?;
    let signed = Signed { statement: attestation.statement.clone(), signature: attestation.signature.clone() };
    let taken = client.submit(report, &signed).map_err(|err| refused(ui, err))?;
    let receipt = verified(&taken.receipt, &key)?;
    if receipt.report_sha256 != attestation.report_sha256 || receipt.directive != attestation.directive {
        return Err(CommandError::new("the receipt is of another report")
            .hint("the server is not what it should be, or another report was taken: ask the authority"));
    }
    let exit = if receipt.late { Exit::Act } else { Exit::Done };
    show(ui, &receipt);
    record(work, submission(attestation, SubmissionWay::Server, &args.to), Some(receipt))?;
    Ok(exit)
}

/// Says what the server said: each missing answer and each broken rule on a line.
fn refused(ui: &mut Ui, err: ClientError) -> CommandError {
    let ClientError::Refused(problem) = &err else {
        let hint = match &err {
            ClientError::Reach(_) => {
                "whether it was taken is not known: hand it in again, the same report is never taken twice"
            }
            ClientError::Trust(_) => {
                "nothing was sent. Name the certificates by which the server is trusted: `--ca FILE`"
            }
            ClientError::Roots => "name the certificates by which the server is trusted: `--ca FILE`",
            _ => "ask the authority for the address of its server",
        };
        return CommandError::because("the report was not handed in", err).hint(hint);
    };
    let Problem { detail, missing, broken, more, .. } = problem.as_ref();
    for missing in missing {
        let whose = missing.instance.as_deref().map(|name| format!("{}, ", escape(name))).unwrap_or_default();
        ui.text(&format!("missing: {whose}{}\n", escape(&missing.text)));
    }
    for broken in broken {
        let whose = broken.instance.as_deref().map(|name| format!("{}: ", escape(name))).unwrap_or_default();
        ui.text(&format!("rule {}: {whose}{}\n", escape(&broken.rule), escape(&broken.text)));
    }
    if *more > 0 {
        ui.text(&format!("and {more} more\n"));
    }
    let hint = escape(detail);
    CommandError::because("the report was not handed in", err).hint(hint)
}

/// Records that a report was handed over, and if the authority took it, that the action is done.
pub(super) fn record(work: &mut Work, submission: Submission, receipt: Option<Receipt>) -> Result<(), CommandError> {
    let received = receipt.as_ref().map(|receipt| receipt.statement.clone()).unwrap_or_default();
    let way = format!("{:?} {} {}", submission.way, submission.to, work.clock.now());
    // The same receipt is the same record; a folder that is written twice is two.
    let named = if received.is_empty() { way } else { received };
    let id = short_digest(&[b"submit", submission.report_sha256.as_bytes(), named.as_bytes()]);
    let mut bodies = vec![Body::Submission(submission)];
    if let Some(receipt) = receipt {
        bodies.extend(done(work, &receipt));
        bodies.push(Body::Receipt(receipt));
    }
    work.append(&id, bodies)
}

/// The action that handing in the form does: the one that was due when the receipt says, if it is not done yet. A
/// report that replaces one for the same time does no other.
pub(super) fn done(work: &Work, receipt: &Receipt) -> Option<Body> {
    let filing = work.pack.filing(receipt.received);
    let due = filing.into_iter().filter(|(_, due)| *due == receipt.due);
    let named = due.map(|(action, _)| format!("{}/{}", work.pack.id(), action.id.get_ref()));
    let action = named.into_iter().find(|action| work.state.log.done(action).is_empty())?;
    let officer = Attestation::parse(&work.state.filings.attested(work.pack.id())?.2.statement).ok()?.officer;
    let late = if receipt.late { ", late" } else { "" };
    let why =
        format!("version {} was received by {} at {}{late}", receipt.version, receipt.authority, receipt.received);
    let step = short_digest(&[b"submitted", action.as_bytes(), receipt.statement.as_bytes()]);
    Some(Body::Step(Step { step, action, outcome: Outcome::Done, why, by: Some(officer), inputs: Vec::new() }))
}
