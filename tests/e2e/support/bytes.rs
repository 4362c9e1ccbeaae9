//! Requests of HTTP/1.1 and HTTP/2 made byte by byte, as the user of weir.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::weir::{USER, USER_PASSWORD};

pub fn login() -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{USER_PASSWORD}")))
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("weir listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// The head of a request of HTTP/1.1, with more lines.
pub fn head(method: &str, path: &str, more: &str) -> Vec<u8> {
    let login = login();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\n{more}\r\n")
        .into_bytes()
}

/// The content of one answer that is good and has a Content-Length, if all of it comes.
pub fn answered(stream: &mut TcpStream) -> Option<String> {
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        said.push(byte[0]);
    }
    let head = String::from_utf8(said).ok()?.to_lowercase();
    let mut lines = head.strip_prefix("http/1.1 200 ")?.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: "))?;
    let mut content = vec![0; length.parse().ok()?];
    stream.read_exact(&mut content).ok()?;
    String::from_utf8(content).ok()
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const CALM: u32 = 11;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field that no table remembers.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    literal(0, name, value)
}

pub fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![first];
    for part in [name, value] {
        let length = part.len();
        // The prefix has seven bits, what is left follows by seven.
        if length < 127 {
            bytes.push(length as u8);
        } else {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push(rest as u8 & 127 | 128);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        bytes.extend(part.as_bytes());
    }
    bytes
}

pub fn fields(method: &str, path: &str) -> Vec<u8> {
    let login = login();
    let all = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("authorization", &login),
    ];
    all.iter().flat_map(|(name, value)| field(name, value)).collect()
}

pub fn get(id: u32, path: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, id, &fields("GET", path))
}

pub fn setting(number: u16, value: u32) -> Vec<u8> {
    let payload = [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

pub fn grant(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW, 0, stream, &bytes.to_be_bytes())
}

/// A client.
pub struct Two {
    pub stream: TcpStream,
    heard: Vec<u8>,
    last: u32,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Goaway(u32),
    Closed,
}

impl Two {
    pub fn connect(port: u16) -> Two {
        Two::with(port, &[])
    }

    /// With settings of its own.
    pub fn with(port: u16, settings: &[u8]) -> Two {
        let mut two = Two { stream: connect(port), heard: Vec::new(), last: 0 };
        two.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        two.say(&[&frame(SETTINGS, 0, 0, &[])[..], settings].concat());
        two
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("weir listens");
    }

    pub fn next_id(&mut self) -> u32 {
        self.last = if self.last == 0 { 1 } else { self.last + 2 };
        self.last
    }

    /// The next whole frame of what was heard: kind, flags, stream, payload.
    fn take(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = self.heard.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let payload = self.heard.get(9..9 + length)?.to_vec();
        self.heard.drain(..9 + length);
        Some((kind, flags, id, payload))
    }

    /// The next frame, waited for; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.heard.extend(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads until a frame is wanted (`None`) or the connection ends.
    pub fn until(&mut self, mut wanted: impl FnMut(u8, &[u8]) -> bool) -> Option<End> {
        while let Some((kind, _, _, payload)) = self.next() {
            if kind == GOAWAY {
                let code = payload[4..8].try_into().expect("four bytes");
                return Some(End::Goaway(u32::from_be_bytes(code)));
            }
            if wanted(kind, &payload) {
                return None;
            }
        }
        Some(End::Closed)
    }

    /// Sends what `make` says of 0, 1, 2, .. and reads meanwhile, until the connection ends.
    pub fn flood(&mut self, count: u32, mut make: impl FnMut(u32) -> Vec<u8>) -> Option<End> {
        let mut writer = self.stream.try_clone().expect("a second handle");
        let pieces: Vec<u8> = (0..count).flat_map(&mut make).collect();
        let pouring = thread::spawn(move || {
            let _ = writer.write_all(&pieces);
            // What tells that all of it was looked at.
            let _ = writer.write_all(&frame(PING, 0, 0, b"the last"));
        });
        let end = self.until(|kind, payload| kind == PING && payload == b"the last");
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        pouring.join().expect("no panic");
        end
    }
}
