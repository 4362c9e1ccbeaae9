//! A client and a server of this code, with everything split at random.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Exchange {
    method: &'static str,
    request: Vec<u8>,
    answer: Vec<u8>,
    trailers: bool,
    interim: bool,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let bytes = || {
        prop_oneof![Just(0usize), 1usize..100, 60_000usize..70_000, 250_000usize..300_000,]
            .prop_map(|length| (0..length).map(|at| (at * 31 % 251) as u8).collect::<Vec<u8>>())
    };
    let method = prop::sample::select(vec!["GET", "POST", "HEAD"]);
    (method, bytes(), bytes(), any::<bool>(), any::<bool>()).prop_map(
        |(method, request, answer, trailers, interim)| {
            let answer = if method == "HEAD" { Vec::new() } else { answer };
            Exchange { method, request, answer, trailers, interim }
        },
    )
}

/// One message that is being sent, and one that is being heard.
#[derive(Default)]
struct Leg {
    id: u32,
    sent: usize,
    done: bool,
    heard: Vec<u8>,
    heard_all: bool,
}

struct Pair {
    client: Connection,
    server: Connection,
    exchanges: Vec<Exchange>,
    client_legs: Vec<Leg>,
    server_legs: Vec<Leg>,
}

impl Pair {
    /// Carries what is to be sent, in pieces, and lets both ends react. True if anything happened.
    fn turn(&mut self, piece: usize) -> bool {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        self.client.take_output(&mut up);
        self.server.take_output(&mut down);
        for input in up.chunks(piece) {
            hear(&mut self.server, input, &mut self.server_legs);
        }
        for input in down.chunks(piece) {
            hear(&mut self.client, input, &mut self.client_legs);
        }
        self.say();
        !up.is_empty() || !down.is_empty()
    }

    fn say(&mut self) {
        for (leg, exchange) in self.client_legs.iter_mut().zip(&self.exchanges) {
            if leg.id == 0 {
                let is_head = exchange.method == "HEAD";
                let last = exchange.request.is_empty();
                let opened = self.client.open(is_head, last, |block| {
                    block.field(b":method", exchange.method.as_bytes(), Keep::Usual);
                    write(block, &GET[1..]);
                    block.field(b"Authorization", b"secret", Keep::Usual);
                });
                let Some(id) = opened else { continue };
                leg.id = id;
                leg.done = last;
            }
            tell(&mut self.client, leg, &exchange.request, false);
        }
        for leg in &mut self.server_legs {
            let exchange = &self.exchanges[leg.id as usize / 2];
            if leg.sent == usize::MAX {
                if exchange.interim {
                    let head = |block: &mut Block<'_>| write(block, &[(":status", "103")]);
                    self.server.send_head(leg.id, Say::Interim, head).unwrap();
                }
                let last = exchange.answer.is_empty() && !exchange.trailers;
                let head = |block: &mut Block<'_>| write(block, &[(":status", "200")]);
                self.server.send_head(leg.id, Say::Answer { last }, head).unwrap();
                leg.sent = 0;
                leg.done = last;
            }
            tell(&mut self.server, leg, &exchange.answer, exchange.trailers);
        }
    }
}

fn tell(connection: &mut Connection, leg: &mut Leg, body: &[u8], trailers: bool) {
    if leg.done {
        return;
    }
    leg.sent += connection.send_data(leg.id, &body[leg.sent..], !trailers).unwrap();
    if leg.sent < body.len() {
        return;
    }
    if trailers {
        let sum = |block: &mut Block<'_>| write(block, &[("x-sum", "1")]);
        connection.send_head(leg.id, Say::Trailers, sum).unwrap();
    }
    leg.done = true;
}

fn hear(connection: &mut Connection, mut input: &[u8], legs: &mut Vec<Leg>) {
    while let Some(event) = connection.receive(&mut input, 0).expect("a peer of the same code") {
        match event {
            Event::Head { stream, last } => {
                if connection.head().status().is_none() {
                    assert_eq!(connection.head().named().last().unwrap().1, b"authorization");
                    assert!(connection.head().fields()[0].never_indexed);
                    let sent = usize::MAX;
                    let leg = Leg { id: stream, sent, heard_all: last, ..Leg::default() };
                    legs.push(leg);
                } else {
                    leg(legs, stream).heard_all = last;
                }
            }
            Event::Data { stream, bytes, last } => {
                let leg = leg(legs, stream);
                assert!(!leg.heard_all, "data behind the end");
                leg.heard.extend_from_slice(bytes);
                leg.heard_all = last;
                let bytes = bytes.len() as u32;
                connection.credit(stream, bytes);
                connection.credit_connection(bytes);
            }
            Event::Trailers { stream } => leg(legs, stream).heard_all = true,
            Event::Ready | Event::Room { .. } => {}
            event => panic!("{event:?}"),
        }
    }
}

fn leg(legs: &mut [Leg], id: u32) -> &mut Leg {
    legs.iter_mut().find(|leg| leg.id == id).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_one_end_says_the_other_hears(
        exchanges in prop::collection::vec(exchange(), 1..12),
        pieces in prop::collection::vec(
            prop_oneof![1usize..4, 5usize..3_000, Just(1 << 20)], 1..5),
    ) {
        let client_legs = exchanges.iter().map(|_| Leg::default()).collect();
        let mut pair = Pair {
            client: Connection::client("https"),
            server: Connection::server("https", true),
            exchanges,
            client_legs,
            server_legs: Vec::new(),
        };
        let mut pieces = pieces.into_iter().cycle();
        let mut turns = 0;
        while pair.turn(pieces.next().unwrap()) {
            turns += 1;
            prop_assert!(turns < 10_000, "they talk for ever");
        }
        prop_assert_eq!(pair.client.streams(), 0);
        prop_assert_eq!(pair.server.streams(), 0);
        prop_assert_eq!(pair.server_legs.len(), pair.exchanges.len());
        for server in &pair.server_legs {
            let exchange = &pair.exchanges[server.id as usize / 2];
            prop_assert!(server.heard_all && server.heard == exchange.request);
        }
        for (client, exchange) in pair.client_legs.iter().zip(&pair.exchanges) {
            prop_assert!(client.heard_all && client.heard == exchange.answer);
        }
    }
}

/// A block of more than one frame.
#[test]
fn a_long_head_is_cut_into_frames() {
    let mut client = Connection::client("https");
    assert_eq!(run(&mut client, &frame(Kind::Settings, 0, 0, &[])), ["Ready"]);
    sent(&mut client);
    let long = vec![b'v'; 30_000];
    client.open(false, true, |block| {
        write(block, GET);
        block.field(b"x-long", &long, Keep::Usual);
    });
    let frames = sent(&mut client);
    let kinds: Vec<(Kind, u8)> = frames.iter().map(|frame| (frame.0, frame.1)).collect();
    assert_eq!(kinds, [(Kind::Headers, END_STREAM), (Kind::Continuation, END_HEADERS)]);
    let (mut decoder, mut fields) = (Decoder::default(), Fields::default());
    for (index, frame) in frames.iter().enumerate() {
        decoder.decode(&frame.3, index == 1, &mut fields).unwrap();
    }
    assert_eq!(fields.iter().last().unwrap().1, long);
}
