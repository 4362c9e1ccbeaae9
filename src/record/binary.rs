//! Values that came in PostgreSQL's binary format, as its text format has them.
//!
//! In: the OID of a type and the bytes of a value. Out: text, or a list of such. Never: a value of
//! which one byte is not understood; a type whose text depends on settings of the server (money).
//!
//! ```text
//!   numeric      digits, weight, sign, scale, then digits to the base of 10,000 (numeric.c,
//!                `numeric_send`)
//!   date ..      days or microseconds since 2000-01-01 (date.c, timestamp.c)
//!   jsonb        a version, then text (jsonb.c, `jsonb_send`)
//!   inet, cidr   family, bits, which of both, length, address (network.c, `network_send`)
//!   array        dimensions, nulls, type, then length and lower bound of each dimension, then
//!                values with their lengths (arrayfuncs.c, `array_send`)
//! ```

use std::fmt::Write;

use super::parquet::date_text;

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning<'v> {
    /// A string.
    Text(String),
    /// Text in the encoding of the client.
    Raw(&'v [u8]),
    /// Values of an array, with their type; `None` is NULL.
    List(u32, Vec<Option<&'v [u8]>>),
}

/// What the bytes of a type mean; `None` where that is not known. Type OIDs of pg_type.dat.
pub(super) fn meaning(oid: u32, value: &[u8]) -> Option<Meaning<'_>> {
    if let Some((_, element)) = ARRAYS.iter().find(|(array, _)| *array == oid) {
        return list(*element, value);
    }
    let text = match oid {
        1700 => numeric(value)?,
        1082 => date(i32::from_be_bytes(value.try_into().ok()?))?,
        1083 => time(i64::from_be_bytes(value.try_into().ok()?))?,
        1266 => time_with_zone(value)?,
        1114 => timestamp(value, "")?,
        1184 => timestamp(value, "+00")?,
        1186 => interval(value)?,
        650 | 869 => network(value)?,
        774 | 829 => hex_pairs(value, if oid == 829 { 6 } else { 8 })?,
        1560 | 1562 => bits(value)?,
        3802 => return Some(Meaning::Raw(value.strip_prefix(&[1])?)),
        _ => return None,
    };
    Some(Meaning::Text(text))
}

/// Arrays and the types of their elements.
const ARRAYS: [(u32, u32); 27] = [
    (199, 114),
    (651, 650),
    (1000, 16),
    (1002, 18),
    (1003, 19),
    (1005, 21),
    (1007, 23),
    (1009, 25),
    (1014, 1042),
    (1015, 1043),
    (1016, 20),
    (1021, 700),
    (1022, 701),
    (1028, 26),
    (1040, 829),
    (1041, 869),
    (775, 774),
    (1115, 1114),
    (1182, 1082),
    (1183, 1083),
    (1185, 1184),
    (1187, 1186),
    (1231, 1700),
    (1270, 1266),
    (1561, 1560),
    (2951, 2950),
    (3807, 3802),
];

/// An array of one dimension, or of none: those of more are rare, and no list.
fn list(element: u32, value: &[u8]) -> Option<Meaning<'_>> {
    let (head, mut rest) = value.split_at_checked(12)?;
    let [dimensions, nulls, oid] = words(head)?;
    if oid != element || nulls > 1 {
        return None;
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let (bounds, after) = rest.split_at_checked(8)?;
            let [count, first] = words(bounds)?;
            rest = after;
            // Others are written with their bounds.
            usize::try_from(count).ok().filter(|_| first == 1)?
        }
        _ => return None,
    };
    // Each takes four bytes at least.
    if count > rest.len() / 4 {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let size = usize::try_from(length).unwrap_or(0);
        let (value, after) = after.split_at_checked(size)?;
        rest = after;
        values.push((length >= 0).then_some(value));
    }
    rest.is_empty().then_some(Meaning::List(element, values))
}

fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let words: Vec<u32> =
        bytes.as_chunks::<4>().0.iter().map(|it| u32::from_be_bytes(*it)).collect();
    words.try_into().ok()
}

fn numeric(value: &[u8]) -> Option<String> {
    let (head, digits) = value.split_at_checked(8)?;
    let half = |at: usize| Some(*head.get(at..)?.first_chunk::<2>()?);
    let count = usize::from(u16::from_be_bytes(half(0)?));
    let weight = i32::from(i16::from_be_bytes(half(2)?));
    let scale = usize::from(u16::from_be_bytes(half(6)?));
    let sign = match u16::from_be_bytes(half(4)?) {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let (pairs, odd) = digits.as_chunks::<2>();
    let digits: Vec<i16> = pairs.iter().map(|pair| i16::from_be_bytes(*pair)).collect();
    let known = digits.iter().all(|digit| (0..10_000).contains(digit));
    // Few bytes could stand for very many zeros.
    let zeros = usize::try_from(weight).unwrap_or(0).max(scale / 4).saturating_sub(count);
    if !odd.is_empty() || digits.len() != count || !known || zeros > ZEROS_MAX {
        return None;
    }
    let digit = |place: i32| -> i16 {
        let at = usize::try_from(weight - place).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or(0)
    };
    let mut text = String::from(sign);
    if weight < 0 {
        text.push('0');
    }
    for place in (0..=weight).rev() {
        let wide = if place == weight { 0 } else { 4 };
        let _ = write!(text, "{:0wide$}", digit(place));
    }
    if scale > 0 {
        let mut behind = String::new();
        let mut place = -1;
        while behind.len() < scale {
            let _ = write!(behind, "{:04}", digit(place));
            place -= 1;
        }
        behind.truncate(scale);
        let _ = write!(text, ".{behind}");
    }
    Some(text)
}

/// Groups of four zeros that a number may have beside its digits.
const ZEROS_MAX: usize = 16;

/// Days from 1970 to 2000.
const EPOCH_DAYS: i64 = 10_957;
const DAY_US: i64 = 86_400_000_000;
/// What dates of four digits end with: others are written otherwise than Parquet's are.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

fn date(days: i32) -> Option<String> {
    match days {
        i32::MAX => Some("infinity".to_owned()),
        i32::MIN => Some("-infinity".to_owned()),
        days => day(i64::from(days) + EPOCH_DAYS),
    }
}

/// A day since 1970.
fn day(days: i64) -> Option<String> {
    DAYS.contains(&days).then(|| date_text(days))
}

fn time(us: i64) -> Option<String> {
    (0..=DAY_US).contains(&us).then(|| clock(us))
}

fn clock(us: i64) -> String {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let _ = write!(text, ".{fraction:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

fn time_with_zone(value: &[u8]) -> Option<String> {
    let (us, west) = value.split_first_chunk::<8>()?;
    let east = -i64::from(i32::from_be_bytes(west.try_into().ok()?));
    let sign = if east < 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (east.abs() / 3600, east.abs() / 60 % 60, east.abs() % 60);
    let mut text = time(i64::from_be_bytes(*us))?;
    let _ = write!(text, "{sign}{hours:02}");
    if minutes > 0 || seconds > 0 {
        let _ = write!(text, ":{minutes:02}");
    }
    if seconds > 0 {
        let _ = write!(text, ":{seconds:02}");
    }
    (hours < 24).then_some(text)
}

fn timestamp(value: &[u8], zone: &str) -> Option<String> {
    let us = i64::from_be_bytes(value.try_into().ok()?);
    match us {
        i64::MAX => Some("infinity".to_owned()),
        i64::MIN => Some("-infinity".to_owned()),
        us => {
            let day = day(us.div_euclid(DAY_US) + EPOCH_DAYS)?;
            Some(format!("{day} {}{zone}", clock(us.rem_euclid(DAY_US))))
        }
    }
}

/// As `IntervalStyle` `postgres_verbose` has it, but for weeks and years: each part by itself.
fn interval(value: &[u8]) -> Option<String> {
    let (us, rest) = value.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let us = i64::from_be_bytes(*us);
    let days = i32::from_be_bytes(*days);
    let months = i32::from_be_bytes(months.try_into().ok()?);
    match (us, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return Some("infinity".to_owned()),
        (i64::MIN, i32::MIN, i32::MIN) => return Some("-infinity".to_owned()),
        _ => {}
    }
    let mut parts = Vec::new();
    parts.extend((months != 0).then(|| format!("{months} mons")));
    parts.extend((days != 0).then(|| format!("{days} days")));
    if us != 0 || parts.is_empty() {
        let sign = if us < 0 { "-" } else { "" };
        let us = i64::try_from(us.unsigned_abs()).ok()?;
        parts.push(format!("{sign}{}", clock(us)));
    }
    Some(parts.join(" "))
}

fn network(value: &[u8]) -> Option<String> {
    let [family, bits, is_cidr, length, address @ ..] = value else { return None };
    let (text, whole) = match (family, length) {
        (2, 4) => {
            let address: [u8; 4] = address.try_into().ok()?;
            (std::net::Ipv4Addr::from(address).to_string(), 32)
        }
        (3, 16) => {
            let address: [u8; 16] = address.try_into().ok()?;
            (std::net::Ipv6Addr::from(address).to_string(), 128)
        }
        _ => return None,
    };
    match (*bits, is_cidr) {
        (bits, 0 | 1) if bits > whole => None,
        (bits, 0) if bits == whole => Some(text),
        (bits, 0 | 1) => Some(format!("{text}/{bits}")),
        _ => None,
    }
}

fn hex_pairs(value: &[u8], length: usize) -> Option<String> {
    let pairs: Vec<String> = value.iter().map(|byte| format!("{byte:02x}")).collect();
    (value.len() == length).then(|| pairs.join(":"))
}

fn bits(value: &[u8]) -> Option<String> {
    let (count, bytes) = value.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let digit = |at: usize| {
        let byte = bytes.get(at / 8)?;
        Some(if byte >> (7 - at % 8) & 1 == 1 { '1' } else { '0' })
    };
    (bytes.len() == count.div_ceil(8)).then(|| (0..count).filter_map(digit).collect())
}

#[cfg(test)]
#[path = "binary_tests.rs"]
mod tests;
