//! Clients other than OpenSSH's through weir, with rules and records on.

use std::process::Command;
use std::time::Duration;

use crate::ssh::{EVERYTHING, Gate, Sshd, ended, fed};
use crate::support::lake::text;
use crate::support::scratch::{free_port, output, run};
use crate::support::{short_or_long, tools, wait_until};

/// What the rules refuse.
const FORBIDDEN: &str = "git-receive-pack /forbidden";

/// Everything but pushes and one folder.
fn rules() -> String {
    format!(
        "[[rule]]\nname = \"no\"\nwhen = {{ commands = [\"git-push\"] }}\nthen = \"deny\"\n\
         [[rule]]\nname = \"secret\"\n\
         when = {{ commands = [\"sftp-read\", \"sftp-list\"], paths = [\"*/secret/*\"] }}\n\
         then = \"deny\"\n{EVERYTHING}"
    )
}

fn start() -> (Sshd, Gate) {
    let sshd = Sshd::start();
    let gate = sshd.gate(&rules());
    std::fs::create_dir_all(sshd.scratch.join("secret")).expect("a folder");
    std::fs::write(sshd.scratch.join("secret/file"), "secret").expect("a file");
    (sshd, gate)
}

fn arguments(sshd: &Sshd, gate: &Gate, key: &str) -> [String; 4] {
    let (key, folder) = (sshd.private(key).display().to_string(), sshd.scratch.path());
    [gate.port.to_string(), "root@web-1".to_owned(), key, folder.display().to_string()]
}

#[test]
fn paramiko_and_asyncssh() {
    let (sshd, gate) = start();
    let mut command = tools::python();
    command.arg(tools::script("ssh_checks.py")).args(arguments(&sshd, &gate, "alice"));
    let printed = run(&mut command);
    assert!(printed.contains("paramiko ok") && printed.contains("asyncssh ok"), "{printed}");
}

#[test]
fn ssh2_of_node() {
    let (sshd, gate) = start();
    let mut command = tools::node();
    command.arg(tools::script("ssh_checks.js")).args(arguments(&sshd, &gate, "alice"));
    assert!(run(&mut command).contains("ssh2 ok"));
}

#[test]
fn dropbear() {
    let (sshd, gate) = start();
    let key = sshd.scratch.join("dropbear");
    let mut convert = Command::new("dropbearconvert");
    run(convert.args(["openssh", "dropbear"]).arg(sshd.private("alice")).arg(&key));
    let port = gate.port.to_string();
    let printed = sshd.scratch.join("printed");
    // dbclient 2022.83 waits for ever when its channel closes while the pipe that it prints to is
    // full: with OpenSSH's sshd, too, 70,000 bytes and a reader that begins a second later. A file
    // is never full.
    let attempt = |text: &str, input: &[u8]| {
        let mut command = Command::new("bash");
        command.args(["-c", "exec dbclient \"$@\" >\"$0\""]).arg(&printed);
        command.args(["-y", "-y", "-i"]).arg(&key).args(["-p", &port, "-l", "root@web-1"]);
        command.env("HOME", sshd.scratch.path());
        let (_, stderr, status) = ended(&fed(command.args(["127.0.0.1", text]), input));
        (std::fs::read(&printed).expect("what it printed"), stderr, status)
    };
    let input: Vec<u8> = (0..400_000u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let (stdout, stderr, status) = attempt("cat; exit 7", &input);
    assert!(stdout == input, "{} bytes, {stderr}", stdout.len());
    assert_eq!(status, Some(7));
    let (_, stderr, status) = attempt(FORBIDDEN, b"");
    assert_eq!(status, Some(126));
    assert!(stderr.contains("weir: denied"), "{stderr}");
}

#[test]
fn peers_without_strict_key_exchange_are_refused_where_the_configuration_says_so() {
    let (sshd, mut gate) = start();
    let lax = |gate: &Gate| {
        let mut command = tools::python();
        command.arg(tools::script("ssh_hostile.py")).arg("lax").arg(gate.port.to_string());
        ended(&output(command.arg("root@web-1").arg(sshd.private("alice"))))
    };
    assert_eq!(lax(&gate).0, "in\n");
    let listener = "[listen.ssh]\nstrict_kex = \"require\"\n";
    gate.weir.reload(|toml| toml.replace("[listen.ssh]\n", listener));
    gate.weir.stop();
    gate.weir.start();
    assert_eq!(lax(&gate).0, "");
    assert_eq!(gate.exec("echo in").0, "in\n", "OpenSSH has it");
    let port = free_port();
    let mut server = tools::python();
    server.arg(tools::script("ssh_hostile.py")).arg("lax-target").arg(port.to_string());
    let mut server = server.arg(sshd.private("host")).spawn().expect("it starts");
    wait_until("the target", Duration::from_secs(20), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let (at_sshd, at_lax) = (format!("localhost:{}", sshd.port), format!("localhost:{port}"));
    gate.weir.reload(|toml| toml.replace(&at_sshd, &at_lax));
    assert_eq!(gate.exec("true").0, "from the target\n");
    let strict = "protocol = \"ssh\"\nstrict_kex = \"require\"\n";
    gate.weir.reload(|toml| toml.replace("protocol = \"ssh\"\n", strict));
    let (_, stderr, _) = gate.exec("true");
    assert!(stderr.contains("the target has no strict key exchange"), "{stderr}");
    server.kill().expect("it runs");
    server.wait().expect("a child of ours");
    let lake = gate.weir.lake();
    let exposed: Vec<String> =
        lake.events("no-strict-kex").iter().map(|row| text(row, "message")).collect();
    assert_eq!(exposed.len(), 2, "{exposed:?}");
    assert!(exposed.iter().any(|words| words.starts_with("the client has no")), "{exposed:?}");
    assert!(exposed.iter().any(|words| words.starts_with("the target has no")), "{exposed:?}");
    let reasons = lake.events("connection-refused");
    let reasons: Vec<String> = reasons.iter().map(|row| text(row, "attrs")).collect();
    assert_eq!(reasons.iter().filter(|attrs| attrs.contains("strict-kex")).count(), 2);
}

#[test]
fn an_address_has_its_share_of_key_exchanges() {
    let (_sshd, mut gate) = start();
    gate.weir.reload(|toml| {
        toml.replace("[listen.ssh]\n", "[listen.ssh]\nunauthenticated = { per_second = 5 }\n")
    });
    gate.weir.stop();
    gate.weir.start();
    let greeted = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", gate.port)).expect("weir");
        let mut first = [0; 4];
        std::io::Read::read_exact(&mut stream, &mut first).expect("a line");
        first == *b"SSH-"
    };
    let came = (0..40).filter(|_| greeted()).count();
    assert!((5..=15).contains(&came), "{came} of 40, in two seconds at most");
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(gate.exec("echo in").0, "in\n");
}

#[test]
fn plink_and_psftp() {
    let (sshd, gate) = start();
    let key = sshd.scratch.join("key.ppk");
    let mut convert = Command::new("puttygen");
    run(convert.arg(sshd.private("alice")).arg("-o").arg(&key));
    let host = std::fs::read_to_string(sshd.private("gate.pub")).expect("a key");
    let print = run(Command::new("ssh-keygen").args(["-lf"]).arg(sshd.private("gate.pub")));
    let print = print.split_whitespace().nth(1).expect("a fingerprint").to_owned();
    assert!(host.starts_with("ssh-ed25519"));
    let with = |program: &str| {
        let mut command = Command::new(program);
        command.args(["-batch", "-P", &gate.port.to_string(), "-hostkey", &print, "-i"]).arg(&key);
        command.env("HOME", sshd.scratch.path());
        command
    };
    let mut plink = with("plink");
    plink.args(["-l", "root@web-1", "127.0.0.1", "cat; echo err >&2; exit 7"]);
    let (stdout, stderr, status) = ended(&fed(&mut plink, b"some input"));
    assert_eq!((stdout.as_str(), status), ("some input", Some(7)), "{stderr}");
    let mut plink = with("plink");
    plink.args(["-l", "root@web-1", "127.0.0.1", FORBIDDEN]);
    let (_, stderr, status) = ended(&output(&mut plink));
    assert_eq!(status, Some(126), "{stderr}");
    assert!(stderr.contains("weir: denied"), "{stderr}");
    let folder = sshd.scratch.path().display();
    std::fs::write(sshd.scratch.join("up"), vec![b'x'; 1_000_000]).expect("a file");
    let batch = sshd.scratch.write(
        "batch",
        &format!("put {folder}/up {folder}/there\nget {folder}/there {folder}/down\nquit\n"),
    );
    let mut psftp = with("psftp");
    psftp.args(["-l", "root@web-1", "-b"]).arg(batch).arg("127.0.0.1");
    run(&mut psftp);
    let read = |name: &str| std::fs::read(sshd.scratch.join(name)).expect("a file");
    assert!(read("down") == read("up"));
}

#[test]
fn rsync_both_ways() {
    let (sshd, gate) = start();
    let ssh = format!("ssh {} -p {}", gate.options(&gate.alice).join(" "), gate.port);
    let (from, to, back) =
        (sshd.scratch.join("from"), sshd.scratch.join("to"), sshd.scratch.join("back"));
    std::fs::create_dir(&from).expect("a folder");
    for number in 0..50 {
        let content = vec![number; 40_000];
        std::fs::write(from.join(number.to_string()), content).expect("a file");
    }
    let there = format!("root@web-1@127.0.0.1:{}", to.display());
    let rsync = |from: &str, to: &str| {
        run(Command::new("rsync").args(["-a", "-e", &ssh, &format!("{from}/"), to]));
    };
    rsync(&from.display().to_string(), &there);
    rsync(&there, &back.display().to_string());
    for number in 0..50u8 {
        let name = number.to_string();
        let read = |folder: &std::path::Path| std::fs::read(folder.join(&name)).expect("a file");
        assert!(read(&from) == read(&back));
    }
}

#[test]
fn a_mounted_folder() {
    let (sshd, gate) = start();
    let (mount, there) = (sshd.scratch.join("mount"), sshd.scratch.join("there"));
    std::fs::create_dir(&mount).expect("a folder");
    std::fs::create_dir_all(there.join("secret")).expect("a folder");
    std::fs::write(there.join("secret/file"), "secret").expect("a file");
    let mut sshfs = Command::new("sshfs");
    sshfs.arg(format!("root@web-1@127.0.0.1:{}", there.display())).arg(&mount);
    sshfs.args(["-f", "-p", &gate.port.to_string(), "-o"]);
    let key = gate.alice.display();
    sshfs.arg(format!(
        "IdentityFile={key},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,BatchMode=yes"
    ));
    let mut child = sshfs.spawn().expect("sshfs starts");
    std::fs::write(there.join("marker"), "here").expect("a file");
    wait_until("the mount", Duration::from_secs(20), || mount.join("marker").exists());
    let content = vec![7u8; 2_000_000];
    std::fs::write(mount.join("file"), &content).expect("a file");
    assert!(std::fs::read(there.join("file")).expect("a file") == content);
    assert!(std::fs::read(mount.join("file")).expect("a file") == content);
    std::fs::rename(mount.join("file"), mount.join("moved")).expect("a rename");
    let refused = std::fs::read(mount.join("secret/file")).expect_err("a refused file");
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    std::fs::remove_file(mount.join("moved")).expect("it is there");
    run(Command::new("fusermount").args(["-u"]).arg(&mount));
    child.wait().expect("a child of ours");
}

#[test]
fn ansible() {
    let (sshd, gate) = start();
    let ansible = tools::folder().join("venv/bin/ansible");
    let ssh = gate.options(&gate.alice).join(" ");
    for pipelining in ["True", "False"] {
        let inventory = sshd.scratch.write(
            "inventory",
            &format!(
                "web ansible_host=127.0.0.1 ansible_port={} ansible_user=root@web-1 \
                 ansible_ssh_common_args='{ssh}' ansible_python_interpreter=/usr/bin/python3\n",
                gate.port
            ),
        );
        let mut command = Command::new(&ansible);
        command.args(["web", "-i"]).arg(&inventory).args(["-m", "ping"]);
        command.env("ANSIBLE_PIPELINING", pipelining).env("HOME", sshd.scratch.path());
        command
            .env("PATH", format!("{}:/usr/bin:/bin", tools::folder().join("venv/bin").display()));
        let printed = run(&mut command);
        assert!(printed.contains("pong"), "{printed}");
    }
    let (from, to) = (sshd.scratch.write("from", "content"), sshd.scratch.join("copied"));
    let mut command = Command::new(&ansible);
    command.args(["web", "-i"]).arg(sshd.scratch.join("inventory")).args(["-m", "copy", "-a"]);
    command.arg(format!("src={} dest={}", from.display(), to.display()));
    command.env("HOME", sshd.scratch.path());
    run(&mut command);
    assert_eq!(std::fs::read(to).expect("a file"), b"content");
}

/// What editors do: a shell without a terminal, a SOCKS port, `bash` on its standard input.
#[test]
fn a_shell_without_a_terminal_that_reads_a_script() {
    let (_sshd, gate) = start();
    let mut ssh = gate.ssh(&["-T", "-D", &free_port().to_string()]);
    ssh.arg("bash");
    let (stdout, stderr, status) = ended(&fed(&mut ssh, b"echo $((40+2)); exit 5\n"));
    assert_eq!((stdout.as_str(), status), ("42\n", Some(5)), "{stderr}");
}

/// Either side asks for new keys every 64 KiB while 2 MiB, with `--long` 8, pass both ways.
#[test]
fn keys_are_renewed_all_the_time_by_either_side() {
    let bytes = vec![b'x'; (short_or_long(2, 8) as usize) << 20];
    let limit = "RekeyLimit 64K\nKexAlgorithms curve25519-sha256\n";
    for (server, client) in [(limit, &[][..]), ("", &["-o", "RekeyLimit=64K"])] {
        let sshd = Sshd::start_with(|_| server.to_owned());
        let gate = sshd.gate(EVERYTHING);
        let mut options = vec!["-o", "KexAlgorithms=curve25519-sha256"];
        options.extend(client);
        let echoed = fed(gate.ssh(&options).arg("cat"), &bytes);
        assert!(echoed.stdout == bytes, "{}", String::from_utf8_lossy(&echoed.stderr));
    }
}
