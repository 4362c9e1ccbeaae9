//! Bodies of HTTP: JSON, lines of JSON, events, forms, text, masked as they pass.
//!
//! In: the content of one message in any split, decoded. Out: the same with masked values changed,
//! and what was done. Never: a byte of a value that a rule hides or a detector finds, whatever the
//! split; a body that is written anew: what is not masked stays as it was, byte for byte; bytes
//! that cannot be understood while a mask applies.
//!
//! ```text
//!   plan        when                                          what becomes of the body
//!   ---------   -------------------------------------------  
//! -------------------------------------
//!   Pass        no mask applies                               not looked at
//!   Scan        detectors apply                               values or text are searched
//!   Paths       a path is masked, too                         values are found by path, the others
//!                                                             searched
//!   Opaque      a mask applies to what is no text             not delivered, unless allowed so
//!
//!   field    pairs and JSON in fields of a head
//!   embedded JSON in texts, and what texts repeat of a message
//!   coded    values in base64, by what they stand for
//!   json     values by path and by what is in them            form    pairs of a form
//!   text     text that is not known to be anything else       events  server-sent events
//!   window   what of a text may leave before the rest came
//! ```
//!
//! A failure after bytes have left is a cut: the caller ends the message in a way that nobody takes
//! for its end.

mod coded;
mod embedded;
mod events;
mod field;
mod form;
mod json;
mod outcome;
#[cfg(test)]
mod repeats_tests;
#[cfg(test)]
mod tests;
mod text;
pub(in crate::mask) mod window;
mod words;

use std::rc::Rc;

use self::embedded::Known;
use super::detect::{Detectors, Found, Scratch};
use super::escapes::{self, Seen};
use super::hits::{Cause, Hits};
use super::operator::{self, Operator};
use crate::limits::{MASK_EMBEDDED_DEPTH_MAX, MASK_REREAD_BYTES};
use crate::wire::http::json::Wrong;
use crate::wire::http::json::path::{Pattern, Patterns};

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One JSON text.
    Json,
    /// JSON texts, one behind the other.
    JsonLines,
    /// Server-sent events.
    Events,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Text, or bytes that do not say what they are.
    Text,
    /// Text of a form of its own, in which no path leads to a value: HTML, CSV, YAML, code.
    Prose,
    /// No text, or text in another coding than UTF-8.
    Opaque,
}

impl Shape {
    /// By `Content-Type`. What does not say what it is is taken for text, and looked at.
    pub fn of(content_type: Option<&[u8]>) -> Shape {
        let Some(value) = content_type else { return Shape::Text };
        let lower = value.to_ascii_lowercase();
        let mut parts = lower.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().unwrap_or(&[]);
        let is_utf8 = parts.all(|part| match part.strip_prefix(b"charset=") {
            Some(charset) => {
                matches!(charset.trim_ascii(), b"utf-8" | b"\"utf-8\"" | b"utf8" | b"us-ascii")
            }
            None => true,
        });
        if !is_utf8 {
            return Shape::Opaque;
        }
        match kind {
            b"application/json" | b"text/json" => Shape::Json,
            b"application/x-ndjson" | b"application/jsonl" | b"application/x-jsonlines" => {
                Shape::JsonLines
            }
            b"text/event-stream" => Shape::Events,
            b"application/x-www-form-urlencoded" => Shape::Form,
            b"" | b"text/plain" => Shape::Text,
            b"application/javascript" | b"application/xml" | b"application/yaml" => Shape::Prose,
            _ if kind.ends_with(b"+json") => Shape::Json,
            _ if kind.ends_with(b"+xml") || kind.ends_with(b"+yaml") => Shape::Prose,
            _ if kind.starts_with(b"text/") => Shape::Prose,
            _ => Shape::Opaque,
        }
    }
}

/// What becomes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Streamed, untouched.
    Pass,
    /// Searched.
    Scan,
    /// Values by path, the others searched.
    Paths,
    /// It cannot be masked.
    Opaque,
}

/// Why a body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmaskable {
    /// It is not the JSON that it says to be.
    Json(Wrong),
    /// It is not UTF-8.
    Coding,
    /// Something that must be whole to be masked is longer than the limits allow.
    TooLong,
    /// A form that is none.
    Form,
    /// Text that is no JSON, where values are masked by their paths.
    Text,
}

impl From<Wrong> for Unmaskable {
    fn from(wrong: Wrong) -> Unmaskable {
        Unmaskable::Json(wrong)
    }
}

impl Unmaskable {
    /// A fixed word for metrics and records.
    pub const fn label(self) -> &'static str {
        match self {
            Unmaskable::Json(wrong) => wrong.label(),
            Unmaskable::Coding => "mask-coding",
            Unmaskable::TooLong => "mask-too-long",
            Unmaskable::Form => "mask-form",
            Unmaskable::Text => "mask-text",
        }
    }
}

/// Where messages of MCP have data of a server (specification, "Tools", "Elicitation", "Logging",
/// and JSON-RPC 2.0, 5.1).
const MCP_DATA: [&str; 4] = ["**.structuredContent", "**._meta", "**.data", "**.params"];

/// Where messages have members of the protocol, beside which there may be ones that it does not
/// know: beside `result`, in it, in content, in contents of resources.
const MCP_BESIDE: [&str; 5] =
    ["*", "*.*", "**.result.content.*", "**.result.contents.*", "**.messages.*.content"];

/// Names of the members that the protocol knows there. A path that begins with one, or may stand
/// for nothing but one, is followed in data alone.
const MCP_MEMBERS: [&str; 47] = [
    "_meta",
    "action",
    "annotations",
    "arguments",
    "blob",
    "capabilities",
    "code",
    "completion",
    "content",
    "contents",
    "cursor",
    "data",
    "description",
    "error",
    "icons",
    "id",
    "input",
    "instructions",
    "isError",
    "jsonrpc",
    "level",
    "logger",
    "message",
    "messages",
    "method",
    "mimeType",
    "model",
    "name",
    "nextCursor",
    "params",
    "progress",
    "prompts",
    "protocolVersion",
    "resource",
    "resourceTemplates",
    "resources",
    "result",
    "role",
    "serverInfo",
    "size",
    "structuredContent",
    "text",
    "title",
    "tools",
    "total",
    "type",
    "uri",
];

/// Where messages of MCP have base64 of what somebody would read: blobs of resources, images and
/// sounds (specification, "Tools", "Resources").
const MCP_CODED: [&str; 2] = ["**.blob", "**.content.*.data"];

/// What a client has to give back as it is, or knows an answer by: members of the protocol, not
/// data of the same name.
const MCP_OWN: [&str; 11] = [
    "id",
    "result.nextCursor",
    "result.requestState",
    "result.taskId",
    "result.task.taskId",
    "result.tasks.*.taskId",
    "result._meta.*.taskId",
    "params.requestId",
    "params.requestState",
    "params.progressToken",
    "params.taskId",
];

/// The masks that apply to the bodies of one session at one target.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    paths: Patterns,
    operators: Vec<Operator>,
    /// The patterns as they are written.
    names: Vec<String>,
    detectors: Rc<Detectors>,
    /// Where texts stand that may hold JSON themselves, and what is masked in these.
    embedded: Patterns,
    inner: Option<Rc<Rules>>,
    /// Where texts stand that are base64 of what is to be searched.
    coded: Patterns,
    /// Where texts stay only if they are plain words.
    words: Patterns,
    /// Where texts stand that are the protocol's own: nothing is looked for there.
    own: Patterns,
    /// Where names of fields hold values, and which of a list's key; `None`: all.
    names_of: Patterns,
    named: Vec<Option<String>>,
    /// Whether a `status` at the root, or of an event's object, may say how an act went.
    spares_outcomes: bool,
    /// Messages at the root that have no value in them.
    spared: Vec<String>,
    /// Whether texts of a message repeat what its structured content says.
    repeats: bool,
    /// For what does not say that it is a message: paths begin at its root, too.
    bare: Option<Rc<Rules>>,
    /// There, what is no JSON is hidden.
    strict: bool,
}

impl Rules {
    /// Values on these paths, and what the detectors find in all others. Texts that hold JSON are
    /// masked by the same paths, which begin in each of its values.
    pub fn new(paths: Vec<(Pattern, Operator)>, detectors: Rc<Detectors>) -> Rules {
        let mut rules = Rules::flat(paths.clone(), Rc::clone(&detectors));
        if paths.is_empty() {
            return rules;
        }
        // The innermost are looked at as well: no path is followed there, names alone hide.
        rules.embedded = Patterns::new(vec![Pattern::everything()]);
        for _ in 0..MASK_EMBEDDED_DEPTH_MAX {
            let inner = Rc::new(rules);
            rules = Rules::flat(paths.clone(), Rc::clone(&detectors));
            rules.embedded = Patterns::new(vec![Pattern::everything()]);
            rules.inner = Some(inner);
        }
        rules
    }

    fn flat(paths: Vec<(Pattern, Operator)>, detectors: Rc<Detectors>) -> Rules {
        let names = paths.iter().map(|(pattern, _)| pattern.text()).collect();
        let (patterns, operators) = paths.into_iter().unzip();
        let paths = Patterns::new(patterns);
        Rules { paths, operators, names, detectors, ..Rules::default() }
    }

    /// For MCP. Paths start where a message has data of the server, in `structuredContent` before
    /// all; what is masked there is masked where texts repeat it, too.
    pub fn mcp(paths: Vec<(Pattern, Operator)>, detectors: Rc<Detectors>) -> Rules {
        let inner = Rules::new(paths.clone(), Rc::clone(&detectors));
        let below = |(pattern, operator): &(Pattern, Operator)| {
            let (pattern, operator) = (pattern.clone(), *operator);
            let is_free = !pattern.is_one_of(&MCP_MEMBERS);
            let beside = MCP_BESIDE.into_iter().filter(move |_| is_free);
            let root = is_free.then(|| (pattern.clone(), operator));
            // Of several that meet a value the last one is named: data tells more than a place.
            let places = beside.chain(MCP_DATA);
            let below: Vec<_> = places.map(|place| (pattern.below(place), operator)).collect();
            root.into_iter().chain(below)
        };
        let all = paths.iter().flat_map(below).chain(paths.iter().cloned()).collect();
        let mut bare = Rules::flat(all, Rc::clone(&detectors));
        let mut rules = Rules::flat(paths.iter().flat_map(below).collect(), detectors);
        let places = |places: &[&str]| {
            let places = places.iter().filter_map(|place| Pattern::parse(place).ok());
            Patterns::new(places.collect())
        };
        rules.own = places(&MCP_OWN);
        rules.coded = places(&MCP_CODED);
        bare.coded = places(&MCP_CODED);
        if !paths.is_empty() {
            let inner = Some(Rc::new(inner));
            for rules in [&mut rules, &mut bare] {
                rules.embedded = Patterns::new(vec![Pattern::everything()]);
                rules.inner.clone_from(&inner);
                rules.repeats = true;
            }
            rules.bare = Some(Rc::new(bare));
        }
        rules
    }

    /// The detectors alone: for text that may pass although no path is followed in it.
    pub fn searching(&self) -> Rules {
        Rules::new(Vec::new(), Rc::clone(&self.detectors))
    }

    /// With texts that are JSON themselves, in which `inner` applies; what is no JSON is hidden.
    #[must_use]
    pub fn embedding(mut self, texts: Vec<Pattern>, inner: Rules) -> Rules {
        self.embedded = Patterns::new(texts);
        self.inner = Some(Rc::new(inner));
        self.strict = true;
        self
    }

    /// The same where nothing is hidden by its path: words stay.
    #[must_use]
    pub fn searching_within(mut self, texts: Vec<Pattern>, inner: Rules) -> Rules {
        self = self.embedding(texts, inner);
        self.strict = false;
        self
    }

    /// With texts that are base64, in whose values detectors search.
    #[must_use]
    pub fn coding(mut self, texts: Vec<Pattern>) -> Rules {
        self.coded = Patterns::new(texts);
        self
    }

    /// With texts that are hidden unless they are plain words, or embedded.
    #[must_use]
    pub fn wording(mut self, texts: Vec<Pattern>) -> Rules {
        self.words = Patterns::new(texts);
        self
    }

    /// With names of fields that hold values (`kubernetes::managed`).
    #[must_use]
    pub fn naming(mut self, names: Vec<(Pattern, Option<String>)>) -> Rules {
        let (patterns, fields) = names.into_iter().unzip();
        (self.names_of, self.named) = (Patterns::new(patterns), fields);
        self
    }

    /// With messages at the root that are shown where they are just these.
    #[must_use]
    pub fn sparing(mut self, messages: Vec<String>) -> Rules {
        self.spared = messages;
        self
    }

    /// With what an apiserver says of how an act went.
    #[must_use]
    pub fn sparing_outcomes(mut self) -> Rules {
        self.spares_outcomes = true;
        self
    }

    /// Nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.detectors.is_empty()
    }

    /// What becomes of a body of this shape.
    pub fn plan(&self, shape: Shape) -> Plan {
        match shape {
            _ if self.is_empty() => Plan::Pass,
            Shape::Opaque => Plan::Opaque,
            _ if self.paths.is_empty() => Plan::Scan,
            Shape::Prose => Plan::Opaque,
            _ => Plan::Paths,
        }
    }

    fn operator(&self, found: &Found) -> Operator {
        self.detectors.operator(found.detector).unwrap_or(Operator::Redact)
    }

    /// The strongest operator of the patterns that are met, and its pattern.
    fn strongest(&self, met: impl Iterator<Item = usize>) -> Option<(Operator, &str)> {
        let pairs = met.filter_map(|at| Some((*self.operators.get(at)?, self.names.get(at)?)));
        pairs
            .max_by_key(|(operator, _)| *operator)
            .map(|(operator, name)| (operator, name.as_str()))
    }

    /// What applies to fields. Paths of MCP begin in what an answer has of data, and a field is
    /// nothing but that.
    fn of_fields(&self) -> &Rules {
        self.bare.as_ref().and(self.inner.as_deref()).unwrap_or(self)
    }

    /// The value of a field of a head: what pairs (`?ssn=1`) and JSON in it have on the paths, and
    /// all that detectors find, is replaced. `None`: nothing.
    pub fn field(&self, name: &str, value: &[u8], hits: &mut Hits) -> Option<Vec<u8>> {
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        let base = name;
        let known = &Known::Nothing;
        let rules = self.of_fields();
        let mut work = Work { rules, scratch: &mut scratch, out: &mut out, hits, base, known };
        field::mask(value, &mut work)
    }
}

/// Masks one body.
#[derive(Debug)]
pub struct Masker {
    rules: Rc<Rules>,
    kind: Kind,
    scratch: Scratch,
}

#[derive(Debug)]
enum Kind {
    Json(Box<json::Json>),
    Message(embedded::Message),
    Events(events::Events),
    Form(form::Form),
    Text(text::Text),
}

/// What the parts of a masker share while they work.
struct Work<'w> {
    rules: &'w Rules,
    scratch: &'w mut Scratch,
    out: &'w mut Vec<u8>,
    hits: &'w mut Hits,
    /// Where the text stands that is worked on; empty for the body itself.
    base: &'w str,
    /// What is hidden wherever words say it.
    known: &'w Known,
}

impl Work<'_> {
    /// Counts what detectors found at a place.
    fn count(&mut self, finds: &[Found], place: &str) {
        if finds.is_empty() {
            return;
        }
        let place = self.place(place);
        for found in finds {
            self.hits.add(place, Cause::Detector(found.detector), self.rules.operator(found));
        }
    }

    /// The same of finds whose signs may be escapes.
    fn count_seen(&mut self, finds: &[Seen], place: &str) {
        let finds: Vec<Found> = finds.iter().map(|seen| seen.found).collect();
        self.count(&finds, place);
    }

    /// What detectors find in a text that is there as a whole, and in what its escapes say.
    fn find(&mut self, said: &[u8]) -> Vec<Seen> {
        let written = self.rules.detectors.find(said, self.scratch);
        escapes::find(&self.rules.detectors, said, written)
    }

    /// Counts a value whose path is masked.
    fn count_path(&mut self, operator: Operator, pattern: &str) {
        let place = self.place(pattern);
        self.hits.add(place, Cause::Path, operator);
    }

    fn place(&mut self, place: &str) -> u16 {
        match (self.base, place) {
            ("", place) => self.hits.place(place),
            (base, "") => self.hits.place(base),
            (base, place) => self.hits.place(&format!("{base}.{place}")),
        }
    }
}

impl Masker {
    /// For a body whose plan is `Scan` or `Paths`. `None` for an opaque one.
    pub fn new(rules: Rc<Rules>, shape: Shape) -> Option<Masker> {
        let kind = match shape {
            Shape::Json if rules.repeats => Kind::Message(embedded::Message::default()),
            // Several texts in one are masked each, whatever their reader makes of them.
            Shape::Json | Shape::JsonLines => Kind::Json(Box::new(json::Json::new(true))),
            Shape::Events => Kind::Events(events::Events::default()),
            Shape::Form => Kind::Form(form::Form::default()),
            Shape::Text => Kind::Text(text::Text::default()),
            Shape::Prose => Kind::Text(text::Text::prose()),
            Shape::Opaque => return None,
        };
        Some(Masker { rules, kind, scratch: Scratch::default() })
    }

    /// Takes in bytes of the body and appends what may leave.
    ///
    /// # Errors
    /// Nothing more of the body may leave.
    pub fn push(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        hits: &mut Hits,
    ) -> Result<(), Unmaskable> {
        self.feed(bytes, false, out, hits)
    }

    /// The body has ended: appends the rest.
    ///
    /// # Errors
    /// The rest must not leave: it is cut off, and so is the message.
    pub fn finish(&mut self, out: &mut Vec<u8>, hits: &mut Hits) -> Result<(), Unmaskable> {
        self.feed(&[], true, out, hits)
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        ends: bool,
        out: &mut Vec<u8>,
        hits: &mut Hits,
    ) -> Result<(), Unmaskable> {
        let (rules, scratch) = (&self.rules, &mut self.scratch);
        let mut work = Work { rules, scratch, out, hits, base: "", known: &Known::Nothing };
        match &mut self.kind {
            Kind::Json(json) => json.feed(bytes, ends, &mut work),
            Kind::Message(message) => message.feed(bytes, ends, &mut work),
            Kind::Events(events) => events.feed(bytes, ends, &mut work),
            Kind::Form(form) => form.feed(bytes, ends, &mut work),
            Kind::Text(text) => text.feed(bytes, ends, &mut work),
        }
    }
}

/// How long what is held must be before it is looked at again: a body in pieces of a byte must not
/// have each of them pay for all that is held.
fn again(held: usize) -> usize {
    if held > MASK_REREAD_BYTES { held + held / 8 } else { 0 }
}

/// Whether it is a line in which nothing could be named: no path leads into it.
fn is_plain_line(text: &[u8]) -> bool {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_plain = |byte: &u8| {
        byte.is_ascii_alphanumeric() || !byte.is_ascii() || b" .,-_!?/()'@#%&*+~$".contains(byte)
    };
    line.iter().all(is_plain)
}

/// What takes the place of a text that is hidden whole, or of a part that was found.
fn hidden(operator: Operator, said: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    operator::whole_text(operator, said, &mut out);
    out
}

/// Masks a value that is there as a whole and is no JSON. `None`: nothing was found.
fn whole_text(said: &[u8], place: &str, work: &mut Work<'_>) -> Option<Vec<u8>> {
    let finds = work.find(said);
    if finds.is_empty() {
        return None;
    }
    work.count_seen(&finds, place);
    let mut out = Vec::new();
    write_seen(said, &finds, &work.rules.detectors, &mut out);
    Some(out)
}

/// Appends a text with what was found replaced where it is written.
fn write_seen(written: &[u8], finds: &[Seen], detectors: &Detectors, out: &mut Vec<u8>) {
    let mut kept = 0;
    for seen in finds {
        out.extend_from_slice(written.get(kept..seen.found.start).unwrap_or(&[]));
        seen.write(detectors, out);
        kept = seen.found.end;
    }
    out.extend_from_slice(written.get(kept..).unwrap_or(&[]));
}
