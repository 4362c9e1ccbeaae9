//! One non-blocking connection: bytes out, bytes in, in clear or over TLS.
//!
//! In: bytes to send. Out: bytes of the server. Never: waiting; a look at what the bytes say.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::channel::Channel;

/// A socket with what waits to be sent on it.
pub struct Connection {
    stream: TcpStream,
    channel: Channel,
    /// Bytes to send.
    pub out: Vec<u8>,
    /// The same as they go over the wire; the first `sent` of them have left.
    raw: Vec<u8>,
    sent: usize,
}

/// Why a connection is over.
#[derive(Debug)]
pub enum Gone {
    /// The server closed it.
    Closed,
    /// The system says why.
    Failed(io::Error),
    /// What came is not the protocol that was expected; why.
    Foreign(String),
    /// It cannot be encrypted; why.
    Insecure(String),
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Gone::Closed => f.write_str("the server closed the connection"),
            Gone::Failed(error) => error.fmt(f),
            Gone::Foreign(why) | Gone::Insecure(why) => f.write_str(why),
        }
    }
}

impl Connection {
    /// Starts to connect; writable when that is done.
    ///
    /// # Errors
    /// No socket is to be had.
    pub fn open(
        channel: Channel,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection { stream, channel, out: vec![], raw: vec![], sent: 0 })
    }

    /// The socket became writable for the first time: is it connected?
    ///
    /// # Errors
    /// It is not, and will not be.
    pub fn connected(&self) -> Result<bool, Gone> {
        if let Some(error) = self.stream.take_error().map_err(Gone::Failed)? {
            return Err(Gone::Failed(error));
        }
        match self.stream.peer_addr() {
            Ok(_) => self.stream.set_nodelay(true).map(|()| true).map_err(Gone::Failed),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(Gone::Failed(error)),
        }
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self) -> Result<(), Gone> {
        loop {
            if self.sent == self.raw.len() {
                self.raw.clear();
                self.sent = 0;
                self.channel.seal(&mut self.out, &mut self.raw).map_err(Gone::Insecure)?;
                if self.raw.is_empty() {
                    return Ok(());
                }
            }
            match self.stream.write(&self.raw[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Gone::Failed(error)),
            }
        }
    }

    /// Whether what is sent leaves at once, and is not kept for the end of a handshake.
    pub fn is_open(&self) -> bool {
        self.channel.is_open()
    }

    /// What both sides agreed on by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.channel.protocol()
    }

    /// Reads until the socket is empty; `each` sees the bytes, until it fails.
    ///
    /// # Errors
    /// The connection is over; bytes before that were seen.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&[u8]) -> Result<(), Gone>,
    ) -> Result<(), Gone> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Gone::Closed),
                Ok(count) => {
                    let mut seen = Ok(());
                    let opened = self.channel.open(&buffer[..count], |plain| {
                        if seen.is_ok() {
                            seen = each(plain);
                        }
                    });
                    opened.map_err(Gone::Insecure)?;
                    seen?;
                    // A short read emptied the socket; the next byte raises an edge of its own.
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Gone::Failed(error)),
            }
        }
    }
}
