//! Weir's own visit to an SSH target: which host key it shows.
//!
//! In: an address. Out: the server's version and key, proven. Never: a login; a key that is trusted
//! because it was seen.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::SSH_REKEY_BYTES;
use crate::wire::ssh::Role;
use crate::wire::ssh::cipher::{Cipher, Mac};
use crate::wire::ssh::hosts::HostTrust;
use crate::wire::ssh::kex::Method;
use crate::wire::ssh::kexinit::Offer;
use crate::wire::ssh::key::{Algorithm, SignatureAlgorithm};
use crate::wire::ssh::transport::{Step, Terms, Transport};

/// What a target shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The server's version line.
    pub version: String,
    /// Its host key, as it stands in messages.
    pub host_key: Vec<u8>,
}

/// Asks the server at an address for its host key; kinds of `known` keys are asked for first.
///
/// # Errors
/// A sentence on why there is none.
pub fn host_key(address: SocketAddr, known: &HostTrust, limit: Duration) -> Result<Shown, String> {
    let start = Instant::now();
    let mut socket = TcpStream::connect_timeout(&address, limit)
        .map_err(|error| format!("no connection to {address}: {error}"))?;
    let mut transport = Transport::new(terms(known), 0).map_err(|why| why.text().to_owned())?;
    let mut buffer = [0u8; 16 << 10];
    loop {
        match transport.next(0).map_err(|why| format!("{address}: {}", why.text()))? {
            Step::HostKey => {
                let version = transport.their_version().to_owned();
                return Ok(Shown { version, host_key: transport.host_key().to_vec() });
            }
            Step::Need => {}
            Step::Ready | Step::Message(_) => return Err(format!("{address}: out of order")),
        }
        let failed = |error: std::io::Error| format!("{address}: {error}");
        socket.write_all(&transport.take_output()).map_err(failed)?;
        let left = limit.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).map_err(failed)?;
        let count = loop {
            match socket.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(failed)?,
            }
        };
        if count == 0 || start.elapsed() > limit {
            return Err(format!("{address}: the server closed the connection, or is too slow"));
        }
        transport.feed(buffer.get(..count).unwrap_or(&[]));
    }
}

fn terms(known: &HostTrust) -> Arc<Terms> {
    let mut algorithms = known.algorithms();
    for other in SignatureAlgorithm::ALL.map(Algorithm::plain) {
        if !algorithms.contains(&other) {
            algorithms.push(other);
        }
    }
    Arc::new(Terms {
        role: Role::Client,
        offer: Offer {
            methods: Method::ALL.to_vec(),
            host_keys: algorithms,
            ciphers: Cipher::ALL.to_vec(),
            macs: Mac::ALL.to_vec(),
        },
        host_keys: Vec::new(),
        strict_required: false,
        rekey_bytes: SSH_REKEY_BYTES,
    })
}
