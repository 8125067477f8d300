//! Live: what do processes and kernel of a running host show that no file shows?
//!
//! Serves ED 21-03 action 2 where an intruder lives in memory alone, as those of 2021 (CLEANPULSE) and 2025
//! (BRUSHFIRE, SPAWNCHIMERA) did: no file changes and every list of files matches. Each thing that is seen
//! is a finding, each that is not is a gap; a process that ends while it is looked at is neither.
//! Never stops, attaches to or signals a process. Never looks at the process that looks.
//! Whoever controls the kernel decides what is seen here: an image of the disk, and of the memory, is the
//! stronger evidence.

mod code;
mod group;
mod hidden;
mod kernel;
mod mount;
mod preload;
mod program;
mod shown;
mod socket;

use std::collections::{BTreeMap, HashMap};

use directive::progress::Progress;
use directive::record::{Finding, Gap, Running as Ran};
use evidence::live::{Failure, Process, Reach, Running};

use group::{Groups, Who};

/// Folders in which everybody may write.
const ANYBODYS: [&[u8]; 4] = [b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/run/shm/"];

/// Processes that are kept as doors to one network.
const THROUGH: usize = 16;

fn is_anybodys(path: &[u8]) -> bool {
    ANYBODYS.iter().any(|folder| path.starts_with(folder))
}

/// What processes and kernel show.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Facts about the host.
    pub findings: Vec<Finding>,
    /// What was not seen.
    pub gaps: Vec<Gap>,
    /// Since when what answers runs.
    pub running: Option<Ran>,
}

/// A machine that runs.
#[derive(Clone, Copy)]
pub enum Live<'a> {
    /// The one that we run on: everything is looked at.
    Here(&'a Running),
    /// One that is reached over a network: what its links and tables show.
    There(&'a dyn Reach),
    /// One whose processes could not be reached, and why.
    Unreached(&'a str),
}

impl Live<'_> {
    /// Looks at it.
    pub fn look(self, clause: Option<&str>, progress: &dyn Progress) -> Seen {
        match self {
            Self::Here(running) => look(running, clause, progress),
            Self::There(reach) => shown::look(reach, clause, progress),
            Self::Unreached(why) => {
                let mut groups = Groups::default();
                groups.gap("process-unread", "processes", why.to_owned());
                groups.finish(clause)
            }
        }
    }
}

/// Who holds which sockets, and through whom each network is seen.
#[derive(Default)]
struct Holders {
    by_inode: HashMap<u64, Vec<Who>>,
    /// Some of the processes that live in it: one may end before its tables are read.
    networks: BTreeMap<Vec<u8>, Vec<u32>>,
    /// Whether some process did not show what it holds.
    is_partial: bool,
}

/// Looks at every process but our own, and at the kernel's tables.
///
/// Time grows with the processes, their mappings and the pages of code that are no longer their file's;
/// the numbers that hidden processes might have are tried one by one. Bounded by
/// [`Limits`](evidence::live::Limits); what lies beyond is a gap.
pub fn look(running: &Running, clause: Option<&str>, progress: &dyn Progress) -> Seen {
    let mut groups = Groups::default();
    let mut holders = Holders::default();
    match running.processes() {
        Ok(mut pids) => {
            let limit = running.limits().processes;
            if pids.len() > limit {
                let why = format!("{} processes run, and {limit} are looked at", pids.len());
                groups.gap("too-many", "processes", why);
                pids.truncate(limit);
                holders.is_partial = true;
            }
            progress.expect(pids.len() as u64);
            processes(running, &pids, &mut groups, &mut holders, progress);
        }
        Err(failure) => {
            holders.is_partial = true;
            groups.gap("kernel-unread", "/proc", format!("processes cannot be listed: {}", said(&failure)));
        }
    }
    hidden::look(running, &mut groups, progress);
    socket::look(running, &holders, &mut groups);
    kernel::look(running, &mut groups);
    mount::look(running, &mut groups);
    preload::everywhere(running, &mut groups);
    if progress.stop_requested() {
        groups.gap("interrupted", "processes", "the look was stopped before everything was seen; run it again".into());
    }
    Seen { running: shown::ran(running), ..groups.finish(clause) }
}

fn processes(running: &Running, pids: &[u32], groups: &mut Groups, holders: &mut Holders, progress: &dyn Progress) {
    let mut code = code::Code::new(running);
    for pid in pids {
        if progress.stop_requested() {
            holders.is_partial = true;
            return;
        }
        progress.advance(1, 0);
        let process = match running.process(*pid) {
            Ok(process) => process,
            Err(Failure::Gone) => continue,
            Err(failure) => {
                holders.is_partial = true;
                groups.unread(&Who::unnamed(*pid), "it cannot be opened", &failure);
                continue;
            }
        };
        let who = Who::of(&process);
        if let Err((what, failure)) = one(&process, &who, &mut code, groups, holders)
            // Something of a process that still runs may be gone, and then the rest of it was not seen.
            && (!matches!(failure, Failure::Gone) || process.has_no_program().is_ok_and(|is_over| !is_over))
        {
            holders.is_partial = true;
            groups.unread(&who, what, &failure);
        }
    }
}

/// Looks at one process. The error says what could not be seen, and ends the look at this process.
fn one(
    process: &Process<'_>,
    who: &Who,
    code: &mut code::Code<'_>,
    groups: &mut Groups,
    holders: &mut Holders,
) -> Result<(), (&'static str, Failure)> {
    if process.has_no_program().map_err(|failure| ("its state", failure))? {
        return Ok(());
    }
    let Some(program) = process.program().map_err(|failure| ("its program, memory, settings and files", failure))?
    else {
        return Ok(());
    };
    program::judge(&program, who, groups);
    let (maps, strange) = process.maps().map_err(|failure| ("its mappings", failure))?;
    if strange > 0 {
        groups.gap("kernel-unread", "/proc", format!("{strange} mappings of process {who} are not understood"));
    }
    code.look(process, &program, &maps, who, groups).map_err(|failure| ("its memory", failure))?;
    let environment = process.environment().map_err(|failure| ("its settings", failure))?;
    preload::judge(&environment, who, groups);
    let sockets = process.sockets().map_err(|failure| ("the files that it holds open", failure))?;
    for inode in sockets {
        holders.by_inode.entry(inode).or_default().push(who.clone());
    }
    let network = process.network().map_err(|failure| ("its network", failure))?;
    let through = holders.networks.entry(network).or_default();
    if through.len() < THROUGH {
        through.push(process.pid);
    }
    Ok(())
}

/// A failure and its causes, in one line.
fn said(failure: &Failure) -> String {
    match failure {
        Failure::Io(source) => format!("{failure}: {source}"),
        other => other.to_string(),
    }
}
