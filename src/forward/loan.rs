//! A piece of the input that is handed on as it is, without a copy.
//!
//! In: the input, the bytes that the machine hands on. Out: the piece that stands between bytes
//! that were copied. Never: a piece that outlives the call which lent the input.

use std::ops::Range;

use crate::limits::LOAN_BYTES_MIN;

/// The input of one call, and the first large piece of it that the machine handed on.
///
/// ```text
///   input:    | end of a row |       whole rows       | start of a row |
///   outbox:   | row          |        piece           | what follows   |
///               copied       ^ at                       copied
/// ```
///
/// The machine knows nothing of this: it hands on slices, and those that lie in the input are found
/// by their addresses. While the input is borrowed nothing else can have these.
#[derive(Debug)]
pub(super) struct Loan {
    /// Addresses of the input.
    input: Range<usize>,
    /// Where the piece lies in the input; empty while there is none.
    piece: Range<usize>,
    /// How many of the outbox's own bytes stand before it.
    pub(super) at: usize,
}

impl Loan {
    /// Of `input`, nothing yet.
    pub(super) fn of(input: &[u8]) -> Loan {
        let start = input.as_ptr().addr();
        Loan { input: start..start + input.len(), piece: 0..0, at: 0 }
    }

    /// Whether `bytes`, which follow `own` bytes of the outbox, become the piece or its end.
    pub(super) fn takes(&mut self, bytes: &[u8], own: usize) -> bool {
        let Some(from) = bytes.as_ptr().addr().checked_sub(self.input.start) else { return false };
        let to = from + bytes.len();
        if to > self.input.len() {
            return false;
        }
        if self.piece.is_empty() {
            if bytes.len() < LOAN_BYTES_MIN {
                return false;
            }
            (self.piece, self.at) = (from..to, own);
            return true;
        }
        let follows = self.piece.end == from && self.at == own;
        if follows {
            self.piece.end = to;
        }
        follows
    }

    /// Length of the piece.
    pub(super) fn len(&self) -> usize {
        self.piece.len()
    }

    /// The piece; `input` is what was lent.
    pub(super) fn piece<'i>(&self, input: &'i [u8]) -> &'i [u8] {
        assert!(
            input.as_ptr().addr() == self.input.start && input.len() == self.input.len(),
            "another input was lent"
        );
        input.get(self.piece.clone()).expect("a piece of the input")
    }

    /// There is nothing left of the piece.
    pub(super) fn forget(&mut self) {
        self.piece = 0..0;
    }
}
