use proptest::prelude::*;

use super::super::types;
use super::*;

const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;

fn body(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match value {
            None => body.extend_from_slice(&[0xff; 4]),
            Some(value) => {
                body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend_from_slice(value);
            }
        }
    }
    body
}

fn values(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let (count, mut at) = (read_u16(body, 0).unwrap(), 2);
    let values = (0..count).map(|_| match value_at(body, at).unwrap() {
        None => {
            at += 4;
            None
        }
        Some((start, end)) => {
            at = end;
            Some(body[start..end].to_vec())
        }
    });
    let values = values.collect();
    assert_eq!(at, body.len());
    values
}

fn all(operator: Operator) -> Rc<Detectors> {
    Rc::new(Detectors::new(Detector::ALL.map(|detector| (detector, operator))))
}

fn scanned(type_oid: u32, binary: bool) -> Column {
    Column { action: Action::scan(types::scan(type_oid, binary)) }
}

fn hidden(operator: Operator, type_oid: u32, binary: bool) -> Column {
    let whole = types::whole(operator, type_oid, binary);
    Column { action: Action::Hide { whole, operator, cause: Cause::Column } }
}

fn masked(plan: &Plan, body: &[u8]) -> (Vec<u8>, u64) {
    let (mut edits, mut hits, mut out) = (Edits::default(), Hits::default(), Vec::new());
    plan.row(body, &mut edits, &mut hits).unwrap();
    edits.apply(body, &mut out);
    (out, hits.total())
}

#[track_caller]
fn check(columns: Vec<Column>, row: &[Option<&[u8]>], expect: &[Option<&[u8]>]) {
    let plan = Plan::new(columns, all(Operator::Redact));
    let (out, _) = masked(&plan, &body(row));
    let expect: Vec<_> = expect.iter().map(|value| value.map(<[u8]>::to_vec)).collect();
    assert_eq!(values(&out), expect);
}

#[test]
fn a_row_is_hidden_and_scanned_at_once() {
    check(
        vec![
            scanned(TEXT, false),
            hidden(Operator::Partial, TEXT, false),
            scanned(23, false),
            hidden(Operator::Nullify, TEXT, false),
            scanned(1043, true),
            hidden(Operator::Redact, 23, true),
        ],
        &[
            Some(b"mail bob@example.com, eve@example.com!"),
            Some(b"123-45-6789"),
            Some(b"42"),
            Some(b"gone"),
            Some(b"4111 1111 1111 1111"),
            Some(&[0, 0, 0, 9]),
        ],
        &[
            Some(b"mail [EMAIL], [EMAIL]!"),
            Some(b"***-**-6789"),
            Some(b"42"),
            None,
            Some(b"[CREDIT_CARD]"),
            None,
        ],
    );
}

#[test]
fn null_and_empty_stay() {
    let columns = vec![hidden(Operator::Mask, TEXT, false), scanned(TEXT, false)];
    check(columns.clone(), &[None, None], &[None, None]);
    check(columns, &[Some(b""), Some(b"")], &[Some(b""), Some(b"")]);
}

/// Lengths such as 49 are the digit `1` as a byte, 64 is `@`, 69 is `E`.
#[test]
fn length_fields_are_no_part_of_values() {
    for length in 16..130 {
        let mut value = b"4111111111111111".to_vec();
        value.resize(length, b'.');
        let mut expect = b"[CREDIT_CARD]".to_vec();
        expect.resize(length - 3, b'.');
        let columns = vec![scanned(TEXT, false); 2];
        check(columns, &[Some(&value), Some(&value)], &[Some(&expect), Some(&expect)]);
    }
    // No match across a length field: 64 bytes and `bob`, then an at sign's neighbours.
    let long = vec![b'b'; 64];
    let columns = vec![scanned(TEXT, false); 2];
    check(columns, &[Some(b"bob"), Some(&long)], &[Some(b"bob"), Some(&long)]);
}

#[test]
fn numbers_that_are_cards() {
    let card = 4_111_111_111_111_111_i64;
    let id = 4_111_111_111_111_112_i64;
    let int8 = |number: i64| number.to_be_bytes().to_vec();
    let columns = vec![scanned(20, true), scanned(20, true), scanned(20, false)];
    check(
        columns,
        &[Some(&int8(card)), Some(&int8(id)), Some(b"4111111111111111")],
        &[None, Some(&int8(id)), None],
    );
    // Rare ranges and lengths are ids: 13 digits of Visa, 12 of Maestro, 19 of UnionPay.
    for id in [4_222_222_222_222_i64, 675_900_000_005, 6_200_000_000_000_000_003] {
        let text = id.to_string();
        let cells = [Some(text.as_bytes()), Some(&*int8(id)), Some(text.as_bytes())];
        let columns = vec![scanned(20, false), scanned(20, true), scanned(NUMERIC, false)];
        check(columns, &cells, &cells);
    }
    // 4111_1111_1111_1111 in base 10000, weight 3; and 5000_0000_0000_0000 with zeros left out.
    let numeric = |digits: &[u16], weight: u16| {
        let mut value = Vec::new();
        for word in [u16::try_from(digits.len()).unwrap(), weight, 0, 0].iter().chain(digits) {
            value.extend_from_slice(&word.to_be_bytes());
        }
        value
    };
    let card = numeric(&[4111, 1111, 1111, 1111], 3);
    let other = numeric(&[4111, 1111, 1111, 1112], 3);
    let columns = vec![scanned(NUMERIC, true), scanned(NUMERIC, true), scanned(NUMERIC, false)];
    check(
        columns,
        &[Some(&card), Some(&other), Some(b"4111111111111111.50")],
        &[None, Some(&other), Some(b"4111111111111111.50")],
    );
    // The same in a column with a scale of 2, and with a half.
    let mut scaled = card.clone();
    scaled[7] = 2;
    let mut half = numeric(&[4111, 1111, 1111, 1111, 5000], 3);
    half[7] = 2;
    let columns = vec![scanned(NUMERIC, true), scanned(NUMERIC, true), scanned(NUMERIC, false)];
    check(
        columns,
        &[Some(&scaled), Some(&half), Some(b"4111111111111111.00")],
        &[None, Some(&half), None],
    );
}

fn array(elements: &[Option<&[u8]>]) -> Vec<u8> {
    array_of(TEXT, elements)
}

fn array_of(element: u32, elements: &[Option<&[u8]>]) -> Vec<u8> {
    let mut value = Vec::new();
    for word in [1, 0, element, u32::try_from(elements.len()).unwrap(), 1] {
        value.extend_from_slice(&word.to_be_bytes());
    }
    value.extend_from_slice(&body(elements)[2..]);
    value
}

#[test]
fn arrays_are_rebuilt() {
    let before = array(&[Some(b"bob@example.com"), None, Some(b"x"), Some(b"eve@example.com")]);
    let after = array(&[Some(b"[EMAIL]"), None, Some(b"x"), Some(b"[EMAIL]")]);
    check(vec![scanned(1009, true)], &[Some(&before)], &[Some(&after)]);
    check(vec![hidden(Operator::Mask, 1009, true)], &[Some(&before)], &[None]);
    // An array that does not have the shape of one, and holds something: NULL.
    check(vec![scanned(1009, true)], &[Some(b"bob@example.com")], &[None]);
    check(
        vec![scanned(1009, false)],
        &[Some(b"{bob@example.com,\"a b\"}")],
        &[Some(b"{[EMAIL],\"a b\"}")],
    );
}

fn row_of(columns: &[(u32, &[u8])]) -> Vec<u8> {
    let mut value = u32::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for (type_oid, column) in columns {
        value.extend_from_slice(&type_oid.to_be_bytes());
        value.extend_from_slice(&body(&[Some(column)])[2..]);
    }
    value
}

fn range_of(flags: u8, bounds: &[&[u8]]) -> Vec<u8> {
    let bounds: Vec<_> = bounds.iter().map(|bound| Some(*bound)).collect();
    [&[flags][..], &body(&bounds)[2..]].concat()
}

fn multirange_of(ranges: &[&[u8]]) -> Vec<u8> {
    let ranges: Vec<_> = ranges.iter().map(|range| Some(*range)).collect();
    let count = u32::try_from(ranges.len()).unwrap();
    [&count.to_be_bytes()[..], &body(&ranges)[2..]].concat()
}

/// Types of users, of which nobody says what they are made of.
const OWN: u32 = 16_500;

#[test]
fn a_number_within_a_value_hides_it() {
    let (card, id) = (4_111_111_111_111_111_i64, 4_111_111_111_111_112_i64);
    let values = |number: i64| {
        let int8 = number.to_be_bytes();
        let digits = format!("{number}");
        let mut numeric = [0, 4, 0, 3, 0, 0, 0, 0].to_vec();
        for at in [0, 4, 8, 12] {
            let group: u16 = digits[at..at + 4].parse().unwrap();
            numeric.extend_from_slice(&group.to_be_bytes());
        }
        let range = range_of(2, &[&int8, &id.to_be_bytes()]);
        let upper = range_of(8, &[&int8]);
        let row = row_of(&[(23, &[0, 0, 0, 9]), (20, &int8)]);
        let (ranges, several) = (array_of(3926, &[Some(&range)]), multirange_of(&[&upper, &range]));
        vec![
            (1016, array_of(20, &[None, Some(&int8)])),
            (1231, array_of(NUMERIC, &[Some(&numeric)])),
            (3926, range.clone()),
            (3906, range_of(0, &[&numeric, &numeric])),
            (3927, ranges.clone()),
            (4536, several.clone()),
            (6157, array_of(4536, &[Some(&several)])),
            (2249, row.clone()),
            (2249, row_of(&[(1016, &array_of(20, &[Some(&int8)]))])),
            (2249, row_of(&[(OWN, &int8)])),
            (2287, array_of(2249, &[Some(&row)])),
            (OWN, row.clone()),
            (OWN, array_of(OWN, &[Some(&row)])),
            (OWN, array_of(OWN, &[Some(&int8)])),
            (OWN, range.clone()),
            (OWN, several),
            (OWN, row_of(&[(OWN, &array_of(OWN, &[Some(&row_of(&[(OWN, &range)]))]))])),
            (0, int8.to_vec()),
            (0, numeric),
        ]
    };
    for ((type_oid, hidden), (_, clean)) in values(card).into_iter().zip(values(id)) {
        let columns = vec![scanned(type_oid, true); 2];
        check(columns, &[Some(&hidden), Some(&clean)], &[None, Some(&clean)]);
    }
}

#[test]
fn texts_within_a_value_are_searched_apart() {
    // The length of each is a digit or a letter: it is no part of the number behind it.
    for length in [48, 49, 57, 65, 97, 122] {
        let mut card = b"4111111111111111".to_vec();
        card.resize(length, b' ');
        let row = row_of(&[(TEXT, &card)]);
        check(vec![scanned(2249, true)], &[Some(&row)], &[None]);
        check(vec![scanned(OWN, true)], &[Some(&row)], &[None]);
        let list = array_of(114, &[Some(&card)]);
        check(vec![scanned(199, true)], &[Some(&list)], &[None]);
    }
}

#[test]
fn what_cannot_be_told_apart_is_null() {
    let card = 4_111_111_111_111_112_i64.to_be_bytes();
    let short = array_of(20, &[Some(&card)]);
    let below = [&short[..short.len() - 12], &[0xff, 0xff, 0xff, 0xfe], &card].concat();
    let wide = [&[0, 0, 0, 7][..], &short[4..]].concat();
    for (type_oid, value) in [
        (1016, &short[..short.len() - 1]),
        (1016, &below),
        (1016, &wide),
        (3926, &[0, 0, 0, 0, 8]),
        (3926, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (2249, b"\0\0\0\x01"),
        (2287, b""),
    ] {
        check(vec![scanned(type_oid, true)], &[Some(value)], &[None]);
    }
    // Of a type of users it is what it is.
    check(vec![scanned(OWN, true)], &[Some(&below)], &[Some(&below)]);
    let texts = array(&[Some(b"bob@example.com")]);
    let below = [&texts[..20], &[0xff, 0xff, 0xff, 0xfe], &texts[24..]].concat();
    check(vec![scanned(1009, true)], &[Some(&below)], &[None]);
    let deep =
        |levels: usize| (0..levels).fold(b"x".to_vec(), |value, _| row_of(&[(2249, &value)]));
    let inner = row_of(&[(TEXT, b"x")]);
    let nested = |levels: usize| (1..levels).fold(inner.clone(), |it, _| row_of(&[(2249, &it)]));
    let most = nested(crate::limits::MASK_VALUE_DEPTH_MAX);
    check(vec![scanned(2249, true)], &[Some(&most)], &[Some(&most)]);
    let more = nested(crate::limits::MASK_VALUE_DEPTH_MAX + 1);
    check(vec![scanned(2249, true)], &[Some(&more)], &[None]);
    check(vec![scanned(OWN, true)], &[Some(&deep(9))], &[None]);
}

#[test]
fn numbers_in_lists_in_text() {
    for (type_oid, hidden, clean) in [
        (1016, "{1,4111111111111111}", "{1,4111111111111112}"),
        (1016, "[2:3]={4111111111111111,NULL}", "[2:3]={4222222222222,NULL}"),
        (1231, "{1.5,{4111111111111111}}", "{4111111111111111.50}"),
        (1231, "{1.5,4111111111111111.00}", "{4111111111111111.01}"),
        (3926, "[4111111111111111,4111111111111112)", "[411111111111111,4111111111111112)"),
        (3906, "(,4111111111111111]", "(,4111111111111111.25]"),
        (4536, "{[1,2),[5,4111111111111111)}", "{[1,2),[5,41111111111111113)}"),
        (3927, "{\"[4111111111111111,4111111111111112)\"}", "{\"[1,2)\"}"),
    ] {
        let columns = vec![scanned(type_oid, false); 2];
        let cells = [hidden, clean].map(|text| Some(text.as_bytes()));
        check(columns, &cells, &[None, cells[1]]);
    }
    // Rows and types of users may hold texts.
    for type_oid in [2249, OWN] {
        let columns = vec![scanned(type_oid, false); 4];
        check(
            columns,
            &[
                Some(b"(7,4111111111111111)"),
                Some(br#"{"(7,\"{4111111111111111}\")"}"#),
                Some(br#"(7,"pays with 4111111111111111")"#),
                Some(b"4111111111111111"),
            ],
            &[None, None, Some(br#"(7,"pays with [CREDIT_CARD]")"#), Some(b"[CREDIT_CARD]")],
        );
    }
}

#[test]
fn unknown_binary_types_are_nulled() {
    check(vec![scanned(16_500, true)], &[Some(b"\0\0bob@example.com")], &[None]);
    check(vec![scanned(16_500, true)], &[Some(b"\0\0bob")], &[Some(b"\0\0bob")]);
    check(vec![scanned(3807, false)], &[Some(b"{bob@example.com}")], &[None]);
}

#[test]
fn jsonb_keeps_its_version() {
    check(
        vec![scanned(3802, true)],
        &[Some(b"\x01{\"a\": \"bob@example.com\", \"b\": 4111111111111111}")],
        &[Some(b"\x01{\"a\": \"[EMAIL]\", \"b\": null}")],
    );
    check(vec![scanned(3802, true)], &[Some(b"")], &[Some(b"")]);
}

#[test]
fn nullify_on_a_find_hides_the_value() {
    let plan = Plan::new(vec![scanned(TEXT, false)], all(Operator::Nullify));
    let (out, hits) = masked(&plan, &body(&[Some(b"a bob@example.com b")]));
    assert_eq!((values(&out), hits), (vec![None], 1));
}

#[test]
fn only_rows_of_the_planned_shape_pass() {
    let plan = Plan::new(vec![hidden(Operator::Mask, TEXT, false); 2], all(Operator::Redact));
    let good = body(&[Some(b"bob@example.com"), None]);
    let mut edits = Edits::default();
    for length in 0..good.len() {
        let result = plan.row(&good[..length], &mut edits, &mut Hits::default());
        assert_eq!(result, Err(Malformed::MessageBody), "cut at {length}");
        assert!(edits.is_empty());
    }
    for bad in [body(&[None]), body(&[None, None, None]), [good.clone(), vec![0]].concat()] {
        assert!(plan.row(&bad, &mut edits, &mut Hits::default()).is_err());
    }
    assert!(plan.row(b"\0\x02\xff\xff\xff\xfe", &mut edits, &mut Hits::default()).is_err());
}

#[test]
fn plans_that_do_nothing_say_so() {
    assert!(Plan::default().is_pass());
    assert!(Plan::new(vec![scanned(23, false)], all(Operator::Mask)).is_pass());
    assert!(!Plan::new(vec![scanned(TEXT, false)], all(Operator::Mask)).is_pass());
    let jwt = Rc::new(Detectors::new([(Detector::Jwt, Operator::Mask)]));
    assert!(Plan::new(vec![scanned(20, true)], jwt).is_pass());
}

fn any_value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let piece = prop::sample::select(vec![
        "4111111111111111",
        "bob@example.com",
        "123-45-6789",
        " ",
        "-",
        "1",
        "x",
        "@",
        "\"",
        "\\",
        "\\u0040",
        "\\/",
        "{",
        "}",
        "-----BEGIN PRIVATE KEY-----",
        "GB82WEST12345698765432",
        "eyJ",
        "\0",
    ]);
    let text = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    prop::option::of(prop_oneof![text, prop::collection::vec(any::<u8>(), 0..80)])
}

proptest! {
    /// The row as a whole gives what each value gives by itself, and no find is left over.
    #[test]
    fn a_row_is_the_sum_of_its_values(row in prop::collection::vec(any_value(), 0..8)) {
        let plan = Plan::new(vec![scanned(TEXT, false); row.len()], all(Operator::Redact));
        let row: Vec<Option<&[u8]>> = row.iter().map(Option::as_deref).collect();
        let (out, _) = masked(&plan, &body(&row));
        for (value, masked) in row.iter().zip(values(&out)) {
            let expect = value.map(|value| {
                let (mut scratch, mut text) = (Scratch::default(), Vec::new());
                let mut hits = Hits::default();
                text::replace(&plan.detectors, value, &mut scratch, &mut text, &mut hits);
                text
            });
            prop_assert_eq!(&masked, &expect);
        }
    }

    #[test]
    fn any_body_is_fine(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        types in prop::collection::vec((prop::sample::select(vec![20, 25, 114, 1009, 1016, 1700,
            2249, 3802, 3926, 4532, 16_500]), any::<bool>(), any::<bool>()), 0..4),
    ) {
        let column = |&(oid, binary, hide): &(u32, bool, bool)| {
            if hide { hidden(Operator::Partial, oid, binary) } else { scanned(oid, binary) }
        };
        let plan = Plan::new(types.iter().map(column).collect(), all(Operator::Redact));
        let mut bytes = bytes;
        bytes.splice(0..0, u16::try_from(types.len()).unwrap().to_be_bytes());
        let (mut edits, mut out) = (Edits::default(), Vec::new());
        if plan.row(&bytes, &mut edits, &mut Hits::default()).is_ok() {
            edits.apply(&bytes, &mut out);
        }
    }

    #[test]
    fn any_value_of_any_type_is_fine(
        value in any_value(),
        oid in prop::sample::select(vec![20, 25, 114, 199, 1009, 1016, 1700, 2287, 3802, 3906,
            6157, 16_500]),
        binary in any::<bool>(),
    ) {
        for operator in [Operator::Redact, Operator::Nullify, Operator::Partial] {
            let plan = Plan::new(vec![scanned(oid, binary)], all(operator));
            let (out, _) = masked(&plan, &body(&[value.as_deref()]));
            prop_assert_eq!(values(&out).len(), 1);
        }
    }
}

/// The bytes of a length may be letters and digits, which stand right in front of the cell.
#[test]
fn a_length_in_front_of_a_cell_is_no_part_of_it() {
    let iban = b"de89370400440532013000";
    let plan = Plan::new(vec![scanned(TEXT, false)], all(Operator::Redact));
    for length in (22..600).chain([0x4130, 0x6161, 0x0030_3041, 0x0041_6141]) {
        let mut cell = iban.to_vec();
        cell.resize(length, b' ');
        let (out, hits) = masked(&plan, &body(&[Some(&cell)]));
        assert_eq!(hits, 1, "{length}");
        assert!(memchr::memmem::find(&out, iban).is_none(), "{length}");
    }
}

#[test]
fn what_is_written_as_escapes_is_hidden() {
    let columns = vec![scanned(114, false), scanned(TEXT, false), scanned(3802, true)];
    check(
        columns.clone(),
        &[
            Some(br#"{"a": "bob\u0040example.com", "n": 4111111111111111}"#),
            Some(br#"sent {"to": "\u002B4930901820"} and eve@example.com"#),
            Some(b"\x01{\"a\": \"{\\\"b\\\": \\\"bob\\\\u0040example.com\\\"}\"}"),
        ],
        &[
            Some(br#"{"a": "[EMAIL]", "n": null}"#),
            Some(br#"sent {"to": "[PHONE]"} and [EMAIL]"#),
            Some(b"\x01{\"a\": \"{\\\"b\\\": \\\"[EMAIL]\\\"}\"}"),
        ],
    );
    let clean: [Option<&[u8]>; 3] =
        [Some(br#"{"a": "\u00fc"}"#), Some(br"C:\users\u"), Some(br#"_"a\/b""#)];
    check(columns, &clean, &clean);
    let element: &[u8] = br#"{"a": "bob\u0040example.com"}"#;
    let before = array(&[None, Some(element), Some(b"x")]);
    let after = array(&[None, Some(br#"{"a": "[EMAIL]"}"#), Some(b"x")]);
    check(vec![scanned(1009, true)], &[Some(&before)], &[Some(&after)]);
    check(
        vec![scanned(1009, false)],
        &[Some(br#"{"{\"a\": \"bob\\u0040example.com\"}"}"#)],
        &[Some(br#"{"{\"a\": \"[EMAIL]\"}"}"#)],
    );
    let list = array_of(114, &[Some(element)]);
    check(vec![scanned(199, true)], &[Some(&list)], &[None]);
    check(vec![scanned(199, false)], &[Some(br#"{"\"bob\\u0040example.com\""}"#)], &[None]);
    check(vec![scanned(OWN, true)], &[Some(&row_of(&[(OWN, element)]))], &[None]);
    let plan = Plan::new(vec![scanned(TEXT, false)], all(Operator::Nullify));
    let (out, hits) = masked(&plan, &body(&[Some(element)]));
    assert_eq!((values(&out), hits), (vec![None], 1));
}
