"""The configured webhooks in the order in which they are called; compiled again only when a configuration changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sampan.apimachinery.object import name_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.webhooks.webhook import Webhook
from sampan.apiserver.seams import Reader

Webhooks: TypeAlias = Sequence[Webhook]


class WebhookSource:
    """The webhooks of one kind of configuration, out of the watch cache."""

    def __init__(self, reader: Reader, resource: Resource) -> None:
        self._reader = reader
        self._resource = resource
        self._watched = reader.watched(resource)
        self._webhooks: Webhooks = ()

    def webhooks(self) -> Webhooks:
        """By name of their configuration, then as they stand in it. Costs a comparison while nothing changes."""
        if self._watched.stale:
            self._watched.stale = False
            configurations = sorted(self._reader.list(self._resource), key=name_of)
            self._webhooks = [
                Webhook.of(configuration, document)
                for configuration in configurations for document in configuration.get("webhooks") or ()
            ]
        return self._webhooks
