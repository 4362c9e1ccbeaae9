//! Whether a server is one of those that `target_session_attrs` asks for.
//!
//! In: what a server reports at its login, answers to what it is asked. Out: a verdict.
//! Never: a guess; a server that does not say what it is does not fit. (libpq: fe-connect.c,
//! CONNECTION_CHECK_TARGET.)

use crate::config::settings::SessionAttrs;
use crate::fault::Target;

/// What a server has said of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// `default_transaction_read_only`, reported since PostgreSQL 14.
    read_only: Option<bool>,
    /// `in_hot_standby`, likewise.
    hot_standby: Option<bool>,
}

/// Whether it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Yes,
    /// It does not, and why.
    No(Target),
    /// It has to be asked this; the answer goes to `Standing::answer`.
    Ask(&'static str),
}

const WRITABLE: &str = "SHOW transaction_read_only";
const STANDBY: &str = "SELECT pg_catalog.pg_is_in_recovery()";

impl Standing {
    /// Takes a ParameterStatus.
    pub fn report(&mut self, name: &str, value: &str) {
        let value = Some(value == "on");
        match name {
            "default_transaction_read_only" => self.read_only = value,
            "in_hot_standby" => self.hot_standby = value,
            _ => {}
        }
    }

    /// What is known so far, measured by what is asked for.
    pub fn fit(&self, attrs: SessionAttrs) -> Fit {
        let verdict = |fits, otherwise| if fits { Fit::Yes } else { Fit::No(otherwise) };
        match attrs {
            SessionAttrs::Any => Fit::Yes,
            SessionAttrs::ReadWrite | SessionAttrs::ReadOnly => {
                let (Some(read_only), Some(hot_standby)) = (self.read_only, self.hot_standby)
                else {
                    return Fit::Ask(WRITABLE);
                };
                let writes = !read_only && !hot_standby;
                match attrs {
                    SessionAttrs::ReadWrite => verdict(writes, Target::ReadOnly),
                    _ => verdict(!writes, Target::NotReadOnly),
                }
            }
            SessionAttrs::Primary | SessionAttrs::Standby | SessionAttrs::PreferStandby => {
                let Some(hot_standby) = self.hot_standby else { return Fit::Ask(STANDBY) };
                match attrs {
                    SessionAttrs::Primary => verdict(!hot_standby, Target::HotStandby),
                    _ => verdict(hot_standby, Target::NotStandby),
                }
            }
        }
    }

    /// Takes the one value that answers what `fit` asked; `None`: the question failed.
    ///
    /// # Errors
    /// The server does not say what it is.
    pub fn answer(&mut self, question: &str, value: Option<&[u8]>) -> Result<(), Target> {
        match (question, value) {
            // "on" proves that one of both is on, and which one does not matter here.
            (WRITABLE, Some(value)) => {
                let on = Some(value == b"on");
                (self.read_only, self.hot_standby) = (on, on);
                Ok(())
            }
            (STANDBY, Some(value)) => {
                self.hot_standby = Some(value == b"t");
                Ok(())
            }
            _ => Err(Target::Unclear),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(read_only: bool, hot_standby: bool) -> Standing {
        let word = |on| if on { "on" } else { "off" };
        let mut standing = Standing::default();
        standing.report("server_version", "16.1");
        standing.report("default_transaction_read_only", word(read_only));
        standing.report("in_hot_standby", word(hot_standby));
        standing
    }

    #[test]
    fn every_server_is_measured_by_every_attribute() {
        // Rows: a primary, one that is read-only by default, a standby, and both.
        let servers = [(false, false), (true, false), (false, true), (true, true)];
        let check = |attrs, expect: [bool; 4], otherwise| {
            for ((read_only, hot_standby), fits) in servers.into_iter().zip(expect) {
                let expect = if fits { Fit::Yes } else { Fit::No(otherwise) };
                let fit = standing(read_only, hot_standby).fit(attrs);
                assert_eq!(fit, expect, "{attrs:?} {read_only} {hot_standby}");
            }
        };
        check(SessionAttrs::Any, [true, true, true, true], Target::Unclear);
        check(SessionAttrs::ReadWrite, [true, false, false, false], Target::ReadOnly);
        check(SessionAttrs::ReadOnly, [false, true, true, true], Target::NotReadOnly);
        check(SessionAttrs::Primary, [true, true, false, false], Target::HotStandby);
        check(SessionAttrs::Standby, [false, false, true, true], Target::NotStandby);
        check(SessionAttrs::PreferStandby, [false, false, true, true], Target::NotStandby);
    }

    #[test]
    fn a_server_that_reports_nothing_is_asked() {
        let check = |attrs, value: Option<&[u8]>, expect| {
            let mut standing = Standing::default();
            let Fit::Ask(question) = standing.fit(attrs) else { panic!("not asked: {attrs:?}") };
            let outcome = standing.answer(question, value).map(|()| standing.fit(attrs));
            assert_eq!(outcome, expect, "{attrs:?} {value:?}");
        };
        check(SessionAttrs::ReadWrite, Some(b"off"), Ok(Fit::Yes));
        check(SessionAttrs::ReadWrite, Some(b"on"), Ok(Fit::No(Target::ReadOnly)));
        check(SessionAttrs::ReadOnly, Some(b"on"), Ok(Fit::Yes));
        check(SessionAttrs::Primary, Some(b"f"), Ok(Fit::Yes));
        check(SessionAttrs::Standby, Some(b"f"), Ok(Fit::No(Target::NotStandby)));
        check(SessionAttrs::Standby, None, Err(Target::Unclear));
        assert_eq!(Standing::default().fit(SessionAttrs::Any), Fit::Yes);
    }
}
