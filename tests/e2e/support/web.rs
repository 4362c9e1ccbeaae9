//! A server of HTTP, weir with TLS in front of it, and curl.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::scratch::{free_port, run};
use super::weir::{USER, USER_PASSWORD};
use super::{Certificates, Spec, Weir, tools, wait_until};

/// What weir shows the server.
pub const BEARER: &str = "the-token-of-the-target-9c1e";

/// What an answer shows of it that shows what the server got.
pub fn shown_bearer() -> String {
    format!("Bearer {}", "*".repeat(BEARER.len()))
}

/// Everything but two things is allowed.
pub const RULES: &str = r#"
[[rule]]
name = "the rest"
when = { commands = ["read", "write", "delete", "tunnel"] }
then = "allow"

[[rule]]
name = "no secrets"
when = { paths = ["/secret/*"] }
then = { deny = "secrets stay here" }

[[rule]]
name = "deletions are seen"
when = { methods = ["DELETE"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "1m" } }
"#;

/// A server of `tests/drivers`, and its port.
#[derive(Debug)]
pub struct Server {
    pub port: u16,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// In clear.
    pub fn start() -> Server {
        Server::of("http_server.js", &[])
    }

    /// With TLS, for clients of the shared authority.
    pub fn with_tls() -> Server {
        let tls = Certificates::shared();
        Server::of("http_server.js", &[&tls.certificate, &tls.key, &tls.authority])
    }

    /// A script that takes a port and these files.
    pub fn of(script: &str, files: &[&PathBuf]) -> Server {
        Server::run(tools::node(), script, files)
    }

    /// The same, run by this program.
    pub fn run(mut command: Command, script: &str, files: &[&PathBuf]) -> Server {
        let port = free_port();
        command.arg(tools::script(script)).arg(port.to_string()).args(files);
        let child = command.stdin(Stdio::null()).spawn().expect("the server starts");
        let server = Server { port, child };
        let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        wait_until("the server", Duration::from_secs(20), answers);
        server
    }
}

/// weir with a listener of HTTP, and the server behind it.
#[derive(Debug)]
pub struct Web {
    pub weir: Weir,
    pub port: u16,
    _server: Server,
    tls: bool,
}

/// What a `Web` is made of.
#[derive(Debug, Default)]
pub struct Plan<'p> {
    /// The listener has the shared certificate.
    pub tls: bool,
    /// More keys of its `tls`, each with a comma before it.
    pub listen_tls: &'p str,
    /// Lines of the target.
    pub target: &'p str,
    /// Lines of its credential.
    pub credential: &'p str,
    /// Tables of their own.
    pub tail: &'p str,
}

impl Web {
    /// weir in front of `server`, which speaks TLS if `scheme` is `https`.
    pub fn start(server: Server, scheme: &str, plan: &Plan<'_>) -> Web {
        let port = free_port();
        let spec = Spec::bare("web").rules(RULES).user(USER, &["staff"]).user("dora", &["dba"]);
        let token = spec.folder().join("bearer");
        std::fs::write(&token, BEARER).expect("a token");
        let Certificates { certificate, key, .. } = Certificates::shared();
        let (certificate, key) = (certificate.display(), key.display());
        let more = plan.listen_tls;
        let tls = match plan.tls {
            true => format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\"{more} }}"),
            false => String::new(),
        };
        let credential = match plan.credential {
            "" => format!("bearer = {{ file = \"{}\" }}", token.display()),
            given => given.to_owned(),
        };
        let tail = format!(
            "[listen.http]\naddress = \"127.0.0.1:{port}\"\n{tls}\n[[target]]\n\
             name = \"billing\"\nprotocol = \"http\"\nhost = \"localhost\"\n\
             address = \"{scheme}://localhost:{}\"\n{}\n[[target.credential]]\nrole = \"svc\"\n\
             {credential}\n{}",
            server.port, plan.target, plan.tail
        );
        Web { weir: spec.tail(&tail).start(), port, _server: server, tls: plan.tls }
    }

    /// What clients ask for.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.port)
    }

    /// curl that trusts the shared authority and says nothing of who it is.
    pub fn anybody(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "60", "--noproxy", "*", "--cacert"]);
        command.arg(&Certificates::shared().authority).args(arguments);
        command
    }

    /// curl as the user of weir.
    pub fn curl(&self, arguments: &[&str]) -> Command {
        let mut command = self.anybody(arguments);
        command.args(["-u", &format!("{USER}:{USER_PASSWORD}")]);
        command
    }

    /// The status that a curl gets.
    pub fn status(&self, mut curl: Command, path: &str) -> String {
        run(curl.args(["-o", "/dev/null", "-w", "%{http_code}"]).arg(self.url(path)))
    }

    /// What the server says it was asked.
    pub fn told(&self, mut curl: Command, path: &str) -> Value {
        let answer = run(curl.arg(self.url(path)));
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}
