//! One connection on a blocking socket: for measurements that need few of them.
//!
//! In: an endpoint, texts. Out: counts of bytes and messages. Never: rows.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::channel::Channel;
use crate::login::{Caller, Login};
use crate::wire::{self, Scanner};

/// A server that says nothing for this long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// One receive of a bulk answer.
const RECEIVE_BYTES: usize = 256 << 10;

/// A logged-in connection.
pub struct Client {
    stream: TcpStream,
    channel: Channel,
    scanner: Scanner,
    /// Bytes to send, and the same as they go over the wire. Kept for their memory.
    out: Vec<u8>,
    raw: Vec<u8>,
}

/// What an answer held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of all messages.
    pub bytes: u64,
    /// DataRow and CopyData messages.
    pub rows: u64,
}

/// The buffer that bulk answers are read into and forgotten.
pub fn sink_buffer() -> Vec<u8> {
    vec![0; RECEIVE_BYTES]
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// A sentence: where, and what went wrong.
    pub fn connect(caller: &Caller) -> Result<Client, String> {
        let endpoint = caller.endpoint();
        let place = (endpoint.host.as_str(), endpoint.port);
        let fail = |what: &str, why: String| format!("{endpoint:?}: {what}: {why}");
        let stream = TcpStream::connect(place).map_err(|e| fail("connect", e.to_string()))?;
        stream.set_nodelay(true).map_err(|e| fail("nodelay", e.to_string()))?;
        stream.set_read_timeout(Some(SILENCE_MAX)).map_err(|e| fail("timeout", e.to_string()))?;
        let channel = caller.channel()?;
        let scanner = Scanner::new();
        let mut client = Client { stream, channel, scanner, out: vec![], raw: vec![] };
        client.login(caller).map_err(|why| fail("login", why))?;
        Ok(client)
    }

    fn login(&mut self, caller: &Caller) -> Result<(), String> {
        let mut login = Login::start(caller, &mut self.out);
        let mut buffer = [0; 4096];
        let mut replies = vec![];
        loop {
            self.send()?;
            let mut step = Ok(false);
            self.receive(&mut buffer, |message| {
                if step == Ok(false) {
                    step = login.handle(&message, &mut replies);
                }
            })?;
            if step? {
                return Ok(());
            }
            self.out.append(&mut replies);
        }
    }

    /// Sends what may leave: all, but for what waits for the end of a TLS handshake.
    fn send(&mut self) -> Result<(), String> {
        self.channel.seal(&mut self.out, &mut self.raw)?;
        self.stream.write_all(&self.raw).map_err(|e| e.to_string())?;
        self.raw.clear();
        Ok(())
    }

    /// Reads once.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(wire::Message<'_>),
    ) -> Result<(), String> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed the connection".to_owned()),
            Ok(count) => count,
            Err(error) => return Err(error.to_string()),
        };
        let mut scanned = Ok(());
        self.channel.open(&buffer[..count], |plain| {
            scanned = scanned.and_then(|()| self.scanner.scan(plain, &mut each));
        })?;
        scanned.map_err(|_| "not PostgreSQL".to_owned())
    }

    /// Sends a text as a simple query and reads its answer into nothing.
    ///
    /// # Errors
    /// The server's error, or the connection's.
    pub fn query(&mut self, text: &str, buffer: &mut [u8]) -> Result<Counts, String> {
        self.ask(text)?;
        self.answer(b"Z", buffer).map(|(counts, _)| counts)
    }

    /// Sends `data`, whole CopyData messages, so many times as the rows of a COPY FROM STDIN.
    ///
    /// # Errors
    /// The server's error, or the connection's; or the text was no such COPY.
    pub fn copy_in(
        &mut self,
        text: &str,
        (data, times): (&[u8], usize),
        buffer: &mut [u8],
    ) -> Result<(), String> {
        self.ask(text)?;
        if self.answer(b"GZ", buffer)?.1 != b'G' {
            return Err(format!("{text}: it copies nothing in"));
        }
        let mut done = vec![];
        wire::copy_done(&mut done);
        let pieces = std::iter::repeat_n(data, times).chain([&done[..]]);
        for piece in pieces {
            self.out.extend_from_slice(piece);
            self.send()?;
        }
        self.answer(b"Z", buffer).map(drop)
    }

    fn ask(&mut self, text: &str) -> Result<(), String> {
        wire::query(&mut self.out, text);
        self.send()
    }

    /// Reads up to one of these messages; returns which.
    fn answer(&mut self, last: &[u8], buffer: &mut [u8]) -> Result<(Counts, u8), String> {
        let mut counts = Counts::default();
        let mut failed = None;
        let mut ended = None;
        loop {
            self.receive(buffer, |message| {
                counts.bytes += message.bytes as u64;
                counts.rows += u64::from(matches!(message.kind, b'D' | b'd'));
                if last.contains(&message.kind) {
                    ended = Some(message.kind);
                }
                if message.kind == b'E' {
                    failed = Some(wire::error_text(message.body));
                }
            })?;
            if let Some(kind) = ended {
                return failed.map_or(Ok((counts, kind)), Err);
            }
        }
    }

    /// Says goodbye; the server closes.
    pub fn terminate(mut self) {
        wire::terminate(&mut self.out);
        // A server that is gone already has nothing to be told.
        let _ = self.send();
    }
}
