//! What a client wants to do, in the words of rules: the same for every protocol.
//!
//! In: what `sql`, `http`, `ssh` and `kubernetes` understood of a command. Out: `Action`.
//! Never: a guess: what a protocol could not read is `Reading::Unclear`.

use std::borrow::Cow;
use std::rc::Rc;

use super::ClassSet;
use crate::wire::Protocol;

/// Something a command names: a relation, a path, a tool, a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Where it is, outermost first: a schema, a namespace. Empty if the command does not say.
    pub namespace: Vec<String>,
    /// Its name; `*` stands for everything in the namespace.
    pub name: String,
    /// Whether the command changes it.
    pub write: bool,
}

impl Object {
    /// An object whose place is not stated.
    pub fn bare(name: impl Into<String>, write: bool) -> Object {
        Object { namespace: Vec::new(), name: name.into(), write }
    }

    /// An object in a namespace of one part.
    pub fn within(namespace: impl Into<String>, name: impl Into<String>, write: bool) -> Object {
        Object { namespace: vec![namespace.into()], name: name.into(), write }
    }

    /// The namespace as one text, for patterns and records; `None` if the command does not say.
    pub fn place(&self) -> Option<Cow<'_, str>> {
        match self.namespace.as_slice() {
            [] => None,
            [only] => Some(Cow::Borrowed(only)),
            parts => Some(Cow::Owned(parts.join("."))),
        }
    }

    /// As approvers see it: `+` before what the command changes.
    pub fn marked(&self) -> String {
        let mark = if self.write { "+" } else { "" };
        format!("{mark}{}", self.path())
    }

    /// As people write it: `schema.name`.
    pub fn path(&self) -> String {
        match self.place() {
            Some(place) => format!("{place}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// An object that an act reaches without naming it: what it names is the other's partition, its
/// parent, a view of it, an index. Denials and holds mean it, an allow never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// What is reached.
    pub object: Object,
    /// What the act names, or a few words for what is not known.
    pub by: Box<str>,
}

impl Kin {
    /// As people read it: `public.customers by way of names`.
    pub fn words(&self) -> String {
        let what = match (self.object.place().as_deref(), self.object.name.as_str()) {
            (Some("*"), "*") => "any object".to_owned(),
            _ => self.object.path(),
        };
        format!("{what} by way of {}", self.by)
    }
}

/// What a protocol adds for rules: a key of `when`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactKind {
    /// `methods`: of a request.
    Method,
    /// `paths`: of a request or of a file.
    Path,
    /// `tools`: of MCP.
    Tool,
    /// `arguments`: of a call of MCP, each as `path=value`.
    Argument,
    /// `text`: of a command that a shell runs.
    Text,
    /// `verbs`: of Kubernetes.
    Verb,
    /// `resources`: of Kubernetes, `pods/exec`.
    Resource,
    /// `namespaces`: of Kubernetes.
    Namespace,
    /// `names`: of Kubernetes' objects.
    Name,
    /// `settings`: what SET and its kin change.
    Setting,
    /// `functions`: those that PostgreSQL itself does not have, which are `call`.
    Function,
    /// `forwards`: where a forward of SSH leads, or listens.
    Forward,
}

impl FactKind {
    /// Every kind.
    pub const ALL: [FactKind; 12] = [
        FactKind::Method,
        FactKind::Path,
        FactKind::Tool,
        FactKind::Argument,
        FactKind::Text,
        FactKind::Verb,
        FactKind::Resource,
        FactKind::Namespace,
        FactKind::Name,
        FactKind::Setting,
        FactKind::Function,
        FactKind::Forward,
    ];

    /// The key of `when`.
    pub const fn key(self) -> &'static str {
        match self {
            FactKind::Method => "methods",
            FactKind::Path => "paths",
            FactKind::Tool => "tools",
            FactKind::Argument => "arguments",
            FactKind::Text => "text",
            FactKind::Verb => "verbs",
            FactKind::Resource => "resources",
            FactKind::Namespace => "namespaces",
            FactKind::Name => "names",
            FactKind::Setting => "settings",
            FactKind::Function => "functions",
            FactKind::Forward => "forwards",
        }
    }

    /// Whether commands of a protocol can have it.
    pub const fn is_of(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Postgres => matches!(self, FactKind::Setting | FactKind::Function),
            Protocol::Http => matches!(
                self,
                FactKind::Method | FactKind::Path | FactKind::Tool | FactKind::Argument
            ),
            Protocol::Ssh => {
                matches!(self, FactKind::Text | FactKind::Path | FactKind::Forward)
            }
            Protocol::Kubernetes => matches!(
                self,
                FactKind::Method
                    | FactKind::Path
                    | FactKind::Verb
                    | FactKind::Resource
                    | FactKind::Namespace
                    | FactKind::Name
            ),
        }
    }
}

/// What is known of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is this; not necessarily UTF-8.
    Is(Box<[u8]>),
    /// It may be this beside what it is: an apply creates what is not there.
    Maybe(Box<[u8]>),
    /// It is all there are: the namespaces of a list without one.
    Every,
    /// It is all that begins so: what lies in a folder, whose names nobody has said yet.
    Below(Box<[u8]>),
    /// It may be those beside what it is: a rename may be of a folder.
    MaybeBelow(Box<[u8]>),
    /// A server may take it for what this is: the path of a request in small letters and without
    /// what some servers leave out (`http::likeness`).
    Like(Box<[u8]>),
    /// There is one, and it may be anything: what a shell makes of a text, a batch of methods.
    Unclear,
}

/// A fact of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its kind.
    pub kind: FactKind,
    /// Its value.
    pub reading: Reading,
}

impl Fact {
    /// A fact that is known.
    pub fn is(kind: FactKind, value: impl AsRef<[u8]>) -> Fact {
        Fact { kind, reading: Reading::Is(value.as_ref().into()) }
    }

    /// A fact that may be so.
    pub fn maybe(kind: FactKind, value: impl AsRef<[u8]>) -> Fact {
        Fact { kind, reading: Reading::Maybe(value.as_ref().into()) }
    }

    /// A fact that a server may take for this.
    pub fn like(kind: FactKind, value: impl AsRef<[u8]>) -> Fact {
        Fact { kind, reading: Reading::Like(value.as_ref().into()) }
    }

    /// A fact that means all there are.
    pub fn every(kind: FactKind) -> Fact {
        Fact { kind, reading: Reading::Every }
    }

    /// A fact that means all that begins so.
    pub fn below(kind: FactKind, root: impl AsRef<[u8]>) -> Fact {
        Fact { kind, reading: Reading::Below(root.as_ref().into()) }
    }

    /// A fact that may mean all that begins so.
    pub fn maybe_below(kind: FactKind, root: impl AsRef<[u8]>) -> Fact {
        Fact { kind, reading: Reading::MaybeBelow(root.as_ref().into()) }
    }

    /// A fact that may be anything.
    pub fn unclear(kind: FactKind) -> Fact {
        Fact { kind, reading: Reading::Unclear }
    }
}

/// Which name in a command gave it a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The classes.
    pub classes: ClassSet,
    /// `function pg_sleep`, `setting role`: a few words for people.
    pub name: Box<str>,
}

/// One thing that a command does: a statement, a request, an operation on a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Act {
    /// What it is; at least one class, else no rule allows it.
    pub classes: ClassSet,
    /// `SELECT`, `POST /orders/{id}`: for records and people.
    pub operation: Cow<'static, str>,
    /// What it names.
    pub objects: Rc<[Object]>,
    /// What depends on the objects goes with them: CASCADE.
    pub cascades: bool,
    /// What it reaches beside, as the target says, as far as a rule minds it.
    pub kin: Vec<Kin>,
    /// What the protocol adds.
    pub facts: Vec<Fact>,
    /// Where its classes come from, as far as the operation does not say it.
    pub causes: Vec<Cause>,
}

impl Act {
    /// An act of which nothing but its classes is known.
    pub fn of(classes: impl Into<ClassSet>, operation: &'static str) -> Act {
        Act { classes: classes.into(), operation: Cow::Borrowed(operation), ..Act::default() }
    }
}

/// A command: what rules are asked about, and what its record says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Whose classes the acts have.
    pub protocol: Protocol,
    /// In order; none for an empty command.
    pub acts: Vec<Act>,
    /// Operations joined by `;`, for the record.
    pub operation: String,
    /// Class names, of each act in order, for the record.
    pub classes: Vec<&'static str>,
    /// Objects of all acts, each once, for the record.
    pub objects: Rc<[Object]>,
}

impl Action {
    /// A command of these acts: they run together or not at all.
    pub fn new(protocol: Protocol, acts: Vec<Act>) -> Action {
        let operations: Vec<&str> = acts.iter().map(|act| &*act.operation).collect();
        let objects = match acts.as_slice() {
            [only] => Rc::clone(&only.objects),
            many => {
                let mut objects: Vec<Object> = Vec::new();
                let mut known = std::collections::HashSet::new();
                for object in many.iter().flat_map(|act| act.objects.iter()) {
                    if known.insert(object) {
                        objects.push(object.clone());
                    }
                }
                objects.into()
            }
        };
        Action {
            protocol,
            operation: operations.join(";"),
            classes: acts.iter().flat_map(|act| act.classes.names(protocol)).collect(),
            objects,
            acts,
        }
    }
}
