"""A webhook as it is called: one entry of a configuration, compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sampan.api.kind import Kind
from sampan.apimachinery.object import Object, name_of
from sampan.apiserver.admission.matching.criteria import Criteria
from sampan.apiserver.admission.plugin import refuse
from sampan.apiserver.seams import AdmissionAttributes, ServerParts

if TYPE_CHECKING:  # CEL is loaded by the first condition
    from sampan.apiserver.admission.matching.conditions import Condition


@dataclass(slots=True)
class Webhook:
    """`key` is unique among all webhooks of all configurations."""

    configuration: str
    name: str
    document: Object
    criteria: Criteria
    _conditions: tuple[Condition, ...] | None = field(default=None)

    @classmethod
    def of(cls, configuration: Object, document: Object) -> Webhook:
        return cls(
            name_of(configuration), str(document.get("name", "")), document,
            Criteria.of(document, document.get("rules") or ()),
        )

    @property
    def key(self) -> tuple[str, str]:
        return self.configuration, self.name

    @property
    def fails_open(self) -> bool:
        return self.document.get("failurePolicy") == "Ignore"

    @property
    def timeout_s(self) -> float:
        return float(self.document.get("timeoutSeconds") or 10)

    @property
    def reinvoked(self) -> bool:
        return self.document.get("reinvocationPolicy") == "IfNeeded"

    @property
    def has_side_effects(self) -> bool:
        """Whether it may not be called for a dry run."""
        return self.document.get("sideEffects") not in ("None", "NoneOnDryRun")

    @property
    def review_version(self) -> str:
        """The first that the webhook names and this server speaks."""
        versions = self.document.get("admissionReviewVersions") or ()
        return next((version for version in versions if version in ("v1", "v1beta1")), "v1")

    async def match(self, attributes: AdmissionAttributes, parts: ServerParts) -> Kind | None:
        """The kind as which it is to be called, None if it is not. Raises Forbidden for a condition that fails."""
        kind = await self.criteria.match(attributes, parts)
        if kind is None or not self.document.get("matchConditions"):
            return kind
        return kind if await self._conditions_hold(attributes, parts, kind) else None

    async def _conditions_hold(self, attributes: AdmissionAttributes, parts: ServerParts, kind: Kind) -> bool:
        from sampan.apiserver.admission.matching import conditions, expressions

        env = expressions.webhook_environment()
        if self._conditions is None:
            self._conditions = conditions.conditions_of(self.document["matchConditions"], env)
        evaluated = await expressions.Expressions.of(attributes, parts, kind)
        activation: Any = evaluated.activation(env)
        try:
            return await conditions.hold(self._conditions, evaluated, activation)
        except conditions.ConditionFailed as error:
            if self.fails_open:
                return False
            raise refuse(attributes, str(error)) from None
