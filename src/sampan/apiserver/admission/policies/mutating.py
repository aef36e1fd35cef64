"""MutatingAdmissionPolicy: expressions that change a write, by an apply configuration or a JSON patch.

Each evaluation sees what those before it did; see `reinvocation` for the second round. An apply configuration is merged
as server-side apply merges, by list keys; it may not replace what is atomic, since that would drop the rest of it.
"""

from __future__ import annotations

from typing import Any

from sampan.api.resources import MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS
from sampan.apimachinery.apply import values
from sampan.apimachinery.cel.budget import RUNTIME_BUDGET, Budget
from sampan.apimachinery.cel.errors import BudgetExceeded, CELError
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import Object
from sampan.apimachinery.patch import apply_json_patch
from sampan.apimachinery.schema.compile import Schema
from sampan.apiserver.admission.matching.expressions import described
from sampan.apiserver.admission.matching.rule import is_exempt
from sampan.apiserver.admission.matching.version import taken
from sampan.apiserver.admission.mutation import replace
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.admission.policies.matching import Match, matches
from sampan.apiserver.admission.policies.policy import PolicySource
from sampan.apiserver.bodies import schema_of
from sampan.apiserver.reinvocation import Reinvocation
from sampan.apiserver.seams import AdmissionAttributes, ServerParts


class MutationFailed(Exception):
    """A mutation that cannot be; `str` says why."""


class MutatingAdmissionPolicy(Plugin):
    name = "MutatingAdmissionPolicy"

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._source = PolicySource(parts.reader, MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS)

    def interested(self, attributes: AdmissionAttributes) -> bool:
        return bool(self._source.policies()) and attributes.object is not None and not is_exempt(attributes)

    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Apply all that match. Raises Forbidden."""
        again = attributes.reinvocation or Reinvocation()
        attributes.reinvocation = again
        turns = again.turns(self.name)
        if again.round:
            turns.begin(attributes.object)
        for policy in self._source.policies():
            async for match in matches(policy, attributes, self._parts):
                if again.round and match.key not in turns.due:
                    continue
                if await self._apply(match, attributes):
                    turns.changed()
                    again.wanted = True
                if policy.spec.get("reinvocationPolicy") == "IfNeeded":
                    turns.invoked.add(match.key)
        turns.end(attributes.object)

    async def _apply(self, match: Match, attributes: AdmissionAttributes) -> bool:
        """Whether it changed anything. Raises Forbidden, unless the policy fails open."""
        try:
            if match.scope is None:
                raise MutationFailed(match.problem)
            return await _mutate(match, attributes, self._parts)
        except (MutationFailed, CELError, APIError) as error:
            if match.policy.fails_open:
                return False
            why = f"policy '{match.policy.name}' with binding '{match.binding.name}' denied request: {error}"
            raise refuse(attributes, why) from None


async def _mutate(match: Match, attributes: AdmissionAttributes, parts: ServerParts) -> bool:
    scope = match.scope
    assert scope is not None
    kind = await match.policy.criteria.match(attributes, parts)
    if kind is None:
        return False
    before: Object = scope.expressions.data["object"]
    obj = before
    for mutation in match.policy.spec.get("mutations") or ():
        scope.expressions.data["object"] = obj
        scope.forget()
        if mutation.get("patchType") == "JSONPatch":
            text = str((mutation.get("jsonPatch") or {}).get("expression") or "")
            obj = apply_json_patch(obj, _operations(await _value(match, text)))
        else:
            text = str((mutation.get("applyConfiguration") or {}).get("expression") or "")
            obj = _merged(obj, await _value(match, text), schema_of(kind))
    return obj != before and replace(attributes, await taken(obj, attributes, kind))


async def _value(match: Match, text: str) -> Any:
    assert match.scope is not None
    try:
        return await match.scope.value(Budget(RUNTIME_BUDGET), text)
    except BudgetExceeded as error:
        raise MutationFailed(str(error)) from None
    except CELError as error:
        raise MutationFailed(described(text, error)) from None


def _operations(value: Any) -> list[Object]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise MutationFailed("the expression's value is no list of JSONPatch")
    return value


def _merged(obj: Object, configuration: Any, schema: Schema | None) -> Object:
    if not isinstance(configuration, dict):
        raise MutationFailed("the expression's value is no Object")
    for field in ("apiVersion", "kind"):
        if field in configuration:
            raise MutationFailed(f"{field} may not be set by an apply configuration")
    _refuse_atomic(configuration, obj, schema, "")
    merged: Object = values.merge(obj, configuration, schema)
    return merged


def _refuse_atomic(value: Any, live: Any, schema: Schema | None, path: str) -> None:
    """What is atomic would be replaced whole, with all that the expression does not mention. Raises MutationFailed."""
    if schema is None or live is None:
        return
    if isinstance(value, dict | list) and not schema.granular and path:
        raise MutationFailed(f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {path}")
    if isinstance(value, dict) and isinstance(live, dict):
        for key, item in value.items():
            _refuse_atomic(item, live.get(key), schema.child(key), f"{path}.{key}")
    elif isinstance(value, list) and isinstance(live, list) and schema.granular == "items":
        present = {values.element_of(item, schema): item for item in live}
        for item in value:
            _refuse_atomic(item, present.get(values.element_of(item, schema)), schema.items, path)


def build(parts: ServerParts) -> MutatingAdmissionPolicy:
    return MutatingAdmissionPolicy(parts)
