//! A PostgreSQL client that hides nothing: messages as bytes, sent in any pieces.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};

use super::Endpoint;

/// A message of the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(400)];
        write!(f, "{} {:?}", char::from(self.kind), String::from_utf8_lossy(shown))
    }
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse, empty when it is not there.
    pub fn field(&self, code: u8) -> String {
        let mut fields = self.body.split(|byte| *byte == 0);
        let found = fields.find(|field| field.first() == Some(&code));
        found.map_or(String::new(), |field| String::from_utf8_lossy(&field[1..]).into_owned())
    }

    /// The values of a DataRow as text; NULL is `None`.
    pub fn values(&self) -> Vec<Option<String>> {
        assert_eq!(self.kind, b'D', "{self:?}");
        let mut rest = &self.body[2..];
        let mut values = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            let value = after.get(..length.max(0) as usize).expect("a value of the stated length");
            values.push((length >= 0).then(|| String::from_utf8_lossy(value).into_owned()));
            rest = &after[value.len()..];
        }
        values
    }
}

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// Connects and says nothing.
    pub fn connect(port: u16) -> Raw {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Raw { stream, buffer: Vec::new() }
    }

    /// Connects and logs in, in clear.
    pub fn login(endpoint: &Endpoint) -> Raw {
        let (raw, messages) = Raw::try_login(endpoint);
        let last = messages.last();
        assert!(last.is_some_and(|message| message.kind == b'Z'), "{messages:?}");
        raw
    }

    /// Connects, tries to log in, and returns all that the server said after the SASL exchange.
    pub fn try_login(endpoint: &Endpoint) -> (Raw, Vec<Message>) {
        let mut raw = Raw::connect(endpoint.port);
        raw.send(&startup(&[("user", &endpoint.user), ("database", &endpoint.dbname)]));
        let mut messages = Vec::new();
        loop {
            let Ok(Some(message)) = raw.read() else { return (raw, messages) };
            match (message.kind, message.body.first_chunk::<4>()) {
                (b'R', Some([0, 0, 0, 10])) => raw.scram(&endpoint.password, &mut messages),
                (b'R', Some([0, 0, 0, 0])) => messages.push(message),
                (b'R', _) => panic!("an authentication this client does not know: {message:?}"),
                _ => messages.push(message),
            }
            if messages.last().is_some_and(|message| matches!(message.kind, b'Z' | b'E')) {
                return (raw, messages);
            }
        }
    }

    /// Logs in at weir without waiting for the target: what it says is left to be read, or not.
    pub fn try_login_quietly(endpoint: &Endpoint) -> Raw {
        let mut raw = Raw::connect(endpoint.port);
        raw.send(&startup(&[("user", &endpoint.user), ("database", &endpoint.dbname)]));
        let asked = raw.read().expect("an answer");
        assert!(asked.is_some_and(|message| message.kind == b'R'), "no request to prove oneself");
        raw.scram(&endpoint.password, &mut Vec::new());
        raw
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// SCRAM-SHA-256 as RFC 5802 has it, without channel binding; checks the server's proof too.
    fn scram(&mut self, password: &str, messages: &mut Vec<Message>) {
        let first = format!("n=,r={}", super::scratch::canary("n"));
        let mut body = b"SCRAM-SHA-256\0".to_vec();
        body.extend((first.len() as u32 + 3).to_be_bytes());
        body.extend(format!("n,,{first}").as_bytes());
        self.send(&message(b'p', &body));
        let Ok(Some(answer)) = self.read() else { return };
        if answer.kind != b'R' {
            messages.push(answer);
            return;
        }
        let challenge = String::from_utf8_lossy(&answer.body[4..]).into_owned();
        let part = |name: &str| {
            let found = challenge.split(',').find_map(|part| part.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {challenge}"))
        };
        let salt = BASE64.decode(part("s=")).expect("base64");
        let rounds = part("i=").parse().expect("a number of iterations");
        let mut salted = [0u8; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, rounds, &salt, password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
        };
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let last = format!("c=biws,r={}", part("r="));
        let all = format!("{first},{challenge},{last}");
        let signature = sign(stored_key.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.send(&message(b'p', format!("{last},p={}", BASE64.encode(proof)).as_bytes()));
        let Ok(Some(answer)) = self.read() else { return };
        if answer.kind != b'R' {
            messages.push(answer);
            return;
        }
        let expect = sign(&sign(&salted, b"Server Key"), all.as_bytes());
        let verifier = format!("v={}", BASE64.encode(expect));
        assert_eq!(String::from_utf8_lossy(&answer.body[4..]), verifier, "the server's proof");
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes bytes");
    }

    /// Sends without caring whether the server still listens.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends in pieces of `size` bytes, each its own segment.
    pub fn send_split(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            self.send(piece);
        }
    }

    /// Ends this side's direction.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    pub fn set_timeout(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a timeout");
    }

    /// One byte, for the answer to SSLRequest.
    pub fn read_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0u8];
        Ok((self.read_some(&mut byte)? == 1).then_some(byte[0]))
    }

    /// A read with a timeout fails when the process was stopped and goes on; that is no answer.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.stream.read_timeout()?;
        let begun = Instant::now();
        loop {
            match self.stream.read(buffer) {
                Err(error)
                    if error.kind() == ErrorKind::Interrupted
                        && limit.is_none_or(|limit| begun.elapsed() < limit) => {}
                other => return other,
            }
        }
    }

    /// The next message; `None` at the end of the stream.
    pub fn read(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(header) = self.buffer.first_chunk::<5>() {
                let [kind, length @ ..] = *header;
                let length = u32::from_be_bytes(length) as usize;
                assert!(length >= 4, "the server stated the length {length} for {kind:#x}");
                if self.buffer.len() > length {
                    let body = self.buffer[5..=length].to_vec();
                    self.buffer.drain(..=length);
                    return Ok(Some(Message { kind, body }));
                }
            }
            let mut piece = [0u8; 65536];
            match self.read_some(&mut piece)? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Messages up to `count` ReadyForQuery, or to the end of the stream.
    pub fn read_ready(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut ready = 0;
        while ready < count {
            match self.read() {
                Ok(Some(message)) => {
                    ready += usize::from(message.kind == b'Z');
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) => panic!("{error} after {messages:?}"),
            }
        }
        messages
    }

    /// All that comes until the server closes; a reset counts as closing.
    pub fn read_to_end(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.read() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return messages,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return messages,
                Err(error) => panic!("{error} after {messages:?}"),
            }
        }
    }

    /// A simple query, to its ReadyForQuery.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.send(&query(sql));
        self.read_ready(1)
    }

    /// The rows of a simple query that must succeed.
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.query(sql);
        assert!(messages.iter().all(|message| message.kind != b'E'), "{sql}: {messages:?}");
        messages.iter().filter(|m| m.kind == b'D').map(Message::values).collect()
    }

    /// SQLSTATE of a simple query that must fail and leave the session usable.
    pub fn fails(&mut self, sql: &str) -> String {
        let messages = self.query(sql);
        assert_eq!(messages.last().map(|message| message.kind), Some(b'Z'), "{messages:?}");
        sqlstate(&messages).unwrap_or_else(|| panic!("{sql} did not fail: {messages:?}"))
    }
}

/// SQLSTATE of the first error.
pub fn sqlstate(messages: &[Message]) -> Option<String> {
    messages.iter().find(|message| message.kind == b'E').map(|message| message.field(b'C'))
}

/// The kinds in order, as letters.
pub fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.kind)).collect()
}

/// A message with its type byte.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A start-up packet of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(name.as_bytes());
        body.push(0);
        body.extend(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    packet(&body)
}

/// A start-up packet with any content.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 4).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
pub const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), &[0]].concat()
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &text(sql))
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[text(name), text(sql), vec![0, 0]].concat())
}

/// Bind with text parameters and text results; `None` is NULL.
pub fn bind(portal: &str, statement: &str, values: &[Option<&str>]) -> Vec<u8> {
    let mut body = [text(portal), text(statement), vec![0, 0]].concat();
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
        body.extend(value.unwrap_or_default().as_bytes());
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

pub fn describe(what: u8, name: &str) -> Vec<u8> {
    message(b'D', &[vec![what], text(name)].concat())
}

pub fn close(what: u8, name: &str) -> Vec<u8> {
    message(b'C', &[vec![what], text(name)].concat())
}

pub fn execute(portal: &str, rows_max: u32) -> Vec<u8> {
    message(b'E', &[text(portal), rows_max.to_be_bytes().to_vec()].concat())
}

pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

/// Parse, Bind, Describe, Execute of the unnamed statement, without Sync.
pub fn extended(sql: &str, values: &[Option<&str>]) -> Vec<u8> {
    [parse("", sql), bind("", "", values), describe(b'P', ""), execute("", 0)].concat()
}
