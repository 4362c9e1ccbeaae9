//! Syncs among COPY data: answered or not, as the target finds, and what follows them.

use super::*;

fn copy_in() -> Vec<u8> {
    message(b'G', b"\0\0\x01\0\0")
}

fn data() -> Vec<u8> {
    message(b'd', b"1\n")
}

fn done() -> Vec<u8> {
    message(b'c', b"")
}

fn copy() -> Vec<u8> {
    query("COPY t FROM STDIN")
}

fn extended_copy() -> Vec<u8> {
    [parse("", "COPY t FROM STDIN"), bind("", ""), execute("")].concat()
}

fn alive(bench: &Bench) -> bool {
    !bench.outputs.iter().any(|output| matches!(output, Output::Close(_)))
}

/// Outcomes of the commands, in the order of the record.
fn outcomes(bench: &Bench) -> Vec<String> {
    let word = |body| match body {
        crate::record::body::Body::Response(r) => Some(format!("{:?}", r.outcome)),
        _ => None,
    };
    bench.journal.bodies().filter_map(word).collect()
}

#[test]
fn a_sync_behind_the_failure_is_answered_and_one_before_it_is_not() {
    for answered in 0..=3 {
        let mut bench = Bench::ready();
        bench.client(&copy());
        bench.server(&copy_in());
        let syncs = [sync(), sync(), data(), sync()].concat();
        bench.client(&[syncs, done(), query("SELECT 1")].concat());
        let ready = ready_for_query(b'I');
        bench.server(&[server_error("22P02"), ready.repeat(1 + answered)].concat());
        bench.server(&[row(b"1"), complete("SELECT 1"), ready].concat());
        let expect = format!("GE{}DCZ", "Z".repeat(1 + answered));
        assert_eq!(bench.tags(Side::Client), expect);
        assert_eq!(outcomes(&bench), ["Error", "Success"], "{answered} answered");
        bench.with(|machine, stage| machine.handle_drain(false, stage));
        assert!(!alive(&bench), "the session counts as busy, {answered} answered");
    }
}

#[test]
fn a_copy_that_succeeds_read_all_its_syncs() {
    let mut bench = Bench::ready();
    // All at once: weir learns only later that the first Sync was data.
    bench.client(&[extended_copy(), sync(), data(), sync(), done(), sync()].concat());
    bench.server(&[message(b'1', b""), message(b'2', b""), copy_in()].concat());
    bench.server(&[complete("COPY 1"), ready_for_query(b'I')].concat());
    bench.client(&[parse("", "SELECT 1"), sync()].concat());
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "12GCZ1Z");
    assert!(alive(&bench));
}

#[test]
fn an_extended_copy_with_a_sync_at_its_end_needs_no_wait() {
    for answered in 0..=1 {
        let mut bench = Bench::ready();
        bench.client(&extended_copy());
        bench.server(&[message(b'1', b""), message(b'2', b""), copy_in()].concat());
        let next = [parse("", "SELECT 1"), bind("", ""), execute(""), sync()].concat();
        bench.take(Side::Server);
        bench.client(&[data(), sync(), done(), sync(), next].concat());
        assert_eq!(bench.tags(Side::Server), "dScSPBES");
        let ready = ready_for_query(b'I');
        bench.server(&[server_error("22P02"), ready.repeat(1 + answered)].concat());
        bench.server(&[message(b'1', b""), message(b'2', b""), row(b"1")].concat());
        bench.server(&[complete("SELECT 1"), ready].concat());
        let expect = format!("12GE{}12DCZ", "Z".repeat(1 + answered));
        assert_eq!(bench.tags(Side::Client), expect);
        assert_eq!(outcomes(&bench), ["Error", "Success"]);
        assert!(alive(&bench));
    }
}

#[test]
fn a_command_behind_a_sync_in_doubt_waits_for_the_end_of_the_copy() {
    let mut bench = Bench::ready();
    bench.client(&[extended_copy(), sync(), data(), done(), parse("", "SELECT 1")].concat());
    assert_eq!(bench.tags(Side::Server), "PBESdcH", "the Parse waits, the answer is asked for");
    bench.server(&[message(b'1', b""), message(b'2', b""), copy_in()].concat());
    assert_eq!(bench.tags(Side::Server), "");
    bench.server(&complete("COPY 1"));
    assert_eq!(bench.tags(Side::Server), "P");
    assert!(alive(&bench));
}

#[test]
fn a_command_that_may_run_or_be_skipped_ends_the_session() {
    let mut bench = Bench::ready();
    bench.client(&[extended_copy(), sync(), data(), done(), parse("", "SELECT 1")].concat());
    bench.take(Side::Server);
    bench.server(&[message(b'1', b""), message(b'2', b""), copy_in()].concat());
    bench.server(&server_error("22P02"));
    assert_eq!(bench.tags(Side::Server), "X", "the Parse never leaves");
    assert!(!alive(&bench));
}

/// The target waits for data and would end the session at any command; weir would wait for the
/// target before it hands this one on.
#[test]
fn a_command_that_waits_for_its_name_where_data_is_due_ends_the_session() {
    let copies = [parse("t", "COPY t FROM STDIN"), bind("q", "t"), execute("q"), sync()].concat();
    for late in [bind("q", ""), message(b'D', b"St\0")] {
        let mut bench = Bench::ready();
        bench.client(&[copies.clone(), late].concat());
        assert_eq!(bench.tags(Side::Server), "PBES");
        bench.server(&[message(b'1', b""), message(b'2', b""), copy_in()].concat());
        assert!(!alive(&bench));
        assert_eq!(bench.tags(Side::Server), "X");
    }
}

#[test]
fn a_sync_that_was_answered_ends_the_doubt() {
    let mut bench = Bench::ready();
    bench.client(&extended_copy());
    bench.server(&[message(b'1', b""), message(b'2', b""), copy_in()].concat());
    bench.client(&[data(), sync(), done()].concat());
    bench.server(&[server_error("22P02"), ready_for_query(b'I')].concat());
    bench.take(Side::Server);
    bench.client(&[parse("", "SELECT 1"), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PS");
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "12GEZ1Z");
    assert!(alive(&bench));
}

#[test]
fn ends_of_data_that_nobody_asked_for_are_counted_once() {
    let mut bench = Bench::ready();
    for _ in 0..1000 {
        bench.client(&done().repeat(100));
        bench.take(Side::Server);
    }
    bench.with(|machine, _| assert!(machine.wants(Side::Client.into())));
}

#[test]
fn a_message_without_its_shape_fails_in_its_place() {
    let mut bench = Bench::ready();
    bench.client(&[message(b'Q', b"SELECT 1"), query("SELECT 2")].concat());
    assert_eq!(bench.tags(Side::Server), "QQ", "a stand-in, and what follows");
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    bench.server(&[row(b"2"), complete("SELECT 1"), ready_for_query(b'I')].concat());
    let said = messages(&bench.take(Side::Client));
    let tags: String = said.iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!(tags, "EZDCZ");
    assert!(String::from_utf8_lossy(&said[0].1).contains("C08P01"));
    bench.client(&[message(b'B', b"\0"), parse("", "SELECT 3"), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "PS", "the rest is skipped");
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    assert_eq!(bench.tags(Side::Client), "EZ");
    assert!(alive(&bench));
}
