//! What rows of SSH say of what is no plain command: ways back, what the target refuses, input of
//! shells that have no terminal, sessions that are followed while they last.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::meters;
use crate::ssh::{EVERYTHING, Gate, Sshd, ended, fed, one};
use crate::support::lake::{Row, number, text};
use crate::support::scratch::{free_port, output, run};
use crate::support::wait_until;

/// The answer to a command.
fn answer<'r>(responses: &'r [Row], command: &Row) -> &'r Row {
    let is_its = |row: &&Row| {
        text(row, "session_id") == text(command, "session_id")
            && number(row, "command_seq") == number(command, "seq")
    };
    responses.iter().find(is_its).expect("an answer")
}

/// The session of a command whose text has this part, while it lasts.
fn live_session(gate: &Gate, part: &str) -> String {
    let mut id = String::new();
    wait_until("the session", Duration::from_secs(20), || {
        let told = run(&mut gate.weir.command(&["search", "--json", "--grep", part]));
        let first = told.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
        let found = first.as_ref().and_then(|row| row["session_id"].as_str());
        id = found.unwrap_or_default().to_owned();
        !id.is_empty()
    });
    id
}

#[test]
fn a_way_back_is_part_of_the_request_for_its_own_port() {
    let sshd = Sshd::start();
    let rules = "[[rule]]\nname = \"back\"\nwhen = { commands = [\"forward-remote\"] }\n\
                 then = \"allow\"\n";
    let mut gate = sshd.gate(&format!("{rules}{EVERYTHING}"));
    let through = format!("127.0.0.1:{}", sshd.port);
    let ports = [free_port(), free_port()];
    let ways = [ports[0], ports[1], 0].map(|port| format!("{port}:{through}"));
    let options = ["-N", "-R", &ways[0], "-R", &ways[1], "-R", &ways[2]];
    let mut master = gate.ssh(&options).stdin(Stdio::null()).spawn().expect("ssh");
    // The last one first, then the one that is not the newest.
    for port in [ports[1], ports[0]] {
        let mut heard = String::new();
        wait_until("the way back", Duration::from_secs(20), || {
            let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
            BufReader::new(stream).read_line(&mut heard).is_ok() && !heard.is_empty()
        });
        assert!(heard.starts_with("SSH-2.0-"), "{heard}");
    }
    master.kill().expect("a child of ours");
    master.wait().expect("a child of ours");
    let lake = gate.weir.lake();
    let (commands, responses) = (lake.rows("commands"), lake.rows("responses"));
    for port in ports {
        let asked = format!("tcpip-forward tcp:localhost:{port}");
        let parent = number(one(&commands, "query_text", &asked), "seq");
        let came = |row: &&Row| {
            let said = text(row, "query_text");
            said.starts_with("forwarded tcp:") && number(row, "parent_seq") == parent
        };
        assert!(commands.iter().any(|row| came(&row)), "{port}: {commands:#?}");
    }
    let any = one(&commands, "query_text", "tcpip-forward tcp:localhost:0");
    let tag = text(answer(&responses, any), "tag");
    let port = tag.strip_prefix("port ").and_then(|port| port.parse::<u16>().ok());
    assert!(port.is_some_and(|port| port > 0), "{tag:?}");
}

#[test]
fn a_subsystem_that_the_target_does_not_have_is_an_error() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    assert_ne!(ended(&output(gate.ssh(&["-s"]).arg("nosuch"))).2, Some(0));
    let lake = gate.weir.lake();
    let commands = lake.rows("commands");
    let mut asked = commands.iter().filter(|row| text(row, "query_text").contains("nosuch"));
    let responses = lake.rows("responses");
    let row = answer(&responses, asked.next().expect("a row"));
    assert_eq!(text(row, "outcome"), "error", "{row:?}");
}

#[test]
fn a_shell_without_a_terminal_says_how_much_went_in() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let script = "echo one; secret=x\necho two\n";
    let (stdout, stderr, _) = ended(&fed(&mut gate.ssh(&["-T"]), script.as_bytes()));
    assert!(stdout.ends_with("one\ntwo\n"), "{stdout} {stderr}");
    let lake = gate.weir.lake();
    let commands = lake.rows("commands");
    let shell = one(&commands, "kind", "shell");
    let responses = lake.rows("responses");
    let attrs = text(answer(&responses, shell), "attrs");
    assert!(attrs.contains(&format!("\"input_bytes\":{}", script.len())), "{attrs}");
    let id = text(shell, "session_id");
    let told = run(&mut gate.weir.command(&["show", &id]));
    assert!(told.contains("no lines are derived: this shell has no terminal"), "{told}");
    assert!(told.contains(&format!("{} bytes of input", script.len())), "{told}");
}

#[test]
fn a_session_that_is_followed_is_followed_to_its_end() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    for round in 0..4 {
        let mut ssh = gate.ssh(&["-T"]);
        ssh.arg(format!("echo begun; read word; echo the-$word # round {round}"));
        let mut ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("ssh starts");
        let id = live_session(&gate, &format!("# round {round}"));
        let mut follow = gate.weir.command(&["replay", &id, "-f"]);
        let follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("weir");
        ssh.stdin.take().expect("a pipe").write_all(b"last\n").expect("it is read");
        assert!(ssh.wait().expect("a child of ours").success());
        let (told, _, status) = ended(&follow.wait_with_output().expect("a child of ours"));
        assert_eq!(status, Some(0), "{round}: {told}");
        assert!(told.contains("the-last\n"), "{round}: {told}");
        assert!(!told.contains("no end is recorded"), "{round}: {told}");
        let nothing = output(&mut gate.weir.command(&["replay", &id, "--only", "99"]));
        assert_eq!(nothing.status.code(), Some(5), "what was asked for is not there");
    }
}

/// It runs what the repository's configuration names (`tar.NAME.command`).
#[test]
fn an_archive_of_a_repository_takes_more_than_a_fetch() {
    let sshd = Sshd::start();
    let gate = sshd.gate(
        "[[rule]]\nname = \"git\"\nwhen = { commands = [\"git-fetch\"] }\nthen = \"allow\"\n",
    );
    let bare = sshd.scratch.join("bare.git");
    run(Command::new("git").args(["init", "-q", "--bare"]).arg(&bare));
    let remote = format!("root@web-1@127.0.0.1:{}", bare.display());
    let git = |words: &[&str]| {
        let ssh = format!("ssh {} -p {}", gate.options(&gate.alice).join(" "), gate.port);
        ended(&output(Command::new("git").args(words).env("GIT_SSH_COMMAND", ssh)))
    };
    let (_, stderr, status) = git(&["ls-remote", &remote]);
    assert_eq!(status, Some(0), "{stderr}");
    let (stdout, stderr, status) = git(&["archive", &format!("--remote={remote}"), "HEAD"]);
    assert_ne!(status, Some(0));
    assert!(stdout.is_empty() && stderr.contains("weir: denied"), "{stderr}");
}

#[test]
fn a_session_is_counted_watched_and_ended_by_an_administrator() {
    let sshd = Sshd::start();
    let rules = format!(
        "[[rule]]\nname = \"no\"\nwhen = {{ commands = [\"git-push\"] }}\nthen = \"deny\"\n\
         {EVERYTHING}"
    );
    let mut gate = sshd.gate(&rules);
    let mut ssh = gate.ssh(&[]);
    let ssh = ssh.arg("echo begun; cat").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut ssh = ssh.stderr(Stdio::piped()).spawn().expect("ssh starts");
    let mut stdout = BufReader::new(ssh.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "begun\n");
    assert_eq!(gate.exec("git-receive-pack /x").2, Some(126));
    let told = meters::metrics(&gate.weir);
    let of = |name: &str, labels: &str| {
        meters::value(&told, &format!("weir_{name}{{target=\"web-1\"{labels}}}"))
    };
    assert_eq!(of("commands_total", ",verdict=\"allow\""), 1.0);
    assert_eq!(of("commands_total", ",verdict=\"deny\""), 1.0);
    assert_eq!(of("target_connections", ""), 1.0);
    assert!(of("client_sent_bytes_total", "") > 0.0);
    let frame = run(&mut gate.weir.command(&["top", "--once", "--json", "--interval", "100ms"]));
    let frame: Value = serde_json::from_str(&frame).expect("JSON");
    let targets = frame["targets"].as_array().expect("targets");
    let target = targets.iter().find(|it| it["target"] == "web-1").expect("the target");
    assert_eq!(target["connections"], 1, "{frame}");
    let live = run(&mut gate.weir.command(&["sessions", "--live", "--json"]));
    let live: Value = serde_json::from_str(live.lines().next().expect("one")).expect("JSON");
    assert_eq!((&live["user"], &live["state"]), (&"alice".into(), &"active".into()), "{live}");
    let id = live["session_id"].as_str().expect("an id").to_owned();
    run(&mut gate.weir.command(&["kill", &id]));
    // Its client waits for nothing: the connection ends, in words.
    let (_, stderr, status) = ended(&ssh.wait_with_output().expect("a child of ours"));
    assert_eq!(status, Some(255), "{stderr}");
    assert!(stderr.contains("weir: ended by an administrator"), "{stderr}");
    let lake = gate.weir.lake();
    let sessions = lake.rows("sessions");
    let own = sessions.iter().filter(|row| text(row, "session_id") == id);
    let ends: Vec<String> = own.map(|row| text(row, "end_reason")).collect();
    assert!(ends.iter().any(|reason| reason == "killed"), "{ends:?}");
    let attrs = text(&lake.events("kill")[0], "attrs");
    assert!(attrs.contains(&id), "{attrs}");
    let command = one(&lake.rows("commands"), "session_id", &id).clone();
    let outcome = text(answer(&lake.rows("responses"), &command), "outcome");
    assert!(!outcome.is_empty() && outcome != "success", "it did not end by itself: {outcome}");
}
