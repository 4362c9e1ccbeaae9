//! A journal in memory, for tests and simulation of other stages.
//!
//! In: entries. Out: receipts; everything that was written, to look at.
//! Never: a difference from the spool in what it accepts, except where it is told to refuse.
//!
//! Entries are kept as the frames the spool would write, so what a test reads back went through
//! the format.

use super::body::{self, Body, Kind};
use super::entry::{Entry, SessionContext, SessionId};
use super::{Journal, Lsn, Receipt, Refused, SessionRef, journal};
use crate::clock::Now;
use crate::limits::ENTRY_BYTES_MAX;

/// A journal in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    /// Everything written, in order.
    pub written: Vec<Written>,
    /// Appends that were refused.
    pub refused: u64,
    sessions: Vec<Option<SessionContext>>,
    lsn: Lsn,
    refuse: Option<(u64, Refused)>,
}

/// An entry that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Context of its session at that time.
    pub context: SessionContext,
    /// Order inside the session.
    pub seq: u64,
    /// When.
    pub now: Now,
    /// What.
    pub kind: Kind,
    bytes: Vec<u8>,
}

impl Written {
    /// The session.
    pub fn session_id(&self) -> SessionId {
        self.context.session_id
    }

    /// The entry.
    pub fn body(&self) -> Body<'_> {
        body::read(self.kind, body::VERSION, &self.bytes)
            .expect("a body reads back as it was written")
    }
}

impl MemoryJournal {
    /// An empty journal that takes everything.
    pub fn new() -> MemoryJournal {
        MemoryJournal::default()
    }

    /// Takes `entries` more entries, then refuses.
    pub fn refuse_after(&mut self, entries: u64, with: Refused) {
        self.refuse = Some((entries, with));
    }

    /// Takes everything again.
    pub fn accept(&mut self) {
        self.refuse = None;
    }

    /// Sessions that are open.
    pub fn open_sessions(&self) -> usize {
        self.sessions.iter().flatten().count()
    }

    /// The entries of a session.
    pub fn of(&self, session_id: SessionId) -> impl Iterator<Item = &Written> {
        self.written.iter().filter(move |written| written.session_id() == session_id)
    }

    /// Everything written, in order.
    pub fn written(&self) -> impl Iterator<Item = &Written> {
        self.written.iter()
    }

    /// The bodies of everything written, in order.
    pub fn bodies(&self) -> impl Iterator<Item = Body<'_>> {
        self.written.iter().map(Written::body)
    }
}

impl Journal for MemoryJournal {
    fn open(&mut self, context: &SessionContext) -> SessionRef {
        self.sessions.push(Some(context.clone()));
        SessionRef((self.sessions.len() - 1) as u32)
    }

    fn identify(&mut self, session: SessionRef, context: &SessionContext) {
        let slot = &mut self.sessions[session.0 as usize];
        assert!(slot.is_some(), "a session that was closed is identified");
        *slot = Some(context.clone());
    }

    fn append(
        &mut self,
        session: SessionRef,
        seq: u64,
        now: Now,
        entry: &Entry<'_>,
    ) -> Result<Receipt, Refused> {
        let context = self.sessions[session.0 as usize]
            .clone()
            .expect("an entry is of a session that is open");
        let size = journal::body_bytes(entry);
        if size > ENTRY_BYTES_MAX {
            self.refused += 1;
            return Err(Refused::TooLarge);
        }
        if let Some((left, with)) = &mut self.refuse {
            if *left == 0 {
                self.refused += 1;
                return Err(*with);
            }
            *left -= 1;
        }
        let mut bytes = Vec::with_capacity(size);
        body::put_entry(&mut bytes, entry);
        self.lsn.0 += journal::frame_bytes(size) as u64;
        self.written.push(Written { context, seq, now, kind: Kind::of(entry), bytes });
        Ok(Receipt::new(self.lsn))
    }

    fn covered(&mut self, _session: SessionRef) -> Receipt {
        Receipt::new(self.lsn)
    }

    fn close(&mut self, session: SessionRef) {
        let closed = self.sessions[session.0 as usize].take();
        assert!(closed.is_some(), "a session is closed twice");
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Event;
    use super::super::testing::{command, context, now, response, session_id};
    use super::*;

    #[test]
    fn entries_read_back_with_the_context_of_their_time() {
        let mut journal = MemoryJournal::new();
        let session = journal.open(&context(1));
        let first = journal.append(session, 1, now(1), &response(0)).unwrap().lsn();
        journal.identify(session, &context(2));
        let entry = Entry::Command(command("SELECT 1", &[]));
        let second = journal.append(session, 2, now(2), &entry).unwrap().lsn();
        assert!(first < second && journal.covered(session).lsn() == second);
        assert_eq!(journal.of(session_id(1)).count(), 1);
        let written: Vec<_> = journal.of(session_id(2)).collect();
        let Body::Command(read) = written[0].body() else { panic!("{written:?}") };
        assert_eq!((read.text, written[0].seq), (&b"SELECT 1"[..], 2));
        journal.close(session);
        assert_eq!(journal.open_sessions(), 0);
    }

    #[test]
    fn it_refuses_when_told_to() {
        let mut journal = MemoryJournal::new();
        let session = journal.open(&context(1));
        journal.refuse_after(1, Refused::Full);
        journal.append(session, 1, now(1), &response(0)).unwrap();
        for _ in 0..2 {
            let refused = journal.append(session, 2, now(2), &response(0));
            assert_eq!(refused.unwrap_err(), Refused::Full);
        }
        journal.accept();
        journal.append(session, 2, now(2), &response(0)).unwrap();
        assert_eq!((journal.written.len(), journal.refused), (2, 2));
        let attrs = "x".repeat(ENTRY_BYTES_MAX);
        let event = Event { event: "", severity: "", message: "", attrs: &attrs };
        let refused = journal.append(session, 3, now(3), &Entry::Event(event));
        assert_eq!(refused.unwrap_err(), Refused::TooLarge);
    }
}
