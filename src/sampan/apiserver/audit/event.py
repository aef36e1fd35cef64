"""What one request looks like in the audit log: an `audit.k8s.io/v1` Event at level Metadata, as one JSON document."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from sampan import effects
from sampan.apimachinery.http import Request, UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.context import RequestContext


def event(ctx: RequestContext, code: int, stage: str, received: str, reason: str = "") -> Object:
    """`received` is the MicroTime at which the request arrived; `reason` is a refusal's Status reason."""
    request = ctx.request
    found: Object = {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": ctx.audit_id or effects.uid(),
        "stage": stage, "requestURI": uri(request), "verb": ctx.verb, "user": _user(ctx.impersonator or ctx.user),
    }
    if ctx.impersonator is not None:
        found["impersonatedUser"] = _user(ctx.user)
    if request.remote:
        found["sourceIPs"] = [request.remote]
    agent = request.headers.get("user-agent")
    if agent:
        found["userAgent"] = agent[:1024]
    if ctx.is_resource:
        found["objectRef"] = _reference(ctx)
    status: Object = {"metadata": {}, "code": code}
    if reason:
        status |= {"status": "Failure", "reason": reason}
    found["responseStatus"] = status
    found["requestReceivedTimestamp"] = received
    found["stageTimestamp"] = effects.micro_timestamp()
    if ctx.audit_annotations:
        found["annotations"] = ctx.audit_annotations
    return found


def uri(request: Request) -> str:
    """Path and query as they came."""
    path = quote(request.path, safe="/:@!$&'()*+,;=~-._")
    return f"{path}?{urlencode(request.query, doseq=True)}" if request.query else path


def _user(user: UserInfo | None) -> Object:
    if user is None:
        return {}
    found: Object = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def _reference(ctx: RequestContext) -> Object:
    named = (
        ("resource", ctx.resource), ("namespace", ctx.namespace), ("name", ctx.name), ("apiGroup", ctx.group),
        ("apiVersion", ctx.version), ("subresource", ctx.subresource),
    )
    return {key: value for key, value in named if value}
