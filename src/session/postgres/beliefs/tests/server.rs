//! A small PostgreSQL: its rules for names, transactions and two settings, and nothing else.
//!
//! In: messages, one after the other. Out: answers, and what was run. The rules are those of
//! postgres.c (exec_*_message, exec_simple_query), prepare.c, portalmem.c, portalcmds.c and xact.c.

use std::collections::BTreeMap;

use crate::decide::{Consequence, Statement};

/// A command: its text and what it is.
#[derive(Clone, Debug)]
pub struct Command {
    pub text: &'static str,
    pub statement: Statement,
}

/// A message of the client; texts are whole commands each.
#[derive(Clone, Debug)]
pub enum Sent {
    Parse(&'static str, Vec<Command>),
    Bind(&'static str, &'static str),
    Execute(&'static str, usize),
    CloseStatement(&'static str),
    ClosePortal(&'static str),
    Sync,
    Query(Vec<Command>, usize),
}

/// What comes of it.
#[expect(clippy::large_enum_variant, reason = "a test")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Parsed,
    Bound,
    Closed,
    Complete(&'static str),
    Error(&'static str),
    Ready(u8),
    Setting(&'static str),
    /// Not a message: the command of this number and place ran this.
    Ran(usize, usize, Statement),
}

#[derive(Clone, Debug)]
struct Cursor {
    command: Command,
    /// Savepoints that were open when it was.
    depth: usize,
    hold: bool,
    kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    None,
    /// Several statements of one Query.
    Implicit,
    Open,
    Failed,
}

#[derive(Debug)]
pub struct Server {
    pub statements: BTreeMap<&'static str, Command>,
    portals: BTreeMap<&'static str, Cursor>,
    block: Block,
    savepoints: Vec<&'static str>,
    /// The transaction cannot be committed.
    doomed: bool,
    /// A commit failed.
    pub was_doomed: bool,
    skipping: bool,
    /// `client_encoding` is one that reads texts otherwise; and it was at these points.
    pub otherwise: bool,
    at_begin: Option<bool>,
    at_savepoints: Vec<bool>,
    reported: bool,
    out: Vec<Said>,
}

type Outcome = Result<&'static str, &'static str>;

impl Server {
    pub fn new() -> Server {
        Server {
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            block: Block::None,
            savepoints: Vec::new(),
            doomed: false,
            was_doomed: false,
            skipping: false,
            otherwise: false,
            at_begin: None,
            at_savepoints: Vec::new(),
            reported: false,
            out: Vec::new(),
        }
    }

    /// Portals that could be executed now or after a rollback to a savepoint.
    pub fn portals(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        self.portals.iter().map(|(name, cursor)| (*name, &cursor.command))
    }

    pub fn handle(&mut self, message: &Sent) -> Vec<Said> {
        match message {
            Sent::Sync => self.sync(),
            Sent::Query(commands, number) => self.query(commands, *number),
            _ if self.skipping => {}
            message => {
                self.at_begin.get_or_insert(self.otherwise);
                match self.extended(message) {
                    Ok(said) => self.out.push(said),
                    Err(sqlstate) => {
                        self.out.push(Said::Error(sqlstate));
                        self.abort();
                        self.skipping = true;
                    }
                }
            }
        }
        std::mem::take(&mut self.out)
    }

    fn extended(&mut self, message: &Sent) -> Result<Said, &'static str> {
        match message {
            Sent::Parse(name, commands) => {
                if name.is_empty() {
                    self.statements.remove("");
                }
                let [command] = commands.as_slice() else { return Err("42601") };
                self.may_run(command)?;
                if self.statements.contains_key(name) {
                    return Err("42P05");
                }
                self.statements.insert(name, command.clone());
                Ok(Said::Parsed)
            }
            Sent::Bind(portal, statement) => {
                let command = self.statements.get(statement).ok_or("26000")?.clone();
                self.may_run(&command)?;
                if !portal.is_empty() && self.portals.contains_key(portal) {
                    return Err("42P03");
                }
                let depth = self.savepoints.len();
                let cursor = Cursor { command, depth, hold: false, kept: false };
                self.portals.insert(portal, cursor);
                Ok(Said::Bound)
            }
            Sent::Execute(portal, number) => {
                let cursor = self.portals.get(portal).ok_or("34000")?.clone();
                self.may_run(&cursor.command)?;
                let tag = self.run(&cursor.command, (*number, 0))?;
                if self.block == Block::None && is_transaction(&cursor.command) {
                    self.commit()?;
                }
                Ok(Said::Complete(tag))
            }
            Sent::CloseStatement(name) => {
                self.statements.remove(name);
                Ok(Said::Closed)
            }
            Sent::ClosePortal(name) => {
                self.portals.remove(name);
                Ok(Said::Closed)
            }
            Sent::Sync | Sent::Query(..) => unreachable!("handled before"),
        }
    }

    fn sync(&mut self) {
        self.skipping = false;
        if self.block == Block::None
            && let Err(sqlstate) = self.commit()
        {
            self.out.push(Said::Error(sqlstate));
        }
        self.ready();
    }

    fn query(&mut self, commands: &[Command], number: usize) {
        if self.skipping {
            return;
        }
        self.at_begin.get_or_insert(self.otherwise);
        self.statements.remove("");
        self.portals.remove("");
        let last = commands.len().saturating_sub(1);
        for (place, command) in commands.iter().enumerate() {
            if last > 0 && self.block == Block::None {
                self.block = Block::Implicit;
            }
            let outcome = self.may_run(command).and_then(|()| self.run(command, (number, place)));
            let outcome = outcome.and_then(|tag| {
                if place == last && self.block == Block::Implicit {
                    self.block = Block::None;
                }
                if self.block == Block::None { self.commit().map(|()| tag) } else { Ok(tag) }
            });
            match outcome {
                Ok(tag) => self.out.push(Said::Complete(tag)),
                Err(sqlstate) => {
                    self.out.push(Said::Error(sqlstate));
                    self.abort();
                    break;
                }
            }
        }
        self.ready();
    }

    fn ready(&mut self) {
        if self.block == Block::None {
            self.at_begin = None;
        }
        if std::mem::replace(&mut self.reported, self.otherwise) != self.otherwise {
            self.out.push(Said::Setting(if self.otherwise { "SJIS" } else { "UTF8" }));
        }
        self.out.push(Said::Ready(match self.block {
            Block::None => b'I',
            Block::Implicit | Block::Open => b'T',
            Block::Failed => b'E',
        }));
    }

    /// In a failed transaction nothing but its end is taken.
    fn may_run(&self, command: &Command) -> Result<(), &'static str> {
        let ends = command.statement.effect == Consequence::EndTransaction
            || command.text.starts_with("ROLLBACK TO");
        if self.block == Block::Failed && !ends { Err("25P02") } else { Ok(()) }
    }

    fn run(&mut self, command: &Command, at: (usize, usize)) -> Outcome {
        let statement = &command.statement;
        self.out.push(Said::Ran(at.0, at.1, self.means(statement)));
        match &statement.effect {
            Consequence::Prepare(name) => {
                let name = known(name);
                if self.statements.contains_key(name) {
                    return Err("42P05");
                }
                let inner = Statement { effect: Consequence::None, ..statement.clone() };
                self.statements.insert(name, Command { text: command.text, statement: inner });
                Ok("PREPARE")
            }
            Consequence::Execute(name) => {
                let inner = self.statements.get(known(name)).ok_or("26000")?.clone();
                match inner.statement.effect {
                    Consequence::None => Ok("SELECT 1"),
                    // Nothing that a driver does, and no rule of ours either.
                    Consequence::Execute(_) | Consequence::EndTransaction => Err("0A000"),
                    _ => self.run(&inner, at),
                }
            }
            Consequence::Deallocate(Some(name)) => {
                self.statements.remove(known(name)).ok_or("26000")?;
                Ok("DEALLOCATE")
            }
            Consequence::Deallocate(None) => {
                self.statements.retain(|name, _| name.is_empty());
                Ok("DEALLOCATE ALL")
            }
            Consequence::Declare { name, hold } => self.declare(command, known(name), *hold),
            Consequence::Fetch(name) => {
                self.portals.get(known(name)).ok_or("34000")?;
                Ok("FETCH 1")
            }
            Consequence::CloseCursor(Some(name)) => {
                self.portals.remove(known(name)).ok_or("34000")?;
                Ok("CLOSE CURSOR")
            }
            Consequence::CloseCursor(None) => {
                self.portals.clear();
                Ok("CLOSE CURSOR ALL")
            }
            Consequence::Discard if self.block != Block::None => Err("25001"),
            Consequence::Discard => {
                self.portals.clear();
                self.statements.retain(|name, _| name.is_empty());
                self.otherwise = false;
                Ok("DISCARD ALL")
            }
            Consequence::EndTransaction => self.end(command.text),
            _ => self.other(command.text),
        }
    }

    /// What a command stands for at this moment.
    fn means(&self, statement: &Statement) -> Statement {
        let found = match &statement.effect {
            Consequence::Execute(name) => self.statements.get(known(name)).map(|it| &it.statement),
            Consequence::Fetch(name) => {
                self.portals.get(known(name)).map(|it| &it.command.statement)
            }
            _ => None,
        };
        found.unwrap_or(statement).clone()
    }

    fn declare(&mut self, command: &Command, name: &'static str, hold: bool) -> Outcome {
        if self.block == Block::None && !hold {
            return Err("25P01");
        }
        if self.portals.contains_key(name) {
            return Err("42P03");
        }
        let statement = Statement { effect: Consequence::None, ..command.statement.clone() };
        let command = Command { text: command.text, statement };
        let depth = self.savepoints.len();
        self.portals.insert(name, Cursor { command, depth, hold, kept: false });
        Ok("DECLARE CURSOR")
    }

    fn end(&mut self, text: &str) -> Outcome {
        let chain = text.contains("CHAIN");
        if chain && !matches!(self.block, Block::Open | Block::Failed) {
            return Err("25P01");
        }
        let next = if chain { Block::Open } else { Block::None };
        if text.starts_with("COMMIT") && self.block != Block::Failed {
            self.block = Block::None;
            self.commit()?;
            self.begin(next);
            return Ok("COMMIT");
        }
        self.rollback();
        self.begin(next);
        Ok("ROLLBACK")
    }

    fn begin(&mut self, block: Block) {
        self.block = block;
        self.at_begin = Some(self.otherwise);
    }

    fn other(&mut self, text: &'static str) -> Outcome {
        match text {
            "BEGIN" => {
                self.block = Block::Open;
                Ok("BEGIN")
            }
            "SAVEPOINT a" | "ROLLBACK TO a" | "RELEASE a" if self.block == Block::None => {
                Err("25P01")
            }
            "SAVEPOINT a" => {
                self.savepoints.push("a");
                self.at_savepoints.push(self.otherwise);
                Ok("SAVEPOINT")
            }
            "ROLLBACK TO a" => {
                let depth = self.savepoints.len();
                if depth == 0 {
                    return Err("3B001");
                }
                self.portals.retain(|_, cursor| cursor.kept || cursor.depth < depth);
                self.otherwise = self.at_savepoints.last().copied().unwrap_or_default();
                self.block = Block::Open;
                Ok("ROLLBACK")
            }
            "RELEASE a" => {
                let depth = self.savepoints.len();
                self.savepoints.pop().ok_or("3B001")?;
                self.at_savepoints.pop();
                for cursor in self.portals.values_mut().filter(|cursor| cursor.depth == depth) {
                    cursor.depth = depth - 1;
                }
                Ok("RELEASE")
            }
            "SELECT 1/0 FROM zero" => Err("22012"),
            "INSERT INTO deferred VALUES (1)" => {
                self.doomed = true;
                Ok("INSERT 0 1")
            }
            "SET client_encoding = 'SJIS'" => {
                self.otherwise = true;
                Ok("SET")
            }
            "SET client_encoding = 'UTF8'" | "RESET client_encoding" => {
                self.otherwise = false;
                Ok("SET")
            }
            _ => Ok("SELECT 1"),
        }
    }

    fn commit(&mut self) -> Result<(), &'static str> {
        if std::mem::take(&mut self.doomed) {
            self.was_doomed = true;
            self.rollback();
            return Err("23503");
        }
        self.portals.retain(|_, cursor| cursor.hold || cursor.kept);
        self.portals.values_mut().for_each(|cursor| cursor.kept = true);
        self.close_transaction();
        Ok(())
    }

    fn rollback(&mut self) {
        self.portals.retain(|_, cursor| cursor.kept);
        self.otherwise = self.at_begin.unwrap_or(self.otherwise);
        self.close_transaction();
    }

    fn close_transaction(&mut self) {
        self.doomed = false;
        self.savepoints.clear();
        self.at_savepoints.clear();
        self.block = Block::None;
        self.at_begin = Some(self.otherwise);
    }

    fn abort(&mut self) {
        match self.block {
            Block::None | Block::Implicit => self.rollback(),
            Block::Open => {
                self.block = Block::Failed;
                let depth = self.savepoints.len();
                // Those of the subtransaction that failed cannot be used any more.
                self.portals.retain(|_, it| it.kept || it.depth < depth || depth == 0);
            }
            Block::Failed => {}
        }
    }
}

fn is_transaction(command: &Command) -> bool {
    command.statement.effect == Consequence::EndTransaction
}

/// The tests' own names, so that they need no owner.
fn known(name: &str) -> &'static str {
    super::NAMES.iter().find(|known| **known == name).copied().unwrap_or("?")
}
