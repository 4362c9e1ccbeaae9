//! The private io_uring of a shard, typed: operations in, completions out.
//!
//! In: sockets, buffers to send, tokens that name who waits. Out: `Completion`s.
//! Never: a buffer the kernel may still touch in anybody else's hands, a decision.
//!
//! A token and the kind of operation travel in `user_data`, so a completion is dispatched without
//! a look-up:
//!
//! ```text
//!   63      56 55              32 31                      0
//!   |  kind   |   generation     |          slot           |
//! ```
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use glommio::io::BufferedFile;

use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffer::{Buffers, Lease, Size};
use crate::accept::socket;
use crate::wire::Side;

/// Submission queue: one turn rarely needs more; a full queue is submitted early.
const SUBMISSIONS: u32 = 1024;
/// Completion queue; beyond it the kernel keeps completions aside (FEAT_NODROP).
const COMPLETIONS: u32 = 8192;
/// `IORING_ENTER_GETEVENTS`: also do the work that was deferred to this call.
const GET_EVENTS: u32 = 1;
/// `IORING_RECVSEND_POLL_FIRST`: do not try to receive before the socket says it has bytes.
const POLL_FIRST: u16 = 1;

/// Who waits for an operation. A completion whose generation is not the slot's is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// Index in the shard's slab.
    pub slot: u32,
    /// Uses of that index so far, 24 bits.
    pub generation: u32,
}

impl Token {
    /// For operations of the shard itself.
    pub const SHARD: Token = Token { slot: 0, generation: 0 };
    /// Bits of `generation` that travel with an operation.
    pub const GENERATION_MASK: u32 = 0x00ff_ffff;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    ReceiveClient = 1,
    ReceiveServer,
    SendClient,
    SendServer,
    Connect,
    Accept,
    Wake,
    Sync,
    Cancel,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::ReceiveClient,
        Kind::ReceiveServer,
        Kind::SendClient,
        Kind::SendServer,
        Kind::Connect,
        Kind::Accept,
        Kind::Wake,
        Kind::Sync,
        Kind::Cancel,
    ];

    const fn user_data(self, token: Token) -> u64 {
        let generation = (token.generation & Token::GENERATION_MASK) as u64;
        (self as u64) << 56 | generation << 32 | token.slot as u64
    }

    const fn receive(side: Side) -> Kind {
        match side {
            Side::Client => Kind::ReceiveClient,
            Side::Server => Kind::ReceiveServer,
        }
    }

    const fn send(side: Side) -> Kind {
        match side {
            Side::Client => Kind::SendClient,
            Side::Server => Kind::SendServer,
        }
    }
}

/// An operation has ended.
#[derive(Debug)]
pub struct Completion {
    /// Who waited.
    pub token: Token,
    /// What happened.
    pub done: Done,
}

/// What became of an operation.
#[derive(Debug)]
pub enum Done {
    /// Bytes arrived, none at the end of the stream.
    Received(Side, io::Result<Option<Lease>>),
    /// A buffer was sent; it comes back for reuse.
    Sent(Side, io::Result<usize>, Vec<u8>),
    /// A connection is made or not.
    Connected(io::Result<()>),
    /// A client connected; `armed` tells whether more will follow without a new `accept`.
    Accepted {
        /// The connection.
        socket: io::Result<OwnedFd>,
        /// Whether the operation goes on.
        armed: bool,
    },
    /// The mailbox's eventfd was written.
    Woken(io::Result<()>),
    /// The disk has what was written before.
    Synced(io::Result<()>),
    /// A cancellation ended; the canceled operation completes on its own.
    Canceled,
}

/// The ring and everything the kernel may touch through it.
pub struct Ring {
    io: IoUring,
    /// Receive buffers.
    pub buffers: Buffers,
    /// Buffers being sent, two per slot.
    flights: Vec<Option<Vec<u8>>>,
    /// Addresses of CONNECTs that are queued but not submitted yet.
    #[expect(clippy::vec_box, reason = "the kernel gets their addresses")]
    addresses: Vec<Box<SocketAddress>>,
    wake_count: Box<u64>,
    /// Operations the kernel has not completed.
    outstanding: usize,
    /// Sends queued since the last `collect`. Nearly all of them complete while they are
    /// submitted, and that alone is no reason to wake up.
    sends: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("outstanding", &self.outstanding).finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring for the calling thread, which alone may use it.
    ///
    /// # Errors
    /// What the kernel says; `check` explains it.
    pub fn new() -> io::Result<Ring> {
        let io = build(SUBMISSIONS, COMPLETIONS)?;
        // Saves a look-up per system call; kernels before 5.18 do without.
        let _registered = io.submitter().register_ring_fd();
        let buffers = Buffers::register(&io)?;
        Ok(Ring {
            io,
            buffers,
            flights: Vec::new(),
            addresses: Vec::new(),
            wake_count: Box::new(0),
            outstanding: 0,
            sends: 0,
        })
    }

    /// Writes `eventfd` for completions while `listen` is on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn register_eventfd(&mut self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.io.submitter().register_eventfd(eventfd.as_raw_fd())?;
        self.listen(false);
        Ok(())
    }

    /// Whether completions write the eventfd. Off while the shard runs, so that load costs nothing.
    pub fn listen(&mut self, on: bool) {
        let queue = self.io.completion();
        if on { queue.enable_eventfd() } else { queue.disable_eventfd() }
    }

    /// Waits for bytes of `socket`. With `poll_first` the kernel does not look for bytes before
    /// the socket reports some: cheaper when the last receive emptied it.
    pub fn receive(&mut self, token: Token, side: Side, socket: BorrowedFd<'_>, how: (Size, bool)) {
        let (size, poll_first) = how;
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), std::ptr::null_mut(), 0)
            .buf_group(size.group())
            .ioprio(if poll_first { POLL_FIRST } else { 0 })
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        // SAFETY: the kernel writes into a buffer of `self.buffers`, which outlives the ring.
        unsafe { self.push(Kind::receive(side), token, entry) };
    }

    /// Sends all of `bytes`; they come back with the completion. One at a time per side.
    pub fn send(&mut self, token: Token, side: Side, socket: BorrowedFd<'_>, bytes: Vec<u8>) {
        let flight = flight_index(token, side);
        if self.flights.len() <= flight {
            self.flights.resize_with(flight + 1, || None);
        }
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), bytes.len() as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        let free = self.flights.get_mut(flight).expect("resized above");
        assert!(free.is_none(), "two sends on one side of a session");
        *free = Some(bytes);
        self.sends += 1;
        // SAFETY: the bytes stay in `flights`, unmoved on the heap, until the completion.
        unsafe { self.push(Kind::send(side), token, entry) };
    }

    /// Connects `socket`.
    pub fn connect(&mut self, token: Token, socket: BorrowedFd<'_>, address: SocketAddr) {
        let address = Box::new(SocketAddress::new(address));
        let (pointer, length) = address.as_raw();
        let entry = opcode::Connect::new(Fd(socket.as_raw_fd()), pointer, length).build();
        self.addresses.push(address);
        // SAFETY: the kernel copies the address when the entry is submitted
        // (FEAT_SUBMIT_STABLE); until then it is in `addresses`.
        unsafe { self.push(Kind::Connect, token, entry) };
    }

    /// Asks the kernel to give up a CONNECT, which then completes with an error.
    pub fn cancel_connect(&mut self, token: Token) {
        let entry = opcode::AsyncCancel::new(Kind::Connect.user_data(token)).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Cancel, token, entry) };
    }

    /// Accepts connections until told otherwise.
    pub fn accept(&mut self, listener: BorrowedFd<'_>) {
        let entry =
            opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Accept, Token::SHARD, entry) };
    }

    /// Stops `accept`.
    pub fn cancel_accept(&mut self) {
        let entry = opcode::AsyncCancel::new(Kind::Accept.user_data(Token::SHARD)).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Cancel, Token::SHARD, entry) };
    }

    /// Waits for a write to an eventfd.
    pub fn wake(&mut self, eventfd: BorrowedFd<'_>) {
        let pointer: *mut u64 = &mut *self.wake_count;
        let entry = opcode::Read::new(Fd(eventfd.as_raw_fd()), pointer.cast(), 8).build();
        // SAFETY: `wake_count` is on the heap for as long as the ring; nobody reads it.
        unsafe { self.push(Kind::Wake, Token::SHARD, entry) };
    }

    /// Stops `wake`.
    pub fn cancel_wake(&mut self) {
        let entry = opcode::AsyncCancel::new(Kind::Wake.user_data(Token::SHARD)).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Cancel, Token::SHARD, entry) };
    }

    /// Brings written data of `file` to the disk.
    pub fn sync(&mut self, file: RawFd) {
        let entry = opcode::Fsync::new(Fd(file)).flags(FsyncFlags::DATASYNC).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Sync, Token::SHARD, entry) };
    }

    /// Operations the kernel has not completed.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether something is queued that the kernel does not know yet.
    pub fn has_submissions(&mut self) -> bool {
        !self.io.submission().is_empty()
    }

    /// Whether something completed besides the sends of this turn, or would if the kernel were
    /// entered. Costs no system call.
    pub fn has_news(&mut self) -> bool {
        let sends = self.sends;
        let (_, submission, completion) = self.io.split();
        submission.taskrun() || submission.cq_overflow() || completion.len() > sends
    }

    /// Whether there is anything to collect.
    pub fn has_completions(&mut self) -> bool {
        self.has_work() || !self.io.completion().is_empty()
    }

    /// Whether sends of this turn may still have to be collected.
    pub fn has_sends(&self) -> bool {
        self.sends > 0
    }

    /// Whether the kernel has work that only `enter` does.
    fn has_work(&mut self) -> bool {
        let submission = self.io.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Submits what is queued, lets the kernel finish what it can, and waits up to `wait_us` for a
    /// completion besides the sends of this turn; zero does not wait.
    ///
    /// # Errors
    /// Only what cannot be repaired; interruptions and time-outs are not errors.
    pub fn enter(&mut self, wait_us: u64) -> io::Result<()> {
        let timeout =
            Timespec::new().sec(wait_us / 1_000_000).nsec((wait_us % 1_000_000) as u32 * 1000);
        let result = if wait_us == 0 {
            let queued = self.io.submission().len() as u32;
            if queued == 0 && !self.has_work() {
                return Ok(());
            }
            // SAFETY: no argument is passed; the entries' memory is the concern of `push`.
            unsafe { self.io.submitter().enter::<()>(queued, 0, GET_EVENTS, None) }
        } else {
            let wanted = self.sends + 1;
            let timeout = SubmitArgs::new().timespec(&timeout);
            self.io.submitter().submit_with_args(wanted, &timeout)
        };
        match result {
            Ok(_) => {}
            Err(e) => match e.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => {}
                _ => return Err(e),
            },
        }
        if self.io.submission().is_empty() {
            self.addresses.clear();
        }
        Ok(())
    }

    /// Moves completions into `out`.
    pub fn collect(&mut self, out: &mut Vec<Completion>) {
        self.sends = 0;
        let Ring { io, buffers, flights, outstanding, .. } = self;
        for entry in io.completion() {
            if !cqueue::more(entry.flags()) {
                *outstanding -= 1;
            }
            if let Some(completion) = typed(&entry, buffers, flights) {
                out.push(completion);
            }
        }
    }

    /// Queues an entry; a full queue is submitted first.
    ///
    /// # Safety
    /// The memory that `entry` names must stay valid until its completion.
    unsafe fn push(&mut self, kind: Kind, token: Token, entry: squeue::Entry) {
        let entry = entry.user_data(kind.user_data(token));
        self.outstanding += 1;
        // SAFETY: the caller's promise.
        while unsafe { self.io.submission().push(&entry) }.is_err() {
            if let Err(e) = self.io.submit() {
                let transient =
                    matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY));
                assert!(transient, "io_uring_enter: {e}");
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.outstanding > 0 {
            // The kernel ends operations of a closed ring in its own time: what they may touch
            // must stay.
            std::mem::forget(std::mem::take(&mut self.flights));
            std::mem::forget(std::mem::take(&mut self.wake_count));
            self.buffers.leak();
        }
    }
}

/// The ring with the best flags this kernel has.
fn build(submissions: u32, completions: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_cqsize(completions)
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .dontfork()
        .build(submissions)
}

/// A small ring without buffers, to see whether the kernel allows one.
pub(super) fn probe() -> io::Result<IoUring> {
    build(8, 16)
}

fn flight_index(token: Token, side: Side) -> usize {
    token.slot as usize * 2 + usize::from(side == Side::Server)
}

fn outcome(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn typed(
    entry: &cqueue::Entry,
    buffers: &mut Buffers,
    flights: &mut [Option<Vec<u8>>],
) -> Option<Completion> {
    let user_data = entry.user_data();
    let kind = *Kind::ALL.get(((user_data >> 56) as usize).wrapping_sub(1))?;
    let token = Token {
        slot: user_data as u32,
        generation: (user_data >> 32) as u32 & Token::GENERATION_MASK,
    };
    let result = outcome(entry.result());
    let done = match kind {
        Kind::ReceiveClient => received(Side::Client, entry, result, buffers),
        Kind::ReceiveServer => received(Side::Server, entry, result, buffers),
        Kind::SendClient => sent(Side::Client, token, result, flights),
        Kind::SendServer => sent(Side::Server, token, result, flights),
        Kind::Connect => Done::Connected(result.map(drop)),
        Kind::Accept => Done::Accepted {
            // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
            socket: result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) }),
            armed: cqueue::more(entry.flags()),
        },
        Kind::Wake => Done::Woken(result.map(drop)),
        Kind::Sync => Done::Synced(result.map(drop)),
        Kind::Cancel => Done::Canceled,
    };
    Some(Completion { token, done })
}

fn received(
    side: Side,
    entry: &cqueue::Entry,
    result: io::Result<usize>,
    buffers: &mut Buffers,
) -> Done {
    let lease = cqueue::buffer_select(entry.flags()).map(|id| {
        let filled = result.as_ref().map_or(0, |&count| count);
        buffers.lease(id, filled, cqueue::sock_nonempty(entry.flags()))
    });
    Done::Received(
        side,
        match result {
            Ok(0) => {
                if let Some(lease) = lease {
                    buffers.release(lease);
                }
                Ok(None)
            }
            Ok(_) => Ok(lease),
            Err(e) => Err(e),
        },
    )
}

fn sent(
    side: Side,
    token: Token,
    result: io::Result<usize>,
    flights: &mut [Option<Vec<u8>>],
) -> Done {
    let bytes = flights.get_mut(flight_index(token, side)).and_then(Option::take);
    Done::Sent(side, result, bytes.expect("a send completed that was not in flight"))
}

/// An address as the kernel wants it.
struct SocketAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl SocketAddress {
    fn new(address: SocketAddr) -> SocketAddress {
        let (storage, length) = socket::raw_address(address);
        SocketAddress { storage, length }
    }

    fn as_raw(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        ((&raw const self.storage).cast(), self.length)
    }
}

/// A descriptor as a file of glommio, which has no other way in than a raw descriptor.
pub(super) fn glommio_file(descriptor: OwnedFd) -> BufferedFile {
    // SAFETY: ownership passes from `descriptor` to the file.
    unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) }
}
