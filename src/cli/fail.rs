//! How a command fails: a message, a hint, an exit code.
//!
//! In: errors of the modules below. Out: two lines on stderr and a number.
//! Never: a panic, a message when the reader of a pipe has gone away.

use std::fmt;
use std::process::ExitCode;

/// Everything worked.
pub const EXIT_OK: u8 = 0;
/// The command did not work.
pub const EXIT_FAILURE: u8 = 1;
/// The command line is wrong. clap's own code, so that both agree.
pub const EXIT_USAGE: u8 = 2;
/// The configuration is not valid.
pub const EXIT_CONFIG: u8 = 3;
/// No running weir was found, or it does not answer.
pub const EXIT_UNREACHABLE: u8 = 4;
/// What was asked for does not exist.
pub const EXIT_NOT_FOUND: u8 = 5;
/// The answer is no: a denied command, a refused vote, a wrong password.
pub const EXIT_REFUSED: u8 = 6;
/// The command would be held for approval.
pub const EXIT_HELD: u8 = 7;

/// What is shown lacks what a damaged file of the record held.
pub const EXIT_INCOMPLETE: u8 = 8;

/// For the help text.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  it worked; for `policy test`: allowed
  1  it did not work
  2  the command line is wrong
  3  the configuration is not valid
  4  no running weir was found, or it does not answer
  5  what was asked for does not exist
  6  the answer is no: denied by a rule, a refused vote, a wrong password
  7  `policy test`: held for approval
  8  what is shown is not all: a file of the record cannot be read (stderr names it)";

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    code: u8,
    message: String,
    hint: String,
}

impl Failure {
    /// A failure with a code of this module.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: String::new() }
    }

    /// Something did not work, for this reason.
    pub fn because(what: &str, error: impl fmt::Display) -> Failure {
        Failure::new(EXIT_FAILURE, format!("{what}: {error}"))
    }

    /// The end of a command that has said everything already.
    pub fn silent(code: u8) -> Failure {
        Failure::new(code, "")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = hint.into();
        self
    }

    /// The number that the process ends with.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Tells the person, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            super::output::note(&format!("weir: {}", self.message));
        }
        if !self.hint.is_empty() {
            super::output::note(&format!("hint: {}", self.hint));
        }
        ExitCode::from(self.code)
    }
}

/// Writing to stdout failed. A closed pipe is the reader's way to say that it has enough.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::silent(EXIT_OK);
        }
        Failure::because("cannot write the output", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(closed, Failure::silent(EXIT_OK));
        let full = Failure::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(full.code(), EXIT_FAILURE);
    }

    #[test]
    fn every_code_is_in_the_help() {
        for code in [
            EXIT_OK,
            EXIT_FAILURE,
            EXIT_USAGE,
            EXIT_CONFIG,
            EXIT_UNREACHABLE,
            EXIT_NOT_FOUND,
            EXIT_REFUSED,
            EXIT_HELD,
            EXIT_INCOMPLETE,
        ] {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
