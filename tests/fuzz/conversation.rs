//! A session that is logged in, between a client and a target that say anything.
//!
//! The input is a program: each byte chooses what happens next, the bytes behind it are its
//! arguments. Most steps are messages of the protocol with names from a short list, so that they
//! meet; some are any bytes at all. Besides "no panic": what leaves for the target is framed and
//! recorded, every command gets one answer in the record, and a closed session stays closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use weir::clock::Now;
use weir::config::load;
use weir::decide::Classifier;
use weir::fault::Refused;
use weir::forward::dial::Endpoint;
use weir::identify::scram::{Binding, ClientExchange, SaltedCache};
use weir::metrics::Meters;
use weir::record::body::Body;
use weir::record::entry::Decision;
use weir::record::memory::MemoryJournal;
use weir::record::{Lsn, SessionId};
use weir::session::postgres::Machine;
use weir::session::{Accepted, Driven};
use weir::session::{Output, Room, Snapshot, Stage};
use weir::session::{SnapshotSource, Vote};
use weir::wire::Side;
use weir::wire::postgres::frame::{Framer, Step, Treat};

const CONFIG: &str = r#"
data_dir = "data"
[listen.postgres]
address = "127.0.0.1:0"
[[target]]
name = "orders"
address = "127.0.0.1:5432"
tls = "disable"
[[target.credential]]
role = "app"
password = { env = "PASSWORD" }
[[identity.user]]
name = "alice"
password = { env = "PASSWORD" }
[[rule]]
name = "all"
when = { commands = ["read", "write", "session", "ddl", "function-call", "unknown", "copy-file"] }
then = "allow"
[[rule]]
name = "no grants"
when = { commands = ["grant"] }
then = "deny"
[[rule]]
name = "a person looks"
when = { commands = ["unbounded-write"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "10m" } }
"#;

const MASKS: &str = r#"
[[mask]]
columns = ["*.*.secret"]
operator = "redact"
[[mask]]
detect = ["credit-card"]
operator = "redact"
"#;

const PASSWORD: &str = "a password";
/// Steps of one input.
const STEPS_MAX: usize = 400;

thread_local! {
    static PLAIN: Rc<Snapshot> = Rc::new(snapshot(CONFIG));
    static MASKED: Rc<Snapshot> = Rc::new(snapshot(&format!("{CONFIG}{MASKS}")));
    /// Deriving a password takes milliseconds.
    static DERIVED: RefCell<SaltedCache> = RefCell::new(SaltedCache::new());
}

fn target() -> Endpoint {
    Endpoint { host: "127.0.0.1".into(), address: SocketAddr::from(([127, 0, 0, 1], 5432)) }
}

fn snapshot(config: &str) -> Snapshot {
    let env = |_: &str| Some(PASSWORD.to_owned());
    let settings = load::parse(config, "fuzz.toml", Path::new("."), &env).expect("a good file");
    Snapshot::build(&SnapshotSource {
        settings: Arc::new(settings),
        catalogs: vec![None],
        catalogs_begun_us: vec![u64::MAX / 2; 8],
        addresses: vec![vec![target()]],
        keys: Vec::new(),
        windows: Vec::new(),
        minors: vec![Arc::default()],
        changes: Vec::new(),
        tokens: Default::default(),
        mock_seed: [1; 32],
    })
}

/// One input.
pub fn conversation(bytes: &[u8]) {
    let Some((&settings, program)) = bytes.split_first() else { return };
    let mut table = Table::login(settings & 1 == 1);
    if settings & 2 == 2 {
        table.journal.refuse_after(u64::from(settings >> 2), Refused::Full);
    }
    let mut program = Program { bytes: program };
    for _ in 0..STEPS_MAX {
        let Some(word) = program.byte() else { break };
        table.step(word, &mut program);
    }
    let refusing = settings & 2 == 2;
    table.end(refusing);
}

/// What is left of the input.
struct Program<'p> {
    bytes: &'p [u8],
}

impl<'p> Program<'p> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    fn pick<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices[usize::from(self.byte().unwrap_or(0)) % choices.len()]
    }

    fn some(&mut self) -> &'p [u8] {
        let count = usize::from(self.byte().unwrap_or(0)).min(self.bytes.len());
        let (some, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        some
    }
}

/// A session with both peers.
struct Table {
    machine: Machine,
    journal: MemoryJournal,
    classifier: Classifier,
    salted: SaltedCache,
    room: Room,
    meters: Meters,
    snapshot: Rc<Snapshot>,
    now: Now,
    random: u8,
    /// Cuts what leaves for the target.
    leaving: Framer,
    /// Commands that left, by the tag of their message, without weir's stand-ins.
    left: HashMap<u8, usize>,
    /// A message of the client was left open by bytes that are no frames.
    asked: Vec<SessionId>,
}

macro_rules! stage {
    ($table:ident) => {
        Stage {
            snapshot: &$table.snapshot,
            classifier: &mut $table.classifier,
            salted: &mut $table.salted,
            journal: &mut $table.journal,
            random: &mut |bytes: &mut [u8]| {
                $table.random = $table.random.wrapping_add(1);
                bytes.fill($table.random);
            },
            room: &$table.room,
            meters: &$table.meters,
            now: $table.now,
        }
    };
}

const QUERIES: &[&str] = &[
    "SELECT 1",
    "COPY t FROM STDIN",
    "COPY t TO STDOUT",
    "SELECT 1; COPY t FROM STDIN; COPY t FROM STDIN",
    "DELETE FROM t",
    "GRANT ALL ON t TO a",
    "PREPARE a AS SELECT 2",
    "EXECUTE a",
    "DEALLOCATE a",
    "DEALLOCATE ALL",
    "BEGIN",
    "CREATE TABLE t (secret text)",
    "not SQL at all",
    "",
];
const NAMES: &[&str] = &["", "a", "b", "c"];
const TAGS: &[&str] = &["SELECT 1", "COPY 2", "BEGIN", "INSERT 0 1", ""];

fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = vec![tag];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A message of a good client.
fn client_message(word: u8, program: &mut Program<'_>) -> Vec<u8> {
    match word % 13 {
        0 => message(b'Q', &[program.pick(QUERIES).as_bytes(), b"\0"]),
        1 => {
            let name = program.pick(NAMES);
            let text = program.pick(QUERIES);
            message(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"])
        }
        2 => {
            let (portal, statement) = (program.pick(NAMES), program.pick(NAMES));
            let names = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0"].concat();
            message(b'B', &[&names, &[0; 6]])
        }
        3 => message(b'D', &[b"P", program.pick(NAMES).as_bytes(), b"\0"]),
        4 => message(b'D', &[b"S", program.pick(NAMES).as_bytes(), b"\0"]),
        5 => message(b'E', &[program.pick(NAMES).as_bytes(), b"\0\0\0\0\0"]),
        6 => message(b'C', &[b"P", program.pick(NAMES).as_bytes(), b"\0"]),
        7 => message(b'C', &[b"S", program.pick(NAMES).as_bytes(), b"\0"]),
        8 => message(b'S', &[]),
        9 => message(b'H', &[]),
        10 => message(b'd', &[b"1\n"]),
        11 => message(b'c', &[]),
        _ => message(b'F', &[b"\0\0\x05\x75\0\0\0\0\0\0"]),
    }
}

/// A message of a target, at the right moment or not.
fn server_message(word: u8, program: &mut Program<'_>) -> Vec<u8> {
    match word % 18 {
        0 => message(b'1', &[]),
        1 => message(b'2', &[]),
        2 => message(b'3', &[]),
        3 => message(b'C', &[program.pick(TAGS).as_bytes(), b"\0"]),
        4 => message(b'Z', &[b"I"]),
        5 => message(b'Z', &[b"T"]),
        6 => message(b'E', &[b"SERROR\0VERROR\0C22P02\0Mtheirs 4539148803436467\0\0"]),
        7 => message(b'T', &[b"\0\x01secret\0\0\0\0\0\0\0\0\0\0\x19\0\x04\xff\xff\xff\xff\0\0"]),
        8 => message(b'D', &[b"\0\x01\0\0\0\x104539148803436467"]),
        9 => message(b'n', &[]),
        10 => message(b't', &[b"\0\0"]),
        11 => message(b'G', &[b"\0\0\0"]),
        12 => message(b'H', &[b"\0\0\0"]),
        13 => message(b'd', &[b"4539148803436467\n"]),
        14 => message(b'c', &[]),
        15 => message(b's', &[]),
        16 => message(b'N', &[b"SNOTICE\0C00000\0Mn\0\0"]),
        _ => message(b'V', &[b"\0\0\0\x01x"]),
    }
}

impl Table {
    /// Both logins done, both outboxes empty.
    fn login(masked: bool) -> Table {
        let snapshot = if masked { MASKED.with(Rc::clone) } else { PLAIN.with(Rc::clone) };
        let (mut journal, mut classifier) = (MemoryJournal::new(), Classifier::new());
        let (mut salted, meters) = (DERIVED.with(RefCell::take), Meters::new(|| 0));
        let room = Room::default();
        let now = Now { wall_us: 1_700_000_000_000_000, mono_us: 1_000 };
        let accepted = Accepted {
            listener: 0,
            protocol: weir::wire::Protocol::Postgres,
            session_id: SessionId([9; 16]),
            client_addr: SocketAddr::from(([127, 0, 0, 1], 1)),
            tls_available: false,
            tls_required: false,
        };
        let machine = {
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
            Machine::accept(accepted, &mut stage)
        };
        let mut table = Table {
            machine,
            journal,
            classifier,
            salted,
            room,
            meters,
            snapshot,
            now,
            random: 0,
            leaving: Framer::default(),
            left: HashMap::new(),
            asked: Vec::new(),
        };
        table.prove();
        table
    }

    fn prove(&mut self) {
        let mut startup = b"\0\0\0\0\0\x03\0\0user\0alice\0database\0orders\0\0".to_vec();
        startup[3] = startup.len() as u8;
        self.bytes(Side::Client, &startup);
        self.said(Side::Client);
        let mut exchange = ClientExchange::new(PASSWORD, "clientnonce", Binding::None);
        let first = exchange.first();
        let length = (first.len() as u32).to_be_bytes();
        self.bytes(Side::Client, &message(b'p', &[b"SCRAM-SHA-256\0", &length, &first]));
        let challenge = self.said(Side::Client);
        let last = exchange.server_first(&challenge[9..], &mut self.salted);
        self.bytes(Side::Client, &message(b'p', &[&last.expect("the server's first message")]));
        let table = self;
        table.machine.handle_dialed(Ok(target()), &mut stage!(table));
        table.outputs();
        table.said(Side::Server);
        let hello = [
            message(b'R', &[&[0; 4]]),
            message(b'S', &[b"server_version\x0018.0\0"]),
            message(b'K', &[b"\0\0\0\x07key!"]),
            message(b'Z', &[b"I"]),
        ];
        table.bytes(Side::Server, &hello.concat());
        let said = table.said(Side::Client);
        assert!(said.ends_with(b"Z\0\0\0\x05I"), "not logged in");
    }

    fn bytes(&mut self, side: Side, bytes: &[u8]) {
        let table = self;
        table.machine.handle_bytes(side, bytes, &mut stage!(table));
        table.outputs();
    }

    fn with(&mut self, act: impl FnOnce(&mut Machine, &mut Stage<'_>)) {
        let table = self;
        act(&mut table.machine, &mut stage!(table));
        table.outputs();
    }

    fn outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            if let Output::AskOpened(ask) = output {
                self.asked.push(ask.id);
            }
        }
    }

    /// Takes what is queued for a side.
    fn said(&mut self, side: Side) -> Vec<u8> {
        let outbox = self.machine.outbox(side.into()).expect("it has one");
        let bytes = outbox.sendable(Lsn(u64::MAX)).to_vec();
        outbox.consume(bytes.len());
        bytes
    }

    fn step(&mut self, word: u8, program: &mut Program<'_>) {
        let closed = self.machine.is_closed();
        match word {
            0..=99 => self.bytes(Side::Client, &client_message(word, program)),
            100..=219 => self.bytes(Side::Server, &server_message(word, program)),
            220..=223 => self.bytes(Side::Client, program.some()),
            224..=227 => self.bytes(Side::Server, program.some()),
            228..=231 => {
                let tag = program.byte().unwrap_or(b'Q');
                self.bytes(Side::Client, &message(tag, &[program.some()]));
            }
            232..=235 => {
                let tag = program.byte().unwrap_or(b'E');
                self.bytes(Side::Server, &message(tag, &[program.some()]));
            }
            236..=239 => {
                let seconds = u64::from(program.byte().unwrap_or(0));
                self.now.mono_us += seconds * 5_000_000;
                self.with(|machine, stage| machine.handle_timeout(stage));
            }
            240..=242 => self.with(|machine, stage| machine.handle_cancel(stage)),
            243..=246 => self.vote(word.is_multiple_of(2)),
            247 => self.with(|machine, stage| machine.handle_snapshot(stage)),
            248 => self.with(|machine, stage| machine.handle_drain(false, stage)),
            249 => self.with(|machine, stage| machine.handle_eof(Side::Client, stage)),
            250 => self.with(|machine, stage| machine.handle_eof(Side::Server, stage)),
            251 => self.journal.accept(),
            _ => self.with(|machine, stage| machine.handle_timeout(stage)),
        }
        assert!(!closed || self.machine.is_closed(), "a closed session is open again");
        self.check_server();
        self.said(Side::Client);
    }

    fn vote(&mut self, approve: bool) {
        let Some(id) = self.asked.last().copied() else { return };
        let vote = Vote {
            approver: "dora".to_owned(),
            groups: vec!["dba".to_owned()],
            approve,
            reason: "seen".to_owned(),
            ..Vote::default()
        };
        self.with(|machine, stage| drop(machine.handle_vote(id, &vote, stage)));
    }

    /// What leaves for the target is frames, and no command among them is without a row.
    fn check_server(&mut self) {
        let bytes = self.said(Side::Server);
        let mut input = bytes.as_slice();
        loop {
            let step = self.leaving.next(&mut input, u32::MAX - 4, |_, _| Treat::Hold);
            let Step::Whole { tag, frame } = step.expect("frames for the target") else { break };
            let stand_in = frame.windows(4).any(|part| part == b"weir");
            if matches!(tag, b'Q' | b'E' | b'F') && !stand_in {
                *self.left.entry(tag).or_default() += 1;
            }
        }
        for (tag, kind) in [(b'Q', "query"), (b'E', "execute"), (b'F', "function-call")] {
            let left = self.left.get(&tag).copied().unwrap_or(0);
            if left == 0 {
                continue;
            }
            let allowed = |body: &Body<'_>| match body {
                Body::Command(c) => c.kind == kind && c.decision == Decision::Allow,
                _ => false,
            };
            let rows = self.journal.bodies().filter(allowed).count();
            assert!(left <= rows, "{left} of {kind} left with {rows} rows");
        }
    }

    /// Every command that was decided has one answer, whatever happened.
    fn end(mut self, refusing: bool) {
        self.with(|machine, stage| machine.handle_kill(stage));
        assert!(self.machine.is_closed());
        self.check_server();
        let (mut decided, mut held, mut answered) = (Vec::new(), Vec::new(), Vec::new());
        for written in &self.journal.written {
            match written.body() {
                Body::Command(c) if c.decision == Decision::Hold => held.push(written.seq),
                Body::Command(_) => decided.push(written.seq),
                Body::Response(r) => answered.push(r.command_seq),
                _ => {}
            }
        }
        // A session that ends while people are asked has answered what nobody decided.
        answered.retain(|seq| decided.contains(seq) || !held.contains(seq));
        decided.sort_unstable();
        answered.sort_unstable();
        assert!(refusing || decided == answered, "decided {decided:?}, answered {answered:?}");
        DERIVED.with(|kept| kept.replace(self.salted));
    }
}
