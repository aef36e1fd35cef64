"""StatefulSets with everything that can be changed in them, while pods die: partition, maxUnavailable, OnDelete, start,
and what becomes of their claims. With --hours 24 a day of it."""

from __future__ import annotations

from typing import Any

from sampan.api.resources import PERSISTENT_VOLUMES, SERVICES, STATEFUL_SETS
from sampan.apimachinery.object import Object, dig, name_of
from sampan.sim.actions import create, delete, delete_pod, scale, set_image, set_spec
from sampan.sim.documents import service, stateful_set, volume
from sampan.sim.scenario import Action, Scenario, Stage
from sampan.sim.stages import READY_AFTER, STOP_SECONDS

SPARE = 12
"""So many volumes are free at any time."""


def retaining(when_deleted: str, when_scaled: str) -> Object:
    return {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted, "whenScaled": when_scaled}}


def with_spec(obj: Object, **fields: Any) -> Object:
    return {**obj, "spec": {**obj["spec"], **fields}}


def slow(obj: Object) -> Object:
    """Its pods take their time to become ready and to end."""
    obj["spec"]["template"]["metadata"]["annotations"] = {READY_AFTER: "3", STOP_SECONDS: "4"}
    return obj


LOG = slow(with_spec(stateful_set("log", 3, claims=True, management="Parallel"), **retaining("Delete", "Delete")))
MANUAL = with_spec(stateful_set("manual", 2, claims=True), updateStrategy={"type": "OnDelete"})


def supply(spare: int) -> Action:
    """An administrator throws volumes away whose claims are gone, and brings new ones."""

    async def act(stage: Stage) -> None:
        volumes = stage.world.objects[("core", "persistentvolumes")].values()
        phases = {name_of(one): dig(one, "status", "phase") for one in volumes}
        for name in sorted(name for name, phase in phases.items() if phase == "Released"):
            await stage.delete(PERSISTENT_VOLUMES, name)
        free = sum(phase in (None, "Pending", "Available") for phase in phases.values())
        for _ in range(spare - free):
            await stage.create(PERSISTENT_VOLUMES, volume(f"v{stage.count('volume')}"))

    return act


def rolling(partition: int = 0, unavailable: int = 1) -> Object:
    how = {"partition": partition, "maxUnavailable": unavailable}
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": how}}


ON_DELETE: Object = {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}


SCENARIO = Scenario(
    name="ordinals",
    about="sets with claims, partitions and other beginnings: names and data return, and nothing else",
    apart=("statefulset-controller", "garbage-collector-controller"),
    begin=(supply(SPARE),),
    objects=(
        (SERVICES, service("db", "db")),
        (STATEFUL_SETS, with_spec(stateful_set("db", 4, claims=True), **rolling(partition=2))),
        (STATEFUL_SETS, LOG),
        (STATEFUL_SETS, MANUAL),
    ),
    actions=(
        (2, scale(STATEFUL_SETS, "db", 1, 5)),
        (4, set_image(STATEFUL_SETS, "db")),
        (3, set_spec(STATEFUL_SETS, "db", *(rolling(n, m) for n in (0, 1, 2) for m in (1, 2)))),
        (2, set_spec(STATEFUL_SETS, "db", *({"ordinals": {"start": n}} for n in (0, 1, 2)))),
        (3, delete_pod("db")),
        (3, scale(STATEFUL_SETS, "log", 0, 4)),
        (2, set_image(STATEFUL_SETS, "log")),
        (1, scale(STATEFUL_SETS, "manual", 1, 3)),
        (1, set_spec(STATEFUL_SETS, "manual", retaining("Delete", "Delete"), retaining("Retain", "Delete"),
                     retaining("Delete", "Retain"), retaining("Retain", "Retain"))),
        (1, delete(STATEFUL_SETS, "log")),
        (2, create(STATEFUL_SETS, LOG)),
        (1, delete_pod("log")),
        (2, set_image(STATEFUL_SETS, "manual")),
        (2, delete_pod("manual")),
        (1, set_spec(STATEFUL_SETS, "manual", rolling(), ON_DELETE)),
        (4, supply(SPARE)),
    ),
    finale=(
        create(STATEFUL_SETS, LOG), set_spec(STATEFUL_SETS, "db", rolling()), supply(2 * SPARE),
    ),
    every_s=4,
    minutes=4,
    rest_within_s=1200,
)
