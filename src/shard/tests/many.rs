//! Many sessions, and several shards.

use super::*;

#[test]
fn many_sessions_at_once_do_not_mix() {
    let rig = Rig::start(PLAIN);
    let listener = rig.target.try_clone().expect("a dup");
    let echo = thread::spawn(move || {
        let serve = |mut stream: TcpStream| {
            thread::spawn(move || {
                let mut buffer = [0; 10_000];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..count]).expect("echoed");
                }
            })
        };
        let servers: Vec<_> = listener.incoming().take(50).flatten().map(serve).collect();
        servers.into_iter().for_each(|server| server.join().expect("served"));
    });
    let talk = |number: usize| {
        let mut client = rig.connect();
        thread::spawn(move || {
            for round in 0..30 {
                let sent = pattern(1 + number * 97 + round * 13, number);
                client.write_all(&sent).expect("sent");
                let mut got = vec![0; sent.len()];
                client.read_exact(&mut got).expect("echoed");
                assert!(got == sent, "client {number} round {round}");
            }
        })
    };
    let clients: Vec<_> = (0..50).map(talk).collect();
    clients.into_iter().for_each(|client| client.join().expect("a good end"));
    echo.join().expect("all served");
    assert_eq!(rig.shard().counters.accepted.get(), 50);
    rig.drain(0);
}

#[test]
fn shards_with_many_clients_give_some_away() {
    // The kernel spreads connections by chance, at times so evenly that nothing is given.
    assert!((0..8).any(|_| given() > 0), "the kernel alone was even, eight times");
}

/// How many connections of some hundreds shards gave to others, and evenly.
fn given() -> u64 {
    const CLIENTS: u64 = 300;
    let rig = Rig::start(Options { shards: 3, ..PLAIN });
    let counters = || {
        let all = rig.handle.iter().chain(&rig.others);
        all.map(|shard| Arc::clone(&shard.counters)).collect::<Vec<_>>()
    };
    let loads = || counters().iter().map(|it| it.connections.get()).collect::<Vec<_>>();
    let mut pairs = Vec::new();
    for _ in 0..CLIENTS {
        let (mut client, mut server) = rig.pair();
        client.write_all(b"hello").expect("sent");
        expect(&mut server, b"hello");
        pairs.push((client, server));
    }
    assert_eq!(loads().iter().sum::<u64>(), CLIENTS);
    let (most, least) = (loads().into_iter().max(), loads().into_iter().min());
    let (most, least) = (most.expect("shards"), least.expect("shards"));
    assert!(most <= least + 5 + least / 8, "{:?}", loads());
    assert_eq!(counters().iter().map(|it| it.accepted.get()).sum::<u64>(), CLIENTS);
    counters().iter().map(|it| it.given.get()).sum()
}
