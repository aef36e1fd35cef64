"""What a webhook or policy is about, compiled: rules, what they exclude, and selectors of namespaces and objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan.api.kind import Kind
from sampan.api.resources import NAMESPACES
from sampan.apimachinery import errors, selectors
from sampan.apimachinery.object import Object, labels_of
from sampan.apimachinery.selectors import Selector
from sampan.apiserver.admission.matching.rule import Rule, rules_of
from sampan.apiserver.admission.matching.version import equivalents_of
from sampan.apiserver.seams import AdmissionAttributes, ServerParts


@dataclass(frozen=True, slots=True)
class Criteria:
    """`rules` None means every write: a policy's binding need not repeat what the policy says."""

    rules: tuple[Rule, ...] | None
    excluded: tuple[Rule, ...]
    equivalent: bool
    namespaces: Selector
    objects: Selector

    @classmethod
    def of(cls, document: Object, rules: Sequence[Object] | None, excluded: Sequence[Object] | None = None) -> Criteria:
        """Of a webhook or a MatchResources document."""
        return cls(
            rules_of(rules) if rules is not None else None, rules_of(excluded),
            document.get("matchPolicy") != "Exact",
            selectors.from_document(document.get("namespaceSelector") or {}),
            selectors.from_document(document.get("objectSelector") or {}),
        )

    async def match(self, attributes: AdmissionAttributes, parts: ServerParts) -> Kind | None:
        """The kind as which the write is meant, None if it is not. Raises NotFound for a namespace that is not."""
        found = self._match_rules(attributes, parts)
        if found is None or not self._match_object(attributes):
            return None
        if self.namespaces.selects_everything:
            return found
        labels = await namespace_labels(attributes, parts)
        return found if labels is None or self.namespaces.matches(labels) else None

    def _match_rules(self, attributes: AdmissionAttributes, parts: ServerParts) -> Kind | None:
        kind = attributes.kind
        if self.excluded and _first(self.excluded, self.equivalent, attributes, parts) is not None:
            return None
        return kind if self.rules is None else _first(self.rules, self.equivalent, attributes, parts)

    def _match_object(self, attributes: AdmissionAttributes) -> bool:
        if self.objects.selects_everything:
            return True
        return any(
            obj is not None and self.objects.matches(labels_of(obj))
            for obj in (attributes.object, attributes.old_object)
        )


def _first(
    rules: Sequence[Rule], equivalent: bool, attributes: AdmissionAttributes, parts: ServerParts
) -> Kind | None:
    if any(rule.matches(attributes, attributes.kind.resource) for rule in rules):
        return attributes.kind
    if not equivalent:
        return None
    for other in equivalents_of(attributes.kind, parts):
        if any(rule.matches(attributes, other.resource) for rule in rules):
            return other
    return None


async def namespace_labels(attributes: AdmissionAttributes, parts: ServerParts) -> Mapping[str, str] | None:
    """The labels that a namespace selector looks at; None for what lives in no namespace, which is never exempt."""
    resource = attributes.kind.resource
    if resource.plural == "namespaces" and not resource.group and not attributes.subresource:
        if attributes.object is not None:
            return labels_of(attributes.object)
        return labels_of(attributes.old_object or {})
    if not attributes.namespace:
        return None
    return labels_of(await namespace_of(attributes.namespace, parts))


async def namespace_of(name: str, parts: ServerParts) -> Object:
    """Raises NotFound."""
    found = parts.reader.get(NAMESPACES, name)
    if found is None:
        await parts.reader.fresh(NAMESPACES)
        found = parts.reader.get(NAMESPACES, name)
    if found is None:
        raise errors.not_found(NAMESPACES, name)
    return found
