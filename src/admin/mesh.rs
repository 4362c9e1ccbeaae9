//! The shards as the control thread sees them: mailboxes that may be full.
//!
//! In: messages for one shard or all of them. Out: their answers, within a bound of time.
//! Never: waiting without an end for a shard.

use std::fmt;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::record::SessionId;
use crate::session::{SessionSummary, Vote, VoteReply};
use crate::shard::mail::{Canceller, ToShard};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The shard will read it.
    Taken,
    /// The mailbox is full; the message is lost and may be made again.
    Full,
    /// The shard has stopped.
    Stopped,
}

/// Puts a message into one shard's mailbox.
pub type Post = Box<dyn Fn(ToShard) -> Delivery + Send + Sync>;

/// All shards, by index.
pub struct Mesh {
    posts: Vec<Post>,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh({} shards)", self.posts.len())
    }
}

impl Mesh {
    /// A mesh of these mailboxes.
    pub fn new(posts: Vec<Post>) -> Mesh {
        Mesh { posts }
    }

    /// Number of shards.
    pub fn len(&self) -> usize {
        self.posts.len()
    }

    /// Whether there is no shard.
    pub fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    /// Delivers a message, making it again while the mailbox is full; `false` when the shard has
    /// stopped or time is up.
    pub async fn send(&self, shard: usize, mut make: impl FnMut() -> ToShard) -> bool {
        let Some(post) = self.posts.get(shard) else { return false };
        for _ in 0..SEND_TRIES {
            match post(make()) {
                Delivery::Taken => return true,
                Delivery::Stopped => return false,
                Delivery::Full => tokio::time::sleep(SEND_PAUSE).await,
            }
        }
        false
    }

    /// Delivers a message to every shard; the number of shards that did not take it.
    pub async fn broadcast(&self, mut make: impl FnMut() -> ToShard) -> usize {
        let mut missed = 0;
        for shard in 0..self.posts.len() {
            if !self.send(shard, &mut make).await {
                missed += 1;
            }
        }
        missed
    }

    /// Whether a shard's thread has ended: nobody reads its mailbox any more.
    pub fn is_broken(&self) -> bool {
        self.posts.iter().any(|post| {
            let (reply, _) = oneshot::channel();
            post(ToShard::Sessions(reply)) == Delivery::Stopped
        })
    }

    /// Live sessions of all shards, oldest first, and how many shards did not answer.
    pub async fn sessions(&self) -> (Vec<SessionSummary>, usize) {
        let mut sessions = Vec::new();
        let mut silent = 0;
        for answer in self.ask_all(ToShard::Sessions).await {
            match within(answer).await {
                Some(list) => sessions.extend(list),
                None => silent += 1,
            }
        }
        sessions.sort_by_key(|session| (session.started_us, session.session_id));
        (sessions, silent)
    }

    /// Delivers a vote to the shard that holds the command; `None` when it does not answer.
    pub async fn vote(&self, shard: usize, id: SessionId, vote: Vote) -> Option<VoteReply> {
        let answer = self.ask(shard, |reply| ToShard::Vote(id, vote.clone(), reply)).await;
        within(answer).await
    }

    /// Ends a session wherever it lives; whether it was found, `None` when a shard is silent and
    /// no other has it.
    pub async fn kill(&self, id: SessionId) -> Option<bool> {
        let mut silent = false;
        for answer in self.ask_all(|reply| ToShard::Kill(id, reply)).await {
            match within(answer).await {
                Some(true) => return Some(true),
                Some(false) => {}
                None => silent = true,
            }
        }
        (!silent).then_some(false)
    }

    /// Hands a CancelRequest that reached `shard` to the one that has its session, else to the
    /// targets.
    pub async fn cancel(&self, shard: usize, key: Vec<u8>, client: Option<Canceller>) {
        for other in (0..self.posts.len()).filter(|other| *other != shard) {
            let answer =
                self.ask(other, |reply| ToShard::Cancel(key.clone(), client.clone(), reply)).await;
            if within(answer).await == Some(true) {
                return;
            }
        }
        self.send(shard, || ToShard::CancelAbroad(key.clone(), client.clone())).await;
    }

    async fn ask_all<T>(
        &self,
        mut make: impl FnMut(oneshot::Sender<T>) -> ToShard,
    ) -> Vec<Option<oneshot::Receiver<T>>> {
        let mut answers = Vec::new();
        for shard in 0..self.posts.len() {
            answers.push(self.ask(shard, &mut make).await);
        }
        answers
    }

    async fn ask<T>(
        &self,
        shard: usize,
        mut make: impl FnMut(oneshot::Sender<T>) -> ToShard,
    ) -> Option<oneshot::Receiver<T>> {
        let mut answer = None;
        let taken = self.send(shard, || {
            let (reply, receiver) = oneshot::channel();
            answer = Some(receiver);
            make(reply)
        });
        if taken.await { answer } else { None }
    }
}

async fn within<T>(answer: Option<oneshot::Receiver<T>>) -> Option<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer?).await.ok()?.ok()
}

/// A shard empties its mailbox once per turn; a second of refusals means that it hangs.
const SEND_TRIES: u32 = 200;
const SEND_PAUSE: Duration = Duration::from_millis(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_full_mailbox_is_tried_again() {
        let tries = Arc::new(AtomicU32::new(0));
        let seen = tries.clone();
        let post: Post = Box::new(move |_| match seen.fetch_add(1, Ordering::Relaxed) {
            0..3 => Delivery::Full,
            _ => Delivery::Taken,
        });
        assert!(run(Mesh::new(vec![post]).send(0, || ToShard::Rotate)));
        assert_eq!(tries.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_closed_mailbox_is_given_up() {
        let mesh = Mesh::new(vec![Box::new(|_| Delivery::Stopped)]);
        run(async {
            assert!(!mesh.send(0, || ToShard::Rotate).await);
            assert!(!mesh.send(7, || ToShard::Rotate).await);
            assert_eq!(mesh.broadcast(|| ToShard::Rotate).await, 1);
            assert_eq!(mesh.sessions().await, (vec![], 1));
            assert_eq!(mesh.kill(SessionId([0; 16])).await, None);
            assert!(mesh.is_broken());
        });
    }

    #[test]
    fn a_kill_is_found_on_any_shard() {
        let shard = |mine: u8| -> Post {
            Box::new(move |message| {
                if let ToShard::Kill(id, reply) = message {
                    reply.send(id.0[0] == mine).unwrap();
                }
                Delivery::Taken
            })
        };
        let mesh = Mesh::new(vec![shard(1), shard(2)]);
        run(async {
            assert_eq!(mesh.kill(SessionId([2; 16])).await, Some(true));
            assert_eq!(mesh.kill(SessionId([3; 16])).await, Some(false));
        });
    }
}
