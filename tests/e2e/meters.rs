//! What weir says of itself while commands of each verdict pass: `/v1/metrics` and `weir top`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::raw::query;
use crate::support::scratch::output;
use crate::support::weir::{CLEAR, TARGET};
use crate::support::{Database, Postgres, Raw, Spec, Weir, wait_until};

const RULES: &str = r#"
[[rule]]
name = "schema changes need a DBA"
when = { commands = ["ddl"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "1s" } }

[[rule]]
name = "no unbounded writes"
when = { commands = ["unbounded-write"] }
then = { deny = "say which rows you mean" }

[[rule]]
name = "the rest"
when = {}
then = "allow"
"#;

/// Enough for one of them to be measured, whichever one in 64 it is.
const MANY: u64 = 130;

fn start(database: &Database) -> Weir {
    database.sql("CREATE TABLE people (id int, ssn text); INSERT INTO people VALUES (1, '123456')");
    database.sql("GRANT ALL ON people TO app");
    let endpoint = database.endpoint();
    Spec::new(database)
        .target_settings(&endpoint, &format!("{CLEAR}\ndurability = \"sync\""))
        .target("idle", &endpoint, CLEAR)
        .rules(RULES)
        .masks("[[mask]]\ncolumns = [\"public.people.ssn\"]\noperator = \"redact\"\n")
        .start()
}

/// `GET /v1/metrics` as Prometheus asks for it.
pub fn metrics(weir: &Weir) -> String {
    let data_dir = weir.data_dir();
    let token = std::fs::read_to_string(data_dir.join("admin.token")).expect("the token");
    let place = std::fs::read_to_string(data_dir.join("admin.json")).expect("the place");
    let place: Value = serde_json::from_str(&place).expect("JSON");
    let address = place["address"].as_str().expect("an address");
    let mut stream = TcpStream::connect(address).expect("the admin API");
    let request = format!(
        "GET /v1/metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         authorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// The value of one line; 0 if it is not there would hide a wrong name, so it must be.
pub fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
}

fn top(weir: &Weir, arguments: &[&str]) -> Output {
    output(&mut weir.command(&[&["top", "--once"], arguments].concat()))
}

fn run_each_verdict(raw: &mut Raw) {
    for _ in 0..MANY {
        raw.query("SELECT ssn FROM people");
        assert_eq!(raw.fails("DELETE FROM people"), "42501");
    }
    assert_eq!(raw.fails("CREATE TABLE never (id int)"), "57014");
}

#[test]
fn commands_of_each_verdict_are_found_in_the_metrics() {
    let database = Postgres::shared().database();
    let weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    run_each_verdict(&mut raw);
    let text = metrics(&weir);
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let readme = include_str!("../../README.md");
    let untold: Vec<&str> = names.filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert_eq!(untold, [""; 0], "not in README");
    let of = |name: &str, labels: &str| {
        value(&text, &format!("weir_{name}{{target=\"{TARGET}\"{labels}}}"))
    };
    let (allow, deny, hold) = (",verdict=\"allow\"", ",verdict=\"deny\"", ",verdict=\"hold\"");
    let many = MANY as f64;
    assert_eq!(of("commands_total", allow), many);
    assert_eq!(of("commands_total", deny), many);
    assert_eq!(of("commands_total", hold), 1.0);
    assert_eq!(of("target_connections", ""), 1.0);
    assert_eq!(of("held_commands", ""), 0.0);
    assert_eq!(of("target_seconds_count", allow), many);
    assert_eq!(of("target_seconds_count", hold), 0.0);
    let answered = of("target_seconds_sum", allow);
    assert!(answered > 0.0 && answered < 60.0, "{answered} s");
    assert_eq!(of("target_seconds_bucket", &format!("{allow},le=\"+Inf\"")), many);
    assert!(of("decide_seconds_count", allow) >= 1.0);
    assert!(of("decide_seconds_count", deny) >= 1.0);
    assert!(of("mask_seconds_count", "") >= 1.0);
    // In sync mode each command and each answer waits for the disk.
    let waits = of("journal_wait_seconds_count", "");
    assert!(waits >= 2.0 * many && of("journal_wait_seconds_sum", "") > 0.0, "{waits} waits");
    assert!(of("client_received_bytes_total", "") > many * 20.0);
    assert!(of("client_sent_bytes_total", "") > many * 20.0);
    assert_eq!(value(&text, "weir_commands_total{target=\"idle\",verdict=\"allow\"}"), 0.0);
    assert!(value(&text, "weir_journal_lag_bytes") >= 0.0);
    assert!(value(&text, "weir_segments_waiting") >= 0.0);
}

/// A sample of the text format 0.0.4: name, labels in their order, value.
type Sample = (String, Labels, f64);
/// Names and values.
type Labels = Vec<(String, String)>;

fn is_name(text: &str, colons: bool) -> bool {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_' || (colons && it == ':');
    text.starts_with(|it: char| !it.is_ascii_digit()) && text.chars().all(is_part)
}

/// Reads one line as strictly as Prometheus (expfmt/text_parse.go): no blanks but one before the
/// value, no time, labels with their three escapes, each label once.
fn sample(line: &str) -> Sample {
    let fails = |why: &str| -> ! { panic!("{why}: {line}") };
    let end = line.find(['{', ' ']).unwrap_or_else(|| fails("no value"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name, true), "the name: {line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| fails("a label"));
            assert!(is_name(label, false), "a label's name: {line}");
            assert!(labels.iter().all(|(known, _)| known != label), "a label twice: {line}");
            let (mut value, mut chars) = (String::new(), quoted.chars());
            loop {
                match chars.next() {
                    Some('"') => break,
                    Some('\\') => match chars.next() {
                        Some('n') => value.push('\n'),
                        Some(escaped @ ('"' | '\\')) => value.push(escaped),
                        _ => fails("an escape"),
                    },
                    Some(other) => value.push(other),
                    None => fails("an open quote"),
                }
            }
            labels.push((label.to_owned(), value));
            rest = chars.as_str();
            match rest.strip_prefix(',') {
                Some(next) if !next.starts_with('}') => rest = next,
                Some(_) => fails("a comma before nothing"),
                None if rest.starts_with('}') => {}
                None => fails("no comma"),
            }
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| fails("no blank"));
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value = value.parse().ok().filter(|_| is_plain).unwrap_or_else(|| fails("no number"));
    (name.to_owned(), labels, value)
}

/// Families in the order of the text: name, kind, samples.
fn families(text: &str) -> Vec<(String, String, Vec<Sample>)> {
    assert!(text.ends_with('\n') && !text.contains("\n\n"), "lines that end");
    let mut families: Vec<(String, String, Vec<Sample>)> = Vec::new();
    let mut helped = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("words");
            assert!(helped.is_none() && !words.trim().is_empty(), "{line}");
            helped = Some(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(helped.take(), Some(name), "HELP, then TYPE: {line}");
            assert!(is_name(name, true) && ["counter", "gauge", "histogram"].contains(&kind));
            assert!(families.iter().all(|(known, ..)| known != name), "a family twice: {line}");
            families.push((name.to_owned(), kind.to_owned(), Vec::new()));
        } else {
            let (name, kind, samples) = families.last_mut().expect("a family");
            let found = sample(line);
            let suffix = found.0.strip_prefix(name.as_str()).expect("of its family");
            let fits = match kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            assert!(fits, "{line} in {name}");
            assert!(kind != "counter" || found.2 >= 0.0, "{line}");
            let same = |it: &Sample| (&it.0, &it.1) == (&found.0, &found.1);
            assert!(!samples.iter().any(same), "twice: {line}");
            samples.push(found);
        }
    }
    families
}

/// Of each histogram the buckets rise to +Inf, which is its count.
fn check_buckets(samples: &[Sample]) {
    let mut last: Option<(Labels, f64, f64)> = None;
    for (name, labels, value) in samples {
        if !name.ends_with("_bucket") {
            continue;
        }
        let (bound, others): (Vec<_>, Vec<_>) =
            labels.iter().cloned().partition(|(label, _)| label == "le");
        let bound = match bound.first().expect("le").1.as_str() {
            "+Inf" => f64::INFINITY,
            text => text.parse().expect("a bound"),
        };
        if let Some((of, below, count)) = &last
            && *of == others
        {
            assert!(*below < bound && count <= value, "{name} {labels:?}");
        }
        if bound.is_infinite() {
            let count = samples.iter().find(|it| it.0.ends_with("_count") && it.1 == others);
            assert_eq!(count.expect("a count").2, *value, "{name} {others:?}");
        }
        last = Some((others, bound, *value));
    }
}

#[test]
fn a_strict_reader_takes_the_metrics() {
    let database = Postgres::shared().database();
    let weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    run_each_verdict(&mut raw);
    let answer = metrics(&weir);
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"));
    let families = families(text);
    assert!(families.len() > 30, "{} families", families.len());
    for (name, kind, samples) in &families {
        let is_counted = name.ends_with("_total");
        assert_eq!(is_counted, kind == "counter", "counters, and no others, are totals: {name}");
        if kind == "histogram" {
            check_buckets(samples);
        }
    }
    let total = families.iter().find(|(name, ..)| name == "weir_commands_total").expect("it");
    assert!(total.2.iter().any(|sample| sample.2 == MANY as f64), "{total:?}");
}

#[test]
fn what_runs_now_is_found_in_top() {
    let database = Postgres::shared().database();
    let weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    let mut command = weir.command(&["top", "--once", "--json", "--interval", "5s"]);
    let mut watching = command.stdout(Stdio::piped()).spawn().expect("weir top starts");
    // The session goes on for as long as it is watched, so that no look comes too early or late.
    while watching.try_wait().expect("a child of ours").is_none() {
        run_each_verdict(&mut raw);
    }
    let result = watching.wait_with_output().expect("weir top ends");
    assert!(result.status.success());
    let printed = String::from_utf8_lossy(&result.stdout).into_owned();
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let frame: Value = serde_json::from_str(&printed).expect("JSON");
    let targets = frame["targets"].as_array().expect("targets");
    let of = |name: &str| targets.iter().find(|it| it["target"] == name).expect("the target");
    let target = of(TARGET);
    for verdict in ["allow", "deny", "hold"] {
        assert!(target["commands"][verdict].as_u64() >= Some(1), "{verdict}: {frame}");
    }
    assert_eq!(target["connections"], 1);
    let rate = |name: &str| target[name].as_f64().expect("a rate");
    assert!(rate("commands_per_s") > rate("denied_per_s") && rate("denied_per_s") > 0.0, "{frame}");
    for stage in ["decide", "target_time", "journal_wait", "mask"] {
        let p50 = target[stage]["p50_us"].as_u64().unwrap_or_else(|| panic!("{stage}: {frame}"));
        let p99 = target[stage]["p99_us"].as_u64().expect("with p50");
        assert!(p50 <= p99 && p99 < 10_000_000, "{stage}: {frame}");
    }
    assert!(of("idle")["target_time"]["p50_us"].is_null());
}

#[test]
fn top_shows_a_held_command_as_text_and_says_when_no_weir_runs() {
    let database = Postgres::shared().database();
    let mut weir = Spec::new(&database).rules(&RULES.replace("1s", "1m")).start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE never (id int)"));
    wait_until("the command to be held", Duration::from_secs(20), || {
        let result = top(&weir, &["--json", "--interval", "100ms"]);
        let frame: Value = serde_json::from_slice(&result.stdout).expect("JSON");
        frame["targets"][0]["held"] == 1
    });
    let result = top(&weir, &["--interval", "100ms"]);
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    assert!(text.contains("segments waiting 0") && text.contains("DENIED/S"), "{text}");
    assert!(text.lines().any(|line| line.starts_with(TARGET)), "{text}");
    assert!(!text.contains('\x1b'), "stdout is no terminal: {text}");
    assert_eq!(top(&weir, &["--interval", "never"]).status.code(), Some(2));
    drop(raw);
    assert!(weir.stop().success());
    let result = top(&weir, &[]);
    assert_eq!(result.status.code(), Some(4));
    let said = String::from_utf8_lossy(&result.stderr).into_owned();
    assert!(said.contains("no weir runs"), "{said}");
}
