//! Calendar: which days count, and in which zone do they begin?
//!
//! Business days are the days from Monday to Friday that are no holiday. Holidays are rules in a table: the built-in
//! ones lie in `data/`, single days stand in the directive.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Deserializer, de};

/// The calendars that a directive can name, with their tables.
const CALENDARS: [(&str, &str); 1] = [("us-federal", include_str!("../../data/us-federal.toml"))];

/// In which zone days are counted, and which of them are holidays.
#[derive(Debug, Clone, Copy)]
pub struct Calendar<'a> {
    /// The zone.
    pub zone: &'a TimeZone,
    /// The holidays.
    pub holidays: &'a Holidays,
}

/// Days on which nobody works.
#[derive(Debug, Clone, Default)]
pub struct Holidays {
    rules: Vec<Rule>,
    weekend_moves: bool,
    days: Vec<Date>,
}

/// A table of holidays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    weekend_moves: bool,
    #[serde(rename = "holiday")]
    holidays: Vec<Rule>,
}

/// A holiday that comes each year.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Rule {
    #[serde(rename = "name")]
    _name: String,
    month: i8,
    day: Option<i8>,
    nth: Option<i8>,
    #[serde(default, deserialize_with = "weekday")]
    weekday: Option<Weekday>,
    since: Option<i16>,
}

impl Rule {
    /// The day itself, before it is moved from a weekend.
    fn in_year(&self, year: i16) -> Option<Date> {
        if self.since.is_some_and(|since| year < since) {
            return None;
        }
        match (self.day, self.nth, self.weekday) {
            (Some(day), None, None) => Date::new(year, self.month, day).ok(),
            (None, Some(nth), Some(weekday)) => {
                Date::new(year, self.month, 1).ok()?.nth_weekday_of_month(nth, weekday).ok()
            }
            _ => None,
        }
    }
}

impl Holidays {
    /// The holidays of a calendar by its name, and single days beside them.
    ///
    /// # Errors
    ///
    /// Which calendars there are, if there is none of that name.
    pub fn new(calendar: Option<&str>, days: &[Date]) -> Result<Self, String> {
        let days = days.to_vec();
        let Some(name) = calendar else {
            return Ok(Self { days, ..Self::default() });
        };
        let known = || CALENDARS.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let (_, table) = CALENDARS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("{name:?} is no calendar that is known; there is {}", known()))?;
        let table: Table = toml::from_str(table).map_err(|err| err.to_string())?;
        Ok(Self { rules: table.holidays, weekend_moves: table.weekend_moves, days })
    }

    /// Whether nobody works on a day.
    pub fn is_off(&self, day: Date) -> bool {
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        weekend || self.days.contains(&day) || self.rules.iter().any(|rule| self.is_kept(rule, day))
    }

    /// Whether a holiday is kept on a day. New Year's Day may be kept in the year before.
    fn is_kept(&self, rule: &Rule, day: Date) -> bool {
        [day.year(), day.year() + 1]
            .into_iter()
            .filter_map(|year| rule.in_year(year))
            .any(|date| self.kept(date) == day)
    }

    fn kept(&self, date: Date) -> Date {
        match date.weekday() {
            Weekday::Saturday if self.weekend_moves => date.yesterday().unwrap_or(date),
            Weekday::Sunday if self.weekend_moves => date.tomorrow().unwrap_or(date),
            _ => date,
        }
    }

    /// The last of `count` business days after a day; a count of zero is that day itself.
    pub fn business_days_after(&self, day: Date, count: u16) -> Option<Date> {
        let mut day = day;
        for _ in 0..count {
            day = day.tomorrow().ok()?;
            while self.is_off(day) {
                day = day.tomorrow().ok()?;
            }
        }
        Some(day)
    }
}

impl Calendar<'_> {
    /// A span after a moment. Days and longer units are counted in the zone, so that a day with a clock change is still
    /// one.
    pub(super) fn later(&self, from: Timestamp, span: Span) -> Option<Timestamp> {
        from.to_zoned_datetime(self.zone.clone()).checked_add(span).ok().map(|zoned| zoned.timestamp())
    }

    /// Business days after a moment, at the same time of day.
    pub(super) fn later_by_business_days(&self, from: Timestamp, count: u16) -> Option<Timestamp> {
        let from = from.to_zoned_datetime(self.zone.clone());
        let day = self.holidays.business_days_after(from.date(), count)?;
        Some(day.to_datetime(from.time()).to_zoned_datetime(self.zone.clone()).ok()?.timestamp())
    }

    /// The same day at another time of it.
    pub(super) fn at(&self, moment: Timestamp, time: jiff::civil::Time) -> Option<Timestamp> {
        let day = moment.to_zoned_datetime(self.zone.clone()).date();
        Some(day.to_datetime(time).to_zoned_datetime(self.zone.clone()).ok()?.timestamp())
    }
}

fn weekday<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Weekday>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let day = match name.as_str() {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return Err(de::Error::custom(format!("{name:?} is no day of the week"))),
    };
    Ok(Some(day))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[track_caller]
    fn off(day: Date, expected: bool) {
        assert_eq!(Holidays::new(Some("us-federal"), &[]).unwrap().is_off(day), expected, "{day}");
    }

    #[test]
    fn holidays_are_kept_as_the_law_says() {
        // Days as the Office of Personnel Management lists them for 2020 to 2022.
        off(date(2020, 1, 20), true);
        off(date(2020, 5, 25), true);
        off(date(2020, 7, 3), true);
        off(date(2020, 11, 26), true);
        off(date(2021, 6, 18), true);
        off(date(2021, 7, 5), true);
        off(date(2021, 12, 24), true);
        off(date(2021, 12, 31), true);
        off(date(2022, 6, 20), true);
        off(date(2020, 6, 19), false);
        off(date(2020, 7, 2), false);
        off(date(2020, 11, 25), false);
        off(date(2021, 1, 2), true);
    }

    #[test]
    fn a_single_day_can_be_added() {
        let holidays = Holidays::new(Some("us-federal"), &[date(2020, 12, 24)]).unwrap();
        assert!(holidays.is_off(date(2020, 12, 24)));
        assert!(Holidays::new(Some("moon"), &[]).unwrap_err().contains("there is \"us-federal\""));
    }
}
