//! What is open while the configuration is read again: a watch, a log, a stream go on only under
//! the rules and masks that are in force.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

use super::clients;
use super::support::lake::text;
use super::support::weir::USER_PASSWORD;
use super::through::{asked, held_exec, vote};
use super::world::{RULES, Through, direct, exchange, namespace, pod};

const SECRETS: &str = "[[mask]]\nresources = [\"secrets\"]\noperator = \"redact\"\n";
const CONFIG_MAPS: &str = "[[mask]]\nresources = [\"configmaps\"]\noperator = \"redact\"\n";

/// A program that is listened to line by line, errors with the rest.
struct Heard {
    child: Child,
    lines: Receiver<String>,
}

impl Heard {
    fn start(mut command: Command) -> Heard {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (tell, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let errors = tell.clone();
        let all = BufReader::new(stdout.expect("a pipe")).lines().map_while(Result::ok);
        std::thread::spawn(move || all.for_each(|line| drop(tell.send(line))));
        let all = BufReader::new(stderr.expect("a pipe")).lines().map_while(Result::ok);
        std::thread::spawn(move || all.for_each(|line| drop(errors.send(line))));
        Heard { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("a line in time")
    }

    /// The next event of a raw watch.
    fn event(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no event: {line}"))
    }

    /// It is there, and says nothing.
    fn is_quiet(&mut self) {
        let heard = self.lines.recv_timeout(Duration::from_secs(2));
        assert_eq!(heard, Err(RecvTimeoutError::Timeout));
        assert!(self.child.try_wait().expect("a child of ours").is_none(), "it has ended");
    }

    /// What it says until it ends, and whether that was well.
    fn rest(mut self) -> (bool, String) {
        drop(self.child.stdin.take());
        let mut all = String::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => all.extend([line.as_str(), "\n"]),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {all}"),
            }
        }
        (self.child.wait().expect("it ends").success(), all)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A watch as it passes, by curl.
fn watch(through: &Through, user: &str, version: &str, path: &str) -> Heard {
    let mut curl = Command::new("curl");
    let login = format!("{user}:{USER_PASSWORD}");
    curl.args(["-sS", "-N", "-k", "--noproxy", "*", version, "-u", &login]);
    curl.arg(format!("{}{path}", through.server()));
    Heard::start(curl)
}

fn secret(space: &str, name: &str) {
    let literal = format!("--from-literal=word=plain-{name}");
    direct(&["create", "secret", "generic", name, &literal, "-n", space]);
}

/// That masks change ends the watches that show other values from then on, and no others.
#[test]
fn a_watch_ends_when_what_it_shows_is_masked() {
    let space = namespace("anew-masks");
    pod(&space);
    secret(&space, "first");
    let mut through = Through::start_with("", RULES);
    let path = |kind: &str| format!("/api/v1/namespaces/{space}/{kind}?watch=1");
    let versions = ["--http1.1", "--http2"];
    let secrets = versions.map(|it| watch(&through, "alice", it, &path("secrets")));
    let pods = versions.map(|it| watch(&through, "alice", it, &path("pods")));
    let get = ["get", "secrets", "-n", &space, "-w", "-o", "jsonpath={.data.word}{'\\n'}"];
    let kubectl = Heard::start(through.kubectl("alice", &get));
    let logs = ["logs", "web", "-n", &space, "-f"];
    let mut logs = Heard::start(through.kubectl("alice", &logs));
    let value = "cGxhaW4tZmlyc3Q=";
    for watch in &secrets {
        let event = watch.event();
        assert_eq!(
            (&event["type"], &event["object"]["data"]["word"]),
            (&"ADDED".into(), &value.into())
        );
    }
    pods.iter().for_each(|watch| assert_eq!(watch.event()["type"], "ADDED"));
    assert_eq!(kubectl.line(), value);
    assert_eq!(logs.line(), "started");

    through.weir.reload(|text| format!("{text}\n{SECRETS}"));
    secret(&space, "second");
    for watch in secrets {
        let event = watch.event();
        let status = &event["object"];
        assert_eq!((&event["type"], &status["code"]), (&"ERROR".into(), &410.into()));
        assert_eq!(status["reason"], "Expired");
        let said = status["message"].as_str().expect("words");
        assert!(said.contains("weir: ") && said.contains("masks"), "{said}");
        assert_eq!(watch.rest(), (true, String::new()), "the end of an answer, and a good one");
    }
    let (_, told) = kubectl.rest();
    assert!(!told.contains("cGxhaW4tc2Vjb25k"), "an event under masks of before: {told}");
    direct(&["label", "pod", "web", "seen=twice", "-n", &space]);
    pods.iter().for_each(|watch| assert_eq!(watch.event()["type"], "MODIFIED"));
    logs.is_quiet();
    let again = watch(&through, "alice", "--http2", &path("secrets"));
    for _ in 0..2 {
        let value = again.event()["object"]["data"]["word"].as_str().map(str::to_owned);
        assert!(value.is_some_and(|it| it.starts_with("d2Vpci1tYXNrZWQt")), "weir-masked-");
    }
    drop((again, pods, logs));
    let rows = exchange(&mut through.weir, "watch secrets");
    let ended = rows.iter().filter(|(_, row)| text(row, "error_text").contains("masks"));
    let ended: Vec<String> = ended.map(|(_, row)| text(row, "outcome")).collect();
    assert_eq!(ended, ["aborted"; 3], "{rows:?}");
}

/// A denial meets what is open, and whoever it does not name goes on.
#[test]
fn what_is_open_ends_when_a_rule_denies_it() {
    let space = namespace("anew-rules");
    pod(&space);
    let mut through = Through::start_with("", RULES);
    let path = format!("/api/v1/namespaces/{space}/pods?watch=1");
    let mut agent = watch(&through, "agent", "--http2", &path);
    let alice = ["--http1.1", "--http2"].map(|it| watch(&through, "alice", it, &path));
    let streams = ["true", "false"].map(|websocket| {
        let exec = ["exec", "-i", "web", "-n", &space, "--", "sh", "-c", "echo ready; cat"];
        let mut kubectl = through.kubectl("alice", &exec);
        kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websocket);
        Heard::start(kubectl)
    });
    let logs = ["logs", "web", "-n", &space, "-f"];
    let logs = Heard::start(through.kubectl("alice", &logs));
    let first = [&agent, &alice[0], &alice[1]].map(|watch| watch.event()["type"].clone());
    assert_eq!(first, ["ADDED"; 3]);
    streams.iter().for_each(|stream| assert_eq!(stream.line(), "ready"));
    assert_eq!(logs.line(), "started");

    let deny = "[[rule]]\nname = \"freeze\"\nwhen = { groups = [\"sre\"] }\n\
                then = { deny = \"nobody, tonight\" }\n";
    through.weir.reload(|text| format!("{text}\n{deny}"));
    for watch in alice {
        let event = watch.event();
        let status = &event["object"];
        assert_eq!((&event["type"], &status["code"]), (&"ERROR".into(), &403.into()));
        let said = status["message"].as_str().expect("words");
        assert!(said.contains("freeze") && said.contains("nobody, tonight"), "{said}");
        assert_eq!(watch.rest(), (true, String::new()));
    }
    for stream in streams {
        let (is_good, told) = stream.rest();
        assert!(!is_good && told.contains("nobody, tonight"), "{told}");
    }
    let (is_good, told) = logs.rest();
    assert!(!is_good, "a log that is cut off looks like one that ended: {told}");
    agent.is_quiet();
    drop(agent);
    let mut rows = exchange(&mut through.weir, "watch pods");
    rows.extend(exchange(&mut through.weir, "get pods/exec"));
    rows.extend(exchange(&mut through.weir, "create pods/exec"));
    let ended = rows.iter().filter(|(_, row)| text(row, "error_text").contains("freeze"));
    assert_eq!(ended.count(), 4, "{rows:?}");
}

/// People's word stands while what they were asked does.
#[test]
fn an_approved_stream_ends_when_more_people_must_be_asked() {
    let space = namespace("anew-held");
    pod(&space);
    let through = Through::start_with("", &held_exec());
    let exec = ["exec", "-i", "web", "-n", &space, "--", "sh", "-c", "echo ready; cat"];
    let mut stream = Heard::start(through.kubectl("alice", &exec));
    let id = asked(&through)["id"].as_str().unwrap_or_default().to_owned();
    vote(&through, ["approve", &id, "fine"]);
    assert_eq!(stream.line(), "ready");
    through.weir.reload(|text| format!("{text}\n{SECRETS}").replace("secrets", "configmaps"));
    stream.child.stdin.as_mut().expect("a pipe").write_all(b"typed\n").expect("it reads");
    assert_eq!(stream.line(), "typed", "nothing changed for it");
    through.weir.reload(|text| text.replace("quorum = 1", "quorum = 2"));
    let (is_good, told) = stream.rest();
    assert!(!is_good && told.contains("ask again"), "{told}");
}

/// Its cache has nothing that was shown under other masks: it lists again, either way.
#[test]
fn an_informer_lists_again_when_masks_change() {
    let space = namespace("anew-informer");
    direct(&["create", "namespace", &space]);
    let set = |value: &str| {
        let patch = format!("{{\"data\":{{\"a\":\"{value}\"}}}}");
        direct(&["patch", "configmap", "first", "--type=merge", "-p", &patch, "-n", &space]);
    };
    direct(&["create", "configmap", "first", "--from-literal=a=1", "-n", &space]);
    direct(&["label", "configmap", "first", "made=go", "-n", &space]);
    let mut through = Through::start_with("", RULES);
    let mut informer = Command::new(clients::folder().join("informer"));
    informer.arg("watch").arg(through.folder.join("alice")).arg(&space);
    let informer = Heard::start(informer);
    // What client-go says of a watch that ends is no event.
    let event = || {
        let mut lines = std::iter::repeat_with(|| informer.line());
        lines.find(|line| line.starts_with("add ") || line.starts_with("update ")).expect("more")
    };
    assert_eq!(event(), "add first 1");
    through.weir.reload(|text| format!("{text}\n{CONFIG_MAPS}"));
    set("2");
    let told = event();
    assert!(told.starts_with("update first weir-masked-"), "{told}");
    through.weir.reload(|text| text.replace(CONFIG_MAPS, ""));
    set("3");
    assert_eq!(event(), "update first 3");
    let (is_good, told) = informer.rest();
    assert!(is_good, "{told}");
    let lists = through.weir.lake().rows("commands");
    let lists = lists.iter().filter(|row| text(row, "operation") == "list configmaps").count();
    let watches = exchange(&mut through.weir, "watch configmaps").len();
    assert!(watches >= 3 && (lists + watches) >= 3, "{lists} lists, {watches} watches");
}
