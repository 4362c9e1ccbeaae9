//! When requests should start: constant or Poisson arrivals, decided before anything is measured.
//!
//! In: a rate, a seed. Out: points in time, nanoseconds from the start of the run.
//! Never: a look at how the server is doing; a schedule that waits hides the waiting.

/// A small generator of random numbers (SplitMix64), the same on every machine for a seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Between two numbers, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let count = high.wrapping_sub(low).wrapping_add(1).max(1) as u64;
        low.wrapping_add((self.next_u64() % count) as i64)
    }
}

/// How requests are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// As many independent users would send them: exponential gaps.
    Poisson,
    /// Every gap the same.
    Constant,
}

impl Arrivals {
    /// The name in flags and results.
    pub const fn name(self) -> &'static str {
        match self {
            Arrivals::Poisson => "poisson",
            Arrivals::Constant => "constant",
        }
    }
}

/// The points in time, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    gap_ns: f64,
    next_ns: f64,
    random: Random,
}

impl Schedule {
    /// `rate` requests per second from time 0 on.
    pub fn new(arrivals: Arrivals, rate: f64, seed: u64) -> Schedule {
        assert!(rate > 0.0, "a schedule without requests");
        let mut random = Random::new(seed);
        // Threads with the same rate must not all send at the same moment.
        let first = random.unit() * 1e9 / rate;
        Schedule { arrivals, gap_ns: 1e9 / rate, next_ns: first, random }
    }

    /// When the next request should start.
    pub fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.next_ns += match self.arrivals {
            Arrivals::Constant => self.gap_ns,
            Arrivals::Poisson => -(1.0 - self.random.unit()).ln() * self.gap_ns,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_in_ten_seconds(arrivals: Arrivals) -> (u64, f64) {
        let mut schedule = Schedule::new(arrivals, 1000.0, 7);
        let (mut count, mut last, mut squares) = (0, schedule.next_ns(), 0.0);
        while schedule.next_ns() < 10_000_000_000 {
            count += 1;
            schedule.advance();
            let gap = (schedule.next_ns() - last) as f64 / 1e6;
            squares += (gap - 1.0) * (gap - 1.0);
            last = schedule.next_ns();
        }
        (count, squares / count as f64)
    }

    #[test]
    fn the_rate_is_kept_and_the_gaps_are_as_promised() {
        let (count, variance) = count_in_ten_seconds(Arrivals::Constant);
        assert!((9_999..=10_001).contains(&count), "{count}");
        assert!(variance < 1e-6, "{variance}");
        let (count, variance) = count_in_ten_seconds(Arrivals::Poisson);
        assert!((9_600..=10_400).contains(&count), "{count}");
        // The variance of an exponential gap is the square of its mean, here 1 ms.
        assert!((0.9..=1.1).contains(&variance), "{variance}");
    }

    #[test]
    fn between_includes_both_ends() {
        let mut random = Random::new(1);
        let seen: std::collections::BTreeSet<i64> =
            (0..200).map(|_| random.between(-1, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-1, 0, 1, 2]);
    }
}
