//! Deadline: when is an action due?
//!
//! Directives set times in four ways: at a moment in a named zone ("by 5 pm Eastern Daylight Time on Friday"), within a
//! span of an event ("within 48 hours of release"), again and again ("every 24 hours"), and only under a condition
//! ("immediately", once a verdict is reached). Zones are IANA names: the abbreviations in the texts are wrong too often
//! to compute with. Business days are counted by a calendar. Never reads a clock. Source: texts of ED 21-01 to 21-04;
//! facts on directives, section 1.6.

mod calendar;
mod slip;

use jiff::civil::Time;
use jiff::{Span, Timestamp, ZonedDateTime};
use serde::{Deserialize, Deserializer, de};

pub use calendar::{Calendar, Holidays};
pub use slip::slips;

/// When an action is due.
#[derive(Debug, Clone, Default)]
pub enum Due {
    /// The directive sets no time.
    #[default]
    Untimed,
    /// Once.
    Once(Once),
    /// Again and again, counted from the last time it was done.
    Every {
        /// The span between two times.
        every: Span,
        /// When it is due for the first time; absent: as soon as it is owed.
        first: Option<Once>,
        /// How often in all; absent: until the directive says otherwise.
        times: Option<u32>,
    },
}

/// A single moment.
#[derive(Debug, Clone)]
pub enum Once {
    /// At that moment, with the directive's own words for it.
    By(Box<ZonedDateTime>, Option<String>),
    /// That long after an event.
    Within {
        /// How long.
        length: Length,
        /// After which event.
        of: Event,
        /// At which time of that day; absent: as late as the length says.
        at: Option<Time>,
    },
}

/// How long a span is.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// Hours, days, weeks.
    Span(Span),
    /// Days from Monday to Friday that are no holiday.
    BusinessDays(u16),
}

/// What a span is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The directive was issued.
    Issued,
    /// The case was opened.
    Opened,
    /// The instance became known.
    Known,
    /// The verdict that the action's condition names was reached for the first time.
    Verdict,
    /// The vendor released a version that is not affected.
    Release,
}

/// When the events happened, as far as they did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    /// See [`Event::Issued`].
    pub issued: Option<Timestamp>,
    /// See [`Event::Opened`].
    pub opened: Option<Timestamp>,
    /// See [`Event::Known`].
    pub known: Option<Timestamp>,
    /// See [`Event::Verdict`].
    pub verdict: Option<Timestamp>,
    /// See [`Event::Release`].
    pub release: Option<Timestamp>,
}

impl Moments {
    fn of(&self, event: Event) -> Option<Timestamp> {
        match event {
            Event::Issued => self.issued,
            Event::Opened => self.opened,
            Event::Known => self.known,
            Event::Verdict => self.verdict,
            Event::Release => self.release,
        }
    }
}

impl Once {
    /// The moment, or `None` while its event has not happened.
    ///
    /// Days and longer units are counted in the calendar's zone, so that a day with a clock change is
    /// still one day; hours are always 60 minutes.
    pub fn resolve(&self, moments: &Moments, calendar: Calendar<'_>) -> Option<Timestamp> {
        match self {
            Self::By(moment, _) => Some(moment.timestamp()),
            Self::Within { length, of, at } => {
                let from = moments.of(*of)?;
                let last = match length {
                    Length::Span(span) => calendar.later(from, *span),
                    Length::BusinessDays(count) => calendar.later_by_business_days(from, *count),
                }?;
                at.map_or(Some(last), |time| calendar.at(last, time))
            }
        }
    }

    /// What the directive's own words say of the moment that is not so.
    pub fn slips(&self) -> Vec<String> {
        match self {
            Self::By(moment, Some(text)) => slips(moment, text),
            _ => Vec::new(),
        }
    }
}

impl Due {
    /// When it is due next, given when it was done before; `None` if no time is set or its event
    /// has not happened.
    pub fn next(&self, moments: &Moments, calendar: Calendar<'_>, done: &[Timestamp]) -> Option<Timestamp> {
        match self {
            Self::Untimed => None,
            Self::Once(once) => once.resolve(moments, calendar),
            Self::Every { every, first, .. } => match done.last() {
                Some(last) => calendar.later(*last, *every),
                None => first.as_ref().and_then(|first| first.resolve(moments, calendar)),
            },
        }
    }

    /// What the directive's own words say of this time that is not so.
    pub fn slips(&self) -> Vec<String> {
        match self {
            Self::Once(once) | Self::Every { first: Some(once), .. } => once.slips(),
            _ => Vec::new(),
        }
    }

    /// Whether it need not be done again, whatever the clock says.
    pub fn is_discharged(&self, done: &[Timestamp]) -> bool {
        match self {
            Self::Untimed | Self::Once(_) => !done.is_empty(),
            Self::Every { times, .. } => times.is_some_and(|times| done.len() >= times as usize),
        }
    }
}

/// A due time as it stands in `directive.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawDue {
    by: Option<String>,
    within: Option<String>,
    of: Option<Event>,
    at: Option<String>,
    every: Option<String>,
    times: Option<u32>,
    /// The directive's own words, for the reader.
    text: Option<String>,
}

impl<'de> Deserialize<'de> for Due {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawDue::deserialize(deserializer)?;
        let once = match (raw.by, raw.within, raw.of, raw.at) {
            (Some(by), None, None, None) => Some(Once::By(Box::new(moment(&by).map_err(de::Error::custom)?), raw.text)),
            (None, Some(within), Some(of), at) => {
                let at = at.as_deref().map(time).transpose().map_err(de::Error::custom)?;
                Some(Once::Within { length: length(&within).map_err(de::Error::custom)?, of, at })
            }
            (None, None, None, None) => None,
            (None, Some(_), None, _) => {
                return Err(de::Error::custom("`within` needs `of`: the event it is counted from"));
            }
            (_, None, _, Some(_)) => return Err(de::Error::custom("`at` needs `within`: a time of the last day")),
            _ => return Err(de::Error::custom("give either `by`, or `within` and `of`")),
        };
        match (raw.every, once) {
            (Some(every), first) => {
                Ok(Self::Every { every: span(&every).map_err(de::Error::custom)?, first, times: raw.times })
            }
            (None, _) if raw.times.is_some() => Err(de::Error::custom("`times` needs `every`")),
            (None, Some(once)) => Ok(Self::Once(once)),
            (None, None) => Ok(Self::Untimed),
        }
    }
}

/// `2021-04-23T17:00[America/New_York]`. An offset, where one is given, must be the zone's own.
fn moment(text: &str) -> Result<ZonedDateTime, String> {
    text.parse()
        .map_err(|err| format!("{text:?} is no moment in a zone, like \"2021-04-23T17:00[America/New_York]\": {err}"))
}

/// `48h`, `14 days`, `0h`. Negative spans are refused: nothing is due before its event.
fn span(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|err| format!("{text:?} is no span, like \"48h\" or \"14 days\": {err}"))?;
    if span.is_negative() { Err(format!("{text:?} is negative")) } else { Ok(span) }
}

/// `10 business days`, or a span.
fn length(text: &str) -> Result<Length, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    match words[..] {
        [count, "business", "day" | "days"] => count
            .parse()
            .map(Length::BusinessDays)
            .map_err(|_| format!("{text:?} is no number of business days, like \"10 business days\"")),
        _ => span(text).map(Length::Span),
    }
}

/// `17:00`.
fn time(text: &str) -> Result<Time, String> {
    text.parse().map_err(|err| format!("{text:?} is no time of day, like \"17:00\": {err}"))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[derive(Deserialize)]
    struct Line {
        due: Due,
    }

    fn parse(due: &str) -> Result<Due, toml::de::Error> {
        toml::from_str::<Line>(&format!("due = {due}")).map(|line| line.due)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The due time for a case whose events all happened at `event`.
    #[track_caller]
    fn check(due: &str, event: &str, done: &[&str], expected: Option<&str>) {
        let event = Some(at(event));
        let moments = Moments { issued: event, opened: event, known: event, verdict: event, release: event };
        let zone = TimeZone::get("America/New_York").unwrap();
        let holidays = Holidays::new(Some("us-federal"), &[]).unwrap();
        let calendar = Calendar { zone: &zone, holidays: &holidays };
        let done: Vec<_> = done.iter().map(|text| at(text)).collect();
        assert_eq!(parse(due).unwrap().next(&moments, calendar, &done), expected.map(at), "{due}");
    }

    #[test]
    fn five_pm_eastern_daylight_time_is_nine_pm_utc() {
        check(
            r#"{ by = "2021-04-23T17:00[America/New_York]" }"#,
            "2021-04-20T00:00:00Z",
            &[],
            Some("2021-04-23T21:00:00Z"),
        );
    }

    #[test]
    fn noon_eastern_standard_time_is_five_pm_utc() {
        check(
            r#"{ by = "2021-03-05T12:00[America/New_York]" }"#,
            "2021-03-03T00:00:00Z",
            &[],
            Some("2021-03-05T17:00:00Z"),
        );
    }

    #[test]
    fn an_offset_that_the_zone_does_not_have_on_that_day_is_refused() {
        let refused = parse(r#"{ by = "2020-07-24T14:00-05:00[America/New_York]" }"#).unwrap_err();
        assert!(refused.message().contains("is no moment in a zone"), "{refused}");
    }

    #[test]
    fn forty_eight_hours_are_counted_from_the_release() {
        check(r#"{ within = "48h", of = "release" }"#, "2021-05-03T15:30:00Z", &[], Some("2021-05-05T15:30:00Z"));
    }

    #[test]
    fn a_day_with_a_clock_change_is_one_day() {
        check(r#"{ within = "1 day", of = "issued" }"#, "2021-03-13T17:00:00Z", &[], Some("2021-03-14T16:00:00Z"));
        check(r#"{ within = "24h", of = "issued" }"#, "2021-03-13T17:00:00Z", &[], Some("2021-03-14T17:00:00Z"));
    }

    #[test]
    fn immediately_is_the_moment_of_the_verdict() {
        check(r#"{ within = "0h", of = "verdict" }"#, "2021-04-21T10:00:00Z", &[], Some("2021-04-21T10:00:00Z"));
    }

    #[test]
    fn every_24_hours_is_counted_from_the_last_time() {
        let due = r#"{ every = "24h", within = "24h", of = "verdict" }"#;
        check(due, "2021-04-21T10:00:00Z", &[], Some("2021-04-22T10:00:00Z"));
        check(due, "2021-04-21T10:00:00Z", &["2021-04-22T08:00:00Z"], Some("2021-04-23T08:00:00Z"));
    }

    #[test]
    fn weekly_four_times_ends_after_the_fourth() {
        let due = parse(r#"{ every = "1 week", times = 4 }"#).unwrap();
        let done: Vec<_> = (0..4).map(|week| at("2021-04-05T16:00:00Z") + Span::new().hours(week * 168)).collect();
        assert!(!due.is_discharged(&done[..3]));
        assert!(due.is_discharged(&done));
    }

    #[test]
    fn an_event_that_has_not_happened_sets_no_time() {
        let due = parse(r#"{ within = "48h", of = "release" }"#).unwrap();
        let calendar = Calendar { zone: &TimeZone::UTC, holidays: &Holidays::default() };
        assert_eq!(due.next(&Moments::default(), calendar, &[]), None);
    }

    #[test]
    fn ten_business_days_leave_out_weekends_and_a_holiday() {
        // ED 20-02 of 14 January 2020: "within 10 business days (by 5:00pm EST, January 29, 2020)"; the 20th was a
        // holiday.
        let due = r#"{ within = "10 business days", of = "issued", at = "17:00" }"#;
        check(due, "2020-01-14T18:00:00Z", &[], Some("2020-01-29T22:00:00Z"));
        // Without a time of day, the one of the event.
        check(
            r#"{ within = "1 business day", of = "issued" }"#,
            "2020-07-02T15:00:00Z",
            &[],
            Some("2020-07-06T15:00:00Z"),
        );
    }

    #[test]
    fn a_time_of_day_without_a_span_is_refused() {
        let refused = parse(r#"{ by = "2021-04-23T17:00[America/New_York]", at = "17:00" }"#).unwrap_err();
        assert!(refused.message().contains("`at` needs `within`"), "{refused}");
        let refused = parse(r#"{ within = "1 day", of = "issued", at = "25:00" }"#).unwrap_err();
        assert!(refused.message().contains("is no time of day"), "{refused}");
        let refused = parse(r#"{ within = "many business days", of = "issued" }"#).unwrap_err();
        assert!(refused.message().contains("is no number of business days"), "{refused}");
    }

    #[test]
    fn a_span_without_an_event_is_refused() {
        assert!(parse(r#"{ within = "48h" }"#).unwrap_err().message().contains("needs `of`"));
        assert!(parse(r#"{ within = "-48h", of = "release" }"#).unwrap_err().message().contains("negative"));
        assert!(parse(r#"{ times = 4 }"#).unwrap_err().message().contains("needs `every`"));
    }
}
