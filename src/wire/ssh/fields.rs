//! The data types of SSH (RFC 4251 section 5): read with bounds, written.
//!
//! In: the payload of one message. Out: fields that borrow from it; messages, field by field.
//! Never: a panic on peer bytes, memory for a length that is not there.

use super::Broken;

/// Reads a message from front to back.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'b [u8]) -> Fields<'b> {
        Fields { rest: bytes }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Everything must have been read.
    ///
    /// # Errors
    /// `Fields` if something is left.
    pub fn end(&self) -> Result<(), Broken> {
        if self.rest.is_empty() { Ok(()) } else { Err(Broken::Fields) }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// `Fields`, as for every read, if the message is too short.
    pub fn bytes(&mut self, count: usize) -> Result<&'b [u8], Broken> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Broken::Fields)?;
        self.rest = rest;
        Ok(head)
    }

    /// One byte.
    #[allow(clippy::missing_errors_doc)]
    pub fn u8(&mut self) -> Result<u8, Broken> {
        let (&byte, rest) = self.rest.split_first().ok_or(Broken::Fields)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A boolean: every value but zero is true (RFC 4251 section 5).
    #[allow(clippy::missing_errors_doc)]
    pub fn bool(&mut self) -> Result<bool, Broken> {
        self.u8().map(|byte| byte != 0)
    }

    /// Four bytes.
    #[allow(clippy::missing_errors_doc)]
    pub fn u32(&mut self) -> Result<u32, Broken> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Broken::Fields)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*head))
    }

    /// Eight bytes.
    #[allow(clippy::missing_errors_doc)]
    pub fn u64(&mut self) -> Result<u64, Broken> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Broken::Fields)?;
        self.rest = rest;
        Ok(u64::from_be_bytes(*head))
    }

    /// A length and that many bytes.
    #[allow(clippy::missing_errors_doc)]
    pub fn string(&mut self) -> Result<&'b [u8], Broken> {
        let length = self.u32()?;
        self.bytes(length as usize)
    }

    /// A string that is text.
    ///
    /// # Errors
    /// `Fields` if it is not UTF-8.
    pub fn text(&mut self) -> Result<&'b str, Broken> {
        std::str::from_utf8(self.string()?).map_err(|_| Broken::Fields)
    }

    /// A list of names, as text: printable ASCII, names not empty (RFC 4251 sections 5, 6).
    ///
    /// # Errors
    /// `Fields` for any other bytes, or more than `bytes_max`.
    pub fn names(&mut self, bytes_max: usize) -> Result<Names<'b>, Broken> {
        let text = self.text()?;
        let printable = text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        let gaps = !text.is_empty() && text.split(',').any(str::is_empty);
        if printable && !gaps && text.len() <= bytes_max {
            Ok(Names { text })
        } else {
            Err(Broken::Fields)
        }
    }
}

/// A list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'b> {
    text: &'b str,
}

impl<'b> Names<'b> {
    /// The names in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        self.text.split(',').filter(|name| !name.is_empty())
    }

    /// Whether a name is in the list.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|own| own == name)
    }

    /// The first name.
    pub fn first(&self) -> Option<&'b str> {
        self.iter().next()
    }

    /// The list as it stands in the message.
    pub fn text(&self) -> &'b str {
        self.text
    }
}

/// Writes fields to the end of a buffer.
pub trait Write {
    /// One byte.
    fn put_u8(&mut self, value: u8) -> &mut Self;
    /// A boolean.
    fn put_bool(&mut self, value: bool) -> &mut Self;
    /// Four bytes.
    fn put_u32(&mut self, value: u32) -> &mut Self;
    /// Eight bytes.
    fn put_u64(&mut self, value: u64) -> &mut Self;
    /// Bytes without a length.
    fn put_bytes(&mut self, bytes: &[u8]) -> &mut Self;
    /// A length and bytes.
    fn put_string(&mut self, bytes: &[u8]) -> &mut Self;
    /// A positive integer, given without sign, as an `mpint`.
    fn put_mpint(&mut self, magnitude: &[u8]) -> &mut Self;
    /// A list of names.
    fn put_names<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> &mut Self;
}

impl Write for Vec<u8> {
    fn put_u8(&mut self, value: u8) -> &mut Self {
        self.push(value);
        self
    }

    fn put_bool(&mut self, value: bool) -> &mut Self {
        self.put_u8(u8::from(value))
    }

    fn put_u32(&mut self, value: u32) -> &mut Self {
        self.put_bytes(&value.to_be_bytes())
    }

    fn put_u64(&mut self, value: u64) -> &mut Self {
        self.put_bytes(&value.to_be_bytes())
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.extend_from_slice(bytes);
        self
    }

    fn put_string(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u32::try_from(bytes.len()).expect("a string of a message is short");
        self.put_u32(length).put_bytes(bytes)
    }

    fn put_mpint(&mut self, magnitude: &[u8]) -> &mut Self {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let digits = magnitude.get(zeros..).unwrap_or(&[]);
        // The highest bit is the sign (RFC 4251 section 5), so it needs a zero before it.
        let sign = digits.first().is_some_and(|first| first & 0x80 != 0);
        let length = u32::try_from(digits.len() + usize::from(sign)).expect("a number is short");
        self.put_u32(length);
        if sign {
            self.push(0);
        }
        self.put_bytes(digits)
    }

    fn put_names<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> &mut Self {
        let joined = names.into_iter().collect::<Vec<_>>().join(",");
        self.put_string(joined.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mpint_is_as_in_the_rfc() {
        // RFC 4251 section 5, its examples.
        let mpint = |bytes: &[u8]| {
            let mut out = Vec::new();
            out.put_mpint(bytes);
            out
        };
        assert_eq!(mpint(&[]), [0, 0, 0, 0]);
        assert_eq!(mpint(&[0, 0]), [0, 0, 0, 0]);
        assert_eq!(mpint(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
        let long = [0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7];
        assert_eq!(mpint(&long), [&[0, 0, 0, 8][..], &long].concat());
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error() {
        let mut whole = Vec::new();
        whole.put_u8(7).put_bool(true).put_u64(9).put_string(b"text").put_names(["a", "b"]);
        let read = |bytes: &[u8]| {
            let mut fields = Fields::new(bytes);
            let read = (fields.u8()?, fields.bool()?, fields.u64()?, fields.text()?.len());
            let names = fields.names(10)?;
            fields.end()?;
            Ok::<_, Broken>((read, names.iter().count()))
        };
        assert_eq!(read(&whole), Ok(((7, true, 9, 4), 2)));
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), Err(Broken::Fields), "cut at {cut}");
        }
        whole.push(0);
        assert_eq!(read(&whole), Err(Broken::Fields));
    }

    #[test]
    fn lists_of_names_have_no_gaps_and_no_spaces() {
        let names = |text: &str| {
            let mut bytes = Vec::new();
            bytes.put_string(text.as_bytes());
            Fields::new(&bytes).names(16).map(|names| names.iter().count())
        };
        assert_eq!(names(""), Ok(0));
        assert_eq!(names("a,b@c"), Ok(2));
        for bad in [",", "a,", ",a", "a,,b", "a b", "a\n", "a\u{e4}", "seventeen-letters"] {
            assert_eq!(names(bad), Err(Broken::Fields), "{bad:?}");
        }
    }
}
