//! A hold: who may answer it, what they said, and when it is over.

use super::{HoldTerms, Permit};
use crate::record::SessionId;
use crate::session::Now;

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
}

/// What a vote does.
#[derive(Debug)]
pub enum Ballot {
    /// It counts; more are needed.
    Counted {
        /// Approvals still missing.
        missing: u32,
    },
    /// The quorum is reached.
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
    pub fn open(id: SessionId, terms: HoldTerms, requester: &str, now: Now) -> Ask {
        Ask {
            id,
            deadline_us: now.mono_us + terms.timeout_us,
            expires_at_us: now.wall_us + terms.timeout_us as i64,
            terms,
            requester: requester.to_owned(),
            approvals: Vec::new(),
        }
    }

    /// Takes one vote.
    pub fn vote(&mut self, _approver: &str, _groups: &[String], _approve: bool) -> Ballot {
        Ballot::Refused("not built")
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
    /// The rule that holds it.
    pub rule: String,
    /// Text, credentials redacted, lossy UTF-8, at most 64 KiB.
    pub text: String,
    /// Groups whose members may approve.
    pub approvers: Vec<String>,
    /// Distinct approvers needed.
    pub quorum: u32,
    /// UTC microseconds.
    pub requested_at_us: i64,
    /// UTC microseconds.
    pub expires_at_us: i64,
}
