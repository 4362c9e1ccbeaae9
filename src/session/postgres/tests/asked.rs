//! What people are told of a command that depends on more than its text.

use super::behaviour::vote;
use super::*;
use crate::decide::approval::{AskSummary, Scope};
use crate::session::VoteReply;

const WATCHED: &str = r#"
[[rule]]
name = "begin"
when = { groups = ["agents"], commands = ["transaction", "unknown"] }
then = "allow"
[[rule]]
name = "watched"
when = { groups = ["agents"], touches = ["*.watched"], commands = ["write", "unknown"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "10m" } }
"#;

fn asked(bench: &mut Bench) -> AskSummary {
    let asks = std::mem::take(&mut bench.outputs);
    match asks.as_slice() {
        [.., Output::AskOpened(ask)] => AskSummary::clone(ask),
        other => panic!("nobody is asked: {other:?}"),
    }
}

fn run(bench: &mut Bench, text: &str) {
    bench.client(&query(text));
    bench.server(&[complete("DONE"), ready_for_query(b'T')].concat());
    bench.take(Side::Server);
    bench.take(Side::Client);
}

const WRITES: &str = "UPDATE watched SET a = 1 WHERE CURRENT OF c";
const READS: &str = "DECLARE c CURSOR FOR SELECT * FROM watched";

#[test]
fn an_ask_shows_the_cursor_whose_row_is_written_and_is_asked_each_time() {
    let mut bench = Bench::ready_under(WATCHED);
    run(&mut bench, "BEGIN");
    run(&mut bench, READS);
    for _ in 0..2 {
        bench.client(&query(WRITES));
        let ask = asked(&mut bench);
        assert!(ask.text.contains(READS), "{}", ask.text);
        assert!(!ask.repeatable);
        let scope = Scope::Statement { times: 5, for_us: 600_000_000 };
        let vote = crate::session::Vote { scope, ..vote("ann", "dba", true) };
        let mut replies = Vec::new();
        bench.with(|m, s| replies.push(m.handle_vote(ask.id, &vote, s)));
        assert_eq!(bench.tags(Side::Server), "Q", "{replies:?}");
        bench.server(&[complete("UPDATE 1"), ready_for_query(b'T')].concat());
        bench.outputs.clear();
    }
    bench.client(&[parse("s", WRITES), bind("", "s"), execute(""), sync()].concat());
    let ask = asked(&mut bench);
    assert!(ask.text.contains(READS) && !ask.repeatable, "{ask:?}");
}

#[test]
fn an_ask_shows_the_cursor_of_what_is_executed() {
    let mut bench = Bench::ready_under(WATCHED);
    run(&mut bench, "BEGIN");
    run(&mut bench, READS);
    bench.client(&query(&format!("PREPARE p AS {WRITES}")));
    let ask = asked(&mut bench);
    let granted = vote("ann", "dba", true);
    let mut replies: Vec<VoteReply> = Vec::new();
    bench.with(|m, s| replies.push(m.handle_vote(ask.id, &granted, s)));
    bench.server(&[complete("PREPARE"), ready_for_query(b'T')].concat());
    bench.outputs.clear();
    bench.client(&query("EXECUTE p"));
    let ask = asked(&mut bench);
    assert!(ask.text.contains(WRITES) && ask.text.contains(READS), "{}", ask.text);
}

#[test]
fn an_ask_says_how_the_target_reads_its_text_otherwise() {
    for (name, value, told) in [
        ("standard_conforming_strings", "off", "standard_conforming_strings is off"),
        ("client_encoding", "SJIS", "client_encoding is \"SJIS\""),
    ] {
        let mut bench = Bench::ready_under(WATCHED_UNREAD);
        let reported = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat();
        bench.server(&message(b'S', &reported));
        bench.outputs.clear();
        let text = r"UPDATE canary SET v = '\' WHERE id = 2 --N' WHERE id = 1";
        bench.client(&query(text));
        let ask = asked(&mut bench);
        assert!(ask.text.starts_with(text) && ask.text.contains(told), "{}", ask.text);
    }
}

const WATCHED_UNREAD: &str = r#"
[[rule]]
name = "a text that is not read"
when = { groups = ["agents"], commands = ["unknown"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "10m" } }
"#;

/// Logs in with these settings; whether it comes to a connection to the target.
fn begins(more: &str, settings: &[(&str, &str)]) -> bool {
    let snapshot = Rc::new(Snapshot::build(&source_of(&format!("{CONFIG}{more}"))));
    let mut bench = Bench::with_snapshot(snapshot);
    let mut packet = Vec::new();
    let params = [("user", "bot"), ("database", "orders")].iter().chain(settings);
    reply::startup(&mut packet, 0, params.map(|(name, it)| (name.as_bytes(), it.as_bytes())));
    bench.client(&packet);
    assert_eq!(bench.tags(Side::Client), "R");
    bench.client_scram("secret");
    matches!(bench.outputs.as_slice(), [Output::Lease(_)])
}

#[test]
fn a_session_begins_with_unread_texts_only_where_its_set_is_allowed() {
    let unknown = "[[rule]]\nname = \"unread\"\nwhen = { groups = [\"agents\"], \
        commands = [\"unknown\"] }\nthen = \"allow\"\n";
    for (name, wrong, right) in
        [("standard_conforming_strings", "off", "on"), ("client_encoding", "WIN932", "latin1")]
    {
        assert!(!begins("", &[(name, wrong)]), "{name}");
        assert!(begins("", &[(name, right)]), "{name}");
        assert!(begins(unknown, &[(name, wrong)]), "{name}");
    }
    assert!(!begins("", &[("options", "-c standard_conforming_strings=off")]));
    // It cannot wait for anybody.
    assert!(!begins(WATCHED_UNREAD, &[("client_encoding", "SJIS")]));
}
