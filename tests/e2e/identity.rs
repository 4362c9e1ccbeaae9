//! Who a client is, and how it proves it: channel binding, certificates, and what they may do.

use std::path::PathBuf;
use std::process::Output;

use crate::support::lake::{Lake, text};
use crate::support::scratch::output;
use crate::support::tools::client;
use crate::support::weir::{TARGET, USER};
use crate::support::{Certificates, Endpoint, Postgres, Spec, Weir};

/// Runs psql over TLS with these variables of libpq besides.
fn psql_with(endpoint: &Endpoint, sql: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = client("psql");
    endpoint.with_tls().give_to(&mut command);
    command.envs(variables.iter().copied()).args(["-X", "-q", "-A", "-t", "-c", sql]);
    output(&mut command)
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn complains(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn methods(lake: &Lake) -> Vec<String> {
    let mut rows = lake.rows("sessions");
    rows.retain(|row| text(row, "phase") == "start");
    rows.iter().map(|row| text(row, "auth_method")).collect()
}

#[test]
fn both_legs_bind_their_channel() {
    let database = Postgres::shared().database();
    let authority = Certificates::shared().authority.display().to_string();
    let server = Endpoint { host: "localhost".to_owned(), ..database.endpoint() };
    let settings = format!(
        "tls = \"verify-full\"\nroot_certificates = \"{authority}\"\nchannel_binding = \"require\""
    );
    let mut weir = Spec::new(&database).target_settings(&server, &settings).start();
    let required = [("PGCHANNELBINDING", "require")];
    let answer = psql_with(&weir.endpoint(), "SELECT 'bound'", &required);
    assert_eq!(says(&answer), "bound", "{answer:?}");
    let free = [("PGCHANNELBINDING", "disable")];
    let answer = psql_with(&weir.endpoint(), "SELECT 'free'", &free);
    assert_eq!(says(&answer), "free", "{answer:?}");
    assert_eq!(methods(&weir.lake()), ["scram-sha-256-plus", "scram-sha-256"]);
}

#[test]
fn a_target_without_channel_binding_is_refused_where_it_is_required() {
    let database = Postgres::shared().database();
    for (role, tls) in [("app", "disable"), ("app_clear", "prefer")] {
        let server = Endpoint { user: role.to_owned(), ..database.endpoint() };
        let settings = format!("tls = \"{tls}\"\nchannel_binding = \"require\"");
        let weir = Spec::new(&database).target_settings(&server, &settings).start();
        let words = complains(&psql_with(&weir.endpoint(), "SELECT 1", &[]));
        assert!(words.contains("does not offer channel binding"), "{role} {tls}: {words}");
    }
}

/// A weir that takes certificates of the shared authority, and two roles at the target.
struct Rig {
    weir: Weir,
}

const IDENTITIES: &str = "
[[identity.certificate]]
name = \"spiffe\"
matches = [\"spiffe://example.org/ns/*/sa/ci\"]
groups = [\"agents\"]

[[identity.certificate]]
name = \"cn\"
matches = [\"*-person\"]
units_are_groups = true
";

fn rig(listen_tls: &str) -> Rig {
    let database = Postgres::shared().database();
    let authority = Certificates::shared().authority.display().to_string();
    let mut spec = Spec::new(&database).tail(IDENTITIES);
    let server = database.endpoint();
    let credential = spec.credential_toml("reader", &server.password, &["agents", "readers"]);
    let owner = spec.credential_toml("app", &server.password, &["owners", "staff"]);
    spec = spec.target_with_credentials(&server, "tls = \"disable\"", &(credential + &owner));
    let tls = format!(", client_ca = \"{authority}\"{listen_tls}");
    Rig { weir: spec.listen_tls(&tls).start() }
}

impl Rig {
    fn ask(&self, user: &str, certificate: Option<&(PathBuf, PathBuf)>) -> Output {
        let endpoint = self.weir.endpoint().with_user(user, "pw-of-nobody");
        let path = |path: &PathBuf| path.display().to_string();
        let paths = certificate.map(|(certificate, key)| (path(certificate), path(key)));
        let mut variables = Vec::new();
        if let Some((certificate, key)) = &paths {
            variables = vec![("PGSSLCERT", certificate.as_str()), ("PGSSLKEY", key.as_str())];
        }
        psql_with(&endpoint, "SELECT current_user", &variables)
    }
}

#[test]
fn a_certificate_is_a_login_and_leaves_the_user_free_to_ask_for_a_role() {
    let Rig { mut weir } = {
        let rig = rig("");
        let uri = "URI:spiffe://example.org/ns/build/sa/ci";
        let robot = Certificates::client("robot", "/CN=anything", uri);
        let person =
            Certificates::client("person", "/OU=readers/OU=owners/CN=ann-person", "DNS:a.test");
        assert_eq!(says(&rig.ask("somebody", Some(&robot))), "reader");
        assert_eq!(says(&rig.ask("reader", Some(&robot))), "reader");
        let words = complains(&rig.ask("app", Some(&robot)));
        assert!(words.contains("the role you ask for is not open to your groups"), "{words}");
        assert_eq!(says(&rig.ask("ann-person", Some(&person))), "reader");
        assert_eq!(says(&rig.ask("app", Some(&person))), "app");
        // A certificate that names nobody is as good as none: the password decides.
        let other = Certificates::client("other", "/CN=other", "DNS:b.test");
        let words = complains(&rig.ask("somebody", Some(&other)));
        assert!(words.contains("password authentication failed"), "{words}");
        let words = complains(&rig.ask("somebody", None));
        assert!(words.contains("password authentication failed"), "{words}");
        rig
    };
    let lake = weir.lake();
    let mut sessions = lake.rows("sessions");
    sessions.retain(|row| text(row, "phase") == "start");
    let mut seen: Vec<_> = sessions
        .iter()
        .map(|row| {
            assert_eq!(text(row, "auth_method"), "certificate");
            (text(row, "user_name"), text(row, "role"))
        })
        .collect();
    seen.sort();
    let spiffe = "spiffe://example.org/ns/build/sa/ci".to_owned();
    let expect = [
        ("ann-person".to_owned(), "app".to_owned()),
        ("ann-person".to_owned(), "reader".to_owned()),
        (spiffe.clone(), "reader".to_owned()),
        (spiffe, "reader".to_owned()),
    ];
    assert_eq!(seen, expect);
    let failed = lake.rows("log_events");
    let reasons: Vec<_> =
        failed.iter().filter(|row| text(row, "event") == "login-failed").collect();
    assert_eq!(reasons.len(), 3, "{reasons:#?}");
}

#[test]
fn a_revoked_or_foreign_certificate_is_turned_away() {
    let good = Certificates::client("good", "/CN=good-person/OU=readers", "DNS:g.test");
    let bad = Certificates::client("bad", "/CN=bad-person/OU=readers", "DNS:r.test");
    let list = Certificates::revoked("bad", &[&bad.0]);
    let rig = rig(&format!(", client_crl = \"{}\"", list.display()));
    assert_eq!(says(&rig.ask("x", Some(&good))), "reader");
    let words = complains(&rig.ask("x", Some(&bad)));
    assert!(words.contains("revoked"), "{words}");
    let Rig { mut weir } = rig;
    let events = weir.lake().rows("log_events");
    let reasons: Vec<_> = events.iter().map(|row| text(row, "attrs")).collect();
    assert!(reasons.iter().any(|attrs| attrs.contains("client-certificate")), "{reasons:?}");
}

#[test]
fn a_listener_can_insist_on_certificates() {
    let rig = rig(", client_certificate_required = true");
    let person = Certificates::client("asked", "/CN=asked-person/OU=readers", "DNS:c.test");
    assert_eq!(says(&rig.ask("x", Some(&person))), "reader");
    let words = complains(&rig.ask("x", None));
    assert!(words.contains("certificate required"), "{words}");
}

#[test]
fn users_with_passwords_log_in_beside_certificates() {
    let rig = rig("");
    let answer = psql_with(&rig.weir.endpoint(), "SELECT current_user", &[]);
    assert_eq!(says(&answer), "app", "{answer:?}");
    assert_eq!(rig.weir.endpoint().user, USER);
    assert_eq!(rig.weir.endpoint().dbname, TARGET);
}
