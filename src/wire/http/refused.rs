//! The closed list of reasons for which a message is refused, each with its status.
//!
//! In: nothing. Out: a label for records and metrics, a status for the client.
//! Never: words that a peer sent.
//!
//! A request that is refused reaches no target. An answer that is refused is a 502 for the client,
//! whatever the reason's own status is.

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A line that ends with LF alone, or a CR that no LF follows (RFC 9112 2.2).
    LineEnd,
    /// More than one empty line before the head (RFC 9112 2.2).
    EmptyLines,
    /// A blank before the first field (RFC 9112 2.2), or a folded line (RFC 9112 5.2).
    Folded,
    /// The first line does not have its three parts (RFC 9112 3 and 4).
    Line,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// A field without a name that is a token, a colon right behind it, and a value.
    Field,
    /// A control character in a value (RFC 9110 5.5).
    Value,
    /// The request line is longer than `limits::HTTP_LINE_BYTES_MAX`.
    LineBytes,
    /// The head is longer than `limits::HTTP_HEAD_BYTES_MAX`.
    HeadBytes,
    /// More fields than `limits::HTTP_FIELDS_MAX`; crumbs of a cookie are counted.
    FieldCount,
    /// A value longer than `limits::HTTP_VALUE_BYTES_MAX`.
    ValueBytes,
    /// A method that is no token or too long.
    Method,
    /// TRACE: its answer would repeat what weir added (RFC 9110 9.3.8).
    Trace,
    /// CONNECT: weir is not that kind of proxy (RFC 9110 9.3.6).
    Connect,
    /// The HTTP/2 preface behind the start of a connection, or `PRI` as a method.
    Preface,
    /// The target is not in origin-form, absolute-form or `*` of OPTIONS, or has a byte that stands
    /// in no URI.
    Target,
    /// The authority of the target is not the one of `Host` (RFC 9112 3.2.2).
    Authority,
    /// No `Host` (RFC 9112 3.2), or no `:authority`.
    HostMissing,
    /// Two of `Host`.
    HostRepeated,
    /// `Host` or `:authority` is no host with an optional port.
    Host,
    /// The host has another certificate of the listener than the one that the TLS session was made
    /// with (RFC 9110 15.5.20).
    Misdirected,
    /// A percent sign of the path without two digits, a NUL, or an overlong form behind it.
    PathEscape,
    /// A slash or backslash of the path that is written as an escape.
    PathSeparator,
    /// A segment `.` or `..` of the path, plain or escaped.
    PathDots,
    /// A field whose name becomes, where targets fold names, one that weir sets, strips or frames
    /// by: `X_Forwarded_For`.
    Alias,
    /// `_method` in the query or in the content, or a field that names another method.
    MethodOverride,
    /// Content of a form, or of several parts, that two servers read differently.
    ContentForm,
    /// `Connection` names a field that is not between two neighbours.
    ConnectionNames,
    /// `Upgrade: h2c` (RFC 9113 3.1), or a list of protocols.
    Upgrade,
    /// A field of `Expect` that is not `100-continue` (RFC 9110 10.1.1).
    Expect,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 6.1).
    LengthAndCoding,
    /// `Content-Length` that is not one plain number (RFC 9112 6.3).
    ContentLength,
    /// Two of `Content-Length`.
    ContentLengthRepeated,
    /// `Transfer-Encoding` that is not exactly `chunked`, once, in HTTP/1.1.
    TransferCoding,
    /// The head of a chunk is no plain hexadecimal number.
    ChunkHead,
    /// An extension of a chunk that is malformed, or more of them than the limits allow.
    ChunkExtension,
    /// The data of a chunk is not followed by CRLF.
    ChunkEnd,
    /// A trailer that is no field, or more of them than the limits allow.
    Trailer,
    /// The connection or stream ended before the body did.
    Truncated,
    /// The sum of the DATA frames is not the `Content-Length` (RFC 9113 8.1.1).
    LengthMismatch,
    /// A field name with an upper-case letter in HTTP/2 (RFC 9113 8.2.1).
    UpperCase,
    /// A value that begins or ends with a blank in HTTP/2 (RFC 9113 8.2.1).
    ValueBlank,
    /// A pseudo-header behind a field, repeated, unknown, missing or in trailers (RFC 9113 8.3).
    Pseudo,
    /// `:scheme` is not the one of the connection.
    Scheme,
    /// A field that is not for HTTP/2 (RFC 9113 8.2.2).
    ConnectionField,
    /// `:protocol` of an extended CONNECT is not `websocket` (RFC 8441).
    Protocol,
    /// A status that is not of three digits from 100 to 599.
    Status,
    /// More interim answers than `limits::HTTP_INTERIM_MAX`.
    Interim,
    /// A change that depends on a tag of content, where masks apply: its answer would tell whether
    /// a guess of what they hide is right.
    Condition,
    /// A page of another origin asks for a change, by a login that browsers attach by themselves.
    Foreign,
    /// An answer to no request, or a change of protocols that nobody asked for.
    Unasked,
}

impl Refused {
    /// The status that a client gets for such a request.
    pub const fn status(self) -> u16 {
        match self {
            Refused::Foreign => 403,
            Refused::Trace | Refused::Connect => 405,
            Refused::LineBytes => 414,
            Refused::Expect => 417,
            Refused::Misdirected => 421,
            Refused::HeadBytes | Refused::FieldCount | Refused::ValueBytes => 431,
            Refused::Protocol => 501,
            Refused::Status | Refused::Interim | Refused::Unasked => 502,
            _ => 400,
        }
    }

    /// A fixed word for metrics and records.
    pub const fn label(self) -> &'static str {
        match self {
            Refused::LineEnd => "line-end",
            Refused::EmptyLines => "empty-lines",
            Refused::Folded => "folded-line",
            Refused::Line => "first-line",
            Refused::Version => "version",
            Refused::Field => "field",
            Refused::Value => "field-value",
            Refused::LineBytes => "line-bytes",
            Refused::HeadBytes => "head-bytes",
            Refused::FieldCount => "field-count",
            Refused::ValueBytes => "value-bytes",
            Refused::Method => "method",
            Refused::Trace => "trace",
            Refused::Connect => "connect",
            Refused::Preface => "preface",
            Refused::Target => "request-target",
            Refused::Authority => "authority",
            Refused::HostMissing => "host-missing",
            Refused::HostRepeated => "host-repeated",
            Refused::Host => "host",
            Refused::Misdirected => "misdirected",
            Refused::PathEscape => "path-escape",
            Refused::PathSeparator => "path-separator",
            Refused::PathDots => "path-dots",
            Refused::Alias => "field-alias",
            Refused::MethodOverride => "method-override",
            Refused::ContentForm => "content-form",
            Refused::ConnectionNames => "connection-names",
            Refused::Upgrade => "upgrade",
            Refused::Expect => "expect",
            Refused::LengthAndCoding => "length-and-coding",
            Refused::ContentLength => "content-length",
            Refused::ContentLengthRepeated => "content-length-repeated",
            Refused::TransferCoding => "transfer-coding",
            Refused::ChunkHead => "chunk-head",
            Refused::ChunkExtension => "chunk-extension",
            Refused::ChunkEnd => "chunk-end",
            Refused::Trailer => "trailer",
            Refused::Truncated => "truncated-body",
            Refused::LengthMismatch => "length-mismatch",
            Refused::UpperCase => "upper-case-name",
            Refused::ValueBlank => "value-blank",
            Refused::Pseudo => "pseudo-header",
            Refused::Scheme => "scheme",
            Refused::ConnectionField => "connection-field",
            Refused::Protocol => "connect-protocol",
            Refused::Status => "status",
            Refused::Interim => "interim-answers",
            Refused::Condition => "masking-condition",
            Refused::Foreign => "foreign-page",
            Refused::Unasked => "unasked-answer",
        }
    }
}
