//! Clock: what time is it, in the case's own time?
//!
//! The only place that reads the machine's clock. An exercise runs on the machine's clock plus a
//! fixed number of seconds, which the case records when it is opened, so that a run that is
//! continued tomorrow goes on in the same time.

use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::error::CommandError;

/// The clock of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    offset: i64,
}

impl Clock {
    /// The machine's own clock.
    pub(crate) fn machine() -> Self {
        Self { offset: 0 }
    }

    /// A clock that shows `start` now.
    pub(crate) fn exercise(start: Timestamp) -> Self {
        Self { offset: start.as_second() - Self::machine().now().as_second() }
    }

    /// The clock of a case that was opened with this offset, in seconds.
    pub(crate) fn with_offset(offset: i64) -> Self {
        Self { offset }
    }

    /// Seconds between the machine's clock and this one.
    pub(crate) fn offset(self) -> i64 {
        self.offset
    }

    /// The time now, in whole seconds.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub(crate) fn now(self) -> Timestamp {
        let machine = Timestamp::now();
        let shown = machine.checked_add(SignedDuration::from_secs(self.offset)).unwrap_or(machine);
        Timestamp::from_second(shown.as_second()).unwrap_or(shown)
    }
}

/// A time on the command line: RFC 3339, or a moment in a zone.
pub(crate) fn moment(text: &str) -> Result<Timestamp, CommandError> {
    let zoned = text.parse::<ZonedDateTime>().map(|zoned| zoned.timestamp());
    zoned.or_else(|_| text.parse::<Timestamp>()).map_err(|err| {
        CommandError::because(format!("{text:?} is no time"), err)
            .hint("write 2021-04-21T09:00[America/New_York] or 2021-04-21T13:00:00Z")
    })
}
