"""ServiceAccounts: every namespace has one called `default`.

Observed: namespaces and ServiceAccounts. Desired: that account in each namespace that is not going. It is made, and
made again when someone deletes it.
"""

from __future__ import annotations

from sampan.api.resources import NAMESPACES, SERVICE_ACCOUNTS
from sampan.apimachinery.object import Object, dig, name_of, namespace_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Create, Plan

DEFAULT = "default"


def plan(namespace: Object, account: Object | None) -> Plan:
    """Create the account of an active namespace if it is missing."""
    if account is not None or dig(namespace, "status", "phase", default="Active") != "Active":
        return NOTHING
    new = {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT, "namespace": name_of(namespace)},
    }
    return Plan((Create(SERVICE_ACCOUNTS, new, exists_ok=True),))


class ServiceAccountReconciler:
    """Keys are namespaces; the end of a default account concerns its namespace."""

    def __init__(self, wiring: Wiring) -> None:
        self._namespaces = wiring.watch(NAMESPACES)
        self._accounts = wiring.watch(SERVICE_ACCOUNTS, _namespace_of_default)

    async def reconcile(self, key: str) -> Plan:
        namespace = self._namespaces.get(key)
        return plan(namespace, self._accounts.get(DEFAULT, key)) if namespace else NOTHING


def _namespace_of_default(account: Object) -> tuple[str, ...]:
    return (namespace_of(account),) if name_of(account) == DEFAULT else ()
