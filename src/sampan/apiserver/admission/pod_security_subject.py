"""What the checks of Pod Security look at, a pod or a template, and the words that their complaints are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.apimachinery.object import Object, dig


@dataclass(slots=True)
class Subject:
    """A pod and the minor version of the levels that it is judged by. `security` is the pod's own securityContext."""

    spec: Object
    annotations: Mapping[str, str] = field(default_factory=dict)
    minor: int = 0
    security: Object = field(init=False)
    containers: list[Object] = field(init=False)

    def __post_init__(self) -> None:
        self.security = self.spec.get("securityContext") or {}
        self.containers = [
            one for kind in ("initContainers", "containers", "ephemeralContainers") for one in self.spec.get(kind) or ()
        ]

    def contexts(self) -> list[tuple[str, Object]]:
        return [(str(one.get("name", "")), one.get("securityContext") or {}) for one in self.containers]

    def is_exempt_as_windows(self) -> bool:
        """From 1.25 on, what only Linux knows is not asked of pods that say that they are for Windows."""
        return self.minor >= 25 and dig(self.spec, "os", "name") == "windows"

    def has_own_users(self) -> bool:
        """From 1.35 on, a pod in a user namespace may be root in it."""
        return self.minor >= 35 and self.spec.get("hostUsers") is False


def plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def quoted(values: Iterable[Any]) -> str:
    return ", ".join(json.dumps(str(value), ensure_ascii=False) for value in values)


def listed(noun: str, names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{plural(noun, len(names))} {quoted(names)}"


def setters(names: list[str], *, pod: bool = False) -> str:
    """Who sets something: `pod and container "a"`."""
    found = ["pod"] if pod else []
    return " and ".join([*found, *([listed("container", names)] if names else [])])
