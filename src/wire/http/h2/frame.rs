//! Frames: their heads, types, flags and error codes (RFC 9113 4.1, 6, 7).
//!
//! ```text
//!   +---------------+----------+-----------+---+---------------------+----------------------
//!   | length (24)   | type (8) | flags (8) | R | stream (31)         | payload (length)
//!   +---------------+----------+-----------+---+---------------------+----------------------
//! ```

/// The first bytes of a client's connection (3.4); its SETTINGS follow.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 9;

pub(super) const END_STREAM: u8 = 0x01;
pub(super) const ACK: u8 = 0x01;
pub(super) const END_HEADERS: u8 = 0x04;
pub(super) const PADDED: u8 = 0x08;
pub(super) const PRIORITY: u8 = 0x20;

/// Types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    Goaway,
    WindowUpdate,
    Continuation,
    /// Ignored (5.5): ALTSVC, ORIGIN, greasing.
    Unknown,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::Data,
        Kind::Headers,
        Kind::Priority,
        Kind::RstStream,
        Kind::Settings,
        Kind::PushPromise,
        Kind::Ping,
        Kind::Goaway,
        Kind::WindowUpdate,
        Kind::Continuation,
    ];

    fn read(byte: u8) -> Kind {
        Kind::ALL.get(usize::from(byte)).copied().unwrap_or(Kind::Unknown)
    }
}

/// Why a stream or a connection ends (7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Code {
    /// NO_ERROR.
    None = 0,
    /// PROTOCOL_ERROR.
    Protocol = 1,
    /// INTERNAL_ERROR.
    Internal = 2,
    /// FLOW_CONTROL_ERROR.
    FlowControl = 3,
    /// SETTINGS_TIMEOUT.
    SettingsTimeout = 4,
    /// STREAM_CLOSED.
    StreamClosed = 5,
    /// FRAME_SIZE_ERROR.
    FrameSize = 6,
    /// REFUSED_STREAM: nothing was done, the request may be sent again.
    RefusedStream = 7,
    /// CANCEL.
    Cancel = 8,
    /// COMPRESSION_ERROR.
    Compression = 9,
    /// CONNECT_ERROR.
    Connect = 10,
    /// ENHANCE_YOUR_CALM.
    Calm = 11,
    /// INADEQUATE_SECURITY.
    Security = 12,
    /// HTTP_1_1_REQUIRED.
    Http11Required = 13,
}

impl Code {
    const ALL: [Code; 14] = [
        Code::None,
        Code::Protocol,
        Code::Internal,
        Code::FlowControl,
        Code::SettingsTimeout,
        Code::StreamClosed,
        Code::FrameSize,
        Code::RefusedStream,
        Code::Cancel,
        Code::Compression,
        Code::Connect,
        Code::Calm,
        Code::Security,
        Code::Http11Required,
    ];

    /// One that is unknown is as good as INTERNAL_ERROR (7).
    pub(super) fn read(number: u32) -> Code {
        usize::try_from(number)
            .ok()
            .and_then(|index| Code::ALL.get(index).copied())
            .unwrap_or(Code::Internal)
    }

    /// The name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Code::None => "NO_ERROR",
            Code::Protocol => "PROTOCOL_ERROR",
            Code::Internal => "INTERNAL_ERROR",
            Code::FlowControl => "FLOW_CONTROL_ERROR",
            Code::SettingsTimeout => "SETTINGS_TIMEOUT",
            Code::StreamClosed => "STREAM_CLOSED",
            Code::FrameSize => "FRAME_SIZE_ERROR",
            Code::RefusedStream => "REFUSED_STREAM",
            Code::Cancel => "CANCEL",
            Code::Compression => "COMPRESSION_ERROR",
            Code::Connect => "CONNECT_ERROR",
            Code::Calm => "ENHANCE_YOUR_CALM",
            Code::Security => "INADEQUATE_SECURITY",
            Code::Http11Required => "HTTP_1_1_REQUIRED",
        }
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> FrameHead {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        FrameHead {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind::read(kind),
            flags,
            // The reserved bit is ignored (4.1).
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn bytes(&self) -> [u8; HEAD_BYTES] {
        assert!(self.kind != Kind::Unknown, "a frame of no type");
        assert!(self.length < 1 << 24, "a frame of {} bytes", self.length);
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind as u8, self.flags, s0, s1, s2, s3]
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }
}

/// Writes a frame whose payload is short.
pub(super) fn short(kind: Kind, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    FrameHead { length: payload.len() as u32, kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Four bytes of a payload.
pub(super) fn u32_at(payload: &[u8], at: usize) -> Option<u32> {
    payload.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
