//! Rules on SSH that somebody tries to get around, and what is left of it in the record.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ssh::{EVERYTHING, Gate, Sshd, ended, fed, one};
use crate::support::lake::{Row, number, text};
use crate::support::scratch::{free_port, output};
use crate::support::wait_until;

/// Transfers below `pub` alone, everything for shells but what is denied by text.
fn rules(folder: &str) -> String {
    format!(
        "[[rule]]\nname = \"pub\"\nwhen = {{ commands = [\"scp-download\", \"scp-upload\", \
         \"rsync-download\", \"rsync-upload\", \"git-fetch\", \"sftp-list\", \"sftp-read\"], \
         paths = [\"{folder}/pub/*\"] }}\nthen = \"allow\"\n\
         [[rule]]\nname = \"begin\"\nwhen = {{ commands = [\"subsystem\"] }}\nthen = \"allow\"\n"
    )
}

fn folders(sshd: &Sshd) -> String {
    for name in ["pub", "secret"] {
        std::fs::create_dir(sshd.scratch.join(name)).expect("a folder");
        std::fs::write(sshd.scratch.join(&format!("{name}/file")), name).expect("a file");
    }
    sshd.scratch.path().display().to_string()
}

fn denied(gate: &Gate, command: &str) {
    let (stdout, stderr, status) = gate.exec(command);
    assert_eq!((stdout.as_str(), status), ("", Some(126)), "{command}: {stderr}");
    assert!(stderr.contains("weir: denied"), "{command}: {stderr}");
}

#[test]
fn transfers_go_where_rules_say_and_nowhere_else() {
    let sshd = Sshd::start();
    let folder = folders(&sshd);
    let gate = sshd.gate(&rules(&folder));
    for command in [
        format!("scp -f {folder}/pub/../secret/file"),
        format!("scp -f {folder}/secret/file"),
        format!("scp -r -f {folder}"),
        "scp -f pub/file".to_owned(),
        format!("git-upload-pack {folder}/pub/../secret"),
        format!("rsync --server --sender -re.iLs . {folder}/pub/../secret/"),
        format!("rsync --server --sender -re.iLs {folder}/secret . {folder}/pub/"),
        format!("rsync --server --sender -sre.iLs . {folder}/pub/"),
        format!("rsync --server --sender -re.iLs --log-file={folder}/log . {folder}/pub/"),
        format!("rsync --server --daemon --config={folder}/pub/file . {folder}/pub/"),
    ] {
        denied(&gate, &command);
    }
    let port = gate.port.to_string();
    let there = |path: &str| format!("root@web-1@127.0.0.1:{folder}/{path}");
    let mut scp = Command::new("scp");
    scp.args(gate.options(&gate.alice)).args(["-O", "-q", "-P", &port]);
    scp.args([there("pub/file"), format!("{folder}/scp")]);
    let (_, stderr, status) = ended(&output(&mut scp));
    assert_eq!(status, Some(0), "{stderr}");
    let mut rsync = Command::new("rsync");
    let ssh = format!("ssh {} -p {port}", gate.options(&gate.alice).join(" "));
    rsync.args(["-a", "-e", &ssh]).args([there("pub/"), format!("{folder}/rsync")]);
    let (_, stderr, status) = ended(&output(&mut rsync));
    assert_eq!(status, Some(0), "{stderr}");
    for copy in ["scp", "rsync/file"] {
        assert_eq!(std::fs::read(sshd.scratch.join(copy)).expect("a file"), b"pub", "{copy}");
    }
}

/// A filter of rsync may name a file, which its target reads and shows in what it says is wrong.
#[test]
fn filters_of_rsync_name_no_files_where_rules_name_paths() {
    let sshd = Sshd::start();
    let folder = folders(&sshd);
    let above = sshd.scratch.write("above.txt", "THESECRET\n").display().to_string();
    let mut gate = sshd.gate(&rules(&folder));
    let port = gate.port.to_string();
    let ssh = format!("ssh {} -p {port}", gate.options(&gate.alice).join(" "));
    let there = |path: &str| format!("root@web-1@127.0.0.1:{folder}/{path}");
    let rsync = |options: &[&str], from: String, to: String| {
        let mut rsync = Command::new("rsync");
        ended(&output(rsync.args(["-a", "-e", &ssh]).args(options).args([from, to])))
    };
    let (from, to) = (there("pub/"), format!("{folder}/copy"));
    let verbose = format!("--filter=:- {above}");
    let merge = format!("--filter=: {above}");
    for options in [&["-vv", &verbose][..], &[&merge], &["-z", &merge], &["-F"], &["-vvv"]] {
        let (stdout, stderr, status) = rsync(options, from.clone(), to.clone());
        assert_ne!(status, Some(0), "{options:?}: {stdout}{stderr}");
        assert!(stderr.contains("weir: denied"), "{options:?}: {stderr}");
        assert!(!stdout.contains("THESECRET") && !stderr.contains("THESECRET"), "{stderr}");
        let up = rsync(&[options, &["--delete"]].concat(), format!("{folder}/pub/"), there("pub/"));
        assert_ne!(up.2, Some(0), "{options:?}: {up:?}");
    }
    for options in [&["--exclude=x", "--include=*.c", "-z"][..], &["--max-size=1g"], &["-vv"]] {
        let (_, stderr, status) = rsync(options, from.clone(), to.clone());
        assert_eq!(status, Some(0), "{options:?}: {stderr}");
        let options = [options, &["--delete", "--exclude=y"]].concat();
        let (_, stderr, status) = rsync(&options, format!("{folder}/pub/"), there("pub/sub/"));
        assert_eq!(status, Some(0), "{options:?}: {stderr}");
    }
    assert_eq!(std::fs::read(sshd.scratch.join("copy/file")).expect("a file"), b"pub");
    let commands = gate.weir.lake().rows("commands");
    let filter = |row: &&Row| text(row, "operation") == "rsync-filter";
    let filters: Vec<&Row> = commands.iter().filter(filter).collect();
    let shown = format!("rsync filter : {above}");
    assert!(filters.iter().any(|row| text(row, "query_text") == shown), "{filters:#?}");
    assert!(filters.iter().all(|row| text(row, "decision") == "deny"));
}

/// Rules name where a forward leads, and where it listens.
#[test]
fn forwards_are_allowed_by_where_they_lead() {
    let sshd = Sshd::start();
    let (open, closed) = (sshd.port, free_port());
    let rules = format!(
        "[[rule]]\nname = \"here\"\nwhen = {{ commands = [\"forward-local\", \
         \"forward-remote\"], forwards = [\"127.0.0.1:{open}\", \"localhost:{closed}\"] }}\n\
         then = \"allow\"\n\
         [[rule]]\nname = \"never\"\nwhen = {{ forwards = [\"127.0.0.1:1\"] }}\nthen = \"deny\"\n\
         {EVERYTHING}"
    );
    let gate = sshd.gate(&rules);
    let test = |request: &str, place: &str| {
        let all = ["policy", "test", "--target", "web-1", "--as", "alice", "--request", request];
        let told = ended(&output(&mut gate.weir.command(&[&all[..], &[place]].concat()))).0;
        told.lines().find_map(|line| line.strip_prefix("verdict: ")).unwrap_or(&told).to_owned()
    };
    assert!(test("forward-local", &format!("127.0.0.1:{open}")).starts_with("allow"));
    for place in [format!("127.0.0.1:{closed}"), format!("localhost:{open}"), "db:22".to_owned()] {
        assert!(test("forward-local", &place).starts_with("deny"), "{place}");
    }
    let through = |place: &str| {
        let (stdout, stderr, _) = ended(&fed(&mut gate.ssh(&["-v", "-W", place]), b"not ssh\r\n"));
        (stdout.starts_with("SSH-2.0-OpenSSH"), stderr)
    };
    assert!(through(&format!("127.0.0.1:{open}")).0);
    // The same place by a name that the rule does not have.
    for place in [format!("localhost:{open}"), format!("[::1]:{open}"), format!("127.1:{open}")] {
        let (passed, stderr) = through(&place);
        assert!(!passed && stderr.contains("no rule allows"), "{place}: {stderr}");
    }
    for (port, is_made) in [(closed, true), (free_port(), false)] {
        let mut ssh = gate.ssh(&["-o", "ExitOnForwardFailure=yes"]);
        ssh.args(["-R", &format!("{port}:127.0.0.1:1")]).arg("true");
        let (_, stderr, status) = ended(&output(&mut ssh));
        assert_eq!(status == Some(0), is_made, "{port}: {stderr}");
    }
    // A denial meets the host by its other names.
    for place in ["127.0.0.1:1", "localhost:1", "[::1]:1", "2130706433:1"] {
        let (_, stderr) = through(place);
        assert!(stderr.contains("denied by rule \"never\""), "{place}: {stderr}");
    }
}

/// A socket at a path is a file there: one that is connected to, and one that is made.
#[test]
fn denied_paths_are_denied_to_forwards() {
    let sshd = Sshd::start();
    let folder = sshd.scratch.path().display().to_string();
    let all = "[[rule]]\nname = \"forwards\"\nwhen = { commands = [\"forward-socket\", \
               \"forward-remote\"] }\nthen = \"allow\"\n";
    let deny = format!(
        "[[rule]]\nname = \"no\"\nwhen = {{ paths = [\"{folder}/secret*\", \"/run/x.sock\"] }}\n\
         then = \"deny\"\n"
    );
    let gate = sshd.gate(&format!("{deny}{all}{EVERYTHING}"));
    let test = |request: &str, path: &str| {
        let all = ["policy", "test", "--target", "web-1", "--as", "alice", "--request", request];
        ended(&output(&mut gate.weir.command(&[&all[..], &[path]].concat()))).0
    };
    for path in ["/run/x.sock", "/var/run/x.sock", "/run//x.sock", "/run/../x", "/proc/1/root"] {
        for request in ["forward-socket", "forward-remote"] {
            assert!(test(request, path).contains("verdict: deny"), "{request} {path}");
        }
    }
    assert!(test("forward-socket", "/run/other.sock").contains("verdict: allow"));
    for (name, is_made) in [("secret.sock", false), ("open.sock", true)] {
        let mut ssh = gate.ssh(&["-o", "ExitOnForwardFailure=yes"]);
        ssh.args(["-R", &format!("{folder}/{name}:127.0.0.1:1")]).arg("true");
        let (_, stderr, status) = ended(&output(&mut ssh));
        assert_eq!(status == Some(0), is_made, "{name}: {stderr}");
    }
}

#[test]
fn denials_by_text_see_words_whatever_is_between_them() {
    let sshd = Sshd::start();
    let deny = "[[rule]]\nname = \"no\"\nwhen = { commands = [\"exec\"], text = [\"rm *\"] }\n\
                then = \"deny\"\n";
    let gate = sshd.gate(&format!("{deny}{EVERYTHING}"));
    for command in ["rm /a", " rm  /a", "rm\t/a", "\"rm\" '/a'", "true; true"] {
        denied(&gate, command);
    }
    assert_eq!(gate.exec("echo rm").0, "rm\n");
    let policy = |more: &[&str]| {
        let all = ["policy", "test", "--target", "web-1", "--as", "alice"];
        ended(&output(&mut gate.weir.command(&[&all[..], more].concat()))).0
    };
    assert!(policy(&["rm /a"]).contains("verdict: deny, by no"));
    assert!(policy(&["echo rm"]).contains("class exec"));
    assert!(policy(&["--request", "sftp", "open /a read"]).contains("class sftp-read"));
}

/// A terminal's modes would make another path of the one that was decided.
#[test]
fn a_terminal_is_for_people() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let (_, stderr, status) = ended(&fed(gate.ssh(&["-tt", "-s"]).arg("sftp"), b""));
    assert_ne!(status, Some(0));
    assert!(stderr.contains("subsystem request failed"), "{stderr}");
    let (stdout, _, status) = ended(&fed(gate.ssh(&["-tt"]).arg("scp -f /etc/hostname"), b""));
    assert_eq!(status, Some(126));
    assert!(stdout.contains("a terminal changes what is transferred"), "{stdout}");
}

/// The channel of a refused command is the client's until it has closed it, too.
#[test]
fn refused_commands_leave_their_connection_to_the_others() {
    let sshd = Sshd::start();
    let deny = "[[rule]]\nname = \"no\"\nwhen = { commands = [\"exec\"], text = [\"rm *\"] }\n\
                then = \"deny\"\n";
    let gate = sshd.gate(&format!("{deny}{EVERYTHING}"));
    let socket = sshd.scratch.join("mux");
    let control = format!("ControlPath={}", socket.display());
    let master = ["-o", "ControlMaster=yes", "-o", &control, "-N"];
    let mut master = gate.ssh(&master).stdin(Stdio::null()).spawn().expect("ssh starts");
    wait_until("the control socket", Duration::from_secs(20), || socket.exists());
    for _ in 0..4 {
        let attempts: Vec<_> = (0..8)
            .map(|number| {
                let mut ssh = gate.ssh(&["-o", &control]);
                ssh.arg(if number % 2 == 0 { "rm /a" } else { "echo ran" });
                std::thread::spawn(move || ended(&output(&mut ssh)))
            })
            .collect();
        for (number, attempt) in attempts.into_iter().enumerate() {
            let (stdout, stderr, status) = attempt.join().expect("it ends");
            match number % 2 {
                0 => assert_eq!(status, Some(126), "{stderr}"),
                _ => assert_eq!((stdout.as_str(), status), ("ran\n", Some(0)), "{stderr}"),
            }
        }
    }
    master.kill().expect("a child of ours");
    master.wait().expect("a child of ours");
}

#[test]
fn a_session_of_files_goes_on_after_any_number_of_refusals() {
    let sshd = Sshd::start();
    let folder = folders(&sshd);
    let gate = sshd.gate(&rules(&folder));
    let mut batch: String = (0..3000).map(|n| format!("-rm {folder}/secret/{n}\n")).collect();
    batch.push_str(&format!("get {folder}/pub/file {folder}/got\n"));
    let mut command = Command::new("sftp");
    command.args(gate.options(&gate.alice)).args(["-P", &gate.port.to_string(), "-b", "-"]);
    let (stdout, stderr, status) =
        ended(&fed(command.arg("root@web-1@127.0.0.1"), batch.as_bytes()));
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    assert_eq!(std::fs::read(sshd.scratch.join("got")).expect("a file"), b"pub");
    assert!(stderr.matches("weir: denied").count() < 20, "{stderr}");
}

#[test]
fn what_a_mask_covers_is_covered_in_colours_after_zeros_and_cut() {
    let sshd = Sshd::start();
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let masks = "[[mask]]\ndetect = [\"credit-card\"]\noperator = \"redact\"\n";
    let gate = sshd.gate_with(EVERYTHING, &own, masks);
    for (command, options) in [
        ("printf '\\033[1;31m4111111111111111\\033[m\\n'", &[][..]),
        ("printf '\\033[1;31m4111111111111111\\033[m\\n'", &["-tt"]),
        ("printf '\\0'; sleep 0.2; printf '4111 1111 1111 1111\\n'", &[]),
        ("printf '\\0'; sleep 0.2; printf '4111 1111 1111 1111\\n' >&2", &[]),
        ("printf 'x 4'; sleep 0.003; printf '111111111111111 y\\n'", &[]),
        ("printf 'x 4'; sleep 0.003; printf '111111111111111 y\\n'", &["-tt"]),
    ] {
        let (stdout, stderr, _) = ended(&fed(gate.ssh(options).arg(command), b""));
        assert!(stdout.len() + stderr.len() >= 17, "{command}: {stdout:?}");
        let all = format!("{stdout}{stderr}");
        assert!(!all.contains("1111"), "{command}: {all:?}");
    }
}

fn answers<'r>(commands: &[Row], responses: &'r [Row], start: &str) -> Vec<&'r Row> {
    let of = commands.iter().filter(|row| text(row, "query_text").starts_with(start));
    let of: Vec<_> = of.map(|row| (text(row, "session_id"), number(row, "seq"))).collect();
    let is_one = |row: &&Row| of.contains(&(text(row, "session_id"), number(row, "command_seq")));
    responses.iter().filter(is_one).collect()
}

#[test]
fn forwards_and_what_a_command_runs_with_stand_in_the_record() {
    let sshd = Sshd::start_with(|_| "AcceptEnv LC_WEIR\n".to_owned());
    let tunnels = "[[rule]]\nname = \"tunnels\"\n\
                   when = { commands = [\"forward-local\", \"forward-remote\"] }\n\
                   then = \"allow\"\n";
    let mut gate = sshd.gate(&format!("{tunnels}{EVERYTHING}"));
    let greeting = "SSH-2.0-test\r\n";
    let through = format!("127.0.0.1:{}", sshd.port);
    let mut forward = gate.ssh(&["-W", &through]);
    let (stdout, _, _) = ended(&fed(&mut forward, greeting.as_bytes()));
    assert!(stdout.starts_with("SSH-2.0-OpenSSH"), "{stdout}");
    let closed = format!("127.0.0.1:{}", free_port());
    assert_ne!(ended(&fed(&mut gate.ssh(&["-W", &closed]), b"")).2, Some(0));
    // The target opens a channel back.
    let port = free_port();
    let back = format!("{port}:{through}");
    let mut master = gate.ssh(&["-N", "-R", &back]).stdin(Stdio::null()).spawn().expect("ssh");
    let mut heard = String::new();
    wait_until("the way back", Duration::from_secs(20), || {
        let Ok(stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
        let mut reader = std::io::BufReader::new(stream);
        std::io::BufRead::read_line(&mut reader, &mut heard).is_ok() && !heard.is_empty()
    });
    assert!(heard.starts_with("SSH-2.0-"), "{heard}");
    master.kill().expect("a child of ours");
    master.wait().expect("a child of ours");
    let mut ssh = gate.ssh(&["-o", "SendEnv=LC_WEIR"]);
    ssh.env("LC_WEIR", "a value").arg("echo $LC_WEIR");
    assert_eq!(ended(&output(&mut ssh)).0, "a value\n");
    let lake = gate.weir.lake();
    let (commands, responses) = (lake.rows("commands"), lake.rows("responses"));
    let row = one(&commands, "query_text", "echo $LC_WEIR");
    assert!(text(row, "attrs").contains("\"LC_WEIR\":\"a value\""), "{row:?}");
    assert!(!text(row, "policy_version").is_empty(), "{row:?}");
    let [open] = answers(&commands, &responses, &format!("tcp:{through}"))[..] else {
        panic!("{commands:#?} {responses:#?}")
    };
    // A client that has said all may leave before the target has closed its side.
    assert!(["success", "aborted"].contains(&&*text(open, "outcome")), "{open:?}");
    assert!(number(open, "total_bytes") > 0, "{open:?}");
    let input = format!("\"input_bytes\":{}", greeting.len());
    assert!(text(open, "attrs").contains(&input), "{open:?}");
    let refused = answers(&commands, &responses, &format!("tcp:{closed}"));
    assert_eq!(text(refused[0], "outcome"), "error");
    let asked = answers(&commands, &responses, "tcpip-forward");
    assert_eq!(text(asked[0], "outcome"), "success");
    let came = answers(&commands, &responses, "forwarded tcp:");
    assert!(!came.is_empty(), "{commands:#?}");
    let parent = one(&commands, "query_text", &format!("tcpip-forward tcp:localhost:{port}"));
    let back = commands.iter().find(|row| text(row, "query_text").starts_with("forwarded tcp:"));
    assert_eq!(number(back.expect("a row"), "parent_seq"), number(parent, "seq"));
}

#[test]
fn rules_for_files_alone_say_what_they_lack() {
    let sshd = Sshd::start();
    let files = "[[rule]]\nname = \"files\"\nwhen = { commands = [\"sftp-read\", \"sftp-list\"] }\n\
                 then = \"allow\"\n";
    let mut gate = sshd.gate(files);
    let mut sftp = Command::new("sftp");
    sftp.args(gate.options(&gate.alice)).args(["-P", &gate.port.to_string(), "-b", "-"]);
    // OpenSSH shows nothing of standard error where a subsystem is refused: the record has it.
    let (.., status) = ended(&fed(sftp.arg("root@web-1@127.0.0.1"), b"ls /\n"));
    assert_ne!(status, Some(0));
    let responses = gate.weir.lake().rows("responses");
    let words = text(&responses[0], "error_text");
    assert!(words.contains("SFTP begins with class `subsystem`"), "{words}");
}
