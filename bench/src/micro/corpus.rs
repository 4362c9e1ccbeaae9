//! What the stages work on: messages, texts, rows and a journal segment, always the same.
//!
//! In: counts. Out: bytes. Never: randomness; two runs measure the same thing.

use weir::clock::Now;
use weir::decide::Object;
use weir::record::entry::SessionContext;
use weir::record::entry::{Command, Decision, Outcome, Response};
use weir::record::journal::{self, END_BYTES, HEADER_BYTES, Header, Place};
use weir::record::{Entry, SessionId};
use weir_load::wire;

/// Requests as a driver sends them for a prepared statement: Bind, Describe, Execute, Sync.
pub fn prepared_requests(count: usize) -> Vec<u8> {
    let mut out = vec![];
    for number in 0..count {
        wire::bind(&mut out, "s0", &[&(number * 37 % 1_000_000).to_string()]);
        wire::describe(&mut out);
        wire::execute(&mut out);
        wire::sync(&mut out);
    }
    out
}

/// Texts that differ in more than a literal.
pub fn texts(count: usize) -> Vec<Vec<u8>> {
    let text = |n: usize| {
        format!(
            "SELECT o.id, o.total, c.name FROM orders_{n} o JOIN customers c ON c.id = o.customer_id \
             WHERE o.status = 'open' AND o.total > {n} ORDER BY o.id LIMIT 20"
        )
    };
    (0..count).map(|n| text(n).into_bytes()).collect()
}

/// Bodies of DataRow messages with these values.
pub fn row(values: &[String]) -> Vec<u8> {
    let mut body = (values.len() as u16).to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&(value.len() as u32).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body
}

/// 1 KB of prose in eight columns, nothing to find in it.
pub fn clean_row(number: usize) -> Vec<u8> {
    row(&clean_columns(number))
}

/// The same as COPY writes it.
pub fn clean_line(number: usize) -> Vec<u8> {
    (clean_columns(number).join("\t") + "\n").into_bytes()
}

fn clean_columns(number: usize) -> Vec<String> {
    let words = "the weir was built of oak and stone below the mill and holds the river back in dry years; ";
    let column = |n: usize| words.chars().cycle().skip(number * 7 + n * 13).take(126).collect();
    (0..8).map(column).collect()
}

/// The same with an e-mail address and a card number in two of the columns.
pub fn dense_row(number: usize) -> Vec<u8> {
    let words = "the weir was built of oak and stone below the mill and holds the river back in dry years; ";
    let column = |n: usize| match n {
        2 => format!("{} user{number}@example.com {}", &words[..50], &words[..40]),
        5 => format!("{} 4111 1111 1111 1111 {}", &words[..50], &words[..40]),
        _ => words.chars().cycle().skip(number * 7 + n * 13).take(126).collect(),
    };
    row(&(0..8).map(column).collect::<Vec<String>>())
}

/// 1 KB of digests in hexadecimal in eight columns: letters and digits side by side, nothing to
/// find in it.
pub fn digest_row(number: usize) -> Vec<u8> {
    let mut state = number as u64;
    let mut digest = |_| {
        // The steps of an LCG (Knuth, MMIX).
        let mut word = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{state:016x}")
        };
        (0..8).map(|_| word()).collect::<String>()
    };
    row(&(0..8).map(&mut digest).collect::<Vec<String>>())
}

/// A server's rows as DataRow messages.
pub fn row_messages(count: usize) -> Vec<u8> {
    let mut out = vec![];
    for number in 0..count {
        wire::message(&mut out, b'D', |out| out.extend_from_slice(&clean_row(number)));
    }
    out
}

/// The objects that the recorded command touches.
pub fn objects() -> Vec<Object> {
    vec![Object::within("public", "orders", false)]
}

/// A command as it is recorded before it is forwarded.
pub fn command<'a>(text: &'a [u8], objects: &'a [Object]) -> Entry<'a> {
    Entry::Command(Command {
        kind: "execute",
        text,
        operation: "SELECT",
        classes: &["read"],
        objects,
        params: None,
        statement: "s0",
        decision: Decision::Allow,
        rule: "everything",
        approval_id: None,
        ..Command::default()
    })
}

/// The answer to it.
pub fn response(command_seq: u64) -> Entry<'static> {
    Entry::Response(Response {
        command_seq,
        outcome: Outcome::Success,
        sqlstate: "",
        error_text: "",
        tag: "SELECT 1",
        rows_returned: Some(1),
        rows_affected: Some(1),
        duration_us: 130,
        first_byte_us: 120,
        bytes: 400,
        captured_bytes: 0,
        chunks: 0,
        columns: Some(b"id\0total\0name\0"),
        ..Response::default()
    })
}

/// The head of a segment of this corpus.
pub fn header() -> Header {
    Header {
        node: "bench".into(),
        shard: 0,
        number: 1,
        boot: [7; 16],
        created_us: STARTED_US,
        first_index: 0,
    }
}

const STARTED_US: i64 = 1_767_225_600_000_000;

/// The place of an entry: ten commands a millisecond, a hundred sessions.
pub fn place(log_index: u64) -> Place {
    let mut session = [0; 16];
    session[15] = (log_index / 2 % 100) as u8;
    Place {
        log_index,
        seq: log_index,
        wall_us: STARTED_US + log_index as i64 * 50,
        session_id: SessionId(session),
    }
}

/// What the journal knows of a session.
pub fn context(number: u8) -> SessionContext {
    let mut session = [0; 16];
    session[15] = number;
    SessionContext {
        session_id: SessionId(session),
        protocol: "postgresql",
        user_name: "bench".into(),
        user_groups: vec!["engineers".into(), "agents".into()],
        auth_method: "scram".into(),
        target: "orders".into(),
        db_namespace: "orders".into(),
        role: "app".into(),
        client_addr: "127.0.0.1:40000".into(),
        client_app: "bench".into(),
        tls_version: "TLSv1_3".into(),
    }
}

/// When an entry is written, at the pace of `place`.
pub fn now(seq: u64) -> Now {
    Now { wall_us: STARTED_US + seq as i64 * 50, mono_us: seq * 50 }
}

/// A segment with this many commands, each with its response.
pub fn segment(commands: u64) -> Vec<u8> {
    let header = header();
    let salt = header.salt();
    let (texts, objects) = (texts(64), objects());
    let mut segment = header.bytes().to_vec();
    for number in 0..commands {
        let text = &texts[number as usize % texts.len()];
        for (index, entry) in
            [(2 * number, command(text, &objects)), (2 * number + 1, response(2 * number))]
        {
            let body = journal::body_bytes(&entry);
            let start = segment.len();
            segment.resize(start + journal::frame_bytes(body) + END_BYTES, 0);
            let into = &mut segment[start..];
            let taken = journal::write_entry(into, &salt, &place(index), &entry, body);
            segment.truncate(start + taken);
        }
    }
    segment.resize(segment.len() + END_BYTES, 0);
    assert!(segment.len() > HEADER_BYTES);
    segment
}
