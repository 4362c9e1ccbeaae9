//! Values within a value: elements of arrays, bounds of ranges, columns of rows.
//!
//! In: a value and its type. Out: the first find in a part of it, or that its parts cannot be told.
//! Never: a find over the lengths between parts, or one that they hide; a value that passes because
//! it is nested deeper than is looked.
//!
//! ```text
//! array       dimensions, has NULLs, element type; per dimension size, lower bound; elements
//! row         columns; per column type, value
//! range       flags (one byte), the bounds that it has
//! multirange  ranges; each as a value          (array_send, record_send, range_send,
//!                                               multirange_send: a value is a length and bytes)
//! ```
//!
//! The type of a part stands in front of it, but for types of users nobody says what they are made
//! of: their bytes are read in each way in which they can be read from end to end.

use super::super::types::{self, Shape};
use super::{int8, numeric, read_u16, read_u32, value_at};
use crate::fault::Malformed;
use crate::limits;
use crate::mask::detect::{Detector, Detectors, Scratch, number};
use crate::mask::escapes;

/// What hides a value as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Met {
    Found(Detector),
    /// It does not have the form of its type, or is nested too deep.
    Unread,
}

/// The first thing to hide in a value in binary.
pub(super) fn look(detectors: &Detectors, type_oid: u32, value: &[u8]) -> Option<Met> {
    let left = value.len() * READS_MAX + READS_MIN;
    let mut look = Look { detectors, scratch: Scratch::default(), left };
    match look.value(type_oid, value, 0) {
        Ok(()) => None,
        Err(Stop::Met(met)) => Some(met),
        Err(Stop::Malformed) => Some(Met::Unread),
    }
}

/// What the first number is that stands alone in a text that is an array, a row or ranges
/// (array_out, record_out, range_out; within each other they are quoted, and quotes escaped).
pub(in super::super) fn number_in(detectors: &Detectors, text: &[u8]) -> Option<Detector> {
    if !matches!(text.first(), Some(b'{' | b'(' | b'[')) {
        return None;
    }
    let parts =
        |byte: &u8| matches!(byte, b',' | b'"' | b'\\' | b'{' | b'}' | b'(' | b')' | b'[' | b']');
    let mut found = text.split(parts).filter_map(number);
    found.find(|detector| detectors.is_on(*detector))
}

/// Why a value is looked at no further.
enum Stop {
    Met(Met),
    Malformed,
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Stop {
        Stop::Malformed
    }
}

struct Look<'d> {
    detectors: &'d Detectors,
    scratch: Scratch,
    /// Bytes that may still be looked at.
    left: usize,
}

impl Look<'_> {
    fn value(&mut self, type_oid: u32, bytes: &[u8], depth: usize) -> Result<(), Stop> {
        let left = self.left.checked_sub(bytes.len() + 1);
        self.left = left.ok_or(Stop::Met(Met::Unread))?;
        match types::shape(type_oid) {
            Shape::Plain => Ok(()),
            Shape::Text => self.text(bytes),
            Shape::Int8 => self.number(int8(bytes)),
            Shape::Numeric => self.number(numeric(bytes)),
            Shape::Unknown => self.unknown(bytes, depth),
            shape => self.parts(shape, bytes, depth),
        }
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let found = self.detectors.find(bytes, &mut self.scratch).first();
        let hidden = || match escapes::are_in(bytes) {
            true => escapes::find(self.detectors, bytes, &[]).first().map(|it| it.found),
            false => None,
        };
        let found = found.copied().or_else(hidden);
        found.map_or(Ok(()), |found| Err(Stop::Met(Met::Found(found.detector))))
    }

    fn number(&self, decimal: Option<String>) -> Result<(), Stop> {
        let found = decimal.and_then(|decimal| number(decimal.as_bytes()));
        let found = found.filter(|detector| self.detectors.is_on(*detector));
        found.map_or(Ok(()), |detector| Err(Stop::Met(Met::Found(detector))))
    }

    fn unknown(&mut self, bytes: &[u8], depth: usize) -> Result<(), Stop> {
        self.text(bytes)?;
        self.number(int8(bytes))?;
        let digits = read_u16(bytes, 0).map_or(0, usize::from);
        if bytes.len() == 8 + 2 * digits {
            self.number(numeric(bytes))?;
        }
        for shape in READINGS {
            // What it is made of tells nothing before all of it was read.
            if each(shape, bytes, &mut |_, _| Ok(())).is_err() {
                continue;
            }
            match self.parts(shape, bytes, depth) {
                Err(Stop::Malformed) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn parts(&mut self, shape: Shape, bytes: &[u8], depth: usize) -> Result<(), Stop> {
        if depth >= limits::MASK_VALUE_DEPTH_MAX {
            return Err(Stop::Met(Met::Unread));
        }
        each(shape, bytes, &mut |type_oid, part| self.value(type_oid, part, depth + 1))
    }
}

/// Visits the parts that are not NULL, with their types; 0 where nobody says it.
fn each(
    shape: Shape,
    value: &[u8],
    visit: &mut impl FnMut(u32, &[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut at = 0;
    match shape {
        Shape::Array => {
            let [dimensions, has_nulls, element] = [0, 4, 8].map(|at| read_u32(value, at));
            let (dimensions, element) = (dimensions?, element?);
            if dimensions > DIMENSIONS_MAX || has_nulls? > 1 || element < TYPE_MIN {
                return Err(Stop::Malformed);
            }
            at = 12 + 8 * dimensions as usize;
            while at < value.len() {
                at = part(value, at, element, visit)?.1;
            }
        }
        Shape::Row => {
            let columns = read_u32(value, 0)?;
            at += 4;
            for _ in 0..columns {
                let type_oid = read_u32(value, at)?;
                if type_oid < TYPE_MIN {
                    return Err(Stop::Malformed);
                }
                at = part(value, at + 4, type_oid, visit)?.1;
            }
        }
        Shape::Range(bound) => {
            let flags = *value.first().ok_or(Stop::Malformed)?;
            at += 1;
            let bounds = [LOWER_MISSING, UPPER_MISSING].map(|missing| flags & missing == 0);
            for _ in bounds.into_iter().filter(|is_there| *is_there) {
                at = whole_part(value, at, bound, visit)?;
            }
        }
        Shape::Multirange(range) => {
            let ranges = read_u32(value, 0)?;
            at += 4;
            for _ in 0..ranges {
                at = whole_part(value, at, range, visit)?;
            }
        }
        Shape::Plain | Shape::Text | Shape::Int8 | Shape::Numeric | Shape::Unknown => {
            at = value.len();
        }
    }
    if at == value.len() { Ok(()) } else { Err(Stop::Malformed) }
}

/// The part whose length is at `at`: whether it is one, and where it ends.
fn part(
    value: &[u8],
    at: usize,
    type_oid: u32,
    visit: &mut impl FnMut(u32, &[u8]) -> Result<(), Stop>,
) -> Result<(bool, usize), Stop> {
    let Some((start, end)) = value_at(value, at)? else { return Ok((false, at + 4)) };
    visit(type_oid, value.get(start..end).unwrap_or_default())?;
    Ok((true, end))
}

/// A part that cannot be NULL.
fn whole_part(
    value: &[u8],
    at: usize,
    type_oid: u32,
    visit: &mut impl FnMut(u32, &[u8]) -> Result<(), Stop>,
) -> Result<usize, Stop> {
    match part(value, at, type_oid, visit)? {
        (true, end) => Ok(end),
        (false, _) => Err(Stop::Malformed),
    }
}

/// Ways in which the bytes of a type may be read of which nothing is known.
const READINGS: [Shape; 4] = [
    Shape::Row,
    Shape::Array,
    Shape::Range(types::NOBODY_SAYS),
    Shape::Multirange(types::NOBODY_SAYS),
];

/// MAXDIM of PostgreSQL.
const DIMENSIONS_MAX: u32 = 6;

/// `bool`, the first type that there is.
const TYPE_MIN: u32 = 16;

/// Flags of a range that has no lower or no upper bound (rangetypes.h: `RANGE_EMPTY`, `_LB_INF`,
/// `_UB_INF`, `_LB_NULL`, `_UB_NULL`).
const LOWER_MISSING: u8 = 0x01 | 0x08 | 0x20;
const UPPER_MISSING: u8 = 0x01 | 0x10 | 0x40;

/// How often each byte of a value may be looked at.
const READS_MAX: usize = 4 * limits::MASK_VALUE_DEPTH_MAX;
const READS_MIN: usize = 1024;
