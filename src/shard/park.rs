//! How a shard waits when nothing happens: it looks for a moment, then sleeps in its ring.
//!
//! In: how waits ended. Out: how long to look.
//! Never: a turn of the executor. Nothing but the shard's loop runs on its thread, and a round of
//! glommio's reactor costs some ten `io_uring_enter` on its three rings, which a gateway with
//! twenty statements a second would pay for each of them. So the loop does not yield: it sleeps in
//! its own ring, without an end if nothing is due, and whoever gives the executor a second task has
//! to give it turns here (glommio 0.9 can park with a runnable task: with a timer set).
//!
//! Looking costs CPU and saves the way into and out of the kernel. It pays when the next bytes
//! come within microseconds, so it is tried as long as that happens.

/// Looks at most this long.
const SPIN_US_MAX: u64 = 20;
/// Below this, looking is not worth reading the clock.
const SPIN_US_MIN: u64 = 4;

/// How long to look before sleeping.
#[derive(Debug)]
pub struct Spin {
    us: u64,
}

impl Default for Spin {
    fn default() -> Spin {
        Spin { us: SPIN_US_MAX }
    }
}

impl Spin {
    /// Microseconds to look now.
    pub fn us(&self) -> u64 {
        self.us
    }

    /// Something came while looking.
    pub fn paid(&mut self) {
        self.us = (self.us * 2).min(SPIN_US_MAX);
    }

    /// Nothing came.
    pub fn wasted(&mut self) {
        self.us /= 2;
        if self.us < SPIN_US_MIN {
            self.us = 0;
        }
    }

    /// A sleep in the ring ended with news after so long: would looking have been better?
    pub fn slept(&mut self, slept_us: u64) {
        if self.us == 0 && slept_us < SPIN_US_MAX / 2 {
            self.us = SPIN_US_MIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_stops_when_it_does_not_pay_and_starts_again_when_it_would() {
        let mut spin = Spin::default();
        for _ in 0..3 {
            spin.wasted();
        }
        assert_eq!(spin.us(), 0);
        spin.slept(1000);
        assert_eq!(spin.us(), 0);
        spin.slept(3);
        assert_eq!(spin.us(), SPIN_US_MIN);
        for _ in 0..9 {
            spin.paid();
        }
        assert_eq!(spin.us(), SPIN_US_MAX);
    }
}
