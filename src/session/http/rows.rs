//! What the rows of a request say.
//!
//! In: an exchange, what was decided. Out: its command's row, the row of an answer that no target
//! gave. Never: a field whose value is a credential.

use crate::decide::Object;
use crate::decide::approval::{Ask, AskSummary};
use crate::decide::http::vouched;
use crate::fault::Refused as JournalRefused;
use crate::record::entry::{
    Command, CommandExtra, Decision, Ocsf, Outcome, Params, ParamsEncoding, Response, ResponseExtra,
};
use crate::record::{Entry, Receipt, SessionId};
use crate::session::Stage;
use crate::wire::http::h1::Framing;
use crate::wire::http::head::Version;
use crate::wire::http::pass::Pass;
use crate::wire::http::ws::handshake::Asked;

use super::exchange::{Exchange, Request};
use super::kept::sha256;
use super::tenure::Tenure;
use super::{parked, text};

/// Head and content that a row shows; longer content is in chunks.
const SHOWN_BYTES_MAX: usize = 64 << 10;

/// How a request is written down.
pub(super) struct Ruled<'r> {
    pub seq: u64,
    pub decision: Decision,
    pub rule: &'r str,
    pub approval: Option<SessionId>,
}

/// Writes the request's row.
pub(super) fn record(
    exchange: &Exchange,
    ruled: &Ruled<'_>,
    tenure: &mut Tenure,
    stage: &mut Stage<'_>,
) -> Result<Receipt, JournalRefused> {
    let (request, action) = (&exchange.request, &exchange.action);
    let text = row_text(exchange);
    let attrs = attrs(request, tenure);
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let resource = words(request.head.path());
    let (kind, verb, name) = match (exchange.rpc.as_deref(), exchange.calls.as_deref()) {
        (Some(rpc), _) => (rpc.kind(), words(&rpc.call.method), rpc.name()),
        (None, Some(calls)) => {
            let (verb, name) = calls.names();
            ("jsonrpc", verb, name)
        }
        (None, None) if request.asks == Asked::Websocket => {
            ("websocket", words(request.head.method()), action.operation.clone())
        }
        (None, None) if exchange.is_call() => {
            ("grpc", words(request.head.method()), action.operation.clone())
        }
        (None, None) => ("http", words(request.head.method()), action.operation.clone()),
    };
    let arguments = arguments(exchange);
    let params =
        arguments.map(|raw| Params { encoding: ParamsEncoding::Json, raw, ..Params::default() });
    let digest = exchange.gathered.then(|| sha256(&exchange.content));
    let body_len = match exchange.gathered {
        true => Some(exchange.content.len() as u64),
        false => request.framing.length().filter(|_| request.framing != Framing::None),
    };
    let mut command = Command {
        kind,
        params,
        text: &text,
        operation: &action.operation,
        classes: &action.classes,
        objects: &action.objects,
        decision: ruled.decision,
        rule: ruled.rule,
        approval_id: ruled.approval,
        extra: CommandExtra {
            ocsf: Some(activity(request.head.method())),
            verb: &verb,
            resource: &resource,
            name: &name,
            attrs: &attrs,
            body_len,
            body_sha256: digest.as_ref(),
            policy_version: &tenure.snapshot.policy_version,
            rules: &exchange.rules,
            ..CommandExtra::default()
        },
        ..Command::default()
    };
    if let Some(asked) = &request.kube {
        asked.fill(&mut command);
    }
    let receipt = tenure.ledger.record_at(ruled.seq, &Entry::Command(command), stage)?;
    if ruled.decision != Decision::Hold {
        tenure.totals.commands += 1;
    }
    Ok(receipt)
}

/// Facts of a request that have no column: its host and version, and which of its fields went no
/// further.
fn attrs(request: &Request, tenure: &Tenure) -> String {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let head = &request.head;
    let version = match head.version() {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    };
    let target = tenure.snapshot.settings.targets.get(tenure.target);
    let http = target.and_then(|target| target.http.as_ref());
    let http = http.filter(|_| request.kube.is_none());
    let vouched = http.map(|http| vouched::fields(head, &http.client_fields)).unwrap_or_default();
    let pass = Pass { without: &vouched, ..Pass::default() };
    let dropped: Vec<String> = pass.dropped(head).map(words).collect();
    let mut attrs = serde_json::json!({ "host": words(head.authority()), "http": version });
    if let Some(attrs) = attrs.as_object_mut() {
        if !dropped.is_empty() {
            attrs.insert("dropped".into(), dropped.into());
        }
        if let Some(header) = &tenure.credential.header {
            attrs.insert("credential".into(), header.name.as_str().into());
        }
    }
    attrs.to_string()
}

/// HTTP Activity of OCSF.
const fn activity(method: &[u8]) -> Ocsf {
    let activity_id = match method {
        b"DELETE" => 2,
        b"GET" => 3,
        b"HEAD" => 4,
        b"OPTIONS" => 5,
        b"POST" => 6,
        b"PUT" => 7,
        _ => 99,
    };
    Ocsf { class_uid: 4002, activity_id }
}

/// The head as received, and the content if it was gathered and fits.
fn row_text(exchange: &Exchange) -> Vec<u8> {
    let mut shown = text::text(&exchange.request.head);
    if !exchange.content.is_empty() && shown.len() + exchange.content.len() <= SHOWN_BYTES_MAX {
        shown.extend_from_slice(b"\r\n");
        shown.extend_from_slice(&exchange.shown());
    }
    shown
}

/// The row of a request that has no answer of its target; status 0: none at all. Where its client
/// reads events already, the last one is what it is told, and the row is written with that.
pub(super) fn unanswered(
    exchange: &mut Exchange,
    outcome: Outcome,
    (status, error_text): (u16, &str),
    tenure: &mut Tenure,
    stage: &mut Stage<'_>,
) -> Result<Receipt, JournalRefused> {
    if let Some(progress) = &mut exchange.progress {
        progress.ends(outcome, error_text);
        return Ok(tenure.ledger.covered(stage));
    }
    let status = (status != 0).then(|| i32::from(status));
    let response = Response {
        command_seq: exchange.seq,
        outcome,
        error_text,
        duration_us: stage.now.mono_us.saturating_sub(exchange.at_us),
        extra: ResponseExtra { status, ..ResponseExtra::default() },
        ..Response::default()
    };
    tenure.ledger.record(&Entry::Response(response), stage)
}

/// What a message of MCP asks for, as a line before the request that has it: all of them are sent
/// to one path.
pub(super) fn asked_for(exchange: &Exchange) -> Vec<u8> {
    let line = |called: &str, arguments: &[u8]| {
        let is_short = arguments.len() <= ARGUMENTS_BYTES && !arguments.contains(&b'\n');
        let arguments = if is_short { String::from_utf8_lossy(arguments) } else { "...".into() };
        let line = format!("{called} {arguments}").replace(|it: char| it.is_control(), " ");
        format!("{}\r\n", line.trim_end()).into_bytes()
    };
    if let Some(calls) = exchange.calls.as_deref() {
        let lines = calls.lines(&exchange.content).into_iter();
        return lines.flat_map(|(method, params)| line(method, params)).collect();
    }
    let Some(rpc) = exchange.rpc.as_deref() else { return Vec::new() };
    let name = rpc.name();
    let method = String::from_utf8_lossy(&rpc.call.method).into_owned();
    let called = if name == method { method } else { format!("{method} {name}") };
    line(&called, rpc.arguments(&exchange.content).unwrap_or_default())
}

/// What a message asks with, as it is written.
fn arguments(exchange: &Exchange) -> Option<&[u8]> {
    match (exchange.rpc.as_deref(), exchange.calls.as_deref()) {
        (Some(rpc), _) => rpc.arguments(&exchange.content),
        (None, Some(calls)) => calls.arguments(&exchange.content),
        (None, None) => None,
    }
}

/// Longer arguments stand in the values alone.
const ARGUMENTS_BYTES: usize = 1 << 10;

/// What people are shown of a request that they are asked about.
pub(super) fn summary(
    exchange: &Exchange,
    ask: &Ask,
    tenure: &Tenure,
    stage: &Stage<'_>,
) -> AskSummary {
    let (request, action) = (&exchange.request, &exchange.action);
    let mut text = asked_for(exchange);
    text.extend(text::text(&request.head));
    if !exchange.content.is_empty() {
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&exchange.shown());
    }
    AskSummary {
        id: ask.id,
        session_id: tenure.ledger.id,
        command_seq: exchange.seq,
        user: tenure.identity.user.clone(),
        target: tenure.target_name.clone(),
        role: tenure.credential.role.clone(),
        rule: ask.terms.rule().to_string(),
        text: String::from_utf8_lossy(&text).into_owned(),
        sameness: Some(parked::key(exchange, tenure)),
        params: arguments(exchange)
            .map(|raw| String::from_utf8_lossy(raw).into_owned())
            .unwrap_or_default(),
        classes: action.classes.iter().map(ToString::to_string).collect(),
        objects: action.objects.iter().map(Object::marked).collect(),
        approvers: ask.terms.approvers(),
        quorum: ask.terms.quorum(),
        parts: ask.parts(),
        repeatable: false,
        requested_at_us: stage.now.wall_us,
        expires_at_us: ask.expires_at_us,
    }
}
