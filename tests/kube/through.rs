//! kubectl through weir: decided, recorded, impersonated; the cluster's audit log says the same.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::bed;
use super::support::lake::{Row, bytes, number, text};
use super::support::scratch::free_port;
use super::support::weir::USER_PASSWORD;
use super::support::{Certificates, Spec, Weir, wait_until};

const RULES: &str = r#"
[[rule]]
name = "sre"
when = { groups = ["sre"], commands = ["read", "write", "delete", "logs", "exec", "port-forward",
  "workload", "workload-privileged", "secret-read", "unbounded-write", "control-plane"] }
then = "allow"

[[rule]]
name = "agents look and change"
when = { groups = ["agents"], commands = ["read", "logs", "write", "workload"] }
then = "allow"

[[rule]]
name = "prod stays"
when = { verbs = ["delete", "deletecollection"], namespaces = ["prod-*"] }
then = { deny = "ask an SRE" }
"#;

/// The cluster of these tests; it ends with the process.
struct Cluster {
    facts: Value,
    /// It ends with its standard input.
    _bed: Option<Child>,
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let read = |path: &str| -> Value {
            let text = std::fs::read_to_string(path).expect("bed.json");
            serde_json::from_str(&text).expect("JSON")
        };
        // One that runs already.
        if let Ok(path) = std::env::var("WEIR_KUBEBED_UP") {
            return Cluster { facts: read(&path), _bed: None };
        }
        let folder = std::env::temp_dir().join(format!("kubebed-through-{}", std::process::id()));
        let mut child = Command::new(bed::program())
            .args(["up", "--stdin", "--data"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bed starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let place = line.strip_prefix("ready ").map(str::trim);
        let place = place.unwrap_or_else(|| panic!("{line:?}; see {}", folder.display()));
        Cluster { facts: read(place), _bed: Some(child) }
    })
}

impl Cluster {
    fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_else(|| panic!("{name} of {}", self.facts))
    }
}

/// weir in front of the cluster.
struct Through {
    weir: Weir,
    port: u16,
    folder: PathBuf,
}

impl Through {
    fn start(masks: &str) -> Through {
        Through::start_with(masks, RULES)
    }

    fn start_with(masks: &str, rules: &str) -> Through {
        let (cluster, port) = (cluster(), free_port());
        let spec = Spec::bare("kube").rules(rules).masks(masks).user("alice", &["sre"]);
        let spec = spec.user("agent", &["agents"]);
        let folder = spec.folder().to_owned();
        let token = folder.join("impersonator");
        std::fs::write(&token, cluster.facts["tokens"]["weir"].as_str().expect("a token"))
            .expect("a file");
        let Certificates { certificate, key, .. } = Certificates::shared();
        let tail = format!(
            "[listen.http]\naddress = \"127.0.0.1:{port}\"\n\
             tls = {{ certificate = \"{}\", key = \"{}\" }}\n\
             [[target]]\nname = \"bed\"\nprotocol = \"kubernetes\"\naddress = \"{}\"\n\
             root_certificates = \"{}\"\n[[target.credential]]\nrole = \"weir\"\n\
             token = {{ file = \"{}\" }}\n",
            certificate.display(),
            key.display(),
            cluster.fact("server"),
            cluster.fact("ca"),
            token.display()
        );
        let weir = spec.tail(&tail).start();
        let through = Through { weir, port, folder };
        for user in ["alice", "agent"] {
            through.write_kubeconfig(user);
        }
        through
    }

    fn write_kubeconfig(&self, user: &str) {
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: bed\n\
             clusters: [{{name: bed, cluster: {{server: \"https://localhost:{}/k8s/bed\", \
             insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: u, user: {{username: {user}, password: {USER_PASSWORD}}}}}]\n\
             contexts: [{{name: bed, context: {{cluster: bed, user: u}}}}]\n",
            self.port
        );
        std::fs::write(self.folder.join(user), config).expect("a kubeconfig");
    }

    /// kubectl as somebody, through weir.
    fn kubectl(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(kubectl_program());
        command.env("KUBECONFIG", self.folder.join(user)).env("HOME", &self.folder);
        command.args(arguments);
        command
    }

    /// What it prints.
    fn ok(&self, user: &str, arguments: &[&str]) -> String {
        finish(self.kubectl(user, arguments), arguments, true)
    }

    /// What it says when it fails.
    fn refused(&self, user: &str, arguments: &[&str]) -> String {
        finish(self.kubectl(user, arguments), arguments, false)
    }
}

fn kubectl_program() -> PathBuf {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube/kubectl");
    let output = Command::new(script).arg("--path").output().expect("a script");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

fn finish(mut command: Command, arguments: &[&str], well: bool) -> String {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().expect("kubectl starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.success(), well, "kubectl {arguments:?}: {stdout}{stderr}");
    if well { stdout.into_owned() } else { stderr.into_owned() }
}

/// kubectl as the administrator, past weir.
fn direct(arguments: &[&str]) -> String {
    let mut command = Command::new(kubectl_program());
    command.env("KUBECONFIG", cluster().fact("kubeconfig")).args(arguments);
    finish(command, arguments, true)
}

/// A namespace of a test, and a pod in it that runs.
fn pod(namespace: &str) {
    direct(&["create", "namespace", namespace]);
    let run = ["run", "web", "--image=busybox", "--restart=Never", "-n", namespace];
    direct(&[&run[..], &["--command", "--", "sh", "-c", "echo started; sleep 600"]].concat());
    wait_until("the pod", Duration::from_secs(60), || {
        let phase = ["get", "pod", "web", "-n", namespace, "-o", "jsonpath={.status.phase}"];
        direct(&phase) == "Running"
    });
}

fn namespace(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// A command's row by its operation, with its answer's.
fn exchange(weir: &mut Weir, operation: &str) -> Vec<(Row, Row)> {
    let lake = weir.lake();
    let responses = lake.rows("responses");
    let of = |command: &Row| {
        responses.iter().find(|row| {
            text(row, "session_id") == text(command, "session_id")
                && number(row, "command_seq") == number(command, "seq")
        })
    };
    let commands = lake.rows("commands");
    let mine = commands.into_iter().filter(|row| text(row, "operation") == operation);
    mine.filter_map(|row| of(&row).cloned().map(|answer| (row, answer))).collect()
}

#[test]
fn kubectl_looks_changes_and_is_told_what_it_may_not() {
    let space = namespace("look");
    pod(&space);
    let mut through = Through::start("");
    let listed = through.ok("alice", &["get", "pods", "-n", &space]);
    assert_eq!(listed, direct(&["get", "pods", "-n", &space]), "the same as direct");
    assert_eq!(through.ok("agent", &["logs", "web", "-n", &space]), "started\n");
    let whoami = through.ok("alice", &["auth", "whoami", "-o", "json"]);
    let whoami: Value = serde_json::from_str(&whoami).expect("JSON");
    assert_eq!(whoami["status"]["userInfo"]["username"], "alice");
    let make = ["create", "configmap", "c", "--from-literal=a=b", "-n", &space];
    assert!(through.ok("agent", &make).contains("created"));
    let told = through.refused("agent", &["get", "secrets", "-n", &space]);
    assert!(told.contains("secrets is forbidden: weir: "), "{told}");
    let told = through.refused("agent", &["exec", "web", "-n", &space, "--", "id"]);
    assert!(told.contains("weir: "), "{told}");
    let told = through.refused("alice", &["get", "pods", "-n", &space, "--as=bob"]);
    assert!(told.contains("impersonated"), "{told}");
    let told = through.refused("alice", &["delete", "pod", "x", "-n", "prod-1"]);
    assert!(told.contains("rule \"prod stays\": ask an SRE"), "{told}");
    let rows = exchange(&mut through.weir, "list pods");
    let (command, answer) = &rows[0];
    assert_eq!(text(command, "protocol"), "kubernetes");
    assert_eq!(
        ["verb", "resource", "namespace", "user_name"].map(|column| text(command, column)),
        ["list", "pods", &space, "alice"].map(str::to_owned)
    );
    assert_eq!(number(answer, "status"), 200);
}

#[test]
fn the_audit_log_of_the_cluster_and_the_record_say_the_same() {
    let space = namespace("audit");
    pod(&space);
    let mut through = Through::start("");
    for arguments in [
        &["get", "pods", "-n", &space, "-o", "yaml"][..],
        &["get", "nodes"],
        &["create", "secret", "generic", "s", "--from-literal=k=v", "-n", &space],
        &["annotate", "pod", "web", "a=b", "-n", &space],
        &["label", "pod", "web", "c=d", "-n", &space],
        &["get", "events", "-n", &space],
        &["exec", "web", "-n", &space, "--", "true"],
        &["delete", "secret", "s", "-n", &space],
    ] {
        through.ok("alice", arguments);
    }
    let lake = through.weir.lake();
    let responses = lake.rows("responses");
    let mut ours = BTreeMap::new();
    for row in lake.rows("commands") {
        let id = format!("{}:{}", text(&row, "session_id"), number(&row, "seq"));
        let answer = responses.iter().find(|answer| {
            text(answer, "session_id") == text(&row, "session_id")
                && number(answer, "command_seq") == number(&row, "seq")
        });
        let status = answer.map(|answer| number(answer, "status"));
        ours.insert(id, (text(&row, "verb"), text(&row, "user_name"), status));
    }
    let log = std::fs::read_to_string(cluster().fact("audit_log")).expect("the audit log");
    let mut theirs = BTreeMap::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let id = event["auditID"].as_str().unwrap_or_default().to_owned();
        if ours.contains_key(&id) {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let code = event["responseStatus"]["code"].as_i64();
            let user = word(&event["impersonatedUser"]["username"]);
            theirs.insert(id, (word(&event["verb"]), user, code));
        }
    }
    assert!(ours.len() >= 8, "{ours:?}");
    assert_eq!(ours, theirs);
}

#[test]
fn commands_run_in_containers_over_websocket_and_spdy() {
    let space = namespace("exec");
    pod(&space);
    let mut through = Through::start("");
    for websocket in ["true", "false"] {
        let run = |command: &[&str]| {
            let all = [&["exec", "-i", "web", "-n", &space, "--"], command].concat();
            let mut kubectl = through.kubectl("alice", &all);
            kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websocket);
            kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = kubectl.spawn().expect("kubectl starts");
            let mut stdin = child.stdin.take().expect("a pipe");
            stdin.write_all(b"typed\n").expect("it reads");
            drop(stdin);
            child.wait_with_output().expect("it ends")
        };
        let told = run(&["sh", "-c", "cat; echo wrong >&2; exit 3"]);
        let shown = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.stdout, b"typed\n", "{websocket}: {shown}");
        assert!(shown.starts_with("wrong\n"), "{shown}");
        assert_eq!(told.status.code(), Some(3), "{websocket}: {shown}");
        assert!(run(&["true"]).status.success(), "{websocket}");
    }
    let mut rows = exchange(&mut through.weir, "get pods/exec");
    rows.extend(exchange(&mut through.weir, "create pods/exec"));
    assert_eq!(rows.len(), 4);
    let codes: Vec<i64> = rows
        .iter()
        .map(|(_, answer)| {
            assert_eq!(number(answer, "status"), 101);
            let attrs: Value = serde_json::from_str(&text(answer, "attrs")).expect("JSON");
            attrs["exit_code"].as_i64().unwrap_or_else(|| panic!("{attrs}"))
        })
        .collect();
    assert_eq!(codes.iter().sum::<i64>(), 6, "{codes:?}");
    let chunks = through.weir.lake().rows("stream_chunks");
    let said = |stream: i64| {
        let mine = chunks.iter().filter(|row| number(row, "stream") == stream);
        mine.flat_map(|row| bytes(row, "payload")).collect::<Vec<u8>>()
    };
    assert!(said(0).starts_with(b"typed\n"));
    let errors = String::from_utf8_lossy(&said(2)).matches("wrong\n").count();
    assert_eq!(errors, 2);
}

#[test]
fn what_is_typed_arrives_whole_however_it_is_cut() {
    let space = namespace("stdin");
    pod(&space);
    let through = Through::start("");
    let typed: Vec<u8> = (0..25_000).flat_map(|line| format!("{line:07}\n").into_bytes()).collect();
    let mut child = through
        .kubectl("alice", &["exec", "-i", "web", "-n", &space, "--", "sh", "-c", "cat; exit 0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let sent = typed.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let told = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads");
    assert!(told.status.success());
    assert!(told.stdout == typed, "{} of {} bytes", told.stdout.len(), typed.len());
}

#[test]
fn ports_are_forwarded_and_files_copied() {
    let space = namespace("ports");
    pod(&space);
    let through = Through::start("");
    let server = std::net::TcpListener::bind("198.18.0.10:0").expect("the node's address");
    let served = server.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"hello from the pod\n");
        }
    });
    for websocket in ["true", "false"] {
        let local = free_port();
        let pair = format!("{local}:{served}");
        let mut kubectl = through.kubectl("alice", &["port-forward", "web", &pair, "-n", &space]);
        kubectl.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websocket);
        let mut forward: Child = kubectl.stdout(Stdio::null()).spawn().expect("kubectl starts");
        let mut answer = String::new();
        wait_until("the forwarded port", Duration::from_secs(30), || {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", local)) else { return false };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            // The end of the connection is told by nobody when the pod closes first.
            let mut said = [0; 19];
            let is_read = stream.read_exact(&mut said).is_ok();
            answer = String::from_utf8_lossy(&said).into_owned();
            is_read
        });
        forward.kill().expect("it runs");
        forward.wait().expect("it ends");
        assert_eq!(answer, "hello from the pod\n", "{websocket}");
    }
    let file = through.folder.join("file");
    std::fs::write(&file, "copied").expect("a file");
    let there = format!("{space}/web:there");
    through.ok("alice", &["cp", &file.display().to_string(), &there]);
    let read = ["exec", "web", "-n", &space, "--", "cat", "there"];
    assert_eq!(through.ok("alice", &read), "copied");
}

#[test]
fn values_of_secrets_reach_nobody_in_any_answer() {
    const CANARY: &str = "canary-9f31c2";
    let space = namespace("masks");
    direct(&["create", "namespace", &space]);
    let literal = format!("--from-literal=k={CANARY}");
    direct(&["create", "secret", "generic", "s", &literal, "-n", &space]);
    let encoded = direct(&["get", "secret", "s", "-n", &space, "-o", "jsonpath={.data.k}"]);
    let masks = "[[mask]]\nresources = [\"secrets\"]\noperator = \"redact\"\n";
    let mut through = Through::start(masks);
    let hides = |shown: &str, how: &str| {
        assert!(!shown.contains(CANARY) && !shown.contains(&encoded), "{how}: {shown}");
    };
    let patch = format!(r#"{{"metadata":{{"labels":{{"a":"{CANARY}-not"}}}}}}"#);
    for arguments in [
        &["get", "secret", "s", "-o", "json"][..],
        &["get", "secrets", "-o", "yaml"],
        &["get", "secrets"],
        &["describe", "secret", "s"],
        &["get", "--raw", &format!("/api/v1/namespaces/{space}/secrets?timeoutSeconds=2&watch=1")],
        &["label", "secret", "s", "x=y", "-o", "json"],
        &["patch", "secret", "s", "-p", &patch.replace(CANARY, "b"), "-o", "json"],
        &["delete", "secret", "s", "--dry-run=server", "-o", "name"],
    ] {
        let all = [arguments, &["-n", &space]].concat();
        hides(&through.ok("alice", &all), &format!("{arguments:?}"));
    }
    let shown = through.ok("alice", &["get", "secret", "s", "-n", &space, "-o", "json"]);
    let file = through.folder.join("secret.json");
    std::fs::write(&file, &shown).expect("a file");
    let told = through.refused("alice", &["replace", "-f", &file.display().to_string()]);
    assert!(told.contains("masked value"), "{told}");
    let test = r#"[{"op":"test","path":"/data/k","value":"a"}]"#;
    let oracle = ["patch", "secret", "s", "-n", &space, "--type=json", "-p", test];
    let told = through.refused("alice", &oracle);
    assert!(told.contains("could tell a value"), "{told}");
    let lake = through.weir.lake();
    let hits = lake.rows("masking_hits");
    assert!(!hits.is_empty());
    for row in lake.rows("stream_chunks") {
        hides(&String::from_utf8_lossy(&bytes(&row, "payload")), "the record");
    }
}

/// Values in the environment of pods, in every answer that shows them, and as what was applied.
#[test]
fn environments_reach_nobody_and_apply_goes_on() {
    const CANARY: &str = "canary-5e1a77";
    const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},
        "spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{
        "metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"busybox",
        "command":["sleep","600"],"env":[{"name":"T","value":"canary-5e1a77"}]}]}}}}"#;
    let space = namespace("env");
    direct(&["create", "namespace", &space]);
    let masks = "[[mask]]\npaths = [\"spec.containers.*.env.*.value\", \
                 \"spec.template.spec.containers.*.env.*.value\"]\noperator = \"redact\"\n\
                 [[mask]]\nresources = [\"secrets\"]\noperator = \"redact\"\n";
    let through = Through::start(masks);
    let write = |name: &str, text: &str| {
        let file = through.folder.join(name);
        std::fs::write(&file, text).expect("a file");
        file.display().to_string()
    };
    let deployment = write("d.json", DEPLOYMENT);
    let secret = write(
        "s.json",
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},
            "stringData":{"k":"canary-5e1a77"}}"#,
    );
    let run = |arguments: &[&str]| {
        let all = [arguments, &["-n", &space]].concat();
        let shown = through.ok("alice", &all);
        assert!(!shown.contains(CANARY), "{arguments:?}: {shown}");
        shown
    };
    for _ in 0..2 {
        run(&["apply", "-f", &deployment]);
        run(&["apply", "-f", &secret]);
    }
    wait_until("the pod", Duration::from_secs(60), || {
        run(&["get", "pods", "-o", "jsonpath={.items[*].status.phase}"]) == "Running"
    });
    let list = format!("/api/v1/namespaces/{space}/pods");
    for arguments in [
        &["get", "pods", "-o", "yaml"][..],
        &["get", "deployments,replicasets", "-o", "yaml"],
        &["get", "deployment", "d", "-o", "json"],
        &["get", "--raw", &list],
        &["get", "--raw", &format!("{list}?watch=1&timeoutSeconds=2")],
        &["get", "deployment", "d", "--subresource=status", "-o", "json"],
        &["annotate", "deployment", "d", "x=y", "-o", "json"],
        &["apply", "view-last-applied", "deployment/d"],
        &["describe", "pods"],
    ] {
        run(arguments);
    }
    assert!(run(&["get", "pods"]).contains("RESTARTS"), "tables stay");
    let guess = r#"{"data":{"k":"Z3Vlc3M="}}"#;
    let dry = ["patch", "secret", "s", "-p", guess, "--dry-run=server", "-n", &space];
    let told = through.refused("alice", &dry);
    assert!(told.contains("could tell"), "{told}");
    let told = through.refused("alice", &["create", "cm", "Bad_Name", "-n", &space]);
    assert!(told.contains("is invalid: "), "{told}");
    let there = direct(&["get", "deployment", "d", "-n", &space, "-o", "json"]);
    assert!(there.contains(CANARY) && !there.contains("weir-masked"));
}

/// kubectl asks by WebSocket, then by SPDY: people are asked once.
#[test]
fn a_denied_stream_is_denied_in_its_other_form() {
    let space = namespace("twice");
    pod(&space);
    let rules =
        HELD.replace("verbs = [\"delete\"], resources = [\"pods\"]", "commands = [\"exec\"]");
    let rules = rules.replace("[\"read\", \"delete\"]", "[\"read\", \"exec\"]");
    let through = Through::start_with("", &rules);
    let exec = ["exec", "web", "-n", &space, "--", "id"];
    let mut kubectl = through.kubectl("alice", &exec);
    let waiting = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let id = asked(&through)["id"].as_str().unwrap_or_default().to_owned();
    let deny = ["approvals", "deny", &id, "--reason", "not today", "--as", "agent"];
    let mut deny = through.weir.command(&deny);
    super::support::scratch::run(deny.env("WEIR_PASSWORD", USER_PASSWORD));
    let told = waiting.wait_with_output().expect("kubectl ends");
    let shown = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success() && shown.contains("not today"), "{shown}");
}

/// What waits for people, once something does.
fn asked(through: &Through) -> Value {
    let mut ask = Value::Null;
    wait_until("a request to be held", Duration::from_secs(20), || {
        let mut list = through.weir.command(&["approvals", "list", "--json"]);
        let listed = super::support::scratch::run(&mut list);
        ask = serde_json::from_str(listed.trim()).unwrap_or_default();
        !ask.is_null()
    });
    ask
}

#[test]
fn what_is_held_runs_once_it_is_approved() {
    let space = namespace("held");
    pod(&space);
    let through = Through::start_with("", HELD);
    let delete = ["delete", "pod", "web", "-n", &space, "--wait=false"];
    let mut kubectl = through.kubectl("alice", &delete);
    let waiting = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let id = asked(&through)["id"].as_str().unwrap_or_default().to_owned();
    let approve = ["approvals", "approve", &id, "--reason", "fine", "--as", "agent"];
    let mut approve = through.weir.command(&approve);
    super::support::scratch::run(approve.env("WEIR_PASSWORD", USER_PASSWORD));
    let told = waiting.wait_with_output().expect("kubectl ends");
    let shown = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.status.success(), "{shown}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("deleted"), "{shown}");
}

const HELD: &str = r#"
[[rule]]
name = "all"
when = { commands = ["read", "delete"] }
then = "allow"

[[rule]]
name = "deletions are seen"
when = { verbs = ["delete"], resources = ["pods"] }
then = { hold = { approvers = ["agents"], quorum = 1, timeout = "1m" } }
"#;
