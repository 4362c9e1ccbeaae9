//! Rows of `commands`.
//!
//! In: a command of the journal, what became of it. Out: the columns of its row. Never: a text in
//! another encoding than UTF-8; the bytes that it was sent as stand beside it.

use std::borrow::Cow;
use std::fmt::Write;

use super::super::body::CommandView;
use super::super::entry::{Decision, Ocsf};
use super::super::params;
use super::super::schema::Sink;
use super::{Unanswered, push_object, uuid_text};

/// Appends a row of `commands`.
pub(super) fn fill(
    columns: &mut impl Sink,
    command: &CommandView<'_>,
    unanswered: Option<Unanswered>,
) {
    columns.text(command.kind);
    let ocsf = command.extra.ocsf.unwrap_or_else(|| ocsf_of_database(command));
    columns.int(i32::from(ocsf.class_uid));
    columns.int(i32::from(ocsf.activity_id));
    columns.text(command.operation);
    columns.texts(command.classes.iter());
    let mut names = String::new();
    let mut ends = Vec::new();
    for object in command.objects.iter() {
        push_object(&mut names, &object);
        ends.push(names.len());
    }
    let mut start = 0;
    columns.texts(ends.iter().map(|end| &names[std::mem::replace(&mut start, *end)..*end]));
    let text = params::shown_text(command.extra.text_encoding, command.text);
    columns.text(&text);
    columns.blob(matches!(text, Cow::Owned(_)).then_some(command.text));
    columns.long(command.text.len() as u64);
    columns.digest(command.text);
    match &command.params {
        Some(view) => columns.text(&params::to_json(view)),
        None => columns.nulls(1),
    }
    columns.text_or_null(command.statement);
    columns.text(match (unanswered, command.decision) {
        (Some(Unanswered::Abandoned), _) | (None, Decision::Abandoned) => "abandoned",
        (None, Decision::Deny) => "deny",
        (Some(Unanswered::Hold), _) | (None, Decision::Hold) => "hold",
        (None, Decision::Allow) => "allow",
    });
    columns.text_or_null(command.rule);
    match &command.approval_id {
        Some(id) => columns.text(uuid_text(id, &mut [0; 36])),
        None => columns.nulls(1),
    }
    command_extra(columns, command);
}

fn command_extra(columns: &mut impl Sink, command: &CommandView<'_>) {
    let extra = &command.extra;
    let encodings = encodings(command);
    columns.long_or_null(extra.parent_seq);
    columns.long_or_null(extra.stream_id);
    columns.text_or_null(extra.verb);
    columns.text_or_null(extra.resource);
    columns.text_or_null(extra.subresource);
    columns.text_or_null(extra.name);
    columns.text_or_null(extra.namespace);
    columns.text_or_null(match extra.attrs {
        "" => &encodings,
        attrs => attrs,
    });
    columns.long_or_null(extra.body_len);
    columns.blob(extra.body_sha256.map(<[u8; 32]>::as_slice));
    columns.text_or_null(command.params.map_or("", |params| params.encoding.name()));
    columns.text_or_null(extra.policy_version);
    if extra.alone {
        columns.texts(std::iter::once(command.rule));
    } else if extra.rules.is_empty() {
        columns.nulls(1);
    } else {
        columns.texts(extra.rules.iter());
    }
}

/// In which encodings a text and its values came, where they are not UTF-8: JSON text.
fn encodings(command: &CommandView<'_>) -> String {
    let values = command.params.map_or("", |params| params.text_encoding);
    let named = [("text_encoding", command.extra.text_encoding), ("values_encoding", values)];
    let named = named.into_iter().filter(|(_, encoding)| !encoding.is_empty());
    let named: serde_json::Map<_, _> =
        named.map(|(name, encoding)| (name.to_owned(), encoding.into())).collect();
    if named.is_empty() { String::new() } else { serde_json::Value::Object(named).to_string() }
}

/// OCSF class 6005, Datastore Activity, with the activity of the first statement: 1 read, 2 update,
/// 4 query, 5 write, 6 create, 7 delete, 99 other, 0 unknown.
fn ocsf_of_database(command: &CommandView<'_>) -> Ocsf {
    let first = command.operation.split([';', ' ']).next().unwrap_or_default();
    let activity_id = match first {
        "" => 0,
        "SELECT" | "VALUES" | "TABLE" | "FETCH" | "EXPLAIN" | "SHOW" => 4,
        "COPY" if command.classes.iter().next() == Some("read") => 1,
        "UPDATE" | "MERGE" | "ALTER" => 2,
        "INSERT" | "COPY" => 5,
        "CREATE" => 6,
        "DELETE" | "TRUNCATE" | "DROP" => 7,
        _ => 99,
    };
    Ocsf { class_uid: 6005, activity_id }
}

/// Appends what `log_events` says of a command that waits.
pub(super) fn held_event(columns: &mut impl Sink, command: &CommandView<'_>) {
    columns.text("hold");
    columns.text("info");
    columns.text("A command waits for approval");
    let mut attrs = String::from(r#"{"rule":"#);
    let _ = write!(attrs, "{}", serde_json::Value::from(command.rule));
    if let Some(id) = &command.approval_id {
        let _ = write!(attrs, r#","approval_id":"{}""#, uuid_text(id, &mut [0; 36]));
    }
    attrs.push('}');
    columns.text(&attrs);
}
