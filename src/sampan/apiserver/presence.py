"""Objects that the server itself wants to be there."""

from __future__ import annotations

from sampan.apimachinery.errors import AlreadyExists, NotFound
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client


async def present(client: Client, resource: Resource, wanted: Object, corrected: tuple[str, ...] = ()) -> None:
    """Create `wanted` if there is none of its name; of one that is there, put the `corrected` fields right.

    If another server is creating it at this moment, that one's is left as it is until the next time.
    """
    metadata = wanted["metadata"]
    name, namespace = metadata["name"], metadata.get("namespace")
    try:
        found = await client.get(resource, name, namespace)
    except NotFound:
        try:
            await client.create(resource, wanted, namespace)
        except AlreadyExists:
            pass
        return
    wrong = {field: wanted[field] for field in corrected if found.get(field) != wanted[field]}
    if wrong:
        await client.patch(resource, name, wrong, namespace)
