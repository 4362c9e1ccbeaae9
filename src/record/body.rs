//! The bodies of journal frames: entries to bytes and back.
//!
//! In: `Entry`, `SessionContext`. Out: bytes; borrowed views of them (`view`).
//! Never: an allocation while writing, a panic while reading, whatever the bytes are.
//!
//! Numbers are little-endian and of fixed width. `text` and `bytes` are a `u32` length and that
//! many bytes; a list is a `u32` count and its items. A frame says the version of its body; this is
//! version 1, and what a later field is called stands in brackets with its bit: such a field is
//! there if its bit is set, so one that is absent costs a bit. Version 0 had none of them. By kind:
//!
//! ```text
//! context        session_id 16 | protocol text | user text | groups list<text> | auth text |
//! target text
//!                | db_namespace text | role text | client_addr text | client_app text | tls text
//! session-start  backend_pid i32 | server_addr text | server_version text | durability text
//!                | bits u8 [0 listener, 1 settings, 2 auth_detail, 3 server_session text]
//! session-end    commands, bytes_in, bytes_out, denied, masked u64 | reason text
//! command        decision u8 | has approval u8, id 16 | params u8 | kind text | statement text
//!                | rule text | operation text | classes list<text>
//!                | objects list<write u8, has schema u8, [schema text], name text>
//!                | [types list<u32>, raw bytes] | query bytes
//!                | bits u16 [0 ocsf u16 u16, 1 parent_seq, 2 stream_id u64, 3 verb, 4 resource,
//!                  5 subresource, 6 name, 7 namespace, 8 attrs text, 9 body_len u64,
//!                  10 body_sha256 32, 11 policy_version text, 12 rules list<text>,
//!                  13 the rule alone matched, 14 encoding of query, 15 of raw text]
//! response       command_seq, rows_returned, rows_affected, duration_us, first_byte_us, bytes,
//!                captured u64 | chunks u32 | outcome u8 | sqlstate, error, tag text | columns
//! bytes
//!                | bits u16 [0 status i32, 1 signal text, 2 truncated is known, 3 it is,
//!                  4 body_len u64, 5 body_sha256 32, 6 attrs text, 7 no rows_returned,
//!                  8 no rows_affected, 9 no columns]
//! chunk          command_seq u64 | byte_offset u64 | chunk_no u32 | stream u8 | encoding text
//!                | payload bytes | bits u8 [0 at_us i64]
//! approval       id 16 | command_seq u64 | expires_at i64 | quorum u32 | event, approver, reason
//! text
//!                | bits u8 [0 digest 32, 1 scope, 2 approver_auth, 3 channel text]
//! masking-hit    command_seq u64 | hits u64 | column, detector, operator text | bits u8 [0 path
//! text] event          event, severity, message, attrs text
//! ```
//!
//! `params` is 0 for none, else a `ParamsEncoding`. In `raw` the length of a secret is -2, and its
//! bytes are not there.

mod view;

pub use view::{
    ApprovalView, Body, ChunkView, CommandView, ContextView, ObjectView, Objects, ParamsView,
    Texts, read,
};

use super::entry::{
    Approval, Command, CommandExtra, Decision, Entry, Outcome, Params, Response, ResponseExtra,
    SessionContext, SessionId,
};
use super::params;
use crate::decide::Object;
use crate::identify::api_token;

/// Version of the bodies written.
pub const VERSION: u8 = 1;

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
    fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
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
    /// Bytes of which a client is the author: weir's own tokens in them are for no reader's eyes.
    fn said(&mut self, bytes: &[u8]) {
        match api_token::hidden(bytes) {
            Some(hidden) => self.bytes(&hidden),
            None => self.bytes(bytes),
        }
    }
    /// Texts whose bits say which are there.
    fn present(&mut self, texts: &[&str]) {
        texts.iter().filter(|text| !text.is_empty()).for_each(|text| self.text(text));
    }
}

/// A bit for each thing that is there, the first one the lowest.
fn bits<const COUNT: usize>(present: [bool; COUNT]) -> u16 {
    let mut bits = 0;
    for (at, there) in present.into_iter().enumerate() {
        bits |= u16::from(there) << at;
    }
    bits
}

fn bits_of<const COUNT: usize>(texts: [&str; COUNT]) -> u8 {
    bits(texts.map(|text| !text.is_empty())) as u8
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
            let texts = [start.listener, start.settings, start.auth_detail, start.server_session];
            sink.u8(bits_of(texts));
            sink.present(&texts);
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
            match chunk.stream {
                0 => sink.said(chunk.payload),
                _ => sink.bytes(chunk.payload),
            }
            sink.u8(u8::from(chunk.at_us.is_some()));
            if let Some(at_us) = chunk.at_us {
                sink.i64(at_us);
            }
        }
        Entry::Approval(step) => put_approval(sink, step),
        Entry::MaskingHit(hit) => {
            sink.u64(hit.command_seq);
            sink.u64(hit.hits);
            sink.text(hit.column);
            sink.text(hit.detector);
            sink.text(hit.operator);
            sink.u8(bits_of([hit.path]));
            sink.present(&[hit.path]);
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
        Decision::Abandoned => 3,
    });
    sink.u8(u8::from(command.approval_id.is_some()));
    sink.put(&command.approval_id.map_or([0; 16], |id| id.0));
    sink.u8(command.params.map_or(0, |params| params.encoding as u8));
    sink.text(command.kind);
    sink.text(command.statement);
    sink.text(command.rule);
    sink.said(command.operation.as_bytes());
    sink.u32(command.classes.len() as u32);
    for class in command.classes {
        sink.text(class);
    }
    sink.u32(command.objects.len() as u32);
    for object in command.objects {
        put_object(sink, object);
    }
    if let Some(params) = &command.params {
        put_params(sink, params);
    }
    sink.said(command.text);
    let values_encoding = command.params.map_or("", |params| params.text_encoding);
    put_command_extra(sink, &command.extra, values_encoding);
}

fn put_params(sink: &mut impl Sink, params: &Params<'_>) {
    sink.u32(params.types.len() as u32);
    for oid in params.types {
        sink.u32(*oid);
    }
    if params.secrets.is_empty() {
        sink.said(params.raw);
        return;
    }
    let mut length = Count::default();
    params::hide_secrets(params, &mut length);
    sink.u32(length.0 as u32);
    params::hide_secrets(params, sink);
}

fn put_command_extra(sink: &mut impl Sink, extra: &CommandExtra<'_>, values_encoding: &str) {
    let there = bits([
        extra.ocsf.is_some(),
        extra.parent_seq.is_some(),
        extra.stream_id.is_some(),
        !extra.verb.is_empty(),
        !extra.resource.is_empty(),
        !extra.subresource.is_empty(),
        !extra.name.is_empty(),
        !extra.namespace.is_empty(),
        !extra.attrs.is_empty(),
        extra.body_len.is_some(),
        extra.body_sha256.is_some(),
        !extra.policy_version.is_empty(),
        !extra.rules.is_empty(),
        extra.alone,
        !extra.text_encoding.is_empty(),
        !values_encoding.is_empty(),
    ]);
    sink.u16(there);
    // Commands of a database have the last ones alone.
    if there & 0x7ff != 0 {
        put_facts(sink, extra);
    }
    sink.present(&[extra.policy_version]);
    if !extra.rules.is_empty() {
        sink.u32(extra.rules.len() as u32);
        extra.rules.iter().for_each(|rule| sink.text(rule));
    }
    sink.present(&[extra.text_encoding, values_encoding]);
}

fn put_facts(sink: &mut impl Sink, extra: &CommandExtra<'_>) {
    if let Some(ocsf) = extra.ocsf {
        sink.u16(ocsf.class_uid);
        sink.u16(ocsf.activity_id);
    }
    [extra.parent_seq, extra.stream_id].into_iter().flatten().for_each(|number| sink.u64(number));
    let facts =
        [extra.verb, extra.resource, extra.subresource, extra.name, extra.namespace, extra.attrs];
    let there = facts.iter().filter(|fact| !fact.is_empty());
    there.for_each(|fact| sink.said(fact.as_bytes()));
    if let Some(length) = extra.body_len {
        sink.u64(length);
    }
    if let Some(digest) = extra.body_sha256 {
        sink.put(digest);
    }
}

fn put_object(sink: &mut impl Sink, object: &Object) {
    sink.u8(u8::from(object.write));
    let place = object.place();
    sink.u8(u8::from(place.is_some()));
    if let Some(place) = &place {
        sink.text(place);
    }
    sink.said(object.name.as_bytes());
}

fn put_response(sink: &mut impl Sink, response: &Response<'_>) {
    for n in [
        response.command_seq,
        response.rows_returned.unwrap_or(0),
        response.rows_affected.unwrap_or(0),
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
        Outcome::Abandoned => 6,
    });
    sink.text(response.sqlstate);
    sink.text(response.error_text);
    sink.text(response.tag);
    sink.bytes(response.columns.unwrap_or_default());
    put_response_extra(sink, response);
}

fn put_response_extra(sink: &mut impl Sink, response: &Response<'_>) {
    let ResponseExtra { status, signal, truncated, body_len, body_sha256, attrs } = response.extra;
    let there = bits([
        status.is_some(),
        !signal.is_empty(),
        truncated.is_some(),
        truncated == Some(true),
        body_len.is_some(),
        body_sha256.is_some(),
        !attrs.is_empty(),
        response.rows_returned.is_none(),
        response.rows_affected.is_none(),
        response.columns.is_none(),
    ]);
    sink.u16(there);
    if there & 0x7f == 0 {
        return;
    }
    if let Some(status) = status {
        sink.u32(status as u32);
    }
    sink.present(&[signal]);
    if let Some(length) = body_len {
        sink.u64(length);
    }
    if let Some(digest) = body_sha256 {
        sink.put(digest);
    }
    sink.present(&[attrs]);
}

fn put_approval(sink: &mut impl Sink, step: &Approval<'_>) {
    sink.put(&step.approval_id.0);
    sink.u64(step.command_seq);
    sink.i64(step.expires_at_us);
    sink.u32(step.quorum);
    sink.text(step.event);
    sink.text(step.approver);
    sink.text(step.reason);
    let texts = [step.scope, step.approver_auth, step.channel];
    sink.u8(u8::from(step.digest.is_some()) | bits_of(texts) << 1);
    if let Some(digest) = step.digest {
        sink.put(digest);
    }
    sink.present(&texts);
}
