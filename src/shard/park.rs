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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
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

/// What the read of the eventfd wakes: says that it is to be polled, and wakes the shard.
///
/// glommio 0.9 keeps one waker more of whoever polls a read that waits, at every poll, and panics
/// when a task has 32,768 of them. A shard where nothing happens polls one read ten times a second
/// and more, so the read has this waker and is polled once before it rings, and once after.
struct Ringer {
    rung: AtomicBool,
    shard: Mutex<Waker>,
}

impl Ringer {
    fn listen(&self, shard: &Waker) {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner).clone_from(shard);
    }
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.shard.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

/// The eventfd that the ring writes, as glommio reads it.
pub struct Bell {
    file: Rc<BufferedFile>,
    ringing: Option<Pin<Box<dyn Future<Output = bool>>>>,
    ringer: Arc<Ringer>,
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
        let shard = Mutex::new(Waker::noop().clone());
        let ringer = Arc::new(Ringer { rung: AtomicBool::new(false), shard });
        Ok(Bell { file, ringing: None, ringer, broken: false })
    }

    /// Sleeps in the executor until the bell rings or the time has passed. One read of the eventfd
    /// is kept from park to park, so that no ring is swallowed by a read that was given up.
    pub async fn park(&mut self, at_most: Duration) {
        if self.broken {
            Timer::new(at_most).await;
            return;
        }
        let (file, ringer) = (&self.file, &self.ringer);
        let mut ringing = self.ringing.take().unwrap_or_else(|| {
            let file = Rc::clone(file);
            ringer.rung.store(true, Ordering::Release); // A read starts when it is first polled.
            Box::pin(async move { file.read_at(0, 8).await.is_ok() })
        });
        let mut timer = Timer::new(at_most);
        let waker = Waker::from(Arc::clone(ringer));
        let rung = poll_fn(|context| {
            ringer.listen(context.waker());
            if ringer.rung.swap(false, Ordering::AcqRel)
                && let Poll::Ready(worked) = ringing.as_mut().poll(&mut Context::from_waker(&waker))
            {
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
    fn a_quiet_shard_parks_for_ever() {
        // glommio counts the wakers of a task in 15 bits and panics when they run over.
        const PARKS: u32 = 40_000;
        let done = glommio::LocalExecutorBuilder::default().spawn(|| async {
            let eventfd = crate::accept::socket::eventfd().unwrap();
            let mut bell = Bell::new(&eventfd).unwrap();
            for _ in 0..PARKS {
                bell.park(Duration::from_micros(1)).await;
            }
            let ring = std::fs::File::from(eventfd);
            for _ in 0..3 {
                (&ring).write_all(&1_u64.to_ne_bytes()).unwrap();
                let start = Instant::now();
                bell.park(Duration::from_secs(20)).await;
                assert!(start.elapsed() < Duration::from_secs(10), "the ring was not heard");
            }
            assert!(!bell.broken);
        });
        done.unwrap().join().unwrap();
    }
}
