//! One of the two connections of a session: what is with the kernel, what is left to be written.
//!
//! In: outboxes, completions. Out: bytes in the socket, the end of writing.
//! Never: plaintext after TLS has started; a byte whose record is not safe; a wait.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use super::pool::Pool;
use super::stream::{Report, Stream};
use super::tls::Tls;
use crate::accept::socket;
use crate::forward::Outbox;
use crate::record::Lsn;

/// One connection.
#[derive(Debug, Default)]
pub struct Leg {
    link: Link,
    tls: Option<Box<Tls>>,
    /// Bytes of the outbox that leave in clear before TLS starts.
    plain_left: usize,
    watch: Watch,
    input: Input,
    stream: Stream,
    /// It is among those that the shard will read.
    queued: bool,
    /// The socket is full, and the kernel reports when it is not.
    blocked: bool,
    /// Sealed bytes that the socket has not taken yet.
    sealed: Vec<u8>,
    writing: Writing,
    /// Bytes have arrived.
    touched: bool,
    /// The session knows that the peer sends no more.
    told_end: bool,
}

#[derive(Debug, Default)]
enum Link {
    #[default]
    None,
    Connecting(TcpStream),
    Open(TcpStream),
}

/// Whether the kernel reports what arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Watch {
    #[default]
    No,
    Armed,
    Stopping,
}

/// What can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Input {
    /// Nothing, as far as is known.
    #[default]
    Empty,
    /// Something.
    Ready,
    /// Something, and the end of the stream or an error behind it.
    Last,
    /// The end was read: nothing more will arrive.
    Ended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writing {
    #[default]
    Open,
    /// `shutdown` was called after the last byte.
    Shut,
    /// The peer takes no more.
    Broken,
}

/// What became of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of the piece has left.
    All,
    /// All of it has left, and there may be another one.
    More,
    /// The socket is full. `room` tells when to try again.
    Blocked,
    /// The peer has closed or reset the connection. It may have said why: that is still in the
    /// socket, and its end follows.
    Reset,
    /// It failed in a way that only the sender learns of.
    Failed,
}

impl Leg {
    /// A connection that is made.
    pub fn open(stream: TcpStream) -> Leg {
        Leg { link: Link::Open(stream), ..Leg::default() }
    }

    /// A connection that is being made.
    pub fn connecting(stream: TcpStream) -> Leg {
        Leg { link: Link::Connecting(stream), ..Leg::default() }
    }

    /// The connection is made now.
    pub fn connected(&mut self) {
        self.link = match std::mem::take(&mut self.link) {
            Link::Connecting(stream) => Link::Open(stream),
            other => other,
        };
    }

    /// The socket, if there is one.
    pub fn stream(&self) -> Option<&TcpStream> {
        match &self.link {
            Link::None => None,
            Link::Connecting(stream) | Link::Open(stream) => Some(stream),
        }
    }

    /// Whether the connection is made.
    pub fn is_open(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    /// Whether it is being made.
    pub fn is_connecting(&self) -> bool {
        matches!(self.link, Link::Connecting(_))
    }

    /// Whether the kernel works for it.
    pub fn is_busy(&self) -> bool {
        self.watch != Watch::No || self.blocked || self.is_connecting()
    }

    /// Both directions are over, or there never were any.
    pub fn is_finished(&self) -> bool {
        match self.link {
            Link::None => true,
            Link::Connecting(_) => false,
            Link::Open(_) => self.input == Input::Ended && self.is_written(),
        }
    }

    /// It is open both ways and no byte waits: somebody else may use it.
    pub fn is_whole(&self) -> bool {
        let quiet = self.input == Input::Empty && self.writing == Writing::Open && !self.blocked;
        self.is_open() && quiet && self.sealed.is_empty() && !self.is_handshaking()
    }

    /// Nothing more will be sent.
    pub fn is_written(&self) -> bool {
        self.writing != Writing::Open
    }

    /// Bytes that have left the outbox and not weir.
    pub fn unsent(&self) -> usize {
        self.sealed.len()
    }

    // === TLS ===

    /// Speaks TLS once what is queued has left in clear; `false` if it does already.
    pub fn start_tls(&mut self, tls: Tls, outbox: &Outbox) -> bool {
        if self.tls.is_some() {
            return false;
        }
        self.plain_left = outbox.len();
        self.tls = Some(Box::new(tls));
        true
    }

    /// TLS, if it has started.
    pub fn tls(&mut self) -> Option<&mut Tls> {
        self.tls.as_deref_mut()
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.is_established())
    }

    /// What is queued in clear has been dropped.
    pub fn forget_plain(&mut self) {
        self.plain_left = 0;
    }

    // === receiving ===

    /// Whether the kernel is to be told to report what arrives. It counts as told.
    pub fn watch(&mut self) -> bool {
        let wanted = self.is_open() && self.watch == Watch::No && self.input != Input::Ended;
        if wanted {
            self.watch = Watch::Armed;
        }
        wanted
    }

    /// Whether the kernel is to be told to stop. It counts as told.
    pub fn unwatch(&mut self) -> bool {
        let wanted = self.watch == Watch::Armed;
        if wanted {
            self.watch = Watch::Stopping;
        }
        wanted
    }

    /// The kernel reports something to read; `last` if the end is among it.
    pub fn readable(&mut self, last: bool) {
        self.input = match (self.input, last) {
            (Input::Empty, false) => Input::Ready,
            (Input::Empty | Input::Ready, true) => Input::Last,
            (input, _) => input,
        };
    }

    /// The kernel has stopped reporting.
    pub fn unwatched(&mut self) {
        self.watch = Watch::No;
    }

    /// Whether there is something to read that nobody was told to read yet.
    pub fn can_receive(&self) -> bool {
        self.is_open() && !self.queued && matches!(self.input, Input::Ready | Input::Last)
    }

    /// Whether it is read even if the machine does not ask for bytes: a handshake goes on, or the
    /// peer takes no more and its last words and its end are to be seen.
    pub fn must_receive(&self) -> bool {
        self.writing == Writing::Broken || self.is_handshaking()
    }

    /// The shard will read it.
    pub fn queue(&mut self) {
        assert!(self.can_receive(), "a connection is queued twice to be read");
        self.queued = true;
    }

    /// The shard reads it now; `None` when it has been closed meanwhile.
    pub fn unqueue(&mut self) -> Option<&TcpStream> {
        self.queued = false;
        match &self.link {
            Link::Open(stream) => Some(stream),
            Link::None | Link::Connecting(_) => None,
        }
    }

    /// So many bytes were read, `all` that were there; `true` for the very first ones.
    pub fn received(&mut self, count: usize, all: bool, now_us: u64) -> bool {
        if all && self.input == Input::Ready {
            self.input = Input::Empty;
        }
        let report = self.stream.received(count, all, now_us);
        self.report(report);
        !std::mem::replace(&mut self.touched, true)
    }

    /// There was nothing to read.
    pub fn received_nothing(&mut self, now_us: u64) {
        self.input = Input::Empty;
        let report = self.stream.received(0, true, now_us);
        self.report(report);
    }

    /// The other peer has said something.
    pub fn interrupted(&mut self) {
        let report = self.stream.interrupted();
        self.report(report);
    }

    fn report(&mut self, report: Option<Report>) {
        if let (Some(report), Link::Open(stream)) = (report, &self.link)
            && socket::report_from(stream.as_fd(), report.bytes()).is_err()
        {
            self.stream.failed(report);
        }
    }

    /// When it is read even if the kernel reports nothing, monotonic microseconds.
    pub fn due_us(&self) -> Option<u64> {
        self.stream.due_us()
    }

    /// Time has passed.
    pub fn due(&mut self, now_us: u64) {
        if self.stream.due(now_us) {
            self.readable(false);
        }
    }

    /// The end of the stream was read, or an error.
    pub fn received_end(&mut self) {
        self.input = Input::Ended;
        self.told_end = true;
    }

    /// The session learns that the peer sends no more: TLS says so before the end of the stream.
    pub fn tell_end(&mut self) {
        self.told_end = true;
    }

    /// Whether it knows.
    pub fn has_told_end(&self) -> bool {
        self.told_end
    }

    // === sending ===

    /// Makes the next piece ready; `false` if nothing can be sent now. Only bytes that may leave
    /// are sealed.
    pub fn prepare(&mut self, outbox: &mut Outbox, safe: Lsn, pool: &mut Pool) -> bool {
        if !self.is_open() || self.blocked || self.writing != Writing::Open {
            return false;
        }
        if !self.sealed.is_empty() {
            return true;
        }
        let sendable = outbox.sendable(safe);
        let Some(tls) = self.tls.as_mut().filter(|_| self.plain_left == 0) else {
            return !sendable.is_empty();
        };
        let seals = tls.is_established() && !sendable.is_empty();
        if !seals && !tls.wants_write() {
            return false;
        }
        self.sealed = pool.take();
        if seals {
            let count = tls.seal(sendable, &mut self.sealed);
            outbox.consume(count);
        } else {
            tls.write_own(&mut self.sealed);
        }
        !self.sealed.is_empty()
    }

    /// The piece that `prepare` made ready, and where it goes.
    pub fn piece<'a>(&'a self, outbox: &'a Outbox) -> Option<(BorrowedFd<'a>, &'a [u8])> {
        let Link::Open(stream) = &self.link else { return None };
        let bytes = if self.sealed.is_empty() { outbox.released() } else { &self.sealed };
        Some((stream.as_fd(), bytes.get(..self.piece_len(outbox)).unwrap_or(bytes)))
    }

    fn piece_len(&self, outbox: &Outbox) -> usize {
        match (self.sealed.len(), self.plain_left) {
            (0, 0) => outbox.released_len(),
            (0, plain) => outbox.released_len().min(plain),
            (sealed, _) => sealed,
        }
    }

    /// Where bytes of the outbox can go at once, as they are.
    pub fn direct(&self) -> Option<BorrowedFd<'_>> {
        let Link::Open(stream) = &self.link else { return None };
        let clear = self.tls.is_none() && !self.blocked && self.writing == Writing::Open;
        clear.then(|| stream.as_fd())
    }

    /// So many bytes of the piece have left, or it failed.
    pub fn sent(
        &mut self,
        result: io::Result<usize>,
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) -> Sent {
        let piece = self.piece_len(outbox);
        let count = match result {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Sent::More,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            Err(e) => return self.broken(&e, outbox),
        };
        if self.sealed.is_empty() {
            outbox.consume(count);
            self.plain_left = self.plain_left.saturating_sub(count);
        } else {
            self.sealed.drain(..count);
            if self.sealed.is_empty() {
                pool.give(std::mem::take(&mut self.sealed));
            }
        }
        if count < piece {
            self.blocked = true;
            Sent::Blocked
        } else if self.tls.is_some() || outbox.released_len() > 0 {
            // Of a clear connection only what parts leaves more behind.
            Sent::More
        } else {
            Sent::All
        }
    }

    fn broken(&mut self, error: &io::Error, outbox: &mut Outbox) -> Sent {
        self.writing = Writing::Broken;
        self.sealed = Vec::new();
        self.plain_left = 0;
        outbox.abandon();
        match error.raw_os_error() {
            Some(libc::EPIPE | libc::ECONNRESET) => Sent::Reset,
            _ => Sent::Failed,
        }
    }

    /// The socket takes bytes again.
    pub fn room(&mut self) {
        self.blocked = false;
    }

    /// When all is written, shuts down the write side. `true` when TLS has a last word to send.
    pub fn finish_writing(&mut self, outbox: &mut Outbox) -> bool {
        if self.plain_left == 0 && self.is_handshaking() {
            // The handshake failed or is cut short: what the machine says cannot be sealed.
            outbox.abandon();
        }
        let written = !self.blocked && self.sealed.is_empty() && outbox.is_empty();
        let Link::Open(stream) = &self.link else { return false };
        if !written || self.is_written() {
            return false;
        }
        if let Some(mut tls) = self.tls.take()
            && tls.is_established()
        {
            tls.close(&mut self.sealed);
            if !self.sealed.is_empty() {
                return true;
            }
        }
        self.writing = match stream.shutdown(Shutdown::Write) {
            Ok(()) => Writing::Shut,
            Err(_) => Writing::Broken,
        };
        false
    }

    /// Makes the kernel complete what it has, to no end.
    pub fn cut(&mut self) {
        self.sealed = Vec::new();
        if let Link::Open(stream) = &self.link
            && self.is_busy()
        {
            // An error means that the peer is gone already.
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}
