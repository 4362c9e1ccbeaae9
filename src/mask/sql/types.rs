//! PostgreSQL types, as far as masks need them: which hold text, and what hides a value of each.
//!
//! In: a type OID and a format code. Out: the replacement of a whole value, or how to scan it.
//! Never: bytes that a driver of that type and format cannot decode. A type that is not in the
//! table below gets NULL.

use crate::mask::operator::Operator;

/// What a whole value of a masked column becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// NULL.
    Null,
    /// Always these bytes.
    Fixed(&'static [u8]),
    /// An empty array of this element type, in binary format.
    EmptyArray(u32),
    /// Made of the value by `operator::whole_text`.
    Text(Operator),
}

/// How the values of a type are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Cannot hold what a detector finds.
    Skip,
    /// The bytes are text; parts may be replaced.
    Text,
    /// The bytes are JSON text after this many bytes; parts are replaced so that it stays JSON.
    Json(usize),
    /// A number: decimal digits in text format.
    Digits,
    /// A number: eight bytes, big-endian.
    Int8,
    /// A number: PostgreSQL's base-10000 digits.
    Numeric,
    /// An array whose elements are text, in binary format.
    TextArray,
    /// Bytes whose inner structure is not known: a find hides the value whole.
    Opaque,
}

/// What hides a whole value: the operator itself if the type can bear it, else the next one up.
pub fn whole(operator: Operator, type_oid: u32, binary: bool) -> Whole {
    if operator == Operator::Nullify {
        return Whole::Null;
    }
    if is_text(type_oid) {
        return Whole::Text(operator);
    }
    if matches!(type_oid, JSON | JSONB) {
        return json_whole(operator, type_oid == JSONB && binary);
    }
    if let Some(element) = array_element(type_oid) {
        return if binary { Whole::EmptyArray(element) } else { Whole::Fixed(b"{}") };
    }
    match ZEROS.iter().find(|zero| zero.type_oid == type_oid) {
        Some(zero) => Whole::Fixed(if binary { zero.binary } else { zero.text }),
        None => Whole::Null,
    }
}

/// The operator of last resort for values whose origin is not proven.
pub fn failsafe(type_oid: u32, binary: bool) -> Whole {
    whole(Operator::Default, type_oid, binary)
}

/// How values of this type are searched.
pub fn scan(type_oid: u32, binary: bool) -> Scan {
    match type_oid {
        JSON => Scan::Json(0),
        JSONB => Scan::Json(usize::from(binary)),
        INT8 if binary => Scan::Int8,
        NUMERIC if binary => Scan::Numeric,
        INT8 | NUMERIC => Scan::Digits,
        _ if is_text(type_oid) => Scan::Text,
        _ if is_text_array(type_oid) => {
            if binary {
                Scan::TextArray
            } else {
                Scan::Text
            }
        }
        // Inner quoting of json[] is two levels deep; whole is simpler to keep right.
        JSON_ARRAY | JSONB_ARRAY => Scan::Opaque,
        _ if cannot_hold_text(type_oid) => Scan::Skip,
        _ if binary => Scan::Opaque,
        _ => Scan::Text,
    }
}

/// Names, counts and flags: columns of statistics that hold no sampled value.
pub fn is_plain_fact(type_oid: u32) -> bool {
    matches!(type_oid, NAME | INT8 | 16 | 21 | 23 | 26 | 700 | 701)
}

/// Types whose text and binary formats are both the bytes of the text.
fn is_text(type_oid: u32) -> bool {
    matches!(type_oid, TEXT | VARCHAR | BPCHAR | NAME | UNKNOWN | XML | CSTRING)
}

/// Arrays of such types.
fn is_text_array(type_oid: u32) -> bool {
    array_element(type_oid).is_some_and(is_text)
}

/// Numbers, times, addresses, bits: nothing a detector looks for, in either format.
fn cannot_hold_text(type_oid: u32) -> bool {
    let arrays_of_them = array_element(type_oid).is_some_and(|element| !is_text(element));
    arrays_of_them || matches!(type_oid, CHAR | TID | BYTEA) || {
        ZEROS.iter().any(|zero| zero.type_oid == type_oid)
    }
}

/// The smallest JSON that hides a value.
fn json_whole(operator: Operator, versioned: bool) -> Whole {
    Whole::Fixed(match (operator == Operator::Default, versioned) {
        (true, false) => b"null",
        (true, true) => b"\x01null",
        (false, false) => b"\"***\"",
        (false, true) => b"\x01\"***\"",
    })
}

/// The element type of the built-in array types.
fn array_element(type_oid: u32) -> Option<u32> {
    ARRAYS.iter().find(|&&(array, _)| array == type_oid).map(|&(_, element)| element)
}

/// How a type is zeroed.
struct Zero {
    type_oid: u32,
    text: &'static [u8],
    binary: &'static [u8],
}

const fn zero(type_oid: u32, text: &'static [u8], binary: &'static [u8]) -> Zero {
    Zero { type_oid, text, binary }
}

// pg_type.dat of PostgreSQL 18.
const BYTEA: u32 = 17;
const CHAR: u32 = 18;
const NAME: u32 = 19;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const TID: u32 = 27;
const JSON: u32 = 114;
const XML: u32 = 142;
const JSON_ARRAY: u32 = 199;
const UNKNOWN: u32 = 705;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const NUMERIC: u32 = 1700;
const CSTRING: u32 = 2275;
/// Only statistics views return it: values sampled from other tables.
pub const ANYARRAY: u32 = 2277;
const JSONB: u32 = 3802;
const JSONB_ARRAY: u32 = 3807;

/// Microseconds from 2000-01-01 back to 1970-01-01, as `timestamp` in binary format.
const EPOCH_US: &[u8; 8] = &(-946_684_800_000_000_i64).to_be_bytes();
/// Days from 2000-01-01 back to 1970-01-01, as `date` in binary format.
const EPOCH_DAYS: &[u8; 4] = &(-10_957_i32).to_be_bytes();

const ZEROS: &[Zero] = &[
    zero(16, b"f", &[0]),
    zero(BYTEA, b"\\x", b""),
    zero(CHAR, b"*", b"*"),
    zero(INT8, b"0", &[0; 8]),
    zero(21, b"0", &[0; 2]),
    zero(23, b"0", &[0; 4]),
    zero(26, b"0", &[0; 4]),
    zero(28, b"0", &[0; 4]),
    zero(29, b"0", &[0; 4]),
    zero(5069, b"0", &[0; 8]),
    zero(3220, b"0/0", &[0; 8]),
    zero(700, b"0", &[0; 4]),
    zero(701, b"0", &[0; 8]),
    zero(790, b"$0.00", &[0; 8]),
    zero(NUMERIC, b"0", &[0; 8]),
    zero(1082, b"1970-01-01", EPOCH_DAYS),
    zero(1083, b"00:00:00", &[0; 8]),
    zero(1114, b"1970-01-01 00:00:00", EPOCH_US),
    zero(1184, b"1970-01-01 00:00:00+00", EPOCH_US),
    zero(1186, b"00:00:00", &[0; 16]),
    zero(1266, b"00:00:00+00", &[0; 12]),
    zero(2950, b"00000000-0000-0000-0000-000000000000", &[0; 16]),
    zero(869, b"0.0.0.0", &[2, 32, 0, 4, 0, 0, 0, 0]),
    zero(650, b"0.0.0.0/32", &[2, 32, 1, 4, 0, 0, 0, 0]),
    zero(829, b"00:00:00:00:00:00", &[0; 6]),
    zero(774, b"00:00:00:00:00:00:00:00", &[0; 8]),
    // Ranges: the flags byte says `empty`; multiranges: a count of none.
    zero(3904, b"empty", &[1]),
    zero(3906, b"empty", &[1]),
    zero(3908, b"empty", &[1]),
    zero(3910, b"empty", &[1]),
    zero(3912, b"empty", &[1]),
    zero(3926, b"empty", &[1]),
    zero(4451, b"{}", &[0; 4]),
    zero(4532, b"{}", &[0; 4]),
    zero(4533, b"{}", &[0; 4]),
    zero(4534, b"{}", &[0; 4]),
    zero(4535, b"{}", &[0; 4]),
    zero(4536, b"{}", &[0; 4]),
];

/// Array type, element type.
const ARRAYS: &[(u32, u32)] = &[
    (143, XML),
    (JSON_ARRAY, JSON),
    (651, 650),
    (775, 774),
    (791, 790),
    (1000, 16),
    (1001, BYTEA),
    (1002, CHAR),
    (1003, NAME),
    (1005, 21),
    (1007, 23),
    (1009, TEXT),
    (1014, BPCHAR),
    (1015, VARCHAR),
    (1016, INT8),
    (1021, 700),
    (1022, 701),
    (1028, 26),
    (1040, 829),
    (1041, 869),
    (1115, 1114),
    (1182, 1082),
    (1183, 1083),
    (1185, 1184),
    (1187, 1186),
    (1231, NUMERIC),
    (1263, CSTRING),
    (1270, 1266),
    (2951, 2950),
    (JSONB_ARRAY, JSONB),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_resolves_up() {
        for operator in [Operator::Partial, Operator::Mask, Operator::Redact, Operator::Default] {
            assert_eq!(whole(operator, 23, false), Whole::Fixed(b"0"));
            assert_eq!(whole(operator, 23, true), Whole::Fixed(&[0; 4]));
            assert_eq!(whole(operator, TEXT, true), Whole::Text(operator));
            // hstore, an enum, a composite type: unknown here, so NULL.
            assert_eq!(whole(operator, 16_500, false), Whole::Null);
            assert_eq!(whole(operator, 3614, true), Whole::Null);
            assert_eq!(whole(operator, 1009, true), Whole::EmptyArray(TEXT));
        }
        assert_eq!(whole(Operator::Nullify, TEXT, false), Whole::Null);
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(whole(Operator::Redact, JSON, false), Whole::Fixed(b"\"***\""));
        assert_eq!(whole(Operator::Default, JSONB, true), Whole::Fixed(b"\x01null"));
    }

    #[test]
    fn json_arrays_are_no_safe_haven() {
        assert_eq!(scan(JSONB_ARRAY, true), Scan::Opaque);
        assert_eq!(scan(JSON_ARRAY, false), Scan::Opaque);
    }

    #[test]
    fn unknown_types_are_scanned() {
        assert_eq!(scan(16_500, false), Scan::Text);
        assert_eq!(scan(16_500, true), Scan::Opaque);
        assert_eq!(scan(2249, true), Scan::Opaque);
        assert_eq!(scan(1114, false), Scan::Skip);
    }
}
