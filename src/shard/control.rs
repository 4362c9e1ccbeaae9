//! What the control thread asks of a shard, and how a shard ends.
//!
//! In: messages, the deadline of a drain. Out: answers, calls into machines.
//! Never: an answer that is waited for; a shard that outlives its drain.

use std::io;
use std::rc::Rc;

use super::core::{Core, Drain};
use super::journal::ShardJournal;
use super::mail::{Note, ToControl, ToShard};
use super::ring::Token;
use crate::limits::LINGER_TIMEOUT_US;
use crate::record::SessionId;
use crate::record::entry;
use crate::session::{Driven, Event, SessionSummary, Snapshot, Vote, VoteReply, http};

impl<J: ShardJournal> Core<J> {
    /// Takes one message.
    pub(super) fn open_letter(&mut self, message: ToShard) {
        // An answer that nobody waits for any more is no error: the `_gone`s below.
        match message {
            ToShard::Snapshot(source) => {
                self.tools.snapshot = Rc::new(Snapshot::build(&source));
                self.idle.clear();
                self.each_session(|| Event::Snapshot);
            }
            ToShard::Tls(tls) => {
                self.tls = tls;
                self.idle.clear();
            }
            ToShard::Vote(id, vote, answer) => {
                let _gone = answer.send(self.vote(id, &vote));
            }
            ToShard::Kill(id, answer) => {
                let _gone = answer.send(self.kill(id));
            }
            ToShard::Cancel(key, client, answer) => {
                let _gone = answer.send(self.cancel(&key, client).is_ok());
            }
            ToShard::CancelAbroad(key, client) => self.cancel_abroad(&key, client),
            ToShard::Sessions(answer) => {
                let _gone = answer.send(self.summaries());
            }
            ToShard::Adopt(listener, client) => self.adopt(listener, client),
            ToShard::Rotate => self.tools.journal.rotate(self.now),
            ToShard::Note(note) => {
                let Note { event, severity, message, attrs } = &*note;
                let event = entry::Event { event, severity, message, attrs };
                self.tools.journal.note(self.now, &event);
            }
            ToShard::Drain { deadline_us } => self.start_drain(deadline_us),
        }
    }

    /// Tells every session; their outputs follow in this turn.
    fn each_session(&mut self, event: impl Fn() -> Event<'static>) {
        for token in self.sessions.tokens() {
            let Some(driver) = self.sessions.get_mut(token) else { continue };
            driver.tell(event(), &mut self.tools.stage(self.now));
            self.touch(token);
        }
    }

    fn vote(&mut self, id: SessionId, vote: &Vote) -> VoteReply {
        let mut reply = VoteReply::Unknown;
        if let Some(&token) = self.asks.get(&id)
            && let Some(driver) = self.sessions.get_mut(token)
        {
            let event = Event::Vote(id, vote, &mut reply);
            driver.tell(event, &mut self.tools.stage(self.now));
            self.touch(token);
        }
        if reply == VoteReply::Unknown {
            let stage = &mut self.tools.stage(self.now);
            if let Some((answer, ended)) = http::vote_parked(id, vote, stage) {
                reply = answer;
                if let Some(event) = ended {
                    self.reports.send(ToControl::AskClosed { id, event });
                }
            }
        }
        reply
    }

    fn kill(&mut self, id: SessionId) -> bool {
        let found = self.session_tokens().into_iter().find(|(_, it)| it.session_id == id);
        let Some((token, _)) = found else { return false };
        let Some(driver) = self.sessions.get_mut(token) else { return false };
        driver.tell(Event::Kill(id), &mut self.tools.stage(self.now));
        self.touch(token);
        true
    }

    fn summaries(&mut self) -> Vec<SessionSummary> {
        self.session_tokens().into_iter().map(|(_, summary)| summary).collect()
    }

    fn session_tokens(&mut self) -> Vec<(Token, SessionSummary)> {
        let mut found = Vec::with_capacity(self.sessions.len());
        let stage = self.tools.stage(self.now);
        for token in self.sessions.tokens() {
            if let Some(driver) = self.sessions.get_mut(token) {
                let summaries = driver.party().summaries(&stage);
                found.extend(summaries.into_iter().map(|summary| (token, summary)));
            }
        }
        found
    }

    fn start_drain(&mut self, deadline_us: u64) {
        // Asked again: the deadline only comes nearer.
        if let Drain::Until { deadline_us: first } = self.drain {
            self.drain = Drain::Until { deadline_us: deadline_us.min(first) };
        }
        if self.drain != Drain::No {
            return;
        }
        self.drain = Drain::Until { deadline_us };
        self.stop_accepting();
        self.each_session(|| Event::Drain { at_once: false });
        self.abandon_parked();
    }

    /// Ends what people are asked about while no client waits.
    fn abandon_parked(&mut self) {
        for id in http::abandon_parked(&mut self.tools.stage(self.now)) {
            self.reports.send(ToControl::AskClosed { id, event: "abandoned" });
        }
    }

    /// Follows a drain to its end.
    ///
    /// # Errors
    /// The ring is unusable.
    pub(super) fn keep_draining(&mut self) -> io::Result<()> {
        let now_us = self.now.mono_us;
        match self.drain {
            Drain::No | Drain::Done => return Ok(()),
            Drain::Until { deadline_us } if deadline_us <= now_us => {
                self.drain = Drain::Last { cut_us: now_us + LINGER_TIMEOUT_US };
                self.each_session(|| Event::Drain { at_once: true });
            }
            Drain::Last { cut_us } if cut_us <= now_us => {
                self.drain = Drain::Last { cut_us: now_us + LINGER_TIMEOUT_US };
                for token in self.sessions.tokens() {
                    if let Some(driver) = self.sessions.get_mut(token) {
                        driver.kill();
                    }
                    self.touch(token);
                }
            }
            Drain::Until { .. } | Drain::Last { .. } => {}
        }
        self.settle_all()?;
        if self.sessions.is_empty() && self.has_stopped_accepting() && !self.is_syncing() {
            // What sessions have left since is recorded behind them (`Core::leave`).
            self.abandon_parked();
            self.drain = Drain::Done;
        }
        Ok(())
    }
}
