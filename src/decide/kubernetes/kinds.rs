//! The resources that are Kubernetes' own: where they live, and their subresources.
//!
//! In: a group and a resource. Out: the row. Never: a guess about kinds that are not in it; those
//! of aggregated APIs and of CustomResourceDefinitions are classified by verb and tagged.
//!
//! From the paths of Kubernetes 1.37's own OpenAPI document (api/openapi-spec/swagger.json).

/// A resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its API group, empty for the first one.
    pub group: &'static str,
    /// Its name, in the plural.
    pub resource: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Its subresources, separated by spaces.
    subresources: &'static str,
}

impl Kind {
    /// Whether it has the subresource; the empty one is the object.
    pub fn has(&self, subresource: &str) -> bool {
        subresource.is_empty() || self.subresources.split(' ').any(|name| name == subresource)
    }
}

/// The row of a resource.
pub fn find(group: &str, resource: &str) -> Option<&'static Kind> {
    let place = KINDS.binary_search_by(|kind| (kind.group, kind.resource).cmp(&(group, resource)));
    place.ok().and_then(|index| KINDS.get(index))
}

const fn somewhere(
    group: &'static str,
    resource: &'static str,
    subresources: &'static str,
) -> Kind {
    Kind { group, resource, namespaced: true, subresources }
}

const fn cluster(group: &'static str, resource: &'static str, subresources: &'static str) -> Kind {
    Kind { group, resource, namespaced: false, subresources }
}

/// In order of group and resource.
pub const KINDS: &[Kind] = &[
    somewhere("", "bindings", ""),
    cluster("", "componentstatuses", ""),
    somewhere("", "configmaps", ""),
    somewhere("", "endpoints", ""),
    somewhere("", "events", ""),
    somewhere("", "limitranges", ""),
    cluster("", "namespaces", "finalize status"),
    cluster("", "nodes", "proxy status"),
    somewhere("", "persistentvolumeclaims", "status"),
    cluster("", "persistentvolumes", "status"),
    somewhere(
        "",
        "pods",
        "attach binding ephemeralcontainers eviction exec log portforward proxy resize status",
    ),
    somewhere("", "podtemplates", ""),
    somewhere("", "replicationcontrollers", "scale status"),
    somewhere("", "resourcequotas", "status"),
    somewhere("", "secrets", ""),
    somewhere("", "serviceaccounts", "token"),
    somewhere("", "services", "proxy status"),
    cluster("admissionregistration.k8s.io", "mutatingadmissionpolicies", ""),
    cluster("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", ""),
    cluster("admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""),
    cluster("admissionregistration.k8s.io", "validatingadmissionpolicies", "status"),
    cluster("admissionregistration.k8s.io", "validatingadmissionpolicybindings", ""),
    cluster("admissionregistration.k8s.io", "validatingwebhookconfigurations", ""),
    cluster("apiextensions.k8s.io", "customresourcedefinitions", "status"),
    cluster("apiregistration.k8s.io", "apiservices", "status"),
    somewhere("apps", "controllerrevisions", ""),
    somewhere("apps", "daemonsets", "status"),
    somewhere("apps", "deployments", "scale status"),
    somewhere("apps", "replicasets", "scale status"),
    somewhere("apps", "statefulsets", "scale status"),
    cluster("authentication.k8s.io", "selfsubjectreviews", ""),
    cluster("authentication.k8s.io", "tokenreviews", ""),
    somewhere("authorization.k8s.io", "localsubjectaccessreviews", ""),
    cluster("authorization.k8s.io", "selfsubjectaccessreviews", ""),
    cluster("authorization.k8s.io", "selfsubjectrulesreviews", ""),
    cluster("authorization.k8s.io", "subjectaccessreviews", ""),
    somewhere("autoscaling", "horizontalpodautoscalers", "status"),
    somewhere("batch", "cronjobs", "status"),
    somewhere("batch", "jobs", "status"),
    cluster("certificates.k8s.io", "certificatesigningrequests", "approval status"),
    cluster("certificates.k8s.io", "clustertrustbundles", ""),
    somewhere("certificates.k8s.io", "podcertificaterequests", "status"),
    somewhere("coordination.k8s.io", "leasecandidates", ""),
    somewhere("coordination.k8s.io", "leases", ""),
    somewhere("discovery.k8s.io", "endpointslices", ""),
    somewhere("events.k8s.io", "events", ""),
    cluster("flowcontrol.apiserver.k8s.io", "flowschemas", "status"),
    cluster("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "status"),
    cluster("internal.apiserver.k8s.io", "storageversions", "status"),
    somewhere("lifecycle.k8s.io", "evictionrequests", "status"),
    somewhere("lifecycle.k8s.io", "evictions", "status"),
    cluster("networking.k8s.io", "ingressclasses", ""),
    somewhere("networking.k8s.io", "ingresses", "status"),
    cluster("networking.k8s.io", "ipaddresses", ""),
    somewhere("networking.k8s.io", "networkpolicies", ""),
    cluster("networking.k8s.io", "servicecidrs", "status"),
    cluster("node.k8s.io", "runtimeclasses", ""),
    somewhere("policy", "poddisruptionbudgets", "status"),
    cluster("rbac.authorization.k8s.io", "clusterrolebindings", ""),
    cluster("rbac.authorization.k8s.io", "clusterroles", ""),
    somewhere("rbac.authorization.k8s.io", "rolebindings", ""),
    somewhere("rbac.authorization.k8s.io", "roles", ""),
    cluster("resource.k8s.io", "deviceclasses", ""),
    cluster("resource.k8s.io", "devicetaintrules", "status"),
    somewhere("resource.k8s.io", "resourceclaims", "status"),
    somewhere("resource.k8s.io", "resourceclaimtemplates", ""),
    cluster("resource.k8s.io", "resourcepoolstatusrequests", "status"),
    cluster("resource.k8s.io", "resourceslices", ""),
    somewhere("scheduling.k8s.io", "compositepodgroups", "status"),
    somewhere("scheduling.k8s.io", "podgroups", "status"),
    cluster("scheduling.k8s.io", "priorityclasses", ""),
    somewhere("scheduling.k8s.io", "workloads", ""),
    cluster("storage.k8s.io", "csidrivers", ""),
    cluster("storage.k8s.io", "csinodes", "status"),
    somewhere("storage.k8s.io", "csistoragecapacities", ""),
    cluster("storage.k8s.io", "storageclasses", ""),
    cluster("storage.k8s.io", "volumeattachments", "status"),
    cluster("storage.k8s.io", "volumeattributesclasses", ""),
    cluster("storagemigration.k8s.io", "storageversionmigrations", "status"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_found() {
        assert!(KINDS.is_sorted_by(|a, b| (a.group, a.resource) < (b.group, b.resource)));
        for kind in KINDS {
            assert_eq!(find(kind.group, kind.resource), Some(kind));
        }
        assert_eq!(find("apps", "pods"), None);
        assert!(find("", "pods").is_some_and(|pods| pods.namespaced && pods.has("exec")));
        assert!(find("", "pods").is_some_and(|pods| pods.has("") && !pods.has("attac")));
        assert!(find("", "namespaces").is_some_and(|kind| !kind.namespaced));
    }
}
