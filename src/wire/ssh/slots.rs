//! Whose turn it is to be answered. Replies carry no number: they answer requests in their order
//! (RFC 4254 sections 4 and 5.4), so what weir answers itself waits for those before it.
//!
//! In: requests that want a reply, as they are forwarded or answered; replies of the target. Out:
//! the replies that may leave now, in order. Never: a reply on another request, one that nobody
//! asked for.

use std::collections::VecDeque;

use super::Broken;

/// What a reply is the answer to, for whoever keeps a record of it: a number, and when it was
/// asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The number.
    pub seq: u64,
    /// The time.
    pub at_us: u64,
}

/// Requests of one channel, or of one connection, that wait for their replies.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    queue: VecDeque<Slot<T>>,
    count_max: usize,
}

#[derive(Clone, Debug)]
enum Slot<T> {
    /// The target will reply; what its reply is noted with.
    Forwarded(Option<Note>),
    /// Weir has replied; it waits for those before it.
    Answered(T),
    /// The target will reply, and nobody wants to know.
    Silent,
}

impl<T> Slots<T> {
    /// No requests, and a bound for how many may wait.
    pub const fn new(count_max: usize) -> Slots<T> {
        Slots { queue: VecDeque::new(), count_max }
    }

    /// A request that wants a reply is forwarded.
    ///
    /// # Errors
    /// `Flood` if too many wait.
    pub fn forward(&mut self) -> Result<(), Broken> {
        self.push(Slot::Forwarded(None))
    }

    /// The same for one whose reply is noted.
    ///
    /// # Errors
    /// `Flood` if too many wait.
    pub fn forward_noted(&mut self, note: Option<Note>) -> Result<(), Broken> {
        self.push(Slot::Forwarded(note))
    }

    /// Weir asks the target something itself; the reply ends here.
    ///
    /// # Errors
    /// `Flood` if too many wait.
    pub fn ask(&mut self) -> Result<(), Broken> {
        self.push(Slot::Silent)
    }

    /// Weir answers a request itself. The reply is given back by [`Slots::ready`] when it is due.
    ///
    /// # Errors
    /// `Flood` if too many wait.
    pub fn answer(&mut self, reply: T) -> Result<(), Broken> {
        self.push(Slot::Answered(reply))
    }

    fn push(&mut self, slot: Slot<T>) -> Result<(), Broken> {
        if self.queue.len() >= self.count_max {
            return Err(Broken::Flood);
        }
        self.queue.push_back(slot);
        Ok(())
    }

    /// The target replied to the oldest request that it was forwarded.
    ///
    /// # Errors
    /// `Order` if it was asked nothing.
    pub fn reply(&mut self, reply: T) -> Result<Option<Note>, Broken> {
        // What weir answered leaves as soon as it is first, so the first one is the target's.
        match self.queue.front_mut() {
            Some(slot @ Slot::Forwarded(_)) => {
                match std::mem::replace(slot, Slot::Answered(reply)) {
                    Slot::Forwarded(note) => Ok(note),
                    Slot::Answered(_) | Slot::Silent => Ok(None),
                }
            }
            Some(Slot::Silent) => {
                self.queue.pop_front();
                Ok(None)
            }
            Some(Slot::Answered(_)) | None => Err(Broken::Order),
        }
    }

    /// Whether the next reply is to what weir asked itself.
    pub fn is_own_next(&self) -> bool {
        matches!(self.queue.front(), Some(Slot::Silent))
    }

    /// The next reply that may leave.
    pub fn ready(&mut self) -> Option<T> {
        match self.queue.front()? {
            Slot::Answered(_) => match self.queue.pop_front()? {
                Slot::Answered(reply) => Some(reply),
                Slot::Forwarded(_) | Slot::Silent => None,
            },
            Slot::Forwarded(_) | Slot::Silent => None,
        }
    }

    /// Requests that wait.
    pub fn count(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Requests are numbers; each reply must be that of its request.
        #[test]
        fn every_request_gets_its_own_reply_in_order(
            acts in proptest::collection::vec(0u8..4, 0..300)
        ) {
            let mut slots = Slots::new(1000);
            let mut target = VecDeque::new();
            let mut asked = Vec::new();
            let mut got = Vec::new();
            for (next, act) in (0u32..).zip(acts) {
                match act {
                    0 => {
                        slots.forward().expect("few");
                        target.push_back(Some(next));
                        asked.push(next);
                    }
                    1 => {
                        slots.answer(next).expect("few");
                        asked.push(next);
                    }
                    2 => {
                        slots.ask().expect("few");
                        target.push_back(None);
                    }
                    _ => {
                        if let Some(request) = target.pop_front() {
                            slots.reply(request.unwrap_or(u32::MAX)).expect("asked");
                        }
                    }
                }
                while let Some(reply) = slots.ready() {
                    got.push(reply);
                }
            }
            while let Some(request) = target.pop_front() {
                slots.reply(request.unwrap_or(u32::MAX)).expect("asked");
                while let Some(reply) = slots.ready() {
                    got.push(reply);
                }
            }
            prop_assert_eq!(got, asked);
            prop_assert_eq!(slots.reply(0), Err(Broken::Order));
        }
    }

    #[test]
    fn a_reply_is_noted_with_its_request() {
        let mut slots = Slots::new(9);
        let note = Some(Note { seq: 7, at_us: 1 });
        slots.forward().expect("room");
        slots.forward_noted(note).expect("room");
        assert_eq!(slots.reply(1), Ok(None));
        assert_eq!(slots.ready(), Some(1));
        assert_eq!(slots.reply(2), Ok(note));
        assert_eq!(slots.ready(), Some(2));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut slots = Slots::new(2);
        slots.forward().expect("room");
        slots.answer(()).expect("room");
        assert_eq!(slots.forward(), Err(Broken::Flood));
        assert_eq!(slots.ready(), None);
    }
}
