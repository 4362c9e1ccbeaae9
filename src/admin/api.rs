//! The JSON API that people, the console and the command line use; `shape` has its words.
//!
//! ```text
//!   GET  /v1/health                  anybody         alive or draining
//!   GET  /healthz                    anybody         the same
//!   GET  /readyz                     anybody         200: send clients here; 503: not, and why
//!   GET  /v1/status                  admin           version, shards, targets, counters
//!   GET  /v1/metrics                 admin           counters and durations, as Prometheus reads them
//!   GET  /v1/meters                  admin           the same by target, as `weir top` reads them
//!   GET  /v1/sessions                admin, own      live sessions
//!   POST /v1/sessions/{id}/kill      admin, own      ends one
//!   GET  /v1/approvals               admin, own, approver    commands that wait
//!   GET  /v1/approvals/{id}          admin, own, approver    all that an approver decides on
//!   POST /v1/approvals/{id}          approver        {"decision": "approve" or "deny", "reason",
//!                                                     "digest": of what was shown}
//!   POST /v1/rotate                  admin           closes segments, waits for Parquet
//! ```
//!
//! In: HTTP requests with a bearer token or a user's password. Out: JSON; errors are
//! `{error, hint}`.
//! Never: an answer without a proven caller, except to `health` and `ready`; a change
//! asked for by another site's page.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State as Shared};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::auth::{self, Caller};
use super::sealing::Sealing;
use super::shape::{self, Ballot, Decision, VoteReply};
use super::state::{Counters, State};
use super::{clock, log};
use crate::metrics::{self, Total};
use crate::shard::mail::ToShard;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Api {
    /// The control thread's knowledge.
    pub state: Arc<State>,
    /// How far the sealer is.
    pub sealing: Arc<dyn Sealing>,
    /// Checks of passwords that run at the same time; each costs milliseconds of a core.
    checks: Arc<tokio::sync::Semaphore>,
}

impl Api {
    /// An API over this state.
    pub fn new(state: Arc<State>, sealing: Arc<dyn Sealing>) -> Api {
        Api { state, sealing, checks: Arc::new(tokio::sync::Semaphore::new(CHECKS_MAX)) }
    }

    /// All routes.
    pub fn router(self) -> Router {
        let proven = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/metrics", get(totals))
            .route("/v1/meters", get(meters))
            .route("/v1/sessions", get(sessions))
            .route("/v1/sessions/{id}/kill", post(kill))
            .route("/v1/approvals", get(approvals))
            .route("/v1/approvals/{id}", get(approval).post(vote))
            .route("/v1/rotate", post(rotate))
            .layer(from_fn_with_state(self.clone(), prove));
        Router::new()
            .route("/v1/health", get(health))
            .route("/healthz", get(health))
            .route("/readyz", get(ready))
            .merge(proven)
            .fallback(async || {
                Problem::new(StatusCode::NOT_FOUND, "no such page", "the API begins at /v1/status")
            })
            .method_not_allowed_fallback(async || {
                let code = StatusCode::METHOD_NOT_ALLOWED;
                Problem::new(code, "no such method here", "reading is GET, changing is POST")
            })
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(from_fn(bound))
            .with_state(self)
    }
}

/// An error as JSON.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    error: String,
    hint: &'static str,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>, hint: &'static str) -> Problem {
        Problem { status, error: error.into(), hint }
    }

    fn not_admin() -> Problem {
        let hint = "use the token of the data directory, or a user in group admin";
        Problem::new(StatusCode::FORBIDDEN, "this needs an administrator", hint)
    }

    fn silent() -> Problem {
        let hint = "look at the log of weir; the call may be repeated";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "a shard does not answer", hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = shape::Problem { error: self.error, hint: self.hint.to_owned() };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let value = HeaderValue::from_static("Basic realm=\"weir\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        response
    }
}

/// Bounds the time of every call, and keeps answers out of caches.
async fn bound(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(CALL_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let hint = "send the whole request at once; look at the log of weir";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the call took too long", hint)
                .into_response()
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Lets a request pass when its caller is proven.
async fn prove(Shared(api): Shared<Api>, mut request: Request, next: Next) -> Response {
    // A browser attaches a password it remembers to requests of any site, and says whose they are.
    if request.method() != Method::GET && is_foreign(request.headers()) {
        let hint = "open the console at the address of the admin API itself";
        return Problem::new(StatusCode::FORBIDDEN, "the page belongs to another site", hint)
            .into_response();
    }
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match caller(&api, header.unwrap_or_default().to_owned()).await {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => {
            Counters::count(&api.state.counters.api_refused);
            if header.is_some() {
                log::warn("admin API: a caller with a wrong token or password was refused");
                tokio::time::sleep(REFUSAL_PAUSE).await;
            }
            let hint = "send `Authorization: Bearer` with the token of the data directory, \
                        or Basic with a user of weir";
            Problem::new(StatusCode::UNAUTHORIZED, "no valid identity", hint).into_response()
        }
    }
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme_less = origin.to_str().ok().and_then(|text| text.split_once("://"));
    scheme_less.is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
}

async fn caller(api: &Api, header: String) -> Option<Caller> {
    if header.is_empty() {
        return None;
    }
    let _place = api.checks.acquire().await.ok()?;
    let state = api.state.clone();
    let check = move || {
        let settings = state.settings();
        let known = state.gate.caller(&header, &settings.users);
        known.or_else(|| auth::token(&header, &settings.users).and_then(|it| state.bearer(&it)))
    };
    tokio::task::spawn_blocking(check).await.ok().flatten()
}

async fn health(Shared(api): Shared<Api>) -> Json<shape::Health> {
    Json(shape::Health { status: api.state.word().to_owned() })
}

/// 200 when clients should be sent here, 503 when not.
async fn ready(Shared(api): Shared<Api>) -> (StatusCode, Json<shape::Ready>) {
    let reasons = api.state.unready(api.sealing.trouble().is_some());
    let ready = reasons.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons = reasons.into_iter().map(str::to_owned).collect();
    (code, Json(shape::Ready { ready, reasons }))
}

async fn status(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<shape::Status>, Problem> {
    if !caller.is_admin() {
        return Err(Problem::not_admin());
    }
    Ok(Json(api.state.status(&*api.sealing)))
}

async fn totals(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    if !caller.is_admin() {
        return Err(Problem::not_admin());
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    let mut totals = api.state.totals();
    totals.push(Total::gauge("segments_waiting", SEGMENTS_WAITING, segments(&api)));
    let mut text = metrics::exposition(&totals);
    text.push_str(&metrics::exposition_of_targets(&api.state.readings()));
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

async fn meters(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<shape::Meters>, Problem> {
    if !caller.is_admin() {
        return Err(Problem::not_admin());
    }
    let totals = api.state.totals();
    let lag = totals.iter().find(|total| total.name == "journal_lag_bytes");
    Ok(Json(shape::Meters {
        started_at: clock::to_text(api.state.started_us),
        journal_lag_bytes: lag.map_or(0, |total| total.value),
        segments_waiting: segments(&api),
        targets: api.state.readings().iter().map(shape::TargetMeters::from).collect(),
    }))
}

fn segments(api: &Api) -> u64 {
    u64::try_from(api.sealing.waiting()).unwrap_or(u64::MAX)
}

async fn sessions(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<shape::Session>>, Problem> {
    let (list, silent) = api.state.mesh.sessions().await;
    if silent > 0 {
        return Err(Problem::silent());
    }
    let seen =
        |session: &crate::session::SessionSummary| caller.is_admin() || session.user == caller.name;
    Ok(Json(list.into_iter().filter(seen).map(shape::Session::from).collect()))
}

async fn kill(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<shape::Killed>, Problem> {
    let hint = "`weir sessions --live` lists the ids of live sessions";
    let absent = || Problem::new(StatusCode::NOT_FOUND, "no such live session", hint);
    let id = shape::id_parse(&id).ok_or_else(absent)?;
    if !caller.is_admin() {
        let (list, _) = api.state.mesh.sessions().await;
        let own = |session: &crate::session::SessionSummary| {
            session.session_id == id && session.user == caller.name
        };
        if !list.iter().any(own) {
            return Err(absent());
        }
    }
    match api.state.mesh.kill(id).await {
        Some(true) => {
            let text = shape::id_text(id);
            let message = format!("session {text} is ended by {}", caller.name);
            log::tell(log::Level::Info, "kill", &message);
            Ok(Json(shape::Killed { session_id: text }))
        }
        Some(false) => Err(absent()),
        None => Err(Problem::silent()),
    }
}

async fn approvals(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Json<Vec<shape::Approval>> {
    let list = api.state.waiting();
    let seen = list.iter().filter(|ask| {
        caller.is_admin() || ask.user == caller.name || caller.may_answer(&ask.approvers)
    });
    Json(seen.map(shape::Approval::from).collect())
}

async fn approval(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<shape::Approval>, Problem> {
    let absent = || {
        let hint = "it may have been answered, canceled or expired; GET /v1/approvals lists";
        Problem::new(StatusCode::NOT_FOUND, "no command waits under this id", hint)
    };
    let id = shape::id_parse(&id).ok_or_else(absent)?;
    let (_, ask) = api.state.ask(id).ok_or_else(absent)?;
    let seen = caller.is_admin() || ask.user == caller.name || caller.may_answer(&ask.approvers);
    if seen { Ok(Json(shape::Approval::from(&ask))) } else { Err(absent()) }
}

async fn vote(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
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
    let Some((shard, ask)) = api.state.ask(id) else { return unknown };
    let approve = ballot.decision == Decision::Approve;
    let digest = ask.digest();
    // Whoever approves says what was looked at. A denial needs none: it lets nothing run.
    if ballot.digest != shape::hex(&digest) && (approve || !ballot.digest.is_empty()) {
        let message = "the vote is not about the command that waits".to_owned();
        let reply = VoteReply::Refused { message };
        return Ok((StatusCode::CONFLICT, Json(reply)));
    }
    let vote = crate::session::Vote {
        approver: caller.name.clone(),
        groups: caller.groups,
        approve,
        reason: ballot.reason,
        digest: Some(digest),
    };
    // The shard that holds the command judges the vote: it alone knows whether it still waits.
    let reply = api.state.mesh.vote(shard, id, vote).await.ok_or_else(Problem::silent)?;
    Counters::count(&api.state.counters.votes);
    let (code, word) = match &reply {
        crate::session::VoteReply::Counted { .. } => (StatusCode::OK, "counts"),
        crate::session::VoteReply::Denied => (StatusCode::OK, "ends the hold"),
        crate::session::VoteReply::Refused(_) => (StatusCode::FORBIDDEN, "is refused"),
        crate::session::VoteReply::Unknown => (StatusCode::NOT_FOUND, "comes too late"),
    };
    let decision = if approve { "approve" } else { "deny" };
    let text = shape::id_text(id);
    let message = format!("approval {text}: the vote of {} to {decision} {word}", caller.name);
    log::tell(log::Level::Info, "vote", &message);
    Ok((code, Json(reply.into())))
}

async fn rotate(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<shape::Rotated>, Problem> {
    if !caller.is_admin() {
        return Err(Problem::not_admin());
    }
    if api.state.mesh.broadcast(|| ToShard::Rotate).await > 0 {
        return Err(Problem::silent());
    }
    // An answer of every shard tells that it has read its mailbox up to here.
    let (_, silent) = api.state.mesh.sessions().await;
    if silent > 0 {
        return Err(Problem::silent());
    }
    let deadline = tokio::time::Instant::now() + SEAL_TIMEOUT;
    loop {
        let waiting = api.sealing.waiting();
        if waiting == 0 || tokio::time::Instant::now() >= deadline {
            return Ok(Json(shape::Rotated { sealed: waiting == 0, waiting }));
        }
        tokio::time::sleep(SEAL_PAUSE).await;
    }
}

const SEGMENTS_WAITING: &str = "Segments of the journal that are closed and not yet Parquet.";
const BODY_BYTES_MAX: usize = 16 << 10;
const REASON_BYTES_MAX: usize = 4_096;
const CHECKS_MAX: usize = 2;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const SEAL_TIMEOUT: Duration = Duration::from_secs(45);
const SEAL_PAUSE: Duration = Duration::from_millis(20);
/// A guesser gets a few tries per second at most, together with `CHECKS_MAX`.
const REFUSAL_PAUSE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
