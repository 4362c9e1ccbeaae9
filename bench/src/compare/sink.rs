//! Bulk answers and logins through one arm.
//!
//! In: an arm, a time. Out: bytes or logins, and what they cost. Never: psql; it would be what is
//! measured.

use std::rc::Rc;
use std::time::{Duration, Instant};

use weir_load::blocking::{Client, sink_buffer};
use weir_load::login::Salted;

use super::Result;
use super::proc::{Cost, Moment};
use super::rig::{Arm, Rig};
use super::workload::Bulk;

/// Reads the same answer again and again for at least `seconds`.
pub fn bulk(rig: &Rig, arm: &Arm, bulk: Bulk, seconds: f64) -> Result<(u64, Cost)> {
    let mut client = Client::connect(&Rc::new(rig.endpoint(arm)), &Salted::default())?;
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
                let (endpoint, salted) = (Rc::new(endpoint), Salted::default());
                let mut count = 0;
                while Instant::now() < until {
                    Client::connect(&endpoint, &salted)?.terminate();
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
