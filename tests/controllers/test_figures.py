"""The figures that the controller manager shows beside those of its queues, under upstream's names."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from sampan.api.resources import (
    ENDPOINTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCE_CLAIM_TEMPLATES,
    SERVICES,
)
from sampan.apimachinery.object import name_of
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.manager import ControllerManager
from sampan.controllers.nodes.node_zones import metric_label, zone_of
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "gold"}
CONFIG = ControllerManagerConfig(root_ca=b"CA")


def test_what_loops_count_and_measure_is_shown() -> None:
    async def scenario() -> None:
        only_one = SimConfig(node_specs(2), controllers=ControllerManagerConfig(controllers="ttl-after-finished"))
        async with SimCluster(seed=9, config=only_one) as cluster:
            client = cluster.client
            manager = ControllerManager(cluster.client_of("system:masters", "system:masters"), CONFIG)
            running = asyncio.ensure_future(manager.run())
            registry = CollectorRegistry()
            registry.register(manager)

            def value(name: str, **labels: str) -> float | None:
                return registry.get_sample_value(name, labels)


            async def both() -> bool:
                return len((await client.list(NODES))["items"]) == 2

            await cluster.until(both)
            first, second = sorted((await client.list(NODES))["items"], key=name_of)
            await make_things(client, name_of(first), name_of(second))
            zone = metric_label(zone_of(first))
            expected = {
                ("node_collector_zone_size", ("zone", zone)): 1.0 + (zone_of(second) == zone_of(first)),
                ("node_collector_zone_health", ("zone", zone)): 100.0,
                ("node_collector_unhealthy_nodes_in_zone", ("zone", zone)): 0.0,
                ("pv_collector_total_pv_count", ("plugin_name", "kubernetes.io/host-path"),
                 ("volume_mode", "Filesystem")): 1.0,
                ("pv_collector_bound_pv_count", ("storage_class", "gold")): 1.0,
                ("pv_collector_bound_pvc_count", ("namespace", "default"), ("storage_class", "gold"),
                 ("volume_attributes_class", "")): 1.0,
                ("pv_collector_unbound_pvc_count", ("namespace", "default"), ("storage_class", "none"),
                 ("volume_attributes_class", "")): 1.0,
                ("ephemeral_volume_controller_create_total",): 1.0,
                ("ephemeral_volume_controller_create_failures_total",): 0.0,
                ("resourceclaim_controller_creates_total", ("admin_access", "false"), ("status", "success")): 1.0,
                ("resourceclaim_controller_resource_claims", ("admin_access", "false"), ("allocated", "false"),
                 ("source", "resource_claim_template")): 1.0,
                ("taint_eviction_controller_pod_deletions_total",): 1.0,
                ("garbagecollector_controller_resources_sync_error_total",): 0.0,
                ("endpoint_slice_controller_num_endpoint_slices",): 1.0,
                ("endpoint_slice_controller_desired_endpoint_slices",): 1.0,
                ("endpoint_slice_controller_endpoints_desired",): 1.0,
                ("endpoint_slice_mirroring_controller_endpoints_desired",): 2.0,
                ("node_ipam_controller_cirdset_max_cidrs", ("clusterCIDR", "10.244.0.0/16")): 256.0,
                ("node_ipam_controller_cidrset_usage_cidrs", ("clusterCIDR", "10.244.0.0/16")): 2 / 256,
            }

            def missing() -> dict[tuple[object, ...], float | None]:
                return {
                    key: found for key, wanted in expected.items()
                    if (found := value(str(key[0]), **dict(key[1:]))) != wanted  # type: ignore[arg-type]
                }

            try:
                await cluster.until(lambda: not missing(), within_s=300)
            except TimeoutError:
                raise AssertionError(f"not as expected: {missing()}") from None
            assert (value("root_ca_cert_publisher_sync_total", code="200") or 0) >= 1
            assert (value("endpoint_slice_controller_changes", operation="create") or 0) == 1
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(scenario())


async def make_things(client, tainted: str, other: str) -> None:  # type: ignore[no-untyped-def]
    container = {"name": "c", "image": "i"}
    await client.create(PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"},
        "storageClassName": "gold",
    }})
    await client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "c"}, "spec": CLAIM}, "default")
    await client.create(SERVICES, {"metadata": {"name": "s"}, "spec": {
        "selector": {"app": "web"}, "ports": [{"port": 80}],
    }}, "default")
    await client.create(SERVICES, {"metadata": {"name": "by-hand"}, "spec": {"ports": [{"port": 80}]}}, "default")
    await client.create(ENDPOINTS, {"metadata": {"name": "by-hand"}, "subsets": [{
        "addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}], "ports": [{"port": 80}],
    }]}, "default")
    await client.create(PODS, {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {
        "containers": [container], "nodeName": other,
    }}, "default")
    template = {"spec": {**CLAIM, "storageClassName": "none"}}
    await client.create(RESOURCE_CLAIM_TEMPLATES, {"metadata": {"name": "gpu"}, "spec": {"spec": {
        "devices": {"requests": [{"name": "g", "exactly": {"deviceClassName": "gpu"}}]},
    }}}, "default")
    await client.create(PODS, {"metadata": {"name": "waits"}, "spec": {
        "containers": [container], "volumes": [{"name": "e", "ephemeral": {"volumeClaimTemplate": template}}],
        "resourceClaims": [{"name": "g", "resourceClaimTemplateName": "gpu"}],
        "schedulingGates": [{"name": "example.com/never"}],
    }}, "default")
    await client.create(PODS, {"metadata": {"name": "goes"}, "spec": {
        "containers": [container], "nodeName": tainted,
    }}, "default")
    taint = {"key": "example.com/away", "effect": "NoExecute"}
    await client.patch(NODES, tainted, {"spec": {"taints": [taint]}})
