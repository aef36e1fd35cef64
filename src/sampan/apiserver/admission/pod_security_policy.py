"""What a namespace's labels ask of its pods: a level and a version for each of enforce, audit and warn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sampan.api.resources import NAMESPACES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, annotations_of, controller_of, labels_of, name_of
from sampan.apiserver.admission.pod_security_levels import LATEST, LEVELS, PRIVILEGED, RESTRICTED, violations
from sampan.apiserver.seams import Reader

PREFIX: Final = "pod-security.kubernetes.io/"
ENFORCE: Final = "enforce"
MODES: Final = (ENFORCE, "audit", "warn")
MAX_PODS: Final = 3000
"""How many pods of a namespace are looked at when it is tightened."""
VERSION: Final = re.compile(r"latest|v1\.(0|[1-9]\d*)")


class Asked(NamedTuple):
    """`baseline:v1.30`"""

    level: str
    version: str

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What each mode asks, and what makes no sense in the labels.

    Of what makes no sense enforce counts as restricted, audit and warn as privileged, a version as the newest.
    """

    enforce: Asked
    audit: Asked
    warn: Asked
    wrong: tuple[FieldError, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, namespace: Object, defaults: Policy) -> Policy:
        """What the labels do not say is as in `defaults`."""
        labels, path = labels_of(namespace), Path("metadata").child("labels")
        modes: dict[str, Asked] = {}
        wrong: list[FieldError] = []
        for mode in MODES:
            key = PREFIX + mode
            usual: Asked = getattr(defaults, mode)
            level, version = labels.get(key, usual.level), labels.get(f"{key}-version", usual.version)
            if level not in LEVELS:
                wrong.append(invalid(path.key(key), level, f"must be one of {', '.join(LEVELS)}"))
                level = RESTRICTED if mode == ENFORCE else PRIVILEGED
            if not VERSION.fullmatch(version):
                wrong.append(invalid(path.key(f"{key}-version"), version, 'must be "latest" or "v1.x"'))
                version = LATEST
            modes[mode] = Asked(level, version)
        return cls(**modes, wrong=tuple(wrong))

    def takes_everything(self) -> bool:
        return not self.wrong and {self.enforce.level, self.audit.level, self.warn.level} == {PRIVILEGED}

    def takes_every_template(self) -> bool:
        return not self.wrong and {self.audit.level, self.warn.level} == {PRIVILEGED}


def check_labels(new: Policy, old: Policy | None, name: str) -> None:
    """Refuse labels that make no sense; if nothing else was wrong before, it may stay so. Raises Invalid."""
    if new.wrong and (old is None or [str(one) for one in new.wrong] != [str(one) for one in old.wrong]):
        raise errors.invalid(NAMESPACES, name, list(new.wrong))


def is_tightened(new: Asked, old: Asked) -> bool:
    """Whether there may be pods that would not be taken any more."""
    if new == old or new.level == PRIVILEGED:
        return False
    return new.version != old.version or LEVELS.index(new.level) > LEVELS.index(old.level)


def existing_pods(asked: Asked, namespace: str, reader: Reader) -> Iterator[str]:
    """Warnings about pods that are there and would not be taken any more."""
    found = list(reader.list(PODS, namespace))
    pods: dict[str, list[str]] = {}
    for pod in _by_importance(found)[:MAX_PODS]:
        complaints = violations(*asked, pod.get("spec") or {}, annotations_of(pod))
        if complaints:
            titles = ", ".join(complaint.partition(" (")[0] for complaint in complaints)
            pods.setdefault(titles, []).append(name_of(pod))
    if len(found) > MAX_PODS:
        yield f"new PodSecurity enforce level only checked against the first {MAX_PODS} of {len(found)} existing pods"
    if pods:
        yield f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{asked}"'
    warnings = []
    for titles, names in pods.items():
        others = len(names) - 1
        more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
        warnings.append(f"{min(names)}{more}: {titles}")
    yield from sorted(warnings)


def _by_importance(pods: Iterable[Object]) -> list[Object]:
    """One pod of each controller first, then its others."""
    first: list[Object] = []
    others: list[Object] = []
    seen: set[str] = set()
    for pod in pods:
        owner = (controller_of(pod) or {}).get("uid")
        (others if owner in seen else first).append(pod)
        if owner is not None:
            seen.add(owner)
    return first + others
