//! A watch of a cluster that is open when the configuration changes, cut at every byte.

use super::*;

const CLUSTER: &str = r#"
[[target]]
name = "bed"
protocol = "kubernetes"
address = "http://127.0.0.1:8080"
[[target.credential]]
role = "svc"
token = { env = "TOKEN" }
"#;
const MASK: &str =
    "[[mask]]\nresources = [\"pods\"]\npaths = [\"spec.nodeName\"]\noperator = \"redact\"\n";
const OTHER_MASK: &str = "[[mask]]\nresources = [\"secrets\"]\noperator = \"redact\"\n";
const DENY: &str =
    "[[rule]]\nname = \"freeze\"\nwhen = { verbs = [\"watch\"] }\nthen = { deny = \"tonight\" }\n";
const EVENT: &str = "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\
                     \"metadata\":{\"name\":\"a\"},\"spec\":{\"nodeName\":\"value\"}}}\n";

/// One that has heard an event, and so many bytes of the next.
fn watching(masks: &str, bytes: usize) -> Bench {
    let mut bench = Bench::new();
    bench.snapshot = snapshot(&format!("{CLUSTER}{masks}"));
    let line = "GET /k8s/bed/api/v1/namespaces/d/pods?watch=1 HTTP/1.1";
    let asked = format!("{line}|Host: gw|Authorization: Basic Ym90OnNlY3JldA==||");
    bench.send(asked.replace('|', "\r\n").as_bytes(), 1000);
    let head = "HTTP/1.1 200 OK|Content-Type: application/json|Transfer-Encoding: chunked||";
    let chunk = format!("{:x}\r\n{EVENT}\r\n", EVENT.len());
    bench.answer(head.replace('|', "\r\n").as_bytes(), 1000);
    bench.answer(chunk.as_bytes(), 1000);
    if bytes > 0 {
        bench.answer(format!("{:x}\r\n", EVENT.len()).as_bytes(), 1000);
        bench.answer(&EVENT.as_bytes()[..bytes], 1000);
    }
    bench
}

/// What its client has: lines, and whether the answer came to its end.
fn heard(bench: &mut Bench) -> (Vec<String>, bool) {
    let text = bench.client_text();
    let (head, mut rest) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let mut content = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the head of a chunk");
        if size == 0 {
            return (content.lines().map(str::to_owned).collect(), true);
        }
        content.push_str(&behind[..size]);
        rest = behind[size..].strip_prefix("\r\n").expect("the end of a chunk");
    }
    (content.lines().map(str::to_owned).collect(), false)
}

#[test]
fn a_watch_ends_between_two_events_and_is_cut_within_one() {
    for (before, after, code) in [("", MASK, 410), (MASK, "", 410), ("", DENY, 403)] {
        for bytes in 0..=EVENT.len() {
            let mut bench = watching(before, bytes);
            bench.snapshot = snapshot(&format!("{CLUSTER}{after}"));
            bench.tell(Event::Snapshot);
            let (lines, is_over) = heard(&mut bench);
            assert_eq!(is_over, !bench.closed, "{bytes}: the end of an answer, or of everything");
            assert!(bench.leg.is_none() && bench.legs[1] == 0, "the target still sends");
            assert_eq!(bench.record().1, [Outcome::Aborted]);
            let is_between = bytes % EVENT.len() == 0;
            assert!(is_over || !is_between, "{bytes}: cut where it could end well");
            let mut events = lines.iter().map(|line| {
                serde_json::from_str::<serde_json::Value>(line).map_err(|_| line.clone())
            });
            if is_over {
                let last = events.next_back().and_then(Result::ok).expect("an event");
                assert_eq!(
                    (&last["type"], &last["object"]["code"]),
                    (&"ERROR".into(), &code.into())
                );
                assert!(events.all(|event| event.is_ok()), "{bytes}: {lines:?}");
            } else {
                assert!(lines.iter().all(|line| !line.contains("ERROR")), "{bytes}: {lines:?}");
            }
        }
    }
}

#[test]
fn a_watch_goes_on_where_nothing_changed_for_it() {
    for (before, after) in [("", OTHER_MASK), (MASK, MASK)] {
        let mut bench = watching(before, 20);
        bench.snapshot = snapshot(&format!("{CLUSTER}{after}"));
        bench.tell(Event::Snapshot);
        bench.answer(&EVENT.as_bytes()[20..], 7);
        bench.answer(b"\r\n0\r\n\r\n", 1000);
        let (lines, is_over) = heard(&mut bench);
        assert!(is_over && lines.len() == 2 && lines[0] == lines[1], "{lines:?}");
        assert_eq!(lines[0].contains("value"), before.is_empty(), "{lines:?}");
        assert_eq!(bench.record().1, [Outcome::Success]);
    }
}
