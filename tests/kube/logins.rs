//! Who a client of a cluster is: a token that kubectl's plugin gets of an issuer, an API token, a
//! certificate, a token as a WebSocket's subprotocol. And what a request may not say of it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;

use super::support::lake::{assert_nowhere, text};
use super::support::oidc::{Oidc, WEIR};
use super::support::scratch::{free_port, output, run};
use super::support::weir::USER_PASSWORD;
use super::support::{Certificates, Spec, wait_until};
use super::world::{Through, cluster, kubectl_program, namespace, pod};

const RULES: &str = r#"
[[rule]]
name = "all"
when = { targets = ["bed", "listens"], commands = ["read", "exec"] }
then = "allow"
"#;

const IDENTITIES: &str = "
[[identity.certificate]]
name = \"cn\"
matches = [\"*-person\"]
units_are_groups = true
[[identity.user]]
name = \"robot\"
token_only = true
groups = [\"sre\"]
";

/// A server of TLS that writes down what it hears, and answers nothing.
struct Listens {
    child: Child,
    port: u16,
    heard: PathBuf,
}

impl Listens {
    fn start(folder: &Path) -> Listens {
        let (port, heard) = (free_port(), folder.join("heard"));
        let tls = Certificates::shared();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
            .args([&tls.certificate, Path::new("-key"), &tls.key])
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(&heard).expect("a file"))
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl starts");
        Listens { child, port, heard }
    }

    fn heard(&self) -> String {
        let bytes = std::fs::read(&self.heard).expect("a file");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Listens {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// weir that takes every kind of login, in front of the cluster and of a server that listens.
fn start(issuer: &Oidc) -> (Through, Listens) {
    let spec = Spec::bare("kube-logins").rules(RULES);
    let listens = Listens::start(spec.folder());
    let tls = Certificates::shared();
    let token = spec.folder().join("token");
    std::fs::write(&token, "of-weir-itself").expect("a file");
    let tail = format!(
        "{IDENTITIES}{}[[target]]\nname = \"listens\"\nprotocol = \"kubernetes\"\n\
         address = \"https://localhost:{}\"\nroot_certificates = \"{}\"\n\
         [[target.credential]]\nrole = \"weir\"\ntoken = {{ file = \"{}\" }}\n",
        issuer.toml("client_id = \"weir-cli\"\nscope = \"openid offline_access\""),
        listens.port,
        tls.authority.display(),
        token.display()
    );
    (Through::before(cluster(), spec.tail(&tail)), listens)
}

const WHOAMI: [&str; 4] =
    ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}"];

/// kubectl with this `user` of a kubeconfig, as JSON.
fn kubectl(through: &Through, user: &str, arguments: &[&str]) -> Command {
    let authority = Certificates::shared().authority.display().to_string();
    let file = through.folder.join("of-a-test");
    let config = format!(
        r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{{"name": "c", "cluster": {{"server": "{}",
          "certificate-authority": "{authority}"}}}}],
        "users": [{{"name": "u", "user": {user}}}],
        "contexts": [{{"name": "c", "context": {{"cluster": "c", "user": "u"}}}}]}}"#,
        through.server()
    );
    std::fs::write(&file, config).expect("a kubeconfig");
    let mut command = Command::new(kubectl_program());
    command.env("KUBECONFIG", file).env("HOME", &through.folder).args(arguments);
    command.stdin(Stdio::null());
    command
}

/// The file that `weir kubeconfig` writes, and kubectl with it.
fn own_kubectl(through: &Through, issuer: &Oidc, arguments: &[&str]) -> Command {
    let authority = Certificates::shared().authority.display().to_string();
    let file = through.folder.join("own");
    let server = through.server().replace("/k8s/bed", "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["kubeconfig", "--server", &server, "--target", "bed", "--target", "listens"]);
    command.args(["--certificate-authority", &authority]).arg("--file").arg(&file);
    for more in [
        format!("--issuer={}", issuer.name()),
        "--client-id=weir-cli".to_owned(),
        "--scope=openid offline_access".to_owned(),
        format!("--parameter=resource={WEIR}"),
        format!("--root-certificates={authority}"),
    ] {
        command.arg(format!("--login={more}"));
    }
    run(&mut command);
    let mut command = Command::new(kubectl_program());
    command.env("KUBECONFIG", file).env("HOME", &through.folder).args(arguments);
    command.env_remove("XDG_STATE_HOME").env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
    command
}

/// kubectl asks weir's plugin, the plugin a person, once for all later commands.
#[test]
fn kubectl_logs_in_by_the_file_that_weir_writes() {
    let mut issuer = Oidc::start();
    let (mut through, _listens) = start(&issuer);
    let mut kubectl = own_kubectl(&through, &issuer, &WHOAMI);
    let child = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("kubectl starts");
    let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
    let code = loop {
        let mut line = String::new();
        let read = told.read_line(&mut line).expect("a line");
        assert!(read > 0, "kubectl ended, and nobody was asked");
        if let Some((_, code)) = line.trim_end().split_once("enter the code ") {
            break code.to_owned();
        }
    };
    issuer.say(&format!("approve {code} alice"));
    let mut said = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
    let mut wrong = String::new();
    told.read_to_string(&mut wrong).expect("text");
    assert!(child.wait().expect("it ends").success(), "{wrong}");
    let alice = "alice@example.com [\"staff\",\"system:authenticated\"]";
    assert_eq!(said, alice);
    // Nobody is asked again, at the other context neither.
    assert_eq!(run(&mut own_kubectl(&through, &issuer, &WHOAMI)), alice);
    let kept = through.folder.join(".local/state/weir/login.json");
    let kept = std::fs::read_to_string(kept).expect("the plugin keeps its token");
    let sessions = through.weir.lake().rows("sessions");
    assert!(sessions.iter().any(|row| text(row, "auth_method") == "oidc"), "{sessions:?}");
    for word in kept.split('"').filter(|word| word.split('.').count() == 3 && word.len() > 100) {
        assert_nowhere(&mut through.weir, word.rsplit('.').next().unwrap_or_default());
    }
}

#[test]
fn api_tokens_and_certificates_are_logins_of_kubectl() {
    let issuer = Oidc::start();
    let (mut through, _listens) = start(&issuer);
    let made = ["token", "create", "--json", "--user", "robot"];
    let made: Value =
        serde_json::from_str(run(&mut through.weir.command(&made)).trim()).expect("JSON");
    let secret = made["secret"].as_str().expect("a secret");
    let by_token = format!(r#"{{"token": "{secret}"}}"#);
    let said = run(&mut kubectl(&through, &by_token, &WHOAMI));
    assert_eq!(said, "robot [\"sre\",\"system:authenticated\"]");
    let (certificate, key) =
        Certificates::client("kube-person", "/OU=sre/CN=ann-person", "DNS:a.test");
    let by_certificate = format!(
        r#"{{"client-certificate": "{}", "client-key": "{}"}}"#,
        certificate.display(),
        key.display()
    );
    let said = run(&mut kubectl(&through, &by_certificate, &WHOAMI));
    assert_eq!(said, "ann-person [\"sre\",\"system:authenticated\"]");
    let told = output(&mut kubectl(&through, r#"{"token": "weir_of_nobody"}"#, &WHOAMI));
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("Unauthorized") || told.contains("must be logged in"), "{told}");
    // A revoked token is no login any more.
    run(&mut through.weir.command(&["token", "revoke", made["id"].as_str().expect("an id")]));
    let told = output(&mut kubectl(&through, &by_token, &WHOAMI));
    assert!(!told.status.success(), "{told:?}");
    assert_nowhere(&mut through.weir, secret);
    let sessions = through.weir.lake().rows("sessions");
    for method in ["token", "certificate"] {
        let found = sessions.iter().any(|row| text(row, "auth_method").contains(method));
        assert!(found, "no {method}: {sessions:?}");
    }
}

fn curl(through: &Through, fields: &[&str], path: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "-m", "10", "--noproxy", "*", "--http1.1", "--cacert"]);
    command.arg(&Certificates::shared().authority);
    for field in fields {
        command.args(["-H", field]);
    }
    let server = through.server().replace("/k8s/bed", "");
    let told = output(command.arg(format!("{server}{path}")));
    String::from_utf8_lossy(&told.stdout).into_owned()
}

/// Browsers can set no field of a WebSocket's head but this one.
#[test]
fn a_token_as_a_subprotocol_is_taken_and_goes_no_further() {
    let space = namespace("browser");
    pod(&space);
    let mut issuer = Oidc::start();
    let (mut through, listens) = start(&issuer);
    let made = ["token", "create", "--json", "--user", "robot"];
    let made: Value =
        serde_json::from_str(run(&mut through.weir.command(&made)).trim()).expect("JSON");
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let jwt = issuer.token("alice", WEIR);
    let exec =
        format!("/api/v1/namespaces/{space}/pods/web/exec?command=echo&command=said&stdout=1");
    for (token, who) in [(&secret, "robot"), (&jwt, "alice@example.com")] {
        let coded = BASE64URL.encode(token);
        let offer = format!(
            "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{coded}, \
             v5.channel.k8s.io"
        );
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            &offer,
        ];
        let said = curl(&through, &upgrade, &format!("/k8s/bed{exec}"));
        match who {
            // The group `sre` may in the cluster, `staff` may not: that is the cluster's word.
            "robot" => {
                assert!(said.starts_with("HTTP/1.1 101"), "{said}");
                assert!(said.contains("said\n"), "{said}");
                let chosen = said.to_ascii_lowercase();
                assert!(chosen.contains("sec-websocket-protocol: v5.channel.k8s.io"), "{said}");
            }
            _ => assert!(said.contains(&format!("User \\\"{who}\\\" cannot")), "{said}"),
        }
        curl(&through, &upgrade, &format!("/k8s/listens{exec}"));
        wait_until("the head", std::time::Duration::from_secs(10), || {
            listens.heard().contains(&format!("Impersonate-User: {who}"))
        });
        let heard = listens.heard();
        assert!(heard.contains("v5.channel.k8s.io"), "{heard}");
        assert!(!heard.contains("base64url.bearer") && !heard.contains(&coded), "{heard}");
    }
    // Twice, or in no coding: 400, and nobody is asked.
    let bad = "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.!!, v5.channel.k8s.io";
    let said = curl(&through, &[bad], &format!("/k8s/bed{exec}"));
    assert!(said.starts_with("HTTP/1.1 40"), "{said}");
    for token in [&secret, &jwt] {
        assert_nowhere(&mut through.weir, token);
        assert_nowhere(&mut through.weir, &BASE64URL.encode(token));
    }
}

/// What a request says of who it is from, beside its own proof (rancher #33588, capsule-proxy
/// #188): it changes nothing, or it is refused.
#[test]
fn nothing_that_a_request_says_makes_somebody_else_of_it() {
    let issuer = Oidc::start();
    let (mut through, listens) = start(&issuer);
    let login = base64::engine::general_purpose::STANDARD.encode(format!("alice:{USER_PASSWORD}"));
    let login = format!("Authorization: Basic {login}");
    let pods = "/api/v1/namespaces/default/pods";
    let ask = |fields: &[&str]| {
        let fields = [&[login.as_str()], fields].concat();
        let said = curl(&through, &fields, &format!("/k8s/bed{pods}"));
        said.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask(&[]), "200");
    for hop in ["Impersonate-User", "close, Impersonate-Group", "Authorization", "Audit-ID"] {
        assert_eq!(ask(&[&format!("Connection: {hop}")]), "400", "{hop}");
    }
    for field in ["Impersonate-User: admin", "impersonate-group: system:masters"] {
        assert_eq!(ask(&[field]), "403", "{field}");
    }
    let forged = [
        "X-Remote-User: admin",
        "X-Remote-Group: system:masters",
        "X_Remote_User: admin",
        "Audit-ID: forged-by-a-client",
        "Cookie: a=forged",
        "Forwarded: for=forged",
        "X-Forwarded-For: 192.0.2.77",
        "Via: 1.1 forged",
    ];
    assert_eq!(ask(&forged), "200");
    curl(&through, &[&[login.as_str()], &forged[..]].concat(), &format!("/k8s/listens{pods}"));
    wait_until("the head", std::time::Duration::from_secs(10), || !listens.heard().is_empty());
    let heard = listens.heard();
    for word in ["admin", "system:masters", "forged", "192.0.2.77", &login] {
        assert!(!heard.contains(word), "{word}: {heard}");
    }
    let users: Vec<&str> =
        heard.lines().filter_map(|line| line.strip_prefix("Impersonate-User: ")).collect();
    assert_eq!(users, ["alice"], "{heard}");
    assert!(heard.contains("Impersonate-Group: sre"), "{heard}");
    let log = std::fs::read_to_string(cluster().fact("audit_log")).expect("the audit log");
    assert!(!log.contains("forged-by-a-client"), "an id of a client's");
    assert!(
        through.weir.lake().rows("commands").iter().all(|row| text(row, "user_name") == "alice")
    );
}
