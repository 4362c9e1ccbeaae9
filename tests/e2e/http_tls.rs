//! HTTP over TLS: who a client is by password, token or certificate, and targets that speak TLS.

use std::process::Command;

use crate::support::lake::text;
use crate::support::oidc::{OTHER, Oidc, SHORT, WEIR};
use crate::support::scratch::{output, run};
use crate::support::web::{Plan, Server, Web, shown_bearer};
use crate::support::{Certificates, wait_until};

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

#[test]
fn a_password_passes_tls_to_a_target_that_speaks_it_too() {
    let tls = Certificates::shared();
    let (own, key) = Certificates::client("weir-http", "/CN=weir-itself", "DNS:weir.test");
    let target = format!(
        "root_certificates = \"{}\"\nclient_certificate = \"{}\"\nclient_key = \"{}\"",
        tls.authority.display(),
        own.display(),
        key.display()
    );
    let plan = Plan { tls: true, target: &target, ..Plan::default() };
    let mut web = Web::start(Server::with_tls(), "https", &plan);
    let told = web.told(web.curl(&["--http1.1", "-d", "a body"]), "/orders");
    assert_eq!((&told["method"], &told["body"]), (&"POST".into(), &"a body".into()));
    assert_eq!(told["client"], "weir-itself", "weir's own certificate");
    assert_eq!(told["headers"]["authorization"], shown_bearer());
    assert_eq!(told["headers"]["x-forwarded-proto"], "https");
    assert_eq!(web.status(web.anybody(&["--http1.1"]), "/a"), "401");
    // In clear, on the same port, nobody listens to what is asked.
    let clear = format!("http://localhost:{}/a", web.port);
    let told = output(web.curl(&["-i"]).arg(clear));
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("https://"), "{told}");
    let large = ["-o", "/dev/null", "-w", "%{size_download}", "--http1.1"];
    let size = crate::support::scratch::run(web.curl(&large).arg(web.url("/large/64")));
    assert_eq!(size, (64 << 20).to_string());
    let lake = web.weir.lake();
    let (command, response) = lake.exchange("POST /orders");
    assert_eq!(text(&command, "decision"), "allow");
    assert_eq!(text(&response, "outcome"), "success");
    let sessions = lake.rows("sessions");
    assert!(sessions.iter().any(|row| text(row, "tls_version") == "TLSv1_3"), "{sessions:?}");
    let listener = format!("127.0.0.1:{}", web.port);
    assert!(sessions.iter().any(|row| text(row, "listener") == listener), "{sessions:?}");
    let refused = lake.events("connection-refused");
    assert!(
        refused.iter().any(|row| text(row, "attrs").contains("plaintext-client")),
        "{refused:?}"
    );
}

#[test]
fn a_target_whose_certificate_is_not_trusted_gets_nothing() {
    let stranger = "root_certificates = \"/etc/ssl/certs/ca-certificates.crt\"";
    let plan = Plan { tls: true, target: stranger, ..Plan::default() };
    let web = Web::start(Server::with_tls(), "https", &plan);
    let answer = output(web.curl(&["--http1.1", "-i"]).arg(web.url("/a")));
    let words = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(words.contains("502") && words.contains("target-certificate"), "{words}");
}

#[test]
fn a_target_that_does_not_speak_tls_gets_nothing_and_that_is_said() {
    let plan = Plan { tls: true, ..Plan::default() };
    let web = Web::start(Server::start(), "https", &plan);
    let answer = output(web.curl(&["--http1.1", "-i"]).arg(web.url("/a")));
    let words = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(words.contains("502") && words.contains("target-tls"), "{words}");
}

#[test]
fn a_token_says_who_asks_and_never_reaches_the_target() {
    let mut issuer = Oidc::start();
    let tail = issuer.toml("");
    let plan = Plan { tls: true, tail: &tail, ..Plan::default() };
    let mut web = Web::start(Server::start(), "http", &plan);
    let bearer = |token: &str| ["-H".to_owned(), format!("Authorization: Bearer {token}")];
    let token = issuer.token("alice", WEIR);
    let [flag, field] = bearer(&token);
    let told = web.told(web.anybody(&["--http1.1", &flag, &field]), "/by-token");
    assert_eq!(told["headers"]["authorization"], shown_bearer());
    assert!(!told.to_string().contains(&token));
    // Old clients have a place for a password only.
    let login = format!("anybody:{token}");
    assert_eq!(web.status(web.anybody(&["--http1.1", "-u", &login]), "/as-password"), "200");
    let other = issuer.token("alice", OTHER);
    for refused in [&other, &format!("{token}x")] {
        let [flag, field] = bearer(refused);
        let answer = output(web.anybody(&["--http1.1", "-i", &flag, &field]).arg(web.url("/a")));
        let words = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(words.starts_with("HTTP/1.1 401"), "{words}");
        assert!(words.contains("error=\"invalid_token\""), "{words}");
    }
    // A token ends though its connection stands: who asks is asked each time.
    let short = issuer.token("alice", SHORT);
    let [flag, field] = bearer(&short);
    let mut ended = false;
    wait_until("the token to end", std::time::Duration::from_secs(20), || {
        ended |= web.status(web.anybody(&["--http1.1", &flag, &field]), "/short") == "401";
        ended
    });
    // New keys: the first request has weir read them.
    issuer.say("rotate");
    let rotated = issuer.token("alice", WEIR);
    let [flag, field] = bearer(&rotated);
    wait_until("the new keys", std::time::Duration::from_secs(20), || {
        web.status(web.anybody(&["--http1.1", &flag, &field]), "/rotated") == "200"
    });
    let lake = web.weir.lake();
    let (command, _) = lake.exchange("GET /by-token");
    assert_eq!(text(&command, "user_name"), "alice@example.com");
    let shown = text(&command, "query_text");
    assert!(!shown.contains(&token), "{shown}");
    assert!(lake.events("login-failed").len() >= 4);
}

#[test]
fn a_certificate_says_who_asks_and_a_password_in_the_request_says_it_over() {
    let authority = Certificates::shared().authority.display().to_string();
    let uri = "URI:spiffe://example.org/ns/prod/sa/ci";
    let robot = Certificates::client("http-robot", "/CN=anything", uri);
    let person = Certificates::client("http-person", "/OU=staff/CN=ann-person", "DNS:a.test");
    let other = Certificates::client("http-other", "/CN=other", "DNS:b.test");
    let bad = Certificates::client("http-bad", "/CN=bad-person", "DNS:r.test");
    let list = Certificates::revoked("http-revoked", &[&bad.0]);
    let tls = format!(", client_ca = \"{authority}\", client_crl = \"{}\"", list.display());
    let plan = Plan { tls: true, listen_tls: &tls, tail: IDENTITIES, ..Plan::default() };
    let mut web = Web::start(Server::start(), "http", &plan);
    let with = |pair: &(std::path::PathBuf, std::path::PathBuf)| {
        let mut curl = web.anybody(&["--http1.1", "--cert"]);
        curl.arg(&pair.0).arg("--key").arg(&pair.1);
        curl
    };
    assert_eq!(web.status(with(&robot), "/by-robot"), "200");
    assert_eq!(web.status(with(&person), "/by-person"), "200");
    assert_eq!(web.status(with(&other), "/by-other"), "401", "a name of nobody");
    let mut both = with(&robot);
    both.args(["-u", &format!("alice:{}", crate::support::weir::USER_PASSWORD)]);
    assert_eq!(web.status(both, "/by-both"), "200");
    let mut wrong = with(&robot);
    wrong.args(["-u", "alice:wrong"]);
    assert_eq!(web.status(wrong, "/by-wrong"), "401", "what a request says is not passed over");
    assert!(!output(with(&bad).arg(web.url("/by-bad"))).status.success(), "it was revoked");
    let lake = web.weir.lake();
    let refused = lake.events("connection-refused");
    assert!(refused.iter().any(|row| text(row, "attrs").contains("client-certificate")));
    for (path, user, method) in [
        ("GET /by-robot", "spiffe://example.org/ns/prod/sa/ci", "certificate"),
        ("GET /by-person", "ann-person", "certificate"),
        ("GET /by-both", "alice", "basic"),
    ] {
        let (command, _) = lake.exchange(path);
        assert_eq!(text(&command, "user_name"), user);
        let of = |row: &&crate::support::lake::Row| {
            text(row, "session_id") == text(&command, "session_id")
        };
        let sessions = lake.rows("sessions");
        assert!(sessions.iter().filter(of).all(|row| text(row, "auth_method") == method));
    }
}

/// The names of the certificate that a client is shown which asks for `name`, and what ALPN says.
fn shown(port: u16, name: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-alpn", "h2"]);
    match name {
        "" => openssl.arg("-noservername"),
        name => openssl.args(["-servername", name]),
    };
    let said = output(openssl.stdin(std::process::Stdio::null())).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    let subject = said.lines().find_map(|line| line.strip_prefix("subject="));
    subject.expect("a certificate").replace(' ', "")
}

#[test]
fn a_listener_shows_each_name_its_certificate_and_takes_no_request_of_another() {
    let app = Certificates::client("sni-app", "/CN=app", "DNS:app.test,DNS:*.apps.test");
    let other = Certificates::client("sni-other", "/CN=other", "DNS:other.test");
    let pair = |(certificate, key): &(std::path::PathBuf, std::path::PathBuf)| {
        format!("{{ certificate = \"{}\", key = \"{}\" }}", certificate.display(), key.display())
    };
    let more = format!(", more = [{}, {}]", pair(&app), pair(&other));
    let tail = "[[target]]\nname = \"app.test\"\nprotocol = \"http\"\n\
                address = \"http://localhost:9\"\n";
    let plan = Plan { tls: true, listen_tls: &more, tail, ..Plan::default() };
    let web = Web::start(Server::start(), "http", &plan);
    let first = shown(web.port, "");
    for (name, subject) in [
        ("localhost", first.as_str()),
        ("nobody.test", &first),
        ("app.test", "CN=app"),
        ("APP.test", "CN=app"),
        ("x.apps.test", "CN=app"),
        ("x.y.apps.test", &first),
        ("other.test", "CN=other"),
    ] {
        assert_eq!(shown(web.port, name), subject, "{name}");
    }
    // A request for the one name on a connection that was made for the other.
    for version in ["--http1.1", "--http2"] {
        let here = format!("app.test:{}:127.0.0.1", web.port);
        let status = |arguments: &[&str], url: &str| {
            let mut curl = web.curl(&[version, "-k", "--resolve", &here]);
            curl.args(["-o", "/dev/null", "-w", "%{http_code}"]).args(arguments);
            run(curl.arg(url))
        };
        let (local, app) = (web.url("/a"), format!("https://app.test:{}/a", web.port));
        assert_eq!(status(&[], &local), "200");
        assert_eq!(status(&[], &app), "502", "nobody listens at its address");
        assert_eq!(status(&["-H", "Host: app.test"], &local), "421");
        assert_eq!(status(&["-H", "Host: localhost"], &app), "421");
        assert_eq!(status(&["-H", "Host: x.apps.test"], &app), "403", "the same certificate");
    }
    // What stands in the files from now on is what is shown.
    for (from, to) in [(&app.0, &other.0), (&app.1, &other.1)] {
        std::fs::copy(from, to).expect("a copy");
    }
    let port = web.port;
    wait_until("the certificates of now", std::time::Duration::from_secs(60), || {
        shown(port, "other.test") == first
    });
    assert_eq!(shown(port, "app.test"), "CN=app");
}
