//! A real OpenID Connect issuer over TLS, one per test that needs one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::scratch::free_port;
use super::{Certificates, tools};

/// Tokens for weir, for ten minutes.
pub const WEIR: &str = "https://weir.test/";
/// Tokens for weir, for a second.
pub const SHORT: &str = "https://weir.test/short";
/// Tokens for somebody else.
pub const OTHER: &str = "https://other.test/";

/// A running issuer.
#[derive(Debug)]
pub struct Oidc {
    port: u16,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oidc {
    /// Starts one.
    pub fn start() -> Oidc {
        let port = free_port();
        let tls = Certificates::shared();
        let mut command = tools::node();
        command.arg(tools::script("oidc_provider.js")).arg(port.to_string());
        command.args([&tls.certificate, &tls.key, &tls.authority]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("node");
        let input = child.stdin.take().expect("its stdin");
        let output = BufReader::new(child.stdout.take().expect("its stdout"));
        let mut issuer = Oidc { port, child, input, output };
        assert_eq!(issuer.line(), "ready");
        issuer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line of the issuer");
        line.trim_end().to_owned()
    }

    /// Gives a command; what it answers.
    pub fn say(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").expect("the issuer listens");
        let line = self.line();
        let answer = line.strip_prefix("ok ");
        answer.unwrap_or_else(|| panic!("{command}: {line}")).to_owned()
    }

    /// A token for this person and this resource.
    pub fn token(&mut self, person: &str, resource: &str) -> String {
        self.say(&format!("token {person} {resource}"))
    }

    /// Its name.
    pub fn name(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// `[[identity.oidc]]` for it, and more lines of that section.
    pub fn toml(&self, more: &str) -> String {
        format!(
            "[[identity.oidc]]\nissuer = \"{}\"\naudience = \"weir\"\nusername_claim = \"email\"\n\
             leeway = \"0s\"\nroot_certificates = \"{}\"\n{more}\n",
            self.name(),
            Certificates::shared().authority.display()
        )
    }
}

impl Drop for Oidc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
