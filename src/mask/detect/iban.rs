//! IBANs: the country's length and ISO 7064 mod 97-10.

use super::numeral::separator_at;
use super::{Detector, Finds, alnum_at, alnum_before};

/// `at` is the second check digit. Whether an IBAN starts three bytes before; it is then in
/// `finds`.
pub(super) fn verify(value: &[u8], at: usize, finds: &mut Finds) -> bool {
    let Some((start, end)) = find(value, at, finds) else { return false };
    finds.push(start, end, Detector::Iban);
    true
}

fn find(value: &[u8], at: usize, finds: &mut Finds) -> Option<(usize, usize)> {
    let start = at.checked_sub(3).filter(|&start| start >= finds.floor)?;
    finds.spend(4);
    let &[c1, c2, d1, d2] = value.get(start..)?.first_chunk()?;
    let country = [c1.to_ascii_uppercase(), c2.to_ascii_uppercase()];
    if alnum_before(value, start) || !d1.is_ascii_digit() || !d2.is_ascii_digit() {
        return None;
    }
    // All letters are of one case.
    let case = Case::of(c1).filter(|&case| Case::of(c2) == Some(case))?;
    let length = country_length(country)?;
    let mut number = [0; LENGTH_MAX];
    finds.spend(length);
    let end = collect(value, (start, case), &mut number[..length])?;
    (!alnum_at(value, end) && mod97(&number[..length]) == 1).then_some((start, end))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
}

impl Case {
    fn of(byte: u8) -> Option<Case> {
        match byte {
            b'A'..=b'Z' => Some(Case::Upper),
            b'a'..=b'z' => Some(Case::Lower),
            _ => None,
        }
    }
}

/// Fills `number` from `start` on; returns where it ends. Behind every fourth character stands the
/// same separator, or none. In upper case, where words do not follow, blanks may be anywhere.
fn collect(value: &[u8], (start, case): (usize, Case), number: &mut [u8]) -> Option<usize> {
    let mut at = start;
    let mut style = None;
    for (index, slot) in number.iter_mut().enumerate() {
        let here = separator_at(value, at);
        let sign = here.map(|(sign, _)| sign);
        let even = match index {
            0 => sign.is_none(),
            _ if index.is_multiple_of(4) => *style.get_or_insert(sign) == sign,
            _ => sign.is_none(),
        };
        let loose = case == Case::Upper && sign.unwrap_or(' ') == ' ';
        at += here.map_or(0, |(_, length)| length);
        let byte = *value.get(at).filter(|_| even || loose)?;
        if !byte.is_ascii_digit() && Case::of(byte) != Some(case) {
            return None;
        }
        *slot = byte.to_ascii_uppercase();
        at += 1;
    }
    Some(at)
}

/// The remainder of the rearranged number: the first four characters go last, letters are 10 to 35.
fn mod97(number: &[u8]) -> u32 {
    let (head, body) = number.split_at(4);
    body.iter().chain(head).fold(0, |remainder, &byte| {
        if byte.is_ascii_digit() {
            (remainder * 10 + u32::from(byte - b'0')) % 97
        } else {
            (remainder * 100 + u32::from(byte - b'A') + 10) % 97
        }
    })
}

fn country_length(country: [u8; 2]) -> Option<usize> {
    let found = LENGTHS.binary_search_by(|&(known, _)| known.as_slice().cmp(&country)).ok()?;
    Some(LENGTHS[found].1)
}

const LENGTH_MAX: usize = 34;

/// SWIFT's IBAN registry, release 99, by country.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];
