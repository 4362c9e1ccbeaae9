//! A session's connections to targets: which it has, which it is getting, which it is leaving.
//!
//! In: leases, releases, outcomes of dials. Out: the connections that the shard works for.
//! Never: two connections of one number; one given to another session while the kernel works for
//! it.
//!
//! ```text
//!   Lease --> Held --Next----> Leaving --its socket is gone--> Held (the next server is dialled)
//!              | '---Release(Close)--> Parting --the kernel is done--> gone
//!              '-----Release(Keep)---> Parting --the kernel is done--> the shard's idle ones
//! ```

use crate::forward::dial::{Dial, Endpoint};
use crate::session::{After, Lease};
use crate::wire::LegId;

use super::leg::Leg;

/// A connection and what becomes of it.
#[derive(Debug)]
pub struct Held {
    /// Its number in the session.
    pub id: LegId,
    /// The connection.
    pub leg: Leg,
    /// The attempts to reach the target, until it is settled.
    pub dial: Option<Box<Dial>>,
    /// The server that was reached.
    pub endpoint: Option<Endpoint>,
    /// Where it is in its life.
    pub state: LegState,
    /// Which settings it was asked for under (`Idle::age`).
    pub age: u64,
}

/// Where a connection is in its life.
#[derive(Debug)]
pub enum LegState {
    /// The session has it, or is getting it.
    Held,
    /// The server is given up; the next one waits for the end of its connection.
    Leaving,
    /// The session is done with it.
    Parting(After),
}

impl Held {
    /// Whether nothing more is read from it or sent to it.
    pub fn is_cut(&self) -> bool {
        !matches!(self.state, LegState::Held)
    }
}

/// All of a session's connections to targets. A session of most protocols has one.
#[derive(Debug, Default)]
pub struct Legs {
    held: Vec<Held>,
}

impl Legs {
    /// A leg that is asked for under settings of this age; `false` if there is one of this number.
    pub fn lease(&mut self, lease: Lease, age: u64) -> bool {
        let taken = self.find(lease.leg).is_some();
        if !taken {
            let Lease { leg: id, dial, .. } = lease;
            let (leg, dial, state) = (Leg::default(), Some(dial), LegState::Held);
            self.held.push(Held { id, leg, dial, endpoint: None, state, age });
        }
        !taken
    }

    /// The leg of a number.
    pub fn find(&self, id: LegId) -> Option<&Held> {
        self.held.iter().find(|held| held.id == id)
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, id: LegId) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.id == id)
    }

    /// The only one, if there is one alone: what its client sends goes there.
    pub fn sole(&self) -> Option<LegId> {
        match self.held.as_slice() {
            [only] => Some(only.id),
            _ => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut()
    }

    /// The leg at a place below `len`, which changes when one is taken out.
    pub fn at(&self, index: usize) -> Option<&Held> {
        self.held.get(index)
    }

    /// The session gets no connection of this number: it may ask for one of the same number at
    /// once, so one that the kernel does not work for is gone at once.
    pub fn unreached(&mut self, id: LegId) {
        if let Some(held) = self.find_mut(id) {
            held.state = LegState::Parting(After::Close);
        }
        self.held.retain(|held| held.id != id || held.leg.is_busy());
    }

    /// Takes out one that the session has released and the kernel is done with.
    pub fn take_parted(&mut self) -> Option<Held> {
        let parted =
            |held: &Held| matches!(held.state, LegState::Parting(_)) && !held.leg.is_busy();
        self.held.iter().position(parted).map(|index| self.held.swap_remove(index))
    }

    /// One whose server was given up and is gone; it is held again, without a connection. Said
    /// once.
    pub fn left(&mut self) -> Option<LegId> {
        let left =
            |held: &&mut Held| matches!(held.state, LegState::Leaving) && !held.leg.is_busy();
        let held = self.held.iter_mut().find(left)?;
        held.state = LegState::Held;
        held.leg = Leg::default();
        Some(held.id)
    }
}
