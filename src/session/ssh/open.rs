//! A connection whose both legs are logged in: messages pass, and what runs is kept.
//!
//! In: messages of both peers. Out: the same to the other one, weir's own, chunks and rows.
//! Never: a message of the layers above that `channels` has not seen; bytes of a client before what
//! is to be kept of them is in the journal.

use std::ops::Range;
use std::rc::Rc;

use crate::config::settings::{Capture, Durability, Input};
use crate::decide::Permit;
use crate::decide::rules::{Scope, Who};
use crate::decide::ssh::Plumbing;
use crate::fault::{self, Fault, FaultKind, Refused};
use crate::identify::Identity;
use crate::identify::ssh_ca::Grants;
use crate::mask::detect::Detectors;
use crate::record::Receipt;
use crate::record::pty_events::Kind;
use crate::session::Stage;

use crate::wire::Side;
use crate::wire::ssh::fields::{Fields, Write};
use crate::wire::ssh::message::{ChannelAsk, Message};
use crate::wire::ssh::number;
use crate::wire::ssh::transport::Step;

use super::beside::{Answered, Leave};
use super::channels::{ChannelKey, Channels, Turn};
use super::core::Office;
use super::files::{Files, Limits};
use super::filters::Filters;
use super::hold::Held;
use super::leg::{Leg, broken};
use super::masked::Masks;
use super::operations::send_all;
use super::run::Run;
use super::{Machine, Phase};

/// Who is connected to what.
#[derive(Debug)]
pub(super) struct Link {
    pub identity: Identity,
    /// What its certificate permits.
    pub grants: Grants,
    /// Index in the settings' targets.
    pub target: usize,
    pub role: String,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open {
    pub link: Link,
    pub target_name: String,
    pub scope: Scope,
    pub durability: Durability,
    capture: Capture,
    pub input: Input,
    pub channels: Channels,
    runs: Vec<(ChannelKey, Run)>,
    pub files: Vec<(ChannelKey, Box<Files>)>,
    pub masks: Vec<(ChannelKey, Masks)>,
    pub filters: Vec<(ChannelKey, Filters)>,
    /// What is looked for in the output of what begins now.
    pub detectors: Rc<Detectors>,
    pub holds: Vec<Held>,
    /// What lets the target open channels: the last request of each kind.
    pub lets_open: Vec<Leave>,
    pub draining: bool,
}

impl Open {
    /// `None` if a reload removed the target meanwhile.
    pub fn new(link: Link, core: &Office, stage: &Stage<'_>) -> Option<Open> {
        let target = stage.snapshot.settings.targets.get(link.target)?;
        let mut open = Open {
            target_name: target.name.clone(),
            scope: Scope::default(),
            durability: target.durability,
            capture: target.capture,
            input: target.input,
            channels: Channels::default(),
            runs: Vec::new(),
            files: Vec::new(),
            masks: Vec::new(),
            filters: Vec::new(),
            detectors: Rc::default(),
            holds: Vec::new(),
            lets_open: Vec::new(),
            draining: false,
            link,
        };
        open.channels.may_have_terminals = open.link.grants.terminal;
        open.refresh(core, stage);
        Some(open)
    }

    /// Takes the rules of a new snapshot.
    pub fn refresh(&mut self, core: &Office, stage: &Stage<'_>) {
        self.scope = stage.snapshot.rules.scope(&self.who(core, stage));
        let masks = stage.snapshot.masks.view(&self.target_name, &self.link.identity.groups);
        self.detectors = Rc::new(masks.detectors().clone());
    }

    /// Who asks, for the rules.
    pub fn who<'w>(&'w self, core: &Office, stage: &Stage<'_>) -> Who<'w> {
        Who {
            identity: &self.link.identity,
            target: &self.target_name,
            role: &self.link.role,
            source: core.accepted.client_addr.ip(),
            wall_us: stage.now.wall_us,
        }
    }

    /// For the record.
    pub fn durability_name(&self) -> &'static str {
        match self.durability {
            Durability::Sync => "sync",
            Durability::Write => "write",
        }
    }

    /// For lists of sessions.
    pub fn seen(&self) -> (&str, String, &str, &'static str) {
        let state = match (self.holds.is_empty(), self.runs.is_empty()) {
            (false, _) => "held",
            (true, false) => "active",
            (true, true) => "idle",
        };
        (&self.link.identity.user, self.target_name.clone(), &self.link.role, state)
    }

    /// Whether nothing runs and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.channels.count() == 0 && self.holds.is_empty()
    }

    /// When the first hold expires, or output has to leave that is held to be masked.
    pub fn next_timeout(&self) -> Option<u64> {
        let holds = self.holds.iter().map(|held| held.ask.deadline_us).min();
        [holds, self.masks_due_us()].into_iter().flatten().min()
    }

    pub(super) fn run(&mut self, key: ChannelKey) -> Option<&mut Run> {
        self.runs.iter_mut().find(|(channel, _)| *channel == key).map(|(_, run)| run)
    }

    /// A command was forwarded.
    pub fn started(&mut self, (key, files): (ChannelKey, bool), seq: u64, now_us: u64) {
        if files {
            self.channels.frame(key);
            let read = self.capture.bytes();
            let written = if self.input == Input::Plain { read } else { 0 };
            let limits = Limits { read, written };
            self.files.push((key, Box::new(Files::new(limits))));
        }
        let mut run = Run::new(seq, self.capture.bytes(), now_us);
        let terminal = self.channels.facts(key).and_then(|facts| facts.terminal.clone());
        if let Some((_, columns, rows)) = terminal {
            run.size(columns, rows, now_us);
        }
        self.runs.push((key, run));
    }

    /// The command that a channel is for.
    pub fn seq_of(&self, key: ChannelKey) -> Option<u64> {
        let found = self.runs.iter().find(|(channel, _)| *channel == key);
        found.map(|(_, run)| run.seq)
    }

    /// What runs under a number.
    pub(super) fn run_of(&mut self, seq: u64) -> Option<&mut Run> {
        let found = self.runs.iter_mut().find(|(_, run)| run.seq == seq && !run.is_tunnel());
        found.map(|(_, run)| run)
    }

    /// Writes what is kept so far.
    pub fn flush(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        for (_, run) in &mut self.runs {
            run.flush(core, stage).map_err(record_fault)?;
        }
        Ok(())
    }

    /// The channel is over: its row is written.
    fn over(
        &mut self,
        key: ChannelKey,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Receipt>, Fault> {
        if let Some(index) = self.files.iter().position(|(channel, _)| *channel == key) {
            let (_, files) = self.files.swap_remove(index);
            files.end(core, stage)?;
        }
        self.filters.retain(|(channel, _)| *channel != key);
        let Some(index) = self.runs.iter().position(|(channel, _)| *channel == key) else {
            return Ok(None);
        };
        let (_, mut run) = self.runs.swap_remove(index);
        if run.is_tunnel() {
            return run.close_tunnel(None, core, stage).map(Some).map_err(record_fault);
        }
        run.unmasked = self.masks_end(key, run.seq, core, stage).map_err(record_fault)?;
        run.end(core, stage).map(Some).map_err(record_fault)
    }

    /// The channel does not open.
    fn unopened(
        &mut self,
        (key, text): (ChannelKey, &[u8]),
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Receipt>, Fault> {
        let found = self.runs.iter().position(|(channel, _)| *channel == key);
        let Some(index) = found else { return Ok(None) };
        let (_, run) = self.runs.swap_remove(index);
        run.close_tunnel(Some(text), core, stage).map(Some).map_err(record_fault)
    }

    /// A channel of a forward, an agent or a display opens.
    pub(super) fn tunnel(&mut self, key: ChannelKey, seq: u64, now_us: u64) {
        self.runs.push((key, Run::tunnel(seq, now_us)));
    }

    /// The connection ends: what runs and what waits is written down.
    pub fn abort(mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.abandon_holds(core, stage).map_err(record_fault)?;
        for (_, files) in std::mem::take(&mut self.files) {
            files.end(core, stage)?;
        }
        for (key, mut run) in std::mem::take(&mut self.runs) {
            run.unmasked = self.masks_end(key, run.seq, core, stage).map_err(record_fault)?;
            run.end(core, stage).map_err(record_fault)?;
        }
        Ok(())
    }

    /// Whether operations on the files of a channel wait for people.
    fn has_files_held(&self, key: ChannelKey) -> bool {
        self.holds.iter().any(|held| held.is_of_files(key))
    }

    /// Passes a message on, with what its row needs.
    fn pass(
        &mut self,
        (from, turn, message): (Side, &Turn<'_>, &[u8]),
        sink: &mut Leg,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let (Side::Server, Some(key)) = (from, turn.channel())
            && !is_aside(turn)
        {
            self.send_held(key, sink, core, stage)?;
        }
        if let (Side::Server, Turn::Eof(key) | Turn::Closing(key) | Turn::Over(key)) = (from, turn)
        {
            self.greeting_ends(*key, sink, core, stage);
        }
        let receipt = self.keep(from, turn, core, stage)?;
        let running = Permit::plumbing(Plumbing::Running);
        if let (Side::Server, Turn::Data { channel, stderr: false, bytes }) = (from, turn)
            && let Some(messages) = self.replies(*channel, bytes, core, stage)?
        {
            let receipt = core.covered(stage);
            send_all(sink, (running, receipt), messages, core, stage);
            return Ok(());
        }
        let receipt = receipt.unwrap_or_else(|| core.covered(stage));
        match (from, turn) {
            (Side::Server, Turn::Noted { channel, ask: ChannelAsk::ExitSignal(_) })
                if self.masks_of(*channel).is_some() =>
            {
                sink.send(running, receipt, &without_words(message), core);
            }
            _ => sink.send(running, receipt, message, core),
        }
        Ok(())
    }

    /// What a message says, for the record. A receipt if something was written for it.
    fn keep(
        &mut self,
        from: Side,
        turn: &Turn<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Receipt>, Fault> {
        let now_us = stage.now.mono_us;
        let (durability, input) = (self.durability, self.input);
        let framed = |key| self.files.iter().any(|(channel, _)| *channel == key);
        let key = match turn {
            Turn::Data { channel, stderr: false, bytes } if framed(*channel) => {
                // What the bytes are stands in the rows of the operations.
                if let Some(run) = self.run(*channel) {
                    run.passed(bytes.len(), now_us);
                }
                return Ok(None);
            }
            Turn::Data { channel, .. } | Turn::Noted { channel, .. } => *channel,
            Turn::Eof(key) => *key,
            Turn::Over(key) => return self.over(*key, core, stage),
            Turn::Unopened { channel, text } => {
                return self.unopened((*channel, text), core, stage);
            }
            _ => return Ok(None),
        };
        if let (Turn::Data { bytes, .. }, Side::Client) = (turn, from)
            && let Some(masks) = self.masks_of(key)
        {
            masks.typed(bytes);
        }
        let Some(run) = self.run(key) else { return Ok(None) };
        match (turn, from) {
            (Turn::Data { bytes, .. }, Side::Client) => run.input(bytes, input, now_us),
            (Turn::Data { bytes, stderr, .. }, Side::Server) => {
                run.output(*stderr, bytes, now_us);
            }
            (Turn::Eof(_), Side::Client) => run.event(Kind::InputEof, b"", now_us),
            (Turn::Eof(_), Side::Server) => run.event(Kind::OutputEof, b"", now_us),
            (Turn::Noted { ask, .. }, _) => note(run, from, ask, now_us),
            _ => {}
        }
        if run.is_due(durability) { run.flush(core, stage).map_err(record_fault) } else { Ok(None) }
    }
}

/// What a target says of a channel beside its output, which goes on: that nobody reads its input,
/// or that its program has ended, of which more may come: OpenSSH tells the exit status while the
/// pipe is not empty (session.c, `session_exit_message`). It may come before output that is held,
/// and makes none leave.
fn is_aside(turn: &Turn<'_>) -> bool {
    matches!(turn, Turn::Noted { .. })
}

/// The signal that ended a program, without the words that no mask has seen (RFC 4254 section
/// 6.10).
fn without_words(message: &[u8]) -> Vec<u8> {
    let Ok(Message::ChannelRequest { recipient, name, want_reply, rest }) = Message::parse(message)
    else {
        return message.to_vec();
    };
    let mut fields = Fields::new(rest);
    let (signal, dumped) = (fields.string().unwrap_or(b"TERM"), fields.bool().unwrap_or(false));
    let mut rest = Vec::new();
    rest.put_string(signal).put_bool(dumped).put_string(b"").put_string(b"");
    Message::ChannelRequest { recipient, name, want_reply, rest: &rest }.write()
}

/// What a message that does not simply pass leads to.
enum Next {
    Nothing,
    Asks(Vec<u8>),
    Canceled(ChannelKey),
    Heard(ChannelKey),
    OpensBack(Vec<u8>),
    Answered(Answered),
    Framed(ChannelKey, Vec<u8>),
    /// The end of a side's data or of a channel, with operations that wait.
    Ends(ChannelKey, Vec<u8>),
}

/// A request of a channel that passes.
fn note(run: &mut Run, from: Side, ask: &ChannelAsk<'_>, now_us: u64) {
    match (from, ask) {
        (Side::Client, ChannelAsk::WindowChange(columns, rows)) => {
            run.size(*columns, *rows, now_us)
        }
        (Side::Client, ChannelAsk::Signal(name)) => {
            run.event(Kind::Signal, name.get(..32).unwrap_or(name), now_us);
        }
        (Side::Server, ChannelAsk::ExitStatus(status)) => run.exit_status(*status, now_us),
        (Side::Server, ChannelAsk::ExitSignal(name)) => run.exit_signal(name, now_us),
        _ => {}
    }
}

pub(super) fn record_fault(refused: Refused) -> Fault {
    Fault::new(Side::Client, FaultKind::Record(refused))
}

impl Machine {
    /// Messages of one side, as many as came.
    pub(super) fn messages(&mut self, side: Side, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let now_us = stage.now.mono_us;
        while matches!(self.phase, Phase::Open(_)) {
            let Machine { core, client, target, .. } = self;
            let leg = match (side, target) {
                (Side::Client, _) => client,
                (Side::Server, Some(target)) => target,
                (Side::Server, None) => return Ok(()),
            };
            match leg.next(now_us, core)? {
                Step::Need => break,
                Step::Ready => {}
                Step::HostKey => return Err(Fault::new(side, FaultKind::Internal)),
                Step::Message(place) => self.message(side, &place, stage)?,
            }
        }
        let Machine { core, client, target, .. } = self;
        client.renew(now_us, core)?;
        if let Some(target) = target {
            target.renew(now_us, core)?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        from: Side,
        place: &Range<usize>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Machine { core, client, target: Some(target), phase: Phase::Open(open), .. } = self
        else {
            return Ok(());
        };
        let (source, sink) = match from {
            Side::Client => (client, target),
            Side::Server => (target, client),
        };
        let message = source.message(place);
        match message.first().copied() {
            Some(number::DISCONNECT) => return self.said_goodbye(from, place),
            // Requests that a client sent before it knew that it is logged in (RFC 4252 section
            // 5.1), and those of a service that it has.
            Some(50..=79) if from == Side::Client => return Ok(()),
            Some(80..=127) => {}
            Some(128..) => {
                source.transport.unimplemented();
                source.flush(core);
                return Ok(());
            }
            _ => return Err(broken(from, crate::wire::ssh::Broken::Order)),
        }
        let turn = open.channels.take(from, message).map_err(|why| broken(from, why))?;
        let next = match turn {
            // The target was told so already.
            Turn::Eof(key) if from == Side::Client && open.is_cut(key) => Next::Nothing,
            Turn::Eof(key) | Turn::Closing(key) | Turn::Over(key) if open.has_files_held(key) => {
                Next::Ends(key, message.to_vec())
            }
            Turn::Pass
            | Turn::Data { .. }
            | Turn::Noted { .. }
            | Turn::Eof(_)
            | Turn::Closing(_)
            | Turn::Unopened { .. }
            | Turn::Over(_) => {
                open.pass((from, &turn, message), sink, core, stage)?;
                self.posts(stage);
                return Ok(());
            }
            Turn::Unknown => {
                source.transport.unimplemented();
                source.flush(core);
                return Ok(());
            }
            // What is asked for is looked at with the message in hand: it is short.
            Turn::Asks(_) => Next::Asks(message.to_vec()),
            Turn::Framed { channel, bytes } => Next::Framed(channel, bytes.to_vec()),
            Turn::Canceled(key) => Next::Canceled(key),
            Turn::Heard(key) => Next::Heard(key),
            Turn::OpensBack(_) => Next::OpensBack(message.to_vec()),
            Turn::Answered { note, success, port } => {
                Next::Answered(Answered { note, success, port })
            }
            Turn::Masked { channel, stderr, bytes } => {
                return open.pass_masked((channel, stderr, bytes), sink, core, stage);
            }
            Turn::Taken => Next::Nothing,
        };
        self.next(from, next, stage)
    }

    fn next(&mut self, from: Side, next: Next, stage: &mut Stage<'_>) -> Result<(), Fault> {
        match next {
            Next::Nothing => {}
            Next::Asks(message) => self.asked_for(message, stage)?,
            Next::Canceled(key) => self.cancel_hold(key, stage)?,
            Next::Heard(key) => self.heard(key, stage)?,
            Next::OpensBack(message) => self.opens_back(message, stage)?,
            Next::Answered(answered) => self.answered(&answered, stage)?,
            Next::Framed(key, bytes) => self.framed(key, &bytes, stage)?,
            Next::Ends(key, message) => {
                self.cancel_operations(key, stage)?;
                self.own_replies(stage);
                let Machine {
                    core, client, target: Some(target), phase: Phase::Open(open), ..
                } = self
                else {
                    return Ok(());
                };
                let sink = if from == Side::Client { target } else { client };
                let turn = match message.first() {
                    Some(&number::CHANNEL_EOF) => Turn::Eof(key),
                    _ if open.channels.facts(key).is_some() => Turn::Closing(key),
                    _ => Turn::Over(key),
                };
                open.pass((from, &turn, &message), sink, core, stage)?;
            }
        }
        self.posts(stage);
        self.own_replies(stage);
        Ok(())
    }

    /// The target wants to hear what the client of a channel said early.
    fn heard(&mut self, key: ChannelKey, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.posts(stage);
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        let messages = open.channels.release_early(key);
        messages.iter().try_for_each(|message| self.again(message, stage))
    }

    /// A message of the client that waited behind a held request.
    pub(super) fn again(&mut self, message: &[u8], stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Machine { core, target: Some(target), phase: Phase::Open(open), .. } = self else {
            return Ok(());
        };
        let from = Side::Client;
        let turn = open.channels.take(from, message).map_err(|why| broken(from, why))?;
        match &turn {
            Turn::Eof(key) if open.is_cut(*key) => {}
            Turn::Pass
            | Turn::Data { .. }
            | Turn::Noted { .. }
            | Turn::Eof(_)
            | Turn::Closing(_)
            | Turn::Unopened { .. }
            | Turn::Over(_) => {
                open.pass((from, &turn, message), target, core, stage)?;
            }
            Turn::Asks(_) => self.asked_for(message.to_vec(), stage)?,
            Turn::Framed { channel, bytes } => self.framed(*channel, bytes, stage)?,
            Turn::Taken
            | Turn::Unknown
            | Turn::Canceled(_)
            | Turn::Heard(_)
            | Turn::OpensBack(_)
            | Turn::Answered { .. }
            | Turn::Masked { .. } => {}
        }
        self.posts(stage);
        Ok(())
    }

    /// Sends weir's own messages.
    pub(super) fn posts(&mut self, stage: &mut Stage<'_>) {
        let Machine { core, client, target: Some(target), phase: Phase::Open(open), .. } = self
        else {
            return;
        };
        while let Some(post) = open.channels.post() {
            let leg = match post.to {
                Side::Client => &mut *client,
                Side::Server => &mut *target,
            };
            // Some carry what the other peer said: replies, windows, opens.
            let receipt = core.covered(stage);
            leg.send(Permit::plumbing(Plumbing::Channels), receipt, &post.message, core);
        }
    }

    fn said_goodbye(&mut self, from: Side, place: &Range<usize>) -> Result<(), Fault> {
        let kind = match from {
            Side::Client => FaultKind::Terminate,
            Side::Server => {
                if let Some(target) = &self.target {
                    let message = target.message(place).to_vec();
                    self.note_farewell(&message);
                }
                FaultKind::Target(fault::Target::Closed)
            }
        };
        Err(Fault::new(from, kind))
    }
}
