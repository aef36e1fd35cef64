"""Publishes the CA of the API server's certificate as a ClusterTrustBundle, which pods may project as a volume.

Observed: the bundles of the signer `kubernetes.io/kube-apiserver-serving`. Desired: one, with the present CA. Its name
ends in a hash of its content, so a new CA makes a new bundle; older ones are then deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sampan.api.resources import CLUSTER_TRUST_BUNDLES
from sampan.apimachinery.object import Object, dig, key_of, name_of, uid_of
from sampan.reconcile.controller import Wiring, one_key
from sampan.reconcile.plan import Create, Delete, Plan, Step, Update

SIGNER = "kubernetes.io/kube-apiserver-serving"
KEY = "bundles"


def plan(bundles: Sequence[Object], root_ca: str) -> Plan:
    """Have one bundle of the signer, with `root_ca` in it."""
    digest = hashlib.sha256(root_ca.encode()).hexdigest()[:24]
    name = f"{SIGNER.replace('/', ':')}:{digest}"
    spec = {"signerName": SIGNER, "trustBundle": root_ca}
    found = next((one for one in bundles if name_of(one) == name), None)
    steps: list[Step] = []
    if found is None:
        steps.append(Create(CLUSTER_TRUST_BUNDLES, {
            "apiVersion": CLUSTER_TRUST_BUNDLES.api_version, "kind": CLUSTER_TRUST_BUNDLES.kind,
            "metadata": {"name": name}, "spec": spec,
        }, exists_ok=True))
    elif found.get("spec") != spec:
        steps.append(Update(CLUSTER_TRUST_BUNDLES, {**found, "spec": spec}))
    old = sorted((one for one in bundles if name_of(one) != name), key=key_of)
    return Plan((*steps, *(Delete(CLUSTER_TRUST_BUNDLES, name_of(one), "", uid=uid_of(one)) for one in old)))


class TrustBundlePublisher:
    """One key: the bundles of the signer."""

    def __init__(self, wiring: Wiring, root_ca: bytes) -> None:
        self._root_ca = root_ca.decode()
        informer = wiring.factory.informer(CLUSTER_TRUST_BUNDLES, field_selector=f"spec.signerName={SIGNER}")
        wiring.follow(informer, one_key(KEY))
        self._bundles = informer.lister
        wiring.queue.add(KEY)

    async def reconcile(self, key: str) -> Plan:
        mine = [one for one in self._bundles.list() if dig(one, "spec", "signerName") == SIGNER]
        return plan(mine, self._root_ca)
