//! Requests of the connection: listening ports, keepalive, the host keys of the target.
//!
//! In: requests and replies of both sides, verdicts. Out: what passes, replies in their turn.
//! Never: the target's host keys at the client, which would file them under weir's name.

use super::{Asked, Channels, Turn};
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::message::Message;
use crate::wire::ssh::number;
use crate::wire::ssh::slots::Note;

/// Requests of the connection.
impl Channels {
    pub(super) fn global<'b>(
        &mut self,
        from: Side,
        name: &'b [u8],
        (want_reply, rest): (bool, &'b [u8]),
    ) -> Result<Turn<'b>, Broken> {
        match (from, name) {
            // The target's host keys are weir's to know: the client would file them under the
            // gateway's name.
            (Side::Server, b"hostkeys-00@openssh.com") => Ok(Turn::Taken),
            (Side::Client, b"keepalive@openssh.com" | b"no-more-sessions@openssh.com") => {
                self.forward_global(from, want_reply, None)?;
                Ok(Turn::Pass)
            }
            (Side::Server, _) => {
                self.forward_global(from, want_reply, None)?;
                Ok(Turn::Pass)
            }
            (Side::Client, _) => Ok(Turn::Asks(Asked::Global { name, rest, want_reply })),
        }
    }

    fn forward_global(
        &mut self,
        from: Side,
        want_reply: bool,
        note: Option<Note>,
    ) -> Result<(), Broken> {
        let slots = match from {
            Side::Client => &mut self.of_client,
            Side::Server => &mut self.of_target,
        };
        if want_reply { slots.forward_noted(note) } else { Ok(()) }
    }

    /// The verdict on a request of the connection is yes.
    ///
    /// # Errors
    /// `Flood` if too many wait.
    pub fn allow_global(&mut self, want_reply: bool, note: Note) -> Result<(), Broken> {
        self.forward_global(Side::Client, want_reply, Some(note))
    }

    /// It is no.
    ///
    /// # Errors
    /// `Flood` if too many wait.
    pub fn refuse_global(&mut self, want_reply: bool) -> Result<(), Broken> {
        if want_reply {
            self.of_client.answer(Message::RequestFailure.write())?;
            self.global_ready(Side::Client);
        }
        Ok(())
    }

    pub(super) fn global_reply(
        &mut self,
        from: Side,
        payload: &[u8],
    ) -> Result<Turn<'static>, Broken> {
        let slots = match from {
            Side::Client => &mut self.of_target,
            Side::Server => &mut self.of_client,
        };
        let note = slots.reply(payload.to_vec())?;
        self.global_ready(from.peer());
        let success = payload.first() == Some(&number::REQUEST_SUCCESS);
        // The port that was taken for port 0 (RFC 4254 section 7.1).
        let port = match payload.get(1..).map(<[u8; 4]>::try_from) {
            Some(Ok(port)) if success => Some(u32::from_be_bytes(port)),
            _ => None,
        };
        Ok(note.map_or(Turn::Taken, |note| Turn::Answered { note, success, port }))
    }

    fn global_ready(&mut self, asker: Side) {
        loop {
            let slots = match asker {
                Side::Client => &mut self.of_client,
                Side::Server => &mut self.of_target,
            };
            let Some(message) = slots.ready() else { return };
            self.say(asker, message);
        }
    }
}
