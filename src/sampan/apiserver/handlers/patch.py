"""PATCH of an object or of a subresource's view of it: JSON patch, merge patch, strategic merge patch.

The patch is applied to the present state as the client would see it, then the result takes the path of an update. On a
race it is applied again to the newer state, unless it names a resourceVersion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sampan.api.kind import Kind
from sampan.apimachinery import errors
from sampan.apimachinery.decode import decode_json
from sampan.apimachinery.errors import BadRequest, UnsupportedMediaType
from sampan.apimachinery.field import Path, invalid
from sampan.apimachinery.go_values import show
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.patch import apply_json_patch, apply_merge_patch, apply_strategic
from sampan.apimachinery.schema.compile import DecodeError, Schema, strict_error
from sampan.apimachinery.schema.loader import definition
from sampan.apimachinery.strict import json_duplicates
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import (
    IGNORE,
    SCALE,
    STRICT,
    WARN,
    check_name,
    check_namespace,
    field_validation,
    media_type,
    schema_of,
)
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.apply import APPLY, apply, check_options
from sampan.apiserver.handlers.target import kind_of, write_request
from sampan.apiserver.negotiation import negotiate

STRATEGIC: Final = "application/strategic-merge-patch+json"
_PLAIN: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "application/json-patch+json": apply_json_patch,
    "application/merge-patch+json": apply_merge_patch,
}
_SHARING: Final = frozenset({STRATEGIC, "application/merge-patch+json"})
"""Patches that leave what they are applied to as it is."""
_ACCEPTED: Final = (*_PLAIN, STRATEGIC, APPLY)
_ACCEPTED_BY_CUSTOM: Final = (*_PLAIN, APPLY)


@dataclass(frozen=True, slots=True)
class Patch:
    """A decoded patch: `apply` gives a new document. `complaints` are what strict validation has to say of itself."""

    media: str
    document: Any
    schema: Schema | None
    complaints: list[str]

    def apply(self, target: Object) -> Object:
        """Raises PatchError, PatchFailed."""
        if self.media == STRATEGIC:
            result = apply_strategic(target, self.document, self.schema)
        else:
            result = _PLAIN[self.media](target, self.document)
        if not isinstance(result, dict):
            raise BadRequest("the patched document is no object")
        return result


async def patch(ctx: RequestContext, backend: Backend) -> Response:
    """The object as stored, or the view of it that was patched."""
    if media_type(ctx) == APPLY:
        return await apply(ctx, backend)
    check_options(ctx)
    kind = kind_of(ctx)
    accepted = negotiate(ctx.request.headers, kind)
    request = write_request(ctx)
    view = request.subresource
    schema = schema_of(kind)
    shown_as_view = view is not None and view.to_view is not None
    parsed = _parse(ctx, None if kind.custom is not None else definition(SCALE) if shown_as_view else schema)

    # Only of such a view is it known that nothing but metadata and status is touched after the patch.
    request.shares = view is not None and view.default is not None and parsed.media in _SHARING

    async def change(old: Object) -> Object:
        if view is not None and view.to_view is not None and view.from_view is not None:
            shown = view.to_view(old)
            view.from_view(_shaped(ctx, parsed, (parsed.apply(shown), shown), definition(SCALE)), old)
            return old
        new = _shaped(ctx, parsed, (parsed.apply(old), old), schema)
        check_name(ctx, new)
        _check_same(new, old, kind)
        check_namespace(ctx, kind, new)
        return new

    updated = await backend.writes.update(request, change)
    if view is not None and view.to_view is not None:
        return answers.view(view, updated, accepted, ctx.request)
    return answers.stored(backend, kind, updated, (accepted, ctx.request))


def _parse(ctx: RequestContext, schema: Schema | None) -> Patch:
    media = media_type(ctx)
    if media not in _PLAIN and (media != STRATEGIC or schema is None):
        is_custom = ctx.kind is not None and ctx.kind.custom is not None
        types = ", ".join(_ACCEPTED_BY_CUSTOM if is_custom else _ACCEPTED)
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {types}"
        )
    body, by_name = ctx.request.body, field_validation(ctx) in (STRICT, WARN)
    return Patch(media, decode_json(body), schema, json_duplicates(body) if by_name else [])


def _check_same(new: Object, old: Object, kind: Kind) -> None:
    """A patch cannot make an object one of another kind."""
    for field in ("apiVersion", "kind"):
        if new.get(field) not in (None, old[field]):
            raise BadRequest(f"the {field} of a {kind.resource.kind} cannot be changed")
        new[field] = old[field]


def _shaped(ctx: RequestContext, patch: Patch, change: tuple[Object, Object], schema: Schema | None) -> Object:
    """As a body is shaped, but what is wrong with the result is the patch's fault. What the patch left alone has the
    right shape already; `change` is the result and what it was before."""
    obj, old = change
    if schema is None:
        return obj
    mode = field_validation(ctx)
    try:
        touched = {key: item for key, item in obj.items() if key not in old or old[key] != item}
        shaped, unknown = schema.decode_own(answers.copy(touched))  # it may share parts with what it was before
    except DecodeError as error:
        raise _refused(patch, obj, error.why) from None
    decoded = {key: shaped.get(key, item) for key, item in obj.items() if key in shaped or key not in touched}
    complaints = patch.complaints + unknown
    if complaints and mode == STRICT:
        raise _refused(patch, obj, strict_error(schema, complaints).why)
    if mode != IGNORE:
        for complaint in complaints:
            ctx.warn(complaint)
    return decoded


def _refused(patch: Patch, result: Object, why: str) -> errors.Invalid:
    """Upstream shows a strategic patch itself, of the others what they made."""
    shown = show(patch.document) if patch.media == STRATEGIC else orjson.dumps(result).decode()
    found = invalid(Path("patch"), shown, why)
    text = f' "" is invalid: {found}'
    causes = [{"reason": found.type.reason, "message": found.body, "field": found.field}]
    return errors.Invalid(text, {"causes": causes})
