"""The audit policy (audit.k8s.io/v1 Policy): how much of which request is put on record.

The first rule that matches decides the level: None, Metadata (who did what when), Request (and the body that was sent)
or RequestResponse (and the answer). What no rule matches is not recorded. Users are those who really asked, before any
impersonation. Without a policy file everything but health probes is recorded at Metadata, so no Secret ever is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.object import Object
from sampan.apiserver import configuration_file
from sampan.apiserver.context import RequestContext

VERSIONS: Final = ("audit.k8s.io/v1",)
RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES: Final = (RECEIVED, STARTED, COMPLETE, PANIC)
_MEMORY: Final = 4096


class Level(enum.IntEnum):
    """How much is recorded; each holds what the ones before it hold."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def text(self) -> str:
        return _LEVEL_TEXT[self]


_LEVEL_TEXT: Final = ("None", "Metadata", "Request", "RequestResponse")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is recorded of one request."""

    level: Level
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def wants(self, stage: str) -> bool:
        return self.level is not Level.NONE and stage not in self.omit_stages


NOTHING: Final = Scope(Level.NONE)


@dataclass(frozen=True, slots=True)
class Resources:
    """A GroupResources: `pods`, `pods/log`, `*`, `*/scale`, `pods/*` of one API group, perhaps by name."""

    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]

    def match(self, ctx: RequestContext) -> bool:
        if self.group != ctx.group:
            return False
        if not self.resources:
            return True
        if self.names and ctx.name not in self.names:
            return False
        sub = ctx.subresource
        whole = f"{ctx.resource}/{sub}" if sub else ctx.resource
        wanted = {"*", whole, f"{ctx.resource}/*"} | ({f"*/{sub}"} if sub else set())
        return any(resource in wanted for resource in self.resources)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; empty parts match everything."""

    scope: Scope
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    resources: tuple[Resources, ...]
    namespaces: frozenset[str]
    urls: tuple[str, ...]

    def match(self, ctx: RequestContext) -> bool:
        user = ctx.user
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and ctx.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return ctx.is_resource and self._match_resource(ctx)
        if self.urls:
            return not ctx.is_resource and any(_covers(url, ctx.request.path) for url in self.urls)
        return True

    def _match_resource(self, ctx: RequestContext) -> bool:
        if self.namespaces and ctx.namespace not in self.namespaces:
            return False
        return not self.resources or any(one.match(ctx) for one in self.resources)


def _covers(url: str, path: str) -> bool:
    return path.startswith(url[:-1]) if url.endswith("*") else path == url


class Policy:
    """Rules in order."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._known: dict[tuple[object, ...], Scope] = {}

    def scope(self, ctx: RequestContext) -> Scope:
        """What is to be recorded of this request; remembered by what rules look at."""
        user = ctx.user
        key = (
            user and user.name, user and user.groups, ctx.verb, ctx.group, ctx.resource, ctx.subresource,
            ctx.namespace, ctx.name, "" if ctx.is_resource else ctx.request.path,
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MEMORY:
                self._known.clear()
            rule = next((rule for rule in self.rules if rule.match(ctx)), None)
            found = self._known[key] = rule.scope if rule else NOTHING
        return found


def parse(content: bytes) -> Policy:
    """A policy from its file. Raises ValueError."""
    document = configuration_file.parse(content, "Policy", VERSIONS)
    rules = document.get("rules")
    if not rules:
        raise ValueError("rules: at least one rule is required")
    return Policy(tuple(_rule(rule, document, f"rules[{at}]") for at, rule in enumerate(rules)))


def _rule(rule: Object, policy: Object, path: str) -> Rule:
    level = rule.get("level")
    if level not in _LEVEL_TEXT:
        raise ValueError(f"{path}.level: Unsupported value: {level!r}: supported values: {', '.join(_LEVEL_TEXT)}")
    omitted = [*(policy.get("omitStages") or ()), *(rule.get("omitStages") or ())]
    for stage in omitted:
        if stage not in STAGES:
            raise ValueError(f"{path}.omitStages: Invalid value: {stage!r}: allowed stages are {', '.join(STAGES)}")
    urls = tuple(rule.get("nonResourceURLs") or ())
    if urls and (rule.get("resources") or rule.get("namespaces")):
        raise ValueError(f"{path}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs")
    for url in urls:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            raise ValueError(f"{path}.nonResourceURLs: Invalid value: {url!r}")
    quiet = rule.get("omitManagedFields")
    quiet = policy.get("omitManagedFields") if quiet is None else quiet
    return Rule(
        Scope(Level(_LEVEL_TEXT.index(level)), frozenset(omitted), bool(quiet)),
        frozenset(rule.get("users") or ()), frozenset(rule.get("userGroups") or ()), frozenset(rule.get("verbs") or ()),
        tuple(_resources(one, path) for one in rule.get("resources") or ()),
        frozenset(rule.get("namespaces") or ()), urls,
    )


def _resources(document: Object, path: str) -> Resources:
    names, resources = document.get("resourceNames") or (), document.get("resources") or ()
    if names and not resources:
        raise ValueError(f"{path}.resources: using resourceNames requires at least one resource")
    group = document.get("group") or ""
    if "/" in group:
        raise ValueError(f"{path}.resources.group: Invalid value: {group!r}: must be a group without a version")
    return Resources(group, tuple(resources), tuple(names))


_EVERYTHING: Final = Scope(Level.METADATA, frozenset({RECEIVED}))
_QUIET: Final = frozenset({"/livez", "/readyz", "/healthz"})


class Default:
    """The policy where none is given."""

    def scope(self, ctx: RequestContext) -> Scope:
        return NOTHING if ctx.request.path in _QUIET else _EVERYTHING
