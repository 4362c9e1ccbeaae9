//! How a shard waits when nothing happens: it looks for a moment, then sleeps in its ring, and
//! when it stays quiet, in the executor.
//!
//! In: how waits ended. Out: how long to look; sleep.
//! Never: a sleep without an end: glommio 0.9 can park with a runnable task, so a timer is set.
//!
//! Looking costs CPU and saves the way into and out of the kernel. It pays when the next bytes
//! come within microseconds, so it is tried as long as that happens.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use glommio::io::BufferedFile;
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
pub struct Bell {
    file: Rc<BufferedFile>,
    ringing: Option<Pin<Box<dyn Future<Output = bool>>>>,
    broken: bool,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl Bell {
    /// Listens to `eventfd`, which stays open until the executor has closed it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(eventfd: &OwnedFd) -> io::Result<Bell> {
        let file = Rc::new(ring::glommio_file(eventfd.try_clone()?));
        Ok(Bell { file, ringing: None, broken: false })
    }

    /// Sleeps in the executor until the bell rings or the time has passed. One read of the eventfd
    /// is kept from park to park, so that no ring is swallowed by a read that was given up.
    pub async fn park(&mut self, at_most: Duration) {
        if self.broken {
            Timer::new(at_most).await;
            return;
        }
        let file = &self.file;
        let mut ringing = self.ringing.take().unwrap_or_else(|| {
            let file = Rc::clone(file);
            Box::pin(async move { file.read_at(0, 8).await.is_ok() })
        });
        let mut timer = Timer::new(at_most);
        let rung = poll_fn(|context| {
            if let Poll::Ready(worked) = ringing.as_mut().poll(context) {
                return Poll::Ready(Some(worked));
            }
            Pin::new(&mut timer).poll(context).map(|_| None)
        })
        .await;
        match rung {
            Some(worked) => self.broken = !worked,
            None => self.ringing = Some(ringing),
        }
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
