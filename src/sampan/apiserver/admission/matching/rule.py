"""A rule: operations, groups, versions, resources (`pods`, `pods/exec`, `*`, `*/*`), scope and, for policies, names.

Compiled once a configuration. Source: upstream's admission/plugin/webhook/predicates/rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.matching.request import name_of
from sampan.apiserver.seams import AdmissionAttributes

_ANY: Final = "*"
CONFIGURATION: Final = frozenset({
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies",
    "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
})


def is_exempt(attributes: AdmissionAttributes) -> bool:
    """Configuration of admission itself is never intercepted: a mistake in it could not be repaired.

    Nor is the pod that a Binding changes: the Binding was admitted, as the CREATE that its client sent.
    """
    resource = attributes.kind.resource
    if attributes.operation == "UPDATE" and attributes.subresource == "binding":
        return True
    return resource.group == "admissionregistration.k8s.io" and resource.plural in CONFIGURATION


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Empty `names` mean any."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    scope: str = _ANY
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rule: Object) -> Rule:
        resources = []
        for text in rule.get("resources") or ():
            plural, _, subresource = text.partition("/")
            resources.append((plural, subresource))
        return cls(
            frozenset(rule.get("operations") or ()), frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()), tuple(resources), rule.get("scope") or _ANY,
            frozenset(rule.get("resourceNames") or ()),
        )

    def matches(self, attributes: AdmissionAttributes, resource: Resource) -> bool:
        """Whether a write is meant, seen as one of `resource`, which may be an equivalent of its own."""
        return (
            (attributes.operation in self.operations or _ANY in self.operations)
            and (resource.group in self.groups or _ANY in self.groups)
            and (resource.version in self.versions or _ANY in self.versions)
            and self._means(resource.plural, attributes.subresource)
            and self._in_scope(attributes)
            and (not self.names or name_of(attributes) in self.names)
        )

    def _means(self, plural: str, subresource: str) -> bool:
        return any(
            wanted in (_ANY, plural) and view in (_ANY, subresource) for wanted, view in self.resources
        )

    def _in_scope(self, attributes: AdmissionAttributes) -> bool:
        if self.scope == _ANY:
            return True
        resource = attributes.kind.resource
        is_namespace = resource.plural == "namespaces" and not resource.group
        namespaced = bool(attributes.namespace) and not is_namespace
        return namespaced == (self.scope == "Namespaced")


def rules_of(documents: Sequence[Object] | None) -> tuple[Rule, ...]:
    return tuple(Rule.of(document) for document in documents or ())
