//! A client that does not wait, and comes back with the same request.

use super::super::parked;
use super::*;
use crate::session::Next;

fn vote(approve: bool) -> Vote {
    Vote {
        approver: "dora".into(),
        groups: vec!["dba".into()],
        approve,
        reason: "fine".into(),
        auth: ADMIN_TOKEN.into(),
        ..Vote::default()
    }
}

impl Bench {
    /// Lets the client's time to wait pass.
    fn wait(&mut self) {
        self.pass(crate::limits::HTTP_HOLD_WAIT_US);
        self.tell(Event::Timeout);
    }

    fn pass(&mut self, time_us: u64) {
        self.now.mono_us += time_us;
        self.now.wall_us += time_us as i64;
    }

    /// A vote that the shard does not find a session for.
    fn vote_parked(&mut self, id: SessionId, vote: &Vote) -> VoteReply {
        let mut stage = Stage {
            snapshot: &self.snapshot,
            classifier: &mut self.classifier,
            salted: &mut self.salted,
            journal: &mut self.journal,
            random: &mut |bytes: &mut [u8]| bytes.fill(4),
            room: &self.room,
            meters: &self.meters,
            now: self.now,
        };
        let voted = parked::vote_parked(id, vote, &mut stage);
        voted.map_or(VoteReply::Unknown, |(reply, _)| reply)
    }

    /// weir ends.
    fn abandon_parked(&mut self) -> Vec<SessionId> {
        let mut stage = Stage {
            snapshot: &self.snapshot,
            classifier: &mut self.classifier,
            salted: &mut self.salted,
            journal: &mut self.journal,
            random: &mut |bytes: &mut [u8]| bytes.fill(5),
            room: &self.room,
            meters: &self.meters,
            now: self.now,
        };
        parked::abandon_parked(&mut stage)
    }

    /// Steps of approvals, in order.
    pub(super) fn steps(&self) -> Vec<String> {
        let step = |body| match body {
            Body::Approval(step) => Some(step.event.to_owned()),
            _ => None,
        };
        self.journal.bodies().filter_map(step).collect()
    }
}

fn asked() -> Vec<u8> {
    request("DELETE /parked", "Content-Length: 3||abc")
}

/// A request whose client has waited for as long as it should.
fn park(bench: &mut Bench) -> SessionId {
    bench.send(&asked(), 1000);
    let id = bench.ask.expect("people are asked");
    bench.wait();
    let told = bench.client_text();
    assert!(told.starts_with("HTTP/1.1 403 ") && told.contains("approval-pending"), "{told}");
    assert!(told.contains("retry-after: 10\r\n"), "{told}");
    assert!(bench.leg.is_none() && !bench.closed);
    id
}

/// One test, since what is parked is of the process, as ids of these benches are.
#[test]
fn the_same_request_joins_what_was_asked_and_runs_once() {
    let _turn = alone();
    let asked = asked();
    // Another connection joins while people are still asked; it is approved while it waits.
    let mut bench = Bench::new();
    let id = park(&mut bench);
    let mut other = Bench::new();
    other.send(&asked, 1);
    assert_eq!(other.ask, Some(id), "the same ask");
    let mut reply = VoteReply::Unknown;
    other.tell(Event::Vote(id, &vote(true), &mut reply));
    assert_eq!(reply, VoteReply::Counted { missing: 0 });
    assert!(other.target_text().ends_with("abc"));
    // It is approved while nobody waits: the same request runs, another one does not, and once.
    let mut bench = Bench::new();
    let id = park(&mut bench);
    assert_eq!(bench.vote_parked(id, &vote(true)), VoteReply::Settled(Next::AskedAgain));
    let steps = bench.journal.written().filter(|it| matches!(it.body(), Body::Approval(_)));
    let steps: Vec<_> = steps.map(|it| (it.session_id(), it.seq)).collect();
    assert_eq!(steps.len(), 3, "{steps:?}");
    let (asked_by, at) = steps[0];
    let in_place = |(session, seq): &(SessionId, u64)| *session == asked_by && *seq >= at;
    assert!(steps.iter().all(in_place), "a vote is a row of the session that asked: {steps:?}");
    for (line, rest) in [
        ("DELETE /parked", "Content-Length: 3||abd"),
        ("DELETE /parked?x", "Content-Length: 3||abc"),
        ("DELETE /parked", "X-More: 1|Content-Length: 3||abc"),
    ] {
        let mut different = Bench::new();
        different.send(&request(line, rest), 1000);
        assert!(different.leg.is_none() && different.ask.is_some(), "{line} {rest}");
    }
    let mut again = Bench::new();
    again.send(&asked, 1000);
    assert!(again.target_text().ends_with("abc") && again.ask.is_none());
    assert_eq!(again.record().0, [Decision::Allow]);
    let mut third = Bench::new();
    third.send(&asked, 1000);
    assert!(third.leg.is_none() && third.ask.is_some(), "an approval is used once");
    third.lose();
    // It is denied while nobody waits.
    let mut bench = Bench::new();
    let id = park(&mut bench);
    assert_eq!(bench.vote_parked(id, &vote(false)), VoteReply::Denied);
    assert!(matches!(bench.vote_parked(id, &vote(true)), VoteReply::Refused(_)));
    let mut again = Bench::new();
    again.send(&asked, 1000);
    assert!(again.client_text().contains("denied by dora"), "told once");
    // Nobody answers in time: the vote is too late.
    let mut bench = Bench::new();
    let id = park(&mut bench);
    bench.pass(600_000_000);
    assert!(matches!(bench.vote_parked(id, &vote(true)), VoteReply::Refused(_)));
    assert_eq!(bench.vote_parked(id, &vote(true)), VoteReply::Unknown);
}

/// A form of several parts has another boundary each time, and is the same for all that.
#[test]
fn a_form_joins_by_its_parts() {
    let _turn = alone();
    let form = |boundary: &str, value: &str| {
        let content = format!("--{boundary}\r\n\r\n{value}\r\n--{boundary}--\r\n");
        let kind = format!("Content-Type: multipart/form-data; boundary={boundary}");
        let length = format!("Content-Length: {}", content.len());
        let mut form = request("DELETE /parts", &format!("{kind}|{length}||"));
        form.extend_from_slice(content.as_bytes());
        form
    };
    let mut bench = Bench::new();
    bench.send(&form("one", "abc"), 1000);
    let id = bench.ask.expect("people are asked");
    bench.wait();
    assert_eq!(bench.vote_parked(id, &vote(true)), VoteReply::Settled(Next::AskedAgain));
    for (boundary, value, runs) in [("two", "abd", false), ("two", "abc", true)] {
        let mut again = Bench::new();
        again.send(&form(boundary, value), 1000);
        assert_eq!(again.leg.is_some(), runs, "{boundary} {value}");
        again.lose();
    }
}

/// weir ends: what people are still asked about has its end, what they have said has it.
#[test]
fn what_is_parked_ends_with_weir() {
    let _turn = alone();
    let mut bench = Bench::new();
    let id = park(&mut bench);
    assert_eq!(bench.abandon_parked(), [id]);
    assert_eq!(bench.steps(), ["requested", "abandoned"]);
    assert_eq!(bench.vote_parked(id, &vote(true)), VoteReply::Unknown);
    let mut bench = Bench::new();
    let id = park(&mut bench);
    assert_eq!(bench.vote_parked(id, &vote(false)), VoteReply::Denied);
    assert_eq!(bench.abandon_parked(), []);
    assert_eq!(bench.steps(), ["requested", "vote-deny", "denied"]);
}
