//! Who reads the record with the command line is in the record.
//!
//! In: the data directory that is read. Out: a call to the weir that runs there, or a line for the
//! next one. Never: a reading that is refused because nobody can write it down: whoever may read
//! the files may read them without this program, and is told when it is not recorded.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::output::note;
use super::remote::Remote;
use crate::admin::shape::{Reading, Recorded};
use crate::admin::{audit, clock};

/// Says that the command that runs reads the record of a data directory.
pub fn tell(data_dir: &Path) {
    let mut arguments = std::env::args().skip(1);
    let reading = Reading {
        command: arguments.next().unwrap_or_default(),
        arguments: arguments.collect(),
        login: login(),
        at: clock::to_text(clock::utc_us()),
    };
    let running = Remote::find(data_dir).and_then(|remote| remote.post("/v1/readings", &reading));
    let recorded = running.and_then(|answer| answer.read::<Recorded>());
    if recorded.is_ok_and(|it| it.recorded) || keep(data_dir, &reading).is_ok() {
        return;
    }
    note("this reading could not be recorded");
}

/// Keeps it for the next start of weir.
fn keep(data_dir: &Path, reading: &Reading) -> std::io::Result<()> {
    let line = serde_json::to_string(reading)?;
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(audit::pending_path(data_dir))?;
    // One write, so that lines of two programs do not mix.
    file.write_all(format!("{line}\n").as_bytes())
}

/// The name that the environment gives, which anybody may set, and the number that the kernel does.
fn login() -> String {
    let name = std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let number = std::fs::metadata("/proc/self").map(|it| it.uid().to_string());
    format!("{name} uid {}", number.as_deref().unwrap_or("?"))
}
