//! What weir believes of a server, beside the server itself: after random conversations both name
//! the same statements and cursors, and every row that came belongs to what was believed to run.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;

use weir::decide::sql::classify::classify_uncached;
use weir::decide::{Class, Classified, Consequence, Statement};
use weir::session::postgres::beliefs::names::Lookup;
use weir::session::postgres::beliefs::reading::Reading;
use weir::session::postgres::beliefs::{Answer, Beliefs, Message, Resolved, doubt};
use weir::session::postgres::state::{Issued, Portal, Prepared};

use crate::support::lake::text;
use crate::support::raw::{Raw, bind, close, execute, parse, query, sync};
use crate::support::{Postgres, Spec, short_or_long};

const CONVERSATIONS: u64 = 300;
const STEPS: usize = 40;

const NAMES: [&str; 5] = ["", "s", "t", "c", "p"];

/// Each query returns the number of its table.
const TEXTS: [&str; 30] = [
    "SELECT * FROM t1",
    "SELECT * FROM t2",
    "SELECT * FROM t3",
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "PREPARE s AS SELECT * FROM t4",
    "PREPARE t AS SELECT * FROM t5",
    "EXECUTE s",
    "DEALLOCATE s",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "DECLARE c CURSOR FOR SELECT * FROM t6",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t7",
    "FETCH c",
    "FETCH p",
    "CLOSE c",
    "CLOSE ALL",
    "SELECT 1/0 FROM t1",
    "INSERT INTO deferred VALUES (1)",
    "PREPARE s AS SELECT * FROM t8; EXECUTE s",
    "BEGIN; DECLARE c CURSOR FOR SELECT * FROM t9; FETCH c",
    "DEALLOCATE s; PREPARE s AS SELECT * FROM t10; EXECUTE s",
    "INSERT INTO deferred VALUES (1); PREPARE s AS SELECT * FROM t11",
];

const SCHEMA: &str = "
    DO $$ BEGIN FOR n IN 1..11 LOOP
      EXECUTE format('CREATE TABLE t%s AS SELECT %s AS n', n, n);
      EXECUTE format('GRANT SELECT ON t%s TO app', n);
    END LOOP; END $$;
    CREATE TABLE deferred (a int CHECK (a > 0), b int);
    CREATE TABLE parent (a int PRIMARY KEY);
    ALTER TABLE deferred ADD FOREIGN KEY (a) REFERENCES parent DEFERRABLE INITIALLY DEFERRED;
    GRANT INSERT, SELECT ON deferred, parent TO app";

/// Numbers of a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

struct Talk {
    raw: Raw,
    beliefs: Beliefs,
    seq: u64,
    /// What the commands are believed to run, and how many of their statements are complete.
    running: HashMap<u64, (Vec<Statement>, usize)>,
    said: Vec<String>,
}

impl Talk {
    fn new(raw: Raw) -> Talk {
        let beliefs = Beliefs::new(Reading::default());
        Talk { raw, beliefs, seq: 0, running: HashMap::new(), said: Vec::new() }
    }

    fn issued(&mut self) -> Issued {
        self.seq += 1;
        Issued { seq: self.seq, at_us: 0, held: false }
    }

    fn send(&mut self, what: String, bytes: &[u8]) {
        self.said.push(what);
        self.raw.send(bytes);
    }

    /// Hears one message of the server; rows are those of what is believed to run.
    fn hear(&mut self) -> Option<Vec<Option<String>>> {
        let message = match self.raw.read() {
            Ok(Some(message)) => message,
            other => panic!("{other:?} after {:?}", self.said),
        };
        let tag = message.body.strip_suffix(&[0]).unwrap_or_default();
        let code = message.field(b'C');
        let answer = match message.kind {
            b'1' => Answer::Parsed,
            b'2' => Answer::Bound,
            b'3' => Answer::Closed,
            b'T' => Answer::Description,
            b'D' => Answer::Row,
            b'C' => Answer::Complete(tag),
            b'I' => Answer::Empty,
            b'E' => Answer::Error(code.as_bytes()),
            b'Z' => Answer::Ready(message.body[0]),
            b'N' => return None,
            other => panic!("{} after {:?}", char::from(other), self.said),
        };
        let current = self.beliefs.current().map(|issued| issued.seq);
        let heard = self.beliefs.heard(answer);
        assert!(heard.is_ok(), "{answer:?}: {heard:?} after {:?}", self.said);
        let Some((statements, done)) = current.and_then(|seq| self.running.get_mut(&seq)) else {
            return (message.kind == b'D').then(|| message.values());
        };
        if message.kind == b'C' {
            *done += 1;
        }
        if message.kind == b'D' {
            let values = message.values();
            if let Some(believed) = statements.get(*done).filter(|it| is_known(it)) {
                let table = believed.objects.first().map(|object| object.name.clone());
                let came = values[0].as_ref().map(|n| format!("t{n}"));
                assert_eq!(table, came, "{believed:?} after {:?}", self.said);
            }
            return Some(values);
        }
        None
    }

    fn statement(&mut self, name: &str) -> Option<Rc<Prepared>> {
        loop {
            match self.beliefs.statement(name.as_bytes()) {
                Lookup::Known(statement) => return Some(Rc::clone(statement)),
                Lookup::Suspect(statement) => return Some(doubt(statement)),
                Lookup::Absent => return None,
                Lookup::Unsettled => drop(self.hear()),
            }
        }
    }

    fn resolve(&mut self, says: &Rc<Classified>) -> Rc<Classified> {
        loop {
            match self.beliefs.resolve(says) {
                Resolved::Is(runs) => return runs,
                Resolved::Unsettled => drop(self.hear()),
                Resolved::Unclear => panic!("all names here are plain"),
            }
        }
    }

    fn parse(&mut self, name: &'static str, text: &'static str) {
        if !name.is_empty() {
            let _waits = self.statement(name);
        }
        let says = Rc::new(classify_uncached(text.as_bytes()));
        let _waits = self.resolve(&says);
        let statement = prepared(name, text, says);
        self.beliefs.sent(Message::Parse(name.as_bytes(), Rc::new(statement)));
        self.send(format!("P({name}, {text})"), &parse(name, text));
    }

    fn bind(&mut self, portal: &'static str, name: &'static str) {
        while !portal.is_empty()
            && matches!(self.beliefs.portal(portal.as_bytes()), Lookup::Unsettled)
        {
            let _answer = self.hear();
        }
        let bound = match self.statement(name) {
            None => Portal::of(Rc::new(unknown())),
            Some(statement) => {
                let says = Rc::clone(&statement.classified);
                let runs = self.resolve(&says);
                let differs = !Rc::ptr_eq(&runs, &says);
                let statement = Prepared { classified: runs, ..statement.copy() };
                Portal { says: differs.then_some(says), ..Portal::of(Rc::new(statement)) }
            }
        };
        self.beliefs.sent(Message::Bind(portal.as_bytes(), Rc::new(bound)));
        self.send(format!("B({portal}, {name})"), &bind(portal, name, &[]));
    }

    fn execute(&mut self, name: &'static str) {
        let portal = loop {
            match self.beliefs.portal(name.as_bytes()) {
                Lookup::Known(portal) => break Some(Rc::clone(portal)),
                Lookup::Suspect(_) | Lookup::Absent => break None,
                Lookup::Unsettled => drop(self.hear()),
            }
        };
        let portal = portal.unwrap_or_else(|| Rc::new(Portal::of(Rc::new(unknown()))));
        let mut statements = portal.statement.as_ref().map(|it| it.classified.statements.clone());
        if let Some(says) = &portal.says {
            let runs = self.resolve(says);
            if executes_transaction(says, &runs) {
                return;
            }
            statements = statements.filter(|bound| *bound == runs.statements);
        }
        let statements = statements.unwrap_or_default();
        let issued = self.issued();
        if statements.iter().any(|it| it.classes.has(Class::Unknown)) || statements.is_empty() {
            return;
        }
        self.running.insert(issued.seq, (statements, 0));
        self.beliefs.sent(Message::Execute(issued, portal, None));
        self.send(format!("E({name})"), &execute(name, 0));
    }

    fn query(&mut self, text: &'static str) {
        let says = Rc::new(classify_uncached(text.as_bytes()));
        let runs = self.resolve(&says);
        // A client that has no rule for `unknown` goes on without it.
        let unknown = runs.statements.iter().any(|it| it.classes.has(Class::Unknown));
        if unknown || executes_transaction(&says, &runs) {
            return;
        }
        let issued = self.issued();
        self.running.insert(issued.seq, (runs.statements.clone(), 0));
        self.beliefs.sent(Message::Query(issued, runs, VecDeque::new(), text.as_bytes()));
        self.send(format!("Q({text})"), &query(text));
    }

    fn sync(&mut self) {
        self.beliefs.sent(Message::Sync);
        self.send("S".to_owned(), &sync());
    }

    fn step(&mut self, numbers: &mut Numbers) {
        let (what, text) = (numbers.next(12), TEXTS[numbers.next(TEXTS.len())]);
        let (name, other) = (NAMES[numbers.next(5)], NAMES[numbers.next(5)]);
        match what {
            0 | 1 => self.parse(name, text),
            2 | 3 => self.bind(name, other),
            4 | 5 => self.execute(name),
            6 => {
                let _waits = self.statement(name);
                self.beliefs.sent(Message::CloseStatement(name.as_bytes()));
                self.send(format!("CL({name})"), &close(b'S', name));
            }
            7 => self.sync(),
            8 | 9 => {
                // A Query inside of a pipeline that failed has no answer: not what drivers do.
                self.sync();
                self.query(text);
            }
            _ => {
                self.parse("", text);
                self.bind("", "");
                self.execute("");
                self.sync();
            }
        }
    }

    fn settle(&mut self) {
        self.sync();
        while !self.beliefs.owes_nothing() {
            let _answer = self.hear();
        }
    }

    fn ask(&mut self, text: &'static str) -> Vec<Vec<String>> {
        self.query(text);
        let mut rows = Vec::new();
        while !self.beliefs.owes_nothing() {
            rows.extend(self.hear());
        }
        rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect()
    }

    fn compare(&mut self) {
        self.settle();
        if self.beliefs.transaction() == b'E' {
            self.query("ROLLBACK");
            self.settle();
        }
        let (statements, portals) = self.beliefs.believed();
        let has = self.ask("SELECT name, statement FROM pg_prepared_statements ORDER BY name");
        for row in &has {
            let known = statements.iter().find(|(name, _)| *name == row[0]);
            let text = known.map(|(_, text)| text.as_str());
            assert_eq!(text, Some(row[1].as_str()), "{} after {:?}", row[0], self.said);
        }
        let named = statements.iter().filter(|(name, _)| !name.is_empty()).count();
        assert_eq!(has.len(), named, "{statements:?} after {:?}", self.said);
        for row in self.ask("SELECT name FROM pg_cursors WHERE name <> '' ORDER BY name") {
            assert!(portals.contains(&row[0]), "{} after {:?}", row[0], self.said);
        }
    }
}

fn prepared(name: &str, text: &str, classified: Rc<Classified>) -> Prepared {
    Prepared {
        secrets: Box::default(),
        name: name.into(),
        text: Rc::from(text.as_bytes()),
        classified,
        types: Vec::new().into(),
        recorded: true.into(),
        encoding: Box::default(),
    }
}

fn unknown() -> Prepared {
    prepared("", "", Rc::new(classify_uncached(b"\0")))
}

/// EXECUTE of a SAVEPOINT outside of a transaction ends the server's session (xact.c,
/// `DefineSavepoint`, "unexpected state"), which says nothing of names.
fn executes_transaction(says: &Classified, runs: &Classified) -> bool {
    let mut pairs = says.statements.iter().zip(&runs.statements);
    pairs.any(|(says, runs)| {
        matches!(says.effect, Consequence::Execute(_)) && runs.classes.has(Class::Transaction)
    })
}

fn is_known(statement: &Statement) -> bool {
    let refers = matches!(statement.effect, Consequence::Execute(_) | Consequence::Fetch(_));
    !refers
        && !statement.classes.has(Class::Unknown)
        && !statement.objects.is_empty()
        && statement.objects.iter().any(|object| object.name.starts_with('t'))
}

#[test]
fn what_weir_believes_is_what_the_server_has() {
    let database = Postgres::shared().database();
    database.sql(SCHEMA);
    for conversation in 1..=CONVERSATIONS {
        let mut numbers = Numbers(conversation.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut talk = Talk::new(Raw::login(&database.endpoint()));
        for _ in 0..STEPS {
            talk.step(&mut numbers);
        }
        talk.compare();
    }
}

/// Names under which table 3 is denied and table 2 is masked, whatever leads to them.
const RULED: &str = r#"
[[rule]]
name = "not the third"
when = { touches = ["public.t3"] }
then = "deny"
[[rule]]
name = "the rest"
when = {}
then = "allow"
"#;

const MASKED: &str = "[[mask]]\ncolumns = [\"public.t2.n\"]\noperator = \"nullify\"\n";

/// A conversation through weir, of which the client knows no more than what it hears.
struct Through {
    raw: Raw,
    said: Vec<String>,
    /// ReadyForQuery that are still to come.
    owed: usize,
    status: u8,
    /// A server ends a session that executes SAVEPOINT by name outside of a transaction.
    is_over: bool,
    rows: Vec<Vec<Option<String>>>,
}

impl Through {
    fn send(&mut self, what: String, bytes: &[u8], ready: usize) {
        self.said.push(what);
        self.owed += ready;
        self.is_over |= self.raw.try_send(bytes).is_err();
    }

    fn query(&mut self, text: &str) {
        // As drivers do: no Query inside of a pipeline that may have failed.
        self.send(format!("S Q({text})"), &[sync(), query(text)].concat(), 2);
    }

    fn step(&mut self, numbers: &mut Numbers) {
        let (what, text) = (numbers.next(12), TEXTS[numbers.next(TEXTS.len())]);
        let (name, other) = (NAMES[numbers.next(5)], NAMES[numbers.next(5)]);
        match what {
            0 | 1 => self.send(format!("P({name}, {text})"), &parse(name, text), 0),
            2 | 3 => self.send(format!("B({name}, {other})"), &bind(name, other, &[]), 0),
            4 | 5 => self.send(format!("E({name})"), &execute(name, 0), 0),
            6 => self.send(format!("CL({name})"), &close(b'S', name), 0),
            7 => self.send("S".to_owned(), &sync(), 1),
            8 | 9 => self.query(text),
            _ => {
                let run = [parse("", text), bind("", "", &[]), execute("", 0), sync()].concat();
                self.send(format!("P B E S({text})"), &run, 1);
            }
        }
        // Some of what is sent is heard before the next is.
        if numbers.next(3) == 0 {
            self.settle();
        }
    }

    /// Hears all that is owed.
    fn settle(&mut self) {
        while self.owed > 0 && !self.is_over {
            match self.raw.read() {
                Ok(Some(message)) if message.kind == b'Z' => {
                    self.owed -= 1;
                    self.status = message.body[0];
                }
                Ok(Some(message)) if message.kind == b'D' => self.rows.push(message.values()),
                Ok(Some(_)) => {}
                Ok(None) => self.is_over = true,
                Err(error) => panic!("{error} after {:?}", self.said),
            }
        }
    }

    /// The rows of a query; nothing else is owed.
    fn ask(&mut self, text: &str) -> Vec<Vec<Option<String>>> {
        self.settle();
        self.rows.clear();
        self.query(text);
        self.settle();
        std::mem::take(&mut self.rows)
    }

    fn no_row_of_others(&self) {
        for value in self.rows.iter().flatten().flatten() {
            assert!(value != "2" && value != "3", "{value} after {:?}", self.said);
        }
    }

    /// What the server says of each name, beside what weir takes it for: probes for the record.
    fn probe(&mut self, conversation: u64) -> Vec<Probe> {
        self.send("S".to_owned(), &sync(), 1);
        self.settle();
        self.no_row_of_others();
        if self.status == b'E' {
            self.ask("ROLLBACK");
        }
        let mut probes = Vec::new();
        for name in ["s", "t", "c", "p"] {
            for (list, is_cursor) in [("pg_prepared_statements", false), ("pg_cursors", true)] {
                let marker = format!("/* {conversation} */ SELECT statement FROM {list}");
                let marker = format!("{marker} WHERE name = '{name}'");
                let rows = self.ask(&marker);
                let Some(statement) = rows.first().and_then(|row| row[0].clone()) else { continue };
                let run = match is_cursor {
                    true => query(&format!("FETCH {name}")),
                    false => [bind("", name, &[]), execute("", 1), sync()].concat(),
                };
                self.send(format!("probe {name}"), &run, 1);
                self.settle();
                self.no_row_of_others();
                probes.push(Probe { marker, statement, is_cursor });
                if self.status == b'E' {
                    self.ask("ROLLBACK");
                }
            }
        }
        probes
    }
}

/// A name that was used directly behind what the server had said of it.
struct Probe {
    marker: String,
    /// What the server has under the name.
    statement: String,
    is_cursor: bool,
}

/// The numbers of the tables that a text names.
fn tables(text: &str) -> Vec<String> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric());
    let is_table = |word: &&str| {
        word.strip_prefix('t')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    words.filter(is_table).map(str::to_owned).collect()
}

fn converse_through(server: &Postgres) {
    let database = server.database();
    database.sql(SCHEMA);
    let mut weir = Spec::new(&database).rules(RULED).masks(MASKED).start();
    let count = u64::from(short_or_long(60, 600));
    let (mut probes, mut over) = (Vec::new(), 0);
    for conversation in 1..=count {
        let mut numbers = Numbers(conversation.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let raw = Raw::login(&weir.endpoint());
        let (said, rows) = (Vec::new(), Vec::new());
        let mut talk = Through { raw, said, owed: 0, status: b'I', is_over: false, rows };
        for _ in 0..STEPS {
            talk.step(&mut numbers);
        }
        probes.extend(talk.probe(conversation));
        over += u64::from(talk.is_over);
    }
    assert!(over * 4 < count, "{over} of {count} sessions ended");
    let lake = weir.lake();
    for row in lake.rows("sessions") {
        assert_ne!(text(&row, "end_reason"), "contradiction", "{row:#?}");
    }
    let commands = lake.rows("commands");
    let (mut compared, mut cursors) = (0, 0);
    for probe in &probes {
        let at = commands.iter().position(|row| text(row, "query_text") == probe.marker);
        let at = at.unwrap_or_else(|| panic!("no row of {}", probe.marker));
        let Some(row) = commands.get(at + 1) else { continue };
        let ran = text(row, "query_text");
        if probe.is_cursor {
            let objects = row["objects"].to_string();
            for table in tables(&probe.statement) {
                // A text of several statements names more than the cursor reads.
                let several = probe.statement.contains(';');
                assert!(several || objects.contains(&table), "{}: {row:#?}", probe.statement);
            }
            cursors += 1;
        } else {
            assert_eq!(ran, probe.statement, "behind {}", probe.marker);
            compared += 1;
        }
    }
    assert!(compared as u64 > count / 4 && cursors > 0, "{compared} names, {cursors} cursors");
}

#[test]
fn what_weir_takes_a_name_for_is_what_the_server_has() {
    converse_through(Postgres::shared());
}

#[test]
fn what_weir_takes_a_name_for_is_what_the_newest_server_has() {
    if let Some(server) = Postgres::newest() {
        converse_through(server);
    }
}
