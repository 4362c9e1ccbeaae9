//! The walk against `serde_json`, in any split.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Tokens and their texts, in pieces: what is left of a piece is kept, as a stream does.
fn tokens(walk: &mut Walk, bytes: &[u8], piece: usize) -> Result<Vec<String>, Wrong> {
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    let mut rest = bytes.chunks(piece.max(1)).peekable();
    loop {
        if let Some(next) = rest.next() {
            buffer.extend_from_slice(next);
        }
        let ends = rest.peek().is_none();
        let mut at = 0;
        let step = loop {
            match walk.next(&buffer, &mut at, ends)? {
                Step::Token(token, span) => {
                    let text = &buffer[span.start as usize..(span.start + span.len) as usize];
                    found.push(format!("{token:?} {}", String::from_utf8_lossy(text)));
                }
                step => break step,
            }
        };
        match step {
            Step::End if ends => return Ok(found),
            Step::Need(from) => drop(buffer.drain(..from)),
            _ => buffer.clear(),
        }
        assert!(!ends, "more is needed behind the end");
    }
}

fn check(text: &str, expect: Result<(), Wrong>) {
    check_bytes(text.as_bytes(), expect);
}

fn check_bytes(bytes: &[u8], expect: Result<(), Wrong>) {
    for piece in [usize::MAX, 1, 2, 3, 5] {
        let result = tokens(&mut Walk::strict(), bytes, piece);
        assert_eq!(result.map(drop), expect, "{} by {piece}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_json() {
    for text in [
        "null",
        " true ",
        "-0.5e+10",
        "0",
        "\"\"",
        "[]",
        "{}",
        "[[],{}]",
        "{\"a\":[1,2,{\"b\":null}],\"c\":\"\\ud83d\\ude00\\u00e9\\\"\\\\\\/\\b\\f\\n\\r\\t\"}\n",
        "\"\u{e9}\u{1f600}\u{7f}\"",
        "[1E5,1e-5,123456789012345678901234567890]",
    ] {
        check(text, Ok(()));
    }
}

#[test]
fn what_is_not() {
    for (text, wrong) in [
        ("", Wrong::Truncated),
        ("  ", Wrong::Truncated),
        ("[", Wrong::Truncated),
        ("{\"a\"", Wrong::Truncated),
        ("{\"a\":", Wrong::Truncated),
        ("\"a", Wrong::Truncated),
        ("\"a\\", Wrong::Truncated),
        ("\"\\u12", Wrong::Truncated),
        ("\"\\ud83d", Wrong::Truncated),
        ("tru", Wrong::Truncated),
        ("-", Wrong::Truncated),
        ("1.", Wrong::Truncated),
        ("1e", Wrong::Truncated),
        ("]", Wrong::Byte),
        ("[}", Wrong::Byte),
        ("{]", Wrong::Byte),
        ("[1,]", Wrong::Byte),
        ("{\"a\":1,}", Wrong::Byte),
        ("[,1]", Wrong::Byte),
        ("[1 2]", Wrong::Byte),
        ("{\"a\" 1}", Wrong::Byte),
        ("{a:1}", Wrong::Byte),
        ("{1:1}", Wrong::Byte),
        ("'a'", Wrong::Byte),
        ("1 1", Wrong::Byte),
        ("{} {}", Wrong::Byte),
        ("NaN", Wrong::Byte),
        ("Infinity", Wrong::Byte),
        ("truE", Wrong::Byte),
        ("+1", Wrong::Byte),
        (".5", Wrong::Byte),
        ("// a\n1", Wrong::Byte),
        ("\u{a0}1", Wrong::Byte),
        ("01", Wrong::Number),
        ("-01", Wrong::Number),
        ("[1.]", Wrong::Number),
        ("[1.e5]", Wrong::Number),
        ("[-]", Wrong::Number),
        ("[1e+]", Wrong::Number),
        ("\"\\x\"", Wrong::Escape),
        ("\"\\u12g4\"", Wrong::Escape),
        ("\"\\udc00\"", Wrong::Escape),
        ("\"\\ud83d\"", Wrong::Escape),
        ("\"\\ud83d\\n\"", Wrong::Escape),
        ("\"\\ud83d\\ud83d\"", Wrong::Escape),
        ("\"\n\"", Wrong::Control),
        ("\"\0\"", Wrong::Control),
        ("\u{feff}{}", Wrong::ByteOrderMark),
        ("{\"a\":1,\"a\":1}", Wrong::Duplicate),
        ("{\"a\":1,\"\\u0061\":1}", Wrong::Duplicate),
        ("[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]", Wrong::Duplicate),
    ] {
        check(text, Err(wrong));
    }
    check_bytes(b"\"\xff\"", Err(Wrong::Utf8));
    check_bytes(b"\"\xc0\x80\"", Err(Wrong::Utf8));
    check_bytes(b"\"\xed\xa0\x80\"", Err(Wrong::Utf8));
    check_bytes(b"{\0\"\0a\0", Err(Wrong::Byte));
    check("[\"a\",{\"a\":{\"a\":[{\"a\":1}]}},\"a\"]", Ok(()));
    assert!(tokens(&mut Walk::new(), b"{\"a\":1,\"a\":2}", 9).is_ok());
}

#[test]
fn bounds() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    check(&deep(JSON_DEPTH_MAX), Ok(()));
    check(&deep(JSON_DEPTH_MAX + 1), Err(Wrong::Depth));
    let key = |bytes: usize| format!("{{\"{}\":1}}", "k".repeat(bytes));
    check(&key(JSON_KEY_BYTES_MAX - 2), Ok(()));
    check(&key(JSON_KEY_BYTES_MAX - 1), Err(Wrong::KeyBytes));
}

#[test]
fn keys_that_may_be_taken_for_others() {
    for (key, name) in [
        ("Method", "method"),
        ("METHOD", "method"),
        ("param\u{17f}", "params"),
        ("\u{212a}ey", "key"),
        ("name\0", "name"),
        ("name\0x", "name"),
        (" name", "name"),
        ("na\u{1}me", "name"),
        ("_META", "_meta"),
    ] {
        assert!(text::is_alias(key.as_bytes(), name), "{key:?}");
    }
    for (key, name) in
        [("method", "method"), ("methods", "method"), ("_id", "id"), ("", "id"), ("na-me", "name")]
    {
        assert!(!text::is_alias(key.as_bytes(), name), "{key:?}");
    }
    assert!(text::is_alias(b"\xff", "name"));
}

/// Every value with its path, as the walk sees it.
fn leaves(bytes: &[u8]) -> Result<Vec<(String, Value)>, Wrong> {
    let mut found = Vec::new();
    walk(&mut Walk::strict(), bytes, |walk, token, span| {
        let text = &bytes[span.start as usize..(span.start + span.len) as usize];
        let value = match token {
            Token::Key | Token::ObjectEnd | Token::ArrayEnd => return Ok(()),
            Token::Object | Token::Array => return Ok(()),
            Token::Text => {
                let mut said = Vec::new();
                text::unescape(text::inner(bytes, span), &mut said);
                Value::String(String::from_utf8(said).unwrap())
            }
            _ => serde_json::from_slice(text).map_err(|_| Wrong::Number)?,
        };
        found.push((pointer(walk), value));
        Ok(())
    })?;
    Ok(found)
}

fn pointer(walk: &Walk) -> String {
    let segment = |segment: Segment<'_>| match segment {
        Segment::Key(key) => format!("/{}", String::from_utf8(key.to_vec()).unwrap()),
        Segment::Index(index) => format!("/{index}"),
    };
    walk.path().map(segment).collect()
}

fn flat(value: &Value, path: &str, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| flat(value, &format!("{path}/{key}"), out));
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| flat(value, &format!("{path}/{index}"), out)),
        value => out.push((path.to_owned(), value.clone())),
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        "\\PC{0,12}|[\\x00-\\x20\"\\\\a-c]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-d\u{e9}\"\\n]{0,3}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_stand_where_serde_finds_them(value in document(), pretty in any::<bool>()) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => serde_json::to_string(&value).unwrap(),
        };
        let mut expect = Vec::new();
        flat(&value, "", &mut expect);
        let mut got = leaves(text.as_bytes()).unwrap();
        got.sort_by(|one, other| one.0.cmp(&other.0));
        expect.sort_by(|one, other| one.0.cmp(&other.0));
        prop_assert_eq!(got, expect);
    }

    /// Good documents with a few bytes changed: the walk takes what serde takes, but for numbers
    /// that are too large for serde, names that are there twice and depth.
    #[test]
    fn the_walk_takes_what_serde_takes(
        value in document(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(
            b"{}[]:,\"\\ue0-+.1 \n\x00\xc3\xff".to_vec())), 0..4),
        piece in 1usize..9,
    ) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = tokens(&mut Walk::new(), &bytes, usize::MAX);
        prop_assert_eq!(&whole, &tokens(&mut Walk::new(), &bytes, piece));
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(_) => prop_assert!(whole.is_ok(), "{}: {:?}", bytes.escape_ascii(), whole),
            Err(error) if error.to_string().starts_with("number out of range") => {}
            Err(error) => prop_assert!(whole.is_err(), "{}: {error}", bytes.escape_ascii()),
        }
    }

    #[test]
    fn what_is_escaped_is_unescaped(text in any::<String>()) {
        let mut quoted = vec![b'"'];
        text::escape(text.as_bytes(), &mut quoted);
        quoted.push(b'"');
        prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text.clone());
        let mut said = Vec::new();
        text::unescape(&quoted[1..quoted.len() - 1], &mut said);
        prop_assert_eq!(String::from_utf8(said).unwrap(), text);
    }
}
