//! What the disk takes for one small write that must last: the least that `sync` can add.
//!
//! In: a folder. Out: the median latency of a 4 KiB write with its fdatasync, one right after the
//! other and with pauses as between commands: a disk and a core that rest have to wake.
//! Never: a growing file; weir's journal is filled with zeros beforehand too, so a sync has no
//! metadata to write.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Result;

const BLOCK_BYTES: usize = 4096;
const BLOCKS: u64 = 1024;
/// Enough for a median, little beside the measurement it stands next to.
const TIME_MAX: Duration = Duration::from_millis(500);
const WRITES_MIN: usize = 11;
/// About what a client that is alone lets pass between two flushes.
pub const PAUSE: Duration = Duration::from_micros(300);

/// Writes one block after the other, each with an fdatasync and after a pause. Median microseconds.
/// Without a pause it is what `fio --rw=write --bs=4k --fdatasync=1 --overwrite=1` does.
pub fn fdatasync_us(folder: &Path, pause: Duration) -> Result<f64> {
    let path = folder.join("fdatasync");
    let measured = measure(&path, pause).map_err(|e| format!("{}: {e}", path.display()));
    // The folder goes away with the rig.
    let _ = std::fs::remove_file(&path);
    measured
}

fn measure(path: &Path, pause: Duration) -> std::io::Result<f64> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let mut block = [0; BLOCK_BYTES];
    for index in 0..BLOCKS {
        file.write_all_at(&block, index * BLOCK_BYTES as u64)?;
    }
    file.sync_all()?;
    let began = Instant::now();
    let mut latencies_us = vec![];
    while began.elapsed() < TIME_MAX || latencies_us.len() < WRITES_MIN {
        let index = latencies_us.len() as u64;
        block.fill(index as u8 | 1);
        std::thread::sleep(pause);
        let start = Instant::now();
        file.write_all_at(&block, index % BLOCKS * BLOCK_BYTES as u64)?;
        file.sync_data()?;
        latencies_us.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    latencies_us.sort_by(f64::total_cmp);
    Ok(latencies_us[latencies_us.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_lasts_takes_time_and_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("weir-bench-disk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(fdatasync_us(&folder, Duration::ZERO).unwrap() > 0.0);
        std::fs::remove_dir(&folder).unwrap();
        assert!(fdatasync_us(&folder, PAUSE).is_err());
    }
}
