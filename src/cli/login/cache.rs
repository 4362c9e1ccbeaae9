//! Tokens kept between two logins: one file, its owner's alone.
//!
//! In: what an issuer granted. Out: a token that is still good for a while.
//! Never: a file that others may read; two processes that spend one refresh token, for the second
//! would be taken for a thief.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};

use super::device::Granted;
use crate::cli::fail::{EXIT_FAILURE, EXIT_USAGE, Failure};
use crate::cli::output::note;

/// What one issuer granted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// For resources.
    pub access_token: String,
    /// About the person.
    pub id_token: Option<String>,
    /// Gets new ones.
    pub refresh_token: Option<String>,
    /// When they came, UTC seconds.
    pub granted_at: i64,
}

impl Tokens {
    /// What was granted now, with what an earlier grant left: an issuer repeats only what changed.
    pub fn new(granted: Granted, before: Option<Tokens>, now_s: i64) -> Tokens {
        let (id_token, refresh_token) =
            before.map(|old| (old.id_token, old.refresh_token)).unwrap_or_default();
        Tokens {
            access_token: granted.access_token,
            id_token: granted.id_token.or(id_token),
            refresh_token: granted.refresh_token.or(refresh_token),
            granted_at: now_s,
        }
    }

    /// The token that is asked for, if it is good for long enough to log in with it.
    pub fn fresh(&self, id_token: bool, now_s: i64) -> Option<&str> {
        let token = if id_token { self.id_token.as_deref()? } else { &self.access_token };
        expiry(token).is_some_and(|end| end > now_s + SPARE_S).then_some(token)
    }
}

/// When a token ends, as it says itself; `None` when it is no JSON Web Token. Nothing is verified:
/// the token is this person's own, and weir will look for itself.
pub fn expiry(token: &str) -> Option<i64> {
    let mut parts = token.split('.');
    let claims = BASE64URL.decode(parts.nth(1)?).ok()?;
    parts.next()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let end = claims.get("exp")?;
    end.as_i64().or_else(|| end.as_f64().map(|seconds| seconds as i64))
}

/// The file, held against other processes for as long as this value lives.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    _lock: File,
}

/// Where state of programs is kept (XDG Base Directory Specification).
pub fn folder(env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
    let given = env("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env("HOME").map(|home| Path::new(&home).join(".local/state"));
    let base = given.or_else(home).ok_or_else(|| {
        Failure::new(EXIT_USAGE, "there is no place to keep tokens")
            .hint("set HOME or XDG_STATE_HOME")
    })?;
    Ok(base.join("weir"))
}

type Content = BTreeMap<String, Tokens>;

impl Cache {
    /// Opens the file of a folder, waiting for another process that has it.
    ///
    /// # Errors
    /// The folder cannot be used, or others may read the file.
    pub fn open(folder: &Path) -> Result<Cache, Failure> {
        let failed = |error| Failure::because(&format!("cannot use {}", folder.display()), error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = private().truncate(false).open(folder.join("login.lock")).map_err(failed)?;
        if lock.try_lock().is_err() {
            note("weir: another `weir login` is at work, waiting for it");
            lock.lock().map_err(failed)?;
        }
        Ok(Cache { path: folder.join("login.json"), _lock: lock })
    }

    /// The tokens kept under a key.
    pub fn get(&self, key: &str) -> Option<Tokens> {
        // A file that cannot be read costs its owner one more login, no more.
        match self.read() {
            Ok(mut content) => content.remove(key),
            Err(reason) => {
                note(&format!("weir: {} is not used: {reason}", self.path.display()));
                None
            }
        }
    }

    /// Keeps tokens under a key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&mut self, key: &str, tokens: &Tokens) -> Result<(), Failure> {
        let mut content = self.read().unwrap_or_default();
        content.insert(key.to_owned(), tokens.clone());
        self.write(&content)
    }

    /// Drops the tokens under a key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&mut self, key: &str) -> Result<(), Failure> {
        let mut content = self.read().unwrap_or_default();
        content.remove(key);
        self.write(&content)
    }

    fn read(&self) -> Result<Content, String> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Content::default());
            }
            Err(error) => return Err(error.to_string()),
        };
        let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err("others may read it (chmod 600 it)".to_owned());
        }
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|error| error.to_string())?;
        // The error of the reader could quote what it read.
        serde_json::from_slice(&text).map_err(|_| "it does not hold weir's tokens".to_owned())
    }

    fn write(&self, content: &Content) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(content)
            .map_err(|_| Failure::new(EXIT_FAILURE, "the tokens cannot be written down"))?;
        replace(&self.path, &text)
    }
}

/// Puts a new content in place of a file's, at once and for its owner's eyes only.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::because(&format!("cannot write {}", path.display()), error);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let _not_there = std::fs::remove_file(&fresh);
    let written = private()
        .create_new(true)
        .open(&fresh)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        let _not_made = std::fs::remove_file(&fresh);
    }
    written.map_err(failed)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// A token that ends sooner is not worth starting a login with.
const SPARE_S: i64 = 60;
const FILE_BYTES_MAX: u64 = 4 << 20;
