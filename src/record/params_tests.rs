use proptest::prelude::*;

use super::super::body::{self, Body, Kind};
use super::super::entry::{Chunk, Command, CommandExtra, Decision, Entry, Params};
use super::super::testing::command;
use super::*;
use crate::decide::Object;

fn json_of(raw: &[u8], types: &[u32]) -> String {
    let params = Some(Params { raw, types, ..Params::default() });
    let entry = Entry::Command(Command { params, decision: Decision::Allow, ..command("", &[]) });
    let mut bytes = Vec::new();
    body::put_entry(&mut bytes, &entry);
    let Some(Body::Command(command)) = body::read(Kind::Command, body::VERSION, &bytes) else {
        panic!()
    };
    to_json(&command.params.unwrap())
}

fn json_without(raw: &[u8], secrets: &[u16]) -> (Vec<u8>, String) {
    let params = Some(Params { raw, secrets, ..Params::default() });
    let entry = Entry::Command(Command { params, ..command("", &[]) });
    let mut bytes = Vec::new();
    body::put_entry(&mut bytes, &entry);
    let read = body::read(Kind::Command, body::VERSION, &bytes);
    let Some(Body::Command(command)) = read else { panic!("{bytes:?}") };
    let json = to_json(&command.params.unwrap());
    (bytes, json)
}

#[test]
fn secrets_are_not_written() {
    let raw = bind(&[], &[Some(b"alice"), Some(b"hunter2"), None, Some(b"x")]);
    let (bytes, json) = json_without(&raw, &[2, 3, 9]);
    assert_eq!(json, r#"["alice",{"secret":true},null,"x"]"#);
    assert!(!bytes.windows(7).any(|seven| seven == b"hunter2"));
    // Where the body makes no sense any more, nothing is known to be no secret.
    let mut torn = bind(&[], &[Some(b"alice"), Some(b"hunter2")]);
    let value_at = torn.len() - 11;
    torn[value_at + 3] = 200;
    let (bytes, json) = json_without(&torn, &[1]);
    assert_eq!(json, r#"[{"secret":true},{"rest_b64":""}]"#);
    assert!(!bytes.windows(7).any(|seven| seven == b"hunter2"));
}

#[test]
fn weirs_own_tokens_are_written_nowhere() {
    let token = crate::identify::api_token::secret(&[7; 32]);
    let whole = format!("select '{token}'");
    let json = format!("{{\"key\": \"{token}\"}}");
    let raw = bind(&[], &[Some(token.as_bytes()), Some(b"x")]);
    let objects = [Object::bare(token.as_str(), false)];
    let json = Params { encoding: ParamsEncoding::Json, raw: json.as_bytes(), ..Params::default() };
    let bound = Params { raw: &raw, ..Params::default() };
    let half = Params { raw: &raw, secrets: &[2], ..Params::default() };
    let extra = CommandExtra { resource: &whole, attrs: &whole, ..CommandExtra::default() };
    let said = [json, bound, half].map(|params| {
        let (params, operation, extra) = (Some(params), whole.as_str(), extra);
        Entry::Command(Command { params, operation, extra, ..command(&whole, &objects) })
    });
    let chunk = |stream| {
        let payload = whole.as_bytes();
        let (command_seq, chunk_no, byte_offset) = (1, 0, 0);
        let (encoding, at_us) = ("http-content", None);
        Entry::Chunk(Chunk { command_seq, stream, chunk_no, byte_offset, encoding, payload, at_us })
    };
    for entry in said.into_iter().chain([chunk(0)]) {
        let mut bytes = Vec::new();
        body::put_entry(&mut bytes, &entry);
        let mut count = body::Count::default();
        body::put_entry(&mut count, &entry);
        assert_eq!(count.0, bytes.len());
        assert!(!bytes.windows(8).any(|it| it == &token.as_bytes()[5..13]), "{entry:?}");
        assert!(bytes.windows(12).any(|it| it == b"weir_*******"), "{entry:?}");
    }
    // An answer is what the client saw.
    let mut bytes = Vec::new();
    body::put_entry(&mut bytes, &chunk(1));
    assert!(bytes.windows(token.len()).any(|it| it == token.as_bytes()));
}

#[test]
fn text_of_another_encoding_is_what_it_says() {
    let json = |text_encoding, formats: &[u16], value: &[u8], types: &[u32]| {
        let raw = bind(formats, &[Some(value)]);
        let params = Params { raw: &raw, types, text_encoding, ..Params::default() };
        let mut extra = CommandExtra { text_encoding, ..CommandExtra::default() };
        extra.alone = true;
        let of = Command { params: Some(params), extra, ..command("", &[]) };
        let entry = Entry::Command(of);
        let mut bytes = Vec::new();
        body::put_entry(&mut bytes, &entry);
        let read = body::read(Kind::Command, body::VERSION, &bytes);
        let Some(Body::Command(command)) = read else { panic!("{bytes:?}") };
        assert_eq!(command.extra.text_encoding, text_encoding);
        assert_eq!(shown(&params), to_json(&command.params.unwrap()));
        to_json(&command.params.unwrap())
    };
    assert_eq!(json("LATIN1", &[], b"\xe9", &[]), "[\"\u{e9}\"]");
    assert_eq!(json("LATIN1", &[], b"\xc3\xa9", &[]), "[\"\u{c3}\u{a9}\"]");
    assert_eq!(json("WIN1251", &[1], b"\xe0", &[25]), "[\"\u{430}\"]");
    assert_eq!(json("LATIN1", &[1], &[0, 0, 0, 7], &[23]), "[7]");
    assert_eq!(json("LATIN1", &[1], &[0xe9], &[17]), r#"[{"b64":"6Q=="}]"#);
    assert_eq!(json("SJIS", &[], b"\x83\x5c", &[]), r#"[{"b64":"g1w="}]"#);
    assert_eq!(json("unknown", &[], b"\xe9", &[]), r#"[{"b64":"6Q=="}]"#);
    assert_eq!(json("", &[], b"\xe9", &[]), r#"[{"b64":"6Q=="}]"#);
}

#[test]
fn other_encodings_are_json_too() {
    let json = |encoding, raw: &[u8]| {
        let params = Some(Params { encoding, raw, ..Params::default() });
        let entry = Entry::Command(Command { params, ..command("", &[]) });
        let mut bytes = Vec::new();
        body::put_entry(&mut bytes, &entry);
        let read = body::read(Kind::Command, body::VERSION, &bytes);
        let Some(Body::Command(command)) = read else { panic!("{bytes:?}") };
        to_json(&command.params.unwrap())
    };
    assert_eq!(json(ParamsEncoding::Json, br#"{"a":1}"#), r#"{"a":1}"#);
    assert_eq!(json(ParamsEncoding::Json, b"\xff"), r#"{"b64":"/w=="}"#);
    assert_eq!(json(ParamsEncoding::Words, b"ls\0-l\0\xff\0"), r#"["ls","-l",{"b64":"/w=="}]"#);
    assert_eq!(json(ParamsEncoding::Words, b"\0"), r#"[""]"#);
    assert_eq!(json(ParamsEncoding::Words, b""), "[]");
}

proptest! {
    /// Only the values of secrets differ, whatever is hidden.
    #[test]
    fn what_is_no_secret_stays(
        values in prop::collection::vec(
            prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..6),
        secrets in prop::collection::btree_set(1u16..8, 0..4),
    ) {
        let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        let secrets: Vec<u16> = secrets.into_iter().collect();
        let raw = bind(&[], &values);
        let whole: Vec<serde_json::Value> = serde_json::from_str(&json_of(&raw, &[])).unwrap();
        let (_, json) = json_without(&raw, &secrets);
        let read: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read.len(), whole.len());
        for (at, (read, whole)) in read.iter().zip(&whole).enumerate() {
            if secrets.contains(&(at as u16 + 1)) && !whole.is_null() {
                prop_assert_eq!(read, &serde_json::json!({ "secret": true }));
            } else {
                prop_assert_eq!(read, whole);
            }
        }
    }
}

/// A Bind body: formats, then values.
fn bind(formats: &[u16], values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut raw = (formats.len() as u16).to_be_bytes().to_vec();
    raw.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
    raw.extend((values.len() as u16).to_be_bytes());
    for value in values {
        match value {
            None => raw.extend((-1i32).to_be_bytes()),
            Some(bytes) => {
                raw.extend((bytes.len() as i32).to_be_bytes());
                raw.extend_from_slice(bytes);
            }
        }
    }
    raw
}

#[test]
fn text_values_are_strings() {
    let check =
        |values: &[Option<&[u8]>], expect| assert_eq!(json_of(&bind(&[], values), &[]), expect);
    check(&[], "[]");
    check(&[Some(b"a\"b\n"), None, Some(b"")], r#"["a\"b\n",null,""]"#);
    check(&[Some(b"\xff\x00")], r#"[{"b64":"/wA="}]"#);
}

#[test]
fn binary_values_are_what_their_type_says() {
    let check = |oid, value: &[u8], expect: &str| {
        assert_eq!(
            json_of(&bind(&[1], &[Some(value)]), &[oid]),
            format!("[{expect}]"),
            "oid {oid}"
        );
    };
    check(16, &[1], "true");
    check(16, &[2], r#"{"b64":"Ag=="}"#);
    check(21, &(-2i16).to_be_bytes(), "-2");
    check(23, &(-70000i32).to_be_bytes(), "-70000");
    check(23, &[0; 8], r#"{"b64":"AAAAAAAAAAA="}"#);
    check(20, &i64::MIN.to_be_bytes(), "-9223372036854775808");
    check(26, &u32::MAX.to_be_bytes(), "4294967295");
    check(700, &1.5f32.to_be_bytes(), "1.5");
    check(701, &(-0.25f64).to_be_bytes(), "-0.25");
    check(701, &f64::NAN.to_be_bytes(), r#""NaN""#);
    check(700, &f32::NEG_INFINITY.to_be_bytes(), r#""-Infinity""#);
    check(25, b"text", r#""text""#);
    check(2950, &[0x11; 16], r#""11111111-1111-1111-1111-111111111111""#);
    check(17, b"\x00\x01", r#"{"b64":"AAE="}"#);
    check(0, b"\x00\x01", r#"{"b64":"AAE="}"#);
}

#[test]
fn formats_are_per_value_or_for_all() {
    let one = 1i32.to_be_bytes();
    let values: [Option<&[u8]>; 2] = [Some(&one), Some(b"x")];
    assert_eq!(json_of(&bind(&[1, 0], &values), &[23, 25]), r#"[1,"x"]"#);
    assert_eq!(json_of(&bind(&[1], &values), &[23, 25]), r#"[1,"x"]"#);
}

#[test]
fn what_makes_no_sense_is_kept() {
    let whole = bind(&[], &[Some(b"abc"), Some(b"def")]);
    assert_eq!(json_of(&whole[..whole.len() - 1], &[]), r#"["abc",{"rest_b64":"AAAAA2Rl"}]"#);
    assert_eq!(json_of(b"", &[]), r#"[{"rest_b64":""}]"#);
    let mut longer = bind(&[], &[Some(b"abc")]);
    longer.push(7);
    assert_eq!(json_of(&longer, &[]), r#"["abc",{"rest_b64":"Bw=="}]"#);
}

proptest! {
    #[test]
    fn any_bytes_become_json(
        raw in prop::collection::vec(any::<u8>(), 0..80),
        types in prop::collection::vec(
            prop::sample::select(vec![0u32, 16, 20, 23, 25, 701, 2950]),
            0..4,
        ),
    ) {
        let json = json_of(&raw, &types);
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&json);
        prop_assert!(parsed.is_ok_and(|value| value.is_array()), "{}", json);
    }
}
