//! One connection of a session: its transport, and the messages that wait for its keys.
//!
//! In: bytes of the peer; messages with their permits and receipts. Out: messages; sealed bytes in
//! the outbox. Never: a message sealed before its permit and its receipt are there, or out of
//! order.
//!
//! A message is sealed when it is queued, because packets are numbered: what the outbox holds may
//! be cut anywhere, and leaves when its record is safe.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::decide::Permit;
use crate::fault::{Fault, FaultKind, Limit, Malformed, Target, Unsupported};
use crate::record::Receipt;

use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::transport::{Step, Terms, Transport};

use super::core::Office;

/// One connection.
#[derive(Debug)]
pub(super) struct Leg {
    side: Side,
    pub transport: Transport,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
}

/// A message that waits for the end of a key exchange.
#[derive(Debug)]
struct Waiting {
    /// `None` for weir's own words.
    proof: Option<(Permit, Receipt)>,
    message: Vec<u8>,
}

impl Leg {
    /// Opens a connection: weir's first bytes are queued.
    pub fn new(
        side: Side,
        terms: Arc<Terms>,
        now_us: u64,
        core: &mut Office,
    ) -> Result<Leg, Fault> {
        let transport = Transport::new(terms, now_us).map_err(|why| broken(side, why))?;
        let mut leg = Leg { side, transport, waiting: VecDeque::new(), waiting_bytes: 0 };
        leg.flush_own(core);
        Ok(leg)
    }

    /// Bytes of the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.transport.feed(bytes);
    }

    /// The next step; what the transport has to say is queued.
    pub fn next(&mut self, now_us: u64, core: &mut Office) -> Result<Step, Fault> {
        let step = self.transport.next(now_us);
        self.flush(core);
        step.map_err(|why| broken(self.side, why))
    }

    /// The message of a step.
    pub fn message(&self, place: &Range<usize>) -> &[u8] {
        self.transport.message(place)
    }

    /// Weir's own words.
    pub fn say(&mut self, message: &[u8], core: &mut Office) {
        if self.waiting.is_empty() && self.transport.may_send() {
            self.transport.send(message);
            self.flush_own(core);
        } else {
            self.wait(None, message);
        }
    }

    /// A message that follows from a permitted, recorded action.
    pub fn send(&mut self, permit: Permit, receipt: Receipt, message: &[u8], core: &mut Office) {
        if self.waiting.is_empty() && self.transport.may_send() {
            self.flush_own(core);
            self.transport.send(message);
            let sealed = self.transport.take_output();
            core.send(self.side, permit, receipt, &sealed);
        } else {
            self.wait(Some((permit, receipt)), message);
        }
    }

    fn wait(&mut self, proof: Option<(Permit, Receipt)>, message: &[u8]) {
        self.waiting_bytes += message.len();
        self.waiting.push_back(Waiting { proof, message: message.to_vec() });
    }

    /// Bytes that wait for new keys: the other side is not read while there are many.
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Queues what the transport says itself, and what waited for it.
    pub fn flush(&mut self, core: &mut Office) {
        self.flush_own(core);
        while self.transport.may_send() {
            let Some(Waiting { proof, message }) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= message.len();
            self.transport.send(&message);
            let sealed = self.transport.take_output();
            match proof {
                Some((permit, receipt)) => core.send(self.side, permit, receipt, &sealed),
                None => core.say(self.side, &sealed),
            }
        }
    }

    fn flush_own(&mut self, core: &mut Office) {
        if !self.transport.output().is_empty() {
            let sealed = self.transport.take_output();
            core.say(self.side, &sealed);
        }
    }

    /// Asks for new keys if they are due.
    pub fn renew(&mut self, now_us: u64, core: &mut Office) -> Result<(), Fault> {
        self.transport.renew(now_us).map_err(|why| broken(self.side, why))?;
        self.flush(core);
        Ok(())
    }

    /// The time of the transport has come.
    pub fn timeout(&mut self, now_us: u64, core: &mut Office) -> Result<(), Fault> {
        let done = self.transport.handle_timeout(now_us);
        self.flush(core);
        done.map_err(|why| broken(self.side, why))
    }

    /// Says goodbye.
    pub fn disconnect(&mut self, reason: u32, text: &str, core: &mut Office) {
        self.transport.disconnect(reason, text);
        self.flush_own(core);
    }
}

/// A fault of a peer's transport.
pub(super) fn broken(side: Side, why: Broken) -> Fault {
    let kind = match why {
        Broken::Version => FaultKind::Unsupported(Unsupported::ProtocolVersion),
        Broken::PacketBytes | Broken::PacketShape | Broken::Window => {
            FaultKind::Malformed(Malformed::MessageLength)
        }
        Broken::Integrity | Broken::Share | Broken::HostKey => {
            FaultKind::Malformed(Malformed::Packet)
        }
        Broken::Fields => FaultKind::Malformed(Malformed::MessageBody),
        Broken::Order => FaultKind::Malformed(Malformed::MessageType),
        Broken::Negotiation(_) => FaultKind::Unsupported(Unsupported::Algorithms),
        Broken::NotStrict => FaultKind::Unsupported(Unsupported::StrictKex),
        Broken::Untrusted => FaultKind::Target(Target::HostKey),
        Broken::Flood | Broken::Exhausted => FaultKind::Limit(Limit::Requests),
        Broken::Own => FaultKind::Internal,
    };
    Fault::new(side, kind)
}
