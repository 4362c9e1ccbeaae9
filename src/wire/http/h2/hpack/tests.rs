//! Vectors of RFC 7541 appendix C, round trips, splits.

use proptest::prelude::*;

use super::*;
use crate::limits::{HTTP_FIELDS_MAX, HTTP_HEAD_BYTES_MAX};

type Said = Vec<(Vec<u8>, Vec<u8>, bool)>;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn said(fields: &Fields) -> Said {
    fields.iter().map(|(name, value, never)| (name.to_vec(), value.to_vec(), never)).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Said, Broken> {
    let mut fields = Fields::default();
    decoder.decode(block, true, &mut fields)?;
    Ok(said(&fields))
}

/// A block, the fields that it says as `name: value` lines, and the table's size then.
fn check(decoder: &mut Decoder, block: &str, expect: &[&str], table_bytes: usize) {
    let lines: Vec<String> = decode(decoder, &hex(block))
        .unwrap()
        .into_iter()
        .map(|(name, value, _)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    assert_eq!(lines, expect);
    assert_eq!(decoder.table().size(), table_bytes);
}

#[test]
fn appendix_c2_single_fields() {
    let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(&mut Decoder::default(), custom, &["custom-key: custom-header"], 55);
    let path = "040c 2f73 616d 706c 652f 7061 7468";
    check(&mut Decoder::default(), path, &[":path: /sample/path"], 0);
    check(&mut Decoder::default(), "82", &[":method: GET"], 0);
    let never = decode(&mut Decoder::default(), &hex("1008 7061 7373 776f 7264 0673 6563 7265 74"));
    assert_eq!(never.unwrap(), [(b"password".to_vec(), b"secret".to_vec(), true)]);
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

#[test]
fn appendix_c3_requests_plain() {
    let mut decoder = Decoder::default();
    let first = "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
    check(&mut decoder, first, REQUESTS[0], 57);
    check(&mut decoder, "8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1], 110);
    let third = "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65";
    check(&mut decoder, third, REQUESTS[2], 164);
}

#[test]
fn appendix_c4_requests_coded() {
    let mut decoder = Decoder::default();
    check(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUESTS[0], 57);
    check(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1], 110);
    let third = "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf";
    check(&mut decoder, third, REQUESTS[2], 164);
}

const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

fn answers() -> [Vec<String>; 3] {
    let common = |status: &str, date: &str| {
        vec![
            format!(":status: {status}"),
            "cache-control: private".to_owned(),
            format!("date: Mon, 21 Oct 2013 20:13:{date} GMT"),
            "location: https://www.example.com".to_owned(),
        ]
    };
    let mut third = common("200", "22");
    third.push("content-encoding: gzip".to_owned());
    third.push(format!("set-cookie: {COOKIE}"));
    [common("302", "21"), common("307", "21"), third]
}

fn check_answers(blocks: [&str; 3], sizes: [usize; 3]) {
    let mut decoder = Decoder::default();
    // The appendix has a table of 256 bytes.
    assert_eq!(decode(&mut decoder, &hex("3fe101")), Ok(vec![]));
    for ((block, lines), size) in blocks.into_iter().zip(answers()).zip(sizes) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        check(&mut decoder, block, &lines, size);
    }
}

#[test]
fn appendix_c5_answers_plain() {
    check_answers(
        [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
             2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
             6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
             54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
             5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
             3d31",
        ],
        [222, 222, 215],
    );
}

#[test]
fn appendix_c6_answers_coded() {
    check_answers(
        [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
             2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
             77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
             9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
        [222, 222, 215],
    );
}

#[test]
fn what_breaks_a_block() {
    let check = |block: &str, expect| {
        assert_eq!(decode(&mut Decoder::default(), &hex(block)), Err(expect), "{block}");
    };
    check("80", Broken::Index);
    check("be", Broken::Index);
    check("7e01 61", Broken::Index);
    check("ff80 8080 8001", Broken::Integer);
    check("007f ffff ff7f 61", Broken::Truncated);
    check("00 01", Broken::Truncated);
    check("00 01 61", Broken::Truncated);
    check("40 01 61 82 ff", Broken::Truncated);
    check("00 82 ffff 00", Broken::Huffman);
    check("3fe2 1f", Broken::TableSize);
    check("20 20 20", Broken::TableSize);
    check("82 20", Broken::LateTableSize);
    // As large as announced, down and up again: fine.
    assert_eq!(decode(&mut Decoder::default(), &hex("20 3fe1 1f")), Ok(vec![]));
}

#[test]
fn a_table_size_may_come_with_each_block() {
    let mut decoder = Decoder::default();
    for _ in 0..4 {
        assert!(decode(&mut decoder, &hex("20 3fe1 1f 82")).is_ok());
    }
}

/// One byte is a field of 4 KiB: the count and the bytes end it, the table stays right.
#[test]
fn a_bomb_is_decoded_and_not_kept() {
    let mut decoder = Decoder::default();
    let mut block = hex("40 01 62 7f cd1e");
    block.extend([b'x'; 4_045 - 97]);
    block.extend([0xbe; 60_000]);
    block.extend(hex("40 01 63 01 64"));
    let mut fields = Fields::default();
    decoder.decode(&block, true, &mut fields).unwrap();
    assert!(fields.is_over());
    assert!(fields.size() <= HTTP_HEAD_BYTES_MAX);
    assert!(fields.len() < HTTP_FIELDS_MAX);
    // The field behind the limit was learned.
    assert_eq!(decode(&mut decoder, &hex("be")).unwrap()[0].0, b"c");
    fields.clear();
    assert!(!fields.is_over());
    decoder.decode(&[0x82; HTTP_FIELDS_MAX], true, &mut fields).unwrap();
    assert!(!fields.is_over());
    fields.clear();
    decoder.decode(&[0x82; HTTP_FIELDS_MAX + 1], true, &mut fields).unwrap();
    assert!(fields.is_over());
}

#[test]
fn credentials_are_never_indexed_and_little_is() {
    let mut encoder = Encoder::default();
    let mut out = Vec::new();
    for name in [&b"authorization"[..], b"cookie", b"set-cookie", b"x-api-key"] {
        out.clear();
        encoder.field(name, b"secret", Keep::Usual, &mut out);
        assert_eq!(out[0] & 0xf0, 0x10, "{}", name.escape_ascii());
    }
    out.clear();
    encoder.field(b"x-other", b"1", Keep::Never, &mut out);
    assert_eq!(out[0], 0x10);
    out.clear();
    encoder.field(b":path", b"/secret", Keep::Usual, &mut out);
    assert_eq!(out[0] & 0xf0, 0);
    assert_eq!(encoder.table().len(), 0);
    out.clear();
    encoder.field(b"user-agent", b"test", Keep::Usual, &mut out);
    encoder.field(b"user-agent", b"test", Keep::Usual, &mut out);
    assert_eq!(encoder.table().len(), 1);
    assert_eq!(out.last(), Some(&0xbe));
}

#[test]
fn the_peer_sets_the_size_of_the_encoders_table() {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.resize(4_096);
    encoder.begin(&mut out);
    assert!(out.is_empty());
    encoder.resize(0);
    encoder.resize(1 << 30);
    encoder.begin(&mut out);
    assert_eq!(out, hex("20 3fe1 1f"));
    out.clear();
    encoder.resize(0);
    encoder.begin(&mut out);
    encoder.field(b"user-agent", b"test", Keep::Usual, &mut out);
    assert_eq!(encoder.table().len(), 0);
    assert!(decode(&mut Decoder::default(), &out).is_ok());
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            &b":method"[..],
            b"GET",
            b":status",
            b"200",
            b"user-agent",
            b"accept",
            b"cookie",
            b"via",
            b"",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..300),
    ]
}

#[derive(Clone, Debug)]
enum Sent {
    Block(Vec<(Vec<u8>, Vec<u8>, bool)>),
    Resize(u32),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => prop::collection::vec((text(), text(), any::<bool>()), 0..12).prop_map(Sent::Block),
        1 => (0u32..5_000).prop_map(Sent::Resize),
    ]
}

proptest! {
    /// What the encoder writes, the decoder reads, in any fragments, and both tables stay the same.
    #[test]
    fn a_block_says_what_was_put_into_it(
        blocks in prop::collection::vec(sent(), 0..20),
        piece in 1usize..100,
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for sent in blocks {
            let lines = match sent {
                Sent::Block(lines) => lines,
                Sent::Resize(bytes) => { encoder.resize(bytes); continue }
            };
            let mut out = Vec::new();
            encoder.begin(&mut out);
            for (name, value, never) in &lines {
                let keep = if *never { Keep::Never } else { Keep::Usual };
                encoder.field(name, value, keep, &mut out);
            }
            let mut fields = Fields::default();
            for fragment in out.chunks(piece) {
                decoder.decode(fragment, false, &mut fields).unwrap();
            }
            decoder.decode(&[], true, &mut fields).unwrap();
            let got: Vec<_> = fields.iter().map(|(n, v, _)| (n.to_vec(), v.to_vec())).collect();
            let put: Vec<_> = lines.iter().map(|(n, v, _)| (n.clone(), v.clone())).collect();
            prop_assert_eq!(got, put);
            for ((_, _, got), (_, _, put)) in fields.iter().zip(&lines) {
                prop_assert!(got || !put, "a field that is never indexed lost its mark");
            }
            prop_assert_eq!(encoder.table().size(), decoder.table().size());
        }
    }

    /// Any bytes, whole or in pieces: the same fields or the same refusal.
    #[test]
    fn fragments_do_not_matter(
        block in prop::collection::vec(
            prop_oneof![Just(0x40u8), Just(0xbe), Just(0x01), Just(0x82), any::<u8>()], 0..60),
        piece in 1usize..8,
    ) {
        let whole = decode(&mut Decoder::default(), &block);
        let (mut decoder, mut fields) = (Decoder::default(), Fields::default());
        let mut result = Ok(());
        for fragment in block.chunks(piece) {
            result = result.and_then(|()| decoder.decode(fragment, false, &mut fields));
        }
        result = result.and_then(|()| decoder.decode(&[], true, &mut fields));
        prop_assert_eq!(result.map(|()| said(&fields)), whole);
    }
}
