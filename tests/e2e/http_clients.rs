//! Clients of HTTP: what each hears of a server itself and through weir is the same.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::support::lake::text;
use crate::support::scratch::run;
use crate::support::web::{Plan, Server, Web};
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Certificates, tools};

/// A client of `tests/drivers`, by the name that its script knows it by.
fn client(name: &str, url: &str) -> Command {
    let mut command = match name {
        "fetch" | "undici" | "undici2" => tools::node(),
        "HTTP_1_1" | "HTTP_2" => tools::java(),
        _ => tools::python(),
    };
    match name {
        "fetch" | "undici" | "undici2" => command.arg(tools::script("exchanges.js")),
        "HTTP_1_1" | "HTTP_2" => {
            let table = tools::script("exchanges.tsv");
            command.arg(tools::script("Exchanges.java")).arg(table)
        }
        _ => command.arg(tools::script("exchanges.py")),
    };
    command.arg(name).arg(url);
    match url.starts_with("https:") {
        true => command.arg(&Certificates::shared().authority),
        false => command.arg("-"),
    };
    command.arg(format!("{USER}:{USER_PASSWORD}"));
    command
}

/// What a client hears directly, by the client of HTTP/1.1 where the server has nothing else.
fn same(names: &[(&str, &str)], tls: bool) {
    let server = Server::of("exchanges_server.js", &[]);
    let direct_url = format!("http://localhost:{}", server.port);
    let mut web = Web::start(server, "http", &Plan { tls, ..Plan::default() });
    for (name, directly) in names {
        let direct = run(&mut client(directly, &direct_url));
        let through = run(&mut client(name, &web.url("")));
        assert_eq!(direct.lines().count(), 40, "{name}: {direct}");
        for (direct, through) in direct.lines().zip(through.lines()) {
            assert_eq!(direct, through, "{name}");
        }
        assert_eq!(direct, through, "{name}");
    }
    let lake = web.weir.lake();
    let commands = lake.rows("commands");
    // Forty lines, and three that are followed.
    assert_eq!(commands.len(), names.len() * 43);
    let answers = lake.rows("responses");
    assert_eq!(answers.len(), commands.len());
    let broken = answers.iter().filter(|row| text(row, "outcome") == "aborted").count();
    assert_eq!(broken, 0);
}

#[test]
fn clients_of_python_hear_the_same() {
    same(&[("requests", "requests"), ("httpx", "httpx"), ("aiohttp", "aiohttp")], false);
}

#[test]
fn clients_of_python_hear_the_same_over_tls_and_in_http2() {
    let names = ["requests", "aiohttp", "httpx"].map(|name| (name, name));
    same(&[&names[..], &[("httpx2", "httpx")]].concat(), true);
}

#[test]
fn fetch_and_undici_hear_the_same() {
    let names = [("fetch", "fetch"), ("undici", "undici")];
    same(&names, false);
    same(&[&names[..], &[("undici2", "undici")]].concat(), true);
}

#[test]
fn javas_client_hears_the_same() {
    same(&[("HTTP_1_1", "HTTP_1_1")], false);
    same(&[("HTTP_1_1", "HTTP_1_1"), ("HTTP_2", "HTTP_1_1")], true);
}

/// What a stream of events may take of weir's memory.
const STREAM_BYTES_MAX: u64 = 32 << 10;
/// How long a request beside them may take, on a machine that is busy with all ends of them.
const BESIDE_MS_MAX: f64 = 3_000.0;

#[test]
fn event_streams_stand_side_by_side() {
    let count = u64::from(crate::support::short_or_long(200, 1_000));
    let mut web = Web::start(Server::start(), "http", &Plan::default());
    run(web.curl(&["-o", "/dev/null"]).arg(web.url("/before")));
    let before = web.weir.anonymous_kib();
    let mut node = tools::node();
    node.arg(tools::script("event_streams.js")).arg(web.url(""));
    node.arg(format!("{USER}:{USER_PASSWORD}")).arg(count.to_string());
    let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("its stdout");
    BufReader::new(output).read_line(&mut line).expect("a line");
    let said: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(said["good"], count, "{said}");
    assert!(said["slowest_ms"].as_f64().is_some_and(|ms| ms < BESIDE_MS_MAX), "{said}");
    let taken = web.weir.anonymous_kib().saturating_sub(before) * 1024;
    assert!(taken / count < STREAM_BYTES_MAX, "{} bytes a stream", taken / count);
    drop(child.stdin.take());
    assert!(child.wait().expect("node ends").success());
    let lake = web.weir.lake();
    let streams = lake.commands_with("GET /ticks");
    assert_eq!(streams.len() as u64, count);
    let chunks = lake.rows("stream_chunks");
    assert!(chunks.len() as u64 >= count * 5, "each event is a chunk: {}", chunks.len());
}
