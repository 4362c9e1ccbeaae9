//! What people say to a session that holds a command, and what they see of sessions.
//!
//! In: votes. Out: what became of them; summaries. Never: a decision (`decide::approval` has it).

use crate::record::SessionId;

/// One approver's word on a held command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub approver: String,
    /// Groups of the approver.
    pub groups: Vec<String>,
    /// Approve or deny.
    pub approve: bool,
    /// Why.
    pub reason: String,
    /// SHA-256 of what the approver was shown (`AskSummary::digest`), if the vote says it.
    pub digest: Option<[u8; 32]>,
}

/// What became of a vote: a sentence for the approver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteReply {
    /// It counts; this many more approvals are needed (0: the command is released).
    Counted {
        /// Approvals still missing.
        missing: u32,
    },
    /// It ends the hold with a denial.
    Denied,
    /// It does not count, with the reason.
    Refused(String),
    /// No such command waits.
    Unknown,
}

/// A session as `weir sessions` and the console show it while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// Id.
    pub session_id: SessionId,
    /// Identity, empty before login.
    pub user: String,
    /// Target name.
    pub target: String,
    /// Role at the target.
    pub role: String,
    /// Client address.
    pub client_addr: String,
    /// `login`, `idle`, `active`, `held`, `closing`.
    pub state: &'static str,
    /// Start, UTC microseconds.
    pub started_us: i64,
    /// Commands so far.
    pub commands: u64,
}
