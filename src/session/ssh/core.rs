//! What every part of an SSH session uses: the desk, and the two outboxes.
//!
//! In: sealed packets. Out: bytes for both ends. Never: a protocol decision.

use std::ops::{Deref, DerefMut};

use crate::decide::Permit;
use crate::forward::Outbox;
use crate::record::Receipt;
use crate::session::Stage;
use crate::session::desk::{Accepted, Desk};
use crate::wire::Side;

/// The parts of a session that all its phases share. It is a desk with two ends.
#[derive(Debug)]
pub(super) struct Office {
    desk: Desk,
    client: Outbox,
    server: Outbox,
}

impl Deref for Office {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl DerefMut for Office {
    fn deref_mut(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl Office {
    /// Opens the session's record.
    pub fn open(accepted: Accepted, stage: &mut Stage<'_>) -> Office {
        let desk = Desk::open(accepted, stage);
        Office { desk, client: Outbox::default(), server: Outbox::default() }
    }

    /// Hands on packets under a permit and a receipt.
    pub fn send(&mut self, side: Side, permit: Permit, receipt: Receipt, packets: &[u8]) {
        self.count_out(side, packets.len());
        self.outbox(side).forward(permit, receipt, packets);
    }

    /// Hands on packets of weir's own.
    pub fn say(&mut self, side: Side, packets: &[u8]) {
        self.count_out(side, packets.len());
        self.outbox(side).say(packets);
    }

    fn count_out(&mut self, side: Side, bytes: usize) {
        if side == Side::Client {
            self.totals.bytes_out += bytes as u64;
        }
    }

    /// The outbox towards a side.
    pub fn outbox(&mut self, side: Side) -> &mut Outbox {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The same, to be looked at.
    pub fn pending(&self, side: Side) -> &Outbox {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}
