//! Scripts of two peers, and random ones.

use proptest::prelude::*;

use super::*;
use crate::limits::{SSH_CHANNELS_MAX, SSH_OPENING_MAX};
use crate::wire::ssh::message::{Message, Open};

/// The peers' ends of one connection, as texts.
#[derive(Default)]
struct Script {
    channels: Channels,
    said: Vec<String>,
}

fn shown(message: &[u8]) -> String {
    match Message::parse(message).expect("a message of weir's") {
        Message::ChannelOpen(open) => format!("open {} {}", open.sender, open.window),
        Message::OpenConfirmation { recipient, sender, window, .. } => {
            format!("confirm {recipient} {sender} {window}")
        }
        Message::OpenFailure { recipient, code, .. } => format!("fail {recipient} {code}"),
        Message::WindowAdjust { recipient, bytes } => format!("adjust {recipient} {bytes}"),
        Message::Data { recipient, bytes } => {
            format!("data {recipient} {}", String::from_utf8_lossy(bytes))
        }
        Message::ExtendedData { recipient, bytes, .. } => {
            format!("stderr {recipient} {}", String::from_utf8_lossy(bytes))
        }
        Message::Eof { recipient } => format!("eof {recipient}"),
        Message::Close { recipient } => format!("close {recipient}"),
        Message::ChannelRequest { recipient, name, rest, .. } => {
            format!("{} {recipient} {rest:?}", String::from_utf8_lossy(name))
        }
        Message::ChannelSuccess { recipient } => format!("success {recipient}"),
        Message::ChannelFailure { recipient } => format!("failure {recipient}"),
        Message::GlobalRequest { name, .. } => String::from_utf8_lossy(name).into_owned(),
        Message::RequestSuccess(_) => "request-success".to_owned(),
        Message::RequestFailure => "request-failure".to_owned(),
        Message::Unknown(number) => format!("unknown {number}"),
    }
}

impl Script {
    /// A message, and what became of it: a word for the turn.
    fn take(&mut self, from: Side, message: &Message<'_>) -> &'static str {
        let payload = message.write();
        let turn = self.channels.take(from, &payload).expect("allowed by the protocol");
        let word = match &turn {
            Turn::Taken => "taken",
            Turn::Pass | Turn::Closing(_) => "pass",
            Turn::Framed { .. } => "framed",
            Turn::Masked { .. } => "masked",
            Turn::Data { .. } => "data",
            Turn::Noted { .. } => "noted",
            Turn::Eof(_) => "eof",
            Turn::Asks(_) => "asks",
            Turn::Canceled(_) => "canceled",
            Turn::Heard(_) => "heard",
            Turn::OpensBack(open) => {
                self.channels.allow_open_back(open);
                "opens back"
            }
            Turn::Answered { .. } => "answered",
            Turn::Unopened { .. } => "pass",
            Turn::Over(_) => "over",
            Turn::Unknown => "unknown",
        };
        self.drain();
        if matches!(
            turn,
            Turn::Pass
                | Turn::Data { .. }
                | Turn::Noted { .. }
                | Turn::Eof(_)
                | Turn::Closing(_)
                | Turn::Unopened { .. }
                | Turn::Over(_)
        ) {
            self.said.push(format!("{:?} {}", from.peer(), shown(&payload)));
        }
        word
    }

    fn drain(&mut self) {
        while let Some(post) = self.channels.post() {
            self.said.push(format!("{:?} {}", post.to, shown(&post.message)));
        }
    }

    fn said(&mut self) -> String {
        std::mem::take(&mut self.said).join("\n")
    }

    /// A session channel: 3 for the client, 70 for the target.
    fn opened() -> Script {
        let mut script = Script::default();
        let open =
            Open { kind: b"session", sender: 3, window: 100_000, packet_max: 32_768, rest: b"" };
        assert_eq!(script.take(Side::Client, &Message::ChannelOpen(open)), "taken");
        let confirm = Message::OpenConfirmation {
            recipient: 3,
            sender: 70,
            window: 2_000_000,
            packet_max: 32_768,
            rest: b"",
        };
        assert_eq!(script.take(Side::Server, &confirm), "taken");
        assert_eq!(script.said(), "Server open 3 37500\nClient confirm 3 70 65536");
        script
    }

    fn request(&mut self, name: &str, rest: &[u8]) -> &'static str {
        let (name, want_reply) = (name.as_bytes(), true);
        self.take(Side::Client, &Message::ChannelRequest { recipient: 70, name, want_reply, rest })
    }

    fn exec(&mut self) -> &'static str {
        self.request("exec", b"\0\0\0\x02ls")
    }

    fn key(&self) -> ChannelKey {
        self.channels.key_at_target(70).expect("a channel")
    }
}

const PTY: &[u8] =
    &[0, 0, 0, 2, b'v', b't', 0, 0, 0, 80, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn an_allowed_command_runs_and_ends() {
    let mut script = Script::opened();
    assert_eq!(script.exec(), "asks");
    assert!(!script.channels.take_in(), "what is not decided on is refused");
    let key = script.key();
    script.channels.allow(key, true, None).expect("a channel");
    script.drain();
    let rest = "Client adjust 3 1930368\nServer adjust 70 58404";
    assert_eq!(script.said(), rest, "the rest of the windows");
    assert!(script.channels.take_in());
    script.take(Side::Server, &Message::ChannelSuccess { recipient: 3 });
    script.take(Side::Server, &Message::Data { recipient: 3, bytes: b"out" });
    script.take(Side::Client, &Message::WindowAdjust { recipient: 70, bytes: 3 });
    let (name, rest) = (&b"exit-status"[..], &[0, 0, 0, 7][..]);
    let status = Message::ChannelRequest { recipient: 3, name, want_reply: false, rest };
    assert_eq!(script.take(Side::Server, &status), "noted");
    assert_eq!(script.take(Side::Server, &Message::Eof { recipient: 3 }), "eof");
    assert_eq!(script.take(Side::Server, &Message::Close { recipient: 3 }), "pass");
    assert_eq!(script.take(Side::Client, &Message::Close { recipient: 70 }), "over");
    let expect = "Client success 3\nClient data 3 out\nServer adjust 70 3\n\
                  Client exit-status 3 [0, 0, 0, 7]\nClient eof 3\nClient close 3\nServer close 70";
    assert_eq!(script.said(), expect);
    assert_eq!(script.channels.count(), 0);
}

/// A client is not read while the journal is full and something of its channels runs.
#[test]
fn a_command_takes_in_what_its_client_says_until_it_has_said_all() {
    let mut script = Script::opened();
    script.exec();
    let key = script.key();
    script.channels.allow(key, true, None).expect("a channel");
    assert!(script.channels.take_in());
    assert_eq!(script.take(Side::Client, &Message::Eof { recipient: 70 }), "eof");
    assert!(!script.channels.take_in(), "its answer goes on, and the client may ask");
}

#[test]
fn a_refused_command_ends_as_a_command_that_failed() {
    let mut script = Script::opened();
    script.exec();
    let key = script.key();
    script.channels.refuse(key, true, "weir: no\nrule \"r\"").expect("a channel");
    script.drain();
    let expect = "Client success 3\nClient stderr 3 weir: no\nrule \"r\"\n\n\
                  Client exit-status 3 [0, 0, 0, 126]\nClient eof 3\nClient close 3";
    assert_eq!(script.said(), expect);
    // What both still say is dropped, and the channel goes when both have closed.
    for message in [Message::Data { recipient: 70, bytes: b"in" }, Message::Eof { recipient: 70 }] {
        assert_eq!(script.take(Side::Client, &message), "taken");
    }
    script.take(Side::Client, &Message::Close { recipient: 70 });
    assert_eq!((script.channels.count(), script.said().as_str()), (1, "Server close 70"));
    script.take(Side::Server, &Message::Close { recipient: 3 });
    assert_eq!((script.channels.count(), script.said().as_str()), (0, ""));
}

#[test]
fn numbers_of_a_refused_channel_are_free_when_each_side_has_closed_it() {
    let mut script = Script::opened();
    script.exec();
    let key = script.key();
    script.channels.refuse(key, true, "weir: no").expect("a channel");
    script.drain();
    let open = |sender| {
        let (window, packet_max) = (100_000, 32_768);
        Message::ChannelOpen(Open { kind: b"session", sender, window, packet_max, rest: b"" })
    };
    let confirm = |recipient, sender| {
        let (window, packet_max) = (100_000, 32_768);
        Message::OpenConfirmation { recipient, sender, window, packet_max, rest: b"" }
    };
    // Another channel, before the client has closed the first one: the target has its number.
    assert_eq!(script.take(Side::Client, &open(4)), "taken");
    assert_eq!(script.take(Side::Server, &confirm(4, 71)), "taken");
    // The client has closed it, and uses its number again before the target has.
    assert_eq!(script.take(Side::Client, &Message::Close { recipient: 70 }), "taken");
    assert_eq!(script.take(Side::Client, &open(3)), "taken");
    assert_eq!(script.take(Side::Server, &confirm(3, 72)), "taken");
    assert_eq!(script.take(Side::Server, &Message::Close { recipient: 3 }), "taken");
    assert_eq!(script.channels.count(), 2);
    script.said();
    let data = Message::Data { recipient: 3, bytes: b"x" };
    assert_eq!(script.take(Side::Server, &data), "data");
    assert_eq!(script.said(), "Client data 3 x");
    let data = Message::WindowAdjust { recipient: 72, bytes: 1 };
    assert_eq!(script.take(Side::Client, &data), "taken");
}

#[test]
fn a_second_command_on_a_channel_is_refused() {
    let mut script = Script::opened();
    script.exec();
    let key = script.key();
    script.channels.allow(key, true, None).expect("a channel");
    script.drain();
    script.said();
    assert_eq!(script.exec(), "taken");
    assert_eq!(script.said(), "", "the first one is not answered yet");
    script.take(Side::Server, &Message::ChannelSuccess { recipient: 3 });
    assert_eq!(script.said(), "Client success 3\nClient failure 3");
}

#[test]
fn a_refusal_waits_for_the_replies_before_it() {
    let mut script = Script::opened();
    assert_eq!(script.request("pty-req", PTY), "noted");
    script.said();
    script.request("shell", b"");
    let key = script.key();
    script.channels.refuse(key, true, "weir: no").expect("a channel");
    script.drain();
    assert_eq!(script.said(), "");
    script.take(Side::Server, &Message::ChannelSuccess { recipient: 3 });
    let expect = "Client success 3\nClient success 3\nClient data 3 weir: no\r\n\n\
                  Client exit-status 3 [0, 0, 0, 126]\nClient eof 3\nClient close 3";
    assert_eq!(script.said(), expect, "CR LF at a terminal");
}

#[test]
fn a_held_command_keeps_what_follows_it_and_goes_on() {
    let mut script = Script::opened();
    script.exec();
    let key = script.key();
    script.channels.hold(key, "weir: held").expect("a channel");
    script.drain();
    assert_eq!(script.said(), "Client stderr 3 weir: held\n");
    assert_eq!(script.take(Side::Client, &Message::Data { recipient: 70, bytes: b"in" }), "taken");
    assert_eq!(script.take(Side::Client, &Message::Eof { recipient: 70 }), "taken");
    assert_eq!(script.said(), "");
    let messages = script.channels.release(key);
    script.channels.allow(key, true, None).expect("a channel");
    script.drain();
    for payload in messages {
        let turn = script.channels.take(Side::Client, &payload).expect("in order");
        assert!(matches!(turn, Turn::Data { .. } | Turn::Eof(_)));
    }
}

/// A held command at a terminal, whose target opens sessions with a window of nothing.
fn deaf() -> Script {
    let mut script = Script::default();
    let open = Open { kind: b"session", sender: 3, window: 100_000, packet_max: 32_768, rest: b"" };
    script.take(Side::Client, &Message::ChannelOpen(open));
    let (window, packet_max) = (0, 32_768);
    let confirm =
        Message::OpenConfirmation { recipient: 3, sender: 70, window, packet_max, rest: b"" };
    script.take(Side::Server, &confirm);
    script.channels.channels[0].facts.terminal = Some((b"xterm".to_vec(), 80, 24));
    script.exec();
    assert!(script.said().contains("Client confirm 3 70 0"));
    script.channels.hold(script.key(), "weir: held").expect("a channel");
    script.drain();
    assert_eq!(script.said(), "Client adjust 3 64\nClient data 3 weir: held\r\n");
    script
}

#[test]
fn a_client_at_a_terminal_is_heard_while_it_waits() {
    let data = |bytes| Message::Data { recipient: 70, bytes };
    for (keys, word) in [(&b"l\x03"[..], "canceled"), (b"\x04", "canceled"), (b"l", "taken")] {
        let mut script = deaf();
        let key = script.key();
        assert_eq!(script.take(Side::Client, &data(keys)), word);
        // It says what it was lent, whatever becomes of the command.
        script.channels.release(key);
        script.channels.refuse(key, true, "weir: no").expect("a channel");
        assert_eq!(script.take(Side::Client, &data(&[b'x'; 60])), "taken");
    }
    let mut script = deaf();
    let key = script.key();
    assert_eq!(script.take(Side::Client, &data(b"ls")), "taken");
    let waited = script.channels.release(key);
    script.channels.allow(key, true, None).expect("a channel");
    for payload in &waited {
        assert_eq!(script.channels.take(Side::Client, payload), Ok(Turn::Taken));
    }
    assert_eq!(script.take(Side::Client, &data(b"\x03")), "taken", "it is for the command now");
    script.said();
    let adjust = Message::WindowAdjust { recipient: 3, bytes: 2_000_000 };
    assert_eq!(script.take(Side::Server, &adjust), "heard");
    assert_eq!(script.said(), "Client adjust 3 1995840");
    let early = script.channels.release_early(key);
    let shown: Vec<String> = early.iter().map(|payload| shown(payload)).collect();
    assert_eq!(shown, ["data 70 ls", "data 70 \x03"]);
    for payload in &early {
        let turn = script.channels.take(Side::Client, payload).expect("it was granted");
        assert!(matches!(turn, Turn::Data { .. }));
    }
    assert_eq!(script.take(Side::Client, &data(b"on")), "data");
    // One that leaves before the target wants to hear it.
    let mut script = deaf();
    let key = script.key();
    script.take(Side::Client, &data(b"ls"));
    script.channels.release(key);
    script.channels.allow(key, true, None).expect("a channel");
    assert_eq!(script.take(Side::Client, &Message::Close { recipient: 70 }), "pass");
    assert_eq!(script.take(Side::Server, &Message::Close { recipient: 3 }), "over");
}

#[test]
fn a_held_command_is_given_up_by_close_and_by_interrupt() {
    for message in [
        Message::Close { recipient: 70 },
        Message::ChannelRequest {
            recipient: 70,
            name: b"signal",
            want_reply: false,
            rest: b"\0\0\0\x03INT",
        },
    ] {
        let mut script = Script::opened();
        script.exec();
        let key = script.key();
        script.channels.hold(key, "weir: held").expect("a channel");
        assert_eq!(script.take(Side::Client, &message), "canceled");
        script.channels.refuse(key, true, "weir: canceled").expect("a channel");
        script.drain();
        let said = script.said();
        assert!(said.ends_with("Client close 3"), "{said}");
        if !said.contains("Server close 70") {
            script.take(Side::Client, &Message::Close { recipient: 70 });
        }
        script.take(Side::Server, &Message::Close { recipient: 3 });
        assert_eq!(script.channels.count(), 0);
    }
}

#[test]
fn a_verdict_on_what_the_target_closed_meanwhile_says_nothing_more() {
    for both in [false, true] {
        let mut script = Script::opened();
        script.exec();
        let key = script.key();
        script.channels.hold(key, "weir: held").expect("a channel");
        assert_eq!(script.take(Side::Server, &Message::Close { recipient: 3 }), "pass");
        script.said();
        assert!(script.channels.is_closing(key));
        let close = Message::Close { recipient: 70 };
        if both {
            assert_eq!(script.take(Side::Client, &close), "canceled");
        }
        script.channels.release(key);
        script.channels.refuse(key, true, "weir: late").expect("a channel");
        script.drain();
        if !both {
            assert_eq!(script.said(), "");
            let data = Message::Data { recipient: 70, bytes: b"in" };
            assert_eq!(script.take(Side::Client, &data), "taken");
            assert_eq!(script.take(Side::Client, &close), "over");
        }
        assert_eq!((script.said().as_str(), script.channels.count()), ("Server close 70", 0));
    }
}

#[test]
fn a_terminal_comes_before_what_runs_on_it() {
    let mut script = Script::opened();
    script.exec();
    let key = script.key();
    script.channels.allow(key, true, None).expect("a channel");
    script.drain();
    script.take(Side::Server, &Message::ChannelSuccess { recipient: 3 });
    script.said();
    assert_eq!(script.request("pty-req", PTY), "taken");
    assert_eq!(script.said(), "Client failure 3");
    assert_eq!(script.channels.facts(key).expect("a channel").terminal, None);
}

#[test]
fn a_client_cannot_keep_more_behind_a_hold_than_its_bound() {
    let mut script = Script::opened();
    script.exec();
    let key = script.key();
    script.channels.hold(key, "weir: held").expect("a channel");
    let mut last = Ok(());
    for _ in 0..10_000 {
        let message = Message::Eof { recipient: 70 }.write();
        last = script.channels.take(Side::Client, &message).map(|_| ());
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last, Err(Broken::Flood));
}

#[test]
fn what_may_not_come_ends_the_connection() {
    let refused = |from: Side, message: &Message<'_>| {
        let mut script = Script::opened();
        script.channels.take(from, &message.write()).err()
    };
    let order = Some(Broken::Order);
    assert_eq!(refused(Side::Client, &Message::Data { recipient: 3, bytes: b"x" }), order);
    assert_eq!(refused(Side::Client, &Message::Data { recipient: 70, bytes: b"early" }), order);
    assert_eq!(refused(Side::Server, &Message::ChannelSuccess { recipient: 3 }), order);
    assert_eq!(refused(Side::Server, &Message::RequestFailure), order);
    let open = Open { kind: b"session", sender: 3, window: 1, packet_max: 1, rest: b"" };
    assert_eq!(refused(Side::Client, &Message::ChannelOpen(open)), order, "a number in use");
    let adjust = Message::WindowAdjust { recipient: 70, bytes: u32::MAX };
    assert_eq!(refused(Side::Client, &adjust), Some(Broken::Fields));
}

#[test]
fn more_than_a_window_or_a_packet_ends_the_connection() {
    let window = Some(Broken::Window);
    let sent = |script: &mut Script, from, recipient, sizes: &[usize]| {
        let mut done = sizes.iter().map(|size| {
            let message = Message::Data { recipient, bytes: &vec![0; *size] }.write();
            script.channels.take(from, &message).err()
        });
        done.find_map(|broken| broken)
    };
    // The window of 37500 that the target was told, in packets of 32768 at most.
    assert_eq!(sent(&mut Script::opened(), Side::Server, 3, &[32_768, 4_732]), None);
    assert_eq!(sent(&mut Script::opened(), Side::Server, 3, &[32_768, 4_733]), window);
    assert_eq!(sent(&mut Script::opened(), Side::Server, 3, &[32_769]), window);
    // The client's 65536: refused, held or allowed makes no difference.
    let states: [fn(&mut Script); 3] = [
        |script| script.channels.refuse(script.key(), true, "weir: no").expect("a channel"),
        |script| script.channels.hold(script.key(), "weir: held").expect("a channel"),
        |script| script.channels.mask(script.key()),
    ];
    for enter in states {
        let asked = || {
            let mut script = Script::opened();
            script.exec();
            enter(&mut script);
            script
        };
        assert_eq!(sent(&mut asked(), Side::Client, 70, &[32_769]), window);
    }
    for enter in &states[..2] {
        let mut script = Script::opened();
        script.exec();
        enter(&mut script);
        assert_eq!(sent(&mut script, Side::Client, 70, &[32_768, 32_768, 1]), window);
    }
    let mut script = Script::opened();
    script.exec();
    script.channels.mask(script.key());
    let message = |size| Message::ExtendedData { recipient: 3, stream: 1, bytes: size }.write();
    let big = vec![0; 32_769];
    assert_eq!(script.channels.take(Side::Server, &message(&big)).err(), window);
}

#[test]
fn weirs_own_words_keep_to_the_packets_of_the_client() {
    let mut script = Script::default();
    let open = Open { kind: b"session", sender: 3, window: 9_000, packet_max: 4, rest: b"" };
    script.take(Side::Client, &Message::ChannelOpen(open));
    let (window, packet_max, rest) = (9_000, 4, &b""[..]);
    let confirm = Message::OpenConfirmation { recipient: 3, sender: 70, window, packet_max, rest };
    script.take(Side::Server, &confirm);
    script.exec();
    script.said();
    script.channels.hold(script.key(), "weir: held").expect("a channel");
    script.drain();
    assert_eq!(script.said(), "Client stderr 3 weir\nClient stderr 3 : he\nClient stderr 3 ld\n");
}

#[test]
fn a_target_opens_what_the_client_asked_for_and_nothing_else() {
    let open = |kind| Open { kind, sender: 9, window: 1, packet_max: 1, rest: b"" };
    let kinds = [&b"auth-agent@openssh.com"[..], b"x11", b"forwarded-tcpip", b"session"];
    for kind in kinds {
        let mut script = Script::opened();
        assert_eq!(script.take(Side::Server, &Message::ChannelOpen(open(kind))), "taken");
        assert_eq!(script.said(), "Server fail 9 1");
        script.channels.opens_back = OpensBack { agent: true, x11: true, forwards: true };
        script.take(Side::Server, &Message::ChannelOpen(open(kind)));
        let expect = if kind == b"session" { "Server fail 9 1" } else { "Client open 9 1" };
        assert_eq!(script.said(), expect);
    }
}

#[test]
fn opens_are_bounded_and_a_refused_one_leaves_nothing() {
    let mut script = Script::default();
    for number in 0..1000 {
        let sender = number;
        let open = Open { kind: b"session", sender, window: 1, packet_max: 1, rest: b"" };
        script.take(Side::Client, &Message::ChannelOpen(open));
    }
    assert_eq!(script.channels.count(), SSH_OPENING_MAX);
    let text = "no".as_bytes();
    for recipient in 0..SSH_OPENING_MAX as u32 {
        script.take(Side::Server, &Message::OpenFailure { recipient, code: 1, text });
    }
    assert_eq!(script.channels.count(), 0);
}

#[test]
fn requests_of_the_connection_are_answered_in_order() {
    let mut script = Script::default();
    let ask = |name| Message::GlobalRequest { name, want_reply: true, rest: b"" };
    assert_eq!(script.take(Side::Client, &ask(b"keepalive@openssh.com")), "pass");
    assert_eq!(script.take(Side::Client, &ask(b"tcpip-forward")), "asks");
    script.channels.refuse_global(true).expect("few");
    script.drain();
    assert_eq!(script.said(), "Server keepalive@openssh.com", "the first one is not answered yet");
    script.take(Side::Server, &Message::RequestSuccess(b""));
    assert_eq!(script.said(), "Client request-success\nClient request-failure");
    assert_eq!(script.take(Side::Server, &ask(b"hostkeys-00@openssh.com")), "taken");
    assert_eq!(script.take(Side::Server, &ask(b"keepalive@openssh.com")), "pass");
    assert_eq!(script.take(Side::Client, &Message::RequestFailure), "taken");
}

#[test]
fn variables_pass_by_a_list() {
    let mut script = Script::opened();
    assert_eq!(script.request("env", b"\0\0\0\x04LANG\0\0\0\x01C"), "noted");
    assert_eq!(script.request("env", b"\0\0\0\x0aLD_PRELOAD\0\0\0\x01x"), "taken");
    script.take(Side::Server, &Message::ChannelSuccess { recipient: 3 });
    assert!(script.said().ends_with("Client success 3\nClient failure 3"));
    let facts = script.channels.facts(script.key()).expect("a channel");
    assert_eq!(facts.environment, [(b"LANG".to_vec(), b"C".to_vec())]);
    // 32 KiB together, and no more.
    for (count, words) in [(20_000u32, "noted"), (12_752, "taken"), (12_751, "noted")] {
        let mut rest = b"\0\0\0\x06LC_ALL".to_vec();
        rest.extend(count.to_be_bytes());
        rest.resize(rest.len() + count as usize, b'x');
        assert_eq!(script.request("env", &rest), words, "{count}");
    }
}

proptest! {
    /// Whatever two peers say about three channels, nothing panics, and what weir tells each of
    /// them fits the channels that it has.
    #[test]
    fn any_talk_ends_in_order(
        acts in proptest::collection::vec((0u8..16, 0u32..3, 0u32..5000), 0..200)
    ) {
        let opens_back = OpensBack { agent: true, x11: true, forwards: true };
        let mut channels = Channels { opens_back, ..Channels::default() };
        for (act, number, amount) in acts {
            let data = vec![b'x'; amount as usize];
            let client = act % 2 == 0;
            let from = if client { Side::Client } else { Side::Server };
            let recipient = if client { number + 70 } else { number };
            let sender = if client { number } else { number + 70 };
            let window = amount * 100;
            let message = match act / 2 {
                0 => {
                    let kind = if client { &b"session"[..] } else { b"x11" };
                    Message::ChannelOpen(Open { kind, sender, window, packet_max: 4000, rest: b"" })
                }
                1 => {
                    let (packet_max, rest) = (4000, &b""[..]);
                    Message::OpenConfirmation { recipient, sender, window, packet_max, rest }
                }
                2 => Message::Data { recipient, bytes: &data },
                3 => Message::WindowAdjust { recipient, bytes: amount },
                4 => Message::Close { recipient },
                5 => Message::ChannelRequest {
                    recipient, name: b"exec", want_reply: amount % 2 == 0, rest: b"\0\0\0\x02ls",
                },
                6 => Message::ChannelSuccess { recipient },
                _ => Message::Eof { recipient },
            };
            let payload = message.write();
            match channels.take(from, &payload) {
                Err(_) => break,
                Ok(Turn::Asks(Asked::Request { channel, want_reply, .. })) => match amount % 3 {
                    0 => channels.allow(channel, want_reply, None).expect("a channel"),
                    1 => channels.refuse(channel, want_reply, "weir: no").expect("a channel"),
                    _ => channels.hold(channel, "weir: held").expect("a channel"),
                },
                Ok(Turn::Canceled(key)) => channels.refuse(key, true, "gone").expect("a channel"),
                Ok(Turn::OpensBack(open)) => drop(channels.allow_open_back(&open)),
                Ok(Turn::Heard(key)) => drop(channels.release_early(key)),
                Ok(_) => {}
            }
            while let Some(post) = channels.post() {
                prop_assert!(Message::parse(&post.message).is_ok());
            }
            prop_assert!(channels.count() <= SSH_CHANNELS_MAX);
        }
    }
}

#[test]
fn a_refused_subsystem_is_a_failure_and_what_was_sent_for_it_is_dropped() {
    let mut script = Script::opened();
    assert_eq!(script.request("subsystem", b"\0\0\0\x04sftp"), "asks");
    let key = script.key();
    script.channels.refuse_subsystem(key, true, "weir: no").expect("a channel");
    script.drain();
    assert_eq!(script.said(), "Client stderr 3 weir: no\n\nClient failure 3");
    assert_eq!(
        script.take(Side::Client, &Message::Data { recipient: 70, bytes: b"early" }),
        "taken"
    );
    assert_eq!(script.said(), "");
    assert_eq!(script.take(Side::Client, &Message::Close { recipient: 70 }), "pass");
    assert_eq!(script.take(Side::Server, &Message::Close { recipient: 3 }), "over");
}

#[test]
fn a_client_that_shows_words_late_is_asked_before_it_hears_of_the_failure() {
    for target_closes in [false, true] {
        let mut script = Script::opened();
        script.channels.shows_late = true;
        assert_eq!(script.request("subsystem", b"\0\0\0\x04sftp"), "asks");
        let key = script.key();
        script.channels.refuse_subsystem(key, true, "weir: no").expect("a channel");
        script.drain();
        let said = script.said();
        assert!(said.starts_with("Client stderr 3 weir: no\n"), "{said}");
        assert!(said.contains("keepalive@openssh.com") && !said.contains("failure"), "{said}");
        // What it asks meanwhile is answered in its turn.
        assert_eq!(script.request("subsystem", b"\0\0\0\x04more"), "asks");
        script.channels.refuse_request(script.key(), true).expect("a channel");
        script.drain();
        assert_eq!(script.said(), "");
        if target_closes {
            assert_eq!(script.take(Side::Server, &Message::Close { recipient: 3 }), "pass");
        }
        assert_eq!(script.take(Side::Client, &Message::ChannelFailure { recipient: 70 }), "taken");
        // Nothing follows the end of a channel.
        let failures = "Client failure 3\nClient failure 3";
        let expect = if target_closes { "Client close 3" } else { failures };
        assert_eq!(script.said(), expect);
    }
}

#[test]
fn a_client_without_leave_gets_no_terminal() {
    let mut script = Script::opened();
    script.channels.may_have_terminals = false;
    assert_eq!(script.request("pty-req", PTY), "taken");
    assert_eq!(script.said(), "Client failure 3");
}
