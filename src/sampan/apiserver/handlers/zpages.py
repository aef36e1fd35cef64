"""`/statusz` and `/flagz` of the API server; see `apimachinery.zpages`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sampan
from sampan import effects
from sampan.apimachinery import zpages
from sampan.apimachinery.http import Response
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext

COMPONENT: Final = "kube-apiserver"


class ZPages:
    """Of one server, which begins with it."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._began = effects.now()
        self._paths = tuple(paths)

    async def statusz(self, ctx: RequestContext, backend: Backend) -> Response:
        times = self._began, effects.now()
        return zpages.statusz(_accepted(ctx), COMPONENT, sampan.KUBERNETES_VERSION, times, self._paths)

    async def flagz(self, ctx: RequestContext, backend: Backend) -> Response:
        return zpages.flagz(_accepted(ctx), COMPONENT, zpages.flags_of(backend.config))


def _accepted(ctx: RequestContext) -> str:
    return ctx.request.headers.get("accept", "")
