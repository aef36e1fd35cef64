"""Which names of a CustomResourceDefinition are accepted: those that no other definition of its group has. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.object import Object, dig, name_of

_SINGLE: Final = (
    ("plural", "PluralConflict"), ("singular", "SingularConflict"), ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)


@dataclass(frozen=True, slots=True)
class Naming:
    """`names` are the accepted ones; `reason` and `message` are the NamesAccepted condition's."""

    names: Object
    accepted: bool
    reason: str = "NoConflicts"
    message: str = "no conflicts found"


def accept(crd: Object, others: Iterable[Object]) -> Naming:
    """Names already accepted stay; requested ones that are taken are refused."""
    requested, accepted = crd["spec"]["names"], dict(dig(crd, "status", "acceptedNames", default={}))
    resources, kinds = _taken(crd, others)
    reason, messages = "", []
    for key, why in _SINGLE:
        wanted = requested.get(key) or ""
        taken = kinds if key in ("kind", "listKind") else resources
        if wanted != accepted.get(key) and wanted in taken:
            reason, text = reason or why, f'"{wanted}" is already in use'
            messages.append(text)
        else:
            accepted[key] = wanted
    short = requested.get("shortNames") or []
    clashing = [name for name in short if name in resources and name not in (accepted.get("shortNames") or [])]
    if clashing:
        reason = reason or "ShortNamesConflict"
        messages += [f'"{name}" is already in use' for name in clashing]
    else:
        _put(accepted, "shortNames", short)
    _put(accepted, "categories", requested.get("categories") or [])
    if messages:
        return Naming(accepted, False, reason, messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]")
    return Naming(accepted, True)


def _put(names: Object, key: str, values: list[str]) -> None:
    if values:
        names[key] = values
    else:
        names.pop(key, None)


def _taken(crd: Object, others: Iterable[Object]) -> tuple[set[str], set[str]]:
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if name_of(other) == name_of(crd) or other["spec"]["group"] != crd["spec"]["group"]:
            continue
        names = dig(other, "status", "acceptedNames", default={})
        resources |= {names.get("plural") or "", names.get("singular") or "", *(names.get("shortNames") or [])}
        kinds |= {names.get("kind") or "", names.get("listKind") or ""}
    return resources - {""}, kinds - {""}
