//! What people see of HTTP while it passes and afterwards: `weir search`, `show`, `top`, metrics;
//! and what targets see in the place of the client's login: fields, Basic.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::meters;
use crate::support::lake::{assert_nowhere, text};
use crate::support::scratch::run;
use crate::support::web::{Plan, Server, Web};
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Certificates, canary, oidc::Oidc, wait_until};

/// A server of MCP and one of JSON-RPC beside the usual target, which both are the same program.
fn tail(server: &Server) -> String {
    format!(
        "[[target]]\nname = \"records\"\nprotocol = \"mcp\"\n\
         address = \"http://localhost:{port}/mcp\"\n\
         [[target]]\nname = \"node\"\nprotocol = \"http\"\nhost = \"node.test\"\n\
         address = \"http://localhost:{port}\"\ncalls = [\"POST /mcp\"]\n{CALLS}",
        port = server.port
    )
}

const CALLS: &str = r#"
[[rule]]
name = "calls"
when = { tools = ["note", "eth_get*"] }
then = "allow"

[[rule]]
name = "nothing is sent from here"
when = { tools = ["eth_send*"] }
then = { deny = "accounts are for the treasury" }

[[rule]]
name = "zero is nobody"
when = { tools = ["eth_*"], arguments = ["0=0x0000*"] }
then = { deny = "that address is nobody's" }
"#;

fn web() -> Web {
    let server = Server::start();
    let tail = tail(&server);
    Web::start(server, "http", &Plan { tail: &tail, ..Plan::default() })
}

/// Posts JSON to a path of a host that names the target, and returns the status and the answer.
fn post(web: &Web, host: &str, path: &str, body: &str) -> (String, Value) {
    let mut curl = web.curl(&["-w", "\n%{http_code}", "-H", "Content-Type: application/json"]);
    curl.args(["-H", "Accept: application/json, text/event-stream", "-d", body]);
    curl.args(["--path-as-is", "-H", &format!("Host: {host}")]);
    let answer = run(curl.arg(format!("http://127.0.0.1:{}{path}", web.port)));
    let (body, status) = answer.rsplit_once('\n').expect("a status");
    (status.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn call(id: u32, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn found(web: &Web, arguments: &[&str]) -> Vec<Value> {
    let said = run(&mut web.weir.command(&[&["search", "--json"], arguments].concat()));
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn texts(rows: &[Value]) -> Vec<String> {
    let first = |row: &Value| {
        let said = row["query_text"].as_str().unwrap_or_default();
        said.lines().next().unwrap_or_default().to_owned()
    };
    rows.iter().map(first).collect()
}

#[test]
fn requests_are_found_by_method_path_status_and_tool() {
    let web = web();
    assert_eq!(web.status(web.curl(&[]), "/orders/7"), "200");
    assert_eq!(web.status(web.curl(&["-d", "x"]), "/orders"), "200");
    assert_eq!(web.status(web.curl(&[]), "/empty"), "204");
    assert_eq!(web.status(web.curl(&[]), "/secret/a"), "403");
    let params = json!({ "name": "note", "arguments": { "what": "milk" } });
    let host = "127.0.0.1";
    let (status, answer) = post(&web, host, "/mcp/records", &call(1, "tools/call", &params));
    assert_eq!(status, "200", "{answer}");
    let only = |arguments: &[&str]| texts(&found(&web, arguments));
    assert_eq!(only(&["--method", "post", "--path", "/orders*"]), ["POST /orders HTTP/1.1"]);
    assert_eq!(only(&["--path", "/orders/7"]), ["GET /orders/7 HTTP/1.1"]);
    assert_eq!(only(&["--status", "204"]), ["GET /empty HTTP/1.1"]);
    assert_eq!(only(&["--status", "denied"]), ["GET /secret/a HTTP/1.1"]);
    assert_eq!(only(&["--method", "GET", "--status", "200"]), ["GET /orders/7 HTTP/1.1"]);
    let called = found(&web, &["--tool", "note"]);
    assert_eq!(called.len(), 1, "{called:?}");
    assert_eq!((&called[0]["verb"], &called[0]["kind"]), (&"tools/call".into(), &"mcp".into()));
    let plain = run(&mut web.weir.command(&["search", "--tool", "note"]));
    assert!(plain.contains("note") && plain.contains("milk"), "{plain}");
    let id = called[0]["session_id"].as_str().expect("an id");
    let shown = run(&mut web.weir.command(&["show", id]));
    assert!(shown.contains("tools/call") && shown.contains("milk"), "{shown}");
    let denied = found(&web, &["--status", "denied"]);
    let shown =
        run(&mut web.weir.command(&["show", denied[0]["session_id"].as_str().expect("one")]));
    assert!(shown.contains("GET /secret/a") && shown.contains("secrets stay here"), "{shown}");
}

#[test]
fn requests_are_counted_by_target_and_verdict_and_seen_in_top() {
    let web = web();
    for _ in 0..20 {
        assert_eq!(web.status(web.curl(&[]), "/orders/7"), "200");
        assert_eq!(web.status(web.curl(&[]), "/secret/a"), "403");
    }
    let mut held = web.curl(&["-X", "DELETE", &web.url("/orders/7")]);
    let mut held = held.stdout(Stdio::null()).spawn().expect("curl starts");
    let mut frame = Value::Null;
    wait_until("a held request", std::time::Duration::from_secs(20), || {
        let mut top = web.weir.command(&["top", "--once", "--json", "--interval", "300ms"]);
        frame = serde_json::from_str(&run(&mut top)).expect("JSON");
        let targets = frame["targets"].as_array().expect("targets");
        targets.iter().any(|it| it["target"] == "billing" && it["held"] == 1)
    });
    let said = meters::metrics(&web.weir);
    let of = |name: &str, verdict: &str| {
        let verdict = format!("{{target=\"billing\",verdict=\"{verdict}\"}}");
        meters::value(&said, &format!("weir_{name}{verdict}"))
    };
    assert_eq!((of("commands_total", "allow"), of("commands_total", "deny")), (20.0, 20.0));
    assert_eq!(of("target_seconds_count", "allow"), 20.0);
    let held_now = meters::value(&said, "weir_held_commands{target=\"billing\"}");
    assert_eq!(held_now, 1.0);
    let received = meters::value(&said, "weir_client_received_bytes_total{target=\"billing\"}");
    assert!(received > 40.0 * 50.0, "{received}");
    let _ = held.kill();
    let _ = held.wait();
}

#[test]
fn a_target_sees_its_own_field_or_basic_and_no_record_has_it() {
    let secret = canary("target-secret-");
    let file = Certificates::shared().authority.with_file_name(&secret[..20]);
    std::fs::write(&file, &secret).expect("a file");
    let file = file.display();
    let given = format!("{{ file = \"{file}\" }}");
    let basic = format!("basic = {{ user = \"svc\", password = {given} }}");
    let header = format!("header = {{ name = \"X-Api-Key\", value = {given} }}");
    for (credential, field) in [(basic, "authorization"), (header, "x-api-key")] {
        let plan = Plan { credential: &credential, ..Plan::default() };
        let mut web = Web::start(Server::start(), "http", &plan);
        let mine = ["-H", "X-Api-Key: mine", "-H", "Cookie: a=1"];
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let told = web.told(web.curl(&[&mine[..], &[version]].concat()), "/orders/7");
            let seen = told["headers"][field].as_str().unwrap_or_default();
            // The target got it; where its answer shows it, its client does not see it.
            assert!(seen.contains("****") && !seen.contains("mine"), "{credential}: {told}");
            assert!(!told.to_string().contains(&secret), "{told}");
            let login = told["headers"]["authorization"].as_str().unwrap_or_default();
            assert!(!login.contains(USER_PASSWORD), "{told}");
            assert_eq!(login.is_empty(), field == "x-api-key", "the client's own goes no further");
        }
        let lake = web.weir.lake();
        let rows = lake.commands_with("GET /orders/7");
        assert_eq!(rows.len(), 2);
        assert!(
            rows.iter().all(|row| text(row, "user_name") == USER && text(row, "role") == "svc")
        );
        assert_nowhere(&mut web.weir, &secret);
    }
}

#[test]
fn calls_of_json_rpc_are_decided_and_recorded_by_method_and_parameters() {
    let mut web = web();
    let ask = |body: &str| post(&web, "node.test", "/mcp", body);
    let good = call(7, "eth_getBalance", &json!(["0xabc", "latest"]));
    let (status, answer) = ask(&good);
    assert_eq!((status.as_str(), &answer["id"]), ("200", &7.into()), "{answer}");
    assert!(answer["result"].is_object(), "{answer}");
    for (body, words) in [
        (call(8, "eth_sendTransaction", &json!([{ "to": "0x1" }])), "treasury"),
        (call(8, "eth_getBalance", &json!(["0x0000", "latest"])), "nobody's"),
        (call(8, "admin_peers", &json!([])), "no rule"),
    ] {
        let (status, answer) = ask(&body);
        assert_eq!((status.as_str(), &answer["id"]), ("200", &8.into()), "{answer}");
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains(words), "{body}: {answer}");
    }
    // All of a batch passes, or nothing.
    let bad = call(2, "eth_sendTransaction", &json!([]));
    let (status, answer) = ask(&format!("[{good},{bad}]"));
    let ids: Vec<&Value> = answer.as_array().expect("a list").iter().map(|it| &it["id"]).collect();
    assert_eq!((status.as_str(), ids), ("200", vec![&7.into(), &2.into()]), "{answer}");
    // What is no such call is none of any other kind, whatever way its path is written.
    for (path, body, status) in [
        ("/mcp", "x=1", "400"),
        ("/mcp", r#"{"jsonrpc":"2.0","id":1,"Method":"eth_getBalance","method":"x"}"#, "400"),
        ("/%6dcp", &bad, "200"),
        ("/MCP", &bad, "200"),
        ("/mcp/", &bad, "200"),
    ] {
        let (got, answer) = post(&web, "node.test", path, body);
        assert_eq!(got, status, "{path} {body}: {answer}");
        assert!(answer["error"].is_object(), "{path} {body}: {answer}");
    }
    let lake = web.weir.lake();
    let rows = lake.rows("commands");
    let allowed: Vec<_> = rows.iter().filter(|row| text(row, "decision") == "allow").collect();
    let [row] = &allowed[..] else { panic!("{rows:#?}") };
    assert_eq!((text(row, "kind"), text(row, "verb")), ("jsonrpc".into(), "eth_getBalance".into()));
    assert_eq!(row["classes"], json!(["call"]));
    let params: Value = serde_json::from_str(&text(row, "params_json")).expect("JSON");
    assert_eq!(params, json!(["0xabc", "latest"]));
    let batch = rows.iter().find(|row| text(row, "verb") == "batch").expect("a batch");
    assert_eq!(text(batch, "name"), "eth_getBalance, eth_sendTransaction");
    assert_eq!(text(batch, "decision"), "deny");
}

#[test]
fn a_held_call_of_json_rpc_is_shown_and_answered_by_its_id() {
    let server = Server::start();
    let hold = "\n[[rule]]\nname = \"looked at\"\nwhen = { tools = [\"eth_sign\"] }\n\
                then = { hold = { approvers = [\"dba\"] } }\n";
    let tail = tail(&server) + hold;
    let plan = Plan { tail: &tail, ..Plan::default() };
    let web = Web::start(server, "http", &plan);
    let body = call(3, "eth_sign", &json!(["0xabc", "milk"]));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| post(&web, "node.test", "/mcp", &body));
        let mut ask = Value::Null;
        wait_until("a call to be held", std::time::Duration::from_secs(20), || {
            let listed = run(&mut web.weir.command(&["approvals", "list", "--json"]));
            ask = serde_json::from_str(listed.trim()).unwrap_or_default();
            !ask.is_null()
        });
        let id = ask["id"].as_str().unwrap_or_default().to_owned();
        let whole = run(&mut web.weir.command(&["approvals", "show", &id, "--json"]));
        let whole: Value = serde_json::from_str(whole.trim()).expect("JSON");
        assert!(whole["params"].as_str().is_some_and(|it| it.contains("milk")), "{whole}");
        let text = whole["text"].as_str().unwrap_or_default();
        assert!(text.starts_with("eth_sign [\"0xabc\",\"milk\"]"), "{whole}");
        let approve = ["approvals", "approve", &id, "--reason", "fine", "--as", "dora"];
        run(web.weir.command(&approve).env("WEIR_PASSWORD", USER_PASSWORD));
        let (status, answer) = asking.join().expect("no panic");
        assert_eq!((status.as_str(), &answer["id"]), ("200", &3.into()), "{answer}");
    });
}

#[test]
fn a_client_without_a_login_is_told_where_tokens_come_from() {
    let issuer = Oidc::start();
    let server = Server::start();
    let tail = tail(&server) + &issuer.toml("scope = \"openid email\"");
    let plan = Plan { tls: true, tail: &tail, ..Plan::default() };
    let web = Web::start(server, "http", &plan);
    let get = |path: &str| -> (String, String) {
        let said = run(web.anybody(&["-i"]).arg(web.url(path)));
        let (head, body) = said.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    };
    let own = |path: &str| format!("https://localhost:{}{path}", web.port);
    let place = "/.well-known/oauth-protected-resource";
    for (path, resource) in [("/mcp/records", "/mcp/records"), ("/mcp/no", "/mcp/no"), ("/x", "")] {
        let (head, _) = get(path);
        let field = format!("resource_metadata=\"{}\"", own(&format!("{place}{resource}")));
        assert!(head.contains(" 401 ") && head.contains(&field), "{path}: {head}");
        let (head, body) = get(&format!("{place}{resource}"));
        assert!(head.contains(" 200 "), "{head}");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(told["resource"], own(resource));
        assert_eq!(told["authorization_servers"], json!([issuer.name()]));
        assert_eq!(told["scopes_supported"], json!(["email", "openid"]));
    }
    // An issuer is asked for by its name: what it says of itself is there.
    let described = format!("{}/.well-known/openid-configuration", issuer.name());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--cacert"]).arg(&Certificates::shared().authority).arg(described);
    assert!(run(&mut curl).contains("token_endpoint"));
}
