//! `kill -9` while clients write: what a client was told, the record knows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::lake::{Lake, Row, bytes, number, text};
use crate::support::raw::{Raw, extended, query, sync};
use crate::support::tools::{client, pgbench};
use crate::support::weir::CLEAR;
use crate::support::{Database, Endpoint, Postgres, Spec, Weir, short_or_long, wait_until};

/// Clients that insert ids one by one, and remember each that the server acknowledged.
struct Ledger {
    acknowledged: Mutex<Vec<String>>,
    count: AtomicUsize,
    stop: AtomicBool,
}

const CLIENTS: usize = 6;

impl Ledger {
    fn new() -> Ledger {
        Ledger {
            acknowledged: Mutex::new(Vec::new()),
            count: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// Inserts until the connection breaks or the ledger stops.
    fn work(&self, endpoint: &Endpoint, client: usize, round: u32) {
        // weir may have died already.
        if std::net::TcpStream::connect(("127.0.0.1", endpoint.port)).is_err() {
            return;
        }
        let (mut raw, greeting) = Raw::try_login(endpoint);
        if greeting.last().is_none_or(|message| message.kind != b'Z') {
            return;
        }
        let mut acknowledged = Vec::new();
        let large = format!(" RETURNING repeat('x', 30000) /* {} */", "y".repeat(10_000));
        for count in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let id = format!("id-{round}-{client}-{count}-x");
            // Some are large, and so are their answers: they are written to the journal otherwise.
            let rest = if count % 4 == 3 { &*large } else { "" };
            // Half of the clients speak the extended protocol.
            let bytes = if client < CLIENTS / 2 {
                query(&format!("INSERT INTO ledger VALUES ('{id}'){rest}"))
            } else {
                extended_insert(&id, rest)
            };
            if raw.try_send(&bytes).is_err() || !committed(&mut raw) {
                break;
            }
            acknowledged.push(id);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        self.acknowledged.lock().expect("the ledger").extend(acknowledged);
    }
}

fn extended_insert(id: &str, rest: &str) -> Vec<u8> {
    [extended(&format!("INSERT INTO ledger VALUES ($1){rest}"), &[Some(id)]), sync()].concat()
}

/// Whether the server said that the statement is done and the transaction over.
fn committed(raw: &mut Raw) -> bool {
    let mut complete = false;
    loop {
        match raw.read() {
            Ok(Some(message)) if message.kind == b'C' => complete = true,
            Ok(Some(message)) if message.kind == b'Z' => return complete,
            Ok(Some(message)) if message.kind == b'E' => return false,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return false,
        }
    }
}

/// The id that a command inserts, if it is one of ours.
fn id_of(command: &Row) -> Option<String> {
    let said = text(command, "query_text") + &text(command, "params_json");
    let start = said.find("id-")?;
    let end = start + said[start..].find("-x")? + 2;
    Some(said[start..end].to_owned())
}

/// What the record says of the ledger.
struct Recorded {
    /// Outcomes of the commands that inserted each id.
    outcomes: BTreeMap<String, Vec<String>>,
    /// Whether an answer was kept that is larger than what the journal takes at once.
    large: bool,
}

/// What a response says that it kept must be there. Only columns that are needed are read, since a
/// hundred kills leave millions of rows.
fn recorded(lake: &Lake) -> Recorded {
    let key = |row: &Row, seq: &str| (text(row, "session_id"), number(row, seq));
    let mut large = false;
    let mut kept: BTreeMap<(String, i64), i64> = BTreeMap::new();
    lake.each_row("stream_chunks", Some(&["session_id", "command_seq", "raw_len"]), |row| {
        let length = number(&row, "raw_len");
        large |= length > 30_000;
        *kept.entry(key(&row, "command_seq")).or_default() += length;
    });
    let mut responses = BTreeMap::new();
    let columns = ["session_id", "command_seq", "captured_bytes", "outcome"];
    lake.each_row("responses", Some(&columns), |row| {
        let key = key(&row, "command_seq");
        let captured = number(&row, "captured_bytes");
        assert_eq!(kept.remove(&key).unwrap_or(0), captured, "kept of {key:?}");
        let before = responses.insert(key.clone(), text(&row, "outcome"));
        assert!(before.is_none(), "two responses to {key:?}");
    });
    drop(kept);
    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let columns = ["session_id", "seq", "query_text", "params_json"];
    lake.each_row("commands", Some(&columns), |row| {
        if let Some(id) = id_of(&row) {
            let outcome = responses.get(&key(&row, "seq"));
            outcomes.entry(id).or_default().push(outcome.map_or("none".to_owned(), String::clone));
        }
    });
    Recorded { outcomes, large }
}

fn setup() -> Database {
    let database = Postgres::shared().database();
    database.sql("CREATE TABLE ledger (id text PRIMARY KEY); GRANT ALL ON ledger TO app");
    pgbench(&database.endpoint(), &["-i", "-q", "-s", "1"]);
    database
}

/// A background load that does not care whether it is cut off.
fn load(endpoint: &Endpoint) -> Child {
    let mut command = client("pgbench");
    endpoint.give_to(&mut command);
    command.args(["-n", "-N", "-M", "prepared", "-c", "4", "-T", "30"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("pgbench")
}

fn kill_rounds(weir: &mut Weir, rounds: u32) -> Vec<String> {
    let ledger = Ledger::new();
    for round in 0..rounds {
        if round > 0 {
            weir.start();
        }
        let endpoint = weir.endpoint();
        let mut noise = load(&endpoint);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (ledger, endpoint) = (&ledger, &endpoint);
                scope.spawn(move || ledger.work(endpoint, client, round));
            }
            let before = ledger.count.load(Ordering::Relaxed);
            wait_until("acknowledged commands", Duration::from_secs(60), || {
                ledger.count.load(Ordering::Relaxed) > before + 50
            });
            // Another moment in each round, so that the kill meets other states.
            std::thread::sleep(Duration::from_millis(u64::from(round * 137 % 700)));
            weir.kill();
        });
        let _ = noise.kill();
        let _ = noise.wait();
    }
    ledger.acknowledged.into_inner().expect("the ledger")
}

/// What `kill -9` may cost: nothing that a client was told, and nothing that the server did.
fn survives(durability: &str, rounds: u32) {
    let database = setup();
    let settings = format!("{CLEAR}\ndurability = \"{durability}\"");
    let mut weir = Spec::new(&database).target_settings(&database.endpoint(), &settings).start();
    let acknowledged = kill_rounds(&mut weir, rounds);
    assert!(acknowledged.len() > 50 * rounds as usize, "only {} in all", acknowledged.len());
    weir.start();
    let lake = weir.lake();
    let Recorded { outcomes: found, large } = recorded(&lake);
    assert!(large, "no large answer was kept");
    let mut missing = Vec::new();
    for id in &acknowledged {
        match found.get(id).map(Vec::as_slice) {
            Some([outcome]) if outcome == "success" => {}
            other => missing.push(format!("{id}: {other:?}")),
        }
    }
    let total = acknowledged.len();
    assert!(missing.is_empty(), "{} of {total} acknowledged: {missing:#?}", missing.len());
    // No byte of a command reached the server without a record, acknowledged or not.
    let stored: BTreeSet<String> =
        database.sql("SELECT id FROM ledger").lines().map(str::to_owned).collect();
    let unrecorded: Vec<&String> = stored.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(
        unrecorded.is_empty(),
        "{} of {} ran unrecorded: {unrecorded:?}",
        unrecorded.len(),
        stored.len()
    );
    for id in &acknowledged {
        assert!(stored.contains(id), "{id} was acknowledged and is not in the table");
    }
    // Sessions that a crash cut off are closed by the recovery.
    let sessions = lake.rows("sessions");
    let of = |phase: &str| -> BTreeSet<String> {
        let rows = sessions.iter().filter(|row| text(row, "phase") == phase);
        rows.map(|row| text(row, "session_id")).collect()
    };
    let mut ended = of("end");
    ended.extend(of("recovered"));
    let open: Vec<String> = of("start").difference(&ended).cloned().collect();
    assert!(open.is_empty(), "sessions without an end: {open:?}");
    // Each start has its row in the journal of every shard that came to run before the kill; stops
    // are the last one's, so a crash shows as a start without a stop.
    let (boots, stops) = (lake.events("boot").len(), lake.events("shutdown").len());
    let starts = rounds as usize + 1;
    assert!(
        stops > 0 && (starts..=starts * stops).contains(&boots),
        "{boots} boots, {stops} stops"
    );
    assert!(lake.events("recovery").len() >= rounds as usize, "a crash without a recovery row");
}

#[test]
fn kill_nine_loses_no_acknowledged_command() {
    survives("write", short_or_long(5, 100));
}

#[test]
fn kill_nine_in_sync_mode_loses_no_acknowledged_command() {
    survives("sync", short_or_long(2, 20));
}

/// Rows that come slowly, each of a buffer of the server of its own: what a client has read is in
/// the journal when weir is killed.
#[test]
fn what_a_client_has_read_of_an_answer_is_recorded() {
    const ROW: usize = 9_000;
    let database = Postgres::shared().database();
    let slow = format!("SELECT repeat('r', {ROW}), pg_sleep(0.2) FROM generate_series(1, 50)");
    let mut weir = Spec::new(&database).start();
    let mut read = Vec::new();
    for is_extended in [false, true] {
        let sql = format!("{slow} -- {is_extended}");
        let mut raw = Raw::login(&weir.endpoint());
        let bytes = if is_extended { extended(&sql, &[]) } else { query(&sql) };
        raw.send(&bytes);
        let mut rows = 0;
        while rows < 3 {
            let message = raw.read().expect("the connection").expect("a message");
            rows += usize::from(message.kind == b'D');
        }
        weir.kill();
        // More may have come than was waited for, the last of it cut.
        while let Ok(Some(message)) = raw.read() {
            rows += usize::from(message.kind == b'D');
        }
        read.push((sql, rows));
        weir.start();
    }
    let lake = weir.lake();
    for (sql, rows) in read {
        let [command] = &lake.commands_with(&sql)[..] else { panic!("{sql}") };
        let of = (text(command, "session_id"), number(command, "seq"));
        let chunks = lake.rows("stream_chunks").into_iter();
        let kept: Vec<u8> = chunks
            .filter(|row| (text(row, "session_id"), number(row, "command_seq")) == of)
            .flat_map(|row| bytes(&row, "payload"))
            .collect();
        let of_rows = kept.iter().filter(|byte| **byte == b'r').count();
        assert!(of_rows >= rows * ROW, "{sql}: {rows} rows were read, {of_rows} bytes are kept");
    }
}

#[test]
fn a_graceful_stop_under_load_loses_nothing() {
    let database = setup();
    let mut weir = Spec::new(&database).start();
    let ledger = Ledger::new();
    let endpoint = weir.endpoint();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (ledger, endpoint) = (&ledger, &endpoint);
            scope.spawn(move || ledger.work(endpoint, client, 0));
        }
        wait_until("acknowledged commands", Duration::from_secs(60), || {
            ledger.count.load(Ordering::Relaxed) > 200
        });
        let status = weir.stop();
        ledger.stop.store(true, Ordering::Relaxed);
        assert!(status.success(), "{status}\n{}", weir.log());
    });
    let found = recorded(&weir.lake()).outcomes;
    let acknowledged = ledger.acknowledged.into_inner().expect("the ledger");
    assert!(!acknowledged.is_empty());
    for id in &acknowledged {
        assert_eq!(found.get(id).map(Vec::len), Some(1), "{id}");
        assert_eq!(found[id][0], "success", "{id}");
    }
    for id in database.sql("SELECT id FROM ledger").lines() {
        assert!(found.contains_key(id), "{id} ran unrecorded");
    }
}

/// A second weir on the same data directory would write over the first one's journal.
#[test]
fn a_second_weir_on_the_same_data_is_refused() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let second = Spec::new(&database).data_dir(weir.data_dir().to_owned()).prepare();
    let mut command: Command = second.command(&["run"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weir");
    let mut ended = None;
    for _ in 0..100 {
        ended = child.try_wait().expect("a child of ours");
        if ended.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
        panic!("a second weir runs on the same data directory");
    }
    let said = std::io::read_to_string(child.stderr.take().expect("stderr")).expect("text");
    assert!(ended.is_some_and(|status| !status.success()));
    assert!(said.contains(&weir.data_dir().display().to_string()), "{said}");
    // The first one is not disturbed.
    assert_eq!(crate::support::tools::psql(&weir.endpoint(), "SELECT 1"), "1");
}
