"""CEL over one write: the variables that expressions see, and evaluation that may ask for the caller's permissions.

Evaluation cannot wait, authorisation may have to. So a permission that is not known yet fails the evaluation; it is
then looked up and the expression evaluated again, until nothing is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sampan.api.kind import Kind
from sampan.apimachinery.cel import environment as cel
from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.budget import Budget
from sampan.apimachinery.cel.environment import Environment, Program, environment
from sampan.apimachinery.cel.errors import EvaluationError
from sampan.apimachinery.cel.extensions import authorizer
from sampan.apimachinery.cel.opaque import AUTHORIZER, RESOURCE_CHECK
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.admission.matching.request import name_of, request_of
from sampan.apiserver.admission.matching.version import shown
from sampan.apiserver.seams import AdmissionAttributes, Attributes, ServerParts

_SHARED: Final = (
    ("object", cel.DYN), ("oldObject", cel.DYN), ("request", cel.OBJECT), ("authorizer", AUTHORIZER),
    ("authorizer.requestResource", RESOURCE_CHECK),
)
_POLICY: Final = (("namespaceObject", cel.DYN), ("variables", cel.OBJECT))
_PARAMS: Final = ("params", cel.DYN)
MAX_ROUNDS: Final = 100


def webhook_environment() -> Environment:
    """For the match conditions of webhooks."""
    return environment(*_SHARED)


def policy_environment(*, params: bool) -> Environment:
    """For policies: the namespace and the policy's own variables as well, and parameters if it has any."""
    return environment(*policy_variables(params=params))


def policy_variables(*, params: bool) -> tuple[tuple[str, str], ...]:
    """The variables of policies, with their types."""
    return (*_SHARED, *_POLICY, _PARAMS) if params else (*_SHARED, *_POLICY)


class Expressions:
    """One write, ready for expressions; make it with `of`."""

    @classmethod
    async def of(cls, attributes: AdmissionAttributes, parts: ServerParts, kind: Kind) -> Expressions:
        """With the objects in the version of `kind`, as which the write was matched."""
        obj = await shown(attributes.object, attributes, kind)
        old = await shown(attributes.old_object, attributes, kind)
        made = cls(attributes, parts, kind)
        made.data |= {"object": obj, "oldObject": old}
        return made

    def __init__(self, attributes: AdmissionAttributes, parts: ServerParts, kind: Kind) -> None:
        self._attributes = attributes
        self._parts = parts
        self.data: dict[str, Any] = {
            "request": request_of(attributes, kind),
            "authorizer": authorizer.authorizer_for(),
            "authorizer.requestResource": authorizer.authorizer_for(_resource(attributes)),
        }
        self._decisions = authorizer.Decisions()
        self._activations: dict[Environment, Activation] = {}

    def activation(self, env: Environment, more: Mapping[str, Any] | None = None) -> Activation:
        """The data converted; without `more`, only once."""
        if more is not None:
            return env.activation({**self.data, **more})
        found = self._activations.get(env)
        if found is None:
            found = self._activations[env] = env.activation(self.data)
        return found

    async def value(self, program: Program, activation: Activation, budget: Budget) -> Any:
        """Raises EvaluationError."""
        for _ in range(MAX_ROUNDS):
            self._decisions.wanted.clear()
            token = authorizer.decisions.set(self._decisions)
            try:
                return budget.evaluate(program, activation, self._decisions.wanted)
            except EvaluationError:
                if not self._decisions.wanted:
                    raise
            finally:
                authorizer.decisions.reset(token)
            activation.counted.pop(program, None)
            for question in dict.fromkeys(self._decisions.wanted):
                self._decisions.known[question] = await self._decide(json.loads(question))
        raise EvaluationError("too many authorization checks")

    async def _decide(self, asked: Mapping[str, str]) -> tuple[bool, str]:
        user = self._attributes.user
        if "serviceAccount" in asked:
            user = _service_account(asked["serviceAccount"])
        if "path" in asked:
            question = Attributes(user, asked["verb"], is_resource=False, path=asked["path"])
        else:
            question = Attributes(
                user, asked["verb"], group=asked.get("group", ""), version="*", resource=asked.get("resource", ""),
                subresource=asked.get("subresource", ""), namespace=asked.get("namespace", ""),
                name=asked.get("name", ""),
            )
        verdict = await self._parts.authorize(question)
        return verdict.allowed, verdict.reason


def _resource(attributes: AdmissionAttributes) -> dict[str, str]:
    resource = attributes.kind.resource
    found = {
        "group": resource.group, "resource": resource.plural, "subresource": attributes.subresource,
        "namespace": attributes.namespace, "name": name_of(attributes),
    }
    return {key: value for key, value in found.items() if value or key == "group"}


def _service_account(text: str) -> UserInfo:
    namespace, _, name = text.partition(":")
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", groups=groups)


def described(program_text: str, error: Exception) -> str:
    """An evaluation's error as upstream reports it."""
    return f"expression '{program_text}' resulted in error: {error}"

