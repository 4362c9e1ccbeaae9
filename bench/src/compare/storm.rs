//! Many connections that come and go: errors, cost of each, and whether the proxy forgets them.
//!
//! In: an arm, a number. Out: what the visits cost, what failed, resident memory around them.
//! Never: a retry; a connection that was turned away is a result. A proxy that has grown before;
//! memory it keeps for later would hide a leak.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_load::blocking::{Client, sink_buffer};
use weir_load::endpoint::Endpoint;
use weir_load::login::Caller;

use super::Result;
use super::proc::{Cost, Moment, resident_kib};
use super::rig::Rig;

/// Connections at a time.
const THREADS: u64 = 64;
/// Visits before the window, of each thread: whatever the proxy allocates once is there then.
const FIRST: u64 = 2;

/// What became of the visits.
pub struct Storm {
    pub visits: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub cost: Cost,
    /// Resident memory of the proxy; `None` for the direct arm.
    pub kib_before: Option<f64>,
    pub kib_after: Option<f64>,
}

/// Restarts the arm; then `visits` connections log in, run one query and leave, 64 at a time.
pub fn run(rig: &mut Rig, arm: usize, visits: u64) -> Result<Storm> {
    if rig.arms[arm].pid().is_some() {
        rig.restart(arm)?;
    }
    let arm = &rig.arms[arm];
    let endpoint = rig.endpoint(arm);
    let resident = || {
        // Sessions that just left are still being forgotten.
        std::thread::sleep(Duration::from_secs(1));
        arm.pid().map(|pid| resident_kib(pid) as f64)
    };
    let (errors, why) = visit(&endpoint, FIRST * THREADS)?;
    if errors > 0 {
        return Err(format!("{errors} connections failed before the storm: {why:?}"));
    }
    let kib_before = resident();
    let start = Moment::read(arm.pid())?;
    let (errors, first_error) = visit(&endpoint, visits)?;
    let end = Moment::read(arm.pid())?;
    let kib_after = resident();
    let cost = start.cost_until(&end);
    Ok(Storm { visits, errors, first_error, cost, kib_before, kib_after })
}

/// How many failed, and why the first one did.
fn visit(endpoint: &Endpoint, visits: u64) -> Result<(u64, Option<String>)> {
    let left = AtomicU64::new(visits);
    let take = |left: u64| left.checked_sub(1);
    let visitor = || -> Result<(u64, Option<String>)> {
        let (caller, mut buffer) = (Caller::new(endpoint)?, sink_buffer());
        let (mut errors, mut first_error) = (0, None);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            let visited = Client::connect(&caller).and_then(|mut client| {
                client.query("SELECT 1", &mut buffer)?;
                client.terminate();
                Ok(())
            });
            if let Err(why) = visited {
                errors += 1;
                first_error.get_or_insert(why);
            }
        }
        Ok((errors, first_error))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS).map(|_| scope.spawn(visitor)).collect();
        let mut sum = (0, None);
        for thread in running {
            let (errors, why) = thread.join().map_err(|_| "a visitor panicked".to_owned())??;
            sum = (sum.0 + errors, sum.1.or(why));
        }
        Ok(sum)
    })
}
