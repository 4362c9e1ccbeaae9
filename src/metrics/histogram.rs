//! How long a stage takes: counts by duration, written by one shard, read by anybody.
//!
//! In: microseconds. Out: counts of buckets, quantiles, what lies below an edge.
//! Never: an allocation, a lock or a locked instruction where a duration is recorded.
//!
//! The buckets are those of an HdrHistogram of two significant digits, so that `Reading` can be
//! one. Up to 255 us each value has its own; above, each doubling has 128 of them:
//!
//! ```text
//!   us:      0 1 2 .. 255 | 256 258 .. 510 | 512 516 .. 1020 | ..
//!   bucket:  0 1 2 .. 255 | 256 257 .. 383 | 384 385 .. 511  | ..
//! ```

use hdrhistogram::Histogram as Hdr;

use super::Counter;
use crate::limits::DURATION_US_MAX;

/// Values below this have a bucket each.
const EXACT_BITS: u32 = 8;
/// Buckets of each doubling above.
const HALF: usize = 1 << (EXACT_BITS - 1);
const SIGNIFICANT_DIGITS: u8 = 2;
/// Buckets of a histogram.
const BUCKETS: usize = bucket_of(DURATION_US_MAX) + 1;

/// The bucket of a duration.
const fn bucket_of(us: u64) -> usize {
    let us = if us < DURATION_US_MAX { us } else { DURATION_US_MAX };
    let bits = u64::BITS - (us | (2 * HALF as u64 - 1)).leading_zeros();
    let shift = bits - EXACT_BITS;
    shift as usize * HALF + (us >> shift) as usize
}

/// The longest duration of a bucket.
const fn longest_of(bucket: usize) -> u64 {
    if bucket < 2 * HALF {
        return bucket as u64;
    }
    let shift = bucket / HALF - 1;
    (((bucket % HALF + HALF + 1) as u64) << shift) - 1
}

/// Counts of durations. Its shard alone writes.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[Counter]>,
    sum_us: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: (0..BUCKETS).map(|_| Counter::default()).collect(),
            sum_us: Counter::default(),
        }
    }
}

impl Histogram {
    /// Counts a duration, on the shard's thread.
    pub fn record(&self, us: u64) {
        if let Some(count) = self.counts.get(bucket_of(us)) {
            count.add(1);
        }
        self.sum_us.add(us.min(DURATION_US_MAX));
    }
}

/// What histograms said at one time, of one shard or added up.
#[derive(Clone, Debug)]
pub struct Reading {
    counts: Hdr<u64>,
    sum_us: u64,
}

impl Default for Reading {
    fn default() -> Reading {
        let counts = Hdr::new_with_bounds(1, DURATION_US_MAX, SIGNIFICANT_DIGITS);
        Reading { counts: counts.expect("the bounds are constants that are valid"), sum_us: 0 }
    }
}

impl Reading {
    /// Adds what a histogram says now.
    pub fn add(&mut self, histogram: &Histogram) {
        for (bucket, count) in histogram.counts.iter().enumerate() {
            let count = count.get();
            if count > 0 {
                self.add_bucket(longest_of(bucket), count);
            }
        }
        self.add_sum(histogram.sum_us.get());
    }

    /// Adds durations of one bucket, named by any duration in it.
    pub fn add_bucket(&mut self, us: u64, count: u64) {
        self.counts.saturating_record_n(us, count);
    }

    /// Adds to the sum of the durations.
    pub fn add_sum(&mut self, us: u64) {
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// What came between an earlier reading and this one; all of this one if the other is not an
    /// earlier one of the same histograms.
    #[must_use]
    pub fn since(&self, earlier: &Reading) -> Reading {
        let mut between = self.clone();
        if between.counts.subtract(&earlier.counts).is_err() {
            return self.clone();
        }
        between.sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        between
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// Sum of the durations.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The duration that this part of all is not longer than; `None` when there are none.
    pub fn quantile_us(&self, part: f64) -> Option<u64> {
        (self.count() > 0).then(|| self.counts.value_at_quantile(part))
    }

    /// Buckets that are not empty: the longest duration of each, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter_recorded().map(|it| {
            let longest = self.counts.highest_equivalent(it.value_iterated_to());
            (longest, it.count_since_last_iteration())
        })
    }

    /// How many are at most as long as each edge; edges ascend. A bucket that an edge cuts counts
    /// above it.
    pub fn up_to<const N: usize>(&self, edges: &[u64; N]) -> [u64; N] {
        let mut cumulated = [0; N];
        for (longest, count) in self.buckets() {
            let first = edges.partition_point(|&edge| edge < longest.min(DURATION_US_MAX));
            for place in cumulated.iter_mut().skip(first) {
                *place += count;
            }
        }
        cumulated
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(durations: &[u64]) -> Reading {
        let (histogram, mut reading) = (Histogram::default(), Reading::default());
        for &us in durations {
            histogram.record(us);
        }
        reading.add(&histogram);
        reading
    }

    #[test]
    fn buckets_are_without_gap_and_two_digits_exact() {
        let mut next = 0u64;
        for bucket in 0..BUCKETS - 1 {
            let longest = longest_of(bucket);
            assert_eq!(bucket_of(next), bucket);
            assert_eq!(bucket_of(longest), bucket);
            assert!((longest - next) * 100 <= next.max(1), "{next} to {longest}");
            next = longest + 1;
        }
        assert_eq!(bucket_of(next), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_reading_is_what_happened_since_the_last_one() {
        let histogram = Histogram::default();
        let read = || {
            let mut reading = Reading::default();
            reading.add(&histogram);
            reading
        };
        histogram.record(10);
        let first = read();
        histogram.record(1_000);
        histogram.record(3_000);
        let between = read().since(&first);
        assert_eq!((between.count(), between.sum_us()), (2, 4_000));
        assert_eq!(between.quantile_us(0.5), Some(1_003));
        assert_eq!(first.since(&first).quantile_us(0.5), None);
        // A weir that was started again counts from zero.
        assert_eq!(first.since(&read()).count(), 1);
    }

    #[test]
    fn an_edge_has_all_that_are_not_longer() {
        let check = |durations: &[u64], expect: [u64; 3]| {
            assert_eq!(reading(durations).up_to(&[10, 1_000, DURATION_US_MAX]), expect);
        };
        check(&[], [0, 0, 0]);
        check(&[0, 1, 10, 11], [3, 4, 4]);
        // 1000 shares its bucket with 1003, which is above the edge.
        check(&[999, 1_000, 1_004], [0, 1, 3]);
        check(&[u64::MAX], [0, 0, 1]);
    }

    proptest! {
        /// The same buckets, counts and quantiles as the reference implementation.
        #[test]
        fn it_is_an_hdr_histogram(
            durations in prop::collection::vec((0u32..40, any::<u64>()), 1..200),
        ) {
            let durations: Vec<u64> =
                durations.iter().map(|&(bits, any)| any & ((1 << bits) - 1)).collect();
            let mut reference = Hdr::<u64>::new_with_bounds(1, DURATION_US_MAX, 2).unwrap();
            for &us in &durations {
                reference.record(us.min(DURATION_US_MAX)).unwrap();
            }
            let reading = reading(&durations);
            prop_assert_eq!(&reading.counts, &reference);
            prop_assert_eq!(reading.count(), durations.len() as u64);
            let sum: u64 = durations.iter().map(|&us| us.min(DURATION_US_MAX)).sum();
            prop_assert_eq!(reading.sum_us(), sum);
            let mut copy = Reading::default();
            for (us, count) in reading.buckets() {
                copy.add_bucket(us, count);
            }
            prop_assert_eq!(&copy.counts, &reading.counts);
        }
    }
}
