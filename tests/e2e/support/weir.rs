//! The built weir, with a configuration of its own.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::lake::Lake;
use super::postgres::PASSWORD;
use super::scratch::{Scratch, free_port, wait_until};
use super::{Certificates, Database, Endpoint, short_or_long};

/// The user that tests log in as, unless they say otherwise.
pub const USER: &str = "alice";
/// Passwords of weir's users.
pub const USER_PASSWORD: &str = "pw-of-the-user-51c7";
/// The target's name, unless a test says otherwise. It differs from the database's on purpose.
pub const TARGET: &str = "orders";

/// A target's setting: no TLS between weir and the server.
pub const CLEAR: &str = "tls = \"disable\"";

/// What a weir is started with.
#[derive(Debug)]
pub struct Spec {
    tail: String,
    listen: Option<String>,
    listen_tls: String,
    users: String,
    targets: String,
    rules: String,
    masks: String,
    data_dir: Option<PathBuf>,
    scratch: Scratch,
}

/// A running weir.
#[derive(Debug)]
pub struct Weir {
    pub port: u16,
    config: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    scratch: Scratch,
}

impl Spec {
    /// One target over `database`, the user `alice` of the group `staff`, everything allowed.
    pub fn new(database: &Database) -> Spec {
        let mut spec = Spec::bare("weir");
        spec.targets = spec.target_toml(TARGET, &database.endpoint(), CLEAR);
        spec.everything_allowed()
    }

    /// The user `alice` of the group `staff` may do everything.
    pub fn everything_allowed(mut self) -> Spec {
        self.rules = "[[rule]]\nname = \"all\"\nwhen = {}\nthen = \"allow\"\n".to_owned();
        self.user(USER, &["staff"])
    }

    /// No target, no rule, no user.
    pub fn bare(name: &str) -> Spec {
        Spec {
            tail: String::new(),
            listen: None,
            listen_tls: String::new(),
            users: String::new(),
            targets: String::new(),
            rules: String::new(),
            masks: String::new(),
            data_dir: None,
            scratch: Scratch::new(name),
        }
    }

    /// These lines in [listen.postgres] instead of the usual certificate.
    pub fn listen(mut self, lines: &str) -> Spec {
        self.listen = Some(lines.to_owned());
        self
    }

    /// A target of several servers.
    pub fn servers(mut self, name: &str, servers: &[Endpoint], settings: &str) -> Spec {
        let first = servers.first().expect("a server");
        let toml = self.target_toml(name, first, settings);
        let one = format!("address = \"{}:{}\"", first.host, first.port);
        let all: Vec<String> =
            servers.iter().map(|it| format!("{}:{}", it.host, it.port)).collect();
        self.targets += &toml.replace(&one, &format!("addresses = {all:?}"));
        self
    }

    /// Where the files of this test are.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// A `[[target.credential]]` for these groups.
    pub fn credential_toml(&self, role: &str, password: &str, groups: &[&str]) -> String {
        let file = self.scratch.write(&format!("credential-{role}"), password);
        format!(
            "[[target.credential]]\nrole = \"{role}\"\ngroups = {groups:?}\n\
             password = {{ file = \"{}\" }}\n",
            file.display()
        )
    }

    /// The first target again, with settings and credentials of its own.
    pub fn target_with_credentials(
        mut self,
        server: &Endpoint,
        settings: &str,
        credentials: &str,
    ) -> Spec {
        self.targets = format!(
            "[[target]]\nname = \"{TARGET}\"\naddress = \"{}:{}\"\ndatabase = \"{}\"\n\
             {settings}\n{credentials}",
            server.host, server.port, server.dbname
        );
        self
    }

    fn target_toml(&self, name: &str, server: &Endpoint, settings: &str) -> String {
        let file = format!("password-{name}-{}", server.user);
        let password = self.scratch.write(&file, &server.password);
        format!(
            "[[target]]\nname = \"{name}\"\nprotocol = \"postgres\"\naddress = \"{}:{}\"\n\
             database = \"{}\"\n{settings}\n[[target.credential]]\nrole = \"{}\"\n\
             password = {{ file = \"{}\" }}\n",
            server.host,
            server.port,
            server.dbname,
            server.user,
            password.display()
        )
    }

    /// Another user; the password is `USER_PASSWORD`.
    pub fn user(mut self, name: &str, groups: &[&str]) -> Spec {
        let file = self.scratch.write(&format!("user-{name}"), USER_PASSWORD);
        let _ = writeln!(
            self.users,
            "[[identity.user]]\nname = \"{name}\"\npassword = {{ file = \"{}\" }}\n\
             groups = {groups:?}",
            file.display()
        );
        self
    }

    /// Another target, at `server`.
    pub fn target(mut self, name: &str, server: &Endpoint, settings: &str) -> Spec {
        self.targets += &self.target_toml(name, server, settings);
        self
    }

    /// The first target again, with lines of its own (`tls = ..`, `capture = ..`).
    pub fn target_settings(mut self, server: &Endpoint, settings: &str) -> Spec {
        self.targets = self.target_toml(TARGET, server, settings);
        self
    }

    /// These rules instead of "everything allowed".
    pub fn rules(mut self, toml: &str) -> Spec {
        self.rules = toml.to_owned();
        self
    }

    /// These masks.
    pub fn masks(mut self, toml: &str) -> Spec {
        self.masks = toml.to_owned();
        self
    }

    /// More keys of the listener's `tls`, each with a comma before it.
    pub fn listen_tls(mut self, toml: &str) -> Spec {
        self.listen_tls += toml;
        self
    }

    /// Tables of the file that have no method here.
    pub fn tail(mut self, toml: &str) -> Spec {
        self.tail += toml;
        self
    }

    /// Records go there instead of into the scratch folder.
    pub fn data_dir(mut self, path: PathBuf) -> Spec {
        self.data_dir = Some(path);
        self
    }

    /// Starts weir and waits until it takes connections.
    pub fn start(self) -> Weir {
        let mut weir = self.prepare();
        weir.start();
        weir
    }

    /// Writes the file and starts nothing.
    pub fn prepare(self) -> Weir {
        let (port, admin) = (free_port(), free_port());
        let data_dir = self.data_dir.unwrap_or_else(|| self.scratch.join("data"));
        std::fs::create_dir_all(&data_dir).expect("the data directory");
        let toml = format!(
            "data_dir = \"{}\"\n\n[listen.postgres]\naddress = \"127.0.0.1:{port}\"\n{}\n\n\
             [admin]\naddress = \"127.0.0.1:{admin}\"\n\n{}\n{}\n{}\n{}\n{}",
            data_dir.display(),
            self.listen.unwrap_or_else(|| listen_tls(&self.listen_tls)),
            self.targets,
            self.users,
            self.rules,
            self.masks,
            self.tail
        );
        let config = self.scratch.write("weir.toml", &toml);
        let log = self.scratch.join("weir.log");
        Weir { port, config, data_dir, log, child: None, scratch: self.scratch }
    }
}

/// The usual certificate, with `more` in its table.
fn listen_tls(more: &str) -> String {
    let Certificates { certificate, key, .. } = Certificates::shared();
    let (certificate, key) = (certificate.display(), key.display());
    format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\", required = false{more} }}")
}

impl Weir {
    /// Has it read its configuration again, and does not wait for what comes of it.
    pub fn hang_up(&self) {
        signal(self.child.as_ref().expect("weir runs"), libc::SIGHUP);
    }

    /// Starts the process and waits until it takes connections.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "weir runs already");
        let log = std::fs::File::options().create(true).append(true).open(&self.log);
        let log = log.expect("the log file");
        let stdout = log.try_clone().expect("the log file again");
        let mut command = self.command(&["run"]);
        command.stdin(Stdio::null()).stdout(stdout).stderr(log);
        self.child = Some(command.spawn().expect("weir starts"));
        let start = Instant::now();
        let answers = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        // The last thing that weir does before it serves: its commands find it from then on.
        let pid = format!("\"pid\":{}", self.pid());
        let place = self.data_dir.join("admin.json");
        let placed = || {
            let text = std::fs::read_to_string(&place).unwrap_or_default();
            text.replace(char::is_whitespace, "").contains(&pid)
        };
        while !(answers(self.port) && placed()) {
            let child = self.child.as_mut().expect("just started");
            if let Some(status) = child.try_wait().expect("a child of ours") {
                panic!("weir ended with {status} before it was ready:\n{}", self.log());
            }
            let late = start.elapsed() > Duration::from_secs(30);
            assert!(!late, "weir is not ready after 30 s:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A file beside the configuration.
    pub fn scratch_file(&self, name: &str, text: &str) -> PathBuf {
        self.scratch.write(name, text)
    }

    /// A command of weir's with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments).arg("--config").arg(&self.config).env("RUST_BACKTRACE", "1");
        command
    }

    /// How the user of `Spec::new` reaches its target.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: USER.to_owned(),
            password: USER_PASSWORD.to_owned(),
            dbname: TARGET.to_owned(),
            tls: false,
        }
    }

    /// Asks weir to end, and waits until it has: sessions drained, records sealed.
    pub fn stop(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("weir runs");
        signal(child, libc::SIGTERM);
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                self.child = None;
                return status;
            }
            // All that a minute of load has recorded is made into Parquet first.
            let limit = Duration::from_secs(short_or_long(60, 600).into());
            assert!(start.elapsed() < limit, "weir does not end after {limit:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Puts another configuration into force by SIGHUP.
    pub fn reload(&self, change: impl FnOnce(&str) -> String) {
        let before = std::fs::read_to_string(&self.config).expect("the configuration");
        std::fs::write(&self.config, change(&before)).expect("another configuration");
        let done = || self.log().matches("SIGHUP: the configuration is in force").count();
        let reloads = done();
        signal(self.child.as_ref().expect("weir runs"), libc::SIGHUP);
        wait_until("the new configuration", Duration::from_secs(20), || done() > reloads);
    }

    /// `kill -9`, in the middle of whatever it does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("weir runs");
        signal(&child, libc::SIGKILL);
        let status = child.wait().expect("a child of ours");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "weir had ended before:\n{}", self.log());
    }

    /// Stops weir if it runs, and opens what it recorded.
    pub fn lake(&mut self) -> Lake {
        if self.child.is_some() {
            let status = self.stop();
            assert!(status.success(), "weir ended with {status}:\n{}", self.log());
        }
        Lake::open(&self.data_dir)
    }

    /// What it wrote to stdout and stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("weir runs").id()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Memory of its own in KiB: without the journal, which is mapped and only written through.
    pub fn anonymous_kib(&self) -> u64 {
        self.status_kib("RssAnon:")
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the status of a running weir");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|end| end.is_none()))
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the end of weir's log:");
            for line in tail.iter().rev() {
                eprintln!("  {line}");
            }
        }
    }
}

/// Sends a signal to a child that has not been waited for, so its id is still its own.
fn signal(child: &Child, signal: i32) {
    let mut command = Command::new("kill");
    command.arg(format!("-{signal}")).arg(child.id().to_string());
    super::scratch::run(&mut command);
}

/// The password of the target, which must appear nowhere.
pub fn target_password() -> &'static str {
    PASSWORD
}
