//! Settings of the start-up packet, decided as the SET that each of them is.
//!
//! In: a client that proved who it is. Out: nothing, or the fault that ends its login.
//! Never: a setting that the client may not SET, handed to the target.

use crate::decide::rules::Who;
use crate::decide::{ClassSet, Verdict};
use crate::fault::{Fault, FaultKind, Login as LoginFault};
use crate::record::entry::Event;
use crate::wire::Protocol;

use super::super::beliefs::startup::{self, Setting};
use super::{CLIENT, Visitor};
use crate::session::Stage;
use crate::session::postgres::core::Core;

/// Decides about the settings of a visitor. Those that are not harmless are recorded.
pub(super) fn judge(
    visitor: &Visitor,
    core: &mut Core,
    stage: &mut Stage<'_>,
) -> Result<(), Fault> {
    let settings = startup::settings(visitor.asked.settings());
    let judged = settings.iter().filter_map(|setting| Some((setting, setting.class()?)));
    let judged: Vec<_> = judged.collect();
    let Some((first, rest)) = judged.split_first() else { return Ok(()) };
    let classes = rest.iter().fold(first.1.only(), |all, (_, class)| all.and(class.only()));
    let allowed = is_allowed(visitor, classes, core, stage);
    let named: Vec<Setting> = judged.iter().map(|(setting, _)| (*setting).clone()).collect();
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

/// A login cannot wait for people, so what is held is not allowed here.
fn is_allowed(visitor: &Visitor, classes: ClassSet, core: &Core, stage: &Stage<'_>) -> bool {
    let Some(target) = stage.snapshot.settings.targets.get(visitor.target) else { return false };
    let who = Who {
        identity: &visitor.identity,
        target: &target.name,
        role: &visitor.credential.role,
        source: core.accepted.client_addr.ip(),
        wall_us: stage.now.wall_us,
    };
    let verdict = stage.snapshot.rules.decide_class(&who, Protocol::Postgres, classes);
    matches!(verdict, Verdict::Allow(..))
}
