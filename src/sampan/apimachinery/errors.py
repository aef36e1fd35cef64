"""The tree of API errors; each knows the `Status` it is on the wire.

    APIError
    ├── BadRequest            400 BadRequest
    ├── Unauthorized          401 Unauthorized
    ├── Forbidden             403 Forbidden
    ├── NotFound              404 NotFound
    ├── MethodNotAllowed      405 MethodNotAllowed
    ├── NotAcceptable         406 NotAcceptable
    ├── Conflict              409 Conflict
    │   └── AlreadyExists     409 AlreadyExists
    ├── Gone                  410 Gone
    │   └── Expired           410 Expired
    ├── RequestEntityTooLarge 413 RequestEntityTooLarge
    ├── UnsupportedMediaType  415 UnsupportedMediaType
    ├── Invalid               422 Invalid
    ├── TooManyRequests       429 TooManyRequests
    ├── InternalError         500 InternalError
    ├── ServiceUnavailable    503 ServiceUnavailable
    └── Timeout               504 Timeout

The same classes are raised by the server and, decoded from a Status by `from_status`, by the client.
Source: the API conventions' "Response Status Kind" and apimachinery's `metav1.StatusReason`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sampan.apimachinery.field import FieldError
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource


class APIError(Exception):
    """An error that a client sees as a `Status` object."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""

    def __init__(self, message: str, details: Object | None = None, *, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.status_code = code or self.code

    def to_status(self) -> Object:
        """The `Status` document, kind and apiVersion included."""
        status: Object = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details:
            status["details"] = self.details
        status["code"] = self.status_code
        return status


class BadRequest(APIError):
    code, reason = 400, "BadRequest"


class Unauthorized(APIError):
    code, reason = 401, "Unauthorized"


class Forbidden(APIError):
    code, reason = 403, "Forbidden"


class NotFound(APIError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(APIError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(APIError):
    code, reason = 406, "NotAcceptable"


class Conflict(APIError):
    code, reason = 409, "Conflict"


class AlreadyExists(Conflict):
    code, reason = 409, "AlreadyExists"


class Gone(APIError):
    code, reason = 410, "Gone"


class Expired(Gone):
    code, reason = 410, "Expired"


class RequestEntityTooLarge(APIError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(APIError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(APIError):
    code, reason = 422, "Invalid"


class TooManyRequests(APIError):
    """`retry_after_s` becomes `details.retryAfterSeconds` and the Retry-After header."""

    code, reason = 429, "TooManyRequests"

    def __init__(self, message: str, details: Object | None = None, *, retry_after_s: int = 0) -> None:
        if retry_after_s:
            details = {**(details or {}), "retryAfterSeconds": retry_after_s}
        super().__init__(message, details)


class InternalError(APIError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(APIError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(APIError):
    code, reason = 504, "Timeout"


BY_REASON: dict[str, type[APIError]] = {
    error.reason: error
    for error in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, Conflict, AlreadyExists, Gone,
        Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
        ServiceUnavailable, Timeout,
    )
}
BY_CODE: dict[int, type[APIError]] = {error.code: error for error in reversed(list(BY_REASON.values()))}


def details_for(resource: Resource, name: str = "") -> Object:
    """`details` that name an object: upstream puts the plural there, not the kind."""
    details: Object = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details


def not_found(resource: Resource, name: str) -> NotFound:
    return NotFound(f'{resource.qualified} "{name}" not found', details_for(resource, name))


def already_exists(resource: Resource, name: str) -> AlreadyExists:
    return AlreadyExists(f'{resource.qualified} "{name}" already exists', details_for(resource, name))


def conflict(resource: Resource, name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}', details_for(resource, name)
    )


OPTIMISTIC_LOCK = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(resource: Resource, name: str, errors: Sequence[FieldError]) -> Invalid:
    """All field errors in one Status; `details.kind` is the kind here, as upstream has it."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    texts = list(dict.fromkeys(str(error) for error in errors))
    shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details: Object = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.kind
    details["causes"] = [
        {"reason": error.type.reason, "message": error.body, "field": error.field} for error in errors
    ]
    return Invalid(f'{kind} "{name}" is invalid: {shown}', details)


def from_status(status: Any, http_code: int) -> APIError:
    """The error that a server's answer means; unknown reasons fall back on the HTTP code."""
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return BY_CODE.get(http_code, APIError)(f"HTTP {http_code}: {str(status)[:500]}")
    chosen = BY_REASON.get(status.get("reason", "")) or BY_CODE.get(http_code) or APIError
    error = chosen(status.get("message", ""), status.get("details"))
    error.status_code = status.get("code") or http_code
    return error
