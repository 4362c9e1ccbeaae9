//! Typed views over one whole message.
//!
//! In: the body of one message. Out: borrowed fields, or `None` when the body has another shape.
//! Never: a copy, a decision.
//!
//! Layouts: postgresql.org/docs/current/protocol-message-formats.html.

use crate::limits;
use crate::wire::reader::Reader;

/// Request codes that stand where a start-up packet has its version (pqcomm.h).
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// What a client may send before it has spoken to anybody.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstPacket<'b> {
    /// SSLRequest.
    Ssl,
    /// GSSENCRequest.
    GssEnc,
    /// CancelRequest with process id and secret (8 bytes in protocol 3.0, up to 260 in 3.2).
    Cancel(&'b [u8]),
    /// StartupMessage.
    Startup(Startup<'b>),
}

/// A StartupMessage.
#[derive(Debug, PartialEq, Eq)]
pub struct Startup<'b> {
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// Names and values, each ending in a zero byte, the list too; checked.
    params: &'b [u8],
}

impl<'b> Startup<'b> {
    /// Names and values in order.
    pub fn params(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + use<'b> {
        let mut reader = Reader::new(self.params);
        std::iter::from_fn(move || {
            let name = reader.cstr().filter(|name| !name.is_empty())?;
            Some((name, reader.cstr()?))
        })
    }

    /// The last value of a parameter, as the server would take it.
    pub fn param(&self, name: &str) -> Option<&'b [u8]> {
        self.params().filter(|(n, _)| *n == name.as_bytes()).last().map(|(_, value)| value)
    }
}

/// How many bytes the first packet has, from its first four; `None` if no packet is that long.
pub fn first_packet_bytes(length: [u8; 4]) -> Option<u32> {
    let bytes = u32::from_be_bytes(length);
    (8..=limits::STARTUP_PACKET_BYTES_MAX).contains(&bytes).then_some(bytes)
}

impl<'b> FirstPacket<'b> {
    /// Reads a whole packet, length included.
    pub fn parse(packet: &'b [u8]) -> Option<FirstPacket<'b>> {
        let mut reader = Reader::new(packet);
        let _length = reader.u32()?;
        match reader.u32()? {
            // PostgreSQL does not look at what may follow either of these codes.
            SSL_REQUEST => Some(FirstPacket::Ssl),
            GSSENC_REQUEST => Some(FirstPacket::GssEnc),
            CANCEL_REQUEST => Some(FirstPacket::Cancel(reader.rest())),
            version => {
                let startup = Startup {
                    major: (version >> 16) as u16,
                    minor: version as u16,
                    params: reader.rest(),
                };
                // Versions other than 3 may have another layout; they are refused by version.
                (startup.major != 3 || well_formed(startup.params))
                    .then_some(FirstPacket::Startup(startup))
            }
        }
    }
}

/// Pairs of strings and a final zero, nothing behind it.
fn well_formed(params: &[u8]) -> bool {
    let mut reader = Reader::new(params);
    loop {
        match reader.cstr() {
            None => return false,
            Some([]) => return reader.is_empty(),
            Some(_) => {
                if reader.cstr().is_none() {
                    return false;
                }
            }
        }
    }
}

/// The SSLRequest packet.
pub const SSL_REQUEST_PACKET: [u8; 8] = {
    let [a, b, c, d] = SSL_REQUEST.to_be_bytes();
    [0, 0, 0, 8, a, b, c, d]
};

/// SQLSTATE of a server that starts, stops or recovers (PostgreSQL: ERRCODE_CANNOT_CONNECT_NOW).
pub const CANNOT_CONNECT_NOW: &str = "57P03";

/// A CancelRequest packet for this key.
pub fn cancel_packet(key: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(8 + key.len());
    packet.extend_from_slice(&(8 + key.len() as u32).to_be_bytes());
    packet.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
    packet.extend_from_slice(key);
    packet
}

/// What Describe and Close name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'b> {
    /// A prepared statement.
    Statement(&'b [u8]),
    /// A portal.
    Portal(&'b [u8]),
}

/// A message of the frontend after the login.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientMessage<'b> {
    /// `Q`: text.
    Query(&'b [u8]),
    /// `P`.
    Parse(Parse<'b>),
    /// `B`.
    Bind(Bind<'b>),
    /// `D`.
    Describe(Named<'b>),
    /// `E`: portal and row limit (0: none).
    Execute(&'b [u8], u32),
    /// `C`.
    Close(Named<'b>),
    /// `S`.
    Sync,
    /// `H`.
    Flush,
    /// `d`.
    CopyData,
    /// `c`.
    CopyDone,
    /// `f`.
    CopyFail,
    /// `F`: OID of the function.
    FunctionCall(u32),
    /// `X`.
    Terminate,
}

/// A Parse.
#[derive(Debug, PartialEq, Eq)]
pub struct Parse<'b> {
    /// Name, empty for the unnamed statement.
    pub name: &'b [u8],
    /// Text.
    pub text: &'b [u8],
    /// Parameter types as the client states them, big-endian OIDs, 0 for unknown.
    types: &'b [u8],
}

impl Parse<'_> {
    /// Parameter types, 0 for unknown.
    pub fn types(&self) -> impl Iterator<Item = u32> + '_ {
        self.types.chunks_exact(4).filter_map(|oid| oid.try_into().ok().map(u32::from_be_bytes))
    }
}

/// A Bind, or its start.
#[derive(Debug, PartialEq, Eq)]
pub struct Bind<'b> {
    /// Portal, empty for the unnamed one.
    pub portal: &'b [u8],
    /// Statement.
    pub statement: &'b [u8],
    /// From the count of format codes to the last value.
    pub values: &'b [u8],
    /// Result formats, big-endian `i16`s: none, one for all, or one each.
    pub result_formats: &'b [u8],
}

/// Portal and statement name, which stand first in a Bind; the only part of a long Bind that is
/// held.
pub fn bind_names(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(body);
    Some((reader.cstr()?, reader.cstr()?))
}

impl<'b> Bind<'b> {
    fn parse(body: &'b [u8]) -> Option<Bind<'b>> {
        let mut reader = Reader::new(body);
        let (portal, statement) = (reader.cstr()?, reader.cstr()?);
        let from_formats = reader.rest();
        let formats = reader.u16()?;
        reader.bytes(usize::from(formats) * 2)?;
        for _ in 0..reader.u16()? {
            reader.value()?;
        }
        let values = from_formats.get(..from_formats.len() - reader.rest().len())?;
        let count = reader.u16()?;
        let result_formats = reader.bytes(usize::from(count) * 2)?;
        reader.is_empty().then_some(Bind { portal, statement, values, result_formats })
    }
}

impl<'b> ClientMessage<'b> {
    /// Reads a message of a logged-in client; `None` for an unknown tag or a wrong body.
    pub fn parse(tag: u8, body: &'b [u8]) -> Option<ClientMessage<'b>> {
        let mut reader = Reader::new(body);
        let message = match tag {
            b'Q' => ClientMessage::Query(reader.cstr()?),
            b'P' => {
                let (name, text) = (reader.cstr()?, reader.cstr()?);
                let count = reader.u16()?;
                let types = reader.bytes(usize::from(count) * 4)?;
                ClientMessage::Parse(Parse { name, text, types })
            }
            b'B' => return Bind::parse(body).map(ClientMessage::Bind),
            b'D' => ClientMessage::Describe(named(&mut reader)?),
            b'C' => ClientMessage::Close(named(&mut reader)?),
            b'E' => ClientMessage::Execute(reader.cstr()?, reader.u32()?),
            b'S' => ClientMessage::Sync,
            b'H' => ClientMessage::Flush,
            // The target does not look into these.
            b'X' => return Some(ClientMessage::Terminate),
            b'd' => return Some(ClientMessage::CopyData),
            b'c' => return Some(ClientMessage::CopyDone),
            b'f' => return Some(ClientMessage::CopyFail),
            b'F' => return reader.u32().map(ClientMessage::FunctionCall),
            _ => return None,
        };
        reader.is_empty().then_some(message)
    }
}

fn named<'b>(reader: &mut Reader<'b>) -> Option<Named<'b>> {
    match reader.u8()? {
        b'S' => reader.cstr().map(Named::Statement),
        b'P' => reader.cstr().map(Named::Portal),
        _ => None,
    }
}

/// One column of a RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'b> {
    /// Name in the answer.
    pub name: &'b [u8],
    /// Table it comes from, 0 for an expression.
    pub table_oid: u32,
    /// Attribute number in that table.
    pub attnum: i16,
    /// Type.
    pub type_oid: u32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// Columns of a RowDescription body, or `None` when it has another shape.
pub fn row_description(body: &[u8]) -> Option<Vec<Column<'_>>> {
    let mut reader = Reader::new(body);
    let count = reader.u16()?;
    let mut columns = Vec::with_capacity(usize::from(count).min(body.len() / 19));
    for _ in 0..count {
        let name = reader.cstr()?;
        let (table_oid, attnum, type_oid) = (reader.u32()?, reader.i16()?, reader.u32()?);
        let (_size, _modifier, format) = (reader.i16()?, reader.i32()?, reader.i16()?);
        columns.push(Column { name, table_oid, attnum, type_oid, format });
    }
    reader.is_empty().then_some(columns)
}

/// Parameter types of a ParameterDescription body.
pub fn parameter_description(body: &[u8]) -> Option<Vec<u32>> {
    let mut reader = Reader::new(body);
    let count = reader.u16()?;
    (0..count).map(|_| reader.u32()).collect()
}

/// Fields of an ErrorResponse or NoticeResponse body: code and text.
pub fn error_fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || {
        let code = reader.u8().filter(|&code| code != 0)?;
        Some((code, reader.cstr()?))
    })
}

/// The minor version that a NegotiateProtocolVersion body offers, of protocol 3.
pub fn negotiated_minor(body: &[u8]) -> Option<u16> {
    let version = Reader::new(body).u32()?;
    (version >> 16 == 3).then_some(version as u16)
}

/// The rows a command tag says were touched: `SELECT 3`, `INSERT 0 5`, `UPDATE 7`.
pub fn tag_rows(tag: &[u8]) -> u64 {
    let digits = tag.rsplit(|&byte| byte == b' ').next().unwrap_or(&[]);
    if digits.len() == tag.len() || digits.is_empty() || digits.len() > 19 {
        return 0;
    }
    digits
        .iter()
        .try_fold(0u64, |n, &d| d.is_ascii_digit().then(|| n * 10 + u64::from(d - b'0')))
        .unwrap_or(0)
}
