//! What is open at a server of HTTP or MCP when the configuration is read again.

use super::*;

const MASK: &str = "[[mask]]\ndetect = [\"email\"]\noperator = \"redact\"\n";
const OTHERS_MASK: &str =
    "[[mask]]\ntargets = [\"calls\"]\ndetect = [\"email\"]\noperator = \"redact\"\n";
const DENY: &str = "[[rule]]\nname = \"freeze\"\nwhen = { paths = [\"/a\"] }\n\
                    then = { deny = \"tonight\" }\n";
const HOLD: &str = "[[rule]]\nname = \"seen, too\"\nwhen = { paths = [\"/a\"] }\n\
                    then = { hold = { approvers = [\"dba\"], quorum = 1, timeout = \"10m\" } }\n";

const EVENTS: &str = "HTTP/1.1 200 OK|Content-Type: text/event-stream|Transfer-Encoding: chunked||";
const LINES: &str =
    "HTTP/1.1 200 OK|Content-Type: application/x-ndjson|Transfer-Encoding: chunked||";
const EVENT: &[u8] = b"9\r\ndata: x\n\n\r\n";

impl Bench {
    fn reads_again(&mut self, more: &str) {
        self.snapshot = snapshot(more);
        self.tell(Event::Snapshot);
    }

    /// What the row of the last answer says of its end.
    pub(super) fn last_end(&self) -> Option<(Outcome, String)> {
        let ends = self.journal.bodies().filter_map(|body| match body {
            Body::Response(response) => Some((response.outcome, response.error_text.to_owned())),
            _ => None,
        });
        ends.last()
    }
}

#[test]
fn a_stream_is_cut_where_other_rules_or_masks_apply() {
    for (after, word) in [(MASK, "masks"), (DENY, "tonight"), (HOLD, "seen, too")] {
        for head in [EVENTS, LINES] {
            let mut bench = Bench::new();
            bench.send(&request("GET /a", "|"), 1000);
            bench.answer(head.replace('|', "\r\n").as_bytes(), 1000);
            bench.answer(EVENT, 1000);
            assert!(bench.client_text().contains("data: x"));
            bench.reads_again(after);
            assert!(bench.closed && bench.leg.is_none(), "{after}");
            assert!(!bench.client_text().contains("0\r\n\r\n"), "no client takes it for the end");
            let (outcome, words) = bench.last_end().expect("a row");
            assert!(outcome == Outcome::Aborted && words.contains(word), "{words}");
        }
    }
}

#[test]
fn a_stream_goes_on_where_nothing_changed_for_it() {
    for after in ["", OTHERS_MASK] {
        let mut bench = Bench::new();
        bench.send(&request("GET /a", "|"), 1000);
        bench.answer(EVENTS.replace('|', "\r\n").as_bytes(), 1000);
        bench.reads_again(after);
        bench.answer(EVENT, 1000);
        bench.answer(b"0\r\n\r\n", 1000);
        assert!(bench.client_text().contains("data: x") && !bench.closed);
        assert_eq!(bench.record().1, [Outcome::Success]);
    }
}

#[test]
fn a_stream_that_begins_later_is_judged_by_its_head_and_others_end_soon() {
    for (head, status) in [(EVENTS, "410"), ("HTTP/1.1 200 OK|Content-Length: 0||", "200")] {
        let mut bench = Bench::new();
        bench.send(&request("GET /a", "|"), 1000);
        bench.reads_again(MASK);
        bench.answer(head.replace('|', "\r\n").as_bytes(), 1000);
        let text = bench.client_text();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    }
}

#[test]
fn a_websocket_is_told_that_it_is_over() {
    let asks = "Connection: upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==||";
    let answer = "HTTP/1.1 101 Switching Protocols|Connection: upgrade|Upgrade: websocket|\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=||";
    for (after, ends) in [(MASK, true), (DENY, true), (OTHERS_MASK, false)] {
        let mut bench = Bench::new();
        bench.send(&request("GET /a", asks), 1000);
        bench.answer(answer.replace('|', "\r\n").as_bytes(), 1000);
        let text = bench.client_text();
        assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
        bench.reads_again(after);
        assert_eq!(bench.closed, ends, "{after}");
        let told: Vec<u8> = std::mem::take(&mut bench.client);
        let close = [&[0x88, 27, 0x03, 0xf0][..], b"the configuration changed"].concat();
        assert_eq!(told, if ends { close } else { Vec::new() }, "{after}");
    }
}

#[test]
fn a_request_that_waited_while_masks_changed_is_asked_for_again() {
    for (after, runs) in [(MASK, false), (OTHERS_MASK, true)] {
        let mut bench = Bench::new();
        bench.send(&request("DELETE /b", "|"), 1000);
        let id = bench.ask.expect("people are asked");
        bench.reads_again(after);
        let vote = Vote {
            approver: "dora".into(),
            groups: vec!["dba".into()],
            approve: true,
            auth: ADMIN_TOKEN.into(),
            ..Vote::default()
        };
        let mut reply = VoteReply::Unknown;
        bench.tell(Event::Vote(id, &vote, &mut reply));
        assert_eq!(bench.leg.is_some(), runs, "{after}");
        let text = bench.client_text();
        assert_eq!(text.contains("the masks changed while it waited"), !runs, "{text}");
    }
}

#[test]
fn content_that_came_over_a_change_is_judged_by_what_is_in_force() {
    let call = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\
                \"params\":{\"name\":\"look\",\"arguments\":{}}}";
    let allow = "[[rule]]\nname = \"calls\"\nwhen = { commands = [\"call\"] }\nthen = \"allow\"\n";
    let deny = "[[rule]]\nname = \"no looks\"\nwhen = { tools = [\"look\"] }\nthen = \"deny\"\n";
    for (more, word) in [("", None), (deny, Some("no looks")), (MASK, Some("ask again"))] {
        let mut bench = Bench::new();
        bench.snapshot = snapshot(allow);
        let head = "POST /mcp/tools HTTP/1.1|Host: gw|Authorization: Basic Ym90OnNlY3JldA==|\
                    Content-Type: application/json|Accept: application/json, text/event-stream|";
        let head = format!("{head}Content-Length: {}||", call.len()).replace('|', "\r\n");
        bench.send(head.as_bytes(), 1000);
        bench.send(&call[..20], 1000);
        bench.reads_again(&format!("{allow}{more}"));
        bench.send(&call[20..], 1000);
        let text = bench.client_text();
        assert_eq!(bench.leg.is_some(), word.is_none(), "{text}");
        assert!(word.is_none_or(|word| text.contains(word)), "{text}");
    }
}
