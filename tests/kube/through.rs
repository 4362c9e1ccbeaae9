//! kubectl through weir: decided, recorded, impersonated; the cluster's audit log says the same.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::support::lake::{bytes, number, text};
use super::support::scratch::free_port;
use super::support::weir::USER_PASSWORD;
use super::support::{Spec, wait_until};
use super::world::{Cluster, RULES, Through, direct, exchange, namespace, pod};

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
    // What holds the requests of one command together.
    let attrs: Value = serde_json::from_str(&text(command, "attrs")).expect("JSON");
    assert_eq!(attrs["kubectl_command"], "kubectl get");
    let said = |key: &str| attrs[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(said("kubectl_session").len(), 36, "{attrs}");
    assert!(said("user_agent").starts_with("kubectl/v1.37"), "{attrs}");
}

/// In front of a cluster of its own: whatever reaches it by weir has to be in the record.
#[test]
fn the_audit_log_of_the_cluster_and_the_record_say_the_same() {
    let cluster = Cluster::start("audited", &[]);
    let space = namespace("audit");
    cluster.pod(&space);
    let mut through = Through::before(&cluster, Spec::bare("kube-audited").rules(RULES));
    let made = through.folder.join("made.json");
    std::fs::write(&made, MADE.replace("SPACE", &space)).expect("a file");
    let made = made.display().to_string();
    for arguments in [
        &["get", "pods", "-o", "yaml"][..],
        &["get", "nodes"],
        &["get", "pods,configmaps,deployments", "-o", "wide"],
        &["get", "pod", "--field-selector=metadata.name=web"],
        &["describe", "pod", "web"],
        &["create", "secret", "generic", "s", "--from-literal=k=v"],
        &["create", "-f", &made],
        &["annotate", "pod", "web", "a=b"],
        &["label", "pod", "web", "c=d"],
        &["patch", "secret", "s", "-p", "{\"immutable\":true}"],
        &["get", "events"],
        &["logs", "web"],
        &["exec", "web", "--", "true"],
        &["create", "deployment", "d", "--image=i", "--replicas=0"],
        &["scale", "deployment", "d", "--replicas=1"],
        &["scale", "deployment", "d", "--replicas=0"],
        &["get", "deployment", "d", "--subresource=status"],
        &["apply", "--server-side", "-f", &made, "--dry-run=server"],
        &["replace", "-f", &made],
        &["get", "--raw", "/readyz"],
        &["get", "--raw", "/version"],
        &["get", "--raw", "/api/v1/watch/namespaces?timeoutSeconds=1"],
        &["auth", "can-i", "create", "pods"],
        &["auth", "whoami"],
        &["delete", "secret", "s"],
        &["delete", "deployment", "d", "--cascade=orphan"],
    ] {
        through.ok("alice", &[&["-n", &space], arguments].concat());
    }
    let all = format!("/api/v1/namespaces/{space}/configmaps");
    through.ok("alice", &["delete", "--raw", &all]);
    // What the cluster itself refuses passed weir; what weir refuses never got there.
    for arguments in [
        &["get", "pod", "nope"][..],
        &["create", "configmap", "Bad_Name"],
        &["create", "token", "default"],
        &["delete", "pod", "x", "-n", "prod-1"],
    ] {
        let space = ["-n", space.as_str()];
        let own = if arguments.contains(&"-n") { &[][..] } else { &space[..] };
        through.refused("alice", &[arguments, own].concat());
    }
    through.refused("agent", &["exec", "web", "-n", &space, "--", "true"]);
    through.ok("alice", &["delete", "namespace", &space, "--wait=false"]);
    let passed = super::audit::joined(&cluster, &mut through.weir);
    assert!(passed.len() > 40, "{passed:#?}");
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
    {
        assert!(passed.iter().any(|it| it.verb == verb), "no {verb}: {passed:#?}");
    }
    for status in [101, 200, 201, 404, 422] {
        assert!(passed.iter().any(|it| it.status == status), "no {status}: {passed:#?}");
    }
}

/// Objects of several groups; the server makes the name of one.
const MADE: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "ConfigMap",
   "metadata": {"name": "c", "namespace": "SPACE"}, "data": {"a": "b"}},
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "SPACE"},
   "spec": {"ports": [{"port": 80}]}},
  {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j", "namespace": "SPACE"},
   "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {
     "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}]}"#;

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

/// Policies of a cluster see objects whole, and may say what they like of them.
#[test]
fn words_of_whoever_admits_an_object_reach_nobody() {
    const CANARY: &str = "canary-7d20e4";
    let space = namespace("admitted");
    direct(&["create", "namespace", &space]);
    let literal = format!("--from-literal=password={CANARY}");
    direct(&["create", "configmap", "c", &literal, "-n", &space]);
    let masks = "[[mask]]\nresources = [\"configmaps\"]\noperator = \"redact\"\n";
    let through = Through::start(masks);
    let label = |value: &str| {
        let all = ["label", "cm", "c", "-n", &space, "--overwrite", value].map(str::to_owned);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let told = through.kubectl("alice", &all).output().expect("kubectl ends");
        let both = [told.stdout, told.stderr].concat();
        let shown = String::from_utf8_lossy(&both).into_owned();
        assert!(!shown.contains(CANARY), "{shown}");
        (told.status.success(), shown)
    };
    assert!(label("a=0").0);
    let policy = |name: &str, reason: &str, action: &str| {
        let file = through.folder.join(format!("{name}.json"));
        let text = POLICY.replace("NAME", name).replace("REASON", reason);
        std::fs::write(&file, text.replace("SPACE", &space).replace("ACTION", action))
            .expect("a file");
        direct(&["apply", "-f", &file.display().to_string()]);
    };
    policy("weir-warns", "Invalid", "Warn");
    let mut count = 0;
    wait_until("the policy that warns", Duration::from_secs(60), || {
        count += 1;
        let (done, shown) = label(&format!("a={count}"));
        assert!(done, "{shown}");
        shown.contains("weir hides a warning")
    });
    for (name, reason) in [("weir-forbids", "Forbidden"), ("weir-limits", "RequestEntityTooLarge")]
    {
        policy(name, reason, "Deny");
        wait_until("the policy that denies", Duration::from_secs(60), || {
            count += 1;
            !label(&format!("a={count}")).0
        });
        let (_, shown) = label("b=c");
        assert!(shown.contains("***"), "{shown}");
        direct(&[
            "delete",
            "-f",
            &through.folder.join(format!("{name}.json")).display().to_string(),
        ]);
        wait_until("an end of the policy", Duration::from_secs(60), || label("a=z").0);
    }
    // What has no value in it is told.
    let told = through.refused("alice", &["delete", "cm", "nope", "-n", &space]);
    assert!(told.contains("configmaps \"nope\" not found"), "{told}");
    let told = through.refused("alice", &["create", "cm", "c", "-n", &space]);
    assert!(told.contains("configmaps \"c\" already exists"), "{told}");
    direct(&["delete", "-f", &through.folder.join("weir-warns.json").display().to_string()]);
}

const POLICY: &str = r#"{"apiVersion":"v1","kind":"List","items":[
{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy",
 "metadata":{"name":"NAME"},"spec":{"failurePolicy":"Ignore",
 "matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],
  "operations":["UPDATE"],"resources":["configmaps"]}]},
 "matchConditions":[{"name":"here","expression":"object.metadata.namespace == 'SPACE'"}],
 "validations":[{"expression":"!('password' in object.data)","reason":"REASON",
  "messageExpression":"'the value ' + object.data['password'] + ' is weak'"}]}},
{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicyBinding",
 "metadata":{"name":"NAME"},"spec":{"policyName":"NAME","validationActions":["ACTION"]}}]}"#;

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
    let through = Through::start_with("", &held_exec());
    let exec = ["exec", "web", "-n", &space, "--", "id"];
    let mut kubectl = through.kubectl("alice", &exec);
    let waiting = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let id = asked(&through)["id"].as_str().unwrap_or_default().to_owned();
    vote(&through, ["deny", &id, "not today"]);
    let told = waiting.wait_with_output().expect("kubectl ends");
    let shown = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success() && shown.contains("not today"), "{shown}");
}

/// A server that takes no WebSocket (OpenShift, Kubernetes before 1.30): kubectl asks by SPDY next,
/// and what people said of the one counts for the other.
#[test]
fn an_approval_counts_for_the_form_that_the_server_takes() {
    let gates = "TranslateStreamCloseWebsocketRequests=false,PortForwardWebsockets=false";
    let flags = ["--controllers=false", "--feature-gates", gates];
    let cluster = Cluster::start("older", &flags);
    let space = namespace("older");
    cluster.pod(&space);
    let mut through = Through::before(&cluster, Spec::bare("kube-older").rules(&held_exec()));
    let exec = ["exec", "web", "-n", &space, "--", "sh", "-c", "echo done; exit 7"];
    for round in 1..=2 {
        let mut kubectl = through.kubectl("alice", &exec);
        let child = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let waiting = child.expect("kubectl starts");
        // Each command is asked for once, the same one a second time, too.
        let id = asked(&through)["id"].as_str().unwrap_or_default().to_owned();
        vote(&through, ["approve", &id, "fine"]);
        let told = waiting.wait_with_output().expect("kubectl ends");
        let shown = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(7), "{round}: {shown}");
        assert_eq!(told.stdout, b"done\n", "{round}: {shown}");
    }
    let lake = through.weir.lake();
    let approvals = lake.rows("approvals");
    let count = |event: &str| approvals.iter().filter(|row| text(row, "event") == event).count();
    assert_eq!((count("requested"), count("approved"), count("used")), (2, 2, 2));
    // The exit code is the command's, the status the upgrade's.
    let told =
        super::support::scratch::run(&mut through.weir.command(&["search", "--status", "7"]));
    assert_eq!(told.matches("error 7").count(), 2, "{told}");
    let row = told.lines().find(|line| line.contains("error 7")).expect("a row");
    let session = row.split_whitespace().find(|word| word.len() == 36).expect("a session");
    let shown = super::support::scratch::run(&mut through.weir.command(&["show", session]));
    assert!(shown.contains("status 101, exit code 7"), "{shown}");
    assert!(!shown.contains("target-closed"), "its status says how it ended: {shown}");
}

/// What detectors find in what base64 stands for; the record keeps no value of a Secret.
#[test]
fn detectors_look_into_secrets() {
    const CARD: &str = "4111111111111111";
    let space = namespace("detect");
    direct(&["create", "namespace", &space]);
    let masks = "[[mask]]\ndetect = [\"credit-card\"]\noperator = \"redact\"\n";
    let mut through = Through::start(masks);
    let manifest = through.folder.join("s.json");
    let text = format!(
        r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"s","namespace":"{space}"}},
            "stringData":{{"pin":"card {CARD}","word":"plain-1f7"}}}}"#
    );
    std::fs::write(&manifest, text).expect("a file");
    let file = manifest.display().to_string();
    direct(&["apply", "-f", &file]);
    let coded = direct(&["get", "secret", "s", "-n", &space, "-o", "jsonpath={.data.pin}"]);
    let raw = format!("/api/v1/namespaces/{space}/secrets");
    for arguments in [
        &["get", "secret", "s", "-n", &space, "-o", "json"][..],
        &["get", "secrets", "-n", &space, "-o", "yaml"],
        &["get", "--raw", &format!("{raw}?watch=1&timeoutSeconds=2")],
        &["apply", "-f", &file, "-o", "json"],
        &["label", "secret", "s", "x=y", "-n", &space, "-o", "json"],
    ] {
        let shown = through.ok("alice", arguments);
        assert!(!shown.contains(CARD) && !shown.contains(&coded), "{arguments:?}: {shown}");
    }
    let pin =
        ["get", "secret", "s", "-n", &space, "-o", "go-template={{.data.pin | base64decode}}"];
    assert_eq!(through.ok("alice", &pin), "card weir-masked-CREDIT_CARD");
    let word =
        ["get", "secret", "s", "-n", &space, "-o", "go-template={{.data.word|base64decode}}"];
    assert_eq!(through.ok("alice", &word), "plain-1f7", "what is not found stays");
    let plain = direct(&["get", "secret", "s", "-n", &space, "-o", "jsonpath={.data.word}"]);
    let lake = through.weir.lake();
    for table in ["stream_chunks", "commands"] {
        for row in lake.rows(table) {
            let all = match table {
                "commands" => super::support::lake::text(&row, "query_text"),
                _ => String::from_utf8_lossy(&bytes(&row, "payload")).into_owned(),
            };
            for value in [CARD, &coded, "plain-1f7", &plain] {
                assert!(!all.contains(value), "{table}: {all}");
            }
        }
    }
}

/// A name that the server makes meets rules by what it may be.
#[test]
fn names_that_are_made_meet_rules() {
    let space = namespace("made");
    direct(&["create", "namespace", &space]);
    let rules = "[[rule]]\nname = \"build\"\nwhen = { commands = [\"write\"], names = [\"build-*\"] }\n\
                 then = \"allow\"\n[[rule]]\nname = \"protected\"\nwhen = { names = [\"build-x*\", \
                 \"other\"] }\nthen = { deny = \"not those\" }\n";
    let through = Through::start_with("", rules);
    let make = |root: &str| {
        let file = through.folder.join("made.json");
        let meta = format!(r#"{{"generateName":"{root}","namespace":"{space}"}}"#);
        let text = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{meta}}}"#);
        std::fs::write(&file, text).expect("a file");
        let file = file.display().to_string();
        let create = ["create", "-f", &file, "--validate=false"];
        let told = through.kubectl("alice", &create).output().expect("kubectl runs");
        String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned()
    };
    assert!(make("build-a").contains("created"), "{}", make("build-a"));
    for denied in ["build-", "build-x", "build-xy", "buil", "other"] {
        assert!(make(denied).contains("not those"), "{denied}: {}", make(denied));
    }
    for unknown in ["z", "others"] {
        assert!(make(unknown).contains("no rule"), "{unknown}: {}", make(unknown));
    }
}

/// What somebody says of it: approve or deny, which, why.
pub fn vote(through: &Through, [act, id, reason]: [&str; 3]) {
    let vote = ["approvals", act, id, "--reason", reason, "--as", "agent"];
    let mut vote = through.weir.command(&vote);
    super::support::scratch::run(vote.env("WEIR_PASSWORD", USER_PASSWORD));
}

/// What waits for people, once something does.
pub fn asked(through: &Through) -> Value {
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
    vote(&through, ["approve", &id, "fine"]);
    let told = waiting.wait_with_output().expect("kubectl ends");
    let shown = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.status.success(), "{shown}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("deleted"), "{shown}");
    let warned = shown.lines().find(|line| line.starts_with("Warning: weir: held "));
    assert!(warned.is_some_and(|line| line.ends_with(" s, approved by agent")), "{shown}");
    // Nobody waited for what follows.
    let get = through.kubectl("alice", &["get", "pods", "-n", &space]).output().expect("it runs");
    assert!(!String::from_utf8_lossy(&get.stderr).contains("Warning"), "{get:?}");
}

/// Rules that hold exec.
pub fn held_exec() -> String {
    let held = HELD.replace("[\"read\", \"delete\"]", "[\"read\", \"exec\"]");
    held.replace("verbs = [\"delete\"], resources = [\"pods\"]", "commands = [\"exec\"]")
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
