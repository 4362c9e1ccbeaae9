//! Login by token: a real issuer, psql, psycopg and libpq 18 against the built weir.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::support::lake::{assert_nowhere, text};
use crate::support::oidc::{OTHER, Oidc, SHORT, WEIR};
use crate::support::raw::{Raw, query, sqlstate};
use crate::support::scratch::{output, run};
use crate::support::weir::{CLEAR, target_password};
use crate::support::{Certificates, Endpoint, Postgres, Scratch, Spec, Weir, tools, wait_until};

/// A weir of this issuer with `app` for everybody and `reader` for the group `dba`.
fn weir_of(issuer: &Oidc, more: &str) -> (Weir, String) {
    let database = Postgres::shared().database();
    let spec = Spec::new(&database);
    let settings =
        format!("{CLEAR}\n{}", spec.credential_toml("reader", target_password(), &["dba"]));
    let weir = spec
        .target_settings(&database.endpoint(), &settings)
        .user("ci-bot", &["agents"])
        .tail(&issuer.toml(more))
        .start();
    (weir, database.name)
}

fn with_token(weir: &Weir, user: &str, token: &str) -> Endpoint {
    weir.endpoint().with_tls().with_user(user, token)
}

/// What psql says to a login that must fail.
fn refusal(endpoint: &Endpoint) -> String {
    let mut command = tools::client("psql");
    endpoint.give_to(&mut command);
    let result = output(command.args(["-X", "-w", "-c", "SELECT 1"]));
    assert!(!result.status.success(), "{endpoint:?} was let in");
    String::from_utf8_lossy(&result.stderr).into_owned()
}

#[test]
fn a_token_is_a_password() {
    let mut issuer = Oidc::start();
    let (mut weir, database) = weir_of(&issuer, "");
    let token = issuer.token("alice", WEIR);
    let endpoint = with_token(&weir, "alice@example.com", &token);
    let row = tools::psql(&endpoint, "SELECT current_user, current_database(), 'as psql'");
    assert_eq!(row, format!("app|{database}|as psql"));
    let mut python = tools::python();
    endpoint.give_to(&mut python);
    let script =
        "import psycopg; print(psycopg.connect().execute(\"SELECT 'as psycopg'\").fetchone())";
    assert_eq!(run(python.args(["-c", script])).trim(), "('as psycopg',)");
    let script = "import asyncio, asyncpg, os, ssl\n\
        async def main():\n    \
        tls = ssl.create_default_context(cafile=os.environ['PGSSLROOTCERT'])\n    \
        connection = await asyncpg.connect(host='localhost', ssl=tls)\n    \
        print(await connection.fetchval(\"SELECT 'as asyncpg'\"))\n\
        asyncio.run(main())";
    let mut python = tools::python();
    endpoint.give_to(&mut python);
    assert_eq!(run(python.args(["-c", script])).trim(), "as asyncpg");
    let script = "const { Client } = require('pg');\n\
        const ca = require('fs').readFileSync(process.env.PGSSLROOTCERT);\n\
        delete process.env.PGSSLMODE; delete process.env.PGSSLROOTCERT;\n\
        const client = new Client({ host: 'localhost', ssl: { ca } });\n\
        client.connect().then(() => client.query(\"SELECT 'as node' AS who\"))\n\
        .then((result) => { console.log(result.rows[0].who); return client.end(); });";
    let mut node = tools::node();
    endpoint.give_to(&mut node);
    assert_eq!(run(node.args(["-e", script])).trim(), "as node");
    // Users of the configuration have their passwords as ever, with TLS and without.
    assert_eq!(tools::psql(&weir.endpoint(), "SELECT 'as ever'"), "as ever");
    assert_eq!(tools::psql(&weir.endpoint().with_tls(), "SELECT 'with tls'"), "with tls");
    let lake = weir.lake();
    let (command, _) = lake.exchange("as psql");
    assert_eq!(text(&command, "user_name"), "alice@example.com");
    assert_eq!(text(&command, "role"), "app");
    let sessions = lake.rows("sessions");
    let of_alice: Vec<_> =
        sessions.iter().filter(|row| text(row, "user_name") == "alice@example.com").collect();
    assert_eq!(of_alice.len(), 8, "four logins: {sessions:#?}");
    for row in of_alice {
        assert_eq!(text(row, "auth_method"), "oidc");
        assert!(row["user_groups"].to_string().contains("staff"), "{row:#?}");
        assert_eq!(text(row, "tls_version"), "TLSv1_3");
    }
    for part in token.split('.') {
        assert_nowhere(&mut weir, part);
    }
}

const HOLDING_RULES: &str = r#"
[[rule]]
name = "tables need a DBA"
when = { commands = ["ddl"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "1m" } }

[[rule]]
name = "the rest"
when = { commands = ["read", "session"] }
then = "allow"
"#;

/// `weir approvals` as the bearer of a token: whether it worked, and what it printed.
fn approvals(weir: &Weir, who: (&str, &str), arguments: &[&str]) -> (bool, String) {
    let (name, token) = who;
    let mut command = weir.command(&[&["approvals"], arguments, &["--as", name]].concat());
    let result = output(command.env("WEIR_PASSWORD", token));
    let printed = [result.stdout, result.stderr].concat();
    (result.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

#[test]
fn the_bearer_of_a_token_approves() {
    let mut issuer = Oidc::start();
    let database = Postgres::shared().database();
    let mut weir = Spec::new(&database)
        .user("ci-bot", &["agents"])
        .rules(HOLDING_RULES)
        .tail(&issuer.toml(""))
        .start();
    let alice = ("alice@example.com", &*issuer.token("alice", WEIR));
    let dora = ("dora@example.com", &*issuer.token("dora", WEIR));
    let mut psql = tools::client("psql");
    with_token(&weir, dora.0, dora.1).give_to(&mut psql);
    psql.args(["-X", "-q", "-c", "CREATE TABLE held_by_dora (id int)"]);
    psql.stdin(Stdio::null()).stderr(Stdio::null());
    let mut held = psql.spawn().expect("psql");
    let mut id = String::new();
    wait_until("a command that is held", Duration::from_secs(20), || {
        let (_, printed) = approvals(&weir, dora, &["list", "--json"]);
        let row: serde_json::Value = serde_json::from_str(&printed).unwrap_or_default();
        id = row["id"].as_str().unwrap_or_default().to_owned();
        !id.is_empty()
    });
    let vote = ["approve", &id, "--reason", "seen"];
    // Not of the group, not for oneself, not under another name, not by a token of others.
    assert!(!approvals(&weir, alice, &vote).0, "alice is no DBA");
    let (done, said) = approvals(&weir, dora, &vote);
    assert!(!done && said.contains("does not count"), "{said}");
    assert!(!approvals(&weir, ("root@example.com", dora.1), &vote).0, "another name");
    let other = issuer.token("dora", OTHER);
    assert!(!approvals(&weir, (dora.0, &other), &vote).0, "another audience");
    assert!(
        !approvals(&weir, ("ci-bot", &issuer.token("impostor", WEIR)), &vote).0,
        "a taken name"
    );
    assert!(held.try_wait().expect("psql").is_none(), "nothing of this released the command");
    let second = ("daniel@example.com", &*issuer.token("daniel", WEIR));
    let (done, said) = approvals(&weir, second, &vote);
    assert!(done, "{said}");
    assert!(held.wait().expect("psql").success());
    // Being in a group `admin` elsewhere makes nobody weir's administrator.
    let chief = ("chief@example.com", &*issuer.token("chief", WEIR));
    let (done, said) = approvals(&weir, chief, &["list"]);
    assert!(done && said.contains("no command waits"), "{said}");
    let approver = weir.lake().rows("approvals");
    assert!(approver.iter().any(|row| text(row, "approver") == second.0), "{approver:#?}");
}

/// A vote by the token of an issuer that a reload takes out, while another issuer stays: it counts
/// no more when the last vote comes.
#[test]
fn a_vote_lapses_with_the_issuer_of_its_token() {
    let (mut first, mut second) = (Oidc::start(), Oidc::start());
    let database = Postgres::shared().database();
    let mut weir = Spec::new(&database)
        .rules(&HOLDING_RULES.replace("quorum = 1", "quorum = 2"))
        .tail(&(second.toml("") + &first.toml("username_prefix = \"first-\"")))
        .start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("CREATE TABLE held_for_two (id int)"));
    let wait = |than: &str| {
        let mut id = String::new();
        wait_until("a command that is held", Duration::from_secs(20), || {
            let printed = run(&mut weir.command(&["approvals", "list", "--json"]));
            let row: serde_json::Value = serde_json::from_str(&printed).unwrap_or_default();
            id = row["id"].as_str().unwrap_or_default().to_owned();
            !id.is_empty() && id != than
        });
        id
    };
    let dora = ("first-dora@example.com", &*first.token("dora", WEIR));
    let daniel = ("daniel@example.com", &*second.token("daniel", WEIR));
    let dora_too = ("dora@example.com", &*second.token("dora", WEIR));
    let vote = |id: &str, who: (&str, &str)| {
        let (done, said) = approvals(&weir, who, &["approve", id, "--reason", "seen"]);
        assert!(done, "{}: {said}", who.0);
    };
    let ask = wait("");
    vote(&ask, dora);
    weir.reload(|text| text.replace(&first.toml("username_prefix = \"first-\""), ""));
    vote(&ask, daniel);
    let anew = wait(&ask);
    assert_eq!(database.sql("SELECT to_regclass('held_for_two') IS NULL"), "t");
    vote(&anew, daniel);
    vote(&anew, dora_too);
    assert_eq!(sqlstate(&raw.read_ready(1)), None);
    drop(raw);
    let rows = weir.lake().rows("approvals");
    let lapsed: Vec<_> = rows.iter().filter(|row| text(row, "event") == "vote-lapsed").collect();
    assert_eq!(lapsed.len(), 1, "{rows:#?}");
    assert_eq!(text(lapsed[0], "approver"), dora.0);
}

#[test]
fn every_algorithm_of_an_issuer_is_understood() {
    let mut issuer = Oidc::start();
    let (weir, _) = weir_of(&issuer, "");
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        let token = issuer.token("alice", &format!("{WEIR}{name}"));
        let header = BASE64URL.decode(token.split('.').next().unwrap_or_default());
        let header = String::from_utf8(header.expect("base64")).expect("text");
        assert!(header.contains(&format!("\"alg\":\"{name}\"")), "{header}");
        assert_eq!(tools::psql(&with_token(&weir, "somebody", &token), "SELECT 1"), "1", "{name}");
    }
}

#[test]
fn groups_open_roles() {
    let mut issuer = Oidc::start();
    let (weir, _) = weir_of(&issuer, "");
    let (alice, dora) = (issuer.token("alice", WEIR), issuer.token("dora", WEIR));
    let single = issuer.token("single", WEIR);
    let role = |user: &str, token: &str| {
        tools::psql(&with_token(&weir, user, token), "SELECT current_user")
    };
    // The first that is open to one of the groups, unless another one is asked for.
    assert_eq!(role("dora@example.com", &dora), "reader");
    assert_eq!(role("whoever", &dora), "reader");
    assert_eq!(role("app", &dora), "app");
    assert_eq!(role("reader", &dora), "reader");
    assert_eq!(role("alice@example.com", &alice), "app");
    assert_eq!(role("single@example.com", &single), "app");
    let policy = |who: &[&str]| {
        let question =
            [&["policy", "test", "SELECT 1", "--target", "orders", "--as"], who].concat();
        run(&mut weir.command(&question))
    };
    assert!(policy(&["dora@example.com", "--groups", "dba,staff"]).contains("role: reader"));
    assert!(
        policy(&["dora@example.com", "--groups", "dba", "--role", "app"]).contains("role: app")
    );
    let refused = refusal(&with_token(&weir, "reader", &alice));
    assert!(refused.contains("the role you ask for is not open to your groups"), "{refused}");
}

#[test]
fn a_token_that_is_no_good_is_refused_and_recorded() {
    let mut issuer = Oidc::start();
    let mut stranger = Oidc::start();
    let (mut weir, _) = weir_of(&issuer, "");
    let good = issuer.token("alice", WEIR);
    let short = issuer.token("alice", SHORT);
    let (head, _) = good.rsplit_once('.').expect("three parts");
    let forged = format!("{head}.{}", "A".repeat(86));
    // A token of a second is over when the second is; there is no other way to have one.
    std::thread::sleep(Duration::from_millis(2_100));
    let tokens = [
        (short, "token-expired", "the token has expired"),
        (issuer.token("alice", OTHER), "token-audience", "the token is meant for somebody else"),
        (stranger.token("alice", WEIR), "token-issuer", "of an issuer that weir does not know"),
        (issuer.token("nobody", WEIR), "token-identity", "does not say who you are"),
        (issuer.token("impostor", WEIR), "token-name-taken", "a user with a password in weir"),
        (forged, "token-signature", "the token's signature is wrong"),
        ("hunter2".to_owned(), "token-malformed", "what was given is no token"),
    ];
    for (token, _, expect) in &tokens {
        let said = refusal(&with_token(&weir, "somebody", token));
        assert!(said.contains(expect) && said.contains("FATAL") && said.contains("HINT"), "{said}");
    }
    let clear = weir.endpoint().with_user("somebody", &good);
    let said = refusal(&clear);
    assert!(said.contains("a token is taken over TLS only"), "{said}");
    let lake = weir.lake();
    let events = lake.events("login-failed");
    let reasons: Vec<String> = events.iter().map(|event| text(event, "attrs")).collect();
    for reason in tokens.iter().map(|(_, reason, _)| *reason).chain(["token-plaintext"]) {
        let found = reasons.iter().filter(|attrs| attrs.contains(reason)).count();
        assert_eq!(found, 1, "{reason} in {reasons:?}");
    }
    for event in &events {
        assert_eq!(text(event, "user_name"), "somebody", "{event:#?}");
        assert!(!text(event, "message").is_empty());
    }
    for (token, ..) in &tokens {
        assert_nowhere(&mut weir, token.rsplit('.').next().unwrap_or_default());
    }
}

#[test]
fn keys_change_without_a_restart_and_outlive_their_issuer() {
    let mut issuer = Oidc::start();
    let (weir, _) = weir_of(&issuer, "");
    let alice = |token: &str| with_token(&weir, "alice@example.com", token);
    let before = issuer.token("alice", WEIR);
    assert_eq!(tools::psql(&alice(&before), "SELECT 1"), "1");
    // The first token of a new key: the login waits until weir has read it.
    issuer.say("rotate");
    let after = issuer.token("alice", WEIR);
    assert_eq!(tools::psql(&alice(&after), "SELECT 2"), "2");
    // The old key is published no more.
    let said = refusal(&alice(&before));
    assert!(said.contains("signed by a key that its issuer does not publish"), "{said}");
    let asked: u32 = issuer.say("asked").parse().expect("a number");
    assert!((2..=5).contains(&asked), "the key set was read {asked} times");
    // An issuer that is down: its keys stay good, and weir says what is wrong.
    let late = issuer.token("alice", WEIR);
    issuer.say("down");
    let _ = refusal(&alice(&before));
    assert_eq!(tools::psql(&alice(&late), "SELECT 3"), "3");
    let status = run(&mut weir.command(&["status"]));
    assert!(status.contains(&issuer.name()) && status.contains("does not answer"), "{status}");
    issuer.say("up");
    let check = output(&mut weir.command(&["check"]));
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains(&format!("ok    issuer {}: 4 keys", issuer.name())), "{said}");
}

#[test]
fn an_issuer_that_comes_late_is_waited_for() {
    let mut issuer = Oidc::start();
    let token = issuer.token("alice", WEIR);
    issuer.say("down");
    let (weir, _) = weir_of(&issuer, "client_id = \"weir-cli\"");
    let alice = with_token(&weir, "alice@example.com", &token);
    let said = refusal(&alice);
    assert!(said.contains("could not read the keys of the token's issuer yet"), "{said}");
    let check = output(&mut weir.command(&["check"]));
    let found = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!check.status.success() && found.contains("FAIL  issuer"), "{found}");
    issuer.say("up");
    assert_eq!(tools::psql(&alice, "SELECT 1"), "1");
    let check = output(&mut weir.command(&["check"]));
    let found = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(found.contains("`weir login` can ask it for tokens"), "{found}");
}

#[test]
fn a_reload_changes_issuers() {
    let (mut first, mut second) = (Oidc::start(), Oidc::start());
    let (weir, _) = weir_of(&first, "");
    let of_first = with_token(&weir, "somebody", &first.token("alice", WEIR));
    let of_second = with_token(&weir, "somebody", &second.token("alice", WEIR));
    assert_eq!(tools::psql(&of_first, "SELECT 1"), "1");
    assert!(refusal(&of_second).contains("of an issuer that weir does not know"));
    weir.reload(|text| text.replace(&first.name(), &second.name()));
    assert!(refusal(&of_first).contains("of an issuer that weir does not know"));
    assert_eq!(tools::psql(&of_second, "SELECT 2"), "2");
    weir.reload(|text| format!("{text}{}", first.toml("")));
    assert_eq!(tools::psql(&of_first, "SELECT 3"), "3");
    assert_eq!(tools::psql(&of_second, "SELECT 4"), "4");
}

/// What libpq 18 prints, line by line.
fn oauthbearer(endpoint: &Endpoint, issuer: &str, token: &str) -> Vec<String> {
    let mut python = tools::python();
    endpoint.give_to(&mut python);
    python.arg(tools::script("oauthbearer.py"));
    python.env("WEIR_ISSUER", issuer).env("WEIR_TOKEN", token);
    let printed = run(&mut python);
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn libpq_speaks_oauthbearer() {
    let mut issuer = Oidc::start();
    let (mut weir, _) = weir_of(&issuer, "login = \"oauthbearer\"\nscope = \"openid email\"");
    let alice = with_token(&weir, "alice@example.com", "");
    let good = issuer.token("alice", WEIR);
    let described = format!("{}/.well-known/openid-configuration", issuer.name());
    // It asks weir who the issuer is, which is a connection of its own, and comes again.
    let lines = oauthbearer(&alice, &issuer.name(), &good);
    let asks = format!("asks {described} openid email");
    assert_eq!(lines, ["libpq 18", &asks, "row app 2"], "{}", weir.log());
    // Told where the issuer is, it comes with the token at once.
    let lines = oauthbearer(&alice, &described, &good);
    assert_eq!(lines.last().map(String::as_str), Some("row app 2"), "{lines:?}");
    let wrong = issuer.token("alice", OTHER);
    let lines = oauthbearer(&alice, &described, &wrong);
    let last = lines.last().expect("an error");
    assert!(last.contains("the token is meant for somebody else"), "{lines:?}");
    let lines = oauthbearer(&alice, "https://id.example.com", &good);
    assert!(lines.last().is_some_and(|line| line.contains("id.example.com")), "{lines:?}");
    // A role of the target, and a user of the configuration, who has a password.
    let dora = issuer.token("dora", WEIR);
    let lines = oauthbearer(&alice.with_user("app", ""), &described, &dora);
    assert_eq!(lines.last().map(String::as_str), Some("row app 2"), "{lines:?}");
    assert_eq!(tools::psql(&weir.endpoint().with_tls(), "SELECT 1"), "1");
    // A client that knows nothing of it says so itself.
    let said = refusal(&with_token(&weir, "alice@example.com", &good));
    assert!(said.contains("SASL authentication mechanisms are supported"), "{said}");
    let lake = weir.lake();
    assert!(!lake.events("token-discovery").is_empty());
    let failed = lake.events("login-failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(text(&failed[0], "attrs").contains("token-audience"), "{failed:#?}");
    for token in [&good, &wrong, &dora] {
        assert_nowhere(&mut weir, token.rsplit('.').next().unwrap_or_default());
    }
}

/// `weir login` in a home of its own.
struct Person {
    home: Scratch,
}

impl Person {
    fn command(&self, weir: &Weir, arguments: &[&str]) -> Command {
        let mut command = weir.command(&[&["login"], arguments].concat());
        command.env_remove("XDG_STATE_HOME").env_remove("XDG_CONFIG_HOME").env_remove("PGPASSFILE");
        command.env("HOME", self.home.path()).stdin(Stdio::null());
        command
    }

    /// Logs in, `answers` being what a person does with the code; the exit code, stdout, stderr.
    fn login(
        &self,
        weir: &Weir,
        arguments: &[&str],
        answers: impl FnOnce(&str),
    ) -> (Option<i32>, String, String) {
        let mut command = self.command(weir, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("weir login");
        let mut said = String::new();
        let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let code = loop {
            let mut line = String::new();
            let read = stderr.read_line(&mut line).expect("a line of weir login");
            assert!(read > 0, "no code in {said}");
            said += &line;
            if let Some((_, code)) = line.trim_end().split_once("enter the code ") {
                break code.to_owned();
            }
        };
        answers(&code);
        let mut token = String::new();
        child.stdout.take().expect("its stdout").read_to_string(&mut token).expect("text");
        stderr.read_to_string(&mut said).expect("text");
        let status = child.wait().expect("a child of ours");
        (status.code(), token.trim_end().to_owned(), said)
    }
}

#[test]
fn weir_login_gets_a_token_from_a_person() {
    let mut issuer = Oidc::start();
    let more = "client_id = \"weir-cli\"\nscope = \"openid offline_access\"";
    let (weir, _) = weir_of(&issuer, more);
    let person = Person { home: Scratch::new("home") };
    let refused = output(&mut person.command(&weir, &["--no-person"]));
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    let (code, token, said) = person.login(&weir, &[], |code| {
        issuer.say(&format!("approve {code} alice"));
    });
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("open {}/device", issuer.name())), "{said}");
    assert!(!said.contains(&token), "the token is on stderr");
    let row = tools::psql(&with_token(&weir, "alice@example.com", &token), "SELECT current_user");
    assert_eq!(row, "app");
    // It is kept, and given again without anybody doing anything.
    let again = run(&mut person.command(&weir, &["--no-person"]));
    assert_eq!(again.trim_end(), token);
    let kept = person.home.join(".local/state/weir/login.json");
    let mode = std::fs::metadata(&kept).expect("kept tokens").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // libpq's own file, and psql without a word about a password.
    let place = format!("localhost:{}", weir.port);
    let nothing = run(&mut person.command(&weir, &["--no-person", "--pgpass", &place]));
    assert_eq!(nothing, "");
    let mut psql = tools::client("psql");
    with_token(&weir, "alice@example.com", "").give_to(&mut psql);
    psql.env_remove("PGPASSWORD").env("PGPASSFILE", person.home.join(".pgpass"));
    assert_eq!(run(psql.args(["-X", "-A", "-t", "-w", "-c", "SELECT 7"])).trim_end(), "7");
    assert!(!weir.log().contains(&token));
    run(&mut person.command(&weir, &["--forget"]));
    let refused = output(&mut person.command(&weir, &["--no-person"]));
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
}

#[test]
fn weir_login_renews_what_is_over() {
    let mut issuer = Oidc::start();
    let more = "client_id = \"weir-cli\"\nscope = \"openid offline_access\"";
    let (weir, _) = weir_of(&issuer, more);
    let person = Person { home: Scratch::new("home") };
    // A token is good for a login while it has a minute left; this one has three seconds more.
    let minute = ["--parameter", "resource=https://weir.test/minute"];
    let (code, first, said) = person.login(&weir, &minute, |code| {
        issuer.say(&format!("approve {code} dora"));
    });
    assert_eq!(code, Some(0), "{said}");
    let mut renewed = first.clone();
    for round in 0..2 {
        let before = renewed.clone();
        wait_until("a new token", Duration::from_secs(20), || {
            let arguments = [&minute[..], &["--no-person"]].concat();
            renewed = run(&mut person.command(&weir, &arguments)).trim_end().to_owned();
            renewed != before
        });
        let row = tools::psql(&with_token(&weir, "dora", &renewed), "SELECT current_user");
        assert_eq!(row, "reader", "round {round}");
    }
    // What the issuer takes back it does not renew.
    issuer.say("revoke");
    let refused = || {
        let arguments = [&minute[..], &["--no-person"]].concat();
        output(&mut person.command(&weir, &arguments)).status.code() == Some(6)
    };
    wait_until("the end of the last token", Duration::from_secs(20), refused);
    let (code, token, said) = person.login(&weir, &["--id-token"], |code| {
        issuer.say(&format!("approve {code} dora"));
    });
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(token.split('.').count(), 3);
}

#[test]
fn weir_login_is_refused_by_a_person() {
    let mut issuer = Oidc::start();
    let (weir, _) = weir_of(&issuer, "client_id = \"weir-cli\"");
    let person = Person { home: Scratch::new("home") };
    let (code, token, said) = person.login(&weir, &[], |code| {
        issuer.say(&format!("deny {code} alice"));
    });
    assert_eq!((code, token.as_str()), (Some(6), ""), "{said}");
    assert!(said.contains("the login was refused"), "{said}");
    let roots = Certificates::shared().authority.display().to_string();
    let stranger = Oidc::start();
    let (name, unknown) = (stranger.name(), "not-a-client");
    let flags = ["--issuer", &name, "--client-id", unknown, "--root-certificates", &roots];
    let failed = output(&mut person.command(&weir, &flags));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("the issuer starts no login: invalid_client"), "{said}");
}
