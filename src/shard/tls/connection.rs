//! One TLS connection, on rustls' interface without buffers: records are opened where they were
//! received and sealed into the buffer that is sent. What idles holds no buffer.
//!
//! In: record bytes, plaintext. Out: plaintext, record bytes, facts of the handshake.
//! Never: 0-RTT data; plaintext before the handshake is over.
//!
//! ```text
//! received --+--> partial: the start of a record, until the rest of it is there
//!            +--> opened in place --> plaintext
//!                               \---> own: what TLS itself has to say --+
//! plaintext ------------------------------> sealed ---------------------+--> record bytes
//! ```

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, ProtocolVersion};

use crate::identify::certificate;
use crate::session::TlsFacts;

use super::{CHOSEN, Certificates, Chosen};

/// Plaintext that is sealed at once.
const SEAL_BYTES_MAX: usize = 64 << 10;
/// More than what that many bytes grow by: 29 for each 16 KiB (RFC 5246, section 6.2.3.3).
const SEAL_BYTES_MORE: usize = 256;
/// Type, version and length of a record (RFC 8446, section 5.1).
const RECORD_HEADER_BYTES: usize = 5;

/// What a piece of record bytes brought.
#[derive(Debug, Default)]
pub struct Received {
    /// The handshake has just finished.
    pub finished: Option<TlsFacts>,
    /// The peer said that it sends no more.
    pub closed: bool,
}

/// One TLS connection.
#[derive(Debug)]
pub struct Tls {
    role: Role,
    handshaking: bool,
    /// Received, and not whole yet: a record, or a message of a handshake in several of them.
    partial: Vec<u8>,
    /// Handshake, alerts and tickets that wait to be sent.
    own: Vec<u8>,
    /// The peer said that it sends no more.
    closed: bool,
    /// An error was found, and rustls may not be asked again: it knows of places in bytes that are
    /// gone.
    failed: bool,
    /// What clients are shown, and which of it this one was, in the server's role.
    certificates: Option<(Arc<Certificates>, Chosen)>,
}

enum Role {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// Does the same with either role's connection.
macro_rules! each {
    ($role:expr, $connection:pat => $result:expr) => {
        match $role {
            Role::Server($connection) => $result,
            Role::Client($connection) => $result,
        }
    };
}

impl Tls {
    /// A server that has these certificates.
    pub fn server(connection: UnbufferedServerConnection, all: Arc<Certificates>) -> Tls {
        Tls::new(Role::Server(connection), Some((all, Chosen::default())))
    }

    /// A client, which has its first message to send.
    ///
    /// # Errors
    /// rustls cannot make it.
    pub fn client(connection: UnbufferedClientConnection) -> Result<Tls, Error> {
        let mut tls = Tls::new(Role::Client(connection), None);
        tls.open(&mut [], &mut Vec::new())?;
        Ok(tls)
    }

    fn new(role: Role, certificates: Option<(Arc<Certificates>, Chosen)>) -> Tls {
        let (partial, own) = (Vec::new(), Vec::new());
        Tls { role, handshaking: true, partial, own, closed: false, failed: false, certificates }
    }

    /// Takes record bytes, and opens them where they are; plaintext is appended to `plain`.
    ///
    /// # Errors
    /// The peer broke the protocol or is not who it should be. An alert for it waits to be sent.
    pub fn receive(
        &mut self,
        mut bytes: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Received, Error> {
        let was_closed = self.closed;
        while !self.partial.is_empty() && !bytes.is_empty() {
            let (now, rest) = bytes.split_at_mut(missing(&self.partial).min(bytes.len()));
            bytes = rest;
            let mut partial = std::mem::take(&mut self.partial);
            partial.extend_from_slice(now);
            let opened = self.open(&mut partial, plain)?;
            partial.drain(..opened);
            // An empty one is freed: most records come whole.
            self.partial = if partial.is_empty() { Vec::new() } else { partial };
        }
        if !bytes.is_empty() {
            let opened = self.open(bytes, plain)?;
            self.partial.extend_from_slice(bytes.get(opened..).unwrap_or(&[]));
        }
        if self.closed {
            // After the peer's last word nothing counts (RFC 8446, section 6.1).
            self.partial = Vec::new();
        }
        let finished = self.handshaking && !self.common().is_handshaking();
        self.handshaking &= !finished;
        let finished = finished.then(|| self.facts());
        Ok(Received { finished, closed: self.closed && !was_closed })
    }

    /// Opens what is whole of `bytes`; how much of it is done with.
    fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Error> {
        if self.failed {
            return Err(Error::General("bytes behind an error of TLS".to_owned()));
        }
        let (own, closed) = (&mut self.own, &mut self.closed);
        CHOSEN.take();
        let opened = each!(&mut self.role, it => open(it, bytes, plain, (own, closed)));
        if let (Some((_, chosen)), Some(shown)) = (&mut self.certificates, CHOSEN.take()) {
            *chosen = shown;
        }
        self.failed = opened.is_err();
        opened
    }

    /// Whether plaintext can be sealed.
    pub fn is_established(&self) -> bool {
        !self.handshaking
    }

    /// Appends to `out` the records of the first plaintext, so many bytes of it as are returned,
    /// behind what TLS itself has to say. None are taken when the keys are worn out (the peer is
    /// told, and leaves); all are, to no end, when the peer was told of an error.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> usize {
        assert!(!self.handshaking, "plaintext before the end of the handshake");
        self.write_own(out);
        if self.failed {
            return plain.len();
        }
        let plain = plain.get(..SEAL_BYTES_MAX).unwrap_or(plain);
        let partial = &mut self.partial;
        each!(&mut self.role, it => write(it, partial, out, |traffic, out| {
            append(out, plain.len() + SEAL_BYTES_MORE, |room| traffic.encrypt(plain, room))
        }))
        .map_or(0, |()| plain.len())
    }

    /// Appends to `out` what TLS itself has to say.
    pub fn write_own(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.own);
    }

    /// Whether it has something to say.
    pub fn wants_write(&self) -> bool {
        !self.own.is_empty()
    }

    /// Appends to `out` that nothing more will be sent.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.write_own(out);
        if self.failed {
            return;
        }
        let partial = &mut self.partial;
        // A connection that can say nothing any more has said so.
        let _ = each!(&mut self.role, it => write(it, partial, out, |traffic, out| {
            append(out, SEAL_BYTES_MORE, |room| traffic.queue_close_notify(room))
        }));
    }

    fn common(&self) -> &CommonState {
        each!(&self.role, it => it)
    }

    fn facts(&mut self) -> TlsFacts {
        let certificates = self.certificates.take();
        let shown = certificates.as_ref().and_then(|(all, chosen)| all.shown(*chosen));
        let common = self.common();
        let leaf = common.peer_certificates().and_then(|chain| chain.first());
        let peer_certificate = leaf.map(|leaf| leaf.to_vec());
        let end_point = match &self.role {
            Role::Server(_) => certificates.and_then(|(all, chosen)| all.end_point(chosen)),
            Role::Client(_) => peer_certificate.as_deref().and_then(certificate::end_point),
        };
        TlsFacts {
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1_3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1_2",
                _ => "",
            },
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificate,
            end_point,
            shown,
        }
    }
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Server(_) => "Server",
            Role::Client(_) => "Client",
        })
    }
}

/// rustls has these methods once for each role.
trait Connection {
    type Data;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// Whether there are records to encode.
    fn has_records(&self) -> bool;
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        bytes: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(bytes)
    }

    fn has_records(&self) -> bool {
        self.wants_write()
    }
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        bytes: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(bytes)
    }

    fn has_records(&self) -> bool {
        self.wants_write()
    }
}

fn open<C: Connection>(
    connection: &mut C,
    bytes: &mut [u8],
    plain: &mut Vec<u8>,
    (own, closed): (&mut Vec<u8>, &mut bool),
) -> Result<usize, Error> {
    let mut opened = 0;
    loop {
        let rest = bytes.get_mut(opened..).unwrap_or_default();
        let UnbufferedStatus { mut discard, state, .. } = connection.process(rest);
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                alert(connection, bytes.get_mut(opened + discard..).unwrap_or_default(), own);
                return Err(error);
            }
        };
        let over = match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    plain.extend_from_slice(record.payload);
                    discard += record.discard;
                }
                false
            }
            ConnectionState::EncodeTlsData(data) => {
                encode(data, own);
                false
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                false
            }
            ConnectionState::PeerClosed => {
                *closed = true;
                false
            }
            ConnectionState::BlockedHandshake
            | ConnectionState::WriteTraffic(_)
            | ConnectionState::Closed => true,
            _ => return Err(Error::General("a state of TLS that was not asked for".to_owned())),
        };
        opened += discard;
        if over {
            return Ok(opened);
        }
    }
}

/// What the peer is told of an error. Once all is told rustls must not look at these bytes again.
fn alert<C: Connection>(connection: &mut C, rest: &mut [u8], own: &mut Vec<u8>) {
    while connection.has_records()
        && let Ok(ConnectionState::EncodeTlsData(data)) = connection.process(rest).state
    {
        encode(data, own);
    }
}

/// Has `traffic` appended to `out`. `partial` stands where rustls left it, since it may know of
/// places in it. `None` when nothing may be said any more.
fn write<C: Connection>(
    connection: &mut C,
    partial: &mut [u8],
    out: &mut Vec<u8>,
    mut traffic: impl FnMut(&mut WriteTraffic<'_, C::Data>, &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let mut said = None;
    loop {
        match connection.process(partial).state {
            Ok(ConnectionState::WriteTraffic(mut state)) if said.is_none() => {
                said = Some(traffic(&mut state, out));
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(_) | Err(_) => return said.flatten(),
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) {
    let encoded = append(out, 0, |room| {
        data.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => EncryptError::InsufficientSize(size),
            EncodeError::AlreadyEncoded => EncryptError::EncryptExhausted,
        })
    });
    assert!(encoded.is_some(), "a record is encoded once");
}

/// Appends what `write` puts into the room it is given: so much to begin with, and as much as it
/// asks for. `None` when it may say no more.
fn append(
    out: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Option<()> {
    let before = out.len();
    out.resize(before + room, 0);
    loop {
        match write(out.get_mut(before..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(before + written);
                return Some(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                out.resize(before + required_size, 0);
            }
            Err(EncryptError::EncryptExhausted) => {
                out.truncate(before);
                return None;
            }
        }
    }
}

/// Bytes until the record that has begun is whole, or until its length is known; any number if
/// whole ones wait for more.
fn missing(partial: &[u8]) -> usize {
    let whole = match partial.get(3..RECORD_HEADER_BYTES) {
        Some(&[high, low]) => RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([high, low])),
        _ => RECORD_HEADER_BYTES,
    };
    match whole.saturating_sub(partial.len()) {
        0 => usize::MAX,
        missing => missing,
    }
}
