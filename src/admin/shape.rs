//! What the admin API says and hears: the JSON of `/v1`, shared by server and command line.
//!
//! In: values of the shards and the configuration. Out: serde structs.
//! Never: a secret, but in the one answer that makes it. Times are UTC text, ids full UUID text.

use serde::{Deserialize, Serialize};

use super::clock;
use crate::decide::approval::{AskPart, AskSummary};
use crate::hex;
use crate::identify::api_token::Kept;
use crate::metrics::{Counted, SERIES, TargetReading};
use crate::record::SessionId;
use crate::wire::cells::is_unseen;

/// A live session, `GET /v1/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Id.
    pub session_id: String,
    /// Identity, empty before login.
    pub user: String,
    /// Target name.
    pub target: String,
    /// Role at the target.
    pub role: String,
    /// Client address.
    pub client_addr: String,
    /// `login`, `idle`, `active`, `held`, `closing`.
    pub state: String,
    /// Start.
    pub started_at: String,
    /// Commands so far.
    pub commands: u64,
}

impl From<crate::session::SessionSummary> for Session {
    fn from(summary: crate::session::SessionSummary) -> Session {
        Session {
            session_id: id_text(summary.session_id),
            user: summary.user,
            target: summary.target,
            role: summary.role,
            client_addr: summary.client_addr,
            state: summary.state.to_owned(),
            started_at: clock::to_text(summary.started_us),
            commands: summary.commands,
        }
    }
}

/// An API token, `GET /v1/tokens`. Its secret is in no list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Id, as records name it.
    pub id: String,
    /// The user whom it stands for.
    pub user: String,
    /// What people call it.
    pub name: String,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: String,
    /// Until when it is good.
    pub expires_at: String,
    /// The configuration has no such user: it is good for nothing, until one of that name is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_orphan: bool,
}

impl From<&Kept> for Token {
    fn from(kept: &Kept) -> Token {
        Token {
            id: kept.id.to_string(),
            user: kept.user.clone(),
            name: kept.name.clone(),
            made_by: kept.made_by.clone(),
            made_at: clock::to_text(kept.made_us),
            expires_at: clock::to_text(kept.until_us),
            is_orphan: false,
        }
    }
}

/// What is asked for by `POST /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenWanted {
    /// A user of the configuration.
    pub user: String,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// How long it is good; 90 days unless somebody says otherwise.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// The answer: the one place where the secret is shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenMade {
    /// What is kept of it.
    #[serde(flatten)]
    pub token: Token,
    /// The secret.
    pub secret: String,
}

impl std::fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenMade({:?})", self.token)
    }
}

/// A command that waits for approval, `GET /v1/asks/ID`, and its head in `GET /v1/asks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Id of the approval.
    pub id: String,
    /// Session of the held command.
    pub session_id: String,
    /// Its sequence number.
    pub seq: u64,
    /// Who wants to run it.
    pub user: String,
    /// Target name.
    pub target: String,
    /// Role at the target.
    pub role: String,
    /// The first rule that holds it.
    pub rule: String,
    /// Text, credentials redacted.
    pub text: String,
    /// Parameters, JSON text; empty if there are none. None of a head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// Classes of the command.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Objects that it names, `+` before those that it changes. None of a head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<String>>,
    /// SHA-256 of all that is shown here and decided on, hexadecimal. A vote that approves carries
    /// it. None of a head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Credentials are hidden: there is a `***` in the text or the parameters, which stands for the
    /// whole content of a literal or for a value.
    #[serde(default)]
    pub redacted: bool,
    /// Groups whose members may have a say.
    pub approvers: Vec<String>,
    /// Fewer people than this cannot release it.
    pub quorum: u32,
    /// What each rule that holds it asks for; all have to be answered.
    pub parts: Vec<ApprovalPart>,
    /// Since when it waits.
    pub requested_at: String,
    /// Until when it waits.
    pub expires_at: String,
    /// This is a head: the text goes on, or there are values.
    #[serde(default)]
    pub shortened: bool,
    /// Whether one approval may be for more than one execution.
    #[serde(default)]
    pub repeatable: bool,
}

/// What stands in the place of a credential.
const REDACTED: &str = "***";

impl Approval {
    /// All of it, with the digest that a vote says.
    pub fn whole(ask: &AskSummary, digest: &[u8; 32]) -> Approval {
        Approval {
            text: ask.text.clone(),
            params: Some(ask.params.clone()),
            objects: Some(ask.objects.clone()),
            digest: Some(hex::text(digest)),
            ..Approval::placed(ask)
        }
    }

    /// What a list shows: the beginning of its texts, and no digest, because nobody has seen it.
    pub fn head(ask: &AskSummary) -> Approval {
        let text = beginning(&ask.text);
        let shortened = text.len() < ask.text.len() || !ask.params.is_empty();
        Approval { text: text.to_owned(), shortened, ..Approval::placed(ask) }
    }

    fn placed(ask: &AskSummary) -> Approval {
        Approval {
            id: id_text(ask.id),
            session_id: id_text(ask.session_id),
            seq: ask.command_seq,
            user: ask.user.clone(),
            target: ask.target.clone(),
            role: ask.role.clone(),
            rule: ask.rule.clone(),
            classes: ask.classes.clone(),
            redacted: [&ask.text, &ask.params].iter().any(|text| text.contains(REDACTED)),
            approvers: ask.approvers.clone(),
            quorum: ask.quorum,
            parts: ask.parts.iter().map(ApprovalPart::from).collect(),
            requested_at: clock::to_text(ask.requested_at_us),
            expires_at: clock::to_text(ask.expires_at_us),
            repeatable: ask.repeatable,
            ..Approval::default()
        }
    }

    /// For people, as text. What cannot be seen, or turns text around, is escaped.
    pub fn page(&self) -> String {
        let parts = self.parts.iter();
        let asked = parts.map(|part| format!("{} of {}", part.quorum, part.approvers.join(", ")));
        let rows = [
            ("expires", self.expires_at.clone()),
            ("user", self.user.clone()),
            ("target", self.target.clone()),
            ("role", self.role.clone()),
            ("classes", self.classes.join(", ")),
            ("objects", self.objects.clone().unwrap_or_default().join(", ")),
            ("values", self.params.clone().unwrap_or_default()),
            ("rule", self.rule.clone()),
            ("asks for", asked.collect::<Vec<_>>().join(" and ")),
            ("digest", self.digest.clone().unwrap_or_default()),
        ];
        let mut page = String::new();
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            page.push_str(&format!("{name:<9} {}\n", plain(value, false)));
        }
        let id = &self.id;
        format!(
            "{page}\n{}\n\nweir approvals approve {id} --as YOU --reason '...'\n\
             weir approvals deny {id} --as YOU --reason '...'\n",
            plain(&self.text, true)
        )
    }
}

/// The beginning of a text, at the boundary of a character.
fn beginning(text: &str) -> &str {
    let mut ends = (0..=crate::limits::ASK_HEAD_BYTES.min(text.len())).rev();
    let end = ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// A text without characters that steer a display.
fn plain(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\n' | '\t' if lines => out.push(c),
            // Lines of HTTP end in two characters.
            '\r' if lines && characters.peek() == Some(&'\n') => {}
            c if is_unseen(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Answer of `GET /v1/asks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// Heads, oldest first.
    pub items: Vec<Approval>,
    /// What to say as `after` for the next page; none: this was the last.
    pub next: Option<String>,
}

/// A window that is open, `GET /v1/windows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Id of the approval that opened it.
    pub id: String,
    /// Whose commands.
    pub user: String,
    /// Where.
    pub target: String,
    /// As whom.
    pub role: String,
    /// Classes.
    pub classes: Vec<String>,
    /// Who opened it.
    pub approvers: Vec<String>,
    /// Up to when.
    pub until: String,
}

impl From<&crate::decide::approval::Window> for Window {
    fn from(window: &crate::decide::approval::Window) -> Window {
        Window {
            id: id_text(window.id),
            user: window.user.clone(),
            target: window.target.clone(),
            role: window.role.clone(),
            classes: window.classes.clone(),
            approvers: window.approvals.iter().map(|vote| vote.approver.clone()).collect(),
            until: clock::to_text(window.until_us),
        }
    }
}

/// Body of `POST /v1/readings`: somebody reads the lake with the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// `search`, `show`, `tail`, `replay`, ...
    pub command: String,
    /// What was asked for.
    pub arguments: Vec<String>,
    /// The name of the login on the machine, and its number.
    pub login: String,
    /// When, UTC.
    #[serde(default)]
    pub at: String,
}

impl Reading {
    /// As an act for the record.
    pub fn act(&self) -> super::audit::Act {
        let what = format!("read the record: weir {}", self.command);
        super::audit::Act::new("lake-read", what)
            .with("command", self.command.clone())
            .with("arguments", self.arguments.clone())
            .with("login", self.login.clone())
            .with("at", self.at.clone())
    }
}

/// Answer of `POST /v1/readings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Whether it is in the record.
    pub recorded: bool,
}

/// What one rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalPart {
    /// The rule.
    pub rule: String,
    /// Groups whose members may approve.
    pub approvers: Vec<String>,
    /// Distinct approvers needed.
    pub quorum: u32,
}

impl From<&AskPart> for ApprovalPart {
    fn from(part: &AskPart) -> ApprovalPart {
        let AskPart { rule, approvers, quorum, given: _ } = part.clone();
        ApprovalPart { rule, approvers, quorum }
    }
}

/// What an approver decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Let it run.
    Approve,
    /// Do not.
    Deny,
}

/// Body of `POST /v1/approvals/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballot {
    /// The decision.
    pub decision: Decision,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
    /// The digest of what was shown; who approves says it.
    #[serde(default)]
    pub digest: String,
    /// For what else than this execution an approval is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<BallotScope>,
}

/// For what else than one execution an approval is meant: the same statement, or a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BallotScope {
    /// The same statement with the same values in the same session, so often more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_statement: Option<u32>,
    /// For so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Commands of the same classes, for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
}

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum VoteReply {
    /// It counts.
    Counted {
        /// Approvals still missing; 0: the command runs, if nothing else is next.
        missing: u32,
        /// What is next for a command that does not run now though no approval is missing:
        /// `asked-again` (it runs when its client asks again), `stopped` (the rules in force deny
        /// it, or ask for other approvals).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// This person's approval counts already.
    Again {
        /// Approvals still missing, of other people.
        missing: u32,
    },
    /// It ends the hold with a denial.
    Denied,
    /// It does not count.
    Refused {
        /// Why.
        message: String,
    },
    /// No such command waits.
    Unknown,
}

impl From<crate::session::VoteReply> for VoteReply {
    fn from(reply: crate::session::VoteReply) -> VoteReply {
        match reply {
            crate::session::VoteReply::Counted { missing } => {
                VoteReply::Counted { missing, next: None }
            }
            crate::session::VoteReply::Settled(next) => {
                VoteReply::Counted { missing: 0, next: Some(next.name().to_owned()) }
            }
            crate::session::VoteReply::Again { missing } => VoteReply::Again { missing },
            crate::session::VoteReply::Denied => VoteReply::Denied,
            crate::session::VoteReply::Refused(message) => VoteReply::Refused { message },
            crate::session::VoteReply::Unknown => VoteReply::Unknown,
        }
    }
}

/// Answer of `POST /v1/sessions/{id}/kill`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// The session that was ended.
    pub session_id: String,
}

/// Answer of `POST /v1/rotate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// Whether everything recorded before the call is in Parquet now.
    pub sealed: bool,
    /// Segments that still wait for the sealer.
    pub waiting: usize,
    /// Why they do, if something is wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

/// Answer of `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok` or `draining`.
    pub status: String,
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether clients should be sent here.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// Answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of weir.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: String,
    /// `ok` or `draining`.
    pub status: String,
    /// Where clients connect.
    pub listeners: Vec<String>,
    /// Shards.
    pub shards: usize,
    /// Which snapshot of configuration and targets is in force, counted from the start.
    #[serde(default)]
    pub generation: u64,
    /// Shards that do not have it yet.
    #[serde(default)]
    pub shards_behind: usize,
    /// Files of the journal that were put aside.
    #[serde(default)]
    pub quarantined: usize,
    /// Why no client should be sent here, empty when all is well.
    #[serde(default)]
    pub unready: Vec<String>,
    /// Rules in force.
    pub rules: usize,
    /// Masks in force.
    pub masks: usize,
    /// Targets.
    pub targets: Vec<TargetStatus>,
    /// Issuers of tokens.
    #[serde(default)]
    pub issuers: Vec<IssuerStatus>,
    /// Why nothing can be recorded or sealed now, empty if it can.
    pub trouble: String,
    /// Totals of the process, by name.
    pub counters: std::collections::BTreeMap<String, u64>,
}

/// One target in `Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Name.
    pub name: String,
    /// `host:port` of the configuration.
    pub address: String,
    /// As resolved.
    pub resolved: Vec<String>,
    /// Why the last resolution failed, empty if it did not.
    pub resolve_error: String,
    /// Why sessions cannot connect to it, empty if they can, or none has tried.
    #[serde(default)]
    pub connect_error: String,
    /// `not needed`, `waiting`, `ready`, `stale`.
    pub catalog: String,
    /// Relations in the catalog.
    pub relations: usize,
    /// When the catalog was read last, empty if never.
    pub catalog_at: String,
    /// Why the last read failed, empty if it did not.
    pub catalog_error: String,
}

/// One issuer in `Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerStatus {
    /// Its name, an address.
    pub issuer: String,
    /// Keys that tokens are verified with.
    pub keys: usize,
    /// When they were read last, empty if never.
    pub read_at: String,
    /// Why the last read failed, empty if it did not.
    pub error: String,
}

/// Answer of `GET /v1/meters`: numbers since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meters {
    /// Since when the process runs.
    pub started_at: String,
    /// Bytes of the journal that the disk may not have yet.
    pub journal_lag_bytes: u64,
    /// Segments that wait for the sealer.
    pub segments_waiting: u64,
    /// Targets of the configuration.
    pub targets: Vec<TargetMeters>,
}

/// One target in `Meters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMeters {
    /// Name.
    pub name: String,
    /// Sessions logged in now.
    pub connections: u64,
    /// Commands that wait for people now.
    pub held: u64,
    /// Commands by verdict.
    pub commands: Commands,
    /// Bytes received from clients.
    pub received_bytes: u64,
    /// Bytes for clients.
    pub sent_bytes: u64,
    /// Durations of the stages.
    pub durations: Vec<Durations>,
}

/// Commands by what the rules said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// They ran.
    pub allow: u64,
    /// They did not.
    pub deny: u64,
    /// People were asked.
    pub hold: u64,
}

/// How long one stage took: the buckets that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// `decide`, `target`, `journal_wait`, `mask` or `client_wait`.
    pub stage: String,
    /// `allow`, `deny` or `hold`, empty for a stage without a verdict.
    pub verdict: String,
    /// Sum, microseconds.
    pub sum_us: u64,
    /// The longest duration of a bucket in microseconds, and how many are in it.
    pub buckets: Vec<(u64, u64)>,
}

impl From<&TargetReading> for TargetMeters {
    fn from(reading: &TargetReading) -> TargetMeters {
        let durations =
            SERIES.into_iter().zip(&reading.durations).map(|((timed, verdict), it)| Durations {
                stage: timed.name().to_owned(),
                verdict: verdict.map_or("", Counted::name).to_owned(),
                sum_us: it.sum_us(),
                buckets: it.buckets().collect(),
            });
        let [allow, deny, hold] = reading.commands;
        TargetMeters {
            name: reading.name.clone(),
            connections: reading.connections,
            held: reading.held,
            commands: Commands { allow, deny, hold },
            received_bytes: reading.bytes_in,
            sent_bytes: reading.bytes_out,
            durations: durations.collect(),
        }
    }
}

/// An error of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

/// An id as text.
pub fn id_text(id: SessionId) -> String {
    uuid::Uuid::from_bytes(id.0).hyphenated().to_string()
}

/// Text as an id.
pub fn id_parse(text: &str) -> Option<SessionId> {
    uuid::Uuid::try_parse(text.trim()).ok().map(|id| SessionId(id.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_tagged() {
        let check = |reply: crate::session::VoteReply, expect: &str| {
            let text = serde_json::to_string(&VoteReply::from(reply)).unwrap();
            assert_eq!(text, expect);
        };
        check(
            crate::session::VoteReply::Counted { missing: 1 },
            r#"{"result":"counted","missing":1}"#,
        );
        check(
            crate::session::VoteReply::Settled(crate::session::Next::AskedAgain),
            r#"{"result":"counted","missing":0,"next":"asked-again"}"#,
        );
        check(crate::session::VoteReply::Again { missing: 1 }, r#"{"result":"again","missing":1}"#);
        check(crate::session::VoteReply::Denied, r#"{"result":"denied"}"#);
        check(
            crate::session::VoteReply::Refused("no".into()),
            r#"{"result":"refused","message":"no"}"#,
        );
        check(crate::session::VoteReply::Unknown, r#"{"result":"unknown"}"#);
    }

    #[test]
    fn a_page_has_the_lines_of_a_text_and_nothing_that_steers() {
        assert_eq!(plain("GET / HTTP/2\r\nA: 1\r\n", true), "GET / HTTP/2\nA: 1\n");
        assert_eq!(plain("a\rb\u{1b}[2J", true), "a\\u{d}b\\u{1b}[2J");
        assert_eq!(plain("a\r\nb", false), "a\\u{d}\\u{a}b");
    }

    #[test]
    fn a_ballot_needs_a_decision_it_knows() {
        let read = |text: &str| serde_json::from_str::<Ballot>(text);
        assert!(read(r#"{"decision":"approve"}"#).is_ok());
        assert!(read(r#"{"decision":"deny","reason":"x"}"#).is_ok());
        assert!(read(r#"{"decision":"yes"}"#).is_err());
        assert!(read(r#"{"reason":"x"}"#).is_err());
        assert!(read(r#"{"decision":"deny","as":"root"}"#).is_err());
    }

    #[test]
    fn ids_are_full_text() {
        let id = SessionId([0x01; 16]);
        assert_eq!(id_text(id), "01010101-0101-0101-0101-010101010101");
        assert_eq!(id_parse(&id_text(id)), Some(id));
        assert_eq!(id_parse("0101"), None);
    }
}
