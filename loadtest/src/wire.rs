//! Requests as bytes, and answers as a count of messages.
//!
//! In: statements; the bytes of a server in any split. Out: messages; what ended.
//! Never: rows. `Scanner` walks over them by their length and copies nothing.

/// Statement name, parameter texts: what `Bind` takes.
pub type Parameters<'a> = &'a [&'a str];

/// A body that is looked at may not be longer; everything else is skipped.
const HELD_BYTES_MAX: usize = 64 << 10;

/// `SSLRequest`: does the server offer TLS? It says so with one byte.
pub fn ssl_request(out: &mut Vec<u8>) {
    out.extend_from_slice(&8_u32.to_be_bytes());
    out.extend_from_slice(&80_877_103_u32.to_be_bytes());
}

/// The start-up packet of protocol 3.0.
pub fn startup(out: &mut Vec<u8>, user: &str, database: &str) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&0x0003_0000_u32.to_be_bytes());
    for text in ["user", user, "database", database, "application_name", "weir-load"] {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    out.push(0);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A message whose body the closure writes.
pub fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// `Query`: a text, its answer ends with ReadyForQuery.
pub fn query(out: &mut Vec<u8>, text: &str) {
    message(out, b'Q', |out| cstring(out, text));
}

/// `Parse`, parameter types left to the server.
pub fn parse(out: &mut Vec<u8>, name: &str, text: &str) {
    message(out, b'P', |out| {
        cstring(out, name);
        cstring(out, text);
        out.extend_from_slice(&0_u16.to_be_bytes());
    });
}

/// `Bind` to the unnamed portal, values and results as text.
pub fn bind(out: &mut Vec<u8>, name: &str, parameters: Parameters<'_>) {
    message(out, b'B', |out| {
        cstring(out, "");
        cstring(out, name);
        out.extend_from_slice(&0_u16.to_be_bytes());
        out.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
        for value in parameters {
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(&0_u16.to_be_bytes());
    });
}

/// `Describe` of the unnamed portal.
pub fn describe(out: &mut Vec<u8>) {
    message(out, b'D', |out| {
        out.push(b'P');
        cstring(out, "");
    });
}

/// `Execute` of the unnamed portal, all rows.
pub fn execute(out: &mut Vec<u8>) {
    message(out, b'E', |out| {
        cstring(out, "");
        out.extend_from_slice(&0_u32.to_be_bytes());
    });
}

/// `Sync`.
pub fn sync(out: &mut Vec<u8>) {
    message(out, b'S', |_| {});
}

/// `CopyData`: bytes of a COPY, here a row with its end.
pub fn copy_data(out: &mut Vec<u8>, row: &[u8]) {
    message(out, b'd', |out| out.extend_from_slice(row));
}

/// `CopyDone`.
pub fn copy_done(out: &mut Vec<u8>) {
    message(out, b'c', |_| {});
}

/// `Terminate`.
pub fn terminate(out: &mut Vec<u8>) {
    message(out, b'X', |_| {});
}

fn cstring(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// One message of a server: its type, and its body if it is of a kind that is looked at
/// (errors, authentication, ReadyForQuery, CommandComplete), else empty.
pub struct Message<'a> {
    /// Type byte.
    pub kind: u8,
    /// Length of the whole message on the wire.
    pub bytes: usize,
    /// Body, or empty.
    pub body: &'a [u8],
}

/// Finds the ends of messages in a stream that arrives in any split.
///
/// Invariant: `have < 5` while the header is incomplete, then `have == 5` and `left` body bytes
/// are still to come.
#[derive(Debug, Default)]
pub struct Scanner {
    header: [u8; 5],
    have: usize,
    left: usize,
    length: usize,
    held: Vec<u8>,
}

impl Scanner {
    /// A scanner at the start of a message.
    pub fn new() -> Scanner {
        Scanner::default()
    }

    /// Walks over `bytes`, calls `each` at every message that ends in them.
    ///
    /// # Errors
    /// A length below four: this is no PostgreSQL server.
    pub fn scan(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), BadLength> {
        while !bytes.is_empty() {
            if self.have < 5 {
                let take = bytes.len().min(5 - self.have);
                self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
                self.have += take;
                bytes = &bytes[take..];
                if self.have < 5 {
                    break;
                }
                let [_, a, b, c, d] = self.header;
                self.length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.left = self.length.checked_sub(4).ok_or(BadLength)?;
                self.held.clear();
            }
            let take = self.left.min(bytes.len());
            let (now, rest) = bytes.split_at(take);
            if looked_at(self.header[0]) && self.held.len() + take <= HELD_BYTES_MAX {
                self.held.extend_from_slice(now);
            }
            self.left -= take;
            bytes = rest;
            if self.left == 0 {
                self.have = 0;
                each(Message { kind: self.header[0], bytes: self.length + 1, body: &self.held });
            }
        }
        Ok(())
    }
}

/// A message length that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLength;

const fn looked_at(kind: u8) -> bool {
    matches!(kind, b'E' | b'R' | b'Z' | b'C')
}

/// The text of an ErrorResponse body: `SQLSTATE message`.
pub fn error_text(body: &[u8]) -> String {
    let field = |wanted: u8| {
        body.split(|&byte| byte == 0)
            .find(|field| field.first() == Some(&wanted))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
            .unwrap_or_default()
    };
    format!("{} {}", field(b'C'), field(b'M'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(pieces: &[&[u8]]) -> Vec<(u8, usize, Vec<u8>)> {
        let mut scanner = Scanner::new();
        let mut seen = vec![];
        for piece in pieces {
            scanner.scan(piece, |m| seen.push((m.kind, m.bytes, m.body.to_vec()))).unwrap();
        }
        seen
    }

    #[test]
    fn the_split_makes_no_difference() {
        let bytes = b"D\0\0\0\x08rows1\0\0\0\x04Z\0\0\0\x05ID\0\0\0\x04";
        let whole = kinds(&[bytes]);
        assert_eq!(
            whole,
            [(b'D', 9, vec![]), (b'1', 5, vec![]), (b'Z', 6, b"I".to_vec()), (b'D', 5, vec![])]
        );
        for at in 0..bytes.len() {
            assert_eq!(kinds(&[&bytes[..at], &bytes[at..]]), whole, "split at {at}");
        }
    }

    #[test]
    fn a_length_below_four_is_refused() {
        assert_eq!(Scanner::new().scan(b"Z\0\0\0\x03", |_| {}), Err(BadLength));
    }

    #[test]
    fn messages_have_their_lengths() {
        let mut out = vec![];
        startup(&mut out, "u", "d");
        assert_eq!(out[..4], (out.len() as u32).to_be_bytes());
        out.clear();
        query(&mut out, "SELECT 1");
        parse(&mut out, "s", "SELECT $1");
        bind(&mut out, "s", &["7"]);
        describe(&mut out);
        execute(&mut out);
        sync(&mut out);
        terminate(&mut out);
        let sent: Vec<u8> = kinds(&[&out]).iter().map(|m| m.0).collect();
        assert_eq!(sent, b"QPBDESX");
    }

    #[test]
    fn errors_are_one_line() {
        assert_eq!(error_text(b"SERROR\0C42601\0Msyntax error\0\0"), "42601 syntax error");
    }
}
