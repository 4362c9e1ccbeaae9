//! Bytes to events.
//!
//! DATA is handed out as it arrives; every other frame is kept until it is whole, which is 16 KiB
//! at most. What a stream's frames do wrong is that stream's error; what remains for the connection
//! is HPACK, the order and the size of frames, their ids, the connection's window, and floods.

use super::frame::{
    ACK, END_HEADERS, END_STREAM, FrameHead, HEAD_BYTES, Kind, PADDED, PREFACE, PRIORITY, short,
    u32_at,
};
use super::stream::{By, Heard, Said, Stream, StreamState};
use super::{Code, Connection, Drain, Event, Expect, Fatal, Gather, Part, Refused, Role, message};
use crate::limits::{
    H2_BLOCK_BYTES_MAX, H2_CONTINUATIONS_MAX, H2_FRAME_BYTES_MAX, H2_STREAMS_MAX, HTTP_INTERIM_MAX,
};

/// What one step did.
enum Step<'b> {
    Event(Event<'b>),
    /// Something was taken in and nobody needs to know.
    Again,
    /// Everything was taken in.
    Need,
}

impl<'b> From<Option<Event<'b>>> for Step<'b> {
    fn from(event: Option<Event<'b>>) -> Step<'b> {
        event.map_or(Step::Again, Step::Event)
    }
}

const fn protocol(why: &'static str) -> Fatal {
    Fatal::new(Code::Protocol, why)
}

const fn frame_size(why: &'static str) -> Fatal {
    Fatal::new(Code::FrameSize, why)
}

impl Connection {
    /// Takes in bytes from the front of `input` up to the next event. `None`: all were taken in.
    /// `now_us` is monotonic.
    ///
    /// # Errors
    /// The connection has ended; its GOAWAY stands in the output.
    pub fn receive<'b>(
        &mut self,
        input: &mut &'b [u8],
        now_us: u64,
    ) -> Result<Option<Event<'b>>, Fatal> {
        loop {
            match self.step(input, now_us) {
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Ok(Step::Again) => {}
                Ok(Step::Need) => return Ok(None),
                Err(fatal) => {
                    if !matches!(self.expect, Expect::Nothing(_)) {
                        self.write_goaway(self.last_served(), fatal.code);
                        self.expect = Expect::Nothing(fatal);
                        self.carry = Vec::new();
                    }
                    return Err(fatal);
                }
            }
        }
    }

    /// The last stream of the peer that weir may have acted on.
    pub(super) fn last_served(&self) -> u32 {
        match (self.role, self.drain) {
            (Role::Client, _) => 0,
            (Role::Server, Drain::Last(last)) => last,
            (Role::Server, Drain::No | Drain::Announced) => self.highest,
        }
    }

    fn step<'b>(&mut self, input: &mut &'b [u8], now_us: u64) -> Result<Step<'b>, Fatal> {
        match self.expect {
            Expect::Nothing(fatal) => Err(fatal),
            Expect::Preface(seen) => {
                let rest = PREFACE.get(seen..).unwrap_or(&[]);
                let came = take(input, rest.len());
                if !rest.starts_with(came) {
                    return Err(protocol("no preface"));
                }
                let seen = seen + came.len();
                self.expect = Expect::Preface(seen);
                if seen < PREFACE.len() {
                    return Ok(Step::Need);
                }
                self.expect = Expect::Settings;
                Ok(Step::Again)
            }
            Expect::Data(part) => Ok(self.data(input, part)),
            Expect::Settings | Expect::Frame | Expect::Continuation(_) => self.frame(input, now_us),
        }
    }

    /// The next frame, if it is there.
    fn frame<'b>(&mut self, input: &mut &'b [u8], now_us: u64) -> Result<Step<'b>, Fatal> {
        if self.carry.is_empty() && !matches!(self.expect, Expect::Continuation(_)) {
            self.since_us = now_us;
        }
        if self.carry.is_empty()
            && let Some(head) = input.first_chunk::<HEAD_BYTES>()
        {
            let head = FrameHead::read(head);
            let wanted = self.wanted(&head)?;
            if input.len() >= wanted {
                let frame = take(input, wanted);
                return self.framed(head, frame, now_us).map(Step::from);
            }
        }
        self.fill(input, HEAD_BYTES);
        let Some(head) = self.carry.first_chunk::<HEAD_BYTES>().map(FrameHead::read) else {
            return Ok(Step::Need);
        };
        let wanted = self.wanted(&head)?;
        self.fill(input, wanted);
        if self.carry.len() < wanted {
            return Ok(Step::Need);
        }
        let mut carry = std::mem::take(&mut self.carry);
        let done = self.framed(head, &carry, now_us);
        carry.clear();
        carry.shrink_to(1 << 10);
        self.carry = carry;
        done.map(Step::from)
    }

    fn fill(&mut self, input: &mut &[u8], until: usize) {
        let missing = until.saturating_sub(self.carry.len());
        self.carry.extend_from_slice(take(input, missing));
    }

    /// Bytes of the frame that must be there before it is looked at, from its head alone.
    fn wanted(&self, head: &FrameHead) -> Result<usize, Fatal> {
        if head.length > H2_FRAME_BYTES_MAX {
            return Err(frame_size("a frame that is too long"));
        }
        match self.expect {
            Expect::Settings if head.kind != Kind::Settings || head.has(ACK) => {
                return Err(protocol("the first frame is not SETTINGS"));
            }
            Expect::Continuation(gather)
                if head.kind != Kind::Continuation || head.stream != gather.stream =>
            {
                return Err(protocol("a frame within a field block"));
            }
            _ => {}
        }
        if head.kind != Kind::Data {
            return Ok(HEAD_BYTES + head.length as usize);
        }
        if head.has(PADDED) && head.length == 0 {
            return Err(frame_size("DATA without the length of its padding"));
        }
        Ok(HEAD_BYTES + usize::from(head.has(PADDED)))
    }

    /// A frame that is there: all of it, or of DATA its head and the length of its padding.
    fn framed(
        &mut self,
        head: FrameHead,
        frame: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let payload = frame.get(HEAD_BYTES..).unwrap_or(&[]);
        match head.kind {
            Kind::Data => self.data_begins(head, payload.first().copied(), now_us),
            Kind::Headers => self.headers(head, payload, now_us),
            Kind::Continuation => self.continuation(head, payload, now_us),
            Kind::Settings => self.settings(head, payload, now_us),
            Kind::RstStream => self.rst_stream(head, payload, now_us),
            Kind::WindowUpdate => self.window_update(head, payload, now_us),
            Kind::Ping => self.pinged(head, payload, now_us),
            Kind::Goaway => self.goaway(head, payload, now_us),
            Kind::Priority => self.priority(head, payload, now_us),
            // weir has said that it takes none, and a client may not push (8.4).
            Kind::PushPromise => Err(protocol("PUSH_PROMISE")),
            Kind::Unknown => self.guard.idle(now_us).map(|()| None),
        }
    }

    fn data_begins(
        &mut self,
        head: FrameHead,
        padding: Option<u8>,
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let id = head.stream;
        if id == 0 || self.is_idle(id) {
            return Err(protocol("DATA of no stream"));
        }
        let (padding, pad_head) = (u32::from(padding.unwrap_or(0)), u32::from(head.has(PADDED)));
        let Some(bytes) = head.length.checked_sub(padding + pad_head) else {
            return Err(protocol("padding longer than its frame"));
        };
        if self.credit.spend(head.length).is_none() {
            return Err(Fatal::new(Code::FlowControl, "DATA beyond the connection's window"));
        }
        let last = head.has(END_STREAM);
        if bytes == 0 && !last {
            self.guard.idle(now_us)?;
        } else {
            self.guard.moved(bytes as usize);
        }
        let mut part = Part { stream: 0, left: bytes, padding, last };
        let refused = match self.data_place(head, bytes) {
            Ok(true) => {
                part.stream = id;
                None
            }
            Ok(false) => None,
            Err(code) => Some(code),
        };
        // What nobody will take, and padding, is given back at once.
        let unwanted = if part.stream == 0 { head.length } else { padding + pad_head };
        self.give(unwanted);
        if part.stream != 0 && pad_head != 0 {
            self.credit(id, padding + pad_head);
        }
        self.expect = if part.left + part.padding == 0 && (part.stream == 0 || !last) {
            Expect::Frame
        } else {
            Expect::Data(part)
        };
        match refused {
            None => Ok(None),
            Some(DataFault::Stream(code)) => self.fault(id, code, now_us),
            Some(DataFault::Message(why)) => self.refuse(id, why, now_us),
        }
    }

    /// Whether somebody wants the DATA of this frame.
    fn data_place(&mut self, head: FrameHead, bytes: u32) -> Result<bool, DataFault> {
        let id = head.stream;
        let is_forgotten = self.forgotten.contains(&id);
        let Some(stream) = self.stream_mut(id) else {
            return if is_forgotten { Ok(false) } else { Err(Code::StreamClosed.into()) };
        };
        let (due, got) = match stream.state {
            StreamState::Open { heard: Heard::Body { due, got }, .. } => {
                (due, got + u64::from(bytes))
            }
            StreamState::Open { heard: Heard::Refused, .. } | StreamState::Reset(By::Weir) => {
                return Ok(false);
            }
            StreamState::Open { heard: Heard::Head { .. }, .. } => {
                return Err(Code::Protocol.into());
            }
            StreamState::Open { heard: Heard::Ended, .. } | StreamState::Reset(By::Peer) => {
                return Err(Code::StreamClosed.into());
            }
        };
        if stream.credit.spend(head.length).is_none() {
            return Err(Code::FlowControl.into());
        }
        let is_short = head.has(END_STREAM) && due.is_some_and(|due| got < due);
        if is_short || due.is_some_and(|due| got > due) {
            // 8.1.1. Nothing of this frame is handed out.
            return Err(DataFault::Message(Refused::LengthMismatch));
        }
        stream.set_heard(Heard::Body { due, got });
        Ok(true)
    }

    /// A part of DATA.
    fn data<'b>(&mut self, input: &mut &'b [u8], mut part: Part) -> Step<'b> {
        if input.is_empty() && part.left + part.padding > 0 {
            return Step::Need;
        }
        let bytes = take(input, part.left as usize);
        part.left -= bytes.len() as u32;
        let ends = part.left == 0;
        part.padding -= if ends { take(input, part.padding as usize).len() as u32 } else { 0 };
        let last = part.last && ends;
        let wanted = part.stream != 0 && (last || !bytes.is_empty());
        // The end is told once, even if padding follows.
        self.expect = if ends && part.padding == 0 {
            Expect::Frame
        } else {
            Expect::Data(Part { stream: if ends { 0 } else { part.stream }, ..part })
        };
        if !wanted {
            return Step::Again;
        }
        if last {
            self.heard_all(part.stream);
        }
        Step::Event(Event::Data { stream: part.stream, bytes, last })
    }

    fn heard_all(&mut self, id: u32) {
        if let Some(stream) = self.stream_mut(id) {
            stream.set_heard(Heard::Ended);
            self.settle(id);
        }
    }

    fn headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let id = head.stream;
        if id.is_multiple_of(2) {
            return Err(protocol("HEADERS with an id that is not a client's"));
        }
        if self.role == Role::Client && self.is_idle(id) {
            return Err(protocol("HEADERS of a stream that nobody opened"));
        }
        let mut rest = payload;
        let mut padding = 0;
        if head.has(PADDED) {
            let (&first, after) =
                rest.split_first().ok_or(frame_size("HEADERS without padding"))?;
            (padding, rest) = (usize::from(first), after);
        }
        let mut is_circular = false;
        if head.has(PRIORITY) {
            let parent = u32_at(rest, 0).ok_or(frame_size("HEADERS without a priority"))?;
            is_circular = parent & 0x7fff_ffff == id;
            rest = rest.get(5..).ok_or(frame_size("HEADERS without a priority"))?;
        }
        let length = rest.len().checked_sub(padding);
        let fragment = length
            .and_then(|length| rest.get(..length))
            .ok_or(protocol("padding longer than its frame"))?;
        self.fields.clear();
        let last = head.has(END_STREAM);
        let gather = Gather { stream: id, last, is_circular, frames: 0, bytes: 0 };
        self.fragment(gather, fragment, head.has(END_HEADERS), now_us)
    }

    fn continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let Expect::Continuation(mut gather) = self.expect else {
            return Err(protocol("CONTINUATION of no field block"));
        };
        gather.frames += 1;
        if gather.frames > H2_CONTINUATIONS_MAX {
            return Err(Fatal::new(Code::Calm, "CONTINUATION frames"));
        }
        self.fragment(gather, payload, head.has(END_HEADERS), now_us)
    }

    fn fragment(
        &mut self,
        mut gather: Gather,
        fragment: &[u8],
        ends: bool,
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        gather.bytes += fragment.len();
        if gather.bytes > H2_BLOCK_BYTES_MAX {
            return Err(Fatal::new(Code::Calm, "a field block that is too long"));
        }
        if self.decoder.decode(fragment, ends, &mut self.fields).is_err() {
            return Err(Fatal::new(Code::Compression, "a field block"));
        }
        if !ends {
            self.expect = Expect::Continuation(gather);
            return Ok(None);
        }
        self.expect = Expect::Frame;
        let event = self.block(gather, now_us);
        self.fields.clear();
        event
    }

    /// A block that is complete and decoded.
    fn block(&mut self, gather: Gather, now_us: u64) -> Result<Option<Event<'static>>, Fatal> {
        let id = gather.stream;
        if self.role == Role::Server && self.is_idle(id) {
            return self.request(gather, now_us);
        }
        let is_forgotten = self.forgotten.contains(&id);
        let Some(state) = self.stream_mut(id).map(|stream| stream.state) else {
            // Whoever ends a stream and goes on with it has lost count (5.1).
            let fatal = Fatal::new(Code::StreamClosed, "HEADERS of a closed stream");
            return if is_forgotten { Ok(None) } else { Err(fatal) };
        };
        match state {
            StreamState::Reset(By::Weir) | StreamState::Open { heard: Heard::Refused, .. } => {
                Ok(None)
            }
            StreamState::Reset(By::Peer) | StreamState::Open { heard: Heard::Ended, .. } => {
                self.fault(id, Code::StreamClosed, now_us)
            }
            StreamState::Open { .. } if gather.is_circular => {
                self.fault(id, Code::Protocol, now_us)
            }
            StreamState::Open { heard: Heard::Head { interim }, .. } => {
                self.answer(gather, interim, now_us)
            }
            StreamState::Open { heard: Heard::Body { due, got }, .. } => {
                let is_short = due.is_some_and(|due| due != got);
                match message::trailers(&self.fields, &mut self.head) {
                    // 8.1: a second block ends the message.
                    Ok(()) if !gather.last => self.refuse(id, Refused::Trailer, now_us),
                    Ok(()) if is_short => self.refuse(id, Refused::LengthMismatch, now_us),
                    Ok(()) => {
                        self.heard_all(id);
                        Ok(Some(Event::Trailers { stream: id }))
                    }
                    Err(why) => self.refuse(id, why, now_us),
                }
            }
        }
    }

    /// A new stream.
    fn request(&mut self, gather: Gather, now_us: u64) -> Result<Option<Event<'static>>, Fatal> {
        let id = gather.stream;
        let is_late = matches!(self.drain, Drain::Last(last) if id > last);
        if is_late || self.streams.len() >= H2_STREAMS_MAX {
            // Told that nothing was done, the client may ask again (8.7). It may not have seen the
            // limit yet.
            self.highest = id;
            self.remember(id);
            self.write_reset(id, Code::RefusedStream);
            self.guard.idle(now_us)?;
            return Ok(None);
        }
        self.guard.opened(now_us);
        let heard = Heard::Body { due: None, got: 0 };
        self.add(id, StreamState::Open { heard, said: Said::Head }, false);
        if gather.is_circular {
            return self.fault(id, Code::Protocol, now_us);
        }
        let checked = message::request(&self.fields, self.scheme, &mut self.head)
            .and_then(|()| self.begin_body(gather));
        match checked {
            Ok(()) => Ok(Some(Event::Head { stream: id, last: gather.last })),
            Err(why) => self.refuse(id, why, now_us),
        }
    }

    fn answer(
        &mut self,
        gather: Gather,
        interim: u32,
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let id = gather.stream;
        let checked = match message::answer(&self.fields, &mut self.head) {
            Err(why) => Err(why),
            Ok(100..200) if gather.last => Err(Refused::Truncated),
            Ok(100..200) if interim >= HTTP_INTERIM_MAX => Err(Refused::Interim),
            Ok(100..200) => {
                if let Some(stream) = self.stream_mut(id) {
                    stream.set_heard(Heard::Head { interim: interim + 1 });
                }
                Ok(())
            }
            Ok(_) => self.begin_body(gather),
        };
        match checked {
            Ok(()) => Ok(Some(Event::Head { stream: id, last: gather.last })),
            Err(why) => self.refuse(id, why, now_us),
        }
    }

    /// The head came; how long is what follows?
    fn begin_body(&mut self, gather: Gather) -> Result<(), Refused> {
        let length = self.head.content_length()?;
        let status = self.head.status();
        let Some(stream) = self.stream_mut(gather.stream) else { return Ok(()) };
        // An answer to HEAD and 304 say the length of a body that does not come (RFC 9110 8.6).
        let has_none = stream.is_head || matches!(status, Some(204 | 304));
        let due = if has_none { Some(0) } else { length };
        stream.set_heard(Heard::Body { due, got: 0 });
        if !gather.last {
            return Ok(());
        }
        if due.is_some_and(|due| due != 0) {
            return Err(Refused::LengthMismatch);
        }
        self.heard_all(gather.stream);
        Ok(())
    }

    /// A malformed message. A client may be told what is wrong, so its stream stays open for that.
    fn refuse(
        &mut self,
        id: u32,
        why: Refused,
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        self.guard.reset(now_us)?;
        let is_client = self.role == Role::Client;
        if let Some(stream) = self.stream_mut(id) {
            if is_client {
                stream.state = StreamState::Reset(By::Weir);
            } else {
                stream.set_heard(Heard::Refused);
            }
        }
        if is_client {
            self.write_reset(id, Code::Protocol);
        }
        Ok(Some(Event::Refused { stream: id, why }))
    }

    /// Frames of a stream that are no stream: it is reset.
    fn fault(&mut self, id: u32, code: Code, now_us: u64) -> Result<Option<Event<'static>>, Fatal> {
        self.write_reset(id, code);
        self.guard.reset(now_us)?;
        let Some(stream) = self.stream_mut(id) else {
            self.remember(id);
            return Ok(None);
        };
        let was_open = matches!(stream.state, StreamState::Open { .. });
        stream.state = StreamState::Reset(By::Weir);
        Ok(was_open.then_some(Event::Reset { stream: id, code }))
    }

    fn rst_stream(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let number = u32_at(payload, 0).filter(|_| payload.len() == 4);
        let code = Code::read(number.ok_or(frame_size("RST_STREAM"))?);
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(protocol("RST_STREAM of no stream"));
        }
        let is_answered = self.role == Role::Client && code == Code::None;
        // A target that has answered may say that it needs no more of the request (8.1).
        if !is_answered {
            self.guard.reset(now_us)?;
        }
        let Some(stream) = self.stream_mut(head.stream) else { return Ok(None) };
        match stream.state {
            StreamState::Reset(_) => Ok(None),
            StreamState::Open { .. } => {
                stream.state = StreamState::Reset(By::Peer);
                Ok(Some(Event::Reset { stream: head.stream, code }))
            }
        }
    }

    fn settings(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        if head.stream != 0 {
            return Err(protocol("SETTINGS of a stream"));
        }
        if head.has(ACK) {
            self.guard.idle(now_us)?;
            return if payload.is_empty() { Ok(None) } else { Err(frame_size("SETTINGS ACK")) };
        }
        let before = self.peer;
        self.peer = before.with(payload, self.role.peer())?;
        self.encoder.resize(self.peer.header_table_bytes);
        let change = i64::from(self.peer.window_bytes) - i64::from(before.window_bytes);
        let open = |stream: &&mut Stream| matches!(stream.state, StreamState::Open { .. });
        let grown = self.streams.iter_mut().filter(open).map(|stream| stream.room.grow(change));
        if grown.fold(false, |over, grown| over | grown.is_none()) {
            return Err(Fatal::new(Code::FlowControl, "INITIAL_WINDOW_SIZE"));
        }
        short(Kind::Settings, ACK, 0, &[], &mut self.out);
        self.guard.acknowledged()?;
        if self.expect == Expect::Settings {
            self.expect = Expect::Frame;
            return Ok(Some(Event::Ready));
        }
        self.guard.idle(now_us)?;
        Ok((change > 0).then_some(Event::Room { stream: 0 }))
    }

    fn window_update(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let bytes = u32_at(payload, 0).filter(|_| payload.len() == 4);
        let bytes = bytes.ok_or(frame_size("WINDOW_UPDATE"))? & 0x7fff_ffff;
        self.guard.idle(now_us)?;
        let id = head.stream;
        if id == 0 {
            if bytes == 0 {
                return Err(protocol("WINDOW_UPDATE of nothing"));
            }
            let grown = self.room.grow(i64::from(bytes));
            grown.ok_or(Fatal::new(Code::FlowControl, "the connection's window"))?;
            return Ok(Some(Event::Room { stream: 0 }));
        }
        if self.is_idle(id) {
            return Err(protocol("WINDOW_UPDATE of no stream"));
        }
        let Some(stream) = self.stream_mut(id) else { return Ok(None) };
        if matches!(stream.state, StreamState::Reset(_)) {
            return Ok(None);
        }
        if bytes == 0 {
            return self.fault(id, Code::Protocol, now_us);
        }
        if stream.room.grow(i64::from(bytes)).is_none() {
            return self.fault(id, Code::FlowControl, now_us);
        }
        Ok(Some(Event::Room { stream: id }))
    }

    fn pinged(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        if head.stream != 0 {
            return Err(protocol("PING of a stream"));
        }
        if payload.len() != 8 {
            return Err(frame_size("PING"));
        }
        self.guard.idle(now_us)?;
        if head.has(ACK) {
            return Ok(self.pong(payload));
        }
        short(Kind::Ping, ACK, 0, payload, &mut self.out);
        self.guard.acknowledged()?;
        Ok(None)
    }

    fn goaway(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        self.guard.idle(now_us)?;
        if head.stream != 0 {
            return Err(protocol("GOAWAY of a stream"));
        }
        let (Some(last), Some(number)) = (u32_at(payload, 0), u32_at(payload, 4)) else {
            return Err(frame_size("GOAWAY"));
        };
        let last = last & 0x7fff_ffff;
        // 6.8: the number may only become smaller.
        if self.peer_last.is_some_and(|before| last > before) {
            return Err(protocol("GOAWAY of more streams than before"));
        }
        self.peer_last = Some(last);
        Ok(Some(Event::Goaway { last, code: Code::read(number) }))
    }

    /// Ignored, as RFC 9113 5.3.2 recommends, but for what cannot be meant.
    fn priority(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now_us: u64,
    ) -> Result<Option<Event<'static>>, Fatal> {
        self.guard.idle(now_us)?;
        if head.stream == 0 {
            return Err(protocol("PRIORITY of no stream"));
        }
        let parent = u32_at(payload, 0).filter(|_| payload.len() == 5);
        let parent = parent.map(|parent| parent & 0x7fff_ffff);
        let is_open = self.find(head.stream).is_ok();
        match parent {
            Some(parent) if parent != head.stream => Ok(None),
            Some(_) if is_open => self.fault(head.stream, Code::Protocol, now_us),
            None if is_open => self.fault(head.stream, Code::FrameSize, now_us),
            // A stream that is idle or closed cannot be reset.
            Some(_) => Err(protocol("PRIORITY of itself")),
            None => Err(frame_size("PRIORITY")),
        }
    }
}

/// What is wrong with DATA.
enum DataFault {
    Stream(Code),
    Message(Refused),
}

impl From<Code> for DataFault {
    fn from(code: Code) -> DataFault {
        DataFault::Stream(code)
    }
}

/// Splits off at most `count` bytes from the front.
fn take<'b>(input: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (head, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    head
}
