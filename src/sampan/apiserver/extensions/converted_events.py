"""The events of a watch whose objects a webhook brings to the watched version.

They are queued as they are stored, and converted when the reader takes them, all that wait in one call. A conversion
that fails ends the watch with an ERROR event, since what comes after would make no sense without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import orjson

from sampan.api.kind import Kind
from sampan.apimachinery.errors import APIError
from sampan.apiserver.handlers.watch_stream import WatchStream
from sampan.apiserver.registry import codec
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.rendering import Rendering


async def converted_events(
    stream: WatchStream, kind: Kind, rendering: Rendering
) -> AsyncIterator[bytes]:
    """Frames of stored objects as frames of the kind's version, rendered as the client asked."""
    async with contextlib.aclosing(stream):
        async for chunk in stream:
            try:
                yield await _converted(chunk, kind, rendering)
                rendering = rendering.then or rendering
            except APIError as error:
                yield codec.event_frame("ERROR", orjson.dumps(error.to_status()))
                return


async def _converted(chunk: bytes, kind: Kind, rendering: Rendering) -> bytes:
    custom = kind.custom
    assert custom is not None and custom.convert is not None
    events = [orjson.loads(line) for line in chunk.splitlines()]
    changes = [event for event in events if event["type"] != "BOOKMARK"]
    objects = await custom.convert([event["object"] for event in changes], kind.resource.api_version)
    for event, obj in zip(changes, objects, strict=True):
        custom.on_read(obj)
        event["object"] = obj
    frames = []
    for event in events:
        if event["type"] == "BOOKMARK":
            metadata = event["object"]["metadata"]
            data = rendering.bookmark(int(metadata["resourceVersion"]), metadata.get("annotations"))
        else:
            data = rendering.item(Entry.of(kind, event["object"]))
        frames.append(codec.event_frame(event["type"], data))
    return b"".join(frames)
