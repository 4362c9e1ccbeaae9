//! Bulk answers, bulk data and logins through one arm.
//!
//! In: an arm, a time. Out: bytes or logins, and what they cost. Never: psql; it would be what is
//! measured.

use std::time::{Duration, Instant};

use weir_load::blocking::{Client, sink_buffer};
use weir_load::login::Caller;
use weir_load::wire;

use super::Result;
use super::proc::{Cost, Moment};
use super::rig::{Arm, Rig};
use super::workload::Bulk;

/// Reads the same answer again and again for at least `seconds`.
pub fn bulk(rig: &Rig, arm: &Arm, bulk: Bulk, seconds: f64) -> Result<(u64, Cost)> {
    let mut client = Client::connect(&rig.caller(arm)?)?;
    let mut buffer = sink_buffer();
    let start = Moment::read(arm.pid())?;
    let began = Instant::now();
    let mut bytes = 0;
    while began.elapsed().as_secs_f64() < seconds {
        let counts = client.query(bulk.text, &mut buffer)?;
        let expected = bulk.rows.unwrap_or(rig.bulk_rows);
        if counts.rows < expected {
            return Err(format!("{}: {} rows of {expected}", bulk.text, counts.rows));
        }
        bytes += counts.bytes;
    }
    let end = Moment::read(arm.pid())?;
    client.terminate();
    Ok((bytes, start.cost_until(&end)))
}

/// Of a row that is copied in, and how many are sent at once.
const ROW_BYTES: usize = 100;
const ROWS_AT_ONCE: usize = 600;
/// So many for each row of the table that is copied out, which is ten times as long.
const ROWS_PER_BULK_ROW: usize = 10;

/// Copies rows in, a CopyData message each, again and again for at least `seconds`. The server
/// reads all of them and keeps none.
pub fn copy_in(rig: &Rig, arm: &Arm, text: &str, seconds: f64) -> Result<(u64, Cost)> {
    let mut client = Client::connect(&rig.caller(arm)?)?;
    let mut buffer = sink_buffer();
    let mut row = vec![b'x'; ROW_BYTES];
    row[ROW_BYTES - 1] = b'\n';
    let mut data = vec![];
    for _ in 0..ROWS_AT_ONCE {
        wire::copy_data(&mut data, &row);
    }
    let times = rig.bulk_rows as usize * ROWS_PER_BULK_ROW / ROWS_AT_ONCE + 1;
    let start = Moment::read(arm.pid())?;
    let began = Instant::now();
    let mut bytes = 0;
    while began.elapsed().as_secs_f64() < seconds {
        client.copy_in(text, (&data, times), &mut buffer)?;
        bytes += (data.len() * times) as u64;
    }
    let end = Moment::read(arm.pid())?;
    client.terminate();
    Ok((bytes, start.cost_until(&end)))
}

/// Threads that log in at the same time.
const LOGIN_THREADS: usize = 4;

/// Logs in and leaves, again and again, on a few threads.
pub fn logins(rig: &Rig, arm: &Arm, seconds: f64) -> Result<(u64, Cost)> {
    let endpoint = rig.endpoint(arm);
    let start = Moment::read(arm.pid())?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let threads: Vec<_> = (0..LOGIN_THREADS)
        .map(|_| {
            let endpoint = endpoint.clone();
            std::thread::spawn(move || -> Result<u64> {
                let caller = Caller::new(&endpoint)?;
                let mut count = 0;
                while Instant::now() < until {
                    Client::connect(&caller)?.terminate();
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for thread in threads {
        count += thread.join().map_err(|_| "a login thread panicked".to_owned())??;
    }
    let end = Moment::read(arm.pid())?;
    Ok((count, start.cost_until(&end)))
}
