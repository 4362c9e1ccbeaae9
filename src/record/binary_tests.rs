use proptest::prelude::*;

use super::*;

/// Bytes as `select encode(T_send(..), 'hex')` has them.
fn text(oid: u32, hex: &str) -> String {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
    match meaning(oid, &bytes) {
        Some(Meaning::Text(text)) => text,
        Some(Meaning::Raw(text)) => String::from_utf8(text.to_vec()).unwrap(),
        Some(Meaning::List(element, values)) => {
            let value = |value: Option<&[u8]>| match value.map(|value| meaning(element, value)) {
                None => "NULL".to_owned(),
                Some(Some(Meaning::Text(text))) => text,
                Some(other) => format!("{other:?}"),
            };
            format!("{{{}}}", values.into_iter().map(value).collect::<Vec<_>>().join(","))
        }
        None => "?".to_owned(),
    }
}

/// Values as PostgreSQL 15 sends and writes them.
#[test]
fn values_are_what_postgresql_writes() {
    for line in include_str!("binary_tests.txt").lines() {
        let [oid, hex, expect] = line.splitn(3, '|').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(text(oid.parse().unwrap(), hex), expect, "{line}");
    }
}

#[test]
fn arrays_are_lists() {
    let one = "0000000a00010000000000000001";
    let half = "0000000c000200000000000200021388";
    let head = "0000000100000001000006a40000000300000001";
    assert_eq!(text(1231, &format!("{head}{one}ffffffff{half}")), "{1,NULL,2.50}");
}

#[test]
fn what_is_not_understood_is_not_told() {
    for (oid, hex) in [
        (1700, "0001000000000000"),
        (1700, "00010000000000002710"),
        (1700, "000100000001000000010"),
        (1700, "00017fff0000000000 01"),
        (1700, "0000000000007fff"),
        (1082, "7ffffffe"),
        (1114, "7ffffffffffffffe"),
        (1083, "7fffffffffffffff"),
        (3802, "027b7d"),
        (869, "022100047f000001"),
        (790, "0000000000000001"),
        (1007, "000000020000000000000017"),
        (1007, "0000000100000000000000140000000100000001"),
        (1007, "00000001000000000000001700ffffff00000001"),
        (17, "00"),
    ] {
        let hex = hex.replace(' ', "");
        let even = hex.len() / 2 * 2;
        assert_eq!(text(oid, &hex[..even]), "?", "{oid} {hex}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(
        oid in prop::sample::select(vec![
            1700, 1082, 1083, 1266, 1114, 1184, 1186, 869, 829, 774, 1560, 3802, 1231, 1007, 1115,
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Some(Meaning::Text(text)) = meaning(oid, &bytes) {
            prop_assert!(text.len() <= 64 * 16 + 256, "{}", text.len());
        }
    }
}
