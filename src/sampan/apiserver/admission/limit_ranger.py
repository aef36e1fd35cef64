"""LimitRanges of a namespace: default requests and limits of containers, bounds for containers, pods and claims.

Defaults go in before the object is validated; bounds are checked on the final one. Messages as upstream words them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from sampan.api.resources import LIMIT_RANGES
from sampan.apimachinery.object import Object, dig, meta
from sampan.apimachinery.quantity import Quantity
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

NOTE = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"
    resources = frozenset({("", "pods"), ("", "persistentvolumeclaims")})
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "resize"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._watched = reader.watched(LIMIT_RANGES)
        self._limits: dict[str, list[Object]] = {}

    async def admit(self, attributes: AdmissionAttributes) -> None:
        if attributes.operation == "CREATE" and attributes.kind.resource.plural == "pods":
            assert attributes.object is not None
            for limit_range in self._of(attributes.namespace):
                _default(attributes.object, limit_range)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        obj = attributes.object
        if obj is None or meta(obj).get("deletionTimestamp"):
            return
        pods = attributes.kind.resource.plural == "pods"
        if pods and attributes.operation == "UPDATE" and not attributes.subresource:
            # A pod's resources change through the resize subresource only.
            return
        problems = [
            problem for limit_range in self._of(attributes.namespace)
            for limit in dig(limit_range, "spec", "limits", default=())
            for problem in (_pod_problems(obj, limit) if pods else _claim_problems(obj, limit))
        ]
        if problems:
            raise refuse(attributes, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")

    def _of(self, namespace: str) -> list[Object]:
        if self._watched.stale:
            self._watched.stale = False
            self._limits.clear()
        if namespace not in self._limits:
            self._limits[namespace] = list(self._reader.list(LIMIT_RANGES, namespace))
        return self._limits[namespace]


def _default(pod: Object, limit_range: Object) -> None:
    for limit in dig(limit_range, "spec", "limits", default=()):
        if limit.get("type") != "Container":
            continue
        notes = []
        for kind, word in (("containers", "container"), ("initContainers", "init container")):
            for container in dig(pod, "spec", kind, default=()):
                resources = container.get("resources") or {}
                for section, defaults in (("limits", limit.get("default")), ("requests", limit.get("defaultRequest"))):
                    added = {k: v for k, v in (defaults or {}).items() if k not in (resources.get(section) or {})}
                    if added:
                        resources[section] = {**(resources.get(section) or {}), **added}
                        container["resources"] = resources
                        names = ", ".join(sorted(added))
                        notes.append(f"{names} {section[:-1]} for {word} {container.get('name', '')}")
        if notes:
            annotations = meta(pod).get("annotations") or {}
            pod.setdefault("metadata", {})["annotations"] = annotations
            annotations[NOTE] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _pod_problems(pod: Object, limit: Object) -> Iterator[str]:
    containers = [one for kind in ("containers", "initContainers") for one in dig(pod, "spec", kind, default=())]
    if limit.get("type") == "Container":
        for container in containers:
            resources = container.get("resources") or {}
            yield from _bounds("Container", resources.get("requests") or {}, resources.get("limits") or {}, limit)
    elif limit.get("type") == "Pod":
        requests, limits = (_pod_total(pod, section) for section in ("requests", "limits"))
        yield from _bounds("Pod", requests, limits, limit)


def _pod_total(pod: Object, section: str) -> dict[str, str]:
    """The sum over containers, or the largest init container where that is more."""
    total: dict[str, Quantity] = {}
    for container in dig(pod, "spec", "containers", default=()):
        for name, text in dig(container, "resources", section, default={}).items():
            amount = Quantity.parse(text)
            total[name] = Quantity(total[name].nanos + amount.nanos, amount.format) if name in total else amount
    for container in dig(pod, "spec", "initContainers", default=()):
        for name, text in dig(container, "resources", section, default={}).items():
            amount = Quantity.parse(text)
            if name not in total or amount > total[name]:
                total[name] = amount
    return {name: str(amount) for name, amount in total.items()}


def _claim_problems(claim: Object, limit: Object) -> Iterator[str]:
    if limit.get("type") == "PersistentVolumeClaim":
        requests = dig(claim, "spec", "resources", "requests", default={})
        yield from _bounds("PersistentVolumeClaim", requests, {}, {**limit, "maxLimitRequestRatio": None})


def _bounds(kind: str, requests: dict[str, str], limits: dict[str, str], limit: Object) -> Iterator[str]:
    for name, text in (limit.get("min") or {}).items():
        if name not in requests:
            yield f"minimum {name} usage per {kind} is {text}.  No request is specified"
        elif Quantity.parse(requests[name]) < Quantity.parse(text):
            yield f"minimum {name} usage per {kind} is {text}, but request is {requests[name]}"
    for name, text in (limit.get("max") or {}).items():
        if kind == "PersistentVolumeClaim":
            if name in requests and Quantity.parse(requests[name]) > Quantity.parse(text):
                yield f"maximum {name} usage per {kind} is {text}, but request is {requests[name]}"
        elif name not in limits:
            yield f"maximum {name} usage per {kind} is {text}.  No limit is specified"
        elif Quantity.parse(limits[name]) > Quantity.parse(text):
            yield f"maximum {name} usage per {kind} is {text}, but limit is {limits[name]}"
    for name, text in (limit.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(kind, name, text, requests.get(name), limits.get(name))


def _ratio(kind: str, name: str, bound: str, request: str | None, limit: str | None) -> Iterator[str]:
    words = f"{name} max limit to request ratio per {kind} is {bound}, but"
    if not request or not Quantity.parse(request).nanos:
        yield f"{words} no request is specified or request is 0"
    elif not limit or not Quantity.parse(limit).nanos:
        yield f"{words} no limit is specified or limit is 0"
    elif Quantity.parse(limit).nanos > Quantity.parse(bound).nanos * Quantity.parse(request).nanos / 10**9:
        ratio = Quantity.parse(limit).nanos / Quantity.parse(request).nanos
        yield f"{words} provided ratio is {ratio:f}"


def build(parts: ServerParts) -> LimitRanger:
    return LimitRanger(parts.reader)
