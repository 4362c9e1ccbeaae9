//! Who comes and goes: clients accepted, targets dialled, outputs of machines carried out.
//!
//! In: connections, outputs. Out: sessions in the slab, operations on the ring, messages.
//! Never: more clients than descriptors allow; a spin when those are short.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;

use super::contain::contain;
use super::core::{Accepting, Core, Drain};
use super::errand::{CancelCall, Party};
use super::journal::ShardJournal;
use super::mail::{Canceller, ToControl};
use super::mailbox::Peer;
use super::refusal::{self, Refusal, Words};
use super::ring::Token;
use crate::accept::door::Shut;
use crate::accept::{TURNED_AWAY_MAX, socket};
use crate::fault::{Fault, FaultKind, Target};
use crate::session::Output;
use crate::session::{Accepted, new_id};
use crate::shard::drive::{Driven, Driver, SessionMachine};
use crate::wire::Side;

/// After an accept failed for want of descriptors, the next one comes this much later.
const ACCEPT_PAUSE_US: u64 = 100_000;

/// A shard keeps its clients while it has at most so many more than another one ...
const UNEVEN_MIN: u64 = 4;
/// ... and besides at most this part (one in so many) of what the other one has.
const UNEVEN_PART: u64 = 8;

impl<M: SessionMachine, J: ShardJournal> Core<M, J> {
    /// A client connected, or the attempt to accept one failed.
    pub(super) fn accepted(&mut self, client: io::Result<TcpStream>, armed: bool) {
        let mut pause = false;
        match client {
            Ok(client) => {
                self.counters.accepted.add(1);
                if let Err(client) = self.give_away(client) {
                    self.admit(client);
                }
            }
            Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => {}
            Err(e) => {
                self.counters.accept_errors.add(1);
                pause = e.raw_os_error() != Some(libc::ECONNABORTED);
            }
        }
        if armed {
            return;
        }
        if self.accepting == Accepting::Stopped {
            self.listener = None;
        } else {
            let delay_us = if pause { ACCEPT_PAUSE_US } else { 0 };
            self.accepting = Accepting::Paused { until_us: self.now.mono_us + delay_us };
        }
    }

    /// Accepts again once a pause is over.
    pub(super) fn keep_accepting(&mut self) {
        if let Accepting::Paused { until_us } = self.accepting
            && until_us <= self.now.mono_us
            && let Some(listener) = &self.listener
        {
            self.ring.accept(listener.as_fd());
            self.accepting = Accepting::Armed;
        }
    }

    /// Gives a client to the shard with the fewest, when this one has many more: the kernel spreads
    /// connections by a hash of their addresses, which does not look at how many there are.
    fn give_away(&mut self, client: TcpStream) -> Result<(), TcpStream> {
        let Some(own) = self.peers.get(self.shard).map(Peer::load) else { return Err(client) };
        let others = self.peers.iter().enumerate().filter(|(shard, _)| *shard != self.shard);
        match others.map(|(_, peer)| peer).min_by_key(|peer| peer.load()) {
            Some(peer) if own > peer.load() + UNEVEN_MIN + peer.load() / UNEVEN_PART => {
                peer.give(client)?;
                self.counters.given.add(1);
                Ok(())
            }
            _ => Err(client),
        }
    }

    /// Takes a client in that another shard gives away.
    pub(super) fn adopt(&mut self, client: TcpStream) {
        if let Some(own) = self.peers.get(self.shard) {
            own.arrived();
        }
        self.admit(client);
    }

    fn admit(&mut self, client: TcpStream) {
        // A client that is gone already has no address.
        let Ok(client_addr) = client.peer_addr() else { return };
        if self.drain != Drain::No {
            self.counters.refused.add(1);
            return;
        }
        if self.sessions.len() - self.turned_away >= self.sessions_max {
            return self.turn_away(client, refusal::CLIENTS);
        }
        let visit = match self.door.enter(client_addr.ip()) {
            Ok(visit) => visit,
            Err(shut) => return self.shut_door(client, client_addr, shut),
        };
        let listen = &self.tools.snapshot.settings.postgres;
        let tls_required = listen.tls.as_ref().is_some_and(|tls| tls.required);
        let stage = &mut self.tools.stage(self.now);
        let accepted = Accepted {
            session_id: new_id(stage.now, stage.random),
            client_addr,
            tls_available: self.tls.accepts(),
            tls_required,
        };
        match contain(|| M::accept(accepted, stage)) {
            Ok(machine) => {
                let mut driver = Driver::new(Party::Session(machine), Some(client));
                driver.visit = Some(visit);
                self.insert_driver(driver);
            }
            Err(_) => self.counters.panics.add(1),
        }
    }

    fn insert(&mut self, party: Party<M>, client: Option<TcpStream>) {
        self.insert_driver(Driver::new(party, client));
    }

    pub(super) fn insert_cancel(&mut self, call: CancelCall, cancellers: Vec<Canceller>) {
        let mut driver = Driver::new(Party::Cancel(call), None);
        driver.cancellers = cancellers;
        self.insert_driver(driver);
    }

    fn insert_driver(&mut self, driver: Driver<Party<M>>) {
        let token = self.sessions.insert(Box::new(driver));
        self.counters.connections.set(self.sessions.len() as u64);
        self.touch(token);
    }

    fn turn_away(&mut self, client: TcpStream, words: Words) {
        self.counters.refused.add(1);
        if self.turned_away < TURNED_AWAY_MAX {
            self.turned_away += 1;
            self.insert(Party::Refusal(Refusal::new(words)), Some(client));
        }
    }

    /// Too many clients wait at the door.
    fn shut_door(&mut self, client: TcpStream, client_addr: SocketAddr, shut: Shut) {
        self.counters.shut_out.add(1);
        let words = match shut {
            Shut::Address => refusal::FROM_ADDRESS,
            Shut::Total => refusal::UNPROVEN,
        };
        if let Some(count) = self.shut_out.count(self.now.mono_us) {
            refusal::record(client_addr, (words, count), &mut self.tools.stage(self.now));
        }
        self.turn_away(client, words);
    }

    /// Carries out what a machine asks for. `direct` is the side whose very first bytes are a TLS
    /// handshake; `true` when TLS was started there.
    pub(super) fn outputs(&mut self, token: Token, direct: Option<Side>) -> bool {
        let mut started = false;
        while let Some(driver) = self.sessions.get_mut(token)
            && let Some(output) = driver.poll_output()
        {
            if let Output::StartTls(side) = output {
                let tls = match side {
                    Side::Client => self.tls.accept(),
                    Side::Server => driver.dial.as_ref().and_then(|dial| {
                        dial.endpoint().and_then(|to| self.tls.connect(dial.target, &to.host))
                    }),
                };
                driver.start_tls(side, tls, &mut self.tools.stage(self.now));
                started |= direct == Some(side);
            } else {
                self.carry_out(token, output);
            }
        }
        if let Some(driver) = self.sessions.get_mut(token) {
            if let Party::Session(_) = driver.machine() {
                // Nothing was there to cancel at the target.
                driver.cancellers.clear();
            }
            if driver.machine().is_closed() {
                driver.close(self.now.mono_us);
            }
        }
        started
    }

    fn carry_out(&mut self, token: Token, output: Output) {
        let shard = self.shard;
        match output {
            Output::StartTls(_) => unreachable!("handled by the caller"),
            Output::Dial(dial) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.visit = None;
                    driver.dial = Some(dial);
                    self.dial_next(token);
                }
            }
            Output::DialNext(why) => self.leave_server(token, why),
            Output::LoggedIn => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.dial = None;
                }
            }
            Output::AskOpened(ask) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.asks.push(ask.id);
                }
                self.asks.insert(ask.id, token);
                self.reports.send(ToControl::AskOpened { shard, ask });
            }
            Output::AskClosed(id, event) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.asks.retain(|open| *open != id);
                }
                self.asks.remove(&id);
                self.reports.send(ToControl::AskClosed { id, event });
            }
            Output::RefreshCatalog(target) => {
                self.reports.send(ToControl::RefreshCatalog { target });
            }
            Output::RefreshKeys(issuer) => {
                self.reports.send(ToControl::RefreshKeys { issuer });
            }
            Output::CancelKey(key) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.cancel_keys.push(key.clone());
                }
                self.cancel_keys.insert(key, token);
            }
            Output::Cancel(key) => {
                let driver = self.sessions.get_mut(token);
                let client = driver.and_then(|driver| driver.part_with_client());
                if let Err(client) = self.cancel(&key, client) {
                    self.reports.send(ToControl::Cancel { shard, key, client });
                }
            }
            Output::CancelAtTarget(dial, key) => {
                let settings = &self.tools.snapshot.settings;
                if let Some(target) = settings.targets.get(dial.target) {
                    let tls = (target.tls, target.negotiation);
                    let call = CancelCall::new(dial, tls, key, self.now.mono_us);
                    let driver = self.sessions.get_mut(token);
                    let cancellers = driver.map(|driver| std::mem::take(&mut driver.cancellers));
                    self.insert_cancel(call, cancellers.unwrap_or_default());
                }
            }
            Output::Close(_) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.close(self.now.mono_us);
                }
            }
        }
    }

    /// Hands a CancelRequest to the session that owns the key.
    ///
    /// # Errors
    /// None does: the client is given back.
    pub(super) fn cancel(
        &mut self,
        key: &[u8],
        client: Option<Canceller>,
    ) -> Result<(), Option<Canceller>> {
        let Some(&token) = self.cancel_keys.get(key) else { return Err(client) };
        let Some(driver) = self.sessions.get_mut(token) else { return Err(client) };
        driver.cancellers.extend(client);
        driver.call(&mut self.tools.stage(self.now), |party, stage| {
            if let Party::Session(machine) = party {
                machine.handle_cancel(stage);
            }
        });
        self.touch(token);
        Ok(())
    }

    /// The server that was reached is of no use; the next one is dialled when this one is gone.
    fn leave_server(&mut self, token: Token, why: Target) {
        let Core { sessions, tools, pool, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return };
        if let Some(dial) = &mut driver.dial {
            dial.failed(why);
        }
        driver.leave_server(tools.journal.written(), pool);
        self.touch(token);
    }

    /// Dials the next address of the session's target, if it still wants one.
    pub(super) fn dial_next(&mut self, token: Token) {
        let Some(driver) = self.sessions.get_mut(token).filter(|driver| driver.is_live()) else {
            return;
        };
        let Some(dial) = &mut driver.dial else { return };
        let targets = &self.tools.snapshot.settings.targets;
        let keepalive = targets.get(dial.target).map(|target| target.reach.keepalive);
        let failure = loop {
            match dial.next(self.now.mono_us) {
                Err(failure) => break failure,
                Ok(address) => match socket::stream(address, &keepalive.unwrap_or_default()) {
                    Err(e) => dial.unconnected(&e),
                    Ok(socket) => {
                        self.ring.connect(token, socket.as_fd(), address);
                        driver.connecting(TcpStream::from(socket));
                        return;
                    }
                },
            }
        };
        driver.dial = None;
        driver.call(&mut self.tools.stage(self.now), |machine, stage| {
            machine.handle_dialed(Err(failure), stage);
        });
    }

    /// A connection to a target is made, or the attempt failed.
    pub(super) fn connected(&mut self, token: Token, result: io::Result<()>) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        match result {
            Ok(()) => {
                let wanted = driver.connected();
                let endpoint = driver.dial.as_ref().and_then(|dial| dial.endpoint().cloned());
                if wanted && let Some(endpoint) = endpoint {
                    driver.lend(&mut self.pool);
                    driver.call(&mut self.tools.stage(self.now), |machine, stage| {
                        machine.handle_dialed(Ok(endpoint), stage);
                    });
                }
            }
            Err(e) => {
                let wanted = driver.is_live();
                driver.unconnected();
                match &mut driver.dial {
                    Some(dial) if wanted => {
                        dial.unconnected(&e);
                        self.dial_next(token);
                    }
                    _ => driver.dial = None,
                }
            }
        }
        self.touch(token);
    }

    /// The time of an attempt is over: the connection, or the login behind it, took too long.
    pub(super) fn dial_expired(&mut self, token: Token) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        if !driver.dial.as_mut().is_some_and(|dial| dial.expire(self.now.mono_us)) {
            return;
        }
        if driver.is_dialling() {
            self.ring.cancel_connect(token);
        } else if driver.is_live() {
            driver.lend(&mut self.pool);
            driver.call(&mut self.tools.stage(self.now), |machine, stage| {
                let fault = Fault::new(Side::Server, FaultKind::Target(Target::Timeout));
                machine.handle_broken(fault, stage);
            });
        }
    }
}
