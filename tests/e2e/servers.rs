//! Targets of several servers: a primary and its standby, and which of them sessions get.

use std::collections::HashSet;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::lake::text;
use crate::support::raw::sqlstate;
use crate::support::scratch::{free_port, output, run};
use crate::support::weir::{CLEAR, TARGET};
use crate::support::{Certificates, Endpoint, Postgres, Raw, Spec, Weir, tools, wait_until};

const ROLE: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END";

/// A primary with the database `shop`, and its standby, which has it too.
fn cluster() -> (Postgres, Postgres) {
    let primary = Postgres::start();
    primary.sql("postgres", "CREATE DATABASE shop OWNER app");
    primary
        .sql("shop", "CREATE TABLE t (id int, ssn text); INSERT INTO t VALUES (1, '078-05-1120')");
    primary.sql("shop", "GRANT ALL ON t TO app");
    let standby = primary.standby();
    (primary, standby)
}

fn follows(standby: &Postgres, rows: &str) {
    wait_until("the standby to follow", Duration::from_secs(20), || {
        standby.sql("shop", "SELECT count(*) FROM t") == rows
    });
}

fn psql(endpoint: &Endpoint, sql: &str) -> Output {
    let mut command = tools::client("psql");
    endpoint.give_to(&mut command);
    output(command.args(["-X", "-q", "-A", "-t", "-c", sql]))
}

/// What psql says when it gets no session.
fn refused(endpoint: &Endpoint) -> String {
    let output = psql(endpoint, "SELECT 1");
    assert!(!output.status.success(), "a session at {endpoint:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sessions_get_the_server_that_target_session_attrs_asks_for() {
    let (primary, standby) = cluster();
    follows(&standby, "1");
    let [p, s] = [&primary, &standby].map(|server| server.endpoint("shop"));
    let (both, reverse) = ([s.clone(), p.clone()], [p.clone(), s.clone()]);
    let attrs = |word: &str| format!("{CLEAR}\ntarget_session_attrs = \"{word}\"");
    // Nobody listens there; a port that was free a moment ago may be somebody's.
    let dead = Endpoint { port: 1, ..p.clone() };
    // The kernel takes connections for it, and nobody ever says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let silent_one = Endpoint { port, ..p.clone() };
    let patience = format!("{CLEAR}\nconnect_timeout = \"300ms\"");
    let random = format!("{CLEAR}\nload_balance_hosts = \"random\"");
    let spec = Spec::bare("attrs")
        .servers("any", &both, CLEAR)
        .servers("read-write", &both, &attrs("read-write"))
        .servers("read-only", &reverse, &attrs("read-only"))
        .servers("primary", &both, &attrs("primary"))
        .servers("standby", &reverse, &attrs("standby"))
        .servers("prefer-standby", &reverse, &attrs("prefer-standby"))
        .servers("second-pass", &[dead.clone(), p.clone()], &attrs("prefer-standby"))
        .servers("after-silence", &[silent_one, p.clone()], &patience)
        .servers("random", &both, &random)
        .servers("no-standby", &[p.clone(), dead.clone()], &attrs("standby"))
        .servers("no-primary", std::slice::from_ref(&s), &attrs("read-write"));
    let mut weir = spec.everything_allowed().start();
    let at = |target: &str| weir.endpoint().with_dbname(target);
    let expect = [
        ("any", "standby"),
        ("read-write", "primary"),
        ("read-only", "standby"),
        ("primary", "primary"),
        ("standby", "standby"),
        ("prefer-standby", "standby"),
        ("second-pass", "primary"),
        ("after-silence", "primary"),
    ];
    for (target, role) in expect {
        assert_eq!(tools::psql(&at(target), ROLE), role, "{target}");
    }
    let mut seen = HashSet::new();
    wait_until("both servers", Duration::from_secs(10), || {
        seen.insert(tools::psql(&at("random"), ROLE));
        seen.len() == 2
    });
    let error = refused(&at("no-standby"));
    assert!(error.contains("target_session_attrs=standby"), "{error}");
    assert!(error.contains("server is not in hot standby mode"), "{error}");
    let error = refused(&at("no-primary"));
    assert!(error.contains("target_session_attrs=read-write: session is read-only"), "{error}");
    recorded(&mut weir, (&p, &s), &expect);
}

/// Each session is recorded with the server it got, each refusal with its reason.
fn recorded(weir: &mut Weir, (p, s): (&Endpoint, &Endpoint), expect: &[(&str, &str)]) {
    let lake = weir.lake();
    let sessions = lake.rows("sessions");
    for (target, role) in expect {
        let server = if *role == "primary" { p } else { s };
        let of = sessions.iter().filter(|row| text(row, "target") == *target);
        // A session has a row for its start, which names the server, and one for its end.
        let mut addresses: Vec<String> = of.map(|row| text(row, "server_addr")).collect();
        addresses.retain(|address| !address.is_empty());
        assert_eq!(addresses, [format!("127.0.0.1:{}", server.port)], "{target}");
    }
    let events = lake.events("connection-refused");
    let mut reasons: Vec<String> = events.iter().map(|row| text(row, "attrs")).collect();
    reasons.sort();
    let expect = ["target-not-standby", "target-read-only"];
    let expect: Vec<String> = expect.iter().map(|it| format!("{{\"reason\":\"{it}\"}}")).collect();
    assert_eq!(reasons, expect);
}

#[test]
fn a_failover_moves_new_sessions_to_the_new_primary() {
    let (primary, standby) = cluster();
    follows(&standby, "1");
    let servers = [&primary, &standby].map(|server| server.endpoint("shop"));
    let settings = format!("{CLEAR}\ntarget_session_attrs = \"read-write\"");
    let weir = Spec::bare("failover")
        .servers(TARGET, &servers, &settings)
        .masks("[[mask]]\ncolumns = [\"public.t.ssn\"]\noperator = \"nullify\"\n")
        .everything_allowed()
        .start();
    let endpoint = weir.endpoint();
    let mut old = Raw::login(&endpoint);
    old.rows("INSERT INTO t VALUES (2, 'x')");
    follows(&standby, "2");
    primary.crash();
    let last = old.read_to_end();
    assert_eq!(sqlstate(&last).as_deref(), Some("08006"), "{last:?}");
    // The standby is alive and cannot be written.
    let error = refused(&endpoint);
    assert!(error.contains("session is read-only"), "{error}");
    standby.sql("postgres", "SELECT pg_promote(true)");
    wait_until("a session at the new primary", Duration::from_secs(10), || {
        psql(&endpoint, "INSERT INTO t VALUES (3, 'y')").status.success()
    });
    // The masks' catalog comes from there too.
    assert_eq!(tools::psql(&endpoint, "SELECT id, ssn FROM t ORDER BY id"), "1|\n2|\n3|");
    assert_eq!(tools::psql(&endpoint, ROLE), "primary");
}

#[test]
fn a_cancel_goes_to_the_server_of_its_session() {
    let (primary, standby) = cluster();
    let servers = [&standby, &primary].map(|server| server.endpoint("shop"));
    let settings = format!("{CLEAR}\ntarget_session_attrs = \"primary\"");
    let weir =
        Spec::bare("cancel").servers(TARGET, &servers, &settings).everything_allowed().start();
    let mut command = tools::client("psql");
    weir.endpoint().give_to(&mut command);
    command.args(["-X", "-q", "-A", "-t", "-c", "SELECT pg_sleep(30)"]);
    let psql = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("psql");
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_until("the statement to run", Duration::from_secs(10), || {
        primary.sql("shop", asleep) == "1"
    });
    // psql sends a CancelRequest then.
    run(Command::new("kill").args(["-INT", &psql.id().to_string()]));
    let output = psql.wait_with_output().expect("a child of ours");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("canceling statement due to user request"), "{said}");
}

#[test]
fn one_command_line_reaches_a_cluster() {
    let (primary, standby) = cluster();
    let [p, s] = [&primary, &standby].map(|server| server.endpoint("shop"));
    let url = format!(
        "postgres://app:{}@127.0.0.1:{},127.0.0.1:{}/shop?target_session_attrs=read-write&\
         connect_timeout=3&sslmode=disable",
        p.password, s.port, p.port
    );
    let scratch = crate::support::Scratch::new("url");
    let (listen, admin) = (free_port(), free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["run", "--target", &url]).arg("--data-dir").arg(scratch.join("data"));
    command.args(["--listen", &format!("127.0.0.1:{listen}")]);
    command.args(["--admin", &format!("127.0.0.1:{admin}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut weir = command.spawn().expect("weir starts");
    let mut greeting = String::new();
    let stdout = weir.stdout.take().expect("a pipe");
    let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut greeting);
    read.expect("the greeting");
    let password = greeting.split("password=").nth(1).and_then(|rest| rest.split('\'').next());
    let endpoint = Endpoint {
        port: listen,
        user: "weir".to_owned(),
        password: password.unwrap_or_else(|| panic!("no password in {greeting:?}")).to_owned(),
        ..p
    };
    let role = tools::psql(&endpoint, ROLE);
    weir.kill().expect("it runs");
    weir.wait().expect("a child of ours");
    assert_eq!(role, "primary");
}

#[test]
fn weir_shows_its_certificate_to_a_server_that_asks_for_one() {
    let database = Postgres::shared().database();
    let spec = Spec::new(&database);
    let certificates = Certificates::shared();
    let folder = spec.folder().to_owned();
    let (certificate, key) = certificates.issue(&folder, "app_cert", "app_cert");
    let (other, other_key) = certificates.issue(&folder, "other", "somebody else");
    let mut server = database.endpoint();
    (server.host, server.user) = ("localhost".to_owned(), "app_cert".to_owned());
    let roots = certificates.authority.display();
    let tls = format!("tls = \"verify-full\"\nroot_certificates = \"{roots}\"\n");
    let own = |certificate: &std::path::Path, key: &std::path::Path| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("{tls}client_certificate = \"{certificate}\"\nclient_key = \"{key}\"")
    };
    let weir = spec
        .target("with", &server, &own(&certificate, &key))
        .target("without", &server, &tls)
        .target("wrong", &server, &own(&other, &other_key))
        .start();
    let at = |target: &str| weir.endpoint().with_dbname(target);
    let sql = "SELECT current_user, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(tools::psql(&at("with"), sql), "app_cert|/CN=app_cert");
    for target in ["without", "wrong"] {
        let error = refused(&at(target));
        assert!(error.contains("the target refused weir's own credential"), "{target}: {error}");
    }
    let status = output(&mut weir.command(&["status"]));
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    let troubled = said.lines().filter(|line| line.contains("it refuses weir's credential"));
    assert_eq!(troubled.count(), 2, "{said}");
    let check = output(&mut weir.command(&["check"]));
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("ok    target with: app_cert logs in at"), "{said}");
    assert!(said.contains("FAIL  target without: app_cert cannot log in"), "{said}");
}

#[test]
fn a_certificate_that_is_not_usable_is_found_by_check() {
    let database = Postgres::shared().database();
    let spec = Spec::new(&database);
    let folder = spec.folder().to_owned();
    let (certificate, _) = Certificates::shared().issue(&folder, "one", "app_cert");
    let (_, key) = Certificates::shared().issue(&folder, "two", "app_cert");
    let (certificate, key) = (certificate.display(), key.display());
    let settings = format!(
        "tls = \"require\"\nclient_certificate = \"{certificate}\"\nclient_key = \"{key}\""
    );
    let weir = spec.target_settings(&database.endpoint(), &settings).prepare();
    let check = output(&mut weir.command(&["check", "--offline"]));
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!check.status.success(), "{said}");
    assert!(said.contains("FAIL  TLS") && said.contains("one.pem"), "{said}");
}

#[test]
fn tls_to_a_server_may_start_at_once() {
    // PostgreSQL before 17 does not take it; another weir does.
    let database = Postgres::shared().database();
    let inner = Spec::new(&database).start();
    let authority = Certificates::shared().authority.display();
    let mut server = inner.endpoint();
    server.host = "localhost".to_owned();
    let settings = format!(
        "tls = \"verify-full\"\nroot_certificates = \"{authority}\"\ntls_negotiation = \"direct\""
    );
    let mut outer =
        Spec::bare("outer").target(TARGET, &server, &settings).everything_allowed().start();
    assert_eq!(tools::psql(&outer.endpoint(), "SELECT current_user"), "app");
    let old = Postgres::shared();
    let mut server = old.endpoint(&database.name);
    server.host = "localhost".to_owned();
    outer.stop();
    let outer = Spec::bare("outer").target(TARGET, &server, &settings).everything_allowed().start();
    assert!(!refused(&outer.endpoint()).is_empty());
}
