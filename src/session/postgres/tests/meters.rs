//! What a session tells the meters of its target.

use super::*;
use crate::decide::approval::ADMIN_TOKEN;
use crate::metrics::{Counted, SAMPLE_EVERY, Series, TargetReading, Timed};
use crate::session::Vote;

const ALLOWED: Series = (Timed::Decide, Some(Counted::Allow));
const DENIED: Series = (Timed::Decide, Some(Counted::Deny));
const HELD: Series = (Timed::Decide, Some(Counted::Hold));

impl Bench {
    fn count(&self, series: Series) -> u64 {
        let mut reading = crate::metrics::Reading::default();
        reading.add(self.meter().histogram(series).unwrap());
        reading.count()
    }

    fn meter(&self) -> &crate::metrics::TargetMeter {
        self.meters.get(0).expect("somebody has logged in")
    }

    fn commands(&self) -> [u64; 3] {
        [0, 1, 2].map(|index| self.meter().commands[index].get())
    }

    fn answer(&mut self, tag: &str) {
        self.server(&[complete(tag), ready_for_query(b'I')].concat());
    }
}

#[test]
fn a_connection_counts_from_its_login_to_its_end() {
    let mut bench = Bench::accepted();
    assert!(bench.meters.get(0).is_none());
    bench = Bench::ready();
    assert_eq!(bench.meter().connections.get(), 1);
    bench.with(|m, s| m.handle_kill(s));
    assert_eq!(bench.meter().connections.get(), 0);
}

#[test]
fn commands_are_counted_once_by_what_the_rules_said() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1"));
    bench.answer("SELECT 1");
    bench.client(&[parse("", "SELECT 2"), bind("", ""), execute(""), sync()].concat());
    assert_eq!(bench.commands(), [2, 0, 0]);
    bench.client(&query("DROP TABLE t"));
    assert_eq!(bench.commands(), [2, 1, 0]);
    for (approve, expect) in [(true, [2, 1, 1]), (false, [2, 1, 2])] {
        bench.outputs.clear();
        bench.client(&query("DELETE FROM t"));
        assert_eq!(bench.meter().held.get(), 1);
        let [Output::AskOpened(ask)] = bench.outputs.as_slice() else { panic!("it is held") };
        let (id, groups) = (ask.id, vec!["dba".to_owned()]);
        let (approver, reason) = ("ann".into(), "seen".to_owned());
        let vote =
            Vote { approver, groups, approve, reason, auth: ADMIN_TOKEN.into(), ..Vote::default() };
        bench.with(|m, s| drop(m.handle_vote(id, &vote, s)));
        assert_eq!(bench.meter().held.get(), 0);
        assert_eq!(bench.commands(), expect, "approved: {approve}");
    }
}

#[test]
fn the_target_is_measured_from_admission_to_the_end_of_the_answer() {
    let mut bench = Bench::ready();
    bench.client(&query("SELECT 1"));
    bench.now.mono_us += 1_500;
    bench.answer("SELECT 1");
    bench.client(&query("DROP TABLE t"));
    bench.server(&[server_error("42P01"), ready_for_query(b'I')].concat());
    let reading = TargetReading::of(
        0,
        "orders",
        &[Arc::new(std::mem::replace(&mut bench.meters, Meters::new(nanoseconds)))],
    );
    let of = |series| {
        let at = crate::metrics::SERIES.iter().position(|known| *known == series).unwrap();
        &reading.durations[at]
    };
    let allowed = of((Timed::Target, Some(Counted::Allow)));
    assert_eq!((allowed.count(), allowed.sum_us()), (1, 1_500));
    assert_eq!(of((Timed::Target, Some(Counted::Hold))).count(), 0);
    assert!(reading.bytes_in > 0 && reading.bytes_out > 0);
}

#[test]
fn one_decision_in_so_many_is_measured_with_its_verdict() {
    let mut bench = Bench::ready();
    for _ in 0..SAMPLE_EVERY * 4 {
        bench.client(&query("SELECT 1"));
        bench.answer("SELECT 1");
    }
    assert_eq!((bench.count(ALLOWED), bench.count(DENIED), bench.count(HELD)), (4, 0, 0));
    for _ in 0..SAMPLE_EVERY * 2 {
        bench.client(&query("DROP TABLE t"));
        bench.server(&[server_error("42P01"), ready_for_query(b'I')].concat());
    }
    assert_eq!((bench.count(ALLOWED), bench.count(DENIED), bench.count(HELD)), (4, 2, 0));
    for _ in 0..SAMPLE_EVERY * 2 {
        bench.client(&query("DELETE FROM t"));
        bench.with(|m, s| m.handle_cancel(s));
        bench.server(&[server_error("42P01"), ready_for_query(b'I')].concat());
    }
    assert!(bench.count(HELD) >= 1, "a held command is never measured");
}
