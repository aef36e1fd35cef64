"""What one request looks like in the audit log: an `audit.k8s.io/v1` Event, as one JSON document a stage.

Bodies are part of it only where the policy's level says so; at Metadata an event holds nothing that was sent or
answered but the words of a refusal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from sampan import effects
from sampan.apimachinery.decode import decode
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.audit.policy import RECEIVED, Level, Scope
from sampan.apiserver.context import RequestContext

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/:@!$&'()*+,;=~._-]*")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request was answered: with a response, or with an error."""

    code: int
    response: Response | None = None
    status: Object | None = None

    @classmethod
    def of(cls, response: Response) -> Answer:
        return cls(response.status, response)

    @classmethod
    def failed(cls, error: APIError) -> Answer:
        return cls(error.status_code, status=error.to_status())


def event(ctx: RequestContext, scope: Scope, stage: str, received: str, answer: Answer | None) -> Object:
    """`received` is the MicroTime at which the request arrived; `answer` is None while there is none."""
    request = ctx.request
    found: Object = {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": scope.level.text, "auditID": ctx.audit_id,
        "stage": stage, "requestURI": uri(request), "verb": ctx.verb, "user": _user(ctx.impersonator or ctx.user),
    }
    if ctx.impersonator is not None:
        found["impersonatedUser"] = _user(ctx.user)
        if ctx.impersonation_constraint:
            found["authenticationMetadata"] = {"impersonationConstraint": ctx.impersonation_constraint}
    if request.remote:
        found["sourceIPs"] = [request.remote]
    agent = request.headers.get("user-agent")
    if agent:
        found["userAgent"] = agent[:1024]
    if ctx.is_resource:
        found["objectRef"] = _reference(ctx)
    if answer is not None:
        found["responseStatus"] = _status(answer)
    if scope.level >= Level.REQUEST and stage != RECEIVED:
        _add_bodies(found, ctx, scope, answer)
    found["requestReceivedTimestamp"] = received
    found["stageTimestamp"] = effects.micro_timestamp()
    if ctx.audit_annotations:
        found["annotations"] = ctx.audit_annotations
    return found


def _status(answer: Answer) -> Object:
    status: Object = {"metadata": {}, "code": answer.code}
    if answer.status is not None:
        status |= {key: answer.status[key] for key in ("status", "message", "reason") if key in answer.status}
    return status


def _add_bodies(found: Object, ctx: RequestContext, scope: Scope, answer: Answer | None) -> None:
    if ctx.is_resource and ctx.request.body:
        sent = _document(ctx.request.body, ctx.request.headers.get("content-type", ""))
        if sent is not None:
            found["requestObject"] = _trimmed(sent, scope)
    if scope.level < Level.REQUEST_RESPONSE or answer is None or not ctx.is_resource:
        return
    if answer.status is not None:
        found["responseObject"] = answer.status
    elif answer.response is not None and answer.response.body:
        answered = _document(answer.response.body, answer.response.headers.get("content-type", ""))
        if answered is not None:
            found["responseObject"] = _trimmed(answered, scope)


def _document(body: bytes, content_type: str) -> Any:
    """A body as a document; None for what is none."""
    media = content_type.partition(";")[0]
    try:
        return orjson.loads(body) if media.endswith("json") else decode(body, media)
    except (APIError, orjson.JSONDecodeError):
        return None


def _trimmed(document: Any, scope: Scope) -> Any:
    if scope.omit_managed_fields and isinstance(document, dict):
        for item in (document, *(document.get("items") or ())):
            if isinstance(item, dict) and isinstance(item.get("metadata"), dict):
                item["metadata"].pop("managedFields", None)
    return document


def uri(request: Request) -> str:
    """Path and query as they came."""
    path = request.path
    if not _PLAIN_PATH.fullmatch(path):
        path = quote(path, safe="/:@!$&'()*+,;=~-._")
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
    found: Object = {"resource": ctx.resource}
    if ctx.namespace:
        found["namespace"] = ctx.namespace
    if ctx.name:
        found["name"] = ctx.name
    if ctx.group:
        found["apiGroup"] = ctx.group
    found["apiVersion"] = ctx.version
    if ctx.subresource:
        found["subresource"] = ctx.subresource
    return found
