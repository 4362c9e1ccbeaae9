//! Client libraries that are not kubectl's: they see through weir what they see directly.
//!
//! `tests/kube/clients/install` gets them. Each program does the same in one order and says what it
//! saw, without what differs from run to run.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::support::lake::text;
use super::support::scratch::run;
use super::support::wait_until;
use super::world::{RULES, Through, cluster, direct, namespace, pod};

/// Everything that the programs do.
const MORE: &str = r#"
[[rule]]
name = "clients"
when = { groups = ["sre"] }
then = "allow"
"#;

pub fn folder() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube/clients/install");
    let output = Command::new(script).arg("--path").output().expect("a script");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube/clients").join(name)
}

/// A server on the node that says one line to whoever comes.
pub fn hello() -> String {
    let server = std::net::TcpListener::bind("198.18.0.10:0").expect("the node's address");
    let port = server.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.write_all(b"hello from the pod\n");
        }
    });
    port.to_string()
}

/// What a program says directly and through weir; `program` makes its command of a kubeconfig.
fn same_through_weir(name: &str, program: impl Fn(&Path, &str, &str) -> Command) {
    let space = namespace(name);
    pod(&space);
    let port = hello();
    let through = Through::start_with("", &format!("{RULES}{MORE}"));
    let own = cluster().file("alice.kubeconfig");
    let there = run(&mut program(&own, &space, &port));
    let here = run(&mut program(&through.folder.join("alice"), &space, &port));
    assert!(there.lines().count() > 10, "{there}");
    assert_eq!(here, there, "{name}");
    drop(through);
    direct(&["delete", "namespace", &space, "--wait=false"]);
}

#[test]
fn the_python_client_sees_the_same() {
    same_through_weir("python", |config, space, port| {
        let mut command = Command::new(folder().join("venv/bin/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore");
        command.arg(source("client.py")).arg(config).args([space, port]);
        command
    });
}

#[test]
fn the_javascript_client_sees_the_same() {
    same_through_weir("javascript", |config, space, port| {
        let mut command = Command::new("node");
        command.env("WEIR_CLIENTS", folder()).env("NODE_NO_WARNINGS", "1");
        command.arg(source("client.mjs")).arg(config).args([space, port]);
        command
    });
}

#[test]
fn client_go_sees_the_same() {
    same_through_weir("client-go", |config, space, port| {
        let mut command = Command::new(folder().join("informer"));
        command.arg("all").arg(config).args([space, port]);
        command
    });
}

fn soon(events: &Receiver<String>) -> String {
    events.recv_timeout(Duration::from_secs(60)).expect("an event in time")
}

/// Its watch ends with weir: it lists again, and sees what happened in between, once.
#[test]
fn an_informer_outlives_restarts_of_weir() {
    let space = namespace("relist");
    direct(&["create", "namespace", &space]);
    let make = |name: &str, value: &str| {
        let literal = format!("--from-literal=a={value}");
        direct(&["create", "configmap", name, &literal, "-n", &space]);
        direct(&["label", "configmap", name, "made=go", "-n", &space]);
    };
    make("first", "1");
    let mut through = Through::start_with("", &format!("{RULES}{MORE}"));
    let mut informer = Command::new(folder().join("informer"))
        .arg("watch")
        .arg(through.folder.join("alice"))
        .arg(&space)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let stdout = informer.stdout.take().expect("a pipe");
    let (tell, events) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    assert_eq!(soon(&events), "add first 1");
    // In order, with a word to its clients; then at once.
    for (round, name) in ["drained", "killed"].into_iter().enumerate() {
        match round {
            0 => assert!(through.weir.stop().success()),
            _ => through.weir.kill(),
        }
        make(name, "2");
        through.weir.start();
        assert_eq!(soon(&events), format!("add {name} 2"));
    }
    direct(&["delete", "configmap", "first", "-n", &space]);
    assert_eq!(soon(&events), "delete first 1");
    drop(informer.stdin.take());
    wait_until("the informer's end", Duration::from_secs(20), || {
        informer.try_wait().expect("a child of ours").is_some()
    });
    assert!(events.try_recv().is_err(), "an event came twice");
    let commands = through.weir.lake().rows("commands");
    let watches = commands.iter().filter(|row| text(row, "operation") == "watch configmaps");
    assert!(watches.count() >= 3, "a watch for each weir");
}
