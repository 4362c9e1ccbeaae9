//! Whether targets can be connected to, as shards tell it: for the log and for `weir status`.
//!
//! In: news of shards. Out: what is wrong now, lines for the log. Never: a line for each attempt;
//! of one kind of failure one a minute at most, and that it is over only where it was told.

use crate::fault::Target;

use super::log::{self, Level};

/// What is known of one target.
#[derive(Debug, Default)]
pub struct Reach {
    /// Why it cannot be connected to, and since when, UTC microseconds.
    down: Option<(Target, i64)>,
    /// The failures that were told last, each with its time.
    told: Vec<(Target, i64)>,
    /// A failure was told, and its end was not.
    is_open: bool,
}

/// The least time between two lines about one kind of failure.
const TOLD_EVERY_US: i64 = 60_000_000;

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    level: Level,
    event: &'static str,
    words: String,
}

impl Reach {
    /// What is wrong, empty if nothing is.
    pub fn trouble(&self) -> String {
        let said = |(why, _)| match why {
            Target::Credentials => words(why).to_owned(),
            why => format!("no connection: {}", words(why)),
        };
        self.down.map(said).unwrap_or_default()
    }

    /// Takes news of a shard about the target of this name, and tells the log.
    pub fn note(&mut self, name: &str, failure: Option<Target>, now_us: i64) {
        if let Some(Told { level, event, words }) = self.take(failure, now_us) {
            log::tell(level, event, &format!("target {name}: {words}"));
        }
    }

    fn take(&mut self, failure: Option<Target>, now_us: i64) -> Option<Told> {
        let Some(why) = failure else {
            let (_, since_us) = self.down.take()?;
            let seconds = now_us.saturating_sub(since_us) / 1_000_000;
            let words = format!("sessions connect again, after {seconds} s");
            let tells = std::mem::take(&mut self.is_open);
            return tells.then_some(Told { level: Level::Info, event: "target-reached", words });
        };
        self.down = Some((why, self.down.map_or(now_us, |(_, since_us)| since_us)));
        let recent = |(_, at_us): &(Target, i64)| now_us.saturating_sub(*at_us) < TOLD_EVERY_US;
        self.told.retain(recent);
        if self.told.iter().any(|(kind, _)| *kind == why) {
            return None;
        }
        self.told.push((why, now_us));
        self.is_open = true;
        // Of several roles others may still be taken.
        let words = match why {
            Target::Credentials => format!("sessions are refused: {}", words(why)),
            why => format!("no session can connect: {}", words(why)),
        };
        Some(Told { level: Level::Warn, event: "target-unreached", words })
    }
}

fn words(why: Target) -> &'static str {
    match why {
        Target::Resolve => "its name does not resolve",
        Target::Connect => "it refuses the connection, or there is no way to it",
        Target::Timeout => "it does not answer in time",
        Target::Closed => "it closes the connection",
        Target::Certificate(why) => why.words(),
        Target::Tls => "TLS with it does not come about",
        Target::HostKey => "its host key is not the one of the configuration",
        Target::Credentials => "it refuses weir's credential",
        Target::Starting => "its server does not accept sessions",
        Target::ReadOnly => "none of its servers is read-write",
        Target::NotReadOnly => "none of its servers is read-only",
        Target::HotStandby => "none of its servers is a primary",
        Target::NotStandby => "none of its servers is a standby",
        Target::Unclear => "its server does not say whether it is a primary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_failure_and_its_end_are_told_once() {
        let mut reach = Reach::default();
        let mut take = |failure, at_s: i64| {
            let told = reach.take(failure, at_s * SECOND).map(|told| (told.event, told.words));
            (told, reach.trouble())
        };
        let refuses = "it refuses the connection, or there is no way to it";
        let down = format!("no connection: {refuses}");
        assert_eq!(take(None, 0), (None, String::new()));
        let first = Some(("target-unreached", format!("no session can connect: {refuses}")));
        assert_eq!(take(Some(Target::Connect), 1), (first, down.clone()));
        assert_eq!(take(Some(Target::Connect), 2), (None, down.clone()));
        let (told, _) = take(Some(Target::Timeout), 3);
        assert_eq!(told.map(|(event, _)| event), Some("target-unreached"), "another kind");
        let over = Some(("target-reached", "sessions connect again, after 8 s".to_owned()));
        assert_eq!(take(None, 9), (over, String::new()));
        // It comes and goes: status says it, the log does not.
        assert_eq!(take(Some(Target::Connect), 10), (None, down.clone()));
        assert_eq!(take(None, 11), (None, String::new()));
        let (told, _) = take(Some(Target::Connect), 62);
        assert_eq!(told.map(|(event, _)| event), Some("target-unreached"), "a minute later");
    }
}
