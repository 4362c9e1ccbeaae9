//! Identifiers that hold two letters and two digits in a row, which are capitals but in IBANs.

use super::{Detector, Detectors, Finds, alnum_at, alnum_before, iban};

/// What `verify` looks for.
pub(super) const DETECTORS: [Detector; 6] = [
    Detector::Iban,
    Detector::UkNino,
    Detector::UsDea,
    Detector::UsMbi,
    Detector::ItFiscalCode,
    Detector::InPan,
];

/// An identifier: where AA00 ends in it, its length, and its proof.
struct Shape {
    detector: Detector,
    before: usize,
    length: usize,
    holds: fn(&[u8]) -> bool,
}

const SHAPES: [Shape; 5] = [
    Shape { detector: Detector::UkNino, before: 3, length: 9, holds: is_nino },
    Shape { detector: Detector::UsDea, before: 3, length: 9, holds: is_dea },
    Shape { detector: Detector::InPan, before: 6, length: 10, holds: is_pan },
    Shape { detector: Detector::UsMbi, before: 10, length: 11, holds: is_mbi },
    Shape { detector: Detector::ItFiscalCode, before: 7, length: 16, holds: is_fiscal_code },
];

/// `at` is the second digit.
pub(super) fn verify(on: &Detectors, value: &[u8], at: usize, finds: &mut Finds) {
    if on.is_on(Detector::Iban) && iban::verify(value, at, finds) {
        return;
    }
    let is_upper =
        at.checked_sub(2).and_then(|at| value.get(at)).is_some_and(u8::is_ascii_uppercase);
    for shape in SHAPES.iter().filter(|_| is_upper) {
        if !on.is_on(shape.detector) {
            continue;
        }
        finds.spend(shape.length);
        if let Some((start, end)) = span(shape, value, at, finds.floor) {
            finds.push(start, end, shape.detector);
            return;
        }
    }
}

/// The identifier around `at`, if it stands alone.
fn span(shape: &Shape, value: &[u8], at: usize, floor: usize) -> Option<(usize, usize)> {
    let plain = |before: usize| {
        let start = at.checked_sub(before).filter(|&start| start >= floor)?;
        let end = start + shape.length;
        let alone = !alnum_before(value, start) && !alnum_at(value, end);
        let holds = alone && (shape.holds)(value.get(start..end)?);
        holds.then_some((start, end))
    };
    match shape.detector {
        Detector::UkNino => plain(shape.before).or_else(|| spaced_nino(value, at, floor)),
        Detector::UsMbi => plain(shape.before).or_else(|| dashed_mbi(value, at, floor)),
        _ => plain(shape.before),
    }
}

/// AB 12 34 56 C has no two letters before two digits without a space; AB12 34 56 C has.
fn spaced_nino(value: &[u8], at: usize, floor: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(3).filter(|&start| start >= floor)?;
    let end = start + 12;
    let part = value.get(start..end)?;
    let &[a, b, c, d, b' ', e, f, b' ', g, h, b' ', i] = part else { return None };
    let alone = !alnum_before(value, start) && !alnum_at(value, end);
    (alone && is_nino(&[a, b, c, d, e, f, g, h, i])).then_some((start, end))
}

/// 1EG4-TE5-MK73: AA00 is the last group.
fn dashed_mbi(value: &[u8], at: usize, floor: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(12).filter(|&start| start >= floor)?;
    let end = at + 1;
    let part = value.get(start..end)?;
    let &[a, b, c, d, b'-', e, f, g, b'-', h, i, j, k] = part else { return None };
    let alone = !alnum_before(value, start) && !alnum_at(value, end);
    (alone && is_mbi(&[a, b, c, d, e, f, g, h, i, j, k])).then_some((start, end))
}

/// Two letters, six digits, A to D; prefixes that HMRC never issues.
fn is_nino(part: &[u8]) -> bool {
    let &[a, b, ref digits @ .., suffix] = part else { return false };
    let first = a.is_ascii_uppercase() && !b"DFIQUV".contains(&a);
    let second = b.is_ascii_uppercase() && !b"DFIQUVO".contains(&b);
    let issued = !matches!(&[a, b], b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ");
    let shape = digits.iter().all(u8::is_ascii_digit) && (b'A'..=b'D').contains(&suffix);
    first && second && issued && shape
}

/// Two letters, seven digits: (1st + 3rd + 5th) + 2 x (2nd + 4th + 6th) ends in the 7th.
fn is_dea(part: &[u8]) -> bool {
    let (letters, digits) = part.split_at(2);
    let kind = letters[0].is_ascii_uppercase() && !b"INOQVWYZ".contains(&letters[0]);
    if !kind || !letters[1].is_ascii_uppercase() || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let digit = |at: usize| u32::from(digits[at] - b'0');
    let sum = digit(0) + digit(2) + digit(4) + 2 * (digit(1) + digit(3) + digit(5));
    sum > 0 && sum % 10 == digit(6)
}

/// Five letters, four digits, a letter; the fourth letter is the holder's kind.
fn is_pan(part: &[u8]) -> bool {
    part[..5].iter().all(u8::is_ascii_uppercase)
        && b"ABCFGHJLPT".contains(&part[3])
        && part[5..9].iter().all(u8::is_ascii_digit)
        && part[9].is_ascii_uppercase()
        && &part[5..9] != b"0000"
}

/// C A AN N A AN N A A N N, where letters leave out S, L, O, I, B and Z (CMS).
fn is_mbi(part: &[u8]) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() && !b"SLOIBZ".contains(&byte);
    let digit = |byte: u8| byte.is_ascii_digit();
    let kinds = part.iter().zip(b"CABNABNAANN");
    kinds.into_iter().all(|(&byte, kind)| match kind {
        b'C' => (b'1'..=b'9').contains(&byte),
        b'A' => letter(byte),
        b'N' => digit(byte),
        _ => letter(byte) || digit(byte),
    })
}

/// Six letters, year, month letter, day, place, and a letter that checks them.
fn is_fiscal_code(part: &[u8]) -> bool {
    let kinds = part.iter().zip(b"LLLLLLDDMDDLDDDL");
    let shape = kinds.into_iter().all(|(&byte, kind)| match kind {
        b'L' => byte.is_ascii_uppercase(),
        b'M' => b"ABCDEHLMPRST".contains(&byte),
        _ => byte.is_ascii_digit(),
    });
    shape && {
        let value = |(at, &byte): (usize, &u8)| {
            let digit = byte.is_ascii_digit();
            let order = usize::from(if digit { byte - b'0' } else { byte - b'A' });
            // Places count from one, so the first is odd.
            if at % 2 == 0 { FISCAL_ODD[order] } else { order }
        };
        let sum: usize = part[..15].iter().enumerate().map(value).sum();
        sum % 26 == usize::from(part[15] - b'A')
    }
}

/// Values of 0 to 9 and A to Z in odd places (D.M. 23 December 1976).
const FISCAL_ODD: [usize; 26] =
    [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
