//! A target that is an apiserver of Kubernetes: the layer on top of an exchange of HTTP.
//!
//! In: requests that somebody known sends to a cluster. Out: what they ask in the words of rules,
//! heads that impersonate, refusals as kubectl reads them.
//! Never: a request that goes on without an identity in its head, or with one that the client wrote;
//! a path that goes on other than it was read.
//!
//! ```text
//!   head --read--> Asked --no body--> rules            onward  the head as it goes on
//!                    '--body--> gathered, read --> rules  status  refusals
//! ```

mod onward;
mod shown;
mod status;
mod streams;

use crate::config::settings::Speaks;
use crate::decide::kubernetes::content::{Content, Unreadable};
use crate::decide::kubernetes::{Class, Flow, Understood, understand};
use crate::limits;
use crate::record::entry::{Command, Event as Noted, Ocsf};
use crate::session::Stage;
use crate::wire::http::h1::Framing;
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::ws::handshake;
use crate::wire::kubernetes::request;

pub(super) use streams::{Streams, write_spdy};

use super::Session;
use super::exchange::{Exchange, Request, Then};
use super::kept::Kept;

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
}

/// Why a request to a cluster is refused before it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Line(request::Refused),
    Body(Unreadable),
    Upgrade,
    Token,
}

impl Refused {
    const fn status(self) -> u16 {
        match self {
            Refused::Body(unreadable) => unreadable.status(),
            Refused::Line(_) | Refused::Upgrade | Refused::Token => 400,
        }
    }

    fn words(self) -> String {
        match self {
            Refused::Line(refused) => refused.to_string(),
            Refused::Body(unreadable) => unreadable.words().to_owned(),
            Refused::Upgrade => "nothing here can be upgraded, or not to that".to_owned(),
            Refused::Token => "weir takes no token as a subprotocol".to_owned(),
        }
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
        let understood = understand(&request, content, onward::impersonates(head))?;
        Ok(Asked { understood, prefix })
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
    /// An answer with secrets is counted in the record, and not kept.
    fn hide_secrets(&mut self) {
        if self.request.kube.as_ref().is_some_and(|asked| asked.has_secrets()) {
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
        let is_bodiless = matches!(request.framing, Framing::None | Framing::Length(0));
        let content = if is_bodiless { Content::Empty } else { Content::Opaque };
        let asked = match check(&request, prefix, &content) {
            Ok(asked) => asked,
            Err(refused) => return self.refuse_kubernetes(request, refused, stage),
        };
        let reads = asked.understood.reads_body && !is_bodiless;
        let impersonates = asked.understood.classes.has(Class::Impersonate);
        let Some(tenure) = self.tenures.get_mut(self.current) else { return };
        let action = asked.understood.action.clone();
        request.kube = Some(Box::new(asked));
        let nobody = onward::person(&tenure.identity).is_none();
        let mut exchange = Box::new(Exchange::new(request, action, tenure, stage));
        exchange.hide_secrets();
        if impersonates {
            // Dropping the field would run the request with the client's full rights.
            let words = "nobody can be impersonated through weir: the request says to be another";
            return self.deny(exchange, words, stage);
        }
        if nobody {
            let words = "your name or a group of yours is one that only clusters may give";
            return self.deny(exchange, words, stage);
        }
        match reads {
            true => self.gather(exchange, Then::Read, stage),
            false => self.judge(exchange, stage),
        }
    }

    /// The body is there: what it says counts.
    pub(super) fn read_kubernetes(&mut self, mut exchange: Box<Exchange>, stage: &mut Stage<'_>) {
        let Some(asked) = exchange.request.kube.take() else { return };
        let head = &exchange.request.head;
        let again = match Content::read(head.only(Name::ContentType), &exchange.content) {
            Ok(content) => Asked::read(head, asked.prefix, &content).map_err(Refused::Line),
            Err(unreadable) => Err(Refused::Body(unreadable)),
        };
        match again {
            Ok(asked) => {
                exchange.action = asked.understood.action.clone();
                exchange.request.kube = Some(Box::new(asked));
                self.judge(exchange, stage);
            }
            Err(refused) => {
                exchange.request.kube = Some(asked);
                exchange.request.framing = Framing::None;
                self.refuse_kubernetes(exchange.request, refused, stage);
            }
        }
    }

    fn refuse_kubernetes(&mut self, request: Request, refused: Refused, stage: &mut Stage<'_>) {
        let words = refused.words();
        let attrs = serde_json::json!({ "reason": words }).to_string();
        let message = "a request to a cluster was refused before it was decided";
        let event = Noted { event: "request-refused", severity: "warn", message, attrs: &attrs };
        self.link.event(&event, stage);
        let reply = status::bad_request(refused.status(), &words);
        self.reply_only(&reply, request, stage);
    }
}

/// Reads what the head says.
fn check(request: &Request, prefix: usize, content: &Content<'_>) -> Result<Asked, Refused> {
    let head = &request.head;
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
    Ok(asked)
}
