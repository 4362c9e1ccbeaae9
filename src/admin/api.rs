//! The JSON API that people, the console and the command line use; `shape` has its words.
//!
//! ```text
//!   GET  /v1/health                  anybody         alive or draining
//!   GET  /healthz                    anybody         the same
//!   GET  /readyz                     anybody         200: send clients here; 503: not, and why
//!   GET  /v1/status                  admin           version, shards, targets, counters
//!   GET  /v1/metrics                 admin           counters and durations, as Prometheus reads
//! them
//!   GET  /v1/meters                  admin           the same by target, as `weir top` reads them
//!   GET  /v1/sessions                admin, own      live sessions
//!   POST /v1/sessions/{id}/kill      admin, own      ends one
//!   GET  /v1/asks?after=ID&limit=    admin, own, approver    heads of commands that wait
//!   GET  /v1/asks/{id}               admin, own, approver    all that an approver decides on
//!   POST /v1/asks/{id}               approver        {"decision": "approve" or "deny", "reason",
//!                                                     "digest": of what was shown, "scope"}
//!   GET  /a/{id}                     admin, own, approver    the same for a link, or its end
//!   GET  /v1/windows                 admin, own, opener      windows that are open
//!   DELETE /v1/windows/{id}          admin, own, opener      closes one
//!   GET  /v1/tokens                  admin, own      API tokens, without their secrets
//!   POST /v1/tokens                  admin           makes one
//!   DELETE /v1/tokens/{id}           admin, own      revokes one
//!   POST /v1/readings                admin           records that somebody reads the lake
//!   POST /v1/rotate                  admin           closes segments, waits for Parquet
//! ```
//!
//! In: HTTP requests with a bearer token or a user's password. Out: JSON; errors are
//! `{error, hint}`.
//! Never: an answer without a proven caller, except to `health` and `ready`; a change asked for by
//! another site's page.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::connect_info::{ConnectInfo, IntoMakeServiceWithConnectInfo};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State as Shared};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER, USER_AGENT,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};

use super::audit::{self, Act};
use super::auth::{self, Caller};
use super::listen::Peer;
use super::sealing::Sealing;
use super::shape;
use super::state::{ControlState, Counters};
use super::{asks, clock, log, tokens};
use crate::identify::throttle::Failures;
use crate::metrics::{self, Total};
use crate::shard::mail::ToShard;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Api {
    /// The control thread's knowledge.
    pub state: Arc<ControlState>,
    /// How far the sealer is.
    pub sealing: Arc<dyn Sealing>,
    /// Checks of passwords that run at the same time; each costs milliseconds of a core.
    checks: Arc<tokio::sync::Semaphore>,
    /// Passwords that were wrong.
    failures: Arc<Mutex<Failures>>,
    /// What their times count from.
    began: Instant,
}

impl Api {
    /// An API over this state.
    pub fn new(state: Arc<ControlState>, sealing: Arc<dyn Sealing>) -> Api {
        let checks = Arc::new(tokio::sync::Semaphore::new(CHECKS_MAX));
        Api { state, sealing, checks, failures: Arc::default(), began: Instant::now() }
    }

    /// All routes, with where each call comes from.
    pub fn service(self) -> IntoMakeServiceWithConnectInfo<Router, Peer> {
        self.router().into_make_service_with_connect_info::<Peer>()
    }

    /// All routes.
    fn router(self) -> Router {
        let proven = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/metrics", get(totals))
            .route("/v1/meters", get(meters))
            .route("/v1/sessions", get(sessions))
            .route("/v1/sessions/{id}/kill", post(kill))
            .route("/v1/approvals", get(asks::approvals))
            .route("/v1/approvals/{id}", get(asks::ask).post(asks::vote))
            .route("/v1/asks", get(asks::asks))
            .route("/v1/asks/{id}", get(asks::ask).post(asks::vote))
            .route("/v1/windows", get(asks::windows))
            .route("/v1/windows/{id}", delete(asks::revoke))
            .route("/v1/tokens", get(tokens::list).post(tokens::make))
            .route("/v1/tokens/{id}", delete(tokens::revoke))
            .route("/v1/readings", post(reading))
            .route("/a/{id}", get(asks::link))
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

impl Api {
    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// An error as JSON.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: String,
    hint: &'static str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, hint: &'static str) -> Problem {
        Problem { status, error: error.into(), hint }
    }

    pub(super) fn not_admin() -> Problem {
        let hint = "use the token of the data directory, or a user in group admin";
        Problem::new(StatusCode::FORBIDDEN, "this needs an administrator", hint)
    }

    pub(super) fn silent() -> Problem {
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

/// What a call came by, as its client says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel(pub &'static str);

impl Channel {
    fn of(headers: &HeaderMap) -> Channel {
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Channel(if agent.is_some_and(|agent| agent.starts_with("weir/")) { "cli" } else { "api" })
    }
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
    let from = request.extensions().get::<ConnectInfo<Peer>>();
    // Nobody's network is everybody's.
    let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.0.ip());
    match caller(&api, header.unwrap_or_default().to_owned(), from).await {
        Asked::By(caller) => {
            let channel = Channel::of(request.headers());
            request.extensions_mut().insert(channel);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Asked::TooOften(wait_s) => {
            Counters::count(&api.state.counters.api_refused);
            log::warn("admin API: a password was not looked at, after too many wrong ones");
            let error = "too many wrong passwords of this user came from your network";
            let problem =
                Problem::new(StatusCode::TOO_MANY_REQUESTS, error, "wait, then try again");
            let mut response = problem.into_response();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_s));
            response
        }
        Asked::ByNobody => {
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
    let Some(origin) = headers.get(ORIGIN) else {
        // Of no page, unless the browser says so (W3C, Fetch Metadata): `none` is a person's doing.
        let is_near = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
        return !headers.get_all("sec-fetch-site").iter().all(is_near);
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme_less = origin.to_str().ok().and_then(|text| text.split_once("://"));
    scheme_less.is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
}

/// Who asks.
enum Asked {
    By(Caller),
    ByNobody,
    /// By somebody whose password is looked at in so many seconds.
    TooOften(u32),
}

async fn caller(api: &Api, header: String, from: IpAddr) -> Asked {
    if header.is_empty() {
        return Asked::ByNobody;
    }
    let Ok(_place) = api.checks.acquire().await else { return Asked::ByNobody };
    let api = api.clone();
    let check = move || {
        let state = &api.state;
        let settings = state.settings();
        let claimed = auth::claimed(&header, &settings.users);
        let wait_s = |name: &String| api.failures().wait_s(name, from, api.now_us());
        if let Some(wait_s) = claimed.as_ref().and_then(wait_s) {
            return Asked::TooOften(wait_s);
        }
        let known = state.gate.caller(&header, &settings.users);
        let known = known
            .or_else(|| auth::token(&header, &settings.users).and_then(|it| state.bearer(&it)));
        match (known, claimed) {
            (Some(caller), Some(name)) => {
                api.failures().forget(&name, from);
                Asked::By(caller)
            }
            (Some(caller), None) => Asked::By(caller),
            (None, Some(name)) => {
                api.failures().note(&name, from, api.now_us());
                Asked::ByNobody
            }
            (None, None) => Asked::ByNobody,
        }
    };
    tokio::task::spawn_blocking(check).await.unwrap_or(Asked::ByNobody)
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
    totals.push(Total::gauge("seal_lag_seconds", SEAL_LAG, api.sealing.lag_us() / 1_000_000));
    if let Some(disk) = api.sealing.disk() {
        totals.push(Total::gauge("disk_free_bytes", DISK_FREE, disk.free_bytes));
        let left = disk.minutes_left.map(|left| Total::gauge("disk_minutes_left", DISK_LEFT, left));
        totals.extend(left);
    }
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
            let act = Act::new("kill", format!("ended session {text}"));
            audit::record(&api.state, &caller, act.with("session_id", text.clone())).await;
            Ok(Json(shape::Killed { session_id: text }))
        }
        Some(false) => Err(absent()),
        None => Err(Problem::silent()),
    }
}

/// Somebody reads the lake with the command line, and says so.
async fn reading(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    reading: Result<Json<shape::Reading>, JsonRejection>,
) -> Result<Json<shape::Recorded>, Problem> {
    if !caller.is_admin() {
        return Err(Problem::not_admin());
    }
    let Json(reading) = reading.map_err(|rejection| {
        let hint = "send JSON {\"command\": \"search\", \"arguments\": [..], \"login\": \"..\"}";
        Problem::new(rejection.status(), rejection.body_text(), hint)
    })?;
    let recorded = audit::record(&api.state, &caller, reading.act()).await;
    Ok(Json(shape::Recorded { recorded }))
}

async fn rotate(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<shape::Rotated>, Problem> {
    if !caller.is_admin() {
        return Err(Problem::not_admin());
    }
    audit::record(&api.state, &caller, Act::new("rotate", "asked for all segments")).await;
    if api.state.mesh.broadcast(|| ToShard::Rotate).await > 0 {
        return Err(Problem::silent());
    }
    // An answer of every shard tells that it has read its mailbox up to here.
    let (_, silent) = api.state.mesh.sessions().await;
    if silent > 0 {
        return Err(Problem::silent());
    }
    let started = tokio::time::Instant::now();
    loop {
        let waiting = api.sealing.waiting();
        // What is wrong now may be over in a moment, and is not waited for any longer.
        let trouble = api.sealing.trouble().filter(|_| waiting > 0).unwrap_or_default();
        let limit = if trouble.is_empty() { SEAL_TIMEOUT } else { SEAL_TROUBLE_TIMEOUT };
        if waiting == 0 || started.elapsed() >= limit {
            return Ok(Json(shape::Rotated { sealed: waiting == 0, waiting, trouble }));
        }
        tokio::time::sleep(SEAL_PAUSE).await;
    }
}

const SEAL_LAG: &str = "How long the oldest closed segment waits to be Parquet.";
const DISK_FREE: &str = "Bytes of the disk of data_dir that weir may still take.";
const DISK_LEFT: &str =
    "Minutes until that disk is full as it goes now; absent if it does not fill.";
const SEGMENTS_WAITING: &str = "Segments of the journal that are closed and not yet Parquet.";
const BODY_BYTES_MAX: usize = 16 << 10;
const CHECKS_MAX: usize = 2;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const SEAL_TIMEOUT: Duration = Duration::from_secs(45);
const SEAL_TROUBLE_TIMEOUT: Duration = Duration::from_secs(3);
const SEAL_PAUSE: Duration = Duration::from_millis(20);
/// A guesser gets a few tries per second at most, together with `CHECKS_MAX`.
const REFUSAL_PAUSE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
