//! What every part of a PostgreSQL session uses: the desk, and the two outboxes.
//!
//! In: messages. Out: bytes for both ends. Never: a protocol decision.

use std::ops::{Deref, DerefMut};

use crate::decide::Permit;
use crate::decide::sql::Plumbing;
use crate::forward::Outbox;
use crate::record::Receipt;
use crate::session::Stage;
use crate::session::desk::{Accepted, Desk};
use crate::wire::Side;

/// The parts of a session that all its phases share. It is a desk with two ends.
#[derive(Debug)]
pub struct Office {
    desk: Desk,
    /// Bytes for the client.
    pub client: Outbox,
    /// Bytes for the target.
    pub server: Outbox,
    /// The target has told the client itself why the login fails.
    pub told_why: bool,
    /// Process id and secret that cancel at the target, as on the wire.
    pub backend_key: Vec<u8>,
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
        Office {
            desk: Desk::open(accepted, stage),
            client: Outbox::default(),
            server: Outbox::default(),
            told_why: false,
            backend_key: Vec::new(),
        }
    }

    /// Hands on a message that is no command: Sync, CopyData of a permitted COPY.
    pub fn pass(&mut self, side: Side, what: Plumbing, bytes: &[u8], stage: &mut Stage<'_>) {
        let receipt = self.covered(stage);
        self.send(side, Permit::plumbing(what), receipt, bytes);
    }

    /// Hands on bytes under a permit and a receipt.
    pub fn send(&mut self, side: Side, permit: Permit, receipt: Receipt, bytes: &[u8]) {
        if side == Side::Client {
            self.totals.bytes_out += bytes.len() as u64;
        }
        self.outbox(side).forward(permit, receipt, bytes);
    }

    /// weir's own words to the client.
    pub fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.totals.bytes_out += bytes.len() as u64;
        self.client.say(&bytes);
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
