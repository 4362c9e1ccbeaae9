//! What is masked is hidden where a message repeats it, however deep, and in bounded time.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::mask::detect::Detector;

fn rules(paths: &[&str], detectors: Detectors) -> Rc<Rules> {
    let path = |text: &&str| (Pattern::parse(text).unwrap(), Operator::Redact);
    Rc::new(Rules::mcp(paths.iter().map(path).collect(), Rc::new(detectors)))
}

fn masked(rules: &Rc<Rules>, shape: Shape, body: &str) -> String {
    let mut masker = Masker::new(Rc::clone(rules), shape).unwrap();
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    masker.push(body.as_bytes(), &mut out, &mut hits).unwrap();
    masker.finish(&mut out, &mut hits).unwrap();
    String::from_utf8(out).unwrap()
}

/// A result of MCP with these members, `**.password` and `ssn` hidden; as an event, too.
fn result(members: &str) -> String {
    let rules = rules(&["**.password", "ssn"], Detectors::default());
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{{members}}}}}"#);
    let out = masked(&rules, Shape::Json, &message);
    let event = masked(&rules, Shape::Events, &format!("data: {message}\n\n"));
    assert_eq!(event, format!("data: {out}\n\n"));
    out
}

fn quoted(said: &str) -> String {
    serde_json::to_string(said).unwrap()
}

#[test]
fn a_long_value_is_sought_in_a_long_text_in_time_for_both() {
    let (value, text) = ("a".repeat(20_000) + "b", "a".repeat(400_000));
    let begun = Instant::now();
    let out = result(&format!(
        r#""content":[{{"type":"text","text":"{text}"}}],"structuredContent":{{"password":"{value}"}}"#
    ));
    // To compare each place of one with all of the other takes minutes, without optimization.
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert!(out.contains(r#""password":"***""#) && out.contains(&text));
    // Several, which begin alike.
    let many: Vec<String> = (0..8).map(|at| format!("\"{}{at}\"", "a".repeat(3000))).collect();
    let out = result(&format!(
        r#""content":[{{"type":"text","text":"{text}"}}],"structuredContent":{{"password":[{}]}}"#,
        many.join(",")
    ));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(out.contains(&text));
}

#[test]
fn what_is_masked_in_a_text_is_hidden_beside_it() {
    let inner = r#"{"password":"hunter2pw","note":"pw hunter2pw"}"#;
    for members in [
        format!(r#""content":[{{"type":"text","text":{}}}]"#, quoted(inner)),
        format!(
            r#""content":[{{"type":"text","text":{}}},{{"type":"text","text":"pw hunter2pw"}}]"#,
            quoted(inner)
        ),
        format!(
            r#""content":[{{"type":"text","text":{}}}]"#,
            quoted(&format!("{inner} hunter2pw"))
        ),
        format!(r#""content":[{{"type":"text","text":{}}}]"#, quoted(&quoted(inner))),
        format!(
            r#""content":[{{"type":"resource","resource":{{"uri":"a:b","blob":"{}"}}}},{{"type":"text","text":"pw hunter2pw"}}]"#,
            STANDARD.encode(inner)
        ),
    ] {
        let out = result(&members);
        assert!(!out.contains("hunter2pw"), "{members}: {out}");
    }
}

#[test]
fn a_value_is_hidden_however_a_text_writes_it() {
    let says = |value: &str, member: &str| {
        result(&format!(r#""structuredContent":{{"password":{}}},{member}"#, quoted(value)))
    };
    let text = |said: &str| format!(r#""content":[{{"type":"text","text":{}}}]"#, quoted(said));
    let out = says("first line\nsecond", &text(r#"repr: "first line\nsecond""#));
    assert!(!out.contains("second"), "{out}");
    let out = says("J\u{fc}rgen\u{1f600}", &text(r"repr: J\u00fcrgen\ud83d\ude00."));
    assert!(!out.contains("rgen"), "{out}");
    let out = says("first \"line\"", &text(r#"is first "line" and first \"line\""#));
    assert!(!out.contains("line"), "{out}");
    let out = says("hunter2pw", &text(r#"repr: "hunt\u0065r2pw""#));
    assert!(out.contains(r#""text":"***""#), "{out}");
    let blob =
        |said: &str| format!(r#""contents":[{{"uri":"a:b","blob":"{}"}}]"#, STANDARD.encode(said));
    assert!(says("hunter2pw", &blob("pw hunter2pw")).contains(&STANDARD.encode("pw ***")));
    assert!(says("hunter2pw", &blob("no such words")).contains(&STANDARD.encode("no such words")));
}

#[test]
fn urls_that_are_data_are_masked_as_what_they_stand_for() {
    let coded = STANDARD.encode(r#"{"password":"hunter2pw"}"#);
    for start in ["data:application/json;base64,", "DATA:;BASE64,", " data:text/x;a=b;base64,"] {
        let members =
            format!(r#""content":[{{"type":"resource_link","name":"n","uri":"{start}{coded}"}}]"#);
        let out = result(&members);
        assert!(!out.contains(&coded), "{out}");
        assert!(out.contains(&STANDARD.encode(r#"{"password":"***"}"#)), "{out}");
    }
    let escaped = "data:application/json,%7B%22password%22%3A%22hunter2pw%22%7D";
    let out = result(&format!(r#""content":[{{"type":"resource_link","uri":"{escaped}"}}]"#));
    assert!(out.contains(r#""uri":"***""#), "{out}");
    for uri in [
        "data:text/plain,hello",
        "data:text/plain,a%20b",
        "data:text/plain;base64,aGVsbG8=",
        "database;base64,x",
    ] {
        let members = format!(r#""content":[{{"type":"resource_link","uri":"{uri}"}}]"#);
        assert!(result(&members).contains(uri), "{uri}");
    }
}

#[test]
fn what_stands_too_deep_is_hidden() {
    let path = (Pattern::parse("**.password").unwrap(), Operator::Redact);
    let plain = Rc::new(Rules::new(vec![path], Rc::default()));
    for depth in 0..9 {
        let mut said = r#"{"password":"hunter2pw","a":1}"#.to_owned();
        let mut quotes = said.clone();
        for _ in 0..depth {
            said = format!(r#"{{"a":{}}}"#, quoted(&said));
            quotes = quoted(&quotes);
        }
        // Longer keys are refused.
        let key = if depth < 5 { quoted(&said) } else { "\"k\"".to_owned() };
        let within = format!(r#"{{"b":{quotes}}}"#);
        for body in [&said, &quotes, &within, &format!("{{{key}:1}}")] {
            let out = masked(&plain, Shape::Json, body);
            assert!(!out.contains("hunter2pw"), "{depth}: {body}: {out}");
            let text = format!(r#""content":[{{"type":"text","text":{}}}]"#, quoted(body));
            let out = result(&text);
            assert!(!out.contains("hunter2pw"), "{depth}: {body}: {out}");
        }
    }
    // Where nothing is named, it stays.
    let mut said = r#"{"b":[{"a":"x"}]}"#.to_owned();
    for _ in 0..6 {
        said = format!(r#"{{"a":{}}}"#, quoted(&said));
    }
    assert_eq!(masked(&plain, Shape::Json, &said), said);
    // A bracket may be an escape.
    let body = r#"{"a":"\u007b\"password\":\"hunter2pw\"\u007d"}"#;
    assert!(!masked(&plain, Shape::Json, body).contains("hunter2pw"));
}

#[test]
fn detectors_alone_read_escapes_in_all_that_is_text() {
    let rules =
        Rules::new(Vec::new(), Rc::new(Detectors::new([(Detector::Email, Operator::Redact)])));
    let rules = Rc::new(rules);
    let mail = r"joe.public\u0040example.com";
    let twice = mail.replace('\\', r"\\");
    for (shape, body) in [
        (Shape::Json, format!(r#"{{"a":"{mail}"}}"#)),
        (Shape::Json, format!(r#"{{"a":"{{\"b\":\"{twice}\"}}"}}"#)),
        (Shape::Json, format!(r#"{{"{twice}":1}}"#)),
        (Shape::Text, format!("to {mail} x")),
        (Shape::Prose, format!("x=\"{mail}\"")),
        (Shape::Events, format!("data: {mail}\n\n")),
        (Shape::Form, "a=joe.public%5Cu0040example.com".to_owned()),
        (Shape::Text, format!("{} {mail} {}", "y ".repeat(200), "z ".repeat(200))),
        (Shape::Json, format!(r#"["{} {twice} {}"]"#, "y ".repeat(70_000), "z ".repeat(70_000))),
    ] {
        for piece in [usize::MAX, 1000, 7] {
            let mut masker = Masker::new(Rc::clone(&rules), shape).unwrap();
            let (mut out, mut hits) = (Vec::new(), Hits::default());
            for part in body.as_bytes().chunks(piece.min(body.len())) {
                masker.push(part, &mut out, &mut hits).unwrap();
            }
            masker.finish(&mut out, &mut hits).unwrap();
            let out = String::from_utf8(out).unwrap();
            let is_shown = out.contains("example.com") || out.contains("joe.public");
            assert!(!is_shown && out.contains("EMAIL"), "{shape:?} {piece}: {}", out.len());
        }
    }
}

#[test]
fn lines_of_events_beside_their_data_are_masked() {
    let path = (Pattern::parse("**.password").unwrap(), Operator::Redact);
    let plain = Rc::new(Rules::new(vec![path], Rc::default()));
    for rules in [plain, rules(&["**.password"], Detectors::default())] {
        for (line, expect) in [
            (r#"id: {"password": "hunter2"}"#, r#"id: {"password": "***"}"#),
            (r#"id: [{"a":1,"password":2}]"#, r#"id: [{"a":1,"password":null}]"#),
            ("id: password=hunter2", "id: password=***"),
            ("event: password=hunter2", "event: password=***"),
            (r#": {"password": "hunter2"}"#, r#": {"password": "***"}"#),
            ("retry: 3000", "retry: 3000"),
            ("event: a.b=c", "event: a.b=c"),
            ("id: 7f3a:12==", "id: 7f3a:12=="),
        ] {
            let out = masked(&rules, Shape::Events, &format!("{line}\ndata: {{}}\n\n"));
            assert_eq!(out, format!("{expect}\ndata: {{}}\n\n"));
        }
    }
}
