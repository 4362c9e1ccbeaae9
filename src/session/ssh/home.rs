//! Where relative paths of SFTP start from: weir asks before the client can name one.
//!
//! In: what a target says first. Out: a request of weir's own, then what was said without its
//! reply. Never: a client that has heard VERSION while the answer is due; a request beside those of
//! a client that did not wait for VERSION.
//!
//! Most clients ask REALPATH(".") first, some (scp, sshfs, libraries) name relative paths at once.
//!
//! ```text
//!   target --VERSION--> Before --REALPATH--> target
//!                         '--> Asked (all is kept back) --NAME, STATUS--> Over: VERSION --> client
//! ```

use crate::limits::SFTP_GREETING_BYTES_MAX;
use crate::wire::ssh::Broken;
use crate::wire::ssh::fields::Write as _;
use crate::wire::ssh::sftp::kind;

/// How far it is.
#[derive(Debug)]
pub(super) enum Greeting {
    /// What the target has said of its VERSION.
    Before(Vec<u8>),
    /// What it has said until the reply to this request.
    Asked(u32, Vec<u8>),
    /// Everything passes.
    Over,
}

impl Default for Greeting {
    fn default() -> Greeting {
        Greeting::Before(Vec::new())
    }
}

/// The number of weir's request. None of a client's is under way when it is asked.
pub(super) const ID: u32 = u32::from_be_bytes(*b"weir");

impl Greeting {
    /// Bytes of the target are kept back.
    ///
    /// # Errors
    /// `Flood` if it says more than it was asked.
    pub fn keep(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let (Greeting::Before(held) | Greeting::Asked(_, held)) = self else { return Ok(()) };
        held.extend_from_slice(bytes);
        if held.len() > SFTP_GREETING_BYTES_MAX { Err(Broken::Flood) } else { Ok(()) }
    }

    /// Whether bytes of the target are kept back.
    pub const fn keeps(&self) -> bool {
        !matches!(self, Greeting::Over)
    }

    /// The request that was made.
    pub fn asks(&mut self) {
        let held = self.end();
        *self = Greeting::Asked(ID, held);
    }

    /// All that was kept back passes.
    pub fn end(&mut self) -> Vec<u8> {
        match std::mem::replace(self, Greeting::Over) {
            Greeting::Before(held) | Greeting::Asked(_, held) => held,
            Greeting::Over => Vec::new(),
        }
    }

    /// The reply has come: what passes, without it, and how much less that is.
    pub fn answered(&mut self) -> (Vec<u8>, usize) {
        let held = self.end();
        let passes = without_reply(&held);
        let dropped = held.len() - passes.len();
        (passes, dropped)
    }
}

/// REALPATH of where one is.
pub(super) fn request() -> Vec<u8> {
    let mut fields = Vec::new();
    fields.push(kind::REALPATH);
    fields.put_u32(ID).put_string(b".");
    let mut packet = Vec::new();
    packet.put_string(&fields);
    packet
}

/// Packets without the reply to weir's request.
fn without_reply(packets: &[u8]) -> Vec<u8> {
    let mut passes = Vec::with_capacity(packets.len());
    let mut rest = packets;
    loop {
        let length = rest.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        let Some((packet, after)) = rest.split_at_checked(length.saturating_add(4)) else { break };
        if length == 0 {
            break;
        }
        let is_version = packet.get(4) == Some(&kind::VERSION);
        if is_version || packet.get(5..9) != Some(&ID.to_be_bytes()) {
            passes.extend_from_slice(packet);
        }
        rest = after;
    }
    passes.extend_from_slice(rest);
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, fields: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        packet.put_string(&[&[kind][..], fields].concat());
        packet
    }

    #[test]
    fn what_was_kept_back_passes_without_the_reply() {
        let version = packet(kind::VERSION, &[&3u32.to_be_bytes()[..], b"weir"].concat());
        let name = packet(kind::NAME, &[&ID.to_be_bytes()[..], b"fields"].concat());
        let other = packet(kind::STATUS, &[0, 0, 0, 7, 0]);
        let all = [&version[..], &other, &name, &other].concat();
        for at in 0..=all.len() {
            let mut greeting = Greeting::default();
            let (left, right) = all.split_at(at);
            greeting.keep(left).expect("it is short");
            greeting.asks();
            greeting.keep(right).expect("it is short");
            assert!(greeting.keeps());
            let passes = [&version[..], &other, &other].concat();
            assert_eq!(greeting.answered(), (passes, name.len()));
            assert!(!greeting.keeps() && greeting.end().is_empty());
        }
        // The start of another packet passes as it is, and so does what is none.
        for at in 0..other.len() {
            let cut = [&version[..], &name, &other[..at]].concat();
            assert_eq!(without_reply(&cut), [&version[..], &other[..at]].concat());
        }
        assert_eq!(without_reply(&[0; 9]), [0; 9]);
        assert_eq!(without_reply(&[0xff; 9]), [0xff; 9]);
    }

    #[test]
    fn a_target_that_says_too_much_is_cut_off() {
        let mut greeting = Greeting::default();
        assert_eq!(greeting.keep(&vec![0; SFTP_GREETING_BYTES_MAX]), Ok(()));
        assert_eq!(greeting.keep(b"x"), Err(Broken::Flood));
        assert_eq!(request(), b"\0\0\0\x0a\x10weir\0\0\0\x01.");
    }
}
