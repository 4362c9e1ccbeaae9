//! SSH through weir: the built binary between OpenSSH's client and a real sshd.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::lake::{Row, number, text};
use crate::support::scratch::{free_port, output, run};
use crate::support::weir::USER_PASSWORD;
use crate::support::{Scratch, Spec, Weir, wait_until};

/// An sshd of its own, and keys.
#[derive(Debug)]
pub(crate) struct Sshd {
    pub port: u16,
    pub scratch: Scratch,
    child: Child,
}

impl Sshd {
    pub fn start() -> Sshd {
        Sshd::start_with(|_| String::new())
    }

    /// The same with more lines in its configuration; keys are there already.
    pub fn start_with(more: impl FnOnce(&Scratch) -> String) -> Sshd {
        Sshd::start_between("", more)
    }

    /// The same with lines that stand before the others: of each kind the first one counts.
    pub fn start_first(lines: &str) -> Sshd {
        Sshd::start_between(lines, |_| String::new())
    }

    fn start_between(first: &str, more: impl FnOnce(&Scratch) -> String) -> Sshd {
        let scratch = Scratch::new("sshd");
        for (name, kind) in [("host", "ed25519"), ("gate", "ed25519"), ("own", "ed25519")] {
            keygen(&scratch, name, kind);
        }
        keygen(&scratch, "alice", "ecdsa");
        keygen(&scratch, "ca", "ed25519");
        keygen(&scratch, "bob", "rsa");
        std::fs::create_dir_all("/run/sshd").expect("root runs the tests of a terminal");
        let port = free_port();
        let own = std::fs::read(scratch.join("own.pub")).expect("a key");
        std::fs::write(scratch.join("authorized"), own).expect("a file");
        let folder = scratch.path().display();
        let config = format!(
            "{first}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n\
             AuthorizedKeysFile {folder}/authorized\nTrustedUserCAKeys {folder}/ca.pub\n\
             StrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nMaxStartups 100:30:200\nMaxSessions 100\n\
             Subsystem sftp /usr/lib/openssh/sftp-server\n{}\n",
            more(&scratch)
        );
        let config = scratch.write("sshd_config", &config);
        let log = scratch.join("sshd.log");
        let mut command = Command::new("/usr/sbin/sshd");
        command.arg("-D").arg("-f").arg(config).arg("-E").arg(log);
        let child = command.stdin(Stdio::null()).spawn().expect("sshd starts");
        let sshd = Sshd { port, scratch, child };
        wait_until("sshd", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        sshd
    }

    pub fn public(&self, name: &str) -> String {
        let line = std::fs::read_to_string(self.scratch.join(&format!("{name}.pub")));
        let line = line.expect("a key");
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    pub fn private(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A weir in front of it, with these rules.
    pub fn gate(&self, rules: &str) -> Gate {
        let own = format!("key = {{ file = \"{}\" }}", self.private("own").display());
        self.gate_with(rules, &own, "")
    }

    /// The same with another proof for the target, and more tables.
    pub fn gate_with(&self, rules: &str, proof: &str, more: &str) -> Gate {
        let port = free_port();
        let file = |name: &str| self.private(name).display().to_string();
        let mut tail = String::new();
        let _ = write!(
            tail,
            "[listen.ssh]\naddress = \"127.0.0.1:{port}\"\nhost_keys = [\"{}\"]\n\
             [[target]]\nname = \"web-1\"\nprotocol = \"ssh\"\naddress = \"localhost:{}\"\n\
             host_key = [\"{}\"]\n[[target.credential]]\nrole = \"root\"\n\
             {proof}\n{more}\n",
            file("gate"),
            self.port,
            self.public("host"),
        );
        for (name, group) in [("alice", "sre"), ("bob", "dev")] {
            let _ = write!(
                tail,
                "[[identity.user]]\nname = \"{name}\"\nkeys = [\"{}\"]\ngroups = [\"{group}\"]\n",
                self.public(name)
            );
        }
        let weir = Spec::bare("ssh").user("dora", &["dba"]).rules(rules).tail(&tail).start();
        Gate { port, weir, alice: self.private("alice"), bob: self.private("bob") }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn keygen(scratch: &Scratch, name: &str, kind: &str) {
    let file = scratch.join(name);
    run(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(file));
}

pub(crate) struct Gate {
    pub port: u16,
    pub weir: Weir,
    pub alice: PathBuf,
    pub bob: PathBuf,
}

pub(crate) const EVERYTHING: &str = "[[rule]]\nname = \"all\"\nwhen = {}\nthen = \"allow\"\n";

impl Gate {
    pub fn options(&self, key: &Path) -> Vec<String> {
        let mut options: Vec<String> = Vec::new();
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "LogLevel=ERROR",
            "IdentitiesOnly=yes",
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options.extend(["-F", "none", "-i"].map(str::to_owned));
        options.push(key.display().to_string());
        options
    }

    /// `ssh` as alice, with more options before the host.
    pub fn ssh(&self, more: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.options(&self.alice)).args(["-p", &self.port.to_string()]).args(more);
        command.arg("root@web-1@127.0.0.1");
        command
    }

    /// What a command prints and how it ends.
    pub fn exec(&self, text: &str) -> (String, String, Option<i32>) {
        ended(&output(self.ssh(&[]).arg(text)))
    }

    pub fn waiting(&self) -> Vec<Value> {
        let printed = run(&mut self.weir.command(&["approvals", "list", "--json"]));
        printed.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// The id of the one command that waits, once it does.
    pub fn wait_for_hold(&self) -> String {
        let mut id = String::new();
        wait_until("a command to be held", Duration::from_secs(20), || {
            let found = self.waiting();
            id = found.first().and_then(|ask| ask["id"].as_str()).unwrap_or_default().to_owned();
            !id.is_empty()
        });
        id
    }

    pub fn vote(&self, act: &str, id: &str) {
        let mut command =
            self.weir.command(&["approvals", act, id, "--reason", "t", "--as", "dora"]);
        run(command.env("WEIR_PASSWORD", USER_PASSWORD));
    }
}

pub(crate) fn ended(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// Runs a command with this input.
pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that does not read ends the pipe.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    output
}

pub(crate) fn one<'r>(rows: &'r [Row], column: &str, value: &str) -> &'r Row {
    let found: Vec<&Row> = rows.iter().filter(|row| text(row, column) == value).collect();
    assert_eq!(found.len(), 1, "rows with {column} = {value:?}: {rows:#?}");
    found[0]
}

#[test]
fn a_command_runs_and_is_recorded_with_its_answer() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let (stdout, stderr, status) = gate.exec("echo out; echo err >&2; exit 7");
    assert_eq!((stdout.as_str(), stderr.as_str(), status), ("out\n", "err\n", Some(7)));
    let lake = gate.weir.lake();
    let (command, response) = lake.exchange("echo out");
    assert_eq!(text(&command, "query_text"), "echo out; echo err >&2; exit 7", "verbatim");
    assert_eq!(text(&command, "kind"), "exec");
    assert_eq!(text(&command, "user_name"), "alice");
    assert_eq!(text(&command, "target"), "web-1");
    assert_eq!(text(&command, "role"), "root");
    assert_eq!(text(&command, "decision"), "allow");
    assert_eq!(text(&command, "rule"), "all");
    assert_eq!(text(&response, "tag"), "exit 7");
    assert_eq!(number(&response, "total_bytes"), 8);
    let chunks = lake.rows("stream_chunks");
    assert!(chunks.iter().all(|chunk| text(chunk, "encoding") == "pty-events"));
    assert!(!chunks.is_empty());
    let sessions = lake.rows("sessions");
    assert_eq!(sessions.len(), 2, "a start and an end");
    assert_eq!(text(&sessions[0], "auth_method"), "ssh-key");
    assert_eq!(text(&sessions[0], "listener"), format!("127.0.0.1:{}", gate.port));
    assert_eq!(number(&command, "stream_id"), 0, "the first channel");
}

#[test]
fn a_denied_command_says_why_and_runs_nowhere() {
    let sshd = Sshd::start();
    let rules = "[[rule]]\nname = \"look\"\n\
                 when = { commands = [\"ssh:exec\"], text = [\"echo *\"] }\nthen = \"allow\"\n";
    let mut gate = sshd.gate(rules);
    assert_eq!(gate.exec("echo hello").0, "hello\n");
    let marker = sshd.scratch.join("marker");
    let touch = format!("touch {}", marker.display());
    let (stdout, stderr, status) = gate.exec(&touch);
    assert_eq!((stdout.as_str(), status), ("", Some(126)));
    assert!(stderr.starts_with("weir: denied"), "{stderr}");
    // Compound texts are no plain words, whatever they begin with.
    let (_, stderr, status) = gate.exec(&format!("echo x; {touch}"));
    assert_eq!(status, Some(126), "{stderr}");
    assert!(!marker.exists(), "a denied command ran");
    let denied = gate.weir.lake().rows("commands");
    let denied: Vec<&Row> = denied.iter().filter(|row| text(row, "decision") == "deny").collect();
    assert_eq!(denied.len(), 2);
    assert_eq!(text(denied[0], "query_text"), touch);
}

#[test]
fn a_held_command_waits_and_runs_when_approved() {
    let sshd = Sshd::start();
    let rules = "[[rule]]\nname = \"ask\"\nwhen = { commands = [\"exec\"] }\n\
                 then = { hold = { approvers = [\"dba\"], timeout = \"1m\" } }\n";
    let mut gate = sshd.gate(rules);
    let mut held = gate.ssh(&[]);
    held.arg("cat");
    let waiter = std::thread::spawn(move || ended(&fed(&mut held, b"input that waits")));
    let id = gate.wait_for_hold();
    gate.vote("approve", &id);
    let (stdout, stderr, status) = waiter.join().expect("it ends");
    assert_eq!((stdout.as_str(), status), ("input that waits", Some(0)), "{stderr}");
    assert!(stderr.contains("weir: held for approval"), "{stderr}");
    let mut denied = gate.ssh(&[]);
    denied.arg("true");
    let waiter = std::thread::spawn(move || ended(&output(&mut denied)));
    let id = gate.wait_for_hold();
    gate.vote("deny", &id);
    let (_, stderr, status) = waiter.join().expect("it ends");
    assert_eq!(status, Some(126));
    assert!(stderr.contains("denied by dora"), "{stderr}");
    let lake = gate.weir.lake();
    let commands = lake.rows("commands");
    assert_eq!(text(one(&commands, "query_text", "cat"), "decision"), "allow");
    assert_eq!(text(one(&commands, "query_text", "true"), "decision"), "deny");
    assert_eq!(lake.rows("approvals").len(), 6);
}

/// One of two approvers is removed before the other one votes.
#[test]
fn the_vote_of_somebody_who_is_removed_lapses_for_a_command() {
    let sshd = Sshd::start();
    let rules = "[[rule]]\nname = \"ask\"\nwhen = { commands = [\"exec\"] }\n\
                 then = { hold = { approvers = [\"dba\"], quorum = 2, timeout = \"1m\" } }\n";
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let password = sshd.scratch.write("dave", USER_PASSWORD);
    let dave = format!(
        "[[identity.user]]\nname = \"dave\"\ngroups = [\"dba\"]\npassword = {{ file = \"{}\" }}\n",
        password.display()
    );
    let mut gate = sshd.gate_with(rules, &own, &dave);
    let mut held = gate.ssh(&[]);
    held.arg("true");
    let waiter = std::thread::spawn(move || ended(&output(&mut held)));
    let id = gate.wait_for_hold();
    gate.vote("approve", &id);
    gate.weir.reload(|text| text.replace("name = \"dora\"", "name = \"gone\""));
    let mut last =
        gate.weir.command(&["approvals", "approve", &id, "--reason", "t", "--as", "dave"]);
    let said = ended(&output(last.env("WEIR_PASSWORD", USER_PASSWORD)));
    assert!(said.1.contains("it does not run"), "{said:?}");
    let (_, stderr, status) = waiter.join().expect("it ends");
    assert_eq!(status, Some(126), "{stderr}");
    assert!(stderr.contains("ask again"), "{stderr}");
    let steps: Vec<String> =
        gate.weir.lake().rows("approvals").iter().map(|row| text(row, "event")).collect();
    let lapsed = steps.iter().filter(|step| *step == "vote-lapsed").count();
    assert_eq!((lapsed, steps.last().map(String::as_str)), (1, Some("superseded")), "{steps:?}");
}

#[test]
fn keys_of_nobody_and_targets_of_nobody_are_turned_away() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let port = gate.port.to_string();
    let attempt = |key: &PathBuf, user: &str| {
        let mut command = Command::new("ssh");
        command.args(gate.options(key)).args(["-p", &port, &format!("{user}@127.0.0.1"), "true"]);
        ended(&output(&mut command))
    };
    let (_, stderr, status) = attempt(&sshd.private("own"), "root@web-1");
    assert_eq!(status, Some(255));
    assert!(stderr.contains("Permission denied (publickey)"), "{stderr}");
    let (_, stderr, _) = attempt(&gate.alice, "root@nowhere");
    assert!(stderr.contains("unknown target"), "{stderr}");
    let (_, stderr, _) = attempt(&gate.alice, "daemon@web-1");
    assert!(stderr.contains("not open to you"), "{stderr}");
    assert_eq!(attempt(&gate.bob, "web-1").2, Some(0), "the first role that is open");
}

#[test]
fn a_target_with_another_host_key_is_refused() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let (host, other) = (sshd.public("host"), sshd.public("gate"));
    gate.weir.reload(|toml| toml.replace(&host, &other));
    let (_, stderr, status) = gate.exec("true");
    assert_eq!(status, Some(255));
    assert!(stderr.contains("host key is not the configured one"), "{stderr}");
}

#[test]
fn shells_with_and_without_a_terminal() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let (stdout, _, status) = ended(&fed(&mut gate.ssh(&["-T"]), b"echo plain $((1+1))\nexit 3\n"));
    assert!(stdout.ends_with("plain 2\n"), "{stdout}");
    assert_eq!(status, Some(3));
    let typed = b"stty size; echo typed\nexit 4\n";
    let (stdout, _, status) = ended(&fed(&mut gate.ssh(&["-tt"]), typed));
    assert!(stdout.contains("typed\r\n"), "{stdout}");
    assert_eq!(status, Some(4));
    let commands = gate.weir.lake().rows("commands");
    assert_eq!(commands.iter().filter(|row| text(row, "kind") == "shell").count(), 2);
}

#[test]
fn files_pass_by_scp_and_sftp_both_ways_and_at_once() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let bytes: Vec<u8> =
        (0..3_000_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    let local = sshd.scratch.join("local");
    std::fs::write(&local, &bytes).expect("a file");
    let port = gate.port.to_string();
    for (index, flags) in [&["-O"][..], &[]].into_iter().enumerate() {
        let remote = sshd.scratch.join(&format!("remote-{index}"));
        let back = sshd.scratch.join(&format!("back-{index}"));
        let there = format!("root@web-1@127.0.0.1:{}", remote.display());
        let scp = |from: &str, to: &str| {
            let mut command = Command::new("scp");
            command.args(gate.options(&gate.alice)).args(flags).args(["-q", "-P", &port, from, to]);
            run(&mut command);
        };
        scp(&local.display().to_string(), &there);
        scp(&there, &back.display().to_string());
        assert!(std::fs::read(&back).expect("a file") == bytes, "{flags:?}");
    }
    let echoed = fed(gate.ssh(&[]).arg("cat"), &bytes);
    assert!(echoed.stdout == bytes, "both directions at once");
    let lake = gate.weir.lake();
    let kinds: Vec<Value> =
        lake.rows("commands").iter().map(|row| row["classes"].clone()).collect();
    for class in ["scp-upload", "scp-download", "subsystem", "exec"] {
        assert!(format!("{kinds:?}").contains(class), "{class} in {kinds:?}");
    }
}

#[test]
fn keys_are_renewed_while_bytes_pass() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let bytes = vec![b'x'; 4 << 20];
    let rekeying = ["-o", "RekeyLimit=64K", "-o", "KexAlgorithms=curve25519-sha256"];
    let echoed = fed(gate.ssh(&rekeying).arg("cat"), &bytes);
    assert!(echoed.stdout == bytes, "{}", String::from_utf8_lossy(&echoed.stderr));
}

#[test]
fn many_sessions_share_a_connection_and_one_that_is_held_stops_none() {
    let sshd = Sshd::start();
    let rules = format!(
        "[[rule]]\nname = \"ask\"\nwhen = {{ commands = [\"exec\"], text = [\"echo held\"] }}\n\
         then = {{ hold = {{ approvers = [\"dba\"], timeout = \"1m\" }} }}\n{EVERYTHING}"
    );
    let gate = sshd.gate(&rules);
    let socket = sshd.scratch.join("mux");
    let control = format!("ControlPath={}", socket.display());
    let master = ["-o", "ControlMaster=yes", "-o", &control, "-N"];
    let mut master = gate.ssh(&master).stdin(Stdio::null()).spawn().expect("ssh starts");
    wait_until("the control socket", Duration::from_secs(20), || socket.exists());
    let mut held = gate.ssh(&["-o", &control]);
    held.arg("echo held");
    let waiter = std::thread::spawn(move || ended(&output(&mut held)));
    let id = gate.wait_for_hold();
    for round in 0..20 {
        let (stdout, stderr, status) =
            ended(&output(gate.ssh(&["-o", &control]).arg(format!("echo {round}"))));
        assert_eq!((stdout, status), (format!("{round}\n"), Some(0)), "{stderr}");
    }
    gate.vote("approve", &id);
    assert_eq!(waiter.join().expect("it ends").0, "held\n");
    master.kill().expect("a child of ours");
    master.wait().expect("a child of ours");
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let mut ssh = gate.ssh(&[]);
    ssh.arg("yes").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = ssh.spawn().expect("ssh starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut first = [0; 2];
    std::io::Read::read_exact(&mut stdout, &mut first).expect("a line");
    drop(stdout);
    wait_until("yes to end", Duration::from_secs(20), || {
        child.try_wait().expect("a child of ours").is_some()
    });
}

#[test]
fn tunnels_need_a_rule_that_names_them() {
    let sshd = Sshd::start();
    let named = format!(
        "[[rule]]\nname = \"tunnels\"\nwhen = {{ groups = [\"dev\"], \
         commands = [\"forward-local\"] }}\nthen = \"allow\"\n{EVERYTHING}"
    );
    let gate = sshd.gate(&named);
    let port = gate.port.to_string();
    let there = format!("127.0.0.1:{}", sshd.port);
    let through = |key: &PathBuf| {
        let mut command = Command::new("ssh");
        command.args(gate.options(key)).args(["-p", &port, "-W", &there, "root@web-1@127.0.0.1"]);
        ended(&fed(&mut command, b"not ssh\r\n"))
    };
    let (stdout, stderr, _) = through(&gate.alice);
    assert!(stdout.is_empty() && stderr.contains("stdio forwarding failed"), "{stderr}");
    let (stdout, stderr, _) = through(&gate.bob);
    assert!(stdout.starts_with("SSH-2.0-OpenSSH"), "{stdout}{stderr}");
}

#[test]
fn git_and_rsync_are_known_by_name() {
    let sshd = Sshd::start();
    let rules = "[[rule]]\nname = \"git\"\nwhen = { commands = [\"git-push\", \"git-fetch\", \
                 \"rsync-upload\"] }\nthen = \"allow\"\n";
    let gate = sshd.gate(rules);
    let bare = sshd.scratch.join("bare.git");
    let work = sshd.scratch.join("work");
    let git = |folder: &PathBuf, words: &[&str]| {
        let ssh = format!("ssh {} -p {}", gate.options(&gate.alice).join(" "), gate.port);
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args(words).env("GIT_SSH_COMMAND", ssh);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
        }
        run(&mut command)
    };
    std::fs::create_dir(&work).expect("a folder");
    run(Command::new("git").args(["init", "-q", "--bare"]).arg(&bare));
    git(&work, &["init", "-q"]);
    std::fs::write(work.join("file"), "content").expect("a file");
    git(&work, &["add", "file"]);
    git(&work, &["commit", "-q", "-m", "first"]);
    let remote = format!("root@web-1@127.0.0.1:{}", bare.display());
    git(&work, &["push", "-q", &remote, "HEAD:refs/heads/main"]);
    git(&work, &["fetch", "-q", &remote, "main"]);
    assert_eq!(gate.exec("ls").2, Some(126));
}

#[test]
fn certificates_prove_clients_to_weir_and_weir_to_the_target() {
    let sshd = Sshd::start();
    let ca = sshd.private("ca");
    let proof = format!("certificate = {{ ca = {{ file = \"{}\" }}, ttl = \"1m\" }}", ca.display());
    let people =
        format!("[[identity.ssh_ca]]\nkeys = [\"{}\"]\ngroups = [\"people\"]\n", sshd.public("ca"));
    let rules = "[[rule]]\nname = \"all\"\nwhen = { commands = [\"shell\", \"exec\", \"exec-compound\", \
                 \"x11\"] }\nthen = \"allow\"\n";
    let gate = sshd.gate_with(rules, &proof, &people);
    let attempt = |options: &[&str]| {
        let (key, port) = (sshd.private("carol"), gate.port.to_string());
        let _ = std::fs::remove_file(&key);
        keygen(&sshd.scratch, "carol", "ed25519");
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-I", "carol"]).args(options).arg("-s").arg(&ca);
        run(sign.arg(sshd.private("carol.pub")));
        let mut command = Command::new("ssh");
        command.args(gate.options(&key)).args(["-p", &port, "root@web-1@127.0.0.1", "echo in"]);
        ended(&output(&mut command)).0
    };
    assert_eq!(attempt(&["-n", "root", "-V", "-1m:+5m"]), "in\n");
    assert_eq!(attempt(&["-n", "root", "-V", "-5m:-1m"]), "", "its time is over");
    assert_eq!(attempt(&["-V", "-1m:+5m"]), "", "for everybody");
    assert_eq!(attempt(&["-h", "-n", "root", "-V", "-1m:+5m"]), "", "a host's");
    let elsewhere = ["-n", "root", "-V", "-1m:+5m", "-O", "source-address=192.0.2.0/24"];
    assert_eq!(attempt(&elsewhere), "", "another address");
    let logged = std::fs::read_to_string(sshd.scratch.join("sshd.log")).expect("the log of sshd");
    assert!(logged.contains("ID weir:") && logged.contains(":carol"), "{logged}");
}

/// What `ssh-keygen -L` says of the certificate that sshd was shown.
fn shown_certificate(sshd: &Sshd) -> String {
    let file = sshd.scratch.join("shown");
    let found = || std::fs::read_to_string(&file).unwrap_or_default().contains("cert-v01");
    wait_until("a certificate", Duration::from_secs(20), found);
    let shown = run(Command::new("ssh-keygen").arg("-Lf").arg(&file));
    std::fs::remove_file(&file).expect("a file");
    shown
}

#[test]
fn the_certificate_for_a_target_permits_what_rules_do_and_says_where_it_comes_from() {
    // sshd runs this as root, with the type and blob of the certificate that it is shown.
    let sshd = Sshd::start_with(|scratch| {
        let script = scratch
            .write("keep", "#!/bin/sh\nprintf '%s %s\\n' \"$2\" \"$3\" > \"$1\"\necho root\n");
        run(Command::new("chmod").arg("755").arg(&script));
        // sshd asks for a path that nobody else can write.
        let safe = format!("/run/weir-test-{}", std::process::id());
        run(Command::new("cp").arg(&script).arg(&safe));
        format!(
            "AuthorizedPrincipalsCommand {safe} {}/shown %t %k\n\
             AuthorizedPrincipalsCommandUser root",
            scratch.path().display()
        )
    });
    let ca = sshd.private("ca");
    let proof =
        |more: &str| format!("certificate = {{ ca = {{ file = \"{}\" }}{more} }}", ca.display());
    let permits = |shown: &str| {
        let lines = shown.lines().map(str::trim).skip_while(|line| *line != "Critical Options:");
        lines.collect::<Vec<_>>().join(" ")
    };
    let gate = sshd.gate_with(EVERYTHING, &proof(""), "");
    assert_eq!(gate.exec("echo in").0, "in\n");
    let shown = shown_certificate(&sshd);
    assert!(shown.contains("Principals: \n                root\n"), "{shown}");
    let expect = "Critical Options: source-address 127.0.0.1 Extensions: permit-pty";
    assert_eq!(permits(&shown), expect, "rules name no forward, agent or display");
    drop(gate);
    let rules = "[[rule]]\nname = \"all\"\nwhen = { commands = [\"exec\", \"agent\", \
                 \"forward-local\"] }\nthen = \"allow\"\n";
    let wide = proof(", source_address = [\"127.0.0.0/8\", \"::1\"]");
    let gate = sshd.gate_with(rules, &wide, "");
    assert_eq!(gate.exec("echo in").0, "in\n");
    let expect = "Critical Options: source-address 127.0.0.0/8,::1/128 Extensions: \
                  permit-agent-forwarding permit-port-forwarding permit-pty";
    assert_eq!(permits(&shown_certificate(&sshd)), expect);
    drop(gate);
    let mut gate = sshd.gate_with(rules, &proof(", source_address = [\"192.0.2.0/24\"]"), "");
    let (_, stderr, status) = gate.exec("echo in");
    assert_eq!(status, Some(255));
    assert!(stderr.contains("the target refuses weir's credential"), "{stderr}");
    let failed = gate.weir.lake().events("login-failed");
    let (message, attrs) = (text(&failed[0], "message"), text(&failed[0], "attrs"));
    assert!(message.contains("`source_address`") && attrs.contains("192.0.2.0/24"), "{failed:?}");
    let _ = std::fs::remove_file(format!("/run/weir-test-{}", std::process::id()));
}
