"""The caller's permissions: `authorizer.group("apps").resource("deployments").check("create").allowed()`.

Authorisation may have to ask elsewhere, evaluation cannot wait. So a decision that is not known yet is noted and fails
the evaluation; whoever evaluates gets the noted decisions made and evaluates again. See `cel.permissions`.
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.apimachinery.cel.function import method
from sampan.apimachinery.cel.opaque import (
    AUTHORIZER,
    DECISION,
    GROUP_CHECK,
    PATH_CHECK,
    RESOURCE_CHECK,
    pack,
    text_of,
)


@dataclass(slots=True)
class Decisions:
    """What is known: (allowed, reason) by the check's text; and which checks are wanted."""

    known: dict[str, tuple[bool, str]] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)


decisions: contextvars.ContextVar[Decisions] = contextvars.ContextVar("decisions")
"""Those of the evaluation that runs."""


def authorizer_for(fixed: Mapping[str, str] | None = None) -> Any:
    """The value of `authorizer`; with `fixed`, that of `authorizer.requestResource`."""
    if fixed is None:
        return pack(AUTHORIZER, "{}")
    return pack(RESOURCE_CHECK, json.dumps(dict(fixed), sort_keys=True))


def _with(type: str, key: str) -> Any:
    def run(target: Any, value: str) -> Any:
        return pack(type, json.dumps({**json.loads(text_of(target)), key: value}, sort_keys=True))

    return run


def _service_account(target: Any, namespace: str, name: str) -> Any:
    return pack(AUTHORIZER, json.dumps({"serviceAccount": f"{namespace}:{name}"}))


def _check(target: Any, verb: str) -> Any:
    question = json.dumps({**json.loads(text_of(target)), "verb": verb}, sort_keys=True)
    state = decisions.get()
    if question not in state.known:
        state.wanted.append(question)
        raise ValueError("decision pending")
    return pack(DECISION, json.dumps(state.known[question]))


def _reason(target: Any) -> str:
    return str(json.loads(text_of(target))[1])


FUNCTIONS = (
    method("path", (AUTHORIZER, "string"), PATH_CHECK, _with(PATH_CHECK, "path")),
    method("group", (AUTHORIZER, "string"), GROUP_CHECK, _with(GROUP_CHECK, "group")),
    method("serviceAccount", (AUTHORIZER, "string", "string"), AUTHORIZER, _service_account),
    method("resource", (GROUP_CHECK, "string"), RESOURCE_CHECK, _with(RESOURCE_CHECK, "resource")),
    method("subresource", (RESOURCE_CHECK, "string"), RESOURCE_CHECK, _with(RESOURCE_CHECK, "subresource")),
    method("namespace", (RESOURCE_CHECK, "string"), RESOURCE_CHECK, _with(RESOURCE_CHECK, "namespace")),
    method("name", (RESOURCE_CHECK, "string"), RESOURCE_CHECK, _with(RESOURCE_CHECK, "name")),
    method("check", (RESOURCE_CHECK, "string"), DECISION, _check),
    method("check", (PATH_CHECK, "string"), DECISION, _check),
    method("allowed", (DECISION,), "bool", lambda target: bool(json.loads(text_of(target))[0])),
    method("reason", (DECISION,), "string", _reason),
    method("errored", (DECISION,), "bool", lambda target: False),
    method("error", (DECISION,), "string", lambda target: ""),
)
