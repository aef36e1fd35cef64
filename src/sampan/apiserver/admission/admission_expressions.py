"""The CEL expressions of webhook configurations and policies must compile, or the configuration is refused as invalid.

Beside the rules in `api/`, because only the server has CEL. An update that leaves an expression alone is not refused
for it: what an older server accepted stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeAlias

from sampan.apimachinery import errors
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, name_of
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

_GROUP = "admissionregistration.k8s.io"
Expression: TypeAlias = tuple[Path, str, tuple[str, ...]]
"""Where it stands, what it says, which types it may have (any if none)."""


class AdmissionExpressions(Plugin):
    name = "AdmissionExpressions"
    resources = frozenset({
        (_GROUP, "mutatingwebhookconfigurations"), (_GROUP, "validatingwebhookconfigurations"),
        (_GROUP, "validatingadmissionpolicies"), (_GROUP, "mutatingadmissionpolicies"),
    })
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        obj = attributes.object
        assert obj is not None
        known = {text for _, text, _ in expressions_of(attributes.old_object or {})}
        found = [
            problem for expression in expressions_of(obj) if expression[1] not in known
            for problem in _problems(expression, obj)
        ]
        if found:
            raise errors.invalid(attributes.kind.resource, name_of(obj), found)


def expressions_of(obj: Object) -> Iterator[Expression]:
    """All expressions of a configuration or policy."""
    for index, webhook in enumerate(obj.get("webhooks") or ()):
        yield from _conditions(webhook, Path("webhooks").index(index))
    spec: Object = obj.get("spec") or {}
    path = Path("spec")
    yield from _conditions(spec, path)
    yield from _listed(spec, path, "variables", ("expression",), ())
    yield from _listed(spec, path, "validations", ("expression",), ("bool",))
    yield from _listed(spec, path, "validations", ("messageExpression",), ("string",))
    yield from _listed(spec, path, "auditAnnotations", ("valueExpression",), ("string", "null_type", "null"))
    yield from _listed(spec, path, "mutations", ("applyConfiguration", "expression"), ())
    yield from _listed(spec, path, "mutations", ("jsonPatch", "expression"), ())


def _conditions(holder: Object, path: Path) -> Iterator[Expression]:
    yield from _listed(holder, path, "matchConditions", ("expression",), ("bool",))


def _listed(
    holder: Object, path: Path, name: str, fields: Sequence[str], returns: tuple[str, ...]
) -> Iterator[Expression]:
    for index, entry in enumerate(holder.get(name) or ()):
        value: Any = entry
        for field in fields:
            value = (value or {}).get(field)
        if value:
            yield path.child(name).index(index).child(*fields), str(value), returns


def _problems(expression: Expression, obj: Object) -> Iterator[FieldError]:
    # CEL is loaded by the first expression, not with the server.
    from sampan.apimachinery.cel.errors import CompileError
    from sampan.apiserver.admission.matching.expressions import policy_environment, webhook_environment
    from sampan.apiserver.admission.policies.object_literals import plain

    path, text, returns = expression
    spec = obj.get("spec")
    env = webhook_environment() if spec is None else policy_environment(params=bool(spec.get("paramKind")))
    try:
        env.compile(plain(text), *returns)
    except CompileError as error:
        yield invalid(path, text, str(error))


def build(parts: ServerParts) -> AdmissionExpressions:
    return AdmissionExpressions()
