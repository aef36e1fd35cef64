"""Health: `/livez` (is the process alive), `/readyz` (may it get traffic), `/healthz` (both, the old name).

Each check has a path of its own (`/readyz/ping`); `?verbose` lists them, `?exclude=NAME` leaves one out. What all of
them said so far is on `/metrics/slis`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.healthchecks import CONTENT_TYPE, HealthFigures
from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext

Check: TypeAlias = Callable[[], bool]


class Health:
    """Named checks; those that `ready_only` names count for readiness alone."""

    def __init__(self, checks: Mapping[str, Check], ready_only: frozenset[str]) -> None:
        self._checks = checks
        self._ready_only = ready_only
        self._figures = HealthFigures()

    async def __call__(self, ctx: RequestContext, backend: Backend) -> Response:
        endpoint, _, one = ctx.request.path.strip("/").partition("/")
        names = [name for name in self._checks if endpoint == "readyz" or name not in self._ready_only]
        if one:
            if one not in names:
                raise NotFound("the server could not find the requested resource", {})
            names = [one]
        excluded = ctx.request.query.get("exclude", [])
        lines: list[str] = []
        healthy = True
        for name in names:
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            well = self._checks[name]()
            if not one:
                self._figures.note(name, endpoint, well=well)
            if well:
                lines.append(f"[+]{name} ok")
            else:
                healthy = False
                lines.append(f"[-]{name} failed: reason withheld")
        if not healthy:
            return answers.text("\n".join([*lines, f"{endpoint} check failed", ""]), 500)
        if "verbose" in ctx.request.query:
            return answers.text("\n".join([*lines, f"{endpoint} check passed", ""]))
        return answers.text("ok")

    async def slis(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/metrics/slis`"""
        return Response(200, {"content-type": CONTENT_TYPE}, self._figures.exposition())
