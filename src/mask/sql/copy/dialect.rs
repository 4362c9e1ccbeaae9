//! How COPY writes values as text or CSV.
//!
//! In: a row without its line end. Out: its fields, their values, and values written again.
//! Never: a value that reads differently after it was written.

use std::borrow::Cow;

use super::super::types::Whole;
use crate::decide::CopyFormat;
use crate::mask::operator;

/// How text and CSV write a value.
#[derive(Debug)]
pub(super) struct Dialect {
    pub delimiter: u8,
    pub null: Vec<u8>,
    /// Quote and escape of CSV.
    pub quote: Option<(u8, u8)>,
    /// Neither text nor CSV: the rest says nothing.
    pub binary: bool,
    /// Whether the candidates in a row are those of its fields: runs of digits and words may not go
    /// on from one field to the next.
    pub apart: bool,
}

impl Dialect {
    pub fn of(format: &CopyFormat) -> Dialect {
        let (delimiter, null, quote, binary) = match format {
            CopyFormat::Text { delimiter, null, .. } => (*delimiter, null.clone(), None, false),
            CopyFormat::Csv { delimiter, quote, escape, null, .. } => {
                (*delimiter, null.clone(), Some((*quote, *escape)), false)
            }
            CopyFormat::Binary => (0, Vec::new(), None, true),
        };
        let parts =
            |byte: u8| matches!(byte, b'\t' | b',' | b';' | b':' | b'|' | b'"' | b'\'' | b'~' | 1);
        let apart = parts(delimiter) && quote.is_none_or(|(quote, _)| parts(quote));
        Dialect { delimiter, null, quote, binary, apart }
    }

    /// Whether some value of the row may not be the bytes of its field.
    pub fn is_escaped(&self, row: &[u8]) -> bool {
        match self.quote {
            None => memchr::memchr(b'\\', row).is_some(),
            // In a quoted field quotes are doubled.
            Some((quote, escape)) => memchr::memchr2(quote, escape, row).is_some(),
        }
    }

    /// Spans of the fields of a row, into `fields`.
    pub fn split(&self, row: &[u8], is_escaped: bool, fields: &mut Vec<(usize, usize)>) {
        fields.clear();
        let mut start = 0;
        if !is_escaped {
            for at in memchr::memchr_iter(self.delimiter, row) {
                fields.push((start, at));
                start = at + 1;
            }
            return fields.push((start, row.len()));
        }
        let (mut at, mut quoted) = (0, false);
        while at < row.len() {
            let byte = row[at];
            match self.quote {
                None if byte == b'\\' => at += 1,
                Some((quote, escape)) if quoted && byte == escape && escape != quote => at += 1,
                Some((quote, _)) if byte == quote => quoted = !quoted,
                _ if byte == self.delimiter && !quoted => {
                    fields.push((start, at));
                    start = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        fields.push((start, row.len()));
    }

    /// The value that a field stands for.
    pub fn read<'r>(&self, raw: &'r [u8]) -> Cow<'r, [u8]> {
        match self.quote {
            None => unescape(raw),
            Some((quote, escape)) if raw.first() == Some(&quote) => unquote(raw, quote, escape),
            Some(_) => Cow::Borrowed(raw),
        }
    }

    /// Appends a value, so that it reads as itself.
    pub fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        self.write_with(out, |out| out.extend_from_slice(value));
    }

    pub fn write_whole(&self, whole: Whole, value: &[u8], out: &mut Vec<u8>) {
        match whole {
            Whole::Null => out.extend_from_slice(&self.null),
            Whole::Fixed(bytes) => self.write(bytes, out),
            Whole::Text(operator) => {
                self.write_with(out, |out| operator::whole_text(operator, value, out));
            }
        }
    }

    /// Appends the value that `put` appends, so that it reads as itself. Most hold nothing that has
    /// to be escaped, and stay where they were put.
    fn write_with(&self, out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
        let quote = self.quote.map(|(quote, _)| quote);
        out.extend(quote);
        let start = out.len();
        put(out);
        if self.may_escape(out.get(start..).unwrap_or_default()) {
            let value = out.split_off(start);
            for byte in value {
                match self.escape(byte) {
                    Some(escaped) => out.extend_from_slice(&escaped),
                    None => out.push(byte),
                }
            }
        }
        out.extend(quote);
    }

    /// Whether some byte may not stand for itself. Without a branch, so that many are compared at
    /// once.
    fn may_escape(&self, value: &[u8]) -> bool {
        let (low, others) = match self.quote {
            None => (b' ', (b'\\', self.delimiter)),
            Some(others) => (0, others),
        };
        let may = |byte: u8| (byte < low) | (byte == others.0) | (byte == others.1);
        value.iter().fold(false, |is, &byte| is | may(byte))
    }

    /// What stands for a byte that does not stand for itself.
    fn escape(&self, byte: u8) -> Option<[u8; 2]> {
        if let Some((quote, escape)) = self.quote {
            return (byte == quote || byte == escape).then_some([escape, byte]);
        }
        let letter = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            byte if byte == self.delimiter => byte,
            _ => return None,
        };
        Some([b'\\', letter])
    }
}

/// COPY's text format: a letter for a control character, up to three octal or two hexadecimal
/// digits for a byte, any other byte for itself.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut value = raw[..first].to_vec();
    let mut at = first;
    while let Some(&byte) = raw.get(at) {
        at += 1;
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        let Some(&letter) = raw.get(at) else {
            value.push(b'\\');
            break;
        };
        at += 1;
        let digits = |radix: u32, from: usize, most: usize| {
            let rest = raw.get(from..).unwrap_or_default();
            let digit = |&byte: &u8| char::from(byte).to_digit(radix);
            let digits = rest.iter().take(most).map_while(digit);
            digits.fold((0_u32, 0), |(value, count), digit| (value * radix + digit, count + 1))
        };
        let (number, count) = match letter {
            b'0'..=b'7' => digits(8, at - 1, 3),
            b'x' => digits(16, at, 2),
            _ => (0, 0),
        };
        let from = if letter == b'x' { at } else { at - 1 };
        if count > 0 {
            value.push((number & 0xff) as u8);
            at = from + count;
            continue;
        }
        value.push(match letter {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            letter => letter,
        });
    }
    Cow::Owned(value)
}

/// A quoted CSV field, with or without its closing quote.
fn unquote(raw: &[u8], quote: u8, escape: u8) -> Cow<'_, [u8]> {
    let inner = raw.get(1..).unwrap_or_default();
    let inner = inner.strip_suffix(&[quote]).unwrap_or(inner);
    if memchr::memchr2(quote, escape, inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut value = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        let next = inner.get(at + 1);
        if byte == escape && next.is_some_and(|&next| next == quote || next == escape) {
            at += 1;
        }
        value.extend(inner.get(at));
        at += 1;
    }
    Cow::Owned(value)
}
