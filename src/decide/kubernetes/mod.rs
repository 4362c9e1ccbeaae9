//! What an action is in Kubernetes.
//!
//! In: requests to an apiserver. Out: `Class`. Never: a class by guess; what is not known is
//! `UnknownKind` or `OpaqueBody`.

use super::class::classes;

classes! {
    /// What kind of request it is; a request may be of several. Names in rules and records are
    /// `Class::name`.
    pub enum Class {
        /// What kinds there are, versions, health.
        Discovery = follows("discovery"),
        /// What the client itself may do.
        Review = follows("review"),
        /// get, list, watch of what has no class of its own.
        Read = plain("read"),
        /// Answers that carry a secret.
        SecretRead = plain("secret-read"),
        /// Logs of pods.
        Logs = plain("logs"),
        /// exec, attach, ephemeral containers.
        Exec = plain("exec"),
        /// A connection into a pod.
        PortForward = plain("port-forward"),
        /// Requests to pods and services.
        Proxy = plain("proxy"),
        /// Requests to kubelets.
        NodeProxy = named("node-proxy"),
        /// create, update, patch.
        Write = plain("write"),
        /// delete, eviction.
        Delete = plain("delete"),
        /// deletecollection, deletion of a namespace.
        UnboundedWrite = plain("unbounded-write"),
        /// A pod's specification in the body.
        Workload = plain("workload"),
        /// One that is privileged at its node.
        WorkloadPrivileged = plain("workload-privileged"),
        /// Tokens of service accounts.
        Token = plain("token"),
        /// Requests for certificates.
        Csr = plain("csr"),
        /// Who may do what.
        Rbac = plain("rbac"),
        /// The client asks to be somebody else.
        Impersonate = named("impersonate"),
        /// Webhooks, policies, apiservices, kinds, nodes, namespaces.
        ControlPlane = plain("control-plane"),
        /// Nothing is kept.
        DryRun = plain("dry-run"),
        /// A kind that weir does not know.
        UnknownKind = plain("unknown-kind"),
        /// A body that could not be read.
        OpaqueBody = plain("opaque-body"),
    }
}
