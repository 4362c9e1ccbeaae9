//! An answer on its way to the client.
//!
//! In: bytes of a leg. Out: bytes for the client, the row of the answer.
//! Never: the end of an answer before its row; framing as the target wrote it.

use crate::decide::Permit;
use crate::decide::http::Part;
use crate::fault::{Fault, FaultKind, Target};
use crate::limits;
use crate::mask::Hits;
use crate::mask::body::Shape;
use crate::mask::hits::Hit;
use crate::metrics::{Counted, Timed};
use crate::record::entry::{Event as Noted, MaskingHit, Outcome, Response, ResponseExtra};
use crate::record::{Entry, Receipt};
use crate::session::{Output, Stage};
use crate::wire::LegId;
use crate::wire::http::Refused;
use crate::wire::http::h1::read::Kind;
use crate::wire::http::h1::write::Backward;
use crate::wire::http::h1::{Body, Framing, Piece, Role};
use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;
use crate::wire::http::pass::Pass;
use crate::wire::http::reply::Problem;
use crate::wire::http::sse::Splitter;
use crate::wire::http::ws::handshake::Asked;

use super::back::Back;
use super::exchange::{Down, Exchange, Up};
use super::front::Portion;
use super::listed::{self, News};
use super::masked::{self, Lens};
use super::moved::{self, Changed, LeadsOut};
use super::tenure::Trouble;
use super::veil::Veil;
use super::{Phase, Session, bound, foreign, kubernetes, voice};

impl Session {
    /// Bytes of a target.
    pub(super) fn leg_bytes(&mut self, id: LegId, bytes: &[u8], stage: &mut Stage<'_>) {
        let Some(back) = self.back(id) else { return };
        if back.two.is_some() {
            return self.leg_frames(id, bytes, stage);
        }
        back.heard = true;
        let mut input = bytes;
        while self.leg_step(&mut input, stage) {}
        if input.is_empty() {
            return;
        }
        // Nobody asked for these: RFC 9112 9.2.
        match self.back(id) {
            Some(back) => back.keeps = false,
            None => self.link.read_behind(id, input, stage.now.mono_us),
        }
    }

    pub(super) fn leg_step(&mut self, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        if matches!(self.phase, Phase::Tunnel(_)) {
            return self.target_frames(input, stage);
        }
        let Phase::Busy(exchange) = &mut self.phase else { return false };
        match &mut exchange.down {
            Down::Head { reader, head, .. } => match reader.next(input, head, Kind::Answer) {
                Ok(false) => false,
                Ok(true) => {
                    self.answer_head(stage);
                    true
                }
                Err(refused) => {
                    self.refuse_answer(refused, stage);
                    false
                }
            },
            Down::Content { body, trailers, .. } => match body.next(input, trailers) {
                Ok(Piece::Need) => false,
                Ok(Piece::Data(data)) => {
                    let is_last = matches!(body, Body::Left(0));
                    self.answer_data(data, is_last, stage);
                    true
                }
                Ok(Piece::End) => {
                    self.answer_end(stage);
                    true
                }
                Err(refused) => {
                    self.refuse_answer(refused, stage);
                    false
                }
            },
            Down::Silent | Down::Over => {
                if let Some(back) = &mut exchange.back {
                    back.keeps = false;
                }
                false
            }
        }
    }

    /// The head of an answer is whole.
    pub(super) fn answer_head(&mut self, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Down::Head { head, interim, .. } = &mut exchange.down else { return };
        let status = head.status().unwrap_or(0);
        if status == 101 {
            return self.switch(stage);
        }
        if status < 200 {
            *interim += 1;
            let is_too_much = *interim > limits::HTTP_INTERIM_MAX;
            if is_too_much {
                return self.refuse_answer(Refused::Interim, stage);
            }
            return self.pass_interim(stage);
        }
        let role = Role::Answer { to_head: exchange.request.is_head() };
        let ended =
            exchange.back.as_ref().is_some_and(|it| it.two.as_ref().is_some_and(|it| it.ended));
        match Framing::of(head, role) {
            // HTTP/2 says by itself that nothing follows.
            Ok(Framing::UntilClose) if ended => self.pass_head(Framing::Length(0), stage),
            Ok(framing) => self.pass_head(framing, stage),
            Err(refused) => self.refuse_answer(refused, stage),
        }
    }

    /// An interim answer; 100 was said by weir already, and HTTP/1.0 knows none.
    fn pass_interim(&mut self, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Down::Head { head, .. } = &exchange.down else { return };
        let version = exchange.request.head.version();
        // What masks apply to says nothing before its time.
        let is_told =
            tenure.masks.is_empty() && head.status() != Some(100) && exchange.progress.is_none();
        if !is_told || version == Version::Http10 {
            return;
        }
        let changed = masked::without_secrets(head, Vec::new(), &tenure.secrets);
        let mut without: Vec<&[u8]> = changed.iter().map(|(name, _)| *name).collect();
        without.extend(masked::telling(head, &tenure.secrets));
        let added: Vec<(&[u8], &[u8])> =
            changed.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let pass = Pass { without: &without, ..Pass::default() };
        let framing = Framing::None;
        let masked = tenure.secrets.hide(head.reason()).is_some();
        let backward = Backward { version, framing, pass, added: &added, close: false, masked };
        let portion = Portion::Head { head, backward: &backward, last: false };
        let receipt = tenure.ledger.covered(stage);
        self.link.pass(Permit::plumbing(Part::Interim), receipt, portion);
    }

    /// The head goes to the client, with the framing that it can read.
    fn pass_head(&mut self, framing: Framing, stage: &mut Stage<'_>) {
        if let (Phase::Busy(exchange), Some(tenure)) =
            (&mut self.phase, self.tenures.get(self.current))
        {
            kubernetes::turned_away(exchange, tenure, stage.now);
        }
        if let Err(label) = self.look(framing) {
            return self.cannot_mask(label, stage);
        }
        if self.judge_head(stage) {
            return;
        }
        if self.sends_within().is_err() {
            return self.answer_instead(&voice::leads_out(), stage);
        }
        let Phase::Busy(exchange) = &mut self.phase else { return };
        if exchange.progress.is_some() {
            return self.answer_in_stream(framing, stage);
        }
        let Down::Head { head, .. } = std::mem::replace(&mut exchange.down, Down::Over) else {
            return;
        };
        let now_us = stage.now.mono_us;
        exchange.told.status = head.status().unwrap_or(0);
        // A call that fails at once says so in its head, and has no trailers.
        if let (true, Some(code)) = (exchange.is_call(), head.spelt(b"grpc-status").next()) {
            let code = String::from_utf8_lossy(code).into_owned();
            exchange.told.trailers.insert("grpc-status".into(), code.into());
        }
        exchange.told.first_byte_us = now_us.saturating_sub(exchange.at_us);
        exchange.deadline_us = now_us + exchange.pause_us();
        if let Some(back) = &mut exchange.back {
            back.hear_head(&head, framing);
        }
        let is_over = matches!(framing, Framing::None | Framing::Length(0));
        if exchange.lens.as_ref().is_some_and(|lens| lens.waits) && !is_over {
            let (body, trailers) = (Body::new(framing), Head::default());
            let for_client = exchange.framing_for_client(framing);
            exchange.down = Down::Content { body, trailers, framing: for_client };
            exchange.due = Some(Box::new((head, framing)));
            return;
        }
        if !is_over {
            let (body, trailers) = (Body::new(framing), Head::default());
            let for_client = exchange.framing_for_client(framing);
            exchange.down = Down::Content { body, trailers, framing: for_client };
        }
        self.send_head(&head, framing, stage);
    }

    /// Whether an answer that was read, of a server of MCP that paths name, keeps its client there.
    fn sends_within(&self) -> Result<(), LeadsOut> {
        match &self.phase {
            Phase::Busy(exchange) => match &exchange.down {
                Down::Head { head, .. } => self.placed(exchange, head).map(drop),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The fields of an answer that name the target's own host, in the client's words.
    fn placed<'h>(
        &self,
        exchange: &Exchange,
        head: &'h Head,
    ) -> Result<Vec<Changed<'h>>, LeadsOut> {
        let tenure = self.tenures.get(self.current);
        let Some((tenure, http)) = tenure.and_then(|it| Some((it, it.http()?))) else {
            return Ok(Vec::new());
        };
        let asked = &exchange.request.head;
        let scheme = if self.link.tls.is_some() { "https" } else { "http" };
        let client = (scheme, asked.authority());
        let mut changed = match http.sends_client_host {
            true => Vec::new(),
            false => moved::moved(head, http, client),
        };
        if tenure.speaks_mcp() && exchange.prefix > 0 {
            let (endpoint, behind) =
                asked.target().split_at_checked(exchange.prefix).ok_or(LeadsOut)?;
            let within = moved::within(head, http, (endpoint, behind), client)?;
            let is_in = |name: &[u8]| within.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
            changed.retain(|(name, _)| !is_in(name));
            changed.extend(within);
        }
        Ok(changed)
    }

    /// The head leaves, with the framing that the client can read.
    fn send_head(&mut self, head: &Head, framing: Framing, stage: &mut Stage<'_>) {
        let changed = match &self.phase {
            // Whoever leads out was refused before.
            Phase::Busy(exchange) => self.placed(exchange, head).unwrap_or_default(),
            _ => return,
        };
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let version = exchange.request.head.version();
        let for_client = exchange.framing_for_client(framing);
        // Content that still comes of a request that is answered already is not waited for.
        self.link.closing |=
            !matches!(exchange.up, Up::Sent) || for_client == Framing::UntilClose || self.draining;
        let (changed, sends_away) = exchange.request.relocated(head, changed);
        let is_masked = !tenure.masks.is_empty();
        let changed = match is_masked {
            true => masked::fields(head, changed, &tenure.masks, &mut exchange.hits),
            false => changed,
        };
        let mut changed = masked::without_secrets(head, changed, &tenure.secrets);
        changed.retain(|(name, _)| !tenure.secrets.is_named(name));
        if tenure.speaks_mcp() {
            changed.retain(|(name, _)| !name.eq_ignore_ascii_case(bound::FIELD));
            let sessions = head.spelt(bound::FIELD);
            changed.extend(sessions.map(|id| (bound::FIELD, bound::sealed(tenure, id))));
        }
        let mut without: Vec<&[u8]> = changed.iter().map(|(name, _)| *name).collect();
        without.extend(masked::telling(head, &tenure.secrets));
        if sends_away {
            without.push(b"location");
        }
        if !tenure.may_read(&exchange.request) {
            without.extend(foreign::READABLE);
        }
        if tenure.speaks_mcp() {
            // Where the target's own clients log in is past weir, which has logged in.
            without.extend(past_weir(head));
        }
        let mut added: Vec<(&[u8], &[u8])> =
            changed.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let warning = std::mem::take(&mut exchange.told.warning);
        if !warning.is_empty() {
            added.push((b"Warning", &warning));
        }
        if is_masked || exchange.lens.is_some() {
            // What one identity sees is not what another one does.
            without.extend(masked::dropped(head));
            added.push((b"Cache-Control", b"private"));
        }
        let backward = Backward {
            version,
            framing: for_client,
            pass: Pass { without: &without, ..Pass::default() },
            added: &added,
            close: self.link.closing,
            masked: is_masked || tenure.secrets.hide(head.reason()).is_some(),
        };
        let last = matches!(framing, Framing::None | Framing::Length(0));
        let portion = Portion::Head { head, backward: &backward, last };
        if last {
            return self.finish(portion, stage);
        }
        let receipt = tenure.ledger.covered(stage);
        self.link.pass(Permit::plumbing(Part::Answer), receipt, portion);
    }

    /// A piece of content; the last one waits for the row.
    fn answer_data(&mut self, data: &[u8], is_last: bool, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let hidden = exchange.veil.as_mut().and_then(|veil| veil.push(data, is_last));
        self.answer_seen(hidden.as_deref().unwrap_or(data), is_last, stage);
    }

    fn answer_seen(&mut self, data: &[u8], is_last: bool, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        exchange.deadline_us = stage.now.mono_us + exchange.pause_us();
        let Some(lens) = &mut exchange.lens else {
            return self.deliver(data, is_last, stage);
        };
        let keep = |name: &[u8]| tenure.offers(name, &self.link, stage);
        let changed = lens.push(data, &keep, &mut exchange.hits).and_then(|mut changed| {
            if is_last {
                changed.extend(lens.finish(&keep, &mut exchange.hits)?);
            }
            Ok(changed)
        });
        match changed {
            Ok(changed) => {
                self.tell_tools(stage);
                self.deliver(&changed, is_last, stage);
            }
            Err(label) => self.fail(Trouble::Masking(label), stage),
        }
    }

    /// Content as the client will see it: ids of events are bound to it.
    fn deliver(&mut self, data: &[u8], is_last: bool, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Some(ids) = &mut exchange.ids else { return self.hand_over(data, is_last, stage) };
        let sealed = ids.push(data).map(|mut sealed| {
            if is_last {
                sealed.extend(ids.finish());
            }
            sealed
        });
        match sealed {
            Ok(sealed) => self.hand_over(&sealed, is_last, stage),
            Err(label) => self.fail(Trouble::Masking(label), stage),
        }
    }

    /// Content as the client sees it: recorded, then sent.
    pub(super) fn hand_over(&mut self, data: &[u8], is_last: bool, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        if data.is_empty() && !is_last {
            return;
        }
        if let Some(due) = exchange.due.take() {
            let (head, framing) = *due;
            self.send_head(&head, framing, stage);
            return self.hand_over(data, is_last, stage);
        }
        let Down::Content { framing, .. } = &exchange.down else { return };
        let chunked = *framing == Framing::Chunked;
        let Exchange { answered, events, progress, lines, .. } = &mut **exchange;
        if let Some(is_over) = lines {
            *is_over = data.last().map_or(*is_over, |last| *last == b'\n');
        }
        let wrapped = progress.as_mut().and_then(|progress| progress.wrap(data, is_last));
        let data = wrapped.as_deref().unwrap_or(data);
        let kept = match events {
            Some(events) => answered.take_events(events, data, tenure, stage),
            None => answered.take(data, tenure, stage),
        };
        if let Err(refused) = kept {
            return self.fail(Trouble::Record(refused), stage);
        }
        let portion = Portion::Data { bytes: data, chunked, last: is_last };
        if is_last {
            return self.finish(portion, stage);
        }
        let receipt = tenure.ledger.covered(stage);
        self.link.pass(Permit::plumbing(Part::Answer), receipt, portion);
    }

    /// The content is over: chunks end with a chunk of their own.
    pub(super) fn answer_end(&mut self, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let is_event = exchange.progress.as_ref().is_some_and(|progress| progress.wraps());
        if exchange.lens.is_some() || exchange.ids.is_some() || is_event {
            // Trailers would pass the masks by.
            return self.answer_data(&[], true, stage);
        }
        let kept = exchange.veil.as_mut().map(Veil::finish).unwrap_or_default();
        if !kept.is_empty() {
            self.deliver(&kept, false, stage);
        }
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Down::Content { trailers, framing, .. } = &mut exchange.down else { return };
        let (trailers, chunked) = (std::mem::take(trailers), *framing == Framing::Chunked);
        let (masks, secrets) = (&tenure.masks, &tenure.secrets);
        let trailers = masked::trailers(trailers, masks, secrets, &mut exchange.hits);
        exchange.told.trailers = masked::told(&trailers);
        self.finish(Portion::End { trailers: &trailers, chunked }, stage);
    }

    /// The row of the answer, then its last bytes; then the next request.
    fn finish(&mut self, last: Portion<'_>, stage: &mut Stage<'_>) {
        let Phase::Busy(mut exchange) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        let failed = exchange.is_call()
            && exchange.told.trailers.get("grpc-status").is_some_and(|code| code != "0");
        let why = std::mem::take(&mut exchange.told.over);
        let outcome = match exchange.told.status {
            _ if !why.is_empty() => Outcome::Aborted,
            400.. => Outcome::Error,
            _ if failed => Outcome::Error,
            _ => Outcome::Success,
        };
        let receipt = self.record_answer(&mut exchange, outcome, &why, stage);
        let is_whole = matches!(exchange.up, Up::Sent);
        self.phase = Phase::Busy(exchange);
        let Some(receipt) = receipt else {
            let kind = FaultKind::Record(crate::fault::Refused::Full);
            return self.cut(Some(Fault::new(crate::wire::Side::Client, kind)), stage);
        };
        self.link.pass(Permit::plumbing(Part::Answer), receipt, last);
        self.release(|back| back.after(is_whole));
        if is_whole {
            self.link.is_complete();
        }
        self.next_request(stage);
        if !matches!(self.phase, Phase::Closed) {
            self.resume(stage);
        }
    }

    /// Finds out how content of the answer is looked into, if it is.
    fn look(&mut self, framing: Framing) -> Result<(), &'static str> {
        let Some(tenure) = self.tenures.get(self.current) else { return Ok(()) };
        let Phase::Busy(exchange) = &mut self.phase else { return Ok(()) };
        let Down::Head { head, .. } = &exchange.down else { return Ok(()) };
        if matches!(framing, Framing::None | Framing::Length(0)) {
            return Ok(());
        }
        let is_ok = head.status().is_some_and(|status| status < 300);
        let is_list = is_ok && exchange.rpc.as_ref().is_some_and(|rpc| rpc.lists_tools());
        let Some(http) = tenure.http() else { return Ok(()) };
        if let Some(asked) = &exchange.request.kube {
            exchange.lens = asked.lens(head)?.map(Box::new);
            exchange.lines = asked.lines(head);
            return Ok(());
        }
        exchange.lens = Lens::of(head, (&tenure.masks, http), is_list)?.map(Box::new);
        let is_events = Shape::of(head.only(Name::ContentType)) == Shape::Events;
        exchange.events = is_events.then(Splitter::default);
        if is_events && tenure.speaks_mcp() {
            let opened = head.spelt(bound::FIELD).next();
            let session = opened.or(bound::session(&exchange.request.head, tenure).ok().flatten());
            exchange.ids = Some(bound::Ids::new(tenure, session.unwrap_or(&[])));
        }
        Ok(())
    }

    /// Records what tools say of themselves, if it is new.
    fn tell_tools(&mut self, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Some(listing) = exchange.lens.as_mut().and_then(|lens| lens.listing.as_mut()) else {
            return;
        };
        for mut tool in listing.found.drain(..) {
            let gateway = tenure.snapshot.mock_seed;
            let (event, before) = match listed::news(gateway, &tenure.target_name, &tool) {
                News::None => continue,
                News::First => ("tool-defined", None),
                News::Changed(before) => ("tool-changed", Some(before)),
            };
            // In the words that the client saw; the digest is of what the server said.
            let hits = &mut Hits::default();
            if let Some(shown) = tenure.masks.field("definition", &tool.definition, hits) {
                tool.definition = shown;
            }
            let attrs = listed::attrs(&tenure.target_name, &tool, before);
            let (severity, message) = match before {
                None => ("info", "a tool says what it does"),
                Some(_) => ("warn", "a tool says something else of what it does than before"),
            };
            let noted = Noted { event, severity, message, attrs: &attrs };
            // A journal that refuses says so itself, and refuses the answer's row.
            let _refused_elsewhere = tenure.ledger.record(&Entry::Event(noted), stage);
        }
    }

    /// Writes the row of an answer.
    pub(super) fn record_answer(
        &mut self,
        exchange: &mut Exchange,
        outcome: Outcome,
        error_text: &str,
        stage: &mut Stage<'_>,
    ) -> Option<Receipt> {
        let tenure = self.tenures.get_mut(self.current)?;
        exchange.answered.flush(tenure, stage).ok()?;
        let hits: Vec<Hit> = exchange.hits.drain().collect();
        for hit in hits {
            tenure.totals.masked += hit.count;
            let path = exchange.hits.places().get(usize::from(hit.column));
            let entry = MaskingHit {
                command_seq: exchange.seq,
                column: "",
                detector: hit.cause.name(),
                operator: hit.operator.name(),
                hits: hit.count,
                path: path.map_or("", String::as_str),
            };
            tenure.ledger.record(&Entry::MaskingHit(entry), stage).ok()?;
        }
        let status = match exchange.told.status {
            0 => None,
            status => Some(i32::from(status)),
        };
        let answered = &exchange.answered;
        let digest = answered.digest();
        let (outcome, error_text, attrs) = exchange.ending(outcome, error_text);
        let spent_us = stage.now.mono_us.saturating_sub(exchange.at_us);
        let response = Response {
            command_seq: exchange.seq,
            outcome,
            error_text,
            duration_us: spent_us,
            first_byte_us: exchange.told.first_byte_us,
            bytes: answered.bytes,
            captured_bytes: answered.captured,
            chunks: answered.chunks,
            extra: ResponseExtra {
                status,
                truncated: Some(answered.captured < answered.bytes),
                body_len: Some(answered.bytes),
                body_sha256: Some(&digest),
                attrs: &attrs,
                ..ResponseExtra::default()
            },
            ..Response::default()
        };
        let receipt = tenure.ledger.record(&Entry::Response(response), stage).ok()?;
        if outcome != Outcome::Aborted {
            let held = exchange.approval.is_some();
            let verdict = if held { Counted::Hold } else { Counted::Allow };
            tenure.meter().record((Timed::Target, Some(verdict)), spent_us);
        }
        Some(receipt)
    }

    /// An answer that is not clear is not passed on.
    pub(super) fn refuse_answer(&mut self, refused: Refused, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &self.phase else {
            let kind = FaultKind::Target(Target::Closed);
            return self.cut(Some(Fault::new(crate::wire::Side::Server, kind)), stage);
        };
        if exchange.has_begun() {
            return self.fail(Trouble::Target(Target::Closed), stage);
        }
        self.answer_instead(&voice::bad_answer(refused.label()), stage);
    }

    /// An answer that masks apply to and cannot look into goes nowhere.
    fn cannot_mask(&mut self, label: &'static str, stage: &mut Stage<'_>) {
        let detail = match &self.phase {
            Phase::Busy(exchange) if label == "masking-type" => match &exchange.down {
                Down::Head { head, .. } => Some(voice::unmaskable_type(head)),
                _ => None,
            },
            _ => None,
        };
        // The words are the target's.
        let detail = detail.map(|detail| self.shown(detail));
        let problem = voice::unmaskable(label);
        let problem = Problem { detail: detail.as_deref().unwrap_or(problem.detail), ..problem };
        self.answer_instead(&problem, stage);
    }

    /// Words of the target without its credential, and without what masks hide.
    fn shown(&self, said: String) -> String {
        let Some(tenure) = self.tenures.get(self.current) else { return said };
        let mut said = said.into_bytes();
        said = tenure.secrets.hide(&said).unwrap_or(said);
        said = tenure.masks.field("content-type", &said, &mut Hits::default()).unwrap_or(said);
        String::from_utf8_lossy(&said).into_owned()
    }

    /// A reply of weir's own in the place of an answer of which nothing was delivered.
    pub(super) fn answer_instead(&mut self, problem: &Problem<'_>, stage: &mut Stage<'_>) {
        self.release(|_| crate::session::After::Close);
        let Phase::Busy(mut exchange) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        if let Some(tenure) = self.tenures.get_mut(self.current) {
            let words = (problem.status, problem.kind);
            let aborted = Outcome::Aborted;
            // A journal that refuses says so itself.
            let _refused_elsewhere =
                super::rows::unanswered(&mut exchange, aborted, words, tenure, stage);
        }
        let detail = voice::unknown_end(&exchange, problem.detail);
        let problem = Problem { detail: &detail, ..*problem };
        let reply = exchange.request.reply(&problem);
        self.answer_self(&reply, *exchange, stage);
    }

    /// A target sends no more.
    pub(super) fn leg_ended(&mut self, id: LegId, stage: &mut Stage<'_>) {
        if self.back(id).is_none() {
            return;
        }
        if matches!(self.phase, Phase::Tunnel(_)) {
            return self.tunnel_ended(stage);
        }
        let Phase::Busy(exchange) = &mut self.phase else { return };
        // In HTTP/2 the end of the connection is the end of no answer.
        let is_two = exchange.back.as_ref().is_some_and(|back| back.two.is_some());
        if let Down::Content { body, .. } = &exchange.down
            && !is_two
            && body.end().is_ok()
        {
            return self.answer_end(stage);
        }
        let why = self.closed();
        if self.send_again(false, stage) || self.try_next(id, why) {
            return;
        }
        self.fail(Trouble::Target(why), stage);
    }

    /// What a connection that ends is: before anything was sent on it, TLS has not come about.
    fn closed(&self) -> Target {
        match &self.phase {
            Phase::Busy(exchange) if matches!(exchange.up, Up::Waiting(..)) => Target::Tls,
            _ => Target::Closed,
        }
    }

    /// The connection to a target cannot be used any more.
    pub(super) fn leg_broken(&mut self, id: LegId, fault: Fault, stage: &mut Stage<'_>) {
        if self.back(id).is_none() {
            return;
        }
        if matches!(self.phase, Phase::Tunnel(_)) {
            return self.tunnel_ended(stage);
        }
        let why = match fault.kind {
            FaultKind::Target(why) if why != Target::Closed => why,
            _ => self.closed(),
        };
        if self.send_again(false, stage) || self.try_next(id, why) {
            return;
        }
        self.fail(Trouble::Target(why), stage);
    }

    /// TLS has not come about on a fresh connection: another server of the target may do, and if
    /// none does, people hear why.
    fn try_next(&mut self, id: LegId, why: Target) -> bool {
        let Phase::Busy(exchange) = &self.phase else { return false };
        let is_fresh = matches!(exchange.up, Up::Waiting(..))
            && exchange.back.as_ref().is_some_and(|back| back.id == id && !back.reused);
        if is_fresh {
            self.link.output(Output::Next(id, why));
        }
        is_fresh
    }

    /// A connection that was kept was closed before it answered: the request is sent once more,
    /// if it may run twice (RFC 9110 9.2.2), or is `untouched` by what its target says, and all of
    /// it is still here.
    pub(super) fn send_again(&mut self, untouched: bool, stage: &mut Stage<'_>) -> bool {
        let Some(tenure) = self.tenures.get(self.current) else { return false };
        let Phase::Busy(exchange) = &mut self.phase else { return false };
        let silent = |back: &Back| (back.reused || untouched) && !back.heard;
        let silent = exchange.back.as_ref().is_some_and(silent);
        let is_here = exchange.is_here();
        let may = untouched || exchange.request.is_idempotent();
        let may = may && exchange.request.asks == Asked::Nothing;
        if !silent || !is_here || !may || exchange.again || !matches!(exchange.up, Up::Sent) {
            return false;
        }
        exchange.again = true;
        exchange.down = Down::Silent;
        let receipt = tenure.ledger.covered(stage);
        exchange.up = Up::Waiting(Permit::plumbing(Part::Again), receipt);
        self.release(|_| crate::session::After::Close);
        self.lease(false, stage);
        true
    }
}

/// A challenge that names a place of the target's.
fn past_weir(head: &Head) -> Option<&'static [u8]> {
    let names = |value: &[u8]| memchr::memmem::find(value, b"resource_metadata").is_some();
    head.values(Name::WwwAuthenticate).any(names).then_some(b"www-authenticate")
}

impl Exchange {
    /// How the client reads where the content ends that it gets.
    fn framing_for_client(&self, framing: Framing) -> Framing {
        let changes = self.lens.is_some() || self.ids.is_some();
        match (framing, self.request.head.version(), changes) {
            (Framing::Chunked | Framing::UntilClose, Version::Http10, _) => Framing::UntilClose,
            (Framing::Length(_), Version::Http10, true) => Framing::UntilClose,
            (Framing::UntilClose, ..) | (Framing::Length(_), _, true) => Framing::Chunked,
            (framing, ..) => framing,
        }
    }
}
