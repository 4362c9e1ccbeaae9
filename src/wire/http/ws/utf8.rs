//! UTF-8 across the pieces of a text.
//!
//! In: pieces. Out: whether they can still be UTF-8. Never: an overlong form or a surrogate taken.

/// What is known of a text so far: the bytes of a letter that is not whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    part: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Takes a piece; false if no text has it here.
    pub fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return true };
            let Some(place) = self.part.get_mut(self.len) else { return false };
            *place = byte;
            self.len += 1;
            piece = rest;
            match std::str::from_utf8(self.part.get(..self.len).unwrap_or(&[])) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let rest = piece.get(error.valid_up_to()..).unwrap_or(&[]);
                for (to, from) in self.part.iter_mut().zip(rest) {
                    *to = *from;
                }
                self.len = rest.len();
                true
            }
        }
    }

    /// Whether the text may end here.
    pub const fn is_whole(&self) -> bool {
        self.len == 0
    }
}
