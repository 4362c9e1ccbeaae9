//! What people say to a session that holds a command, and what they see of sessions.
//!
//! In: votes. Out: what became of them; summaries; the steps of an approval for the record.
//! Never: a decision (`decide::approval` has it).

use crate::decide::HoldTerms;
pub use crate::decide::approval::Vote;
use crate::decide::approval::{Ask, Grant};
use crate::record::SessionId;
use crate::record::entry::Approval;

/// What became of a vote: a sentence for the approver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteReply {
    /// It counts; this many more approvals are needed (0: the command is released).
    Counted {
        /// Approvals still missing; 0: the command goes on.
        missing: u32,
    },
    /// This person's approval counts already; this many more are needed.
    Again {
        /// Approvals still missing.
        missing: u32,
    },
    /// It is the last one that was missing, and the command does not run by it now.
    Settled(Next),
    /// It ends the hold with a denial.
    Denied,
    /// It does not count, with the reason.
    Refused(String),
    /// No such command waits.
    Unknown,
}

/// What is next for a command that nobody has to approve any more, and that does not run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Its client was told to ask again: it runs when it does, if the rules of then let it.
    AskedAgain,
    /// The rules in force deny it, or ask for other approvals.
    Stopped,
}

impl Next {
    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Next::AskedAgain => "asked-again",
            Next::Stopped => "stopped",
        }
    }
}

/// One step of an approval, as the record has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalStep<'s> {
    /// Its name.
    pub event: &'static str,
    /// Who took it; empty: weir.
    pub approver: &'s str,
    /// Why.
    pub reason: &'s str,
    /// For what else it holds.
    pub scope: String,
    /// How the approver proved who it is.
    pub auth: &'s str,
    /// Where it was taken.
    pub channel: &'s str,
}

impl<'s> ApprovalStep<'s> {
    /// A step that nobody took.
    pub fn of(event: &'static str) -> ApprovalStep<'s> {
        ApprovalStep { event, ..ApprovalStep::default() }
    }

    /// A step that nobody took, and why it came to it.
    pub fn because(event: &'static str, reason: &'s str) -> ApprovalStep<'s> {
        ApprovalStep { event, reason, ..ApprovalStep::default() }
    }

    /// A vote.
    pub fn vote(event: &'static str, vote: &'s Vote) -> ApprovalStep<'s> {
        ApprovalStep {
            event,
            approver: &vote.approver,
            reason: &vote.reason,
            scope: if vote.approve { vote.scope.words() } else { String::new() },
            auth: &vote.auth,
            channel: &vote.channel,
        }
    }

    /// The end of a grant that does not satisfy the terms in force: whose votes count no more, by
    /// the groups that the voters have now, and that.
    pub fn superseded(grant: &'s Grant, terms: &'s HoldTerms) -> Vec<ApprovalStep<'s>> {
        let reason = "no rule that holds the command now is answered by this approver";
        let lapsed =
            |approver| ApprovalStep { approver, ..ApprovalStep::because("vote-lapsed", reason) };
        let mut steps: Vec<ApprovalStep<'s>> = grant.lapsed(terms).map(lapsed).collect();
        let why = match steps.is_empty() {
            true => "the rules that hold the command have changed",
            false => "too few of those who approved it may answer it now",
        };
        steps.push(ApprovalStep::because("superseded", why));
        steps
    }

    /// The entry of a step of an ask that is open.
    pub fn entry<'e>(
        &'e self,
        ask: &Ask,
        command_seq: u64,
        digest: Option<&'e [u8; 32]>,
    ) -> Approval<'e> {
        self.about((ask.id, command_seq), (ask.terms.quorum(), ask.expires_at_us), digest)
    }

    /// The entry of a step that follows from a grant.
    pub fn entry_of<'e>(&'e self, grant: &Grant, command_seq: u64) -> Approval<'e> {
        self.about((grant.id, command_seq), (grant.quorum, grant.expires_at_us), None)
    }

    /// The entry of a step.
    pub fn about<'e>(
        &'e self,
        (approval_id, command_seq): (SessionId, u64),
        (quorum, expires_at_us): (u32, i64),
        digest: Option<&'e [u8; 32]>,
    ) -> Approval<'e> {
        Approval {
            approval_id,
            command_seq,
            event: self.event,
            approver: self.approver,
            reason: self.reason,
            quorum,
            expires_at_us,
            digest,
            scope: &self.scope,
            approver_auth: self.auth,
            channel: self.channel,
        }
    }
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
