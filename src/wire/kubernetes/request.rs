//! What a request line asks of an apiserver: a port of its RequestInfo over the bytes that are
//! forwarded.
//!
//! In: the method and the target, without weir's own prefix, exactly as they will leave. Out: verb,
//! group, version, resource, subresource, namespace, name, as the apiserver will read them.
//! Never: another reading than the apiserver's. Whatever two parsers could read differently (empty
//! and dotted segments, encoded slashes, escapes that are none, a scalar said twice) is refused.
//!
//! ```text
//!   /api /VERSION                       [/namespaces/NS] /RESOURCE [/NAME [/SUBRESOURCE [/TAIL]]]
//!   /apis/GROUP/VERSION [/watch|/proxy] [/namespaces/NS] /RESOURCE ...
//!   anything shorter, or with another first segment: a path of the apiserver's own
//! ```
//!
//! The original: apiserver/pkg/endpoints/request/requestinfo.go (1.37), which runs on the decoded
//! path. `tests/kube` compares the two.

use std::borrow::Cow;
use std::fmt;

use super::query::{Dropped, Query, unescape};
use super::selector;

/// The methods that an apiserver has routes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: read as GET, and answered 405 on objects.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
}

/// What is asked, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET or HEAD of one object.
    Get,
    /// GET of a collection.
    List,
    /// GET of a collection with `watch`, or below `/watch/`.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection.
    DeleteCollection,
    /// Below `/proxy/`.
    Proxy,
    /// OPTIONS on a resource: RBAC sees the empty verb.
    Empty,
}

/// A request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'t> {
    /// Its method.
    pub method: Method,
    /// What its path means.
    pub asked: Asked<'t>,
    /// Its parameters.
    pub query: Query<'t>,
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<'t> {
    /// No resource: discovery, health, version, metrics. The path, decoded, with the slash at its
    /// end if there is one.
    Path(String),
    /// An object or a collection of a resource.
    Resource(Box<Attributes<'t>>),
}

/// What a path below `/api` and `/apis` says, and the query where it changes the meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes<'t> {
    /// The verb.
    pub verb: Verb,
    /// The API group, empty for the first one.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace, empty for none.
    pub namespace: String,
    /// The resource, in the plural.
    pub resource: String,
    /// The subresource, empty for none.
    pub subresource: String,
    /// The name, empty for none.
    pub name: String,
    /// Segments from the resource on, without the tail of a proxy.
    pub parts: Vec<String>,
    /// What stands behind `.../proxy`, as it came; empty for nothing.
    pub tail: &'t [u8],
    /// Whether the verb stands in the path (`/watch/`, `/proxy/`).
    pub special: bool,
    /// The field selector, where the apiserver honours one.
    pub field_selector: Option<String>,
    /// The label selector, where the apiserver honours one.
    pub label_selector: Option<String>,
}

/// Options of a deletion that stand in the query or in the body (apimachinery, meta/v1,
/// `DeleteOptions`).
pub const DELETE_OPTIONS: [&str; 5] = [
    "dryRun",
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
];

/// Why a request line is refused. The client is answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A method without routes.
    Method,
    /// The target is no path.
    NoPath,
    /// A byte that belongs into no path or query.
    Bytes,
    /// An empty segment, `.` or `..`, or two slashes at the end.
    Segment,
    /// An escape that is none, or that hides a slash, a dot, a percent sign or a control byte.
    Escape,
    /// Text that is not UTF-8.
    Encoding,
    /// A special verb with nothing behind it, or with another method than GET.
    SpecialVerb,
    /// A parameter that Go would drop.
    Parameter,
    /// More parameters than are read.
    Parameters,
    /// A parameter that decides, said twice.
    Twice(&'static str),
    /// A selector of an object's name beside options that may not decode.
    Selector,
    /// `dryRun` with another value than `All`.
    DryRun,
}

impl Method {
    /// Case counts.
    pub fn read(method: &[u8]) -> Option<Method> {
        Some(match method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"PATCH" => Method::Patch,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            _ => return None,
        })
    }

    /// RBAC's verb of a path without a resource.
    pub const fn lower(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Head => "head",
            Method::Post => "post",
            Method::Put => "put",
            Method::Patch => "patch",
            Method::Delete => "delete",
            Method::Options => "options",
        }
    }

    const fn verb(self) -> Verb {
        match self {
            Method::Get | Method::Head => Verb::Get,
            Method::Post => Verb::Create,
            Method::Put => Verb::Update,
            Method::Patch => Verb::Patch,
            Method::Delete => Verb::Delete,
            Method::Options => Verb::Empty,
        }
    }
}

impl Verb {
    /// Every verb, in the order of the bits that tables keep.
    pub const ALL: [Verb; 10] = [
        Verb::Get,
        Verb::List,
        Verb::Watch,
        Verb::Create,
        Verb::Update,
        Verb::Patch,
        Verb::Delete,
        Verb::DeleteCollection,
        Verb::Proxy,
        Verb::Empty,
    ];

    /// The name in rules, records and RBAC.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Proxy => "proxy",
            Verb::Empty => "",
        }
    }
}

impl<'t> Request<'t> {
    /// Reads a request line. `target` begins with `/` and has no prefix of weir's any more.
    pub fn read(method: &[u8], target: &'t [u8]) -> Result<Request<'t>, Refused> {
        let method = Method::read(method).ok_or(Refused::Method)?;
        let mut halves = target.splitn(2, |byte| *byte == b'?');
        let path = Path::read(halves.next().unwrap_or_default())?;
        // What a proxy forwards belongs to whoever is behind it.
        let dropped = if path.proxies() { Dropped::Skip } else { Dropped::Refuse };
        let query = Query::read(halves.next().unwrap_or_default(), dropped)?;
        let asked = path.asked(method, &query)?;
        Ok(Request { method, asked, query })
    }

    /// The verb in the words of RBAC.
    pub fn verb(&self) -> &'static str {
        match &self.asked {
            Asked::Path(_) => self.method.lower(),
            Asked::Resource(attributes) => attributes.verb.name(),
        }
    }

    /// The attributes of a resource.
    pub fn resource(&self) -> Option<&Attributes<'t>> {
        match &self.asked {
            Asked::Path(_) => None,
            Asked::Resource(attributes) => Some(attributes),
        }
    }
}

/// Segments of a path, decoded, up to the tail of a proxy.
struct Path<'t> {
    segments: Vec<String>,
    tail: Option<&'t [u8]>,
    /// Whether it ends in a slash, which counts where there is no resource.
    slash: bool,
}

impl<'t> Path<'t> {
    fn read(raw: &'t [u8]) -> Result<Path<'t>, Refused> {
        let Some(mut rest) = raw.strip_prefix(b"/") else { return Err(Refused::NoPath) };
        let mut path = Path { segments: Vec::new(), tail: None, slash: raw.ends_with(b"/") };
        // One slash at the end is trimmed; a second one leaves an empty segment.
        while !rest.is_empty() {
            if path.proxies_so_far() {
                path.tail = Some(read_tail(rest)?);
                return Ok(path);
            }
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let (segment, after) = rest.split_at_checked(end).ok_or(Refused::Segment)?;
            path.segments.push(read_segment(segment)?);
            rest = after.strip_prefix(b"/").unwrap_or(after);
        }
        if path.proxies_so_far() {
            path.tail = Some(b"");
        }
        Ok(path)
    }

    /// The routes whose tail goes on to a pod, a service or a kubelet.
    fn proxies_so_far(&self) -> bool {
        let [first, _, rest @ ..] = self.segments.as_slice() else { return false };
        if first != "api" {
            return false;
        }
        match rest {
            [nodes, _, proxy] => nodes == "nodes" && proxy == "proxy",
            [namespaces, _, resource, _, proxy] => {
                namespaces == "namespaces"
                    && (resource == "pods" || resource == "services")
                    && proxy == "proxy"
            }
            _ => false,
        }
    }

    fn proxies(&self) -> bool {
        self.tail.is_some()
    }

    fn asked(self, method: Method, query: &Query) -> Result<Asked<'t>, Refused> {
        let grouped = self.segments.first().is_some_and(|first| first == "apis");
        let known = grouped || self.segments.first().is_some_and(|first| first == "api");
        if !known || self.segments.len() < if grouped { 4 } else { 3 } {
            let mut path = String::new();
            for segment in &self.segments {
                path.push('/');
                path.push_str(segment);
            }
            if self.slash {
                path.push('/');
            }
            return Ok(Asked::Path(path));
        }
        let tail = self.tail.unwrap_or_default();
        let mut segments = self.segments.into_iter().skip(1);
        let group = if grouped { segments.next() } else { None };
        let version = segments.next().unwrap_or_default();
        let mut parts: Vec<String> = segments.collect();
        let special = match parts.first().map(String::as_str) {
            Some("watch") => Some(Verb::Watch),
            Some("proxy") => Some(Verb::Proxy),
            _ => None,
        };
        if special.is_some() {
            if parts.len() < 2 || method != Method::Get {
                return Err(Refused::SpecialVerb);
            }
            parts.remove(0);
        }
        let namespace = take_namespace(&mut parts);
        let mut attributes = Attributes {
            verb: special.unwrap_or(method.verb()),
            group: group.unwrap_or_default(),
            version,
            namespace,
            resource: parts.first().cloned().unwrap_or_default(),
            name: parts.get(1).cloned().unwrap_or_default(),
            subresource: match special {
                Some(Verb::Proxy) => String::new(),
                _ => parts.get(2).cloned().unwrap_or_default(),
            },
            parts,
            tail,
            special: special.is_some(),
            field_selector: None,
            label_selector: None,
        };
        attributes.refine(query)?;
        Ok(Asked::Resource(Box::new(attributes)))
    }
}

impl Attributes<'_> {
    /// Collections: which verb it is after all, which one object it may name, selectors.
    fn refine(&mut self, query: &Query) -> Result<(), Refused> {
        if self.name.is_empty() && self.verb == Verb::Get {
            self.verb = if watches(query)? { Verb::Watch } else { Verb::List };
            if let Some(name) = selector::name(query)? {
                self.name = name;
            }
        }
        if self.name.is_empty() && self.verb == Verb::Delete {
            self.verb = Verb::DeleteCollection;
        }
        let selects = matches!(self.verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
        if selects && !self.special {
            self.field_selector = query.text("fieldSelector")?.map(str::to_owned);
            self.label_selector = query.text("labelSelector")?.map(str::to_owned);
        }
        Ok(())
    }

    /// `RESOURCE` or `RESOURCE/SUBRESOURCE`, as RBAC and rules write it.
    pub fn full_resource(&self) -> Cow<'_, str> {
        match self.subresource.as_str() {
            "" => Cow::Borrowed(&self.resource),
            subresource => Cow::Owned(format!("{}/{subresource}", self.resource)),
        }
    }

    /// The name of a pod, service or node without the scheme and port that a proxy's may have:
    /// `https:NAME:PORT`, `NAME:PORT` (apimachinery, util/net, `SplitSchemeNamePort`).
    pub fn bare_name(&self) -> &str {
        if !self.proxied() {
            return &self.name;
        }
        let mut parts = self.name.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(name), Some(_), None) => name,
            (Some(name), Some(_), None, None) => name,
            _ => &self.name,
        }
    }

    fn proxied(&self) -> bool {
        self.subresource == "proxy" || self.verb == Verb::Proxy
    }
}

/// Go folds the case of `false` in one place and lowers it in another, which differ beyond ASCII.
fn watches(query: &Query) -> Result<bool, Refused> {
    match query.scalar("watch")? {
        Some(value) if !value.is_ascii() => Err(Refused::Encoding),
        _ => Ok(query.flag("watch")),
    }
}

/// `namespaces/NS/RESOURCE...` becomes `RESOURCE...`; `namespaces/NS` and its subresources stay.
fn take_namespace(parts: &mut Vec<String>) -> String {
    let [first, namespace, rest @ ..] = parts.as_slice() else { return String::new() };
    if first != "namespaces" {
        return String::new();
    }
    let namespace = namespace.clone();
    if rest.first().is_some_and(|third| third != "status" && third != "finalize") {
        parts.drain(..2);
    }
    namespace
}

/// A segment whose bytes can be read in one way only.
fn read_segment(raw: &[u8]) -> Result<String, Refused> {
    if raw.is_empty() || raw == b"." || raw == b".." {
        return Err(Refused::Segment);
    }
    if !raw.iter().all(|byte| is_segment_byte(*byte)) {
        return Err(Refused::Bytes);
    }
    let decoded = unescape(raw, false).ok_or(Refused::Escape)?;
    let escaped = matches!(&decoded, Cow::Owned(_));
    let hidden = |byte: &u8| matches!(byte, 0..=0x1f | b'/' | b'\\' | b'%' | 0x7f);
    let dots = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'.').count();
    if escaped && (decoded.iter().any(hidden) || dots(raw) != dots(&decoded)) {
        return Err(Refused::Escape);
    }
    String::from_utf8(decoded.into_owned()).map_err(|_| Refused::Encoding)
}

/// RFC 3986 section 3.3, `pchar`, without `;`, which some servers take for a separator.
fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,=:@".contains(&byte)
}

/// The tail of a proxy goes on as it is, so it must be what a request line can have, no more.
fn read_tail(raw: &[u8]) -> Result<&[u8], Refused> {
    if !raw.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#') {
        return Err(Refused::Bytes);
    }
    // Go answers 400 to the whole request for an escape that is none.
    let decoded = unescape(raw, false).ok_or(Refused::Escape)?;
    if decoded.contains(&0) { Err(Refused::Escape) } else { Ok(raw) }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Method => "the method is not one of Kubernetes'",
            Refused::NoPath => "the target is not a path",
            Refused::Bytes => "the path or query has a byte that must be percent-encoded",
            Refused::Segment => "the path has an empty segment, . or ..",
            Refused::Escape => "the path hides a slash, dot, percent sign or control byte",
            Refused::Encoding => "the path or a parameter is not UTF-8",
            Refused::SpecialVerb => "/watch/ and /proxy/ take GET and a resource",
            Refused::Parameter => "a parameter has a semicolon or a broken escape",
            Refused::Parameters => "there are too many parameters",
            Refused::Twice(name) => return write!(f, "the parameter {name} is given twice"),
            Refused::Selector => "metadata.name is selected beside options that may not be valid",
            Refused::DryRun => "dryRun has another value than All",
        })
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
