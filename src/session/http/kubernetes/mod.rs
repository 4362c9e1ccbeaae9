//! A target that is an apiserver of Kubernetes: the layer on top of an exchange of HTTP.
//!
//! In: requests that somebody known sends to a cluster. Out: what they ask in the words of rules,
//! heads that impersonate, refusals as kubectl reads them.
//! Never: a request that goes on without an identity in its head, or with one that the client
//! wrote; a path that goes on other than it was read.
//!
//! ```text
//!   head --read--> Asked --no body--> rules            onward  the head as it goes on
//!                    '--body--> gathered, read --> rules  status  refusals
//! ```

mod again;
mod anew;
mod guessed;
mod onward;
mod selects;
mod shown;
mod status;
mod streams;

use std::rc::Rc;

use crate::config::settings::Speaks;
use crate::decide::kubernetes::content::{Content, Unreadable};
use crate::decide::kubernetes::{Class, Flow, Understood, kinds, understand};
use crate::limits;
use crate::mask::body::{Masker, Rules, Shape};
use crate::mask::kubernetes::{
    Answer, SCALE, SCALE_OF_ANY, brings, brings_back, is_applied, kind_of, may_change,
    pointer_tells,
};
use crate::record::entry::{Command, Event as Noted, Ocsf};
use crate::session::Stage;
use crate::wire::http::h1::Framing;
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::pass;
use crate::wire::http::ws::handshake;
use crate::wire::kubernetes::channel::{self, Offer};
use crate::wire::kubernetes::request;

pub(super) use again::{Before, before, denied, method, turned_away};
pub(super) use status::waited;
pub(super) use streams::{Streams, write_spdy};

use self::guessed::{is_test, may_fix, placed};
use super::Session;
use super::exchange::{Exchange, Request, Then};
use super::kept::Kept;
use super::masked::Lens;
use super::tenure::Tenure;
use super::up::target_of;

/// Where the name of a cluster stands in a path: `/k8s/NAME`.
const PLACE: &[u8] = b"/k8s/";
/// How browsers bring a token (apiserver, authentication/request/websocket/protocol.go).
const BEARER_PROTOCOL: &[u8] = b"base64url.bearer.authorization.k8s.io.";

/// What is known of a request to a cluster.
#[derive(Debug)]
pub(super) struct Asked {
    /// In the words of rules.
    pub understood: Understood,
    /// So many bytes at the start of the target named the cluster, and go no further.
    prefix: usize,
    /// What is masked in the answer.
    masks: Option<Rc<Rules>>,
    /// And in an answer that says what is wrong with an object: it prints values.
    invalid: Rc<Rules>,
    /// And in another answer that is an error.
    told: Rc<Rules>,
    /// What detectors would find of a value that somebody sends.
    found: Rc<Rules>,
    /// Paths of an object that are hidden.
    hidden: Vec<String>,
    /// Selectors of fields and of labels; `None` for one that says two things.
    selectors: Option<[Option<String>; 2]>,
    /// Options of a deletion that the query has.
    options: Vec<(&'static str, String)>,
    /// Cells of tables show none of it.
    tables: bool,
    /// Every value that the answer has is hidden.
    hides_all: bool,
}

/// Why a request to a cluster is refused before it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Line(request::Refused),
    Body(Unreadable),
    Upgrade,
    NoUpgrade,
    Misdirected,
    Connection,
    Token,
    Accept,
    Placeholder,
    Options(&'static str),
}

impl Refused {
    const fn status(self) -> u16 {
        match self {
            Refused::Body(unreadable) => unreadable.status(),
            Refused::Accept => 406,
            Refused::Misdirected => 421,
            Refused::Placeholder => 422,
            Refused::Line(_) | Refused::Upgrade | Refused::NoUpgrade => 400,
            Refused::Connection | Refused::Token | Refused::Options(_) => 400,
        }
    }

    fn words(self) -> String {
        match self {
            Refused::Line(refused) => refused.to_string(),
            Refused::Body(unreadable) => unreadable.words().to_owned(),
            Refused::Upgrade => "nothing here can be upgraded, or not to that".to_owned(),
            Refused::NoUpgrade => {
                "a stream needs `Upgrade`, which the request has not; a proxy in front of weir may \
                 have left it out"
                    .to_owned()
            }
            Refused::Misdirected => {
                "the host is one cluster's and the path names another".to_owned()
            }
            Refused::Connection => {
                "Connection names a field that is no matter of a connection".to_owned()
            }
            Refused::Accept => "no kind of answer that is asked for is JSON".to_owned(),
            Refused::Placeholder => {
                "the body has what took the place of a masked value: it would be stored".to_owned()
            }
            Refused::Options(name) => format!(
                "the query says {name} and the body has other options: the cluster forgets the query"
            ),
            Refused::Token => "a subprotocol that brings a token is not written so".to_owned(),
        }
    }
}

/// The offer of a WebSocket to a cluster that brings a token as a subprotocol.
fn offer(head: &Head) -> Option<Result<Offer, channel::Refused>> {
    let values = || head.values(Name::SecWebsocketProtocol);
    let found = memchr::memmem::Finder::new(BEARER_PROTOCOL);
    if !values().any(|value| found.find(value).is_some()) {
        return None;
    }
    let texts: Result<Vec<&str>, _> = values().map(std::str::from_utf8).collect();
    Some(match texts {
        Ok(texts) => Offer::read(texts.into_iter()),
        Err(_) => Err(channel::Refused::Offer),
    })
}

/// The token that a request to a cluster brings as a subprotocol; `Some(None)`: none that can be
/// read.
pub(super) fn token(head: &Head, stage: &Stage<'_>) -> Option<Option<Vec<u8>>> {
    let offer = offer(head)?;
    let (target, _) = target_of(head, stage)?;
    let target = stage.snapshot.settings.targets.get(target)?;
    let is_cluster = target.http.as_ref().is_some_and(|it| it.speaks == Speaks::Kubernetes);
    is_cluster.then(|| offer.ok().and_then(|offer| offer.token))
}

/// Leaves the real subprotocols.
///
/// # Errors
/// There is no room for them.
pub(super) fn without_token(head: &mut Head) -> Result<(), crate::wire::http::Refused> {
    match offer(head) {
        Some(Ok(offer)) => {
            head.replace(Name::SecWebsocketProtocol, offer.names.join(", ").as_bytes())
        }
        _ => Ok(()),
    }
}

/// The cluster that a path names, and how much of the path is its name.
pub(super) fn named(head: &Head, stage: &Stage<'_>) -> Option<(usize, usize)> {
    let targets = stage.snapshot.settings.targets.iter();
    let mut clusters = targets.enumerate().filter(|(_, target)| {
        target.http.as_ref().is_some_and(|http| http.speaks == Speaks::Kubernetes)
    });
    let rest = head.path().strip_prefix(PLACE)?;
    let name = rest.split(|byte| *byte == b'/').next()?;
    let (target, _) = clusters.find(|(_, target)| target.name.as_bytes() == name)?;
    Some((target, PLACE.len() + name.len()))
}

impl Asked {
    fn read(head: &Head, prefix: usize, content: &Content<'_>) -> Result<Asked, request::Refused> {
        let onward = onward::target(head, prefix);
        let request = request::Request::read(head.method(), &onward)?;
        let selector = |name| request.query.text(name).map(|text| text.map(str::to_owned));
        let selectors = match (selector("fieldSelector"), selector("labelSelector")) {
            (Ok(fields), Ok(labels)) => Some([fields, labels]),
            _ => None,
        };
        let options = request::DELETE_OPTIONS.iter().flat_map(|name| {
            let words = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            request.query.values(name).map(move |value| (*name, words(value)))
        });
        let options = options.collect();
        let understood = understand(&request, content, &onward::claims(head))?;
        Ok(Asked {
            understood,
            prefix,
            masks: None,
            invalid: Rc::default(),
            told: Rc::default(),
            found: Rc::default(),
            hidden: Vec::new(),
            selectors,
            options,
            tables: true,
            hides_all: false,
        })
    }

    /// The kind that its answer is about, if not an error; empty: one that nobody here knows.
    fn kind(&self) -> &'static str {
        let it = &self.understood;
        match it.subresource.as_str() {
            "scale" if kinds::find(&it.group, &it.resource).is_some() => SCALE,
            "scale" => SCALE_OF_ANY,
            "token" => "TokenRequest",
            _ => kind_of(&it.group, &it.resource).unwrap_or_default(),
        }
    }

    /// With the masks that apply to it.
    fn with_masks(mut self, tenure: &Tenure) -> Asked {
        let it = &self.understood;
        let Some(act) = it.action.acts.first() else { return self };
        let is_known = kinds::find(&it.group, &it.resource).is_some();
        let kind = self.kind();
        let whose = (tenure.target_name.as_str(), tenure.identity.groups.as_slice());
        // Discovery and health have no objects.
        if !it.classes.has(Class::Discovery) {
            let mut masks = tenure.snapshot.masks.objects(whose, act, (kind, Answer::of(it.verb)));
            // What a container prints is no object, and has no places.
            if it.subresource == "log" {
                masks.rules = masks.rules.searching();
                masks.hidden.clear();
            }
            self.hides_all = masks.hides_all(kind);
            self.masks = (!masks.rules.is_empty()).then(|| Rc::new(masks.rules));
            self.invalid = Rc::new(masks.invalid.sparing(status::plain(it)));
            self.told = Rc::new(masks.told);
            self.found = Rc::new(masks.found);
            self.hidden = masks.hidden;
            self.tables = self.masks.is_none() || (masks.tables && is_known);
        }
        self
    }

    /// Why it is denied whatever the rules say.
    fn denied(&self, request: &Request, tenure: &Tenure) -> Option<&'static str> {
        let upgrades = request.asks != handshake::Asked::Nothing;
        if self.understood.classes.has(Class::Impersonate) {
            // Dropping the field would run the request with the client's full rights.
            return Some("nobody can be impersonated through weir: the request asks to be another");
        }
        if onward::person(&tenure.identity).is_none() {
            return Some("your name or a group of yours is one that only clusters may give");
        }
        if upgrades && self.masks.is_some() {
            return Some("masks apply here, and weir cannot look into a stream for them");
        }
        if self.selects_hidden() {
            return Some("a selector could tell a value that is masked for you");
        }
        if self.understood.cuts && self.masks.is_some() {
            return Some(
                "masks apply here, and a log that is cut off could show a part of a value",
            );
        }
        None
    }

    /// Whether which objects are listed depends on what is hidden in them.
    fn selects_hidden(&self) -> bool {
        let mut selectors = self.selectors.iter().flatten().flatten();
        let is_guess =
            self.selectors.is_none() || selectors.any(|text| guessed::selects(&self.found, text));
        if !self.found.is_empty() && is_guess {
            return true;
        }
        let mut hidden = self.hidden.iter().filter(|path| !is_applied(path));
        match &self.selectors {
            Some([fields, labels]) => {
                hidden.any(|path| selects::tells(fields.as_deref(), labels.as_deref(), path))
            }
            None => hidden.next().is_some(),
        }
    }

    /// Whether detectors find something in a value that is sent.
    fn finds(&self, value: &serde_json::Value) -> bool {
        guessed::finds(&self.found, value)
    }

    /// Whether policies and webhooks of the cluster see an object with hidden values.
    fn is_admitted(&self) -> bool {
        let reads = matches!(self.understood.verb, "get" | "list" | "watch" | "head");
        !self.hidden.is_empty() && !reads
    }

    /// What changes the content of the answer.
    ///
    /// # Errors
    /// It cannot be masked, so it must not be delivered.
    pub fn lens(&self, answer: &Head) -> Result<Option<Lens>, &'static str> {
        let Some(masks) = &self.masks else { return Ok(None) };
        let masks = match answer.status() {
            // It prints what was refused, values and all.
            Some(422) => &self.invalid,
            // Whoever admits an object sees it, and may refuse it with any status and any words.
            Some(400..) if self.is_admitted() => &self.invalid,
            // What is not there, not allowed or in the way is told without values.
            Some(401 | 403..=406 | 409 | 410 | 413 | 415 | 429 | 503 | 504) => &self.told,
            // Others print the object at times: "expected list, got &{..}".
            Some(400..) if !self.hidden.is_empty() => &self.invalid,
            _ => masks,
        };
        let mut codings = answer.values(Name::ContentEncoding);
        if codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Err("masking-encoded");
        }
        // An object in another form than was asked for; errors and logs are text at times.
        let is_text = self.understood.subresource == "log"
            || self.understood.flow == Flow::Through
            || answer.status().is_some_and(|status| status >= 400);
        let shape = Shape::of(answer.only(Name::ContentType));
        if shape != Shape::Json && !is_text && !self.hidden.is_empty() {
            return Err("masking-type");
        }
        let shape = match (shape, self.understood.flow) {
            (Shape::Json, Flow::Follow) => Shape::JsonLines,
            (Shape::Opaque, _) => return Err("masking-type"),
            (shape, _) => shape,
        };
        Masker::new(Rc::clone(masks), shape)
            .map(|masker| Some(Lens::with(masker)))
            .ok_or("masking-type")
    }

    /// What its row says beside what rows of HTTP say.
    pub fn fill<'c>(&'c self, command: &mut Command<'c>) {
        let it = &self.understood;
        command.kind = "kubernetes";
        let extra = &mut command.extra;
        extra.ocsf = Some(activity(it.verb));
        extra.verb = it.verb;
        extra.resource = &it.resource;
        extra.subresource = &it.subresource;
        extra.namespace = &it.namespace;
        extra.name = &it.name;
        if !it.attrs.is_empty() {
            extra.attrs = &it.attrs;
        }
    }

    /// How long the answer may pause.
    pub fn pause_us(&self) -> u64 {
        match self.understood.flow {
            Flow::Plain => limits::HTTP_PIECE_US,
            Flow::Follow | Flow::Through => limits::KUBERNETES_FOLLOW_US,
        }
    }

    /// Whether the answer or the body has values that no record may show.
    pub fn has_secrets(&self) -> bool {
        let classes = self.understood.classes;
        classes.has(Class::SecretRead) || classes.has(Class::Token)
    }
}

/// API Activity of OCSF.
fn activity(verb: &str) -> Ocsf {
    let activity_id = match verb {
        "create" | "post" => 1,
        "get" | "list" | "watch" | "head" => 2,
        "update" | "patch" | "put" => 3,
        "delete" | "deletecollection" => 4,
        _ => 99,
    };
    Ocsf { class_uid: 6003, activity_id }
}

impl Exchange {
    /// An answer with secrets is counted in the record, and not kept. Detectors, and masks of some
    /// fields, leave values in it.
    fn hide_secrets(&mut self) {
        let hides = |asked: &Asked| {
            let is_token = asked.understood.classes.has(Class::Token);
            asked.has_secrets() && (is_token || !asked.hides_all)
        };
        if self.request.kube.as_deref().is_some_and(hides) {
            self.sent = Kept::new(self.seq, 0, 0);
            self.answered = Kept::new(self.seq, 1, 0);
        }
    }
}

impl Session {
    /// A request to a cluster: it is read as the apiserver will read it. A body is read before
    /// anything is decided, unless it is somebody else's.
    pub(super) fn begin_kubernetes(
        &mut self,
        (mut request, prefix): (Request, usize),
        stage: &mut Stage<'_>,
    ) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let is_bodiless = matches!(request.framing, Framing::None | Framing::Length(0));
        let content = if is_bodiless { Content::Empty } else { Content::Opaque };
        let another = named(&request.head, stage).is_some_and(|(named, _)| named != tenure.target);
        if another {
            return self.refuse_line(request, Refused::Misdirected, stage);
        }
        let asked = match check(&request, prefix, &content) {
            Ok(asked) => asked.with_masks(tenure),
            Err(refused) => return self.refuse_line(request, refused, stage),
        };
        if asked.masks.is_some() && onward::accept(&request.head, asked.tables).is_none() {
            return self.refuse_line(request, Refused::Accept, stage);
        }
        // Behind an upgrade that is refused, bytes would be another request to somebody.
        self.link.closing |= request.asks != handshake::Asked::Nothing;
        let reads = asked.understood.reads_body && !is_bodiless;
        let denied = asked.denied(&request, tenure);
        let action = asked.understood.action.clone();
        request.kube = Some(Box::new(asked));
        let mut exchange = Box::new(Exchange::new(request, action, tenure, stage));
        exchange.hide_secrets();
        match denied {
            Some(words) => self.deny(exchange, words, stage),
            None if reads => self.gather(exchange, Then::Read, stage),
            None => self.judge(exchange, stage),
        }
    }

    /// The body is there: what it says counts.
    pub(super) fn read_kubernetes(&mut self, mut exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let Some(asked) = exchange.request.kube.take() else { return };
        let head = &exchange.request.head;
        let (again, denied) = read_body(head, &exchange.content, asked.prefix, tenure);
        match again {
            Ok(asked) => {
                exchange.action = asked.understood.action.clone();
                exchange.request.kube = Some(Box::new(asked));
                exchange.hide_secrets();
                match denied {
                    Some(words) => self.deny(exchange, words, stage),
                    None => self.judge(exchange, stage),
                }
            }
            Err(refused) => {
                exchange.request.kube = Some(asked);
                let reply = status::bad_request(refused.status(), &refused.words());
                self.refuse(exchange, ("kubernetes-body", &reply), stage);
            }
        }
    }

    /// A request whose line is refused is none of the commands that there are.
    fn refuse_line(&mut self, request: Request, refused: Refused, stage: &mut Stage<'_>) {
        let words = refused.words();
        let attrs = serde_json::json!({ "reason": words }).to_string();
        let message = "a request to a cluster was refused before it was decided";
        let event = Noted { event: "request-refused", severity: "warn", message, attrs: &attrs };
        self.link.event(&event, stage);
        let reply = status::bad_request(refused.status(), &words);
        self.reply_only(&reply, request, stage);
    }
}

/// Reads a request again, with its body; and why it is denied for what stands in it.
fn read_body(
    head: &Head,
    body: &[u8],
    prefix: usize,
    tenure: &Tenure,
) -> (Result<Asked, Refused>, Option<&'static str>) {
    if brings_back(body) {
        return (Err(Refused::Placeholder), None);
    }
    let content = match Content::read(head.only(Name::ContentType), body) {
        Ok(content) => content,
        Err(unreadable) => return (Err(Refused::Body(unreadable)), None),
    };
    let asked = match Asked::read(head, prefix, &content) {
        Ok(asked) => asked.with_masks(tenure),
        Err(refused) => return (Err(Refused::Line(refused)), None),
    };
    if asked.understood.verb.starts_with("delete")
        && let Some(name) = content.overrides(&asked.options)
    {
        return (Err(Refused::Options(name)), None);
    }
    let tells = match &content {
        Content::Patch(operations) => operations
            .iter()
            .any(|it| tells(it, &asked.hidden) || (is_test(it) && asked.finds(&placed(it)))),
        _ => false,
    };
    let words = match (tells, asked.guesses(head, &content)) {
        (true, _) => Some("this patch could tell a value that is masked for you"),
        (false, guessed) => guessed,
    };
    (Ok(asked), words)
}

impl Asked {
    /// Why a change is denied whose answer would tell whether it changes a value that is masked,
    /// and which leaves the value as it was if not: a guess that nobody sees.
    fn guesses(&self, head: &Head, content: &Content<'_>) -> Option<&'static str> {
        let it = &self.understood;
        let paths = self.hidden.iter().filter(|path| !is_applied(path));
        let brings = match content {
            _ if self.hidden.is_empty() || !it.changes => false,
            Content::Json(object) => paths.into_iter().any(|path| brings(object, path)),
            Content::Patch(operations) => operations.iter().any(|it| {
                let pointer = it.get("path").and_then(serde_json::Value::as_str);
                let value = it.get("value").is_some_and(|value| !value.is_null());
                value && paths.clone().any(|path| pointer_tells(pointer.unwrap_or(""), path))
            }),
            Content::Empty => false,
            Content::Protobuf(_) | Content::Opaque => true,
        };
        let kind = head.only(Name::ContentType).unwrap_or_default();
        let applies = kind.starts_with(b"application/apply-patch");
        let finds = it.changes
            && match content {
                Content::Json(object) => self.finds(object),
                Content::Patch(operations) => operations.iter().any(|it| self.finds(&placed(it))),
                Content::Empty => false,
                Content::Protobuf(_) | Content::Opaque => !self.found.is_empty(),
            };
        let own = kind_of(&it.group, &it.resource).unwrap_or_default();
        let is_known = kinds::find(&it.group, &it.resource).is_some();
        let changes = |path: &String| is_applied(path) || may_change(own, path);
        let is_fixed = is_known && it.subresource != "scale" && !self.hidden.iter().all(changes);
        if it.changes && !self.hidden.is_empty() && may_fix(content) {
            return Some("what is made immutable here could tell values that are masked for you");
        }
        match brings || (finds && (it.dry || (applies && !it.forces))) {
            false => None,
            true if it.dry => {
                Some("a dry run of a change of masked values could tell them: see what is masked")
            }
            true if applies && !it.forces => Some(
                "an apply of masked values without force could tell them: add --force-conflicts",
            ),
            true if is_fixed && brings => {
                Some("a change of masked values that cannot change could tell them")
            }
            true => None,
        }
    }
}

/// Whether an operation of a JSON Patch compares or copies what is hidden.
fn tells(operation: &serde_json::Value, hidden: &[String]) -> bool {
    let field = |name: &str| operation.get(name).and_then(serde_json::Value::as_str);
    let pointers = match field("op") {
        Some("add" | "remove" | "replace") => return false,
        Some("test") => [field("path"), None],
        _ => [field("path"), field("from")],
    };
    let meets = |pointer: &str| hidden.iter().any(|path| pointer_tells(pointer, path));
    pointers.into_iter().flatten().any(meets)
}

/// Reads what the head says.
fn check(request: &Request, prefix: usize, content: &Content<'_>) -> Result<Asked, Refused> {
    let head = &request.head;
    // Gateways that dropped at a client's word what says who asks let it be somebody else
    // (CVE-2021-31999). Nothing that clusters know is named so.
    if pass::names_others(head) {
        return Err(Refused::Connection);
    }
    let brings_token = |value: &[u8]| {
        value.windows(BEARER_PROTOCOL.len()).any(|it| it.eq_ignore_ascii_case(BEARER_PROTOCOL))
    };
    if head.values(Name::SecWebsocketProtocol).any(brings_token) {
        return Err(Refused::Token);
    }
    if head.values(Name::ContentEncoding).next().is_some() {
        return Err(Refused::Body(Unreadable::Media));
    }
    let asked = Asked::read(head, prefix, content).map_err(Refused::Line)?;
    let upgrades = request.asks != handshake::Asked::Nothing;
    if upgrades && !asked.understood.upgrades {
        return Err(Refused::Upgrade);
    }
    let streams = ["exec", "attach", "portforward"];
    let subresource = asked.understood.subresource.as_str();
    if !upgrades && asked.understood.upgrades && streams.contains(&subresource) {
        return Err(Refused::NoUpgrade);
    }
    Ok(asked)
}
