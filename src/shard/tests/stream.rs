//! Streams: reported by the piece, handed on from where they were received.

use std::os::fd::AsFd;

use super::super::leg::Leg;
use super::*;
use crate::accept::socket;
use crate::limits::{LOAN_BYTES_MIN, STREAM_BYTES_MIN, STREAM_PIECE_BYTES, STREAM_WAIT_US_MAX};

fn read(client: &mut TcpStream, expected: &[u8], what: &str) {
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).expect(what);
    assert!(got == expected, "{what}");
}

#[test]
fn the_kernel_is_told_what_to_report_of_a_stream() {
    let rig = Rig::start(PLAIN);
    let (client, _server) = rig.pair();
    let mut leg = Leg::open(client.try_clone().expect("a dup"));
    let reported = || {
        let from = socket::option(client.as_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT);
        from.expect("an open socket") as usize
    };
    for _ in 0..STREAM_BYTES_MIN / (8 << 10) {
        assert_eq!(reported(), 1);
        leg.received(8 << 10, true, 1000);
    }
    assert_eq!(reported(), STREAM_PIECE_BYTES);
    leg.interrupted();
    assert_eq!(reported(), 1, "the other peer has spoken");
    leg.received(STREAM_BYTES_MIN, true, 2000);
    assert_eq!(reported(), STREAM_PIECE_BYTES);
    leg.due(2000 + STREAM_WAIT_US_MAX);
    assert!(leg.can_receive(), "what is there is read when it is due");
    leg.received_nothing(3000);
    assert_eq!(reported(), 1, "the stream is over");
    rig.drain(0);
}

#[test]
fn the_end_of_a_stream_arrives_and_so_does_what_follows() {
    let rig = Rig::start(PLAIN);
    let (mut client, mut server) = rig.pair();
    let stream = pattern(2 * STREAM_BYTES_MIN + 100, 5);
    for round in 0..10 {
        thread::scope(|scope| {
            scope.spawn(|| server.write_all(&stream).expect("sent"));
            read(&mut client, &stream, "a stream and its end");
        });
        // A word behind the end, unasked; then a question and its answer.
        server.write_all(b"word").expect("sent");
        expect(&mut client, b"word");
        for _ in 0..=round {
            client.write_all(b"question").expect("sent");
            expect(&mut server, b"question");
            server.write_all(b"answer").expect("sent");
            expect(&mut client, b"answer");
        }
    }
    server.write_all(&stream).expect("sent");
    drop(server);
    assert!(rest_bytes(&mut client) == stream, "a stream that ends with its connection");
    rig.drain(0);
}

#[test]
fn a_stream_waits_for_its_record_and_for_its_reader() {
    let rig = Rig::start(PLAIN);
    let (mut client, mut server) = rig.pair();
    client.write_all(&[SYNC, b'1']).expect("sent");
    expect(&mut server, b"1");
    let request = pattern(4 * LOAN_BYTES_MIN, 8);
    for _ in 0..20 {
        let before = rig.shard().counters.syncs.get();
        client.write_all(&request).expect("sent");
        read(&mut server, &request, "a large request");
        assert!(rig.shard().counters.syncs.get() > before, "forwarded without a sync");
    }
    let stream = pattern(32 << 20, 9);
    thread::scope(|scope| {
        scope.spawn(|| server.write_all(&stream).expect("sent"));
        // Long enough for all that sockets and the outbox hold.
        thread::sleep(Duration::from_millis(300));
        for part in stream.chunks(1 << 20) {
            read(&mut client, part, "a part of the stream");
        }
    });
    assert!(rig.shard().counters.syncs.get() > 1, "it waited for the disk");
    rig.drain(0);
}
