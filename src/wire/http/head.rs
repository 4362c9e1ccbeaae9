//! One message head, whichever version of HTTP it came in: spans into one buffer.
//!
//! In: the parts of a head, in the order they were received. Out: views over them.
//! Never: a part that was not checked: what cannot be trusted is refused before it is a `Head`.
//!
//! ```text
//!   arena   G E T _ / o r d e r s ? i d = 1 _ ... H o s t : _ a . b \r \n ...
//!           '-.-'   '------.-----'                '-.-'    '-.-'
//!           method       target                   name     value     spans: start and length
//! ```
//!
//! HTTP/1.1 puts the head into the arena as it was received; HTTP/2 puts decoded fields there, one
//! behind the other. Both are cleared and filled again for the next message of the connection.

use super::check;
use super::name::Name;
use super::refused::Refused;
use crate::limits::{HTTP_FIELDS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_VALUE_BYTES_MAX};

/// A part of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it starts.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// Which version of HTTP a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0: no chunks, no interim answers, the connection is not kept.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// What stands before the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A request.
    Request {
        /// The method, as it was spelt.
        method: Span,
        /// `Host`, or `:authority`.
        authority: Span,
        /// The path with its query, or `*`.
        target: Span,
        /// `:protocol` of an extended CONNECT (RFC 8441).
        protocol: Option<Span>,
    },
    /// An answer.
    Status(u16),
    /// Trailers: fields behind a body.
    Trailers,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, as it was spelt.
    pub name: Span,
    /// The value without blanks around it.
    pub value: Span,
    /// Which name it is.
    pub known: Name,
    /// The peer asked that no compression remembers it (RFC 7541 7.1.3).
    pub never_indexed: bool,
}

/// A head.
#[derive(Clone, Debug)]
pub struct Head {
    arena: Vec<u8>,
    fields: Vec<Field>,
    line: Line,
    reason: Span,
    version: Version,
}

impl Default for Head {
    fn default() -> Head {
        Head {
            arena: Vec::new(),
            fields: Vec::new(),
            line: Line::Trailers,
            reason: Span::default(),
            version: Version::Http11,
        }
    }
}

/// Filling.
impl Head {
    /// Empties it for the next message; its room is kept.
    pub fn clear(&mut self, version: Version) {
        self.arena.clear();
        self.fields.clear();
        self.line = Line::Trailers;
        self.reason = Span::default();
        self.version = version;
    }

    /// Sets the version, which HTTP/1 says behind the target.
    pub(super) fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Gives back room beyond what an ordinary head takes.
    pub fn shrink(&mut self) {
        self.arena.shrink_to(4 << 10);
        self.fields.shrink_to(32);
    }

    /// Appends `bytes` to the arena.
    ///
    /// # Errors
    /// `HeadBytes` if the arena would be longer than a head may be.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Span, Refused> {
        self.append_with(|arena| {
            arena.extend_from_slice(bytes);
            Ok(())
        })
    }

    /// Has `write` append to the arena: a decoder writes where its output stays. `write` keeps its
    /// own bound, and must not shorten the arena.
    ///
    /// # Errors
    /// What `write` says, or `HeadBytes`; the arena is then as long as before.
    pub fn append_with<E: From<Refused>>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Span, E> {
        let start = self.arena.len();
        let written = write(&mut self.arena);
        assert!(self.arena.len() >= start, "an arena was shortened");
        let written = written.and_then(|()| match self.arena.len() <= HTTP_HEAD_BYTES_MAX {
            true => Ok(()),
            false => Err(E::from(Refused::HeadBytes)),
        });
        match written {
            Ok(()) => Ok(Span { start: start as u32, len: (self.arena.len() - start) as u32 }),
            Err(refused) => {
                self.arena.truncate(start);
                Err(refused)
            }
        }
    }

    /// Adds a field whose name and value stand in the arena.
    ///
    /// # Errors
    /// `FieldCount`, `ValueBytes`, `Field`, `Value`, `Alias`.
    pub fn push(&mut self, name: Span, value: Span, never_indexed: bool) -> Result<Name, Refused> {
        if self.fields.len() >= HTTP_FIELDS_MAX {
            return Err(Refused::FieldCount);
        }
        if value.len as usize > HTTP_VALUE_BYTES_MAX {
            return Err(Refused::ValueBytes);
        }
        if !check::is_token(self.bytes(name)) {
            return Err(Refused::Field);
        }
        check::value(self.bytes(value))?;
        let known = Name::read(self.bytes(name))?;
        self.fields.push(Field { name, value, known, never_indexed });
        Ok(known)
    }

    /// Makes it a request. `authority` is what `Host` or `:authority` says; `target` is in
    /// origin-form or `*`.
    ///
    /// # Errors
    /// `Method`, `Trace`, `Connect`, `Preface`, `Target`, `MethodOverride`, `Host`, `Protocol`.
    pub fn set_request(
        &mut self,
        method: Span,
        authority: Span,
        target: Span,
        protocol: Option<Span>,
    ) -> Result<(), Refused> {
        match protocol.map(|protocol| self.bytes(protocol)) {
            None => check::method(self.bytes(method))?,
            Some(b"websocket") if self.bytes(method) == b"CONNECT" => {}
            Some(_) => return Err(Refused::Protocol),
        }
        check::target(self.bytes(method), self.bytes(target))?;
        check::authority(self.bytes(authority))?;
        self.line = Line::Request { method, authority, target, protocol };
        Ok(())
    }

    /// Makes it an answer.
    pub fn set_status(&mut self, status: u16) {
        self.line = Line::Status(status);
    }

    /// The words behind a status of HTTP/1.
    pub(super) fn set_reason(&mut self, reason: Span) {
        self.reason = reason;
    }

    /// Adds fields that a parser has checked: names that are tokens, values without controls.
    pub(super) fn push_parsed(
        &mut self,
        parse: impl FnOnce(&[u8], &mut Vec<Field>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        parse(&self.arena, &mut self.fields)
    }
}

/// Reading.
impl Head {
    /// The bytes of a span; none for a span of another head.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.arena.get(start..start + span.len as usize).unwrap_or(&[])
    }

    /// Everything that was received, or decoded.
    pub fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// The version that it came in.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What stands before the fields.
    pub const fn line(&self) -> Line {
        self.line
    }

    /// The method of a request.
    pub fn method(&self) -> &[u8] {
        match self.line {
            Line::Request { method, .. } => self.bytes(method),
            Line::Status(_) | Line::Trailers => &[],
        }
    }

    /// Host and port of a request, as the client wrote them.
    pub fn authority(&self) -> &[u8] {
        match self.line {
            Line::Request { authority, .. } => self.bytes(authority),
            Line::Status(_) | Line::Trailers => &[],
        }
    }

    /// Path and query of a request, or `*`.
    pub fn target(&self) -> &[u8] {
        match self.line {
            Line::Request { target, .. } => self.bytes(target),
            Line::Status(_) | Line::Trailers => &[],
        }
    }

    /// The path of a request, escapes as they are.
    pub fn path(&self) -> &[u8] {
        check::split_target(self.target()).0
    }

    /// What stands behind the question mark of the target.
    pub fn query(&self) -> Option<&[u8]> {
        check::split_target(self.target()).1
    }

    /// `:protocol` of an extended CONNECT.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self.line {
            Line::Request { protocol, .. } => protocol.map(|protocol| self.bytes(protocol)),
            Line::Status(_) | Line::Trailers => None,
        }
    }

    /// The status of an answer.
    pub const fn status(&self) -> Option<u16> {
        match self.line {
            Line::Status(status) => Some(status),
            Line::Request { .. } | Line::Trailers => None,
        }
    }

    /// The words behind a status of HTTP/1, for people.
    pub fn reason(&self) -> &[u8] {
        self.bytes(self.reason)
    }

    /// All fields, in the order they were received.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Names, values and what is known of them, in the order they were received.
    pub fn named(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
        self.fields
            .iter()
            .map(|field| (field.known, self.bytes(field.name), self.bytes(field.value)))
    }

    /// Puts one field in the place of all of a name that weir knows.
    ///
    /// # Errors
    /// There is no room for the value.
    pub fn replace(&mut self, name: Name, value: &[u8]) -> Result<(), Refused> {
        let value = self.append(value)?;
        let mut is_first = true;
        self.fields.retain_mut(|field| {
            if field.known != name {
                return true;
            }
            field.value = value;
            std::mem::take(&mut is_first)
        });
        Ok(())
    }

    /// The values of all fields of a name that weir knows.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |field| field.known == name).map(|f| self.bytes(f.value))
    }

    /// The value of the only field of this name; `None` if there is none or if there are several.
    pub fn only(&self, name: Name) -> Option<&[u8]> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// The values of all fields that are spelt so, case ignored.
    pub fn spelt<'h>(&'h self, name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
        let spelt = move |field: &&Field| self.bytes(field.name).eq_ignore_ascii_case(name);
        self.fields.iter().filter(spelt).map(|field| self.bytes(field.value))
    }
}

/// Checks that need several fields.
impl Head {
    /// The number of `Content-Length`, if there is one (RFC 9112 6.3).
    ///
    /// # Errors
    /// `ContentLength`, `ContentLengthRepeated`. RFC 9110 8.6 lets equal ones stand; two servers
    /// may take different ones of them, so weir does not.
    pub fn content_length(&self) -> Result<Option<u64>, Refused> {
        let mut values = self.values(Name::ContentLength);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refused::ContentLengthRepeated);
        }
        check::content_length(value).map(Some)
    }

    /// That `Connection` names nothing but fields between two neighbours.
    ///
    /// # Errors
    /// `ConnectionNames`.
    pub fn check_connection(&self) -> Result<(), Refused> {
        for value in self.values(Name::Connection) {
            for named in check::list(value) {
                let known = Name::read(named).map_err(|_| Refused::ConnectionNames)?;
                if !check::is_token(named) || known.is_end_to_end() || is_content(named) {
                    return Err(Refused::ConnectionNames);
                }
            }
        }
        Ok(())
    }

    /// Whether `Connection` says `option`, case ignored.
    pub fn connection_says(&self, option: &[u8]) -> bool {
        self.values(Name::Connection)
            .flat_map(check::list)
            .any(|named| named.eq_ignore_ascii_case(option))
    }

    /// What `Expect` asks for: true for `100-continue`, false for nothing.
    ///
    /// # Errors
    /// `Expect` for anything else (RFC 9110 10.1.1).
    pub fn expects_continue(&self) -> Result<bool, Refused> {
        let mut values = self.values(Name::Expect);
        match (values.next(), values.next()) {
            (None, _) => Ok(false),
            (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            _ => Err(Refused::Expect),
        }
    }
}

/// Whether a name begins with `content-`: all of them describe the content.
fn is_content(name: &[u8]) -> bool {
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
}

#[cfg(test)]
mod tests;
