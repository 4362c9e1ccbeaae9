//! Ends that nobody asked for: weir is killed, the apiserver restarts, the disk is full. What was
//! acknowledged is in the record, nothing runs that is not, and whoever waited is told.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::support::lake::{Lake, Row, bytes, number, text};
use super::support::scratch::{SmallDisk, output};
use super::support::{Spec, wait_until};
use super::world::{Cluster, RULES, Through, direct, exchange, namespace, pod};

/// `kubectl exec -i` of a command that says `ready`, then what it reads.
struct Exec {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Exec {
    fn start(through: &Through, space: &str, websocket: &str) -> Exec {
        let command = ["sh", "-c", "echo ready; cat"];
        let all = [&["exec", "-i", "web", "-n", space, "--"], &command[..]].concat();
        let mut kubectl = through.kubectl("alice", &all);
        kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websocket);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().expect("kubectl starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut exec = Exec { child, stdin, stdout };
        assert_eq!(exec.line(), "ready\n");
        exec
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it can be read");
        line
    }

    fn echoes(&mut self, line: &str) {
        self.stdin.write_all(line.as_bytes()).expect("it reads");
        assert_eq!(self.line(), line);
    }

    /// It ends, however.
    fn ends(mut self) {
        drop(self.stdin);
        self.child.wait().expect("it ends");
    }

    /// What it says of an end that is none of the command's.
    fn fails(mut self) -> String {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("text");
        let status = self.child.wait().expect("it ends");
        assert!(!status.success(), "an end that was cut off looks like a good one: {said}");
        assert!(!said.is_empty(), "it ended and said nothing");
        said
    }
}

/// What a command's row has in one stream.
fn stream(lake: &Lake, command: &Row, number_of: i64) -> String {
    let chunks = lake.rows("stream_chunks");
    let its = chunks.iter().filter(|row| {
        text(row, "session_id") == text(command, "session_id")
            && number(row, "command_seq") == number(command, "seq")
            && number(row, "stream") == number_of
    });
    let all: Vec<u8> = its.flat_map(|row| bytes(row, "payload")).collect();
    String::from_utf8(all).expect("text")
}

#[test]
fn an_exec_that_weir_is_killed_in_is_in_the_record() {
    let space = namespace("killed");
    pod(&space);
    let mut through = Through::start("");
    for websocket in ["true", "false"] {
        let mut exec = Exec::start(&through, &space, websocket);
        exec.echoes("typed\n");
        through.weir.kill();
        // Nobody is left to say so, and then kubectl takes the end of SPDY for a good one.
        match websocket {
            "true" => drop(exec.fails()),
            _ => exec.ends(),
        }
        through.weir.start();
    }
    let told = through.ok("alice", &["get", "pod", "web", "-n", &space, "-o", "name"]);
    assert_eq!(told, "pod/web\n", "it serves as before");
    let lake = through.weir.lake();
    let commands = lake.rows("commands");
    let answers = lake.rows("responses");
    for operation in ["get pods/exec", "create pods/exec"] {
        let mut its = commands.iter().filter(|row| text(row, "operation") == operation);
        let row = its.next().unwrap_or_else(|| panic!("no {operation}"));
        assert!(its.next().is_none(), "{operation} twice");
        assert_eq!(stream(&lake, row, 0), "typed\n", "{operation}");
        assert_eq!(stream(&lake, row, 1), "ready\ntyped\n", "{operation}");
        // Nobody heard how it ended, so nothing says that it ended well.
        let answered = answers.iter().find(|answer| {
            text(answer, "session_id") == text(row, "session_id")
                && number(answer, "command_seq") == number(row, "seq")
        });
        assert!(answered.is_none_or(|answer| text(answer, "outcome") != "success"), "{operation}");
        let sessions = lake.rows("sessions");
        let of = |phase: &str| {
            let mine = |it: &&Row| text(it, "session_id") == text(row, "session_id");
            sessions.iter().filter(mine).any(|it| text(it, "phase") == phase)
        };
        assert!(of("start") && of("recovered"), "{operation}: the session has no end");
    }
}

/// A container that is killed takes what runs in it with it: whoever waits for a command reads the
/// code of its end, as directly, and so does whoever reads the record.
#[test]
fn an_exec_whose_container_is_killed_ends_as_it_does_directly() {
    let space = namespace("killed-pod");
    pod(&space);
    let mut through = Through::start("");
    let run = |mut kubectl: Command, websocket: &str| {
        kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websocket);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().expect("kubectl starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("it can be read");
        let pid = line.trim().parse().expect("the number of its process");
        super::bed::kill(pid);
        let told = child.wait_with_output().expect("it ends");
        (told.status.code(), String::from_utf8_lossy(&told.stderr).into_owned())
    };
    let exec = ["exec", "-i", "web", "-n", &space, "--", "sh", "-c", "echo $$; cat"];
    for websocket in ["true", "false"] {
        let mut direct = Command::new(super::world::kubectl_program());
        let own = super::world::cluster().file("alice.kubeconfig");
        direct.env("KUBECONFIG", own).args(exec);
        let there = run(direct, websocket);
        let here = run(through.kubectl("alice", &exec), websocket);
        assert_eq!(here, there, "WebSocket: {websocket}");
        assert_eq!(here.0, Some(137), "{here:?}");
    }
    for operation in ["get pods/exec", "create pods/exec"] {
        let rows = exchange(&mut through.weir, operation);
        assert_eq!(rows.len(), 1, "{operation}");
        let answer = &rows[0].1;
        assert_eq!(text(answer, "outcome"), "error", "{answer:?}");
        assert!(text(answer, "attrs").contains("\"exit_code\":137"), "{answer:?}");
    }
}

/// Writes that must not be repeated, over connections that are kept: each is done, once. An
/// apiserver with `--goaway-chance` says so in HTTP/2 alone (apiserver, filters/goaway.go), which
/// weir does not speak with clusters: a connection that ends between two requests is what is left.
#[test]
fn many_writes_over_kept_connections_are_each_done_once() {
    const WRITES: usize = 400;
    let space = namespace("goaway");
    direct(&["create", "namespace", &space]);
    let mut through = Through::start("");
    let cluster = super::world::cluster();
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        let told = output(curl.args(["-sS", "-k", "-i", "--noproxy", "*"]).args(arguments));
        String::from_utf8_lossy(&told.stdout).to_lowercase()
    };
    let object = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"g-"}}"#;
    let maps = format!("/api/v1/namespaces/{space}/configmaps");
    let url = format!("{}{maps}?n=[1-{}]", through.server(), WRITES / 2);
    let login = format!("alice:{}", super::support::weir::USER_PASSWORD);
    for version in ["--http1.1", "--http2"] {
        let kind = "Content-Type: application/json";
        let told = curl(&[version, "-u", &login, "-H", kind, "-d", object, &url]);
        let made = told.matches("http/1.1 201 ").count() + told.matches("http/2 201 ").count();
        assert_eq!(made, WRITES / 2, "{version}: {told}");
    }
    let there = direct(&["get", "configmaps", "-n", &space, "-o", "name"]);
    let there = there.lines().filter(|line| line.starts_with("configmap/g-"));
    assert_eq!(there.count(), WRITES);
    let rows = exchange(&mut through.weir, "create configmaps");
    assert_eq!(rows.len(), WRITES);
    assert!(rows.iter().all(|(_, answer)| number(answer, "status") == 201));
    // The cluster's own log knows of as many, by the ids that the record has.
    let audit = std::fs::read_to_string(cluster.file("audit.log")).expect("the audit log");
    let asked = audit.lines().filter(|line| {
        line.contains(&format!("{maps}?n=")) && line.contains("\"verb\":\"create\"")
    });
    assert_eq!(asked.count(), WRITES, "a write was sent twice");
}

/// A cluster of its own: others would feel it.
#[test]
fn an_apiserver_that_restarts_cuts_streams_and_is_found_again() {
    let cluster = Cluster::start("restart", &["--controllers=false"]);
    let space = namespace("restart");
    cluster.pod(&space);
    let mut through = Through::before(&cluster, Spec::bare("kube-restart").rules(RULES));
    let pods = format!("/api/v1/namespaces/{space}/pods");
    let mut watch = through.kubectl("alice", &["get", "--raw", &format!("{pods}?watch=1")]);
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut watch = watch.expect("kubectl starts");
    let mut event = String::new();
    let stdout = watch.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut event).expect("an event");
    assert!(event.contains("ADDED"), "{event}");
    let mut execs: Vec<Exec> =
        ["true", "false"].map(|websocket| Exec::start(&through, &space, websocket)).into();
    execs.iter_mut().for_each(|exec| exec.echoes("typed\n"));

    let before = cluster.pid("apiserver");
    super::bed::kill(before);
    for exec in execs {
        let said = exec.fails();
        assert!(said.contains("ended before the command did"), "{said}");
    }
    let told = watch.wait_with_output().expect("it ends");
    assert!(!told.status.success(), "a watch that was cut off ends well");
    let get = ["get", "pods", "-n", &space, "-o", "name"];
    let mut down = through.kubectl("alice", &get).output().expect("kubectl runs");
    wait_until("the apiserver", Duration::from_secs(120), || {
        if !down.status.success() {
            let said = String::from_utf8_lossy(&down.stderr);
            assert!(said.contains("weir: ") || said.contains("erver"), "{said}");
        }
        down = through.kubectl("alice", &get).output().expect("kubectl runs");
        down.status.success() && cluster.pid("apiserver") != before
    });
    assert_eq!(String::from_utf8_lossy(&down.stdout), "pod/web\n");
    let mut exec = Exec::start(&through, &space, "true");
    exec.echoes("again\n");
    drop(exec.stdin);
    assert!(exec.child.wait().expect("it ends").success());

    let mut rows = exchange(&mut through.weir, "get pods/exec");
    rows.extend(exchange(&mut through.weir, "create pods/exec"));
    assert_eq!(rows.len(), 3);
    for (_, answer) in &rows[..] {
        let ended = text(answer, "attrs").contains("exit_code");
        assert_eq!(ended, text(answer, "outcome") == "success", "{answer:?}");
    }
    let good = rows.iter().filter(|(_, answer)| text(answer, "outcome") == "success").count();
    assert_eq!(good, 1, "two were cut off");
    let watches = exchange(&mut through.weir, "watch pods");
    assert_ne!(text(&watches[0].1, "outcome"), "success");
}

/// A ConfigMap that is recorded whole: what is longer than 64 KiB has a digest.
fn padded(space: &str, name: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": space},
        "data": {"padding": "x".repeat(60_000)},
    })
}

#[test]
fn a_full_disk_refuses_requests_and_loses_none() {
    let Some(disk) = SmallDisk::mount("160m") else { return };
    let space = namespace("full");
    pod(&space);
    let spec = Spec::bare("kube-full").rules(RULES).data_dir(disk.path().join("data"));
    let spec = spec.tail("[journal]\nsegment = \"18MiB\"\n");
    let mut through = Through::before(super::world::cluster(), spec);
    let filler = disk.path().join("filler");
    let fill = format!("of={}", filler.display());
    let _ = output(Command::new("dd").args(["if=/dev/zero", "bs=1M", &fill]));
    let mut acknowledged = Vec::new();
    let mut refusal = String::new();
    for round in 0..100 {
        let objects: Vec<serde_json::Value> =
            (0..20).map(|number| padded(&space, &format!("c{round}-{number}"))).collect();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = through.folder.join("list.json");
        std::fs::write(&file, list.to_string()).expect("a file");
        let make = ["create", "--validate=false", "-f", &file.display().to_string()];
        let told = through.kubectl("alice", &make).output().expect("kubectl runs");
        let made = String::from_utf8_lossy(&told.stdout).into_owned();
        let names = made.lines().filter_map(|line| line.strip_prefix("configmap/"));
        acknowledged.extend(names.filter_map(|line| line.split(' ').next().map(str::to_owned)));
        if !told.status.success() {
            refusal = String::from_utf8_lossy(&told.stderr).into_owned();
            break;
        }
    }
    assert!(refusal.contains("record"), "after {}: {refusal:?}", acknowledged.len());
    let there = direct(&["get", "configmaps", "-n", &space, "-o", "name"]);
    let stored: Vec<&str> =
        there.lines().filter_map(|line| line.strip_prefix("configmap/")).collect();
    let stored: Vec<&str> = stored.into_iter().filter(|name| name.starts_with('c')).collect();
    // A request that was recorded runs; that the answer finds no room is told as a failure.
    let told = stored.iter().filter(|name| acknowledged.iter().any(|it| it == *name)).count();
    assert_eq!(told, acknowledged.len(), "what was acknowledged is there");
    assert!(stored.len() <= told + 1, "{} ran, {told} were acknowledged", stored.len());
    std::fs::remove_file(&filler).expect("the filler");
    let get = ["get", "pod", "web", "-n", &space, "-o", "name"];
    wait_until("requests to be recorded again", Duration::from_secs(60), || {
        through.kubectl("alice", &get).output().expect("kubectl runs").status.success()
    });
    let rows = exchange(&mut through.weir, "create configmaps");
    let commands = through.weir.lake().rows("commands");
    for name in &stored {
        let of_it = commands.iter().filter(|row| row["name"] == *name).count();
        assert_eq!(of_it, 1, "{name} has its row, whatever became of its answer");
    }
    assert!(!acknowledged.is_empty());
    for name in &acknowledged {
        let found = rows.iter().filter(|(row, _)| text(row, "name") == *name);
        let statuses: Vec<i64> = found.map(|(_, answer)| number(answer, "status")).collect();
        assert_eq!(statuses, [201], "{name}");
    }
}
