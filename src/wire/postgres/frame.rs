//! Where a message starts and ends.
//!
//! In: bytes in any split. Out: steps: whole messages, or parts of messages that are streamed.
//! Never: more memory than the message that is held, and that only as its bytes arrive.
//!
//! ```text
//!   +-----+-------------+------------------+
//!   | tag | length (4)  | body (length-4)  |      length counts itself, not the tag
//!   +-----+-------------+------------------+
//! ```

use crate::fault::Malformed;

/// Tag and length.
pub const HEAD_BYTES: usize = 5;

/// How a message is taken in, chosen from its tag and length before its body arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treat {
    /// Kept until it is whole.
    Hold,
    /// Passed on in parts; the first part has at least `prefix` bytes of the body, or all of it.
    Stream {
        /// Bytes needed to understand what follows.
        prefix: u32,
    },
}

/// One step of taking in bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A whole message, head included.
    Whole {
        /// Message type.
        tag: u8,
        /// Head and body.
        frame: &'b [u8],
    },
    /// The start of a streamed message.
    Begin {
        /// Message type.
        tag: u8,
        /// Length of the whole body.
        body_bytes: u32,
        /// Head and at least the prefix of the body.
        frame: &'b [u8],
    },
    /// More of the streamed message.
    Part {
        /// Bytes of the body.
        bytes: &'b [u8],
        /// Whether the message is complete.
        last: bool,
    },
    /// Everything was taken in; more bytes are needed.
    Need,
}

impl<'b> Step<'b> {
    /// The body of a whole message or the first part.
    pub fn body(frame: &'b [u8]) -> &'b [u8] {
        frame.get(HEAD_BYTES..).unwrap_or(&[])
    }

    /// Whether a frame is as long as its head says, or the start of a streamed message.
    pub fn is_whole(frame: &[u8]) -> bool {
        let length = frame.get(1..).and_then(|rest| rest.first_chunk());
        length.is_some_and(|length| frame.len() > u32::from_be_bytes(*length) as usize)
    }
}

/// Tag and body length of a head, if it is possible.
fn parse_head(head: &[u8; HEAD_BYTES], body_max: u32) -> Result<(u8, u32), Malformed> {
    let [tag, length @ ..] = *head;
    let body = u32::from_be_bytes(length).checked_sub(4).ok_or(Malformed::MessageLength)?;
    if body > body_max { Err(Malformed::MessageLength) } else { Ok((tag, body)) }
}

/// Takes the whole messages of type `tag` off the front of `input`, and says how many there are. It
/// is for bytes that begin with a message, where nobody looks into these.
pub fn run_of<'b>(input: &mut &'b [u8], tag: u8) -> (&'b [u8], u64) {
    let (mut end, mut messages) = (0usize, 0u64);
    while let Some([next, length @ ..]) =
        input.get(end..).and_then(|rest| rest.first_chunk::<HEAD_BYTES>())
    {
        let length = u32::from_be_bytes(*length) as usize;
        if *next != tag || length < 4 || input.len() - end < 1 + length {
            break;
        }
        end += 1 + length;
        messages += 1;
    }
    (take(input, end), messages)
}

/// Cuts one direction into messages.
///
/// Invariant: `carry` is empty while `left > 0`.
#[derive(Debug, Default)]
pub struct Framer {
    carry: Vec<u8>,
    left: u32,
    /// The carry was handed out as a whole message and is cleared by the next call.
    spent: bool,
}

impl Framer {
    /// Whether the bytes so far end between two messages.
    pub fn is_between_messages(&self) -> bool {
        self.left == 0 && (self.carry.is_empty() || self.spent)
    }

    /// Whether a streamed message is under way.
    pub fn is_streaming(&self) -> bool {
        self.left > 0
    }

    /// Bytes of the message that is held.
    pub fn held(&self) -> usize {
        if self.spent { 0 } else { self.carry.len() }
    }

    /// Drops what is held of a message, of which only the head is left: its rest will be handed out
    /// in parts. `None` if none is held.
    pub fn give_up(&mut self) -> Option<[u8; HEAD_BYTES]> {
        let head = self.carry.first_chunk::<HEAD_BYTES>().filter(|_| !self.spent)?;
        let [_, length @ ..] = *head;
        let whole = 1 + u32::from_be_bytes(length) as usize;
        let head = *head;
        assert!(self.carry.len() < whole, "a whole message was held");
        self.left = (whole - self.carry.len()) as u32;
        self.carry = Vec::new();
        Some(head)
    }

    /// The buffer of the whole message that was handed out last and was gathered here: nobody looks
    /// at it again.
    pub fn take_spent(&mut self) -> Vec<u8> {
        assert!(self.spent && self.left == 0, "no whole message was gathered");
        self.spent = false;
        std::mem::take(&mut self.carry)
    }

    /// Takes the next step from `input`, moving its start. `treat` chooses by tag and body length.
    ///
    /// # Errors
    /// `MessageLength` for a length below four or a body above `body_max`.
    pub fn next<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b [u8],
        body_max: u32,
        treat: impl Fn(u8, u32) -> Treat,
    ) -> Result<Step<'s>, Malformed> {
        if self.spent {
            self.carry.clear();
            self.spent = false;
            if self.carry.capacity() > (64 << 10) {
                self.carry = Vec::new();
            }
        }
        if self.left > 0 {
            return Ok(self.part(input));
        }
        if self.carry.is_empty() {
            let Some(head) = input.first_chunk::<HEAD_BYTES>() else {
                self.carry.extend_from_slice(take(input, usize::MAX));
                return Ok(Step::Need);
            };
            let (tag, body) = parse_head(head, body_max)?;
            let treat = treat(tag, body);
            if let Some(step) = self.direct(input, tag, body, treat) {
                return Ok(step);
            }
            self.carry.extend_from_slice(take(input, usize::MAX));
            return Ok(Step::Need);
        }
        self.carried(input, body_max, treat)
    }

    /// A step that needs no copy: the input itself holds enough.
    fn direct<'b>(
        &mut self,
        input: &mut &'b [u8],
        tag: u8,
        body: u32,
        treat: Treat,
    ) -> Option<Step<'b>> {
        let whole = HEAD_BYTES + body as usize;
        if input.len() >= whole {
            return Some(Step::Whole { tag, frame: take(input, whole) });
        }
        let Treat::Stream { prefix } = treat else { return None };
        if input.len() < HEAD_BYTES + prefix.min(body) as usize {
            return None;
        }
        self.left = (whole - input.len()) as u32;
        Some(Step::Begin { tag, body_bytes: body, frame: take(input, usize::MAX) })
    }

    /// A step of a message whose start is in `carry`.
    fn carried<'s>(
        &'s mut self,
        input: &mut &[u8],
        body_max: u32,
        treat: impl Fn(u8, u32) -> Treat,
    ) -> Result<Step<'s>, Malformed> {
        self.fill(input, HEAD_BYTES);
        let Some(head) = self.carry.first_chunk::<HEAD_BYTES>() else { return Ok(Step::Need) };
        let (tag, body) = parse_head(head, body_max)?;
        let whole = HEAD_BYTES + body as usize;
        match treat(tag, body) {
            Treat::Stream { prefix } if prefix < body => {
                self.fill(input, HEAD_BYTES + prefix as usize);
                if self.carry.len() < HEAD_BYTES + prefix as usize {
                    return Ok(Step::Need);
                }
                self.left = (whole - self.carry.len()) as u32;
                self.spent = true;
                Ok(Step::Begin { tag, body_bytes: body, frame: &self.carry })
            }
            _ => {
                self.fill(input, whole);
                if self.carry.len() < whole {
                    return Ok(Step::Need);
                }
                self.spent = true;
                Ok(Step::Whole { tag, frame: &self.carry })
            }
        }
    }

    fn part<'b>(&mut self, input: &mut &'b [u8]) -> Step<'b> {
        if input.is_empty() {
            return Step::Need;
        }
        let bytes = take(input, self.left as usize);
        self.left -= bytes.len() as u32;
        Step::Part { bytes, last: self.left == 0 }
    }

    fn fill(&mut self, input: &mut &[u8], until: usize) {
        let missing = until.saturating_sub(self.carry.len());
        self.carry.extend_from_slice(take(input, missing));
    }
}

/// Splits off at most `count` bytes from the front.
fn take<'b>(input: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (head, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    head
}
