//! The shard with real sockets, a real ring and a real journal; only the machine is a plain relay
//! that does what the first byte of a client says.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Receiver as Sealed;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;

use super::mail::{ToControl, ToShard};
use super::{ShardHandle, StartShards};
use crate::config::settings::{
    Capture, ChannelBinding, Durability, Host, JournalSettings, KeepAlive, Listen, ListenTls,
    Reach, SessionAttrs, Settings, Target, TargetTls, TlsNegotiation, UnprovenMax,
};
use crate::decide::{Permit, Plumbing};
use crate::fault::{self, Fault, FaultKind};
use crate::forward::Outbox;
use crate::forward::dial::{Dial, Endpoint};
use crate::metrics::{Reading, TargetMeter, Timed};
use crate::record::entry::Event;
use crate::record::pool::SegmentPool;
use crate::record::spool::{SealedSegment, Spool, SpoolError};
use crate::record::testing::Folder;
use crate::record::{Entry, SessionContext, SessionId, SessionRef};
use crate::session::{Accepted, TlsFacts};
use crate::session::{Driven, Event as Happening, Lease, Output, SCRIPT, Stage};
use crate::session::{SessionSummary, SnapshotSource, Vote, VoteReply};
use crate::wire::{End, LegId, Protocol, Side};
use relay::{CANCEL, DEAD, DIAL, KEY, NEXT, PANIC, SYNC, TIMER, TLS_CLIENT, TLS_SERVER, accept};

/// A running shard, its target, and its way out.
struct Rig {
    handle: Option<ShardHandle>,
    others: Vec<ShardHandle>,
    target: TcpListener,
    reports: Receiver<ToControl>,
    _sealed: Sealed<SealedSegment>,
    _folder: Folder,
}

#[derive(Clone, Copy)]
struct Options {
    target_tls: TargetTls,
    client_tls: bool,
    sessions_max: Option<usize>,
    shards: usize,
    host: &'static str,
    unproven: UnprovenMax,
    connect_timeout_us: Option<u64>,
}

const PLAIN: Options = Options {
    target_tls: TargetTls::Disable,
    client_tls: false,
    sessions_max: None,
    shards: 1,
    host: "db.test",
    unproven: UnprovenMax::DEFAULT,
    connect_timeout_us: None,
};

fn testdata(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shard/testdata").join(name)
}

fn settings(options: Options) -> Settings {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings {
        data_dir: std::path::PathBuf::new(),
        node: None,
        shards: options.shards,
        listeners: vec![Listen {
            protocol: Protocol::Postgres,
            address: local,
            host_keys: Vec::new(),
            target: None,
            strict_kex: false,
            tls: options.client_tls.then(|| ListenTls {
                certificate: testdata("server.pem"),
                key: testdata("server.key"),
                more: Vec::new(),
                required: false,
                clients: None,
            }),
            keepalive: KeepAlive::DEFAULT,
            unproven: options.unproven,
        }],
        admin: local,
        admin_url: None,
        approvals: crate::config::settings::ApprovalSettings::default(),
        journal: JournalSettings {
            segment_bytes: 4 << 20,
            seal_after_us: 60_000_000,
            flush_us: 100_000,
            answer_wait_us: 60_000_000,
        },
        drain_us: 30_000_000,
        targets: vec![Target {
            protocol: Protocol::Postgres,
            name: "orders".to_owned(),
            input: crate::config::settings::Input::Counted,
            host_keys: crate::wire::ssh::hosts::HostTrust::default(),
            strict_kex: false,
            reach: Reach {
                hosts: vec![Host { name: options.host.to_owned(), port: 5432 }],
                shuffled: false,
                attrs: SessionAttrs::Any,
                connect_timeout_us: options.connect_timeout_us,
                keepalive: KeepAlive::DEFAULT,
            },
            database: "orders".to_owned(),
            tls: options.target_tls,
            negotiation: TlsNegotiation::Postgres,
            client_certificate: None,
            root_certificates: Some(testdata("ca.pem")),
            channel_binding: ChannelBinding::Prefer,
            replication: false,
            durability: Durability::Write,
            capture: Capture::Summary,
            credentials: Vec::new(),
            http: None,
        }],
        users: Vec::new(),
        issuers: Vec::new(),
        ssh_authorities: Vec::new(),
        certificates: Vec::new(),
        rules: Vec::new(),
        masks: Vec::new(),
    }
}

impl Rig {
    fn start(options: Options) -> Rig {
        let target = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = target.local_addr().expect("an address");
        Rig::start_with(options, target, vec![address])
    }

    fn start_with(options: Options, target: TcpListener, addresses: Vec<SocketAddr>) -> Rig {
        let folder = Folder::new();
        let settings = settings(options);
        let host = || options.host.into();
        let endpoints =
            addresses.into_iter().map(|address| Endpoint { host: host(), address }).collect();
        let journal = settings.journal.clone();
        let source = SnapshotSource {
            settings: Arc::new(settings),
            catalogs: vec![Some(Arc::default())],
            catalogs_begun_us: vec![u64::MAX / 2; 8],
            addresses: vec![endpoints],
            keys: Vec::new(),
            windows: Vec::new(),
            minors: Vec::new(),
            changes: Vec::new(),
            tokens: Default::default(),
            mock_seed: [0; 32],
        };
        let (sealed, sealing) = std::sync::mpsc::channel();
        let dir = folder.journal();
        std::fs::create_dir_all(&dir).expect("a folder");
        let pool = SegmentPool::start(&dir, &journal).expect("a pool");
        let open = move |shard: usize| -> Result<Spool, SpoolError> {
            Spool::open(&dir, "test", shard as u32, &journal, sealed.clone(), pool.clone())
        };
        let (to_control, reports) = channel(64);
        SCRIPT.get_or_init(|| accept);
        let config = StartShards { source: Arc::new(source), journal: open, to_control };
        let mut handles = super::start_capped(config, options.sessions_max).expect("a shard");
        let others = handles.split_off(1);
        let handle = handles.pop();
        Rig { handle, others, target, reports, _sealed: sealing, _folder: folder }
    }

    fn shard(&self) -> &ShardHandle {
        self.handle.as_ref().expect("a running shard")
    }

    fn durations(&self, timed: Timed) -> Reading {
        let mut reading = Reading::default();
        if let Some(meter) = self.shard().meters.get(0) {
            meter.histogram((timed, None)).into_iter().for_each(|it| reading.add(it));
        }
        reading
    }

    /// Clients that all shards have accepted.
    fn accepted(&self) -> u64 {
        let handles = self.handle.iter().chain(&self.others);
        handles.map(|handle| handle.counters.accepted.get()).sum()
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.shard().addresses[0]).expect("a listening shard");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        client
    }

    fn accept(&self) -> TcpStream {
        let (server, _) = self.target.accept().expect("the shard dials");
        server.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        server
    }

    fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.connect();
        (client, self.accept())
    }

    fn send(&self, message: ToShard) {
        self.shard().mailbox.send(message).expect("room in the mailbox");
    }

    fn sessions(&self) -> Vec<SessionSummary> {
        let (answer, listed) = oneshot::channel();
        self.send(ToShard::Sessions(answer));
        listed.blocking_recv().expect("an answer")
    }

    fn drain(mut self, deadline_us: u64) {
        self.send(ToShard::Drain { deadline_us });
        self.handle.take().expect("a running shard").join().expect("an orderly end");
        let last = std::iter::from_fn(|| self.reports.try_recv().ok()).last();
        assert!(matches!(last, Some(ToControl::Stopped { shard: 0 })), "{last:?}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for handle in self.handle.take().into_iter().chain(self.others.drain(..)) {
            let _failing = handle.mailbox.send(ToShard::Drain { deadline_us: 0 });
            let _failing = handle.join();
        }
    }
}

fn expect(stream: &mut impl Read, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).expect("bytes");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(bytes));
}

fn rest_bytes(stream: &mut impl Read) -> Vec<u8> {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("an orderly end");
    got
}

fn rest(stream: &mut impl Read) -> String {
    String::from_utf8_lossy(&rest_bytes(stream)).into_owned()
}

/// Whether nothing arrives within `limit`, not even the end. A read with a timeout would not do:
/// it fails with `Interrupted` when the process is stopped and goes on.
fn is_silent(stream: &TcpStream, limit: Duration) -> bool {
    thread::sleep(limit);
    stream.set_nonblocking(true).expect("a socket");
    let heard = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Bytes that no command of the relay begins with.
fn pattern(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|i| ((i * 31 + i / 97 + salt) % 97 + 100) as u8).collect()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn bytes_pass_both_ways_in_any_size() {
    let rig = Rig::start(PLAIN);
    let (mut client, mut server) = rig.pair();
    for length in [1, 2, 100, 4095, 4096, 4097, 70_000, 300_000] {
        let (request, answer) = (pattern(length, 1), pattern(length * 2, 2));
        let (question, reply) = (request.clone(), answer.clone());
        let (mut writer, mut other) =
            (client.try_clone().expect("a dup"), server.try_clone().expect("a dup"));
        let sending = thread::spawn(move || writer.write_all(&question).expect("written"));
        let answering = thread::spawn(move || other.write_all(&reply).expect("written"));
        let mut got = vec![0; length];
        server.read_exact(&mut got).expect("the request");
        assert!(got == request, "request of {length}");
        let mut got = vec![0; length * 2];
        client.read_exact(&mut got).expect("the answer");
        assert!(got == answer, "answer of {length}");
        sending.join().expect("sent");
        answering.join().expect("answered");
    }
    drop(client);
    assert_eq!(rest(&mut server), "");
    wait_for("the session ends", || rig.shard().counters.connections.get() == 0);
    rig.drain(0);
}

#[test]
fn a_slow_reader_stops_its_server_and_loses_nothing() {
    const TOTAL: usize = 48 << 20;
    let rig = Rig::start(PLAIN);
    let (mut client, mut server) = rig.pair();
    let sending = thread::spawn(move || {
        let piece = pattern(1 << 20, 7);
        for _ in 0..TOTAL >> 20 {
            server.write_all(&piece).expect("sent");
        }
    });
    thread::sleep(Duration::from_millis(300));
    let received = rig.shard().counters.bytes_received.get();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(received, rig.shard().counters.bytes_received.get(), "weir keeps reading");
    let kernel = 12 << 20;
    assert!(received < kernel, "{received} bytes taken for a client that reads none");
    let piece = pattern(1 << 20, 7);
    let mut got = vec![0; 1 << 20];
    for number in 0..TOTAL >> 20 {
        client.read_exact(&mut got).expect("all of it");
        assert!(got == piece, "piece {number}");
    }
    sending.join().expect("sent");
    assert_eq!(rest(&mut client), "");
    let waited = rig.durations(Timed::ClientWait);
    assert!(waited.count() > 0, "a full socket is not measured");
    assert!(waited.sum_us() >= 400_000, "{} us", waited.sum_us());
    rig.drain(0);
}

#[test]
fn last_words_reach_the_client() {
    let rig = Rig::start(PLAIN);
    for _ in 0..20 {
        let (mut client, mut server) = rig.pair();
        client.write_all(b"never read by the server").expect("sent");
        let words = pattern(200_000, 3);
        server.write_all(&words).expect("sent");
        server.shutdown(Shutdown::Write).expect("shut");
        let mut got = Vec::new();
        client.read_to_end(&mut got).expect("no reset");
        assert!(got == words, "{} of {} bytes", got.len(), words.len());
    }
    rig.drain(0);
}

#[test]
fn a_reset_server_is_told_to_the_client() {
    let rig = Rig::start(PLAIN);
    let (mut client, server) = rig.pair();
    client.write_all(b"x").expect("sent");
    wait_for("it arrives", || server.peek(&mut [0]).is_ok_and(|count| count == 1));
    // Closing with unread bytes resets the connection.
    drop(server);
    assert_eq!(rest(&mut client), "target-closed");
    rig.drain(0);
}

#[test]
fn addresses_are_tried_in_turn_and_failure_is_told() {
    let target = TcpListener::bind("127.0.0.1:0").expect("a port");
    let alive = target.local_addr().expect("an address");
    let rig = Rig::start_with(PLAIN, target, vec![DEAD, alive]);
    let (mut client, mut server) = rig.pair();
    client.write_all(b"hello").expect("sent");
    expect(&mut server, b"hello");
    rig.drain(0);

    let check = |addresses, expect: &str| {
        let target = TcpListener::bind("127.0.0.1:0").expect("a port");
        let rig = Rig::start_with(PLAIN, target, addresses);
        assert_eq!(rest(&mut rig.connect()), expect);
        rig.drain(0);
    };
    check(vec![DEAD], "target-connect");
    check(vec![], "target-resolve");
}

#[test]
fn a_panic_ends_its_session_alone() {
    let rig = Rig::start(PLAIN);
    let (mut other, mut server) = rig.pair();
    let (mut client, mut its_server) = rig.pair();
    client.write_all(&[PANIC]).expect("sent");
    assert_eq!(rest(&mut client), "internal");
    assert_eq!(rest(&mut its_server), "", "nothing reaches the target");
    drop((client, its_server));
    wait_for("it is counted", || rig.shard().counters.panics.get() == 1);
    other.write_all(b"still here").expect("sent");
    expect(&mut server, b"still here");
    rig.drain(0);
}

#[test]
fn a_timer_comes_up_while_nothing_else_happens() {
    let rig = Rig::start(PLAIN);
    let (mut client, _server) = rig.pair();
    let start = Instant::now();
    client.write_all(&[TIMER]).expect("sent");
    expect(&mut client, b"time");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(29) && took < Duration::from_secs(2), "{took:?}");
    rig.drain(0);
}

#[test]
fn an_idle_shard_sleeps() {
    let rig = Rig::start(PLAIN);
    let (_client, _server) = rig.pair();
    // The start is on the disk by then.
    thread::sleep(Duration::from_millis(500));
    let before = rig.shard().counters.turns.get();
    thread::sleep(Duration::from_secs(1));
    let turns = rig.shard().counters.turns.get() - before;
    assert!(turns <= 1, "{turns} turns in a second without anything to do");
    rig.drain(0);
}

#[test]
fn bytes_wait_for_the_disk_when_the_target_asks_for_it() {
    let rig = Rig::start(PLAIN);
    let (mut client, mut server) = rig.pair();
    client.write_all(&[SYNC, b'1']).expect("sent");
    expect(&mut server, b"1");
    assert!(rig.shard().counters.syncs.get() >= 1, "forwarded without a sync");
    for _ in 0..20 {
        let before = rig.shard().counters.syncs.get();
        client.write_all(b"2").expect("sent");
        expect(&mut server, b"2");
        assert!(rig.shard().counters.syncs.get() > before, "forwarded without a sync");
    }
    // The last one is counted just after it has left.
    wait_for("each is measured", || rig.durations(Timed::JournalWait).count() >= 21);
    let waited = rig.durations(Timed::JournalWait);
    assert_eq!(waited.count(), 21, "each piece waited once");
    assert!(waited.sum_us() > 0);
    // The machine says `write` once it is closed; what it leaves must wait all the same.
    let before = rig.shard().counters.syncs.get();
    server.write_all(b"last").expect("sent");
    server.shutdown(Shutdown::Write).expect("shut");
    assert_eq!(rest(&mut client), "last");
    assert!(rig.shard().counters.syncs.get() > before, "answered without a sync");
    rig.drain(0);
}

#[test]
fn in_write_mode_the_disk_follows_soon() {
    let rig = Rig::start(PLAIN);
    let (mut client, mut server) = rig.pair();
    client.write_all(b"1").expect("sent");
    expect(&mut server, b"1");
    wait_for("a sync", || rig.shard().counters.syncs.get() >= 1);
    wait_for("no lag", || rig.shard().counters.journal_lag.get() == 0);
    assert_eq!(rig.durations(Timed::JournalWait).count(), 0, "nothing waits in this mode");
    rig.drain(0);
}

#[test]
fn messages_are_answered() {
    let rig = Rig::start(PLAIN);
    let (mut client, _server) = rig.pair();
    let (mut doomed, mut its_server) = rig.pair();
    wait_for("both are listed", || rig.sessions().len() == 2);
    let id = rig.sessions().last().expect("two sessions").session_id;
    let kill = |id| {
        let (answer, killed) = oneshot::channel();
        rig.send(ToShard::Kill(id, answer));
        killed.blocking_recv().expect("an answer")
    };
    assert!(kill(id));
    assert_eq!(rest(&mut doomed), "killed");
    assert_eq!(rest(&mut its_server), "");
    drop((doomed, its_server));
    wait_for("it is gone", || rig.sessions().len() == 1);
    assert!(!kill(id));
    let vote = Vote {
        approver: "ann".to_owned(),
        groups: Vec::new(),
        approve: true,
        reason: String::new(),
        digest: None,
        ..Vote::default()
    };
    let (answer, voted) = oneshot::channel();
    rig.send(ToShard::Vote(id, vote, answer));
    assert_eq!(voted.blocking_recv(), Ok(VoteReply::Unknown));
    let source = SnapshotSource {
        settings: Arc::new(settings(PLAIN)),
        catalogs: vec![Some(Arc::default())],
        catalogs_begun_us: vec![u64::MAX / 2; 8],
        addresses: vec![vec![]],
        keys: Vec::new(),
        windows: Vec::new(),
        minors: Vec::new(),
        changes: Vec::new(),
        tokens: Default::default(),
        mock_seed: [0; 32],
    };
    rig.send(ToShard::Snapshot(Arc::new(source)));
    expect(&mut client, b"snapshot");
    rig.drain(0);
}

#[test]
fn a_drain_waits_for_its_deadline() {
    let rig = Rig::start(PLAIN);
    let (mut client, mut server) = rig.pair();
    let address = rig.shard().addresses[0];
    let start = Instant::now();
    rig.send(ToShard::Drain { deadline_us: super::clock::mono_us() + 300_000 });
    wait_for("the listener closes", || TcpStream::connect(address).is_err());
    client.write_all(b"still served").expect("sent");
    expect(&mut server, b"still served");
    assert_eq!(rest(&mut client), "drained");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    drop((client, server));
    rig.drain(0);
}

#[test]
fn a_drain_ends_sessions_that_do_not_end() {
    let rig = Rig::start(PLAIN);
    let (mut client, _server) = rig.pair();
    client.write_all(b"1").expect("sent");
    let end = thread::spawn(move || rest(&mut client));
    rig.drain(super::clock::mono_us() + 100_000);
    assert_eq!(end.join().expect("an orderly end"), "drained");
}

#[test]
fn clients_above_the_cap_are_told_so() {
    let rig = Rig::start(Options { sessions_max: Some(2), ..PLAIN });
    let (_first, _server) = rig.pair();
    let (second, _its_server) = rig.pair();
    let mut third = rig.connect();
    third.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).expect("sent");
    expect(&mut third, b"N");
    third.write_all(b"\0\0\0\x14\0\x03\0\0user\0alice\0\0").expect("sent");
    let refusal = rest(&mut third);
    assert!(refusal.starts_with('E') && refusal.contains("C53300"), "{refusal}");
    assert_eq!(rig.shard().counters.refused.get(), 1);
    drop(second);
    wait_for("there is room", || rig.shard().counters.connections.get() == 1);
    let (mut fourth, mut server) = rig.pair();
    fourth.write_all(b"in").expect("sent");
    expect(&mut server, b"in");
    rig.drain(0);
}

mod cancel;
mod dial;
mod many;
mod relay;
mod stream;
mod tls;
