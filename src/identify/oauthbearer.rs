//! OAUTHBEARER (RFC 7628), the server's side, as PostgreSQL 18 speaks it.
//!
//! In: SASL messages of the client. Out: the token, or what to send.
//! Never: a SASLFinal, which libpq takes for a broken server; a token in an error.
//!
//! ```text
//!   Initial --no response--> Response
//!      |                        |
//!      +---- auth=Bearer TOKEN -+--> BearerStep::Token, then `refuse` or AuthenticationOk
//!      +---- auth= -------------+--> Failed: the challenge says where tokens come from
//!                                       |
//!                                     0x01 --> BearerStep::Over, then the error
//! ```

use serde_json::json;

use crate::limits;

/// The name of the mechanism.
pub const MECHANISM: &str = "OAUTHBEARER";
/// Separates key/value pairs, and is the whole answer of a client to a failure.
const SEPARATOR: u8 = 0x01;
const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// A message that is not the mechanism's. What is wrong with it is of no use to a person; the
/// driver is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed OAUTHBEARER message")]
pub struct Malformed;

/// What comes next.
#[derive(Clone, PartialEq, Eq)]
pub enum BearerStep {
    /// Send this as SASLContinue and wait for the client.
    Continue(Vec<u8>),
    /// The client asks where tokens come from: send this as SASLContinue and wait.
    Discovery(Vec<u8>),
    /// Verify this token; then AuthenticationOk, or what `refuse` gives.
    Token(Vec<u8>),
    /// The client has taken note of the failure; the error follows.
    Over,
}

impl std::fmt::Debug for BearerStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BearerStep::Continue(bytes) => write!(f, "Continue({} bytes)", bytes.len()),
            BearerStep::Discovery(bytes) => write!(f, "Discovery({} bytes)", bytes.len()),
            BearerStep::Token(_) => f.write_str("Token(..)"),
            BearerStep::Over => f.write_str("Over"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Initial,
    Response,
    Token,
    Failed,
    Over,
}

/// One exchange.
#[derive(Debug)]
pub struct ServerExchange {
    state: State,
    challenge: Vec<u8>,
}

impl ServerExchange {
    /// An exchange that sends clients without a good token to this issuer.
    pub fn new(issuer: &str, scope: &str) -> ServerExchange {
        let challenge = json!({
            "status": "invalid_token",
            // As PostgreSQL writes it, a slash at the end of the issuer included: libpq cuts the
            // same from the end and compares what is left with its `oauth_issuer`.
            "openid-configuration": format!("{issuer}{CONFIGURATION_PATH}"),
            "scope": scope,
        });
        ServerExchange { state: State::Initial, challenge: challenge.to_string().into_bytes() }
    }

    /// The data of SASLInitialResponse, `None` when it has none, or of a SASLResponse.
    ///
    /// # Errors
    /// The message is not the mechanism's, or not due now.
    pub fn handle(&mut self, data: Option<&[u8]>) -> Result<BearerStep, Malformed> {
        match (std::mem::replace(&mut self.state, State::Over), data) {
            (State::Initial, None) => {
                self.state = State::Response;
                Ok(BearerStep::Continue(Vec::new()))
            }
            (State::Initial | State::Response, Some(data)) => match authorization(data)? {
                b"" => Ok(BearerStep::Discovery(self.fail())),
                value => {
                    self.state = State::Token;
                    Ok(BearerStep::Token(bearer_token(value).unwrap_or_default().to_vec()))
                }
            },
            (State::Failed, Some([SEPARATOR])) => Ok(BearerStep::Over),
            _ => Err(Malformed),
        }
    }

    /// The token was not good: what to send as SASLContinue.
    pub fn refuse(&mut self) -> Vec<u8> {
        assert_eq!(self.state, State::Token, "a token was given");
        self.fail()
    }

    fn fail(&mut self) -> Vec<u8> {
        self.state = State::Failed;
        self.challenge.clone()
    }
}

/// Where an issuer describes itself (OpenID Connect Discovery 1.0, section 4.1).
pub fn configuration_url(issuer: &str) -> String {
    format!("{}{CONFIGURATION_PATH}", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// The value of `auth` in a client's response: `n,,\x01auth=...\x01\x01`.
fn authorization(data: &[u8]) -> Result<&[u8], Malformed> {
    if data.len() > limits::AUTH_MESSAGE_BYTES_MAX as usize || data.contains(&0) {
        return Err(Malformed);
    }
    // No channel binding (`p`), and no identity to act as (`a=`): the token says who it is.
    let pairs = data.strip_prefix(b"n,,").or_else(|| data.strip_prefix(b"y,,")).ok_or(Malformed)?;
    let mut rest = pairs.strip_prefix(&[SEPARATOR]).ok_or(Malformed)?;
    let mut found = None;
    loop {
        let end = memchr::memchr(SEPARATOR, rest).ok_or(Malformed)?;
        let (pair, after) = rest.split_at_checked(end).ok_or(Malformed)?;
        rest = after.get(1..).ok_or(Malformed)?;
        if pair.is_empty() {
            break;
        }
        let (key, value) = key_and_value(pair)?;
        // Two values would leave it open which one a log, a proxy or this server goes by.
        if key == b"auth" && found.replace(value).is_some() {
            return Err(Malformed);
        }
    }
    if !rest.is_empty() {
        return Err(Malformed);
    }
    found.ok_or(Malformed)
}

/// `key = 1*ALPHA`, `value = *(VCHAR / SP / HTAB / CR / LF)` (RFC 7628, section 3.1).
fn key_and_value(pair: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let equals = memchr::memchr(b'=', pair).ok_or(Malformed)?;
    let (key, value) = pair.split_at_checked(equals).ok_or(Malformed)?;
    let value = value.get(1..).ok_or(Malformed)?;
    let lettered = !key.is_empty() && key.iter().all(u8::is_ascii_alphabetic);
    let visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    if lettered && value.iter().all(visible) { Ok((key, value)) } else { Err(Malformed) }
}

/// `Bearer TOKEN` (RFC 6750, section 2.1); `None` when it is something else.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return None;
    }
    let spaces = token.iter().take_while(|byte| **byte == b' ').count();
    let token = token.get(spaces..)?;
    let body = token.iter().rev().skip_while(|byte| **byte == b'=');
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    let mut body = body.peekable();
    (body.peek().is_some() && body.all(allowed)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example.com";

    fn exchange() -> ServerExchange {
        ServerExchange::new(ISSUER, "openid")
    }

    fn first(data: &[u8]) -> Result<BearerStep, Malformed> {
        exchange().handle(Some(data))
    }

    fn token(text: &str) -> Result<BearerStep, Malformed> {
        Ok(BearerStep::Token(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_token_is_taken_as_libpq_sends_it() {
        assert_eq!(first(b"n,,\x01auth=Bearer a.b-c_~+/==\x01\x01"), token("a.b-c_~+/=="));
        assert_eq!(first(b"y,,\x01auth=bearer   abc\x01\x01"), token("abc"));
        let more = b"n,,\x01host=db\x01auth=Bearer abc\x01port=5432\x01\x01";
        assert_eq!(first(more), token("abc"));
    }

    #[test]
    fn what_is_no_bearer_token_is_an_empty_token() {
        for value in ["Basic abc", "Bearer", "Bearer ", "Bearer a b", "Bearer =", "Bearer a=b"] {
            let data = format!("n,,\x01auth={value}\x01\x01");
            assert_eq!(first(data.as_bytes()), token(""), "{value}");
        }
    }

    #[test]
    fn a_message_of_another_shape_is_refused() {
        for data in [
            &b""[..],
            b"n",
            b"n,,",
            b"n,,\x01",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer a\x01",
            b"n,,\x01auth=Bearer a\x01\x01x",
            b"n,,\x01auth=Bearer a\x01\x01\x01",
            b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            b"n,,\x01auth=\x01auth=Bearer b\x01\x01",
            b"n,,\x01other=Bearer b\x01\x01",
            b"n,,\x01auth\x01\x01",
            b"n,,\x01=x\x01auth=Bearer a\x01\x01",
            b"n,,\x01a1=x\x01auth=Bearer a\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
            b"n,,\x01auth=Bearer a\0\x01\x01",
            b"n,a=admin,\x01auth=Bearer a\x01\x01",
            b"p=tls-unique,,\x01auth=Bearer a\x01\x01",
            b"x,,\x01auth=Bearer a\x01\x01",
            b"\x01",
        ] {
            assert_eq!(first(data), Err(Malformed), "{}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn discovery_ends_with_an_error() {
        let mut exchange = exchange();
        let Ok(BearerStep::Discovery(challenge)) = exchange.handle(Some(b"n,,\x01auth=\x01\x01"))
        else {
            panic!("no discovery");
        };
        let value: serde_json::Value = serde_json::from_slice(&challenge).unwrap();
        assert_eq!(value["status"], "invalid_token");
        assert_eq!(value["scope"], "openid");
        let expect = "https://id.example.com/.well-known/openid-configuration";
        assert_eq!(value["openid-configuration"], expect);
        assert_eq!(exchange.handle(Some(b"\x01")), Ok(BearerStep::Over));
        assert_eq!(exchange.handle(Some(b"\x01")), Err(Malformed));
    }

    #[test]
    fn a_refused_token_ends_the_same_way() {
        let mut exchange = exchange();
        assert_eq!(exchange.handle(Some(b"n,,\x01auth=Bearer a\x01\x01")), token("a"));
        assert!(!exchange.refuse().is_empty());
        assert_eq!(exchange.handle(Some(b"\x01")), Ok(BearerStep::Over));
    }

    #[test]
    fn after_a_failure_only_the_separator_is_taken() {
        for data in [&b""[..], b"\x01\x01", b"n,,\x01auth=Bearer a\x01\x01", b"x"] {
            let mut exchange = exchange();
            let _ = exchange.handle(Some(b"n,,\x01auth=\x01\x01"));
            assert_eq!(exchange.handle(Some(data)), Err(Malformed));
        }
    }

    #[test]
    fn without_an_initial_response_the_client_is_asked_again() {
        let mut exchange = exchange();
        assert_eq!(exchange.handle(None), Ok(BearerStep::Continue(Vec::new())));
        assert_eq!(exchange.handle(None), Err(Malformed));
        let mut exchange = ServerExchange::new(ISSUER, "openid");
        assert_eq!(exchange.handle(None), Ok(BearerStep::Continue(Vec::new())));
        assert_eq!(exchange.handle(Some(b"n,,\x01auth=Bearer a\x01\x01")), token("a"));
        // While the token is verified, the client has nothing to say.
        assert_eq!(exchange.handle(Some(b"\x01")), Err(Malformed));
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = b"n,,\x01auth=Bearer abc\x01\x01";
        for length in 0..whole.len() {
            assert_eq!(first(&whole[..length]), Err(Malformed), "cut at {length}");
        }
    }

    #[test]
    fn a_slash_at_the_end_of_an_issuer_is_not_doubled() {
        let expect = "https://a/t/.well-known/openid-configuration";
        assert_eq!(configuration_url("https://a/t/"), expect);
        assert_eq!(configuration_url("https://a/t"), expect);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(
            first in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            second in proptest::collection::vec(proptest::num::u8::ANY, 0..20),
        ) {
            let mut exchange = exchange();
            for data in [Some(first.as_slice()), None, Some(second.as_slice())] {
                if let Ok(BearerStep::Token(_)) = exchange.handle(data) {
                    let _ = exchange.refuse();
                }
            }
        }

        #[test]
        fn pairs_in_any_order_give_one_token(
            before in proptest::collection::vec("[a-z]{1,3}x=[ -~]{0,9}", 0..4),
            after in proptest::collection::vec("[a-z]{1,3}x=[ -~]{0,9}", 0..4),
            value in "[A-Za-z0-9._~+/-]{1,40}={0,2}",
        ) {
            let mut pairs = before;
            pairs.push(format!("auth=Bearer {value}"));
            pairs.extend(after);
            let data = format!("n,,\x01{}\x01\x01", pairs.join("\x01"));
            proptest::prop_assert_eq!(first(data.as_bytes()), token(&value));
        }
    }
}
