//! UTC microseconds to the text people read, and back.
//!
//! In: microseconds since 1970 or text. Out: the other one.
//! Never: a time zone; weir speaks UTC only.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::{date_from_days, days_from_date};

/// The wall clock, UTC microseconds since 1970.
pub fn utc_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// `2026-03-01T12:00:00.000001Z`.
pub fn to_text(us: i64) -> String {
    let (date, day_us) = split(us);
    let (hour, minute, second) = clock(day_us);
    let (year, month, day) = date;
    let fraction = day_us % SECOND_US;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// `2026-03-01 12:00:00.000`: for tables that people read, whose heading says UTC.
pub fn to_column(us: i64) -> String {
    let (date, day_us) = split(us);
    let (hour, minute, second) = clock(day_us);
    let (year, month, day) = date;
    let fraction = day_us % SECOND_US / 1_000;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:03}")
}

/// `2026-03-01T12:00:00Z`: log lines.
pub fn to_second(us: i64) -> String {
    let (date, day_us) = split(us);
    let (hour, minute, second) = clock(day_us);
    let (year, month, day) = date;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads `2026-03-01`, `2026-03-01T12:00`, `2026-03-01 12:00:00.5Z`; `None` for anything else.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00"),
    };
    let mut parts = date.splitn(3, '-');
    let year: i64 = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    let day = digits(parts.next()?, 2)?;
    let days = days_from_date(year, month, day);
    // The way back finds impossible dates such as the 30th of February.
    if date_from_days(days) != (year, month, day) {
        return None;
    }
    Some(days * DAY_US + parse_clock(time)?)
}

fn parse_clock(time: &str) -> Option<i64> {
    let mut parts = time.splitn(3, ':');
    let hour = digits(parts.next()?, 2).filter(|h| *h < 24)?;
    let minute = digits(parts.next()?, 2).filter(|m| *m < 60)?;
    let (second, fraction_us) = match parts.next() {
        None => (0, 0),
        Some(text) => {
            let (second, fraction) = text.split_once('.').unwrap_or((text, ""));
            (digits(second, 2).filter(|s| *s < 60)?, parse_fraction(fraction)?)
        }
    };
    Some((hour * 3_600 + minute * 60 + second) * SECOND_US + fraction_us)
}

fn parse_fraction(text: &str) -> Option<i64> {
    if text.len() > 6 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{text:0<6}").parse().ok()
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let whole = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| text.parse().ok()).flatten()
}

fn split(us: i64) -> ((i64, i64, i64), i64) {
    (date_from_days(us.div_euclid(DAY_US)), us.rem_euclid(DAY_US))
}

fn clock(day_us: i64) -> (i64, i64, i64) {
    let seconds = day_us / SECOND_US;
    (seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times_have_their_text() {
        let check = |us: i64, expect: &str| assert_eq!(to_text(us), expect);
        check(0, "1970-01-01T00:00:00.000000Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
        check(1_767_225_599_999_999, "2025-12-31T23:59:59.999999Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        assert_eq!(to_column(951_782_400_123_999), "2000-02-29 00:00:00.123");
        assert_eq!(to_second(951_782_400_123_999), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn text_is_read_in_its_usual_forms() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(parse(text), expect, "{text}");
        check("2000-02-29", Some(951_782_400_000_000));
        check("2000-02-29T00:00", Some(951_782_400_000_000));
        check("2000-02-29 00:00:01.5", Some(951_782_401_500_000));
        check("2000-02-29T00:00:01Z", Some(951_782_401_000_000));
        check("2001-02-29", None);
        check("2000-13-01", None);
        check("2000-02-29T24:00", None);
        check("2000-2-29", None);
        check("yesterday", None);
        check("", None);
    }

    const YEAR_1_US: i64 = -62_135_596_800_000_000;
    const YEAR_10000_US: i64 = 253_402_300_800_000_000;

    proptest! {
        #[test]
        fn text_comes_back_as_the_same_time(us in YEAR_1_US..YEAR_10000_US) {
            prop_assert_eq!(parse(&to_text(us)), Some(us));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
