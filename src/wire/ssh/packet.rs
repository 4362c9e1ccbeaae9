//! Where a packet starts and ends, in both directions.
//!
//! In: bytes of one peer in any split; payloads to seal. Out: payloads, as places in the buffer of
//! what came; sealed bytes. Never: more memory than what was fed and one packet, a payload whose
//! packet is not authentic.

use std::ops::Range;

use super::Broken;
use super::cipher::{Keys, LENGTH_BYTES};

/// Opens the packets of one peer.
#[derive(Debug)]
pub struct Inbound {
    buffer: Vec<u8>,
    /// What is before it was handed out.
    start: usize,
    /// The length of the packet at `start`, once it was opened.
    length: Option<u32>,
    keys: Keys,
    sequence: u32,
    /// Packets and bytes under these keys.
    packets: u64,
    bytes: u64,
}

/// Seals packets for one peer.
#[derive(Debug)]
pub struct Outbound {
    keys: Keys,
    sequence: u32,
    packets: u64,
    bytes: u64,
}

/// A buffer that holds no more than this when it is empty keeps its memory.
const BUFFER_KEPT_BYTES: usize = 16 << 10;

impl Default for Inbound {
    fn default() -> Inbound {
        Inbound {
            buffer: Vec::new(),
            start: 0,
            length: None,
            keys: Keys::Clear,
            sequence: 0,
            packets: 0,
            bytes: 0,
        }
    }
}

impl Default for Outbound {
    fn default() -> Outbound {
        Outbound { keys: Keys::Clear, sequence: 0, packets: 0, bytes: 0 }
    }
}

impl Inbound {
    /// Whether part of a packet came, whose rest is on its way.
    pub fn is_cut(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Adds bytes of the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// What was not taken yet.
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or(&[])
    }

    /// Drops bytes off the front: the version line.
    pub fn skip(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
    }

    /// The bytes of a payload.
    pub fn payload(&self, place: &Range<usize>) -> &[u8] {
        self.buffer.get(place.clone()).unwrap_or(&[])
    }

    /// Opens the next packet if all of it is there; the payload stays until the next call.
    ///
    /// # Errors
    /// What is wrong with the packet; nothing is to be read afterwards.
    pub fn next(&mut self, packet_bytes_max: u32) -> Result<Option<Range<usize>>, Broken> {
        if self.start == self.buffer.len() && self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
            self.start = 0;
        }
        let length = match self.length {
            Some(length) => length,
            None => {
                let end = self.start + self.keys.head_bytes();
                let Some(head) = self.buffer.get_mut(self.start..end) else { return Ok(None) };
                let length = self.keys.open_length(self.sequence, head);
                if length > packet_bytes_max {
                    return Err(Broken::PacketBytes);
                }
                if !self.keys.fits(length) {
                    return Err(Broken::PacketShape);
                }
                self.length = Some(length);
                length
            }
        };
        let body = self.start + LENGTH_BYTES;
        let end = body + length as usize + self.keys.tag_bytes();
        let Some(packet) = self.buffer.get_mut(self.start..end) else { return Ok(None) };
        self.keys.open(self.sequence, packet)?;
        self.packets += 1;
        self.bytes += packet.len() as u64;
        self.sequence = self.sequence.wrapping_add(1);
        self.start = end;
        self.length = None;
        let padding = *self.buffer.get(body).ok_or(Broken::PacketShape)?;
        let payload = (length as usize).checked_sub(1 + usize::from(padding));
        let payload = payload.filter(|bytes| padding >= 4 && *bytes > 0);
        let payload = payload.ok_or(Broken::PacketShape)?;
        Ok(Some(body + 1..body + 1 + payload))
    }

    /// The sequence number of the packet that was opened last.
    pub fn last_sequence(&self) -> u32 {
        self.sequence.wrapping_sub(1)
    }

    /// Packets and bytes under the present keys.
    pub fn volume(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }

    /// What comes now is sealed by these keys.
    pub fn rekey(&mut self, keys: Keys, reset: bool) {
        assert!(self.length.is_none(), "keys change between two packets");
        self.keys = keys;
        (self.packets, self.bytes) = (0, 0);
        if reset {
            self.sequence = 0;
        }
    }
}

impl Outbound {
    /// Seals a payload onto the end of `out`.
    pub fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        self.keys.seal(self.sequence, payload, out);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.bytes += (out.len() - before) as u64;
    }

    /// Packets and bytes under the present keys.
    pub fn volume(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }

    /// What is sealed now is sealed by these keys.
    pub fn rekey(&mut self, keys: Keys, reset: bool) {
        self.keys = keys;
        (self.packets, self.bytes) = (0, 0);
        if reset {
            self.sequence = 0;
        }
    }
}
