//! Moments as the ledger writes them: RFC 3339, UTC, six fractional digits, `Z`.

use std::fmt;
use std::str::FromStr;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_799_999_999;

/// Microseconds since 1970-01-01T00:00:00Z, up to the end of the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// A moment, if it lies in the years 1970 to 9999.
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        (0..=LAST).contains(&micros).then_some(Timestamp(micros))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn unix_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, micros) = (self.0 / MICROS_PER_DAY, self.0 % MICROS_PER_DAY);
        let (year, month, day) = date_of(days);
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Accepts exactly the form that is written: parse, write, compare.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let number =
            |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
        let moment = (|| {
            let days = days_of(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
            let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
            Timestamp::from_unix_micros(days * MICROS_PER_DAY + seconds * 1_000_000 + number(20, 26)?)
        })();
        moment.filter(|moment| moment.to_string() == text).ok_or(TimestampError)
    }
}

/// Text that is not a moment in the one form accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampError;

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time as in 2026-02-02T02:40:01.671978Z")
    }
}

impl std::error::Error for TimestampError {}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// The inverse of [`days_of`] for days from 1970 on.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_year - (153 * month_index + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_millennia_survives_a_round_trip() {
        for day in 0..=LAST / MICROS_PER_DAY {
            let moment = Timestamp(day * MICROS_PER_DAY + 1);
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp(LAST).to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn one_spelling_only() {
        assert!("2026-02-02T02:40:01.671978Z".parse::<Timestamp>().is_ok());
        for bad in [
            "2026-02-02T02:40:01.67197Z",
            "2026-02-02T02:40:01.671978+00:00",
            "2026-02-30T02:40:01.671978Z",
            "2026-02-02T24:00:00.000000Z",
            "2026-02-02T02:40:60.000000Z",
            "2026-02-02 02:40:01.671978Z",
            "+026-02-02T02:40:01.671978Z",
            "1969-12-31T23:59:59.999999Z",
            "",
            "é",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimestampError), "{bad}");
        }
    }
}
