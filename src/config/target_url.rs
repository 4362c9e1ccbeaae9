//! `weir run --target postgres://user:password@host:port/database?sslmode=require`.
//!
//! In: a libpq URL. Out: settings for one target, one user and one rule that allows everything.
//! Never: a parameter that is ignored, a part of the URL in an error (it holds a password).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::sections::targets::{PORT_DEFAULT, TLS_MODES};
use super::sections::{ADMIN_DEFAULT, JOURNAL_DEFAULT};
use super::sections::{random_salt, shards_default, system_roots};
use super::settings::{
    Capture, ChannelBinding, Credential, Durability, Effect, Listen, RuleSpec, Secret, Settings,
    Target, TargetTls, User,
};
use super::units;
use crate::identify::scram::{ITERATIONS_DEFAULT, Verifier};
use crate::limits;

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
    /// No host, a socket path, or several hosts.
    #[error("the target URL needs one host, as a name or an address: postgres://...@HOST:PORT/...")]
    Host,
    /// More than one path segment.
    #[error("the target URL has a path of more than a database name")]
    Database,
    /// An unknown parameter.
    #[error("parameter `{0}` is not supported in a target URL: use `sslmode` or `sslrootcert`")]
    Parameter(String),
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
        commands: Vec::new(),
        touches: Vec::new(),
        minutes_utc: None,
        then: Effect::Allow,
    };
    let user = User {
        name: USER.to_owned(),
        verifier: Verifier::from_password(password_for_user, &salt, ITERATIONS_DEFAULT),
        groups: Vec::new(),
    };
    Ok(Settings {
        data_dir,
        shards: shards_default(),
        postgres: Listen { address: LISTEN_DEFAULT, tls: None },
        admin: ADMIN_DEFAULT,
        journal: JOURNAL_DEFAULT,
        targets: vec![target],
        users: vec![user],
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
    let host = decode(host, "host")?;
    let (host, port) = units::host_port(&host, Some(PORT_DEFAULT)).ok_or(TargetUrlError::Host)?;
    let database = match decode(path, "database")? {
        // As libpq does.
        none if none.is_empty() => role.clone(),
        some => some,
    };
    let (tls, root_certificates) = tls(parameters)?;
    Ok(Target {
        name: database.clone(),
        host,
        port,
        database,
        tls,
        root_certificates,
        channel_binding: ChannelBinding::Prefer,
        replication: true,
        durability: Durability::Write,
        capture: Capture::Head(limits::CAPTURE_BYTES_DEFAULT),
        credentials: vec![Credential {
            role,
            password: Secret::new(decode(password, "password")?),
            groups: Vec::new(),
        }],
    })
}

fn tls(parameters: &str) -> Result<(TargetTls, Option<PathBuf>), TargetUrlError> {
    // libpq's default.
    let mut tls = TargetTls::Prefer;
    let mut roots = None;
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = decode(value, "parameter")?;
        match name {
            "sslmode" => {
                let mode = TLS_MODES.iter().find(|(mode, _)| *mode == value);
                tls = mode.ok_or(TargetUrlError::SslMode)?.1;
            }
            "sslrootcert" => roots = Some(PathBuf::from(value)),
            other => return Err(TargetUrlError::Parameter(other.to_owned())),
        }
    }
    if roots.is_none() && matches!(tls, TargetTls::VerifyCa | TargetTls::VerifyFull) {
        roots = Some(system_roots().ok_or(TargetUrlError::Roots)?);
    }
    Ok((tls, roots))
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
            format!(
                "{}:{}@{}:{}/{} {:?}",
                credential.role,
                credential.password.reveal(),
                target.host,
                target.port,
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
        check("postgres://a%40b:p%3Aq%2F@[::1]:1/d%20b", Ok("a@b:p:q/@::1:1/d b Prefer"));
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
        check("postgres://a:p@one,two/d", Err(TargetUrlError::Host));
        check("postgres://a:p@db:x/d", Err(TargetUrlError::Host));
        check("postgres://a:p@db/d/e", Err(TargetUrlError::Database));
        check("postgres://a:%zz@db/d", Err(TargetUrlError::Encoding("password")));
        check("postgres://a:p%4@db/d", Err(TargetUrlError::Encoding("password")));
        check("postgres://a%ff:p@db/d", Err(TargetUrlError::Encoding("user")));
        check("postgres://a%00:p@db/d", Err(TargetUrlError::Encoding("user")));
        check("postgres://a:p@db/d?sslmode=allow", Err(TargetUrlError::SslMode));
        check("postgres://a:p@db/d?host=x", Err(TargetUrlError::Parameter("host".to_owned())));
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
