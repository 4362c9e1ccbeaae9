//! Windows of one direction of a channel, while weir adds, removes and keeps bytes.
//!
//! Windows are end to end: the receiver's grants pass to the sender. Whatever weir says itself, and
//! whatever a mask lengthens or shortens, is kept in this book, so that neither side ever sees more
//! than it granted.
//!
//! In: first window and adjusts of the receiver, bytes of the sender, bytes to the receiver. Out:
//! what the sender is told. Never: more to the receiver than it granted, or to the sender than
//! there is room for.
//!
//! ```text
//!   receiver --granted--> [ sent | room: ....... reserve ] --lent--> sender
//!                                                           <--received--
//!   sent <= granted       lent - received <= granted - sent - held - reserve
//! ```
//!
//! What is held was received, and is sent or dropped later: its room at the receiver is kept.

use super::Broken;

/// What weir keeps of a receiver's grants for words of its own.
const RESERVE_BYTES: u64 = 4 << 10;
/// What a sender may send before its request is decided.
pub const UNDECIDED_BYTES: u64 = 64 << 10;

/// Of a window, for weir itself where it answers requests.
const fn own_share(window: u64) -> u64 {
    window / 8 * 5
}

/// One direction of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    granted: u64,
    sent: u64,
    lent: u64,
    received: u64,
    reserve: u64,
    /// Of what was received, what is neither sent nor dropped yet.
    held: u64,
    /// The most that is lent in all, until it is lifted.
    cap: u64,
    /// The most that is lent at a time.
    ahead: u64,
    /// The most that was granted at once.
    window: u64,
}

/// Why a sender may send nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedUp {
    /// The receiver has more than half of its window to read: receivers grant more when half of it
    /// is used.
    Unread,
    /// What is kept back may be all that the receiver waits for.
    Small,
}

impl Flow {
    /// Opens a direction with the receiver's first window. With `decided` false the sender gets no
    /// more than [`UNDECIDED_BYTES`] at first.
    pub fn new(window: u32, decided: bool) -> Flow {
        let granted = u64::from(window);
        Flow {
            granted,
            sent: 0,
            lent: 0,
            received: 0,
            // A receiver whose whole window is smaller keeps half of it.
            reserve: RESERVE_BYTES.min(granted / 2),
            held: 0,
            cap: if decided { u64::MAX } else { UNDECIDED_BYTES },
            ahead: u64::MAX,
            window: granted,
        }
    }

    /// The same for the answers to a client that may turn out to ask for files, which weir answers
    /// among the target's replies: until that is decided, the sender gets what would be left then.
    pub fn undecided(window: u32) -> Flow {
        let flow = Flow::new(window, true);
        Flow { cap: flow.granted - own_share(flow.granted), ..flow }
    }

    /// From now on the sender gets so much at a time that more than half of the receiver's first
    /// window is for what weir says itself: receivers grant more when half of it is used, some not
    /// before. All of it stays the sender's, bit by bit, as long as weir says nothing.
    pub const fn keep(&mut self) {
        self.ahead = self.granted - own_share(self.granted);
    }

    /// What the sender can be told now: its first window, or an adjust; zero is nothing to say.
    #[must_use]
    pub fn lend(&mut self) -> u32 {
        let free = self.room().saturating_sub(self.reserve + self.held);
        let outstanding = self.outstanding();
        let more = free.saturating_sub(outstanding).min(self.cap.saturating_sub(self.lent));
        let more = match self.ahead.saturating_sub(outstanding).min(more) {
            // Not for every message.
            some if self.ahead != u64::MAX && some < self.ahead / 4 => 0,
            some => some,
        };
        // The room of a receiver fits into 32 bits, so what is lent of it does.
        let more = u32::try_from(more).expect("a window has 32 bits");
        self.lent += u64::from(more);
        more
    }

    /// Lends the sender what the receiver has not granted: it may be heard before anything runs.
    /// What it says so is not passed before it is [covered](Flow::is_covered).
    pub const fn advance(&mut self, bytes: u32) {
        self.lent += bytes as u64;
    }

    /// Whether all that was lent was granted.
    pub const fn is_covered(&self) -> bool {
        self.room() >= self.held + self.outstanding()
    }

    /// The receiver grants more.
    ///
    /// # Errors
    /// `Fields` if the window would pass 2^32-1 (RFC 4254 section 5.2).
    pub fn grant(&mut self, bytes: u32) -> Result<(), Broken> {
        self.granted += u64::from(bytes);
        self.window = self.window.max(u64::from(bytes));
        // A first window of nothing is common; the reserve is then kept of what comes later.
        self.reserve = self.reserve.max(RESERVE_BYTES.min(u64::from(bytes) / 2));
        if self.room() > u64::from(u32::MAX) { Err(Broken::Fields) } else { Ok(()) }
    }

    /// The sender sent bytes, all of which go to the receiver now or later.
    ///
    /// # Errors
    /// `Window` if it had none for them.
    pub fn pass(&mut self, bytes: usize) -> Result<(), Broken> {
        self.swallow(bytes)?;
        self.sent += bytes as u64;
        assert!(self.sent <= self.granted, "what was lent was granted");
        Ok(())
    }

    /// The sender sent bytes that go nowhere.
    ///
    /// # Errors
    /// `Window` if it had none for them.
    pub fn swallow(&mut self, bytes: usize) -> Result<(), Broken> {
        self.received += bytes as u64;
        if self.received > self.lent { Err(Broken::Window) } else { Ok(()) }
    }

    /// The sender sent bytes that are kept back: each is released or dropped later.
    ///
    /// # Errors
    /// `Window` if it had none for them.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Broken> {
        self.swallow(bytes)?;
        self.held += bytes as u64;
        Ok(())
    }

    /// Bytes that were held go to the receiver.
    pub fn release(&mut self, bytes: usize) {
        self.drop_held(bytes);
        self.sent += bytes as u64;
        assert!(self.sent <= self.granted, "what was lent was granted");
    }

    /// Bytes that were held go nowhere.
    pub fn drop_held(&mut self, bytes: usize) {
        assert!(bytes as u64 <= self.held, "no more than was held");
        self.held -= bytes as u64;
    }

    /// Weir says bytes of its own to the receiver; `false` if there is no room for them beside what
    /// the sender may still send.
    #[must_use]
    pub fn say(&mut self, bytes: usize) -> bool {
        let fits = bytes as u64 <= self.own_room();
        if fits {
            self.sent += bytes as u64;
        }
        fits
    }

    /// Bytes that were passed became fewer.
    pub fn shorten(&mut self, bytes: usize) {
        assert!(bytes as u64 <= self.sent, "no more than was sent is taken back");
        self.sent -= bytes as u64;
    }

    /// What the sender was lent and did not send yet.
    pub const fn outstanding(&self) -> u64 {
        self.lent - self.received
    }

    /// What the receiver still takes.
    pub const fn room(&self) -> u64 {
        self.granted - self.sent
    }

    /// What weir may say itself.
    pub const fn own_room(&self) -> u64 {
        self.room().saturating_sub(self.held + self.outstanding())
    }

    /// The request is decided: the sender gets all that there is.
    pub const fn decide(&mut self) {
        self.cap = u64::MAX;
    }

    /// Why the sender may send nothing, if so: it waits for its receiver.
    pub const fn used_up(&self) -> Option<UsedUp> {
        match self.lent == self.received {
            false => None,
            true if self.room() < self.window / 2 => Some(UsedUp::Unread),
            true => Some(UsedUp::Small),
        }
    }

    /// Bytes that the sender sent so far.
    pub const fn received(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Grant(u32),
        Pass(u32),
        Swallow(u32),
        Say(u16),
        Shorten(u32),
        Hold(u32),
        Release(u32),
        DropHeld(u32),
        Decide,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            (0u32..300_000).prop_map(Act::Grant),
            (0u32..40_000).prop_map(Act::Pass),
            (0u32..40_000).prop_map(Act::Swallow),
            (0u16..3_000).prop_map(Act::Say),
            (0u32..10_000).prop_map(Act::Shorten),
            (0u32..40_000).prop_map(Act::Hold),
            (0u32..40_000).prop_map(Act::Release),
            (0u32..40_000).prop_map(Act::DropHeld),
            Just(Act::Decide),
        ];
        proptest::collection::vec(act, 0..200)
    }

    /// The two peers as they see their windows.
    struct Peers {
        sender_may: u64,
        receiver_takes: u64,
    }

    proptest! {
        #[test]
        fn nobody_sees_more_than_it_granted(window in 0u32..3_000_000, acts in acts()) {
            let mut flow = Flow::new(window, false);
            let mut peers = Peers { sender_may: 0, receiver_takes: u64::from(window) };
            peers.sender_may += u64::from(flow.lend());
            prop_assert!(peers.sender_may <= UNDECIDED_BYTES);
            let (mut passed, mut held) = (0u64, 0u64);
            for act in acts {
                match act {
                    Act::Grant(bytes) => {
                        peers.receiver_takes += u64::from(bytes);
                        prop_assert_eq!(flow.grant(bytes), Ok(()));
                    }
                    Act::Pass(bytes) => {
                        let bytes = u64::from(bytes).min(peers.sender_may);
                        peers.sender_may -= bytes;
                        prop_assert!(bytes <= peers.receiver_takes);
                        peers.receiver_takes -= bytes;
                        passed += bytes;
                        prop_assert_eq!(flow.pass(bytes as usize), Ok(()));
                    }
                    Act::Swallow(bytes) => {
                        let bytes = u64::from(bytes).min(peers.sender_may);
                        peers.sender_may -= bytes;
                        prop_assert_eq!(flow.swallow(bytes as usize), Ok(()));
                    }
                    Act::Hold(bytes) => {
                        let bytes = u64::from(bytes).min(peers.sender_may);
                        peers.sender_may -= bytes;
                        held += bytes;
                        prop_assert_eq!(flow.hold(bytes as usize), Ok(()));
                    }
                    Act::Release(bytes) => {
                        let bytes = u64::from(bytes).min(held);
                        held -= bytes;
                        prop_assert!(bytes <= peers.receiver_takes);
                        peers.receiver_takes -= bytes;
                        flow.release(bytes as usize);
                    }
                    Act::DropHeld(bytes) => {
                        let bytes = u64::from(bytes).min(held);
                        held -= bytes;
                        flow.drop_held(bytes as usize);
                    }
                    Act::Say(bytes) => {
                        let said = flow.say(usize::from(bytes));
                        let free = peers.receiver_takes - peers.sender_may - held;
                        prop_assert_eq!(said, u64::from(bytes) <= free);
                        if said {
                            peers.receiver_takes -= u64::from(bytes);
                        }
                    }
                    Act::Shorten(bytes) => {
                        let bytes = u64::from(bytes).min(passed);
                        passed -= bytes;
                        peers.receiver_takes += bytes;
                        flow.shorten(bytes as usize);
                    }
                    Act::Decide => flow.decide(),
                }
                peers.sender_may += u64::from(flow.lend());
                prop_assert_eq!(flow.room(), peers.receiver_takes);
                prop_assert!(peers.sender_may + held <= peers.receiver_takes);
            }
            // Whatever happened, a receiver that takes everything gets everything.
            flow.decide();
            flow.grant(1 << 20).expect("far from the bound");
            peers.sender_may += u64::from(flow.lend());
            prop_assert!(peers.sender_may >= (1 << 20) - 2 * RESERVE_BYTES);
        }
    }

    #[test]
    fn a_window_beyond_its_bits_and_bytes_beyond_the_window_are_refused() {
        let mut flow = Flow::new(u32::MAX, true);
        assert_eq!(flow.lend(), u32::MAX - 4096);
        assert_eq!(flow.grant(1), Err(Broken::Fields));
        let mut flow = Flow::new(100_000, false);
        assert_eq!(flow.lend(), 65_536);
        assert_eq!(flow.pass(65_537), Err(Broken::Window));
    }

    #[test]
    fn a_receiver_that_waits_for_what_is_held_is_told_from_one_that_does_not_read() {
        for (window, expect) in [(2_000u32, UsedUp::Small), (2 << 20, UsedUp::Unread)] {
            let mut flow = Flow::new(window, true);
            let lent = flow.lend();
            assert_eq!(flow.used_up(), None);
            flow.hold(lent as usize).expect("it was lent");
            flow.release(lent as usize - 500);
            assert_eq!(flow.used_up(), Some(expect), "{window}");
            // It has read all that it was sent, and says so: more may come.
            flow.grant(lent - 500).expect("far from the bound");
            assert!(flow.lend() > 0);
            assert_eq!(flow.used_up(), None);
        }
        let mut flow = Flow::new(0, true);
        flow.grant(1 << 20).expect("far from the bound");
        let lent = flow.lend() as usize;
        flow.hold(lent).expect("it was lent");
        assert_eq!(flow.used_up(), Some(UsedUp::Small), "all of it is held");
        flow.release(lent);
        assert_eq!(flow.used_up(), Some(UsedUp::Unread));
    }

    #[test]
    fn a_receiver_that_hears_weir_alone_grants_more() {
        for window in [2_000u64, 100_000, 2 << 20] {
            let mut flow = Flow::undecided(window as u32);
            let lent = u64::from(flow.lend());
            assert!(lent > 0 && lent <= window / 2);
            flow.keep();
            flow.decide();
            assert_eq!(flow.lend(), 0, "what is kept was not lent");
            // A receiver that grants when more than half is used.
            let (mut used, mut said) = (0, 0);
            for _ in 0..10_000 {
                assert!(flow.say(100), "{said} bytes were said");
                (used, said) = (used + 100, said + 100);
                if used > window / 2 {
                    flow.grant(used as u32).expect("far from the bound");
                    used = 0;
                    let _lent_already = flow.lend();
                }
            }
        }
        // And one that hears the target alone, or both.
        for own in [0, 50, 2_000] {
            let mut flow = Flow::undecided(2 << 20);
            let mut may = u64::from(flow.lend());
            flow.keep();
            flow.decide();
            let mut used = 0;
            for _ in 0..10_000 {
                let sent = may.min(32_000);
                assert!(sent > 0, "the target goes on");
                flow.pass(sent as usize).expect("lent");
                assert!(flow.say(own), "so does weir");
                (may, used) = (may - sent + u64::from(flow.lend()), used + sent + own as u64);
                if used > 1 << 20 {
                    flow.grant(used as u32).expect("far from the bound");
                    (may, used) = (may + u64::from(flow.lend()), 0);
                }
            }
        }
        let mut flow = Flow::undecided(100_000);
        assert_eq!(flow.lend(), 37_500);
        flow.decide();
        assert_eq!(flow.lend(), 100_000 - 37_500 - 4096, "no files: all but the reserve");
    }

    #[test]
    fn what_is_lent_in_advance_counts_once_it_is_granted() {
        let mut flow = Flow::new(0, false);
        assert_eq!((flow.lend(), flow.own_room(), flow.is_covered()), (0, 0, true));
        flow.advance(64);
        assert_eq!((flow.lend(), flow.own_room(), flow.is_covered()), (0, 0, false));
        flow.grant(63).expect("far from the bound");
        assert_eq!((flow.lend(), flow.is_covered()), (0, false));
        flow.grant(2 << 20).expect("far from the bound");
        assert!(flow.is_covered());
        let lent = u64::from(flow.lend());
        assert_eq!(lent, UNDECIDED_BYTES - 64);
        flow.decide();
        let lent = 64 + lent + u64::from(flow.lend());
        assert_eq!(lent, (2 << 20) + 63 - RESERVE_BYTES);
        assert_eq!(flow.pass(lent as usize), Ok(()));
        assert_eq!(flow.pass(1), Err(Broken::Window));
        // One that is refused says into the void what it was lent.
        let mut flow = Flow::new(0, false);
        flow.advance(64);
        assert_eq!((flow.swallow(64), flow.swallow(1)), (Ok(()), Err(Broken::Window)));
    }

    #[test]
    fn the_smallest_windows_still_move() {
        for window in 1..20 {
            let mut flow = Flow::new(window, true);
            let first = flow.lend();
            assert!(first >= 1, "a window of {window}");
            flow.pass(first as usize).expect("lent");
            flow.grant(first).expect("small");
            assert_eq!(flow.lend(), first);
        }
    }
}
