//! The bodies of journal frames, read in place.
//!
//! In: a kind, a version, bytes. Out: borrowed views. Never: a panic, whatever the bytes are.

use super::super::entry::{
    CommandExtra, Decision, Event, MaskingHit, Ocsf, Outcome, ParamsEncoding, Response,
    ResponseExtra, SessionEnd, SessionId, SessionStart,
};
use super::{Kind, VERSION};

/// A body, read in place.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// The context of the session from here on.
    Context(ContextView<'a>),
    /// A session begins.
    SessionStart(SessionStart<'a>),
    /// A session ends.
    SessionEnd(SessionEnd<'a>),
    /// A command.
    Command(CommandView<'a>),
    /// The outcome of a command.
    Response(Response<'a>),
    /// Captured bytes.
    Chunk(ChunkView<'a>),
    /// A step of an approval.
    Approval(ApprovalView<'a>),
    /// What masking did.
    MaskingHit(MaskingHit<'a>),
    /// Anything else.
    Event(Event<'a>),
}

/// `SessionContext`, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct ContextView<'a> {
    /// The session's id.
    pub session_id: SessionId,
    /// Protocol name.
    pub protocol: &'a str,
    /// Identity.
    pub user_name: &'a str,
    /// Its groups.
    pub user_groups: Texts<'a>,
    /// How it was proven.
    pub auth_method: &'a str,
    /// Target name.
    pub target: &'a str,
    /// Database at the target.
    pub db_namespace: &'a str,
    /// Role at the target.
    pub role: &'a str,
    /// Client address and port.
    pub client_addr: &'a str,
    /// `application_name`.
    pub client_app: &'a str,
    /// TLS version or empty.
    pub tls_version: &'a str,
}

/// `Command`, read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CommandView<'a> {
    /// See `Command::kind`.
    pub kind: &'a str,
    /// See `Command::text`.
    pub text: &'a [u8],
    /// See `Command::operation`.
    pub operation: &'a str,
    /// Class names.
    pub classes: Texts<'a>,
    /// Objects touched.
    pub objects: Objects<'a>,
    /// Bind values.
    pub params: Option<ParamsView<'a>>,
    /// Name of the prepared statement.
    pub statement: &'a str,
    /// The decision.
    pub decision: Decision,
    /// The rule that decided.
    pub rule: &'a str,
    /// The approval that released or ended it.
    pub approval_id: Option<SessionId>,
    /// What only some protocols have.
    pub extra: CommandExtra<'a, Texts<'a>>,
}

/// `Params`, read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamsView<'a> {
    /// How `raw` is to be read.
    pub encoding: ParamsEncoding,
    /// See `Params::raw`; without the secrets.
    pub raw: &'a [u8],
    pub(in crate::record) types: &'a [u8],
    /// See `Params::text_encoding`.
    pub text_encoding: &'a str,
}

impl<'a> ParamsView<'a> {
    /// The type OIDs.
    pub fn types(&self) -> impl Iterator<Item = u32> + 'a {
        self.types.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four))
    }
}

/// `Chunk`, read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkView<'a> {
    /// `seq` of the command.
    pub command_seq: u64,
    /// See `Chunk::stream`.
    pub stream: u8,
    /// Number in its stream and command.
    pub chunk_no: u32,
    /// Offset of its first byte.
    pub byte_offset: u64,
    /// See `Chunk::encoding`.
    pub encoding: &'a str,
    /// The bytes.
    pub payload: &'a [u8],
    /// When the first of them passed, UTC microseconds.
    pub at_us: Option<i64>,
}

/// `Approval`, read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApprovalView<'a> {
    /// Id of the approval.
    pub approval_id: SessionId,
    /// `seq` of the held command.
    pub command_seq: u64,
    /// See `Approval::event`.
    pub event: &'a str,
    /// Who voted.
    pub approver: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Distinct approvers needed.
    pub quorum: u32,
    /// When it expires, UTC microseconds.
    pub expires_at_us: i64,
    /// See `Approval::digest`.
    pub digest: Option<&'a [u8; 32]>,
    /// See `Approval::scope`.
    pub scope: &'a str,
    /// See `Approval::approver_auth`.
    pub approver_auth: &'a str,
    /// See `Approval::channel`.
    pub channel: &'a str,
}

/// A list of texts, checked when the body was read.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Texts<'a> {
    bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The texts.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader::new(self.bytes, VERSION);
        std::iter::from_fn(move || reader.text())
    }
}

/// An object a command names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectView<'a> {
    /// Schema, if stated.
    pub schema: Option<&'a str>,
    /// Name.
    pub name: &'a str,
    /// Whether the command changes it.
    pub write: bool,
}

/// A list of objects, checked when the body was read.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Objects<'a> {
    bytes: &'a [u8],
}

impl<'a> Objects<'a> {
    /// The objects.
    pub fn iter(&self) -> impl Iterator<Item = ObjectView<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes, VERSION);
        std::iter::from_fn(move || reader.object())
    }
}

/// Reads a body of a version; `None` when the bytes are not one.
pub fn read(kind: Kind, version: u8, bytes: &[u8]) -> Option<Body<'_>> {
    if version > VERSION {
        return None;
    }
    let mut r = Reader::new(bytes, version);
    let body = match kind {
        Kind::Context => Body::Context(r.context()?),
        Kind::SessionStart => Body::SessionStart(r.session_start()?),
        Kind::SessionEnd => {
            let (commands, bytes_in, bytes_out) = (r.u64()?, r.u64()?, r.u64()?);
            let (denied, masked, reason) = (r.u64()?, r.u64()?, r.text()?);
            Body::SessionEnd(SessionEnd { reason, commands, bytes_in, bytes_out, denied, masked })
        }
        Kind::Command => Body::Command(r.command()?),
        Kind::Response => Body::Response(r.response()?),
        Kind::Chunk => Body::Chunk(r.chunk()?),
        Kind::Approval => Body::Approval(r.approval()?),
        Kind::MaskingHit => {
            let (command_seq, hits) = (r.u64()?, r.u64()?);
            let (column, detector, operator) = (r.text()?, r.text()?, r.text()?);
            let bits = r.bits(0x1)?;
            let path = r.text_if(bits, 0)?;
            Body::MaskingHit(MaskingHit { command_seq, column, detector, operator, hits, path })
        }
        Kind::Event => {
            let (event, severity) = (r.text()?, r.text()?);
            let (message, attrs) = (r.text()?, r.text()?);
            Body::Event(Event { event, severity, message, attrs })
        }
    };
    r.rest.is_empty().then_some(body)
}

struct Reader<'a> {
    rest: &'a [u8],
    version: u8,
}

impl<'a> Reader<'a> {
    fn new(rest: &'a [u8], version: u8) -> Reader<'a> {
        Reader { rest, version }
    }

    /// Eight bits that say what follows; version 0 has none. One that is not known could say of
    /// anything that it follows.
    fn bits(&mut self, known: u8) -> Option<u16> {
        let bits = if self.version == 0 { 0 } else { self.u8()? };
        (bits & !known == 0).then_some(u16::from(bits))
    }

    /// The same, of sixteen.
    fn wide_bits(&mut self, known: u16) -> Option<u16> {
        let bits = if self.version == 0 { 0 } else { u16::from_le_bytes(self.array()?) };
        (bits & !known == 0).then_some(bits)
    }

    fn text_if(&mut self, bits: u16, at: u32) -> Option<&'a str> {
        if has(bits, at) { self.text() } else { Some("") }
    }

    fn u64_if(&mut self, bits: u16, at: u32) -> Option<Option<u64>> {
        if has(bits, at) { self.u64().map(Some) } else { Some(None) }
    }

    fn digest_if(&mut self, bits: u16, at: u32) -> Option<Option<&'a [u8; 32]>> {
        if !has(bits, at) {
            return Some(None);
        }
        let (digest, rest) = self.rest.split_first_chunk::<32>()?;
        self.rest = rest;
        Some(Some(digest))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (here, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(here)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (here, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*here)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn id(&mut self) -> Option<SessionId> {
        self.array().map(SessionId)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A count and that many items; keeps the items' bytes. A count that lies ends at the first
    /// item that is not there, so it costs no more than the bytes that are.
    fn list(&mut self, mut item: impl FnMut(&mut Reader<'a>) -> Option<()>) -> Option<&'a [u8]> {
        let count = self.u32()?;
        let start = self.rest;
        for _ in 0..count {
            item(self)?;
        }
        start.get(..start.len() - self.rest.len())
    }

    fn texts(&mut self) -> Option<Texts<'a>> {
        self.list(|r| r.text().map(drop)).map(|bytes| Texts { bytes })
    }

    fn object(&mut self) -> Option<ObjectView<'a>> {
        let write = self.flag()?;
        let schema = if self.flag()? { Some(self.text()?) } else { None };
        Some(ObjectView { schema, name: self.text()?, write })
    }

    fn context(&mut self) -> Option<ContextView<'a>> {
        Some(ContextView {
            session_id: self.id()?,
            protocol: self.text()?,
            user_name: self.text()?,
            user_groups: self.texts()?,
            auth_method: self.text()?,
            target: self.text()?,
            db_namespace: self.text()?,
            role: self.text()?,
            client_addr: self.text()?,
            client_app: self.text()?,
            tls_version: self.text()?,
        })
    }

    fn session_start(&mut self) -> Option<SessionStart<'a>> {
        let backend_pid = self.u32()? as i32;
        let (server_addr, server_version) = (self.text()?, self.text()?);
        let durability = self.text()?;
        let bits = self.bits(0xf)?;
        let (listener, settings) = (self.text_if(bits, 0)?, self.text_if(bits, 1)?);
        let (auth_detail, server_session) = (self.text_if(bits, 2)?, self.text_if(bits, 3)?);
        Some(SessionStart {
            server_addr,
            server_version,
            durability,
            backend_pid,
            listener,
            settings,
            auth_detail,
            server_session,
        })
    }

    fn chunk(&mut self) -> Option<ChunkView<'a>> {
        let (command_seq, byte_offset, chunk_no) = (self.u64()?, self.u64()?, self.u32()?);
        let (stream, encoding, payload) = (self.u8()?, self.text()?, self.bytes()?);
        let bits = self.bits(0x1)?;
        let at_us = self.u64_if(bits, 0)?.map(|at_us| at_us as i64);
        Some(ChunkView { command_seq, stream, chunk_no, byte_offset, encoding, payload, at_us })
    }

    fn approval(&mut self) -> Option<ApprovalView<'a>> {
        let (approval_id, command_seq) = (self.id()?, self.u64()?);
        let (expires_at_us, quorum) = (self.u64()? as i64, self.u32()?);
        let (event, approver, reason) = (self.text()?, self.text()?, self.text()?);
        let bits = self.bits(0xf)?;
        let (digest, scope) = (self.digest_if(bits, 0)?, self.text_if(bits, 1)?);
        let (approver_auth, channel) = (self.text_if(bits, 2)?, self.text_if(bits, 3)?);
        Some(ApprovalView {
            approval_id,
            command_seq,
            event,
            approver,
            reason,
            quorum,
            expires_at_us,
            digest,
            scope,
            approver_auth,
            channel,
        })
    }

    /// With it, the encoding of the parameters' text.
    fn command_extra(&mut self) -> Option<(CommandExtra<'a, Texts<'a>>, &'a str)> {
        let bits = self.wide_bits(u16::MAX)?;
        let ocsf = if has(bits, 0) {
            let (class_uid, activity_id) = (self.array()?, self.array()?);
            Some(Ocsf {
                class_uid: u16::from_le_bytes(class_uid),
                activity_id: u16::from_le_bytes(activity_id),
            })
        } else {
            None
        };
        let extra = CommandExtra {
            ocsf,
            parent_seq: self.u64_if(bits, 1)?,
            stream_id: self.u64_if(bits, 2)?,
            verb: self.text_if(bits, 3)?,
            resource: self.text_if(bits, 4)?,
            subresource: self.text_if(bits, 5)?,
            name: self.text_if(bits, 6)?,
            namespace: self.text_if(bits, 7)?,
            attrs: self.text_if(bits, 8)?,
            body_len: self.u64_if(bits, 9)?,
            body_sha256: self.digest_if(bits, 10)?,
            policy_version: self.text_if(bits, 11)?,
            rules: if has(bits, 12) { self.texts()? } else { Texts::default() },
            alone: has(bits, 13),
            text_encoding: self.text_if(bits, 14)?,
        };
        Some((extra, self.text_if(bits, 15)?))
    }

    fn params(&mut self, encoding: u8) -> Option<Option<ParamsView<'a>>> {
        let encoding = match encoding {
            0 => return Some(None),
            1 => ParamsEncoding::PgBind,
            2 => ParamsEncoding::Json,
            3 => ParamsEncoding::Words,
            _ => return None,
        };
        let types = self.list(|r| r.u32().map(drop))?;
        Some(Some(ParamsView { encoding, types, raw: self.bytes()?, text_encoding: "" }))
    }

    fn command(&mut self) -> Option<CommandView<'a>> {
        let decision = match self.u8()? {
            0 => Decision::Allow,
            1 => Decision::Deny,
            2 => Decision::Hold,
            3 => Decision::Abandoned,
            _ => return None,
        };
        let (released, id) = (self.flag()?, self.id()?);
        let encoding = self.u8()?;
        let (kind, statement, rule) = (self.text()?, self.text()?, self.text()?);
        let (operation, classes) = (self.text()?, self.texts()?);
        let objects = Objects { bytes: self.list(|r| r.object().map(drop))? };
        let params = self.params(encoding)?;
        let text = self.bytes()?;
        let (extra, text_encoding) = self.command_extra()?;
        let params = params.map(|params| ParamsView { text_encoding, ..params });
        let approval_id = released.then_some(id);
        Some(CommandView {
            kind,
            text,
            operation,
            classes,
            objects,
            params,
            statement,
            decision,
            rule,
            approval_id,
            extra,
        })
    }

    fn response(&mut self) -> Option<Response<'a>> {
        let (command_seq, rows_returned, rows_affected) = (self.u64()?, self.u64()?, self.u64()?);
        let (duration_us, first_byte_us) = (self.u64()?, self.u64()?);
        let (bytes, captured_bytes, chunks) = (self.u64()?, self.u64()?, self.u32()?);
        let outcome = match self.u8()? {
            0 => Outcome::Success,
            1 => Outcome::Error,
            2 => Outcome::Denied,
            3 => Outcome::Skipped,
            4 => Outcome::Suspended,
            5 => Outcome::Aborted,
            6 => Outcome::Abandoned,
            _ => return None,
        };
        let (sqlstate, error_text) = (self.text()?, self.text()?);
        let (tag, columns) = (self.text()?, self.bytes()?);
        let bits = self.wide_bits(0x3ff)?;
        let status = if has(bits, 0) { Some(self.u32()? as i32) } else { None };
        let extra = ResponseExtra {
            status,
            signal: self.text_if(bits, 1)?,
            truncated: has(bits, 2).then_some(has(bits, 3)),
            body_len: self.u64_if(bits, 4)?,
            body_sha256: self.digest_if(bits, 5)?,
            attrs: self.text_if(bits, 6)?,
        };
        Some(Response {
            command_seq,
            outcome,
            sqlstate,
            error_text,
            tag,
            rows_returned: (!has(bits, 7)).then_some(rows_returned),
            rows_affected: (!has(bits, 8)).then_some(rows_affected),
            duration_us,
            first_byte_us,
            bytes,
            captured_bytes,
            chunks,
            columns: (!has(bits, 9)).then_some(columns),
            extra,
        })
    }
}

fn has(bits: u16, at: u32) -> bool {
    bits >> at & 1 == 1
}
