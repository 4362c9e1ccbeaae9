//! The cluster's own audit log and weir's record, joined by the id of the request: what passed is
//! in both, in the same words, and what weir refused is in one of them only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::support::Weir;
use super::support::lake::{Row, number, text};
use super::world::Cluster;

/// A request, as both have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub user: String,
    pub verb: String,
    /// The API group, and nothing for a path without a resource.
    pub group: String,
    /// The resource, or the path.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub status: i64,
}

/// What the record says passed, and the ids of what did not.
fn recorded(weir: &mut Weir) -> (BTreeMap<String, Seen>, BTreeSet<String>) {
    let lake = weir.lake();
    let key = |row: &Row, seq: &str| format!("{}:{}", text(row, "session_id"), number(row, seq));
    let answers = lake.rows("responses");
    let answers: BTreeMap<String, i64> =
        answers.iter().map(|row| (key(row, "command_seq"), number(row, "status"))).collect();
    let (mut passed, mut refused) = (BTreeMap::new(), BTreeSet::new());
    for row in lake.rows("commands") {
        let id = key(&row, "seq");
        if text(&row, "decision") == "deny" {
            refused.insert(id);
            continue;
        }
        let attrs: Value = serde_json::from_str(&text(&row, "attrs")).unwrap_or_default();
        let seen = Seen {
            user: text(&row, "user_name"),
            verb: text(&row, "verb"),
            group: attrs["group"].as_str().unwrap_or_default().to_owned(),
            resource: text(&row, "resource"),
            subresource: text(&row, "subresource"),
            namespace: text(&row, "namespace"),
            name: text(&row, "name"),
            status: answers.get(&id).copied().unwrap_or_default(),
        };
        passed.insert(id, seen);
    }
    (passed, refused)
}

/// What the cluster says that weir asked it, each request by its last stage.
fn audited(cluster: &Cluster) -> BTreeMap<String, Seen> {
    let log = std::fs::read_to_string(cluster.fact("audit_log")).expect("the audit log");
    let mut seen = BTreeMap::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        if event["user"]["username"] != "weir" {
            continue;
        }
        let word = |pointer: &str| {
            event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let user = word("/impersonatedUser/username");
        assert!(!user.is_empty(), "weir asked for itself: {line}");
        let resource = match word("/objectRef/resource").as_str() {
            "" => word("/requestURI").split('?').next().unwrap_or_default().to_owned(),
            resource => resource.to_owned(),
        };
        let request = Seen {
            user,
            verb: word("/verb"),
            group: word("/objectRef/apiGroup"),
            resource,
            subresource: word("/objectRef/subresource"),
            namespace: word("/objectRef/namespace"),
            name: word("/objectRef/name"),
            status: event["responseStatus"]["code"].as_i64().unwrap_or_default(),
        };
        seen.insert(word("/auditID"), request);
    }
    seen
}

/// Both say the same of everything that this weir, the only one in front of this cluster, let
/// pass; what it let pass.
pub fn joined(cluster: &Cluster, weir: &mut Weir) -> Vec<Seen> {
    let (passed, refused) = recorded(weir);
    let audited = audited(cluster);
    let unlike = |id: &&String| passed.get(*id) != audited.get(*id);
    let ids: BTreeSet<&String> = passed.keys().chain(audited.keys()).filter(unlike).collect();
    let shown: Vec<String> = ids
        .iter()
        .take(20)
        .map(|id| {
            format!("{id}\n  record: {:?}\n  audit:  {:?}", passed.get(*id), audited.get(*id))
        })
        .collect();
    assert!(ids.is_empty(), "{} of {} differ:\n{}", ids.len(), passed.len(), shown.join("\n"));
    let went = refused.iter().find(|id| audited.contains_key(*id));
    assert!(went.is_none(), "{went:?} was refused, and the cluster heard of it");
    passed.into_values().collect()
}
