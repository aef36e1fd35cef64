"""What the server does before it is ready, step by step, and the health checks that say so.

A check of kube-apiserver bears the name of what it starts; who reads `/readyz?verbose` looks for these names. Each is
true once the step that does its work here is done.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final


class Step(enum.Enum):
    """In this order."""

    CACHES = "caches"
    CUSTOM_RESOURCES = "custom resources"
    OBJECTS = "objects that must exist"
    RULES = "roles and flows"
    GROUPS = "groups of other servers"


CHECKS: Final[Mapping[str, Step]] = {
    "poststarthook/start-apiserver-admission-initializer": Step.CACHES,
    "poststarthook/generic-apiserver-start-informers": Step.CACHES,
    "poststarthook/priority-and-fairness-config-consumer": Step.CACHES,
    "poststarthook/priority-and-fairness-filter": Step.CACHES,
    "poststarthook/storage-object-count-tracker-hook": Step.CACHES,
    "poststarthook/start-apiextensions-informers": Step.CUSTOM_RESOURCES,
    "poststarthook/start-apiextensions-controllers": Step.CUSTOM_RESOURCES,
    "poststarthook/crd-informer-synced": Step.CUSTOM_RESOURCES,
    "poststarthook/start-system-namespaces-controller": Step.OBJECTS,
    "poststarthook/start-cluster-authentication-info-controller": Step.OBJECTS,
    "poststarthook/start-service-ip-repair-controllers": Step.OBJECTS,
    "poststarthook/rbac/bootstrap-roles": Step.RULES,
    "poststarthook/scheduling/bootstrap-system-priority-classes": Step.OBJECTS,
    "poststarthook/priority-and-fairness-config-producer": Step.RULES,
    "poststarthook/bootstrap-controller": Step.OBJECTS,
    "poststarthook/start-kubernetes-service-cidr-controller": Step.OBJECTS,
    "poststarthook/start-kube-aggregator-informers": Step.GROUPS,
    "poststarthook/apiservice-status-local-available-controller": Step.GROUPS,
    "poststarthook/apiservice-status-remote-available-controller": Step.GROUPS,
    "poststarthook/apiservice-registration-controller": Step.GROUPS,
    "poststarthook/apiservice-discovery-controller": Step.GROUPS,
    "poststarthook/kube-apiserver-autoregistration": Step.GROUPS,
    "autoregister-completion": Step.GROUPS,
    "poststarthook/apiservice-openapi-controller": Step.GROUPS,
    "poststarthook/apiservice-openapiv3-controller": Step.GROUPS,
}


class StartUp:
    """The steps that are done."""

    def __init__(self) -> None:
        self._done: set[Step] = set()

    def done(self, step: Step) -> None:
        self._done.add(step)

    def undone(self) -> None:
        """The server stops."""
        self._done.clear()

    def checks(self) -> dict[str, Callable[[], bool]]:
        """By the name of the check."""
        return {name: self._check(step) for name, step in CHECKS.items()}

    def _check(self, step: Step) -> Callable[[], bool]:
        return lambda: step in self._done
