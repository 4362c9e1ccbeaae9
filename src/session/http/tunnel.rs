//! A WebSocket: every message of either side is read, recorded and framed anew.
//!
//! In: bytes behind a 101. Out: frames. Never: a message that leaves before its chunk; bytes of the
//! client that reach the target before its 101.

use crate::decide::Permit;
use crate::decide::http::Part;
use crate::fault::{Fault, FaultKind, Refused as JournalRefused};
use crate::limits;
use crate::record::entry::Outcome;
use crate::session::{After, Stage};
use crate::wire::Side;
use crate::wire::http::Refused;
use crate::wire::http::h1::Framing;
use crate::wire::http::h1::write::{self, Backward};
use crate::wire::http::head::Version;
use crate::wire::http::name::Name;
use crate::wire::http::pass::Pass;
use crate::wire::http::ws::frame::{self, Broken, Kind, Opcode, Reader, Step};
use crate::wire::http::ws::handshake::{self, Asked};

use super::exchange::{Down, Exchange};
use super::{Phase, Session};

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub exchange: Exchange,
    client: Way,
    target: Way,
}

impl Tunnel {
    /// Whether it is another protocol's than WebSocket's.
    fn is_raw(&self) -> bool {
        self.exchange.streams.as_ref().is_some_and(|streams| streams.is_raw())
    }

    /// Whether messages of the client go on whole.
    fn is_whole(&self) -> bool {
        self.exchange.streams.as_ref().is_some_and(|streams| streams.has_channels())
    }
}

/// One direction.
#[derive(Debug)]
struct Way {
    reader: Reader,
    /// A message is under way: what follows continues it.
    inside: bool,
    /// It said Close.
    closed: bool,
    /// A message of channels, until it is whole.
    held: Held,
}

/// What came of a message that leaves as one frame.
#[derive(Debug, Default)]
struct Held {
    opcode: Option<Opcode>,
    bytes: Vec<u8>,
}

impl Way {
    fn new(side: Side) -> Way {
        Way { reader: Reader::new(side), inside: false, closed: false, held: Held::default() }
    }
}

/// What one step found, in owned form: it is recorded and written anew.
enum Found {
    Nothing,
    Data { opcode: Opcode, last: bool, bytes: Vec<u8> },
    Control(Opcode, Vec<u8>),
    Close(Vec<u8>),
    Broken(Broken),
}

impl Way {
    fn next(&mut self, input: &mut &[u8]) -> Found {
        let inside = self.inside;
        let found = match self.reader.next(input) {
            Ok(Step::Need) => Found::Nothing,
            Ok(Step::Data { kind, bytes, last }) => {
                let opcode = match (inside, kind) {
                    (true, _) => Opcode::Continuation,
                    (false, Kind::Text) => Opcode::Text,
                    (false, Kind::Binary) => Opcode::Binary,
                };
                Found::Data { opcode, last, bytes: bytes.to_vec() }
            }
            Ok(Step::Ping(data)) => Found::Control(Opcode::Ping, data.to_vec()),
            Ok(Step::Pong(data)) => Found::Control(Opcode::Pong, data.to_vec()),
            Ok(Step::Close(code, reason)) => {
                let mut data = code.map(u16::to_be_bytes).map(Vec::from).unwrap_or_default();
                data.extend_from_slice(reason);
                Found::Close(data)
            }
            Err(broken) => Found::Broken(broken),
        };
        match &found {
            Found::Data { last, .. } => self.inside = !last,
            Found::Close(_) | Found::Broken(_) => self.closed = true,
            Found::Nothing | Found::Control(..) => {}
        }
        found
    }
}

impl Session {
    /// The target answers 101: the WebSocket is open, if it was asked for.
    pub(super) fn switch(&mut self, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Down::Head { head, .. } = &exchange.down else { return };
        let key = exchange.request.head.only(Name::SecWebsocketKey).unwrap_or(&[]);
        let checked = match exchange.request.asks {
            Asked::Websocket => handshake::check_answer(head, key),
            Asked::Spdy => handshake::check_spdy(head),
            Asked::Nothing => Err(Refused::Unasked),
        };
        if let Err(refused) = checked {
            return self.refuse_answer(refused, stage);
        }
        let is_raw = exchange.request.asks == Asked::Spdy;
        let answer = head.clone();
        if exchange.open_streams(&answer, is_raw).is_err() {
            return self.refuse_answer(Refused::Unasked, stage);
        }
        let head = &answer;
        exchange.told.status = 101;
        exchange.told.first_byte_us = stage.now.mono_us.saturating_sub(exchange.at_us);
        let mut out = Vec::new();
        let backward = Backward {
            version: Version::Http11,
            framing: Framing::None,
            pass: Pass::default(),
            added: &[],
            close: false,
            masked: false,
        };
        match is_raw {
            true => super::kubernetes::write_spdy(&mut out, head),
            false => write::answer(&mut out, head, &backward),
        }
        let receipt = tenure.ledger.covered(stage);
        self.link.forward(Permit::plumbing(Part::Answer), receipt, &out);
        // Python's client looks for frames in the socket only (kubernetes, ws_client.py).
        self.link.part();
        let Phase::Busy(exchange) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return;
        };
        let mut exchange = *exchange;
        if exchange.streams.is_none() {
            exchange.sent.becomes("ws-message");
            exchange.answered.becomes("ws-message");
        }
        exchange.deadline_us = stage.now.mono_us + limits::WEBSOCKET_IDLE_US;
        let (client, target) = (Way::new(Side::Client), Way::new(Side::Server));
        self.phase = Phase::Tunnel(Box::new(Tunnel { exchange, client, target }));
        self.resume(stage);
    }

    /// Frames of the client.
    pub(super) fn client_frames(&mut self, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        self.frames(Side::Client, input, stage)
    }

    /// Frames of the target.
    pub(super) fn target_frames(&mut self, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        self.frames(Side::Server, input, stage)
    }

    fn frames(&mut self, side: Side, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        let Phase::Tunnel(tunnel) = &mut self.phase else { return false };
        if tunnel.is_raw() {
            return self.raw_bytes(side, std::mem::take(input), stage);
        }
        let way = match side {
            Side::Client => &mut tunnel.client,
            Side::Server => &mut tunnel.target,
        };
        if way.closed {
            *input = &[];
            return false;
        }
        let had_input = !input.is_empty();
        match way.next(input) {
            Found::Nothing => return false,
            Found::Data { opcode, last, bytes } if side == Side::Client && tunnel.is_whole() => {
                let Some((opcode, bytes)) = self.whole((opcode, last, bytes), stage) else {
                    return had_input && matches!(self.phase, Phase::Tunnel(_));
                };
                if !self.message(side, (opcode, true, &bytes), stage) {
                    return false;
                }
            }
            Found::Data { opcode, last, bytes } => {
                if !self.message(side, (opcode, last, &bytes), stage) {
                    return false;
                }
            }
            Found::Control(opcode, data) => {
                self.touch(stage);
                self.write_frame(side, (opcode, true, &data), stage);
            }
            Found::Close(data) => {
                self.write_frame(side, (Opcode::Close, true, &data), stage);
                self.maybe_over(stage);
            }
            Found::Broken(broken) => self.broken_frames(side, broken, stage),
        }
        had_input
    }

    /// A message of channels leaves as one frame, as the client meant it: the apiserver takes each
    /// frame for a message with a channel of its own (golang.org/x/net/websocket).
    fn whole(
        &mut self,
        (opcode, last, bytes): (Opcode, bool, Vec<u8>),
        stage: &mut Stage<'_>,
    ) -> Option<(Opcode, Vec<u8>)> {
        let Phase::Tunnel(tunnel) = &mut self.phase else { return None };
        let held = &mut tunnel.client.held;
        if held.bytes.len() + bytes.len() > limits::KUBERNETES_MESSAGE_BYTES_MAX {
            self.misread("kubernetes-message-length", stage);
            return None;
        }
        let opcode = *held.opcode.get_or_insert(opcode);
        if last && held.bytes.is_empty() {
            held.opcode = None;
            return Some((opcode, bytes));
        }
        held.bytes.extend_from_slice(&bytes);
        if !last {
            tunnel.exchange.deadline_us = stage.now.mono_us + limits::WEBSOCKET_IDLE_US;
            return None;
        }
        let whole = std::mem::take(held);
        Some((opcode, whole.bytes))
    }

    /// A piece of a message: recorded, then handed on.
    fn message(
        &mut self,
        side: Side,
        (opcode, last, bytes): (Opcode, bool, &[u8]),
        stage: &mut Stage<'_>,
    ) -> bool {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return false };
        let Phase::Tunnel(tunnel) = &mut self.phase else { return false };
        tunnel.exchange.deadline_us = stage.now.mono_us + limits::WEBSOCKET_IDLE_US;
        if tunnel.exchange.streams.is_some() {
            let kept = tunnel.exchange.keep_streams(side, (bytes, last), tenure, stage);
            match kept {
                Ok(kept) => {
                    let is_kept = self.kept(kept, stage).is_some();
                    if is_kept {
                        self.write_frame(side, (opcode, last, bytes), stage);
                    }
                    return is_kept;
                }
                Err(label) => {
                    self.misread(label, stage);
                    return false;
                }
            }
        }
        let kept = match side {
            Side::Client => &mut tunnel.exchange.sent,
            Side::Server => &mut tunnel.exchange.answered,
        };
        let taken = kept.take(bytes, tenure, stage).and_then(|()| kept.flush(tenure, stage));
        if self.kept(taken, stage).is_none() {
            return false;
        }
        self.write_frame(side, (opcode, last, bytes), stage);
        true
    }

    /// Nothing leaves that the journal refused.
    fn kept(&mut self, kept: Result<(), JournalRefused>, stage: &mut Stage<'_>) -> Option<()> {
        if let Err(refused) = kept {
            let why = "weir: what is said here cannot be recorded, so it ends here";
            self.farewell(why, (1011, "not recordable"), stage);
            let fault = Fault::new(Side::Client, FaultKind::Record(refused));
            self.close(Some(fault), stage);
            return None;
        }
        Some(())
    }

    /// Streams that cannot be read go no further.
    fn misread(&mut self, label: &'static str, stage: &mut Stage<'_>) {
        let why = "weir: the stream could not be read, so it ends here";
        self.farewell(why, (1002, label), stage);
        self.over(Outcome::Error, label, stage);
    }

    /// Bytes of a connection that is no WebSocket: recorded, then handed on as they are.
    fn raw_bytes(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>) -> bool {
        if bytes.is_empty() {
            return false;
        }
        self.touch(stage);
        let Some(tenure) = self.tenures.get_mut(self.current) else { return false };
        let Phase::Tunnel(tunnel) = &mut self.phase else { return false };
        let kept = match tunnel.exchange.keep_streams(side, (bytes, false), tenure, stage) {
            Ok(kept) => kept,
            Err(label) => {
                self.misread(label, stage);
                return false;
            }
        };
        if self.kept(kept, stage).is_none() {
            return false;
        }
        let Some(tenure) = self.tenures.get(self.current) else { return false };
        let Phase::Tunnel(tunnel) = &mut self.phase else { return false };
        let (permit, receipt) = (Permit::plumbing(Part::Frame), tenure.ledger.covered(stage));
        match side {
            Side::Client => {
                if let Some(back) = &mut tunnel.exchange.back {
                    back.outbox.forward(permit, receipt, bytes);
                }
            }
            Side::Server => self.link.forward(permit, receipt, bytes),
        }
        true
    }

    /// Somebody is there.
    fn touch(&mut self, stage: &Stage<'_>) {
        if let Phase::Tunnel(tunnel) = &mut self.phase {
            tunnel.exchange.deadline_us = stage.now.mono_us + limits::WEBSOCKET_IDLE_US;
        }
    }

    /// Writes a frame of `side` anew for the other one.
    fn write_frame(
        &mut self,
        side: Side,
        (opcode, fin, data): (Opcode, bool, &[u8]),
        stage: &mut Stage<'_>,
    ) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Tunnel(tunnel) = &mut self.phase else { return };
        let mut out = Vec::with_capacity(data.len() + 14);
        let receipt = tenure.ledger.covered(stage);
        let permit = Permit::plumbing(Part::Frame);
        match side {
            Side::Client => {
                let mut key = [0; 4];
                (stage.random)(&mut key);
                frame::write(&mut out, opcode, fin, Some(key), data);
                if let Some(back) = &mut tunnel.exchange.back {
                    back.outbox.forward(permit, receipt, &out);
                }
            }
            Side::Server => {
                frame::write(&mut out, opcode, fin, None, data);
                self.link.forward(permit, receipt, &out);
            }
        }
    }

    /// A frame that must not be: its sender learns what it did, the other side that it is over.
    fn broken_frames(&mut self, side: Side, broken: Broken, stage: &mut Stage<'_>) {
        let Phase::Tunnel(tunnel) = &mut self.phase else { return };
        let mut key = [0; 4];
        (stage.random)(&mut key);
        let (to_client, to_target) = match side {
            Side::Client => (broken.code(), 1001),
            Side::Server => (1011, broken.code()),
        };
        if let Some(back) = &mut tunnel.exchange.back {
            let mut out = Vec::new();
            frame::close(&mut out, Some(key), to_target, "");
            back.outbox.say(&out);
        }
        self.link.say(|out| frame::close(out, None, to_client, broken.label()));
        self.over(Outcome::Error, broken.label(), stage);
    }

    fn maybe_over(&mut self, stage: &mut Stage<'_>) {
        let Phase::Tunnel(tunnel) = &self.phase else { return };
        if tunnel.client.closed && tunnel.target.closed {
            self.over(Outcome::Success, "", stage);
        }
    }

    /// Both sides have said all: the row, then the end.
    pub(super) fn over(&mut self, outcome: Outcome, why: &str, stage: &mut Stage<'_>) {
        self.release(|_| After::Close);
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let Phase::Tunnel(mut tunnel) = phase else {
            self.phase = phase;
            return;
        };
        // A journal that refuses says so itself; the connection ends all the same.
        let _refused_elsewhere = self.record_answer(&mut tunnel.exchange, outcome, why, stage);
        self.close(None, stage);
    }

    /// weir ends it: both sides are told by a Close (RFC 6455 7.4.1), a client of a cluster in the
    /// words of its streams before that.
    pub(super) fn farewell(&mut self, why: &str, close: (u16, &str), stage: &mut Stage<'_>) {
        let is_said = self.last_words(why);
        let Phase::Tunnel(tunnel) = &mut self.phase else { return };
        if tunnel.is_raw() {
            return;
        }
        // Behind any other code client-go drops what was said before (websocket.go,
        // `readDemuxLoop`).
        let (code, word) = if is_said { (1000, "") } else { close };
        if !tunnel.target.closed {
            self.link.say(|out| frame::close(out, None, code, word));
        }
        if let Some(back) = tunnel.exchange.back.as_mut().filter(|_| !tunnel.client.closed) {
            let (mut key, mut out) = ([0; 4], Vec::new());
            (stage.random)(&mut key);
            frame::close(&mut out, Some(key), 1001, "");
            back.outbox.say(&out);
        }
    }

    /// A command that is cut off did not end well: its client is told so, if it can be. Whether it
    /// was.
    fn last_words(&mut self, why: &str) -> bool {
        let Phase::Tunnel(tunnel) = &self.phase else { return false };
        let streams = tunnel.exchange.streams.as_ref();
        let Some((is_text, bytes)) = streams.and_then(|streams| streams.last_words(why)) else {
            return false;
        };
        if tunnel.is_raw() {
            self.link.say(|out| out.extend_from_slice(&bytes));
        } else if !tunnel.target.inside && !tunnel.target.closed {
            let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
            self.link.say(|out| frame::write(out, opcode, true, None, &bytes));
        } else {
            return false;
        }
        true
    }

    /// The target is gone.
    pub(super) fn tunnel_ended(&mut self, stage: &mut Stage<'_>) {
        let Phase::Tunnel(tunnel) = &self.phase else { return };
        let was_closed = tunnel.target.closed;
        if !was_closed {
            let why = "weir: the connection to the cluster ended before the command did";
            self.farewell(why, (1001, ""), stage);
        }
        let outcome = if was_closed { Outcome::Success } else { Outcome::Aborted };
        self.over(outcome, if was_closed { "" } else { "target-closed" }, stage);
    }

    /// Nobody has said anything for long.
    pub(super) fn tunnel_overdue(&mut self, stage: &mut Stage<'_>) {
        self.farewell("weir: nobody has said anything for long", (1001, "idle"), stage);
        self.over(Outcome::Success, "idle", stage);
    }
}
