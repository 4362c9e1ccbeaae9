//! Memory of an idle connection, in a proxy that was just started.
//!
//! In: an arm. Out: KiB of resident memory per connection. Never: a proxy that has grown before;
//! memory it keeps for later would hide the growth.

use std::time::Duration;

use weir_load::blocking::{Client, sink_buffer};

use super::Result;
use super::proc::{Cost, Moment, resident_kib};
use super::rig::Rig;

/// Connections that make the proxy allocate what it allocates once.
const FIRST: usize = 8;

/// Restarts the arm, opens `count` connections that each ran one query. `None` for the direct arm.
pub fn memory(rig: &mut Rig, arm: usize, count: usize) -> Result<Option<(f64, Cost)>> {
    if rig.arms[arm].pid().is_none() {
        return Ok(None);
    }
    rig.restart(arm)?;
    let arm = &rig.arms[arm];
    let caller = rig.caller(arm)?;
    let mut buffer = sink_buffer();
    let mut open = |count: usize| -> Result<Vec<Client>> {
        let one = |_| {
            let mut client = Client::connect(&caller)?;
            client.query("SELECT 1", &mut buffer)?;
            Ok(client)
        };
        (0..count).map(one).collect()
    };
    let first = open(FIRST)?;
    settle();
    let start = Moment::read(arm.pid())?;
    let resident = |arm: &super::rig::Arm| arm.pid().map_or(0, resident_kib) as f64;
    let before = resident(arm);
    let many = open(count)?;
    settle();
    let after = resident(arm);
    let end = Moment::read(arm.pid())?;
    first.into_iter().chain(many).for_each(Client::terminate);
    // PostgreSQL ends a thousand backends; the next measurement should not pay for it.
    std::thread::sleep(Duration::from_secs(3));
    Ok(Some(((after - before) / count as f64, start.cost_until(&end))))
}

fn settle() {
    std::thread::sleep(Duration::from_millis(500));
}
