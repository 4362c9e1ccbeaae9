//! Runs of digits: payment cards, US social security and taxpayer numbers, Chinese resident
//! numbers.
//!
//! ```text
//! 12 4111 1111 1111 1111 03      a run: groups of digits with single separators
//! '-----------------'            the window: from its first group on no shape of a card holds
//!    '-----------------'         here one does: it is taken, and what follows is looked at next
//! ```

use super::numeral::{Sign, digit_at, is_rare, separator_at, sign_before};
use super::{Detector, Detectors, Finds, alnum_at, alnum_before, ends_with_escape};

/// A group of digits inside a run, and the separator before it (NUL for the first).
#[derive(Clone, Copy, Default)]
struct Group {
    start: usize,
    end: usize,
    count: usize,
    separator: char,
}

/// The groups from one of a run on, as many as a card may have.
#[derive(Default)]
struct Window {
    groups: [Group; GROUPS_MAX],
    count: usize,
}

impl Window {
    fn groups(&self) -> &[Group] {
        &self.groups[..self.count]
    }

    fn push(&mut self, group: Group) {
        self.groups[self.count] = group;
        self.count += 1;
    }

    fn drop_first(&mut self, count: usize) {
        self.groups.rotate_left(count);
        self.count -= count;
    }
}

/// `at` lies in a run of digits with single separators. The run is taken whole, from the left: of
/// the shapes that fit from a group on the longest counts.
pub(super) fn verify_run(on: &Detectors, value: &[u8], at: usize, finds: &mut Finds) {
    if at < finds.run_floor {
        return;
    }
    let Some(start) = run_start(value, at, finds.floor) else { return };
    let (mut window, mut next, mut more) = (Window::default(), start, true);
    loop {
        while more && window.count < GROUPS_MAX {
            match next_group(value, next, start) {
                Some(group) => {
                    next = group.end;
                    window.push(group);
                }
                None => more = false,
            }
        }
        let groups = window.groups();
        let Some(&first) = groups.first() else { break };
        let taken = match found_in(on, value, groups, finds.floor) {
            Some((count, end, detector)) => {
                finds.push(first.start, end, detector);
                count
            }
            None => 1,
        };
        window.drop_first(taken);
    }
    finds.spend(next.saturating_sub(start) + 1);
    finds.run_floor = next.max(at + 1);
}

/// `at` is the digit before a rare separator, or a full-width digit.
pub(super) fn verify_gap(on: &Detectors, value: &[u8], at: usize, finds: &mut Finds) {
    finds.spend(1);
    let is_gap = match digit_at(value, at) {
        Some((_, 1)) => separator_at(value, at + 1).is_some_and(|(sign, _)| is_rare(sign)),
        digit => digit.is_some(),
    };
    if is_gap {
        verify_run(on, value, at, finds);
    }
}

/// What begins with the first group: how many groups it has, where it ends, what it is.
fn found_in(
    on: &Detectors,
    value: &[u8],
    groups: &[Group],
    floor: usize,
) -> Option<(usize, usize, Detector)> {
    let first = groups.first().filter(|group| group.start >= floor)?;
    if on.is_on(Detector::CreditCard)
        && let Some(count) = card_groups(value, groups)
    {
        return Some((count, groups[count - 1].end, Detector::CreditCard));
    }
    if on.is_on(Detector::CnResidentId)
        && let Some(end) = resident_end(value, *first)
    {
        return Some((1, end, Detector::CnResidentId));
    }
    let [area, pair, serial, ..] = groups else { return None };
    let rare = is_rare(pair.separator) && pair.separator == serial.separator;
    if !rare || (area.count, pair.count, serial.count) != (3, 2, 4) {
        return None;
    }
    let mut digits = [0; 9];
    read_digits(value, &groups[..3], &mut digits)?;
    let alone = !is_part_of_word(value, area.start, serial.end)
        && area.separator != pair.separator
        && groups.get(3).is_none_or(|next| next.separator != pair.separator);
    let detector = social_number(on, &digits).filter(|_| alone)?;
    Some((3, serial.end, detector))
}

/// Leftwards to the first digit of the run that `at` is in or right behind.
fn run_start(value: &[u8], at: usize, floor: usize) -> Option<usize> {
    let mut from = at;
    while digit_at(value, from).is_none() {
        from += separator_at(value, from)?.1;
        if from - at > SIGN_BYTES_MAX {
            return None;
        }
    }
    let (mut start, mut reach) = (from, from);
    let mut gap = false;
    loop {
        match sign_before(value, reach, floor) {
            Some(Sign::Digit(_, length)) => {
                reach -= length;
                (start, gap) = (reach, false);
            }
            Some(Sign::Separator(_, length)) if !gap => {
                reach -= length;
                gap = true;
            }
            _ => return Some(behind_escape(value, start)),
        }
    }
}

/// Where the run begins if its first digits, or all of its first group, belong to an escape.
fn behind_escape(value: &[u8], start: usize) -> usize {
    let digits = escape_digits(value, start);
    let behind = start + digits;
    match separator_at(value, behind) {
        Some((_, length)) if digits > 0 => behind + length,
        _ => behind,
    }
}

/// How many of the digits from `start` on belong to an escape: `%20`, `\u0020`.
fn escape_digits(value: &[u8], start: usize) -> usize {
    let digits = |count: usize| {
        let digits = value.get(start..start + count).unwrap_or(&[]);
        digits.len() == count && digits.iter().all(u8::is_ascii_digit)
    };
    match value.get(..start).unwrap_or(&[]) {
        [.., b'%'] if digits(2) => 2,
        [.., b'\\', b'u'] if digits(4) => 4,
        _ => 0,
    }
}

/// The group at `from`, after a single separator unless it is the first.
fn next_group(value: &[u8], from: usize, first: usize) -> Option<Group> {
    let (mut start, mut separator) = (from, '\0');
    if from != first {
        let (sign, length) = separator_at(value, from)?;
        (start, separator) = (from + length, sign);
    }
    let (mut end, mut count) = (start, 0);
    while let Some((_, length)) = digit_at(value, end) {
        end += length;
        count += 1;
    }
    (count > 0).then_some(Group { start, end, count, separator })
}

/// How many of the groups make a card: as many as can.
fn card_groups(value: &[u8], groups: &[Group]) -> Option<usize> {
    let first = groups.first().filter(|group| group.count >= 4)?;
    // Years and times are most of what is looked at here.
    let (tens, length) = digit_at(value, first.start)?;
    let (ones, _) = digit_at(value, first.start + length)?;
    if BEGINNINGS >> (tens * 10 + ones) & 1 == 0 {
        return None;
    }
    for shape in SHAPES {
        let of = groups.get(..shape.len());
        let fits = of.filter(|of| of.iter().map(|group| group.count).eq(shape.iter().copied()));
        if fits.is_some_and(|of| is_card(value, of)) {
            return Some(shape.len());
        }
    }
    let bare = groups.get(..1)?;
    let next = groups.get(1).map(|group| group.separator);
    let joined = |separator: char| separator != '\0' && separator != ' ';
    // Lengths that other numbers have more often stand alone, or are none.
    let alone = !joined(bare[0].separator) && !next.is_some_and(joined);
    let usual = matches!(bare[0].count, 14..=16);
    let fits = usual || (alone && LENGTHS.contains(&bare[0].count));
    (fits && is_card(value, bare)).then_some(1)
}

fn is_card(value: &[u8], groups: &[Group]) -> bool {
    let even = groups.windows(2).all(|pair| pair[1].separator == groups[1].separator);
    let (start, end) = (groups[0].start, groups[groups.len() - 1].end);
    if !even || is_part_of_word(value, start, end) {
        return false;
    }
    let mut digits = [0; 19];
    read_digits(value, groups, &mut digits).is_some_and(|digits| {
        // Thirteen digits in one with the check digit of goods are the number of goods: of the old
        // cards with thirteen one in ten is lost by it, and of goods none is taken for a card.
        is_number(digits) && !(groups.len() == 1 && digits.len() == 13 && is_trade_item(digits))
    })
}

/// Range, length and check digit.
fn is_number(digits: &[u8]) -> bool {
    in_issuer_range(digits) && luhn(digits) && digits.iter().any(|digit| *digit != digits[0])
}

/// The digits of some groups.
fn read_digits<'d>(value: &[u8], groups: &[Group], digits: &'d mut [u8]) -> Option<&'d [u8]> {
    let mut count = 0;
    for group in groups {
        let mut at = group.start;
        while let Some((digit, length)) = digit_at(value, at).filter(|_| at < group.end) {
            *digits.get_mut(count)? = digit;
            count += 1;
            at += length;
        }
    }
    digits.get(..count)
}

/// What a decimal number is that stands alone, in a column of numbers. Only the ranges and lengths
/// of the large networks count there: ids have all lengths, and nothing around them that would tell
/// them from cards. A fraction of zeros is how a column with a scale shows a whole number.
pub(in crate::mask) fn number(decimal: &[u8]) -> Option<Detector> {
    let point = decimal.iter().position(|&byte| byte == b'.');
    let whole = point.filter(|&point| zeros_end(decimal, point) == Some(decimal.len()));
    let decimal = &decimal[..whole.unwrap_or(decimal.len())];
    if !(14..=18).contains(&decimal.len()) || !decimal.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let group = Group { start: 0, end: decimal.len(), count: decimal.len(), separator: '\0' };
    let mut digits = [0; 19];
    let digits = read_digits(decimal, &[group], &mut digits)?;
    if of_large_network(digits) && is_number(digits) {
        return Some(Detector::CreditCard);
    }
    resident_end(decimal, group).map(|_| Detector::CnResidentId)
}

/// The end of a fraction of nothing but zeros whose point is at `point`.
fn zeros_end(value: &[u8], point: usize) -> Option<usize> {
    let digits = value.get(point..)?.strip_prefix(b".")?;
    let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
    (zeros > 0).then_some(point + 1 + zeros)
}

/// Letters around it, or the digits of a decimal number: `4111111111111111.50`, `1.4111...`; but
/// for a fraction of zeros, with which many programs write a whole number.
fn is_part_of_word(value: &[u8], start: usize, end: usize) -> bool {
    let digit = |at: usize| digit_at(value, at).is_some();
    let last = start.checked_sub(1).and_then(|at| value.get(at));
    let before = alnum_before(value, start)
        || last == Some(&b'_')
        || (last == Some(&b'.') && start.checked_sub(2).is_some_and(digit))
            && !value.get(..start - 1).is_some_and(ends_with_escape);
    let end = zeros_end(value, end).unwrap_or(end);
    let next = value.get(end);
    before || alnum_at(value, end) || next == Some(&b'_') || (next == Some(&b'.') && digit(end + 1))
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit < 5 { digit * 2 } else { digit * 2 - 9 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| u32::from(if index % 2 == 1 { doubled(digit) } else { digit }))
        .sum();
    sum.is_multiple_of(10)
}

/// The check digit of GS1's numbers (EAN-13): weights 1 and 3 in turn.
fn is_trade_item(digits: &[u8]) -> bool {
    let weigh = |(at, &digit): (usize, &u8)| u32::from(digit) * if at % 2 == 1 { 3 } else { 1 };
    digits.iter().rev().enumerate().map(weigh).sum::<u32>().is_multiple_of(10)
}

fn first6(digits: &[u8]) -> u32 {
    digits.iter().take(6).fold(0, |number, &digit| number * 10 + u32::from(digit))
}

/// First six digits and length, as issuers are assigned them (ISO/IEC 7812).
fn in_issuer_range(digits: &[u8]) -> bool {
    let length = digits.len();
    match first6(digits) {
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        510_000..=559_999 | 222_100..=272_099 => length == 16,
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            length == 14 || length == 16
        }
        213_100..=213_199 | 180_000..=180_099 => length == 15,
        352_800..=358_999 => (16..=19).contains(&length),
        350_000..=359_999 => length == 16,
        601_100..=601_199 | 644_000..=659_999 => (16..=19).contains(&length),
        620_000..=629_999 | 220_000..=220_499 => (16..=19).contains(&length),
        810_000..=819_999 | 970_400..=970_499 => length == 16 || length == 19,
        // Maestro and the national schemes whose ranges it took over.
        501_800..=501_899
        | 502_000..=502_099
        | 503_800..=503_899
        | 589_300..=589_399
        | 60_400..=60_499
        | 630_400..=630_499
        | 633_000..=633_499
        | 639_000..=639_099
        | 675_900..=675_999
        | 676_100..=676_399
        | 676_700..=676_799 => (12..=19).contains(&length),
        560_000..=589_999 | 670_000..=679_999 => (12..=16).contains(&length),
        // Dankort, Elo, RuPay, Verve, Hipercard, Troy, Uzcard, Humo.
        501_900..=501_999
        | 504_175
        | 506_099..=506_198
        | 506_699..=506_778
        | 508_500..=508_999
        | 509_000..=509_999
        | 606_282
        | 606_985..=607_984
        | 608_001..=608_500
        | 636_297
        | 636_368
        | 860_000..=860_099
        | 979_200..=979_299
        | 986_000..=986_099 => length == 16,
        _ => false,
    }
}

/// Visa, Mastercard, American Express, Discover, Diners Club, JCB and UnionPay, in the one length
/// that nearly all of their cards have.
fn of_large_network(digits: &[u8]) -> bool {
    match first6(digits) {
        400_000..=499_999
        | 510_000..=559_999
        | 222_100..=272_099
        | 352_800..=358_999
        | 601_100..=601_199
        | 620_000..=629_999
        | 644_000..=659_999 => digits.len() == 16,
        340_000..=349_999 | 370_000..=379_999 => digits.len() == 15,
        300_000..=305_999 | 360_000..=369_999 | 380_000..=399_999 => digits.len() == 14,
        _ => false,
    }
}

/// The end of a resident number: region, date of birth, serial, and a check digit by ISO 7064
/// mod 11-2 that may be X (GB 11643-1999).
fn resident_end(value: &[u8], group: Group) -> Option<usize> {
    let end = group.start + 18;
    let number = value.get(group.start..end)?;
    let whole = group.count == 18 || (group.count == 17 && matches!(number[17], b'X' | b'x'));
    if !whole
        || !number[..17].iter().all(u8::is_ascii_digit)
        || is_part_of_word(value, group.start, end)
    {
        return None;
    }
    let digit = |at: usize| u32::from(number[at] - b'0');
    let two = |at: usize| digit(at) * 10 + digit(at + 1);
    let born = (18..=20).contains(&two(6)) && (1..=12).contains(&two(10));
    let region = (11..=91).contains(&two(0));
    let sum = (0..17).fold(0, |sum, at| (sum + digit(at)) * 2 % 11);
    let check = match number[17] {
        b'X' | b'x' => 10,
        byte => u32::from(byte - b'0'),
    };
    let holds = (sum + check) % 11 == 1;
    (born && region && (1..=31).contains(&two(12)) && holds).then_some(end)
}

/// `at` is the last byte of a candidate ddd-dd-dddd.
pub(super) fn verify_ssn(on: &Detectors, value: &[u8], at: usize, finds: &mut Finds) {
    finds.spend(SSN_BYTES);
    let end = at + 1;
    let Some(start) = end.checked_sub(SSN_BYTES).filter(|&start| start >= finds.floor) else {
        return;
    };
    let Some(&[a, b, c, s1, d, e, s2, ref serial @ ..]) = value.get(start..end) else {
        return;
    };
    let separator = s1 == s2 && is_separator(s1);
    let digits = [a, b, c, d, e].iter().chain(serial).all(u8::is_ascii_digit);
    if !separator || !digits || continues(value, start, end, s1) {
        return;
    }
    let mut number = [0; 9];
    for (slot, digit) in number.iter_mut().zip([a, b, c, d, e].iter().chain(serial)) {
        *slot = digit - b'0';
    }
    if let Some(detector) = social_number(on, &number) {
        finds.push(start, end, detector);
    }
}

/// Which number it is, if it was ever given to anybody.
fn social_number(on: &Detectors, digits: &[u8; 9]) -> Option<Detector> {
    let number = |part: &[u8]| part.iter().fold(0, |sum, &digit| sum * 10 + u32::from(digit));
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    if on.is_on(Detector::UsItin) && area >= 900 && is_itin_group(group) {
        return Some(Detector::UsItin);
    }
    let assigned = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    // Two numbers that were printed in advertisements and are invalid since.
    let printed = matches!((area, group, serial), (78, 5, 1120) | (219, 9, 9999));
    (on.is_on(Detector::UsSsn) && assigned && !printed).then_some(Detector::UsSsn)
}

/// The fourth and fifth digit of an ITIN (IRS Publication 1915).
fn is_itin_group(group: u32) -> bool {
    matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// Whether a longer number goes on before or after: then it is something else.
fn continues(value: &[u8], start: usize, end: usize, separator: u8) -> bool {
    let joined = |byte: u8| byte == b'-' || byte == separator || byte == b'.';
    let digit = |at: usize| value.get(at).is_some_and(u8::is_ascii_digit);
    let before = start.checked_sub(2).is_some_and(|at| digit(at) && joined(value[at + 1]));
    let after = value.get(end).is_some_and(|&byte| joined(byte)) && digit(end + 1);
    before || after || alnum_before(value, start) || alnum_at(value, end)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.')
}

const fn beginnings() -> u128 {
    let mut set = 1 << 6 | 1 << 18 | 1 << 30 | 1 << 81 | 1 << 86 | 1 << 97 | 1 << 98;
    let mut first = 21;
    while first <= 69 {
        if first <= 27 || first >= 34 {
            set |= 1 << first;
        }
        first += 1;
    }
    set
}

/// How cards are printed and typed, longest first. Bare numbers are handled apart.
const SHAPES: [&[usize]; 11] = [
    &[4, 4, 4, 4, 3],
    &[6, 13],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4, 1],
    &[4, 4, 4, 4],
    &[4, 4, 4, 3],
    &[4, 6, 5],
    &[4, 4, 4, 2],
    &[4, 6, 4],
    &[4, 4, 4, 1],
    &[4, 4, 4],
];
/// The first two digits of all issuers, a bit for each.
const BEGINNINGS: u128 = beginnings();
const GROUPS_MAX: usize = 5;
/// Digits of a card.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=19;
/// The longest separator is an escape.
const SIGN_BYTES_MAX: usize = 6;
/// ddd-dd-dddd.
const SSN_BYTES: usize = 11;
