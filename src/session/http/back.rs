//! A connection to a target, as the session that has it sees it.
//!
//! In: events of the leg. Out: bytes for it. Never: a byte before its TLS is there.

use std::sync::Arc;

use crate::decide::Permit;
use crate::forward::Outbox;
use crate::limits;
use crate::record::Receipt;
use crate::session::{After, Kept, Learned, Reuse};
use crate::wire::LegId;
use crate::wire::http::check;
use crate::wire::http::h1::{Framing, write};
use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;

use super::flow::Ending;
use super::two::Two;

/// A connection to a target.
#[derive(Debug)]
pub(super) struct Back {
    /// Its number in the session.
    pub id: LegId,
    /// Bytes for it.
    pub outbox: Outbox,
    /// What it is good for when the session is done with it.
    pub terms: Reuse,
    /// It served another request before.
    pub reused: bool,
    /// The target has said something.
    pub heard: bool,
    /// It may serve another request behind this one.
    pub keeps: bool,
    /// How long the target keeps it when nobody uses it.
    pub idle_us: u64,
    /// How it is spoken to, if that is HTTP/2.
    pub two: Option<Box<Two>>,
}

impl Back {
    /// One that is asked for.
    pub fn new(id: LegId, terms: Reuse) -> Back {
        let (outbox, two) = (Outbox::default(), None);
        let idle_us = limits::IDLE_LEG_US;
        Back { id, outbox, terms, reused: false, heard: false, keeps: true, idle_us, two }
    }

    /// The same, to be spoken to in HTTP/2.
    pub fn of_two(mut self, is_tls: bool) -> Back {
        self.two = Some(Box::new(Two::new(is_tls)));
        self
    }

    /// What the head of an answer says of the connection.
    pub fn hear_head(&mut self, head: &Head, framing: Framing) {
        if self.two.is_some() {
            // Frames say what ends, and a farewell that the connection does.
            return;
        }
        let keeps = head.version() == Version::Http11 && !head.connection_says(b"close");
        self.keeps &= keeps && framing != Framing::UntilClose;
        self.hear_keep_alive(head);
    }

    /// What the target says of how long it keeps the connection. It is used for a second less: what
    /// is sent later may cross the end of it.
    fn hear_keep_alive(&mut self, head: &Head) {
        let parameters = head.values(Name::KeepAlive).flat_map(check::list);
        let seconds = parameters.filter_map(|parameter| {
            let value = parameter.strip_prefix(b"timeout=")?;
            std::str::from_utf8(value).ok()?.parse::<u64>().ok()
        });
        if let Some(seconds) = seconds.min() {
            self.idle_us = self.idle_us.min(seconds.saturating_sub(1).saturating_mul(1_000_000));
            self.keeps &= self.idle_us > 0;
        }
    }

    /// Content of the request. `chunked` says that a target of HTTP/1.1 reads it in chunks.
    pub fn content(&mut self, record: (Permit, Receipt), bytes: &[u8], chunked: bool) {
        let (permit, receipt) = record;
        self.flush();
        if let Some(two) = &mut self.two {
            two.content(bytes, None);
            return self.outbox.forward(permit, receipt, two.take_output());
        }
        if !chunked {
            return self.outbox.forward(permit, receipt, bytes);
        }
        let mut head = Vec::with_capacity(18);
        write::chunk_head(&mut head, bytes.len());
        self.outbox.say(&head);
        self.outbox.forward(permit, receipt, bytes);
        self.outbox.say(write::CHUNK_END);
    }

    /// The end of the request.
    pub fn end(&mut self, record: (Permit, Receipt), chunked: bool) {
        let (permit, receipt) = record;
        self.flush();
        if let Some(two) = &mut self.two {
            two.content(&[], Some(Ending::Nothing));
            self.outbox.forward(permit, receipt, two.take_output());
        } else if chunked {
            let mut end = Vec::new();
            write::last_chunk(&mut end, None);
            self.outbox.forward(permit, receipt, &end);
        }
    }

    /// Queues the frames that follow from none of the client's bytes.
    pub fn flush(&mut self) {
        if let Some(two) = &mut self.two {
            self.outbox.say(two.take_output());
        }
    }

    /// Bytes that the target has not taken.
    pub fn waiting(&self) -> usize {
        self.outbox.len() + self.two.as_ref().map_or(0, |two| two.waiting())
    }

    /// What becomes of it, when `whole` says that both directions are over.
    pub fn after(self, whole: bool) -> After {
        if !whole || !self.keeps || !self.outbox.is_empty() {
            return After::Close;
        }
        let learned = self.two.map_or(Learned::Nothing, |two| two.learned());
        After::Keep(Kept { terms: self.terms, idle_us: self.idle_us, learned })
    }
}

/// The terms of connections of HTTP/1.1 that may stand in for each other: the target sees weir's
/// credential in each request, so connections of all roles may. Those of HTTP/2 keep fields from
/// one request to the next: they are of one role (`Tenure::terms_of_two`).
pub(super) fn terms(target: usize) -> Reuse {
    thread_local! {
        static PLAIN: Arc<str> = Arc::from("http/1.1");
    }
    Reuse { target, terms: PLAIN.with(Arc::clone) }
}
