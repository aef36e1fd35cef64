"""The bootstrap roles and bindings allow what upstream's allow, permission by permission.

`bootstrap_permissions.txt` states the facts. Both sides are expanded to single permissions before they are compared, so
that it does not matter how rules are cut. What sampan grants beside is listed here, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from sampan.apimachinery.object import labels_of, name_of, namespace_of
from sampan.apiserver.authz.rbac_bootstrap.reconcile import CLUSTER_ROLE_OBJECTS, OBJECTS
from sampan.controllers.table import CONTROLLERS

FACTS = Path(__file__).with_name("bootstrap_permissions.txt")
_SHORT = {"R": "get list watch", "W": "create update patch delete deletecollection"}
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

OWN: dict[str, str] = {
    # Cluster DNS answers for pods and for namespaces that exist, and reads slices (docs/ARCHITECTURE.md, identities).
    "ClusterRole system:kube-dns":
        "list watch ; core ; pods namespaces\nlist watch ; discovery.k8s.io ; endpointslices",
}

Permission = tuple[str, str, str, str]


def parsed(lines: str) -> set[Permission]:
    """Lines of the facts as permissions."""
    found: set[Permission] = set()
    for line in filter(None, lines.splitlines()):
        verbs, groups, resources, *names = (part.split() for part in line.split(";"))
        verbs = [verb for word in verbs for verb in _SHORT.get(word, word).split()]
        found |= set(product(verbs, groups, resources, *names or [[""]]))
    return found


def expanded(role: dict[str, Any]) -> set[Permission]:
    """The rules of a role as permissions."""
    found: set[Permission] = set()
    for rule in role["rules"]:
        if "nonResourceURLs" in rule:
            found |= {(verb, "url", path, "") for verb, path in product(rule["verbs"], rule["nonResourceURLs"])}
            continue
        groups = [group or "core" for group in rule["apiGroups"]]
        found |= set(product(rule["verbs"], groups, rule["resources"], rule.get("resourceNames") or [""]))
    return found


def facts() -> Iterator[tuple[str, list[str], str]]:
    """(role, the roles that it is aggregated to, its lines)."""
    text = "\n".join(line for line in FACTS.read_text().splitlines() if not line.startswith("#"))
    for block in filter(None, text.split("\n\n")):
        head, _, lines = block.strip().partition("\n")
        kind, name, *labels = head.split()
        yield f"{kind} {name}", labels, lines


def bootstrapped() -> dict[str, dict[str, Any]]:
    return {
        f"{obj['kind']} {'/'.join(filter(None, (namespace_of(obj), name_of(obj))))}": obj
        for _, objects in OBJECTS for obj in objects
    }


def test_every_role_allows_what_upstreams_allows_and_nothing_else() -> None:
    roles = bootstrapped()
    for name, labels, lines in facts():
        wanted = parsed(lines) | parsed(OWN.get(name, ""))
        found = expanded(roles[name])
        assert sorted(wanted - found) == [], f"{name} lacks"
        assert sorted(found - wanted) == [], f"{name} has beside"
        shown = {f"{_AGGREGATE}{label.removeprefix('aggregate-to-')}": "true" for label in labels}
        assert labels_of(roles[name]) == {**_LABELS, **shown}


def test_there_are_no_other_roles_but_those_that_collect() -> None:
    roles = {name for name, obj in bootstrapped().items() if obj["kind"] in ("ClusterRole", "Role")}
    assert roles - {name for name, _, _ in facts()} == {"ClusterRole admin", "ClusterRole edit", "ClusterRole view"}
    collecting = {
        name_of(role): (role["aggregationRule"]["clusterRoleSelectors"], labels_of(role))
        for role in CLUSTER_ROLE_OBJECTS if "aggregationRule" in role
    }
    assert collecting == {
        "admin": ([{"matchLabels": {f"{_AGGREGATE}admin": "true"}}], _LABELS),
        "edit": ([{"matchLabels": {f"{_AGGREGATE}edit": "true"}}], {**_LABELS, f"{_AGGREGATE}admin": "true"}),
        "view": ([{"matchLabels": {f"{_AGGREGATE}view": "true"}}], {**_LABELS, f"{_AGGREGATE}edit": "true"}),
    }


BINDINGS = {
    "cluster-admin": "Group system:masters",
    "system:monitoring": "Group system:monitoring",
    "system:discovery": "Group system:authenticated",
    "system:basic-user": "Group system:authenticated",
    "system:public-info-viewer": "Group system:authenticated, Group system:unauthenticated",
    "system:node-proxier": "User system:kube-proxy",
    "system:kube-controller-manager": "User system:kube-controller-manager",
    "system:kube-dns": "ServiceAccount kube-system/kube-dns",
    "system:kube-scheduler": "User system:kube-scheduler",
    "system:volume-scheduler": "User system:kube-scheduler",
    "system:node": "",
    "system:service-account-issuer-discovery": "Group system:serviceaccounts",
    "system:cluster-trust-bundle-discovery": "Group system:serviceaccounts",
    "kube-system/system::extension-apiserver-authentication-reader":
        "User system:kube-controller-manager, User system:kube-scheduler",
    "kube-system/system::leader-locking-kube-controller-manager":
        "User system:kube-controller-manager, ServiceAccount kube-system/kube-controller-manager",
    "kube-system/system::leader-locking-kube-scheduler":
        "User system:kube-scheduler, ServiceAccount kube-system/kube-scheduler",
    "kube-system/system:controller:bootstrap-signer": "ServiceAccount kube-system/bootstrap-signer",
    "kube-system/system:controller:cloud-provider": "ServiceAccount kube-system/cloud-provider",
    "kube-system/system:controller:token-cleaner": "ServiceAccount kube-system/token-cleaner",
    "kube-public/system:controller:bootstrap-signer": "ServiceAccount kube-system/bootstrap-signer",
}


def _subjects(obj: dict[str, Any]) -> str:
    return ", ".join(
        f"{subject['kind']} {'/'.join(filter(None, (subject.get('namespace'), subject['name'])))}"
        for subject in obj.get("subjects") or ()
    )


def test_every_binding_names_upstreams_subjects() -> None:
    prefix = "system:controller:"
    wanted = {f"{'RoleBinding' if '/' in name else 'ClusterRoleBinding'} {name}": who for name, who in BINDINGS.items()}
    for name, _, _ in facts():
        if name.startswith(f"ClusterRole {prefix}"):
            account = name.partition(prefix)[2]
            wanted[f"ClusterRoleBinding {prefix}{account}"] = f"ServiceAccount kube-system/{account}"
    found = {name: obj for name, obj in bootstrapped().items() if obj["kind"].endswith("Binding")}
    assert {name: _subjects(obj) for name, obj in found.items()} == wanted
    reader = "system::extension-apiserver-authentication-reader"
    for obj in found.values():
        kind = "Role" if namespace_of(obj) else "ClusterRole"
        role = reader.removeprefix("system::") if name_of(obj) == reader else name_of(obj)
        assert obj["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}


def test_every_control_loop_acts_as_an_account_with_a_role() -> None:
    roles = {name.rpartition("system:controller:")[2] for name in bootstrapped() if "Role " in name}
    accounts = {loop.account for loop in CONTROLLERS if loop.account}
    assert accounts <= roles
