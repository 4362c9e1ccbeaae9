//! Reads and writes frames (RFC 6455 5).
//!
//! In: bytes of one side in any split. Out: pieces of messages, unmasked; control frames.
//! Never: a frame that its sender may not send: masked or not, reserved bits, fragments out of
//! order, a length that is not as short as it can be, a text that is not UTF-8.
//!
//! ```text
//!   +---+---+--------+------+---------+------------------+---------+------
//!   |FIN|RSV| opcode | MASK | length  | length (2 or 8)  | key (4) | data
//!   | 1 | 3 |   4    |  1   |   7     | if 126 or 127    | if MASK |
//!   +---+---+--------+------+---------+------------------+---------+------
//! ```

use super::utf8::Utf8;
use crate::wire::Side;

/// The longest data of a control frame (RFC 6455 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// A piece of a message that is handed out at once.
const PIECE_BYTES_MAX: usize = 16 << 10;
const HEAD_BYTES_MAX: usize = 14;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation,
    /// The start of a text.
    Text,
    /// The start of a binary message.
    Binary,
    /// The sender will send no more.
    Close,
    /// Asks for a Pong.
    Ping,
    /// Answers a Ping, or says that somebody is there.
    Pong,
}

impl Opcode {
    const fn of(bits: u8) -> Option<Opcode> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xa => Some(Opcode::Pong),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    const fn is_control(self) -> bool {
        self.bits() >= 0x8
    }
}

/// Why a connection is failed; the code of the Close frame that says so (RFC 6455 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame that must not be: 1002.
    Protocol,
    /// A text that is not UTF-8: 1007.
    Utf8,
}

impl Broken {
    /// The code of the Close frame.
    pub const fn code(self) -> u16 {
        match self {
            Broken::Protocol => 1002,
            Broken::Utf8 => 1007,
        }
    }

    /// A fixed word for metrics and records.
    pub const fn label(self) -> &'static str {
        match self {
            Broken::Protocol => "websocket-protocol",
            Broken::Utf8 => "websocket-utf8",
        }
    }
}

/// One step of taking in frames.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'s> {
    /// Everything was taken in; more bytes are needed.
    Need,
    /// A piece of a message, at times an empty one.
    Data {
        /// What the message is.
        kind: Kind,
        /// The piece, unmasked.
        bytes: &'s [u8],
        /// The message ends here.
        last: bool,
    },
    /// A Ping with its data.
    Ping(&'s [u8]),
    /// A Pong with its data.
    Pong(&'s [u8]),
    /// A Close, with its code if it has one and its reason, which is UTF-8.
    Close(Option<u16>, &'s [u8]),
}

/// Takes in the frames of one side.
#[derive(Debug)]
pub struct Reader {
    /// Whose frames they are: a client's are masked, a server's are not.
    side: Side,
    state: State,
    /// The message that is not over.
    message: Option<Kind>,
    text: Utf8,
    /// Data without its mask.
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head { bytes: [u8; HEAD_BYTES_MAX], len: usize },
    Data(Frame),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: Opcode,
    key: Option<[u8; 4]>,
    left: u64,
}

const NO_HEAD: State = State::Head { bytes: [0; HEAD_BYTES_MAX], len: 0 };

impl Reader {
    /// For the frames that `side` sends.
    pub fn new(side: Side) -> Reader {
        Reader { side, state: NO_HEAD, message: None, text: Utf8::default(), data: Vec::new() }
    }

    /// Whether the bytes so far end between two messages.
    pub fn is_between_messages(&self) -> bool {
        self.message.is_none() && matches!(self.state, State::Head { len: 0, .. })
    }

    /// Takes the next step from `input`, moving its start. After [`Step::Close`] it must not be
    /// called again.
    ///
    /// # Errors
    /// `Broken`; nothing behind it can be trusted.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Step<'_>, Broken> {
        loop {
            match self.state {
                State::Head { mut bytes, mut len } => {
                    let Some((&byte, rest)) = input.split_first() else { return Ok(Step::Need) };
                    *input = rest;
                    // A head is at most as long as `bytes`: `parse` says so before it is full.
                    if let Some(place) = bytes.get_mut(len) {
                        *place = byte;
                    }
                    len += 1;
                    self.state = match self.parse(bytes.get(..len).unwrap_or(&bytes))? {
                        None => State::Head { bytes, len },
                        Some(frame) => State::Data(frame),
                    };
                    if matches!(self.state, State::Data(_)) {
                        self.data.clear();
                    }
                }
                State::Data(frame) if frame.opcode.is_control() => {
                    let missing = frame.left as usize - self.data.len();
                    self.take(input, missing, frame.key, self.data.len());
                    if self.data.len() < frame.left as usize {
                        return Ok(Step::Need);
                    }
                    self.state = NO_HEAD;
                    return control(frame.opcode, &self.data);
                }
                State::Data(frame) => return self.piece(input, frame),
            }
        }
    }

    /// The head of a frame, once `bytes` are all of it.
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<Frame>, Broken> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Broken::Protocol);
        }
        let fin = first & 0x80 != 0;
        let opcode = Opcode::of(first & 0x0f).ok_or(Broken::Protocol)?;
        let is_masked = second & 0x80 != 0;
        if is_masked != (self.side == Side::Client) {
            return Err(Broken::Protocol);
        }
        let short = second & 0x7f;
        if opcode.is_control() && (!fin || short > CONTROL_BYTES_MAX as u8) {
            return Err(Broken::Protocol);
        }
        let (left, rest) = match short {
            126 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        // As short as it can be, and below 2^63 (RFC 6455 5.2).
        let is_minimal = match short {
            126 => left > 125,
            127 => left > 0xffff && left < 1 << 63,
            _ => true,
        };
        if !is_minimal {
            return Err(Broken::Protocol);
        }
        let key = match (is_masked, rest.first_chunk()) {
            (false, _) => None,
            (true, Some(key)) => Some(*key),
            (true, None) => return Ok(None),
        };
        self.begin(opcode)?;
        Ok(Some(Frame { fin, opcode, key, left }))
    }

    /// Fragments of one message follow one another; only control frames stand between them.
    fn begin(&mut self, opcode: Opcode) -> Result<(), Broken> {
        let kind = match (opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Broken::Protocol),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Broken::Protocol),
            (Opcode::Text, None) => Kind::Text,
            (Opcode::Binary, None) => Kind::Binary,
            _ => return Ok(()),
        };
        self.message = Some(kind);
        self.text = Utf8::default();
        Ok(())
    }

    /// Takes at most `count` bytes into `data`, without their mask; the first of them is the
    /// frame's byte number `phase`.
    fn take(&mut self, input: &mut &[u8], count: usize, key: Option<[u8; 4]>, phase: usize) {
        let (bytes, rest) = input.split_at(count.min(input.len()));
        *input = rest;
        let start = self.data.len();
        self.data.extend_from_slice(bytes);
        if let Some(key) = key {
            mask(self.data.get_mut(start..).unwrap_or(&mut []), key, phase);
        }
    }

    fn piece(&mut self, input: &mut &[u8], frame: Frame) -> Result<Step<'_>, Broken> {
        let Frame { fin, key, left, .. } = frame;
        if left > 0 && input.is_empty() {
            return Ok(Step::Need);
        }
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX);
        self.data.clear();
        self.take(input, count, key, 0);
        let taken = self.data.len();
        let left = left - taken as u64;
        // The key turns with the bytes that were taken.
        let key = key.map(|mut key| {
            key.rotate_left(taken % 4);
            key
        });
        self.state = match left {
            0 => NO_HEAD,
            left => State::Data(Frame { key, left, ..frame }),
        };
        let Some(kind) = self.message else { return Err(Broken::Protocol) };
        let last = fin && left == 0;
        if last {
            self.message = None;
        }
        if kind == Kind::Text && (!self.text.push(&self.data) || (last && !self.text.is_whole())) {
            return Err(Broken::Utf8);
        }
        Ok(Step::Data { kind, bytes: &self.data, last })
    }
}

fn control(opcode: Opcode, data: &[u8]) -> Result<Step<'_>, Broken> {
    match opcode {
        Opcode::Ping => Ok(Step::Ping(data)),
        Opcode::Pong => Ok(Step::Pong(data)),
        _ => match data.split_first_chunk() {
            None if data.is_empty() => Ok(Step::Close(None, &[])),
            None => Err(Broken::Protocol),
            Some((code, reason)) => {
                let code = u16::from_be_bytes(*code);
                if !is_code(code) {
                    return Err(Broken::Protocol);
                }
                let is_text = std::str::from_utf8(reason).is_ok();
                if is_text { Ok(Step::Close(Some(code), reason)) } else { Err(Broken::Utf8) }
            }
        },
    }
}

/// Whether a peer may send this code (RFC 6455 7.4, and the registry that it opened).
const fn is_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Puts the mask over `data`, or takes it off (RFC 6455 5.3); its first byte is the frame's byte
/// number `phase`.
fn mask(data: &mut [u8], mut key: [u8; 4], phase: usize) {
    key.rotate_left(phase % 4);
    let [a, b, c, d] = key;
    let wide = [a, b, c, d, a, b, c, d];
    let mut words = data.chunks_exact_mut(8);
    for word in &mut words {
        for (byte, key) in word.iter_mut().zip(wide) {
            *byte ^= key;
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(wide) {
        *byte ^= key;
    }
}

/// Appends a frame. A client's has a `key` that nobody can foresee, a server's none.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, fin: bool, key: Option<[u8; 4]>, data: &[u8]) {
    debug_assert!(!opcode.is_control() || (fin && data.len() <= CONTROL_BYTES_MAX));
    out.push(if fin { 0x80 } else { 0 } | opcode.bits());
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    match data.len() {
        length @ 0..=125 => out.push(mask_bit | length as u8),
        length @ 126..=0xffff => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let Some(key) = key else { return out.extend_from_slice(data) };
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(data);
    mask(out.get_mut(start..).unwrap_or(&mut []), key, 0);
}

/// Appends a Close frame; a reason that is too long is cut between two letters.
pub fn close(out: &mut Vec<u8>, key: Option<[u8; 4]>, code: u16, reason: &str) {
    let mut data = code.to_be_bytes().to_vec();
    let room = CONTROL_BYTES_MAX - data.len();
    let end = (0..=room.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    data.extend_from_slice(reason.as_bytes().get(..end.unwrap_or(0)).unwrap_or(&[]));
    write(out, Opcode::Close, true, key, &data);
}
