//! How fast a client sends the content that somebody waits for, and what becomes of what is late.
//!
//! In: pieces, time. Out: whether they come fast enough; 408 for a client, 504 for a target, the
//! end for a client that takes nothing of its answer.
//! Never: a client called slow that weir itself does not read, because its target takes nothing.

use crate::fault::{Fault, FaultKind, Limit, Target};
use crate::limits;
use crate::session::Stage;
use crate::wire::Side;
use crate::wire::http::reply::Manner;

use super::exchange::Up;
use super::front::Front;
use super::tenure::Trouble;
use super::{Phase, Session, voice};

/// A minute of content.
#[derive(Debug, Default)]
pub(super) struct Pace {
    from_us: u64,
    bytes: usize,
    /// Not all of it was taken at once.
    waited: bool,
}

impl Pace {
    /// Content is awaited from now on.
    pub fn from(now_us: u64) -> Pace {
        Pace { from_us: now_us, ..Pace::default() }
    }

    /// A piece came; `waits` says that its target has not taken what came before. Whether the last
    /// minute had as much as it has to have.
    pub fn takes(&mut self, bytes: usize, waits: bool, now_us: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited |= waits;
        if now_us.saturating_sub(self.from_us) < limits::HTTP_PACE_US {
            return true;
        }
        let is_fast = self.waited || self.bytes >= limits::HTTP_PACE_BYTES_MIN;
        *self = Pace { waited: waits, ..Pace::from(now_us) };
        is_fast
    }
}

impl Session {
    /// The time of an exchange is over.
    pub(super) fn exchange_overdue(&mut self, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &self.phase else { return };
        match exchange.up {
            Up::Held(_) => self.hold_overdue(stage),
            Up::Gathering { .. } => self.head_overdue(stage),
            // The client is late with its content, not the target.
            Up::Content { .. } if exchange.awaits_client() => self.head_overdue(stage),
            _ if self.is_unread() => self.end_unread(stage),
            _ => self.fail(Trouble::Target(Target::Timeout), stage),
        }
    }

    /// Whether the answer waits for its client: as much of it is here as weir keeps, and may leave.
    /// What waits for the journal is nobody's fault.
    fn is_unread(&self) -> bool {
        let Phase::Busy(exchange) = &self.phase else { return false };
        let waits = match &self.link.front {
            Front::Many(streams) => streams.turn.waiting() >= limits::H2_WAITING_BYTES_MAX,
            Front::One | Front::Unsaid => false,
        };
        let is_full = !self.link.has_room() && self.link.client.released_len() > 0;
        exchange.has_begun() && (waits || is_full)
    }

    /// The client has taken nothing for as long as a target may be silent.
    fn end_unread(&mut self, stage: &mut Stage<'_>) {
        self.cut(Some(Fault::new(Side::Client, FaultKind::Limit(Limit::Unread))), stage);
    }

    /// A head, or content that somebody waits for, did not come in its time.
    pub(super) fn head_overdue(&mut self, stage: &mut Stage<'_>) {
        let mut reply = voice::late().reply(Manner::Problem);
        if let Phase::Busy(exchange) = &mut self.phase {
            reply = exchange.request.reply(&voice::late());
            exchange.told.status = reply.status;
        }
        self.link.reply(&reply, false, true);
        let kind = FaultKind::Limit(Limit::LoginTime);
        self.cut(Some(Fault::new(Side::Client, kind)), stage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_its_bytes_or_a_target_that_takes_none() {
        let minute = limits::HTTP_PACE_US;
        let run = |pieces: &[(usize, bool, u64)]| {
            let mut pace = Pace::from(0);
            pieces.iter().all(|(bytes, waits, now_us)| pace.takes(*bytes, *waits, *now_us))
        };
        let enough = limits::HTTP_PACE_BYTES_MIN;
        assert!(run(&[(1, false, minute - 1)]));
        assert!(!run(&[(1, false, minute - 1), (1, false, minute)]));
        assert!(run(&[(enough - 1, false, 1), (1, false, minute)]));
        assert!(!run(&[(enough, false, minute), (1, false, 2 * minute)]), "each minute anew");
        assert!(run(&[(1, true, 1), (1, false, minute)]));
        assert!(run(&[(1, true, minute), (1, false, 2 * minute)]));
        assert!(!run(&[(1, true, 1), (1, false, minute), (1, false, 2 * minute)]));
    }
}
