//! How much memory a large statement takes at its peak.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::raw::{self, Raw};
use crate::support::{Postgres, Spec, Weir};

const STATEMENT_BYTES: usize = 50_000_000;
const STATEMENT_KIB: u64 = STATEMENT_BYTES as u64 >> 10;
const SLACK_KIB: u64 = 16 << 10;

/// The most memory of its own, in KiB, that weir had at once while `work` ran.
fn peak_kib(weir: &Weir, work: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(weir.anonymous_kib());
                thread::sleep(Duration::from_micros(500));
            }
            most
        });
        work();
        done.store(true, Ordering::Relaxed);
        sampler.join().expect("the sampler")
    })
}

/// Sends one statement to a weir of its own and waits for its answer.
fn check(what: &str, sql: &str, in_parse: bool, times: u64) {
    let mut weir = Spec::new(&Postgres::shared().database()).start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("CREATE TABLE files (data text, password text)");
    raw.set_timeout(Duration::from_secs(120));
    let bytes = match in_parse {
        true => [raw::extended(sql, &[]), raw::sync()].concat(),
        false => raw::query(sql),
    };
    let peak = peak_kib(&weir, || {
        raw.send(&bytes);
        raw.read_ready(1);
    });
    eprintln!("{what}: {} MiB at its peak", peak >> 10);
    let most = times * STATEMENT_KIB + SLACK_KIB;
    assert!(peak <= most, "{what}: {peak} KiB at its peak, above {most}");
    let seen = weir.lake().rows("commands").len();
    assert!(seen >= 2, "{what}: {seen} commands are in the record");
}

/// `INSERT .. VALUES`, one row behind the other.
fn rows(columns: &str, row: &str) -> String {
    let mut sql = format!("INSERT INTO files ({columns}) VALUES {row}");
    while sql.len() < STATEMENT_BYTES {
        sql.push(',');
        sql.push_str(row);
    }
    sql
}

#[test]
fn a_large_literal_takes_its_size_and_in_parse_twice_that() {
    let sql = format!("INSERT INTO files VALUES ('{}')", "ab".repeat(STATEMENT_BYTES / 2));
    check("a literal", &sql, false, 1);
    check("a literal in Parse", &sql, true, 2);
}

#[test]
fn many_rows_take_little_more_than_a_literal() {
    check("rows", &rows("data", "('a word and another one')"), false, 1);
    check("names", &format!("SELECT {}a", "a,".repeat(STATEMENT_BYTES / 2)), false, 1);
    check("secrets", &rows("data, password", "('a word and another one', 'swordfish')"), false, 4);
}
