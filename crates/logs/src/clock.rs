//! Clock: when did it happen, as a log writes time?
//!
//! Every way in which logs write time, and how far each can be trusted. A year that is not written is the one
//! that puts the line last before the hint; a zone that is not written is the one that was stated, or UTC.
//! Never reads the clock of this machine.
//! Source: RFC 3164 section 4.1.2, RFC 3339, RFC 5424 section 6.2.3, Apache `mod_log_config`.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::event::Clock;

/// What the reader of a log has to know about its clock.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    /// The zone that was stated; UTC where nothing was.
    zone: TimeZone,
    /// No line is later than this: when the file was written last, or when it was collected.
    latest: Timestamp,
}

/// A day of slack, since a zone may be unknown.
const SLACK: SignedDuration = SignedDuration::from_hours(26);

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A time and how far it can be trusted.
pub(crate) type Told = Option<(Timestamp, Clock)>;

impl Zone {
    pub(crate) fn new(zone: Option<TimeZone>, latest: Timestamp) -> Self {
        Self { zone: zone.unwrap_or(TimeZone::UTC), latest }
    }

    /// A time of the clock on the wall.
    fn local(&self, civil: DateTime, clock: Clock) -> Told {
        let at = self.zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        Some((at, clock))
    }

    /// `2021-04-08 11:46:32`, with `T` or `/`, with or without a fraction.
    pub(crate) fn civil(&self, text: &str) -> Told {
        self.local(civil(text)?, Clock::ZoneAssumed)
    }

    /// `Apr  8 11:46:32` (RFC 3164), sometimes with a year behind it (`Apr  8 2021 11:46:32`).
    pub(crate) fn short(&self, text: &str) -> Told {
        let mut words = text.split_ascii_whitespace();
        let (month, day) = (month(words.next()?.as_bytes())?, words.next()?.parse::<i8>().ok()?);
        let third = words.next()?;
        if let (Ok(year), Some(clock)) = (third.parse::<i16>(), words.next()) {
            return self
                .local(DateTime::from_parts(Date::new(year, month, day).ok()?, time(clock)?), Clock::ZoneAssumed);
        }
        self.without_year(month, day, time(third)?)
    }

    /// The last such day that is not later than the hint: logs are written before they are collected.
    fn without_year(&self, month: i8, day: i8, time: Time) -> Told {
        let limit = self.latest.saturating_add(SLACK).ok()?;
        let year = self.zone.to_datetime(limit).year();
        // Eight years hold a 29 February, whichever year the hint is in.
        (0..=8).find_map(|back| {
            let date = Date::new(year.checked_sub(back)?, month, day).ok()?;
            self.local(DateTime::from_parts(date, time), Clock::YearAssumed).filter(|(at, _)| *at <= limit)
        })
    }
}

/// Seconds since 1970 as text, with or without a fraction.
pub(crate) fn epoch(text: &str) -> Told {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds = nanoseconds(fraction)?;
    Some((Timestamp::new(seconds, nanoseconds).ok()?, Clock::Zoned))
}

/// Microseconds since 1970, as the journal counts.
pub(crate) fn microseconds(text: &str) -> Told {
    Some((Timestamp::from_microsecond(text.parse().ok()?).ok()?, Clock::Zoned))
}

/// RFC 3339, with an offset or `Z`.
pub(crate) fn zoned(text: &str) -> Told {
    text.parse().ok().map(|at| (at, Clock::Zoned))
}

/// `08/Apr/2021:11:46:32 -0700`, the time of the common log format.
pub(crate) fn common(text: &str) -> Told {
    Some((Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok()?, Clock::Zoned))
}

/// Date and time as figures, in this order, whatever stands between them.
fn civil(text: &str) -> Option<DateTime> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !bytes[0].is_ascii_digit() {
        return None;
    }
    let date = Date::new(text.get(..4)?.parse().ok()?, text.get(5..7)?.parse().ok()?, text.get(8..10)?.parse().ok()?);
    Some(DateTime::from_parts(date.ok()?, time(text.get(11..)?)?))
}

/// `11:46:32`, `11:46:32.123`, `11:46:32,123`.
fn time(text: &str) -> Option<Time> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let part = |from: usize| text.get(from..from + 2)?.parse::<i8>().ok();
    let fraction = text.get(8..)?.strip_prefix(['.', ',']).unwrap_or_default();
    let digits = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    // A leap second is the last second of its minute: the calendar has no sixty-first.
    Time::new(part(0)?, part(3)?, part(6)?.min(59), nanoseconds(&fraction[..digits])?).ok()
}

/// The digits behind the point, as nanoseconds.
fn nanoseconds(fraction: &str) -> Option<i32> {
    let digits = fraction.get(..fraction.len().min(9))?;
    if digits.is_empty() {
        return Some(0);
    }
    let number: i32 = digits.parse().ok().filter(|number| *number >= 0)?;
    Some(number * 10_i32.pow(9 - u32::try_from(digits.len()).ok()?))
}

fn month(name: &[u8]) -> Option<i8> {
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name.get(..3).unwrap_or_default()))?;
    i8::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hinted(latest: &str) -> Zone {
        Zone::new(None, latest.parse().unwrap())
    }

    #[track_caller]
    fn check(told: Told, at: &str, clock: Clock) {
        assert_eq!(told, Some((at.parse().unwrap(), clock)));
    }

    #[test]
    fn a_line_of_december_read_in_january_is_of_last_year() {
        let zone = hinted("2022-01-02T00:00:00Z");
        check(zone.short("Dec 31 23:59:59"), "2021-12-31T23:59:59Z", Clock::YearAssumed);
        check(zone.short("Jan  1 00:00:01"), "2022-01-01T00:00:01Z", Clock::YearAssumed);
        check(zone.short("Feb 29 00:00:01"), "2020-02-29T00:00:01Z", Clock::YearAssumed);
    }

    #[test]
    fn the_time_of_an_access_log_knows_its_zone() {
        check(common("08/Apr/2021:11:46:32 -0700"), "2021-04-08T18:46:32Z", Clock::Zoned);
        assert_eq!(common("08/Foo/2021:11:46:32 -0700"), None);
    }

    #[test]
    fn a_time_without_a_zone_is_in_the_zone_that_was_stated() {
        let zone = Zone::new(Some(TimeZone::get("America/New_York").unwrap()), Timestamp::UNIX_EPOCH);
        check(zone.civil("2021-04-08 11:46:32,250"), "2021-04-08T15:46:32.25Z", Clock::ZoneAssumed);
    }

    #[test]
    fn a_count_of_seconds_needs_no_zone() {
        check(epoch("1617882392.250"), "2021-04-08T11:46:32.25Z", Clock::Zoned);
        assert_eq!(epoch("1617882392.-1"), None);
        assert_eq!(epoch("99999999999999999999"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_reader_of_time_panic(text: String) {
            let zone = hinted("2022-01-02T00:00:00Z");
            let _ = (zone.civil(&text), zone.short(&text), epoch(&text), zoned(&text), common(&text));
        }
    }
}
