//! The reading commands on a handmade data directory: a journal that a killed weir left, and the
//! same in the lake.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::mpsc::channel;

use super::*;
use crate::clock::Now;
use crate::config::settings::JournalSettings;
use crate::decide::Object;
use crate::record::entry::{
    Approval, Chunk, Command as Cmd, Decision, MaskingHit, Outcome, Response, SessionEnd,
    SessionStart,
};
use crate::record::pool::SegmentPool;
use crate::record::recover::{DataDirLock, recover};
use crate::record::spool::{SealedSegment, Spool};
use crate::record::{Entry, JOURNAL_FOLDER, Journal, SessionContext, SessionId};
use output::Output;

/// 2026-03-01T12:00:00Z.
const START_US: i64 = 1_772_366_400_000_000;
const ALICE: SessionId = SessionId([0x11; 16]);
const BOT: SessionId = SessionId([0x22; 16]);
const ASK: SessionId = SessionId([0x33; 16]);

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn context(id: SessionId, user: &str, target: &str) -> SessionContext {
    SessionContext {
        session_id: id,
        protocol: "postgresql",
        user_name: user.into(),
        user_groups: vec!["engineers".into()],
        auth_method: "scram-sha-256".into(),
        target: target.into(),
        db_namespace: target.into(),
        role: "app".into(),
        client_addr: "127.0.0.1:5000".into(),
        client_app: "psql".into(),
        tls_version: String::new(),
    }
}

fn command<'a>(text: &'a str, objects: &'a [Object], decision: Decision) -> Cmd<'a> {
    Cmd {
        kind: "query",
        text: text.as_bytes(),
        operation: text.split(' ').next().unwrap_or_default(),
        classes: &["read"],
        objects,
        params: None,
        statement: "",
        decision,
        rule: "reads",
        approval_id: None,
        ..Cmd::default()
    }
}

fn response(seq: u64, outcome: Outcome, sqlstate: &'static str) -> Entry<'static> {
    Entry::Response(Response {
        command_seq: seq,
        outcome,
        sqlstate,
        error_text: if sqlstate.is_empty() { "" } else { "relation does not exist" },
        tag: "SELECT 1",
        rows_returned: Some(1),
        rows_affected: Some(0),
        duration_us: 1_500,
        first_byte_us: 100,
        bytes: 64,
        captured_bytes: 64,
        chunks: 1,
        columns: Some(b"id\0name\0"),
        ..Response::default()
    })
}

/// RowDescription of `id`, `name`; a row; a tag.
const ANSWER: &[u8] = b"T\0\0\0\x32\0\x02id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\
name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0\
D\0\0\0\x13\0\x02\0\0\0\x01\x37\0\0\0\x04a***C\0\0\0\x0dSELECT 1\0";

/// Two sessions: alice's is whole, the bot's has a held command and no end.
fn entries(spool: &mut Spool) {
    let now = |step: u64| Now { wall_us: START_US + step as i64 * 1_000_000, mono_us: step };
    let customers = [Object::within("public", "customers", false)];
    let start = SessionStart { server_version: "17.1", durability: "write", ..Default::default() };
    let mut add = |id: SessionId, user: &str, list: Vec<(u64, Entry<'_>)>| {
        let session = spool.open(&context(id, user, "orders"));
        for (seq, entry) in list {
            spool.append(session, seq, now(seq), &entry).unwrap();
        }
    };
    let read = command("SELECT * FROM public.customers", &customers, Decision::Allow);
    let chunk = Chunk {
        command_seq: 1,
        stream: 1,
        chunk_no: 0,
        byte_offset: 0,
        encoding: "pg-messages",
        payload: ANSWER,
        ..Chunk::default()
    };
    let hit = MaskingHit {
        command_seq: 1,
        column: "name",
        detector: "column",
        operator: "partial",
        hits: 1,
        ..MaskingHit::default()
    };
    let missing = command("SELECT * FROM missing\n\x1b[31m", &[], Decision::Allow);
    add(
        ALICE,
        "alice",
        vec![
            (0, Entry::SessionStart(start.clone())),
            (1, Entry::Command(read)),
            (2, Entry::Chunk(chunk)),
            (3, Entry::MaskingHit(hit)),
            (4, response(1, Outcome::Success, "")),
            (5, Entry::Command(missing)),
            (6, response(5, Outcome::Error, "42P01")),
            (7, Entry::SessionEnd(SessionEnd { reason: "terminate", commands: 2, ..end() })),
        ],
    );
    let drop = command("DROP TABLE customers", &customers, Decision::Hold);
    let asked = Approval {
        approval_id: ASK,
        command_seq: 9,
        event: "requested",
        approver: "",
        reason: "",
        quorum: 1,
        expires_at_us: START_US,
        ..Approval::default()
    };
    add(
        BOT,
        "bot",
        vec![
            (8, Entry::SessionStart(start)),
            (9, Entry::Command(drop)),
            (10, Entry::Approval(asked)),
        ],
    );
}

fn end() -> SessionEnd<'static> {
    SessionEnd::default()
}

/// A data directory whose weir was killed; `sealed`: recovered since.
fn data_dir(name: &str, sealed: bool) -> Folder {
    let dir = std::env::temp_dir().join(format!("weir-cli-{name}-{}", std::process::id()));
    let folder = Folder(dir.clone());
    let journal = dir.join(JOURNAL_FOLDER);
    let settings = JournalSettings {
        segment_bytes: 256 << 10,
        seal_after_us: 60_000_000,
        flush_us: 100_000,
        answer_wait_us: 60_000_000,
    };
    std::fs::create_dir_all(&journal).unwrap();
    let pool = SegmentPool::start(&journal, &settings).unwrap();
    let (sender, _kept) = channel::<SealedSegment>();
    let mut spool = Spool::open(&journal, "node", 0, &settings, sender, pool).unwrap();
    entries(&mut spool);
    std::mem::forget(spool);
    if sealed {
        let lock = DataDirLock::take(&dir).unwrap();
        recover(&lock, Now { wall_us: START_US + 60_000_000, mono_us: 0 }).unwrap();
    }
    folder
}

#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a command line prints.
fn read(folder: &Folder, words: &[&str]) -> Result<String, Failure> {
    let dir = folder.0.to_str().unwrap();
    let cli = Cli::try_parse_from(["weir"].iter().chain(words).copied().chain(["--data-dir", dir]))
        .unwrap();
    let page = Page::default();
    let mut out = Output::onto(Box::new(page.clone()), words.contains(&"--json"));
    let outcome = match &cli.command {
        Command::Sessions(args) => sessions::recorded(args, &mut out),
        Command::Search(args) => search::find(args, &mut out),
        Command::Show(args) => show::write(args, &mut out),
        other => panic!("{other:?} does not read records"),
    };
    let text = String::from_utf8(page.0.borrow().clone()).unwrap();
    match outcome {
        Err(failure) if failure.code() == EXIT_INCOMPLETE => Ok(text + INCOMPLETE),
        outcome => outcome.map(|()| text),
    }
}

/// Ends what was read when the exit code says that it is not all.
const INCOMPLETE: &str = "(incomplete)";

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn search_finds_by_every_filter_in_journal_and_lake() {
    for sealed in [false, true] {
        let folder = data_dir(&format!("search-{sealed}"), sealed);
        let check = |words: &[&str], expect: usize| {
            let mut all = vec!["search", "--json"];
            all.extend(words);
            let text = read(&folder, &all).unwrap();
            assert_eq!(lines(&text), expect, "{words:?} sealed {sealed}: {text}");
        };
        check(&[], 3);
        check(&["--user", "alice"], 2);
        check(&["--user", "nobody"], 0);
        check(&["--target", "orders"], 3);
        check(&["--touches", "customers"], 2);
        check(&["--touches", "public.cust*"], 2);
        check(&["--grep", "drop|truncate"], 1);
        check(&["--status", "error"], 1);
        check(&["--status", "success"], 1);
        check(&["--limit", "1"], 1);
        check(&["--since", "2026-03-01T12:00:05"], 2);
        check(&["--until", "2026-03-01T12:00:05"], 1);
        check(&["--since", "1h"], 0);
    }
}

#[test]
fn search_refuses_what_it_does_not_understand() {
    let folder = data_dir("refuse", false);
    let check = |words: &[&str], code: u8| {
        assert_eq!(read(&folder, words).unwrap_err().code(), code, "{words:?}");
    };
    check(&["search", "--since", "yesterday"], EXIT_USAGE);
    check(&["search", "--status", "good"], EXIT_USAGE);
    check(&["search", "--grep", "|"], EXIT_USAGE);
    check(&["show", "22"], EXIT_NOT_FOUND);
    check(&["show", "99999999-9999-9999-9999-999999999999"], EXIT_NOT_FOUND);
    let gone = Folder(folder.0.join("gone"));
    assert_eq!(read(&gone, &["search"]).unwrap_err().code(), EXIT_NOT_FOUND);
}

#[test]
fn sessions_join_their_start_and_end() {
    let folder = data_dir("sessions", false);
    let text = read(&folder, &["sessions"]).unwrap();
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[0].starts_with("11111111-1111-1111-1111-111111111111  2026-03-01 12:00:00.000"));
    assert!(rows[0].contains("7.00s") && rows[0].ends_with("terminate"), "{}", rows[0]);
    assert!(rows[1].ends_with("no end recorded"), "{}", rows[1]);
    let recovered = data_dir("sessions-recovered", true);
    let text = read(&recovered, &["sessions", "--user", "bot"]).unwrap();
    assert!(text.trim_end().ends_with("recovered"), "{text}");
}

#[test]
fn show_tells_a_session_in_order() {
    for sealed in [false, true] {
        let folder = data_dir(&format!("show-{sealed}"), sealed);
        let id = "11111111-1111-1111-1111-111111111111";
        let text = read(&folder, &["show", id, "--rows"]).unwrap();
        let mut at = 0;
        for expect in [
            "session   11111111-1111-1111-1111-111111111111",
            "user      alice (engineers)",
            "#1 2026-03-01 12:00:01.000 query SELECT (read)",
            "    SELECT * FROM public.customers",
            "  decision  allow (reads)",
            "  outcome   success in 1.5ms, SELECT 1, 1 rows sent, 64 bytes",
            "  masked    1 values of name by partial (column)",
            "    id  name\n    7   a***\n",
            "#5 2026-03-01 12:00:05.000",
            "    SELECT * FROM missing\n    \\u{1b}[31m\n",
            "  error     42P01 relation does not exist",
        ] {
            let found = text[at..].find(expect);
            assert!(found.is_some(), "{expect:?} is not after {at} in {text}");
            at += found.unwrap_or(0);
        }
        assert!(!text.contains('\x1b'), "data does not steer the terminal");
    }
}

#[test]
fn a_command_that_waited_when_weir_died_is_shown_once() {
    let bot = "22222222-2222-2222-2222-222222222222";
    // Until recovery has looked at its journal nobody can tell that it does not wait still.
    for (sealed, decision, status) in [(false, "hold", "held"), (true, "abandoned", "abandoned")] {
        let folder = data_dir(&format!("held-{sealed}"), sealed);
        let text = read(&folder, &["show", bot]).unwrap();
        assert_eq!(text.matches("DROP TABLE customers").count(), 1, "{text}");
        assert!(text.contains(&format!("  decision  {decision} (reads)")), "{text}");
        assert!(text.contains("  approval  2026-03-01 12:00:10.000 requested"), "{text}");
        let json = read(&folder, &["search", "--json", "--status", status]).unwrap();
        assert_eq!(lines(&json), 1, "{json}");
    }
}

/// The file of a table in a lake that has one day.
fn file_of(folder: &Folder, table: &str) -> PathBuf {
    let days = std::fs::read_dir(folder.0.join("lake").join(table)).unwrap();
    let mut files = days.flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap());
    files.next().unwrap().unwrap().path()
}

#[test]
fn a_damaged_file_is_left_out_and_the_exit_code_says_so() {
    let id = "11111111-1111-1111-1111-111111111111";
    let flipped = |mut bytes: Vec<u8>| {
        let at = bytes.len() / 2;
        bytes[at] ^= 4;
        bytes
    };
    let ways: [fn(Vec<u8>) -> Vec<u8>; 4] = [
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| vec![0; bytes.len()],
        |_| Vec::new(),
        flipped,
    ];
    for (at, damage) in ways.into_iter().enumerate() {
        let folder = data_dir(&format!("damaged-{at}"), true);
        let whole = read(&folder, &["show", id, "--json"]).unwrap();
        for table in ["stream_chunks", "responses"] {
            let path = file_of(&folder, table);
            std::fs::write(&path, damage(std::fs::read(&path).unwrap())).unwrap();
        }
        let found = read(&folder, &["search", "--json"]).unwrap();
        let rows =
            found.strip_suffix(INCOMPLETE).expect("the exit code says that rows are missing");
        assert_eq!(lines(rows), 3, "{at}: {rows}");
        for row in rows.lines() {
            let row: serde_json::Value = serde_json::from_str(row).expect("nothing else on stdout");
            assert!(row["response"].is_null(), "{at}: {row}");
        }
        let shown = read(&folder, &["show", id, "--json"]).unwrap();
        assert!(shown.ends_with(INCOMPLETE) && lines(&shown) == lines(&whole) + 1, "{shown}");
        assert!(!read(&folder, &["sessions"]).unwrap().ends_with(INCOMPLETE), "not of its files");
        // What is not found keeps its own code: scripts rely on it.
        let path = file_of(&folder, "sessions");
        std::fs::write(&path, damage(std::fs::read(&path).unwrap())).unwrap();
        assert_eq!(read(&folder, &["show", "111111"]).unwrap_err().code(), EXIT_NOT_FOUND);
        assert!(read(&folder, &["sessions", "--json"]).unwrap().ends_with(INCOMPLETE));
    }
}
