//! Scripted peers around one session: whole conversations, split at every byte.

mod anew;
mod events;
mod guesses;
mod hello;
mod lasting;
mod late;
mod many;
mod refusals;
mod two;
mod waits;

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::Session;
use crate::clock::Now;
use crate::config;
use crate::decide::Classifier;
use crate::decide::approval::ADMIN_TOKEN;
use crate::fault::{self, Refused};
use crate::forward::dial::Endpoint;
use crate::identify::scram::SaltedCache;
use crate::metrics::Meters;
use crate::record::body::Body;
use crate::record::entry::{Decision, Outcome};
use crate::record::memory::MemoryJournal;
use crate::record::{Lsn, SessionId};
use crate::session::{
    Accepted, After, Driven, Event, Learned, Leased, Output, Reuse, Room, Snapshot, SnapshotSource,
    Stage, Vote, VoteReply,
};
use crate::wire::{End, LegId, Protocol};

const CONFIG: &str = r#"
data_dir = "data"
[listen.http]
address = "127.0.0.1:0"
[[target]]
name = "billing"
protocol = "http"
address = "http://127.0.0.1:8080/base"
[[target.credential]]
role = "svc"
bearer = { env = "TOKEN" }
[[target]]
name = "tools"
protocol = "mcp"
address = "http://127.0.0.1:8080/mcp"
[[target]]
name = "calls"
protocol = "http"
http = "2"
address = "http://127.0.0.1:8080"
[[target.credential]]
role = "svc"
bearer = { env = "TOKEN" }
[[identity.user]]
name = "bot"
password = { env = "BOT" }
groups = ["agents"]
[[rule]]
name = "all"
when = { commands = ["read", "write", "delete", "tunnel"] }
then = "allow"
[[rule]]
name = "no secrets"
when = { paths = ["/secret/*"] }
then = "deny"
[[rule]]
name = "seen"
when = { methods = ["DELETE"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "10m" } }
[[rule]]
name = "drops are seen"
when = { tools = ["drop*"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "10m" } }
"#;

thread_local! {
    static SNAPSHOT: Rc<Snapshot> = snapshot("");
}

/// What is asked while no client waits is the process's, and goes by the time of whoever looks: one
/// test at a time has a clock of it.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Of the configuration, and `more` of it.
fn snapshot(more: &str) -> Rc<Snapshot> {
    let env = |name: &str| match name {
        "BOT" => Some("secret".to_owned()),
        "TOKEN" => Some("hidden-from-clients".to_owned()),
        _ => None,
    };
    let text = format!("{CONFIG}{more}");
    let settings = config::load::parse(&text, "test.toml", Path::new("."), &env);
    let settings = settings.unwrap_or_else(|errors| panic!("{errors}"));
    let targets = settings.targets.len();
    Rc::new(Snapshot::build(&SnapshotSource {
        settings: Arc::new(settings),
        catalogs: vec![None; targets],
        catalogs_begun_us: vec![0; targets],
        addresses: vec![vec![endpoint()]; targets],
        keys: Vec::new(),
        windows: Vec::new(),
        minors: vec![Arc::default(); targets],
        changes: Vec::new(),
        tokens: Default::default(),
        mock_seed: [1; 32],
    }))
}

fn endpoint() -> Endpoint {
    Endpoint { host: "db".into(), address: SocketAddr::from(([127, 0, 0, 1], 8080)) }
}

fn nanoseconds() -> u64 {
    thread_local!(static TIME: Cell<u64> = const { Cell::new(0) });
    TIME.with(|time| {
        time.set(time.get() + 5_000);
        time.get()
    })
}

/// One session between a client and a target that answers by script.
struct Bench {
    session: Session,
    journal: MemoryJournal,
    now: Now,
    snapshot: Rc<Snapshot>,
    classifier: Classifier,
    salted: SaltedCache,
    room: Room,
    meters: Meters,
    /// What the client and the target got.
    client: Vec<u8>,
    target: Vec<u8>,
    /// The leg that the session has.
    leg: Option<LegId>,
    /// Legs that were asked for, kept, closed.
    legs: [usize; 3],
    ask: Option<SessionId>,
    closed: bool,
    /// The next leg is one that was given back before.
    reused: bool,
    /// What was given back with the last leg.
    learned: Option<Learned>,
    /// The terms of the last leg that was asked for.
    terms: Option<Reuse>,
    /// How often TLS with the client was to begin.
    shakes: usize,
}

impl Bench {
    fn new() -> Bench {
        Bench::accepting(false)
    }

    /// A client of a listener that speaks TLS, or not.
    fn accepting(tls_available: bool) -> Bench {
        let snapshot = SNAPSHOT.with(Rc::clone);
        let mut classifier = Classifier::new();
        let (mut salted, mut journal) = (SaltedCache::new(), MemoryJournal::new());
        let now = Now { wall_us: 1_700_000_000_000_000, mono_us: 1_000 };
        let (meters, room) = (Meters::new(nanoseconds), Room::default());
        let accepted = Accepted {
            listener: 0,
            protocol: Protocol::Http,
            session_id: SessionId([9; 16]),
            client_addr: SocketAddr::from(([127, 0, 0, 9], 40_000)),
            tls_available,
            tls_required: tls_available,
        };
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
        let session = Session::accept(accepted, &mut stage);
        Bench {
            session,
            journal,
            now,
            snapshot,
            classifier,
            salted,
            room,
            meters,
            client: Vec::new(),
            target: Vec::new(),
            leg: None,
            legs: [0; 3],
            ask: None,
            closed: false,
            reused: false,
            learned: None,
            terms: None,
            shakes: 0,
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        self.handle(event);
        self.settle();
    }

    fn handle(&mut self, event: Event<'_>) {
        self.with(|session, stage| session.handle(event, stage));
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Session, &mut Stage<'_>) -> R) -> R {
        let mut stage = Stage {
            snapshot: &self.snapshot,
            classifier: &mut self.classifier,
            salted: &mut self.salted,
            journal: &mut self.journal,
            random: &mut |bytes: &mut [u8]| bytes.fill(3),
            room: &self.room,
            meters: &self.meters,
            now: self.now,
        };
        work(&mut self.session, &mut stage)
    }

    /// Takes outputs and what may leave.
    fn settle(&mut self) {
        let mut leased = None;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Lease(lease) => {
                    (leased, self.terms) = (Some(lease.leg), lease.reuse);
                }
                Output::Release(leg, after) => {
                    assert_eq!(self.leg.take(), Some(leg), "a leg that it has not");
                    self.legs[if matches!(after, After::Close) { 2 } else { 1 }] += 1;
                    if let After::Keep(kept) = after {
                        // One that had to be fresh says no terms.
                        let asked = self.terms.as_ref().unwrap_or(&kept.terms);
                        assert_eq!(&kept.terms, asked, "other terms");
                        self.learned = Some(kept.learned);
                    }
                }
                Output::AskOpened(summary) => self.ask = Some(summary.id),
                Output::AskClosed(id, _) => assert_eq!(self.ask.take(), Some(id)),
                Output::Close(_) => self.closed = true,
                Output::Settled(_) => {}
                Output::StartTls(End::Client) => self.shakes += 1,
                other => panic!("{other:?}"),
            }
        }
        self.take();
        if let Some(leg) = leased {
            assert!(self.leg.is_none(), "two legs at a time");
            self.leg = Some(leg);
            self.legs[0] += 1;
            let learned = self.learned.take().unwrap_or(Learned::Nothing);
            let reused = std::mem::take(&mut self.reused).then_some(learned);
            self.tell(Event::Leg(leg, Ok(Leased { endpoint: endpoint(), own: None, reused })));
        }
    }

    fn take(&mut self) {
        let ends = [Some(End::Client), self.leg.map(End::Target)];
        for end in ends.into_iter().flatten() {
            let Some(outbox) = self.session.outbox(end) else { continue };
            let bytes = outbox.sendable(Lsn(u64::MAX)).to_vec();
            outbox.consume(bytes.len());
            match end {
                End::Client => self.client.extend(bytes),
                End::Target(_) => self.target.extend(bytes),
            }
        }
    }

    /// The client's connection is reset.
    fn lose(&mut self) {
        let why = fault::FaultKind::Malformed(fault::Malformed::Truncated);
        self.tell(Event::Broken(End::Client, fault::Fault::new(crate::wire::Side::Client, why)));
    }

    fn send(&mut self, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece) {
            self.tell(Event::Bytes(End::Client, part));
        }
    }

    fn answer(&mut self, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece) {
            let leg = self.leg.expect("a leg to answer on");
            self.tell(Event::Bytes(End::Target(leg), part));
        }
    }

    /// Decisions and outcomes in the record.
    fn record(&self) -> (Vec<Decision>, Vec<Outcome>) {
        let (mut decisions, mut outcomes) = (Vec::new(), Vec::new());
        for body in self.journal.bodies() {
            match body {
                Body::Command(command) => decisions.push(command.decision),
                Body::Response(response) => outcomes.push(response.outcome),
                _ => {}
            }
        }
        (decisions, outcomes)
    }

    fn client_text(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.client)).into_owned()
    }

    fn target_text(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.target)).into_owned()
    }
}

/// A request of the bot's; `|` stands for CRLF.
fn request(line: &str, rest: &str) -> Vec<u8> {
    let head = "Host: Billing|Authorization: Basic Ym90OnNlY3JldA==|";
    format!("{line} HTTP/1.1|{head}{rest}").replace('|', "\r\n").into_bytes()
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_conversation_is_the_same_in_any_split() {
    let run = |piece: usize, answer_piece: usize| {
        let mut bench = Bench::new();
        bench.send(&request("POST /a?b", "Transfer-Encoding: chunked||3;x|xyz|1|w|0||"), piece);
        bench.answer(OK, answer_piece);
        bench.send(&request("GET /secret/x", "|"), piece);
        bench.send(&request("GET /c", "|"), piece);
        bench.answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
            answer_piece,
        );
        let record = bench.record();
        let client = unnumbered(&unchunked(&bench.client_text()));
        (client, unchunked(&bench.target_text()), record, bench.legs)
    };
    let whole = run(10_000, 10_000);
    assert!(whole.1.starts_with("POST /base/a?b HTTP/1.1Host: 127.0.0.1:8080"), "{}", whole.1);
    assert!(whole.1.contains("Authorization: Bearer hidden") && !whole.1.contains("Basic"));
    assert!(!whole.1.contains("/secret/"), "{}", whole.1);
    assert_eq!(whole.2.0, [Decision::Allow, Decision::Deny, Decision::Allow]);
    assert_eq!(whole.2.1, [Outcome::Success, Outcome::Denied, Outcome::Success]);
    assert_eq!(whole.3, [2, 2, 0]);
    for piece in [1, 2, 3, 7, 50] {
        assert_eq!(run(piece, 10_000), whole, "the client in pieces of {piece}");
        assert_eq!(run(10_000, piece), whole, "the target in pieces of {piece}");
    }
}

/// Without the number of the denied command, which follows how many rows content took.
fn unnumbered(text: &str) -> String {
    let Some((before, after)) = text.split_once("urn:weir:command:") else { return text.into() };
    let after = after.split_once(',').map_or("", |(_, rest)| rest);
    format!("{before}{after}")
}

/// Without the sizes of chunks, which follow the pieces that came.
fn unchunked(text: &str) -> String {
    let is_size = |line: &&str| !line.is_empty() && line.bytes().all(|b| b.is_ascii_hexdigit());
    text.split("\r\n")
        .filter(|line| !is_size(line))
        .collect::<Vec<_>>()
        .join("")
        .replace("\r\n", "")
}

#[test]
fn what_cannot_be_recorded_goes_nowhere() {
    for entries in 0..6 {
        let mut bench = Bench::new();
        bench.journal.refuse_after(entries, Refused::Full);
        bench.send(&request("POST /a", "Content-Length: 3||abc"), 1000);
        if bench.leg.is_some() {
            bench.answer(OK, 1000);
        }
        let (decisions, outcomes) = bench.record();
        let (client, target) = (bench.client_text(), bench.target_text());
        assert!(!target.contains("POST") || !decisions.is_empty(), "{entries}: {target}");
        assert!(!target.contains("abc") || decisions == [Decision::Allow], "{entries}: {target}");
        let is_whole = client.contains("hello");
        assert_eq!(is_whole, outcomes.contains(&Outcome::Success), "{entries}: {client}");
        if decisions.is_empty() {
            assert!(client.starts_with("HTTP/1.1 503 "), "{entries}: {client}");
        }
    }
}

#[test]
fn a_held_request_waits_for_its_vote_and_goes_with_its_client() {
    let vote = |approve: bool| Vote {
        approver: "dora".into(),
        groups: vec!["dba".into()],
        approve,
        reason: "fine".into(),
        digest: None,
        auth: ADMIN_TOKEN.into(),
        ..Vote::default()
    };
    for approve in [true, false] {
        let mut bench = Bench::new();
        bench.send(&request("DELETE /a", "Content-Length: 3||abc"), 1);
        assert!(bench.leg.is_none() && bench.client.is_empty(), "it waits");
        let id = bench.ask.expect("people are asked");
        let mut reply = VoteReply::Unknown;
        bench.tell(Event::Vote(id, &vote(approve), &mut reply));
        if approve {
            assert_eq!(reply, VoteReply::Counted { missing: 0 });
            assert!(bench.target_text().ends_with("\r\n\r\nabc"));
            bench.answer(OK, 1000);
            assert!(bench.client_text().ends_with("hello"));
            assert_eq!(bench.record().0, [Decision::Hold, Decision::Allow]);
        } else {
            assert_eq!(reply, VoteReply::Denied);
            assert!(bench.client_text().contains("denied by dora"));
            assert_eq!(bench.record().0, [Decision::Hold, Decision::Deny]);
        }
    }
    let mut bench = Bench::new();
    bench.send(&request("DELETE /a", "|"), 1000);
    assert!(bench.ask.is_some());
    bench.tell(Event::Eof(End::Client));
    assert_eq!(bench.client_text(), CONTINUE, "it is asked whether it is there");
    assert!(bench.ask.is_some() && !bench.closed, "it may have said all");
    bench.lose();
    assert!(bench.ask.is_none() && bench.closed && bench.leg.is_none());
    // Nobody denied it.
    let abandoned = (vec![Decision::Hold, Decision::Abandoned], vec![Outcome::Abandoned]);
    assert_eq!(bench.record(), abandoned);
}

/// The configuration of these tests knows nobody of this name: as after a reload that removed them.
#[test]
fn a_vote_of_somebody_who_was_removed_does_not_release_a_request() {
    let mut bench = Bench::new();
    bench.send(&request("DELETE /a", "Content-Length: 3||abc"), 1);
    let id = bench.ask.expect("people are asked");
    let gone = Vote {
        approver: "dora".into(),
        groups: vec!["dba".into()],
        approve: true,
        auth: "password".into(),
        ..Vote::default()
    };
    let mut reply = VoteReply::Unknown;
    bench.tell(Event::Vote(id, &gone, &mut reply));
    assert_eq!(reply, VoteReply::Settled(crate::session::Next::Stopped));
    assert!(bench.leg.is_none(), "it does not run");
    assert_eq!(bench.record().0, [Decision::Hold, Decision::Deny]);
    let steps = ["requested", "vote-approve", "approved", "vote-lapsed", "superseded"];
    assert_eq!(bench.steps(), steps);
}

/// The end of what a client sends is not its end: only what it is sent shows whether it is there.
#[test]
fn a_client_that_sends_no_more_gets_its_answer() {
    for (asked, answers) in [
        (request("GET /a", "|"), 1),
        (request("POST /a", "Content-Length: 3||abc"), 1),
        (request("POST /a", "Transfer-Encoding: chunked||3|abc|0||"), 1),
        ([request("GET /a", "|"), request("GET /b", "|")].concat(), 2),
        ([request("POST /a", "Content-Length: 1||a"), request("GET /b", "|")].concat(), 2),
    ] {
        let mut bench = Bench::new();
        bench.send(&asked, 1000);
        bench.tell(Event::Eof(End::Client));
        for _ in 0..answers {
            assert!(!bench.closed, "it is still owed an answer");
            bench.answer(OK, 1000);
        }
        let text = bench.client_text();
        assert_eq!(text.matches("200 OK").count(), answers, "{text}");
        assert_eq!(text.matches("close").count(), 1, "the last one says so: {text}");
        assert!(bench.closed && bench.leg.is_none());
        assert_eq!(bench.record().1, vec![Outcome::Success; answers]);
    }
    // A request that is not whole is none.
    for cut in ["Content-Length: 3||ab", "Transfer-Encoding: chunked||3|abc|"] {
        let mut bench = Bench::new();
        bench.send(&request("POST /a", cut), 1000);
        bench.tell(Event::Eof(End::Client));
        assert!(bench.closed && bench.leg.is_none(), "{cut}");
        assert_eq!(bench.record().1, [Outcome::Aborted]);
    }
}

#[test]
fn a_client_that_sends_no_more_is_asked_whether_it_is_there() {
    let pass = |bench: &mut Bench, seconds: u64| {
        bench.now.mono_us += seconds * 1_000_000;
        bench.tell(Event::Timeout);
    };
    let mut bench = Bench::new();
    bench.send(&request("GET /silent", "|"), 1000);
    pass(&mut bench, 100);
    assert!(!bench.closed, "it may be silent for as long as it likes");
    bench.tell(Event::Eof(End::Client));
    assert_eq!(bench.client_text(), "", "most targets answer in a second");
    for _ in 0..2 {
        pass(&mut bench, 10);
        assert_eq!(bench.client_text(), CONTINUE);
    }
    bench.lose();
    assert!(bench.closed && bench.leg.is_none());
    assert_eq!((bench.legs, bench.record().1), ([1, 0, 1], vec![Outcome::Aborted]));
    // Between events it is sent a comment, inside of one nothing.
    const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    let mut bench = Bench::new();
    bench.send(&request("GET /events", "|"), 1000);
    bench.answer(EVENTS, 1000);
    bench.tell(Event::Eof(End::Client));
    bench.client_text();
    pass(&mut bench, 10);
    assert_eq!(bench.client_text(), "3\r\n:\n\n\r\n");
    bench.answer(b"6\r\ndata: \r\n", 1000);
    bench.client_text();
    pass(&mut bench, 10);
    assert_eq!(bench.client_text(), "");
    bench.answer(b"3\r\n2\n\n\r\n0\r\n\r\n", 1000);
    assert!(bench.client_text().ends_with("2\n\n\r\n0\r\n\r\n") && bench.closed);
    assert_eq!(bench.record().1, [Outcome::Success]);
    // HTTP/1.0 knows nothing that could be sent: nobody is asked for somebody who may be gone.
    let mut bench = Bench::new();
    let old = String::from_utf8(request("DELETE /a", "|")).expect("text");
    bench.send(old.replace("HTTP/1.1", "HTTP/1.0").as_bytes(), 1000);
    bench.tell(Event::Eof(End::Client));
    let text = bench.client_text();
    assert!(text.starts_with("HTTP/1.1 403 ") && text.contains("HTTP/1.0"), "{text}");
    assert!(bench.closed && bench.ask.is_none());
}

#[test]
fn a_kept_connection_that_was_closed_is_tried_once_more() {
    let mut bench = Bench::new();
    bench.reused = true;
    bench.send(&request("GET /a", "|"), 1000);
    let leg = bench.leg.expect("a leg");
    bench.tell(Event::Eof(End::Target(leg)));
    assert_eq!(bench.legs, [2, 0, 1]);
    bench.answer(OK, 1000);
    assert!(bench.client_text().ends_with("hello"));
    assert_eq!(bench.target_text().matches("GET /base/a").count(), 2);
    assert_eq!(bench.record(), (vec![Decision::Allow], vec![Outcome::Success]));
    // What may have run is not sent again.
    let mut bench = Bench::new();
    bench.reused = true;
    bench.send(&request("POST /a", "|"), 1000);
    let leg = bench.leg.expect("a leg");
    bench.tell(Event::Eof(End::Target(leg)));
    assert!(bench.client_text().starts_with("HTTP/1.1 502 "));
    assert_eq!((bench.legs, bench.record().1), ([1, 0, 1], vec![Outcome::Aborted]));
}

#[test]
fn a_connection_on_which_more_was_said_than_the_answer_is_not_kept() {
    for behind in [&b"HTTP/1.1 200 OK\r\n"[..], b"\n", b"hello"] {
        let mut bench = Bench::new();
        bench.send(&request("GET /a", "|"), 1000);
        bench.answer(&[OK, behind].concat(), 1000);
        assert!(bench.client_text().ends_with("hello"));
        assert_eq!(bench.legs, [1, 0, 1], "{behind:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_never_whole() {
    let mut bench = Bench::new();
    bench.send(&request("GET /a", "|"), 1000);
    bench.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", 1000);
    let leg = bench.leg.expect("a leg");
    bench.tell(Event::Eof(End::Target(leg)));
    let text = bench.client_text();
    assert!(bench.closed && !text.contains("0\r\n\r\n"), "{text}");
    assert_eq!(bench.record().1, [Outcome::Aborted]);
    let mut bench = Bench::new();
    bench.send(&request("GET /a", "|"), 1000);
    bench.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 1000);
    let text = bench.client_text();
    assert!(text.starts_with("HTTP/1.1 502 ") && !text.contains("hello"), "{text}");
}

#[test]
fn nobody_learns_whether_a_user_or_a_host_exists() {
    let ask = |host: &str, authorization: &str| {
        let mut bench = Bench::new();
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
        bench.send(text.as_bytes(), 1000);
        assert!(bench.leg.is_none() && bench.target.is_empty());
        bench.client_text()
    };
    let wrong = ask("billing", "Authorization: Basic Ym90Ondyb25n\r\n");
    assert!(wrong.starts_with("HTTP/1.1 401 "), "{wrong}");
    assert_eq!(wrong, ask("billing", "Authorization: Basic bm9ib2R5Ondyb25n\r\n"));
    assert_eq!(ask("billing", ""), ask("elsewhere", ""));
    let two = "Authorization: Basic Ym90OnNlY3JldA==\r\nAuthorization: Basic Ym90OnNlY3JldA==\r\n";
    assert!(ask("billing", two).starts_with("HTTP/1.1 401 "));
}

mod parked;
