//! Requests that people are asked about while their clients do not wait: they were told to ask
//! again, and the same request joins what was asked.
//!
//! In: asks, votes, time. Out: the same asks, for the request that they were asked for.
//! Never: an answer for another request: user, target, role, method, URI, fields, content and
//! policy are the key; an answer that is used twice.
//!
//! ```text
//!   hold --50 s--> Waiting --taken by a retry--> hold
//!                     | approved --> Granted --taken--> runs once
//!                     | denied ----> Denied  --taken--> denied
//!                     '- time over -> gone
//! ```
//!
//! A retry comes on another connection, most times of another shard. So this is what all shards
//! share; the lock is held for as long as it takes to move a value, by nothing but requests that
//! people are asked about.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use ring::digest::{Context, SHA256};

use crate::clock::Now;
use crate::decide::approval::{Ask, AskSummary, Ballot, Grant, LATE, Parked as ParkedAsk};
use crate::fault::Refused;
use crate::limits::HTTP_PARKED_MAX;
use crate::record::{Entry as Recorded, SessionContext, SessionId};
use crate::session::{ApprovalStep, Next, Output, Stage, Vote, VoteReply};
use crate::wire::http::form::Several;
use crate::wire::http::name::Name;
use crate::wire::http::pass::Pass;

use super::Session;
use super::exchange::Exchange;
use super::rpc::{Calls, Rpc};
use super::tenure::{Ledger, Tenure};

/// SHA-256 of all that a request is.
pub(super) type Key = [u8; 32];

#[derive(Debug)]
struct Entry {
    /// The seed of the gateway that asks.
    gateway: [u8; 32],
    state: State,
    summary: AskSummary,
    /// What rows of the session that asked repeat.
    context: Box<SessionContext>,
}

#[derive(Debug)]
enum State {
    Waiting(ParkedAsk),
    Granted(Grant),
    Denied(String),
}

/// What became of a request since its client was told to ask again.
#[derive(Debug)]
pub(super) enum Found {
    /// People are still asked.
    Waiting(Box<Ask>, Box<AskSummary>, Box<SessionContext>),
    /// It may run, once.
    Granted(SessionId, Grant),
    /// Somebody said no.
    Denied(SessionId, String),
}

static PARKED: LazyLock<Mutex<HashMap<Key, Entry>>> = LazyLock::new(Mutex::default);

fn parked() -> MutexGuard<'static, HashMap<Key, Entry>> {
    // Each change is one insertion or removal: a panic leaves nothing half done.
    PARKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps an ask; the id of the one that a repetition joins.
///
/// # Errors
/// There are too many. Then, and where another of the same request is kept, this one is canceled.
pub(super) fn park(
    (key, gateway): (Key, [u8; 32]),
    ask: Ask,
    (summary, context): (AskSummary, Box<SessionContext>),
) -> Result<SessionId, Full> {
    let Some(ask) = ask.park() else { return Err(Full) };
    let mut parked = parked();
    if let Some(entry) = parked.get(&key) {
        return Ok(entry.summary.id);
    }
    if parked.len() >= HTTP_PARKED_MAX {
        return Err(Full);
    }
    let id = summary.id;
    parked.insert(key, Entry { gateway, state: State::Waiting(ask), summary, context });
    Ok(id)
}

/// As many asks are kept as may be.
#[derive(Debug)]
pub(super) struct Full;

/// Takes what waits for this request.
pub(super) fn take(key: &Key) -> Option<Found> {
    let Entry { state, summary, context, .. } = parked().remove(key)?;
    Some(match state {
        State::Waiting(ask) => Found::Waiting(Box::new(ask.resume()), Box::new(summary), context),
        State::Granted(grant) => Found::Granted(summary.id, grant),
        State::Denied(detail) => Found::Denied(summary.id, detail),
    })
}

/// Takes out what nobody came back for in its time, but for what was denied: that has its end in
/// the record.
fn expired(wall_us: i64) -> Vec<Entry> {
    let mut parked = parked();
    let over = parked.extract_if(|_, entry| entry.summary.expires_at_us <= wall_us);
    let over = over.filter(|(_, entry)| !matches!(entry.state, State::Denied(_)));
    over.map(|(_, entry)| entry).collect()
}

/// What a vote did to an ask that is parked.
#[derive(Debug)]
pub(super) struct Voted {
    pub reply: VoteReply,
    /// The request, as people see it.
    pub summary: AskSummary,
    /// What rows of the session that asked repeat.
    pub context: Box<SessionContext>,
    /// Steps for the record, in order.
    pub steps: Vec<&'static str>,
    /// How the ask ended, if it did.
    pub ended: Option<&'static str>,
}

/// Takes one vote. `None`: no such ask is parked.
pub(super) fn vote(id: SessionId, vote: &Vote, now: Now) -> Option<Voted> {
    let wall_us = now.wall_us;
    let mut parked = parked();
    let key = *parked.iter().find(|(_, entry)| entry.summary.id == id)?.0;
    let Entry { gateway, state, summary, context } = parked.remove(&key)?;
    let refused = |state: State, why: &str, parked: &mut HashMap<Key, Entry>| {
        let (summary, context) = (summary.clone(), context.clone());
        let voted = Voted {
            reply: VoteReply::Refused(why.to_owned()),
            summary: summary.clone(),
            context: context.clone(),
            steps: Vec::new(),
            ended: None,
        };
        parked.insert(key, Entry { gateway, state, summary, context });
        Some(voted)
    };
    let waiting = match state {
        State::Waiting(waiting) => waiting,
        over => return refused(over, "this command no longer waits for approval", &mut parked),
    };
    if summary.expires_at_us <= wall_us {
        let reply = VoteReply::Refused("the time to answer is over".to_owned());
        let (steps, ended) = (vec!["expired"], Some("expired"));
        return Some(Voted { reply, summary, context, steps, ended });
    }
    if vote.digest.is_some_and(|digest| digest != summary.digest()) {
        let why = "the vote is not about the request that waits";
        return refused(State::Waiting(waiting), why, &mut parked);
    }
    let mut ask = waiting.resume();
    let ballot = ask.vote(vote, now);
    let (state, reply, steps, ended) = match ballot {
        Ballot::Granted(grant) => {
            let reply = VoteReply::Settled(Next::AskedAgain);
            (State::Granted(grant), reply, vec!["vote-approve", "approved"], Some("approved"))
        }
        Ballot::Denied => {
            let detail = format!("denied by {}: {}", vote.approver, vote.reason);
            let steps = vec!["vote-deny", "denied"];
            (State::Denied(detail), VoteReply::Denied, steps, Some("denied"))
        }
        Ballot::Counted { missing } => {
            let steps = vec!["vote-approve"];
            (State::Waiting(ask.park()?), VoteReply::Counted { missing }, steps, None)
        }
        Ballot::Again { missing } => {
            (State::Waiting(ask.park()?), VoteReply::Again { missing }, Vec::new(), None)
        }
        Ballot::Late => {
            let reply = VoteReply::Refused(LATE.to_owned());
            let (steps, ended) = (vec!["expired"], Some("expired"));
            return Some(Voted { reply, summary, context, steps, ended });
        }
        Ballot::Refused(why) => {
            return refused(State::Waiting(ask.park()?), why, &mut parked);
        }
    };
    let entry = Entry { gateway, state, summary: summary.clone(), context: context.clone() };
    parked.insert(key, entry);
    Some(Voted { reply, summary, context, steps, ended })
}

/// What a request is, so that the same one can join what was asked: everything that a server may
/// act on. Of a message of MCP the id and some members of `_meta` are new each time, and its
/// session is another one where a client begins again. Of several parts the boundary is.
pub(super) fn key(exchange: &Exchange, tenure: &Tenure) -> Key {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(bytes);
    };
    part(b"weir request 1");
    part(&tenure.snapshot.mock_seed);
    let identity = &tenure.identity;
    let role = &tenure.credential.role;
    for text in [&identity.user, &tenure.target_name, role] {
        part(text.as_bytes());
    }
    part(tenure.snapshot.policy_version.as_bytes());
    part(&(identity.groups.len() as u64).to_le_bytes());
    identity.groups.iter().for_each(|group| part(group.as_bytes()));
    let head = &exchange.request.head;
    for bytes in [super::kubernetes::method(exchange), head.authority(), head.target()] {
        part(bytes);
    }
    let pass = Pass::default();
    // A cluster minds no other field of what it is asked to do.
    let is_cluster = exchange.request.kube.is_some();
    let counts =
        |known: Name, name: &[u8]| !is_noise(name) && (!is_cluster || known == Name::ContentType);
    let fields = pass.fields(head).map(|field| (head.bytes(field.name), field));
    let fields = fields.filter(|(name, field)| counts(field.known, name));
    let mut fields: Vec<_> =
        fields.map(|(name, field)| (name.to_ascii_lowercase(), field)).collect();
    // Of different names the order says nothing (RFC 9110 section 5.3), and Go's is random.
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    let several = Several::of(head, &exchange.content);
    for (name, field) in fields {
        part(&name);
        match &several {
            Some(several) if field.known == Name::ContentType => {
                part(several.kind.0);
                part(several.kind.1);
            }
            _ => part(head.bytes(field.value)),
        }
    }
    if let Some(several) = several {
        part(b"weir parts");
        several.pieces.iter().for_each(|piece| part(piece));
        return finished(context);
    }
    let mut left_out = exchange.rpc.as_deref().map(Rpc::volatile).unwrap_or_default();
    left_out.extend(exchange.calls.as_deref().map(Calls::volatile).unwrap_or_default());
    left_out.sort_unstable_by_key(|span| span.start);
    let (mut from, mut same) = (0, Vec::with_capacity(exchange.content.len()));
    for span in left_out {
        same.extend_from_slice(exchange.content.get(from..span.start as usize).unwrap_or(&[]));
        from = (span.start + span.len) as usize;
    }
    same.extend_from_slice(exchange.content.get(from..).unwrap_or(&[]));
    part(&same);
    finished(context)
}

fn finished(context: Context) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

/// Fields that differ between two requests which are the same.
fn is_noise(name: &[u8]) -> bool {
    let noise = [
        &b"date"[..],
        b"traceparent",
        b"tracestate",
        b"x-request-id",
        b"content-length",
        b"mcp-session-id",
        // What is left of the client's time when it asks.
        b"grpc-timeout",
        // One for each process, one for each handshake.
        b"kubectl-session",
        b"sec-websocket-key",
    ];
    noise.iter().any(|noise| name.eq_ignore_ascii_case(noise))
}

impl Session {
    /// Records the end of asks that nobody came back for.
    pub(super) fn sweep(&mut self, stage: &mut Stage<'_>) {
        for Entry { summary, context, .. } in expired(stage.now.wall_us) {
            self.link.output(Output::AskClosed(summary.id, "expired"));
            let step = std::iter::once(ApprovalStep::of("expired"));
            // A journal that refuses says so itself; nothing runs by an ask that is over.
            let _refused_elsewhere = record_apart((&summary, &context), step, stage);
        }
    }
}

/// Takes a vote on a request whose client does not wait now: what became of it, and how the ask
/// ended, if it did. `None`: no such ask is parked.
pub fn vote_parked(
    id: SessionId,
    said: &Vote,
    stage: &mut Stage<'_>,
) -> Option<(VoteReply, Option<&'static str>)> {
    let Voted { reply, summary, context, steps, ended } = vote(id, said, stage.now)?;
    if steps.is_empty() {
        return Some((reply, ended));
    }
    let is_vote = |event: &str| event.starts_with("vote-");
    let steps = steps.into_iter();
    let steps = steps
        .map(|it| if is_vote(it) { ApprovalStep::vote(it, said) } else { ApprovalStep::of(it) });
    match record_apart((&summary, &context), steps, stage) {
        Ok(()) => Some((reply, ended)),
        Err(_) => {
            forget(id);
            let why = VoteReply::Refused("the vote could not be recorded".to_owned());
            Some((why, Some("canceled")))
        }
    }
}

/// weir ends, and with it what people are still asked about while no client waits. Returns the ids.
pub fn abandon_parked(stage: &mut Stage<'_>) -> Vec<SessionId> {
    let gateway = stage.snapshot.mock_seed;
    let mut parked = parked();
    let over = parked.extract_if(|_, entry| entry.gateway == gateway);
    let over: Vec<Entry> = over.map(|(_, entry)| entry).collect();
    drop(parked);
    let waiting = |entry: &Entry| matches!(entry.state, State::Waiting(_));
    let step = || ApprovalStep::because("abandoned", "weir ended");
    let over = over.into_iter().filter(waiting);
    over.map(|Entry { summary, context, .. }| {
        let step = std::iter::once(step());
        // A journal that refuses says so itself; nothing runs by an ask that is over.
        let _refused_elsewhere = record_apart((&summary, &context), step, stage);
        summary.id
    })
    .collect()
}

/// Records steps of an ask as rows of the session that asked, which may be over, or another
/// shard's. Their numbers are the time: behind all that the session counts itself.
fn record_apart<'s>(
    (summary, context): (&AskSummary, &SessionContext),
    mut steps: impl Iterator<Item = ApprovalStep<'s>>,
    stage: &mut Stage<'_>,
) -> Result<(), Refused> {
    let ledger = Ledger::open(context, stage);
    let digest = summary.digest();
    let mut seq = u64::try_from(stage.now.wall_us).unwrap_or_default();
    let recorded = steps.try_for_each(|step| {
        let about = (summary.id, summary.command_seq);
        let approval = step.about(about, (summary.quorum, summary.expires_at_us), Some(&digest));
        seq += 1;
        ledger.record_at(seq, &Recorded::Approval(approval), stage).map(drop)
    });
    ledger.close(stage);
    recorded
}

/// A vote that could not be recorded does not count: the ask is gone.
pub(super) fn forget(id: SessionId) {
    parked().retain(|_, entry| entry.summary.id != id);
}
