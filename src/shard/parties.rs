//! Who comes and goes: clients accepted, targets dialled, outputs of machines carried out.
//!
//! In: connections, outputs. Out: sessions in the slab, operations on the ring, messages.
//! Never: more clients than descriptors allow; a spin when those are short.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;

use super::contain::contain;
use super::core::{Accepting, Core, Drain};
use super::drive::Driver;
use super::errand::{CancelCall, Party};
use super::journal::ShardJournal;
use super::legs::LegState;
use super::mail::{Canceller, ToControl};
use super::mailbox::Peer;
use super::refusal::{self, Refusal, Words};
use super::ring::Token;
use super::strain::Strain;
use crate::accept::door::Shut;
use crate::accept::{TURNED_AWAY_MAX, socket};
use crate::fault::{Fault, FaultKind, Target};
use crate::forward::dial::Dial;
use crate::session::{
    Accepted, After, Driven, Event, Lease, Leased, Output, Refresh, Session, new_id,
};
use crate::wire::{End, LegId, Protocol};

/// After an accept failed for want of descriptors, the next one comes this much later.
const ACCEPT_PAUSE_US: u64 = 100_000;

/// A shard keeps its clients while it has at most so many more than another one ...
const UNEVEN_MIN: u64 = 4;
/// ... and besides at most this part (one in so many) of what the other one has.
const UNEVEN_PART: u64 = 8;

impl<J: ShardJournal> Core<J> {
    /// A client of a listener connected, or the attempt to accept one failed.
    pub(super) fn accepted(&mut self, listener: usize, client: io::Result<TcpStream>, armed: bool) {
        let mut pause = false;
        match client {
            Ok(client) => {
                self.counters.accepted.add(1);
                if let Err(client) = self.give_away(listener, client) {
                    self.admit(listener, client);
                }
            }
            Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => {}
            Err(e) => {
                self.counters.accept_errors.add(1);
                pause = e.raw_os_error() != Some(libc::ECONNABORTED);
                if pause {
                    self.strained(Strain::Descriptors);
                }
            }
        }
        let Some(doorway) = self.doorways.get_mut(listener).filter(|_| !armed) else { return };
        if doorway.accepting == Accepting::Stopped {
            doorway.listener = None;
        } else {
            let delay_us = if pause { ACCEPT_PAUSE_US } else { 0 };
            doorway.accepting = Accepting::Paused { until_us: self.now.mono_us + delay_us };
        }
    }

    /// Accepts again once a pause is over.
    pub(super) fn keep_accepting(&mut self) {
        for (index, doorway) in self.doorways.iter_mut().enumerate() {
            if let Accepting::Paused { until_us } = doorway.accepting
                && until_us <= self.now.mono_us
                && let Some(listener) = &doorway.listener
            {
                self.ring.accept(index, listener.as_fd());
                doorway.accepting = Accepting::Armed;
            }
        }
    }

    /// Lets nobody in any more.
    pub(super) fn stop_accepting(&mut self) {
        for (index, doorway) in self.doorways.iter_mut().enumerate() {
            if doorway.accepting == Accepting::Armed {
                self.ring.cancel_accept(index);
            } else {
                doorway.listener = None;
            }
            doorway.accepting = Accepting::Stopped;
        }
    }

    /// Whether the kernel, too, lets nobody in any more.
    pub(super) fn has_stopped_accepting(&self) -> bool {
        self.doorways.iter().all(|doorway| doorway.listener.is_none())
    }

    /// Gives a client to the shard with the fewest, when this one has many more: the kernel spreads
    /// connections by a hash of their addresses, which does not look at how many there are.
    fn give_away(&mut self, listener: usize, client: TcpStream) -> Result<(), TcpStream> {
        let Some(own) = self.peers.get(self.shard).map(Peer::load) else { return Err(client) };
        let others = self.peers.iter().enumerate().filter(|(shard, _)| *shard != self.shard);
        match others.map(|(_, peer)| peer).min_by_key(|peer| peer.load()) {
            Some(peer) if own > peer.load() + UNEVEN_MIN + peer.load() / UNEVEN_PART => {
                peer.give(listener, client)?;
                self.counters.given.add(1);
                Ok(())
            }
            _ => Err(client),
        }
    }

    /// Takes a client in that another shard gives away.
    pub(super) fn adopt(&mut self, listener: usize, client: TcpStream) {
        if let Some(own) = self.peers.get(self.shard) {
            own.arrived();
        }
        self.admit(listener, client);
    }

    fn admit(&mut self, listener: usize, client: TcpStream) {
        // A client that is gone already has no address.
        let Ok(client_addr) = client.peer_addr() else { return };
        let Some(doorway) = self.doorways.get(listener) else { return };
        let protocol = doorway.protocol;
        if self.drain != Drain::No {
            self.counters.refused.add(1);
            self.counters.closed.add("drain");
            return;
        }
        if self.sessions.len() - self.turned_away >= self.sessions_max {
            self.strained(Strain::Sessions);
            // Whoever asks for TLS alone is told of it by TLS, as PostgreSQL does.
            let tls = self.tls.accepts(listener);
            return self.turn_away((protocol, listener, tls), client, refusal::CLIENTS);
        }
        let visit = match doorway.door.enter(client_addr.ip(), self.now.mono_us) {
            Ok(visit) => visit,
            Err(shut) => {
                return self.shut_door((protocol, listener), (client, client_addr), shut);
            }
        };
        let listen = self.tools.snapshot.settings.listeners.get(listener);
        let tls = listen.and_then(|listen| listen.tls.as_ref());
        let tls_required = tls.is_some_and(|tls| tls.required);
        let stage = &mut self.tools.stage(self.now);
        let accepted = Accepted {
            session_id: new_id(stage.now, stage.random),
            listener,
            protocol,
            client_addr,
            tls_available: self.tls.accepts(listener),
            tls_required,
        };
        match contain(|| Session::accept(accepted, stage)) {
            Ok(session) => {
                let mut driver = Driver::new(Party::Session(session), Some(client));
                driver.visit = Some(visit);
                driver.listener = listener;
                self.insert_driver(driver);
            }
            Err(_) => self.counters.panics.add(1),
        }
    }

    pub(super) fn insert_cancel(&mut self, call: CancelCall, cancellers: Vec<Canceller>) {
        let mut driver = Driver::new(Party::Cancel(call), None);
        driver.cancellers = cancellers;
        self.insert_driver(driver);
    }

    fn insert_driver(&mut self, driver: Driver) {
        let token = self.sessions.insert(Box::new(driver));
        self.counters.connections.set(self.sessions.len() as u64);
        self.touch(token);
    }

    /// The control thread hears of it now and then.
    pub(super) fn strained(&mut self, strain: Strain) {
        if let Some(times) = self.strains.note(strain, self.now.mono_us) {
            self.reports.send(ToControl::Strained { strain, times });
        }
    }

    fn turn_away(
        &mut self,
        (protocol, listener, tls): (Protocol, usize, bool),
        client: TcpStream,
        words: Words,
    ) {
        self.counters.refused.add(1);
        self.counters.closed.add(words.reason);
        if self.turned_away < TURNED_AWAY_MAX {
            self.turned_away += 1;
            let refusal = Refusal::new(protocol, words, tls, self.now.mono_us);
            let mut driver = Driver::new(Party::Refusal(refusal), Some(client));
            driver.listener = listener;
            self.insert_driver(driver);
        }
    }

    /// Too many clients wait at the door.
    fn shut_door(
        &mut self,
        (protocol, listener): (Protocol, usize),
        (client, client_addr): (TcpStream, SocketAddr),
        shut: Shut,
    ) {
        self.counters.shut_out.add(1);
        let words = match shut {
            Shut::Address => refusal::FROM_ADDRESS,
            Shut::Total => refusal::UNPROVEN,
            Shut::Rate => refusal::AT_ONCE,
        };
        if let Some(count) = self.shut_out.count(self.now.mono_us) {
            let stage = &mut self.tools.stage(self.now);
            refusal::record((protocol, client_addr), (words, count), stage);
        }
        // The door is there so that floods cost little: no handshake for them.
        self.turn_away((protocol, listener, false), client, words);
    }

    /// Carries out what a session asks for. `direct` is the end whose very first bytes are a TLS
    /// handshake; `true` when TLS was started there.
    pub(super) fn outputs(&mut self, token: Token, direct: Option<End>) -> bool {
        let mut started = false;
        while let Some(driver) = self.sessions.get_mut(token)
            && let Some(output) = driver.poll_output()
        {
            if let Output::StartTls(end) = output {
                let tls = match end {
                    End::Client => self.tls.accept(driver.listener),
                    End::Target(leg) => driver.dial(leg).and_then(|dial| {
                        dial.endpoint().and_then(|to| self.tls.connect(dial.target, &to.host))
                    }),
                };
                driver.start_tls(end, tls, &mut self.tools.stage(self.now));
                started |= direct == Some(end);
            } else {
                self.carry_out(token, output);
            }
        }
        if let Some(driver) = self.sessions.get_mut(token) {
            if let Party::Session(_) = driver.party() {
                // Nothing was there to cancel at the target.
                driver.cancellers.clear();
            }
            if driver.party().is_closed() {
                driver.close(self.now.mono_us);
            }
        }
        started
    }

    fn carry_out(&mut self, token: Token, output: Output) {
        match output {
            Output::StartTls(_) => unreachable!("handled by the caller"),
            Output::Lease(lease) => self.lease(token, lease),
            Output::Next(leg, why) => self.leave_server(token, leg, why),
            Output::Settled(leg) => {
                let Some(driver) = self.sessions.get_mut(token) else { return };
                let target = driver.dial(leg).map(|dial| dial.target);
                driver.settled(leg);
                if let Some(target) = target {
                    self.note_reach(target, None);
                }
            }
            Output::Release(leg, after) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.release(leg, after);
                    self.touch(token);
                }
            }
            Output::AskOpened(ask) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.asks.push(ask.id);
                }
                self.asks.insert(ask.id, token);
                self.reports.send(ToControl::AskOpened { shard: self.shard, ask });
            }
            Output::AskClosed(id, event) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.asks.retain(|open| *open != id);
                }
                self.asks.remove(&id);
                self.reports.send(ToControl::AskClosed { id, event });
            }
            Output::Window(window) => self.reports.send(ToControl::Window(window)),
            Output::Refresh(Refresh::Catalog(target)) => {
                self.reports.send(ToControl::RefreshCatalog { target });
            }
            Output::Refresh(Refresh::Keys(issuer)) => {
                self.reports.send(ToControl::RefreshKeys { issuer });
            }
            Output::Named(name) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.names.push(name.clone());
                }
                self.names.insert(name, token);
            }
            Output::Signal(name) => self.signal(token, name),
            Output::Errand(dial, key) => self.errand(token, dial, key),
            Output::Close(fault) => {
                if let Some(fault) = fault
                    && let Some(driver) = self.sessions.get_mut(token)
                    && let Party::Session(_) = driver.party()
                {
                    self.counters.closed.add(fault.label());
                }
                if fault.is_some_and(|fault| fault.is_of_tls()) {
                    self.counters.tls_failed.add(1);
                }
                let Some(driver) = self.sessions.get_mut(token) else { return };
                let target = driver.dial(LegId::FIRST).map(|dial| dial.target);
                driver.close(self.now.mono_us);
                if let Some(target) = target
                    && let Some(why) = fault.and_then(|fault| fault.of_target())
                {
                    self.note_reach(target, Some(why));
                }
            }
        }
    }

    /// A connection that was given back, if one of the same terms stands; else a new one.
    fn lease(&mut self, token: Token, lease: Lease) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        driver.visit = None;
        let leg = lease.leg;
        let now_us = self.now.mono_us;
        let waited_us_max = lease.waited_us_max;
        let take = |terms| self.idle.take(terms, now_us, waited_us_max);
        let idle = lease.reuse.as_ref().and_then(take);
        let stage = &mut self.tools.stage(self.now);
        if !driver.lease(lease, self.idle.age()) {
            return driver.tell(Event::Leg(leg, Err(Target::Closed)), stage);
        }
        match idle {
            Some((connection, leased)) => {
                driver.reuse(leg, connection, leased, stage);
                self.touch(token);
            }
            None => self.dial_next(token, leg),
        }
    }

    /// Looks after the connections that a session has left or released; `true` when something
    /// may be able to move.
    pub(super) fn follow_legs(&mut self, token: Token) -> bool {
        let mut moved = false;
        while let Some(driver) = self.sessions.get_mut(token)
            && let Some(parted) = driver.take_parted()
        {
            moved = true;
            if let LegState::Parting(After::Keep(kept)) = parted.state
                && let Some(endpoint) = parted.endpoint
                && parted.age == self.idle.age()
            {
                self.idle.give(kept, parted.leg, endpoint, self.now.mono_us);
            }
        }
        while let Some(driver) = self.sessions.get_mut(token)
            && let Some(leg) = driver.left()
        {
            moved = true;
            self.dial_next(token, leg);
        }
        moved
    }

    fn signal(&mut self, token: Token, name: Vec<u8>) {
        let driver = self.sessions.get_mut(token);
        let client = driver.and_then(|driver| driver.part_with_client());
        if let Err(client) = self.cancel(&name, client) {
            self.reports.send(ToControl::Cancel { shard: self.shard, key: name, client });
        }
    }

    fn errand(&mut self, token: Token, dial: Box<Dial>, key: Vec<u8>) {
        let Some(target) = self.tools.snapshot.settings.targets.get(dial.target) else { return };
        let call = CancelCall::new(dial, (target.tls, target.negotiation), key, self.now.mono_us);
        let driver = self.sessions.get_mut(token);
        let cancellers = driver.map(|driver| std::mem::take(&mut driver.cancellers));
        self.insert_cancel(call, cancellers.unwrap_or_default());
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
        let Some(&token) = self.names.get(key) else { return Err(client) };
        let Some(driver) = self.sessions.get_mut(token) else { return Err(client) };
        driver.cancellers.extend(client);
        driver.tell(Event::Signal, &mut self.tools.stage(self.now));
        self.touch(token);
        Ok(())
    }

    /// The server that was reached is of no use; the next one is dialled when this one is gone.
    fn leave_server(&mut self, token: Token, leg: LegId, why: Target) {
        let Core { sessions, tools, pool, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return };
        if let Some(dial) = driver.dial(leg) {
            dial.failed(why);
        }
        driver.leave(leg, tools.journal.written(), pool);
        self.touch(token);
    }

    /// Dials the next address of a leg's target, if the session still wants one.
    fn dial_next(&mut self, token: Token, leg: LegId) {
        let now_us = self.now.mono_us;
        let Some(driver) = self.sessions.get_mut(token).filter(|driver| driver.is_live()) else {
            return;
        };
        let Some(dial) = driver.dial(leg) else { return };
        let targets = &self.tools.snapshot.settings.targets;
        let keepalive = targets.get(dial.target).map(|target| target.reach.keepalive);
        let failure = loop {
            match dial.next(now_us) {
                Err(failure) => break failure,
                Ok(address) => match socket::stream(address, &keepalive.unwrap_or_default()) {
                    Err(e) => dial.unconnected(&e),
                    Ok(socket) => {
                        self.ring.connect((token, End::Target(leg)), socket.as_fd(), address);
                        driver.connecting(leg, TcpStream::from(socket));
                        return;
                    }
                },
            }
        };
        let target = dial.target;
        driver.unreached(leg, failure, &mut self.tools.stage(self.now));
        self.touch(token);
        self.note_reach(target, Some(failure));
    }

    fn note_reach(&mut self, target: usize, failure: Option<Target>) {
        if self.outages.note(target, failure, self.now.mono_us) {
            self.reports.send(ToControl::Reach { target, failure });
        }
    }

    /// A connection to a target is made, or the attempt failed.
    pub(super) fn connected(&mut self, token: Token, end: End, result: io::Result<()>) {
        let End::Target(leg) = end else { return };
        let Some(driver) = self.sessions.get_mut(token) else { return };
        match result {
            Ok(()) => {
                let wanted = driver.connected(leg);
                let (endpoint, own) = (driver.reached(leg), driver.own_address(leg));
                if wanted && let Some(endpoint) = endpoint {
                    driver.lend(&mut self.pool);
                    let leased = Leased { endpoint, own, reused: None };
                    let stage = &mut self.tools.stage(self.now);
                    driver.tell(Event::Leg(leg, Ok(leased)), stage);
                }
            }
            Err(e) => {
                if driver.unconnected(leg)
                    && let Some(dial) = driver.dial(leg)
                {
                    dial.unconnected(&e);
                    self.dial_next(token, leg);
                }
            }
        }
        self.touch(token);
    }

    /// The time of an attempt is over: the connection, or the login behind it, took too long.
    pub(super) fn dial_expired(&mut self, token: Token, leg: LegId) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        let end = End::Target(leg);
        if driver.is_dialling(leg) {
            self.ring.cancel_connect(token, end);
        } else if driver.is_live() {
            driver.lend(&mut self.pool);
            let fault = Fault::new(end.side(), FaultKind::Target(Target::Timeout));
            driver.tell(Event::Broken(end, fault), &mut self.tools.stage(self.now));
        }
    }
}
