//! The channels of one connection: what passes, what waits for a verdict, what weir says itself.
//!
//! In: messages of the connection protocol of both peers, verdicts. Out: what becomes of a message,
//! and messages of weir's own. Never: a message of a channel that is not there; a reply out of its
//! turn; bytes beyond a window; a request that needs a verdict and did not wait for one.
//!
//! Numbers, windows and order are the peers' own: a message passes as it came, unless windows are
//! edited ([`Flow`]) or a request is refused.
//!
//! ```text
//!                     confirmed            asked             allowed
//!   Opening ---------------> Idle ---------> Asking ---------> Running --both CLOSE--> gone
//!      | refused                               | refused or held
//!      '--> gone                               |
//!               Refusing <---------------------+--> Held (messages of the client wait)
//!                  '- what is due before it, words, status 126, EOF, CLOSE --> Swallowing
//! ```

mod framed;
mod global;
mod opening;
mod verdict;

use std::collections::VecDeque;

use crate::limits::{SSH_ENVIRONMENT_BYTES_MAX, SSH_ENVIRONMENT_MAX, SSH_REPLIES_MAX};
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::ledger::Flow;
pub use crate::wire::ssh::ledger::UsedUp;
use crate::wire::ssh::message::{ChannelAsk, Message, Open, STDERR};
use crate::wire::ssh::slots::{Note, Slots};

/// Names a channel for as long as it lasts; never used twice in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelKey(pub u32);

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<'b> {
    /// It was taken in; there may be messages of weir's to send.
    Taken,
    /// It goes on to the other side as it came.
    Pass,
    /// As `Pass`; these bytes are what a person or a program said.
    Data {
        /// The channel.
        channel: ChannelKey,
        /// Standard error.
        stderr: bool,
        /// The bytes.
        bytes: &'b [u8],
    },
    /// Bytes of a client that are made of requests, each with its own verdict: the caller releases
    /// or drops them, all of them, in time ([`Channels::release_framed`]).
    Framed {
        /// The channel.
        channel: ChannelKey,
        /// The bytes.
        bytes: &'b [u8],
    },
    /// Bytes of a target that are masked: the caller releases as many, in time
    /// ([`Channels::release_output`]).
    Masked {
        /// The channel.
        channel: ChannelKey,
        /// Standard error.
        stderr: bool,
        /// The bytes.
        bytes: &'b [u8],
    },
    /// As `Pass`; this is worth a word in the record.
    Noted {
        /// The channel.
        channel: ChannelKey,
        /// What it says.
        ask: ChannelAsk<'b>,
    },
    /// As `Pass`; no more data from this side.
    Eof(ChannelKey),
    /// It waits for a verdict: `allow`, `refuse` or `hold` is the next call.
    Asks(Asked<'b>),
    /// The client gave up on what is held.
    Canceled(ChannelKey),
    /// The target takes what the client said early: [`Channels::release_early`] is the next call.
    Heard(ChannelKey),
    /// The target opens a channel that the client was allowed to ask for: `allow_open_back` is the
    /// next call.
    OpensBack(Open<'b>),
    /// The target answered a request that is no command. It was taken in.
    Answered {
        /// Which one.
        note: Note,
        /// How.
        success: bool,
        /// The port that it listens on, if it says one.
        port: Option<u32>,
    },
    /// As `Pass`; the channel does not open.
    Unopened {
        /// The channel.
        channel: ChannelKey,
        /// Why, in the words of who was asked.
        text: &'b [u8],
    },
    /// As `Pass`; the channel is over for this side.
    Closing(ChannelKey),
    /// As `Pass`; the channel is over on both sides.
    Over(ChannelKey),
    /// A number that the connection protocol does not have.
    Unknown,
}

impl Turn<'_> {
    /// The channel of a message that passes.
    pub const fn channel(&self) -> Option<ChannelKey> {
        match self {
            Turn::Data { channel, .. } | Turn::Noted { channel, .. } => Some(*channel),
            Turn::Eof(key) | Turn::Closing(key) | Turn::Over(key) => Some(*key),
            _ => None,
        }
    }
}

/// What waits for a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'b> {
    /// A request of a channel: exec, shell, subsystem, agent, X11, or one weir does not know.
    Request {
        /// The channel.
        channel: ChannelKey,
        /// Its name.
        name: &'b [u8],
        /// What it asks.
        ask: ChannelAsk<'b>,
        /// A reply is wanted.
        want_reply: bool,
    },
    /// A channel that is no session.
    Open(Open<'b>),
    /// A request of the connection.
    Global {
        /// Its name.
        name: &'b [u8],
        /// Its fields.
        rest: &'b [u8],
        /// A reply is wanted.
        want_reply: bool,
    },
}

/// A channel as the record wants to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// It has a terminal: its name and size.
    pub terminal: Option<(Vec<u8>, u32, u32)>,
    /// Whether the terminal echoes, as far as is known.
    pub echoes: Option<bool>,
    /// Variables that the client sent.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Channel {
    /// It was refused, and the client has closed it.
    const fn is_left(&self) -> bool {
        matches!(self.state, State::Swallowing) && self.closed.client
    }
}

impl Facts {
    /// As the record keeps them: JSON; empty if there is nothing to say.
    pub fn attrs(&self) -> String {
        let mut attrs = serde_json::Map::new();
        if let Some((name, columns, rows)) = &self.terminal {
            let shown = format!("{} {columns}x{rows}", lossy(name));
            attrs.insert("terminal".to_owned(), shown.into());
        }
        if !self.environment.is_empty() {
            let all =
                self.environment.iter().map(|(name, value)| (lossy(name), lossy(value).into()));
            let all: serde_json::Map<String, serde_json::Value> = all.collect();
            attrs.insert("environment".to_owned(), all.into());
        }
        if attrs.is_empty() { String::new() } else { serde_json::Value::from(attrs).to_string() }
    }

    /// Whether people can be shown it as it is.
    pub fn is_clear(&self) -> bool {
        let clear = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
        self.terminal.as_ref().is_none_or(|(name, _, _)| clear(name))
            && self.environment.iter().all(|(name, value)| clear(name) && clear(value))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[derive(Debug)]
struct Channel {
    key: ChannelKey,
    /// The numbers by which the peers know it; the one of who did not open it is known when the
    /// channel is confirmed.
    client: Option<u32>,
    target: Option<u32>,
    opener: Side,
    session: bool,
    state: State,
    /// Client to target, and target to client.
    input: Flow,
    output: Flow,
    /// What the client asked, and what the target asked.
    asked: Slots<bool>,
    asked_back: Slots<bool>,
    facts: Facts,
    /// What the target and the client take in one message.
    input_max: u32,
    output_max: u32,
    /// What the client sends is made of requests.
    framed: bool,
    /// What the target sends is masked.
    masked: bool,
    /// A request of the channel was refused, and the client may not know it yet.
    refused: bool,
    /// The failure of a request waits until the client has heard the words before it.
    unheard: bool,
    eof: Sides,
    closed: Sides,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sides {
    client: bool,
    target: bool,
}

#[derive(Debug)]
enum State {
    Opening,
    Idle,
    Asking,
    Running,
    Held {
        messages: Vec<Vec<u8>>,
        bytes: usize,
        /// Of them, what counts against the window when they are taken.
        said: usize,
    },
    /// It may run, and its client was heard before the target wanted to hear it: messages of the
    /// client wait until the target does.
    Early {
        messages: Vec<Vec<u8>>,
        bytes: usize,
    },
    /// Words, and whether they go to a terminal.
    Refusing(String),
    /// Weir has closed the channel on both sides; what is still said is dropped.
    Swallowing,
}

/// A message that weir sends.
#[derive(Debug, PartialEq, Eq)]
pub struct Post {
    /// To whom.
    pub to: Side,
    /// The message.
    pub message: Vec<u8>,
}

/// All channels of a connection.
#[derive(Debug)]
pub struct Channels {
    channels: Vec<Channel>,
    next_key: u32,
    posts: VecDeque<Post>,
    /// Requests of the connection that wait for replies, by who asked.
    of_client: Slots<Vec<u8>>,
    of_target: Slots<Vec<u8>>,
    /// Channels that the target may open, because the client was allowed to ask for them.
    pub opens_back: OpensBack,
    /// Whether the client's certificate permits terminals; a plain key does.
    pub may_have_terminals: bool,
    /// Whether the client shows words only if it is asked something between them and a failure:
    /// OpenSSH's closes a channel whose subsystem is refused before it has written them
    /// (clientloop.c, `client_status_confirm`).
    pub shows_late: bool,
}

/// Which channels the target may open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpensBack {
    /// `auth-agent@openssh.com`.
    pub agent: bool,
    /// `x11`.
    pub x11: bool,
    /// `forwarded-tcpip` and `forwarded-streamlocal@openssh.com`.
    pub forwards: bool,
}

impl Default for Channels {
    fn default() -> Channels {
        Channels {
            channels: Vec::new(),
            next_key: 0,
            posts: VecDeque::new(),
            of_client: Slots::new(SSH_REPLIES_MAX),
            of_target: Slots::new(SSH_REPLIES_MAX),
            opens_back: OpensBack::default(),
            may_have_terminals: true,
            shows_late: false,
        }
    }
}

impl Channels {
    /// The next message of weir's own. All are to be sent before the message that a turn passes.
    pub fn post(&mut self) -> Option<Post> {
        self.posts.pop_front()
    }

    /// Whether a side has closed a channel, or both have: a verdict comes too late.
    pub fn is_closing(&self, key: ChannelKey) -> bool {
        let channel = self.channels.iter().find(|channel| channel.key == key);
        channel.is_none_or(|channel| channel.closed.client || channel.closed.target)
    }

    /// Whether what the client says may belong to something that runs: all channels share one
    /// connection.
    pub fn take_in(&self) -> bool {
        let runs = |channel: &Channel| matches!(channel.state, State::Running);
        let is_open = |channel: &Channel| !channel.eof.client && !channel.closed.client;
        self.channels.iter().any(|channel| runs(channel) && is_open(channel))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.channels.len()
    }

    /// The channel that the client means by the target's number.
    pub fn key_at_target(&self, number: u32) -> Option<ChannelKey> {
        let channel = self.channels.iter().find(|channel| channel.target == Some(number));
        channel.map(|channel| channel.key)
    }

    /// What is known of a channel.
    pub fn facts(&self, key: ChannelKey) -> Option<&Facts> {
        self.channels.iter().find(|channel| channel.key == key).map(|channel| &channel.facts)
    }

    /// A message of a peer.
    ///
    /// # Errors
    /// Why its connection cannot go on.
    pub fn take<'b>(&mut self, from: Side, payload: &'b [u8]) -> Result<Turn<'b>, Broken> {
        match Message::parse(payload)? {
            Message::GlobalRequest { name, want_reply, rest } => {
                self.global(from, name, (want_reply, rest))
            }
            Message::RequestSuccess(_) | Message::RequestFailure => {
                self.global_reply(from, payload)
            }
            Message::ChannelOpen(open) => self.open(from, open),
            Message::OpenConfirmation { recipient, sender, window, packet_max, rest } => {
                let window = self.confirmed(from, recipient, (sender, window, packet_max))?;
                let message =
                    Message::OpenConfirmation { recipient, sender, window, packet_max, rest };
                self.say(from.peer(), message.write());
                Ok(Turn::Taken)
            }
            Message::OpenFailure { recipient, text, .. } => {
                let index = self.index_of_opening(from, recipient)?;
                let channel = self.channels.swap_remove(index).key;
                Ok(Turn::Unopened { channel, text })
            }
            Message::Unknown(_) => Ok(Turn::Unknown),
            message => self.of_channel(from, message, payload),
        }
    }

    fn say(&mut self, to: Side, message: Vec<u8>) {
        self.posts.push_back(Post { to, message });
    }

    fn at(&mut self, index: usize) -> Result<&mut Channel, Broken> {
        self.channels.get_mut(index).ok_or(Broken::Order)
    }

    fn find(&mut self, key: ChannelKey) -> Option<(usize, &mut Channel)> {
        self.channels.iter_mut().enumerate().find(|(_, channel)| channel.key == key)
    }

    /// The channel that `from` means by the other side's number. A client may use the number of a
    /// channel again that the target has not closed yet: what the target says first is of that one.
    fn index_of(&self, from: Side, recipient: u32) -> Result<usize, Broken> {
        let means = |channel: &Channel| match from {
            Side::Client => channel.target == Some(recipient),
            Side::Server => channel.client == Some(recipient),
        };
        let found = self.channels.iter().enumerate().filter(|(_, channel)| means(channel));
        let oldest = found.min_by_key(|(_, channel)| channel.key);
        oldest.map(|(index, _)| index).ok_or(Broken::Order)
    }

    /// The same for the answer to an open.
    fn index_of_opening(&self, from: Side, recipient: u32) -> Result<usize, Broken> {
        let means = |channel: &Channel| {
            let number = if from == Side::Client { channel.target } else { channel.client };
            number == Some(recipient)
                && channel.opener != from
                && matches!(channel.state, State::Opening)
        };
        self.channels.iter().position(means).ok_or(Broken::Order)
    }
}

/// Messages of a channel.
impl Channels {
    fn of_channel<'b>(
        &mut self,
        from: Side,
        message: Message<'b>,
        payload: &'b [u8],
    ) -> Result<Turn<'b>, Broken> {
        let recipient = recipient(&message).ok_or(Broken::Fields)?;
        let index = self.index_of(from, recipient)?;
        let channel = self.at(index)?;
        let closed = match from {
            Side::Client => channel.closed.client,
            Side::Server => channel.closed.target,
        };
        if closed || matches!(channel.state, State::Opening) {
            return Err(Broken::Order);
        }
        let takes = if from == Side::Client { channel.input_max } else { channel.output_max };
        if said_bytes(&message) > takes as usize {
            return Err(Broken::Window);
        }
        if let Message::WindowAdjust { bytes, .. } = message {
            return self.adjusted(from, index, bytes);
        }
        match channel.state {
            State::Held { .. } if from == Side::Client => self.while_held(index, &message, payload),
            State::Early { .. } if matches!(message, Message::Close { .. }) => {
                // Nobody hears any more what waits.
                channel.state = State::Running;
                self.passing(from, index, message)
            }
            State::Early { .. } if from == Side::Client => self.while_early(index, payload),
            State::Refusing(_) | State::Swallowing => self.while_refused(from, index, &message),
            _ => self.passing(from, index, message),
        }
    }

    fn passing<'b>(
        &mut self,
        from: Side,
        index: usize,
        message: Message<'b>,
    ) -> Result<Turn<'b>, Broken> {
        let channel = self.at(index)?;
        let key = channel.key;
        let data = matches!(message, Message::Data { .. } | Message::ExtendedData { .. });
        let undecided = matches!(channel.state, State::Idle | State::Asking);
        // Nothing of a client reaches a program that was not asked for yet.
        if data && from == Side::Client && undecided && !channel.refused {
            return Err(Broken::Order);
        }
        let flow = if from == Side::Client { &mut channel.input } else { &mut channel.output };
        match message {
            // It was sent before the client knew that its request was refused.
            Message::Data { bytes, .. } | Message::ExtendedData { bytes, .. }
                if from == Side::Client && undecided =>
            {
                flow.swallow(bytes.len())?;
                Ok(Turn::Taken)
            }
            Message::Data { bytes, .. } if from == Side::Client && channel.framed => {
                flow.hold(bytes.len())?;
                Ok(Turn::Framed { channel: key, bytes })
            }
            Message::Data { bytes, .. } if from == Side::Server && channel.masked => {
                flow.hold(bytes.len())?;
                Ok(Turn::Masked { channel: key, stderr: false, bytes })
            }
            Message::ExtendedData { bytes, stream: STDERR, .. }
                if from == Side::Server && channel.masked =>
            {
                flow.hold(bytes.len())?;
                Ok(Turn::Masked { channel: key, stderr: true, bytes })
            }
            // There is no other kind (RFC 4254 section 5.2), and no mask for it.
            Message::ExtendedData { .. } if from == Side::Server && channel.masked => {
                Err(Broken::Order)
            }
            Message::Data { bytes, .. } => {
                flow.pass(bytes.len())?;
                if from == Side::Server && channel.framed {
                    self.lend(from, index)?;
                }
                Ok(Turn::Data { channel: key, stderr: false, bytes })
            }
            Message::ExtendedData { bytes, stream, .. } => {
                flow.pass(bytes.len())?;
                Ok(Turn::Data { channel: key, stderr: stream == STDERR, bytes })
            }
            Message::Eof { .. } => {
                let eof = if from == Side::Client {
                    &mut channel.eof.client
                } else {
                    &mut channel.eof.target
                };
                if std::mem::replace(eof, true) { Err(Broken::Order) } else { Ok(Turn::Eof(key)) }
            }
            Message::Close { .. } => self.close(from, index),
            Message::ChannelRequest { name, want_reply, rest, .. } => {
                self.request(from, index, (name, want_reply, rest))
            }
            Message::ChannelSuccess { .. } => self.reply(from, index, true),
            Message::ChannelFailure { .. } => self.reply(from, index, false),
            _ => Err(Broken::Order),
        }
    }

    fn close<'b>(&mut self, from: Side, index: usize) -> Result<Turn<'b>, Broken> {
        let channel = self.at(index)?;
        match from {
            Side::Client => channel.closed.client = true,
            Side::Server => channel.closed.target = true,
        }
        let key = channel.key;
        if channel.closed.client && channel.closed.target {
            self.channels.swap_remove(index);
            return Ok(Turn::Over(key));
        }
        Ok(Turn::Closing(key))
    }

    fn adjusted<'b>(&mut self, from: Side, index: usize, bytes: u32) -> Result<Turn<'b>, Broken> {
        let channel = self.at(index)?;
        let flow = if from == Side::Client { &mut channel.output } else { &mut channel.input };
        flow.grant(bytes)?;
        let key = channel.key;
        let is_heard = matches!(channel.state, State::Early { .. }) && channel.input.is_covered();
        self.lend(from.peer(), index)?;
        Ok(if is_heard { Turn::Heard(key) } else { Turn::Taken })
    }

    /// Tells a sender of the window that it has now.
    fn lend(&mut self, sender: Side, index: usize) -> Result<(), Broken> {
        let channel = self.at(index)?;
        if matches!(channel.state, State::Refusing(_) | State::Swallowing) {
            return Ok(());
        }
        let (flow, recipient, closed) = match sender {
            Side::Client => (&mut channel.input, channel.client, channel.closed.target),
            Side::Server => (&mut channel.output, channel.target, channel.closed.client),
        };
        let bytes = flow.lend();
        if let (1.., Some(recipient), false) = (bytes, recipient, closed) {
            self.say(sender, Message::WindowAdjust { recipient, bytes }.write());
        }
        Ok(())
    }

    fn request<'b>(
        &mut self,
        from: Side,
        index: usize,
        (name, want_reply, rest): (&'b [u8], bool, &'b [u8]),
    ) -> Result<Turn<'b>, Broken> {
        let terminals = self.may_have_terminals;
        let ask = ChannelAsk::parse(name, rest)?;
        let channel = self.at(index)?;
        let key = channel.key;
        if from == Side::Server {
            if want_reply {
                channel.asked_back.forward()?;
            }
            return Ok(Turn::Noted { channel: key, ask });
        }
        let is_told =
            matches!(ask, ChannelAsk::Env(..) | ChannelAsk::Pty(_) | ChannelAsk::Signal(_));
        if is_told && ask.has_nul() {
            self.answer(index, want_reply, false)?;
            return Ok(Turn::Taken);
        }
        match ask {
            ChannelAsk::Exec(_) | ChannelAsk::Shell | ChannelAsk::Subsystem(_) => {
                // One of these for each channel (RFC 4254 section 6.5): sshd refuses others, too.
                if !matches!(channel.state, State::Idle) {
                    self.answer(index, want_reply, false)?;
                    return Ok(Turn::Taken);
                }
                channel.state = State::Asking;
                Ok(Turn::Asks(Asked::Request { channel: key, name, ask, want_reply }))
            }
            ChannelAsk::Agent | ChannelAsk::X11 | ChannelAsk::Unknown => {
                Ok(Turn::Asks(Asked::Request { channel: key, name, ask, want_reply }))
            }
            ChannelAsk::Env(variable, value) => {
                let known = channel.facts.environment.len();
                let undecided = matches!(channel.state, State::Idle);
                let kept = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len();
                let bytes: usize = channel.facts.environment.iter().map(kept).sum();
                let fits = known < SSH_ENVIRONMENT_MAX
                    && bytes + variable.len() + value.len() <= SSH_ENVIRONMENT_BYTES_MAX;
                if fits && may_pass(variable) && undecided {
                    channel.facts.environment.push((variable.to_vec(), value.to_vec()));
                    return self.pass_request(index, want_reply, key, ask);
                }
                self.answer(index, want_reply, false)?;
                Ok(Turn::Taken)
            }
            // Nor does what runs get a terminal that its verdict did not know of.
            ChannelAsk::Pty(_) if !terminals || !matches!(channel.state, State::Idle) => {
                self.answer(index, want_reply, false)?;
                Ok(Turn::Taken)
            }
            ChannelAsk::Pty(pty) => {
                channel.facts.terminal = Some((pty.term.to_vec(), pty.columns, pty.rows));
                channel.facts.echoes = ChannelAsk::echoes(pty.modes);
                self.pass_request(index, want_reply, key, ask)
            }
            _ => self.pass_request(index, want_reply, key, ask),
        }
    }

    fn pass_request<'b>(
        &mut self,
        index: usize,
        want_reply: bool,
        channel: ChannelKey,
        ask: ChannelAsk<'b>,
    ) -> Result<Turn<'b>, Broken> {
        if want_reply {
            self.at(index)?.asked.forward()?;
        }
        Ok(Turn::Noted { channel, ask })
    }

    /// Weir answers a request of the client itself.
    fn answer(&mut self, index: usize, want_reply: bool, success: bool) -> Result<(), Broken> {
        let channel = self.at(index)?;
        // Nothing follows the end of a channel.
        if want_reply && !channel.closed.target {
            channel.asked.answer(success)?;
            self.replies(index)?;
        }
        Ok(())
    }

    fn reply<'b>(&mut self, from: Side, index: usize, success: bool) -> Result<Turn<'b>, Broken> {
        let channel = self.at(index)?;
        if from == Side::Client {
            let own = channel.asked_back.is_own_next();
            channel.asked_back.reply(success)?;
            while channel.asked_back.ready().is_some() {}
            if own {
                channel.unheard = false;
                self.replies(index)?;
            }
            return Ok(if own { Turn::Taken } else { Turn::Pass });
        }
        let note = channel.asked.reply(success)?;
        self.replies(index)?;
        Ok(note.map_or(Turn::Taken, |note| Turn::Answered { note, success, port: None }))
    }

    /// Says the replies to the client that are due.
    fn replies(&mut self, index: usize) -> Result<(), Broken> {
        loop {
            let channel = self.at(index)?;
            // Nothing follows the end of a channel.
            if channel.unheard || (channel.refused && channel.closed.target) {
                return Ok(());
            }
            let (Some(success), Some(recipient)) = (channel.asked.ready(), channel.client) else {
                return Ok(());
            };
            let message = match success {
                true => Message::ChannelSuccess { recipient },
                false => Message::ChannelFailure { recipient },
            };
            self.say(Side::Client, message.write());
        }
    }
}

/// Variables that may reach a target: locales, and git's version of its protocol.
fn may_pass(variable: &[u8]) -> bool {
    variable == b"LANG" || variable == b"GIT_PROTOCOL" || variable.starts_with(b"LC_")
}

/// What a message says against the window and the packet size of its receiver.
const fn said_bytes(message: &Message<'_>) -> usize {
    match message {
        Message::Data { bytes, .. } | Message::ExtendedData { bytes, .. } => bytes.len(),
        _ => 0,
    }
}

fn recipient(message: &Message<'_>) -> Option<u32> {
    match *message {
        Message::WindowAdjust { recipient, .. }
        | Message::Data { recipient, .. }
        | Message::ExtendedData { recipient, .. }
        | Message::Eof { recipient }
        | Message::Close { recipient }
        | Message::ChannelRequest { recipient, .. }
        | Message::ChannelSuccess { recipient }
        | Message::ChannelFailure { recipient } => Some(recipient),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
