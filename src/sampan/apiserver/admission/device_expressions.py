"""The CEL selectors of device classes and claims must compile and not be too dear, or the object is refused as invalid.

Beside the rules in `api/`, because only the server has CEL. An expression that was there before is not judged again.
What a selector may cost is estimated from the sizes that the API allows attributes, names and domains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sampan.apimachinery import errors
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

if TYPE_CHECKING:
    from sampan.apimachinery.cel.declared import Declared
    from sampan.apimachinery.cel.environment import Program

_GROUP = "resource.k8s.io"
MAX_ATTRIBUTES: Final = 32
MAX_ATTRIBUTE_CHARACTERS: Final = 64
MAX_DRIVER_CHARACTERS: Final = 63


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
    from sampan.apimachinery.cel.environment import BOOL, OBJECT, PER_CALL_LIMIT, environment
    from sampan.apimachinery.cel.errors import CompileError

    try:
        program = environment(("device", OBJECT)).compile(text, BOOL)
    except CompileError as error:
        yield invalid(path, text, str(error))
        return
    if cost_of(program) > PER_CALL_LIMIT:
        yield forbidden(path, "too complex, exceeds cost limit")


class _Every(dict[str, "Declared"]):
    """Fields of any name, all declared alike."""

    def __init__(self, one: Declared) -> None:
        self._one = one

    def get(self, name: str, default: Any = None) -> Any:
        return self._one


def cost_of(program: Program) -> int:
    """What a selector may cost at most."""
    from sampan.apimachinery.cel.cost import Estimate
    from sampan.apimachinery.cel.declared import Declared

    attribute, capacity = Declared("dyn", MAX_ATTRIBUTE_CHARACTERS), Declared("opaque")
    attributes = Declared("map", MAX_ATTRIBUTES, fields=_Every(attribute), element=attribute)
    capacities = Declared("map", MAX_ATTRIBUTES, element=capacity)
    device = Declared("struct", fields={
        "driver": Declared("string", MAX_DRIVER_CHARACTERS),
        "attributes": Declared("map", MAX_ATTRIBUTES, element=attributes),
        "capacity": Declared("map", MAX_ATTRIBUTES, element=capacities),
    })
    return Estimate(program.tree(), device, ("device",)).cost().high


def build(parts: ServerParts) -> DeviceExpressions:
    return DeviceExpressions()
