"""StatefulSets under churn: in order and in parallel, with claims, updated, resized and robbed of pods."""

from __future__ import annotations

from sampan.api.resources import PERSISTENT_VOLUMES, SERVICES, STATEFUL_SETS
from sampan.sim.actions import delete_pod, scale, set_image, set_spec
from sampan.sim.documents import service, stateful_set, volume
from sampan.sim.scenario import Scenario

SCENARIO = Scenario(
    name="statefulsets",
    about="ordered and parallel sets are updated and resized while pods die",
    apart=("statefulset-controller", "persistentvolume-binder-controller"),
    objects=(
        *((PERSISTENT_VOLUMES, volume(f"v{n}")) for n in range(6)),
        (SERVICES, service("db", "db")),
        (STATEFUL_SETS, stateful_set("db", 3, claims=True)),
        (STATEFUL_SETS, stateful_set("cache", 3, management="Parallel")),
    ),
    actions=(
        (3, scale(STATEFUL_SETS, "db", 1, 5)),
        (3, set_image(STATEFUL_SETS, "db")),
        (2, scale(STATEFUL_SETS, "cache", 0, 5)),
        (2, set_image(STATEFUL_SETS, "cache")),
        (3, delete_pod("db")),
        (1, delete_pod("db", by_force=True)),
        (1, delete_pod("cache")),
        (1, set_spec(STATEFUL_SETS, "db", *({"updateStrategy": {"rollingUpdate": {"partition": n}}} for n in (0, 2)))),
    ),
    finale=(set_spec(STATEFUL_SETS, "db", {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 0}}}),),
    rest_within_s=1200,
)
