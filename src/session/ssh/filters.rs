//! Filters of an rsync, where rules name paths: a rule of them may make the target's rsync read a
//! file, which is in no command.
//!
//! In: what a client sends to such a program. Out: the same, as far as it is patterns. Never: a
//! rule that is none: the program hears the end of its input instead, and ends.

use crate::decide::ssh::{self, Class, Plumbing};
use crate::decide::{FactKind, Permit};
use crate::fault::Fault;
use crate::metrics;
use crate::record::entry::Decision;
use crate::session::Stage;
use crate::wire::ssh::filters::{FilterList, Unfit};

use super::admit::{Place, Refusal, Ruled, Wanted, client_broken, record_command, record_refusal};
use super::channels::ChannelKey;
use super::open::{Open, record_fault};
use super::operations::send_all;
use super::{Machine, Phase, voice};

/// What is said of a list that is refused.
const DENIED: &str = "weir: denied: rules name paths here, and this filter may read another file: \
                      only patterns (--include, --exclude) pass";
const UNKNOWN: &str = "weir: denied: rules name paths here, and this is no list of filters that \
                       weir knows (rsync 3.0 to 3.4, without --protocol, --compress-choice)";

/// The filters of one channel.
#[derive(Debug)]
pub(super) enum Filters {
    /// They come; what was not looked at whole is held.
    Coming { list: FilterList, held: Vec<u8>, upload: bool },
    /// They are over, and the rest passes.
    Over,
    /// They were refused, and nothing passes.
    Cut,
}

impl Open {
    /// A command was permitted: its filters are read where rules name paths.
    pub(super) fn filters_begin(&mut self, key: ChannelKey, wanted: &Wanted) {
        let is_sent = wanted.kind == "exec" && ssh::takes_filters(&wanted.text);
        if !is_sent || !self.scope.asks(FactKind::Path) {
            return;
        }
        let upload = wanted.action.acts.iter().any(|act| act.classes.has(Class::RsyncUpload));
        let filters = Filters::Coming { list: FilterList::new(), held: Vec::new(), upload };
        self.channels.frame(key);
        self.filters.push((key, filters));
    }

    fn filters(&mut self, key: ChannelKey) -> Option<&mut Filters> {
        self.filters.iter_mut().find(|(channel, _)| *channel == key).map(|(_, filters)| filters)
    }

    /// Whether what a client sends on a channel begins with filters.
    pub(super) fn has_filters(&self, key: ChannelKey) -> bool {
        self.filters.iter().any(|(channel, _)| *channel == key)
    }

    /// Whether the target was told that nothing more comes.
    pub(super) fn is_cut(&self, key: ChannelKey) -> bool {
        self.filters.iter().any(|(channel, it)| *channel == key && matches!(it, Filters::Cut))
    }
}

impl Filters {
    /// More bytes: what may leave.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
        let Filters::Coming { list, held, .. } = self else { return Ok(bytes.to_vec()) };
        held.extend_from_slice(bytes);
        list.push(bytes)?;
        if !list.is_whole() {
            return Ok(Vec::new());
        }
        let going = std::mem::take(held);
        if list.is_over() {
            *self = Filters::Over;
        }
        Ok(going)
    }
}

impl Machine {
    /// Bytes of a client that begin with filters.
    pub(super) fn filtered(
        &mut self,
        key: ChannelKey,
        bytes: &[u8],
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let now_us = stage.now.mono_us;
        let Machine { core, target: Some(target), phase: Phase::Open(open), .. } = self else {
            return Ok(());
        };
        let (durability, input) = (open.durability, open.input);
        let Some(filters) = open.filters(key) else { return Ok(()) };
        if matches!(filters, Filters::Cut) {
            return open.channels.drop_framed(key, bytes.len()).map_err(client_broken);
        }
        let going = match filters.take(bytes) {
            Ok(going) => going,
            Err(unfit) => return self.cut(key, &unfit, stage),
        };
        if going.is_empty() {
            return Ok(());
        }
        if let Some(run) = open.run(key) {
            run.input(&going, input, now_us);
            if run.is_due(durability) {
                run.flush(core, stage).map_err(record_fault)?;
            }
        }
        let messages = open.channels.release_framed(key, &going);
        let receipt = core.covered(stage);
        send_all(target, (Permit::plumbing(Plumbing::Running), receipt), messages, core, stage);
        Ok(())
    }

    /// Refuses a list: a row says which rule, the client hears why.
    fn cut(&mut self, key: ChannelKey, unfit: &Unfit, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Machine { core, phase: Phase::Open(open), .. } = self else { return Ok(()) };
        let Some(filters) = open.filters(key) else { return Ok(()) };
        let Filters::Coming { held, upload, .. } = std::mem::replace(filters, Filters::Cut) else {
            return Ok(());
        };
        let (rule, words) = match unfit {
            Unfit::Rule(rule) => (rule.as_slice(), DENIED),
            Unfit::Form => (&b""[..], UNKNOWN),
        };
        let wanted = Wanted {
            message: Vec::new(),
            place: Place::Beside { channel: key, want_reply: false },
            action: ssh::filter(upload),
            kind: "exec",
            text: [b"rsync filter ", rule].concat(),
            attrs: String::new(),
            clear: true,
            parent_seq: open.seq_of(key),
            wish: None,
        };
        let ruled = Ruled {
            seq: core.take_seq(),
            decision: Decision::Deny,
            rule: "",
            matched: None,
            approval_id: None,
        };
        core.count(metrics::Counted::Deny);
        core.totals.denied += 1;
        let recorded = record_command(&wanted, &ruled, core, stage)
            .and_then(|_| record_refusal(ruled.seq, Refusal::denied(words), core, stage));
        let words = match recorded {
            Ok(_) => words.to_owned(),
            Err(refused) => voice::unrecorded(refused),
        };
        open.channels.drop_framed(key, held.len()).map_err(client_broken)?;
        open.channels.end_input(key);
        // The channel may be gone; then nobody reads this.
        let _unheard = open.channels.tell(key, &words);
        self.posts(stage);
        Ok(())
    }
}
