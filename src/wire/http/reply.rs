//! What weir says itself: problems, challenges, refusals of gRPC.
//!
//! In: what happened, in weir's own words. Out: a status, fields and content, for either version.
//! Never: bytes of a target; a word that is not in the configuration or in the code.

use super::head::Head;
use super::name::Name;
use super::refused::Refused;

/// An answer of weir's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Fields without framing, names in lower case.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// The content.
    pub content: Vec<u8>,
}

/// In which words a client is told that its request is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// HTTP 200 with a status of gRPC and no content (gRPC over HTTP/2, "Trailers-Only").
    Grpc,
}

impl Manner {
    /// The manner that the sender of `request` reads.
    pub fn of(request: &Head) -> Manner {
        let is_grpc = request.only(Name::ContentType).is_some_and(|kind| {
            kind.strip_prefix(b"application/grpc")
                .is_some_and(|rest| rest.is_empty() || matches!(rest.first(), Some(b'+' | b';')))
        });
        if is_grpc { Manner::Grpc } else { Manner::Problem }
    }
}

/// A request that is not done, and why.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'p> {
    /// The status of HTTP.
    pub status: u16,
    /// A fixed word: the last part of the problem's type.
    pub kind: &'p str,
    /// What happened, in few words.
    pub title: &'p str,
    /// What happened, in a sentence.
    pub detail: &'p str,
    /// The id of the command, where there is one.
    pub instance: Option<&'p str>,
    /// The rule that decided, where one did.
    pub rule: Option<&'p str>,
    /// `error` of `Proxy-Status` (RFC 9209 2.3).
    pub error: &'static str,
    /// When it may be asked again, in seconds.
    pub retry_after_s: Option<u32>,
}

impl<'p> Problem<'p> {
    /// A request that was refused as it was read.
    pub fn refused(refused: Refused) -> Problem<'static> {
        Problem {
            status: refused.status(),
            kind: refused.label(),
            title: "The request is refused",
            detail: match refused {
                Refused::LineBytes | Refused::HeadBytes | Refused::FieldCount => TOO_LARGE,
                Refused::ValueBytes => TOO_LARGE,
                Refused::MethodOverride => {
                    "a field names another method than the request: send the method that is meant"
                }
                Refused::Misdirected => {
                    "this connection was made for another name: open one for this name"
                }
                Refused::Condition => {
                    "masks apply, and this change depends on a tag of what they hide"
                }
                Refused::Foreign => {
                    "a page of another origin asks for this by a login that the browser attached; \
                     `origins` of the target names those that may"
                }
                _ => "weir refuses what two servers could read differently",
            },
            instance: None,
            rule: None,
            error: "http_request_error",
            retry_after_s: None,
        }
    }

    /// The answer.
    pub fn reply(&self, manner: Manner) -> Reply {
        let mut fields = vec![("cache-control", b"no-store".to_vec())];
        fields.push(("proxy-status", format!("weir; error={}", self.error).into_bytes()));
        if let Some(seconds) = self.retry_after_s {
            fields.push(("retry-after", seconds.to_string().into_bytes()));
        }
        match manner {
            Manner::Problem => {
                fields.insert(0, ("content-type", b"application/problem+json".to_vec()));
                Reply { status: self.status, fields, content: self.json() }
            }
            Manner::Grpc => {
                fields.insert(0, ("content-type", b"application/grpc".to_vec()));
                let code = grpc_status(self.status).to_string();
                fields.push(("grpc-status", code.into_bytes()));
                fields.push(("grpc-message", grpc_message(self.detail)));
                Reply { status: 200, fields, content: Vec::new() }
            }
        }
    }

    fn json(&self) -> Vec<u8> {
        let mut json = String::from("{");
        let mut member = |name: &str, value: &str| {
            if json.len() > 1 {
                json.push(',');
            }
            json.push('"');
            json.push_str(name);
            json.push_str("\":\"");
            escape(&mut json, value);
            json.push('"');
        };
        member("type", &format!("urn:weir:problem:{}", self.kind));
        member("title", self.title);
        member("detail", self.detail);
        if let Some(instance) = self.instance {
            member("instance", &format!("urn:weir:command:{instance}"));
        }
        if let Some(rule) = self.rule {
            member("rule", rule);
        }
        json.push_str(&format!(",\"status\":{}}}\n", self.status));
        json.into_bytes()
    }
}

/// Appends `text` as the inside of a JSON string (RFC 8259 7).
fn escape(json: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            letter if letter.is_control() => json.push_str(&format!("\\u{:04x}", letter as u32)),
            letter => json.push(letter),
        }
    }
}

/// The status of gRPC for one of HTTP (gRPC, "HTTP to gRPC Status Code Mapping").
const fn grpc_status(status: u16) -> u8 {
    match status {
        400 | 431 => 13,
        // What the call is, not what its server did: it is not to be sent again as it is.
        413 | 415 => 9,
        401 => 16,
        403 => 7,
        404 | 501 => 12,
        408 | 504 => 4,
        429 | 502 | 503 => 14,
        _ => 2,
    }
}

/// Percent-encoded as `grpc-message` wants it.
fn grpc_message(text: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f..=0xff => message.extend(format!("%{byte:02X}").bytes()),
            byte => message.push(byte),
        }
    }
    message
}

/// 401: who asks has to say who it is (RFC 9110 11.6.1).
pub fn challenge(manner: Manner, detail: &str, challenges: &[&str]) -> Reply {
    let problem = Problem {
        status: 401,
        kind: "unauthenticated",
        title: "weir does not know who you are",
        detail,
        instance: None,
        rule: None,
        error: "http_request_denied",
        retry_after_s: None,
    };
    let mut reply = problem.reply(manner);
    for challenge in challenges {
        reply.fields.push(("www-authenticate", challenge.as_bytes().to_vec()));
    }
    reply
}

/// What is too large to be looked at.
const TOO_LARGE: &str = "the head is larger than weir takes: 64 KiB, 128 fields, 32 KiB each";

/// The words behind a status (RFC 9110 15).
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        508 => "Loop Detected",
        _ => "",
    }
}

impl Reply {
    /// The words behind its status.
    pub const fn reason(&self) -> &'static str {
        reason(self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem<'static> {
        Problem {
            status: 403,
            kind: "denied",
            title: "Denied",
            detail: "the rule \"no\\ \u{1}deletes\" says no",
            instance: Some("0192-1"),
            rule: Some("no deletes"),
            error: "http_request_denied",
            retry_after_s: Some(5),
        }
    }

    #[test]
    fn a_problem_is_json_with_its_rule() {
        let reply = problem().reply(Manner::Problem);
        let json: serde_json::Value = serde_json::from_slice(&reply.content).expect("JSON");
        assert_eq!(json["detail"], problem().detail);
        assert_eq!(json["rule"], "no deletes");
        assert_eq!(json["status"], 403);
        assert_eq!(json["type"], "urn:weir:problem:denied");
        assert_eq!(json["instance"], "urn:weir:command:0192-1");
        assert!(reply.fields.contains(&("retry-after", b"5".to_vec())));
    }

    #[test]
    fn a_call_of_grpc_is_answered_without_content() {
        let reply = problem().reply(Manner::Grpc);
        assert_eq!((reply.status, reply.content.len()), (200, 0));
        assert!(reply.fields.contains(&("grpc-status", b"7".to_vec())));
        let message = b"the rule \"no\\ %01deletes\" says no".to_vec();
        assert!(reply.fields.contains(&("grpc-message", message)));
    }

    #[test]
    fn a_challenge_names_every_way_to_log_in() {
        let reply = challenge(Manner::Problem, "log in", &["Bearer", "Basic realm=\"weir\""]);
        let ways = reply.fields.iter().filter(|(name, _)| *name == "www-authenticate").count();
        assert_eq!((reply.status, ways), (401, 2));
    }
}
