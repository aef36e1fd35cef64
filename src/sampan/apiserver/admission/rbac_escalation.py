"""Nobody grants what they do not have: roles and bindings may only hold rules that their writer holds too.

Exempt are who may `escalate` the role, or `bind` to the role that a binding refers to. Upstream has this check in the
storage of the four kinds; here it is the last of the plugins, on the final object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from sampan.api.resources import CLUSTER_ROLES, ROLES
from sampan.apimachinery import errors
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.authz.privileged import MASTERS
from sampan.apiserver.authz.rbac import RBAC
from sampan.apiserver.authz.rules import Rule, described, uncovered
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Operation, ServerParts

_GROUP = "rbac.authorization.k8s.io"
_EVERYTHING = (
    Rule(frozenset("*"), frozenset("*"), frozenset("*")), Rule(frozenset("*"), urls=("*",)),
)


class RBACEscalation(Plugin):
    name = "RBACEscalation"
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    resources = frozenset(
        {(_GROUP, plural) for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")}
    )

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._rbac = RBAC(parts.reader)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if MASTERS in attributes.user.groups or attributes.object is None:
            return
        if attributes.kind.resource.plural in ("roles", "clusterroles"):
            await self._role(attributes, attributes.object)
        else:
            await self._binding(attributes, attributes.object)

    async def _role(self, attributes: AdmissionAttributes, role: Object) -> None:
        old = attributes.old_object
        if old is not None and all(old.get(key) == role.get(key) for key in ("rules", "aggregationRule")):
            return
        if await self._may(attributes, "escalate", attributes.kind.resource.plural, attributes.name):
            return
        if role.get("aggregationRule") and self._missing(attributes, _EVERYTHING):
            raise refuse(attributes, "must have cluster-admin privileges to use an aggregationRule")
        self._check(attributes, [Rule.parse(rule) for rule in role.get("rules") or ()])

    async def _binding(self, attributes: AdmissionAttributes, binding: Object) -> None:
        old = attributes.old_object
        if old is not None and all(old.get(key) == binding.get(key) for key in ("roleRef", "subjects")):
            return
        kind, name = dig(binding, "roleRef", "kind", default=""), dig(binding, "roleRef", "name", default="")
        resource = CLUSTER_ROLES if kind == "ClusterRole" else ROLES
        if await self._may(attributes, "bind", resource.plural, name):
            return
        found = self._parts.reader.get(resource, name, attributes.namespace if resource is ROLES else "")
        if found is None:
            raise errors.not_found(resource, name)
        self._check(attributes, [Rule.parse(rule) for rule in found.get("rules") or ()])

    async def _may(self, attributes: AdmissionAttributes, verb: str, plural: str, name: str) -> bool:
        verdict = await self._parts.authorize(Attributes(
            attributes.user, verb, group=_GROUP, version="v1", resource=plural, namespace=attributes.namespace,
            name=name,
        ))
        return verdict.allowed

    def _missing(self, attributes: AdmissionAttributes, rules: Iterable[Rule]) -> list[Rule]:
        held, _ = self._rbac.index.rules_for(attributes.user, attributes.namespace)
        return uncovered(held, rules)

    def _check(self, attributes: AdmissionAttributes, rules: list[Rule]) -> None:
        missing = self._missing(attributes, rules)
        if missing:
            user = attributes.user
            groups = " ".join(quoted(group) for group in user.groups)
            raise refuse(
                attributes, f"user {quoted(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not "
                f"currently held:\n{described(missing)}",
            )


def build(parts: ServerParts) -> RBACEscalation | None:
    return RBACEscalation(parts) if parts.config.authorization else None
