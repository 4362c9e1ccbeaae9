//! Errors that answer a Sync: of the transaction that it ends.
//!
//! In: such an error. Out: a row of its own for the Sync, and the error. Never: such an error
//! without a row; a row of a command that was answered, written again.
//!
//! Outside of BEGIN the commands of a pipeline are one transaction, which the target commits when
//! it reads the Sync (postgres.c, `PostgresMain`: `finish_xact_command`). Deferred constraints and
//! triggers are looked at then, and cursors WITH HOLD are filled. By that time the answers of the
//! commands are with the client, and their rows in the journal: `success` is what the target said
//! of each, and the row of the Sync says that all of them were rolled back.

use crate::fault::{Fault, FaultKind};
use crate::record::Entry;
use crate::record::entry::{Command, CommandExtra, Decision};
use crate::session::Stage;
use crate::session::postgres::core::Office;
use crate::session::postgres::state::Issued;
use crate::wire::Side;

use super::ready::Ready;

impl Ready {
    /// Writes the row of a Sync that failed, then its error, and hands that on.
    pub(super) fn sync_failed(
        &mut self,
        frame: &[u8],
        recorded: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let seq = core.take_seq();
        let command = Command {
            kind: "sync",
            text: b"Sync",
            operation: "SYNC",
            classes: &["transaction"],
            decision: Decision::Allow,
            extra: CommandExtra { parent_seq: self.pipelined, ..CommandExtra::default() },
            ..Command::default()
        };
        core.record_at(seq, &Entry::Command(command), stage)
            .map_err(|refused| Fault::new(Side::Server, FaultKind::Record(refused)))?;
        core.totals.commands += 1;
        self.answer.begin(Issued { seq, at_us: stage.now.mono_us, held: false }, stage.now.mono_us);
        self.send_failed(frame, recorded, core, stage)
    }
}
