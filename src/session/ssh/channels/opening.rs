//! Channels as they open: by the client, or by the target where the client was allowed to ask.
//!
//! In: opens, confirmations, verdicts. Out: channels, opens and refusals for the peers. Never: more
//! channels than the bounds, two of one number, one that nobody asked for.

use super::Asked;
use super::{Channel, ChannelKey, Channels, Facts, Sides, State, Turn};
use crate::limits::{SSH_CHANNELS_MAX, SSH_OPENING_MAX, SSH_REPLIES_MAX};
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::ledger::Flow;
use crate::wire::ssh::message::{Message, OPEN_PROHIBITED, OPEN_SHORTAGE, Open};
use crate::wire::ssh::slots::Slots;

/// Opening channels.
impl Channels {
    pub(super) fn open<'b>(&mut self, from: Side, open: Open<'b>) -> Result<Turn<'b>, Broken> {
        if self.is_taken(from, open.sender) {
            return Err(Broken::Order);
        }
        let opening = |channel: &&Channel| matches!(channel.state, State::Opening);
        if self.channels.len() >= SSH_CHANNELS_MAX
            || self.channels.iter().filter(opening).count() >= SSH_OPENING_MAX
        {
            self.refuse_open(from, &open, (OPEN_SHORTAGE, "too many channels"));
            return Ok(Turn::Taken);
        }
        if from == Side::Client && open.kind != b"session" {
            return Ok(Turn::Asks(Asked::Open(open)));
        }
        let back = self.opens_back;
        let may = match open.kind {
            _ if from == Side::Client => true,
            b"auth-agent@openssh.com" => back.agent,
            b"x11" => back.x11,
            b"forwarded-tcpip" | b"forwarded-streamlocal@openssh.com" => back.forwards,
            _ => false,
        };
        match (may, from) {
            (true, Side::Server) => return Ok(Turn::OpensBack(open)),
            (true, Side::Client) => drop(self.opened(from, &open)),
            (false, _) => {
                let words = "weir: nobody asked for this channel";
                self.refuse_open(from, &open, (OPEN_PROHIBITED, words));
            }
        }
        Ok(Turn::Taken)
    }

    /// A channel that the target opens is written down: it goes on.
    pub fn allow_open_back(&mut self, open: &Open<'_>) -> ChannelKey {
        self.opened(Side::Server, open)
    }

    /// It cannot be written down.
    pub fn refuse_open_back(&mut self, open: &Open<'_>, words: &str) {
        self.refuse_open(Side::Server, open, (OPEN_SHORTAGE, words));
    }

    /// Whether a peer uses a number for one of its channels.
    fn is_taken(&self, side: Side, number: u32) -> bool {
        self.channels.iter().any(|channel| match side {
            // Of what was refused the client has said and heard all there is.
            Side::Client => channel.client == Some(number) && !channel.is_left(),
            Side::Server => channel.target == Some(number),
        })
    }

    /// Passes an open on, with the window that the other side may use.
    fn opened(&mut self, from: Side, open: &Open<'_>) -> ChannelKey {
        let session = open.kind == b"session";
        // The window of an opener is for what the other side sends to it.
        let mut flow = match session {
            true => Flow::undecided(open.window),
            false => Flow::new(open.window, true),
        };
        let window = flow.lend();
        let none = Flow::new(0, !session);
        let (input, output) = if from == Side::Client { (none, flow) } else { (flow, none) };
        let number = |side| (side == from).then_some(open.sender);
        let key = ChannelKey(self.next_key);
        self.channels.push(Channel {
            key,
            client: number(Side::Client),
            target: number(Side::Server),
            opener: from,
            session,
            state: State::Opening,
            input,
            output,
            asked: Slots::new(SSH_REPLIES_MAX),
            asked_back: Slots::new(SSH_REPLIES_MAX),
            facts: Facts::default(),
            input_max: open.packet_max,
            output_max: open.packet_max,
            framed: false,
            masked: false,
            refused: false,
            unheard: false,
            eof: Sides::default(),
            closed: Sides::default(),
        });
        self.next_key += 1;
        self.say(from.peer(), Message::ChannelOpen(Open { window, ..*open }).write());
        key
    }

    fn refuse_open(&mut self, from: Side, open: &Open<'_>, (code, words): (u32, &str)) {
        let recipient = open.sender;
        let failure = Message::OpenFailure { recipient, code, text: words.as_bytes() };
        self.say(from, failure.write());
    }

    /// The other side has opened its end; the window that its opener is told.
    pub(super) fn confirmed(
        &mut self,
        from: Side,
        recipient: u32,
        (sender, window, packet_max): (u32, u32, u32),
    ) -> Result<u32, Broken> {
        let index = self.index_of_opening(from, recipient)?;
        let taken = self.is_taken(from, sender);
        let channel = self.at(index)?;
        if taken {
            return Err(Broken::Order);
        }
        let session = channel.session;
        // A session's client may send little before its request is decided.
        let mut flow = Flow::new(window, !session);
        let lent = flow.lend();
        match from {
            Side::Client => {
                (channel.client, channel.output) = (Some(sender), flow);
                channel.output_max = packet_max;
            }
            Side::Server => {
                (channel.target, channel.input) = (Some(sender), flow);
                channel.input_max = packet_max;
            }
        }
        channel.state = if session { State::Idle } else { State::Running };
        Ok(lent)
    }

    /// The verdict on an open of the client's is yes.
    ///
    /// # Errors
    /// `Order` if its number was taken while it waited.
    pub fn allow_open(&mut self, open: &Open<'_>) -> Result<ChannelKey, Broken> {
        if self.is_taken(Side::Client, open.sender) {
            return Err(Broken::Order);
        }
        Ok(self.opened(Side::Client, open))
    }

    /// It is no.
    pub fn refuse_open_of_client(&mut self, open: &Open<'_>, words: &str) {
        self.refuse_open(Side::Client, open, (OPEN_PROHIBITED, words));
    }
}
