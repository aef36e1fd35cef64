"""Device selectors: CEL expressions over `device.driver`, `device.attributes` and `device.capacity`.

Attributes and capacities are found by domain and name, `device.attributes["gpu.example.com"].model`; what the driver
did not qualify is in the driver's own domain, and a domain that a device knows nothing of is empty. Versions are semver
values, capacities quantities. A selector that cannot be compiled or evaluated makes the claim unallocatable, and
`SelectorError` says why.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from sampan.apimachinery.cel import opaque
from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.counting.values import WithDefault
from sampan.apimachinery.cel.environment import BOOL, OBJECT, Environment, environment
from sampan.apimachinery.cel.errors import CompileError, EvaluationError
from sampan.apimachinery.object import Object
from sampan.apimachinery.quantity import Quantity
from sampan.scheduler.devices.device import Device


class SelectorError(Exception):
    """An expression is wrong, or makes no sense for a device."""


class Selectors:
    """Evaluates selectors; remembers what each device looks like to CEL for as long as it lives."""

    def __init__(self) -> None:
        self._activations: dict[int, tuple[Device, Activation]] = {}

    def match(self, device: Device, selectors: Iterable[Object], whose: str) -> bool:
        """Whether all selectors select the device. Raises SelectorError, naming `whose` selector it is."""
        for position, selector in enumerate(selectors):
            text = (selector.get("cel") or {}).get("expression") or ""
            try:
                if not _holds(text, self._activation(device)):
                    return False
            except (CompileError, EvaluationError) as error:
                raise SelectorError(f"{whose}: selector #{position}: {error}") from None
        return True

    def _activation(self, device: Device) -> Activation:
        known = self._activations.get(id(device))
        if known is None or known[0] is not device:
            made = _environment().activation({"device": _as_seen(device)})
            known = self._activations[id(device)] = (device, made)
        return known[1]


def _holds(text: str, activation: Activation) -> bool:
    """Raises CompileError, EvaluationError."""
    program = _environment().compile(text, BOOL)
    try:
        return program.evaluate(activation) is True
    except EvaluationError:
        # The library knows no maps with defaults: a domain that is not there can be nothing else than an error to it.
        found = program.counted(activation)
        if found.error is not None:
            raise found.error from None
        return found.value is True


@functools.cache
def _environment() -> Environment:
    return environment(("device", OBJECT))


def _as_seen(device: Device) -> Object:
    """The `device` variable."""
    attributes: dict[str, dict[str, Any]] = {device.driver: {}}
    capacity: dict[str, dict[str, Any]] = {device.driver: {}}
    for name, value in (device.document.get("attributes") or {}).items():
        domain, short = _qualified(name, device.driver)
        attributes.setdefault(domain, {})[short] = _attribute(value)
    for name, value in (device.document.get("capacity") or {}).items():
        domain, short = _qualified(name, device.driver)
        amount = Quantity.parse(value["value"] if isinstance(value, dict) else value)
        capacity.setdefault(domain, {})[short] = opaque.pack(opaque.QUANTITY, str(amount.nanos))
    return {"driver": device.driver, "attributes": WithDefault(attributes), "capacity": WithDefault(capacity)}


def _qualified(name: str, driver: str) -> tuple[str, str]:
    domain, _, short = name.rpartition("/")
    return domain or driver, short


def _attribute(value: Object) -> Any:
    kind, content = next(iter(value.items()))
    return opaque.pack(opaque.SEMVER, str(content)) if kind == "version" else content
