"""Reviews that another program answers: POST of a TokenReview or SubjectAccessReview to the server of a kubeconfig.

Failures that may pass (no connection, 429, 5xx) are tried again with growing pauses, `ATTEMPTS` times in all, as
upstream's webhook client does; everything else is `ReviewFailed` at once. Answers are remembered by who asks, not here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, Generic, TypeVar

import orjson

from sampan import effects
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import Request
from sampan.apimachinery.object import Object
from sampan.client.transport import HTTPTransport

ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.5
PAUSE_FACTOR: Final = 1.5
MEMORY: Final = 8192

T = TypeVar("T")


class ReviewFailed(Exception):
    """No usable answer; `str` says why."""


class RemoteReview:
    """`path` is a kubeconfig whose current context names the reviewer. Raises KubeconfigError."""

    def __init__(self, path: str, timeout_s: float = 30.0, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._transport = HTTPTransport.from_kubeconfig(path, user_agent="kube-apiserver")
        self._timeout_s = timeout_s
        self._first_pause_s = first_pause_s

    async def post(self, document: Object) -> Object:
        """The answer's `status`. Raises ReviewFailed."""
        pause_s = self._first_pause_s
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._once(document)
            except _Passing as error:
                if attempt == ATTEMPTS - 1:
                    raise ReviewFailed(str(error)) from None
            except TimeoutError:
                raise ReviewFailed("context deadline exceeded") from None
            await asyncio.sleep(pause_s)
            pause_s *= PAUSE_FACTOR
        raise AssertionError("unreachable")

    async def _once(self, document: Object) -> Object:
        headers = {"content-type": "application/json", "accept": "application/json"}
        try:
            response = await self._transport.request(Request("POST", "", {}, headers, orjson.dumps(document)))
        except APIError as error:
            raise _Passing(str(error)) from None
        if response.status == 429 or response.status >= 500:
            raise _Passing(f"the webhook answered {response.status}")
        if not 200 <= response.status < 300:
            raise ReviewFailed(f"the webhook answered {response.status}")
        try:
            answered = orjson.loads(response.body)
        except orjson.JSONDecodeError as error:
            raise ReviewFailed(f"the webhook's answer is not JSON: {error}") from None
        if not isinstance(answered, dict) or not isinstance(answered.get("status"), dict):
            raise ReviewFailed("the webhook's answer has no status")
        status: Object = answered["status"]
        return status


class _Passing(Exception):
    """A failure that may pass."""


class Remembered(Generic[T]):
    """Answers by question, each for a while; the oldest go first when there are too many."""

    def __init__(self) -> None:
        self._answers: OrderedDict[object, tuple[float, T]] = OrderedDict()

    def get(self, question: object) -> T | None:
        found = self._answers.get(question)
        if found is None or found[0] <= effects.monotonic():
            return None
        return found[1]

    def put(self, question: object, answer: T, ttl_s: float) -> None:
        if ttl_s <= 0:
            return
        self._answers[question] = (effects.monotonic() + ttl_s, answer)
        self._answers.move_to_end(question)
        while len(self._answers) > MEMORY:
            self._answers.popitem(last=False)
