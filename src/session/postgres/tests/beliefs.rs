//! The gate is not walked around: each kind of it, message by message.

use super::behaviour::{error_code, record};
use super::*;

/// Texts that weir does not understand are allowed.
const LENIENT: &str = r#"
[[rule]]
name = "anything"
when = { groups = ["agents"], commands = ["unknown", "call", "transaction"] }
then = "allow"
"#;

const MASKED: &str = r#"
[[rule]]
name = "transactions"
when = { groups = ["agents"], commands = ["transaction"] }
then = "allow"
[[mask]]
detect = ["credit-card"]
operator = "redact"
"#;

fn parsed() -> Vec<u8> {
    message(b'1', b"")
}

fn bound() -> Vec<u8> {
    message(b'2', b"")
}

fn ready() -> Vec<u8> {
    ready_for_query(b'I')
}

/// One statement is prepared under a name, in a pipeline of its own.
fn prepare(bench: &mut Bench, name: &str, text: &str) {
    bench.client(&[parse(name, text), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PS", "{text}");
    bench.server(&[parsed(), ready()].concat());
    assert_eq!(bench.tags(Side::Client), "1Z", "{text}");
}

fn ask(bench: &mut Bench, text: &str, tags: &[&str]) {
    bench.client(&query(text));
    assert_eq!(bench.tags(Side::Server), "Q", "{text}");
    let done: Vec<u8> = tags.iter().flat_map(|tag| complete(tag)).collect();
    bench.server(&[done, ready()].concat());
    bench.take(Side::Client);
}

/// The tags of what has been said to the client, and the code of its first error.
fn refused(bench: &mut Bench) -> (String, String) {
    let said = messages(&bench.take(Side::Client));
    let tags = said.iter().map(|(tag, _)| char::from(*tag)).collect();
    let error = said.iter().find(|(tag, _)| *tag == b'E');
    (tags, error.map(|(_, body)| error_code(body)).unwrap_or_default())
}

fn is_over(bench: &Bench) -> bool {
    bench.outputs.iter().any(|output| matches!(output, Output::Close(_)))
}

#[test]
fn a_name_dropped_unseen_means_what_it_is_given_next() {
    for drop in ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE s"] {
        let mut bench = Bench::ready();
        prepare(&mut bench, "s", "SELECT 1");
        ask(&mut bench, drop, &[drop]);
        prepare(&mut bench, "s", "UPDATE orders SET a = 1 WHERE id = 2");
        bench.client(&[bind("", "s"), execute(""), sync()].concat());
        assert_eq!(bench.tags(Side::Server), "BES");
        let last = record(&bench).pop();
        assert_eq!(last.as_deref(), Some("command UPDATE orders SET a = 1 WHERE id = 2 Allow"));
    }
}

#[test]
fn a_held_statement_is_held_under_a_name_that_was_another() {
    let mut bench = Bench::ready();
    prepare(&mut bench, "s", "SELECT 1");
    // The drop is inside of the pipeline that prepares anew.
    let drop = [parse("", "DISCARD ALL"), bind("", ""), execute("")].concat();
    bench.client(&[drop, parse("s", "DELETE FROM orders"), bind("", "s"), execute("")].concat());
    assert_eq!(bench.tags(Side::Server), "PBEP", "nothing of the DELETE but its Parse");
    assert!(matches!(bench.outputs.as_slice(), [Output::AskOpened(_)]), "{:?}", bench.outputs);
}

#[test]
fn a_name_in_use_that_the_target_refuses_stays_what_it_was() {
    let mut bench = Bench::ready();
    prepare(&mut bench, "s", "SELECT 1");
    bench.client(&[parse("s", "SELECT 2"), sync()].concat());
    bench.server(&[server_error("42P05"), ready()].concat());
    bench.client(&[bind("", "s"), execute(""), sync()].concat());
    let last = record(&bench).pop();
    assert_eq!(last.as_deref(), Some("command SELECT 1 Allow"));
}

#[test]
fn pools_reset_their_connections_and_use_names_again() {
    // npgsql puts its reset in front of the next command, in one write; pgx and PgBouncer wait.
    let mut bench = Bench::ready();
    for text in ["SELECT 1", "SELECT 2"] {
        let use_it = [parse("_p1", text), bind("", "_p1"), execute(""), sync()].concat();
        bench.client(&[query("DISCARD ALL"), use_it].concat());
        assert_eq!(bench.tags(Side::Server), "Q", "the name is in doubt");
        bench.server(&[complete("DISCARD ALL"), ready()].concat());
        assert_eq!(bench.tags(Side::Server), "PBES");
        let done = [parsed(), bound(), complete("SELECT 1"), ready()].concat();
        bench.server(&done);
        assert_eq!(bench.tags(Side::Client), "CZ12CZ");
    }
    let resets: [&[&str]; 3] = [
        &["DISCARD ALL"],
        &["DEALLOCATE ALL"],
        &["CLOSE ALL", "UNLISTEN *", "RESET ALL", "DEALLOCATE ALL"],
    ];
    for reset in resets {
        let mut bench = Bench::ready();
        for text in ["SELECT 1", "SELECT 2"] {
            ask(&mut bench, &reset.join(";"), reset);
            prepare(&mut bench, "lrupsc_1_0", text);
            bench.client(&[bind("", "lrupsc_1_0"), execute(""), sync()].concat());
            assert_eq!(bench.tags(Side::Server), "BES");
            bench.server(&[bound(), complete("SELECT 1"), ready()].concat());
            assert_eq!(bench.tags(Side::Client), "2CZ");
            let last = record(&bench).into_iter().rev().find(|row| row.starts_with("command"));
            assert_eq!(last, Some(format!("command {text} Allow")));
        }
    }
}

#[test]
fn names_that_the_target_would_not_keep_are_refused_in_their_place() {
    let long = "n".repeat(64);
    let inputs = [
        parse(&long, "SELECT 1"),
        parse("\u{e9}", "SELECT 1"),
        bind(&long, ""),
        bind("", &long),
        execute("\u{e9}"),
        message(b'D', format!("S{long}\0").as_bytes()),
        message(b'C', format!("P{long}\0").as_bytes()),
        parse("", "PREPARE \u{e9} AS SELECT 1"),
        parse("", "DECLARE \u{e9} CURSOR FOR SELECT 1"),
    ];
    for input in inputs {
        let mut bench = Bench::ready();
        bench.client(&[input, sync()].concat());
        assert_eq!(bench.tags(Side::Server), "PS", "a stand-in");
        bench.server(&[server_error("42601"), ready()].concat());
        assert_eq!(refused(&mut bench), ("EZ".into(), "42602".into()));
    }
    let mut bench = Bench::ready();
    bench.client(&query("DEALLOCATE \u{e9}"));
    bench.server(&[server_error("42601"), ready()].concat());
    assert_eq!(refused(&mut bench), ("EZ".into(), "42602".into()));
    bench.take(Side::Server);
    let kept = "n".repeat(63);
    prepare(&mut bench, &kept, "SELECT 1");
}

#[test]
fn a_plan_belongs_to_one_instance_of_a_portal() {
    let mut bench = Bench::ready_under(MASKED);
    bench.client(&[query("BEGIN")].concat());
    bench.server(&[complete("BEGIN"), ready_for_query(b'T')].concat());
    bench.take(Side::Server);
    let chain = [parse("", "COMMIT AND CHAIN"), bind("", ""), execute("")].concat();
    let first = [parse("", "SELECT 1"), bind("p", ""), message(b'D', b"Pp\0"), execute("p")];
    let second = [parse("", "SELECT 2"), bind("p", ""), execute("p"), sync()];
    bench.client(&[first.concat(), chain, second.concat()].concat());
    assert_eq!(
        bench.tags(Side::Server),
        "PBDEPBDEPBDES",
        "the second portal is described anew, though the client does not ask"
    );
    let columns = message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    let one = [parsed(), bound(), columns, row(b"4111111111111111"), complete("SELECT 1")];
    let end = [parsed(), bound(), message(b'n', b""), complete("COMMIT")];
    bench.server(&[one.concat(), end.concat(), parsed(), bound()].concat());
    bench.take(Side::Client);
    // A row of it without a description of it.
    bench.server(&[message(b'n', b""), row(b"4111111111111111")].concat());
    let said = bench.take(Side::Client);
    let text = String::from_utf8_lossy(&said);
    assert!(!text.contains("4111"), "{text}");
    assert!(is_over(&bench), "nobody decided about that row");
}

#[test]
fn prepare_and_execute_in_sql_are_what_they_prepare() {
    let mut bench = Bench::ready();
    ask(&mut bench, "PREPARE q AS SELECT 1", &["PREPARE"]);
    ask(&mut bench, "EXECUTE q", &["SELECT 1"]);
    bench.client(&[bind("", "q"), execute(""), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "BES", "messages use it too");
    bench.server(&[bound(), complete("SELECT 1"), ready()].concat());
    bench.take(Side::Client);
    // In one text, and the name means something else in its middle.
    bench.client(&query("DEALLOCATE q; PREPARE q AS DELETE FROM t; EXECUTE q"));
    assert_eq!(bench.tags(Side::Server), "");
    assert!(matches!(bench.outputs.last(), Some(Output::AskOpened(_))), "{:?}", bench.outputs);
}

#[test]
fn an_execute_is_decided_by_what_its_name_means_when_it_runs() {
    let mut bench = Bench::ready();
    ask(&mut bench, "PREPARE q AS SELECT 1", &["PREPARE"]);
    let run = |text| [parse("", text), bind("", ""), execute("")].concat();
    let bound_before = [parse("x", "EXECUTE q"), bind("p", "x")].concat();
    let changed =
        [run("DEALLOCATE q"), run("PREPARE q AS UPDATE t SET a = 1 WHERE b = 2")].concat();
    bench.client(&[bound_before, changed, execute("p"), sync()].concat());
    let sent = bench.tags(Side::Server);
    assert_eq!(sent, "PBPBEPBEPS", "a stand-in for the execution");
    let rows = record(&bench);
    assert!(rows.contains(&"command EXECUTE q Deny".to_owned()), "{rows:?}");
}

#[test]
fn cursors_in_sql_are_what_they_read() {
    let mut bench = Bench::ready_under(LENIENT);
    bench.client(&query("BEGIN; DECLARE c CURSOR FOR SELECT * FROM orders"));
    let done = [complete("BEGIN"), complete("DECLARE CURSOR"), ready_for_query(b'T')].concat();
    bench.server(&done);
    bench.take(Side::Server);
    bench.client(&[execute("c"), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "ES");
    let last = record(&bench).pop();
    assert!(last.is_some_and(|row| row.contains("DECLARE c CURSOR")), "{:?}", record(&bench));
}

#[test]
fn a_text_waits_behind_what_may_change_how_it_is_read() {
    let mut bench = Bench::ready_under(LENIENT);
    let other = query("SELECT '\\' FROM t");
    bench.client(&[query("SET client_encoding = 'SJIS'"), other.clone()].concat());
    assert_eq!(bench.tags(Side::Server), "Q", "the second waits");
    let changed = message(b'S', b"client_encoding\0SJIS\0");
    bench.server(&[complete("SET"), changed, ready()].concat());
    assert_eq!(bench.take(Side::Server), other);
    let last = record(&bench).pop();
    assert_eq!(last.as_deref(), Some("command SELECT '\\' FROM t Allow"));
    // Where `unknown` is not allowed it is refused.
    let mut bench = Bench::ready();
    bench.server(&message(b'S', b"client_encoding\0WIN932\0"));
    bench.take(Side::Client);
    bench.client(&other);
    bench.server(&[server_error("42601"), ready()].concat());
    assert_eq!(refused(&mut bench), ("EZ".into(), "42501".into()));
}

#[test]
fn a_text_behind_such_a_change_in_its_own_pipeline_is_unknown() {
    let mut bench = Bench::ready();
    let plain = [parse("", "RESET ALL"), bind("", ""), execute("")].concat();
    bench.client(&[plain.clone(), parse("", "SELECT 'x'")].concat());
    assert_eq!(bench.tags(Side::Server), "PBEP");
    let mut bench = Bench::ready();
    bench.client(&[plain, parse("", "SELECT '\\'"), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PBEPS");
    bench.server(&[parsed(), bound(), complete("RESET"), server_error("42601"), ready()].concat());
    assert_eq!(refused(&mut bench), ("12CEZ".into(), "42501".into()));
}

#[test]
fn a_target_that_read_a_text_otherwise_ends_the_session() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT '\\' FROM t"));
    bench.server(&message(b'S', b"standard_conforming_strings\0off\0"));
    assert!(is_over(&bench));
    assert_eq!(record(&bench).pop().as_deref(), Some("end contradiction"));
}

#[test]
fn answers_that_fit_nothing_owed_end_the_session() {
    let inputs: [(&[u8], &[u8]); 8] = [
        (&query("SELECT 1"), &parsed()),
        (&query("SELECT 1"), &[complete("SELECT 1"), complete("SELECT 1")].concat()),
        (&query("SELECT 1"), &message(b'Z', b"X")),
        (&[parse("", "SELECT 1"), sync()].concat(), &bound()),
        (&[parse("", "SELECT 1"), sync()].concat(), &ready()),
        (&[parse("", "SELECT 1"), sync()].concat(), &row(b"1")),
        (&[parse("", "SELECT 1"), sync()].concat(), &complete("SELECT 1")),
        (&[bind("", ""), sync()].concat(), &message(b'V', b"\0\0\0\0")),
    ];
    for (sent, said) in inputs {
        let mut bench = Bench::ready_under(LENIENT);
        bench.client(sent);
        bench.server(said);
        assert!(is_over(&bench), "{:?} to {:?}", messages(said), messages(sent));
    }
}

#[test]
fn settings_of_the_start_up_packet_are_decided_as_the_set_that_they_are() {
    let check = |settings: &[(&str, &str)], more: &str, allowed: bool| {
        let snapshot = Rc::new(Snapshot::build(&source_of(&format!("{CONFIG}{more}"))));
        let mut bench = Bench::with_snapshot(snapshot);
        let mut packet = Vec::new();
        let params = [("user", "bot"), ("database", "orders")].iter().chain(settings);
        let params = params.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        reply::startup(&mut packet, 0, params);
        bench.client(&packet);
        bench.take(Side::Client);
        bench.client_scram("secret");
        let dials = bench.outputs.iter().any(|output| matches!(output, Output::Lease(_)));
        assert_eq!(dials, allowed, "{settings:?}: {:?}", bench.outputs);
        if !allowed {
            assert_eq!(refused(&mut bench).1, "42501", "{settings:?}");
            let rows = record(&bench);
            assert!(rows.contains(&"event startup-settings-denied".to_owned()), "{rows:?}");
        }
    };
    check(&[("application_name", "psql"), ("DateStyle", "ISO"), ("TimeZone", "UTC")], "", true);
    check(&[("options", "-c statement_timeout=5s")], "", true);
    check(&[("search_path", "evil,public")], "", true);
    check(&[("role", "boss")], "", false);
    check(&[("Session_Authorization", "boss")], "", false);
    check(&[("options", "-c role=boss -c search_path=evil,public")], "", false);
    check(&[("options", "--role=boss")], "", false);
    check(&[("options", "-S 64")], "", false);
    let rule = "[[rule]]\nname = \"no\"\nwhen = { commands = [\"session\"] }\nthen = \"deny\"\n";
    check(&[("search_path", "evil,public")], rule, false);
    check(&[("options", "-csearch_path=evil")], rule, false);
    check(&[("application_name", "psql")], rule, true);
    let rule = "[[rule]]\nname = \"path\"\nwhen = { settings = [\"search_path\", \
                \"statement_timeout\"] }\nthen = \"deny\"\n";
    check(&[("search_path", "evil,public")], rule, false);
    check(&[("Search_Path", "evil,public")], rule, false);
    check(&[("options", "-c application_name=a --search-path=evil")], rule, false);
    check(&[("options", "-c statement_timeout=0")], rule, false);
    check(&[("work_mem", "1MB"), ("application_name", "psql")], rule, true);
}

#[test]
fn nothing_waits_for_an_answer_that_is_skipped() {
    let mut bench = Bench::ready_under(LENIENT);
    // A Query inside of a failed pipeline is skipped too, and has no ReadyForQuery of its own.
    bench.client(&[parse("", "SELEC"), query("DEALLOCATE ALL"), bind("", "s"), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PQ", "the Bind waits");
    bench.server(&server_error("42601"));
    assert_eq!(bench.tags(Side::Server), "BS");
    bench.server(&ready());
    assert_eq!(bench.tags(Side::Client), "EZ");
}
