//! Kubernetes' protobuf: the envelope of an object, the frames of a watch, and fields by number.
//!
//! In: a body of `application/vnd.kubernetes.protobuf`. Out: which kind it is, and the bytes of the
//! fields that a table names. Never: two readings: a field that decides and comes twice, a wire
//! type that it does not have, a group, a length that lies is refused.
//!
//! ```text
//!   body     6b 38 73 00, then Unknown { 1 TypeMeta { 1 apiVersion, 2 kind }, 2 raw,
//!                                        3 contentEncoding, 4 contentType }
//!   watch    length (4, big endian), then such a body whose raw is
//!            WatchEvent { 1 type, 2 RawExtension { 1 raw: such a body again } }
//!   field    varint of number * 8 + wire type, then a varint, 8 bytes, length and bytes, 4 bytes
//! ```
//!
//! Numbers: `generated.proto` of k8s.io/api and k8s.io/apimachinery, which never change.

use crate::limits;

/// What every body begins with.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Why a body is refused. Rules that need what stands in it do not match then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not begin with the four bytes.
    Magic,
    /// A length or varint that ends outside of its message.
    Truncated,
    /// A varint of more than 64 bits, a number that is none, a group.
    Field,
    /// A field with another wire type than it has.
    Type,
    /// A field that decides and is there twice.
    Twice,
    /// Text that is not UTF-8.
    Encoding,
    /// Content in another encoding, or of another type.
    Content,
    /// A frame of a watch that is longer than an event may be.
    Length,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'b> {
    /// Numbers and booleans.
    Varint(u64),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Text, bytes, a message.
    Bytes(&'b [u8]),
    /// Four bytes.
    Fixed32([u8; 4]),
}

/// The fields of one message, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    /// Walks over a message.
    pub const fn new(message: &'b [u8]) -> Fields<'b> {
        Fields { rest: message }
    }

    fn field(&mut self) -> Result<(u32, Value<'b>), Refused> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Refused::Field)?;
        // 29 bits (protobuf.dev, "Encoding"); 0 is no number.
        if number == 0 || number >= 1 << 29 {
            return Err(Refused::Field);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Refused::Truncated)?;
                let split = self.rest.split_at_checked(length).ok_or(Refused::Truncated)?;
                self.rest = split.1;
                Value::Bytes(split.0)
            }
            5 => Value::Fixed32(self.fixed()?),
            _ => return Err(Refused::Field),
        };
        Ok((number, value))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Refused::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn varint(&mut self) -> Result<u64, Refused> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Refused::Truncated)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has one bit left.
            if shift == 63 && bits > 1 {
                return Err(Refused::Field);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Refused::Field)
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u32, Value<'b>), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The only field of a number, where it is bytes; empty where there is none. Go merges a message
/// that comes twice and takes the last of a text: neither is read here.
pub fn one(message: &[u8], number: u32) -> Result<&[u8], Refused> {
    let mut found = None;
    for field in Fields::new(message) {
        match field? {
            (n, Value::Bytes(bytes)) if n == number => match found.replace(bytes) {
                None => {}
                Some(_) => return Err(Refused::Twice),
            },
            (n, _) if n == number => return Err(Refused::Type),
            _ => {}
        }
    }
    Ok(found.unwrap_or_default())
}

/// All fields of a number, where they are bytes.
pub fn all(message: &[u8], number: u32) -> Result<Vec<&[u8]>, Refused> {
    let mut found = Vec::new();
    for field in Fields::new(message) {
        match field? {
            (n, Value::Bytes(bytes)) if n == number => found.push(bytes),
            (n, _) if n == number => return Err(Refused::Type),
            _ => {}
        }
    }
    Ok(found)
}

/// The message at the end of a path of numbers, each there once.
pub fn at<'b>(message: &'b [u8], path: &[u32]) -> Result<&'b [u8], Refused> {
    path.iter().try_fold(message, |message, number| one(message, *number))
}

/// As `at`, as text.
pub fn text<'b>(message: &'b [u8], path: &[u32]) -> Result<&'b str, Refused> {
    std::str::from_utf8(at(message, path)?).map_err(|_| Refused::Encoding)
}

/// An object in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'b> {
    /// `v1`, `apps/v1`.
    pub api_version: &'b str,
    /// `Secret`, `SecretList`, `Status`.
    pub kind: &'b str,
    /// The message of its kind.
    pub raw: &'b [u8],
}

/// The type of what is in the envelope, where it says so.
const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

impl<'b> Object<'b> {
    /// Opens the envelope.
    pub fn read(body: &'b [u8]) -> Result<Object<'b>, Refused> {
        let unknown = body.strip_prefix(&MAGIC).ok_or(Refused::Magic)?;
        let content_type = text(unknown, &[4])?;
        if !at(unknown, &[3])?.is_empty() || !["", CONTENT_TYPE].contains(&content_type) {
            return Err(Refused::Content);
        }
        Ok(Object {
            api_version: text(unknown, &[1, 1])?,
            kind: text(unknown, &[1, 2])?,
            raw: at(unknown, &[2])?,
        })
    }

    /// `metadata.name`: the first field of every object is its metadata, of which it is the first.
    pub fn name(&self) -> Result<&'b str, Refused> {
        text(self.raw, &[1, 1])
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> Result<&'b str, Refused> {
        text(self.raw, &[1, 3])
    }

    /// `dryRun` of DeleteOptions, or of those in an Eviction; none for other kinds.
    pub fn dry_run(&self) -> Result<Vec<&'b str>, Refused> {
        let options = match self.kind {
            "DeleteOptions" => self.raw,
            "Eviction" => one(self.raw, 2)?,
            _ => return Ok(Vec::new()),
        };
        let values = all(options, 5)?;
        values.into_iter().map(|v| std::str::from_utf8(v).map_err(|_| Refused::Encoding)).collect()
    }

    /// The places of secrets in an object of this kind, or in the items of its list.
    pub fn secrets(&self) -> Result<Vec<&'b [u8]>, Refused> {
        let mut found = Vec::new();
        let listed = self.kind.strip_suffix("List");
        let kind = listed.unwrap_or(self.kind);
        let objects = if listed.is_some() { all(self.raw, 2)? } else { vec![self.raw] };
        for place in PLACES.iter().filter(|place| place.kind == kind) {
            for object in &objects {
                place.values(object, &mut found)?;
            }
        }
        Ok(found)
    }
}

/// Where a kind has what belongs into no readable record.
struct Place {
    kind: &'static str,
    path: &'static [u32],
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The field is the value.
    Text,
    /// The field repeats, an entry { 1 key, 2 value } each.
    Map,
    /// As a map, of which only `LAST_APPLIED` counts.
    LastApplied,
}

const fn place(kind: &'static str, path: &'static [u32], shape: Shape) -> Place {
    Place { kind, path, shape }
}

/// The annotation in which `kubectl apply` keeps the whole object, values and all, as JSON.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Secret `data` and `stringData`, ConfigMap `data` and `binaryData`, the token of a TokenRequest's
/// status and of a TokenReview's spec; ObjectMeta `annotations` (12).
const PLACES: [Place; 8] = [
    place("Secret", &[1, 12], Shape::LastApplied),
    place("ConfigMap", &[1, 12], Shape::LastApplied),
    place("Secret", &[2], Shape::Map),
    place("Secret", &[4], Shape::Map),
    place("ConfigMap", &[2], Shape::Map),
    place("ConfigMap", &[3], Shape::Map),
    place("TokenRequest", &[3, 1], Shape::Text),
    place("TokenReview", &[2, 1], Shape::Text),
];

impl Place {
    fn values<'b>(&self, object: &'b [u8], found: &mut Vec<&'b [u8]>) -> Result<(), Refused> {
        let Some((last, above)) = self.path.split_last() else { return Ok(()) };
        let message = at(object, above)?;
        match self.shape {
            Shape::Text => found.push(one(message, *last)?),
            Shape::Map | Shape::LastApplied => {
                for entry in all(message, *last)? {
                    let named = one(entry, 1)? == LAST_APPLIED.as_bytes();
                    if named || self.shape == Shape::Map {
                        found.push(one(entry, 2)?);
                    }
                }
            }
        }
        found.retain(|value| !value.is_empty());
        Ok(())
    }
}

/// One event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'b> {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`.
    pub kind: &'b str,
    /// The object's body, envelope and all.
    pub object: &'b [u8],
}

impl<'b> Event<'b> {
    /// Reads the body of a frame.
    pub fn read(frame: &'b [u8]) -> Result<Event<'b>, Refused> {
        let event = Object::read(frame)?;
        Ok(Event { kind: text(event.raw, &[1])?, object: at(event.raw, &[2, 1])? })
    }
}

/// Finds the frames of a watch in bytes that come in any split.
#[derive(Debug, Default)]
pub struct Frames {
    kept: Vec<u8>,
    spent: bool,
}

const LENGTH_BYTES: usize = 4;

impl Frames {
    /// The next frame, without its length; `None` when more bytes are needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Refused> {
        if std::mem::take(&mut self.spent) {
            self.kept.clear();
        }
        if !self.fill(input, LENGTH_BYTES) {
            return Ok(None);
        }
        let length = self.kept.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        if length > limits::KUBERNETES_EVENT_BYTES_MAX {
            return Err(Refused::Length);
        }
        if !self.fill(input, LENGTH_BYTES + length as usize) {
            return Ok(None);
        }
        self.spent = true;
        Ok(self.kept.get(LENGTH_BYTES..))
    }

    fn fill(&mut self, input: &mut &[u8], count: usize) -> bool {
        let missing = count.saturating_sub(self.kept.len());
        let (head, after) = input.split_at(missing.min(input.len()));
        self.kept.extend_from_slice(head);
        *input = after;
        self.kept.len() >= count
    }
}

#[cfg(test)]
#[path = "proto_tests.rs"]
mod tests;
