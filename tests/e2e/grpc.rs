//! gRPC: clients of Python and Node hear of a server itself and through weir the same.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::lake::text;
use crate::support::scratch::run;
use crate::support::web::{Plan, Server, Web};
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Certificates, tools, wait_until};

const HELD: &str = r#"
[[rule]]
name = "calls are seen"
when = { paths = ["/weir.Test/Held"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "1m" } }
"#;

/// The server of `tests/drivers`, and weir before it.
fn web(tls: bool) -> (Web, u16) {
    let certificates = Certificates::shared();
    let files = [&certificates.certificate, &certificates.key, &certificates.authority];
    let server = Server::run(tools::python(), "grpc_server.py", if tls { &files[..] } else { &[] });
    let (port, scheme) = (server.port, if tls { "https" } else { "http" });
    let mut target = "http = \"2\"".to_owned();
    if tls {
        let authority = certificates.authority.display();
        target += &format!("\nroot_certificates = \"{authority}\"");
    }
    let plan = Plan { tls, target: &target, tail: HELD, ..Plan::default() };
    (Web::start(server, scheme, &plan), port)
}

fn client(node: bool, (port, tls): (u16, bool), checks: &[&str]) -> Command {
    let (mut command, script) = match node {
        true => (tools::node(), "grpc_client.js"),
        false => (tools::python(), "grpc_client.py"),
    };
    command.arg(tools::script(script)).arg(format!("localhost:{port}"));
    match tls {
        true => command.arg(&Certificates::shared().authority),
        false => command.arg("-"),
    };
    command.arg(format!("{USER}:{USER_PASSWORD}")).args(checks);
    command
}

fn said(line: &str) -> Value {
    let line: Value = serde_json::from_str(line).expect("a line of JSON");
    line["said"].clone()
}

#[test]
fn clients_hear_the_same_of_a_server_and_through_weir() {
    for tls in [true, false] {
        let (mut web, port) = web(tls);
        for node in [true, false] {
            let direct = run(&mut client(node, (port, tls), &[]));
            let through = run(&mut client(node, (web.port, tls), &[]));
            for (direct, through) in direct.lines().zip(through.lines()) {
                assert_eq!(direct, through, "node {node}, TLS {tls}");
            }
            assert_eq!(direct.lines().count(), 22, "{direct}");
            assert_eq!(direct, through);
            let wrong = ["Error", "no failure", "undefined"];
            assert!(!wrong.iter().any(|word| direct.contains(word)), "{direct}");
        }
        let lake = web.weir.lake();
        let calls = lake.commands_with("POST /weir.Test/ServerStream");
        assert_eq!(calls.len(), 6, "{calls:#?}");
        let answers = lake.rows("responses");
        let whole = answers.iter().filter(|row| text(row, "outcome") == "success").count();
        assert!(whole > 140, "{whole} of {}", answers.len());
        let failed = answers.iter().filter(|row| text(row, "outcome") == "error").count();
        assert!(failed >= 6, "{failed} calls failed at the server, three of each client");
        let told = answers.iter().filter(|row| text(row, "attrs").contains("grpc-status")).count();
        assert!(told > 140, "{told} of {}", answers.len());
    }
}

#[test]
fn what_weir_decides_is_said_in_the_words_of_grpc() {
    let (mut web, _) = web(true);
    for node in [true, false] {
        let heard = run(&mut client(node, (web.port, true), &["denied", "nobody"]));
        let heard: Vec<Value> = heard.lines().map(said).collect();
        let codes: Vec<&Value> = heard.iter().map(|it| &it["code"]).collect();
        assert_eq!(codes, ["PERMISSION_DENIED", "UNAUTHENTICATED"]);
        assert_eq!(heard[0]["words"], "secrets stay here");
        for (vote, check) in [("approve", "held"), ("deny", "held and refused")] {
            let mut command = client(node, (web.port, true), &[check]);
            let mut child = command.stdout(Stdio::piped()).spawn().expect("a client");
            let mut ask = Value::Null;
            wait_until("a call to be held", Duration::from_secs(30), || {
                let listed = run(&mut web.weir.command(&["approvals", "list", "--json"]));
                ask = serde_json::from_str(listed.trim()).unwrap_or_default();
                !ask.is_null()
            });
            let id = ask["id"].as_str().expect("an id");
            let vote = ["approvals", vote, id, "--reason", "because", "--as", "dora"];
            run(web.weir.command(&vote).env("WEIR_PASSWORD", USER_PASSWORD));
            let mut line = String::new();
            let output = child.stdout.take().expect("its stdout");
            BufReader::new(output).read_line(&mut line).expect("a line");
            assert!(child.wait().expect("it ends").success());
            match check {
                "held" => assert_eq!(said(&line), "please"),
                _ => {
                    let said = said(&line);
                    assert_eq!(said["code"], "PERMISSION_DENIED");
                    assert_eq!(said["words"], "denied by dora: because");
                }
            }
        }
    }
    let lake = web.weir.lake();
    let rows = lake.rows("commands");
    let held = rows.iter().filter(|row| text(row, "query_text").contains("/weir.Test/Held"));
    assert!(held.clone().all(|row| text(row, "kind") == "grpc"), "{rows:#?}");
    let mut decisions: Vec<String> = held.map(|row| text(row, "decision")).collect();
    decisions.sort();
    assert_eq!(decisions, ["allow", "allow", "deny", "deny"]);
}

#[test]
fn the_time_of_a_call_bounds_its_hold_and_the_same_call_again_joins_it() {
    let (web, _) = web(true);
    for node in [false, true] {
        let again = || {
            let heard = run(&mut client(node, (web.port, true), &["held in a hurry"]));
            heard.lines().map(said).next().expect("a line")
        };
        let first = again();
        assert_eq!(first["code"], "DEADLINE_EXCEEDED", "{first}");
        let words = first["words"].as_str().expect("words");
        assert!(words.starts_with("this waits for the approval of 1 of dba"), "{words}");
        let listed = run(&mut web.weir.command(&["approvals", "list", "--json"]));
        let ask: Value = serde_json::from_str(listed.trim()).expect("one ask");
        let id = ask["id"].as_str().expect("an id");
        assert!(words.contains(id), "{words}");
        let vote = ["approvals", "approve", id, "--reason", "because", "--as", "dora"];
        run(web.weir.command(&vote).env("WEIR_PASSWORD", USER_PASSWORD));
        assert_eq!(again(), "no failure");
    }
}
