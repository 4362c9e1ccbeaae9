//! A client that gets no session: what it is told, and when it can hear it.
//!
//! In: what the client sends before any login. Out: what to answer.
//! Never: an error before the start-up packet. libpq 17 and asyncpg take one that answers an
//! SSLRequest for a broken server, and show none of it (fe-connect.c, `PQconnectPoll`).

use crate::wire::postgres::message::{FirstPacket, first_packet_bytes};
use crate::wire::postgres::reply::{self, Report};

/// As PostgreSQL says it when its own limit is met.
fn too_many(detail: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let report = Report {
        severity: "FATAL",
        sqlstate: "53300",
        message: "sorry, too many clients already",
        detail,
        hint: "",
    };
    reply::error(&mut bytes, &report);
    bytes
}

/// What follows from what the client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has not said enough.
    Wait,
    /// This, and it goes on.
    Say(&'static [u8]),
    /// This, and a handshake of TLS.
    StartTls(&'static [u8]),
    /// This is the end of it.
    Tell(Vec<u8>),
    /// It cannot be told anything.
    Leave,
}

/// A client that is turned away.
#[derive(Debug)]
pub struct TurnedAway {
    detail: &'static str,
    buffer: Vec<u8>,
    tls: Tls,
    gss_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    /// It is spoken if the client wants it.
    Offered,
    /// It is not, or was asked for already.
    No,
}

impl TurnedAway {
    /// Why, and whether TLS is to be spoken if the client asks for it.
    pub fn new(detail: &'static str, tls: bool) -> TurnedAway {
        let tls = if tls { Tls::Offered } else { Tls::No };
        TurnedAway { detail, buffer: Vec::new(), tls, gss_asked: false }
    }

    /// Bytes of the client; `Wait` once nothing more follows from them.
    pub fn hear(&mut self, bytes: &[u8]) -> Turn {
        self.buffer.extend_from_slice(bytes);
        // `sslnegotiation=direct`: the shard has put the ClientHello aside for TLS itself.
        if self.buffer.first() == Some(&0x16) && self.tls == Tls::Offered && !self.gss_asked {
            self.tls = Tls::No;
            self.buffer.clear();
            return Turn::StartTls(b"");
        }
        let Some(length) = self.buffer.first_chunk::<4>() else { return Turn::Wait };
        let Some(length) = first_packet_bytes(*length) else { return Turn::Leave };
        let Some(packet) = self.buffer.get(..length as usize) else { return Turn::Wait };
        let turn = match FirstPacket::parse(packet) {
            Some(FirstPacket::Ssl) if self.tls == Tls::Offered => {
                self.tls = Tls::No;
                // What came behind it in clear is not for the TLS connection.
                self.buffer.clear();
                return Turn::StartTls(b"S");
            }
            Some(FirstPacket::Ssl) => Turn::Say(b"N"),
            Some(FirstPacket::GssEnc) if self.gss_asked => Turn::Leave,
            Some(FirstPacket::GssEnc) => {
                self.gss_asked = true;
                Turn::Say(b"N")
            }
            Some(FirstPacket::Startup(_)) => Turn::Tell(too_many(self.detail)),
            Some(FirstPacket::Cancel(_)) | None => Turn::Leave,
        };
        self.buffer.drain(..length as usize);
        turn
    }

    /// It has said nothing for too long.
    pub fn give_up(&self) -> Vec<u8> {
        too_many(self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::postgres::message::{SSL_REQUEST_PACKET, cancel_packet};

    const GSSENC: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];
    const STARTUP: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";

    /// What is answered, with what is told as its tag.
    fn answers(tls: bool, packets: &[&[u8]]) -> String {
        let mut client = TurnedAway::new("full", tls);
        let mut said = String::new();
        let bytes = packets.concat();
        // One byte at a time, then nothing more until all is answered.
        for byte in bytes {
            match client.hear(&[byte]) {
                Turn::Wait => {}
                Turn::Say(answer) => said += std::str::from_utf8(answer).unwrap(),
                Turn::StartTls(answer) => {
                    said += std::str::from_utf8(answer).unwrap();
                    said.push('<');
                }
                Turn::Tell(error) => said += std::str::from_utf8(&error[..1]).unwrap(),
                Turn::Leave => return said + ".",
            }
        }
        said
    }

    #[test]
    fn a_client_hears_why_after_its_start_up_packet() {
        let ssl = SSL_REQUEST_PACKET.as_slice();
        let gss = GSSENC.as_slice();
        assert_eq!(answers(false, &[STARTUP]), "E");
        assert_eq!(answers(false, &[ssl, STARTUP]), "NE");
        assert_eq!(answers(false, &[gss, ssl, STARTUP]), "NNE");
        assert_eq!(answers(true, &[gss, ssl, STARTUP]), "NS<E");
        assert_eq!(answers(true, &[b"\x16", STARTUP]), "<E");
        assert_eq!(answers(false, &[gss, gss]), "N.");
        assert_eq!(answers(false, &[&cancel_packet(&[1; 8])]), ".");
        assert_eq!(answers(false, &[b"\x16\x03\x01\x02\0"]), ".");
        assert_eq!(answers(false, &[b"GET / HTTP/1.1\r\n"]), ".");
    }

    #[test]
    fn packets_that_come_together_are_answered_one_by_one() {
        let mut client = TurnedAway::new("full", false);
        let together = [&SSL_REQUEST_PACKET[..], STARTUP].concat();
        assert_eq!(client.hear(&together), Turn::Say(b"N"));
        assert!(matches!(client.hear(b""), Turn::Tell(error) if error.contains(&b'E')));
        assert_eq!(client.hear(b""), Turn::Wait);
    }
}
