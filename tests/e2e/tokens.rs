//! weir's API tokens: made by the command line and the API, taken by every protocol, over at once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::ssh::{EVERYTHING, Sshd};
use crate::support::lake::{assert_nowhere, text};
use crate::support::scratch::{free_port, output, run};
use crate::support::web::{Server, shown_bearer};
use crate::support::weir::{CLEAR, USER_PASSWORD};
use crate::support::{Certificates, Postgres, Spec, Weir, tools, wait_until};

/// Every kind of target behind one weir. `robot` has nothing but tokens.
struct Bed {
    weir: Weir,
    http: u16,
    ssh: u16,
    _server: Server,
    sshd: Sshd,
}

fn bed() -> Bed {
    let (http, ssh, server, sshd) = (free_port(), free_port(), Server::start(), Sshd::start());
    let database = Postgres::shared().database();
    let Certificates { certificate, key, .. } = Certificates::shared();
    let spec = Spec::new(&database);
    let token = spec.folder().join("bearer");
    std::fs::write(&token, crate::support::web::BEARER).expect("a token");
    let tail = format!(
        "[listen.http]\naddress = \"127.0.0.1:{http}\"\n\
         tls = {{ certificate = \"{}\", key = \"{}\" }}\n\
         [[target]]\nname = \"billing\"\nprotocol = \"http\"\nhost = \"localhost\"\n\
         address = \"http://localhost:{}\"\n[[target.credential]]\nrole = \"svc\"\n\
         bearer = {{ file = \"{}\" }}\n\
         [listen.ssh]\naddress = \"127.0.0.1:{ssh}\"\nhost_keys = [\"{}\"]\n\
         [[target]]\nname = \"web-1\"\nprotocol = \"ssh\"\naddress = \"localhost:{}\"\n\
         host_key = [\"{}\"]\n[[target.credential]]\nrole = \"root\"\n\
         key = {{ file = \"{}\" }}\n\
         [[identity.user]]\nname = \"robot\"\ntoken_only = true\ngroups = [\"agents\"]\n",
        certificate.display(),
        key.display(),
        server.port,
        token.display(),
        sshd.private("gate").display(),
        sshd.port,
        sshd.public("host"),
        sshd.private("own").display(),
    );
    let weir = spec
        .target_settings(&database.endpoint(), CLEAR)
        .user("dora", &["dba", "admin"])
        .rules(EVERYTHING)
        .tail(&tail)
        .start();
    Bed { weir, http, ssh, _server: server, sshd }
}

impl Bed {
    /// A fresh token: its id and secret.
    fn make(&self, more: &[&str]) -> (String, String) {
        let made = run(self.weir.command(&["token", "create", "--json"]).args(more));
        let made: Value = serde_json::from_str(made.trim()).expect("JSON");
        let field = |name: &str| made[name].as_str().expect("a text").to_owned();
        (field("id"), field("secret"))
    }

    fn revoke(&self, id: &str) {
        run(&mut self.weir.command(&["token", "revoke", id]));
    }

    fn curl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "30", "--noproxy", "*", "--cacert"]);
        command.arg(&Certificates::shared().authority).args(arguments);
        command
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.http)
    }

    fn status(&self, arguments: &[&str]) -> String {
        let told = ["-o", "/dev/null", "-w", "%{http_code}"];
        run(self.curl(&told).args(arguments).arg(self.url("/a")))
    }

    fn bearer(&self, secret: &str) -> String {
        self.status(&["-H", &format!("Authorization: Bearer {secret}")])
    }

    /// What psql says with a password, as this user.
    fn psql(&self, user: &str, password: &str) -> Result<String, String> {
        let endpoint = self.weir.endpoint().with_tls().with_user(user, password);
        let mut command = tools::client("psql");
        endpoint.give_to(&mut command);
        let done = output(command.args(["-X", "-w", "-Atc", "SELECT 41 + 1"]));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }

    /// `ssh` with a password.
    fn ssh(&self, password: &str) -> Command {
        let ask = self.weir.scratch_file("askpass", &format!("#!/bin/sh\necho '{password}'\n"));
        std::fs::set_permissions(&ask, std::fs::Permissions::from_mode(0o700)).expect("rights");
        let mut command = Command::new("ssh");
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "PreferredAuthentications=password",
            "NumberOfPasswordPrompts=1",
        ] {
            command.args(["-o", option]);
        }
        command.env("SSH_ASKPASS", ask).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0");
        command.args(["-F", "none", "-p", &self.ssh.to_string(), "root@web-1@127.0.0.1"]);
        command.stdin(Stdio::null());
        command
    }

    fn list(&self) -> Vec<Value> {
        let listed = run(&mut self.weir.command(&["token", "list", "--json"]));
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

#[test]
fn every_protocol_takes_a_token_until_it_is_revoked() {
    let mut bed = bed();
    assert!(bed.psql("app", "weir_nothing").is_err());
    let (id, secret) = bed.make(&["--user", "robot", "--name", "nightly", "--expires", "1h"]);
    assert!(secret.starts_with("weir_") && secret.len() == 54, "{secret}");
    let listed = bed.list();
    assert_eq!((&listed[0]["id"], &listed[0]["user"]), (&json!(id), &json!("robot")));
    assert!(!listed[0].to_string().contains(&secret), "{listed:?}");
    assert_eq!(bed.bearer(&secret), "200");
    for user in ["robot", "x-access-token"] {
        assert_eq!(bed.status(&["-u", &format!("{user}:{secret}")]), "200", "{user}");
    }
    assert_eq!(bed.status(&["-u", &format!("alice:{secret}")]), "401", "it is another's");
    let field = format!("Authorization: Bearer {secret}");
    let told: Value =
        serde_json::from_str(&run(bed.curl(&["-H", &field]).arg(bed.url("/told")))).expect("JSON");
    assert_eq!(told["headers"]["authorization"], shown_bearer());
    assert!(!told.to_string().contains(&secret), "the target sees no token of weir's");
    for user in ["app", "robot", "anybody"] {
        assert_eq!(bed.psql(user, &secret), Ok("42".to_owned()), "{user}");
    }
    assert_eq!(bed.psql("alice", USER_PASSWORD), Ok("42".to_owned()), "passwords go on");
    assert!(bed.psql("alice", &secret).is_err(), "alice has a password");
    assert_eq!(run(bed.ssh(&secret).arg("echo hello")), "hello\n");
    // What is no token, or another one.
    let mut other = secret.clone();
    other.replace_range(10..11, if &other[10..11] == "x" { "y" } else { "x" });
    assert_eq!(bed.bearer(&other), "401");
    assert!(!output(bed.ssh(&other).arg("echo hello")).status.success());

    bed.revoke(&id);
    assert_eq!(bed.bearer(&secret), "401");
    let refused = bed.psql("app", &secret).expect_err("it is revoked");
    // No token is there any more that could be asked for.
    assert!(refused.contains("password") || refused.contains("token"), "{refused}");
    assert!(!output(bed.ssh(&secret).arg("echo hello")).status.success());
    assert!(bed.list().is_empty());
    let file = bed.weir.data_dir().join("api-tokens.json");
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_nowhere(&mut bed.weir, &secret);
    let lake = bed.weir.lake();
    let sessions = lake.rows("sessions");
    for protocol in ["http", "postgresql", "ssh"] {
        let of = |row: &&crate::support::lake::Row| {
            text(row, "phase") == "start"
                && text(row, "protocol") == protocol
                && text(row, "auth_method") == "token"
        };
        let row = sessions.iter().find(of).unwrap_or_else(|| panic!("{protocol}: {sessions:?}"));
        assert_eq!(text(row, "user_name"), "robot");
        let detail: Value = serde_json::from_str(&text(row, "auth_detail")).expect("JSON");
        assert_eq!(detail, json!({ "token": id }), "{protocol}");
    }
    for event in ["token-made", "token-revoked"] {
        let rows = lake.events(event);
        assert_eq!(rows.len(), 1, "{event}");
        let attrs: Value = serde_json::from_str(&text(&rows[0], "attrs")).expect("JSON");
        assert_eq!((&attrs["token"], &attrs["caller"]), (&json!(id), &json!("admin")), "{event}");
        assert_eq!((&attrs["user"], &attrs["name"]), (&json!("robot"), &json!("nightly")));
    }
    drop(bed.sshd);
}

#[test]
fn sessions_end_with_the_token_that_they_live_from() {
    let bed = bed();
    let (id, secret) = bed.make(&["--user", "robot"]);
    let (_, other) = bed.make(&["--user", "robot", "--name", "stays"]);
    // A session of each protocol that goes on and on.
    let mut events = bed.curl(&["-N", "-H", &format!("Authorization: Bearer {secret}")]);
    let mut events =
        events.arg(bed.url("/ticks")).stdout(Stdio::piped()).spawn().expect("curl starts");
    let mut first = [0; 1];
    events.stdout.as_mut().expect("a pipe").read_exact(&mut first).expect("an event");
    let mut shell = bed.ssh(&secret);
    let mut shell =
        shell.arg("echo up; sleep 600").stdout(Stdio::piped()).spawn().expect("ssh starts");
    let mut up = String::new();
    let out = shell.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut up).expect("a line");
    assert_eq!(up, "up\n");
    let mut psql = [&secret, &other].map(|password| {
        let endpoint = bed.weir.endpoint().with_tls().with_user("app", password);
        let mut command = tools::client("psql");
        endpoint.give_to(&mut command);
        command.args(["-X", "-w", "-At", "-v", "ON_ERROR_STOP=1"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("psql starts");
        let mut input = child.stdin.take().expect("a pipe");
        writeln!(input, "SELECT 'here';").expect("psql reads");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("a line");
        assert_eq!(line, "here\n");
        (child, input, out)
    });
    bed.revoke(&id);
    for (name, child) in [("curl", &mut events), ("ssh", &mut shell)] {
        wait_until(name, Duration::from_secs(10), || child.try_wait().expect("a child").is_some());
    }
    for (_, input, _) in &mut psql {
        let _ = writeln!(input, "SELECT 'still here';");
    }
    let [(mut ended, input, _), (mut stays, others_input, mut others_out)] = psql;
    drop(input);
    assert!(!ended.wait().expect("psql ends").success());
    let mut said = String::new();
    ended.stderr.take().expect("a pipe").read_to_string(&mut said).expect("words");
    assert!(said.contains("the API token is revoked"), "{said}");
    let mut line = String::new();
    others_out.read_line(&mut line).expect("a line");
    assert_eq!(line, "still here\n", "another token of the same user");
    drop(others_input);
    assert!(stays.wait().expect("psql ends").success());
}

#[test]
fn a_token_is_over_in_its_time_and_outlives_a_restart() {
    let mut bed = bed();
    let (_, secret) = bed.make(&["--user", "robot"]);
    let (_, short) = bed.make(&["--user", "robot", "--expires", "4s"]);
    assert_eq!((bed.bearer(&short), bed.bearer(&secret)), ("200".into(), "200".into()));
    let mut shell = bed.ssh(&short);
    let mut shell = shell.arg("sleep 600").spawn().expect("ssh starts");
    wait_until("the token to end", Duration::from_secs(20), || bed.bearer(&short) == "401");
    wait_until("its session to end", Duration::from_secs(10), || {
        shell.try_wait().expect("a child").is_some()
    });
    assert_eq!(bed.list().len(), 1);
    bed.weir.kill();
    bed.weir.start();
    assert_eq!((bed.bearer(&short), bed.bearer(&secret)), ("401".into(), "200".into()));
    // A user who is gone has no tokens, and leaves none to the next one of that name.
    bed.weir.reload(|text| text.replace("name = \"robot\"", "name = \"robotnik\""));
    assert_eq!(bed.bearer(&secret), "401");
    wait_until("the token to end", Duration::from_secs(10), || bed.list().is_empty());
    bed.weir.reload(|text| text.replace("name = \"robotnik\"", "name = \"robot\""));
    assert_eq!(bed.bearer(&secret), "401");
    let lake = bed.weir.lake();
    let ended = lake.events("token-revoked");
    assert_eq!(ended.len(), 1, "{ended:?}");
    let over = lake.events("token-expired");
    assert_eq!(over.len(), 1, "{over:?}");
}

#[test]
fn who_may_make_a_token_and_what_it_may_do_at_the_api() {
    let bed = bed();
    let place = std::fs::read_to_string(bed.weir.data_dir().join("admin.json")).expect("a place");
    let place: Value = serde_json::from_str(&place).expect("JSON");
    let api = format!("http://{}/v1/tokens", place["address"].as_str().expect("an address"));
    let call = |login: &[&str], method: &str, path: &str, body: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "30", "--noproxy", "*", "-w", "\n%{http_code}", "-X", method]);
        command.args(login).arg(format!("{api}{path}"));
        if !body.is_empty() {
            command.args(["-H", "Content-Type: application/json", "-d", body]);
        }
        let told = run(&mut command);
        let (body, status) = told.rsplit_once('\n').expect("a status");
        (status.to_owned(), serde_json::from_str::<Value>(body).unwrap_or(Value::Null))
    };
    let dora = format!("dora:{USER_PASSWORD}");
    let alice = format!("alice:{USER_PASSWORD}");
    let (dora, alice) = (["-u", &dora], ["-u", &alice]);
    let wanted = r#"{"user":"dora","name":"of dora","seconds":600}"#;
    assert_eq!(call(&alice, "POST", "", wanted).0, "403");
    assert_eq!(call(&[], "POST", "", wanted).0, "401");
    let (status, made) = call(&dora, "POST", "", wanted);
    assert_eq!(status, "200", "{made}");
    let secret = made["secret"].as_str().expect("a secret");
    let field = format!("Authorization: Bearer {secret}");
    let as_password = format!("dora:{secret}");
    let (bearer, basic) = (["-H", &field], ["-u", &as_password]);
    for by_token in [&bearer, &basic] {
        let (status, listed) = call(by_token, "GET", "", "");
        assert_eq!((status.as_str(), listed.as_array().map(Vec::len)), ("200", Some(1)));
        assert!(!listed.to_string().contains(secret), "{listed}");
        assert_eq!(call(by_token, "POST", "", wanted).0, "403", "a token makes no token");
    }
    assert_eq!(call(&alice, "GET", "", "").1, json!([]), "another's are not shown");
    let id = made["id"].as_str().expect("an id");
    assert_eq!(call(&alice, "DELETE", &format!("/{id}"), "").0, "404");
    for (body, status) in [
        (r#"{"user":"nobody"}"#, "400"),
        (r#"{"user":"dora","seconds":0}"#, "400"),
        (r#"{"user":"dora","seconds":99999999999}"#, "400"),
        (r#"{"user":"dora","name":"a\u0000b"}"#, "400"),
        (r#"{"user":"dora","more":1}"#, "422"),
    ] {
        assert_eq!(call(&dora, "POST", "", body).0, status, "{body}");
    }
    assert_eq!(call(&dora, "DELETE", "/0123456789abcdef", "").0, "404");
    assert_eq!(call(&bearer, "DELETE", &format!("/{id}"), "").0, "200", "one's own");
    assert_eq!(call(&bearer, "GET", "", "").0, "401");
    let refused = output(&mut bed.weir.command(&["token", "create", "--user", "nobody"]));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("nobody"), "{words}");
}
