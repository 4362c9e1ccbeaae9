use super::*;
use crate::decide::Matched;

const NOW: Now = Now { wall_us: 1_000, mono_us: 500 };

fn ask(quorum: u32) -> Ask {
    ask_of(&[("dba leads", quorum, 100)])
}

/// Parts as approvers, quorum and timeout.
fn ask_of(parts: &[(&str, u32, u64)]) -> Ask {
    let part = |&(approvers, quorum, timeout_us): &(&str, u32, u64)| HoldPart {
        rule: approvers.into(),
        approvers: approvers.split(' ').map(str::to_owned).collect(),
        quorum,
        timeout_us,
    };
    let terms = HoldTerms {
        parts: parts.iter().map(|it| part(it).into()).collect(),
        matched: Matched::none(&std::rc::Rc::default()),
    };
    Ask::open(SessionId([1; 16]), terms, "alice", NOW)
}

/// A ballot as a word, with the approvals that are missing.
fn word(ballot: &Ballot) -> String {
    match ballot {
        Ballot::Counted { missing } => format!("counted {missing}"),
        Ballot::Granted(_) => "granted".to_owned(),
        Ballot::Again { missing } => format!("again {missing}"),
        Ballot::Denied => "denied".to_owned(),
        Ballot::Late => "late".to_owned(),
        Ballot::Refused(_) => "refused".to_owned(),
    }
}

/// A vote as `name:group`, `name~other:group` for one who is also `other`, `-` in front of a
/// denial.
fn vote(text: &str) -> Vote {
    let (approve, vote) = match text.strip_prefix('-') {
        Some(rest) => (false, rest),
        None => (true, text),
    };
    let (names, groups) = vote.split_once(':').unwrap();
    let (name, other) = names.split_once('~').unwrap_or((names, ""));
    Vote {
        approver: name.to_owned(),
        also: other.split('~').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        groups: groups.split('+').map(str::to_owned).collect(),
        approve,
        reason: "why".to_owned(),
        ..Vote::default()
    }
}

fn check(quorum: u32, votes: &str, expect: &[&str]) {
    check_votes(ask(quorum), votes, expect);
}

fn check_votes(mut ask: Ask, votes: &str, expect: &[&str]) {
    let outcome: Vec<String> =
        votes.split_whitespace().map(|text| word(&ask.vote(&vote(text), NOW))).collect();
    assert_eq!(outcome, expect, "{votes}");
}

#[test]
fn votes() {
    check(1, "bob:dba", &["granted"]);
    check(1, "bob:leads", &["granted"]);
    check(2, "bob:dba carol:dba", &["counted 1", "granted"]);
    check(2, "bob:dba bob:dba carol:leads", &["counted 1", "again 1", "granted"]);
    check(1, "alice:dba bob:dba", &["refused", "granted"]);
    check(1, "-alice:dba bob:dba", &["refused", "granted"]);
    check(1, "bob:agents carol:dba", &["refused", "granted"]);
    check(1, "-bob:agents carol:dba", &["refused", "granted"]);
    check(2, "bob:dba -carol:dba dave:dba", &["counted 1", "denied", "refused"]);
    check(2, "bob:dba -bob:dba", &["counted 1", "denied"]);
    check(1, "bob:dba carol:dba -dave:dba", &["granted", "refused", "refused"]);
    check(1, ":dba", &["refused"]);
    // Another identity of the requester, and of somebody who has voted.
    check(1, "root~alice:dba -root~alice:dba bob:dba", &["refused", "refused", "granted"]);
    check(2, "bob:dba rob~bob:leads carol:dba", &["counted 1", "again 1", "granted"]);
}

#[test]
fn every_part_has_its_quorum() {
    let check = |votes: &str, expect: &[&str]| {
        check_votes(ask_of(&[("dba", 1, 100), ("leads chiefs", 2, 50)]), votes, expect);
    };
    check("bob:dba carol:leads dave:chiefs", &["counted 2", "counted 1", "granted"]);
    check("carol:leads dave:chiefs bob:dba", &["counted 1", "counted 1", "granted"]);
    // Who belongs to both counts once in each.
    check("bob:dba+leads carol:chiefs", &["counted 1", "granted"]);
    check("bob:leads+chiefs carol:dba", &["counted 1", "counted 1"]);
    check("bob:dba bob:leads carol:leads", &["counted 2", "again 2", "counted 1"]);
    check(
        "bob:dba carol:leads -dave:chiefs erin:leads",
        &["counted 2", "counted 1", "denied", "refused"],
    );
    check("bob:agents", &["refused"]);
    let both = ask_of(&[("dba", 1, 100), ("dba", 2, 50)]);
    assert_eq!((both.deadline_us, both.terms.quorum()), (550, 2));
    assert_eq!(both.terms.words(), "1 of dba and 2 of dba");
    assert_eq!(both.terms.approvers(), ["dba"]);
}

/// Every sequence of five votes of four people, against the rules written down once more.
#[test]
fn all_short_sequences() {
    const PEOPLE: [(&str, &str); 4] =
        [("alice", "dba"), ("bob", "dba"), ("carol", "leads"), ("dave", "agents")];
    let choices = PEOPLE.len() * 2;
    for quorum in 1..=3 {
        for sequence in 0..choices.pow(5) {
            let mut ask = ask(quorum);
            let (mut over, mut approved) = (false, std::collections::BTreeSet::new());
            let mut rest = sequence;
            for _ in 0..5 {
                let ((name, group), approve) =
                    (PEOPLE[rest % choices / 2], (rest % choices).is_multiple_of(2));
                rest /= choices;
                let may = name != "alice" && group != "agents" && !over;
                let expect = if !may {
                    "refused".to_owned()
                } else if approve && approved.contains(name) {
                    format!("again {}", quorum as usize - approved.len())
                } else if !approve {
                    over = true;
                    "denied".to_owned()
                } else {
                    approved.insert(name);
                    over = approved.len() == quorum as usize;
                    match quorum as usize - approved.len() {
                        0 => "granted".to_owned(),
                        missing => format!("counted {missing}"),
                    }
                };
                let sign = if approve { "" } else { "-" };
                let ballot = ask.vote(&vote(&format!("{sign}{name}:{group}")), NOW);
                assert_eq!(word(&ballot), expect, "{quorum} {sequence}");
            }
            assert_eq!(ask.approvals.len(), approved.len());
        }
    }
}

#[test]
fn the_time_ends() {
    let ask = ask(1);
    assert_eq!((ask.deadline_us, ask.expires_at_us), (600, 1_100));
    assert!(!ask.is_expired(Now { mono_us: 599, ..NOW }));
    assert!(ask.is_expired(Now { mono_us: 600, ..NOW }));
    let endless = ask_of(&[("dba", 1, u64::MAX)]);
    assert_eq!((endless.deadline_us, endless.expires_at_us), (u64::MAX, i64::MAX));
}

#[test]
fn a_vote_at_the_deadline_is_late_and_ends_it() {
    let mut ask = ask(1);
    let last = Now { mono_us: 599, ..NOW };
    let end = Now { mono_us: 600, ..NOW };
    assert_eq!(word(&ask.vote(&vote("alice:dba"), last)), "refused");
    assert_eq!(word(&ask.vote(&vote("bob:dba"), end)), "late");
    assert_eq!(word(&ask.vote(&vote("bob:dba"), last)), "refused", "time does not run backwards");
    let mut silent = vote("-bob:dba");
    silent.reason = " ".into();
    assert_eq!(word(&self::ask(1).vote(&silent, NOW)), "refused");
}

fn granted(parts: &[(&str, u32, u64)], votes: &[Vote]) -> Grant {
    let mut ask = ask_of(parts);
    for vote in votes {
        if let Ballot::Granted(grant) = ask.vote(vote, NOW) {
            return grant;
        }
    }
    panic!("the votes are not enough")
}

#[test]
fn a_grant_is_judged_by_the_terms_in_force() {
    let grant =
        granted(&[("dba", 1, 100), ("leads", 1, 100)], &[vote("bob:dba"), vote("eve:leads")]);
    let check = |parts: &[(&str, &str, u32)], expect: bool| {
        let part = |&(rule, approvers, quorum): &(&str, &str, u32)| HoldPart {
            rule: rule.into(),
            approvers: vec![approvers.into()],
            quorum,
            timeout_us: 1,
        };
        let terms = HoldTerms {
            parts: parts.iter().map(|it| part(it).into()).collect(),
            matched: Matched::none(&std::rc::Rc::default()),
        };
        assert_eq!(grant.satisfies(&terms), expect, "{parts:?}");
    };
    check(&[("dba", "dba", 1), ("leads", "leads", 1)], true);
    check(&[("dba", "dba", 1)], true);
    check(&[("dba", "dba", 2)], false);
    check(&[("dba", "leads", 1)], true);
    check(&[("dba", "security", 1)], false);
    // Nobody was asked by this rule, whoever its approvers are.
    check(&[("dba", "dba", 1), ("new", "dba", 1)], false);
}

#[test]
fn a_scope_is_what_all_approvers_mean() {
    let of = |scope: Scope, text: &str| Vote { scope, ..vote(text) };
    let check = |one: Scope, two: Scope, expect: Scope| {
        let votes = [of(one, "bob:dba"), of(two, "eve:dba")];
        assert_eq!(granted(&[("dba", 2, 100)], &votes).scope, expect);
    };
    let (once, window) = (Scope::Once, |for_us| Scope::Window { for_us });
    let statement = |times, for_us| Scope::Statement { times, for_us };
    check(once, once, once);
    check(once, window(9), once);
    check(window(9), window(7), window(7));
    check(statement(3, 9), statement(5, 7), statement(3, 7));
    check(statement(3, 9), window(9), once);
}

#[test]
fn a_statement_is_repeated_as_often_and_as_long_as_approved() {
    let scope = Scope::Statement { times: 2, for_us: 50 };
    let grant = granted(&[("dba", 1, 100)], &[Vote { scope, ..vote("bob:dba") }]);
    let terms = ask_of(&[("dba", 1, 100)]).terms;
    let grant = std::rc::Rc::new(grant);
    let shown = |text: &str, class: &str| AskSummary {
        text: text.into(),
        classes: vec![class.into()],
        repeatable: is_repeatable(&[class]),
        ..AskSummary::default()
    };
    let (one, other) = (shown("delete", "write"), shown("delete ", "write"));
    let at = |us: u64| Now { mono_us: NOW.mono_us + us, ..NOW };
    let mut standings = Standings::default();
    standings.keep(&grant, &shown("drop", "ddl"), NOW);
    assert!(standings.is_empty(), "a class that is approved each time");
    standings.keep(&grant, &one, NOW);
    assert!(
        standings.take(&other.subject(), |it| it.satisfies(&terms), at(1)).is_none(),
        "byte for byte"
    );
    assert!(standings.take(&one.subject(), |it| it.satisfies(&terms), at(1)).is_some());
    assert!(
        standings.take(&one.subject(), |it| it.satisfies(&terms), at(50)).is_none(),
        "its time is over"
    );
    assert!(standings.take(&one.subject(), |it| it.satisfies(&terms), at(49)).is_some());
    assert!(standings.take(&one.subject(), |it| it.satisfies(&terms), at(2)).is_none(), "used up");
}

/// Voters have the groups that they voted with.
fn as_then(vote: &Vote) -> Vote {
    vote.clone()
}

/// Of two who approved one is removed, or loses the group, before the command is released.
#[test]
fn who_may_not_answer_any_more_does_not_count_at_release() {
    let grant = granted(&[("dba leads", 2, 100)], &[vote("bob:dba"), vote("eve:leads")]);
    let terms = ask_of(&[("dba leads", 2, 100)]).terms;
    let check = |eve: &[&str], expect: &[&str]| {
        let now = grant.renewed(|vote| match vote.approver.as_str() {
            "eve" => {
                Vote { groups: eve.iter().map(|it| (*it).to_owned()).collect(), ..vote.clone() }
            }
            _ => vote.clone(),
        });
        assert_eq!(now.lapsed(&terms).collect::<Vec<_>>(), expect, "{eve:?}");
        assert_eq!(now.satisfies(&terms), expect.is_empty(), "{eve:?}");
    };
    check(&["leads"], &[]);
    check(&["agents", "dba"], &[]);
    check(&["agents"], &["eve"]);
    check(&[], &["eve"]);
}

/// A reload says that two identities are one person: of two voters the first counts, of a voter who
/// is the requester's nobody.
#[test]
fn two_who_have_become_one_person_count_as_one_at_release() {
    let grant = granted(&[("dba", 2, 100)], &[vote("bob:dba"), vote("eve:dba")]);
    let terms = ask_of(&[("dba", 2, 100)]).terms;
    let check = |whose: &str, other: &str, expect: &[&str]| {
        let now = grant.renewed(|vote| match vote.approver == whose {
            true => Vote { also: vec![other.to_owned()], ..vote.clone() },
            false => vote.clone(),
        });
        assert_eq!(now.lapsed(&terms).collect::<Vec<_>>(), expect, "{whose} is {other}");
        assert_eq!(now.satisfies(&terms), expect.is_empty(), "{whose} is {other}");
    };
    check("eve", "carol", &[]);
    check("eve", "bob", &["eve"]);
    check("bob", "alice", &["bob"]);
}

#[test]
fn a_window_is_for_one_user_role_target_and_its_classes() {
    let scope = Scope::Window { for_us: 1_000 };
    let grant = granted(&[("dba", 1, 100)], &[Vote { scope, ..vote("bob:dba") }]);
    let terms = ask_of(&[("dba", 1, 100)]).terms;
    let claim = Claim { user: "alice", target: "shop", role: "app" };
    let classes = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let window = Window::of(&grant, claim, classes(&["write", "read"]), NOW).unwrap();
    let check = |claim: Claim<'_>, names: &[&str], us: i64, expect: bool| {
        let now = Now { wall_us: NOW.wall_us + us, ..NOW };
        let grant = window.grant(claim, &classes(names), (&terms, as_then), now);
        assert_eq!(grant.is_some(), expect, "{claim:?} {names:?} {us}");
    };
    check(claim, &["write"], 0, true);
    check(claim, &["write"], 999, true);
    check(claim, &["write"], 1_000, false);
    check(claim, &["write", "ddl"], 0, false);
    check(claim, &[], 0, false);
    check(Claim { role: "boss", ..claim }, &["write"], 0, false);
    check(Claim { user: "bob", ..claim }, &["write"], 0, false);
    check(Claim { target: "prod", ..claim }, &["write"], 0, false);
    assert_eq!(
        window.grant(claim, &classes(&["write"]), (&terms, as_then), NOW).unwrap().words(),
        grant.words()
    );
    let concerned = |user: &str, group: &str| window.concerns(user, &[group.to_owned()]);
    assert!(concerned("alice", "agents") && concerned("bob", "") && concerned("eve", "dba"));
    assert!(!concerned("eve", "leads"));
    let other = ask_of(&[("leads", 1, 100)]).terms;
    assert!(window.grant(claim, &classes(&["write"]), (&other, as_then), NOW).is_none());
    let gone = |vote: &Vote| Vote { groups: Vec::new(), ..vote.clone() };
    assert!(
        window.grant(claim, &classes(&["write"]), (&terms, gone), NOW).is_none(),
        "who opened it is gone"
    );
    assert!(
        Window::of(&granted(&[("dba", 1, 1)], &[vote("bob:dba")]), claim, vec![], NOW).is_none()
    );
}
