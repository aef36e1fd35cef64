"""How webhooks refuse: by their own verdict, by being out of reach, by not standing a dry run. Words are upstream's."""

from __future__ import annotations

from typing import Any

from sampan.apimachinery.errors import APIError, BadRequest, InternalError
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object


class Denied(APIError):
    """A webhook's own verdict: the Status that it returned, with its name in front of the message."""

    def __init__(self, webhook: str, status: Any) -> None:
        found: Object = dict(status) if isinstance(status, dict) else {}
        code = found.get("code")
        self.status_code = code if isinstance(code, int) and code >= 400 else 400
        why = found.get("message") or found.get("reason")
        denied = f"admission webhook {quoted(webhook)} denied the request"
        message = f"{denied}: {why}" if why else f"{denied} without explanation"
        super().__init__(message, found.get("details"), code=self.status_code)
        self._reason = str(found.get("reason") or "")

    def to_status(self) -> Object:
        status = super().to_status()
        code = status.pop("code")
        if self._reason:
            status["reason"] = self._reason
        return {**status, "code": code}


class CallingFailed(InternalError):
    """A webhook that must be asked could not be."""

    def __init__(self, webhook: str, why: str) -> None:
        text = f"failed calling webhook {quoted(webhook)}: {why}"
        super().__init__(f"Internal error occurred: {text}", {"causes": [{"message": text}]})
        self.why = why


def dry_run_unsupported(webhook: str) -> BadRequest:
    return BadRequest(f"admission webhook {quoted(webhook)} does not support dry run")
