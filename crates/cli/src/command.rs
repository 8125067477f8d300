//! The commands, one file each.

pub(crate) mod case;
pub(crate) mod check;
pub(crate) mod directive;
pub(crate) mod discover;
pub(crate) mod manifest;
pub(crate) mod mitigate;
pub(crate) mod report;
pub(crate) mod respond;
pub(crate) mod serve;
pub(crate) mod update;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ::directive::record::{Body, DutyCount, Record, Summary};
use ::directive::verdict::{Exit, Verdict};

use crate::error::CommandError;

/// The record that closes a stream.
fn summary(records: &[Record], duties: DutyCount, exit: Exit, at: jiff::Timestamp) -> Record {
    let mut summary = Summary::default();
    records.iter().for_each(|record| count(&mut summary, record));
    closing(summary, duties, exit, at)
}

/// Counts a record that was printed.
fn count(summary: &mut Summary, record: &Record) {
    match &record.body {
        Body::Finding(_) => summary.findings += 1,
        Body::Gap(_) => summary.gaps += 1,
        Body::Verdict(conclusion) => *summary.verdicts.entry(conclusion.verdict).or_default() += 1,
        _ => {}
    }
}

/// The record that closes a stream whose records were counted.
fn closing(summary: Summary, duties: DutyCount, exit: Exit, at: jiff::Timestamp) -> Record {
    Record::stamp("summary", 0, at, None, Body::Summary(Summary { duties, exit: exit.code(), ..summary }))
}

/// The exit that the worst of some verdicts calls for.
fn exit_of(verdicts: impl IntoIterator<Item = Verdict>) -> Exit {
    verdicts.into_iter().fold(Exit::Done, |exit, verdict| exit.and(Exit::from_verdict(verdict)))
}

/// Writes a file that the operator asked for, whole or not at all.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    write_with(path, |out| out.write_all(bytes))
}

/// The same, piece by piece.
fn write_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CommandError> {
    let temporary = path.with_extension("part");
    File::create(&temporary)
        .map(BufWriter::new)
        .and_then(|mut out| {
            write(&mut out)?;
            out.flush()
        })
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|err| CommandError::because(format!("cannot write {}", path.display()), err))
}
