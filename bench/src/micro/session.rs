//! Whole transactions through a session: decided on, recorded in the mapped journal of a shard,
//! handed on, answered. Everything that a shard does for them except for its sockets.
//!
//! In: the messages of `pgbench -S`. Out: `Work`. Never: setting up inside a pass.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use weir::clock::Now;
use weir::config::load;
use weir::decide::Classifier;
use weir::forward::dial::Endpoint;
use weir::identify::scram::{Binding, ClientExchange, SaltedCache};
use weir::metrics::Meters;
use weir::record::{Lsn, SessionId};
use weir::session::SnapshotSource;
use weir::session::postgres::Machine;
use weir::session::{Accepted, Driven};
use weir::session::{Room, Snapshot, Stage};
use weir::wire::{Protocol, Side};
use weir_load::wire;

use super::disk::Shard;
use super::stages::Work;

const CONFIG: &str = r#"
data_dir = "data"
[listen.postgres]
address = "127.0.0.1:0"
[[target]]
name = "bench"
address = "127.0.0.1:5432"
tls = "disable"
[[target.credential]]
role = "app"
password = { env = "PASSWORD" }
[[identity.user]]
name = "bench"
password = { env = "PASSWORD" }
[[rule]]
name = "everything"
when = {}
then = "allow"
"#;

const PASSWORD: &str = "oak and stone";

const SEGMENT_BYTES: u64 = 32 << 20;
/// Of the journal, for each transaction, and more than it takes.
const TRANSACTION_BYTES: u64 = 2048;
const TRANSACTIONS: u64 = 500;

const TEXT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = $1;";

/// Each time another text, as `pgbench -S` sends it.
pub fn simple() -> Work {
    let ask = |out: &mut Vec<u8>, number: u64| {
        wire::query(out, &format!("SELECT abalance FROM pgbench_accounts WHERE aid = {number};"));
    };
    transactions(Session::login(), ask, &[row_description(), row(), complete(), ready()])
}

/// Parse with the same text, Bind, Describe, Execute, Sync.
pub fn extended() -> Work {
    let ask = |out: &mut Vec<u8>, number: u64| {
        wire::parse(out, "", TEXT);
        bound(out, "", number);
    };
    let answer = [done(b'1'), done(b'2'), row_description(), row(), complete(), ready()];
    transactions(Session::login(), ask, &answer)
}

/// Bind, Describe, Execute, Sync of a statement that was prepared before.
pub fn prepared() -> Work {
    let mut session = Session::login();
    let mut prepare = Vec::new();
    wire::parse(&mut prepare, "P_0", TEXT);
    wire::sync(&mut prepare);
    session.bytes(Side::Client, &prepare);
    session.sent(Side::Server);
    session.bytes(Side::Server, &[done(b'1'), ready()].concat());
    session.sent(Side::Client);
    let ask = |out: &mut Vec<u8>, number: u64| bound(out, "P_0", number);
    transactions(session, ask, &[done(b'2'), row_description(), row(), complete(), ready()])
}

fn bound(out: &mut Vec<u8>, statement: &str, number: u64) {
    wire::bind(out, statement, &[&number.to_string()]);
    wire::describe(out);
    wire::execute(out);
    wire::sync(out);
}

fn transactions(mut session: Session, ask: fn(&mut Vec<u8>, u64), answer: &[Vec<u8>]) -> Work {
    let answer = answer.concat();
    let mut request = Vec::new();
    ask(&mut request, 0);
    let bytes = (request.len() + answer.len()) as u64 * TRANSACTIONS;
    let mut number = 0;
    let pass = move || {
        let mut right = 0;
        for _ in 0..TRANSACTIONS {
            request.clear();
            ask(&mut request, number);
            session.bytes(Side::Client, &request);
            let asked = session.sent(Side::Server) == request.len();
            session.bytes(Side::Server, &answer);
            right += u64::from(asked && session.sent(Side::Client) == answer.len());
            number += 1;
        }
        right
    };
    let passes_max = SEGMENT_BYTES / TRANSACTION_BYTES / TRANSACTIONS;
    Work { passes_max, ..Work::new((TRANSACTIONS, bytes), TRANSACTIONS, pass) }
}

/// A session that is logged in.
struct Session {
    machine: Machine,
    lent: Lent,
}

/// What a shard lends it.
struct Lent {
    shard: Shard,
    classifier: Classifier,
    salted: SaltedCache,
    random: fn(&mut [u8]),
    room: Room,
    meters: Meters,
    snapshot: Rc<Snapshot>,
    now: Now,
}

impl Lent {
    fn stage(&mut self) -> Stage<'_> {
        Stage {
            snapshot: &self.snapshot,
            classifier: &mut self.classifier,
            salted: &mut self.salted,
            journal: &mut self.shard.spool,
            random: &mut self.random,
            room: &self.room,
            meters: &self.meters,
            now: self.now,
        }
    }
}

fn target() -> Endpoint {
    Endpoint { host: "127.0.0.1".into(), address: SocketAddr::from(([127, 0, 0, 1], 5432)) }
}

fn snapshot() -> Snapshot {
    let env = |_: &str| Some(PASSWORD.to_owned());
    let settings = load::parse(CONFIG, "bench.toml", Path::new("."), &env);
    Snapshot::build(&SnapshotSource {
        windows: Vec::new(),
        settings: Arc::new(settings.expect("a good file")),
        catalogs: vec![Some(Arc::default())],
        catalogs_begun_us: vec![0],
        changes: vec![Arc::default()],
        addresses: vec![vec![target()]],
        keys: Vec::new(),
        minors: vec![Arc::default()],
        tokens: Default::default(),
        mock_seed: [1; 32],
    })
}

impl Session {
    fn login() -> Session {
        let accepted = Accepted {
            listener: 0,
            protocol: Protocol::Postgres,
            session_id: SessionId([9; 16]),
            client_addr: SocketAddr::from(([127, 0, 0, 1], 1)),
            tls_available: false,
            tls_required: false,
        };
        let shard = match Shard::open(SEGMENT_BYTES) {
            Ok(shard) => shard,
            Err(why) => panic!("no journal can be opened among the temporary files: {why}"),
        };
        let mut lent = Lent {
            shard,
            classifier: Classifier::new(),
            salted: SaltedCache::new(),
            random: |bytes| bytes.fill(3),
            room: Room::default(),
            meters: Meters::new(|| 0),
            snapshot: Rc::new(snapshot()),
            now: Now { wall_us: 1_700_000_000_000_000, mono_us: 1_000 },
        };
        let machine = Machine::accept(accepted, &mut lent.stage());
        let mut session = Session { machine, lent };
        session.prove();
        session
    }

    fn prove(&mut self) {
        let mut startup = Vec::new();
        wire::startup(&mut startup, "bench", "bench");
        self.bytes(Side::Client, &startup);
        self.sent(Side::Client);
        let mut exchange = ClientExchange::new(PASSWORD, "clientnonce", Binding::None);
        let first = exchange.first();
        let length = (first.len() as u32).to_be_bytes();
        let parts = [&b"SCRAM-SHA-256\0"[..], &length, &first].concat();
        self.bytes(Side::Client, &message(b'p', &parts));
        let challenge = self
            .machine
            .outbox(Side::Client.into())
            .expect("it has one")
            .sendable(Lsn(u64::MAX))
            .to_vec();
        self.sent(Side::Client);
        let last = exchange.server_first(&challenge[9..], &mut self.lent.salted);
        let last = last.expect("the session answers the first message of SCRAM");
        self.bytes(Side::Client, &message(b'p', &last));
        self.machine.handle_dialed(Ok(target()), &mut self.lent.stage());
        self.sent(Side::Server);
        let hello = [
            message(b'R', &[0; 4]),
            message(b'S', b"server_version\x0018.0\0"),
            message(b'K', b"\0\0\0\x07key!"),
            ready(),
        ];
        self.bytes(Side::Server, &hello.concat());
        self.sent(Side::Client);
    }

    fn bytes(&mut self, side: Side, bytes: &[u8]) {
        self.lent.now.mono_us += 50;
        self.lent.now.wall_us += 50;
        self.machine.handle_bytes(side, bytes, &mut self.lent.stage());
        while self.machine.poll_output().is_some() {}
    }

    /// Sends what may leave to a side; returns how much that was.
    fn sent(&mut self, side: Side) -> usize {
        let outbox = self.machine.outbox(side.into()).expect("it has one");
        let count = outbox.sendable(Lsn(u64::MAX)).len();
        outbox.consume(count);
        count
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::message(&mut out, tag, |out| out.extend_from_slice(body));
    out
}

fn done(tag: u8) -> Vec<u8> {
    message(tag, b"")
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn complete() -> Vec<u8> {
    message(b'C', b"SELECT 1\0")
}

/// One column of int4, of a table's third column.
fn row_description() -> Vec<u8> {
    message(b'T', b"\0\x01abalance\0\0\0\x40\0\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0")
}

fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x0212")
}
