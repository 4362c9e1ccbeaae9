//! Which rows a segment holds, and what stands in them.
//!
//! In: the frames of a segment or of the holds kept aside. Out: rows in the order of their files.
//! Never: two rows of one execution; a row that depends on anything but the frames given.

mod command;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;

use super::body::{ApprovalView, Body, ChunkView, ContextView, ObjectView};
use super::entry::{
    Decision, Event, MaskingHit, Outcome, Response, SessionEnd, SessionId, SessionStart,
};
use super::journal::{End, Frame, Frames, Gap, Header, Place, Raw, Step};
use super::lines::{Found, Line, Terminal, Terminals};
use super::map;
use super::pty_events;
use super::schema::{SCHEMA_VERSION, Sink, Table};

/// Reason of a `SessionEnd` that recovery writes for a session without an end.
pub const RECOVERED: &str = "recovered";
const DAY_US: i64 = 86_400_000_000;

/// Where the context of each session is, and the frame it was read from.
type Sessions<'a> = HashMap<SessionId, (u32, Frame<'a>), ById>;

/// Hashes what begins with a session's id. Most of its bits are random and weir's own, so nobody
/// can choose them to collide, and a hash that resists that would be most of the work here.
#[derive(Clone, Copy, Debug, Default)]
pub struct ById;

impl BuildHasher for ById {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher(0)
    }
}

/// See `ById`.
#[derive(Clone, Copy, Debug)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.rchunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // 2^64 divided by the golden ratio (Knuth, volume 3, 6.4).
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, _length: usize) {
        // The length of an id says nothing.
    }
}

/// A row that will be: the entry it is made of, and what is known besides. A segment can have
/// hundreds of thousands, so a row is 24 bytes and looks up in the segment what it says.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    frame: Raw<'a>,
    /// Index into `Sheet::contexts`.
    context: u32,
    /// What a `Hold` came to, where no final entry says it.
    unanswered: Option<Unanswered>,
}

const _: () = assert!(size_of::<Row<'_>>() == 24);

/// What a hold without a final entry came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It waits, as far as is known.
    Hold,
    /// Its session, or weir, ended: nobody waits any more, and nobody decided.
    Abandoned,
}

impl Row<'_> {
    /// Days since 1970, UTC.
    pub fn day(&self) -> i64 {
        day_of(&self.frame.place())
    }
}

fn day_of(place: &Place) -> i64 {
    place.wall_us.div_euclid(DAY_US)
}

/// Sorted rows, day by day.
pub fn days<R: OfFrame>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        let day = rows.first()?.row().day();
        let (of_day, rest) = rows.split_at(rows.partition_point(|row| row.row().day() <= day));
        rows = rest;
        Some(of_day)
    })
}

/// What is made of a frame.
pub trait OfFrame {
    /// The row of that frame.
    fn row(&self) -> &Row<'_>;
}

impl OfFrame for Row<'_> {
    fn row(&self) -> &Row<'_> {
        self
    }
}

impl<A, B> OfFrame for (A, B, Row<'_>) {
    fn row(&self) -> &Row<'_> {
        &self.2
    }
}

/// The rows, in their order. Sorted rows stand anywhere in a segment that no cache holds, so the
/// frames of those to come are asked for.
pub fn ahead<R: OfFrame>(rows: &[R]) -> impl Iterator<Item = &R> {
    const ROWS: usize = 8;
    rows.iter().enumerate().map(|(at, row)| {
        if let Some(soon) = rows.get(at + ROWS) {
            map::prefetch(soon.row().frame.bytes());
        }
        row
    })
}

/// A command that waits, with the context of its session.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The `Hold` entry.
    pub frame: Frame<'a>,
    /// Its session, if a context frame came before it.
    pub context: ContextView<'a>,
    /// The frame that the context was read from.
    pub context_frame: Option<Frame<'a>>,
}

/// What identifies an execution.
pub type Key = (SessionId, u64);

/// The execution that an entry at this place belongs to.
pub fn key(place: &Place) -> Key {
    (place.session_id, place.seq)
}

/// All rows of a segment.
#[derive(Debug, Default)]
pub struct Sheet<'a> {
    /// Contexts that rows refer to. The first one is of sessions of which none is known.
    contexts: Vec<ContextView<'a>>,
    /// Rows by table; those of tables that are derived stay empty.
    rows: [Vec<Row<'a>>; Table::ALL.len()],
    /// Holds without a final entry, whose session goes on.
    pub held: Vec<Held<'a>>,
    /// Sessions that end here.
    pub ended: HashSet<SessionId>,
    /// Holes.
    pub gaps: Vec<Gap>,
    /// Frames with a right checksum whose body this version cannot read.
    pub unreadable: u64,
    /// Entries read.
    pub entries: u64,
    /// Log index after the last entry.
    pub next_index: u64,
    /// The highest number under each context.
    last_seq: Vec<u64>,
    /// The highest number in each session whose context is lost.
    lost_seq: HashMap<SessionId, u64>,
    /// The latest time of an entry.
    pub last_us: i64,
    /// How the segment ended.
    pub end: Option<End>,
}

impl<'a> Sheet<'a> {
    /// Reads a segment. With `live` its last frames may still be in the making.
    pub fn read(segment: &'a [u8], header: &Header, live: bool) -> Sheet<'a> {
        let mut frames =
            if live { Frames::live(segment, header) } else { Frames::new(segment, header) };
        let mut sheet = Sheet { last_us: header.created_us, ..Sheet::default() };
        let mut sessions = Sessions::default();
        sheet.add_context(ContextView::default());
        let mut holds = Vec::new();
        for step in &mut frames {
            match step {
                Step::Frame(frame) => sheet.take(frame, &mut sessions, &mut holds),
                Step::Gap(gap) => sheet.gaps.push(gap),
            }
        }
        sheet.next_index = frames.next_index();
        sheet.end = frames.end();
        sheet.place_holds(&holds, &sessions);
        sheet
    }

    /// Reads frames that stand one behind the other, whatever their log indexes are.
    pub fn of_frames(bytes: &'a [u8], header: &Header) -> Sheet<'a> {
        let salt = header.salt();
        let mut sheet = Sheet::default();
        sheet.add_context(ContextView::default());
        let (mut sessions, mut holds, mut offset) = (Sessions::default(), Vec::new(), 0);
        while let Some(frame) = Frame::read(bytes, offset, &salt) {
            offset = frame.end();
            sheet.take(frame, &mut sessions, &mut holds);
        }
        sheet.place_holds(&holds, &sessions);
        sheet
    }

    fn take(
        &mut self,
        frame: Frame<'a>,
        sessions: &mut Sessions<'a>,
        holds: &mut Vec<(Frame<'a>, u32)>,
    ) {
        let Some(body) = frame.body() else {
            self.unreadable += 1;
            return;
        };
        if let Body::Context(context) = body {
            sessions.insert(context.session_id, (self.add_context(context), frame));
            return;
        }
        self.entries += 1;
        self.last_us = self.last_us.max(frame.place.wall_us);
        let session_id = frame.place.session_id;
        let context = sessions.get(&session_id).map_or(0, |(context, _)| *context);
        let last_seq = match context {
            0 => self.lost_seq.entry(session_id).or_default(),
            known => &mut self.last_seq[known as usize],
        };
        *last_seq = frame.place.seq.max(*last_seq);
        if let Body::SessionEnd(_) = body {
            self.ended.insert(session_id);
        }
        let table = match &body {
            Body::Command(command) if command.decision == Decision::Hold => {
                holds.push((frame, context));
                Table::LogEvents
            }
            body => table_of(body),
        };
        self.rows[table as usize].push(Row { frame: frame.raw, context, unanswered: None });
    }

    fn place_holds(&mut self, holds: &[(Frame<'a>, u32)], sessions: &Sessions<'a>) {
        let waiting = holds.iter().map(|(frame, _)| key(&frame.place)).collect();
        let settled = self.settled(&waiting);
        for &(frame, context) in holds {
            if settled.contains(&key(&frame.place)) {
                continue;
            }
            let session_id = frame.place.session_id;
            if self.ended.contains(&session_id) {
                let row =
                    Row { frame: frame.raw, context, unanswered: Some(Unanswered::Abandoned) };
                self.rows[Table::Commands as usize].push(row);
                continue;
            }
            let context_frame = sessions.get(&session_id).map(|(_, frame)| *frame);
            let context = self.contexts[context as usize];
            self.held.push(Held { frame, context, context_frame });
        }
    }

    /// Which of these executions have their final entry here.
    pub fn settled(&self, waiting: &HashSet<Key, ById>) -> HashSet<Key, ById> {
        if waiting.is_empty() {
            return HashSet::default();
        }
        let commands = self.rows[Table::Commands as usize].iter();
        let last = commands.filter(|row| row.unanswered.is_none());
        last.map(|row| key(&row.frame.place())).filter(|key| waiting.contains(key)).collect()
    }

    /// A sheet of holds that were kept aside; they are not rows yet.
    pub fn of_held(held: Vec<Held<'a>>) -> Sheet<'a> {
        Sheet { held, ..Sheet::default() }
    }

    /// Adds the row of a command that was held and never came to a final entry.
    pub fn add_held(&mut self, held: &Held<'a>, unanswered: Unanswered) {
        if self.contexts.is_empty() {
            self.add_context(ContextView::default());
        }
        let context = self.add_context(held.context);
        let row = Row { frame: held.frame.raw, context, unanswered: Some(unanswered) };
        self.rows[Table::Commands as usize].push(row);
    }

    fn add_context(&mut self, context: ContextView<'a>) -> u32 {
        self.contexts.push(context);
        self.last_seq.push(0);
        (self.contexts.len() - 1) as u32
    }

    /// The highest number in each session.
    pub fn last_seq(&mut self) -> HashMap<SessionId, u64> {
        let mut last_seq = std::mem::take(&mut self.lost_seq);
        for (context, &seq) in self.contexts.iter().zip(&self.last_seq).skip(1) {
            let last = last_seq.entry(context.session_id).or_default();
            *last = seq.max(*last);
        }
        last_seq
    }

    /// Sorts the rows of a table as its files are: by day, session, order.
    pub fn sort(&mut self, table: Table) {
        self.rows[table as usize].sort_by_cached_key(|row| {
            let place = row.frame.place();
            let session = u128::from_be_bytes(place.session_id.0);
            // In halves: the alignment of a whole one would make the key a third longer.
            let (high, low) = ((session >> 64) as u64, session as u64);
            (day_of(&place), high, low, place.seq, place.log_index)
        });
    }

    /// The rows of a table.
    pub fn rows(&self, table: Table) -> &[Row<'a>] {
        &self.rows[table as usize]
    }

    /// The rows of `touches`, sorted by day, object, time.
    pub fn touches(&self) -> Touches<'a> {
        let (mut names, mut rows) = (Names::default(), Vec::new());
        for row in ahead(&self.rows[Table::Commands as usize]) {
            if let Some(Body::Command(command)) = row.frame.body() {
                for object in command.objects.iter() {
                    rows.push((names.number(&object), object.write, *row));
                }
            }
        }
        let (names, ranks) = names.sorted();
        for (name, ..) in &mut rows {
            *name = ranks[*name as usize];
        }
        rows.sort_by_cached_key(|(name, _, row)| {
            let place = row.frame.place();
            (day_of(&place), *name, place.wall_us, place.log_index)
        });
        Touches { names, rows }
    }

    /// The rows of `shell_lines`, sorted by day, session, order; and the terminals that showed
    /// them, as the segment leaves them. `before` are those of the segments before.
    pub(in crate::record) fn lines(
        &self,
        before: &Terminals,
    ) -> (Vec<Typed<'a>>, Vec<(Key, Terminal)>) {
        let mut chunks = Vec::new();
        for row in &self.rows[Table::StreamChunks as usize] {
            if let Some(Body::Chunk(chunk)) = row.frame.body()
                && chunk.encoding == pty_events::ENCODING
            {
                let place = row.frame.place();
                chunks.push(((place.session_id, chunk.command_seq), place, chunk, *row));
            }
        }
        chunks.sort_by_key(|(key, place, ..)| (key.0.0, key.1, place.log_index));
        let (mut rows, mut terminals) = (Vec::new(), Vec::new());
        for of_one in chunks.chunk_by(|one, other| one.0 == other.0) {
            let [(key, _, first, _), ..] = of_one else { continue };
            let mut terminal = before.find(key, first.chunk_no == 0);
            for (_, place, chunk, row) in of_one {
                let mut found = Vec::new();
                let took_us = terminal.take_safely(chunk.payload, &mut found);
                rows.extend(found.into_iter().map(|line| {
                    // The chunk was written with its last event, or little later.
                    let ago_us = i64::try_from(took_us.saturating_sub(line.at_us)).unwrap_or(0);
                    let ts_us = place.wall_us.saturating_sub(ago_us);
                    ((chunk.command_seq, line), ts_us.max(day_of(place) * DAY_US), *row)
                }));
            }
            terminals.push((*key, terminal));
        }
        rows.sort_by_cached_key(|(_, _, row)| {
            let place = row.frame.place();
            (day_of(&place), place.session_id.0, place.log_index)
        });
        (rows, terminals)
    }

    /// Appends a row of `shell_lines`.
    pub(in crate::record) fn fill_line(
        &self,
        columns: &mut impl Sink,
        header: &Header,
        ((command_seq, line), ts_us, row): &Typed<'a>,
    ) {
        self.common_at(columns, header, (row, *ts_us));
        columns.long(*command_seq);
        match &line.found {
            Found::Line { text, cut } => {
                columns.text(text);
                columns.flag(*cut);
                columns.nulls(1);
            }
            Found::Gap(gap) => {
                columns.nulls(2);
                columns.text(gap.label());
            }
        }
        columns.end_row();
    }

    /// Appends a row to its table's columns.
    pub(in crate::record) fn fill(
        &self,
        columns: &mut impl Sink,
        header: &Header,
        table: Table,
        row: &Row<'a>,
    ) {
        let Some(body) = row.frame.body() else { return };
        self.common(columns, header, row);
        let context = &self.contexts[row.context as usize];
        let wall_us = row.frame.place().wall_us;
        match body {
            Body::SessionStart(start) => session_start(columns, context, &start, wall_us),
            Body::SessionEnd(end) => session_end(columns, context, &end, row),
            Body::Command(command) if table == Table::LogEvents => {
                command::held_event(columns, &command);
            }
            Body::Command(command) => command::fill(columns, &command, row.unanswered),
            Body::Response(response) => self::response(columns, &response),
            Body::Chunk(chunk) => self::chunk(columns, &chunk),
            Body::Approval(step) => approval(columns, &step),
            Body::MaskingHit(hit) => masking_hit(columns, &hit),
            Body::Event(event) => self::event(columns, &event),
            Body::Context(_) => unreachable!("a context is no row"),
        }
        columns.end_row();
    }

    /// Appends a row of `touches`.
    pub(in crate::record) fn fill_touch(
        &self,
        columns: &mut impl Sink,
        header: &Header,
        row: &Row<'a>,
        (object, write): (&str, bool),
    ) {
        self.common(columns, header, row);
        columns.text(object);
        columns.text(if write { "write" } else { "read" });
        columns.end_row();
    }

    fn common(&self, columns: &mut impl Sink, header: &Header, row: &Row<'a>) {
        self.common_at(columns, header, (row, row.frame.place().wall_us));
    }

    fn common_at(&self, columns: &mut impl Sink, header: &Header, (row, ts_us): (&Row<'a>, i64)) {
        let context = &self.contexts[row.context as usize];
        let place = row.frame.place();
        let known = |text: &'a str| (!text.is_empty()).then_some(text);
        columns.begin_row(NonZeroU32::new(row.context));
        columns.time(Some(ts_us));
        columns.session_id(&place.session_id);
        columns.long(place.seq);
        columns.int(header.shard as i32);
        columns.long(place.log_index);
        columns.context_text(Some(&header.node));
        columns.context_text(Some(context.user_name));
        columns.texts(context.user_groups.iter());
        columns.context_text(Some(context.target));
        columns.context_text(Some(context.protocol));
        columns.context_text(known(context.db_namespace));
        columns.context_text(known(context.role));
        columns.context_text(known(context.client_addr));
        columns.int(SCHEMA_VERSION);
    }
}

/// A row of `shell_lines`: the number of its command and what was typed, when, and the bytes that
/// showed it.
pub(in crate::record) type Typed<'a> = ((u64, Line), i64, Row<'a>);

/// Rows of `touches`.
#[derive(Debug)]
pub struct Touches<'a> {
    /// Names of objects, sorted.
    pub names: Vec<String>,
    /// The object's place in `names`, whether it is written, and the command; sorted.
    pub rows: Vec<(u32, bool, Row<'a>)>,
}

/// Names of objects. There are few, and rows are sorted by numbers sooner than by texts.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32, ahash::RandomState>,
    name: String,
}

impl Names {
    /// The number of a name, in the order of the first ones.
    fn number(&mut self, object: &ObjectView<'_>) -> u32 {
        self.name.clear();
        push_object(&mut self.name, object);
        if let Some(number) = self.numbers.get(&self.name) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(self.name.clone(), number);
        number
    }

    /// The names, sorted, and by number the place of each.
    fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut named: Vec<(String, u32)> = self.numbers.into_iter().collect();
        named.sort_unstable();
        let mut ranks = vec![0; named.len()];
        for (rank, (_, number)) in named.iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        (named.into_iter().map(|(name, _)| name).collect(), ranks)
    }
}

/// Where an entry becomes a row.
fn table_of(body: &Body<'_>) -> Table {
    match body {
        Body::SessionStart(_) | Body::SessionEnd(_) => Table::Sessions,
        Body::Command(_) => Table::Commands,
        Body::Response(_) => Table::Responses,
        Body::Chunk(_) => Table::StreamChunks,
        Body::Approval(_) => Table::Approvals,
        Body::MaskingHit(_) => Table::MaskingHits,
        Body::Event(_) | Body::Context(_) => Table::LogEvents,
    }
}

/// The text form of an id.
pub fn uuid_text<'b>(id: &SessionId, buffer: &'b mut [u8; 36]) -> &'b str {
    uuid::Uuid::from_bytes(id.0).as_hyphenated().encode_lower(buffer)
}

/// When a session began, by its id (UUIDv7: milliseconds in the first 48 bits).
pub fn started_us(id: &SessionId) -> Option<i64> {
    let [a, b, c, d, e, f, version, ..] = id.0;
    let millis = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    (version >> 4 == 7).then_some(millis * 1000)
}

fn push_object(text: &mut String, object: &ObjectView<'_>) {
    if let Some(schema) = object.schema {
        text.push_str(schema);
        text.push('.');
    }
    text.push_str(object.name);
}

fn session_start(
    columns: &mut impl Sink,
    context: &ContextView<'_>,
    start: &SessionStart<'_>,
    wall_us: i64,
) {
    columns.text("start");
    columns.text_or_null(context.auth_method);
    columns.text_or_null(context.client_app);
    columns.text_or_null(context.tls_version);
    columns.text_or_null(start.server_addr);
    columns.text_or_null(start.server_version);
    columns.int(start.backend_pid);
    columns.text_or_null(start.durability);
    columns.nulls(6);
    columns.time(Some(wall_us));
    columns.nulls(1);
    columns.text_or_null(start.listener);
    columns.text_or_null(start.settings);
    columns.text_or_null(start.auth_detail);
    columns.text_or_null(start.server_session);
}

fn session_end(
    columns: &mut impl Sink,
    context: &ContextView<'_>,
    end: &SessionEnd<'_>,
    row: &Row<'_>,
) {
    let recovered = end.reason == RECOVERED;
    columns.text(if recovered { "recovered" } else { "end" });
    columns.text_or_null(context.auth_method);
    columns.text_or_null(context.client_app);
    columns.text_or_null(context.tls_version);
    columns.nulls(4);
    columns.text_or_null(end.reason);
    if recovered {
        columns.nulls(5); // What it came to is not known.
    } else {
        for count in [end.commands, end.bytes_in, end.bytes_out, end.denied, end.masked] {
            columns.long(count);
        }
    }
    let place = row.frame.place();
    columns.time(started_us(&place.session_id));
    columns.time(Some(place.wall_us));
    columns.nulls(4); // Facts of the start.
}

/// The name of an outcome in records.
pub const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Error => "error",
        Outcome::Denied => "denied",
        Outcome::Skipped => "skipped",
        Outcome::Suspended => "suspended",
        Outcome::Aborted => "aborted",
        Outcome::Abandoned => "abandoned",
    }
}

fn response(columns: &mut impl Sink, response: &Response<'_>) {
    columns.long(response.command_seq);
    columns.text(outcome_name(response.outcome));
    columns.text_or_null(response.sqlstate);
    columns.text_or_null(response.error_text);
    columns.text_or_null(response.tag);
    columns.long_or_null(response.rows_returned);
    columns.long_or_null(response.rows_affected);
    for count in
        [response.duration_us, response.first_byte_us, response.bytes, response.captured_bytes]
    {
        columns.long(count);
    }
    columns.int(response.chunks as i32);
    match response.columns {
        None => columns.nulls(1),
        Some(names) => {
            let names = String::from_utf8_lossy(names);
            let count = if names.is_empty() { 0 } else { usize::MAX };
            columns.texts(names.strip_suffix('\0').unwrap_or(&names).split('\0').take(count));
        }
    }
    let extra = &response.extra;
    columns.int_or_null(extra.status);
    columns.text_or_null(extra.signal);
    match extra.truncated {
        Some(truncated) => columns.flag(truncated),
        None => columns.nulls(1),
    }
    columns.long_or_null(extra.body_len);
    columns.blob(extra.body_sha256.map(<[u8; 32]>::as_slice));
    columns.text_or_null(extra.attrs);
}

fn chunk(columns: &mut impl Sink, chunk: &ChunkView<'_>) {
    columns.long(chunk.command_seq);
    columns.int(i32::from(chunk.stream));
    columns.int(chunk.chunk_no as i32);
    columns.long(chunk.byte_offset);
    columns.int(chunk.payload.len() as i32);
    columns.text(chunk.encoding);
    columns.blob(Some(chunk.payload));
    columns.long_or_null(chunk.at_us.and_then(|at_us| u64::try_from(at_us).ok()));
}

fn approval(columns: &mut impl Sink, step: &ApprovalView<'_>) {
    columns.text(uuid_text(&step.approval_id, &mut [0; 36]));
    columns.long(step.command_seq);
    columns.text(step.event);
    columns.text_or_null(step.approver);
    columns.text_or_null(step.reason);
    columns.int(step.quorum as i32);
    columns.time(Some(step.expires_at_us));
    columns.blob(step.digest.map(<[u8; 32]>::as_slice));
    columns.text_or_null(step.scope);
    columns.text_or_null(step.approver_auth);
    columns.text_or_null(step.channel);
}

fn masking_hit(columns: &mut impl Sink, hit: &MaskingHit<'_>) {
    columns.long(hit.command_seq);
    columns.text(hit.column);
    columns.text(hit.detector);
    columns.text(hit.operator);
    columns.long(hit.hits);
    columns.text_or_null(hit.path);
}

fn event(columns: &mut impl Sink, event: &Event<'_>) {
    columns.text(event.event);
    columns.text(event.severity);
    columns.text(event.message);
    columns.text(event.attrs);
}
