//! A logged-in session: what its two directions share.
//!
//! In: bytes of either side. Out: forwarded messages, replies, records.
//! Never: a message of a client past a hold, a refusal out of its place.
//!
//! ```text
//!            +--------- refused ---------> SkipToSync --Sync--+
//!   Normal --+--------- held ------------> Held --answer------+--> Normal
//!            +--------- name in doubt ---> Settling --Z-------+
//!            +--------- not in catalog --> Learning --catalog-+
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::settings::{Capture, Durability};
use crate::decide::approval::{Ask, Place, Standings};
use crate::decide::rules::{Scope, Who};
use crate::fault::{Fault, FaultKind, Limit, Malformed};
use crate::forward::dial::Endpoint;
use crate::identify::Identity;
use crate::limits;
use crate::mask::hits::Hits;
use crate::mask::sql::catalog::Catalog;
use crate::mask::sql::copy::CopyMasker;
use crate::mask::sql::plan::View;
use crate::mask::sql::widened::Widened;
use crate::mask::{Edits, Plan};
use crate::metrics::Presence;
use crate::record::SessionId;
use crate::session::postgres::state::{Approved, Prepared};
use crate::wire::Side;
use crate::wire::postgres::frame::{Framer, Step, Treat};

use super::admit::{Refusal, StandIn};
use super::beliefs::Beliefs;
use super::beliefs::reading::Reading;
use super::changed::Changed;
use super::kin::Made;
use super::login::Replication;
use super::request::COMMAND_TAGS;
use crate::session::capture::{Answer, Upload};
use crate::session::postgres::core::Office;
use crate::session::room::Lease;
use crate::session::{Output, Refresh, Stage};

/// What a session is connected to, and as whom.
pub struct Link {
    /// Index in the settings' targets.
    pub target: usize,
    /// Its name.
    pub target_name: String,
    /// Which of its servers.
    pub endpoint: Endpoint,
    /// The client.
    pub identity: Identity,
    /// The role at the target.
    pub role: String,
    /// When a record counts as written.
    pub durability: Durability,
    /// Bytes kept of an answer.
    pub capture_bytes: u64,
    /// What is masked for this client.
    pub view: View,
    /// The rules that can match this client here.
    pub scope: Scope,
}

impl Link {
    /// `None` when the settings no longer have the target.
    pub fn new(
        (target, endpoint): (usize, Endpoint),
        identity: Identity,
        role: String,
        core: &Office,
        stage: &Stage<'_>,
    ) -> Option<Link> {
        let settings = stage.snapshot.settings.targets.get(target)?;
        let capture: Capture = settings.capture;
        let mut link = Link {
            target,
            target_name: settings.name.clone(),
            endpoint,
            durability: settings.durability,
            capture_bytes: capture.bytes(),
            view: View::default(),
            scope: Scope::default(),
            identity,
            role,
        };
        link.refresh(core, stage);
        Some(link)
    }

    /// Takes what the current snapshot says about this client.
    pub fn refresh(&mut self, core: &Office, stage: &Stage<'_>) {
        self.view = stage.snapshot.masks.view(&self.target_name, &self.identity.groups);
        self.scope = stage.snapshot.rules.scope(&self.who(core, stage));
    }

    /// For the record.
    pub fn durability_name(&self) -> &'static str {
        match self.durability {
            Durability::Sync => "sync",
            Durability::Write => "write",
        }
    }

    /// Who asks, for the rules.
    pub fn who<'w>(&'w self, core: &Office, stage: &Stage<'_>) -> Who<'w> {
        Who {
            identity: &self.identity,
            target: &self.target_name,
            role: &self.role,
            source: core.accepted.client_addr.ip(),
            wall_us: stage.now.wall_us,
        }
    }
}

/// A command that waits for people.
#[derive(Debug)]
pub struct Held {
    /// The vote so far.
    pub ask: Ask,
    /// The message that waits: it is handled again when the hold ends.
    pub frame: Vec<u8>,
    /// The command's `seq`.
    pub seq: u64,
    /// SHA-256 of what approvers are shown.
    pub shown: [u8; 32],
    /// Its place among the commands that wait.
    pub(super) place: Place,
    /// It is among those that wait.
    pub(super) _counted: Option<Presence>,
}

/// How a hold ended.
#[derive(Debug)]
pub enum Resolution {
    /// Enough people approved.
    Granted(Approved),
    /// Somebody denied, or nobody answered; the approval that was asked for, if one was.
    Refused(Refusal, Option<SessionId>),
    /// The client left, or canceled it.
    Abandoned(Refusal, SessionId),
}

impl Resolution {
    /// The approval that was asked for.
    pub fn approval_id(&self) -> Option<SessionId> {
        match self {
            Resolution::Granted(approved) => Some(approved.grant.id),
            Resolution::Refused(_, id) => *id,
            Resolution::Abandoned(_, id) => Some(*id),
        }
    }
}

/// What the client's direction is doing.
#[derive(Debug)]
pub enum Flow {
    /// Messages are handled as they come.
    Normal,
    /// A message was refused: all up to Sync is dropped, as the target would.
    SkipToSync,
    /// A command waits for people.
    Held(Box<Held>),
    /// A message, or the start of one that is streamed, refers to a name that an unanswered
    /// pipeline changed; it waits for the answer.
    Settling(Vec<u8>),
    /// A message names a relation that the catalog does not know, and it matters: it would put
    /// values of it elsewhere, or a rule may mean it. It waits for a newer catalog, until this time
    /// (monotonic microseconds).
    Learning(Vec<u8>, u64),
}

/// Whether the message that is handled now has waited for a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It has not.
    Not,
    /// It has, and one came.
    Told,
    /// It has, and none came in time.
    Late,
}

/// Whether what the client has sent is read on.
#[derive(Debug)]
pub enum Share {
    /// It is.
    Open,
    /// It had its share of a turn; the rest is due at this time, monotonic microseconds.
    Again(u64),
    /// The target owes as many replies as may be outstanding; the rest waits for some.
    Replies,
}

/// What becomes of the streamed message that is coming in from the client.
#[derive(Debug)]
pub enum Body {
    /// It is handed on, and kept by the upload if there is one.
    Forward,
    /// Nobody waits for an answer to it.
    Drop,
    /// It is dropped too. The refusal takes its place at its end: a client that is answered while
    /// it still sends may take the answer in with what it sends next, and wait for it for ever.
    Refused(Box<StandIn>),
}

/// A logged-in session.
pub struct Ready {
    /// The target and the client.
    pub link: Link,
    pub(super) flow: Flow,
    pub(super) client_framer: Framer,
    pub(super) server_framer: Framer,
    /// Bytes of the client that wait for `flow`.
    pub(super) client_backlog: Vec<u8>,
    pub(super) share: Share,
    /// Bytes of the target that wait for a catalog.
    pub(super) server_backlog: Vec<u8>,
    /// When the target's direction stops waiting for a catalog.
    pub(super) catalog_until_us: Option<u64>,
    /// The catalog was asked for once for the description handled now.
    pub(super) catalog_asked: bool,
    /// The same of the client's message.
    pub(super) learned: Learned,
    /// Relations that this session made.
    pub(super) made: Made,
    /// The target said why it ends the session.
    pub(super) server_fatal: bool,
    /// What is believed of the target.
    pub(super) beliefs: Beliefs,
    pub(super) body: Body,
    pub(super) upload: Option<Upload>,
    /// A COPY TO STDOUT under way; `None` inside when its data passes as it is.
    pub(super) copy_out: Option<Option<Box<CopyMasker>>>,
    /// It is a connection for replication.
    pub(super) replication: Option<Replication>,
    /// Statements whose text is not in the record yet.
    pub(super) fresh: Vec<Rc<Prepared>>,
    /// What people said about the message handled now, and the `seq` it has.
    pub(super) resolved: Option<(Resolution, u64)>,
    /// A message was refused since a hold was released last.
    pub(super) turned_down: bool,
    /// Approvals of this session that hold for more than one execution.
    pub(super) standings: Standings,
    pub(super) answer: Answer,
    /// The command that was answered last since the last ReadyForQuery.
    pub(super) pipelined: Option<u64>,
    /// The plan for the rows that are coming in.
    pub(super) plan: Option<Rc<Plan>>,
    /// Names of the columns that are coming in, for masking hits.
    pub(super) columns: Vec<String>,
    /// Notices that wait for the end of a streamed message.
    pub(super) pending_notice: Option<Vec<u8>>,
    pub(super) edits: Edits,
    pub(super) hits: Hits,
    /// The first execution that is skipped failed for this SQLSTATE and message, unless the failure
    /// is recorded already.
    pub(super) skip_cause: Option<(String, String)>,
    /// Hits in texts: errors, notices, settings.
    pub(super) text_hits: Hits,
    /// Room for what is held of large messages.
    lease: Option<Lease>,
    pub(super) scratch: Vec<u8>,
    pub(super) draining: bool,
    /// The client has said goodbye; what is under way is still answered.
    pub(super) leaving: bool,
    pub(super) last_seq: u64,
    /// Code that weir does not see may have put a masked value into a setting.
    pub(super) settings_in_doubt: bool,
    /// Settings that were set.
    pub(super) changed: Changed,
    /// What the catalog is wrong about since the transaction that is open.
    pub(super) widened: Widened,
    /// The catalog without that, and the one that it was made of.
    pub(super) narrowed: RefCell<Option<[Arc<Catalog>; 2]>>,
    /// A definition was carried out whose transaction has not ended.
    pub(super) shapes_changed: bool,
    /// The transaction that did so has ended.
    pub(super) shapes_committed: bool,
    /// The same of a transaction that was prepared, and may be committed at any time.
    pub(super) shapes_prepared: bool,
}

impl Ready {
    /// A session right after its first ReadyForQuery.
    pub fn new(link: Link, reading: Reading) -> Ready {
        Ready {
            link,
            flow: Flow::Normal,
            client_framer: Framer::default(),
            server_framer: Framer::default(),
            client_backlog: Vec::new(),
            share: Share::Open,
            server_backlog: Vec::new(),
            catalog_until_us: None,
            beliefs: Beliefs::new(reading),
            body: Body::Drop,
            upload: None,
            copy_out: None,
            replication: None,
            fresh: Vec::new(),
            resolved: None,
            turned_down: false,
            standings: Standings::default(),
            catalog_asked: false,
            learned: Learned::Not,
            made: Made::default(),
            server_fatal: false,
            answer: Answer::default(),
            pipelined: None,
            plan: None,
            columns: Vec::new(),
            pending_notice: None,
            edits: Edits::default(),
            hits: Hits::default(),
            text_hits: Hits::default(),
            lease: None,
            scratch: Vec::new(),
            skip_cause: None,
            draining: false,
            leaving: false,
            last_seq: 0,
            settings_in_doubt: false,
            changed: Changed::default(),
            widened: Widened::default(),
            narrowed: RefCell::default(),
            shapes_changed: false,
            shapes_committed: false,
            shapes_prepared: false,
        }
    }

    /// Whether this side should be read.
    pub fn wants(&self, side: Side) -> bool {
        match side {
            Side::Client => {
                !self.leaving
                    && matches!(self.share, Share::Open)
                    && self.client_backlog.len() < limits::BACKLOG_BYTES_MAX
                    && self.beliefs.owed() < limits::PENDING_REPLIES_MAX
            }
            Side::Server => self.catalog_until_us.is_none(),
        }
    }

    /// For `weir sessions`.
    pub fn state(&self) -> &'static str {
        match self.flow {
            Flow::Held(_) => "held",
            _ if self.beliefs.owes_nothing() && self.beliefs.transaction() == b'I' => "idle",
            _ if self.beliefs.owes_nothing() => "idle-in-transaction",
            _ => "active",
        }
    }

    /// Whether a message to the client may be put in now: not inside one that is streamed.
    pub fn may_interject(&self) -> bool {
        !self.server_framer.is_streaming()
    }

    /// When something has to happen without a peer.
    pub fn next_timeout(&self) -> Option<u64> {
        let hold = match &self.flow {
            Flow::Held(held) => Some(held.ask.deadline_us),
            Flow::Learning(_, until_us) => Some(*until_us),
            _ => None,
        };
        let share = match self.share {
            Share::Again(at_us) => Some(at_us),
            Share::Open | Share::Replies => None,
        };
        [hold, self.catalog_until_us, share].into_iter().flatten().min()
    }

    /// The hold, if a command waits.
    pub fn held(&self) -> Option<SessionId> {
        match &self.flow {
            Flow::Held(held) => Some(held.ask.id),
            _ => None,
        }
    }

    /// Bytes of the client.
    pub fn client_bytes(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        if self.is_paused() || !self.client_backlog.is_empty() {
            self.client_backlog.extend_from_slice(bytes);
            return Ok(());
        }
        self.run_client(core, stage, bytes)
    }

    /// The client closed its sending direction.
    pub fn client_eof(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        if self.leaving {
            return Ok(());
        }
        if !self.client_framer.is_between_messages() {
            return Err(Fault::new(Side::Client, FaultKind::Malformed(Malformed::Truncated)));
        }
        // As if it had said goodbye; behind a hold nobody waits for any more.
        self.client_bytes(core, stage, &TERMINATE)?;
        self.leave_hold(core, stage)
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self.flow, Flow::Held(_) | Flow::Settling(_) | Flow::Learning(..))
    }

    /// Goes on with what waited.
    pub(super) fn resume_client(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.share = Share::Open;
        let backlog = std::mem::take(&mut self.client_backlog);
        self.run_client(core, stage, &backlog)
    }

    /// Gives the client its share of another turn, if it waits for one.
    pub fn next_share(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        match self.share {
            Share::Again(_) if self.is_paused() => self.share = Share::Open,
            Share::Again(_) => self.resume_client(core, stage)?,
            Share::Open | Share::Replies => {}
        }
        Ok(())
    }

    fn run_client(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
        mut input: &[u8],
    ) -> Result<(), Fault> {
        let mut framer = std::mem::take(&mut self.client_framer);
        let mut share = limits::TURN_MESSAGES_MAX;
        loop {
            if self.is_paused() {
                self.client_backlog.extend_from_slice(input);
                break;
            }
            // Ten thousand of the smallest messages fit into what is read at once, and the other
            // sessions of the shard would wait for all of them.
            if share == 0 && !input.is_empty() {
                self.client_backlog.extend_from_slice(input);
                self.share = Share::Again(stage.now.mono_us);
                break;
            }
            share = share.saturating_sub(1);
            if framer.is_between_messages() {
                self.copy_rows(&mut input, core, stage)?;
            }
            let given = input.as_ptr_range();
            let step = framer
                .next(&mut input, limits::CLIENT_MESSAGE_BYTES_MAX, client_treat)
                .map_err(|kind| Fault::new(Side::Client, FaultKind::Malformed(kind)))?;
            match step {
                Step::Need => break,
                // What is gathered goes on in the buffer that it was gathered in.
                Step::Whole { tag, frame }
                    if frame.len() >= limits::GIFT_BYTES_MIN
                        && !given.contains(&frame.as_ptr()) =>
                {
                    core.outbox(Side::Server).expect(frame);
                    let done = self.client_frame(tag, frame, core, stage);
                    core.outbox(Side::Server).accept(framer.take_spent());
                    done?;
                }
                Step::Whole { tag, frame } => self.client_frame(tag, frame, core, stage)?,
                Step::Begin { tag, frame, .. } => self.client_begin(tag, frame, core, stage)?,
                Step::Part { bytes, last } => self.client_part(bytes, last, core, stage)?,
            }
        }
        self.client_framer = framer;
        if !self.has_room(core, stage)
            && self.client_framer.held() > limits::SMALL_BYTES_MAX
            && let Some(head) = self.client_framer.give_up()
        {
            // Nothing but a text is held at this size, and none that is streamed is taken.
            self.client_begin(head[0], &head, core, stage)?;
            // What was given up is room for others at once, whenever this client goes on.
            self.has_room(core, stage);
        }
        self.await_replies(core, stage)?;
        self.before_leaving(core, stage)?;
        self.unless_stuck()
    }

    /// A command waits for the target, and the target for data of a COPY, for which a command is
    /// none: it would end the session (copyfromparse.c, `CopyGetData`).
    pub(super) fn unless_stuck(&self) -> Result<(), Fault> {
        let waits = match &self.flow {
            Flow::Settling(frame) => frame.first().is_some_and(|tag| COMMAND_TAGS.contains(tag)),
            Flow::Held(_) | Flow::Normal | Flow::SkipToSync | Flow::Learning(..) => false,
        };
        match waits && self.beliefs.copies_in() {
            true => Err(Fault::new(Side::Client, FaultKind::Malformed(Malformed::MessageType))),
            false => Ok(()),
        }
    }

    /// Lets a client that is far ahead of its target wait.
    fn await_replies(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        if self.beliefs.owed() < limits::PENDING_REPLIES_MAX {
            return Ok(());
        }
        if self.beliefs.is_skipping() {
            // The target answers nothing before the Sync, which the client could not send.
            let skipped = self.beliefs.skip();
            return self.record_skipped(skipped, core, stage);
        }
        if let Share::Again(_) = self.share {
            self.share = Share::Replies;
        }
        Ok(())
    }

    /// Bytes of the target.
    pub fn server_bytes(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        if self.catalog_until_us.is_some() || !self.server_backlog.is_empty() {
            self.server_backlog.extend_from_slice(bytes);
            return Ok(());
        }
        self.run_server(core, stage, bytes)
    }

    fn run_server(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
        mut input: &[u8],
    ) -> Result<(), Fault> {
        let mut framer = std::mem::take(&mut self.server_framer);
        let masked = !self.link.view.is_empty();
        loop {
            if framer.is_between_messages() {
                self.rows(&mut input, core, stage)?;
            }
            let before = input;
            let step = framer
                .next(&mut input, u32::MAX, |tag, body| server_treat(tag, body, masked))
                .map_err(|kind| Fault::new(Side::Server, FaultKind::Malformed(kind)))?;
            match step {
                Step::Need => break,
                Step::Whole { tag, frame } => {
                    self.server_frame(tag, frame, core, stage)?;
                    if self.catalog_until_us.is_some() {
                        // The frame is handled again when the catalog is there. It may have been
                        // put together from the carry, so it is kept, not a place in the input.
                        self.server_backlog.extend_from_slice(frame);
                        self.server_backlog.extend_from_slice(input);
                        break;
                    }
                }
                Step::Begin { tag, frame, .. } => self.server_begin(tag, frame, core, stage)?,
                Step::Part { bytes, .. } => self.deliver(bytes, core, stage)?,
            }
            if before.len() == input.len() && before.is_empty() {
                break;
            }
        }
        self.server_framer = framer;
        self.flush_answer(core, stage)?;
        if !self.has_room(core, stage) && self.server_framer.held() > limits::SMALL_BYTES_MAX {
            return Err(Fault::new(Side::Server, FaultKind::Limit(Limit::MessageBytes)));
        }
        if matches!(self.share, Share::Replies) && self.beliefs.owed() < limits::PENDING_REPLIES_MAX
        {
            self.share = Share::Again(stage.now.mono_us);
        }
        self.interject(core);
        Ok(())
    }

    /// Whether what this session holds of large messages fits the room of its shard.
    fn has_room(&mut self, core: &Office, stage: &Stage<'_>) -> bool {
        let waits = match &self.flow {
            Flow::Held(held) => held.frame.len(),
            Flow::Settling(frame) | Flow::Learning(frame, _) => frame.len(),
            Flow::Normal | Flow::SkipToSync => 0,
        };
        let framed = self.client_framer.held() + self.server_framer.held();
        let queued = core.server.len() + core.client.len();
        let held = waits + framed + queued;
        if held <= limits::SMALL_BYTES_MAX {
            self.lease = None;
            return true;
        }
        self.lease.get_or_insert_with(|| stage.room.lease()).resize(held)
    }

    /// Nobody brought the catalog in time.
    pub fn catalog_overdue(&self, now_us: u64) -> bool {
        self.catalog_until_us.is_some_and(|until| until <= now_us)
    }

    /// A new snapshot is there: the target's direction may go on.
    pub fn catalog_arrived(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Flow::Learning(_, until_us) = self.flow
            && self.is_answer(until_us, stage)
        {
            self.go_on(Learned::Told, core, stage)?;
        }
        match self.catalog_until_us {
            Some(until_us) if self.is_answer(until_us, stage) => {}
            Some(until_us) if until_us <= stage.now.mono_us => {}
            _ => return Ok(()),
        }
        self.catalog_until_us = None;
        let backlog = std::mem::take(&mut self.server_backlog);
        // What waits is a whole frame and what followed it; if the catalog still lacks the
        // relation, the second look hides its columns instead of waiting again.
        self.run_server(core, stage, &backlog)
    }

    /// Whether the catalog was read after it was asked for; until then there may be snapshots for
    /// other reasons, and the end of a reading that had begun before.
    fn is_answer(&self, until_us: u64, stage: &Stage<'_>) -> bool {
        let begun_us = stage.snapshot.catalogs_begun_us.get(self.link.target).copied();
        begun_us.is_some_and(|begun_us| begun_us + limits::CATALOG_WAIT_US >= until_us)
    }

    /// Handles the message that waits for a catalog, if one does.
    fn go_on(
        &mut self,
        learned: Learned,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Flow::Learning(frame, _) = &mut self.flow else { return Ok(()) };
        let frame = std::mem::take(frame);
        (self.flow, self.learned) = (Flow::Normal, learned);
        let handled = self.again(&frame, core, stage);
        self.learned = Learned::Not;
        handled?;
        self.resume_client(core, stage)
    }

    /// Nobody brought the catalog that a message of the client waits for.
    pub fn unlearned(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        match self.flow {
            Flow::Learning(_, until_us) if until_us <= stage.now.mono_us => {
                self.go_on(Learned::Late, core, stage)
            }
            _ => Ok(()),
        }
    }

    /// Asks for a fresh catalog and stops the client's direction until it is there.
    pub(super) fn learn_first(&mut self, frame: &[u8], core: &mut Office, stage: &Stage<'_>) {
        let until_us = stage.now.mono_us + limits::CATALOG_WAIT_US;
        self.flow = Flow::Learning(frame.to_vec(), until_us);
        core.output(Output::Refresh(Refresh::Catalog(self.link.target)));
    }

    /// Says what could not be said inside a streamed message.
    pub(super) fn interject(&mut self, core: &mut Office) {
        if self.may_interject()
            && let Some(notice) = self.pending_notice.take()
        {
            core.say(|out| out.extend_from_slice(&notice));
        }
    }

    /// Text to the client as soon as it may be put in.
    pub(super) fn say_when_possible(&mut self, bytes: Vec<u8>, core: &mut Office) {
        self.pending_notice.get_or_insert_default().extend_from_slice(&bytes);
        self.interject(core);
    }

    /// Asks for a fresh catalog and stops the target's direction until it is there.
    pub(super) fn await_catalog(&mut self, core: &mut Office, stage: &Stage<'_>) {
        self.catalog_until_us = Some(stage.now.mono_us + limits::CATALOG_WAIT_US);
        core.output(Output::Refresh(Refresh::Catalog(self.link.target)));
    }
}

/// A Terminate message.
pub(super) const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// A fault of the target's bytes.
pub(super) fn server_malformed(kind: Malformed) -> Fault {
    Fault::new(Side::Server, FaultKind::Malformed(kind))
}

/// Commands are held whole, data is streamed. What is larger than its limit is streamed too, and
/// refused when it begins.
fn client_treat(tag: u8, body: u32) -> Treat {
    match tag {
        b'd' => Treat::Stream { prefix: 0 },
        b'B' | b'F' if body > limits::BIND_HELD_BYTES_MAX => {
            Treat::Stream { prefix: limits::BIND_PREFIX_BYTES }
        }
        b'Q' | b'P' if body > limits::COMMAND_HELD_BYTES_MAX => Treat::Stream { prefix: 0 },
        b'Q' | b'P' | b'B' | b'F' => Treat::Hold,
        _ if body > limits::NAME_MESSAGE_BYTES_MAX => Treat::Stream { prefix: 0 },
        _ => Treat::Hold,
    }
}

/// Rows are streamed unless they have to be masked; everything else has to be understood.
fn server_treat(tag: u8, body: u32, masked: bool) -> Treat {
    match tag {
        b'D' | b'd' if masked && body <= limits::MASKED_ROW_BYTES_MAX => Treat::Hold,
        b'D' | b'd' | b'V' => Treat::Stream { prefix: 0 },
        _ if body > limits::SERVER_HELD_BYTES_MAX => Treat::Stream { prefix: 0 },
        _ => Treat::Hold,
    }
}
