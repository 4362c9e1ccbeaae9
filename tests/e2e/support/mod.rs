//! What the end-to-end tests stand on: a real PostgreSQL, the built weir, clients, the lake.

pub mod bytes;
pub mod certificates;
pub mod harm;
pub mod lake;
pub mod oidc;
pub mod postgres;
pub mod raw;
pub mod scratch;
pub mod tools;
pub mod watchdog;
pub mod web;
pub mod weir;

pub use certificates::Certificates;
pub use postgres::{Database, Postgres};
pub use raw::Raw;
pub use scratch::{Scratch, canary, wait_until};
pub use weir::{Spec, Weir};

use std::process::Command;

/// Where a client connects, and as whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub dbname: String,
    pub tls: bool,
}

impl Endpoint {
    /// The same, with TLS and the server's certificate verified.
    pub fn with_tls(&self) -> Endpoint {
        Endpoint { host: "localhost".to_owned(), tls: true, ..self.clone() }
    }

    /// The same as another user.
    pub fn with_user(&self, user: &str, password: &str) -> Endpoint {
        Endpoint { user: user.to_owned(), password: password.to_owned(), ..self.clone() }
    }

    /// The same with another database.
    pub fn with_dbname(&self, dbname: &str) -> Endpoint {
        Endpoint { dbname: dbname.to_owned(), ..self.clone() }
    }

    /// Hands the endpoint to a client by the variables that libpq reads; other drivers' scripts
    /// read them too.
    pub fn give_to(&self, command: &mut Command) {
        let sslmode = if self.tls { "verify-full" } else { "disable" };
        command
            .env("PGHOST", &self.host)
            .env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", &self.dbname)
            .env("PGSSLMODE", sslmode)
            .env("PGSSLROOTCERT", &Certificates::shared().authority)
            .env("PGGSSENCMODE", "disable")
            .env("PGCONNECT_TIMEOUT", "20")
            .env("LC_ALL", "C.UTF-8");
    }
}

/// How much to do: a short form by default, the full form for `tests/run --long`.
pub fn short_or_long(short: u32, long: u32) -> u32 {
    if std::env::var_os("WEIR_TEST_LONG").is_some() { long } else { short }
}
