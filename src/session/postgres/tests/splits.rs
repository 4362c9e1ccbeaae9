//! The same result for every split of the input, and no panic for any input.

use proptest::prelude::*;

use super::*;

fn client_script() -> Vec<u8> {
    [
        query("SELECT 1"),
        parse("s", "SELECT $1"),
        bind("p", "s"),
        execute("p"),
        sync(),
        query("DROP TABLE t"),
        query("SELECT 2"),
        message(b'd', &[b'x'; 40]),
        query("COPY t FROM STDIN"),
        message(b'd', &[b'y'; 40]),
        message(b'c', b""),
    ]
    .concat()
}

fn server_script() -> Vec<u8> {
    [
        row(b"one"),
        row(&[b'z'; 70]),
        complete("SELECT 2"),
        ready_for_query(b'I'),
        message(b'1', b""),
        message(b'2', b""),
        row(b"two"),
        message(b'N', b"SNOTICE\0C00000\0Mhi\0\0"),
        complete("SELECT 1"),
        ready_for_query(b'I'),
        server_error("42601"),
        ready_for_query(b'I'),
        complete("SELECT 0"),
        ready_for_query(b'I'),
        message(b'G', b"\0\0\0"),
        complete("COPY 1"),
        ready_for_query(b'I'),
    ]
    .concat()
}

/// Both outboxes, and kinds of rows, after the two scripts cut as given.
fn run(client: &[&[u8]], server: &[&[u8]]) -> (Vec<u8>, Vec<u8>, usize) {
    let mut bench = Bench::ready();
    client.iter().for_each(|piece| bench.client(piece));
    server.iter().for_each(|piece| bench.server(piece));
    let rows = bench.journal.written.iter().filter(|w| {
        // Chunks depend on the batches that bytes came in; everything else must not.
        !matches!(w.body(), crate::record::body::Body::Chunk(_))
    });
    let rows = rows.count();
    assert!(!bench.machine.is_closed(), "{:?}", bench.outputs);
    (bench.take(Side::Client), bench.take(Side::Server), rows)
}

#[test]
fn every_split_of_either_side_gives_the_same_session() {
    let (client, server) = (client_script(), server_script());
    let whole = run(&[&client], &[&server]);
    for cut in 0..client.len() {
        let (head, tail) = client.split_at(cut);
        assert_eq!(run(&[head, tail], &[&server]), whole, "client cut at {cut}");
    }
    for cut in 0..server.len() {
        let (head, tail) = server.split_at(cut);
        assert_eq!(run(&[&client], &[head, tail]), whole, "server cut at {cut}");
    }
    let bytes = |script: &'static [u8]| script.chunks(1).collect::<Vec<_>>();
    let (client, server) = (client.leak(), server.leak());
    assert_eq!(run(&bytes(client), &bytes(server)), whole, "byte by byte");
}

#[test]
fn a_connection_cut_at_any_byte_ends_recorded() {
    let client = client_script();
    for cut in 0..client.len() {
        let mut bench = Bench::ready();
        bench.client(&client[..cut]);
        bench.with(|m, s| m.handle_kill(s));
        assert!(bench.machine.is_closed());
        assert_eq!(bench.journal.open_sessions(), 0, "cut at {cut}");
    }
}

/// Bytes that look like messages often enough to get past the framer.
fn wild() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop::sample::select(b"QPBDECSHXdcfFRKZTtnCIsGHWVNAE123vp\0".to_vec());
    let body = prop::collection::vec(any::<u8>(), 0..24);
    let framed = (tag, body).prop_map(|(tag, body)| message(tag, &body));
    let piece = prop_oneof![
        8 => framed,
        1 => prop::collection::vec(any::<u8>(), 0..16),
        1 => Just(sync()),
        1 => Just(query("SELECT 1")),
        1 => Just(ready_for_query(b'I')),
        1 => Just(complete("SELECT 1")),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_of_either_side_panic(
        turns in prop::collection::vec((any::<bool>(), wild()), 1..8),
    ) {
        let mut bench = Bench::ready();
        for (client, bytes) in turns {
            if client { bench.client(&bytes) } else { bench.server(&bytes) }
        }
        bench.with(|m, s| m.handle_kill(s));
        prop_assert_eq!(bench.journal.open_sessions(), 0);
    }

    #[test]
    fn no_first_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut bench = Bench::accepted();
        bench.client(&bytes);
        bench.with(|m, s| m.handle_kill(s));
        prop_assert!(bench.machine.is_closed());
    }
}
