//! A backend that does nothing: every statement or request gets the same canned answer.
//!
//! In: PostgreSQL's frontend messages, or HTTP. Out: answers that a proxy must carry as if they
//! were real. Never: work per row; this must cost less than what is measured in front of it.
//!
//! Any user is trusted. A simple query and each Execute get `rows` rows of one text column.
//! COPY TO STDOUT gets them as CopyData, COPY FROM STDIN is swallowed. What is said in HTTP stands
//! in `null_http`.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::null_http::{Page, Visit};
use crate::wire::message;

/// Bytes of answers that wait before a connection is no longer read.
const OUTBOX_BYTES_MAX: usize = 1 << 20;
const RECEIVE_BYTES: usize = 64 << 10;
const LISTENER: Token = Token(usize::MAX);
/// SSLRequest and GSSENCRequest, CancelRequest: the codes that stand where a version would.
const TLS_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// The shape of the canned answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// PostgreSQL's.
    Rows {
        /// Rows.
        rows: usize,
        /// Bytes of the one column of each row.
        row_bytes: usize,
    },
    /// HTTP's, either version.
    Page {
        /// Bytes of the body.
        bytes: u64,
    },
}

/// A listening null backend.
pub struct Null {
    listener: TcpListener,
    canned: Canned,
}

enum Canned {
    Rows(Rows),
    Page(Page),
}

struct Rows {
    greeting: Vec<u8>,
    description: Vec<u8>,
    statement: Vec<u8>,
    rows: Vec<u8>,
    copied: Vec<u8>,
}

struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    dialog: Dialog,
}

enum Dialog {
    Postgres { logged_in: bool },
    Http(Visit),
}

impl Null {
    /// Listens; port 0 takes any.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(address: SocketAddr, answer: Answer) -> io::Result<Null> {
        Ok(Null { listener: TcpListener::bind(address)?, canned: Canned::new(answer) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// epoll failed.
    pub fn run(mut self) -> io::Result<()> {
        let mut poll = Poll::new()?;
        poll.registry().register(&mut self.listener, LISTENER, Interest::READABLE)?;
        let mut events = Events::with_capacity(1024);
        let mut peers: Vec<Option<Peer>> = vec![];
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept(&poll, &mut peers)?;
                    continue;
                }
                let slot = &mut peers[event.token().0];
                let alive = slot.as_mut().is_some_and(|peer| peer.go_on(&self.canned, &mut buffer));
                if !alive {
                    *slot = None;
                }
            }
        }
    }

    fn accept(&self, poll: &Poll, peers: &mut Vec<Option<Peer>>) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Out of descriptors, or the client left already: the next one may fare better.
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(1));
                    return Ok(());
                }
            };
            stream.set_nodelay(true)?;
            let index = peers.iter().position(Option::is_none).unwrap_or(peers.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), interest)?;
            let dialog = match &self.canned {
                Canned::Rows(_) => Dialog::Postgres { logged_in: false },
                Canned::Page(_) => Dialog::Http(Visit::new()),
            };
            let peer = Peer { stream, input: vec![], out: vec![], sent: 0, dialog };
            match peers.get_mut(index) {
                Some(slot) => *slot = Some(peer),
                None => peers.push(Some(peer)),
            }
        }
    }
}

impl Canned {
    fn new(answer: Answer) -> Canned {
        match answer {
            Answer::Rows { rows, row_bytes } => Canned::Rows(Rows::new(rows, row_bytes)),
            Answer::Page { bytes } => Canned::Page(Page::new(bytes)),
        }
    }
}

impl Rows {
    fn new(rows: usize, row_bytes: usize) -> Rows {
        let mut canned = Rows {
            greeting: greeting(),
            description: vec![],
            statement: vec![],
            rows: vec![],
            copied: vec![],
        };
        message(&mut canned.description, b'T', |out| {
            out.extend_from_slice(&1_u16.to_be_bytes());
            out.extend_from_slice(b"value\0");
            out.extend_from_slice(&0_u32.to_be_bytes());
            out.extend_from_slice(&0_u16.to_be_bytes());
            out.extend_from_slice(&25_u32.to_be_bytes());
            out.extend_from_slice(&(-1_i16).to_be_bytes());
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            out.extend_from_slice(&0_u16.to_be_bytes());
        });
        message(&mut canned.statement, b't', |out| out.extend_from_slice(&0_u16.to_be_bytes()));
        canned.statement.extend_from_slice(&canned.description);
        let value = vec![b'x'; row_bytes];
        for _ in 0..rows {
            message(&mut canned.rows, b'D', |out| {
                out.extend_from_slice(&1_u16.to_be_bytes());
                out.extend_from_slice(&(value.len() as u32).to_be_bytes());
                out.extend_from_slice(&value);
            });
        }
        complete(&mut canned.rows, &format!("SELECT {rows}"));
        message(&mut canned.copied, b'H', |out| out.extend_from_slice(&[0, 0, 1, 0, 0]));
        for _ in 0..rows {
            message(&mut canned.copied, b'd', |out| {
                out.extend_from_slice(&value);
                out.push(b'\n');
            });
        }
        message(&mut canned.copied, b'c', |_| {});
        complete(&mut canned.copied, &format!("COPY {rows}"));
        canned
    }
}

fn greeting() -> Vec<u8> {
    let mut out = vec![];
    message(&mut out, b'R', |out| out.extend_from_slice(&0_u32.to_be_bytes()));
    for (name, value) in [
        ("server_version", "15.0 (null)"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        message(&mut out, b'S', |out| {
            out.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        });
    }
    message(&mut out, b'K', |out| out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2]));
    ready(&mut out);
    out
}

fn ready(out: &mut Vec<u8>) {
    message(out, b'Z', |out| out.push(b'I'));
}

fn complete(out: &mut Vec<u8>, tag: &str) {
    message(out, b'C', |out| {
        out.extend_from_slice(tag.as_bytes());
        out.push(0);
    });
}

impl Peer {
    /// Reads, answers, writes; `false` when the connection is over.
    fn go_on(&mut self, canned: &Canned, buffer: &mut [u8]) -> bool {
        loop {
            if !self.flush() || !self.pump(canned) {
                return false;
            }
            if self.out.len() - self.sent > OUTBOX_BYTES_MAX {
                return true;
            }
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    if !self.take(&buffer[..count], canned) || !self.flush() {
                        return false;
                    }
                    if count < buffer.len() && self.out.is_empty() {
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn flush(&mut self) -> bool {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.out.clear();
        self.sent = 0;
        true
    }

    /// Sends more of an answer that is longer than what waits at a time.
    fn pump(&mut self, canned: &Canned) -> bool {
        while self.out.is_empty() {
            if let (Dialog::Http(visit), Canned::Page(page)) = (&mut self.dialog, canned) {
                visit.pump(page, &mut self.out);
            }
            if self.out.is_empty() {
                return true;
            }
            if !self.flush() {
                return false;
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8], canned: &Canned) -> bool {
        match (&mut self.dialog, canned) {
            (Dialog::Http(visit), Canned::Page(page)) => visit.take(bytes, page, &mut self.out),
            (Dialog::Postgres { logged_in }, Canned::Rows(rows)) => {
                let mut logged_in = *logged_in;
                let alive = self.take_messages(bytes, rows, &mut logged_in);
                self.dialog = Dialog::Postgres { logged_in };
                alive
            }
            _ => false,
        }
    }

    /// Answers every message that is whole. The input holds at most one that is not.
    fn take_messages(&mut self, bytes: &[u8], canned: &Rows, logged_in: &mut bool) -> bool {
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let mut at = 0;
        let alive = loop {
            let rest = &input[at..];
            let header = usize::from(*logged_in);
            let Some(length) = rest.get(header..).and_then(|rest| rest.first_chunk::<4>()) else {
                break true;
            };
            let length = u32::from_be_bytes(*length) as usize;
            if length < 4 {
                break false;
            }
            let Some(whole) = rest.get(..header + length) else { break true };
            at += whole.len();
            let body = &whole[header + 4..];
            let alive = match *logged_in {
                true => self.answer(whole[0], body, canned),
                false => self.greet(body, canned, logged_in),
            };
            if !alive {
                break false;
            }
        };
        input.drain(..at);
        self.input = input;
        alive
    }

    fn greet(&mut self, body: &[u8], canned: &Rows, logged_in: &mut bool) -> bool {
        match body.first_chunk().map(|code| u32::from_be_bytes(*code)) {
            Some(TLS_REQUEST | GSS_REQUEST) => self.out.push(b'N'),
            Some(CANCEL_REQUEST) | None => return false,
            Some(_) => {
                *logged_in = true;
                self.out.extend_from_slice(&canned.greeting);
            }
        }
        true
    }

    fn answer(&mut self, kind: u8, body: &[u8], canned: &Rows) -> bool {
        let out = &mut self.out;
        match kind {
            b'Q' => match copy_direction(body) {
                None => {
                    out.extend_from_slice(&canned.description);
                    out.extend_from_slice(&canned.rows);
                    ready(out);
                }
                Some(true) => message(out, b'G', |out| out.extend_from_slice(&[0, 0, 0])),
                Some(false) => {
                    out.extend_from_slice(&canned.copied);
                    ready(out);
                }
            },
            b'P' => message(out, b'1', |_| {}),
            b'B' => message(out, b'2', |_| {}),
            b'C' => message(out, b'3', |_| {}),
            b'D' if body.first() == Some(&b'S') => out.extend_from_slice(&canned.statement),
            b'D' => out.extend_from_slice(&canned.description),
            b'E' => out.extend_from_slice(&canned.rows),
            b'S' => ready(out),
            b'c' => {
                complete(out, "COPY 0");
                ready(out);
            }
            b'X' => return false,
            _ => {}
        }
        true
    }
}

/// `Some(true)` for COPY FROM STDIN, `Some(false)` for COPY TO STDOUT.
fn copy_direction(body: &[u8]) -> Option<bool> {
    let word = body.get(..4).filter(|word| word.eq_ignore_ascii_case(b"copy"));
    word.map(|_| body.windows(5).any(|part| part.eq_ignore_ascii_case(b"stdin")))
}
