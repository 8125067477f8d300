//! `case reset`: which accounts of the reset list were reset, and who says so?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::directive::gate::{self, RESET};
use ::directive::record::{Body, Mark, Record, short_digest};
use ::directive::text::escape;
use ::directive::verdict::Exit;

use super::Open;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Record that accounts of the reset list were reset, by the word of a named person
///
/// Without a name it lists those that are still open. The list is that of all checks of the instance, since a check
/// after a factory reset sees no logins any more.
///
/// Exits 0 if none is open, 1 if some are.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The accounts, as the list writes them
    #[arg(value_name = "ACCOUNT", requires = "by")]
    accounts: Vec<String>,

    /// File with one account a line
    #[arg(long, value_name = "FILE", requires = "by")]
    from: Option<PathBuf>,

    /// The instance that they passed through
    #[arg(long, value_name = "NAME")]
    instance: String,

    /// Who reset them
    #[arg(long, value_name = "PERSON")]
    by: Option<String>,
}

pub(super) fn run(ui: &mut Ui, case: &Path, args: &Args) -> Result<Exit, CommandError> {
    let mut open = Open::new(case)?;
    let known = open.state.instances.get(&args.instance).ok_or_else(|| {
        let names: Vec<_> = open.state.instances.keys().map(escape).collect();
        CommandError::new(format!("the case knows no instance {:?}", escape(&args.instance)))
            .hint(format!("known: {}", names.join(", ")))
    })?;
    let listed: BTreeSet<String> = known.resets.keys().cloned().collect();
    let mut wanted: BTreeSet<String> = args.accounts.iter().cloned().collect();
    if let Some(path) = &args.from {
        let cannot = |err| CommandError::because(format!("cannot read {}", path.display()), err);
        let text = String::from_utf8_lossy(&open::read(path).map_err(cannot)?).into_owned();
        wanted.extend(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
    }
    if let Some(stranger) = wanted.iter().find(|name| !listed.contains(*name)) {
        return Err(CommandError::new(format!("{:?} is not on the reset list of {}", escape(stranger), args.instance))
            .hint("nothing was recorded; `case reset --instance NAME` lists what is open"));
    }
    if let Some(by) = &args.by {
        record(&mut open, args, &wanted, by)?;
        ui.status(format_args!("Recorded: {} accounts are reset.", wanted.len()));
    }
    let left = Open::new(case)?;
    let missing = left.state.instances.get(&args.instance).map(gate::accounts).unwrap_or_default();
    for line in &missing {
        ui.text(&format!("{line}\n"));
    }
    if missing.is_empty() {
        ui.status(format_args!("Every account of the list is reset."));
    }
    Ok(if missing.is_empty() { Exit::Done } else { Exit::Act })
}

fn record(open: &mut Open, args: &Args, wanted: &BTreeSet<String>, by: &str) -> Result<(), CommandError> {
    let now = open.clock.now();
    let count = open.records.len().to_le_bytes();
    let stamp = |(n, name): (usize, &String)| {
        let mark = Mark { mark: format!("{RESET}{name}"), value: "reset".to_owned(), by: by.to_owned() };
        let step = short_digest(&[mark.mark.as_bytes(), args.instance.as_bytes(), &count]);
        Record::stamp(&step, n, now, Some(&args.instance), Body::Mark(mark))
    };
    let records: Vec<Record> = wanted.iter().enumerate().map(stamp).collect();
    open.case.append(&records)?;
    Ok(())
}
