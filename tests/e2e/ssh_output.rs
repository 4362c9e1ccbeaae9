//! What is kept and shown of SSH: masks on output, input by policy, sizes in casts.

use std::process::Command;

use crate::ssh::{EVERYTHING, Sshd, ended, fed};
use crate::support::lake::{bytes, number, text};
use crate::support::scratch::output;

const CARDS: &str =
    "[[mask]]\ndetect = [\"credit-card\", \"private-key\"]\noperator = \"redact\"\n";

#[test]
fn output_is_masked_on_a_terminal_and_off_one() {
    let sshd = Sshd::start();
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let mut gate = sshd.gate_with(EVERYTHING, &own, CARDS);
    let (stdout, _, status) = gate.exec("echo paid by 4111111111111111 today; exit 3");
    assert_eq!(status, Some(3));
    assert!(!stdout.contains("4111") && stdout.starts_with("paid by "), "{stdout}");
    assert_eq!(stdout.len(), "paid by 4111111111111111 today\n".len());
    let (_, stderr, _) = gate.exec("echo 4111111111111111 >&2");
    assert!(!stderr.contains("4111"), "{stderr}");
    let typed = b"printf 'n 41111111%s\\n' 11111111\nexit 4\n";
    let (stdout, _, status) = ended(&fed(&mut gate.ssh(&["-tt"]), typed));
    assert_eq!(status, Some(4));
    assert!(stdout.contains("n [CREDIT_CARD]"), "{stdout}");
    assert!(!stdout.contains("4111111111111111"), "{stdout}");
    let key = std::fs::read_to_string(sshd.private("own")).expect("a key");
    let (stdout, _, _) = gate.exec(&format!("cat {}", sshd.private("own").display()));
    assert_eq!(stdout.len(), key.len());
    let secret = key.lines().nth(2).expect("its third line");
    assert!(!stdout.contains(secret), "{stdout}");
    // What is no text passes as it is.
    let binary: Vec<u8> = (0..=255u8).cycle().take(1_000_000).collect();
    assert!(fed(gate.ssh(&[]).arg("cat"), &binary).stdout == binary);
    let lines: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    assert!(gate.exec("seq 0 99999").0 == lines);
    let lake = gate.weir.lake();
    let hits = lake.rows("masking_hits");
    assert!(hits.iter().any(|row| text(row, "detector") == "credit-card"), "{hits:?}");
    assert!(hits.iter().any(|row| text(row, "column") == "error"), "{hits:?}");
    for chunk in lake.rows("stream_chunks") {
        let payload = bytes(&chunk, "payload");
        for found in [&b"4111111111111111"[..], secret.as_bytes()] {
            assert_eq!(memchr::memmem::find(&payload, found), None, "in the record");
        }
    }
    let responses = lake.rows("responses");
    let unmasked = responses.iter().filter(|row| text(row, "attrs").contains("unmasked")).count();
    assert_eq!(unmasked, 1, "the binary one");
}

/// A pause of the machine looks as one of the program.
#[test]
fn of_a_value_that_a_pause_cuts_in_two_the_rest_is_covered() {
    let sshd = Sshd::start();
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let gate = sshd.gate_with(EVERYTHING, &own, CARDS);
    let bulk = "yes line | head -n 5000";
    for kind in ["-T", "-tt"] {
        let print = |pause: &str| {
            let text = format!("{bulk}; printf 'n 4111 1111 '; sleep {pause}; echo 1111 1111 end");
            let (stdout, _, status) = ended(&fed(gate.ssh(&[kind]).arg(text), b""));
            assert_eq!(status, Some(0));
            stdout.lines().last().expect("a line").trim_end().to_owned()
        };
        assert_eq!(print("0.7"), "n [CREDIT_CARD]****** end", "{kind}");
        assert_eq!(print("2"), "n 4111 1111 ********* end", "{kind}");
    }
}

#[test]
fn input_is_counted_unless_the_target_says_otherwise() {
    let sshd = Sshd::start();
    for (policy, kept) in [("", false), ("input = \"plain\"\n", true)] {
        let mut gate = sshd.gate(EVERYTHING);
        let target = "protocol = \"ssh\"\n";
        gate.weir.reload(|toml| toml.replace(target, &format!("{target}{policy}")));
        let echoed = fed(gate.ssh(&[]).arg("wc -c"), b"typed words");
        assert_eq!(echoed.stdout, b"11\n");
        let batch = format!(
            "put {} {}\n",
            sshd.scratch.write("up", "uploaded words").display(),
            sshd.scratch.join("uploaded").display()
        );
        let mut sftp = Command::new("sftp");
        sftp.args(gate.options(&gate.alice)).args(["-P", &gate.port.to_string(), "-b", "-"]);
        assert!(fed(sftp.arg("root@web-1@127.0.0.1"), batch.as_bytes()).status.success());
        let lake = gate.weir.lake();
        let chunks = lake.rows("stream_chunks");
        let has = |words: &str| {
            chunks.iter().any(|chunk| {
                memchr::memmem::find(&bytes(chunk, "payload"), words.as_bytes()).is_some()
            })
        };
        assert_eq!((has("typed words"), has("uploaded words")), (kept, kept), "{policy}");
    }
}

/// A subsystem that is none of weir's is a command that the target has a name for.
#[test]
fn output_of_subsystems_is_masked() {
    let sshd = Sshd::start_with(|scratch| {
        let card = scratch.write("card", "paid by 4111111111111111 today\n");
        format!("Subsystem dump cat {}\n", card.display())
    });
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let mut gate = sshd.gate_with(EVERYTHING, &own, CARDS);
    let (stdout, stderr, status) = ended(&output(gate.ssh(&["-s"]).arg("dump")));
    assert_eq!(status, Some(0), "{stderr}");
    assert_eq!(stdout, "paid by [CREDIT_CARD]*** today\n");
    let lake = gate.weir.lake();
    let hits = lake.rows("masking_hits");
    assert!(hits.iter().any(|row| text(row, "detector") == "credit-card"), "{hits:?}");
    let responses = lake.rows("responses");
    assert!(!responses.iter().any(|row| text(row, "attrs").contains("unmasked")), "{responses:?}");
    // One on a terminal is refused still.
    let (_, stderr, status) = ended(&output(gate.ssh(&["-tt", "-s"]).arg("dump")));
    assert_ne!(status, Some(0), "{stderr}");
}

/// A terminal of 80 columns that becomes one of 132 while `ssh` runs in it.
const RESIZING: &str = "
import fcntl, os, pty, signal, struct, sys, termios, time
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
def size(rows, columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
seen = b''
def until(words):
    global seen
    while words not in seen:
        seen += os.read(master, 65536)
size(24, 80)
os.write(master, b\"echo rea''dy\\n\")
until(b'ready')
size(43, 132)
os.kill(pid, signal.SIGWINCH)
time.sleep(0.5)
os.write(master, b'stty size; exit\\n')
until(b'43 132')
try:
    while os.read(master, 65536): pass
except OSError: pass
os.waitpid(pid, 0)
";

#[test]
fn casts_have_the_sizes_of_their_terminal() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let ssh = gate.ssh(&["-tt"]);
    let mut command = Command::new("python3");
    command.args(["-c", RESIZING, "ssh"]).args(ssh.get_args());
    let result = output(&mut command);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let lake = gate.weir.lake();
    let shell = lake.rows("commands").into_iter().find(|row| text(row, "kind") == "shell");
    let shell = shell.expect("a shell");
    let cast = sshd.scratch.join("cast");
    let id = text(&shell, "session_id");
    let only = number(&shell, "seq").to_string();
    let file = cast.display().to_string();
    let mut replay = gate.weir.command(&["replay", &id, "--only", &only, "--cast", &file]);
    let result = output(&mut replay);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let cast = std::fs::read_to_string(&cast).expect("a cast");
    assert!(cast.contains("\"r\", \"132x43\""), "{cast}");
    assert!(cast.contains("43 132"), "{cast}");
}
