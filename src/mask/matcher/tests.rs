use proptest::prelude::*;

use super::*;
use crate::mask::detect::{Detector, Detectors};
use crate::mask::naive;
use crate::mask::operator::Operator;

const ALL: Wanted = Wanted {
    email: u64::MAX,
    digits: u64::MAX,
    ssn: u64::MAX,
    letters: u64::MAX,
    phone: u64::MAX,
    prefix: u64::MAX,
};

/// Every instruction set against the oracle.
fn check(bytes: &[u8], wanted: &Wanted) {
    let tables = crate::mask::detect::prefix_tables();
    let expect = naive::scan(bytes, tables, wanted);
    for isa in Isa::available() {
        let mut found = Vec::new();
        Matcher::with(isa).unwrap().scan(bytes, tables, wanted, &mut found);
        assert_eq!(found, expect, "{isa:?} on {:?}", String::from_utf8_lossy(bytes));
    }
}

/// Bytes that make candidates likely.
fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => prop::sample::select(&b"0123456789"[..]),
        2 => prop::sample::select(&b" -"[..]),
        2 => prop::sample::select(&b"AZGB@az+\\%nu,U\0"[..]),
        1 => prop::sample::select(&b"eyJ-BEGIN://sk_ghp$2b.xox"[..]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..300)
}

proptest! {
    #[test]
    fn every_set_agrees_with_the_oracle(bytes in telling_bytes()) {
        check(&bytes, &ALL);
    }

    #[test]
    fn every_set_agrees_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes, &ALL);
    }

    /// The two stages find what the stages find with the oracle's candidates, at any alignment.
    #[test]
    fn finds_do_not_depend_on_the_set(bytes in telling_bytes(), shift in 0_usize..65) {
        let mut shifted = vec![b'.'; shift];
        shifted.extend_from_slice(&bytes);
        let detectors = Detectors::new(Detector::ALL.map(|d| (d, Operator::Redact)));
        let mut scratch = crate::mask::detect::Scratch::default();
        let all = Isa::available().into_iter().map(|isa| {
            let matcher = Matcher::with(isa).unwrap();
            detectors.clone().with_matcher(matcher).find(&shifted, &mut scratch).to_vec()
        });
        let all: Vec<_> = all.collect();
        prop_assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn every_alignment_and_length() {
    let samples: [&[u8]; 7] = [
        b"+1 415 555 2671",
        b"4111 1111 1111 1111",
        b"123-45-6789",
        b"bob@example.com",
        b"GB82WEST12345698765432",
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"ghp_0123456789",
    ];
    for sample in samples {
        for shift in 0..130 {
            let mut bytes = vec![b'~'; shift];
            bytes.extend_from_slice(sample);
            check(&bytes, &ALL);
            bytes.extend_from_slice(&[b'~'; 70]);
            check(&bytes, &ALL);
        }
    }
}

#[test]
fn adversarial_fills() {
    for fill in [
        &b"1"[..],
        b"1-",
        b"@a",
        b"AA00",
        b"eyJ",
        b"-----BEGIN ",
        b"\xff",
        b"1 1@",
        b"a0",
        b"ab12",
        b"\\nab12",
    ] {
        let bytes: Vec<u8> = fill.iter().copied().cycle().take(1000).collect();
        check(&bytes, &ALL);
    }
}

#[test]
fn nothing_is_found_that_is_not_wanted() {
    check(b"4111111111111111 bob@example.com 123-45-6789 GB82 eyJ", &Wanted::default());
}

/// Literals share buckets, so some windows are false; everything else must be silent.
#[test]
fn plain_text_has_few_candidates() {
    let text = "The quick brown fox jumps over the lazy dog, again and again, 42 times a day; \
                row 1234567 was made on 2024-05-06 12:30:05 and costs 19.99. \
                550e8400-e29b-41d4-a716-446655440000 is its id. ";
    let text = text.repeat(20);
    let mut found = Vec::new();
    let tables = crate::mask::detect::prefix_tables();
    Matcher::detect().scan(text.as_bytes(), tables, &ALL, &mut found);
    assert!(
        found.iter().all(|block| block.email | block.ssn | block.letters | block.phone == 0),
        "{found:?}"
    );
    // Two per id, of which twelve digits are the end; its shape is dismissed later.
    assert_eq!(found.iter().map(|block| block.digits.count_ones()).sum::<u32>(), 40);
    let windows: u32 = found.iter().map(|block| block.prefix.count_ones()).sum();
    assert!(windows as usize * 50 < text.len(), "{windows} windows in {} bytes", text.len());
}
