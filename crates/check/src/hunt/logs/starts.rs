//! Starts: which programs does a log say were started, by whom, and how often?
//!
//! A host starts the same programs day and night. Of each command of each account the first start is kept, with how
//! often and until when it came again: what an intruder gave by hand stands beside what a clock gives every minute,
//! and is not lost among it.

use std::collections::HashMap;

use directive::record::Moment;
use directive::text::{Text, escape};
use jiff::Timestamp;
use logs::Event;

/// Commands of one log of which the first start is kept.
const COMMANDS: usize = 5_000;

/// Characters of a command that are kept and told apart.
const WORDS: usize = 300;

/// The first start of a command, and what came of it.
struct Start {
    moment: Moment,
    count: u64,
    last: Timestamp,
}

/// Starts of programs in one log.
#[derive(Default)]
pub(super) struct Starts {
    /// By account and command.
    first: HashMap<(String, String), Start>,
    /// Starts of commands that are not kept.
    unkept: u64,
}

impl Starts {
    /// A program was started.
    pub(super) fn saw(&mut self, event: &Event, time: Timestamp, path: &Text) {
        let command = command(event);
        let account = event.actor.as_ref().map(|actor| actor.user.clone());
        let key = (account.clone().unwrap_or_default(), command);
        if let Some(start) = self.first.get_mut(&key) {
            start.count += 1;
            start.last = start.last.max(time);
            // Logs are not always in order.
            if time < start.moment.time {
                (start.moment.time, start.moment.line) = (time, Some(event.number));
            }
            return;
        }
        if self.first.len() >= COMMANDS {
            self.unkept += 1;
            return;
        }
        let moment = Moment {
            time,
            what: event.action.as_str().to_owned(),
            why: escape(&key.1),
            path: Some(path.clone()),
            line: Some(event.number),
            clock: event.clock.as_str().to_owned(),
            account,
            address: event.address.map(|address| address.to_string()),
            code: event.code.clone(),
            severity: None,
        };
        self.first.insert(key, Start { moment, count: 1, last: time });
    }

    /// A moment of each command, and how many starts have none.
    pub(super) fn finish(self) -> (Vec<Moment>, u64) {
        let moments = self.first.into_values().map(|Start { mut moment, count, last }| {
            if count > 1 {
                moment.why += &format!(" ({count} times in this log, the last at {last:.0})");
            }
            moment
        });
        (moments.collect(), self.unkept)
    }
}

/// What was started: the whole command where the log has it, otherwise the program, otherwise its line.
fn command(event: &Event) -> String {
    let told = ["CommandLine", "Image"].into_iter().filter_map(|name| event.field(name)).find(|text| !text.is_empty());
    let line = String::from_utf8_lossy(event.message.as_bytes());
    told.unwrap_or(&line).chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use logs::{Action, Actor, Source};

    fn start(second: i64, user: &str, command: &str) -> (Event, Timestamp) {
        let mut event = Event::at(u64::try_from(second).unwrap(), Source::default());
        event.action = Action::Process;
        event.actor = Some(Actor { user: user.into(), ..Actor::default() });
        event.tell("CommandLine", command);
        (event, Timestamp::from_second(second).unwrap())
    }

    fn told(starts: impl IntoIterator<Item = (Event, Timestamp)>) -> (Vec<String>, u64) {
        let mut all = Starts::default();
        starts.into_iter().for_each(|(event, time)| all.saw(&event, time, &Text::from("/log")));
        let (mut moments, unkept) = all.finish();
        moments.sort();
        let line = |one: &Moment| format!("{} {} {}", one.time.as_second(), one.account.as_deref().unwrap(), one.why);
        (moments.iter().map(line).collect(), unkept)
    }

    #[test]
    fn what_is_started_again_and_again_is_one_moment_with_its_number() {
        let starts =
            [(60, "root", "check"), (61, "eve", "nc 192.0.2.1"), (120, "root", "check"), (50, "root", "check")];
        let (moments, unkept) = told(starts.map(|(second, user, command)| start(second, user, command)));
        let often = "50 root check (3 times in this log, the last at 1970-01-01T00:02:00Z)";
        assert_eq!((moments, unkept), (vec![often.to_owned(), "61 eve nc 192.0.2.1".to_owned()], 0));
    }

    #[test]
    fn a_million_commands_are_counted_and_not_kept() {
        let commands = (0..COMMANDS as i64 + 7).map(|n| start(n, "root", &format!("command {n}")));
        let (moments, unkept) = told(commands);
        assert_eq!((moments.len(), unkept), (COMMANDS, 7));
    }
}
