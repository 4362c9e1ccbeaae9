//! Several servers of a target, and clients that have not proven who they are.

use super::*;

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

#[test]
fn a_server_that_does_not_fit_is_left_for_the_next_one() {
    let ((first, one), (second, other)) = (listener(), listener());
    let rig = Rig::start_with(PLAIN, first, vec![one, other]);
    let (mut client, mut server) = rig.pair();
    client.write_all(&[NEXT]).expect("sent");
    assert_eq!(rest(&mut server), "bye", "it gets what is queued, and its end");
    let (mut server, _) = second.accept().expect("the next server");
    client.write_all(b"hello").expect("sent");
    expect(&mut server, b"hello");
    server.write_all(b"welcome").expect("sent");
    expect(&mut client, b"welcome");
    drop((client, server));
    rig.drain(0);
}

#[test]
fn a_target_without_a_server_that_fits_says_so() {
    let ((first, one), (second, other)) = (listener(), listener());
    let rig = Rig::start_with(PLAIN, first, vec![one, other, DEAD]);
    let (mut client, mut server) = rig.pair();
    client.write_all(&[NEXT]).expect("sent");
    assert_eq!(rest(&mut server), "bye");
    let (mut server, _) = second.accept().expect("the next server");
    client.write_all(&[NEXT]).expect("sent");
    assert_eq!(rest(&mut server), "bye");
    assert_eq!(rest(&mut client), "target-hot-standby", "it says more than the dead one");
    drop((client, server));
    rig.drain(0);
}

#[test]
fn a_client_may_leave_while_a_server_is_left() {
    let ((first, one), (second, other)) = (listener(), listener());
    let rig = Rig::start_with(PLAIN, first, vec![one, other]);
    let (mut client, mut server) = rig.pair();
    client.write_all(&[NEXT]).expect("sent");
    drop(client);
    assert_eq!(rest(&mut server), "bye");
    drop((server, second));
    wait_for("nothing is left", || rig.shard().counters.connections.get() == 0);
    rig.drain(0);
}

#[test]
fn a_login_that_takes_too_long_ends_the_attempt() {
    let (first, one) = listener();
    let slow = Options { connect_timeout_us: Some(200_000), ..PLAIN };
    let rig = Rig::start_with(slow, first, vec![one]);
    let (mut client, _server) = rig.pair();
    let start = Instant::now();
    assert_eq!(rest(&mut client), "target-timeout", "the relay never says that it is logged in");
    assert!(start.elapsed() < Duration::from_secs(5));
    rig.drain(0);
}

#[test]
fn clients_that_prove_nothing_have_a_bound() {
    let unproven = UnprovenMax { per_address: 2, total: Some(10), ..UnprovenMax::DEFAULT };
    let rig = Rig::start(Options { unproven, shards: 2, ..PLAIN });
    let mut waiting: Vec<TcpStream> = (0..2).map(|_| rig.connect()).collect();
    let refused = |rig: &Rig| {
        let said = rest(&mut rig.connect());
        assert!(said.contains("C53300") && said.contains("not finished their login"), "{said}");
    };
    wait_for("both are in", || rig.accepted() == 2);
    refused(&rig);
    // One proves itself: the dial says so. Its place is free.
    let mut proven = waiting.pop().expect("two wait");
    proven.write_all(&[DIAL]).expect("sent");
    let (mut server, _) = rig.target.accept().expect("a dial");
    let mut third = rig.connect();
    proven.write_all(b"hello").expect("sent");
    expect(&mut server, b"hello");
    wait_for("all are in", || rig.accepted() == 4);
    refused(&rig);
    // One leaves.
    drop(waiting);
    wait_for("it is gone", || is_silent(&rig.connect(), Duration::from_millis(50)));
    third.write_all(&[DIAL]).expect("sent");
    let _server = rig.target.accept().expect("a dial");
    rig.drain(0);
}
