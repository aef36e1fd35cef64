"""A transport that calls the server in the same process, as a user whom it vouches for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sampan.apimachinery.http import Request, Response, UserInfo


class LoopbackTransport:
    """See `apimachinery.http.Transport`."""

    def __init__(self, handle: Callable[[Request], Awaitable[Response]], user: UserInfo) -> None:
        self._handle = handle
        self._user = user

    async def request(self, request: Request) -> Response:
        if request.user is None:
            request.user = self._user
        return await self._handle(request)

    async def close(self) -> None:
        """Nothing is held open."""
