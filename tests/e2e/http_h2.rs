//! HTTP/2 of clients: curl and Node through weir, one connection with many requests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::lake::text;
use crate::support::scratch::run;
use crate::support::web::{Plan, Server, Web};
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Certificates, tools, wait_until};

fn web(tls: bool) -> Web {
    Web::start(Server::start(), "http", &Plan { tls, ..Plan::default() })
}

/// The client of `tests/drivers`.
fn node(web: &Web, tls: bool, scenario: &str) -> Command {
    let mut command = tools::node();
    command.arg(tools::script("http2_client.js")).arg(web.url(""));
    match tls {
        true => command.arg(&Certificates::shared().authority),
        false => command.arg("-"),
    };
    command.arg(format!("{USER}:{USER_PASSWORD}")).arg(scenario);
    command
}

fn lines(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The answer to a path.
fn answer<'l>(lines: &'l [Value], path: &str) -> &'l Value {
    let found = lines.iter().find(|line| line["path"] == path);
    found.unwrap_or_else(|| panic!("no {path} in {lines:#?}"))
}

fn ask_id(web: &Web) -> String {
    let mut ask = Value::Null;
    wait_until("a request to be held", Duration::from_secs(30), || {
        let listed = run(&mut web.weir.command(&["approvals", "list", "--json"]));
        ask = serde_json::from_str(listed.trim()).unwrap_or_default();
        !ask.is_null()
    });
    ask["id"].as_str().expect("an id").to_owned()
}

fn spawn(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node");
    let output = BufReader::new(child.stdout.take().expect("its stdout"));
    (child, output)
}

fn next(output: &mut BufReader<std::process::ChildStdout>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn curl_speaks_it_by_alpn_and_by_prior_knowledge() {
    for (tls, flag) in [(true, "--http2"), (false, "--http2-prior-knowledge")] {
        let mut web = web(tls);
        let version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}", flag];
        assert_eq!(run(web.curl(&version).arg(web.url("/a"))), "2 200");
        let told = web.told(web.curl(&[flag, "-d", "a body", "-H", "X-Mine: kept"]), "/orders");
        assert_eq!((&told["method"], &told["body"]), (&"POST".into(), &"a body".into()));
        assert_eq!(told["headers"]["x-mine"], "kept");
        assert_eq!(told["headers"]["content-length"], "6");
        assert_eq!(told["headers"]["via"], "2.0 weir");
        let cookies = ["-H", "Cookie: a=1; b=2", flag];
        assert_eq!(web.told(web.curl(&cookies), "/crumbs")["headers"]["cookie"], "a=1; b=2");
        for (path, status) in [("/empty", "204"), ("/moved", "302"), ("/chunked", "200")] {
            assert_eq!(web.status(web.curl(&[flag]), path), status, "{path}");
        }
        let head = run(web.curl(&[flag, "-I"]).arg(web.url("/head")));
        assert!(head.starts_with("HTTP/2 200") && head.contains("content-length"), "{head}");
        let events = run(web.curl(&[flag, "-N"]).arg(web.url("/events")));
        assert_eq!(events, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
        let large = ["-o", "/dev/null", "-w", "%{size_download}", flag];
        assert_eq!(run(web.curl(&large).arg(web.url("/large/64"))), (64 << 20).to_string());
        let upload = "head -c 67108864 /dev/zero | curl -sS -m 120 --cacert \"$3\" -u \"$0\" $2 \
                      -T - \"$1\"";
        let login = format!("{USER}:{USER_PASSWORD}");
        let (url, ca) = (web.url("/up"), Certificates::shared().authority.display().to_string());
        let answer = run(Command::new("bash").args(["-c", upload, &login, &url, flag, &ca]));
        let told: Value = serde_json::from_str(&answer).expect("an answer");
        assert_eq!(told["length"], 64 << 20);
        let resident = web.weir.anonymous_kib();
        assert!(resident < 100 << 10, "{resident} KiB after 128 MiB");
        let lake = web.weir.lake();
        let (command, response) = lake.exchange("POST /orders");
        let shown = text(&command, "query_text");
        assert!(shown.starts_with("POST /orders HTTP/2"), "{shown}");
        assert_eq!(text(&response, "outcome"), "success");
        let failed =
            lake.rows("responses").into_iter().filter(|it| text(it, "outcome") != "success");
        assert_eq!(failed.count(), 0);
    }
}

#[test]
fn hundreds_of_requests_share_a_connection_and_each_has_its_row() {
    for tls in [true, false] {
        let mut web = web(tls);
        let said = lines(&run(&mut node(&web, tls, "many")));
        let good = said.iter().filter(|line| line["status"] == 200 && line["code"] == 0).count();
        assert_eq!(good, 300, "{said:#?}");
        for line in said.iter().filter(|line| line["path"].is_string()) {
            let path = line["path"].as_str().expect("a path");
            let number = path.rsplit('/').next().expect("a number");
            let told: Value =
                serde_json::from_str(line["body"].as_str().expect("a body")).unwrap_or_default();
            let body = format!("body {number}");
            assert_eq!((&told["url"], &told["body"]), (&path.into(), &body.into()));
        }
        let lake = web.weir.lake();
        assert_eq!(lake.rows("commands").len(), 300);
        assert_eq!(lake.rows("responses").len(), 300);
        let sessions = lake.rows("sessions");
        let starts = sessions.iter().filter(|row| text(row, "user_name") == USER);
        let mut ids: Vec<String> = starts.map(|row| text(row, "session_id")).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1, "one connection, one identity, one target: {sessions:#?}");
    }
}

#[test]
fn a_held_request_does_not_hold_the_others() {
    let mut web = web(true);
    let (mut child, mut output) = spawn(node(&web, true, "held"));
    let id = ask_id(&web);
    for number in 0..5 {
        assert_eq!(next(&mut output)["path"], format!("/beside/{number}"));
    }
    assert_eq!(next(&mut output)["length"], 4 << 20);
    let approve = ["approvals", "approve", &id, "--reason", "fine", "--as", "dora"];
    run(web.weir.command(&approve).env("WEIR_PASSWORD", USER_PASSWORD));
    let line = next(&mut output);
    assert_eq!((&line["path"], &line["status"]), (&"/orders/7".into(), &200.into()));
    assert!(line["body"].as_str().is_some_and(|body| body.contains("because")), "{line}");
    assert!(child.wait().expect("node ends").success());
    let lake = web.weir.lake();
    let (command, response) = lake.exchange("DELETE /orders/7");
    assert_eq!((text(&command, "decision"), text(&command, "approval_id")), ("allow".into(), id));
    assert_eq!(text(&response, "outcome"), "success");
}

#[test]
fn a_stream_that_is_reset_takes_its_question_back() {
    let mut web = web(true);
    let (mut child, mut output) = spawn(node(&web, true, "gone"));
    let id = ask_id(&web);
    child.stdin.as_mut().expect("its stdin").write_all(b"go\n").expect("a line");
    assert_eq!(next(&mut output)["path"], "/orders/8");
    let after = next(&mut output);
    assert_eq!((&after["path"], &after["status"]), (&"/after".into(), &200.into()));
    assert!(child.wait().expect("node ends").success());
    let lake = web.weir.lake();
    let approvals = lake.rows("approvals");
    let last = approvals.iter().rfind(|row| text(row, "approval_id") == id);
    assert_eq!(last.map(|row| text(row, "event")), Some("abandoned".into()), "{approvals:#?}");
    assert_eq!(lake.rows("commands").len(), 2);
}

#[test]
fn refusals_are_answers_on_their_stream() {
    let mut web = web(true);
    let said = lines(&run(&mut node(&web, true, "refused")));
    let denied = answer(&said, "/secret/a");
    assert_eq!(
        (&denied["status"], &denied["type"]),
        (&403.into(), &"application/problem+json".into())
    );
    assert!(denied["body"].as_str().is_some_and(|body| body.contains("secrets stay here")));
    let of_a: Vec<&Value> = said.iter().filter(|line| line["path"] == "/a").collect();
    let statuses: Vec<&Value> = of_a.iter().map(|line| &line["status"]).collect();
    assert_eq!(statuses, [401, 400]);
    assert_eq!(answer(&said, "/pkg.Service/Method")["grpc"], "12", "its target has no HTTP/2");
    let broken = answer(&said, "/broken");
    assert!(broken["code"] != 0 && broken["length"] == 4, "{broken}");
    assert_eq!(answer(&said, "/good")["status"], 200);
    let lake = web.weir.lake();
    let (_, response) = lake.exchange("GET /broken");
    assert_eq!(text(&response, "outcome"), "aborted");
}

#[test]
fn a_slow_reader_keeps_nobody_waiting() {
    for tls in [true, false] {
        let web = web(tls);
        let said = lines(&run(&mut node(&web, tls, "slow")));
        let paths: Vec<&str> = said.iter().filter_map(|line| line["path"].as_str()).collect();
        let expected = ["/beside/0", "/beside/1", "/beside/2", "/beside/3", "/beside/4"];
        assert_eq!(paths, [&expected[..], &["/large/8", "/up"]].concat());
        assert_eq!(answer(&said, "/large/8")["length"], 8 << 20);
        let up = answer(&said, "/up")["body"].as_str().unwrap_or_default();
        assert!(up.contains(&format!("\"length\":{}", 4 << 20)), "{up}");
    }
}

#[test]
fn an_upload_goes_on_when_its_target_reads_again() {
    let web = web(true);
    for _ in 0..3 {
        let begun = Instant::now();
        let up = web.told(web.curl(&["--http2", "-T", files_of_zeros()]), "/late-reader");
        assert_eq!(up["length"], 8 << 20);
        // Nothing but the question whether the client is still there would wake the session.
        let limit = Duration::from_micros(weir::limits::HTTP_ASK_EVERY_US * 2 / 3);
        assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    }
}

#[test]
fn weir_says_good_bye_when_it_ends() {
    let mut web = web(true);
    let (mut child, mut output) = spawn(node(&web, true, "stays"));
    assert_eq!(next(&mut output)["status"], 200);
    assert!(web.weir.stop().success());
    let mut told = Vec::new();
    while told.last().is_none_or(|line: &Value| line["closed"].is_null()) {
        told.push(next(&mut output));
    }
    assert!(told.iter().any(|line| line["goaway"] == 0), "{told:?}");
    assert!(child.wait().expect("node ends").success());
}

/// In front of a target that speaks HTTP/2.
fn before_two(tls: bool) -> Web {
    let files = Certificates::shared();
    let mut target = "http = \"2\"".to_owned();
    if tls {
        target += &format!("\nroot_certificates = \"{}\"", files.authority.display());
    }
    let files = [&files.certificate, &files.key, &files.authority];
    let files = if tls { &files[..] } else { &[] };
    let plan = Plan { tls, target: &target, ..Plan::default() };
    let scheme = if tls { "https" } else { "http" };
    Web::start(Server::of("http2_server.js", files), scheme, &plan)
}

#[test]
fn targets_of_their_own_version_are_spoken_to_in_it_and_calls_of_grpc_keep_their_trailers() {
    for tls in [true, false] {
        let mut web = before_two(tls);
        let said = lines(&run(&mut node(&web, tls, "grpc")));
        let call = answer(&said, "/pkg.Echo/Say");
        assert_eq!((&call["status"], &call["body"]), (&200.into(), &"first,second".into()));
        assert_eq!((&call["trailers"]["grpc-status"], &call["code"]), (&"0".into(), &0.into()));
        assert_eq!(call["trailers"]["x-count"], "2");
        assert_eq!(answer(&said, "/pkg.Echo/Fail")["grpc"], "5");
        assert_eq!(answer(&said, "/secret/pkg.Echo/Say")["grpc"], "7", "denied");
        assert_eq!(answer(&said, "/reset")["status"], 502);
        assert_eq!(answer(&said, "/empty")["status"], 204);
        // A client of HTTP/1.1 does not see the difference.
        let one = |more: &[&str]| web.curl(&[&["--http1.1"][..], more].concat());
        let told = web.told(one(&["-d", "a body", "-H", "X-Mine: kept"]), "/orders?a=b");
        assert_eq!((&told[":method"], &told[":path"]), (&"POST".into(), &"/orders?a=b".into()));
        assert_eq!((&told["x-mine"], &told["body"]), (&"kept".into(), &"a body".into()));
        assert_eq!(told["authorization"], crate::support::web::shown_bearer());
        assert_eq!((&told["content-length"], &told["via"]), (&"6".into(), &"1.1 weir".into()));
        assert!(told["connection"].is_null() && told["host"].is_null(), "{told}");
        assert_eq!(web.status(one(&["-I"]), "/head"), "200");
        let large = ["-o", "/dev/null", "-w", "%{size_download}"];
        assert_eq!(run(one(&large).arg(web.url("/large/16"))), (16 << 20).to_string());
        let up = web.told(one(&["-T", files_of_zeros()]), "/up");
        assert_eq!(up["length"], 8 << 20);
        let lake = web.weir.lake();
        let (_, response) = lake.exchange("POST /pkg.Echo/Say");
        assert_eq!(text(&response, "outcome"), "success");
    }
}

#[test]
fn a_connection_of_http2_to_a_target_serves_one_request_after_the_other() {
    for tls in [true, false] {
        let mut web = before_two(tls);
        let count = |web: &Web| {
            let count = run(web.curl(&["--http1.1"]).arg(web.url("/connections")));
            count.parse::<u32>().expect("a number")
        };
        let before = count(&web);
        for number in 0..20 {
            // Each curl is a session of its own, of either version.
            let version = if number % 2 == 0 { "--http1.1" } else { "--http2" };
            let told = web.told(web.curl(&[version, "-d", "a body"]), "/orders");
            assert_eq!(told["body"], "a body");
        }
        let made = count(&web) - before;
        // One for each shard of this weir, and what crosses the end of an answer now and then.
        assert!(made <= 6, "{made} connections for 20 requests");
        let said = lines(&run(&mut node(&web, tls, "many")));
        let good = said.iter().filter(|line| line["status"] == 200).count();
        assert_eq!(good, 300, "{said:#?}");
        let lake = web.weir.lake();
        let failed =
            lake.rows("responses").into_iter().filter(|it| text(it, "outcome") != "success");
        assert_eq!(failed.count(), 0);
    }
}

/// A file of 8 MiB.
fn files_of_zeros() -> &'static str {
    static FILE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    FILE.get_or_init(|| {
        let path = Certificates::shared().authority.with_file_name("zeros");
        std::fs::write(&path, vec![0; 8 << 20]).expect("a file");
        path.display().to_string()
    })
}
