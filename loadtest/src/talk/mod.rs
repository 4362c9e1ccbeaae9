//! What the loop says and hears on a connection: one variant per protocol.
//!
//! In: bytes of a server. Out: bytes for it, and which requests ended. Never: a socket, a clock.
//!
//! ```text
//! greet --> (hear)* --is_ready--> ask --> hear --Ended--> ask ...     is_closing: ask no more
//! ```

pub mod h1;
pub mod h2;
pub mod postgres;

use crate::channel::{Channel, Security};
use crate::connection::{Connection, Gone};
use crate::http::Http;
use crate::login::Caller;
use crate::outcome::Finished;
use crate::schedule::Random;
use postgres::Sql;

/// What a run speaks, and to whom.
#[derive(Clone, Debug)]
pub enum Speech {
    /// PostgreSQL's protocol.
    Postgres(Box<Sql>),
    /// HTTP/1.1 or HTTP/2.
    Http(Box<Http>),
}

impl Speech {
    /// Names of what is asked, in the order of the results.
    pub fn statements(&self) -> Vec<&str> {
        match self {
            Speech::Postgres(sql) => {
                sql.plan.statements.iter().map(|statement| statement.name.as_str()).collect()
            }
            Speech::Http(http) => vec![http.method.as_str()],
        }
    }

    /// How requests travel: a mode of PostgreSQL's, or a version of HTTP.
    pub fn mode(&self) -> &'static str {
        match self {
            Speech::Postgres(sql) => sql.mode.name(),
            Speech::Http(http) => http.version.name(),
        }
    }

    /// Where to; without a password.
    pub fn endpoint(&self) -> String {
        match self {
            Speech::Postgres(sql) => format!("{:?}", sql.endpoint),
            Speech::Http(http) => http.url.clone(),
        }
    }

    /// Host and port.
    pub fn place(&self) -> (&str, u16) {
        match self {
            Speech::Postgres(sql) => (&sql.endpoint.host, sql.endpoint.port),
            Speech::Http(http) => (&http.host, http.port),
        }
    }
}

/// What all connections of a thread share.
pub enum Speaker {
    /// PostgreSQL's protocol.
    Postgres(Caller, Box<Sql>),
    /// HTTP.
    Http(Box<Http>, Option<Security>),
}

impl Speaker {
    /// Of one thread.
    ///
    /// # Errors
    /// A sentence: what is said of TLS is of no use.
    pub fn new(speech: &Speech) -> Result<Speaker, String> {
        Ok(match speech {
            Speech::Postgres(sql) => Speaker::Postgres(Caller::new(&sql.endpoint)?, sql.clone()),
            Speech::Http(http) => {
                let name = http.version.alpn();
                let tls = http.tls.as_ref().map(|tls| Security::of(&http.host, tls, name));
                Speaker::Http(http.clone(), tls.transpose()?)
            }
        })
    }

    /// The way of one new connection.
    ///
    /// # Errors
    /// TLS has no randomness.
    pub fn channel(&self) -> Result<Channel, String> {
        match self {
            Speaker::Postgres(caller, _) => caller.channel(),
            Speaker::Http(_, security) => Channel::new(security.as_ref()),
        }
    }

    /// The talk of a connection that was just made; its first words are in `out`.
    pub fn greet(&self, out: &mut Vec<u8>) -> Talk {
        match self {
            Speaker::Postgres(caller, _) => Talk::Postgres(postgres::Talk::greet(caller, out)),
            Speaker::Http(http, _) if http.version.is_two() => {
                Talk::Two(Box::new(h2::Talk::greet(out)))
            }
            Speaker::Http(..) => Talk::One(h1::Talk::new()),
        }
    }

    /// Which of the statements comes next.
    pub fn choose(&self, random: &mut Random) -> usize {
        match self {
            Speaker::Postgres(_, sql) => sql.plan.choose(random),
            Speaker::Http(..) => 0,
        }
    }
}

/// A request that ended; the number is the one that `ask` gave.
#[derive(Debug, Default)]
pub struct Ended {
    /// Of the request.
    pub id: u64,
    /// Latencies are left to who knows the time.
    pub seen: Finished,
    /// Why it failed.
    pub error: Option<String>,
}

/// What is being said on one connection.
pub enum Talk {
    /// PostgreSQL's protocol.
    Postgres(postgres::Talk),
    /// HTTP/1.1.
    One(h1::Talk),
    /// HTTP/2.
    Two(Box<h2::Talk>),
}

impl Talk {
    /// Whether requests may be sent.
    pub fn is_ready(&self, connection: &Connection) -> bool {
        connection.is_open()
            && match self {
                Talk::Postgres(talk) => talk.is_ready(),
                Talk::One(_) => true,
                Talk::Two(talk) => talk.is_ready(),
            }
    }

    /// Whether TLS has agreed on this protocol.
    ///
    /// # Errors
    /// It agreed on another one.
    pub fn check(&self, speaker: &Speaker, connection: &Connection) -> Result<(), Gone> {
        let Speaker::Http(http, Some(_)) = speaker else { return Ok(()) };
        match connection.protocol() {
            Some(name) if name == http.version.alpn() => Ok(()),
            // A server without ALPN speaks HTTP/1.1.
            None if !http.version.is_two() => Ok(()),
            _ => Err(Gone::Insecure(format!("TLS: not agreed on {}", http.version.name()))),
        }
    }

    /// Requests that may be outstanding here, of so many that are wanted.
    pub fn room(&self, depth: usize) -> usize {
        match self {
            Talk::Postgres(_) => depth,
            Talk::One(_) => 1,
            Talk::Two(talk) => talk.room(depth),
        }
    }

    /// Whether the server closes after what is outstanding.
    pub fn is_closing(&self) -> bool {
        match self {
            Talk::Postgres(_) => false,
            Talk::One(talk) => talk.is_closing(),
            Talk::Two(talk) => talk.is_closing(),
        }
    }

    /// One request into `out`; the number that its end will have.
    pub fn ask(
        &mut self,
        speaker: &Speaker,
        statement: usize,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> u64 {
        match (self, speaker) {
            (Talk::Postgres(talk), Speaker::Postgres(_, sql)) => {
                talk.ask(sql, statement, random, out)
            }
            (Talk::One(talk), Speaker::Http(http, _)) => talk.ask(http, out),
            (Talk::Two(talk), Speaker::Http(http, _)) => talk.ask(http, out),
            _ => unreachable!("a talk is of the speaker that greeted"),
        }
    }

    /// Bytes of the server, in any split; the answers that ended, and what is to be said, in `out`.
    ///
    /// # Errors
    /// What came cannot be, or says that there is nothing more to come.
    pub fn hear(
        &mut self,
        speaker: &Speaker,
        bytes: &[u8],
        (out, ended): (&mut Vec<u8>, &mut Vec<Ended>),
    ) -> Result<(), Gone> {
        match (self, speaker) {
            (Talk::Postgres(talk), Speaker::Postgres(_, sql)) => talk.hear(sql, bytes, out, ended),
            (Talk::One(talk), _) => talk.hear(bytes, ended).map_err(Gone::Foreign),
            (Talk::Two(talk), _) => talk.hear(bytes, out, ended).map_err(Gone::Foreign),
            _ => unreachable!("a talk is of the speaker that greeted"),
        }
    }

    /// The server has closed: an answer may end by that.
    pub fn hear_end(&mut self, ended: &mut Vec<Ended>) {
        if let Talk::One(talk) = self {
            talk.hear_end(ended);
        }
    }

    /// Whether a connection that ends while nothing is outstanding is nobody's fault.
    pub fn may_end_idle(&self) -> bool {
        !matches!(self, Talk::Postgres(_))
    }
}
