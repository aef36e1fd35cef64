"""MutatingAdmissionWebhook: webhooks that may change a write, one after the other.

Each sees what those before it did. What comes back is brought into the kind's shape and defaulted; `managedFields` stay
the server's. See `reinvocation` for the second round.
"""

from __future__ import annotations

import orjson

from sampan.api.kind import Kind
from sampan.api.resources import MUTATING_WEBHOOK_CONFIGURATIONS
from sampan.apimachinery.errors import APIError, InternalError
from sampan.apimachinery.object import Object
from sampan.apimachinery.patch import PatchError, apply_json_patch
from sampan.apimachinery.patch.errors import PatchFailed
from sampan.apimachinery.schema.compile import DecodeError
from sampan.apiserver.admission.matching.rule import is_exempt
from sampan.apiserver.admission.matching.version import is_whole, shown, taken
from sampan.apiserver.admission.webhooks.call import Turn
from sampan.apiserver.admission.webhooks.review import Verdict
from sampan.apiserver.admission.webhooks.source import WebhookSource
from sampan.apiserver.authz.refusal import quoted
from sampan.apiserver.bodies import schema_of
from sampan.apiserver.reinvocation import Reinvocation
from sampan.apiserver.seams import AdmissionAttributes, ServerParts
from sampan.apiserver.webhooks.caller import WebhookCaller


class MutatingAdmissionWebhook:
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

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Refuses nothing more."""

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
        raise _internal(
            f"admission webhook {quoted(turn.webhook.name)} attempted to modify the object, "
            "which is not supported for this operation"
        )
    seen = await shown(target, attributes, turn.kind)
    try:
        changed = apply_json_patch(seen, verdict.patch)
    except (PatchError, PatchFailed) as error:
        raise _internal(_why(error)) from None
    if not isinstance(changed, dict):
        raise _internal(f"admission webhook {quoted(turn.webhook.name)} left no object")
    new = await taken(changed, attributes, turn.kind)
    return replace(attributes, new)


def replace(attributes: AdmissionAttributes, new: Object) -> bool:
    """Make `new` the write's object, completed as a client's would be; whether that changes it.

    Raises InternalError for what is no object of the kind.
    """
    target = attributes.object
    assert target is not None
    if is_whole(attributes):
        new = _completed(new, target, attributes.kind)
    if new == target:
        return False
    target.clear()
    target.update(new)
    return True


def _completed(new: Object, old: Object, kind: Kind) -> Object:
    schema = schema_of(kind)
    if schema is not None:
        try:
            new, _ = schema.decode_strict(new)
        except DecodeError as error:
            raise _internal(error.why) from None
    new["apiVersion"], new["kind"] = kind.resource.api_version, kind.resource.kind
    metadata = new.setdefault("metadata", {})
    managed = (old.get("metadata") or {}).get("managedFields")
    if managed is not None:
        metadata["managedFields"] = managed
    else:
        metadata.pop("managedFields", None)
    kind.default(new)
    return new


def _why(error: APIError) -> str:
    causes = (error.details or {}).get("causes") or [{}]
    return str(causes[0].get("message") or error.message)


def _internal(why: str) -> InternalError:
    return InternalError(f"Internal error occurred: {why}", {"causes": [{"message": why}]})


def build(parts: ServerParts) -> MutatingAdmissionWebhook:
    return MutatingAdmissionWebhook(parts)
