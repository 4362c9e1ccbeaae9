//! Settings of the start-up packet, decided as the SET that each of them is.
//!
//! In: a client that proved who it is. Out: nothing, or the fault that ends its login.
//! Never: a setting that the client may not SET, handed to the target.

use crate::decide::rules::Who;
use crate::decide::{Action, FactKind, Verdict};
use crate::fault::{Fault, FaultKind, Login as LoginFault};
use crate::record::entry::Event;
use crate::wire::Protocol;

use super::super::beliefs::startup::{self, Setting};
use super::{CLIENT, Visitor};
use crate::session::Stage;
use crate::session::postgres::core::Office;

/// Decides about the settings of a visitor. Those that are not harmless are recorded, and harmless
/// ones that a rule names.
pub(super) fn judge(
    visitor: &Visitor,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<(), Fault> {
    let settings = startup::settings(visitor.asked.settings());
    let Some(target) = stage.snapshot.settings.targets.get(visitor.target) else {
        return Err(Fault::new(CLIENT, FaultKind::Login(LoginFault::Settings)));
    };
    let who = Who {
        identity: &visitor.identity,
        target: &target.name,
        role: &visitor.credential.role,
        source: core.accepted.client_addr.ip(),
        wall_us: stage.now.wall_us,
    };
    let scope = stage.snapshot.rules.scope(&who);
    let guarded = |setting: &Setting| {
        scope.guards(&who, (Protocol::Postgres, &setting.act()), FactKind::Setting)
    };
    let (judged, harmless): (Vec<&Setting>, Vec<&Setting>) =
        settings.iter().partition(|setting| setting.class().is_some());
    let guarded: Vec<&Setting> = harmless.into_iter().filter(|it| guarded(it)).collect();
    if judged.is_empty() && guarded.is_empty() {
        return Ok(());
    }
    let acts: Vec<_> = judged.iter().map(|setting| setting.act()).collect();
    // A login cannot wait for people, so what is held is not allowed here.
    let is_allowed = |verdict| matches!(verdict, Verdict::Allow(..));
    let allowed = guarded.is_empty()
        && is_allowed(scope.decide(&who, &Action::new(Protocol::Postgres, acts)));
    let named: Vec<Setting> = judged.into_iter().chain(guarded).cloned().collect();
    let attrs = serde_json::json!({ "settings": startup::json(&named) }).to_string();
    let event = Event {
        event: if allowed { "startup-settings" } else { "startup-settings-denied" },
        severity: if allowed { "info" } else { "warn" },
        message: "settings that the client begins with",
        attrs: &attrs,
    };
    core.event(&event, stage)?;
    if allowed {
        return Ok(());
    }
    Err(Fault::new(CLIENT, FaultKind::Login(LoginFault::Settings)))
}
