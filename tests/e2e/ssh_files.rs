//! Files over SFTP through weir: OpenSSH's sftp and scp, rules on paths, holds on single
//! operations.

use std::process::Command;
use std::time::Duration;

use crate::ssh::{EVERYTHING, Gate, Sshd, ended, fed, one};
use crate::support::lake::{self, Row, number, text};
use crate::support::scratch::output;
use crate::support::wait_until;

fn sftp(gate: &Gate, batch: &str) -> (String, String, Option<i32>) {
    let mut command = Command::new("sftp");
    command.args(gate.options(&gate.alice)).args(["-P", &gate.port.to_string(), "-b", "-"]);
    command.arg("root@web-1@127.0.0.1");
    ended(&fed(&mut command, batch.as_bytes()))
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_text<'r>(rows: &'r [Row], start: &str) -> Vec<&'r Row> {
    rows.iter().filter(|row| text(row, "query_text").starts_with(start)).collect()
}

#[test]
fn operations_on_files_are_rows_with_counts_and_digests() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let content = bytes(2_000_000);
    let local = sshd.scratch.join("local");
    std::fs::write(&local, &content).expect("a file");
    let (there, back) = (sshd.scratch.join("there"), sshd.scratch.join("back"));
    let folder = sshd.scratch.path().display().to_string();
    let batch = format!(
        "put {local} {there}\nget {there} {back}\nls {folder}\nmkdir {folder}/new\n\
         rename {there} {folder}/new/moved\nchmod 600 {folder}/new/moved\n\
         ln -s /etc {folder}/new/link\nrm {folder}/new/moved\n-rmdir {folder}/new\n",
        local = local.display(),
        there = there.display(),
        back = back.display(),
    );
    let (stdout, stderr, status) = sftp(&gate, &batch);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    assert!(std::fs::read(&back).expect("a file") == content);
    assert!(std::fs::symlink_metadata(sshd.scratch.join("new/link")).is_ok());
    let recorded = gate.weir.lake();
    let commands = recorded.rows("commands");
    let responses = recorded.rows("responses");
    let parent = one(&commands, "query_text", "sftp");
    let answer = |start: &str| {
        let row = of_text(&commands, start);
        assert_eq!(row.len(), 1, "{start}: {commands:#?}");
        assert_eq!(row[0]["parent_seq"], parent["seq"], "{start}");
        let seq = number(row[0], "seq");
        let found: Vec<&Row> =
            responses.iter().filter(|row| number(row, "command_seq") == seq).collect();
        assert_eq!(found.len(), 1, "{start}");
        (row[0].clone(), found[0].clone())
    };
    let (put, put_end) = answer(&format!("open {} write,create,truncate", there.display()));
    assert_eq!(put["classes"], serde_json::json!(["sftp-write"]));
    assert_eq!(text(&put_end, "tag"), "wrote 2000000");
    assert!(text(&put_end, "attrs").contains(&sha256(&content)), "{put_end:?}");
    let (get, get_end) = answer(&format!("open {} read", there.display()));
    assert_eq!(get["classes"], serde_json::json!(["sftp-read"]));
    assert_eq!(text(&get_end, "tag"), "read 2000000");
    assert_eq!(hex(&lake::bytes(&get_end, "body_sha256")), sha256(&content));
    for (start, class) in [
        ("opendir ", "sftp-list"),
        ("mkdir ", "sftp-write"),
        ("rename ", "sftp-write"),
        ("setstat ", "sftp-attr"),
        ("symlink ", "sftp-attr"),
    ] {
        let (row, end) = answer(start);
        assert_eq!(row["classes"], serde_json::json!([class]));
        assert_eq!(text(&end, "outcome"), "success", "{start}");
    }
    assert_eq!(text(&answer("rmdir ").1, "outcome"), "error");
    assert_eq!(text(&answer("remove ").1, "outcome"), "success");
    let looks = of_text(&commands, &format!("stat {folder}"));
    assert!(!looks.is_empty(), "looking is in the record, too: {commands:#?}");
    assert!(looks.iter().all(|row| row["classes"] == serde_json::json!(["sftp-list"])));
}

#[test]
fn rules_on_paths_refuse_single_operations() {
    let sshd = Sshd::start();
    let folder = sshd.scratch.path().display().to_string();
    let rules = format!(
        "[[rule]]\nname = \"files\"\nwhen = {{ commands = [\"subsystem\", \"sftp-list\"] }}\n\
         then = \"allow\"\n[[rule]]\nname = \"open ones\"\n\
         when = {{ commands = [\"sftp-read\", \"sftp-write\"], paths = [\"{folder}/open/*\"] }}\n\
         then = \"allow\"\n"
    );
    let mut gate = sshd.gate(&rules);
    std::fs::create_dir(sshd.scratch.join("open")).expect("a folder");
    for name in ["secret", "open/a"] {
        std::fs::write(sshd.scratch.join(name), "content").expect("a file");
    }
    let batch = format!(
        "-get {folder}/secret {folder}/stolen\n-get {folder}/open/../secret {folder}/stolen\n\
         -rm {folder}/open/a\nget {folder}/open/a {folder}/taken\n\
         put {folder}/taken {folder}/open/b\n-put {folder}/taken {folder}/c\n"
    );
    let (stdout, stderr, status) = sftp(&gate, &batch);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    assert!(stderr.contains("ermission denied"), "{stderr}");
    assert!(stderr.contains("weir: denied"), "{stderr}");
    let there = |name: &str| sshd.scratch.join(name).exists();
    assert!(!there("stolen") && !there("c") && there("taken") && there("open/a"));
    assert_eq!(std::fs::read(sshd.scratch.join("open/b")).expect("a file"), b"content");
    let port = gate.port.to_string();
    let mut scp = Command::new("scp");
    scp.args(gate.options(&gate.alice)).args(["-P", &port]);
    scp.args([&format!("root@web-1@127.0.0.1:{folder}/secret"), &format!("{folder}/stolen")]);
    let (_, stderr, status) = ended(&output(&mut scp));
    assert_ne!(status, Some(0));
    assert!(stderr.contains("weir: denied"), "{stderr}");
    let commands = gate.weir.lake().rows("commands");
    let denied = commands.iter().filter(|row| text(row, "decision") == "deny").count();
    assert_eq!(denied, 5, "{commands:#?}");
}

/// Of clients that do not ask first where they are.
#[test]
fn relative_paths_start_where_the_target_says() {
    let sshd = Sshd::start();
    let folder = sshd.scratch.path().display().to_string();
    let home = std::env::var("HOME").expect("a home");
    let name = format!(".weir-relative-{}", std::process::id());
    std::fs::write(format!("{home}/{name}"), "there").expect("a file");
    let rules = format!(
        "{EVERYTHING}[[rule]]\nname = \"stays\"\nwhen = {{ paths = [\"{home}/{name}-secret\"] }}\n\
         then = {{ deny = \"it stays\" }}\n"
    );
    let gate = sshd.gate(&rules);
    let scp = |from: String, to: String| {
        let mut scp = Command::new("scp");
        scp.args(gate.options(&gate.alice)).args(["-q", "-s", "-P", &gate.port.to_string()]);
        ended(&output(scp.args([from, to])))
    };
    let there = |name: &str| format!("root@web-1@127.0.0.1:{name}");
    let (_, stderr, status) = scp(there(&name), format!("{folder}/down"));
    assert_eq!(status, Some(0), "{stderr}");
    assert_eq!(std::fs::read_to_string(format!("{folder}/down")).expect("a file"), "there");
    let (_, stderr, status) = scp(format!("{folder}/down"), there(&format!("{name}-secret")));
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("it stays"), "{stderr}");
    std::fs::remove_file(format!("{home}/{name}")).expect("a file");
}

/// OpenSSH's clients close the channel before they have written what came with the failure.
#[test]
fn a_client_shows_why_its_subsystem_is_refused() {
    let sshd = Sshd::start();
    let rules = format!(
        "{EVERYTHING}[[rule]]\nname = \"no files\"\nwhen = {{ commands = [\"subsystem\"] }}\n\
         then = {{ deny = \"no files here\" }}\n"
    );
    let gate = sshd.gate(&rules);
    for _ in 0..5 {
        let (_, stderr, status) = sftp(&gate, "ls\n");
        assert_eq!(status, Some(255), "{stderr}");
        assert!(stderr.contains("no files here") && stderr.contains("subsystem"), "{stderr}");
    }
}

#[test]
fn a_denied_path_is_denied_by_the_names_that_every_linux_has_for_it() {
    let sshd = Sshd::start();
    let folder = sshd.scratch.path().display().to_string();
    let rules = format!(
        "{EVERYTHING}[[rule]]\nname = \"secret\"\nwhen = {{ paths = [\"{folder}/secret*\", \
         \"/run/weir-test/*\"] }}\nthen = {{ deny = \"it is secret\" }}\n"
    );
    let gate = sshd.gate(&rules);
    for name in ["secret", "open"] {
        std::fs::write(sshd.scratch.join(name), "content").expect("a file");
    }
    let own = std::process::id();
    let ways = [
        format!("{folder}/secret"),
        format!("/proc/self/root{folder}/secret"),
        format!("/proc/{own}/root{folder}/secret"),
        "/var/run/weir-test/a".to_owned(),
    ];
    let batch: String = ways.iter().map(|way| format!("-get {way} {folder}/stolen\n")).collect();
    let batch = format!("{batch}get {folder}/open {folder}/taken\nget /proc/version {folder}/v\n");
    let (stdout, stderr, status) = sftp(&gate, &batch);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    // OpenSSH's sftp looks first, and says of what it may not see that it is not there.
    assert_eq!(stderr.matches("not found").count(), ways.len(), "{stderr}");
    assert!(!sshd.scratch.join("stolen").exists() && sshd.scratch.join("taken").exists());
    let (_, stderr, status) = gate.exec(&format!("scp -f {}", ways[1]));
    assert_eq!(status, Some(126), "{stderr}");
    assert!(stderr.contains("it is secret"), "{stderr}");
}

#[test]
fn one_operation_waits_while_others_go_on() {
    let sshd = Sshd::start();
    let folder = sshd.scratch.path().display().to_string();
    let rules = format!(
        "[[rule]]\nname = \"ask\"\n\
         when = {{ commands = [\"sftp-delete\"], paths = [\"*/held-*\"] }}\n\
         then = {{ hold = {{ approvers = [\"dba\"], timeout = \"1m\" }} }}\n{EVERYTHING}"
    );
    let mut gate = sshd.gate(&rules);
    for name in ["held-a", "held-b", "free"] {
        std::fs::write(sshd.scratch.join(name), "content").expect("a file");
    }
    let get = |name: &str| {
        let mut command = Command::new("sftp");
        command.args(gate.options(&gate.alice)).args(["-P", &gate.port.to_string(), "-b", "-"]);
        command.arg("root@web-1@127.0.0.1");
        let batch = format!("rm {folder}/{name}\nrename {folder}/free {folder}/free\n");
        std::thread::spawn(move || ended(&fed(&mut command, batch.as_bytes())))
    };
    let waiter = get("held-a");
    let id = gate.wait_for_hold();
    assert!(sftp(&gate, &format!("get {folder}/free {folder}/got\n")).2 == Some(0));
    assert!(sshd.scratch.join("held-a").exists());
    gate.vote("approve", &id);
    let (stdout, stderr, status) = waiter.join().expect("it ends");
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    assert!(stderr.contains("weir: held for approval"), "{stderr}");
    assert!(!sshd.scratch.join("held-a").exists());
    let waiter = get("held-b");
    let id = gate.wait_for_hold();
    gate.vote("deny", &id);
    let (_, stderr, status) = waiter.join().expect("it ends");
    assert_ne!(status, Some(0));
    assert!(stderr.contains("denied by dora"), "{stderr}");
    assert!(sshd.scratch.join("held-b").exists());
    let commands = gate.weir.lake().rows("commands");
    let decisions: Vec<String> =
        of_text(&commands, "remove ").iter().map(|row| text(row, "decision")).collect();
    assert_eq!(decisions, ["allow", "deny"]);
}

#[test]
fn one_client_goes_on_while_one_of_its_operations_waits() {
    let sshd = Sshd::start();
    let folder = sshd.scratch.path().display().to_string();
    let rules = format!(
        "[[rule]]\nname = \"ask\"\nwhen = {{ paths = [\"*/held\"] }}\n\
         then = {{ hold = {{ approvers = [\"dba\"], timeout = \"1m\" }} }}\n{EVERYTHING}"
    );
    let gate = sshd.gate(&rules);
    let port = gate.port.to_string();
    // Packets by hand: INIT, a MKDIR that is held, and 200 MKDIRs behind it.
    let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let mkdir = |id: u32, name: &str| {
        let path = string(format!("{folder}/{name}").as_bytes());
        string(&[&[14][..], &id.to_be_bytes(), &path, &[0; 4]].concat())
    };
    let mut input = string(&[1, 0, 0, 0, 6]);
    input.extend(mkdir(1, "held"));
    (2..202).for_each(|id| input.extend(mkdir(id, &format!("free-{id}"))));
    let mut ssh = Command::new("ssh");
    ssh.args(gate.options(&gate.alice)).args(["-p", &port, "-s", "root@web-1@127.0.0.1", "sftp"]);
    let mut child = ssh
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("ssh starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, &input).expect("it reads");
    wait_until("the others", Duration::from_secs(20), || sshd.scratch.join("free-201").exists());
    let id = gate.wait_for_hold();
    assert!(!sshd.scratch.join("held").exists());
    gate.vote("deny", &id);
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut read = vec![0; 9];
    std::io::Read::read_exact(&mut stdout, &mut read).expect("VERSION");
    assert_eq!(read[4..], [2, 0, 0, 0, 3], "no version beyond 3");
    drop(stdin);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stdout, &mut rest).expect("replies");
    let denied = [&[101][..], &1u32.to_be_bytes(), &3u32.to_be_bytes()].concat();
    assert_eq!(rest.windows(9).filter(|window| *window == denied).count(), 1);
    child.wait().expect("a child of ours");
    assert!(!sshd.scratch.join("held").exists());
}
