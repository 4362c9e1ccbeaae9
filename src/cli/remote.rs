//! A running weir, over its admin API.
//!
//! In: a data directory or an address, perhaps a user's name. Out: values of `admin::shape`.
//! Never: a proxy of the environment between this process and the API; a password in an error.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fail::{
    EXIT_FAILURE, EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, Failure,
};
use crate::admin::{auth, place, shape};

/// A running weir.
#[derive(Debug)]
pub struct Remote {
    agent: ureq::Agent,
    address: String,
    authorization: String,
    /// Who asks, if it is a user of weir with a password.
    user: Option<String>,
}

/// An answer: the HTTP status and the body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    body: Vec<u8>,
}

impl Remote {
    /// The weir of a data directory, as its administrator.
    ///
    /// # Errors
    /// None runs there, or its token cannot be read.
    pub fn find(data_dir: &Path) -> Result<Remote, Failure> {
        let address = address_of(data_dir)?;
        let token = auth::read_token(data_dir).map_err(|error| {
            Failure::new(EXIT_REFUSED, error.to_string())
                .hint("run as the user that weir runs as, or name yourself with --as USER")
        })?;
        Ok(Remote::new(address, format!("Bearer {token}")))
    }

    /// The weir of a data directory, as one of its users.
    ///
    /// # Errors
    /// None runs there.
    pub fn find_as(data_dir: &Path, user: &str, password: &str) -> Result<Remote, Failure> {
        Ok(Remote::of_user(address_of(data_dir)?, user, password))
    }

    /// The weir at an address, as one of its users: nothing of its files is read.
    ///
    /// # Errors
    /// The address is none of loopback, so a password would go in clear; or there is no password.
    pub fn at(
        address: SocketAddr,
        user: &str,
        password: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<Remote, Failure> {
        if !address.ip().is_loopback() {
            let message = format!("{address} is not on loopback, and the admin API has no TLS");
            return Err(Failure::new(EXIT_USAGE, message)
                .hint("run this on the gateway, or forward the address with `ssh -L`"));
        }
        Ok(Remote::of_user(address.to_string(), user, &password()?))
    }

    fn of_user(address: String, user: &str, password: &str) -> Remote {
        let pair = BASE64.encode(format!("{user}:{password}"));
        let remote = Remote::new(address, format!("Basic {pair}"));
        Remote { user: Some(user.to_owned()), ..remote }
    }

    fn new(address: String, authorization: String) -> Remote {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(CALL_TIMEOUT))
            .build();
        Remote { agent: config.into(), address, authorization, user: None }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// weir does not answer, or refuses.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let call = self
            .agent
            .get(format!("http://{}{path}", self.address))
            .header("authorization", &self.authorization)
            .call();
        self.answer(call)?.read()
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// weir does not answer.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        let call = self
            .agent
            .post(format!("http://{}{path}", self.address))
            .header("authorization", &self.authorization)
            .send_json(body);
        self.answer(call)
    }

    /// Asks for the end of something.
    ///
    /// # Errors
    /// weir does not answer.
    pub fn delete(&self, path: &str) -> Result<Answer, Failure> {
        let call = self
            .agent
            .delete(format!("http://{}{path}", self.address))
            .header("authorization", &self.authorization)
            .call();
        self.answer(call)
    }

    fn answer(
        &self,
        call: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, Failure> {
        let silent = |error: ureq::Error| {
            let message = format!("weir at {} does not answer: {error}", self.address);
            Failure::new(EXIT_UNREACHABLE, message).hint("is `weir run` still running?")
        };
        let mut response = call.map_err(silent)?;
        let status = response.status().as_u16();
        if let (401, Some(user)) = (status, &self.user) {
            let message = format!("weir knows no {user} with this password");
            return Err(Failure::new(EXIT_REFUSED, message)
                .hint("WEIR_PASSWORD has it, or it is asked for; people without one use a token"));
        }
        let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        Ok(Answer { status, body: reader.read_to_vec().map_err(silent)? })
    }
}

impl Answer {
    /// The value of a successful call.
    ///
    /// # Errors
    /// The call was refused, or the value is not what it should be.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.status == 200 {
            return self.parse();
        }
        let problem: shape::Problem = self.parse()?;
        let code = match self.status {
            401 | 403 => EXIT_REFUSED,
            404 => EXIT_NOT_FOUND,
            408 | 503 => EXIT_UNREACHABLE,
            _ => EXIT_FAILURE,
        };
        Err(Failure::new(code, problem.error).hint(problem.hint))
    }

    /// The value whatever the status is.
    ///
    /// # Errors
    /// The value is not what it should be.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let message = format!("the answer (status {}) is not weir's", self.status);
            Failure::new(EXIT_UNREACHABLE, message)
                .hint("another program may use the address in admin.json of the data directory")
        })
    }
}

fn address_of(data_dir: &Path) -> Result<String, Failure> {
    // A folder that this user may not look into says nothing of who runs there.
    if let Err(error) = std::fs::read_dir(data_dir)
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        let message = format!("cannot look into the data directory {}", data_dir.display());
        return Err(Failure::new(EXIT_REFUSED, format!("{message}: {error}"))
            .hint("run as the user that weir runs as; who approves only gives --admin ADDRESS"));
    }
    place::Place::read(data_dir).map(|place| place.address).ok_or_else(|| {
        let message = format!("no weir runs with the data directory {}", data_dir.display());
        Failure::new(EXIT_UNREACHABLE, message).hint("start it with `weir run`, or name another")
    })
}

/// Longer than the longest call of the API.
const CALL_TIMEOUT: Duration = Duration::from_secs(75);
const ANSWER_BYTES_MAX: u64 = 256 << 20;
