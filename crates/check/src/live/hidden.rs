//! Hidden: which processes answer to their number and stand in no list?
//!
//! A rootkit takes names out of the list of `/proc` and seldom out of everything else. Every number that
//! the kernel may give is asked for; threads answer too, and are told by the group that they name.

use std::ops::RangeInclusive;

use directive::progress::Progress;
use directive::record::Severity;
use directive::text::Text;
use evidence::live::Running;

use super::group::{At, Groups, Shared, Who};

/// Numbers tried between two questions whether to stop.
const STEP: usize = 4096;

pub(super) fn look(running: &Running, groups: &mut Groups, progress: &dyn Progress) {
    let limit = running.limits().numbers;
    let said = running.kernel("proc/sys/kernel/pid_max").ok();
    let said = said.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse::<u32>().ok());
    let Some(highest) = said else {
        let why = "the highest number of a process is not known, so that hidden ones were not looked for".into();
        return groups.gap("kernel-unread", "/proc/sys/kernel/pid_max", why);
    };
    if highest > limit {
        groups.gap("too-many", "processes", format!("numbers up to {highest} are given, and {limit} are tried"));
    }
    let Ok(listed) = running.processes() else { return };
    let group = |number| running.process(number).and_then(|process| process.thread_group()).ok().flatten();
    let stop = || progress.stop_requested();
    let numbers = 1..=highest.min(limit);
    let mut silent = unlisted(numbers, &listed, |number| running.answers(number), group, stop);
    silent.retain(|number| *number != running.own());
    if silent.is_empty() {
        return;
    }
    let Ok(listed) = running.processes() else { return };
    for number in silent.into_iter().filter(|number| listed.binary_search(number).is_err()) {
        let Ok(process) = running.process(number) else { continue };
        let path = process.program().ok().flatten().map(|program| program.path);
        let runs = path.map_or_else(|| "a program that cannot be seen".into(), |path| Text::new(path).escaped());
        let why = format!("it answers to its number and stands in no list: something hides it; it runs {runs}");
        let place = At::Place(format!("process {number}"));
        // T1014: rootkit.
        groups.process(Shared::new("process-hidden", Severity::High, place, why).attack("T1014"), &Who::of(&process));
    }
}

/// The numbers that answer, stand in no list and are no thread of another process.
fn unlisted(
    numbers: RangeInclusive<u32>,
    listed: &[u32],
    answers: impl Fn(u32) -> bool,
    group: impl Fn(u32) -> Option<u32>,
    stop: impl Fn() -> bool,
) -> Vec<u32> {
    let mut silent = Vec::new();
    for number in numbers {
        if (number as usize).is_multiple_of(STEP) && stop() {
            break;
        }
        let is_silent = listed.binary_search(&number).is_err() && answers(number);
        if is_silent && group(number) == Some(number) {
            silent.push(number);
        }
    }
    silent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_no_list_shows_is_told_from_threads_and_free_numbers() {
        let answers = |number| [10, 11, 20, 21].contains(&number);
        // 11 is a thread of 10; 21 one of 20, which is hidden.
        let group = |number| Some(number / 10 * 10);
        assert_eq!(unlisted(1..=32, &[10], answers, group, || false), [20]);
        assert!(unlisted(1..=32, &[10, 20], answers, group, || false).is_empty());
    }
}
