//! Shown: what does a machine show that runs somewhere else?
//!
//! The names of programs and who waits for whom, as links and tables of its `/proc` tell over the network. Memory,
//! libraries, modules and mounts are not looked at, which a gap says.

use directive::progress::{Progress, Unwatched};
use directive::record::{Running as Ran, Severity};
use directive::text::Text;
use evidence::live::{Reach, Running, Shown, shown};

use super::group::{At, Groups, Shared, Who};
use super::{Seen, program, said};

/// Looks at it over whatever way there is.
pub(super) fn look(reach: &dyn Reach, clause: Option<&str>, progress: &dyn Progress) -> Seen {
    let mut groups = Groups::default();
    let mut ran = None;
    match shown(reach, progress) {
        Ok(shown) => {
            ran = shown.ran();
            judge(&shown, &mut groups);
        }
        Err(failure) => groups.gap("kernel-unread", "/proc", format!("processes cannot be listed: {}", said(&failure))),
    }
    groups.remark(
        "process-unread",
        "processes",
        "only the programs' names, ages and sockets were seen over the network: run `check / --live` on the machine \
         for their memory, libraries, modules and mounts"
            .into(),
    );
    if progress.stop_requested() {
        groups.gap("interrupted", "processes", "the look was stopped before everything was seen; run it again".into());
    }
    Seen { running: ran, ..groups.finish(clause) }
}

/// Since when what answers here runs, by a passage of its own over `/proc`, so that it is counted as from outside. What
/// cannot be seen is told by the look itself.
pub(super) fn ran(running: &Running) -> Option<Ran> {
    shown(running, &Unwatched).ok()?.ran()
}

fn judge(shown: &Shown, groups: &mut Groups) {
    for stood in &shown.processes {
        program::judge(&stood.program, &Who::named(stood.pid, stood.name.clone()), groups);
    }
    for listener in &shown.listeners {
        let place = format!("{} {}", listener.table.as_str(), Text::new(&listener.at[..]).escaped());
        let holders = shown.holders(listener).map(|stood| Who::named(stood.pid, stood.name.clone()));
        let shared = Shared::new("socket-listening", Severity::Info, At::Place(place), "it waits for whoever comes");
        holders.for_each(|who| groups.process(shared.clone(), &who));
    }
    for (place, failure) in &shown.unseen {
        groups.gap("kernel-unread", place, said(failure));
    }
    if !shown.unread.is_empty() {
        let why = format!("{} processes do not show their program or their files; log in as root", shown.unread.len());
        groups.remark("process-unread", "processes", why);
    }
}
