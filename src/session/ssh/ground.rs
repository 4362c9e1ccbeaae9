//! What a login stands on, for as long as its connection lasts.
//!
//! In: what was proven, the settings and the time as they are now. Out: why the connection ends.
//! Never: a connection that outlives its key in the configuration, its certificate or its CA.

use std::net::IpAddr;

use super::login;
use crate::clock::Now;
use crate::fault::{Fault, FaultKind, Login};
use crate::identify::Identity;
use crate::session::Stage;
use crate::wire::Side;
use crate::wire::ssh::certificate::Certificate;
use crate::wire::ssh::key::Proof;

/// Clocks are set: the end of a certificate is looked at this often.
const LOOK_EVERY_US: u64 = 3_600_000_000;

/// What was proven.
#[derive(Debug)]
pub(super) enum Ground {
    /// A key of a user of the configuration.
    Key(Vec<u8>),
    /// A certificate, and what the signature of its key said.
    Certificate(Box<Certificate>, Proof),
    /// A token. Those of weir end with it; one of an issuer said who somebody was when they came.
    Token,
}

/// Who is connected, and why.
#[derive(Debug)]
pub(super) struct Standing {
    identity: Identity,
    ground: Ground,
    source: IpAddr,
    /// When time alone may have ended it.
    look_us: Option<u64>,
}

impl Standing {
    /// Of somebody who has proven who they are.
    pub fn new(identity: Identity, ground: Ground, source: IpAddr, now: Now) -> Standing {
        let mut standing = Standing { identity, ground, source, look_us: None };
        standing.wait(now);
        standing
    }

    /// When to look again.
    pub const fn look_us(&self) -> Option<u64> {
        self.look_us
    }

    /// Why the connection cannot go on.
    pub fn lapsed(&mut self, stage: &Stage<'_>) -> Option<Fault> {
        self.wait(stage.now);
        let over = |kind| Some(Fault::new(Side::Client, FaultKind::Login(kind)));
        let settings = &stage.snapshot.settings;
        match &self.ground {
            Ground::Key(blob) => {
                let user = settings.users.iter().find(|user| user.name == self.identity.user);
                let is_there = user.is_some_and(|user| user.keys.iter().any(|key| key == blob));
                if is_there { None } else { over(Login::KeyRemoved) }
            }
            Ground::Certificate(certificate, proof) => {
                match login::of_certificate(certificate, *proof, self.source, stage) {
                    Ok(found) if found.identity == self.identity => None,
                    // Its CA gives another name or other groups now, or none.
                    Ok(_) | Err(_) => over(Login::CertificateOver),
                }
            }
            Ground::Token => stage.snapshot.ends(&self.identity, stage.now),
        }
    }

    fn wait(&mut self, now: Now) {
        let Ground::Certificate(certificate, _) = &self.ground else { return };
        let wall_us = u64::try_from(now.wall_us).unwrap_or(0);
        let left_us = certificate.before.saturating_mul(1_000_000).saturating_sub(wall_us);
        self.look_us = Some(now.mono_us + left_us.min(LOOK_EVERY_US));
    }
}
