//! Calendar: how many days after 1970 is this date?

/// Days from 1970 to a date. Months and days out of range, which can be crafted, are taken as the nearest.
///
/// Source: the algorithm `days_from_civil` by Howard Hinnant.
pub(super) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (month, day) = (month.clamp(1, 12), day.clamp(1, 31));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_found() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        assert_eq!(days_since_1970(1900, 12, 31), -25_203);
    }
}
