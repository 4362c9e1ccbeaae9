//! OpenSSH's programs asked twice, directly and through weir with records on: what they print, how
//! they end and which files they leave is the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::ssh::{EVERYTHING, Gate, Sshd, ended};
use crate::support::lake::text;
use crate::support::scratch::{free_port, output, run};
use crate::support::wait_until;

/// Every class that a rule has to name.
const NAMED: &str = "[[rule]]\nname = \"named\"\nwhen = { commands = [\"forward-local\", \
    \"forward-socket\", \"forward-remote\", \"agent\", \"x11\"] }\nthen = \"allow\"\n";

/// Two ways to one host.
struct Ways {
    sshd: Sshd,
    gate: Gate,
}

/// One of them: options, port and the user's part of `user@host`.
struct Way {
    name: &'static str,
    options: Vec<String>,
    port: String,
    user: &'static str,
}

impl Way {
    fn program(&self, name: &str, port_flag: &str) -> Command {
        let mut command = Command::new(name);
        command.args(&self.options).args([port_flag, &self.port]);
        command
    }

    /// `ssh` with options, and what stands behind the host.
    fn ssh(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = self.program("ssh", "-p");
        command.args(options).arg(self.host()).args(words);
        command
    }

    fn host(&self) -> String {
        format!("{}@127.0.0.1", self.user)
    }

    /// For programs that start ssh themselves.
    fn words(&self) -> String {
        format!("ssh {} -p {}", self.options.join(" "), self.port)
    }
}

impl Ways {
    fn start() -> Ways {
        let sshd = Sshd::start_first("X11Forwarding yes");
        let gate = sshd.gate(&format!("{NAMED}{EVERYTHING}"));
        Ways { sshd, gate }
    }

    fn both(&self) -> [Way; 2] {
        let (sshd, gate) = (&self.sshd, &self.gate);
        let (direct, through) = (gate.options(&sshd.private("own")), gate.options(&gate.alice));
        [("direct", direct, sshd.port, "root"), ("weir", through, gate.port, "root@web-1")]
            .map(|(name, options, port, user)| Way { name, options, port: port.to_string(), user })
    }

    /// The same of both ways; what it was.
    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, of: impl Fn(&Way) -> T) -> T {
        let [direct, through] = self.both();
        let expect = of(&direct);
        assert_eq!(of(&through), expect, "{what}");
        expect
    }

    /// A folder of one way's own.
    fn folder(&self, way: &Way, what: &str) -> PathBuf {
        let folder = self.sshd.scratch.join(&format!("{what}-{}", way.name));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }
}

/// What came out of it, without what differs by nature: the place of the files.
fn told(way: &Way, output: &Output) -> (String, String, Option<i32>) {
    let (stdout, stderr, status) = ended(output);
    (stdout.replace(way.name, "WAY"), stderr.replace(way.name, "WAY"), status)
}

#[test]
fn commands_end_as_they_do_directly() {
    let ways = Ways::start();
    for (words, status) in [
        ("exit 0", Some(0)),
        ("exit 1", Some(1)),
        ("exit 255", Some(255)),
        ("kill -TERM $$", Some(255)),
        ("kill -KILL $$", Some(255)),
        ("echo out; echo err >&2; exit 7", Some(7)),
        ("head -c 300000 /dev/zero | tr '\\0' x; echo end >&2", Some(0)),
        ("exec <&-; exec >&-; sleep 0.2; exit 5", Some(5)),
        ("nosuchcommand", Some(127)),
    ] {
        let got = ways.same(words, |way| told(way, &output(&mut way.ssh(&[], &[words]))));
        assert_eq!(got.2, status, "{words}");
    }
    let of_nothing = |way: &Way| ended(&output(&mut way.ssh(&["-n"], &["cat; echo end"])));
    assert_eq!(ways.same("-n", of_nothing).0, "end\n");
    // -f leaves when the login is over, and the command goes on.
    for way in ways.both() {
        let file = ways.folder(&way, "background").join("done");
        let words = format!("sleep 1; touch {}", file.display());
        let mut ssh = way.ssh(&["-f", "-n"], &[&words]);
        // ssh keeps what it was given until the command ends.
        let status = ssh.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("ssh");
        assert!(status.success() && !file.exists(), "{}", way.name);
        wait_until("the command", Duration::from_secs(20), || file.exists());
    }
}

/// ssh that runs for its forwards.
struct Forwarder(Child);

impl Forwarder {
    fn start(way: &Way, options: &[&str]) -> Forwarder {
        let all = [&["-N", "-o", "ExitOnForwardFailure=yes"], options].concat();
        Forwarder(way.ssh(&all, &[]).stdin(Stdio::null()).spawn().expect("ssh starts"))
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(port: u16) -> TcpStream {
    wait_until("a listener", Duration::from_secs(20), || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    TcpStream::connect(("127.0.0.1", port)).expect("it listens")
}

fn greeting(mut stream: impl Read + Write) -> String {
    stream.write_all(b"not ssh\r\n").expect("it listens");
    let mut heard = String::new();
    let _reset = stream.read_to_string(&mut heard);
    heard.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn forwards_carry_what_they_do_directly() {
    let ways = Ways::start();
    let there = ways.sshd.port;
    let local = ways.same("-L", |way| {
        let port = free_port();
        let _ssh = Forwarder::start(way, &["-L", &format!("{port}:127.0.0.1:{there}")]);
        greeting(connect(port))
    });
    assert!(local.starts_with("SSH-2.0-OpenSSH"), "{local}");
    let dynamic = ways.same("-D", |way| {
        let port = free_port();
        let _ssh = Forwarder::start(way, &["-D", &port.to_string()]);
        let mut stream = connect(port);
        // SOCKS 5 without a proof: connect to an address of IPv4.
        stream.write_all(&[5, 1, 0]).expect("it listens");
        stream.write_all(&[5, 1, 0, 1, 127, 0, 0, 1]).expect("it listens");
        stream.write_all(&there.to_be_bytes()).expect("it listens");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("two answers");
        assert_eq!(answer[..4], [5, 0, 5, 0], "{}", way.name);
        greeting(stream)
    });
    assert_eq!(dynamic, local);
    let sockets = ways.same("streamlocal", |way| {
        let folder = ways.folder(way, "sockets");
        let (near, far) = (folder.join("near"), folder.join("far"));
        let listener = UnixListener::bind(&far).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut word = [0; 4];
            stream.read_exact(&mut word).expect("a word");
            stream.write_all(&[b"heard ", &word[..]].concat()).expect("it listens");
        });
        let listen = format!("{}:{}", near.display(), far.display());
        let _ssh = Forwarder::start(way, &["-L", &listen]);
        wait_until("a socket", Duration::from_secs(20), || near.exists());
        let mut stream = UnixStream::connect(&near).expect("it listens");
        stream.write_all(b"word").expect("it listens");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("an answer");
        server.join().expect("it ends");
        heard
    });
    assert_eq!(sockets, "heard word");
    let remote = ways.same("-R", |way| {
        let port = free_port();
        let _ssh = Forwarder::start(way, &["-R", &format!("{port}:127.0.0.1:{there}")]);
        greeting(connect(port))
    });
    assert_eq!(remote, local);
}

/// An agent of a test's own, with one key.
struct Agent(Child, PathBuf);

impl Agent {
    fn start(ways: &Ways) -> Agent {
        let socket = ways.sshd.scratch.join("agent");
        let mut agent = Command::new("ssh-agent");
        let child = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        wait_until("the agent", Duration::from_secs(20), || socket.exists());
        let mut add = Command::new("ssh-add");
        run(add.arg("-q").arg(ways.sshd.private("bob")).env("SSH_AUTH_SOCK", &socket));
        Agent(child.expect("it starts"), socket)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn agents_and_displays_are_reached_as_directly() {
    let mut ways = Ways::start();
    let agent = Agent::start(&ways);
    let with_agent = |way: &Way, words: &str| {
        ended(&output(way.ssh(&["-A"], &[words]).env("SSH_AUTH_SOCK", &agent.1)))
    };
    let listed = ways.same("ssh-add -l", |way| with_agent(way, "ssh-add -l"));
    assert!(listed.2 == Some(0) && listed.0.contains("(RSA)"), "{listed:?}");
    // warpgate #1459: three at once hang.
    let many = "for n in $(seq 20); do ssh-add -l & done; wait";
    let many = ways.same("20 at once", |way| with_agent(way, many));
    assert_eq!(many.0, listed.0.repeat(20), "{many:?}");
    // A client of X without the cookie: the channel opens, and ssh itself turns it away.
    let asks = "d=${DISPLAY#*:}; d=${d%.*}; exec 3<>/dev/tcp/127.0.0.1/$((6000+d)); \
                head -c 48 /dev/zero >&3; wc -c <&3; echo ${DISPLAY%:*}";
    let displays = ways.same("-Y", |way| {
        let mut ssh = way.ssh(&["-Y"], &[&format!("bash -c '{asks}'")]);
        let (stdout, _, status) = ended(&output(ssh.env("DISPLAY", ":97")));
        (stdout, status)
    });
    assert_eq!(displays, ("0\nlocalhost\n".to_owned(), Some(0)));
    let commands = ways.gate.weir.lake().rows("commands");
    let count =
        |part: &str| commands.iter().filter(|row| text(row, "query_text").contains(part)).count();
    assert!(count("agent") >= 21, "each channel is a row");
    assert!(commands.iter().any(|row| text(row, "kind") == "x11"), "{commands:#?}");
    assert!(count("x11") >= 1, "its channel: {commands:#?}");
}

#[test]
fn files_are_copied_resumed_and_cloned_as_directly() {
    let ways = Ways::start();
    let bytes: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let whole = ways.sshd.scratch.join("whole");
    std::fs::write(&whole, &bytes).expect("a file");
    for way in ways.both() {
        let folder = ways.folder(&way, "files");
        let place = |name: &str| folder.join(name).display().to_string();
        let half =
            |name: &str| std::fs::write(folder.join(name), &bytes[..300_001]).expect("a file");
        let is_whole = |name: &str| std::fs::read(folder.join(name)).expect("a file") == bytes;
        let remote = |path: &str| format!("{}:{path}", way.host());
        let mut scp = way.program("scp", "-P");
        run(scp
            .args(["-q", "-3"])
            .arg(remote(&whole.display().to_string()))
            .arg(remote(&place("3"))));
        assert!(is_whole("3"), "{}: scp -3", way.name);
        half("get");
        half("put");
        let mut sftp = way.program("sftp", "-P");
        let (from, got, put) = (whole.display(), place("get"), place("put"));
        let batch = ways.sshd.scratch.write(
            &format!("batch-{}", way.name),
            &format!("reget {from} {got}\nreput {from} {put}\n"),
        );
        run(sftp.arg("-b").arg(batch).arg(way.host()));
        assert!(is_whole("get") && is_whole("put"), "{}: resumed", way.name);
        half("append");
        let mut rsync = Command::new("rsync");
        rsync.args(["--append", "-e", &way.words()]).arg(&whole).arg(remote(&place("append")));
        run(&mut rsync);
        assert!(is_whole("append"), "{}: rsync --append", way.name);
        half("append-back");
        let mut rsync = Command::new("rsync");
        rsync.args(["--append-verify", "-e", &way.words()]);
        run(rsync.arg(remote(&whole.display().to_string())).arg(place("append-back")));
        assert!(is_whole("append-back"), "{}: rsync --append-verify", way.name);
        cloned(&ways, &way);
    }
}

/// A repository that is pushed and cloned.
fn cloned(ways: &Ways, way: &Way) {
    let folder = ways.folder(way, "git");
    let git = |place: &str, words: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder.join(place)).args(words).env("GIT_SSH_COMMAND", way.words());
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
            git.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
        }
        run(&mut git)
    };
    git("", &["init", "-q", "--bare", "bare"]);
    git("", &["init", "-q", "-b", "main", "work"]);
    std::fs::write(folder.join("work/file"), "content").expect("a file");
    git("work", &["add", "file"]);
    git("work", &["commit", "-q", "-m", "first"]);
    let url = format!("{}:{}/bare", way.host(), folder.display());
    git("work", &["push", "-q", &url, "main"]);
    git("", &["-c", "protocol.version=2", "clone", "-q", "-b", "main", &url, "clone"]);
    let head = |place: &str| git(place, &["rev-parse", "HEAD"]);
    assert_eq!(head("clone"), head("work"), "{}", way.name);
}

/// A person of this machine for one test, with a password.
struct Account(String);

impl Account {
    fn new(password: &str) -> Account {
        let name = format!("weirtest{}", std::process::id());
        run(Command::new("useradd").args(["-M", "-N", "-d", "/tmp", "-s", "/bin/sh", &name]));
        let account = Account(name);
        let mut child = Command::new("chpasswd").stdin(Stdio::piped()).spawn().expect("chpasswd");
        let mut stdin = child.stdin.take().expect("a pipe");
        writeln!(stdin, "{}:{password}", account.0).expect("it reads");
        drop(stdin);
        assert!(child.wait().expect("a child of ours").success());
        account
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.0).output();
    }
}

/// As a password, and as the answer to the one hidden question of PAM.
#[test]
fn a_target_is_shown_a_password_in_the_way_that_it_asks_for() {
    let password = "a long enough one, 42";
    let account = Account::new(password);
    for (asks, lines) in [
        ("password", "PasswordAuthentication yes\nKbdInteractiveAuthentication no"),
        (
            "keyboard-interactive",
            "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes",
        ),
    ] {
        // The first line of a kind is the one that counts.
        let sshd = Sshd::start_first(lines);
        for (given, status) in [(password, Some(0)), ("another", Some(255))] {
            let file = sshd.scratch.write("password", given);
            let proof = format!("password = {{ file = \"{}\" }}", file.display());
            let gate = sshd.gate_with(EVERYTHING, &proof, "");
            gate.weir.reload(|toml| {
                toml.replace("role = \"root\"", &format!("role = \"{}\"", account.0))
            });
            let mut ssh = Command::new("ssh");
            ssh.args(gate.options(&gate.alice)).args(["-p", &gate.port.to_string()]);
            let (stdout, stderr, ended) =
                ended(&output(ssh.arg(format!("{}@web-1@127.0.0.1", account.0)).arg("id -un")));
            assert_eq!(ended, status, "{asks}: {stderr}");
            let expect = if status == Some(0) { format!("{}\n", account.0) } else { String::new() };
            assert_eq!(stdout, expect, "{asks}: {stderr}");
            if status != Some(0) {
                assert!(stderr.contains("the target refuses weir's credential"), "{stderr}");
            }
        }
        let log = std::fs::read_to_string(sshd.scratch.join("sshd.log")).expect("the log of sshd");
        let accepted = format!("Accepted {asks}");
        assert!(log.contains(&accepted), "{accepted}: {log}");
    }
}
