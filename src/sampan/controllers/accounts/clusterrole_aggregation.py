"""ClusterRole aggregation: a role with an `aggregationRule` has the rules of all roles that its selectors match.

Observed: ClusterRoles and their labels. Desired: the rules of an aggregated role are those of the others, selector by
selector and role by role in the order of names, each once; else they are applied, so that the rules, and nothing else
of the role, are this loop's own among its managed fields. Whoever labels a role with, say,
`rbac.authorization.k8s.io/aggregate-to-edit` thereby adds to what `edit` allows.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.resources import CLUSTER_ROLES
from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, is_being_deleted, labels_of, name_of, uid_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Patch, Plan


def plan(role: Object, roles: Sequence[Object]) -> Plan:
    """Give the role the rules of those it aggregates."""
    if not role.get("aggregationRule") or is_being_deleted(role):
        return NOTHING
    wanted = rules_of(role, roles)
    if wanted == (role.get("rules") or []):
        return NOTHING
    applied = {
        "apiVersion": CLUSTER_ROLES.api_version, "kind": CLUSTER_ROLES.kind,
        "metadata": {"name": name_of(role), "uid": uid_of(role)}, "rules": wanted,
    }
    return Plan((Patch(CLUSTER_ROLES, name_of(role), "", applied, "apply"),))


def rules_of(role: Object, roles: Sequence[Object]) -> list[Object]:
    """The rules that the role should have."""
    found: list[Object] = []
    for document in role["aggregationRule"].get("clusterRoleSelectors") or ():
        selector = selectors.from_document(document)
        for one in sorted(roles, key=name_of):
            if name_of(one) != name_of(role) and selector.matches(labels_of(one)):
                for rule in one.get("rules") or ():
                    if rule not in found:
                        found.append(rule)
    return found


class ClusterRoleAggregation:
    """Keys are ClusterRoles; every role concerns all that aggregate."""

    def __init__(self, wiring: Wiring) -> None:
        self._roles = wiring.watch(CLUSTER_ROLES, lambda role: self._aggregating())

    async def reconcile(self, key: str) -> Plan:
        role = self._roles.get_by_key(key)
        return NOTHING if role is None else plan(role, self._roles.list())

    def _aggregating(self) -> list[str]:
        return sorted(name_of(role) for role in self._roles.list() if role.get("aggregationRule"))
