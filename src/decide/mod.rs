//! An action and an identity in, a verdict out.
//!
//! In: classified statements, who, where, when. Out: `Verdict`; the only maker of `Permit`.
//! Never: waiting. A hold is a value, answered later by votes.

pub mod approval;
pub mod kubernetes;
pub mod rules;
pub mod sql;

pub use approval::Ask;
pub use rules::Rules;
pub use sql::{Class, Classified, Classifier, Copy, CopyFormat, Effect, Object, Statement};

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

    /// For protocol messages that carry no command and reveal no data of another's command:
    /// Sync, Flush, Close, Describe, Terminate, CopyData of a permitted COPY, the login itself,
    /// and answers to permitted commands. The argument names the message, for the reader.
    pub fn housekeeping(_message: &'static str) -> Permit {
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
    Allow(Permit, RuleName),
    /// Answer with an error that states the reason.
    Deny(Reason),
    /// Wait for people.
    Hold(HoldTerms),
}

/// Name of the rule that decided; shared, because every command carries it.
pub type RuleName = std::rc::Rc<str>;

/// Why a command is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule, empty when nothing matched.
    pub rule: RuleName,
    /// One sentence for the person at the client.
    pub message: String,
}

/// What a hold asks for; `approval::Ask` is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    /// The rule.
    pub rule: RuleName,
    /// Groups whose members may approve.
    pub approvers: Vec<String>,
    /// Distinct approvers needed, at least 1.
    pub quorum: u32,
    /// How long it may take.
    pub timeout_us: u64,
}
