//! What is masked never leaves, in any split; what is not stays as it was.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::limits::MASK_TOKEN_BYTES_MAX;
use crate::mask::detect::Detector;

fn rules(paths: &[(&str, Operator)], detectors: &[(Detector, Operator)]) -> Rc<Rules> {
    let path = |(text, operator): &(&str, Operator)| (Pattern::parse(text).unwrap(), *operator);
    let detectors = Rc::new(Detectors::new(detectors.iter().copied()));
    Rc::new(Rules::new(paths.iter().map(path).collect(), detectors))
}

fn redact_all() -> Rc<Rules> {
    rules(&[], &Detector::ALL.map(|detector| (detector, Operator::Redact)))
}

/// The whole result, or how far it came and why not farther.
fn mask(
    rules: &Rc<Rules>,
    shape: Shape,
    bytes: &[u8],
    piece: usize,
) -> (Vec<u8>, Option<Unmaskable>) {
    let mut masker = Masker::new(Rc::clone(rules), shape).unwrap();
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    for part in bytes.chunks(piece.max(1)) {
        if let Err(wrong) = masker.push(part, &mut out, &mut hits) {
            return (out, Some(wrong));
        }
    }
    let result = masker.finish(&mut out, &mut hits);
    (out, result.err())
}

fn check(rules: &Rc<Rules>, shape: Shape, body: &str, expect: &str) {
    for piece in [usize::MAX, 1, 2, 3, 5, 17] {
        let (out, wrong) = mask(rules, shape, body.as_bytes(), piece);
        let out = String::from_utf8(out).unwrap();
        assert_eq!((out.as_str(), wrong), (expect, None), "in pieces of {piece}");
    }
}

#[test]
fn a_whole_number_is_one_however_it_is_written() {
    let rules = redact_all();
    for number in [
        "4539148803436467",
        "4539148803436467.0",
        "4539148803436467.00",
        "45391488034364670e-1",
        "4.539148803436467e15",
        "4.539148803436467E+15",
        "453914880343646.7e1",
    ] {
        check(&rules, Shape::Json, &format!("{{\"x\":{number}}}"), "{\"x\":null}");
        check(&rules, Shape::Json, &format!("[1.5,{number},2e3]"), "[1.5,null,2e3]");
    }
    for number in ["4539148803436467.5", "4539148803436467e99999999999", "45.39148803436467", "0.0"]
    {
        let body = format!("{{\"x\":{number}}}");
        check(&rules, Shape::Json, &body, &body);
    }
}

#[test]
fn a_stream_of_events_may_begin_with_a_mark() {
    let rules = rules(&[("ssn", Operator::Redact)], &[]);
    let (event, masked) = ("data: {\"ssn\":\"1\"}\n\n", "data: {\"ssn\":\"***\"}\n\n");
    check(
        &rules,
        Shape::Events,
        &format!("\u{feff}{event}{event}"),
        &format!("\u{feff}{masked}{masked}"),
    );
    // One behind the start is part of a name.
    let body = format!("{event}\u{feff}{event}");
    let (out, wrong) = mask(&rules, Shape::Events, body.as_bytes(), usize::MAX);
    assert_eq!((out.as_slice(), wrong), (masked.as_bytes(), Some(Unmaskable::Text)));
}

#[test]
fn shapes_and_plans() {
    for (kind, shape) in [
        ("application/json", Shape::Json),
        ("Application/JSON; charset=UTF-8", Shape::Json),
        ("application/problem+json", Shape::Json),
        ("application/x-ndjson", Shape::JsonLines),
        ("text/event-stream; charset=utf-8", Shape::Events),
        ("application/x-www-form-urlencoded", Shape::Form),
        ("text/html; charset=\"utf-8\"", Shape::Prose),
        ("image/svg+xml", Shape::Prose),
        ("", Shape::Text),
        ("application/json; charset=utf-16", Shape::Opaque),
        ("text/html; charset=iso-8859-1", Shape::Opaque),
        ("image/png", Shape::Opaque),
        ("application/octet-stream", Shape::Opaque),
        ("application/grpc", Shape::Opaque),
        ("multipart/form-data; boundary=x", Shape::Opaque),
    ] {
        assert_eq!(Shape::of(Some(kind.as_bytes())), shape, "{kind}");
    }
    assert_eq!(Shape::of(None), Shape::Text);
    let none = rules(&[], &[]);
    assert_eq!(none.plan(Shape::Opaque), Plan::Pass);
    assert_eq!(redact_all().plan(Shape::Json), Plan::Scan);
    assert_eq!(redact_all().plan(Shape::Opaque), Plan::Opaque);
    assert_eq!(rules(&[("a", Operator::Mask)], &[]).plan(Shape::Json), Plan::Paths);
    assert!(Masker::new(none, Shape::Opaque).is_none());
}

#[test]
fn a_byte_order_mark_hides_no_path() {
    let rules = rules(&[("a", Operator::Redact)], &[]);
    for piece in [usize::MAX, 1, 2] {
        let body = "\u{feff}{\"a\": 1}".as_bytes();
        let (out, wrong) = mask(&rules, Shape::Text, body, piece);
        assert!(wrong.is_some() && !out.contains(&b'1'), "in pieces of {piece}: {out:?}");
    }
    let comma = "\u{ff0c}a comma".as_bytes();
    assert_eq!(mask(&rules, Shape::Text, comma, usize::MAX), (comma.to_vec(), None));
}

#[test]
fn text_in_which_no_path_is_followed_does_not_pass() {
    let by_path = rules(&[("**.password", Operator::Redact)], &[]);
    assert_eq!(by_path.plan(Shape::Prose), Plan::Opaque, "HTML, CSV, YAML, code");
    assert_eq!(redact_all().plan(Shape::Prose), Plan::Scan);
    for text in [
        "# {\"password\":\"hunter2\"}",
        "\u{a0}{\"password\":\"hunter2\"}",
        "password: hunter2",
        "id\npassword",
        "[INFO] password=hunter2\n",
        "cb({\"password\":\"hunter2\"})",
    ] {
        for piece in [usize::MAX, 1, 3] {
            let (out, wrong) = mask(&by_path, Shape::Text, text.as_bytes(), piece);
            assert!(wrong.is_some() && !String::from_utf8_lossy(&out).contains("hunter"), "{text}");
        }
    }
    for text in ["Not Found\n", "OK", "Caf\u{e9} is closed (2 days), sorry!\r\n"] {
        check(&by_path, Shape::Text, text, text);
    }
    // What does not look like JSON is searched as the text that it is.
    for text in ["[INFO] started\n[WARN] x\n", "\"use strict\";\nvar a=1;", "{% block %} hi"] {
        check(&redact_all(), Shape::Prose, text, text);
    }
    check(&redact_all(), Shape::Prose, "[a](mailto:bob@example.com)", "[a](mailto:[EMAIL])");
    check(
        &by_path,
        Shape::Events,
        "data: {\"a\":1}\n\ndata: [DONE]\n\n",
        "data: {\"a\":1}\n\ndata: [DONE]\n\n",
    );
    let (_, wrong) = mask(&by_path, Shape::Events, b"data: password: hunter2\n\n", usize::MAX);
    assert_eq!(wrong, Some(Unmaskable::Text));
    let json = b"{\"password\":\"hunter2\"}\n\n";
    assert_eq!(mask(&by_path, Shape::Events, json, 1).1, Some(Unmaskable::Text));
    assert_eq!(mask(&by_path, Shape::Form, json, 1).1, Some(Unmaskable::Form));
    let fields = rules(&[("customer.ssn", Operator::Redact)], &[]);
    check(
        &fields,
        Shape::Form,
        "customer.ssn=1&customer[ssn]=2&a=3",
        "customer.ssn=***&customer[ssn]=***&a=3",
    );
    let two = "{\"password\":1}\n{\"password\":2}";
    check(&by_path, Shape::Json, two, "{\"password\":null}\n{\"password\":null}");
}

#[test]
fn values_by_path() {
    let rules = rules(
        &[
            ("customer.ssn", Operator::Partial),
            ("customer.note", Operator::Redact),
            ("items.*.price", Operator::Default),
            ("secret", Operator::Nullify),
            ("**.password", Operator::Mask),
            ("tree", Operator::Redact),
        ],
        &[],
    );
    let one = |body: &str, expect: &str| check(&rules, Shape::Json, body, expect);
    one(r#"{"customer": {"ssn":"123-45-6789"}}"#, r#"{"customer": {"ssn":"***-**-6789"}}"#);
    one(r#"{"customer":{"s\u0073n":"123456789"}}"#, r#"{"customer":{"s\u0073n":"*****6789"}}"#);
    one(r#"{"customer":{"note":"a\"b","x":"c"}}"#, r#"{"customer":{"note":"***","x":"c"}}"#);
    one(
        r#"{"items":[{"price":12.5},{"price":-1e3}]}"#,
        r#"{"items":[{"price":null},{"price":null}]}"#,
    );
    one(r#"{"secret":[1,"x",true,null]}"#, r#"{"secret":[null,null,null,null]}"#);
    one(r#" [ {"a":[{"password":"p\u00e9w"}]} ] "#, r#" [ {"a":[{"password":"***"}]} ] "#);
    one(
        r#"{"tree":{"a":{"b":["x",1,true]},"c":null}}"#,
        r#"{"tree":{"a":{"b":["***",null,null]},"c":null}}"#,
    );
    // Of names that are there twice every one.
    one(r#"{"secret":1,"secret":"two"}"#, r#"{"secret":null,"secret":null}"#);
    one(r#"{"Secret":1,"x":{"secret":2}}"#, r#"{"Secret":1,"x":{"secret":2}}"#);
    one("", "");
    one("  \n", "  \n");
    check(
        &rules,
        Shape::JsonLines,
        "{\"secret\":1}\n{\"secret\":\"x\"}\n\n",
        "{\"secret\":null}\n{\"secret\":null}\n\n",
    );
}

#[test]
fn values_by_what_is_in_them() {
    let rules = redact_all();
    let one = |body: &str, expect: &str| check(&rules, Shape::Json, body, expect);
    one(r#"{"a":"write to bob@example.com!"}"#, r#"{"a":"write to [EMAIL]!"}"#);
    one(r#"{"a":"bob\u0040example.com \"x\""}"#, r#"{"a":"[EMAIL] \"x\""}"#);
    one(r#"{"a":"\u00fc\\bob@example.com\n"}"#, r#"{"a":"\u00fc\\[EMAIL]\n"}"#);
    one(r#"{"bob@example.com":[4111111111111111, 5]}"#, r#"{"[EMAIL]":[null, 5]}"#);
    one(r#"["4111 1111 1111 1111","\/"]"#, r#"["[CREDIT_CARD]","\/"]"#);
    let null = super::tests::rules(&[], &[(Detector::Email, Operator::Nullify)]);
    check(
        &null,
        Shape::Json,
        r#"{"a@example.com":"b@example.com","c":"d"}"#,
        r#"{"***":null,"c":"d"}"#,
    );
}

#[test]
fn what_is_no_json_does_not_leave() {
    let rules = rules(&[("a", Operator::Redact)], &[]);
    for body in [
        r#"{"a":"secret""#,
        r#"{"a":"secret"#,
        r#"{"a":"secret\x"}"#,
        "{\"a\":\"sec\u{1}ret\"}",
        r#"{'a':'secret'}"#,
        "\u{feff}{\"a\":\"secret\"}",
    ] {
        for piece in [usize::MAX, 1, 4] {
            let (out, wrong) = mask(&rules, Shape::Json, body.as_bytes(), piece);
            assert!(matches!(wrong, Some(Unmaskable::Json(_))), "{body}");
            assert!(!String::from_utf8_lossy(&out).contains("secret"), "{body}");
        }
    }
    let (_, wrong) = mask(&rules, Shape::Json, b"{\"a\":\"\xff\"}", 3);
    assert_eq!(wrong, Some(Unmaskable::Json(Wrong::Utf8)));
}

#[test]
fn a_wrong_type_evades_nothing() {
    let by_path = rules(&[("ssn", Operator::Redact)], &[(Detector::Email, Operator::Redact)]);
    check(&by_path, Shape::Text, "\n {\"ssn\":\"1\"}", "\n {\"ssn\":\"***\"}");
    let (out, wrong) = mask(&by_path, Shape::Text, br#"{"ssn":"1",,"#, 1);
    assert!(wrong.is_some() && !out.ends_with(b"1"));
    let scan = redact_all();
    check(&scan, Shape::Text, r#"{"a":"bob\u0040example.com"}"#, r#"{"a":"[EMAIL]"}"#);
    // A log is no JSON, and goes on.
    check(
        &scan,
        Shape::Text,
        "[2026-07-01] bob@example.com\n\"x\" alice@example.com",
        "[2026-07-01] [EMAIL]\n\"x\" [EMAIL]",
    );
    for bytes in [&b"b\0o\0b\0"[..], b"\xff\xfeb", b"bob \xe9"] {
        assert_eq!(mask(&scan, Shape::Text, bytes, 1).1, Some(Unmaskable::Coding));
    }
}

#[test]
fn events_keep_their_lines() {
    let rules = rules(&[("ssn", Operator::Redact)], &[(Detector::Email, Operator::Redact)]);
    let one = |body: &str, expect: &str| check(&rules, Shape::Events, body, expect);
    one(
        "event: message\nid: 1\ndata: {\"ssn\":\"1\",\ndata:  \"b\": 2}\n\n: hi\n\n",
        "event: message\nid: 1\ndata: {\"ssn\":\"***\",\ndata:  \"b\": 2}\n\n: hi\n\n",
    );
    one("data:a bob@example.com\r\n\r\n", "data:a [EMAIL]\r\n\r\n");
    one("data: x\n\ndata: y@example.com\n\n", "data: x\n\ndata: [EMAIL]\n\n");
    one(": bob@example.com\ndata\ndata: x\n\n", ": [EMAIL]\ndata\ndata: x\n\n");
    one("data: {\"a\":1}\n\ndata: rest@example.com", "data: {\"a\":1}\n\ndata: [EMAIL]");
    // Fields that clients pass over do, unless they could say something.
    one("ID: 1\nfoo: a b\ndata: {}\n\n", "ID: 1\nfoo: a b\ndata: {}\n\n");
    for said in ["ssn: 1\n\n", "foo: {\"ssn\":1}\n\n", "foo: ssn: 1\n\n", "foo\n\n"] {
        let (out, wrong) = mask(&rules, Shape::Events, said.as_bytes(), 1);
        assert_eq!((out.as_slice(), wrong), (&b""[..], Some(Unmaskable::Text)), "{said}");
    }
    let (out, wrong) = mask(&rules, Shape::Events, b"data: {\"ssn\":\"1\"\n\n", 1);
    assert!(matches!(wrong, Some(Unmaskable::Json(_))));
    assert_eq!(out, b"");
}

#[test]
fn forms() {
    let rules = rules(&[("ssn", Operator::Partial)], &[(Detector::Email, Operator::Redact)]);
    let one = |body: &str, expect: &str| check(&rules, Shape::Form, body, expect);
    one("a=1&ssn=123456789&b=x+y%26", "a=1&ssn=*****6789&b=x+y%26");
    one("s%73n=123456789", "s%73n=*****6789");
    one("mail=bob%40example.com&c", "mail=%5BEMAIL%5D&c");
    one("", "");
    one("x=%7B%22ssn%22%3A%22123456789%22%7D&y=1", "x=%7B%22ssn%22%3A%22*****6789%22%7D&y=1");
    assert_eq!(mask(&rules, Shape::Form, b"a=%4", 1).1, Some(Unmaskable::Form));
}

/// Servers of MCP repeat their structured content as text.
#[test]
fn json_within_json() {
    let path = |text: &str| (Pattern::parse(text).unwrap(), Operator::Redact);
    let detectors = Rc::new(Detectors::new([(Detector::Email, Operator::Redact)]));
    let rules = Rc::new(Rules::mcp(vec![path("customer.ssn")], detectors));
    let text = |inner: &str| {
        let mut out = Vec::new();
        crate::wire::http::json::text::escape(inner.as_bytes(), &mut out);
        let text = String::from_utf8(out).unwrap();
        format!(
            r#"{{"result":{{"content":[{{"type":"text","text":"{text}"}}],"structuredContent":{inner}}}}}"#
        )
    };
    let one = |inner: &str, expect: &str| check(&rules, Shape::Json, &text(inner), &text(expect));
    one(
        r#"{"customer": {"ssn": "123", "mail": "bob@example.com \"x\""}}"#,
        r#"{"customer": {"ssn": "***", "mail": "[EMAIL] \"x\""}}"#,
    );
    one(r#"{"other":{"ssn":"1"}}"#, r#"{"other":{"ssn":"1"}}"#);
    let plain = r#"{"result":{"content":[{"type":"text","text":"to bob@example.com"}]}}"#;
    check(&rules, Shape::Json, plain, &plain.replace("bob@example.com", "[EMAIL]"));
    let damaged = r#"{"result":{"content":[{"text":"{\"customer\":{\"ssn\":\"12"}]}}"#;
    check(&rules, Shape::Json, damaged, r#"{"result":{"content":[{"text":"***"}]}}"#);
    // Too long to be held: hidden.
    let long = format!("{{\\\"customer\\\":\\\"{}\\\"}}", "x".repeat(2 << 20));
    let long = format!(r#"{{"result":{{"content":[{{"text":"{long}"}}]}}}}"#);
    let (out, wrong) = mask(&rules, Shape::Json, long.as_bytes(), 100_000);
    assert_eq!(wrong, None);
    assert_eq!(out, br#"{"result":{"content":[{"text":"***"}]}}"#);
}

const CARD: &str = "4111 1111 1111 1111";
const EMAIL: &str = "jane.doe+tag@mail.example.com";
const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
const URL: &str = "postgres://app:hunter22@db.internal/orders";
const SECRETS: [(&str, &str); 5] = [
    (CARD, CARD),
    (EMAIL, "jane.doe+tag"),
    (JWT, "dBjftJeZ"),
    (TOKEN, "ABCDEFGHIJ"),
    (URL, "hunter22"),
];

fn pem() -> String {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7SECRETKEYLINE\n";
    format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", line.repeat(26))
}

/// Text with secrets in it, and parts of these that must not be seen.
fn planted() -> impl Strategy<Value = (String, Vec<String>)> {
    let piece = prop_oneof![
        6 => "[a-z \u{e9}\u{1f600}.,\n\\\\\"/]{0,80}".prop_map(|text| (text, None)),
        1 => (1usize..30_000).prop_map(|length| ("longword".repeat(length / 8 + 1), None)),
        3 => prop::sample::select(SECRETS.to_vec())
            .prop_map(|(text, part)| (text.to_owned(), Some(part.to_owned()))),
        1 => Just(()).prop_map(|()| (pem(), Some("SECRETKEYLINE".to_owned()))),
    ];
    prop::collection::vec(piece, 1..12).prop_map(|pieces| {
        // A letter before a secret makes it part of a word.
        let text: Vec<String> = pieces.iter().map(|(text, _)| format!("{text} ; ")).collect();
        (text.concat(), pieces.into_iter().filter_map(|(_, part)| part).collect())
    })
}

fn pieces() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..8, 8usize..2_000, 2_000usize..100_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_secret_leaves_a_text((text, parts) in planted(), piece in pieces()) {
        let (out, wrong) = mask(&redact_all(), Shape::Text, text.as_bytes(), piece);
        prop_assert_eq!(wrong, None);
        let out = String::from_utf8(out).unwrap();
        for part in parts {
            prop_assert!(!out.contains(&part), "{part} in {out}");
        }
        prop_assert_eq!(out.matches("longword").count(), text.matches("longword").count());
    }

    #[test]
    fn no_secret_leaves_a_string(
        (said, parts) in planted(),
        piece in pieces(),
        long in any::<bool>(),
    ) {
        let said = if long { format!("{}{said}", "word ".repeat(20_000)) } else { said };
        let body = serde_json::json!({"a": [said], "b": "bob@example.com", "c": 5}).to_string();
        let (out, wrong) = mask(&redact_all(), Shape::Json, body.as_bytes(), piece);
        prop_assert_eq!(wrong, None);
        let value: Value = serde_json::from_slice(&out).unwrap();
        let text = value["a"][0].as_str().unwrap();
        for part in parts {
            prop_assert!(!text.contains(&part), "{part} in {text}");
        }
        prop_assert_eq!(text.matches("word").count(), said.matches("word").count());
        prop_assert_eq!(&value["b"], "[EMAIL]");
        prop_assert_eq!(&value["c"], 5);
    }

    #[test]
    fn no_masked_path_leaves(
        values in prop::collection::vec("[a-z\"\\\\\u{e9}\n]{0,20}", 1..6),
        piece in pieces(),
        operator in prop::sample::select(vec![
            Operator::Mask, Operator::Redact, Operator::Default, Operator::Nullify,
        ]),
    ) {
        let marked: Vec<String> = values.iter().map(|value| format!("SECRET{value}")).collect();
        let body = serde_json::json!({
            "open": values, "hidden": {"list": marked, "n": 17_171_717, "b": true},
        });
        let rules = rules(&[("hidden", operator)], &[]);
        for text in [body.to_string(), serde_json::to_string_pretty(&body).unwrap()] {
            let (out, wrong) = mask(&rules, Shape::Json, text.as_bytes(), piece);
            prop_assert_eq!(wrong, None);
            let value: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["open"], &body["open"]);
            let text = String::from_utf8(out).unwrap();
            for secret in ["SECRET", "17171717", "true"] {
                prop_assert!(!text.contains(secret), "{text}");
            }
            prop_assert_eq!(value["hidden"]["list"].as_array().unwrap().len(), values.len());
        }
    }

    /// What no mask applies to is the same, byte for byte.
    #[test]
    fn clean_bodies_stay(text in "[a-z \n\\\\\"\u{e9}/{}\\[\\]:,0-9]{0,200}", piece in 1usize..20) {
        let rules = redact_all();
        let body = format!("{{ \"a\\/\" : {} , \"b\":[1e5,-0.0]}}", serde_json::to_string(&text).unwrap());
        let numbers = text.bytes().filter(u8::is_ascii_digit).count();
        prop_assume!(numbers < 9);
        let (out, wrong) = mask(&rules, Shape::Json, body.as_bytes(), piece);
        prop_assert_eq!((String::from_utf8(out).unwrap(), wrong), (body, None));
        let (out, wrong) = mask(&rules, Shape::Text, text.as_bytes(), piece);
        prop_assert_eq!((String::from_utf8(out).unwrap(), wrong), (text.clone(), None));
        let event = format!("data: {}\n\n", text.replace('\n', "\ndata: "));
        let (out, wrong) = mask(&rules, Shape::Events, event.as_bytes(), piece);
        prop_assert_eq!((String::from_utf8(out).unwrap(), wrong), (event, None));
    }
}

#[test]
fn a_long_string_on_a_masked_path() {
    let rules = rules(&[("a", Operator::Partial)], &[]);
    let long = "SECRET".repeat(MASK_TOKEN_BYTES_MAX);
    let body = format!(r#"{{"b":"{long}","a":"{long}","c":1}}"#);
    let (out, wrong) = mask(&rules, Shape::Json, body.as_bytes(), 40_000);
    assert_eq!(wrong, None);
    assert_eq!(out, format!(r#"{{"b":"{long}","a":"***","c":1}}"#).as_bytes());
}

/// A key without an end takes what follows with it.
#[test]
fn a_find_without_an_end() {
    let long = format!("-----BEGIN PRIVATE KEY-----\n{}", "SECRETKEYLINE".repeat(20_000));
    let (out, wrong) = mask(&redact_all(), Shape::Text, long.as_bytes(), 1_000);
    assert_eq!((out.as_slice(), wrong), (&b"[PRIVATE_KEY]"[..], None));
    let body = serde_json::json!({"a": long, "b": 2}).to_string();
    let (out, wrong) = mask(&redact_all(), Shape::Json, body.as_bytes(), 1_000);
    assert_eq!((out.as_slice(), wrong), (&br#"{"a":"[PRIVATE_KEY]","b":2}"#[..], None));
}

/// A peer that sends byte by byte does not make weir read all that is held for each of them.
#[test]
fn many_small_pieces() {
    let said = format!("bob@example.com {}", "word".repeat(30_000));
    let (out, _) = mask(&redact_all(), Shape::Text, said.as_bytes(), 1);
    assert!(out.starts_with(b"[EMAIL] wordword") && out.len() == said.len() - 8);
    let body = serde_json::json!([said]).to_string();
    let (out, _) = mask(&redact_all(), Shape::Json, body.as_bytes(), 1);
    assert!(out.starts_with(b"[\"[EMAIL] wordword") && out.len() == body.len() - 8);
}

/// Text leaves line by line, so that a log can be followed.
#[test]
fn lines_are_not_held_back() {
    let mut masker = Masker::new(redact_all(), Shape::Text).unwrap();
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    masker.push(b"started by bob@example.com\nnext li", &mut out, &mut hits).unwrap();
    assert_eq!(out, b"started by [EMAIL]\n");
    assert_eq!(hits.total(), 1);
}

/// Behind a line that fills what is looked at at once, the next one ends the wait.
#[test]
fn lines_behind_a_long_one_are_not_held_back() {
    let mut masker = Masker::new(redact_all(), Shape::Text).unwrap();
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    let long = "y".repeat(65_530);
    let pieces = ["short\n", &long, "\n", "tick 1\n", "tick 2\n"];
    for piece in pieces {
        masker.push(piece.as_bytes(), &mut out, &mut hits).unwrap();
    }
    assert_eq!(String::from_utf8(out).unwrap(), pieces.concat());
}

#[test]
fn tokens_that_are_no_strings_have_a_bound() {
    let rules = redact_all();
    let number = format!("[{}]", "1".repeat(2 * MASK_TOKEN_BYTES_MAX));
    assert_eq!(mask(&rules, Shape::Json, number.as_bytes(), 9_999).1, Some(Unmaskable::TooLong));
    let key = format!("{{\"{}", "k".repeat(MASK_TOKEN_BYTES_MAX + 2));
    assert!(mask(&rules, Shape::Json, key.as_bytes(), 9_999).1.is_some());
    let pair = format!("a={}", "x".repeat(MASK_TOKEN_BYTES_MAX));
    assert_eq!(mask(&rules, Shape::Form, pair.as_bytes(), 9_999).1, Some(Unmaskable::TooLong));
}

/// Masks a message of MCP with `customer.ssn` and `**.password` hidden.
fn message(content: &str) -> String {
    let path = |text: &str| (Pattern::parse(text).unwrap(), Operator::Redact);
    let detectors = Rc::new(Detectors::new([(Detector::Email, Operator::Redact)]));
    let paths = vec![path("customer.ssn"), path("**.password"), path("ssn")];
    let rules = Rc::new(Rules::mcp(paths, detectors));
    let (out, wrong) = mask(&rules, Shape::Json, content.as_bytes(), 7);
    assert_eq!(wrong, None, "{content}");
    let (whole, _) = mask(&rules, Shape::Json, content.as_bytes(), usize::MAX);
    assert_eq!(out, whole);
    let event = format!("data: {content}\n\n");
    let (events, wrong) = mask(&rules, Shape::Events, event.as_bytes(), 7);
    assert_eq!(wrong, None);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(String::from_utf8(events).unwrap(), format!("data: {out}\n\n"));
    out
}

fn tool(text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{{"ssn":"078-05-1120","password":"hunter2","n":4711}}}}}}"#
    )
}

#[test]
fn words_do_not_repeat_what_structured_content_hides() {
    for text in [
        r#"Result: {"ssn": "078-05-1120", "password": "hunter2"}"#,
        "```json\n{\"password\": \"hunter2\"}\n```",
        "ssn: 078-05-1120\npassword: hunter2",
        "ssn is 078-05-1120, password 'hunter2'",
        r#"{"ssn":"078-05-1120","password":"hunter2"}"#,
        r#"{"result": "{\"password\": \"hunter2\"}"}"#,
        "{'password': 'hunter2', 'x': None}",
        r#"{"password": "hunter2", "cut"#,
    ] {
        let out = message(&tool(text));
        assert!(!out.contains("hunter2") && !out.contains("078-05"), "{text}: {out}");
        assert!(out.contains("4711"), "{out}");
    }
}

#[test]
fn words_that_hold_nothing_hidden_stay() {
    for text in [
        "[INFO] 3 files found, all fine",
        "[docs](https://x/y) say so",
        "{not json}",
        r#"{"other": [1, 2, {"x": "y"}]} and [more]"#,
        "a set {1, 2} of [things",
        "time: 12:30, \"note\": none",
    ] {
        let out = message(&tool(text));
        assert!(out.contains(&serde_json::to_string(text).unwrap()), "{text}: {out}");
    }
    let out = message(&tool("[mail] bob@example.com and {\"a\": \"eve@example.com\"}"));
    assert!(out.contains(r#"[mail] [EMAIL] and {\"a\": \"[EMAIL]\"}"#), "{out}");
}

#[test]
fn data_is_masked_wherever_a_message_has_it() {
    for message_text in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x","data":{"password":"hunter2"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"{\"password\":\"hunter2\"}"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"password":"hunter2"},"content":[]}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":{"a":{"password":"hunter2"}}}}"#,
        r#"{"jsonrpc":"2.0","method":"x","params":{"password":"hunter2"}}"#,
        r#"{"password":"hunter2","structuredContent":{"password":"hunter2"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"result":"{\"password\": \"hunter2\"}"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":"x","text":"{\"password\": \"hunter2\"}"}]}}"#,
    ] {
        let out = message(message_text);
        assert!(!out.contains("hunter2"), "{out}");
    }
}

#[test]
fn what_base64_of_a_message_stands_for_is_masked() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let masked = |place: &str, value: &str| {
        let coded = STANDARD.encode(value);
        let said = place.replace("CODED", &coded);
        let out = message(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{said}}}"#));
        let out: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let coded = ["/result/contents/0/blob", "/result/content/0/resource/blob"];
        let coded = coded.iter().chain(&["/result/content/0/data"]);
        let coded = coded.filter_map(|at| out.pointer(at)?.as_str()).next().expect("a blob");
        String::from_utf8(STANDARD.decode(coded).expect("base64")).expect("UTF-8")
    };
    for place in [
        r#"{"contents":[{"uri":"x","blob":"CODED"}]}"#,
        r#"{"content":[{"type":"resource","resource":{"uri":"x","blob":"CODED"}}]}"#,
        r#"{"content":[{"type":"image","mimeType":"image/png","data":"CODED"}]}"#,
    ] {
        for value in ["to bob@example.com", r#"{"password":"hunter2","b":"bob@example.com"}"#] {
            let out = masked(place, value);
            assert!(!out.contains("bob@example.com") && !out.contains("hunter2"), "{out}");
        }
        assert_eq!(masked(place, "nothing of the kind"), "nothing of the kind");
    }
}

#[test]
fn what_a_blob_is_packed_in_hides_nothing() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let json = r#"{"password":"hunter2","b":"bob@example.com","c":"???>>>"}"#;
    let wide: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for blob in [
        URL_SAFE_NO_PAD.encode(json),
        format!("data:application/json;base64,{}", STANDARD.encode(json)),
        STANDARD.encode(&wide),
        STANDARD.encode([&[0xff, 0xfe], wide.as_slice()].concat()),
        STANDARD.encode(STANDARD.encode(json)),
        format!("{}=%", STANDARD.encode(json)),
    ] {
        let said =
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"contents":[{{"blob":"{blob}"}}]}}}}"#);
        let out = message(&said);
        let out: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let left = out["result"]["contents"][0]["blob"].as_str().expect("a text");
        let left = left.strip_prefix("data:application/json;base64,").unwrap_or(left);
        let left = STANDARD.decode(left).map(|it| String::from_utf8_lossy(&it).into_owned());
        let left = left.expect("base64");
        assert!(!left.contains("hunter2") && !left.contains("bob@"), "{blob}: {left}");
        assert!(!left.contains("h\0u\0n"), "{blob}: {left}");
    }
}

#[test]
fn what_a_client_gives_back_stays() {
    let state = r#"{"jsonrpc":"2.0","id":"bob@example.com","result":{"requestState":"bob@example.com","nextCursor":"bob@example.com"}}"#;
    assert_eq!(message(state), state);
    // Data of the same name is data.
    for data in ["structuredContent\":{\"taskId", "x\":[{\"requestState", "id\":{\"id"] {
        let end = if data.contains('[') { "}]" } else { "}" };
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{data}":"bob@example.com"{end}}}}}"#);
        assert!(!message(&text).contains("bob@example.com"), "{text}");
    }
}

#[test]
fn texts_that_are_json_are_masked_by_path() {
    let rules = rules(&[("**.password", Operator::Redact)], &[]);
    let one = |body: &str, expect: &str| check(&rules, Shape::Json, body, expect);
    one(r#"{"a":"{\"password\":\"hunter2\"}"}"#, r#"{"a":"{\"password\":\"***\"}"}"#);
    one(r#"{"a":"x {\"b\":[1]} y"}"#, r#"{"a":"x {\"b\":[1]} y"}"#);
    one(r#"{"a":"{\"password\":\"hun"}"#, r#"{"a":"***"}"#);
    // A bracket that begins nothing, many times: read in bounded time, and shown.
    let many = format!(r#"{{"a":"{}"}}"#, "[{".repeat(20_000));
    one(&many, &many);
}

#[test]
fn no_other_key_or_list_repeats_what_is_hidden() {
    let says = |member: &str| {
        let result = format!(r#""structuredContent":{{"ssn":"078-05-1120"}},{member}"#);
        message(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{{result}}}}}"#))
    };
    for member in [
        r#""summary":"ssn 078-05-1120""#,
        r#""lines":["a","078-05-1120"]"#,
        r#""content":[{"type":"resource_link","uri":"x:078-05-1120","name":"078-05-1120"}]"#,
    ] {
        let out = says(member);
        assert!(!out.contains("078-05"), "{out}");
    }
    // A word of the protocol that happens to be hidden elsewhere stays.
    let path = (Pattern::parse("kind").unwrap(), Operator::Redact);
    let rules = Rc::new(Rules::mcp(vec![path], Rc::new(Detectors::default())));
    let text = r#"{"jsonrpc":"2.0","result":{"structuredContent":{"kind":"text"},"content":[{"type":"text","text":"a text"}]}}"#;
    let (out, _) = mask(&rules, Shape::Json, text.as_bytes(), usize::MAX);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(r#""type":"text","text":"a ***""#), "{out}");
}

/// Members that the protocol does not know are a server's own data, wherever they stand.
#[test]
fn members_beside_those_of_the_protocol() {
    let path = |text: &str| (Pattern::parse(text).unwrap(), Operator::Redact);
    let paths = vec![path("ssn"), path("**.password"), path("name"), path("**.type")];
    let rules = Rc::new(Rules::mcp(paths, Rc::new(Detectors::default())));
    let one = |body: &str, expect: &str| check(&rules, Shape::Json, body, expect);
    for (member, expect) in [
        (
            r#""result":{"content":[{"type":"zzz","ssn":"078","p":{"password":"hunt"}}]}"#,
            r#""result":{"content":[{"type":"zzz","ssn":"***","p":{"password":"***"}}]}"#,
        ),
        (
            r#""result":{"contents":[{"uri":"x:","name":"n","ssn":{"a":"078"}}]}"#,
            r#""result":{"contents":[{"uri":"x:","name":"n","ssn":{"a":"***"}}]}"#,
        ),
        (r#""result":{},"extra":{"ssn":"078"}"#, r#""result":{},"extra":{"ssn":"***"}"#),
        (r#""result":{"own":{"ssn":"078"}}"#, r#""result":{"own":{"ssn":"***"}}"#),
        (r#""result":{"ssn":"078"},"ssn":"078""#, r#""result":{"ssn":"***"},"ssn":"***""#),
        (
            r#""result":{"tools":[{"name":"n","inputSchema":{"type":"object"}}]}"#,
            r#""result":{"tools":[{"name":"n","inputSchema":{"type":"object"}}]}"#,
        ),
        (
            r#""result":{"structuredContent":{"a":{"ssn":"078"}}}"#,
            r#""result":{"structuredContent":{"a":{"ssn":"078"}}}"#,
        ),
    ] {
        let message = |member: &str| format!(r#"{{"jsonrpc":"2.0","id":1,{member}}}"#);
        one(&message(member), &message(expect));
    }
}

/// With more values than are looked for, texts are hidden and structured content goes by its paths.
#[test]
fn too_many_values_hide_the_words() {
    let rows: Vec<String> =
        (0..1100).map(|at| format!(r#"{{"ssn":"078-05-{at:04}","n":"row {at}"}}"#)).collect();
    let rows = rows.join(",");
    let text = format!(
        r#"{{"jsonrpc":"2.0","result":{{"structuredContent":{{"rows":[{rows}]}},"content":[{{"type":"text","text":"078-05-0007"}}]}}}}"#
    );
    let path = (Pattern::parse("rows.*.ssn").unwrap(), Operator::Redact);
    let rules = Rc::new(Rules::mcp(vec![path], Rc::new(Detectors::default())));
    let (out, wrong) = mask(&rules, Shape::Json, text.as_bytes(), 5000);
    assert_eq!(wrong, None);
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains("078-05") && out.contains("row 1099"), "{}", out.len());
}
