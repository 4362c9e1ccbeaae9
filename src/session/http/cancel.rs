//! Calls of MCP that wait for people, and clients that take them back.
//!
//! In: calls that begin to wait, `notifications/cancelled`. Out: which of them must not run.
//! Never: a call of another identity, target or session of MCP; one of several that are called
//! alike and come from one place, because nobody can say which is meant.
//!
//! A client says so on another connection, which most times belongs to another shard. So this is
//! what all shards share, as in `parked`. Whoever takes the call back has people told at once that
//! nothing waits any more; the session whose call it is ends it when it is next looked at, and asks
//! here before any vote counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use ring::digest::{Context, SHA256};

use crate::fault::Refused as JournalRefused;
use crate::record::SessionId;
use crate::record::entry::{Decision, Outcome};
use crate::session::{Output, Stage};
use crate::wire::http::jsonrpc::{Kind, raw};
use crate::wire::http::reply::Reply;

use super::exchange::{Exchange, Up};
use super::rows::{Ruled, record, unanswered};
use super::rpc::Rpc;
use super::tenure::{Tenure, Trouble};
use super::{Phase, Session};

/// What a client calls a call: who it is, where, and the id of JSON-RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call([u8; 32]);

/// What waits under one name.
#[derive(Clone, Copy, Debug)]
struct Entry {
    ask: SessionId,
    from: SocketAddr,
    is_cancelled: bool,
}

static WAITING: LazyLock<Mutex<HashMap<Call, Vec<Entry>>>> = LazyLock::new(Mutex::default);

fn waiting() -> MutexGuard<'static, HashMap<Call, Vec<Entry>>> {
    // Each change is one step: a panic leaves nothing half done.
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Call {
    /// That of a request. Every held request is counted by `asks`, so these are as many at most.
    pub fn of(rpc: &Rpc, exchange: &Exchange, tenure: &Tenure) -> Option<Call> {
        let id = rpc.message.id.filter(|_| rpc.message.kind == Kind::Request)?;
        let id = serde_json::from_slice(raw(&exchange.content, id)).ok()?;
        Some(Call::named(&id, exchange, tenure))
    }

    /// That which a notification takes back.
    fn taken_back(exchange: &Exchange, tenure: &Tenure) -> Option<Call> {
        let rpc = exchange.rpc.as_deref()?;
        if rpc.call.method != b"notifications/cancelled" || rpc.message.kind == Kind::Request {
            return None;
        }
        let params = raw(&exchange.content, rpc.message.params?);
        let params: serde_json::Value = serde_json::from_slice(params).ok()?;
        Some(Call::named(params.get("requestId")?, exchange, tenure))
    }

    fn named(id: &serde_json::Value, exchange: &Exchange, tenure: &Tenure) -> Call {
        let mut context = Context::new(&SHA256);
        let mut part = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        };
        part(&tenure.snapshot.mock_seed);
        for text in [&tenure.identity.user, &tenure.target_name, &tenure.credential.role] {
            part(text.as_bytes());
        }
        exchange.request.head.spelt(b"mcp-session-id").for_each(&mut part);
        part(id.to_string().as_bytes());
        let mut name = [0; 32];
        name.copy_from_slice(context.finish().as_ref());
        Call(name)
    }

    /// It waits for people from now on, for as long as the value is there.
    pub fn wait(self, ask: SessionId, from: SocketAddr) -> Option<Waiting> {
        let entry = Entry { ask, from, is_cancelled: false };
        waiting().entry(self).or_default().push(entry);
        Some(Waiting { call: self, ask })
    }

    /// Takes back what waits under this name; the ask of it. `None`: nothing does, or nobody can
    /// say which one is meant.
    fn cancel(self, from: SocketAddr) -> Option<SessionId> {
        let mut waiting = waiting();
        let entries = waiting.get_mut(&self)?;
        let at = meant(entries, from)?;
        let entry = entries.get_mut(at)?;
        entry.is_cancelled = true;
        Some(entry.ask)
    }

    fn waits(self, from: SocketAddr) -> bool {
        waiting().get(&self).is_some_and(|entries| meant(entries, from).is_some())
    }
}

/// Which of the calls a client means that speaks from here: the only one there is; of several that
/// which came over the same connection, else from the same host.
fn meant(entries: &[Entry], from: SocketAddr) -> Option<usize> {
    let only = |is_near: &dyn Fn(SocketAddr) -> bool| {
        let mut near = (0..).zip(entries).filter(|(_, entry)| is_near(entry.from));
        near.next().filter(|_| near.next().is_none())
    };
    let found = only(&|_| true)
        .or_else(|| only(&|place| place == from))
        .or_else(|| only(&|place| place.ip() == from.ip()));
    found.filter(|(_, entry)| !entry.is_cancelled).map(|(at, _)| at)
}

/// A call that waits. It is forgotten with this value.
#[derive(Debug)]
pub(super) struct Waiting {
    call: Call,
    ask: SessionId,
}

impl Waiting {
    /// Whether its client has taken it back.
    pub fn is_cancelled(&self) -> bool {
        let waiting = waiting();
        let mut entries = waiting.get(&self.call).into_iter().flatten();
        entries.any(|entry| entry.ask == self.ask && entry.is_cancelled)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = waiting();
        let Some(entries) = waiting.get_mut(&self.call) else { return };
        if let Some(at) = entries.iter().position(|entry| entry.ask == self.ask) {
            entries.swap_remove(at);
        }
        if entries.is_empty() {
            waiting.remove(&self.call);
        }
    }
}

impl Session {
    /// Whether a message takes back a call that waits for people.
    pub(super) fn cancels(&self, exchange: &Exchange) -> bool {
        let tenure = self.tenures.get(self.current);
        let call = tenure.and_then(|tenure| Call::taken_back(exchange, tenure));
        call.is_some_and(|call| call.waits(self.link.accepted.client_addr))
    }

    /// A client takes back a call of its own that its target has never seen: so it does not see
    /// this either.
    pub(super) fn cancel_call(&mut self, mut exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let call = Call::taken_back(&exchange, tenure);
        let from = self.link.accepted.client_addr;
        if let Some(ask) = call.and_then(|call| call.cancel(from)) {
            self.link.output(Output::AskClosed(ask, "abandoned"));
            exchange.approval = Some(ask);
        }
        let ruled = Ruled {
            seq: exchange.seq,
            decision: Decision::Allow,
            rule: "",
            approval: exchange.approval,
        };
        let recorded = record(&exchange, &ruled, tenure, stage).and_then(|_| {
            unanswered(&mut exchange, Outcome::Success, (202, "taken back"), tenure, stage)
        });
        if recorded.is_err() {
            let trouble = Trouble::Record(JournalRefused::Full);
            return self.turn_away(trouble, Some(exchange.request), stage);
        }
        let reply = Reply { status: 202, fields: Vec::new(), content: Vec::new() };
        self.answer_self(&reply, *exchange, stage);
    }

    /// Ends a call that waits if its client has taken it back; whether that is so.
    pub(super) fn cancelled_hold(&mut self, stage: &mut Stage<'_>) -> bool {
        let Phase::Busy(exchange) = &self.phase else { return false };
        let Up::Held(held) = &exchange.up else { return false };
        let is_cancelled = held.call.as_ref().is_some_and(Waiting::is_cancelled);
        if is_cancelled {
            self.abandon_hold("the client took the call back", stage);
        }
        is_cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_calls_that_which_came_from_here() {
        let at = |host, port| SocketAddr::from(([127, 0, 0, host], port));
        let call = |from| Entry { ask: SessionId::default(), from, is_cancelled: false };
        let calls = [call(at(1, 10)), call(at(2, 20)), call(at(2, 21))];
        assert_eq!(meant(&calls, at(2, 20)), Some(1), "the same connection");
        assert_eq!(meant(&calls, at(1, 99)), Some(0), "the same host");
        assert_eq!(meant(&calls, at(2, 99)), None, "two of one host");
        assert_eq!(meant(&calls, at(3, 10)), None, "from elsewhere");
        assert_eq!(meant(&calls[..1], at(3, 10)), Some(0), "the only one");
        assert_eq!(meant(&[], at(3, 10)), None);
        let taken = Entry { is_cancelled: true, ..call(at(1, 10)) };
        assert_eq!(meant(&[taken, call(at(2, 20))], at(1, 10)), None, "taken back already");
    }
}
