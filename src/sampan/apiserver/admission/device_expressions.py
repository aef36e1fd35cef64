"""The CEL selectors of device classes and claims must compile, or the object is refused as invalid.

Beside the rules in `api/`, because only the server has CEL. An expression that was there before is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from sampan.apimachinery import errors
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

_GROUP = "resource.k8s.io"


class DeviceExpressions(Plugin):
    name = "DeviceExpressions"
    resources = frozenset({
        (_GROUP, "deviceclasses"), (_GROUP, "resourceclaims"), (_GROUP, "resourceclaimtemplates"),
    })
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        obj = attributes.object
        assert obj is not None
        known = {text for _, text in expressions_of(attributes.old_object or {})}
        found = [
            problem for path, text in expressions_of(obj) if text not in known for problem in _problems(path, text)
        ]
        if found:
            raise errors.invalid(attributes.kind.resource, name_of(obj), found)


def expressions_of(obj: Object) -> Iterator[tuple[Path, str]]:
    """Every selector's expression, with where it stands."""
    spec: Object = obj.get("spec") or {}
    path = Path("spec")
    yield from _selectors(spec, path)
    if isinstance(spec.get("spec"), dict):
        spec, path = spec["spec"], path.child("spec")
    for position, request in enumerate(dig(spec, "devices", "requests", default=())):
        here = path.child("devices", "requests").index(position)
        yield from _selectors(request.get("exactly") or {}, here.child("exactly"))
        for number, alternative in enumerate(request.get("firstAvailable") or ()):
            yield from _selectors(alternative, here.child("firstAvailable").index(number))


def _selectors(holder: Object, path: Path) -> Iterator[tuple[Path, str]]:
    for position, selector in enumerate(holder.get("selectors") or ()):
        text = dig(selector, "cel", "expression")
        if text:
            yield path.child("selectors").index(position).child("cel", "expression"), str(text)


def _problems(path: Path, text: str) -> Iterator[FieldError]:
    # CEL is loaded by the first expression, not with the server.
    from sampan.apimachinery.cel.environment import BOOL, OBJECT, environment
    from sampan.apimachinery.cel.errors import CompileError

    try:
        environment(("device", OBJECT)).compile(text, BOOL)
    except CompileError as error:
        yield invalid(path, text, str(error))


def build(parts: ServerParts) -> DeviceExpressions:
    return DeviceExpressions()
