//! What a request to an apiserver is, in the words of rules: classes, tags and conditions.
//!
//! In: a request as `wire::kubernetes` reads it. Out: the set of its classes, what its body may
//! still change, whether a rule's verbs, resources, namespaces and names mean it.
//! Never: a verdict; a class that is missing because nobody thought of the request. What no row of
//! the tables knows is `other`, which a rule must name.

pub mod condition;
pub mod kinds;
pub mod table;

pub use condition::{Condition, Fit};
pub use table::{Classified, DryRun, classify};

/// What kind of request it is. A request has a set of them: deny and hold match any, allow needs
/// all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Lists of APIs and kinds, versions, health.
    Discovery,
    /// What may I do, who am I.
    Review,
    /// Get, list and watch of whatever no other class names.
    Read,
    /// Any answer that may have a Secret in it, those of writes too.
    SecretRead,
    /// Logs of a container.
    Logs,
    /// A command in a container, in a running one or in one that is added.
    Exec,
    /// Connections to ports of a pod.
    PortForward,
    /// HTTP to a pod or a service.
    Proxy,
    /// HTTP to a kubelet, around admission and audit.
    NodeProxy,
    /// Create, update, patch, apply.
    Write,
    /// Delete of one object, eviction.
    Delete,
    /// Delete of many: a collection, a namespace.
    UnboundedWrite,
    /// The body has the spec of pods.
    Workload,
    /// And that asks for the node's rights: privileged, host namespaces, host paths, a node by name.
    WorkloadPrivileged,
    /// Tokens of service accounts, and their reviews.
    Token,
    /// Certificates of the cluster's authority.
    Csr,
    /// Roles and their bindings.
    Rbac,
    /// The request asks to be somebody else.
    Impersonate,
    /// Webhooks, admission policies, aggregated APIs, kinds, nodes, namespaces.
    ControlPlane,
    /// Nothing of the above.
    Other,
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

/// One row of the table of classes.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The class.
    pub class: Class,
    /// Its name in rules and records.
    pub name: &'static str,
    /// Whether it is allowed to whoever is allowed anything.
    pub follows: bool,
    /// Whether a rule that allows it must name it (or its resource): not covered by a rule without
    /// classes. Such requests look like reads to RBAC, or leave the apiserver's sight.
    pub must_name: bool,
}

/// The classes, in the order of `Class`.
pub const CLASSES: [Named; 20] = [
    named(Class::Discovery, "discovery", FOLLOWS),
    named(Class::Review, "review", FOLLOWS),
    named(Class::Read, "read", PLAIN),
    named(Class::SecretRead, "secret-read", PLAIN),
    named(Class::Logs, "logs", PLAIN),
    named(Class::Exec, "exec", MUST_NAME),
    named(Class::PortForward, "port-forward", MUST_NAME),
    named(Class::Proxy, "proxy", MUST_NAME),
    named(Class::NodeProxy, "node-proxy", MUST_NAME),
    named(Class::Write, "write", PLAIN),
    named(Class::Delete, "delete", PLAIN),
    named(Class::UnboundedWrite, "unbounded-write", PLAIN),
    named(Class::Workload, "workload", PLAIN),
    named(Class::WorkloadPrivileged, "workload-privileged", PLAIN),
    named(Class::Token, "token", MUST_NAME),
    named(Class::Csr, "csr", PLAIN),
    named(Class::Rbac, "rbac", PLAIN),
    named(Class::Impersonate, "impersonate", MUST_NAME),
    named(Class::ControlPlane, "control-plane", PLAIN),
    named(Class::Other, "other", MUST_NAME),
];

const PLAIN: (bool, bool) = (false, false);
const FOLLOWS: (bool, bool) = (true, false);
const MUST_NAME: (bool, bool) = (false, true);

const fn named(class: Class, name: &'static str, (follows, must_name): (bool, bool)) -> Named {
    Named { class, name, follows, must_name }
}

impl Class {
    /// The name in rules and records.
    pub fn name(self) -> &'static str {
        CLASSES.iter().find(|row| row.class == self).map_or("other", |row| row.name)
    }

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
        CLASSES.iter().map(|row| row.class).filter(move |class| self.has(*class))
    }

    /// Their names, for records.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CLASSES.iter().filter(move |row| self.has(row.class)).map(|row| row.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_classes_has_every_class_once() {
        for (index, row) in CLASSES.iter().enumerate() {
            assert_eq!(row.class as usize, index, "{}: out of order", row.name);
            assert_eq!(row.class.name(), row.name);
            assert!(!(row.follows && row.must_name), "{}", row.name);
            let same = CLASSES.iter().filter(|other| other.name == row.name).count();
            assert_eq!(same, 1, "{}", row.name);
        }
        assert_eq!(Class::Other as usize + 1, CLASSES.len());
    }
}
