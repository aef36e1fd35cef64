"""MutatingAdmissionWebhook: webhooks that may change a write, one after the other.

Each sees what those before it did. What comes back is brought into the kind's shape and defaulted; `managedFields` stay
the server's. See `reinvocation` for the second round.
"""

from __future__ import annotations

import orjson

from sampan.api.resources import MUTATING_WEBHOOK_CONFIGURATIONS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.patch import PatchError, apply_json_patch
from sampan.apimachinery.patch.errors import PatchFailed
from sampan.apiserver.admission.matching.rule import is_exempt
from sampan.apiserver.admission.matching.version import shown, taken
from sampan.apiserver.admission.mutation import internal_error, replace
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.admission.webhooks.call import Turn
from sampan.apiserver.admission.webhooks.review import Verdict
from sampan.apiserver.admission.webhooks.source import WebhookSource
from sampan.apiserver.reinvocation import Reinvocation
from sampan.apiserver.seams import AdmissionAttributes, ServerParts
from sampan.apiserver.webhooks.caller import WebhookCaller


class MutatingAdmissionWebhook(Plugin):
    name = "MutatingAdmissionWebhook"

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._source = WebhookSource(parts.reader, MUTATING_WEBHOOK_CONFIGURATIONS)
        self._caller = WebhookCaller(parts.reader)

    def interested(self, attributes: AdmissionAttributes) -> bool:
        return bool(self._source.webhooks()) and not is_exempt(attributes)

    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Call all that match. Raises what a refusal raises."""
        again = attributes.reinvocation or Reinvocation()
        attributes.reinvocation = again
        turns = again.turns(self.name)
        if again.round:
            turns.begin(attributes.object)
        for index, webhook in enumerate(self._source.webhooks()):
            kind = await webhook.match(attributes, self._parts)
            if kind is None or (again.round and webhook.key not in turns.due):
                continue
            turn = Turn(webhook, kind, f"round_{again.round}_index_{index}")
            if await self._changes(turn, attributes):
                turns.changed()
                again.wanted = True
            if webhook.reinvoked:
                turns.invoked.add(webhook.key)
        turns.end(attributes.object)

    async def _changes(self, turn: Turn, attributes: AdmissionAttributes) -> bool:
        verdict = await turn.take(attributes, self._caller, mutating=True)
        if verdict is None:
            return False
        mutated = bool(verdict.patch) and await _patched(attributes, turn, verdict)
        note = {"configuration": turn.webhook.configuration, "webhook": turn.webhook.name, "mutated": mutated}
        attributes.annotate(f"mutation.webhook.admission.k8s.io/{turn.place}", orjson.dumps(note).decode())
        return mutated

    async def close(self) -> None:
        await self._caller.close()


async def _patched(attributes: AdmissionAttributes, turn: Turn, verdict: Verdict) -> bool:
    """Apply a webhook's patch; whether it changed anything. Raises InternalError."""
    target = attributes.object
    if target is None:
        raise internal_error(
            f"admission webhook {quoted(turn.webhook.name)} attempted to modify the object, "
            "which is not supported for this operation"
        )
    seen = await shown(target, attributes, turn.kind)
    try:
        changed = apply_json_patch(seen, verdict.patch)
    except (PatchError, PatchFailed) as error:
        raise internal_error(_why(error)) from None
    if not isinstance(changed, dict):
        raise internal_error(f"admission webhook {quoted(turn.webhook.name)} left no object")
    new = await taken(changed, attributes, turn.kind)
    return replace(attributes, new)


def _why(error: APIError) -> str:
    causes = (error.details or {}).get("causes") or [{}]
    return str(causes[0].get("message") or error.message)


def build(parts: ServerParts) -> MutatingAdmissionWebhook:
    return MutatingAdmissionWebhook(parts)
