//! One request and its answer: what is known of it, and how far either direction is.
//!
//! In: a head that was read. Out: an exchange, or the reason for which there is none.
//! Never: two states of one direction at a time.
//!
//! ```text
//!   Up (the request)                                     Down (the answer)
//!   Gathering --> Held --granted--+                      Silent --head sent--> Head --> Content
//!       '------ allowed ----------+--> Waiting --leg-->     |                   |  1xx     |
//!   Gathering: the content decides                 Content -'                   '----------+->
//! Over
//!                                                     '--> Sent
//! ```

use crate::decide::approval::{Ask, AskSummary, Grant, Place};
use crate::decide::{Action, HoldTerms, Permit, RuleName};
use crate::limits;
use crate::mask::Hits;
use crate::metrics::Presence;
use crate::record::{Receipt, SessionContext, SessionId};
use crate::session::Stage;
use crate::wire::http::form::Scan;
use crate::wire::http::h1::{Body, Framing, HeadReader, Role};
use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;
use crate::wire::http::reply::Manner;
use crate::wire::http::sse::Splitter;
use crate::wire::http::ws::handshake::{self, Asked};
use crate::wire::http::{Refused, check, grpc, pass};

use super::back::Back;
use super::kept::Kept;
use super::masked::Lens;
use super::pace::Pace;
use super::parked::Key;
use super::progress::Progress;
use super::rpc::{Calls, Rpc};
use super::veil::Veil;

/// A request as it was read.
#[derive(Debug)]
pub(super) struct Request {
    /// Its head.
    pub head: Head,
    /// How its body ends.
    pub framing: Framing,
    /// What it asks for besides an answer.
    pub asks: Asked,
    /// The client waits for 100 before it sends the body.
    pub expects: bool,
    /// What it asks of a cluster.
    pub kube: Option<Box<super::kubernetes::Asked>>,
}

impl Request {
    /// Checks what the head alone does not say. `is_whole` says that nothing comes behind it, as
    /// HTTP/2 does.
    pub fn check(head: Head, is_whole: bool) -> Result<Request, (Head, Refused)> {
        let checked = || {
            let framing = match Framing::of(&head, Role::Request)? {
                Framing::None if head.version() == Version::Http2 && !is_whole => Framing::Chunked,
                framing => framing,
            };
            let asks = handshake::asked(&head)?;
            // Whoever asks for another method would be told of the one that ran.
            let others = [Name::XHttpMethod, Name::XHttpMethodOverride, Name::XMethodOverride];
            let mut others = others.into_iter().flat_map(|name| head.values(name));
            if others.any(|method| !method.eq_ignore_ascii_case(head.method())) {
                return Err(Refused::MethodOverride);
            }
            // A body behind the head would be the first bytes of the WebSocket to somebody.
            let is_bodiless = matches!(framing, Framing::None | Framing::Length(0));
            if asks != Asked::Nothing && !is_bodiless {
                return Err(Refused::Upgrade);
            }
            let expects = head.expects_continue()? && head.version() != Version::Http10;
            Ok((framing, asks, expects))
        };
        match checked() {
            Ok((framing, asks, expects)) => {
                Ok(Request { head, framing, asks, expects, kube: None })
            }
            Err(refused) => Err((head, refused)),
        }
    }

    /// Whether it has been here before.
    pub fn is_loop(&self) -> bool {
        pass::is_loop(&self.head)
    }

    /// How much content is read before it is decided. An apiserver takes more than others.
    pub fn held_bytes_max(&self) -> usize {
        match self.kube {
            Some(_) => limits::KUBERNETES_BODY_BYTES_MAX,
            None => limits::HTTP_HELD_BYTES_MAX,
        }
    }

    /// How long content of the answer may pause.
    pub fn pause_us(&self) -> u64 {
        self.kube.as_ref().map_or(limits::HTTP_PIECE_US, |asked| asked.pause_us())
    }

    /// Whether the answer has no body whatever it says.
    pub fn is_head(&self) -> bool {
        self.head.method() == b"HEAD"
    }

    /// Whether the client's connection ends behind the answer.
    pub fn closes(&self) -> bool {
        self.head.version() == Version::Http10 || self.head.connection_says(b"close")
    }

    /// Whether it may be sent twice (RFC 9110 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(self.head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
    }
}

/// The way of a request to its target.
#[derive(Debug)]
pub(super) enum Up {
    /// The content is needed before anybody decides.
    Gathering { body: Body, trailers: Head, then: Then },
    /// People are asked.
    Held(Box<Held>),
    /// It may pass, and waits for a connection.
    Waiting(Permit, Receipt),
    /// Content passes as it comes.
    Content { body: Body, trailers: Head },
    /// All of it was handed on.
    Sent,
    /// It will not be done: what still comes is dropped.
    Never,
}

/// What is done once the content of a request is there.
#[derive(Debug)]
pub(super) enum Then {
    /// It says what is asked for: the rules are asked about that.
    Read,
    /// People are asked.
    Hold(HoldTerms),
}

/// A request that waits for people.
#[derive(Debug)]
pub(super) struct Held {
    pub ask: Ask,
    pub seq: u64,
    /// SHA-256 of what approvers are shown.
    pub shown: [u8; 32],
    /// What approvers are shown.
    pub summary: AskSummary,
    /// What rows of the session that asked repeat.
    pub context: Box<SessionContext>,
    /// SHA-256 of what the request is.
    pub key: Key,
    /// Its place among the commands that wait.
    pub place: Place,
    /// What its client calls it, which may take it back.
    pub call: Option<super::cancel::Waiting>,
    /// Counts it among those that wait.
    pub _counted: Presence,
}

/// The way of the answer to the client.
#[derive(Debug)]
pub(super) enum Down {
    /// None is due.
    Silent,
    /// The head is read.
    Head { reader: HeadReader, head: Head, interim: u32 },
    /// The content is read; `framing` is the client's.
    Content { body: Body, trailers: Head, framing: Framing },
    /// It is with the client.
    Over,
}

impl Exchange {
    /// How long content of the answer may pause.
    pub fn pause_us(&self) -> u64 {
        match self.events {
            Some(_) => limits::HTTP_EVENTS_IDLE_US,
            None if self.is_call() => limits::HTTP_EVENTS_IDLE_US,
            None => self.request.pause_us(),
        }
    }

    /// How long the target may think. A call may be a stream on which its server is silent.
    pub fn first_byte_us(&self) -> u64 {
        if self.is_call() { limits::HTTP_EVENTS_IDLE_US } else { limits::HTTP_FIRST_BYTE_US }
    }

    /// How long content of the request may pause.
    pub fn piece_us(&self) -> u64 {
        if self.is_call() { limits::HTTP_EVENTS_IDLE_US } else { limits::HTTP_BODY_PIECE_US }
    }

    /// A piece of the request's content came: whether its client is fast enough.
    pub fn keeps_pace(&mut self, bytes: usize, now_us: u64) -> bool {
        let is_full = |back: &Back| back.waiting() >= limits::OUTBOX_BYTES_MAX / 2;
        let waits = self.back.as_ref().is_some_and(is_full);
        self.pace.takes(bytes, waits, now_us) || self.is_call() || self.has_begun()
    }

    /// Whether the client is awaited, not the target: all that came of the content is with it.
    pub fn awaits_client(&self) -> bool {
        let is_taken = self.back.as_ref().is_none_or(|back| back.waiting() == 0);
        matches!(self.up, Up::Content { .. }) && is_taken && !self.has_begun()
    }

    /// Whether all of its content is there, should it have to be sent once more.
    pub fn is_here(&self) -> bool {
        let is_copied = matches!(self.up, Up::Sent) && self.copy.is_some();
        self.request.framing == Framing::None || self.gathered || is_copied
    }

    /// Content that is sent as a whole: what was read before it was decided, what is sent again.
    pub fn at_hand(&self) -> Option<&[u8]> {
        match (self.gathered, self.again) {
            (true, _) => Some(&self.content),
            (false, true) => self.copy.as_deref(),
            (false, false) => None,
        }
    }

    /// Keeps what is handed on to a target that may say it has not looked at it (RFC 9113 8.7);
    /// nothing any more once it is too much, or there is no room.
    pub fn keep_copy(&mut self, data: &[u8], stage: &Stage<'_>) {
        let is_two = self.back.as_ref().is_some_and(|back| back.two.is_some());
        if let Some(mut copy) = self.copy.take().filter(|_| is_two) {
            let length = copy.len() + data.len();
            let room = self.room.get_or_insert_with(|| stage.room.lease());
            if length <= limits::HTTP_AGAIN_BYTES_MAX && room.resize(length) {
                copy.extend_from_slice(data);
                self.copy = Some(copy);
                return;
            }
        }
        self.room = None;
    }

    /// Whether it is a call of gRPC.
    pub fn is_call(&self) -> bool {
        Manner::of(&self.request.head) == Manner::Grpc
    }

    /// Until when the client of a call waits, by its own word, monotonic microseconds. A tenth of
    /// its time, a quarter of a second at most, is left for the answer to reach it.
    pub fn patience_us(&self) -> Option<u64> {
        let said = self.request.head.only(Name::GrpcTimeout).filter(|_| self.is_call())?;
        let waits_us = grpc::timeout_us(said)?;
        let answered_us = waits_us - (waits_us / 10).min(limits::GRPC_ANSWER_US);
        Some(self.at_us.saturating_add(answered_us))
    }

    /// Whether people can read the content that was gathered, and read in it what the target does.
    pub fn is_readable(&self) -> bool {
        let head = &self.request.head;
        let mut codings = head.values(Name::ContentEncoding).flat_map(check::list);
        let is_plain =
            |byte: &u8| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\r' | b'\n');
        let kinds = head.values(Name::ContentType).map(<[u8]>::to_ascii_lowercase);
        let mut charsets = kinds.filter(|kind| memchr::memmem::find(kind, b"charset").is_some());
        let is_utf8 = |kind: &[u8]| {
            let said = [&b"charset=utf-8"[..], b"charset=\"utf-8\"", b"charset=us-ascii"];
            said.iter().any(|said| memchr::memmem::find(kind, said).is_some())
        };
        self.content.is_empty()
            || self.request.kube.is_some()
            || (self.is_call() && super::text::messages(&self.content).is_some())
            || (codings.all(|coding| coding.eq_ignore_ascii_case(b"identity"))
                && charsets.all(|kind| is_utf8(&kind))
                && self.content.iter().all(is_plain)
                && std::str::from_utf8(&self.content).is_ok())
    }

    /// Whether the target may have got it, so that it may have run.
    pub fn was_sent(&self) -> bool {
        matches!(self.up, Up::Sent | Up::Content { .. })
    }

    /// Whether the client has been told a status.
    pub fn has_begun(&self) -> bool {
        self.due.is_none() && matches!(self.down, Down::Content { .. } | Down::Over)
    }
}

impl Down {
    /// The head of an answer is due.
    pub fn head() -> Down {
        Down::Head { reader: HeadReader::default(), head: Head::default(), interim: 0 }
    }
}

/// What the row of the answer will say.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub status: u16,
    pub first_byte_us: u64,
    /// Fields behind the content, as the client gets them.
    pub trailers: serde_json::Map<String, serde_json::Value>,
    /// What the client of a cluster is told of the wait before it: a value of `Warning`.
    pub warning: Vec<u8>,
    /// Why weir ended an answer that its target had not; empty: it did not.
    pub over: String,
}

/// A request and its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub request: Request,
    /// What it does, in the words of rules.
    pub action: Action,
    /// Its number in the tenure's order.
    pub seq: u64,
    /// When it was recorded, monotonic microseconds.
    pub at_us: u64,
    /// The approval that released it.
    pub approval: Option<SessionId>,
    /// What people said yes by, of a stream whose form the target may still turn away.
    pub grant: Option<Box<Grant>>,
    /// The rule that decided.
    pub rule: RuleName,
    /// All rules that matched.
    pub rules: Vec<RuleName>,
    pub up: Up,
    pub down: Down,
    pub told: Told,
    /// All of the content was read before anybody decided.
    pub gathered: bool,
    /// Content that was gathered.
    pub content: Vec<u8>,
    /// Content that was handed on as it came, as long as all of it is here.
    pub copy: Option<Vec<u8>>,
    /// The part of the shard's room that either takes.
    pub room: Option<crate::session::room::Lease>,
    /// Looks for a field of the content that names another method.
    pub form: Option<Scan>,
    /// The message of MCP that the content is.
    pub rpc: Option<Box<Rpc>>,
    /// The calls of JSON-RPC that the content is.
    pub calls: Option<Box<Calls>>,
    /// So many bytes at the start of the target named the target, and go no further.
    pub prefix: usize,
    /// The head of an answer that waits for content which may leave, and its framing.
    pub due: Option<Box<(Head, Framing)>>,
    /// What hides the target's credential in the answer.
    pub veil: Option<Veil>,
    /// What changes the content of the answer.
    pub lens: Option<Box<Lens>>,
    /// Binds ids of events to who gets them.
    pub ids: Option<super::bound::Ids>,
    /// What masks did to the answer.
    pub hits: Hits,
    /// The client has the head of a stream of events, and is told while people are asked.
    pub progress: Option<Box<Progress>>,
    /// The answer is a stream of events: each is kept as a chunk of its own.
    pub events: Option<Splitter>,
    /// The answer is events of a cluster, a line each: whether what the client has ends with one.
    pub lines: Option<bool>,
    /// What is kept of the request's content.
    pub sent: Kept,
    /// What is kept of the answer's.
    pub answered: Kept,
    /// The streams of a connection to a cluster that was upgraded.
    pub streams: Option<Box<super::kubernetes::Streams>>,
    pub back: Option<Back>,
    /// It was sent again on a fresh connection.
    pub again: bool,
    /// How fast its content comes.
    pub pace: Pace,
    /// When something must have happened, monotonic microseconds.
    pub deadline_us: u64,
}
