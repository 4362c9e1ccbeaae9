//! `weir hash-password`: a SCRAM verifier for the configuration, from a password on stdin.

use std::io::Read;

use clap::Args;

use super::fail::{EXIT_USAGE, Failure};
use super::output::Output;
use crate::admin::auth;

/// Arguments.
#[derive(Debug, Args)]
pub struct HashPassword {}

/// Runs the command.
///
/// # Errors
/// stdin holds no password.
pub fn run(_args: &HashPassword) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(PASSWORD_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::because("cannot read the password from stdin", error))?;
    let password = password_of(&bytes)?;
    let verifier = auth::make_verifier(password)
        .map_err(|error| Failure::because("cannot make a verifier", error))?;
    let mut out = Output::new(false);
    out.line(&verifier.to_string())?;
    Ok(out.flush()?)
}

/// The password: stdin without the line break that `echo` adds.
fn password_of(bytes: &[u8]) -> Result<&str, Failure> {
    let usage = |message: &str| {
        Failure::new(EXIT_USAGE, message).hint("printf %s \"$PASSWORD\" | weir hash-password")
    };
    if bytes.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(usage("the password is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| usage("the password is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text {
        "" => Err(usage("there is no password on stdin")),
        text if text.contains('\n') => Err(usage("the password has more than one line")),
        text => Ok(text),
    }
}

const PASSWORD_BYTES_MAX: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_a_password() {
        let check = |bytes: &[u8], expect: Option<&str>| {
            assert_eq!(password_of(bytes).ok(), expect, "{bytes:?}");
        };
        check(b"secret\n", Some("secret"));
        check(b"secret", Some("secret"));
        check(b" spaces stay \r\n", Some(" spaces stay "));
        check(b"", None);
        check(b"\n", None);
        check(b"a\nb\n", None);
        check(b"\xff", None);
        check(&[b'a'; 2_000], None);
    }
}
