//! Verdicts on the requests of channels, and what a client is told that waits or is refused.
//!
//! In: allowed, refused, held. Out: replies in their turn, words, the end of a channel. Never:
//! words beyond a window, a reply before those that are due.

use super::{ChannelKey, Channels, State, Turn, said_bytes};
use crate::limits::SSH_HELD_BYTES_MAX;
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::fields::Write;
use crate::wire::ssh::message::{ChannelAsk, Message, STDERR};
use crate::wire::ssh::slots::Note;

/// The status of a command that weir refused. 255 would mean to Ansible that the host is gone.
const REFUSED_STATUS: u32 = 126;
/// What a client at a terminal may say while it waits, if its target opens sessions with a window
/// of nothing, as sshd does until something runs (serverloop.c, `server_request_session`): without
/// one ssh reads no keys, `~.` neither (channels.c, `channel_pre_open`).
const KEYS_BYTES: u32 = 64;
/// Words of weir's to one channel at a time.
const WORDS_BYTES_MAX: usize = 2 << 10;

/// Verdicts on requests of channels.
impl Channels {
    /// The request is allowed: the caller passes it on after this, and hears of its reply by the
    /// note.
    ///
    /// # Errors
    /// `Order` if the channel is gone, `Flood` if too many replies wait.
    pub fn allow(
        &mut self,
        key: ChannelKey,
        want_reply: bool,
        note: Option<Note>,
    ) -> Result<(), Broken> {
        let (index, channel) = self.find(key).ok_or(Broken::Order)?;
        if want_reply {
            channel.asked.forward_noted(note)?;
        }
        if matches!(channel.state, State::Asking | State::Held { .. }) {
            // What was lent without the target is kept until that wants it.
            channel.state = match channel.input.is_covered() {
                true => State::Running,
                false => State::Early { messages: Vec::new(), bytes: 0 },
            };
            channel.input.decide();
            channel.output.decide();
            self.lend(Side::Client, index)?;
            self.lend(Side::Server, index)?;
        }
        Ok(())
    }

    /// A request that is no command is refused: the channel goes on.
    ///
    /// # Errors
    /// As for `allow`.
    pub fn refuse_request(&mut self, key: ChannelKey, want_reply: bool) -> Result<(), Broken> {
        let (index, _) = self.find(key).ok_or(Broken::Order)?;
        self.answer(index, want_reply, false)
    }

    /// The command, shell or subsystem is refused: the client is told so, and the channel ends on
    /// both sides.
    ///
    /// # Errors
    /// As for `allow`.
    pub fn refuse(&mut self, key: ChannelKey, want_reply: bool, words: &str) -> Result<(), Broken> {
        let (index, channel) = self.find(key).ok_or(Broken::Order)?;
        if channel.closed.target {
            // The client has heard that and hears no more; what it says is dropped.
            (channel.state, channel.refused) = (State::Idle, true);
            if channel.closed.client {
                let recipient = channel.target;
                self.channels.swap_remove(index);
                if let Some(recipient) = recipient {
                    self.say(Side::Server, Message::Close { recipient }.write());
                }
            }
            return Ok(());
        }
        if want_reply {
            channel.asked.answer(true)?;
        }
        channel.state = State::Refusing(words.to_owned());
        // The target closes after the client: it may give its number to another channel then.
        if let (true, Some(recipient)) = (channel.closed.client, channel.target) {
            self.say(Side::Server, Message::Close { recipient }.write());
        }
        self.replies(index)?;
        self.end_refused(index)
    }

    /// A subsystem is refused: the client is told so on standard error, and by a failure, when it
    /// has heard the words. The channel is the client's to close.
    ///
    /// # Errors
    /// As for `allow`.
    pub fn refuse_subsystem(
        &mut self,
        key: ChannelKey,
        want_reply: bool,
        words: &str,
    ) -> Result<(), Broken> {
        let (index, channel) = self.find(key).ok_or(Broken::Order)?;
        (channel.state, channel.refused) = (State::Idle, true);
        if channel.closed.target {
            return Ok(());
        }
        let room = channel.output.room();
        self.tell(key, words)?;
        let late = self.shows_late && want_reply;
        let channel = self.at(index)?;
        let told = channel.output.room() < room;
        if let (true, true, Some(recipient)) = (late, told, channel.client) {
            channel.asked_back.ask()?;
            channel.unheard = true;
            let (name, rest) = (&b"keepalive@openssh.com"[..], &[][..]);
            let ask = Message::ChannelRequest { recipient, name, want_reply: true, rest };
            self.say(Side::Client, ask.write());
        }
        self.answer(index, want_reply, false)
    }

    /// The command waits for people, and so does what the client sends after it. Words to it are
    /// said on standard error, before any reply.
    ///
    /// # Errors
    /// `Order` if the channel is gone.
    pub fn hold(&mut self, key: ChannelKey, words: &str) -> Result<(), Broken> {
        let (_, channel) = self.find(key).ok_or(Broken::Order)?;
        channel.state = State::Held { messages: Vec::new(), bytes: 0, said: 0 };
        // Without a terminal Ctrl-C ends the client itself.
        let is_deaf = channel.facts.terminal.is_some() && channel.input.outstanding() == 0;
        if let (true, false, Some(recipient)) = (is_deaf, channel.closed.client, channel.client) {
            channel.input.advance(KEYS_BYTES);
            let adjust = Message::WindowAdjust { recipient, bytes: KEYS_BYTES };
            self.say(Side::Client, adjust.write());
        }
        self.tell(key, words)
    }

    /// Words of weir's to the client of a channel, on standard error, or on the terminal.
    ///
    /// # Errors
    /// `Order` if the channel is gone.
    pub fn tell(&mut self, key: ChannelKey, words: &str) -> Result<(), Broken> {
        let (_, channel) = self.find(key).ok_or(Broken::Order)?;
        let terminal = channel.facts.terminal.is_some();
        let text = lines(words, terminal);
        let Some(recipient) = channel.client else { return Ok(()) };
        // Without room the words are left out: more than the window would end the connection.
        if channel.closed.client || !channel.output.say(text.len()) {
            return Ok(());
        }
        let packet_max = channel.output_max.max(1) as usize;
        for bytes in text.as_bytes().chunks(packet_max) {
            let message = match terminal {
                true => Message::Data { recipient, bytes },
                false => Message::ExtendedData { recipient, stream: STDERR, bytes },
            };
            self.say(Side::Client, message.write());
        }
        Ok(())
    }

    /// The messages that the client sent while its command was held, to be taken again after the
    /// command; to be called before `allow` or `refuse`.
    pub fn release(&mut self, key: ChannelKey) -> Vec<Vec<u8>> {
        let Some((_, channel)) = self.find(key) else { return Vec::new() };
        match std::mem::replace(&mut channel.state, State::Asking) {
            State::Held { messages, .. } => messages,
            state => {
                channel.state = state;
                Vec::new()
            }
        }
    }

    /// The messages that the client sent before the target wanted to hear it, to be taken again.
    pub fn release_early(&mut self, key: ChannelKey) -> Vec<Vec<u8>> {
        let Some((_, channel)) = self.find(key) else { return Vec::new() };
        match std::mem::replace(&mut channel.state, State::Running) {
            State::Early { messages, .. } => messages,
            state => {
                channel.state = state;
                Vec::new()
            }
        }
    }

    pub(super) fn while_early<'b>(
        &mut self,
        index: usize,
        payload: &[u8],
    ) -> Result<Turn<'b>, Broken> {
        let State::Early { messages, bytes } = &mut self.at(index)?.state else {
            return Err(Broken::Order);
        };
        *bytes += payload.len() + 64;
        if *bytes > SSH_HELD_BYTES_MAX {
            return Err(Broken::Flood);
        }
        messages.push(payload.to_vec());
        Ok(Turn::Taken)
    }

    pub(super) fn while_held<'b>(
        &mut self,
        index: usize,
        message: &Message<'b>,
        payload: &'b [u8],
    ) -> Result<Turn<'b>, Broken> {
        let channel = self.at(index)?;
        let key = channel.key;
        let interrupt = match *message {
            Message::Close { .. } => {
                channel.closed.client = true;
                true
            }
            Message::ChannelRequest { name: b"signal", rest, .. } => {
                matches!(ChannelAsk::parse(b"signal", rest)?, ChannelAsk::Signal(b"INT"))
            }
            // Ctrl-C and Ctrl-D at a terminal.
            Message::Data { bytes, .. } if channel.facts.terminal.is_some() => {
                bytes.contains(&3) || bytes.contains(&4)
            }
            _ => false,
        };
        if interrupt {
            return Ok(Turn::Canceled(key));
        }
        let State::Held { messages, bytes, said } = &mut channel.state else {
            return Err(Broken::Order);
        };
        // What is allowed later lends more: the window that counts is that of now.
        *said += said_bytes(message);
        if *said as u64 > channel.input.outstanding() {
            return Err(Broken::Window);
        }
        *bytes += payload.len() + 64;
        if *bytes > SSH_HELD_BYTES_MAX {
            return Err(Broken::Flood);
        }
        messages.push(payload.to_vec());
        Ok(Turn::Taken)
    }

    /// The channel of a refused command: what the peers say until they have closed is dropped.
    pub(super) fn while_refused<'b>(
        &mut self,
        from: Side,
        index: usize,
        message: &Message<'b>,
    ) -> Result<Turn<'b>, Broken> {
        let channel = self.at(index)?;
        let flow = if from == Side::Client { &mut channel.input } else { &mut channel.output };
        match *message {
            Message::Data { bytes, .. } | Message::ExtendedData { bytes, .. } => {
                flow.swallow(bytes.len())?;
            }
            Message::Close { .. } if from == Side::Client => {
                channel.closed.client = true;
                if let Some(recipient) = channel.target {
                    self.say(Side::Server, Message::Close { recipient }.write());
                }
            }
            Message::Close { .. } => channel.closed.target = true,
            Message::ChannelSuccess { .. } | Message::ChannelFailure { .. }
                if from == Side::Server =>
            {
                channel.asked.reply(matches!(message, Message::ChannelSuccess { .. }))?;
                self.replies(index)?;
            }
            _ => {}
        }
        self.end_refused(index)?;
        let channel = self.at(index)?;
        let over = channel.closed.client && channel.closed.target;
        if over && matches!(channel.state, State::Swallowing) {
            self.channels.swap_remove(index);
        }
        Ok(Turn::Taken)
    }

    /// Says the words and the end of a refused command, once the replies before it are said, or
    /// nobody will say them.
    fn end_refused(&mut self, index: usize) -> Result<(), Broken> {
        let channel = self.at(index)?;
        let due = channel.asked.count() == 0 || channel.closed.target || channel.closed.client;
        if !due || !matches!(channel.state, State::Refusing(_)) {
            return Ok(());
        }
        let State::Refusing(words) = std::mem::replace(&mut channel.state, State::Swallowing)
        else {
            return Ok(());
        };
        let (key, client) = (channel.key, channel.client);
        let Some(recipient) = client else { return Ok(()) };
        if !channel.closed.client {
            self.tell(key, &words)?;
            let mut rest = Vec::new();
            rest.put_u32(REFUSED_STATUS);
            let (name, rest) = (&b"exit-status"[..], &rest[..]);
            for message in [
                Message::ChannelRequest { recipient, name, want_reply: false, rest },
                Message::Eof { recipient },
            ] {
                self.say(Side::Client, message.write());
            }
        }
        self.say(Side::Client, Message::Close { recipient }.write());
        Ok(())
    }
}

/// Words as lines of standard error, or of a terminal.
fn lines(words: &str, terminal: bool) -> String {
    let mut text = String::new();
    for line in words.lines() {
        if text.len() + line.len() > WORDS_BYTES_MAX {
            break;
        }
        // Some of it is a person's reason.
        text.extend(line.chars().map(|char| if char.is_control() { '?' } else { char }));
        text.push_str(if terminal { "\r\n" } else { "\n" });
    }
    text
}
