//! A connection storm: everybody logs in at once.
//!
//! In: an endpoint, a number. Out: how long each login took, from the storm's start.
//! Never: a retry; a refused client is a result.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::connection::{Connection, Gone};
use crate::endpoint::Endpoint;
use crate::login::{Caller, Login};
use crate::outcome::{histogram, record};
use crate::wire::Scanner;

/// A client that is not logged in by then counts as refused.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the storm.
#[derive(Clone, Debug)]
pub struct Storm {
    /// From the start of the storm to a finished login, microseconds.
    pub login: Histogram<u64>,
    /// Clients that were turned away.
    pub refused: u64,
    /// Why the first of them was.
    pub first_error: Option<String>,
    /// From the start of the storm to the last login.
    pub seconds: f64,
}

struct Visitor {
    connection: Connection,
    scanner: Scanner,
    login: Option<Login>,
    done: bool,
}

/// Opens `count` connections at once and logs all of them in.
///
/// # Errors
/// No socket is to be had; see `ulimit -n`.
pub fn run(endpoint: &Endpoint, address: SocketAddr, count: usize) -> Result<Storm, String> {
    let mut poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
    let caller = Caller::new(endpoint)?;
    let start = Instant::now();
    let mut visitors = Vec::with_capacity(count);
    for index in 0..count {
        let connection =
            Connection::open(caller.channel()?, address, poll.registry(), Token(index))
                .map_err(|e| format!("connection {index}: {e} (see `ulimit -n`)"))?;
        visitors.push(Visitor { connection, scanner: Scanner::new(), login: None, done: false });
    }
    let mut storm = Storm { login: histogram(), refused: 0, first_error: None, seconds: 0.0 };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 16 << 10];
    let mut left = count;
    while left > 0 && start.elapsed() < PATIENCE {
        match poll.poll(&mut events, Some(Duration::from_secs(1))) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(format!("epoll: {error}"));
            }
            _ => {}
        }
        for event in &events {
            let Some(visitor) = visitors.get_mut(event.token().0).filter(|v| !v.done) else {
                continue;
            };
            let step = visitor.go_on(&caller, &mut buffer);
            visitor.done = !matches!(step, Ok(false));
            left -= usize::from(visitor.done);
            match step {
                Ok(true) => record(&mut storm.login, start.elapsed().as_micros() as u64),
                Ok(false) => {}
                Err(why) => {
                    storm.refused += 1;
                    storm.first_error.get_or_insert(why);
                }
            }
        }
    }
    storm.refused += left as u64;
    storm.seconds = start.elapsed().as_secs_f64();
    Ok(storm)
}

impl Visitor {
    fn go_on(&mut self, caller: &Caller, buffer: &mut [u8]) -> Result<bool, String> {
        if self.login.is_none() {
            if !self.connection.connected().map_err(|gone| gone.to_string())? {
                return Ok(false);
            }
            self.login = Some(Login::start(caller, &mut self.connection.out));
        }
        let Some(login) = self.login.as_mut() else { return Ok(false) };
        let mut replies = vec![];
        let mut step = Ok(false);
        let scanner = &mut self.scanner;
        let read = self.connection.receive(buffer, |plain| {
            let scanned = scanner.scan(plain, |message| {
                if step == Ok(false) {
                    step = login.handle(&message, &mut replies);
                }
            });
            scanned.map_err(|_| Gone::Foreign("the server does not speak PostgreSQL".to_owned()))
        });
        if step? {
            return Ok(true);
        }
        read.map_err(|gone| gone.to_string())?;
        self.connection.out.extend_from_slice(&replies);
        self.connection.flush().map_err(|gone| gone.to_string())?;
        Ok(false)
    }
}
