"""DELETE of one object."""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.loader import definition
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import read_document
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import kind_of, wants_dry_run, write_request
from sampan.apiserver.negotiation import negotiate
from sampan.apiserver.parameters import integer

_ANSWERS_WITH_OBJECT: Final = frozenset({
    "pods", "services", "persistentvolumes", "persistentvolumeclaims", "serviceaccounts", "resourcequotas",
    "podtemplates",
})
_OPTIONS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_JOB_WARNING: Final = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


async def delete(ctx: RequestContext, backend: Backend) -> Response:
    """A Status when the object is gone, the object while its deletion is under way."""
    kind = kind_of(ctx)
    accepted = negotiate(ctx.request.headers, kind)
    request = write_request(ctx)
    request.options = delete_options(ctx)
    request.dry_run = ctx.dry_run
    if kind.resource.plural == "jobs" and not {"propagationPolicy", "orphanDependents"} & request.options.keys():
        ctx.warn(_JOB_WARNING)
    obj, gone = await backend.writes.delete(request)
    if gone and kind.resource.plural not in _ANSWERS_WITH_OBJECT:
        details: Object = {"name": ctx.name, "kind": kind.resource.plural, "uid": obj["metadata"].get("uid")}
        if kind.resource.group:
            details["group"] = kind.resource.group
        return answers.document(answers.success(details))
    status = 202 if not gone and request.options.get("orphanDependents") is False else 200
    return answers.written(backend, kind, obj, (accepted, ctx.request), status)


def delete_options(ctx: RequestContext) -> Object:
    """DeleteOptions from the body, or else from the query. Also sets `ctx.dry_run`."""
    request = ctx.request
    options: Object = {}
    if request.body:
        options = read_document(ctx)
        if options.get("kind") not in (None, "DeleteOptions"):
            raise BadRequest(f"unexpected kind {options.get('kind')} in the body of a delete request")
        options, _ = definition(_OPTIONS).decode_strict(options)
    else:
        _from_query(request.query, options)
    ctx.dry_run = wants_dry_run(options.get("dryRun") or request.query.get("dryRun"))
    return options


def _from_query(query: dict[str, list[str]], options: Object) -> None:
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = integer(query["gracePeriodSeconds"][0])
    if query.get("propagationPolicy", [""])[0]:
        options["propagationPolicy"] = query["propagationPolicy"][0]
    if "orphanDependents" in query:
        options["orphanDependents"] = query["orphanDependents"][0] == "true"
