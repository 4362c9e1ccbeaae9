//! MCP through the same gate: the official SDKs as clients and server, old and new revisions.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::lake::{Row, text};
use crate::support::scratch::{free_port, run};
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Spec, Weir, tools, wait_until};

const RULES: &str = r#"
[[rule]]
name = "agents call"
when = { groups = ["agents"], tools = ["lookup", "redefine", "told", "find"] }
then = "allow"

[[rule]]
name = "wages stay"
when = { tools = ["find"], arguments = ["filter.0.table=wages*", "count=13"] }
then = { deny = "wages are for the payroll" }

[[rule]]
name = "small sums"
when = { groups = ["agents"], tools = ["add"], arguments = ["a=*", "b=2"] }
then = "allow"

[[rule]]
name = "agents read"
when = { groups = ["agents"], commands = ["read"] }
then = "allow"

[[rule]]
name = "tables stay"
when = { tools = ["drop_*"] }
then = { deny = "tables are dropped by a migration" }

[[rule]]
name = "a person looks"
when = { tools = ["delete_*"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "2m" } }
"#;

const MASKS: &str = r#"
[[mask]]
detect = ["credit-card", "email"]
operator = "redact"
[[mask]]
paths = ["ssn"]
operator = "partial"
"#;

struct Bed {
    weir: Weir,
    port: u16,
    server: Child,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bed {
    fn start(more: &[&str]) -> Bed {
        Bed::with(more, "")
    }

    /// With lines of its own for the target.
    fn with(more: &[&str], lines: &str) -> Bed {
        let (port, server_port) = (free_port(), free_port());
        let mut server = tools::python();
        server.arg(tools::script("mcp_server.py")).arg(server_port.to_string()).args(more);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().expect("python starts");
        let answers = || TcpStream::connect(("127.0.0.1", server_port)).is_ok();
        wait_until("the server", Duration::from_secs(240), answers);
        let spec = Spec::bare("mcp").rules(RULES).masks(MASKS);
        let spec = spec.user(USER, &["agents"]).user("bea", &["agents"]).user("dora", &["dba"]);
        let tail = format!(
            "[listen.http]\naddress = \"127.0.0.1:{port}\"\n[[target]]\nname = \"records\"\n\
             protocol = \"mcp\"\naddress = \"http://127.0.0.1:{server_port}/mcp\"\n{lines}"
        );
        Bed { weir: spec.tail(&tail).start(), port, server }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp/records", self.port)
    }

    fn client(&self, which: Which) -> Client {
        let mut command = match which {
            Which::Python(_) => tools::python(),
            Which::Node => tools::mcp_node(),
        };
        let (script, mode) = match which {
            Which::Python(mode) => ("mcp_client.py", Some(mode)),
            Which::Node => ("mcp_client.mjs", None),
        };
        command.arg(tools::script(script)).args([&self.url(), USER, USER_PASSWORD]).args(mode);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the client starts");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines = child.stdin.take();
        Client { child, lines, answers }
    }

    /// Posts bytes by curl, and returns the status and the body.
    fn post(&self, body: &str, more: &[&str]) -> (String, Value) {
        let mut command = Command::new("curl");
        let login = format!("{USER}:{USER_PASSWORD}");
        command.args(["-sS", "-m", "60", "-u", &login, "--noproxy", "*", "-w", "\n%{http_code}"]);
        command.args(["-H", "Content-Type: application/json", "-d", body]);
        command.args(["-H", "Accept: application/json, text/event-stream"]);
        let answer = run(command.args(more).arg(self.url()));
        let (body, status) = answer.rsplit_once('\n').expect("a status");
        (status.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Python(&'static str),
    Node,
}

const CLIENTS: [Which; 3] = [Which::Python("auto"), Which::Python("legacy"), Which::Node];

struct Client {
    child: Child,
    lines: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn say(&mut self, line: &str) {
        let lines = self.lines.as_mut().expect("a pipe");
        writeln!(lines, "{line}").and_then(|()| lines.flush()).expect("the client listens");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, line: &str) -> Value {
        self.say(line);
        self.hear()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.lines = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn calls(rows: &[Row], tool: &str) -> Vec<Row> {
    let mine = |row: &&Row| text(row, "verb") == "tools/call" && text(row, "name") == tool;
    rows.iter().filter(mine).cloned().collect()
}

#[test]
fn every_client_sees_the_same_masked_filtered_and_denied() {
    for more in [&[][..], &["json"]] {
        let mut bed = Bed::start(more);
        for which in CLIENTS {
            let mut client = bed.client(which);
            let tools = client.ask("list");
            let offered = json!(["lookup", "add", "told", "find", "delete_user", "redefine"]);
            assert_eq!(tools, offered, "{which:?}");
            let found = client.ask(r#"lookup {"name":"bob"}"#);
            let expect = json!({ "name": "bob", "ssn": "***-**-1120", "mail": "[EMAIL]",
                "note": "card [CREDIT_CARD]" });
            assert_eq!(found["structured"], expect, "{which:?}");
            let said = found["text"][0].as_str().expect("a text");
            let repeated: Value = serde_json::from_str(said).expect("JSON as text");
            assert_eq!(repeated, expect, "{which:?}");
            assert_eq!(client.ask(r#"add {"a":1,"b":2}"#)["structured"], json!({ "result": 3 }));
            let sum = client.ask(r#"add {"a":1,"b":3}"#);
            assert_eq!(sum["error"], true, "{which:?}: {sum}");
            let denied = client.ask(r#"drop_table {"name":"people"}"#);
            assert_eq!(denied["error"], true, "{which:?}: {denied}");
            let words = denied["text"][0].as_str().unwrap_or_default();
            assert!(words.contains("tables are dropped by a migration"), "{which:?}: {denied}");
            assert_eq!(client.ask("read people://all"), "Bob <[EMAIL]>", "{which:?}");
        }
        let lake = bed.weir.lake();
        let commands = lake.rows("commands");
        let lookups = calls(&commands, "lookup");
        assert_eq!(lookups.len(), CLIENTS.len());
        for row in &lookups {
            assert_eq!(text(row, "kind"), "mcp");
            assert_eq!(row["classes"], json!(["call"]));
            let arguments: Value = serde_json::from_str(&text(row, "params_json")).expect("JSON");
            assert_eq!(arguments, json!({ "name": "bob" }));
            assert_eq!(row["rules"], json!(["agents call"]));
        }
        let dropped = calls(&commands, "drop_table");
        assert!(dropped.iter().all(|row| text(row, "decision") == "deny"), "{dropped:?}");
        assert_eq!(dropped.len(), CLIENTS.len());
        let hits = lake.rows("masking_hits");
        let has = |path: &str| hits.iter().any(|row| text(row, "path") == path);
        assert!(has("result.structuredContent.mail"), "{hits:?}");
        assert!(has("result.content.*.text.mail"), "{hits:?}");
        assert!(has("**.structuredContent.ssn"), "{hits:?}");
    }
}

#[test]
fn what_two_servers_read_differently_reaches_none() {
    let mut bed = Bed::start(&[]);
    let call = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    };
    for params in [
        r#"{"name":"lookup","name":"drop_table","arguments":{}}"#,
        r#"{"name":"lookup","Name":"drop_table","arguments":{}}"#,
        r#"{"name":"lookup","name\u0000":"drop_table"}"#,
        r#"{"name":["drop_table"]}"#,
        r#"{"arguments":{}}"#,
    ] {
        let (status, answer) = bed.post(&call(params), &[]);
        assert_eq!(status, "400", "{params}: {answer}");
        assert!(answer["error"]["code"].is_i64(), "{params}: {answer}");
    }
    let good = call(r#"{"name":"lookup","arguments":{"name":"bob"}}"#);
    for (more, status) in [
        (vec!["-H", "Content-Type: text/plain"], "415"),
        (vec!["-H", "Content-Type: application/json; charset=utf-16"], "415"),
        (vec!["-H", "Content-Encoding: gzip"], "415"),
        (vec!["-H", "Origin: https://evil.example"], "403"),
        (vec!["-H", "Mcp-Name: drop_table"], "400"),
        (vec!["-H", "Mcp_Name: drop_table"], "400"),
        (vec!["-H", "MCP-Protocol-Version: 1999-01-01"], "400"),
    ] {
        assert_eq!(bed.post(&good, &more).0, status, "{more:?}");
    }
    let batch = format!("[{good},{good}]");
    assert_eq!(bed.post(&batch, &[]).1["error"]["code"], -32600);
    let bom = format!("\u{feff}{good}");
    assert_eq!(bed.post(&bom, &[]).0, "400");
    // A long argument hides no tool from the rules, and what is too long is not half read.
    let long = "x".repeat(512 << 10);
    let denied = call(&format!(r#"{{"arguments":{{"name":"{long}"}},"name":"drop_table"}}"#));
    let file = bed.weir.scratch_file("long.json", &denied);
    let (status, answer) = bed.post(&format!("@{}", file.display()), &[]);
    assert_eq!((status.as_str(), &answer["result"]["isError"]), ("200", &Value::Bool(true)));
    let file = bed.weir.scratch_file("longer.json", &format!("{denied}{}", " ".repeat(1 << 20)));
    assert_eq!(bed.post(&format!("@{}", file.display()), &[]).0, "413");
    beside_the_server(&bed);
    let lake = bed.weir.lake();
    let commands = lake.rows("commands");
    assert!(commands.iter().all(|row| text(row, "decision") == "deny"), "{commands:?}");
    assert!(commands.len() >= 15, "each is a row: {}", commands.len());
}

/// A server is one path; what stands beside it is no message and no stream.
fn beside_the_server(bed: &Bed) {
    let elsewhere = |method: &str, path: &str| {
        let login = format!("{USER}:{USER_PASSWORD}");
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "-m",
            "20",
            "-u",
            &login,
            "--noproxy",
            "*",
            "--path-as-is",
            "-X",
            method,
        ]);
        command.args(["-H", "Accept: text/event-stream", "-H", "Mcp-Session-Id: x"]);
        command.args(["-H", "Content-Type: application/json", "-w", "\n%{http_code}"]);
        if method == "POST" {
            command.args(["-d", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#]);
        }
        run(command.arg(format!("{}{path}", bed.url())))
    };
    for (method, path) in [
        ("GET", "/admin"),
        ("GET", "/../admin"),
        ("GET", "//"),
        ("DELETE", "/orders/7"),
        ("POST", "/api/users"),
        ("POST", "/..%2f..%2fadmin"),
        ("GET", "/%2e%2e/"),
    ] {
        let told = elsewhere(method, path);
        // A session that weir has not given is none; a path with dots may mean another.
        let is_refused = ["400", "403", "404"].iter().any(|it| told.trim_end().ends_with(it));
        assert!(is_refused, "{path}: {told}");
    }
}

#[test]
fn a_held_call_waits_for_a_person_and_changed_definitions_are_told() {
    let mut bed = Bed::start(&[]);
    let mut client = bed.client(Which::Python("auto"));
    client.say(r#"delete_user {"name":"bob"}"#);
    let mut ask = Value::Null;
    wait_until("a call to be held", Duration::from_secs(30), || {
        let listed = run(&mut bed.weir.command(&["approvals", "list", "--json"]));
        ask = serde_json::from_str(listed.trim()).unwrap_or_default();
        !ask.is_null()
    });
    let id = ask["id"].as_str().unwrap_or_default().to_owned();
    let whole = run(&mut bed.weir.command(&["approvals", "show", &id, "--json"]));
    let ask: Value = serde_json::from_str(whole.trim()).expect("JSON");
    assert_eq!(ask["objects"], json!(["tool.delete_user"]), "{ask}");
    let shown = ask["params"].as_str().unwrap_or_default();
    assert!(shown.contains("bob"), "the arguments are shown: {ask}");
    let approve = ["approvals", "approve", &id, "--reason", "fine", "--as", "dora"];
    run(bed.weir.command(&approve).env("WEIR_PASSWORD", USER_PASSWORD));
    assert_eq!(client.hear()["text"], json!(["deleted bob"]));

    client.ask("list");
    client.ask(r#"redefine {"words":"Adds, and mails the result to me."}"#);
    // A new client has no list of its own yet.
    bed.client(Which::Python("legacy")).ask("list");
    let lake = bed.weir.lake();
    let changed = lake.events("tool-changed");
    let attrs: Vec<Value> = changed
        .iter()
        .map(|row| serde_json::from_str(&text(row, "attrs")).expect("JSON"))
        .collect();
    let told = attrs.iter().filter(|attrs| attrs["tool"] == "add").count();
    // Whichever shard sees the new one first.
    assert_eq!(told, 1, "{changed:?}");
    let deletions = calls(&lake.rows("commands"), "delete_user");
    assert!(deletions.iter().any(|row| text(row, "decision") == "allow"), "{deletions:?}");
    assert!(deletions.iter().all(|row| text(row, "approval_id") == id), "{deletions:?}");
}

#[test]
fn arguments_are_what_a_server_reads_and_words_say_no_more_than_values() {
    let bed = Bed::start(&["json", "stateless"]);
    let call = |name: &str, arguments: Value| {
        let params = json!({ "name": name, "arguments": arguments });
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let (status, answer) = bed.post(&message.to_string(), &[]);
        assert_eq!(status, "200", "{answer}");
        answer["result"].clone()
    };
    // The server's SDK takes each of these for the list, and for the number.
    let orders = json!([{ "table": "orders" }]);
    let found = call("find", json!({ "filter": orders.to_string() }));
    assert_eq!(
        found["content"][0]["text"], "found 100 of orders",
        "the server reads JSON in texts"
    );
    let found = call("find", json!({ "filter": orders, "count": "12.0" }));
    assert_eq!(
        found["content"][0]["text"], "found 12 of orders",
        "the server reads numbers in texts"
    );
    let wages = json!([{ "table": "wages_2026" }]);
    for arguments in [
        json!({ "filter": wages }),
        json!({ "filter": wages.to_string() }),
        json!({ "filter": format!(" {wages}") }),
        json!({ "filter": orders, "count": 13 }),
        json!({ "filter": orders, "count": " 13" }),
        json!({ "filter": orders, "count": "013" }),
        json!({ "filter": orders, "count": "13.0" }),
    ] {
        let refused = call("find", arguments.clone());
        let told = refused["content"][0]["text"].as_str().unwrap_or_default();
        assert!(refused["isError"] == true && told.contains("payroll"), "{arguments}: {refused}");
    }
    // A rule that allows wants its arguments to be there.
    for (arguments, is_allowed) in [
        (json!({ "a": 1, "b": 2 }), true),
        (json!({ "a": 1 }), false),
        (json!({ "b": 2 }), false),
        (json!({}), false),
        (json!({ "a": 1, "b": 3 }), false),
    ] {
        let answer = call("add", arguments.clone());
        let told = answer["content"][0]["text"].as_str().unwrap_or_default();
        assert_eq!(!told.contains("weir"), is_allowed, "{arguments}: {answer}");
    }
    let told = call("told", json!({ "name": "bob" })).to_string();
    assert!(!told.contains("078-05"), "{told}");
    assert!(told.contains("[note] bob has ***-**-1120"), "{told}");
    assert!(told.contains("As JSON: "), "{told}");
}

/// What people approved is all that a server may act on; what is new each time is not asked about.
#[test]
fn an_approval_is_for_the_whole_message() {
    let mut bed = Bed::with(&["json", "stateless"], "wait = \"1s\"\n");
    let call = |bed: &Bed, id: u32, more: &str, fields: &[&str]| {
        let params = format!(r#"{{"name":"delete_user","arguments":{{"name":"bob"}}{more}}}"#);
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#);
        let (_, answer) = bed.post(&body, fields);
        answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    };
    let told = call(&bed, 1, "", &[]);
    assert!(told.contains("approv"), "{told}");
    let listed = run(&mut bed.weir.command(&["approvals", "list", "--json"]));
    let ask: Value = serde_json::from_str(listed.trim()).expect("one ask");
    let id = ask["id"].as_str().unwrap_or_default().to_owned();
    let approve = ["approvals", "approve", &id, "--reason", "fine", "--as", "dora"];
    let approved = bed.weir.command(&approve).env("WEIR_PASSWORD", USER_PASSWORD).output();
    let said = String::from_utf8_lossy(&approved.expect("weir").stderr).into_owned();
    assert!(said.contains("when its client asks again"), "nobody waits now: {said}");
    for (more, fields) in [
        (r#","inputResponses":{"sure":{"action":"accept"}},"requestState":"x""#, &[][..]),
        (r#","task":{"ttl":1}"#, &[]),
        (r#","_meta":{"tenant":"prod"}"#, &[]),
        ("", &["-H", "X-Tenant: prod"]),
        ("", &["-H", "Cookie: tenant=prod"]),
    ] {
        let told = call(&bed, 2, more, fields);
        assert!(!told.contains("deleted"), "{more} {fields:?}: {told}");
    }
    // The same message, but for what is new each time.
    let told = call(&bed, 3, "", &["-H", "X-Request-Id: 7"]);
    assert_eq!(told, "deleted bob");
    // All that was said about it stands in the session that asked.
    let lake = bed.weir.lake();
    let steps = lake.rows("approvals").into_iter().filter(|row| text(row, "approval_id") == id);
    let steps: Vec<_> = steps.map(|row| (text(&row, "event"), text(&row, "session_id"))).collect();
    assert!(steps.iter().any(|(event, _)| event == "vote-approve"), "{steps:?}");
    assert!(steps.iter().all(|(_, session)| *session == steps[0].1), "{steps:?}");
    let mut sessions = lake.rows("sessions").into_iter();
    assert!(sessions.any(|row| text(&row, "session_id") == steps[0].1), "{steps:?}");
}

#[test]
fn a_session_is_open_to_whoever_opened_it() {
    let bed = Bed::start(&[]);
    let ask = |user: &str, body: &str, session: &str| {
        let mut command = Command::new("curl");
        let login = format!("{user}:{USER_PASSWORD}");
        command.args(["-sS", "-i", "-m", "60", "-u", &login, "--noproxy", "*"]);
        command.args(["-H", "Content-Type: application/json", "-d", body]);
        command.args(["-H", "Accept: application/json, text/event-stream"]);
        if !session.is_empty() {
            command.args(["-H", &format!("Mcp-Session-Id: {session}")]);
        }
        run(command.arg(bed.url()))
    };
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "curl", "version": "1"}}});
    let answer = ask(USER, &hello.to_string(), "");
    let mut fields = answer.lines().filter_map(|line| line.split_once(": "));
    let session = fields.find(|(name, _)| name.eq_ignore_ascii_case("mcp-session-id"));
    let session = session.unwrap_or_else(|| panic!("a session: {answer}")).1.trim();
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    let ready = ask(USER, &ready, session);
    assert!(ready.starts_with("HTTP/1.1 202"), "{ready}");
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).to_string();
    let own = ask(USER, &list, session);
    assert!(own.starts_with("HTTP/1.1 200") && own.contains("lookup"), "{own}");
    let bare = session.rsplit_once('.').expect("a tag").0;
    for (user, session) in [("bea", session), (USER, bare), (USER, "made-up.dGFn")] {
        let answer = ask(user, &list, session);
        assert!(answer.starts_with("HTTP/1.1 404"), "{user}: {answer}");
        assert!(answer.contains("mcp-session"), "{answer}");
    }
}

/// An SDK gives a call up after some seconds, and begins them anew with each notification.
#[test]
fn a_client_that_asked_for_progress_waits_for_longer_than_its_patience() {
    let mut bed = Bed::start(&[]);
    let mut patient: Vec<Client> = [Which::Node, Which::Python("auto"), Which::Python("legacy")]
        .map(|it| bed.client(it))
        .into();
    let names = ["node", "auto", "legacy"];
    for (client, name) in patient.iter_mut().zip(names) {
        client.say(&format!(r#"patiently delete_user {{"name":"{name}"}}"#));
    }
    let listed = |bed: &Bed| -> Vec<Value> {
        let listed = run(&mut bed.weir.command(&["approvals", "list", "--json"]));
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    wait_until("the calls to be held", Duration::from_secs(30), || listed(&bed).len() == 3);
    // Longer than the twelve seconds of the clients.
    std::thread::sleep(Duration::from_secs(15));
    for ask in listed(&bed) {
        let id = ask["id"].as_str().expect("an id");
        let approve = ["approvals", "approve", id, "--reason", "fine", "--as", "dora"];
        run(bed.weir.command(&approve).env("WEIR_PASSWORD", USER_PASSWORD));
    }
    for (client, name) in patient.iter_mut().zip(names) {
        let answer = client.hear();
        assert_eq!(answer["text"], json!([format!("deleted {name}")]), "{name}: {answer}");
        let told = answer["progress"].as_array().expect("a list");
        assert!(told.len() >= 2, "{name}: {answer}");
        assert!(told.iter().all(|it| it.as_str().is_some_and(|it| it.contains("approval"))));
    }
    drop(patient);
    let lake = bed.weir.lake();
    let deletions = calls(&lake.rows("commands"), "delete_user");
    assert!(deletions.iter().any(|row| text(row, "decision") == "allow"), "{deletions:?}");
}
