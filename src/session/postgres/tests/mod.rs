//! Scripted peers around one machine: a client that logs in, a target that answers by script.

mod asked;
mod behaviour;
mod beliefs;
mod copies;
mod kin;
mod later;
mod learning;
mod meters;
mod servers;
mod shapes;
mod splits;
mod tokens;
mod veiled;
mod versions;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use crate::config;
use crate::decide::Classifier;
use crate::forward::dial::Endpoint;
use crate::identify::scram::{Binding, ClientExchange, SaltedCache};
use crate::metrics::Meters;
use crate::record::memory::MemoryJournal;
use crate::record::{Lsn, SessionId};
use crate::session::SnapshotSource;
use crate::wire::postgres::frame::{Framer, HEAD_BYTES, Step, Treat};
use crate::wire::postgres::reply;
use crate::wire::{Protocol, Side};

use super::machine::Machine;
use crate::clock::Now;
use crate::session::{Accepted, Driven, Output, Room, Snapshot, Stage};

const CONFIG: &str = r#"
data_dir = "data"
[listen.postgres]
address = "127.0.0.1:0"
[[target]]
name = "orders"
protocol = "postgres"
address = "127.0.0.1:5432"
tls = "disable"
[[target.credential]]
role = "app"
password = { env = "TARGET" }
[[identity.user]]
name = "bot"
password = { env = "BOT" }
groups = ["agents"]
[[rule]]
name = "agents read and write"
when = { groups = ["agents"], commands = ["read", "write", "session"] }
then = "allow"
[[rule]]
name = "no drops"
when = { groups = ["agents"], commands = ["ddl"] }
then = "deny"
[[rule]]
name = "a person looks"
when = { groups = ["agents"], commands = ["unbounded-write"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "10m" } }
"#;

thread_local! {
    /// Deriving a password takes milliseconds, and these tests log in thousands of times.
    static SNAPSHOT: Rc<Snapshot> = snapshot();
    static DERIVED: RefCell<SaltedCache> = RefCell::new(SaltedCache::new());
}

/// One session, its journal, and what has gone out.
pub struct Bench {
    pub machine: Machine,
    pub journal: MemoryJournal,
    pub outputs: Vec<Output>,
    pub now: Now,
    snapshot: Rc<Snapshot>,
    classifier: Classifier,
    salted: SaltedCache,
    random: u8,
    pub room: Room,
    pub meters: Meters,
}

fn snapshot() -> Rc<Snapshot> {
    Rc::new(Snapshot::build(&source()))
}

/// The same, and the rule that holds says something else.
fn snapshot_with_rule(then: &str) -> Rc<Snapshot> {
    let hold = "then = { hold = { approvers = [\"dba\"], quorum = 1, timeout = \"10m\" } }";
    assert!(CONFIG.contains(hold), "the rule that holds");
    Rc::new(Snapshot::build(&source_of(&CONFIG.replace(hold, then))))
}

fn source() -> SnapshotSource {
    source_of(CONFIG)
}

fn source_of(config: &str) -> SnapshotSource {
    let env = |name: &str| match name {
        "BOT" => Some("secret".to_owned()),
        "TARGET" => Some("hidden".to_owned()),
        _ => None,
    };
    let settings = config::load::parse(config, "test.toml", Path::new("."), &env);
    let settings = settings.unwrap_or_else(|errors| panic!("{errors}"));
    SnapshotSource {
        settings: Arc::new(settings),
        catalogs: vec![Some(Arc::default())],
        catalogs_begun_us: vec![u64::MAX / 2],
        addresses: vec![vec![endpoint(5432)]],
        keys: Vec::new(),
        windows: Vec::new(),
        minors: vec![Arc::default()],
        changes: vec![Arc::default()],
        tokens: Default::default(),
        mock_seed: [1; 32],
    }
}

/// A clock that goes on by 5 us each time somebody reads it.
fn nanoseconds() -> u64 {
    thread_local!(static TIME: Cell<u64> = const { Cell::new(0) });
    TIME.with(|time| {
        time.set(time.get() + 5_000);
        time.get()
    })
}

pub fn endpoint(port: u16) -> Endpoint {
    Endpoint { host: "db".into(), address: SocketAddr::from(([127, 0, 0, 1], port)) }
}

macro_rules! stage {
    ($bench:ident) => {
        Stage {
            snapshot: &$bench.snapshot,
            classifier: &mut $bench.classifier,
            salted: &mut $bench.salted,
            journal: &mut $bench.journal,
            random: &mut |bytes: &mut [u8]| {
                $bench.random = $bench.random.wrapping_add(1);
                bytes.fill($bench.random);
            },
            room: &$bench.room,
            meters: &$bench.meters,
            now: $bench.now,
        }
    };
}

impl Bench {
    /// A connection that has said nothing.
    pub fn accepted() -> Bench {
        Bench::with_snapshot(SNAPSHOT.with(Rc::clone))
    }

    /// The same, with a target of which nothing is known yet.
    pub fn fresh() -> Bench {
        Bench::with_snapshot(snapshot())
    }

    /// Another connection to the same weir.
    pub fn another(&self) -> Bench {
        Bench::with_snapshot(Rc::clone(&self.snapshot))
    }

    fn with_snapshot(snapshot: Rc<Snapshot>) -> Bench {
        Bench::connected(snapshot, false)
    }

    fn connected(snapshot: Rc<Snapshot>, tls_available: bool) -> Bench {
        let mut classifier = Classifier::new();
        let (mut salted, mut journal) = (SaltedCache::new(), MemoryJournal::new());
        let now = Now { wall_us: 1_700_000_000_000_000, mono_us: 1_000 };
        let accepted = Accepted {
            listener: 0,
            protocol: Protocol::Postgres,
            session_id: SessionId([9; 16]),
            client_addr: SocketAddr::from(([127, 0, 0, 9], 40_000)),
            tls_available,
            tls_required: false,
        };
        let (meters, room) = (Meters::new(nanoseconds), Room::default());
        let mut stage = Stage {
            snapshot: &snapshot,
            classifier: &mut classifier,
            salted: &mut salted,
            journal: &mut journal,
            random: &mut |bytes: &mut [u8]| bytes.fill(3),
            room: &room,
            meters: &meters,
            now,
        };
        let machine = Machine::accept(accepted, &mut stage);
        let outputs = Vec::new();
        Bench {
            machine,
            journal,
            outputs,
            now,
            snapshot,
            classifier,
            salted,
            random: 0,
            room,
            meters,
        }
    }

    /// A session whose login is done on both legs; both outboxes are empty.
    pub fn ready() -> Bench {
        Bench::accepted().log_in()
    }

    /// The same, with more in the configuration.
    pub fn ready_under(more: &str) -> Bench {
        let snapshot = Rc::new(Snapshot::build(&source_of(&format!("{CONFIG}{more}"))));
        Bench::with_snapshot(snapshot).log_in()
    }

    fn log_in(self) -> Bench {
        let mut bench = self;
        let mut packet = Vec::new();
        let params = [("user", "bot"), ("database", "orders")].iter();
        let params = params.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        reply::startup(&mut packet, 0, params);
        bench.client(&packet);
        assert_eq!(bench.tags(Side::Client), "R");
        bench.client_scram("secret");
        assert!(matches!(bench.outputs.as_slice(), [Output::Lease(_)]), "{:?}", bench.outputs);
        bench.dialed();
        let _startup = bench.take(Side::Server);
        bench.server(&target_login());
        assert_eq!(bench.tags(Side::Client), "RRRSKZ", "final, ok, parameter, key, ready");
        bench.outputs.clear();
        bench
    }

    pub fn client_scram(&mut self, password: &str) {
        let mut exchange = ClientExchange::new(password, "clientnonce", Binding::None);
        let first = exchange.first();
        let mut data = b"SCRAM-SHA-256\0".to_vec();
        data.extend_from_slice(&(first.len() as u32).to_be_bytes());
        data.extend_from_slice(&first);
        self.client(&message(b'p', &data));
        let challenge = self
            .machine
            .outbox(Side::Client.into())
            .expect("it has one")
            .sendable(Lsn(u64::MAX))
            .to_vec();
        let last = DERIVED.with_borrow_mut(|cache| exchange.server_first(&challenge[9..], cache));
        self.take(Side::Client);
        // Keep the request that was answered out of what the caller looks at.
        self.machine
            .outbox(Side::Client.into())
            .expect("it has one")
            .say(&message(b'R', &[0, 0, 0, 11]));
        self.client(&message(b'p', &last.expect("server-first")));
    }

    pub fn client(&mut self, bytes: &[u8]) {
        let bench = self;
        bench.machine.handle_bytes(Side::Client, bytes, &mut stage!(bench));
        bench.drain();
    }

    pub fn server(&mut self, bytes: &[u8]) {
        let bench = self;
        bench.machine.handle_bytes(Side::Server, bytes, &mut stage!(bench));
        bench.drain();
    }

    pub fn dialed(&mut self) {
        let bench = self;
        bench.machine.handle_dialed(Ok(endpoint(5432)), &mut stage!(bench));
        bench.drain();
    }

    /// Another turn, so many microseconds after the first.
    pub fn at(&mut self, mono_us: u64) {
        self.now.mono_us = 1_000 + mono_us;
        self.with(|machine, stage| machine.handle_timeout(stage));
    }

    pub fn with(&mut self, act: impl FnOnce(&mut Machine, &mut Stage<'_>)) {
        let bench = self;
        act(&mut bench.machine, &mut stage!(bench));
        bench.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.outputs.push(output);
        }
    }

    /// Everything queued for a side.
    pub fn take(&mut self, side: Side) -> Vec<u8> {
        let outbox = self.machine.outbox(side.into()).expect("it has one");
        let bytes = outbox.sendable(Lsn(u64::MAX)).to_vec();
        outbox.consume(bytes.len());
        bytes
    }

    /// The tags of everything queued for a side.
    pub fn tags(&mut self, side: Side) -> String {
        messages(&self.take(side)).iter().map(|(tag, _)| char::from(*tag)).collect()
    }
}

/// Tags and bodies.
pub fn messages(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut framer, mut input, mut out) = (Framer::default(), bytes, Vec::new());
    while let Ok(Step::Whole { tag, frame }) = framer.next(&mut input, u32::MAX, |_, _| Treat::Hold)
    {
        out.push((tag, frame[HEAD_BYTES..].to_vec()));
    }
    assert!(framer.is_between_messages(), "half a message went out");
    out
}

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply::message(&mut bytes, tag, |out| out.extend_from_slice(body));
    bytes
}

pub fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    let params = [(&b"user"[..], user.as_bytes()), (b"database", database.as_bytes())];
    reply::startup(&mut packet, 0, params.into_iter());
    packet
}

/// What a target with trust authentication says.
pub fn target_login() -> Vec<u8> {
    [
        message(b'R', &[0; 4]),
        message(b'S', b"server_version\x0015.0\0"),
        message(b'K', b"\0\0\0\x07key!"),
        message(b'Z', b"I"),
    ]
    .concat()
}

pub fn query(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply::query(&mut bytes, text);
    bytes
}

pub fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"].concat())
}

pub fn bind(portal: &str, statement: &str) -> Vec<u8> {
    let names = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0"].concat();
    message(b'B', &[&names[..], &[0; 6]].concat())
}

pub fn execute(portal: &str) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), b"\0\0\0\0\0"].concat())
}

pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// An error of a target.
pub fn server_error(sqlstate: &str) -> Vec<u8> {
    let text = format!("SERROR\0VERROR\0C{sqlstate}\0Mtheirs\0\0");
    message(b'E', text.as_bytes())
}

pub fn row(value: &[u8]) -> Vec<u8> {
    message(b'D', &[&[0, 1][..], &(value.len() as u32).to_be_bytes(), value].concat())
}

pub fn complete(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), b"\0"].concat())
}

pub fn ready_for_query(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}
