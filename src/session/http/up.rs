//! A request on its way: from its head to the target, or to a reply of weir's own.
//!
//! In: heads, content, connections. Out: bytes for a leg; replies.
//! Never: content that leaves before its chunk; a request sent twice that may run twice.

use std::sync::Arc;

use crate::config::settings::{self, Speaks};
use crate::decide::http::{Part, vouched};
use crate::decide::{Action, Permit};
use crate::fault::{Fault, FaultKind, Login, Target};
use crate::forward::dial::Dial;
use crate::limits;
use crate::mask::Hits;
use crate::record::entry::{Event as Noted, Outcome};
use crate::session::{After, Lease, Leased, Output, Refresh, Reuse, Stage, TlsFacts};
use crate::wire::http::Refused;
use crate::wire::http::form::Scan;
use crate::wire::http::h1::write::Onward;
use crate::wire::http::h1::{Body, Framing, Piece, write};
use crate::wire::http::head::{Head, Version};
use crate::wire::http::pass::Pass;
use crate::wire::http::reply::{Manner, Problem, Reply};
use crate::wire::http::ws::handshake::Asked;
use crate::wire::{End, LegId, Protocol, Side};

use super::back::{self, Back};
use super::exchange::{Down, Exchange, Request, Then, Told, Up};
use super::identity::{Unknown, by_protocol};
use super::kept::Kept;
use super::pace::Pace;
use super::tenure::{Tenure, Trouble};
use super::two::Two;
use super::veil::Veil;
use super::{Phase, Session, bound, foreign, masked, metadata, rpc, voice};
use crate::identify::Identity;

impl Request {
    /// What reads its content.
    pub fn body(&self) -> (Body, Head) {
        let body = match (self.head.version(), self.framing) {
            // Frames say where it ends.
            (Version::Http2, Framing::Chunked) => Body::UntilClose,
            (_, framing) => Body::new(framing),
        };
        (body, Head::default())
    }
}

impl Exchange {
    /// A request that was not decided yet.
    pub fn new(
        request: Request,
        action: Action,
        tenure: &mut Tenure,
        stage: &Stage<'_>,
    ) -> Exchange {
        let limit = tenure.capture_bytes();
        let seq = tenure.ledger.take_seq();
        Exchange {
            request,
            action,
            seq,
            at_us: stage.now.mono_us,
            approval: None,
            grant: None,
            rule: "".into(),
            rules: Vec::new(),
            up: Up::Never,
            down: Down::Silent,
            told: Told::default(),
            gathered: false,
            content: Vec::new(),
            copy: Some(Vec::new()),
            room: None,
            form: None,
            rpc: None,
            calls: None,
            prefix: 0,
            due: None,
            veil: Veil::new(&tenure.secrets),
            lens: None,
            ids: None,
            hits: Hits::default(),
            progress: None,
            events: None,
            lines: None,
            sent: Kept::new(seq, 0, limit),
            answered: Kept::new(seq, 1, limit),
            streams: None,
            back: None,
            again: false,
            pace: Pace::default(),
            deadline_us: u64::MAX,
        }
    }

    /// Whether nothing more of the request is to come.
    pub fn is_whole(&self) -> bool {
        match self.up {
            Up::Sent | Up::Held(_) => true,
            Up::Waiting(..) => self.request.framing == Framing::None || self.at_hand().is_some(),
            _ => false,
        }
    }
}

impl Session {
    /// A head was read: who sends it, to which target, and may it pass.
    pub(super) fn begin(&mut self, head: Head, stage: &mut Stage<'_>) {
        let mut request = match Request::check(head, self.link.is_whole()) {
            Ok(request) => request,
            Err((_, refused)) => return self.turn_away(Trouble::Refused(refused), None, stage),
        };
        self.link.closing |= request.closes();
        if request.is_loop() {
            let reply = voice::is_loop().reply(Manner::of(&request.head));
            return self.reply_only(&reply, request, stage);
        }
        if self.link.is_for_another(&request.head) {
            return self.turn_away(Trouble::Refused(Refused::Misdirected), Some(request), stage);
        }
        if let Some(reply) = metadata::of(&request.head, &self.link, stage) {
            return self.reply_only(&reply, request, stage);
        }
        let token = super::kubernetes::token(&request.head, stage);
        let known = match &token {
            None => self.proven.identify(&request.head, &self.link, stage),
            Some(Some(token)) => by_protocol(token, &request.head, &self.link, stage),
            Some(None) => Err(Unknown::Wrong),
        };
        let identity = match known {
            Ok(identity) => identity,
            Err(unknown) => return self.challenge(unknown, request, stage),
        };
        // A token goes no further, neither to the target nor into the record.
        if token.is_some()
            && let Err(refused) = super::kubernetes::without_token(&mut request.head)
        {
            return self.turn_away(Trouble::Refused(refused), Some(request), stage);
        }
        let Some((target, prefix)) = target_of(&request.head, stage) else {
            return self.turn_away(Trouble::Login(Login::UnknownTarget), Some(request), stage);
        };
        if token.is_none() && foreign::is_at(&request, target, stage) {
            return self.turn_away(Trouble::Refused(Refused::Foreign), Some(request), stage);
        }
        match self.take_tenure(identity, target, stage) {
            Ok(index) => self.current = index,
            Err(trouble) => return self.turn_away(trouble, Some(request), stage),
        }
        if let Err(refused) = self.check_onward(&request.head, prefix) {
            return self.turn_away(Trouble::Refused(refused), Some(request), stage);
        }
        let speaks_two = self.tenures.get(self.current).and_then(Tenure::http);
        let speaks_two = speaks_two.is_some_and(|http| http.speaks_two);
        if request.asks == Asked::Websocket && (speaks_two || self.link.is_many()) {
            return self.turn_away(Trouble::Refused(Refused::Protocol), Some(request), stage);
        }
        if Manner::of(&request.head) == Manner::Grpc && !speaks_two {
            // Its answers end in trailers that HTTP/1.1 need not carry.
            let attrs = serde_json::json!({ "reason": "grpc" }).to_string();
            self.note_refused("a call of gRPC, which weir does not carry", &attrs, stage);
            let reply = voice::no_grpc().reply(Manner::Grpc);
            return self.reply_only(&reply, request, stage);
        }
        let settings = stage.snapshot.settings.targets.get(target);
        if settings.is_some_and(|target| target.protocol == Protocol::Kubernetes) {
            return self.begin_kubernetes((request, prefix), stage);
        }
        if request.asks == Asked::Spdy {
            let refused = Trouble::Refused(crate::wire::http::Refused::Upgrade);
            return self.turn_away(refused, Some(request), stage);
        }
        self.decide((request, prefix), stage);
    }

    /// The tenure of this identity at this target.
    fn take_tenure(
        &mut self,
        identity: Identity,
        target: usize,
        stage: &mut Stage<'_>,
    ) -> Result<usize, Trouble> {
        if let Some(index) = self.tenures.find(|it| it.is(&identity, target, stage.snapshot)) {
            return Ok(index);
        }
        let is_busy = |index| self.lanes.iter().any(|lane| lane.current == index);
        if let Some(tenure) = self.tenures.make_room(is_busy) {
            tenure.end("replaced", stage);
        }
        let tenure = Tenure::open(identity, target, &mut self.link, stage)?;
        Ok(self.tenures.add(tenure))
    }

    /// Nobody is known: the client is told how to say who it is.
    fn challenge(&mut self, unknown: Unknown, request: Request, stage: &mut Stage<'_>) {
        if unknown != Unknown::Missing {
            let (message, attrs) = unknown.noted(&request.head);
            let event = Noted { event: "login-failed", severity: "warn", message, attrs: &attrs };
            self.link.event(&event, stage);
        }
        if let Unknown::Keys(index, _) = unknown
            && let Some(issuer) = stage.snapshot.settings.issuers.get(index)
        {
            // The client asks again; by then its issuer's newer keys may be there.
            self.link.output(Output::Refresh(Refresh::Keys(issuer.policy.issuer.clone())));
        }
        let issuers = self.link.tls.is_some() && !stage.snapshot.settings.issuers.is_empty();
        let takes_tokens = issuers || !stage.snapshot.tokens.is_empty();
        let place = metadata::place(&request.head, &self.link, stage);
        let terms = (takes_tokens, place.as_deref());
        let reply = voice::unknown(unknown, Manner::of(&request.head), terms);
        self.reply_only(&reply, request, stage);
    }

    /// Says that a request cannot go on. Behind what could not be read nothing is trusted.
    pub(super) fn turn_away(
        &mut self,
        trouble: Trouble,
        request: Option<Request>,
        stage: &mut Stage<'_>,
    ) {
        let label = match trouble {
            Trouble::Refused(refused) => refused.label(),
            Trouble::Login(_) => "no-access",
            Trouble::Record(_) => "not-recordable",
            Trouble::Masking(label) => label,
            Trouble::Room => "no-room",
            Trouble::Changed => "policy-changed",
            Trouble::Target(_) => "target",
        };
        if !matches!(trouble, Trouble::Record(_)) {
            let attrs = serde_json::json!({ "reason": label }).to_string();
            self.note_refused("a request was refused before it was decided", &attrs, stage);
        }
        let problem = voice::trouble(trouble);
        match request {
            Some(request) => {
                let detail = voice::unknown_host(request.head.authority());
                let problem = match trouble {
                    Trouble::Login(_) => voice::no_access(&detail),
                    _ => problem,
                };
                let reply = request.reply(&problem);
                self.reply_only(&reply, request, stage);
            }
            None => {
                let reply = problem.reply(Manner::Problem);
                self.link.reply(&reply, false, true);
                let kind = FaultKind::Malformed(crate::fault::Malformed::MessageBody);
                self.cut(Some(Fault::new(Side::Client, kind)), stage);
            }
        }
    }

    /// Records that something of the client was refused.
    pub(super) fn note_refused(&mut self, message: &str, attrs: &str, stage: &mut Stage<'_>) {
        let event = Noted { event: "request-refused", severity: "warn", message, attrs };
        self.link.event(&event, stage);
    }

    /// A reply in the place of a request that no exchange was made for.
    pub(super) fn reply_only(&mut self, reply: &Reply, request: Request, stage: &mut Stage<'_>) {
        let (body, trailers) = request.body();
        let is_head = request.is_head();
        let left = self.drop_limit(&request);
        self.finish_reply(reply, (is_head, left), (body, trailers), stage);
    }

    /// A reply in the place of a request's answer.
    pub(super) fn answer_self(&mut self, reply: &Reply, exchange: Exchange, stage: &mut Stage<'_>) {
        if exchange.progress.is_some() {
            return self.reply_in_stream(reply, exchange, stage);
        }
        let request = &exchange.request;
        let is_head = request.is_head();
        let left = self.drop_limit(request);
        let (body, trailers) = match exchange.up {
            Up::Gathering { body, trailers, .. } | Up::Content { body, trailers } => {
                (body, trailers)
            }
            // What nobody has read yet must not be taken for the next request.
            Up::Never | Up::Waiting(..)
                if exchange.at_hand().is_none() && exchange.back.is_none() =>
            {
                request.body()
            }
            _ => (Body::new(Framing::None), Head::default()),
        };
        self.finish_reply(reply, (is_head, left), (body, trailers), stage);
    }

    /// How much of a request's content is read and dropped behind a reply; none if the client may
    /// not send it at all, or if it is much: then the connection ends.
    fn drop_limit(&self, request: &Request) -> Option<usize> {
        if self.link.is_many() {
            // A reset that comes while the client sends is all that some of them see.
            return Some(limits::H2_DROPPED_BYTES_MAX);
        }
        let is_short = match request.framing {
            Framing::Length(length) => length <= limits::HTTP_DROPPED_BYTES_MAX as u64,
            _ => true,
        };
        let is_empty = matches!(request.framing, Framing::None | Framing::Length(0));
        (is_empty || (is_short && !request.expects)).then_some(limits::HTTP_DROPPED_BYTES_MAX)
    }

    fn finish_reply(
        &mut self,
        reply: &Reply,
        (is_head, left): (bool, Option<usize>),
        (body, trailers): (Body, Head),
        stage: &mut Stage<'_>,
    ) {
        self.link.closing |= left.is_none() || self.draining;
        let closing = self.link.closing;
        self.link.reply(reply, is_head, closing);
        match left {
            Some(left) => {
                self.phase = Phase::Dropping { body, trailers, left };
                self.deadline_us = stage.now.mono_us + limits::LINGER_TIMEOUT_US;
            }
            None => self.leave(stage),
        }
        // Until the next bytes come, nobody would look at a body that is over already.
        self.drop_content(&mut &[][..], stage);
    }

    /// Reads and drops the content of a request that was answered.
    pub(super) fn drop_content(&mut self, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        let Phase::Dropping { body, trailers, left } = &mut self.phase else { return false };
        match self.link.piece(body, input, trailers) {
            Ok(Piece::Need) => false,
            Ok(Piece::Data(data)) if data.len() <= *left => {
                *left -= data.len();
                true
            }
            Ok(Piece::End) => {
                self.link.is_complete();
                self.next_request(stage);
                true
            }
            Ok(Piece::Data(_)) | Err(_) => {
                self.leave(stage);
                true
            }
        }
    }

    /// Asks for a connection to the target.
    pub(super) fn lease(&mut self, may_reuse: bool, stage: &mut Stage<'_>) {
        let leg = self.take_leg();
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let target = tenure.target;
        let settings = stage.snapshot.settings.targets.get(target);
        let timeout_us = settings.and_then(|target| target.reach.connect_timeout_us);
        let endpoints = stage.snapshot.addresses.get(target).cloned().unwrap_or_default();
        let dial = Box::new(Dial::new(target, endpoints, timeout_us, stage.now.mono_us));
        let http = settings.and_then(|target| target.http.as_ref());
        let two = http.filter(|http| http.speaks_two);
        let terms = match two {
            Some(_) => Reuse { target, terms: Arc::clone(&tenure.terms_of_two) },
            None => back::terms(target),
        };
        let back = Back::new(leg, terms.clone());
        exchange.back = Some(match two {
            Some(http) => back.of_two(http.is_tls),
            None => back,
        });
        exchange.deadline_us = u64::MAX;
        let again = exchange.request.is_idempotent() && exchange.is_here();
        let waited_us_max = if again { limits::IDLE_LEG_US } else { limits::HTTP_UNSAFE_IDLE_US };
        let reuse = may_reuse.then_some(terms);
        self.link.output(Output::Lease(Lease { leg, dial, reuse, waited_us_max }));
    }

    /// The connection is there, or cannot be.
    pub(super) fn leg_leased(
        &mut self,
        id: LegId,
        result: Result<Leased, Target>,
        stage: &mut Stage<'_>,
    ) {
        let speaks_tls = self.speaks_tls(stage);
        let Some(back) = self.back(id) else { return };
        match result {
            Ok(leased) => {
                back.reused = leased.reused.is_some();
                if let (Some(learned), Some(two)) = (leased.reused, &mut back.two) {
                    two.resume(learned);
                }
                if speaks_tls && !back.reused {
                    self.link.output(Output::StartTls(End::Target(id)));
                } else {
                    self.leg_open(id, stage);
                }
            }
            Err(why) => {
                if let Phase::Busy(exchange) = &mut self.phase {
                    exchange.back = None;
                }
                self.fail(Trouble::Target(why), stage);
            }
        }
    }

    fn speaks_tls(&self, stage: &Stage<'_>) -> bool {
        let tenure = self.tenures.get(self.current);
        let target = tenure.and_then(|it| stage.snapshot.settings.targets.get(it.target));
        target.is_none_or(|target| target.tls != crate::config::settings::TargetTls::Disable)
    }

    /// TLS with the target is there.
    pub(super) fn leg_agreed(&mut self, id: LegId, facts: &TlsFacts, stage: &mut Stage<'_>) {
        let speaks_two = self.back(id).is_some_and(|back| back.two.is_some());
        if speaks_two && facts.alpn.as_deref() != Some(b"h2") {
            return self.fail(Trouble::Target(Target::Tls), stage);
        }
        self.leg_open(id, stage);
    }

    /// The connection can be spoken on: the head leaves.
    pub(super) fn leg_open(&mut self, id: LegId, stage: &mut Stage<'_>) {
        if self.back(id).is_none() {
            return;
        }
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Up::Waiting(permit, receipt) = std::mem::replace(&mut exchange.up, Up::Sent) else {
            return;
        };
        if exchange.back.as_ref().is_some_and(|back| !back.reused) {
            self.link.output(Output::Settled(id));
        }
        let request = &exchange.request;
        let framing = match (exchange.at_hand(), request.framing) {
            (None, framing) => framing,
            (Some(_), Framing::None) => Framing::None,
            (Some(content), _) => Framing::Length(content.len() as u64),
        };
        let mut out = Vec::with_capacity(request.head.arena().len() + 256);
        let mut two = exchange.back.as_mut().and_then(|back| back.two.take());
        match &request.kube {
            Some(_) => tenure.write_kubernetes((&mut out, exchange), framing, &self.link),
            None => {
                let out = (&mut out, two.as_deref_mut());
                tenure.write_request(out, exchange, framing, &self.link);
            }
        }
        let content = match exchange.gathered {
            true => Some(&exchange.content),
            false => exchange.copy.as_ref().filter(|_| exchange.again),
        };
        let Some(back) = &mut exchange.back else { return };
        if let Some(two) = &mut two {
            out.extend_from_slice(two.take_output());
        }
        back.two = two;
        back.outbox.forward(permit, receipt, &out);
        let is_over = matches!(framing, Framing::None | Framing::Length(0));
        if let Some(content) = content.filter(|content| !content.is_empty()) {
            let receipt = tenure.ledger.covered(stage);
            let permit = Permit::plumbing(Part::Content);
            back.content((permit, receipt), content, false);
            let receipt = tenure.ledger.covered(stage);
            let permit = Permit::plumbing(Part::Content);
            back.end((permit, receipt), false);
        } else if !is_over {
            if request.expects && !exchange.again {
                self.link.go_on();
            }
            let (body, trailers) = request.body();
            exchange.up = Up::Content { body, trailers };
        }
        exchange.down = Down::head();
        let limit_us = match exchange.up {
            Up::Content { .. } => exchange.piece_us(),
            _ => exchange.first_byte_us(),
        };
        exchange.pace = Pace::from(stage.now.mono_us);
        exchange.deadline_us = stage.now.mono_us + limit_us;
        self.resume(stage);
    }

    /// Content of the request that is under way.
    pub(super) fn read_content(&mut self, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        let Phase::Busy(exchange) = &mut self.phase else { return false };
        match &mut exchange.up {
            Up::Gathering { body, trailers, .. } => match self.link.piece(body, input, trailers) {
                Ok(Piece::Need) => false,
                Ok(Piece::Data(data)) => {
                    if let Err(refused) = look(&mut exchange.form, data) {
                        self.content_refused(Trouble::Refused(refused), stage);
                        return true;
                    }
                    // What clients send and do not finish is bounded for all of them together.
                    let room = exchange.room.get_or_insert_with(|| stage.room.lease());
                    if !room.resize(exchange.content.len() + data.len()) {
                        self.content_refused(Trouble::Room, stage);
                        return true;
                    }
                    exchange.content.extend_from_slice(data);
                    exchange.deadline_us = stage.now.mono_us + exchange.piece_us();
                    if !exchange.keeps_pace(data.len(), stage.now.mono_us) {
                        self.head_overdue(stage);
                        return true;
                    }
                    if exchange.content.len() > exchange.request.held_bytes_max() {
                        self.too_much(stage);
                    }
                    true
                }
                Ok(Piece::End) => {
                    self.gathered(stage);
                    true
                }
                Err(refused) => {
                    self.content_refused(Trouble::Refused(refused), stage);
                    true
                }
            },
            Up::Content { body, trailers } => match self.link.piece(body, input, trailers) {
                Ok(Piece::Need) => false,
                Ok(Piece::Data(data)) => {
                    match look(&mut exchange.form, data) {
                        Ok(()) => self.hand_on(data, stage),
                        Err(refused) => self.content_refused(Trouble::Refused(refused), stage),
                    }
                    true
                }
                Ok(Piece::End) => {
                    self.hand_on_end(stage);
                    true
                }
                Err(refused) => {
                    self.content_refused(Trouble::Refused(refused), stage);
                    true
                }
            },
            Up::Held(_) | Up::Waiting(..) | Up::Sent | Up::Never => false,
        }
    }

    fn take_gathering(&mut self) -> Option<(Box<Exchange>, Then)> {
        let Phase::Busy(mut exchange) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return None;
        };
        match std::mem::replace(&mut exchange.up, Up::Never) {
            Up::Gathering { then, .. } => Some((exchange, then)),
            up => {
                exchange.up = up;
                self.phase = Phase::Busy(exchange);
                None
            }
        }
    }

    fn gathered(&mut self, stage: &mut Stage<'_>) {
        let Some((mut exchange, then)) = self.take_gathering() else { return };
        exchange.gathered = true;
        match then {
            Then::Read if exchange.request.kube.is_some() => self.read_kubernetes(exchange, stage),
            Then::Read => self.read_message(exchange, stage),
            Then::Hold(terms) => self.hold(exchange, terms, stage),
        }
    }

    fn too_much(&mut self, stage: &mut Stage<'_>) {
        let Some((mut exchange, _)) = self.take_gathering() else { return };
        exchange.request.expects = true;
        self.refuse_large(exchange, stage);
    }

    /// The content of a request cannot be read: nothing of the connection can be trusted.
    pub(super) fn content_refused(&mut self, trouble: Trouble, stage: &mut Stage<'_>) {
        let problem = voice::trouble(trouble);
        let attrs = serde_json::json!({ "reason": problem.kind }).to_string();
        self.note_refused("content of a request was refused", &attrs, stage);
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let has_begun = exchange.has_begun();
        if !has_begun {
            let reply = exchange.request.reply(&problem);
            exchange.told.status = reply.status;
            let is_head = exchange.request.is_head();
            self.link.reply(&reply, is_head, true);
        }
        let kind = FaultKind::Malformed(crate::fault::Malformed::MessageBody);
        self.cut(Some(Fault::new(Side::Client, kind)), stage);
    }

    /// A piece of content: recorded, then handed on.
    fn hand_on(&mut self, data: &[u8], stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let taken = exchange
            .sent
            .take(data, tenure, stage)
            .and_then(|()| exchange.sent.flush(tenure, stage));
        if let Err(refused) = taken {
            return self.fail(Trouble::Record(refused), stage);
        }
        exchange.keep_copy(data, stage);
        exchange.deadline_us = stage.now.mono_us + exchange.piece_us();
        if !exchange.keeps_pace(data.len(), stage.now.mono_us) {
            return self.head_overdue(stage);
        }
        let Some(back) = &mut exchange.back else { return };
        let chunked = exchange.request.framing == Framing::Chunked;
        let receipt = tenure.ledger.covered(stage);
        back.content((Permit::plumbing(Part::Content), receipt), data, chunked);
    }

    fn hand_on_end(&mut self, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        // Its trailers go no further (RFC 9110 6.5.1): nobody has decided on them.
        let Up::Content { .. } = std::mem::replace(&mut exchange.up, Up::Sent) else { return };
        let Some(back) = &mut exchange.back else { return };
        let chunked = exchange.request.framing == Framing::Chunked;
        let receipt = tenure.ledger.covered(stage);
        back.end((Permit::plumbing(Part::Content), receipt), chunked);
        exchange.deadline_us = stage.now.mono_us + exchange.first_byte_us();
    }

    /// A request cannot be answered by its target: weir does, or cuts what has begun.
    pub(super) fn fail(&mut self, trouble: Trouble, stage: &mut Stage<'_>) {
        self.release(|_| After::Close);
        let Phase::Busy(exchange) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let problem = voice::trouble(trouble);
        let mut exchange = exchange;
        let why = std::mem::take(&mut exchange.told.over);
        let words = (problem.status, if why.is_empty() { problem.kind } else { &*why });
        // A journal that refuses says so itself; nothing of a target's is said here.
        if exchange.has_begun() {
            let _recorded = self.record_answer(&mut exchange, Outcome::Aborted, words.1, stage);
            let fault = Fault::new(Side::Server, FaultKind::Target(Target::Closed));
            return self.cut(Some(fault), stage);
        }
        let aborted = Outcome::Aborted;
        let _refused_elsewhere =
            super::rows::unanswered(&mut exchange, aborted, words, tenure, stage);
        let detail = voice::unknown_end(&exchange, problem.detail);
        let reply = exchange.request.reply(&Problem { detail: &detail, ..problem });
        self.answer_self(&reply, *exchange, stage);
    }

    /// The connection ends: what is under way is recorded as aborted.
    pub(super) fn abandon(&mut self, fault: Option<Fault>, stage: &mut Stage<'_>) {
        self.release(|_| After::Close);
        let exchange = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Busy(exchange) => exchange,
            Phase::Tunnel(tunnel) => Box::new(tunnel.exchange),
            _ => return,
        };
        let mut exchange = *exchange;
        if matches!(exchange.up, Up::Gathering { .. } | Up::Never) {
            return;
        }
        if matches!(exchange.up, Up::Held(_)) {
            self.cancel_hold(&mut exchange, stage);
            if exchange.progress.is_some() {
                let left = "the client left while its request waited";
                self.record_answer(&mut exchange, Outcome::Abandoned, left, stage);
            }
            return;
        }
        let reason = fault.map_or("client-terminate", |fault| fault.label());
        self.record_answer(&mut exchange, Outcome::Aborted, reason, stage);
    }
}

/// Looks at a piece of content.
fn look(form: &mut Option<Scan>, data: &[u8]) -> Result<(), Refused> {
    form.as_mut().map_or(Ok(()), |form| form.push(data))
}

/// The target whose host the client named, or whose path: `/mcp/NAME`, `/k8s/NAME`. With it, how
/// much of the request's target was its name.
pub(super) fn target_of(head: &Head, stage: &Stage<'_>) -> Option<(usize, usize)> {
    let (host, _) = crate::wire::http::check::split_authority(head.authority())?;
    let host = host.strip_suffix(b".").unwrap_or(host);
    let targets = &stage.snapshot.settings.targets;
    let by_host = targets.iter().position(|target| {
        target.http.as_ref().is_some_and(|http| host.eq_ignore_ascii_case(http.host.as_bytes()))
    });
    let cluster = super::kubernetes::named(head, stage);
    if let Some(target) = by_host {
        // A path that names another cluster belongs to the target of this host.
        return cluster.filter(|(named, _)| *named == target).or(Some((target, 0)));
    }
    if cluster.is_some() {
        return cluster;
    }
    const PLACE: &[u8] = b"/mcp/";
    let rest = head.path().strip_prefix(PLACE)?;
    let name = rest.split(|byte| *byte == b'/').next()?;
    let is_it = |target: &settings::Target| {
        let speaks = target.http.as_ref().map(|http| http.speaks);
        speaks == Some(Speaks::Mcp) && name == target.name.as_bytes()
    };
    Some((targets.iter().position(is_it)?, PLACE.len() + name.len()))
}

impl Tenure {
    /// Whether content of the answer is looked into on its way.
    pub(super) fn looks_into(&self, exchange: &Exchange) -> bool {
        let lists = exchange.rpc.as_ref().is_some_and(|rpc| rpc.lists_tools());
        let may_list = self.speaks_mcp() && rpc::reads_events(&exchange.request.head);
        !self.masks.is_empty() || lists || may_list
    }

    /// How much of content is kept.
    fn capture_bytes(&self) -> u64 {
        let target = self.snapshot.settings.targets.get(self.target);
        target.map_or(0, |target| target.capture.bytes())
    }

    /// The head of a request as it goes on to this tenure's target.
    fn write_request(
        &self,
        (out, two): (&mut Vec<u8>, Option<&mut Two>),
        exchange: &Exchange,
        framing: Framing,
        link: &super::link::Link,
    ) {
        let request = &exchange.request;
        let head = &request.head;
        let target = self.snapshot.settings.targets.get(self.target);
        let Some(http) = target.and_then(|target| target.http.as_ref()) else { return };
        let behind = head.target().get(exchange.prefix..).unwrap_or(&[]);
        let path = match [http.path.as_bytes(), behind].concat() {
            path if path.starts_with(b"/") => path,
            path => [b"/", path.as_slice()].concat(),
        };
        let host =
            if http.sends_client_host { head.authority() } else { http.authority.as_bytes() };
        let peer = link.accepted.client_addr.ip().to_string();
        let scheme = if link.tls.is_some() { "https" } else { "http" };
        let forwarded = forwarded(&peer, head.authority(), scheme);
        let mut added: Vec<(&[u8], &[u8])> = vec![
            (b"X-Forwarded-For", peer.as_bytes()),
            (b"X-Forwarded-Host", head.authority()),
            (b"X-Forwarded-Proto", scheme.as_bytes()),
            (b"Forwarded", forwarded.as_bytes()),
        ];
        let mut without: Vec<&[u8]> = Vec::new();
        if self.looks_into(exchange) {
            without.extend(masked::NOT_ASKED);
            without.extend(masked::conditions(head));
            if matches!(head.method(), b"GET" | b"HEAD") {
                without.extend(masked::NOT_COMPARED);
            }
            added.push((b"Accept-Encoding", b"identity"));
        }
        let session = match self.speaks_mcp() {
            true => bound::session(head, self).ok().flatten(),
            false => None,
        };
        if self.speaks_mcp() {
            without.extend([bound::FIELD, bound::EVENT_FIELD]);
            added.extend(session.map(|id| (&b"Mcp-Session-Id"[..], id)));
            let event = bound::event(head, self).ok().flatten();
            added.extend(event.map(|id| (&b"Last-Event-ID"[..], id)));
        }
        if let Some(header) = &self.credential.header {
            without.push(header.name.as_bytes());
            added.push((header.name.as_bytes(), header.value.reveal().as_bytes()));
        }
        without.extend(vouched::fields(head, &http.client_fields));
        let onward = Onward {
            target: if head.target() == b"*" { b"*" } else { &path },
            host,
            framing,
            pass: Pass { credentials: false, without: &without },
            added: &added,
            upgrade: request.asks == Asked::Websocket,
        };
        let last = matches!(framing, Framing::None | Framing::Length(0));
        match two {
            Some(two) => two.open(head, &onward, last),
            None => write::request(out, head, &onward),
        }
    }
}

/// RFC 7239.
fn forwarded(peer: &str, host: &[u8], scheme: &str) -> String {
    let node = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.to_owned() };
    format!("for={node};host=\"{}\";proto={scheme}", String::from_utf8_lossy(host))
}
