"""What a namespace's labels ask of its pods: a level and a version for each of enforce, audit and warn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sampan.api.resources import NAMESPACES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.field import Path, invalid
from sampan.apimachinery.object import Object, labels_of, name_of
from sampan.apiserver.admission.pod_security_levels import LEVELS, PRIVILEGED, RESTRICTED, violations
from sampan.apiserver.seams import Reader

PREFIX: Final = "pod-security.kubernetes.io/"
ENFORCE: Final = "enforce"
MODES: Final = (ENFORCE, "audit", "warn")
MAX_PODS: Final = 3000
"""How many pods of a namespace are looked at when it is tightened."""
_VERSION = re.compile(r"latest|v1\.(0|[1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Policy:
    """`modes`: level and version by mode; modes that are not set are left out."""

    modes: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, namespace: Object) -> Policy:
        """A level or version that does not exist counts as the strictest or the newest."""
        labels = labels_of(namespace)
        modes = {}
        for mode in MODES:
            level = labels.get(PREFIX + mode)
            if level is not None:
                version = labels.get(f"{PREFIX}{mode}-version", "latest")
                modes[mode] = (
                    level if level in LEVELS else RESTRICTED, version if _VERSION.fullmatch(version) else "latest"
                )
        return cls(modes)

    def shown(self, mode: str) -> str:
        """`baseline:latest`"""
        return ":".join(self.modes[mode])

    @property
    def enforced(self) -> str:
        return self.modes.get(ENFORCE, (PRIVILEGED, ""))[0]


def check_labels(new: Object, old: Object | None, name: str) -> None:
    """Refuse labels that make no sense; what was wrong before may stay. Raises Invalid."""
    labels, before, path = labels_of(new), labels_of(old or {}), Path("metadata").child("labels")
    found = []
    for mode in MODES:
        for key, valid, why in (
            (PREFIX + mode, LEVELS.__contains__, f"must be one of {', '.join(LEVELS)}"),
            (f"{PREFIX}{mode}-version", _VERSION.fullmatch, 'must be "latest" or "v1.x"'),
        ):
            value = labels.get(key)
            if value is not None and not valid(value) and before.get(key) != value:
                found.append(invalid(path.key(key), value, why))
    if found:
        raise errors.invalid(NAMESPACES, name, found)


def existing_pods(new: Policy, old: Policy, namespace: str, reader: Reader) -> Iterator[str]:
    """Warnings about pods that are there and would not be taken any more."""
    if LEVELS.index(new.enforced) <= LEVELS.index(old.enforced):
        return
    pods: dict[str, list[str]] = {}
    for pod in list(reader.list(PODS, namespace))[:MAX_PODS]:
        complaints = violations(new.enforced, pod.get("spec") or {})
        if complaints:
            titles = ", ".join(complaint.partition(" (")[0] for complaint in complaints)
            pods.setdefault(titles, []).append(name_of(pod))
    if not pods:
        return
    yield f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{new.shown(ENFORCE)}"'
    for titles, names in sorted(pods.items(), key=lambda item: item[1][0]):
        others = len(names) - 1
        more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
        yield f"{names[0]}{more}: {titles}"
