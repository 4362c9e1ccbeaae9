//! weir's API tokens: made, listed and revoked; kept in a file that has their digests alone.
//!
//! ```text
//!   GET    /v1/tokens         admin, own     those that were made and not revoked
//!   POST   /v1/tokens         admin          makes one; the answer alone has its secret
//!   DELETE /v1/tokens/{id}    admin, own     revokes one: it and its sessions end at once
//! ```
//!
//! In: calls of the admin API, time. Out: `api-tokens.json`, snapshots that know the tokens, acts
//! in the record.
//! Never: a secret on the disk, in a log or in the record; a token whose making is not recorded; a
//! token made by somebody who came by a token.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path as Named, State as Shared};
use axum::http::StatusCode;
use ring::rand::{SecureRandom, SystemRandom};

use super::api::{Api, Problem};
use super::audit::{self, Act};
use super::auth::Caller;
use super::state::ControlState;
use super::{clock, log, shape};
use crate::identify::api_token::{self, Kept, Set, TokenId};
use crate::limits;

/// Where the tokens of a data directory lie.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("api-tokens.json")
}

/// Reads the tokens of a data directory; none if there is no file.
///
/// # Errors
/// A sentence: the file is there and cannot be read. A weir that went on would have revoked them
/// all, and would write that down with the next one.
pub fn load(data_dir: &Path) -> Result<Set, String> {
    let path = path(data_dir);
    let mut text = Vec::new();
    let read = std::fs::File::open(&path)
        .and_then(|file| file.take(limits::API_TOKENS_BYTES_MAX).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Set::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
        Ok(_) => Set::parse(&text).map_err(|why| {
            let hint = "restore it, or move it away to revoke all API tokens";
            format!("{} is not what weir wrote: {why}; {hint}", path.display())
        }),
    }
}

/// Writes all of them: a reader, or weir behind a power cut, sees the old file or the new one.
fn save(data_dir: &Path, set: &Set) -> std::io::Result<()> {
    let draft = data_dir.join(".api-tokens.json.tmp");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(set.to_json().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path(data_dir))?;
    std::fs::File::open(data_dir)?.sync_all()
}

/// What the tokens of a process have beside them.
#[derive(Debug, Default)]
pub struct Keeping {
    /// One writer at a time.
    turn: tokio::sync::Mutex<()>,
    /// There are others now: the time of another one may be over next.
    changed: tokio::sync::Notify,
    /// The file does not have what is in force.
    unsaved: AtomicBool,
}

async fn save_beside(state: &ControlState, set: &Arc<Set>) -> Result<(), String> {
    let (data_dir, set) = (state.settings().data_dir.clone(), set.clone());
    let written = tokio::task::spawn_blocking(move || save(&data_dir, &set)).await;
    let written = written.map_err(|_| "the writer failed".to_owned());
    let written = written.and_then(|outcome| outcome.map_err(|error| error.to_string()));
    state.tokens.unsaved.store(written.is_err(), Ordering::Relaxed);
    if let Err(why) = &written {
        log::error(&format!("API tokens could not be written: {why}"));
    }
    written
}

/// Brings them into force.
async fn put(state: &ControlState, set: Arc<Set>) {
    state.world().tokens = set;
    state.tokens.changed.notify_one();
    state.publish().await;
}

/// Forgets tokens when their time is over, so that their sessions end; writes what could not be
/// written before. Runs for ever.
pub async fn keep(state: Arc<ControlState>) {
    // A user may have left the configuration while weir did not run.
    end_over(&state).await;
    loop {
        if state.tokens.unsaved.load(Ordering::Relaxed) {
            let _turn = state.tokens.turn.lock().await;
            let set = state.world().tokens.clone();
            let _again_later = save_beside(&state, &set).await;
        }
        let now_us = clock::utc_us();
        let next_us = state.world().tokens.iter().map(|kept| kept.until_us).min();
        if next_us.is_some_and(|at_us| at_us <= now_us) {
            end_over(&state).await;
            continue;
        }
        // The clock may be set meanwhile, so that it is looked at again.
        let left_us = next_us.map_or(i64::MAX, |at_us| at_us - now_us);
        let left = Duration::from_micros(u64::try_from(left_us).unwrap_or(0)).min(LOOK_EVERY);
        let _ = tokio::time::timeout(left, state.tokens.changed.notified()).await;
    }
}

/// Ends tokens whose time is over, and those of users whom the configuration does not have any
/// more: somebody else who gets the name does not get them with it.
pub async fn end_over(state: &ControlState) {
    let _turn = state.tokens.turn.lock().await;
    let (now_us, settings) = (clock::utc_us(), state.settings());
    let has_user = |kept: &Kept| settings.users.iter().any(|user| user.name == kept.user);
    let is_over = |kept: &Kept| kept.until_us <= now_us || !has_user(kept);
    let before = state.world().tokens.clone();
    if !before.iter().any(is_over) {
        return;
    }
    let set = Arc::new(before.only(|kept| !is_over(kept)));
    put(state, set.clone()).await;
    let _again_later = save_beside(state, &set).await;
    for kept in before.iter().filter(|kept| is_over(kept)) {
        let (event, auth, why) = match has_user(kept) {
            true => ("token-expired", "time", "its time is over"),
            false => ("token-revoked", "reload", "the configuration has no such user any more"),
        };
        let weir = Caller::unproven("weir", auth);
        let what = format!("ended API token {} of {}: {why}", kept.id, kept.user);
        log::tell(log::Level::Info, event, &what);
        audit::record(state, &weir, about(Act::new(event, what), kept)).await;
    }
}

fn about(act: Act, kept: &Kept) -> Act {
    let act = act.with("token", kept.id.to_string()).with("user", kept.user.clone());
    act.with("name", kept.name.clone()).with("expires_at", clock::to_text(kept.until_us))
}

/// Those that a caller may see.
pub(super) async fn list(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
) -> Json<Vec<shape::Token>> {
    let tokens = api.state.world().tokens.clone();
    let mut seen: Vec<&Kept> = tokens.iter().filter(|kept| is_theirs(&caller, kept)).collect();
    seen.sort_by_key(|kept| (kept.made_us, kept.id));
    let settings = api.state.settings();
    let is_orphan = |kept: &Kept| !settings.users.iter().any(|user| user.name == kept.user);
    let shown = |kept: &Kept| shape::Token { is_orphan: is_orphan(kept), ..kept.into() };
    Json(seen.into_iter().map(shown).collect())
}

fn is_theirs(caller: &Caller, kept: &Kept) -> bool {
    caller.is_admin() || caller.name == kept.user
}

/// Makes one.
pub(super) async fn make(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    wanted: Result<Json<shape::TokenWanted>, JsonRejection>,
) -> Result<Json<shape::TokenMade>, Problem> {
    if !caller.is_admin() {
        return Err(Problem::not_admin());
    }
    let Json(wanted) = wanted.map_err(|rejection| {
        let hint = "send JSON {\"user\": \"..\", \"name\": \"..\", \"seconds\": 7776000}";
        Problem::new(rejection.status(), rejection.body_text(), hint)
    })?;
    let _turn = api.state.tokens.turn.lock().await;
    let before = api.state.world().tokens.clone();
    check(&api.state, &before, &wanted)?;
    let (secret, mut kept) = fresh(&before)?;
    let seconds = wanted.seconds.unwrap_or(limits::API_TOKEN_LIFE_US / 1_000_000);
    kept.made_us = clock::utc_us();
    kept.until_us = kept.made_us.saturating_add(i64::try_from(seconds * 1_000_000).unwrap_or(0));
    kept.user = wanted.user;
    kept.name = wanted.name;
    kept.made_by = caller.name.clone();
    let set = Arc::new(before.with(kept.clone()));
    save_beside(&api.state, &set).await.map_err(|why| unwritten(&why))?;
    let act = Act::new("token-made", format!("made API token {} for {}", kept.id, kept.user));
    if !audit::record(&api.state, &caller, about(act, &kept)).await {
        // Nothing is done that nobody can read about afterwards.
        let _again_later = save_beside(&api.state, &before).await;
        return Err(Problem::silent());
    }
    put(&api.state, set).await;
    Ok(Json(shape::TokenMade { token: shape::Token::from(&kept), secret }))
}

/// Whether what is asked for may be made.
fn check(state: &ControlState, before: &Set, wanted: &shape::TokenWanted) -> Result<(), Problem> {
    let wrong = |message: String, hint| Err(Problem::new(StatusCode::BAD_REQUEST, message, hint));
    let settings = state.settings();
    if !settings.users.iter().any(|user| user.name == wanted.user) {
        let hint = "a token stands for an [[identity.user]] of the configuration";
        return wrong(format!("there is no user `{}`", wanted.user), hint);
    }
    let is_plain = !wanted.name.chars().any(char::is_control);
    if !is_plain || wanted.name.len() > limits::NAME_BYTES_MAX {
        return wrong("the name is no name".to_owned(), "give up to 256 bytes on one line");
    }
    let most = limits::API_TOKEN_LIFE_US_MAX / 1_000_000;
    if wanted.seconds.is_some_and(|seconds| !(1..=most).contains(&seconds)) {
        return wrong("the time is out of bounds".to_owned(), "from one second to 366 days");
    }
    let of_user = before.iter().filter(|kept| kept.user == wanted.user).count();
    let all = before.iter().count();
    if all >= limits::API_TOKENS_MAX || of_user >= limits::API_TOKENS_OF_USER_MAX {
        let hint = "revoke those that nobody needs: `weir token list`";
        return wrong("there are too many tokens".to_owned(), hint);
    }
    Ok(())
}

/// A secret that nobody has, and what is kept of it.
fn fresh(before: &Set) -> Result<(String, Kept), Problem> {
    let random = SystemRandom::new();
    let (mut bytes, mut id) = ([0; 32], [0; 8]);
    let filled = random.fill(&mut bytes).and_then(|()| random.fill(&mut id));
    let id = TokenId::from(id);
    if filled.is_err() || before.iter().any(|kept| kept.id == id) {
        let message = "the system gives no random bytes";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message, "try again"));
    }
    let secret = api_token::secret(&bytes);
    let kept = Kept::of(&secret, id);
    Ok((secret, kept))
}

fn unwritten(why: &str) -> Problem {
    let hint = "make room, or look after the rights of the data directory; nothing was made";
    let message = format!("the tokens cannot be written: {why}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, message, hint)
}

/// Revokes one: it is refused from here on, whatever the disk says.
pub(super) async fn revoke(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<String>,
) -> Result<Json<shape::Token>, Problem> {
    let _turn = api.state.tokens.turn.lock().await;
    let before = api.state.world().tokens.clone();
    let id = TokenId::parse(&id);
    let kept = before.iter().find(|kept| Some(kept.id) == id && is_theirs(&caller, kept));
    let Some(kept) = kept else {
        let hint = "`weir token list` lists them";
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no token of this id", hint));
    };
    let set = Arc::new(before.only(|it| it.id != kept.id));
    put(&api.state, set.clone()).await;
    let written = save_beside(&api.state, &set).await;
    let what = format!("revoked API token {} of {}", kept.id, kept.user);
    audit::record(&api.state, &caller, about(Act::new("token-revoked", what), kept)).await;
    if let Err(why) = written {
        let hint =
            "it is refused now, and good again after a restart if weir cannot write until then";
        let message = format!("the tokens cannot be written: {why}");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message, hint));
    }
    Ok(Json(shape::Token::from(kept)))
}

/// How long a clock that was set goes unnoticed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
