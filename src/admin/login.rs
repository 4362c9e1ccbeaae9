//! A connection of weir's own to a target, blocking: catalogs are read and targets checked by it.
//!
//! In: a target, a credential, addresses. Out: rows of simple queries.
//! Never: on a shard or on the control thread itself; without a deadline; a password in an error.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use crate::config::settings::{Credential, SessionAttrs, Target, TargetTls, TlsNegotiation};
use crate::fault::{self, Fault, FaultKind};
use crate::hex;
use crate::identify::certificate;
use crate::identify::scram::SaltedCache;
use crate::limits;
use crate::session::postgres::standing::{Fit, Standing};
use crate::session::postgres::target_login::{Channel, LoginStep, TargetLogin};
use crate::shard::mail::Endpoint;
use crate::shard::tls;
use crate::wire::Side;
use crate::wire::postgres::{message, reply};
use crate::wire::reader::Reader;

/// Bytes of one text value in an answer; `None` for NULL.
pub type Value = Option<String>;

/// A connection that is logged in.
pub struct Connection {
    stream: Stream,
    deadline: Instant,
    standing: Standing,
    /// The server that was reached.
    pub address: SocketAddr,
    /// `server_version` as the target reports it.
    pub server_version: String,
    /// Version of TLS, `None` in clear.
    pub tls_version: Option<String>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(server {})", self.server_version)
    }
}

impl Connection {
    /// Logs in to the first server that fits the target's settings, as a session would. `timeout`
    /// bounds the whole life of the connection.
    ///
    /// # Errors
    /// No server can be used; TLS is not what the configuration asks for, or the credential is
    /// refused.
    pub fn open(
        target: &Target,
        credential: &Credential,
        endpoints: &[Endpoint],
        timeout: Duration,
    ) -> Result<Connection, LoginError> {
        let deadline = Instant::now() + timeout;
        let mut failure = LoginError::NoAddress;
        // A primary, while a standby is looked for.
        let mut spare = None;
        for endpoint in endpoints {
            let opened = Connection::attempt(target, credential, endpoint, deadline);
            match opened.and_then(|it| it.measured(target.reach.attrs)) {
                Ok(Measured::Fits(connection)) => return Ok(connection),
                Ok(Measured::Spare(connection)) => {
                    spare.get_or_insert(connection);
                }
                Err(error) if error.is_last() => return Err(error),
                Err(error) => failure = error,
            }
        }
        spare.ok_or(failure)
    }

    fn attempt(
        target: &Target,
        credential: &Credential,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<Connection, LoginError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LoginError::Timeout);
        }
        let timeout_us = target.reach.connect_timeout_us.unwrap_or(limits::DIAL_TIMEOUT_US);
        let patience = Duration::from_micros(timeout_us).min(left);
        let address = endpoint.address;
        let own = Instant::now() + patience;
        let socket = TcpStream::connect_timeout(&address, patience)
            .map_err(|source| LoginError::Connect { address, source })?;
        socket.set_nodelay(true).map_err(LoginError::Io)?;
        let mut connection = Connection {
            stream: Stream::Plain(socket),
            deadline: own,
            standing: Standing::default(),
            address,
            server_version: String::new(),
            tls_version: None,
        };
        connection.start_tls(target, &endpoint.host)?;
        connection.log_in(target, credential)?;
        connection.deadline = deadline;
        Ok(connection)
    }

    /// Whether this server is one that may be used.
    fn measured(mut self, attrs: SessionAttrs) -> Result<Measured, LoginError> {
        loop {
            match self.standing.fit(attrs) {
                Fit::Yes => return Ok(Measured::Fits(self)),
                Fit::No(_) if attrs == SessionAttrs::PreferStandby => {
                    return Ok(Measured::Spare(self));
                }
                Fit::No(why) => return Err(LoginError::Misfit(why)),
                Fit::Ask(question) => {
                    let rows = self.query(question)?;
                    let value = rows.first().and_then(|row| row.first()).cloned().flatten();
                    let value = value.as_deref().map(str::as_bytes);
                    self.standing.answer(question, value).map_err(LoginError::Misfit)?;
                }
            }
        }
    }

    /// Runs one simple query and gives its rows as text.
    ///
    /// # Errors
    /// The target answers with an error or breaks the protocol, or time is up.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Vec<Value>>, LoginError> {
        let mut out = Vec::new();
        reply::query(&mut out, sql);
        self.write(&out)?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut failure = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'D' => {
                    bytes += body.len();
                    if bytes > ANSWER_BYTES_MAX {
                        return Err(LoginError::Protocol("the answer is too large"));
                    }
                    rows.push(read_row(&body).ok_or(SHORT)?);
                }
                b'E' => failure = Some(refusal(&body)),
                b'Z' => return failure.map_or(Ok(rows), Err),
                b'T' | b'C' | b'I' | b'N' | b'S' | b'A' => {}
                _ => return Err(LoginError::Protocol("an unexpected message answers a query")),
            }
        }
    }

    /// Whether TLS may start: weir asks for it, unless it starts at once.
    fn ask_for_tls(&mut self, target: &Target) -> Result<bool, LoginError> {
        if target.tls == TargetTls::Disable || target.negotiation == TlsNegotiation::Direct {
            return Ok(target.tls != TargetTls::Disable);
        }
        // SSLRequest: 1234 and 5679, in place of a protocol version.
        self.write(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])?;
        let mut answer = [0];
        self.read(&mut answer)?;
        match answer {
            [b'S'] => Ok(true),
            [b'N'] if target.tls == TargetTls::Prefer => Ok(false),
            [b'N'] => Err(LoginError::TlsRefused),
            _ => Err(LoginError::Protocol("the TLS request is answered by neither S nor N")),
        }
    }

    fn start_tls(&mut self, target: &Target, host: &str) -> Result<(), LoginError> {
        if !self.ask_for_tls(target)? {
            return Ok(());
        }
        let Stream::Plain(socket) = &self.stream else { return Ok(()) };
        let socket = socket.try_clone().map_err(LoginError::Io)?;
        let mut session =
            tls::client(target, host).map_err(|problem| LoginError::Tls(problem.to_string()))?;
        self.arm()?;
        let mut socket = socket;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidData => LoginError::Tls(error.to_string()),
                _ => LoginError::from(error),
            })?;
        }
        let agreed = session.alpn_protocol() == Some(b"postgresql".as_slice());
        if target.negotiation == TlsNegotiation::Direct && !agreed {
            return Err(LoginError::Tls("the server does not confirm the protocol".to_owned()));
        }
        self.tls_version = session.protocol_version().map(|version| format!("{version:?}"));
        self.stream = Stream::Tls(Box::new(rustls::StreamOwned::new(session, socket)));
        Ok(())
    }

    fn log_in(&mut self, target: &Target, credential: &Credential) -> Result<(), LoginError> {
        let mut out = Vec::new();
        let parameters = [
            ("user", credential.role.as_str()),
            ("database", &target.database),
            ("application_name", "weir"),
            ("client_encoding", "UTF8"),
        ];
        reply::startup(
            &mut out,
            0,
            parameters.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        );
        self.write(&out)?;
        let password = credential.password.clone();
        let (encrypted, end_point) = match &self.stream {
            Stream::Plain(_) => (false, None),
            Stream::Tls(stream) => {
                let chain = stream.conn.peer_certificates().unwrap_or_default();
                (true, chain.first().and_then(|leaf| certificate::end_point(leaf)))
            }
        };
        let channel = Channel { encrypted, end_point, binding: target.channel_binding };
        let mut login = TargetLogin::new(&credential.role, password, nonce()?, channel);
        let mut cache = SaltedCache::new();
        loop {
            let (kind, body) = self.receive()?;
            if kind == b'E' {
                return Err(refusal(&body));
            }
            let mut out = Vec::new();
            match login.handle(kind, &body, &mut cache, &mut out).map_err(LoginError::Login)? {
                Some(LoginStep::Authenticated) => break,
                Some(LoginStep::More) if out.is_empty() => {}
                Some(LoginStep::More) => self.write(&out)?,
                None => return Err(refusal(&body)),
            }
        }
        self.settle()
    }

    /// From AuthenticationOk to ReadyForQuery.
    fn settle(&mut self) -> Result<(), LoginError> {
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'E' => return Err(refusal(&body)),
                b'S' => self.take_parameter(&body),
                b'Z' => return Ok(()),
                b'K' | b'N' => {}
                _ => return Err(LoginError::Protocol("an unexpected message ends the login")),
            }
        }
    }

    fn take_parameter(&mut self, body: &[u8]) {
        let mut reader = Reader::new(body);
        let mut text =
            || reader.cstr().map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
        let (name, value) = (text(), text());
        self.standing.report(&name, &value);
        if name == "server_version" {
            self.server_version = value.into_owned();
        }
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), LoginError> {
        let mut header = [0; 5];
        self.read(&mut header)?;
        let [kind, length @ ..] = header;
        let length = u32::from_be_bytes(length).checked_sub(4).ok_or(SHORT)?;
        if length > limits::SERVER_HELD_BYTES_MAX {
            return Err(LoginError::Protocol("a message of the target is too large"));
        }
        let mut body = vec![0; length as usize];
        self.read(&mut body)?;
        Ok((kind, body))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LoginError> {
        self.arm()?;
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).map_err(LoginError::from)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), LoginError> {
        let mut filled = 0;
        while filled < bytes.len() {
            self.arm()?;
            match self.stream.read(bytes.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => return Err(LoginError::Closed),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the socket what is left of the connection's time.
    fn arm(&self) -> Result<(), LoginError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LoginError::Timeout);
        }
        let socket = self.stream.socket();
        socket
            .set_read_timeout(Some(left))
            .and_then(|()| socket.set_write_timeout(Some(left)))
            .map_err(LoginError::Io)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Terminate, so that the target does not log a lost connection. It may be gone already.
        let _ = self.stream.write_all(&[b'X', 0, 0, 0, 4]);
        let _ = self.stream.flush();
    }
}

/// A connection, measured by what the target's settings ask for.
enum Measured {
    Fits(Connection),
    /// It does not, and is used when none does.
    Spare(Connection),
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(bytes),
            Stream::Tls(stream) => stream.read(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Why the target could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Its name gave no address.
    #[error("its name does not resolve to an address")]
    NoAddress,
    /// No address accepts a connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It does not offer TLS.
    #[error("it does not offer TLS, and the target's `tls` asks for it")]
    TlsRefused,
    /// The handshake failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It answered with an error.
    #[error("it answers {sqlstate}: {message}")]
    Refused {
        /// SQLSTATE.
        sqlstate: String,
        /// Its words.
        message: String,
    },
    /// The login failed; the words are those of records and metrics.
    #[error("the login failed: {}", Fault::new(Side::Server, *.0).label())]
    Login(FaultKind),
    /// No credential is configured, or no random bytes are to be had.
    #[error("there is no {0} to log in with")]
    Without(&'static str),
    /// None of its servers may be used; the words are those that clients read.
    #[error("{}", reply::words(&Fault::new(Side::Server, FaultKind::Target(*.0))).1)]
    Misfit(fault::Target),
    /// It broke the protocol.
    #[error("it does not speak the protocol: {0}")]
    Protocol(&'static str),
    /// It hung up.
    #[error("it closed the connection")]
    Closed,
    /// It was too slow.
    #[error("it did not answer in time")]
    Timeout,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(std::io::Error),
}

impl LoginError {
    /// Whether no other server of the target is tried after this one: what is wrong is wrong at
    /// all of them, or should not be passed over.
    fn is_last(&self) -> bool {
        match self {
            LoginError::NoAddress
            | LoginError::Connect { .. }
            | LoginError::Misfit(_)
            | LoginError::Closed
            | LoginError::Timeout
            | LoginError::Io(_) => false,
            LoginError::Refused { sqlstate, .. } => sqlstate != message::CANNOT_CONNECT_NOW,
            LoginError::TlsRefused
            | LoginError::Tls(_)
            | LoginError::Login(_)
            | LoginError::Without(_)
            | LoginError::Protocol(_) => true,
        }
    }
}

impl From<std::io::Error> for LoginError {
    fn from(error: std::io::Error) -> LoginError {
        match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => LoginError::Timeout,
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                LoginError::Closed
            }
            _ => LoginError::Io(error),
        }
    }
}

fn nonce() -> Result<String, LoginError> {
    let mut bytes = [0; 18];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| LoginError::Without("randomness of the system"))?;
    Ok(hex::text(&bytes))
}

/// The fields of a DataRow.
fn read_row(body: &[u8]) -> Option<Vec<Value>> {
    let mut reader = Reader::new(body);
    let count = reader.u16()?;
    let mut row = Vec::with_capacity(usize::from(count).min(64));
    for _ in 0..count {
        row.push(reader.value()?.map(|value| String::from_utf8_lossy(value).into_owned()));
    }
    reader.is_empty().then_some(row)
}

/// The fields of an ErrorResponse that a person needs.
fn refusal(body: &[u8]) -> LoginError {
    let field = |wanted: u8| {
        let found = message::error_fields(body).find(|(code, _)| *code == wanted);
        found.map_or_else(String::new, |(_, text)| String::from_utf8_lossy(text).into_owned())
    };
    LoginError::Refused { sqlstate: field(b'C'), message: field(b'M') }
}

const SHORT: LoginError = LoginError::Protocol("a message does not have its type's shape");
/// A catalog of a million columns is about 100 MB on the wire.
const ANSWER_BYTES_MAX: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_or_refused() {
        let good = b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0";
        let row = read_row(good).unwrap();
        assert_eq!(row, [Some("a".to_owned()), None, Some(String::new())]);
        for length in 0..good.len() {
            assert!(read_row(&good[..length]).is_none(), "{length}");
        }
        assert!(read_row(&[good.as_slice(), b"x"].concat()).is_none());
    }

    #[test]
    fn an_error_keeps_its_words() {
        let error = refusal(b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0");
        assert_eq!(error.to_string(), "it answers 28P01: password authentication failed");
    }
}
