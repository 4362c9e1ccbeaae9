//! Bytes to a peer, and only with a permit and a receipt.
//!
//! `Outbox` is pure: it keeps the order and knows which bytes wait for which record. `dial` is the
//! shell that connects to a target.

pub mod dial;
mod gift;
mod loan;

use std::collections::VecDeque;

use crate::decide::Permit;
use crate::limits::SEND_TOGETHER_BYTES;
use crate::record::{Lsn, Receipt};

use gift::Gift;
use loan::Loan;

/// Bytes for one peer. A prefix of them may leave: all before the first barrier whose record is
/// not safe yet.
///
/// ```text
///   bytes:    |  sent  | sendable      | waits for lsn 7 | waits for lsn 9 |
///   barriers:                          ^ (position, 7)   ^ (position, 9)
/// ```
///
/// Invariant: barriers are sorted by position and by lsn, none is before `sent` or behind the last
/// byte, and `sent` is no more than all bytes. Sent bytes are dropped once they outweigh what
/// waits, so a slow reader costs no more memory than twice what waits for it.
///
/// What is forwarded is copied, because it waits for the end of the turn and for its record. A
/// large piece need not be: from `lend` to `keep` one may stay where it is in the input, and what
/// can leave meanwhile leaves from there (`pieces`). And a message that was gathered in a buffer of
/// its own becomes the outbox's with its buffer, from `expect` to `accept`.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// `(position, lsn)`: bytes from `position` on wait until `lsn` is safe.
    barriers: VecDeque<(usize, Lsn)>,
    /// What stands before this position leaves by itself, in a record of TLS of its own.
    parting: Option<usize>,
    /// A piece that belongs among `bytes` and was not copied. Positions count it.
    loan: Option<Loan>,
    /// A message that stands before `bytes` and is still in its own buffer. Positions count it.
    gift: Option<Gift>,
}

impl Outbox {
    /// Queues bytes that follow from a permitted, recorded action.
    pub fn forward(&mut self, _permit: Permit, receipt: Receipt, bytes: &[u8]) {
        let lsn = receipt.lsn();
        if bytes.is_empty() {
            return;
        }
        if self.barriers.back().is_none_or(|&(_, last)| last < lsn) {
            self.barriers.push_back((self.end(), lsn));
        }
        self.append(bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        let own = self.bytes.len();
        if self.end() == 0 && self.gift.as_mut().is_some_and(|gift| gift.takes(bytes)) {
            return;
        }
        let waits = self.gift.as_ref().is_some_and(|gift| gift.len() > 0);
        let is_lent = |loan: &mut Loan| !waits && loan.takes(bytes, own);
        if !self.loan.as_mut().is_some_and(is_lent) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Queues bytes that weir itself says to a peer: login messages, notices, refusals.
    /// They carry nothing of the other peer, so they need neither permit nor receipt; they keep
    /// their place behind what waits before them.
    pub fn say(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is queued so far leaves by itself: clients that change their protocol behind it look
    /// for what follows in the socket, and not in what TLS has opened already.
    pub fn part(&mut self) {
        self.parting = (self.end() > self.sent).then(|| self.end());
    }

    /// The bytes that may leave when everything up to `safe` is recorded. A little that stands
    /// before bytes which wait for the disk leaves with them: one send, and a peer that is woken
    /// once. Mostly these are the rows of a short answer, whose end alone waits for its record. A
    /// long answer is not kept.
    pub fn sendable(&mut self, safe: Lsn) -> &[u8] {
        if self.may_leave(safe) { self.released() } else { &[] }
    }

    fn may_leave(&mut self, safe: Lsn) -> bool {
        while self.barriers.front().is_some_and(|&(_, lsn)| lsn <= safe) {
            self.barriers.pop_front();
        }
        let released = self.released_len();
        let parts = self.parting.is_some_and(|parting| self.sent + released == parting);
        self.barriers.is_empty() || released >= SEND_TOGETHER_BYTES || parts
    }

    /// What `sendable` said last if it was not empty, for as long as nothing is queued and nothing
    /// has left.
    pub fn released(&self) -> &[u8] {
        assert!(self.loan.is_none(), "a piece of the input stands among these");
        assert!(self.gift.is_none(), "a message stands before these");
        self.bytes.get(self.sent..self.sent + self.released_len()).unwrap_or(&[])
    }

    /// Length of what may leave, as `sendable` or `pieces` said last.
    pub fn released_len(&self) -> usize {
        let end = self.barriers.front().map_or(self.end(), |&(position, _)| position);
        self.parting.map_or(end, |parting| parting.min(end)) - self.sent
    }

    /// Until `accept`, `message` is not copied if it is forwarded as the first that waits.
    pub fn expect(&mut self, message: &[u8]) {
        assert!(self.gift.is_none(), "two messages were announced");
        self.gift = Some(Gift::of(message));
    }

    /// The buffer of the message that was announced, which nobody else needs any more.
    pub fn accept(&mut self, buffer: Vec<u8>) {
        if let Some(gift) = self.gift.take() {
            self.bytes = gift.unwrap(buffer, std::mem::take(&mut self.bytes));
        }
    }

    /// Until `keep`, a large piece of `input` that is forwarded is not copied.
    pub fn lend(&mut self, input: &[u8]) {
        self.loan = Some(Loan::of(input));
    }

    /// What may leave when everything up to `safe` is recorded, in order, with the piece of `input`
    /// in the middle. `None` if there is no such piece, or nothing may leave.
    pub fn pieces<'a>(&'a mut self, input: &'a [u8], safe: Lsn) -> Option<[&'a [u8]; 3]> {
        if self.loan.as_ref()?.len() == 0 || !self.may_leave(safe) {
            return None;
        }
        let loan = self.loan.as_ref()?;
        let (own, piece) = (self.bytes.split_at(loan.at), loan.piece(input));
        let mut left = self.released_len();
        let mut pieces = [own.0.get(self.sent..).unwrap_or(&[]), piece, own.1];
        for piece in &mut pieces {
            *piece = piece.get(..left).unwrap_or(piece);
            left -= piece.len();
        }
        (self.released_len() > 0).then_some(pieces)
    }

    /// `input` is needed again: what is left of its piece is copied.
    pub fn keep(&mut self, input: &[u8]) {
        let Some(loan) = self.loan.take() else { return };
        if loan.len() > 0 {
            self.bytes.splice(loan.at..loan.at, loan.piece(input).iter().copied());
            self.drop_sent();
        }
    }

    /// The first `count` sendable bytes have left.
    pub fn consume(&mut self, count: usize) {
        self.sent += count;
        self.parting = self.parting.filter(|parting| *parting > self.sent);
        assert!(self.sent <= self.end(), "consumed more than was queued");
        assert!(
            self.barriers.front().is_none_or(|&(position, _)| self.sent <= position),
            "sent past a barrier"
        );
        if self.sent == self.end() {
            assert!(self.barriers.is_empty(), "a barrier before no bytes");
            self.clear();
        } else if self.loan.is_none() && self.sent >= self.bytes.len() - self.sent {
            self.drop_sent();
        }
    }

    /// Drops everything, because the peer is gone.
    pub fn abandon(&mut self) {
        self.clear();
    }

    fn clear(&mut self) {
        self.barriers.clear();
        self.bytes.clear();
        self.sent = 0;
        self.parting = None;
        if let Some(loan) = &mut self.loan {
            loan.forget();
        }
        // A session that panicked never says which buffer it was.
        self.gift = None;
    }

    /// Takes the buffer away when it is empty, so that an idle session holds none.
    pub fn take_buffer(&mut self) -> Option<Vec<u8>> {
        (self.is_empty() && self.bytes.capacity() > 0).then(|| std::mem::take(&mut self.bytes))
    }

    /// Gives a buffer back from the shard's pool, unless there is one.
    pub fn give_buffer(&mut self, buffer: Vec<u8>) {
        assert!(buffer.is_empty(), "a lent buffer holds bytes");
        assert!(self.bytes.is_empty(), "a buffer replaced queued bytes");
        self.bytes = buffer;
    }

    /// Whether bytes can be queued without an allocation, or are queued already.
    pub fn has_buffer(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// Bytes not sent yet.
    pub fn len(&self) -> usize {
        self.end() - self.sent
    }

    fn end(&self) -> usize {
        let lent = self.loan.as_ref().map_or(0, Loan::len);
        self.bytes.len() + lent + self.gift.as_ref().map_or(0, Gift::len)
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record that the first waiting byte needs, if any waits for one.
    pub fn awaited(&self) -> Option<Lsn> {
        self.barriers.front().map(|&(_, lsn)| lsn)
    }

    fn drop_sent(&mut self) {
        self.bytes.drain(..self.sent);
        for (position, _) in &mut self.barriers {
            *position -= self.sent;
        }
        self.parting = self.parting.map(|parting| parting - self.sent);
        self.sent = 0;
        // A burst is over: what waits needs a fraction of what was allocated for it.
        if self.bytes.capacity() > crate::limits::OUTBOX_BYTES_MAX
            && self.bytes.len() < self.bytes.capacity() / 4
        {
            self.bytes.shrink_to(self.bytes.len().max(crate::limits::CHUNK_BYTES_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::LOAN_BYTES_MIN;

    /// A barrier without a journal: receipts are made by `record` alone, so the test places them
    /// where `forward` would.
    fn queue(outbox: &mut Outbox, lsn: u64, bytes: &[u8]) {
        if outbox.barriers.back().is_none_or(|&(_, last)| last < Lsn(lsn)) {
            outbox.barriers.push_back((outbox.end(), Lsn(lsn)));
        }
        outbox.append(bytes);
    }

    fn take(outbox: &mut Outbox, safe: u64) -> Vec<u8> {
        let sendable = outbox.sendable(Lsn(safe)).to_vec();
        assert!(sendable.is_empty() || outbox.released() == sendable);
        outbox.consume(sendable.len());
        sendable
    }

    #[test]
    fn bytes_wait_for_their_record_and_keep_their_order() {
        let mut outbox = Outbox::default();
        outbox.say(b"a");
        queue(&mut outbox, 5, b"bb");
        outbox.say(b"c");
        queue(&mut outbox, 9, b"dd");
        assert_eq!(take(&mut outbox, 4), b"", "a little waits for what is behind it");
        assert_eq!(outbox.awaited(), Some(Lsn(5)));
        outbox.consume(1);
        assert_eq!(take(&mut outbox, 8), b"");
        assert_eq!(outbox.awaited(), Some(Lsn(9)));
        outbox.consume(3);
        assert_eq!(outbox.len(), 2);
        assert_eq!(take(&mut outbox, 9), b"dd");
        assert_eq!(outbox.awaited(), None);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_little_leaves_with_what_waits_behind_it() {
        let mut outbox = Outbox::default();
        outbox.say(b"rows");
        assert_eq!(outbox.sendable(Lsn(4)), b"rows", "nothing waits");
        queue(&mut outbox, 5, b"end");
        assert_eq!(outbox.sendable(Lsn(4)), b"");
        assert_eq!(outbox.sendable(Lsn(5)), b"rowsend");
        outbox.say(&[7; SEND_TOGETHER_BYTES]);
        queue(&mut outbox, 6, b"end");
        assert_eq!(outbox.sendable(Lsn(5)).len(), SEND_TOGETHER_BYTES + 7, "much does not");
    }

    #[test]
    fn what_parts_leaves_by_itself() {
        let mut outbox = Outbox::default();
        outbox.part();
        queue(&mut outbox, 5, b"head");
        outbox.part();
        assert_eq!(take(&mut outbox, 4), b"");
        queue(&mut outbox, 5, b"frame");
        outbox.say(b"frame");
        assert_eq!(take(&mut outbox, 5), b"head");
        assert_eq!(take(&mut outbox, 5), b"frameframe");
        queue(&mut outbox, 6, b"head");
        outbox.part();
        queue(&mut outbox, 7, b"frame");
        assert_eq!(take(&mut outbox, 6), b"head", "it does not wait for what is behind it");
        outbox.consume(0);
        assert_eq!(take(&mut outbox, 7), b"frame");
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_slow_reader_does_not_keep_what_it_read() {
        let mut outbox = Outbox::default();
        for _ in 0..10_000 {
            outbox.say(&[7; 1000]);
            if outbox.len() > 5000 {
                outbox.consume(1000);
            }
        }
        assert!(outbox.len() <= 6000);
        assert!(outbox.bytes.capacity() < 100_000, "{}", outbox.bytes.capacity());
    }

    #[test]
    #[should_panic(expected = "sent past a barrier")]
    fn sending_what_is_not_recorded_is_our_mistake() {
        let mut outbox = Outbox::default();
        queue(&mut outbox, 5, b"secret");
        queue(&mut outbox, 6, b"more");
        outbox.consume(7);
    }

    /// What a peer that takes at most `room` bytes gets of `input`, and of what was queued before.
    fn pass(outbox: &mut Outbox, input: &[u8], safe: u64, room: usize) -> Vec<u8> {
        let pieces = outbox.pieces(input, Lsn(safe)).map(|pieces| pieces.concat());
        let mut left = pieces.unwrap_or_default();
        assert!(left.is_empty() || left.len() == outbox.released_len());
        left.truncate(room);
        if !left.is_empty() {
            outbox.consume(left.len());
        }
        outbox.keep(input);
        left
    }

    #[test]
    fn a_large_piece_of_the_input_leaves_without_a_copy() {
        let input: Vec<u8> = (0..LOAN_BYTES_MIN + 100).map(|i| i as u8).collect();
        let (row, rest) = input.split_at(50);
        let (piece, end) = rest.split_at(LOAN_BYTES_MIN);
        let mut outbox = Outbox::default();
        outbox.say(b"before");
        outbox.lend(&input);
        for bytes in [row, &piece[..LOAN_BYTES_MIN], end, b"behind"] {
            queue(&mut outbox, 5, bytes);
        }
        assert_eq!(outbox.bytes.len(), 6 + 50 + 6, "what is small was copied, and nothing else");
        assert!(outbox.pieces(&input, Lsn(4)).is_none(), "its record is not safe");
        let all = [b"before", &input[..], b"behind"].concat();
        assert_eq!(outbox.pieces(&input, Lsn(5)).expect("a piece").concat(), all);
        outbox.consume(6 + 50 + 10);
        outbox.keep(&input);
        assert_eq!(outbox.sendable(Lsn(5)), &all[66..], "what did not leave was kept");
    }

    #[test]
    fn nothing_of_a_loan_is_left_when_the_peer_is_gone() {
        let input = vec![7; LOAN_BYTES_MIN];
        let mut outbox = Outbox::default();
        outbox.lend(&input);
        queue(&mut outbox, 5, &input);
        outbox.abandon();
        assert!(outbox.pieces(&input, Lsn(5)).is_none());
        outbox.keep(&input);
        assert!(outbox.is_empty());
        queue(&mut outbox, 6, b"next");
        assert_eq!(take(&mut outbox, 6), b"next");
    }

    #[test]
    #[should_panic(expected = "another input was lent")]
    fn a_loan_is_of_one_input() {
        let input = vec![7; LOAN_BYTES_MIN + 1];
        let mut outbox = Outbox::default();
        outbox.lend(&input);
        queue(&mut outbox, 5, &input);
        outbox.keep(&input[1..]);
    }

    #[test]
    fn a_message_goes_on_in_the_buffer_it_was_gathered_in() {
        let mut outbox = Outbox::default();
        let mut message = Vec::with_capacity(2000);
        message.resize(1000, 7);
        let at = message.as_ptr();
        outbox.expect(&message);
        queue(&mut outbox, 5, &message);
        outbox.say(b"behind");
        outbox.accept(message);
        assert_eq!(outbox.bytes.as_ptr(), at, "it was copied");
        assert!(outbox.sendable(Lsn(4)).is_empty(), "its record is not safe");
        assert_eq!(take(&mut outbox, 5), [&[7; 1000][..], b"behind"].concat());
        // Behind something, in part, or not at all: then it is copied, or gone.
        let (before, message) = (b"before", vec![8; 1000]);
        queue(&mut outbox, 6, before);
        outbox.expect(&message);
        queue(&mut outbox, 6, &message);
        outbox.accept(message);
        outbox.expect(&[9; 1000]);
        outbox.accept(vec![9; 1000]);
        assert_eq!(take(&mut outbox, 6), [&before[..], &[8; 1000]].concat());
    }

    #[test]
    fn nothing_of_a_message_is_left_when_its_session_panicked() {
        let (mut outbox, message) = (Outbox::default(), vec![7; 1000]);
        outbox.expect(&message);
        queue(&mut outbox, 5, &message);
        outbox.abandon();
        assert!(outbox.is_empty() && outbox.sendable(Lsn(5)).is_empty());
        outbox.accept(message);
        assert!(outbox.is_empty());
    }

    #[test]
    #[should_panic(expected = "another message was announced")]
    fn a_message_has_one_buffer() {
        let (mut outbox, message) = (Outbox::default(), vec![7; 1000]);
        outbox.expect(&message);
        queue(&mut outbox, 5, &message);
        outbox.accept(message.clone());
    }

    proptest! {
        /// Any mix of queueing, taking and consuming yields the same stream, and nothing leaves
        /// before its record.
        #[test]
        fn the_stream_is_kept(
            steps in prop::collection::vec((0u8..6, 0usize..24_000, 0u64..20), 0..40),
        ) {
            let (mut outbox, mut lsn, mut safe) = (Outbox::default(), 0u64, 0u64);
            let (mut queued, mut left) = (Vec::<(u8, u64)>::new(), Vec::new());
            for (kind, size, step) in steps {
                match kind {
                    0 => {
                        lsn += step;
                        let bytes: Vec<u8> = (0..size).map(|i| (i + queued.len()) as u8).collect();
                        if !bytes.is_empty() {
                            queue(&mut outbox, lsn, &bytes);
                        }
                        let last = queued.last().map_or(0, |&(_, lsn)| lsn);
                        queued.extend(bytes.iter().map(|&b| (b, lsn.max(last))));
                    }
                    1 => safe = (safe + step).min(lsn),
                    5 => {
                        lsn += step;
                        let last = queued.last().map_or(0, |&(_, lsn)| lsn);
                        let message: Vec<u8> = (0..size).map(|i| (i * 3) as u8).collect();
                        outbox.expect(&message);
                        if step % 3 != 0 && !message.is_empty() {
                            queue(&mut outbox, lsn, &message);
                            queued.extend(message.iter().map(|&b| (b, lsn.max(last))));
                        }
                        if step % 2 == 0 && size > 0 {
                            let last = queued.last().map_or(0, |&(_, lsn)| lsn);
                            queue(&mut outbox, lsn, &[1]);
                            queued.push((1, lsn.max(last)));
                        }
                        outbox.accept(message);
                    }
                    4 => {
                        let input: Vec<u8> =
                            (0..size).map(|i| (i * 7 + queued.len()) as u8).collect();
                        outbox.lend(&input);
                        // Parts of the input, some of them put together elsewhere, and between
                        // them what weir says.
                        let part_bytes = size * (step as usize + 1) / 20 + 1;
                        for (index, part) in (step..).zip(input.chunks(part_bytes)) {
                            lsn += step % 2;
                            let last = queued.last().map_or(0, |&(_, lsn)| lsn);
                            let (said, own) = (index % 4 == 1, part.to_vec());
                            match index % 4 {
                                0 => queue(&mut outbox, lsn, own.as_slice()),
                                1 => outbox.say(part),
                                _ => queue(&mut outbox, lsn, part),
                            }
                            let needs = if said { last } else { lsn.max(last) };
                            queued.extend(part.iter().map(|&b| (b, needs)));
                        }
                        left.extend(pass(&mut outbox, &input, safe, size * step as usize / 20));
                    }
                    2 => left.extend(take(&mut outbox, safe)),
                    _ => {
                        let count = outbox.sendable(Lsn(safe)).len().min(size);
                        left.extend_from_slice(&outbox.sendable(Lsn(safe))[..count]);
                        outbox.consume(count);
                    }
                }
                prop_assert!(left.len() + outbox.len() == queued.len());
                prop_assert!(queued.iter().take(left.len()).all(|&(_, lsn)| lsn <= safe));
            }
            left.extend(take(&mut outbox, lsn));
            prop_assert!(outbox.is_empty());
            prop_assert!(left.iter().eq(queued.iter().map(|(b, _)| b)));
        }
    }
}
