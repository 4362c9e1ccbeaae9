//! Channels whose bytes do not pass as they came: requests of SFTP, each with a verdict of its own,
//! and output that is masked.
//!
//! In: bytes that were taken as `Turn::Framed` or `Turn::Masked`, and what became of them; weir's
//! own replies. Out: messages. Never: a message that is longer than its receiver takes, a reply
//! beyond its window.

use super::{ChannelKey, Channels, UsedUp};
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::message::{Message, STDERR};

impl Channels {
    /// From now on the client's data are requests, some of which weir answers: to be called before
    /// `allow`.
    pub fn frame(&mut self, key: ChannelKey) {
        if let Some((_, channel)) = self.find(key) {
            channel.framed = true;
            channel.output.keep();
        }
    }

    /// The messages by which bytes that were held go to the target.
    pub fn release_framed(&mut self, key: ChannelKey, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Some((_, channel)) = self.find(key) else { return Vec::new() };
        channel.input.release(bytes.len());
        match channel.target.filter(|_| !channel.closed.target) {
            Some(recipient) => data(recipient, bytes, channel.input_max),
            None => Vec::new(),
        }
    }

    /// Bytes that were held go nowhere: the client gets their room back.
    ///
    /// # Errors
    /// `Order` if the channel is gone.
    pub fn drop_framed(&mut self, key: ChannelKey, count: usize) -> Result<(), Broken> {
        let Some((index, channel)) = self.find(key) else { return Ok(()) };
        channel.input.drop_held(count);
        self.lend(Side::Client, index)
    }

    /// The target is told that nothing more comes of the client.
    pub fn end_input(&mut self, key: ChannelKey) {
        let Some((_, channel)) = self.find(key) else { return };
        let over = channel.closed.client || channel.closed.target || channel.eof.client;
        if let Some(recipient) = channel.target.filter(|_| !over) {
            self.say(Side::Server, Message::Eof { recipient }.write());
        }
    }

    /// From now on the target's data are masked.
    pub fn mask(&mut self, key: ChannelKey) {
        if let Some((_, channel)) = self.find(key) {
            channel.masked = true;
        }
    }

    /// Why the target may send nothing on a channel before the client has taken more, if so.
    pub fn output_used_up(&self, key: ChannelKey) -> Option<UsedUp> {
        let channel = self.channels.iter().find(|channel| channel.key == key);
        channel.and_then(|channel| channel.output.used_up())
    }

    /// The messages by which masked bytes go to the client, in the place of as many.
    pub fn release_output(&mut self, key: ChannelKey, stderr: bool, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Some((_, channel)) = self.find(key) else { return Vec::new() };
        channel.output.release(bytes.len());
        match channel.client.filter(|_| !channel.closed.client) {
            Some(recipient) if stderr => {
                let pieces = bytes.chunks(channel.output_max.max(1) as usize);
                let message = |bytes| Message::ExtendedData { recipient, stream: STDERR, bytes };
                pieces.map(|bytes| message(bytes).write()).collect()
            }
            Some(recipient) => data(recipient, bytes, channel.output_max),
            None => Vec::new(),
        }
    }

    /// Weir's own request among the client's; `false` if it cannot go.
    pub fn ask_target(&mut self, key: ChannelKey, bytes: &[u8]) -> bool {
        let Some((_, channel)) = self.find(key) else { return false };
        let closed = channel.closed.client || channel.closed.target || channel.eof.client;
        let Some(recipient) = channel.target.filter(|_| !closed) else { return false };
        let packet_max = channel.input_max;
        if !channel.input.say(bytes.len()) {
            return false;
        }
        for message in data(recipient, bytes, packet_max) {
            self.say(Side::Server, message);
        }
        true
    }

    /// Bytes of the target, which were passed already, do not go to the client.
    pub fn shorten_output(&mut self, key: ChannelKey, count: usize) {
        if let Some((_, channel)) = self.find(key) {
            channel.output.shorten(count);
        }
    }

    /// The messages by which bytes of the target, which were passed already, go to the client.
    pub fn output(&mut self, key: ChannelKey, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Some((_, channel)) = self.find(key) else { return Vec::new() };
        match channel.client {
            Some(recipient) => data(recipient, bytes, channel.output_max),
            None => Vec::new(),
        }
    }

    /// Weir's own bytes among the target's; `None` as long as the client has no room for them.
    pub fn output_own(&mut self, key: ChannelKey, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (_, channel) = self.find(key)?;
        if channel.closed.client || channel.closed.target || channel.eof.target {
            return Some(Vec::new());
        }
        channel.output.say(bytes.len()).then(|| self.output(key, bytes))
    }
}

fn data(recipient: u32, bytes: &[u8], packet_max: u32) -> Vec<Vec<u8>> {
    let pieces = bytes.chunks(packet_max.max(1) as usize);
    pieces.map(|bytes| Message::Data { recipient, bytes }.write()).collect()
}
