//! The bodies of journal frames: entries to bytes and back.
//!
//! In: `Entry`, `SessionContext`. Out: bytes; borrowed views of them.
//! Never: an allocation while writing, a panic while reading, whatever the bytes are.
//!
//! Numbers are little-endian and of fixed width. `text` and `bytes` are a `u32` length and that
//! many bytes; a list is a `u32` count and its items. Bodies by kind:
//!
//! ```text
//! context        session_id 16 | protocol text | user text | groups list<text> | auth text | target text
//!                | db_namespace text | role text | client_addr text | client_app text | tls text
//! session-start  backend_pid i32 | server_addr text | server_version text | durability text
//! session-end    commands, bytes_in, bytes_out, denied, masked u64 | reason text
//! command        decision u8 | has approval u8, id 16 | has params u8 | kind text | statement text
//!                | rule text | operation text | classes list<text>
//!                | objects list<write u8, has schema u8, [schema text], name text>
//!                | [types list<u32>, raw bytes] | query bytes
//! response       command_seq, rows_returned, rows_affected, duration_us, first_byte_us, bytes,
//!                captured u64 | chunks u32 | outcome u8 | sqlstate, error, tag text | columns bytes
//! chunk          command_seq u64 | byte_offset u64 | chunk_no u32 | stream u8 | encoding text | payload bytes
//! approval       id 16 | command_seq u64 | expires_at i64 | quorum u32 | event, approver, reason text
//! masking-hit    command_seq u64 | hits u64 | column, detector, operator text
//! event          event, severity, message, attrs text
//! ```

use super::entry::{
    Approval, Command, Decision, Entry, Event, MaskingHit, Outcome, Response, SessionContext,
    SessionEnd, SessionId, SessionStart,
};
use crate::decide::Object;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The context of a session, for the frames after it.
    Context = 1,
    /// `Entry::SessionStart`.
    SessionStart = 2,
    /// `Entry::SessionEnd`.
    SessionEnd = 3,
    /// `Entry::Command`.
    Command = 4,
    /// `Entry::Response`.
    Response = 5,
    /// `Entry::Chunk`.
    Chunk = 6,
    /// `Entry::Approval`.
    Approval = 7,
    /// `Entry::MaskingHit`.
    MaskingHit = 8,
    /// `Entry::Event`.
    Event = 9,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Context,
            2 => Kind::SessionStart,
            3 => Kind::SessionEnd,
            4 => Kind::Command,
            5 => Kind::Response,
            6 => Kind::Chunk,
            7 => Kind::Approval,
            8 => Kind::MaskingHit,
            9 => Kind::Event,
            _ => return None,
        })
    }

    /// The kind of an entry.
    pub const fn of(entry: &Entry<'_>) -> Kind {
        match entry {
            Entry::SessionStart(_) => Kind::SessionStart,
            Entry::SessionEnd(_) => Kind::SessionEnd,
            Entry::Command(_) => Kind::Command,
            Entry::Response(_) => Kind::Response,
            Entry::Chunk(_) => Kind::Chunk,
            Entry::Approval(_) => Kind::Approval,
            Entry::MaskingHit(_) => Kind::MaskingHit,
            Entry::Event(_) => Kind::Event,
        }
    }
}

/// Where a body is written to: once to count its bytes, once to place them.
pub(in crate::record) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }
    fn i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.put(bytes);
    }
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
}

/// Counts.
#[derive(Default)]
pub(in crate::record) struct Count(pub usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Places. The slice is exactly as long as `Count` said; a difference is a bug of this file.
pub(in crate::record) struct Fill<'a> {
    rest: &'a mut [u8],
}

impl<'a> Fill<'a> {
    pub fn new(into: &'a mut [u8]) -> Fill<'a> {
        Fill { rest: into }
    }

    pub fn finish(self) {
        assert!(self.rest.is_empty(), "a body is shorter than it was counted");
    }
}

impl Sink for Fill<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (here, rest) = std::mem::take(&mut self.rest).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        self.rest = rest;
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A context to write, wherever its texts are.
#[derive(Clone, Copy, Debug)]
pub(in crate::record) struct ContextFields<'a> {
    pub session_id: SessionId,
    pub protocol: &'a str,
    pub user_name: &'a str,
    pub user_groups: &'a [String],
    pub auth_method: &'a str,
    pub target: &'a str,
    pub db_namespace: &'a str,
    pub role: &'a str,
    pub client_addr: &'a str,
    pub client_app: &'a str,
    pub tls_version: &'a str,
}

impl<'a> From<&'a SessionContext> for ContextFields<'a> {
    fn from(context: &'a SessionContext) -> ContextFields<'a> {
        ContextFields {
            session_id: context.session_id,
            protocol: context.protocol,
            user_name: &context.user_name,
            user_groups: &context.user_groups,
            auth_method: &context.auth_method,
            target: &context.target,
            db_namespace: &context.db_namespace,
            role: &context.role,
            client_addr: &context.client_addr,
            client_app: &context.client_app,
            tls_version: &context.tls_version,
        }
    }
}

/// Writes the body of a `Context` frame.
pub(in crate::record) fn put_context(sink: &mut impl Sink, context: &ContextFields<'_>) {
    sink.put(&context.session_id.0);
    sink.text(context.protocol);
    sink.text(context.user_name);
    sink.u32(context.user_groups.len() as u32);
    for group in context.user_groups {
        sink.text(group);
    }
    for text in [
        context.auth_method,
        context.target,
        context.db_namespace,
        context.role,
        context.client_addr,
        context.client_app,
        context.tls_version,
    ] {
        sink.text(text);
    }
}

/// Writes the body of an entry.
pub(in crate::record) fn put_entry(sink: &mut impl Sink, entry: &Entry<'_>) {
    match entry {
        Entry::SessionStart(start) => {
            sink.u32(start.backend_pid as u32);
            sink.text(start.server_addr);
            sink.text(start.server_version);
            sink.text(start.durability);
        }
        Entry::SessionEnd(end) => {
            for n in [end.commands, end.bytes_in, end.bytes_out, end.denied, end.masked] {
                sink.u64(n);
            }
            sink.text(end.reason);
        }
        Entry::Command(command) => put_command(sink, command),
        Entry::Response(response) => put_response(sink, response),
        Entry::Chunk(chunk) => {
            sink.u64(chunk.command_seq);
            sink.u64(chunk.byte_offset);
            sink.u32(chunk.chunk_no);
            sink.u8(chunk.stream);
            sink.text(chunk.encoding);
            sink.bytes(chunk.payload);
        }
        Entry::Approval(step) => put_approval(sink, step),
        Entry::MaskingHit(hit) => {
            sink.u64(hit.command_seq);
            sink.u64(hit.hits);
            sink.text(hit.column);
            sink.text(hit.detector);
            sink.text(hit.operator);
        }
        Entry::Event(event) => {
            for text in [event.event, event.severity, event.message, event.attrs] {
                sink.text(text);
            }
        }
    }
}

fn put_command(sink: &mut impl Sink, command: &Command<'_>) {
    sink.u8(match command.decision {
        Decision::Allow => 0,
        Decision::Deny => 1,
        Decision::Hold => 2,
    });
    sink.u8(u8::from(command.approval_id.is_some()));
    sink.put(&command.approval_id.map_or([0; 16], |id| id.0));
    sink.u8(u8::from(command.params.is_some()));
    sink.text(command.kind);
    sink.text(command.statement);
    sink.text(command.rule);
    sink.text(command.operation);
    sink.u32(command.classes.len() as u32);
    for class in command.classes {
        sink.text(class);
    }
    sink.u32(command.objects.len() as u32);
    for object in command.objects {
        put_object(sink, object);
    }
    if let Some(params) = command.params {
        sink.u32(params.types.len() as u32);
        for oid in params.types {
            sink.u32(*oid);
        }
        sink.bytes(params.raw);
    }
    sink.bytes(command.text);
}

fn put_object(sink: &mut impl Sink, object: &Object) {
    sink.u8(u8::from(object.write));
    let place = object.place();
    sink.u8(u8::from(place.is_some()));
    if let Some(place) = &place {
        sink.text(place);
    }
    sink.text(&object.name);
}

fn put_response(sink: &mut impl Sink, response: &Response<'_>) {
    for n in [
        response.command_seq,
        response.rows_returned,
        response.rows_affected,
        response.duration_us,
        response.first_byte_us,
        response.bytes,
        response.captured_bytes,
    ] {
        sink.u64(n);
    }
    sink.u32(response.chunks);
    sink.u8(match response.outcome {
        Outcome::Success => 0,
        Outcome::Error => 1,
        Outcome::Denied => 2,
        Outcome::Skipped => 3,
        Outcome::Suspended => 4,
        Outcome::Aborted => 5,
    });
    sink.text(response.sqlstate);
    sink.text(response.error_text);
    sink.text(response.tag);
    sink.bytes(response.columns);
}

fn put_approval(sink: &mut impl Sink, step: &Approval<'_>) {
    sink.put(&step.approval_id.0);
    sink.u64(step.command_seq);
    sink.i64(step.expires_at_us);
    sink.u32(step.quorum);
    sink.text(step.event);
    sink.text(step.approver);
    sink.text(step.reason);
}

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
}

/// `Params`, read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamsView<'a> {
    /// See `Params::raw`.
    pub raw: &'a [u8],
    types: &'a [u8],
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
    /// 0 client to server, 1 server to client.
    pub stream: u8,
    /// Number in its stream and command.
    pub chunk_no: u32,
    /// Offset of its first byte.
    pub byte_offset: u64,
    /// See `Chunk::encoding`.
    pub encoding: &'a str,
    /// The bytes.
    pub payload: &'a [u8],
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
}

/// A list of texts, checked when the body was read.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Texts<'a> {
    bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    /// The texts.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader { rest: self.bytes };
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
        let mut reader = Reader { rest: self.bytes };
        std::iter::from_fn(move || reader.object())
    }
}

/// Reads a body; `None` when the bytes are not one.
pub fn read(kind: Kind, bytes: &[u8]) -> Option<Body<'_>> {
    let mut r = Reader { rest: bytes };
    let body = match kind {
        Kind::Context => Body::Context(r.context()?),
        Kind::SessionStart => {
            let backend_pid = r.u32()? as i32;
            let (server_addr, server_version) = (r.text()?, r.text()?);
            let durability = r.text()?;
            Body::SessionStart(SessionStart {
                server_addr,
                server_version,
                durability,
                backend_pid,
            })
        }
        Kind::SessionEnd => {
            let (commands, bytes_in, bytes_out) = (r.u64()?, r.u64()?, r.u64()?);
            let (denied, masked, reason) = (r.u64()?, r.u64()?, r.text()?);
            Body::SessionEnd(SessionEnd { reason, commands, bytes_in, bytes_out, denied, masked })
        }
        Kind::Command => Body::Command(r.command()?),
        Kind::Response => Body::Response(r.response()?),
        Kind::Chunk => {
            let (command_seq, byte_offset, chunk_no) = (r.u64()?, r.u64()?, r.u32()?);
            let (stream, encoding, payload) = (r.u8()?, r.text()?, r.bytes()?);
            Body::Chunk(ChunkView { command_seq, stream, chunk_no, byte_offset, encoding, payload })
        }
        Kind::Approval => {
            let (id, command_seq) = (r.id()?, r.u64()?);
            let (expires_at_us, quorum) = (r.u64()? as i64, r.u32()?);
            let (event, approver, reason) = (r.text()?, r.text()?, r.text()?);
            let approval_id = id;
            Body::Approval(ApprovalView {
                approval_id,
                command_seq,
                event,
                approver,
                reason,
                quorum,
                expires_at_us,
            })
        }
        Kind::MaskingHit => {
            let (command_seq, hits) = (r.u64()?, r.u64()?);
            let (column, detector, operator) = (r.text()?, r.text()?, r.text()?);
            Body::MaskingHit(MaskingHit { command_seq, column, detector, operator, hits })
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
}

impl<'a> Reader<'a> {
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

    fn command(&mut self) -> Option<CommandView<'a>> {
        let decision = match self.u8()? {
            0 => Decision::Allow,
            1 => Decision::Deny,
            2 => Decision::Hold,
            _ => return None,
        };
        let (released, id) = (self.flag()?, self.id()?);
        let has_params = self.flag()?;
        let (kind, statement, rule) = (self.text()?, self.text()?, self.text()?);
        let (operation, classes) = (self.text()?, self.texts()?);
        let objects = Objects { bytes: self.list(|r| r.object().map(drop))? };
        let params = if has_params {
            let types = self.list(|r| r.u32().map(drop))?;
            Some(ParamsView { types, raw: self.bytes()? })
        } else {
            None
        };
        let text = self.bytes()?;
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
            _ => return None,
        };
        let (sqlstate, error_text) = (self.text()?, self.text()?);
        let (tag, columns) = (self.text()?, self.bytes()?);
        Some(Response {
            command_seq,
            outcome,
            sqlstate,
            error_text,
            tag,
            rows_returned,
            rows_affected,
            duration_us,
            first_byte_us,
            bytes,
            captured_bytes,
            chunks,
            columns,
        })
    }
}
