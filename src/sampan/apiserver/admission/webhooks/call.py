"""Calls one webhook about one write, and makes of the answer a verdict or an error, as its configuration wants it.

A webhook that cannot be asked, or answers nonsense, refuses the write with `failurePolicy: Fail` and is passed over
with `Ignore`; its own "no" counts in either case.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sampan.api.kind import Kind
from sampan.apiserver.admission.webhooks import errors
from sampan.apiserver.admission.webhooks.review import BadAnswer, Verdict, review_of, verdict_of
from sampan.apiserver.admission.webhooks.webhook import Webhook
from sampan.apiserver.seams import AdmissionAttributes
from sampan.apiserver.webhooks.caller import CallFailed, WebhookCaller

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """A webhook that is called about a write: as which kind, and where in the order, for the audit log."""

    webhook: Webhook
    kind: Kind
    place: str

    async def take(self, attributes: AdmissionAttributes, caller: WebhookCaller, *, mutating: bool) -> Verdict | None:
        """None if the webhook is passed over. Raises Denied, CallingFailed, BadRequest."""
        webhook = self.webhook
        if attributes.dry_run and webhook.has_side_effects:
            raise errors.dry_run_unsupported(webhook.name)
        try:
            verdict = await self._ask(attributes, caller, mutating=mutating)
        except errors.CallingFailed as error:
            if not webhook.fails_open:
                raise
            log.warning("failed calling webhook %s, failing open: %s", webhook.name, error.why)
            phase = "mutating" if mutating else "validating"
            attributes.annotate(f"failed-open.{phase}.webhook.admission.k8s.io/{self.place}", webhook.name)
            return None
        for key, value in verdict.annotations.items():
            attributes.annotate(f"{webhook.name}/{key}", str(value))
        for warning in verdict.warnings:
            attributes.warn(warning)
        if not verdict.allowed:
            raise errors.Denied(webhook.name, verdict.status)
        return verdict

    async def _ask(self, attributes: AdmissionAttributes, caller: WebhookCaller, *, mutating: bool) -> Verdict:
        webhook = self.webhook
        question = await review_of(attributes, self.kind, webhook.review_version)
        try:
            config = webhook.document.get("clientConfig") or {}
            answer = await caller.post(config, question, webhook.timeout_s)
            return verdict_of(answer, question, mutating=mutating)
        except CallFailed as error:
            raise errors.CallingFailed(webhook.name, f"failed to call webhook: {error}") from None
        except BadAnswer as error:
            raise errors.CallingFailed(webhook.name, f"received invalid webhook response: {error}") from None
