//! Requests of SSH that wait for people: shells, subsystems, forwards; what goes on meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ssh::{EVERYTHING, Gate, Sshd, ended, fed};
use crate::support::lake::{Row, text};
use crate::support::scratch::{free_port, output, run};
use crate::support::weir::USER_PASSWORD;
use crate::support::{short_or_long, wait_until};

/// Holds one class, and allows everything else.
fn holding(class: &str, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"ask\"\nwhen = {{ commands = [\"{class}\"]{more} }}\n\
         then = {{ hold = {{ approvers = [\"dba\"], timeout = \"1m\" }} }}\n{EVERYTHING}"
    )
}

fn waiter(mut command: Command, input: &'static [u8]) -> JoinHandle<Output> {
    std::thread::spawn(move || fed(&mut command, input))
}

/// What the one who approves is shown of the request that waits.
fn shown(gate: &Gate) -> String {
    gate.wait_for_hold();
    gate.waiting()[0]["text"].as_str().expect("a text").to_owned()
}

#[test]
fn a_shell_waits_at_its_opening_and_keeps_what_was_typed_meanwhile() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(&holding("shell", ""));
    // First: what was denied may not be asked again at once.
    let mut ssh = gate.ssh(&["-tt"]);
    let child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ssh starts");
    gate.wait_for_hold();
    // What a terminal does that is closed.
    run(Command::new("kill").args(["-HUP", &child.id().to_string()]));
    let ended_by = child.wait_with_output().expect("a child of ours");
    let told = String::from_utf8_lossy(&ended_by.stdout).into_owned();
    assert!(told.contains("Ctrl-C cancels"), "{told}");
    wait_until("the hold to end", Duration::from_secs(20), || gate.waiting().is_empty());
    // Ctrl-C at a terminal: sshd lets nobody say anything before a shell runs, and weir does.
    let mut ssh = gate.ssh(&["-tt"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ssh starts");
    let id = gate.wait_for_hold();
    let mut keys = child.stdin.take().expect("a pipe");
    keys.write_all(b"ls\x03").expect("keys");
    let ended_by = child.wait_with_output().expect("a child of ours");
    let told = String::from_utf8_lossy(&ended_by.stdout).into_owned();
    assert!(told.contains("weir: canceled"), "{told}");
    assert_eq!(ended_by.status.code(), Some(126));
    assert!(gate.waiting().is_empty(), "{id} waits no more");
    for terminal in ["-tt", "-T"] {
        let shell = waiter(gate.ssh(&[terminal]), b"echo typed $((40+2))\nexit 3\n");
        assert_eq!(shown(&gate), "shell");
        gate.vote("approve", &gate.wait_for_hold());
        let (stdout, stderr, status) = ended(&shell.join().expect("it ends"));
        assert_eq!(status, Some(3), "{terminal}: {stdout}{stderr}");
        assert!(stdout.contains("typed 42"), "{terminal}: {stdout}{stderr}");
        let said = format!("{stdout}{stderr}");
        assert!(said.contains("weir: held for approval"), "{terminal}: {said}");
        let shell = waiter(gate.ssh(&[terminal]), b"echo typed $((40+2))\n");
        gate.vote("deny", &gate.wait_for_hold());
        let (stdout, stderr, status) = ended(&shell.join().expect("it ends"));
        assert_eq!(status, Some(126), "{terminal}: {stdout}{stderr}");
        let said = format!("{stdout}{stderr}");
        assert!(said.contains("denied by dora") && !said.contains("typed 42"), "{said}");
    }
    let lake = gate.weir.lake();
    let steps = lake.rows("approvals");
    let ends = |row: &&Row| text(row, "approval_id") == id && text(row, "event") == "canceled";
    assert_eq!(steps.iter().filter(ends).count(), 1, "{steps:#?}");
    let shells = lake.rows("commands");
    let shells = shells.iter().filter(|row| text(row, "kind") == "shell");
    let decisions: Vec<String> = shells.map(|row| text(row, "decision")).collect();
    assert_eq!(decisions, ["abandoned", "abandoned", "allow", "deny", "allow", "deny"]);
}

#[test]
fn a_subsystem_waits_and_is_answered_as_one() {
    let sshd = Sshd::start();
    let gate = sshd.gate(&holding("subsystem", ""));
    let folder = sshd.scratch.path().display().to_string();
    let sftp = |batch: String| {
        let mut command = Command::new("sftp");
        command.args(gate.options(&gate.alice)).args(["-P", &gate.port.to_string(), "-b", "-"]);
        command.arg("root@web-1@127.0.0.1");
        std::thread::spawn(move || fed(&mut command, batch.as_bytes()))
    };
    let session = sftp(format!("mkdir {folder}/made\n"));
    assert_eq!(shown(&gate), "subsystem sftp");
    assert!(!sshd.scratch.join("made").exists());
    gate.vote("approve", &gate.wait_for_hold());
    let (_, stderr, status) = ended(&session.join().expect("it ends"));
    assert_eq!(status, Some(0), "{stderr}");
    assert!(sshd.scratch.join("made").exists());
    let session = sftp(format!("mkdir {folder}/never\n"));
    gate.vote("deny", &gate.wait_for_hold());
    let (_, stderr, status) = ended(&session.join().expect("it ends"));
    assert_eq!(status, Some(255), "as of a server without SFTP: {stderr}");
    assert!(stderr.contains("denied by dora"), "{stderr}");
    assert!(!sshd.scratch.join("never").exists());
}

#[test]
fn the_opening_of_a_forward_waits() {
    let sshd = Sshd::start();
    let gate = sshd.gate(&holding("forward-local", ""));
    let there = format!("127.0.0.1:{}", sshd.port);
    let forward = waiter(gate.ssh(&["-W", &there]), b"not ssh\r\n");
    assert_eq!(shown(&gate), format!("open tcp:{there}"));
    gate.vote("approve", &gate.wait_for_hold());
    let (stdout, stderr, _) = ended(&forward.join().expect("it ends"));
    assert!(stdout.starts_with("SSH-2.0-OpenSSH"), "{stdout}{stderr}");
    let forward = waiter(gate.ssh(&["-v", "-W", &there]), b"not ssh\r\n");
    gate.vote("deny", &gate.wait_for_hold());
    let (stdout, stderr, status) = ended(&forward.join().expect("it ends"));
    assert_eq!((stdout.as_str(), status), ("", Some(255)));
    assert!(stderr.contains("denied by dora"), "{stderr}");
    // A listener of the client's: one connection waits, the others of the session go on.
    let port = free_port();
    // What was denied may not be asked again at once.
    let listen = format!("{port}:127.0.0.1:{}", gate.port);
    let mut ssh = gate.ssh(&["-L", &listen]);
    let mut ssh = ssh.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ssh");
    wait_until("ssh to listen", Duration::from_secs(20), || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let id = gate.wait_for_hold();
    let (mut stdin, mut stdout) =
        (ssh.stdin.take().expect("pipe"), ssh.stdout.take().expect("pipe"));
    stdin.write_all(b"beside it\n").expect("it is read");
    let mut echoed = [0; 10];
    stdout.read_exact(&mut echoed).expect("cat goes on");
    assert_eq!(&echoed, b"beside it\n");
    gate.vote("deny", &id);
    drop(stdin);
    assert!(ssh.wait().expect("a child of ours").success());
}

/// A connection that others share.
struct Master {
    child: Child,
    socket: PathBuf,
}

impl Master {
    fn open(gate: &Gate, socket: &Path, more: &[&str]) -> Master {
        let control = format!("ControlPath={}", socket.display());
        let mut ssh =
            gate.ssh(&[&["-N", "-o", "ControlMaster=yes", "-o", &control], more].concat());
        let child = ssh.stdin(Stdio::null()).spawn().expect("ssh starts");
        wait_until("the control socket", Duration::from_secs(20), || socket.exists());
        Master { child, socket: socket.to_owned() }
    }

    fn ssh(&self, gate: &Gate, text: &str) -> Command {
        let mut ssh = gate.ssh(&["-o", &format!("ControlPath={}", self.socket.display())]);
        ssh.arg(text);
        ssh
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_hold_outlasts_the_keys_of_its_connection() {
    let sshd = Sshd::start();
    let gate = sshd.gate(&holding("exec", ", text = [\"wc -c\"]"));
    let rekeying = ["-o", "RekeyLimit=64K", "-o", "KexAlgorithms=curve25519-sha256"];
    let master = Master::open(&gate, &sshd.scratch.join("mux"), &rekeying);
    let held = waiter(master.ssh(&gate, "wc -c"), b"counted when it may be");
    let id = gate.wait_for_hold();
    let bytes = vec![b'x'; 2 << 20];
    // Keys are new some sixty times: before the vote, and while it comes.
    assert!(fed(&mut master.ssh(&gate, "cat"), &bytes).stdout == bytes);
    let mut cat = master.ssh(&gate, "cat");
    let again = bytes.clone();
    let passing = std::thread::spawn(move || fed(&mut cat, &again));
    gate.vote("approve", &id);
    let (stdout, stderr, status) = ended(&held.join().expect("it ends"));
    assert_eq!((stdout.trim(), status), ("22", Some(0)), "{stderr}");
    assert!(passing.join().expect("it ends").stdout == bytes);
}

#[test]
fn twenty_channels_run_at_the_same_time_beside_one_that_is_held() {
    let sshd = Sshd::start();
    let gate = sshd.gate(&holding("exec", ", text = [\"echo held\"]"));
    let master = Master::open(&gate, &sshd.scratch.join("mux"), &[]);
    let held = waiter(master.ssh(&gate, "echo held"), b"");
    let id = gate.wait_for_hold();
    // Each waits until all of them are there. A text of plain words: others are held as well.
    let folder = sshd.scratch.join("there");
    std::fs::create_dir(&folder).expect("a folder");
    let all = folder.display();
    let script = format!(
        "touch {all}/$1; while [ $(ls {all} | wc -l) -lt 20 ]; do sleep 0.1; done; exec cat\n"
    );
    let script = sshd.scratch.write("together", &script);
    let channels: Vec<_> = (0..20)
        .map(|n| {
            let text = format!("sh {} {n}", script.display());
            waiter(master.ssh(&gate, &text), b"through it all")
        })
        .collect();
    for channel in channels {
        let (stdout, stderr, status) = ended(&channel.join().expect("it ends"));
        assert_eq!((stdout.as_str(), status), ("through it all", Some(0)), "{stderr}");
    }
    gate.vote("approve", &id);
    assert_eq!(ended(&held.join().expect("it ends")).0, "held\n");
}

/// The channel closes while the vote is on its way: either it ran and is allowed, or it did not and
/// was given up. Never anything between, and the connection goes on.
#[test]
fn a_vote_that_races_the_end_of_its_channel_has_one_outcome() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(&holding("exec", ", text = [\"touch *\"]"));
    let master = Master::open(&gate, &sshd.scratch.join("mux"), &[]);
    let rounds = short_or_long(12, 100);
    let file = |round: u32| sshd.scratch.join(&format!("touched-{round}"));
    for round in 0..rounds {
        let mut held = master.ssh(&gate, &format!("touch {}", file(round).display()));
        let mut held = held.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("ssh starts");
        let id = gate.wait_for_hold();
        let mut vote =
            gate.weir.command(&["approvals", "approve", &id, "--reason", "t", "--as", "dora"]);
        let vote = vote.env("WEIR_PASSWORD", USER_PASSWORD).stdout(Stdio::null());
        let mut vote = vote.stderr(Stdio::null()).spawn().expect("weir starts");
        // A vote takes some milliseconds: before, in the middle and after.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 5));
        held.kill().expect("a child of ours");
        held.wait().expect("a child of ours");
        vote.wait().expect("a child of ours");
        let echo = output(&mut master.ssh(&gate, "echo goes on"));
        assert_eq!(ended(&echo).0, "goes on\n", "round {round}");
        wait_until("the hold to end", Duration::from_secs(20), || gate.waiting().is_empty());
    }
    drop(master);
    let commands = gate.weir.lake().rows("commands");
    for round in 0..rounds {
        let of = |row: &&Row| text(row, "query_text").ends_with(&format!("touched-{round}"));
        let rows: Vec<&Row> = commands.iter().filter(of).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        let decision = text(rows[0], "decision");
        let ran = file(round).exists();
        assert!(ran || decision != "deny", "{decision}: it was approved or given up");
        assert!(!ran || decision == "allow", "round {round} ran and is {decision}");
    }
}
