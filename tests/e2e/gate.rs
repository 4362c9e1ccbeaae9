//! One ruling per statement: inputs by which a statement once ran, or was read, under another's.
//!
//! A table of conversations, each run on both server versions under rules for agents and under
//! rules that allow everything. What the server ran it says itself (`log_statement`); what weir
//! recorded is the same, in the same order. Nothing that is denied or held runs for agents, and no
//! masked value reaches anybody.

use std::io::ErrorKind;
use std::time::Duration;

use crate::support::lake::{Row, number, text};
use crate::support::raw::{
    Message, Raw, bind, close, describe, execute, flush, message, parse, query, sync,
};
use crate::support::weir::CLEAR;
use crate::support::{Database, Postgres, Spec, Weir};

/// Stands in the masked column alone.
const CANARY: &str = "987-65-4321";
/// Stands in each statement that agents must not run.
const NEVER: &str = "victim";

const SCHEMA: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, ssn text);
    INSERT INTO customers VALUES (1, '987-65-4321'), (2, '987-65-4321');
    CREATE TABLE orders (id int PRIMARY KEY, state text);
    INSERT INTO orders SELECT n, 'new' FROM generate_series(1, 9) n;
    CREATE TABLE victim (id int PRIMARY KEY, state text);
    INSERT INTO victim VALUES (1, 'untouched');
    CREATE TABLE scratch (id int, note text);
    GRANT ALL ON customers, orders, victim, scratch TO app";

const AGENTS: &str = r#"
[[rule]]
name = "scratch is theirs"
when = { commands = ["write"], touches = ["public.scratch"] }
then = "allow"
[[rule]]
name = "a person looks"
when = { commands = ["unbounded-write"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "1s" } }
[[rule]]
name = "no definitions"
when = { commands = ["ddl", "grant", "set-role"] }
then = "deny"
[[rule]]
name = "the rest"
when = { commands = ["read", "session", "transaction"] }
then = "allow"
"#;

const ANYTHING: &str = "[[rule]]\nname = \"all\"\nwhen = {}\nthen = \"allow\"\n";

const MASKS: &str = r#"
[[mask]]
columns = ["public.customers.ssn"]
operator = "redact"
"#;

/// What is sent in one write, and the ReadyForQuery that answer it.
type Turn = (Vec<u8>, usize);

struct Case {
    what: String,
    turns: Vec<Turn>,
}

/// A conversation; several messages of one turn go out in one write.
fn case(what: impl Into<String>, turns: &[(&[Vec<u8>], usize)]) -> Case {
    let turns = turns.iter().map(|(messages, ready)| (messages.concat(), *ready));
    Case { what: what.into(), turns: turns.collect() }
}

/// Runs a text by messages, without a Sync.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

/// The same, and a Sync.
fn extended(sql: &str) -> Vec<u8> {
    [run(sql), sync()].concat()
}

/// The text by a Query, and by messages.
fn both(sql: &str) -> [Vec<u8>; 2] {
    [query(sql), extended(sql)]
}

const READS: &str = "SELECT id FROM customers";
const WRITES: &str = "UPDATE victim SET state = 'gone' WHERE id = 1";
const HELD: &str = "DELETE FROM victim";
const SHOWS: &str = "SELECT ssn FROM customers";

/// Statements whose names are given away, taken, or never were.
fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for drop in ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE s", "DEALLOCATE PREPARE s"] {
        for (how, dropped) in ["simple", "extended"].iter().zip(both(drop)) {
            for then in [WRITES, HELD, SHOWS] {
                let uses = || [bind("", "s", &[]), execute("", 0), sync()].concat();
                cases.push(case(
                    format!("{drop} ({how}), the name again for {then}"),
                    &[
                        (&[parse("s", READS), sync()], 1),
                        (std::slice::from_ref(&dropped), 1),
                        (&[parse("s", then), sync()], 1),
                        (&[uses()], 1),
                    ],
                ));
                cases.push(case(
                    format!("the same in one write: {drop} ({how}), {then}"),
                    &[
                        (&[parse("s", READS), sync()], 1),
                        (&[dropped.clone(), parse("s", then), uses()], 2),
                    ],
                ));
            }
        }
    }
    for then in [WRITES, HELD, SHOWS] {
        cases.extend(names_in_errors(then));
        cases.extend(names_of_sql(then));
    }
    cases.extend(odd_names());
    cases
}

/// Names that a pipeline would have changed if it had not failed before.
fn names_in_errors(then: &str) -> Vec<Case> {
    let uses = || [bind("", "s", &[]), execute("", 0), sync()].concat();
    vec![
        case(
            format!("a name in use stays what it was: {then}"),
            &[(&[parse("s", READS), sync()], 1), (&[parse("s", then), uses()], 1), (&[uses()], 1)],
        ),
        case(
            format!("a Close that is skipped: {then}"),
            &[
                (&[parse("s", then), sync()], 1),
                (&[run("SELECT 1/0"), close(b'S', "s"), parse("s", READS), sync()], 1),
                (&[uses()], 1),
            ],
        ),
        case(
            format!("a Parse that is skipped behind a Close that is not: {then}"),
            &[
                (&[parse("s", READS), sync()], 1),
                (&[close(b'S', "s"), run("SELECT 1/0"), parse("s", then), sync()], 1),
                (&[uses()], 1),
                (&[parse("s", then), sync(), uses()], 2),
            ],
        ),
        case(
            format!("DEALLOCATE in a transaction that is rolled back: {then}"),
            &[
                (&[parse("s", READS), sync(), query("BEGIN")], 2),
                (&[query("DEALLOCATE s"), query("ROLLBACK")], 2),
                (&[parse("s", then), sync()], 1),
                (&[uses()], 1),
            ],
        ),
        case(
            format!("the unnamed statement, replaced by a Query: {then}"),
            &[
                (&[parse("", then), sync()], 1),
                (&[query("SELECT 1"), bind("", "", &[]), execute("", 0), sync()], 2),
            ],
        ),
    ]
}

/// PREPARE, EXECUTE and what else refers to a statement by name in SQL.
fn names_of_sql(then: &str) -> Vec<Case> {
    let prepare = format!("PREPARE q AS {then}");
    let anew = format!("DEALLOCATE q; PREPARE q AS {then}; EXECUTE q");
    let nested = format!("PREPARE q AS {READS}; DEALLOCATE q; {prepare}");
    let mut cases = vec![
        case(
            format!("one text gives a name away and takes it: {then}"),
            &[(&[query(&format!("PREPARE q AS {READS}"))], 1), (&[query(&anew)], 1)],
        ),
        case(
            format!("messages use what SQL prepared: {then}"),
            &[(&[query(&prepare)], 1), (&[bind("", "q", &[]), execute("", 0), sync()], 1)],
        ),
        case(
            format!("SQL uses what messages prepared: {then}"),
            &[(&[parse("q", then), sync()], 1), (&[query("EXECUTE q")], 1)],
        ),
        case(
            format!("a text that prepares twice: {then}"),
            &[(&[query(&nested)], 1), (&[extended("EXECUTE q")], 1)],
        ),
        case(
            format!("an EXECUTE that was bound before its name changed: {then}"),
            &[
                (&[query("BEGIN"), query(&format!("PREPARE q AS {READS}"))], 2),
                (
                    &[
                        parse("x", "EXECUTE q"),
                        bind("p", "x", &[]),
                        run("DEALLOCATE q"),
                        run(&prepare),
                        execute("p", 0),
                        sync(),
                    ],
                    1,
                ),
                (&[query("ROLLBACK")], 1),
            ],
        ),
    ];
    for refers in ["EXECUTE q", "EXPLAIN ANALYZE EXECUTE q", "CREATE TABLE copied AS EXECUTE q"] {
        for (how, execution) in ["simple", "extended"].iter().zip(both(refers)) {
            cases.push(case(
                format!("{refers} ({how}) of {then}"),
                &[
                    (&[query(&prepare)], 1),
                    (&[execution], 1),
                    (&[query("DROP TABLE IF EXISTS copied")], 1),
                ],
            ));
        }
    }
    cases
}

/// Names that a server keeps otherwise than they were said.
fn odd_names() -> Vec<Case> {
    let (one, other) = (format!("{}a", "n".repeat(63)), format!("{}b", "n".repeat(63)));
    let latin = |body: &[u8]| message(b'P', &[&[0xe9, 0], body, b"\0\0\0"].concat());
    vec![
        case(
            "names that are equal in their first 63 bytes",
            &[
                (&[parse(&one, READS), sync()], 1),
                (&[parse(&other, WRITES), sync()], 1),
                (&[bind("", &one, &[]), execute("", 0), sync()], 1),
            ],
        ),
        case(
            "the same, in SQL",
            &[
                (&[query(&format!("PREPARE {one} AS {READS}"))], 1),
                (&[query(&format!("DEALLOCATE {}", "n".repeat(63)))], 1),
                (&[query(&format!("PREPARE {other} AS {HELD}"))], 1),
                (&[query(&format!("EXECUTE {one}"))], 1),
            ],
        ),
        case(
            "a name under another encoding",
            &[
                (&[parse("\u{e9}", READS), sync()], 1),
                (&[query("SET client_encoding = 'LATIN1'")], 1),
                (&[latin(WRITES.as_bytes()), sync()], 1),
                (&[bind("", "\u{e9}", &[]), execute("", 0), sync()], 1),
            ],
        ),
    ]
}

/// Portals: what a name reads, and whose description its rows are under.
fn portals() -> Vec<Case> {
    let mut cases = Vec::new();
    let portal = |name: &str, sql: &str| {
        [parse("", sql), bind(name, "", &[]), describe(b'P', name), execute(name, 1)].concat()
    };
    let again = || [parse("", SHOWS), bind("p", "", &[]), execute("p", 0)].concat();
    let ends = [
        run("COMMIT AND CHAIN"),
        run("ROLLBACK AND CHAIN"),
        [run("COMMIT"), run("BEGIN")].concat(),
        run("CLOSE p"),
        run("CLOSE ALL"),
        run("ROLLBACK TO a"),
        close(b'P', "p"),
    ];
    for (index, end) in ends.into_iter().enumerate() {
        cases.push(case(
            format!("a portal of one name, and another one behind its end ({index})"),
            &[
                (&[query("BEGIN"), query("SAVEPOINT a")], 2),
                (&[portal("p", READS), end.clone(), again(), sync()], 1),
                (&[query("ROLLBACK")], 1),
            ],
        ));
        cases.push(case(
            format!("the same, each waited for ({index})"),
            &[
                (&[query("BEGIN"), query("SAVEPOINT a")], 2),
                (&[portal("p", READS), flush()], 0),
                (&[end, sync()], 1),
                (&[again(), sync()], 1),
                (&[query("ROLLBACK")], 1),
            ],
        ));
    }
    cases.extend(cursors());
    cases.push(case(
        "a portal of messages, fetched by SQL",
        &[
            (&[query("BEGIN"), portal("p", SHOWS), sync()], 2),
            (&[query("FETCH p"), query("COMMIT")], 2),
        ],
    ));
    cases.push(case(
        "a portal goes on behind what was sent meanwhile",
        &[
            (&[query("BEGIN"), portal("p", SHOWS), sync()], 2),
            (&[run(READS), execute("p", 1), run("SELECT 1"), execute("p", 1), sync()], 1),
            (&[query("COMMIT")], 1),
        ],
    ));
    cases
}

/// Cursors of SQL.
fn cursors() -> Vec<Case> {
    let mut cases = Vec::new();
    for hold in ["", "WITH HOLD "] {
        let declare = format!("DECLARE c CURSOR {hold}FOR {SHOWS}");
        let clean = format!("DECLARE c CURSOR {hold}FOR {READS}");
        cases.push(case(
            format!("a cursor {hold}by name, in SQL and by Execute"),
            &[
                (&[query("BEGIN"), query(&declare)], 2),
                (&[query("FETCH c"), extended("FETCH c")], 2),
                (&[describe(b'P', "c"), execute("c", 1), sync()], 1),
                (&[query("COMMIT"), query("FETCH c"), query("CLOSE ALL")], 3),
            ],
        ));
        cases.push(case(
            format!("a cursor {hold}that is another one by now"),
            &[
                (&[query(&format!("BEGIN; {clean}"))], 1),
                (&[query("FETCH c"), query(&format!("CLOSE c; {declare}; FETCH c"))], 2),
                (&[execute("c", 0), sync()], 1),
                (&[query("ROLLBACK"), query("CLOSE ALL")], 2),
            ],
        ));
    }
    cases
}

/// What changes how the texts behind it are read.
fn changes() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for encoding in ["SJIS", "WIN932", "mskanji", "BIG5", "GBK", "UHC", "GB18030", "JOHAB"] {
        all.push(format!("SET client_encoding = '{encoding}'"));
        all.push(format!("SELECT set_config('client_encoding', '{encoding}', false)"));
    }
    all.push("SET NAMES 'SJIS'".to_owned());
    all.push("SET LOCAL client_encoding = 'SJIS'".to_owned());
    for (name, value) in [("standard_conforming_strings", "off"), ("client_encoding", "SJIS")] {
        all.push(format!("UPDATE pg_settings SET setting = '{value}' WHERE name = '{name}'"));
    }
    all.push("SET standard_conforming_strings = off".to_owned());
    all.push("SET SESSION standard_conforming_strings TO 'off'".to_owned());
    all.push("SELECT set_config('standard_conforming_strings', 'off', false)".to_owned());
    all.push("SELECT set_config('Standard_Conforming' || '_Strings', 'off', true)".to_owned());
    all
}

/// One text in two readings: the quote that ends a string is another one by the encoding or by the
/// setting. One of the readings drops a table.
fn two_readings() -> Vec<Vec<u8>> {
    vec![
        b"SELECT E'\x95\x5c'; DROP TABLE victim; --'".to_vec(),
        b"SELECT '\x95\x5c'; DROP TABLE victim; --'".to_vec(),
        b"SELECT '\\''; DROP TABLE victim; --'".to_vec(),
        b"SELECT '\\'; DROP TABLE victim; --'".to_vec(),
    ]
}

fn readings() -> Vec<Case> {
    let mut cases = Vec::new();
    let of = |text: &[u8]| message(b'Q', &[text, b"\0"].concat());
    let by_parse = |text: &[u8]| {
        let parse = message(b'P', &[b"\0", text, b"\0\0\0"].concat());
        [parse, bind("", "", &[]), execute("", 0), sync()].concat()
    };
    for (index, change) in changes().iter().enumerate() {
        for (number, text) in two_readings().iter().enumerate() {
            let what = |how: &str| format!("{change}, {how}, reading {number}");
            let (asked, parsed) = (of(text), by_parse(text));
            cases.push(case(what("in one write"), &[(&[query(change), asked.clone()], 2)]));
            // The rest of them by turns: each takes its time.
            match (index + number) % 3 {
                0 => cases.push(case(
                    what("waited for"),
                    &[(&[query(change)], 1), (&[asked], 1), (&[parsed], 1)],
                )),
                1 => cases.push(case(what("in its pipeline"), &[(&[run(change), parsed], 1)])),
                _ => cases.push(case(
                    what("rolled back"),
                    &[
                        (&[query("BEGIN"), query(change)], 2),
                        (&[query("ROLLBACK"), asked, parsed], 3),
                    ],
                )),
            }
        }
    }
    cases.push(case(
        "a setting by the fast path, whose arguments no text has",
        &[(&[by_oid(&["standard_conforming_strings", "off"])], 1), (&[of(&two_readings()[2])], 1)],
    ));
    cases.push(case(
        "a role by the fast path",
        &[(&[by_oid(&["role", "pg_monitor"])], 1), (&[query("SELECT current_user")], 1)],
    ));
    cases
}

/// `set_config(.., .., false)` as a FunctionCall (pg_proc.dat, 2078).
fn by_oid(arguments: &[&str]) -> Vec<u8> {
    let mut body = [&2078_u32.to_be_bytes()[..], &[0, 0, 0, 3]].concat();
    for argument in arguments.iter().chain(&["false"]) {
        body.extend((argument.len() as u32).to_be_bytes());
        body.extend(argument.as_bytes());
    }
    message(b'F', &[body, vec![0, 0]].concat())
}

/// Who acts, and whose transactions end.
fn roles() -> Vec<Case> {
    let texts = [
        "SET ROLE victim_role",
        "SET SESSION ROLE 'victim_role'",
        "SET LOCAL ROLE victim_role",
        "SET SESSION AUTHORIZATION victim_role",
        "SELECT set_config('role', 'victim_role', false)",
        "SELECT set_config('ro' || 'le', 'victim_role', false)",
        "UPDATE pg_settings SET setting = 'victim_role' WHERE name = 'role'",
        "UPDATE pg_settings SET setting = 'victim_role' WHERE name LIKE 'rol_'",
        "COMMIT PREPARED 'victim'",
        "ROLLBACK PREPARED 'victim'",
    ];
    let both = texts.iter().flat_map(|text| both(text).map(|sent| (text, sent)));
    both.map(|(text, sent)| case(format!("{text} as {}", char::from(sent[0])), &[(&[sent], 1)]))
        .collect()
}

/// Data of a COPY, and what is taken for it or is not.
fn copies() -> Vec<Case> {
    let data = |text: &str| message(b'd', text.as_bytes());
    let done = || message(b'c', b"");
    let failed = || message(b'f', b"no more\0");
    let copy = || query("COPY scratch FROM STDIN");
    let by_messages = || run("COPY scratch FROM STDIN");
    let write = || query(WRITES);
    vec![
        case("a COPY and a write behind it", &[(&[copy(), data("1\ta\n"), done(), write()], 2)]),
        case("a COPY that is given up", &[(&[copy(), data("1\ta\n"), failed(), write()], 2)]),
        case(
            "data that fails, and its rest",
            &[(&[copy(), data("x\ta\n"), data("2\tb\n"), done(), write()], 2)],
        ),
        case(
            "a COPY of no table, data that nobody takes",
            &[(&[query("COPY nowhere FROM STDIN"), data("1\ta\n"), done(), write()], 2)],
        ),
        case(
            "Sync and Flush inside of the data are none",
            &[(
                &[by_messages(), sync(), data("1\ta\n"), flush(), sync(), done(), sync(), write()],
                2,
            )],
        ),
        case(
            "the same, and the data fails",
            &[(&[by_messages(), sync(), data("x\ta\n"), sync(), done(), sync(), write()], 3)],
        ),
        case(
            "two COPYs in one text",
            &[(
                &[
                    query("COPY scratch FROM STDIN; SELECT 1; COPY scratch FROM STDIN"),
                    data("1\ta\n"),
                    done(),
                    data("2\tb\n"),
                    done(),
                    write(),
                ],
                2,
            )],
        ),
        case(
            "a COPY to the client of what is masked, and of what is not",
            &[(
                &[
                    query("COPY customers TO STDOUT"),
                    query("COPY orders TO STDOUT"),
                    query("COPY (SELECT ssn FROM customers) TO STDOUT"),
                ],
                3,
            )],
        ),
    ]
}

fn cases() -> Vec<Case> {
    [names(), portals(), readings(), roles(), copies()].into_iter().flatten().collect()
}

/// Says all of a case, and what came of it. A session may end before its time.
fn converse(weir: &Weir, marker: &str, turns: &[Turn]) -> Result<Vec<Message>, String> {
    let mut raw = Raw::login(&weir.endpoint());
    raw.set_timeout(Duration::from_secs(20));
    let mut heard = raw.query(marker);
    for (bytes, ready) in turns {
        if raw.try_send(bytes).is_err() {
            return Ok(heard);
        }
        let mut left = *ready;
        while left > 0 {
            match raw.read() {
                Ok(Some(message)) => {
                    left -= usize::from(message.kind == b'Z');
                    heard.push(message);
                }
                Ok(None) => return Ok(heard),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(heard),
                Err(error) => return Err(format!("{error}; heard {heard:?}")),
            }
        }
    }
    Ok(heard)
}

/// What two texts have in common whatever their encoding is.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Stands in a backend's texts where its session ends: the next one may have its number.
const OVER: &str = "(over)";

/// The texts that a backend says it ran, in order.
fn ran(log: &str, pid: &str) -> Vec<String> {
    let mine = format!("[{pid}] LOG:  ");
    let said = log.lines().filter_map(|line| line.split_once(&mine).map(|(_, said)| said));
    let text = |said: &str| {
        if said.starts_with("disconnection: ") {
            return Some(OVER.to_owned());
        }
        let (what, text) = said.split_once(": ")?;
        let is_one = what == "statement" || what.starts_with("execute ");
        is_one.then(|| plain(text))
    };
    said.filter_map(text).collect()
}

/// Commands of a session in their order, as text and whether they ended well; none that was
/// refused.
fn recorded(commands: &[Row], responses: &[Row], session: &str) -> Vec<(String, bool)> {
    let mine = |row: &&Row| text(row, "session_id") == session;
    let mut commands: Vec<&Row> = commands.iter().filter(mine).collect();
    commands.sort_by_key(|row| number(row, "log_index"));
    let responses: Vec<&Row> = responses.iter().filter(mine).collect();
    let allowed = commands.into_iter().filter(|row| text(row, "decision") == "allow");
    let with_end = allowed.map(|row| {
        let end = responses.iter().find(|end| number(end, "command_seq") == number(row, "seq"));
        let ended = end.map_or(String::new(), |end| text(end, "outcome"));
        // What the fast path calls is no text.
        let calls = text(row, "operation").starts_with("FUNCTION");
        (plain(&text(row, "query_text")), ended == "success" && !calls)
    });
    with_end.collect()
}

/// Whether these texts stand among the others in the same order.
fn are_among<'t>(
    mut some: impl Iterator<Item = &'t String>,
    others: impl Iterator<Item = &'t String>,
) -> Result<(), String> {
    let mut others = others;
    let missing = some.find(|text| !others.any(|other| other == *text));
    missing.map_or(Ok(()), |text| Err(text.clone()))
}

#[test]
fn agents_run_what_was_ruled_on() {
    check_at(Postgres::shared(), AGENTS, "agents");
}

#[test]
fn agents_run_what_was_ruled_on_at_the_newest_server() {
    if let Some(server) = Postgres::newest() {
        check_at(server, AGENTS, "agents");
    }
}

#[test]
fn what_is_recorded_is_what_ran() {
    check_at(Postgres::shared(), ANYTHING, "anything");
}

#[test]
fn what_is_recorded_is_what_ran_at_the_newest_server() {
    if let Some(server) = Postgres::newest() {
        check_at(server, ANYTHING, "anything");
    }
}

fn check_at(server: &Postgres, rules: &str, prefix: &str) {
    let database = server.database();
    prepare(&database);
    let mut weir = Spec::new(&database)
        .target_settings(&database.endpoint(), CLEAR)
        .rules(rules)
        .masks(MASKS)
        .user("dora", &["dba"])
        .start();
    let mut wrong: Vec<String> = Vec::new();
    let mut pids = Vec::new();
    for (number, case) in cases().iter().enumerate() {
        let marker = format!("SELECT pg_backend_pid(), '{prefix}{number}e'");
        let heard = match converse(&weir, &marker, &case.turns) {
            Ok(heard) => heard,
            Err(why) => {
                wrong.push(format!("{}: {why}", case.what));
                Vec::new()
            }
        };
        let row = heard.iter().find(|message| message.kind == b'D');
        pids.push(row.and_then(|row| row.values()[0].clone()));
        for message in &heard {
            let said = String::from_utf8_lossy(&message.body);
            if said.contains(CANARY) {
                wrong.push(format!("{}: {message:?}", case.what));
            }
        }
        if rules == AGENTS {
            let state = database.sql("SELECT state FROM victim");
            assert_eq!(state, "untouched", "{}: {heard:?}", case.what);
        } else {
            prepare(&database);
        }
    }
    compare(&mut weir, server, (prefix, &pids), &mut wrong);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Makes the tables anew, and has the server say what it runs.
fn prepare(database: &Database) {
    database.sql("DROP TABLE IF EXISTS customers, orders, victim, scratch, copied");
    database.sql(SCHEMA);
    // Roles belong to the whole server, which several tests share.
    database.sql(
        "DO $$ BEGIN CREATE ROLE victim_role; GRANT victim_role TO app; \
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    );
    let name = &database.name;
    database.sql(&format!("ALTER DATABASE {name} SET log_statement = 'all'"));
}

/// What ran, beside the record.
fn compare(
    weir: &mut Weir,
    server: &Postgres,
    (prefix, pids): (&str, &[Option<String>]),
    wrong: &mut Vec<String>,
) {
    let lake = weir.lake();
    let log = server.log();
    let (commands, responses) = (lake.rows("commands"), lake.rows("responses"));
    let mut ended_well = 0;
    for (number, (case, pid)) in cases().iter().zip(pids).enumerate() {
        let Some(pid) = pid else { continue };
        let marker = plain(&format!("SELECT pg_backend_pid(), '{prefix}{number}e'"));
        let first = commands.iter().find(|row| plain(&text(row, "query_text")) == marker);
        let session = text(first.expect("the marker's row"), "session_id");
        let recorded = recorded(&commands, &responses, &session);
        let ran = ran(&log, pid);
        let ran: Vec<String> = (ran.into_iter())
            .skip_while(|text| *text != marker)
            .take_while(|text| text != OVER)
            .collect();
        ended_well += recorded.iter().filter(|(_, done)| *done).count();
        let all = recorded.iter().map(|(text, _)| text);
        let done = recorded.iter().filter(|(_, done)| *done).map(|(text, _)| text);
        // A SELECT may name it in a constant.
        let touched = |text: &String| {
            let is_role = text.contains("victimrole");
            is_role || (text.contains(NEVER) && !text.contains("SELECT"))
        };
        let found = if ran.is_empty() {
            Err("the server says nothing".to_owned())
        } else if prefix == "agents" && ran.iter().any(touched) {
            Err("ran".to_owned())
        } else {
            let unrecorded = are_among(ran.iter(), all).map_err(|it| format!("no row of {it}"));
            let unheard = || are_among(done, ran.iter()).map_err(|it| format!("did not run: {it}"));
            unrecorded.and_then(|()| unheard())
        };
        if let Err(why) = found {
            wrong.push(format!("{}: {why}; {recorded:?} but {ran:?}", case.what));
        }
    }
    // More than the markers alone.
    assert!(ended_well > pids.len() + pids.len() / 4, "{ended_well} statements ended well");
}
