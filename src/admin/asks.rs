//! The part of the API that people answer commands with: lists, whole asks, votes, windows, links.
//!
//! In: proven callers. Out: heads in pages, whole asks, what became of votes.
//! Never: an ask shown to somebody who is neither its requester nor one of its approvers nor an
//! administrator; a GET that changes anything.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::api::{Api, Channel, Problem};
use super::audit::{self, Act};
use super::auth::Caller;
use super::board::{Ended, Waiting};
use super::shape::{self, Ballot, Decision, VoteReply};
use super::state::{ControlState, Counters};
use super::{clock, log};
use crate::decide::approval::{AskSummary, Scope};
use crate::hex;
use crate::limits;
use crate::record::SessionId;

fn sees(caller: &Caller, user: &str, approvers: &[String]) -> bool {
    caller.is_admin() || user == caller.name || caller.may_answer(approvers)
}

fn absent() -> Problem {
    let hint = "it may have been answered, canceled or expired; GET /v1/asks lists";
    Problem::new(StatusCode::NOT_FOUND, "no command waits under this id", hint)
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The last id of the page before.
    #[serde(default)]
    after: Option<String>,
    /// So many at most.
    #[serde(default)]
    limit: Option<usize>,
}

pub(super) async fn asks(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Query(page): Query<Page>,
) -> Result<Json<shape::Asks>, Problem> {
    let hint = "GET /v1/asks?after=ID&limit=COUNT, both optional";
    let after = match page.after.as_deref() {
        None => None,
        Some(text) => Some(shape::id_parse(text).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "`after` is no id of an approval", hint)
        })?),
    };
    let most = page.limit.unwrap_or(limits::ASKS_PAGE_MAX).clamp(1, limits::ASKS_PAGE_MAX);
    Ok(Json(heads(&api.state, &caller, after, most)))
}

/// The first page alone, as a list.
pub(super) async fn approvals(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Json<Vec<shape::Approval>> {
    Json(heads(&api.state, &caller, None, limits::ASKS_PAGE_MAX).items)
}

fn heads(
    state: &ControlState,
    caller: &Caller,
    after: Option<SessionId>,
    most: usize,
) -> shape::Asks {
    let seen = |ask: &AskSummary| sees(caller, &ask.user, &ask.approvers);
    let (page, more) = state.board().page(after, most, seen);
    let next = page.last().filter(|_| more).map(|last| shape::id_text(last.ask.id));
    let items = page.iter().map(|waiting| shape::Approval::head(&waiting.ask)).collect();
    shape::Asks { items, next }
}

pub(super) async fn ask(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<shape::Approval>, Problem> {
    let id = shape::id_parse(&id).ok_or_else(absent)?;
    let Waiting { ask, digest, .. } = api.state.board().get(id).ok_or_else(absent)?;
    match sees(&caller, &ask.user, &ask.approvers) {
        true => Ok(Json(shape::Approval::whole(&ask, &digest))),
        false => Err(absent()),
    }
}

/// What a link in a message leads to: the command as it is, or what became of it. Reading it is all
/// that it does.
pub(super) async fn link(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = shape::id_parse(&id).ok_or_else(absent)?;
    let found = {
        let board = api.state.board();
        match (board.get(id), board.ended(id)) {
            (Some(waiting), _) if sees(&caller, &waiting.ask.user, &waiting.ask.approvers) => {
                Ok(waiting)
            }
            (None, Some(ended)) if sees(&caller, &ended.user, &ended.approvers) => Err(format!(
                "{}: {} at {}\n",
                shape::id_text(id),
                ended.event,
                clock::to_text(ended.at_us)
            )),
            _ => return Err(absent()),
        }
    };
    let text = match found {
        Err(text) => text,
        Ok(Waiting { ask, digest, .. }) => shape::Approval::whole(&ask, &digest).page(),
    };
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

pub(super) async fn vote(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Extension(Channel(channel)): Extension<Channel>,
    Path(id): Path<String>,
    ballot: Result<Json<Ballot>, JsonRejection>,
) -> Result<(StatusCode, Json<VoteReply>), Problem> {
    let Json(ballot) = ballot.map_err(|rejection| {
        let hint = "send JSON {\"decision\": \"approve\" or \"deny\", \"reason\": \"..\"} \
                    with content-type application/json";
        Problem::new(rejection.status(), rejection.body_text(), hint)
    })?;
    if ballot.reason.len() > REASON_BYTES_MAX {
        let hint = "a reason has at most 4096 bytes";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the reason is too long", hint));
    }
    let unknown = Ok((StatusCode::NOT_FOUND, Json(VoteReply::Unknown)));
    let Some(id) = shape::id_parse(&id) else { return unknown };
    let approve = ballot.decision == Decision::Approve;
    let Some(waiting) = api.state.board().get(id) else {
        let late = (api.state.board().ended(id))
            .filter(|ended| sees(&caller, &ended.user, &ended.approvers))
            .map(|ended| late(ended, approve));
        let Some(message) = late else { return unknown };
        return Ok((StatusCode::CONFLICT, Json(VoteReply::Refused { message })));
    };
    let Waiting { shard, ask, digest } = waiting;
    let scope = scope_of(&ballot, &ask)?;
    // Whoever approves says what was looked at. A denial needs none: it lets nothing run.
    if ballot.digest != hex::text(&digest) && (approve || !ballot.digest.is_empty()) {
        let message = "the vote is not about the command that waits".to_owned();
        return Ok((StatusCode::CONFLICT, Json(VoteReply::Refused { message })));
    }
    let vote = crate::session::Vote {
        approver: caller.name.clone(),
        also: api.state.settings().approvals.also(&caller.name),
        groups: caller.groups.clone(),
        approve,
        reason: ballot.reason,
        digest: Some(digest),
        scope,
        auth: caller.auth.to_owned(),
        ground: caller.ground.clone(),
        channel: channel.to_owned(),
    };
    // The shard that holds the command judges the vote: it alone knows whether it still waits.
    let reply = api.state.mesh.vote(shard, id, vote).await.ok_or_else(Problem::silent)?;
    Counters::count(&api.state.counters.votes);
    let (code, word) = match &reply {
        crate::session::VoteReply::Counted { .. } | crate::session::VoteReply::Settled(_) => {
            (StatusCode::OK, "counts")
        }
        crate::session::VoteReply::Again { .. } => (StatusCode::OK, "has counted before"),
        crate::session::VoteReply::Denied => (StatusCode::OK, "ends the hold"),
        crate::session::VoteReply::Refused(_) => (StatusCode::FORBIDDEN, "is refused"),
        crate::session::VoteReply::Unknown => (StatusCode::NOT_FOUND, "comes too late"),
    };
    let decision = if approve { "approve" } else { "deny" };
    let text = shape::id_text(id);
    let message = format!("approval {text}: the vote of {} to {decision} {word}", caller.name);
    log::tell(log::Level::Info, "vote", &message);
    if code != StatusCode::OK {
        // A vote that counts is a row of `approvals`; one that does not is told here.
        let act = Act::new("vote-refused", format!("voted to {decision} {text}: it {word}"));
        audit::record(&api.state, &caller, act.with("approval_id", text).with("channel", channel))
            .await;
    }
    Ok((code, Json(reply.into())))
}

/// What a voter reads who comes when it is over. Whoever would have stopped a command that runs can
/// end its session.
fn late(ended: &Ended, approve: bool) -> String {
    let at = clock::to_text(ended.at_us);
    match ended.event {
        "approved" | "released" if !approve => format!(
            "too late: it was {} at {at} and has begun, unless its client has yet to ask again; \
             `weir kill {}` ends its session",
            ended.event,
            shape::id_text(ended.session_id)
        ),
        event => format!("too late: it was {event} at {at}"),
    }
}

/// For what else than this execution the voter means it.
fn scope_of(ballot: &Ballot, ask: &AskSummary) -> Result<Scope, Problem> {
    let wrong = |message: &str| {
        let hint = "{\"same_statement\": 1 to 20, \"seconds\": up to 3600} or \
                    {\"window_seconds\": up to 28800}";
        Problem::new(StatusCode::BAD_REQUEST, message, hint)
    };
    let Some(scope) = &ballot.scope else { return Ok(Scope::Once) };
    if ballot.decision == Decision::Deny {
        return Err(wrong("a denial has no scope"));
    }
    let us = |seconds: u64| seconds.saturating_mul(1_000_000);
    let scope = match (scope.same_statement, scope.seconds, scope.window_seconds) {
        (Some(times), seconds, None) => {
            let for_us = seconds.map_or(limits::REPEAT_US_MAX, us);
            Scope::Statement { times, for_us }
        }
        (None, None, Some(seconds)) => Scope::Window { for_us: us(seconds) },
        _ => return Err(wrong("the scope is none of those that there are")),
    };
    if !scope.is_bounded() {
        return Err(wrong("the scope is beyond the bounds"));
    }
    if matches!(scope, Scope::Statement { .. }) && !ask.repeatable {
        let hint = "only statements of the classes `read` and `write` of PostgreSQL can be \
                    approved for more than one execution";
        let message = "this command is approved each time";
        return Err(Problem::new(StatusCode::BAD_REQUEST, message, hint));
    }
    Ok(scope)
}

pub(super) async fn windows(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Json<Vec<shape::Window>> {
    let open = api.state.windows();
    let seen = open
        .iter()
        .filter(|window| caller.is_admin() || window.concerns(&caller.name, &caller.groups));
    Json(seen.map(|window| shape::Window::from(&**window)).collect())
}

/// Closes a window: an administrator, or whom it concerns.
pub(super) async fn revoke(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<shape::Window>, Problem> {
    let absent = || {
        let hint = "those that you may close: `weir approvals windows`, or GET /v1/windows; others \
                    are for their approvers, their user and administrators";
        Problem::new(StatusCode::NOT_FOUND, "no window of yours is open under this id", hint)
    };
    let id = shape::id_parse(&id).ok_or_else(absent)?;
    let may = |window: &crate::decide::approval::Window| {
        caller.is_admin() || window.concerns(&caller.name, &caller.groups)
    };
    let window = api.state.close_window(id, may).ok_or_else(absent)?;
    api.state.publish().await;
    let text = shape::id_text(id);
    let act = Act::new("window-revoked", format!("closed the window {text} of {}", window.user));
    audit::record(&api.state, &caller, act.with("approval_id", text)).await;
    Ok(Json(shape::Window::from(&*window)))
}

const REASON_BYTES_MAX: usize = 4_096;
