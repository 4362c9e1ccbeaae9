//! The streams of an upgraded connection to a cluster: which bytes are whose, and how it ended.
//!
//! In: what either side sends behind a 101, in pieces. Out: pieces of streams for the record; the
//! exit code, ports.
//! Never: a piece that goes on and was not understood; a command that ended by an internal failure
//! as one that ended well.
//!
//! ```text
//!   Channels    exec, attach, port-forward: messages of a WebSocket with a channel each
//!   Spdy        the same on a connection of its own, or inside of a WebSocket's messages
//!   Whole       watches and logs over a WebSocket: a message is an event or a piece
//! ```

use std::collections::BTreeMap;

use crate::fault::Refused as JournalRefused;
use crate::limits;
use crate::record::entry::Outcome;
use crate::session::Stage;
use crate::session::http::exchange::Exchange;
use crate::session::http::kept::Kept;
use crate::session::http::tenure::Tenure;
use crate::wire::Side;
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::kubernetes::channel::{self, Exit, Messages, Said, Spoken};
use crate::wire::kubernetes::spdy::frame::data_head;
use crate::wire::kubernetes::spdy::{Control, Framer, Inflater, Step};

/// Numbers of streams in the record.
const IN: u8 = 0;
const OUT: u8 = 1;
const ERR: u8 = 2;
const CONTROL: u8 = 3;
/// The channel of the status at the end.
const STATUS: u8 = 3;

/// How connections end that nobody broke (`Fault::label`).
const TARGET_CLOSED: &str = "target-closed";
const CLIENT_LEFT: &str = "client-terminate";

/// What stands in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Data: 0 to 2 of the record, by the side that sends it.
    Data { up: u8, down: u8 },
    /// The status at the end.
    Status,
    /// Sizes of a terminal.
    Size,
}

/// One direction of SPDY.
#[derive(Debug, Default)]
struct Way {
    framer: Framer,
    inflater: Inflater,
    /// The stream whose data frame is under way.
    stream: u32,
}

#[expect(clippy::large_enum_variant, reason = "a connection has one")]
#[derive(Debug)]
enum Framing {
    Channels { client: Messages, target: Messages, forwards: bool },
    Spdy { client: Way, target: Way, streams: BTreeMap<u32, Kind>, raw: bool },
    Whole,
}

/// The streams of one connection.
#[derive(Debug)]
pub(in super::super) struct Streams {
    framing: Framing,
    /// 1 to 5: from 4 on the status is JSON.
    version: u8,
    /// Bytes of the status so far.
    status: Vec<u8>,
    exit: Option<Exit>,
    forwards: bool,
    ports: Vec<String>,
    protocol: String,
    errors: Kept,
    control: Kept,
}

/// Why a connection is ended. A fixed word for the record.
pub(in super::super) type Label = &'static str;

/// A piece of a stream of the record.
type Piece = (u8, Vec<u8>);

impl Streams {
    /// For what `answer`, a 101, has agreed to. `None`: nothing that was offered.
    fn open(exchange: &Exchange, answer: &Head, raw: bool) -> Option<Streams> {
        let asked = exchange.request.kube.as_ref()?;
        let head = &exchange.request.head;
        let forwards = asked.understood.subresource == "portforward";
        let runs = matches!(asked.understood.subresource.as_str(), "exec" | "attach");
        let word = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let (framing, version, protocol) = if raw {
            let chosen = answer.spelt(b"x-stream-protocol-version").next().map(word);
            let chosen = chosen.unwrap_or_default();
            let version = match chosen.as_str() {
                "v4.channel.k8s.io" | "v5.channel.k8s.io" => 4,
                _ => 1,
            };
            (spdy(true), version, chosen)
        } else {
            let chosen = answer.only(Name::SecWebsocketProtocol).map(word).unwrap_or_default();
            let offered = head.values(Name::SecWebsocketProtocol);
            let mut offered = offered.flat_map(|list| list.split(|byte| *byte == b','));
            let is_offered =
                chosen.is_empty() || offered.any(|name| name.trim_ascii() == chosen.as_bytes());
            if !is_offered {
                return None;
            }
            let spoken = match channel::spoken(&chosen) {
                Some(spoken) => spoken,
                None if chosen.is_empty() && (runs || forwards) => {
                    Spoken::Channels(channel::UNNAMED)
                }
                None => Spoken::Whole(channel::Coding::Raw),
            };
            match spoken {
                Spoken::Channels(protocol) => {
                    let most = if forwards { u8::MAX } else { 5 };
                    let client = Messages::new(protocol, most);
                    let target = Messages::new(protocol, most);
                    let framing = Framing::Channels { client, target, forwards };
                    (framing, protocol.version, chosen)
                }
                Spoken::Tunnel => (spdy(false), 4, chosen),
                Spoken::Whole(_) => (Framing::Whole, 0, chosen),
            }
        };
        let limit = exchange.sent.limit().max(exchange.answered.limit());
        Some(Streams {
            framing,
            version,
            status: Vec::new(),
            exit: None,
            forwards,
            ports: Vec::new(),
            protocol,
            errors: Kept::new(exchange.seq, ERR, limit),
            control: Kept::new(exchange.seq, CONTROL, limit),
        })
    }

    /// Whether the connection is SPDY's and no WebSocket.
    pub fn is_raw(&self) -> bool {
        matches!(self.framing, Framing::Spdy { raw: true, .. })
    }

    /// What a client is told where nobody says any more how its command ended, and whether it is
    /// text: kubectl takes a connection of SPDY that only ends for a command that ended well
    /// (client-go, remotecommand/errorstream.go).
    pub fn last_words(&self, why: &str) -> Option<(bool, Vec<u8>)> {
        if self.forwards || self.exit.is_some() || !self.status.is_empty() {
            return None;
        }
        let said = match self.version {
            4.. => serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": why, "reason": "InternalError", "code": 500,
            })
            .to_string(),
            _ => why.to_owned(),
        };
        match &self.framing {
            Framing::Channels { target, .. } => Some(target.message(STATUS, said.as_bytes())),
            Framing::Spdy { target, streams, .. } if target.framer.is_between() => {
                let (id, _) = streams.iter().find(|(_, kind)| **kind == Kind::Status)?;
                let head = data_head(*id, true, u32::try_from(said.len()).ok()?)?;
                Some((false, [&head[..], said.as_bytes()].concat()))
            }
            Framing::Spdy { .. } | Framing::Whole => None,
        }
    }

    /// Whether messages have channels.
    pub fn has_channels(&self) -> bool {
        matches!(self.framing, Framing::Channels { .. })
    }

    /// What a piece says, in the order it came. `last` ends a message of a WebSocket.
    fn read(&mut self, side: Side, bytes: &[u8], last: bool) -> Result<Vec<Piece>, Label> {
        match &mut self.framing {
            Framing::Whole => Ok(vec![(side_stream(side), bytes.to_vec())]),
            Framing::Channels { client, target, forwards } => {
                let messages = if side == Side::Client { client } else { target };
                let forwards = *forwards;
                let said = messages.take(bytes, last).map_err(|_| "kubernetes-channel")?;
                match said {
                    Some(Said::Bytes { channel, bytes }) => {
                        let kind = if forwards { forward_channel(channel) } else { exec(channel) };
                        Ok(self.note(side, kind, bytes).into_iter().collect())
                    }
                    Some(Said::HalfClose(_)) | None => Ok(Vec::new()),
                }
            }
            Framing::Spdy { .. } => self.read_spdy(side, bytes),
        }
    }

    fn read_spdy(&mut self, side: Side, bytes: &[u8]) -> Result<Vec<Piece>, Label> {
        const BAD: Label = "kubernetes-spdy";
        let mut found: Vec<(Kind, Vec<u8>)> = Vec::new();
        let Framing::Spdy { client, target, streams, .. } = &mut self.framing else {
            return Ok(Vec::new());
        };
        let way = if side == Side::Client { client } else { target };
        let mut input = bytes;
        loop {
            match way.framer.next(&mut input).map_err(|_| BAD)? {
                Step::Need => break,
                Step::Control { control, .. } => match control {
                    Control::SynStream { stream, block, .. } => {
                        let pairs = way.inflater.read(block).map_err(|_| BAD)?;
                        if side == Side::Server || streams.len() >= limits::KUBERNETES_STREAMS_MAX {
                            return Err(BAD);
                        }
                        streams.insert(stream, spdy_kind(&pairs, self.forwards).ok_or(BAD)?);
                        let port = pair(&pairs, b"port").map(String::from_utf8_lossy);
                        if let Some(port) = port
                            && self.ports.len() < limits::KUBERNETES_PORTS_MAX
                            && !self.ports.iter().any(|known| *known == port)
                        {
                            self.ports.push(port.into_owned());
                        }
                    }
                    // One zlib stream per direction: no block is left out.
                    Control::SynReply { block, .. } | Control::Headers { block, .. } => {
                        way.inflater.read(block).map_err(|_| BAD)?;
                    }
                    Control::RstStream { stream, .. } => {
                        streams.remove(&stream);
                    }
                    Control::Settings { .. }
                    | Control::Ping(_)
                    | Control::GoAway { .. }
                    | Control::WindowUpdate { .. } => {}
                },
                Step::Data { stream, .. } => way.stream = stream,
                Step::Part { bytes, .. } => {
                    // What comes behind a reset was on its way.
                    if let Some(kind) = streams.get(&way.stream) {
                        found.push((*kind, bytes.to_vec()));
                    }
                }
            }
        }
        Ok(found.into_iter().filter_map(|(kind, bytes)| self.note(side, kind, bytes)).collect())
    }

    /// Where bytes belong in the record; a status is remembered.
    fn note(&mut self, side: Side, kind: Kind, bytes: Vec<u8>) -> Option<Piece> {
        if bytes.is_empty() {
            return None;
        }
        match kind {
            Kind::Data { up, down } => Some((if side == Side::Client { up } else { down }, bytes)),
            Kind::Size => Some((CONTROL, bytes)),
            Kind::Status => {
                let room = limits::KUBERNETES_STATUS_BYTES_MAX.saturating_sub(self.status.len());
                self.status.extend(bytes.iter().take(room));
                if !self.forwards {
                    self.exit = Some(channel::exit(self.version, &self.status));
                }
                Some((CONTROL, bytes))
            }
        }
    }

    /// How it ended, beside what the connection says.
    fn outcome(&self, outcome: Outcome) -> Outcome {
        match (&self.exit, outcome) {
            (Some(Exit::Success), _) => Outcome::Success,
            (Some(Exit::Code(_) | Exit::Failure(_)), _) => Outcome::Error,
            // Whoever forwards ports leaves when it has enough.
            (None, Outcome::Aborted) if self.forwards => Outcome::Success,
            (None, outcome) => outcome,
        }
    }

    /// Why it ended, where nothing else has said how: whoever has the status of a command leaves,
    /// as does whoever forwards ports and has enough.
    fn why<'w>(&self, why: &'w str) -> &'w str {
        let is_said = match why {
            TARGET_CLOSED => self.exit.is_some(),
            CLIENT_LEFT => self.exit.is_some() || self.forwards,
            _ => false,
        };
        if is_said { "" } else { why }
    }

    fn attrs(&self) -> serde_json::Value {
        let mut attrs = serde_json::json!({ "protocol": self.protocol });
        if let Some(attrs) = attrs.as_object_mut() {
            match &self.exit {
                Some(Exit::Success) => drop(attrs.insert("exit_code".into(), 0.into())),
                Some(Exit::Code(code)) => drop(attrs.insert("exit_code".into(), (*code).into())),
                Some(Exit::Failure(text)) => {
                    drop(attrs.insert("failure".into(), text.as_str().into()));
                }
                None => {}
            }
            if !self.ports.is_empty() {
                attrs.insert("ports".into(), self.ports.clone().into());
            }
        }
        attrs
    }
}

fn side_stream(side: Side) -> u8 {
    if side == Side::Client { IN } else { OUT }
}

fn spdy(raw: bool) -> Framing {
    let (client, target) = (Way::default(), Way::default());
    Framing::Spdy { client, target, streams: BTreeMap::new(), raw }
}

/// Channels of exec and attach.
const fn exec(channel: u8) -> Kind {
    match channel {
        STATUS => Kind::Status,
        4 => Kind::Size,
        2 => Kind::Data { up: CONTROL, down: ERR },
        _ => Kind::Data { up: IN, down: OUT },
    }
}

/// Channels of port-forward: data, then errors of each port.
const fn forward_channel(channel: u8) -> Kind {
    match channel % 2 {
        0 => Kind::Data { up: IN, down: OUT },
        _ => Kind::Status,
    }
}

fn pair<'p>(pairs: &'p [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'p [u8]> {
    pairs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
}

/// What a stream is for, by its headers.
fn spdy_kind(pairs: &[(Vec<u8>, Vec<u8>)], forwards: bool) -> Option<Kind> {
    Some(match (pair(pairs, b"streamtype")?, forwards) {
        (b"error", _) => Kind::Status,
        (b"data", true) => Kind::Data { up: IN, down: OUT },
        (b"stdin", false) => exec(0),
        (b"stdout", false) => exec(1),
        (b"stderr", false) => exec(2),
        (b"resize", false) => Kind::Size,
        _ => return None,
    })
}

impl Exchange {
    /// The target agreed to an upgrade of a cluster's: its streams are looked at from here on.
    ///
    /// # Errors
    /// It agreed to something else than what was offered.
    pub(in super::super) fn open_streams(&mut self, answer: &Head, raw: bool) -> Result<(), ()> {
        let Some(asked) = &self.request.kube else { return Ok(()) };
        // What is typed has no echo where it is a password.
        if asked.understood.tty {
            self.sent = Kept::new(self.seq, IN, 0);
        }
        self.sent.becomes("raw");
        self.answered.becomes("raw");
        self.streams = Some(Box::new(Streams::open(self, answer, raw).ok_or(())?));
        Ok(())
    }

    /// Records a piece of a message before it goes on.
    ///
    /// # Errors
    /// It cannot be read, or the journal refused.
    pub(in super::super) fn keep_streams(
        &mut self,
        side: Side,
        (bytes, last): (&[u8], bool),
        tenure: &mut Tenure,
        stage: &mut Stage<'_>,
    ) -> Result<Result<(), JournalRefused>, Label> {
        let Some(streams) = &mut self.streams else { return Ok(Ok(())) };
        let pieces = streams.read(side, bytes, last)?;
        let mut keep = || {
            for (stream, bytes) in &pieces {
                let kept = match *stream {
                    IN => &mut self.sent,
                    OUT => &mut self.answered,
                    ERR => &mut streams.errors,
                    _ => &mut streams.control,
                };
                kept.take(bytes, tenure, stage)?;
                kept.flush(tenure, stage)?;
            }
            Ok(())
        };
        Ok(keep())
    }

    /// How it ended, why, and what else its row says, if it has streams.
    pub(in super::super) fn ending<'w>(
        &self,
        outcome: Outcome,
        why: &'w str,
    ) -> (Outcome, &'w str, String) {
        let mut attrs = self.sent.attrs();
        if !self.told.trailers.is_empty() {
            attrs.insert("trailers".into(), self.told.trailers.clone().into());
        }
        let Some(streams) = &self.streams else {
            let words = |attrs| serde_json::Value::Object(attrs).to_string();
            return (outcome, why, if attrs.is_empty() { String::new() } else { words(attrs) });
        };
        let mut all = streams.attrs();
        if let Some(all) = all.as_object_mut() {
            all.extend(attrs);
            all.insert("stderr_bytes".into(), streams.errors.bytes.into());
        }
        (streams.outcome(outcome), streams.why(why), all.to_string())
    }
}

/// The head of a 101 that opens SPDY.
pub(in super::super) fn write_spdy(out: &mut Vec<u8>, answer: &Head) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
    out.extend_from_slice(b"Upgrade: SPDY/3.1\r\n");
    for value in answer.spelt(b"x-stream-protocol-version") {
        for part in [b"X-Stream-Protocol-Version: ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
}
