//! The machine of these tests: a plain relay that does what the first byte of a client says.

use super::*;

/// Dials target 0 at once and relays; the first byte of the client may ask for more.
pub(super) struct Relay {
    client: Outbox,
    server: Outbox,
    outputs: VecDeque<Output>,
    early: Vec<u8>,
    endpoint: Option<Endpoint>,
    closed: bool,
    mode: Mode,
    session: SessionRef,
    seq: u64,
    durability: Durability,
    timer_us: Option<u64>,
    key: Vec<u8>,
    id: SessionId,
    meter: Arc<TargetMeter>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    New,
    Relay,
}

/// Nobody listens here, and nobody without the rights of root can; a port that was free a moment
/// ago may be somebody's.
pub(super) const DEAD: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

pub(super) const PANIC: u8 = b'!';
pub(super) const TLS_CLIENT: u8 = b'S';
pub(super) const TLS_SERVER: u8 = b'T';
pub(super) const SYNC: u8 = b'D';
pub(super) const TIMER: u8 = b'W';
pub(super) const KEY: u8 = b'K';
pub(super) const CANCEL: u8 = b'C';
pub(super) const DIAL: u8 = b'L';
pub(super) const NEXT: u8 = b'N';

#[derive(Debug)]
pub(super) struct Relayed;

impl Plumbing for Relayed {}

impl Relay {
    fn relay(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>) {
        if side == Side::Client && self.endpoint.is_none() {
            self.early.extend_from_slice(bytes);
            return;
        }
        self.seq += 1;
        let event = Event { event: "relay", severity: "info", message: "", attrs: "{}" };
        let entry = Entry::Event(event);
        let receipt = stage.journal.append(self.session, self.seq, stage.now, &entry);
        let receipt = receipt.expect("the journal has room");
        let permit = Permit::plumbing(Relayed);
        self.outbox_of(side.peer()).forward(permit, receipt, bytes);
    }

    fn first(&mut self, bytes: &[u8], stage: &mut Stage<'_>) {
        self.mode = Mode::Relay;
        match bytes.first() {
            Some(&PANIC) => panic!("a machine that is wrong"),
            Some(&TLS_CLIENT) => {
                self.client.say(b"S");
                self.outputs.push_back(Output::StartTls(End::Client));
            }
            Some(&0x16) => self.outputs.push_back(Output::StartTls(End::Client)),
            Some(&TLS_SERVER) => {
                self.outputs.push_back(Output::StartTls(End::Target(LegId::FIRST)))
            }
            Some(&SYNC) => {
                self.durability = Durability::Sync;
                self.relay(Side::Client, &bytes[1..], stage);
            }
            Some(&DIAL) => self.outputs.push_back(dial(stage)),
            Some(&NEXT) => {
                self.endpoint = None;
                self.mode = Mode::New;
                self.server.say(b"bye");
                self.outputs.push_back(Output::Next(LegId::FIRST, fault::Target::HotStandby));
            }
            Some(&TIMER) => self.timer_us = Some(stage.now.mono_us + 30_000),
            Some(&KEY) => {
                self.key = bytes[1..].to_vec();
                self.outputs.push_back(Output::Named(self.key.clone()));
            }
            Some(&CANCEL) => {
                self.outputs.push_back(Output::Signal(bytes[1..].to_vec()));
                self.end(None);
            }
            _ => self.relay(Side::Client, bytes, stage),
        }
    }

    fn end(&mut self, fault: Option<Fault>) {
        if !std::mem::replace(&mut self.closed, true) {
            self.outputs.push_back(Output::Close(fault));
        }
    }
}

impl Relay {
    fn outbox_of(&mut self, side: Side) -> &mut Outbox {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn handle_bytes(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>) {
        if side == Side::Client && self.mode == Mode::New {
            self.first(bytes, stage);
        } else {
            self.relay(side, bytes, stage);
        }
    }

    fn handle_tls(&mut self, side: Side, facts: &TlsFacts) {
        assert!(facts.version.starts_with("TLSv1_"), "{facts:?}");
        if side == Side::Server {
            self.client.say(b"t");
        }
    }

    fn handle_broken(&mut self, fault: Fault) {
        self.client.say(fault.label().as_bytes());
        self.end(Some(fault));
    }

    fn handle_dialed(&mut self, result: Result<Endpoint, fault::Target>, stage: &mut Stage<'_>) {
        match result {
            Ok(endpoint) => {
                self.endpoint = Some(endpoint);
                let early = std::mem::take(&mut self.early);
                if !early.is_empty() {
                    self.relay(Side::Client, &early, stage);
                }
            }
            Err(target) => {
                self.handle_broken(Fault::new(Side::Server, FaultKind::Target(target)));
            }
        }
    }

    fn handle_signal(&mut self, stage: &mut Stage<'_>) {
        let endpoint = self.endpoint.clone().expect("a server");
        let dial = Dial::new(0, vec![endpoint], None, stage.now.mono_us);
        self.outputs.push_back(Output::Errand(Box::new(dial), self.key.clone()));
    }

    fn handle_drain(&mut self, at_once: bool) {
        if at_once {
            self.client.say(b"drained");
            self.end(Some(Fault::new(Side::Client, FaultKind::Drain)));
        }
    }
}

impl Driven for Relay {
    fn outbox(&mut self, end: End) -> Option<&mut Outbox> {
        Some(self.outbox_of(end.side()))
    }

    fn pending(&self, end: End) -> Option<&Outbox> {
        match end.side() {
            Side::Client => Some(&self.client),
            Side::Server => Some(&self.server),
        }
    }

    fn handle(&mut self, event: Happening<'_>, stage: &mut Stage<'_>) {
        match event {
            Happening::Bytes(end, bytes) => self.handle_bytes(end.side(), bytes, stage),
            Happening::Eof(_) => self.end(None),
            Happening::Tls(end, facts) => self.handle_tls(end.side(), &facts),
            Happening::Broken(_, fault) => self.handle_broken(fault),
            Happening::Leg(_, result) => {
                self.handle_dialed(result.map(|leased| leased.endpoint), stage);
            }
            Happening::Timeout => {
                self.timer_us = None;
                self.client.say(b"time");
            }
            Happening::Panic => {
                self.client.say(b"internal");
                self.end(Some(Fault::new(Side::Client, FaultKind::Internal)));
            }
            Happening::Snapshot => self.client.say(b"snapshot"),
            Happening::Vote(_, _, reply) => *reply = VoteReply::Denied,
            Happening::Signal => self.handle_signal(stage),
            Happening::Kill(_) => {
                self.client.say(b"killed");
                self.end(Some(Fault::new(Side::Client, FaultKind::Killed)));
            }
            Happening::Drain { at_once } => self.handle_drain(at_once),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<u64> {
        self.timer_us
    }

    fn wants(&self, end: End) -> bool {
        !self.closed && (end != End::Client || self.early.is_empty())
    }

    fn durability(&self) -> Durability {
        if self.closed { Durability::Write } else { self.durability }
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    fn meter(&self) -> Option<&TargetMeter> {
        Some(&self.meter)
    }

    fn summary(&self, _stage: &Stage<'_>) -> Option<SessionSummary> {
        Some(SessionSummary {
            session_id: self.id,
            user: String::new(),
            target: String::new(),
            role: String::new(),
            client_addr: String::new(),
            state: "idle",
            started_us: 0,
            commands: self.seq,
        })
    }
}

pub(super) fn accept(accepted: Accepted, stage: &mut Stage<'_>) -> Box<dyn Driven> {
    let session = stage.journal.open(&SessionContext {
        session_id: accepted.session_id,
        protocol: Protocol::Postgres.name(),
        user_name: String::new(),
        user_groups: Vec::new(),
        auth_method: String::new(),
        target: String::new(),
        db_namespace: String::new(),
        role: String::new(),
        client_addr: accepted.client_addr.to_string(),
        client_app: String::new(),
        tls_version: String::new(),
    });
    Box::new(Relay {
        client: Outbox::default(),
        server: Outbox::default(),
        meter: stage.meters.target(0),
        outputs: (!is_shy(stage)).then(|| dial(stage)).into_iter().collect(),
        early: Vec::new(),
        endpoint: None,
        closed: false,
        mode: Mode::New,
        session,
        seq: 0,
        durability: Durability::Write,
        timer_us: None,
        key: Vec::new(),
        id: accepted.session_id,
    })
}

/// Whether clients have to ask for the dial, as if they had to log in first.
pub(super) fn is_shy(stage: &Stage<'_>) -> bool {
    stage.snapshot.settings.listeners[0].unproven != UnprovenMax::DEFAULT
}

pub(super) fn dial(stage: &Stage<'_>) -> Output {
    let endpoints = stage.snapshot.addresses.first().cloned().unwrap_or_default();
    let timeout_us = stage.snapshot.settings.targets[0].reach.connect_timeout_us;
    let dial = Box::new(Dial::new(0, endpoints, timeout_us, stage.now.mono_us));
    Output::Lease(Lease { leg: LegId::FIRST, dial, reuse: None, waited_us_max: 0 })
}
