"""One object in several forms: in an equivalent version, or as a subresource's own document.

Kinds that share a place in the store are equivalent: `matchPolicy: Equivalent` lets a rule for one of them catch writes
to all. The object goes to the webhook or policy in the version that its rule names; what comes back is converted again.
A write through `scale` is shown as the Scale that the client sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import orjson

from sampan.api.kind import Kind, Subresource
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.seams import AdmissionAttributes, ServerParts

Kinds: TypeAlias = Sequence[Kind]


def equivalents_of(kind: Kind, parts: ServerParts) -> Kinds:
    """The other kinds that show the same objects, in the order of the table."""
    place = _place(kind)
    return [other for other in parts.kinds() if other is not kind and _place(other) == place]


def _place(kind: Kind) -> tuple[str, str]:
    stored: Resource = kind.storage_resource or kind.resource
    return stored.group, stored.plural


def document_of(attributes: AdmissionAttributes) -> Resource:
    """The kind of the document that the client sent."""
    view = _view(attributes)
    return view.resource if view is not None and view.resource is not None else attributes.document


def is_whole(attributes: AdmissionAttributes) -> bool:
    """Whether the document is the object itself rather than a Scale, a Binding, an Eviction."""
    return document_of(attributes) == attributes.kind.resource


def _view(attributes: AdmissionAttributes) -> Subresource | None:
    """The subresource, if it shows the object as another kind."""
    if attributes.document != attributes.kind.resource or not attributes.subresource:
        return None
    view = attributes.kind.subresources.get(attributes.subresource)
    return view if view is not None and view.to_view is not None else None


async def shown(obj: Object | None, attributes: AdmissionAttributes, kind: Kind) -> Object | None:
    """The write's object as a webhook or policy that was matched as `kind` sees it. Never to be changed."""
    if obj is None:
        return None
    view = _view(attributes)
    if view is not None and view.to_view is not None:
        return view.to_view(obj)
    if kind is attributes.kind or not is_whole(attributes):
        return obj
    return await convert(obj, attributes.kind, kind)


async def taken(changed: Object, attributes: AdmissionAttributes, kind: Kind) -> Object:
    """The inverse: the write's object after what was shown has become `changed`."""
    view = _view(attributes)
    if view is not None and view.from_view is not None:
        assert attributes.object is not None
        new: Object = orjson.loads(orjson.dumps(attributes.object))
        view.from_view(changed, new)
        return new
    if kind is attributes.kind or not is_whole(attributes):
        return changed
    return await convert(changed, kind, attributes.kind)


async def convert(obj: Object, source: Kind, target: Kind) -> Object:
    """A new document: the same object as the other kind shows it."""
    copy: Object = orjson.loads(orjson.dumps(obj))
    if target.custom is not None:
        if target.custom.convert is not None:
            [copy] = await target.custom.convert([copy], target.resource.api_version)
        target.custom.on_read(copy)
        return copy
    stored = source.to_storage(copy) if source.to_storage is not None else copy
    result = target.from_storage(stored) if target.from_storage is not None else stored
    result["apiVersion"], result["kind"] = target.resource.api_version, target.resource.kind
    return result
