"""MutatingWebhookConfiguration: webhooks that may change a write."""

from __future__ import annotations

from sampan.api.admissionregistration.webhooks import COLUMNS, default_mutating, validate_webhooks
from sampan.api.kind import Kind
from sampan.api.resources import MUTATING_WEBHOOK_CONFIGURATIONS
from sampan.api.strategy import count_generation, start_generation

MUTATING_WEBHOOK_CONFIGURATION = Kind(
    resource=MUTATING_WEBHOOK_CONFIGURATIONS,
    definition="io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    singular="mutatingwebhookconfiguration",
    categories=("api-extensions",),
    default=default_mutating,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate_webhooks,
    columns=COLUMNS,
)
