//! Names that say another method, however they are written and wherever the content is cut.

use proptest::prelude::*;

use super::*;
use crate::wire::http::h1::HeadReader;
use crate::wire::http::h1::read::Kind;

fn head(fields: &str) -> Head {
    let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let (mut reader, mut head) = (HeadReader::default(), Head::default());
    assert_eq!(reader.next(&mut text.as_bytes(), &mut head, Kind::Request), Ok(true), "{text}");
    head
}

fn typed(kind: &str) -> Result<Option<Scan>, Refused> {
    Scan::of(&head(&format!("Content-Type: {kind}\r\n")))
}

/// The same whole, and cut in two at every byte.
fn looked(kind: &str, content: &str) -> Result<(), Refused> {
    let scan = || typed(kind).expect("a type").expect("a scan");
    let whole = scan().push(content.as_bytes());
    for at in 0..=content.len() {
        let mut scan = scan();
        let (first, second) = content.as_bytes().split_at(at);
        assert_eq!(scan.push(first).and_then(|()| scan.push(second)), whole, "{content:?} at {at}");
    }
    whole
}

const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=XyZ";

#[test]
fn names_of_forms() {
    for form in [
        "_method=DELETE",
        "a=1&_method=DELETE",
        "a=1;_METHOD=put",
        "%5fmethod=x",
        "%5Fm%65thod=x",
        "+_method=x",
        "%20_method=x",
        ".method=x",
        "[method=x",
        "_method%00a=x",
        "_method%20=x",
        "%u005fmethod=x",
        "X-HTTP-Method-Override=PATCH",
        "_method&a=1",
        "[_method]=DELETE",
        "[_method=x",
        "]_method=x",
        "[]_method=x",
        "[[_method]]=x",
        "%5b_method%5d=x",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[_method]=x",
        "[X-HTTP-Method-Override]=x",
    ] {
        assert_eq!(looked(FORM, form), Err(Refused::MethodOverride), "{form}");
        assert!(names_method(form.as_bytes(), b"POST"), "{form}");
    }
    // A form that says the method which it is sent by says nothing new.
    for form in ["_method=post&x=1", "a=1&_method=POST", "%5fmethod=%70ost;b=2", "_method=Post"] {
        assert_eq!(looked(FORM, form), Ok(()), "{form}");
        assert!(!names_method(form.as_bytes(), b"POST"), "{form}");
        assert!(names_method(form.as_bytes(), b"PUT"), "{form}");
    }
    for form in ["_method=pos&x=1", "_method=&x=1", "_method=posts", "_method=post&_method=put"] {
        assert_eq!(looked(FORM, form), Err(Refused::MethodOverride), "{form}");
    }
    assert!(!names_method(b"_method=PUT", b"PUT"));
    for form in [
        "",
        "a=_method",
        "payment_method=card",
        "method=x",
        "a=%zz&b=1",
        "_methods=1",
        "a=b=_method",
    ] {
        assert_eq!(looked(FORM, form), Ok(()), "{form}");
    }
    assert!(Scan::of(&head("")).is_ok_and(|scan| matches!(scan, Some(Scan::Pairs(_)))));
}

#[test]
fn names_of_parts() {
    let part = |head: &str| format!("--XyZ\r\n{head}\r\n\r\nDELETE\r\n--XyZ--\r\n");
    for (head, expect) in [
        (r#"Content-Disposition: form-data; name="_method""#, Err(Refused::MethodOverride)),
        ("content-disposition:form-data;name=_method", Err(Refused::MethodOverride)),
        ("Content-Disposition: form-data; name = '_method'", Err(Refused::MethodOverride)),
        (r#"Content-Disposition: form-data; name="_m\ethod""#, Err(Refused::MethodOverride)),
        (r#"Content-Disposition: form-data; name="%5fmethod""#, Err(Refused::MethodOverride)),
        (r#"Content-Disposition: form-data; name*=utf-8''_method"#, Err(Refused::ContentForm)),
        (r#"Content-Disposition: form-data; name="=?utf-8?b?x?=""#, Err(Refused::ContentForm)),
        ("Content-Disposition: form-data;\r\n name=a", Err(Refused::ContentForm)),
        ("Content-Disposition: a; name=a\nX: b", Err(Refused::ContentForm)),
        (r#"Content-Disposition: form-data; name="payment_method""#, Ok(())),
        (r#"Content-Disposition: form-data; name="a"; filename="_method""#, Ok(())),
        (r#"Content-Disposition: form-data; name="a"; filename*=utf-8''b"#, Ok(())),
        (r#"Content-Disposition: form-data; name="[_method]""#, Err(Refused::MethodOverride)),
        ("Content-ID: _method", Err(Refused::MethodOverride)),
        ("content-id:<_method>", Err(Refused::MethodOverride)),
        ("X-Content-ID: _method", Err(Refused::MethodOverride)),
        (r#"X-Content-Disposition: form-data; name="_method""#, Err(Refused::MethodOverride)),
        (r#"X: Content-Disposition: form-data; name="_method""#, Err(Refused::MethodOverride)),
        ("Content-Disposition: a\r\nX: Content-Disposition: a", Err(Refused::ContentForm)),
        ("Content-Type: text/plain", Ok(())),
        ("Content-ID: <part1@example.com>", Ok(())),
    ] {
        assert_eq!(looked(PARTS, &part(head)), expect, "{head}");
    }
    let file = "--XyZ\r\nContent-Disposition: form-data; name=f\r\n\r\n<input name=\"_method\" \
                value=\"DELETE\">\r\n\r\n--XyZ\r\n\r\n\r\n--XyZ--";
    assert_eq!(looked(PARTS, file), Ok(()));
    for cut_elsewhere in ["--XyZ\n\n", "a\n--XyZ\r\n\r\n", "--XyZa\r\n\r\n", "--XyZ--\r\n--XyZ\r\n"]
    {
        assert_eq!(looked(PARTS, cut_elsewhere), Err(Refused::ContentForm), "{cut_elsewhere:?}");
    }
}

#[test]
fn keys_of_json() {
    for text in [
        r#"{"_method":"DELETE"}"#,
        r#"{"a":{"b":1},"_method" : "x"}"#,
        r#"{"\u005fmethod":1}"#,
        r#"{"a":"\"","_method":1}"#,
    ] {
        assert_eq!(looked("application/json", text), Err(Refused::MethodOverride), "{text}");
    }
    for text in [
        r#"{"a":"_method"}"#,
        r#"{"a":{"_method":1}}"#,
        r#"["_method",1]"#,
        r#"{"payment_method":1}"#,
    ] {
        assert_eq!(looked("application/json; charset=utf-8", text), Ok(()), "{text}");
    }
}

#[test]
fn types_that_are_read_in_several_ways() {
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a, boundary=b",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\"a b\"",
        "multipart/form-data; boundary*=a",
        "multipart/form-data; boundary=a; charset=ibm037",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded,text/plain",
        "application/x-www-form-urlencoded ,x",
        "application/x-www-form-urlencoded x",
        "text/plain, application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/json; charset=\"utf-32le\"",
        "application/json; charset = utf-16",
        "application/problem+json; a=b; charset=utf-7",
        "application/json; a=\"x, charset=utf-16\"",
    ] {
        assert_eq!(typed(kind).err(), Some(Refused::ContentForm), "{kind}");
    }
    let two = head("Content-Type: text/plain\r\nContent-Type: multipart/form-data; boundary=a\r\n");
    assert_eq!(Scan::of(&two).err(), Some(Refused::ContentForm));
    let coded = head(&format!("Content-Type: {FORM}\r\nContent-Encoding: gzip\r\n"));
    assert_eq!(Scan::of(&coded).err(), Some(Refused::ContentForm));
    for coding in ["gzip", "DEFLATE", "identity, br"] {
        let fields = format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\n");
        assert!(matches!(Scan::of(&head(&fields)), Ok(Some(Scan::Packed))), "{coding}");
        let fields = fields.replace("json", "x-protobuf");
        assert!(Scan::of(&head(&fields)).is_ok_and(|scan| scan.is_none()), "{coding}");
    }
    for kind in ["application/json", "application/json;charset=UTF-8", "application/json; a=b"] {
        assert!(typed(kind).is_ok_and(|scan| scan.is_some()), "{kind}");
    }
    assert!(typed("text/plain").is_ok_and(|scan| scan.is_none()));
    assert!(typed("Multipart/Form-Data; boundary=\"----=_Part_1.2\"").is_ok_and(|it| it.is_some()));
}

proptest! {
    #[test]
    fn no_content_makes_it_fail_or_keep_much(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        which in 0usize..3,
    ) {
        let kind = [FORM, PARTS, "application/json"].get(which).copied().unwrap_or(FORM);
        let mut scan = typed(kind).expect("a type").expect("a scan");
        for piece in &pieces {
            if scan.push(piece).is_err() {
                break;
            }
        }
        if let Scan::Parts(parts) = scan {
            prop_assert!(parts.held.len() <= HTTP_PART_HEAD_BYTES_MAX + 200);
        }
    }
}

/// `B` stands for the boundary.
fn several(kind: &str, content: &str) -> Option<(Vec<String>, Vec<String>)> {
    let head = head(&format!("Content-Type: {kind}\r\n"));
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Several { kind, pieces } = Several::of(&head, content.as_bytes())?;
    Some((vec![words(kind.0), words(kind.1)], pieces.into_iter().map(words).collect()))
}

#[test]
fn content_of_several_parts_is_the_same_under_any_boundary() {
    const CONTENT: &str = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n";
    let of = |boundary: &str, content: &str| {
        let kind = format!("multipart/form-data; boundary={boundary}; charset=utf-8");
        several(&kind, &content.replace('B', boundary))
    };
    let one = of("XyZ", CONTENT);
    assert!(one.is_some());
    assert_eq!(one, of("----123", CONTENT));
    assert_ne!(one, of("XyZ", &CONTENT.replace('1', "2")));
    assert_ne!(one, of("XyZ", &CONTENT.replace("--B--", "--B--\r\n--B--")));
    assert_ne!(one, of("XyZ", &format!("{CONTENT} ")));
    // Where it parts nothing it is content, which another boundary would change.
    for content in [
        CONTENT.replace('1', "B"),
        CONTENT.replace('1', "x--B\r\n"),
        CONTENT.replace('1', "\r\n--Bx"),
        format!("B{CONTENT}"),
        CONTENT.replace("name", "B"),
        "no parts".to_owned(),
    ] {
        assert_eq!(of("XyZ", &content), None, "{content:?}");
    }
    assert_eq!(several("multipart/mixed; boundary=mixed", "--mixed--"), None);
    assert_eq!(several("text/plain; boundary=B", CONTENT), None);
    assert_eq!(several("multipart/form-data", CONTENT), None);
}
