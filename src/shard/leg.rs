//! One of the two connections of a session: what is with the kernel, what is left to be written.
//!
//! In: outboxes, completions. Out: pieces to send, the end of writing.
//! Never: two sends at once; plaintext after TLS has started; a byte whose record is not safe.

use std::io;
use std::net::{Shutdown, TcpStream};

use super::buffer::{Lease, Size};
use super::pool::Pool;
use super::tls::Tls;
use crate::forward::Outbox;
use crate::record::Lsn;

/// One connection.
#[derive(Debug, Default)]
pub struct Leg {
    link: Link,
    tls: Option<Box<Tls>>,
    /// Bytes of the outbox that leave in clear before TLS starts.
    plain_left: usize,
    /// A receive is with the kernel.
    receiving: bool,
    /// Bytes that are with the kernel to be sent.
    in_flight: Option<usize>,
    /// What a short send left over.
    rest: Option<Vec<u8>>,
    /// Nothing more will arrive.
    ended: bool,
    writing: Writing,
    /// The last receive filled a small buffer.
    streams: bool,
    /// The last receive left bytes in the socket.
    more: bool,
    /// Bytes have arrived.
    touched: bool,
}

#[derive(Debug, Default)]
enum Link {
    #[default]
    None,
    Connecting(TcpStream),
    Open(TcpStream),
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

/// What became of a send.
#[derive(Debug)]
pub enum Sent {
    /// All of it left; the buffer is free.
    All(Vec<u8>),
    /// Some of it is sent again.
    Again,
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
        self.receiving || self.in_flight.is_some() || self.is_connecting()
    }

    /// Both directions are over, or there never were any.
    pub fn is_finished(&self) -> bool {
        match self.link {
            Link::None => true,
            Link::Connecting(_) => false,
            Link::Open(_) => self.ended && self.is_written(),
        }
    }

    /// Nothing more will be sent.
    pub fn is_written(&self) -> bool {
        self.writing != Writing::Open
    }

    /// Bytes on their way out of weir.
    pub fn unsent(&self) -> usize {
        self.in_flight.unwrap_or(0) + self.rest.as_ref().map_or(0, Vec::len)
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

    /// Whether a receive may be given to the kernel.
    pub fn can_receive(&self) -> bool {
        self.is_open() && !self.receiving && !self.ended
    }

    /// Whether it is read even if the machine does not ask for bytes: a handshake goes on, or the
    /// peer takes no more and its last words and its end are to be seen.
    pub fn must_receive(&self) -> bool {
        self.writing == Writing::Broken || self.is_handshaking()
    }

    /// A receive is given to the kernel; says how: the size of the buffer, and whether to wait
    /// before looking.
    pub fn receive(&mut self) -> (Size, bool) {
        assert!(self.can_receive(), "two receives on one side of a session");
        self.receiving = true;
        (self.buffer_size(), !self.more)
    }

    /// The buffers this peer needs.
    pub fn buffer_size(&self) -> Size {
        if self.streams { Size::Large } else { Size::Small }
    }

    /// A receive completed with bytes; `true` for the very first ones.
    pub fn received(&mut self, lease: &Lease) -> bool {
        self.receiving = false;
        self.more = lease.more;
        self.streams = lease.len() >= Size::Small.bytes();
        !std::mem::replace(&mut self.touched, true)
    }

    /// A receive completed without bytes, to be tried again.
    pub fn received_nothing(&mut self) {
        self.receiving = false;
    }

    /// A receive completed at the end of the stream, or with an error.
    pub fn received_end(&mut self) {
        self.receiving = false;
        self.more = false;
        self.ended = true;
    }

    // === sending ===

    /// The next piece, if it may be sent now. It counts as in flight.
    pub fn send(&mut self, outbox: &mut Outbox, safe: Lsn, pool: &mut Pool) -> Option<Vec<u8>> {
        if !self.is_open() || self.in_flight.is_some() || self.is_written() {
            return None;
        }
        let bytes = match self.rest.take() {
            Some(rest) => rest,
            None => self.gather(outbox, safe, pool)?,
        };
        assert!(!bytes.is_empty(), "nothing to send");
        self.in_flight = Some(bytes.len());
        Some(bytes)
    }

    /// The next piece: in clear, or sealed. Only sendable bytes are sealed.
    fn gather(&mut self, outbox: &mut Outbox, safe: Lsn, pool: &mut Pool) -> Option<Vec<u8>> {
        let Some(tls) = &mut self.tls else { return outbox.take(safe) };
        if self.plain_left > 0 {
            let sendable = outbox.sendable(safe);
            let plain = sendable.get(..self.plain_left.min(sendable.len())).unwrap_or(&[]);
            if plain.is_empty() {
                return None;
            }
            let mut bytes = pool.take();
            bytes.extend_from_slice(plain);
            self.plain_left -= bytes.len();
            outbox.consume(bytes.len());
            return Some(bytes);
        }
        if tls.is_established() {
            let sealed = tls.seal(outbox.sendable(safe));
            outbox.consume(sealed);
        }
        if !tls.wants_write() {
            return None;
        }
        let mut bytes = pool.take();
        tls.write_to(&mut bytes);
        Some(bytes)
    }

    /// A send completed.
    pub fn sent(&mut self, result: io::Result<usize>, bytes: Vec<u8>, outbox: &mut Outbox) -> Sent {
        self.in_flight = None;
        match result {
            Ok(count) if count == bytes.len() => Sent::All(bytes),
            Ok(count) if count > 0 => {
                let mut rest = bytes;
                rest.drain(..count);
                self.rest = Some(rest);
                Sent::Again
            }
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {
                self.rest = Some(bytes);
                Sent::Again
            }
            other => {
                self.writing = Writing::Broken;
                self.rest = None;
                self.plain_left = 0;
                outbox.abandon();
                let reset =
                    |e: io::Error| matches!(e.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET));
                if other.is_err_and(reset) { Sent::Reset } else { Sent::Failed }
            }
        }
    }

    /// When all is written, shuts down the write side. `true` when TLS has a last word to send.
    pub fn finish_writing(&mut self, outbox: &mut Outbox) -> bool {
        if self.plain_left == 0 && self.is_handshaking() {
            // The handshake failed or is cut short: what the machine says cannot be sealed.
            outbox.abandon();
        }
        let written = self.in_flight.is_none() && self.rest.is_none() && outbox.is_empty();
        let Link::Open(stream) = &self.link else { return false };
        if !written || self.is_written() {
            return false;
        }
        if let Some(mut tls) = self.tls.take()
            && tls.is_established()
        {
            tls.close();
            let mut last = Vec::new();
            tls.write_to(&mut last);
            if !last.is_empty() {
                self.rest = Some(last);
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
        self.rest = None;
        if let Link::Open(stream) = &self.link
            && self.is_busy()
        {
            // An error means that the peer is gone already.
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}
