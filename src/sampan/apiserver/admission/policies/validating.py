"""ValidatingAdmissionPolicy: expressions that must hold; what happens if one does not, its bindings say.

Deny refuses the write, Warn adds a Warning header, Audit an annotation to the audit log. The validations of a policy,
with their variables and messages, have one budget for each binding and parameter, the annotations another; what
happens when one is spent, `failurePolicy` says. Words are upstream's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from sampan.api.resources import VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS
from sampan.apimachinery.cel.budget import RUNTIME_BUDGET, Budget
from sampan.apimachinery.cel.environment import BOOL, STRING
from sampan.apimachinery.cel.errors import BudgetExceeded, CELError
from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.object import Object
from sampan.apiserver.admission.matching.expressions import described
from sampan.apiserver.admission.matching.rule import is_exempt
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.admission.policies.matching import Match, matches
from sampan.apiserver.admission.policies.policy import Binding, Policy, PolicySource
from sampan.apiserver.admission.policies.scope import Scope
from sampan.apiserver.seams import AdmissionAttributes, ServerParts

MAX_MESSAGE_BYTES: Final = 5 * 1024
FAILURES: Final = "validation.policy.admission.k8s.io/validation_failure"
_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Failure:
    """A validation that does not hold. `index` is its place in the policy, -1 for trouble with the policy itself."""

    policy: Policy
    binding: Binding
    message: str
    reason: str = ""
    index: int = -1
    fatal: bool = False
    """Refused whatever the binding's actions: the policy could not be applied at all."""

    @property
    def actions(self) -> list[str]:
        return list((self.binding.document.get("spec") or {}).get("validationActions") or ())

    @property
    def named(self) -> str:
        return f"ValidatingAdmissionPolicy '{self.policy.name}' with binding '{self.binding.name}'"


class PolicyDenied(Forbidden):
    """A policy's refusal, with the reason that the policy gives."""

    def __init__(self, failure: Failure, attributes: AdmissionAttributes) -> None:
        text = f"{failure.named} denied request: {failure.message}"
        error = refuse(attributes, text)
        self._reason = failure.reason or "Invalid"
        details = {**(error.details or {}), "causes": [{"message": text}]}
        super().__init__(error.message, details, code=_CODES.get(self._reason, 422))

    def to_status(self) -> Object:
        return {**super().to_status(), "reason": self._reason}


class ValidatingAdmissionPolicy(Plugin):
    name = "ValidatingAdmissionPolicy"

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._source = PolicySource(parts.reader, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS)

    def interested(self, attributes: AdmissionAttributes) -> bool:
        return bool(self._source.policies()) and not is_exempt(attributes)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Evaluate all that match. Raises PolicyDenied."""
        failures: list[Failure] = []
        notes: dict[str, list[str]] = {}
        for policy in self._source.policies():
            async for match in matches(policy, attributes, self._parts):
                found = await _failures(match)
                failures += found
                failures += await _annotated(match, notes)
        for key, values in notes.items():
            attributes.annotate(key, ", ".join(values))
        _enforce(failures, attributes)


def _enforce(failures: list[Failure], attributes: AdmissionAttributes) -> None:
    audited = [failure for failure in failures if "Audit" in failure.actions]
    if audited:
        attributes.annotate(FAILURES, orjson.dumps([_note(failure) for failure in audited]).decode())
    denied: Failure | None = None
    for failure in failures:
        if "Warn" in failure.actions:
            attributes.warn(f"Validation failed for {failure.named}: {failure.message}")
        if denied is None and ("Deny" in failure.actions or failure.fatal):
            denied = failure
    if denied is not None:
        raise PolicyDenied(denied, attributes)


def _note(failure: Failure) -> Object:
    return {
        "message": failure.message, "policy": failure.policy.name, "binding": failure.binding.name,
        "expressionIndex": max(failure.index, 0), "validationActions": failure.actions,
    }


async def _failures(match: Match) -> list[Failure]:
    policy, binding, scope = match.policy, match.binding, match.scope
    if scope is None:
        return [] if policy.fails_open else [Failure(policy, binding, match.problem, fatal=match.fatal)]
    budget = Budget(RUNTIME_BUDGET)
    try:
        unmet, found = await _unmet(policy, scope, budget)
    except BudgetExceeded as error:
        return [] if policy.fails_open else [Failure(policy, binding, str(error))]
    failures = {index: Failure(policy, binding, *of) for index, of in found.items()}
    for index, validation in unmet.items():
        try:
            said, reason = await _message(validation, scope, budget), str(validation.get("reason") or "")
        except BudgetExceeded as error:
            if policy.fails_open:
                continue
            said, reason = f"failed messageExpression: {error}", ""
        failures[index] = Failure(policy, binding, said, reason, index)
    return [failures[index] for index in sorted(failures)]


_Unmet: TypeAlias = dict[int, Object]
_Failed: TypeAlias = dict[int, tuple[str, str, int]]


async def _unmet(policy: Policy, scope: Scope, budget: Budget) -> tuple[_Unmet, _Failed]:
    """The validations that do not hold, and those that fail with why, by their places. Raises BudgetExceeded."""
    unmet: _Unmet = {}
    failed: _Failed = {}
    for index, validation in enumerate(policy.spec.get("validations") or ()):
        text = str(validation.get("expression") or "")
        try:
            if await scope.value(budget, text, BOOL) is not True:
                unmet[index] = validation
        except BudgetExceeded:
            raise
        except CELError as error:
            if not policy.fails_open:
                failed[index] = (described(text, error), str(validation.get("reason") or ""), index)
    return unmet, failed


async def _message(validation: Object, scope: Scope, budget: Budget) -> str:
    """What the policy says of the failure; its expression if it says nothing. Raises BudgetExceeded."""
    text = validation.get("messageExpression")
    if text:
        try:
            said: Any = await scope.value(budget, text, STRING)
        except BudgetExceeded:
            raise
        except CELError:
            said = None
        if isinstance(said, str):
            line = said.strip()
            if line and "\n" not in line and len(line.encode()) <= MAX_MESSAGE_BYTES:
                return line
    given = str(validation.get("message") or "").strip()
    return given or f"failed expression: {str(validation.get('expression') or '').strip()}"


async def _annotated(match: Match, notes: dict[str, list[str]]) -> list[Failure]:
    """Evaluate `auditAnnotations` into `notes`; those that fail."""
    policy, scope = match.policy, match.scope
    if scope is None:
        return []
    failed = []
    budget = Budget(RUNTIME_BUDGET)
    for annotation in policy.spec.get("auditAnnotations") or ():
        text = str(annotation.get("valueExpression") or "")
        try:
            value = await scope.value(budget, text)
        except BudgetExceeded as error:
            return [] if policy.fails_open else [Failure(policy, match.binding, str(error))]
        except CELError as error:
            if not policy.fails_open:
                failed.append(Failure(policy, match.binding, described(text, error)))
            continue
        if isinstance(value, str) and value.strip():
            values = notes.setdefault(f"{policy.name}/{annotation.get('key')}", [])
            if value.strip() not in values:
                values.append(value.strip())
    return failed


def build(parts: ServerParts) -> ValidatingAdmissionPolicy:
    return ValidatingAdmissionPolicy(parts)
