//! Certificates, keys, roots and lists of what is revoked that change on the disk: used from then
//! on, without a signal.
//!
//! In: what the files look like from outside, every few seconds. Out: TLS for new connections,
//! lists of SSH for new logins. Never: files that do not fit together, or cannot be followed;
//! what is in force stays until all of them do.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::control::{Make, Prepare};
use super::log;
use super::state::{ControlState, Counters};
use crate::config::read_revocations;
use crate::config::settings::Settings;

/// What the files of a configuration look like from outside. A link that leads elsewhere looks
/// different, which is how Kubernetes changes all files of a secret at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks(Vec<(PathBuf, Option<Stamp>)>);

/// Inode, size, and the times of the last change of content and of rights.
type Stamp = (u64, u64, (i64, i64), (i64, i64));

impl Looks {
    /// Looks at the files.
    pub fn of(settings: &Settings) -> Looks {
        let look = |path: &Path| (path.to_owned(), stamp(path));
        Looks(settings.tls_files().into_iter().map(look).collect())
    }

    /// Looks at the lists of SSH.
    fn of_lists(settings: &Settings) -> Looks {
        let look = |path: &Path| (path.to_owned(), stamp(path));
        Looks(settings.ssh_revocations().into_iter().map(look).collect())
    }
}

/// Watches the lists of certificates of SSH that are taken back. The first look reads them again:
/// what changed since the configuration was read is found by it.
pub async fn keep_lists(state: Arc<ControlState>) {
    let (mut seen, mut stale) = (None, false);
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let _turn = state.reloading.lock().await;
        let settings = state.settings();
        if settings.ssh_revocations().is_empty() {
            continue;
        }
        let before = seen.clone();
        let work = tokio::task::spawn_blocking(move || {
            let now = Looks::of_lists(&settings);
            (Some(&now) != before.as_ref()).then(|| (now, with_lists(&settings)))
        });
        let Ok(Some((now, outcome))) = work.await else { continue };
        let first = seen.replace(now).is_none();
        // What else is stale is not this one's to say.
        if outcome.is_err() || stale {
            state.certificates_stale.store(outcome.is_err(), Ordering::Relaxed);
        }
        stale = outcome.is_err();
        match outcome {
            Ok(settings) => {
                state.world().replace(settings, &[]);
                state.publish().await;
                if !first {
                    Counters::count(&state.counters.certificates_loaded);
                    log::info("lists of revoked certificates have changed: who is on them is out");
                }
            }
            Err(problem) => {
                Counters::count(&state.counters.certificates_failed);
                log::error(&problem);
                log::error("a list of revoked certificates cannot be used: the old one stays");
            }
        }
    }
}

/// The same settings with the lists as they are now.
fn with_lists(settings: &Settings) -> Result<Settings, String> {
    let mut settings = settings.clone();
    for authority in &mut settings.ssh_authorities {
        if let Some(file) = &authority.revoked_file {
            authority.revoked = Some(Arc::new(read_revocations(file)?));
        }
    }
    Ok(settings)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let it = std::fs::metadata(path).ok()?;
    let (modified, changed) = ((it.mtime(), it.mtime_nsec()), (it.ctime(), it.ctime_nsec()));
    Some((it.ino(), it.size(), modified, changed))
}

/// Watches; `seen` is from before the files were read that are in force.
pub async fn keep(state: Arc<ControlState>, prepare: Arc<Prepare>, mut seen: Looks) {
    loop {
        let files = !state.settings().tls_files().is_empty();
        tokio::time::sleep(if files { WATCH_EVERY } else { RELOAD_EVERY }).await;
        // A reload of the configuration brings files of its own into force.
        let _turn = state.reloading.lock().await;
        let settings = state.settings();
        let (prepare, before) = (prepare.clone(), seen.clone());
        let work = tokio::task::spawn_blocking(move || {
            // Looked at before they are read: what changes meanwhile is found the next time.
            let now = Looks::of(&settings);
            (now != before).then(|| (now, prepare(&settings)))
        });
        if let Ok(Some((now, outcome))) = work.await {
            seen = now;
            take(&state, outcome).await;
        }
    }
}

async fn take(state: &ControlState, outcome: Result<Make, String>) {
    state.certificates_stale.store(outcome.is_err(), Ordering::Relaxed);
    match outcome {
        Ok(make) => {
            state.prepare(make);
            state.publish().await;
            Counters::count(&state.counters.certificates_loaded);
            log::info("certificates have changed: new connections use them");
        }
        Err(problem) => {
            Counters::count(&state.counters.certificates_failed);
            problem.lines().for_each(log::error);
            log::error("certificates have changed and cannot be used: the old ones stay in force");
        }
    }
}

const WATCH_EVERY: Duration = Duration::from_secs(3);
/// Without files there is nothing to look at; a reload may bring some, which it reads itself.
const RELOAD_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Folder;

    #[test]
    fn a_file_that_changes_looks_different() {
        let folder = Folder::new();
        let path = |name: &str| folder.journal().join(name);
        std::fs::create_dir_all(folder.journal()).unwrap();
        let looks = || stamp(&path("link"));
        assert_eq!(looks(), None);
        std::fs::write(path("one"), "1").unwrap();
        std::fs::write(path("two"), "2").unwrap();
        std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
        let first = looks();
        assert!(first.is_some());
        assert_eq!(looks(), first);
        std::fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink(path("two"), path("link")).unwrap();
        let second = looks();
        assert_ne!(second, first, "the link leads elsewhere");
        std::fs::write(path("two"), "22").unwrap();
        assert_ne!(looks(), second);
    }
}
