"""What the server writes into `metadata` itself, and what it keeps there whatever a client sends."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sampan import effects
from sampan.apimachinery.duration import format_time
from sampan.apimachinery.object import Object

SUFFIX_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and nothing easily confused, so that no suffix is a word."""
SUFFIX_LENGTH: Final = 5
_MAX_GENERATED: Final = 63 - SUFFIX_LENGTH
_OMITTED_WHEN_EMPTY: Final = ("labels", "annotations", "finalizers", "ownerReferences")
_KEPT: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
LONGEST_GRACE_S: Final = 2**33
"""What no deletion waits longer for: as many seconds as Go's durations hold, more or less."""


def begin(metadata: Object) -> None:
    """For a new object: a uid and the time; nothing of an earlier life."""
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
        metadata.pop(key, None)
    metadata["uid"] = effects.uid()
    metadata["creationTimestamp"] = effects.timestamp()


def tidy(metadata: Object) -> None:
    """Empty maps and lists are the same as none, and are not stored."""
    for key in _OMITTED_WHEN_EMPTY:
        if key in metadata and not metadata[key]:
            del metadata[key]


def generate_name(prefix: str) -> str:
    """`prefix` and a random suffix."""
    rng = effects.rng()
    return prefix[:_MAX_GENERATED] + "".join(rng.choice(SUFFIX_ALPHABET) for _ in range(SUFFIX_LENGTH))


def keep(new: Object, old: Object) -> None:
    """For an update: fields that are absent stay as they were, since clients often leave them out."""
    for key in _KEPT:
        if new.get(key) is None and old.get(key) is not None:
            new[key] = old[key]
    if old.get("generation") is not None:
        new["generation"] = old["generation"]
    elif "generation" in new:
        del new["generation"]
    new.pop("selfLink", None)


def mark_deleted(obj: Object, grace_s: int) -> None:
    """Begin (or shorten) a deletion: the time by which it should have happened, and one generation more."""
    metadata = obj["metadata"]
    first = not metadata.get("deletionTimestamp")
    metadata["deletionTimestamp"] = effects.timestamp() if not grace_s else after(grace_s)
    metadata["deletionGracePeriodSeconds"] = grace_s
    if first and metadata.get("generation"):
        metadata["generation"] += 1


def after(seconds: int) -> str:
    """The time in so many seconds, as a Kubernetes `Time`."""
    return format_time(effects.now() + timedelta(seconds=min(seconds, LONGEST_GRACE_S)))
