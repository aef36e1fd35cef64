"""The flow schemas and priority levels that a new cluster has, as upstream suggests them, and the mandatory ones.

Missing ones are created at every start. Those whose annotation `apf.kubernetes.io/autoupdate-spec` says "true" are kept
as this server wants them; whoever changes one sets it to "false", and it is left alone.
"""

from __future__ import annotations

import asyncio
import copy
from typing import Final

from sampan.api.flowcontrol.mandatory import SPECS, everything, group_subject
from sampan.api.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from sampan.apimachinery.errors import AlreadyExists, Conflict
from sampan.apimachinery.object import Object, annotations_of, name_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client

AUTOUPDATE: Final = "apf.kubernetes.io/autoupdate-spec"
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
    """Create what is missing, mend what nobody has taken over. Safe to run at every start."""
    await asyncio.gather(
        _ensure(client, PRIORITY_LEVEL_CONFIGURATIONS, LEVELS), _ensure(client, FLOW_SCHEMAS, SCHEMAS)
    )


async def _ensure(client: Client, resource: Resource, specs: dict[str, Object]) -> None:
    listed = await client.list(resource)
    present = {name_of(item): item for item in listed.get("items") or ()}
    await asyncio.gather(*(
        _ensure_one(client, resource, wanted, present.get(name_of(wanted))) for wanted in documents(resource, specs)
    ))


async def _ensure_one(client: Client, resource: Resource, wanted: Object, present: Object | None) -> None:
    if present is None:
        try:
            await client.create(resource, wanted)
        except AlreadyExists:
            pass  # another server of the cluster was faster
    elif annotations_of(present).get(AUTOUPDATE) == "true" and present["spec"] != wanted["spec"]:
        try:
            await client.update(resource, {**present, "spec": wanted["spec"]})
        except Conflict:
            pass  # somebody is changing it, and will be corrected at the next start
