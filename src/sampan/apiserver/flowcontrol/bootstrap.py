"""The flow schemas and priority levels that a new cluster has, as upstream suggests them, and the mandatory ones.

At every start and once a minute missing ones are created and the others mended (`mended`, pure): the mandatory ones
always, a suggested one if its annotation `apf.kubernetes.io/autoupdate-spec` says "true" or, where it says nothing, if
nobody has changed it yet. Whoever wants to keep a change sets the annotation to "false". An object with the annotation
"true" that this server does not know comes from another version and is removed.
"""

from __future__ import annotations

import asyncio
import copy
from typing import Final

from sampan.api.flowcontrol.mandatory import SPECS, everything, group_subject
from sampan.api.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from sampan.apimachinery.errors import AlreadyExists, Conflict, NotFound
from sampan.apimachinery.object import Object, annotations_of, meta, name_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.registry.periodic import Periodic
from sampan.client.client import Client

AUTOUPDATE: Final = "apf.kubernetes.io/autoupdate-spec"
ENSURE_S: Final = 60.0
_TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")
_FALSE: Final = ("0", "f", "F", "false", "FALSE", "False")
_ANYWHERE: Final = ("system:unauthenticated", "system:authenticated")


def _level(shares: int, lendable: int, queues: int, hand_size: int) -> Object:
    queuing = {"queues": queues, "handSize": hand_size, "queueLengthLimit": 50}
    return {"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "lendablePercent": lendable,
        "limitResponse": {"type": "Queue", "queuing": queuing},
    }}


def _schema(level: str, precedence: int, method: str, *rules: Object) -> Object:
    found: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    if method:
        found["distinguisherMethod"] = {"type": method}
    return {**found, "rules": list(rules)}


def _user(name: str) -> Object:
    return {"kind": "User", "user": {"name": name}}


def _account(name: str) -> Object:
    return {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}}


def _resources(verbs: str, group: str, resources: str, *, cluster: bool = False) -> Object:
    found: Object = {
        "verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), "namespaces": ["*"],
    }
    return {**found, "clusterScope": True} if cluster else found


def _some(subjects: list[Object], *resource_rules: Object) -> Object:
    return {"subjects": subjects, "resourceRules": list(resource_rules)}


_MANAGER, _SCHEDULER = _user("system:kube-controller-manager"), _user("system:kube-scheduler")
_LEASES = _resources("get create update", "coordination.k8s.io", "leases")
_NODES = group_subject("system:nodes")
_PROBES: Object = {
    "subjects": [group_subject(name) for name in _ANYWHERE],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
}

LEVELS: Final[dict[str, Object]] = {
    "exempt": SPECS["PriorityLevelConfiguration", "exempt"],
    "system": _level(30, 33, 64, 6),
    "node-high": _level(40, 25, 64, 6),
    "leader-election": _level(10, 0, 16, 4),
    "workload-high": _level(40, 50, 128, 6),
    "workload-low": _level(100, 90, 128, 6),
    "global-default": _level(20, 50, 128, 6),
    "catch-all": SPECS["PriorityLevelConfiguration", "catch-all"],
}

SCHEMAS: Final[dict[str, Object]] = {
    "exempt": SPECS["FlowSchema", "exempt"],
    "probes": _schema("exempt", 2, "", _PROBES),
    "system-leader-election": _schema(
        "leader-election", 100, "ByUser", _some([_MANAGER, _SCHEDULER, _account("*")], _LEASES)
    ),
    "endpoint-controller": _schema(
        "workload-high", 150, "ByUser",
        _some([_MANAGER, _account("endpoint-controller"), _account("endpointslicemirroring-controller")],
              _resources("get create update", "", "endpoints")),
    ),
    "workload-leader-election": _schema("leader-election", 200, "ByUser", _some([_account("*")], _LEASES)),
    "system-node-high": _schema(
        "node-high", 400, "ByUser",
        _some([_NODES], _resources("*", "", "nodes nodes/status", cluster=True),
              _resources("*", "coordination.k8s.io", "leases")),
    ),
    "system-nodes": _schema("system", 500, "ByUser", everything(_NODES)),
    "kube-controller-manager": _schema("workload-high", 800, "ByNamespace", everything(_MANAGER)),
    "kube-scheduler": _schema("workload-high", 800, "ByNamespace", everything(_SCHEDULER)),
    "kube-system-service-accounts": _schema("workload-high", 900, "ByNamespace", everything(_account("*"))),
    "service-accounts": _schema("workload-low", 9000, "ByUser", everything(group_subject("system:serviceaccounts"))),
    "global-default": _schema(
        "global-default", 9900, "ByUser", everything(*(group_subject(name) for name in _ANYWHERE))
    ),
    "catch-all": SPECS["FlowSchema", "catch-all"],
}


def documents(resource: Resource, specs: dict[str, Object]) -> list[Object]:
    """The objects with these specs."""
    return [
        {
            "kind": resource.kind, "apiVersion": resource.api_version,
            "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}}, "spec": copy.deepcopy(spec),
        }
        for name, spec in specs.items()
    ]


async def ensure(client: Client) -> None:
    """Create what is missing, mend what nobody has taken over. Safe to run at any time."""
    await asyncio.gather(
        _ensure(client, PRIORITY_LEVEL_CONFIGURATIONS, LEVELS), _ensure(client, FLOW_SCHEMAS, SCHEMAS)
    )


def upkeep(client: Client) -> Periodic:
    """`ensure`, again and again."""
    return Periodic("flow control objects", lambda: ensure(client), ENSURE_S)


async def _ensure(client: Client, resource: Resource, specs: dict[str, Object]) -> None:
    listed = await client.list(resource)
    present = {name_of(item): item for item in listed.get("items") or ()}
    removed = [name for name, obj in present.items() if name not in specs and _asked(obj)]
    await asyncio.gather(
        *(_ensure_one(client, resource, wanted, present.get(name_of(wanted))) for wanted in documents(resource, specs)),
        *(_remove(client, resource, name) for name in removed),
    )


async def _ensure_one(client: Client, resource: Resource, wanted: Object, present: Object | None) -> None:
    try:
        if present is None:
            await client.create(resource, wanted)
        elif (changed := mended(wanted, present)) is not None:
            await client.update(resource, changed)
    except (AlreadyExists, Conflict, NotFound):
        pass  # another server of the cluster, or somebody, was faster; it is looked at again in a minute


async def _remove(client: Client, resource: Resource, name: str) -> None:
    try:
        await client.delete(resource, name)
    except NotFound:
        pass  # another server of the cluster was faster


def mended(wanted: Object, present: Object) -> Object | None:
    """The object as it should be, or None if it is so."""
    mandatory = (wanted["kind"], name_of(wanted)) in SPECS
    asked = _asked(present)
    automatic = mandatory or (asked if asked is not None else meta(present).get("generation") == 1)
    spec = _wanted_spec(wanted, present) if automatic else present["spec"]
    if asked == automatic and spec == present["spec"]:
        return None
    annotations = {**annotations_of(present), AUTOUPDATE: "true" if automatic else "false"}
    return {**present, "metadata": {**meta(present), "annotations": annotations}, "spec": spec}


def _wanted_spec(wanted: Object, present: Object) -> Object:
    """The level `exempt` keeps its shares: they are anybody's to choose."""
    spec: Object = wanted["spec"]
    if wanted["kind"] == "PriorityLevelConfiguration" and name_of(wanted) == "exempt":
        own = present["spec"].get("exempt")
        return {**spec, "exempt": own} if own else spec
    return spec


def _asked(obj: Object) -> bool | None:
    """What the annotation says; None where it says neither."""
    word = annotations_of(obj).get(AUTOUPDATE, "")
    return True if word in _TRUE else False if word in _FALSE else None
