//! The first packets: TLS or not, a cancel, and what the client asks for.
//!
//! In: bytes before any authentication. Out: `Asked`, and the first word of the proof.
//! Never: a packet whose length was not checked; bytes in clear after a TLS request.

use std::ops::RangeInclusive;

use crate::config::settings::{Settings, Target};
use crate::fault::{Fault, FaultKind, Login as LoginFault, Malformed, Unsupported};
use crate::session::postgres::target_login::MINOR_MAX;
use crate::wire::postgres::message::{FirstPacket, Startup, first_packet_bytes};
use crate::wire::postgres::reply;

use super::{Asked, CLIENT, Login, Progress, Replication, State, client_fault, malformed};
use crate::session::postgres::core::Office;
use crate::session::{Output, Stage};
use crate::wire::End;

/// Process id and key of a CancelRequest (protocol 3.2; 8 bytes before).
const CANCEL_KEY_BYTES: RangeInclusive<usize> = 8..=260;

impl Login {
    /// Whether these bytes are a TLS ClientHello instead of a packet (PostgreSQL 17,
    /// `sslnegotiation=direct`). The shard has put them aside for TLS itself.
    pub(super) fn starts_tls(&mut self, core: &mut Office, bytes: &[u8]) -> bool {
        let may = core.accepted.tls_available
            && self.tls.is_none()
            && !self.ssl_asked
            && !self.gss_asked
            && self.buffer.is_empty()
            && matches!(self.state, State::FirstPacket);
        let starts = may && bytes.first() == Some(&0x16);
        if starts {
            self.state = State::Handshake;
            self.direct_tls = true;
            core.output(Output::StartTls(End::Client));
        }
        starts
    }

    /// `None`: more bytes are needed.
    pub(super) fn first_packet(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Progress>, Fault> {
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let Some(length) = first_packet_bytes(*length) else {
            return Err(malformed(CLIENT, Malformed::StartupLength));
        };
        let Some(packet) = self.buffer.get(..length as usize) else { return Ok(None) };
        let packet = packet.to_vec();
        self.buffer.drain(..packet.len());
        match FirstPacket::parse(&packet) {
            None => Err(malformed(CLIENT, Malformed::StartupContent)),
            Some(FirstPacket::Ssl) => self.ssl_request(core),
            Some(FirstPacket::GssEnc) => {
                if std::mem::replace(&mut self.gss_asked, true) {
                    return Err(malformed(CLIENT, Malformed::MessageType));
                }
                core.client.say(b"N");
                Ok(Some(Progress::More))
            }
            Some(FirstPacket::Cancel(key)) if !CANCEL_KEY_BYTES.contains(&key.len()) => {
                Err(malformed(CLIENT, Malformed::StartupLength))
            }
            Some(FirstPacket::Cancel(key)) => {
                self.state = State::Over;
                core.output(Output::Signal(key.to_vec()));
                core.output(Output::Close(None));
                Ok(Some(Progress::Over))
            }
            Some(FirstPacket::Startup(startup)) => {
                self.startup(&startup, core, stage)?;
                Ok(Some(Progress::More))
            }
        }
    }

    fn ssl_request(&mut self, core: &mut Office) -> Result<Option<Progress>, Fault> {
        if std::mem::replace(&mut self.ssl_asked, true) || self.tls.is_some() {
            return Err(malformed(CLIENT, Malformed::MessageType));
        }
        if !core.accepted.tls_available {
            core.client.say(b"N");
            return Ok(Some(Progress::More));
        }
        if !self.buffer.is_empty() {
            return Err(malformed(CLIENT, Malformed::BytesBeforeTls));
        }
        core.client.say(b"S");
        core.output(Output::StartTls(End::Client));
        self.state = State::Handshake;
        Ok(Some(Progress::More))
    }

    fn startup(
        &mut self,
        startup: &Startup<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if startup.major != 3 {
            return Err(client_fault(FaultKind::Unsupported(Unsupported::ProtocolVersion)));
        }
        if core.accepted.tls_required && self.tls.is_none() {
            return Err(client_fault(FaultKind::Unsupported(Unsupported::PlaintextClient)));
        }
        let asked = asked(startup, stage)?;
        let unknown: Vec<&[u8]> =
            startup.params().map(|(name, _)| name).filter(|n| n.starts_with(b"_pq_.")).collect();
        if startup.minor > asked.agreed || !unknown.is_empty() {
            core.say(|out| reply::negotiate(out, asked.agreed, &unknown));
        }
        self.begin_proof(Box::new(asked), core, stage)
    }
}

/// Reads what is asked for. The versions a client and a target have in common count: a client must
/// not be told of more than it gets.
fn asked(startup: &Startup<'_>, stage: &Stage<'_>) -> Result<Asked, Fault> {
    let text = |name| String::from_utf8_lossy(startup.param(name).unwrap_or_default()).into_owned();
    let user = text("user");
    if user.is_empty() {
        return Err(client_fault(FaultKind::Login(LoginFault::NoUser)));
    }
    let replication = replication(startup.param("replication"))?;
    let mut database = Some(text("database")).filter(|d| !d.is_empty()).unwrap_or(user.clone());
    let targets = &stage.snapshot.settings;
    if replication == Some(Replication::Physical) && target(targets, &database).is_none() {
        // libpq's tools and standbys name no database in this case.
        let of_all = targets.targets.iter().find(|target| target.replication);
        database = of_all.map_or(database, |target| target.name.clone());
    }
    let known = target(targets, &database).and_then(|(at, _)| stage.snapshot.minors.get(at));
    let supported = known.map_or(MINOR_MAX, |known| known.get());
    let own: [&[u8]; 3] = [b"user", b"database", b"replication"];
    let params = startup
        .params()
        .filter(|(name, _)| !own.contains(name) && !name.starts_with(b"_pq_."))
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect();
    Ok(Asked {
        user,
        database,
        params,
        speaks: startup.minor,
        agreed: startup.minor.min(supported),
        replication,
    })
}

fn target<'s>(settings: &'s Settings, name: &str) -> Option<(usize, &'s Target)> {
    settings.targets.iter().enumerate().find(|(_, target)| target.name == name)
}

/// `database`, or a boolean as PostgreSQL reads one: any beginning of its words (bool.c,
/// `parse_bool_with_len`; `o` alone could be either).
fn replication(value: Option<&[u8]>) -> Result<Option<Replication>, Fault> {
    let Some(value) = value else { return Ok(None) };
    if value == b"database" {
        return Ok(Some(Replication::Logical));
    }
    let value = value.to_ascii_lowercase();
    let begins = |word: &[u8], least: usize| value.len() >= least && word.starts_with(&value);
    if value == b"1" || begins(b"true", 1) || begins(b"yes", 1) || begins(b"on", 2) {
        Ok(Some(Replication::Physical))
    } else if value == b"0" || begins(b"false", 1) || begins(b"no", 1) || begins(b"off", 2) {
        Ok(None)
    } else {
        Err(client_fault(FaultKind::Unsupported(Unsupported::ReplicationValue)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_read_as_postgresql_reads_it() {
        let check = |value: &str, expect: Result<Option<Replication>, ()>| {
            assert_eq!(replication(Some(value.as_bytes())).map_err(drop), expect, "{value}");
        };
        for value in ["true", "t", "TRUE", "yes", "y", "on", "1"] {
            check(value, Ok(Some(Replication::Physical)));
        }
        for value in ["false", "f", "no", "n", "off", "of", "0"] {
            check(value, Ok(None));
        }
        check("database", Ok(Some(Replication::Logical)));
        for value in ["", "o", "2", "Database", "truex"] {
            check(value, Err(()));
        }
        assert_eq!(replication(None), Ok(None));
    }
}
