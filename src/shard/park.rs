//! How a shard waits when nothing happens: it looks for a moment, then sleeps in its ring, and
//! when it stays quiet, in the executor.
//!
//! In: how waits ended. Out: how long to look; sleep.
//! Never: a sleep without an end: glommio 0.9 can park with a runnable task, so a timer is set.
//!
//! Looking costs CPU and saves the way into and out of the kernel. It pays when the next bytes
//! come within microseconds, so it is tried as long as that happens.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use glommio::timer::Timer;

use super::ring;

/// Looks at most this long.
const SPIN_US_MAX: u64 = 20;
/// Below this, looking is not worth reading the clock.
const SPIN_US_MIN: u64 = 4;

/// The longest that the executor sleeps by mistake while sessions are busy.
const BREATH: Duration = Duration::from_millis(5);

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

/// The eventfd that the ring writes, as glommio reads it.
///
/// A task of its own reads it. Were the read polled by each `park`, glommio 0.9 would keep a waker
/// of each until the eventfd is written, and it counts the wakers of a task in 15 bits: a shard
/// without work would panic after an hour.
pub struct Bell {
    heard: Rc<Heard>,
    _listener: glommio::Task<()>,
}

/// What the reading task tells the parked one.
#[derive(Default)]
struct Heard {
    rung: Cell<bool>,
    broken: Cell<bool>,
    parked: RefCell<Option<Waker>>,
}

impl Heard {
    fn tell(&self, what: &Cell<bool>) {
        what.set(true);
        if let Some(parked) = self.parked.take() {
            parked.wake();
        }
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("broken", &self.heard.broken).finish_non_exhaustive()
    }
}

impl Bell {
    /// Listens to `eventfd`, which stays open until the executor has closed it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(eventfd: &OwnedFd) -> io::Result<Bell> {
        let file = ring::glommio_file(eventfd.try_clone()?);
        let heard = Rc::new(Heard::default());
        let tells = Rc::clone(&heard);
        let listener = glommio::spawn_local(async move {
            while file.read_at(0, 8).await.is_ok() {
                tells.tell(&tells.rung);
            }
            tells.tell(&tells.broken);
        });
        Ok(Bell { heard, _listener: listener })
    }

    /// Sleeps in the executor until the bell rings or the time has passed. A ring that nobody
    /// waited for ends the next sleep at once, so none is lost.
    pub async fn park(&mut self, at_most: Duration) {
        let mut timer = Timer::new(at_most);
        poll_fn(|context| {
            if self.heard.rung.take() || Pin::new(&mut timer).poll(context).is_ready() {
                return Poll::Ready(());
            }
            *self.heard.parked.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        self.heard.parked.take();
    }
}

/// Lets the executor do what it has to, when it asks for it. A timer runs meanwhile: glommio 0.9
/// may go to sleep although this task can run, and nothing else would wake it.
pub async fn breathe() {
    if !glommio::executor().need_preempt() {
        return;
    }
    let mut timer = Timer::new(BREATH);
    let mut turn = pin!(glommio::yield_if_needed());
    poll_fn(|context| {
        if Pin::new(&mut timer).poll(context).is_ready() {
            return Poll::Ready(());
        }
        turn.as_mut().poll(context)
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Instant;

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

    #[test]
    fn a_quiet_shard_parks_for_ever_and_still_hears_the_bell() {
        // More than glommio can count wakers of one task.
        const PARKS: u32 = 40_000;
        let executor = glommio::LocalExecutorBuilder::default().spawn(|| async {
            let eventfd = crate::accept::socket::eventfd().expect("an eventfd");
            let mut bell = Bell::new(&eventfd).expect("a descriptor");
            for _ in 0..PARKS {
                bell.park(Duration::from_micros(1)).await;
            }
            let mut ring = std::fs::File::from(eventfd);
            for _ in 0..3 {
                ring.write_all(&1_u64.to_ne_bytes()).expect("written");
                let start = Instant::now();
                bell.park(Duration::from_secs(20)).await;
                assert!(start.elapsed() < Duration::from_secs(10), "the bell was not heard");
            }
            assert!(!bell.heard.broken.get());
        });
        executor.expect("an executor").join().expect("a good end");
    }
}
