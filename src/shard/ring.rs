//! The private io_uring of a shard, typed: operations in, completions out.
//!
//! In: sockets, buffers to send, tokens that name who waits. Out: `Completion`s.
//! Never: a buffer the kernel may still touch in anybody else's hands, a decision.
//!
//! A token and the kind of operation travel in `user_data`, so a completion is dispatched without
//! a look-up:
//!
//! ```text
//!   63  60 59       48 47          28 27                  0
//!   | kind |    end    |  generation  |       slot         |
//!
//! `end` is 0 for the client's connection and a leg's number plus one for the others.
//! ```
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use io_uring::types::{Fd, FsyncFlags, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::accept::socket;
use crate::wire::{End, LegId};

/// Submission queue: one turn rarely needs more; a full queue is submitted early.
const SUBMISSIONS: u32 = 1024;
/// Completion queue; beyond it the kernel keeps completions aside (FEAT_NODROP).
const COMPLETIONS: u32 = 8192;
/// `IORING_ENTER_GETEVENTS`: also do the work that was deferred to this call.
const GET_EVENTS: u32 = 1;
/// What a watched socket reports: bytes, the end of the stream, errors.
const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
/// Nothing more will arrive behind the bytes that are there, or it is an error.
const LAST: i32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as i32;
/// The connection is over in both directions: it was reset, or closed by both.
const GONE: i32 = (libc::POLLHUP | libc::POLLERR) as i32;

/// More than any socket takes at once, and a length that the kernel accepts.
const SEND_BYTES_MAX: usize = 1 << 30;

/// Who waits for an operation. A completion whose generation is not the slot's is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// Index in the shard's slab, 28 bits.
    pub slot: u32,
    /// Uses of that index so far, 20 bits.
    pub generation: u32,
}

impl Token {
    /// For operations of the shard itself.
    pub const SHARD: Token = Token { slot: 0, generation: 0 };
    /// Bits of `generation` that travel with an operation.
    pub const GENERATION_MASK: u32 = 0x000f_ffff;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Watch = 1,
    Room,
    Connect,
    Accept,
    Wake,
    Sync,
    Cancel,
    Alarm,
    Send,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Watch,
        Kind::Room,
        Kind::Connect,
        Kind::Accept,
        Kind::Wake,
        Kind::Sync,
        Kind::Cancel,
        Kind::Alarm,
        Kind::Send,
    ];

    const fn user_data(self, token: Token, end: End) -> u64 {
        let generation = (token.generation & Token::GENERATION_MASK) as u64;
        let slot = (token.slot & SLOT_MASK) as u64;
        (self as u64) << 60 | encode(end) << 48 | generation << 28 | slot
    }
}

/// Bits of `slot` that travel with an operation: more sessions than there can be descriptors.
const SLOT_MASK: u32 = 0x0fff_ffff;
const END_MASK: u64 = 0x0fff;
const _: () = assert!(LegId::COUNT as u64 == END_MASK);

const fn encode(end: End) -> u64 {
    match end {
        End::Client => 0,
        End::Target(leg) => leg.number() as u64 + 1,
    }
}

const fn decode(bits: u64) -> End {
    match bits & END_MASK {
        0 => End::Client,
        number => End::Target(LegId::new((number - 1) as u16)),
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
    /// A watched socket has something to read.
    Readable(End, io::Result<Readable>),
    /// A full socket takes bytes again, or the next attempt says why not.
    Room(End),
    /// A connection is made or not.
    Connected(End, io::Result<()>),
    /// A client connected; `armed` tells whether more will follow without a new `accept`.
    Accepted {
        /// Which of the shard's listeners.
        listener: usize,
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
    /// An alarm rang.
    Alarm,
}

/// What a watched socket reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    /// The end of the stream, or an error, is among what can be read.
    pub last: bool,
    /// The peer takes nothing more either.
    pub gone: bool,
    /// Whether the socket is still watched.
    pub armed: bool,
}

/// The ring and everything the kernel may touch through it.
pub struct Ring {
    io: IoUring,
    /// Addresses of CONNECTs that are queued but not submitted yet.
    #[expect(clippy::vec_box, reason = "the kernel gets their addresses")]
    addresses: Vec<Box<SocketAddress>>,
    /// Times of alarms that are queued but not submitted yet.
    #[expect(clippy::vec_box, reason = "the kernel gets their addresses")]
    alarms: Vec<Box<Timespec>>,
    wake_count: Box<u64>,
    /// Completions that were met while bytes were sent.
    aside: Vec<Completion>,
    /// Operations the kernel has not completed.
    outstanding: usize,
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
        Ok(Ring {
            io,
            addresses: Vec::new(),
            alarms: Vec::new(),
            wake_count: Box::new(0),
            aside: Vec::new(),
            outstanding: 0,
        })
    }

    /// Reports each time that something arrives at `socket`, until `unwatch`: once per arrival, so
    /// what is there has to be read to its end.
    ///
    /// Not a receive into a provided buffer: the kernel would do it while it wakes the shard, when
    /// the sender still holds the lock of the socket. Spinning for that lock cost a tenth of the
    /// shard's time in virtual machines (`bench/README.md`).
    pub fn watch(&mut self, token: Token, end: End, socket: BorrowedFd<'_>) {
        let entry = opcode::PollAdd::new(Fd(socket.as_raw_fd()), READABLE).multi(true).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Watch, (token, end), entry) };
    }

    /// Stops `watch`, which then completes with an error.
    pub fn unwatch(&mut self, token: Token, end: End) {
        let entry = opcode::AsyncCancel::new(Kind::Watch.user_data(token, end)).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Cancel, (token, End::Client), entry) };
    }

    /// Sends pieces to their sockets in one system call, as far as these take them without
    /// waiting; says for each in `sent` how much that was. In one call, because after a `send` of
    /// its own the peer that it wakes may take the core from the shard.
    ///
    /// # Errors
    /// As `enter`; what is wrong with one socket is said in its place.
    pub fn send_all<'a>(
        &mut self,
        pieces: impl Iterator<Item = (BorrowedFd<'a>, &'a [u8])>,
        sent: &mut Vec<io::Result<usize>>,
    ) -> io::Result<()> {
        for (index, (socket, bytes)) in pieces.enumerate() {
            let length = bytes.len().min(SEND_BYTES_MAX);
            let entry = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length as u32)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS);
            let token = Token { slot: index as u32, generation: 0 };
            sent.push(Ok(length));
            // SAFETY: MSG_DONTWAIT ends the operation while it is submitted, which is before this
            // function returns; until then the pieces are borrowed.
            unsafe { self.push(Kind::Send, (token, End::Client), entry) };
            // Only what falls short completes.
            self.outstanding -= 1;
        }
        loop {
            self.enter(false)?;
            let Ring { io, aside, outstanding, .. } = self;
            for entry in io.completion() {
                if entry.user_data() >> 60 == Kind::Send as u64 {
                    let index = (entry.user_data() as u32 & SLOT_MASK) as usize;
                    let place = sent.get_mut(index).expect("a send that was not submitted");
                    *place = outcome(entry.result());
                } else {
                    take(&entry, outstanding, aside);
                }
            }
            // The kernel takes fewer when it is short of memory or of room for completions.
            if io.submission().is_empty() {
                return Ok(());
            }
        }
    }

    /// Reports once when `socket` takes bytes again, or never will.
    pub fn await_room(&mut self, token: Token, end: End, socket: BorrowedFd<'_>) {
        let entry = opcode::PollAdd::new(Fd(socket.as_raw_fd()), libc::POLLOUT as u32).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Room, (token, end), entry) };
    }

    /// Connects `socket`.
    pub fn connect(
        &mut self,
        (token, end): (Token, End),
        socket: BorrowedFd<'_>,
        address: SocketAddr,
    ) {
        let address = Box::new(SocketAddress::new(address));
        let (pointer, length) = address.as_raw();
        let entry = opcode::Connect::new(Fd(socket.as_raw_fd()), pointer, length).build();
        self.addresses.push(address);
        // SAFETY: the kernel copies the address when the entry is submitted
        // (FEAT_SUBMIT_STABLE); until then it is in `addresses`.
        unsafe { self.push(Kind::Connect, (token, end), entry) };
    }

    /// Asks the kernel to give up a CONNECT, which then completes with an error.
    pub fn cancel_connect(&mut self, token: Token, end: End) {
        let entry = opcode::AsyncCancel::new(Kind::Connect.user_data(token, end)).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Cancel, (token, End::Client), entry) };
    }

    /// Accepts connections of the shard's listener `index` until told otherwise.
    pub fn accept(&mut self, index: usize, listener: BorrowedFd<'_>) {
        let entry =
            opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Accept, (listener_token(index), End::Client), entry) };
    }

    /// Stops `accept`.
    pub fn cancel_accept(&mut self, index: usize) {
        let entry =
            opcode::AsyncCancel::new(Kind::Accept.user_data(listener_token(index), End::Client))
                .build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Cancel, (Token::SHARD, End::Client), entry) };
    }

    /// Waits for a write to an eventfd.
    pub fn wake(&mut self, eventfd: BorrowedFd<'_>) {
        let pointer: *mut u64 = &mut *self.wake_count;
        let entry = opcode::Read::new(Fd(eventfd.as_raw_fd()), pointer.cast(), 8).build();
        // SAFETY: `wake_count` is on the heap for as long as the ring; nobody reads it.
        unsafe { self.push(Kind::Wake, (Token::SHARD, End::Client), entry) };
    }

    /// Stops `wake`.
    pub fn cancel_wake(&mut self) {
        let entry =
            opcode::AsyncCancel::new(Kind::Wake.user_data(Token::SHARD, End::Client)).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Cancel, (Token::SHARD, End::Client), entry) };
    }

    /// Brings written data of `file` to the disk.
    pub fn sync(&mut self, file: RawFd) {
        let entry = opcode::Fsync::new(Fd(file)).flags(FsyncFlags::DATASYNC).build();
        // SAFETY: no memory is involved.
        unsafe { self.push(Kind::Sync, (Token::SHARD, End::Client), entry) };
    }

    /// Ends the sleep in `enter` after so long. One timer in the kernel for many sleeps: to set one
    /// per sleep costs a write to a register that leaves a virtual machine.
    pub fn alarm(&mut self, after_us: u64) {
        let time =
            Timespec::new().sec(after_us / 1_000_000).nsec((after_us % 1_000_000) as u32 * 1000);
        let time = Box::new(time);
        let entry = opcode::Timeout::new(&raw const *time).build();
        self.alarms.push(time);
        // SAFETY: the kernel copies the time when the entry is submitted (FEAT_SUBMIT_STABLE);
        // until then it is in `alarms`.
        unsafe { self.push(Kind::Alarm, (Token::SHARD, End::Client), entry) };
        // It touches no memory of ours, so nobody waits for it.
        self.outstanding -= 1;
    }

    /// Operations the kernel has not completed.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether something is queued that the kernel does not know yet.
    pub fn has_submissions(&mut self) -> bool {
        !self.io.submission().is_empty()
    }

    /// Whether something completed, or would if the kernel were entered. Costs no system call.
    pub fn has_news(&mut self) -> bool {
        !self.aside.is_empty() || self.has_work() || !self.io.completion().is_empty()
    }

    /// Whether the kernel has work that only `enter` does.
    fn has_work(&mut self) -> bool {
        let submission = self.io.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Submits what is queued, lets the kernel finish what it can, and sleeps until something
    /// completes if `sleep`: whoever has to be awake by a time sets an alarm before.
    ///
    /// # Errors
    /// Only what cannot be repaired; interruptions are not errors.
    pub fn enter(&mut self, sleep: bool) -> io::Result<()> {
        let queued = self.io.submission().len() as u32;
        // What `send_all` put aside has happened already: nothing may come that ends the sleep.
        let sleep = sleep && self.aside.is_empty();
        if !sleep && queued == 0 && !self.has_work() {
            return Ok(());
        }
        // SAFETY: no argument is passed; the entries' memory is the concern of `push`.
        let result =
            unsafe { self.io.submitter().enter::<()>(queued, u32::from(sleep), GET_EVENTS, None) };
        match result {
            Ok(_) => {}
            Err(e) => match e.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => {}
                _ => return Err(e),
            },
        }
        if self.io.submission().is_empty() {
            self.addresses.clear();
            self.alarms.clear();
        }
        Ok(())
    }

    /// Moves completions into `out`.
    pub fn collect(&mut self, out: &mut Vec<Completion>) {
        let Ring { io, outstanding, aside, .. } = self;
        out.append(aside);
        for entry in io.completion() {
            take(&entry, outstanding, out);
        }
    }

    /// Queues an entry; a full queue is submitted first.
    ///
    /// # Safety
    /// The memory that `entry` names must stay valid until its completion.
    unsafe fn push(&mut self, kind: Kind, (token, end): (Token, End), entry: squeue::Entry) {
        let entry = entry.user_data(kind.user_data(token, end));
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
            std::mem::forget(std::mem::take(&mut self.wake_count));
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

fn listener_token(index: usize) -> Token {
    Token { slot: index as u32, ..Token::SHARD }
}

fn outcome(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn take(entry: &cqueue::Entry, outstanding: &mut usize, out: &mut Vec<Completion>) {
    let Some(completion) = typed(entry) else { return };
    if !cqueue::more(entry.flags()) && !matches!(completion.done, Done::Alarm) {
        *outstanding -= 1;
    }
    out.push(completion);
}

fn typed(entry: &cqueue::Entry) -> Option<Completion> {
    let user_data = entry.user_data();
    let kind = *Kind::ALL.get(((user_data >> 60) as usize).wrapping_sub(1))?;
    let token = Token {
        slot: user_data as u32 & SLOT_MASK,
        generation: (user_data >> 28) as u32 & Token::GENERATION_MASK,
    };
    let end = decode(user_data >> 48);
    let result = outcome(entry.result());
    let done = match kind {
        Kind::Watch => Done::Readable(end, readable(entry)),
        Kind::Room => Done::Room(end),
        Kind::Connect => Done::Connected(end, result.map(drop)),
        Kind::Accept => Done::Accepted {
            listener: token.slot as usize,
            // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
            socket: result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) }),
            armed: cqueue::more(entry.flags()),
        },
        Kind::Wake => Done::Woken(result.map(drop)),
        Kind::Sync => Done::Synced(result.map(drop)),
        Kind::Cancel => Done::Canceled,
        Kind::Alarm => Done::Alarm,
        Kind::Send => unreachable!("sends complete in `send_all`"),
    };
    Some(Completion { token, done })
}

fn readable(entry: &cqueue::Entry) -> io::Result<Readable> {
    outcome(entry.result())?;
    let reports = |events: i32| entry.result() & events != 0;
    Ok(Readable { last: reports(LAST), gone: reports(GONE), armed: cqueue::more(entry.flags()) })
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

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        (one, listener.accept().expect("accepted").0)
    }

    #[test]
    fn nobody_sleeps_over_what_was_put_aside() {
        let mut ring = Ring::new().expect("a ring");
        let (one, _other) = pair();
        ring.alarm(1);
        ring.enter(false).expect("a working ring");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let piece: (BorrowedFd<'_>, &[u8]) = (one.as_fd(), b"hello");
        ring.send_all(std::iter::once(piece), &mut Vec::new()).expect("a working ring");
        assert!(ring.has_news(), "the alarm rang while bytes were sent");
        ring.alarm(10_000_000);
        let start = std::time::Instant::now();
        ring.enter(true).expect("a working ring");
        assert!(start.elapsed().as_secs() < 5, "it slept until the second alarm");
    }

    #[test]
    fn what_a_socket_does_not_take_is_said_in_its_place() {
        let mut ring = Ring::new().expect("a ring");
        let (small, mut reads) = pair();
        let (large, _never_reads) = pair();
        let (gone, closed) = pair();
        drop(closed);
        gone.shutdown(std::net::Shutdown::Both).expect("open until now");
        let bytes = vec![7; 64 << 20];
        let mut sent = Vec::new();
        for round in 0..2 {
            let pieces: [(&TcpStream, &[u8]); 3] =
                [(&large, &bytes), (&small, b"hello"), (&gone, b"hello")];
            let pieces = pieces.iter().map(|(stream, bytes)| (stream.as_fd(), *bytes));
            ring.send_all(pieces, &mut sent).expect("a working ring");
            match (round, &sent[0]) {
                (0, Ok(count)) => assert!((1..bytes.len()).contains(count), "{count}"),
                (_, Err(e)) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
                (_, Ok(count)) => panic!("a full socket took {count} bytes"),
            }
            assert!(matches!(sent[1], Ok(5)), "{sent:?}");
            assert!(matches!(&sent[2], Err(e) if e.kind() == io::ErrorKind::BrokenPipe));
            sent.clear();
        }
        let mut got = [0; 10];
        std::io::Read::read_exact(&mut reads, &mut got).expect("both");
        assert_eq!(&got, b"hellohello");
        assert_eq!(ring.outstanding(), 0);
    }
}
