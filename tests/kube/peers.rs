//! What went wrong elsewhere (kubernetes.md 7), tried here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::support::lake::{assert_nowhere, bytes, number, text};
use super::support::scratch::{free_port, output};
use super::support::weir::USER_PASSWORD;
use super::support::{Spec, wait_until};
use super::through::{asked, held_exec, vote};
use super::world::{Through, cluster, direct, exchange, namespace, pod};

/// curl as somebody of weir's: the answer's head and content.
fn curl(through: &Through, user: &str, arguments: &[&str], path: &str) -> String {
    let login = format!("{user}:{USER_PASSWORD}");
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "-i", "-m", "120", "--noproxy", "*", "-u", &login]);
    let told = output(command.args(arguments).arg(format!("{}{path}", through.server())));
    String::from_utf8_lossy(&told.stdout).into_owned()
}

fn content(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, content)| content)
}

/// teleport #12283, kube-oidc-proxy #150: a refusal that nobody finds.
#[test]
fn every_denial_has_a_row() {
    let space = namespace("denials");
    pod(&space);
    let mut through = Through::start("");
    let pods = format!("/api/v1/namespaces/{space}/pods");
    let denied = [
        ("GET", format!("/api/v1/namespaces/{space}/secrets"), "list secrets"),
        ("GET", "/api/v1/nodes/bed/proxy/pods".to_owned(), "get nodes/proxy"),
        ("POST", format!("{pods}/web/proxy/x"), "create pods/proxy"),
        ("DELETE", pods.clone(), "deletecollection pods"),
        (
            "POST",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests".to_owned(),
            "create certificatesigningrequests",
        ),
        ("GET", "/metrics".to_owned(), "get /metrics"),
    ];
    for (method, path, _) in &denied {
        let body = ["-X", method, "-H", "Content-Type: application/json", "-d", "{}"];
        let more = if *method == "POST" { &body[..] } else { &body[..2] };
        let said = curl(&through, "agent", more, path);
        let status: Value = serde_json::from_str(content(&said)).expect("a Status");
        assert_eq!((&status["code"], &status["reason"]), (&403.into(), &"Forbidden".into()));
    }
    // By WebSocket, then by SPDY, as kubectl does.
    for command in ["exec", "attach"] {
        let all = [command, "web", "-n", &space];
        let more = if command == "exec" { &["--", "id"][..] } else { &[] };
        through.refused("agent", &[&all[..], more].concat());
    }
    through.refused("agent", &["port-forward", "web", "8080", "-n", &space]);
    through.refused("agent", &["get", "pods", "-n", &space, "--as=bob"]);
    let commands = through.weir.lake().rows("commands");
    let rows: Vec<&str> = commands
        .iter()
        .filter(|row| text(row, "decision") == "deny" && text(row, "user_name") == "agent")
        .filter_map(|row| row["operation"].as_str())
        .collect();
    let streams = ["get pods/exec", "get pods/attach", "get pods/portforward"];
    for operation in denied.iter().map(|it| it.2).chain(streams) {
        assert!(rows.contains(&operation), "no row of {operation}: {rows:?}");
    }
    assert!(rows.iter().any(|it| it.starts_with("list pods") || it.starts_with("get /api")));
}

/// teleport #36881, #54500: whoever was about to answer is gone, and with it everything waits.
#[test]
fn an_approver_who_goes_away_stops_nobody() {
    let space = namespace("approver");
    pod(&space);
    let through = Through::start_with("", &held_exec());
    let exec = ["exec", "web", "-n", &space, "--", "echo", "done"];
    let mut kubectl = through.kubectl("alice", &exec);
    let waiting = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let id = asked(&through)["id"].as_str().unwrap_or_default().to_owned();
    let admin = std::fs::read_to_string(through.weir.data_dir().join("admin.json"));
    let admin: Value = serde_json::from_str(&admin.expect("where the API is")).expect("JSON");
    let address = admin["address"].as_str().expect("an address").replace("http://", "");
    // In the middle of a vote, and while the answer is on its way.
    for sent in [
        format!("POST /v1/approvals/{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{{"),
        format!("GET /v1/approvals/{id} HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let mut voter = TcpStream::connect(&address).expect("the API");
        voter.write_all(sent.as_bytes()).expect("it reads");
        voter.shutdown(Shutdown::Both).expect("it is gone");
    }
    let mut voter = through.weir.command(&["approvals", "approve", &id, "--as", "agent"]);
    voter.env("WEIR_PASSWORD", USER_PASSWORD).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut voter = voter.stderr(Stdio::null()).spawn().expect("weir starts");
    let _ = voter.kill();
    let _ = voter.wait();
    let get = ["get", "pod", "web", "-n", &space, "-o", "name"];
    assert_eq!(through.ok("alice", &get), "pod/web\n", "others are served");
    // The vote that was killed may have been counted, if it was sent at all.
    if !asked_ids(&through).is_empty() {
        vote(&through, ["approve", &id, "fine"]);
    }
    let told = waiting.wait_with_output().expect("kubectl ends");
    assert_eq!(String::from_utf8_lossy(&told.stdout), "done\n", "{told:?}");
}

fn asked_ids(through: &Through) -> String {
    let mut list = through.weir.command(&["approvals", "list", "--json"]);
    super::support::scratch::run(&mut list).trim().to_owned()
}

/// `kubectl port-forward` to a port, and its local end.
struct Forward {
    kubectl: Child,
    local: u16,
    /// kubectl ends where nobody hears what it says.
    _stdout: BufReader<ChildStdout>,
}

impl Forward {
    fn start(
        through: &Through,
        (space, name): (&str, &str),
        port: u16,
        websocket: &str,
    ) -> Forward {
        let pair = format!(":{port}");
        let mut kubectl = through.kubectl("alice", &["port-forward", name, &pair, "-n", space]);
        kubectl.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websocket);
        let mut kubectl =
            kubectl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kubectl starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(kubectl.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("a line");
        let local = line.strip_prefix("Forwarding from 127.0.0.1:");
        let local =
            local.and_then(|rest| rest.split(' ').next()).and_then(|port| port.parse().ok());
        let local = local.unwrap_or_else(|| panic!("{websocket}: {line:?}"));
        Forward { kubectl, local, _stdout: stdout }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.local)).expect("the forwarded port");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

fn echoes(stream: &mut TcpStream, words: &str) -> bool {
    let mut heard = vec![0; words.len()];
    stream.write_all(words.as_bytes()).is_ok()
        && stream.read_exact(&mut heard).is_ok()
        && heard == words.as_bytes()
}

/// What it reads, once more.
const ECHO: &str = "import socket, sys, threading
s = socket.create_server(('198.18.0.10', int(sys.argv[1])))
def serve(c):
    while d := c.recv(65536): c.sendall(d)
while True: threading.Thread(target=serve, args=s.accept()[:1], daemon=True).start()";

/// A pod that serves a port; it ends with it.
fn echo_pod(space: &str) -> u16 {
    let port = free_port().to_string();
    let run = ["run", "echo", "--image=busybox", "--restart=Never", "-n", space, "--command", "--"];
    direct(&[&run[..], &["python3", "-c", ECHO, &port]].concat());
    let port = port.parse().expect("a port");
    wait_until("the pod's port", Duration::from_secs(60), || {
        TcpStream::connect(("198.18.0.10", port)).is_ok()
    });
    port
}

/// teleport #54814: a forward that outlives its pod. Directly, kubectl learns of it with the next
/// connection, and ends with all that it has.
#[test]
fn a_forward_ends_with_its_pod() {
    let space = namespace("forward-end");
    direct(&["create", "namespace", &space]);
    let mut through = Through::start("");
    for websocket in ["true", "false"] {
        let port = echo_pod(&space);
        let mut forward = Forward::start(&through, (&space, "echo"), port, websocket);
        let mut stream = forward.connect();
        assert!(echoes(&mut stream, "before"), "{websocket}");
        direct(&["delete", "pod", "echo", "-n", &space, "--grace-period=0", "--force"]);
        wait_until("the end of the pod", Duration::from_secs(20), || {
            TcpStream::connect(("198.18.0.10", port)).is_err()
        });
        let mut next = forward.connect();
        for stream in [&mut next, &mut stream] {
            let mut rest = Vec::new();
            let hung = stream.read_to_end(&mut rest).err().map(|error| error.kind());
            assert_ne!(hung, Some(std::io::ErrorKind::WouldBlock), "{websocket}");
            assert!(rest.is_empty(), "{rest:?}");
        }
        wait_until("the end of kubectl", Duration::from_secs(20), || {
            forward.kubectl.try_wait().expect("a child of ours").is_some()
        });
    }
    let mut rows = exchange(&mut through.weir, "get pods/portforward");
    rows.extend(exchange(&mut through.weir, "create pods/portforward"));
    assert_eq!(rows.len(), 2, "each has its end in the record: {rows:?}");
}

/// containerd #9875, kubectl #1169: one connection that is reset takes the others with it.
#[test]
fn a_connection_that_is_reset_leaves_its_neighbours() {
    let space = namespace("forward-reset");
    direct(&["create", "namespace", &space]);
    let port = echo_pod(&space);
    let through = Through::start("");
    for websocket in ["true", "false"] {
        let forward = Forward::start(&through, (&space, "echo"), port, websocket);
        let mut streams: Vec<TcpStream> = (0..10).map(|_| forward.connect()).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            assert!(echoes(stream, &format!("first {number}")), "{websocket} {number}");
        }
        let reset = streams.remove(3);
        // What is not read when it is closed makes the end a reset.
        (&reset).write_all(&[b'x'; 200_000]).expect("it reads");
        std::thread::sleep(Duration::from_millis(100));
        drop(reset);
        for (number, stream) in streams.iter_mut().enumerate() {
            assert!(echoes(stream, &format!("second {number}")), "{websocket} {number}");
        }
        assert!(echoes(&mut forward.connect(), "a new one"), "{websocket}");
    }
}

/// teleport #19313, #63204: many kubectl at once, each with discovery of its own.
#[test]
fn forty_kubectl_at_once_are_served() {
    let space = namespace("forty");
    pod(&space);
    let mut through = Through::start("");
    let get = ["get", "pods", "-n", &space, "-o", "name"];
    let start = |_: u32| -> Child {
        let mut kubectl = through.kubectl("alice", &get);
        kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl starts")
    };
    let children: Vec<Child> = (0..40).map(start).collect();
    for child in children {
        let told = child.wait_with_output().expect("kubectl ends");
        let wrong = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&told.stdout), "pod/web\n", "{wrong}");
    }
    let rows = exchange(&mut through.weir, "list pods");
    assert_eq!(rows.len(), 40);
}

/// warpgate buffers answers: a list of 200 MiB is no memory of weir's, with masks neither.
#[test]
fn a_long_list_takes_no_memory() {
    let space = namespace("long-list");
    direct(&["create", "namespace", &space]);
    let through = Through::start(
        "[[mask]]\nresources = [\"configmaps\"]\npaths = [\"data.secret\"]\noperator = \"redact\"\n\
         except = { groups = [\"sre\"] }\n",
    );
    // The longest that an object may be is a MiB.
    let padding = "x".repeat(1_000_000);
    for round in 0..21 {
        let items: Vec<Value> = (0..10)
            .map(|number| {
                serde_json::json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("c{round}-{number}"), "namespace": space},
                    "data": {"padding": padding, "secret": "hunter2"},
                })
            })
            .collect();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
        let file = through.folder.join("list.json");
        std::fs::write(&file, list.to_string()).expect("a file");
        let file = file.display().to_string();
        direct(&["create", "--validate=false", "-f", &file, "-o", "name"]);
    }
    let path = format!("/api/v1/namespaces/{space}/configmaps");
    let size = |user: &str| {
        let login = format!("{user}:{USER_PASSWORD}");
        let mut command = Command::new("curl");
        command.args(["-sS", "-k", "-m", "300", "--noproxy", "*", "-u", &login, "-o"]);
        command.args(["/dev/null", "-w", "%{http_code} %{size_download}"]);
        let child = command.arg(format!("{}{path}", through.server())).stdout(Stdio::piped());
        let mut child = child.spawn().expect("curl starts");
        let mut most = 0;
        while child.try_wait().expect("a child of ours").is_none() {
            most = most.max(through.weir.anonymous_kib());
            std::thread::sleep(Duration::from_millis(20));
        }
        let told = child.wait_with_output().expect("curl ends");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let (status, size) = told.split_once(' ').expect("two words");
        assert_eq!(status, "200", "{user}");
        let size: u64 = size.parse().expect("a number");
        assert!(size > 200 << 20, "{size}");
        most
    };
    curl(&through, "alice", &[], "/version");
    let before = through.weir.anonymous_kib();
    for user in ["alice", "agent"] {
        let most = size(user);
        assert!(most < before + (24 << 10), "{user}: {before} KiB before, {most} KiB then");
    }
    direct(&["delete", "namespace", &space, "--wait=false"]);
}

/// tailscale #17141: what is not exec is not in the record.
#[test]
fn attach_is_recorded() {
    let space = namespace("attach");
    direct(&["create", "namespace", &space]);
    let mut through = Through::start("");
    for websocket in ["true", "false"] {
        let pod = format!("talks-{websocket}");
        let run = ["run", &pod, "--image=busybox", "--restart=Never", "-n", &space, "-i"];
        let talk = "while read -r w; do echo heard $w; done; sleep 600";
        let more = ["--attach=false", "--command", "--", "sh", "-c", talk];
        direct(&[&run[..], &more].concat());
        let ready = ["wait", "--for=condition=Ready", "pod", &pod, "-n", &space, "--timeout=60s"];
        direct(&ready);
        let mut kubectl = through.kubectl("alice", &["attach", "-i", &pod, "-n", &space]);
        kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websocket);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = kubectl.spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"typed\n").expect("it reads");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "heard typed\n", "{websocket}");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
    let lake = through.weir.lake();
    let commands = lake.rows("commands");
    let chunks = lake.rows("stream_chunks");
    for operation in ["get pods/attach", "create pods/attach"] {
        let row = commands.iter().find(|row| text(row, "operation") == operation);
        let row = row.unwrap_or_else(|| panic!("no {operation}"));
        for (stream, words) in [(0, "typed\n"), (1, "heard typed\n")] {
            let mine = chunks.iter().filter(|chunk| {
                text(chunk, "session_id") == text(row, "session_id")
                    && number(chunk, "command_seq") == number(row, "seq")
                    && number(chunk, "stream") == stream
            });
            let all: Vec<u8> = mine.flat_map(|chunk| bytes(chunk, "payload")).collect();
            assert_eq!(String::from_utf8_lossy(&all), words, "{operation} {stream}");
        }
    }
}

/// kube-oidc-proxy (Tremolo) #71: what the cluster says of a refusal is what its person reads.
#[test]
fn what_the_cluster_refuses_is_told_byte_for_byte() {
    let space = namespace("status");
    direct(&["create", "namespace", &space]);
    let through = Through::start("");
    let token = cluster().token("agent");
    let bearer = format!("Authorization: Bearer {token}");
    for (method, path, code) in [
        ("GET", "/api/v1/nodes".to_owned(), "403"),
        ("GET", format!("/api/v1/namespaces/{space}/pods/nope"), "404"),
        ("POST", format!("/api/v1/namespaces/{space}/configmaps"), "422"),
        ("PATCH", format!("/api/v1/namespaces/{space}/configmaps/nope"), "404"),
        ("GET", format!("/api/v1/namespaces/{space}/pods?limit=x"), "400"),
        ("GET", "/apis/nope.example/v1/things".to_owned(), "403"),
    ] {
        let kind =
            if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let kind = format!("Content-Type: {kind}");
        let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"Bad_Name"}}"#;
        let more = ["-X", method, "-H", &kind, "-d", body];
        let more = if method == "GET" { &more[..2] } else { &more[..] };
        let heard = curl(&through, "agent", more, &path);
        let mut command = Command::new("curl");
        command.args(["-sS", "-k", "-i", "-m", "60", "--noproxy", "*", "-H", &bearer]).args(more);
        let told = output(command.arg(format!("{}{path}", cluster().fact("server"))));
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert_eq!(content(&heard), content(&told), "{method} {path}");
        let status: Value = serde_json::from_str(content(&heard)).expect("a Status");
        assert_eq!(status["code"].to_string(), code, "{method} {path}: {heard}");
    }
}

/// portainer #12880, rancher #14328: a proxy in front loses `Upgrade`, and nobody says so.
#[test]
fn a_stream_without_upgrade_is_told_what_is_missing() {
    let space = namespace("upgrade");
    pod(&space);
    let through = Through::start("");
    for path in ["exec?command=id&stdout=1", "attach?stdout=1", "portforward?ports=80"] {
        for method in ["GET", "POST"] {
            let path = format!("/api/v1/namespaces/{space}/pods/web/{path}");
            let said = curl(&through, "alice", &["-X", method], &path);
            let status: Value = serde_json::from_str(content(&said)).expect("a Status");
            assert_eq!(status["code"], 400, "{said}");
            assert!(status["message"].as_str().unwrap_or_default().contains("`Upgrade`"), "{said}");
        }
    }
}

/// A value is nowhere in the record, in whichever form its client sent it or asked for it.
#[test]
fn values_of_secrets_are_nowhere_in_the_record() {
    const CANARY: &str = "canary-3b9d62";
    let space = namespace("nowhere");
    direct(&["create", "namespace", &space]);
    let masks = "[[mask]]\nresources = [\"secrets\"]\noperator = \"redact\"\n\
                 except = { groups = [\"sre\"] }\n";
    let rules = format!(
        "{}[[rule]]\nname = \"secrets\"\nwhen = {{ groups = [\"agents\"], \
         commands = [\"secret-read\"] }}\nthen = \"allow\"\n",
        super::world::RULES
    );
    let mut through = Through::start_with(masks, &rules);
    let literal = format!("--from-literal=k={CANARY}");
    // kubectl 1.37 sends this one as protobuf, the others as JSON.
    through.ok("alice", &["create", "secret", "generic", "s", &literal, "-n", &space]);
    let coded = direct(&["get", "secret", "s", "-n", &space, "-o", "jsonpath={.data.k}"]);
    let patch = format!(r#"{{"stringData":{{"m":"{CANARY}"}}}}"#);
    through.ok("alice", &["patch", "secret", "s", "-p", &patch, "-n", &space]);
    let file = through.folder.join("s.yaml");
    let yaml = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: t, namespace: {space}}}\nstringData: \
         {{k: {CANARY}}}\n"
    );
    std::fs::write(&file, yaml).expect("a file");
    let file = file.display().to_string();
    through.ok("alice", &["apply", "-f", &file]);
    through.ok("alice", &["apply", "--server-side", "--force-conflicts", "-f", &file]);
    let secrets = format!("/api/v1/namespaces/{space}/secrets");
    for accept in [
        "application/vnd.kubernetes.protobuf",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    ] {
        let accept = format!("Accept: {accept}");
        let watch = format!("{secrets}?watch=1&timeoutSeconds=1");
        for path in [
            secrets.clone(),
            format!("{secrets}/s"),
            format!("{secrets}?includeObject=Object"),
            watch,
        ] {
            curl(&through, "alice", &["-H", &accept], &path);
            let seen = curl(&through, "agent", &["-H", &accept], &path);
            assert!(!seen.contains(CANARY) && !seen.contains(&coded), "{accept} {path}: {seen}");
        }
    }
    through.ok("alice", &["delete", "secret", "s", "t", "-n", &space]);
    assert_nowhere(&mut through.weir, CANARY);
    assert_nowhere(&mut through.weir, &coded);
}

/// A host that is one cluster's, and a path that names another.
#[test]
fn a_host_and_a_path_that_disagree_are_answered_by_neither() {
    let spec = with_token(Spec::bare("kube-hosts").rules(super::world::RULES), "other", "none");
    let through = Through::before(cluster(), spec);
    let server = through.server().replace("/k8s/bed", "");
    let get = |host: &str, path: &str| {
        let login = format!("alice:{USER_PASSWORD}");
        let field = format!("Host: {host}");
        let mut command = Command::new("curl");
        command.args(["-sS", "-k", "-i", "-m", "20", "--noproxy", "*", "--http1.1", "-u", &login]);
        command.args(["-H", &field]).arg(format!("{server}{path}"));
        String::from_utf8_lossy(&output(&mut command).stdout).into_owned()
    };
    for (host, path) in
        [("localhost", "/k8s/bed/version"), ("bed", "/k8s/bed/version"), ("bed", "/version")]
    {
        let said = get(host, path);
        assert!(said.contains("gitVersion"), "{host} {path}: {said}");
    }
    let said = get("bed", "/k8s/other/version");
    assert!(said.starts_with("HTTP/1.1 421") && said.contains("names another"), "{said}");
}

/// A second cluster of the configuration: the same one, with another token.
fn with_token(spec: Spec, name: &str, token: &str) -> Spec {
    let file = spec.folder().join(format!("token-of-{name}"));
    std::fs::write(&file, token).expect("a file");
    let tail = format!(
        "[[target]]\nname = \"{name}\"\nprotocol = \"kubernetes\"\naddress = \"{}\"\n\
         root_certificates = \"{}\"\n[[target.credential]]\nrole = \"weir\"\n\
         token = {{ file = \"{}\" }}\n",
        cluster().fact("server"),
        cluster().fact("ca"),
        file.display()
    );
    spec.tail(&tail)
}

/// tailscale, api-proxy/proxy.go: an impersonation fails, and the request goes on as whoever asked
/// for it. `bob` may look at everything, and may be nobody else.
#[test]
fn without_the_right_to_impersonate_nothing_is_done() {
    let space = namespace("unable");
    pod(&space);
    let spec = Spec::bare("kube-unable").rules(super::world::RULES);
    let through = Through::before(cluster(), with_token(spec, "unable", cluster().token("bob")));
    let pods = format!("/api/v1/namespaces/{space}/pods");
    for path in
        [pods.clone(), format!("{pods}?watch=1"), format!("{pods}/web/log"), "/version".to_owned()]
    {
        let mut command = Command::new("curl");
        let login = format!("alice:{USER_PASSWORD}");
        command.args(["-sS", "-k", "-i", "-m", "20", "--noproxy", "*", "--http1.1", "-u", &login]);
        let server = through.server().replace("/k8s/bed", "/k8s/unable");
        let said = output(command.arg(format!("{server}{path}")));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.starts_with("HTTP/1.1 403"), "{path}: {said}");
        assert!(said.contains("cannot impersonate"), "{path}: {said}");
    }
}

/// kubectl #628, k/k #11678, hoop #1670: heads and events that come late; one client that watches,
/// reads logs and runs commands at once.
#[test]
fn fifty_watches_and_a_command_go_side_by_side() {
    let space = namespace("watches");
    pod(&space);
    let through = Through::start("");
    let path = format!("/api/v1/namespaces/{space}/configmaps?watch=1&timeoutSeconds=60");
    let login = format!("alice:{USER_PASSWORD}");
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "-N", "-m", "60", "--noproxy", "*", "--http2", "-u", &login]);
    command.args(["--parallel", "--parallel-immediate", "--parallel-max", "50"]);
    for _ in 0..50 {
        command.arg(format!("{}{path}", through.server()));
    }
    let mut watches = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("curl");
    let mut events = BufReader::new(watches.stdout.take().expect("a pipe"));
    let logs = ["logs", "-f", "web", "-n", &space];
    let mut logs = through.kubectl("alice", &logs).stdout(Stdio::piped()).spawn().expect("kubectl");
    let mut line = String::new();
    BufReader::new(logs.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "started\n");
    // Every watch begins with what is there, which is one ConfigMap of the cluster's.
    let count = |events: &mut BufReader<ChildStdout>, name: &str| {
        let mut seen = 0;
        while seen < 50 {
            let mut line = String::new();
            assert!(events.read_line(&mut line).expect("text") > 0, "{seen} of 50 heard of {name}");
            seen += usize::from(line.contains(&format!(r#""name":"{name}""#)));
        }
    };
    count(&mut events, "kube-root-ca.crt");
    direct(&["create", "configmap", "new", "-n", &space]);
    count(&mut events, "new");
    let exec = ["exec", "web", "-n", &space, "--", "echo", "done"];
    assert_eq!(through.ok("alice", &exec), "done\n");
    direct(&["create", "configmap", "later", "-n", &space]);
    count(&mut events, "later");
    for child in [&mut watches, &mut logs] {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}

/// teleport #44893: a denial of one kind hid others.
#[test]
fn a_denial_of_one_kind_leaves_the_others() {
    let space = namespace("kinds");
    pod(&space);
    let rules = "[[rule]]\nname = \"all\"\nwhen = { commands = [\"read\", \"secret-read\"] }\n\
                 then = \"allow\"\n[[rule]]\nname = \"not these\"\nwhen = { resources = \
                 [\"secrets\", \"configmaps\"] }\nthen = { deny = \"not these\" }\n";
    let through = Through::start_with("", rules);
    for arguments in [
        &["get", "namespaces", "-o", "name"][..],
        &["get", "pods,services,deployments", "-n", &space, "-o", "name"],
        &["api-resources", "-o", "name"],
        &["get", "nodes", "-o", "name"],
    ] {
        assert_eq!(through.ok("alice", arguments), direct(arguments), "{arguments:?}");
    }
    for kind in ["secrets", "configmaps"] {
        let told = through.refused("alice", &["get", kind, "-n", &space]);
        assert!(told.contains("not these"), "{told}");
    }
    // What may be seen is shown though another part of the command is denied.
    let mixed = ["get", "pods,secrets", "-n", &space, "-o", "name"];
    let told = through.kubectl("alice", &mixed).output().expect("kubectl runs");
    assert_eq!(String::from_utf8_lossy(&told.stdout), "pod/web\n", "{told:?}");
}
