//! Runs of digits: payment cards, US social security and taxpayer numbers, Chinese resident
//! numbers.

use super::{Detector, Detectors, Finds, alnum_at, alnum_before};

/// A group of digits inside a run, and the separator before it (0 for the first).
#[derive(Clone, Copy, Default)]
struct Group {
    start: usize,
    length: usize,
    separator: u8,
}

/// `at` lies in a run of digits with single separators. The run is taken whole: each window of
/// groups that has the shape of a card is checked, from the left.
pub(super) fn verify_run(on: &Detectors, value: &[u8], at: usize, finds: &mut Finds) {
    let cards = on.is_on(Detector::CreditCard);
    let residents = on.is_on(Detector::CnResidentId);
    let member = |&byte: &u8| byte.is_ascii_digit() || is_separator(byte);
    if at < finds.run_floor || !value.get(at).is_some_and(member) {
        return;
    }
    let start = run_start(value, at, finds.floor);
    let mut window = [Group::default(); GROUPS_MAX];
    let mut end = start;
    while let Some(group) = next_group(value, end, start) {
        end = group.start + group.length;
        window.rotate_left(1);
        window[GROUPS_MAX - 1] = group;
        if cards && let Some(card) = card_at_end(value, &window, finds.floor) {
            finds.push(card, end, Detector::CreditCard);
            window = [Group::default(); GROUPS_MAX];
        } else if residents && let Some(end) = resident_end(value, group, finds.floor) {
            finds.push(group.start, end, Detector::CnResidentId);
        }
    }
    finds.spend(end.saturating_sub(start) + 1);
    finds.run_floor = end.max(at + 1);
}

/// Leftwards to the first digit of the run that `at` is in.
fn run_start(value: &[u8], at: usize, floor: usize) -> usize {
    let mut start = at;
    while start > floor {
        let before = value[start - 1];
        let joins = is_separator(before) && !is_separator(value[start]);
        if !before.is_ascii_digit() && !joins {
            break;
        }
        start -= 1;
    }
    while start < value.len() && is_separator(value[start]) {
        start += 1;
    }
    start
}

/// The group at `from`, after a single separator unless it is the first.
fn next_group(value: &[u8], from: usize, first: usize) -> Option<Group> {
    let mut group = Group { start: from, length: 0, separator: 0 };
    if from != first {
        group.separator = *value.get(from).filter(|&&byte| is_separator(byte))?;
        group.start += 1;
    }
    let digits = value.get(group.start..)?;
    group.length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (group.length > 0).then_some(group)
}

/// Where a card starts that ends with the last group of the window.
fn card_at_end(value: &[u8], window: &[Group; GROUPS_MAX], floor: usize) -> Option<usize> {
    for shape in SHAPES {
        let groups = &window[GROUPS_MAX - shape.len()..];
        let fits = groups.iter().map(|group| group.length).eq(shape.iter().copied());
        if fits && is_card(value, groups, floor) {
            return Some(groups[0].start);
        }
    }
    let last = &window[GROUPS_MAX - 1..];
    let bare = (14..=16).contains(&last[0].length) || last[0].length == 19;
    (bare && is_card(value, last, floor)).then_some(last[0].start)
}

fn is_card(value: &[u8], groups: &[Group], floor: usize) -> bool {
    let (first, last) = (groups[0], groups[groups.len() - 1]);
    let (start, end) = (first.start, last.start + last.length);
    let even = groups
        .windows(2)
        .all(|pair| pair[1].separator != 0 && (pair[1].separator == groups[1].separator));
    if !even || start < floor || is_part_of_word(value, start, end) {
        return false;
    }
    let mut digits = [0; 19];
    let mut count = 0;
    for group in groups {
        for &byte in &value[group.start..group.start + group.length] {
            digits[count] = byte - b'0';
            count += 1;
        }
    }
    let digits = &digits[..count];
    let bare = groups.len() == 1;
    in_issuer_range(digits, bare) && luhn(digits) && digits.iter().any(|digit| *digit != digits[0])
}

/// Whether a decimal number of this many digits is a card number: for numbers in binary format.
pub(in crate::mask) fn is_card_number(decimal: &[u8]) -> bool {
    let whole = [Group { start: 0, length: decimal.len(), separator: 0 }];
    (14..=19).contains(&decimal.len())
        && decimal.iter().all(u8::is_ascii_digit)
        && is_card(decimal, &whole, 0)
}

/// Letters around it, or the digits of a decimal number: `4111111111111111.50`, `1.4111...`.
fn is_part_of_word(value: &[u8], start: usize, end: usize) -> bool {
    let word = |at: usize| alnum_at(value, at) || value.get(at) == Some(&b'_');
    let digit = |at: usize| value.get(at).is_some_and(u8::is_ascii_digit);
    let before = start
        .checked_sub(1)
        .is_some_and(|at| word(at) || (value[at] == b'.' && at.checked_sub(1).is_some_and(digit)));
    before || word(end) || (value.get(end) == Some(&b'.') && digit(end + 1))
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

/// First six digits and length, as issuers are assigned them. Lengths that were never common (Visa
/// with 13) or that ids often have (19 without grouping) are left out where a range is wide.
fn in_issuer_range(digits: &[u8], bare: bool) -> bool {
    let first6 = digits.iter().take(6).fold(0, |number, &digit| number * 10 + u32::from(digit));
    let length = digits.len();
    let long = if bare { 16..=16 } else { 16..=19 };
    match first6 {
        400_000..=499_999 => length == 16 || (length == 19 && !bare),
        510_000..=559_999 | 222_100..=272_099 => length == 16,
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            length == 14 || long.contains(&length)
        }
        352_800..=358_999 => long.contains(&length),
        601_100..=601_199 | 644_000..=659_999 => long.contains(&length),
        620_000..=629_999 | 810_000..=819_999 => length == 16 || length == 19,
        220_000..=220_499 => long.contains(&length),
        501_800..=501_899
        | 502_000..=502_099
        | 503_800..=503_899
        | 589_300..=589_399
        | 630_400..=630_499
        | 675_900..=675_999
        | 676_100..=676_399 => long.contains(&length),
        508_500..=508_999 | 606_985..=607_984 | 608_001..=608_500 => length == 16,
        _ => false,
    }
}

/// The end of a resident number: region, date of birth, serial, and a check digit by ISO 7064
/// mod 11-2 that may be X (GB 11643-1999).
fn resident_end(value: &[u8], group: Group, floor: usize) -> Option<usize> {
    let end = group.start + 18;
    let number = value.get(group.start..end).filter(|_| group.start >= floor)?;
    let whole = group.length == 18 || (group.length == 17 && matches!(number[17], b'X' | b'x'));
    if !whole || is_part_of_word(value, group.start, end) {
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
    if on.is_on(Detector::UsItin) && a == b'9' && is_itin_group(d, e) {
        finds.push(start, end, Detector::UsItin);
        return;
    }
    let area = &[a, b, c];
    let assigned = area != b"000" && area != b"666" && a != b'9';
    let complete = [d, e] != *b"00" && serial != b"0000";
    // Two numbers that were printed in advertisements and are invalid since.
    let printed = matches!(&value[start..end], b"078-05-1120" | b"219-09-9999");
    if on.is_on(Detector::UsSsn) && assigned && complete && !printed {
        finds.push(start, end, Detector::UsSsn);
    }
}

/// The fourth and fifth digit of an ITIN (IRS Publication 1915).
fn is_itin_group(tens: u8, ones: u8) -> bool {
    let group = (tens - b'0') * 10 + (ones - b'0');
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
    matches!(byte, b' ' | b'-')
}

/// How cards are printed, longest first. Bare numbers are handled apart.
const SHAPES: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];
const GROUPS_MAX: usize = 5;
/// ddd-dd-dddd.
const SSN_BYTES: usize = 11;
