"""What a URL and a method mean: verb, group, version, resource, names.

    /api/VERSION/…                                   the core group
    /apis/GROUP/VERSION/…                            every other
    …/RESOURCE[/NAME[/SUBRESOURCE]]                  cluster-scoped, or across all namespaces
    …/namespaces/NAMESPACE/RESOURCE[/NAME[/SUBRESOURCE]]

Everything else (discovery, health, OpenAPI) is a path with an HTTP method. Rules as upstream's RequestInfoFactory has
them, since authorisation depends on every detail.
"""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.selectors import SelectorError, parse_fields
from sampan.apiserver.context import RequestContext

_VERBS: Final = {
    "POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
    "OPTIONS": "",  # only what is proxied answers it, and upstream has no verb for it: a rule for `*` allows it
}
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})
LONG_RUNNING: Final = frozenset({"proxy", "exec", "attach", "portforward", "log"})
_WITH_SUBPATH: Final = frozenset({"proxy"})


def fill(ctx: RequestContext) -> None:
    """Fill in everything that the URL says."""
    request = ctx.request
    ctx.verb = request.method.lower()
    parts = request.path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        ctx.version, rest = parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        ctx.group, ctx.version, rest = parts[1], parts[2], parts[3:]
    else:
        return
    verb = _VERBS.get(request.method)
    if verb is None or not rest:
        return
    ctx.is_resource = True
    ctx.verb = verb
    if rest[0] == "watch" and len(rest) > 1:
        ctx.verb, rest = "watch", rest[1:]
    _names(ctx, rest)
    if not ctx.name:
        _collection(ctx)


def _names(ctx: RequestContext, rest: list[str]) -> None:
    if rest[0] == "namespaces" and len(rest) > 1:
        ctx.namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    ctx.resource = rest[0]
    if len(rest) > 1:
        ctx.name = rest[1]
    if len(rest) > 2:
        ctx.subresource = rest[2]
    if len(rest) > 3 or ctx.subresource in _WITH_SUBPATH:
        _, _, after = ctx.request.path.partition(f"/{ctx.name}/{ctx.subresource}")
        ctx.subpath = after


def _collection(ctx: RequestContext) -> None:
    """A verb without a name: get becomes list or watch, delete becomes deletecollection."""
    query = ctx.request.query
    if ctx.verb == "get":
        ctx.verb = "watch" if ctx.request.flag("watch") else "list"
    elif ctx.verb == "delete":
        ctx.verb = "deletecollection"
    if ctx.verb in ("list", "watch", "deletecollection"):
        selector = query.get("fieldSelector")
        if selector and "metadata.name" in selector[0]:
            ctx.name = _selected_name(selector[0])


def _selected_name(text: str) -> str:
    """The only name that a field selector admits: what rules with resourceNames are asked about."""
    try:
        return parse_fields(text).required_value("metadata.name") or ""
    except SelectorError:
        return ""  # its handler will say so
