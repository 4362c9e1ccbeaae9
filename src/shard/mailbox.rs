//! The ends of the mailboxes between the control thread and a shard.
//!
//! In: messages. Out: messages, and an eventfd written for each. Never: a shard that waits.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::counters::Counters;
use super::mail::{ToControl, ToShard};
use crate::accept::socket;
use crate::limits::MAILBOX_MESSAGES_MAX;

/// Why a message did not reach a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The shard is behind; try again.
    #[error("the shard's mailbox is full")]
    Full,
    /// The shard has stopped.
    #[error("the shard has stopped")]
    Stopped,
}

/// The control thread's end: sends messages to one shard. Never blocks.
#[derive(Clone, Debug)]
pub struct Mailbox {
    messages: SyncSender<ToShard>,
    eventfd: Arc<std::fs::File>,
}

impl Mailbox {
    /// Sends a message and wakes the shard.
    ///
    /// # Errors
    /// The shard is behind or gone; the message is dropped.
    pub fn send(&self, message: ToShard) -> Result<(), Undelivered> {
        self.messages.try_send(message).map_err(|e| match e {
            TrySendError::Full(_) => Undelivered::Full,
            TrySendError::Disconnected(_) => Undelivered::Stopped,
        })?;
        if self.ring() { Ok(()) } else { Err(Undelivered::Stopped) }
    }

    fn ring(&self) -> bool {
        // The counter saturates long after the mailbox is full, so the write does not block.
        (&*self.eventfd).write_all(&1u64.to_ne_bytes()).is_ok()
    }
}

/// A shard as the others see it: how many clients it has, and the way to give it one more.
#[derive(Clone, Debug)]
pub struct Peer {
    mailbox: Mailbox,
    counters: Arc<Counters>,
    /// Clients that are on their way to it.
    coming: Arc<AtomicU64>,
}

impl Peer {
    /// A shard, by its mailbox and what it counts.
    pub fn new(mailbox: Mailbox, counters: Arc<Counters>) -> Peer {
        Peer { mailbox, counters, coming: Arc::default() }
    }

    /// Connections it has, and those it will.
    pub fn load(&self) -> u64 {
        self.counters.connections.get() + self.coming.load(Ordering::Relaxed)
    }

    /// Gives it a client.
    ///
    /// # Errors
    /// The client, when the shard is behind or gone.
    pub fn give(&self, listener: usize, client: TcpStream) -> Result<(), TcpStream> {
        self.coming.fetch_add(1, Ordering::Relaxed);
        match self.mailbox.messages.try_send(ToShard::Adopt(listener, client)) {
            Ok(()) => {
                self.mailbox.ring();
                Ok(())
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                self.arrived();
                match message {
                    ToShard::Adopt(_, client) => Err(client),
                    _ => unreachable!("the message comes back as it was"),
                }
            }
        }
    }

    /// The shard has taken one in.
    pub fn arrived(&self) {
        self.coming.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shard's end.
#[derive(Debug)]
pub struct Letters {
    messages: Receiver<ToShard>,
    eventfd: OwnedFd,
}

impl Letters {
    /// The next message, if there is one.
    pub fn next(&self) -> Option<ToShard> {
        self.messages.try_recv().ok()
    }

    /// Written when a message came.
    pub fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

/// A mailbox for one shard.
///
/// # Errors
/// No descriptor is left.
pub fn mailbox() -> std::io::Result<(Mailbox, Letters)> {
    let (sender, messages) = sync_channel(MAILBOX_MESSAGES_MAX);
    let eventfd = socket::eventfd()?;
    let writer = std::fs::File::from(eventfd.try_clone()?);
    Ok((Mailbox { messages: sender, eventfd: Arc::new(writer) }, Letters { messages, eventfd }))
}

/// The shard's way to the control thread. What people wait for (approvals, cancellations) is kept
/// when the control thread is behind; hints are dropped. When the shard ends, in whatever way, the
/// last message says so.
#[derive(Debug)]
pub struct Reports {
    shard: usize,
    channel: tokio::sync::mpsc::Sender<ToControl>,
    kept: VecDeque<ToControl>,
    lost: u64,
}

impl Reports {
    /// Sends on this channel.
    pub fn new(shard: usize, channel: tokio::sync::mpsc::Sender<ToControl>) -> Reports {
        Reports { shard, channel, kept: VecDeque::new(), lost: 0 }
    }

    /// Sends or keeps a message. Order is kept.
    pub fn send(&mut self, message: ToControl) {
        self.retry();
        if self.kept.is_empty() {
            match self.channel.try_send(message) {
                Ok(()) => {}
                Err(e) => self.keep(e.into_inner()),
            }
        } else {
            self.keep(message);
        }
    }

    /// Sends what was kept.
    pub fn retry(&mut self) {
        while let Some(message) = self.kept.pop_front() {
            if let Err(e) = self.channel.try_send(message) {
                self.kept.push_front(e.into_inner());
                return;
            }
        }
    }

    /// Messages dropped so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether something waits to be sent again.
    pub fn is_behind(&self) -> bool {
        !self.kept.is_empty()
    }

    fn keep(&mut self, message: ToControl) {
        let hint = matches!(
            message,
            ToControl::RefreshCatalog { .. }
                | ToControl::RefreshKeys { .. }
                | ToControl::Strained { .. }
                | ToControl::Reach { failure: None, .. }
        );
        if hint || self.kept.len() >= MAILBOX_MESSAGES_MAX || self.channel.is_closed() {
            self.lost += 1;
        } else {
            self.kept.push_back(message);
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let shard = self.shard;
        for message in self.kept.drain(..).chain([ToControl::Stopped { shard }]) {
            // The shard ends and cannot wait; its thread's end is seen by `ShardHandle::join`.
            let _behind = self.channel.try_send(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mailbox_says_so_and_a_stopped_shard_too() {
        let (mailbox, letters) = mailbox().expect("an eventfd");
        for _ in 0..MAILBOX_MESSAGES_MAX {
            mailbox.send(ToShard::Rotate).expect("room");
        }
        assert_eq!(mailbox.send(ToShard::Rotate), Err(Undelivered::Full));
        assert!(matches!(letters.next(), Some(ToShard::Rotate)));
        assert_eq!(mailbox.send(ToShard::Rotate), Ok(()));
        drop(letters);
        assert_eq!(mailbox.send(ToShard::Rotate), Err(Undelivered::Stopped));
    }

    #[test]
    fn what_people_wait_for_is_sent_later_and_hints_are_dropped() {
        let (channel, mut receiver) = tokio::sync::mpsc::channel(1);
        let mut reports = Reports::new(9, channel);
        for shard in 0..3 {
            reports.send(ToControl::Cancel { shard, key: vec![], client: None });
            reports.send(ToControl::RefreshCatalog { target: shard });
        }
        assert_eq!(reports.lost(), 3);
        for expect in 0..3 {
            let got = receiver.try_recv();
            assert!(matches!(got, Ok(ToControl::Cancel { shard, .. }) if shard == expect));
            reports.retry();
        }
        assert!(!reports.is_behind());
        drop(reports);
        assert!(matches!(receiver.try_recv(), Ok(ToControl::Stopped { shard: 9 })));
    }
}
