use std::sync::atomic::Ordering::Relaxed;

use super::super::entry::{Chunk, Command, Decision, Entry, Event, MaskingHit, SessionStart};
use super::super::pool::SegmentPool;
use super::super::sealer::Sealer;
use super::super::spool::Spool;
use super::super::testing::*;
use super::super::{Journal, SessionRef};
use super::*;

fn step(spool: &mut Spool, session: SessionRef, seq: u64, at: u64, entry: &Entry<'_>) {
    wait_until("room", || spool.append(session, seq, now(at), entry).is_ok());
}

fn rotate(spool: &mut Spool) {
    let before = spool.segment_number();
    wait_until("a rotation", || {
        spool.rotate(now(0));
        spool.segment_number() > before
    });
}

const DAY: u64 = 86_400_000_000;

/// Three sessions over three days: the first two days sealed, the third in the journal.
fn three_days(folder: &Folder) -> (Spool, Sealer) {
    let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
    let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
    let mut spool = spool_into(folder, 0, sealed, pool);
    let customers = [object(Some("public"), "customers", false)];
    let orders = [object(None, "orders", true)];
    for day in 0..3 {
        let session = spool.open(&context(day as u8 + 1));
        let at = day * DAY + 1;
        step(&mut spool, session, 0, at, &Entry::SessionStart(SessionStart::default()));
        let read = command("SELECT * FROM Customers", &customers);
        step(&mut spool, session, 1, at + 1, &Entry::Command(read));
        step(&mut spool, session, 2, at + 2, &response(1));
        let write = Command {
            decision: Decision::Deny,
            operation: "DELETE",
            ..command("DELETE FROM orders", &orders)
        };
        step(&mut spool, session, 3, at + 3, &Entry::Command(write));
        let payload = [0, 159, 146, 150];
        let chunk = Chunk {
            command_seq: 1,
            stream: 1,
            chunk_no: 0,
            byte_offset: 0,
            encoding: "pg-messages",
            payload: &payload,
            ..Chunk::default()
        };
        step(&mut spool, session, 4, at + 4, &Entry::Chunk(chunk));
        let hit = MaskingHit {
            command_seq: 1,
            column: "email",
            detector: "column",
            operator: "partial",
            hits: 3,
            ..MaskingHit::default()
        };
        step(&mut spool, session, 5, at + 5, &Entry::MaskingHit(hit));
        if day < 2 {
            rotate(&mut spool);
        }
    }
    wait_until("the sealer", || sealer.progress().segments.load(Relaxed) == 2);
    (spool, sealer)
}

fn texts(rows: &[CommandRow]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (row.common.user_name.as_str(), row.operation.as_str())).collect()
}

#[test]
fn filters_choose_rows_in_the_lake_and_in_the_journal() {
    let folder = Folder::new();
    let (_spool, _sealer) = three_days(&folder);
    let check = |filter: Filter, expect: &[(&str, &str)]| {
        let rows = Lake::new(&folder.0).commands(&filter).unwrap();
        assert_eq!(texts(&rows), expect, "{filter:?}");
    };
    let all = Filter::default;
    let (one, two, three) = ("user1", "user2", "user3");
    let (select, delete) = ("SELECT", "DELETE");
    let some = |text: &str| Some(text.to_owned());
    check(
        all(),
        &[
            (one, select),
            (one, delete),
            (two, select),
            (two, delete),
            (three, select),
            (three, delete),
        ],
    );
    check(Filter { user: some("user2"), ..all() }, &[(two, select), (two, delete)]);
    check(Filter { target: some("other"), ..all() }, &[]);
    check(Filter { session: Some(session_id(3)), ..all() }, &[(three, select), (three, delete)]);
    check(Filter { limit: Some(1), ..all() }, &[(three, delete)]);
    check(Filter { limit: Some(3), ..all() }, &[(two, delete), (three, select), (three, delete)]);
    let second_day = START_US + DAY as i64;
    check(
        Filter { since_us: Some(second_day), until_us: Some(second_day + 3), ..all() },
        &[(two, select)],
    );
    check(
        Filter { grep: some("DROP|delete"), ..all() },
        &[(one, delete), (two, delete), (three, delete)],
    );
    for pattern in ["public.customers", "customers", "*.customers", "public.c*", "CUST*RS"] {
        check(
            Filter { touches: some(pattern), ..all() },
            &[(one, select), (two, select), (three, select)],
        );
    }
    check(
        Filter { touches: some("sales.orders"), limit: Some(2), ..all() },
        &[(two, delete), (three, delete)],
    );
    assert!(matches!(
        Lake::new(&folder.0).commands(&Filter { grep: some("|"), ..all() }),
        Err(LakeError::Grep(..))
    ));
}

#[test]
fn commands_come_with_their_responses_and_a_stable_json() {
    let folder = Folder::new();
    let (_spool, _sealer) = three_days(&folder);
    let rows = Lake::new(&folder.0).commands(&Filter::default()).unwrap();
    let answered: Vec<bool> = rows.iter().map(|row| row.response.is_some()).collect();
    assert_eq!(answered, [true, false, true, false, true, false]);
    let json = serde_json::to_value(&rows[0]).unwrap();
    assert_eq!(json["ts"], "2026-08-22T10:00:00.000002Z");
    assert_eq!(
        json["session_id"],
        "01989a3c-4500-7000-8000-000000000001"
            .replace("01989a3c-4500", &rows[0].common.session_id[..13],)
    );
    assert_eq!(json["user_groups"], serde_json::json!(["engineers", "agents"]));
    assert_eq!(json["objects"], serde_json::json!(["public.customers"]));
    assert_eq!(json["response"]["columns"], serde_json::json!(["id", "name"]));
    assert_eq!(json["query_raw"], serde_json::Value::Null);
    let lake = Lake::new(&folder.0);
    let chunks = lake.chunks(&Filter::default()).unwrap();
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(|row| row.payload == [0, 159, 146, 150]));
    let hits = lake.masking(&Filter { user: Some("user1".into()), ..Filter::default() }).unwrap();
    assert_eq!((hits.len(), hits[0].hit_count, hits[0].column.as_str()), (1, 3, "email"));
    assert_eq!(files(&folder.0, "touches").len(), 2);
    assert!(lake.events(&Filter::default()).unwrap().is_empty());
}

#[test]
fn an_empty_directory_has_no_rows() {
    let folder = Folder::new();
    let lake = Lake::new(&folder.0.join("nothing"));
    assert!(lake.commands(&Filter::default()).unwrap().is_empty());
    assert!(lake.follow(&Filter::default()).unwrap().poll().unwrap().is_empty());
}

#[test]
fn a_follower_sees_every_row_once_whatever_is_sealed_between() {
    for every in [1, 7, 100, 1000] {
        let folder = Folder::new();
        let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
        let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
        let mut spool = spool_into(&folder, 0, sealed, pool);
        let session = spool.open(&context(1));
        step(&mut spool, session, 0, 0, &Entry::SessionStart(SessionStart::default()));
        let mut follow = Lake::new(&folder.0).follow(&Filter::default()).unwrap();
        let mut seen = Vec::new();
        let look = |follow: &mut Follow, seen: &mut Vec<i64>| {
            for news in follow.poll().unwrap() {
                let Happening::Responses(row) = news else { panic!("{news:?}") };
                assert_eq!(row.common.user_name, "user1", "with its context");
                seen.push(row.common.seq);
            }
        };
        for seq in 1..=1000 {
            step(&mut spool, session, seq, seq, &response(seq));
            if seq % 90 == 0 {
                rotate(&mut spool);
            }
            if seq % 200 == 0 {
                let behind = spool.segment_number();
                wait_until("the sealer", || sealer.progress().segments.load(Relaxed) == behind);
            }
            if seq % every == 0 {
                look(&mut follow, &mut seen);
            }
        }
        spool.finish(now(0));
        sealer.finish();
        wait_until("the last rows", || {
            look(&mut follow, &mut seen);
            seen.len() >= 1000
        });
        look(&mut follow, &mut seen);
        assert_eq!(seen, (1..=1000).collect::<Vec<_>>(), "polled every {every}");
    }
}

#[test]
fn a_held_command_is_followed_by_its_decision() {
    let folder = Folder::new();
    let (mut spool, _inbox, _pool) = spool(&folder, 0);
    let mut follow = Lake::new(&folder.0).follow(&Filter::default()).unwrap();
    let session = spool.open(&context(1));
    let mut decide = |decision, at| {
        let command = Command { decision, ..command("DROP TABLE t", &[]) };
        step(&mut spool, session, 1, at, &Entry::Command(command));
        let news = follow.poll().unwrap();
        let [Happening::Commands(row)] = &news[..] else { panic!("{news:?}") };
        row.decision.clone()
    };
    assert_eq!(decide(Decision::Hold, 1), "hold");
    assert_eq!(decide(Decision::Deny, 2), "deny");
    let event = Event { event: "boot", severity: "info", message: "up", attrs: "{}" };
    spool.event(now(3), &event).unwrap();
    let json = serde_json::to_value(follow.poll().unwrap()).unwrap();
    assert_eq!((&json[0]["table"], &json[0]["event"]), (&"log_events".into(), &"boot".into()));
}

#[test]
fn wildcards_match_as_they_say() {
    let check = |pattern: &str, object: &str, expect: bool| {
        assert_eq!(object_matches(pattern, object), expect, "{pattern} against {object}");
    };
    check("public.t", "public.t", true);
    check("public.t", "t", true);
    check("t", "public.t", true);
    check("t", "tt", false);
    check("public.t", "private.t", false);
    check("*", "public.t", true);
    check("pub*.*", "public.t", true);
    check("*a*b*c", "xaxxbxxc", true);
    check("*a*b*c", "xaxxbxx", false);
    check("", "t", false);
    check(&"*a".repeat(30), &"a".repeat(300), true);
}

#[test]
fn days_are_read_back() {
    for day in [-719_468, -1, 0, 59, 60, 11_016, 20_687, 100_000] {
        assert_eq!(day_start(&date_text(day)), day * DAY as i64, "{}", date_text(day));
    }
    assert_eq!(date_text(20_687), "2026-08-22");
}

/// Rows of a file, or why it cannot be read.
fn rows_of(path: &Path, filter: &Filter) -> Result<Vec<CommandRow>, LakeError> {
    let mut rows = Vec::new();
    read_file(path, &Test::compile(filter)?, &mut |row| rows.push(row))?;
    Ok(rows)
}

#[test]
fn a_flipped_bit_is_named_or_changes_no_row() {
    let folder = Folder::new();
    let (_spool, _sealer) = three_days(&folder);
    let path = files(&folder.0, "commands").remove(0);
    let good = fs::read(&path).unwrap();
    let filters = [
        Filter::default(),
        Filter { user: Some("user1".into()), ..Filter::default() },
        Filter { since_us: Some(START_US + 2), ..Filter::default() },
    ];
    let expect = filters.clone().map(|filter| rows_of(&path, &filter).unwrap());
    assert!(expect.iter().all(|rows| !rows.is_empty()));
    let mut named = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        for (filter, expect) in filters.iter().zip(&expect) {
            match rows_of(&path, filter) {
                Ok(rows) => assert_eq!(&rows, expect, "byte {at} of {}, {filter:?}", good.len()),
                Err(error) => {
                    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
                    named += 1;
                }
            }
        }
    }
    // The magic and the mark of weir are no content: without the mark a file is an older one.
    assert_eq!(named, (good.len() - 8) * filters.len());
}

#[test]
fn pages_of_a_file_without_the_mark_have_their_own_checksums() {
    let folder = Folder::new();
    let (_spool, _sealer) = three_days(&folder);
    let path = files(&folder.0, "commands").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4..24].fill(0);
    fs::write(&path, &bytes).unwrap();
    let whole = rows_of(&path, &Filter::default()).unwrap();
    assert_eq!(whole.len(), 2);
    let text = bytes.windows(4).position(|at| at == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    bytes[text + 5] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = rows_of(&path, &Filter::default()).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}
