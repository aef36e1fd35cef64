"""Which policies, bindings and parameters concern a write: one `Match` for each evaluation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.apiserver.admission.matching.conditions import ConditionFailed, hold
from sampan.apiserver.admission.matching.criteria import namespace_of as find_namespace
from sampan.apiserver.admission.matching.expressions import Expressions
from sampan.apiserver.admission.policies.parameters import Unconfigured, parameters_of
from sampan.apiserver.admission.policies.policy import Binding, Policy
from sampan.apiserver.admission.policies.scope import Scope
from sampan.apiserver.seams import AdmissionAttributes, ServerParts


@dataclass(frozen=True, slots=True)
class Match:
    """One evaluation. `problem` is set, and `scope` None, where it cannot even begin."""

    policy: Policy
    binding: Binding
    scope: Scope | None
    problem: str = ""
    params: Object | None = None
    fatal: bool = False
    """Whether the binding is to blame, rather than a match condition."""

    @property
    def key(self) -> tuple[str, ...]:
        """Unique among all evaluations of a write."""
        params = self.params or {}
        return self.policy.name, self.binding.name, namespace_of(params), name_of(params) if self.params else ""


async def matches(
    policy: Policy, attributes: AdmissionAttributes, parts: ServerParts
) -> AsyncIterator[Match]:
    """The evaluations that a write needs, in order; the object is looked at when each one's turn comes."""
    kind = await policy.criteria.match(attributes, parts)
    if kind is None:
        return
    for binding in policy.bindings:
        if binding.criteria is not None and await binding.criteria.match(attributes, parts) is None:
            continue
        try:
            found = await parameters_of(policy, binding, attributes, parts)
        except Unconfigured as error:
            yield Match(policy, binding, None, f"failed to configure binding: {error}", fatal=True)
            continue
        namespace = await find_namespace(attributes.namespace, parts) if attributes.namespace else None
        for params in found:
            scope = Scope(policy, await Expressions.of(attributes, parts, kind), params, namespace)
            try:
                if await hold(policy.conditions, scope.expressions, scope.activation()):
                    yield Match(policy, binding, scope, params=params)
            except ConditionFailed as error:
                yield Match(policy, binding, None, str(error), params)
