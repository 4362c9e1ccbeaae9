//! From a request to its permit and receipt, to its refusal, or to the people who are asked.
//!
//! In: verdicts, votes, time. Out: permits with receipts; replies.
//! Never: a permit for a request whose row the journal refused; a release without a recorded
//! approval.

use crate::decide::action::Action;
use crate::decide::approval::{Ask, AskSummary, Ballot, Grant, LATE};
use crate::decide::{HoldTerms, Permit, RuleName, Verdict, http};
use crate::fault::Refused as JournalRefused;
use crate::limits;
use crate::metrics::{self, Presence};
use crate::record::entry::{Decision, Outcome};
use crate::record::{Entry, SessionContext, SessionId};
use crate::session::{ApprovalStep, Output, Stage, Vote, VoteReply, new_id};
use crate::wire::http::Refused;
use crate::wire::http::form::Scan;
use crate::wire::http::reply::{Problem, Reply};
use crate::wire::http::ws::handshake::Asked;

use super::exchange::{Exchange, Held, Request, Then, Up};
use super::pace::Pace;
use super::parked::{self, Found};
use super::progress::Progress;
use super::release::{Unrecorded, claim};
use super::rows::{Ruled, record, summary, unanswered};
use super::rpc::{Calls, Rpc};
use super::tenure::{Tenure, Trouble};
use super::{Phase, Session, bound, cancel, kubernetes, rpc, voice};

/// What the client of a denied request is told.
struct Denial<'d> {
    status: u16,
    kind: &'d str,
    title: &'d str,
    detail: &'d str,
    code: i32,
    retry_after_s: Option<u32>,
    outcome: Outcome,
}

/// Whether the same request under another method, which its content may name, is decided otherwise.
fn goes_by_method(decide: impl Fn(&Action) -> Verdict, action: &Action) -> bool {
    let usual = decide(action);
    let is_alike = |other: &Verdict| match (&usual, other) {
        (Verdict::Allow(..), Verdict::Allow(..)) | (Verdict::Deny(_), Verdict::Deny(_)) => true,
        (Verdict::Hold(one), Verdict::Hold(other)) => {
            one.matched.rule_names() == other.matched.rule_names()
        }
        _ => false,
    };
    let mut others = ["PUT", "PATCH", "DELETE"].into_iter();
    others.any(|method| !is_alike(&decide(&http::under(action, method))))
}

/// How a hold ends without a grant.
pub(super) struct Ending {
    event: &'static str,
    detail: String,
}

impl Session {
    /// Asks the rules about a request that somebody known sends to a known target.
    /// So many bytes at the start of its target, `prefix`, named the target.
    pub(super) fn decide(&mut self, (request, prefix): (Request, usize), stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let opens = request.asks == Asked::Websocket;
        let head = &request.head;
        let speaks_mcp = tenure.speaks_mcp();
        // A server of MCP is one path (Streamable HTTP, "a single HTTP endpoint path"): what is
        // asked for beside it is not understood, so it is of no class that a tool's rule opens.
        let is_beside = speaks_mcp && !tenure.is_endpoint(head, prefix);
        let speaks = speaks_mcp && !is_beside && head.method() == b"POST" && !opens;
        let action = match (speaks || is_beside, speaks_mcp) {
            (true, _) => http::unread(head),
            (false, true) if rpc::is_stream(head) => http::stream(head),
            (false, _) => {
                let exceptions = tenure.http().map(|http| http.exceptions.as_slice());
                http::action(head, opens, exceptions.unwrap_or(&[]))
            }
        };
        // Of JSON-RPC, where the target says so: nothing else is of this class by its head.
        let calls = !speaks_mcp && action.acts.iter().any(|act| act.classes.has(http::Class::Call));
        let is_message = speaks || calls;
        let form = match is_message {
            true => Ok(None),
            false => Scan::of(head),
        };
        // A server that unpacks JSON may find another method in it.
        let who = tenure.who(&self.link, stage);
        let is_packed = matches!(form, Ok(Some(Scan::Packed))) && request.kube.is_none();
        let form = match form {
            _ if is_packed && goes_by_method(|it| tenure.scope().decide(&who, it), &action) => {
                let refused = Trouble::Refused(Refused::ContentForm);
                return self.turn_away(refused, Some(request), stage);
            }
            Ok(form) => form,
            Err(refused) => {
                return self.turn_away(Trouble::Refused(refused), Some(request), stage);
            }
        };
        let mut exchange = Box::new(Exchange::new(request, action, tenure, stage));
        (exchange.prefix, exchange.form) = (prefix, form);
        let checked = match (speaks_mcp, is_message) {
            (true, true) => rpc::check_head(&exchange.request.head),
            (true, false) if is_beside => rpc::check_origin(&exchange.request.head),
            (true, false) => rpc::check_origin(&exchange.request.head)
                .and_then(|()| rpc::check_empty(exchange.request.framing)),
            (false, true) => rpc::check_content(&exchange.request.head),
            (false, false) => Ok(()),
        };
        let checked = checked.and_then(|()| match speaks_mcp {
            true => bound::session(&exchange.request.head, tenure)
                .and_then(|_| bound::event(&exchange.request.head, tenure))
                .map(drop),
            false => Ok(()),
        });
        match checked {
            Err(unread) => self.refuse(exchange, (unread.label, &unread.reply()), stage),
            Ok(()) if is_message => self.gather(exchange, Then::Read, stage),
            Ok(()) => self.judge(exchange, stage),
        }
    }

    /// The content is a message: what it asks for is what the rules are asked about.
    pub(super) fn read_message(&mut self, mut exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        if !self.tenures.get(self.current).is_some_and(Tenure::speaks_mcp) {
            return self.read_calls(exchange, stage);
        }
        match Rpc::read(&exchange.request.head, &exchange.content) {
            Err(unread) => self.refuse(exchange, (unread.label, &unread.reply()), stage),
            Ok(rpc) => {
                let head = &exchange.request.head;
                exchange.action = http::call(head, &exchange.content, &rpc.call);
                exchange.rpc = Some(Box::new(rpc));
                if self.cancels(&exchange) {
                    return self.cancel_call(exchange, stage);
                }
                self.judge(exchange, stage);
            }
        }
    }

    /// The same of JSON-RPC, of which a content may have several.
    fn read_calls(&mut self, mut exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        match Calls::read(&exchange.content) {
            Err(unread) => self.refuse(exchange, (unread.label, &unread.reply()), stage),
            Ok(calls) => {
                let head = &exchange.request.head;
                exchange.action = http::calls(head, &exchange.content, calls.list());
                exchange.calls = Some(Box::new(calls));
                self.judge(exchange, stage);
            }
        }
    }

    /// Asks the rules about what is known of a request now.
    pub(super) fn judge(&mut self, mut exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let who = tenure.who(&self.link, stage);
        let opens = exchange.request.asks == Asked::Websocket && exchange.request.kube.is_none();
        let is_masked = opens && !tenure.masks.is_empty();
        // Its content came while the configuration changed: it runs by today's rules, and is masked
        // by those masks that its tenure has.
        let verdict = match tenure.is_old(stage) {
            true if tenure.changes_masks(&exchange, stage) => {
                return self.turn_away(Trouble::Changed, Some(exchange.request), stage);
            }
            true => stage.snapshot.rules.decide(&who, &exchange.action),
            false => tenure.scope().decide(&who, &exchange.action),
        };
        match verdict {
            Verdict::Allow(..) | Verdict::Hold(_) if is_masked => {
                let problem = voice::unmaskable("masking-websocket");
                let reply = exchange.request.reply(&problem);
                self.refuse(exchange, (problem.kind, &reply), stage);
            }
            Verdict::Allow(permit, matched) => {
                exchange.rule = matched.rule();
                exchange.rules = matched.rule_names();
                self.admit(exchange, permit, stage);
            }
            Verdict::Deny(reason)
                if !reason.rule.is_empty() && self.is_for_path(&exchange, None, stage) =>
            {
                self.unclear(exchange, stage);
            }
            Verdict::Deny(reason) => {
                exchange.rules = reason.matched.rule_names();
                exchange.rule = reason.rule;
                // A rule that denies what is not understood says nothing of it.
                let is_beside = tenure.speaks_mcp()
                    && !tenure.is_endpoint(&exchange.request.head, exchange.prefix);
                let detail = if is_beside { voice::NO_ENDPOINT } else { &*reason.message };
                self.deny(exchange, detail, stage);
            }
            Verdict::Hold(terms) if self.is_for_path(&exchange, Some(&terms), stage) => {
                self.unclear(exchange, stage);
            }
            Verdict::Hold(terms) => {
                exchange.rule = terms.rule();
                exchange.rules = terms.matched.rule_names();
                match kubernetes::before(&exchange, &terms, tenure, stage) {
                    None => {}
                    Some(kubernetes::Before::Denied(id, detail)) => {
                        exchange.approval = Some(id);
                        return self.deny(exchange, &detail, stage);
                    }
                    Some(kubernetes::Before::Granted(grant)) => {
                        return self.join(exchange, &grant, stage);
                    }
                }
                match self.window(&mut exchange, &terms, stage) {
                    Ok(None) => {}
                    Ok(Some(permit)) => return self.admit(exchange, permit, stage),
                    Err(refused) => return self.not_recorded(*exchange, refused, stage),
                }
                match exchange.gathered {
                    true => self.hold(exchange, terms, stage),
                    false => self.gather(exchange, Then::Hold(terms), stage),
                }
            }
        }
    }

    /// Whether rules deny or hold a request only since its path may mean anything.
    fn is_for_path(
        &self,
        exchange: &Exchange,
        held: Option<&HoldTerms>,
        stage: &Stage<'_>,
    ) -> bool {
        let head = &exchange.request.head;
        let Some(tenure) = self.tenures.get(self.current) else { return false };
        if exchange.request.kube.is_some() || http::unclear_path(head).is_none() {
            return false;
        }
        let action = http::without_path(&exchange.action);
        match (tenure.scope().decide(&tenure.who(&self.link, stage), &action), held) {
            (Verdict::Deny(reason), None) => reason.rule.is_empty(),
            (Verdict::Hold(terms), Some(held)) => {
                terms.matched.rule_names() != held.matched.rule_names()
            }
            _ => true,
        }
    }

    /// A request whose path servers read differently, where rules name paths: what it asks for
    /// cannot be said, to people neither.
    fn unclear(&mut self, exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        let label = http::unclear_path(&exchange.request.head).map_or("path", Refused::label);
        let reply = exchange.request.reply(&voice::unclear_path(label));
        self.refuse(exchange, (label, &reply), stage);
    }

    /// A window that is open for a request which rules hold.
    fn window(
        &mut self,
        exchange: &mut Exchange,
        terms: &HoldTerms,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Permit>, JournalRefused> {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return Ok(None) };
        let classes = exchange.action.classes.iter();
        let Some(grant) = stage.snapshot.window(claim(tenure), classes, terms, stage.now) else {
            return Ok(None);
        };
        let words = grant.words();
        let used = ApprovalStep::because("used", &words);
        let entry = used.entry_of(&grant, exchange.seq);
        tenure.ledger.record(&Entry::Approval(entry), stage)?;
        tenure.meter().count(metrics::Counted::Allow);
        exchange.approval = Some(grant.id);
        Ok(Some(grant.permit()))
    }

    /// The same stream in another form: what people said of it counts for this one.
    fn join(&mut self, mut exchange: Box<Exchange>, grant: &Grant, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let joined = ApprovalStep::because("used", "the target took the stream in no other form");
        let entry = joined.entry_of(grant, exchange.seq);
        if let Err(refused) = tenure.ledger.record(&Entry::Approval(entry), stage) {
            return self.not_recorded(*exchange, refused, stage);
        }
        tenure.meter().count(metrics::Counted::Allow);
        exchange.approval = Some(grant.id);
        self.admit(exchange, grant.permit(), stage);
    }

    /// Records a request that may pass, and asks for a connection.
    pub(super) fn admit(
        &mut self,
        mut exchange: Box<Exchange>,
        permit: Permit,
        stage: &mut Stage<'_>,
    ) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let rule = RuleName::clone(&exchange.rule);
        let ruled = Ruled {
            seq: exchange.seq,
            decision: Decision::Allow,
            rule: &rule,
            approval: exchange.approval,
        };
        match record(&exchange, &ruled, tenure, stage) {
            Ok(receipt) => {
                if exchange.approval.is_none() {
                    tenure.meter().count(metrics::Counted::Allow);
                }
                exchange.up = Up::Waiting(permit, receipt);
                self.phase = Phase::Busy(exchange);
                self.lease(true, stage);
            }
            Err(refused) => self.not_recorded(*exchange, refused, stage),
        }
    }

    /// Nothing of what cannot be recorded goes on.
    fn not_recorded(&mut self, exchange: Exchange, refused: JournalRefused, stage: &mut Stage<'_>) {
        if exchange.progress.is_some() {
            let reply = exchange.request.reply(&voice::trouble(Trouble::Record(refused)));
            return self.answer_self(&reply, exchange, stage);
        }
        self.turn_away(Trouble::Record(refused), Some(exchange.request), stage);
    }

    /// Records a request that is denied, and says so.
    pub(super) fn deny(&mut self, exchange: Box<Exchange>, detail: &str, stage: &mut Stage<'_>) {
        let (kind, title, code) = ("denied", "Denied", rpc::DENIED);
        let (retry_after_s, outcome) = (None, Outcome::Denied);
        let denial = Denial { status: 403, kind, title, detail, code, retry_after_s, outcome };
        self.deny_as(exchange, &denial, stage);
    }

    /// Its client waits for it no more: nobody refused it.
    fn taken_back(&mut self, exchange: Box<Exchange>, detail: &str, stage: &mut Stage<'_>) {
        let (kind, title, code) = ("canceled", "Taken back", rpc::DENIED);
        let (retry_after_s, outcome) = (None, Outcome::Abandoned);
        let denial = Denial { status: 403, kind, title, detail, code, retry_after_s, outcome };
        self.deny_as(exchange, &denial, stage);
    }

    fn deny_as(&mut self, mut exchange: Box<Exchange>, denial: &Denial<'_>, stage: &mut Stage<'_>) {
        let detail = denial.detail;
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let rule = RuleName::clone(&exchange.rule);
        let (seq, approval) = (exchange.seq, exchange.approval);
        let decision = match denial.outcome {
            Outcome::Abandoned => Decision::Abandoned,
            _ => Decision::Deny,
        };
        let ruled = Ruled { seq, decision, rule: &rule, approval };
        let instance = format!("{}:{seq}", uuid::Uuid::from_bytes(tenure.ledger.id.0));
        let problem = Problem {
            status: denial.status,
            kind: denial.kind,
            title: denial.title,
            detail,
            instance: Some(&instance),
            rule: (!rule.is_empty()).then_some(&*rule),
            error: "http_request_denied",
            retry_after_s: denial.retry_after_s,
        };
        let reply = voice::instead(&exchange, &problem, denial.code);
        let words = (reply.status, detail);
        // What people are still asked about was denied by nobody: its row says `hold`.
        let outcome = denial.outcome;
        let is_pending = outcome == Outcome::Suspended;
        let recorded = match is_pending {
            true => Ok(()),
            false => record(&exchange, &ruled, tenure, stage).map(drop),
        };
        let recorded =
            recorded.and_then(|()| unanswered(&mut exchange, outcome, words, tenure, stage));
        if let Err(refused) = recorded {
            return self.not_recorded(*exchange, refused, stage);
        }
        tenure.totals.denied += u64::from(outcome == Outcome::Denied);
        if exchange.approval.is_none() {
            tenure.meter().count(metrics::Counted::Deny);
        }
        self.answer_self(&reply, *exchange, stage);
    }

    /// A request that people are asked about is read whole first: they see what will run.
    pub(super) fn gather(
        &mut self,
        mut exchange: Box<Exchange>,
        then: Then,
        stage: &mut Stage<'_>,
    ) {
        let too_long = exchange.request.framing.length();
        let most = exchange.request.held_bytes_max() as u64;
        if too_long.is_some_and(|length| length > most) {
            return self.refuse_large(exchange, stage);
        }
        if exchange.request.expects {
            self.link.go_on();
        }
        let (body, trailers) = exchange.request.body();
        exchange.up = Up::Gathering { body, trailers, then };
        exchange.pace = Pace::from(stage.now.mono_us);
        exchange.deadline_us = stage.now.mono_us + exchange.piece_us();
        self.phase = Phase::Busy(exchange);
    }

    /// A request that cannot be shown, or read, whole is denied.
    pub(super) fn refuse_large(&mut self, exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        let is_long = !exchange.gathered;
        let is_message = is_long
            && self.tenures.get(self.current).is_some_and(Tenure::speaks_mcp)
            && exchange.request.head.method() == b"POST";
        let problem = match exchange.request.kube {
            Some(_) if is_long => voice::too_long(),
            _ => voice::too_large(),
        };
        let reply = match is_message {
            true => rpc::too_long().reply(),
            false => exchange.request.reply(&problem),
        };
        self.refuse(exchange, ("too large", &reply), stage);
    }

    /// A request that is denied for what it is, whatever the rules say.
    pub(super) fn refuse(
        &mut self,
        mut exchange: Box<Exchange>,
        (label, reply): (&'static str, &Reply),
        stage: &mut Stage<'_>,
    ) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let rule = RuleName::clone(&exchange.rule);
        let seq = exchange.seq;
        let ruled = Ruled { seq, decision: Decision::Deny, rule: &rule, approval: None };
        let words = (reply.status, label);
        let recorded = record(&exchange, &ruled, tenure, stage)
            .and_then(|_| unanswered(&mut exchange, Outcome::Denied, words, tenure, stage));
        match recorded {
            Ok(_) => {
                tenure.totals.denied += 1;
                tenure.meter().count(metrics::Counted::Deny);
                self.answer_self(reply, *exchange, stage);
            }
            Err(refused) => self.not_recorded(*exchange, refused, stage),
        }
    }

    /// All of the content is there: people are asked.
    pub(super) fn hold(
        &mut self,
        mut exchange: Box<Exchange>,
        terms: HoldTerms,
        stage: &mut Stage<'_>,
    ) {
        self.sweep(stage);
        if !exchange.is_readable() {
            let reply = exchange.request.reply(&voice::unreadable());
            return self.refuse(exchange, ("held-content", &reply), stage);
        }
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let key = parked::key(&exchange, tenure);
        match parked::take(&key) {
            None => {}
            Some(Found::Waiting(ask, summary, context)) => {
                return self.wait(exchange, (*ask, *summary, key), Some(context), stage);
            }
            Some(Found::Granted(_, grant)) if !stage.snapshot.renewed(&grant).satisfies(&terms) => {
                let grant = stage.snapshot.renewed(&grant);
                if let Err(refused) = self.lapse(&exchange, &grant, &terms, stage) {
                    return self.not_recorded(*exchange, refused, stage);
                }
            }
            Some(Found::Granted(id, grant)) => {
                exchange.approval = Some(id);
                let permit = grant.permit();
                exchange.grant = Some(Box::new(grant));
                return self.admit(exchange, permit, stage);
            }
            Some(Found::Denied(id, detail)) => {
                exchange.approval = Some(id);
                return self.deny(exchange, &detail, stage);
            }
        }
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let id = new_id(stage.now, stage.random);
        let ask = Ask::open(id, terms, &tenure.identity.user, stage.now);
        let asked = summary(&exchange, &ask, tenure, stage);
        if !asked.can_be_shown() {
            return self.refuse_large(exchange, stage);
        }
        self.wait(exchange, (ask, asked, key), None, stage);
    }

    /// The client waits while people are asked; an ask of before, of a session of this context, is
    /// joined.
    fn wait(
        &mut self,
        mut exchange: Box<Exchange>,
        (ask, asked, key): (Ask, AskSummary, parked::Key),
        from: Option<Box<SessionContext>>,
        stage: &mut Stage<'_>,
    ) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let counted = Presence::new(tenure.meter().clone(), |it| &it.held);
        let (id, seq, shown) = (ask.id, exchange.seq, asked.digest());
        let is_new = (asked.session_id, asked.command_seq) == (tenure.ledger.id, seq);
        exchange.approval = Some(id);
        let per_identity = stage.snapshot.settings.approvals.per_identity;
        let place = match stage.room.asks.enter(&asked, per_identity, stage.now) {
            Ok(place) => place,
            Err(crowded) => {
                exchange.approval = (!is_new).then_some(id);
                self.link.output(Output::AskClosed(id, "refused"));
                return self.deny(exchange, crowded.words().0, stage);
            }
        };
        let client = self.link.accepted.client_addr;
        let call = exchange.rpc.as_deref();
        let call = call.and_then(|rpc| cancel::Call::of(rpc, &exchange, tenure)?.wait(id, client));
        let summary = asked.clone();
        let context = from.unwrap_or_else(|| Box::new(tenure.context(&self.link)));
        let _counted = counted;
        let held = Held { ask, seq, shown, summary, context, key, place, call, _counted };
        let rule = RuleName::clone(&exchange.rule);
        let ruled = Ruled { seq, decision: Decision::Hold, rule: &rule, approval: Some(id) };
        let recorded = record(&exchange, &ruled, tenure, stage).and_then(|_| match is_new {
            true => step(&held, &ApprovalStep::of("requested"), tenure, stage),
            false => Ok(()),
        });
        if let Err(refused) = recorded {
            if !is_new {
                self.link.output(Output::AskClosed(id, "canceled"));
            }
            return self.not_recorded(*exchange, refused, stage);
        }
        if is_new {
            tenure.meter().count(metrics::Counted::Hold);
        }
        let left_us = u64::try_from(asked.expires_at_us - stage.now.wall_us).unwrap_or(0);
        let wait_us = tenure.http().map_or(limits::HTTP_HOLD_WAIT_US, |http| http.wait_us);
        let until_us = |wait_us| stage.now.mono_us.saturating_add(left_us.min(wait_us));
        let patience_us = exchange.patience_us().unwrap_or(u64::MAX);
        exchange.deadline_us = until_us(wait_us).min(patience_us);
        let (words, uuid) = (held.ask.terms.words(), uuid::Uuid::from_bytes(id.0));
        let said = format!("waits for the approval of {words} (approval {uuid})");
        let wait = (stage.now.mono_us, until_us(wait_us.max(limits::MCP_PROGRESS_WAIT_US)));
        let progress = Progress::of(&exchange, said, wait);
        let is_told = progress.is_some();
        exchange.progress = progress.map(Box::new);
        self.link.output(Output::AskOpened(Box::new(asked)));
        exchange.up = Up::Held(Box::new(held));
        self.phase = Phase::Busy(exchange);
        if is_told {
            self.begin_progress(stage);
        }
    }

    /// The client has waited for as long as it should.
    pub(super) fn hold_overdue(&mut self, stage: &mut Stage<'_>) {
        if self.cancelled_hold(stage) {
            return;
        }
        if self.progress_due(stage) {
            return;
        }
        let Phase::Busy(exchange) = &self.phase else { return };
        let Up::Held(held) = &exchange.up else { return };
        match held.summary.expires_at_us <= stage.now.wall_us {
            true => self.expire_hold(stage),
            false => self.answer_pending(stage),
        }
    }

    /// People are still asked: the client is told to send the same request again.
    fn answer_pending(&mut self, stage: &mut Stage<'_>) {
        let Some((exchange, held)) = self.take_held() else { return };
        let Held { ask, summary, context, key, .. } = *held;
        let (own, words, asked) = (ask.id, ask.terms.words(), summary.clone());
        let about = (summary, context);
        let joined = match parked::park((key, stage.snapshot.mock_seed), ask, about) {
            Ok(joined) => joined,
            Err(parked::Full) => {
                self.cancel_ask(&asked, "too many wait", stage);
                let detail = "too many requests wait for people; ask again later";
                return self.deny(exchange, detail, stage);
            }
        };
        if joined != own {
            // People answer one question once.
            self.cancel_ask(&asked, "the same request waits already", stage);
        }
        let id = uuid::Uuid::from_bytes(joined.0);
        let detail = format!(
            "this waits for the approval of {words} (approval {id}): send the same request again"
        );
        // A call whose client waits no longer: DEADLINE_EXCEEDED, not a denial.
        let is_late = exchange.patience_us().is_some_and(|until_us| until_us <= stage.now.mono_us);
        let denial = Denial {
            status: if is_late { 504 } else { 403 },
            kind: "approval-pending",
            title: "Approval pending",
            detail: &detail,
            code: rpc::PENDING,
            retry_after_s: Some(limits::HTTP_RETRY_AFTER_S),
            outcome: Outcome::Suspended,
        };
        self.deny_as(exchange, &denial, stage);
    }

    /// An ask that nobody will answer.
    fn cancel_ask(&mut self, asked: &AskSummary, why: &'static str, stage: &mut Stage<'_>) {
        self.link.output(Output::AskClosed(asked.id, "canceled"));
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let (about, digest) = ((asked.id, asked.command_seq), asked.digest());
        let step = ApprovalStep::because("canceled", why);
        let step = step.about(about, (asked.quorum, asked.expires_at_us), Some(&digest));
        // A journal that refuses says so itself; nothing runs by an ask that is over.
        let _refused_elsewhere = tenure.ledger.record(&Entry::Approval(step), stage);
    }

    /// The request that waits for people, taken out of its place.
    fn take_held(&mut self) -> Option<(Box<Exchange>, Box<Held>)> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Busy(mut exchange) => match std::mem::replace(&mut exchange.up, Up::Never) {
                Up::Held(held) => Some((exchange, held)),
                up => {
                    exchange.up = up;
                    self.phase = Phase::Busy(exchange);
                    None
                }
            },
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// It goes on waiting, after this reply to a vote.
    fn put_held(&mut self, mut it: Box<Exchange>, held: Box<Held>, reply: VoteReply) -> VoteReply {
        it.up = Up::Held(held);
        self.phase = Phase::Busy(it);
        reply
    }

    /// One approver's word.
    pub(super) fn vote(&mut self, id: SessionId, vote: &Vote, stage: &mut Stage<'_>) -> VoteReply {
        if self.cancelled_hold(stage) {
            return VoteReply::Unknown;
        }
        let Some((exchange, mut held)) = self.take_held() else { return VoteReply::Unknown };
        let Some(tenure) = self.tenures.get_mut(self.current).filter(|_| held.ask.id == id) else {
            return self.put_held(exchange, held, VoteReply::Unknown);
        };
        if vote.digest.is_some_and(|digest| digest != held.shown) {
            let why = "the vote is not about the request that waits".to_owned();
            return self.put_held(exchange, held, VoteReply::Refused(why));
        }
        let ballot = held.ask.vote(vote, stage.now);
        let recorded = match ballot.step() {
            None => Ok(()),
            Some(event) => step(&held, &ApprovalStep::vote(event, vote), tenure, stage),
        };
        if let Err(refused) = recorded {
            self.link.output(Output::AskClosed(id, "canceled"));
            self.not_recorded(*exchange, refused, stage);
            return VoteReply::Refused("the vote could not be recorded".into());
        }
        match ballot {
            Ballot::Refused(why) => {
                self.put_held(exchange, held, VoteReply::Refused(why.to_owned()))
            }
            Ballot::Counted { missing } => {
                self.put_held(exchange, held, VoteReply::Counted { missing })
            }
            Ballot::Again { missing } => {
                self.put_held(exchange, held, VoteReply::Again { missing })
            }
            Ballot::Late => {
                let detail = "nobody approved this request in time".to_owned();
                self.end_hold(exchange, &held, Ending { event: "expired", detail }, stage);
                VoteReply::Refused(LATE.to_owned())
            }
            Ballot::Granted(grant) => match self.granted(exchange, &held, &grant, stage) {
                Ok(None) => VoteReply::Counted { missing: 0 },
                Ok(Some(next)) => VoteReply::Settled(next),
                Err(Unrecorded(exchange, refused)) => {
                    self.not_recorded(*exchange, refused, stage);
                    VoteReply::Refused("the vote could not be recorded".into())
                }
            },
            Ballot::Denied => {
                held.place.denied(stage.now);
                let detail = format!("denied by {}: {}", vote.approver, vote.reason);
                self.end_hold(exchange, &held, Ending { event: "denied", detail }, stage);
                VoteReply::Denied
            }
        }
    }

    /// Nobody answered in time.
    pub(super) fn expire_hold(&mut self, stage: &mut Stage<'_>) {
        let Some((exchange, held)) = self.take_held() else { return };
        let detail = "nobody approved this request in time".to_owned();
        self.end_hold(exchange, &held, Ending { event: "expired", detail }, stage);
    }

    /// Its client has taken it back.
    pub(super) fn abandon_hold(&mut self, why: &str, stage: &mut Stage<'_>) {
        let Some((exchange, held)) = self.take_held() else { return };
        let ending = Ending { event: "abandoned", detail: why.to_owned() };
        self.end_hold(exchange, &held, ending, stage);
    }

    fn end_hold(
        &mut self,
        exchange: Box<Exchange>,
        held: &Held,
        ending: Ending,
        stage: &mut Stage<'_>,
    ) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let recorded = step(held, &ApprovalStep::of(ending.event), tenure, stage);
        self.link.output(Output::AskClosed(held.ask.id, ending.event));
        kubernetes::denied(&exchange, &ending.detail, tenure, stage.now);
        match recorded {
            Ok(()) if ending.event == "abandoned" => {
                self.taken_back(exchange, &ending.detail, stage);
            }
            Ok(()) => self.deny(exchange, &ending.detail, stage),
            Err(refused) => self.not_recorded(*exchange, refused, stage),
        }
    }

    /// The connection ends while people are asked: nobody waits any more.
    pub(super) fn cancel_hold(&mut self, exchange: &mut Exchange, stage: &mut Stage<'_>) {
        let Up::Held(held) = std::mem::replace(&mut exchange.up, Up::Never) else { return };
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        // A journal that refuses says so itself; the connection ends all the same.
        let left = ApprovalStep::because("abandoned", "the connection ended");
        let _refused_elsewhere = step(&held, &left, tenure, stage);
        self.link.output(Output::AskClosed(held.ask.id, "abandoned"));
        let rule = RuleName::clone(&exchange.rule);
        let ruled = Ruled {
            seq: held.seq,
            decision: Decision::Abandoned,
            rule: &rule,
            approval: Some(held.ask.id),
        };
        let words = (0, "the client left while its request waited");
        let _refused_elsewhere = record(exchange, &ruled, tenure, stage)
            .and_then(|_| unanswered(exchange, Outcome::Abandoned, words, tenure, stage));
    }
}

pub(super) fn step(
    held: &Held,
    step: &ApprovalStep<'_>,
    tenure: &mut Tenure,
    stage: &mut Stage<'_>,
) -> Result<(), JournalRefused> {
    let entry = step.entry(&held.ask, held.seq, Some(&held.shown));
    tenure.ledger.record(&Entry::Approval(entry), stage).map(drop)
}
