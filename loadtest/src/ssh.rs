//! Load for SSH servers by OpenSSH's own client: commands on one connection, connections, bulk.
//!
//! In: a place, a time. Out: latencies, bytes. Never: a client of this crate's own. Those that
//! there are bring an executor and their own cryptography, which would be measured with the server;
//! OpenSSH is what people use, and a `ControlMaster` puts many commands on one connection. Each
//! command still is a process of the client: compare places, not this with other generators.
//!
//! ```text
//! Master::open --> (ssh -S socket PLACE true)*     over one connection
//!                  (ssh PLACE true)*               a connection each
//!                  ssh PLACE 'head -c N /dev/zero', ssh PLACE 'cat >/dev/null'
//! ```

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::outcome::{histogram, record};

/// A connection that is not open by then is none.
const OPENING_MAX: Duration = Duration::from_secs(20);
/// Bytes that are read or written at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Where to, and how.
#[derive(Clone, Debug)]
pub struct Place {
    /// `user@host`, or `role@target@gateway`.
    pub target: String,
    /// Flags of `ssh` before the target.
    pub flags: Vec<String>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the server.
    Out,
    /// To the server.
    In,
}

/// Commands that ended.
#[derive(Clone, Debug)]
pub struct Commands {
    /// From the start of the client's process to its end, microseconds.
    pub latency: Histogram<u64>,
    /// How long all of it took.
    pub seconds: f64,
}

impl Place {
    fn ssh(&self, control: &str) -> Command {
        let mut command = Command::new("ssh");
        // No file of the user's may change what is measured.
        command.args(["-F", "none", "-o", "BatchMode=yes", "-S", control]).args(&self.flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// One connection for many commands.
pub struct Master<'p> {
    place: &'p Place,
    socket: PathBuf,
    child: Child,
}

impl<'p> Master<'p> {
    /// Logs in; its socket is in `folder`.
    ///
    /// # Errors
    /// A sentence: what `ssh` says.
    pub fn open(place: &'p Place, folder: &Path) -> Result<Master<'p>, String> {
        let socket = folder.join(format!("control-{}", std::process::id()));
        let mut command = place.ssh(&socket.to_string_lossy());
        let child = command.args(["-M", "-N"]).arg(&place.target).spawn();
        let child = child.map_err(|e| format!("ssh: {e}"))?;
        let mut master = Master { place, socket, child };
        let until = Instant::now() + OPENING_MAX;
        while !master.is_open() {
            let ended = !matches!(master.child.try_wait(), Ok(None));
            if ended || Instant::now() > until {
                // Its words end when it does.
                let _ = master.child.kill();
                return Err(format!("{}: {}", place.target, said(&mut master.child)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(master)
    }

    fn control(&self) -> String {
        self.socket.to_string_lossy().into_owned()
    }

    fn is_open(&self) -> bool {
        let mut command = self.place.ssh(&self.control());
        let checked = command.args(["-O", "check"]).arg(&self.place.target).output();
        checked.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Master<'_> {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Runs `true` again and again for so long, `parallel` at a time: over one connection, or with one
/// each.
///
/// # Errors
/// A sentence: one of them failed.
pub fn commands(
    place: &Place,
    master: Option<&Master<'_>>,
    (seconds, parallel): (f64, usize),
) -> Result<Commands, String> {
    let control = master.map_or_else(|| "none".to_owned(), Master::control);
    let start = Instant::now();
    let one = || -> Result<Histogram<u64>, String> {
        let mut latency = histogram();
        while start.elapsed().as_secs_f64() < seconds {
            let began = Instant::now();
            let output = place.ssh(&control).arg(&place.target).arg("true").output();
            let output = output.map_err(|e| format!("ssh: {e}"))?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(format!("{}: {}: {why}", place.target, output.status));
            }
            record(&mut latency, began.elapsed().as_micros() as u64);
        }
        Ok(latency)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..parallel.max(1)).map(|_| scope.spawn(one)).collect();
        let mut latency = histogram();
        for thread in running {
            let seen = thread.join().map_err(|_| "a thread panicked".to_owned())??;
            latency.add(&seen).map_err(|e| e.to_string())?;
        }
        Ok(Commands { latency, seconds: start.elapsed().as_secs_f64() })
    })
}

/// Passes so many bytes over one connection; the seconds it took, without the login.
///
/// # Errors
/// A sentence: what `ssh` says, or that bytes were lost.
pub fn bulk(place: &Place, master: &Master<'_>, way: Way, bytes: u64) -> Result<f64, String> {
    let mut command = place.ssh(&master.control());
    command.arg(&place.target);
    match way {
        Way::Out => command.arg(format!("head -c {bytes} /dev/zero")).stdout(Stdio::piped()),
        // The count says that all of it has arrived.
        Way::In => command.arg("wc -c").stdin(Stdio::piped()).stdout(Stdio::piped()),
    };
    let start = Instant::now();
    let mut child = command.spawn().map_err(|e| format!("ssh: {e}"))?;
    let mut piece = vec![0; PIECE_BYTES];
    if let Some(mut stdin) = child.stdin.take() {
        let mut left = bytes;
        while left > 0 {
            let take = left.min(PIECE_BYTES as u64) as usize;
            if stdin.write_all(&piece[..take]).is_err() {
                break;
            }
            left -= take as u64;
        }
    }
    let (mut count, mut text) = (0, String::new());
    if let Some(mut stdout) = child.stdout.take() {
        while let Ok(read @ 1..) = stdout.read(&mut piece) {
            count += read as u64;
            if way == Way::In {
                text += &String::from_utf8_lossy(&piece[..read]);
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let arrived = if way == Way::In { text.trim().parse().unwrap_or(0) } else { count };
    let why = said(&mut child);
    let ended = child.wait().map_err(|e| format!("ssh: {e}"))?;
    if arrived != bytes || !ended.success() {
        return Err(format!("{}: {arrived} of {bytes} bytes, {ended}: {why}", place.target));
    }
    Ok(seconds)
}

/// What the client wrote until it ended.
fn said(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = &mut child.stderr {
        // What cannot be read was not said.
        let _ = stderr.read_to_string(&mut text);
    }
    text.trim().to_owned()
}
