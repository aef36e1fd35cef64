"""All roles and bindings, compiled so that a decision looks only at what the user's subjects are bound to.

A subject is `("User", name)` or `("Group", name)`; a ServiceAccount is the user it authenticates as. Cluster-wide
bindings are kept by subject, the others by namespace and subject. The index is a value: `RBAC` makes a new one
whenever a role or a binding has changed, which is rare, and asks it thousands of times in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.apiserver.authz.rules import Rule
from sampan.apiserver.seams import Attributes, Decision, Verdict

Subject: TypeAlias = tuple[str, str]
BySubject: TypeAlias = dict[Subject, list["Grant"]]


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of one binding: the role it refers to, and the words for why it allows."""

    role_kind: str
    role_name: str
    role_namespace: str
    reason: str


@dataclass(slots=True)
class RBACIndex:
    """Build with `RBACIndex.of`; then only read."""

    cluster_roles: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    roles: dict[tuple[str, str], tuple[Rule, ...]] = field(default_factory=dict)
    cluster_grants: BySubject = field(default_factory=dict)
    namespace_grants: dict[str, BySubject] = field(default_factory=dict)

    @classmethod
    def of(
        cls, cluster_roles: Iterable[Object], roles: Iterable[Object], cluster_bindings: Iterable[Object],
        bindings: Iterable[Object],
    ) -> RBACIndex:
        index = cls()
        for role in cluster_roles:
            index.cluster_roles[name_of(role)] = _compiled(role)
        for role in roles:
            index.roles[namespace_of(role), name_of(role)] = _compiled(role)
        for binding in cluster_bindings:
            for subject, grant in _grants(binding):
                index.cluster_grants.setdefault(subject, []).append(grant)
        for binding in bindings:
            here = index.namespace_grants.setdefault(namespace_of(binding), {})
            for subject, grant in _grants(binding):
                here.setdefault(subject, []).append(grant)
        return index

    def rules_of(self, grant: Grant) -> tuple[Rule, ...] | None:
        """The rules of the role that a grant refers to; None when there is no such role."""
        if grant.role_kind == "ClusterRole":
            return self.cluster_roles.get(grant.role_name)
        return self.roles.get((grant.role_namespace, grant.role_name))

    def grants(self, user: UserInfo, namespace: str) -> Iterator[Grant]:
        """Everything the user is bound to, cluster-wide and in one namespace (none for "")."""
        subjects: list[Subject] = [("User", user.name), *(("Group", group) for group in user.groups)]
        here = self.namespace_grants.get(namespace, {}) if namespace else {}
        for granted in (self.cluster_grants, here):
            for subject in subjects:
                yield from granted.get(subject, ())

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[Rule], list[str]]:
        """All rules that hold for a user in a namespace, and what could not be resolved."""
        rules: list[Rule] = []
        errors: list[str] = []
        for grant in self.grants(user, namespace):
            found = self.rules_of(grant)
            if found is None:
                errors.append(_missing(grant))
            else:
                rules.extend(found)
        return rules, list(dict.fromkeys(errors))

    def authorize(self, attributes: Attributes) -> Verdict:
        errors: list[str] = []
        for grant in self.grants(attributes.user, attributes.namespace):
            rules = self.rules_of(grant)
            if rules is None:
                errors.append(_missing(grant))
            elif any(rule.allows(attributes) for rule in rules):
                return Verdict(Decision.ALLOW, grant.reason)
        unique = list(dict.fromkeys(errors))
        if not unique:
            return Verdict(Decision.NO_OPINION)
        shown = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
        return Verdict(Decision.NO_OPINION, f"RBAC: {shown}")


def _compiled(role: Object) -> tuple[Rule, ...]:
    return tuple(Rule.parse(rule) for rule in role.get("rules") or ())


def _missing(grant: Grant) -> str:
    return f"{grant.role_kind.lower()}.rbac.authorization.k8s.io {quoted(grant.role_name)} not found"


def _grants(binding: Object) -> Iterator[tuple[Subject, Grant]]:
    reference = binding.get("roleRef") or {}
    kind, name, namespace = str(reference.get("kind", "")), str(reference.get("name", "")), namespace_of(binding)
    binding_kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    shown = f"{name_of(binding)}/{namespace}" if namespace else name_of(binding)
    for document in binding.get("subjects") or ():
        subject, words = _subject(document, namespace)
        reason = f"RBAC: allowed by {binding_kind} {quoted(shown)} of {kind} {quoted(name)} to {words}"
        yield subject, Grant(kind, name, namespace, reason)


def _subject(document: Object, binding_namespace: str) -> tuple[Subject, str]:
    kind, name = str(document.get("kind", "")), str(document.get("name", ""))
    if kind != "ServiceAccount":
        return (kind, name), f"{kind} {quoted(name)}"
    namespace = str(document.get("namespace") or binding_namespace)
    return ("User", f"system:serviceaccount:{namespace}:{name}"), f"{kind} {quoted(f'{name}/{namespace}')}"
