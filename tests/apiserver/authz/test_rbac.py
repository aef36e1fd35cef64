"""RBAC: rules, bindings, the bootstrap roles."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authz.rbac import RBAC
from sampan.apiserver.authz.rbac_bootstrap.documents import rule
from sampan.apiserver.authz.rbac_bootstrap.reconcile import CLUSTER_ROLE_OBJECTS, OBJECTS, mend
from sampan.apiserver.authz.refusal import forbidden
from sampan.apiserver.authz.rules import Rule, described, uncovered
from sampan.apiserver.seams import Attributes, Decision

JANE = UserInfo("jane", groups=("devs", "system:authenticated"))


def asks(verb: str, resource: str = "pods", namespace: str = "ns", user: UserInfo = JANE, **more: Any) -> Attributes:
    plural, _, subresource = resource.partition("/")
    return Attributes(user, verb, resource=plural, subresource=subresource, namespace=namespace, **more)


def role(name: str, *rules: Any, namespace: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, "rules": list(rules)}


def binding(name: str, kind: str, to: str, subject: dict[str, str], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": to}, "subjects": [subject]}


@pytest.mark.parametrize(("have", "question", "allowed"), [
    (rule("get", "core", "pods"), asks("get"), True),
    (rule("get", "core", "pods"), asks("list"), False),
    (rule("*", "core", "pods"), asks("deletecollection"), True),
    (rule("get", "apps", "pods"), asks("get"), False),
    (rule("get", "*", "*"), asks("get", "pods/exec"), True),
    (rule("get", "core", "pods"), asks("get", "pods/exec"), False),
    (rule("get", "core", "*/exec"), asks("get", "pods/exec"), True),
    (rule("get", "core", "*/exec"), asks("get"), False),
    (rule("get", "core", "pods", names="a b"), asks("get", name="b"), True),
    (rule("get", "core", "pods", names="a b"), asks("get", name="c"), False),
    (rule("list", "core", "pods", names="a"), asks("list"), False),
    ({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}, Attributes(JANE, "get", False, path="/healthz/x"), True),
    ({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}, Attributes(JANE, "get", False, path="/healthz"), False),
    ({"verbs": ["get"], "nonResourceURLs": ["/x"]}, Attributes(JANE, "get", False, path="/xy"), False),
    ({"verbs": ["*"], "nonResourceURLs": ["*"]}, asks("get"), False),
])
def test_what_a_rule_allows(have: dict[str, Any], question: Attributes, allowed: bool) -> None:
    assert Rule.parse(have).allows(question) is allowed


async def test_a_binding_counts_where_it_is_and_as_soon_as_it_is_there(reader: Any) -> None:
    rbac = RBAC(reader)
    reader.put(CLUSTER_ROLES, role("reader", rule("get", "core", "pods")))
    assert (await rbac.authorize(asks("get"))).decision is Decision.NO_OPINION
    reader.put(ROLE_BINDINGS, binding("b", "ClusterRole", "reader", {"kind": "Group", "name": "devs"}, "ns"))
    verdict = await rbac.authorize(asks("get"))
    assert verdict.allowed
    assert verdict.reason == 'RBAC: allowed by RoleBinding "b/ns" of ClusterRole "reader" to Group "devs"'
    assert not (await rbac.authorize(asks("get", namespace="other"))).allowed
    assert not (await rbac.authorize(asks("get", namespace=""))).allowed
    reader.remove(ROLE_BINDINGS, "b", "ns")
    assert not (await rbac.authorize(asks("get"))).allowed


async def test_a_service_account_is_the_user_it_authenticates_as(reader: Any) -> None:
    reader.put(ROLES, role("r", rule("get", "core", "pods"), namespace="ns"))
    reader.put(ROLE_BINDINGS, binding("b", "Role", "r", {"kind": "ServiceAccount", "name": "bot"}, "ns"))
    bot = UserInfo("system:serviceaccount:ns:bot")
    verdict = await RBAC(reader).authorize(asks("get", user=bot))
    assert verdict.reason == 'RBAC: allowed by RoleBinding "b/ns" of Role "r" to ServiceAccount "bot/ns"'
    other = UserInfo("system:serviceaccount:other:bot")
    assert not (await RBAC(reader).authorize(asks("get", user=other))).allowed


async def test_a_missing_role_is_named_in_the_refusal(reader: Any) -> None:
    reader.put(CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole", "gone", {"kind": "User", "name": "jane"}))
    verdict = await RBAC(reader).authorize(asks("get"))
    assert verdict.reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'


@pytest.mark.parametrize(("question", "message"), [
    (asks("list"), 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "ns"'),
    (asks("create", "pods/exec", name="p"),
     'pods "p" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "ns"'),
    (asks("get", "deployments", "", group="apps"),
     'deployments.apps is forbidden: User "jane" cannot get resource "deployments" in API group "apps" '
     "at the cluster scope"),
    (Attributes(JANE, "get", False, path="/metrics"), 'forbidden: User "jane" cannot get path "/metrics"'),
])
def test_the_words_of_a_refusal(question: Attributes, message: str) -> None:
    assert forbidden(question, "").message == message
    assert forbidden(question, "why").message == f"{message}: why"


def test_who_holds_a_wildcard_may_grant_its_parts_but_not_the_reverse() -> None:
    wide = [Rule.parse(rule("*", "*", "*"))]
    narrow = [Rule.parse(rule("get list", "core", "pods"))]
    assert uncovered(wide, narrow) == []
    assert described(uncovered(narrow, wide)) == '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}'
    more = [Rule.parse(rule("get delete", "core", "pods secrets"))]
    assert described(uncovered(narrow, more)).splitlines() == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["delete" "get"]}',
    ]
    named = [Rule.parse(rule("get", "core", "pods", names="a"))]
    assert uncovered(narrow, named) == []
    assert uncovered(named, narrow) != []


async def _bootstrapped(reader: Any) -> RBAC:
    for resource, objects in OBJECTS:
        for obj in objects:
            reader.put(resource, obj)
    return RBAC(reader)


@pytest.mark.parametrize(("user", "group", "question", "allowed"), [
    ("system:anonymous", "system:unauthenticated", ("get", "/healthz"), True),
    ("system:anonymous", "system:unauthenticated", ("get", "/version"), True),
    ("system:anonymous", "system:unauthenticated", ("get", "/api"), False),
    ("jane", "system:authenticated", ("get", "/apis/apps/v1"), True),
    ("jane", "system:authenticated", ("get", "/metrics"), False),
    ("mon", "system:monitoring", ("get", "/metrics"), True),
    ("jane", "system:authenticated", ("list", "pods"), False),
    ("root", "system:masters", ("delete", "nodes"), True),
    ("system:kube-scheduler", "", ("create", "pods/binding"), True),
    ("system:kube-scheduler", "", ("list", "secrets"), False),
    ("system:kube-proxy", "", ("watch", "services"), True),
    ("system:kube-proxy", "", ("get", "secrets"), False),
    ("system:serviceaccount:kube-system:kube-dns", "", ("watch", "services"), True),
    ("system:kube-controller-manager", "", ("create", "pods"), False),
    ("system:serviceaccount:kube-system:replicaset-controller", "", ("create", "pods"), True),
    ("system:node:n1", "system:nodes", ("get", "secrets"), False),
])
async def test_the_bootstrap_roles(
    reader: Any, user: str, group: str, question: tuple[str, str], allowed: bool
) -> None:
    rbac = await _bootstrapped(reader)
    verb, what = question
    asked = UserInfo(user, groups=(group,) if group else ())
    if what.startswith("/"):
        attributes = Attributes(asked, verb, False, path=what)
    else:
        attributes = asks(verb, what, user=asked)
    assert (await rbac.authorize(attributes)).allowed is allowed


def test_view_reads_no_secrets_and_edit_writes_no_roles() -> None:
    roles = {one["metadata"]["name"]: [Rule.parse(found) for found in one["rules"]] for one in CLUSTER_ROLE_OBJECTS}
    secrets, roles_too = asks("get", "secrets"), asks("create", "roles", group="rbac.authorization.k8s.io")
    assert not any(one.allows(secrets) for one in roles["view"])
    assert any(one.allows(secrets) for one in roles["edit"])
    assert not any(one.allows(roles_too) for one in roles["edit"])
    assert any(one.allows(roles_too) for one in roles["admin"])


def test_bootstrap_mends_what_is_missing_and_keeps_what_was_added() -> None:
    wanted = next(one for one in CLUSTER_ROLE_OBJECTS if one["metadata"]["name"] == "system:node-proxier")
    assert mend(wanted, wanted) is None
    extra = rule("get", "core", "configmaps")
    shortened = {**wanted, "rules": [*wanted["rules"][1:], extra]}
    mended = mend(wanted, shortened)
    assert mended is not None
    assert wanted["rules"][0] in mended["rules"] and extra in mended["rules"]
    metadata = {**wanted["metadata"], "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}
    assert mend(wanted, {**shortened, "metadata": metadata}) is None
