//! Channels of exec, attach and port-forward over WebSocket: names of protocols, messages, the
//! status at the end.
//!
//! In: the offered subprotocols; messages in pieces, as their frames arrive. Out: which protocol it
//! is; bytes of a channel, half closes. Never: a piece under the channel of another message: only
//! the first byte of a message is a channel, continuation frames have none.
//!
//! ```text
//!   v1..v4, v5          +---------+----------+     0 stdin   3 status
//!                       | channel | bytes .. |     1 stdout  4 size of the terminal
//!                       +---------+----------+     2 stderr
//!   v5 alone            | 255     | channel  |     half close
//!   base64.., v4.base64.. '0' to '9', then base64 of the bytes, as text
//!   port-forward        2n data, 2n + 1 error; the first message of each is the port (u16, LE)
//! ```
//!
//! The originals: k8s.io/streaming, httpstream/wsstream/conn.go; cri-streaming, remotecommand.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::limits;

/// How bytes of a channel stand in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As they are, in binary messages.
    Raw,
    /// In base64, in text messages.
    Base64,
}

/// A negotiated protocol of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name as a subprotocol.
    pub name: &'static str,
    /// 1 to 5: from 4 on the status is JSON, 5 has half closes.
    pub version: u8,
    /// How messages are made.
    pub coding: Coding,
}

/// What a subprotocol is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Channels of exec, attach and port-forward.
    Channels(Protocol),
    /// SPDY/3.1 inside binary messages: port-forward since 1.31.
    Tunnel,
    /// One event of a watch, or a piece of a log, per message.
    Whole(Coding),
}

const fn channels(name: &'static str, version: u8, coding: Coding) -> (&'static str, Spoken) {
    (name, Spoken::Channels(Protocol { name, version, coding }))
}

/// The subprotocols that servers know.
pub const SUBPROTOCOLS: [(&str, Spoken); 10] = [
    channels("v5.channel.k8s.io", 5, Coding::Raw),
    channels("v4.channel.k8s.io", 4, Coding::Raw),
    channels("v3.channel.k8s.io", 3, Coding::Raw),
    channels("v2.channel.k8s.io", 2, Coding::Raw),
    channels("channel.k8s.io", 1, Coding::Raw),
    channels("v4.base64.channel.k8s.io", 4, Coding::Base64),
    channels("base64.channel.k8s.io", 1, Coding::Base64),
    ("SPDY/3.1+portforward.k8s.io", Spoken::Tunnel),
    ("binary.k8s.io", Spoken::Whole(Coding::Raw)),
    ("base64.binary.k8s.io", Spoken::Whole(Coding::Base64)),
];

/// What a server speaks that has chosen no subprotocol: channels without a name.
pub const UNNAMED: Protocol = Protocol { name: "", version: 1, coding: Coding::Raw };

/// Browsers cannot send headers, so their token comes as a subprotocol beside a real one
/// (apiserver, authentication/request/websocket/protocol.go).
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// What a client offers in `Sec-WebSocket-Protocol`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The subprotocols without the token, in order: what may be forwarded and recorded.
    pub names: Vec<String>,
    /// The bearer token, if one was among them. It belongs into no record.
    pub token: Option<Vec<u8>>,
}

/// Why an offer or a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A name that is none, too many names, or a token that is none, alone or not the only one.
    Offer,
    /// A channel that the protocol does not have.
    Channel,
    /// A half close that is none.
    Close,
    /// Text that is not base64.
    Base64,
}

impl Offer {
    /// Reads the values of the header, in order; each may be a list.
    pub fn read<'h>(values: impl Iterator<Item = &'h str>) -> Result<Offer, Refused> {
        let mut offer = Offer::default();
        for name in values.flat_map(|value| value.split(',')).map(|name| name.trim_matches(' ')) {
            // RFC 6455 section 11.3.4: tokens of RFC 9110. Kubernetes' own tunnel has a slash.
            let token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-./^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(Refused::Offer);
            }
            if let Some(encoded) = name.strip_prefix(BEARER) {
                let token = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Refused::Offer)?;
                if token.is_empty() || offer.token.replace(token).is_some() {
                    return Err(Refused::Offer);
                }
                continue;
            }
            if offer.names.len() >= limits::KUBERNETES_SUBPROTOCOLS_MAX {
                return Err(Refused::Offer);
            }
            offer.names.push(name.to_owned());
        }
        if offer.token.is_some() && offer.names.is_empty() {
            return Err(Refused::Offer);
        }
        Ok(offer)
    }
}

/// What the subprotocol that a server has chosen means.
pub fn spoken(name: &str) -> Option<Spoken> {
    SUBPROTOCOLS.iter().find(|(known, _)| *known == name).map(|(_, spoken)| *spoken)
}

/// One thing that a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Bytes of a channel; none at the start of a server's stream.
    Bytes {
        /// The channel.
        channel: u8,
        /// What stands in it, decoded.
        bytes: Vec<u8>,
    },
    /// No more bytes will come on this channel.
    HalfClose(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next byte is a channel.
    ExpectChannel,
    /// Bytes of this channel.
    InChannel(u8),
    /// The next byte is the channel of a half close.
    ExpectClosed,
    /// A half close that is complete.
    Closed,
}

/// Reads the messages of one direction.
#[derive(Clone, Debug)]
pub struct Messages {
    protocol: Protocol,
    /// Channels below this one exist.
    channels: u8,
    state: State,
    /// Letters of base64 that are not a group of four yet, and whether padding has come.
    group: Vec<u8>,
    padded: bool,
}

impl Messages {
    /// Reads messages of a protocol that has channels below `channels`: 5 for exec and attach.
    pub fn new(protocol: Protocol, channels: u8) -> Messages {
        let (state, group) = (State::ExpectChannel, Vec::new());
        Messages { protocol, channels, state, group, padded: false }
    }

    /// A message of this protocol, and whether it is text.
    pub fn message(&self, channel: u8, bytes: &[u8]) -> (bool, Vec<u8>) {
        use base64::Engine as _;
        match self.protocol.coding {
            Coding::Raw => (false, [&[channel][..], bytes].concat()),
            Coding::Base64 => {
                let coded = base64::engine::general_purpose::STANDARD.encode(bytes);
                (true, [&[b'0' + channel % 10][..], coded.as_bytes()].concat())
            }
        }
    }

    /// Takes a piece of a message; `last` ends it. Nothing is said by an empty message.
    pub fn take(&mut self, mut piece: &[u8], last: bool) -> Result<Option<Said>, Refused> {
        if let (State::ExpectChannel, Some((first, rest))) = (self.state, piece.split_first()) {
            self.state = self.begin(*first)?;
            piece = rest;
        }
        let said = match self.state {
            State::ExpectChannel => None,
            State::InChannel(channel) => {
                let bytes = self.decode(piece, last)?;
                Some(Said::Bytes { channel, bytes })
            }
            State::ExpectClosed => match piece {
                [] if last => return Err(Refused::Close),
                [] => None,
                [channel] if *channel < self.channels => {
                    self.state = State::Closed;
                    Some(Said::HalfClose(*channel))
                }
                _ => return Err(Refused::Close),
            },
            State::Closed if piece.is_empty() => None,
            State::Closed => return Err(Refused::Close),
        };
        if last {
            self.state = State::ExpectChannel;
            self.padded = false;
        }
        Ok(said)
    }

    fn begin(&self, first: u8) -> Result<State, Refused> {
        let channel = match self.protocol.coding {
            Coding::Raw if first == 255 && self.protocol.version >= 5 => {
                return Ok(State::ExpectClosed);
            }
            Coding::Raw => first,
            Coding::Base64 if first.is_ascii_digit() => first - b'0',
            Coding::Base64 => return Err(Refused::Channel),
        };
        if channel < self.channels { Ok(State::InChannel(channel)) } else { Err(Refused::Channel) }
    }

    /// Base64 comes in groups of four letters, which frames may cut anywhere. Go skips line ends
    /// inside of it; nobody sends them.
    fn decode(&mut self, piece: &[u8], last: bool) -> Result<Vec<u8>, Refused> {
        if self.protocol.coding == Coding::Raw {
            return Ok(piece.to_vec());
        }
        if self.padded && !piece.is_empty() {
            return Err(Refused::Base64);
        }
        self.group.extend_from_slice(piece);
        let whole = if last { self.group.len() } else { self.group.len() / 4 * 4 };
        let letters: Vec<u8> = self.group.drain(..whole).collect();
        self.padded = letters.ends_with(b"=");
        STANDARD.decode(letters).map_err(|_| Refused::Base64)
    }
}

/// How a command ended, from the status on channel 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With 0.
    Success,
    /// With this code.
    Code(i32),
    /// It did not run, or how it ended is not known.
    Failure(String),
}

/// Reads the status of `version`: JSON from 4 on, before that a text, empty for success. What is no
/// status is a failure: an internal error is never exit 0.
pub fn exit(version: u8, bytes: &[u8]) -> Exit {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    if version < 4 {
        return if bytes.is_empty() { Exit::Success } else { Exit::Failure(text()) };
    }
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return Exit::Failure(text());
    };
    let field = |name: &str| status.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    if field("status") == "Success" {
        return Exit::Success;
    }
    let causes = status.pointer("/details/causes").and_then(|causes| causes.as_array());
    let code = causes.into_iter().flatten().find_map(|cause| {
        let kind = cause.get("reason")?.as_str()?;
        let code = cause.get("message")?.as_str()?.parse().ok()?;
        (kind == "ExitCode").then_some(code)
    });
    match code {
        Some(code) if field("reason") == "NonZeroExitCode" && code != 0 => Exit::Code(code),
        _ => Exit::Failure(field("message").to_owned()),
    }
}

/// The size of a terminal, from channel 4.
pub fn size(bytes: &[u8]) -> Option<(u16, u16)> {
    let value = serde_json::from_slice::<serde_json::Value>(bytes).ok()?;
    let side = |name: &str| value.get(name)?.as_u64().and_then(|side| u16::try_from(side).ok());
    Some((side("Width")?, side("Height")?))
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
