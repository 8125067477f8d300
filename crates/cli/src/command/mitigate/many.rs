//! `mitigate`, many: how are a hundred proxies changed side by side, each with its own proof and its own undo?
//!
//! `plan` writes one change a proxy into a folder and the list `changes.sha256`, in the form of `sha256sum`. The list
//! is what a person approves: its digest stands for every byte of every change. One that fails undoes itself and stops
//! no other. What all have in common is the case, which takes the steps of many in one transaction, and the scope's
//! rate.

mod journal;
mod list;
mod plan;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ::case::Case;
use ::directive::change::Written;
use ::directive::record::{Body, ChangeStep, DutyCount, Proof, Stage};
use ::directive::state::State;
use ::directive::text::{chain, escape};
use ::directive::verdict::Exit;
use ::mitigate::apply::{Error, Worker};

use self::journal::{One, Together};
pub(super) use self::list::is_list;
use self::list::{Entry, List};
pub(super) use self::plan::{is_many, run as plan};
use super::{Place, apply, clock, known, scope, show};
use crate::clock::Clock;
use crate::error::CommandError;
use crate::progress::Stop;
use crate::ui::Ui;

/// What became of one proxy.
struct Row {
    name: String,
    word: &'static str,
    why: String,
    exit: Exit,
}

/// Works on every entry, some at once, and gives the rows in the order of the list.
pub(super) fn side_by_side<T: Sync, R: Send>(entries: &[T], at_once: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..at_once.clamp(1, entries.len().max(1)) {
            threads.spawn(|| {
                while let Some((number, entry)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    entries.get(number).map(|entry| (number, entry))
                } {
                    let row = work(entry);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push((number, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(number, _)| *number);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// A case with everything that a list needs.
struct Open {
    list: List,
    case: Case,
    clock: Clock,
    state: State,
}

impl Open {
    fn new(dir: &str, place: &Place) -> Result<Self, CommandError> {
        let list = List::read(Path::new(dir))?;
        let case = Case::open(&place.case)?;
        let clock = clock(&case)?;
        let state = State::from_records(&case.records()?);
        Ok(Self { list, case, clock, state })
    }
}

/// Carries out every change of a list whose digest a person gives.
pub(super) fn apply(ui: &mut Ui, args: &apply::Args) -> Result<Exit, CommandError> {
    let mut open = Open::new(&args.change, &args.place)?;
    open.list.approve(&args.approve)?;
    let scope = scope(&args.place.scope)?;
    let _stop = Stop::listen();
    let (state, clock) = (&open.state, open.clock);
    let together = Together::new(&mut open.case, clock, ui);
    approved(&open.list, &together, args)?;
    let rows = side_by_side(&open.list.entries, args.at_once, |entry| {
        let written = &entry.written;
        if known(state, written).is_some_and(::directive::mitigation::Mitigation::is_applied) {
            return entry.row("left", "it is applied already".into(), Exit::Done);
        }
        let approved = match written.clone().approve(&args.by, clock.now(), written.sha256()) {
            Ok(approved) => approved,
            Err(err) => return entry.row("left", format!("nothing was touched: {err}"), Exit::Failed),
        };
        let hands = match args.place.login.hands(&written.change().target.host) {
            Ok(hands) => hands,
            Err(err) => return entry.row("left", format!("nothing was touched: {err}"), Exit::Failed),
        };
        let mut journal = together.of(written);
        let break_lock = args.break_lock;
        let mut worker = Worker { hands: hands.as_ref(), journal: &mut journal, scope: &scope, break_lock };
        match worker.apply(&approved) {
            Ok(_) if apply::is_unproved(written.change()) => {
                entry.row("done", "all steps ended well, and nothing is proved by it".into(), Exit::Done)
            }
            Ok(proof) => entry.proved(&mut journal, &proof, &args.by),
            Err(err) => entry.failed(err),
        }
    });
    together.end(rows)
}

/// Records that all were approved together, also those that will not be reached: until each is in effect, the action is
/// owed.
fn approved(list: &List, together: &Together<'_>, args: &apply::Args) -> Result<(), CommandError> {
    let recorded = side_by_side(&list.entries, args.at_once, |entry| {
        let step = ChangeStep {
            stage: Stage::Approved,
            what: "approve".into(),
            why: format!("{} of a list of {}", entry.name, list.entries.len()),
            by: Some(args.by.clone()),
            list: Some(list.sha256().to_owned()),
            ..super::plan::planned_step(&entry.written)
        };
        together.of(&entry.written).append(Body::Change(step))
    });
    let recorded: Result<(), _> = recorded.into_iter().collect();
    recorded.map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
}

/// Asks from outside whether every change of a list holds.
pub(super) fn prove(ui: &mut Ui, args: &apply::ProveArgs) -> Result<Exit, CommandError> {
    let mut open = Open::new(&args.change, &args.place)?;
    let scope = scope(&args.place.scope)?;
    let (state, clock) = (&open.state, open.clock);
    let together = Together::new(&mut open.case, clock, ui);
    let rows = side_by_side(&open.list.entries, args.at_once, |entry| {
        let written = &entry.written;
        let is_approved = known(state, written).is_some_and(|known| known.approved);
        let mut journal = together.of(written);
        match apply::asked(written, (&scope, &args.place.login), is_approved, clock.now()) {
            Ok(proof) => {
                for body in apply::findings(&proof, written.change().target.kind) {
                    if let Err(err) = journal.append(body) {
                        return entry.row("failed", format!("the case cannot be written: {err}"), Exit::Failed);
                    }
                }
                if let Err(err) = journal.append(Body::Proof(proof.clone())) {
                    return entry.row("failed", format!("the case cannot be written: {err}"), Exit::Failed);
                }
                entry.proved(&mut journal, &proof, "")
            }
            Err(err) => entry.row("unasked", chain(&err), Exit::Failed),
        }
    });
    together.end(rows)
}

/// Puts everything back, behind every proxy of a list.
pub(super) fn undo(ui: &mut Ui, args: &apply::UndoArgs) -> Result<Exit, CommandError> {
    let mut open = Open::new(&args.change, &args.place)?;
    let scope = scope(&args.place.scope)?;
    let _stop = Stop::listen();
    let (state, clock) = (&open.state, open.clock);
    let together = Together::new(&mut open.case, clock, ui);
    let rows = side_by_side(&open.list.entries, args.at_once, |entry| {
        let written = &entry.written;
        let kept = known(state, written).filter(|known| known.is_applied() || known.is_cut_off());
        let Some(kept) = kept.map(|known| known.kept.clone()) else {
            return entry.row("left", "the case knows of nothing to undo".into(), Exit::Done);
        };
        let hands = match args.place.login.hands(&written.change().target.host) {
            Ok(hands) => hands,
            Err(err) => return entry.row("STUCK", chain(&err), Exit::Failed),
        };
        let mut journal = together.of(written);
        let break_lock = args.break_lock;
        let mut worker = Worker { hands: hands.as_ref(), journal: &mut journal, scope: &scope, break_lock };
        match worker.undo(written, &args.by, &kept) {
            Ok(()) => entry.row("undone", "every file is byte for byte what it was".into(), Exit::Done),
            Err(err) => entry.row("STUCK", chain(&err), Exit::Failed),
        }
    });
    together.end(rows)
}

impl Entry {
    fn row(&self, word: &'static str, why: String, exit: Exit) -> Row {
        Row { name: self.name.clone(), word, why, exit }
    }

    /// The row of a proof, and the step that it does.
    fn proved(&self, journal: &mut One<'_, '_>, proof: &Proof, by: &str) -> Row {
        let kind = self.written.change().target.kind;
        let line = show::proof(proof, kind).lines().next().unwrap_or_default().to_owned();
        let line = line.split_once(": ").map_or(line.clone(), |(_, rest)| rest.to_owned());
        if !proof.holds {
            let first = proof.leaks.iter().chain(&proof.lost).next().map(escape).unwrap_or_default();
            return self.row("DOES NOT HOLD", format!("{line} First: {first}"), Exit::Act);
        }
        let instance = &self.written.change().from.instance;
        let number = journal.number();
        let step = apply::done_step(proof, by, instance, &number.to_le_bytes());
        match step.map(|step| journal.append(Body::Step(step))) {
            Some(Err(err)) => self.row("failed", format!("the case cannot be written: {err}"), Exit::Failed),
            _ => self.row("holds", line, Exit::Done),
        }
    }

    fn failed(&self, err: Error) -> Row {
        let word = match &err {
            Error::Stuck { .. } => "STUCK",
            Error::Locked { .. } | Error::Moved { .. } | Error::Broken(_) | Error::NoProcess { .. } => "left",
            Error::Prove(_) | Error::Journal(_) => "failed",
            _ => "undone",
        };
        self.row(word, chain(&err), Exit::Failed)
    }
}

/// The rows as a table: a word, a name, and the rest below where it does not fit.
fn table(rows: &[Row], width: usize) -> String {
    let mut out = String::new();
    let words = rows.iter().map(|row| row.word.len()).max().unwrap_or_default();
    let names = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    for row in rows {
        let head = format!("{:words$}  {:names$}", row.word, escape(&row.name));
        let why = escape(&row.why);
        if head.chars().count() + 2 + why.chars().count() <= width {
            let _ = writeln!(out, "{head}  {why}");
        } else {
            let _ = writeln!(out, "{}\n    {}", head.trim_end(), show::fill(&why, width.saturating_sub(4), "    "));
        }
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in rows {
        match counts.iter_mut().find(|(word, _)| *word == row.word) {
            Some((_, count)) => *count += 1,
            None => counts.push((row.word, 1)),
        }
    }
    let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
    let _ = writeln!(out, "Of {}: {}.", rows.len(), counts.join(", "));
    out
}

impl Together<'_> {
    /// Tells what became of all.
    fn end(self, rows: Vec<Row>) -> Result<Exit, CommandError> {
        let exit = rows.iter().fold(Exit::Done, |exit, row| exit.and(row.exit));
        let (ui, records, clock) = self.into_parts();
        if ui.is_json() {
            ui.record(&crate::command::summary(&records, DutyCount::default(), exit, clock.now()));
        } else {
            let width = ui.width();
            ui.text(&table(&rows, width));
        }
        Ok(exit)
    }
}

/// The digest of a change, for whoever names one.
fn sha256(written: &Written) -> &str {
    written.sha256()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_its_page_and_counts_what_became_of_all() {
        let row = |name: &str, word, why: &str| Row { name: name.into(), word, why: why.into(), exit: Exit::Done };
        let long = "nginx -t failed: nginx: configuration file /etc/nginx/nginx.conf test failed; and more words of it";
        let rows = [row("001-front1", "holds", "471 of 471 requests refused."), row("002-front22", "undone", long)];
        let text = table(&rows, 60);
        assert!(
            text.starts_with("holds   001-front1   471 of 471 requests refused.\nundone  002-front22\n    nginx -t"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() <= 60), "{text}");
        assert!(text.ends_with("Of 2: holds 1, undone 1.\n"), "{text}");
    }

    #[test]
    fn rows_come_in_the_order_of_the_list_whoever_is_ready_first() {
        let numbers: Vec<u64> = (0..40).collect();
        let rows = side_by_side(&numbers, 8, |number| {
            std::thread::sleep(std::time::Duration::from_millis((40 - number) % 7));
            *number
        });
        assert_eq!(rows, numbers);
        assert_eq!(side_by_side(&[] as &[u64], 8, |number| *number), Vec::<u64>::new());
    }
}
