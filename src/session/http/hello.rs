//! The first bytes of a client where TLS is spoken, and how it ends if they are none of that.
//!
//! In: the first bytes, faults of the handshake. Out: TLS, or a refusal in clear; a row for each
//! client that went no further.
//! Never: a request taken in clear; a client refused without a trace.
//!
//! ```text
//!   Silent --0x16--> Shaking --done--> (the connection is ready)
//!     | else: 400 in clear     | broken
//!     '------------------------+--> Closed, recorded
//! ```

use crate::fault::{Fault, FaultKind, Limit, Login, Malformed, Unsupported};
use crate::record::entry::Event as Noted;
use crate::session::{Output, Stage};
use crate::wire::http::reply::Manner;
use crate::wire::{End, Side};

use super::{Session, voice};

/// How far a client is whose listener speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// It has said nothing.
    Silent,
    /// It does a handshake.
    Shaking,
}

/// A record of TLS that has a message of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

impl Session {
    /// The first bytes in clear. Those of a handshake the shard has put aside for TLS itself.
    pub(super) fn first_words(&mut self, bytes: &[u8], stage: &mut Stage<'_>) -> Hello {
        let Some(first) = bytes.first() else { return Hello::Silent };
        if *first == HANDSHAKE {
            self.link.output(Output::StartTls(End::Client));
            return Hello::Shaking;
        }
        self.link.received += bytes.len() as u64;
        // Who speaks HTTP is told what is wrong, as other servers tell it; nothing of it is read.
        if first.is_ascii_uppercase() {
            let reply = voice::in_clear().reply(Manner::Problem);
            self.link.reply(&reply, false, true);
        }
        let why = FaultKind::Unsupported(Unsupported::PlaintextClient);
        self.not_shaken(Fault::new(Side::Client, why), stage);
        Hello::Silent
    }

    /// The client goes no further than this: recorded, as clients of PostgreSQL are.
    pub(super) fn not_shaken(&mut self, fault: Fault, stage: &mut Stage<'_>) {
        let (event, severity, message) = match fault.kind {
            FaultKind::Login(Login::Certificate) => (
                "connection-refused",
                "warn",
                "the client's certificate is missing, not trusted, expired or revoked",
            ),
            FaultKind::Malformed(Malformed::Tls) => ("connection-refused", "warn", "TLS failed"),
            FaultKind::Unsupported(_) => (
                "connection-refused",
                "warn",
                "the client spoke in clear where weir speaks TLS alone",
            ),
            FaultKind::Limit(Limit::LoginTime) => {
                ("connection-refused", "warn", "the client did not finish the handshake in time")
            }
            _ => ("connection-closed", "info", "the client left before it spoke TLS"),
        };
        let attrs = serde_json::json!({ "reason": fault.label() }).to_string();
        self.link.event(&Noted { event, severity, message, attrs: &attrs }, stage);
        self.close(Some(fault), stage);
    }
}
