//! `weir run --target postgres://user:password@host:port/database?sslmode=require`.
//!
//! In: a libpq URL. Out: settings for one target, one user and one rule that allows everything.
//! Never: a parameter that is ignored, a part of the URL in an error (it holds a password).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::report::one_of;
use super::sections::reach::BALANCES;
use super::sections::targets::{NEGOTIATIONS, PORT_DEFAULT, TLS_MODES};
use super::sections::{ADMIN_DEFAULT, JOURNAL_DEFAULT};
use super::sections::{listen_default, random_salt, shards_default, system_roots};
use super::settings::{
    ApprovalSettings, Capture, ChannelBinding, Credential, Durability, Effect, Host, KeepAlive,
    KeyPair, Reach, RuleSpec, Secret, SessionAttrs, Settings, Target, TargetTls, TlsNegotiation,
    User,
};
use super::units;
use crate::decide::Commands;
use crate::identify::scram::{ITERATIONS_DEFAULT, Verifier};
use crate::limits;
use crate::wire::Protocol;

/// The user that `for_target_url` makes.
pub const USER: &str = "weir";

/// Where clients connect unless the caller changes it: beside PostgreSQL's own port.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6432);

/// What is wrong with a target URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetUrlError {
    /// Another scheme.
    #[error("a target starts with postgres:// or postgresql://")]
    Scheme,
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the {0} of the target URL is not percent-encoded correctly")]
    Encoding(&'static str),
    /// No user.
    #[error("the target URL names no user: write postgres://USER:PASSWORD@host/database")]
    User,
    /// No host, or a socket path.
    #[error("the target URL needs hosts, as names or addresses: postgres://...@HOST:PORT,.../...")]
    Host,
    /// Too many.
    #[error("the target URL names more than {0} hosts")]
    Hosts(usize),
    /// More than one path segment.
    #[error("the target URL has a path of more than a database name")]
    Database,
    /// An unknown parameter.
    #[error(
        "parameter `{0}` is not supported in a target URL: use `sslmode`, `sslrootcert`, \
         `sslcert`, `sslkey`, `sslnegotiation`, `target_session_attrs`, `load_balance_hosts`, \
         `connect_timeout`, `keepalives_...` or `tcp_user_timeout`"
    )]
    Parameter(String),
    /// A parameter that is none of its words.
    #[error("parameter `{0}` of the target URL is one of {1}")]
    Word(&'static str, String),
    /// A parameter that is no number, or out of range.
    #[error("parameter `{0}` of the target URL is a number from {1} to {2}")]
    Number(&'static str, u32, u32),
    /// A certificate without its key, or the other way round.
    #[error("the target URL needs both `sslcert` and `sslkey`, or none of them")]
    KeyPair,
    /// Direct TLS with a mode that may end in clear.
    #[error("sslnegotiation=direct needs an sslmode of `require` or stronger")]
    Direct,
    /// An unknown mode.
    #[error("sslmode is one of disable, prefer, require, verify-ca and verify-full")]
    SslMode,
    /// A verify mode, and neither `sslrootcert` nor roots of the system.
    #[error("sslmode asks to verify, and the system has no root certificates: add `sslrootcert`")]
    Roots,
    /// The operating system failed.
    #[error("the system gives no random bytes")]
    Random,
}

/// Settings for one target: the user `weir` with `password_for_user` may do everything, and no
/// value is masked.
///
/// # Errors
/// What is wrong with the URL, without showing it.
pub fn for_target_url(
    url: &str,
    data_dir: PathBuf,
    password_for_user: &str,
) -> Result<Settings, TargetUrlError> {
    let target = target(url)?;
    let salt = random_salt().ok_or(TargetUrlError::Random)?;
    let allow = RuleSpec {
        name: "everything".to_owned(),
        users: Vec::new(),
        groups: Vec::new(),
        targets: Vec::new(),
        roles: Vec::new(),
        sources: Vec::new(),
        commands: Commands::default(),
        touches: Vec::new(),
        facts: Vec::new(),
        minutes_utc: None,
        then: Effect::Allow,
    };
    let user = User {
        name: USER.to_owned(),
        verifier: Some(Verifier::from_password(password_for_user, &salt, ITERATIONS_DEFAULT)),
        keys: Vec::new(),
        groups: Vec::new(),
    };
    Ok(Settings {
        data_dir,
        node: None,
        shards: shards_default(),
        listeners: vec![listen_default(Protocol::Postgres, LISTEN_DEFAULT)],
        admin: ADMIN_DEFAULT,
        admin_url: None,
        approvals: ApprovalSettings::default(),
        journal: JOURNAL_DEFAULT,
        drain_us: crate::limits::DRAIN_US_DEFAULT,
        targets: vec![target],
        users: vec![user],
        issuers: Vec::new(),
        ssh_authorities: Vec::new(),
        certificates: Vec::new(),
        rules: vec![allow],
        masks: Vec::new(),
    })
}

fn target(url: &str) -> Result<Target, TargetUrlError> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or(TargetUrlError::Scheme)?;
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A password may hold an `@` that nobody encoded; a host cannot.
    let (login, host) = authority.rsplit_once('@').ok_or(TargetUrlError::User)?;
    let (role, password) = login.split_once(':').unwrap_or((login, ""));
    let role = decode(role, "user")?;
    if role.is_empty() {
        return Err(TargetUrlError::User);
    }
    if path.contains('/') {
        return Err(TargetUrlError::Database);
    }
    let hosts = hosts(&decode(host, "host")?)?;
    let database = match decode(path, "database")? {
        // As libpq does.
        none if none.is_empty() => role.clone(),
        some => some,
    };
    let Parameters { tls, negotiation, roots, certificate, key, attrs, shuffled, timeout, alive } =
        Parameters::read(parameters)?;
    let client_certificate = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(KeyPair { certificate, key }),
        _ => return Err(TargetUrlError::KeyPair),
    };
    let weak = matches!(tls, TargetTls::Disable | TargetTls::Prefer);
    if weak && negotiation == TlsNegotiation::Direct {
        return Err(TargetUrlError::Direct);
    }
    let reach = Reach { hosts, shuffled, attrs, connect_timeout_us: timeout, keepalive: alive };
    Ok(Target {
        protocol: Protocol::Postgres,
        name: database.clone(),
        reach,
        input: crate::config::settings::Input::Counted,
        host_keys: crate::wire::ssh::hosts::HostTrust::default(),
        strict_kex: false,
        database,
        tls,
        negotiation,
        root_certificates: roots,
        client_certificate,
        channel_binding: ChannelBinding::Prefer,
        replication: true,
        durability: Durability::Write,
        capture: Capture::Head(limits::CAPTURE_BYTES_DEFAULT),
        credentials: vec![Credential {
            role,
            password: Secret::new(decode(password, "password")?),
            proof: None,
            header: None,
            groups: Vec::new(),
        }],
        http: None,
    })
}

/// What whoever listens on the way to a target can read or change, as sentences: libpq's default
/// asks for nothing, and weir takes the same URL. On loopback nobody is on the way.
pub fn doubts(target: &Target) -> Vec<String> {
    let (what, mode) = match target.tls {
        TargetTls::VerifyFull => return Vec::new(),
        TargetTls::VerifyCa => ("is not verified to be the host of this name", "verify-ca"),
        TargetTls::Require => ("is not verified: anybody on the way can be it", "require"),
        TargetTls::Prefer => (
            "is not verified, and hears the login and all data in clear if it offers no TLS",
            "prefer",
        ),
        TargetTls::Disable => ("hears the login and all data in clear", "disable"),
    };
    let remote = target.reach.hosts.iter().filter(|host| !is_loopback(&host.name));
    let told = remote.map(|host| {
        format!("{host} {what} (sslmode={mode}); `?sslmode=verify-full` in the URL verifies it")
    });
    told.collect()
}

fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or_else(|_| name.eq_ignore_ascii_case("localhost"), |it| it.is_loopback())
}

/// `host1:5432,host2`.
fn hosts(list: &str) -> Result<Vec<Host>, TargetUrlError> {
    let hosts = list
        .split(',')
        .map(|text| units::host_port(text, Some(PORT_DEFAULT)))
        .map(|host| host.map(|(name, port)| Host { name, port }).ok_or(TargetUrlError::Host))
        .collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > limits::TARGET_HOSTS_MAX {
        return Err(TargetUrlError::Hosts(limits::TARGET_HOSTS_MAX));
    }
    Ok(hosts)
}

/// What stands behind the question mark.
struct Parameters {
    tls: TargetTls,
    negotiation: TlsNegotiation,
    roots: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    attrs: SessionAttrs,
    shuffled: bool,
    timeout: Option<u64>,
    alive: KeepAlive,
}

impl Parameters {
    fn read(text: &str) -> Result<Parameters, TargetUrlError> {
        let mut read = Parameters {
            // libpq's default.
            tls: TargetTls::Prefer,
            negotiation: TlsNegotiation::Postgres,
            roots: None,
            certificate: None,
            key: None,
            attrs: SessionAttrs::Any,
            shuffled: false,
            timeout: None,
            alive: KeepAlive::DEFAULT,
        };
        for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            read.take(name, &decode(value, "parameter")?)?;
        }
        let verifies = matches!(read.tls, TargetTls::VerifyCa | TargetTls::VerifyFull);
        if read.roots.is_none() && verifies {
            read.roots = Some(system_roots().ok_or(TargetUrlError::Roots)?);
        }
        Ok(read)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), TargetUrlError> {
        match name {
            "sslmode" => self.tls = choose(&TLS_MODES, value).ok_or(TargetUrlError::SslMode)?,
            "sslnegotiation" => self.negotiation = word("sslnegotiation", &NEGOTIATIONS, value)?,
            "sslrootcert" => self.roots = Some(PathBuf::from(value)),
            "sslcert" => self.certificate = Some(PathBuf::from(value)),
            "sslkey" => self.key = Some(PathBuf::from(value)),
            "target_session_attrs" => {
                self.attrs = word("target_session_attrs", &SessionAttrs::NAMES, value)?;
            }
            "load_balance_hosts" => self.shuffled = word("load_balance_hosts", &BALANCES, value)?,
            "connect_timeout" => {
                // Zero waits without end in libpq; weir has a bound of its own.
                let seconds = number("connect_timeout", value, 0..=300)?;
                self.timeout = (seconds > 0).then_some(u64::from(seconds) * 1_000_000);
            }
            "keepalives_idle" => {
                self.alive.idle_s = number("keepalives_idle", value, 1..=32_767)?;
            }
            "keepalives_interval" => {
                self.alive.interval_s = number("keepalives_interval", value, 1..=32_767)?;
            }
            "keepalives_count" => self.alive.count = number("keepalives_count", value, 1..=127)?,
            "tcp_user_timeout" => {
                let milliseconds = number("tcp_user_timeout", value, 0..=86_400_000)?;
                self.alive.user_timeout_ms = Some(milliseconds).filter(|it| *it > 0);
            }
            other => return Err(TargetUrlError::Parameter(other.to_owned())),
        }
        Ok(())
    }
}

fn choose<T: Copy>(choices: &[(&str, T)], value: &str) -> Option<T> {
    choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice)
}

fn word<T: Copy>(
    name: &'static str,
    choices: &[(&str, T)],
    value: &str,
) -> Result<T, TargetUrlError> {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    choose(choices, value).ok_or_else(|| TargetUrlError::Word(name, one_of(&names)))
}

fn number(
    name: &'static str,
    value: &str,
    range: std::ops::RangeInclusive<u32>,
) -> Result<u32, TargetUrlError> {
    let parsed = value.parse().ok().filter(|number| range.contains(number));
    parsed.ok_or(TargetUrlError::Number(name, *range.start(), *range.end()))
}

/// Percent-decoding; a `+` is a plus, as in libpq.
fn decode(text: &str, part: &'static str) -> Result<String, TargetUrlError> {
    let wrong = || TargetUrlError::Encoding(part);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let high = digit().ok_or_else(wrong)?;
        let low = digit().ok_or_else(wrong)?;
        bytes.push((high * 16 + low) as u8);
    }
    // A NUL would end the value inside a start-up packet.
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expect: Result<&str, TargetUrlError>) {
        let shown = target(url).map(|target| {
            let credential = &target.credentials[0];
            let hosts: Vec<String> = target.reach.hosts.iter().map(Host::to_string).collect();
            format!(
                "{}:{}@{}/{} {:?}",
                credential.role,
                credential.password.reveal(),
                hosts.join(","),
                target.name,
                target.tls,
            )
        });
        assert_eq!(shown, expect.map(str::to_owned), "{url}");
    }

    #[test]
    fn urls_of_libpq() {
        check("postgres://app:secret@db/orders", Ok("app:secret@db:5432/orders Prefer"));
        check("postgresql://app:s@db:6000/o?sslmode=require", Ok("app:s@db:6000/o Require"));
        check("postgres://app@db", Ok("app:@db:5432/app Prefer"));
        check("postgres://a%40b:p%3Aq%2F@[::1]:1/d%20b", Ok("a@b:p:q/@[::1]:1/d b Prefer"));
        check("postgres://a:p@q@db/d", Ok("a:p@q@db:5432/d Prefer"));
        check("postgres://a:p+q@db/d?sslmode=disable", Ok("a:p+q@db:5432/d Disable"));
        check(
            "postgres://a:p@db/d?sslmode=verify-full&sslrootcert=%2Froots.pem",
            Ok("a:p@db:5432/d VerifyFull"),
        );
    }

    #[test]
    fn urls_that_are_refused() {
        check("mysql://a:p@db/d", Err(TargetUrlError::Scheme));
        check("postgres://db/d", Err(TargetUrlError::User));
        check("postgres://:p@db/d", Err(TargetUrlError::User));
        check("postgres://a:p@/d", Err(TargetUrlError::Host));
        check("postgres://a:p@%2Ftmp/d", Err(TargetUrlError::Host));
        check("postgres://a:p@one,/d", Err(TargetUrlError::Host));
        check("postgres://a:p@,/d", Err(TargetUrlError::Host));
        let many = ["h"; 17].join(",");
        check(&format!("postgres://a:p@{many}/d"), Err(TargetUrlError::Hosts(16)));
        check("postgres://a:p@db:x/d", Err(TargetUrlError::Host));
        check("postgres://a:p@db/d/e", Err(TargetUrlError::Database));
        check("postgres://a:%zz@db/d", Err(TargetUrlError::Encoding("password")));
        check("postgres://a:p%4@db/d", Err(TargetUrlError::Encoding("password")));
        check("postgres://a%ff:p@db/d", Err(TargetUrlError::Encoding("user")));
        check("postgres://a%00:p@db/d", Err(TargetUrlError::Encoding("user")));
        check("postgres://a:p@db/d?sslmode=allow", Err(TargetUrlError::SslMode));
        check("postgres://a:p@db/d?host=x", Err(TargetUrlError::Parameter("host".to_owned())));
        check("postgres://a:p@db/d?sslcert=x.pem", Err(TargetUrlError::KeyPair));
        check("postgres://a:p@db/d?sslnegotiation=direct", Err(TargetUrlError::Direct));
        let number = TargetUrlError::Number("connect_timeout", 0, 300);
        check("postgres://a:p@db/d?connect_timeout=x", Err(number));
        let words = "`disable` or `random`".to_owned();
        let word = TargetUrlError::Word("load_balance_hosts", words);
        check("postgres://a:p@db/d?load_balance_hosts=yes", Err(word));
    }

    #[test]
    fn several_hosts_and_how_they_are_used() {
        check("postgres://a:p@one:1,two,[::1]:3/d", Ok("a:p@one:1,two:5432,[::1]:3/d Prefer"));
        let url = "postgres://a:p@one,two/d?sslmode=require&sslcert=c.pem&sslkey=c.key&\
            sslnegotiation=direct&target_session_attrs=prefer-standby&load_balance_hosts=random&\
            connect_timeout=2&keepalives_idle=7&keepalives_interval=8&keepalives_count=9&\
            tcp_user_timeout=3000";
        let target = target(url).unwrap();
        let Reach { hosts, shuffled, attrs, connect_timeout_us, keepalive } = target.reach;
        assert_eq!((hosts.len(), shuffled, attrs), (2, true, SessionAttrs::PreferStandby));
        assert_eq!(connect_timeout_us, Some(2_000_000));
        let user_timeout_ms = Some(3000);
        let expect = KeepAlive { idle_s: 7, interval_s: 8, count: 9, user_timeout_ms };
        assert_eq!(keepalive, expect);
        assert_eq!(target.negotiation, TlsNegotiation::Direct);
        let (certificate, key) = ("c.pem".into(), "c.key".into());
        assert_eq!(target.client_certificate, Some(KeyPair { certificate, key }));
        assert_eq!(super::target("postgres://a:p@one/d").unwrap().reach.connect_timeout_us, None);
    }

    #[test]
    fn what_is_not_verified_is_said_of_other_hosts() {
        let said = |url: &str| doubts(&target(url).unwrap());
        for here in ["localhost", "LOCALHOST:5433", "127.0.0.1", "[::1]:5433"] {
            assert_eq!(said(&format!("postgres://a:p@{here}/d")), [""; 0], "{here}");
        }
        let more = "&sslrootcert=r.pem";
        assert_eq!(said(&format!("postgres://a:p@db/d?sslmode=verify-full{more}")), [""; 0]);
        for (mode, word) in [
            ("", "in clear"),
            ("?sslmode=prefer", "in clear"),
            ("?sslmode=disable", "in clear"),
            ("?sslmode=require", "is not verified"),
            ("?sslmode=verify-ca&sslrootcert=r.pem", "host of this name"),
        ] {
            let said = said(&format!("postgres://a:secret@127.0.0.1,db:1/d{mode}"));
            assert!(said.len() == 1 && said[0].starts_with("db:1 "), "{mode}: {said:?}");
            assert!(said[0].contains(word) && !said[0].contains("secret"), "{mode}: {said:?}");
        }
    }

    #[test]
    fn settings_for_one_target() {
        let settings =
            for_target_url("postgres://app:secret@db/orders", "/data".into(), "made up").unwrap();
        assert_eq!(settings.targets.len(), 1);
        assert_eq!(settings.users[0].name, USER);
        assert_eq!(settings.rules[0].then, Effect::Allow);
        assert!(settings.masks.is_empty());
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
