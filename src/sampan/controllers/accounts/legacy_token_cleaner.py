"""Removes ServiceAccount token Secrets of the old, generated kind that nobody has used for a year.

Observed: token Secrets, the accounts that list them, the pods that mount them. Desired: none that nobody uses. A token
counts as unused when it is older than a year, carries no `legacy-token-last-used` label younger than that (or one that
cannot be read) and tracking itself is older. It is first marked with `legacy-token-invalid-since`, which the API server
refuses; after another year it is deleted. Tokens that a pod mounts, and tokens that people made themselves (the
ServiceAccount that they are of does not list them), stay.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sampan import effects
from sampan.api.resources import CONFIG_MAPS, PODS, SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery import errors
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.controllers import times
from sampan.reconcile.controller import Wiring, no_key
from sampan.reconcile.plan import Delete, Patch, Plan, Step

TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
PERIOD = timedelta(days=365)
CHECK_S = 24 * 3600.0
TICK = "tick"


def plan_token(secret: Object, tracked_since: datetime, now: datetime) -> tuple[Step, ...]:
    """Mark or delete one generated token that no pod mounts."""
    if is_being_deleted(secret):
        return ()
    name, namespace, labels = name_of(secret), namespace_of(secret), labels_of(secret)
    used = _day(labels[LAST_USED]) if labels.get(LAST_USED) else tracked_since
    if used is None or max(used, times.parse(meta(secret)["creationTimestamp"])) + PERIOD > now:
        return ()
    since = _day(labels.get(INVALID_SINCE))
    if since is None:
        patch = {"metadata": {"uid": uid_of(secret), "labels": {INVALID_SINCE: now.strftime("%Y-%m-%d")}}}
        return (Patch(SECRETS, name, namespace, patch, "merge", missing_ok=True),)
    if since + PERIOD > now:
        return ()
    version = meta(secret).get("resourceVersion", "")
    return (Delete(SECRETS, name, namespace, uid=uid_of(secret), resource_version=version),)


def generated(secrets: Collection[Object], accounts: Collection[Object]) -> list[Object]:
    """The token Secrets that the ServiceAccount that they are of lists: those were made by the system."""
    by_key = {key_of(account): account for account in accounts}

    def is_listed(secret: Object) -> bool:
        account = by_key.get(f"{namespace_of(secret)}/{annotations_of(secret).get(NAME, '')}")
        if account is None or annotations_of(secret).get(UID) not in (None, "", uid_of(account)):
            return False
        return any(one.get("name") == name_of(secret) for one in account.get("secrets") or ())

    return sorted((one for one in secrets if one.get("type") == TYPE and is_listed(one)), key=key_of)


def mounted(pods: Collection[Object]) -> set[str]:
    """The Secrets that pods mount as volumes."""
    return {
        f"{namespace_of(pod)}/{name}" for pod in pods for volume in dig(pod, "spec", "volumes", default=())
        if (name := dig(volume, "secret", "secretName"))
    }


def _day(text: str | None) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        return None


class LegacyTokenCleaner:
    """One key, looked at once a day."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._pods = wiring.watch(PODS, no_key)
        self._accounts = wiring.watch(SERVICE_ACCOUNTS, no_key)
        informer = wiring.factory.informer(SECRETS, field_selector=f"type={TYPE}")
        wiring.follow(informer, no_key)
        self._secrets = informer.lister
        wiring.queue.add(TICK)

    async def reconcile(self, key: str) -> Plan:
        now = effects.now()
        try:
            document = await self._client.get(CONFIG_MAPS, TRACKING, "kube-system")
        except errors.NotFound:
            return Plan(requeue_after_s=CHECK_S)  # this API server does not track when tokens are used
        since = _day(dig(document, "data", "since"))
        if since is None or since + PERIOD > now:
            return Plan(requeue_after_s=CHECK_S)
        in_use = mounted(self._pods.list())
        steps: list[Step] = []
        for secret in generated(self._secrets.list(), self._accounts.list()):
            if key_of(secret) not in in_use:
                steps += plan_token(secret, since, now)
        return Plan(tuple(steps), requeue_after_s=CHECK_S)
