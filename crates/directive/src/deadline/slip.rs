//! Slip: does a directive's own wording contradict the time that it means?
//!
//! Real texts say "2:00 pm EST, Friday, July 24, 2020", when daylight time was in force. The pack states the moment
//! that is meant; a slip is told to whoever reads, so that nobody computes with the wrong hour.

use jiff::ZonedDateTime;
use jiff::civil::Weekday;

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// What a text says of a moment that is not so, one sentence each.
pub fn slips(moment: &ZonedDateTime, text: &str) -> Vec<String> {
    [zone(moment, text), weekday(moment, text)].into_iter().flatten().collect()
}

/// Standard time in summer, or daylight time in winter.
fn zone(moment: &ZonedDateTime, text: &str) -> Option<String> {
    let zone = moment.time_zone();
    let now = zone.to_offset_info(moment.timestamp());
    // The other half of the year has the zone's other abbreviation.
    let half = moment.checked_add(jiff::Span::new().months(6)).ok()?;
    let other = zone.to_offset_info(half.timestamp());
    let kind =
        |info: &jiff::tz::TimeZoneOffsetInfo<'_>| if info.dst().is_dst() { "daylight time" } else { "standard time" };
    let says_other = text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == other.abbreviation());
    let lower = text.to_lowercase();
    let says_other = says_other || (lower.contains(kind(&other)) && kind(&other) != kind(&now));
    let differ = other.abbreviation() != now.abbreviation();
    (differ && says_other).then(|| {
        let day = moment.strftime("%-d %B %Y");
        let (said, meant) = (other.abbreviation(), now.abbreviation());
        format!("the text says {} ({said}), but on {day} {} ({meant}) was in force", kind(&other), kind(&now))
    })
}

/// A day of the week that the date does not have. Several in one text are not judged.
fn weekday(moment: &ZonedDateTime, text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let named: Vec<_> = DAYS.iter().filter(|(name, _)| lower.contains(name)).collect();
    match named[..] {
        [(name, day)] if *day != moment.weekday() => {
            Some(format!("the text says {name}, but {} is a {:?}", moment.strftime("%-d %B %Y"), moment.weekday()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(moment: &str, text: &str, expected: &[&str]) {
        assert_eq!(slips(&moment.parse().unwrap(), text), expected, "{text}");
    }

    #[test]
    fn standard_time_in_july_is_a_slip() {
        // The text of ED 20-03.
        check(
            "2020-07-24T14:00[America/New_York]",
            "by 2:00 pm EST, Friday, July 24, 2020",
            &["the text says standard time (EST), but on 24 July 2020 daylight time (EDT) was in force"],
        );
        check("2020-07-24T14:00[America/New_York]", "by 2:00 pm EDT, Friday, July 24, 2020", &[]);
    }

    #[test]
    fn a_zone_in_full_words_is_held_against_the_season_too() {
        check("2021-04-23T17:00[America/New_York]", "By 5 pm Eastern Daylight Time on Friday, April 23, 2021", &[]);
        check(
            "2021-03-05T12:00[America/New_York]",
            "noon Eastern Daylight Time on Friday, March 5, 2021",
            &["the text says daylight time (EDT), but on 5 March 2021 standard time (EST) was in force"],
        );
    }

    #[test]
    fn a_day_of_the_week_that_the_date_does_not_have_is_a_slip() {
        check(
            "2021-04-23T17:00[America/New_York]",
            "on Thursday, April 23, 2021",
            &["the text says thursday, but 23 April 2021 is a Friday"],
        );
    }

    #[test]
    fn a_zone_without_daylight_time_has_no_slip() {
        check("2021-07-23T17:00[Asia/Tokyo]", "by 5 pm JST on Friday", &[]);
    }
}
