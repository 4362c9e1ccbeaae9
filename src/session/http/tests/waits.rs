//! A call of MCP whose client is told of progress while people are asked.

use super::*;

const TELLS: &str = r#","_meta":{"progressToken":"t1"}"#;
const EVENTS: &str = "Accept: application/json, text/event-stream|";

fn call(tool: &str, more: &str, accept: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}"{more}}}}}"#
    );
    posted(&body, accept)
}

fn posted(body: &str, accept: &str) -> Vec<u8> {
    let length = body.len();
    let rest = format!("Content-Type: application/json|{accept}Content-Length: {length}||");
    let mut bytes = request("POST /mcp/tools", &rest);
    // `request` names the host of another target, which would go before the path.
    let text = String::from_utf8(bytes).expect("a head").replace("Host: Billing", "Host: weir");
    bytes = text.into_bytes();
    bytes.extend(body.bytes());
    bytes
}

fn vote(approve: bool) -> Vote {
    Vote {
        approver: "dora".into(),
        groups: vec!["dba".into()],
        approve,
        reason: "no".into(),
        digest: None,
        auth: ADMIN_TOKEN.into(),
        ..Vote::default()
    }
}

/// A call that is held, and its client was told once.
fn held(tool: &str) -> Bench {
    let mut bench = Bench::new();
    bench.send(&call(tool, TELLS, EVENTS), 10_000);
    let told = bench.client_text();
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
    assert!(told.contains("text/event-stream") && told.contains("chunked"), "{told}");
    assert_eq!(told.matches(r#""progressToken":"t1","progress":0"#).count(), 1, "{told}");
    assert!(told.contains("approval of") && bench.leg.is_none(), "{told}");
    bench
}

impl Bench {
    fn votes(&mut self, approve: bool) {
        let id = self.ask.expect("people are asked");
        let mut reply = VoteReply::Unknown;
        self.tell(Event::Vote(id, &vote(approve), &mut reply));
        assert_ne!(reply, VoteReply::Unknown);
    }

    fn after(&mut self, seconds: u64) {
        self.now.mono_us += seconds * 1_000_000;
        self.now.wall_us += i64::try_from(seconds).expect("few") * 1_000_000;
        self.tell(Event::Timeout);
    }

    /// The data of the events that the client reads, and whether the answer is over.
    fn events_read(&mut self) -> (Vec<String>, bool) {
        let text = self.client_text();
        let (mut rest, mut content, mut is_over) = (text.as_str(), String::new(), false);
        while let Some((size, behind)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).expect("the head of a chunk");
            is_over |= size == 0;
            content.push_str(&behind[..size]);
            rest = behind[size..].strip_prefix("\r\n").expect("the end of a chunk");
        }
        assert_eq!(rest, "");
        let events = content.split("data: ").skip(1);
        let data = events.map(|event| event.split('\n').next().unwrap_or_default().to_owned());
        (data.collect(), is_over)
    }
}

#[test]
fn progress_is_told_every_ten_seconds_and_the_answer_is_the_last_event() {
    let _turn = alone();
    let json = "{\"jsonrpc\":\"2.0\",\n \"id\":7,\r\n \"result\":{\"content\":[]}}";
    let flat = json.replace(['\r', '\n'], " ");
    let sized = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{json}\r\n0\r\n\r\n",
        json.len()
    );
    let events = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\ndata: {flat}\n\n\r\n0\r\n\r\n",
        flat.len() + 8
    );
    for (answer, piece) in
        [(&sized, 9999), (&sized, 1), (&chunked, 9999), (&chunked, 3), (&events, 2)]
    {
        let mut bench = held("drop");
        bench.after(9);
        assert_eq!(bench.events_read(), (vec![], false), "not yet");
        bench.after(1);
        let (told, is_over) = bench.events_read();
        assert!(!is_over && told.len() == 1 && told[0].contains("\"progress\":10,"), "{told:?}");
        bench.votes(true);
        assert!(bench.target_text().starts_with("POST /mcp HTTP/1.1\r\n"));
        bench.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n", 1000);
        bench.answer(answer.as_bytes(), piece);
        assert_eq!(bench.events_read(), (vec![flat.clone()], true), "in pieces of {piece}");
        assert_eq!(bench.record(), (vec![Decision::Hold, Decision::Allow], vec![Outcome::Success]));
        // The connection goes on.
        bench.send(&request("GET /a", "|"), 1000);
        bench.answer(OK, 1000);
        assert!(bench.client_text().ends_with("hello"));
    }
}

#[test]
fn whatever_ends_the_call_is_an_event() {
    let _turn = alone();
    let mut bench = held("drop");
    bench.votes(false);
    let (told, is_over) = bench.events_read();
    assert!(is_over && told.len() == 1, "{told:?}");
    let said: serde_json::Value = serde_json::from_str(&told[0]).expect("JSON");
    assert_eq!((&said["id"], &said["result"]["isError"]), (&7.into(), &true.into()));
    assert!(told[0].contains("denied by dora"), "{told:?}");
    assert_eq!(bench.record(), (vec![Decision::Hold, Decision::Deny], vec![Outcome::Denied]));

    for answer in [
        &b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops"[..],
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let mut bench = held("drop");
        bench.votes(true);
        bench.answer(answer, 1000);
        let (told, is_over) = bench.events_read();
        assert!(is_over && told.len() == 1 && told[0].contains("isError"), "{told:?}");
        assert!(!told[0].contains("oops"), "{told:?}");
        let is_true = !told[0].contains("not run") && told[0].contains("may have been");
        assert!(is_true, "it was sent: {told:?}");
        assert_eq!(bench.record().1, [Outcome::Aborted]);
    }

    let mut bench = held("drop");
    bench.tell(Event::Eof(End::Client));
    assert!(!bench.closed && bench.client_text().contains(":\n\n"), "it is asked");
    bench.lose();
    assert!(bench.closed && bench.ask.is_none());
    let abandoned = (vec![Decision::Hold, Decision::Abandoned], vec![Outcome::Abandoned]);
    assert_eq!(bench.record(), abandoned);
}

#[test]
fn what_is_granted_runs_by_the_rules_of_that_moment() {
    let _turn = alone();
    let frozen = "[[rule]]\nname = \"frozen\"\nwhen = { tools = [\"drop*\"] }\nthen = \"deny\"\n";
    for (more, runs) in [("", true), (frozen, false)] {
        let mut bench = held("drop");
        bench.snapshot = snapshot(more);
        bench.tell(Event::Snapshot);
        bench.votes(true);
        assert_eq!(bench.target_text().starts_with("POST /mcp HTTP/1.1\r\n"), runs, "{more}");
        let (told, is_over) = bench.events_read();
        assert_eq!((told.len(), is_over), if runs { (0, false) } else { (1, true) }, "{told:?}");
    }
}

#[test]
fn after_four_minutes_the_client_is_told_to_ask_again() {
    let _turn = alone();
    let mut bench = held("drop_late");
    for _ in 0..23 {
        bench.after(10);
    }
    let (told, is_over) = bench.events_read();
    assert_eq!((told.len(), is_over), (23, false));
    bench.after(10);
    let (told, is_over) = bench.events_read();
    assert!(is_over && told.len() == 1 && told[0].contains("send the same"), "{told:?}");
    assert_eq!(bench.record(), (vec![Decision::Hold], vec![Outcome::Suspended]));
}

#[test]
fn who_did_not_ask_for_progress_waits_in_silence() {
    let _turn = alone();
    for (more, accept) in [("", EVENTS), (TELLS, "Accept: application/json|"), (TELLS, "")] {
        let mut bench = Bench::new();
        bench.send(&call("drop", more, accept), 10_000);
        bench.after(10);
        assert!(bench.ask.is_some() && bench.client.is_empty(), "{more} {accept}");
        bench.votes(false);
        let told = bench.client_text();
        assert!(told.contains("application/json") && told.contains("denied by dora"), "{told}");
    }
}

#[test]
fn what_a_client_takes_back_does_not_run() {
    let _turn = alone();
    let takes_back = |id: &str| {
        let params = format!(r#"{{"requestId":{id},"reason":"no"}}"#);
        let message =
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
        posted(&message, "")
    };
    for votes in [true, false] {
        let mut bench = held("drop");
        let id = bench.ask.expect("people are asked");
        // What nobody waits for is the target's.
        for other in ["8", "\"7\""] {
            let mut second = Bench::new();
            second.send(&takes_back(other), 1000);
            assert!(second.target_text().contains("cancelled"), "{other}");
        }
        let mut second = Bench::new();
        second.ask = Some(id);
        second.send(&takes_back("7"), 1000);
        assert!(second.client_text().starts_with("HTTP/1.1 202 "));
        assert!(second.ask.is_none() && second.leg.is_none(), "its target never saw the call");
        assert_eq!(second.record(), (vec![Decision::Allow], vec![Outcome::Success]));
        match votes {
            true => {
                let mut reply = VoteReply::Denied;
                bench.tell(Event::Vote(id, &vote(true), &mut reply));
                assert_eq!(reply, VoteReply::Unknown);
            }
            false => bench.after(10),
        }
        let (told, is_over) = bench.events_read();
        assert!(is_over && told.len() == 1 && told[0].contains("took the call back"), "{told:?}");
        assert!(bench.ask.is_none() && bench.leg.is_none());
        // Nobody denied it.
        let abandoned = (vec![Decision::Hold, Decision::Abandoned], vec![Outcome::Abandoned]);
        assert_eq!(bench.record(), abandoned);
    }
}
