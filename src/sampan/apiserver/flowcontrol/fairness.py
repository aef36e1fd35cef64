"""API priority and fairness: every request runs at its priority level, or waits there, or is told to come back.

A link of the chain, behind authentication. Streams hold no seat; a watch holds one until its first events are ready.
Answers name the flow schema and the priority level in `X-Kubernetes-PF-*` headers, which the chain's first link adds to
errors too. The server's seats are those that upstream's `--max-requests-inflight` and
`--max-mutating-requests-inflight` add up to.
"""

from __future__ import annotations

import logging
from typing import Final

from sampan import effects
from sampan.api.flowcontrol.mandatory import SPECS
from sampan.api.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apiserver.context import RequestContext
from sampan.apiserver.flowcontrol.classification import Classifier
from sampan.apiserver.flowcontrol.priority_level import PriorityLevel
from sampan.apiserver.flowcontrol.shuffle_sharding import flow_hash
from sampan.apiserver.registry.periodic import Periodic
from sampan.apiserver.seams import Link, Next, Reader, ServerParts
from sampan.client.client import Client

SEATS: Final = 600
STATUS_S: Final = 10.0

log = logging.getLogger(__name__)


class Fairness:
    """The link."""

    def __init__(self, reader: Reader, seats: int = SEATS) -> None:
        self._reader = reader
        self._seats = seats
        self._watched = reader.watched(FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS)
        self._classifier: Classifier | None = None
        self.levels: dict[str, PriorityLevel] = {}

    async def __call__(self, ctx: RequestContext, next: Next) -> Response:
        user = ctx.user
        if user is None or (ctx.long_running and ctx.verb != "watch"):
            return await next(ctx)
        schema = self._current().schema(user, ctx)
        level = schema.level
        ctx.flow = schema.uid, level.uid
        seat = level.try_enter()
        if seat is None:
            seat = await level.enter(flow_hash(schema.name, schema.flow(user, ctx)))
        try:
            return await next(ctx)
        finally:
            level.leave(seat)

    def configured(self) -> dict[str, PriorityLevel]:
        """The levels by name, as their objects are now."""
        self._current()
        return self.levels

    def _current(self) -> Classifier:
        if self._classifier is None or self._watched.stale:
            self._watched.stale = False
            self._configure()
            self._classifier = Classifier(self._reader.list(FLOW_SCHEMAS), self.levels)
        return self._classifier

    def _configure(self) -> None:
        """Levels that stay keep their queues; those that are gone end with the requests they still have."""
        documents = {name_of(one): one for one in self._reader.list(PRIORITY_LEVEL_CONFIGURATIONS)}
        for (kind, name), spec in SPECS.items():
            if kind == "PriorityLevelConfiguration":
                documents.setdefault(name, {"metadata": {"name": name}, "spec": spec})
        shares = sum(_shares(document) for document in documents.values())
        self.levels = {name: self.levels.get(name) or PriorityLevel(name) for name in documents}
        for name, document in documents.items():
            self.levels[name].configure(document, self._seats, shares)
            self.levels[name].others = tuple(self.levels.values())


def _shares(document: Object) -> int:
    spec = document["spec"]
    section = spec.get("exempt" if spec["type"] == "Exempt" else "limited") or {}
    return int(section.get("nominalConcurrencyShares") or 0)


def build(parts: ServerParts) -> Link:
    return Fairness(parts.reader)


async def mark_dangling(client: Client, reader: Reader) -> None:
    """Say in each flow schema's status whether its priority level exists; writes only what changed."""
    await reader.fresh(FLOW_SCHEMAS)
    levels = {name_of(one) for one in reader.list(PRIORITY_LEVEL_CONFIGURATIONS)}
    for schema in reader.list(FLOW_SCHEMAS):
        name = str(dig(schema, "spec", "priorityLevelConfiguration", "name", default=""))
        status = "False" if name in levels else "True"
        known = dig(schema, "status", "conditions", default=())
        if any(one.get("type") == "Dangling" and one.get("status") == status for one in known):
            continue
        there = "and it exists" if name in levels else "but there is no such object"
        condition = {
            "type": "Dangling", "status": status, "reason": "Found" if name in levels else "NotFound",
            "lastTransitionTime": effects.timestamp(),
            "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{name}" {there}',
        }
        try:
            await client.patch(
                FLOW_SCHEMAS, name_of(schema), {"status": {"conditions": [condition]}}, subresource="status"
            )
        except APIError as error:
            log.warning("flow schema %s: %s", name_of(schema), error)


def status_upkeep(client: Client, reader: Reader) -> Periodic:
    """`mark_dangling` whenever a schema or level has changed, looked at every `STATUS_S`."""
    seen: list[tuple[int, int]] = []

    async def step() -> None:
        versions = reader.version(FLOW_SCHEMAS), reader.version(PRIORITY_LEVEL_CONFIGURATIONS)
        if seen != [versions]:
            seen[:] = [versions]
            await mark_dangling(client, reader)

    return Periodic("flow schema status", step, STATUS_S)
