//! The field names that weir cares about, and what becomes of each on its way.
//!
//! In: a name as it was spelt. Out: a [`Name`] with its fate in either direction.
//! Never: a guess: a name that is not in the table passes, unless it is an alias of one that is.

use super::refused::Refused;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Passed on byte for byte.
    Pass,
    /// Not passed on.
    Drop,
    /// Not passed on; weir writes its own.
    Own,
    /// Passed on, and weir writes its own behind it.
    Add,
    /// It may say who the client is: passed on only where the target keeps the client's own.
    Credential,
}

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident $spelling:literal $request:ident $answer:ident;)*) => {
        /// A field name that weir cares about, or `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $spelling, "`.")] $(#[$doc])* $variant,)*
            /// Any name that begins with `x-forwarded-` and has no row of its own.
            XForwardedOther,
            /// Any other name.
            Other,
        }

        const TABLE: &[(Name, &str, Fate, Fate)] = &[
            $((Name::$variant, $spelling, Fate::$request, Fate::$answer),)*
        ];
    };
}

// Name, spelling, fate in a request, fate in an answer.
names! {
    Accept "accept" Pass Pass;
    AcceptEncoding "accept-encoding" Pass Pass;
    /// Would lead clients past weir.
    AltSvc "alt-svc" Drop Drop;
    Authorization "authorization" Credential Drop;
    /// RFC 9440.
    ClientCert "client-cert" Drop Drop;
    /// RFC 9440.
    ClientCertChain "client-cert-chain" Drop Drop;
    Connection "connection" Own Own;
    ContentDigest "content-digest" Pass Pass;
    ContentEncoding "content-encoding" Pass Pass;
    ContentLength "content-length" Own Own;
    ContentLocation "content-location" Pass Pass;
    ContentType "content-type" Pass Pass;
    Cookie "cookie" Pass Drop;
    Date "date" Pass Pass;
    Etag "etag" Pass Pass;
    Expect "expect" Own Drop;
    Forwarded "forwarded" Own Drop;
    GrpcTimeout "grpc-timeout" Pass Pass;
    Host "host" Own Drop;
    /// RFC 9113 3.1: obsolete.
    Http2Settings "http2-settings" Drop Drop;
    IfRange "if-range" Pass Pass;
    KeepAlive "keep-alive" Drop Drop;
    LastEventId "last-event-id" Pass Pass;
    Location "location" Pass Pass;
    Origin "origin" Pass Pass;
    Prefer "prefer" Pass Pass;
    /// CGI makes `HTTP_PROXY` of it.
    Proxy "proxy" Drop Drop;
    ProxyAuthenticate "proxy-authenticate" Drop Drop;
    ProxyAuthenticationInfo "proxy-authentication-info" Drop Drop;
    ProxyAuthorization "proxy-authorization" Drop Drop;
    ProxyConnection "proxy-connection" Drop Drop;
    Range "range" Pass Pass;
    Refresh "refresh" Pass Pass;
    SecWebsocketAccept "sec-websocket-accept" Drop Pass;
    /// weir reads the messages, so nothing that changes them is agreed on.
    SecWebsocketExtensions "sec-websocket-extensions" Drop Drop;
    SecWebsocketKey "sec-websocket-key" Pass Drop;
    SecWebsocketProtocol "sec-websocket-protocol" Pass Pass;
    SecWebsocketVersion "sec-websocket-version" Pass Pass;
    SetCookie "set-cookie" Drop Pass;
    Te "te" Own Drop;
    Trailer "trailer" Own Own;
    TransferEncoding "transfer-encoding" Own Own;
    Upgrade "upgrade" Own Own;
    Via "via" Add Add;
    WeirAssertion "weir-assertion" Drop Drop;
    WwwAuthenticate "www-authenticate" Pass Pass;
    XForwardedClientCert "x-forwarded-client-cert" Drop Drop;
    XForwardedFor "x-forwarded-for" Own Drop;
    XForwardedHost "x-forwarded-host" Own Drop;
    XForwardedProto "x-forwarded-proto" Own Drop;
    XHttpMethod "x-http-method" Drop Pass;
    XHttpMethodOverride "x-http-method-override" Drop Pass;
    XMethodOverride "x-method-override" Drop Pass;
    XOriginalUrl "x-original-url" Drop Pass;
    XRealIp "x-real-ip" Drop Drop;
    XRewriteUrl "x-rewrite-url" Drop Pass;
}

/// The longest spelling of the table.
const SPELLING_BYTES_MAX: usize = 25;
const X_FORWARDED: &[u8] = b"x-forwarded-";

/// Per length, the rows of the table that have it: a lookup compares with few of them.
const ROWS_PER_LENGTH: usize = 7;
const NO_ROW: u8 = u8::MAX;
static BY_LENGTH: [[u8; ROWS_PER_LENGTH]; SPELLING_BYTES_MAX + 1] = by_length();

const fn by_length() -> [[u8; ROWS_PER_LENGTH]; SPELLING_BYTES_MAX + 1] {
    let mut rows = [[NO_ROW; ROWS_PER_LENGTH]; SPELLING_BYTES_MAX + 1];
    let mut row = 0;
    while row < TABLE.len() {
        let length = TABLE[row].1.len();
        let mut place = 0;
        while rows[length][place] != NO_ROW {
            place += 1;
        }
        rows[length][place] = row as u8;
        row += 1;
    }
    rows
}

impl Name {
    /// The row that `name` is spelt as, case ignored.
    pub fn of(name: &[u8]) -> Name {
        for &row in BY_LENGTH.get(name.len()).into_iter().flatten() {
            let Some((known, spelling, ..)) = TABLE.get(usize::from(row)) else { break };
            if name.eq_ignore_ascii_case(spelling.as_bytes()) {
                return *known;
            }
        }
        match name.split_at_checked(X_FORWARDED.len()) {
            Some((start, _)) if start.eq_ignore_ascii_case(X_FORWARDED) => Name::XForwardedOther,
            _ => Name::Other,
        }
    }

    /// The row of `name`, which is a token.
    ///
    /// # Errors
    /// `Alias`: CGI, WSGI and PHP fold `_` and `.` to what they fold `-` to. A name that so becomes
    /// one of the table, which is not spelt as in the table, would be weir's own to a target.
    pub fn read(name: &[u8]) -> Result<Name, Refused> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if name.iter().all(plain) {
            return Ok(Name::of(name));
        }
        let mut folded = [0; SPELLING_BYTES_MAX];
        let length = name.len().min(SPELLING_BYTES_MAX);
        for (to, from) in folded.iter_mut().zip(name) {
            *to = if from.is_ascii_alphanumeric() { from.to_ascii_lowercase() } else { b'-' };
        }
        // What is longer than every spelling can only have the prefix in common with one.
        let known = Name::of(folded.get(..length).unwrap_or(&[]));
        match known {
            Name::Other => Ok(Name::Other),
            _ if known != Name::XForwardedOther && name.len() > length => Ok(Name::Other),
            known if known.is_free() => Ok(Name::Other),
            _ => Err(Refused::Alias),
        }
    }

    /// Whether weir neither sets it, nor strips it, nor frames by it in any direction.
    fn is_free(self) -> bool {
        self.in_request() == Fate::Pass && self.in_answer() == Fate::Pass
    }

    fn row(self) -> Option<&'static (Name, &'static str, Fate, Fate)> {
        TABLE.get(self as usize)
    }

    /// What becomes of it in a request.
    pub fn in_request(self) -> Fate {
        match self {
            Name::XForwardedOther => Fate::Drop,
            _ => self.row().map_or(Fate::Pass, |row| row.2),
        }
    }

    /// What becomes of it in an answer.
    pub fn in_answer(self) -> Fate {
        match self {
            Name::XForwardedOther => Fate::Drop,
            _ => self.row().map_or(Fate::Pass, |row| row.3),
        }
    }

    /// Whether it is between two neighbours only (RFC 9110 7.6.1): such fields are malformed in
    /// HTTP/2 (RFC 9113 8.2.2), where `TE: trailers` alone is not.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::TransferEncoding
                | Name::Upgrade
        )
    }

    /// Whether `Connection` must not name it (RFC 9110 7.6.1): removed at a client's word it would
    /// change what the request says, or who says it.
    pub fn is_end_to_end(self) -> bool {
        match self {
            Name::Te | Name::Trailer | Name::KeepAlive | Name::Upgrade => false,
            Name::ProxyConnection | Name::Http2Settings => false,
            Name::Connection | Name::Cookie | Name::ContentType | Name::ContentEncoding => true,
            Name::ContentDigest | Name::ContentLocation | Name::Origin | Name::SetCookie => true,
            known => !known.is_free(),
        }
    }

    /// Whether its value is a secret, which no record shows.
    pub fn is_secret(self) -> bool {
        matches!(
            self,
            Name::Authorization
                | Name::Cookie
                | Name::SetCookie
                | Name::ProxyAuthorization
                | Name::ProxyAuthenticate
                | Name::ProxyAuthenticationInfo
        )
    }

    /// Whether it may stand in a trailer that is passed on (RFC 9110 6.5.1): what frames, routes,
    /// authenticates or describes the content may not, nor what weir sets itself.
    pub fn is_trailer(self) -> bool {
        self == Name::Other
    }
}
/// Whether CGI, WSGI and PHP take the one name for the other, although they are spelt differently.
pub fn is_alias_of(name: &[u8], own: &[u8]) -> bool {
    let same = |(one, other): (&u8, &u8)| {
        one.eq_ignore_ascii_case(other)
            || !(one.is_ascii_alphanumeric() || other.is_ascii_alphanumeric())
    };
    name.len() == own.len() && !name.eq_ignore_ascii_case(own) && name.iter().zip(own).all(same)
}
