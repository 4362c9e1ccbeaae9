//! Sockets as weir wants them: the few system calls the standard library does not offer.
//!
//! In: addresses. Out: configured sockets. Never: an inherited descriptor (all are CLOEXEC).
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::config::settings::KeepAlive;

/// Connections the kernel completes before we accept them.
const BACKLOG: i32 = 4096;

/// A listener that shares its address with those of the other shards; the kernel spreads clients.
/// Accepted sockets inherit its options.
///
/// # Errors
/// What the kernel says: address in use, not ours, or a privileged port.
pub fn listen(address: SocketAddr, keepalive: &KeepAlive) -> io::Result<TcpListener> {
    let socket = stream(address, keepalive)?;
    let fd = socket.as_raw_fd();
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    let (storage, length) = raw_address(address);
    // SAFETY: the pointer and length describe `storage`, which lives through the call.
    check(unsafe { libc::bind(fd, (&raw const storage).cast(), length) })?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::listen(fd, BACKLOG) })?;
    Ok(TcpListener::from(socket))
}

/// A socket for `address`, not connected yet.
///
/// # Errors
/// What the kernel says, usually that no descriptor is left.
pub fn stream(address: SocketAddr, keepalive: &KeepAlive) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    keep_alive(socket.as_fd(), keepalive)?;
    Ok(socket)
}

/// Asks a silent peer for a sign of life, and gives it up when there is none.
///
/// # Errors
/// What the kernel says.
pub fn keep_alive(socket: BorrowedFd<'_>, keepalive: &KeepAlive) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, number(keepalive.idle_s))?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, number(keepalive.interval_s))?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, number(keepalive.count))?;
    match keepalive.user_timeout_ms {
        Some(ms) => set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, number(ms)),
        None => Ok(()),
    }
}

/// An eventfd: a counter that can be waited for.
///
/// # Errors
/// What the kernel says, usually that no descriptor is left.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Open descriptors this process may have; the soft limit is raised to the hard one.
///
/// # Errors
/// What the kernel says.
pub fn descriptors_max() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the calls.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))?;
        if limit.rlim_cur < limit.rlim_max {
            let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                limit = raised;
            }
        }
    }
    Ok(limit.rlim_cur)
}

/// The cores this process may run on, in order.
///
/// # Errors
/// What the kernel says.
pub fn cores() -> io::Result<Vec<usize>> {
    // SAFETY: all zeroes is an empty set; the kernel fills it within its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set))?;
        set
    };
    // SAFETY: every index is below the size of the set.
    let has = |core: &usize| unsafe { libc::CPU_ISSET(*core, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(has).collect())
}

fn set(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer and size describe `value`, which lives through the call.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) })?;
    Ok(())
}

/// The value of a socket's option.
///
/// # Errors
/// What the kernel says.
#[cfg(test)]
pub fn option(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let (mut value, mut size) = (0, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the pointers describe `value` and `size`, which live through the call.
    check(unsafe {
        let place = (&raw mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, place, &raw mut size)
    })?;
    Ok(value)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// An address as the kernel wants it.
pub fn raw_address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all zeroes is a valid value of this plain C structure.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is larger than and aligned for every address type.
            unsafe { std::ptr::write((&raw mut storage).cast(), raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { std::ptr::write((&raw mut storage).cast(), raw) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

/// `socket` counts as readable once so many bytes have arrived, or the end of the stream.
///
/// # Errors
/// What setsockopt(2) says.
pub fn report_from(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).map_err(io::Error::other)?;
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

/// Whether a connection stands and its peer has said nothing that was not read.
pub fn is_quiet(socket: &TcpStream) -> bool {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the pointer and length describe `byte`, which lives through the call.
    let count = unsafe { libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
    count < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

/// Takes what has arrived at `socket`, without waiting: `WouldBlock` if nothing has, zero at the
/// end of the stream.
///
/// # Errors
/// What recv(2) says.
pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`.
    let count = unsafe {
        libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// As `send`, of several pieces in a row.
///
/// # Errors
/// As `send`.
pub fn send_pieces(socket: BorrowedFd<'_>, pieces: &[&[u8]; 3]) -> io::Result<usize> {
    let mut slices = pieces.map(IoSlice::new);
    // SAFETY: all zeroes is a message without an address, data or control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // An `IoSlice` is laid out as an iovec.
    message.msg_iov = slices.as_mut_ptr().cast();
    message.msg_iovlen = slices.len();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads the message and the pieces that it names, all of them borrowed.
    let count = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Gives `socket` as many of `bytes` as it takes without waiting: `WouldBlock` if it is full.
///
/// # Errors
/// What send(2) says; a broken connection raises no signal.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads at most `bytes.len()` bytes of `bytes`.
    let count =
        unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
