//! Pools: connections that are reset and lent again, and names that are used again.
//!
//! Each script is what a pool says to its server, under rules that deny whatever is not a read, a
//! setting or a transaction: nothing is refused, and the record names the text behind each name.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::lake::{number, text};
use crate::support::raw::{
    Message, Raw, bind, close, describe, execute, kinds, parse, query, sqlstate, sync,
};
use crate::support::scratch::{free_port, run};
use crate::support::weir::{TARGET, USER, USER_PASSWORD};
use crate::support::{Endpoint, Postgres, Scratch, Spec, Weir, wait_until};

const RULES: &str = r#"
[[rule]]
name = "agents"
when = { commands = ["read", "session", "transaction"] }
then = "allow"
"#;

/// What is read in the loans of one connection: each time another text under the same name.
const TEXTS: [&str; 3] = ["SELECT 'first'", "SELECT 'second'", "SELECT 'third'"];

/// One write, and the ReadyForQuery that it waits for.
type Write = (Vec<u8>, usize);

/// A pool's way to lend one connection: the writes of each loan.
struct Script {
    pool: &'static str,
    loan: fn(&'static str) -> Vec<Write>,
}

/// A named statement, prepared and run in one pipeline.
fn use_name(name: &str, sql: &str) -> Vec<u8> {
    let run = [bind("", name, &[]), describe(b'P', ""), execute("", 0), sync()].concat();
    [parse(name, sql), run].concat()
}

/// Prepared and described in a pipeline of its own, then run.
fn prepare_first(name: &str, sql: &str) -> Vec<Write> {
    let run = [bind("", name, &[]), execute("", 0), sync()].concat();
    vec![([parse(name, sql), describe(b'S', name), sync()].concat(), 1), (run, 1)]
}

const SCRIPTS: [Script; 8] = [
    Script {
        // NpgsqlConnector.cs, `GenerateResetMessage`: in front of the next loan's first command.
        pool: "npgsql",
        loan: |sql| vec![([query("DISCARD ALL"), use_name("_p1", sql)].concat(), 2)],
    },
    Script {
        // The same with prepared statements that outlive a loan: all of DISCARD ALL but those.
        pool: "npgsql, persistent",
        loan: |sql| {
            let reset = "CLOSE ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();\
                         DISCARD SEQUENCES;DISCARD TEMP;RESET ALL;\
                         SET SESSION AUTHORIZATION DEFAULT";
            let again = [close(b'S', "_auto1"), use_name("_auto1", sql)].concat();
            vec![([query(reset), again].concat(), 2)]
        },
    },
    Script {
        // pgx: `Prepare`, then `Exec`; a pool's hook says DISCARD ALL.
        pool: "pgx, DISCARD ALL",
        loan: |sql| {
            let mut loan = prepare_first("stmtcache_1", sql);
            loan.push((query("discard all"), 1));
            loan
        },
    },
    Script {
        // pgx 5, conn.go: `deallocateInvalidatedCachedStatements` closes by messages.
        pool: "pgx, Close",
        loan: |sql| {
            let mut loan = vec![([close(b'S', "stmtcache_1"), sync()].concat(), 1)];
            loan.extend(prepare_first("stmtcache_1", sql));
            loan.push((query("-- ping"), 1));
            loan
        },
    },
    Script {
        // pgx 4 and 5: `DeallocateAll`, and `Deallocate` of one.
        pool: "pgx, DEALLOCATE",
        loan: |sql| {
            let mut loan = prepare_first("lrupsc_1_0", sql);
            loan.push((query("begin"), 1));
            loan.push(([bind("", "lrupsc_1_0", &[]), execute("", 0), sync()].concat(), 1));
            loan.push((query("rollback"), 1));
            loan.push((query("deallocate \"lrupsc_1_0\""), 1));
            loan.push((query("deallocate all"), 1));
            loan
        },
    },
    Script {
        // server_reset_query, server_check_query; what is different is set in one text.
        pool: "PgBouncer",
        loan: |sql| {
            let set = "SET client_encoding='UTF8';SET application_name='a b';SET DateStyle='ISO'";
            let mut loan = vec![(query("select 1"), 1), (query(set), 1)];
            loan.extend(prepare_first("PGBOUNCER_1", sql));
            loan.push((query("DISCARD ALL"), 1));
            loan
        },
    },
    Script {
        // asyncpg, connection.py, `get_reset_query`: no DISCARD, names are kept by the driver.
        pool: "asyncpg",
        loan: |sql| {
            let reset = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
            let mut loan = prepare_first("__asyncpg_stmt_1__", sql);
            loan.push(([close(b'S', "__asyncpg_stmt_1__"), sync()].concat(), 1));
            loan.push((query(reset), 1));
            loan
        },
    },
    Script {
        // PgConnectionImpl.java of JDBC names S_1 anew after `deallocate`; HikariCP rolls back.
        pool: "JDBC",
        loan: |sql| {
            let mut loan = vec![(use_name("S_1", sql), 1)];
            loan.push((
                [parse("", "DEALLOCATE ALL"), bind("", "", &[]), execute("", 1), sync()].concat(),
                1,
            ));
            loan
        },
    },
];

fn start(server: &Postgres) -> Weir {
    Spec::new(&server.database()).rules(RULES).start()
}

fn check_at(server: &Postgres) {
    let mut weir = start(server);
    for script in &SCRIPTS {
        let mut raw = Raw::login(&weir.endpoint());
        for sql in TEXTS {
            let mut heard: Vec<Message> = Vec::new();
            for (bytes, ready) in (script.loan)(sql) {
                raw.send(&bytes);
                heard.extend(raw.read_ready(ready));
            }
            let at = format!("{} {sql}: {heard:?}", script.pool);
            assert_eq!(sqlstate(&heard), None, "{at}");
            assert!(!kinds(&heard).contains('N'), "{at}");
            let expect = sql.trim_start_matches("SELECT ").trim_matches('\'');
            let rows = heard.iter().filter(|message| message.kind == b'D').map(Message::values);
            let mut values = rows.flatten().flatten();
            assert!(values.any(|value| value == expect), "{at}");
        }
    }
    let lake = weir.lake();
    for row in lake.rows("commands") {
        assert_eq!(text(&row, "decision"), "allow", "{row:#?}");
    }
    // The script that uses a name in a transaction, too, runs each text twice.
    for sql in TEXTS {
        assert_eq!(lake.commands_with(sql).len(), SCRIPTS.len() + 1, "{sql}");
    }
}

#[test]
fn pools_reset_connections_and_use_names_again() {
    check_at(Postgres::shared());
}

#[test]
fn pools_reset_connections_and_use_names_again_at_the_newest_server() {
    if let Some(server) = Postgres::newest() {
        check_at(server);
    }
}

/// A real PgBouncer in front of weir.
struct Bouncer {
    port: u16,
    child: Child,
    _folder: Scratch,
}

impl Bouncer {
    fn start(weir: &Weir, mode: &str) -> Bouncer {
        let (port, folder) = (free_port(), Scratch::new("pgbouncer"));
        let at = weir.endpoint();
        let users = folder.write("users.txt", &format!("\"{USER}\" \"{USER_PASSWORD}\"\n"));
        let config = format!(
            "[databases]\n{TARGET} = host={} port={} dbname={TARGET}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n\
             default_pool_size = 1\nserver_reset_query_always = 1\nserver_check_delay = 0\n\
             server_tls_sslmode = disable\nignore_startup_parameters = extra_float_digits\n",
            at.host,
            at.port,
            users.display()
        );
        let config = folder.write("pgbouncer.ini", &config);
        let mut command = Command::new("/usr/sbin/pgbouncer");
        if run(Command::new("id").arg("-u")).trim() == "0" {
            // PgBouncer refuses to run as root.
            run(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()));
            command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
            command.arg("/usr/sbin/pgbouncer");
        }
        let child = command.arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("pgbouncer; tests/run installs it");
        wait_until("PgBouncer to listen", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Bouncer { port, child, _folder: folder }
    }

    fn client(&self, weir: &Weir) -> Raw {
        Raw::login(&Endpoint { port: self.port, ..weir.endpoint() })
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clients one after the other over the one connection that PgBouncer has to weir.
#[test]
fn pgbouncer_lends_a_connection_of_weirs() {
    for server in [Some(Postgres::shared()), Postgres::newest()].into_iter().flatten() {
        for mode in ["session", "transaction"] {
            let mut weir = start(server);
            let bouncer = Bouncer::start(&weir, mode);
            for sql in TEXTS {
                let mut raw = bouncer.client(&weir);
                // In one transaction, so that the connection stays the same in both modes.
                raw.send(&query("BEGIN"));
                raw.read_ready(1);
                raw.send(&use_name("s", sql));
                let heard = raw.read_ready(1);
                assert_eq!(sqlstate(&heard), None, "{mode} {sql}: {heard:?}");
                assert!(heard.iter().any(|message| message.kind == b'D'), "{mode}: {heard:?}");
                raw.send(&query("COMMIT"));
                raw.read_ready(1);
                raw.send(&query("SET application_name = 'other'"));
                assert_eq!(sqlstate(&raw.read_ready(1)), None, "{mode} {sql}");
            }
            drop(bouncer);
            let lake = weir.lake();
            let logins: Vec<_> = (lake.rows("sessions").into_iter())
                .filter(|row| text(row, "phase") == "start")
                .collect();
            assert_eq!(logins.len(), 1, "{mode}: one connection for all: {logins:#?}");
            let mut commands = lake.rows("commands");
            commands.sort_by_key(|row| number(row, "log_index"));
            for row in &commands {
                assert_eq!(text(row, "decision"), "allow", "{mode}: {row:#?}");
            }
            let texts: Vec<String> = commands.iter().map(|row| text(row, "query_text")).collect();
            let resets = texts.iter().filter(|text| *text == "DISCARD ALL").count();
            assert!(resets >= TEXTS.len() - 1, "{mode}: {texts:?}");
            let ran: Vec<&String> =
                texts.iter().filter(|text| TEXTS.contains(&text.as_str())).collect();
            assert_eq!(ran, TEXTS.iter().collect::<Vec<_>>(), "{mode}");
        }
    }
}
