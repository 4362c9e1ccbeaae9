//! An action and an identity in, a verdict out.
//!
//! In: actions, who, where, when. Out: `Verdict`; the only maker of `Permit`.
//! Never: waiting. A hold is a value, answered later by votes.
//!
//! `class`, `action`, `rules` and `approval` are neutral; `sql`, `http`, `ssh` and `kubernetes` say
//! what an action is in their protocol, each with its own table of classes.

pub mod action;
pub mod approval;
pub mod class;
pub mod http;
pub mod kubernetes;
pub mod rules;
pub mod sql;
pub mod ssh;

pub use action::{Act, Action, Cause, Fact, FactKind, Kin, Object, Reading};
pub use approval::Ask;
pub use class::{ClassRow, ClassSet, Commands};
pub use rules::Rules;
pub use sql::{Class, Classified, Classifier, Consequence, Copy, CopyFormat, Statement};

use std::rc::Rc;

use crate::limits;

/// Proof that the rules let these bytes pass. Made here only; moved, never copied.
#[derive(Debug)]
pub struct Permit {
    _made_by_decide: (),
}

impl Permit {
    /// Called by `rules` and `approval` only.
    pub(in crate::decide) fn new() -> Permit {
        Permit { _made_by_decide: () }
    }

    /// For messages that are no commands and reveal no data of another's command. Which these are
    /// is a closed set of each protocol.
    pub fn plumbing(_message: impl Plumbing) -> Permit {
        Permit::new()
    }
}

/// A kind of message of a protocol that is no command. Each protocol has one closed enum of them,
/// in its folder here.
pub trait Plumbing: std::fmt::Debug {}

/// What the rules say.
#[derive(Debug)]
pub enum Verdict {
    /// Forward.
    Allow(Permit, Matched),
    /// Answer with an error that states the reason.
    Deny(Reason),
    /// Wait for people.
    Hold(HoldTerms),
}

/// Name of a rule; shared, because every command carries it.
pub type RuleName = Rc<str>;

/// The rules that matched a command, and the one that decided. Small and without a list of its
/// own: every command has one.
#[derive(Clone)]
pub struct Matched {
    /// The rules that can match in the session.
    policy: Rc<Policy>,
    /// A bit per name.
    bits: [u64; limits::RULES_MAX / 64],
    /// How many of them are set.
    count: usize,
    /// `None` when nothing matched.
    first: Option<usize>,
}

/// The rules that can match in one session, by name.
#[derive(Debug, Default)]
struct Policy {
    /// Which rules the configuration has.
    version: Rc<str>,
    /// In the order of the file.
    names: Vec<RuleName>,
}

impl Policy {
    /// Of a configuration that has no name.
    fn of(names: Vec<RuleName>) -> Rc<Policy> {
        Rc::new(Policy { version: Rc::default(), names })
    }
}

impl Matched {
    fn none(policy: &Rc<Policy>) -> Matched {
        Matched {
            policy: Rc::clone(policy),
            bits: [0; limits::RULES_MAX / 64],
            count: 0,
            first: None,
        }
    }

    /// Which rules were in force (`Snapshot::policy_version`).
    pub fn policy_version(&self) -> &str {
        &self.policy.version
    }

    fn add(&mut self, rule: usize) {
        let bit = 1 << (rule % 64);
        if let Some(word) = self.bits.get_mut(rule / 64).filter(|word| **word & bit == 0) {
            *word |= bit;
            self.count += 1;
        }
    }

    /// The rule that decided; empty when nothing matched.
    pub fn rule(&self) -> RuleName {
        let first = self.first.and_then(|rule| self.policy.names.get(rule));
        first.map_or_else(|| Rc::from(""), Rc::clone)
    }

    /// The same, as a record takes them.
    pub fn rule_names(&self) -> Vec<RuleName> {
        self.shared().cloned().collect()
    }

    /// The rule that decided is the only one that matched.
    pub fn is_alone(&self) -> bool {
        self.count == 1
    }

    /// All rules that matched, whatever their effect, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shared().map(|name| &**name)
    }

    fn shared(&self) -> impl Iterator<Item = &RuleName> {
        let matches = |rule: &usize| {
            self.bits.get(rule / 64).is_some_and(|word| word & (1 << (rule % 64)) != 0)
        };
        let named = self.policy.names.iter().enumerate();
        named.filter(move |(rule, _)| matches(rule)).map(|(_, name)| name)
    }
}

impl std::fmt::Debug for Matched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of ", self.rule())?;
        f.debug_list().entries(self.names()).finish()
    }
}

/// Two are the same if they say the same.
impl PartialEq for Matched {
    fn eq(&self, other: &Matched) -> bool {
        self.rule() == other.rule() && self.names().eq(other.names())
    }
}

impl Eq for Matched {}

/// Why a command is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule, empty when nothing matched.
    pub rule: RuleName,
    /// One sentence for the person at the client.
    pub message: String,
    /// All rules that matched.
    pub matched: Matched,
}

/// What a hold asks for; `approval::Ask` is made of it. All parts have to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    /// One per rule that holds the command, in the order of the file; at least one.
    pub parts: Vec<Rc<HoldPart>>,
    /// All rules that matched.
    pub matched: Matched,
}

/// What one rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldPart {
    /// The rule.
    pub rule: RuleName,
    /// Groups whose members may approve.
    pub approvers: Vec<String>,
    /// Distinct approvers needed, at least 1.
    pub quorum: u32,
    /// How long it may take.
    pub timeout_us: u64,
}

impl HoldTerms {
    /// The first rule that holds the command.
    pub fn rule(&self) -> RuleName {
        self.parts.first().map_or_else(|| Rc::from(""), |part| Rc::clone(&part.rule))
    }

    /// Everybody who may have a say: groups of all parts.
    pub fn approvers(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for group in self.parts.iter().flat_map(|part| &part.approvers) {
            if !all.contains(group) {
                all.push(group.clone());
            }
        }
        all
    }

    /// Fewer people than this cannot answer it.
    pub fn quorum(&self) -> u32 {
        self.parts.iter().map(|part| part.quorum).max().unwrap_or(1)
    }

    /// Preparing what is held runs nothing and plans nothing: it waits when it is given its values,
    /// and that is where people see it (postgres.c, `exec_parse_message`).
    pub fn until_bound(&self) -> Permit {
        Permit::new()
    }

    /// The shortest time of the parts: all are answered in it.
    pub fn timeout_us(&self) -> u64 {
        self.parts.iter().map(|part| part.timeout_us).min().unwrap_or(0)
    }

    /// For people: `1 of dba and 2 of leads, security`.
    pub fn words(&self) -> String {
        let parts = self.parts.iter();
        let words = parts.map(|part| format!("{} of {}", part.quorum, part.approvers.join(", ")));
        words.collect::<Vec<_>>().join(" and ")
    }
}
