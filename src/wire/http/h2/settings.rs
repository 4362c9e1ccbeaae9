//! What the two ends tell each other about themselves (RFC 9113 6.5).

use super::frame::{Code, Kind, short};
use super::{Fatal, Role};
use crate::limits::{
    H2_FRAME_BYTES_MAX, H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX, HPACK_TABLE_BYTES_MAX,
    HTTP_HEAD_BYTES_MAX,
};

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
/// RFC 8441 3.
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

/// What the peer said; until then the defaults of 6.5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) header_table_bytes: u32,
    pub(super) streams_max: u32,
    pub(super) window_bytes: u32,
    pub(super) frame_bytes_max: u32,
    pub(super) head_bytes_max: u32,
    pub(super) takes_connect: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            header_table_bytes: 4_096,
            streams_max: u32::MAX,
            window_bytes: 65_535,
            frame_bytes_max: 16_384,
            head_bytes_max: u32::MAX,
            takes_connect: false,
        }
    }
}

impl Settings {
    /// What the peer's frame changes.
    pub(super) fn with(mut self, payload: &[u8], peer: Role) -> Result<Settings, Fatal> {
        let (chunks, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Fatal::new(Code::FrameSize, "SETTINGS of no whole settings"));
        }
        for [n0, n1, v0, v1, v2, v3] in chunks {
            let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
            match u16::from_be_bytes([*n0, *n1]) {
                HEADER_TABLE_SIZE => self.header_table_bytes = value,
                // A server that would push says 1 (6.5.2: a client must not accept that).
                ENABLE_PUSH if value > 1 || (value == 1 && peer == Role::Server) => {
                    return Err(Fatal::new(Code::Protocol, "ENABLE_PUSH"));
                }
                MAX_CONCURRENT_STREAMS => self.streams_max = value,
                INITIAL_WINDOW_SIZE if value > i32::MAX as u32 => {
                    return Err(Fatal::new(Code::FlowControl, "INITIAL_WINDOW_SIZE"));
                }
                INITIAL_WINDOW_SIZE => self.window_bytes = value,
                MAX_FRAME_SIZE if !(16_384..1 << 24).contains(&value) => {
                    return Err(Fatal::new(Code::Protocol, "MAX_FRAME_SIZE"));
                }
                MAX_FRAME_SIZE => self.frame_bytes_max = value,
                MAX_HEADER_LIST_SIZE => self.head_bytes_max = value,
                ENABLE_CONNECT_PROTOCOL if value > 1 || (value == 0 && self.takes_connect) => {
                    return Err(Fatal::new(Code::Protocol, "ENABLE_CONNECT_PROTOCOL"));
                }
                ENABLE_CONNECT_PROTOCOL => self.takes_connect = value == 1,
                _ => {}
            }
        }
        Ok(self)
    }
}

/// Writes weir's own, once, at the start of a connection.
pub(super) fn announce(role: Role, takes_connect: bool, out: &mut Vec<u8>) {
    let mut all = vec![
        (HEADER_TABLE_SIZE, HPACK_TABLE_BYTES_MAX),
        (INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_BYTES),
        (MAX_FRAME_SIZE, H2_FRAME_BYTES_MAX),
        (MAX_HEADER_LIST_SIZE, HTTP_HEAD_BYTES_MAX as u32),
    ];
    match role {
        Role::Client => all.push((ENABLE_PUSH, 0)),
        Role::Server => {
            all.push((MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX as u32));
            if takes_connect {
                all.push((ENABLE_CONNECT_PROTOCOL, 1));
            }
        }
    }
    let bytes = |(name, value): (u16, u32)| {
        let ([n0, n1], [v0, v1, v2, v3]) = (name.to_be_bytes(), value.to_be_bytes());
        [n0, n1, v0, v1, v2, v3]
    };
    let payload: Vec<u8> = all.into_iter().flat_map(bytes).collect();
    short(Kind::Settings, 0, 0, &payload, out);
}
