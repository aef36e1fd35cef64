"""ValidatingWebhookConfiguration: webhooks that may refuse a write."""

from __future__ import annotations

from sampan.api.admissionregistration.webhooks import default_webhook, validate_webhooks
from sampan.api.columns import AGE, NAME, length
from sampan.api.kind import Column, Kind
from sampan.api.resources import VALIDATING_WEBHOOK_CONFIGURATIONS
from sampan.api.strategy import count_generation, start_generation
from sampan.apimachinery.object import Object


def default(obj: Object) -> None:
    for webhook in obj.get("webhooks") or []:
        default_webhook(webhook)


VALIDATING_WEBHOOK_CONFIGURATION = Kind(
    resource=VALIDATING_WEBHOOK_CONFIGURATIONS,
    definition="io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    singular="validatingwebhookconfiguration",
    categories=("api-extensions",),
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate_webhooks,
    columns=(
        NAME,
        Column("Webhooks", "integer", length("webhooks"),
               "Webhooks indicates the number of webhooks registered in this configuration"),
        AGE,
    ),
)
