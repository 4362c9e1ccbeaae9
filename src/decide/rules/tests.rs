use std::slice::from_ref;

use super::super::sql::classify::classify_uncached;
use super::*;
use crate::config::settings;
use crate::config::settings::Network;
use crate::decide::{Class, Commands, Fact, FactKind, Kin, Object, ssh};
use crate::identify::Method;

fn spec(name: &str, then: settings::Effect) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        users: Vec::new(),
        groups: Vec::new(),
        targets: Vec::new(),
        roles: Vec::new(),
        sources: Vec::new(),
        commands: Commands::default(),
        touches: Vec::new(),
        facts: Vec::new(),
        minutes_utc: None,
        then,
    }
}

fn allow(name: &str) -> RuleSpec {
    spec(name, settings::Effect::Allow)
}

fn deny(name: &str) -> RuleSpec {
    spec(name, settings::Effect::Deny(None))
}

fn hold(name: &str, quorum: u32) -> RuleSpec {
    hold_for(name, quorum, &["leads", "dba"])
}

fn hold_for(name: &str, quorum: u32, approvers: &[&str]) -> RuleSpec {
    let approvers = texts(approvers);
    spec(name, settings::Effect::Hold { approvers, quorum, timeout_us: 60_000_000 })
}

fn commands(words: &[&str]) -> Commands {
    let mut commands = Commands::default();
    words.iter().for_each(|word| commands.add(word).unwrap());
    commands
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn identity() -> Identity {
    Identity {
        user: "ci-bot".to_owned(),
        groups: texts(&["agents", "nightly"]),
        method: Method::Scram,
    }
}

fn who(identity: &Identity) -> Who<'_> {
    let source = "10.1.2.3".parse().unwrap();
    Who { identity, target: "orders", role: "app", source, wall_us: 12 * 3_600_000_000 }
}

fn shown(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow(_, matched) => format!("allow {}", matched.rule()),
        Verdict::Deny(reason) => format!("deny {}", reason.rule),
        Verdict::Hold(terms) => {
            let parts = terms.parts.iter().map(|part| format!(" {} {}", part.rule, part.quorum));
            format!("hold{}", parts.collect::<String>())
        }
    }
}

fn check(rules: &[RuleSpec], text: &str, expect: &str) {
    let identity = identity();
    let action = classify_uncached(text.as_bytes()).action;
    let rules = Rules::compile(rules);
    assert_eq!(shown(rules.decide(&who(&identity), &action)), expect, "{text}");
    let explained = rules.explain(&who(&identity), &action);
    let rule = expect.split(' ').nth(1).unwrap_or("");
    assert_eq!((explained.verdict, &*explained.rule), (expect.split(' ').next().unwrap(), rule));
}

#[test]
fn nothing_matched_means_deny() {
    check(&[], "SELECT 1", "deny ");
    check(&[], "BEGIN", "deny ");
    check(&[], "", "deny ");
    let reads = RuleSpec { commands: commands(&["read"]), ..allow("reads") };
    check(&[reads], "DROP TABLE t", "deny ");
    let identity = identity();
    let verdict =
        Rules::compile(&[]).decide_class(&who(&identity), Protocol::Postgres, Class::FunctionCall);
    let Verdict::Deny(reason) = verdict else { panic!("{verdict:?}") };
    assert_eq!(
        reason.message,
        "no rule allows `function-call` to user \"ci-bot\" at target \"orders\"; \
         `weir policy test` shows which rules were tried"
    );
}

#[test]
fn deny_beats_hold_beats_allow_in_any_order() {
    let rules = [allow("a"), deny("d"), hold("h", 1)];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let ordered: Vec<RuleSpec> = order.iter().map(|&index| rules[index].clone()).collect();
        check(&ordered, "SELECT 1", "deny d");
        let without: Vec<RuleSpec> =
            ordered.iter().filter(|rule| rule.name != "d").cloned().collect();
        check(&without, "SELECT 1", "hold h 1");
    }
    check(&[allow("one"), allow("two")], "SELECT 1", "allow one");
    // All holds that match are asked for.
    check(&[hold("one", 1), hold("two", 1)], "SELECT 1", "hold one 1 two 1");
    check(&[hold("two", 2), allow("a"), hold("one", 1)], "SELECT 1", "hold two 2 one 1");
}

#[test]
fn every_condition_can_miss() {
    fn check_rule(rule: RuleSpec, matches: bool) {
        let expect = if matches { "allow a" } else { "deny " };
        check(&[rule], "SELECT * FROM public.t", expect);
    }
    let network = |address: &str, prefix| Network { address: address.parse().unwrap(), prefix };
    check_rule(RuleSpec { users: texts(&["x", "ci-bot"]), ..allow("a") }, true);
    check_rule(RuleSpec { users: texts(&["x"]), ..allow("a") }, false);
    check_rule(RuleSpec { groups: texts(&["x", "nightly"]), ..allow("a") }, true);
    check_rule(RuleSpec { groups: texts(&["x"]), ..allow("a") }, false);
    check_rule(RuleSpec { targets: texts(&["orders"]), ..allow("a") }, true);
    check_rule(RuleSpec { targets: texts(&["x"]), ..allow("a") }, false);
    check_rule(RuleSpec { roles: texts(&["app"]), ..allow("a") }, true);
    check_rule(RuleSpec { roles: texts(&["x"]), ..allow("a") }, false);
    check_rule(RuleSpec { sources: vec![network("10.0.0.0", 8)], ..allow("a") }, true);
    check_rule(RuleSpec { sources: vec![network("11.0.0.0", 8)], ..allow("a") }, false);
    check_rule(RuleSpec { commands: commands(&["ddl", "read"]), ..allow("a") }, true);
    check_rule(RuleSpec { commands: commands(&["ddl"]), ..allow("a") }, false);
    check_rule(RuleSpec { touches: texts(&["public.t"]), ..allow("a") }, true);
    check_rule(RuleSpec { touches: texts(&["public.x"]), ..allow("a") }, false);
    check_rule(RuleSpec { minutes_utc: Some((660, 780)), ..allow("a") }, true);
    check_rule(RuleSpec { minutes_utc: Some((780, 660)), ..allow("a") }, false);
}

#[test]
fn every_class_can_be_named() {
    let identity = identity();
    for &class in Class::ALL {
        let rules = Rules::compile(&[
            RuleSpec { commands: commands(&[class.name()]), ..deny("d") },
            allow("a"),
        ]);
        for &other in Class::ALL {
            let expect = match other {
                _ if other == class => "deny d",
                // A stream that goes past all masks has to be named.
                Class::Replication => "deny ",
                _ => "allow a",
            };
            assert_eq!(
                shown(rules.decide_class(&who(&identity), Protocol::Postgres, other)),
                expect,
                "{class:?}"
            );
        }
    }
}

#[test]
fn replication_is_allowed_by_name_only() {
    let identity = identity();
    let named = RuleSpec { commands: commands(&["replication"]), ..allow("r") };
    let check = |rules: &[RuleSpec], expect: &str| {
        let rules = Rules::compile(rules);
        assert_eq!(
            shown(rules.decide_class(&who(&identity), Protocol::Postgres, Class::Replication)),
            expect
        );
    };
    check(&[allow("all")], "deny ");
    check(&[allow("all"), named.clone()], "allow r");
    check(&[deny("none"), named], "deny none");
}

#[test]
fn transactions_follow_any_allowance() {
    let reads = RuleSpec {
        commands: commands(&["read"]),
        touches: texts(&["public.t"]),
        minutes_utc: Some((0, 1)),
        ..allow("reads")
    };
    check(from_ref(&reads), "BEGIN", "allow reads");
    check(from_ref(&reads), "BEGIN; COMMIT", "allow reads");
    check(from_ref(&reads), "BEGIN; SELECT * FROM t", "deny ");
    check(from_ref(&reads), "SET a = 1", "deny ");
    let other = RuleSpec { users: texts(&["x"]), ..reads.clone() };
    check(from_ref(&other), "BEGIN", "deny ");
    let no_transactions = RuleSpec { commands: commands(&["transaction"]), ..deny("no") };
    check(&[reads, no_transactions], "BEGIN", "deny no");
    check(&[hold("h", 1)], "BEGIN", "hold h 1");
    check(&[deny("d")], "BEGIN", "deny d");
}

#[test]
fn empty_commands_pass_where_anything_may() {
    let reads = RuleSpec { commands: commands(&["read"]), ..allow("reads") };
    check(&[deny("d"), reads.clone()], ";", "allow reads");
    let other = RuleSpec { users: texts(&["x"]), ..reads };
    check(from_ref(&other), ";", "deny ");
    check(&[hold("h", 1)], ";", "deny ");
}

#[test]
fn statements_of_one_command_are_combined() {
    let rules = [
        RuleSpec { commands: commands(&["read"]), ..allow("reads") },
        RuleSpec { commands: commands(&["write"]), ..hold("writes", 1) },
        RuleSpec { commands: commands(&["ddl"]), ..hold("ddl", 2) },
        RuleSpec { commands: commands(&["grant"]), ..deny("grants") },
    ];
    let (read, write) = ("SELECT 1", "INSERT INTO t VALUES (1)");
    let (ddl, grant) = ("DROP TABLE t", "GRANT a TO b");
    check(&rules, &format!("{read};{read}"), "allow reads");
    check(&rules, &format!("{read};{write}"), "hold writes 1");
    check(&rules, &format!("{write};{read}"), "hold writes 1");
    check(&rules, &format!("{write};{ddl}"), "hold writes 1 ddl 2");
    check(&rules, &format!("{ddl};{write}"), "hold writes 1 ddl 2");
    check(&rules, &format!("{ddl};{grant}"), "deny grants");
    check(&rules, &format!("{grant};{ddl}"), "deny grants");
    check(&rules, &format!("{read};VACUUM"), "deny ");
    // Of two denials the first is told.
    check(&rules, &format!("VACUUM;{grant}"), "deny ");
}

#[test]
fn an_approval_of_one_statement_does_not_carry_another() {
    let short = settings::Effect::Hold { approvers: texts(&["dba"]), quorum: 2, timeout_us: 1 };
    let rules = [
        RuleSpec { commands: commands(&["write"]), ..hold_for("writes", 1, &["leads"]) },
        RuleSpec { commands: commands(&["ddl"]), ..spec("ddl", short) },
        RuleSpec { commands: commands(&["grant"]), ..allow("grants") },
    ];
    let text = "INSERT INTO t VALUES (1); DROP TABLE t; INSERT INTO t VALUES (2); GRANT a TO b";
    check(&rules, text, "hold writes 1 ddl 2");
    let identity = identity();
    let action = classify_uncached(text.as_bytes()).action;
    let rules = Rules::compile(&rules);
    let Verdict::Hold(terms) = rules.decide(&who(&identity), &action) else { panic!("hold") };
    assert_eq!(terms.words(), "1 of leads and 2 of dba");
    assert_eq!((terms.quorum(), terms.timeout_us()), (2, 1));
    assert_eq!(terms.matched.names().collect::<Vec<_>>(), ["writes", "ddl", "grants"]);
}

#[test]
fn allowances_need_every_object_and_denials_one() {
    let allowed = RuleSpec { touches: texts(&["public.t", "s.*"]), ..allow("a") };
    check(from_ref(&allowed), "SELECT * FROM t", "allow a");
    check(from_ref(&allowed), "SELECT * FROM t, s.x", "allow a");
    check(from_ref(&allowed), "SELECT * FROM t, u", "deny ");
    check(from_ref(&allowed), "SELECT * FROM t, pg_authid", "deny ");
    check(from_ref(&allowed), "SELECT version()", "deny ");
    check(from_ref(&allowed), "DROP SCHEMA s", "allow a");
    check(from_ref(&allowed), "DROP SCHEMA public", "deny ");
    let denied = [allow("a"), RuleSpec { touches: texts(&["sales.secret"]), ..deny("d") }];
    check(&denied, "SELECT * FROM t, sales.secret", "deny d");
    check(&denied, "SELECT * FROM secret", "deny d");
    check(&denied, "SELECT * FROM other.secret", "allow a");
    check(&denied, "DROP SCHEMA sales", "deny d");
    check(&denied, "SELECT (SELECT a FROM (SELECT * FROM sales.secret) x)", "deny d");
    check(&denied, "WITH secret AS (SELECT 1) SELECT * FROM secret", "allow a");
    check(&denied, "EXPLAIN SELECT * FROM sales.secret", "deny d");
}

#[test]
fn a_scope_decides_as_the_rules_do() {
    let identity = identity();
    let rules = Rules::compile(&[
        RuleSpec { users: texts(&["x"]), ..deny("other") },
        RuleSpec { groups: texts(&["agents"]), ..allow("agents") },
        RuleSpec { minutes_utc: Some((0, 60)), ..hold("night", 1) },
    ]);
    let scope = rules.scope(&who(&identity));
    assert_eq!(scope.rules.len(), 2);
    let action = classify_uncached(b"SELECT 1").action;
    for hour in 0..24 {
        let now = Who { wall_us: hour * 3_600_000_000, ..who(&identity) };
        let expect = if hour == 0 { "hold night 1" } else { "allow agents" };
        assert_eq!(shown(scope.decide(&now, &action)), expect);
        assert_eq!(shown(rules.decide(&now, &action)), expect);
        assert_eq!(shown(scope.decide_class(&now, Protocol::Postgres, Class::Unknown)), expect);
    }
}

#[test]
fn denials_carry_the_message_of_their_rule() {
    let identity = identity();
    let message = "ask in the morning".to_owned();
    let rules = [spec("polite", settings::Effect::Deny(Some(message.clone())))];
    let verdict =
        Rules::compile(&rules).decide_class(&who(&identity), Protocol::Postgres, Class::Read);
    assert!(matches!(verdict, Verdict::Deny(reason) if reason.message == message));
    let verdict = Rules::compile(&[deny("curt")]).decide_class(
        &who(&identity),
        Protocol::Postgres,
        Class::Read,
    );
    let expect = "rule \"curt\" denies `read`";
    assert!(matches!(verdict, Verdict::Deny(reason) if reason.message == expect));
}

#[test]
fn an_explanation_names_every_reason() {
    let identity = identity();
    let rules = Rules::compile(&[
        RuleSpec { users: texts(&["x"]), ..allow("by user") },
        RuleSpec { groups: texts(&["x"]), ..allow("by group") },
        RuleSpec { targets: texts(&["x"]), ..allow("by target") },
        RuleSpec { commands: commands(&["read"]), ..allow("reads") },
        RuleSpec { touches: texts(&["public.u"]), ..allow("by object") },
        RuleSpec { commands: commands(&["unbounded-write"]), ..hold("dba", 2) },
        RuleSpec { minutes_utc: Some((0, 1)), ..deny("night") },
    ]);
    let action = classify_uncached(b"DELETE FROM public.t").action;
    let explanation = rules.explain(&who(&identity), &action);
    assert_eq!(
        explanation.to_string(),
        "statement 1: DELETE, class unbounded-write, touches public.t\n  \
         allow does not match: by user: user ci-bot is not in users\n  \
         allow does not match: by group: none of agents, nightly is in groups\n  \
         allow does not match: by target: target orders is not in targets\n  \
         allow does not match: reads: class unbounded-write is not in commands\n  \
         allow does not match: by object: not every object is in touches\n  \
         hold matches: dba\n  \
         deny does not match: night: it is outside of hours_utc\n\
         verdict: hold by rule \"dba\": 2 of leads, dba, within 60 s"
    );
}

/// An act of SSH with these classes and facts.
fn ssh_action(classes: ClassSet, facts: Vec<Fact>) -> Action {
    Action::new(Protocol::Ssh, vec![Act { facts, ..Act::of(classes, "exec") }])
}

fn check_action(rules: &[RuleSpec], action: &Action, expect: &str) {
    let verdict = Rules::compile(rules).decide(&who(&identity()), action);
    assert_eq!(shown(verdict), expect, "{rules:?} {action:?}");
}

#[test]
fn several_classes_need_an_allowance_each_and_a_denial_one() {
    let both = ssh_action(ssh::Class::Exec.only().and(ssh::Class::ExecCompound.only()), vec![]);
    let exec = RuleSpec { commands: commands(&["ssh:exec"]), ..allow("exec") };
    let compound = RuleSpec { commands: commands(&["exec-compound"]), ..allow("compound") };
    check_action(from_ref(&exec), &both, "deny ");
    check_action(&[exec.clone(), compound.clone()], &both, "allow exec");
    check_action(&[allow("all")], &both, "allow all");
    let no = RuleSpec { commands: commands(&["exec-compound"]), ..deny("no") };
    check_action(&[exec.clone(), compound, no], &both, "deny no");
    // People who approve see all classes; what they are not asked about still needs a rule.
    let held = RuleSpec { commands: commands(&["exec-compound"]), ..hold("h", 1) };
    check_action(from_ref(&held), &both, "deny ");
    check_action(&[held, exec], &both, "hold h 1");
    check_action(&[allow("all")], &ssh_action(ClassSet::NONE, vec![]), "deny ");
}

#[test]
fn a_class_is_one_of_its_protocol() {
    let sql = RuleSpec { commands: commands(&["postgres:call", "ssh:exec"]), ..allow("a") };
    check(from_ref(&sql), "CALL p()", "allow a");
    check(from_ref(&sql), "BEGIN", "allow a");
    check_action(from_ref(&sql), &ssh_action(ssh::Class::Exec.only(), vec![]), "allow a");
    check_action(from_ref(&sql), &ssh_action(ssh::Class::Shell.only(), vec![]), "deny ");
    // A rule for another protocol allows nothing here, not even what follows.
    let exec = RuleSpec { commands: commands(&["ssh:exec"]), ..allow("a") };
    check(from_ref(&exec), "BEGIN", "deny ");
    check(from_ref(&exec), ";", "deny ");
    let tools = RuleSpec { facts: vec![(FactKind::Tool, texts(&["*"]))], ..allow("a") };
    check(from_ref(&tools), "BEGIN", "deny ");
    check_action(&[allow("a")], &ssh_action(ssh::Class::Agent.only(), vec![]), "deny ");
    let named = RuleSpec { commands: commands(&["ssh:agent"]), ..allow("a") };
    check_action(&[named], &ssh_action(ssh::Class::Agent.only(), vec![]), "allow a");
}

#[test]
fn facts_are_certain_for_an_allowance_and_possible_for_a_denial() {
    fn check(facts: &[Option<&str>], allows: bool, denies: bool) {
        let fact = |fact: &Option<&str>| match fact {
            Some(text) => Fact::is(FactKind::Text, text),
            None => Fact::unclear(FactKind::Text),
        };
        let action = ssh_action(ssh::Class::Exec.only(), facts.iter().map(fact).collect());
        let conditions = vec![(FactKind::Text, texts(&["ls *", "id"]))];
        let allowed = RuleSpec { facts: conditions.clone(), ..allow("a") };
        check_action(&[allowed], &action, if allows { "allow a" } else { "deny " });
        let denied = RuleSpec { facts: conditions, ..deny("d") };
        let expect = if denies { "deny d" } else { "allow a" };
        check_action(&[denied, allow("a")], &action, expect);
    }
    check(&[Some("id")], true, true);
    check(&[Some("ls -l"), Some("id")], true, true);
    check(&[Some("ls -l"), Some("rm x")], false, true);
    check(&[Some("rm x")], false, false);
    check(&[None], false, true);
    check(&[Some("id"), None], false, true);
    check(&[], false, false);
}

#[test]
fn other_blanks_and_quotes_are_the_same_words_to_a_denial() {
    let rules = |of: RuleSpec| RuleSpec {
        facts: vec![(FactKind::Text, texts(&["rm *", "cat /srv/s"]))],
        ..of
    };
    for (text, allows, denies) in [
        ("rm /a", true, true),
        ("cat /srv/s", true, true),
        ("rm\t/a", false, true),
        (" rm /a", false, true),
        ("\"rm\" '/a'", false, true),
        ("r''m /a", false, true),
        ("cat  /srv/s", false, true),
        ("cat /srv/s ", false, true),
        ("rmdir /a", false, false),
    ] {
        let action = ssh::exec(text.as_bytes());
        let expect = if allows { "allow a" } else { "deny " };
        check_action(&[rules(allow("a"))], &action, expect);
        let expect = if denies { "deny d" } else { "allow a" };
        check_action(&[rules(deny("d")), allow("a")], &action, expect);
    }
    assert_eq!(ssh::exec(b"\"rm\" /a").operation, "rm");
}

#[test]
fn paths_of_transfers_are_certain_for_an_allowance_and_possible_for_a_denial() {
    fn check(text: &str, allows: bool, denies: bool) {
        let action = ssh::exec(text.as_bytes());
        let paths = |pattern: &str| vec![(FactKind::Path, texts(&[pattern]))];
        let allowed = RuleSpec { facts: paths("/srv/pub/*"), ..allow("a") };
        let expect = if allows { "allow a" } else { "deny " };
        check_action(&[allowed], &action, expect);
        let denied = RuleSpec { facts: paths("/srv/secret/*"), ..deny("d") };
        let expect = if denies { "deny d" } else { "allow a" };
        check_action(&[denied, allow("a")], &action, expect);
    }
    check("scp -f /srv/pub/a", true, false);
    check("scp -r -f /srv/pub/a", true, false);
    check("scp -t /srv/pub/a", true, false);
    check("scp -r -f /srv/pub/", true, false);
    check("scp -f /srv/pub/../secret/s", false, true);
    check("scp -f /srv//secret/s", false, true);
    check("scp -f /srv/./secret/s", false, true);
    check("scp -f pub/a", false, true);
    check("scp -f '/srv/pub/[a]'", false, true);
    check("scp -r -f /srv", false, true);
    check("scp -f /srv", false, false);
    check("scp -t /srv", false, true);
    check("rsync --server --sender -re.iLs . /srv/pub/", true, false);
    check("rsync --server --sender -re.iLs . /srv/pub/a /srv/secret/s", false, true);
    check("rsync --server --sender -re.iLs . /srv/", false, true);
    check("rsync --server -re.iLs . /srv/pub/x", true, false);
    check("git-upload-pack /srv/pub/a", true, false);
    check("git-upload-pack /srv/pub/../secret/a", false, true);
    check("git-upload-pack a", false, true);
    let deny_git = RuleSpec {
        facts: vec![(FactKind::Path, texts(&["/srv/b.git", "/srv/c/.git", "/srv/bare"]))],
        ..deny("d")
    };
    for (text, expect) in [
        ("git-upload-pack /srv/b", "deny d"),
        ("git-upload-pack /srv/b.git/", "deny d"),
        ("git-upload-pack /srv/c", "deny d"),
        ("git-receive-pack /srv/bare.git", "deny d"),
        ("git-upload-pack /srv/bared.git", "allow a"),
        ("git-upload-pack /srv/d", "allow a"),
    ] {
        check_action(&[deny_git.clone(), allow("a")], &ssh::exec(text.as_bytes()), expect);
    }
    // A folder that is moved takes along what it holds.
    let path = |path: &str| ssh::files::FilePath::new(path.as_bytes(), None);
    let moved = |from: &str, to: &str| {
        let paths = vec![path(from), path(to)];
        let verb = ssh::files::RENAME;
        ssh::files::Operation::new(verb, ssh::Class::SftpWrite, paths).action()
    };
    let denied = RuleSpec { facts: vec![(FactKind::Path, texts(&["/srv/secret/*"]))], ..deny("d") };
    let rules = [denied, allow("a")];
    check_action(&rules, &moved("/srv", "/srv2"), "deny d");
    check_action(&rules, &moved("/var/x", "/srv/secret"), "deny d");
    check_action(&rules, &moved("/srv/pub/a", "/srv/pub/b"), "allow a");
    let csv = RuleSpec { facts: vec![(FactKind::Path, texts(&["/srv/*.csv"]))], ..allow("a") };
    check_action(&[csv], &moved("/srv/a.csv", "/srv/b.csv"), "allow a");
}

#[test]
fn verdicts_name_every_rule_that_matched() {
    let mut rules: Vec<RuleSpec> = Vec::new();
    for number in 0..130 {
        let name = format!("r{number}");
        rules.push(if number % 2 == 0 {
            allow(&name)
        } else {
            RuleSpec { commands: commands(&["ddl"]), ..hold(&name, 1) }
        });
    }
    let action = classify_uncached(b"SELECT 1").action;
    let Verdict::Allow(_, matched) = Rules::compile(&rules).decide(&who(&identity()), &action)
    else {
        panic!("allowed")
    };
    let expect: Vec<String> = (0..65).map(|number| format!("r{}", number * 2)).collect();
    assert_eq!(matched.names().collect::<Vec<_>>(), expect);
    rules.push(deny("no"));
    let Verdict::Deny(reason) = Rules::compile(&rules).decide(&who(&identity()), &action) else {
        panic!("denied")
    };
    assert_eq!((&*reason.rule, reason.matched.names().count()), ("no", 66));
}

#[test]
fn an_object_may_have_a_namespace_of_several_parts() {
    let object = Object { namespace: texts(&["prod", "pods"]), name: "web-1".into(), write: false };
    let act = Act { objects: [object].into(), ..Act::of(ssh::Class::Exec, "exec") };
    let action = Action::new(Protocol::Ssh, vec![act]);
    let touches = |pattern: &str| RuleSpec { touches: texts(&[pattern]), ..allow("a") };
    check_action(&[touches("prod.pods.web-*")], &action, "allow a");
    check_action(&[touches("prod.*.web-1")], &action, "allow a");
    check_action(&[touches("test.*")], &action, "deny ");
}

#[test]
fn what_is_reached_is_denied_and_held_and_never_needed_to_allow() {
    let identity = identity();
    let mut action = classify_uncached(b"SELECT id FROM names").action;
    let kin = Kin { object: Object::within("public", "customers", false), by: "names".into() };
    action.acts[0].kin = vec![kin];
    let touches = |rule: RuleSpec, pattern: &str| RuleSpec { touches: texts(&[pattern]), ..rule };
    let check = |rules: &[RuleSpec], expect: &str| {
        let verdict = Rules::compile(rules).decide(&who(&identity), &action);
        assert_eq!(shown(verdict), expect);
    };
    check(&[touches(allow("view"), "public.names")], "allow view");
    check(&[touches(allow("table"), "public.customers")], "deny ");
    check(&[allow("all"), touches(deny("table"), "*.customers")], "deny table");
    check(&[allow("all"), touches(deny("other"), "hr.customers")], "allow all");
    check(&[allow("all"), touches(hold("table", 1), "customers")], "hold table 1");
    let rules = [allow("all"), touches(deny("table"), "customers")];
    let Verdict::Deny(reason) = Rules::compile(&rules).decide(&who(&identity), &action) else {
        panic!("it is denied");
    };
    let expect = "rule \"table\" denies `read` (this reaches public.customers by way of names)";
    assert_eq!(reason.message, expect);
    let unknown = Kin { object: Object::within("*", "*", false), by: "a new table".into() };
    assert_eq!(unknown.words(), "any object by way of a new table");
}
