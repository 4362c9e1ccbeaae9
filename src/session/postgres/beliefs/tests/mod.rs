//! Beliefs against a small PostgreSQL, for random conversations cut at random places.

mod server;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::names::Lookup;
use super::reading::{Reading, Reads};
use super::*;
use crate::decide::{Class, Classifier};
use crate::session::postgres::state::{Issued, Portal, Prepared};
use server::{Command, Said, Sent, Server};

pub const NAMES: [&str; 5] = ["", "s", "t", "c", "p"];

/// Each command names a table of its own, so that it can be told what ran.
const TEXTS: [&[&str]; 33] = [
    &["SELECT * FROM t1"],
    &["SELECT * FROM t2"],
    &["UPDATE t3 SET a = 1 WHERE b = 2"],
    &["BEGIN"],
    &["BEGIN"],
    &["COMMIT"],
    &["ROLLBACK"],
    &["COMMIT AND CHAIN"],
    &["ROLLBACK AND CHAIN"],
    &["SAVEPOINT a"],
    &["ROLLBACK TO a"],
    &["RELEASE a"],
    &["PREPARE s AS SELECT * FROM t4"],
    &["PREPARE t AS SELECT * FROM t5"],
    &["EXECUTE s"],
    &["DEALLOCATE s"],
    &["DEALLOCATE ALL"],
    &["DISCARD ALL"],
    &["DECLARE c CURSOR FOR SELECT * FROM t6"],
    &["DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t7"],
    &["FETCH c"],
    &["FETCH p"],
    &["CLOSE c"],
    &["CLOSE ALL"],
    &["SELECT 1/0 FROM zero"],
    &["INSERT INTO deferred VALUES (1)"],
    &["PREPARE s AS SELECT * FROM t8", "EXECUTE s"],
    &["BEGIN", "DECLARE c CURSOR FOR SELECT * FROM t9", "FETCH c"],
    &["DEALLOCATE s", "PREPARE s AS SELECT * FROM t10", "EXECUTE s"],
    &["INSERT INTO deferred VALUES (1)", "PREPARE s AS SELECT * FROM t11"],
    &["INSERT INTO deferred VALUES (1)", "DEALLOCATE s"],
    &["COMMIT", "BEGIN", "FETCH c"],
    &["CLOSE c", "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t12", "FETCH c"],
];

const SETTINGS: [&[&str]; 10] = [
    &["SELECT '\\' FROM t1"],
    &["SELECT '\\' FROM t2"],
    &["SET client_encoding = 'SJIS'"],
    &["SET client_encoding = 'UTF8'"],
    &["RESET client_encoding"],
    &["BEGIN"],
    &["COMMIT"],
    &["ROLLBACK"],
    &["SELECT 1/0 FROM zero"],
    &["SELECT * FROM t3", "ROLLBACK", "SELECT * FROM t4"],
];

/// A client that asks `Beliefs` before each message, as a session does.
struct Client {
    texts: &'static [&'static [&'static str]],
    beliefs: Beliefs,
    classifier: Classifier,
    server: Server,
    /// Not yet with the server; not yet heard.
    sent: VecDeque<Sent>,
    said: VecDeque<Said>,
    /// By number of the command, what its statements are believed to be.
    believed: HashMap<usize, Vec<Statement>>,
    /// Commands so far.
    numbers: usize,
}

impl Client {
    fn new(texts: &'static [&'static [&'static str]]) -> Client {
        Client {
            texts,
            beliefs: Beliefs::new(Reading::default()),
            classifier: Classifier::new(),
            server: Server::new(),
            sent: VecDeque::new(),
            said: VecDeque::new(),
            believed: HashMap::new(),
            numbers: 0,
        }
    }

    fn issued(&mut self) -> (Issued, usize) {
        self.numbers += 1;
        let number = self.numbers;
        (Issued { seq: number as u64, at_us: 0, held: false }, number)
    }

    fn commands(&mut self, texts: &'static [&'static str]) -> Vec<Command> {
        let one = |text: &'static str| {
            let classified = self.classifier.classify(text.as_bytes());
            Command { text, statement: classified.statements[0].clone() }
        };
        texts.iter().copied().map(one).collect()
    }

    /// How the text is read, waiting if it has to.
    fn read(&mut self, text: &str) -> Rc<Classified> {
        for _ in 0..2 {
            match self.beliefs.reads(text.as_bytes()) {
                Reads::Same => return self.classifier.classify(text.as_bytes()),
                Reads::Otherwise => return self.classifier.classify(b"\0"),
                Reads::Unsettled => self.pump(usize::MAX),
            }
        }
        panic!("a text that is never read: {text}");
    }

    fn resolve(&mut self, said: &Rc<Classified>) -> Rc<Classified> {
        for _ in 0..2 {
            match self.beliefs.resolve(said) {
                Resolved::Is(runs) => return runs,
                Resolved::Unsettled => self.pump(usize::MAX),
                Resolved::Unclear => panic!("all names here are plain"),
            }
        }
        panic!("a text whose names are never settled");
    }

    fn statement(&mut self, name: &str) -> Option<StatementRef> {
        for _ in 0..2 {
            match self.beliefs.statement(name.as_bytes()) {
                Lookup::Known(statement) => return Some(Rc::clone(statement)),
                Lookup::Suspect(statement) => return Some(doubt(statement)),
                Lookup::Absent => return None,
                Lookup::Unsettled => self.pump(usize::MAX),
            }
        }
        panic!("a statement that is never settled: {name}");
    }

    fn portal(&mut self, name: &str) -> Option<PortalRef> {
        for _ in 0..2 {
            match self.beliefs.portal(name.as_bytes()) {
                Lookup::Known(portal) => return Some(Rc::clone(portal)),
                Lookup::Suspect(_) | Lookup::Absent => return None,
                Lookup::Unsettled => self.pump(usize::MAX),
            }
        }
        panic!("a portal that is never settled: {name}");
    }

    fn parse(&mut self, name: &'static str, texts: &'static [&'static str]) {
        if !name.is_empty() {
            let _waits = self.statement(name);
        }
        let text = texts.join(";");
        let classified = self.read(&text);
        let _waits = self.resolve(&classified);
        let statement = Rc::new(Prepared {
            encoding: Box::default(),
            secrets: Box::default(),
            name: name.into(),
            text: Rc::from(text.as_bytes()),
            classified,
            types: Vec::new().into(),
            recorded: true.into(),
        });
        let commands = self.commands(texts);
        self.beliefs.sent(Message::Parse(name.as_bytes(), statement));
        self.sent.push_back(Sent::Parse(name, commands));
    }

    fn bind(&mut self, portal: &'static str, name: &'static str) {
        if !portal.is_empty() {
            let _waits = self.portal(portal);
        }
        let bound = match self.statement(name) {
            None => self.unknown(),
            Some(statement) => {
                let says = Rc::clone(&statement.classified);
                let runs = self.resolve(&says);
                let differs = !Rc::ptr_eq(&runs, &says);
                let statement = Rc::new(Prepared { classified: runs, ..statement.copy() });
                Portal { says: differs.then_some(says), ..Portal::of(statement) }
            }
        };
        self.beliefs.sent(Message::Bind(portal.as_bytes(), Rc::new(bound)));
        self.sent.push_back(Sent::Bind(portal, name));
    }

    fn unknown(&mut self) -> Portal<crate::mask::Plan> {
        let classified = self.classifier.classify(b"\0");
        let statement = Prepared {
            encoding: Box::default(),
            secrets: Box::default(),
            name: "".into(),
            text: Rc::from(&b""[..]),
            classified,
            types: Vec::new().into(),
            recorded: true.into(),
        };
        Portal::of(Rc::new(statement))
    }

    fn execute(&mut self, name: &'static str) {
        let mut portal = self.portal(name);
        if let Some(says) = portal.as_ref().and_then(|portal| portal.says.clone()) {
            let runs = self.resolve(&says);
            portal = portal.filter(|portal| {
                let bound = portal.statement.as_ref().map(|it| &it.classified.statements);
                bound == Some(&runs.statements)
            });
        }
        let portal = portal.unwrap_or_else(|| Rc::new(self.unknown()));
        let (issued, number) = self.issued();
        let statements = portal.statement.as_ref().map(|it| it.classified.statements.clone());
        if is_unknown(statements.as_deref()) {
            // A client that has no rule for `unknown` goes on without it.
            return;
        }
        self.believed.insert(number, statements.unwrap_or_default());
        self.beliefs.sent(Message::Execute(issued, portal, None));
        self.sent.push_back(Sent::Execute(name, number));
    }

    fn query(&mut self, texts: &'static [&'static str]) {
        let text = texts.join(";");
        let classified = self.read(&text);
        let runs = self.resolve(&classified);
        if is_unknown(Some(&runs.statements)) {
            // A client that has no rule for `unknown` goes on without it.
            return;
        }
        let commands = self.commands(texts);
        let (issued, number) = self.issued();
        self.believed.insert(number, runs.statements.clone());
        self.beliefs.sent(Message::Query(issued, runs, VecDeque::new(), text.as_bytes()));
        self.sent.push_back(Sent::Query(commands, number));
    }

    fn step(&mut self, (what, a, b): (u8, u8, u8)) {
        let name = |n: u8| NAMES[usize::from(n) % NAMES.len()];
        let texts = self.texts;
        let text = |n: u8| texts[usize::from(n) % texts.len()];
        match what % 12 {
            0 | 1 => self.parse(name(a), text(b)),
            2 | 3 => self.bind(name(a), name(b)),
            4 | 5 => self.execute(name(a)),
            6 => {
                let _waits = self.statement(name(a));
                self.beliefs.sent(Message::CloseStatement(name(a).as_bytes()));
                self.sent.push_back(Sent::CloseStatement(name(a)));
            }
            7 => {
                let _waits = self.portal(name(a));
                self.beliefs.sent(Message::ClosePortal(name(a).as_bytes()));
                self.sent.push_back(Sent::ClosePortal(name(a)));
            }
            8 => self.sync(),
            9 => self.query(text(b)),
            10 => {
                // What drivers do most.
                self.parse("", text(b));
                self.bind("", "");
                self.execute("");
            }
            _ => self.pump(usize::from(a % 8)),
        }
    }

    fn sync(&mut self) {
        self.beliefs.sent(Message::Sync);
        self.sent.push_back(Sent::Sync);
    }

    /// The server takes so many messages, and so many of its answers arrive.
    fn pump(&mut self, count: usize) {
        for _ in 0..count {
            let Some(message) = self.sent.pop_front() else { break };
            self.said.extend(self.server.handle(&message));
        }
        for _ in 0..count {
            let Some(said) = self.said.pop_front() else { break };
            self.hear(said);
        }
    }

    fn hear(&mut self, said: Said) {
        let answer = match said {
            Said::Parsed => Answer::Parsed,
            Said::Bound => Answer::Bound,
            Said::Closed => Answer::Closed,
            Said::Complete(tag) => Answer::Complete(tag.as_bytes()),
            Said::Error(sqlstate) => Answer::Error(sqlstate.as_bytes()),
            Said::Ready(status) => Answer::Ready(status),
            Said::Setting(value) => Answer::Setting("client_encoding", value),
            Said::Ran(number, place, ran) => return self.compare(number, place, &ran),
        };
        let heard = self.beliefs.heard(answer);
        assert!(heard.is_ok(), "{answer:?}: {heard:?}");
    }

    /// What ran is what was decided about, unless that was `unknown`.
    fn compare(&self, number: usize, place: usize, ran: &Statement) {
        let all = self.believed.get(&number);
        if is_unknown(all.map(Vec::as_slice)) {
            return;
        }
        let believed = all.and_then(|list| list.get(place));
        let Some(believed) = believed else { panic!("nothing was decided about {ran:?}") };
        let opaque = matches!(believed.effect, Consequence::Execute(_) | Consequence::Fetch(_));
        if !believed.classes.has(Class::Unknown) && !opaque {
            assert_eq!(believed.objects, ran.objects, "decided about {believed:?}, ran {ran:?}");
        }
    }

    /// Everything is answered: what the server has, weir knows.
    fn compare_names(&mut self) {
        self.sync();
        self.pump(usize::MAX);
        assert!(self.beliefs.owes_nothing());
        for (name, command) in &self.server.statements {
            match self.beliefs.statement(name.as_bytes()) {
                Lookup::Known(known) | Lookup::Suspect(known) => {
                    let known = &known.classified.statements;
                    if is_unknown(Some(known)) {
                        continue;
                    }
                    assert_eq!(known[0].objects, command.statement.objects, "{name}");
                }
                // Forgotten where it could not be told: that refuses, and allows nothing.
                Lookup::Absent if name.is_empty() => {}
                other => panic!("{name} is {command:?}, and believed to be {other:?}"),
            }
        }
        for (name, command) in self.server.portals() {
            match self.beliefs.portal(name.as_bytes()) {
                Lookup::Known(known) | Lookup::Suspect(known) => {
                    let known = known.statement.as_ref().map(|it| &it.classified.statements);
                    let opaque = known.is_some_and(|it| it[0].classes.has(Class::Unknown));
                    let refers = matches!(
                        command.statement.effect,
                        Consequence::Execute(_) | Consequence::Fetch(_)
                    );
                    if !opaque && !refers {
                        assert_eq!(
                            known.map(|it| &it[0].objects),
                            Some(&command.statement.objects)
                        );
                    }
                }
                // Forgotten where it could not be told: that refuses, and allows nothing.
                Lookup::Absent if self.server.was_doomed || name.is_empty() => {}
                other => panic!("{name} is {command:?}, and believed to be {other:?}"),
            }
        }
        let named = |name: &str| !name.is_empty();
        let has = self.server.statements.keys().filter(|name| named(name)).count();
        let believes = self.beliefs.believed().0.iter().filter(|it| named(&it.0)).count();
        assert_eq!(believes, has, "names that there are, and that are believed");
        assert_eq!(self.beliefs.reads_alike(), !self.server.otherwise);
    }
}

fn is_unknown(statements: Option<&[Statement]>) -> bool {
    statements.is_none_or(|list| list.iter().any(|it| it.classes.has(Class::Unknown)))
}

fn converse(texts: &'static [&'static [&'static str]], steps: &[(u8, u8, u8)]) {
    let mut client = Client::new(texts);
    for &step in steps {
        client.step(step);
    }
    client.compare_names();
}

/// The same conversations each time, so that a change is told from luck; other ones in the long
/// form, and more of them.
fn config() -> ProptestConfig {
    let (rng_seed, cases) = match std::env::var_os("WEIR_TEST_LONG") {
        Some(_) => (RngSeed::Random, 500_000),
        None => (RngSeed::Fixed(1), 4_000),
    };
    ProptestConfig { cases, rng_seed, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_runs_is_what_was_decided_about(
        steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..60),
    ) {
        converse(&TEXTS, &steps);
    }

    #[test]
    fn texts_are_read_as_the_server_reads_them(
        steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..40),
    ) {
        converse(&SETTINGS, &steps);
    }
}

/// `ReadyForQuery` of an earlier pipeline commits nothing of a later one.
#[test]
fn a_cursor_with_hold_ends_with_the_pipeline_that_failed() {
    let declares = [(0, 0, 19), (2, 0, 0), (4, 0, 0)];
    let fails = [(0, 0, 24), (2, 0, 0), (4, 0, 0)];
    let mut steps = vec![(8, 0, 0)];
    steps.extend(declares);
    steps.extend(fails);
    steps.extend([(8, 0, 0), (9, 0, 20)]);
    converse(&TEXTS, &steps);
}

/// A commit is about what a later command of the same pipeline has given another meaning, and that
/// one is skipped.
#[test]
fn a_cursor_with_hold_is_kept_behind_one_that_could_not_be_declared() {
    converse(&TEXTS, &[(10, 0, 19), (10, 0, 5), (10, 0, 18)]);
    converse(&TEXTS, &[(10, 0, 19), (10, 0, 6), (10, 0, 18)]);
    converse(&TEXTS, &[(9, 0, 19), (10, 0, 18), (8, 0, 0), (9, 0, 20)]);
}

/// Names know no transactions: all are gone, although the transaction could not end.
#[test]
fn what_takes_all_names_stays_done_behind_a_deferred_constraint() {
    converse(&TEXTS, &[(9, 0, 26), (10, 0, 25), (9, 0, 16)]);
    converse(&TEXTS, &[(10, 0, 25), (0, 1, 0), (9, 0, 17)]);
    converse(&TEXTS, &[(9, 0, 19), (10, 0, 25), (9, 0, 23)]);
    converse(&TEXTS, &[(9, 0, 19), (10, 0, 25), (9, 0, 17)]);
}

/// A COMMIT whose portal is gone ends nothing: a Query closes the unnamed one.
#[test]
fn a_commit_that_was_not_run_ends_no_cursor() {
    let bound = [(0, 0, 5), (2, 0, 0), (9, 0, 27), (8, 0, 0), (4, 0, 0)];
    converse(&TEXTS, &bound);
}

/// The transaction of a COMMIT that EXECUTE runs ends with the pipeline, and what weir cannot place
/// it does not say: the names are suspect, none of them is gone.
#[test]
fn a_commit_behind_execute_ends_no_name_by_itself() {
    converse(&TEXTS, &[(0, 1, 5), (9, 0, 3), (2, 1, 1), (10, 0, 14)]);
    converse(&TEXTS, &[(0, 1, 7), (9, 0, 27), (2, 1, 1), (9, 0, 14)]);
    let mut client = Client::new(&TEXTS);
    for step in [(0, 1, 7), (8, 0, 0), (9, 0, 3), (0, 2, 18), (2, 4, 2)] {
        client.step(step);
    }
    let says = client.read("EXECUTE s");
    let runs = client.resolve(&says);
    assert!(is_unknown(Some(&runs.statements)), "{runs:?}");
}
