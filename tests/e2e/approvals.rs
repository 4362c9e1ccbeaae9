//! Held and denied commands: who may release them, how a wait ends, and that the session lives on.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::lake::{Row, number, text};
use crate::support::raw::{
    bind, describe, execute, extended, kinds, message, packet, parse, query, sqlstate, sync,
};
use crate::support::scratch::output;
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Database, Postgres, Raw, Spec, Weir, wait_until};

/// DDL waits for one of `dba`, DELETE of everything for two, TRUNCATE is denied.
const RULES: &str = r#"
[[rule]]
name = "schema changes need a DBA"
when = { commands = ["ddl"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "TIMEOUT" } }

[[rule]]
name = "grants need two"
when = { commands = ["grant"] }
then = { hold = { approvers = ["dba"], quorum = 2, timeout = "TIMEOUT" } }

[[rule]]
name = "no unbounded writes"
when = { commands = ["unbounded-write"] }
then = { deny = "say which rows you mean" }

[[rule]]
name = "the rest"
when = {}
then = "allow"
"#;

fn start(database: &Database, timeout: &str) -> Weir {
    database.sql("CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things VALUES (1), (2)");
    database.sql("GRANT ALL ON things TO app");
    Spec::new(database)
        .rules(&RULES.replace("TIMEOUT", timeout))
        .user("dora", &["dba"])
        .user("dave", &["dba"])
        .user("eve", &["staff"])
        .user("root", &["dba", "staff"])
        .start()
}

/// Commands that wait, as the command line prints them.
fn waiting(weir: &Weir) -> Vec<Value> {
    let result = output(&mut weir.command(&["approvals", "list", "--json"]));
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let printed = String::from_utf8_lossy(&result.stdout).into_owned();
    printed.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// The id of the one command that waits, once it does.
fn wait_for_hold(weir: &Weir, part: &str) -> String {
    let mut id = String::new();
    wait_until("a command to be held", Duration::from_secs(20), || {
        let found = waiting(weir);
        let shown = found.iter().find(|ask| ask["text"].as_str().unwrap_or("").contains(part));
        id = shown.and_then(|ask| ask["id"].as_str()).unwrap_or_default().to_owned();
        !id.is_empty()
    });
    id
}

fn vote(weir: &Weir, act: &str, id: &str, user: &str) -> std::process::Output {
    let mut command: Command =
        weir.command(&["approvals", act, id, "--reason", "ticket 4711", "--as", user]);
    output(command.env("WEIR_PASSWORD", USER_PASSWORD))
}

fn counts(weir: &Weir, act: &str, id: &str, user: &str) {
    let result = vote(weir, act, id, user);
    assert!(result.status.success(), "{user}: {}", String::from_utf8_lossy(&result.stderr));
}

fn does_not_count(weir: &Weir, id: &str, user: &str) {
    let result = vote(weir, "approve", id, user);
    assert!(!result.status.success(), "the vote of {user} counted");
}

fn usable(raw: &mut Raw) {
    assert_eq!(raw.rows("SELECT 'usable'"), [[Some("usable".to_owned())]]);
}

fn exists(database: &Database, table: &str) -> bool {
    database.sql(&format!("SELECT to_regclass('{table}') IS NOT NULL")) == "t"
}

/// The steps of the one approval of a lake.
fn steps(rows: &[Row]) -> Vec<String> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| number(row, "log_index"));
    rows.iter().map(|row| text(row, "event")).collect()
}

#[test]
fn an_approved_command_runs_and_says_so_in_the_record() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE held_one (id int)"));
    let notice = raw.read().expect("a notice").expect("no end of stream");
    assert_eq!(notice.kind, b'N', "{notice:?}");
    let id = wait_for_hold(&weir, "held_one");
    assert!(notice.field(b'M').contains(&id), "{notice:?} does not name {id}");
    assert!(!exists(&database, "held_one"), "it ran before the approval");
    counts(&weir, "approve", &id, "dora");
    let messages = raw.read_ready(1);
    assert_eq!(kinds(&messages), "CZ", "{messages:?}");
    assert!(exists(&database, "held_one"));
    usable(&mut raw);
    drop(raw);
    let lake = weir.lake();
    let (command, response) = lake.exchange("held_one");
    assert_eq!(text(&command, "decision"), "allow");
    assert_eq!(text(&command, "approval_id"), id);
    assert_eq!(text(&response, "outcome"), "success");
    let approvals = lake.rows("approvals");
    assert_eq!(steps(&approvals), ["requested", "vote-approve", "approved"]);
    let vote = approvals.iter().find(|row| text(row, "event") == "vote-approve").expect("a vote");
    assert_eq!(text(vote, "approver"), "dora");
    assert_eq!(text(vote, "reason"), "ticket 4711");
    assert_eq!(text(vote, "user_name"), USER);
}

#[test]
fn a_refused_command_does_not_run_and_the_session_lives() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE held_two (id int)"));
    let id = wait_for_hold(&weir, "held_two");
    counts(&weir, "deny", &id, "dora");
    let messages = raw.read_ready(1);
    assert_eq!(sqlstate(&messages).as_deref(), Some("42501"), "{messages:?}");
    let error = messages.iter().find(|message| message.kind == b'E').expect("an error");
    assert!(error.field(b'M').contains("ticket 4711"), "{error:?}");
    usable(&mut raw);
    drop(raw);
    assert!(!exists(&database, "held_two"));
    let lake = weir.lake();
    let (command, response) = lake.exchange("held_two");
    assert_eq!(text(&command, "decision"), "deny");
    assert_eq!(text(&response, "outcome"), "denied");
    assert_eq!(steps(&lake.rows("approvals")), ["requested", "vote-deny", "denied"]);
}

#[test]
fn only_the_right_people_release_a_command() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    // A requester who is an approver too.
    let endpoint = weir.endpoint().with_user("root", USER_PASSWORD);
    let mut raw = Raw::login(&endpoint);
    raw.send(&query("GRANT SELECT ON things TO reader"));
    let id = wait_for_hold(&weir, "GRANT SELECT");
    does_not_count(&weir, &id, "root");
    does_not_count(&weir, &id, "eve");
    counts(&weir, "approve", &id, "dora");
    // A quorum of two is two people.
    // Her voice counts once, and she is told.
    counts(&weir, "approve", &id, "dora");
    let again = vote(&weir, "approve", &id, "dora");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("you have approved this before: 1 more"), "{said}");
    assert_eq!(waiting(&weir).len(), 1, "one voice released it");
    counts(&weir, "approve", &id, "dave");
    let messages = raw.read_ready(1);
    assert_eq!(sqlstate(&messages), None, "{messages:?}");
    assert!(waiting(&weir).is_empty());
}

/// Who approved and is removed before the command is released does not count: others are asked.
#[test]
fn the_vote_of_somebody_who_is_removed_lapses() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("GRANT SELECT ON things TO reader"));
    let first = wait_for_hold(&weir, "GRANT SELECT");
    counts(&weir, "approve", &first, "dora");
    weir.reload(|text| text.replace("name = \"dora\"", "name = \"gone\""));
    counts(&weir, "approve", &first, "dave");
    let second = wait_for_hold(&weir, "GRANT SELECT");
    assert_ne!(second, first, "a new ask in its place");
    // Late, and told how it ended.
    let late = vote(&weir, "deny", &first, "dave");
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(said.contains("too late: it was superseded at"), "{said}");
    for user in ["dave", "root"] {
        counts(&weir, "approve", &second, user);
    }
    assert_eq!(sqlstate(&raw.read_ready(1)), None);
    let late = vote(&weir, "deny", &second, "dave");
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(said.contains("too late: it was approved at"), "{said}");
    assert!(said.contains("`weir kill "), "{said}");
    drop(raw);
    let rows = weir.lake().rows("approvals");
    let lapsed = rows.iter().find(|row| text(row, "event") == "vote-lapsed").expect("a step");
    assert_eq!(text(lapsed, "approver"), "dora");
    let of_first: Vec<Row> =
        rows.iter().filter(|row| text(row, "approval_id") == first).cloned().collect();
    let expect =
        ["requested", "vote-approve", "vote-approve", "approved", "vote-lapsed", "superseded"];
    assert_eq!(steps(&of_first), expect);
}

#[test]
fn a_wrong_password_approves_nothing() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE held_three (id int)"));
    let id = wait_for_hold(&weir, "held_three");
    let mut command = weir.command(&["approvals", "approve", &id, "--reason", "x", "--as", "dora"]);
    let result = output(command.env("WEIR_PASSWORD", "guessed"));
    assert!(!result.status.success());
    assert_eq!(waiting(&weir).len(), 1);
}

#[test]
fn an_approver_needs_no_look_at_the_data() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE held_six (id int)"));
    let id = wait_for_hold(&weir, "held_six");
    let place = std::fs::read_to_string(weir.data_dir().join("admin.json")).expect("admin.json");
    let place: serde_json::Value = serde_json::from_str(&place).expect("JSON");
    let address = place["address"].as_str().expect("an address");
    let approvals = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.arg("approvals").args(arguments).env("WEIR_PASSWORD", USER_PASSWORD);
        output(command.env_remove("WEIR_DATA_DIR"))
    };
    let refused = approvals(&["list", "--admin", address]);
    assert!(!refused.status.success(), "the address alone names nobody");
    let away = approvals(&["list", "--as", "dora", "--admin", "192.0.2.1:7900"]);
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert!(!away.status.success() && said.contains("not on loopback"), "{said}");
    let heads = approvals(&["list", "--json", "--as", "dora", "--admin", address]);
    let heads = String::from_utf8_lossy(&heads.stdout).into_owned();
    let head: serde_json::Value = serde_json::from_str(heads.trim()).expect("one head");
    assert_eq!(head["id"], id);
    for absent in ["objects", "digest", "params"] {
        assert!(head.get(absent).is_none(), "a head has no {absent}: {heads}");
    }
    let vote = ["approve", &id, "--reason", "ticket 4711", "--as", "dora", "--admin", address];
    let counted = approvals(&vote);
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    assert_eq!(sqlstate(&raw.read_ready(1)), None);
}

#[test]
fn nobody_answers_and_the_hold_expires() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "2s");
    let mut raw = Raw::login(&weir.endpoint());
    let begun = Instant::now();
    assert_eq!(raw.fails("CREATE TABLE held_four (id int)"), "57014");
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    usable(&mut raw);
    drop(raw);
    assert!(!exists(&database, "held_four"));
    assert_eq!(steps(&weir.lake().rows("approvals")), ["requested", "expired"]);
}

#[test]
fn the_client_gives_up_by_a_cancel_request() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "1m");
    let (mut raw, greeting) = Raw::try_login(&weir.endpoint());
    let key = greeting.iter().find(|message| message.kind == b'K').expect("a key");
    raw.send(&query("CREATE TABLE held_five (id int)"));
    wait_for_hold(&weir, "held_five");
    let mut request = Raw::connect(weir.port);
    request.send(&packet(&[&80_877_102u32.to_be_bytes()[..], &key.body].concat()));
    assert!(request.read_to_end().is_empty());
    assert_eq!(sqlstate(&raw.read_ready(1)).as_deref(), Some("57014"));
    usable(&mut raw);
    assert!(waiting(&weir).is_empty());
    drop(raw);
    assert!(!exists(&database, "held_five"));
    nobody_denied(&mut weir, "held_five");
    assert_eq!(steps(&weir.lake().rows("approvals")), ["requested", "canceled"]);
}

/// A command that nobody waits for any more is that in every table and list.
fn nobody_denied(weir: &mut Weir, part: &str) {
    for (flag, word, is_there) in [
        ("--status", "abandoned", true),
        ("--status", "denied", false),
        ("--decision", "abandoned", true),
        ("--decision", "deny", false),
    ] {
        let arguments = ["search", "--since", "1h", "--grep", part, flag, word, "--json"];
        let found = output(&mut weir.command(&arguments));
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert_eq!(found.contains(part), is_there, "{flag} {word}: {found}");
    }
    let lake = weir.lake();
    let (command, response) = lake.exchange(part);
    assert_eq!(text(&command, "decision"), "abandoned");
    assert_eq!(text(&response, "outcome"), "abandoned");
    let asked = lake.rows("approvals");
    assert!(asked.iter().all(|row| text(row, "approval_id") == text(&command, "approval_id")));
    let ended = lake.rows("sessions").into_iter().filter(|row| text(row, "phase") == "end");
    assert_eq!(ended.map(|row| number(&row, "denied")).sum::<i64>(), 0);
}

#[test]
fn a_client_that_leaves_takes_its_command_along() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE held_six (id int)"));
    let id = wait_for_hold(&weir, "held_six");
    drop(raw);
    wait_until("the hold to end", Duration::from_secs(20), || waiting(&weir).is_empty());
    does_not_count(&weir, &id, "dora");
    assert!(!exists(&database, "held_six"));
    nobody_denied(&mut weir, "held_six");
    assert_eq!(steps(&weir.lake().rows("approvals")), ["requested", "abandoned"]);
}

#[test]
fn a_hold_stops_nobody_else() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut held = Raw::login(&weir.endpoint());
    held.send(&query("CREATE TABLE held_seven (id int)"));
    wait_for_hold(&weir, "held_seven");
    for _ in 0..4 {
        usable(&mut Raw::login(&weir.endpoint()));
    }
}

#[test]
fn a_hold_in_a_transaction_keeps_the_transaction() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("BEGIN");
    raw.query("INSERT INTO things VALUES (10)");
    raw.send(&query("CREATE TABLE held_eight (id int)"));
    let id = wait_for_hold(&weir, "held_eight");
    assert_eq!(database.sql("SELECT count(*) FROM things"), "2", "committed too early");
    counts(&weir, "approve", &id, "dora");
    let messages: Vec<_> = raw.read_ready(1).into_iter().filter(|m| m.kind != b'N').collect();
    assert_eq!(kinds(&messages), "CZ", "{messages:?}");
    assert_eq!(messages[1].body, b"T");
    raw.query("COMMIT");
    assert_eq!(database.sql("SELECT count(*) FROM things"), "3");
    assert!(exists(&database, "held_eight"));
}

#[test]
fn a_hold_in_a_pipeline_keeps_the_order() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(
        &[
            extended("INSERT INTO things VALUES ($1::int)", &[Some("20")]),
            extended("CREATE TABLE held_nine (id int)", &[]),
            extended("SELECT 'after'", &[]),
            sync(),
            query("SELECT 'behind'"),
        ]
        .concat(),
    );
    let id = wait_for_hold(&weir, "held_nine");
    counts(&weir, "approve", &id, "dora");
    let messages: Vec<_> = raw.read_ready(2).into_iter().filter(|m| m.kind != b'N').collect();
    assert_eq!(kinds(&messages), "12nC12nC12TDCZTDCZ", "{messages:?}");
    assert!(exists(&database, "held_nine"));
}

#[test]
fn a_prepared_command_is_held_each_time_it_runs() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&[parse("s", "CREATE TABLE held_ten (id int)"), sync()].concat());
    let prepared = raw.read_ready(1);
    assert_eq!(sqlstate(&prepared), None, "{prepared:?}");
    for act in ["approve", "deny"] {
        raw.send(&[bind("", "s", &[]), describe(b'P', ""), execute("", 0), sync()].concat());
        let id = wait_for_hold(&weir, "held_ten");
        counts(&weir, act, &id, "dora");
        let failed = sqlstate(&raw.read_ready(1));
        assert_eq!(failed.is_some(), act == "deny", "{act}: {failed:?}");
    }
    usable(&mut raw);
}

#[test]
fn a_denial_says_what_to_do_instead() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    let messages = raw.query("DELETE FROM things");
    assert_eq!(kinds(&messages), "EZ", "{messages:?}");
    assert_eq!(messages[0].field(b'C'), "42501");
    let said = format!("{:?}", messages[0]);
    assert!(said.contains("say which rows you mean"), "{said}");
    assert!(said.contains("no unbounded writes"), "{said}");
    usable(&mut raw);
    drop(raw);
    assert_eq!(database.sql("SELECT count(*) FROM things"), "2");
    let (command, response) = weir.lake().exchange("DELETE FROM things");
    assert_eq!(text(&command, "decision"), "deny");
    assert_eq!(text(&command, "rule"), "no unbounded writes");
    assert_eq!(text(&response, "outcome"), "denied");
    assert_eq!(text(&response, "status_code"), "42501");
}

#[test]
fn a_denial_in_a_transaction_fails_the_transaction_as_an_error_does() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("BEGIN");
    raw.query("INSERT INTO things VALUES (30)");
    let messages = raw.query("TRUNCATE things");
    assert_eq!(kinds(&messages), "EZ", "{messages:?}");
    assert_eq!(messages[1].body, b"E", "the client believes its transaction goes on");
    assert_eq!(raw.fails("SELECT 1"), "25P02");
    raw.query("ROLLBACK");
    usable(&mut raw);
    assert_eq!(database.sql("SELECT count(*) FROM things"), "2");
}

#[test]
fn a_denial_in_a_pipeline_stays_in_its_place() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(
        &[
            extended("SELECT 'before'", &[]),
            extended("DELETE FROM things", &[]),
            extended("INSERT INTO things VALUES (40)", &[]),
            sync(),
            extended("SELECT 'after'", &[]),
            sync(),
        ]
        .concat(),
    );
    let messages = raw.read_ready(2);
    assert_eq!(sqlstate(&messages).as_deref(), Some("42501"));
    let shape = kinds(&messages);
    // Where weir says no (at Parse or at Execute) is its own business; what is before and after is
    // not: the first answer whole, one error, one Z, and the second segment whole.
    assert!(shape.starts_with("12TDC"), "{shape}");
    assert!(shape.ends_with("EZ12TDCZ"), "{shape}");
    assert_eq!(shape.matches('E').count(), 1, "{shape}");
    assert_eq!(database.sql("SELECT count(*) FROM things"), "2", "a skipped command ran");
    usable(&mut raw);
}

#[test]
fn one_denied_statement_denies_the_query_it_stands_in() {
    let database = Postgres::shared().database();
    let weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    let sql = "INSERT INTO things VALUES (50); DELETE FROM things; SELECT 1";
    assert_eq!(raw.fails(sql), "42501");
    assert_eq!(database.sql("SELECT count(*) FROM things"), "2");
    usable(&mut raw);
}

#[test]
fn a_held_command_that_weir_dies_with_never_runs_and_is_recorded() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "1m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE held_eleven (id int)"));
    wait_for_hold(&weir, "held_eleven");
    weir.kill();
    weir.start();
    assert!(waiting(&weir).is_empty());
    let lake = weir.lake();
    assert!(!exists(&database, "held_eleven"));
    let commands = lake.commands_with("held_eleven");
    assert_eq!(commands.len(), 1, "{commands:#?}");
    assert_ne!(text(&commands[0], "decision"), "allow");
    // Recovery writes into the log of the lowest shard, which numbers its rows by itself.
    let mut told = steps(&lake.rows("approvals"));
    told.sort_unstable();
    assert_eq!(told, ["abandoned", "requested"]);
}

#[test]
fn nothing_matched_means_denied() {
    let database = Postgres::shared().database();
    let rules = "[[rule]]\nname = \"reads\"\nwhen = { commands = [\"read\"] }\nthen = \"allow\"\n";
    let weir = Spec::new(&database).rules(rules).start();
    let mut raw = Raw::login(&weir.endpoint());
    usable(&mut raw);
    for sql in ["CREATE TABLE t (id int)", "SET work_mem = '1MB'", "DO $$ BEGIN END $$"] {
        assert_eq!(raw.fails(sql), "42501", "{sql}");
    }
    usable(&mut raw);
}

#[test]
fn nobody_is_asked_about_what_the_server_skips() {
    let database = Postgres::shared().database();
    let mut weir = start(&database, "10m");
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&[parse("s", "SELECT 1"), sync()].concat());
    raw.read_ready(1);
    let create = |name: &str| format!("CREATE TABLE {name} (id int)");
    let run = |name: &str| [bind("", name, &[]), execute("", 0)].concat();
    for (what, bytes) in [
        ("its Parse fails", [parse("s", &create("skipped")), run("s")].concat()),
        (
            "a Bind before it fails",
            [parse("", "SELECT 1/0"), run(""), query(&create("skipped"))].concat(),
        ),
        (
            "two commands in one Parse",
            [parse("", &format!("SELECT 1; {}", create("skipped"))), run("")].concat(),
        ),
    ] {
        raw.send(&[bytes, sync()].concat());
        let messages = raw.read_ready(1);
        assert!(sqlstate(&messages).is_some(), "{what}: {messages:?}");
        assert!(waiting(&weir).is_empty(), "{what}");
        usable(&mut raw);
    }
    assert!(!exists(&database, "skipped"));
    drop(raw);
    let lake = weir.lake();
    let ended = steps(&lake.rows("approvals"));
    assert!(ended.iter().all(|step| step == "requested" || step == "abandoned"), "{ended:?}");
}

#[test]
fn a_function_call_is_shown_with_its_name_and_arguments() {
    let database = Postgres::shared().database();
    let rules = "[[rule]]\nname = \"objects\"\nwhen = { commands = [\"function-call\"], \
        functions = [\"lo_*\"] }\nthen = { hold = { approvers = [\"dba\"] } }\n\
        [[rule]]\nname = \"reads\"\nwhen = { commands = [\"read\"] }\nthen = \"allow\"\n";
    let mut weir = Spec::new(&database).rules(rules).user("dora", &["dba"]).start();
    let mut raw = Raw::login(&weir.endpoint());
    // lo_create(4711), its argument as text.
    let mut body = 715_u32.to_be_bytes().to_vec();
    body.extend_from_slice(b"\0\x01\0\0\0\x01\0\0\0\x044711\0\0");
    raw.send(&message(b'F', &body));
    let id = wait_for_hold(&weir, "lo_create");
    let shown = output(&mut weir.command(&["approvals", "show", &id]));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("lo_create") && shown.contains("4711"), "{shown}");
    counts(&weir, "approve", &id, "dora");
    let messages = raw.read_ready(1);
    assert_eq!(sqlstate(&messages), None, "{messages:?}");
    // abs(int4) is not among them.
    let mut other = 1397_u32.to_be_bytes().to_vec();
    other.extend_from_slice(b"\0\x01\0\0\0\x01\0\0\0\x01\x35\0\0");
    raw.send(&message(b'F', &other));
    assert_eq!(sqlstate(&raw.read_ready(1)).as_deref(), Some("42501"));
    drop(raw);
    let made = weir.lake().commands_with("lo_create, 715");
    assert!(text(&made[0], "params_json").contains("4711"), "{made:?}");
}
