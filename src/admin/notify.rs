//! What weir tells the service manager that started it (sd_notify(3)).
//!
//! In: the steps of its life. Out: datagrams to `NOTIFY_SOCKET`, where there is one.
//! Never: a wait; a failure that anybody but the service manager would notice.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells the manager; without one, nothing.
pub fn tell(state: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET") {
        // The manager gives up on weir by itself when it hears nothing.
        let _unheard = send(name.as_bytes(), state);
    }
}

/// How often the manager wants to hear that weir lives; half of what it waits.
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    interval(number("WATCHDOG_USEC")?)
}

fn interval(usec: u64) -> Option<Duration> {
    (usec > 1).then(|| Duration::from_micros(usec / 2))
}

/// The message that a reload begins, with the time it needs.
pub fn reloading(mono_us: u64) -> String {
    format!("RELOADING=1\nMONOTONIC_USEC={mono_us}")
}

/// Microseconds of the clock that the manager compares with (CLOCK_MONOTONIC), from `/proc/uptime`
/// to a hundredth of a second: it wants to know which of two messages came first.
pub fn uptime_us() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|it| it.parse::<f64>().ok());
    seconds.map_or(0, |seconds| (seconds * 1e6) as u64)
}

/// A path, or a name in the abstract namespace that begins with `@`.
fn send(name: &[u8], state: &str) -> std::io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Folder;

    #[test]
    fn the_manager_hears_by_path_and_by_name() {
        let folder = Folder::new();
        let path = folder.0.join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("weir-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in
            [(by_path, path.as_os_str().as_bytes().to_vec()), (by_name, format!("@{name}").into())]
        {
            send(&name, "READY=1").unwrap();
            let mut heard = [0; 16];
            let count = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"READY=1");
        }
        assert!(send(b"/nowhere/at/all", "READY=1").is_err());
    }

    #[test]
    fn half_of_the_watchdog_and_never_none() {
        assert_eq!(interval(10_000_000), Some(Duration::from_secs(5)));
        assert_eq!(interval(1), None);
    }
}
