"""Root CA publisher: every namespace has the ConfigMap `kube-root-ca.crt`, by which pods know the API server.

Observed: namespaces and those ConfigMaps. Desired: each that is not going has one with the CA's certificate. A changed
or deleted one is put right; the kubelet projects it into every pod beside the ServiceAccount's token.
"""

from __future__ import annotations

from sampan.api.resources import CONFIG_MAPS, NAMESPACES
from sampan.apimachinery.object import Object, annotations_of, dig, name_of, namespace_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Tally
from sampan.reconcile.plan import NOTHING, Create, Plan, Update

NAME = "kube-root-ca.crt"
ANNOTATION = "kubernetes.io/description"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def plan(namespace: Object, config_map: Object | None, root_ca: str) -> Plan:
    """Make the namespace's ConfigMap hold `root_ca`."""
    if dig(namespace, "status", "phase", default="Active") != "Active":
        return NOTHING
    data = {"ca.crt": root_ca}
    annotations = {ANNOTATION: DESCRIPTION}
    if config_map is None:
        new = {
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": NAME, "namespace": name_of(namespace), "annotations": annotations},
        }
        return Plan((Create(CONFIG_MAPS, new, exists_ok=True),))
    if config_map.get("data") == data and annotations_of(config_map).get(ANNOTATION):
        return NOTHING
    metadata = {**config_map["metadata"], "annotations": {**annotations_of(config_map), **annotations}}
    return Plan((Update(CONFIG_MAPS, {**config_map, "metadata": metadata, "data": data}),))


class RootCAPublisher:
    """Keys are namespaces."""

    def __init__(self, wiring: Wiring, root_ca: bytes) -> None:
        self._root_ca = root_ca.decode()
        self._namespaces = wiring.watch(NAMESPACES)
        informer = wiring.factory.informer(CONFIG_MAPS, field_selector=f"metadata.name={NAME}")
        wiring.follow(informer, lambda config_map: (namespace_of(config_map),))
        self._config_maps = informer.lister
        self._syncs = Tally(
            "root_ca_cert_publisher_sync_total", "Number of namespace syncs happened in root ca cert publisher.",
            ("code",),
        )
        wiring.measure(self._syncs)
        wiring.observe(lambda write, error: self._syncs.add("200" if error is None else str(error.status_code)))

    async def reconcile(self, key: str) -> Plan:
        namespace = self._namespaces.get(key)
        return plan(namespace, self._config_maps.get(NAME, key), self._root_ca) if namespace else NOTHING
