"""The provisioner of a node: makes directories for claims whose first pod comes to this node, and removes them.

Observed: claims, volumes, StorageClasses. A claim is this node's when its class names the provisioner and the scheduler
has chosen the node (annotations `storage-provisioner` and `selected-node`): its directory is made, then its
PersistentVolume, which the binder binds. When the claim is gone and the policy is Delete, the directory is removed and
then the volume. A crash in between leaves a directory that the next attempt finds, or a volume without one, which goes
the same way. One provisioner runs on each node, because only there the directory can be reached.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from sampan.addons.storage import volumes
from sampan.addons.storage.objects import PROVISIONER
from sampan.addons.storage.volumes import Place
from sampan.api.core.volume_matching import class_of
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from sampan.apimachinery.object import Object, dig, key_of, name_of, split_key
from sampan.client.client import Client
from sampan.client.events import WARNING
from sampan.client.informer import InformerFactory
from sampan.reconcile.controller import Controller, Wiring
from sampan.reconcile.manager import Manager
from sampan.reconcile.plan import NOTHING, Note, Plan

MODE = 0o777
"""Whoever a container runs as, it may write; as upstream's node-local provisioners do."""
RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Where the volumes of this node are."""

    node: str
    directory: Path


async def run(client: Client, config: StorageConfig) -> None:
    """Provision for this node until cancelled."""
    factory = InformerFactory(client)
    place = Place(config.node, config.directory)
    controller = Controller(
        "node-local-storage", lambda wiring: Provisioner(wiring, place), client, factory, workers=2,
        component=f"{PROVISIONER}_{config.node}",
    )
    await Manager(factory, [controller]).run()


class Provisioner:
    """Keys are claims (`namespace/name`) and volumes (`name`), only those that are this node's business."""

    def __init__(self, wiring: Wiring, place: Place) -> None:
        self._place = place
        self._classes = wiring.read(STORAGE_CLASSES)
        self._claims = wiring.watch(
            PERSISTENT_VOLUME_CLAIMS, lambda claim: [key_of(claim)] if volumes.is_asked_for(claim, place) else []
        )
        self._volumes = wiring.watch(
            PERSISTENT_VOLUMES, lambda volume: [name_of(volume)] if volumes.is_here(volume, place) else []
        )

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        if namespace:
            claim = self._claims.get(name, namespace)
            return await self._provision(claim) if claim else NOTHING
        volume = self._volumes.get(name)
        return await self._reclaim(volume) if volume else NOTHING

    async def _provision(self, claim: Object) -> Plan:
        storage_class = self._classes.get(class_of(claim))
        made = self._volumes.get(f"pvc-{claim['metadata']['uid']}")
        if storage_class is None or made is not None or not volumes.is_asked_for(claim, self._place):
            return NOTHING
        if problem := volumes.problem_with(claim):
            return volumes.refusal(claim, problem)
        try:
            await asyncio.to_thread(_make, volumes.directory_of(claim, self._place))
        except OSError as error:
            refused = volumes.refusal(claim, str(error))
            return Plan(notes=refused.notes, requeue_after_s=RETRY_S)
        return volumes.provision(claim, storage_class, self._place)

    async def _reclaim(self, volume: Object) -> Plan:
        if not volumes.is_here(volume, self._place):
            return NOTHING
        if volumes.is_to_be_emptied(volume):
            try:
                await asyncio.to_thread(_remove, Path(dig(volume, "spec", "local", "path")))
            except OSError as error:
                return Plan(notes=(Note(volume, WARNING, "VolumeFailedDelete", str(error)),), requeue_after_s=RETRY_S)
        return volumes.let_go(volume)


def _make(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(MODE)


def _remove(directory: Path) -> None:
    """Links in it are removed, not followed."""
    if directory.exists():
        shutil.rmtree(directory)
