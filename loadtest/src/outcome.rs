//! What happened: latencies, counts, errors, per statement and per second.
//!
//! In: finished requests. Out: sums of threads. Never: a mean of percentiles.

use hdrhistogram::Histogram;

/// Latencies in microseconds, three digits, whatever they are.
pub fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

/// Records one latency, however long; `saturating_record` would cut it to what fits so far.
pub fn record(histogram: &mut Histogram<u64>, value_us: u64) {
    histogram.record(value_us).expect("auto-resizing histogram");
}

/// Requests of one statement over some time.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From the intended start to the end of the answer, microseconds.
    pub latency: Histogram<u64>,
    /// From the moment it was sent, microseconds.
    pub service: Histogram<u64>,
    /// Answered with an error.
    pub errors: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// DataRow and CopyData messages.
    pub rows: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { latency: histogram(), service: histogram(), errors: 0, bytes: 0, rows: 0 }
    }
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        // Both resize on their own, so adding cannot fail for want of range.
        self.latency.add(&other.latency).expect("auto-resizing histogram");
        self.service.add(&other.service).expect("auto-resizing histogram");
        self.errors += other.errors;
        self.bytes += other.bytes;
        self.rows += other.rows;
    }

    /// One finished request.
    pub fn finish(&mut self, request: &Finished) {
        if request.failed {
            self.errors += 1;
        } else {
            record(&mut self.latency, request.latency_ns / 1000);
            record(&mut self.service, request.service_ns / 1000);
        }
        self.bytes += request.bytes;
        self.rows += request.rows;
    }
}

/// A request whose answer ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    /// From the intended start.
    pub latency_ns: u64,
    /// From the moment it was sent.
    pub service_ns: u64,
    /// Bytes of the answer.
    pub bytes: u64,
    /// Rows of the answer.
    pub rows: u64,
    /// The server answered with an error.
    pub failed: bool,
}

/// All of a run, or of one thread of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `[statement]`.
    pub statements: Vec<Tally>,
    /// `[second][statement]`; short runs only hold what they had.
    pub seconds: Vec<Vec<Tally>>,
    /// Length of the measured window.
    pub window_s: f64,
    /// Scheduled inside the window, whether or not they were ever sent.
    pub offered: u64,
    /// Scheduled but never sent, or sent but never answered.
    pub unfinished: u64,
    /// Connections the server closed.
    pub lost: u64,
    /// The first error a server answered with.
    pub first_error: Option<String>,
}

impl Outcome {
    /// An empty outcome for this many statements.
    pub fn new(statements: usize) -> Outcome {
        Outcome { statements: vec![Tally::default(); statements], ..Outcome::default() }
    }

    /// A request that ended in this second of the window.
    pub fn finish(&mut self, statement: usize, second: usize, request: &Finished) {
        self.statements[statement].finish(request);
        while self.seconds.len() <= second {
            self.seconds.push(vec![Tally::default(); self.statements.len()]);
        }
        self.seconds[second][statement].finish(request);
    }

    /// Adds what another thread saw.
    pub fn add(&mut self, other: &Outcome) {
        let add = |to: &mut Vec<Tally>, from: &[Tally]| {
            to.resize_with(to.len().max(from.len()), Tally::default);
            to.iter_mut().zip(from).for_each(|(to, from)| to.add(from));
        };
        add(&mut self.statements, &other.statements);
        self.seconds.resize_with(self.seconds.len().max(other.seconds.len()), Vec::new);
        for (to, from) in self.seconds.iter_mut().zip(&other.seconds) {
            add(to, from);
        }
        self.window_s = self.window_s.max(other.window_s);
        self.offered += other.offered;
        self.unfinished += other.unfinished;
        self.lost += other.lost;
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
    }

    /// All statements together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.statements.iter().for_each(|tally| total.add(tally));
        total
    }

    /// Answered without an error, per second.
    pub fn rate(&self) -> f64 {
        self.total().latency.len() as f64 / self.window_s.max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let request = Finished { latency_ns: 5_000_000, service_ns: 1_000, ..Finished::default() };
        let mut one = Outcome::new(2);
        one.finish(0, 0, &request);
        one.window_s = 2.0;
        let mut two = Outcome::new(2);
        two.finish(1, 3, &request);
        two.finish(1, 3, &Finished { failed: true, ..request });
        one.add(&two);
        assert_eq!(one.seconds.len(), 4);
        assert_eq!(one.total().latency.len(), 2);
        assert_eq!(one.total().errors, 1);
        assert_eq!(one.rate(), 1.0);
        let p99 = one.total().latency.value_at_quantile(0.99);
        assert!((5_000..=5_005).contains(&p99), "{p99}");
    }
}
