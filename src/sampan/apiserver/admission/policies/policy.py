"""Policies and their bindings as they are evaluated: compiled once, kept until one of them changes.

A policy does nothing until a binding names it. Expressions that do not compile, which only an older server can have
accepted, fail when they are evaluated, as `failurePolicy` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sampan.apimachinery.cel.environment import Environment, Program
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.matching.conditions import Condition, conditions_of
from sampan.apiserver.admission.matching.criteria import Criteria
from sampan.apiserver.admission.matching.expressions import policy_environment
from sampan.apiserver.admission.policies.object_literals import plain
from sampan.apiserver.seams import Reader


@dataclass(frozen=True, slots=True)
class Binding:
    """`criteria` None: wherever the policy applies."""

    name: str
    document: Object
    criteria: Criteria | None

    @classmethod
    def of(cls, document: Object) -> Binding:
        match = dig(document, "spec", "matchResources")
        criteria = Criteria.of(match, match.get("resourceRules"), match.get("excludeResourceRules")) if match else None
        return cls(name_of(document), document, criteria)


@dataclass(slots=True)
class Policy:
    """`variables` by name, in their order."""

    name: str
    document: Object
    criteria: Criteria
    env: Environment
    conditions: tuple[Condition, ...]
    variables: dict[str, str]
    bindings: list[Binding] = field(default_factory=list)

    @classmethod
    def of(cls, document: Object) -> Policy:
        spec: Object = document.get("spec") or {}
        match = spec.get("matchConstraints") or {}
        env = policy_environment(params=bool(spec.get("paramKind")))
        return cls(
            name_of(document), document,
            Criteria.of(match, match.get("resourceRules") or (), match.get("excludeResourceRules")),
            env, conditions_of(spec.get("matchConditions"), env),
            {str(one["name"]): str(one["expression"]) for one in spec.get("variables") or ()},
        )

    @property
    def spec(self) -> Object:
        found: Object = self.document.get("spec") or {}
        return found

    @property
    def fails_open(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"

    def compile(self, text: str, *returns: str) -> Program:
        """Raises CompileError."""
        return self.env.compile(plain(text), *returns)


Policies: TypeAlias = Sequence[Policy]


class PolicySource:
    """The policies that are bound, by name, out of the watch cache."""

    def __init__(self, reader: Reader, policies: Resource, bindings: Resource) -> None:
        self._reader = reader
        self._resources = (policies, bindings)
        self._watched = reader.watched(policies, bindings)
        self._policies: Policies = ()

    def policies(self) -> Policies:
        """Costs next to nothing while nothing changes."""
        if self._watched.stale:
            self._watched.stale = False
            self._policies = self._bound(*self._resources)
        return self._policies

    def _bound(self, policies: Resource, bindings: Resource) -> Policies:
        by_policy: dict[str, list[Object]] = {}
        for document in sorted(self._reader.list(bindings), key=name_of):
            by_policy.setdefault(str(dig(document, "spec", "policyName", default="")), []).append(document)
        if not by_policy:
            return ()
        found = []
        for document in sorted(self._reader.list(policies), key=name_of):
            if name_of(document) in by_policy:
                policy = Policy.of(document)
                policy.bindings = [Binding.of(one) for one in by_policy[policy.name]]
                found.append(policy)
        return found
