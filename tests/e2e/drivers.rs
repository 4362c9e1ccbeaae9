//! Third-party drivers: what they print through weir is what they print without it.

use std::path::PathBuf;
use std::process::Command;

use crate::support::scratch::{output, run};
use crate::support::{Endpoint, Postgres, Spec, Weir, tools};

/// A statement that `DENYING_RULES` denies.
const DENIED: &str = "drop table if exists no_such_table_at_all";

/// What every driver's script needs, and a denial for the last check of each.
const DENYING_RULES: &str = r#"
[[rule]]
name = "drops need a person"
when = { touches = ["*.no_such_table_at_all", "no_such_table_at_all"] }
then = "deny"

[[rule]]
name = "the rest"
when = {}
then = "allow"
"#;

/// Runs one script against the server itself and through weir and compares line by line.
fn compare(script: impl Fn() -> Command, tls: bool, denials: usize) {
    compare_at(Postgres::shared(), script, tls, denials);
}

/// The same with the newest server, over TLS.
fn compare_newest(script: impl Fn() -> Command, denials: usize) {
    if let Some(server) = Postgres::newest() {
        compare_at(server, script, true, denials);
    }
}

fn compare_at(server: &Postgres, script: impl Fn() -> Command, tls: bool, denials: usize) {
    let database = server.database();
    let direct = lines(&script, &pick(database.endpoint(), tls), None);
    assert!(direct.len() > 9, "only {direct:#?}");
    let spec = Spec::new(&database);
    let spec = if denials > 0 { spec.rules(DENYING_RULES) } else { spec };
    let weir = spec.start();
    let through = lines(&script, &pick(weir.endpoint(), tls), Some(DENIED));
    for (expect, found) in direct.iter().zip(&through) {
        assert_eq!(found, expect, "through weir, then direct\nlog:\n{}", weir.log());
    }
    let more = through.get(direct.len()..).unwrap_or_default();
    assert_eq!(more.len(), denials, "checks of denials: {more:#?}");
    for line in more {
        assert!(line.contains("42501") && line.contains('1'), "{line}");
    }
    recorded(weir);
}

fn pick(endpoint: Endpoint, tls: bool) -> Endpoint {
    if tls { endpoint.with_tls() } else { endpoint }
}

/// Every command has exactly one response, whatever the driver did.
fn recorded(mut weir: Weir) {
    let lake = weir.lake();
    let count = |table: &str| {
        let mut keys: Vec<String> = Vec::new();
        let column = if table == "commands" { "seq" } else { "command_seq" };
        for row in lake.rows(table) {
            // A held command that is released is recorded twice, once for each decision.
            keys.push(format!("{} {}", row["session_id"], row[column]));
        }
        keys.sort();
        keys
    };
    let (commands, responses) = (count("commands"), count("responses"));
    assert!(!commands.is_empty(), "nothing is recorded");
    assert_eq!(commands, responses, "commands and the responses to them");
}

fn lines(script: impl Fn() -> Command, endpoint: &Endpoint, denied: Option<&str>) -> Vec<String> {
    let mut command = script();
    endpoint.give_to(&mut command);
    if let Some(denied) = denied {
        command.env("WEIR_DENIED", denied);
    }
    let printed = run(&mut command);
    printed.lines().map(str::to_owned).collect()
}

fn bash(name: &'static str) -> impl Fn() -> Command {
    bash_with(crate::support::postgres::bin(), name)
}

/// With the client programs in `bin`.
fn bash_with(bin: PathBuf, name: &'static str) -> impl Fn() -> Command {
    move || {
        let mut command = Command::new("bash");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(bin.clone()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(paths).expect("a path"));
        command.arg(tools::script(name));
        command
    }
}

fn python(name: &'static str) -> impl Fn() -> Command {
    move || {
        let mut command = tools::python();
        command.arg(tools::script(name));
        command
    }
}

fn node() -> Command {
    let mut command = tools::node();
    command.arg(tools::script("node_checks.js"));
    command
}

fn java() -> Command {
    let mut command = tools::java();
    command.arg(tools::script("JdbcChecks.java"));
    command
}

#[test]
fn psql_cannot_tell() {
    compare(bash("psql.sh"), false, 1);
}

#[test]
fn psql_cannot_tell_with_tls() {
    compare(bash("psql.sh"), true, 1);
}

#[test]
fn pgbench_cannot_tell() {
    compare(bash("pgbench.sh"), false, 0);
}

#[test]
fn pgbench_cannot_tell_with_tls() {
    compare(bash("pgbench.sh"), true, 0);
}

#[test]
fn psycopg_cannot_tell() {
    compare(python("psycopg_checks.py"), false, 3);
}

#[test]
fn psycopg_cannot_tell_with_tls() {
    compare(python("psycopg_checks.py"), true, 3);
}

#[test]
fn asyncpg_cannot_tell() {
    compare(python("asyncpg_checks.py"), false, 2);
}

#[test]
fn asyncpg_cannot_tell_with_tls() {
    compare(python("asyncpg_checks.py"), true, 2);
}

#[test]
fn jdbc_cannot_tell() {
    compare(java, false, 1);
}

#[test]
fn jdbc_cannot_tell_with_tls() {
    compare(java, true, 1);
}

#[test]
fn dumps_and_copies_come_back_the_same() {
    compare(bash("dump.sh"), false, 0);
}

#[test]
fn dumps_and_copies_come_back_the_same_with_tls() {
    compare(bash("dump.sh"), true, 0);
}

#[test]
fn psql_cannot_tell_the_newest_server() {
    compare_newest(bash("psql.sh"), 1);
}

#[test]
fn pgbench_cannot_tell_the_newest_server() {
    compare_newest(bash("pgbench.sh"), 0);
}

/// PostgreSQL's own programs of that version, with the protocol they prefer and with the newest
/// they know. They come without TLS.
fn compare_newest_clients(name: &'static str, denials: usize) {
    if let Some(server) = Postgres::newest() {
        compare_at(server, bash_with(server.bin.clone(), name), false, denials);
        let newer = |mut command: Command| {
            command.env("PGMAXPROTOCOLVERSION", "latest");
            command
        };
        let script = bash_with(server.bin.clone(), name);
        compare_at(server, || newer(script()), false, denials);
    }
}

#[test]
fn the_newest_psql_cannot_tell() {
    compare_newest_clients("psql.sh", 1);
}

#[test]
fn the_newest_pgbench_cannot_tell() {
    compare_newest_clients("pgbench.sh", 0);
}

#[test]
fn dumps_and_copies_of_the_newest_come_back_the_same() {
    compare_newest_clients("dump.sh", 0);
}

#[test]
fn psycopg_cannot_tell_the_newest_server() {
    compare_newest(python("psycopg_checks.py"), 3);
}

#[test]
fn asyncpg_cannot_tell_the_newest_server() {
    compare_newest(python("asyncpg_checks.py"), 2);
}

#[test]
fn jdbc_cannot_tell_the_newest_server() {
    compare_newest(java, 1);
}

#[test]
fn node_postgres_cannot_tell_the_newest_server() {
    compare_newest(node, 2);
}

#[test]
fn node_postgres_cannot_tell() {
    compare(node, false, 2);
}

#[test]
fn node_postgres_cannot_tell_with_tls() {
    compare(node, true, 2);
}

/// The scripts themselves, against PostgreSQL alone: they finish, and none of their checks reports
/// a failure of the script instead of an answer of the server.
#[test]
fn scripts_work_without_weir() {
    let database = Postgres::shared().database();
    let scripts: [&dyn Fn() -> Command; 5] = [
        &bash("psql.sh"),
        &bash("pgbench.sh"),
        &python("psycopg_checks.py"),
        &python("asyncpg_checks.py"),
        &node,
    ];
    for script in scripts {
        let mut command = script();
        database.endpoint().with_tls().give_to(&mut command);
        let result = output(&mut command);
        let printed = String::from_utf8_lossy(&result.stdout).into_owned();
        assert!(result.status.success(), "{command:?}\n{printed}");
        assert!(printed.lines().count() > 9, "{printed}");
        for word in ["Traceback", "failed: ", "command not found"] {
            assert!(!printed.contains(word), "{printed}");
        }
        if std::env::var_os("WEIR_TEST_SHOW").is_some() {
            eprintln!("{printed}");
        }
    }
}
