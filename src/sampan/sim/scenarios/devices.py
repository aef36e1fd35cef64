"""Pods that need devices: some alone, some two at once, some a share of one, some together by one claim."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from sampan.api.resources import (
    DEPLOYMENTS,
    DEVICE_CLASSES,
    JOBS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
)
from sampan.apimachinery.object import Object, labels_of
from sampan.sim.actions import create, create_some, delete, delete_pod, scale
from sampan.sim.documents import deployment, document, job
from sampan.sim.invariants.devices import at_rest
from sampan.sim.scenario import Scenario, Stage
from sampan.sim.scenarios.scheduling import small_nodes
from sampan.sim.world import PODS, World

DRIVER: Final = "sim.sampan"
VERSION: Final = "resource.k8s.io/v1"
NODES: Final = small_nodes(4)
GPUS: Final = 3
BANDWIDTH: Final = "10Gi"


def device_class(name: str) -> Object:
    expression = f'device.driver == "{DRIVER}" && device.attributes["{DRIVER}"].kind == "{name}"'
    return document("DeviceClass", VERSION, name, "", spec={"selectors": [{"cel": {"expression": expression}}]})


def devices_of(node: str) -> Object:
    """A node's devices: accelerators for one claim each, and a network card for as many as it has bandwidth for."""
    gpus: list[Object] = [
        {"name": f"gpu-{n}", "attributes": {"kind": {"string": "gpu"}}} for n in range(GPUS)
    ]
    card: Object = {
        "name": "nic", "attributes": {"kind": {"string": "nic"}}, "allowMultipleAllocations": True,
        "capacity": {"bandwidth": {"value": BANDWIDTH}},
    }
    return document("ResourceSlice", VERSION, f"{node}-devices", "", spec={
        "driver": DRIVER, "nodeName": node, "devices": [*gpus, card],
        "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
    })


def asking(device: str, count: int = 1, **fields: Any) -> Object:
    return {"devices": {"requests": [{"name": "it", "exactly": {"deviceClassName": device, "count": count, **fields}}]}}


TEMPLATES: Final = {
    "gpu": asking("gpu"), "two-gpus": asking("gpu", 2),
    "share": asking("nic", capacity={"requests": {"bandwidth": "3Gi"}}),
}


def with_claims(obj: Object, *templates: str, shared: str = "") -> Object:
    """Pods of a template with claims of their own, and perhaps one that they have in common."""
    claims: list[Object] = [{"name": name, "resourceClaimTemplateName": name} for name in templates]
    if shared:
        claims.append({"name": shared, "resourceClaimName": shared})
    pod = obj["spec"]["template"]["spec"]
    pod["resourceClaims"] = claims
    pod["containers"][0]["resources"]["claims"] = [{"name": one["name"]} for one in claims]
    return obj


async def share_anew(stage: Stage) -> None:
    """A claim that was deleted stays until all who use it are gone, and nobody else may use it."""
    await scale(DEPLOYMENTS, "crew", 0, 0)(stage)
    for _ in range(120):
        await asyncio.sleep(1.0)
        if not any(labels_of(pod).get("app") == "crew" for pod in stage.world.objects[PODS].values()):
            break
    await asyncio.sleep(30.0)
    await stage.create(RESOURCE_CLAIMS, SHARED)
    await scale(DEPLOYMENTS, "crew", 2, 2)(stage)


def settled(world: World) -> Sequence[str]:
    return list(at_rest(world))


SHARED: Final = document("ResourceClaim", VERSION, "shared", spec=asking("gpu"))

SCENARIO = Scenario(
    name="devices",
    about="devices belong to one claim, shares last as long as the capacity, and all is given back",
    apart=("resourceclaim-controller", "replicaset-controller"),
    objects=(
        (DEVICE_CLASSES, device_class("gpu")),
        (DEVICE_CLASSES, device_class("nic")),
        *((RESOURCE_SLICES, devices_of(node.name)) for node in NODES),
        *((RESOURCE_CLAIM_TEMPLATES, document("ResourceClaimTemplate", VERSION, name, spec={"spec": spec}))
          for name, spec in TEMPLATES.items()),
        (RESOURCE_CLAIMS, SHARED),
        (DEPLOYMENTS, with_claims(deployment("train", 3, cpu="50m"), "gpu")),
        (DEPLOYMENTS, with_claims(deployment("pair", 1, cpu="50m"), "two-gpus", "share")),
        (DEPLOYMENTS, with_claims(deployment("net", 4, cpu="50m"), "share")),
        (DEPLOYMENTS, with_claims(deployment("crew", 2, cpu="50m"), shared="shared")),
    ),
    actions=(
        (3, scale(DEPLOYMENTS, "train", 0, 7)),
        (2, scale(DEPLOYMENTS, "pair", 0, 2)),
        (2, scale(DEPLOYMENTS, "net", 3, 15)),
        (2, scale(DEPLOYMENTS, "crew", 0, 3)),
        (3, delete_pod("train")),
        (2, delete_pod("net")),
        (2, create_some(JOBS, lambda n: with_claims(job(f"batch-{n}", 3, 2, seconds=6), "gpu"), 6)),
        (1, delete(RESOURCE_CLAIMS, "shared")),
        (2, create(RESOURCE_CLAIMS, SHARED)),
    ),
    finale=(
        scale(DEPLOYMENTS, "train", 3, 3), scale(DEPLOYMENTS, "pair", 1, 1), scale(DEPLOYMENTS, "net", 4, 4),
        share_anew,
    ),
    settled=settled,
    nodes=NODES,
    without=("NodeDown", "NodeReboot"),
    every_s=6,
    minutes=3,
    rest_within_s=900,
)
