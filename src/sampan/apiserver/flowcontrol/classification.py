"""Which priority level a request belongs to: flow schemas tried in the order of their precedence.

Schemas are compiled once and a request's answer is remembered by what the rules look at, so an ordinary request costs
one look-up; everything is dropped when a schema or level changes. A schema whose level does not exist is passed over.
The mandatory objects are there even while nobody has stored them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sampan.api.flowcontrol.mandatory import SPECS
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, name_of, uid_of
from sampan.apiserver.context import RequestContext
from sampan.apiserver.flowcontrol.priority_level import PriorityLevel

MEMORY: Final = 8192
_ACCOUNT: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Subject:
    """Users, groups or accounts, `*` for all of them."""

    kind: str
    name: str
    namespace: str = ""

    @classmethod
    def of(cls, document: Object) -> Subject:
        field = {"User": "user", "Group": "group"}.get(document["kind"], "serviceAccount")
        named = document.get(field) or {}
        return cls(document["kind"], named.get("name", ""), named.get("namespace", ""))

    def match(self, user: UserInfo) -> bool:
        if self.kind == "User":
            return self.name in ("*", user.name)
        if self.kind == "Group":
            return self.name == "*" or self.name in user.groups
        prefix = f"{_ACCOUNT}{self.namespace}:"
        return user.name.startswith(prefix) if self.name == "*" else user.name == prefix + self.name


def _in(values: Iterable[str], value: str) -> bool:
    return "*" in values or value in values


@dataclass(frozen=True, slots=True)
class FlowSchema:
    """A compiled schema and the level it leads to."""

    name: str
    uid: str
    precedence: int
    method: str
    rules: tuple[tuple[tuple[Subject, ...], tuple[Object, ...], tuple[Object, ...]], ...]
    level: PriorityLevel

    @classmethod
    def of(cls, document: Object, level: PriorityLevel) -> FlowSchema:
        spec = document["spec"]
        rules = tuple(
            (tuple(Subject.of(one) for one in rule.get("subjects") or ()), tuple(rule.get("resourceRules") or ()),
             tuple(rule.get("nonResourceRules") or ()))
            for rule in spec.get("rules") or ()
        )
        method = (spec.get("distinguisherMethod") or {}).get("type", "")
        precedence = int(spec.get("matchingPrecedence") or 1000)
        return cls(name_of(document), uid_of(document), precedence, method, rules, level)

    def match(self, user: UserInfo, ctx: RequestContext) -> bool:
        asked = _resource_rule if ctx.is_resource else _path_rule
        return any(
            any(asked(rule, ctx) for rule in (resources if ctx.is_resource else paths))
            and any(subject.match(user) for subject in subjects)
            for subjects, resources, paths in self.rules
        )

    def flow(self, user: UserInfo, ctx: RequestContext) -> str:
        """What tells flows of this schema apart."""
        if self.method == "ByUser":
            return user.name
        return ctx.namespace if self.method == "ByNamespace" else ""


def _resource_rule(rule: Object, ctx: RequestContext) -> bool:
    resource = f"{ctx.resource}/{ctx.subresource}" if ctx.subresource else ctx.resource
    if not (_in(rule["verbs"], ctx.verb) and _in(rule["apiGroups"], ctx.group) and _in(rule["resources"], resource)):
        return False
    if not ctx.namespace:
        return bool(rule.get("clusterScope"))
    return _in(rule.get("namespaces") or (), ctx.namespace)


def _path_rule(rule: Object, ctx: RequestContext) -> bool:
    path = ctx.request.path
    return _in(rule["verbs"], ctx.verb) and any(
        url in ("*", path) or (url.endswith("/*") and path.startswith(url[:-1])) for url in rule["nonResourceURLs"]
    )


class Classifier:
    """All schemas of one moment."""

    def __init__(self, schemas: Iterable[Object], levels: dict[str, PriorityLevel]) -> None:
        documents = {name_of(one): one for one in schemas}
        for (kind, name), spec in SPECS.items():
            if kind == "FlowSchema":
                documents.setdefault(name, {"metadata": {"name": name}, "spec": spec})
        found = []
        for document in documents.values():
            level = levels.get((document["spec"].get("priorityLevelConfiguration") or {}).get("name", ""))
            if level is not None:
                found.append(FlowSchema.of(document, level))
        self._schemas = sorted(found, key=lambda schema: (schema.precedence, schema.name))
        self._known: dict[tuple[object, ...], FlowSchema] = {}

    def schema(self, user: UserInfo, ctx: RequestContext) -> FlowSchema:
        """The first schema that matches; at last `catch-all`, which matches everybody who went through
        authentication."""
        key = (
            user.name, user.groups, ctx.verb, ctx.resource, ctx.group, ctx.subresource, ctx.namespace,
            "" if ctx.is_resource else ctx.request.path,
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MEMORY:
                self._known.clear()
            last = self._schemas[-1]
            found = self._known[key] = next((one for one in self._schemas if one.match(user, ctx)), last)
        return found
