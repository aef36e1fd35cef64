"""A short notation for RBAC objects: words separated by spaces instead of lists.

`rule("get list", "apps", "deployments replicasets")` is a PolicyRule; the core group is written `core`. Lists are
sorted, as upstream stores them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.apimachinery.object import Object

READ = "get list watch"
WRITE = "create update patch delete deletecollection"
READ_WRITE = f"{READ} {WRITE}"

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {AUTOUPDATE: "true"}
_GROUP = "rbac.authorization.k8s.io"


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Object:
    """A PolicyRule for resources."""
    document: Object = {
        "verbs": sorted(verbs.split()),
        "apiGroups": sorted("" if group == "core" else group for group in groups.split()),
        "resources": sorted(resources.split()),
    }
    if names:
        document["resourceNames"] = sorted(names.split())
    return document


def urls(verbs: str, paths: str) -> Object:
    """A PolicyRule for paths."""
    return {"verbs": verbs.split(), "nonResourceURLs": sorted(paths.split())}


EVENTS = rule("create update patch", "core events.k8s.io", "events")


def cluster_role(name: str, rules: Sequence[Object], labels: str = "", aggregate: str = "") -> Object:
    """A bootstrap ClusterRole. `labels`: the roles it is aggregated to; `aggregate`: it collects those labelled so."""
    document: Object = {
        "apiVersion": f"{_GROUP}/v1", "kind": "ClusterRole",
        "metadata": {
            "name": name,
            "labels": {**_LABELS, **{f"{_GROUP}/aggregate-to-{label}": "true" for label in labels.split()}},
            "annotations": dict(_ANNOTATIONS),
        },
        "rules": list(rules),
    }
    if aggregate:
        selector = {"matchLabels": {f"{_GROUP}/aggregate-to-{aggregate}": "true"}}
        document["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return document


def role(namespace: str, name: str, rules: Sequence[Object]) -> Object:
    """A bootstrap Role."""
    document = cluster_role(name, rules)
    document["kind"] = "Role"
    document["metadata"]["namespace"] = namespace
    return document


def cluster_role_binding(name: str, subjects: str, role_name: str = "") -> Object:
    """A bootstrap ClusterRoleBinding; subjects are `user:NAME`, `group:NAME` or `sa:NAMESPACE:NAME`."""
    document: Object = {
        "apiVersion": f"{_GROUP}/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": dict(_LABELS), "annotations": dict(_ANNOTATIONS)},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role_name or name},
    }
    if subjects:
        document["subjects"] = [_subject(word) for word in subjects.split()]
    return document


def role_binding(namespace: str, name: str, subjects: str, role_kind: str = "Role", role_name: str = "") -> Object:
    """A bootstrap RoleBinding."""
    document = cluster_role_binding(name, subjects, role_name)
    document["kind"] = "RoleBinding"
    document["metadata"]["namespace"] = namespace
    document["roleRef"]["kind"] = role_kind
    return document


def _subject(word: str) -> Object:
    kind, _, name = word.partition(":")
    if kind == "sa":
        namespace, _, name = name.partition(":")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"apiGroup": _GROUP, "kind": {"user": "User", "group": "Group"}[kind], "name": name}
