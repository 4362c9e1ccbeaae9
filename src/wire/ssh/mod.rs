//! SSH, both roles: transport, authentication and the messages of the connection protocol.
//!
//! In: bytes of one peer, in any split, and messages to send. Out: messages, packets sealed for the
//! peer, typed views. Never: sockets, clocks, threads; what a rule, a record or a user is.
//!
//! Weir is a peer of its own on each leg: server for the client, client for the target. What is
//! transport (keys, packets, PING, EXT_INFO) ends at the leg; what is connection protocol (RFC
//! 4254) passes from one leg to the other, packet by packet.
//!
//! ```text
//!   version -> transport ----------------------------> userauth | login -> message
//!              | packet: length, padding, MAC           who it is          channels
//!              | kexinit: what both speak               key, certificate   ledger: windows
//!              | kex: the shared secret                                    slots: replies
//!              | derive: keys of both directions
//! ```

pub mod certificate;
pub mod cipher;
pub mod derive;
pub mod fields;
pub mod filters;
pub mod hosts;
pub mod kex;
pub mod kexinit;
pub mod key;
pub mod krl;
pub mod ledger;
pub mod message;
pub mod packet;
pub mod sftp;
pub mod signer;
pub mod slots;
#[cfg(test)]
mod testing;
pub mod transport;
pub mod userauth;
pub mod version;

/// What weir is on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer is a target.
    Client,
    /// The peer is a client of weir.
    Server,
}

/// Message numbers (RFC 4250 section 4.1, RFC 8308, OpenSSH's PROTOCOL 1.9).
pub mod number {
    #![allow(missing_docs, reason = "the names are those of the RFCs without their prefix SSH_MSG")]
    pub const DISCONNECT: u8 = 1;
    pub const IGNORE: u8 = 2;
    pub const UNIMPLEMENTED: u8 = 3;
    pub const DEBUG: u8 = 4;
    pub const SERVICE_REQUEST: u8 = 5;
    pub const SERVICE_ACCEPT: u8 = 6;
    pub const EXT_INFO: u8 = 7;
    pub const KEXINIT: u8 = 20;
    pub const NEWKEYS: u8 = 21;
    pub const KEX_ECDH_INIT: u8 = 30;
    pub const KEX_ECDH_REPLY: u8 = 31;
    pub const USERAUTH_REQUEST: u8 = 50;
    pub const USERAUTH_FAILURE: u8 = 51;
    pub const USERAUTH_SUCCESS: u8 = 52;
    pub const USERAUTH_BANNER: u8 = 53;
    pub const USERAUTH_PK_OK: u8 = 60;
    pub const USERAUTH_INFO_REQUEST: u8 = 60;
    pub const USERAUTH_INFO_RESPONSE: u8 = 61;
    pub const GLOBAL_REQUEST: u8 = 80;
    pub const REQUEST_SUCCESS: u8 = 81;
    pub const REQUEST_FAILURE: u8 = 82;
    pub const CHANNEL_OPEN: u8 = 90;
    pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    pub const CHANNEL_OPEN_FAILURE: u8 = 92;
    pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
    pub const CHANNEL_DATA: u8 = 94;
    pub const CHANNEL_EXTENDED_DATA: u8 = 95;
    pub const CHANNEL_EOF: u8 = 96;
    pub const CHANNEL_CLOSE: u8 = 97;
    pub const CHANNEL_REQUEST: u8 = 98;
    pub const CHANNEL_SUCCESS: u8 = 99;
    pub const CHANNEL_FAILURE: u8 = 100;
    pub const PING: u8 = 192;
    pub const PONG: u8 = 193;
}

/// Why a connection cannot go on. The peer is told [`Broken::reason`] and [`Broken::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The first line is not that of SSH 2, or bytes stand before it.
    Version,
    /// A packet longer than the bound of its time.
    PacketBytes,
    /// A packet whose length fits no cipher block, or whose padding fits no packet.
    PacketShape,
    /// The packet is not what the peer's key sealed.
    Integrity,
    /// The fields of a message are not those of its number.
    Fields,
    /// A message that may not come now.
    Order,
    /// Data beyond the window of a channel, or in a message longer than its receiver takes.
    Window,
    /// No algorithm that both sides have; the list says which.
    Negotiation(kexinit::List),
    /// The peer's share of the key exchange is no point, or leads to no secret.
    Share,
    /// The host key's signature over the exchange is wrong, or the host key changed in between.
    HostKey,
    /// The owner of this side does not know the host key.
    Untrusted,
    /// Strict key exchange was asked for and the peer has none.
    NotStrict,
    /// More key exchanges, PINGs or waiting replies than a peer may ask for.
    Flood,
    /// Too many packets under one key.
    Exhausted,
    /// The system gave no random bytes, or a key of weir's own failed to sign.
    Own,
}

impl Broken {
    /// The reason code of the DISCONNECT (RFC 4253 section 11.1).
    pub const fn reason(self) -> u32 {
        match self {
            Broken::Version => 8,
            Broken::Integrity => 5,
            Broken::Negotiation(_) | Broken::Share | Broken::NotStrict => 3,
            Broken::HostKey | Broken::Untrusted => 9,
            Broken::Own => 11,
            _ => 2,
        }
    }

    /// The words of the DISCONNECT.
    pub const fn text(self) -> &'static str {
        match self {
            Broken::Version => "the first line is not that of SSH 2.0",
            Broken::PacketBytes => "packet too long",
            Broken::PacketShape => "packet length or padding impossible",
            Broken::Integrity => "message authentication code incorrect",
            Broken::Fields => "malformed message",
            Broken::Order => "message out of order",
            Broken::Window => "data beyond the window or the maximum packet",
            Broken::Negotiation(list) => list.no_match(),
            Broken::Share => "key exchange failed",
            Broken::HostKey => "host key signature incorrect",
            Broken::Untrusted => "host key not known",
            Broken::NotStrict => "strict key exchange required",
            Broken::Flood => "too many requests of the transport",
            Broken::Exhausted => "too many packets under one key",
            Broken::Own => "internal error",
        }
    }
}
