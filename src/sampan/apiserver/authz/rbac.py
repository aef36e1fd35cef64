"""Role-based access control: the roles and bindings in the server's own watch cache decide.

The compiled index and the decisions made with it are kept while none of the four kinds changes (`Reader.version`); a
changed role takes effect on the next request. Decisions are remembered by question, at most `MEMORY` of them.
"""

from __future__ import annotations

from typing import TypeAlias

from sampan.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.authz.rbac_index import RBACIndex
from sampan.apiserver.authz.rules import Rule
from sampan.apiserver.seams import Attributes, KnownRules, Reader, ServerParts, Verdict

MEMORY = 8192

Question: TypeAlias = tuple[object, ...]
_KINDS = (CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS)


class RBAC:
    """The RBAC authoriser; `index` is also what the rules review and the escalation check read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._watched = reader.watched(*_KINDS)
        self._index: RBACIndex | None = None
        self._decided: dict[Question, Verdict] = {}

    @property
    def index(self) -> RBACIndex:
        """Up to date with the watch cache."""
        if self._index is None or self._watched.stale:
            self._watched.stale = False
            self._index = RBACIndex.of(*(self._reader.list(kind) for kind in _KINDS))
            self._decided.clear()
        return self._index

    async def authorize(self, attributes: Attributes) -> Verdict:
        verdict = self._decide(attributes)
        if not verdict.allowed:
            # What would allow it may have been written just before and not show in the cache yet.
            await self._reader.fresh(ROLE_BINDINGS)
            verdict = self._decide(attributes)
        return verdict

    def rules(self, user: UserInfo, namespace: str) -> KnownRules:
        rules, problems = self.index.rules_for(user, namespace)
        return KnownRules(
            [_shown(rule) for rule in rules if not rule.urls],
            [{"verbs": sorted(rule.verbs), "nonResourceURLs": list(rule.urls)} for rule in rules if rule.urls],
            bool(problems), problems,
        )

    def _decide(self, attributes: Attributes) -> Verdict:
        index = self.index
        user = attributes.user
        question = (
            user.name, user.groups, attributes.verb, attributes.group, attributes.resource, attributes.subresource,
            attributes.namespace, attributes.name, attributes.path if not attributes.is_resource else None,
        )
        verdict = self._decided.get(question)
        if verdict is None:
            verdict = index.authorize(attributes)
            if len(self._decided) >= MEMORY:
                self._decided.clear()
            self._decided[question] = verdict
        return verdict


def _shown(rule: Rule) -> Object:
    """A rule about resources, as it was written."""
    found: Object = {
        "verbs": sorted(rule.verbs), "apiGroups": sorted(rule.groups), "resources": sorted(rule.resources),
    }
    if rule.names:
        found["resourceNames"] = sorted(rule.names)
    return found


def build(parts: ServerParts) -> RBAC:
    return RBAC(parts.reader)
