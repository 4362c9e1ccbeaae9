//! Who trusts whom over SSH: host keys of targets, one-target listeners, revoked certificates,
//! tokens as passwords.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::ssh::{EVERYTHING, Gate, Sshd, ended, keygen};
use crate::support::lake::text;
use crate::support::oidc::{OTHER, Oidc, WEIR};
use crate::support::scratch::{output, run};
use crate::support::wait_until;

fn exec(gate: &Gate, key: &Path, user: &str) -> (String, String, Option<i32>) {
    let mut command = Command::new("ssh");
    command.args(gate.options(key)).args(["-p", &gate.port.to_string()]);
    ended(&output(command.arg(format!("{user}@127.0.0.1")).arg("echo in")))
}

#[test]
fn a_known_hosts_file_says_which_keys_are_the_targets() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let own = format!("host_key = [\"{}\"]", sshd.public("host"));
    let file = |name: &str, lines: &str| {
        let path = sshd.scratch.write(name, lines);
        format!("known_hosts = \"{}\"", path.display())
    };
    let line = format!("[localhost]:{} {}\n", sshd.port, sshd.public("host"));
    let known = file("known", &line);
    gate.weir.reload(|toml| toml.replace(&own, &known));
    assert_eq!(gate.exec("echo in").0, "in\n");
    // As ssh-keygen hashes names.
    let hashed = sshd.scratch.write("hashed", &line);
    run(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&hashed));
    assert!(std::fs::read_to_string(&hashed).expect("a file").starts_with("|1|"));
    let hashed = format!("known_hosts = \"{}\"", hashed.display());
    gate.weir.reload(|toml| toml.replace(&known, &hashed));
    assert_eq!(gate.exec("echo in").0, "in\n");
    let revoked = format!("{line}@revoked * {}\n", sshd.public("host"));
    let revoked = file("revoked", &revoked);
    gate.weir.reload(|toml| toml.replace(&hashed, &revoked));
    let (_, stderr, status) = gate.exec("echo in");
    assert_eq!(status, Some(255), "{stderr}");
    assert!(stderr.contains("host key is not the configured one"), "{stderr}");
}

#[test]
fn a_ca_of_hosts_certifies_a_target_for_its_name() {
    let sshd = Sshd::start_with(|scratch| {
        let host = scratch.join("host.pub");
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-h", "-I", "h", "-n", "localhost", "-V", "-1m:+60m", "-s"]);
        run(sign.arg(scratch.join("ca")).arg(host));
        format!("HostCertificate {}", scratch.join("host-cert.pub").display())
    });
    let gate = sshd.gate(EVERYTHING);
    let own = format!("host_key = [\"{}\"]", sshd.public("host"));
    let (ca, other) = (sshd.public("ca"), sshd.public("gate"));
    gate.weir.reload(|toml| toml.replace(&own, &format!("host_ca = [\"{ca}\"]")));
    let (stdout, stderr, _) = gate.exec("echo in");
    assert_eq!(stdout, "in\n", "{stderr}");
    gate.weir.reload(|toml| toml.replace("localhost:", "127.0.0.1:"));
    assert_eq!(gate.exec("echo in").2, Some(255), "another name");
    let told = checked(&gate);
    assert!(told.contains("for localhost, but the target's address says 127.0.0.1"), "{told}");
    assert!(!told.contains("host_key = ["), "{told}");
    gate.weir.reload(|toml| {
        let named =
            toml.replace(&format!("127.0.0.1:{}", sshd.port), &format!("localhost:{}", sshd.port));
        named.replace(&ca, &other)
    });
    assert_eq!(gate.exec("echo in").2, Some(255), "another CA");
    let told = checked(&gate);
    assert!(told.contains("by a CA that is not configured"), "{told}");
    assert!(told.contains(&format!("host_ca = [\"{ca}\"]")), "{told}");
    let host = format!("[localhost]:{}", sshd.port);
    let lines = format!("@cert-authority {host} {ca}\n@revoked * {}\n", sshd.public("host"));
    let file = sshd.scratch.write("known", &lines);
    gate.weir.reload(|toml| {
        let own = format!("host_ca = [\"{other}\"]");
        toml.replace(&own, &format!("known_hosts = \"{}\"", file.display()))
    });
    let told = checked(&gate);
    assert!(told.contains("whose key is revoked by known_hosts"), "{told}");
    assert!(!told.contains("if it is the right"), "{told}");
}

/// What `weir check` says of the gate's configuration.
fn checked(gate: &Gate) -> String {
    let config = gate.weir.data_dir().parent().expect("a folder").join("weir.toml");
    let mut check = Command::new(env!("CARGO_BIN_EXE_weir"));
    let result = output(check.args(["check", "--config"]).arg(config));
    String::from_utf8_lossy(&result.stdout).into_owned() + &String::from_utf8_lossy(&result.stderr)
}

#[test]
fn check_says_why_a_certificate_of_a_host_is_not_taken() {
    let cases = [
        (&["-h", "-n", "localhost", "-V", "20200101Z:20210101Z"][..], "that ended 2021-01-01"),
        (&["-h", "-n", "localhost", "-V", "20900101Z:20910101Z"], "not valid before 2090-01-01"),
        (&["-h", "-n", "localhost", "-O", "critical:a@b=c"], "with the critical option a@b"),
        (&["-h"], "for no name"),
        (&["-n", "localhost"], "that is for a user"),
    ];
    for (options, why) in cases {
        let sshd = Sshd::start_with(|scratch| {
            let mut sign = Command::new("ssh-keygen");
            sign.args(["-q", "-I", "h"]).args(options).arg("-s").arg(scratch.join("ca"));
            run(sign.arg(scratch.join("host.pub")));
            format!("HostCertificate {}", scratch.join("host-cert.pub").display())
        });
        let gate = sshd.gate(EVERYTHING);
        let own = format!("host_key = [\"{}\"]", sshd.public("host"));
        let ca = format!("host_ca = [\"{}\"]", sshd.public("ca"));
        gate.weir.reload(|toml| toml.replace(&own, &ca));
        assert_eq!(gate.exec("echo in").2, Some(255), "{why}");
        let told = checked(&gate);
        assert!(told.contains(why), "{why}: {told}");
        assert!(!told.contains("if it is the right"), "{told}");
    }
}

#[test]
fn check_prints_the_line_that_is_missing() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let known = sshd
        .scratch
        .write("known", &format!("[localhost]:{} {}\n", sshd.port, sshd.public("gate")));
    let own = format!("host_key = [\"{}\"]", sshd.public("host"));
    gate.weir.reload(|toml| toml.replace(&own, &format!("known_hosts = \"{}\"", known.display())));
    let config = gate.weir.data_dir().parent().expect("a folder").join("weir.toml");
    let mut check = Command::new(env!("CARGO_BIN_EXE_weir"));
    let result = output(check.args(["check", "--config"]).arg(config));
    let printed = String::from_utf8_lossy(&result.stdout).into_owned()
        + &String::from_utf8_lossy(&result.stderr);
    assert!(printed.contains(&sshd.public("host")), "{printed}");
}

/// A new file has no key of a target yet: weir asks the target for it.
#[test]
fn check_prints_the_line_of_a_target_without_any() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let config = gate.weir.data_dir().parent().expect("a folder").join("weir.toml");
    let whole = std::fs::read_to_string(&config).expect("the configuration");
    let own = format!("host_key = [\"{}\"]", sshd.public("host"));
    for other in ["", "host_key = [\"ssh-ed25519 AAAA...\"]", "host_key = [\"TODO\"]"] {
        let file = gate.weir.scratch_file("new.toml", &whole.replace(&own, other));
        let mut check = Command::new(env!("CARGO_BIN_EXE_weir"));
        let result = output(check.args(["check", "--config"]).arg(&file));
        let printed = String::from_utf8_lossy(&result.stdout).into_owned();
        assert_eq!(result.status.code(), Some(3), "{printed}");
        assert!(printed.contains(&own), "{other}: {printed}");
        let errors = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(errors.contains("host_key") || errors.contains("no key that weir has"), "{errors}");
    }
}

#[test]
fn a_listener_of_one_target_takes_the_whole_name_as_the_role() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let listen = "[listen.ssh]\n";
    let config = gate.weir.data_dir().parent().expect("a folder").join("weir.toml");
    let toml = std::fs::read_to_string(&config).expect("the configuration");
    gate.weir.stop();
    let toml = toml.replace(listen, &format!("{listen}target = \"web-1\"\n"));
    std::fs::write(&config, toml).expect("a file");
    gate.weir.start();
    let (stdout, stderr, _) = exec(&gate, &sshd.private("alice"), "root");
    assert_eq!(stdout, "in\n", "{stderr}");
    let (_, stderr, status) = exec(&gate, &sshd.private("alice"), "root@web-1");
    assert_eq!(status, Some(255), "{stderr}");
    let commands = gate.weir.lake().rows("commands");
    assert_eq!(text(&commands[0], "target"), "web-1");
}

#[test]
fn a_certificate_that_was_taken_back_is_nobody() {
    let sshd = Sshd::start();
    let krl = sshd.scratch.join("krl");
    run(Command::new("ssh-keygen").args(["-q", "-k", "-f"]).arg(&krl));
    let people = format!(
        "[[identity.ssh_ca]]\nkeys = [\"{}\"]\ngroups = [\"people\"]\nkrl = \"{}\"\n",
        sshd.public("ca"),
        krl.display()
    );
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let gate = sshd.gate_with(EVERYTHING, &own, &people);
    keygen(&sshd.scratch, "carol", "ed25519");
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-I", "carol", "-z", "7", "-n", "root", "-V", "-1m:+60m", "-s"]);
    run(sign.arg(sshd.private("ca")).arg(sshd.private("carol.pub")));
    let attempt = || exec(&gate, &sshd.private("carol"), "root@web-1").0;
    assert_eq!(attempt(), "in\n");
    let list = |lines: &str| {
        let spec = sshd.scratch.write("spec", lines);
        let mut made = Command::new("ssh-keygen");
        made.args(["-q", "-k", "-f"]).arg(&krl).arg("-s").arg(sshd.private("ca.pub"));
        run(made.arg(spec));
        gate.weir.reload(str::to_owned);
    };
    list("serial: 8-9\n");
    assert_eq!(attempt(), "in\n", "another serial");
    list("serial: 3-7\n");
    assert_eq!(attempt(), "");
    list("id: carol\n");
    assert_eq!(attempt(), "");
    list("serial: 8-9\n");
    assert_eq!(attempt(), "in\n");
    // The key and its CA, as they are and by their digests.
    let print = run(Command::new("ssh-keygen").arg("-lf").arg(sshd.private("carol.pub")));
    let print = print.split_whitespace().nth(1).expect("a fingerprint").to_owned();
    let (carol, ca) = (sshd.public("carol"), sshd.public("ca"));
    for lines in [
        format!("key: {carol}\n"),
        format!("sha1: {carol}\n"),
        format!("sha256: {carol}\n"),
        format!("hash: {print}\n"),
        format!("key: {ca}\n"),
        // Single numbers, ranges and a bitmap of them, whichever takes less room.
        "serial: 1\nserial: 3\nserial: 5\nserial: 7\nserial: 9\nserial: 11\n".to_owned(),
        "serial: 1-18446744073709551615\n".to_owned(),
        "serial: 900000\nserial: 7\nid: dave\n".to_owned(),
    ] {
        list(&lines);
        assert_eq!(attempt(), "", "{lines}");
    }
    list(&format!("key: {}\nid: Carol\nserial: 70\n", sshd.public("alice")));
    assert_eq!(attempt(), "in\n", "others are revoked");
    list("serial: 8-9\n");
    // Without a signal it is looked at now and then, a list that is none changes nothing.
    std::fs::write(&krl, "no list").expect("a file");
    let said = || gate.weir.log().contains("a list of revoked certificates cannot be used");
    wait_until("a word on it", Duration::from_secs(20), said);
    assert_eq!(attempt(), "in\n", "the old one stays");
    let spec = sshd.scratch.write("spec", "id: carol\n");
    let mut made = Command::new("ssh-keygen");
    made.args(["-q", "-k", "-f"]).arg(&krl).arg("-s").arg(sshd.private("ca.pub")).arg(spec);
    run(&mut made);
    wait_until("the new list", Duration::from_secs(20), || attempt().is_empty());
}

#[test]
fn a_token_is_a_password() {
    let sshd = Sshd::start();
    let mut issuer = Oidc::start();
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let mut gate = sshd.gate_with(EVERYTHING, &own, &issuer.toml(""));
    let port = gate.port.to_string();
    let attempt = |token: &str| {
        let ask = sshd.scratch.write("ask", "#!/bin/sh\nprintf '%s\\n' \"$TOKEN\"\n");
        run(Command::new("chmod").arg("700").arg(&ask));
        let mut command = Command::new("ssh");
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "PreferredAuthentications=password",
            "NumberOfPasswordPrompts=1",
        ] {
            command.args(["-o", option]);
        }
        command.args(["-F", "none", "-p", &port, "root@web-1@127.0.0.1", "echo in"]);
        command.env("SSH_ASKPASS", &ask).env("SSH_ASKPASS_REQUIRE", "force").env("TOKEN", token);
        ended(&output(&mut command))
    };
    let token = issuer.token("alice", WEIR);
    let (stdout, stderr, _) = attempt(&token);
    assert_eq!(stdout, "in\n", "{} bytes: {stderr}", token.len());
    let other = issuer.token("alice", OTHER);
    assert_eq!(attempt(&other).2, Some(255), "for somebody else");
    assert_eq!(attempt("no token").2, Some(255));
    let (_, stderr, _) = attempt(&"x".repeat(1100));
    assert!(stderr.contains("1023 bytes"), "{stderr}");
    let lake = gate.weir.lake();
    let sessions = lake.rows("sessions");
    let methods: Vec<String> = sessions.iter().map(|row| text(row, "auth_method")).collect();
    assert!(methods.contains(&"oidc".to_owned()), "{methods:?}");
}
