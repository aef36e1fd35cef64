"""AuthorizationConfiguration (apiserver.config.k8s.io/v1): which authorisers there are, in which order.

    authorizers:
    - {type: Node, name: node}
    - {type: RBAC, name: rbac}
    - {type: AlwaysAllow | AlwaysDeny, name: …}
    - type: Webhook
      name: …
      webhook: {timeout, authorizedTTL, unauthorizedTTL, cacheAuthorizedRequests, cacheUnauthorizedRequests,
                failurePolicy: NoOpinion | Deny, subjectAccessReviewVersion: v1,
                connectionInfo: {type: KubeConfigFile, kubeConfigFile}, matchConditions: [{expression}]}

Match conditions are CEL over `request`, the spec of the SubjectAccessReview; the webhook is asked only when all hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from sampan.apimachinery import duration
from sampan.apimachinery.cel.environment import OBJECT, Environment, Program, environment
from sampan.apimachinery.cel.errors import CompileError
from sampan.apimachinery.object import Object
from sampan.apiserver import configuration_file

VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
TYPES: Final = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
MAX_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How one webhook authoriser is asked. A TTL of 0 remembers nothing."""

    kubeconfig: str
    timeout_s: float
    authorized_ttl_s: float
    unauthorized_ttl_s: float
    fail_closed: bool
    conditions: tuple[Program, ...]


@dataclass(frozen=True, slots=True)
class AuthorizerEntry:
    type: str
    name: str
    webhook: WebhookSettings | None = None


Entries: TypeAlias = tuple[AuthorizerEntry, ...]


def request_environment() -> Environment:
    return environment(("request", OBJECT))


def parse(content: bytes) -> Entries:
    """The authorisers from their file. Raises ValueError."""
    document = configuration_file.parse(content, "AuthorizationConfiguration", VERSIONS)
    entries = tuple(_entry(one, f"authorizers[{at}]") for at, one in enumerate(document.get("authorizers") or ()))
    if not entries:
        raise ValueError("authorizers: Required value: at least one authorization mode must be defined")
    names = [entry.name for entry in entries]
    types = [entry.type for entry in entries if entry.type != "Webhook"]
    if len(set(names)) != len(names) or len(set(types)) != len(types):
        raise ValueError("authorizers: Duplicate value: names and types other than Webhook may be used once")
    return entries


def _entry(document: Object, path: str) -> AuthorizerEntry:
    type, name = str(document.get("type") or ""), str(document.get("name") or "")
    if type not in TYPES:
        raise ValueError(f"{path}.type: Unsupported value: {type!r}: supported values: {', '.join(TYPES)}")
    if not name:
        raise ValueError(f"{path}.name: Required value")
    webhook = document.get("webhook")
    if (type == "Webhook") is not (webhook is not None):
        raise ValueError(f"{path}.webhook: {'Required value' if webhook is None else 'only for type Webhook'}")
    return AuthorizerEntry(type, name, _webhook(webhook, f"{path}.webhook") if webhook is not None else None)


def _webhook(document: Object, path: str) -> WebhookSettings:
    timeout_s = _seconds(document, "timeout", path, 0)
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"{path}.timeout: Invalid value: must be > 0s and <= 30s")
    policy = document.get("failurePolicy") or ""
    if policy not in ("NoOpinion", "Deny"):
        raise ValueError(f"{path}.failurePolicy: Unsupported value: {policy!r}: supported values: NoOpinion, Deny")
    if document.get("subjectAccessReviewVersion") != "v1":
        raise ValueError(f"{path}.subjectAccessReviewVersion: Unsupported value: supported values: v1")
    conditions = document.get("matchConditions") or ()
    if conditions and document.get("matchConditionSubjectAccessReviewVersion") != "v1":
        raise ValueError(f"{path}.matchConditionSubjectAccessReviewVersion: Required value: supported values: v1")
    connection = document.get("connectionInfo") or {}
    if connection.get("type") != "KubeConfigFile" or not connection.get("kubeConfigFile"):
        raise ValueError(f"{path}.connectionInfo: a type KubeConfigFile with a kubeConfigFile is required")
    allowed = document.get("cacheAuthorizedRequests", True)
    refused = document.get("cacheUnauthorizedRequests", True)
    return WebhookSettings(
        str(connection["kubeConfigFile"]), timeout_s,
        _seconds(document, "authorizedTTL", path, 300.0) if allowed else 0.0,
        _seconds(document, "unauthorizedTTL", path, 30.0) if refused else 0.0,
        policy == "Deny", tuple(_condition(one, f"{path}.matchConditions[{i}]") for i, one in enumerate(conditions)),
    )


def _seconds(document: Object, key: str, path: str, default_s: float) -> float:
    text = document.get(key)
    if not text:
        return default_s
    try:
        return duration.parse_go_duration(str(text)).total_seconds()
    except ValueError as error:
        raise ValueError(f"{path}.{key}: Invalid value: {text!r}: {error}") from None


def _condition(document: Object, path: str) -> Program:
    text = document.get("expression") or ""
    if not text.strip():
        raise ValueError(f"{path}.expression: Required value")
    try:
        return request_environment().compile(text, "bool")
    except CompileError as error:
        raise ValueError(f"{path}.expression: Invalid value: {text!r}: {error}") from None
