//! From a command to its permit and receipt, or to its refusal in the right place.
//!
//! In: verdicts, approvals, what the record says. Out: permits with receipts; refusals.
//! Never: a permit for a command whose row the journal refused.

use crate::decide::{Action, Classified, HoldTerms, Matched, Permit, RuleName, Verdict};
use crate::fault::{Fault, FaultKind, Limit, Refused};
use crate::metrics;
use crate::record::entry::{Command, CommandExtra, Decision, Outcome, Params};
use crate::record::{Entry, Receipt, SessionId};
use crate::session::postgres::state::{Approved, Issued};
use crate::wire::Side;
use crate::wire::postgres::frame::Step;
use crate::wire::postgres::reply::{self, Report};

use super::beliefs::Message;
use super::ready::{Body, Flow, Ready, Resolution};
use super::release::Passage;
use crate::session::Stage;
use crate::session::capture::unanswered;
use crate::session::postgres::core::Office;

/// What the rules and the approvals say to one message.
pub(super) enum Ruling {
    Go(Permit, Matched),
    Refuse(Refusal),
    Hold(HoldTerms),
}

/// Why a command is not forwarded, as the client reads it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// One sentence.
    pub message: String,
    /// What to do, or which rule it was.
    pub hint: String,
    /// The rule, for the record.
    pub rule: RuleName,
    /// All rules that matched, where rules were asked.
    pub matched: Option<Box<Matched>>,
}

impl Refusal {
    pub(super) fn limit(kind: Limit) -> Refusal {
        Refusal::of(FaultKind::Limit(kind))
    }

    pub(super) fn of(kind: FaultKind) -> Refusal {
        let (sqlstate, message, hint) = reply::words(&Fault::new(Side::Client, kind));
        let (message, hint) = (message.into(), hint.into());
        Refusal { sqlstate, message, hint, rule: "".into(), matched: None }
    }

    /// The target would not keep a name as it is.
    pub(super) fn name() -> Refusal {
        Refusal {
            sqlstate: "42602",
            message: "weir takes names of statements and portals of up to 63 ASCII characters"
                .into(),
            hint: "PostgreSQL cuts longer ones, and others depend on the encoding.".into(),
            rule: "".into(),
            matched: None,
        }
    }

    pub(super) fn mask(message: String) -> Refusal {
        Refusal {
            sqlstate: "42501",
            message,
            hint: "Columns of this target are masked for you.".into(),
            rule: "mask".into(),
            matched: None,
        }
    }

    /// A relation is not there, as the target would say.
    pub(super) fn missing(message: String) -> Refusal {
        let hint = "weir has just read the names of this target's relations.".into();
        Refusal { sqlstate: "42P01", hint, ..Refusal::mask(message) }
    }

    fn error(&self) -> Vec<u8> {
        let mut error = Vec::new();
        let report = Report {
            severity: "ERROR",
            sqlstate: self.sqlstate,
            message: &self.message,
            hint: &self.hint,
            ..Report::default()
        };
        reply::error(&mut error, &report);
        error
    }
}

/// Which kind of message is refused: what stands in for it, and what follows, differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Query, FunctionCall or Sync: answered by an error and ReadyForQuery.
    Simple,
    /// Parse, Bind or Execute: an error, then nothing until Sync.
    Pipeline,
}

/// Whether a refusal of this message is followed by ReadyForQuery of its own.
fn place_of(frame: &[u8]) -> Place {
    match frame.first() {
        Some(b'Q' | b'F' | b'S') => Place::Simple,
        _ => Place::Pipeline,
    }
}

/// What takes the place of a refused message.
#[derive(Debug)]
pub struct StandIn {
    place: Place,
    /// Of the command, if it is recorded.
    seq: Option<u64>,
    /// The answer.
    error: Vec<u8>,
}

/// A command as it goes into the record.
pub(super) struct Facts<'c> {
    pub kind: &'static str,
    pub text: &'c [u8],
    /// Encoding of the text as the target names it; empty where it is UTF-8 or ASCII.
    pub encoding: &'c str,
    pub classified: &'c Classified,
    pub params: Option<Params<'c>>,
    pub statement: &'c str,
    /// The message that carries it.
    pub frame: &'c [u8],
    /// The texts that names in it stand for: of EXECUTE and FETCH.
    pub meaning: Option<&'c str>,
}

/// How a command is written down.
pub(super) struct Ruled<'r> {
    pub seq: u64,
    pub decision: Decision,
    pub rule: &'r RuleName,
    /// All rules that matched, where rules were asked.
    pub matched: Option<&'r Matched>,
    pub approval_id: Option<SessionId>,
}

impl<'r> Ruled<'r> {
    /// A command that goes on.
    pub(super) fn allowed(
        seq: u64,
        (rule, matched): (&'r RuleName, &'r Matched),
        approval_id: Option<SessionId>,
    ) -> Ruled<'r> {
        Ruled { seq, decision: Decision::Allow, rule, matched: Some(matched), approval_id }
    }
}

impl Ready {
    /// The approval of the message handled now, with the `seq` it was given.
    pub(super) fn take_grant(&mut self) -> Option<(Approved, u64)> {
        match self.resolved.take() {
            Some((Resolution::Granted(approved), seq)) => Some((approved, seq)),
            other => {
                self.resolved = other;
                None
            }
        }
    }

    pub(super) fn rule(&self, action: &Action, core: &mut Office, stage: &Stage<'_>) -> Ruling {
        if let Some((Resolution::Refused(refusal, _) | Resolution::Abandoned(refusal, _), _)) =
            &self.resolved
        {
            return Ruling::Refuse(refusal.clone());
        }
        let who = self.link.who(core, stage);
        let reaching = self.reaching(action, stage);
        let action = reaching.as_ref().unwrap_or(action);
        let verdict = self.link.scope.decide(&who, action);
        // An allowance has to mean all that a name may stand for.
        let verdict = match (verdict, self.placed(action, stage)) {
            (Verdict::Allow(..), Some(placed)) => self.link.scope.decide(&who, &placed),
            (verdict, _) => verdict,
        };
        let mut ruling = self.to_ruling(verdict);
        if let Ruling::Refuse(refusal) = &mut ruling
            && refusal.hint.is_empty()
        {
            refusal.hint = because(action);
        }
        core.end_decision(match ruling {
            Ruling::Go(..) => metrics::Counted::Allow,
            Ruling::Refuse(_) => metrics::Counted::Deny,
            Ruling::Hold(_) => metrics::Counted::Hold,
        });
        ruling
    }

    pub(super) fn to_ruling(&self, verdict: Verdict) -> Ruling {
        match verdict {
            Verdict::Allow(permit, matched) => Ruling::Go(permit, matched),
            Verdict::Hold(terms) => Ruling::Hold(terms),
            Verdict::Deny(reason) => Ruling::Refuse(Refusal {
                sqlstate: "42501",
                hint: if !self.beliefs.reads_alike() {
                    UNREAD.into()
                } else if reason.rule.is_empty() {
                    String::new()
                } else {
                    format!("Denied by the rule \"{}\" of weir.", reason.rule)
                },
                message: reason.message,
                rule: reason.rule,
                matched: Some(Box::new(reason.matched)),
            }),
        }
    }

    /// Records and permits a command of the simple protocol, or refuses or holds it.
    pub(super) fn admit(
        &mut self,
        ruling: Ruling,
        facts: &Facts<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<(Permit, Receipt, Issued)>, Fault> {
        let Some(passage) = self.passage(ruling, facts, core, stage)? else { return Ok(None) };
        let Passage { permit, rule, matched, approved, seq: reserved } = passage;
        let approval = approved.map(|approved| approved.grant.id);
        let seq = reserved.unwrap_or_else(|| core.take_seq());
        let ruled = Ruled::allowed(seq, (&rule, &matched), approval);
        match record_command(facts, &ruled, core, stage) {
            Ok(receipt) => {
                self.last_seq = seq;
                let issued = Issued { seq, at_us: stage.now.mono_us, held: approval.is_some() };
                Ok(Some((permit, receipt, issued)))
            }
            Err(refused) => {
                self.refuse(facts.frame, None, &refused_record(refused), core);
                Ok(None)
            }
        }
    }

    /// Records a denied command, or one that nobody waits for any more, and refuses it.
    pub(super) fn deny(
        &mut self,
        refusal: Refusal,
        facts: &Facts<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let resolved = self.resolved.take();
        let approval_id = resolved.as_ref().and_then(|(it, _)| it.approval_id());
        let (decision, outcome) = match resolved {
            Some((Resolution::Abandoned(..), _)) => (Decision::Abandoned, Outcome::Abandoned),
            _ => (Decision::Deny, Outcome::Denied),
        };
        core.totals.denied += u64::from(decision == Decision::Deny);
        let reserved = resolved.map(|(_, seq)| seq);
        if reserved.is_none() {
            core.count(metrics::Counted::Deny);
        }
        let seq = reserved.unwrap_or_else(|| core.take_seq());
        let ruled = Ruled {
            seq,
            decision,
            rule: &refusal.rule,
            matched: refusal.matched.as_deref(),
            approval_id,
        };
        let recorded = record_command(facts, &ruled, core, stage).and_then(|_| {
            let words = (refusal.sqlstate, refusal.message.as_str());
            unanswered(seq, outcome, words, core, stage)
        });
        match recorded {
            Ok(_) => self.refuse(facts.frame, Some(seq), &refusal, core),
            Err(refused) => {
                self.refuse(facts.frame, None, &refused_record(refused), core);
            }
        }
        Ok(())
    }

    /// Refuses the command of `frame`: once it is whole, the target gets what fails in its place.
    pub(super) fn refuse(
        &mut self,
        frame: &[u8],
        seq: Option<u64>,
        refusal: &Refusal,
        core: &mut Office,
    ) {
        self.resolved = None;
        self.turned_down = true;
        let stand_in = StandIn { place: place_of(frame), seq, error: refusal.error() };
        if Step::is_whole(frame) {
            self.stand_in(stand_in, core);
        } else {
            self.body = Body::Refused(Box::new(stand_in));
        }
    }

    /// Sends the target what fails in the refused command's place, and remembers what to say.
    pub(super) fn stand_in(&mut self, stand_in: StandIn, core: &mut Office) {
        let mut message = Vec::new();
        let sent = match stand_in.place {
            Place::Simple => {
                reply::refused_query(&mut message);
                Message::RefusedSimple(stand_in.seq, stand_in.error)
            }
            Place::Pipeline => {
                reply::refused_parse(&mut message);
                self.flow = Flow::SkipToSync;
                Message::RefusedInPipeline(stand_in.seq, stand_in.error)
            }
        };
        self.beliefs.sent(sent);
        core.server.say(&message);
    }
}

/// Which names gave a command its classes: no text says that of a cast that happens by itself.
fn because(action: &Action) -> String {
    let mut causes = action.acts.iter().flat_map(|act| &act.causes).peekable();
    if causes.peek().is_none() {
        return String::new();
    }
    let named = causes.by_ref().take(CAUSES_MAX);
    let named = named.map(|it| format!("{}: {}", it.name, it.classes.words(action.protocol)));
    let named = named.collect::<Vec<_>>().join("; ");
    let more = if causes.peek().is_some() { "; .." } else { "" };
    format!("What gave it its classes: {named}{more}.")
}

/// Names in a hint.
const CAUSES_MAX: usize = 4;

/// Why every command of a session is of class `unknown`.
const UNREAD: &str = "With this client_encoding, or with standard_conforming_strings off, weir \
                      cannot read commands, so each is of class `unknown`. Use UTF8 and leave the \
                      other one on.";

/// Writes the command's row.
pub(super) fn record_command(
    facts: &Facts<'_>,
    ruled: &Ruled<'_>,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<Receipt, Refused> {
    // Nearly every command is matched by one rule, which is in its row already.
    let alone = ruled.matched.is_some_and(Matched::is_alone);
    let several = ruled.matched.filter(|_| !alone).map(Matched::rule_names).unwrap_or_default();
    let extra = CommandExtra {
        rules: several.as_slice(),
        alone,
        policy_version: ruled.matched.map_or("", Matched::policy_version),
        text_encoding: facts.encoding,
        ..CommandExtra::default()
    };
    let command = Command {
        kind: facts.kind,
        text: facts.text,
        operation: &facts.classified.action.operation,
        classes: &facts.classified.action.classes,
        objects: &facts.classified.action.objects,
        params: facts.params,
        statement: facts.statement,
        decision: ruled.decision,
        rule: ruled.rule,
        approval_id: ruled.approval_id,
        extra,
    };
    let receipt = core.record_at(ruled.seq, &Entry::Command(command), stage)?;
    if ruled.decision != Decision::Hold {
        core.totals.commands += 1;
    }
    match ruled.decision {
        Decision::Hold => core.count(metrics::Counted::Hold),
        Decision::Allow if ruled.approval_id.is_none() => core.count(metrics::Counted::Allow),
        // Counted when it was held, or by `deny`, which knows whether it was.
        _ => {}
    }
    Ok(receipt)
}

pub(super) fn refused_record(refused: Refused) -> Refusal {
    Refusal::of(FaultKind::Record(refused))
}
