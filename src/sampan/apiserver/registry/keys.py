"""Where an object lives in the store: `/registry/GROUP/PLURAL/[NAMESPACE/]NAME`, `core` for the nameless group."""

from __future__ import annotations

from sampan.apimachinery.resource import Resource

ROOT = "/registry/"


def prefix_of(resource: Resource) -> str:
    """The prefix of all of a kind's keys, with its final slash."""
    return f"{ROOT}{resource.group or 'core'}/{resource.plural}/"


def local_key(namespace: str, name: str) -> str:
    """The part of a key below its kind's prefix."""
    return f"{namespace}/{name}" if namespace else name
