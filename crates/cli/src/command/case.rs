//! `case`: what happened, in which order, provably?

mod done;
mod reset;

use std::path::{Path, PathBuf};

use ::case::Case;
use ::directive::action::Each;
use ::directive::pack::Pack;
use ::directive::record::{Body, DutyCount, Mark, Record, short_digest};
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use clap::Subcommand;

use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Look into a case, prove it, and record what people did
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,

    /// Folder of the case
    #[arg(long, global = true, value_name = "DIR", default_value = open::DEFAULT_CASE)]
    case: PathBuf,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make an empty case
    Init,
    /// Say how many records and instances there are
    Status,
    /// Follow the chain of records from the first to the last
    ///
    /// Exits 0 if every record is what was written, 2 and names the first one that is not otherwise.
    Verify {
        /// A hash that a report quotes: say which record it belongs to
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
    /// Print the records in order, one JSON object a line
    Show {
        /// Only records of this type
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,

        /// Only records about this instance
        #[arg(long, value_name = "NAME")]
        instance: Option<String>,
    },
    Done(Box<done::Args>),
    Reset(reset::Args),
    /// Record what only a person can state: a ticket number, a name, an answer of the form
    Mark {
        /// The mark's id in the pack
        #[arg(value_name = "MARK")]
        mark: String,

        /// What is stated
        #[arg(value_name = "VALUE")]
        value: String,

        /// About which instance
        #[arg(long, value_name = "NAME")]
        instance: Option<String>,

        /// Who states it
        #[arg(long, value_name = "PERSON")]
        by: String,
    },
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    match &args.what {
        What::Init => {
            Case::create(&args.case)?;
            ui.status(format_args!("Made an empty case in {}.", args.case.display()));
            Ok(Exit::Done)
        }
        What::Status => status(ui, &Case::open_read_only(&args.case)?),
        What::Verify { head } => verify(ui, &Case::open_read_only(&args.case)?, head.as_deref()),
        What::Show { kind, instance } => {
            show(ui, &Case::open_read_only(&args.case)?, kind.as_deref(), instance.as_deref())
        }
        What::Done(what) => done::run(ui, &args.case, what),
        What::Reset(what) => reset::run(ui, &args.case, what),
        What::Mark { mark, value, instance, by } => {
            let mark = Mark { mark: mark.clone(), value: value.clone(), by: by.clone() };
            self::mark(ui, args, mark, instance.as_deref())
        }
    }
}

fn status(ui: &mut Ui, case: &Case) -> Result<Exit, CommandError> {
    let records = case.records()?;
    let state = State::from_records(&records);
    if let Some((since, opening)) = &state.opening {
        let packs: Vec<_> = opening.packs.iter().map(|pack| escape(&pack.id)).collect();
        let exercise = if opening.clock_offset != 0 { ", an exercise" } else { "" };
        ui.text(&format!(
            "{}, opened {since}{exercise}\nfollows {}\n",
            escape(&opening.organisation),
            packs.join(", ")
        ));
    }
    ui.text(&format!("{} records\n{} instances\n", records.len(), state.instances.len()));
    for (verdict, count) in state.by_verdict() {
        ui.text(&format!("{count} {verdict}\n"));
    }
    Ok(Exit::Done)
}

fn verify(ui: &mut Ui, case: &Case, quoted: Option<&str>) -> Result<Exit, CommandError> {
    let head = case.verify()?;
    ui.text(&format!("{} records are what was written; the last has hash {}\n", head.records, head.hash));
    let Some(quoted) = quoted else {
        return Ok(Exit::Done);
    };
    match case.find_hash(quoted)? {
        Some(record) => {
            ui.text(&format!("the quoted hash is that of record {record}\n"));
            Ok(Exit::Done)
        }
        None => Err(CommandError::new("no record of this case has the quoted hash")
            .hint("this is another case, or one that was written anew")),
    }
}

fn show(ui: &mut Ui, case: &Case, kind: Option<&str>, instance: Option<&str>) -> Result<Exit, CommandError> {
    case.verify()?;
    let mut shown = Vec::new();
    for record in case.records()? {
        let json =
            serde_json::to_value(&record).map_err(|err| CommandError::because("a record cannot be shown", err))?;
        let is_kind = kind.is_none_or(|kind| json["type"] == kind);
        if is_kind && instance.is_none_or(|name| record.instance.as_deref() == Some(name)) {
            ui.text(&format!("{json}\n"));
            shown.push(record);
        }
    }
    if ui.is_json() {
        ui.record(&super::summary(&shown, DutyCount::default(), Exit::Done, Clock::machine().now()));
    }
    Ok(Exit::Done)
}

fn mark(ui: &mut Ui, args: &Args, mark: Mark, instance: Option<&str>) -> Result<Exit, CommandError> {
    let mut open = Open::new(&args.case)?;
    let marks: Vec<_> = open.packs.iter().flat_map(|pack| &pack.directive.marks).cloned().collect();
    let matching = |each| marks.iter().find(|known| known.id == mark.mark && known.each == each);
    let wanted = if instance.is_some() { Each::Instance } else { Each::Organisation };
    if matching(wanted).is_none() {
        let known: Vec<_> = marks.iter().filter(|known| known.each == wanted).map(|known| known.id.as_str()).collect();
        let about = if instance.is_some() { "an instance" } else { "the organisation" };
        return Err(CommandError::new(format!(
            "no directive of this case asks for the mark {:?} of {about}",
            mark.mark
        ))
        .hint(format!("known: {}", known.join(", "))));
    }
    open.expect(wanted, instance)?;
    let id = short_digest(&[
        mark.mark.as_bytes(),
        instance.unwrap_or_default().as_bytes(),
        &open.records.len().to_le_bytes(),
    ]);
    let said = format!("{} is {:?}", mark.mark, mark.value);
    open.append(&id, instance, Body::Mark(mark))?;
    ui.status(format_args!("Recorded: {}.", escape(said)));
    Ok(Exit::Done)
}

/// A case open for what a person adds.
struct Open {
    case: Case,
    packs: Vec<Pack>,
    state: State,
    records: Vec<Record>,
    clock: Clock,
}

impl Open {
    fn new(dir: &Path) -> Result<Self, CommandError> {
        let case = Case::open(dir)?;
        let opening = open::opening(&case)?;
        let packs = open::packs_of(&[], opening.as_ref())?;
        let records = case.records()?;
        let clock = opening.map_or_else(Clock::machine, |opening| Clock::with_offset(opening.clock_offset));
        Ok(Self { case, packs, state: State::from_records(&records), records, clock })
    }

    /// Refuses an instance that is missing, not wanted, or unknown: a slip must not become a record.
    fn expect(&self, each: Each, instance: Option<&str>) -> Result<(), CommandError> {
        let names = || self.state.instances.keys().map(escape).collect::<Vec<_>>().join(", ");
        match (each, instance) {
            (Each::Instance, None) => Err(CommandError::new("this is recorded for each instance")
                .hint(format!("add --instance; known: {}", names()))),
            (Each::Organisation, Some(_)) => {
                Err(CommandError::new("this is recorded once, not for an instance").hint("leave out --instance"))
            }
            (Each::Instance, Some(name)) if !self.state.instances.contains_key(name) => {
                Err(CommandError::new(format!("the case knows no instance {name:?}"))
                    .hint(format!("known: {}", names())))
            }
            _ => Ok(()),
        }
    }

    fn append(&mut self, step: &str, instance: Option<&str>, body: Body) -> Result<(), CommandError> {
        self.case.append(&[Record::stamp(step, 0, self.clock.now(), instance, body)])?;
        Ok(())
    }
}
