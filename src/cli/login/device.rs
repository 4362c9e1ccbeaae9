//! The device authorization grant (RFC 8628), and the renewal of tokens (RFC 6749, section 6).
//!
//! In: an issuer's endpoints. Out: what was granted, or why not.
//! Never: a code or a token in a message, but for the one code that a person types.

use std::time::Duration;

use serde::Deserialize;

use super::Wish;
use super::cache::Tokens;
use crate::admin::issuer::{IssuerError, Provider, Web};
use crate::cli::fail::{EXIT_FAILURE, EXIT_REFUSED, Failure};
use crate::cli::output::{clean, short};

/// Talks to the endpoints as one client.
#[derive(Debug)]
pub struct Client<'a> {
    web: &'a Web,
    provider: &'a Provider,
    wish: &'a Wish,
}

/// Tokens as an issuer gives them (RFC 6749, section 5.1).
#[derive(Deserialize)]
pub struct Granted {
    /// For resources, such as weir.
    pub access_token: String,
    /// About the person, if `openid` was asked for.
    #[serde(default)]
    pub id_token: Option<String>,
    /// Gets new ones.
    #[serde(default)]
    pub refresh_token: Option<String>,
}

/// A refusal (RFC 6749, section 5.2).
#[derive(Debug, Default, Deserialize)]
struct Denied {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What an issuer gives to a device (RFC 8628, section 3.2).
#[derive(Deserialize)]
struct Started {
    device_code: String,
    user_code: String,
    // Some issuers are older than the standard's last word.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

/// What one answer to a poll means.
enum Poll {
    Wait(u64),
    Done(Granted),
    Failed(Failure),
}

impl<'a> Client<'a> {
    /// A client of this issuer.
    pub fn new(web: &'a Web, provider: &'a Provider, wish: &'a Wish) -> Client<'a> {
        Client { web, provider, wish }
    }

    /// Uses a refresh token; `None` when the issuer wants to see the person again.
    pub fn renew(&self, old: &Tokens) -> Result<Option<Granted>, Failure> {
        let (Some(token), Ok(url)) = (&old.refresh_token, self.token_endpoint()) else {
            return Ok(None);
        };
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let (status, body) = self.post(url, &form).map_err(super::unreachable)?;
        match (status, serde_json::from_slice::<Granted>(&body)) {
            (200, Ok(granted)) => Ok(Some(granted)),
            // Revoked, too old, or used already: the person can mend that.
            _ if denied(&body).error == "invalid_grant" => Ok(None),
            _ => Err(refusal("the issuer does not renew the token", status, &denied(&body))),
        }
    }

    /// Has a person allow it, telling them by `say` what to do, and waits until they have.
    pub fn ask_person(&self, say: &mut dyn FnMut(&str)) -> Result<Granted, Failure> {
        let url = self.provider.device_authorization_endpoint.as_deref().ok_or_else(|| {
            Failure::new(EXIT_FAILURE, "the issuer does not let devices log in (RFC 8628)")
                .hint("get a token from it in another way and give it as the password")
        })?;
        let form = [("scope", self.wish.scope.as_str())];
        let (status, body) = self.post(url, &form).map_err(super::unreachable)?;
        let started = match (status, serde_json::from_slice::<Started>(&body)) {
            (200, Ok(started)) => started,
            _ => {
                let why = denied(&body);
                return Err(refusal("the issuer starts no login", status, &why));
            }
        };
        say(&format!(
            "weir: to log in, open {}\nweir: and enter the code {}",
            clean(&started.verification_uri),
            clean(&started.user_code)
        ));
        if let Some(address) = &started.verification_uri_complete {
            say(&format!("weir: or open {}", clean(address)));
        }
        self.wait(&started)
    }

    fn wait(&self, started: &Started) -> Result<Granted, Failure> {
        let url = self.token_endpoint()?;
        let form = [("grant_type", DEVICE_GRANT), ("device_code", started.device_code.as_str())];
        let mut interval_s = started.interval.unwrap_or(INTERVAL_S).clamp(1, INTERVAL_S_MAX);
        let mut left_s = started.expires_in.min(WAIT_S_MAX);
        while left_s > 0 {
            std::thread::sleep(Duration::from_secs(interval_s));
            left_s = left_s.saturating_sub(interval_s);
            match self.post(url, &form) {
                Ok((status, body)) => match poll(status, &body, interval_s) {
                    Poll::Wait(seconds) => interval_s = seconds,
                    Poll::Done(granted) => return Ok(granted),
                    Poll::Failed(failure) => return Err(failure),
                },
                // Section 3.5: a client that got no answer has to be slower.
                Err(IssuerError::Unreachable { .. }) => {
                    interval_s = (interval_s * 2).min(INTERVAL_S_MAX);
                }
                Err(error) => return Err(super::unreachable(error)),
            }
        }
        Err(too_late())
    }

    fn token_endpoint(&self) -> Result<&str, Failure> {
        self.provider.token_endpoint.as_deref().ok_or_else(|| {
            Failure::new(EXIT_FAILURE, "the issuer's description names no token_endpoint")
        })
    }

    fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<(u16, Vec<u8>), IssuerError> {
        let mut pairs = vec![("client_id", self.wish.client_id.as_str())];
        pairs.extend_from_slice(form);
        let more = self.wish.parameters.iter();
        pairs.extend(more.map(|(name, value)| (name.as_str(), value.as_str())));
        self.web.post(url, &pairs)
    }
}

fn poll(status: u16, body: &[u8], interval_s: u64) -> Poll {
    if status == 200 {
        return match serde_json::from_slice(body) {
            Ok(granted) => Poll::Done(granted),
            Err(_) => Poll::Failed(refusal("the issuer gives no token", status, &denied(body))),
        };
    }
    let why = denied(body);
    match why.error.as_str() {
        "authorization_pending" => Poll::Wait(interval_s),
        // Section 3.5: five seconds more, for this and all later requests.
        "slow_down" => Poll::Wait((interval_s + 5).min(INTERVAL_S_MAX)),
        "access_denied" => Poll::Failed(Failure::new(EXIT_REFUSED, "the login was refused")),
        "expired_token" => Poll::Failed(too_late()),
        _ => Poll::Failed(refusal("the issuer gives no token", status, &why)),
    }
}

fn denied(body: &[u8]) -> Denied {
    serde_json::from_slice(body).unwrap_or_default()
}

fn refusal(what: &str, status: u16, why: &Denied) -> Failure {
    if why.error.is_empty() {
        return Failure::new(EXIT_FAILURE, format!("{what}: status {status}"));
    }
    let message = format!("{what}: {}", short(&why.error, WORDS_MAX));
    let failure = Failure::new(EXIT_FAILURE, message);
    match why.error_description.as_str() {
        "" => failure,
        words => failure.hint(format!("the issuer says: {}", short(words, WORDS_MAX))),
    }
}

fn too_late() -> Failure {
    Failure::new(EXIT_REFUSED, "nobody allowed the login in time").hint("run `weir login` again")
}

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// What a client waits between polls unless told otherwise (RFC 8628, section 3.2).
const INTERVAL_S: u64 = 5;
const INTERVAL_S_MAX: u64 = 60;
const WAIT_S_MAX: u64 = 3_600;
const WORDS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_to_a_poll_has_a_meaning() {
        fn check(status: u16, body: &str, expect: &str) {
            let shown = match poll(status, body.as_bytes(), 5) {
                Poll::Wait(seconds) => format!("wait {seconds}"),
                Poll::Done(granted) => format!("done {}", granted.access_token),
                Poll::Failed(failure) => format!("{failure:?}"),
            };
            assert!(shown.contains(expect), "{status} {body}: {shown}");
        }
        check(200, r#"{"access_token":"a","token_type":"Bearer","expires_in":3}"#, "done a");
        check(200, "{}", "gives no token: status 200");
        check(400, r#"{"error":"authorization_pending"}"#, "wait 5");
        check(400, r#"{"error":"slow_down"}"#, "wait 10");
        check(400, r#"{"error":"access_denied"}"#, "code: 6");
        check(400, r#"{"error":"expired_token"}"#, "nobody allowed the login in time");
        let odd = r#"{"error":"invalid_client","error_description":"no\u001b such"}"#;
        check(401, odd, "invalid_client");
        check(401, odd, "no\\\\u{1b} such");
        check(502, "<html>", "status 502");
    }
}
