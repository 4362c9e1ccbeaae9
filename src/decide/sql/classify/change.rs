//! What a statement changes of the session it runs in: names of cursors, its transaction, settings.
//!
//! In: a node. Out: a `Consequence`. Never: a judgement; whether it may run is not asked here.

use pg_query::NodeEnum;
use pg_query::protobuf::{DiscardMode, TransactionStmtKind, VariableSetKind, VariableSetStmt};

use super::super::Consequence;
use super::functions::misread;

/// WITH HOLD (parsenodes.h, `CURSOR_OPT_HOLD`).
const CURSOR_OPT_HOLD: i32 = 0x0020;

/// `Consequence::None` for all that leaves the session as it was.
pub(super) fn effect(node: &NodeEnum) -> Consequence {
    match node {
        NodeEnum::DeclareCursorStmt(declare) => Consequence::Declare {
            name: declare.portalname.clone(),
            hold: declare.options & CURSOR_OPT_HOLD != 0,
        },
        NodeEnum::FetchStmt(fetch) => Consequence::Fetch(fetch.portalname.clone()),
        NodeEnum::ClosePortalStmt(close) => {
            // CLOSE ALL has no name (gram.y, ClosePortalStmt).
            let name = (!close.portalname.is_empty()).then(|| close.portalname.clone());
            Consequence::CloseCursor(name)
        }
        NodeEnum::DiscardStmt(discard) if discard.target() == DiscardMode::DiscardAll => {
            Consequence::Discard
        }
        NodeEnum::TransactionStmt(transaction) => match transaction.kind() {
            TransactionStmtKind::TransStmtCommit
            | TransactionStmtKind::TransStmtRollback
            | TransactionStmtKind::TransStmtPrepare => Consequence::EndTransaction,
            // What it defined is there from now on.
            TransactionStmtKind::TransStmtCommitPrepared => Consequence::Catalog,
            _ => Consequence::None,
        },
        NodeEnum::VariableSetStmt(set) if resets_reading(set) => Consequence::Reset,
        _ => Consequence::None,
    }
}

/// `SET x TO DEFAULT` resets too (guc.c, `ExecSetVariableStmt`).
fn resets_reading(set: &VariableSetStmt) -> bool {
    match set.kind() {
        VariableSetKind::VarResetAll => true,
        VariableSetKind::VarReset | VariableSetKind::VarSetDefault => {
            misread(&set.name, "").is_some()
        }
        _ => false,
    }
}
