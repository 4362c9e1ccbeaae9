//! Peers of SSH that mean harm, on either side: nothing they send or withhold crashes weir, holds
//! another session up, or makes its memory grow without a bound. What they do stands in
//! `tests/drivers/ssh_hostile.py`, which also checks what has to end their own connection.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::ssh::{EVERYTHING, Gate, Sshd};
use crate::support::harm::Bystander;
use crate::support::lake::text;
use crate::support::scratch::free_port;
use crate::support::{short_or_long, tools};

/// A session that was there before the harm: a `cat` whose lines come back.
struct Cat {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Cat {
    fn start(gate: &Gate) -> Cat {
        let mut ssh = gate.ssh(&[]);
        let piped = ssh.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().expect("ssh starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Cat { child, stdin, stdout }
    }

    fn echo(&mut self, what: &str) {
        writeln!(self.stdin, "{what}").expect("its session goes on");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("an answer");
        assert_eq!(line.trim_end(), what);
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks at weir while each scenario is at its worst; how many there were.
fn endure(gate: &mut Gate, mut hostile: Command) -> usize {
    let mut cat = Cat::start(gate);
    let mut bystander = Bystander::new(&gate.weir, |what| cat.echo(what));
    hostile.env("WEIR_FLOOD_S", short_or_long(1, 20).to_string());
    let piped = hostile.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut names = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut count = 0;
    while let Some(Ok(name)) = names.next() {
        bystander.look(&name);
        count += 1;
        writeln!(stdin, "on").expect("it listens");
    }
    let status = child.wait().expect("a child of ours");
    assert!(status.success(), "after {count} scenarios: its own checks");
    bystander.look("all gone");
    drop(bystander);
    drop(cat);
    assert_eq!(gate.exec("echo in").0, "in\n");
    let rows = gate.weir.lake().rows("sessions");
    let ours = rows.iter().filter(|row| text(row, "end_reason") == "internal");
    assert_eq!(ours.count(), 0, "{rows:#?}");
    count
}

fn script(mode: &str) -> Command {
    let mut command = tools::python();
    command.arg(tools::script("ssh_hostile.py")).arg(mode);
    command
}

#[test]
fn hostile_clients_disturb_nobody() {
    let sshd = Sshd::start();
    let mut gate = sshd.gate(EVERYTHING);
    let mut clients = script("client");
    clients.args([&gate.port.to_string(), "root@web-1"]).arg(&gate.alice);
    assert!(endure(&mut gate, clients) > 40, "every scenario took place");
}

#[test]
fn hostile_targets_disturb_nobody() {
    let sshd = Sshd::start();
    let own = free_port();
    let listed = tools::script("ssh_hostile.py");
    let listed = std::fs::read_to_string(listed).expect("a script");
    let mut evil = format!(
        "[[target]]\nname = \"evil\"\nprotocol = \"ssh\"\naddress = \"127.0.0.1:{own}\"\n\
         host_key = [\"{}\"]\n",
        sshd.public("host")
    );
    let password = sshd.scratch.write("password", "any");
    // A scenario is asked for by its name as the role.
    for line in listed.lines().filter_map(|line| line.strip_prefix("async def target_")) {
        let role = line.split('(').next().unwrap_or_default().replace('_', "-");
        let _ = write!(
            evil,
            "[[target.credential]]\nrole = \"target-{role}\"\npassword = {{ file = \"{}\" }}\n",
            password.display()
        );
    }
    let key = format!("key = {{ file = \"{}\" }}", sshd.private("own").display());
    let mut gate = sshd.gate_with(EVERYTHING, &key, &evil);
    let mut target = script("target");
    target.arg(gate.port.to_string()).arg(&gate.alice).arg(own.to_string());
    target.arg(sshd.private("host"));
    assert!(endure(&mut gate, target) > 20, "every scenario took place");
}
