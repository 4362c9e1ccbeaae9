//! What a client says of who it is: `Authorization` (RFC 9110 11.6.2).
//!
//! In: the value of the field. Out: the kind of credentials and their parts.
//! Never: a guess: what is not of one of these forms is `Other`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Credentials. What they hold is not proven.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials<'c> {
    /// A user and a password (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token (RFC 6750).
    Bearer(&'c [u8]),
    /// Another scheme, or a malformed one of these.
    Other,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Basic { .. } => "Basic(..)",
            Credentials::Bearer(_) => "Bearer(..)",
            Credentials::Other => "Other",
        })
    }
}

/// Takes the value of `Authorization` apart.
pub fn credentials(value: &[u8]) -> Credentials<'_> {
    let Some(blank) = memchr::memchr(b' ', value) else { return Credentials::Other };
    let (scheme, rest) = value.split_at(blank);
    let token = rest.trim_ascii_start();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return if is_token68(token) { Credentials::Bearer(token) } else { Credentials::Other };
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Credentials::Other;
    }
    let decoded = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // RFC 7617 2: the user has no colon, the password may have some.
    match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) if !pair_has_controls(user, password) => {
            Credentials::Basic { user: user.to_owned(), password: password.to_owned() }
        }
        _ => Credentials::Other,
    }
}

/// RFC 9110 11.2.
fn is_token68(token: &[u8]) -> bool {
    let body = token.iter().rev().skip_while(|byte| **byte == b'=');
    let mut body = body.peekable();
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    body.peek().is_some() && body.all(is)
}

fn pair_has_controls(user: &str, password: &str) -> bool {
    user.chars().chain(password.chars()).any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_apart() {
        let basic = |user: &str, password: &str| Credentials::Basic {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        assert_eq!(credentials(b"Basic YWxpY2U6cGE6c3M="), basic("alice", "pa:ss"));
        assert_eq!(credentials(b"bASIC  YWxpY2U6"), basic("alice", ""));
        assert_eq!(credentials(b"Bearer a.b-c_d~e+f/=="), Credentials::Bearer(b"a.b-c_d~e+f/=="));
        for other in [
            &b""[..],
            b"Basic",
            b"Basic YWxpY2U=",
            b"Basic YWxpY2U6cGE6c3M",
            b"Basic !!!!",
            b"Basic YQA6Yg==",
            b"Basic /w==",
            b"Bearer",
            b"Bearer a b",
            b"Bearer =",
            b"Bearer a,b",
            b"Negotiate YII=",
            b"Basically YWxpY2U6cGE6c3M=",
        ] {
            assert_eq!(credentials(other), Credentials::Other, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn nothing_of_them_is_printed() {
        assert_eq!(format!("{:?}", credentials(b"Basic YWxpY2U6cGE6c3M=")), "Basic(..)");
    }
}
