//! Operations on files, between the two legs: each passes, is refused, or waits by itself.
//!
//! In: bytes of a client that are requests, bytes of a target that are replies. Out: requests under
//! their permits; refusals among the replies, where one of them ends. Never: a request that was
//! held or refused at the target; a reply of weir's in the middle of another one.

use crate::decide::Permit;
use crate::decide::ssh::Plumbing;
use crate::fault::Fault;
use crate::record::Receipt;
use crate::session::Stage;
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::sftp::{Asked, limit_version, status};

use super::admit::{Place, Wanted};
use super::channels::ChannelKey;
use super::core::Office;
use super::files::{Course, Files};
use super::home;
use super::leg::{Leg, broken};
use super::open::Open;
use super::{Machine, Phase};

impl Machine {
    /// Bytes of a client that are requests.
    pub(super) fn framed(
        &mut self,
        key: ChannelKey,
        bytes: &[u8],
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if matches!(&self.phase, Phase::Open(open) if open.has_filters(key)) {
            return self.filtered(key, bytes, stage);
        }
        let mut rest = bytes;
        loop {
            let Machine { core, phase: Phase::Open(open), .. } = self else { return Ok(()) };
            let Some(files) = open.files(key) else { return Ok(()) };
            match files.requests.next(&mut rest).map_err(client_broken)? {
                None => break,
                Some(Asked::Body(body, _)) => {
                    if files.contents(body, core, stage)? {
                        files.going.extend_from_slice(body);
                    } else {
                        let dropped = open.channels.drop_framed(key, body.len());
                        dropped.map_err(client_broken)?;
                    }
                }
                Some(Asked::Request(packet) | Asked::Write(packet)) => {
                    self.operation(key, packet, stage)?;
                }
            }
        }
        self.flush_going(key, stage);
        self.posts(stage);
        self.own_replies(stage);
        Ok(())
    }

    fn operation(
        &mut self,
        key: ChannelKey,
        mut packet: Vec<u8>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        let Some(files) = open.files(key) else { return Ok(()) };
        let (id, step) = files.asked(&packet).map_err(client_broken)?;
        match step {
            Course::Pass => {
                limit_init(&mut packet);
                files.going.extend_from_slice(&packet);
                // It may be a CLOSE.
                if open.holds.is_empty() { Ok(()) } else { self.cancel_outdated(key, stage) }
            }
            Course::Refuse(code, words) => {
                files.refuse(id, code, words);
                open.channels.drop_framed(key, packet.len()).map_err(client_broken)
            }
            Course::Ask(wish) => {
                let wanted = Wanted {
                    message: packet,
                    place: Place::File { channel: key, id },
                    action: wish.operation.action(),
                    kind: "sftp",
                    text: wish.operation.text(),
                    attrs: String::new(),
                    clear: true,
                    parent_seq: open.seq_of(key),
                    wish: Some(wish),
                };
                self.rule(wanted, stage)
            }
        }
    }

    /// Sends an operation that is permitted.
    pub(super) fn operate(
        &mut self,
        wanted: &Wanted,
        seq: u64,
        (permit, receipt): (Permit, Receipt),
        stage: &mut Stage<'_>,
    ) {
        let Some(key) = wanted.file_channel() else { return };
        self.flush_going(key, stage);
        let Machine { core, target: Some(target), phase: Phase::Open(open), .. } = self else {
            return;
        };
        if let (Some(wish), Some(files)) = (&wanted.wish, open.files(key)) {
            files.goes(wish, seq, stage.now.mono_us);
        }
        let messages = open.channels.release_framed(key, &wanted.message);
        send_all(target, (permit, receipt), messages, core, stage);
    }

    /// Refuses an operation: the client gets a STATUS, and words on standard error.
    pub(super) fn refuse_operation(&mut self, wanted: &Wanted, words: &str) -> Result<(), Fault> {
        let Place::File { channel, id } = wanted.place else { return Ok(()) };
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        let Some(files) = open.files(channel) else { return Ok(()) };
        files.refuse(id, status::PERMISSION_DENIED, words);
        let news = files.is_news(words);
        open.channels.drop_framed(channel, wanted.message.len()).map_err(client_broken)?;
        if news {
            // The channel may be gone; then nobody reads this.
            let _unheard = open.channels.tell(channel, words);
        }
        Ok(())
    }

    fn flush_going(&mut self, key: ChannelKey, stage: &mut Stage<'_>) {
        let Machine { core, target: Some(target), phase: Phase::Open(open), .. } = self else {
            return;
        };
        let Some(files) = open.files(key) else { return };
        let going = std::mem::take(&mut files.going);
        if going.is_empty() {
            return;
        }
        let messages = open.channels.release_framed(key, &going);
        let receipt = core.covered(stage);
        send_all(target, (Permit::plumbing(Plumbing::Running), receipt), messages, core, stage);
    }

    /// Says weir's own replies where they may stand and the client has room for them.
    pub(super) fn own_replies(&mut self, stage: &mut Stage<'_>) {
        let Machine { core, client, phase: Phase::Open(open), .. } = self else { return };
        for key in open.with_own_replies() {
            let messages = open.take_own_replies(key, false);
            let receipt = core.covered(stage);
            let permit = Permit::plumbing(Plumbing::Running);
            send_all(client, (permit, receipt), messages, core, stage);
        }
    }
}

impl Open {
    /// Bytes of a target that are replies, to be passed on with weir's own among them. `None` if
    /// they pass as they came.
    pub(super) fn replies(
        &mut self,
        key: ChannelKey,
        bytes: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        let Some(files) = self.files(key) else { return Ok(None) };
        if files.greeting.keeps() {
            return self.greeting(key, bytes, core, stage).map(Some);
        }
        let Some(at) = files.heard(bytes, core, stage)? else { return Ok(None) };
        let (before, after) = bytes.split_at(at);
        let mut messages = self.channels.output(key, before);
        messages.extend(self.take_own_replies(key, true));
        messages.extend(self.channels.output(key, after));
        Ok(Some(messages))
    }

    /// What a target says first, kept back until it has told where paths start.
    fn greeting(
        &mut self,
        key: ChannelKey,
        bytes: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let Some(files) = self.files(key) else { return Ok(Vec::new()) };
        let kept = files.greeting.keep(bytes);
        kept.map_err(|why| broken(Side::Server, why))?;
        files.heard(bytes, core, stage)?;
        let (greeted, told, may_ask) = (files.is_greeted(), files.is_home_told(), files.may_ask());
        if greeted && may_ask && self.channels.ask_target(key, &home::request()) {
            if let Some(files) = self.files(key) {
                files.asks_home();
            }
            return Ok(Vec::new());
        }
        let Some(files) = self.files(key) else { return Ok(Vec::new()) };
        let (passes, dropped) = match (greeted, told) {
            (true, _) => (files.greeting.end(), 0),
            (_, true) => files.greeting.answered(),
            (false, false) => return Ok(Vec::new()),
        };
        self.channels.shorten_output(key, dropped);
        let mut messages = self.channels.output(key, &passes);
        messages.extend(self.take_own_replies(key, false));
        Ok(messages)
    }

    /// The target says no more: what is kept back of it passes.
    pub(super) fn greeting_ends(
        &mut self,
        key: ChannelKey,
        client: &mut Leg,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) {
        let Some(files) = self.files(key) else { return };
        let passes = files.greeting.end();
        if passes.is_empty() {
            return;
        }
        let messages = self.channels.output(key, &passes);
        let receipt = core.covered(stage);
        send_all(client, (Permit::plumbing(Plumbing::Running), receipt), messages, core, stage);
    }

    fn take_own_replies(&mut self, key: ChannelKey, anywhere: bool) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let Open { files, channels, .. } = self;
        let found = files.iter_mut().find(|(channel, _)| *channel == key);
        let Some((_, files)) = found else { return messages };
        while let Some(packet) = files.own(anywhere) {
            let Some(said) = channels.output_own(key, packet) else { break };
            messages.extend(said);
            files.done();
        }
        messages
    }

    fn with_own_replies(&self) -> Vec<ChannelKey> {
        let waiting = self.files.iter().filter(|(_, files)| files.has_own());
        waiting.map(|(key, _)| *key).collect()
    }

    /// The files of a channel.
    pub(super) fn files(&mut self, key: ChannelKey) -> Option<&mut Files> {
        let found = self.files.iter_mut().find(|(channel, _)| *channel == key);
        found.map(|(_, files)| &mut **files)
    }
}

/// Sends messages of one command: the first under its permit, the others as its rest.
pub(super) fn send_all(
    leg: &mut Leg,
    (permit, receipt): (Permit, Receipt),
    messages: Vec<Vec<u8>>,
    core: &mut Office,
    stage: &mut Stage<'_>,
) {
    let mut messages = messages.into_iter();
    if let Some(message) = messages.next() {
        leg.send(permit, receipt, &message, core);
    }
    for message in messages {
        let receipt = core.covered(stage);
        leg.send(Permit::plumbing(Plumbing::Running), receipt, &message, core);
    }
}

fn limit_init(packet: &mut [u8]) {
    if packet.get(4) == Some(&crate::wire::ssh::sftp::kind::INIT) {
        limit_version(packet);
    }
}

fn client_broken(why: Broken) -> Fault {
    broken(Side::Client, why)
}
