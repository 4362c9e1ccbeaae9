//! PostgreSQL's side of the loop: login, preparing, then statements in order.
//!
//! In: messages. Out: requests, answers that ended. Never: an answer out of order.
//!
//! ```text
//! Login --ready--> Preparing --ready--> Running
//! ```

use std::collections::VecDeque;

use super::Ended;
use crate::connection::Gone;
use crate::endpoint::Endpoint;
use crate::login::{Caller, Login};
use crate::outcome::Finished;
use crate::plan::{Mode, Plan};
use crate::schedule::Random;
use crate::wire::{self, Message, Scanner};

/// What is asked of PostgreSQL.
#[derive(Clone, Debug)]
pub struct Sql {
    /// Where to.
    pub endpoint: Endpoint,
    /// What is sent.
    pub plan: Plan,
    /// How it travels.
    pub mode: Mode,
}

/// One connection.
pub struct Talk {
    phase: Phase,
    scanner: Scanner,
    /// Number of the next request.
    next: u64,
    asked: VecDeque<Asked>,
}

enum Phase {
    Login(Login),
    Preparing,
    Running,
    Failed,
}

struct Asked {
    id: u64,
    statement: usize,
    seen: Finished,
    error: Option<String>,
}

impl Talk {
    /// Begins to log in.
    pub fn greet(caller: &Caller, out: &mut Vec<u8>) -> Talk {
        let phase = Phase::Login(Login::start(caller, out));
        Talk { phase, scanner: Scanner::new(), next: 0, asked: VecDeque::new() }
    }

    /// Logged in, and every statement is prepared.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// One request.
    pub fn ask(
        &mut self,
        sql: &Sql,
        statement: usize,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> u64 {
        let id = self.next;
        self.next += 1;
        sql.plan.request(statement, random, out);
        self.asked.push_back(Asked { id, statement, seen: Finished::default(), error: None });
        id
    }

    /// Bytes of the server.
    ///
    /// # Errors
    /// It does not speak the protocol, or lets nobody in.
    pub fn hear(
        &mut self,
        sql: &Sql,
        bytes: &[u8],
        out: &mut Vec<u8>,
        ended: &mut Vec<Ended>,
    ) -> Result<(), Gone> {
        let Talk { phase, scanner, asked, .. } = self;
        let mut step = Ok(());
        let scanned = scanner.scan(bytes, |message| match phase {
            Phase::Running => ended.extend(answer(asked, &sql.plan, &message, out)),
            _ if step.is_ok() => step = open(phase, &sql.plan, &message, out),
            _ => {}
        });
        step.map_err(Gone::Foreign)?;
        let what = "the server does not speak PostgreSQL's protocol";
        scanned.map_err(|_| Gone::Foreign(what.to_owned()))
    }
}

/// One message on a connection that is not running yet.
fn open(
    phase: &mut Phase,
    plan: &Plan,
    message: &Message<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    *phase = match std::mem::replace(phase, Phase::Failed) {
        Phase::Login(mut login) => match login.handle(message, out)? {
            false => Phase::Login(login),
            true if plan.prepare(out) => Phase::Preparing,
            true => Phase::Running,
        },
        Phase::Preparing if message.kind == b'E' => return Err(wire::error_text(message.body)),
        Phase::Preparing if message.kind == b'Z' => Phase::Running,
        other => other,
    };
    Ok(())
}

/// One message of an answer; what it ends.
fn answer(
    asked: &mut VecDeque<Asked>,
    plan: &Plan,
    message: &Message<'_>,
    out: &mut Vec<u8>,
) -> Option<Ended> {
    let first = asked.front_mut()?;
    first.seen.bytes += message.bytes as u64;
    match message.kind {
        b'D' | b'd' => first.seen.rows += 1,
        b'E' => {
            first.seen.failed = true;
            first.error.get_or_insert_with(|| wire::error_text(message.body));
        }
        b'G' => out.extend_from_slice(&plan.statements[first.statement].copy_in),
        b'Z' => {
            let Asked { id, seen, error, .. } = asked.pop_front()?;
            return Some(Ended { id, seen, error });
        }
        _ => {}
    }
    None
}
