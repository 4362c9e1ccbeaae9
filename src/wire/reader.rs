//! A bounds-checked reader of big-endian fields; every read may say that the body is too short.
//!
//! In: the body of one message. Out: fields that borrow from it. Never: a panic on peer bytes.

use memchr::memchr;

/// Reads a body from front to back.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    /// Reads from the start of `body`.
    pub const fn new(body: &'b [u8]) -> Reader<'b> {
        Reader { rest: body }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// Two bytes, signed.
    pub fn i16(&mut self) -> Option<i16> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i16::from_be_bytes(*head))
    }

    /// Two bytes, unsigned: PostgreSQL 14 and later count parameters so.
    pub fn u16(&mut self) -> Option<u16> {
        self.i16().map(|value| value as u16)
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Option<i32> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i32::from_be_bytes(*head))
    }

    /// Four bytes, unsigned.
    pub fn u32(&mut self) -> Option<u32> {
        self.i32().map(|value| value as u32)
    }

    /// Bytes up to a zero byte, which is read too and left out.
    pub fn cstr(&mut self) -> Option<&'b [u8]> {
        let end = memchr(0, self.rest)?;
        let text = self.rest.get(..end)?;
        self.rest = self.rest.get(end + 1..)?;
        Some(text)
    }

    /// A four-byte length and that many bytes; `-1` is NULL.
    pub fn value(&mut self) -> Option<Option<&'b [u8]>> {
        match self.i32()? {
            -1 => Some(None),
            length => self.bytes(usize::try_from(length).ok()?).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_in_order_and_says_when_they_end() {
        let mut reader = Reader::new(b"\x01\x00\x02\xff\xff\xff\xffab\0\x00\x00\x00\x01z");
        assert_eq!(reader.u8(), Some(1));
        assert_eq!(reader.i16(), Some(2));
        assert_eq!(reader.value(), Some(None));
        assert_eq!(reader.cstr(), Some(&b"ab"[..]));
        assert_eq!(reader.value(), Some(Some(&b"z"[..])));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), None);
    }

    #[test]
    fn a_length_that_lies_is_none() {
        assert_eq!(Reader::new(b"\x00\x00\x00\x09abc").value(), None);
        assert_eq!(Reader::new(b"\xff\xff\xff\xfeabc").value(), None);
        assert_eq!(Reader::new(b"no zero").cstr(), None);
        assert_eq!(Reader::new(b"\x00").i16(), None);
    }
}
