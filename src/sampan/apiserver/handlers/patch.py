"""PATCH of an object or of a subresource's view of it: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

from typing import Any, Final

import orjson

from sampan.apimachinery.errors import BadRequest, UnsupportedMediaType
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import media_type
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import kind_of, write_request
from sampan.apiserver.negotiation import negotiate

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
_ACCEPTED: Final = f"{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC_PATCH}, application/apply-patch+yaml"


async def patch(ctx: RequestContext, backend: Backend) -> Response:
    """The object as stored. Retried on the newest state, unless the patch names a resourceVersion."""
    kind = kind_of(ctx)
    accepted = negotiate(ctx.request.headers)
    request = write_request(ctx)
    media = media_type(ctx)
    if media not in (MERGE_PATCH, STRATEGIC_PATCH):
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}"
        )
    try:
        document: Any = orjson.loads(ctx.request.body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"error decoding patch: {error}") from None

    async def change(old: Object) -> Object:
        return _merged(old, document)  # type: ignore[no-any-return]

    updated = await backend.writes.update(request, change)
    return answers.written(backend, kind, updated, (accepted, ctx.request))


def _merged(target: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
