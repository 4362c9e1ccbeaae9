//! What a request to an apiserver is, in the words of rules: classes, tags and conditions.
//!
//! In: a request as `wire::kubernetes` reads it. Out: the set of its classes, what its body may
//! still change, whether a rule's verbs, resources, namespaces and names mean it.
//! Never: a verdict; a class that is missing because nobody thought of the request. What no row of
//! the tables knows is `other`, which a rule must name.

mod asked;
pub mod condition;
pub mod content;
pub mod kinds;
pub mod table;

use super::class::classes;

pub use asked::{Claims, Flow, Understood, understand};
pub use condition::{resource_meets, resource_pattern_fault};
pub use table::{Classified, DryRun, classify};

classes! {
    /// What kind of request it is. A request has a set of them: deny and hold match any, allow
    /// needs all.
    pub enum Class {
        /// Lists of APIs and kinds, versions, health.
        Discovery = follows("discovery"),
        /// What may I do, who am I.
        Review = follows("review"),
        /// Get, list and watch of whatever no other class names.
        Read = plain("read"),
        /// Any answer that may have a Secret in it, those of writes too.
        SecretRead = plain("secret-read"),
        /// Logs of a container.
        Logs = plain("logs"),
        /// A command in a container, in a running one or in one that is added.
        Exec = named("exec"),
        /// Connections to ports of a pod.
        PortForward = named("port-forward"),
        /// HTTP to a pod or a service.
        Proxy = named("proxy"),
        /// HTTP to a kubelet, around admission and audit.
        NodeProxy = named("node-proxy"),
        /// Create, update, patch, apply.
        Write = plain("write"),
        /// Delete of one object, eviction.
        Delete = plain("delete"),
        /// Delete of many: a collection, a namespace.
        UnboundedWrite = plain("unbounded-write"),
        /// The body has the spec of pods.
        Workload = plain("workload"),
        /// And asks for the node's rights: privileged, host namespaces and paths, a node by name.
        WorkloadPrivileged = plain("workload-privileged"),
        /// Tokens of service accounts, and their reviews.
        Token = named("token"),
        /// Certificates of the cluster's authority.
        Csr = plain("csr"),
        /// Roles and their bindings.
        Rbac = plain("rbac"),
        /// The request asks to be somebody else.
        Impersonate = named("impersonate"),
        /// Webhooks, admission policies, aggregated APIs, kinds, nodes, namespaces.
        ControlPlane = plain("control-plane"),
        /// Nothing of the above.
        Other = named("other"),
    }
}

/// What rules may ask beside classes, and what never allows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// Nothing is stored.
    DryRun,
    /// The resource is not one of Kubernetes' own.
    UnknownKind,
    /// The body could not be read, and a rule may need it.
    OpaqueBody,
}

impl Class {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Tag {
    /// Every tag.
    pub const ALL: [Tag; 3] = [Tag::DryRun, Tag::UnknownKind, Tag::OpaqueBody];

    /// The name in rules and records.
    pub const fn name(self) -> &'static str {
        match self {
            Tag::DryRun => "dry-run",
            Tag::UnknownKind => "unknown-kind",
            Tag::OpaqueBody => "opaque-body",
        }
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u32);

impl Classes {
    /// No class.
    pub const NONE: Classes = Classes(0);

    /// The set and one more.
    #[must_use]
    pub const fn with(self, class: Class) -> Classes {
        Classes(self.0 | class.bit())
    }

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }

    /// Whether the class is in it.
    pub const fn has(self, class: Class) -> bool {
        self.0 & class.bit() != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The classes in it, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.iter().copied().filter(move |class| self.has(*class))
    }

    /// Their names, for records.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(Class::name)
    }
}
