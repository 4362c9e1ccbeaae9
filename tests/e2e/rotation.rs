//! Certificates that change while weir runs, and clients that never log in.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::meters::{metrics, value};
use crate::support::lake::text;
use crate::support::raw::startup;
use crate::support::scratch::run;
use crate::support::{Certificates, Endpoint, Postgres, Raw, Spec, Weir, tools, wait_until};

/// The serial number of the certificate that clients are shown.
fn served(weir: &Weir) -> String {
    let script = format!(
        "openssl s_client -connect 127.0.0.1:{} -starttls postgres </dev/null 2>/dev/null | \
         openssl x509 -noout -serial",
        weir.port
    );
    run(Command::new("sh").args(["-c", &script]))
}

fn serial(certificate: &Path) -> String {
    run(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(certificate))
}

#[test]
fn certificates_are_replaced_without_a_restart() {
    let database = Postgres::shared().database();
    let spec = Spec::new(&database);
    let folder = spec.folder().to_owned();
    let issue = |name: &str| Certificates::shared().issue(&folder, name, "localhost");
    let (certificate, key) = issue("served");
    let lines = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\", required = false }}",
        certificate.display(),
        key.display()
    );
    let weir = spec.listen(&lines).start();
    let first = serial(&certificate);
    assert_eq!(served(&weir), first);
    let mut session = Raw::login(&weir.endpoint());
    // As Kubernetes and cert-manager do it: nobody tells weir.
    let (second, second_key) = issue("second");
    std::fs::copy(&second_key, &key).expect("a new key");
    std::fs::copy(&second, &certificate).expect("a new certificate");
    let second = serial(&second);
    assert_ne!(first, second);
    wait_until("the new certificate", Duration::from_secs(12), || served(&weir) == second);
    assert_eq!(tools::psql(&weir.endpoint().with_tls(), "SELECT 1"), "1");
    // One that is broken is not used, and everybody who looks can see it.
    std::fs::write(&certificate, "not a certificate").expect("a broken file");
    let stale = || value(&metrics(&weir), "weir_certificates_stale");
    wait_until("it is noticed", Duration::from_secs(12), || stale() == 1.0);
    assert!(weir.log().contains("the old ones stay in force"), "{}", weir.log());
    assert_eq!(served(&weir), second);
    weir.hang_up();
    wait_until("the reload is refused", Duration::from_secs(5), || {
        weir.log().contains("the old configuration stays in force")
    });
    assert_eq!(served(&weir), second);
    // Repaired, and told so.
    let (third, third_key) = issue("third");
    std::fs::copy(&third_key, &key).expect("a new key");
    std::fs::copy(&third, &certificate).expect("a new certificate");
    weir.hang_up();
    let third = serial(&third);
    wait_until("the reload", Duration::from_secs(5), || served(&weir) == third);
    wait_until("all is well", Duration::from_secs(12), || stale() == 0.0);
    assert_eq!(session.rows("SELECT 1"), [[Some("1".to_owned())]], "sessions do not notice");
}

#[test]
fn a_root_that_is_replaced_is_used_for_new_sessions() {
    let database = Postgres::shared().database();
    let spec = Spec::new(&database);
    let folder = spec.folder().to_owned();
    // A certificate that signed nobody.
    let (stranger, _) = Certificates::shared().issue(&folder, "stranger", "nobody");
    let roots = folder.join("roots.pem");
    std::fs::copy(&stranger, &roots).expect("roots");
    let mut server = database.endpoint();
    server.host = "localhost".to_owned();
    let settings = format!("tls = \"verify-full\"\nroot_certificates = \"{}\"", roots.display());
    let weir = spec.target_settings(&server, &settings).start();
    let (_, messages) = Raw::try_login(&weir.endpoint());
    let refused = messages.iter().any(|it| it.kind == b'E' && it.field(b'C') == "08001");
    assert!(refused, "{messages:?}");
    std::fs::copy(&Certificates::shared().authority, &roots).expect("roots");
    wait_until("the new roots", Duration::from_secs(12), || {
        let (_, messages) = Raw::try_login(&weir.endpoint());
        messages.iter().any(|it| it.kind == b'Z')
    });
}

#[test]
fn clients_that_never_log_in_leave_room_for_others() {
    let database = Postgres::shared().database();
    let spec = Spec::new(&database).listen("unauthenticated = { per_address = 3 }");
    let mut weir = spec.start();
    // They say who they are and never prove it. One that is asked for a proof is in.
    let mut idle: Vec<Raw> = Vec::new();
    let error = loop {
        let mut raw = Raw::connect(weir.port);
        let Endpoint { user, dbname, .. } = weir.endpoint();
        raw.send(&startup(&[("user", &user), ("database", &dbname)]));
        match raw.read() {
            Ok(Some(message)) if message.kind == b'R' => idle.push(raw),
            Ok(Some(message)) => break message,
            other => panic!("turned away without a word: {other:?}"),
        }
        assert!(idle.len() <= 3, "more than may wait");
    };
    assert_eq!((error.kind, error.field(b'C').as_str()), (b'E', "53300"));
    assert!(error.field(b'D').contains("have not finished their login"), "{error:?}");
    assert!(value(&metrics(&weir), "weir_shut_out_total") >= 1.0);
    // Who has logged in does not count.
    idle.pop();
    let mut sessions: Vec<Raw> = Vec::new();
    wait_until("there is room again", Duration::from_secs(5), || {
        let (raw, messages) = Raw::try_login(&weir.endpoint());
        sessions.push(raw);
        messages.iter().any(|it| it.kind == b'Z')
    });
    for _ in 0..5 {
        sessions.push(Raw::login(&weir.endpoint()));
    }
    drop((sessions, idle));
    let events = weir.lake().events("connection-refused");
    let reasons: Vec<String> = events.iter().map(|row| text(row, "attrs")).collect();
    let expect = "\"reason\":\"unauthenticated-address\"";
    assert!(reasons.iter().any(|attrs| attrs.contains(expect)), "{reasons:?}");
}
