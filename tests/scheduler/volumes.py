"""Copies of storage objects for plugins to read."""

from __future__ import annotations

from typing import Any

from tests.scheduler.conftest import World

from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.lister import Cache, Lister
from sampan.scheduler.config import Profile
from sampan.scheduler.cycle import CycleTrial
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Storage
from sampan.scheduler.profiles import make_framework


def known(world: World, *objects: Object) -> World:
    """The same world, in which plugins see these objects, whatever their kind."""
    def listen(resource: Resource, event: ClusterEvent) -> Lister:
        cache = Cache()
        for one in objects:
            if one["kind"] == resource.kind:
                cache.put(one)
        return Lister(cache)

    by_kind: dict[str, dict[str, Object]] = {}
    for one in objects:
        by_kind.setdefault(one["kind"], {})[one["metadata"]["name"]] = one
    claims, volumes = by_kind.get("PersistentVolumeClaim", {}), by_kind.get("PersistentVolume", {})
    world.handle.storage = Storage(
        lambda namespace, name: claims.get(name), volumes.get, lambda: list(volumes.values()),
        by_kind.get("StorageClass", {}).get,
    )
    world.handle.listen = listen
    world.framework = make_framework(Profile(), world.handle)
    world.handle.trial = CycleTrial(world.framework, world.snapshot)
    return world


def claim(name: str, volume: str = "", *, storage_class: str = "", **spec: Any) -> Object:
    bound: Object = {"volumeName": volume} if volume else {}
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default", "uid": name, "annotations": annotations},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": storage_class, **bound, **spec,
        },
    }


def volume(name: str, labels: dict[str, str] | None = None, *, driver: str = "") -> Object:
    csi: Object = {"csi": {"driver": driver, "volumeHandle": f"handle-{name}"}} if driver else {}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": labels or {}},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **csi},
    }


def storage_class(name: str, provisioner: str = "csi.example.com", **fields: Any) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer", **fields,
    }


def uses(*names: str) -> list[Object]:
    return [{"name": f"v{n}", "persistentVolumeClaim": {"claimName": name}} for n, name in enumerate(names)]
