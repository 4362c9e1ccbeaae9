//! Where a frame starts and ends, and what a control frame says.
//!
//! In: bytes in any split. Out: control frames, whole; data frames as a head and parts.
//! Never: more memory than one control frame; a length that its type cannot have.

use crate::limits;
use crate::wire::reader::Reader;

/// Word of version and type, then flags and length.
const HEAD_BYTES: usize = 8;
/// The stream ends with this frame.
pub const FIN: u8 = 0x01;

/// A control frame. Streams are 31 bits and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'b> {
    /// A stream is opened.
    SynStream {
        /// Its number.
        stream: u32,
        /// The stream it belongs to, 0 for none.
        associated: u32,
        /// Priority in the upper three bits, then the credential slot.
        priority: [u8; 2],
        /// Flags: `FIN`, unidirectional.
        flags: u8,
        /// Headers, compressed.
        block: &'b [u8],
    },
    /// A stream is accepted.
    SynReply {
        /// Its number.
        stream: u32,
        /// Flags: `FIN`.
        flags: u8,
        /// Headers, compressed.
        block: &'b [u8],
    },
    /// A stream is ended at once.
    RstStream {
        /// Its number.
        stream: u32,
        /// Why, 1 to 11.
        status: u32,
    },
    /// Settings: of the connection, none of which weir keeps.
    Settings {
        /// Flags.
        flags: u8,
        /// Entries of eight bytes.
        entries: &'b [u8],
    },
    /// A ping, or its answer.
    Ping(u32),
    /// No more streams.
    GoAway {
        /// The last one that was taken.
        last: u32,
        /// Why.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Its number.
        stream: u32,
        /// Flags: `FIN`.
        flags: u8,
        /// Headers, compressed.
        block: &'b [u8],
    },
    /// Room for more data.
    WindowUpdate {
        /// Of which stream, 0 for the connection.
        stream: u32,
        /// How much more.
        delta: u32,
    },
}

/// Why a frame is refused. The connection has no boundaries any more, so it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another version than 3.
    Version,
    /// A type that is none.
    Type,
    /// A length that the type cannot have, or more than is held.
    Length,
    /// Flags that the type does not have.
    Flags,
    /// Stream 0 where there must be one, or a status that is none.
    Number,
    /// Headers that do not inflate, are too long, or are no headers.
    Headers,
}

/// One step of taking in bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A control frame, with its bytes as they came.
    Control {
        /// What it says.
        control: Control<'b>,
        /// Head and payload.
        frame: &'b [u8],
    },
    /// The head of a data frame; parts follow unless it is empty.
    Data {
        /// Its stream.
        stream: u32,
        /// Whether the stream ends with it.
        fin: bool,
        /// How many bytes it has.
        bytes: u32,
    },
    /// Bytes of the data frame.
    Part {
        /// The bytes.
        bytes: &'b [u8],
        /// Whether the frame is complete.
        last: bool,
    },
    /// Everything was taken in; more bytes are needed.
    Need,
}

/// Finds the frames of one direction.
#[derive(Debug, Default)]
pub struct Framer {
    /// The start of a head or control frame.
    kept: Vec<u8>,
    /// Whether `kept` was handed out and goes with the next step.
    spent: bool,
    /// Bytes of a data frame that have not come.
    rest: u32,
}

impl Framer {
    /// Whether what came so far ends with a frame: another one may follow.
    pub fn is_between(&self) -> bool {
        self.rest == 0 && (self.kept.is_empty() || self.spent)
    }

    /// The next step. Takes what it needs off the front of `input`.
    pub fn next<'s, 'b: 's>(&'s mut self, input: &mut &'b [u8]) -> Result<Step<'s>, Refused> {
        if std::mem::take(&mut self.spent) {
            self.kept.clear();
        }
        if self.rest > 0 {
            let count = input.len().min(self.rest as usize);
            let Some((bytes, after)) = input.split_at_checked(count) else { return Ok(Step::Need) };
            if bytes.is_empty() {
                return Ok(Step::Need);
            }
            *input = after;
            self.rest -= u32::try_from(count).unwrap_or(self.rest);
            return Ok(Step::Part { bytes, last: self.rest == 0 });
        }
        if !self.fill(input, HEAD_BYTES) {
            return Ok(Step::Need);
        }
        let head = Head::read(&self.kept)?;
        match head {
            Head::Data { stream, flags, length } => {
                self.kept.clear();
                self.rest = length;
                Ok(Step::Data { stream, fin: flags & FIN != 0, bytes: length })
            }
            Head::Control { kind, flags, length } => {
                if !self.fill(input, HEAD_BYTES + length as usize) {
                    return Ok(Step::Need);
                }
                self.spent = true;
                let payload = self.kept.get(HEAD_BYTES..).unwrap_or_default();
                let control = Control::read(kind, flags, payload)?;
                Ok(Step::Control { control, frame: &self.kept })
            }
        }
    }

    /// Whether `kept` has `count` bytes, after taking what there is.
    fn fill(&mut self, input: &mut &[u8], count: usize) -> bool {
        let missing = count.saturating_sub(self.kept.len());
        let (head, after) = input.split_at(missing.min(input.len()));
        self.kept.extend_from_slice(head);
        *input = after;
        self.kept.len() >= count
    }
}

enum Head {
    Data { stream: u32, flags: u8, length: u32 },
    Control { kind: u16, flags: u8, length: u32 },
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Head, Refused> {
        let mut reader = Reader::new(bytes);
        let (Some(word), Some(tail)) = (reader.u32(), reader.u32()) else {
            return Err(Refused::Length);
        };
        let [flags, ..] = tail.to_be_bytes();
        let length = tail & 0x00ff_ffff;
        if word & 0x8000_0000 == 0 {
            return match (word, flags) {
                (0, _) => Err(Refused::Number),
                (_, 0 | FIN) => Ok(Head::Data { stream: word, flags, length }),
                _ => Err(Refused::Flags),
            };
        }
        let [_, _, kind @ ..] = word.to_be_bytes();
        if word >> 16 & 0x7fff != 3 {
            return Err(Refused::Version);
        }
        if length > limits::SPDY_CONTROL_BYTES_MAX {
            return Err(Refused::Length);
        }
        Ok(Head::Control { kind: u16::from_be_bytes(kind), flags, length })
    }
}

/// Types of control frames (SPDY/3.1 section 2.6); the numbers have gaps.
mod kind {
    pub const SYN_STREAM: u16 = 1;
    pub const SYN_REPLY: u16 = 2;
    pub const RST_STREAM: u16 = 3;
    pub const SETTINGS: u16 = 4;
    pub const PING: u16 = 6;
    pub const GOAWAY: u16 = 7;
    pub const HEADERS: u16 = 8;
    pub const WINDOW_UPDATE: u16 = 9;
}

impl<'b> Control<'b> {
    fn read(kind: u16, flags: u8, payload: &'b [u8]) -> Result<Control<'b>, Refused> {
        let allowed = match kind {
            kind::SYN_STREAM => 0x03,
            kind::SYN_REPLY | kind::HEADERS | kind::SETTINGS => FIN,
            kind::RST_STREAM | kind::PING | kind::GOAWAY | kind::WINDOW_UPDATE => 0,
            _ => return Err(Refused::Type),
        };
        if flags & !allowed != 0 {
            return Err(Refused::Flags);
        }
        let control = Control::fields(kind, flags, payload).ok_or(Refused::Length)?;
        let good = match control {
            Control::SynStream { stream, .. }
            | Control::SynReply { stream, .. }
            | Control::Headers { stream, .. } => stream != 0,
            Control::RstStream { stream, status } => stream != 0 && status != 0,
            Control::Ping(id) => id != 0,
            Control::WindowUpdate { delta, .. } => delta != 0,
            Control::Settings { .. } | Control::GoAway { .. } => true,
        };
        if good { Ok(control) } else { Err(Refused::Number) }
    }

    /// `None` where the payload is not as long as its type.
    fn fields(kind: u16, flags: u8, payload: &'b [u8]) -> Option<Control<'b>> {
        let mut reader = Reader::new(payload);
        // The first bit is reserved.
        let mut number = || reader.u32().map(|word| word & 0x7fff_ffff);
        let control = match kind {
            kind::SYN_STREAM => {
                let (stream, associated) = (number()?, number()?);
                let priority = [reader.u8()?, reader.u8()?];
                let block = reader.rest();
                return Some(Control::SynStream { stream, associated, priority, flags, block });
            }
            kind::SYN_REPLY => {
                let stream = number()?;
                return Some(Control::SynReply { stream, flags, block: reader.rest() });
            }
            kind::HEADERS => {
                let stream = number()?;
                return Some(Control::Headers { stream, flags, block: reader.rest() });
            }
            kind::SETTINGS => {
                let count = reader.u32()? as usize;
                let entries = reader.rest();
                let whole = count.checked_mul(8)? == entries.len();
                return whole.then_some(Control::Settings { flags, entries });
            }
            kind::RST_STREAM => Control::RstStream { stream: number()?, status: reader.u32()? },
            kind::GOAWAY => Control::GoAway { last: number()?, status: reader.u32()? },
            kind::WINDOW_UPDATE => Control::WindowUpdate { stream: number()?, delta: number()? },
            _ => Control::Ping(reader.u32()?),
        };
        reader.is_empty().then_some(control)
    }

    /// Appends the frame to `out`; its block is what it says. `None` for a block that is too long.
    pub fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let (kind, flags, head, tail): (u16, u8, Vec<u8>, &[u8]) = match *self {
            Control::SynStream { stream, associated, priority, flags, block } => {
                let mut head: Vec<u8> = words(&[stream, associated]);
                head.extend(priority);
                (kind::SYN_STREAM, flags, head, block)
            }
            Control::SynReply { stream, flags, block } => {
                (kind::SYN_REPLY, flags, words(&[stream]), block)
            }
            Control::Headers { stream, flags, block } => {
                (kind::HEADERS, flags, words(&[stream]), block)
            }
            Control::RstStream { stream, status } => {
                (kind::RST_STREAM, 0, words(&[stream, status]), &[])
            }
            Control::Settings { flags, entries } => {
                let count = u32::try_from(entries.len() / 8).ok()?;
                (kind::SETTINGS, flags, words(&[count]), entries)
            }
            Control::Ping(id) => (kind::PING, 0, words(&[id]), &[]),
            Control::GoAway { last, status } => (kind::GOAWAY, 0, words(&[last, status]), &[]),
            Control::WindowUpdate { stream, delta } => {
                (kind::WINDOW_UPDATE, 0, words(&[stream, delta]), &[])
            }
        };
        let length = u32::try_from(head.len() + tail.len()).ok()?;
        if length > limits::SPDY_CONTROL_BYTES_MAX {
            return None;
        }
        out.extend((0x8003_0000 | u32::from(kind)).to_be_bytes());
        out.extend((u32::from(flags) << 24 | length).to_be_bytes());
        out.extend(head);
        out.extend_from_slice(tail);
        Some(())
    }
}

/// The head of a data frame of at most 16 MiB.
pub fn data_head(stream: u32, fin: bool, bytes: u32) -> Option<[u8; HEAD_BYTES]> {
    if stream == 0 || stream > 0x7fff_ffff || bytes > 0x00ff_ffff {
        return None;
    }
    let flags = if fin { u32::from(FIN) << 24 } else { 0 };
    let mut head = [0; HEAD_BYTES];
    for (place, byte) in
        head.iter_mut().zip(stream.to_be_bytes().into_iter().chain((flags | bytes).to_be_bytes()))
    {
        *place = byte;
    }
    Some(head)
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
