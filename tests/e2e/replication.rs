//! Replication connections: PostgreSQL's own tools through weir, behind a rule that names them.

use std::process::Command;
use std::time::Duration;

use crate::support::lake::{number, text};
use crate::support::scratch::{output, run};
use crate::support::weir::{CLEAR, TARGET};
use crate::support::{Database, Endpoint, Postgres, Scratch, Spec, Weir, wait_until};

const RULES: &str = "[[rule]]\nname = \"all\"\nwhen = {}\nthen = \"allow\"\n\
    [[rule]]\nname = \"streams\"\nwhen = { commands = [\"replication\"] }\nthen = \"allow\"\n";

fn streamer(database: &Database) -> Endpoint {
    Endpoint { user: "streamer".to_owned(), ..database.endpoint() }
}

fn start(database: &Database, rules: &str) -> Weir {
    let settings = format!("{CLEAR}\nreplication = true");
    Spec::new(database).rules(rules).target_settings(&streamer(database), &settings).start()
}

/// A program of the version of the database's server.
fn tool(name: &str, database: &Database, endpoint: &Endpoint) -> Command {
    let mut command = Command::new(database.bin.join(name));
    endpoint.give_to(&mut command);
    command.env_remove("PGDATABASE");
    command
}

#[test]
fn a_base_backup_passes_and_is_recorded() {
    back_up(Postgres::shared());
}

#[test]
fn a_base_backup_passes_and_is_recorded_with_the_newest() {
    if let Some(server) = Postgres::newest() {
        back_up(server);
    }
}

fn back_up(server: &Postgres) {
    let database = server.database();
    let mut weir = start(&database, RULES);
    let scratch = Scratch::new("backup");
    let mut backup = tool("pg_basebackup", &database, &weir.endpoint());
    backup.arg("-D").arg(scratch.join("data")).args(["-X", "stream", "-c", "fast", "-l", "b"]);
    run(&mut backup);
    assert!(scratch.join("data/PG_VERSION").exists());
    run(Command::new(database.bin.join("pg_verifybackup")).arg(scratch.join("data")));
    let lake = weir.lake();
    let commands = lake.rows("commands");
    let of_class = |operation: &str| {
        let mut rows = commands.iter().filter(|row| text(row, "operation") == operation);
        rows.next().unwrap_or_else(|| panic!("no {operation} in {commands:#?}"))
    };
    for operation in ["BASE_BACKUP", "START_REPLICATION", "IDENTIFY_SYSTEM"] {
        let row = of_class(operation);
        assert_eq!(text(row, "rule"), "streams");
        assert_eq!(row["classes"], serde_json::json!(["replication"]));
        assert_eq!(text(row, "target"), TARGET);
    }
    let (_, response) = lake.exchange("BASE_BACKUP");
    assert_eq!(text(&response, "outcome"), "success");
    assert!(number(&response, "total_bytes") > 10_000_000, "{response:#?}");
}

#[test]
fn received_wal_is_the_servers() {
    receive_wal(Postgres::shared());
}

#[test]
fn received_wal_is_the_servers_with_the_newest() {
    if let Some(server) = Postgres::newest() {
        receive_wal(server);
    }
}

fn receive_wal(server: &Postgres) {
    let database = server.database();
    let weir = start(&database, RULES);
    let scratch = Scratch::new("wal");
    let folder = scratch.join("wal");
    std::fs::create_dir(&folder).expect("a folder");
    let mut receive = tool("pg_receivewal", &database, &weir.endpoint());
    receive.arg("-D").arg(&folder).args(["--no-loop", "-s", "1"]);
    let mut receiver = receive.spawn().expect("pg_receivewal");
    wait_until("the stream to begin", Duration::from_secs(20), || {
        let streams = "SELECT count(*) FROM pg_stat_replication \
                       WHERE application_name = 'pg_receivewal' AND state = 'streaming'";
        database.sql(streams) != "0"
    });
    database
        .sql("CREATE TABLE logged AS SELECT generate_series(1, 1000) i; SELECT pg_switch_wal()");
    wait_until("a finished segment", Duration::from_secs(20), || {
        let files = std::fs::read_dir(&folder).expect("the folder").flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().len() == 24)
    });
    run(Command::new("kill").args(["-INT", &receiver.id().to_string()]));
    assert!(receiver.wait().expect("a child").success());
}

#[test]
fn a_subscription_follows_its_publisher_through_weir() {
    subscribe(Postgres::shared());
}

#[test]
fn a_subscription_follows_its_publisher_through_weir_with_the_newest() {
    if let Some(server) = Postgres::newest() {
        subscribe(server);
    }
}

fn subscribe(server: &Postgres) {
    let (publisher, subscriber) = (server.database(), server.database());
    publisher.sql(
        "CREATE TABLE followed (id int PRIMARY KEY, t text); \
         INSERT INTO followed SELECT i, 'row ' || i FROM generate_series(1, 500) i; \
         GRANT SELECT ON followed TO streamer; CREATE PUBLICATION p FOR TABLE followed",
    );
    let weir = start(&publisher, RULES);
    let Endpoint { port, user, password, dbname, .. } = weir.endpoint();
    // The slot is made beforehand: publisher and subscriber are one server here, and making it
    // would wait for the transaction of CREATE SUBSCRIPTION itself.
    let slot = format!("slot_{}", publisher.name);
    publisher.sql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    subscriber.sql("CREATE TABLE followed (id int PRIMARY KEY, t text)");
    subscriber.sql(&format!(
        "CREATE SUBSCRIPTION {slot} CONNECTION 'host=127.0.0.1 port={port} user={user} \
         password={password} dbname={dbname}' PUBLICATION p \
         WITH (create_slot = false, slot_name = '{slot}')"
    ));
    let count = || subscriber.sql("SELECT count(*), sum(id) FROM followed");
    wait_until("the first copy", Duration::from_secs(30), || count() == "500|125250");
    publisher.sql("INSERT INTO followed VALUES (1000, 'later'); DELETE FROM followed WHERE id = 1");
    wait_until("the changes", Duration::from_secs(30), || count() == "500|126249");
    subscriber.sql(&format!("ALTER SUBSCRIPTION {slot} DISABLE"));
    subscriber.sql(&format!("ALTER SUBSCRIPTION {slot} SET (slot_name = NONE)"));
    subscriber.sql(&format!("DROP SUBSCRIPTION {slot}"));
    wait_until("the stream to end", Duration::from_secs(20), || {
        let active = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
        publisher.sql(&active) == "f"
    });
    publisher.sql(&format!("SELECT pg_drop_replication_slot('{slot}')"));
}

#[test]
fn without_a_rule_that_names_them_replication_commands_are_denied() {
    let database = Postgres::shared().database();
    let all = "[[rule]]\nname = \"all\"\nwhen = {}\nthen = \"allow\"\n";
    let mut weir = start(&database, all);
    let scratch = Scratch::new("denied");
    let mut backup = tool("pg_basebackup", &database, &weir.endpoint());
    let answer = output(backup.arg("-D").arg(scratch.join("data")));
    assert!(!answer.status.success());
    let words = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(words.contains("no rule allows `replication`"), "{words}");
    let commands = weir.lake().rows("commands");
    assert!(commands.iter().any(|row| text(row, "decision") == "deny"), "{commands:#?}");
}

#[test]
fn a_stream_that_could_not_be_masked_is_refused() {
    let database = Postgres::shared().database();
    let settings = format!("{CLEAR}\nreplication = true");
    let weir = Spec::new(&database)
        .rules(RULES)
        .target_settings(&streamer(&database), &settings)
        .masks("[[mask]]\ncolumns = [\"*.*.email\"]\noperator = \"redact\"\n")
        .start();
    let mut receive = tool("pg_receivewal", &database, &weir.endpoint());
    let scratch = Scratch::new("masked");
    let answer = output(receive.arg("-D").arg(scratch.path()).arg("--no-loop"));
    let words = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(words.contains("a replication stream cannot be masked"), "{words}");
}
