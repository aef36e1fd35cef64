"""The simulated webhook behind every admission webhook of a cluster: it lets everything pass and marks what is created.

It answers at once, or as slowly and as seldom as the faults that lie on it say. Its mark is the label `MARK`.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Final, Protocol

import orjson

from sampan.apimachinery.object import Object, dig
from sampan.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from sampan.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from sampan.apiserver.server import APIServer
from sampan.apiserver.webhooks.caller import CallFailed, WebhookCaller
from sampan.effects.seeded import Generator, generator

MARK: Final = "webhook.sim.sampan/seen"
_PATH: Final = "/metadata/labels/webhook.sim.sampan~1seen"


class Trouble(Protocol):
    """What an active fault does to webhooks."""

    def webhook_takes_s(self, rng: Generator) -> float: ...
    def webhook_fails(self, rng: Generator) -> bool: ...


class SimWebhooks:
    """One a cluster; `answer_for` puts it behind the webhooks of a server."""

    def __init__(self, seed: int) -> None:
        self.troubles: list[Trouble] = []
        self.calls = 0
        self._rng = generator(seed, "webhooks")

    def answer_for(self, server: APIServer) -> None:
        for plugin in server.admission.plugins:
            if isinstance(plugin, MutatingAdmissionWebhook | ValidatingAdmissionWebhook):
                plugin._caller = _Caller(server, self)

    async def ask(self, document: Object, timeout_s: float) -> Any:
        """The answer to a review. Raises CallFailed."""
        self.calls += 1
        takes_s = sum(trouble.webhook_takes_s(self._rng) for trouble in self.troubles)
        if takes_s:
            await asyncio.sleep(min(takes_s, timeout_s))
        if takes_s > timeout_s:
            raise CallFailed('Post "https://webhook.sim": context deadline exceeded')
        if any(trouble.webhook_fails(self._rng) for trouble in self.troubles):
            raise CallFailed('Post "https://webhook.sim": dial tcp: connect: connection refused')
        response: Object = {"uid": document["request"]["uid"], "allowed": True}
        if dig(document, "request", "object", "metadata", "labels"):
            patch = orjson.dumps([{"op": "add", "path": _PATH, "value": "yes"}])
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
        return {"apiVersion": document["apiVersion"], "kind": document["kind"], "response": response}


class _Caller(WebhookCaller):
    def __init__(self, server: APIServer, webhooks: SimWebhooks) -> None:
        super().__init__(server.reader)
        self._webhooks = webhooks

    async def post(self, config: Object, document: Object, timeout_s: float) -> Any:
        return await self._webhooks.ask(document, timeout_s)
