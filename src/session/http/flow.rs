//! What is to be said on one stream of HTTP/2, and waits for the windows of its reader.
//!
//! In: content, the end of it, room in windows. Out: frames of a connection.
//! Never: a byte before one that waits; an end before all content.
//!
//! ```text
//!   content --> fits into the windows --> a frame
//!        '----> waiting, behind which all that follows waits --Room--> frames
//! ```

use crate::wire::http::h2::{Connection, Gone, Say, has_trailers};
use crate::wire::http::head::Head;

/// One direction of one stream.
#[derive(Debug, Default)]
pub(super) struct Flow {
    waiting: Vec<u8>,
    ending: Option<Ending>,
}

/// What follows the last byte.
#[derive(Debug)]
pub(super) enum Ending {
    Nothing,
    Trailers(Head),
}

impl Ending {
    /// With those trailers that may pass.
    pub fn of(trailers: &Head) -> Ending {
        match has_trailers(trailers) {
            true => Ending::Trailers(trailers.clone()),
            false => Ending::Nothing,
        }
    }
}

impl Flow {
    /// Bytes that no window has let pass yet.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits to be said.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.ending.is_none()
    }

    /// Content of stream `id`, and its end if there is one. A stream that is gone was told to its
    /// session, or will be.
    pub fn content(
        &mut self,
        connection: &mut Connection,
        id: u32,
        bytes: &[u8],
        ending: Option<Ending>,
    ) {
        let waits = !self.waiting.is_empty();
        self.ending = ending;
        if waits {
            return self.waiting.extend_from_slice(bytes);
        }
        match self.say(connection, id, bytes) {
            Ok(count) => self.waiting.extend_from_slice(bytes.get(count..).unwrap_or(&[])),
            Err(Gone) => self.forget(),
        }
    }

    /// Sends of `bytes` what the windows let, and the end behind the last one.
    fn say(&mut self, connection: &mut Connection, id: u32, bytes: &[u8]) -> Result<usize, Gone> {
        let last = matches!(self.ending, Some(Ending::Nothing));
        let count = connection.send_data(id, bytes, last)?;
        if count == bytes.len()
            && let Some(Ending::Trailers(trailers)) = self.ending.take()
        {
            connection.send_head(id, Say::Trailers, |block| block.trailers(&trailers))?;
        }
        Ok(count)
    }

    /// There is room in a window: what waits goes on. Whether any of it did.
    pub fn pump(&mut self, connection: &mut Connection, id: u32) -> bool {
        if self.is_empty() {
            return false;
        }
        let waiting = std::mem::take(&mut self.waiting);
        match self.say(connection, id, &waiting) {
            Ok(count) => {
                self.waiting = waiting;
                self.waiting.drain(..count);
                count > 0
            }
            Err(Gone) => {
                self.forget();
                true
            }
        }
    }

    /// Nothing of it is said any more.
    pub fn forget(&mut self) {
        *self = Flow::default();
    }
}
