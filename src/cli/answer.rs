//! A captured answer as tables: the `pg-messages` of `stream_chunks` read back.
//!
//! In: the bytes of one command's answer, as far as they were captured. Out: result tables,
//! notices, tags.
//! Never: a panic on bytes that are cut, or that are no messages.

use crate::hex;

/// One thing an answer says, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Rows under the names of their columns; `None` is NULL.
    Rows {
        /// Names of the columns; empty when the capture holds no description.
        columns: Vec<String>,
        /// Values as text.
        rows: Vec<Vec<Option<String>>>,
    },
    /// The tag of a finished command.
    Tag(String),
    /// An error or a notice: severity, SQLSTATE, message.
    Message(String),
    /// Data of a COPY, as text.
    Copy(String),
    /// The capture ends inside a message; so many bytes of it are there.
    Cut(usize),
}

/// Reads the captured bytes of one answer.
pub fn read(bytes: &[u8]) -> Vec<Part> {
    let mut reader = Reader::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((kind, body, after)) = message(rest) else {
            reader.finish_rows();
            reader.parts.push(Part::Cut(rest.len()));
            break;
        };
        reader.take(kind, body);
        rest = after;
    }
    reader.finish_rows();
    reader.parts
}

/// The first message: its kind, its body, what follows.
pub(super) fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_sub(4)?;
    let (body, rest) = rest.split_at_checked(length)?;
    Some((*kind, body, rest))
}

#[derive(Default)]
struct Reader {
    parts: Vec<Part>,
    fields: Vec<Field>,
    rows: Vec<Vec<Option<String>>>,
    described: bool,
}

/// A column of a row description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: String,
    pub type_oid: u32,
    binary: bool,
}

impl Reader {
    fn take(&mut self, kind: u8, body: &[u8]) {
        match kind {
            b'T' => {
                self.finish_rows();
                self.fields = read_fields(body).unwrap_or_default();
                self.described = true;
            }
            b'D' => {
                let row = read_row(body, &self.fields);
                self.rows.push(row.unwrap_or_else(|| vec![Some("(unreadable row)".into())]));
            }
            b'C' => {
                self.finish_rows();
                self.parts.push(Part::Tag(text(body.split(|byte| *byte == 0).next())));
            }
            b'E' | b'N' => {
                self.finish_rows();
                self.parts.push(Part::Message(read_notice(body)));
            }
            b'd' => self.copy(body),
            b'c' => {}
            _ => self.finish_rows(),
        }
    }

    fn copy(&mut self, body: &[u8]) {
        let data = text(Some(body));
        match self.parts.last_mut() {
            Some(Part::Copy(all)) => all.push_str(&data),
            _ => self.parts.push(Part::Copy(data)),
        }
    }

    fn finish_rows(&mut self) {
        if !self.described && self.rows.is_empty() {
            return;
        }
        let columns = self.fields.drain(..).map(|field| field.name).collect();
        let rows = std::mem::take(&mut self.rows);
        self.parts.push(Part::Rows { columns, rows });
        self.described = false;
    }
}

/// The columns of a row description.
pub(super) fn read_fields(body: &[u8]) -> Option<Vec<Field>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut fields = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let name = text(rest.get(..end));
        // Table (4), column (2), type (4), size (2), modifier (4), format (2).
        let (facts, after) = rest.get(end + 1..)?.split_first_chunk::<18>()?;
        let [_, _, _, _, _, _, a, b, c, d, _, _, _, _, _, _, high, low] = *facts;
        fields.push(Field {
            name,
            type_oid: u32::from_be_bytes([a, b, c, d]),
            binary: u16::from_be_bytes([high, low]) == 1,
        });
        rest = after;
    }
    Some(fields)
}

/// The values of a row, as text.
pub(super) fn read_row(body: &[u8], fields: &[Field]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Vec::new();
    for index in 0..usize::from(u16::from_be_bytes(*count)) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            row.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length)?;
        row.push(Some(show(value, fields.get(index))));
        rest = after;
    }
    Some(row)
}

/// A value as text. Without a description of its column (an Execute whose Describe came earlier) it
/// may be binary; what is readable text is shown as such.
fn show(value: &[u8], field: Option<&Field>) -> String {
    match field {
        Some(field) if field.binary => {
            binary(value, field.type_oid).unwrap_or_else(|| hexadecimal(value))
        }
        Some(_) => text(Some(value)),
        None => match std::str::from_utf8(value) {
            Ok(value) if !value.chars().any(char::is_control) => value.to_owned(),
            _ => hexadecimal(value),
        },
    }
}

/// Binary values of the types that drivers ask for in binary most.
fn binary(value: &[u8], type_oid: u32) -> Option<String> {
    let signed = || match *value {
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    };
    match type_oid {
        16 => match value {
            [0] => Some("f".into()),
            [1] => Some("t".into()),
            _ => None,
        },
        20 | 21 | 23 => signed().map(|number| number.to_string()),
        26 => value.try_into().ok().map(|bytes| u32::from_be_bytes(bytes).to_string()),
        700 => value.try_into().ok().map(|bytes| f32::from_be_bytes(bytes).to_string()),
        701 => value.try_into().ok().map(|bytes| f64::from_be_bytes(bytes).to_string()),
        18 | 19 | 25 | 114 | 1042 | 1043 => Some(text(Some(value))),
        // jsonb has a version byte before its text.
        3802 => value.strip_prefix(&[1]).map(|json| text(Some(json))),
        2950 => uuid::Uuid::from_slice(value).ok().map(|id| id.hyphenated().to_string()),
        // Microseconds since 2000.
        1114 | 1184 => {
            signed().and_then(|us| us.checked_add(YEAR_2000_US)).map(crate::admin::clock::to_text)
        }
        _ => None,
    }
}

fn hexadecimal(value: &[u8]) -> String {
    format!("\\x{}", hex::text(value))
}

fn read_notice(body: &[u8]) -> String {
    let mut parts = [String::new(), String::new(), String::new()];
    let [severity, code, message] = &mut parts;
    for field in body.split(|byte| *byte == 0) {
        match field.split_first() {
            Some((b'V', value)) => *severity = text(Some(value)),
            Some((b'S', value)) if severity.is_empty() => *severity = text(Some(value)),
            Some((b'C', value)) => *code = text(Some(value)),
            Some((b'M', value)) => *message = text(Some(value)),
            _ => {}
        }
    }
    format!("{severity} {code}: {message}")
}

/// Bytes as text, as far as they are.
pub(super) fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

const YEAR_2000_US: i64 = 946_684_800_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn description(fields: &[(&str, u32, u16)]) -> Vec<u8> {
        let mut body = u16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for (name, oid, format) in fields {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&[0, 4, 0, 0, 0, 0]);
            body.extend_from_slice(&format.to_be_bytes());
        }
        frame(b'T', &body)
    }

    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                None => body.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(value) => {
                    body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(value);
                }
            }
        }
        frame(b'D', &body)
    }

    fn rows(columns: &[&str], rows: &[&[Option<&str>]]) -> Part {
        Part::Rows {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|value| value.map(str::to_owned)).collect())
                .collect(),
        }
    }

    fn sample() -> Vec<u8> {
        [
            description(&[("id", 23, 1), ("name", 25, 0)]),
            row(&[Some(&[0, 0, 0, 7]), Some(b"a***")]),
            row(&[None, Some(b"")]),
            frame(b'C', b"SELECT 2\0"),
            frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"),
            description(&[("x", 25, 0)]),
            frame(b'C', b"SELECT 0\0"),
            frame(b'Z', b"I"),
        ]
        .concat()
    }

    #[test]
    fn an_answer_is_tables_tags_and_messages() {
        let expect = vec![
            rows(&["id", "name"], &[&[Some("7"), Some("a***")], &[None, Some("")]]),
            Part::Tag("SELECT 2".into()),
            Part::Message("NOTICE 00000: hello".into()),
            rows(&["x"], &[]),
            Part::Tag("SELECT 0".into()),
        ];
        assert_eq!(read(&sample()), expect);
    }

    #[test]
    fn a_cut_capture_says_so_at_every_length() {
        let whole = sample();
        let ends: Vec<usize> = {
            let mut ends = vec![0];
            let mut rest = whole.as_slice();
            while let Some((_, _, after)) = message(rest) {
                ends.push(whole.len() - after.len());
                rest = after;
            }
            ends
        };
        for length in 0..whole.len() {
            let cut = matches!(read(&whole[..length]).last(), Some(Part::Cut(_)));
            assert_eq!(cut, !ends.contains(&length), "{length}");
        }
    }

    #[test]
    fn rows_without_a_description_show_what_is_readable() {
        let bytes = row(&[Some(b"abc"), Some(&[0, 1])]);
        assert_eq!(read(&bytes), [rows(&[], &[&[Some("abc"), Some("\\x0001")]])]);
    }

    #[test]
    fn copy_data_is_joined() {
        let bytes = [frame(b'H', b"\0\0\0"), frame(b'd', b"a\t1\n"), frame(b'd', b"b\t2\n")];
        assert_eq!(read(&bytes.concat()), [Part::Copy("a\t1\nb\t2\n".into())]);
    }

    #[test]
    fn binary_values_are_read_by_type() {
        let check = |value: &[u8], oid: u32, expect: &str| {
            let field = Field { name: String::new(), type_oid: oid, binary: true };
            assert_eq!(show(value, Some(&field)), expect);
        };
        check(&[1], 16, "t");
        check(&[0xff, 0xfe], 21, "-2");
        check(&[0, 0, 0, 0, 0, 0, 0, 5], 20, "5");
        check(&1.5f64.to_be_bytes(), 701, "1.5");
        check(&[1, b'{', b'}'], 3802, "{}");
        check(&[0; 16], 2950, "00000000-0000-0000-0000-000000000000");
        check(&[0; 8], 1184, "2000-01-01T00:00:00.000000Z");
        check(&[1, 2, 3], 23, "\\x010203");
        check(&[1, 2], 17, "\\x0102");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
        }
    }
}
