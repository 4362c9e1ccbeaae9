//! The servers under test: a throwaway PostgreSQL, and one process per arm in front of it.
//!
//! In: flags. Out: arms with their ports and process ids. Never: anything but 127.0.0.1, or a
//! process that outlives this one (`setpriv --pdeathsig`).
//!
//! ```text
//! pgbench, sinks --> direct ---------------------------+
//!                --> HAProxy    TCP, one thread -------+--> PostgreSQL, fsync off
//!                --> pgbouncer  session, SCRAM twice --+
//!                --> weir       one shard, SCRAM twice-+
//!                --> weir-sync  the same, `sync` ------+
//!                --> weir-masks the same, with masks --+
//! ```
//!
//! The arms of the TLS workloads, `direct-tls` and so on, are the same with TLS on both legs;
//! HAProxy passes it through. Those of HTTP, `direct-http` and so on, stand in front of null
//! servers; see `web`. Nothing is started that no chosen workload needs.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_load::blocking::{Client, sink_buffer};
use weir_load::endpoint::{Endpoint, Tls};
use weir_load::login::Caller;

use super::Result;
use super::flags::Flags;
use super::shell;
use super::web::{self, Ports};
use super::workload::WORKLOADS;

const ROLE: &str = "bench";
/// One column of 16 is hidden but for its end; all values are searched.
const MASKS: &str = "\
[[mask]]
columns = [\"public.bulk.c03\"]
operator = \"partial\"
[[mask]]
detect = [\"credit-card\", \"iban\", \"private-key\", \"jwt\"]
operator = \"redact\"
";
const STARTUP_MAX: Duration = Duration::from_secs(30);
/// 16 columns of 64 bytes: about 1 KB a row.
const BULK_ROWS: u64 = 100_000;
const BULK_ROWS_QUICK: u64 = 10_000;

/// The arm of weir as it is by default.
pub const WEIR: &str = "weir";
/// The arm whose records are on the disk before anything is forwarded.
pub const WEIR_SYNC: &str = "weir-sync";
/// The arm of another binary of weir.
pub const WEIR_OTHER: &str = "weir-other";
/// The arm that masks what it passes.
pub const WEIR_MASKS: &str = "weir-masks";
/// What the names of arms with TLS end with.
pub const TLS: &str = "-tls";
/// What the names of arms of HTTP end with.
pub const HTTP: &str = "-http";
/// What the names of arms of SSH end with.
pub const SSH: &str = "-ssh";
/// An sshd that passes connections on, of SSH.
pub const JUMP: &str = "jump";
/// HAProxy with a line of log for each request of HTTP.
pub const HAPROXY_LOG: &str = "haproxy-log";
/// nginx, of HTTP.
pub const NGINX: &str = "nginx";
/// Of PostgreSQL.
pub const PGBOUNCER: &str = "pgbouncer";

/// A way to PostgreSQL.
pub struct Arm {
    pub name: String,
    pub port: u16,
    kind: Kind,
    suite: Suite,
    process: Option<Child>,
}

/// What is behind an arm.
enum Suite {
    Postgres,
    /// The ports of this arm.
    Http(Ports),
    Ssh,
}

/// The name of an arm without its suite.
pub fn base(name: &str) -> &str {
    let ends = [TLS, HTTP, SSH];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Direct,
    Haproxy,
    Pgbouncer,
    Nginx,
    Jump,
    Weir,
}

impl Arm {
    /// Whether PostgreSQL is behind it.
    pub fn is_postgres(&self) -> bool {
        matches!(self.suite, Suite::Postgres)
    }

    /// Its ports of HTTP.
    pub fn ports(&self) -> Option<&Ports> {
        match &self.suite {
            Suite::Http(ports) => Some(ports),
            Suite::Postgres | Suite::Ssh => None,
        }
    }

    /// Whether clients and the server are spoken to over TLS.
    fn has_tls(&self) -> bool {
        self.name.ends_with(TLS)
    }

    /// The process whose CPU is counted; `None` for the direct arm.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }
}

/// All of it.
pub struct Rig {
    pub arms: Vec<Arm>,
    pub bulk_rows: u64,
    folder: PathBuf,
    password: String,
    /// `None`: no workload needs it.
    postgres: Option<Child>,
    postgres_port: u16,
    /// The servers of HTTP, if a workload needs them.
    servers: Option<Ports>,
    /// The server of SSH, if a workload needs it.
    sshd: Option<Child>,
    sshd_port: u16,
    jump_port: u16,
    programs: Programs,
}

struct Programs {
    pg_bin: PathBuf,
    weir: PathBuf,
    other: Option<PathBuf>,
    weir_config: String,
    as_postgres: bool,
}

impl Rig {
    /// Starts PostgreSQL, fills it, starts the arms.
    pub fn start(flags: &Flags) -> Result<Rig> {
        let folder = folder(flags)?;
        let pg_bin = flags.pg_bin.clone().map_or_else(newest_postgres, Ok)?;
        let as_postgres = running_as_root();
        let weir_config = match &flags.weir_config {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let (weir, other) = (flags.weir.clone(), flags.other.clone());
        let programs = Programs { pg_bin, weir, other, weir_config, as_postgres };
        let password = random_word()?;
        let bulk_rows = if flags.quick { BULK_ROWS_QUICK } else { BULK_ROWS };
        let names: Vec<String> = ["", TLS, HTTP, SSH]
            .iter()
            .flat_map(|suite| flags.arms.iter().map(move |name| format!("{name}{suite}")))
            .filter(|arm| WORKLOADS.iter().any(|w| flags.wants(w.name) && w.is_for(arm)))
            .collect();
        let mut rig = Rig {
            arms: vec![],
            bulk_rows,
            folder,
            password,
            postgres: None,
            postgres_port: free_port()?,
            servers: None,
            sshd: None,
            sshd_port: free_port()?,
            jump_port: free_port()?,
            programs,
        };
        make_certificate(&rig.folder)?;
        if names.iter().any(|name| name.ends_with(HTTP)) {
            rig.servers = Some(web::serve()?);
        }
        if names.iter().any(|name| name.ends_with(SSH)) {
            shell::prepare(&rig.folder, (rig.sshd_port, rig.jump_port))?;
            rig.sshd = Some(spawn(rig.sshd("sshd"), &rig.folder.join("sshd.log"))?);
        }
        if names.iter().any(|name| !name.ends_with(HTTP) && !name.ends_with(SSH)) {
            eprintln!("starting PostgreSQL in {}", rig.folder.display());
            let port = rig.postgres_port;
            rig.postgres = Some(start_postgres(&rig.programs, &rig.folder, port)?);
            rig.fill(if flags.quick { 1 } else { 10 })?;
        }
        for name in &names {
            if let Some(arm) = rig.arm(name)? {
                rig.arms.push(arm);
                let last = rig.arms.len() - 1;
                rig.launch(last)?;
            }
        }
        Ok(rig)
    }

    fn arm(&self, name: &str) -> Result<Option<Arm>> {
        let kind = match base(name) {
            "direct" => Kind::Direct,
            "haproxy" | "haproxy-again" | HAPROXY_LOG => Kind::Haproxy,
            PGBOUNCER => Kind::Pgbouncer,
            NGINX => Kind::Nginx,
            JUMP => Kind::Jump,
            WEIR | WEIR_SYNC | WEIR_MASKS | WEIR_OTHER => Kind::Weir,
            other => return Err(format!("{other}: no such arm")),
        };
        let path = self.programs.weir_of(name);
        if kind == Kind::Weir && !path.exists() {
            eprintln!(
                "{name} is left out: {} does not exist (cargo build --release)",
                path.display()
            );
            return Ok(None);
        }
        if kind == Kind::Nginx && Command::new("nginx").arg("-v").output().is_err() {
            eprintln!("{name} is left out: no nginx is installed");
            return Ok(None);
        }
        let suite = match (&self.servers, kind) {
            _ if name.ends_with(SSH) => Suite::Ssh,
            (Some(servers), Kind::Direct) if name.ends_with(HTTP) => Suite::Http(servers.clone()),
            (Some(_), Kind::Weir) if name.ends_with(HTTP) => {
                // One listener; targets are told apart by name.
                let port = free_port()?;
                Suite::Http(Ports { one: [port; 3], two: [port; 3] })
            }
            (Some(_), _) if name.ends_with(HTTP) => Suite::Http(web::ports()?),
            _ => Suite::Postgres,
        };
        let port = match (kind, &suite) {
            (Kind::Direct, Suite::Ssh) => self.sshd_port,
            (Kind::Direct, _) => self.postgres_port,
            (Kind::Jump, _) => self.jump_port,
            _ => free_port()?,
        };
        Ok(Some(Arm { name: name.to_owned(), port, kind, suite, process: None }))
    }

    /// Ends the arm's process and starts it anew.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        stop(self.arms[index].process.take());
        self.launch(index)
    }

    fn launch(&mut self, index: usize) -> Result<()> {
        let arm = &self.arms[index];
        let command = match arm.kind {
            Kind::Direct => return Ok(()),
            Kind::Haproxy => self.haproxy(arm)?,
            Kind::Pgbouncer => self.pgbouncer(arm)?,
            Kind::Nginx => self.nginx(arm)?,
            Kind::Jump => self.sshd(JUMP),
            Kind::Weir => self.weir(arm)?,
        };
        let log = self.folder.join(format!("{}.log", arm.name));
        let child = spawn(command, &log)?;
        self.arms[index].process = Some(child);
        self.await_login(index, &log)
    }

    /// Asks again until the arm answers a query.
    fn await_login(&mut self, index: usize, log: &Path) -> Result<()> {
        let caller = self.caller(&self.arms[index])?;
        let until = Instant::now() + STARTUP_MAX;
        loop {
            let tried = match &self.arms[index].suite {
                Suite::Postgres => Client::connect(&caller)
                    .and_then(|mut client| client.query("SELECT 1", &mut sink_buffer()))
                    .map(drop),
                Suite::Http(_) => web::try_once(self, &self.arms[index]),
                Suite::Ssh => shell::try_once(self, &self.arms[index]),
            };
            let arm = &mut self.arms[index];
            let ended = arm.process.as_mut().is_some_and(|p| !matches!(p.try_wait(), Ok(None)));
            match tried {
                Ok(()) => return Ok(()),
                Err(why) if ended || Instant::now() > until => {
                    let said = read(log).unwrap_or_default();
                    return Err(format!("{} does not answer: {why}\n{said}", arm.name));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn haproxy(&self, arm: &Arm) -> Result<Command> {
        let path = self.folder.join(format!("{}.cfg", arm.name));
        let text = match (&arm.suite, &self.servers) {
            (Suite::Http(ports), Some(servers)) => {
                web::haproxy(ports, servers, base(&arm.name) == HAPROXY_LOG)
            }
            (Suite::Ssh, _) => tcp((arm.port, self.sshd_port)),
            _ => tcp((arm.port, self.postgres_port)),
        };
        write(&path, &text)?;
        let mut command = bound("haproxy");
        command.args(["-db", "-f"]).arg(path);
        Ok(command)
    }

    fn nginx(&self, arm: &Arm) -> Result<Command> {
        let (Suite::Http(ports), Some(servers)) = (&arm.suite, &self.servers) else {
            return Err(format!("{}: nginx is of HTTP", arm.name));
        };
        let folder = self.folder.join(&arm.name);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let path = folder.join("nginx.conf");
        write(&path, &web::nginx(ports, servers, &folder, running_as_root()))?;
        let mut command = bound("nginx");
        command.args(["-e", "stderr", "-p"]).arg(&folder).arg("-c").arg(path);
        Ok(command)
    }

    fn pgbouncer(&self, arm: &Arm) -> Result<Command> {
        let users = self.folder.join("pgbouncer.users");
        write(&users, &format!("\"{ROLE}\" \"{}\"\n", self.password))?;
        let path = self.folder.join(format!("{}.ini", arm.name));
        let tls = match arm.has_tls() {
            false => "server_tls_sslmode = disable\n".to_owned(),
            true => format!(
                "server_tls_sslmode = require\nclient_tls_sslmode = require\n\
                 client_tls_cert_file = {}\nclient_tls_key_file = {}\n",
                self.certificate().display(),
                self.key().display()
            ),
        };
        let text = format!(
            "[databases]\n{ROLE} = host=127.0.0.1 port={} dbname={ROLE}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = session\n\
             max_client_conn = 5000\ndefault_pool_size = 2000\nserver_idle_timeout = 5\n\
             log_connections = 0\nlog_disconnections = 0\n{tls}",
            self.postgres_port,
            arm.port,
            users.display()
        );
        write(&path, &text)?;
        let mut command = self.bound_as_postgres("pgbouncer");
        command.arg(path);
        Ok(command)
    }

    /// The state of weir that the comparison is about: `write` durability (but for the arm that
    /// shows what `sync` costs), answers kept as by default, one shard, every command allowed, and
    /// whatever `--weir-config` adds.
    fn weir(&self, arm: &Arm) -> Result<Command> {
        let is_sync = base(&arm.name) == WEIR_SYNC;
        let durability = if is_sync { "sync" } else { "write" };
        let data = self.folder.join(&arm.name);
        fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
        let secret = self.folder.join("weir.password");
        write(&secret, &self.password)?;
        let path = self.folder.join(format!("{}.toml", arm.name));
        let masks = if arm.name == WEIR_MASKS { MASKS } else { "" };
        let mut keys = String::new();
        let targets = match (&arm.suite, &self.servers) {
            (Suite::Http(ports), Some(servers)) => web::weir(ports, servers, durability),
            (Suite::Ssh, _) => {
                let (targets, own) = shell::weir(&self.folder, (arm.port, self.sshd_port))?;
                keys = own;
                targets
            }
            _ => self.weir_of_postgres(arm, durability, &secret),
        };
        let text = format!(
            "data_dir = {data:?}\nshards = 1\n\
             [admin]\naddress = \"127.0.0.1:{}\"\n{targets}\
             [[identity.user]]\nname = \"{ROLE}\"\npassword = {{ file = {secret:?} }}\n{keys}\
             [[rule]]\nname = \"everything\"\nwhen = {{}}\nthen = \"allow\"\n{}{masks}",
            free_port()?,
            self.programs.weir_config,
        );
        write(&path, &text)?;
        let mut command = bound(self.programs.weir_of(&arm.name).to_string_lossy().as_ref());
        command.args(["run", "--config"]).arg(path);
        Ok(command)
    }

    fn weir_of_postgres(&self, arm: &Arm, durability: &str, secret: &Path) -> String {
        let (listen_tls, target_tls) = match arm.has_tls() {
            false => (String::new(), "disable"),
            true => (
                format!(
                    "tls = {{ certificate = {:?}, key = {:?} }}\n",
                    self.certificate(),
                    self.key()
                ),
                "require",
            ),
        };
        format!(
            "[listen.postgres]\naddress = \"127.0.0.1:{}\"\n{listen_tls}\
             [[target]]\nname = \"{ROLE}\"\nprotocol = \"postgres\"\n\
             address = \"127.0.0.1:{}\"\ntls = \"{target_tls}\"\ndurability = \"{durability}\"\n\
             [[target.credential]]\nrole = \"{ROLE}\"\npassword = {{ file = {secret:?} }}\n",
            arm.port, self.postgres_port,
        )
    }

    fn fill(&self, scale: u32) -> Result<()> {
        let admin = |text: &str| self.psql(text);
        admin(&format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{}'", self.password))?;
        admin(&format!("CREATE DATABASE {ROLE} OWNER {ROLE}"))?;
        let direct = Arm {
            name: "direct".to_owned(),
            port: self.postgres_port,
            kind: Kind::Direct,
            suite: Suite::Postgres,
            process: None,
        };
        let mut init = self.client_command("pgbench", &direct);
        init.args(["-i", "-q", "-s", &scale.to_string(), ROLE]);
        finish(&mut init)?;
        let columns: Vec<String> =
            (1..=16).map(|n| format!("repeat(md5((g * {n})::text), 2) AS c{n:02}")).collect();
        let text = format!(
            "CREATE UNLOGGED TABLE bulk AS SELECT g AS id, {} FROM generate_series(1, {}) g",
            columns.join(", "),
            self.bulk_rows
        );
        let mut client = Client::connect(&self.caller(&direct)?)?;
        let sunk = "CREATE UNLOGGED TABLE sunk (line text)";
        for text in [&*text, "VACUUM ANALYZE bulk", sunk] {
            client.query(text, &mut sink_buffer())?;
        }
        client.terminate();
        admin("CHECKPOINT")
    }

    fn psql(&self, text: &str) -> Result<()> {
        let mut command = self.bound_as_postgres(self.programs.tool("psql"));
        let sockets = self.folder.join("postgres");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]);
        command.arg("-h").arg(sockets).args(["-p", &self.postgres_port.to_string(), "-c", text]);
        finish(&mut command)
    }

    /// A program of PostgreSQL's as a client of this arm.
    pub fn client_command(&self, name: &str, arm: &Arm) -> Command {
        let mut command = bound(&self.programs.tool(name));
        command.args(["-h", "127.0.0.1", "-p", &arm.port.to_string(), "-U", ROLE]);
        let mode = if arm.has_tls() { "require" } else { "disable" };
        command.env("PGPASSWORD", &self.password).env("PGSSLMODE", mode);
        command.env("PGGSSENCMODE", "disable");
        command
    }

    fn sshd(&self, name: &str) -> Command {
        let words = shell::sshd(&self.folder, name);
        let mut command = bound(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The port of the sshd behind all arms of SSH.
    pub fn sshd_port(&self) -> u16 {
        self.sshd_port
    }

    /// User and password, as in a URL.
    pub fn login(&self) -> String {
        format!("{ROLE}:{}", self.password)
    }

    /// The database that all workloads use.
    pub fn database(&self) -> &'static str {
        ROLE
    }

    /// This arm as an endpoint.
    pub fn endpoint(&self, arm: &Arm) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: arm.port,
            user: ROLE.to_owned(),
            password: self.password.clone(),
            database: ROLE.to_owned(),
            tls: arm.has_tls().then_some(Tls { roots: None, direct: false }),
        }
    }

    /// A client of this arm; of one thread.
    pub fn caller(&self, arm: &Arm) -> Result<Caller> {
        Caller::new(&self.endpoint(arm))
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }

    fn key(&self) -> PathBuf {
        self.folder.join(KEY)
    }

    /// Where everything lies, weir's journals too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// An empty folder for one measurement.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        // Left over from a measurement that failed, or not there.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// What was measured, for the report.
    pub fn versions(&self) -> Vec<String> {
        let pgbench = self.programs.tool("pgbench");
        let weir = self.programs.weir.to_string_lossy().into_owned();
        let mut programs = vec![];
        programs.extend(self.postgres.is_some().then_some((pgbench.as_str(), "--version")));
        for arm in &self.arms {
            match arm.kind {
                Kind::Haproxy => programs.push(("haproxy", "-v")),
                Kind::Pgbouncer => programs.push(("pgbouncer", "--version")),
                Kind::Nginx => programs.push(("nginx", "-v")),
                Kind::Weir => programs.push((&weir, "--version")),
                Kind::Jump => programs.push(("ssh", "-V")),
                Kind::Direct => {}
            }
        }
        let first_line = |(program, flag): (&str, &str)| {
            let output = Command::new(program).arg(flag).output().ok()?;
            // nginx says it on the other stream.
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.lines().next().map(str::to_owned)
        };
        let mut seen = BTreeSet::new();
        let lines = programs.into_iter().filter_map(first_line);
        lines.filter(|line| seen.insert(line.clone())).collect()
    }

    fn bound_as_postgres(&self, program: impl AsRef<str>) -> Command {
        as_postgres(self.programs.as_postgres, program.as_ref())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for arm in &mut self.arms {
            stop(arm.process.take());
        }
        stop(self.sshd.take());
        if let Some(postgres) = &mut self.postgres {
            // SIGINT is PostgreSQL's fast shutdown.
            signal(postgres, "INT");
            let _ = postgres.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Programs {
    /// The binary of one of weir's arms.
    fn weir_of(&self, arm: &str) -> &Path {
        match &self.other {
            Some(other) if base(arm) == WEIR_OTHER => other,
            _ => &self.weir,
        }
    }

    fn tool(&self, name: &str) -> String {
        self.pg_bin.join(name).to_string_lossy().into_owned()
    }
}

/// HAProxy in TCP mode, from one port to another.
fn tcp((port, server): (u16, u16)) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 5000\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen tcp\n  bind 127.0.0.1:{port}\n  server server 127.0.0.1:{server}\n"
    )
}

const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// One certificate for whoever speaks TLS. PostgreSQL wants the key to be its own.
fn make_certificate(folder: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    finish(openssl.args(["-keyout", KEY, "-out", CERTIFICATE]).current_dir(folder))
}

fn start_postgres(programs: &Programs, folder: &Path, port: u16) -> Result<Child> {
    let data = folder.join("postgres");
    fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
    if programs.as_postgres {
        finish(Command::new("chown").arg("postgres").arg(folder).arg(&data).arg(folder.join(KEY)))?;
    }
    let mut init = as_postgres(programs.as_postgres, &programs.tool("initdb"));
    init.args(["-N", "-E", "UTF8", "--locale=C", "-U", "postgres", "-A", "trust", "-D"]);
    finish(init.arg(data.join("data")))?;
    let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let settings = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n\
         max_connections = 2500\nshared_buffers = 256MB\nfsync = off\nsynchronous_commit = off\n\
         full_page_writes = off\nwal_level = minimal\nmax_wal_senders = 0\nautovacuum = off\n\
         jit = off\nssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
        data.display(),
        folder.join(CERTIFICATE).display(),
        folder.join(KEY).display()
    );
    write(&data.join("data/pg_hba.conf"), hba)?;
    write(&data.join("data/postgresql.conf"), &settings)?;
    let mut command = as_postgres(programs.as_postgres, &programs.tool("postgres"));
    command.arg("-D").arg(data.join("data"));
    let log = folder.join("postgres.log");
    let mut child = spawn(command, &log)?;
    let until = Instant::now() + STARTUP_MAX;
    // It listens before it lets anybody in.
    let mut ready = Command::new(programs.tool("pg_isready"));
    ready.arg("-q").arg("-h").arg(&data).args(["-p", &port.to_string()]);
    while !ready.status().is_ok_and(|status| status.success()) {
        let ended = !matches!(child.try_wait(), Ok(None));
        if ended || Instant::now() > until {
            return Err(format!("PostgreSQL does not start:\n{}", read(&log)?));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}

/// PostgreSQL and pgbouncer refuse to run as root.
fn as_postgres(needed: bool, program: &str) -> Command {
    if !needed {
        return bound(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    command.args(["--pdeathsig", "KILL", "--", program]).current_dir("/");
    command
}

/// A program that ends when this one does.
fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

fn spawn(mut command: Command, log: &Path) -> Result<Child> {
    let file = fs::File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
    let again = file.try_clone().map_err(|e| e.to_string())?;
    command.stdin(Stdio::null()).stdout(file).stderr(again);
    command.spawn().map_err(|e| format!("{command:?}: {e}"))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn stop(child: Option<Child>) {
    let Some(mut child) = child else { return };
    signal(&child, "TERM");
    let until = Instant::now() + Duration::from_secs(5);
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > until {
            // It had its time; nothing of it is needed any more.
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    // A process that has ended already needs no signal.
    let _ = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
}

fn folder(flags: &Flags) -> Result<PathBuf> {
    let name = format!("weir-bench-{}", std::process::id());
    let path = flags.dir.clone().unwrap_or_else(std::env::temp_dir).join(name);
    fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    // PostgreSQL's user must reach its folder.
    finish(Command::new("chmod").arg("755").arg(&path))?;
    Ok(path)
}

fn newest_postgres() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let numbered = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        bin.join("initdb").exists().then_some((version, bin))
    });
    numbered
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin)
        .ok_or_else(|| "no PostgreSQL server in /usr/lib/postgresql; use --pg-bin".to_owned())
}

fn running_as_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A port that nobody has just now.
pub fn free_port() -> Result<u16> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    bound.map(|address| address.port()).map_err(|e| format!("no free port: {e}"))
}

fn random_word() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0; 16];
    let mut source = fs::File::open("/dev/urandom").map_err(|e| e.to_string())?;
    source.read_exact(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A file's text.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Writes a file.
pub fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
