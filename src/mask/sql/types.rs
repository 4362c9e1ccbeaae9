//! PostgreSQL types, as far as masks need them: which hold text, and what hides a value of each.
//!
//! In: a type OID and a format code. Out: the replacement of a whole value, or how to scan it.
//! Never: bytes that a driver of that type and format cannot decode; a value that could be a true
//! one. What is no text and no JSON becomes NULL: a zero, a `false` or a day in 1970 would be read
//! as an answer.

use crate::mask::operator::Operator;

/// What a whole value of a masked column becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// NULL.
    Null,
    /// Always these bytes.
    Fixed(&'static [u8]),
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
    /// Numbers in text format, of an array or of ranges: one that is met hides the value whole.
    Numbers,
    /// Text that may be a row or an array of what is no text: a number that stands alone in it
    /// hides the value whole, parts of others may be replaced.
    Listed,
    /// An array whose elements are text, in binary format.
    TextArray,
    /// A value of this type in binary format, with values in it, as far as that is known: a find in
    /// one hides the value whole.
    Nested(u32),
    /// Bytes whose inner structure is not looked at: a find hides the value whole.
    Opaque,
}

/// What the bytes of a type are in binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing that a detector looks for.
    Plain,
    /// Text, or JSON.
    Text,
    /// Eight bytes, big-endian.
    Int8,
    /// PostgreSQL's base-10000 digits.
    Numeric,
    /// An array; it says of what.
    Array,
    /// A row; it says of what.
    Row,
    /// A range with bounds of this type.
    Range(u32),
    /// Ranges of this type.
    Multirange(u32),
    /// It may be any of them.
    Unknown,
}

/// What hides a whole value: the operator itself if the type can bear it, else NULL.
pub fn whole(operator: Operator, type_oid: u32, binary: bool) -> Whole {
    if operator == Operator::Nullify {
        return Whole::Null;
    }
    if is_text(type_oid) {
        return Whole::Text(operator);
    }
    if matches!(type_oid, JSON | JSONB) {
        return match operator {
            // JSON's null is a value that could be a true one.
            Operator::Default | Operator::Nullify => Whole::Null,
            _ if type_oid == JSONB && binary => Whole::Fixed(b"\x01\"***\""),
            _ => Whole::Fixed(b"\"***\""),
        };
    }
    Whole::Null
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
        JSON_ARRAY | JSONB_ARRAY if !binary => Scan::Opaque,
        _ if holds_numbers(type_oid) && !binary => Scan::Numbers,
        _ if cannot_hold_text(type_oid) && !holds_numbers(type_oid) => Scan::Skip,
        _ if binary => Scan::Nested(type_oid),
        _ => Scan::Listed,
    }
}

/// What the bytes of a type are in binary format.
pub fn shape(type_oid: u32) -> Shape {
    match type_oid {
        INT8 => Shape::Int8,
        NUMERIC => Shape::Numeric,
        JSON | JSONB => Shape::Text,
        RECORD => Shape::Row,
        INT8RANGE => Shape::Range(INT8),
        NUMRANGE => Shape::Range(NUMERIC),
        INT8MULTIRANGE => Shape::Multirange(INT8RANGE),
        NUMMULTIRANGE => Shape::Multirange(NUMRANGE),
        _ if is_text(type_oid) => Shape::Text,
        _ if cannot_hold_text(type_oid) && !holds_numbers(type_oid) => Shape::Plain,
        _ if array_element(type_oid).is_some() => Shape::Array,
        _ => Shape::Unknown,
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

/// Arrays and ranges of numbers that may be what a detector looks for.
fn holds_numbers(type_oid: u32) -> bool {
    let ranges = |oid: u32| matches!(oid, INT8RANGE | NUMRANGE | INT8MULTIRANGE | NUMMULTIRANGE);
    let numbers = |oid: u32| matches!(oid, INT8 | NUMERIC) || ranges(oid);
    ranges(type_oid) || array_element(type_oid).is_some_and(numbers)
}

/// Numbers, times, addresses, bits: no text, in either format.
fn cannot_hold_text(type_oid: u32) -> bool {
    PLAIN.contains(&type_oid) || array_element(type_oid).is_some_and(|it| PLAIN.contains(&it))
}

/// The element type of the built-in array types.
fn array_element(type_oid: u32) -> Option<u32> {
    ARRAYS.iter().find(|&&(array, _)| array == type_oid).map(|&(_, element)| element)
}

// pg_type.dat of PostgreSQL 18.
const BYTEA: u32 = 17;
const CHAR: u32 = 18;
pub const NAME: u32 = 19;
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
const RECORD: u32 = 2249;
const NUMRANGE: u32 = 3906;
const INT8RANGE: u32 = 3926;
const NUMMULTIRANGE: u32 = 4532;
const INT8MULTIRANGE: u32 = 4536;
/// A type that is not told.
pub const NOBODY_SAYS: u32 = 0;
/// Only statistics views return it: values sampled from other tables.
pub const ANYARRAY: u32 = 2277;
const JSONB: u32 = 3802;
const JSONB_ARRAY: u32 = 3807;

/// Numbers, times, addresses, bits, ranges and multiranges.
const PLAIN: [u32; 39] = [
    16,
    BYTEA,
    CHAR,
    INT8,
    21,
    23,
    26,
    TID,
    28,
    29,
    5069,
    3220,
    700,
    701,
    790,
    NUMERIC,
    1082,
    1083,
    1114,
    1184,
    1186,
    1266,
    2950,
    869,
    650,
    829,
    774,
    3904,
    NUMRANGE,
    3908,
    3910,
    3912,
    INT8RANGE,
    4451,
    NUMMULTIRANGE,
    4533,
    4534,
    4535,
    INT8MULTIRANGE,
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
    (2287, RECORD),
    (JSONB_ARRAY, JSONB),
    (3905, 3904),
    (3907, NUMRANGE),
    (3909, 3908),
    (3911, 3910),
    (3913, 3912),
    (3927, INT8RANGE),
    (6150, 4451),
    (6151, NUMMULTIRANGE),
    (6152, 4533),
    (6153, 4534),
    (6155, 4535),
    (6157, INT8MULTIRANGE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_becomes_null() {
        for operator in [Operator::Partial, Operator::Mask, Operator::Redact, Operator::Default] {
            assert_eq!(whole(operator, TEXT, true), Whole::Text(operator));
            // bool, int4, date, an array; hstore, an enum, a composite type.
            for type_oid in [16, 23, 1082, 1009, 16_500, 3614] {
                assert_eq!(whole(operator, type_oid, false), Whole::Null);
                assert_eq!(whole(operator, type_oid, true), Whole::Null);
            }
        }
        assert_eq!(whole(Operator::Nullify, TEXT, false), Whole::Null);
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(whole(Operator::Redact, JSON, false), Whole::Fixed(b"\"***\""));
        assert_eq!(whole(Operator::Redact, JSONB, true), Whole::Fixed(b"\x01\"***\""));
        assert_eq!(whole(Operator::Default, JSONB, true), Whole::Null);
    }

    #[test]
    fn json_arrays_are_no_safe_haven() {
        assert_eq!(scan(JSONB_ARRAY, true), Scan::Nested(JSONB_ARRAY));
        assert_eq!(shape(JSONB_ARRAY), Shape::Array);
        assert_eq!(scan(JSON_ARRAY, false), Scan::Opaque);
    }

    #[test]
    fn unknown_types_are_scanned() {
        assert_eq!(scan(16_500, false), Scan::Listed);
        assert_eq!(scan(16_500, true), Scan::Nested(16_500));
        assert_eq!(shape(16_500), Shape::Unknown);
        assert_eq!(scan(RECORD, true), Scan::Nested(RECORD));
        assert_eq!(scan(1114, false), Scan::Skip);
    }

    #[test]
    fn lists_of_numbers_are_looked_into() {
        // int8[], numeric[], int8range, nummultirange, int8range[], nummultirange[].
        for type_oid in [1016, 1231, 3926, 4532, 3927, 6151] {
            assert_eq!(scan(type_oid, false), Scan::Numbers);
            assert_eq!(scan(type_oid, true), Scan::Nested(type_oid));
        }
        // int4[], timestamp[], daterange, tstzmultirange[], uuid[].
        for type_oid in [1007, 1115, 3912, 6153, 2951] {
            assert_eq!(scan(type_oid, false), Scan::Skip);
            assert_eq!(scan(type_oid, true), Scan::Skip);
            assert_eq!(shape(type_oid), Shape::Plain);
        }
        assert_eq!(scan(2287, false), Scan::Listed);
        assert_eq!(shape(2287), Shape::Array);
    }
}
