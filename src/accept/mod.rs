//! Listeners, and how many clients are let in.
//!
//! In: an address, limits of the process. Out: listening sockets, the cap on sessions.
//! Never: a client that is dropped without being told why, unless descriptors are exhausted.

pub mod door;
pub mod socket;

/// Descriptors that are not sessions': journal, rings, admin clients, the console.
const DESCRIPTORS_RESERVED: u64 = 256;
/// A session holds a client's and a target's descriptor.
const DESCRIPTORS_PER_SESSION: u64 = 2;
/// Clients above the cap that are told so at the same time; further ones are closed at once.
pub const TURNED_AWAY_MAX: usize = 64;

/// Sessions one shard may have, so that none of them meets the end of the descriptors.
///
/// # Errors
/// What the kernel says to the question.
pub fn sessions_max(shards: usize) -> std::io::Result<usize> {
    Ok(sessions_for(socket::descriptors_max()?, shards))
}

fn sessions_for(descriptors: u64, shards: usize) -> usize {
    let shards = shards.max(1) as u64;
    let away = TURNED_AWAY_MAX as u64 * shards;
    let usable = descriptors.saturating_sub(DESCRIPTORS_RESERVED + away);
    let sessions = usable / DESCRIPTORS_PER_SESSION / shards;
    usize::try_from(sessions).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::config::settings::KeepAlive;

    #[test]
    fn the_cap_leaves_descriptors_for_everything_else() {
        let check = |descriptors, shards, expect| {
            assert_eq!(sessions_for(descriptors, shards), expect, "{descriptors} {shards}");
        };
        check(1024, 1, (1024 - 256 - 64) / 2);
        check(1024, 2, (1024 - 256 - 128) / 4);
        check(100, 4, 1);
        check(1_048_576, 0, (1_048_576 - 256 - 64) / 2);
    }

    #[test]
    fn two_listeners_share_an_address() -> std::io::Result<()> {
        let keepalive = KeepAlive { user_timeout_ms: Some(7_000), ..KeepAlive::DEFAULT };
        let first = socket::listen("127.0.0.1:0".parse().expect("an address"), &keepalive)?;
        let address = first.local_addr()?;
        let second = socket::listen(address, &keepalive)?;
        assert_eq!(second.local_addr()?, address);
        drop(first);
        let client = std::net::TcpStream::connect(address)?;
        let (accepted, peer) = second.accept()?;
        assert_eq!(peer, client.local_addr()?);
        assert!(accepted.nodelay()?, "accepted sockets inherit the listener's options");
        let option = |name| socket::option(accepted.as_fd(), libc::IPPROTO_TCP, name);
        assert_eq!(option(libc::TCP_KEEPIDLE)?, 60);
        assert_eq!(option(libc::TCP_KEEPINTVL)?, 15);
        assert_eq!(option(libc::TCP_KEEPCNT)?, 4);
        assert_eq!(option(libc::TCP_USER_TIMEOUT)?, 7_000);
        Ok(())
    }
}
