//! A hold: who may answer it, what they said, and when it is over.
//!
//! In: terms, votes, the time. Out: `Ballot`; a `Grant` once, when every part has its quorum.
//! Never: a vote of the requester, of someone outside the approvers, of the same person twice, or
//! after the end.
//!
//! A command that several rules hold has a part for each. A vote counts for every part whose
//! approvers its voter belongs to, once in each; one denial by anybody who may vote ends it.
//!
//! ```text
//!   open --vote--> Counted --vote--> Granted          one denial --> Denied
//!                                                     deadline, cancel --> expired, canceled
//! ```

use ring::digest::{Context, SHA256};

use std::rc::Rc;

use super::{HoldPart, HoldTerms, Matched, Permit, Policy, RuleName};
use crate::clock::Now;
use crate::record::SessionId;

/// A command that waits.
#[derive(Debug)]
pub struct Ask {
    /// Id.
    pub id: SessionId,
    /// Terms.
    pub terms: HoldTerms,
    /// Who asked; may not approve.
    pub requester: String,
    /// When it expires, monotonic microseconds.
    pub deadline_us: u64,
    /// When it expires, UTC microseconds.
    pub expires_at_us: i64,
    /// Distinct approvers so far.
    pub approvals: Vec<String>,
    /// How many of them each part of the terms has.
    given: Vec<u32>,
    /// Whether a vote has ended it.
    over: bool,
}

/// What a vote does.
#[derive(Debug)]
pub enum Ballot {
    /// It counts; more are needed.
    Counted {
        /// Fewer approvals than this cannot release it.
        missing: u32,
    },
    /// Every part has its quorum.
    Granted(Grant),
    /// One approver denied; the hold is over.
    Denied,
    /// It does not count.
    Refused(&'static str),
}

/// A granted ask; makes the permits of the one command it was asked for.
#[derive(Debug)]
pub struct Grant {
    _made_by_decide: (),
}

impl Grant {
    /// A permit for the approved command (its Bind, its Execute).
    pub fn permit(&self) -> Permit {
        Permit::new()
    }
}

impl Ask {
    /// Opens an ask.
    ///
    /// # Panics
    /// If the terms have no part, or one without approvers or quorum, which `config` refuses.
    pub fn open(id: SessionId, terms: HoldTerms, requester: &str, now: Now) -> Ask {
        assert!(!terms.parts.is_empty(), "a hold is asked for by a rule");
        for part in &terms.parts {
            assert!(!part.approvers.is_empty(), "a hold names who may approve it");
            assert!(part.quorum > 0, "a hold needs at least one approval");
        }
        let timeout_us = terms.timeout_us();
        Ask {
            id,
            deadline_us: now.mono_us.saturating_add(timeout_us),
            expires_at_us: now
                .wall_us
                .saturating_add(i64::try_from(timeout_us).unwrap_or(i64::MAX)),
            given: vec![0; terms.parts.len()],
            terms,
            requester: requester.to_owned(),
            approvals: Vec::new(),
            over: false,
        }
    }

    /// Takes one vote.
    pub fn vote(&mut self, approver: &str, groups: &[String], approve: bool) -> Ballot {
        if self.over {
            return Ballot::Refused("this command no longer waits for approval");
        }
        if approver.is_empty() {
            return Ballot::Refused("a vote needs a name");
        }
        if approver == self.requester {
            return Ballot::Refused("who asks for a command cannot answer it");
        }
        let belongs = |part: &HoldPart| groups.iter().any(|group| part.approvers.contains(group));
        if !self.terms.parts.iter().any(|part| belongs(part)) {
            return Ballot::Refused("only members of the rule's approvers may answer");
        }
        if !approve {
            self.over = true;
            return Ballot::Denied;
        }
        if self.approvals.iter().any(|earlier| earlier == approver) {
            return Ballot::Refused("your approval is already counted");
        }
        self.approvals.push(approver.to_owned());
        for (part, given) in self.terms.parts.iter().zip(&mut self.given) {
            *given += u32::from(belongs(part));
        }
        let missing = self.missing();
        if missing > 0 {
            return Ballot::Counted { missing };
        }
        self.over = true;
        Ballot::Granted(Grant { _made_by_decide: () })
    }

    /// Fewer approvals than this cannot release it: what the part that lacks most lacks.
    pub fn missing(&self) -> u32 {
        let parts = self.terms.parts.iter().zip(&self.given);
        parts.map(|(part, given)| part.quorum.saturating_sub(*given)).max().unwrap_or(1)
    }

    /// Each part of the terms as people see it.
    pub fn parts(&self) -> Vec<AskPart> {
        let parts = self.terms.parts.iter().zip(&self.given);
        let shown = parts.map(|(part, given)| AskPart {
            rule: part.rule.to_string(),
            approvers: part.approvers.clone(),
            quorum: part.quorum,
            given: *given,
        });
        shown.collect()
    }

    /// Whether the time to answer is over. A vote that arrives later must not be taken.
    pub fn is_expired(&self, now: Now) -> bool {
        now.mono_us >= self.deadline_us
    }
}

/// An ask as plain data, which may cross threads: it waits while nobody waits for it.
#[derive(Debug)]
pub struct Parked {
    id: SessionId,
    parts: Vec<(String, Vec<String>, u32, u64)>,
    requester: String,
    deadline_us: u64,
    expires_at_us: i64,
    approvals: Vec<String>,
    given: Vec<u32>,
}

impl Parked {
    /// The ask again.
    pub fn resume(self) -> Ask {
        let parts = self.parts.into_iter().map(|(rule, approvers, quorum, timeout_us)| {
            Rc::new(HoldPart { rule: rule.into(), approvers, quorum, timeout_us })
        });
        let parts: Vec<Rc<HoldPart>> = parts.collect();
        let names: Vec<RuleName> = parts.iter().map(|part| RuleName::clone(&part.rule)).collect();
        Ask {
            id: self.id,
            terms: HoldTerms { parts, matched: Matched::none(&Policy::of(names)) },
            requester: self.requester,
            deadline_us: self.deadline_us,
            expires_at_us: self.expires_at_us,
            approvals: self.approvals,
            given: self.given,
            over: false,
        }
    }
}

impl Ask {
    /// Nobody waits for it now. `None` if a vote has ended it.
    pub fn park(self) -> Option<Parked> {
        let part = |part: &Rc<HoldPart>| {
            let rule = part.rule.to_string();
            (rule, part.approvers.clone(), part.quorum, part.timeout_us)
        };
        (!self.over).then(|| Parked {
            id: self.id,
            parts: self.terms.parts.iter().map(part).collect(),
            requester: self.requester,
            deadline_us: self.deadline_us,
            expires_at_us: self.expires_at_us,
            approvals: self.approvals,
            given: self.given,
        })
    }
}

/// An ask as the control thread and its clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskSummary {
    /// Id of the approval.
    pub id: SessionId,
    /// Session of the held command.
    pub session_id: SessionId,
    /// Its sequence number.
    pub command_seq: u64,
    /// Who wants to run it.
    pub user: String,
    /// Target name.
    pub target: String,
    /// Role at the target.
    pub role: String,
    /// The first rule that holds it.
    pub rule: String,
    /// The whole text, credentials redacted, lossy UTF-8.
    pub text: String,
    /// Its parameters as the record renders them, JSON text; empty if it has none.
    pub params: String,
    /// Its classes.
    pub classes: Vec<String>,
    /// The objects it names, `+` before those that it changes.
    pub objects: Vec<String>,
    /// Groups whose members may have a say: of all parts.
    pub approvers: Vec<String>,
    /// Fewer people than this cannot release it.
    pub quorum: u32,
    /// What each rule that holds it asks for.
    pub parts: Vec<AskPart>,
    /// UTC microseconds.
    pub requested_at_us: i64,
    /// UTC microseconds.
    pub expires_at_us: i64,
}

impl AskSummary {
    /// What an approver may be shown at most: text, parameters, classes and objects.
    pub const SHOWN_BYTES_MAX: usize = 64 << 10;

    /// Whether all of it can be shown; what cannot is not held but refused.
    pub fn can_be_shown(&self) -> bool {
        let lists = self.classes.iter().chain(&self.objects).map(String::len).sum::<usize>();
        self.text.len() + self.params.len() + lists <= AskSummary::SHOWN_BYTES_MAX
    }

    /// SHA-256 of all that an approver is shown and decides on. Each part is led by its length, so
    /// that no two different commands have the same bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"weir ask 1");
        context.update(&self.id.0);
        context.update(&self.session_id.0);
        context.update(&self.command_seq.to_le_bytes());
        let mut part = |text: &str| {
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        };
        let texts = [&self.user, &self.target, &self.role, &self.text, &self.params];
        texts.into_iter().for_each(|text| part(text));
        for list in [&self.classes, &self.objects] {
            part(&list.len().to_string());
            list.iter().for_each(|text| part(text));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// What one rule asks for, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskPart {
    /// The rule.
    pub rule: String,
    /// Groups whose members may approve.
    pub approvers: Vec<String>,
    /// Distinct approvers needed.
    pub quorum: u32,
    /// Approvals so far.
    pub given: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Ballot::Denied => "denied".to_owned(),
            Ballot::Refused(_) => "refused".to_owned(),
        }
    }

    /// Votes as `name:group` with `-` in front of a denial.
    fn check(quorum: u32, votes: &str, expect: &[&str]) {
        check_votes(ask(quorum), votes, expect);
    }

    fn check_votes(mut ask: Ask, votes: &str, expect: &[&str]) {
        let outcome: Vec<String> = votes
            .split_whitespace()
            .map(|vote| {
                let (approve, vote) = match vote.strip_prefix('-') {
                    Some(rest) => (false, rest),
                    None => (true, vote),
                };
                let (name, groups) = vote.split_once(':').unwrap();
                let groups: Vec<String> = groups.split('+').map(str::to_owned).collect();
                word(&ask.vote(name, &groups, approve))
            })
            .collect();
        assert_eq!(outcome, expect, "{votes}");
    }

    #[test]
    fn votes() {
        check(1, "bob:dba", &["granted"]);
        check(1, "bob:leads", &["granted"]);
        check(2, "bob:dba carol:dba", &["counted 1", "granted"]);
        check(2, "bob:dba bob:dba carol:leads", &["counted 1", "refused", "granted"]);
        check(1, "alice:dba bob:dba", &["refused", "granted"]);
        check(1, "-alice:dba bob:dba", &["refused", "granted"]);
        check(1, "bob:agents carol:dba", &["refused", "granted"]);
        check(1, "-bob:agents carol:dba", &["refused", "granted"]);
        check(2, "bob:dba -carol:dba dave:dba", &["counted 1", "denied", "refused"]);
        check(2, "bob:dba -bob:dba", &["counted 1", "denied"]);
        check(1, "bob:dba carol:dba -dave:dba", &["granted", "refused", "refused"]);
        check(1, ":dba", &["refused"]);
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
        check("bob:dba bob:leads carol:leads", &["counted 2", "refused", "counted 1"]);
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
                    let expect = if !may || (approve && approved.contains(name)) {
                        "refused".to_owned()
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
                    let ballot = ask.vote(name, &[group.to_owned()], approve);
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
}
