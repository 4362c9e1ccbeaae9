//! A command that waits, as people see it, and the digests that say what they saw.
//!
//! In: what the session knows of the command. Out: digests. Never: a digest that two different
//! commands share.

use ring::digest::{Context, SHA256};

use crate::record::SessionId;

/// An ask as the control thread and its clients see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What makes it the same as another one, where that is less than its text: fields of HTTP
    /// come in any order, and some are new each time.
    pub sameness: Option<[u8; 32]>,
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
    /// Whether one approval may be for more than one execution of it.
    pub repeatable: bool,
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

    /// How many bytes of it are kept while it waits.
    pub fn weight_bytes(&self) -> usize {
        let lists = self.classes.iter().chain(&self.objects).chain(&self.approvers);
        HEAD_BYTES + self.text.len() + self.params.len() + lists.map(String::len).sum::<usize>()
    }

    /// SHA-256 of all that an approver is shown and decides on. Each part is led by its length, so
    /// that no two different commands have the same bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"weir ask 1");
        context.update(&self.id.0);
        context.update(&self.session_id.0);
        context.update(&self.command_seq.to_le_bytes());
        self.state(&mut context);
        digest(context)
    }

    /// SHA-256 of who wants to do what as whom: the same for the same statement sent again.
    pub fn subject(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"weir subject 1");
        match &self.sameness {
            Some(sameness) => context.update(sameness),
            None => self.state(&mut context),
        }
        digest(context)
    }

    fn state(&self, context: &mut Context) {
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
    }
}

/// What an ask takes beside its texts.
const HEAD_BYTES: usize = 512;

fn digest(context: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
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
