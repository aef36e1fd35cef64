"""ValidatingAdmissionWebhook: webhooks that may refuse a write as it will be stored, all asked at the same time."""

from __future__ import annotations

import asyncio

from sampan.api.resources import VALIDATING_WEBHOOK_CONFIGURATIONS
from sampan.apiserver.admission.matching.rule import is_exempt
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.admission.webhooks.call import Turn
from sampan.apiserver.admission.webhooks.source import WebhookSource
from sampan.apiserver.seams import AdmissionAttributes, ServerParts
from sampan.apiserver.webhooks.caller import WebhookCaller


class ValidatingAdmissionWebhook(Plugin):
    name = "ValidatingAdmissionWebhook"

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._source = WebhookSource(parts.reader, VALIDATING_WEBHOOK_CONFIGURATIONS)
        self._caller = WebhookCaller(parts.reader)

    def interested(self, attributes: AdmissionAttributes) -> bool:
        return bool(self._source.webhooks()) and not is_exempt(attributes)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Ask all that match. Raises the refusal of the first, in order, that refuses."""
        turns = []
        for index, webhook in enumerate(self._source.webhooks()):
            kind = await webhook.match(attributes, self._parts)
            if kind is not None:
                turns.append(Turn(webhook, kind, f"round_0_index_{index}"))
        answers = await asyncio.gather(
            *(turn.take(attributes, self._caller, mutating=False) for turn in turns), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def close(self) -> None:
        await self._caller.close()


def build(parts: ServerParts) -> ValidatingAdmissionWebhook:
    return ValidatingAdmissionWebhook(parts)
