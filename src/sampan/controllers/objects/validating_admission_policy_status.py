"""ValidatingAdmissionPolicy status: tells which expressions of a policy cannot fit the kinds that it matches.

Observed: policies. Desired: each generation has been type-checked once and its warnings are in `status.typeChecking`;
`observedGeneration` says that the policy is looked at at all. A status that is behind is written. The check itself is
the API server's knowledge of CEL and is given from outside; without one a policy is only marked as seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sampan.api.resources import VALIDATING_ADMISSION_POLICIES
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

TypeCheck: TypeAlias = Callable[[Object], Sequence[Object]]


def is_seen(policy: Object) -> bool:
    return int(dig(policy, "status", "observedGeneration", default=0)) >= int(meta(policy).get("generation", 0))


def plan(policy: Object, warnings: Sequence[Object]) -> Plan:
    """Write the warnings of the policy's present generation."""
    status = {
        **(policy.get("status") or {}), "observedGeneration": meta(policy).get("generation", 0),
        "typeChecking": {"expressionWarnings": list(warnings)} if warnings else {},
    }
    return Plan((Update(VALIDATING_ADMISSION_POLICIES, {**policy, "status": status}, subresource="status"),))


class ValidatingAdmissionPolicyStatus:
    """Keys are policies."""

    def __init__(self, wiring: Wiring, check: TypeCheck | None) -> None:
        self._policies = wiring.watch(VALIDATING_ADMISSION_POLICIES)
        self._check = check

    async def reconcile(self, key: str) -> Plan:
        policy = self._policies.get_by_key(key)
        if policy is None or is_being_deleted(policy) or is_seen(policy):
            return NOTHING
        return plan(policy, self._check(policy) if self._check else ())
