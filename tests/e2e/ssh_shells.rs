//! Shells: lines derived from what they showed, replays, what a killed weir has of them, and what
//! many of them cost.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use weir::record::pty_events::{Events, Kind};

use crate::ssh::{EVERYTHING, Gate, Sshd, fed};
use crate::support::lake::{Lake, Row, bytes, number, text};
use crate::support::scratch::{output, run};
use crate::support::{Postgres, short_or_long, tools, wait_until};

/// Somebody at a terminal: `ssh_terminal.py`.
fn terminal(gate: &Gate, what: &[&str]) -> Command {
    let mut command = tools::python();
    command.arg(tools::script("ssh_terminal.py"));
    command.args([&gate.port.to_string(), "root@web-1"]).arg(&gate.alice).args(what);
    command
}

/// All that a command showed, as its rows have it.
fn shown(lake: &Lake, command: &Row) -> Vec<u8> {
    let is_its = |chunk: &&Row| {
        text(chunk, "session_id") == text(command, "session_id")
            && number(chunk, "command_seq") == number(command, "seq")
    };
    let rows = lake.rows("stream_chunks");
    let mut chunks: Vec<&Row> = rows.iter().filter(is_its).collect();
    chunks.sort_by_key(|chunk| number(chunk, "chunk_no"));
    let mut all = Vec::new();
    for chunk in chunks {
        let payload = bytes(chunk, "payload");
        for event in Events::new(&payload).filter(|event| event.kind == Kind::Output) {
            all.extend_from_slice(event.bytes);
        }
    }
    all
}

fn kept_whole(toml: &str) -> String {
    let target = "protocol = \"ssh\"\n";
    let capture = "capture = { responses = \"full\" }\n";
    toml.replace(target, &format!("{target}{capture}"))
}

#[test]
fn lines_of_a_shell_are_derived_and_say_so() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    assert!(run(&mut terminal(&gate, &["lines"])).contains("lines ok"));
    let wide = format!("echo {} wide", "0123456789".repeat(12));
    let typed = [
        "PS1='pr> '",
        "echo one",
        "echo two",
        "echo two",
        "read -s word; echo go''t",
        &wide,
        "cat > /dev/null",
        "a line of cat",
        "exit 3",
    ];
    // Before it is sealed, and after.
    let mut search = gate.weir.command(&["search", "--json", "--grep", "echo two|hidden"]);
    let printed = run(&mut search);
    let found: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let lines: Vec<&Value> = found.iter().filter(|row| row["kind"] == "shell-line").collect();
    assert_eq!(lines.len(), 2, "{printed}");
    for line in lines {
        assert_eq!((&line["line"], &line["derived"]), (&"echo two".into(), &true.into()));
        assert_eq!(line["cut"], false, "{line}");
    }
    let id = found[0]["session_id"].as_str().expect("an id").to_owned();
    let printed = run(&mut gate.weir.command(&["show", &id]));
    assert!(printed.contains("derived") && printed.contains(" echo one\n"), "{printed}");
    let lake = gate.weir.lake();
    let rows = lake.rows("shell_lines");
    let lines: Vec<String> = rows.iter().map(|row| text(row, "line")).collect();
    assert_eq!(lines, typed);
    assert!(rows.iter().all(|row| row["cut"] == false), "{rows:#?}");
    let shell = lake.commands_with("bash --norc")[0].clone();
    assert!(rows.iter().all(|row| number(row, "command_seq") == number(&shell, "seq")));
    let times: Vec<i64> = rows.iter().map(|row| number(row, "ts")).collect();
    assert!(times.is_sorted() && times[0] >= number(&shell, "ts"), "{times:?}");
}

#[test]
fn a_shell_that_hides_is_seen_or_said_to_be_hidden() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    assert!(run(&mut terminal(&gate, &["hiding"])).contains("hiding ok"));
    let lake = gate.weir.lake();
    let shell = lake.commands_with("bash --norc")[0].clone();
    let shown = shown(&lake, &shell).len();
    assert!((1_000_000..1_200_000).contains(&shown), "{shown}: what is not near input is not kept");
    let rows = lake.rows("shell_lines");
    let maybe = |row: &Row, column| row[column].as_str().map(str::to_owned);
    let told: Vec<String> =
        rows.iter().filter_map(|row| maybe(row, "line").or(maybe(row, "gap"))).collect();
    let expect = [
        "PS1='pr> '",
        "head -c 2500000 /dev/zero | tr '\\0' x | fold -w 70",
        "echo after",
        "printf '\\e[?1049h'",
        "full-screen",
        "full-screen-end",
        "echo one\necho two",
        "exit 3",
    ];
    assert_eq!(told, expect);
    assert_eq!(rows.iter().filter(|row| row["line"].is_null()).count(), 2);
    let id = text(&shell, "session_id");
    let printed = run(&mut gate.weir.command(&["show", &id]));
    assert!(printed.contains("(a program has the whole screen"), "{printed}");
    let replayed = run(&mut gate.weir.command(&["replay", &id, "--speed", "1000"]));
    assert!(replayed.contains("bytes were not captured"), "{replayed}");
}

/// The events of a cast, and when each of them is: seconds since the beginning.
fn events(cast: &Path) -> Vec<(f64, String, String)> {
    let text = std::fs::read_to_string(cast).expect("a cast");
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let is_three = lines.next().expect("a header")["version"] == 3;
    let mut now = 0.0;
    let events = lines.map(|event| {
        let at = event[0].as_f64().expect("a time");
        now = if is_three { now + at } else { at };
        let text = |part: &Value| part.as_str().expect("text").to_owned();
        (now, text(&event[1]), text(&event[2]))
    });
    events.collect()
}

/// What a cast would write to a terminal.
fn played(events: &[(f64, String, String)]) -> String {
    assert!(events.is_sorted_by(|one, next| one.0 <= next.0), "times go on");
    events.iter().filter(|event| event.1 == "o").map(|event| event.2.as_str()).collect()
}

/// What the screen of a terminal shows in the end: `screens.py`.
fn screen(kind: &str, file: &Path, more: &[&str]) -> Value {
    let mut command = tools::python();
    command.arg(tools::script("screens.py")).arg(kind).arg(file).args(more);
    serde_json::from_str(&run(&mut command)).expect("JSON")
}

/// A session on a terminal, and what its replays show.
struct Looked {
    raw: PathBuf,
    command: String,
    id: String,
    only: String,
}

impl Looked {
    /// Casts of both versions hold the bytes in their time and end in the screen that was seen.
    fn check_casts(&self, gate: &Gate) {
        let raw = std::fs::read(&self.raw).expect("what it showed");
        let live = screen("live", &self.raw.with_extension("raw.live"), &[&self.command]);
        let mut times = Vec::new();
        for version in ["2", "3"] {
            let cast = self.raw.with_extension(version);
            let path = cast.display().to_string();
            let mut replay = gate.weir.command(&["replay", &self.id, "--only", &self.only]);
            run(replay.args(["--cast", &path, "--cast-version", version]));
            let events = events(&cast);
            // Weir's own line says what runs.
            let expect = format!("{}\r\n{}", self.command, String::from_utf8_lossy(&raw));
            assert_eq!(played(&events), expect, "{}", self.command);
            assert_eq!(screen("cast", &cast, &[]), live, "{} {version}", self.command);
            times.push(events.iter().map(|event| (event.0 * 1e6).round()).collect::<Vec<_>>());
        }
        assert_eq!(times[0], times[1], "{}: both versions have the same times", self.command);
    }

    /// The player of Debian reads version 2. It wants a terminal for its keys.
    fn check_player(&self) {
        let mut cat = Command::new("script");
        let cast = self.raw.with_extension("2").display().to_string();
        cat.args(["-qec", &format!("asciinema cat {cast}"), "/dev/null"]);
        let played = output(cat.stdin(Stdio::null()));
        // The terminal of `script` returns at each end of a line by itself.
        let told = String::from_utf8_lossy(&played.stdout).replace('\r', "");
        assert!(played.status.success(), "{}: {told}", self.command);
        let raw = std::fs::read(&self.raw).expect("what it showed");
        let raw = String::from_utf8_lossy(&raw).replace('\r', "");
        assert!(told.contains(&raw), "{}: {told:?}", self.command);
    }

    /// What is printed on a terminal that nobody set up ends in the same text.
    fn check_text(&self, gate: &Gate) {
        let live = screen("live", &self.raw.with_extension("raw.live"), &[&self.command]);
        let mut replay = gate.weir.command(&["replay", &self.id, "--only", &self.only]);
        let text = self.raw.with_extension("text");
        std::fs::write(&text, run(&mut replay)).expect("a file");
        let shown = screen("text", &text, &[]);
        assert_eq!(shown["lines"], live["lines"], "{}", self.command);
    }
}

#[test]
fn programs_on_a_terminal_are_replayed_as_they_looked() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let server = Postgres::shared().database().endpoint();
    let psql = format!(
        "env PGPASSWORD={} {} -h 127.0.0.1 -p {} -U {} {}",
        server.password,
        tools::client("psql").get_program().display(),
        server.port,
        server.user,
        server.dbname
    );
    let file = sshd.scratch.join("edited").display().to_string();
    let vim = format!("env LC_ALL=C.UTF-8 vim -u NONE -N {file}");
    let hex = |piece: &&str| match piece.strip_prefix("size ") {
        Some(size) => size.to_owned(),
        None => piece.bytes().map(|byte| format!("{byte:02x}")).collect(),
    };
    let keys = |pieces: &[&str]| pieces.iter().map(hex).collect::<Vec<String>>().join(",");
    let edit = ["ihello \u{e9}\u{4e16} world", "\x1b", "size 100x30", "yy10p", ":3d\r", ":wq\r"];
    let table = "select n as one, repeat('caf\u{e9} ', n) from generate_series(1, 30) n;\r";
    let programs = [
        ("vim", vim, keys(&edit)),
        ("htop", "env LC_ALL=C.UTF-8 htop -d 3".to_owned(), keys(&["\x1b[B", "\x1b[15~", "q"])),
        ("psql", psql, keys(&["\\pset pager off\r", table, "select 1/0;\r", "\\q\r"])),
    ];
    for (name, command, keys) in &programs {
        let path = sshd.scratch.join(&format!("{name}.raw")).display().to_string();
        assert!(run(&mut terminal(&gate, &["program", &path, keys, command])).contains("ok"));
    }
    let written = std::fs::read_to_string(&file).expect("what vim wrote");
    assert!(written.starts_with("hello ") && written.lines().count() == 10, "{written}");
    let commands = gate.weir.lake().rows("commands");
    for (name, command, _) in programs {
        let row = commands.iter().find(|row| text(row, "query_text") == command);
        let row = row.expect("its row");
        let (id, only) = (text(row, "session_id"), number(row, "seq").to_string());
        let raw = sshd.scratch.join(&format!("{name}.raw"));
        let looked = Looked { raw, command, id, only };
        looked.check_casts(&gate);
        looked.check_player();
        // A text says no sizes.
        if name != "vim" {
            looked.check_text(&gate);
        }
    }
}

/// `kill -9` in the middle of shells: what their terminals showed is in the record.
fn shown_is_recorded(durability: &str) {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    gate.weir.reload(|toml| {
        let target = "protocol = \"ssh\"\n";
        kept_whole(&toml.replace(target, &format!("{target}durability = \"{durability}\"\n")))
    });
    let mut shown_to = Vec::new();
    for round in 0..short_or_long(2, 20) {
        let files: Vec<_> =
            (0..3).map(|n| sshd.scratch.join(&format!("count-{round}-{n}"))).collect();
        let clients = files.iter().map(|file| {
            let mut client = terminal(&gate, &["count", &file.display().to_string()]);
            client.stdout(Stdio::null()).spawn().expect("a client starts")
        });
        let mut clients: Vec<_> = clients.collect();
        let has = |file: &Path| std::fs::metadata(file).map_or(0, |it| it.len()) > 20_000;
        wait_until("shells that count", Duration::from_secs(60), || files.iter().all(|it| has(it)));
        gate.weir.kill();
        for client in &mut clients {
            client.wait().expect("a child of ours");
        }
        gate.weir.start();
        shown_to.extend(files.iter().map(|file| std::fs::read(file).expect("what was shown")));
    }
    let lake = gate.weir.lake();
    let shells = lake.rows("commands").into_iter().filter(|row| text(row, "kind") == "shell");
    let recorded: Vec<Vec<u8>> = shells.map(|row| shown(&lake, &row)).collect();
    assert_eq!(recorded.len(), shown_to.len());
    for shown in &shown_to {
        assert!(
            recorded.iter().any(|kept| kept.starts_with(shown)),
            "{durability}: {}",
            shown.len()
        );
    }
}

#[test]
fn what_a_shell_showed_outlives_a_kill() {
    shown_is_recorded("write");
}

#[test]
fn what_a_shell_showed_outlives_a_kill_when_the_disk_is_waited_for() {
    shown_is_recorded("sync");
}

fn descriptors(gate: &Gate) -> usize {
    let folder = format!("/proc/{}/fd", gate.weir.pid());
    std::fs::read_dir(folder).expect("the descriptors of a running weir").count()
}

/// 100 idle shells of 20 connections, with `--long` 1,000 of 100.
#[test]
fn idle_shells_cost_little_and_give_it_back() {
    let sshd = Sshd::start_with(|_| "ForceCommand echo here; exec sleep 3000".to_owned());
    let gate = sshd.gate(EVERYTHING);
    let connections = u64::from(short_or_long(20, 100));
    let each = u64::from(short_or_long(5, 10));
    let hold = |connections: u64| {
        let mut client = terminal(&gate, &["idle", &connections.to_string(), &each.to_string()]);
        let mut child =
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let mut printed = BufReader::new(child.stdout.take().expect("a pipe"));
        printed.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let cost = (gate.weir.anonymous_kib(), descriptors(&gate));
        drop(child.stdin.take());
        assert!(child.wait().expect("a child of ours").success());
        cost
    };
    // What the first ones make it take once, the others do not.
    hold(2);
    let files_before = descriptors(&gate);
    let before = gate.weir.anonymous_kib();
    let (kib, files) = hold(connections);
    let shells = connections * each;
    let bound = connections * 40 + shells * 64;
    assert!(kib <= before + bound, "{before} to {kib} KiB, at most {bound} more");
    // A socket of each end; perhaps a segment of the journal.
    assert!(files as u64 <= files_before as u64 + 2 * connections + 4, "{files_before} to {files}");
    wait_until("descriptors back", Duration::from_secs(20), || {
        descriptors(&gate) <= files_before + 4
    });
}

/// Keys are renewed every 4 MiB, by either side, while 64 MiB, with `--long` 2 GiB, go up, come
/// down, and do both at once; memory stays where it was.
#[test]
fn keys_are_renewed_while_much_passes_in_flat_memory() {
    let mib = u64::from(short_or_long(64, 2048));
    let limit = "RekeyLimit 4M\nKexAlgorithms curve25519-sha256\n";
    for (server, client) in [(limit, &[][..]), ("", &["-o", "RekeyLimit=4M"])] {
        let sshd = Sshd::start_with(|_| server.to_owned());
        let gate = sshd.gate(EVERYTHING);
        let mut options = vec!["-o", "KexAlgorithms=curve25519-sha256"];
        options.extend(client);
        let count = format!("head -c {}", mib << 20);
        let up = format!("{count} /dev/zero | SSH wc -c");
        let down = format!("SSH '{count} /dev/zero' | wc -c");
        let both = format!("{count} /dev/zero | SSH cat | wc -c");
        let before = gate.weir.anonymous_kib();
        for script in [up, down, both] {
            let ssh = gate.ssh(&options);
            let words: Vec<String> = std::iter::once(ssh.get_program())
                .chain(ssh.get_args())
                .map(|word| format!("'{}'", word.to_str().expect("plain words")))
                .collect();
            let mut shell = Command::new("bash");
            shell.args(["-o", "pipefail", "-c", &script.replace("SSH", &words.join(" "))]);
            let mut child = shell.stdout(Stdio::piped()).spawn().expect("bash starts");
            let mut most = 0;
            while child.try_wait().expect("a child of ours").is_none() {
                most = most.max(gate.weir.anonymous_kib());
                std::thread::sleep(Duration::from_millis(50));
            }
            let done = child.wait_with_output().expect("a child of ours");
            assert!(done.status.success(), "{script}");
            assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), (mib << 20).to_string());
            assert!(most <= before + (16 << 10), "{before} to {most} KiB: {script}");
        }
    }
}

const IBAN: &str = "DE89370400440532013000";

/// Values that masks cover in bulk, on a terminal and off one, to readers of any speed; with
/// `--long` 20 times 300 MB.
#[test]
fn values_in_bulk_are_masked_for_slow_and_fast_readers() {
    let sshd = Sshd::start();
    let masks = "[[mask]]\ndetect = [\"credit-card\", \"iban\"]\noperator = \"redact\"\n";
    let gate = sshd.gate(&format!("{EVERYTHING}{masks}"));
    let readers = [
        "cat",
        // In pieces, with pauses longer than masks wait.
        "python3 -c 'import os, time
n = 0
while data := os.read(0, 1 << 16):
    os.write(1, data)
    n += 1
    if n % 40 == 0: time.sleep(0.15)'",
        // Seldom, a little.
        "python3 -c 'import os, time
time.sleep(1)
n = 0
while data := os.read(0, 4096):
    os.write(1, data)
    n += 1
    if n in (3, 50, 700): time.sleep(0.3)'",
    ];
    // Not for longer than weir would wait for a target that says nothing.
    let sleeper = "python3 -c 'import os, time
n = 0
while data := os.read(0, 1 << 16):
    os.write(1, data)
    n += 1
    if n == 3: time.sleep(8)'";
    let (pipe, terminal) = (short_or_long(6, 300), short_or_long(2, 100));
    let mut cases: Vec<_> = readers.iter().map(|reader| ("-T", pipe, *reader)).collect();
    cases.extend(readers.iter().map(|reader| ("-tt", terminal, *reader)));
    cases.push(("-tt", 6, sleeper));
    for round in 0..short_or_long(1, 7) {
        for (kind, megabytes, reader) in &cases {
            let lines = megabytes * 20_000;
            let bulk = format!("yes \"a 4111 1111 1111 1111 {IBAN} b\" | head -n {lines}");
            let ssh = gate.ssh(&[kind]);
            let words: Vec<String> = std::iter::once(ssh.get_program())
                .chain(ssh.get_args())
                .map(|word| format!("'{}'", word.to_str().expect("plain words")))
                .collect();
            let leaks = "grep -c -a -e '4111 1111' -e '1111 1111' -e DE893 -e 2013000";
            let script = format!("{} '{bulk}' </dev/null | {reader} | {leaks}", words.join(" "));
            let found = output(Command::new("bash").args(["-c", &script]));
            let found = String::from_utf8_lossy(&found.stdout).trim().to_owned();
            assert_eq!(found, "0", "round {round}: {script}");
        }
    }
    let (stdout, ..) = crate::ssh::ended(&fed(gate.ssh(&[]).arg("echo 4111 1111 1111 1111"), b""));
    assert!(!stdout.contains("1111"), "{stdout}");
}
