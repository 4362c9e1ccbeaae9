//! What a session does, message by message.

use super::*;
use crate::decide::approval::{ADMIN_TOKEN, AskSummary};
use crate::fault::{FaultKind, Refused};
use crate::limits;
use crate::record::body::Body;
use crate::session::{Next, Vote, VoteReply};

/// The rows a session left, in words.
pub(super) fn record(bench: &Bench) -> Vec<String> {
    let words = |body: Body<'_>| match body {
        Body::Command(c) => {
            format!("command {} {:?}", String::from_utf8_lossy(c.text), c.decision)
        }
        Body::Response(r) => {
            format!("response {:?} {} rows {}", r.outcome, r.sqlstate, r.rows_returned.unwrap())
        }
        Body::Approval(a) => format!("approval {}", a.event),
        Body::Event(e) => format!("event {}", e.event),
        Body::SessionStart(_) => "start".to_owned(),
        Body::SessionEnd(e) => format!("end {}", e.reason),
        Body::Chunk(c) => format!("chunk {} of {}", c.payload.len(), c.stream),
        Body::MaskingHit(_) => "hit".to_owned(),
        Body::Context(_) => "context".to_owned(),
    };
    bench.journal.bodies().map(words).collect()
}

pub(super) fn error_code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    let field = text.split('\0').find(|field| field.starts_with('C'));
    field.map(|field| field[1..].to_owned()).unwrap_or_default()
}

#[test]
fn a_query_is_recorded_forwarded_and_answered() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1"));
    assert_eq!(bench.take(Side::Server), query("SELECT 1"));
    let columns = message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    let answer = [columns, row(b"1"), complete("SELECT 1"), ready_for_query(b'I')].concat();
    bench.server(&answer);
    assert_eq!(bench.take(Side::Client), answer);
    let kept = answer.len() - 6;
    assert_eq!(
        record(&bench),
        [
            "start",
            "command SELECT 1 Allow",
            &format!("chunk {kept} of 1"),
            "response Success  rows 1"
        ]
    );
}

#[test]
fn what_leaves_of_an_answer_that_goes_on_is_in_the_record_first() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1, pg_sleep(1)"));
    bench.take(Side::Server);
    let columns = message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    let first = [columns, row(b"1")].concat();
    bench.server(&first);
    assert_eq!(bench.take(Side::Client), first);
    let kept = format!("chunk {} of 1", first.len());
    assert_eq!(record(&bench)[2..], [kept.as_str()]);
    bench.server(&[row(b"2"), complete("SELECT 2"), ready_for_query(b'I')].concat());
    let rest = row(b"2").len() + complete("SELECT 2").len();
    let expect = [kept, format!("chunk {rest} of 1"), "response Success  rows 2".into()];
    assert_eq!(record(&bench)[2..], expect);
}

#[test]
fn an_error_leaves_after_its_row_and_what_follows_it_makes_none() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1/0"));
    bench.take(Side::Server);
    bench.server(&server_error("22012"));
    assert_eq!(bench.tags(Side::Client), "E");
    let recorded = record(&bench);
    assert_eq!(recorded.last().unwrap(), "response Error 22012 rows 0", "{recorded:?}");
    bench.server(&ready_for_query(b'I'));
    assert_eq!(bench.tags(Side::Client), "Z");
    assert_eq!(record(&bench), recorded);
    // Nor does the end of a session between the two.
    bench.client(&query("SELECT 2/0"));
    bench.server(&server_error("22012"));
    let recorded = record(&bench);
    bench.with(|machine, stage| machine.handle_eof(Side::Server, stage));
    let more = record(&bench);
    assert!(!more[recorded.len()..].iter().any(|row| row.contains("response")), "{more:?}");
}

#[test]
fn a_wrong_password_is_an_error_and_a_record() {
    let mut bench = Bench::accepted();
    bench.client(&startup("bot", "orders"));
    bench.take(Side::Client);
    bench.client_scram("wrong");
    let said = messages(&bench.take(Side::Client));
    let (tag, body) = said.last().expect("an error");
    assert_eq!((*tag, error_code(body).as_str()), (b'E', "28P01"));
    let words = String::from_utf8_lossy(body);
    assert!(words.contains("Mpassword authentication failed for user \"bot\"\0"), "{words}");
    assert_eq!(record(&bench), ["event login-failed"]);
    assert!(bench.outputs.iter().any(|output| matches!(output, Output::Close(Some(_)))));
    assert_eq!(bench.journal.open_sessions(), 0);
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let mut bench = Bench::accepted();
    bench.client(&startup("nobody", "orders"));
    assert_eq!(bench.tags(Side::Client), "R");
    bench.client_scram("x");
    let said = messages(&bench.take(Side::Client));
    let body = &said.last().expect("an error").1;
    assert_eq!(error_code(body), "28P01");
    let words = String::from_utf8_lossy(body);
    assert!(words.contains("Mpassword authentication failed for user \"nobody\"\0"), "{words}");
}

#[test]
fn a_denied_query_fails_at_the_target_and_the_session_goes_on() {
    let mut bench = Bench::ready();
    bench.client(&query("DROP TABLE t"));
    let sent = messages(&bench.take(Side::Server));
    assert_eq!(sent.len(), 1);
    assert!(!String::from_utf8_lossy(&sent[0].1).contains("DROP"), "the command left weir");
    bench.server(&[server_error("42601"), ready_for_query(b'E')].concat());
    let said = messages(&bench.take(Side::Client));
    assert_eq!(said.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), b"EZ");
    assert_eq!(error_code(&said[0].1), "42501");
    assert_eq!(said[1].1, b"E", "the transaction is aborted, as after any error");
    assert_eq!(record(&bench)[1..], ["command DROP TABLE t Deny", "response Denied 42501 rows 0"]);
    bench.client(&query("SELECT 2"));
    assert_eq!(bench.take(Side::Server), query("SELECT 2"));
}

#[test]
fn a_denial_in_a_pipeline_waits_for_replies_in_flight_and_skips_to_sync() {
    let mut bench = Bench::ready();
    let first = [parse("", "SELECT 1"), bind("", ""), execute("")].concat();
    let second = [parse("", "DROP TABLE t"), bind("", ""), execute(""), sync()].concat();
    bench.client(&[first.clone(), second].concat());
    let sent = bench.take(Side::Server);
    assert!(sent.starts_with(&first));
    assert_eq!(messages(&sent).iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), b"PBEPS");
    assert_eq!(bench.tags(Side::Client), "", "the refusal keeps its place");
    let done = [message(b'1', b""), message(b'2', b""), complete("SELECT 0")].concat();
    bench.server(&done);
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "12CEZ");
}

#[test]
fn what_the_target_skips_is_recorded_as_skipped() {
    let mut bench = Bench::ready();
    let one = [parse("", "SELECT 1"), bind("", ""), execute("")].concat();
    bench.client(&[one.clone(), one, sync()].concat());
    bench.server(&[message(b'1', b""), message(b'2', b""), server_error("22012")].concat());
    bench.server(&ready_for_query(b'I'));
    assert_eq!(bench.tags(Side::Client), "12EZ");
    let rows = record(&bench);
    assert!(rows.contains(&"response Error 22012 rows 0".to_owned()), "{rows:?}");
    assert!(rows.contains(&"response Skipped  rows 0".to_owned()), "{rows:?}");
}

#[test]
fn an_error_that_answers_a_sync_has_a_row_that_is_part_of_the_last_command() {
    let mut bench = Bench::ready();
    let one = [parse("", "SELECT 1"), bind("", ""), execute("")].concat();
    bench.client(&[one.clone(), one.clone(), sync(), one, sync()].concat());
    let done = [message(b'1', b""), message(b'2', b""), complete("SELECT 0")].concat();
    bench.server(&[done.clone(), done.clone(), server_error("23505")].concat());
    bench.server(&ready_for_query(b'I'));
    assert_eq!(bench.tags(Side::Client), "12C12CEZ");
    let rows = record(&bench);
    let tail = ["command Sync Allow", "chunk", "response Error 23505 rows 0"];
    let at = rows.len() - tail.len();
    assert!(rows[at..].iter().zip(tail).all(|(row, tail)| row.starts_with(tail)), "{rows:?}");
    let successes = rows.iter().filter(|row| row.starts_with("response Success"));
    assert_eq!(successes.count(), 2, "{rows:?}");
    let parents = |bench: &Bench| {
        let parent = |body: Body<'_>| match body {
            Body::Command(c) => c.extra.parent_seq,
            _ => None,
        };
        bench.journal.bodies().filter_map(parent).collect::<Vec<_>>()
    };
    let seqs = |bench: &Bench| {
        let seq = |body: Body<'_>| match body {
            Body::Response(r) => Some(r.command_seq),
            _ => None,
        };
        bench.journal.bodies().filter_map(seq).collect::<Vec<_>>()
    };
    assert_eq!(parents(&bench), seqs(&bench)[1..2]);
    // The next pipeline ends well, and its commands are its own.
    bench.server(&[done, ready_for_query(b'I')].concat());
    assert_eq!(record(&bench).last().unwrap(), "response Success  rows 0");
}

#[test]
fn an_execution_whose_parse_or_bind_fails_is_recorded_with_the_reason() {
    let one = [parse("", "SELECT 1"), bind("", ""), execute("")].concat();
    let before = [vec![], message(b'1', b"")];
    for replies in before {
        let mut bench = Bench::ready();
        bench.client(&[one.clone(), one.clone(), sync()].concat());
        bench.server(&[replies, server_error("42703")].concat());
        bench.server(&ready_for_query(b'I'));
        let rows = record(&bench);
        assert!(rows.contains(&"response Error 42703 rows 0".to_owned()), "{rows:?}");
        assert!(rows.contains(&"response Skipped  rows 0".to_owned()), "{rows:?}");
    }
}

#[test]
fn a_statement_parsed_ahead_is_an_event_and_its_execution_a_row() {
    let mut bench = Bench::ready();
    bench.client(&[parse("s", "SELECT 1"), sync()].concat());
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    bench.client(&[bind("", "s"), execute(""), sync()].concat());
    assert_eq!(record(&bench)[1..], ["event prepare", "command SELECT 1 Allow"]);
}

#[test]
fn a_name_changed_by_an_unanswered_pipeline_is_waited_for() {
    let mut bench = Bench::ready();
    bench.client(&[parse("s", "SELECT 1"), sync(), bind("", "s"), execute(""), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PS", "whether s exists is not known yet");
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Server), "BES");
}

#[test]
fn a_name_is_waited_for_while_its_own_pipeline_has_begun() {
    let mut bench = Bench::ready();
    let second = [parse("t", "SELECT 2"), bind("", "s"), execute(""), sync()].concat();
    bench.client(&[parse("s", "SELECT 1"), sync(), second].concat());
    assert_eq!(bench.tags(Side::Server), "PSP");
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Server), "BES");
}

#[test]
fn copy_in_ignores_the_sync_that_came_with_it() {
    let mut bench = Bench::ready();
    let copy = "COPY t FROM STDIN";
    bench.client(&[parse("", copy), bind("", ""), execute(""), sync()].concat());
    bench.server(&[message(b'1', b""), message(b'2', b""), message(b'G', b"\0\0\0")].concat());
    bench.client(&[message(b'd', b"1\n"), message(b'c', b""), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PBESdcS");
    bench.server(&[complete("COPY 1"), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "12GCZ");
    let rows = record(&bench);
    assert!(rows.contains(&"chunk 7 of 0".to_owned()), "{rows:?}");
    bench.client(&query("SELECT 1"));
    bench.server(&[complete("SELECT 0"), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "CZ", "the replies are in step");
}

pub fn held() -> (Bench, SessionId) {
    let mut bench = Bench::ready();
    bench.client(&[query("DELETE FROM t"), query("SELECT 1")].concat());
    assert_eq!(bench.tags(Side::Server), "", "nothing passes a hold");
    assert_eq!(bench.tags(Side::Client), "N", "the client is told what it waits for");
    let id = match bench.outputs.as_slice() {
        [Output::AskOpened(ask)] => ask.id,
        other => panic!("{other:?}"),
    };
    (bench, id)
}

/// What approvers are shown of this command.
fn shown(client: &[u8]) -> AskSummary {
    let mut bench = Bench::ready();
    bench.client(client);
    match bench.outputs.as_slice() {
        [Output::AskOpened(ask)] => AskSummary::clone(ask),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ask_says_what_else_decides_what_runs() {
    let typed = |oid: u32| {
        let text = b"\0DELETE FROM t WHERE length($1) = 3\0\0\x01";
        let parse = message(b'P', &[&text[..], &oid.to_be_bytes()].concat());
        let bind = message(b'B', b"\0\0\0\0\0\x01\0\0\0\x03ab \0\0");
        shown(&[parse, bind, execute(""), sync()].concat())
    };
    assert!(typed(1042).text.ends_with("types of its values (pg_type.oid): 1042"));
    assert!(!typed(0).text.contains("types"), "{}", typed(0).text);
    assert_ne!(typed(1042).subject(), typed(25).subject());
    let copy = shown(&query("COPY t FROM STDIN; DELETE FROM t"));
    assert!(copy.text.contains("the client sends data"), "{}", copy.text);
    assert!(!copy.repeatable);
}

pub(super) fn vote(approver: &str, group: &str, approve: bool) -> Vote {
    Vote {
        approver: approver.to_owned(),
        groups: vec![group.to_owned()],
        approve,
        reason: "seen".to_owned(),
        digest: None,
        auth: ADMIN_TOKEN.into(),
        ..Vote::default()
    }
}

#[test]
fn an_approved_command_runs_and_what_waited_behind_it_follows() {
    let (mut bench, id) = held();
    let mut replies = Vec::new();
    bench.with(|m, s| replies.push(m.handle_vote(id, &vote("bot", "dba", true), s)));
    bench.with(|m, s| replies.push(m.handle_vote(id, &vote("ann", "agents", true), s)));
    assert!(replies.iter().all(|reply| matches!(reply, VoteReply::Refused(_))), "{replies:?}");
    bench.with(|m, s| replies.push(m.handle_vote(id, &vote("ann", "dba", true), s)));
    assert_eq!(replies.last(), Some(&VoteReply::Counted { missing: 0 }));
    let sent = bench.take(Side::Server);
    assert_eq!(sent, [query("DELETE FROM t"), query("SELECT 1")].concat());
    let rows = record(&bench);
    assert_eq!(
        rows[1..],
        [
            "command DELETE FROM t Hold",
            "approval requested",
            "approval vote-approve",
            "approval approved",
            "command DELETE FROM t Allow",
            "command SELECT 1 Allow",
        ]
    );
}

#[test]
fn a_hold_denied_canceled_or_expired_is_an_error_and_the_session_goes_on() {
    for (how, sqlstate) in [("denied", "42501"), ("canceled", "57014"), ("expired", "57014")] {
        let (mut bench, id) = held();
        match how {
            "denied" => bench.with(|m, s| {
                assert_eq!(m.handle_vote(id, &vote("ann", "dba", false), s), VoteReply::Denied);
            }),
            "canceled" => bench.with(|m, s| m.handle_cancel(s)),
            _ => {
                bench.now.mono_us = bench.machine.next_timeout().expect("a deadline");
                bench.with(|m, s| m.handle_timeout(s));
            }
        }
        assert_eq!(bench.tags(Side::Server), "QQ", "{how}: the stand-in and what waited");
        bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
        let said = messages(&bench.take(Side::Client));
        assert_eq!(error_code(&said[0].1), sqlstate, "{how}");
        assert!(record(&bench).contains(&format!("approval {how}")));
        let (decision, outcome) = match how {
            "canceled" => ("Abandoned", "Abandoned"),
            _ => ("Deny", "Denied"),
        };
        let rows = record(&bench);
        assert!(rows.contains(&format!("command DELETE FROM t {decision}")), "{rows:?}");
        let ended = format!("response {outcome}");
        assert!(rows.iter().any(|row| row.starts_with(&ended)), "{rows:?}");
        // All rows of the command name the approval that was asked for.
        let approvals = bench.journal.bodies().filter_map(|body| match body {
            Body::Command(command) if command.text == b"DELETE FROM t" => Some(command.approval_id),
            _ => None,
        });
        let approvals: Vec<_> = approvals.collect();
        assert!(approvals.len() == 2 && approvals.iter().all(|it| *it == Some(id)), "{how}");
        bench.client(&query("SELECT 2"));
        bench.with(|m, s| m.handle_kill(s));
        let denied = bench.journal.bodies().find_map(|body| match body {
            Body::SessionEnd(end) => Some(end.denied),
            _ => None,
        });
        assert_eq!(denied, Some(u64::from(how != "canceled")), "{how}");
        let closed = |o: &Output| matches!(o, Output::AskClosed(_, event) if *event == how);
        assert!(bench.outputs.iter().any(closed), "{how}: {:?}", bench.outputs);
    }
}

/// Rules under which DELETE is held by another rule, by none, or denied.
const OTHER_RULES: [(&str, &str); 3] = [
    ("then = { hold = { approvers = ['dba'], quorum = 2 } }", "superseded"),
    ("then = 'allow'", "released"),
    ("then = 'deny'", ""),
];

#[test]
fn a_grant_is_judged_by_the_rules_in_force_when_it_is_released() {
    for (then, step) in OTHER_RULES {
        let (mut bench, id) = held();
        bench.snapshot = super::snapshot_with_rule(then);
        bench.with(|m, s| m.handle_snapshot(s));
        let mut reply = VoteReply::Unknown;
        bench.with(|m, s| reply = m.handle_vote(id, &vote("ann", "dba", true), s));
        assert_eq!(reply == VoteReply::Counted { missing: 0 }, step == "released", "{reply:?}");
        assert_eq!(reply == VoteReply::Settled(Next::Stopped), step != "released", "{reply:?}");
        let rows = record(&bench);
        let ran = rows.contains(&"command DELETE FROM t Allow".to_owned());
        assert_eq!(ran, step == "released", "{then}: {rows:?}");
        if !step.is_empty() {
            assert!(rows.contains(&format!("approval {step}")), "{then}: {rows:?}");
        }
        if step == "superseded" {
            let asked = rows.iter().filter(|row| *row == "approval requested").count();
            assert_eq!(asked, 2, "a new ask in its place: {rows:?}");
            let holds = rows.iter().filter(|row| *row == "command DELETE FROM t Hold").count();
            assert_eq!(holds, 1, "one command, one row that it waits: {rows:?}");
            assert!(bench.machine.next_timeout().is_some(), "it waits again");
        }
    }
}

/// The configuration of these tests knows nobody of this name: as after a reload that removed them.
#[test]
fn a_vote_of_somebody_who_was_removed_does_not_release_a_command() {
    let (mut bench, id) = held();
    let gone = Vote { auth: "password".into(), ..vote("ann", "dba", true) };
    let mut reply = VoteReply::Unknown;
    bench.with(|m, s| reply = m.handle_vote(id, &gone, s));
    assert_eq!(reply, VoteReply::Settled(Next::Stopped));
    let steps: Vec<String> =
        record(&bench).into_iter().filter(|it| it.starts_with("appr")).collect();
    let expect =
        ["requested", "vote-approve", "approved", "vote-lapsed", "superseded", "requested"];
    assert_eq!(steps, expect.map(|step| format!("approval {step}")));
    assert!(bench.machine.next_timeout().is_some(), "it waits again");
}

#[test]
fn a_vote_at_the_deadline_finds_the_command_expired() {
    let (mut bench, id) = held();
    bench.now.mono_us = bench.machine.next_timeout().expect("a deadline");
    let mut reply = VoteReply::Unknown;
    bench.with(|m, s| reply = m.handle_vote(id, &vote("ann", "dba", true), s));
    assert!(matches!(reply, VoteReply::Refused(_)), "{reply:?}");
    assert!(record(&bench).contains(&"approval expired".to_owned()));
    assert!(!record(&bench).contains(&"approval vote-approve".to_owned()));
}

#[test]
fn a_full_journal_refuses_commands_and_keeps_the_session() {
    let mut bench = Bench::ready();
    bench.journal.refuse_after(0, Refused::Full);
    bench.client(&query("SELECT 1"));
    let sent = messages(&bench.take(Side::Server));
    assert!(!String::from_utf8_lossy(&sent[0].1).contains("SELECT"), "an unrecorded command left");
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    let said = messages(&bench.take(Side::Client));
    assert_eq!(error_code(&said[0].1), "53100");
    bench.journal.accept();
    bench.client(&query("SELECT 2"));
    assert_eq!(bench.take(Side::Server), query("SELECT 2"));
}

#[test]
fn a_client_that_says_goodbye_behind_a_query_still_gets_its_answer() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1"));
    bench.with(|m, s| m.handle_eof(Side::Client, s));
    assert_eq!(bench.tags(Side::Server), "QX");
    assert!(!bench.machine.is_closed());
    bench.server(&[complete("SELECT 0"), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "CZ");
    assert_eq!(record(&bench).last().map(String::as_str), Some("end client-terminate"));
    assert_eq!(bench.journal.open_sessions(), 0);
}

#[test]
fn a_connection_that_breaks_aborts_its_commands_in_the_record() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1"));
    bench.with(|m, s| m.handle_kill(s));
    assert_eq!(
        record(&bench)[1..],
        ["command SELECT 1 Allow", "response Aborted  rows 0", "end killed"]
    );
    assert_eq!(bench.journal.open_sessions(), 0);
}

#[test]
fn a_client_that_leaves_while_its_command_is_held_gives_up() {
    let (mut bench, _) = held();
    bench.with(|m, s| m.handle_eof(Side::Client, s));
    assert!(record(&bench).contains(&"approval abandoned".to_owned()));
    assert_eq!(bench.tags(Side::Server), "QQX", "the stand-in, what waited, goodbye");
}

#[test]
fn a_target_that_dies_is_told_to_the_client() {
    let mut bench = Bench::ready();
    bench.with(|m, s| m.handle_eof(Side::Server, s));
    let said = messages(&bench.take(Side::Client));
    assert_eq!(error_code(&said[0].1), "08006");
    let closed = bench.outputs.iter().any(|output| {
        matches!(output, Output::Close(Some(fault))
            if fault.kind == FaultKind::Target(crate::fault::Target::Closed))
    });
    assert!(closed);
}

/// A Bind with one value of two MiB.
fn long_bind(statement: &str) -> Vec<u8> {
    let value = vec![b'v'; 2 << 20];
    let names = [&b"\0"[..], statement.as_bytes(), b"\0\0\0\0\x01"].concat();
    let length = (value.len() as u32).to_be_bytes();
    message(b'B', &[&names[..], &length, &value, b"\0\0"].concat())
}

/// A long Bind whose statement an unanswered pipeline prepares: it waits for the answer, also
/// where it arrives in pieces, and then passes as it is.
#[test]
fn a_long_bind_waits_for_its_statement() {
    for (statement, piece) in [("s", usize::MAX), ("", usize::MAX), ("s", 60_000), ("", 5000)] {
        let mut bench = Bench::ready();
        let sent =
            [parse(statement, "SELECT $1"), sync(), long_bind(statement), execute(""), sync()]
                .concat();
        for part in sent.chunks(piece.min(sent.len())) {
            bench.client(part);
        }
        assert_eq!(bench.tags(Side::Server), "PS", "{statement:?} in pieces of {piece}");
        assert_eq!(bench.take(Side::Client), b"");
        bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
        assert_eq!(bench.take(Side::Server), [long_bind(statement), execute(""), sync()].concat());
        assert_eq!(bench.tags(Side::Client), "1Z");
    }
}

/// Many sessions that each send most of a large command: together they hold what the shard has room
/// for, the others are refused and go on, and what is held is given back.
#[test]
fn large_commands_share_the_room_of_the_shard() {
    let large = query(&"x".repeat(40 << 20));
    let (mut room, mut holding, mut refused) = (Room::default(), Vec::new(), Vec::new());
    let is_refused = |bench: &Bench| record(bench).contains(&"event command-refused".to_owned());
    for _ in 0..8 {
        let mut bench = Bench::ready();
        std::mem::swap(&mut bench.room, &mut room);
        let mut rest = &large[..];
        while rest.len() > 1 && !is_refused(&bench) {
            let (part, more) = rest.split_at((1 << 20).min(rest.len() - 1));
            bench.client(part);
            rest = more;
        }
        std::mem::swap(&mut bench.room, &mut room);
        if is_refused(&bench) { refused.push((bench, rest)) } else { holding.push(bench) }
    }
    assert_eq!(holding.len(), crate::limits::LARGE_BYTES_MAX / large.len());
    let left = crate::limits::LARGE_BYTES_MAX - holding.len() * large.len();
    assert!(room.lease().resize(left), "what the refused ones had begun to hold is given back");
    for (bench, rest) in &mut refused {
        assert_eq!(bench.tags(Side::Server), "", "the refusal waits for the end");
        bench.client(&[rest, &query("SELECT 1")[..]].concat());
        assert_eq!(bench.tags(Side::Server), "QQ", "the stand-in and the next command");
        bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
        assert_eq!(error_code(&messages(&bench.take(Side::Client))[0].1), "54000");
    }
    assert!(!room.lease().resize(crate::limits::LARGE_BYTES_MAX));
    drop(holding);
    assert!(room.lease().resize(crate::limits::LARGE_BYTES_MAX), "all of it is given back");
}

#[test]
fn a_text_too_large_to_hold_is_refused_without_being_kept() {
    let mut bench = Bench::ready();
    let mut head = vec![b'Q'];
    head.extend_from_slice(&(64u32 << 20).to_be_bytes());
    bench.client(&head);
    let mut left = (64usize << 20) - 4;
    while left > 0 {
        assert_eq!(bench.tags(Side::Server), "", "no answer to what is not asked yet");
        let part = left.min(1 << 20);
        bench.client(&vec![b' '; part]);
        left -= part;
    }
    assert_eq!(bench.tags(Side::Server), "Q");
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    let said = messages(&bench.take(Side::Client));
    assert_eq!(error_code(&said[0].1), "54000");
    bench.client(&query("SELECT 1"));
    assert_eq!(bench.take(Side::Server), query("SELECT 1"));
}

/// A Bind that is refused when it begins gets its answer when it ends, as from the target.
#[test]
fn a_long_bind_is_refused_at_its_end() {
    let mut bench = Bench::ready();
    bench.client(&[parse("s", "DELETE FROM t"), sync()].concat());
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    bench.take(Side::Server);
    bench.take(Side::Client);
    let bind = long_bind("s");
    let (most, rest) = bind.split_at(bind.len() - 1);
    most.chunks(60_000).for_each(|part| bench.client(part));
    assert!(record(&bench).contains(&"command DELETE FROM t Deny".to_owned()));
    assert_eq!(bench.tags(Side::Server), "");
    bench.client(&[rest, &execute(""), &sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PS", "the stand-in, and no Execute");
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    let said = messages(&bench.take(Side::Client));
    assert_eq!((error_code(&said[0].1), said[1].0), ("54000".into(), b'Z'));
}

#[test]
fn settings_that_let_the_target_read_texts_otherwise_make_them_unknown() {
    let mut asked = Bench::ready();
    asked.server(&message(b'S', b"standard_conforming_strings\0off\0"));
    asked.take(Side::Client);
    asked.client(&query("SELECT 1"));
    asked.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    let said = messages(&asked.take(Side::Client));
    assert_eq!(error_code(&said[0].1), "42501");
    let text = String::from_utf8_lossy(&said[0].1).into_owned();
    assert!(text.contains("standard_conforming_strings off"), "{text}");
    let mut bench = Bench::ready();
    bench.server(&message(b'S', b"standard_conforming_strings\0off\0"));
    bench.client(&query("SELECT 1"));
    assert!(record(&bench).contains(&"command SELECT 1 Deny".to_owned()));
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    bench.server(&message(b'S', b"standard_conforming_strings\0on\0"));
    bench.client(&query("SELECT 1"));
    assert!(record(&bench).contains(&"command SELECT 1 Allow".to_owned()));
}

#[test]
fn drain_ends_an_idle_session_at_once_and_a_busy_one_after_its_answer() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1"));
    bench.with(|m, s| m.handle_drain(false, s));
    assert!(!bench.machine.is_closed());
    bench.server(&[complete("SELECT 0"), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "CZE");
    assert!(bench.machine.is_closed());
    let mut idle = Bench::ready();
    idle.with(|m, s| m.handle_drain(false, s));
    assert!(idle.machine.is_closed());
}

#[test]
fn bytes_behind_an_ssl_request_and_odd_first_packets_are_refused() {
    let junk: [(&[u8], &str); 6] = [
        (b"\0\0\0\x04", ""),
        (b"X\0\0\0\x04", ""),
        (b"\x7f\xff\xff\xff\0\x03\0\0", ""),
        (b"GET / HTTP/1.1\r\n\r\n", ""),
        (b"\0\0\0\x0c\x04\xd2\x16\x2ekey!", ""),
        (b"\0\0\0\x09\0\x03\0\0x", "08P01"),
    ];
    for (bytes, sqlstate) in junk {
        let mut bench = Bench::accepted();
        bench.client(bytes);
        let said = messages(&bench.take(Side::Client));
        let code = said.first().map(|(_, body)| error_code(body)).unwrap_or_default();
        assert_eq!(code, sqlstate, "{bytes:?}");
        assert_eq!(record(&bench), ["event connection-refused"]);
    }
    let mut old = Bench::accepted();
    old.client(b"\0\0\0\x09\0\x02\0\0\0");
    assert_eq!(error_code(&messages(&old.take(Side::Client))[0].1), "0A000");
    let mut slow = Bench::accepted();
    slow.client(b"\0\0");
    slow.now.mono_us = slow.machine.next_timeout().expect("a deadline");
    slow.with(|m, s| m.handle_timeout(s));
    assert_eq!(error_code(&messages(&slow.take(Side::Client))[0].1), "57P05");
}

#[test]
fn descriptions_that_belong_to_no_execution_are_not_kept_and_have_no_limit() {
    let mut bench = Bench::ready();
    let describe = message(b'D', b"Ss\0");
    bench.client(&[parse("s", "SELECT 1"), describe, sync()].concat());
    bench.take(Side::Server);
    let parameters = 30_000u16;
    let types = [0, 0, 0, 23].repeat(usize::from(parameters));
    let described = message(b't', &[&parameters.to_be_bytes()[..], &types].concat());
    let columns = message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    let answer = [message(b'1', b""), described, columns, ready_for_query(b'I')].concat();
    bench.server(&answer);
    assert_eq!(bench.take(Side::Client), answer);
    bench.client(&[bind("", "s"), execute(""), sync()].concat());
    let answer = [message(b'2', b""), row(b"1"), complete("SELECT 1"), ready_for_query(b'I')];
    bench.server(&answer.concat());
    let kept = row(b"1").len() + complete("SELECT 1").len();
    assert!(record(&bench).contains(&format!("chunk {kept} of 1")), "{:?}", record(&bench));
}

#[test]
fn a_client_far_ahead_of_its_target_waits_and_goes_on() {
    let mut bench = Bench::ready();
    let syncs = limits::PENDING_REPLIES_MAX + 1000;
    bench.client(&sync().repeat(syncs));
    let mut sent = bench.take(Side::Server).len() / sync().len();
    for now in 1..200 {
        bench.at(now);
        sent += bench.take(Side::Server).len() / sync().len();
    }
    let turn = limits::TURN_MESSAGES_MAX as usize;
    assert!(sent >= limits::PENDING_REPLIES_MAX, "{sent}");
    assert!(sent < limits::PENDING_REPLIES_MAX + turn, "{sent}");
    bench.with(|machine, _| assert!(!machine.wants(Side::Client.into())));
    bench.server(&ready_for_query(b'I').repeat(sent));
    for now in 200..400 {
        bench.at(now);
        sent += bench.take(Side::Server).len() / sync().len();
    }
    assert_eq!(sent, syncs);
    bench.with(|machine, _| assert!(machine.wants(Side::Client.into())));
}

#[test]
fn a_failed_pipeline_of_any_length_is_skipped_to_its_sync() {
    let mut bench = Bench::ready();
    bench.client(&[parse("s", "SELECT 1"), sync()].concat());
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    bench.client(&parse("", "SELECT nothing"));
    bench.server(&server_error("42703"));
    let executions = limits::PENDING_REPLIES_MAX * 2;
    bench.client(&[bind("", "s"), execute("")].concat().repeat(executions));
    bench.client(&sync());
    for now in 1..400 {
        bench.at(now);
    }
    assert!(bench.take(Side::Server).ends_with(&sync()), "the Sync reaches the target");
    bench.server(&ready_for_query(b'I'));
    assert_eq!(bench.tags(Side::Client), "1ZEZ");
    let rows = record(&bench);
    let said = |what: &str| rows.iter().filter(|row| row.starts_with(what)).count();
    assert_eq!((said("response Error"), said("response Skipped")), (1, executions - 1));
}
