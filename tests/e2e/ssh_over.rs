//! Connections of SSH end with what opened them: a key, a certificate, a CA.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ssh::{EVERYTHING, Gate, Sshd, keygen};
use crate::support::lake::text;
use crate::support::scratch::{output, run};
use crate::support::wait_until;

/// A connection with a command that goes on for ever.
struct Lasting(Child);

impl Lasting {
    fn open(gate: &Gate, sshd: &Sshd, name: &str) -> Lasting {
        let before = live(gate);
        let mut command = Command::new("ssh");
        command.args(gate.options(&sshd.private(name)));
        command.args(["-o", "LogLevel=INFO", "-p", &gate.port.to_string(), "root@web-1@127.0.0.1"]);
        command.arg("echo begun; exec sleep 600").stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ssh");
        wait_until("a connection", Duration::from_secs(20), || live(gate) > before);
        Lasting(child)
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("a child of ours").is_none()
    }

    /// It ends by itself; what its client was told.
    fn told(mut self) -> String {
        wait_until("its end", Duration::from_secs(20), || !self.lives());
        let ended = self.0.wait_with_output().expect("it ended");
        String::from_utf8_lossy(&ended.stderr).into_owned()
    }
}

/// Sessions that run a command.
fn live(gate: &Gate) -> usize {
    let mut listed = String::new();
    // A shard of a busy machine may be late.
    wait_until("a list", Duration::from_secs(60), || {
        let told = output(&mut gate.weir.command(&["sessions", "--live", "--json"]));
        listed = String::from_utf8_lossy(&told.stdout).into_owned();
        told.status.success()
    });
    listed.lines().filter(|line| line.contains("\"active\"")).count()
}

fn sign(sshd: &Sshd, name: &str, serial: &str, until: &str) {
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-I", name, "-z", serial, "-n", "root", "-V", &format!("-1m:{until}"), "-s"]);
    run(sign.arg(sshd.private("ca")).arg(sshd.private(&format!("{name}.pub"))));
}

fn revoke(sshd: &Sshd, lines: &str) {
    let spec = sshd.scratch.write("spec", lines);
    let mut made = Command::new("ssh-keygen");
    made.args(["-q", "-k", "-f"]).arg(sshd.scratch.join("krl"));
    run(made.arg("-s").arg(sshd.private("ca.pub")).arg(spec));
}

const OVER: &str = "the certificate that opened this connection is over or revoked";

#[test]
fn connections_end_with_what_opened_them() {
    let sshd = Sshd::start();
    revoke(&sshd, "serial: 1\n");
    let people = format!(
        "[[identity.ssh_ca]]\nkeys = [\"{}\"]\ngroups = [\"people\"]\nkrl = \"{}\"\n",
        sshd.public("ca"),
        sshd.scratch.join("krl").display()
    );
    let own = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let mut gate = sshd.gate_with(EVERYTHING, &own, &people);
    for (name, serial, until) in
        [("carol", "7", "+60m"), ("dave", "8", "+60m"), ("erin", "9", "+15s")]
    {
        keygen(&sshd.scratch, name, "ed25519");
        sign(&sshd, name, serial, until);
    }
    let erin = Lasting::open(&gate, &sshd, "erin");
    let mut alice = Lasting::open(&gate, &sshd, "alice");
    let mut bob = Lasting::open(&gate, &sshd, "bob");
    let carol = Lasting::open(&gate, &sshd, "carol");
    let mut dave = Lasting::open(&gate, &sshd, "dave");
    // Its time is over.
    assert!(erin.told().contains(OVER));
    // Taken back, without a signal. Others of the CA go on.
    revoke(&sshd, "serial: 7\n");
    assert!(carol.told().contains(OVER));
    assert!(dave.lives() && bob.lives() && alice.lives());
    // A key of somebody who stays.
    let key = sshd.public("alice");
    let other = sshd.public("gate");
    gate.weir.reload(|toml| toml.replace(&key, &other));
    assert!(alice.told().contains("the key that opened this connection was taken away"));
    assert!(dave.lives() && bob.lives());
    // A CA.
    gate.weir.reload(|toml| toml.replace(&people, ""));
    assert!(dave.told().contains(OVER));
    assert!(bob.lives());
    bob.0.kill().expect("a child of ours");
    bob.0.wait().expect("a child of ours");
    let sessions = gate.weir.lake().rows("sessions");
    let reason = |user: &str| {
        let end = sessions
            .iter()
            .find(|row| text(row, "user_name") == user && row["end_reason"].as_str().is_some());
        text(end.expect("its end"), "end_reason")
    };
    for user in ["carol", "dave", "erin"] {
        assert_eq!(reason(user), "certificate-over", "{user}");
    }
    assert_eq!((reason("alice"), reason("bob")), ("key-removed".into(), "client-terminate".into()));
}
