use std::net::IpAddr;

use super::*;
use crate::config::settings::{
    Capture, Durability, Effect, Host, KeepAlive, SessionAttrs, TargetTls, TlsNegotiation,
    TokenLogin, UnprovenMax,
};
use crate::decide::{ClassSet, Commands, FactKind};
use crate::identify::jwk::Algorithm;
use crate::identify::scram::Verifier;
use crate::mask::{Operator, detect};
use crate::wire::Protocol;

/// A file that is right and as short as possible; tests add to it.
const SHORT: &str = r#"
data_dir = "data"
[listen.postgres]
address = "127.0.0.1:5432"
[[target]]
name = "orders"
address = "db.internal"
tls = "require"
[[target.credential]]
role = "app"
password = { env = "PASSWORD" }
[[identity.user]]
name = "ci-bot"
password = { env = "PASSWORD" }
groups = ["agents"]
"#;

fn read(text: &str) -> Result<(Settings, Vec<Problem>), ConfigErrors> {
    let env = |name: &str| (name == "PASSWORD").then(|| "pencil".to_owned());
    parse_with_warnings(text, "weir.toml", Path::new("/etc/weir"), &env)
}

fn settings(addition: &str) -> Settings {
    match read(&format!("{SHORT}{addition}")) {
        Ok((settings, _)) => settings,
        Err(errors) => panic!("{errors}"),
    }
}

/// The only problem of a file, as a person sees it, without its place.
fn check(addition: &str, expect: &str) {
    let text = format!("{SHORT}{addition}");
    let errors = read(&text).expect_err(addition);
    let [problem] = errors.0.as_slice() else { panic!("{addition}\n{errors}") };
    let shown = [&problem.found, &problem.expected, &problem.hint]
        .into_iter()
        .filter(|part| !part.is_empty())
        .cloned()
        .collect::<Vec<_>>()
        .join(" | ");
    assert_eq!(shown, expect, "{addition}");
    assert!(problem.line > 0 && problem.column > 0, "{problem}");
}

const DESIGN: &str = r#"
data_dir = "/var/lib/weir"
node = "edge-1"
shards = 3

[listen.postgres]
address = "0.0.0.0:5432"

[admin]
address = "127.0.0.1:8621"

[journal]
segment = "128MiB"
seal_after = "30s"
answer_wait = "2m"
flush = "250ms"

[shutdown]
drain = "90s"

[[target]]
name = "orders"
protocol = "postgres"
address = "db.internal:6000"
database = "shop"
tls = "prefer"
durability = "sync"
capture = { responses = "head", bytes = "2MiB" }

[[target.credential]]
role = "app"
password = { command = ["printf", "secret"] }
groups = ["engineers", "agents"]

[[identity.user]]
name = "ci-bot"
scram = "VERIFIER"
groups = ["agents"]

[[rule]]
name = "agents read"
when = { groups = ["agents"], commands = ["read"] }
then = "allow"

[[rule]]
name = "agents' schema changes need a DBA"
when = { groups = ["agents"], commands = ["ddl", "unbounded-write"] }
then = { hold = { approvers = ["dba"], quorum = 2, timeout = "10m" } }

[[rule]]
name = "nights"
[rule.when]
users = ["ci-bot"]
targets = ["orders"]
roles = ["app"]
sources = ["10.0.0.0/8", "::1"]
touches = ["public.customers", "audit_*"]
hours_utc = "22:00-06:00"
[rule.then]
deny = "come back in the morning"

[[mask]]
columns = ["public.customers.ssn", "*.*.email"]
operator = "partial"
except = { groups = ["pii-readers"] }

[[mask]]
detect = ["credit-card", "iban", "private-key", "jwt"]
operator = "redact"
targets = ["orders"]
"#;

#[test]
fn the_file_of_the_design() {
    let verifier = Verifier::from_password("pencil", b"0123456789abcdef", 4096);
    let text = DESIGN.replace("VERIFIER", &verifier.to_string());
    let (settings, warnings) = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.data_dir, Path::new("/var/lib/weir"));
    assert_eq!(settings.node.as_deref(), Some("edge-1"));
    assert_eq!(settings.shards, 3);
    assert_eq!(settings.listeners[0].address.to_string(), "0.0.0.0:5432");
    assert_eq!(settings.admin.to_string(), "127.0.0.1:8621");
    assert_eq!(settings.journal.segment_bytes, 128 << 20);
    assert_eq!(settings.journal.seal_after_us, 30_000_000);
    assert_eq!(settings.journal.answer_wait_us, 120_000_000);
    assert_eq!(settings.drain_us, 90_000_000);
    assert_eq!(settings.journal.flush_us, 250_000);
    let target = &settings.targets[0];
    let hosts = [Host { name: "db.internal".to_owned(), port: 6000 }];
    assert_eq!(target.reach.hosts, hosts);
    assert_eq!((target.reach.attrs, target.reach.shuffled), (SessionAttrs::Any, false));
    assert_eq!(target.reach.keepalive, KeepAlive::DEFAULT);
    assert_eq!((target.name.as_str(), target.database.as_str()), ("orders", "shop"));
    assert_eq!((target.tls, target.durability), (TargetTls::Prefer, Durability::Sync));
    assert_eq!(target.capture, Capture::Head(2 << 20));
    assert_eq!(target.credentials[0].password.reveal(), "secret");
    assert_eq!(target.credentials[0].groups, ["engineers", "agents"]);
    assert_eq!(settings.users[0].verifier, Some(verifier));
    assert_rules(&settings);
    let groups: Vec<&str> = warnings.iter().map(|warning| warning.found.as_str()).collect();
    assert_eq!(groups, ["no user is in group `dba`", "no user is in group `pii-readers`"]);
}

fn assert_rules(settings: &Settings) {
    let [read, hold, nights] = settings.rules.as_slice() else { panic!("three rules") };
    assert_eq!((read.commands.words(), &read.then), (&["read".to_owned()][..], &Effect::Allow));
    let approvers = vec!["dba".to_owned()];
    let terms = Effect::Hold { approvers, quorum: 2, timeout_us: 600_000_000 };
    assert_eq!(hold.then, terms);
    assert_eq!(nights.then, Effect::Deny(Some("come back in the morning".to_owned())));
    assert_eq!(nights.minutes_utc, Some((1320, 360)));
    assert_eq!(nights.touches, ["public.customers", "*.audit_*"]);
    assert_eq!(nights.sources[1].address, "::1".parse::<IpAddr>().unwrap());
    assert_eq!((nights.users.len(), nights.targets.len(), nights.roles.len()), (1, 1, 1));
    let [columns, detect] = settings.masks.as_slice() else { panic!("two masks") };
    assert_eq!(columns.columns, ["public.customers.ssn", "*.*.email"]);
    assert_eq!((columns.operator, detect.operator), (Operator::Partial, Operator::Redact));
    assert_eq!(columns.except_groups, ["pii-readers"]);
    assert_eq!(detect.detect, ["credit-card", "iban", "private-key", "jwt"]);
    assert_eq!(detect.targets, ["orders"]);
}

#[test]
fn defaults_are_filled_in() {
    let settings = settings("");
    assert_eq!(settings.data_dir, Path::new("/etc/weir/data"));
    assert!(settings.shards >= 1);
    assert_eq!(settings.admin.to_string(), "127.0.0.1:8620");
    assert_eq!(settings.journal.segment_bytes, crate::limits::SEGMENT_BYTES_DEFAULT);
    let target = &settings.targets[0];
    assert_eq!((target.reach.hosts[0].port, target.database.as_str()), (5432, "orders"));
    assert_eq!(settings.listeners[0].unproven, UnprovenMax::DEFAULT);
    assert_eq!(target.durability, Durability::Write);
    assert_eq!(target.capture, Capture::Head(crate::limits::CAPTURE_BYTES_DEFAULT));
    assert_eq!(target.credentials[0].password.reveal(), "pencil");
    let secret = format!("{settings:?}");
    assert!(!secret.contains("pencil"), "{secret}");
}

/// What could stand in `commands` instead of a word that is no class.
fn classes(word: &str) -> String {
    let known = Commands::default().add(word).expect_err(word);
    crate::config::report::one_of(&known.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn conditions_of_every_protocol() {
    let text = format!(
        "{SHORT}\n[[rule]]\nname = \"sre look\"\nthen = \"allow\"\nwhen = {{ commands = [\"read\", \
         \"ssh:exec\"], text = [\"systemctl status *\"], settings = [\"search_path\"] }}\n"
    );
    let (settings, _) = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let rule = settings.rules.last().expect("the rule");
    assert_eq!(rule.commands.words(), ["read", "ssh:exec"]);
    let facts = [
        (FactKind::Text, vec!["systemctl status *".to_owned()]),
        (FactKind::Setting, vec!["search_path".to_owned()]),
    ];
    assert_eq!(rule.facts, facts);
}

#[test]
fn unknown_words_are_refused_with_a_suggestion() {
    check(
        "[jurnal]\n",
        "unknown key `jurnal` in the file | `data_dir`, `node`, `shards`, \
        `listen`, `admin`, `journal`, `shutdown`, `target`, `identity`, `rule`, `mask`, \
        `approvals`, `person` or `webhook` | did you mean `journal`?",
    );
    check(
        "[[rule]]\nname = \"r\"\nwhen = { comands = [\"read\"] }\nthen = \"allow\"\n",
        "unknown key `comands` in `when` of [[rule]] | `users`, `groups`, `targets`, `roles`, \
        `sources`, `commands`, `touches`, `methods`, `paths`, `tools`, `arguments`, `text`, \
        `verbs`, `resources`, `namespaces`, `names`, `settings`, `functions`, `forwards` or \
        `hours_utc` | did you mean `commands`?",
    );
    check(
        "[[rule]]\nname = \"r\"\nwhen = { commands = [\"unbounded_write\"] }\nthen = \"deny\"\n",
        &format!(
            "`commands` names `unbounded_write` | {} | did you mean `unbounded-write`?",
            classes("unbounded_write")
        ),
    );
    check(
        "[[rule]]\nname = \"r\"\nwhen = { commands = [\"ssh:exce\"] }\nthen = \"deny\"\n",
        &format!(
            "`commands` names `ssh:exce` | {} | did you mean `ssh:exec`?",
            classes("ssh:exce")
        ),
    );
    let detectors = crate::config::report::one_of(&detect::NAMES);
    check(
        "[[mask]]\ndetect = [\"creditcard\"]\noperator = \"redact\"\n",
        &format!("`detect` names `creditcard` | {detectors} | did you mean `credit-card`?"),
    );
    check(
        "[[mask]]\ndetect = [\"jwt\"]\noperator = \"redcat\"\n",
        "`operator` names `redcat` | \
        `partial`, `mask`, `redact`, `default` or `nullify` | did you mean `redact`?",
    );
    check(
        "[[rule]]\nname = \"r\"\nthen = \"alow\"\n",
        "`then` names `alow` | `allow` or `deny` | did you mean `allow`?",
    );
}

/// `SHORT` with other lines in place of the target's address.
fn with_target(lines: &str) -> String {
    SHORT.replace("address = \"db.internal\"", lines)
}

#[test]
fn a_target_of_several_servers() {
    let text = with_target(
        "addresses = [\"a:6000\", \"b\", \"[::1]:7\"]\ntarget_session_attrs = \"read-write\"\n\
         load_balance_hosts = \"random\"\nconnect_timeout = \"500ms\"\n\
         tls_negotiation = \"direct\"\n\
         keepalive = { idle = \"10s\", interval = \"5s\", count = 3, user_timeout = \"20s\" }",
    );
    let text = text.replace(
        "address = \"127.0.0.1:5432\"",
        "address = \"127.0.0.1:5432\"\nkeepalive = { idle = \"1m\" }\n\
         unauthenticated = { per_address = 7, total = 70 }",
    );
    let (settings, _) = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let target = &settings.targets[0];
    let hosts: Vec<String> = target.reach.hosts.iter().map(Host::to_string).collect();
    assert_eq!(hosts, ["a:6000", "b:5432", "[::1]:7"]);
    assert_eq!((target.reach.attrs, target.reach.shuffled), (SessionAttrs::ReadWrite, true));
    assert_eq!(target.reach.connect_timeout_us, Some(500_000));
    assert_eq!(target.negotiation, TlsNegotiation::Direct);
    let user_timeout_ms = Some(20_000);
    let expect = KeepAlive { idle_s: 10, interval_s: 5, count: 3, user_timeout_ms };
    assert_eq!(target.reach.keepalive, expect);
    assert_eq!(settings.listeners[0].keepalive, KeepAlive { idle_s: 60, ..KeepAlive::DEFAULT });
    let unproven = UnprovenMax { per_address: 7, total: Some(70), ..UnprovenMax::DEFAULT };
    assert_eq!(settings.listeners[0].unproven, unproven);
}

#[test]
fn targets_that_cannot_be_reached_so() {
    let check = |lines: &str, expect: &str| {
        let errors = read(&with_target(lines)).expect_err(lines);
        let found: Vec<&str> = errors.0.iter().map(|problem| problem.found.as_str()).collect();
        assert_eq!(found, [expect], "{lines}");
    };
    check("", "`address` is missing in [[target]]");
    check("address = \"a\"\naddresses = [\"b\"]", "both `address` and `addresses`");
    check("addresses = [\"a\", \"b c\"]", "an address is \"b c\"");
    check("addresses = [\"a\", \"a:5432\"]", "a:5432 is there twice");
    check("addresses = []", "`addresses` is an empty list");
    check("address = \"a\"\nconnect_timeout = \"1h\"", "`connect_timeout` is out of range");
    let odd = "address = \"a\"\nkeepalive = { idle = \"1500ms\" }";
    check(odd, "`idle` is out of range");
    check("address = \"a\"\nclient_key = \"k\"", "`client_key` without `client_certificate`");
    let text = with_target("address = \"a\"\ntls_negotiation = \"direct\"")
        .replace("tls = \"require\"", "tls = \"prefer\"");
    let errors = read(&text).unwrap_err().to_string();
    assert!(errors.contains("`tls` of `require` or stronger"), "{errors}");
}

#[test]
fn references_have_to_exist() {
    check(
        "[[rule]]\nname = \"r\"\nwhen = { targets = [\"order\"] }\nthen = \"allow\"\n",
        "no target is named `order` | `orders` | did you mean `orders`?",
    );
    check(
        "[[rule]]\nname = \"r\"\nwhen = { users = [\"alice\"] }\nthen = \"allow\"\n",
        "no user is named `alice` | `ci-bot`",
    );
    check(
        "[[mask]]\ndetect = [\"jwt\"]\noperator = \"mask\"\ntargets = [\"x\"]\n",
        "no target is named `x` | `orders`",
    );
    let text = format!(
        "{SHORT}[[rule]]\nname = \"r\"\nwhen = {{ groups = [\"agent\"], roles = \
        [\"apps\"] }}\nthen = \"allow\"\n"
    );
    let (_, warnings) = read(&text).unwrap();
    let shown: Vec<String> = warnings.iter().map(|w| format!("{} | {}", w.found, w.hint)).collect();
    assert_eq!(
        shown,
        [
            "no user is in group `agent` | did you mean `agents`?",
            "no credential has the role `apps` | did you mean `app`?"
        ]
    );
}

#[test]
fn names_have_to_differ() {
    check(
        "[[identity.user]]\nname = \"ci-bot\"\npassword = { env = \"PASSWORD\" }\n",
        "a second user `ci-bot` | names that differ",
    );
    check(
        "[[rule]]\nname = \"r\"\nthen = \"allow\"\n[[rule]]\nname = \"r\"\nthen = \"deny\"\n",
        "a second rule `r` | names that differ",
    );
    check(
        "[[target]]\nname = \"orders\"\naddress = \"db\"\ntls = \"disable\"\n\
        [[target.credential]]\nrole = \"app\"\npassword = { env = \"PASSWORD\" }\n",
        "a second target `orders` | names that differ",
    );
}

#[test]
fn what_is_not_built_says_so() {
    let text = SHORT.replace("tls = \"require\"", "durability = \"relaxed\"\ntls = \"require\"");
    let errors = read(&text).unwrap_err().to_string();
    assert!(errors.contains("the mode `relaxed` is not built yet"), "{errors}");
}

#[test]
fn certificates_of_clients_need_roots_and_a_name() {
    let spec = "[[identity.certificate]]\nname = \"cn\"\ngroups = [\"staff\"]\n";
    let errors = read(&format!("{SHORT}{spec}")).unwrap_err().to_string();
    assert!(errors.contains("no client is asked for a certificate"), "{errors}");
    assert!(errors.contains("set `client_ca` in `tls`"), "{errors}");
    let errors = read(&format!("{SHORT}[[identity.certificate]]\n")).unwrap_err().to_string();
    assert!(errors.contains("`name` is missing in [[identity.certificate]]"), "{errors}");
    let text = SHORT.replace(
        "address = \"127.0.0.1:5432\"",
        "address = \"127.0.0.1:5432\"\ntls = { certificate = \"c\", key = \"k\", client_crl = \"r\" }",
    );
    let errors = read(&text).unwrap_err().to_string();
    assert!(errors.contains("`client_ca` is missing"), "{errors}");
}

/// `SHORT` with a certificate for clients, and issuers.
fn with_issuers(issuers: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shard/testdata");
    let tls = format!(
        "address = \"127.0.0.1:5432\"\ntls = {{ certificate = \"{0}/server.pem\", \
        key = \"{0}/server.key\" }}",
        folder.display()
    );
    format!("{}{issuers}", SHORT.replacen("address = \"127.0.0.1:5432\"", &tls, 1))
}

const LOCAL: &str = "[[identity.oidc]]\nissuer = \"http://127.0.0.1:9/a\"\naudience = \"weir\"\n";

#[test]
fn an_issuer_has_its_defaults() {
    let (settings, _) = read(&with_issuers(LOCAL)).unwrap();
    let [issuer] = settings.issuers.as_slice() else { panic!("{:?}", settings.issuers) };
    assert_eq!(issuer.policy.issuer, "http://127.0.0.1:9/a");
    assert_eq!(issuer.policy.username_claim, "sub");
    assert_eq!(issuer.policy.groups_claim, "groups");
    assert_eq!(issuer.policy.algorithms.len(), 9);
    assert_eq!(issuer.policy.leeway_s, 30);
    assert_eq!((issuer.scope.as_str(), &issuer.client_id), ("openid", &None));
    assert_eq!((issuer.login, &issuer.root_certificates), (TokenLogin::Password, &None));
    let more = "username_prefix = \"ci:\"\ngroups_prefix = \"g:\"\n\
        required_claims = { hd = \"example.com\", email_verified = true, tier = 2 }\n\
        username_claim = \"email\"\ngroups_claim = \"/a/b\"\nscope = \"openid x\"\n\
        client_id = \"cli\"\nlogin = \"oauthbearer\"\nleeway = \"0s\"\n\
        algorithms = [\"ES256\", \"EdDSA\"]\n[[rule]]\nname = \"r\"\nthen = \"allow\"\n\
        when = { users = [\"alice@example.com\"], groups = [\"of the issuer\"] }\n";
    let (settings, warnings) = read(&with_issuers(&format!("{LOCAL}{more}"))).unwrap();
    let issuer = &settings.issuers[0];
    assert_eq!(issuer.policy.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    assert_eq!(issuer.policy.leeway_s, 0);
    assert_eq!(issuer.policy.username_prefix, "ci:");
    let required = format!("{:?}", issuer.policy.required);
    assert!(required.contains("(\"tier\", Number(2))"), "{required}");
    assert_eq!(issuer.policy.required.len(), 3);
    assert_eq!(issuer.login, TokenLogin::OauthBearer);
    // Names that an issuer gives stand nowhere in the file.
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn an_issuer_that_cannot_be_trusted_is_refused() {
    fn check(issuers: &str, expect: &str) {
        let errors = read(&with_issuers(issuers)).unwrap_err().to_string();
        assert!(errors.contains(expect), "{issuers}\n{errors}");
        assert!(errors.starts_with("weir.toml:"), "{errors}");
    }
    let local = |from: &str, to: &str| LOCAL.replace(from, to);
    check("[[identity.oidc]]\n", "`issuer` is missing in [[identity.oidc]]");
    check("[[identity.oidc]]\n", "`audience` is missing in [[identity.oidc]]");
    let far = local("http://127.0.0.1:9", "http://id.example.com");
    check(&far, "`issuer` is \"http://id.example.com/a\"\n  expected: an address such as");
    for odd in ["https://a b", "https://x@id.example.com", "https://id?x=1", "https://id#x", "id"] {
        check(&local("http://127.0.0.1:9/a", odd), &format!("`issuer` is \"{odd}\""));
    }
    check(&format!("{LOCAL}algorithms = [\"HS256\"]\n"), "`algorithms` names `HS256`");
    check(&format!("{LOCAL}login = \"token\"\n"), "expected: `password` or `oauthbearer`");
    check(&format!("{LOCAL}required_claims = 1\n"), "`required_claims` is 1");
    check(&format!("{LOCAL}required_claims = {{ a = 1.5 }}\n"), "a claim is a number with a");
    check(&format!("{LOCAL}leeway = \"6m\"\n"), "`leeway` is out of range");
    check(&format!("{LOCAL}{LOCAL}"), "a second issuer `http://127.0.0.1:9/a`");
    let other = local("/a", "/b");
    check(&format!("{LOCAL}{other}login = \"oauthbearer\"\n"), "`login` differs from that of");
    check(&format!("{LOCAL}root_certificates = \"x\"\n"), "that is reached in clear");
    let secure = local("http://127.0.0.1:9", "https://127.0.0.1:9");
    check(&format!("{secure}root_certificates = \"none.pem\"\n"), "none.pem` cannot be read");
    check(&format!("{LOCAL}secret = \"x\"\n"), "unknown key `secret` in [[identity.oidc]]");
    let other = local("/a", "/b");
    let warned = |more: &str| read(&with_issuers(&format!("{LOCAL}{other}{more}"))).unwrap().1;
    let about_names = |warnings: &[Problem]| {
        warnings.iter().any(|warning| warning.found.contains("`username_prefix`"))
    };
    assert!(about_names(&warned("")));
    assert!(!about_names(&warned("username_prefix = \"b:\"\n")));
    // Without a certificate a token would have to be sent in clear.
    let errors = read(&format!("{SHORT}{LOCAL}")).unwrap_err().to_string();
    assert!(errors.contains("[[identity.oidc]] without `tls` of a listener"), "{errors}");
}

#[test]
fn passwords_stay_out_of_the_file_and_of_messages() {
    let with = |source: &str| SHORT.replacen("{ env = \"PASSWORD\" }", source, 1);
    let errors = read(&with("\"hunter2\"")).unwrap_err().to_string();
    assert!(errors.contains("does not belong into the configuration file"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
    let errors = read(&with("{ env = \"NONE\" }")).unwrap_err().to_string();
    assert!(errors.contains("environment variable `NONE` is not set"), "{errors}");
    let errors = read(&with("{ file = \"none\" }")).unwrap_err().to_string();
    assert!(errors.contains("cannot read `/etc/weir/none`"), "{errors}");
    let errors = read(&with("{ env = \"A\", file = \"b\" }")).unwrap_err().to_string();
    assert!(errors.contains("`password` has no single source"), "{errors}");
    let errors = read(&with("{}")).unwrap_err().to_string();
    assert!(errors.contains("`password` has no single source"), "{errors}");
    check(
        "[[identity.user]]\nname = \"b\"\nscram = \"md5abcdef\"\n",
        "`scram` is not a verifier | a verifier starts with `SCRAM-SHA-256$` | copy it from \
        rolpassword of pg_authid, or give a `password` source",
    );
}

#[test]
fn effects_and_masks_are_whole() {
    let rule = |then: &str| format!("[[rule]]\nname = \"r\"\nthen = {then}\n");
    const FORM: &str = "`\"allow\"`, `\"deny\"`, `{ deny = \"what to do instead\" }` or \
        `{ hold = { approvers = [...], quorum = 1, timeout = \"10m\" } }`";
    check("[[rule]]\nname = \"r\"\n", &format!("`then` is missing in [[rule]] | {FORM}"));
    check(&rule("1"), &format!("`then` is not an effect | {FORM}"));
    check(&rule("{}"), &format!("`then` is not one effect | {FORM}"));
    check(
        &rule("{ hold = {} }"),
        "`approvers` is missing in `hold` | a list of groups whose \
        members may approve",
    );
    check(
        &rule("{ hold = { approvers = [] } }"),
        "`approvers` is an empty list | at least one text | leave the key out",
    );
    check(
        &rule("{ hold = { approvers = [\"agents\"], quorum = 0 } }"),
        "`quorum` is 0 | a whole number from 1 to 100",
    );
    check(
        &rule("{ hold = { approvers = [\"agents\"], timeout = \"8d\" } }"),
        "`timeout` is out of range | a duration from 1s to 7d",
    );
    check(
        &rule("{ hold = { approvers = \"agents\" } }"),
        "`approvers` is a text | a list of texts | write [\"agents\"]",
    );
    check(
        "[[mask]]\noperator = \"mask\"\n",
        "a [[mask]] needs one of `columns`, `paths` and `detect` | one of them | write a [[mask]] for \
         each",
    );
    check(
        "[[mask]]\ncolumns = [\"customers.ssn\"]\noperator = \"mask\"\n",
        "\"customers.ssn\" | `schema.table.column`, `*` for any part",
    );
    check(
        "[[rule]]\nname = \"r\"\nwhen = { touches = [\"a.b.c\"] }\nthen = \"allow\"\n",
        "\"a.b.c\" | `schema.name` or `name`, `*` for any characters",
    );
    check(
        "[journal]\nsegment = \"1MiB\"\n",
        "`segment` is out of range | a size from 18MiB to 4GiB",
    );
    for flush in ["4ms", "11s"] {
        check(
            &format!("[journal]\nflush = \"{flush}\"\n"),
            "`flush` is out of range | a duration from \"5ms\" to \"10s\"",
        );
    }
}

#[test]
fn all_problems_are_shown_at_once_and_in_order() {
    let text = "shards = 0\n[listen.postgres]\naddress = \"nowhere\"\n[[target]]\nname = \"a\"\n";
    let errors = read(text).unwrap_err();
    let places: Vec<(usize, usize)> =
        errors.0.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(1, 1), (1, 10), (3, 11), (4, 1), (4, 1)], "{errors}");
    let shown = errors.to_string();
    assert!(shown.starts_with("weir.toml:1:1: `data_dir` is missing in the file"), "{shown}");
    assert!(shown.contains("weir.toml:3:11: `address` is \"nowhere\"\n  expected: an address"));
}

#[test]
fn a_target_that_cannot_be_made_is_not_one_that_is_not_there() {
    let text = SHORT.replace("tls = \"require\"", "root_certificates = \"no-such.pem\"");
    let text = format!(
        "{text}[[rule]]\nname = \"r\"\nwhen = {{ targets = [\"orders\"], roles = [\"app\"] }}\n\
         then = \"allow\"\n[[mask]]\ndetect = [\"jwt\"]\noperator = \"mask\"\ntargets = [\"orders\"]\n"
    );
    let errors = read(&text).unwrap_err();
    assert_eq!(errors.0.len(), 1, "{errors}");
    assert!(errors.to_string().contains("no-such.pem"), "{errors}");
}

#[test]
fn a_credential_that_passwords_never_get_is_named_as_that() {
    let more = "[[target.credential]]\nrole = \"admin\"\npassword = { env = \"PASSWORD\" }\n\
                groups = [\"dba\"]\n[[identity.user]]";
    let (_, warnings) = read(&SHORT.replace("[[identity.user]]", more)).unwrap();
    let said = warnings.iter().map(ToString::to_string).find(|it| it.contains("credential"));
    let said = said.expect("a warning");
    assert!(said.contains("with a password") && said.contains("tokens and certificates"), "{said}");
}

#[test]
fn text_that_is_not_toml_names_the_place() {
    let errors = read("data_dir = \"x\"\nlisten = [\n= 3\n").unwrap_err();
    assert!(errors.0.iter().all(|problem| problem.found.starts_with("not TOML: ")), "{errors}");
    assert!(errors.0[0].line >= 2, "{errors}");
    // A key given twice is an error of TOML itself.
    let errors = read("data_dir = \"x\"\ndata_dir = \"y\"\n").unwrap_err();
    assert_eq!(errors.0[0].line, 2, "{errors}");
}

#[test]
fn every_truncation_is_an_error_or_settings() {
    for length in 0..SHORT.len() {
        let Some(text) = SHORT.get(..length) else { continue };
        if let Err(errors) = read(text) {
            assert!(!errors.0.is_empty(), "cut at {length}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let errors = load(Path::new("/nonexistent/weir.toml")).unwrap_err().to_string();
    assert!(errors.starts_with("/nonexistent/weir.toml: cannot be read: "), "{errors}");
}

/// What a person may write stands where people look for it.
#[test]
fn the_readme_names_every_key_class_operator_and_detector() {
    let readme = include_str!("../../../README.md");
    let keys = FactKind::ALL.map(FactKind::key);
    let more = ["users", "groups", "targets", "roles", "sources", "commands", "touches"];
    let classes = Protocol::ALL.map(|protocol| ClassSet::all(protocol).names(protocol));
    let words = keys.into_iter().chain(more).chain(["hours_utc"]);
    let words = words.chain(classes.into_iter().flatten());
    let words = words.chain(Operator::NAMES).chain(detect::NAMES);
    let missing: Vec<&str> = words.filter(|word| !readme.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "README says nothing of {missing:?}");
}
